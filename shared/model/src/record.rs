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

coded!(
    /// What a [`Fact`] is about. Closed and numbered: it travels and is stored. A key may come several times where it says "one of".
    FactKey {
        /// Attempts made, where there was more than one.
        Attempts = 1, "attempts";
        /// One of the failed attempts before the last: its explanation.
        FailedAttempt = 2, "failed_attempt";
        /// `HTTP/1.1`, `HTTP/2` or `HTTP/3`.
        HttpVersion = 3, "http_version";
        /// Redirects followed.
        Redirects = 4, "redirects";
        /// One of the hops before the last: status, address and duration, for people.
        Hop = 5, "hop";
        /// The URL that answered, where redirects led away from the check's.
        FinalUrl = 6, "final_url";
        /// The body's coding, `gzip`, `br` or `zstd`.
        ContentEncoding = 7, "content_encoding";
        /// `TLSv1.2` or `TLSv1.3`.
        TlsVersion = 16, "tls_version";
        /// The cipher suite's name.
        TlsCipher = 17, "tls_cipher";
        /// The protocol that TLS negotiated.
        Alpn = 18, "alpn";
        /// The stapled OCSP answer: `good`, `revoked` or `unknown`.
        Ocsp = 19, "ocsp";
        /// The leaf certificate's subject.
        CertificateSubject = 20, "certificate_subject";
        /// The leaf certificate's issuer.
        CertificateIssuer = 21, "certificate_issuer";
        /// The names that the leaf certificate is for, joined with `, `.
        CertificateNames = 22, "certificate_names";
        /// Certificates that the server sent.
        ChainLength = 23, "chain_length";
        /// SHA-256 of the leaf certificate, hexadecimal.
        CertificateSha256 = 24, "certificate_sha256";
        /// The DNS answer's code, `NOERROR`.
        DnsRcode = 32, "dns_rcode";
        /// Records of the type asked for.
        DnsAnswers = 33, "dns_answers";
        /// One of the answers' values, as text.
        DnsAnswer = 34, "dns_answer";
        /// The smallest time to live among them, in seconds.
        DnsTtl = 35, "dns_ttl";
        /// 1 when the server vouches for the answer (DNSSEC AD), else 0.
        DnsAd = 36, "dns_ad";
        /// Echoes sent.
        Sent = 48, "sent";
        /// Echoes that came back.
        Received = 49, "received";
        /// Shortest round trip, microseconds.
        RttMin = 50, "rtt_min_us";
        /// Mean round trip, microseconds.
        RttAvg = 51, "rtt_avg_us";
        /// Longest round trip, microseconds.
        RttMax = 52, "rtt_max_us";
        /// Mean difference of successive round trips, microseconds.
        Jitter = 53, "jitter_us";
        /// The server's first line.
        Banner = 64, "banner";
        /// The gRPC health status, `SERVING`.
        GrpcStatus = 65, "grpc_status";
        /// The WebSocket subprotocol chosen.
        Subprotocol = 66, "subprotocol";
        /// When the domain's registration ends, seconds since 1970.
        DomainExpires = 80, "domain_expires";
        /// The domain's registrar.
        Registrar = 81, "registrar";
        /// One of the flow's steps: name, status and duration, for people.
        Step = 96, "step";
        /// When the job called last, seconds since 1970.
        LastPing = 112, "last_ping";
        /// How long the job's last run took, microseconds.
        JobDuration = 113, "job_duration_us";
        /// The exit status that the job told.
        ExitStatus = 114, "exit_status";
    }
);

impl FactKey {
    /// Whether its value is a number; else it is text.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Attempts
                | Self::Redirects
                | Self::ChainLength
                | Self::DnsAnswers
                | Self::DnsTtl
                | Self::DnsAd
                | Self::Sent
                | Self::Received
                | Self::RttMin
                | Self::RttAvg
                | Self::RttMax
                | Self::Jitter
                | Self::DomainExpires
                | Self::LastPing
                | Self::JobDuration
                | Self::ExitStatus
        )
    }

    /// Whether its number is an instant, in seconds since 1970.
    pub const fn is_instant(self) -> bool {
        matches!(self, Self::DomainExpires | Self::LastPing)
    }

    /// Whether it may come several times.
    pub const fn is_list(self) -> bool {
        matches!(self, Self::FailedAttempt | Self::Hop | Self::DnsAnswer | Self::Step)
    }
}

/// A fact's value, of the type that its key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// A number.
    Number(i64),
    /// Text, at most [`FACT_BYTES_MAX`].
    Text(String),
}

/// Something that a protocol told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub key: FactKey,
    /// Its value.
    pub value: FactValue,
}

/// Longest text of a fact, in bytes.
pub const FACT_BYTES_MAX: usize = 200;
/// Most facts of one result besides the fixed ones.
pub const FACTS_MAX: usize = 32;

/// What the protocol told. The fixed fields are those that nearly every result has; the rest is a short list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// HTTP status code.
    pub status: Option<u16>,
    /// Body bytes received (decoded).
    pub body_bytes: Option<u64>,
    /// When the leaf certificate expires.
    pub certificate_expires: Option<UtcMicros>,
    /// The rest, at most [`FACTS_MAX`]; in the order noted. Use [`Facts::number`] and [`Facts::text`].
    pub more: Vec<Fact>,
}

impl Facts {
    /// Notes a number. A key that is no list replaces its earlier value; beyond [`FACTS_MAX`] nothing is noted.
    pub fn number(&mut self, key: FactKey, value: i64) {
        debug_assert!(key.is_number(), "{key} is text");
        self.note(key, FactValue::Number(value));
    }

    /// Notes a text, cut to [`FACT_BYTES_MAX`], control characters folded into spaces. Empty text is no fact.
    pub fn text(&mut self, key: FactKey, value: &str) {
        debug_assert!(!key.is_number(), "{key} is a number");
        if !value.is_empty() {
            self.note(key, FactValue::Text(cut(value, FACT_BYTES_MAX)));
        }
    }

    fn note(&mut self, key: FactKey, value: FactValue) {
        let known = if key.is_list() { None } else { self.more.iter().position(|fact| fact.key == key) };
        match known {
            Some(at) => self.more[at].value = value,
            None if self.more.len() < FACTS_MAX => self.more.push(Fact { key, value }),
            None => {}
        }
    }

    /// The number of a key.
    pub fn number_of(&self, key: FactKey) -> Option<i64> {
        self.more.iter().find_map(|fact| match &fact.value {
            FactValue::Number(value) if fact.key == key => Some(*value),
            FactValue::Number(_) | FactValue::Text(_) => None,
        })
    }

    /// The texts of a key, in the order noted.
    pub fn texts_of(&self, key: FactKey) -> impl Iterator<Item = &str> {
        self.more.iter().filter_map(move |fact| match &fact.value {
            FactValue::Text(value) if fact.key == key => Some(value.as_str()),
            FactValue::Number(_) | FactValue::Text(_) => None,
        })
    }
}

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
    cut(text, DETAIL_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if out.len() + c.len_utf8() > bytes_max {
            break;
        }
        out.push(c);
    }
    out
}
