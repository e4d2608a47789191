//! From stored incidents to the shapes that the API, the console and the command line show.

use sitepulse_daemon::instant;
use sitepulse_model::escalation::LEVELS_MAX;
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::machine::Entry;
use sitepulse_model::incident::times::{Times, times};
use sitepulse_model::incident::{IncidentId, IncidentState, Severity};
use sitepulse_model::time::{Span, UtcMicros};

use crate::alert::{self, Record, Standing, StoredEntry, integrity};
use crate::app::App;
use crate::book::Book;
use crate::outbox::{DeliveryState, Logged, Message};
use crate::present::Present;
use crate::present::dto::incidents::{
    DeliveryView, EntryView, EvidenceView, HeldView, IncidentDetailView, IncidentView, IntegrityView, MessageView,
    NextView, OpenNowView, StepView, SummaryView, TimesView,
};
use crate::present::oncall::target_view;
use crate::present::problem::{Answer, Problem};
use crate::store::incidents::{self as stored, Asked};
use crate::store::outbox;

/// How far back resolved incidents are listed where nothing is said, in microseconds: 30 days.
pub const PERIOD_DEFAULT_US: i64 = 30 * 86_400 * 1_000_000;
/// Most incidents of a list.
pub const LIST_MAX: usize = 10_000;

/// How many steps that are passed by are looked beyond.
const STEPS_AHEAD_MAX: usize = LEVELS_MAX * 2;

/// The period of a list.
pub fn period(from: Option<UtcMicros>, to: Option<UtcMicros>, now: UtcMicros) -> Span {
    // What is suspected at this very instant belongs to it.
    let to = to.unwrap_or(now.plus_us(1));
    Span::new(from.unwrap_or_else(|| to.plus_us(-PERIOD_DEFAULT_US)), to)
}

/// A list of incidents, the newest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn list(present: &Present, asked: Asked, now: UtcMicros) -> Answer<Vec<IncidentView>> {
    let found = present.app().read_store(move |tables| stored::list(tables, &asked)).await?;
    let book = present.app().book();
    Ok(found.iter().map(|standing| incident_view(&book, standing, now)).collect())
}

/// A page of incidents, the newest first, each with its place in the list; `after` is the place that the page before ended with.
///
/// # Errors
/// When the store cannot be read.
pub async fn page(
    present: &Present,
    asked: Asked,
    after: Option<(i64, String)>,
    now: UtcMicros,
) -> Answer<Vec<((i64, String), IncidentView)>> {
    let after = after.map(|(suspected, id)| (UtcMicros(suspected), IncidentId(id)));
    let found = present.app().read_store(move |tables| stored::page(tables, &asked, after.as_ref())).await?;
    let book = present.app().book();
    let view = |standing: &Standing| {
        ((standing.incident.life.suspected_at.0, standing.incident.id.0.clone()), incident_view(&book, standing, now))
    };
    Ok(found.iter().map(view).collect())
}

/// How many incidents there are of a question, whatever its limit.
///
/// # Errors
/// When the store cannot be read.
pub async fn count(present: &Present, asked: Asked) -> Answer<usize> {
    Ok(present.app().read_store(move |tables| stored::count(tables, &asked)).await?)
}

/// An incident with all that belongs to it; `None` where there is none of that id.
///
/// # Errors
/// When the store cannot be read.
pub async fn one(app: &App, id: &str, now: UtcMicros) -> Answer<IncidentDetailView> {
    let asked = IncidentId(id.to_owned());
    let found = app
        .read_store(move |tables| {
            let Some(standing) = stored::one(tables, &asked)? else { return Ok(None) };
            let entries = stored::entries(tables, &asked)?;
            let messages = outbox::of_incident(tables, &asked)?;
            Ok(Some((standing, entries, messages, stored::deliveries(tables, &asked)?)))
        })
        .await?;
    let (standing, entries, messages, attempts) = found.ok_or_else(|| Problem::not_found("incident", id))?;
    let book = app.book();
    Ok(detail_view(&book, &standing, &entries, &messages, &attempts, now))
}

/// How many incidents there were in a period, and how long they took.
///
/// # Errors
/// When the store cannot be read.
pub async fn summary(app: &App, period: Span, check: Option<CheckNo>) -> Answer<SummaryView> {
    let lives = app.read_store(move |tables| stored::lives(tables, period, check)).await?;
    let open_now = |severity: Severity| {
        lives.iter().filter(|life| life.severity == severity && life.state.is_open()).count() as u64
    };
    Ok(SummaryView {
        from: instant::format(period.from),
        to: instant::format(period.to),
        all: times_view(&times(&lives, Severity::Info, period)),
        critical: times_view(&times(&lives, Severity::Critical, period)),
        open_now: OpenNowView {
            critical: open_now(Severity::Critical),
            major: open_now(Severity::Major),
            minor: open_now(Severity::Minor),
            info: open_now(Severity::Info),
        },
    })
}

