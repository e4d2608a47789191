//! Jobs: what waits, runs and is over, live; and one of them with its log.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Extension, Path, Query, State};
use axum::response::Response;
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::json;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::job::State as JobState;
use sitepulse_model::time::UtcMicros;

use super::acts;
use super::frame::{Frame, Place};
use super::incidents::moment;
use super::parts::{Chip, Chips, Pager, Pill, Stat};
use crate::app::Access;
use crate::jobs::Kind;
use crate::jobs::all::{self, Place as At, Wanted};
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::jobs::{JobBody, JobPriorityBody, JobView, JobsSummaryView};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::jobs::JobTexts;
use crate::present::{Present, jobs};

/// How many jobs a page shows.
const SHOWN: usize = 50;
/// What changes these pages, by topics of the events.
const LIVE: Option<&str> = Some("job incident");

/// What is shown.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct JobsPageQuery {
    state: String,
    kind: String,
    after: String,
}

/// What a form asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AskForm {
    kind: String,
    group: String,
}

/// What a form does to a job.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ActForm {
    priority: String,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct List<'a> {
    t: &'a Texts,
    j: &'a JobTexts,
    may_edit: bool,
    may_backup: bool,
    stats: Vec<Stat>,
    states: Chips,
    kinds: Chips,
    groups: Vec<String>,
    rows: Vec<Row>,
    pager: Option<Pager>,
}

#[derive(Template)]
#[template(path = "job.html")]
struct One<'a> {
    j: &'a JobTexts,
    may_edit: bool,
    may_download: bool,
    row: Row,
    facts: Vec<(&'static str, String)>,
    /// What a message is about, and by what it goes: where that is shown, and its name.
    links: Vec<(&'static str, String, String)>,
    log: Vec<(String, String)>,
}

/// A job as both pages show it.
struct Row {
    id: String,
    kind: &'static str,
    key: String,
    pill: Pill,
    extra: &'static str,
    priority: u16,
    due: String,
    /// Of 100, for the bar.
    part: String,
    percent: String,
    running: bool,
    said: String,
    author: String,
    file: String,
    may_cancel: bool,
    may_retry: bool,
    may_prioritise: bool,
}

/// `GET /jobs`
pub async fn jobs_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<JobsPageQuery>,
) -> Answer<Response> {
    show(&present, &frame, &query).await
}

/// `POST /jobs`: asks for a job, and shows it.
pub async fn ask_job(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    note: Note,
    Form(form): Form<AskForm>,
) -> Answer<Response> {
    let args = match Kind::parse(&form.kind) {
        Some(Kind::Export) => json!({ "format": "jsonl" }),
        Some(Kind::RunChecks | Kind::VitalsBatch) => json!({ "group": form.group.trim() }),
        Some(
            Kind::Seal
            | Kind::Retention
            | Kind::Insights
            | Kind::Impact
            | Kind::Backup
            | Kind::SlaReport
            | Kind::Noop
            | Kind::Notification,
        )
        | None => json!({}),
    };
    let body = JobBody { kind: form.kind, args, ..JobBody::default() };
    match jobs::ask(State(present.clone()), Extension(caller), note, Ok(Json(body))).await {
        Ok(Json(job)) => Ok(acts::see(&format!("/jobs/{}", job.id))),
        Err(why) => show(&present, &frame.refused("/jobs", why), &JobsPageQuery::default()).await,
    }
}

/// `GET /jobs/{id}`
pub async fn job_page(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    show_one(&present, &frame, &id).await
}

/// `POST /jobs/{id}/{action}`: `cancel`, `retry` or `priority`.
pub async fn act_on_job(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
    Form(form): Form<ActForm>,
) -> Answer<Response> {
    let (state, caller, path) = (State(present.clone()), Extension(caller), Path(id.clone()));
    let done = match action.as_str() {
        "cancel" => jobs::cancel(state, caller, path).await,
        "retry" => jobs::retry(state, caller, path).await,
        "priority" => match form.priority.trim().parse() {
            Ok(priority) => jobs::prioritise(state, caller, path, Ok(Json(JobPriorityBody { priority }))).await,
            Err(_) => Err(Problem::new(Code::BadRequest, format!("priority {:?}: write 0 to 1000", form.priority))),
        },
        other => return Err(Problem::not_found("action", other)),
    };
    match done {
        // Not always the same: another one may do it.
        Ok(Json(job)) => Ok(acts::see(&format!("/jobs/{}", job.id))),
        Err(why) if why.is_not_found() => Err(why),
        Err(why) => show_one(&present, &frame.refused(format!("/jobs/{id}"), why), &id).await,
    }
}

