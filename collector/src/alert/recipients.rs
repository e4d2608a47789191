//! Who is told of a step, and what.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::escalation::{EscalationPolicy, Target};
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::{IncidentId, IncidentKind, NoticeEvent, Severity, Subject};
use sitepulse_model::notice::{Context, IncidentFacts, Notice, Recipient};
use sitepulse_model::time::UtcMicros;

use super::{About, Desk, HeldMessage, Record, Standing, evidence, signals};
use crate::book::Book;
use crate::outbox::DeliveryKey;

/// Most checks that a message names.
const CHECKS_MAX: usize = 100;

/// A channel that a step goes out by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Its id.
    pub(crate) channel: String,
    /// The user it is for; `None`: whoever reads the channel.
    pub(crate) user: Option<String>,
    /// When it goes out: later than now where quiet hours hold it back.
    pub(crate) due: UtcMicros,
}

/// What targets come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The channels, each once, in order. Of several ways to one channel the earliest counts, of those the one that is for
    /// nobody by name.
    pub(crate) to: Vec<Reach>,
    /// Targets that lead nowhere, and why.
    pub(crate) unreached: Vec<String>,
}

impl Reached {
    fn add(&mut self, reach: Reach) {
        match self.to.iter_mut().find(|known| known.channel == reach.channel) {
            Some(known) if reach.due < known.due || (reach.due == known.due && reach.user.is_none()) => *known = reach,
            Some(_) => {}
            None => self.to.push(reach),
        }
    }

    fn target(&mut self, book: &Book, text: &str, severity: Severity, now: UtcMicros) {
        match Target::parse(text) {
            Ok(Target::Channel(channel)) if book.objects().channels.current(&channel).is_some() => {
                self.add(Reach { channel, user: None, due: now });
            }
            Ok(Target::Channel(_)) => self.unreached.push(format!("{text}: there is no such channel any more")),
            Ok(Target::User(user)) => self.user(book, text, &user, severity, now),
            Ok(Target::OnCall(schedule)) if book.objects().schedules.current(&schedule).is_none() => {
                self.unreached.push(format!("{text}: there is no such schedule any more"));
            }
            Ok(Target::OnCall(schedule)) => match book.on_call(&schedule, now) {
                Some(on_call) => self.user(book, &format!("{text} ({})", on_call.user), &on_call.user, severity, now),
                None => self.unreached.push(format!("{text}: nobody is on call")),
            },
            Err(why) => self.unreached.push(why),
        }
    }

    fn user(&mut self, book: &Book, text: &str, id: &str, severity: Severity, now: UtcMicros) {
        let Some(user) = book.objects().users.current(id).map(|revised| &revised.body) else {
            self.unreached.push(format!("{text}: there is no such user any more"));
            return;
        };
        if user.notify.is_empty() {
            self.unreached.push(format!("{text}: the user has no channel: write notify = [...] in its [[user]]"));
        }
        let due = book.quiet_until(user, severity, now).unwrap_or(now);
        for channel in &user.notify {
            if book.objects().channels.current(channel).is_some() {
                self.add(Reach { channel: channel.clone(), user: Some(id.to_owned()), due });
            } else {
                self.unreached.push(format!("{text}: there is no channel {channel:?} any more"));
            }
        }
    }
}

/// Where a target leads at an instant, for an incident of a severity.
pub(crate) fn of_target(book: &Book, target: &str, severity: Severity, now: UtcMicros) -> Reached {
    let mut reached = Reached::default();
    reached.target(book, target, severity, now);
    reached
}

/// The channels of a level of a policy at an instant.
pub(crate) fn of_level(
    book: &Book,
    policy: Option<&EscalationPolicy>,
    level: u32,
    severity: Severity,
    now: UtcMicros,
) -> Reached {
    let mut reached = Reached::default();
    let targets = policy.and_then(|policy| policy.levels.get(level as usize)).map(|level| level.notify.as_slice());
    for text in targets.unwrap_or_default() {
        reached.target(book, text, severity, now);
    }
    reached
}

/// Everybody who was told of an incident before: they are told that it is taken, or over. A page that quiet hours still hold back is not heard of any more by then, so
/// it goes out no more, and who was told nothing but that is not told this either.
pub(super) fn told_before(book: &Book, standing: &mut Standing, now: UtcMicros) -> Reached {
    let severity = standing.incident.life.severity;
    let about = &mut standing.about;
    release(about, now);
    let reach = |channel: &String| {
        let user = about.told_for.get(channel);
        let known = user.and_then(|user| book.objects().users.current(user));
        let due = known.and_then(|user| book.quiet_until(&user.body, severity, now)).unwrap_or(now);
        Reach { channel: channel.clone(), user: user.cloned(), due }
    };
    Reached { to: about.told.iter().map(reach).collect(), unreached: Vec::new() }
}

