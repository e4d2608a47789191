//! A schedule over some days as a picture: a row for each layer and one for who is on call in the end.
//!
//! A day is as wide as any other, also where a change of the clocks makes it an hour longer or shorter: it begins at midnight on the wall of the
//! schedule's zone, and within it time runs evenly.

use std::collections::BTreeMap;

use askama::Template;
use sitepulse_daemon::instant;
use sitepulse_model::oncall::roster::{Roster, Shift};
use sitepulse_model::oncall::{Override, Schedule};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::wall::{WallMicros, Zone, weekday};

use super::parts::short;
use crate::present::text::Texts;
use crate::present::text::desk::DeskTexts;

/// Width of the row's names, in units of the picture.
const NAMES: f64 = 104.0;
/// Width of all days together.
const DAYS: f64 = 1092.0;
/// Height of a row.
const ROW: f64 = 34.0;
/// Height of the days' names.
const HEAD: f64 = 30.0;
/// How wide a letter is, about.
const LETTER: f64 = 7.4;
/// What a bar keeps free beside its name.
const NAME_EDGE: f64 = 12.0;
/// How many colours tell users apart; more share them.
const COLOURS: usize = 8;

/// Where instants lie among days.
#[derive(Debug, Clone)]
pub(super) struct Days {
    /// The first midnights of each day, and the one after the last.
    bounds: Vec<UtcMicros>,
    first: i64,
}

impl Days {
    /// So many days from one on, told in days since 1970-01-01, on the wall of a zone.
    pub(super) fn of(zone: &impl Zone, first: i64, count: u32) -> Self {
        let bounds = (first..=first + i64::from(count)).map(|day| zone.instant(WallMicros::of(day, 0))).collect();
        Self { bounds, first }
    }

    /// All of them.
    pub(super) fn span(&self) -> Span {
        let ends = (self.bounds.first(), self.bounds.last());
        Span::new(ends.0.copied().unwrap_or_default(), ends.1.copied().unwrap_or_default())
    }

    fn count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Where an instant lies, in days from the first midnight on.
    fn place(&self, at: UtcMicros) -> f64 {
        let day = self.bounds.partition_point(|bound| *bound <= at).saturating_sub(1).min(self.count() - 1);
        let (from, to) = (self.bounds[day], self.bounds[day + 1]);
        let part = if to > from { at.us_since(from) as f64 / to.us_since(from) as f64 } else { 0.0 };
        day as f64 + part.clamp(0.0, 1.0)
    }

    fn hours(&self, day: usize) -> i64 {
        self.bounds[day + 1].us_since(self.bounds[day]) / 3_600_000_000
    }
}

/// The picture.
#[derive(Debug, Template)]
#[template(path = "desk/calendar.html")]
pub(super) struct Calendar<'a> {
    d: &'a DeskTexts,
    /// The schedule's id.
    id: String,
    label: String,
    width: String,
    height: String,
    days: Vec<DayColumn>,
    rows: Vec<RowOf>,
    now: Option<String>,
    list: Vec<Listed>,
}

#[derive(Debug)]
struct DayColumn {
    x: String,
    width: String,
    middle: String,
    name: String,
    weekend: bool,
    /// What the clock does on it; empty: nothing.
    change: String,
}

#[derive(Debug)]
struct RowOf {
    name: String,
    y: String,
    middle: String,
    last: bool,
    bars: Vec<BarOf>,
}

#[derive(Debug)]
struct BarOf {
    x: String,
    y: String,
    width: String,
    colour: usize,
    /// Nobody is on call.
    gap: bool,
    name: String,
    title: String,
}

/// A shift as a line of a table.
#[derive(Debug)]
struct Listed {
    from: String,
    to: String,
    who: String,
    by: String,
}

