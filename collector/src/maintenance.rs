//! When a maintenance window is open: wall clocks, zones and recurrence become spans of time.
//!
//! A window begins at a time on the wall of its zone and lasts for a length of real time: two hours are two hours, also in the night in which the clocks change. A
//! time that is on the wall twice, because clocks go back, means the first of the two. A time that is skipped, because clocks go forward, is told by the clock as it
//! was before: 02:30 that does not exist is the instant that would have been 02:30, when the clocks then show 03:30. (RFC 5545, section 3.3.5, says the same of
//! single dates; within a recurrence it would drop the day, and the work planned for that night with it.)
//!
//! Limits: a window lasts [`LASTS_US_MIN`] to [`LASTS_US_MAX`] and begins within [`YEARS`].

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, db};
use sitepulse_model::coded::{Fault, names_faults};
use sitepulse_model::duration;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::time::{Span, UtcMicros};

use crate::checkfile::words::nearest;

pub mod rest;
mod rule;

pub use rule::{COUNT_MAX, INTERVAL_MAX, Rule};

/// Shortest window, in microseconds: a minute.
pub const LASTS_US_MIN: u64 = 60 * 1_000_000;
/// Longest window, in microseconds: 366 days.
pub const LASTS_US_MAX: u64 = 366 * 86_400 * 1_000_000;
/// The years in which windows may begin.
pub const YEARS: (i16, i16) = (2000, 2199);

const DAY_US: i64 = 86_400 * 1_000_000;

/// When a window is open.
#[derive(Debug, Clone)]
pub struct Timetable {
    zone: TimeZone,
    /// The first beginning, on the wall.
    first: DateTime,
    /// The same as an instant.
    first_at: Timestamp,
    lasts_us: i64,
    rule: Option<Rule>,
}

/// How `from` was written.
enum From {
    At(Timestamp),
    Wall(DateTime),
}

impl Timetable {
    /// The timetable that a window describes.
    ///
    /// # Errors
    /// Everything that cannot be, with its key and the remedy.
    pub fn of(window: &MaintenanceWindow) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut note = |field: &str, what: String| faults.push(Fault::new(field, what));
        let zone = match window.zone.as_deref().map(zone) {
            None => Some(TimeZone::UTC),
            Some(Ok(zone)) => Some(zone),
            Some(Err(what)) => {
                note("zone", what);
                None
            }
        };
        let from = from(&window.from).map_err(|what| note("from", what)).ok();
        let lasts = lasts(&window.lasts).map_err(|what| note("lasts", what)).ok();
        let rule = window.rrule.as_deref().map(Rule::parse).transpose().map_err(|what| note("rrule", what)).ok();
        let (Some(zone), Some(from), Some(lasts_us), Some(rule)) = (zone, from, lasts, rule) else {
            return Err(faults);
        };
        let (first, first_at) = match from {
            From::At(at) => (zone.to_datetime(at), at),
            From::Wall(wall) => match instant(&zone, wall) {
                Some(at) => (wall, at),
                None => return Err(vec![Fault::new("from", "beyond the calendar: write a nearer date")]),
            },
        };
        if let Some(rule) = &rule
            && rule.dates(first.date(), first.date()).next() != Some(first.date())
        {
            let next = rule.dates(first.date(), first.date()).next();
            let remedy = next.map_or_else(
                || "the rule gives no date at all".to_owned(),
                |next| format!("begin with the first one, {}", next.to_datetime(first.time())),
            );
            let what = format!("{first} is none of the dates that the rule gives: {remedy}");
            return Err(vec![Fault::new("from", what)]);
        }
        Ok(Self { zone, first, first_at, lasts_us, rule })
    }

    /// The zone whose wall it stands on.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// When it begins for the first time, on that wall.
    pub fn first_wall(&self) -> DateTime {
        self.first
    }

    /// Every time the window is open within a span, whole, in the order of their beginnings.
    pub fn open(&self, within: Span) -> Vec<Span> {
        self.open_after(within.from).take_while(|open| open.from < within.to).collect()
    }

    /// Every time the window is open that ends after an instant, whole, in the order of their beginnings; without end where the rule has none.
    pub fn open_after(&self, after: UtcMicros) -> impl Iterator<Item = Span> + '_ {
        let span = |at: Timestamp| {
            let from = UtcMicros(at.as_microsecond());
            Span::new(from, from.plus_us(self.lasts_us))
        };
        let once = self.rule.is_none().then(|| span(self.first_at));
        let again = self.rule.as_ref().map(|rule| self.beginnings(rule, after).map(span));
        once.into_iter().chain(again.into_iter().flatten()).filter(move |open| open.to > after)
    }

    /// The beginnings that a rule gives, from before those that matter after an instant.
    fn beginnings<'t>(&'t self, rule: &'t Rule, after: UtcMicros) -> impl Iterator<Item = Timestamp> + 't {
        let counted = matches!(rule.end, rule::End::Count(_));
        // What begins before this is over by then, whatever the zone does meanwhile.
        let earliest = after.plus_us(-self.lasts_us).plus_us(-3 * DAY_US).0.max(self.first_at.as_microsecond());
        let earliest = Timestamp::from_microsecond(earliest).map_or(self.first, |at| self.zone.to_datetime(at));
        let skip_to = if counted { self.first.date() } else { earliest.date() };
        let dates = (1_u32..).zip(rule.dates(self.first.date(), skip_to));
        dates.map_while(move |(number, date)| {
            let wall = date.to_datetime(self.first.time());
            let at = instant(&self.zone, wall)?;
            rule.goes_on(number, wall, at).then_some(at)
        })
    }
}

