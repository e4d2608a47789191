//! What ticks a step by itself: a closed list of facts, each judged from what the collector knows now and what it knew when the run began.
//!
//! | `done_when` | holds when |
//! |---|---|
//! | `check up`, `check up for 10m` | the verdict is up, and has been for so long |
//! | `certificate renewed` | no live voter is down, and the soonest end of a certificate that they see is later than when the run began |
//! | `certificate valid for 30d` | it is at least so far ahead |
//! | `domain renewed`, `domain valid for 60d` | the same of the domain's registration |
//! | `incident acknowledged`, `incident resolved` | somebody has taken it; it is over |
//! | `finding closed` | the finding is over |
//! | `agent connected` | the agent holds a connection |
//! | `latency p95 below 800ms` | of [`SAMPLES_MIN`] runs or more since the run began, in the last [`LATENCY_US`] at most, 95 of 100 took less |
//! | `suspension ended` | neither the check nor the agent is suspended |
//! | `clock offset below 2s` | the agent's clock is off by less |
//! | `weight changed` | the weight of the agent, or of the check, is another one than when the run began |
//! | `check changed` | a newer definition of the check is in force |
//! | `voters at least 2` | so many live agents vote about the check |
//!
//! What is not known ticks nothing: a condition without its fact is [`Judged::Unknown`], never met.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::duration;
use crate::time::UtcMicros;

/// Fewer runs than these make no p95.
pub const SAMPLES_MIN: u64 = 5;
/// How far back a p95 looks, in microseconds: 15 min.
pub const LATENCY_US: i64 = 900_000_000;
/// The longest stretch that something must last, in microseconds: 366 d.
const STRETCH_US_MAX: u64 = 366 * 86_400_000_000;
/// Most voters that can be asked for.
const VOTERS_MAX: u32 = 1_000;

/// A fact that ticks a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The verdict is up, for so long in microseconds.
    CheckUp(u64),
    /// Certificates end later than they did.
    CertificateRenewed,
    /// Certificates end no sooner than so many microseconds ahead.
    CertificateValid(u64),
    /// The domain's registration ends later than it did.
    DomainRenewed,
    /// It ends no sooner than so many microseconds ahead.
    DomainValid(u64),
    /// Somebody has taken the incident, or it is over.
    IncidentAcknowledged,
    /// The incident is over.
    IncidentResolved,
    /// The finding is over.
    FindingClosed,
    /// The agent holds a connection.
    AgentConnected,
    /// 95 of 100 runs take less than so many microseconds.
    LatencyBelow(u64),
    /// Nothing of it is suspended.
    SuspensionEnded,
    /// The agent's clock is off by less than so many microseconds.
    ClockBelow(u64),
    /// A weight is another one than it was.
    WeightChanged,
    /// The check has a newer definition.
    CheckChanged,
    /// At least so many live agents vote.
    Voters(u32),
}

/// Each form that [`Condition::parse`] takes.
pub const FORMS: [&str; 16] = [
    "check up",
    "check up for 10m",
    "certificate renewed",
    "certificate valid for 30d",
    "domain renewed",
    "domain valid for 60d",
    "incident acknowledged",
    "incident resolved",
    "finding closed",
    "agent connected",
    "latency p95 below 800ms",
    "suspension ended",
    "clock offset below 2s",
    "weight changed",
    "check changed",
    "voters at least 2",
];

