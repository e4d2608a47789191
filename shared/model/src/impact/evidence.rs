//! From evidence to signals that decay: availability and recurrence of verdicts and incidents, quantiles of sketches.
//!
//! - Weighted availability: `1 - integral(share_down) / measured`, each instant weighing as [`Decay`] says. Maintenance and unknown time stand outside, as in every figure.
//! - Recurrence: incidents in 7 days, as though each week had been like the look-back with the newest weighing the most: the weights of the instants at which they opened,
//!   against the weight of the *whole* look-back. So the first incident of a check that lives for an hour is one incident, not 168 a week.
//! - Quantiles: each value weighs as much as the mean instant of its stretch of time does ([`Decay::mean`]).

use alloc::collections::BTreeMap;

use super::decay::Decay;
use crate::sketch::Sketch;
use crate::time::UtcMicros;
use crate::vote::{Verdict, VerdictSpan};

/// What recurrence counts in, in microseconds: 7 d.
const WEEK_US: f64 = 7.0 * 86_400e6;
/// A p95 of fewer runs than this is nothing but the slowest of them: no signal.
pub const RUNS_MIN: u128 = 20;

/// The weighted availability of verdicts, decayed; `None` where nothing that counts was measured. The same however the verdicts' spans are cut.
pub fn weighted_availability(decay: Decay, verdicts: &[VerdictSpan], now: UtcMicros) -> Option<f64> {
    let mut measured: i64 = 0;
    // By share: what is divided last is divided once, so cuts round nothing.
    let mut down: BTreeMap<(u64, u64), i64> = BTreeMap::new();
    for span in verdicts {
        match span.verdict {
            Verdict::Up | Verdict::Degraded | Verdict::Regional | Verdict::Down => {}
            Verdict::Unknown | Verdict::Maintenance => continue,
        }
        let weight = decay.weigh(span.span, now);
        measured += weight;
        if span.share_down.0 > 0 && span.share_down.1 > 0 {
            *down.entry(span.share_down).or_default() += weight;
        }
    }
    if measured <= 0 {
        return None;
    }
    let lost: f64 = down.iter().map(|((share, all), weight)| *weight as f64 * (*share as f64 / *all as f64)).sum();
    Some((1.0 - lost / measured as f64).clamp(0.0, 1.0))
}

/// Incidents in 7 days, by the instants at which they opened, decayed.
pub fn recurrence(decay: Decay, opened: impl IntoIterator<Item = UtcMicros>, now: UtcMicros) -> f64 {
    // One that opened at this very instant is one already.
    let weights: f64 = opened.into_iter().map(|at| if at == now { 1.0 } else { decay.at(at, now) }).sum();
    weights * WEEK_US / decay.whole().max(1) as f64
}

/// How much slower a p95 is than the one before; `None` where that was 0.
pub fn regression(p95_now: u64, p95_before: u64) -> Option<f64> {
    (p95_before > 0).then(|| p95_now as f64 / p95_before as f64 - 1.0)
}

/// Values that weigh differently, in the buckets of [`Sketch`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Weighed {
    buckets: BTreeMap<u16, u128>,
    values: u128,
}

impl Weighed {
    /// Adds what a sketch has counted, each value with a weight in parts of [`super::decay::ONE`].
    pub fn add(&mut self, sketch: &Sketch, weight: u64) {
        if weight == 0 {
            return;
        }
        for (bucket, times) in sketch.parts().0 {
            let weight = u128::from(*times) * u128::from(weight);
            let whole = self.buckets.entry(*bucket).or_default();
            *whole = whole.saturating_add(weight);
            self.values += u128::from(*times);
        }
    }

    /// How many values it holds, each as one.
    pub const fn values(&self) -> u128 {
        self.values
    }

