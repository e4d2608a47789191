//! Service level objectives: what was promised for a check or a group, over which period, counted by which accounting policy.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A service level objective, as it is written as code: an `[[slo]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Its id: a slug.
    pub id: String,
    /// The checks it covers, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// The groups it covers: all of their checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The accounting policy's id; the default policy where there is none. Its objective is what was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The rolling period, as a duration (`30d`).
    #[serde(default = "Slo::period_default")]
    pub period: String,
}

impl Slo {
    fn period_default() -> String {
        String::from("30d")
    }
}
