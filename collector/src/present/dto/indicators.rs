//! The indicators as JSON. Ratios are of 1, times are seconds; what nothing tells of is `null`, never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The indicators of a period, beside those of the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IndicatorsView {
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
    /// How long incidents took: all of them, then by severity, the worst first.
    pub times: Vec<SeverityTimesView>,
    /// What the MTTR of critical incidents is to stay below.
    pub mttr_target_seconds: f64,
    /// Whether it does; `null` where none ended.
    pub mttr_met: Option<bool>,
    /// How often playbooks were carried out to their end; `null` where no run was ever begun.
    pub playbooks: Option<CompletionView>,
    /// The same by the team of who started the run, as of then; last those that nobody of a team started. Empty where no run ended.
    #[serde(default)]
    pub playbook_teams: Vec<TeamCompletionView>,
    /// Who gets reports by themselves.
    pub reports: ReportsView,
    /// Pages, and what was spared.
    pub noise: NoiseView,
    /// The same in the period before.
    pub noise_before: NoiseView,
}

/// How long the incidents of a severity took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeverityTimesView {
    /// `critical`, `major`, `minor` or `info`; `null` of all.
    pub severity: Option<String>,
    /// The period.
    pub now: TimesOfView,
    /// The period before.
    pub before: TimesOfView,
}

/// How long incidents took in a period.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TimesOfView {
    /// Incidents that opened.
    pub opened: u32,
    /// Incidents that were taken for the first time: the MTTA is a mean over these.
    pub acknowledged: u32,
    /// Incidents that are over since an instant within it: the MTTR is a mean over these.
    pub resolved: u32,
    /// Those of them that nobody ever took.
    pub resolved_untaken: u32,
    /// Incidents that were open at its end.
    pub open: u32,
    /// The mean from opening to the first acknowledgement.
    pub mtta_seconds: Option<f64>,
    /// The mean from opening to the end.
    pub mttr_seconds: Option<f64>,
}

/// How often something was carried out to its end.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CompletionView {
    /// Runs that ended in the period.
    pub ended: u64,
    /// Those that were completed.
    pub completed: u64,
    /// The share of 1; `null` where none ended.
    pub share: Option<f64>,
}

/// How often a team carried something out to its end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TeamCompletionView {
    /// The team; `null`: no team.
    pub team: Option<String>,
    /// The figures.
    #[serde(flatten)]
    pub completion: CompletionView,
}

/// Who gets reports by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReportsView {
    /// Users as code.
    pub users: u64,
    /// Those with a report that goes out by itself.
    pub automated: u64,
    /// Whether this collector has such reports at all.
    pub available: bool,
}

/// How much noise alerting made.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NoiseView {
    /// Pages: messages to a channel by which an incident opened or climbed its ladder.
    pub pages: u64,
    /// The incidents that these were of.
    pub incidents: u64,
    /// Pages per incident; `null` where nobody was paged.
    pub pages_per_incident: Option<f64>,
    /// Pages of which it is known whether they were taken within 5 minutes.
    pub judged: u64,
    /// Those that were.
    pub in_time: u64,
    /// Their share of 1; `null` where none is judged.
    pub in_time_share: Option<f64>,
    /// Pages that nobody got, and why.
    pub spared: SparedView,
}

/// Pages that nobody got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SparedView {
    /// Too few voters saw it.
    pub quorum: u64,
    /// Something that the check hangs on was down.
    pub parent: u64,
    /// It flapped.
    pub flapping: u64,
}

/// A fact that a figure counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CountedView {
    /// The instant by which it belongs to the period.
    pub at: String,
    /// The incident; `null` of a page that was spared before there was one.
    pub incident: Option<String>,
    /// The check, where it is about one.
    pub check: Option<String>,
    /// The incident's kind.
    pub kind: Option<String>,
    /// The incident's severity.
    pub severity: Option<String>,
    /// What the mean is made of.
    pub seconds: Option<f64>,
    /// Of a page: whether it was taken within 5 minutes; `null` while that is not over.
    pub in_time: Option<bool>,
    /// Of a spared page: `quorum`, `parent` or `flapping`.
    pub spared_by: Option<String>,
}
