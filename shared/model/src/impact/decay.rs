//! How evidence fades: a second that is `age` old weighs `exp(-age / constant)`, and nothing older than the look-back counts.
//!
//! Weights of spans are exact integrals, told in whole microseconds of weight: the antiderivative is rounded, not the integral, so a span weighs exactly as much as its
//! parts, wherever it is split.

use crate::time::{Span, UtcMicros};

/// One whole weight of [`Decay::mean`].
pub const ONE: u64 = 1 << 32;

/// A decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decay {
    /// After so long a second weighs `1/e`, in microseconds; above 0.
    pub constant_us: i64,
    /// What is older does not count, in microseconds.
    pub look_back_us: i64,
}

impl Decay {
    /// What counts at all at an instant.
    pub const fn span(self, now: UtcMicros) -> Span {
        Span::new(now.plus_us(-self.look_back_us), now)
    }

    /// What all that lies between now and an age weighs, in microseconds: `constant x (1 - exp(-age / constant))`.
    fn upto(self, age_us: i64) -> i64 {
        let constant = self.constant_us.max(1) as f64;
        let age = age_us.clamp(0, self.look_back_us) as f64;
        // Below 2^62: `constant` is.
        (constant * -libm::expm1(-age / constant) + 0.5) as i64
    }

    /// What a span weighs, in microseconds; what lies outside [`Self::span`] weighs nothing.
    pub fn weigh(self, span: Span, now: UtcMicros) -> i64 {
        if span.is_empty() {
            return 0;
        }
        self.upto(now.us_since(span.from)) - self.upto(now.us_since(span.to))
    }

    /// What the whole look-back weighs, in microseconds.
    pub fn whole(self) -> i64 {
        self.upto(self.look_back_us)
    }

    /// The weight of an instant: 1 now, 0 where it does not count.
    pub fn at(self, at: UtcMicros, now: UtcMicros) -> f64 {
        if !self.span(now).contains(at) {
            return 0.0;
        }
        libm::exp(-(now.us_since(at) as f64) / self.constant_us.max(1) as f64)
    }

    /// The mean weight of a span's instants, in parts of [`ONE`]; those that do not count pull it down.
    pub fn mean(self, span: Span, now: UtcMicros) -> u64 {
        let us = span.clip(Span::new(UtcMicros::MIN, now)).us();
        let weight = u128::from(self.weigh(span, now).max(0).unsigned_abs()) * u128::from(ONE);
        u64::try_from(weight / u128::from(us.max(1).unsigned_abs())).unwrap_or(ONE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_US: i64 = 86_400_000_000;
    const DECAY: Decay = Decay { constant_us: 7 * DAY_US, look_back_us: 28 * DAY_US };
    const NOW: UtcMicros = UtcMicros(100 * DAY_US);

    #[test]
    fn the_weights_are_those_of_the_formula() {
        let days = |from: i64, to: i64| Span::new(NOW.plus_us(-from * DAY_US), NOW.plus_us(-to * DAY_US));
        let close = |span: Span, days: f64| {
            let found = DECAY.weigh(span, NOW) as f64 / DAY_US as f64;
            assert!((found - days).abs() < 1e-9, "{found} {days}");
        };
        close(days(28, 0), 7.0 * (1.0 - libm::exp(-4.0)));
        close(days(7, 0), 7.0 * (1.0 - libm::exp(-1.0)));
        close(days(14, 7), 7.0 * (libm::exp(-1.0) - libm::exp(-2.0)));
        assert_eq!(DECAY.weigh(days(40, 28), NOW), 0);
        assert_eq!(DECAY.weigh(days(40, 0), NOW), DECAY.whole());
        assert_eq!(DECAY.weigh(Span::new(NOW, NOW.plus_us(DAY_US)), NOW), 0);
        assert!((DECAY.at(NOW.plus_us(-7 * DAY_US), NOW) - libm::exp(-1.0)).abs() < 1e-12);
        assert_eq!((DECAY.at(NOW, NOW), DECAY.at(NOW.plus_us(-29 * DAY_US), NOW)), (0.0, 0.0));
        // A second of now weighs nearly a whole one.
        let second = DECAY.mean(Span::new(NOW.plus_us(-1_000_000), NOW), NOW);
        assert!(second <= ONE && second > ONE - ONE / 10_000, "{second}");
    }

    proptest! {
        #[test]
        fn a_span_weighs_what_its_parts_weigh(
            mut cuts in prop::collection::vec(-40 * DAY_US..2 * DAY_US, 2..12), constant in 1_000_000..60 * DAY_US,
        ) {
            let decay = Decay { constant_us: constant, ..DECAY };
            cuts.sort_unstable();
            let at = |cut: &i64| NOW.plus_us(*cut);
            let parts: i64 = cuts.windows(2).map(|pair| decay.weigh(Span::new(at(&pair[0]), at(&pair[1])), NOW)).sum();
            let whole = decay.weigh(Span::new(at(&cuts[0]), at(&cuts[cuts.len() - 1])), NOW);
            prop_assert_eq!(parts, whole);
            prop_assert!((0..=decay.whole()).contains(&whole));
        }

        #[test]
        fn what_is_newer_weighs_more(ages in (1_i64..27 * DAY_US, 1_i64..27 * DAY_US), us in 60_000_000_i64..DAY_US) {
            let span = |age: i64| Span::new(NOW.plus_us(-age - us), NOW.plus_us(-age));
            let (newer, older) = (ages.0.min(ages.1), ages.0.max(ages.1));
            prop_assert!(DECAY.weigh(span(newer), NOW) >= DECAY.weigh(span(older), NOW));
        }
    }
}
