//! The engine: one loop that owns the schedule, the agent's state and the control log, starts probes and hands their records to the spool.
//!
//! Everything else asks it through [`handle`]. It waits for neither the collector nor the disk: what must be durable before it counts (an
//! order, an assignment) is given to the state file's thread ([`keeper`]), and counts when that says so. What a full disk refuses is kept in
//! memory and tried again.
//!
//! Architecture invariant: a task lives only while a probe runs; between runs a check is one entry of a map and one of the schedule.

mod answer;
mod durable;
pub mod handle;
pub mod keeper;
pub mod lag;
pub mod recovery;
mod run_now;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::notify::Progress as Heartbeat;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::check::{AssignedCheck, BROWSER, BROWSER_ALONE, BROWSER_WAIT_US_MAX};
use sitepulse_model::control::{ControlEvent, ControlLog, EventId};
use sitepulse_model::id::{Bucket, CheckNo, Incarnation, Revision};
use sitepulse_model::record::{Missed, MissedCause, ProbeResult, Provenance, Record};
use sitepulse_model::schedule::{Action, HostLimit, MissedSlots, Plan, Scheduler};
use sitepulse_model::time::UtcMicros;
use sitepulse_probe::tools::Tools;
use sitepulse_probe::{Pool, Probe, Run};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};

use self::durable::{Noted, Settled, Wanted};
use self::handle::{ASKS_MAX, Ask, EngineHandle, Link};
use self::keeper::Keeper;
use self::lag::Punctuality;
use crate::control;
use crate::control::view::Last;
use crate::pager::News;
use crate::secrets::Vault;
use crate::spool::policy::{PendingRecord, Transitions};
use crate::spool::schema::OpenSlots;
use crate::spool::writer::{Begun, Figures, Gone, SpoolHandle, Submission};
use crate::state::{Assignment, Identity, StateDb, StateError};
use crate::summary::Summary;

/// The agent's build, as provenance and handshakes name it.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
/// Runs at once unless configured otherwise.
pub const IN_FLIGHT_DEFAULT: usize = 400;
/// Runs at once against one host unless configured otherwise.
pub const PER_HOST_MAX_DEFAULT: usize = 16;
/// How long a stopping agent waits for its probes.
pub const STOP_US_MAX: u64 = 5_000_000;
/// The loop's longest sleep: it must notice clock steps and feed the watchdog.
const SLEEP_US_MAX: u64 = 1_000_000;
/// How often [`StateDb::save_acked_until`] is brought up to date.
const ACKED_EVERY_US: u64 = 60_000_000;
/// How long after a full disk refused something it is tried again.
const RETRY_US: u64 = if cfg!(test) { 200_000 } else { 5_000_000 };
/// Orders of the collector that are kept in memory while the disk takes nothing; others come again with the next connection.
const REFUSED_MAX: usize = 4096;
/// Records that wait for an assignment to be stored. Beyond (the disk hangs for long), a kill just then could count a slot twice.
const HELD_RECORDS_MAX: usize = 16_384;
/// Pages that load at once for each processor, where only times are measured: the browser's places.
const PAGES_PER_CPU: usize = 2;
/// Places that a page takes where the processor's time is measured: two processors.
const PLACES_OF_HEAVY_PAGE: usize = 2 * PAGES_PER_CPU;
/// How far a waiting record's slot may lie behind its place in the spool: the longest timeout and some queueing, twice for pages (here and at the
/// browser).
const SLOT_LAG_US_MAX: i64 = 600_000_000;

