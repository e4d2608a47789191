//! Jobs: `/api/v1/jobs`, and what the console's page shows of them. [`crate::jobs`] does them. Messages about incidents are among them, as [`all`] has it.

mod message;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::job::{Priority, State as JobState, is_late};
use sitepulse_model::time::UtcMicros;

use crate::app::{Access, AppError};
use crate::jobs::all::{self, Id, Place, Shown, Wanted};
use crate::jobs::checks::Args as RunArgs;
use crate::jobs::files::{ExportArgs, path_of};
use crate::jobs::{ARGS_BYTES_MAX, Ask, Finished, Job, KEY_BYTES_MAX, Kind, Outcome, Said, Unfinished, Work, noop};
use crate::present::Present;
use crate::present::api::{Body, body};
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::jobs::{
    JobBody, JobCountsView, JobDetailView, JobLineView, JobPriorityBody, JobView, JobsSummaryView,
};
use crate::present::dto::policy::SlaReportBody;
use crate::present::kpi::debt::DEAD_US;
use crate::present::list::{List, Listed};
use crate::present::openapi::signature::{Gives, Operation};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::sla_report;
use crate::present::text::jobs::{EN, JobTexts};
use crate::store::jobs as stored;
use crate::store::kpi as stored_kpi;
use crate::store::outbox::listed;

/// How many jobs are told where nothing is asked.
pub const LISTED: usize = 100;
/// Most lines of a log that are told.
const LINES_MAX: usize = 1_000;
/// Most late and failed jobs that are counted.
pub const COUNTED_MAX: usize = 1_000;

/// Which jobs are listed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    #[serde(default)]
    state: Option<String>,
    /// A kind.
    #[serde(default)]
    kind: Option<String>,
}

fn kind_of(text: &str) -> Answer<Kind> {
    let known = || Kind::ALL.map(Kind::as_str).join(", ");
    Kind::parse(text)
        .ok_or_else(|| Problem::new(Code::BadRequest, format!("there is no kind {text:?} of job: {}", known())))
}

fn state_of(text: &str) -> Answer<JobState> {
    let known = || JobState::ALL.map(JobState::as_str).join(", ");
    JobState::parse(text)
        .ok_or_else(|| Problem::new(Code::BadRequest, format!("there is no state {text:?} of jobs: {}", known())))
}

/// What stands behind an id.
async fn found(present: &Present, text: &str) -> Answer<Shown> {
    let missing = || Problem::not_found("job", text);
    let id = Id::parse(text).ok_or_else(missing)?;
    present.app().read_store(move |tables| all::one(tables, &id)).await?.ok_or_else(missing)
}

fn priority_of(value: u16) -> Answer<Priority> {
    Priority::new(value).ok_or_else(|| Problem::new(Code::BadRequest, format!("priority {value}: write 0 to 1000")))
}

/// `GET /api/v1/jobs`: the newest first.
pub async fn jobs(State(present): State<Present>, list: List<JobsQuery>) -> Answer<Listed<JobView>> {
    let List { query, page } = list;
    let limit = page.limit_or(LISTED);
    let wanted = Wanted {
        state: query.state.as_deref().map(state_of).transpose()?,
        kind: query.kind.as_deref().map(kind_of).transpose()?,
        after: page.cursor::<Place>()?,
    };
    // One more tells whether there is another page.
    let found = present.app().read_store(move |tables| all::list(tables, &wanted, limit + 1)).await?;
    let now = clock::now();
    Ok(page.of_more(found, limit, Shown::place).map(|one| view(&present, &one, &EN, now)))
}

/// `GET /api/v1/jobs/summary`
pub async fn summary(State(present): State<Present>) -> Answer<Json<JobsSummaryView>> {
    Ok(Json(summary_of(&present, clock::now()).await?))
}

