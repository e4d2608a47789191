//! Incidents: the list with what is open on top, and the page of one with its evidence, its history and what became of each message.
//!
//! What a person does here (acknowledge, resolve, open again, comment) is a form of its own that works without scripts.

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::incident::{IncidentId, IncidentState, NoticeEvent, Severity};
use sitepulse_model::time::UtcMicros;

use super::frame::{Frame, Place};
use super::{class as state_class, clock_text};
use crate::alert::people::Act;
use crate::app::{Access, AppError};
use crate::present::door::Caller;
use crate::present::dto::incidents::{EntryView, EvidenceView, IncidentDetailView, IncidentView, MessageView};
use crate::present::problem::{Answer, Problem};
use crate::present::text::alerting::AlertingTexts;
use crate::present::text::incidents::IncidentTexts;
use crate::present::text::{Language, Texts};
use crate::present::{Present, figure, incidents};
use crate::store::incidents::Asked;

/// Most incidents of the list that are over: the newest.
const OVER_MAX: usize = 200;
/// Most rows of a history on the page: the newest.
const HISTORY_MAX: usize = 300;

/// The list.
#[derive(Template)]
#[template(path = "incidents.html")]
struct List<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    i: &'a IncidentTexts,
    lang: Language,
    open: Vec<Row>,
    over: Vec<Row>,
    /// Whether incidents of checks would be told to nobody.
    silent: bool,
    as_of: String,
}

struct Row {
    id: String,
    class: &'static str,
    state: String,
    severity: String,
    severity_class: String,
    kind: String,
    about: String,
    link: String,
    since: String,
    length: String,
    notes: Vec<String>,
}

/// One incident.
#[derive(Template)]
#[template(path = "incident.html")]
struct One<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    i: &'a IncidentTexts,
    lang: Language,
    row: Row,
    may_act: bool,
    open: bool,
    acknowledgeable: bool,
    resolved: bool,
    facts: Vec<(&'static str, String)>,
    hints: Vec<String>,
    post_mortem: String,
    evidence: Vec<Turn>,
    history: Vec<Line>,
    messages: Vec<Sent>,
    intact: bool,
    intact_words: String,
    fault: String,
    head: String,
    as_of: String,
}

/// The evidence of a turn.
struct Turn {
    at: String,
    verdict: String,
    votes: Vec<VoteRow>,
    notes: Vec<String>,
}

struct VoteRow {
    agent: String,
    region: String,
    class: &'static str,
    vote: String,
    weight: String,
    why_not: String,
    result: String,
    detail: String,
    facts: Vec<(String, String)>,
}

struct Line {
    at: String,
    who: String,
    what: String,
    /// Whether somebody wrote it.
    prose: bool,
    broken: bool,
}

struct Sent {
    step: u32,
    channel: String,
    event: &'static str,
    class: &'static str,
    state: &'static str,
    attempts: usize,
    said: String,
    at: String,
}

/// A form's fields.
#[derive(Debug, Default, Deserialize)]
pub struct ActForm {
    #[serde(default)]
    text: String,
}

/// `GET /incidents`
pub async fn incidents_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    let (lang, t, now) = (frame.lang, frame.t, clock::now());
    let asked = Asked {
        period: incidents::period(None, None, now),
        resolved: true,
        check: None,
        agent: None,
        kind: None,
        limit: incidents::LIST_MAX,
    };
    let all = incidents::list(&present, asked, now).await?;
    let (over, open): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.state == "resolved");
    let content = List {
        t,
        w: t.alerting,
        i: t.incidents,
        lang,
        open: by_weight(open).into_iter().map(|one| Row::of(one, now, t)).collect(),
        over: over.into_iter().take(OVER_MAX).map(|one| Row::of(one, now, t)).collect(),
        silent: !present.app().book().objects().escalations.living().any(|(_, policy)| policy.body.default),
        as_of: clock_text(UtcMicros(now.0 - now.0.rem_euclid(1_000_000))),
    };
    frame.page(Place::Incidents, t.incidents.incidents, None, &content)
}

/// What is worst first, then what is open longest.
fn by_weight(mut open: Vec<&IncidentView>) -> Vec<&IncidentView> {
    let rank = |one: &IncidentView| {
        (one.state == "suspected", std::cmp::Reverse(Severity::parse(&one.severity)), one.since.clone())
    };
    open.sort_by_key(|one| rank(one));
    open
}

