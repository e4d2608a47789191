//! The collector's own observer: takes pings in, and runs heartbeat checks at their slots.
//!
//! It is an agent of the book ([`Agent::internal`]) with the lattice, the scheduler and the records of any agent. Its runs take no time,
//! so they are judged and stored within one call on the writer's thread, under the next free numbers of its one incarnation.
//!
//! Every slot ends in a record. Slots that passed while the collector was not running become `missed (agent_stopped)` when it looks
//! again, and so do those whose records could not be stored: after a failed write the observer forgets where it was and takes up from
//! the ledger, as after a restart.

use std::collections::HashMap;

use sitepulse_model::check::AssignedCheck;
use sitepulse_model::expect::{self, Observed};
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{
    Cause, Missed, MissedCause, Phases, ProbeResult, ProbeState, Provenance, Record, detail,
};
use sitepulse_model::schedule::{self, Action, MissedSlots, POLL_US_MAX, Plan, Scheduler};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_wire::message::{Batch, Entry};

use super::judge::{Question, judge};
use super::timing::Timing;
use super::{BODY_BYTES_MAX, Memory, PINGS_KEPT, Ping, PingKind, StoredPing, door};
use crate::app::AppError;
use crate::book::{Agent, Book, Check, CheckRevision, PresenceCell, is_heartbeat};
use crate::engine::Engine;
use crate::ingest::{IngestJob, SpoolKey};
use crate::store::{StoreError, rows};

/// The observer's name and region: no agent may join under them.
pub const OBSERVER: &str = "collector";
/// The observer has no spool that could be lost, so it needs no second incarnation.
const INCARNATION: Incarnation = Incarnation(1);
/// Runs end at once: as many as are due may go on.
const IN_FLIGHT_MAX: usize = usize::MAX;
/// How soon a store that failed is tried again, in microseconds.
const RETRY_US: u64 = 3_000_000;
/// A longer time between two looks means that the collector stood still (a suspended machine, a stopped process): it heard nothing.
const STOOD_STILL_US: i64 = 2 * POLL_US_MAX as i64;

/// One heartbeat check's part.
#[derive(Debug)]
struct Beat {
    token: String,
    memory: Memory,
    timing: Option<(Revision, Timing)>,
}

/// What the engine keeps of heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    beats: HashMap<CheckNo, Beat>,
    /// While it observes.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    scheduler: Scheduler,
    /// When the collector did not look last.
    away: Option<Span>,
    /// The last look, where another one was to follow within [`POLL_US_MAX`].
    looked: Option<UtcMicros>,
}

/// What a change of checks brings for heartbeats, to be stored with it.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    pub(crate) observer: Option<Agent>,
    pub(crate) tokens: Vec<(CheckNo, Bucket, String)>,
}

/// A heartbeat check's token and its newest pings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatNow {
    /// The token.
    pub token: String,
    /// What was told so far.
    pub memory: Memory,
    /// The pings kept, newest first.
    pub pings: Vec<StoredPing>,
}

impl Heartbeats {
    pub(crate) fn rebuild(rows: Vec<(CheckNo, String, Memory)>) -> Self {
        let beat = |(check, token, memory)| (check, Beat { token, memory, timing: None });
        Self { beats: rows.into_iter().map(beat).collect(), running: None }
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = (&str, CheckNo)> {
        self.beats.iter().map(|(check, beat)| (beat.token.as_str(), *check))
    }
}

/// Whether an agent may join under this name or in this region.
pub fn is_reserved(text: &str) -> bool {
    text == OBSERVER
}

impl Engine {
    /// What must be stored beside these new revisions: the observer before its first check, and a token for each new heartbeat.
    pub(crate) fn heartbeat_newcomers(
        &self,
        revisions: &[(CheckNo, CheckRevision)],
        now: UtcMicros,
    ) -> Result<Newcomers, AppError> {
        let mut newcomers = Newcomers::default();
        for (check, revision) in revisions.iter().filter(|(_, revision)| is_heartbeat(&revision.definition)) {
            if !self.heartbeats.beats.contains_key(check) {
                newcomers.tokens.push((*check, revision.definition.id.bucket(), door::new_token()?));
            }
        }
        let book = self.shared.book();
        if !newcomers.tokens.is_empty() && book.observer().is_none() {
            newcomers.observer = Some(new_observer(&book, now));
        }
        Ok(newcomers)
    }

