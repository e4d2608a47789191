//! The engine: one loop that owns the schedule, the agent's state and the control log, starts probes and hands their records to the spool.
//!
//! Everything else asks it through [`EngineHandle`]. It never waits for the collector, and for the disk only where an order or an assignment must
//! be durable before it counts.
//!
//! Architecture invariant: a task lives only while a probe runs; between runs a check is one entry of a map and one of the schedule.

pub mod recovery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::notify::Progress as Heartbeat;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::{ControlEvent, ControlLog, EventId};
use sitepulse_model::id::{Bucket, CheckNo, Revision};
use sitepulse_model::record::{Missed, MissedCause, ProbeResult, Provenance, Record};
use sitepulse_model::schedule::{Action, MissedSlots, Plan, Scheduler};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::Status;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::control::view::{LastRun, SpoolView};
use crate::control::{self, Answer, Desk, Live, Request};
use crate::probe::Run;
use crate::probe::http::HttpProbe;
use crate::probe::tls::Tls;
use crate::spool::policy::{PendingRecord, Transitions};
use crate::spool::schema::OpenSlots;
use crate::spool::writer::{Begun, Gone, SpoolHandle, Submission};
use crate::state::{Assignment, Identity, StateDb, StateError};

/// The agent's build, as provenance and handshakes name it.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
/// Runs at once unless configured otherwise.
pub const IN_FLIGHT_DEFAULT: usize = 100;
/// How long a stopping agent waits for its probes.
pub const STOP_US_MAX: u64 = 5_000_000;
/// The loop's longest sleep: it must notice clock steps and feed the watchdog.
const SLEEP_US_MAX: u64 = 1_000_000;
/// How often [`StateDb::save_acked_until`] is brought up to date.
const ACKED_EVERY_US: u64 = 60_000_000;
/// How far a waiting record's slot may lie behind its place in the spool: the longest timeout and some queueing.
const SLOT_LAG_US_MAX: i64 = 400_000_000;

/// Why the engine cannot go on.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The state file fails.
    #[error(transparent)]
    State(#[from] StateError),
    /// The spool's thread ended.
    #[error(transparent)]
    Spool(#[from] Gone),
}

/// Who measures, with the clock's offset and uncertainty in microseconds where a collector told.
pub fn provenance(clock: Option<(i64, u64)>) -> Provenance {
    Provenance {
        build: BUILD.to_owned(),
        clock_offset_us: clock.map(|(offset, _)| offset),
        clock_uncertainty_us: clock.map_or(0, |(_, uncertainty)| uncertainty),
    }
}

/// What a new connection starts from.
#[derive(Debug, Clone)]
pub struct Handover {
    /// Who the agent is, with its present certificate.
    pub identity: Identity,
    /// Where collectors are.
    pub addresses: Vec<String>,
    /// Events the collector has not acknowledged.
    pub events: Vec<ControlEvent>,
    /// Revision of the assignment held.
    pub assignment_revision: u64,
}

/// How the connection fares, for `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The collector, while connected.
    pub collector: Option<String>,
    /// What is wrong, while not.
    pub trouble: Option<String>,
}

enum Ask {
    Handover(oneshot::Sender<Handover>),
    Assign { revision: u64, checks: Vec<AssignedCheck> },
    StoreEvents { events: Vec<ControlEvent>, reply: oneshot::Sender<Vec<EventId>> },
    EventsAcked(Vec<EventId>),
    StoreAddresses(Vec<String>),
    StoreCertificate { certificate_der: Vec<u8>, expires: UtcMicros },
    Clock { offset_us: i64, uncertainty_us: u64 },
    Link(Link),
    Status(oneshot::Sender<Status>),
    Control { request: Request, reply: oneshot::Sender<Answer> },
}

/// Asks the engine. Clones share it. When the engine is gone, orders vanish and questions answer [`Gone`].
#[derive(Debug, Clone)]
pub struct EngineHandle {
    asks: mpsc::Sender<Ask>,
}

/// Asks that may wait for the engine.
const ASKS_MAX: usize = 256;

