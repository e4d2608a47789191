//! A check: what to probe, how often, from where, what counts as good.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::control::Weight;
use crate::expect::Expectation;
use crate::id::{CheckId, CheckNo, Region, Revision};
use crate::quorum::Quorum;

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

/// What an `http` check asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// `http://` or `https://`, with a host; at most 2048 bytes.
    pub url: String,
}

/// The kind of a check with what that kind needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// An HTTP GET over a fresh connection.
    Http(HttpTarget),
}

impl CheckKind {
    /// The kind's name in configuration and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
        }
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
    /// A run's deadline, in microseconds.
    pub timeout_us: u64,
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
