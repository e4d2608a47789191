//! A simulated agent: the real scheduler, recovery, spool, state file, control desk and ship session, wired as
//! `sitepulse_agent::{runner, engine, ship::io}` wire them, over virtual time and a simulated link.

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sitepulse_agent::control::view::SpoolView;
use sitepulse_agent::control::{Answer, Desk, Live, Request, answer, offline};
use sitepulse_agent::engine::{PER_HOST_MAX_DEFAULT, recovery};
use sitepulse_agent::ship::{Opening, Settings, ShipSession, Stream};
use sitepulse_agent::spool::policy::Transitions;
use sitepulse_agent::spool::writer::{Begun, Submission, open_slots};
use sitepulse_agent::spool::{FILE_NAME as SPOOL_FILE, Limits, Spool};
use sitepulse_agent::state::{FILE_NAME as STATE_FILE, Identity, StateDb};
use sitepulse_agent::summary::Summary;
use sitepulse_daemon::clock::Monotonic;
use sitepulse_model::backoff::Backoff;
use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::ControlLog;
use sitepulse_model::id::{Bucket, CheckNo, Incarnation};
use sitepulse_model::record::ProbeResult;
use sitepulse_model::schedule::{Lattice, Plan, Scheduler};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_wire::frame::{FrameDecoder, PUSH_BYTES_MAX};
use sitepulse_wire::message::ToAgent;

use super::rng::Rng;
use super::site::Site;
use super::spooler::{Committed, Spooler};
use super::{START, disk};
use process::provenance;

/// The loop's longest sleep, as in the engine.
const SLEEP_US_MAX: i64 = 1_000_000;
/// How long a stopping agent waits for its probes.
const STOP_US_MAX: i64 = 5_000_000;
/// How long a connection attempt takes to fail.
const CONNECT_US_MAX: i64 = 3_000_000;
/// Slots this close to a repeated stretch of wall time may be repeated too: an interval and what counts as no step.
const REPEAT_MARGIN_US: i64 = 35_000_000;

/// The slots of one check on one agent while one lattice was in force.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// The slots.
    pub lattice: Lattice,
    /// First instant, on the agent's wall clock.
    pub from: UtcMicros,
    /// Last instant; `None` while in force.
    pub to: Option<UtcMicros>,
}

/// What the agent did, for the oracle: not part of the agent.
#[derive(Debug, Default)]
pub struct Truth {
    /// Every result and missed range in a committed spool transaction.
    pub committed: Vec<Committed>,
    /// Which slots each check had.
    pub epochs: BTreeMap<CheckNo, Vec<Epoch>>,
    /// Wall time that came more than once.
    pub repeated: Vec<Span>,
    /// Spools that were lost to damage.
    pub lost: BTreeSet<Incarnation>,
    /// Runs: check, slot, true start.
    pub runs: Vec<(CheckNo, UtcMicros, i64)>,
    /// Slots that waited in memory for a full disk and were given up.
    pub overflowed: Vec<(CheckNo, UtcMicros)>,
    /// Every slot before this is accounted for.
    pub horizon: UtcMicros,
    /// What must never happen.
    pub broken: Vec<String>,
}

/// Where an agent may be made to die, in the middle of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A new assignment: the old schedule's records are durable, the assignment is not.
    BeforeAssignment,
    /// A new assignment is durable, nothing of its schedule is.
    AfterAssignment,
    /// The collector's orders are durable, unacknowledged.
    AfterEvents,
    /// Before what a restart found missed is durable.
    Recovering,
    /// An ack came; the delete is not durable.
    Acked,
}

/// What an agent asks of the world.
#[derive(Debug)]
pub(super) enum Wish {
    /// Bytes for the connection.
    Send { stream: u32, priority: u8, bytes: Vec<u8> },
    /// It is done with the connection.
    Close,
}

/// An agent with its disk. Survives its processes.
pub struct Agent {
    /// Who it is.
    pub identity: Identity,
    /// Index of its region.
    pub region: usize,
    root: PathBuf,
    dir: PathBuf,
    lives: u32,
    /// Its wall clock minus the true one, microseconds.
    pub clock_offset_us: i64,
    /// The disk takes no growth.
    pub disk_full: bool,
    /// The spool's bound.
    pub limits: Limits,
    /// Records that may wait in memory.
    pub queue_max: usize,
    /// Runs at once.
    pub in_flight_max: usize,
    /// Where it dies next.
    pub doom: Option<Point>,
    /// The process, while it runs.
    pub(super) process: Option<Process>,
    /// What it did.
    pub truth: Truth,
}