async fn show(present: &Present, frame: &Frame, query: &JobsPageQuery) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let wanted =
        Wanted { state: JobState::parse(&query.state), kind: Kind::parse(&query.kind), after: At::parse(&query.after) };
    let (asked, j) = (wanted.clone(), t.jobs);
    let mut found = present.app().read_store(move |tables| all::list(tables, &asked, SHOWN + 1)).await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let summary = jobs::summary_of(present, now).await?;
    let last = found.last().filter(|_| more).map(all::Shown::place);
    let rows: Vec<Row> =
        found.iter().map(|one| Row::of(&jobs::view(present, one, j, now), one.kind(), frame, now)).collect();
    let groups = {
        let book = present.app().book();
        let of = |check: &crate::book::Check| Some(check.current()?.labels.group.as_ref()?.to_string());
        book.checks().filter_map(of).collect::<BTreeSet<String>>().into_iter().collect()
    };
    let content = List {
        t,
        j,
        may_edit: frame.may(Access::Edit),
        may_backup: frame.may(Access::Admin),
        stats: stats(&summary, t),
        states: states(&summary, &wanted, j),
        kinds: kinds(&summary, &wanted, j),
        groups,
        rows,
        pager: pager(&wanted, last.as_ref(), j),
    };
    frame.page(Place::Jobs, j.title, LIVE, &content)
}

/// The address of the list with these filters.
fn address(state: Option<JobState>, kind: Option<Kind>, after: Option<&At>) -> String {
    let mut parts = Vec::new();
    parts.extend(state.map(|state| format!("state={}", state.as_str())));
    parts.extend(kind.map(|kind| format!("kind={}", kind.as_str())));
    parts.extend(after.map(|place| format!("after={place}")));
    if parts.is_empty() { "/jobs".to_owned() } else { format!("/jobs?{}", parts.join("&")) }
}

fn pager(wanted: &Wanted, last: Option<&At>, j: &JobTexts) -> Option<Pager> {
    if last.is_none() && wanted.after.is_none() {
        return None;
    }
    Some(Pager {
        text: j.title.to_owned(),
        previous: wanted.after.as_ref().map(|_| (address(wanted.state, wanted.kind, None), j.newest)),
        next: last.map(|last| (address(wanted.state, wanted.kind, Some(last)), j.older)),
    })
}

fn stats(summary: &JobsSummaryView, t: &Texts) -> Vec<Stat> {
    let j = t.jobs;
    let sum = |of: fn(&crate::present::dto::jobs::JobCountsView) -> u64| summary.kinds.iter().map(of).sum::<u64>();
    let bad = |count: u64| if count > 0 { "critical" } else { "plain" };
    let stat = |title: &str, value: String, tone: &'static str, href: &str| Stat {
        title: title.to_owned(),
        value,
        measured: true,
        tone,
        href: href.to_owned(),
        ..Stat::default()
    };
    let wait = summary.wait_p95_seconds;
    vec![
        stat(j.waiting, sum(|kind| kind.waiting).to_string(), "plain", "/jobs?state=waiting"),
        stat(j.running, sum(|kind| kind.running).to_string(), "plain", "/jobs?state=running"),
        stat(j.overdue, summary.late.to_string(), bad(summary.late), ""),
        Stat {
            note: j.of_7_days.to_owned(),
            ..stat(j.failed, summary.failed.to_string(), bad(summary.failed), "/jobs?state=failed")
        },
        Stat {
            measured: wait.is_some(),
            ..stat(
                j.wait_p95,
                wait.map_or_else(|| t.no_evidence.to_owned(), |wait| (t.number)(format!("{wait:.1} s"))),
                "plain",
                "",
            )
        },
        Stat {
            note: (j.messages_are)(summary.messages_waiting, summary.messages_failed),
            ..stat(
                j.messages,
                (summary.messages_waiting + summary.messages_failed).to_string(),
                bad(summary.messages_failed),
                "/jobs?kind=notification",
            )
        },
    ]
}

fn states(summary: &JobsSummaryView, wanted: &Wanted, j: &JobTexts) -> Chips {
    let count = |state: JobState| -> u64 {
        let kinds = summary.kinds.iter().filter(|one| wanted.kind.is_none_or(|kind| kind.as_str() == one.kind));
        kinds
            .map(|one| match state {
                JobState::Waiting => one.waiting,
                JobState::Running => one.running,
                JobState::Done => one.done,
                JobState::Failed => one.failed,
                JobState::Cancelled => one.cancelled,
            })
            .sum()
    };
    let mut chips = vec![Chip {
        label: j.any_state.to_owned(),
        href: address(None, wanted.kind, None),
        current: wanted.state.is_none(),
        ..Chip::default()
    }];
    chips.extend(JobState::ALL.map(|state| Chip {
        label: (j.word)(state).to_owned(),
        href: address(Some(state), wanted.kind, None),
        current: wanted.state == Some(state),
        count: count(state).to_string(),
        class: class(state),
    }));
    Chips { label: j.state.to_owned(), chips, tabs: false }
}

