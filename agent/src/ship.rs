//! Shipping: one connection to a collector, as a machine without IO.
//!
//! [`ShipSession`] is handed frames, pages, instants and news, and hands back [`Action`]s; [`io`] carries them out over QUIC, the
//! simulator over a lossy link. Records travel in two lanes: what is made from now on goes at once, what lay there at connect time
//! (ids up to the boundary) follows behind at the rate the collector grants. Each acknowledged batch is deleted by exactly its ids; a batch is
//! acknowledged only after the collector's own commit. What is unacknowledged when a connection ends is sent again on the next one.
//!
//! Limits: [`IN_FLIGHT_BATCHES_MAX`] batches per lane, [`BATCH_RECORDS`] records and [`BATCH_BYTES`] bytes each; small fresh batches
//! [`FRESH_PAUSE_US`] apart.
//!
//! Architecture invariant: shipping knows the spool, and nothing of probes.

pub mod io;

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use sitepulse_daemon::clock::Monotonic;
use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::{ControlEvent, EventId};
use sitepulse_model::id::{AgentNo, CheckNo, Incarnation};
use sitepulse_model::record::{ProbeResult, detail};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::BODY_BYTES_MAX;
use sitepulse_wire::message::{
    Batch, EVENTS_MAX, Hello, Lane, PROTOCOL, PROTOCOL_MIN, Refusal, RefusalCode, SecretsPart, Status, ToAgent,
    ToCollector,
};
use sitepulse_wire::record::RECORD_BYTES_MAX;

use crate::secrets::SecretValues;
use crate::spool::Page;

/// Most batches per lane that wait for their acknowledgement.
pub const IN_FLIGHT_BATCHES_MAX: usize = 4;
/// Most records of one batch.
pub const BATCH_RECORDS: usize = 1024;
/// About the most bytes of one batch (as spooled; the wire takes less).
pub const BATCH_BYTES: usize = 256 << 10;
// A batch ends with the record that fills it, and all of it goes into one frame.
const _: () = assert!(BATCH_BYTES + RECORD_BYTES_MAX < BODY_BYTES_MAX);
/// Least time between the reads of two fresh batches, unless the first left more behind: at a few records each, a batch costs both sides
/// more than what is in it.
pub const FRESH_PAUSE_US: u64 = 400_000;
/// How often the collector is told how the agent fares.
pub const STATUS_US: u64 = 5_000_000;
/// How long a welcome may take.
pub const WELCOME_US_MAX: u64 = 10_000_000;
/// How long an acknowledgement may take before the connection is given up.
pub const ACK_US_MAX: u64 = 60_000_000;
/// How long an asked renewal may stay unanswered before it is asked again.
const RENEW_RETRY_US: i64 = 3_600_000_000;
/// Most parts of an assignment.
const ASSIGNMENT_PARTS_MAX: u32 = 256;
/// Most parts of the secrets: 4096 secrets, at most 32 MiB.
const SECRETS_PARTS_MAX: u32 = 64;

/// How a connection begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// With a hello: the certificate is good.
    Hello,
    /// With a renewal alone: the certificate has expired.
    Renew,
}

/// What a session must know of its agent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How it begins.
    pub opening: Opening,
    /// The agent's number.
    pub agent: AgentNo,
    /// The agent's build.
    pub build: String,
    /// The spool's incarnation.
    pub incarnation: Incarnation,
    /// The newest durable id: the border between the lanes.
    pub boundary: u64,
    /// Records waiting.
    pub spool_records: u64,
    /// Revision of the assignment the agent holds.
    pub assignment_revision: u64,
    /// Control events the collector has not acknowledged.
    pub events: Vec<ControlEvent>,
    /// When to ask for a new certificate: half of its life.
    pub renew_at: UtcMicros,
    /// A request for the registered key, DER.
    pub csr_der: Vec<u8>,
}

