//! When a job is due: a period, or a cron line in a time zone.
//!
//! Cron means what Debian's cron means. Five fields; of day of month and day of week either one is enough where both are given, and both
//! are needed where one of them begins with `*` (`*/2` too). When clocks go forward, a job with a fixed time within the gap is due right
//! after it; when they go back, it is due at the first of the two, and lists of fixed times alike. A job with `*` in its hours or minutes
//! follows the clock on the wall, so none within the gap, both within the overlap.

use croner::Cron;
use croner::parser::CronParser;
use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use sitepulse_model::check::{CheckKind, HeartbeatTarget};
use sitepulse_model::time::UtcMicros;

/// When a job is due, and how late it may be.
#[derive(Debug, Clone)]
pub struct Timing {
    due: Due,
    /// How late a success may be; after a start, how long the job may take. Microseconds.
    pub grace_us: i64,
}

#[derive(Debug, Clone)]
enum Due {
    Period(i64),
    /// `*` in minutes or hours: whatever the wall's clock shows.
    Wall(Box<Cron>, TimeZone),
    /// Fixed times on the days of a cron line, which is asked in UTC for its days alone. Ascending, never empty.
    Times {
        days: Box<Cron>,
        times: Vec<Time>,
        zone: TimeZone,
    },
}

impl Timing {
    /// The timing of a heartbeat; `None` for any other kind. Errors as [`Timing::of`].
    pub fn of_kind(kind: &CheckKind) -> Option<Result<Self, String>> {
        if let CheckKind::Heartbeat(target) = kind { Some(Self::of(target)) } else { None }
    }

    /// The timing that a check file describes.
    ///
    /// # Errors
    /// Which key cannot be, with the remedy.
    pub fn of(target: &HeartbeatTarget) -> Result<Self, String> {
        let us = |us: u64| i64::try_from(us).map_err(|_| "period, grace: too long".to_owned());
        let grace_us = us(target.grace.0)?;
        let due = match (&target.period, &target.cron) {
            (Some(_), Some(_)) => return Err("cron: give either a period or cron, not both".into()),
            (None, None) => return Err("period: a heartbeat needs a period or cron".into()),
            (Some(_), None) if target.zone.is_some() => return Err("zone: only cron has a time zone".into()),
            (Some(period), None) if period.0 == 0 => return Err("period: must be longer than nothing".into()),
            (Some(period), None) => Due::Period(us(period.0)?),
            (None, Some(line)) => {
                let zone = target.zone.as_deref().unwrap_or("UTC");
                let zone = TimeZone::get(zone)
                    .map_err(|_| format!("zone: {zone:?} is no IANA time zone: write one like Europe/Paris"))?;
                due(line, zone)?
            }
        };
        let timing = Self { due, grace_us };
        // A day that never comes is found here, not while watching.
        match timing.due_after(UtcMicros(0)) {
            Some(_) => Ok(timing),
            None => Err("cron: this never comes".into()),
        }
    }

    /// When the job is due next after an instant; `None` only where the calendar ends.
    pub fn due_after(&self, at: UtcMicros) -> Option<UtcMicros> {
        match &self.due {
            Due::Period(us) => Some(at.plus_us(*us)),
            // Lines are whole minutes; a fraction of a second would only be carried along.
            Due::Wall(cron, zone) => {
                let second = Timestamp::from_second(at.0.div_euclid(1_000_000)).ok()?;
                let next = cron.find_next_occurrence(&second.to_zoned(zone.clone()), false).ok()?;
                Some(UtcMicros(next.timestamp().as_microsecond()))
            }
            Due::Times { days, times, zone } => {
                let after = Timestamp::from_microsecond(at.0).ok()?;
                let mut day = after.to_zoned(zone.clone()).date().yesterday().ok()?.to_zoned(TimeZone::UTC).ok()?;
                loop {
                    day = days.find_next_occurrence(&day, false).ok()?;
                    let due = times.iter().filter_map(|time| instant(zone, day.date().to_datetime(*time)));
                    if let Some(due) = due.into_iter().find(|due| *due > after) {
                        return Some(UtcMicros(due.as_microsecond()));
                    }
                }
            }
        }
    }
}

/// When a time on the wall comes: within the gap right after it, of two the first.
fn instant(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_zoned(wall);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            Some(ambiguous.earlier().ok()?.timestamp())
        }
        AmbiguousOffset::Gap { .. } => {
            // As far after the gap as the time is within it.
            let later = ambiguous.later().ok()?.timestamp();
            Some(zone.preceding(later.checked_add(1.second()).ok()?).next()?.timestamp())
        }
    }
}

