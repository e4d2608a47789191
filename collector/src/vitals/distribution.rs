//! How values are spread: exactly while they are few.

use sitepulse_model::vitals::Rating;
use sitepulse_model::vitals::profile::Threshold;

/// Values of one vital.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    values: Vec<u64>,
}

/// How a quantile was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// From the values themselves.
    Exact,
}

impl Method {
    /// Its name: `exact`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
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
        match threshold.rate(value) {
            Rating::Good => self.good += 1,
            Rating::NeedsImprovement => self.needs_improvement += 1,
            Rating::Poor => self.poor += 1,
        }
    }
}

impl Distribution {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        self.values.push(value);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.values.len() as u64
    }

    /// The smallest value that at least `quarters / 4` of all values do not exceed (nearest rank), so a value that was measured. `None`
    /// of no values. Two quarters give the same median as a run's loads: of an even number the lower of the two in the middle.
    pub fn quarters(&mut self, quarters: usize) -> Option<u64> {
        let at = (quarters * self.values.len()).checked_sub(1)? / 4;
        let (_, value, _) = self.values.select_nth_unstable(at);
        Some(*value)
    }

    /// How [`Self::quarters`] finds it.
    pub fn method(&self) -> Method {
        Method::Exact
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sitepulse_model::vitals::Spread;

    use super::*;

    fn of(values: &[u64]) -> Distribution {
        Distribution { values: values.to_vec() }
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(of(&[]).quarters(3), None);
        assert_eq!(of(&[7]).quarters(3), Some(7));
        assert_eq!((of(&[4, 1, 3, 2]).quarters(2), of(&[4, 1, 3, 2]).quarters(3)), (Some(2), Some(3)));
        assert_eq!(of(&[10, 20, 30, 40, 50]).quarters(3), Some(40));
    }

    proptest! {
        #[test]
        fn quantiles_agree_with_the_definition(values in prop::collection::vec(0_u64..50, 1..40), quarters in 1_usize..=4) {
            let found = of(&values).quarters(quarters).unwrap();
            let at_most = |limit: u64| values.iter().filter(|value| **value <= limit).count() * 4;
            prop_assert!(at_most(found) >= quarters * values.len());
            prop_assert!(values.iter().filter(|value| **value < found).all(|less| at_most(*less) < quarters * values.len()));
            let mut sorted = values.clone();
            prop_assert_eq!(of(&values).quarters(2), Spread::of(&mut sorted).map(|spread| spread.median));
        }
    }
}
