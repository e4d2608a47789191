//! How late runs start, and which never did: what `status` tells of the schedule.
//!
//! Lags go into a histogram of fixed size: eight steps per power of two, so that a quantile is at most 12.5 % too high. Two windows of
//! [`WINDOW_US`] take turns, and the figures are those of both: the last five to ten minutes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sitepulse_daemon::clock::Monotonic;
use sitepulse_model::record::MissedCause;

/// Half of the time that lags are told of.
const WINDOW_US: u64 = 300_000_000;
/// Steps per power of two.
const STEPS: usize = 8;
/// Up to 2^30 us: 18 minutes, longer than any slot waits.
const BUCKETS: usize = STEPS * 28;

/// How late runs started, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LagView {
    /// Half of the runs started at most so late.
    pub p50: u64,
    /// 99 of 100 runs started at most so late.
    pub p99: u64,
    /// The latest.
    pub max: u64,
    /// Runs measured: those that ended in the last five to ten minutes.
    pub runs: u64,
}

#[derive(Debug, Clone)]
struct Window {
    counts: [u32; BUCKETS],
    max: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], max: 0 }
    }
}

/// What became of the slots.
#[derive(Debug, Default)]
pub struct Punctuality {
    current: Window,
    before: Window,
    turned: Monotonic,
    missed: BTreeMap<MissedCause, u64>,
}

impl Punctuality {
    /// A run started `lag_us` after its slot.
    pub fn ran(&mut self, lag_us: u64, now: Monotonic) {
        self.turn(now);
        let count = &mut self.current.counts[bucket(lag_us)];
        *count = count.saturating_add(1);
        self.current.max = self.current.max.max(lag_us);
    }

    /// So many slots were missed.
    pub fn missed(&mut self, cause: MissedCause, slots: u64) {
        *self.missed.entry(cause).or_default() += slots;
    }

    /// Slots missed since the start, by cause.
    pub fn missed_by_cause(&self) -> BTreeMap<String, u64> {
        self.missed.iter().map(|(cause, slots)| (cause.as_str().to_owned(), *slots)).collect()
    }

    /// The lags; `None` before the first run.
    pub fn lag(&mut self, now: Monotonic) -> Option<LagView> {
        self.turn(now);
        let max = self.current.max.max(self.before.max);
        let counts = || self.current.counts.iter().zip(&self.before.counts).map(|(a, b)| u64::from(*a) + u64::from(*b));
        let runs: u64 = counts().sum();
        let quantile = |of_100: u64| {
            let rank = (runs * of_100).div_ceil(100).max(1);
            let mut seen = 0;
            let found = counts().position(|count| {
                seen += count;
                seen >= rank
            });
            found.map_or(max, |bucket| upper(bucket).min(max))
        };
        (runs > 0).then(|| LagView { p50: quantile(50), p99: quantile(99), max, runs })
    }

    fn turn(&mut self, now: Monotonic) {
        let since = now.us_since(self.turned);
        if since < WINDOW_US {
            return;
        }
        let current = std::mem::take(&mut self.current);
        self.before = if since < 2 * WINDOW_US { current } else { Window::default() };
        self.turned = now;
    }
}

/// Values below [`STEPS`] have a bucket each; above, the three bits after the highest choose the step.
fn bucket(us: u64) -> usize {
    if us < STEPS as u64 {
        return us as usize;
    }
    let power = us.ilog2() as usize;
    let step = (us >> (power - 3)) as usize & (STEPS - 1);
    ((power - 2) * STEPS + step).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let (power, step) = (bucket / STEPS + 2, bucket % STEPS);
    (((STEPS + step + 1) as u64) << (power - 3)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for us in (0..5_000).chain((0..1_000).map(|k| k * 999_983)) {
            let at = bucket(us);
            assert!(at >= last || us < 5_000, "{us}");
            last = at;
            if at < BUCKETS - 1 {
                assert!(upper(at) >= us && upper(at) <= us + us / 8 + 1, "{us} in a bucket up to {}", upper(at));
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_of_the_last_minutes() {
        let mut punctuality = Punctuality::default();
        assert_eq!(punctuality.lag(Monotonic(0)), None);
        for lag in 1..=1_000 {
            punctuality.ran(lag * 100, Monotonic(5));
        }
        let lag = punctuality.lag(Monotonic(5)).unwrap();
        assert!((50_000..=56_250).contains(&lag.p50), "{lag:?}");
        assert!((99_000..=100_000).contains(&lag.p99), "{lag:?}");
        assert_eq!((lag.max, lag.runs), (100_000, 1_000));
        punctuality.ran(7, Monotonic(WINDOW_US + 1));
        assert_eq!(punctuality.lag(Monotonic(WINDOW_US + 1)).unwrap().runs, 1_001);
        assert_eq!(punctuality.lag(Monotonic(2 * WINDOW_US + 2)).unwrap(), LagView { p50: 7, p99: 7, max: 7, runs: 1 });
        assert_eq!(punctuality.lag(Monotonic(9 * WINDOW_US)), None);
    }

    #[test]
    fn missed_slots_are_counted_by_cause() {
        let mut punctuality = Punctuality::default();
        punctuality.missed(MissedCause::Overloaded, 2);
        punctuality.missed(MissedCause::Suspended, 1);
        punctuality.missed(MissedCause::Overloaded, 3);
        let all: Vec<_> = punctuality.missed_by_cause().into_iter().collect();
        assert_eq!(all, [("overloaded".to_owned(), 5), ("suspended".to_owned(), 1)]);
    }
}
