//! Who is told of a step, and what.

use sitepulse_model::escalation::{EscalationPolicy, Target};
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::{NoticeEvent, Subject};
use sitepulse_model::notice::{Context, IncidentFacts, Notice};
use sitepulse_model::time::UtcMicros;

use super::{Desk, Standing};
use crate::book::Book;
use crate::outbox::DeliveryKey;

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

/// What a message says.
pub(super) fn notice(
    book: &Book,
    desk: &Desk,
    standing: &Standing,
    key: &DeliveryKey,
    event: NoticeEvent,
    now: UtcMicros,
) -> Notice {
    let incident = facts(book, standing);
    let life = &standing.incident.life;
    let context = Context {
        title: standing.about.title.clone(),
        by: life.resolved_by.clone().or_else(|| life.acknowledged_by.clone()),
        link: desk.console.as_ref().map(|url| format!("{url}/incidents/{}", incident.id)),
        ..Context::default()
    };
    Notice { event, key: key.to_string(), step: key.step, at: now, incident, context }
}
