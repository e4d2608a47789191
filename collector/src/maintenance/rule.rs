//! Recurrence rules of RFC 5545, as far as maintenance needs them: which dates they give, apart from clocks and zones.
//!
//! Taken are `FREQ` (`DAILY`, `WEEKLY`, `MONTHLY`), `INTERVAL`, `BYDAY` (with ordinals like `1MO` and `-1FR` where the rule is monthly), `BYMONTHDAY` (not where it
//! is weekly), `COUNT` and `UNTIL`. Weeks begin on Monday. A date that a month does not have, like the 31st of April, is left out and not counted. Anything else is
//! refused, so that no rule means less than it says.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// Most repetitions that are counted.
pub const COUNT_MAX: u32 = 10_000;
/// Longest step, in days, weeks or months.
pub const INTERVAL_MAX: u32 = 1_000;

/// The days of a week as rules write them, with their texts.
const DAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
}

/// How a rule ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Never.
    Never,
    /// After so many.
    Count(u32),
    /// At this instant, which is the last that may begin one.
    Until(Timestamp),
    /// At this time on the wall, which is the last that may begin one.
    UntilWall(DateTime),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    frequency: Frequency,
    interval: i64,
    /// Ordinal (0 for every one) and weekday.
    days: Vec<(i8, Weekday)>,
    month_days: BTreeSet<i8>,
    /// How it ends.
    pub end: End,
}

impl Rule {
    /// Reads a rule, with or without `RRULE:` before it.
    ///
    /// # Errors
    /// What cannot be, with the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rule = Self {
            frequency: Frequency::Daily,
            interval: 1,
            days: Vec::new(),
            month_days: BTreeSet::new(),
            end: End::Never,
        };
        let mut seen: Vec<&str> = Vec::new();
        for part in text.trim().strip_prefix("RRULE:").unwrap_or(text.trim()).split(';') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is no part of a rule: write FREQ=WEEKLY;BYDAY=SU"))?;
            if seen.contains(&key) {
                return Err(format!("{key} stands twice: once is enough"));
            }
            seen.push(key);
            rule.take(key, value)?;
        }
        let freq = "FREQ is missing: begin with FREQ=DAILY, FREQ=WEEKLY or FREQ=MONTHLY";
        if !seen.contains(&"FREQ") {
            return Err(freq.to_owned());
        }
        if seen.contains(&"COUNT") && seen.contains(&"UNTIL") {
            return Err("give either COUNT or UNTIL, not both".to_owned());
        }
        if rule.frequency == Frequency::Weekly && !rule.month_days.is_empty() {
            return Err("BYMONTHDAY means nothing to FREQ=WEEKLY: use FREQ=MONTHLY, or leave it out".to_owned());
        }
        if rule.frequency != Frequency::Monthly && rule.days.iter().any(|(ordinal, _)| *ordinal != 0) {
            return Err("BYDAY takes an ordinal, as in 1MO, with FREQ=MONTHLY alone".to_owned());
        }
        Ok(rule)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = |max: u32| {
            let number = value.parse().ok().filter(|number| (1..=max).contains(number));
            number.ok_or_else(|| format!("{key}={value}: write a whole number from 1 to {max}"))
        };
        match key {
            "FREQ" => {
                self.frequency = match value {
                    "DAILY" => Frequency::Daily,
                    "WEEKLY" => Frequency::Weekly,
                    "MONTHLY" => Frequency::Monthly,
                    _ => return Err(format!("FREQ={value}: write DAILY, WEEKLY or MONTHLY")),
                }
            }
            "INTERVAL" => self.interval = i64::from(number(INTERVAL_MAX)?),
            "COUNT" => self.end = End::Count(number(COUNT_MAX)?),
            "UNTIL" => self.end = until(value)?,
            "BYDAY" => self.days = value.split(',').map(day).collect::<Result<_, _>>()?,
            "BYMONTHDAY" => {
                let one = |text: &str| {
                    let day = text.parse::<i8>().ok().filter(|day| (-31..=31).contains(day) && *day != 0);
                    day.ok_or_else(|| format!("BYMONTHDAY={text}: write days from 1 to 31, or from the end: -1 to -31"))
                };
                self.month_days = value.split(',').map(one).collect::<Result<_, _>>()?;
            }
            _ => {
                return Err(format!("{key} is not taken: use FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT and UNTIL"));
            }
        }
        Ok(())
    }

    /// The dates from `first` on, ascending and without end: the caller counts and stops. Begins with the step of the rule that `skip_to` lies in, or earlier.
    pub fn dates(&self, first: Date, skip_to: Date) -> impl Iterator<Item = Date> + '_ {
        let month = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
        let monday = first.checked_sub(i64::from(first.weekday().to_monday_zero_offset()).days()).unwrap_or(Date::MIN);
        let days = |from: Date| i64::from((skip_to - from).get_days());
        let away = match self.frequency {
            Frequency::Daily => days(first),
            Frequency::Weekly => days(monday).div_euclid(7),
            Frequency::Monthly => month(skip_to) - month(first),
        };
        let step = (away / self.interval).max(0);
        let step_dates = move |step: i64| -> Option<Vec<Date>> {
            let ahead = step.checked_mul(self.interval)?;
            Some(match self.frequency {
                Frequency::Daily => self.fitting(first.checked_add(ahead.days()).ok()?, 1, true),
                Frequency::Weekly => {
                    let monday = monday.checked_add((ahead * 7).days()).ok()?;
                    if self.days.is_empty() {
                        let offset = i64::from(first.weekday().to_monday_zero_offset());
                        vec![monday.checked_add(offset.days()).ok()?]
                    } else {
                        self.fitting(monday, 7, true)
                    }
                }
                Frequency::Monthly => {
                    let month = month(first) + ahead;
                    let year = i16::try_from(month.div_euclid(12)).ok()?;
                    let begin = Date::new(year, i8::try_from(month.rem_euclid(12)).ok()? + 1, 1).ok()?;
                    if self.days.is_empty() && self.month_days.is_empty() {
                        Date::new(begin.year(), begin.month(), first.day()).into_iter().collect()
                    } else {
                        self.fitting(begin, i64::from(begin.days_in_month()), false)
                    }
                }
            })
        };
        (step..).map_while(step_dates).flatten().filter(move |date| *date >= first)
    }

    /// The days among `count` from `begin` on that the rule's BYDAY and BYMONTHDAY take.
    fn fitting(&self, begin: Date, count: i64, any_ordinal: bool) -> Vec<Date> {
        let dates = (0..count).filter_map(|ahead| begin.checked_add(ahead.days()).ok());
        let by_day = |date: &Date| {
            let weekday = date.weekday();
            let nth = (date.day() - 1) / 7 + 1;
            let last = (date.days_in_month() - date.day()) / 7 + 1;
            self.days.is_empty()
                || self.days.iter().any(|(ordinal, day)| {
                    *day == weekday && (any_ordinal || *ordinal == 0 || *ordinal == nth || *ordinal == -last)
                })
        };
        let by_month_day = |date: &Date| {
            let from_end = date.day() - date.days_in_month() - 1;
            self.month_days.is_empty() || self.month_days.contains(&date.day()) || self.month_days.contains(&from_end)
        };
        dates.filter(|date| by_day(date) && by_month_day(date)).collect()
    }

    /// Whether the rule may begin one more, the `number`th from 1, at this time on the wall.
    pub fn goes_on(&self, number: u32, wall: DateTime, at: Timestamp) -> bool {
        match self.end {
            End::Never => true,
            End::Count(count) => number <= count,
            End::Until(until) => at <= until,
            End::UntilWall(until) => wall <= until,
        }
    }
}

