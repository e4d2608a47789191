//! From where on something is a finding. One structure with a part for each detector; the defaults are what `docs/insights.md` says and the benchmark measures.
//!
//! Where there are two thresholds, `_new` is for a finding to come and `_known` for one that is open to stay.

use super::{DAY_US, HOUR_US};

/// All thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// Of latency regressions.
    pub latency_regression: Latency,
    /// Of slow regions.
    pub region_slow: RegionSlow,
    /// Of what expires.
    pub expiry: Expiry,
    /// Of flapping.
    pub flapping: Flapping,
    /// Of failures in common.
    pub correlated_failures: Correlated,
    /// Of the budget's forecast.
    pub budget_forecast: Budget,
    /// Of pages that got worse.
    pub vitals_regression: VitalsShift,
    /// Of slow resolvers.
    pub slow_resolver: Resolver,
    /// Of agents that disagree.
    pub agent_disagrees: Disagrees,
    /// Of what cannot fail.
    pub cannot_fail: Vain,
    /// Of gaps in who watches.
    pub coverage_gap: Uncovered,
}

/// Thresholds of [`super::latency_regression`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// How many times slower is a finding.
    pub ratio_new: f64,
    /// How many times slower keeps one.
    pub ratio_known: f64,
    /// How much slower it must be at least: of what takes 3 ms, 1 ms is nothing.
    pub step_us: u64,
    /// How many times the usual noise of six hours it must be.
    pub noise_times: f64,
    /// For how many hours with runs it must hold.
    pub hold_hours: usize,
    /// From how many times slower on it is critical.
    pub ratio_critical: f64,
    /// Hours with runs that a baseline is of at least: two weeks with gaps.
    pub baseline_hours_min: usize,
    /// Runs that an hour must have to be looked at.
    pub hour_runs_min: u32,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            ratio_new: 1.3,
            ratio_known: 1.1,
            step_us: 5_000,
            noise_times: 5.0,
            hold_hours: 6,
            ratio_critical: 2.5,
            baseline_hours_min: 280,
            hour_runs_min: 3,
        }
    }
}

/// Thresholds of [`super::region_slow`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionSlow {
    /// As in [`Latency`], of the region against the others.
    pub shift: Latency,
    /// The share of the excess from which on one part is named.
    pub part_share: f64,
}

impl Default for RegionSlow {
    fn default() -> Self {
        Self {
            shift: Latency {
                ratio_new: 1.4,
                ratio_known: 1.15,
                step_us: 10_000,
                noise_times: 4.0,
                ..Latency::default()
            },
            part_share: 0.65,
        }
    }
}

/// Thresholds of [`super::expiry`], in microseconds left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// A certificate is told.
    pub certificate_warning_us: i64,
    /// A certificate is critical.
    pub certificate_critical_us: i64,
    /// A registration is told.
    pub domain_warning_us: i64,
    /// A registration is critical.
    pub domain_critical_us: i64,
}

impl Default for Expiry {
    fn default() -> Self {
        Self {
            certificate_warning_us: 14 * DAY_US,
            certificate_critical_us: 3 * DAY_US,
            domain_warning_us: 30 * DAY_US,
            domain_critical_us: 7 * DAY_US,
        }
    }
}

/// Thresholds of [`super::flapping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    /// What is looked at, up to now.
    pub window_us: i64,
    /// Turns within it that are a finding.
    pub turns_new: u32,
    /// Turns within it that keep one.
    pub turns_known: u32,
    /// Turns within half an hour that are a finding.
    pub turns_half_hour: u32,
}

impl Default for Flapping {
    fn default() -> Self {
        Self { window_us: DAY_US, turns_new: 10, turns_known: 4, turns_half_hour: 5 }
    }
}

/// Thresholds of [`super::correlated_failures`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlated {
    /// Begin within so much time of the first, besides the checks' intervals.
    pub within_us: i64,
    /// What is looked at, up to now.
    pub window_us: i64,
    /// Checks that must fail together.
    pub checks_min: usize,
    /// The share of those that share it that must.
    pub share_min: f64,
    /// How likely it may be at most that they began together by chance.
    pub chance_max: f64,
    /// How likely it may be at most that, of all that failed then, so many share it by chance.
    pub shared_chance_max: f64,
}

impl Default for Correlated {
    fn default() -> Self {
        Self {
            within_us: 60_000_000,
            window_us: DAY_US,
            checks_min: 3,
            share_min: 0.5,
            chance_max: 0.001,
            shared_chance_max: 0.05,
        }
    }
}

