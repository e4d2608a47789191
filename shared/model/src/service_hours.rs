//! Service hours: when a service is promised, by the clock on the wall of an IANA zone.
//!
//! An instant lies in the service hours exactly when a wall clock of the zone shows a day and a time that are written here. So a wall time that a change of the
//! clock skips belongs to no instant, one that is shown twice counts both times, and a day that a zone never had is not missed. A day of `except` has no service
//! hours from its midnight to the next, whatever began the day before.
//!
//! What the zone's clock shows is not known here: [`ServiceHours::expand`] is handed the offsets from UTC.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::time::{SECOND_US, Span, UtcMicros, union};

/// Days, as they are written; Monday is the first.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY_MINUTES: u32 = 24 * 60;
/// Minutes of a week.
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;
/// Microseconds of a minute.
const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds of a day without a change of the clock.
const DAY_US: i64 = DAY_MINUTES as i64 * MINUTE_US;
/// Most entries of `weekly`, and most of `except`.
const ENTRIES_MAX: usize = 1_000;

/// Why service hours make no sense. The text names the key, but for what is found while reading, whose place the reader knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HoursError {
    /// An entry of `weekly` cannot be read.
    #[error("{0:?} is no entry: write days and times, like \"mon-fri 08:00-20:00\" or \"sat 09:00-24:00\"")]
    Weekly(String),
    /// An entry of `weekly` ends before it begins.
    #[error("{0:?} ends before it begins: for hours over midnight name both days, like \"fri 22:00-sat 06:00\"")]
    Backwards(String),
    /// An entry of `except` is no day.
    #[error("{0:?} is no day: write year, month and day, like \"2026-12-25\"")]
    Except(String),
    /// There are no entries.
    #[error(
        "hours.weekly: empty: write at least one entry, like \"mon-fri 08:00-20:00\", or leave out hours for always"
    )]
    Empty,
    /// There are too many entries.
    #[error(
        "hours.{0}: more than {ENTRIES_MAX} entries: merge them, or make a new version of the policy every few years"
    )]
    TooMany(&'static str),
    /// The zone's name is no name.
    #[error("hours.zone: {0:?} is no IANA time zone: write a name like \"Europe/Paris\" or \"UTC\"")]
    Zone(String),
}

/// When a service is promised: the value of a policy's `hours`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceHours {
    /// The IANA time zone whose wall clock counts.
    pub zone: String,
    /// The hours of a week; they may overlap.
    pub weekly: Vec<WeeklyHours>,
    /// Days without service hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Day>,
}

/// An entry of the weekly hours: `mon-fri 08:00-20:00`, `sun 10:00-24:00`, or over midnight `fri 22:00-sat 06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeeklyHours {
    /// First day, 0 for Monday.
    first: u8,
    /// Last day; the entry is one stretch from `first` to it where `through`, else it is repeated on each day up to it.
    last: u8,
    through: bool,
    /// Minutes of the day; `to` up to 24:00.
    from: u16,
    to: u16,
}

impl WeeklyHours {
    /// Reads an entry.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let bad = || HoursError::Weekly(text.to_string());
        let lower = text.trim().to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        let (first, last, through, from, to) = match words[..] {
            [days, times] => {
                let (from, to) = times.split_once('-').ok_or_else(bad)?;
                let (first, last) = days.split_once('-').unwrap_or((days, days));
                (first, last, false, from, to)
            }
            [first, middle, to] => {
                let (from, last) = middle.split_once('-').ok_or_else(bad)?;
                (first, last, true, from, to)
            }
            _ => return Err(bad()),
        };
        let day = |name: &str| {
            let place = DAYS.iter().position(|day| *day == name);
            place.and_then(|place| u8::try_from(place).ok()).ok_or_else(bad)
        };
        let time = |text: &str| minutes(text).ok_or_else(bad);
        let entry = Self { first: day(first)?, last: day(last)?, through, from: time(from)?, to: time(to)? };
        let apart = entry.through && entry.first != entry.last;
        if entry.from >= entry.to && !apart {
            return Err(HoursError::Backwards(text.to_string()));
        }
        Ok(entry)
    }

    /// The stretches of a week, in minutes since its Monday's midnight; one that goes over the week's end is cut in two.
    fn stretches(self) -> Vec<(u32, u32)> {
        let at = |day: u8, minute: u16| u32::from(day) * DAY_MINUTES + u32::from(minute);
        if self.through {
            let (from, to) = (at(self.first, self.from), at(self.last, self.to));
            return if from < to { alloc::vec![(from, to)] } else { alloc::vec![(from, WEEK_MINUTES), (0, to)] };
        }
        let days = 1 + (self.last + 7 - self.first) % 7;
        (0..days).map(|day| (self.first + day) % 7).map(|day| (at(day, self.from), at(day, self.to))).collect()
    }
}

