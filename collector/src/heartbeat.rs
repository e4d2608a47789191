//! Heartbeats: jobs that call the collector, and the collector's judgement whether they run on time.
//!
//! A `heartbeat` check has a token; its job calls `/ping/TOKEN` (done), `/ping/TOKEN/start`, `/fail`, `/log` or `/ping/TOKEN/EXITCODE`.
//! Each call is a [`Ping`], durable before it is answered, and folded into the check's [`Memory`].
//!
//! The collector is its own observer of these checks: an internal agent named `collector`, alone in the region `collector`, runs each
//! of them at its interval like any agent does. A run asks [`judge::judge`] and makes an ordinary result, which goes through the
//! ordinary ingestion ([`observe`]). So verdicts, SLA, suspensions, and the account of where every slot went are those of all checks.
//!
//! Reading order: [`timing`] says when a job is due, [`judge`] whether it is on time, [`observe`] runs the checks, [`door`] guards the
//! public door, [`task`] is the shell.
//!
//! Limits: [`BODY_BYTES_MAX`] of a ping's body and the newest [`PINGS_KEPT`] pings of a check are kept; [`door::PINGS_PER_MINUTE`].

pub mod judge;
pub mod timing;

pub mod door;
pub mod observe;
pub mod task;

use sitepulse_model::time::UtcMicros;

/// Most bytes of a ping's body that are kept.
pub const BODY_BYTES_MAX: usize = 10 << 10;
/// How many of a check's newest pings are kept.
pub const PINGS_KEPT: u64 = 50;

/// What a job tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PingKind {
    /// It begins.
    Start = 1,
    /// It is done.
    Success = 2,
    /// It failed.
    Fail = 3,
    /// Words alone: judged by nobody.
    Log = 4,
}

impl PingKind {
    /// The stored number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind of a stored number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Start),
            2 => Some(Self::Success),
            3 => Some(Self::Fail),
            4 => Some(Self::Log),
            _ => None,
        }
    }

    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Fail => "fail",
            Self::Log => "log",
        }
    }

    /// What the end of a ping's path says, with the exit status where it is one: 0 is a success, 1 to 255 a failure. `None` for
    /// anything else.
    pub fn parse(action: &str) -> Option<(Self, Option<u8>)> {
        match action {
            "start" => Some((Self::Start, None)),
            "fail" => Some((Self::Fail, None)),
            "log" => Some((Self::Log, None)),
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let status: u8 = digits.parse().ok()?;
                Some((if status == 0 { Self::Success } else { Self::Fail }, Some(status)))
            }
            _ => None,
        }
    }
}

/// One call of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// When it came in, by the collector's clock.
    pub at: UtcMicros,
    /// What it tells.
    pub kind: PingKind,
    /// The exit status it told.
    pub exit_status: Option<u8>,
}

/// A ping as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPing {
    /// Counts the check's pings, from 1.
    pub number: u64,
    /// What it told.
    pub ping: Ping,
    /// What it brought along, cut to [`BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// All that is remembered of a job: the sum of its pings in their order of arrival.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Pings so far, of any kind.
    pub pings: u64,
    /// The newest ping, of any kind.
    pub last_ping: Option<UtcMicros>,
    /// The newest success.
    pub last_success: Option<UtcMicros>,
    /// The newest failure.
    pub last_failure: Option<UtcMicros>,
    /// The newest start, while no success or failure followed it.
    pub started: Option<UtcMicros>,
    /// Whether the newest of successes and failures is a failure.
    pub failed: bool,
    /// The exit status that the newest success or failure told.
    pub exit_status: Option<u8>,
    /// How long the job took from its start to the newest success or failure, in microseconds; `None` without a start.
    pub duration_us: Option<u64>,
}

impl Memory {
    /// Adds a ping.
    pub fn add(&mut self, ping: Ping) {
        self.pings += 1;
        self.last_ping = Some(ping.at);
        match ping.kind {
            PingKind::Log => return,
            PingKind::Start => {
                self.started = Some(ping.at);
                return;
            }
            PingKind::Success => self.last_success = Some(ping.at),
            PingKind::Fail => self.last_failure = Some(ping.at),
        }
        self.failed = ping.kind == PingKind::Fail;
        self.exit_status = ping.exit_status;
        // A clock that stepped back between the two measured nothing.
        self.duration_us = self.started.take().and_then(|started| u64::try_from(ping.at.us_since(started)).ok());
    }

    /// What is remembered of a life of the check that began at `from`: earlier pings were another life's.
    #[must_use]
    pub fn since(mut self, from: UtcMicros) -> Self {
        let within = |at: Option<UtcMicros>| at.filter(|at| *at >= from);
        let ended = within(self.last_success).max(within(self.last_failure));
        self.last_ping = within(self.last_ping);
        self.last_success = within(self.last_success);
        self.last_failure = within(self.last_failure);
        self.started = within(self.started);
        self.failed = self.failed && self.last_failure.is_some();
        if ended.is_none() {
            (self.exit_status, self.duration_us) = (None, None);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_is_read() {
        for (text, is) in [
            ("start", Some((PingKind::Start, None))),
            ("fail", Some((PingKind::Fail, None))),
            ("log", Some((PingKind::Log, None))),
            ("0", Some((PingKind::Success, Some(0)))),
            ("3", Some((PingKind::Fail, Some(3)))),
            ("255", Some((PingKind::Fail, Some(255)))),
            ("256", None),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("success", None),
        ] {
            assert_eq!(PingKind::parse(text), is, "{text:?}");
        }
    }

    #[test]
    fn an_earlier_life_is_forgotten() {
        let mut memory = Memory::default();
        memory.add(Ping { at: UtcMicros(5), kind: PingKind::Start, exit_status: None });
        memory.add(Ping { at: UtcMicros(9), kind: PingKind::Fail, exit_status: Some(3) });
        assert_eq!((memory.failed, memory.exit_status, memory.duration_us), (true, Some(3), Some(4)));
        assert_eq!(memory.since(UtcMicros(9)), memory);
        assert_eq!(memory.since(UtcMicros(10)), Memory { pings: 2, ..Memory::default() });
    }
}
