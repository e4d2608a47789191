//! Service level objectives: what was promised for which checks, over which period, counted by which accounting policy.
//!
//! This file holds the object as it is written as code; [`status`] holds it against the evidence.

pub mod status;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::accounting::Objective;
use crate::coded::{Fault, names_faults};
use crate::duration::{self, DurationError};

/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 1_000;
/// The shortest rolling period, in microseconds: 1 h.
const ROLLING_US_MIN: u64 = 3_600_000_000;
/// The longest rolling period, in microseconds: 366 d.
const ROLLING_US_MAX: u64 = 366 * 86_400_000_000;

/// A service level objective, as it is written as code: an `[[slo]]` table.
///
/// It is a promise about all that it covers, taken together (see [`status`]); a check with a promise of its own has its own `[[slo]]`. A check that no `[[slo]]`
/// covers has none: no promise is made up for it, neither from the default policy's objective nor otherwise.
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
    /// The accounting policy's id; the default policy where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What was promised (`99.9%`); the policy's objective where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// A duration (`30d`) is a rolling period up to now; `week` (from Monday), `month` and `quarter` are those of the calendar in `zone`.
    #[serde(default = "Slo::period_default")]
    pub period: String,
    /// The IANA time zone of a calendar period; UTC where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// The time that a promise is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// So many microseconds up to now.
    Rolling(i64),
    /// What the calendar says, wherever its borders lie in time.
    Calendar(Calendar),
}

/// A stretch of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// From Monday.
    Week,
    /// From the first.
    Month,
    /// From the first of January, April, July or October.
    Quarter,
}

impl Calendar {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
        }
    }
}

impl Period {
    /// Reads `30d`, `week`, `month` or `quarter`.
    ///
    /// # Errors
    /// When it is neither, or a duration under 1 h or over 366 d.
    pub fn parse(text: &str) -> Result<Self, SloError> {
        let calendars = [Calendar::Week, Calendar::Month, Calendar::Quarter];
        if let Some(calendar) = calendars.into_iter().find(|calendar| calendar.as_str() == text) {
            return Ok(Self::Calendar(calendar));
        }
        let us = duration::parse(text)?;
        if !(ROLLING_US_MIN..=ROLLING_US_MAX).contains(&us) {
            return Err(SloError::PeriodRange(text.to_string()));
        }
        Ok(Self::Rolling(us as i64))
    }
}

/// Why a value of an objective makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SloError {
    /// No objective.
    #[error("{0:?} is not a percentage: write \"99.9%\", above 0 % and at most 100 %, with at most four decimals")]
    Objective(String),
    /// No period.
    #[error("{0}; or write \"week\", \"month\" or \"quarter\"")]
    Period(#[from] DurationError),
    /// A duration out of range.
    #[error("{0:?} is out of range: a rolling period is 1h to 366d")]
    PeriodRange(String),
}

impl Slo {
    fn period_default() -> String {
        String::from("30d")
    }