fn until(value: &str) -> Result<End, String> {
    let bad = || {
        format!("UNTIL={value}: write 20261231T235959Z, 20261231T235959 (on the wall) or 20261231 (through that day)")
    };
    if value.len() == 8 {
        let date = Date::strptime("%Y%m%d", value).map_err(|_| bad())?;
        return Ok(End::UntilWall(date.at(23, 59, 59, 999_999_999)));
    }
    let utc = value.strip_suffix('Z');
    let wall = DateTime::strptime("%Y%m%dT%H%M%S", utc.unwrap_or(value)).map_err(|_| bad())?;
    match utc {
        Some(_) => TimeZone::UTC.to_timestamp(wall).map(End::Until).map_err(|_| bad()),
        None => Ok(End::UntilWall(wall)),
    }
}

/// `MO`, `1MO`, `-1FR`.
fn day(text: &str) -> Result<(i8, Weekday), String> {
    let bad = || {
        format!("BYDAY={text}: write MO, TU, WE, TH, FR, SA or SU, with FREQ=MONTHLY also 1MO to 5MO and -1MO to -5MO")
    };
    let (ordinal, name) = text.split_at_checked(text.len().saturating_sub(2)).ok_or_else(bad)?;
    let weekday = DAYS.iter().find(|(known, _)| *known == name).map(|(_, weekday)| *weekday).ok_or_else(bad)?;
    if ordinal.is_empty() {
        return Ok((0, weekday));
    }
    let ordinal = ordinal.parse::<i8>().ok().filter(|ordinal| (-5..=5).contains(ordinal) && *ordinal != 0);
    Ok((ordinal.ok_or_else(bad)?, weekday))
}