    /// They are stored, and so are the checks: the observer goes on with those.
    pub(crate) fn welcome_newcomers(&mut self, newcomers: Newcomers, now: UtcMicros) {
        for (check, _, token) in newcomers.tokens {
            self.shared.pings.learn(&token, check);
            self.heartbeats.beats.insert(check, Beat { token, memory: Memory::default(), timing: None });
        }
        if self.heartbeats.running.is_none() {
            return;
        }
        let plans = plans(&self.shared.book());
        let actions = match &mut self.heartbeats.running {
            Some(running) => running.scheduler.assign(&plans, now),
            None => Vec::new(),
        };
        self.note_presence(now);
        self.carry_out(actions, now);
    }

    /// Takes a ping in: durable when this returns `Ok`. `false` when the check is no living heartbeat.
    pub fn ping(
        &mut self,
        check: CheckNo,
        kind: PingKind,
        exit_status: Option<u8>,
        mut body: Vec<u8>,
        now: UtcMicros,
    ) -> Result<bool, StoreError> {
        let bucket = {
            let book = self.shared.book();
            match book.check(check) {
                Some(known) if known.current().is_some_and(|now| is_heartbeat(&now.definition)) => known.bucket(),
                Some(_) | None => return Ok(false),
            }
        };
        let Some(beat) = self.heartbeats.beats.get_mut(&check) else { return Ok(false) };
        body.truncate(BODY_BYTES_MAX);
        let ping = Ping { at: now, kind, exit_status };
        let mut memory = beat.memory;
        memory.add(ping);
        let stored = StoredPing { number: memory.pings, ping, body };
        self.store.write(|tables| {
            rows::insert_ping(tables, bucket, check, &stored, PINGS_KEPT)?;
            rows::set_memory(tables, bucket, check, &memory)
        })?;
        beat.memory = memory;
        Ok(true)
    }

    /// A heartbeat check's token and pings; `None` for a check that is none.
    pub fn heartbeat(&self, check: CheckNo) -> Result<Option<HeartbeatNow>, StoreError> {
        let bucket = self.shared.book().check(check).map(Check::bucket);
        let Some((beat, bucket)) = self.heartbeats.beats.get(&check).zip(bucket) else { return Ok(None) };
        let pings = rows::pings(self.store.read(), bucket, check)?;
        Ok(Some(HeartbeatNow { token: beat.token.clone(), memory: beat.memory, pings }))
    }

    /// The tokens of these checks, in their order; `None` for one that is no heartbeat. Reads no rows.
    pub fn heartbeat_tokens(&self, checks: &[CheckNo]) -> Vec<Option<String>> {
        checks.iter().map(|check| Some(self.heartbeats.beats.get(check)?.token.clone())).collect()
    }

    /// Runs what is due. When to call again, on the monotonic clock in microseconds; `None`: after the next change of checks.
    pub fn observe(&mut self, now: UtcMicros, monotonic_us: u64) -> Option<u64> {
        if self.heartbeats.running.is_none() && !self.take_up(now) {
            return Some(monotonic_us.saturating_add(RETRY_US));
        }
        let Some(running) = &mut self.heartbeats.running else { return None };
        if let Some(looked) = running.looked.filter(|looked| now.us_since(*looked) > STOOD_STILL_US) {
            running.away = Some(Span::new(looked, now));
        }
        let actions = running.scheduler.handle_now(now, monotonic_us);
        self.carry_out(actions, now);
        match &mut self.heartbeats.running {
            Some(running) => {
                let deadline = running.scheduler.poll_deadline_us();
                running.looked = deadline.map(|_| now);
                deadline
            }
            None => Some(monotonic_us.saturating_add(RETRY_US)),
        }
    }

