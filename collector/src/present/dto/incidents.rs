//! The JSON of incidents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::impact::RankView;
use super::oncall::TargetView;
use crate::alert::evidence::Evidence;

/// An incident, as lists tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentView {
    /// Its id.
    pub id: String,
    /// The check's id, where it is about one; of a manual incident the one that was named.
    pub check: Option<String>,
    /// The agent's name, where it is about one.
    pub agent: Option<String>,
    /// The objective's id, where it is about one.
    pub slo: Option<String>,
    /// `down`, `regional`, `degraded`, `agent_silent`, `certificate`, `web_vitals`, `slo_burn` or `manual`.
    pub kind: String,
    /// `suspected`, `open`, `acknowledged` or `resolved`.
    pub state: String,
    /// `critical`, `major`, `minor` or `info`: the most it ever was.
    pub severity: String,
    /// What a manual incident is called.
    pub title: Option<String>,
    /// Since when the evidence is bad: the first failing result.
    pub since: String,
    /// When it was confirmed; `null` of a suspicion.
    pub opened_at: Option<String>,
    /// When it was taken; `null` where that expired or it opened again.
    pub acknowledged_at: Option<String>,
    /// By whom.
    pub acknowledged_by: Option<String>,
    /// When it was over.
    pub resolved_at: Option<String>,
    /// Who said so; `null`: the evidence.
    pub resolved_by: Option<String>,
    /// Whether it flaps.
    pub flapping: bool,
    /// How often it opened again.
    pub reopened: u32,
    /// Who works on it.
    pub assignee: Option<String>,
    /// What its pages wait for, if anything.
    pub held: Option<HeldView>,
    /// From `since` until it was over, or until now, in seconds.
    pub duration_seconds: f64,
    /// Its place in the queue; `null` of one that is over.
    #[serde(default)]
    pub rank: Option<RankView>,
}

/// What keeps an incident's pages still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldView {
    /// `maintenance`, `silence` or `parent`.
    pub reason: String,
    /// Since when.
    pub since: String,
}

/// All of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentDetailView {
    /// As lists tell it.
    #[serde(flatten)]
    pub incident: IncidentView,
    /// When it was suspected.
    pub suspected_at: String,
    /// When somebody took it for the first time.
    pub first_acknowledged_at: Option<String>,
    /// Until when an acknowledgement keeps the ladder still.
    pub paused_until: Option<String>,
    /// The escalation policy that applies now; `null`: nobody is told.
    pub escalation: Option<String>,
    /// When the next step of the ladder is due, if it is.
    pub next_step_at: Option<String>,
    /// Whom that step tells, as it stands now; `null`: no step is to come.
    #[serde(default)]
    pub next: Option<NextView>,
    /// The channels that were told of it.
    pub told: Vec<String>,
    /// What was learned.
    pub post_mortem: Option<String>,
    /// What was known when it opened, got worse, and ended; the newest last.
    pub evidence: Vec<EvidenceView>,
    /// What happened, the oldest first.
    pub history: Vec<EntryView>,
    /// The messages, by step and channel.
    pub messages: Vec<MessageView>,
    /// Whether the history is as it was written.
    pub integrity: IntegrityView,
}

/// A step of the ladder that is to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextView {
    /// When: that of `next_step_at`, or later where the levels until then are passed by.
    pub at: String,
    /// The level, from 1.
    pub level: u32,
    /// The round, from 1.
    pub round: u32,
    /// Where its targets lead now.
    pub targets: Vec<TargetView>,
}

/// What was known at a turn of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceView {
    /// The entry of the history that holds it.
    pub entry: u64,
    /// When.
    pub at: String,
    /// What.
    #[serde(flatten)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub evidence: Evidence,
}

/// A row of an incident's history. Fields that an action does not have are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryView {
    /// Counts from 1.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who: `collector:cli`, `channel:ID`, ...; `evidence` where nobody did.
    pub author: String,
    /// `opened`, `reopened`, `severity`, `flapping`, `settled`, `held`, `released`, `acknowledged`, `acknowledgement_expired`, `resolved`, `step`, `let_through`,
    /// `message_cancelled`, `message_taken_up`, `evidence`, `comment`, `assigned`, `post_mortem`; `unreadable` where the row is damaged.
    pub action: String,
    /// Of `opened` and `severity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Of `held`: `maintenance`, `silence` or `parent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `acknowledged`, `resolved` and `reopened`: who, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Of `step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepView>,
    /// Of `comment`, `assigned` (to whom) and `post_mortem`; of `let_through` the channels; of a message that somebody took back
    /// or took up again its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of a message that somebody took back or took up again: its step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_step: Option<u32>,
    /// Whether it and all before it are as they were written.
    pub intact: bool,
    /// SHA-256 over the entry before and this one, as hexadecimal digits.
    pub hash: String,
}