struct Entry {
    assigned: AssignedCheck,
    bucket: Bucket,
}

/// A connection from the agent's side.
struct Ship {
    session: ShipSession,
    streams: Vec<Stream>,
    inbox: BTreeMap<u32, FrameDecoder>,
    was_open: bool,
}

/// What a kill takes away.
pub(super) struct Process {
    booted: i64,
    state: StateDb,
    revision: u64,
    since: BTreeMap<CheckNo, UtcMicros>,
    checks: BTreeMap<CheckNo, Entry>,
    retired: BTreeMap<CheckNo, Bucket>,
    log: ControlLog,
    scheduler: Scheduler,
    transitions: Transitions,
    pub(super) spooler: Spooler,
    acked_saved: i64,
    /// Host and result of each run under way, by when it ends.
    runs: BTreeMap<(i64, u64), (u64, ProbeResult)>,
    runs_begun: u64,
    ship: Option<Ship>,
    backoff: Backoff,
    /// When to try to connect next.
    pub(super) connect_at: Option<i64>,
    dead: bool,
    /// The clean end has begun: nothing is scheduled any more.
    quiet: bool,
}

/// The world as an agent's process sees it.
pub(super) struct Here<'a> {
    pub(super) now: i64,
    pub(super) rng: &'a mut Rng,
    pub(super) site: &'a Site,
    pub(super) wishes: &'a mut Vec<Wish>,
}

impl Agent {
    pub(super) fn new(identity: Identity, region: usize, root: PathBuf) -> Self {
        let dir = root.join("0");
        std::fs::create_dir_all(&dir).expect("a folder");
        let mut state = StateDb::open(&dir).expect("the state opens");
        state.save_identity(&identity, &["collector:8443".to_owned()]).expect("the state takes the identity");
        Self {
            identity,
            region,
            root,
            dir,
            lives: 0,
            clock_offset_us: 0,
            disk_full: false,
            limits: Limits { bytes_max: 64 << 20, ballast_bytes: 0 },
            queue_max: 16_384,
            in_flight_max: 100,
            doom: None,
            process: None,
            truth: Truth::default(),
        }
    }

    /// The agent's wall clock.
    pub fn wall(&self, now: i64) -> UtcMicros {
        START.plus_us(now + self.clock_offset_us)
    }

    /// Sets the wall clock.
    pub(super) fn step_clock(&mut self, now: i64, by_us: i64) {
        let wall = self.wall(now);
        if by_us < 0 {
            let span = Span::new(wall.plus_us(by_us - REPEAT_MARGIN_US), wall.plus_us(REPEAT_MARGIN_US));
            self.truth.repeated.push(span);
        }
        self.clock_offset_us += by_us;
    }

