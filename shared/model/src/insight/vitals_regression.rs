//! A page got worse, and what made it.
//!
//! What counts as worse is what the page's own rule says ([`crate::vitals::regression::Rule`]: a tenth and the vital's step). That rule alone calls three runs in a row; here it
//! must be more than the page's noise too, for a finding is to be acted on: each run is held against the baseline's runs at that time of the day (three hours to either side), the
//! change is located and weighed as in `shift`, with runs in place of hours. Values enter as `ln(value + step)`, so that a layout shift of 0 has a logarithm and
//! what happens below the step does not count.
//!
//! **What made it.** The element painted largest, where it was loaded from and what moved most are compared as the most frequent one before and since. One that
//! had at most a third of the runs before and has two thirds since is told: it came with the change. That is no proof, but it is where to look.
//!
//! **Needs** [`VitalsShift::baseline_runs_min`] runs before and [`VitalsShift::runs_min`] since. **Stays** while the last runs are worse by [`VitalsShift::ratio_known`].
//! **Confidence** is Cantelli's of the change over the noise of so many runs.

use alloc::collections::BTreeMap;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::found::{AttributionChange, AttributionOf, Evidence, Found};
use super::input::{VitalRun, VitalSeries, hour_of};
use super::shift::{self, Point, Rule, Season, Split};
use super::thresholds::VitalsShift;
use super::{Severity, robust};
use crate::time::UtcMicros;
use crate::vitals::regression;

/// The regression that stands at `now`.
pub fn find(series: &VitalSeries<'_>, thresholds: &VitalsShift, now: UtcMicros) -> Option<Found> {
    let rule = regression::Rule::of(series.vital);
    let step = rule.step.max(1) as f64;
    let mut runs: Vec<&VitalRun<'_>> = series.runs.iter().filter(|run| !run.low_confidence && run.at < now).collect();
    runs.sort_by_key(|run| (run.at, run.value));
    let split = Split::of(hour_of(runs.first()?.at), hour_of(now) + 1, series.known_since.map(hour_of))?;
    let of = |run: &&VitalRun<'_>| Point { hour: hour_of(run.at), y: libm::log(run.value as f64 + step) };
    let (baseline, recent) = split.cut(runs.iter().map(of));
    if baseline.len() < thresholds.baseline_runs_min {
        return None;
    }
    let season = Season::new(&baseline, 24, 3);
    let (usual, differs) = (season.residuals(&baseline, true), season.residuals(&recent, false));
    let known = series.known_since.is_some();
    // The least is looked for with half of it: what counts is judged below, in the vital's own unit.
    let least = Rule {
        effect_new: libm::log(thresholds.ratio_new.max(1.0)) / 2.0,
        effect_known: libm::log(thresholds.ratio_known.max(1.0)) / 2.0,
        hold: thresholds.runs_min,
        noise_times: thresholds.noise_times,
        fresh_hours: (72, 14 * 24),
    };
    let found = shift::find(&usual, &differs, split, &least, known)?;
    let (first, start) = (split.recent_from - shift::BASELINE, split.recent_from);
    let before: Vec<&VitalRun<'_>> =
        runs.iter().copied().filter(|run| (first..start).contains(&hour_of(run.at))).collect();
    let since: Vec<&VitalRun<'_>> = runs.iter().copied().filter(|run| hour_of(run.at) >= found.from).collect();
    let median = |runs: &[&VitalRun<'_>]| robust::median_whole(runs.iter().map(|run| run.value));
    let (was, is) = (median(&before)?, median(&since)?);
    let limit = if known { was } else { rule.limit(was).max((was as f64 * thresholds.ratio_new) as u64) };
    if is <= limit {
        return None;
    }
    let evidence = Evidence::VitalsRegression {
        vital: series.vital,
        before: was,
        after: is,
        ratio_per_mille: if was == 0 { 0 } else { robust::per_mille(is as f64 / was as f64) },
        runs: since.len() as u32,
        baseline_runs: before.len() as u32,
        changed: changed(&before, &since),
    };
    let from = series.known_since.or_else(|| since.first().map(|run| run.at))?;
    Some(Found::new(series.subject.clone(), Severity::Warning, robust::confidence(found.z()), evidence, from))
}

/// The attributions that came with the change.
fn changed(before: &[&VitalRun<'_>], since: &[&VitalRun<'_>]) -> Vec<AttributionChange> {
    type Named = (AttributionOf, fn(&VitalRun<'_>) -> alloc::string::String);
    let all: [Named; 3] = [
        (AttributionOf::LcpElement, |run| run.lcp_element.to_string()),
        (AttributionOf::LcpUrl, |run| run.lcp_url.to_string()),
        (AttributionOf::ShiftSource, |run| run.shift_source.to_string()),
    ];
    let count = |runs: &[&VitalRun<'_>], of: fn(&VitalRun<'_>) -> alloc::string::String| {
        let mut times: BTreeMap<alloc::string::String, usize> = BTreeMap::new();
        for run in runs {
            *times.entry(of(run)).or_default() += 1;
        }
        times
    };
    let most = |times: &BTreeMap<alloc::string::String, usize>| {
        // Of equally frequent ones the first by name.
        times.iter().rev().max_by_key(|(_, count)| **count).map(|(name, count)| (name.clone(), *count))
    };
    all.into_iter()
        .filter_map(|(of, named)| {
            let (was, is) = (count(before, named), count(since, named));
            let (after, times) = most(&is)?;
            let earlier = was.get(&after).copied().unwrap_or(0);
            let came = !after.is_empty() && times * 3 >= since.len() * 2 && earlier * 3 <= before.len();
            let (before, _) = most(&was)?;
            came.then_some(AttributionChange { of, before, after, runs: times as u32 })
        })
        .collect()
}
