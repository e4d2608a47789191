//! Run-now: asks the agents of a check to run it at once, and hands back what each says.
//!
//! Such a run is besides the schedule: its answer goes to whoever asked, nothing stores or counts it. Limits: [`ASKS_MAX`] asks at a time
//! over all, one at a time of a check, and an agent's answer is waited for as long as its run may take and [`SLACK`] more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::id::{AgentName, AgentNo, CheckNo, Region};
use sitepulse_model::record::ProbeResult;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::app::{App, AppError};
use crate::book::is_heartbeat;

/// Most asks at a time.
pub const ASKS_MAX: usize = 64;
/// Most asks that wait on one connection.
pub const ASKS_OF_CONNECTION_MAX: usize = 32;
/// How much longer than a run may take its answer is waited for.
pub const SLACK: Duration = Duration::from_secs(2);

/// What an agent says to an ask: what the run found, or why there was none.
pub type Answer = Result<Box<ProbeResult>, String>;

/// One ask, on its way to one connection.
#[derive(Debug)]
pub struct Ask {
    /// The check to run.
    pub check: CheckNo,
    /// Hears the answer; dropped when there will be none.
    pub reply: oneshot::Sender<Answer>,
}

/// What became of one agent's run.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ran.
    Ran(Box<ProbeResult>),
    /// The agent does not run it, and says why.
    Refused(String),
    /// The agent holds no connection.
    NotConnected,
    /// No answer came in time, or the connection was lost.
    TimedOut,
}

/// One agent's run.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentRun {
    /// The agent.
    pub agent: AgentName,
    /// Its region.
    pub region: Region,
    /// What became of it.
    pub outcome: Outcome,
}

/// The connections that take asks, and the asks under way.
#[derive(Debug, Default)]
pub struct RunDesk {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The newest connection last.
    connections: BTreeMap<AgentNo, Vec<mpsc::Sender<Ask>>>,
    running: BTreeSet<CheckNo>,
}

impl RunDesk {
    /// A connection of an agent takes asks until the receiver is dropped.
    pub(crate) fn enter(&self, agent: AgentNo) -> mpsc::Receiver<Ask> {
        let (asks, asking) = mpsc::channel(ASKS_OF_CONNECTION_MAX);
        let mut inner = self.lock();
        let seats = inner.connections.entry(agent).or_default();
        seats.retain(|seat| !seat.is_closed());
        seats.push(asks);
        asking
    }

    fn ask(&self, agent: AgentNo, check: CheckNo) -> Option<oneshot::Receiver<Answer>> {
        let (mut reply, answer) = oneshot::channel();
        let inner = self.lock();
        for connection in inner.connections.get(&agent)?.iter().rev() {
            match connection.try_send(Ask { check, reply }) {
                Ok(()) => return Some(answer),
                Err(mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) => reply = ask.reply,
            }
        }
        None
    }

    fn begin(&self, check: CheckNo) -> Result<Turn<'_>, AppError> {
        let mut inner = self.lock();
        if inner.running.len() >= ASKS_MAX {
            return Err(AppError::Conflict(format!("{ASKS_MAX} checks are being run already: ask again in a moment")));
        }
        if !inner.running.insert(check) {
            return Err(AppError::Conflict("the check is being run already: wait for that".into()));
        }
        Ok(Turn { desk: self, check })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds the check's one place until it is dropped, also when whoever asked goes away.
struct Turn<'a> {
    desk: &'a RunDesk,
    check: CheckNo,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.desk.lock().running.remove(&self.check);
    }
}

/// How long all attempts of a run may take, and the answer's way.
pub fn patience(definition: &CheckDefinition) -> Duration {
    Duration::from_micros(definition.run_us_max()) + SLACK
}

/// Runs a check at once on every agent that it is assigned to, or on the named one.
///
/// # Errors
/// A check that agents do not run, an agent that does not run it, too many asks.
pub async fn run_now(app: &App, check: CheckNo, agent: Option<AgentNo>) -> Result<Vec<AgentRun>, AppError> {
    let (agents, patience) = {
        let book = app.book();
        let known = book.check(check).and_then(|check| Some((check, check.current()?)));
        let Some((known, current)) = known else {
            return Err(AppError::NotFound("the check is retired: apply it again first".into()));
        };
        let (id, definition) = (&known.id, &current.definition);
        if is_heartbeat(definition) {
            let what = "is a heartbeat, which no agent runs: its job calls the collector";
            return Err(AppError::Invalid(format!("check {id} {what}")));
        }
        let runs = book.agents().filter(|one| one.revoked_at.is_none() && one.runs(definition));
        let agents: Vec<(AgentNo, AgentName, Region)> = runs
            .filter(|one| agent.is_none_or(|wanted| one.number == wanted))
            .map(|one| (one.number, one.name.clone(), one.region.clone()))
            .collect();
        if let (true, Some(agent)) = (agents.is_empty(), agent) {
            let name = book.agent(agent).map_or_else(|| agent.to_string(), |agent| agent.name.to_string());
            return Err(AppError::Invalid(format!("agent {name} does not run check {id}: see `regions` of the check")));
        }
        (agents, patience(definition))
    };
    let desk = &app.shared().runs;
    let _turn = desk.begin(check)?;
    let deadline = Instant::now() + patience;
    // All are asked before the first is waited for.
    let asked: Vec<_> = agents.into_iter().map(|agent| (desk.ask(agent.0, check), agent)).collect();
    let mut runs = Vec::with_capacity(asked.len());
    for (answer, (_, agent, region)) in asked {
        let outcome = match answer {
            None => Outcome::NotConnected,
            Some(answer) => match timeout_at(deadline, answer).await {
                Ok(Ok(Ok(result))) => Outcome::Ran(result),
                Ok(Ok(Err(reason))) => Outcome::Refused(reason),
                Ok(Err(_)) | Err(_) => Outcome::TimedOut,
            },
        };
        runs.push(AgentRun { agent, region, outcome });
    }
    Ok(runs)
}