/// Which stream of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// The first one.
    Control,
    /// A lane's. Opened by the first send.
    Lane(Lane),
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send(Stream, ToCollector),
    /// Read records, then call [`ShipSession::handle_records`] for this lane.
    ReadPage {
        /// For which lane.
        lane: Lane,
        /// Ids above this.
        after: u64,
        /// Ids up to this.
        up_to: u64,
        /// At most so many.
        records_max: usize,
        /// About so many bytes.
        bytes_max: usize,
    },
    /// These records are durable at the collector: delete them.
    Delete {
        /// Of which spool.
        incarnation: Incarnation,
        /// Exactly these.
        ids: RangeInclusive<u64>,
    },
    /// The clock was measured: the collector's minus the agent's.
    Clock {
        /// Microseconds.
        offset_us: i64,
        /// Half the round trip, microseconds.
        uncertainty_us: u64,
    },
    /// Remember where collectors are.
    StoreAddresses(Vec<String>),
    /// Run these checks from now on.
    Assign {
        /// The assignment's revision.
        revision: u64,
        /// All of them.
        checks: Vec<AssignedCheck>,
    },
    /// Store the collector's events durably and apply them, then call [`ShipSession::handle_stored`].
    StoreEvents(Vec<ControlEvent>),
    /// Use these secrets, and no others, from now on.
    StoreSecrets(SecretValues),
    /// Run a check at once, besides its schedule, then call [`ShipSession::handle_ran`].
    RunNow {
        /// Names the ask.
        ask: u64,
        /// The check.
        check: CheckNo,
    },
    /// The collector has these events.
    EventsAcked(Vec<EventId>),
    /// Call [`ShipSession::handle_status`].
    WantStatus,
    /// Keep the new certificate.
    StoreCertificate {
        /// DER.
        certificate_der: Vec<u8>,
        /// When it expires.
        expires: UtcMicros,
    },
    /// The session is over: close the connection. No action follows.
    Stop(Stop),
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The collector said no.
    Refused(Refusal),
    /// The certificate has expired: connect again with [`Opening::Renew`].
    CertificateExpired,
    /// The new certificate is here: connect again.
    Renewed,
    /// The spool was replaced: connect again.
    SpoolReplaced,
    /// The collector does not answer, or breaks the protocol.
    Broken(String),
}

#[derive(Debug)]
struct LaneState {
    lane: Lane,
    after: u64,
    up_to: u64,
    reading: Option<u64>,
    /// Nothing is read before.
    paused_until: Monotonic,
    /// Most records of the next batch.
    records_max: usize,
    next_number: u64,
    in_flight: VecDeque<InFlight>,
}

#[derive(Debug)]
struct InFlight {
    number: u64,
    ids: (u64, u64),
    records: usize,
    sent: Monotonic,
}

/// Credit for the backlog lane: a token bucket of at most one second.
#[derive(Debug)]
struct Grant {
    per_s: u32,
    credit_us: u64,
    counted: Monotonic,
}

impl Grant {
    /// Records that may be sent now.
    fn available(&mut self, now: Monotonic) -> usize {
        self.count(now);
        (self.credit_us / 1_000_000) as usize
    }

    fn count(&mut self, now: Monotonic) {
        let earned = now.us_since(self.counted).min(1_000_000).saturating_mul(u64::from(self.per_s));
        self.credit_us = self.credit_us.saturating_add(earned).min(u64::from(self.per_s).max(1) * 1_000_000);
        self.counted = now;
    }

    /// The batch worth sending: a quarter of a second's.
    fn worthwhile(&self) -> usize {
        (self.per_s as usize / 4).clamp(1, BATCH_RECORDS)
    }

    fn when(&self, records: usize) -> Option<Monotonic> {
        let missing = (records as u64 * 1_000_000).saturating_sub(self.credit_us);
        (self.per_s > 0).then(|| self.counted.plus_us(missing.div_ceil(u64::from(self.per_s))))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Over,
}

/// One connection's machine.
#[derive(Debug)]
pub struct ShipSession {
    settings: Settings,
    phase: Phase,
    began: Monotonic,
    hello_sent_at: UtcMicros,
    clock: Option<(i64, u64)>,
    durable: u64,
    fresh: LaneState,
    backlog: LaneState,
    grant: Grant,
    assignment: BTreeMap<u32, Vec<AssignedCheck>>,
    assignment_revision: u64,
    secrets: BTreeMap<u32, Vec<(String, String)>>,
    status_due: Monotonic,
    status_wanted: bool,
    actions: VecDeque<Action>,
}

impl ShipSession {
    /// Starts: the first action opens the control stream.
    pub fn new(settings: Settings, now: UtcMicros, monotonic: Monotonic) -> Self {
        let boundary = settings.boundary;
        let lane = |lane, after, up_to| LaneState {
            lane,
            after,
            up_to,
            reading: None,
            paused_until: Monotonic(0),
            records_max: BATCH_RECORDS,
            next_number: 1,
            in_flight: VecDeque::new(),
        };
        let first = match settings.opening {
            Opening::Hello => ToCollector::Hello(Hello {
                protocol_min: PROTOCOL_MIN,
                protocol_max: PROTOCOL,
                build: settings.build.clone(),
                incarnation: settings.incarnation,
                sent_at: now,
                assignment_revision: settings.assignment_revision,
                spool_records: settings.spool_records,
            }),
            Opening::Renew => ToCollector::Renew { csr_der: settings.csr_der.clone() },
        };
        Self {
            settings,
            phase: Phase::Opening,
            began: monotonic,
            hello_sent_at: now,
            clock: None,
            durable: boundary,
            fresh: lane(Lane::Fresh, boundary, u64::MAX),
            backlog: lane(Lane::Backlog, 0, boundary),
            grant: Grant { per_s: 0, credit_us: 0, counted: monotonic },
            assignment: BTreeMap::new(),
            assignment_revision: 0,
            secrets: BTreeMap::new(),
            status_due: monotonic,
            status_wanted: false,
            actions: VecDeque::from([Action::Send(Stream::Control, first)]),
        }
    }

