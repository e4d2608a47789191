//! What the detectors are handed: slices of numbers, made by whoever keeps the history.
//!
//! All instants are UTC; hours are counted since 1970 (`instant / 3,600,000,000 us`, rounded down). The order of a slice never matters unless it is said. Hours without
//! evidence are left out, never told as 0. Time under maintenance is left out wherever it says how things usually are.
//!
//! `known_since` is since when the finding of this kind and subject stands that is open already ([`super::found::Found::since`] as it was told first); `None` where none is open. What
//! is open needs less to stay than to come, so findings do not come and go around a threshold.

use alloc::string::String;

use super::Subject;
use super::found::{Expires, Trait};
use crate::check::CheckDefinition;
use crate::quorum::Quorum;
use crate::time::UtcMicros;
use crate::vitals::Vital;
use crate::vote::VerdictSpan;

/// The hour that an instant lies in, counted since 1970.
pub const fn hour_of(at: UtcMicros) -> i64 {
    at.0.div_euclid(super::HOUR_US)
}

/// One hour of one series of runs that reached their target (`up` or `degraded`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyHour {
    /// The hour since 1970.
    pub hour: i64,
    /// The median of the runs' total duration.
    pub median_us: u64,
    /// How many runs.
    pub runs: u32,
}

/// What [`super::latency_regression`] looks at: one series whose hours can be compared. A check seen from several regions is either several series (`part`:
/// `region:NAME`), or one of the medians over the regions of their hours' medians; never of all runs in one pot, for then a region that is silent looks like a change.
#[derive(Debug, Clone)]
pub struct LatencySeries<'a> {
    /// What a finding is about.
    pub subject: Subject,
    /// Hours that are over, over the last five weeks (four before the last seven days); where a finding is open, from four weeks before it. More is not looked at.
    pub hours: &'a [LatencyHour],
    /// See the module.
    pub known_since: Option<UtcMicros>,
}

/// One hour of a check in one region: medians over the runs that reached their target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhasedHour {
    /// The hour since 1970.
    pub hour: i64,
    /// How many runs.
    pub runs: u32,
    /// The whole run.
    pub total_us: u64,
    /// Name resolution; `None` where it did not happen. The same for the others.
    pub dns_us: Option<u64>,
    /// Connecting.
    pub connect_us: Option<u64>,
    /// The TLS handshake.
    pub tls_us: Option<u64>,
    /// From the request to the first byte.
    pub first_byte_us: Option<u64>,
}

/// A region's hours, for [`super::region_slow`].
#[derive(Debug, Clone)]
pub struct RegionHours<'a> {
    /// The region.
    pub region: &'a str,
    /// Its hours; which, as in [`LatencySeries::hours`], by the oldest finding that is open of any region of the check.
    pub hours: &'a [PhasedHour],
    /// See the module: of this check and `region:NAME`.
    pub known_since: Option<UtcMicros>,
}

/// What [`super::region_slow`] looks at: a check in all of its regions.
#[derive(Debug, Clone)]
pub struct RegionsOfCheck<'a> {
    /// The check's id.
    pub check: &'a str,
    /// Its regions, each once.
    pub regions: &'a [RegionHours<'a>],
}

/// What [`super::expiry`] looks at: one certificate or registration as it was seen last.
#[derive(Debug, Clone)]
pub struct Expiring {
    /// What a finding is about: the check that saw it, `part` `certificate` or `domain`.
    pub subject: Subject,
    /// What it is.
    pub what: Expires,
    /// When it ends.
    pub ends_at: UtcMicros,
    /// When that was seen last.
    pub seen_at: UtcMicros,
    /// For how long it is valid in all, where that is known: of what lives for six days, fourteen days left are not to be had.
    pub lifetime_us: Option<i64>,
}

/// A certificate that was seen first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// When.
    pub seen_at: UtcMicros,
    /// When it ends, which is what it is known by.
    pub ends_at: UtcMicros,
}

/// What [`super::flapping`] looks at.
#[derive(Debug, Clone)]
pub struct Verdicts<'a> {
    /// The check's id.
    pub check: &'a str,
    /// Its verdicts over the window at least, in their order, not overlapping.
    pub spans: &'a [VerdictSpan],
    /// See the module.
    pub known_since: Option<UtcMicros>,
}

/// A check among those that may fail together.
#[derive(Debug, Clone)]
pub struct FailingCheck<'a> {
    /// Its id.
    pub check: &'a str,
    /// What it may share with others.
    pub traits: &'a [Trait],
    /// When its down spans began, over the history.
    pub began: &'a [UtcMicros],
    /// How exactly that is known: its interval.
    pub interval_us: i64,
}

/// What [`super::correlated_failures`] looks at: all checks of a bucket, those too that never failed.
#[derive(Debug, Clone)]
pub struct Failures<'a> {
    /// The checks, each once.
    pub checks: &'a [FailingCheck<'a>],
    /// From when on their beginnings are told; four weeks or so.
    pub history_from: UtcMicros,
}

/// How fast a budget burns over a window up to now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnWindow {
    /// The window.
    pub length_us: i64,
    /// How many times faster than evenly; `None` where nothing counts.
    pub rate: Option<f64>,
    /// The share of the window for which evidence exists.
    pub completeness: f64,
}

