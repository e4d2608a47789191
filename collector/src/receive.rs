//! One agent's session as a machine: frames and outcomes in, actions out. No IO, no clock: the caller passes `now` and the book.
//!
//! The first stream is the control stream: `Hello` (or `Join`, or `Renew`) opens it. Each further stream is a lane of batches. A
//! batch becomes [`Action::Ingest`]; its ack is sent when the shell reports it durable through [`ReceiveSession::handle_ingested`].
//! After one batch that could not be stored nothing is acknowledged any more: the session ends with `Unavailable`, the agent
//! keeps its data and comes again.
//!
//! Limits: [`BATCHES_WAITING_MAX`] batches wait for the store ([`ReceiveSession::can_take_batch`] tells the shell to stop
//! reading), [`LANES_MAX`] lanes, [`HANDSHAKE_US_MAX`] until the peer has said who it is.

pub(crate) mod pager;
mod push;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sitepulse_model::control::{ControlEvent, EventId};
use sitepulse_model::id::{AgentName, AgentNo, CheckNo, Incarnation};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{
    Ack, Batch, Hello, JoinRequest, Joined, Lane, PROTOCOL, PROTOCOL_MIN, Refusal, RefusalCode, Status, ToAgent,
    ToCollector, Welcome,
};

use crate::book::{Agent, Book};
use crate::enrol;
use crate::ingest::IngestJob;
use crate::run_now::{ASKS_OF_CONNECTION_MAX, Answer};

/// Most batches of one session that wait for the store.
pub const BATCHES_WAITING_MAX: usize = 4;
/// Most lanes of one session.
pub const LANES_MAX: usize = 3;
/// How long a peer may take to say who it is, in microseconds.
pub const HANDSHAKE_US_MAX: i64 = 15 * 1_000_000;
/// Backlog records per second that all agents together are granted.
const BACKLOG_PER_S_TOTAL: usize = 100_000;
/// Least and most that one agent is granted.
const BACKLOG_PER_S: std::ops::RangeInclusive<u32> = 500..=20_000;

/// Longest text of a refusal; the wire takes a little more.
const REFUSAL_BYTES_MAX: usize = 900;

/// A stream of the connection, counted from 0 in the order in which the agent opened them; 0 is the control stream.
pub type StreamNo = u32;

/// The control stream.
pub const CONTROL: StreamNo = 0;

/// What the peer's certificate says. The transport has checked that the collector's authority signed it, not that it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The agent's name.
    pub name: AgentName,
    /// SHA-256 of its public key.
    pub spki_sha256: [u8; 32],
    /// When it expires.
    pub not_after: UtcMicros,
}

/// What the session wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a message on a stream.
    Send(StreamNo, ToAgent),
    /// The agent is who it says: note it, and call [`ReceiveSession::handle_book`] when [`Book::version`] changes from here on.
    Welcomed {
        /// Which agent.
        agent: AgentNo,
        /// Its build.
        build: String,
        /// Its spool's incarnation.
        incarnation: Incarnation,
        /// The assignment it holds once it has what was sent.
        assignment_revision: u64,
    },
    /// Store a batch; report with [`ReceiveSession::handle_ingested`].
    Ingest {
        /// Where it came from.
        stream: StreamNo,
        /// Its number.
        number: u64,
        /// The batch.
        job: IngestJob,
    },
    /// Store control events ([`crate::engine::Engine::take_agent_events`]); report with [`ReceiveSession::handle_events_kept`].
    KeepEvents {
        /// Whose.
        agent: AgentNo,
        /// The events.
        events: Vec<ControlEvent>,
    },
    /// Enrol ([`crate::engine::Engine::join`]); report with [`ReceiveSession::handle_joined`].
    Join(JoinRequest),
    /// Renew a certificate ([`crate::engine::Engine::renew`]); report with [`ReceiveSession::handle_renewed`].
    Renew {
        /// Whose.
        agent: AgentNo,
        /// The request.
        csr_der: Vec<u8>,
    },
    /// Note how the agent fares.
    Status(AgentNo, Status),
    /// The answer of a run that [`ReceiveSession::handle_ask`] asked for.
    Ran {
        /// The ask.
        ask: u64,
        /// What the run found, or why there was none.
        outcome: Answer,
    },
    /// Flush what was sent, then close the connection.
    Close(String),
}

