//! Agents that are not heard of: one incident for each, whatever it leaves unwatched.
//!
//! An agent is silent that holds no connection and sent nothing for `[incidents] agent_silent_after`, counted from the collector's start at the earliest: who could not be
//! heard is not silent. A graceful stop is silence too, for nobody watches meanwhile; who means it suspends the agent, and that is none.

use std::collections::{HashMap, HashSet};

use sitepulse_model::control::{Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::{Condition, IncidentKind, Severity, Subject};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::{Look, Memory, Present};
use crate::book::{Agent, Book, Check};

/// How often it is looked for what a silent agent leaves unwatched.
const LOOK_US: i64 = 10 * SECOND_US;

/// What silent agents leave unwatched: found out for all of them at once.
#[derive(Debug, Default)]
pub(super) struct Silence {
    looked: Option<UtcMicros>,
    /// The checks that nobody watches who can be heard.
    lost: Vec<CheckNo>,
    severities: HashMap<AgentNo, Severity>,
}

impl Silence {
    fn is_fresh(&self, now: UtcMicros) -> bool {
        self.looked.is_some_and(|looked| (0..LOOK_US).contains(&now.us_since(looked)))
    }
}

/// When an agent was heard of last; `None`: it is connected.
fn heard(present: &Present, agent: &Agent, now: UtcMicros) -> Option<UtcMicros> {
    let presence = agent.presence.read();
    let records = present.heard.get(&agent.number).copied();
    // Who was enrolled before the clock was set back was there at the start at the latest.
    let enrolled = Some(agent.enrolled_at).filter(|at| *at <= now).or(present.started).unwrap_or(now);
    let heard = presence.last_seen.max(records).unwrap_or(enrolled).max(enrolled);
    (!presence.connected).then_some(heard)
}

/// What the present says of an agent; the severity of silence is to be found yet. The instant: when it was heard last.
fn condition(book: &Book, present: &Present, agent: &Agent, now: UtcMicros) -> Result<UtcMicros, Condition> {
    let gone = agent.internal || !agent.life().contains(now);
    if gone || book.control().scope_suspended_at(Scope::Agent(agent.number), now).is_some() {
        return Err(Condition::Good);
    }
    let started = present.started.unwrap_or(UtcMicros::MIN);
    let Some(heard) = heard(present, agent, now) else { return Err(Condition::Good) };
    if now.us_since(heard.max(started)) >= present.settings.agent_silent_after_us {
        return Ok(heard);
    }
    // Before the start nobody could be heard: that says nothing.
    Err(if heard >= started { Condition::Good } else { Condition::Unknown })
}

/// The checks that no agent watches who can be heard; `but` is not asked.
fn lost(book: &Book, present: &Present, memory: &Memory, but: Option<AgentNo>, now: UtcMicros) -> Vec<CheckNo> {
    let heard = |agent: &&Agent| agent.internal || condition(book, present, agent, now).is_err();
    let heard: HashSet<AgentNo> =
        book.agents().filter(heard).map(|agent| agent.number).filter(|agent| Some(*agent) != but).collect();
    let watched = |check: CheckNo| memory.live(check).iter().any(|agent| heard.contains(agent));
    book.checks().map(|check| check.number).filter(|check| !watched(*check)).collect()
}

/// Whether an agent is to watch a check now, with a vote.
fn is_to_watch(book: &Book, agent: &Agent, number: CheckNo, now: UtcMicros) -> bool {
    let Some(current) = book.check(number).and_then(Check::current) else { return false };
    agent.runs(&current.definition)
        && current.definition.weight != Weight::ZERO
        && book.control().weight_at(agent.number, number, now) != Weight::ZERO
        && book.control().suspended_at(agent.number, number, now).is_none()
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
    let silent = memory.silence.severities.contains_key(&number) && memory.silence.is_fresh(now);
    let found = if silent { None } else { Some(lost(book, present, memory, Some(number), now)) };
    let lost = found.as_deref().unwrap_or(&memory.silence.lost);
    lost.iter().copied().filter(|check| is_to_watch(book, agent, *check, now)).collect()
}

pub(super) fn each(look: &mut Look<'_>) {
    let (book, present, now) = (look.book, &look.desk.present, look.now);
    let conditions: Vec<(&Agent, Result<UtcMicros, Condition>)> = book
        .agents()
        .filter(|agent| !agent.internal)
        .map(|agent| (agent, condition(book, present, agent, now)))
        .collect();
    let silent: Vec<&Agent> =
        conditions.iter().filter(|(_, condition)| condition.is_ok()).map(|(agent, _)| *agent).collect();
    let silence = &look.memory.silence;
    let same = silent.len() == silence.severities.len()
        && silent.iter().all(|agent| silence.severities.contains_key(&agent.number));
    if silent.is_empty() {
        look.memory.silence = Silence::default();
    } else if !same || !silence.is_fresh(now) {
        let lost = lost(book, present, look.memory, None, now);
        let severity = |agent: &&Agent| {
            let alone = lost.iter().any(|check| is_to_watch(book, agent, *check, now));
            (agent.number, if alone { Severity::Major } else { Severity::Minor })
        };
        let severities = silent.iter().map(severity).collect();
        look.memory.silence = Silence { looked: Some(now), lost, severities };
    }
    for (agent, condition) in conditions {
        let subject = Subject::Agent(agent.number);
        let condition = match condition {
            Ok(since) => {
                let severity = look.memory.silence.severities.get(&agent.number);
                Condition::Bad { since, severity: severity.copied().unwrap_or(Severity::Major) }
            }
            Err(_) if look.standing(&subject, IncidentKind::AgentSilent).is_none() => continue,
            Err(condition) => condition,
        };
        look.tell(&subject, IncidentKind::AgentSilent, condition, None);
    }
}