    /// Sends at most so many records of a lane in one batch, instead of [`BATCH_RECORDS`]: what [`ShipSession::records_max`] of the
    /// connection before said.
    pub fn limit_records(&mut self, lane: Lane, records_max: usize) {
        self.lane(lane).records_max = records_max.clamp(1, BATCH_RECORDS);
    }

    /// Most records of one batch of this lane.
    pub fn records_max(&self, lane: Lane) -> usize {
        match lane {
            Lane::Fresh => self.fresh.records_max,
            Lane::Backlog => self.backlog.records_max,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`ShipSession::handle_timeout`] must be called.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Opening => Some(self.began.plus_us(WELCOME_US_MAX)),
            Phase::Over => None,
            Phase::Open => {
                let ack = [&self.fresh, &self.backlog]
                    .into_iter()
                    .filter_map(|lane| lane.in_flight.front().map(|batch| batch.sent.plus_us(ACK_US_MAX)))
                    .min();
                let credit = self.backlog_waits().then(|| self.grant.when(self.grant.worthwhile())).flatten();
                let status = (!self.status_wanted).then_some(self.status_due);
                let fresh = self.fresh_waits().then_some(self.fresh.paused_until);
                [ack, credit, status, fresh].into_iter().flatten().min()
            }
        }
    }

    /// Until when news of durable records change nothing.
    pub fn indifferent_until(&self) -> Monotonic {
        self.fresh.paused_until
    }

    /// Whether the collector welcomed this connection.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether it has ended, or will with the actions that are left.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Records of the backlog are still to be acknowledged.
    pub fn has_backlog(&self) -> bool {
        self.backlog.after < self.backlog.up_to || !self.backlog.in_flight.is_empty()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: UtcMicros, monotonic: Monotonic) {
        match self.phase {
            Phase::Over => {}
            Phase::Opening => {
                if monotonic >= self.began.plus_us(WELCOME_US_MAX) {
                    self.stop(Stop::Broken("the collector did not answer the hello".to_owned()));
                }
            }
            Phase::Open => {
                let overdue = [&self.fresh, &self.backlog].into_iter().any(|lane| {
                    lane.in_flight.front().is_some_and(|batch| monotonic >= batch.sent.plus_us(ACK_US_MAX))
                });
                if overdue {
                    self.stop(Stop::Broken("the collector acknowledges nothing".to_owned()));
                    return;
                }
                if !self.status_wanted && monotonic >= self.status_due {
                    self.status_wanted = true;
                    self.actions.push_back(Action::WantStatus);
                }
                if now >= self.settings.renew_at {
                    self.settings.renew_at = now.plus_us(RENEW_RETRY_US);
                    let csr_der = self.settings.csr_der.clone();
                    self.send(Stream::Control, ToCollector::Renew { csr_der });
                }
                self.read(monotonic);
            }
        }
    }

    /// Records up to `last_id` are durable in the spool.
    pub fn handle_durable(&mut self, incarnation: Incarnation, last_id: u64, monotonic: Monotonic) {
        if self.phase == Phase::Over {
            return;
        }
        if incarnation != self.settings.incarnation {
            self.stop(Stop::SpoolReplaced);
            return;
        }
        self.durable = self.durable.max(last_id);
        self.read(monotonic);
    }

