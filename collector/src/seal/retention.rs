//! Retention: how long which class of data is kept, and the slices in which the rest goes.
//!
//! Raw records go by whole chunks, and with them the reports and screenshots that belong to them; what figures need of each page load becomes
//! a sketch of its day when the hourly ones go. Series, counts and daily sketches are kept for ever: a timeline, a verdict and an SLA of years ago stay what they
//! were, and what is gone is counted ([`crate::store::series::Sealed::expired`]) and told. The file's free pages are used again by what comes
//! next: nothing is vacuumed.

use sitepulse_daemon::clock;
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use crate::engine::Engine;
use crate::failpoint;
use crate::store::StoreError;
use crate::store::expire::{self, Slice};

/// How long which class is kept, in microseconds; `None` for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records, reports and screenshots; messages that are over, and the log of their delivery.
    pub raw_us: Option<u64>,
    /// Latency sketches by the hour, the figures of single page loads, and amendments.
    pub hourly_us: Option<u64>,
    /// Latency sketches by the day, and those of page loads.
    pub daily_us: Option<u64>,
}

const DAY_US: u64 = 86_400 * 1_000_000;
/// The least that can be kept: questions without a period look back 24 h.
const LEAST_US: u64 = 2 * DAY_US;

impl Default for Retention {
    fn default() -> Self {
        Self { raw_us: Some(90 * DAY_US), hourly_us: Some(400 * DAY_US), daily_us: None }
    }
}

/// Reads `90d`, `400d`, `forever`; at least two days.
pub fn parse(text: &str) -> Result<Option<u64>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let us = duration::parse(text).map_err(|error| format!("{error}, or \"forever\""))?;
    if us < LEAST_US {
        return Err(String::from("at least 2d must be kept"));
    }
    Ok(Some(us))
}

impl Retention {
    /// Before which instants each class goes.
    pub(crate) fn limits(&self, now: UtcMicros, newest_slot: Option<UtcMicros>) -> Limits {
        let now = trusted(now, newest_slot);
        let before = |kept: Option<u64>| match kept {
            Some(us) => now.plus_us(-i64::try_from(us).unwrap_or(i64::MAX)),
            None => UtcMicros::MIN,
        };
        Limits { raw: before(self.raw_us), hourly: before(self.hourly_us), daily: before(self.daily_us) }
    }
}

/// The instant that ages are counted from: a clock that leapt ahead takes nothing away.
pub(crate) fn trusted(now: UtcMicros, newest_slot: Option<UtcMicros>) -> UtcMicros {
    now.min(newest_slot.unwrap_or(UtcMicros::MIN).plus_us(DAY_US.cast_signed()))
}

/// What lies wholly before these instants goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) raw: UtcMicros,
    pub(crate) hourly: UtcMicros,
    pub(crate) daily: UtcMicros,
}

impl Engine {
    /// Lets one slice of what is too old go, in one transaction.
    pub(crate) fn let_go(&mut self, slice: &Slice, limits: Limits) -> Result<(), StoreError> {
        self.store.write(|tables| {
            expire::let_go(tables, slice, limits, clock::now())?;
            failpoint::pass("retention.turn");
            Ok(())
        })?;
        failpoint::pass("retention.turned");
        if matches!(slice, Slice::Rows(expire::Table::Screenshot, _)) {
            self.shared.book_mut().forget_screenshots_before(limits.raw);
        }
        if matches!(slice, Slice::Amendments) {
            self.shared.book_mut().forget_amended_before(limits.hourly);
        }
        Ok(())
    }

    /// Lets everything that is too old go in the caller's thread, for tests and the simulator.
    pub fn expire_now(&mut self, retention: Retention, now: UtcMicros) -> Result<(), StoreError> {
        let limits = retention.limits(now, self.shared.book().newest_slot());
        loop {
            let slices = expire::find(self.store.read(), limits)?;
            if slices.is_empty() {
                return Ok(());
            }
            for slice in &slices {
                self.let_go(slice, limits)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_read_and_has_a_floor() {
        assert_eq!(parse("90d"), Ok(Some(90 * DAY_US)));
        assert_eq!(parse("forever"), Ok(None));
        for text in ["1d", "0s", "90", "for ever", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
        let limits = Retention::default().limits(UtcMicros(0), Some(UtcMicros(0)));
        assert_eq!((limits.raw.0, limits.daily), (-90 * DAY_US.cast_signed(), UtcMicros::MIN));
    }
}