impl Condition {
    /// Reads what is written as `done_when`.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let stretch = |text: &str| {
            let us = duration::parse(text).map_err(|error| error.to_string())?;
            if (1..=STRETCH_US_MAX).contains(&us) { Ok(us) } else { Err(format!("{text:?}: write 1us to 366d")) }
        };
        match words[..] {
            ["check", "up"] => Ok(Self::CheckUp(0)),
            ["check", "up", "for", length] => stretch(length).map(Self::CheckUp),
            ["certificate", "renewed"] => Ok(Self::CertificateRenewed),
            ["certificate", "valid", "for", length] => stretch(length).map(Self::CertificateValid),
            ["domain", "renewed"] => Ok(Self::DomainRenewed),
            ["domain", "valid", "for", length] => stretch(length).map(Self::DomainValid),
            ["incident", "acknowledged"] => Ok(Self::IncidentAcknowledged),
            ["incident", "resolved"] => Ok(Self::IncidentResolved),
            ["finding", "closed"] => Ok(Self::FindingClosed),
            ["agent", "connected"] => Ok(Self::AgentConnected),
            ["latency", "p95", "below", length] => stretch(length).map(Self::LatencyBelow),
            ["suspension", "ended"] => Ok(Self::SuspensionEnded),
            ["clock", "offset", "below", length] => stretch(length).map(Self::ClockBelow),
            ["weight", "changed"] => Ok(Self::WeightChanged),
            ["check", "changed"] => Ok(Self::CheckChanged),
            ["voters", "at", "least", count] => match count.parse() {
                Ok(count) if (1..=VOTERS_MAX).contains(&count) => Ok(Self::Voters(count)),
                Ok(_) | Err(_) => Err(format!("{count:?}: write 1 to {VOTERS_MAX} voters")),
            },
            _ => {
                let known: Vec<String> = FORMS.iter().map(|form| format!("{form:?}")).collect();
                Err(format!("{text:?} is no fact that ticks a step: write one of {}", known.join(", ")))
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckUp(0) => f.write_str("check up"),
            Self::CheckUp(us) => write!(f, "check up for {}", duration::format(*us)),
            Self::CertificateRenewed => f.write_str("certificate renewed"),
            Self::CertificateValid(us) => write!(f, "certificate valid for {}", duration::format(*us)),
            Self::DomainRenewed => f.write_str("domain renewed"),
            Self::DomainValid(us) => write!(f, "domain valid for {}", duration::format(*us)),
            Self::IncidentAcknowledged => f.write_str("incident acknowledged"),
            Self::IncidentResolved => f.write_str("incident resolved"),
            Self::FindingClosed => f.write_str("finding closed"),
            Self::AgentConnected => f.write_str("agent connected"),
            Self::LatencyBelow(us) => write!(f, "latency p95 below {}", duration::format(*us)),
            Self::SuspensionEnded => f.write_str("suspension ended"),
            Self::ClockBelow(us) => write!(f, "clock offset below {}", duration::format(*us)),
            Self::WeightChanged => f.write_str("weight changed"),
            Self::CheckChanged => f.write_str("check changed"),
            Self::Voters(count) => write!(f, "voters at least {count}"),
        }
    }
}

/// What the collector knows at an instant of what a run is about. What it does not know is `None`. Instants are microseconds of UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Since when the check's verdict is up; `None`: it is not, or there is no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_since: Option<i64>,
    /// The soonest end of a certificate that live voters see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<i64>,
    /// The soonest end of the domain's registration that they see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_expires: Option<i64>,
    /// The revision of the check's definition in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// How many live agents vote about the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voters: Option<u32>,
    /// Whether the check or the agent is suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// The weight of the agent where there is one, else of the check, in thousandths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_thousandths: Option<u32>,
    /// How many runs since the run of the playbook began a p95 was made of, and that p95 in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<(u64, u64)>,
    /// Whether the agent holds a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// The collector's clock minus the agent's, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset_us: Option<i64>,
    /// Whether somebody has taken the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<bool>,
    /// Whether the incident is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<bool>,
    /// Whether the finding is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
}

