//! Core Web Vitals: what a real browser measures of a page in the laboratory, on a device profile, and how it is rated.
//!
//! Reading order: [`Vital`] names the measures, [`profile`] says on what device they are taken and which values are good there, [`report`] is what a run tells
//! besides the figures, [`regression`] says whether a page became slower. Values are whole numbers: durations in microseconds, CLS in ten-thousandths ([`CLS_SCALE`]).

pub mod profile;
pub mod regression;
pub mod report;

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::record::{FactKey, Facts};

/// What CLS is multiplied with to be a whole number.
pub const CLS_SCALE: u64 = 10_000;

/// A measure of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vital {
    /// Largest Contentful Paint: when the largest text or image was painted.
    Lcp,
    /// Cumulative Layout Shift: the largest session window of shifts nobody asked for.
    Cls,
    /// Interaction to Next Paint: the slowest scripted interaction.
    Inp,
    /// Total Blocking Time: what tasks took beyond 50 ms each, after FCP.
    Tbt,
    /// First Contentful Paint.
    Fcp,
    /// Time To First Byte of the page, redirects included.
    Ttfb,
}

impl Vital {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 6] = [Self::Lcp, Self::Cls, Self::Inp, Self::Tbt, Self::Fcp, Self::Ttfb];

    /// Its name: `lcp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lcp => "lcp",
            Self::Cls => "cls",
            Self::Inp => "inp",
            Self::Tbt => "tbt",
            Self::Fcp => "fcp",
            Self::Ttfb => "ttfb",
        }
    }

    /// Whether it is a duration, in microseconds; else it is a score, in ten-thousandths.
    pub const fn is_duration(self) -> bool {
        !matches!(self, Self::Cls)
    }

    /// The largest value that is believed: an hour, far beyond any deadline; of CLS 1,000, far beyond what the shifts of a session window add up to
    /// on a page that people could read. An agent tells no more, and a collector takes no more.
    pub const fn value_max(self) -> u64 {
        if self.is_duration() { 3_600 * 1_000_000 } else { 1_000 * CLS_SCALE }
    }

    /// A value for people, rounded to three digits or so: `5.21 s`, `180 ms`, `0.1`.
    pub fn shown(self, value: u64) -> String {
        let decimals = |whole: u64, parts: u64, width: usize| {
            let text = format!("{whole}.{parts:0width$}");
            String::from(text.trim_end_matches('0').trim_end_matches('.'))
        };
        match value {
            score if !self.is_duration() => decimals(score / CLS_SCALE, score % CLS_SCALE, 4),
            us if us < 9_950 => {
                let tenths = (us + 50) / 100;
                format!("{} ms", decimals(tenths / 10, tenths % 10, 1))
            }
            us if us < 999_500 => format!("{} ms", (us + 500) / 1_000),
            us => {
                let hundredths = us.saturating_add(5_000) / 10_000;
                format!("{} s", decimals(hundredths / 100, hundredths % 100, 2))
            }
        }
    }

    /// The facts that carry it in a record: median, smallest, largest.
    pub const fn facts(self) -> [FactKey; 3] {
        match self {
            Self::Lcp => [FactKey::Lcp, FactKey::LcpMin, FactKey::LcpMax],
            Self::Cls => [FactKey::Cls, FactKey::ClsMin, FactKey::ClsMax],
            Self::Inp => [FactKey::Inp, FactKey::InpMin, FactKey::InpMax],
            Self::Tbt => [FactKey::Tbt, FactKey::TbtMin, FactKey::TbtMax],
            Self::Fcp => [FactKey::Fcp, FactKey::FcpMin, FactKey::FcpMax],
            Self::Ttfb => [FactKey::Ttfb, FactKey::TtfbMin, FactKey::TtfbMax],
        }
    }
}

/// How a value is to be taken, by the thresholds of its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rating {
    /// At most the good threshold.
    Good,
    /// Between the two.
    NeedsImprovement,
    /// Above the poor threshold.
    Poor,
}

impl Rating {
    /// Its name: `needs_improvement`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NeedsImprovement => "needs_improvement",
            Self::Poor => "poor",
        }
    }
}

/// A vital over the runs that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// The median; of an even number of runs the lower of the two in the middle, so that it is a value that was measured.
    pub median: u64,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    /// Of some values; `None` of none.
    pub fn of(values: &mut [u64]) -> Option<Self> {
        values.sort_unstable();
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: values[(values.len() - 1) / 2], min, max })
    }

    /// What a record says of a vital.
    pub fn from_facts(vital: Vital, facts: &Facts) -> Option<Self> {
        let [median, min, max] =
            vital.facts().map(|key| facts.number_of(key).and_then(|value| u64::try_from(value).ok()));
        let median = median?;
        Some(Self { median, min: min.unwrap_or(median), max: max.unwrap_or(median) })
    }

    /// Notes it in a record.
    pub fn note(self, vital: Vital, facts: &mut Facts) {
        for (key, value) in vital.facts().into_iter().zip([self.median, self.min, self.max]) {
            facts.number(key, i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_to_people() {
        for (us, shown) in [
            (0, "0 ms"),
            (949, "0.9 ms"),
            (9_949, "9.9 ms"),
            (9_950, "10 ms"),
            (180_400, "180 ms"),
            (999_499, "999 ms"),
            (999_500, "1 s"),
            (5_213_400, "5.21 s"),
            (2_500_000, "2.5 s"),
            (61_000_000, "61 s"),
        ] {
            assert_eq!(Vital::Lcp.shown(us), shown);
        }
        for (e4, shown) in [(0, "0"), (1, "0.0001"), (1_000, "0.1"), (1_234, "0.1234"), (20_000, "2")] {
            assert_eq!(Vital::Cls.shown(e4), shown);
        }
        assert!(Vital::Tbt.shown(u64::MAX).ends_with(" s"), "no overflow");
    }
}
