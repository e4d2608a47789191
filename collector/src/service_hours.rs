//! Service hours on the calendar: what the wall clock of a zone shows, from the time zone database, handed to the model.
//!
//! The database changes: a country moves a change of its clock, and an older collector does not know. So hours that were expanded here are good for this build and
//! this machine; what must give the same digits years later keeps the expanded hours themselves (a stored report).

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sitepulse_model::accounting::{AccountingPolicy, PolicyError};
use sitepulse_model::service_hours::{HoursError, ServiceHours};
use sitepulse_model::time::{Span, UtcMicros};

/// Whether a policy makes sense, its zone included; an error names the key and the remedy.
pub fn validate(policy: &AccountingPolicy) -> Result<(), PolicyError> {
    policy.validate()?;
    match &policy.hours {
        Some(hours) => Ok(zone(hours).map(|_| ())?),
        None => Ok(()),
    }
}

/// The service hours within a period as spans of UTC, in order, apart from each other.
///
/// # Errors
/// When the zone is not in the time zone database.
pub fn expand(hours: &ServiceHours, period: Span) -> Result<Vec<Span>, HoursError> {
    Ok(hours.expand(&offsets(&zone(hours)?, period)))
}

fn zone(hours: &ServiceHours) -> Result<TimeZone, HoursError> {
    TimeZone::get(&hours.zone).map_err(|_| HoursError::Zone(hours.zone.clone()))
}