fn times_view(times: &Times) -> TimesView {
    let seconds = |us: Option<i64>| us.map(|us| us as f64 / 1e6);
    TimesView {
        opened: times.opened,
        acknowledged: times.acknowledged,
        resolved: times.resolved,
        resolved_untaken: times.resolved_untaken,
        open: times.open,
        mtta_seconds: seconds(times.mtta_us),
        mttr_seconds: seconds(times.mttr_us),
    }
}

/// An incident as lists tell it.
///
/// # Errors
/// When there is none of that id, or the store cannot be read.
pub async fn brief(app: &App, id: &IncidentId, now: UtcMicros) -> Answer<IncidentView> {
    let asked = id.clone();
    let found = app.read_store(move |tables| stored::one(tables, &asked)).await?;
    let standing = found.ok_or_else(|| Problem::not_found("incident", &id.0))?;
    Ok(incident_view(&app.book(), &standing, now))
}

fn at(at: Option<UtcMicros>) -> Option<String> {
    at.map(instant::format)
}

/// An incident as lists tell it.
pub fn incident_view(book: &Book, standing: &Standing, now: UtcMicros) -> IncidentView {
    let facts = alert::facts(book, standing);
    let (life, about) = (&standing.incident.life, &standing.about);
    let until = life.resolved_at.unwrap_or(now);
    IncidentView {
        id: facts.id,
        check: facts.check,
        agent: facts.agent,
        slo: facts.slo,
        kind: facts.kind.to_string(),
        state: facts.state.to_string(),
        severity: facts.severity.to_string(),
        title: about.title.clone(),
        since: instant::format(facts.since),
        opened_at: at(facts.opened_at),
        acknowledged_at: at(facts.acknowledged_at),
        acknowledged_by: life.acknowledged_by.clone(),
        resolved_at: at(facts.resolved_at),
        resolved_by: life.resolved_by.clone(),
        flapping: facts.flapping,
        reopened: life.reopened,
        assignee: about.assignee.clone(),
        held: life
            .held
            .filter(|_| life.state != IncidentState::Resolved)
            .map(|(reason, since)| HeldView { reason: reason.to_string(), since: instant::format(since) }),
        duration_seconds: until.us_since(life.since).max(0) as f64 / 1e6,
        // By `Present::rank`, where somebody looks at the queue.
        rank: None,
    }
}

fn detail_view(
    book: &Book,
    standing: &Standing,
    entries: &[StoredEntry],
    messages: &[Message],
    attempts: &[Logged],
    now: UtcMicros,
) -> IncidentDetailView {
    let life = &standing.incident.life;
    let integrity = integrity::of(standing, entries);
    IncidentDetailView {
        incident: incident_view(book, standing, now),
        suspected_at: instant::format(life.suspected_at),
        first_acknowledged_at: at(life.first_acknowledged_at),
        paused_until: at(life.paused_until),
        escalation: alert::policy_of(book, &standing.incident.subject, &standing.about).map(|policy| policy.id.clone()),
        next_step_at: at(alert::next_step(book, standing)),
        next: next_view(book, standing, now),
        told: standing.about.told.iter().cloned().collect(),
        post_mortem: standing.about.post_mortem.clone(),
        evidence: entries.iter().filter_map(evidence_view).collect(),
        history: entries.iter().map(entry_view).collect(),
        messages: messages.iter().map(|message| message_view(message, attempts)).collect(),
        integrity: IntegrityView {
            intact: integrity.fault.is_none(),
            broken_at: integrity.broken_at,
            fault: integrity.fault,
            entries: entries.len() as u64,
            head: entries.last().map(|entry| hex(&entry.hash)),
        },
    }
}