/// Thresholds of [`super::budget_forecast`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// How many times faster than evenly it must burn: with outages as they come, three days at the rate of 1 to 2 are not rare.
    pub rate_new: f64,
    /// What burns slower than this is no finding any more: at the rate of 1 a budget is never spent early.
    pub rate_known: f64,
    /// The share of each window that must be known.
    pub completeness_min: f64,
    /// How much of the higher rate the lower one must be: what burned in one go an hour ago does not go on.
    pub agreement_min: f64,
    /// Spent within this it is told at all.
    pub told_us: i64,
    /// Spent within this it is critical.
    pub critical_us: i64,
    /// Spent within this it is a warning.
    pub warning_us: i64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            rate_new: 2.0,
            rate_known: 1.0,
            completeness_min: 0.5,
            agreement_min: 0.5,
            told_us: 14 * DAY_US,
            critical_us: DAY_US,
            warning_us: 7 * DAY_US,
        }
    }
}

/// Thresholds of [`super::vitals_regression`]; how much more is beyond also by [`crate::vitals::regression::Rule`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VitalsShift {
    /// Runs that must hold.
    pub runs_min: usize,
    /// Runs that a baseline is of.
    pub baseline_runs_min: usize,
    /// How many times the usual noise of so many runs it must be.
    pub noise_times: f64,
    /// How many times worse is a finding.
    pub ratio_new: f64,
    /// How many times worse keeps one.
    pub ratio_known: f64,
}

impl Default for VitalsShift {
    fn default() -> Self {
        Self { runs_min: 6, baseline_runs_min: 20, noise_times: 5.0, ratio_new: 1.2, ratio_known: 1.05 }
    }
}

/// Thresholds of [`super::slow_resolver`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resolver {
    /// How many times slower is a finding.
    pub ratio_new: f64,
    /// How many times slower keeps one.
    pub ratio_known: f64,
    /// How much slower at least.
    pub step_us: u64,
    /// Hours that must have been compared.
    pub hours_min: usize,
    /// Checks that must have been compared.
    pub checks_min: usize,
    /// The share of hours, and of checks, that must be slow.
    pub share_min: f64,
    /// Other agents that must have asked for the same name.
    pub others_min: usize,
    /// From how much slower on it is a warning.
    pub warning_us: u64,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            ratio_new: 2.0,
            ratio_known: 1.5,
            step_us: 20_000,
            hours_min: 6,
            checks_min: 3,
            share_min: 0.75,
            others_min: 1,
            warning_us: 100_000,
        }
    }
}

/// Thresholds of [`super::agent_disagrees`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagrees {
    /// What counts as recent, up to now.
    pub recent_hours: i64,
    /// The share of disagreement that is a finding.
    pub share_new: f64,
    /// The share that keeps one.
    pub share_known: f64,
    /// The share that is one however usual it is.
    pub share_always: f64,
    /// How many times the usual share it must be.
    pub usual_times: f64,
    /// How many times its own uncertainty it must be above that.
    pub noise_times: f64,
    /// Recent answers that must have been compared.
    pub compared_min: u64,
    /// Checks that it must disagree about: one alone is the check's own affair.
    pub checks_min: u32,
    /// Hours in which it must.
    pub hours_min: usize,
    /// A clock that is off by more is a finding.
    pub clock_new_us: u64,
    /// A clock that is off by more keeps one.
    pub clock_known_us: u64,
}

impl Default for Disagrees {
    fn default() -> Self {
        Self {
            recent_hours: 24,
            share_new: 0.05,
            share_known: 0.02,
            share_always: 0.2,
            usual_times: 3.0,
            noise_times: 4.0,
            compared_min: 100,
            checks_min: 3,
            hours_min: 4,
            clock_new_us: 2_000_000,
            clock_known_us: 1_000_000,
        }
    }
}

/// Thresholds of [`super::cannot_fail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vain {
    /// Runs without a failure before it is said that there was none.
    pub runs_min: u64,
    /// Over so much time.
    pub watched_us_min: i64,
}

impl Default for Vain {
    fn default() -> Self {
        Self { runs_min: 1_000, watched_us_min: 28 * DAY_US }
    }
}

/// Thresholds of [`super::coverage_gap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncovered {
    /// How long it must have been so: who sets something up needs a moment.
    pub settle_us: i64,
}

impl Default for Uncovered {
    fn default() -> Self {
        Self { settle_us: HOUR_US }
    }
}
