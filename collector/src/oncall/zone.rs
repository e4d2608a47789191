//! The wall clock of an IANA zone, from the time zone database, for the rules of the model ([`sitepulse_model::wall`]).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::wall::{WallMicros, Zone};

/// A zone's clock on the wall.
#[derive(Debug, Clone)]
pub struct WallZone(TimeZone);

impl WallZone {
    /// The clock of UTC.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The clock of a zone.
    ///
    /// # Errors
    /// When there is no such zone: what to write instead.
    pub fn named(name: &str) -> Result<Self, String> {
        crate::maintenance::zone(name).map(Self)
    }
}

impl Zone for WallZone {
    fn instant(&self, wall: WallMicros) -> UtcMicros {
        let beyond = if wall.0 < 0 { UtcMicros::MIN } else { UtcMicros::MAX };
        // A wall clock of UTC shows the same digits.
        let Ok(shown) = Timestamp::from_microsecond(wall.0) else { return beyond };
        let shown: DateTime = TimeZone::UTC.to_datetime(shown);
        let ambiguous = self.0.to_ambiguous_timestamp(shown);
        let gap = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        // As the clock was before a change: of a doubled time the first.
        let Ok(at) = ambiguous.compatible() else { return beyond };
        if !gap {
            return UtcMicros(at.as_microsecond());
        }
        // That lies after the gap by as much as the time lies within it: the change itself is the newest up to there.
        let upto = at.checked_add(jiff::SignedDuration::from_micros(1)).unwrap_or(at);
        let change = self.0.preceding(upto).next().map_or(at, |change| change.timestamp());
        UtcMicros(change.as_microsecond())
    }

    fn wall(&self, at: UtcMicros) -> WallMicros {
        let Ok(timestamp) = Timestamp::from_microsecond(at.0) else { return WallMicros(at.0) };
        WallMicros(at.0.saturating_add(i64::from(self.0.to_offset(timestamp).seconds()) * 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(zone: &str, wall: &str) -> String {
        let zone = WallZone::named(zone).unwrap();
        sitepulse_daemon::instant::format(zone.instant(WallMicros::parse(wall).unwrap()))
    }

    #[test]
    fn a_time_on_the_wall_is_the_first_instant_that_shows_it_or_a_later_one() {
        assert_eq!(instant("Europe/Paris", "2026-11-01T09:00"), "2026-11-01T08:00:00Z");
        assert_eq!(instant("Europe/Paris", "2026-03-29T02:00"), "2026-03-29T01:00:00Z");
        assert_eq!(instant("Europe/Paris", "2026-03-29T02:30"), "2026-03-29T01:00:00Z", "skipped");
        assert_eq!(instant("Europe/Paris", "2026-03-29T03:00"), "2026-03-29T01:00:00Z");
        assert_eq!(instant("Europe/Paris", "2026-10-25T02:30"), "2026-10-25T00:30:00Z", "the first of the two");
        assert_eq!(instant("Europe/Paris", "2026-10-25T03:00"), "2026-10-25T02:00:00Z");
        assert_eq!(
            instant("Australia/Lord_Howe", "2025-10-05T02:15"),
            "2025-10-04T15:30:00Z",
            "half an hour is skipped"
        );
        assert_eq!(instant("Pacific/Apia", "2011-12-30T12:00"), "2011-12-30T10:00:00Z", "a day that never was");
    }
}