    /// A page that was asked for.
    pub fn handle_records(&mut self, lane: Lane, page: Page, monotonic: Monotonic) {
        if self.phase != Phase::Open {
            return;
        }
        if page.incarnation != self.settings.incarnation {
            self.stop(Stop::SpoolReplaced);
            return;
        }
        let incarnation = self.settings.incarnation;
        let state = self.lane(lane);
        let Some(up_to) = state.reading.take() else { return };
        match page.ids {
            // What was there has been dropped since: nothing up to that id is left.
            None => state.after = state.after.max(up_to),
            Some((first, last)) => {
                state.after = last;
                let number = state.next_number;
                state.next_number += 1;
                let records = page.entries.len();
                state.in_flight.push_back(InFlight { number, ids: (first, last), records, sent: monotonic });
                match lane {
                    Lane::Fresh if last >= up_to => state.paused_until = monotonic.plus_us(FRESH_PAUSE_US),
                    Lane::Fresh => {}
                    Lane::Backlog => {
                        let spent = records as u64 * 1_000_000;
                        self.grant.credit_us = self.grant.credit_us.saturating_sub(spent);
                    }
                }
                let batch = Batch { number, incarnation, provenances: page.provenances, entries: page.entries };
                self.send(Stream::Lane(lane), ToCollector::Batch(batch));
            }
        }
        self.read(monotonic);
    }

    /// A batch does not fit into a frame, so this connection cannot go on: the next one's batches are half as big. A record that does not
    /// even fit alone is given up, or it would hold up its lane for ever.
    pub fn handle_unsendable(&mut self, lane: Lane, number: u64, reason: &str) {
        if self.phase != Phase::Open {
            return;
        }
        let incarnation = self.settings.incarnation;
        let state = self.lane(lane);
        let Some(batch) = state.in_flight.iter().find(|batch| batch.number == number) else { return };
        let (ids, records) = (batch.ids.0..=batch.ids.1, batch.records);
        let text = if records > 1 {
            state.records_max = records / 2;
            format!("a batch of {records} records cannot be sent ({reason}); the next ones are smaller")
        } else {
            state.records_max = BATCH_RECORDS;
            let text = format!("record {} can never be sent ({reason}) and is given up", ids.start());
            self.actions.push_back(Action::Delete { incarnation, ids });
            text
        };
        self.stop(Stop::Broken(text));
    }

    /// The agent's own new event.
    pub fn handle_event(&mut self, event: ControlEvent) {
        if self.phase == Phase::Open {
            self.send(Stream::Control, ToCollector::Control(vec![event]));
        } else if self.phase == Phase::Opening {
            self.settings.events.push(event);
        }
    }

    /// The collector's events of a [`Action::StoreEvents`] are durable here.
    pub fn handle_stored(&mut self, ids: Vec<EventId>) {
        if self.phase == Phase::Open && !ids.is_empty() {
            self.send(Stream::Control, ToCollector::ControlAck(ids));
        }
    }

    /// What came of a [`Action::RunNow`]: the result, or why there is none.
    pub fn handle_ran(&mut self, ask: u64, outcome: Result<Box<ProbeResult>, String>) {
        if self.phase == Phase::Open {
            // A detail is bounded as a refusal is.
            let outcome = outcome.map_err(|reason| detail(&reason));
            self.send(Stream::Control, ToCollector::Ran { ask, outcome });
        }
    }

    /// Somebody wants to know whether the collector is there: the next status is due now.
    pub fn hurry_status(&mut self, monotonic: Monotonic) {
        self.status_due = self.status_due.min(monotonic);
    }

    /// How the agent fares; clock figures are filled in here.
    pub fn handle_status(&mut self, status: Status, monotonic: Monotonic) {
        if self.phase != Phase::Open {
            return;
        }
        self.status_wanted = false;
        self.status_due = monotonic.plus_us(STATUS_US);
        let status = Status {
            clock_offset_us: self.clock.map(|(offset, _)| offset),
            clock_uncertainty_us: self.clock.map_or(0, |(_, uncertainty)| uncertainty),
            ..status
        };
        self.send(Stream::Control, ToCollector::Status(status));
    }