/// The fact by which a step was ticked: what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "seen")]
pub enum Seen {
    /// The verdict is up.
    Up {
        /// Since when, in microseconds of UTC.
        since: i64,
    },
    /// A certificate, or a domain's registration.
    Expires {
        /// Its end, in microseconds of UTC.
        at: i64,
        /// When the run began it was to end then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<i64>,
    },
    /// Somebody has taken the incident.
    Acknowledged,
    /// The incident is over.
    Resolved,
    /// The finding is over.
    Closed,
    /// The agent holds a connection.
    Connected,
    /// How long runs take.
    Latency {
        /// The p95, in microseconds.
        p95_us: u64,
        /// Of so many runs.
        runs: u64,
    },
    /// Nothing is suspended.
    Running,
    /// How far the clock is off.
    Offset {
        /// In microseconds.
        us: i64,
    },
    /// Another weight.
    Weight {
        /// Before, in thousandths.
        from: u32,
        /// Now, in thousandths.
        to: u32,
    },
    /// A newer definition.
    Revision {
        /// The one before.
        from: u32,
        /// The one in force.
        to: u32,
    },
    /// Live agents vote.
    Voters {
        /// So many.
        count: u32,
    },
}

/// What a condition comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It holds, as was seen.
    Met(Seen),
    /// It does not hold yet.
    NotYet,
    /// Nobody can tell.
    Unknown,
}

impl Judged {
    fn when(met: bool, seen: Seen) -> Self {
        if met { Self::Met(seen) } else { Self::NotYet }
    }
}

fn renewed(before: Option<i64>, at: Option<i64>) -> Judged {
    // Without a beginning to compare with nobody can tell old from new.
    let (Some(before), Some(at)) = (before, at) else { return Judged::Unknown };
    Judged::when(at > before, Seen::Expires { at, before: Some(before) })
}

fn valid(at: Option<i64>, ahead_us: u64, now: UtcMicros) -> Judged {
    let Some(at) = at else { return Judged::Unknown };
    let met = UtcMicros(at).us_since(now) >= i64::try_from(ahead_us).unwrap_or(i64::MAX);
    Judged::when(met, Seen::Expires { at, before: None })
}

fn flag(value: Option<bool>, seen: Seen) -> Judged {
    value.map_or(Judged::Unknown, |met| Judged::when(met, seen))
}

