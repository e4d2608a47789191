//! Promises and their error budgets as JSON. Ratios are of 1; times are seconds, exact to the microsecond; nothing measured is `null`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::unknown::CausesView;

/// A service level objective and what became of it so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloView {
    /// Its id.
    pub id: String,
    /// The version of its definition.
    pub version: u32,
    /// For people.
    pub description: String,
    /// The living checks that it covers, by id.
    pub checks: Vec<String>,
    /// The checks and groups that it names and that nothing living answers to.
    pub missing: Vec<String>,
    /// `30d`, `week`, `month` or `quarter`.
    pub period: String,
    /// The zone of a calendar period; `null` is UTC.
    pub zone: Option<String>,
    /// The instant of all figures.
    pub as_of: String,
    /// `ok`, `burning_slow` (a ticket), `burning_fast` (a page), `exhausted` (nothing left) or `unknown` (nothing measured).
    pub state: String,
    /// Why nothing can be told, with the remedy; `outcome` is `null` then.
    pub fault: Option<String>,
    /// All figures.
    pub outcome: Option<OutcomeView>,
}

/// What became of a promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomeView {
    /// The accounting policy's id.
    pub policy: String,
    /// The version of it.
    pub policy_version: u32,
    /// What was promised: `99.9%`.
    pub objective: String,
    /// The same as a ratio.
    pub objective_ratio: f64,
    /// First instant of the period.
    pub from: String,
    /// First instant after it; of a calendar period after `as_of`.
    pub to: String,
    /// Of several checks, the weighted mean.
    pub availability: Option<f64>,
    /// If all that is unknown had been down.
    pub lower: Option<f64>,
    /// If all that is unknown had been up.
    pub upper: Option<f64>,
    /// The share of the time so far for which evidence exists.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    pub unknown: Option<CausesView>,
    /// The time so far that counts; of several checks, the weighted mean.
    pub counted_seconds: f64,
    /// The time of the period that is still to come, within the service hours; 0 of a rolling period.
    pub to_come_seconds: f64,
    /// The error budget.
    pub budget: BudgetView,
    /// How fast it burns, over 1 h, 6 h and 3 d.
    pub burns: Vec<BurnPairView>,
    /// When nothing will be left if it burns on as over `exhausted_by`; `null` where that is not to be expected within the period.
    pub exhausted_at: Option<String>,
    /// The long window that the forecast goes by: the first that speaks, else `3d`.
    pub exhausted_by: String,
}

/// An error budget.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct BudgetView {
    /// What may be bad.
    pub allowed_seconds: Option<f64>,
    /// What was.
    pub used_seconds: Option<f64>,
    /// What is left; below 0 where it is overdrawn.
    pub left_seconds: Option<f64>,
    /// The share that is left; `null` also where nothing was allowed.
    pub left_ratio: Option<f64>,
    /// The same if all that is unknown had been down.
    pub left_ratio_lower: Option<f64>,
    /// The same if all that is unknown had been up.
    pub left_ratio_upper: Option<f64>,
}

/// A long window and its short companion, which speak together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BurnPairView {
    /// The burn rate at which both speak.
    pub threshold: f64,
    /// Whether both reach it.
    pub speaks: bool,
    /// The long window.
    pub long: BurnView,
    /// A twelfth of it.
    pub short: BurnView,
}

/// How fast the budget burns over a window up to `as_of`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BurnView {
    /// The window: `1h`.
    pub window: String,
    /// Times faster than evenly: 1 uses a period's budget up in that period. `null` without evidence, or where nothing is allowed and something was bad.
    pub rate: Option<f64>,
    /// If all that is unknown had been up.
    pub rate_lower: Option<f64>,
    /// If all that is unknown had been down.
    pub rate_upper: Option<f64>,
    /// The share of the window for which evidence exists.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    #[serde(default)]
    pub unknown: Option<CausesView>,
    /// Whether `rate` reaches the threshold.
    pub reached: bool,
}

/// How a budget went, day by day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloHistoryView {
    /// The promise's id.
    pub id: String,
    /// Oldest first; the last one is now.
    pub days: Vec<SloDayView>,
}

/// A budget as it stood at the end of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloDayView {
    /// That end, in the zone of the period.
    pub at: String,
    /// The budget of the period as it was then.
    pub budget: BudgetView,
}
