//! The figures of the KPI banner as JSON. Ratios are of 1; times are seconds; what nothing tells of is `null`, never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::incidents::{IncidentView, OpenNowView};
use super::unknown::CausesView;

/// How things stand, over one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KpiView {
    /// `24h`, `7d` or `30d`.
    pub period: String,
    /// The zone whose calendar days the period counts; `null` is UTC.
    pub zone: Option<String>,
    /// First instant of the period.
    pub from: String,
    /// First instant after it.
    pub to: String,
    /// First instant of the period before, which ends at `from`.
    pub before_from: String,
    /// All checks together.
    pub sla: KpiSlaView,
    /// Open now.
    pub incidents: KpiIncidentsView,
    /// What was left lying.
    pub debt: DebtView,
    /// How long critical incidents took.
    pub response: ResponseView,
    /// The impact score of all checks together; `null` where none has one.
    #[serde(default)]
    pub impact: Option<KpiImpactView>,
}

/// The impact score of all checks together, now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KpiImpactView {
    /// 0 to 100, higher is worse.
    pub score: f64,
    /// `ok`, `warning` or `critical`.
    pub band: String,
    /// The model that it was found by.
    pub model: String,
    /// The signal that adds the most.
    pub dominant: Option<String>,
    /// The critical check that raised it, if one did.
    pub raised_by: Option<String>,
    /// The score at the beginning of the period, as it was kept; `null` where it was not.
    pub before: Option<f64>,
}

/// The availability of all checks, weighted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct KpiSlaView {
    /// Availability.
    pub availability: Option<f64>,
    /// The same in percent, cut to two decimals: what is shown.
    pub percent: Option<f64>,
    /// The share of the period for which evidence exists.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    pub unknown: Option<CausesView>,
    /// With every unknown second as down.
    pub lower: Option<f64>,
    /// With every unknown second as up.
    pub upper: Option<f64>,
    /// Checks of a weight above 0 that lived in the period.
    pub checks: usize,
    /// Those of them with measured time.
    pub measured: usize,
    /// Availability over the period before.
    pub before: Option<f64>,
    /// The same in percent, cut to two decimals.
    pub before_percent: Option<f64>,
    /// Completeness of the period before.
    pub before_completeness: Option<f64>,
    /// Availability of the period before with every unknown second as down.
    pub before_lower: Option<f64>,
    /// With every unknown second as up.
    pub before_upper: Option<f64>,
    /// Points of a percent more than before: the difference of the two percentages as they are shown. `null` where either is.
    pub change_points: Option<f64>,
    /// Whether the figures are still being made, for the collector has just started: all of them are `null` or 0 then.
    #[serde(default)]
    pub pending: bool,
}

/// Incidents that are open now.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct KpiIncidentsView {
    /// How many.
    pub open: u64,
    /// By severity.
    pub by_severity: OpenNowView,
    /// The worst three; of equally bad ones those that are open the longest.
    pub top: Vec<IncidentView>,
}

/// What was left lying, as one number with its terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DebtView {
    /// The sum of the terms that there are.
    pub points: f64,
    /// `ok`, `warning` or `critical`.
    pub level: String,
    /// From here on it is a warning.
    pub warning: f64,
    /// From here on it is critical.
    pub critical: f64,
    /// Whether every term has a source.
    pub complete: bool,
    /// Its terms, in their fixed order.
    pub terms: Vec<DebtTermView>,
}

/// A term of the debt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DebtTermView {
    /// `overdue_jobs`, `failed_jobs`, `open_findings`, `stale_findings`, `overdue_tasks` or `expiring`.
    pub term: String,
    /// What each counts; of overdue jobs the least, theirs grows with their priority.
    pub factor: f64,
    /// How many; `null` where nothing tells of them.
    pub count: Option<u64>,
    /// What they add; `null` where nothing tells of them.
    pub points: Option<f64>,
    /// Which, by name, the first few: checks, deliveries.
    pub named: Vec<String>,
}

/// How long critical incidents took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ResponseView {
    /// The mean from opening to the first acknowledgement, of those acknowledged within the period.
    pub mtta_seconds: Option<f64>,
    /// How many those are.
    pub acknowledged: u32,
    /// The mean from opening to the end, of those that ended within the period.
    pub mttr_seconds: Option<f64>,
    /// How many those are.
    pub resolved: u32,
    /// Those that are still open.
    pub open: u32,
    /// What the MTTR is to stay below.
    pub mttr_target_seconds: f64,
    /// Whether it does; `null` where none ended.
    pub mttr_met: Option<bool>,
    /// The MTTA of the period before.
    pub mtta_before_seconds: Option<f64>,
    /// The MTTR of the period before.
    pub mttr_before_seconds: Option<f64>,
}
