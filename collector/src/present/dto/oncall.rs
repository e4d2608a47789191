//! Users, schedules, escalation policies: who is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_model::oncall::Schedule;
use sitepulse_model::user::QuietHours;

/// A user, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserName {
    /// The id.
    pub id: String,
    /// What people call them.
    pub name: String,
}

/// Why somebody is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ByView {
    /// `layer`, `override` (written as code) or `on_the_spot`.
    pub kind: String,
    /// Which, from 1.
    pub number: u32,
}

/// A stretch of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShiftView {
    /// Who is on call; `null`: nobody.
    pub user: Option<UserName>,
    /// Why.
    pub by: Option<ByView>,
    /// Since when; `null`: for longer than 800 days.
    pub from: Option<String>,
    /// Until when; `null`: for longer than 800 days.
    pub until: Option<String>,
}

/// Who is on call by a schedule at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnCallView {
    /// The schedule's id.
    pub schedule: String,
    /// The zone whose wall clock counts.
    pub zone: String,
    /// The instant.
    pub at: String,
    /// Whose shift it is, and how long.
    #[serde(flatten)]
    pub shift: ShiftView,
    /// The next shift in which somebody is on call; where it does not follow at once, nobody is in between.
    pub next: Option<ShiftView>,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleView {
    /// Its id.
    pub id: String,
    /// Its version, and since when that counts.
    pub version: u32,
    /// Since when this version counts.
    pub since: String,
    /// As it was written.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub schedule: Schedule,
    /// Overrides that were given on the spot and are not over.
    pub on_the_spot: Vec<OverrideView>,
    /// Who is on call now.
    pub on_call: OnCallView,
}

/// A calendar: contiguous stretches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarView {
    /// The schedule's id.
    pub schedule: String,
    /// The zone whose wall clock counts.
    pub zone: String,
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Who is on call when; nobody where `user` is `null`.
    pub shifts: Vec<ShiftView>,
}

/// An override that was given on the spot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OverrideView {
    /// The schedule's id.
    pub schedule: String,
    /// Its number.
    pub number: u32,
    /// Who stands in.
    pub user: UserName,
    /// `past`, `now` or `coming`.
    pub state: String,
    /// First instant.
    pub from: String,
    /// First instant after; earlier than it was given where it was taken back.
    pub to: String,
    /// When it was given.
    pub given: String,
    /// By whom.
    pub author: String,
    /// When it was taken back.
    pub ended: Option<String>,
    /// By whom.
    pub ended_by: Option<String>,
}

/// Gives an override.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideBody {
    /// Who stands in, by id.
    pub user: String,
    /// First instant, or a time on the wall of the schedule's zone; now where there is none.
    #[serde(default)]
    pub from: Option<String>,
    /// First instant after, likewise.
    pub to: String,
}

/// Asks for a calendar's address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedBody {
    /// Of one user alone.
    #[serde(default)]
    pub user: Option<String>,
    /// Makes every address of the schedule void that was given before.
    #[serde(default)]
    pub rotate: bool,
}

/// A calendar's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeedView {
    /// The whole address; `null` where no server runs.
    pub url: Option<String>,
    /// Its path.
    pub path: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserView {
    /// The id.
    pub id: String,
    /// What people call them.
    pub name: String,
    /// Their address.
    pub email: Option<String>,
    /// The channels they are told by.
    pub notify: Vec<String>,
    /// The language they read.
    pub language: Option<String>,
    /// The zone they live by.
    pub zone: Option<String>,
    /// The team they belong to.
    #[serde(default)]
    pub team: Option<String>,
    /// When they want to rest.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub quiet: Option<QuietHours>,
    /// Until when they rest now.
    pub quiet_until: Option<String>,
    /// The schedules by which they are on call now.
    pub on_call: Vec<String>,
}

/// An escalation policy, and whom it would tell now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscalationView {
    /// The id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Whether it is that of all incidents that name none.
    pub default: bool,
    /// How often the levels are gone through again.
    pub repeat: u32,
    /// How long an acknowledgement keeps it still.
    pub ack_pause: String,
    /// The severity that `levels` are told for.
    pub severity: String,
    /// Whom to tell, in order.
    pub levels: Vec<LevelView>,
}

/// A level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LevelView {
    /// How long after the incident opened.
    pub after: String,
    /// Incidents less severe than this pass it by.
    pub at_least: Option<String>,
    /// Whether an incident of this severity passes it by.
    pub passed_by: bool,
    /// Whom.
    pub targets: Vec<TargetView>,
}

/// Where a target leads now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetView {
    /// As it was written.
    pub target: String,
    /// The channels.
    pub reaches: Vec<ReachView>,
    /// What cannot be told, and why.
    pub unreached: Vec<String>,
}

/// A channel that a target leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReachView {
    /// The channel.
    pub channel: String,
    /// Whose; `null`: it was named itself.
    pub user: Option<UserName>,
    /// Until when quiet hours would hold the message back.
    pub held_until: Option<String>,
}
