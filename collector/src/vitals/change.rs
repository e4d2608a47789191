//! Whether a page became worse in a place, since when, and what was painted largest before and after.
//!
//! The rule is that of [`sitepulse_model::vitals::regression`]; here is the series that it is asked of: the graded runs of one profile in one
//! place over the [`LOOKBACK_US`] before the end of the span, or over the span where that is longer; the newest [`RUNS_MAX`] of them. What stands longer
//! than that is no regression any more, but how the page is.

use std::collections::{BTreeMap, VecDeque};

use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::regression::{Regression, Rule, Run, regression};

use super::Row;

/// How far before the end of a span runs are compared, at least: 7 days.
pub const LOOKBACK_US: i64 = 7 * 86_400 * 1_000_000;
/// Most runs that are compared.
pub const RUNS_MAX: usize = 2_000;

/// A vital that became worse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worse {
    /// Which.
    pub vital: Vital,
    /// Since when and by how much.
    pub regression: Regression,
    /// What was painted largest most often, before and since. Absent where one of them is not known, and of other vitals than
    /// LCP where they are the same.
    pub lcp_element: Option<[String; 2]>,
}

/// The newest runs.
#[derive(Debug, Default)]
pub(super) struct Watch {
    runs: VecDeque<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: UtcMicros,
    values: [Option<u64>; Vital::ALL.len()],
    lcp_element: String,
}

impl Watch {
    /// Takes in a graded row, in the order of slots.
    pub(super) fn add(&mut self, row: &Row) {
        if self.runs.len() >= RUNS_MAX {
            self.runs.pop_front();
        }
        let values = row.values.map(|spread| spread.map(|spread| spread.median));
        self.runs.push_back(Seen { at: row.scheduled, values, lcp_element: row.lcp_element.clone() });
    }

    /// The regressions that stand at the end.
    pub(super) fn worse(&self) -> Vec<Worse> {
        let found = Vital::ALL.into_iter().enumerate().filter_map(|(index, vital)| {
            let runs = self
                .runs
                .iter()
                .filter_map(|seen| Some(Run { at: seen.at, value: seen.values[index]?, low_confidence: false }));
            let regression = regression(runs, &Rule::of(vital))?;
            let elements = self.elements(regression.since);
            // Of other vitals it tells something where the page is another one since.
            let lcp_element = elements.filter(|[before, after]| vital == Vital::Lcp || before != after);
            Some(Worse { vital, regression, lcp_element })
        });
        found.collect()
    }

    fn elements(&self, since: UtcMicros) -> Option<[String; 2]> {
        let before = most_often(self.runs.iter().filter(|seen| seen.at < since))?;
        let after = most_often(self.runs.iter().filter(|seen| seen.at >= since))?;
        Some([before, after])
    }
}

fn most_often<'a>(runs: impl Iterator<Item = &'a Seen>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seen in runs.filter(|seen| !seen.lcp_element.is_empty()) {
        *counts.entry(&seen.lcp_element).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(element, _)| element.to_owned())
}
