//! What an agent reports: results, missed runs, and tombstones of what its spool had to drop.
//!
//! Record states and causes are a closed list with stable numbers: they travel and are stored.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::id::{CheckNo, Revision, Seq};
use crate::time::UtcMicros;

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant = $code,)+ }

        impl $name {
            /// Every value, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable number that travels and is stored.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The value of a stable number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The stable text, as JSON and labels show it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

coded!(
    /// What one run found.
    ProbeState {
        /// Reachable, every assertion holds.
        Up = 1, "up";
        /// Reachable; a soft threshold is broken.
        Degraded = 2, "degraded";
        /// A hard assertion or the connection failed; a timeout too.
        Down = 3, "down";
        /// This agent cannot tell.
        Unknown = 4, "unknown";
    }
);

coded!(
    /// Why a run that should have happened did not.
    MissedCause {
        /// The agent was not running, or was killed during the run.
        AgentStopped = 1, "agent_stopped";
        /// The agent had no capacity; lowest check weight is shed first.
        Overloaded = 2, "overloaded";
        /// The agent, the check, or this check on this agent was suspended.
        Suspended = 3, "suspended";
        /// A maintenance window paused runs.
        Maintenance = 4, "maintenance";
        /// The clock leapt over the slot.
        ClockStep = 5, "clock_step";
    }
);

coded!(
    /// A step of a run, in order. Absent where it did not happen.
    Phase {
        /// Name resolution.
        Dns = 1, "dns";
        /// TCP (or other transport) connection.
        Connect = 2, "connect";
        /// TLS handshake.
        Tls = 3, "tls";
        /// Request written.
        Send = 4, "send";
        /// From request written to the first byte of the answer.
        FirstByte = 5, "first_byte";
        /// From the first byte to the last.
        Transfer = 6, "transfer";
        /// The whole run.
        Total = 7, "total";
    }
);

coded!(
    /// Why a run was not `up`. Codes below 64 are `down`, 64..96 `degraded`, from 96 `unknown`.
    Cause {
        /// The name does not resolve.
        DnsFailed = 1, "dns_failed";
        /// The connection was refused.
        ConnectionRefused = 2, "connection_refused";
        /// No route to the address.
        Unreachable = 3, "unreachable";
        /// The peer reset or closed the connection early.
        ConnectionReset = 4, "connection_reset";
        /// The deadline passed; the failing phase says where.
        Timeout = 5, "timeout";
        /// The TLS handshake failed.
        TlsFailed = 6, "tls_failed";
        /// The certificate is expired, not yet valid, untrusted or for another name.
        CertificateInvalid = 7, "certificate_invalid";
        /// The answer is not valid HTTP, or breaks a limit.
        ProtocolError = 8, "protocol_error";
        /// A hard assertion does not hold.
        AssertionFailed = 9, "assertion_failed";
        /// More redirects than the limit, or a redirect that leads nowhere.
        RedirectFailed = 10, "redirect_failed";
        /// The server refused the login.
        LoginRefused = 11, "login_refused";
        /// The gRPC health protocol says that the service does not serve.
        NotServing = 12, "not_serving";
        /// The domain is not registered.
        NotRegistered = 13, "not_registered";
        /// The job did not call in time.
        HeartbeatMissing = 14, "heartbeat_missing";
        /// The job said that it failed.
        HeartbeatFailed = 15, "heartbeat_failed";
        /// The proxy refused or failed.
        ProxyFailed = 16, "proxy_failed";
        /// The page was answered with an error status: nothing of it is graded.
        HttpStatus = 17, "http_status";
        /// What came is no page that a browser shows.
        NotAPage = 18, "not_a_page";
        /// The page kept the browser so busy that it did not answer.
        Unresponsive = 19, "unresponsive";
        /// The page brought its renderer down.
        RendererCrashed = 20, "renderer_crashed";
        /// The page went elsewhere before it was measured.
        NavigatedAway = 21, "navigated_away";
        /// A scripted interaction found nothing to act on.
        InteractionFailed = 22, "interaction_failed";
        /// A soft assertion (`degraded if ...`) is met.
        SoftAssertion = 64, "soft_assertion";
        /// The agent's policy refuses the address.
        PolicyRefused = 96, "policy_refused";
        /// The agent's own network is out.
        NetworkLost = 97, "network_lost";
        /// The agent could not run the probe (no file descriptors, an unusable definition, ...).
        AgentFault = 98, "agent_fault";
        /// A secret that the check refers to is not there.
        SecretMissing = 99, "secret_missing";
        /// Whether the job runs cannot be told yet: it has not called for the first time, or the collector was away when it should have.
        HeartbeatWaiting = 100, "heartbeat_waiting";
        /// There is no browser on the agent's machine, or it cannot start.
        BrowserMissing = 101, "browser_missing";
        /// The browser ended in the middle of a run.
        BrowserGone = 102, "browser_gone";
        /// The agent's host was too busy to measure: figures taken then are not graded.
        HostPressure = 103, "host_pressure";
    }
);

coded!(
    /// Why a spool dropped records.
    DropReason {
        /// The spool reached its bound; oldest successes went first.
        SpoolFull = 1, "spool_full";
        /// The spool file was damaged and set aside.
        SpoolCorrupt = 2, "spool_corrupt";
    }
);

/// Monotonic durations in microseconds; `None` where a phase did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Name resolution.
    pub dns: Option<u64>,
    /// Connection.
    pub connect: Option<u64>,
    /// TLS handshake.
    pub tls: Option<u64>,
    /// Request written.
    pub send: Option<u64>,
    /// Waiting for the first byte.
    pub first_byte: Option<u64>,
    /// Receiving the rest.
    pub transfer: Option<u64>,
    /// The whole run.
    pub total: Option<u64>,
}

