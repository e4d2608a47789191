//! The page of an incident: its evidence, its history, whom it told and whom it tells next, and what people may do.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use sitepulse_daemon::clock;
use sitepulse_model::incident::{IncidentState, NoticeEvent};
use sitepulse_model::time::UtcMicros;

use super::facts::{self, FactRow};
use super::frame::{Frame, Place};
use super::incidents::{Row, moment, who};
use super::{class as state_class, clock_text, playbooks};
use crate::alert::evidence::note_of;
use crate::app::Access;
use crate::playbook::acts::Asked as About;
use crate::present::dto::incidents::{EntryView, EvidenceView, IncidentDetailView, MessageView};
use crate::present::dto::oncall::TargetView;
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::text::alerting::AlertingTexts;
use crate::present::text::cause::{Failure, Why, status_of};
use crate::present::text::desk::DeskTexts;
use crate::present::text::incidents::IncidentTexts;
use crate::present::{Present, figure, incidents};

/// Most rows of a history on the page: the newest.
const HISTORY_MAX: usize = 300;

/// One incident.
#[derive(Template)]
#[template(path = "incident.html")]
struct One<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    i: &'a IncidentTexts,
    d: &'a DeskTexts,
    row: Row,
    /// What to do, rendered.
    playbook: String,
    /// Whether somebody can silence what it is about.
    silenceable: bool,
    /// When the ladder tells whom next; empty: it does not.
    next: String,
    next_targets: Vec<Reached>,
    said: String,
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
    fault: Why,
    head: String,
    as_of: String,
}

/// The evidence of a turn.
struct Turn {
    /// The entry of the history that holds it.
    entry: u64,
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
    why_not: &'static str,
    result: String,
    why: Why,
    facts: Vec<FactRow>,
    /// What they are, and how many.
    facts_words: String,
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
    /// Whether trying again helps: it waits, or was given up.
    retry: bool,
    event: &'static str,
    class: &'static str,
    state: &'static str,
    attempts: usize,
    said: Why,
    at: String,
}

/// `GET /incidents/{id}`
pub async fn incident_page(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    show(&present, &frame, &id, "").await
}

/// The page; `said`: what somebody tried to comment.
pub(super) async fn show(present: &Present, frame: &Frame, id: &str, said: &str) -> Answer<Response> {
    let now = clock::now();
    let mut found = incidents::one(present.app(), id, now).await?;
    present.rank([&mut found.incident], now).await?;
    let open = IncidentState::parse(&found.incident.state).is_some_and(IncidentState::is_open);
    let playbook = playbooks::offer(present, frame, About::Incident(id.to_owned()), open).await?;
    let content = One::of(&found, frame, said, playbook, now);
    let title = format!("{} {id}", frame.t.incidents.incident);
    frame.page(Place::Incidents, &title, Some("incident check playbook"), &content)
}

/// Whom targets reach, in words: `oncall:primary → Ana (ana-hook)`.
pub(super) fn targets(targets: &[TargetView], now: UtcMicros, t: &Texts) -> Vec<Reached> {
    targets.iter().map(|target| Reached::of(target, now, t)).collect()
}

/// Where a target leads.
pub(super) struct Reached {
    pub(super) target: String,
    /// By whom and by which channel.
    pub(super) ways: Vec<String>,
    /// What cannot be told.
    pub(super) not: Vec<String>,
}

impl Reached {
    fn of(target: &TargetView, now: UtcMicros, t: &Texts) -> Self {
        let way = |reach: &crate::present::dto::oncall::ReachView| {
            let held = reach.held_until.as_deref().map(|at| (t.desk.held_until)(&moment(at, now)));
            let name = match &reach.user {
                Some(user) => Some(format!("{} ({})", user.name, reach.channel)),
                // A channel that was named itself needs no second name.
                None => Some(reach.channel.clone()).filter(|channel| *channel != target.target),
            };
            let parts: Vec<String> = [name, held].into_iter().flatten().collect();
            parts.join(", ")
        };
        let mut not: Vec<String> = target.unreached.iter().map(|why| (t.causes.unreached)(why)).collect();
        if target.reaches.is_empty() && not.is_empty() {
            not.push(t.desk.reaches_nobody.to_owned());
        }
        Self {
            target: target.target.clone(),
            ways: target.reaches.iter().map(way).filter(|way| !way.is_empty()).collect(),
            not,
        }
    }
}