#[derive(Debug)]
enum Phase {
    /// Nothing came yet.
    New,
    /// A join is under way.
    Enrolling,
    /// The certificate is expired: only a renewal is taken.
    Expired(AgentNo),
    /// An agent.
    Open(Open),
    /// Nothing is taken any more.
    Closed,
}

#[derive(Debug)]
struct Open {
    agent: AgentNo,
    lanes: BTreeMap<StreamNo, LaneState>,
    push: push::Push,
    /// Runs asked for and not answered.
    asks: BTreeSet<u64>,
    /// The newest ask.
    asked: u64,
}

#[derive(Debug)]
struct LaneState {
    lane: Lane,
    /// The newest batch taken.
    newest: u64,
}

/// One connection of one peer.
#[derive(Debug)]
pub struct ReceiveSession {
    certificate: Option<PeerCertificate>,
    build: String,
    addresses: Vec<String>,
    phase: Phase,
    deadline: Option<UtcMicros>,
    waiting: usize,
    actions: VecDeque<Action>,
}

impl ReceiveSession {
    /// A session with a peer that showed `certificate`. `build` is the collector's, `addresses` what agents are told.
    pub fn new(certificate: Option<PeerCertificate>, build: &str, addresses: Vec<String>, now: UtcMicros) -> Self {
        Self {
            certificate,
            build: build.to_owned(),
            addresses,
            phase: Phase::New,
            deadline: Some(now.plus_us(HANDSHAKE_US_MAX)),
            waiting: 0,
            actions: VecDeque::new(),
        }
    }

    /// The agent, once it is welcome.
    pub fn agent(&self) -> Option<AgentNo> {
        match &self.phase {
            Phase::Open(open) => Some(open.agent),
            Phase::New | Phase::Enrolling | Phase::Expired(_) | Phase::Closed => None,
        }
    }

    /// Whether a lane may be read from: batches of this session that wait for the store are bounded.
    pub fn can_take_batch(&self) -> bool {
        self.waiting < BATCHES_WAITING_MAX
    }

