//! Instants as the reader's wall clock shows them: in the zone of whom a message is for, with its offset then; in UTC where it is for nobody by name.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sitepulse_model::time::UtcMicros;

/// A reader's clock.
pub(super) struct Clock(Option<TimeZone>);

impl Clock {
    /// The clock of an IANA zone. One that this machine does not know is none: a message in UTC is better than none.
    pub(super) fn of(zone: Option<&str>) -> Self {
        Self(zone.and_then(|zone| TimeZone::get(zone).ok()))
    }

    fn shown(&self, at: UtcMicros, format: &str) -> String {
        let at = Timestamp::from_microsecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
        match &self.0 {
            Some(zone) => at.to_zoned(zone.clone()).strftime(&format!("{format} %:z")).to_string(),
            None => at.strftime(&format!("{format} UTC")).to_string(),
        }
    }

    /// `2026-11-22 11:00:00 +01:00`, `2026-11-22 10:00:00 UTC`.
    pub(super) fn moment(&self, at: UtcMicros) -> String {
        self.shown(at, "%Y-%m-%d %H:%M:%S")
    }

    /// `2026-11-22`.
    pub(super) fn day(&self, at: UtcMicros) -> String {
        let moment = self.moment(at);
        moment.split(' ').next().unwrap_or_default().to_owned()
    }

    /// `11:00 +01:00`, `10:00 UTC`.
    pub(super) fn minute(&self, at: UtcMicros) -> String {
        self.shown(at, "%H:%M")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_those_of_the_readers_wall_clock_on_both_sides_of_a_change_of_offset() {
        // 2026-10-25, when Paris leaves summer time at 01:00 UTC.
        let before = UtcMicros(1_792_889_999_000_000);
        let after = before.plus_us(1_000_000);
        let paris = Clock::of(Some("Europe/Paris"));
        assert_eq!(paris.moment(before), "2026-10-25 02:59:59 +02:00");
        assert_eq!(paris.moment(after), "2026-10-25 02:00:00 +01:00");
        assert_eq!(paris.minute(after), "02:00 +01:00");
        assert_eq!(Clock::of(Some("Asia/Kathmandu")).minute(after), "06:45 +05:45");
        for unknown in [None, Some("Mars/Olympus")] {
            assert_eq!(Clock::of(unknown).moment(after), "2026-10-25 01:00:00 UTC");
        }
        assert_eq!(Clock::of(None).moment(UtcMicros(i64::MAX)), "1970-01-01 00:00:00 UTC");
    }
}
