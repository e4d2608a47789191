//! The messages, in the domain's types. [`crate::frame`] turns them into bytes and back.
//!
//! A connection's first bidirectional stream is the control stream: the agent opens it with [`ToCollector::Hello`] (or `Join`, or
//! `Renew`), the collector answers [`ToAgent::Welcome`] or [`ToAgent::Refusal`]. Then the agent opens one stream per [`Lane`],
//! each starting with [`ToCollector::LaneOpen`] and carrying [`ToCollector::Batch`] one way and [`ToAgent::Ack`] the other.

use std::fmt;
use std::net::SocketAddr;

use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::{ControlEvent, EventId};
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckNo, Incarnation, Region, Seq};
use sitepulse_model::record::{ProbeResult, Provenance, Record};
use sitepulse_model::time::UtcMicros;

/// The protocol this build speaks.
pub const PROTOCOL: u16 = 1;
/// The oldest protocol this build understands.
pub const PROTOCOL_MIN: u16 = 1;

/// Most records in one batch.
pub const BATCH_RECORDS_MAX: usize = 4096;
/// Most provenances that one batch points to.
pub const PROVENANCES_MAX: usize = 256;
/// Most control events in one message.
pub const EVENTS_MAX: usize = 256;
/// Most checks in one assignment part.
pub const ASSIGNMENT_PART_MAX: usize = 500;
/// Most secrets in one message.
pub const SECRETS_MAX: usize = 64;
/// Longest value of a secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 8192;
/// Longest refusal of a run-now, in bytes.
pub const RUN_REFUSED_BYTES_MAX: usize = 300;
/// Most collector addresses an agent keeps.
pub const ADDRESSES_MAX: usize = 16;

/// From agent to collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToCollector {
    /// Control stream, first: who speaks.
    Hello(Hello),
    /// Lane stream, first: which lane this is.
    LaneOpen(Lane),
    /// Lane stream: records.
    Batch(Batch),
    /// Control stream: events the collector has not acknowledged.
    Control(Vec<ControlEvent>),
    /// Control stream: these events are durable on the agent.
    ControlAck(Vec<EventId>),
    /// Control stream: how the agent fares, every few seconds.
    Status(Status),
    /// Control stream, first and only, without a client certificate: enrol me.
    Join(JoinRequest),
    /// Control stream: give me a new certificate for the key of the presented (perhaps expired) one.
    Renew {
        /// A PKCS#10 request, DER, for the same key.
        csr_der: Vec<u8>,
    },
    /// Control stream: answers [`ToAgent::RunNow`].
    Ran {
        /// The ask that it answers.
        ask: u64,
        /// What the run found, or why there was none. It is for whoever asked: it is no record, and nothing counts it.
        outcome: Result<Box<ProbeResult>, String>,
    },
}

/// From collector to agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAgent {
    /// Answers `Hello`.
    Welcome(Welcome),
    /// Answers anything: no, why, and what to do. The agent keeps its data.
    Refusal(Refusal),
    /// Control stream: what to run. The parts of one revision replace all that was assigned before once all have come.
    Assignment(AssignmentPart),
    /// Lane stream: the batch is durable at the collector; the agent may delete it.
    Ack(Ack),
    /// Control stream: events the agent has not acknowledged.
    Control(Vec<ControlEvent>),
    /// Control stream: these events are durable at the collector.
    ControlAck(Vec<EventId>),
    /// Answers `Join`.
    Joined(Joined),
    /// Answers `Renew`.
    Renewed {
        /// The new leaf certificate, DER.
        certificate_der: Vec<u8>,
        /// When it expires.
        expires: UtcMicros,
    },
    /// Control stream: the secrets that the agent's checks refer to. The parts of one revision replace all that were sent before once all
    /// have come. Comes after every `Welcome`, before the assignment, and whenever one changes.
    Secrets(SecretsPart),
    /// Control stream: run a check at once, besides its schedule.
    RunNow {
        /// Names the ask on this connection.
        ask: u64,
        /// The check.
        check: CheckNo,
    },
}

/// One part of an agent's secrets. `Debug` hides the values.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretsPart {
    /// This part, from 0.
    pub part: u32,
    /// How many parts there are, from 1.
    pub parts: u32,
    /// Name and value, at most [`SECRETS_MAX`].
    pub secrets: Vec<(String, String)>,
}

impl fmt::Debug for SecretsPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.secrets.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("SecretsPart")
            .field("part", &self.part)
            .field("parts", &self.parts)
            .field("names", &names)
            .finish()
    }
}

/// Who speaks, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest protocol the agent understands.
    pub protocol_min: u16,
    /// Newest protocol the agent understands.
    pub protocol_max: u16,
    /// The agent's build.
    pub build: String,
    /// Its spool's incarnation.
    pub incarnation: Incarnation,
    /// The agent's wall clock when it sent this.
    pub sent_at: UtcMicros,
    /// Revision of the assignment it holds, 0 for none.
    pub assignment_revision: u64,
    /// Records waiting in the spool.
    pub spool_records: u64,
}

