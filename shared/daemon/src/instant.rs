//! Instants as people write them: RFC 3339, a day, unix seconds, `now`, `-2h`. Shown as RFC 3339 in UTC.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use thiserror::Error;

use sitepulse_model::duration;

/// Why a text is no instant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not an instant: write RFC 3339 (2026-11-22T10:00:00Z), a day (2026-11-22), unix seconds, \"now\", or a duration \
     back (-2h) or ahead (+2h)"
)]
pub struct InstantError {
    /// The text.
    pub text: String,
}

/// Parses an instant; `now` is what `now`, `-2h` and `+2h` count from. A day begins at midnight UTC.
pub fn parse(text: &str, now: UtcMicros) -> Result<UtcMicros, InstantError> {
    let error = || InstantError { text: text.to_owned() };
    let trimmed = text.trim();
    if trimmed == "now" {
        return Ok(now);
    }
    if let Some(back) = trimmed.strip_prefix('-')
        && let Ok(us) = duration::parse(back)
    {
        return Ok(now.plus_us(-(us as i64)));
    }
    if let Some(ahead) = trimmed.strip_prefix('+')
        && let Ok(us) = duration::parse(ahead)
    {
        return Ok(now.plus_us(us as i64));
    }
    if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit()) {
        let seconds: i64 = trimmed.parse().map_err(|_| error())?;
        return seconds.checked_mul(SECOND_US).map(UtcMicros).ok_or_else(error);
    }
    if let Ok(at) = trimmed.parse::<Timestamp>() {
        return Ok(UtcMicros(at.as_microsecond()));
    }
    trimmed
        .parse::<Date>()
        .ok()
        .filter(|_| trimmed.len() == 10)
        .and_then(|day| day.to_zoned(TimeZone::UTC).ok())
        .map(|day| UtcMicros(day.timestamp().as_microsecond()))
        .ok_or_else(error)
}

/// RFC 3339 in UTC, with a fraction only when it is not zero: `2026-11-22T10:00:00Z`. Beyond the years -9999 to 9999: their ends.
pub fn format(at: UtcMicros) -> String {
    let at = at.0.clamp(Timestamp::MIN.as_second() * SECOND_US, Timestamp::MAX.as_second() * SECOND_US);
    Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcMicros = UtcMicros(1_795_341_600_000_000);

    #[test]
    fn people_write_these() {
        for (text, at) in [
            ("now", NOW.0),
            ("-2h", NOW.0 - 7_200_000_000),
            ("+1m", NOW.0 + 60_000_000),
            ("2026-11-22T10:00:00Z", 1_795_341_600_000_000),
            ("2026-11-22T11:00:00+01:00", 1_795_341_600_000_000),
            ("2026-11-22", 1_795_305_600_000_000),
            ("1795341600", 1_795_341_600_000_000),
        ] {
            assert_eq!(parse(text, NOW), Ok(UtcMicros(at)), "{text}");
        }
        for bad in ["", "yesterday", "2026-13-01", "-2x", "99999999999999999999", "2026-11-22T10:00:00"] {
            assert!(parse(bad, NOW).unwrap_err().to_string().contains("RFC 3339"), "{bad}");
        }
    }

    #[test]
    fn shown_in_utc_with_a_fraction_only_where_there_is_one() {
        assert_eq!(format(NOW), "2026-11-22T10:00:00Z");
        assert_eq!(format(NOW.plus_us(1_500)), "2026-11-22T10:00:00.0015Z");
        assert_eq!(format(UtcMicros::MAX), "9999-12-30T22:00:00Z");
        assert_eq!(format(UtcMicros::MIN), "-009999-01-02T01:59:59Z");
    }
}
