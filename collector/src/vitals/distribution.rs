//! How values are spread: exactly while they are few, by a sketch beyond, so that any span costs little memory. Which of the two is told.

use sitepulse_model::sketch::Sketch;
use sitepulse_model::vitals::Rating;
use sitepulse_model::vitals::profile::Threshold;

/// Most values that are kept themselves.
pub const EXACT_MAX: usize = 10_000;
/// Most values that are kept themselves where there are many distributions: those of a trend's stretches.
pub const EXACT_MAX_OF_MANY: usize = 500;

/// Values of one vital.
#[derive(Debug, Clone)]
pub struct Distribution {
    exact_max: usize,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Few(Vec<u64>),
    Many(Sketch),
}

impl Default for Distribution {
    fn default() -> Self {
        Self { exact_max: EXACT_MAX, values: Values::Few(Vec::new()) }
    }
}

/// How a quantile was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// From the values themselves.
    Exact,
    /// From a sketch of them: off by 1/128 of the value (0.8 %) at most.
    Sketch,
}

impl Method {
    /// Its name: `exact`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Sketch => "sketch",
        }
    }
}

/// How many values are rated how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ratings {
    /// Good ones.
    pub good: u64,
    /// Those between.
    pub needs_improvement: u64,
    /// Poor ones.
    pub poor: u64,
}

impl Ratings {
    /// Counts one more value.
    pub fn add(&mut self, threshold: Threshold, value: u64) {
        self.add_many(threshold, value, 1);
    }

    /// Counts all that a sketch has counted, each by the middle of its bucket: a value within 0.8 % of a threshold may fall on its other side.
    pub fn add_sketch(&mut self, threshold: Threshold, sketch: &Sketch) {
        let (buckets, min, max, _) = sketch.parts();
        for (at, times) in buckets {
            let (first, last) = Sketch::bucket_range(*at).unwrap_or_default();
            self.add_many(threshold, (first + (last - first) / 2).clamp(min, max), *times);
        }
    }

    fn add_many(&mut self, threshold: Threshold, value: u64, times: u64) {
        match threshold.rate(value) {
            Rating::Good => self.good += times,
            Rating::NeedsImprovement => self.needs_improvement += times,
            Rating::Poor => self.poor += times,
        }
    }
}

impl Distribution {
    /// One of many: it keeps [`EXACT_MAX_OF_MANY`] values themselves.
    pub fn of_many() -> Self {
        Self { exact_max: EXACT_MAX_OF_MANY, ..Self::default() }
    }

    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        match &mut self.values {
            Values::Few(values) if values.len() < self.exact_max => values.push(value),
            Values::Few(values) => {
                let mut sketch = Sketch::new();
                values.iter().for_each(|value| sketch.add(*value));
                sketch.add(value);
                self.values = Values::Many(sketch);
            }
            Values::Many(sketch) => sketch.add(value),
        }
    }

    /// Adds what a sketch has counted.
    pub fn add_sketch(&mut self, added: &Sketch) {
        if added.is_empty() {
            return;
        }
        let mut sketch = match &mut self.values {
            Values::Few(values) => {
                let mut sketch = Sketch::new();
                values.iter().for_each(|value| sketch.add(*value));
                sketch
            }
            Values::Many(sketch) => std::mem::take(sketch),
        };
        sketch.merge(added);
        self.values = Values::Many(sketch);
    }

    /// The value that at least `per_mille` of all values do not exceed, by the nearest rank: of few values one that was measured. `None` of no
    /// values. 500 gives the same median as a run's loads have: of an even number the lower of the two in the middle.
    pub fn quantile(&mut self, per_mille: u32) -> Option<u64> {
        match &mut self.values {
            Values::Few(values) => {
                let last = values.len().checked_sub(1)?;
                let at = (per_mille as usize * values.len()).saturating_sub(1) / 1_000;
                let (_, value, _) = values.select_nth_unstable(at.min(last));
                Some(*value)
            }
            Values::Many(sketch) => sketch.quantile(per_mille),
        }
    }

    /// How [`Self::quantile`] finds it.
    pub fn method(&self) -> Method {
        match self.values {
            Values::Few(_) => Method::Exact,
            Values::Many(_) => Method::Sketch,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sitepulse_model::vitals::Spread;

    use super::*;

    fn of(values: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        values.iter().for_each(|value| distribution.add(*value));
        distribution
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(of(&[]).quantile(750), None);
        assert_eq!(of(&[7]).quantile(750), Some(7));
        assert_eq!((of(&[4, 1, 3, 2]).quantile(500), of(&[4, 1, 3, 2]).quantile(750)), (Some(2), Some(3)));
        assert_eq!(of(&[10, 20, 30, 40, 50]).quantile(750), Some(40));
    }

    #[test]
    fn many_values_go_into_a_sketch_that_says_so() {
        let values: Vec<u64> = (1..=EXACT_MAX as u64 + 1).map(|nth| nth * 100).collect();
        let (mut exact, mut sketched) = (of(&values[..EXACT_MAX]), of(&values));
        assert_eq!((exact.method(), sketched.method()), (Method::Exact, Method::Sketch));
        let (exact, sketched) = (exact.quantile(750).unwrap(), sketched.quantile(750).unwrap());
        assert_eq!(exact, 750_000);
        assert!(sketched.abs_diff(exact) <= exact / 100, "{sketched}");
    }

    #[test]
    fn one_of_many_keeps_few_values_themselves() {
        let mut stretch = Distribution::of_many();
        (1..=EXACT_MAX_OF_MANY as u64).for_each(|nth| stretch.add(nth * 1_000));
        assert_eq!((stretch.method(), stretch.quantile(500)), (Method::Exact, Some(250_000)));
        stretch.add(1_000);
        assert_eq!(stretch.method(), Method::Sketch);
        assert!(stretch.quantile(500).unwrap().abs_diff(250_000) <= 2_500);
    }

    proptest! {
        #[test]
        fn quantiles_agree_with_the_definition(values in prop::collection::vec(0_u64..50, 1..40), per_mille in 1_u32..=1000) {
            let found = of(&values).quantile(per_mille).unwrap();
            let at_most = |limit: u64| values.iter().filter(|value| **value <= limit).count() * 1000;
            let enough = per_mille as usize * values.len();
            prop_assert!(at_most(found) >= enough);
            prop_assert!(values.iter().filter(|value| **value < found).all(|less| at_most(*less) < enough));
            let mut sorted = values.clone();
            prop_assert_eq!(of(&values).quantile(500), Spread::of(&mut sorted).map(|spread| spread.median));
        }
    }
}
