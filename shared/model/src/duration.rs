//! Durations as people write them: `30s`, `10m`, `2h`, `7d`, `1h30m`, `500ms`, `1.5s`. In microseconds.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};

use thiserror::Error;

/// Units, largest first, with their microseconds.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is empty: write a number and a unit, as in 30s, 10m, 2h or 7d")]
    Empty,
    /// A number has no unit.
    #[error("duration {text:?} has no unit after {number}: use one of us, ms, s, m, h, d, as in {number}s")]
    NoUnit {
        /// The text.
        text: String,
        /// The number.
        number: String,
    },
    /// The unit is not known.
    #[error("duration {text:?} has an unknown unit {unit:?}: use one of us, ms, s, m, h, d")]
    UnknownUnit {
        /// The text.
        text: String,
        /// The unit.
        unit: String,
    },
    /// Not a number where one belongs.
    #[error("duration {text:?} is not a number followed by a unit: write 30s, 10m, 2h or 7d")]
    NotANumber {
        /// The text.
        text: String,
    },
    /// The units do not descend.
    #[error("duration {text:?} must go from larger to smaller units, each once, as in 1h30m")]
    Order {
        /// The text.
        text: String,
    },
    /// More than 2^63 microseconds, or finer than a microsecond.
    #[error("duration {text:?} is out of range: at most 100000000d, at least 1us steps")]
    Range {
        /// The text.
        text: String,
    },
}

/// Longest duration: what an `i64` of microseconds holds.
const US_MAX: u128 = i64::MAX as u128;

/// Parses a duration into microseconds.
pub fn parse(text: &str) -> Result<u64, DurationError> {
    let own = || text.to_owned();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total: u128 = 0;
    let mut smallest = usize::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return Err(DurationError::NotANumber { text: own() });
        }
        if unit.is_empty() {
            return Err(if after.is_empty() {
                DurationError::NoUnit { text: own(), number: number.to_owned() }
            } else {
                DurationError::NotANumber { text: own() }
            });
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit { text: own(), unit: unit.to_owned() });
        };
        if smallest != usize::MAX && index <= smallest {
            return Err(DurationError::Order { text: own() });
        }
        smallest = index;
        total += scaled(number, UNITS[index].1, text)?;
        if total > US_MAX {
            return Err(DurationError::Range { text: own() });
        }
        rest = after;
    }
    Ok(total as u64)
}

/// `number` (with at most one dot) times `unit_us`, exactly.
fn scaled(number: &str, unit_us: u64, text: &str) -> Result<u128, DurationError> {
    let not_a_number = || DurationError::NotANumber { text: text.to_owned() };
    let range = || DurationError::Range { text: text.to_owned() };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.contains('.') {
        return Err(not_a_number());
    }
    let whole: u64 = whole.parse().map_err(|_| range())?;
    let mut us = u128::from(whole) * u128::from(unit_us);
    if !fraction.is_empty() {
        let digits: u64 = fraction.parse().map_err(|_| range())?;
        let scale = 10_u128.checked_pow(fraction.len() as u32).ok_or_else(range)?;
        let product = u128::from(digits) * u128::from(unit_us);
        if product % scale != 0 {
            return Err(range());
        }
        us += product / scale;
    }
    Ok(us)
}

/// The shortest exact text of a duration: `1h30m`, `30s`, `500ms`, `0s`. [`parse`] reads it back.
pub fn format(us: u64) -> String {
    if us == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    let mut rest = us;
    for (unit, unit_us) in UNITS {
        let count = rest / unit_us;
        rest %= unit_us;
        if count > 0 {
            out.push_str(&count.to_string());
            out.push_str(unit);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_these() {
        for (text, us) in [
            ("30s", 30_000_000),
            ("10m", 600_000_000),
            ("2h", 7_200_000_000),
            ("7d", 604_800_000_000),
            ("1h30m", 5_400_000_000),
            ("500ms", 500_000),
            ("1.5s", 1_500_000),
            ("0s", 0),
            (" 5s ", 5_000_000),
        ] {
            assert_eq!(parse(text), Ok(us), "{text}");
            assert_eq!(parse(&format(us)), Ok(us), "{text}");
        }
        assert_eq!(format(5_400_000_000), "1h30m");
        assert_eq!(format(1_500_000), "1s500ms");
    }

    #[test]
    fn mistakes_name_the_remedy() {
        for (text, says) in [
            ("", "empty"),
            ("30", "no unit after 30: use one of us, ms, s, m, h, d, as in 30s"),
            ("5y", "unknown unit \"y\""),
            ("s", "not a number"),
            ("-5s", "not a number"),
            ("1m2h", "larger to smaller"),
            ("1s1s", "larger to smaller"),
            ("1..5s", "not a number"),
            (".5s", "not a number"),
            ("0.5us", "out of range"),
            ("99999999999999999999s", "out of range"),
            ("200000000000000d", "out of range"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
