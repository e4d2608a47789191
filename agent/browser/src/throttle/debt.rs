//! What a main thread owes for its work: decides when its process rests and for how long. Handed times and what the kernel has counted, does nothing.
//!
//! The kernel counts a thread's work when it leaves the processor, and in between only with its own clock (every 4 ms, mostly). So a thread that runs is taken to have worked
//! since it was last seen at rest; stopped, its account is exact, and that is what it pays for. Rest beyond what was owed, as timers are late, is kept as credit.

use sitepulse_daemon::clock::Monotonic;
use sitepulse_model::vitals::profile::Milli;

/// The least rest worth stopping a dozen threads for, in nanoseconds. At a rate of 4: two thirds of a millisecond of work.
const REST_LEAST_NS: i64 = 2_000_000;
/// The most rest beyond what was owed that is made good, in nanoseconds.
const CREDIT_MAX_NS: i64 = 50_000_000;

/// What the kernel has counted of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Its time on a processor, in nanoseconds.
    pub(super) ran_ns: u64,
    /// How often it came onto one.
    pub(super) turns: u64,
}

impl Usage {
    /// Of `/proc/PID/task/TID/schedstat`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let ran_ns = fields.next()?.parse().ok()?;
        let turns = fields.nth(1)?.parse().ok()?;
        Some(Self { ran_ns, turns })
    }
}

/// What one main thread owes.
#[derive(Debug)]
pub(super) struct Debt {
    /// Work that is accounted for, in nanoseconds.
    counted_ns: u64,
    /// Rest that is owed for it, in nanoseconds; below 0 what it rested too long.
    owed_ns: i64,
    /// Its turns when it was last seen asleep: with no more of them, it sleeps.
    asleep: Option<u64>,
    /// Until when the kernel has counted all its work.
    exact: Monotonic,
}

impl Debt {
    /// Nothing is owed for what was before.
    pub(super) const fn new(usage: Usage, now: Monotonic) -> Self {
        Self { counted_ns: usage.ran_ns, owed_ns: 0, asleep: None, exact: now }
    }

    /// Whether its process is to be stopped. `runs` tells whether the thread is on a processor or waits for one.
    pub(super) fn is_due(&mut self, usage: Usage, now: Monotonic, rate: Milli, runs: impl FnOnce() -> bool) -> bool {
        if self.asleep != Some(usage.turns) {
            self.asleep = (!runs()).then_some(usage.turns);
        }
        let counted_ns = usage.ran_ns.saturating_sub(self.counted_ns);
        let work_ns = if self.asleep.is_some() {
            self.exact = now;
            counted_ns
        } else {
            counted_ns.max(now.us_since(self.exact) * 1_000)
        };
        self.owed_ns.saturating_add(rest_ns(work_ns, rate)) >= REST_LEAST_NS
    }

    /// Takes what a stopped thread has worked. How long it owes rest from its stop on, in microseconds.
    pub(super) fn settle(&mut self, usage: Usage, rate: Milli) -> u64 {
        let work_ns = usage.ran_ns.saturating_sub(self.counted_ns);
        self.counted_ns = usage.ran_ns;
        self.owed_ns = self.owed_ns.saturating_add(rest_ns(work_ns, rate));
        u64::try_from(self.owed_ns).unwrap_or(0) / 1_000
    }

