//! Who is on call, beside a naive reading of a clock on the wall: quarter by quarter, without any arithmetic of zones.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use sitepulse_model::incident::Severity;
use sitepulse_model::oncall::roster::{By, Roster, Shift, around};
use sitepulse_model::oncall::{Hours, Layer, Override, Schedule};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::user::QuietHours;

use super::zone::WallZone;
use super::*;

const MINUTE_US: i64 = 60_000_000;
/// Everything happens at quarters of an hour: zones of today differ by those, and only those are written below.
const STEP_MINUTES: i64 = 15;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Zones with odd rules, each with months in which they were odd.
const ODD: [(&str, i16, i8); 14] = [
    ("UTC", 2026, 11),
    ("Europe/Paris", 2026, 3),
    ("Europe/Paris", 2026, 10),
    ("America/New_York", 2026, 3),
    ("America/New_York", 2026, 11),
    ("Australia/Lord_Howe", 2025, 4),
    ("Australia/Lord_Howe", 2025, 10),
    ("Africa/Casablanca", 2025, 2),
    ("Africa/Casablanca", 2025, 3),
    ("America/Sao_Paulo", 2018, 11),
    ("America/Sao_Paulo", 2019, 2),
    ("Pacific/Apia", 2011, 12),
    ("Pacific/Chatham", 2025, 9),
    ("America/Santiago", 2026, 4),
];

fn utc(date: Date) -> UtcMicros {
    UtcMicros(date.to_zoned(TimeZone::UTC).unwrap().timestamp().as_microsecond())
}

/// The latest time that the clock has shown up to each quarter of an hour of a span: whatever is due at a time on the wall is done as soon as that is reached.
fn shown(zone: &str, span: Span) -> Vec<(UtcMicros, DateTime)> {
    let zone = TimeZone::get(zone).unwrap();
    let mut latest = DateTime::MIN;
    let mut out = Vec::new();
    // A clock is set back by less than two days.
    let mut at = span.from.plus_us(-2 * 1440 * MINUTE_US);
    while at < span.to {
        latest = latest.max(Timestamp::from_microsecond(at.0).unwrap().to_zoned(zone.clone()).datetime());
        if at >= span.from {
            out.push((at, latest));
        }
        at = at.plus_us(STEP_MINUTES * MINUTE_US);
    }
    out
}

/// `2026-11-01` or `2026-11-01T09:00`.
fn read(text: &str) -> DateTime {
    if text.len() == 10 { text.parse::<Date>().unwrap().at(0, 0, 0, 0) } else { text.parse().unwrap() }
}

fn minutes_between(from: DateTime, to: DateTime) -> i64 {
    let us = |at: DateTime| TimeZone::UTC.to_timestamp(at).unwrap().as_microsecond();
    (us(to) - us(from)) / MINUTE_US
}

fn minute_of(text: &str) -> i64 {
    let (hour, minute) = text.split_once(':').unwrap();
    hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap()
}

/// Whether a stretch of the week is on when the clock has shown a time.
fn is_on(days: &[String], from: &str, to: &str, shown: DateTime) -> bool {
    let (from, to) = (minute_of(from), minute_of(to));
    let now = i64::from(shown.hour()) * 60 + i64::from(shown.minute());
    let begins = |date: Date| {
        let day = DAYS[date.weekday().to_monday_zero_offset() as usize];
        days.is_empty() || days.iter().any(|name| name == day)
    };
    if to > from {
        begins(shown.date()) && (from..to).contains(&now)
    } else {
        (begins(shown.date()) && now >= from) || (begins(shown.date().yesterday().unwrap()) && now < to)
    }
}

/// The first handoff of a layer: minute by minute from the start.
fn first_handoff(layer: &Layer) -> DateTime {
    let (day, time) = layer.handoff.split_once(' ').unwrap_or(("", &layer.handoff));
    let mut first = read(&layer.start);
    let fits = |at: DateTime| {
        let minute = i64::from(at.hour()) * 60 + i64::from(at.minute());
        minute == minute_of(time) && (day.is_empty() || DAYS[at.weekday().to_monday_zero_offset() as usize] == day)
    };
    while !fits(first) {
        first = first.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
    }
    first
}

