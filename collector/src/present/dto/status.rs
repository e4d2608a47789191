//! Status pages as the API and the command line list them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A status page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusPageView {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// What it is called.
    pub title: String,
    /// Where people reach it.
    pub url: String,
    /// `up`, `degraded`, `partial`, `down`, `maintenance` or `unknown`.
    pub state: String,
    /// Whether of a part of it nothing is known.
    pub partly_unknown: bool,
    /// As of when its figures are.
    pub as_of: String,
    /// What it shows, in order.
    pub items: Vec<StatusItemView>,
    /// How many incidents it tells of that are not over.
    pub incidents_open: usize,
    /// Who is told of it by mail; `null` where nobody can subscribe.
    #[serde(default)]
    pub subscriptions: Option<SubscriptionsView>,
}

/// The subscriptions of a page. No address is ever told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionsView {
    /// Who confirmed.
    pub confirmed: u64,
    /// Who asked within 48 hours and has not confirmed.
    pub asking: u64,
    /// Mails that are not delivered yet.
    pub mails_waiting: u64,
    /// Mails of the last 7 days that were given up.
    pub mails_given_up: u64,
}

/// An item of a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusItemView {
    /// The heading that it stands below.
    pub group: String,
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// As of a page.
    pub state: String,
    /// Whether of a part of it nothing is known.
    pub partly_unknown: bool,
    /// The checks that it stands for now, by id; the page never tells them.
    pub checks: Vec<String>,
    /// Availability over the last 90 days as the public is told it; `null` where nothing was measured.
    pub availability: Option<f64>,
    /// For which share of that time there is evidence.
    pub completeness: Option<f64>,
    /// The availability if all unknown time had been down.
    pub lower: Option<f64>,
    /// And if all of it had been up.
    pub upper: Option<f64>,
}
