//! The API under `/api/v1`: JSON in and out, errors as `application/problem+json`. `docs/api.md` is its page.

pub mod access;
pub mod amendments;
pub mod definitions;
pub mod exchange;
pub mod findings;
pub mod impact;
pub mod incidents;
pub mod indicators;
pub mod join_tokens;
pub mod kpi;
pub mod latency;
pub mod playbooks;
pub mod silences;
pub mod slo;
pub mod status_pages;
pub mod steer;
pub mod timeline;
pub mod vitals;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::check::CheckKind;
use sitepulse_model::control::{Change, SUSPENSION_US_DEFAULT, SUSPENSION_US_MAX, Scope, Weight};
use sitepulse_model::id::{AgentName, CheckId, CheckNo, Region};
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};

use crate::app::{Access, App, AppError, ApplyOptions, CredentialKind, Plan};
use crate::book::{Book, Filter, period_asked};
use crate::checkfile::{self, Source, Written, WrittenCheck};
use crate::engine::Engine;
use crate::heartbeat::timing::Timing;
use crate::policy::Terms;
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::policy::SlaReportBody;
use crate::present::dto::{
    AgentView, ApplyBody, CheckView, ControlBody, EventView, HeartbeatView, JoinTokenBody, LinkView, PlanView, RunView,
    SecretView, SlaView, TokenView,
};
use crate::present::list::{List, Listed, Nothing};
use crate::present::policy;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::slices::in_slices;
use crate::present::view::{self, event_view, plan_view, sla_view};
use crate::run_now;

/// How long a sign-in link works, in microseconds: 15 minutes.
const SIGN_IN_US: u64 = 15 * 60 * 1_000_000;
/// Longest reason of a suspension, in bytes.
const REASON_BYTES_MAX: usize = 500;

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;
pub(super) type Ask<T> = Result<Query<T>, QueryRejection>;

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let code = match &error {
            AppError::NotFound(_) => Code::NotFound,
            AppError::Invalid(_) => Code::BadRequest,
            AppError::Conflict(_) => Code::Conflict,
            AppError::Forbidden(_) => Code::Forbidden,
            AppError::Unavailable(_) => Code::Unavailable,
            AppError::BadFiles(faults) => return bad_checks(faults.clone()),
        };
        Self::new(code, error.to_string())
    }
}

pub(super) fn body<T>(body: Body<T>) -> Answer<T> {
    body.map(|Json(value)| value).map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Problem::new(Code::TooLarge, "the body is longer than this path takes: send less at once");
        }
        let code = Code::BadRequest;
        Problem::new(code, format!("the body is not the JSON this path takes: {}", rejection.body_text()))
    })
}

pub(super) fn ask<T>(query: Ask<T>) -> Answer<T> {
    query.map(|Query(value)| value).map_err(|rejection| Problem::new(Code::BadRequest, rejection.body_text()))
}

/// What the list of checks is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChecksQuery {
    /// `id` (where nothing is said), or `impact`: the highest impact score first, those without one last.
    sort: Option<String>,
}

/// `GET /api/v1/checks`
pub async fn checks(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    list: List<ChecksQuery>,
) -> Answer<Listed<Arc<CheckView>>> {
    let checks = present.snapshot().await?.checks.clone();
    let mut checks = match list.query.sort.as_deref() {
        None | Some("id") => list.page.of_all(checks, |check| check.id.clone())?,
        Some("impact") => {
            let points = present.scores().await?.points();
            let place = |id: &str| points.get(id).map_or(u32::MAX, |points| u32::MAX - 1 - points.0);
            list.page.of_all(checks, |check| (place(&check.id), check.id.clone()))?
        }
        Some(other) => return Err(Problem::new(Code::BadRequest, format!("sort={other:?}: use id or impact"))),
    };
    show_doors(&present, &caller, checks.items_mut()).await?;
    Ok(checks)
}

