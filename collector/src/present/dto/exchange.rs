//! What `import` sends and hears.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exchange::{Histories, Row};

/// `POST /api/v1/import`: histories first, records after them.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportBody {
    /// What the records' checks and agents were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub histories: Option<Histories>,
    /// Records, as lines of an export have them.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub records: Vec<Row>,
}

/// What became of it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ImportView {
    /// Checks that were not known.
    pub checks: usize,
    /// Agents that were not known.
    pub agents: usize,
    /// Events that were not known.
    pub events: usize,
    /// Policies, maintenance windows, users, schedules, channels and escalations that were not known.
    pub objects: usize,
    /// Records that are new.
    pub stored: u64,
    /// Records that were known.
    pub known: u64,
    /// Records that were refused.
    pub refused: Vec<RefusedView>,
    /// Records that the marks have no room for: too many gaps lie between them.
    pub without_place: u64,
}

/// A record that was refused.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RefusedView {
    /// Which one, from 0.
    pub index: usize,
    /// Why.
    pub why: String,
}