/// Why the engine cannot go on.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The state file fails.
    #[error(transparent)]
    State(#[from] StateError),
    /// The spool's thread ended.
    #[error(transparent)]
    Spool(#[from] Gone),
    /// The state file's thread cannot start.
    #[error("cannot start the thread of the state file ({0}); see the limits of this machine")]
    Thread(std::io::Error),
    /// The state file's thread panicked.
    #[error("the thread of the state file ended")]
    Keeper,
}

/// Who measures, with the clock's offset and uncertainty in microseconds where a collector told.
pub fn provenance(clock: Option<(i64, u64)>) -> Provenance {
    Provenance {
        build: BUILD.to_owned(),
        clock_offset_us: clock.map(|(offset, _)| offset),
        clock_uncertainty_us: clock.map_or(0, |(_, uncertainty)| uncertainty),
    }
}

/// What the engine is made of.
pub struct Parts {
    /// The state file.
    pub state: StateDb,
    /// Who the agent is.
    pub identity: Identity,
    /// What it runs.
    pub assignment: Assignment,
    /// The spool's thread.
    pub spool: SpoolHandle,
    /// The spool's bound, to show.
    pub spool_bytes_max: u64,
    /// The state file names the spool's incarnation already.
    pub incarnation_noted: bool,
    /// Slots up to this are accounted for: see [`recovery`].
    pub resume_after: UtcMicros,
    /// Most runs at once.
    pub in_flight_max: usize,
    /// Most of them against one host.
    pub per_host_max: usize,
    /// What probes share.
    pub tools: Arc<Tools>,
    /// Seals the secrets that the state file keeps.
    pub vault: Vault,
    /// Hears of the collector, and of the order to page when it stays away.
    pub pager: watch::Sender<News>,
    /// Where probes run.
    pub tasks: TaskSet,
    /// Ticks at least every second.
    pub heartbeat: Heartbeat,
}

/// The engine.
pub struct Engine {
    keeper: Keeper,
    keeper_thread: JoinHandle<()>,
    identity: Identity,
    addresses: Vec<String>,
    revision: u64,
    since: BTreeMap<CheckNo, UtcMicros>,
    checks: BTreeMap<CheckNo, Entry>,
    /// Buckets of checks that the last assignments took away, for their runs under way.
    retired: BTreeMap<CheckNo, Bucket>,
    log: ControlLog,
    /// Own events that the collector has not acknowledged.
    unacked: BTreeMap<EventId, ControlEvent>,
    scheduler: Scheduler,
    transitions: Transitions,
    spool: SpoolHandle,
    figures: watch::Receiver<Figures>,
    spool_bytes_max: u64,
    tools: Arc<Tools>,
    vault: Vault,
    pager: watch::Sender<News>,
    tasks: TaskSet,
    heartbeat: Heartbeat,
    punctuality: Punctuality,
    /// Places of runs besides the schedule.
    run_now: Arc<Semaphore>,
    link: Link,
    clock: Option<(i64, u64)>,
    /// What the spool has not been told. Its frontier is set when it is sent.
    pending: Submission,
    /// The wall clock went back, and the spool has not been told.
    put_back: bool,
    /// The newest assignment that is not taken yet.
    wanted: Option<Wanted>,
    /// An assignment is on its way to the disk, to run from this instant on.
    storing: Option<UtcMicros>,
    /// Orders of the collector that the disk did not take.
    refused: BTreeMap<EventId, ControlEvent>,
    refused_again: clock::Monotonic,
    incarnation: Incarnation,
    noted: Noted,
    acked_until: Option<UtcMicros>,
    acked_saved: clock::Monotonic,
    acked_saving: bool,
    local_events: mpsc::UnboundedSender<ControlEvent>,
    done: mpsc::UnboundedSender<Done>,
    finished: mpsc::UnboundedReceiver<Done>,
    settle: mpsc::UnboundedSender<Settled>,
    settled: mpsc::UnboundedReceiver<Settled>,
    asks: mpsc::Receiver<Ask>,
}

/// A run of the schedule that ended.
struct Done {
    /// For [`Scheduler::finished`].
    host: u64,
    result: ProbeResult,
}

struct Entry {
    held: Arc<Held>,
    bucket: Bucket,
    last: Option<Last>,
}

/// What stays of a check for as long as it is assigned. Shared with its runs and with answers to people: there may be ten thousand, and the
/// schedule does not wait for copies.
struct Held {
    summary: Summary,
    probe: Probe,
}

impl Entry {
    fn new(assigned: &AssignedCheck, summary: Summary, pool: &mut Pool) -> Self {
        let probe = Probe::with_pool(assigned, pool);
        Self { bucket: summary.bucket(), held: Arc::new(Held { summary, probe }), last: None }
    }
}

impl Engine {
    /// Makes the engine and starts the state file's thread. The receiver gets the agent's own control events, to be shipped.
    pub fn new(parts: Parts) -> Result<(Self, EngineHandle, mpsc::UnboundedReceiver<ControlEvent>), EngineError> {
        let (asks_sender, asks) = mpsc::channel(ASKS_MAX);
        let (local_events, local) = mpsc::unbounded_channel();
        let (done, finished) = mpsc::unbounded_channel();
        let (settle, settled) = mpsc::unbounded_channel();
        let mut log = ControlLog::new();
        let mut unacked = BTreeMap::new();
        for (event, acked) in parts.state.events()? {
            if !acked {
                unacked.insert(event.id.clone(), event.clone());
            }
            log.insert(event);
        }
        let addresses = parts.state.addresses()?;
        let acked_until = parts.state.acked_until()?;
        let figures = parts.spool.figures();
        let incarnation = figures.borrow().stats.incarnation;
        let (keeper, keeper_thread) = keeper::start(parts.state).map_err(EngineError::Thread)?;
        let mut pool = Pool::default();
        let mut entry = |check: AssignedCheck| {
            (check.number, Entry::new(&check, Summary::of(&check, &parts.identity.name), &mut pool))
        };
        let checks = parts.assignment.checks.into_iter().map(&mut entry).collect();
        let now = clock::monotonic();
        // An agent that starts without a network must not wait for its first connection to doubt itself.
        parts.tools.network.collector_link(None);
        let mut engine = Self {
            keeper,
            keeper_thread,
            identity: parts.identity,
            addresses,
            revision: parts.assignment.revision,
            since: parts.assignment.since,
            checks,
            retired: BTreeMap::new(),
            log,
            unacked,
            scheduler: scheduler(parts.in_flight_max, parts.per_host_max),
            transitions: Transitions::default(),
            spool: parts.spool,
            figures,
            spool_bytes_max: parts.spool_bytes_max,
            tools: parts.tools,
            vault: parts.vault,
            pager: parts.pager,
            tasks: parts.tasks,
            heartbeat: parts.heartbeat,
            punctuality: Punctuality::default(),
            run_now: Arc::new(Semaphore::new(run_now::RUN_NOW_MAX)),
            link: Link::default(),
            clock: None,
            pending: Submission::default(),
            put_back: false,
            wanted: None,
            storing: None,
            refused: BTreeMap::new(),
            refused_again: now,
            incarnation,
            noted: if parts.incarnation_noted { Noted::Yes } else { Noted::No { again: now } },
            acked_until,
            acked_saved: now,
            acked_saving: false,
            local_events,
            done,
            finished,
            settle,
            settled,
            asks,
        };
        let actions = engine.scheduler.assign(&engine.plans(), parts.resume_after);
        engine.carry_out(actions);
        Ok((engine, EngineHandle { asks: asks_sender }, local))
    }

    /// Runs until `stop` says so, then ends the probes under way. The caller closes the spool.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), EngineError> {
        loop {
            self.heartbeat.tick();
            self.parts_live()?;
            let monotonic = clock::monotonic();
            let actions = self.scheduler.handle_now(clock::now(), monotonic.0);
            self.carry_out(actions);
            self.store_assignment(monotonic)?;
            self.store_refused(monotonic);
            self.note_spool(monotonic)?;
            self.remember_acked(monotonic);
            self.send()?;
            let due = self.scheduler.wake_at().unwrap_or(UtcMicros::MAX);
            let sleep_us = u64::try_from(due.us_since(clock::now())).unwrap_or(0).min(SLEEP_US_MAX);
            // Not woken by the spool: it commits ten times a second, and nothing of that matters here within a second.
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(done) = self.finished.recv() => {
                    self.finish(done);
                    while let Ok(done) = self.finished.try_recv() {
                        self.finish(done);
                    }
                }
                Some(settled) = self.settled.recv() => self.settle(settled),
                Some(ask) = self.asks.recv() => self.answer(ask)?,
                () = tokio::time::sleep(Duration::from_micros(sleep_us)) => {}
            }
        }
        self.drain().await
    }

    /// Ends the engine. The thread ends when the jobs that wait are done: join it.
    pub fn end(self) -> JoinHandle<()> {
        self.keeper_thread
    }

    /// The engine cannot go on without its threads.
    fn parts_live(&self) -> Result<(), EngineError> {
        self.figures.has_changed().map_err(|_| Gone)?;
        if self.keeper_thread.is_finished() {
            return Err(EngineError::Keeper);
        }
        Ok(())
    }

    /// Waits for the probes under way; what does not end in time is found as missed by the next start.
    async fn drain(&mut self) -> Result<(), EngineError> {
        let deadline = clock::tokio_instant(clock::monotonic().plus_us(STOP_US_MAX));
        while self.scheduler.in_flight() > 0 || self.storing.is_some() {
            self.heartbeat.tick();
            tokio::select! {
                Some(done) = self.finished.recv() => self.finish(done),
                Some(settled) = self.settled.recv() => self.settle(settled),
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        self.send()?;
        self.spool.flush().await?;
        Ok(())
    }

    fn plans(&self) -> Vec<Plan> {
        self.checks.values().map(|entry| entry.held.summary.plan).collect()
    }

    /// Starts runs and notes what is missed.
    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Run { check, revision, slot, host } => self.begin(check, revision, slot, host),
                Action::Missed(missed) => self.miss(&missed),
                Action::ClockStepped { by_us } => {
                    self.put_back |= by_us < 0;
                    tracing::warn!(
                        "the wall clock stepped by {:+.3} s; runs go on at the new time",
                        by_us as f64 / 1e6
                    );
                }
            }
        }
    }

    /// Hands over what is pending, if there is a record in it: without one the spool has nothing to commit, and a slot it has not heard of
    /// lies behind the frontier that it knows.
    ///
    /// While an assignment is on its way to the disk, all of it waits: see [`Engine::store_assignment`].
    fn send(&mut self) -> Result<(), EngineError> {
        let held = self.storing.is_some() && self.pending.records.len() < HELD_RECORDS_MAX;
        if held || (self.pending.records.is_empty() && !self.put_back) {
            return Ok(());
        }
        self.send_all(clock::now())
    }

    /// Hands over what is pending, with how far the schedule is: every slot before the frontier was handed out, or waits for its turn and
    /// is noted as begun, so that a kill finds it missed once. Not beyond `now`: a check assigned later may begin before the others'
    /// next slot.
    fn send_all(&mut self, now: UtcMicros) -> Result<(), EngineError> {
        let mut submission = std::mem::take(&mut self.pending);
        let (checks, retired) = (&self.checks, &self.retired);
        submission.begun.extend(self.scheduler.take_new_waiting().filter_map(|(check, revision, slot)| {
            let bucket = bucket(checks, retired, check)?;
            Some(Begun { check, first: slot, slots: OpenSlots { revision, bucket, last: slot, count: 1 } })
        }));
        let frontier = self.scheduler.earliest_next().unwrap_or(UtcMicros::MAX).min(now.plus_us(1));
        submission.frontier = Some(frontier);
        if std::mem::take(&mut self.put_back) {
            // Else a kill would find nothing missed until the wall clock is where it wrongly was. Slots that come a second time may then be
            // told twice; the collector resolves that.
            self.spool.put_back(frontier);
            self.spool.submit(submission)?;
            let spool = self.spool.clone();
            self.tasks.spawn("clock step", async move {
                // A disk that takes nothing now gets it with the next transaction.
                spool.flush().await.ok();
            });
            return Ok(());
        }
        self.spool.submit(submission)?;
        Ok(())
    }

    fn begin(&mut self, check: CheckNo, revision: Revision, slot: UtcMicros, host: u64) {
        let Some(entry) = self.checks.get(&check) else {
            self.scheduler.finished(host);
            return;
        };
        if control::suspended(&self.log, self.identity.agent, check, slot) {
            self.scheduler.finished(host);
            let missed =
                MissedSlots { check, revision, first: slot, last: slot, count: 1, cause: MissedCause::Suspended };
            self.miss(&missed);
            return;
        }
        self.pending.begun.push(Begun {
            check,
            first: slot,
            slots: OpenSlots { revision, bucket: entry.bucket, last: slot, count: 1 },
        });
        let (held, tools, done) = (entry.held.clone(), self.tools.clone(), self.done.clone());
        self.tasks.spawn("probe", async move {
            let run = Run { check, revision, slot, started: clock::now(), note_all: false };
            // The engine may have stopped waiting; the next start finds the run missed.
            drop(done.send(Done { host, result: held.probe.run(run, &tools).await }));
        });
    }

    fn miss(&mut self, missed: &MissedSlots) {
        self.punctuality.missed(missed.cause, missed.count);
        let Some(bucket) = self.bucket(missed.check) else { return };
        let record = missed_record(missed);
        let keep = self.transitions.keep(&record);
        self.pending.records.push(PendingRecord { bucket, keep, record });
    }

    fn bucket(&self, check: CheckNo) -> Option<Bucket> {
        bucket(&self.checks, &self.retired, check)
    }

    fn finish(&mut self, Done { host, result }: Done) {
        self.scheduler.finished(host);
        let lag_us = u64::try_from(result.started.us_since(result.scheduled)).unwrap_or(0);
        self.punctuality.ran(lag_us, clock::monotonic());
        let check = result.check;
        if let Some(entry) = self.checks.get_mut(&check) {
            entry.last = Some(Last::of(&result));
        }
        // A run of a check that was taken away meanwhile still counts: it was assigned at its slot.
        let Some(bucket) = self.bucket(check) else { return };
        let record = Record::Result(result);
        let keep = self.transitions.keep(&record);
        self.pending.records.push(PendingRecord { bucket, keep, record });
    }
}

/// A scheduler that knows what the browser bears. Its seats are the browser's own affair; here runs that would only wait for one are kept
/// waiting, heaviest check first, and told as missed when they waited too long.
fn scheduler(in_flight_max: usize, per_host_max: usize) -> Scheduler {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut scheduler = Scheduler::new(in_flight_max, per_host_max);
    scheduler.limit(BROWSER, HostLimit { runs_max: PAGES_PER_CPU * cpus, wait_us_max: BROWSER_WAIT_US_MAX });
    scheduler.share(BROWSER_ALONE, BROWSER, PLACES_OF_HEAVY_PAGE);
    scheduler
}

fn bucket(checks: &BTreeMap<CheckNo, Entry>, retired: &BTreeMap<CheckNo, Bucket>, check: CheckNo) -> Option<Bucket> {
    checks.get(&check).map(|entry| entry.bucket).or_else(|| retired.get(&check).copied())
}

pub(crate) fn missed_record(missed: &MissedSlots) -> Record {
    Record::Missed(Missed {
        check: missed.check,
        revision: missed.revision,
        first: missed.first,
        last: missed.last,
        count: missed.count,
        cause: missed.cause,
    })
}

#[cfg(test)]
mod tests;
