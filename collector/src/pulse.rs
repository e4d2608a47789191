//! When the collector last did what it is there for: whoever looks from outside asks these, and not whether a process runs.

use std::sync::atomic::{AtomicU64, Ordering};

use sitepulse_daemon::clock::{self, Monotonic};

/// The newest instant at which something was done, on the monotonic clock. Shared with readers.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// It was done now.
    pub(crate) fn beat(&self) {
        self.0.fetch_max(clock::monotonic().0.max(1), Ordering::Relaxed);
    }

    /// When it was done last; `None`: not since the start of the process.
    pub fn last(&self) -> Option<Monotonic> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            us => Some(Monotonic(us)),
        }
    }
}

/// What must go on.
#[derive(Debug, Default)]
pub struct Pulses {
    incidents: AtomicU64,
    findings: AtomicU64,
    /// The present was looked at, and what came of it is durable.
    pub watched: Pulse,
    /// The dispatcher had a turn.
    pub dispatched: Pulse,
    /// A ping of the watchdog went through.
    pub pinged: Pulse,
}

impl Pulses {
    /// Something of some incident changed.
    pub(crate) fn incident_changed(&self) {
        self.incidents.fetch_add(1, Ordering::Relaxed);
    }

    /// Something of some finding changed.
    pub(crate) fn finding_changed(&self) {
        self.findings.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something of some finding changed, since the start of the process.
    pub fn findings(&self) -> u64 {
        self.findings.load(Ordering::Relaxed)
    }

    /// How often something of some incident changed, since the start of the process.
    pub fn incidents(&self) -> u64 {
        self.incidents.load(Ordering::Relaxed)
    }
}
