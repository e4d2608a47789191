//! A recurring window without the times that are open now: what "end it now, the next ones stay" means. The window as it was covers up to the
//! instant at which this one is applied, for a version applies from its own instant on.

use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::time::UtcMicros;

use super::{Timetable, instant};

/// The same window from the first time on that begins after an instant. `None` where it is not open then, or never comes again.
pub fn after_this_one(window: &MaintenanceWindow, now: UtcMicros) -> Option<MaintenanceWindow> {
    let timetable = Timetable::of(window).ok()?;
    let (rule, text) = (timetable.rule.as_ref()?, window.rrule.as_deref()?);
    let first = timetable.first.date();
    let mut open = false;
    for (number, date) in (1_u32..).zip(rule.dates(first, first)) {
        let wall = date.to_datetime(timetable.first.time());
        let at = instant(&timetable.zone, wall).filter(|at| rule.goes_on(number, wall, *at))?;
        let at = UtcMicros(at.as_microsecond());
        if at <= now {
            open |= at.plus_us(timetable.lasts_us) > now;
            continue;
        }
        let rrule = counted_from(text, number);
        return open.then(|| MaintenanceWindow { from: wall.to_string(), rrule: Some(rrule), ..window.clone() });
    }
    None
}

/// A rule that begins with its `number`th time: its `COUNT` is the less.
fn counted_from(rule: &str, number: u32) -> String {
    let part = |part: &str| {
        let count = part.strip_prefix("COUNT=").and_then(|count| count.parse::<u32>().ok());
        count.map_or_else(|| part.to_owned(), |count| format!("COUNT={}", count.saturating_sub(number - 1)))
    };
    rule.trim().split(';').map(part).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use sitepulse_daemon::instant as text;
    use sitepulse_model::time::Span;

    use super::*;

    fn window(from: &str, lasts: &str, zone: &str, rrule: &str) -> MaintenanceWindow {
        MaintenanceWindow {
            id: "night".into(),
            checks: vec!["shop".into()],
            groups: Vec::new(),
            tags: Vec::new(),
            from: from.into(),
            lasts: lasts.into(),
            zone: Some(zone.into()),
            rrule: Some(rrule.into()),
        }
    }

    #[test]
    fn the_times_that_follow_stay_as_they_were() {
        let samples = [
            ("2026-01-05T02:00", "2h", "Europe/Paris", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH"),
            ("2026-01-30T23:30", "3h", "Europe/Paris", "FREQ=MONTHLY;BYDAY=-1FR"),
            ("2026-01-31T02:30", "90m", "America/New_York", "RRULE:FREQ=MONTHLY;COUNT=9"),
            ("2026-03-01T02:30", "30h", "Europe/Paris", "FREQ=DAILY;INTERVAL=1;COUNT=60"),
            ("2026-01-05T02:00:00Z", "2h", "Asia/Kathmandu", "FREQ=WEEKLY;UNTIL=20260701"),
        ];
        let year = Span::new(UtcMicros(1_767_225_600_000_000), UtcMicros(1_798_761_600_000_000));
        for (from, lasts, zone, rrule) in samples {
            let window = window(from, lasts, zone, rrule);
            let all = Timetable::of(&window).unwrap().open(year);
            assert!(all.len() > 5, "{rrule}");
            for at in &all {
                // In the midst of each.
                let now = at.from.plus_us((at.to.0 - at.from.0) / 2);
                let following: Vec<Span> = all.iter().copied().filter(|open| open.from > now).collect();
                match after_this_one(&window, now) {
                    Some(rest) => {
                        assert_eq!(super::super::faults(&rest), [], "{rest:?}");
                        assert_eq!(Timetable::of(&rest).unwrap().open(year), following, "{rrule} at {at:?}");
                    }
                    None => assert_eq!(following, [], "{rrule} at {at:?}"),
                }
            }
            assert_eq!(after_this_one(&window, UtcMicros(all[0].from.0 - 1)), None, "{rrule}: it is not open yet");
        }
    }

    #[test]
    fn what_comes_once_has_no_rest() {
        let once = MaintenanceWindow { rrule: None, ..window("2026-01-05T02:00", "2h", "UTC", "") };
        let now = text::parse("2026-01-05T03:00:00Z", UtcMicros(0)).unwrap();
        assert_eq!(after_this_one(&once, now), None);
    }
}
