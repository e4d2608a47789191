//! Whether a page became worse in a place, since when, and what was painted largest before and after.
//!
//! The rule is that of [`sitepulse_model::vitals::regression`]; here is the series that it is asked of: the graded runs of one profile on one
//! agent over the [`LOOKBACK_US`] before the end of the span, or over the span where that is longer; the newest [`RUNS_MAX`] of them. What stands longer
//! than that is no regression any more, but how the page is. A series begins anew where the definition measures something else ([`Epochs`]), and where an agent
//! measures with another browser, of a newer major version or another form: that a page is slower since its processor is slowed down is no news, and what a
//! browser makes of it is not the page's doing. A region tells what most of its agents that ran say ([`Watches`]).

use std::collections::{BTreeMap, VecDeque};

use sitepulse_model::check::{CheckDefinition, WebVitalsTarget};
use sitepulse_model::id::{AgentNo, Revision};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::profile::{Profile, ProfileChoice, Thresholds};
use sitepulse_model::vitals::regression::{Regression, Rule, Run, regression};

use super::{Row, target_of};

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

/// What the agents of a place saw, each for itself: levels of different machines cannot be compared run by run.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_agent: BTreeMap<AgentNo, Watch>,
}

/// The newest runs of one agent.
#[derive(Debug, Default)]
struct Watch {
    measured: Option<Measured>,
    /// The last that was told.
    browser: Option<String>,
    /// Whether it ran within the span that is asked for: who did not says nothing of it.
    within: bool,
    runs: VecDeque<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: UtcMicros,
    values: [Option<u64>; Vital::ALL.len()],
    lcp_element: String,
}

impl Watches {
    /// Takes in a graded row, in the order of slots. `measured` is what its definition measures; `within` the span that is asked for.
    pub(super) fn add(&mut self, row: &Row, measured: Measured, within: bool) {
        let watch = self.by_agent.entry(row.agent).or_default();
        if watch.measured != Some(measured) || row.has_other_browser(watch.browser.as_deref()) {
            *watch = Watch { measured: Some(measured), ..Watch::default() };
        }
        if row.browser.is_some() {
            watch.browser.clone_from(&row.browser);
        }
        watch.within |= within;
        if watch.runs.len() >= RUNS_MAX {
            watch.runs.pop_front();
        }
        let values = row.values.map(|spread| spread.map(|spread| spread.median));
        watch.runs.push_back(Seen { at: row.scheduled, values, lcp_element: row.lcp_element.clone() });
    }

    /// The regressions that stand at the end for most of the agents that ran. Of each is told what that agent says with which it became most.
    pub(super) fn worse(&self) -> Vec<Worse> {
        let ran: Vec<&Watch> = self.by_agent.values().filter(|watch| watch.within).collect();
        let found = Vital::ALL.into_iter().filter_map(|vital| {
            let mut worse: Vec<Worse> = ran.iter().filter_map(|watch| watch.worse(vital)).collect();
            worse.sort_by_key(|one| one.regression.since);
            worse.into_iter().nth(ran.len() / 2)
        });
        found.collect()
    }
}

impl Watch {
    fn worse(&self, vital: Vital) -> Option<Worse> {
        let index = Vital::ALL.iter().position(|one| *one == vital)?;
        let runs = self
            .runs
            .iter()
            .filter_map(|seen| Some(Run { at: seen.at, value: seen.values[index]?, low_confidence: false }));
        let regression = regression(runs, &Rule::of(vital))?;
        let elements = self.elements(regression.since);
        // Of other vitals it tells something where the page is another one since.
        let lcp_element = elements.filter(|[before, after]| vital == Vital::Lcp || before != after);
        Some(Worse { vital, regression, lcp_element })
    }

    fn elements(&self, since: UtcMicros) -> Option<[String; 2]> {
        let before = most_often(self.runs.iter().filter(|seen| seen.at < since))?;
        let after = most_often(self.runs.iter().filter(|seen| seen.at >= since))?;
        Some([before, after])
    }
}

/// What a check's definitions measure, numbered: two runs can be compared where it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Measured(usize);

/// What each revision of a check measures: another page, device, number of loads or interaction is something else; other thresholds are not.
#[derive(Debug, Default)]
pub(super) struct Epochs(BTreeMap<Revision, Measured>);

impl Epochs {
    /// Of a check's revisions, oldest first. A definition that comes back is told apart from what it was before: sites change meanwhile.
    pub(super) fn of<'a>(revisions: impl IntoIterator<Item = (Revision, &'a CheckDefinition)>) -> Self {
        let mut epochs = BTreeMap::new();
        let mut before = None;
        let mut measured = Measured::default();
        for (revision, definition) in revisions {
            let target = measured_by(definition);
            if before.as_ref().is_some_and(|before| *before != target) {
                measured.0 += 1;
            }
            before = Some(target);
            epochs.insert(revision, measured);
        }
        Self(epochs)
    }

    /// Of one revision.
    pub(super) fn at(&self, revision: Revision) -> Measured {
        self.0.get(&revision).copied().unwrap_or_default()
    }
}

/// The target of a page with its device as it is applied, without what only rates it.
fn measured_by(definition: &CheckDefinition) -> Option<WebVitalsTarget> {
    let target = target_of(definition)?;
    let profile = target.device().map_or_else(
        || target.profile.clone(),
        |device| ProfileChoice::Own(Box::new(Profile { thresholds: Thresholds::default(), ..device })),
    );
    Some(WebVitalsTarget { profile, ..target.clone() })
}

fn most_often<'a>(runs: impl Iterator<Item = &'a Seen>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seen in runs.filter(|seen| !seen.lcp_element.is_empty()) {
        *counts.entry(&seen.lcp_element).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(element, _)| element.to_owned())
}

#[cfg(test)]
mod tests;
