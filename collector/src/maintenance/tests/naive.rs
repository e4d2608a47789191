//! Windows beside a naive reading of a calendar and a clock on the wall: every minute, every day, no arithmetic of rules or zones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Weekday};
use proptest::prelude::*;

use super::*;

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "America/Santiago",
    "Pacific/Apia",
    "America/St_Johns",
];

const WEEK: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

/// A rule in its parts.
#[derive(Debug, Clone)]
struct Parts {
    frequency: &'static str,
    interval: i64,
    days: Vec<(i8, usize)>,
    month_days: Vec<i8>,
    /// After so many, or through the day that lies so many days after the first.
    count: Option<u32>,
    until_days: Option<i64>,
}

fn days_between(from: Date, to: Date) -> i64 {
    let mut count = 0;
    let mut day = from;
    while day < to {
        day = day.tomorrow().unwrap();
        count += 1;
    }
    count
}

fn monday_of(mut date: Date) -> Date {
    while date.weekday() != Weekday::Monday {
        date = date.yesterday().unwrap();
    }
    date
}

impl Parts {
    fn text(&self, first: Date) -> String {
        let mut text = format!("FREQ={};INTERVAL={}", self.frequency, self.interval);
        if !self.days.is_empty() {
            let day = |(ordinal, day): &(i8, usize)| {
                let ordinal = if *ordinal == 0 { String::new() } else { ordinal.to_string() };
                format!("{ordinal}{}", WEEK[*day].0)
            };
            text += &format!(";BYDAY={}", self.days.iter().map(day).collect::<Vec<_>>().join(","));
        }
        if !self.month_days.is_empty() {
            let days: Vec<String> = self.month_days.iter().map(i8::to_string).collect();
            text += &format!(";BYMONTHDAY={}", days.join(","));
        }
        if let Some(count) = self.count {
            text += &format!(";COUNT={count}");
        } else if let Some(days) = self.until_days {
            text += &format!(";UNTIL={}", first.checked_add(days.days()).unwrap().strftime("%Y%m%d"));
        }
        text
    }

    /// Whether a day is one of the rule's, read off the calendar.
    fn takes(&self, first: Date, date: Date) -> bool {
        let in_step = match self.frequency {
            "DAILY" => days_between(first, date) % self.interval == 0,
            "WEEKLY" => days_between(monday_of(first), monday_of(date)) / 7 % self.interval == 0,
            _ => {
                let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
                (months(date) - months(first)) % self.interval == 0
            }
        };
        // Which of its weekday in its month the day is, from the begin and from the end.
        let month = (1..=31).filter_map(|day| Date::new(date.year(), date.month(), day).ok());
        let same: Vec<Date> = month.filter(|other| other.weekday() == date.weekday()).collect();
        let nth = same.iter().position(|other| *other == date).unwrap() + 1;
        let last = same.len() - nth + 1;
        let by_day = self.days.iter().any(|(ordinal, day)| {
            let which = usize::from(ordinal.unsigned_abs());
            WEEK[*day].1 == date.weekday()
                && (*ordinal == 0 || (*ordinal > 0 && which == nth) || (*ordinal < 0 && which == last))
        });
        let mut end = date;
        while end.month() == date.month() {
            end = end.tomorrow().unwrap();
        }
        let from_end = days_between(date, end);
        let by_month_day = self.month_days.iter().any(|day| *day == date.day() || i64::from(*day) == -from_end);
        let by_default = match self.frequency {
            "DAILY" => true,
            "WEEKLY" => date.weekday() == first.weekday(),
            _ => date.day() == first.day(),
        };
        let named = match (self.days.is_empty(), self.month_days.is_empty()) {
            (true, true) => by_default,
            (false, true) => by_day,
            (true, false) => by_month_day,
            (false, false) => by_day && by_month_day,
        };
        in_step && named
    }
}

/// What the clock on the wall shows at each whole minute, which is all that is asked of a zone.
struct Wall {
    /// First minute that shows a time.
    shows: BTreeMap<DateTime, i64>,
    minutes: Vec<(i64, DateTime)>,
}

impl Wall {
    fn of(zone: &TimeZone, from_minute: i64, to_minute: i64) -> Self {
        let shown = |minute: i64| (minute, zone.to_datetime(Timestamp::from_second(minute * 60).unwrap()));
        let minutes: Vec<(i64, DateTime)> = (from_minute..to_minute).map(shown).collect();
        let mut shows = BTreeMap::new();
        for (minute, wall) in &minutes {
            shows.entry(*wall).or_insert(*minute);
        }
        Self { shows, minutes }
    }

    /// The clock of a zone from a minute on: read once.
    fn kept(zone: &'static str, origin: i64) -> Arc<Self> {
        static KEPT: Mutex<BTreeMap<(&str, i64), Arc<Wall>>> = Mutex::new(BTreeMap::new());
        let mut kept = KEPT.lock().unwrap();
        let read = || Self::of(&TimeZone::get(zone).unwrap(), origin, origin + (DAYS + 2 * DAYS_BEFORE) * 1440);
        Arc::clone(kept.entry((zone, origin)).or_insert_with(|| Arc::new(read())))
    }

