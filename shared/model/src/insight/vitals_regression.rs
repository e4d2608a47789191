//! A page got worse, and what made it.
//!
//! What counts as worse is what the page's own rule says ([`crate::vitals::regression::Rule`]: a tenth and the vital's step). That rule alone calls three runs in a row; here it
//! must be more than the page's noise too, for a finding is to be acted on: each run is held against the baseline's runs at that time of the day (three hours to either side), the
//! change is located and weighed as in `shift`, with runs in place of hours. Values enter as `ln(value + step)`, so that a layout shift of 0 has a logarithm and
//! what happens below the step does not count.
//!
//! **What made it.** The element painted largest, where it was loaded from and what moved in the largest shifts are compared before and since. What was so in at most a
//! third of the runs of the week before (of the last twenty, where those are more) and is in three of five since is told: it came with the change. So is what is in two of
//! five since, where by chance that would be one in a thousand ([`CHANCE_MAX`]): of six runs one or two may paint something else. That is no proof, but it is
//! where to look. Only runs that told of such a thing count, [`TOLD_MIN`] before at least: of what was not recorded then nobody can say that it is new. An address whose path
//! is new is told without its query, unless that was the same in each of [`SAME_QUERY_MIN`] runs or more.
//! Of a layout shift what moved is told first, of all other vitals what was painted.
//!
//! **Needs** [`VitalsShift::baseline_runs_min`] runs before and [`VitalsShift::runs_min`] since. **Stays** while the last runs are worse by [`VitalsShift::ratio_known`].
//! **Confidence** is Cantelli's of the change over the noise of so many runs.

use alloc::collections::BTreeMap;
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;

use super::found::{AttributionChange, AttributionOf, Evidence, Found};
use super::input::{VitalRun, VitalSeries, hour_of};
use super::shift::{self, Point, Rule, Season, Split};
use super::thresholds::VitalsShift;
use super::{Severity, robust};
use crate::time::UtcMicros;
use crate::vitals::{Vital, regression};

/// Runs before that must have told of a thing, for another to be new.
pub const TOLD_MIN: usize = 10;
/// Runs before that are looked at, where the week before has fewer.
const LATELY_MIN: usize = 20;
/// How likely it may be at most that what is in fewer than three of five runs since came by chance.
const CHANCE_MAX: f64 = 1e-3;
/// Runs since that must all have had the same query for it to be told.
const SAME_QUERY_MIN: u32 = 5;
/// Most moved elements that are told.
const MOVED_MAX: usize = 3;

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
        changed: changed(series.vital, lately(&runs, found.from), &since),
    };
    let from = series.known_since.or_else(|| since.first().map(|run| run.at))?;
    Some(Found::new(series.subject.clone(), Severity::Warning, robust::confidence(found.z()), evidence, from))
}