impl<'a> One<'a> {
    fn of(found: &IncidentDetailView, frame: &'a Frame, said: &str, playbook: String, now: UtcMicros) -> Self {
        let t = frame.t;
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
            (
                t.impact.rank,
                one.rank
                    .as_ref()
                    .map(|rank| format!("{} · {}", (t.impact.rank_of)(rank.position), t.of_both(&rank.reason))),
            ),
        ];
        let hints = [
            found.paused_until.as_ref().map(|at| (w.paused_until)(&moment(at, now))),
            (!found.told.is_empty()).then(|| format!("{}{}{}", w.channels, t.colon, found.told.join(", "))),
        ];
        let history = found.history.iter().rev().take(HISTORY_MAX).map(|entry| Line::of(entry, now, i)).collect();
        Self {
            t,
            w,
            i,
            d: t.desk,
            row: Row::of(one, now, t),
            playbook,
            may_act: frame.may(Access::Respond),
            silenceable: state.is_open() && (one.check.is_some() || one.agent.is_some()),
            next: found
                .next
                .as_ref()
                .map_or_else(String::new, |next| (t.desk.next_at)(&moment(&next.at, now), next.level, next.round)),
            next_targets: found.next.as_ref().map_or_else(Vec::new, |next| targets(&next.targets, now, t)),
            said: said.to_owned(),
            open: state.is_open(),
            acknowledgeable: state == IncidentState::Open,
            resolved: state == IncidentState::Resolved,
            facts: facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            hints: hints.into_iter().flatten().collect(),
            post_mortem: found.post_mortem.clone().unwrap_or_default(),
            evidence: found.evidence.iter().rev().map(|turn| Turn::of(turn, now, t)).collect(),
            history,
            messages: found.messages.iter().rev().map(|message| Sent::of(message, now, t)).collect(),
            intact: found.integrity.intact,
            intact_words: (i.intact)(found.integrity.entries),
            fault: found.integrity.fault.as_deref().map(t.causes.said).unwrap_or_default(),
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
            let facts = result.map(|result| facts::rows(None, &result.facts, false, t)).unwrap_or_default();
            let why = result.map(|result| {
                t.why(Failure {
                    cause: result.cause.as_deref(),
                    phase: result.phase.as_deref(),
                    status: status_of(&result.facts),
                    line: &result.detail,
                })
            });
            let why = why.unwrap_or_default();
            let of_result = |result: &crate::alert::evidence::ResultEvidence| {
                let seconds = result.seconds.map(|seconds| (t.number)(figure::latency(seconds)));
                // A sentence in other words than the agent's tells phase and cause.
                let told = !why.quoted.is_empty();
                let parts = [
                    Some(moment(&result.slot, now)),
                    result.phase.clone().filter(|_| !told),
                    result.cause.clone().filter(|_| !told),
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
                why_not: vote.why_not.as_deref().map_or("", |why| t.no_vote(why)),
                result: result.map(of_result).unwrap_or_default(),
                why,
                facts_words: (t.incidents.told)(facts.len()),
                facts,
            }
        });
        Self {
            entry: turn.entry,
            at: moment(&turn.at, now),
            verdict: evidence.verdict.as_deref().map(|verdict| t.state(verdict).to_owned()).unwrap_or_default(),
            votes: votes.collect(),
            notes: evidence
                .notes
                .iter()
                .map(|note| match &evidence.found {
                    Some(found) if *note == note_of(found) => (t.causes.found)(found),
                    Some(_) | None => (t.causes.note)(note),
                })
                .collect(),
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
    fn of(message: &MessageView, now: UtcMicros, t: &Texts) -> Self {
        let w = t.alerting;
        let last = message.deliveries.last();
        Self {
            step: message.step,
            channel: message.channel.clone(),
            retry: match message.state.as_str() {
                "given_up" | "withdrawn" => true,
                state => state == "due" && !message.deliveries.is_empty(),
            },
            event: NoticeEvent::parse(&message.event).map_or("", w.event),
            class: match message.state.as_str() {
                "delivered" => "up",
                "given_up" => "down",
                _ => "unknown",
            },
            state: (w.delivery)(&message.state),
            attempts: message.deliveries.len(),
            said: last.map(|last| (t.causes.said)(&last.note)).unwrap_or_default(),
            at: moment(last.map_or(&message.created, |last| &last.at), now),
        }
    }
}