    /// Whether the session is over: what is in [`Self::poll_action`] is the last.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<UtcMicros> {
        self.deadline
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: UtcMicros) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.close("the peer did not say who it is in time");
        }
    }

    /// A message came in on a stream.
    pub fn handle_frame(&mut self, stream: StreamNo, message: ToCollector, book: &Book, now: UtcMicros) {
        if self.is_closed() {
            return;
        }
        match (stream, message) {
            (CONTROL, ToCollector::Hello(hello)) => self.hello(hello, book, now),
            (CONTROL, ToCollector::Join(request)) => self.join(request),
            (CONTROL, ToCollector::Renew { csr_der }) => self.renew(csr_der, book),
            (CONTROL, ToCollector::Control(events)) => match self.open_mut() {
                Some(open) => {
                    open.push.heard(events.iter().map(|event| &event.id));
                    let agent = open.agent;
                    self.actions.push_back(Action::KeepEvents { agent, events });
                }
                None => self.out_of_turn("control events"),
            },
            // Whatever was not acknowledged is sent again on the next connection, like everything else.
            (CONTROL, ToCollector::ControlAck(_)) => match &self.phase {
                Phase::Open(_) | Phase::Closed => {}
                Phase::New | Phase::Enrolling | Phase::Expired(_) => {
                    self.out_of_turn("an acknowledgement of control events")
                }
            },
            (CONTROL, ToCollector::Status(status)) => match self.agent() {
                Some(agent) => self.actions.push_back(Action::Status(agent, status)),
                None => self.out_of_turn("a status"),
            },
            (CONTROL, ToCollector::Ran { ask, outcome }) => match self.open_mut() {
                // An answer that nobody waits for any more is no fault.
                Some(open) => {
                    if open.asks.remove(&ask) {
                        self.actions.push_back(Action::Ran { ask, outcome });
                    }
                }
                None => self.out_of_turn("the answer of a run"),
            },
            (CONTROL, ToCollector::LaneOpen(_) | ToCollector::Batch(_)) => {
                self.out_of_turn("a batch on the control stream")
            }
            (_, ToCollector::LaneOpen(lane)) => self.open_lane(stream, lane),
            (_, ToCollector::Batch(batch)) => self.batch(stream, batch, book, now),
            (
                _,
                ToCollector::Hello(_)
                | ToCollector::Join(_)
                | ToCollector::Renew { .. }
                | ToCollector::Control(_)
                | ToCollector::ControlAck(_)
                | ToCollector::Status(_)
                | ToCollector::Ran { .. },
            ) => self.out_of_turn("a control message on a lane"),
        }
    }

    /// Something that is no message of the protocol came in.
    pub fn handle_bad_frame(&mut self, what: &str) {
        self.refuse(RefusalCode::BadMessage, what.to_owned());
    }

    /// Checks, agents or control events changed: tells the agent what it must know, and goes when it was revoked.
    pub fn handle_book(&mut self, book: &Book) {
        let Phase::Open(open) = &mut self.phase else { return };
        let agent = book.agent(open.agent);
        match agent {
            Some(agent) if agent.revoked_at.is_none() => {
                open.push.update(agent, book, self.addresses.first().map_or("", String::as_str));
                self.flush_push();
            }
            Some(agent) => self.refuse_with(enrol::revoked(Some(&agent.name))),
            None => self.refuse(RefusalCode::UnknownAgent, "no such agent: join again with a new token".into()),
        }
    }

    /// Somebody wants a check run at once. The ask's number, under which [`Action::Ran`] answers; `None` when the session is not
    /// open or [`ASKS_OF_CONNECTION_MAX`] wait already.
    pub fn handle_ask(&mut self, check: CheckNo) -> Option<u64> {
        let open = self.open_mut().filter(|open| open.asks.len() < ASKS_OF_CONNECTION_MAX)?;
        open.asked += 1;
        let ask = open.asked;
        open.asks.insert(ask);
        self.actions.push_back(Action::Send(CONTROL, ToAgent::RunNow { ask, check }));
        Some(ask)
    }

    /// Nobody waits for this ask's answer any more.
    pub fn forget_ask(&mut self, ask: u64) {
        if let Some(open) = self.open_mut() {
            open.asks.remove(&ask);
        }
    }

    /// A batch is durable (`true`), or could not be stored.
    pub fn handle_ingested(&mut self, stream: StreamNo, number: u64, durable: bool, book: &Book) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.is_closed() {
            return;
        }
        if durable {
            let ack = Ack { number, backlog_per_s: backlog_per_s(book) };
            self.actions.push_back(Action::Send(stream, ToAgent::Ack(ack)));
        } else {
            self.unavailable();
        }
    }

    /// Control events are durable (their ids), or could not be stored.
    pub fn handle_events_kept(&mut self, ids: Option<Vec<EventId>>) {
        match ids {
            Some(ids) => self.actions.push_back(Action::Send(CONTROL, ToAgent::ControlAck(ids))),
            None => self.unavailable(),
        }
    }

    /// What became of a join; `None` when it could not be stored.
    pub fn handle_joined(&mut self, answer: Option<Result<Joined, Refusal>>) {
        match answer {
            Some(Ok(joined)) => {
                // Its place is for the next stranger: from here on the agent comes with its certificate.
                self.actions.push_back(Action::Send(CONTROL, ToAgent::Joined(joined)));
                self.close("the agent has joined");
            }
            Some(Err(refusal)) => self.refuse_with(refusal),
            None => self.unavailable(),
        }
    }

    /// What became of a renewal.
    pub fn handle_renewed(&mut self, answer: Result<ToAgent, Refusal>) {
        match answer {
            Ok(renewed) => {
                if let (ToAgent::Renewed { expires, .. }, Some(certificate)) = (&renewed, &mut self.certificate) {
                    certificate.not_after = *expires;
                }
                self.actions.push_back(Action::Send(CONTROL, renewed));
            }
            Err(refusal) => self.refuse_with(refusal),
        }
    }

    fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.phase {
            Phase::Open(open) => Some(open),
            Phase::New | Phase::Enrolling | Phase::Expired(_) | Phase::Closed => None,
        }
    }

    fn hello(&mut self, hello: Hello, book: &Book, now: UtcMicros) {
        if !matches!(self.phase, Phase::New) {
            return self.out_of_turn("a second hello");
        }
        let Some(protocol) = self.protocol(hello.protocol_min, hello.protocol_max) else { return };
        let agent = match self.identify(book) {
            Ok(agent) => agent,
            Err(refusal) => return self.refuse_with(refusal),
        };
        if self.expired(now) {
            self.phase = Phase::Expired(agent.number);
            let message = "the certificate is expired: renew it with the registered key on this connection";
            let refusal = Refusal { code: RefusalCode::CertificateExpired, message: message.into() };
            return self.actions.push_back(Action::Send(CONTROL, ToAgent::Refusal(refusal)));
        }
        let mut push = push::Push::new(hello.assignment_revision);
        push.update(agent, book, self.addresses.first().map_or("", String::as_str));
        let assignment_revision = push.assignment_revision();
        self.actions.push_back(Action::Send(
            CONTROL,
            ToAgent::Welcome(Welcome {
                protocol,
                build: self.build.clone(),
                received_at: now,
                sent_at: now,
                agent: agent.number,
                addresses: self.addresses.clone(),
                assignment_follows: assignment_revision != hello.assignment_revision,
                backlog_per_s: backlog_per_s(book),
            }),
        ));
        self.actions.push_back(Action::Welcomed {
            agent: agent.number,
            build: hello.build,
            incarnation: hello.incarnation,
            assignment_revision,
        });
        self.phase =
            Phase::Open(Open { agent: agent.number, lanes: BTreeMap::new(), push, asks: BTreeSet::new(), asked: 0 });
        self.deadline = None;
        self.flush_push();
    }

    /// The protocol to speak; refuses when there is none in common.
    fn protocol(&mut self, min: u16, max: u16) -> Option<u16> {
        let protocol = max.min(PROTOCOL);
        if min <= max && protocol >= min.max(PROTOCOL_MIN) {
            return Some(protocol);
        }
        let message = if min > PROTOCOL {
            format!(
                "this collector speaks protocols {PROTOCOL_MIN} to {PROTOCOL}, the agent needs {min}: update the collector first"
            )
        } else {
            format!(
                "this collector speaks protocols {PROTOCOL_MIN} to {PROTOCOL}, the agent {min} to {max}: update the agent"
            )
        };
        self.refuse(RefusalCode::Protocol, message);
        None
    }

    fn identify<'a>(&self, book: &'a Book) -> Result<&'a Agent, Refusal> {
        let unknown = |message: String| Refusal { code: RefusalCode::UnknownAgent, message };
        let Some(certificate) = &self.certificate else {
            return Err(unknown("the agent shows no certificate: join first, with a token".into()));
        };
        match book.agent_by_name(&certificate.name) {
            None => {
                Err(unknown(format!("this collector knows no agent {}: join again with a new token", certificate.name)))
            }
            Some(agent) if agent.internal => Err(unknown(format!("{} is the collector's own observer", agent.name))),
            Some(agent) if agent.revoked_at.is_some() => Err(enrol::revoked(Some(&agent.name))),
            Some(agent) if agent.spki_sha256 != certificate.spki_sha256 => {
                Err(unknown(format!("agent {} registered another key: join again with a new token", agent.name)))
            }
            Some(agent) => Ok(agent),
        }
    }

    fn expired(&self, now: UtcMicros) -> bool {
        self.certificate.as_ref().is_none_or(|certificate| certificate.not_after <= now)
    }

    fn join(&mut self, request: JoinRequest) {
        if !matches!(self.phase, Phase::New) {
            return self.out_of_turn("a join");
        }
        if self.protocol(request.protocol_min, request.protocol_max).is_some() {
            self.phase = Phase::Enrolling;
            self.actions.push_back(Action::Join(request));
        }
    }

    fn renew(&mut self, csr_der: Vec<u8>, book: &Book) {
        let agent = match &self.phase {
            Phase::Open(open) => open.agent,
            Phase::Expired(agent) => *agent,
            Phase::New => match self.identify(book) {
                Ok(agent) => {
                    self.phase = Phase::Expired(agent.number);
                    agent.number
                }
                Err(refusal) => return self.refuse_with(refusal),
            },
            Phase::Enrolling | Phase::Closed => return self.out_of_turn("a renewal"),
        };
        self.actions.push_back(Action::Renew { agent, csr_der });
    }

    fn open_lane(&mut self, stream: StreamNo, lane: Lane) {
        let Some(open) = self.open_mut() else {
            return self.out_of_turn("a lane before the hello");
        };
        let taken = open.lanes.contains_key(&stream) || open.lanes.values().any(|known| known.lane == lane);
        if taken || open.lanes.len() >= LANES_MAX {
            return self.out_of_turn("a lane that is open already");
        }
        open.lanes.insert(stream, LaneState { lane, newest: 0 });
    }

    fn batch(&mut self, stream: StreamNo, batch: Batch, book: &Book, now: UtcMicros) {
        let expired = self.expired(now);
        let Some(open) = self.open_mut() else {
            return self.out_of_turn("a batch before the hello");
        };
        let agent = open.agent;
        let Some(lane) = open.lanes.get_mut(&stream) else {
            return self.out_of_turn("a batch on a stream that is no lane");
        };
        if batch.number != lane.newest + 1 {
            let what = format!("batch {} of the lane came after batch {}", batch.number, lane.newest);
            return self.refuse(RefusalCode::BadMessage, what);
        }
        lane.newest = batch.number;
        match book.agent(agent) {
            Some(known) if known.revoked_at.is_some() => return self.refuse_with(enrol::revoked(Some(&known.name))),
            Some(_) | None => {}
        }
        if expired {
            let message = "the certificate expired: connect again and renew it";
            return self.refuse(RefusalCode::CertificateExpired, message.into());
        }
        self.waiting += 1;
        let number = batch.number;
        self.actions.push_back(Action::Ingest { stream, number, job: IngestJob { agent, received_at: now, batch } });
    }

    fn flush_push(&mut self) {
        let Phase::Open(open) = &mut self.phase else { return };
        let messages = open.push.take();
        self.actions.extend(messages.into_iter().map(|message| Action::Send(CONTROL, message)));
    }

    fn unavailable(&mut self) {
        let message = "the collector cannot store now (disk full, or shutting down): keep the data and come again";
        self.refuse(RefusalCode::Unavailable, message.into());
    }

    fn out_of_turn(&mut self, what: &str) {
        self.refuse(RefusalCode::BadMessage, format!("{what} is out of turn"));
    }

    fn refuse(&mut self, code: RefusalCode, message: String) {
        self.refuse_with(Refusal { code, message });
    }

    fn refuse_with(&mut self, mut refusal: Refusal) {
        if self.is_closed() {
            return;
        }
        refusal.message.truncate(refusal.message.floor_char_boundary(REFUSAL_BYTES_MAX));
        let reason = refusal.message.clone();
        self.actions.push_back(Action::Send(CONTROL, ToAgent::Refusal(refusal)));
        self.close(&reason);
    }

    fn close(&mut self, reason: &str) {
        if !self.is_closed() {
            self.phase = Phase::Closed;
            self.deadline = None;
            self.actions.push_back(Action::Close(reason.to_owned()));
        }
    }
}

/// Backlog records per second for one agent of those connected now.
fn backlog_per_s(book: &Book) -> u32 {
    let share = BACKLOG_PER_S_TOTAL / book.agents_connected().max(1);
    u32::try_from(share).unwrap_or(u32::MAX).clamp(*BACKLOG_PER_S.start(), *BACKLOG_PER_S.end())
}