    /// A message came in.
    pub fn handle_frame(&mut self, stream: Stream, frame: ToAgent, now: UtcMicros, monotonic: Monotonic) {
        if self.phase == Phase::Over {
            return;
        }
        match (frame, stream) {
            (ToAgent::Refusal(refusal), _) => self.stop(match refusal.code {
                RefusalCode::CertificateExpired if self.settings.opening == Opening::Hello => Stop::CertificateExpired,
                RefusalCode::CertificateExpired
                | RefusalCode::Protocol
                | RefusalCode::Revoked
                | RefusalCode::UnknownAgent
                | RefusalCode::TokenUnknown
                | RefusalCode::TokenExpired
                | RefusalCode::TokenUsed
                | RefusalCode::NameTaken
                | RefusalCode::BadMessage
                | RefusalCode::Unavailable => Stop::Refused(refusal),
            }),
            (ToAgent::Renewed { certificate_der, expires }, Stream::Control) => {
                self.settings.renew_at = now.plus_us(expires.us_since(now) / 2);
                self.actions.push_back(Action::StoreCertificate { certificate_der, expires });
                if self.phase == Phase::Opening {
                    self.stop(Stop::Renewed);
                }
            }
            (ToAgent::Welcome(welcome), Stream::Control)
                if self.phase == Phase::Opening && self.settings.opening == Opening::Hello =>
            {
                if welcome.agent != self.settings.agent || !(PROTOCOL_MIN..=PROTOCOL).contains(&welcome.protocol) {
                    let text = format!("welcomed as agent {} with protocol {}", welcome.agent, welcome.protocol);
                    self.stop(Stop::Broken(text));
                    return;
                }
                self.phase = Phase::Open;
                // NTP's formula; the local leg is monotonic, so a clock step in between does no harm.
                let round_trip = i64::try_from(monotonic.us_since(self.began)).unwrap_or(i64::MAX);
                let back = self.hello_sent_at.plus_us(round_trip);
                let there = welcome.received_at.us_since(self.hello_sent_at);
                let offset_us = there.saturating_add(welcome.sent_at.us_since(back)) / 2;
                let held = welcome.sent_at.us_since(welcome.received_at);
                let uncertainty_us = round_trip.saturating_sub(held).max(0).unsigned_abs() / 2;
                self.clock = Some((offset_us, uncertainty_us));
                self.actions.push_back(Action::Clock { offset_us, uncertainty_us });
                if !welcome.addresses.is_empty() {
                    self.actions.push_back(Action::StoreAddresses(welcome.addresses));
                }
                self.grant = Grant {
                    per_s: welcome.backlog_per_s,
                    credit_us: u64::from(welcome.backlog_per_s) * 1_000_000,
                    counted: monotonic,
                };
                self.send(Stream::Lane(Lane::Fresh), ToCollector::LaneOpen(Lane::Fresh));
                self.send(Stream::Lane(Lane::Backlog), ToCollector::LaneOpen(Lane::Backlog));
                let events = std::mem::take(&mut self.settings.events);
                for chunk in events.chunks(EVENTS_MAX) {
                    self.send(Stream::Control, ToCollector::Control(chunk.to_vec()));
                }
                self.status_due = monotonic;
                self.handle_timeout(now, monotonic);
            }
            (ToAgent::Assignment(part), Stream::Control) if self.phase == Phase::Open => {
                if part.parts == 0 || part.parts > ASSIGNMENT_PARTS_MAX || part.part >= part.parts {
                    self.stop(Stop::Broken(format!("assignment part {} of {}", part.part, part.parts)));
                    return;
                }
                if part.revision != self.assignment_revision {
                    self.assignment.clear();
                    self.assignment_revision = part.revision;
                }
                self.assignment.insert(part.part, part.checks);
                if self.assignment.len() == part.parts as usize {
                    let checks = std::mem::take(&mut self.assignment).into_values().flatten().collect();
                    self.actions.push_back(Action::Assign { revision: part.revision, checks });
                }
            }
            (ToAgent::Secrets(part), Stream::Control) if self.phase == Phase::Open => self.handle_secrets(part),
            (ToAgent::RunNow { ask, check }, Stream::Control) if self.phase == Phase::Open => {
                self.actions.push_back(Action::RunNow { ask, check });
            }
            (ToAgent::Ack(ack), Stream::Lane(lane)) if self.phase == Phase::Open => {
                self.grant.count(monotonic);
                self.grant.per_s = ack.backlog_per_s;
                let incarnation = self.settings.incarnation;
                let state = self.lane(lane);
                if ack.number >= state.next_number {
                    let text = format!("batch {} was acknowledged before it was sent", ack.number);
                    self.stop(Stop::Broken(text));
                    return;
                }
                let mut deletes = Vec::new();
                while let Some(batch) = state.in_flight.pop_front_if(|batch| batch.number <= ack.number) {
                    deletes.push(Action::Delete { incarnation, ids: batch.ids.0..=batch.ids.1 });
                }
                self.actions.extend(deletes);
                self.read(monotonic);
            }
            (ToAgent::Control(events), Stream::Control) if self.phase == Phase::Open => {
                self.actions.push_back(Action::StoreEvents(events));
            }
            (ToAgent::ControlAck(ids), Stream::Control) if self.phase == Phase::Open => {
                self.actions.push_back(Action::EventsAcked(ids));
            }
            (
                frame @ (ToAgent::Welcome(_)
                | ToAgent::Assignment(_)
                | ToAgent::Ack(_)
                | ToAgent::Control(_)
                | ToAgent::ControlAck(_)
                | ToAgent::Joined(_)
                | ToAgent::Renewed { .. }
                | ToAgent::Secrets(_)
                | ToAgent::RunNow { .. }),
                stream,
            ) => {
                self.stop(Stop::Broken(format!("message {} does not belong on {stream:?} now", name(&frame))));
            }
        }
    }

