//! What a message about an incident says: facts alone, ready for any channel's template. Kept in the outbox, so a message is the same however often it is sent.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::incident::{IncidentKind, IncidentState, NoticeEvent, Severity};
use crate::time::UtcMicros;
use crate::vitals::Vital;

/// One message's facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is sent for.
    pub event: NoticeEvent,
    /// `INCIDENT/STEP/CHANNEL`: the same for every attempt; who receives it twice can tell.
    pub key: String,
    /// The step within the incident, from 1; 0 of a test.
    pub step: u32,
    /// When the step was.
    pub at: UtcMicros,
    /// The incident as it was then.
    pub incident: IncidentFacts,
    /// What else a woken person needs.
    pub context: Context,
}

/// An incident's facts, as every list and message tells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentFacts {
    /// Its id.
    pub id: String,
    /// The check's id, where it is about one.
    pub check: Option<String>,
    /// The agent's name, where it is about one.
    pub agent: Option<String>,
    /// The objective's id, where it is about one.
    pub slo: Option<String>,
    /// What kind of trouble.
    pub kind: IncidentKind,
    /// Where it is in its life.
    pub state: IncidentState,
    /// How much it matters.
    pub severity: Severity,
    /// Since when the evidence is bad.
    pub since: UtcMicros,
    /// When it was confirmed.
    pub opened_at: Option<UtcMicros>,
    /// When it was taken.
    pub acknowledged_at: Option<UtcMicros>,
    /// When it was over.
    pub resolved_at: Option<UtcMicros>,
    /// Whether it flaps.
    pub flapping: bool,
}

/// What was found where no vote says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Found {
    /// A certificate expires soon, or is expired.
    Certificate {
        /// Whose it is: the host that was dialled, or what the certificate says.
        name: Option<String>,
        /// When, in microseconds of UTC.
        expires: UtcMicros,
    },
    /// The registration of a domain ends soon, or has ended.
    Domain {
        /// Which.
        name: Option<String>,
        /// When, in microseconds of UTC.
        expires: UtcMicros,
    },
    /// A page got slower.
    Vital {
        /// By which measure.
        vital: Vital,
        /// On which device profile.
        profile: String,
        /// The median of the runs before, in the vital's own unit.
        baseline: u64,
        /// The median of the runs since.
        median: u64,
        /// How many measures got worse, on this profile or another.
        worse: u32,
    },
    /// An error budget burns too fast.
    Burn {
        /// The long window, in hours: its short companion is a twelfth of it.
        hours: u32,
        /// Times faster than evenly over the long window, in tenths; absent where the objective allows nothing.
        rate_tenths: Option<u64>,
        /// From which rate on it is told, in tenths.
        threshold_tenths: u64,
        /// What is left of the period's budget, in thousandths of it; below 0 where it is overdrawn.
        left_permille: Option<i64>,
    },
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The user's id.
    pub user: String,
    /// What people call them.
    pub name: String,
    /// The language they read, `en` or `fr`; that of the channel where there is none.
    pub language: Option<String>,
    /// The IANA time zone they live by.
    pub zone: Option<String>,
}

/// What a woken person needs beside the incident itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// What is checked, for people: `https://shop.example/`.
    pub target: Option<String>,
    /// Where it is seen from: regions whose agents say so.
    pub regions: Vec<String>,
    /// In how many regions it is watched.
    pub regions_of: u32,
    /// The first failing phase: `connect`.
    pub phase: Option<String>,
    /// The cause, of the closed list: `connection_refused`.
    pub cause: Option<String>,
    /// One line that explains it.
    pub explanation: Option<String>,
    /// What was found, of what no vote is about: what expires, which measure of a page got worse, which budget burns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// For a manual incident, or what somebody wrote.
    pub title: Option<String>,
    /// Checks that an agent's silence leaves unwatched, or that hang on this one.
    pub checks: Vec<String>,
    /// Who acknowledged or resolved it.
    pub by: Option<String>,
    /// The incident's page.
    pub link: Option<String>,
    /// Acknowledges it: signed, for this incident alone.
    pub acknowledge_link: Option<String>,
    /// Of a mail that some have: who does not have it yet. Empty: everybody is sent it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Whom it is for; nobody where a channel itself is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Recipient>,
}