    /// The value that `per_mille` of the weight does not exceed: the middle of its bucket, off by 1/128 at most. `None` of no values.
    pub fn quantile(&self, per_mille: u32) -> Option<u64> {
        let whole: u128 = self.buckets.values().sum();
        let rank = whole.saturating_mul(u128::from(per_mille.min(1_000))).div_ceil(1_000).max(1);
        let mut seen = 0;
        let (at, _) = self.buckets.iter().find(|(_, weight)| {
            seen += **weight;
            seen >= rank
        })?;
        let (first, last) = Sketch::bucket_range(*at)?;
        Some(first + (last - first) / 2)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::impact::decay::ONE;
    use crate::time::Span;

    const DAY_US: i64 = 86_400_000_000;
    const DECAY: Decay = Decay { constant_us: 7 * DAY_US, look_back_us: 28 * DAY_US };
    const NOW: UtcMicros = UtcMicros(0);

    fn verdict(from: i64, to: i64, verdict: Verdict, share_down: (u64, u64)) -> VerdictSpan {
        let span = Span::new(UtcMicros(from), UtcMicros(to));
        VerdictSpan { span, verdict, share_down, unknown_cause: None, quorum_reduced: false }
    }

    #[test]
    fn unknown_and_maintenance_stand_outside() {
        let up = |from, to| verdict(from * DAY_US, to * DAY_US, Verdict::Up, (0, 2));
        let down = verdict(-DAY_US, 0, Verdict::Down, (2, 2));
        let found = weighted_availability(DECAY, &[up(-2, -1), down], NOW).unwrap();
        let day = |age: f64| libm::exp(-age / 7.0);
        let want = (day(1.0) - day(2.0)) / (1.0 - day(2.0));
        assert!((found - want).abs() < 1e-9, "{found} {want}");
        let aside = [
            up(-2, -1),
            verdict(-DAY_US, 0, Verdict::Unknown, (0, 0)),
            verdict(-DAY_US, 0, Verdict::Maintenance, (1, 1)),
        ];
        assert_eq!(weighted_availability(DECAY, &aside, NOW), Some(1.0));
        assert_eq!(weighted_availability(DECAY, &aside[1..], NOW), None);
        assert_eq!(weighted_availability(DECAY, &[up(-60, -30)], NOW), None, "all of it is too old");
        let regional = verdict(-DAY_US, 0, Verdict::Regional, (1, 4));
        assert_eq!(weighted_availability(DECAY, &[regional], NOW), Some(0.75));
    }

    #[test]
    fn recurrence_counts_incidents_of_a_week() {
        let one = recurrence(DECAY, [NOW], NOW);
        assert!((one - 1.0 / (1.0 - libm::exp(-4.0))).abs() < 1e-9, "{one}");
        let weekly = recurrence(DECAY, (0..4).map(|week| UtcMicros(-(week * 7 * DAY_US) - DAY_US * 7 / 2)), NOW);
        assert!((0.9..1.1).contains(&weekly), "one each week is about one in 7 days: {weekly}");
        assert_eq!(recurrence(DECAY, [UtcMicros(-29 * DAY_US), UtcMicros(DAY_US)], NOW), 0.0);
    }

    #[test]
    fn a_quantile_leans_to_what_weighs_more() {
        let of = |value: u64, times: u64| {
            let mut sketch = Sketch::new();
            sketch.add_many(value, times);
            sketch
        };
        let mut weighed = Weighed::default();
        weighed.add(&of(100_000, 1_000), ONE / 100);
        weighed.add(&of(900_000, 100), ONE);
        assert_eq!(weighed.values(), 1_100);
        let p95 = weighed.quantile(950).unwrap();
        assert!(p95.abs_diff(900_000) < 900_000 / 100, "{p95}");
        assert!(weighed.quantile(50).unwrap() < 110_000);
        assert_eq!(Weighed::default().quantile(950), None);
        assert_eq!((regression(110, 100).map(|by| (by * 1e3 + 0.5) as i64), regression(1, 0)), (Some(100), None));
    }

    proptest! {
        #[test]
        fn cutting_a_span_changes_nothing(
            given in prop::collection::vec((0..4_u64, 1_i64..3 * DAY_US, prop::collection::vec(0.0..1.0_f64, 0..4)), 1..12),
        ) {
            let (mut whole, mut cut, mut from) = (Vec::new(), Vec::new(), -30 * DAY_US);
            for (down, us, cuts) in given {
                let to = from + us;
                let one = |from, to| {
                    let word = [Verdict::Up, Verdict::Regional, Verdict::Regional, Verdict::Down][down as usize];
                    verdict(from, to, word, (down * 1_000, 3_000))
                };
                whole.push(one(from, to));
                let mut edges: Vec<i64> = cuts.iter().map(|part| from + (us as f64 * part) as i64).collect();
                edges.extend([from, to]);
                edges.sort_unstable();
                cut.extend(edges.windows(2).map(|pair| one(pair[0], pair[1])));
                from = to;
            }
            prop_assert_eq!(weighted_availability(DECAY, &whole, NOW), weighted_availability(DECAY, &cut, NOW));
        }

        #[test]
        fn of_equal_weights_a_quantile_is_the_sketchs(values in prop::collection::vec(1_u64..10_000_000, 1..200), per_mille in 1_u32..=1000) {
            let (mut sketch, mut weighed) = (Sketch::new(), Weighed::default());
            values.iter().for_each(|value| sketch.add(*value));
            weighed.add(&sketch, ONE);
            let (found, want) = (weighed.quantile(per_mille).unwrap(), sketch.quantile(per_mille).unwrap());
            prop_assert!(found.abs_diff(want) <= want / 64, "{} {}", found, want);
        }
    }
}
