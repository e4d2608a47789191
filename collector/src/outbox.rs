//! Messages on their way out: written with what they are about, leased, sent, marked.
//!
//! A row of the table `outbox` is written in the transaction of the step that it tells of. [`task`] has due rows handed out ([`engine`]), sends them, and has
//! written down what became of each. A kill between the two sends once more, with the same key. Of one incident and channel nothing is handed out while an
//! earlier step waits: a resolve never overtakes its trigger. What cannot be delivered becomes a dead letter, which frees the order: told at ERROR, counted,
//! and taken up again when the channel or its secrets change ([`Engine::set_secret`], [`Engine::apply`]) or by hand ([`Engine::retry_delivery`]).
//! Who looks at the collector's work sees messages among its jobs, as rows of the kind `notification` ([`crate::jobs::all`]).
//!
//! [`Engine::set_secret`]: crate::engine::Engine::set_secret
//! [`Engine::apply`]: crate::engine::Engine::apply
//! [`Engine::retry_delivery`]: crate::engine::Engine::retry_delivery

mod engine;
pub mod figures;
pub(crate) mod memory;
pub mod task;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use sitepulse_model::id::Bucket;
use sitepulse_model::incident::IncidentId;
use sitepulse_model::job::{State, is_late};
use sitepulse_model::notice::Notice;
use sitepulse_model::time::UtcMicros;
use tokio::sync::watch;

use crate::failpoint;

pub use engine::{Done, OUT_MAX, OUT_OF_CHANNEL_MAX, Turn};
pub(crate) use engine::{changed, mend, users_of_secret};
pub use figures::Waiting;

/// What the log's note begins with where the provider turned the sender away rather than refused the message.
pub(crate) const TURNED_AWAY: &str = "turned away: ";

/// Which message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryKey {
    /// The incident's.
    pub bucket: Bucket,
    /// The incident.
    pub incident: IncidentId,
    /// The channel's id.
    pub channel: String,
    /// The incident's step.
    pub step: u32,
}

impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.incident, self.step, self.channel)
    }
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waits for its instant, or for an earlier step.
    Due,
    /// Handed out.
    Leased,
    /// The provider has it.
    Delivered,
    /// It is not tried again: a dead letter.
    GivenUp,
    /// Somebody took it back before it went out.
    Withdrawn,
}

/// A message and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which.
    pub key: DeliveryKey,
    /// Where it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When its step was.
    pub created: UtcMicros,
    /// When it is tried next.
    pub due: UtcMicros,
    /// What it says.
    pub notice: Notice,
}

/// A message as a part of all work ([`crate::jobs::all`]): where it is, and how it fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Which.
    pub key: DeliveryKey,
    /// Where it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// How often since it was new or was taken up again.
    pub tries: u32,
    /// When its step was.
    pub created: UtcMicros,
    /// When it is tried next, or was to be.
    pub due: UtcMicros,
    /// When it was tried first since it was new or was taken up again.
    pub tried: Option<UtcMicros>,
    /// When it was tried first.
    pub first: Option<UtcMicros>,
    /// When it was tried last.
    pub last: Option<UtcMicros>,
    /// How long that took, in microseconds.
    pub took_us: u64,
    /// What the provider said then.
    pub note: String,
}

impl Sending {
    /// Where it is, in the words of jobs.
    pub const fn standing(&self) -> State {
        match self.state {
            DeliveryState::Due => State::Waiting,
            DeliveryState::Leased => State::Running,
            DeliveryState::Delivered => State::Done,
            DeliveryState::GivenUp => State::Failed,
            DeliveryState::Withdrawn => State::Cancelled,
        }
    }

    /// Whether nobody has it though it was due, or was tried first, longer ago than a job may wait: each attempt makes it due anew, and no better.
    pub fn late(&self, now: UtcMicros) -> bool {
        !self.standing().is_over() && is_late(self.tried.unwrap_or(self.due), None, now)
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has it.
    Delivered,
    /// Try again.
    Again {
        /// When.
        at: UtcMicros,
    },
    /// Trying again would not help, or was tried long enough.
    GivenUp,
}

/// An attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: UtcMicros,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// What the provider said, in one line without secrets.
    pub note: String,
}

/// A line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The incident.
    pub incident: IncidentId,
    /// The channel's id.
    pub channel: String,
    /// The incident's step.
    pub step: u32,
    /// Counts from 1.
    pub attempt: u32,
    /// When it began.
    pub at: UtcMicros,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// Whether it was delivered; `None`: it is tried again.
    pub delivered: Option<bool>,
    /// What the provider said.
    pub note: String,
}

/// An attempt's place in the log: when it began, its number, incident, channel and step.
pub type LogKey = (i64, u32, String, String, u32);

impl Logged {
    /// Its place in the log.
    pub fn key(&self) -> LogKey {
        (self.at.0, self.attempt, self.incident.0.clone(), self.channel.clone(), self.step)
    }
}

/// Wakes the task that sends, and has it prove that it does.
#[derive(Debug)]
pub struct Bell {
    rings: watch::Sender<u64>,
    /// How often a proof was asked for.
    asked: AtomicU64,
    /// Up to which of those a turn answered, and what its proof came to.
    proved: watch::Sender<(u64, Result<(), String>)>,
}

impl Default for Bell {
    fn default() -> Self {
        Self { rings: watch::channel(0).0, asked: AtomicU64::new(0), proved: watch::channel((0, Ok(()))).0 }
    }
}

impl Bell {
    /// A turn of the dispatcher from here on writes to the outbox and reads what it wrote. Returns what that came to; it takes as long as the dispatcher is stuck.
    ///
    /// # Errors
    /// Why the outbox cannot be written or read.
    pub async fn prove(&self) -> Result<(), String> {
        let mut proved = self.proved.subscribe();
        let wanted = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.rings.send_modify(|rings| *rings += 1);
        let answer = proved.wait_for(|(upto, _)| *upto >= wanted).await;
        answer.map_or_else(|_| Err("the collector ends".to_owned()), |answer| answer.1.clone())
    }

    /// Up to which proof a turn that begins now answers; `None`: nobody waits for one.
    pub(crate) fn asked(&self) -> Option<u64> {
        let asked = self.asked.load(Ordering::Relaxed);
        (self.proved.borrow().0 < asked).then_some(asked)
    }

    /// What a proof came to.
    pub(crate) fn proved(&self, upto: u64, outcome: Result<(), String>) {
        drop(self.proved.send_replace((upto, outcome)));
    }

    /// Something is due, and durable.
    pub(crate) fn wake(&self) {
        failpoint::pass("outbox.committed");
        self.rings.send_modify(|rings| *rings += 1);
    }

    /// Changes with every call of [`Self::wake`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.rings.subscribe()
    }
}