/// The zone's offsets from UTC over a period, in seconds. The period is cut to the years that the calendar of [`jiff`] has.
fn offsets(zone: &TimeZone, period: Span) -> Vec<(Span, i32)> {
    let calendar = Span::new(UtcMicros(Timestamp::MIN.as_microsecond()), UtcMicros(Timestamp::MAX.as_microsecond()));
    let period = period.clip(calendar);
    if period.is_empty() {
        return Vec::new();
    }
    let start = Timestamp::from_microsecond(period.from.0).unwrap_or(Timestamp::MIN);
    let mut offset = zone.to_offset(start).seconds();
    let mut from = period.from;
    let mut out = Vec::new();
    for change in zone.following(start) {
        let at = UtcMicros(change.timestamp().as_microsecond());
        if at >= period.to {
            break;
        }
        out.push((Span::new(from, at), offset));
        (from, offset) = (at, change.offset().seconds());
    }
    out.push((Span::new(from, period.to), offset));
    out
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use sitepulse_model::service_hours::{Day, WeeklyHours};
    use sitepulse_model::time::union;

    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    fn hours(zone: &str, weekly: &[&str], except: &[&str]) -> ServiceHours {
        ServiceHours {
            zone: zone.into(),
            weekly: weekly.iter().map(|text| WeeklyHours::parse(text).unwrap()).collect(),
            except: except.iter().map(|text| Day::parse(text).unwrap()).collect(),
        }
    }

    fn utc(year: i16, month: i8, day: i8) -> UtcMicros {
        let midnight = date(year, month, day).to_zoned(TimeZone::UTC).unwrap();
        UtcMicros(midnight.timestamp().as_microsecond())
    }

    /// What people mean, slowly: asks the zone's wall clock every few minutes, and reads the entries as they are written.
    fn naive(hours: &ServiceHours, period: Span, minutes: i64) -> Vec<Span> {
        const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let zone = TimeZone::get(&hours.zone).unwrap();
        let entries: Vec<String> = hours.weekly.iter().map(ToString::to_string).collect();
        let except: Vec<String> = hours.except.iter().map(ToString::to_string).collect();
        let day = |name: &str| DAYS.iter().position(|day| *day == name).unwrap();
        let time = |text: &str| {
            let (hour, minute) = text.split_once(':').unwrap();
            hour.parse::<usize>().unwrap() * 60 + minute.parse::<usize>().unwrap()
        };
        let covers = |entry: &String, weekday: usize, minute: usize| {
            let words: Vec<&str> = entry.split(' ').collect();
            if let [days, times] = words[..] {
                let (first, last) = days.split_once('-').unwrap_or((days, days));
                let (from, to) = times.split_once('-').unwrap();
                let (first, last) = (day(first), day(last));
                let named =
                    if first <= last { (first..=last).contains(&weekday) } else { weekday >= first || weekday <= last };
                named && (time(from)..time(to)).contains(&minute)
            } else {
                let (from, last) = words[1].split_once('-').unwrap();
                let (from, to) = (day(words[0]) * 1440 + time(from), day(last) * 1440 + time(words[2]));
                let at = weekday * 1440 + minute;
                if from < to { (from..to).contains(&at) } else { at >= from || at < to }
            }
        };
        let mut out = Vec::new();
        let mut at = period.from;
        while at < period.to {
            let wall = Timestamp::from_microsecond(at.0).unwrap().to_zoned(zone.clone()).datetime();
            let weekday = wall.weekday().to_monday_zero_offset() as usize;
            let minute = wall.hour() as usize * 60 + wall.minute() as usize;
            let next = at.plus_us(minutes * MINUTE_US);
            let today = wall.date().to_string();
            if !except.contains(&today) && entries.iter().any(|entry| covers(entry, weekday, minute)) {
                out.push(Span::new(at, next));
            }
            at = next;
        }
        union(out)
    }

    /// Zones with odd rules, with months in which they were odd: half an hour of summer time, a day that never was, no summer time in Ramadan, summer time
    /// that begins at midnight, an offset of 45 minutes, a change that did not come back.
    const ODD: [(&str, i16, i8); 12] = [
        ("Europe/Paris", 2026, 3),
        ("Europe/Paris", 2026, 10),
        ("Australia/Lord_Howe", 2025, 4),
        ("Australia/Lord_Howe", 2025, 10),
        ("Pacific/Apia", 2011, 12),
        ("Africa/Casablanca", 2025, 2),
        ("Africa/Casablanca", 2025, 3),
        ("America/Sao_Paulo", 2018, 11),
        ("America/Sao_Paulo", 2019, 2),
        ("Pacific/Chatham", 2025, 9),
        ("Asia/Pyongyang", 2018, 5),
        ("Europe/Istanbul", 2016, 10),
    ];

    #[test]
    fn a_working_week_keeps_its_hours_over_a_change_of_the_clock() {
        let hours = hours("Europe/Paris", &["mon-fri 08:00-20:00"], &[]);
        let spans = expand(&hours, Span::new(utc(2026, 10, 23), utc(2026, 10, 27))).unwrap();
        let got: Vec<String> = spans.iter().map(|span| sitepulse_daemon::instant::format(span.from)).collect();
        assert_eq!(got, ["2026-10-23T06:00:00Z", "2026-10-26T07:00:00Z"]);
        assert!(spans.iter().all(|span| span.us() == 12 * 60 * MINUTE_US));
    }

    #[test]
    fn half_past_two_may_come_twice_or_never() {
        let night = hours("Europe/Paris", &["mon-sun 02:30-02:45"], &[]);
        let minutes = |from, to| {
            expand(&night, Span::new(from, to)).unwrap().iter().map(|span| span.us() / MINUTE_US).sum::<i64>()
        };
        assert_eq!(minutes(utc(2026, 3, 28), utc(2026, 3, 30)), 15, "on the 28th alone");
        assert_eq!(minutes(utc(2026, 10, 24), utc(2026, 10, 26)), 45, "once on the 24th, twice on the 25th");
    }

    #[test]
    fn a_day_that_never_was_is_not_missed() {
        let hours = hours("Pacific/Apia", &["mon-sun 00:00-24:00"], &["2011-12-30"]);
        let period = Span::new(utc(2011, 12, 28), utc(2012, 1, 2));
        assert_eq!(expand(&hours, period).unwrap(), [period]);
    }

    #[test]
    fn a_zone_that_nobody_has_is_refused() {
        let policy = AccountingPolicy {
            id: "contract".into(),
            hours: Some(hours("Europe/Nowhere", &["mon 08:00-09:00"], &[])),
            ..AccountingPolicy::built_in()
        };
        let error = validate(&policy).unwrap_err().to_string();
        assert_eq!(
            error,
            "hours.zone: \"Europe/Nowhere\" is no IANA time zone: write a name like \"Europe/Paris\" or \"UTC\""
        );
        assert_eq!(validate(&AccountingPolicy { hours: None, ..policy }), Ok(()));
    }

    #[test]
    fn years_of_working_weeks_are_those_of_the_wall_clock() {
        let weekly = ["mon-fri 08:00-20:00", "sat 09:00-12:00", "sun 23:30-mon 02:30"];
        let years = [
            ("Europe/Paris", 2020, 2027),
            ("Australia/Lord_Howe", 2023, 2026),
            ("Africa/Casablanca", 2017, 2026),
            ("America/Sao_Paulo", 2016, 2021),
            ("Pacific/Apia", 2009, 2014),
        ];
        for (zone, from, to) in years {
            let hours = hours(zone, &weekly, &["2024-12-25", "2025-01-01", "2025-03-30"]);
            let period = Span::new(utc(from, 1, 1), utc(to, 1, 1));
            // Everything begins and ends at half hours.
            assert_eq!(expand(&hours, period).unwrap(), naive(&hours, period, 30), "{zone}");
        }
    }

    fn entry() -> impl Strategy<Value = WeeklyHours> {
        let day = || prop::sample::select(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
        let minute = || prop_oneof![0_u32..=1440, (0_u32..=48).prop_map(|half| half * 30)];
        (day(), day(), minute(), minute(), any::<bool>()).prop_filter_map("ends", |(first, last, from, to, through)| {
            let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
            let (from, to) = (time(from), time(to));
            let text =
                if through { format!("{first} {from}-{last} {to}") } else { format!("{first}-{last} {from}-{to}") };
            WeeklyHours::parse(&text).ok()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn hours_are_those_that_the_wall_clock_shows(
            (zone, year, month) in prop::sample::select(ODD.to_vec()),
            weekly in prop::collection::vec(entry(), 1..4),
            except in prop::collection::vec(1_i8..=28, 0..3),
            (first, days) in (-3_i64..25, 1_i64..10),
            (into, short) in (0_i64..1440, 0_i64..1440),
        ) {
            let except = except.iter().map(|day| Day::parse(&date(year, month, *day).to_string()).unwrap()).collect();
            let hours = ServiceHours { zone: zone.into(), weekly, except };
            let start = utc(year, month, 1).plus_us((first * 1440 + into) * MINUTE_US);
            let period = Span::new(start, start.plus_us((days * 1440 - short) * MINUTE_US));
            prop_assert_eq!(expand(&hours, period).unwrap(), naive(&hours, period, 1));
        }
    }
}