    /// What is wrong with it by itself, but for its id. Whether its checks, groups, policy and zone exist only who knows them can tell.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            names_faults("checks", &self.checks).chain(names_faults("groups", &self.groups)).collect();
        if self.checks.is_empty() && self.groups.is_empty() {
            faults.push(Fault::new("", "it covers nothing: name checks, groups or both, as in checks = [\"shop\"]"));
        }
        faults.extend(self.objective().err().map(|error| Fault::new("objective", error.to_string())));
        match (self.period(), &self.zone) {
            (Err(error), _) => faults.push(Fault::new("period", error.to_string())),
            (Ok(Period::Rolling(_)), Some(_)) => {
                let remedy = "leave it out, or take period = \"week\", \"month\" or \"quarter\"";
                faults.push(Fault::new("zone", alloc::format!("a rolling period has no zone: {remedy}")));
            }
            (Ok(Period::Rolling(_) | Period::Calendar(_)), _) => {}
        }
        let bytes = self.description.len();
        if bytes > DESCRIPTION_BYTES_MAX {
            let text = alloc::format!("{bytes} bytes are more than {DESCRIPTION_BYTES_MAX}: shorten it");
            faults.push(Fault::new("description", text));
        }
        faults
    }

    /// Its own objective; `None` leaves it to the policy.
    ///
    /// # Errors
    /// When the text is no percentage.
    pub fn objective(&self) -> Result<Option<Objective>, SloError> {
        let parsed = |text: &String| Objective::parse(text).ok_or_else(|| SloError::Objective(text.clone()));
        self.objective.as_ref().map(parsed).transpose()
    }

    /// Its period.
    ///
    /// # Errors
    /// See [`Period::parse`].
    pub fn period(&self) -> Result<Period, SloError> {
        Period::parse(&self.period)
    }

    /// Whether it covers a check: by its id, or by the group it is in.
    pub fn covers(&self, check: &str, group: Option<&str>) -> bool {
        self.checks.iter().any(|id| id == check) || group.is_some_and(|group| self.groups.iter().any(|id| id == group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn shop() -> Slo {
        Slo {
            id: "shop-99".into(),
            checks: vec!["shop".into()],
            groups: Vec::new(),
            policy: None,
            objective: Some("99.9%".into()),
            period: Slo::period_default(),
            zone: None,
            description: String::new(),
        }
    }

    #[test]
    fn a_table_reads_and_writes_back() {
        let slo: Slo = serde_json::from_str(r#"{"id": "shop-99", "checks": ["shop"], "objective": "99.9%"}"#).unwrap();
        assert_eq!(slo, shop());
        assert_eq!(slo.faults(), []);
        assert_eq!(slo.objective().unwrap(), Some(Objective(999_000)));
        assert_eq!(slo.period().unwrap(), Period::Rolling(30 * 86_400_000_000));
        let text = serde_json::to_string(&slo).unwrap();
        assert_eq!(text, r#"{"id":"shop-99","checks":["shop"],"objective":"99.9%","period":"30d"}"#);
        assert!(serde_json::from_str::<Slo>(r#"{"id": "a", "checks": ["a"], "target": "99%"}"#).is_err());
    }

    #[test]
    fn periods_are_rolling_or_the_calendars() {
        assert_eq!(Period::parse("7d"), Ok(Period::Rolling(7 * 86_400_000_000)));
        assert_eq!(Period::parse("month"), Ok(Period::Calendar(Calendar::Month)));
        assert_eq!(Period::parse("week"), Ok(Period::Calendar(Calendar::Week)));
        assert_eq!(Period::parse("quarter"), Ok(Period::Calendar(Calendar::Quarter)));
        assert_eq!(Period::parse("1h"), Ok(Period::Rolling(3_600_000_000)));
        assert!(Period::parse("59m").is_err() && Period::parse("367d").is_err() && Period::parse("year").is_err());
    }

    #[test]
    fn what_it_covers() {
        let slo = Slo { groups: vec!["front".into()], ..shop() };
        assert!(slo.covers("shop", None) && slo.covers("api", Some("front")));
        assert!(!slo.covers("api", Some("back")) && !slo.covers("front", None));
    }

    #[test]
    fn mistakes_name_the_remedy() {
        let zoned = |period: &str, zone: &str| Slo { period: period.into(), zone: Some(zone.into()), ..shop() };
        assert_eq!(zoned("month", "Europe/Paris").faults(), []);
        let cases = [
            (Slo { checks: Vec::new(), ..shop() }, "it covers nothing: name checks, groups or both"),
            (Slo { checks: vec!["a".into(), "a".into()], ..shop() }, "checks[1]: \"a\" is named twice"),
            (Slo { checks: (0..1001).map(|n| n.to_string()).collect(), ..shop() }, "checks: 1001 names"),
            (Slo { objective: Some("99.9".into()), ..shop() }, "objective: \"99.9\" is not a percentage: write"),
            (Slo { objective: Some("101%".into()), ..shop() }, "at most 100 %"),
            (Slo { period: "30".into(), ..shop() }, "as in 30s; or write \"week\", \"month\" or \"quarter\""),
            (Slo { period: "10m".into(), ..shop() }, "period: \"10m\" is out of range: a rolling period is 1h to 366d"),
            (zoned("30d", "Europe/Paris"), "zone: a rolling period has no zone: leave it out"),
            (Slo { description: "x".repeat(1001), ..shop() }, "shorten it"),
        ];
        for (slo, says) in cases {
            let faults = slo.faults();
            assert!(faults.len() == 1 && faults[0].to_string().contains(says), "{faults:?}");
        }
    }
}
