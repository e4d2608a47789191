//! The JSON of findings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::impact::ReasonView;

/// A finding, as lists tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FindingView {
    /// Its id.
    pub id: String,
    /// `latency_regression`, `region_slow`, `expiry`, `flapping`, `correlated_failures`, `budget_forecast`, `vitals_regression`, `slow_resolver`, `agent_disagrees`,
    /// `cannot_fail` or `coverage_gap`.
    pub kind: String,
    /// The check's id, where it is about one.
    pub check: Option<String>,
    /// Which part of the check, where it has several: `region:paris`, `vital:lcp`, `certificate`; empty: all of it.
    pub part: String,
    /// The agent's name, where it is about one.
    pub agent: Option<String>,
    /// The objective's id, where it is about one.
    pub slo: Option<String>,
    /// What several checks share, where it is about that: `address:192.0.2.1`.
    pub shared: Option<String>,
    /// The checks that it counts for.
    pub checks: Vec<String>,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// `open`, `acknowledged` or `closed`.
    pub state: String,
    /// Whether it is open and nobody touched it for five days.
    pub stale: bool,
    /// How sure the detector is, 0 to 1.
    pub confidence: f64,
    /// Since when it has been so, by the evidence.
    pub since: String,
    /// When it was found first.
    pub opened_at: String,
    /// When a look found it last.
    pub seen_at: String,
    /// Since when looks do not find it; `null` where the last one did.
    pub missing_since: Option<String>,
    /// When it was over.
    pub closed_at: Option<String>,
    /// How often it was open again.
    pub reopened: u32,
    /// Who knows of it, and why it may stay.
    pub acknowledged: Option<AcknowledgedView>,
    /// What was found, made of the evidence.
    pub sentence: ReasonView,
}

/// Who knows of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcknowledgedView {
    /// Since when.
    pub at: String,
    /// Who.
    pub by: String,
    /// Why it may stay, or what is done about it.
    pub note: String,
}

/// All of a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FindingDetailView {
    /// As lists tell it.
    #[serde(flatten)]
    pub finding: FindingView,
    /// What it was found by, in whole numbers with their unit in the name: `_us` microseconds, `_per_mille` thousandths. By kind, see docs/insights.md.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub evidence: serde_json::Value,
    /// What happened, the oldest first.
    pub history: Vec<FindingEntryView>,
    /// What a service made of it, where one is configured: nothing that counts is in it.
    pub wording: Option<WordingView>,
    /// Where the console shows what it is made of.
    pub links: Vec<PlaceView>,
}

/// A row of a finding's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingEntryView {
    /// Counts from 1.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who; `evidence` where nobody did.
    pub author: String,
    /// `opened`, `reopened`, `severity`, `acknowledged`, `outgrown`, `taken_back`, `closed` or `gone`.
    pub action: String,
    /// Of `opened`, `reopened` and `severity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Of `acknowledged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A paragraph that a service wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WordingView {
    /// What wrote it, as the service is asked for it.
    pub model: String,
    /// `en` or `fr`.
    pub language: String,
    /// When.
    pub at: String,
    /// What it wrote: text, whatever it looks like.
    pub text: String,
}

/// A place in the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlaceView {
    /// `check`, `latency`, `explain`, `incidents`, `objective`, `agent` or `definition`.
    pub to: String,
    /// The address, from the console's on.
    pub href: String,
}

/// What an acknowledgement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeBody {
    /// Why it may stay, or what is done about it: 1 to 1,000 characters.
    pub note: String,
}