/// The collector's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol both speak from here on.
    pub protocol: u16,
    /// The collector's build.
    pub build: String,
    /// The collector's wall clock when the hello came in.
    pub received_at: UtcMicros,
    /// The collector's wall clock when it sent this.
    pub sent_at: UtcMicros,
    /// The number of this agent.
    pub agent: AgentNo,
    /// Addresses (`host:port`) of collectors that may take the next connection.
    pub addresses: Vec<String>,
    /// Whether an assignment follows (the agent's is outdated).
    pub assignment_follows: bool,
    /// Backlog records per second that the agent may send.
    pub backlog_per_s: u32,
}

/// Why the collector says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCode {
    /// No protocol in common.
    Protocol = 1,
    /// The agent was revoked.
    Revoked = 2,
    /// The certificate is expired: send `Renew`.
    CertificateExpired = 3,
    /// The certificate names no agent of this collector, or another key than the registered one.
    UnknownAgent = 4,
    /// The join token is not one of this collector's.
    TokenUnknown = 5,
    /// The join token's time is over.
    TokenExpired = 6,
    /// The join token was used by another key.
    TokenUsed = 7,
    /// The agent's name is taken.
    NameTaken = 8,
    /// A frame or message breaks the protocol.
    BadMessage = 9,
    /// The collector cannot store now (disk full, shutting down): keep the data, come again.
    Unavailable = 10,
}

impl RefusalCode {
    /// Every value.
    pub const ALL: [Self; 10] = [
        Self::Protocol,
        Self::Revoked,
        Self::CertificateExpired,
        Self::UnknownAgent,
        Self::TokenUnknown,
        Self::TokenExpired,
        Self::TokenUsed,
        Self::NameTaken,
        Self::BadMessage,
        Self::Unavailable,
    ];
}

/// A typed no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which no.
    pub code: RefusalCode,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// Which of the two streams of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Records made since the connection came up: sent first.
    Fresh = 1,
    /// Records from before: sent behind, at the granted rate.
    Backlog = 2,
}

/// Some records, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Counts this lane's batches on this connection, from 1.
    pub number: u64,
    /// The spool they come from.
    pub incarnation: Incarnation,
    /// The provenances that `entries` point to.
    pub provenances: Vec<Provenance>,
    /// The records.
    pub entries: Vec<Entry>,
}

/// A record with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The check's bucket.
    pub bucket: Bucket,
    /// The record's number in (agent, incarnation, bucket).
    pub seq: Seq,
    /// Index into [`Batch::provenances`].
    pub provenance: u16,
    /// The record.
    pub record: Record,
}

/// A batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// [`Batch::number`] of the newest durable batch of this lane; all before it are too.
    pub number: u64,
    /// Backlog records per second granted from now on.
    pub backlog_per_s: u32,
}

/// One part of an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentPart {
    /// The assignment's revision.
    pub revision: u64,
    /// This part, from 0.
    pub part: u32,
    /// How many parts there are, from 1.
    pub parts: u32,
    /// Its checks, at most [`ASSIGNMENT_PART_MAX`].
    pub checks: Vec<AssignedCheck>,
}

/// How an agent fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Records waiting in the spool.
    pub spool_records: u64,
    /// The spool file's size in bytes.
    pub spool_bytes: u64,
    /// The oldest waiting record's slot.
    pub spool_oldest: Option<UtcMicros>,
    /// Runs that are under way.
    pub in_flight: u32,
    /// Clock offset as the agent measured it, microseconds.
    pub clock_offset_us: Option<i64>,
    /// Half the round trip of that measurement, microseconds.
    pub clock_uncertainty_us: u64,
    /// How busy its machine is; `None` where the agent's system does not say.
    pub host: Option<Host>,
}

/// How busy an agent's machine is: all of it, not the agent alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Load average over one minute, in thousandths.
    pub load_milli: u32,
    /// Processors, at least 1.
    pub cores: u32,
    /// Memory that is not available to new programs, in bytes.
    pub memory_used_bytes: u64,
    /// All memory, in bytes; at least 1 and what is used.
    pub memory_total_bytes: u64,
}

/// Asks for enrolment. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Oldest protocol the agent understands.
    pub protocol_min: u16,
    /// Newest protocol the agent understands.
    pub protocol_max: u16,
    /// The token's secret.
    pub secret: [u8; 32],
    /// The name it would like; `None` lets the collector choose.
    pub name: Option<AgentName>,
    /// A PKCS#10 request, DER. Only its key counts.
    pub csr_der: Vec<u8>,
    /// The agent's build.
    pub build: String,
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest").field("name", &self.name).field("build", &self.build).finish_non_exhaustive()
    }
}

/// The agent is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its number.
    pub agent: AgentNo,
    /// Its name.
    pub name: AgentName,
    /// Its region, from the token.
    pub region: Region,
    /// Its leaf certificate, DER.
    pub certificate_der: Vec<u8>,
    /// The collector's CA certificate, DER.
    pub ca_der: Vec<u8>,
    /// When the leaf expires.
    pub expires: UtcMicros,
    /// Addresses of collectors.
    pub addresses: Vec<String>,
}

/// Where a peer is, for logs. (Here so that every crate prints it alike.)
pub type Peer = SocketAddr;