/// A step of an incident: who was told what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepView {
    /// Its number.
    pub number: u32,
    /// `opened`, `escalated`, `acknowledged` or `resolved`.
    pub event: String,
    /// The level of the ladder, from 1; `null`: whoever was told before.
    pub level: Option<u32>,
    /// The round of the ladder, from 1.
    pub round: u32,
    /// The channels that are told.
    pub channels: Vec<String>,
    /// What could not be told, and why.
    pub unreached: Vec<String>,
    /// Those of the channels whose message quiet hours hold back, and until when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, String>,
    /// Messages of earlier steps that were still held back and go out no more: the channel, and the step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withdrawn: BTreeMap<String, u32>,
}

/// A message and where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageView {
    /// The step that it tells of.
    pub step: u32,
    /// The channel's id.
    pub channel: String,
    /// `opened`, `escalated`, `acknowledged` or `resolved`.
    pub event: String,
    /// `due`, `leased`, `delivered`, `given_up`, or `withdrawn`: somebody took it back before it went out.
    pub state: String,
    /// When the step was.
    pub created: String,
    /// When it is tried next, where it waits.
    pub due: Option<String>,
    /// The same in every attempt: `INCIDENT/STEP/CHANNEL`.
    pub key: String,
    /// Every attempt, the oldest first.
    pub deliveries: Vec<DeliveryView>,
}

/// An attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    /// Counts from 1.
    pub attempt: u32,
    /// When it began.
    pub at: String,
    /// How long it took.
    pub seconds: f64,
    /// `delivered`, `again` or `given_up`.
    pub outcome: String,
    /// What the provider said.
    pub note: String,
}

/// Whether a history is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntegrityView {
    /// Whether it is.
    pub intact: bool,
    /// The first entry that is not, or that is missing; `null` where all are.
    pub broken_at: Option<u64>,
    /// What is wrong.
    pub fault: Option<String>,
    /// How many entries there are.
    pub entries: u64,
    /// The hash of the newest entry, as hexadecimal digits: noted elsewhere, it shows later whether anything before it was changed.
    pub head: Option<String>,
}

/// An incident that somebody opens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenBody {
    /// What it is called.
    pub title: String,
    /// A check that it has to do with: its escalation policy is used.
    #[serde(default)]
    pub check: Option<String>,
    /// `critical`, `major`, `minor` or `info`.
    #[serde(default)]
    pub severity: Option<String>,
}

/// A silence that somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceBody {
    /// Checks by id.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Groups of checks.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Tags of checks.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Agents by name: incidents about the agents themselves.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Everything, with no names beside it.
    #[serde(default)]
    pub everything: bool,
    /// First instant; absent: now.
    #[serde(default)]
    pub from: Option<String>,
    /// First instant after; at most 90 days later.
    pub until: String,
    /// Why.
    pub reason: String,
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilenceView {
    /// Its id.
    pub id: String,
    /// `planned`, `active`, `over`, or `ended` before its time.
    pub state: String,
    /// Checks by id.
    pub checks: Vec<String>,
    /// Groups of checks.
    pub groups: Vec<String>,
    /// Tags of checks.
    pub tags: Vec<String>,
    /// Agents by name.
    pub agents: Vec<String>,
    /// Everything.
    pub everything: bool,
    /// First instant.
    pub from: String,
    /// First instant after.
    pub until: String,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub author: String,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
}

/// How many incidents there were in a period, and how long they took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SummaryView {
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Of every severity.
    pub all: TimesView,
    /// Of the critical ones.
    pub critical: TimesView,
    /// Those open or acknowledged now, of those that the period is about.
    pub open_now: OpenNowView,
}

/// Counts and means of incidents in a period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimesView {
    /// Opened within it.
    pub opened: u32,
    /// Taken for the first time within it.
    pub acknowledged: u32,
    /// Over since an instant within it.
    pub resolved: u32,
    /// Of these the ones that nobody ever took.
    pub resolved_untaken: u32,
    /// Not over at its end.
    pub open: u32,
    /// The mean from opening to the first acknowledgement; `null` where none was taken.
    pub mtta_seconds: Option<f64>,
    /// The mean from the first opening to the last resolve; `null` where none ended.
    pub mttr_seconds: Option<f64>,
}

/// Incidents that are open or acknowledged, by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OpenNowView {
    /// Critical ones.
    pub critical: u64,
    /// Major ones.
    pub major: u64,
    /// Minor ones.
    pub minor: u64,
    /// Those to be known.
    pub info: u64,
}
