//! Accounting policies, and figures as they count.

use serde::{Deserialize, Serialize};
use sitepulse_model::accounting::AccountingPolicy;

/// An accounting policy with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its id.
    pub id: String,
    /// Whether it is the one that always is there.
    pub built_in: bool,
    /// Its versions, oldest first.
    pub versions: Vec<PolicyVersionView>,
}

/// One version of an accounting policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersionView {
    /// Counts from 1.
    pub version: u32,
    /// From when it is in force; `null` is always.
    pub from: Option<String>,
    /// Until when; `null` is until it is changed.
    pub to: Option<String>,
    /// Whether the policy ends here: nothing is counted from then on.
    pub retired: bool,
    /// Who applied it.
    pub author: String,
    /// What it says, as it is written.
    pub policy: AccountingPolicy,
}

/// How a policy counted a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountedView {
    /// The policy's id.
    pub id: String,
    /// The version that was asked for; `null` is each in its own time.
    pub version: Option<u32>,
    /// The versions that counted, in order.
    pub terms: Vec<TermView>,
    /// What was promised; `null` where versions promise different things, or none was in force.
    pub objective: Option<String>,
    /// Whether it was kept; `null` where nothing counts.
    pub met: Option<bool>,
    /// Seconds as they count.
    pub seconds: CountedSecondsView,
    /// What the objective allows to be down, in seconds.
    pub budget_seconds: f64,
    /// What is left of it, in seconds; below 0 where it is overdrawn.
    pub budget_left_seconds: f64,
}

/// A stretch of time counted by one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermView {
    /// The version.
    pub version: u32,
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// What it promises.
    pub objective: String,
}

/// Seconds as a policy counts them: `counted + excluded + outside` is the period.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CountedSecondsView {
    /// What counts.
    pub counted: f64,
    /// Of it down.
    pub down: f64,
    /// What does not count for its kind.
    pub excluded: f64,
    /// What lies outside the service hours, or in no version's time.
    pub outside: f64,
    /// Within the service hours, of what nothing is known, whether it counts or not.
    pub unknown: f64,
}

/// How an interval of an explanation counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntervalCountedView {
    /// By which version; `null` where none was in force.
    pub version: Option<u32>,
    /// `up`, `down`, `by_share` or `excluded` within the service hours.
    pub counts: Option<String>,
    /// The seconds.
    pub seconds: CountedSecondsView,
}