/// `08:00` as minutes of the day, up to `24:00`.
pub(crate) fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |part: &str| {
        let good = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && u32::from(minutes) <= DAY_MINUTES).then_some(minutes)
}

impl core::fmt::Display for WeeklyHours {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let day = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or_default();
        let time = |minutes: u16| alloc::format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let (first, last, from, to) = (day(self.first), day(self.last), time(self.from), time(self.to));
        if self.through {
            write!(f, "{first} {from}-{last} {to}")
        } else if first == last {
            write!(f, "{first} {from}-{to}")
        } else {
            write!(f, "{first}-{last} {from}-{to}")
        }
    }
}

impl TryFrom<String> for WeeklyHours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        Self::parse(&text)
    }
}

impl From<WeeklyHours> for String {
    fn from(entry: WeeklyHours) -> Self {
        entry.to_string()
    }
}

/// A day of the Gregorian calendar, from year 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day {
    /// Days since 1970-01-01.
    since_1970: i64,
}

impl Day {
    /// Days since 1970-01-01.
    pub const fn since_1970(self) -> i64 {
        self.since_1970
    }

    /// Reads `2026-12-25`.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let number = |part: &str, digits: usize| {
            let good = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
            good.then(|| part.parse::<i64>().ok()).flatten()
        };
        let mut parts = text.trim().splitn(3, '-');
        let mut next = |digits| parts.next().and_then(|part| number(part, digits));
        match (next(4), next(2), next(2)) {
            (Some(year), Some(month), Some(day)) if year > 0 => {
                let since_1970 = days_to(year, month, day);
                // What the calendar does not have comes back as another day.
                (civil(since_1970) == (year, month, day)).then_some(Self { since_1970 })
            }
            _ => None,
        }
        .ok_or_else(|| HoursError::Except(text.to_string()))
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar: years are counted from March, so that the leap day comes last.
const fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 306 + 5) / 10 + day
        - 1
        - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next, month, day)
}

