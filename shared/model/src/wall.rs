//! Times as a clock on a wall shows them, and what they mean as instants.
//!
//! What a zone's clock shows is not known here: a [`Zone`] is handed in. One rule holds for every time on the wall that people write about duty and rest: it means
//! the first instant at which the clock shows that time or a later one. So a time that is skipped, because clocks go forward, is the instant after the gap, and
//! one that is shown twice, because clocks go back, is the first of the two.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::service_hours::{DAYS, Day, minutes};
use crate::time::{SECOND_US, Span, UtcMicros, union};

/// Microseconds of a minute.
const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds of a day on the wall.
pub const DAY_US: i64 = 86_400 * SECOND_US;
/// How far around an instant stretches are looked for: a week, and some.
const AROUND_US: i64 = 9 * DAY_US;

/// A time on the wall: microseconds since 1970-01-01T00:00 there, by a calendar whose days all have 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallMicros(pub i64);

impl WallMicros {
    /// Reads `2026-11-01` (its midnight) or `2026-11-01T09:00`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no time on the wall: write \"2026-11-01\" or \"2026-11-01T09:00\"");
        let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
        let day = Day::parse(day).map_err(|_| bad())?;
        // TOML's own times have seconds.
        let time = time.strip_suffix(":00").filter(|rest| rest.contains(':')).unwrap_or(time);
        let minute = minutes(time).filter(|minute| *minute < 1440).ok_or_else(bad)?;
        Ok(Self::of(day.since_1970(), minute))
    }

    /// A minute of a day that is told in days since 1970-01-01; 1440 is the midnight at its end.
    pub const fn of(day: i64, minute: u16) -> Self {
        Self(day * DAY_US + minute as i64 * MINUTE_US)
    }

    /// Its day, in days since 1970-01-01.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY_US)
    }
}

/// The place of a day in the week, 0 for Monday. 1970-01-01 was a Thursday.
pub const fn weekday(day: i64) -> usize {
    (day + 3).rem_euclid(7) as usize
}

/// What the clocks of a zone show.
pub trait Zone {
    /// The first instant at which the clock shows this time or a later one.
    fn instant(&self, wall: WallMicros) -> UtcMicros;

    /// What the clock shows at an instant.
    fn wall(&self, at: UtcMicros) -> WallMicros;
}

/// Reads `09:00`, up to `24:00`, as minutes of the day.
///
/// # Errors
/// What to write instead.
pub fn time_of_day(text: &str) -> Result<u16, String> {
    minutes(text).ok_or_else(|| format!("{text:?} is no time of day: write hours and minutes, like \"09:00\""))
}

/// Reads `mon`.
///
/// # Errors
/// What to write instead.
pub fn day_of_week(text: &str) -> Result<usize, String> {
    let place = DAYS.iter().position(|day| text.eq_ignore_ascii_case(day));
    place.ok_or_else(|| format!("{text:?} is no day: write one of {}", DAYS.join(", ")))
}

/// Reads `["mon", "wed-fri"]`; none are all.
///
/// # Errors
/// The place of the one that cannot be read, and what to write instead.
pub fn days_of_week(texts: &[String]) -> Result<[bool; 7], (usize, String)> {
    let mut days = [texts.is_empty(); 7];
    for (at, text) in texts.iter().enumerate() {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let read = |text: &str| day_of_week(text).map_err(|what| (at, what));
        let (first, last) = (read(first)?, read(last)?);
        for day in 0..=(last + 7 - first) % 7 {
            days[(first + day) % 7] = true;
        }
    }
    Ok(days)
}

/// A stretch of some days of the week, by the time on the wall. It ends on the next day where its end is not after its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    days: [bool; 7],
    from: u16,
    to: u16,
}

impl Stretch {
    /// Reads the days on which it begins (none: every day), and its two times.
    ///
    /// # Errors
    /// The keys at fault, `days[1]`, `from` or `to`, each with what to write instead.
    pub fn parse(days: &[String], from: &str, to: &str) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let days = days_of_week(days).map_err(|(at, what)| faults.push((format!("days[{at}]"), what))).ok();
        let from = time_of_day(from).map_err(|what| faults.push(("from".to_string(), what))).ok();
        let to = time_of_day(to).map_err(|what| faults.push(("to".to_string(), what))).ok();
        if from == Some(1440) {
            faults.push(("from".to_string(), "a day begins at \"00:00\"".to_string()));
        }
        if from.is_some() && from == to {
            faults.push(("to".to_string(), "it ends when it begins: for a whole day write 00:00 to 24:00".to_string()));
        }
        match (days, from, to) {
            (Some(days), Some(from), Some(to)) if faults.is_empty() => Ok(Self { days, from, to }),
            _ => Err(faults),
        }
    }

    /// Whether it never ends: every day, all day.
    pub fn is_always(&self) -> bool {
        self.days == [true; 7] && self.from == 0 && self.to == 1440
    }

    /// Every time it is on within a span, whole, in the order of their beginnings; such as last no time are left out.
    pub fn spans<'s>(&'s self, zone: &'s impl Zone, within: Span) -> impl Iterator<Item = Span> + 's {
        let first = zone.wall(within.from).day() - 3;
        let last = zone.wall(within.to).day() + 1;
        (first..=last)
            .filter(|day| self.days[weekday(*day)])
            .map(|day| {
                let end = if self.to > self.from { day } else { day + 1 };
                Span::new(zone.instant(WallMicros::of(day, self.from)), zone.instant(WallMicros::of(end, self.to)))
            })
            .filter(move |span| !span.is_empty() && span.to > within.from && span.from < within.to)
    }

    /// When it ends, where it is on at an instant: one time that follows on another without a pause is the same.
    pub fn ends_after(&self, zone: &impl Zone, at: UtcMicros) -> Option<UtcMicros> {
        let around = Span::new(at.plus_us(-AROUND_US), at.plus_us(AROUND_US));
        union(self.spans(zone, around).collect()).into_iter().find(|span| span.contains(at)).map(|span| span.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_on_the_wall_are_read() {
        assert_eq!(WallMicros::parse("1970-01-02"), Ok(WallMicros(DAY_US)));
        assert_eq!(WallMicros::parse("1970-01-02T01:30"), Ok(WallMicros(DAY_US + 90 * MINUTE_US)));
        assert_eq!(WallMicros::parse("1970-01-02T01:30:00"), Ok(WallMicros(DAY_US + 90 * MINUTE_US)));
        assert_eq!(WallMicros::parse("1970-01-02T01:00"), Ok(WallMicros(DAY_US + 60 * MINUTE_US)));
        for bad in ["", "1970-01-32", "1970-01-02T24:00", "1970-01-02T9:00", "1970-01-02T09:00Z", "mon 09:00"] {
            assert!(WallMicros::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(weekday(0), 3, "a Thursday");
    }

    #[test]
    fn days_are_read_one_by_one_and_from_one_to_another() {
        let days = |texts: &[&str]| days_of_week(&texts.iter().map(|text| String::from(*text)).collect::<Vec<_>>());
        assert_eq!(days(&[]), Ok([true; 7]));
        assert_eq!(days(&["mon", "fri-sun"]), Ok([true, false, false, false, true, true, true]));
        assert_eq!(days(&["sat-mon"]), Ok([true, false, false, false, false, true, true]));
        assert_eq!(days(&["mon", "day"]).unwrap_err().0, 1);
    }
}
