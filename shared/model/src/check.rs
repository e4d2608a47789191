//! A check: what to probe, how often, from where, what counts as good.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Deserializer};

use crate::control::Weight;
use crate::expect::Expectation;
use crate::id::{CheckId, CheckNo, Region, Revision};
use crate::quorum::Quorum;

mod about;
mod cron;
mod keys;
mod run;
mod syntax;
mod target;
mod valid;
mod watched;
mod web_vitals;

pub use syntax::{is_secret_name, origin};
pub use target::{
    Auth, DnsTarget, DnsTransport, DnsType, DomainTarget, DurationUs, Family, FlowStep, FlowTarget, GrpcTarget,
    HeartbeatTarget, HttpTarget, HttpVersion, IcmpTarget, Login, MailSecurity, MailTarget, SecretText, TcpTarget,
    TlsOptions, TlsTarget, UdpTarget, WebsocketTarget,
};
pub use web_vitals::{
    BROWSER, BROWSER_ALONE, BROWSER_WAIT_US_MAX, INTERACTIONS_MAX, Interact, RUNS_MAX, SELECTOR_BYTES_MAX,
    WebVitalsTarget,
};

pub use watched::Watched;

pub use valid::{CAPTURES_MAX, HEADERS_MAX, PROTOCOLS_MAX, REDIRECTS_MAX, SEND_BYTES_MAX, STEPS_MAX};

/// Shortest interval, in microseconds.
pub const INTERVAL_US_MIN: u64 = 1_000_000;
/// Longest interval: 7 days.
pub const INTERVAL_US_MAX: u64 = 7 * 86_400 * 1_000_000;
/// Shortest timeout.
pub const TIMEOUT_US_MIN: u64 = 1_000;
/// Longest timeout: 5 minutes.
pub const TIMEOUT_US_MAX: u64 = 300 * 1_000_000;
/// Most assertions of one check.
pub const EXPECTATIONS_MAX: usize = 32;

/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Most retries of one run.
pub const RETRIES_MAX: u8 = 5;
/// Longest name of a secret, in bytes.
pub const SECRET_NAME_BYTES_MAX: usize = 64;
/// Longest JSON of a target, in bytes.
pub const TARGET_BYTES_MAX: usize = 64 << 10;

/// The kind of a check with what that kind needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// An HTTP request.
    Http(Box<HttpTarget>),
    /// A TCP connection.
    Tcp(TcpTarget),
    /// A TLS handshake.
    Tls(Box<TlsTarget>),
    /// A DNS question.
    Dns(DnsTarget),
    /// ICMP echoes.
    Icmp(IcmpTarget),
    /// Datagrams.
    Udp(UdpTarget),
    /// A WebSocket handshake.
    Websocket(Box<WebsocketTarget>),
    /// The gRPC health protocol.
    Grpc(Box<GrpcTarget>),
    /// A mail server that takes mail.
    Smtp(Box<MailTarget>),
    /// A mail server that shows mail.
    Imap(Box<MailTarget>),
    /// A domain's registration.
    Domain(Box<DomainTarget>),
    /// A job that calls the collector.
    Heartbeat(HeartbeatTarget),
    /// Several HTTP requests that share variables.
    Flow(Box<FlowTarget>),
    /// A page in a real browser.
    WebVitals(Box<WebVitalsTarget>),
}

/// Why a target cannot be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetError {
    /// The key at fault, `url` or `steps[1].url`; empty where it is the whole.
    pub field: String,
    /// What is wrong, with the remedy.
    pub message: String,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.field, self.message) }
    }
}

impl core::error::Error for TargetError {}

/// Calls `$do` with the target of any kind.
macro_rules! each_target {
    ($kind:expr, $target:ident => $do:expr) => {
        match $kind {
            CheckKind::Http($target) => $do,
            CheckKind::Tcp($target) => $do,
            CheckKind::Tls($target) => $do,
            CheckKind::Dns($target) => $do,
            CheckKind::Icmp($target) => $do,
            CheckKind::Udp($target) => $do,
            CheckKind::Websocket($target) => $do,
            CheckKind::Grpc($target) => $do,
            CheckKind::Smtp($target) | CheckKind::Imap($target) => $do,
            CheckKind::Domain($target) => $do,
            CheckKind::Heartbeat($target) => $do,
            CheckKind::Flow($target) => $do,
            CheckKind::WebVitals($target) => $do,
        }
    };
}

impl CheckKind {
    /// The names of all kinds, in the order they are documented.
    pub const NAMES: [&'static str; 14] = [
        "http",
        "tcp",
        "tls",
        "dns",
        "icmp",
        "udp",
        "websocket",
        "grpc",
        "smtp",
        "imap",
        "domain",
        "heartbeat",
        "flow",
        "web_vitals",
    ];

    /// An `http` check that plainly gets a URL.
    pub fn http(url: impl Into<String>) -> Self {
        Self::Http(Box::new(HttpTarget::get(url)))
    }

