//! Control events: those given here, and those that agents bring.

use std::collections::BTreeSet;
use std::sync::Arc;

use sitepulse_model::control::{Change, ControlEvent, EventId, Scope};
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckNo};
use sitepulse_model::time::UtcMicros;

use super::AppError;
use crate::amend::{PairKey, Write, late_act};
use crate::book::Book;
use crate::engine::Engine;
use crate::store::{StoreError, amendments, rows};

/// Most events of one agent that are kept: beyond it an agent is broken.
const AGENT_EVENTS_MAX: usize = 10_000;

/// How far in the future an agent's event may be given: clocks differ.
const CLOCK_SLACK_US: i64 = 86_400 * 1_000_000;

impl Engine {
    /// Gives an event on behalf of `author` (`collector:cli`, `collector:USER`).
    pub fn control(
        &mut self,
        scope: Scope,
        change: Change,
        author: &str,
        now: UtcMicros,
    ) -> Result<ControlEvent, AppError> {
        let event = {
            let book = self.shared.book();
            exists(&book, scope)?;
            let number = number_after(book.control().last_number(author), now);
            ControlEvent { id: EventId { author: author.to_owned(), number }, at: now, scope, change }
        };
        event.allowed().map_err(|error| AppError::Invalid(error.to_string()))?;
        self.keep_events(vec![event.clone()], now)?;
        Ok(event)
    }

    /// Takes in events that `agent` brings: the ids to acknowledge, which are all of them. An event that is not the agent's to
    /// give is dropped with a warning: sending it again would not make it better.
    pub fn take_agent_events(
        &mut self,
        agent: AgentNo,
        events: Vec<ControlEvent>,
        now: UtcMicros,
    ) -> Result<Vec<EventId>, StoreError> {
        let ids = events.iter().map(|event| event.id.clone()).collect();
        let fine = {
            let book = self.shared.book();
            let author = book.agent(agent).map(|agent| author_of(&agent.name)).unwrap_or_default();
            let mut room = AGENT_EVENTS_MAX.saturating_sub(book.control().count_of(&author));
            let judge = |event: &ControlEvent| match judge(&book, agent, event, room, now) {
                Ok(()) => {
                    room = room.saturating_sub(1);
                    true
                }
                Err(what) => {
                    tracing::warn!(%agent, author = event.id.author, number = event.id.number, what, "control event refused");
                    false
                }
            };
            events.into_iter().filter(judge).collect()
        };
        self.keep_events(fine, now)?;
        Ok(ids)
    }

    fn keep_events(&mut self, events: Vec<ControlEvent>, now: UtcMicros) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let new: Vec<ControlEvent> = {
            let book = shared.book();
            let mut seen = BTreeSet::new();
            events
                .into_iter()
                .filter(|event| !book.control().contains(&event.id) && seen.insert(event.id.clone()))
                .collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        // What was told of a pair since an event's instant was told without it: see [`crate::amend`].
        let late: Vec<(Bucket, PairKey, &ControlEvent)> = {
            let book = shared.book();
            new.iter().filter(|event| late_act(event, now)).flat_map(|event| touched(&book, event)).collect()
        };
        let arrival = self.arrival;
        self.store.write(|tables| {
            new.iter().try_for_each(|event| rows::insert_event(tables, event, now))?;
            let rows = late.iter().filter_map(|(bucket, key, _)| self.amend.row_of_act(*bucket, *key, arrival, now));
            rows.into_iter().try_for_each(|row| amendments::note(tables, Write::Open, &row))
        })?;
        for (_, key, event) in &late {
            self.amend.take_act(*key, event, now);
        }
        let mut book = shared.book_mut();
        for event in new {
            book.insert_event(event);
        }
        drop(book);
        self.alert.touch_all();
        shared.tick();
        Ok(())
    }
}

/// The pairs that an event of an agent is about, with the buckets of their checks.
fn touched<'e>(book: &Book, event: &'e ControlEvent) -> Vec<(Bucket, PairKey, &'e ControlEvent)> {
    let (agent, only) = match event.scope {
        Scope::Agent(agent) => (agent, None),
        Scope::AgentCheck(agent, check) => (agent, Some(check)),
        Scope::Check(_) => return Vec::new(),
    };
    let checks = book.checks().filter(|check| only.is_none_or(|only| only == check.number));
    let pairs = checks.filter(|check| check.pairs.contains_key(&agent));
    pairs.map(|check| (check.bucket(), (check.number, agent), event)).collect()
}

/// The number after `last` of a row that agents remember by its number. A store made from a backup does not know the numbers given since the backup, agents do: so it is the
/// time, in microseconds, and grows even where the clock was set back.
pub(crate) fn number_after(last: u64, now: UtcMicros) -> u64 {
    (last + 1).max(u64::try_from(now.0).unwrap_or(0))
}

fn exists(book: &Book, scope: Scope) -> Result<(), AppError> {
    let agent_exists = |agent: AgentNo| match book.agent(agent) {
        Some(_) => Ok(()),
        None => Err(AppError::NotFound(format!("no agent number {agent}: see `sitepulse-collector agents`"))),
    };
    let check_exists = |check: CheckNo| match book.check(check) {
        Some(_) => Ok(()),
        None => Err(AppError::NotFound(format!("no check number {check}: see `sitepulse-collector checks`"))),
    };
    match scope {
        Scope::Agent(agent) => agent_exists(agent),
        Scope::AgentCheck(agent, check) => agent_exists(agent).and_then(|()| check_exists(check)),
        Scope::Check(check) => check_exists(check),
    }
}

/// What is wrong with an event that `agent` brings.
fn judge(book: &Book, agent: AgentNo, event: &ControlEvent, room: usize, now: UtcMicros) -> Result<(), String> {
    event.allowed().map_err(|error| error.to_string())?;
    exists(book, event.scope).map_err(|error| error.to_string())?;
    let known = book.agent(agent);
    let own_author = known.is_some_and(|agent| event.id.author == author_of(&agent.name));
    let own_scope = match event.scope {
        Scope::Agent(of) | Scope::AgentCheck(of, _) => of == agent,
        Scope::Check(_) => false,
    };
    if !own_author || !own_scope {
        return Err("an agent gives events about itself and in its own name alone".into());
    }
    if event.at > now.plus_us(CLOCK_SLACK_US) {
        return Err("it was given more than a day in the future: set the agent's clock".into());
    }
    // Nothing of it is counted from before then: what reaches further back tells of a wrong clock, or worse.
    if known.is_some_and(|agent| event.at < agent.enrolled_at.plus_us(-CLOCK_SLACK_US)) {
        return Err("it was given more than a day before the agent was enrolled: set the agent's clock".into());
    }
    match book.control().event(&event.id) {
        Some(known) if known != *event => {
            Err("its number was used before for another event: the agent lost its state".into())
        }
        Some(_) => Ok(()),
        None if room == 0 => Err(format!("the agent gave {AGENT_EVENTS_MAX} events already: no more are kept")),
        None => Ok(()),
    }
}

/// The author of an agent's own events.
fn author_of(agent: &AgentName) -> String {
    format!("agent:{agent}")
}
