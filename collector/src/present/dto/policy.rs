//! Accounting policies, and figures as they count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_model::accounting::AccountingPolicy;

use super::unknown::CausesView;

/// An accounting policy with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    /// Its id.
    pub id: String,
    /// Whether it is the one that always is there.
    pub built_in: bool,
    /// Its versions, oldest first.
    pub versions: Vec<PolicyVersionView>,
}

/// One version of an accounting policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub policy: AccountingPolicy,
}

/// How a policy counted a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
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
    /// The same by cause; absent in a report of a build that did not tell causes, and of an interval, which has its cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_by_cause: Option<CausesView>,
}

/// How an interval of an explanation counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntervalCountedView {
    /// By which version; `null` where none was in force.
    pub version: Option<u32>,
    /// `up`, `down`, `by_share` or `excluded` within the service hours.
    pub counts: Option<String>,
    /// The seconds.
    pub seconds: CountedSecondsView,
}

/// Asks what a policy would have made of the last 30 days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyTrialBody {
    /// The draft: the keys of a `[[policy]]`.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub policy: AccountingPolicy,
}

/// Two versions of a policy side by side, each over all of the last 30 days. Nothing of it is rewritten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyTrialView {
    /// The version that counts now; `null` where there is none yet and the built-in policy stands in for it.
    pub version: Option<u32>,
    /// Over how many days.
    pub days: i64,
    /// The checks whose figures differ, the greatest loss first.
    pub checks: Vec<PolicyTrialCheckView>,
    /// How many checks come to the same.
    pub same: usize,
    /// How many were not compared, for they weigh less than 500 others.
    pub left_out: usize,
    /// The objectives that count by this policy, by id.
    pub slos: Vec<String>,
}

/// A check that two versions count differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyTrialCheckView {
    /// Its id.
    pub check: String,
    /// As it counts now.
    pub now: TriedView,
    /// By the draft.
    pub draft: TriedView,
}

/// A figure as one version counts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TriedView {
    /// `1 - down / counted`; `null` where nothing counts.
    pub availability: Option<f64>,
    /// Whether the objective was kept; `null` where nothing counts.
    pub met: Option<bool>,
    /// What is left of the error budget, in seconds; below 0 where it is overdrawn.
    pub budget_left_seconds: f64,
}

/// Asks for a report to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlaReportBody {
    /// Its name: a slug that no report has yet.
    pub name: String,
    /// The checks; none: all that counted in the period.
    #[serde(default)]
    pub checks: Vec<String>,
    /// First instant.
    #[serde(default)]
    pub from: Option<String>,
    /// First instant after.
    #[serde(default)]
    pub to: Option<String>,
    /// The policy, like `contract` or `contract@2`; absent: the built-in one.
    #[serde(default)]
    pub policy: Option<String>,
}

/// A stored report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlaReportView {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made: String,
    /// Who made it.
    pub author: String,
    /// The build that made it.
    pub build: String,
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// The policy as it was asked for.
    pub policy: String,
    /// The versions that counted, in order.
    pub terms: Vec<TermView>,
    /// The mean of the checks' availabilities, by the checks' weights.
    pub availability: Option<f64>,
    /// The mean of their completenesses.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1; `null` where a check of the report does not tell causes.
    pub unknown: Option<CausesView>,
    /// The mean of their lower bounds.
    pub lower: Option<f64>,
    /// The mean of their upper bounds.
    pub upper: Option<f64>,
    /// The checks, by id.
    pub checks: Vec<ReportedCheckView>,
}

/// A check in a stored report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedCheckView {
    /// Its id.
    pub check: String,
    /// Its weight at the period's end.
    pub weight: f64,
    /// First instant of the period clipped to its life.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: ReportedView,
    /// What they were made of: SHA-256 of the verdicts, the definitions, the weights and suspensions.
    pub digests: DigestsView,
}

/// Figures as a policy counted them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedView {
    /// `1 - down / counted`.
    pub availability: Option<f64>,
    /// The same where time down and regional costs its share of the votes.
    pub weighted_availability: Option<f64>,
    /// The share of the time within the service hours of which something is known.
    pub completeness: Option<f64>,
    /// Availability if all unknown time was down.
    pub lower: Option<f64>,
    /// Availability if all unknown time was up.
    pub upper: Option<f64>,
    /// Weighted availability if all unknown time was down.
    pub weighted_lower: Option<f64>,
    /// Weighted availability if all unknown time was up.
    pub weighted_upper: Option<f64>,
    /// Whether the objective was kept.
    pub met: Option<bool>,
    /// What the objective allows to be down, in seconds.
    pub budget_seconds: f64,
    /// What is left of it, in seconds.
    pub budget_left_seconds: f64,
    /// The seconds.
    pub seconds: CountedSecondsView,
}

/// Digests, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DigestsView {
    /// Of the verdicts.
    pub verdicts: String,
    /// Of the definitions that were in force.
    pub definitions: String,
    /// Of the weights and suspensions that counted.
    pub control: String,
}

/// A stored report counted again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlaVerificationView {
    /// The report's name.
    pub name: String,
    /// Whether every digit is the same.
    pub same: bool,
    /// Whether its policy, laid out by today's time zone database, would count other instants. The digits above do not depend on it.
    pub hours_moved: bool,
    /// Each check.
    pub checks: Vec<VerifiedCheckView>,
}

/// A check of a report counted again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedCheckView {
    /// Its id.
    pub check: String,
    /// Whether every digit is the same.
    pub same: bool,
    /// The figures as stored.
    pub stored: ReportedView,
    /// The figures now; `null` where the check is gone.
    pub now: Option<ReportedView>,
    /// What changed since: `late_data`, `definitions`, `control`, `verdicts`, `counting`, `gone`.
    pub changed: Vec<String>,
    /// Amendments that are about its time and came since: `sitepulse-collector amendments` tells them.
    pub amendments: usize,
}