    /// The minute that a time means: the first that shows it; where none does, the one in which the clock would have shown it, had it gone on as before the gap.
    fn means(&self, wall: DateTime) -> Option<i64> {
        if let Some(minute) = self.shows.get(&wall) {
            return Some(*minute);
        }
        let after = self.minutes.iter().position(|(_, shown)| *shown > wall)?;
        let (mut minute, mut would_show) = *self.minutes.get(after.checked_sub(1)?)?;
        while would_show < wall {
            minute += 1;
            would_show = would_show.checked_add(1.minute()).unwrap();
        }
        Some(minute)
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let end = || (proptest::option::of(1_u32..60), proptest::option::of(0_i64..120));
    let weekdays = || proptest::collection::vec((Just(0_i8), 0_usize..7), 0..3);
    let month_days = || proptest::collection::vec(prop_oneof![1_i8..=31, -31_i8..=-1], 0..3);
    let nth = || proptest::collection::vec((-5_i8..=5, 0_usize..7), 0..3);
    let make = |frequency: &'static str| {
        move |(interval, days, month_days, (count, until_days))| Parts {
            frequency,
            interval,
            days,
            month_days,
            count,
            until_days,
        }
    };
    prop_oneof![
        (1_i64..3, Just(Vec::new()), Just(Vec::new()), Just((None, None))).prop_map(make("DAILY")),
        (1_i64..10, weekdays(), month_days(), end()).prop_map(make("DAILY")),
        (1_i64..4, weekdays(), Just(Vec::new()), end()).prop_map(make("WEEKLY")),
        (1_i64..4, nth(), month_days(), end()).prop_map(make("MONTHLY")),
    ]
}

/// Where the looked-at spans begin: around the changes of clocks in both hemispheres, and the day that Samoa left out.
const BEGINS: [&str; 4] = ["2026-03-01", "2026-09-25", "2011-12-10", "2028-02-20"];
const DAYS_BEFORE: i64 = 3;
const DAYS: i64 = 40;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn windows_are_open_in_the_minutes_that_a_calendar_and_a_clock_say(
        zone_name in prop::sample::select(&ZONES[..]),
        begin in prop::sample::select(&BEGINS[..]),
        // Clocks change in the small hours, and short windows show it.
        (hour, minute) in (prop_oneof![4 => 1_i8..4, 1 => 0_i8..24], 0_i8..60),
        lasts_minutes in prop_oneof![4 => 1_i64..180, 1 => 1_i64..4_000],
        parts in parts(),
        (look_day, look_days) in prop_oneof![Just((0, DAYS)), (0_i64..DAYS, 1_i64..20)],
    ) {
        let begin: Date = begin.parse().unwrap();
        let calendar: Vec<Date> = (0..DAYS).map(|days| begin.checked_add(days.days()).unwrap()).collect();
        let first = calendar.iter().copied().find(|date| parts.takes(*date, *date));
        prop_assume!(first.is_some());
        let first = first.unwrap();
        let time = jiff::civil::time(hour, minute, 0, 0);
        let text = parts.text(first);
        let from = first.to_datetime(time).to_string();
        let window = window(&from, &format!("{lasts_minutes}m"), Some(zone_name), Some(&text));
        let timetable = Timetable::of(&window).map_err(|faults| TestCaseError::fail(format!("{text}: {faults:?}")))?;

        let origin = TimeZone::UTC.to_timestamp(begin.to_datetime(jiff::civil::Time::midnight())).unwrap();
        let origin = origin.as_second() / 60 - DAYS_BEFORE * 1440;
        let wall = Wall::kept(zone_name, origin);
        let until = parts.until_days.filter(|_| parts.count.is_none());
        let mut open = vec![false; usize::try_from((DAYS + DAYS_BEFORE) * 1440).unwrap()];
        let dates = calendar.iter().copied().filter(|date| *date >= first && parts.takes(first, *date));
        for (begun, date) in (0_u32..).zip(dates) {
            let over = until.is_some_and(|days| date > first.checked_add(days.days()).unwrap());
            if over || parts.count.is_some_and(|count| begun >= count) {
                break;
            }
            let minute = wall.means(date.to_datetime(time)).unwrap() - origin;
            for minute in minute..minute + lasts_minutes {
                if let Some(open) = usize::try_from(minute).ok().and_then(|minute| open.get_mut(minute)) {
                    *open = true;
                }
            }
        }

        let at = |minute: i64| UtcMicros((origin + minute) * 60 * 1_000_000);
        let (look_from, look_to) = (look_day * 1440, (look_day + look_days).min(DAYS) * 1440);
        let spans = timetable.open(Span::new(at(look_from), at(look_to)));
        for minute in look_from..look_to {
            let expected = open[usize::try_from(minute).unwrap()];
            let found = spans.iter().any(|span| span.contains(at(minute)));
            prop_assert_eq!(found, expected, "{} {} from {}: minute {}", zone_name, &text, &from, at(minute).0);
        }
    }
}