impl EngineHandle {
    async fn tell(&self, ask: Ask) {
        // The engine ends only with the process.
        drop(self.asks.send(ask).await);
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(make(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// What a new connection starts from.
    pub async fn handover(&self) -> Result<Handover, Gone> {
        self.ask(Ask::Handover).await
    }

    /// Runs these checks from now on.
    pub async fn assign(&self, revision: u64, checks: Vec<AssignedCheck>) {
        self.tell(Ask::Assign { revision, checks }).await;
    }

    /// Stores and applies the collector's events; answers with those that are durable.
    pub async fn store_events(&self, events: Vec<ControlEvent>) -> Result<Vec<EventId>, Gone> {
        self.ask(|reply| Ask::StoreEvents { events, reply }).await
    }

    /// The collector has these events.
    pub async fn events_acked(&self, ids: Vec<EventId>) {
        self.tell(Ask::EventsAcked(ids)).await;
    }

    /// Remembers where collectors are.
    pub async fn store_addresses(&self, addresses: Vec<String>) {
        self.tell(Ask::StoreAddresses(addresses)).await;
    }

    /// Keeps a new certificate.
    pub async fn store_certificate(&self, certificate_der: Vec<u8>, expires: UtcMicros) {
        self.tell(Ask::StoreCertificate { certificate_der, expires }).await;
    }

    /// The clock was measured.
    pub async fn clock(&self, offset_us: i64, uncertainty_us: u64) {
        self.tell(Ask::Clock { offset_us, uncertainty_us }).await;
    }

    /// How the connection fares.
    pub async fn link(&self, link: Link) {
        self.tell(Ask::Link(link)).await;
    }

    /// How the agent fares.
    pub async fn status(&self) -> Result<Status, Gone> {
        self.ask(Ask::Status).await
    }

    /// Answers the command line.
    pub async fn control(&self, request: Request) -> Result<Answer, Gone> {
        self.ask(|reply| Ask::Control { request, reply }).await
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
    /// Slots up to this are accounted for: see [`recovery`].
    pub resume_after: UtcMicros,
    /// Most runs at once.
    pub in_flight_max: usize,
    /// TLS to targets.
    pub tls: Tls,
    /// Where probes run.
    pub tasks: TaskSet,
    /// Ticks at least every second.
    pub heartbeat: Heartbeat,
}

/// The engine.
pub struct Engine {
    state: StateDb,
    identity: Identity,
    revision: u64,
    since: BTreeMap<CheckNo, UtcMicros>,
    checks: BTreeMap<CheckNo, Entry>,
    /// Buckets of checks that the last assignments took away, for their runs under way.
    retired: BTreeMap<CheckNo, Bucket>,
    log: ControlLog,
    scheduler: Scheduler,
    transitions: Transitions,
    spool: SpoolHandle,
    spool_bytes_max: u64,
    tls: Tls,
    tasks: TaskSet,
    heartbeat: Heartbeat,
    link: Link,
    clock: Option<(i64, u64)>,
    incarnation: sitepulse_model::id::Incarnation,
    acked_saved: clock::Monotonic,
    local_events: mpsc::UnboundedSender<ControlEvent>,
    done: mpsc::UnboundedSender<ProbeResult>,
    finished: mpsc::UnboundedReceiver<ProbeResult>,
    asks: mpsc::Receiver<Ask>,
}

struct Entry {
    assigned: AssignedCheck,
    bucket: Bucket,
    probe: Arc<HttpProbe>,
    last: Option<LastRun>,
}

impl Entry {
    fn new(assigned: AssignedCheck) -> Self {
        Self {
            bucket: assigned.definition.id.bucket(),
            probe: Arc::new(HttpProbe::new(&assigned)),
            assigned,
            last: None,
        }
    }
}

impl Engine {
    /// Makes the engine. The receiver gets the agent's own control events, to be shipped.
    pub fn new(parts: Parts) -> Result<(Self, EngineHandle, mpsc::UnboundedReceiver<ControlEvent>), EngineError> {
        let (asks_sender, asks) = mpsc::channel(ASKS_MAX);
        let (local_events, local) = mpsc::unbounded_channel();
        let (done, finished) = mpsc::unbounded_channel();
        let mut log = ControlLog::new();
        for (event, _) in parts.state.events()? {
            log.insert(event);
        }
        let incarnation = parts.spool.figures().borrow().stats.incarnation;
        let mut engine = Self {
            state: parts.state,
            identity: parts.identity,
            revision: parts.assignment.revision,
            since: parts.assignment.since,
            checks: parts.assignment.checks.into_iter().map(|check| (check.number, Entry::new(check))).collect(),
            retired: BTreeMap::new(),
            log,
            scheduler: Scheduler::new(parts.in_flight_max),
            transitions: Transitions::default(),
            spool: parts.spool,
            spool_bytes_max: parts.spool_bytes_max,
            tls: parts.tls,
            tasks: parts.tasks,
            heartbeat: parts.heartbeat,
            link: Link::default(),
            clock: None,
            incarnation,
            acked_saved: clock::monotonic(),
            local_events,
            done,
            finished,
            asks,
        };
        let actions = engine.scheduler.assign(&engine.plans(), parts.resume_after);
        engine.carry_out(actions)?;
        Ok((engine, EngineHandle { asks: asks_sender }, local))
    }

    /// Runs until `stop` says so, then ends the probes under way. The caller closes the spool.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), EngineError> {
        let mut figures = self.spool.figures();
        loop {
            self.heartbeat.tick();
            let now = clock::now();
            let actions = self.scheduler.handle_now(now, clock::monotonic().0);
            self.carry_out(actions)?;
            self.remember_acked();
            let due = self.scheduler.poll_timeout().unwrap_or(UtcMicros::MAX);
            let sleep_us = u64::try_from(due.us_since(clock::now())).unwrap_or(0).min(SLEEP_US_MAX);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(result) = self.finished.recv() => {
                    self.finish(result)?;
                    while let Ok(result) = self.finished.try_recv() {
                        self.finish(result)?;
                    }
                }
                Some(ask) = self.asks.recv() => self.answer(ask).await?,
                changed = figures.changed() => {
                    changed.map_err(|_| Gone)?;
                    let incarnation = figures.borrow_and_update().stats.incarnation;
                    self.spool_replaced(incarnation).await?;
                }
                () = tokio::time::sleep(Duration::from_micros(sleep_us)) => {}
            }
        }
        self.drain().await
    }

    /// Waits for the probes under way; what does not end in time is found as missed by the next start.
    async fn drain(&mut self) -> Result<(), EngineError> {
        let deadline = clock::tokio_instant(clock::monotonic().plus_us(STOP_US_MAX));
        while self.scheduler.in_flight() > 0 {
            self.heartbeat.tick();
            match tokio::time::timeout_at(deadline, self.finished.recv()).await {
                Ok(Some(result)) => self.finish(result)?,
                Ok(None) | Err(_) => break,
            }
        }
        self.spool.flush().await?;
        Ok(())
    }

    fn plans(&self) -> Vec<Plan> {
        self.checks.values().map(|entry| Plan::of(&entry.assigned, &self.identity.name)).collect()
    }

    /// Starts runs and records what is missed; tells the spool how far the schedule is.
    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), EngineError> {
        if actions.is_empty() {
            return Ok(());
        }
        let mut submission = Submission::default();
        for action in actions {
            match action {
                Action::Run { check, revision, slot } => {
                    self.begin(check, revision, slot, &mut submission);
                }
                Action::Missed(missed) => self.miss(&missed, &mut submission),
                Action::ClockStepped { by_us } => {
                    tracing::warn!(
                        "the wall clock stepped by {:+.3} s; runs go on at the new time",
                        by_us as f64 / 1e6
                    );
                }
            }
        }
        self.note_frontier(&mut submission, clock::now());
        self.spool.submit(submission)?;
        Ok(())
    }

    /// Tells how far the schedule is: every slot before the frontier was handed out, or waits for its turn and is noted as begun, so
    /// that a kill finds it missed once. Not beyond `now`: a check assigned later may begin before the others' next slot.
    fn note_frontier(&self, submission: &mut Submission, now: UtcMicros) {
        let waiting = self.scheduler.waiting_slots().filter_map(|(check, revision, slot)| {
            let bucket = self.bucket(check)?;
            Some(Begun { check, first: slot, slots: OpenSlots { revision, bucket, last: slot, count: 1 } })
        });
        submission.begun.extend(waiting);
        submission.frontier = Some(self.scheduler.earliest_next().unwrap_or(UtcMicros::MAX).min(now.plus_us(1)));
    }

    fn begin(&mut self, check: CheckNo, revision: Revision, slot: UtcMicros, submission: &mut Submission) {
        let Some(entry) = self.checks.get(&check) else {
            self.scheduler.finished();
            return;
        };
        if control::suspended(&self.log, self.identity.agent, check, slot) {
            self.scheduler.finished();
            let missed =
                MissedSlots { check, revision, first: slot, last: slot, count: 1, cause: MissedCause::Suspended };
            self.miss(&missed, submission);
            return;
        }
        submission.begun.push(Begun {
            check,
            first: slot,
            slots: OpenSlots { revision, bucket: entry.bucket, last: slot, count: 1 },
        });
        let (probe, tls, done) = (entry.probe.clone(), self.tls.clone(), self.done.clone());
        self.tasks.spawn("probe", async move {
            let run = Run { check, revision, slot, started: clock::now() };
            // The engine may have stopped waiting; the next start finds the run missed.
            drop(done.send(probe.run(run, &tls).await));
        });
    }

    fn miss(&mut self, missed: &MissedSlots, submission: &mut Submission) {
        let Some(bucket) = self.bucket(missed.check) else { return };
        let record = missed_record(missed);
        let keep = self.transitions.keep(&record);
        submission.records.push(PendingRecord { bucket, keep, record });
    }

    fn bucket(&self, check: CheckNo) -> Option<Bucket> {
        self.checks.get(&check).map(|entry| entry.bucket).or_else(|| self.retired.get(&check).copied())
    }

    fn finish(&mut self, result: ProbeResult) -> Result<(), EngineError> {
        self.scheduler.finished();
        let check = result.check;
        if let Some(entry) = self.checks.get_mut(&check) {
            entry.last = Some(LastRun::of(&result));
        }
        // A run of a check that was taken away meanwhile still counts: it was assigned at its slot.
        let Some(bucket) = self.bucket(check) else { return Ok(()) };
        let record = Record::Result(result);
        let keep = self.transitions.keep(&record);
        self.spool
            .submit(Submission { records: vec![PendingRecord { bucket, keep, record }], ..Submission::default() })?;
        Ok(())
    }

    async fn answer(&mut self, ask: Ask) -> Result<(), EngineError> {
        match ask {
            Ask::Handover(reply) => {
                let events = self.state.events()?;
                let handover = Handover {
                    identity: self.identity.clone(),
                    addresses: self.state.addresses()?,
                    events: events.into_iter().filter(|(_, acked)| !acked).map(|(event, _)| event).collect(),
                    assignment_revision: self.revision,
                };
                drop(reply.send(handover));
            }
            Ask::Assign { revision, checks } => self.assign(revision, checks).await?,
            Ask::StoreEvents { events, reply } => {
                let (good, bad): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.validate().is_ok());
                for event in bad {
                    tracing::warn!(
                        author = event.id.author,
                        number = event.id.number,
                        "a control event is invalid and ignored"
                    );
                }
                match self.state.save_events(&good, true) {
                    Ok(()) => {
                        let ids = good.iter().map(|event| event.id.clone()).collect();
                        for event in good {
                            self.log.insert(event);
                        }
                        drop(reply.send(ids));
                    }
                    Err(error) => {
                        // Unacknowledged, they come again.
                        tracing::warn!("{error}; the collector's orders are not taken yet");
                        drop(reply.send(Vec::new()));
                    }
                }
            }
            Ask::EventsAcked(ids) => soft(self.state.mark_acked(&ids)),
            Ask::StoreAddresses(addresses) => {
                if self.state.addresses()? != addresses {
                    soft(self.state.save_addresses(&addresses));
                }
            }
            Ask::StoreCertificate { certificate_der, expires } => {
                soft(self.state.save_certificate(&certificate_der, expires));
                self.identity.certificate_der = certificate_der;
                self.identity.certificate_expires = expires;
                tracing::info!("the certificate was renewed until {}", sitepulse_daemon::instant::format(expires));
            }
            Ask::Clock { offset_us, uncertainty_us } => {
                self.clock = Some((offset_us, uncertainty_us));
                self.spool.set_provenance(provenance(self.clock))?;
            }
            Ask::Link(link) => self.link = link,
            Ask::Status(reply) => {
                // At most a second old; a disk that hangs must not hold up the schedule.
                let figures = self.spool.figures().borrow().clone();
                let status = Status {
                    spool_records: figures.stats.records + figures.queued as u64,
                    spool_bytes: figures.stats.bytes,
                    spool_oldest: figures.stats.oldest,
                    in_flight: u32::try_from(self.scheduler.in_flight()).unwrap_or(u32::MAX),
                    ..Status::default()
                };
                drop(reply.send(status));
            }
            Ask::Control { request, reply } => {
                // At most a second old; a disk that hangs must not hold up the schedule.
                let figures = self.spool.figures().borrow().clone();
                let mut desk = Desk {
                    identity: &self.identity,
                    state: &mut self.state,
                    log: &self.log,
                    checks: self.checks.values().map(|entry| (&entry.assigned, entry.last.as_ref())).collect(),
                    spool: SpoolView::of(&figures, self.spool_bytes_max),
                    live: Some(Live {
                        collector: self.link.collector.clone(),
                        trouble: self.link.trouble.clone(),
                        in_flight: self.scheduler.in_flight(),
                        clock: self.clock,
                    }),
                };
                let (answer, event) = control::answer(&request, &mut desk, clock::now());
                if let Some(event) = event {
                    self.log.insert(event.clone());
                    // Without a connection it waits in the state file.
                    drop(self.local_events.send(event));
                }
                drop(reply.send(answer));
            }
        }
        Ok(())
    }