/// `GET /incidents/{id}`
pub async fn incident_page(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    let now = clock::now();
    let found = incidents::one(present.app(), &id, now).await?;
    let content = One::of(&found, frame.lang, frame.may(Access::Respond), now);
    frame.page(Place::Incidents, &format!("{} {id}", frame.t.incidents.incident), None, &content)
}

/// `POST /incidents/{id}/{action}`: `ack`, `resolve`, `reopen` or `comment`; then the page again.
pub async fn act(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
    Form(form): Form<ActForm>,
) -> Answer<Response> {
    let act = match action.as_str() {
        "ack" => Act::Acknowledge { by: None },
        "resolve" => Act::Resolve { by: None },
        "reopen" => Act::Reopen { by: None },
        "comment" => Act::Comment { text: form.text },
        _ => return Err(Problem::not_found("action", &action)),
    };
    let (incident, author, now) = (IncidentId(id.clone()), caller.author, clock::now());
    let done = present.app().writer().run(move |engine| engine.act_on(&incident, &act, &author, now));
    done.await.map_err(AppError::from)??;
    let to = HeaderValue::from_str(&format!("/incidents/{id}")).unwrap_or(HeaderValue::from_static("/incidents"));
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response())
}

impl Row {
    fn of(one: &IncidentView, now: UtcMicros, t: &Texts) -> Self {
        let w = t.incidents;
        let state = IncidentState::parse(&one.state).unwrap_or(IncidentState::Open);
        let severity = Severity::parse(&one.severity).unwrap_or(Severity::Info);
        let (about, link) = match (&one.check, &one.agent, &one.slo, &one.title) {
            (Some(check), _, _, None) => (check.clone(), format!("/checks/{check}")),
            (_, Some(agent), _, None) => (agent.clone(), "/agents".to_owned()),
            (_, _, Some(slo), None) => (slo.clone(), "/slos".to_owned()),
            (check, _, _, title) => {
                let link = check.as_ref().map(|check| format!("/checks/{check}")).unwrap_or_default();
                (title.clone().unwrap_or_default(), link)
            }
        };
        let notes = [
            one.flapping.then(|| w.flapping.to_owned()),
            (one.reopened > 0).then(|| (w.reopened)(one.reopened)),
            one.held.as_ref().map(|held| (w.held)(&held.reason)),
            one.acknowledged_by
                .as_ref()
                .filter(|_| one.state == "acknowledged")
                .map(|by| format!("{} {}", t.by, who(by, w))),
            one.assignee.as_ref().map(|who| format!("{}: {who}", w.assignee)),
        ];
        Self {
            id: one.id.clone(),
            class: match state {
                IncidentState::Resolved => "up",
                IncidentState::Suspected => "unknown",
                IncidentState::Acknowledged => "maintenance",
                IncidentState::Open if severity >= Severity::Major => "down",
                IncidentState::Open => "degraded",
            },
            state: (w.state)(&one.state),
            severity: (w.severity)(&one.severity),
            severity_class: format!("severity {severity}"),
            kind: (w.kind)(&one.kind),
            about,
            link,
            since: moment(&one.since, now),
            length: figure::length(one.duration_seconds, t.slo.day),
            notes: notes.into_iter().flatten().collect(),
        }
    }
}