    /// Accounts for the slots since the last record, and goes on from `now`; whether that could be stored.
    fn take_up(&mut self, now: UtcMicros) -> bool {
        let (plans, missed, looked) = {
            let book = self.shared.book();
            let Some(observer) = book.observer() else {
                // The first heartbeat check brings the observer; until then there is nothing to look at.
                self.heartbeats.running =
                    Some(Running { scheduler: Scheduler::new(IN_FLIGHT_MAX, IN_FLIGHT_MAX), away: None, looked: None });
                return true;
            };
            let checks = || book.checks().filter(|check| self.heartbeats.beats.contains_key(&check.number));
            let missed: Vec<Record> = checks().flat_map(|check| slots_since(check, observer, now)).collect();
            let last = |check: &Check| Some(check.pairs.get(&observer.number)?.last.as_ref()?.started);
            (plans(&book), missed, checks().filter_map(last).max())
        };
        let mut scheduler = Scheduler::new(IN_FLIGHT_MAX, IN_FLIGHT_MAX);
        // A fresh scheduler abandons nothing.
        drop(scheduler.assign(&plans, now));
        let away = looked.filter(|looked| *looked < now).map(|looked| Span::new(looked, now));
        self.heartbeats.running = Some(Running { scheduler, away, looked: None });
        self.note_presence(now);
        self.record(missed, now);
        self.heartbeats.running.is_some()
    }