    /// Takes a new assignment: what was due before belongs to the old one, durably.
    async fn assign(&mut self, revision: u64, checks: Vec<AssignedCheck>) -> Result<(), EngineError> {
        let now = clock::now();
        let actions = self.scheduler.handle_now(now, clock::monotonic().0);
        self.carry_out(actions)?;
        let mut submission = Submission::default();
        self.note_frontier(&mut submission, now);
        self.spool.submit(submission)?;
        if !self.spool.flush().await? {
            tracing::warn!("a new assignment is not taken while the disk takes nothing; the collector sends it again");
            return Ok(());
        }
        let mut since = BTreeMap::new();
        for check in &checks {
            // The schedule keeps the place of a check that keeps its slots.
            let same = self.checks.get(&check.number).is_some_and(|entry| {
                entry.assigned.definition.id == check.definition.id
                    && entry.assigned.definition.interval_us == check.definition.interval_us
            });
            let known = self.since.get(&check.number).filter(|_| same);
            since.insert(check.number, known.copied().unwrap_or(now.plus_us(1)));
        }
        let assignment = Assignment { revision, checks, since };
        if let Err(error) = self.state.save_assignment(&assignment) {
            tracing::warn!("{error}; the new assignment is not taken, the collector sends it again");
            return Ok(());
        }
        let mut entries = BTreeMap::new();
        for check in assignment.checks {
            let number = check.number;
            let kept = self.checks.remove(&number).filter(|entry| entry.assigned == check);
            entries.insert(number, kept.unwrap_or_else(|| Entry::new(check)));
        }
        let gone = std::mem::replace(&mut self.checks, entries);
        self.retired.extend(gone.into_iter().map(|(number, entry)| (number, entry.bucket)));
        self.since = assignment.since;
        self.revision = revision;
        let checks = &self.checks;
        self.transitions.retain(|check| checks.contains_key(check));
        let actions = self.scheduler.assign(&self.plans(), now);
        self.carry_out(actions)?;
        tracing::info!("{} checks are assigned (revision {revision})", self.checks.len());
        Ok(())
    }