/// Whom the ladder tells next: as it would climb by itself, with the policy and the people of now.
fn next_view(book: &Book, standing: &Standing, now: UtcMicros) -> Option<NextView> {
    let mut at = alert::next_step(book, standing)?;
    let life = &standing.incident.life;
    let policy = alert::policy_of(book, &standing.incident.subject, &standing.about)?;
    let mut ladder = life.ladder;
    if life.state == IncidentState::Acknowledged {
        ladder.resume(policy, life.severity, at);
    }
    for _ in 0..STEPS_AHEAD_MAX {
        if let Some((level, round)) = ladder.climb(policy, life.severity, at).first() {
            let targets = policy.levels.get(*level as usize).map(|level| level.notify.as_slice()).unwrap_or_default();
            return Some(NextView {
                at: instant::format(at),
                level: level + 1,
                round: round + 1,
                targets: targets.iter().map(|text| target_view(book, text, life.severity, at.max(now))).collect(),
            });
        }
        at = ladder.due(policy, life.severity)?;
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn evidence_view(entry: &StoredEntry) -> Option<EvidenceView> {
    let Some(Record::Evidence(evidence)) = &entry.record else { return None };
    Some(EvidenceView { entry: entry.number, at: instant::format(entry.at), evidence: (**evidence).clone() })
}

fn entry_view(entry: &StoredEntry) -> EntryView {
    let mut view = EntryView {
        number: entry.number,
        at: instant::format(entry.at),
        author: entry.author.clone(),
        intact: entry.intact,
        hash: hex(&entry.hash),
        ..EntryView::default()
    };
    let mut named = |action: &str| action.clone_into(&mut view.action);
    match &entry.record {
        None => named("unreadable"),
        Some(Record::Life(life)) => match life {
            Entry::Opened { severity } => {
                named("opened");
                view.severity = Some(severity.to_string());
            }
            Entry::Reopened { by } => {
                named("reopened");
                view.by.clone_from(by);
            }
            Entry::Severity { to } => {
                named("severity");
                view.severity = Some(to.to_string());
            }
            Entry::Flapping => named("flapping"),
            Entry::Settled => named("settled"),
            Entry::Held { reason } => {
                named("held");
                view.reason = Some(reason.to_string());
            }
            Entry::Released => named("released"),
            Entry::Acknowledged { by } => {
                named("acknowledged");
                view.by = Some(by.clone());
            }
            Entry::AcknowledgementExpired => named("acknowledgement_expired"),
            Entry::Resolved { by } => {
                named("resolved");
                view.by.clone_from(by);
            }
        },
        Some(Record::Step { step, event, level, round, channels, unreached, held, withdrawn }) => {
            named("step");
            view.step = Some(StepView {
                number: *step,
                event: event.to_string(),
                level: level.map(|level| level + 1),
                round: round + 1,
                channels: channels.clone(),
                unreached: unreached.clone(),
                held: held.iter().map(|(channel, until)| (channel.clone(), instant::format(*until))).collect(),
                withdrawn: withdrawn.clone(),
            });
        }
        Some(Record::LetThrough { channels }) => {
            named("let_through");
            view.text = Some(channels.keys().cloned().collect::<Vec<_>>().join(", "));
        }
        Some(Record::MessageCancelled { step, channel }) => {
            named("message_cancelled");
            (view.of_step, view.text) = (Some(*step), Some(channel.clone()));
        }
        Some(Record::MessageTakenUp { step, channel }) => {
            named("message_taken_up");
            (view.of_step, view.text) = (Some(*step), Some(channel.clone()));
        }
        Some(Record::Comment { text }) => {
            named("comment");
            view.text = Some(text.clone());
        }
        Some(Record::PublicNote { text }) => {
            named("public_note");
            view.text = Some(text.clone());
        }
        Some(Record::Assigned { to }) => {
            named("assigned");
            view.text.clone_from(to);
        }
        Some(Record::PostMortem { text }) => {
            named("post_mortem");
            view.text = Some(text.clone());
        }
        Some(Record::Evidence(_)) => named("evidence"),
    }
    view
}

fn message_view(message: &Message, attempts: &[Logged]) -> MessageView {
    let Message { key, state, created, due, notice, .. } = message;
    let waits = match state {
        DeliveryState::Due | DeliveryState::Leased => true,
        DeliveryState::Delivered | DeliveryState::GivenUp | DeliveryState::Withdrawn => false,
    };
    let theirs = attempts.iter().filter(|one| one.step == key.step && one.channel == key.channel);
    MessageView {
        step: key.step,
        channel: key.channel.clone(),
        event: notice.event.to_string(),
        state: match state {
            DeliveryState::Due => "due",
            DeliveryState::Leased => "leased",
            DeliveryState::Delivered => "delivered",
            DeliveryState::GivenUp => "given_up",
            DeliveryState::Withdrawn => "withdrawn",
        }
        .to_owned(),
        created: instant::format(*created),
        due: waits.then(|| instant::format(*due)),
        key: key.to_string(),
        deliveries: theirs.map(delivery_view).collect(),
    }
}

fn delivery_view(logged: &Logged) -> DeliveryView {
    DeliveryView {
        attempt: logged.attempt,
        at: instant::format(logged.at),
        seconds: logged.took_us as f64 / 1e6,
        outcome: match logged.delivered {
            Some(true) => "delivered",
            Some(false) => "given_up",
            None => "again",
        }
        .to_owned(),
        note: logged.note.clone(),
    }
}
