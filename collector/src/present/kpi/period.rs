//! The periods of the banner: `24h`, `7d`, `30d`, and the one before each.
//!
//! Calendar-true: `7d` and `30d` reach back to the same time on the wall, so many days of the calendar before, in the zone asked for (UTC where none is). Where the clocks
//! were changed in between, 7 days are 167 or 169 hours. `24h` is 24 hours. The period before is as many days again, and ends where the period begins.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use sitepulse_model::time::{Span, UtcMicros};

/// A period of the banner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Period {
    /// 24 hours.
    #[default]
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
}

/// A period up to an instant, and the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// The period.
    pub now: Span,
    /// The one before.
    pub before: Span,
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// As it is asked for: `7d`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// Reads `24h`, `7d`, `30d`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == text)
    }

    /// The period up to an instant, and the one before.
    ///
    /// # Errors
    /// When the zone is not in the time zone database, or the calendar ends.
    pub fn upto(self, now: UtcMicros, zone: Option<&str>) -> Result<Periods, String> {
        let zone = zone_of(zone)?;
        let ago = |periods: i32| -> Result<UtcMicros, String> {
            let back = match self {
                Self::Day => return Ok(now.plus_us(-i64::from(periods) * 86_400_000_000)),
                Self::Week => 7_i32,
                Self::Month => 30,
            };
            let at = Timestamp::from_microsecond(now.0).map_err(|error| format!("the calendar ends: {error}"))?;
            let at = at.to_zoned(zone.clone()).checked_sub((back * periods).days());
            let at = at.map_err(|error| format!("the calendar ends: {error}"))?;
            Ok(UtcMicros(at.timestamp().as_microsecond()))
        };
        let (from, before) = (ago(1)?, ago(2)?);
        Ok(Periods { now: Span::new(from, now), before: Span::new(before, from) })
    }
}

fn zone_of(name: Option<&str>) -> Result<TimeZone, String> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    let unknown = |error| format!("zone={name:?}: {error}; use a name of the time zone database, as in Europe/Paris");
    TimeZone::get(name).map_err(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn at(text: &str) -> UtcMicros {
        UtcMicros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let now = at("2026-03-30T10:00:00Z");
        let week = Period::Week.upto(now, Some("Europe/Paris")).unwrap();
        assert_eq!(
            week.now,
            Span::new(at("2026-03-23T11:00:00Z"), now),
            "the same time on the wall, clocks went forward"
        );
        assert_eq!(week.now.us(), 167 * HOUR_US);
        assert_eq!(week.before, Span::new(at("2026-03-16T11:00:00Z"), week.now.from));
        let utc = Period::Week.upto(now, None).unwrap();
        assert_eq!((utc.now.us(), utc.before.us()), (168 * HOUR_US, 168 * HOUR_US));
        let day = Period::Day.upto(at("2026-03-29T10:00:00Z"), Some("Europe/Paris")).unwrap();
        assert_eq!((day.now.us(), day.before.us()), (24 * HOUR_US, 24 * HOUR_US), "24 h are 24 hours");
        let month = Period::Month.upto(at("2026-11-10T00:00:00Z"), Some("Europe/Paris")).unwrap();
        assert_eq!(month.now.us(), (30 * 24 + 1) * HOUR_US, "the clocks went back");
    }

    #[test]
    fn what_is_no_period_or_zone_is_refused() {
        assert_eq!(Period::ALL.map(|period| Period::parse(period.as_str())), Period::ALL.map(Some));
        assert_eq!(Period::parse("1h"), None);
        let error = Period::Week.upto(UtcMicros(0), Some("Europe/Nowhere")).unwrap_err();
        assert!(error.contains("Europe/Nowhere") && error.contains("as in Europe/Paris"), "{error}");
    }
}