/// How the queue is.
///
/// # Errors
/// When the store cannot be read.
pub async fn summary_of(present: &Present, now: UtcMicros) -> Answer<JobsSummaryView> {
    let since = now.plus_us(-DEAD_US);
    let read = present.app().read_store(move |tables| {
        Ok((
            all::counts(tables)?,
            all::late(tables, now, COUNTED_MAX)?.len() as u64,
            stored::failed(tables, since, COUNTED_MAX)?.len() as u64,
            stored_kpi::dead_letters(tables, since)?.len() as u64,
        ))
    });
    let (counts, late, failed, messages_failed) = read.await?;
    let of = |kind: Kind, state: JobState| {
        counts.iter().find(|(of, at, _)| (*of, *at) == (kind, state)).map_or(0, |(_, _, count)| *count)
    };
    let desk = &present.app().shared().jobs;
    let view = |kind: Kind| JobCountsView {
        kind: kind.as_str().to_owned(),
        waiting: of(kind, JobState::Waiting),
        running: of(kind, JobState::Running),
        done: of(kind, JobState::Done),
        failed: of(kind, JobState::Failed),
        cancelled: of(kind, JobState::Cancelled),
        wait_p95_seconds: desk.wait_p95_us(Some(kind)).map(seconds),
    };
    Ok(JobsSummaryView {
        kinds: Kind::ALL.map(view).to_vec(),
        late,
        failed: failed + messages_failed,
        wait_p95_seconds: desk.wait_p95_us(None).map(seconds),
        messages_waiting: of(Kind::Notification, JobState::Waiting) + of(Kind::Notification, JobState::Running),
        messages_failed,
    })
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of this century are exact in a double")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// `GET /api/v1/jobs/{id}`
pub async fn job(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<JobDetailView>> {
    Ok(Json(detail(&present, &id, &EN, clock::now()).await?))
}

/// A job or a message with its log, that which is not written yet too.
///
/// # Errors
/// When there is no such job.
pub async fn detail(present: &Present, id: &str, words: &JobTexts, now: UtcMicros) -> Answer<JobDetailView> {
    let unwritten = match Id::parse(id) {
        Some(Id::Job(id)) => present.app().shared().jobs.live(id).map(|live| live.unwritten()).unwrap_or_default(),
        Some(Id::Message { .. }) | None => Vec::new(),
    };
    let shown = found(present, id).await?;
    let log = match &shown {
        Shown::Job(job) => {
            let (bucket, id) = (job.bucket, job.id);
            let read = present.app().read_store(move |tables| stored::lines(tables, bucket, id, LINES_MAX));
            let mut lines = read.await?;
            // What was written between the two looks is there twice.
            lines.extend(unwritten.into_iter().filter(|line| !lines.contains(line)).collect::<Vec<_>>());
            let line = |line: crate::jobs::Line| JobLineView {
                at: instant::format(line.at),
                epoch: line.epoch,
                text: in_words(line.text, words),
            };
            lines.into_iter().map(line).collect()
        }
        Shown::Message(message) => {
            let key = message.key.clone();
            let read = present.app().read_store(move |tables| listed::attempts(tables, &key, LINES_MAX));
            read.await?.iter().map(|attempt| message::line(attempt, words)).collect()
        }
    };
    Ok(JobDetailView { job: view(present, &shown, words, now), log })
}

/// What a job said, in the words of a language.
fn in_words(text: String, words: &JobTexts) -> String {
    Said::of(&text).map_or_else(|| (words.plain)(&text), |said| (words.said)(&said))
}

/// A job or a message as it is shown.
pub fn view(present: &Present, shown: &Shown, words: &JobTexts, now: UtcMicros) -> JobView {
    match shown {
        Shown::Job(job) => job_view(present, job, words, now),
        Shown::Message(message) => message::view(message, words, now),
    }
}

fn job_view(present: &Present, job: &Job, words: &JobTexts, now: UtcMicros) -> JobView {
    let standing = &job.standing;
    let live = present.app().shared().jobs.live(job.id).filter(|_| standing.state == JobState::Running);
    let (progress, message) = live.map_or((job.progress, String::new()), |live| live.progressed());
    let at = |at: Option<UtcMicros>| at.map(instant::format);
    let kept = path_of(present.app().data_dir(), job).is_some_and(|path| path.exists());
    JobView {
        id: job.id.to_string(),
        kind: job.kind.as_str().to_owned(),
        key: job.key.clone(),
        state: standing.state.as_str().to_owned(),
        priority: standing.priority.get(),
        due: instant::format(standing.due),
        deadline: at(job.deadline),
        late: !standing.state.is_over() && is_late(standing.due, job.deadline, now),
        asked: instant::format(job.asked),
        author: job.author.clone(),
        tries: standing.tries,
        tries_max: Some(job.kind.spec().rules.tries),
        epoch: standing.epoch,
        cancelling: standing.cancelling,
        first_started: at(job.first_started),
        started: at(job.started),
        ended: at(job.ended),
        progress: f64::from(progress) / 1000.0,
        message: in_words(message, words),
        note: in_words(job.note.clone(), words),
        file: job.file.clone().filter(|_| kept),
        args: job.args.clone(),
    }
}

/// `POST /api/v1/jobs`: asks for a job. Where one for the same thing waits or runs, that one is handed back; where too many of its kind wait, none is added.
pub async fn ask(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<JobBody>,
) -> Answer<Json<JobView>> {
    let request = body(request)?;
    let now = clock::now();
    let (ask, said) = asked(&present, &caller, request, now)?;
    note.tell(said);
    let asked = present.app().writer().run(move |engine| engine.ask_for_job(&ask, clock::now())).await;
    let asked = asked.map_err(AppError::from)??;
    Ok(Json(job_view(&present, &asked.job, &EN, now)))
}

/// What is asked for, as the queue takes it, and in a line.
fn asked(present: &Present, caller: &Caller, request: JobBody, now: UtcMicros) -> Answer<(Ask, String)> {
    let kind = kind_of(&request.kind)?;
    let Some(least) = kind.spec().asked_by else {
        let what = format!("jobs of the kind {} come by themselves: nobody asks for them", kind.as_str());
        return Err(Problem::new(Code::BadRequest, what));
    };
    if caller.access < least {
        let what = format!("jobs of the kind {} are asked for with the access {}", kind.as_str(), least.as_str());
        return Err(Problem::new(Code::Forbidden, what));
    }
    let bad = |what: String| Problem::new(Code::BadRequest, what);
    let args = if request.args.is_null() { json!({}) } else { request.args };
    let text = args.to_string();
    if text.len() > ARGS_BYTES_MAX {
        return Err(bad(format!("`args` is longer than {ARGS_BYTES_MAX} bytes")));
    }
    let at = |text: &Option<String>, what: &str| {
        let read = text.as_deref().map(|text| instant::parse(text, now)).transpose();
        read.map_err(|error| bad(format!("`{what}`: {error}")))
    };
    let key = key_of(present, kind, &args, &text, now).map_err(bad)?;
    let ask = Ask {
        kind,
        key,
        priority: request.priority.map(priority_of).transpose()?,
        not_before: at(&request.not_before, "not_before")?,
        deadline: at(&request.deadline, "deadline")?,
        author: caller.author.clone(),
        args,
    };
    Ok((ask, format!("job {} {text}", kind.as_str())))
}

/// What is the same thing of a kind, once what it is told was judged.
fn key_of(present: &Present, kind: Kind, args: &Value, text: &str, now: UtcMicros) -> Result<Option<String>, String> {
    fn read<T: serde::de::DeserializeOwned>(args: &Value) -> Result<T, String> {
        serde_json::from_value(args.clone()).map_err(|error| format!("`args`: {error}"))
    }
    let whole = || match text.len() {
        0..=KEY_BYTES_MAX => text.to_owned(),
        _ => {
            let hash = crate::enrol::sha256(text.as_bytes());
            hash.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    };
    match kind {
        Kind::Backup => {
            if args.as_object().is_none_or(|args| !args.is_empty()) {
                return Err("`args`: a backup is told nothing".into());
            }
            Ok(Some(String::new()))
        }
        Kind::Export => {
            read::<ExportArgs>(args)?.wanted(now)?;
            Ok(Some(whole()))
        }
        Kind::SlaReport => Ok(Some(read::<SlaReportBody>(args)?.name)),
        Kind::RunChecks | Kind::VitalsBatch => {
            let args: RunArgs = read(args)?;
            if !args.says_something() {
                return Err("`args`: name a `group`, a `tag` or `checks`".into());
            }
            let found = args.checks(&present.app().book(), kind == Kind::VitalsBatch);
            if found.map_err(|said| said.to_string())?.is_empty() {
                return Err("`args`: no check that agents run fits".into());
            }
            Ok(Some(whole()))
        }
        Kind::Noop => read::<noop::Args>(args).map(|_| None),
        Kind::Seal | Kind::Retention | Kind::Insights | Kind::Impact | Kind::Notification => Ok(Some(String::new())),
    }
}

/// Who may change a job: whoever edits, but what is for admins to ask for is theirs.
async fn changeable(present: &Present, caller: &Caller, id: &str) -> Answer<Shown> {
    let shown = found(present, id).await?;
    let kind = shown.kind();
    if kind.spec().asked_by.is_some_and(|least| caller.access < least) {
        return Err(Problem::new(Code::Forbidden, format!("jobs of the kind {} are for admins", kind.as_str())));
    }
    Ok(shown)
}

/// What became of it.
async fn changed(present: &Present, shown: &Shown) -> Answer<Json<JobView>> {
    let shown = found(present, &shown.id().to_string()).await?;
    Ok(Json(view(present, &shown, &EN, clock::now())))
}

/// `POST /api/v1/jobs/{id}/cancel`: at once where it waits, else it is told to end. A message that waits is not sent; one that is being sent cannot be stopped.
pub async fn cancel(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Json<JobView>> {
    let shown = changeable(&present, &caller, &id).await?;
    match &shown {
        Shown::Job(job) => {
            let id = job.id;
            let done = present.app().writer().run(move |engine| engine.cancel_job(id, &caller.author, clock::now()));
            done.await.map_err(AppError::from)??;
        }
        Shown::Message(message) => {
            let key = message.key.to_string();
            let work = move |engine: &mut crate::engine::Engine| {
                engine.withdraw_delivery_of(&key, &caller.author, clock::now())
            };
            let done = present.app().writer().run(work);
            done.await.map_err(AppError::from)??;
        }
    }
    changed(&present, &shown).await
}

/// `POST /api/v1/jobs/{id}/retry`: what failed, was cancelled or waits to be tried again is tried now, with all its tries. Where another job for the same thing waits, that one is
/// tried now and told.
pub async fn retry(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Json<JobView>> {
    let shown = changeable(&present, &caller, &id).await?;
    match &shown {
        Shown::Job(job) => {
            let id = job.id;
            let done = present.app().writer().run(move |engine| engine.retry_job(id, &caller.author, clock::now()));
            let job = done.await.map_err(AppError::from)??;
            return changed(&present, &Shown::Job(Box::new(job))).await;
        }
        Shown::Message(message) => {
            present.app().retry_delivery(message.key.to_string(), &caller.author, clock::now()).await?;
        }
    }
    changed(&present, &shown).await
}

/// `POST /api/v1/jobs/{id}/priority`: not of messages, which go before all else.
pub async fn prioritise(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Body<JobPriorityBody>,
) -> Answer<Json<JobView>> {
    let priority = priority_of(body(request)?.priority)?;
    let shown = changeable(&present, &caller, &id).await?;
    let Shown::Job(job) = &shown else {
        let what = "messages about incidents always go first: they have no other priority";
        return Err(Problem::new(Code::Conflict, what));
    };
    let id = job.id;
    let work =
        move |engine: &mut crate::engine::Engine| engine.prioritise_job(id, priority, &caller.author, clock::now());
    present.app().writer().run(work).await.map_err(AppError::from)??;
    changed(&present, &shown).await
}

/// `GET /api/v1/jobs/{id}/file`: what it made.
pub async fn file(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Made> {
    let shown = found(&present, &id).await?;
    let kind = shown.kind();
    let least = kind.spec().asked_by.unwrap_or(Access::Admin);
    if caller.access < least {
        // A backup holds the authority's keys.
        let what = format!("files of the kind {} are handed out with the access {}", kind.as_str(), least.as_str());
        return Err(Problem::new(Code::Forbidden, what));
    }
    let gone = || {
        let kept = kind.spec().kept_files;
        let what =
            format!("job {id} has no file: it made none, or it is kept no longer (the newest {kept} of its kind are)");
        Problem::new(Code::NotFound, what)
    };
    let Shown::Job(job) = &shown else { return Err(gone()) };
    let path = path_of(present.app().data_dir(), job).ok_or_else(gone)?;
    let name = job.file.clone().unwrap_or_default();
    let opened = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, length))
    });
    let opened = opened.await.map_err(|_| Problem::new(Code::Unavailable, "the collector is shutting down"))?;
    let (file, length) = opened.map_err(|_| gone())?;
    Ok(Made { file, length, name })
}

/// A file that a job made, on its way.
pub struct Made {
    file: std::fs::File,
    length: u64,
    name: String,
}

/// So much of a file is read at a time, in bytes.
const PIECE: usize = 256 * 1024;

impl IntoResponse for Made {
    fn into_response(self) -> Response {
        let pieces = futures_util::stream::unfold(Some(self.file), |file| async move {
            let mut file = file?;
            let read = tokio::task::spawn_blocking(move || {
                use std::io::Read as _;
                let mut piece = vec![0; PIECE];
                let read = file.read(&mut piece).map(|length| {
                    piece.truncate(length);
                    piece
                });
                (read, file)
            });
            match read.await {
                Ok((Ok(piece), file)) => (!piece.is_empty()).then(|| (Ok(bytes::Bytes::from(piece)), Some(file))),
                Ok((Err(error), _)) => Some((Err(error), None)),
                Err(_) => Some((Err(std::io::Error::other("the collector is shutting down")), None)),
            }
        });
        let mut response = Response::new(axum::body::Body::from_stream(pieces));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.length));
        // Names are made of a kind, an id and an ending.
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", self.name)) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        response
    }
}

impl Gives for Made {
    fn tell(operation: &mut Operation<'_>) {
        operation.answer(200, "The file.", Some(("application/octet-stream", json!({}))));
    }
}

/// The handler of the kind `sla_report`.
pub fn make_sla_report(work: Work) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        let request: SlaReportBody = work.args()?;
        let refused = |problem: Problem| match problem.status() {
            status if status.is_server_error() => Unfinished::Failed(problem.detail().to_owned()),
            _ => Unfinished::Refused(problem.detail().to_owned()),
        };
        let name = request.name.clone();
        // It was kept, and nobody wrote that down.
        if work.job.standing.epoch > 1
            && let Some(kept) = work.app.sla_report(&name).await?
            && kept.author == work.job.author
        {
            return Ok(Finished::with(Said::ReportBefore { name }));
        }
        let made = sla_report::make(&work.app, &work.job.author, request, clock::now()).await.map_err(refused)?;
        work.go_on()?;
        let checks = made.checks.len();
        work.app.keep_sla_report(made).await?;
        Ok(Finished::with(Said::Report { name, checks: checks as u64 }))
    })
}
