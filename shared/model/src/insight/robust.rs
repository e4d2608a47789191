//! Statistics that a few wild values do not move: median, MAD, and how sure a distance in multiples of the noise makes.
//!
//! - The **MAD** is the median of the distances from the median (Hampel 1974, "The influence curve and its role in robust estimation"). Times 1.4826 it estimates the
//!   standard deviation of normal noise, and half of the values may be anything without moving it far.
//! - **Confidence** of a distance of `z` standard deviations is `z^2 / (1 + z^2)`: by Cantelli's inequality at most `1 / (1 + z^2)` of any distribution lies so far out
//!   on one side, whatever its shape. So it is a lower bound and no guess of the shape: 4 are 941 thousandths, 6 are 973, 10 are 990.

use alloc::vec::Vec;

use super::Confidence;

/// The standard deviation of normal noise whose MAD is 1.
const NORMAL: f64 = 1.4826;

/// The median; of an even number the mean of the two in the middle. `None` of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    // Of an even number the other one in the middle is the largest of those below.
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(if values.len().is_multiple_of(2) { f64::midpoint(lower, upper) } else { upper })
}

/// The median of whole numbers, rounded down.
pub(super) fn median_whole(values: impl IntoIterator<Item = u64>) -> Option<u64> {
    median(values.into_iter().map(|value| value as f64)).map(|value| value as u64)
}

/// The standard deviation of values by their MAD; `None` of none.
pub(super) fn deviation(values: &[f64]) -> Option<f64> {
    let middle = median(values.iter().copied())?;
    median(values.iter().map(|value| (value - middle).abs())).map(|mad| mad * NORMAL)
}

/// The standard deviation of values by their MAD, or by the distance that one in ten exceeds (1.645 times it in normal noise) where that says more: what is quiet mostly and wild now
/// and then has a small MAD. `None` of none.
pub(super) fn spread(values: &[f64]) -> Option<f64> {
    let middle = median(values.iter().copied())?;
    let mut far: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    far.sort_unstable_by(f64::total_cmp);
    let ninth = far.get(far.len() * 9 / 10).copied().unwrap_or(0.0) / 1.645;
    deviation(values).map(|deviation| deviation.max(ninth))
}

/// The confidence of `z` standard deviations; see the module.
pub(super) fn confidence(z: f64) -> Confidence {
    let z = z.max(0.0);
    share(z * z / (1.0 + z * z))
}

/// The chance that of so many that each are something with a chance of `share`, `times` at least are (binomial).
pub(super) fn at_least(times: usize, of: usize, share: f64) -> f64 {
    let odds = share / (1.0 - share);
    if times == 0 || odds.is_nan() || odds < 0.0 {
        return 1.0;
    }
    // Each term from the one before it; the first one by its logarithm, for it can be tiny.
    let chosen: f64 = (0..times.min(of)).map(|nth| libm::log((of - nth) as f64 / (nth + 1) as f64)).sum();
    let rest = of.saturating_sub(times) as f64;
    let mut term = libm::exp(chosen + times as f64 * libm::log(share) + rest * libm::log(1.0 - share));
    let mut sum = 0.0;
    for nth in times..=of {
        sum += term;
        term *= odds * (of - nth) as f64 / (nth + 1) as f64;
    }
    sum.min(1.0)
}

/// A share as a confidence.
pub(super) fn share(of: f64) -> Confidence {
    Confidence(per_mille(of.clamp(0.0, 1.0)) as u16)
}

/// A ratio in thousandths, rounded; 0 where it is none.
pub(super) fn per_mille(ratio: f64) -> u32 {
    // `as` keeps to the type's bounds, and makes 0 of what is no number.
    (ratio * 1_000.0 + 0.5) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn medians_and_deviations() {
        assert_eq!((median([]), median([3.0]), median([9.0, 1.0])), (None, Some(3.0), Some(5.0)));
        assert_eq!(median([9.0, 1.0, 2.0, 1000.0]), Some(5.5));
        assert_eq!(median_whole([4, 5]), Some(4));
        assert_eq!(deviation(&[1.0, 2.0, 3.0, 4.0, 1e9]), Some(1.4826));
        assert_eq!((deviation(&[7.0; 9]), spread(&[7.0; 9]), spread(&[])), (Some(0.0), Some(0.0), None));
        let seldom: Vec<f64> = (0..20).map(|nth| if nth < 17 { 0.0 } else { 1.645 }).collect();
        assert_eq!((deviation(&seldom), spread(&seldom)), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn confidence_is_cantellis() {
        assert_eq!([0.0, 1.0, 4.0, 10.0].map(|z| confidence(z).0), [0, 500, 941, 990]);
        assert_eq!((confidence(-3.0).0, confidence(f64::INFINITY).0, per_mille(f64::NAN)), (0, 0, 0));
        assert_eq!((per_mille(-1.0), per_mille(1e30), share(7.0).0), (0, u32::MAX, 1000));
    }

    #[test]
    fn a_share_by_chance() {
        let near = |is: f64, should: f64| assert!((is / should - 1.0).abs() < 1e-9, "{is} {should}");
        near(at_least(1, 6, 0.5), 1.0 - 0.5_f64.powi(6));
        near(at_least(5, 6, 0.1), 6.0 * 0.9e-5 + 1e-6);
        near(at_least(6, 6, 0.1), 1e-6);
        near(at_least(0, 6, 0.1), 1.0);
        assert_eq!((at_least(7, 6, 0.5), at_least(3, 6, 0.0)), (0.0, 0.0));
        assert!(at_least(400, 1_000, 0.01) < 1e-200 && at_least(400, 1_000, 0.5) > 0.999_999);
    }

    proptest! {
        #[test]
        fn half_of_the_values_may_be_anything(
            good in prop::collection::vec(10.0..11.0_f64, 11..40), wild in prop::collection::vec(-1e12..1e12_f64, 0..10),
        ) {
            let all = median(good.iter().chain(&wild).copied()).unwrap();
            prop_assert!((10.0..=11.0).contains(&all), "{}", all);
        }
    }
}