impl Phases {
    /// The duration of a phase.
    pub const fn get(&self, phase: Phase) -> Option<u64> {
        match phase {
            Phase::Dns => self.dns,
            Phase::Connect => self.connect,
            Phase::Tls => self.tls,
            Phase::Send => self.send,
            Phase::FirstByte => self.first_byte,
            Phase::Transfer => self.transfer,
            Phase::Total => self.total,
        }
    }

    /// Adds to the duration of a phase, which then has happened.
    pub const fn add(&mut self, phase: Phase, us: u64) {
        let place = match phase {
            Phase::Dns => &mut self.dns,
            Phase::Connect => &mut self.connect,
            Phase::Tls => &mut self.tls,
            Phase::Send => &mut self.send,
            Phase::FirstByte => &mut self.first_byte,
            Phase::Transfer => &mut self.transfer,
            Phase::Total => &mut self.total,
        };
        *place = Some(match *place {
            Some(so_far) => so_far.saturating_add(us),
            None => us,
        });
    }
}

mod chain;
mod facts;

pub use chain::{CHAIN_MAX, CHAIN_NAME_BYTES_MAX, ChainCertificate};
pub use facts::{FACT_BYTES_MAX, FACTS_MAX, Fact, FactKey, FactValue, Facts, RESOLVER_ANSWERS_MAX};

/// Who measured, with which clock. Shared by all records of one agent process and handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// The agent's build, `0.1.0+abc1234`.
    pub build: String,
    /// Collector's clock minus the agent's, in microseconds, at the last handshake; `None` before the first.
    pub clock_offset_us: Option<i64>,
    /// Half the round trip of that measurement, in microseconds.
    pub clock_uncertainty_us: u64,
}

/// Longest [`ProbeResult::detail`], in bytes. Longer text is cut at a character's border.
pub const DETAIL_BYTES_MAX: usize = 300;

/// The record of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// The check.
    pub check: CheckNo,
    /// The definition that was probed.
    pub revision: Revision,
    /// The slot the run was due at. Accounting uses this instant.
    pub scheduled: UtcMicros,
    /// When the run started.
    pub started: UtcMicros,
    /// How long each phase took.
    pub phases: Phases,
    /// What the run found.
    pub state: ProbeState,
    /// Why it was not `up`; `None` exactly when it was.
    pub cause: Option<Cause>,
    /// The phase that failed, where one did.
    pub failed_phase: Option<Phase>,
    /// One line for people; empty for a plain success.
    pub detail: String,
    /// The address dialled.
    pub address: Option<SocketAddr>,
    /// What the protocol told.
    pub facts: Facts,
}

/// Runs that should have happened at `first`, `first + interval`, ..., `last` and did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The check.
    pub check: CheckNo,
    /// The definition whose schedule this is.
    pub revision: Revision,
    /// First slot missed.
    pub first: UtcMicros,
    /// Last slot missed.
    pub last: UtcMicros,
    /// How many slots; `(last - first) / interval + 1`.
    pub count: u64,
    /// Why.
    pub cause: MissedCause,
}

/// Most sequence ranges that one tombstone carries.
pub const DROPPED_RANGES_MAX: usize = 1000;

/// A tombstone: records of one check that a spool dropped before the collector had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The check.
    pub check: CheckNo,
    /// The newest definition among the dropped records.
    pub revision: Revision,
    /// Earliest slot dropped.
    pub first: UtcMicros,
    /// Latest slot dropped.
    pub last: UtcMicros,
    /// How many slots were dropped: exact for `spool_full`, the most it can be for `spool_corrupt`.
    pub count: u64,
    /// Why.
    pub reason: DropReason,
    /// The dropped records' own sequence numbers as inclusive ranges, ascending: they will never come.
    pub seqs: Vec<(Seq, Seq)>,
}

/// One entry of an agent's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A run happened.
    Result(ProbeResult),
    /// Runs did not happen.
    Missed(Missed),
    /// Records were lost before they could be shipped.
    Dropped(Dropped),
}

impl ProbeResult {
    /// The address dialled, for people and JSON: `192.0.2.1:443`, or without a port where the kind has none (`icmp`).
    pub fn address_text(&self) -> Option<String> {
        self.address.map(|address| match address.port() {
            0 => address.ip().to_string(),
            _ => address.to_string(),
        })
    }
}

impl Record {
    /// The check it belongs to.
    pub fn check(&self) -> CheckNo {
        match self {
            Self::Result(result) => result.check,
            Self::Missed(missed) => missed.check,
            Self::Dropped(dropped) => dropped.check,
        }
    }

    /// The first slot it speaks of.
    pub fn scheduled(&self) -> UtcMicros {
        match self {
            Self::Result(result) => result.scheduled,
            Self::Missed(missed) => missed.first,
            Self::Dropped(dropped) => dropped.first,
        }
    }
}

/// Cuts `text` to at most [`DETAIL_BYTES_MAX`] bytes at a character's border and folds control characters into spaces.
pub fn detail(text: &str) -> String {
    one_line(text, DETAIL_BYTES_MAX)
}

/// The beginning of `text`: at most `bytes_max` bytes, up to a character's border.
pub fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The beginning of `text`, control characters folded into spaces. Folding makes no text longer.
fn one_line(text: &str, bytes_max: usize) -> String {
    beginning(text, bytes_max).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