/// Who is on call when the clock has shown a time.
fn naive(schedule: &Schedule, firsts: &[DateTime], shown: DateTime) -> Option<(String, By)> {
    for (at, one) in schedule.overrides.iter().enumerate().rev() {
        if read(&one.from) <= shown && shown < read(&one.to) {
            return Some((one.user.clone(), By::Override(at + 1)));
        }
    }
    for (at, layer) in schedule.layers.iter().enumerate().rev() {
        if layer.until.as_ref().is_some_and(|until| read(until) <= shown) {
            continue;
        }
        if !layer.hours.is_empty() && !layer.hours.iter().any(|hours| is_on(&hours.days, &hours.from, &hours.to, shown))
        {
            continue;
        }
        let first = firsts[at];
        if shown < first {
            continue;
        }
        let every = match layer.rotation.as_str() {
            "weekly" => 7 * 1440,
            "daily" => 1440,
            other => other.strip_suffix('h').unwrap().parse::<i64>().unwrap() * 60,
        };
        let turn = usize::try_from(minutes_between(first, shown) / every).unwrap();
        return Some((layer.users[turn % layer.users.len()].clone(), By::Layer(at + 1)));
    }
    None
}

fn flat(shifts: &[Shift]) -> Vec<(Span, Option<(String, By)>)> {
    let one = |shift: &Shift| (shift.span, shift.on_call.clone().map(|on_call| (on_call.user, on_call.by)));
    shifts.iter().map(one).collect()
}

fn time() -> impl Strategy<Value = String> {
    (0_u32..24, prop::sample::select(vec![0_u32, 15, 30, 45]))
        .prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"))
}

fn days() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(DAYS.to_vec()).prop_map(str::to_owned), 0..4)
}

fn users() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(vec!["ana", "bob", "cleo", "dan"]).prop_map(str::to_owned), 1..5)
}

/// A time on the wall some days around the first of a month.
fn wall(first: Date, from: i64, to: i64) -> impl Strategy<Value = String> {
    (from..to, proptest::option::of(time())).prop_map(move |(days, time)| {
        let day = first.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap();
        time.map_or_else(|| day.to_string(), |time| format!("{day}T{time}"))
    })
}

fn hours() -> impl Strategy<Value = Hours> {
    (days(), time(), time())
        .prop_filter_map("it ends when it begins", |(days, from, to)| (from != to).then_some(Hours { days, from, to }))
}

fn layer(first: Date) -> impl Strategy<Value = Layer> {
    let rotation = prop_oneof![
        2 => Just("weekly".to_owned()),
        2 => Just("daily".to_owned()),
        3 => prop::sample::select(vec![1_u32, 5, 7, 12, 24, 36, 72]).prop_map(|hours| format!("{hours}h")),
    ];
    let parts = (users(), rotation, time(), prop::sample::select(DAYS.to_vec()), wall(first, -40, 12));
    (parts, prop::collection::vec(hours(), 0..3), proptest::option::of(wall(first, 20, 40))).prop_map(
        |((users, rotation, time, day, start), hours, until)| {
            let handoff = if rotation == "weekly" { format!("{day} {time}") } else { time };
            Layer { users, rotation, handoff, start, hours, until }
        },
    )
}

fn stand_in(first: Date) -> impl Strategy<Value = Override> {
    (users(), wall(first, 0, 28), wall(first, 0, 32))
        .prop_filter_map("it ends before it begins", |(users, from, to)| {
            (read(&from) < read(&to)).then(|| Override { user: users[0].clone(), from, to })
        })
}