/// `GET /api/v1/checks/{id}`
pub async fn check(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Json<Arc<CheckView>>> {
    let snapshot = present.snapshot().await?;
    let found = snapshot.check(&id).map(|row| Arc::clone(row.check));
    let mut found = [found.ok_or_else(|| Problem::not_found("check", &id))?];
    show_doors(&present, &caller, &mut found).await?;
    let [found] = found;
    Ok(Json(found))
}

/// Tells administrators what the jobs of heartbeats call: who knows that can speak for the job.
async fn show_doors(present: &Present, caller: &Caller, checks: &mut [Arc<CheckView>]) -> Answer<()> {
    if caller.access != Access::Admin {
        return Ok(());
    }
    let (beats, numbers): (Vec<&mut Arc<CheckView>>, Vec<CheckNo>) = {
        let book = present.app().book();
        let beats = checks.iter_mut().filter(|view| view.kind == "heartbeat");
        beats
            .filter_map(|view| Some((check_of(&book, &view.id).ok()?.number, view)))
            .map(|(no, view)| (view, no))
            .unzip()
    };
    if beats.is_empty() {
        return Ok(());
    }
    let tokens = present.app().heartbeat_tokens(numbers).await?;
    for (view, token) in beats.into_iter().zip(tokens) {
        Arc::make_mut(view).ping_url =
            token.map(|token| view::ping_url(present.console_url().unwrap_or_default(), &token));
    }
    Ok(())
}

async fn heartbeat_of(present: &Present, id: &str) -> Answer<HeartbeatView> {
    let number = check_of(&present.app().book(), id)?.number;
    let heartbeat = present.app().heartbeat(number).await?;
    let heartbeat = heartbeat.ok_or_else(|| Problem::new(Code::BadRequest, format!("check {id} is no heartbeat")))?;
    Ok(view::heartbeat_view(id, &heartbeat, present.console_url()))
}

/// `GET /api/v1/checks/{id}/heartbeat`
pub async fn heartbeat(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<HeartbeatView>> {
    heartbeat_of(&present, &id).await.map(Json)
}

/// What a run-now is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunQuery {
    agent: Option<String>,
}

/// `POST /api/v1/checks/{id}/run`: answers when every agent has, or its time is over.
pub async fn run(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    query: Ask<RunQuery>,
) -> Answer<Json<RunView>> {
    let query = ask(query)?;
    run_now(&present, Some(caller.access), &id, query.agent.as_deref()).await.map(Json)
}

/// Whether who reaches so far may have a check run at once: heartbeats nobody, what may change something where it goes (an order that is placed, a mail that is
/// sent) those who may act alone.
pub(super) fn may_run(check: &crate::book::Check, access: Option<Access>) -> bool {
    let kind = &check.newest().definition.kind;
    let needed = if kind.acts() { Access::Respond } else { Access::Read };
    !matches!(kind, CheckKind::Heartbeat(_)) && access.is_some_and(|access| access >= needed)
}

/// Runs a check at once.
///
/// # Errors
/// When there is no such check or agent, or the one does not run the other; [`Code::Forbidden`] for who may only look, where a run may change something.
pub async fn run_now(present: &Present, access: Option<Access>, id: &str, agent: Option<&str>) -> Answer<RunView> {
    let (check, definition, agent) = {
        let book = present.app().book();
        let check = check_of(&book, id)?;
        if check.newest().definition.kind.acts() && !may_run(check, access) {
            let what = format!("a run of check {id} may change something where it goes: this asks for respond");
            return Err(Problem::new(Code::Forbidden, what));
        }
        let agent = agent.map(|name| agent_of(&book, name)).transpose()?;
        (check.number, check.newest().definition.clone(), agent)
    };
    let runs = run_now::run_now(present.app(), check, agent).await?;
    Ok(view::run_view(&definition, &runs))
}

/// `GET /api/v1/secrets`
pub async fn secrets(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<SecretView>> {
    list.page.of_all(view::secrets(&present.app().book()), |secret| secret.name.clone())
}

/// `GET /api/v1/secrets/{name}`
pub async fn secret(State(present): State<Present>, Path(name): Path<String>) -> Answer<Json<SecretView>> {
    let found = view::secrets(&present.app().book()).into_iter().find(|secret| secret.name == name);
    found.map(Json).ok_or_else(|| Problem::not_found("secret", &name))
}

/// `PUT /api/v1/secrets/{name}`: the body is the value itself, so that no parser can quote it in an error.
pub async fn set_secret(
    State(present): State<Present>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<StatusCode> {
    let body = body.map_err(|_| Problem::new(Code::TooLarge, "a secret has 8192 bytes at most"))?;
    present.app().set_secret(&name, body.to_vec(), clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the removal of a secret is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveQuery {
    #[serde(default)]
    force: bool,
}

/// `DELETE /api/v1/secrets/{name}`
pub async fn remove_secret(
    State(present): State<Present>,
    Path(name): Path<String>,
    query: Ask<RemoveQuery>,
) -> Answer<StatusCode> {
    present.app().remove_secret(&name, ask(query)?.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/agents`
pub async fn agents(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<AgentView>> {
    list.page.of_all(present.agents().await?, |agent| (agent.name.clone(), agent.enrolled.clone()))
}

/// `GET /api/v1/agents/{name}`
pub async fn agent(State(present): State<Present>, Path(name): Path<String>) -> Answer<Json<AgentView>> {
    present.agent(&name).await.map(Json)
}

/// What `/api/v1/sla` is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlaQuery {
    check: Option<String>,
    from: Option<String>,
    to: Option<String>,
    agent: Option<String>,
    region: Option<String>,
    policy: Option<String>,
}

/// `GET /api/v1/sla`
pub async fn sla(State(present): State<Present>, list: List<SlaQuery>) -> Answer<Listed<SlaView>> {
    let List { query, page } = list;
    let now = clock::now();
    page.of_all(figures_of(&present, query, now).await?, |figures| figures.check.clone())
}

impl SlaQuery {
    /// A question about no check alone.
    pub(super) fn of_period(
        from: Option<String>,
        to: Option<String>,
        agent: Option<String>,
        region: Option<String>,
        policy: Option<String>,
    ) -> Self {
        Self { check: None, from, to, agent, region, policy }
    }

    /// The period asked for, as far as it is told, and whose votes count.
    pub(super) fn asked(&self, book: &Book, now: UtcMicros) -> Answer<(Option<UtcMicros>, Option<UtcMicros>, Filter)> {
        let at = |text: &Option<String>| text.as_deref().map(|text| instant_of(text, now)).transpose();
        let (from, to) = (at(&self.from)?, at(&self.to)?);
        if let Some(from) = from
            && from >= to.unwrap_or(now).min(now)
        {
            let text = "the period is empty: `from` must lie before `to`, and before now";
            return Err(Problem::new(Code::BadRequest, text));
        }
        let filter = match (&self.agent, &self.region) {
            (Some(_), Some(_)) => return Err(Problem::new(Code::BadRequest, "ask for an agent or a region, not both")),
            (Some(name), None) => Filter::Agent(agent_of(book, name)?),
            (None, Some(region)) => Filter::Region(region_of(book, region)?),
            (None, None) => Filter::All,
        };
        Ok((from, to, filter))
    }

    /// The question behind a report.
    pub(super) fn of(report: &SlaReportBody) -> Self {
        Self {
            check: (!report.checks.is_empty()).then(|| report.checks.join(",")),
            from: report.from.clone(),
            to: report.to.clone(),
            ..Self::default()
        }
    }

    /// The period asked for, not clipped to any check's life.
    pub(super) fn period(&self, book: &Book, now: UtcMicros) -> Answer<Span> {
        let (from, to, _) = self.asked(book, now)?;
        Ok(period_asked(from, to, now))
    }

    /// The terms of the policy asked for, for work beside the tasks.
    pub(super) fn terms(&self, app: &App, now: UtcMicros) -> Answer<Option<Terms>> {
        let Some(asked) = &self.policy else { return Ok(None) };
        let period = self.period(&app.book(), now)?;
        policy::terms_of(app, asked, period).map(Some)
    }

    /// The checks asked for, by id; else all living ones.
    pub(super) fn checks<'b>(&self, book: &'b Book) -> Answer<Vec<&'b crate::book::Check>> {
        let mut checks: Vec<_> = match &self.check {
            Some(ids) => ids.split(',').map(|id| check_of(book, id)).collect::<Answer<_>>()?,
            None => book.checks().filter(|check| !check.retired()).collect(),
        };
        checks.sort_by(|a, b| a.id.cmp(&b.id));
        checks.dedup_by_key(|check| check.number);
        Ok(checks)
    }

    /// The checks asked for, by id; else all that counted in the period, retired ones too, as in the figures of all checks together.
    pub(super) fn checks_then<'b>(&self, book: &'b Book, now: UtcMicros) -> Answer<Vec<&'b crate::book::Check>> {
        if self.check.is_some() {
            return self.checks(book);
        }
        let (from, to, _) = self.asked(book, now)?;
        let counted = |check: &&crate::book::Check| check.counting(book.period(check, from, to, now)).is_some();
        let mut checks: Vec<_> = book.checks().filter(counted).collect();
        checks.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(checks)
    }

    /// The one check asked for.
    pub(super) fn one<'b>(&self, book: &'b Book) -> Answer<&'b crate::book::Check> {
        let id = self.check.as_ref().ok_or_else(|| Problem::new(Code::BadRequest, "name the check: `check=ID`"))?;
        check_of(book, id)
    }
}

impl SlaQuery {
    /// One check over a period, as a policy counts it.
    pub(super) fn counted(check: String, from: String, to: String, policy: Option<String>) -> Self {
        Self { policy, ..Self::plain(check, Some(from), Some(to)) }
    }

    /// The same by the votes of an agent or a region alone.
    pub(super) fn by(self, agent: Option<String>, region: Option<String>) -> Self {
        Self { agent, region, ..self }
    }

    /// One check over a period, by all votes.
    pub(super) fn plain(check: String, from: Option<String>, to: Option<String>) -> Self {
        Self { check: Some(check), from, to, ..Self::default() }
    }
}

/// The figures of checks over a period, beside the tasks.
///
/// # Errors
/// When there is no such check or policy.
pub(super) async fn figures_of(present: &Present, query: SlaQuery, now: UtcMicros) -> Answer<Vec<SlaView>> {
    let app = present.app().clone();
    let figures = present.beside(move || {
        let terms = query.terms(&app, now)?;
        figures(&app, &query, terms.as_ref(), now)
    });
    figures.await?
}

fn figures(app: &App, query: &SlaQuery, terms: Option<&Terms>, now: UtcMicros) -> Answer<Vec<SlaView>> {
    let ((from, to, filter), checks) = {
        let book = app.book();
        let checks = query.checks(&book)?.into_iter().map(|check| check.number);
        (query.asked(&book, now)?, checks.collect::<Vec<CheckNo>>())
    };
    let mut views = Vec::with_capacity(checks.len());
    in_slices(
        || app.book(),
        checks,
        |book, check| {
            let Some(check) = book.check(check) else { return };
            let period = book.period(check, from, to, now);
            let Some(spans) = book.verdicts(check.number, &filter, period) else { return };
            let mut view = sla_view(check, period, &Account::of(&spans));
            if let Some(terms) = terms {
                policy::count(&mut view, terms, period, &spans);
            }
            views.push(view);
        },
    );
    Ok(views)
}

/// What `/api/v1/history` is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    agent: Option<String>,
    check: Option<String>,
}

/// `GET /api/v1/history`: oldest first.
pub async fn history(State(present): State<Present>, list: List<HistoryQuery>) -> Answer<Listed<EventView>> {
    let List { query, page } = list;
    let book = present.app().book();
    if let Some(name) = &query.agent {
        agent_of(&book, name)?;
    }
    if let Some(id) = &query.check {
        check_of(&book, id)?;
    }
    let key = |(at, event): &(UtcMicros, EventView)| (at.0, event.author.clone(), event.number, event.agent.clone());
    Ok(page.of_all(events(&book, &query), key)?.map(|(_, event)| event))
}

/// What was done about an agent, oldest first.
pub(super) fn events_of_agent(book: &Book, name: &str) -> Vec<EventView> {
    let events = events(book, &HistoryQuery { agent: Some(name.to_owned()), check: None });
    events.into_iter().map(|(_, event)| event).collect()
}

fn events(book: &Book, query: &HistoryQuery) -> Vec<(UtcMicros, EventView)> {
    let revocations = book.agents().filter_map(|agent| Some((agent.revoked_at?, view::revocation_view(agent)?)));
    let mut events: Vec<(UtcMicros, EventView)> = book
        .control()
        .events()
        .map(|event| (event.at, event_view(book, &event)))
        .chain(revocations)
        .filter(|(_, view)| query.agent.as_ref().is_none_or(|agent| view.agent.as_ref() == Some(agent)))
        .filter(|(_, view)| query.check.as_ref().is_none_or(|check| view.check.as_ref() == Some(check)))
        .collect();
    events.sort_by_key(|(at, _)| *at);
    events
}

/// What is wrong in check files.
fn bad_checks(lines: Vec<String>) -> Problem {
    let count = if lines.len() == 1 { "1 fault".to_string() } else { format!("{} faults", lines.len()) };
    Problem::new(Code::BadChecks, format!("{count}; nothing was applied")).with_errors(lines)
}

/// `POST /api/v1/apply`
pub async fn apply(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    conditions: definitions::AllConditions,
    request: Body<ApplyBody>,
) -> Answer<Json<PlanView>> {
    let request = body(request)?;
    let sources: Vec<Source> =
        request.files.into_iter().map(|file| Source { name: file.name, text: file.text }).collect();
    let written = parsed(&sources)?;
    let options = ApplyOptions { prune: request.prune, dry_run: request.dry_run, author: caller.author };
    let now = clock::now();
    let work = move |engine: &mut Engine| -> Answer<Plan> {
        let shared = Arc::clone(engine.shared());
        conditions.hold(&shared.book())?;
        Ok(engine.apply_as(caller.access, written, &options, now)?)
    };
    let plan = present.app().writer().run(work).await.map_err(AppError::from)??;
    let plan = plan_view(&plan);
    note.tell(plan_note(&plan));
    Ok(Json(plan))
}

/// What files say, where all of it can be used.
fn parsed(sources: &[Source]) -> Answer<Written> {
    let written =
        checkfile::parse(sources).map_err(|errors| bad_checks(errors.0.iter().map(ToString::to_string).collect()))?;
    let unusable: Vec<String> = written
        .checks
        .iter()
        .filter_map(|WrittenCheck { definition, .. }| {
            let what = Timing::of_kind(&definition.kind)?.err()?;
            Some(format!("check {}: {what}", definition.id))
        })
        .collect();
    if !unusable.is_empty() {
        return Err(Problem::new(Code::BadChecks, "nothing was applied").with_errors(unusable));
    }
    Ok(written)
}

/// What applying did, or would do, in a line.
pub(super) fn plan_note(plan: &PlanView) -> String {
    let mark = |action: &str| match action {
        "create" => Some('+'),
        "change" => Some('~'),
        "retire" => Some('-'),
        _ => None,
    };
    let checks = plan.items.iter().filter_map(|item| Some(format!("{}check {}", mark(&item.action)?, item.check)));
    let objects = plan.objects.iter();
    let objects = objects.filter_map(|item| Some(format!("{}{} {}", mark(&item.action)?, item.kind, item.id)));
    let changes: Vec<String> = checks.chain(objects).collect();
    let dry = if plan.dry_run { "dry run: " } else { "" };
    if changes.is_empty() { format!("{dry}nothing differs") } else { format!("{dry}{}", changes.join(", ")) }
}

/// `POST /api/v1/control`
pub async fn control(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<ControlBody>,
) -> Answer<Json<EventView>> {
    let request = body(request)?;
    note.tell(control_note(&request));
    Ok(Json(control_of(&present, &request, &caller.author).await?))
}

/// Gives a control event on behalf of `author`.
///
/// # Errors
/// When there is no such check or agent, or the change is not possible.
pub async fn control_of(present: &Present, request: &ControlBody, author: &str) -> Answer<EventView> {
    let now = clock::now();
    let scope = {
        let book = present.app().book();
        let agent = request.agent.as_deref().map(|name| agent_of(&book, name)).transpose()?;
        let check = request.check.as_deref().map(|id| check_of(&book, id).map(|check| check.number)).transpose()?;
        match (agent, check) {
            (Some(agent), Some(check)) => Scope::AgentCheck(agent, check),
            (Some(agent), None) => Scope::Agent(agent),
            (None, Some(check)) => Scope::Check(check),
            (None, None) => return Err(Problem::new(Code::BadRequest, "name an agent, a check, or both")),
        }
    };
    let change = change_of(request, scope, now)?;
    let event = present.app().control(scope, change, author, now).await?;
    let view = event_view(&present.app().book(), &event);
    Ok(view)
}

/// What is to be done, in a line.
pub(super) fn control_note(request: &ControlBody) -> String {
    let mut text = request.action.clone();
    for (key, value) in [
        ("agent", request.agent.clone()),
        ("check", request.check.clone()),
        ("weight", request.weight.map(|weight| weight.to_string())),
        ("until", request.until.clone()),
        ("reason", request.reason.clone()),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(", {key} {value}"));
        }
    }
    text
}

fn change_of(request: &ControlBody, scope: Scope, now: UtcMicros) -> Answer<Change> {
    let bad = |message: &str| Problem::new(Code::BadRequest, message);
    match request.action.as_str() {
        "suspend" => {
            let reason = request.reason.as_deref().unwrap_or_default().trim().to_string();
            if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
                return Err(bad("a suspension needs a reason: one line of 1 to 500 bytes"));
            }
            let until = request.until.as_deref().map(|text| instant_of(text, now)).transpose()?;
            let until = until.unwrap_or(now.plus_us(SUSPENSION_US_DEFAULT));
            if until <= now {
                return Err(bad("the suspension would be over already: `until` must lie ahead"));
            }
            if until.us_since(now) > SUSPENSION_US_MAX {
                return Err(bad("a suspension lasts 366 days at most: give an earlier `until`"));
            }
            Ok(Change::Suspend { until, reason })
        }
        "resume" => Ok(Change::Resume),
        "weight" => {
            if matches!(scope, Scope::Check(_)) {
                return Err(bad(
                    "a check's weight is part of its definition: change it in its file and apply that, or name an agent",
                ));
            }
            let value = request.weight.ok_or_else(|| bad("a weight needs its value in `weight`"))?;
            let thousandths = (value * 1000.0).round();
            if !(0.0..=f64::from(Weight::MAX.0)).contains(&thousandths) || (value * 1000.0 - thousandths).abs() > 1e-6 {
                return Err(bad("a weight is a number from 0 to 1000 with at most three decimals"));
            }
            Ok(Change::Weight(Weight(thousandths as u32)))
        }
        other => Err(bad(&format!("unknown action {other:?}: use suspend, resume or weight"))),
    }
}

/// `POST /api/v1/agents/{name}/revoke`
pub async fn revoke(State(present): State<Present>, note: Note, Path(name): Path<String>) -> Answer<StatusCode> {
    note.tell(format!("agent {name} revoked for good"));
    let name = AgentName::parse(&name).map_err(|_| Problem::not_found("agent", &name))?;
    present.app().revoke_agent(&name, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/join-tokens`
pub async fn join_token(
    State(present): State<Present>,
    note: Note,
    request: Body<JoinTokenBody>,
) -> Answer<Json<TokenView>> {
    let request = body(request)?;
    note.tell(format!("join token for region {}, good for {} s", request.region, request.ttl_seconds));
    let region = Region::parse(&request.region).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
    let made =
        present.app().create_join_token(region, request.ttl_seconds.saturating_mul(1_000_000), clock::now()).await?;
    Ok(Json(TokenView {
        token: made.token.to_string(),
        region: Some(made.region.to_string()),
        expires: instant::format(made.expires),
    }))
}

/// What a sign-in link is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkQuery {
    /// Whether its session may change things: take and end incidents, ...
    #[serde(default)]
    admin: bool,
}

/// `POST /api/v1/sign-in-links`
pub async fn sign_in_link(State(present): State<Present>, note: Note, query: Ask<LinkQuery>) -> Answer<Json<LinkView>> {
    let access = if ask(query)?.admin { Access::Admin } else { Access::Read };
    note.tell(format!("a link whose session has access {access}"));
    let Some(console) = present.console_url().map(str::to_string) else {
        return Err(Problem::new(
            Code::Unavailable,
            "there is no console to sign in to: start it with `sitepulse-collector serve`",
        ));
    };
    let made =
        present.app().create_credential(CredentialKind::SignIn, access, "console", SIGN_IN_US, clock::now()).await?;
    Ok(Json(LinkView {
        url: format!("{}/sign-in?token={}", console.trim_end_matches('/'), made.secret),
        expires: instant::format(made.credential.expires),
    }))
}

pub(super) fn instant_of(text: &str, now: UtcMicros) -> Answer<UtcMicros> {
    instant::parse(text, now).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))
}

pub(super) fn check_of<'b>(book: &'b Book, id: &str) -> Answer<&'b crate::book::Check> {
    CheckId::parse(id).ok().and_then(|id| book.check_by_id(&id)).ok_or_else(|| Problem::not_found("check", id))
}

pub(super) fn agent_of(book: &Book, name: &str) -> Answer<sitepulse_model::id::AgentNo> {
    let agent = AgentName::parse(name).ok().and_then(|name| book.agent_by_name(&name));
    agent.map(|agent| agent.number).ok_or_else(|| Problem::not_found("agent", name))
}

fn region_of(book: &Book, region: &str) -> Answer<Region> {
    let known = Region::parse(region).ok().filter(|region| book.agents().any(|agent| agent.region == *region));
    known.ok_or_else(|| Problem::not_found("region", region))
}

/// The ends of a period that figures are asked of.
fn period_of(from: Option<&str>, to: Option<&str>, now: UtcMicros) -> Answer<(Option<UtcMicros>, Option<UtcMicros>)> {
    let at = |text: Option<&str>| text.map(|text| instant_of(text, now)).transpose();
    let (from, to) = (at(from)?, at(to)?);
    if from.is_some_and(|from| from >= to.unwrap_or(now).min(now)) {
        return Err(Problem::new(Code::BadRequest, "the period is empty: `from` must lie before `to`, and before now"));
    }
    Ok((from, to))
}

/// Whether figures are asked apart by agent, and not by region.
fn is_by_agent(by: Option<&str>) -> Answer<bool> {
    match by {
        None | Some("region") => Ok(false),
        Some("agent") => Ok(true),
        Some(other) => Err(Problem::new(Code::BadRequest, format!("by={other:?}: use region or agent"))),
    }
}