/// What [`super::budget_forecast`] looks at: an objective as [`crate::slo::status`] tells it. With a [`BurnWindow`] of 24 hours besides ([`super::budget_forecast::find_by_day`]) it says much less of what is none.
#[derive(Debug, Clone)]
pub struct BudgetNow<'a> {
    /// The objective's id.
    pub slo: &'a str,
    /// What is left of the budget; below 0 where it is overdrawn.
    pub left_us: i64,
    /// What is allowed over the period.
    pub allowed_us: i64,
    /// How long the whole period is.
    pub period_us: i64,
    /// When a calendar period ends; of a rolling one now and a period's length.
    pub ends_at: UtcMicros,
    /// The long window: 3 d.
    pub long: BurnWindow,
    /// The short one: 6 h.
    pub short: BurnWindow,
    /// See the module.
    pub known_since: Option<UtcMicros>,
}

/// A run of a page, for one vital.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VitalRun<'a> {
    /// When.
    pub at: UtcMicros,
    /// The median of its loads, in the vital's own unit.
    pub value: u64,
    /// The host was under pressure: it does not count.
    pub low_confidence: bool,
    /// The element painted largest; `None` where it was not told.
    pub lcp_element: Option<&'a str>,
    /// Where it was loaded from; empty where that is nowhere (text), `None` where it was not told.
    pub lcp_url: Option<&'a str>,
    /// What moved in the largest shifts, what moved most first, one a line; empty where nothing did, `None` where it was not told.
    pub shift_sources: Option<&'a str>,
}

/// What [`super::vitals_regression`] looks at: runs that can be compared, so of one check from one region on one profile.
#[derive(Debug, Clone)]
pub struct VitalSeries<'a> {
    /// What a finding is about: the check, `part` `vital:lcp` or `vital:lcp:paris`.
    pub subject: Subject,
    /// Which vital.
    pub vital: Vital,
    /// The runs of the last five weeks; where a finding is open, from four weeks before it.
    pub runs: &'a [VitalRun<'a>],
    /// See the module.
    pub known_since: Option<UtcMicros>,
}

/// What resolving a check's name took at one agent in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsHour<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// The check's id.
    pub check: &'a str,
    /// The hour since 1970.
    pub hour: i64,
    /// The median of the runs' DNS phase.
    pub median_us: u64,
    /// How many runs.
    pub runs: u32,
}

/// What [`super::slow_resolver`] looks at: all agents at once.
#[derive(Debug, Clone)]
pub struct Resolvers<'a> {
    /// Checks that resolve a name by the machine's own resolver, over the last 24 hours that are over.
    pub hours: &'a [DnsHour<'a>],
    /// The agents whose finding is open, and since when.
    pub known: &'a [(&'a str, UtcMicros)],
}

/// How an agent's answers stood to the verdict of the others in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoteHour {
    /// The hour since 1970.
    pub hour: i64,
    /// Answers (`up`, `degraded` or `down`) to checks of which the others had a weighted verdict at that instant.
    pub compared: u32,
    /// Of those, the ones that said another thing: down where they said not, or the other way round.
    pub disagreed: u32,
}

/// What [`super::agent_disagrees`] looks at: one agent.
#[derive(Debug, Clone)]
pub struct AgentVotes<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// Its hours over four weeks, the last one included.
    pub hours: &'a [VoteHour],
    /// Checks that were compared over the last 24 hours.
    pub checks_compared: u32,
    /// Of those, the ones that it disagreed about.
    pub checks_disagreed: u32,
    /// The collector's clock minus the agent's, as measured at the last handshake.
    pub clock_offset_us: Option<i64>,
    /// How far off that may be.
    pub clock_uncertainty_us: u64,
    /// When that was measured.
    pub clock_measured_at: Option<UtcMicros>,
    /// See the module.
    pub known_since: Option<UtcMicros>,
}

/// What became of a check's runs, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunsEver {
    /// Runs of this definition that were `up`.
    pub up: u64,
    /// Those that were `degraded` or `down`.
    pub not_up: u64,
    /// When the first was.
    pub first_at: UtcMicros,
    /// When the last was.
    pub last_at: UtcMicros,
}

/// What [`super::cannot_fail`] looks at.
#[derive(Debug, Clone)]
pub struct Asserted<'a> {
    /// The definition as it is now.
    pub definition: &'a CheckDefinition,
    /// Since when it has been so.
    pub since: UtcMicros,
    /// What became of its runs; `None` where there are none.
    pub runs: Option<RunsEver>,
}

/// An agent that a check is assigned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// Its region.
    pub region: String,
    /// Its weight, in thousandths.
    pub weight: u32,
    /// Whether it, or this check on it, is suspended.
    pub suspended: bool,
}

/// What [`super::coverage_gap`] looks at: who watches a check. Not for `heartbeat`, which no agent runs, nor for a check that is suspended as a whole.
#[derive(Debug, Clone)]
pub struct Coverage<'a> {
    /// The check's id.
    pub check: &'a str,
    /// Whether its class is the critical one.
    pub critical: bool,
    /// Its quorum.
    pub quorum: Quorum,
    /// The agents that it is assigned to.
    pub watchers: &'a [Watcher],
    /// Since when all of this has been so.
    pub since: UtcMicros,
    /// See the module.
    pub known_since: Option<UtcMicros>,
}