impl<'a> One<'a> {
    fn of(found: &IncidentDetailView, lang: Language, may_act: bool, now: UtcMicros) -> Self {
        let t = lang.texts();
        let (w, i) = (t.alerting, t.incidents);
        let one = &found.incident;
        let state = IncidentState::parse(&one.state).unwrap_or(IncidentState::Open);
        let shown = |at: &Option<String>| at.as_ref().map(|at| moment(at, now));
        let by = |at: Option<String>, by: &Option<String>| {
            at.map(|at| by.as_ref().map_or(at.clone(), |by| format!("{at} · {}", who(by, i))))
        };
        let facts = [
            (i.since, Some(moment(&one.since, now))),
            (i.opened, shown(&one.opened_at)),
            (i.acknowledged, by(shown(&one.acknowledged_at), &one.acknowledged_by)),
            (i.resolved, by(shown(&one.resolved_at), &one.resolved_by)),
            (i.assignee, one.assignee.clone()),
            (w.escalations, found.escalation.clone().or_else(|| Some(w.nobody_told.to_owned()))),
        ];
        let hints = [
            found.next_step_at.as_ref().map(|at| (w.next_step)(&moment(at, now))),
            found.paused_until.as_ref().map(|at| (w.paused_until)(&moment(at, now))),
            (!found.told.is_empty()).then(|| format!("{}: {}", w.channels, found.told.join(", "))),
        ];
        let history = found.history.iter().rev().take(HISTORY_MAX).map(|entry| Line::of(entry, now, i)).collect();
        Self {
            t,
            w,
            i,
            lang,
            row: Row::of(one, now, t),
            may_act,
            open: state.is_open(),
            acknowledgeable: state == IncidentState::Open,
            resolved: state == IncidentState::Resolved,
            facts: facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            hints: hints.into_iter().flatten().collect(),
            post_mortem: found.post_mortem.clone().unwrap_or_default(),
            evidence: found.evidence.iter().rev().map(|turn| Turn::of(turn, now, t)).collect(),
            history,
            messages: found.messages.iter().rev().map(|message| Sent::of(message, now, w)).collect(),
            intact: found.integrity.intact,
            intact_words: (i.intact)(found.integrity.entries),
            fault: found.integrity.fault.clone().unwrap_or_default(),
            head: found.integrity.head.as_ref().map(|head| head.chars().take(16).collect()).unwrap_or_default(),
            as_of: clock_text(UtcMicros(now.0 - now.0.rem_euclid(1_000_000))),
        }
    }
}

impl Turn {
    fn of(turn: &EvidenceView, now: UtcMicros, t: &Texts) -> Self {
        let evidence = &turn.evidence;
        let votes = evidence.votes.iter().map(|vote| {
            let result = vote.result.as_ref();
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let facts =
                result.map(|result| result.facts.iter().map(|(name, value)| (name.clone(), text(value))).collect());
            let of_result = |result: &crate::alert::evidence::ResultEvidence| {
                let seconds = result.seconds.map(|seconds| (t.number)(figure::latency(seconds)));
                let parts = [
                    Some(moment(&result.slot, now)),
                    result.phase.clone(),
                    result.cause.clone(),
                    result.address.clone(),
                    seconds,
                ];
                parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
            };
            VoteRow {
                agent: vote.agent.clone(),
                region: vote.region.clone(),
                class: state_class(&vote.vote),
                vote: t.state(&vote.vote).to_owned(),
                weight: (t.number)(vote.weight.to_string()),
                why_not: vote.why_not.clone().unwrap_or_default(),
                result: result.map(of_result).unwrap_or_default(),
                detail: result.map(|result| result.detail.clone()).unwrap_or_default(),
                facts: facts.unwrap_or_default(),
            }
        });
        Self {
            at: moment(&turn.at, now),
            verdict: evidence.verdict.as_deref().map(|verdict| t.state(verdict).to_owned()).unwrap_or_default(),
            votes: votes.collect(),
            notes: evidence.notes.clone(),
        }
    }
}

impl Line {
    fn of(entry: &EntryView, now: UtcMicros, i: &IncidentTexts) -> Self {
        Self {
            at: moment(&entry.at, now),
            who: who(&entry.author, i),
            what: (i.entry)(entry),
            prose: ["comment", "public_note"].contains(&entry.action.as_str()),
            broken: !entry.intact,
        }
    }
}

impl Sent {
    fn of(message: &MessageView, now: UtcMicros, w: &AlertingTexts) -> Self {
        let last = message.deliveries.last();
        Self {
            step: message.step,
            channel: message.channel.clone(),
            event: NoticeEvent::parse(&message.event).map_or("", w.event),
            class: match message.state.as_str() {
                "delivered" => "up",
                "given_up" => "down",
                _ => "unknown",
            },
            state: (w.delivery)(&message.state),
            attempts: message.deliveries.len(),
            said: last.map(|last| last.note.clone()).unwrap_or_default(),
            at: moment(last.map_or(&message.created, |last| &last.at), now),
        }
    }
}

/// Who did something, for people.
fn who(author: &str, i: &IncidentTexts) -> String {
    let who = (i.author)(author);
    who.strip_prefix("collector:").unwrap_or(&who).to_owned()
}

/// An instant of ours for people, to the second.
fn moment(at: &str, now: UtcMicros) -> String {
    instant::parse(at, now)
        .map_or_else(|_| at.to_owned(), |at| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000))))
}