    /// The spool's file was damaged while running: tell what may be lost.
    async fn spool_replaced(&mut self, incarnation: sitepulse_model::id::Incarnation) -> Result<(), EngineError> {
        if incarnation == self.incarnation {
            return Ok(());
        }
        self.incarnation = incarnation;
        let from = self.state.acked_until()?;
        let checks: Vec<&AssignedCheck> = self.checks.values().map(|entry| &entry.assigned).collect();
        let records = recovery::lost(&checks, &self.since, &self.identity.name, from, clock::now());
        self.spool.submit(Submission { records, ..Submission::default() })?;
        if self.spool.flush().await? {
            soft(self.state.save_spool_incarnation(incarnation));
        }
        Ok(())
    }

    /// Keeps a lower bound of what is acknowledged, in case the spool is damaged.
    fn remember_acked(&mut self) {
        let now = clock::monotonic();
        if now.us_since(self.acked_saved) < ACKED_EVERY_US {
            return;
        }
        self.acked_saved = now;
        let oldest = self.spool.figures().borrow().stats.oldest;
        let until = oldest.unwrap_or(UtcMicros::MAX).min(clock::now()).plus_us(-SLOT_LAG_US_MAX);
        soft(self.state.save_acked_until(until));
    }
}

/// A state write that can wait for a better time: told, not fatal.
fn soft(result: Result<(), StateError>) {
    if let Err(error) = result {
        tracing::warn!("{error}");
    }
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