impl core::fmt::Display for Day {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (year, month, day) = civil(self.since_1970);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl TryFrom<String> for Day {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        Self::parse(&text)
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl ServiceHours {
    /// Whether the hours make sense; whether the zone exists, only the one who has its rules can tell.
    pub fn validate(&self) -> Result<(), HoursError> {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
        if self.zone.is_empty() || self.zone.len() > 64 || !self.zone.bytes().all(name) {
            return Err(HoursError::Zone(self.zone.clone()));
        }
        match (self.weekly.len(), self.except.len()) {
            (0, _) => Err(HoursError::Empty),
            (weekly, _) if weekly > ENTRIES_MAX => Err(HoursError::TooMany("weekly")),
            (_, except) if except > ENTRIES_MAX => Err(HoursError::TooMany("except")),
            _ => Ok(()),
        }
    }

    /// The service hours as spans of UTC, in order, apart from each other. `offsets` are spans in which the zone's offset from UTC does not change, in order, with that
    /// offset in seconds (east is positive); only what they cover is told.
    pub fn expand(&self, offsets: &[(Span, i32)]) -> Vec<Span> {
        let stretches: Vec<(u32, u32)> = self.weekly.iter().flat_map(|entry| entry.stretches()).collect();
        // Each day's hours in microseconds since its midnight, apart from each other.
        let days: Vec<Vec<Span>> = (0..7)
            .map(|day| {
                let (from, to) = (day * DAY_MINUTES, (day + 1) * DAY_MINUTES);
                let since = |minute: u32| UtcMicros(i64::from(minute.clamp(from, to) - from) * MINUTE_US);
                union(stretches.iter().map(|stretch| Span::new(since(stretch.0), since(stretch.1))).collect())
            })
            .collect();
        let mut except: Vec<i64> = self.except.iter().map(|day| day.since_1970).collect();
        except.sort_unstable();
        let mut out = Vec::new();
        for (span, offset) in offsets.iter().filter(|(span, _)| !span.is_empty()) {
            let offset_us = i64::from(*offset) * SECOND_US;
            let (first, last) = (span.from.plus_us(offset_us), span.to.plus_us(offset_us - 1));
            for day in first.0.div_euclid(DAY_US)..=last.0.div_euclid(DAY_US) {
                if except.binary_search(&day).is_ok() {
                    continue;
                }
                let midnight = UtcMicros(day * DAY_US - offset_us);
                // 1970-01-01 was a Thursday.
                let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default();
                for hours in &days[weekday] {
                    out.push(Span::new(midnight.plus_us(hours.from.0), midnight.plus_us(hours.to.0)).clip(*span));
                }
            }
        }
        union(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(weekly: &[&str], except: &[&str]) -> ServiceHours {
        ServiceHours {
            zone: "Europe/Paris".into(),
            weekly: weekly.iter().map(|text| WeeklyHours::parse(text).unwrap()).collect(),
            except: except.iter().map(|text| Day::parse(text).unwrap()).collect(),
        }
    }

    fn at(day: &str, hour: i64, minute: i64) -> UtcMicros {
        UtcMicros(Day::parse(day).unwrap().since_1970 * DAY_US + (hour * 60 + minute) * MINUTE_US)
    }

    #[test]
    fn entries_read_as_they_are_shown() {
        for text in ["mon-fri 08:00-20:00", "sat 09:00-24:00", "fri 22:00-sat 06:00", "sat-mon 00:00-00:01"] {
            assert_eq!(WeeklyHours::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(WeeklyHours::parse("  Mon-Fri  08:00-20:00 ").unwrap().to_string(), "mon-fri 08:00-20:00");
        for bad in ["", "mon", "mon 8:00-9:00", "mon 08:00", "foo 08:00-09:00", "mon 08:00-24:01", "mon 08:60-09:00"] {
            assert_eq!(WeeklyHours::parse(bad), Err(HoursError::Weekly(bad.to_string())), "{bad}");
        }
        for backwards in ["mon 22:00-06:00", "mon-fri 08:00-08:00", "mon 08:00-mon 07:00"] {
            let error = WeeklyHours::parse(backwards).unwrap_err().to_string();
            assert!(error.contains("fri 22:00-sat 06:00"), "{error}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for text in ["1970-01-01", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(Day::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Day::parse("1970-01-01").unwrap().since_1970, 0);
        assert_eq!(Day::parse("2026-11-22").unwrap().since_1970, 20_779);
        for bad in ["2026-02-29", "1900-02-29", "2026-13-01", "2026-00-10", "26-1-1", "2026-1-01", "0000-01-01", "x"] {
            assert_eq!(Day::parse(bad), Err(HoursError::Except(bad.to_string())));
        }
    }

    #[test]
    fn weeks_are_laid_out_over_time() {
        // 2026-11-20 is a Friday.
        let all = [(Span::new(at("2026-11-20", 0, 0), at("2026-11-24", 0, 0)), 0)];
        let hours = hours(&["fri 22:00-sat 06:00", "sun 23:00-mon 01:00", "sat 05:00-09:00"], &["2026-11-23"]);
        let spans = hours.expand(&all);
        let got: Vec<_> = spans.iter().map(|span| (span.from, span.to)).collect();
        assert_eq!(
            got,
            [(at("2026-11-20", 22, 0), at("2026-11-21", 9, 0)), (at("2026-11-22", 23, 0), at("2026-11-23", 0, 0))]
        );
    }

    #[test]
    fn a_skipped_hour_has_no_instant_and_a_doubled_one_has_two() {
        let spring = at("2026-03-29", 1, 0);
        let offsets =
            [(Span::new(at("2026-03-28", 23, 0), spring), 3600), (Span::new(spring, at("2026-03-29", 22, 0)), 7200)];
        let total = |weekly: &str, offsets: &[(Span, i32)]| {
            hours(&[weekly], &[]).expand(offsets).iter().map(|span| span.us() / MINUTE_US).sum::<i64>()
        };
        assert_eq!(total("sun 02:15-02:45", &offsets), 0);
        assert_eq!(total("sun 01:30-03:30", &offsets), 60);
        assert_eq!(total("sun 00:00-24:00", &offsets), 23 * 60);
        let autumn = at("2026-10-25", 1, 0);
        let offsets =
            [(Span::new(at("2026-10-24", 22, 0), autumn), 7200), (Span::new(autumn, at("2026-10-25", 23, 0)), 3600)];
        assert_eq!(total("sun 02:15-02:45", &offsets), 60);
        assert_eq!(total("sun 00:00-24:00", &offsets), 25 * 60);
    }

    #[test]
    fn hours_name_what_is_wrong_with_them() {
        assert_eq!(hours(&["mon 08:00-09:00"], &[]).validate(), Ok(()));
        assert_eq!(hours(&[], &[]).validate(), Err(HoursError::Empty));
        let nowhere = ServiceHours { zone: "Europe Paris".into(), ..hours(&["mon 08:00-09:00"], &[]) };
        assert!(nowhere.validate().unwrap_err().to_string().starts_with("hours.zone: \"Europe Paris\""));
    }
}
