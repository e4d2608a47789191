//! Impact scores as JSON. Points are 0 to 100 with two decimals, and add up; what has no data is `null`, never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_model::impact::model::ScoringModel;

/// Scores of checks, of their groups and of all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpactsView {
    /// The instant of the newest score.
    pub as_of: String,
    /// The model that they were found by: `built-in@1`, `default@3`.
    pub model: String,
    /// As the agents of this region alone saw it; `null`: as all did.
    #[serde(default)]
    pub region: Option<String>,
    /// All checks together; `null` where one group was asked for.
    pub whole: Option<ImpactTogetherView>,
    /// The groups that have a score, the worst first.
    pub groups: Vec<ImpactTogetherView>,
    /// What each region sees, the worst first; empty where one group or one region was asked for; of another instant those that are stored.
    #[serde(default)]
    pub regions: Vec<ImpactTogetherView>,
    /// The checks, the worst first; those without a score last.
    pub checks: Vec<ImpactView>,
}

/// The score of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpactView {
    /// The check.
    pub check: String,
    /// Its group.
    pub group: Option<String>,
    /// How much it counts in groups.
    pub weight: f64,
    /// `critical`, `standard` or `low`.
    pub class: String,
    /// 0 to 100, higher is worse; the sum of the contributions' points.
    pub score: Option<f64>,
    /// `ok`, `warning` or `critical`.
    pub band: Option<String>,
    /// The model that it was found by.
    pub model: String,
    /// When it was found; of a stored one the hour's beginning.
    pub at: String,
    /// `now`; of another instant `stored` where it is told as it was written down in that hour, with what added something, and `evidence` where it was found again from the evidence
    /// as it is known today.
    #[serde(default)]
    pub basis: String,
    /// The signal that adds the most; `null` where nothing adds anything.
    pub dominant: Option<String>,
    /// The same as a sentence.
    pub reason: ReasonView,
    /// Every signal that has data; of a stored score those that added something.
    pub contributions: Vec<ContributionView>,
}

/// A sentence in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReasonView {
    /// English.
    pub en: String,
    /// French.
    pub fr: String,
}

/// What a signal adds to a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContributionView {
    /// `availability`, `latency`, `web_vitals` or `insights`.
    pub module: String,
    /// `weighted_availability`, `recurrence`, `latency_p95`, `latency_regression`, `lcp`, `inp`, `tbt`, `cls`, `open_findings` or `stale_findings`.
    pub signal: String,
    /// What was found. Availability and regression are ratios, p95 is in budgets, vitals are in milliseconds (CLS: its score).
    pub value: f64,
    /// Where it begins to count.
    pub warning: f64,
    /// Where it counts in full.
    pub critical: f64,
    /// Its weight beside the others that have data: all of them are 1.
    pub weight: f64,
    /// What it adds.
    pub points: f64,
}

/// The score of several checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpactTogetherView {
    /// The group; `null` of all checks.
    pub group: Option<String>,
    /// The region that sees it so; `null`: all of them together.
    #[serde(default)]
    pub region: Option<String>,
    /// 0 to 100: the sum of the contributions' points, and of what it was raised by.
    pub score: f64,
    /// As of a check.
    #[serde(default)]
    pub basis: String,
    /// `ok`, `warning` or `critical`.
    pub band: String,
    /// The weighted mean of the checks' scores.
    pub mean: f64,
    /// The worst check of the class `critical`, where that raised the score.
    pub raised: Option<RaisedView>,
    /// Checks of a weight above 0.
    pub checks: usize,
    /// Those of them with a score.
    pub scored: usize,
    /// The signal that adds the most.
    pub dominant: Option<String>,
    /// What each signal adds.
    pub contributions: Vec<ShareView>,
}

/// What raised a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RaisedView {
    /// Which check.
    pub check: String,
    /// By how much.
    pub points: f64,
}

/// What a signal adds to the score of several checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareView {
    /// See [`ContributionView`].
    pub module: String,
    /// See [`ContributionView`].
    pub signal: String,
    /// What it adds.
    pub points: f64,
}

/// The score of a check, and what it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpactDetailView {
    /// As in the list.
    #[serde(flatten)]
    pub impact: ImpactView,
    /// What it was, hour by hour, oldest first; hours without a score are missing.
    pub history: Vec<ImpactHourView>,
    /// As each region sees it, the worst first; those that have no score are missing.
    #[serde(default)]
    pub regions: Vec<RegionImpactView>,
}

/// A check's score as the agents of a region alone saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionImpactView {
    /// The region.
    pub region: String,
    /// The score.
    #[serde(flatten)]
    pub impact: ImpactView,
}

/// What a score was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpactHistoryView {
    /// The check; `null` of several.
    pub check: Option<String>,
    /// The group.
    pub group: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Hour by hour, oldest first; hours without a score are missing.
    pub hours: Vec<ImpactHourView>,
}

/// Where an incident stands in the queue, and why: severity first, then the score of the check it is about, then age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankView {
    /// Its place among all that are not over, from 1 on.
    pub position: usize,
    /// Where it would be by severity and age alone.
    pub by_age: usize,
    /// The impact score of its check; `null` where it is about none, or that has none.
    pub score: Option<f64>,
    /// Whether the score raised or lowered it, as a sentence.
    pub reason: ReasonView,
}

/// A score as it was found in an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpactHourView {
    /// The hour.
    pub at: String,
    /// The score.
    pub score: f64,
    /// The model that it was found by.
    pub model: String,
}

/// A model to try.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialBody {
    /// The model.
    #[schemars(with = "serde_json::Value")]
    pub model: ScoringModel,
    /// Of when; now where nothing is said.
    #[serde(default)]
    pub at: Option<String>,
    /// This check alone, day by day over the look-back.
    #[serde(default)]
    pub check: Option<String>,
    /// Of all checks together so many days too, 1 to 28; 1 where nothing is said.
    #[serde(default)]
    pub days: Option<u32>,
}

/// What another model would say of the same evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialView {
    /// The model in force then.
    pub model: String,
    /// Checks with a score by either.
    pub checks: usize,
    /// Scores that change their band.
    pub moved: usize,
    /// All checks together, by the model in force and by the other; `null` of one check.
    pub whole: Option<TrialRowView>,
    /// The same day by day, the oldest first, as far as was asked.
    #[serde(default)]
    pub days: Vec<TrialRowView>,
    /// Of all checks those whose score changes, the greatest change first; of one check every day.
    pub rows: Vec<TrialRowView>,
}

/// A score by two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRowView {
    /// The check; `null` of all together.
    pub check: Option<String>,
    /// The instant.
    pub at: String,
    /// By the model in force.
    pub before: Option<f64>,
    /// Its band.
    pub band_before: Option<String>,
    /// By the other.
    pub after: Option<f64>,
    /// Its band.
    pub band_after: Option<String>,
}
