//! Jobs: work that the collector does beside answering. What a job's life is, which one goes first, when one is tried again, and when one is late.
//!
//! The rules:
//! - A job waits, runs, and ends: done, failed or cancelled. It is handed out under a *lease* whose epoch grows with each start: what somebody says of an earlier epoch
//!   is not heard. A lease that nobody holds any more (the process died) ends, and the job waits again: at least once, so work must be able to be done twice.
//! - The order is one number, the [`Rank`]: when the job was due, less [`AGE_US`] for each point of priority. The least goes first. As nothing in it changes with time, a job
//!   that waits overtakes each newer one in the end: one that came later goes before it only while its priority is higher by more points than [`AGE_US`]s lie between them.
//!   Nothing starves: after 1000 x [`AGE_US`] (2 h 47 min) nothing that comes anew goes before it. Of two that were due together the higher priority goes first.
//! - An attempt that failed is tried again, first after about 2 s, then less and less often, as messages are ([`crate::delivery`]), until the kind's tries are used up.
//!   What cannot work as it is ([`Ended::Refused`]) is not tried again by itself. Somebody may take either up again.
//! - A process that dies takes what runs in it with it. Mostly that is nobody's fault among them, so the job waits again, in its old place, and no try is used up. A job that
//!   was under way in several deaths in a row may be what kills: from the second on it is held back, longer each time, and after [`DEATHS_MAX`] it is given up. Kills that
//!   have nothing to do with it would have to follow each other for half an hour and meet it each time ([`Standing::held`] says why that takes so long).
//! - It is late once its deadline has passed; where it has none, [`LATE_US`] after it was due.

use alloc::string::ToString;
use core::fmt;

use crate::delivery;
use crate::time::UtcMicros;

/// The highest priority.
pub const PRIORITY_MAX: u16 = 1000;
/// By waiting for so long a job makes up for one point of priority, in microseconds: 10 s.
pub const AGE_US: i64 = 10_000_000;
/// A job without a deadline is late so long after it was due, in microseconds: 15 min.
pub const LATE_US: i64 = 900_000_000;

/// After so many deaths of the process in a row, each with the job under way, it is given up.
pub const DEATHS_MAX: u32 = 16;

/// How much a job matters: 0 to [`PRIORITY_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u16);

impl Priority {
    /// A priority; `None` where it is higher than [`PRIORITY_MAX`].
    pub const fn new(value: u16) -> Option<Self> {
        if value <= PRIORITY_MAX { Some(Self(value)) } else { None }
    }

    /// The nearest priority.
    pub const fn clamped(value: u16) -> Self {
        Self(if value <= PRIORITY_MAX { value } else { PRIORITY_MAX })
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Which job: microseconds of UTC when it was asked for, or one more than the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// What ids are written with.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl JobId {
    /// Reads what [`fmt::Display`] wrote; `None` where it is no id.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 12 {
            return None;
        }
        let mut value: i64 = 0;
        for byte in text.bytes() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'z' => byte - b'a' + 10,
                _ => return None,
            };
            value = value.checked_mul(36)?.checked_add(i64::from(digit))?;
        }
        Some(Self(value))
    }

    /// The id of a job that is asked for at `now`, after the newest there is.
    pub fn next(newest: Option<Self>, now: UtcMicros) -> Self {
        Self(newest.map_or(0, |newest| newest.0.saturating_add(1)).max(now.0).max(1))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.max(0).unsigned_abs();
        let mut text = [b'0'; 13];
        let mut at = text.len();
        while at == text.len() || left > 0 {
            at -= 1;
            let digit = usize::try_from(left % 36).unwrap_or_default();
            text[at] = DIGITS[digit];
            left /= 36;
        }
        f.pad(core::str::from_utf8(&text[at..]).unwrap_or_default())
    }
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for its instant, or for its turn.
    Waiting,
    /// Handed out.
    Running,
    /// It was done.
    Done,
    /// It was given up.
    Failed,
    /// Somebody took it back.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a stable text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it is over.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Waiting | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A job's place in the order: the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub i64);

impl Rank {
    /// The place of a job that was due at an instant.
    pub fn of(priority: Priority, due: UtcMicros) -> Self {
        Self(due.0.saturating_sub(i64::from(priority.0) * AGE_US))
    }
}

/// What rules the jobs of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many run at a time at most.
    pub concurrency: usize,
    /// So many attempts are made before it is given up.
    pub tries: u32,
    /// After so many deaths of the process in a row, each with the job under way, it is given up.
    pub deaths: u32,
}

/// Where a job stands: what its life is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it is.
    pub state: State,
    /// How much it matters.
    pub priority: Priority,
    /// When it is due, or was.
    pub due: UtcMicros,
    /// Attempts since it was new or was taken up again that count.
    pub tries: u32,
    /// Grows with each start: the lease's.
    pub epoch: u32,
    /// Somebody wants it to end.
    pub cancelling: bool,
    /// Deaths of the process in a row, each with the job under way.
    pub deaths: u32,
    /// Not handed out before then, for the process died with it more than once: about 2 s after the second death, then longer, as for attempts that failed. Its place
    /// in the order stays.
    pub held: Option<UtcMicros>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The work is done.
    Done,
    /// It did not work; it may, later.
    Failed,
    /// It will not work as it is.
    Refused,
    /// It ended for it was told to.
    Cancelled,
    /// The program ends, or nobody knows what became of it: as if it had not begun.
    Interrupted,
    /// The process that it ran in died: for whatever reason, the job itself perhaps.
    Died,
}