    /// A part of the agent's secrets. They have no revision: the first part of a set begins it, and drops what is left of one cut short.
    fn handle_secrets(&mut self, part: SecretsPart) {
        if part.parts == 0 || part.parts > SECRETS_PARTS_MAX || part.part >= part.parts {
            self.stop(Stop::Broken(format!("secrets part {} of {}", part.part, part.parts)));
            return;
        }
        if part.part == 0 {
            self.secrets.clear();
        }
        self.secrets.insert(part.part, part.secrets);
        if self.secrets.len() == part.parts as usize {
            let all = std::mem::take(&mut self.secrets).into_values().flatten().collect();
            self.actions.push_back(Action::StoreSecrets(SecretValues(all)));
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Fresh => &mut self.fresh,
            Lane::Backlog => &mut self.backlog,
        }
    }

    fn send(&mut self, stream: Stream, message: ToCollector) {
        self.actions.push_back(Action::Send(stream, message));
    }

    fn stop(&mut self, stop: Stop) {
        self.phase = Phase::Over;
        self.actions.push_back(Action::Stop(stop));
    }

    fn fresh_waits(&self) -> bool {
        self.fresh.after < self.durable
            && self.fresh.reading.is_none()
            && self.fresh.in_flight.len() < IN_FLIGHT_BATCHES_MAX
    }

    fn backlog_waits(&self) -> bool {
        self.backlog.after < self.backlog.up_to
            && self.backlog.reading.is_none()
            && self.backlog.in_flight.len() < IN_FLIGHT_BATCHES_MAX
    }

    /// Asks for what may be sent now: the fresh lane first.
    fn read(&mut self, now: Monotonic) {
        if self.phase != Phase::Open {
            return;
        }
        let durable = self.durable;
        if self.fresh_waits() && now >= self.fresh.paused_until {
            let fresh = &mut self.fresh;
            fresh.reading = Some(durable);
            self.actions.push_back(Action::ReadPage {
                lane: fresh.lane,
                after: fresh.after,
                up_to: durable,
                records_max: fresh.records_max,
                bytes_max: BATCH_BYTES,
            });
        }
        if self.backlog_waits() {
            let available = self.grant.available(now);
            let left = usize::try_from(self.backlog.up_to - self.backlog.after).unwrap_or(usize::MAX);
            if available >= self.grant.worthwhile() || (available > 0 && available >= left) {
                let backlog = &mut self.backlog;
                backlog.reading = Some(backlog.up_to);
                self.actions.push_back(Action::ReadPage {
                    lane: backlog.lane,
                    after: backlog.after,
                    up_to: backlog.up_to,
                    records_max: available.min(backlog.records_max),
                    bytes_max: BATCH_BYTES,
                });
            }
        }
    }
}

fn name(frame: &ToAgent) -> &'static str {
    match frame {
        ToAgent::Welcome(_) => "welcome",
        ToAgent::Refusal(_) => "refusal",
        ToAgent::Assignment(_) => "assignment",
        ToAgent::Ack(_) => "ack",
        ToAgent::Control(_) => "control",
        ToAgent::ControlAck(_) => "control ack",
        ToAgent::Joined(_) => "joined",
        ToAgent::Renewed { .. } => "renewed",
        ToAgent::Secrets(_) => "secrets",
        ToAgent::RunNow { .. } => "run now",
    }
}

#[cfg(test)]
mod tests;
