//! Who is told of a step, and what.

use std::collections::BTreeSet;

use sitepulse_model::escalation::{EscalationPolicy, Target};
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::{IncidentKind, NoticeEvent, Subject};
use sitepulse_model::notice::{Context, IncidentFacts, Notice};
use sitepulse_model::time::UtcMicros;

use super::{Desk, Standing, evidence, signals};
use crate::book::Book;
use crate::outbox::DeliveryKey;

/// Most checks that a message names.
const CHECKS_MAX: usize = 100;

/// What targets come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The channels, each once, in order.
    pub(crate) channels: Vec<String>,
    /// Targets that lead nowhere, and why.
    pub(crate) unreached: Vec<String>,
}

/// The channels of a level of a policy at an instant.
pub(crate) fn of_level(book: &Book, policy: Option<&EscalationPolicy>, level: u32, _now: UtcMicros) -> Reached {
    let mut reached = Reached::default();
    let targets = policy.and_then(|policy| policy.levels.get(level as usize)).map(|level| level.notify.as_slice());
    for text in targets.unwrap_or_default() {
        match Target::parse(text) {
            Ok(Target::Channel(id)) if book.objects().channels.current(&id).is_some() => {
                if !reached.channels.contains(&id) {
                    reached.channels.push(id);
                }
            }
            Ok(Target::Channel(_)) => reached.unreached.push(format!("{text}: there is no such channel any more")),
            Ok(Target::User(_) | Target::OnCall(_)) => reached.unreached.push(format!("{text}: not known")),
            Err(why) => reached.unreached.push(why),
        }
    }
    reached
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
pub(super) fn context(book: &Book, desk: &Desk, standing: &Standing, now: UtcMicros) -> Context {
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
        by: life.resolved_by.clone().or_else(|| life.acknowledged_by.clone()),
        link: desk.links.incident(&incident.id.0),
        ..signals::context(book, desk, &incident.subject, incident.kind, now)
    };
    match &incident.subject {
        Subject::Check(_) => {
            let evidence = evidence::of(book, desk, standing, now);
            let all: BTreeSet<&str> = evidence.votes.iter().map(|vote| vote.region.as_str()).collect();
            context.regions_of = u32::try_from(all.len()).unwrap_or(u32::MAX);
            let wanted = if incident.kind == IncidentKind::Degraded { "degraded" } else { "down" };
            let theirs = || evidence.votes.iter().filter(|vote| vote.vote == wanted);
            let regions: BTreeSet<&str> = theirs().map(|vote| vote.region.as_str()).collect();
            context.regions = regions.into_iter().map(str::to_owned).collect();
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
                if context.checks.is_empty() {
                    context.checks = evidence::runs(book, agent);
                }
            }
        }
        Subject::Slo(_) | Subject::Manual(_) => {}
    }
    context.checks.truncate(CHECKS_MAX);
    context
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
