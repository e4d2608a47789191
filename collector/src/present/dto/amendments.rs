//! The JSON of amendments: what late data changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::present::dto::SecondsView;

/// A page of amendments, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AmendmentsView {
    /// The amendments.
    pub amendments: Vec<AmendmentView>,
    /// What to ask for as `after` to go on; `null` on the last page.
    pub next: Option<String>,
}

/// What late records changed of a check's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AmendmentView {
    /// The check's id.
    pub check: String,
    /// Counts the check's amendments from 1.
    pub number: u64,
    /// When the first of the late records came in.
    pub noted: String,
    /// First instant whose figures were derived again.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Who was late.
    pub late: Vec<LateView>,
    /// The figures of that time without the late records.
    pub before: FiguresView,
    /// The figures of that time with them.
    pub after: FiguresView,
    /// What changed, in order; where it is much, the longest.
    pub changes: Vec<ChangeView>,
    /// How many more changes there were.
    pub changes_more: u64,
}

/// An agent that was late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LateView {
    /// Its name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// How many of its records were late.
    pub records: u64,
    /// How many suspensions, resumptions and weights, given on its machine while it was cut off, were late.
    pub acts: u64,
    /// The first instant they speak of.
    pub first: String,
    /// The last instant they speak of.
    pub last: String,
    /// How old the first one was when the agent began to be late.
    pub behind_seconds: f64,
}

/// Figures of the time that an amendment is about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FiguresView {
    /// `1 - down / measured`.
    pub availability: Option<f64>,
    /// `1 - integral(share_down) / measured`.
    pub weighted_availability: Option<f64>,
    /// `measured / (period - maintenance)`.
    pub completeness: Option<f64>,
    /// Availability if every unknown second was down.
    pub lower: Option<f64>,
    /// Availability if every unknown second was up.
    pub upper: Option<f64>,
    /// Weighted availability if every unknown second was down.
    #[serde(default)]
    pub weighted_lower: Option<f64>,
    /// Weighted availability if every unknown second was up.
    #[serde(default)]
    pub weighted_upper: Option<f64>,
    /// Seconds of each verdict.
    pub seconds: SecondsView,
}

/// Time of which something else is told than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Its length.
    pub seconds: f64,
    /// What was told.
    pub before: ToldView,
    /// What is told.
    pub after: ToldView,
}

/// What is told of a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToldView {
    /// `up`, `degraded`, `regional`, `down`, `unknown` or `maintenance`.
    pub verdict: String,
    /// Why nothing is known, where nothing is.
    pub unknown_cause: Option<String>,
    /// Share of the live votes that are down, where anybody is.
    pub share_down: Option<f64>,
}

/// That late data changed figures of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AmendedView {
    /// How many amendments are about some of it.
    pub count: usize,
    /// When the newest of them was noted.
    pub noted: String,
}