fn due(line: &str, zone: TimeZone) -> Result<Due, String> {
    let whole = cron(line)?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (minutes, hours) = (fields[0], fields[1]);
    if minutes.contains('*') || hours.contains('*') {
        return Ok(Due::Wall(Box::new(whole), zone));
    }
    let unusable = || format!("cron: {line:?}: minutes and hours are numbers, lists and ranges");
    let minutes = numbers(minutes).ok_or_else(unusable)?;
    let hours = numbers(hours).ok_or_else(unusable)?;
    let both = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| Time::new(*hour, *minute, 0, 0)));
    let mut times = both.collect::<Result<Vec<Time>, _>>().map_err(|_| unusable())?;
    times.sort_unstable();
    let days = Box::new(cron(&format!("0 0 {}", fields[2..].join(" ")))?);
    Ok(Due::Times { days, times, zone })
}

/// The numbers of a field without `*`, which the parser has found good.
fn numbers(field: &str) -> Option<Vec<i8>> {
    let mut out = Vec::new();
    for part in field.split(',') {
        let (range, step) =
            part.split_once('/').map_or(Some((part, 1)), |(range, step)| Some((range, step.parse().ok()?)))?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (i8, i8) = (first.parse().ok()?, last.parse().ok()?);
        out.extend((first..=last).step_by(std::num::NonZeroUsize::new(step)?.get()));
    }
    (!out.is_empty()).then_some(out)
}