    /// The kind's name in configuration and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Tls(_) => "tls",
            Self::Dns(_) => "dns",
            Self::Icmp(_) => "icmp",
            Self::Udp(_) => "udp",
            Self::Websocket(_) => "websocket",
            Self::Grpc(_) => "grpc",
            Self::Smtp(_) => "smtp",
            Self::Imap(_) => "imap",
            Self::Domain(_) => "domain",
            Self::Heartbeat(_) => "heartbeat",
            Self::Flow(_) => "flow",
            Self::WebVitals(_) => "web_vitals",
        }
    }

    /// The keys of a kind, in the order they are documented. `None` for a name that is no kind.
    pub fn keys(kind: &str) -> Option<&'static [&'static str]> {
        keys::of(|reader| Self::deserialize(kind, reader).map(|made| made.map(|_| ())))
    }

    /// Makes a kind of its name and a deserializer over its keys. The keys are those of the target's structure. The values are
    /// not yet judged: see [`CheckKind::validate`]. `None` for a name that is no kind.
    pub fn deserialize<'de, D: Deserializer<'de>>(kind: &str, keys: D) -> Option<Result<Self, D::Error>> {
        Some(match kind {
            "http" => Deserialize::deserialize(keys).map(Self::Http),
            "tcp" => Deserialize::deserialize(keys).map(Self::Tcp),
            "tls" => Deserialize::deserialize(keys).map(Self::Tls),
            "dns" => Deserialize::deserialize(keys).map(Self::Dns),
            "icmp" => Deserialize::deserialize(keys).map(Self::Icmp),
            "udp" => Deserialize::deserialize(keys).map(Self::Udp),
            "websocket" => Deserialize::deserialize(keys).map(Self::Websocket),
            "grpc" => Deserialize::deserialize(keys).map(Self::Grpc),
            "smtp" => Deserialize::deserialize(keys).map(Self::Smtp),
            "imap" => Deserialize::deserialize(keys).map(Self::Imap),
            "domain" => Deserialize::deserialize(keys).map(Self::Domain),
            "heartbeat" => Deserialize::deserialize(keys).map(Self::Heartbeat),
            "flow" => Deserialize::deserialize(keys).map(Self::Flow),
            "web_vitals" => Deserialize::deserialize(keys).map(Self::WebVitals),
            _ => return None,
        })
    }

    /// The target's keys as JSON: how it travels and is stored.
    pub fn target_json(&self) -> String {
        each_target!(self, target => serde_json::to_string(target)).expect("texts, numbers and lists always serialize")
    }

    /// Reads what [`CheckKind::target_json`] wrote, and judges it.
    pub fn from_target_json(kind: &str, json: &str) -> Result<Self, TargetError> {
        let target = Self::from_stored_json(kind, json)?;
        target.validate()?;
        Ok(target)
    }

    /// Reads what [`CheckKind::target_json`] wrote, without judging it: an older build may have stored what this one no longer accepts.
    pub fn from_stored_json(kind: &str, json: &str) -> Result<Self, TargetError> {
        let whole = |message: String| TargetError { field: String::new(), message };
        if json.len() > TARGET_BYTES_MAX {
            return Err(whole(format!("the target has {} bytes, at most {TARGET_BYTES_MAX} are allowed", json.len())));
        }
        let mut keys = serde_json::Deserializer::from_str(json);
        let target = Self::deserialize(kind, &mut keys)
            .ok_or_else(|| whole(format!("unknown kind {kind:?}: known are {}", Self::NAMES.join(", "))))?;
        target.and_then(|target| keys.end().map(|()| target)).map_err(|error| whole(error.to_string()))
    }
}

/// A check as its author defined it. Every field is valid: built by the parsers alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckDefinition {
    /// The author's id.
    pub id: CheckId,
    /// What to probe.
    pub kind: CheckKind,
    /// Time between two runs, in microseconds; whole milliseconds.
    pub interval_us: u64,
    /// An attempt's deadline, in microseconds.
    pub timeout_us: u64,
    /// Attempts after a failed one, within the same run; what they found is recorded. 0 to [`RETRIES_MAX`].
    pub retries: u8,
    /// Importance to groups, the global SLA and the impact score.
    pub weight: Weight,
    /// Where it runs; `None` is every region.
    pub regions: Option<BTreeSet<Region>>,
    /// When enough voters are down.
    pub quorum: Quorum,
    /// Consecutive bad results before an agent votes so; from 1.
    pub confirmations: u32,
    /// Consecutive good results before it votes up again; from 1.
    pub recoveries: u32,
    /// What an answer must satisfy, in order.
    pub expect: Vec<Expectation>,
}

impl CheckDefinition {
    /// How long one result of this definition speaks: `interval x 2 + timeout`, in microseconds.
    pub const fn hold_us(&self) -> i64 {
        (self.interval_us * 2 + self.timeout_us) as i64
    }

    /// How long a run takes at most, in microseconds: all attempts. A page may wait for its place first, and repeats what its host had no time for.
    pub fn run_us_max(&self) -> u64 {
        if matches!(self.kind, CheckKind::WebVitals(_)) {
            return BROWSER_WAIT_US_MAX + TIMEOUT_US_MAX;
        }
        self.kind.attempt_us(self.timeout_us).saturating_mul(u64::from(self.retries) + 1)
    }

    /// The host whose runs are limited together: [`CheckKind::host`], but for pages that need the browser to themselves, which have
    /// [`BROWSER_ALONE`].
    pub fn host(&self) -> Option<String> {
        if let CheckKind::WebVitals(target) = &self.kind
            && target.is_heavy(&self.expect)
        {
            return Some(String::from(BROWSER_ALONE));
        }
        self.kind.host()
    }

    /// Whether agents of `region` run it.
    pub fn runs_in(&self, region: &Region) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.contains(region))
    }
}

/// A check as an agent is told to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedCheck {
    /// Its number.
    pub number: CheckNo,
    /// The definition's revision.
    pub revision: Revision,
    /// The definition.
    pub definition: CheckDefinition,
}