    pub(super) fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.dead)
    }

    /// Whether it died at its [`Point`].
    pub(super) fn is_dead(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.dead)
    }

    fn next_dir(&mut self) -> PathBuf {
        self.lives += 1;
        self.root.join(self.lives.to_string())
    }

    /// Takes what the spool committed into the truth.
    fn learn(&mut self) {
        if let Some(process) = &mut self.process {
            self.truth.committed.append(&mut process.spooler.committed);
            self.truth.overflowed.append(&mut process.spooler.overflowed);
        }
    }

    /// `kill -9`, or a power cut: what is committed stays.
    pub(super) fn kill(&mut self, power: bool, corrupt: bool, rng: &mut Rng) {
        self.learn();
        let Some(process) = self.process.take() else { return };
        let dir = self.next_dir();
        disk::survive(&self.dir, &dir, &[SPOOL_FILE, STATE_FILE], power.then_some(&mut *rng));
        let incarnation = process.spooler.spool.incarnation();
        drop(process);
        drop(std::fs::remove_dir_all(&self.dir));
        self.dir = dir;
        if corrupt {
            self.truth.lost.insert(incarnation);
            disk::ruin(&self.dir.join(SPOOL_FILE), rng);
        }
    }

    /// An orderly stop.
    pub(super) fn stop(&mut self, here: &mut Here<'_>) {
        self.quiesce(here);
        self.process.iter_mut().for_each(|process| {
            process.spooler.flush(here.now);
        });
        self.learn();
        if let Some(process) = self.process.take() {
            let Process { spooler, .. } = process;
            let (_, committed) = spooler.end(here.now);
            self.truth.committed.extend(committed);
        }
    }

    /// Ends probing: what runs may end within the time the engine waits.
    pub(super) fn quiesce(&mut self, here: &mut Here<'_>) {
        self.tick(here);
        let wall = self.wall(here.now);
        let Some(process) = &mut self.process else { return };
        if process.dead {
            return;
        }
        process.quiet = true;
        let waiting = process.scheduler.waiting_slots().map(|(_, _, slot)| slot);
        let pending = waiting.chain(process.scheduler.earliest_next()).min().unwrap_or(UtcMicros::MAX);
        self.truth.horizon = pending.min(wall.plus_us(1));
        let runs = std::mem::take(&mut process.runs);
        for ((ends, _), (host, result)) in runs {
            if ends <= here.now + STOP_US_MAX {
                process.finish(host, result, here.now);
            } else {
                self.truth.horizon = self.truth.horizon.min(result.scheduled);
            }
        }
    }

    /// Starts the process, as `runner::run` does.
    pub(super) fn start(&mut self, here: &mut Here<'_>) {
        assert!(self.process.is_none(), "the agent runs already");
        let (now, wall) = (here.now, self.wall(here.now));
        let state = StateDb::open(&self.dir).expect("the state opens");
        let assignment = state.assignment().expect("the assignment reads");
        let rng = &mut *here.rng;
        let opened = Spool::open(&self.dir.join(SPOOL_FILE), self.limits, wall, &mut || Incarnation(rng.next()))
            .expect("the spool opens");
        let spool = opened.spool;
        let incarnation = spool.incarnation();
        let known = state.spool_incarnation().expect("the state reads");
        let name = &self.identity.name;
        let (records, resume_after) = if known.is_some_and(|known| known != incarnation) {
            let checks = assignment.checks.iter();
            let checks = checks.map(|check| (Plan::of(check, name), check.definition.id.bucket()));
            let from = state.acked_until().expect("the state reads");
            (recovery::lost(checks, &assignment.since, from, wall), wall)
        } else {
            let recovered = recovery::recover(spool.progress(), &assignment, name, wall);
            (recovered.records, recovered.resume_after)
        };
        let begun = records.iter().filter_map(|record| {
            let slots = open_slots(record)?;
            Some(Begun { check: record.record.check(), first: record.record.scheduled(), slots })
        });
        let submission = Submission { begun: begun.collect(), frontier: Some(resume_after.plus_us(1)), records };
        let mut spooler = Spooler::new(spool, self.queue_max);
        if self.disk_full {
            spooler.spool.limit_pages(Some(1)).expect("the limit is set");
        }
        let mut log = ControlLog::new();
        for (event, _) in state.events().expect("the events read") {
            log.insert(event);
        }
        spooler.submit(submission, now);
        let doomed = self.doom.take_if(|point| *point == Point::Recovering).is_some();
        if !doomed && spooler.flush(now) {
            state.save_spool_incarnation(incarnation).expect("the state is written");
        }
        spooler.set_provenance(&provenance(None), now);
        let checks = assignment.checks.into_iter().map(|check| (check.number, Entry::new(check))).collect();
        let mut process = Process {
            booted: now,
            state,
            revision: assignment.revision,
            since: assignment.since,
            checks,
            retired: BTreeMap::new(),
            log,
            scheduler: Scheduler::new(self.in_flight_max, PER_HOST_MAX_DEFAULT),
            transitions: Transitions::default(),
            spooler,
            acked_saved: now,
            runs: BTreeMap::new(),
            runs_begun: 0,
            ship: None,
            backoff: Backoff::new(here.rng.next()),
            connect_at: Some(now),
            dead: doomed,
            quiet: false,
        };
        if !doomed {
            let plans = process.plans(&self.identity);
            let actions = process.scheduler.assign(&plans, resume_after);
            process.carry_out(actions, &self.identity, self.region, wall, &mut self.truth, here);
        }
        self.process = Some(process);
        self.learn();
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<i64> {
        let process = self.process.as_ref().filter(|process| !process.dead)?;
        let scheduler = process.scheduler.poll_deadline_us().map(|us| process.booted + us as i64);
        let wake = (!process.quiet).then(|| scheduler.unwrap_or(i64::MAX));
        let run = process.runs.keys().next().map(|(ends, _)| *ends);
        let ship =
            process.ship.as_ref().and_then(|ship| ship.session.poll_timeout()).map(|at| process.booted + at.0 as i64);
        [wake, run, process.spooler.due, ship, process.connect_at].into_iter().flatten().min()
    }

    /// The longest that may pass before [`Agent::tick`].
    pub(super) const fn nap_us() -> i64 {
        SLEEP_US_MAX
    }

    /// One turn of the engine's loop.
    pub(super) fn tick(&mut self, here: &mut Here<'_>) {
        let (now, wall) = (here.now, self.wall(here.now));
        if !self.is_running() {
            return;
        }
        let Some(process) = &mut self.process else { return };
        if !process.quiet {
            let actions = process.scheduler.handle_now(wall, (now - process.booted) as u64);
            process.carry_out(actions, &self.identity, self.region, wall, &mut self.truth, here);
            process.remember_acked(now, wall);
        }
        while let Some(entry) = process.runs.first_entry().filter(|entry| entry.key().0 <= now) {
            let (host, result) = entry.remove();
            process.finish(host, result, now);
        }
        if process.spooler.due.is_some_and(|due| due <= now) {
            process.spooler.commit(now);
        }
        if let Some(ship) = &mut process.ship
            && ship.session.poll_timeout().is_some_and(|at| at.0 as i64 <= now - process.booted)
        {
            ship.session.handle_timeout(wall, Monotonic((now - process.booted) as u64));
        }
        self.pump(here);
    }

    /// Tells the disk's state to the spool.
    pub(super) fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
        if let Some(process) = &mut self.process {
            process.spooler.spool.limit_pages(full.then_some(1)).expect("the limit is set");
        }
    }

    /// An order of the agent's own command line; while it is stopped, over its files.
    pub(super) fn order(&mut self, request: &Request, here: &mut Here<'_>) {
        let wall = self.wall(here.now);
        let Some(process) = &mut self.process else {
            let rng = &mut *here.rng;
            let said = offline::answer_offline(&self.dir, request, self.limits, wall, &mut || Incarnation(rng.next()));
            if let Ok(Answer::Error { message, .. }) = said.map_err(|fatal| panic!("an offline order fails: {fatal:?}"))
            {
                assert!(
                    message.contains("no check") || message.contains("over already"),
                    "an offline order is refused: {message}"
                );
            }
            return;
        };
        if process.dead {
            return;
        }
        let figures = process.spooler.figures();
        let name = &self.identity.name;
        let summaries: Vec<_> = process.checks.values().map(|entry| Summary::of(&entry.assigned, name)).collect();
        let mut desk = Desk {
            identity: &self.identity,
            state: &mut process.state,
            log: &process.log,
            checks: summaries.iter().map(|summary| (summary, None)).collect(),
            spool: SpoolView::of(&figures, self.limits.bytes_max),
            live: Some(Live::default()),
        };
        let (said, event) = answer(request, &mut desk, wall);
        if let Answer::Error { message, .. } = said {
            assert!(message.contains("no check") || message.contains("over already"), "an order is refused: {message}");
        }
        if let Some(event) = event {
            process.log.insert(event.clone());
            if let Some(ship) = &mut process.ship {
                ship.session.handle_event(event);
            }
        }
        self.pump(here);
    }

    /// The connection is up.
    pub(super) fn connected(&mut self, here: &mut Here<'_>) {
        let (now, wall) = (here.now, self.wall(here.now));
        let Some(process) = &mut self.process else { return };
        let events = process.state.events().expect("the events read");
        let settings = Settings {
            opening: Opening::Hello,
            agent: self.identity.agent,
            build: "0.0.0".to_owned(),
            incarnation: process.spooler.spool.incarnation(),
            boundary: process.spooler.spool.last_id(),
            spool_records: process.spooler.spool.records(),
            assignment_revision: process.revision,
            events: events.into_iter().filter(|(_, acked)| !acked).map(|(event, _)| event).collect(),
            renew_at: UtcMicros::MAX,
            csr_der: Vec::new(),
        };
        let session = ShipSession::new(settings, wall, Monotonic((now - process.booted) as u64));
        process.ship = Some(Ship { session, streams: Vec::new(), inbox: BTreeMap::new(), was_open: false });
        process.connect_at = None;
        self.pump(here);
    }

    /// The connection cannot be had now.
    pub(super) fn connect_failed(&mut self, now: i64) {
        if let Some(process) = &mut self.process {
            process.connect_at = Some(now + CONNECT_US_MAX + process.backoff.next_us() as i64);
        }
    }

    /// The connection is over, as the agent sees it.
    pub(super) fn disconnected(&mut self, now: i64) {
        if let Some(process) = &mut self.process
            && process.ship.take().is_some()
        {
            process.connect_at = Some(now + process.backoff.next_us() as i64);
        }
    }

    /// Bytes came in.
    pub(super) fn receive(&mut self, stream: u32, bytes: &[u8], here: &mut Here<'_>) {
        let (now, wall) = (here.now, self.wall(here.now));
        let Some(process) = &mut self.process else { return };
        let Some(ship) = &mut process.ship else { return };
        let Some(name) = ship.streams.get(stream as usize).copied() else { return };
        for piece in bytes.chunks(PUSH_BYTES_MAX) {
            let Some(ship) = &mut process.ship else { return };
            let decoder = ship.inbox.entry(stream).or_default();
            decoder.push(piece).expect("the collector sends frames");
            while let Some(frame) = decoder.next::<ToAgent>().expect("the collector sends messages") {
                ship.session.handle_frame(name, frame, wall, Monotonic((now - process.booted) as u64));
            }
        }
        self.pump(here);
    }

    /// Does what the session wants.
    fn pump(&mut self, here: &mut Here<'_>) {
        let wall = self.wall(here.now);
        let Some(process) = &mut self.process else { return };
        while let Some(mut ship) = process.ship.take() {
            if process.dead {
                break;
            }
            if std::mem::take(&mut process.spooler.news) {
                let spool = &process.spooler.spool;
                let monotonic = Monotonic((here.now - process.booted) as u64);
                ship.session.handle_durable(spool.incarnation(), spool.last_id(), monotonic);
            }
            let Some(action) = ship.session.poll_action() else {
                if ship.session.is_open() && !ship.was_open {
                    ship.was_open = true;
                    process.backoff.reset();
                }
                process.ship = Some(ship);
                break;
            };
            let over = process.obey(
                action,
                &mut ship,
                &self.identity,
                self.region,
                wall,
                &mut self.truth,
                &mut self.doom,
                here,
            );
            if over {
                here.wishes.push(Wish::Close);
                process.connect_at = Some(here.now + process.backoff.next_us() as i64);
            } else {
                process.ship = Some(ship);
            }
        }
        self.learn();
    }

    /// What it knows of control events, with whether the collector acknowledged them.
    pub(super) fn events(&self) -> Vec<(sitepulse_model::control::ControlEvent, bool)> {
        self.process.as_ref().map(|process| process.state.events().expect("the events read")).unwrap_or_default()
    }

    /// The engine's own log of control events.
    pub(super) fn log(&self) -> Option<&ControlLog> {
        self.process.as_ref().map(|process| &process.log)
    }

    /// Whether it holds a connection on which it was welcomed.
    pub fn is_connected(&self) -> bool {
        self.process.as_ref().and_then(|process| process.ship.as_ref()).is_some_and(|ship| ship.session.is_open())
    }

    /// Nothing waits to be shipped.
    pub(super) fn is_drained(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            process.runs.is_empty() && process.spooler.is_empty() && self.events().iter().all(|(_, acked)| *acked)
        })
    }

    /// Records waiting in the spool.
    pub fn spooled(&self) -> u64 {
        self.process.as_ref().map_or(0, |process| process.spooler.spool.records())
    }

    /// Where its files are now.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }
}

impl Entry {
    fn new(assigned: AssignedCheck) -> Self {
        Self { bucket: assigned.definition.id.bucket(), assigned }
    }
}
