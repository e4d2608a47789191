//! Whether a page became slower, and since when: said of many runs, never of one.
//!
//! A run is *beyond* when its value is more than the baseline by a tenth and by the vital's own step. The baseline is the median of the runs before; it
//! must be of at least eight. A regression begins with the first of three runs in a row that are beyond the baseline of the runs before the first of
//! them. It stands, against that baseline, until three in a row are not beyond; those begin the next baseline together with the runs from before.
//! Runs under pressure are left out as if they had not been.
//!
//! The numbers are those of [`Rule::of`]. How far back a series goes is the caller's choice: a regression that stands longer than the series goes back is
//! no more one, for the page has been like that all the time. A series holds runs that can be compared: one vital of one check on one profile, from one region.

use alloc::vec::Vec;

use super::{CLS_SCALE, Vital};
use crate::time::UtcMicros;

/// The value of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it took place.
    pub at: UtcMicros,
    /// The value, in the vital's own unit.
    pub value: u64,
    /// The host was under pressure: it does not count.
    pub low_confidence: bool,
}

/// When a page counts as slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Runs in a row that must be beyond; and not be beyond, for it to end. One is taken for two.
    pub runs: usize,
    /// Runs that a baseline is of at least.
    pub baseline_runs_min: usize,
    /// How much more than the baseline is beyond, in thousandths of it.
    pub share_per_mille: u32,
    /// How much more than the baseline is beyond at least, in the vital's own unit: on a fast page a tenth is nothing.
    pub step: u64,
}

impl Rule {
    /// The rule of a vital.
    pub const fn of(vital: Vital) -> Self {
        let step = match vital {
            Vital::Lcp | Vital::Fcp => 100_000,
            Vital::Cls => CLS_SCALE / 50,
            Vital::Inp | Vital::Tbt => 20_000,
            Vital::Ttfb => 50_000,
        };
        Self { runs: 3, baseline_runs_min: 8, share_per_mille: 100, step }
    }

    /// The largest value that is not beyond a baseline.
    pub fn limit(&self, baseline: u64) -> u64 {
        let share = u128::from(baseline) * u128::from(self.share_per_mille) / 1_000;
        baseline.saturating_add(u64::try_from(share).unwrap_or(u64::MAX).max(self.step))
    }
}

/// A page that is slower than it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regression {
    /// The first run of it.
    pub since: UtcMicros,
    /// The median of the runs before.
    pub baseline: u64,
    /// The median of the runs since.
    pub median: u64,
    /// How many those are.
    pub runs: usize,
}

/// The regression that stands at the end of a series; `None` where none does.
///
/// `runs` are in the order of time.
pub fn regression(runs: impl IntoIterator<Item = Run>, rule: &Rule) -> Option<Regression> {
    let in_a_row = rule.runs.max(2);
    let mut baseline = Sorted::default();
    // Beyond, one after the other, and not yet called.
    let mut beyond: Vec<Run> = Vec::new();
    let mut standing: Option<Standing> = None;
    for run in runs.into_iter().filter(|run| !run.low_confidence) {
        if let Some(regression) = &mut standing {
            if regression.ends_with(run, rule, in_a_row) {
                regression.back.drain(..).for_each(|value| baseline.insert(value));
                standing = None;
            }
            continue;
        }
        let before = baseline.median().filter(|_| baseline.0.len() >= rule.baseline_runs_min);
        match before {
            Some(before) if run.value > rule.limit(before) => {
                beyond.push(run);
                if beyond.len() >= in_a_row {
                    standing = Some(Standing::new(&beyond, before));
                    beyond.clear();
                }
            }
            Some(_) | None => {
                beyond.drain(..).for_each(|run| baseline.insert(run.value));
                baseline.insert(run.value);
            }
        }
    }
    standing.and_then(|regression| {
        let mut values = regression.values;
        regression.back.iter().for_each(|value| values.insert(*value));
        let (since, baseline, runs) = (regression.since, regression.baseline, values.0.len());
        values.median().map(|median| Regression { since, baseline, median, runs })
    })
}

/// A regression while the series goes on.
struct Standing {
    since: UtcMicros,
    baseline: u64,
    values: Sorted,
    /// Not beyond, one after the other.
    back: Vec<u64>,
}

impl Standing {
    fn new(runs: &[Run], baseline: u64) -> Self {
        let mut values = Sorted::default();
        runs.iter().for_each(|run| values.insert(run.value));
        let since = runs.first().map_or(UtcMicros(0), |run| run.at);
        Self { since, baseline, values, back: Vec::new() }
    }