fn kinds(summary: &JobsSummaryView, wanted: &Wanted, j: &JobTexts) -> Chips {
    let there = |kind: Kind| {
        let one = summary.kinds.iter().find(|one| one.kind == kind.as_str());
        one.is_some_and(|one| one.waiting + one.running + one.done + one.failed + one.cancelled > 0)
    };
    let mut chips = vec![Chip {
        label: j.any_kind.to_owned(),
        href: address(wanted.state, None, None),
        current: wanted.kind.is_none(),
        ..Chip::default()
    }];
    let shown = Kind::ALL.into_iter().filter(|kind| there(*kind) || wanted.kind == Some(*kind));
    chips.extend(shown.map(|kind| Chip {
        label: (j.kind_word)(kind).to_owned(),
        href: address(wanted.state, Some(kind), None),
        current: wanted.kind == Some(kind),
        ..Chip::default()
    }));
    Chips { label: j.kind.to_owned(), chips, tabs: false }
}

const fn class(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "degraded",
        JobState::Running => "maintenance",
        JobState::Done => "up",
        JobState::Failed => "down",
        JobState::Cancelled => "unknown",
    }
}

async fn show_one(present: &Present, frame: &Frame, id: &str) -> Answer<Response> {
    let (now, t, j) = (clock::now(), frame.t, frame.t.jobs);
    let detail = jobs::detail(present, id, frame.t.jobs, now).await?;
    let view = &detail.job;
    let kind = Kind::parse(&view.kind).ok_or_else(|| Problem::not_found("job", id))?;
    let at = |at: &Option<String>| at.as_deref().map(|at| moment(at, now));
    let took = match (&view.started, &view.ended) {
        (Some(started), Some(ended)) => match (instant::parse(started, now), instant::parse(ended, now)) {
            (Ok(from), Ok(to)) => Some((t.number)(format!("{:.1} s", to.us_since(from).max(0) as f64 / 1e6))),
            (Ok(_) | Err(_), _) => None,
        },
        (Some(_) | None, _) => None,
    };
    let message = kind == Kind::Notification;
    let args = Some(view.args.to_string()).filter(|text| text != "{}" && text != "null" && !message);
    let part = |name: &str| view.args[name].as_str().unwrap_or_default().to_owned();
    let links = match message {
        true => vec![
            (j.incident, format!("/incidents/{}", part("incident")), part("incident")),
            (j.channel, "/channels".to_owned(), part("channel")),
        ],
        false => Vec::new(),
    };
    let facts = [
        (j.asked, Some(format!("{} {}", moment(&view.asked, now), (j.asked_by)(&person(&view.author))))),
        (j.due, Some(moment(&view.due, now))),
        (j.deadline, at(&view.deadline)),
        (j.started, at(&view.started)),
        (j.ended, at(&view.ended)),
        (j.took, took),
        (j.tries, Some((j.tries_of)(view.tries, view.tries_max))),
        (
            j.priority,
            Some(if message { format!("{}. {}", view.priority, j.pages_first) } else { view.priority.to_string() }),
        ),
        (j.told, args),
        (j.result, Some(view.note.clone()).filter(|note| !note.is_empty())),
    ];
    let content = One {
        j,
        may_edit: frame.may(kind.spec().asked_by.unwrap_or(Access::Edit).max(Access::Edit)),
        may_download: frame.may(kind.spec().asked_by.unwrap_or(Access::Admin)),
        row: Row::of(view, kind, frame, now),
        facts: facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        links,
        log: detail.log.iter().map(|line| (moment(&line.at, now), line.text.clone())).collect(),
    };
    frame.page(Place::Jobs, (j.kind_word)(kind), LIVE, &content)
}

fn person(name: &str) -> String {
    name.strip_prefix("collector:").unwrap_or(name).to_owned()
}

impl Row {
    fn of(view: &JobView, kind: Kind, frame: &Frame, now: UtcMicros) -> Self {
        let (t, j) = (frame.t, frame.t.jobs);
        let state = JobState::parse(&view.state).unwrap_or(JobState::Waiting);
        let may = frame.may(kind.spec().asked_by.unwrap_or(Access::Edit).max(Access::Edit));
        let waits = state == JobState::Waiting;
        let share = (view.progress * 100.0).floor();
        Self {
            id: view.id.clone(),
            kind: (j.kind_word)(kind),
            // A message's id says as much.
            key: view.key.clone().filter(|key| !key.starts_with('{') && kind != Kind::Notification).unwrap_or_default(),
            pill: Pill { class: class(state), word: (j.word)(state).to_owned() },
            extra: match (view.cancelling, view.late) {
                (true, _) => j.cancelling,
                (false, true) => j.late,
                (false, false) => "",
            },
            priority: view.priority,
            due: moment(&view.due, now),
            part: format!("{share:.0}"),
            percent: (t.number)(format!("{share:.0} %")),
            running: state == JobState::Running,
            said: if view.message.is_empty() { view.note.clone() } else { view.message.clone() },
            author: person(&view.author),
            file: view.file.clone().unwrap_or_default(),
            // A message that is being sent is with its provider already.
            may_cancel: may && !state.is_over() && !view.cancelling && (waits || kind != Kind::Notification),
            may_retry: may && (matches!(state, JobState::Failed | JobState::Cancelled) || waits && view.tries > 0),
            may_prioritise: may && waits && kind != Kind::Notification,
        }
    }
}
