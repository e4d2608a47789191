//! Weeks, months and quarters as people of a zone have them: a day with a change of the clock is an hour longer or shorter, and so is its month.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use sitepulse_model::slo::Calendar;
use sitepulse_model::time::{Span, UtcMicros};

/// The week, month or quarter around an instant.
///
/// # Errors
/// When the zone is not in the time zone database, or the calendar ends.
pub(super) fn around(calendar: Calendar, zone: Option<&str>, at: UtcMicros) -> Result<Span, String> {
    let zone = zone_of(zone)?;
    let today = date_at(&zone, at)?;
    let beyond = |error: jiff::Error| format!("the calendar ends: {error}");
    let (first, next) = match calendar {
        Calendar::Week => {
            let first = today.checked_sub(i32::from(today.weekday().to_monday_zero_offset()).days()).map_err(beyond)?;
            (first, first.checked_add(1.week()))
        }
        Calendar::Month => {
            let first = today.first_of_month();
            (first, first.checked_add(1.month()))
        }
        Calendar::Quarter => {
            let since = i32::from((today.month() - 1) % 3);
            let first = today.first_of_month().checked_sub(since.months()).map_err(beyond)?;
            (first, first.checked_add(3.months()))
        }
    };
    Ok(Span::new(start_of(&zone, first)?, start_of(&zone, next.map_err(beyond)?)?))
}

/// The ends of the days that end within a span, in order.
///
/// # Errors
/// As [`around`].
pub(crate) fn day_ends(zone: Option<&str>, within: Span) -> Result<Vec<UtcMicros>, String> {
    let zone = zone_of(zone)?;
    let mut ends = Vec::new();
    let mut day = date_at(&zone, within.from)?;
    loop {
        day = day.tomorrow().map_err(|error| format!("the calendar ends: {error}"))?;
        let end = start_of(&zone, day)?;
        if end >= within.to {
            return Ok(ends);
        }
        if end > within.from {
            ends.push(end);
        }
    }
}

/// The zone of a name; of none, UTC.
///
/// # Errors
/// When it is not in the time zone database.
pub(crate) fn zone_of(name: Option<&str>) -> Result<TimeZone, String> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    let unknown = |_| format!("{name:?} is no IANA time zone: write a name like \"Europe/Paris\" or \"UTC\"");
    TimeZone::get(name).map_err(unknown)
}

/// The date at an instant.
///
/// # Errors
/// When the calendar ends.
pub(crate) fn date_at(zone: &TimeZone, at: UtcMicros) -> Result<Date, String> {
    let at = Timestamp::from_microsecond(at.0).map_err(|error| format!("the calendar ends: {error}"))?;
    Ok(zone.to_datetime(at).date())
}

/// The first instant of a day: where its midnight is skipped, the first that there is.
///
/// # Errors
/// When the calendar ends.
pub(crate) fn start_of(zone: &TimeZone, day: Date) -> Result<UtcMicros, String> {
    let start = day.to_zoned(zone.clone()).map_err(|error| format!("the calendar ends: {error}"))?;
    Ok(UtcMicros(start.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use sitepulse_daemon::instant;

    use super::*;

    fn at(text: &str) -> UtcMicros {
        instant::parse(text, UtcMicros(0)).unwrap()
    }

    fn shown(calendar: Calendar, zone: Option<&str>, now: &str) -> [String; 2] {
        let span = around(calendar, zone, at(now)).unwrap();
        [instant::format(span.from), instant::format(span.to)]
    }

    #[test]
    fn periods_are_those_of_the_wall_clock() {
        let paris = Some("Europe/Paris");
        assert_eq!(
            shown(Calendar::Month, None, "2026-11-22T10:00:00Z"),
            ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"]
        );
        // Summer time began on 29 March: the month is an hour short.
        assert_eq!(
            shown(Calendar::Month, paris, "2026-03-31T21:59:59Z"),
            ["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"]
        );
        assert_eq!(
            shown(Calendar::Month, paris, "2026-03-31T22:00:00Z"),
            ["2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"]
        );
        assert_eq!(
            shown(Calendar::Quarter, paris, "2026-12-31T22:59:59Z"),
            ["2026-09-30T22:00:00Z", "2026-12-31T23:00:00Z"]
        );
        assert_eq!(
            shown(Calendar::Quarter, None, "2026-03-01T00:00:00Z"),
            ["2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"]
        );
        // A Sunday belongs to the Monday before it.
        assert_eq!(
            shown(Calendar::Week, paris, "2026-10-25T12:00:00Z"),
            ["2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z"]
        );
        // Lebanon's clocks go forward at midnight: the day begins at 01:00.
        let beirut = around(Calendar::Week, Some("Asia/Beirut"), at("2025-03-31T12:00:00Z")).unwrap();
        assert_eq!(instant::format(beirut.from), "2025-03-30T21:00:00Z");
        let skipped = day_ends(Some("Asia/Beirut"), Span::new(at("2025-03-29T00:00:00Z"), at("2025-03-31T00:00:00Z")));
        let skipped: Vec<String> = skipped.unwrap().into_iter().map(instant::format).collect();
        assert_eq!(skipped, ["2025-03-29T22:00:00Z", "2025-03-30T21:00:00Z"]);
    }

    #[test]
    fn days_end_within() {
        let ends = |from: &str, to: &str| -> Vec<String> {
            let ends = day_ends(Some("Europe/Paris"), Span::new(at(from), at(to))).unwrap();
            ends.into_iter().map(instant::format).collect()
        };
        assert_eq!(
            ends("2026-10-24T22:00:00Z", "2026-10-27T00:00:00Z"),
            ["2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"]
        );
        assert!(ends("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z").is_empty());
    }

    #[test]
    fn a_zone_that_nobody_knows_is_told() {
        let error = around(Calendar::Week, Some("Europe/Pari"), at("2026-10-25T12:00:00Z")).unwrap_err();
        assert!(error.contains("\"Europe/Pari\" is no IANA time zone"), "{error}");
    }
}
