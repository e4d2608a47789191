//! Maintenance windows: which checks, when, once or again and again.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A maintenance window, as it is written as code: a `[[maintenance]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// Its id: a slug.
    pub id: String,
    /// The checks it covers, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// The groups it covers: all of their checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The tags it covers: all checks that have one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it begins for the first time: RFC 3339, or a wall time where `zone` says whose.
    pub from: String,
    /// How long it lasts each time, as a duration (`2h`).
    pub lasts: String,
    /// The IANA time zone in which it recurs; UTC where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How it recurs, as an RRULE of RFC 5545; once where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrule: Option<String>,
}