/// Judges a condition by what was known when the run began, and what is known at `now`.
pub fn judge(condition: Condition, began: &Facts, facts: &Facts, now: UtcMicros) -> Judged {
    match condition {
        Condition::CheckUp(us) => match facts.up_since {
            Some(since) => {
                let lasted = now.us_since(UtcMicros(since));
                Judged::when(lasted >= i64::try_from(us).unwrap_or(i64::MAX), Seen::Up { since })
            }
            None => Judged::NotYet,
        },
        Condition::CertificateRenewed => renewed(began.certificate_expires, facts.certificate_expires),
        Condition::CertificateValid(us) => valid(facts.certificate_expires, us, now),
        Condition::DomainRenewed => renewed(began.domain_expires, facts.domain_expires),
        Condition::DomainValid(us) => valid(facts.domain_expires, us, now),
        // What is over needs nobody to take it any more.
        Condition::IncidentAcknowledged => match (facts.acknowledged, facts.resolved) {
            (_, Some(true)) => Judged::Met(Seen::Resolved),
            (acknowledged, _) => flag(acknowledged, Seen::Acknowledged),
        },
        Condition::IncidentResolved => flag(facts.resolved, Seen::Resolved),
        Condition::FindingClosed => flag(facts.closed, Seen::Closed),
        Condition::AgentConnected => flag(facts.connected, Seen::Connected),
        Condition::LatencyBelow(us) => match facts.latency {
            Some((runs, p95_us)) if runs >= SAMPLES_MIN => Judged::when(p95_us < us, Seen::Latency { p95_us, runs }),
            Some(_) | None => Judged::Unknown,
        },
        Condition::SuspensionEnded => flag(facts.suspended.map(|suspended| !suspended), Seen::Running),
        Condition::ClockBelow(below) => match facts.clock_offset_us {
            Some(us) => Judged::when(us.unsigned_abs() < below, Seen::Offset { us }),
            None => Judged::Unknown,
        },
        Condition::WeightChanged => match (began.weight_thousandths, facts.weight_thousandths) {
            (Some(from), Some(to)) => Judged::when(from != to, Seen::Weight { from, to }),
            (Some(_) | None, _) => Judged::Unknown,
        },
        Condition::CheckChanged => match (began.revision, facts.revision) {
            (Some(from), Some(to)) => Judged::when(to > from, Seen::Revision { from, to }),
            (Some(_) | None, _) => Judged::Unknown,
        },
        Condition::Voters(least) => match facts.voters {
            Some(count) => Judged::when(count >= least, Seen::Voters { count }),
            None => Judged::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn every_form_is_read_and_written_back() {
        for form in FORMS {
            assert_eq!(Condition::parse(form).unwrap().to_string(), form);
        }
        for bad in [
            "",
            "check",
            "check down",
            "check up for",
            "check up for 0s",
            "check up for 400d",
            "voters at least 0",
            "latency p95 below x",
        ] {
            let told = Condition::parse(bad).unwrap_err();
            assert!(told.contains("write") || told.contains("duration"), "{bad}: {told}");
        }
    }

    #[test]
    fn what_is_not_known_ticks_nothing() {
        let nothing = Facts::default();
        for form in FORMS {
            let judged = judge(Condition::parse(form).unwrap(), &nothing, &nothing, UtcMicros(5));
            assert!(!matches!(judged, Judged::Met(_)), "{form}: {judged:?}");
        }
    }

    #[test]
    fn a_certificate_is_renewed_when_the_soonest_end_moved_on() {
        let began = Facts { certificate_expires: Some(3 * DAY), ..Facts::default() };
        let now = UtcMicros(DAY);
        let of = |at: Option<i64>, form: &str| {
            let facts = Facts { certificate_expires: at, ..Facts::default() };
            judge(Condition::parse(form).unwrap(), &began, &facts, now)
        };
        assert_eq!(of(Some(3 * DAY), "certificate renewed"), Judged::NotYet);
        assert_eq!(of(Some(2 * DAY), "certificate renewed"), Judged::NotYet);
        assert_eq!(of(None, "certificate renewed"), Judged::Unknown);
        let seen = Seen::Expires { at: 93 * DAY, before: Some(3 * DAY) };
        assert_eq!(of(Some(93 * DAY), "certificate renewed"), Judged::Met(seen));
        assert_eq!(of(Some(31 * DAY - 1), "certificate valid for 30d"), Judged::NotYet);
        assert!(matches!(of(Some(31 * DAY), "certificate valid for 30d"), Judged::Met(_)));
    }

    #[test]
    fn up_must_last_as_long_as_it_is_asked_to() {
        let facts = Facts { up_since: Some(100), ..Facts::default() };
        let up =
            |text: &str, now: i64| judge(Condition::parse(text).unwrap(), &Facts::default(), &facts, UtcMicros(now));
        assert!(matches!(up("check up", 100), Judged::Met(_)));
        assert_eq!(up("check up for 1s", 1_000_099), Judged::NotYet);
        assert!(matches!(up("check up for 1s", 1_000_100), Judged::Met(Seen::Up { since: 100 })));
        // A clock that was set back makes nothing last longer.
        assert_eq!(up("check up for 1s", 50), Judged::NotYet);
    }

    #[test]
    fn few_runs_make_no_p95() {
        let of = |latency| {
            let facts = Facts { latency, ..Facts::default() };
            judge(Condition::LatencyBelow(800_000), &Facts::default(), &facts, UtcMicros(0))
        };
        assert_eq!(of(Some((SAMPLES_MIN - 1, 1))), Judged::Unknown);
        assert_eq!(of(Some((SAMPLES_MIN, 800_000))), Judged::NotYet);
        assert!(matches!(of(Some((SAMPLES_MIN, 799_999))), Judged::Met(_)));
    }

    #[test]
    fn what_is_over_needs_nobody_to_take_it() {
        let facts = Facts { acknowledged: Some(false), resolved: Some(true), ..Facts::default() };
        let judged = judge(Condition::IncidentAcknowledged, &Facts::default(), &facts, UtcMicros(0));
        assert_eq!(judged, Judged::Met(Seen::Resolved));
    }
}