/// Notes which messages that were held back went out meanwhile.
fn release(about: &mut About, now: UtcMicros) {
    let told = &mut about.told;
    about.held.retain(|channel, held| {
        let waits = held.until > now;
        if !waits {
            told.insert(channel.clone());
        }
        waits
    });
}

/// It opened again. Who heard of the end has nothing to hear of the next one, unless they are told again. Whom quiet hours keep from the end still have it open: that
/// message waits on, and they are told of what comes next.
pub(super) fn opened_again(about: &mut About, now: UtcMicros) {
    release(about, now);
    let held = &about.held;
    about.told.retain(|channel| held.contains_key(channel));
    about.told_for.retain(|channel, _| held.contains_key(channel));
}

/// What quiet hours hold back of an incident and let through now, as severe as it is: it counts as told from here on. That it was over is no news of one that is open
/// again.
pub(super) fn let_through(book: &Book, standing: &mut Standing, now: UtcMicros) -> Vec<(Reach, HeldMessage)> {
    let severity = standing.incident.life.severity;
    let about = &mut standing.about;
    release(about, now);
    let rests = |user: &String| {
        let user = book.objects().users.current(user)?;
        book.quiet_until(&user.body, severity, now)
    };
    let told_for = &about.told_for;
    let mut free: Vec<(String, HeldMessage)> = Vec::new();
    about.held.retain(|channel, held| {
        let was_over = held.event == NoticeEvent::Resolved;
        let waits = was_over || told_for.get(channel).and_then(&rests).is_some();
        if !waits {
            free.push((channel.clone(), *held));
        }
        waits
    });
    about.told.extend(free.iter().map(|(channel, _)| channel.clone()));
    let reach = |(channel, held): (String, HeldMessage)| {
        let user = about.told_for.get(&channel).cloned();
        (Reach { channel, user, due: now }, held)
    };
    free.into_iter().map(reach).collect()
}

/// Notes whom a step tells: which of its messages are held back until when, and which held ones of earlier steps go out no more. A channel that is told something new
/// needs no older page any more, and would get it out of order. A step that takes the incident or ends it (`over`) withdraws all that are held.
pub(super) fn settle(
    about: &mut About,
    reached: &Reached,
    step: u32,
    now: UtcMicros,
    over: bool,
) -> (BTreeMap<String, UtcMicros>, BTreeMap<String, u32>) {
    let (mut held, mut withdrawn) = (BTreeMap::new(), BTreeMap::new());
    release(about, now);
    about.held.retain(|channel, message| {
        let waits = !over && !reached.to.iter().any(|reach| reach.channel == *channel);
        if !waits {
            withdrawn.insert(channel.clone(), message.step);
        }
        waits
    });
    for Reach { channel, user, due } in &reached.to {
        match user {
            Some(user) => about.told_for.insert(channel.clone(), user.clone()),
            None => about.told_for.remove(channel),
        };
        if *due > now {
            held.insert(channel.clone(), *due);
            about.held.insert(channel.clone(), HeldMessage { step, until: *due, event: NoticeEvent::Opened });
        } else {
            about.told.insert(channel.clone());
        }
    }
    (held, withdrawn)
}

/// Whom a message is for.
pub(super) fn recipient(book: &Book, user: Option<&str>) -> Option<Recipient> {
    let user = &book.objects().users.current(user?)?.body;
    Some(Recipient {
        user: user.id.clone(),
        name: user.display_name().to_owned(),
        language: user.language.clone(),
        zone: user.zone.clone(),
    })
}

/// Tells in the log what could not be told to anybody.
pub(super) fn complain<'r>(records: impl Iterator<Item = (&'r IncidentId, &'r Record)>) {
    for (incident, record) in records {
        let Record::Step { step, unreached, channels, .. } = record else { continue };
        for what in unreached {
            tracing::warn!(%incident, step, reached = channels.len(), "a target of the escalation was not reached: {what}");
        }
    }
}

/// An incident's facts for people.
pub(crate) fn facts(book: &Book, standing: &Standing) -> IncidentFacts {
    let incident = &standing.incident;
    let (mut check, mut agent, mut slo) = (None, None, None);
    match &incident.subject {
        Subject::Check(number) => check = book.check(*number).map(|check| check.id.to_string()),
        Subject::Agent(number) => agent = book.agent(*number).map(|agent| agent.name.to_string()),
        Subject::Slo(id) => slo = Some(id.clone()),
        Subject::Manual(_) => {
            let named = standing.about.check.and_then(|number| book.check(CheckNo(number)));
            check = named.map(|check| check.id.to_string());
        }
    }
    let life = &incident.life;
    IncidentFacts {
        id: incident.id.to_string(),
        check,
        agent,
        slo,
        kind: incident.kind,
        state: life.state,
        severity: life.severity,
        since: life.since,
        opened_at: life.opened_at,
        acknowledged_at: life.acknowledged_at,
        resolved_at: life.resolved_at,
        flapping: life.flapping,
    }
}