/// The runs of the week before an hour, or the last [`LATELY_MIN`].
fn lately<'r, 'a>(runs: &'r [&'a VitalRun<'a>], from: i64) -> &'r [&'a VitalRun<'a>] {
    let before = &runs[..runs.partition_point(|run| hour_of(run.at) < from)];
    let week = before.partition_point(|run| hour_of(run.at) < from - shift::WEEK);
    &before[week.min(before.len().saturating_sub(LATELY_MIN))..]
}

/// The attributions that came with the change, those first that the vital hangs on.
fn changed(vital: Vital, before: &[&VitalRun<'_>], since: &[&VitalRun<'_>]) -> Vec<AttributionChange> {
    let element = came(AttributionOf::LcpElement, before, since, |run| run.lcp_element.map(|one| vec![one]));
    let paths = came(AttributionOf::LcpUrl, before, since, |run| {
        run.lcp_url.map(|url| named(url).into_iter().map(path_of).collect())
    });
    let mut url = came(AttributionOf::LcpUrl, before, since, |run| run.lcp_url.map(named));
    // Of a path that is new the path is what came, unless each of several runs had the same query: one of many is in most of few runs by chance.
    let has_others = |one: &AttributionChange, path: &AttributionChange| {
        path.after == path_of(&one.after) && (path.runs > one.runs || one.runs < SAME_QUERY_MIN)
    };
    url.retain(|one| !paths.iter().any(|path| has_others(one, path)));
    let told: Vec<&str> = url.iter().map(|one| path_of(&one.after)).collect();
    let paths: Vec<AttributionChange> =
        paths.iter().filter(|path| !told.contains(&path.after.as_str())).cloned().collect();
    url.extend(paths);
    let mut moved = came(AttributionOf::ShiftSource, before, since, |run| run.shift_sources.map(named));
    moved.truncate(MOVED_MAX);
    let mut painted = element;
    painted.extend(url);
    let [mut first, then] = if vital == Vital::Cls { [moved, painted] } else { [painted, moved] };
    first.extend(then);
    first
}

/// An address without its query.
fn path_of(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// The names in a text, one a line, each once.
fn named(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in text.lines().filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What is in most of the runs since and was in few before; what is in the most of them first, then what stands first in them.
fn came<'a>(
    of: AttributionOf,
    before: &[&VitalRun<'a>],
    since: &[&VitalRun<'a>],
    names: impl Fn(&VitalRun<'a>) -> Option<Vec<&'a str>>,
) -> Vec<AttributionChange> {
    let (was, is) = (Named::of(before, &names), Named::of(since, &names));
    if was.told < TOLD_MIN || is.told == 0 {
        return Vec::new();
    }
    let is_new = |(name, times): &(&&str, &Times)| {
        let before = was.runs(name);
        let much = || times.runs * 5 >= is.told * 3;
        let seldom = || {
            // Never seen in so many runs is not never: as though one more of them had it.
            let share = (before + 1) as f64 / (was.told + 2) as f64;
            times.runs * 5 >= is.told * 2 && robust::at_least(times.runs, is.told, share) <= CHANCE_MAX
        };
        before * 3 <= was.told && (much() || seldom())
    };
    let mut new: Vec<(&str, Times)> = is.names.iter().filter(is_new).map(|(name, times)| (*name, *times)).collect();
    new.sort_by(|(a, a_times), (b, b_times)| {
        b_times.runs.cmp(&a_times.runs).then(a_times.places.cmp(&b_times.places)).then(a.cmp(b))
    });
    // Of equally frequent ones the first by name.
    let mostly = was.names.iter().rev().max_by_key(|(_, times)| times.runs).map_or("", |(name, _)| *name);
    let change = |(name, times): (&str, Times)| AttributionChange {
        of,
        before: mostly.to_string(),
        after: name.to_string(),
        runs: times.runs as u32,
        runs_told: is.told as u32,
        runs_before: was.runs(name) as u32,
        runs_before_told: was.told as u32,
    };
    new.into_iter().map(change).collect()
}

/// In how many runs a name was, and the sum of its places in them.
#[derive(Clone, Copy, Default)]
struct Times {
    runs: usize,
    places: usize,
}

/// What runs told.
struct Named<'a> {
    /// Runs that told anything, be it that there was none.
    told: usize,
    names: BTreeMap<&'a str, Times>,
}

impl<'a> Named<'a> {
    fn of(runs: &[&VitalRun<'a>], names: &impl Fn(&VitalRun<'a>) -> Option<Vec<&'a str>>) -> Self {
        let mut all = Self { told: 0, names: BTreeMap::new() };
        for told in runs.iter().filter_map(|run| names(run)) {
            all.told += 1;
            for (place, name) in told.into_iter().enumerate() {
                let times = all.names.entry(name).or_default();
                (times.runs, times.places) = (times.runs + 1, times.places + place);
            }
        }
        all
    }

    fn runs(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, |times| times.runs)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use proptest::prelude::*;

    use super::*;
    use crate::insight::{HOUR_US, Subject};
    use crate::vitals::Vital;

    /// Runs every two hours for five weeks.
    const COUNT: i64 = 420;

    /// The last runs are worse by a factor, with another element.
    fn runs(base: f64, worse: f64, last: i64) -> Vec<VitalRun<'static>> {
        let run = |nth: i64| {
            let noise = 1.0 + (nth * 7_919 % 101) as f64 / 101.0 * 0.06;
            let is_worse = nth >= COUNT - last;
            VitalRun {
                at: UtcMicros(nth * 2 * HOUR_US),
                value: (base * noise * if is_worse { worse } else { 1.0 }) as u64,
                low_confidence: false,
                lcp_element: Some(if is_worse { "img.banner" } else { "img.hero" }),
                lcp_url: Some(if nth % 3 == 0 { "https://a.test/1.png" } else { "https://a.test/2.png" }),
                shift_sources: Some(""),
            }
        };
        (0..COUNT).map(run).collect()
    }

    fn look(vital: Vital, runs: &[VitalRun<'_>], known_since: Option<UtcMicros>) -> Option<Found> {
        let subject = Subject::Check { check: "shop".to_string(), part: "vital:lcp".to_string() };
        let now = UtcMicros(COUNT * 2 * HOUR_US);
        find(&VitalSeries { subject, vital, runs, known_since }, &VitalsShift::default(), now)
    }

    /// What came with a change of the last six runs that is told by `with`, which is handed the number of the run and whether it is one of them.
    fn told(
        vital: Vital,
        with: impl Fn(VitalRun<'static>, i64, bool) -> VitalRun<'static>,
    ) -> Vec<(AttributionOf, String, String)> {
        let base = if vital == Vital::Cls { 900.0 } else { 2e6 };
        let all = runs(base, 1.8, 6).into_iter().zip(0..);
        let all: Vec<_> = all.map(|(run, nth)| with(run, nth, nth >= COUNT - 6)).collect();
        let Evidence::VitalsRegression { changed, .. } = look(vital, &all, None).unwrap().evidence else {
            panic!("another kind")
        };
        changed.into_iter().map(|one| (one.of, one.before, one.after)).collect()
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
        let [element] = changed.as_slice() else { panic!("{changed:?}") };
        assert_eq!((element.of, element.before.as_str()), (AttributionOf::LcpElement, "img.hero"));
        assert_eq!((element.after.as_str(), element.runs, element.runs_told), ("img.banner", 6, 6));
        assert_eq!(element.runs_before, 0);
        assert_eq!(element.runs_before_told, 84, "a week of them");
        assert_eq!(found.since, UtcMicros(414 * 2 * HOUR_US));
    }

    #[test]
    fn a_new_address_of_the_same_element_is_told() {
        let same = |url: &'static str, then: &'static str| {
            told(Vital::Lcp, move |run, _, worse| VitalRun {
                lcp_element: Some("img.hero"),
                lcp_url: Some(if worse { then } else { url }),
                ..run
            })
        };
        let url = |before: &str, after: &str| (AttributionOf::LcpUrl, before.to_string(), after.to_string());
        assert_eq!(
            same("https://a.test/1.png", "https://a.test/huge.png"),
            [url("https://a.test/1.png", "https://a.test/huge.png")]
        );
        assert_eq!(same("", "https://a.test/huge.png"), [url("", "https://a.test/huge.png")], "text became an image");
        assert_eq!(same("https://a.test/1.png", "https://a.test/1.png"), []);
        assert_eq!(same("https://a.test/1.png", ""), [], "an image became text: there is nothing to name");
        // Two addresses of equal path are another one only where each run has the same.
        const SALTED: [&str; 4] =
            ["https://a.test/1.png?1", "https://a.test/1.png?2", "https://a.test/2.png?1", "https://a.test/2.png?2"];
        let salted = told(Vital::Lcp, |run, nth, worse| VitalRun {
            lcp_element: Some("img.hero"),
            lcp_url: Some(SALTED[usize::from(worse) * 2 + (nth % 2) as usize]),
            ..run
        });
        assert_eq!(salted, [url("https://a.test/1.png", "https://a.test/2.png")]);
    }

    /// The defect: of six runs two that painted something else, or two that had the same query, hid the new image.
    #[test]
    fn a_new_image_is_told_where_some_runs_paint_something_else() {
        const SALTED: [&str; 2] = ["https://a.test/huge.png?1", "https://a.test/huge.png?2"];
        let url = |after: &str| (AttributionOf::LcpUrl, "https://a.test/1.png".to_string(), after.to_string());
        // In the last six runs: of each what it painted, by its place.
        let with = |since: [&'static str; 6]| {
            told(Vital::Lcp, move |run, nth, worse| VitalRun {
                lcp_element: Some("img.hero"),
                lcp_url: Some(if worse { since[(nth - COUNT + 6) as usize] } else { "https://a.test/1.png" }),
                ..run
            })
        };
        let (old, text, [one, two]) = ("https://a.test/1.png", "", SALTED);
        assert_eq!(with([one, two, one, two, one, two]), [url("https://a.test/huge.png")]);
        assert_eq!(with([one, one, two, one, one, one]), [url("https://a.test/huge.png")], "mostly one query");
        assert_eq!(with([one, two, old, one, text, text]), [url("https://a.test/huge.png")], "half of the runs");
        assert_eq!(with([one, one, one, one, one, text]), [url(one)], "one query");
        assert_eq!(with([one, one, one, one, old, text]), [url("https://a.test/huge.png")], "in few runs");
        assert_eq!(with([old, two, old, one, text, text]), [], "a third of the runs");
        // What was there now and then before is not new for being there in half of six runs.
        let now_and_then = told(Vital::Lcp, |run, nth, worse| {
            let lead = if worse { nth % 2 == 0 } else { nth % 10 == 0 };
            VitalRun { lcp_element: Some(if lead { "p.lead" } else { "img.hero" }), lcp_url: Some(old), ..run }
        });
        assert_eq!(now_and_then, []);
    }

    #[test]
    fn a_new_shift_source_is_told_beside_one_that_always_moved() {
        let moved = |before: &'static str, since: &'static str| {
            told(Vital::Cls, move |run, _, worse| VitalRun {
                lcp_element: Some("img.hero"),
                shift_sources: Some(if worse { since } else { before }),
                ..run
            })
        };
        let source = |before: &str, after: &str| (AttributionOf::ShiftSource, before.to_string(), after.to_string());
        // The footer still moves most: what is new is the banner all the same.
        assert_eq!(moved("footer", "footer\ndiv.ad"), [source("footer", "div.ad")]);
        assert_eq!(moved("", "div.ad\nmain"), [source("", "div.ad"), source("", "main")]);
        assert_eq!(moved("a\nb\nc\nd", "a\nb\nc\nd"), []);
        assert_eq!(moved("footer", "1\n2\n3\n4\n5").len(), 3, "few are told");
        // Of a layout shift what moved stands first, of a paint what was painted.
        let both = |vital| {
            told(vital, |run, _, worse| VitalRun {
                shift_sources: Some(if worse { "div.ad" } else { "footer" }),
                ..run
            })
        };
        let kinds = |all: &[(AttributionOf, String, String)]| all.iter().map(|one| one.0).collect::<Vec<_>>();
        assert_eq!(kinds(&both(Vital::Cls)), [AttributionOf::ShiftSource, AttributionOf::LcpElement]);
        assert_eq!(kinds(&both(Vital::Lcp)), [AttributionOf::LcpElement, AttributionOf::ShiftSource]);
    }

    #[test]
    fn what_was_not_recorded_before_is_not_new() {
        // A collector that was brought up to date yesterday knows addresses and what moved since then alone.
        let known_from = |from: i64| {
            told(Vital::Cls, move |run, nth, worse| VitalRun {
                lcp_element: None,
                lcp_url: (nth >= from).then_some(if worse { "https://a.test/2" } else { "https://a.test/1" }),
                shift_sources: (nth >= from).then_some(if worse { "div.ad" } else { "" }),
                ..run
            })
        };
        assert_eq!(known_from(COUNT - 6), [], "since the change alone");
        assert_eq!(known_from(COUNT - 6 - 9), [], "nine runs before");
        assert_eq!(known_from(COUNT - 6 - 10).len(), 2);
    }

    #[test]
    fn what_came_days_before_the_change_did_not_make_it() {
        let came = |days: i64| {
            told(Vital::Lcp, move |run, nth, _| VitalRun {
                lcp_element: Some(if nth >= COUNT - 6 - days * 12 { "img.banner" } else { "img.hero" }),
                lcp_url: None,
                ..run
            })
        };
        assert_eq!(came(3), []);
        assert_eq!(came(0).len(), 1);
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