/// Everything that is wrong with a window's values, but for what it refers to.
pub fn faults(window: &MaintenanceWindow) -> Vec<Fault> {
    let names = [("checks", &window.checks), ("groups", &window.groups), ("tags", &window.tags)];
    let mut faults: Vec<Fault> = names.into_iter().flat_map(|(field, names)| names_faults(field, names)).collect();
    if window.checks.is_empty() && window.groups.is_empty() && window.tags.is_empty() {
        faults.push(Fault::new("", "it covers nothing: name checks, groups or tags"));
    }
    faults.extend(Timetable::of(window).err().unwrap_or_default());
    faults
}

/// The instant of a time on the wall; see the module's head. `None` beyond the calendar.
fn instant(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(wall).compatible().ok()
}

/// A zone of the time zone database; the error is what to write instead.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    if let Ok(zone) = TimeZone::get(name) {
        return Ok(zone);
    }
    let known: Vec<String> = db().available().map(|name| name.to_string()).collect();
    let remedy = nearest(name, known.iter().map(String::as_str))
        .map_or_else(|| "write one like Europe/Paris".to_owned(), |near| format!("did you mean {near:?}?"));
    Err(format!("{name:?} is no IANA time zone: {remedy}"))
}

fn from(text: &str) -> Result<From, String> {
    let from = match (text.parse::<Timestamp>(), text.parse::<DateTime>()) {
        (Ok(at), _) => From::At(at),
        (Err(_), Ok(wall)) => From::Wall(wall),
        (Err(_), Err(_)) => {
            return Err(format!(
                "{text:?} is no instant: write 2026-12-01T02:00 (on the wall of zone) or 2026-12-01T02:00:00Z"
            ));
        }
    };
    let year = match &from {
        From::At(at) => TimeZone::UTC.to_datetime(*at).year(),
        From::Wall(wall) => wall.year(),
    };
    let finer = match &from {
        From::At(at) => at.subsec_nanosecond() != 0,
        From::Wall(wall) => wall.subsec_nanosecond() != 0,
    };
    if !(YEARS.0..=YEARS.1).contains(&year) {
        return Err(format!("{text:?}: allowed are the years {} to {}", YEARS.0, YEARS.1));
    }
    if finer { Err(format!("{text:?}: use whole seconds")) } else { Ok(from) }
}

fn lasts(text: &str) -> Result<i64, String> {
    let us = duration::parse(text).map_err(|error| error.to_string())?;
    if !(LASTS_US_MIN..=LASTS_US_MAX).contains(&us) {
        let (min, max) = (duration::format(LASTS_US_MIN), duration::format(LASTS_US_MAX));
        return Err(format!("{text}: allowed are {min} to {max}"));
    }
    Ok(us.cast_signed())
}

#[cfg(test)]
mod tests;
