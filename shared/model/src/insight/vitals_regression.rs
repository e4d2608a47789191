//! A page got worse, and what made it.
//!
//! What counts as worse is what the page's own rule says ([`crate::vitals::regression::Rule`]: a tenth and the vital's step). That rule alone calls three runs in a row; here it
//! must be more than the page's noise too, for a finding is to be acted on: each run is held against the baseline's runs at that time of the day (three hours to either side), the
//! change is located and weighed as in `shift`, with runs in place of hours. Values enter as `ln(value + step)`, so that a layout shift of 0 has a logarithm and
//! what happens below the step does not count.
//!
//! **What made it.** The element painted largest, where it was loaded from and what moved most are compared as the most frequent one before and since. One that
//! had at most a third of the runs before and has three in five since is told: it came with the change. That is no proof, but it is where to look.
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
    let differs = season.residuals(&recent, false);
    let known = series.known_since.is_some();
    // The least is looked for with half of it: what counts is judged below, in the vital's own unit.
    let least = Rule {
        effect_new: libm::log(thresholds.ratio_new.max(1.0)) / 2.0,
        effect_known: libm::log(thresholds.ratio_known.max(1.0)) / 2.0,
        hold: thresholds.runs_min,
        noise_times: thresholds.noise_times,
        fresh_hours: (72, 14 * 24),
    };
    let found = shift::find(|| season.residuals(&baseline, true), &differs, split, &least, known)?;
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
            let came = !after.is_empty() && times * 5 >= since.len() * 3 && earlier * 3 <= before.len();
            let (before, _) = most(&was)?;
            came.then_some(AttributionChange { of, before, after, runs: times as u32 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;
    use crate::insight::{HOUR_US, Subject};
    use crate::vitals::Vital;

    /// Runs every two hours for five weeks; the last ones are worse by a factor, with another element.
    fn runs(base: f64, worse: f64, last: i64) -> Vec<VitalRun<'static>> {
        const COUNT: i64 = 420;
        let run = |nth: i64| {
            let noise = 1.0 + (nth * 7_919 % 101) as f64 / 101.0 * 0.06;
            let is_worse = nth >= COUNT - last;
            VitalRun {
                at: UtcMicros(nth * 2 * HOUR_US),
                value: (base * noise * if is_worse { worse } else { 1.0 }) as u64,
                low_confidence: false,
                lcp_element: if is_worse { "img.banner" } else { "img.hero" },
                lcp_url: if nth % 3 == 0 { "https://a.test/1.png" } else { "https://a.test/2.png" },
                shift_source: "",
            }
        };
        (0..COUNT).map(run).collect()
    }

    fn look(vital: Vital, runs: &[VitalRun<'_>], known_since: Option<UtcMicros>) -> Option<Found> {
        let subject = Subject::Check { check: "shop".to_string(), part: "vital:lcp".to_string() };
        let now = UtcMicros(420 * 2 * HOUR_US);
        find(&VitalSeries { subject, vital, runs, known_since }, &VitalsShift::default(), now)
    }

    #[test]
    fn what_came_with_it_is_told() {
        let found = look(Vital::Lcp, &runs(2e6, 1.5, 6), None).unwrap();
        let Evidence::VitalsRegression { before, after, ratio_per_mille, runs: since, changed, .. } = found.evidence
        else {
            panic!("another kind")
        };
        assert!(before.abs_diff(2_060_000) < 20_000 && after.abs_diff(3_090_000) < 60_000, "{before} {after}");
        assert!(ratio_per_mille.abs_diff(1_500) < 30 && since == 6, "{ratio_per_mille} {since}");
        let element = AttributionChange {
            of: AttributionOf::LcpElement,
            before: "img.hero".to_string(),
            after: "img.banner".to_string(),
            runs: 6,
        };
        assert_eq!(changed, [element]);
        assert_eq!(found.since, UtcMicros(414 * 2 * HOUR_US));
    }

    #[test]
    fn few_runs_little_and_pressure_are_nothing() {
        assert_eq!(look(Vital::Lcp, &runs(2e6, 1.5, 4), None), None, "four runs");
        assert_eq!(look(Vital::Lcp, &runs(2e6, 1.05, 20), None), None, "a twentieth");
        assert_eq!(look(Vital::Lcp, &runs(3e5, 1.25, 20), None), None, "75 ms");
        assert!(look(Vital::Lcp, &runs(3e5, 1.5, 20), None).is_some());
        assert_eq!(look(Vital::Cls, &runs(0.0, 1.0, 0), None), None, "a page that never shifts");
        assert_eq!(look(Vital::Cls, &runs(200.0, 1.8, 20), None), None, "0.016");
        assert!(look(Vital::Cls, &runs(800.0, 1.8, 20), None).is_some());
        let pressed = runs(2e6, 1.5, 6).into_iter();
        let pressed: Vec<_> = pressed.map(|run| VitalRun { low_confidence: true, ..run }).collect();
        assert_eq!(look(Vital::Lcp, &pressed, None), None);
        let stands = look(Vital::Lcp, &runs(2e6, 1.09, 40), Some(UtcMicros(380 * 2 * HOUR_US)));
        assert!(stands.is_some(), "what is known stays with less");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn more_is_never_less_and_order_leaves_no_trace(worse in 1.0..2.0_f64, more in 1.0..2.0_f64, turn in 0_usize..420) {
            let is = |by: f64| look(Vital::Lcp, &runs(2e6, by, 12), None).is_some();
            prop_assert!(!is(worse) || is(worse * more));
            let mut turned = runs(2e6, worse, 12);
            turned.rotate_left(turn);
            prop_assert_eq!(look(Vital::Lcp, &runs(2e6, worse, 12), None), look(Vital::Lcp, &turned, None));
        }
    }
}