fn world() -> impl Strategy<Value = (Schedule, Span)> {
    (prop::sample::select(ODD.to_vec()), 0_i64..28, 1_i64..6, 0_i64..96).prop_flat_map(
        |((zone, year, month), day, days, into)| {
            let first = date(year, month, 1);
            let from = utc(first).plus_us((day * 1440 + into * STEP_MINUTES) * MINUTE_US);
            let span = Span::new(from, from.plus_us(days * 1440 * MINUTE_US));
            (prop::collection::vec(layer(first), 1..4), prop::collection::vec(stand_in(first), 0..3)).prop_map(
                move |(layers, overrides)| {
                    let schedule =
                        Schedule { id: "primary".into(), description: None, zone: zone.into(), layers, overrides };
                    (schedule, span)
                },
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_500))]

    #[test]
    fn whoever_the_clock_on_the_wall_says_is_on_call((schedule, span) in world()) {
        prop_assert_eq!(schedule_faults(&schedule), vec![]);
        let zone = WallZone::named(&schedule.zone).unwrap();
        let roster = Roster::of(&schedule).unwrap();
        let shifts = flat(&roster.over(&zone, span));
        // They follow on each other from end to end.
        prop_assert_eq!(shifts[0].0.from, span.from);
        prop_assert_eq!(shifts[shifts.len() - 1].0.to, span.to);
        prop_assert!(shifts.windows(2).all(|pair| pair[0].0.to == pair[1].0.from && !pair[0].0.is_empty()));
        let firsts: Vec<DateTime> = schedule.layers.iter().map(first_handoff).collect();
        let mut place = 0;
        for (at, shown) in shown(&schedule.zone, span) {
            while shifts[place].0.to <= at {
                place += 1;
            }
            prop_assert_eq!(&shifts[place].1, &naive(&schedule, &firsts, shown), "at {} ({})", at.0, shown);
        }
        // A part is asked about as the whole is, and one instant too.
        let middle = span.from.plus_us(span.us() / 2);
        let later = flat(&roster.over(&zone, Span::new(middle, span.to)));
        prop_assert_eq!(&later[later.len() - 1].1, &shifts[shifts.len() - 1].1);
        let (now, next) = around(middle, |within| roster.over(&zone, within));
        prop_assert!(now.span.contains(middle));
        prop_assert_eq!(&flat(std::slice::from_ref(&now))[0].1, &later[0].1);
        if let Some(next) = next {
            prop_assert!(next.span.from >= now.span.to && next.on_call.is_some());
        }
    }

    #[test]
    fn quiet_hours_hold_back_until_the_clock_shows_their_end(
        (zone, year, month) in prop::sample::select(ODD.to_vec()),
        quiet in hours(),
        (day, into) in (0_i64..28, 0_i64..96),
    ) {
        let quiet = QuietHours { from: quiet.from, to: quiet.to, days: quiet.days, except: Severity::Critical };
        let at = utc(date(year, month, 1)).plus_us((day * 1440 + into * STEP_MINUTES) * MINUTE_US);
        let wall = WallZone::named(zone).unwrap();
        let held = quiet.hold(&wall, Severity::Major, at);
        prop_assert_eq!(quiet.hold(&wall, Severity::Critical, at), None);
        let span = Span::new(at, at.plus_us(9 * 1440 * MINUTE_US));
        let ends = shown(zone, span).into_iter().find(|(_, shown)| !is_on(&quiet.days, &quiet.from, &quiet.to, *shown));
        let ends = ends.unwrap().0;
        prop_assert_eq!(held.unwrap_or(at), ends);
    }
}

fn schedule(zone: &str, layers: Vec<Layer>) -> Schedule {
    Schedule { id: "primary".into(), description: None, zone: zone.into(), layers, overrides: Vec::new() }
}

fn turns(users: &[&str], rotation: &str, handoff: &str, start: &str) -> Layer {
    let users = users.iter().map(ToString::to_string).collect();
    let (rotation, handoff, start) = (rotation.into(), handoff.into(), start.into());
    Layer { users, rotation, handoff, start, hours: Vec::new(), until: None }
}

fn told(schedule: &Schedule, from: UtcMicros, to: UtcMicros) -> Vec<String> {
    let zone = WallZone::named(&schedule.zone).unwrap();
    let line = |shift: &Shift| {
        let who = shift.on_call.as_ref().map_or("nobody", |on_call| on_call.user.as_str());
        format!("{} {who}", sitepulse_daemon::instant::format(shift.span.from))
    };
    Roster::of(schedule).unwrap().over(&zone, Span::new(from, to)).iter().map(line).collect()
}

