//! The agent's answers to its own command line.
//!
//! A running agent listens on `control.sock` in its data directory (mode 0600): one JSON [`Request`] per line, one JSON [`Answer`] back.
//! When it is stopped, the command line takes the data directory's lock and asks the same functions over the files. Either way an order is durable
//! before it is confirmed, applies from the instant it was given, and reaches the collector whenever that is there again.

pub mod offline;
pub mod result;
pub mod socket;
pub mod view;
pub mod vitals;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sitepulse_daemon::{exit::Exit, instant};
use sitepulse_model::control::{Change, ControlEvent, ControlLog, EventId, Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::time::UtcMicros;

use crate::engine::lag::LagView;
use crate::state::{Identity, StateDb};
use crate::summary::Summary;

use self::result::ResultView;
use self::view::{ChecksView, EventView, Last, SpoolView, StatusView};

/// What the command line may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the agent fares.
    Status,
    /// What it runs.
    Checks,
    /// What waits for the collector.
    Spool,
    /// Stop runs for a time.
    Suspend {
        /// One check, or all.
        check: Option<String>,
        /// First instant of running again, microseconds UTC.
        until_us: i64,
        /// Why.
        reason: String,
    },
    /// End a suspension.
    Resume {
        /// One check, or all.
        check: Option<String>,
    },
    /// Run a check at once, besides its schedule.
    RunNow {
        /// Its id.
        check: String,
    },
    /// Set the vote's weight.
    Weight {
        /// For one check, or for the agent.
        check: Option<String>,
        /// The weight, as written.
        weight: String,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(StatusView),
    /// To [`Request::Checks`].
    Checks(ChecksView),
    /// To [`Request::Spool`].
    Spool(SpoolView),
    /// To [`Request::RunNow`].
    Ran(Box<ResultView>),
    /// To an order: the event that carries it.
    Event(EventView),
    /// No.
    Error {
        /// The exit code for the command line.
        exit: u8,
        /// Why, with the remedy.
        message: String,
    },
}

impl Answer {
    pub(crate) fn error(exit: Exit, message: impl Into<String>) -> Self {
        Self::Error { exit: exit.code(), message: message.into() }
    }
}

/// What an answer is made from. The engine fills it from memory, the offline desk from the files.
pub struct Desk<'a> {
    /// Who the agent is.
    pub identity: &'a Identity,
    /// Where orders are stored.
    pub state: &'a mut StateDb,
    /// Every event known here.
    pub log: &'a ControlLog,
    /// What it runs.
    pub checks: Vec<(&'a Summary, Option<&'a Last>)>,
    /// The spool's figures.
    pub spool: SpoolView,
    /// `None` when the agent is stopped.
    pub live: Option<Live>,
}

/// What only a running agent knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// The collector it is connected to.
    pub collector: Option<String>,
    /// Why it is not connected, when it is not.
    pub trouble: Option<String>,
    /// Runs under way.
    pub in_flight: usize,
    /// Clock offset and uncertainty, microseconds.
    pub clock: Option<(i64, u64)>,
    /// How late runs started.
    pub lag_us: Option<LagView>,
    /// Slots missed since the start, by cause.
    pub missed: BTreeMap<String, u64>,
    /// Of these: slots given up for want of a place.
    pub shed: u64,
    /// Slots that wait for a place.
    pub waiting: usize,
}

/// Answers a request. An order gives the stored event too: the caller inserts it into its log and ships it.
pub fn answer(request: &Request, desk: &mut Desk<'_>, now: UtcMicros) -> (Answer, Option<ControlEvent>) {
    match request {
        Request::Status => (Answer::Status(view::status(desk, now)), None),
        Request::Checks => (Answer::Checks(view::checks(desk, now)), None),
        Request::Spool => (Answer::Spool(desk.spool.clone()), None),
        Request::RunNow { check } => {
            let known = desk.checks.iter().any(|(summary, _)| summary.id.as_str() == check);
            // A running agent answers this itself, before it comes to the desk.
            let text = "the agent does not run; start it, or run the check with `sitepulse-agent probe`";
            let answer = if known {
                Answer::error(Exit::Unreachable, text)
            } else {
                Answer::error(Exit::NotFound, no_such_check(check))
            };
            (answer, None)
        }
        Request::Suspend { check, until_us, reason } => {
            let until = UtcMicros(*until_us);
            if until <= now {
                let text = format!("a suspension until {} is over already", instant::format(until));
                return (Answer::error(Exit::Usage, text), None);
            }
            order(desk, check.as_deref(), Change::Suspend { until, reason: reason.clone() }, now)
        }
        Request::Resume { check } => order(desk, check.as_deref(), Change::Resume, now),
        Request::Weight { check, weight } => match Weight::parse(weight) {
            Ok(weight) => order(desk, check.as_deref(), Change::Weight(weight), now),
            Err(error) => (Answer::error(Exit::Usage, error.to_string()), None),
        },
    }
}

fn order(desk: &mut Desk<'_>, check: Option<&str>, change: Change, now: UtcMicros) -> (Answer, Option<ControlEvent>) {
    let scope = match check {
        None => Scope::Agent(desk.identity.agent),
        Some(id) => match desk.checks.iter().find(|(summary, _)| summary.id.as_str() == id) {
            Some((summary, _)) => Scope::AgentCheck(desk.identity.agent, summary.plan.check),
            None => {
                return (Answer::error(Exit::NotFound, no_such_check(id)), None);
            }
        },
    };
    let author = format!("agent:{}", desk.identity.name);
    let number = match desk.state.next_event_number(&author) {
        Ok(number) => number,
        Err(error) => return (Answer::error(Exit::DataDir, error.to_string()), None),
    };
    let event = ControlEvent { id: EventId { author, number }, at: now, scope, change };
    if let Err(error) = event.allowed() {
        return (Answer::error(Exit::Usage, error.to_string()), None);
    }
    if let Err(error) = desk.state.save_events(std::slice::from_ref(&event), false) {
        return (Answer::error(Exit::DataDir, error.to_string()), None);
    }
    (Answer::Event(view::event(&event, check)), Some(event))
}

pub(crate) fn no_such_check(id: &str) -> String {
    format!("this agent runs no check {id:?}; `sitepulse-agent checks` lists them")
}

/// Why a check does not run on this agent now: author, reason and end of the suspension.
pub(crate) fn suspended(log: &ControlLog, agent: AgentNo, check: CheckNo, at: UtcMicros) -> bool {
    log.suspended_at(agent, check, at).is_some()
}