/// A time on the wall, to the minute.
pub(super) fn wall_text(zone: &impl Zone, at: UtcMicros) -> String {
    let text = instant::format(UtcMicros(zone.wall(at).0));
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// As much of a name as a bar has room for: all of it, the first part, or its initials; else nothing.
fn fitting(name: &str, width: f64) -> String {
    let initials: String = name.split_whitespace().filter_map(|part| part.chars().next()).collect();
    let first = name.split_whitespace().next().unwrap_or_default();
    // One letter alone says nothing.
    let fits = |text: &&str| text.len() > 1 && text.chars().count() as f64 * LETTER + NAME_EDGE <= width;
    [name, first, initials.as_str()].into_iter().find(fits).unwrap_or_default().to_owned()
}

/// The shifts of each layer by itself, the lowest first.
fn layers(schedule: &Schedule, zone: &impl Zone, span: Span) -> Vec<Vec<Shift>> {
    let alone = |layer: &sitepulse_model::oncall::Layer| {
        let one = Schedule { layers: vec![layer.clone()], overrides: Vec::<Override>::new(), ..schedule.clone() };
        Roster::of(&one).map(|roster| roster.over(zone, span)).unwrap_or_default()
    };
    schedule.layers.iter().map(alone).collect()
}

impl<'a> Calendar<'a> {
    /// Draws a schedule; `shifts` is who is on call in the end, `names` what users are called, `by` why somebody is.
    pub(super) fn of(
        schedule: &Schedule,
        zone: &impl Zone,
        days: &Days,
        shifts: &[Shift],
        names: &BTreeMap<String, String>,
        by: &dyn Fn(&Shift) -> String,
        (now, t): (UtcMicros, &'a Texts),
    ) -> Self {
        let d = t.desk;
        let day = DAYS / days.count() as f64;
        let x = |at: UtcMicros| NAMES + days.place(at) * day;
        let layered = layers(schedule, zone, days.span());
        let mut colours: Vec<&str> = Vec::new();
        for shift in layered.iter().flatten().chain(shifts) {
            if let Some(on_call) = &shift.on_call
                && !colours.contains(&on_call.user.as_str())
            {
                colours.push(&on_call.user);
            }
        }
        let name = |user: &str| names.get(user).cloned().unwrap_or_else(|| user.to_owned());
        let bars = |row: usize, shifts: &[Shift], gaps: bool| -> Vec<BarOf> {
            let y = HEAD + row as f64 * ROW + 4.0;
            let shown = shifts.iter().filter(|shift| gaps || shift.on_call.is_some());
            shown
                .map(|shift| {
                    let (from, to) = (x(shift.span.from), x(shift.span.to));
                    let width = (to - from - 1.5).max(1.0);
                    let user = shift.on_call.as_ref().map(|one| one.user.as_str());
                    let who = user.map_or_else(|| d.gap.to_owned(), name);
                    let (from_text, to_text) = (wall_text(zone, shift.span.from), wall_text(zone, shift.span.to));
                    BarOf {
                        x: short(from),
                        y: short(y),
                        width: short(width),
                        colour: user.and_then(|user| colours.iter().position(|one| *one == user)).unwrap_or(0)
                            % COLOURS,
                        gap: user.is_none(),
                        name: fitting(&who, width),
                        title: format!("{who}: {from_text} – {to_text}"),
                    }
                })
                .collect()
        };
        let row = |at: usize, name: String, last: bool, bars: Vec<BarOf>| {
            let y = HEAD + at as f64 * ROW;
            RowOf { name, y: short(y), middle: short(y + ROW / 2.0 + 4.0), last, bars }
        };
        let count = layered.len();
        let mut rows: Vec<RowOf> = Vec::new();
        if count > 1 || !schedule.overrides.is_empty() {
            let of = layered.iter().enumerate().rev();
            rows.extend(
                of.enumerate().map(|(at, (n, shifts))| row(at, (d.layer)(n + 1), false, bars(at, shifts, false))),
            );
        }
        let at = rows.len();
        rows.push(row(at, d.final_row.to_owned(), true, bars(at, shifts, true)));
        let columns = (0..days.count()).map(|at| {
            let number = days.first + at as i64;
            let name = d.weekday;
            let wall = instant::format(UtcMicros(WallMicros::of(number, 0).0));
            let of_month = wall.get(8..10).unwrap_or_default().trim_start_matches('0').to_owned();
            let from = NAMES + at as f64 * day;
            DayColumn {
                x: short(from),
                width: short(day),
                middle: short(from + day / 2.0),
                // Names of days where there is room.
                name: if days.count() > 14 { of_month } else { format!("{} {of_month}", name(weekday(number))) },
                weekend: weekday(number) >= 5,
                change: match days.hours(at) {
                    24 => String::new(),
                    hours => (d.clock_changes)(&format!("{hours} h")),
                },
            }
        });
        let list = shifts.iter().map(|shift| Listed {
            from: wall_text(zone, shift.span.from),
            to: wall_text(zone, shift.span.to),
            who: shift.on_call.as_ref().map_or_else(|| d.gap.to_owned(), |one| name(&one.user)),
            by: by(shift),
        });
        Self {
            d,
            id: schedule.id.clone(),
            label: format!("{} {}", d.calendar, schedule.id),
            width: short(NAMES + DAYS),
            height: short(HEAD + rows.len() as f64 * ROW + 2.0),
            days: columns.collect(),
            now: days.span().contains(now).then(|| short(x(now))),
            list: list.collect(),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oncall::zone::WallZone;

    #[test]
    fn a_day_of_twenty_five_hours_is_as_wide_as_any_other() {
        let zone = WallZone::named("Europe/Paris").unwrap();
        let first = WallMicros::parse("2026-10-24").unwrap().day();
        let days = Days::of(&zone, first, 3);
        assert_eq!([days.hours(0), days.hours(1), days.hours(2)], [24, 25, 24]);
        let place = |wall: &str| days.place(zone.instant(WallMicros::parse(wall).unwrap()));
        assert!((place("2026-10-25") - 1.0).abs() < 1e-9);
        assert!((place("2026-10-26") - 2.0).abs() < 1e-9, "the day after begins where every day begins");
        // Noon comes after 13 of the 25 hours.
        assert!((place("2026-10-25T12:00") - (1.0 + 13.0 / 25.0)).abs() < 1e-9);
    }

    #[test]
    fn a_bar_holds_as_much_of_a_name_as_it_has_room_for() {
        assert_eq!(
            ["", "AS", "Ana", "Ana Silva"].map(str::to_owned),
            [10.0, 30.0, 40.0, 200.0].map(|width| fitting("Ana Silva", width))
        );
    }

    #[test]
    fn what_lies_outside_stays_at_the_edge() {
        let days = Days::of(&WallZone::UTC, 20_000, 2);
        assert!(days.place(UtcMicros::MIN).abs() < 1e-9);
        assert!((days.place(UtcMicros::MAX) - 2.0).abs() < 1e-9);
    }
}