impl Standing {
    /// A new one.
    pub const fn new(priority: Priority, due: UtcMicros) -> Self {
        Self { state: State::Waiting, priority, due, tries: 0, epoch: 0, cancelling: false, deaths: 0, held: None }
    }

    /// When it may be handed out.
    pub fn ready(&self) -> UtcMicros {
        self.held.map_or(self.due, |held| held.max(self.due))
    }

    /// Its place in the order.
    pub fn rank(&self) -> Rank {
        Rank::of(self.priority, self.due)
    }

    /// Handed out; `false`, and nothing changes, where it does not wait or is not due.
    pub fn start(&mut self, now: UtcMicros) -> bool {
        if self.state != State::Waiting || self.ready() > now {
            return false;
        }
        self.state = State::Running;
        self.held = None;
        self.epoch = self.epoch.saturating_add(1);
        true
    }

    /// The attempt of an epoch ended at `now`. `false`, and nothing changes, where that lease is over.
    pub fn end(&mut self, id: JobId, epoch: u32, ended: Ended, rules: Rules, now: UtcMicros) -> bool {
        if self.state != State::Running || self.epoch != epoch {
            return false;
        }
        let tries = self.tries.saturating_add(1);
        match ended {
            Ended::Done => self.over(State::Done, tries),
            Ended::Cancelled => self.over(State::Cancelled, tries),
            // Whoever wanted it to end has it that way.
            Ended::Failed | Ended::Refused | Ended::Interrupted | Ended::Died if self.cancelling => {
                self.over(State::Cancelled, tries)
            }
            Ended::Refused => self.over(State::Failed, tries),
            Ended::Failed if tries >= rules.tries => self.over(State::Failed, tries),
            Ended::Failed => {
                self.due = now.plus_us(delay_us(id, self.tries).cast_signed());
                self.state = State::Waiting;
                self.tries = tries;
                // The process outlived it.
                self.deaths = 0;
            }
            // It keeps its place in the order.
            Ended::Interrupted => self.state = State::Waiting,
            Ended::Died => {
                self.deaths = self.deaths.saturating_add(1);
                if self.deaths >= rules.deaths {
                    self.over(State::Failed, tries);
                    return true;
                }
                self.state = State::Waiting;
                self.held = self.deaths.checked_sub(2).map(|before| now.plus_us(delay_us(id, before).cast_signed()));
            }
        }
        true
    }

    const fn over(&mut self, state: State, tries: u32) {
        self.state = state;
        self.tries = tries;
        self.cancelling = false;
    }

    /// Somebody takes it back: at once where it waits, else it is told to end. `false`, and nothing changes, where it is over.
    pub const fn cancel(&mut self) -> bool {
        match self.state {
            State::Waiting => {
                self.over(State::Cancelled, self.tries);
                true
            }
            State::Running => {
                self.cancelling = true;
                true
            }
            State::Done | State::Failed | State::Cancelled => false,
        }
    }

    /// Somebody takes it up again: it has its tries before it, from `now`. `false`, and nothing changes, where it neither failed, nor was cancelled, nor waits to be
    /// tried again or is held back.
    pub fn retry(&mut self, now: UtcMicros) -> bool {
        match self.state {
            State::Failed | State::Cancelled => {}
            State::Waiting if self.tries > 0 || self.held.is_some() => {}
            State::Waiting | State::Running | State::Done => return false,
        }
        self.state = State::Waiting;
        self.tries = 0;
        self.deaths = 0;
        self.held = None;
        self.due = now;
        true
    }

    /// Another priority. `false`, and nothing changes, where it does not wait.
    pub fn prioritise(&mut self, priority: Priority) -> bool {
        let waits = self.state == State::Waiting;
        if waits {
            self.priority = priority;
        }
        waits
    }

    /// It was asked for once more while it waits or runs: the higher priority holds, and the earlier instant. Whether something changed.
    pub fn join(&mut self, priority: Priority, due: UtcMicros) -> bool {
        if self.state != State::Waiting {
            return false;
        }
        let before = *self;
        self.priority = self.priority.max(priority);
        // One that waits to be tried again waits for what failed, not for who asks.
        if self.tries == 0 {
            self.due = self.due.min(due);
        }
        *self != before
    }
}

/// Whether a job that is not over is late.
pub fn is_late(due: UtcMicros, deadline: Option<UtcMicros>, now: UtcMicros) -> bool {
    late_at(due, deadline) < now
}

/// When a job is late that is not over by then.
pub fn late_at(due: UtcMicros, deadline: Option<UtcMicros>) -> UtcMicros {
    deadline.unwrap_or_else(|| due.plus_us(LATE_US))
}

/// How long after the attempt that follows `tries` others the next one is, in microseconds.
pub fn delay_us(id: JobId, tries: u32) -> u64 {
    delivery::delay_us(&id.to_string(), tries)
}

#[cfg(test)]
mod tests;