/// What a woken person needs beside the incident, but for what each channel has of its own.
pub(super) fn context(book: &Book, desk: &Desk, standing: &Standing, event: NoticeEvent, now: UtcMicros) -> Context {
    let incident = &standing.incident;
    let check = match &incident.subject {
        Subject::Check(number) => book.check(*number),
        Subject::Manual(_) => standing.about.check.and_then(|number| book.check(CheckNo(number))),
        Subject::Agent(_) | Subject::Slo(_) => None,
    };
    let life = &incident.life;
    let mut context = Context {
        target: check.map(|check| check.newest().definition.kind.describe()),
        title: standing.about.title.clone(),
        // Who took an incident that the evidence ended did not end it.
        by: match event {
            NoticeEvent::Resolved => life.resolved_by.clone(),
            NoticeEvent::Opened | NoticeEvent::Escalated | NoticeEvent::Acknowledged | NoticeEvent::Test => {
                life.acknowledged_by.clone()
            }
        },
        link: desk.links.incident(&incident.id.0),
        ..signals::context(book, desk, &incident.subject, incident.kind, now)
    };
    match &incident.subject {
        // No vote is about these: how many regions fail is not what is wrong.
        Subject::Check(_) | Subject::Slo(_) if is_found(incident.kind) => {
            let found = signals::found(book, desk, &incident.subject, incident.kind, now);
            // That all is fine again needs no explanation.
            if let Some(signals::Finding { found, regions, regions_of }) = found.filter(|_| life.state.is_open()) {
                (context.found, context.regions, context.regions_of) = (Some(found), regions, regions_of);
            }
        }
        // What is over is seen from nowhere: who still fails then has nothing to do with this any more, or was not heard of yet.
        Subject::Check(_) if !life.state.is_open() => {}
        Subject::Check(_) => {
            let evidence = evidence::of(book, desk, standing, now);
            let all: BTreeSet<&str> = evidence.votes.iter().map(|vote| vote.region.as_str()).collect();
            let wanted = if incident.kind == IncidentKind::Degraded { "degraded" } else { "down" };
            let theirs = || evidence.votes.iter().filter(|vote| vote.vote == wanted);
            let regions: BTreeSet<&str> = theirs().map(|vote| vote.region.as_str()).collect();
            context.regions = regions.into_iter().map(str::to_owned).collect();
            if !context.regions.is_empty() {
                context.regions_of = u32::try_from(all.len()).unwrap_or(u32::MAX);
            }
            // The oldest of the newest failing results: the others may be of what followed.
            let mut results: Vec<_> = theirs().filter_map(|vote| vote.result.as_ref()).collect();
            results.sort_by(|a, b| a.slot.cmp(&b.slot));
            if let Some(result) = results.iter().find(|result| result.cause.is_some()) {
                context.phase.clone_from(&result.phase);
                context.cause.clone_from(&result.cause);
                context.explanation = Some(result.detail.clone()).filter(|detail| !detail.is_empty());
            }
        }
        Subject::Agent(number) => {
            if let Some(agent) = book.agent(*number) {
                context.regions = vec![agent.region.to_string()];
            }
        }
        Subject::Slo(_) | Subject::Manual(_) => {}
    }
    context.checks.truncate(CHECKS_MAX);
    context
}

/// Whether what is wrong is found in figures and facts rather than voted on.
pub(super) const fn is_found(kind: IncidentKind) -> bool {
    match kind {
        IncidentKind::Certificate | IncidentKind::WebVitals | IncidentKind::SloBurn => true,
        IncidentKind::Down
        | IncidentKind::Regional
        | IncidentKind::Degraded
        | IncidentKind::AgentSilent
        | IncidentKind::Manual => false,
    }
}

/// What a message says to a channel.
pub(super) fn notice(
    book: &Book,
    desk: &Desk,
    (standing, context): (&Standing, &Context),
    key: &DeliveryKey,
    event: NoticeEvent,
    now: UtcMicros,
) -> Notice {
    let incident = facts(book, standing);
    let asks = match event {
        NoticeEvent::Opened | NoticeEvent::Escalated => true,
        NoticeEvent::Acknowledged | NoticeEvent::Resolved | NoticeEvent::Test => false,
    };
    let mut context = context.clone();
    if asks {
        context.acknowledge_link = desk.links.acknowledge(&standing.incident.id, &key.channel, now);
    }
    Notice { event, key: key.to_string(), step: key.step, at: now, incident, context }
}

#[cfg(test)]
mod tests;