    fn note_presence(&self, now: UtcMicros) {
        if let Some(observer) = self.shared.book().observer() {
            observer.presence.update(|presence| {
                presence.connected = true;
                presence.last_seen = Some(now);
            });
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>, now: UtcMicros) {
        let mut records = Vec::with_capacity(actions.len());
        for action in actions {
            match action {
                Action::Run { check, revision, slot, host } => {
                    records.extend(self.run(check, revision, slot, now));
                    if let Some(running) = &mut self.heartbeats.running {
                        running.scheduler.finished(host);
                    }
                }
                Action::Missed(slots) => records.push(missed(slots)),
                Action::ClockStepped { by_us } => tracing::warn!(by_us, "the collector's wall clock leapt"),
            }
        }
        self.record(records, now);
    }

    /// One run of one heartbeat.
    fn run(&mut self, check: CheckNo, revision: Revision, slot: UtcMicros, now: UtcMicros) -> Option<Record> {
        let away = self.heartbeats.running.as_ref().and_then(|running| running.away);
        let beat = self.heartbeats.beats.get_mut(&check)?;
        let book = self.shared.book();
        let (known, observer) = (book.check(check)?, book.observer()?);
        if book.control().suspended_at(observer.number, check, now).is_some() {
            let cause = MissedCause::Suspended;
            return Some(missed(MissedSlots { check, revision, first: slot, last: slot, count: 1, cause }));
        }
        let definition = &known.revision(revision)?.definition;
        let mut result = ProbeResult {
            check,
            revision,
            scheduled: slot,
            started: now,
            phases: Phases::default(),
            state: ProbeState::Unknown,
            cause: Some(Cause::AgentFault),
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts: sitepulse_model::record::Facts::default(),
        };
        if beat.timing.as_ref().is_none_or(|(of, _)| *of != revision) {
            let timing = Timing::of_kind(&definition.kind);
            let timing = timing.unwrap_or_else(|| Err(format!("{} is no heartbeat", definition.kind.as_str())));
            match timing {
                Ok(timing) => beat.timing = Some((revision, timing)),
                // `apply` refuses such a check; a time zone may have gone since.
                Err(what) => {
                    result.detail = detail(&format!("collector: the check is unusable ({what})"));
                    return Some(Record::Result(result));
                }
            }
        }
        let (_, timing) = beat.timing.as_ref()?;
        let looked = known.pairs.get(&observer.number).and_then(|pair| pair.last.as_ref()).map(|last| last.started);
        // A failure that came and went during a suspension alarms nobody afterwards.
        let suspended = |at: &UtcMicros| book.control().suspended_at(observer.number, check, *at).is_some();
        let looked = looked.max(beat.memory.last_failure.filter(suspended));
        // What was told before the check was (again) a heartbeat is another life's.
        let life_from = known.spans_where(is_heartbeat).last().map_or(now, |span| span.from);
        let finding = judge(&Question { timing, memory: beat.memory, life_from, looked, away, now });
        (result.state, result.cause, result.detail) = (finding.state, finding.cause, finding.detail);
        result.facts = finding.facts;
        if result.state == ProbeState::Up {
            let observed = Observed {
                facts: &result.facts,
                body: b"",
                body_bytes: 0,
                body_truncated: false,
                headers: &(),
                phases: result.phases,
                now,
                thresholds: None,
            };
            let outcome = expect::evaluate(&definition.expect, &observed);
            result.state = outcome.state;
            result.cause = match outcome.state {
                ProbeState::Up => None,
                ProbeState::Degraded => Some(Cause::SoftAssertion),
                ProbeState::Down | ProbeState::Unknown => Some(Cause::AssertionFailed),
            };
            result.detail = outcome.broken.map(|broken| detail(&broken.explanation)).unwrap_or_default();
        }
        Some(Record::Result(result))
    }

    /// Stores records as the observer's; where that fails, it takes up anew the next time.
    fn record(&mut self, records: Vec<Record>, now: UtcMicros) {
        if records.is_empty() {
            return;
        }
        let (agent, entries) = {
            let book = self.shared.book();
            let Some(agent) = book.observer().map(|observer| observer.number) else { return };
            let mut next: HashMap<Bucket, u64> = HashMap::new();
            let marks = self.marks.get(&SpoolKey { agent, incarnation: INCARNATION });
            let mut entries = Vec::with_capacity(records.len());
            for record in records {
                let Some(bucket) = book.check(record.check()).map(Check::bucket) else { continue };
                let seq = next.entry(bucket).or_insert_with(|| marks.map_or(0, |marks| marks.of(bucket).next()));
                entries.push(Entry { bucket, seq: Seq(*seq), provenance: 0, record });
                *seq += 1;
            }
            (agent, entries)
        };
        let build = env!("CARGO_PKG_VERSION").to_owned();
        let provenances = vec![Provenance { build, clock_offset_us: Some(0), clock_uncertainty_us: 0 }];
        let batch = Batch { number: 1, incarnation: INCARNATION, provenances, entries };
        if self.ingest(vec![IngestJob { agent, received_at: now, batch }]).is_err() {
            // The store's health tells of it.
            self.heartbeats.running = None;
        } else if let Some(observer) = self.shared.book().agent(agent) {
            observer.presence.update(|presence| presence.last_seen = Some(now));
        }
    }
}

/// The observer, before its first check.
fn new_observer(book: &Book, now: UtcMicros) -> Agent {
    let mut name = AgentName::parse(OBSERVER).expect("a slug");
    let mut tail = 1_u32;
    // An older version let agents take any name.
    while book.agent_by_name(&name).is_some() {
        name = AgentName::parse(&format!("{OBSERVER}-{tail}")).expect("a slug");
        tail += 1;
    }
    Agent {
        number: AgentNo(book.agents().map(|agent| agent.number.0).max().unwrap_or(0) + 1),
        name,
        region: Region::parse(OBSERVER).expect("a slug"),
        spki_sha256: [0; 32],
        enrolled_at: now,
        revoked_at: None,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        presence: PresenceCell::default(),
        internal: true,
    }
}

/// The plans of all living heartbeat checks.
fn plans(book: &Book) -> Vec<Plan> {
    let Some(observer) = book.observer() else { return Vec::new() };
    let living = book.checks().filter_map(|check| Some((check, check.current()?)));
    living
        .filter(|(_, current)| observer.runs(&current.definition))
        .map(|(check, current)| plan(check, current, observer))
        .collect()
}

fn plan(check: &Check, revision: &CheckRevision, observer: &Agent) -> Plan {
    let definition = revision.definition.clone();
    Plan::of(&AssignedCheck { number: check.number, revision: revision.revision, definition }, &observer.name)
}

/// Every slot of a check up to `now` that has no record yet, as missed.
fn slots_since(check: &Check, observer: &Agent, now: UtcMicros) -> Vec<Record> {
    let recorded = check.pairs.get(&observer.number).and_then(|pair| pair.ledger.last);
    let mut out = Vec::new();
    for (index, revision) in check.revisions.iter().enumerate() {
        if revision.retired || !observer.runs(&revision.definition) {
            continue;
        }
        let next = check.revisions.get(index + 1).map(|next| next.effective_from.plus_us(-1));
        let to = next.map_or(now, |next| next.min(now));
        let from = revision.effective_from.max(observer.enrolled_at);
        let from = recorded.map_or(from, |recorded| from.max(recorded.plus_us(1)));
        if from <= to {
            out.extend(schedule::resume(&plan(check, revision, observer), from, &[], to).into_iter().map(missed));
        }
    }
    out
}

fn missed(slots: MissedSlots) -> Record {
    let MissedSlots { check, revision, first, last, count, cause } = slots;
    Record::Missed(Missed { check, revision, first, last, count, cause })
}
