//! Agents that are not heard of: one incident for each, whatever it leaves unwatched.
//!
//! An agent is silent that holds no connection and sent nothing for `[incidents] agent_silent_after`, counted from the collector's start at the earliest: who could not be
//! heard is not silent. A graceful stop is silence too, for nobody watches meanwhile; who means it suspends the agent, and that is none.

use sitepulse_model::control::{Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::{Condition, IncidentKind, Severity, Subject};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::{Look, Memory, Present};
use crate::book::{Agent, Book};

/// How often it is looked for what a silent agent leaves unwatched.
const LOOK_US: i64 = 10 * SECOND_US;

/// A silent agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silent {
    looked: UtcMicros,
    severity: Severity,
}

/// When an agent was heard of last; `None`: it is connected.
fn heard(present: &Present, agent: &Agent) -> Option<UtcMicros> {
    let presence = agent.presence.read();
    let records = present.heard.get(&agent.number).copied();
    let heard = presence.last_seen.max(records).unwrap_or(agent.enrolled_at).max(agent.enrolled_at);
    (!presence.connected).then_some(heard)
}

/// What the present says of an agent; the severity of silence is to be found yet. The instant: when it was heard last.
fn condition(book: &Book, present: &Present, agent: &Agent, now: UtcMicros) -> Result<UtcMicros, Condition> {
    let gone = agent.internal || !agent.life().contains(now);
    if gone || book.control().scope_suspended_at(Scope::Agent(agent.number), now).is_some() {
        return Err(Condition::Good);
    }
    let started = present.started.unwrap_or(UtcMicros::MIN);
    let Some(heard) = heard(present, agent) else { return Err(Condition::Good) };
    if now.us_since(heard.max(started)) >= present.settings.agent_silent_after_us {
        return Ok(heard);
    }
    // Before the start nobody could be heard: that says nothing.
    Err(if heard >= started { Condition::Good } else { Condition::Unknown })
}

/// The checks that an agent is to run and no other agent that can be heard watches now.
pub(super) fn unwatched(
    book: &Book,
    present: &Present,
    memory: &Memory,
    number: AgentNo,
    now: UtcMicros,
) -> Vec<CheckNo> {
    let Some(agent) = book.agent(number) else { return Vec::new() };
    let heard = |other: &AgentNo| {
        let other = book.agent(*other);
        other.is_some_and(|other| other.internal || condition(book, present, other, now).is_err())
    };
    let (control, mut found) = (book.control(), Vec::new());
    for check in book.checks() {
        let Some(current) = check.current().filter(|current| agent.runs(&current.definition)) else { continue };
        let known = memory.checks.get(&check.number);
        let watched = known.is_some_and(|known| known.live.iter().any(|other| *other != number && heard(other)));
        let counts = current.definition.weight != Weight::ZERO
            && control.weight_at(number, check.number, now) != Weight::ZERO
            && control.suspended_at(number, check.number, now).is_none();
        if !watched && counts {
            found.push(check.number);
        }
    }
    found
}

pub(super) fn each(look: &mut Look<'_>) {
    let (book, present, now) = (look.book, &look.desk.present, look.now);
    for agent in book.agents().filter(|agent| !agent.internal) {
        let subject = Subject::Agent(agent.number);
        let condition = match condition(book, present, agent, now) {
            Ok(since) => {
                let known = look.memory.silent.get(&agent.number).copied();
                let fresh = known.filter(|silent| (0..LOOK_US).contains(&now.us_since(silent.looked)));
                let silent = fresh.unwrap_or_else(|| {
                    let watched = unwatched(book, present, look.memory, agent.number, now).is_empty();
                    Silent { looked: now, severity: if watched { Severity::Minor } else { Severity::Major } }
                });
                look.memory.silent.insert(agent.number, silent);
                Condition::Bad { since, severity: silent.severity }
            }
            Err(condition) => {
                look.memory.silent.remove(&agent.number);
                if look.standing(&subject, IncidentKind::AgentSilent).is_none() {
                    continue;
                }
                condition
            }
        };
        look.tell(&subject, IncidentKind::AgentSilent, condition, None);
    }
}