fn cron(line: &str) -> Result<Cron, String> {
    let fields = line.split_whitespace().count();
    if fields != 5 || line.contains('@') {
        return Err(format!(
            "cron: {line:?} has {fields} fields: write five, minute hour day-of-month month day-of-week, like \"30 2 * * 1-5\""
        ));
    }
    let days_are_both_needed = [2, 4].into_iter().any(|field| {
        let field = line.split_whitespace().nth(field);
        field.is_some_and(|field| field.starts_with('*'))
    });
    CronParser::builder()
        .dom_and_dow(days_are_both_needed)
        .build()
        .parse(line)
        .map_err(|error| format!("cron: {line:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use jiff::Zoned;
    use proptest::prelude::*;
    use sitepulse_model::check::DurationUs;

    use super::*;

    fn target(cron: &str, zone: &str) -> HeartbeatTarget {
        HeartbeatTarget {
            period: None,
            cron: Some(cron.into()),
            zone: Some(zone.into()),
            grace: DurationUs(60_000_000),
        }
    }

    fn next(line: &str, zone: &str, after: &str) -> String {
        let at: Timestamp = after.parse().unwrap();
        let timing = Timing::of(&target(line, zone)).unwrap();
        let due = timing.due_after(UtcMicros(at.as_microsecond())).unwrap();
        Timestamp::from_microsecond(due.0).unwrap().to_string()
    }

    #[test]
    fn a_job_in_the_gap_is_due_right_after_it_and_one_in_the_overlap_once() {
        // Paris goes from 02:00 to 03:00 on 2026-03-29 and from 03:00 back to 02:00 on 2026-10-25.
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
        // A list of fixed times is fixed too.
        assert_eq!(next("0 2,4 * * *", "America/New_York", "2026-03-07T09:00:00Z"), "2026-03-08T07:00:00Z");
        assert_eq!(next("0,30 2 * * *", "Europe/Paris", "2026-10-25T00:30:00Z"), "2026-10-26T01:00:00Z");
        assert_eq!(next("30 * * * *", "Europe/Paris", "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00Z");
        assert_eq!(next("0 2 * * *", "UTC", "2026-01-01T01:59:59.7Z"), "2026-01-01T02:00:00Z");
        assert_eq!(next("0 2 * * *", "UTC", "2026-01-01T02:00:00.5Z"), "2026-01-02T02:00:00Z");
    }

    #[test]
    fn a_day_field_that_begins_with_a_star_narrows_the_other() {
        // Mondays that are odd days: 2026-06-01 is the first Monday of June, the 8th is even, the 15th odd.
        assert_eq!(next("0 3 */2 * 1", "UTC", "2026-06-01T03:00:00Z"), "2026-06-15T03:00:00Z");
        assert_eq!(next("0 3 1 * */2", "UTC", "2026-06-01T03:00:00Z"), "2026-08-01T03:00:00Z");
        // Where both are given either one is enough: the 2nd, and Mondays.
        assert_eq!(next("0 3 2 * 1", "UTC", "2026-06-01T03:00:00Z"), "2026-06-02T03:00:00Z");
        assert_eq!(next("* * */2 * 1", "UTC", "2026-06-01T23:59:00Z"), "2026-06-15T00:00:00Z");
    }

    #[test]
    fn what_cannot_be_is_told_with_its_key() {
        for (line, zone, says) in [
            ("* * * *", "UTC", "five"),
            ("0 0 * * * *", "UTC", "five"),
            ("@daily", "UTC", "five"),
            ("61 * * * *", "UTC", "cron: "),
            ("0 0 30 2 *", "UTC", "never"),
            ("0 0 * * *", "Europe/Nowhere", "zone: "),
        ] {
            let error = Timing::of(&target(line, zone)).unwrap_err();
            assert!(error.contains(says), "{line} {zone}: {error}");
        }
        let both = HeartbeatTarget { period: Some(DurationUs(1)), ..target("0 0 * * *", "UTC") };
        assert!(Timing::of(&both).is_err());
    }

    /// One field as a set of numbers, read on its own.
    fn set(field: &str, least: u32, most: u32) -> Vec<u32> {
        let mut out = Vec::new();
        for part in field.split(',') {
            let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse().unwrap()));
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (least, most),
                Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
                None => (range.parse().unwrap(), range.parse().unwrap()),
            };
            out.extend((first..=last).step_by(step));
        }
        out
    }

    struct Naive {
        fields: Vec<Vec<u32>>,
        either_day: bool,
        fixed: bool,
    }

    impl Naive {
        fn new(line: &str) -> Self {
            let texts: Vec<&str> = line.split(' ').collect();
            let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
            let fields = texts.iter().zip(bounds).map(|(text, (least, most))| set(text, least, most)).collect();
            let fixed = !texts[0].contains('*') && !texts[1].contains('*');
            Self { fields, either_day: !texts[2].starts_with('*') && !texts[4].starts_with('*'), fixed }
        }

        fn matches(&self, at: DateTime) -> bool {
            let has = |field: usize, value: i8| self.fields[field].contains(&(value as u32));
            let (day, weekday) = (has(2, at.day()), has(4, at.weekday().to_sunday_zero_offset()));
            let days = if self.either_day { day || weekday } else { day && weekday };
            has(0, at.minute()) && has(1, at.hour()) && has(3, at.month()) && days
        }

        /// Walks real time minute by minute, with the wall's clock beside it.
        fn due_after(&self, from: &Zoned, minutes: u32) -> Option<Zoned> {
            // Half a day earlier, so that an overlap that is under way is known.
            let mut at = from.timestamp().to_zoned(from.time_zone().clone()).checked_sub(12.hours()).unwrap();
            let mut reached = at.datetime();
            for _ in 0..minutes + 12 * 60 {
                at = at.checked_add(1.minute()).unwrap();
                let wall = at.datetime();
                let due = if self.fixed {
                    // Whatever wall time was passed for the first time, skipped minutes too.
                    let mut due = false;
                    let mut passed = reached;
                    while passed < wall {
                        passed = passed.checked_add(1.minute()).unwrap();
                        due |= self.matches(passed);
                    }
                    due
                } else {
                    self.matches(wall)
                };
                reached = reached.max(wall);
                if due && at > *from {
                    return Some(at);
                }
            }
            None
        }
    }

    fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            3 => (least..=most).prop_map(|n| n.to_string()),
            1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (2..=most.min(20)).prop_map(|step| format!("*/{step}")),
            1 => prop::collection::btree_set(least..=most, 2..4)
                .prop_map(|set| set.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn cron_agrees_with_a_walk_over_the_minutes(
            minute in field(0, 59), hour in prop_oneof![2 => field(0, 4), 1 => field(0, 23)], day in field(25, 31),
            weekday in field(0, 6), near in 0..6_usize, minutes in 0..(3 * 24 * 60_i64),
        ) {
            let (zone, start) = [
                ("Europe/Paris", "2026-03-27T12:00:00Z"),
                ("Europe/Paris", "2026-10-23T12:00:00Z"),
                ("America/New_York", "2026-03-06T12:00:00Z"),
                ("America/New_York", "2026-10-30T12:00:00Z"),
                ("Australia/Lord_Howe", "2026-10-02T12:00:00Z"),
                ("UTC", "2026-02-26T12:00:00Z"),
            ][near];
            let line = format!("{minute} {hour} {day} * {weekday}");
            let zone = TimeZone::get(zone).unwrap();
            let from = start.parse::<Timestamp>().unwrap().to_zoned(zone.clone()).checked_add(minutes.minutes()).unwrap();
            let horizon = 6 * 24 * 60;
            let naive = Naive::new(&line).due_after(&from, horizon);
            let timing = Timing::of(&target(&line, zone.iana_name().unwrap())).unwrap();
            let due = timing.due_after(UtcMicros(from.timestamp().as_microsecond())).unwrap();
            let due = Timestamp::from_microsecond(due.0).unwrap();
            match naive {
                Some(naive) => prop_assert_eq!(due, naive.timestamp(), "{} from {}", line, from),
                None => prop_assert!(due > from.checked_add(i64::from(horizon).minutes()).unwrap().timestamp(), "{}", line),
            }
        }
    }
}
