//! The one place that reads time. Everything else is handed `now`.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sitepulse_model::time::UtcMicros;

/// Monotonic time: microseconds since an arbitrary start within this process. For durations; never stored, never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// `self + us`, saturating.
    pub const fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to `self`, 0 when `earlier` is later.
    pub const fn us_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `earlier` to `self`, 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.us_since(earlier))
    }
}

/// Wall time, in UTC. For records; it may leap.
#[allow(clippy::disallowed_methods, reason = "the one place that reads wall time")]
pub fn now() -> UtcMicros {
    let since = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => UtcMicros(since(after)),
        Err(before) => UtcMicros(-since(before.duration())),
    }
}

/// Monotonic time.
pub fn monotonic() -> Monotonic {
    let since_start = read().duration_since(*start());
    Monotonic(u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX))
}

/// The `tokio` instant of a monotonic time, to sleep until it.
pub fn tokio_instant(at: Monotonic) -> tokio::time::Instant {
    tokio::time::Instant::from_std(*start() + Duration::from_micros(at.0))
}

fn start() -> &'static Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(read)
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads monotonic time")]
fn read() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_goes_back_and_wall_time_is_after_2024() {
        let first = monotonic();
        let second = monotonic();
        assert!(second >= first);
        assert_eq!(first.us_since(second.plus_us(1)), 0);
        assert!(now() > UtcMicros(1_700_000_000_000_000));
    }
}