    /// It was stopped for so long, in microseconds, and goes on now.
    pub(super) fn rested(&mut self, us: u64, now: Monotonic) {
        let rested_ns = i64::try_from(us.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.owed_ns = self.owed_ns.saturating_sub(rested_ns).max(-CREDIT_MAX_NS);
        self.asleep = None;
        self.exact = now;
    }
}

/// Rest for so much work.
fn rest_ns(work_ns: u64, rate: Milli) -> i64 {
    let rest = work_ns.saturating_mul(u64::from(rate.0.saturating_sub(Milli::ONE.0))) / u64::from(Milli::ONE.0);
    i64::try_from(rest).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOUR: Milli = Milli(4_000);

    fn usage(ran_us: u64, turns: u64) -> Usage {
        Usage { ran_ns: ran_us * 1_000, turns }
    }

    #[test]
    fn the_kernel_s_account_is_read() {
        assert_eq!(Usage::parse("1234 5 6\n"), Some(Usage { ran_ns: 1_234, turns: 6 }));
        for bad in ["", "1", "1 2", "a b c"] {
            assert_eq!(Usage::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_thread_that_sleeps_is_not_looked_at_twice_and_never_stopped() {
        let mut debt = Debt::new(usage(100, 1), Monotonic(0));
        assert!(!debt.is_due(usage(100, 1), Monotonic(1_000), FOUR, || false));
        for ms in 2..10_000 {
            assert!(!debt.is_due(usage(100, 1), Monotonic(ms * 1_000), FOUR, || panic!("known to sleep")));
        }
        // Small work adds up.
        assert!(!debt.is_due(usage(400, 2), Monotonic(11_000_000), FOUR, || false));
        assert!(debt.is_due(usage(800, 3), Monotonic(11_001_000), FOUR, || false));
        assert_eq!(debt.settle(usage(800, 3), FOUR), 2_100);
    }

    #[test]
    fn a_thread_that_runs_is_stopped_though_the_kernel_has_not_counted_yet() {
        let mut debt = Debt::new(usage(0, 1), Monotonic(0));
        assert!(!debt.is_due(usage(0, 1), Monotonic(500), FOUR, || true));
        assert!(debt.is_due(usage(0, 1), Monotonic(1_000), FOUR, || true));
        assert_eq!(debt.settle(usage(990, 1), FOUR), 2_970);
        debt.rested(3_070, Monotonic(4_060));
        // A tenth of a millisecond too long: the next rest is shorter.
        assert!(debt.is_due(usage(990, 2), Monotonic(5_060), FOUR, || true));
        assert_eq!(debt.settle(usage(1_990, 2), FOUR), 2_900);
    }

    #[test]
    fn a_thread_that_only_waited_for_a_processor_owes_nothing() {
        let mut debt = Debt::new(usage(0, 1), Monotonic(0));
        assert!(debt.is_due(usage(0, 1), Monotonic(5_000), FOUR, || true));
        assert_eq!(debt.settle(usage(0, 1), FOUR), 0);
        debt.rested(100, Monotonic(5_100));
        assert!(
            !debt.is_due(usage(0, 1), Monotonic(5_700), FOUR, || true),
            "the hundredth of a second is not counted twice"
        );
        debt.rested(3_600_000_000, Monotonic(0));
        assert!(debt.is_due(usage(20_000, 2), Monotonic(0), FOUR, || false), "credit is bounded");
    }

    proptest! {
        /// Whatever it works between looks, however late looks and timers are: in the end it has rested for `rate - 1` times its work, but for one rest.
        #[test]
        fn work_takes_rate_times_as_long(
            rate in 1_001_u32..20_000,
            steps in prop::collection::vec((0_u64..3_000, 0_u64..2_000, any::<bool>()), 1..400),
        ) {
            let rate = Milli(rate);
            let (mut now, mut ran, mut turns, mut rested, mut longest) = (0, 0, 1, 0_u64, 0);
            let mut debt = Debt::new(usage(0, turns), Monotonic(now));
            for (work, late, runs) in steps {
                now += work + late;
                ran += work;
                turns += 1;
                longest = longest.max(work + late);
                if debt.is_due(usage(ran, turns), Monotonic(now), rate, || runs) {
                    let owed = debt.settle(usage(ran, turns), rate);
                    let rest = owed + late % 200;
                    now += rest;
                    rested += rest;
                    debt.rested(rest, Monotonic(now));
                }
            }
            let owed = rest_ns(ran * 1_000, rate) / 1_000;
            let slack = REST_LEAST_NS / 1_000 + rest_ns(longest * 1_000, rate) / 1_000 + 400;
            prop_assert!((owed - rested as i64).abs() <= slack, "{owed} {rested} {slack}");
        }
    }
}
