//! An agent as the collector knows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::id::{AgentName, AgentNo, Incarnation, Region};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_wire::message::Status;

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its number.
    pub number: AgentNo,
    /// Its name.
    pub name: AgentName,
    /// Its region, from the join token.
    pub region: Region,
    /// SHA-256 of its registered public key (SPKI).
    pub spki_sha256: [u8; 32],
    /// When it joined.
    pub enrolled_at: UtcMicros,
    /// When it was revoked.
    pub revoked_at: Option<UtcMicros>,
    /// Its build, as told at the last handshake.
    pub build: String,
    /// Whether it is there now, and how it fares. Not durable but for `last_seen`.
    pub presence: PresenceCell,
    /// The collector's own observer: it runs heartbeat checks and nothing else, and nobody can connect, join or be revoked as it.
    pub internal: bool,
}

/// Whether an agent is there now, and how it fares.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Presence {
    /// Whether it holds a connection.
    pub connected: bool,
    /// How many connections it holds: more than one for a moment after an address change.
    pub connections: u32,
    /// When it was last heard of. After a restart of the collector: the last handshake.
    pub last_seen: Option<UtcMicros>,
    /// Its last status message.
    pub status: Option<Status>,
    /// When that came; and of the one before it when it came, and how many records waited.
    pub spool_before: Option<(UtcMicros, UtcMicros, u64)>,
    /// Where it connects from.
    pub peer: Option<String>,
    /// Its spool's incarnation.
    pub incarnation: Option<Incarnation>,
    /// The assignment it was last sent or said it holds.
    pub assignment_revision: Option<u64>,
    /// When its certificate expires.
    pub certificate_expires: Option<UtcMicros>,
}

impl Presence {
    /// Takes in how the agent fares.
    pub fn tell(&mut self, status: Status, now: UtcMicros) {
        let before = self.status.as_ref().map(|before| before.spool_records);
        let at = self.spool_before.map(|(at, ..)| at);
        self.spool_before = Some((now, at.unwrap_or(now), before.unwrap_or(status.spool_records)));
        self.status = Some(status);
    }

    /// How many records less wait each second, by the last two messages; negative where they become more. `None`: not known.
    pub fn drain_per_second(&self) -> Option<f64> {
        let (at, before, records) = self.spool_before?;
        let seconds = at.us_since(before) as f64 / 1e6;
        let now = self.status.as_ref()?.spool_records;
        (seconds > 0.0).then(|| (records as f64 - now as f64) / seconds)
    }
}

/// A [`Presence`] under a lock of its own, so that sessions never wait for the book. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct PresenceCell(Arc<Mutex<Presence>>);

impl From<Presence> for PresenceCell {
    fn from(presence: Presence) -> Self {
        Self(Arc::new(Mutex::new(presence)))
    }
}

impl PartialEq for PresenceCell {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.read() == other.read()
    }
}

impl PresenceCell {
    /// What is known now.
    pub fn read(&self) -> Presence {
        self.lock().clone()
    }

    /// Whether it holds a connection.
    pub fn is_connected(&self) -> bool {
        self.lock().connected
    }

    /// Changes it.
    pub fn update(&self, update: impl FnOnce(&mut Presence)) {
        update(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Presence> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agent {
    /// Whether it is told to run a check of this definition: heartbeats are the collector's own observer's, all else by region.
    pub fn runs(&self, definition: &CheckDefinition) -> bool {
        if self.internal { is_heartbeat(definition) } else { runs_in(definition, &self.region) }
    }

    /// When it may run checks: from its enrolment to its revocation.
    pub fn life(&self) -> Span {
        Span::new(self.enrolled_at, self.revoked_at.unwrap_or(UtcMicros::MAX))
    }
}

/// Whether a check is one that the collector runs by itself.
pub fn is_heartbeat(definition: &CheckDefinition) -> bool {
    matches!(definition.kind, CheckKind::Heartbeat(_))
}

/// Whether the agents of a region are told to run a check.
pub(super) fn runs_in(definition: &CheckDefinition, region: &Region) -> bool {
    !is_heartbeat(definition) && definition.runs_in(region)
}