#[test]
fn a_daily_handoff_stays_at_nine_over_a_change_of_the_clock() {
    let schedule = schedule("Europe/Paris", vec![turns(&["ana", "bob"], "daily", "09:00", "2026-10-23")]);
    assert_eq!(
        told(&schedule, utc(date(2026, 10, 23)), utc(date(2026, 10, 27))),
        [
            "2026-10-23T00:00:00Z nobody",
            "2026-10-23T07:00:00Z ana",
            "2026-10-24T07:00:00Z bob",
            // 25 hours.
            "2026-10-25T08:00:00Z ana",
            "2026-10-26T08:00:00Z bob",
        ]
    );
}

#[test]
fn handoffs_in_the_gap_and_in_the_fold() {
    let spring = schedule("Europe/Paris", vec![turns(&["ana", "bob", "cleo"], "1h", "00:30", "2026-03-29")]);
    let from = utc(date(2026, 3, 29));
    assert_eq!(
        told(&spring, from, from.plus_us(3 * 60 * MINUTE_US)),
        [
            "2026-03-29T00:00:00Z ana",
            "2026-03-29T00:30:00Z bob",
            // 02:30 is skipped: right after the gap, at 03:00.
            "2026-03-29T01:00:00Z cleo",
            "2026-03-29T01:30:00Z ana",
            "2026-03-29T02:30:00Z bob",
        ]
    );
    let autumn = schedule("Europe/Paris", vec![turns(&["ana", "bob"], "12h", "02:30", "2026-10-24")]);
    let from = utc(date(2026, 10, 25));
    assert_eq!(
        told(&autumn, from, from.plus_us(24 * 60 * MINUTE_US)),
        ["2026-10-25T00:00:00Z bob", "2026-10-25T00:30:00Z ana", "2026-10-25T13:30:00Z bob"]
    );
}

#[test]
fn what_is_wrong_names_its_key_and_the_remedy() {
    let mut bad = schedule("Europe/Pariss", vec![turns(&[], "weekly", "09:00", "soon")]);
    bad.layers.push(Layer { until: Some("2026-10-01".into()), ..turns(&["ana"], "10m", "mon 09:00", "2026-11-01") });
    bad.layers.push(Layer { until: Some("2026-10-01".into()), ..turns(&["ana"], "daily", "24:00", "2026-11-01") });
    bad.layers.push(Layer { until: Some("2026-11-01".into()), ..turns(&["ana"], "daily", "09:00", "2026-11-01") });
    bad.layers[0].hours = vec![Hours { days: vec!["may".into()], from: "9:00".into(), to: "18:00".into() }];
    bad.overrides = vec![Override { user: "ana".into(), from: "2026-11-02".into(), to: "2026-11-02".into() }];
    let faults: Vec<String> = schedule_faults(&bad).iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "layers[0].users: 0 users: name 1 to 1000, in the order of their turns",
            r#"layers[0].hours[0].days[0]: "may" is no day: write one of mon, tue, wed, thu, fri, sat, sun"#,
            r#"layers[0].hours[0].from: "9:00" is no time of day: write hours and minutes, like "09:00""#,
            r#"layers[0].start: "soon" is no time on the wall: write "2026-11-01" or "2026-11-01T09:00""#,
            r#"layers[0].handoff: a weekly rotation needs a day too: write "mon 09:00""#,
            "layers[1].rotation: 10m: allowed are 1h to 366d, in whole minutes",
            r#"layers[1].handoff: only a weekly rotation has a day: write "09:00", and the first day as `start`"#,
            r#"layers[2].handoff: a day begins at "00:00""#,
            "layers[3].until: the layer ends before its first turn begins: write a later end",
            "overrides[0].to: it must lie after `from`",
            r#"zone: "Europe/Pariss" is no IANA time zone: did you mean "Europe/Paris"?"#,
        ]
    );
}