    /// Takes the next run; whether it was over with the first of those in `back`.
    fn ends_with(&mut self, run: Run, rule: &Rule, in_a_row: usize) -> bool {
        if run.value > rule.limit(self.baseline) {
            self.back.drain(..).for_each(|value| self.values.insert(value));
            self.values.insert(run.value);
            return false;
        }
        self.back.push(run.value);
        self.back.len() >= in_a_row
    }
}

/// Values in their order.
#[derive(Default)]
struct Sorted(Vec<u64>);

impl Sorted {
    fn insert(&mut self, value: u64) {
        let at = self.0.partition_point(|known| *known <= value);
        self.0.insert(at, value);
    }

    /// The median; of an even number the lower of the two in the middle.
    fn median(&self) -> Option<u64> {
        self.0.get(self.0.len().checked_sub(1)? / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[u64]) -> impl Iterator<Item = Run> {
        (0..).zip(values).map(|(at, value)| Run { at: UtcMicros(at), value: *value, low_confidence: false })
    }

    fn lcp(values_ms: &[u64]) -> Option<Regression> {
        let values: Vec<u64> = values_ms.iter().map(|ms| ms * 1_000).collect();
        regression(series(&values), &Rule::of(Vital::Lcp))
    }

    const STEADY: [u64; 8] = [2_000, 2_010, 1_990, 2_000, 2_005, 1_995, 2_000, 2_050];

    #[test]
    fn three_runs_in_a_row_make_a_regression() {
        let with = |more: &[u64]| lcp(&[&STEADY[..], more].concat());
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[9_000]), None);
        assert_eq!(with(&[9_000, 9_000]), None);
        assert_eq!(with(&[9_000, 2_000, 9_000, 2_000, 9_000, 9_000]), None, "not in a row");
        let found = Regression { since: UtcMicros(8), baseline: 2_000_000, median: 2_600_000, runs: 3 };
        assert_eq!(with(&[2_500, 2_600, 2_700]), Some(found));
        let later = Regression { since: UtcMicros(10), baseline: 2_000_000, median: 2_600_000, runs: 3 };
        assert_eq!(with(&[9_000, 2_000, 2_600, 2_600, 2_600]), Some(later));
    }

    #[test]
    fn it_stands_until_as_many_runs_are_back() {
        let with = |more: &[u64]| lcp(&[&STEADY[..], &[2_600; 3], more].concat());
        let found = with(&[2_000, 2_000]).unwrap();
        assert_eq!((found.since, found.runs, found.median), (UtcMicros(8), 5, 2_600_000));
        assert_eq!(with(&[2_000, 2_000, 2_600]).map(|found| found.since), Some(UtcMicros(8)), "it never was over");
        assert_eq!(with(&[2_000, 2_000, 2_000]), None);
        let again = with(&[2_000, 2_000, 2_000, 2_500, 2_500, 2_500]).unwrap();
        assert_eq!((again.since, again.baseline), (UtcMicros(14), 2_000_000));
    }

    #[test]
    fn the_edge_of_beyond() {
        let with = |value: u64| lcp(&[&STEADY[..], &[value; 3]].concat());
        assert_eq!(with(2_200), None);
        assert!(with(2_201).is_some());
        let fast = |value: u64| lcp(&[[300; 8].as_slice(), &[value; 3]].concat());
        assert_eq!(fast(400), None, "a third more, and yet nothing: the step of LCP is 100 ms");
        assert!(fast(401).is_some());
        let cls = |value: u64| regression(series(&[[0; 8].as_slice(), &[value; 3]].concat()), &Rule::of(Vital::Cls));
        assert_eq!(cls(200), None);
        assert!(cls(201).is_some());
        for vital in Vital::ALL {
            assert!(Rule::of(vital).limit(0) > 0 && Rule::of(vital).limit(u64::MAX) == u64::MAX);
        }
    }

    #[test]
    fn a_baseline_is_of_eight_runs_that_count() {
        assert_eq!(lcp(&[&STEADY[..7], &[9_000; 3]].concat()), None);
        let values: Vec<u64> = [&STEADY[..], &[9_000; 3]].concat().iter().map(|ms| ms * 1_000).collect();
        let doubted = |which: usize| {
            let runs = series(&values).map(move |run| Run { low_confidence: run.at.0 == which as i64, ..run });
            regression(runs, &Rule::of(Vital::Lcp))
        };
        assert_eq!(doubted(3), None, "seven count before");
        assert_eq!(doubted(9), None, "two count since");
        assert!(doubted(99).is_some());
    }

    #[test]
    fn one_run_is_never_enough() {
        let rule = Rule { runs: 1, ..Rule::of(Vital::Lcp) };
        let values: Vec<u64> = [&STEADY[..], &[60_000]].concat().iter().map(|ms| ms * 1_000).collect();
        assert_eq!(regression(series(&values), &rule), None);
    }
}
