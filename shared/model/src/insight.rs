//! Insights: what the evidence says that no single result says. A detector is a pure function of histories; what it finds has a kind, a subject, a severity, a
//! confidence and the evidence it was found by.
//!
//! Nothing here learns, guesses or writes prose: the same history gives the same findings, and a finding's words are made of its evidence, in each language.
//!
//! Reading order: [`found`] is what a detector hands back, [`input`] what it is handed, [`thresholds`] from where on something is a finding. Then one module a detector, each with a
//! function `find(&input, &thresholds, now)` that hands back none, one (`Option<Found>`) or several (`Vec<Found>`: region_slow, correlated_failures, slow_resolver,
//! cannot_fail). What a detector does not hand back is not so, or cannot be told: a finding of it that is open closes.

pub mod found;
pub mod input;
pub mod thresholds;

mod robust;
mod shift;

pub mod agent_disagrees;
pub mod budget_forecast;
pub mod cannot_fail;
pub mod correlated_failures;
pub mod coverage_gap;
pub mod expiry;
pub mod flapping;
pub mod latency_regression;
pub mod region_slow;
pub mod slow_resolver;
pub mod vitals_regression;

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// An hour, in microseconds.
pub(crate) const HOUR_US: i64 = 3_600_000_000;
/// A day, in microseconds.
pub(crate) const DAY_US: i64 = 24 * HOUR_US;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Runs take longer than this hour of the week used to, since a point in time.
    LatencyRegression,
    /// One region is slower than the others, by its network or by the server.
    RegionSlow,
    /// A certificate or a domain's registration ends soon.
    Expiry,
    /// The verdict turns again and again.
    Flapping,
    /// Checks that share something fail together.
    CorrelatedFailures,
    /// At the present rate an error budget will be spent before its period ends.
    BudgetForecast,
    /// A page got worse, and what made it.
    VitalsRegression,
    /// Names take long to resolve where an agent is.
    SlowResolver,
    /// An agent sees what no other sees: its network, or its clock.
    AgentDisagrees,
    /// An assertion that nothing could break.
    CannotFail,
    /// Something is watched by too few, or not at all.
    CoverageGap,
}

impl Kind {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 11] = [
        Self::LatencyRegression,
        Self::RegionSlow,
        Self::Expiry,
        Self::Flapping,
        Self::CorrelatedFailures,
        Self::BudgetForecast,
        Self::VitalsRegression,
        Self::SlowResolver,
        Self::AgentDisagrees,
        Self::CannotFail,
        Self::CoverageGap,
    ];

    /// The stable text: `region_slow`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LatencyRegression => "latency_regression",
            Self::RegionSlow => "region_slow",
            Self::Expiry => "expiry",
            Self::Flapping => "flapping",
            Self::CorrelatedFailures => "correlated_failures",
            Self::BudgetForecast => "budget_forecast",
            Self::VitalsRegression => "vitals_regression",
            Self::SlowResolver => "slow_resolver",
            Self::AgentDisagrees => "agent_disagrees",
            Self::CannotFail => "cannot_fail",
            Self::CoverageGap => "coverage_gap",
        }
    }

    /// The kind of a stable text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// To be mended.
    Warning,
    /// To be mended now.
    Critical,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The stable text: `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a finding is about: with its kind it is what the finding is known by, so that the same finding of tomorrow is the same finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A check, and which part of it where it has several: a region, a vital, an assertion.
    Check {
        /// Its id.
        check: String,
        /// `region:paris`, `vital:lcp`, `assertion:2`; empty: all of it.
        part: String,
    },
    /// An agent.
    Agent {
        /// Its name.
        agent: String,
    },
    /// A service level objective.
    Objective {
        /// Its id.
        slo: String,
    },
    /// Something that several checks share: `address:192.0.2.1`, `certificate:SHA256`, `provider:ovh`, `parent:gateway`.
    Shared {
        /// What, with its kind before the colon.
        what: String,
    },
}

/// How sure a detector is, in thousandths: 950 is 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(pub u16);
