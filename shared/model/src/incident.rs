//! Incidents: episodes of a bad verdict, from the first suspicion to the resolve.
//!
//! This file names things; [`machine`] is the life of one incident, with its ladder of pages ([`crate::escalation`]); [`times`] tells how long they took, [`indicators`] how much noise
//! they made.
//!
//! At most one incident for each ([`Subject`], [`IncidentKind`]) is not resolved. What decides about an incident is a [`Condition`], made from the present
//! alone: late data never opens one.

pub mod indicators;
pub mod machine;
pub mod times;

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AgentNo, CheckNo};
use crate::time::UtcMicros;

/// An incident's id, for people and keys: `20261122-4f7k2zq`, the day (UTC) it was suspected and seven characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub String);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an incident is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A check.
    Check(CheckNo),
    /// An agent.
    Agent(AgentNo),
    /// A service level objective, by id.
    Slo(String),
    /// What a person opened, by its own id; about nothing that is measured.
    Manual(IncidentId),
}

/// Makes an enum of one-word values with their stable texts.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$vdoc])+ $variant,)+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable text, as JSON and the store have it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Reads the stable text.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What kind of trouble.
    IncidentKind {
        /// The check's verdict is down.
        Down = "down",
        /// Some voters are down, the quorum is not met.
        Regional = "regional",
        /// Nobody is down, the degraded meet the quorum.
        Degraded = "degraded",
        /// An agent is not heard of.
        AgentSilent = "agent_silent",
        /// A certificate or a domain is about to expire.
        Certificate = "certificate",
        /// A web vital got worse and stayed so.
        WebVitals = "web_vitals",
        /// An error budget burns too fast.
        SloBurn = "slo_burn",
        /// A person says so.
        Manual = "manual",
    }
}

words! {
    /// How much it matters, least first.
    Severity {
        /// To be known.
        Info = "info",
        /// Can wait for the day.
        Minor = "minor",
        /// Soon.
        Major = "major",
        /// Now.
        Critical = "critical",
    }
}

impl Severity {
    /// One step less; `info` stays.
    pub const fn less(self) -> Self {
        match self {
            Self::Critical => Self::Major,
            Self::Major => Self::Minor,
            Self::Minor | Self::Info => Self::Info,
        }
    }
}

words! {
    /// How much a check matters: what the severity of its incidents is made from.
    CheckClass {
        /// Down is critical.
        Critical = "critical",
        /// Down is major.
        Standard = "standard",
        /// Down is minor.
        Low = "low",
    }
}

#[allow(clippy::derivable_impls, reason = "the macro knows no default")]
impl Default for CheckClass {
    fn default() -> Self {
        Self::Standard
    }
}

impl CheckClass {
    /// How severe an incident of a kind is: that of the class for `down`, one step less for what still works for some or somehow.
    pub const fn severity(self, kind: IncidentKind) -> Severity {
        let down = match self {
            Self::Critical => Severity::Critical,
            Self::Standard => Severity::Major,
            Self::Low => Severity::Minor,
        };
        match kind {
            IncidentKind::Down | IncidentKind::Manual => down,
            IncidentKind::Regional
            | IncidentKind::Degraded
            | IncidentKind::AgentSilent
            | IncidentKind::Certificate
            | IncidentKind::WebVitals
            | IncidentKind::SloBurn => down.less(),
        }
    }
}

words! {
    /// Where an incident is in its life.
    IncidentState {
        /// The evidence is bad and not confirmed: told to nobody. One that is not confirmed leaves no trace.
        Suspected = "suspected",
        /// Confirmed; pages go out.
        Open = "open",
        /// Somebody has taken it: the ladder pauses.
        Acknowledged = "acknowledged",
        /// Over. Within the reopen window it opens again instead of a new one.
        Resolved = "resolved",
    }
}

impl IncidentState {
    /// Whether people must still do something.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Open | Self::Acknowledged => true,
            Self::Suspected | Self::Resolved => false,
        }
    }
}

words! {
    /// What a message is sent for.
    NoticeEvent {
        /// The incident opened, or opened again: the first level of the ladder.
        Opened = "opened",
        /// A later step of the ladder.
        Escalated = "escalated",
        /// Somebody has taken it.
        Acknowledged = "acknowledged",
        /// It is over.
        Resolved = "resolved",
        /// Somebody tries the channel out.
        Test = "test",
    }
}

words! {
    /// Why an incident's pages wait.
    HoldReason {
        /// A maintenance window covers the check.
        Maintenance = "maintenance",
        /// Somebody silenced it.
        Silence = "silence",
        /// A parent is down.
        Parent = "parent",
    }
}

/// What the present says about a (subject, kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Confirmed: it is bad.
    Bad {
        /// Since when: the first failing result, not the confirmation.
        since: UtcMicros,
        /// How much it matters now.
        severity: Severity,
    },
    /// It would be bad if the newest results were confirmed, or what it hangs on must be heard first.
    Suspect {
        /// Since when.
        since: UtcMicros,
        /// How much it would matter.
        severity: Severity,
    },
    /// It is fine.
    Good,
    /// Nobody can tell: nothing opens, nothing resolves.
    Unknown,
}
