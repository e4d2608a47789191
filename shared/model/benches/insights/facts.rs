//! What is a fact and no estimate: what expires, what cannot fail, who watches. Planted at random among what is well.

use std::ops::Range;

use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::CheckId;
use sitepulse_model::insight::found::{Evidence, Expires};
use sitepulse_model::insight::input::{Asserted, Coverage, Expiring, Watcher};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Subject, cannot_fail, coverage_gap, expiry};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::time::UtcMicros;

use crate::noise::{Outcome, Rng, YEAR, openings};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Certificates of 6, 47, 90 and 397 days, renewed by a machine when a third is left, and registrations of a year, renewed 45 days ahead; then one that is not renewed any more.
pub(crate) fn expiring(seeds: Range<u64>) -> Outcome {
    let mut outcome = Outcome::new("expiry: not renewed any more");
    let thresholds = Thresholds::default().expiry;
    for seed in seeds {
        let mut rng = Rng::new(10_000 + seed);
        let what = if rng.chance(0.7) { Expires::Certificate } else { Expires::Domain };
        let lifetime = match what {
            Expires::Certificate => *rng.pick(&[6, 47, 90, 397]),
            Expires::Domain => 365,
        };
        let lead = if what == Expires::Domain { 45.0 } else { f64::from(lifetime) / 3.0 + 0.2 };
        let renews = (f64::from(lifetime) - lead) * DAY_US as f64;
        let stops = 366 * DAY_US;
        let ends = |now: i64| {
            let (mut issued, life) = (0, i64::from(lifetime) * DAY_US);
            while issued + renews as i64 <= now.min(stops) {
                issued += renews as i64;
            }
            issued + life
        };
        let look = |now: i64| {
            let subject = Subject::Check { check: "shop".into(), part: String::new() };
            let (ends_at, seen_at) = (UtcMicros(ends(now)), UtcMicros(now - HOUR_US));
            let lifetime_us = (what == Expires::Certificate).then_some(i64::from(lifetime) * DAY_US);
            expiry::find(&Expiring { subject, what, ends_at, seen_at, lifetime_us }, &thresholds, UtcMicros(now))
        };
        let clean = openings(0..365 * 24, 0, |hour, _| look(hour * HOUR_US).map(|_| ()));
        outcome.false_findings += clean.len();
        outcome.clean_years += 365.0 * 24.0 / YEAR;
        // How long before its end it is told.
        let end = ends(stops + 500 * DAY_US);
        let told = (0..12_000).map(|hour| stops + hour * HOUR_US).find(|now| look(*now).is_some());
        outcome.note(told.filter(|told| *told < end).map(|_| 0.0));
    }
    outcome
}

const VAIN: [&str; 8] = [
    "status >= 0",
    "status in 100..599",
    "body matches /.*/",
    "latency < 1h",
    "size >= 0",
    "down if status > 599",
    "degraded if latency > 30s",
    "html 'body' exists",
];
const USEFUL: [&str; 12] = [
    "status == 200",
    "status in 200..299",
    "body contains 'Welcome'",
    "body matches /v[0-9]+/",
    "latency < 2s",
    "size > 100",
    "certificate.days > 14",
    "degraded if latency > 800ms",
    "down if body contains 'Fatal'",
    "header 'content-type' contains 'html'",
    "json '$.status' == 'ok'",
    "status not in 500..599",
];

/// Lists of useful assertions, and the same with one in vain at a random place.
pub(crate) fn vain(seeds: Range<u64>) -> Outcome {
    let mut outcome = Outcome::new("cannot_fail: one assertion in vain among others");
    for seed in seeds {
        let mut rng = Rng::new(11_000 + seed);
        let mut list: Vec<&str> = (0..rng.whole(1, 5)).map(|_| *rng.pick(&USEFUL)).collect();
        let look = |list: &[&str]| {
            let definition = CheckDefinition {
                id: CheckId::parse("shop").expect("an id"),
                kind: CheckKind::http("https://shop.test/"),
                interval_us: 60_000_000,
                timeout_us: 10_000_000,
                retries: 0,
                weight: Weight::ONE,
                regions: None,
                quorum: Quorum::Majority,
                confirmations: 2,
                recoveries: 1,
                expect: list.iter().map(|text| Expectation::parse(text, "http").expect("an assertion")).collect(),
            };
            let asserted = Asserted { definition: &definition, since: UtcMicros(0), runs: None };
            let found = cannot_fail::find(&asserted, &Thresholds::default().cannot_fail, UtcMicros(DAY_US));
            let index = |found: sitepulse_model::insight::found::Found| {
                let Evidence::CannotFail { index, .. } = found.evidence else { panic!("another kind") };
                index
            };
            found.into_iter().map(index).collect::<Vec<_>>()
        };
        outcome.false_findings += look(&list).len();
        outcome.clean_years += 1.0;
        let place = rng.whole(0, list.len() as i64) as usize;
        list.insert(place, *rng.pick(&VAIN));
        outcome.note((look(&list) == [Some(place as u32)]).then_some(0.0));
    }
    outcome
}

/// Checks watched by two agents in two regions at least, and the same with all but one of them taken away in some way.
pub(crate) fn gaps(seeds: Range<u64>) -> Outcome {
    let mut outcome = Outcome::new("coverage_gap: all agents but one, or all, taken away");
    for seed in seeds {
        let mut rng = Rng::new(12_000 + seed);
        let mut watchers: Vec<Watcher> = (0..rng.whole(2, 6))
            .map(|nth| Watcher { region: format!("region-{nth}"), weight: 1_000, suspended: false })
            .collect();
        let quorum = *rng.pick(&[Quorum::Any, Quorum::Majority, Quorum::All, Quorum::Agents(2)]);
        let look = |watchers: &[Watcher]| {
            let (critical, since) = (seed % 2 == 0, UtcMicros(0));
            let coverage = Coverage { check: "shop", critical, quorum, watchers, since, known_since: None };
            coverage_gap::find(&coverage, &Thresholds::default().coverage_gap, UtcMicros(DAY_US)).is_some()
        };
        outcome.false_findings += usize::from(look(&watchers));
        outcome.clean_years += 1.0;
        let left = rng.whole(0, 1) as usize;
        match rng.whole(0, 2) {
            0 => watchers.truncate(left),
            1 => watchers.iter_mut().skip(left).for_each(|watcher| watcher.suspended = true),
            _ => watchers.iter_mut().skip(left).for_each(|watcher| watcher.weight = 0),
        }
        outcome.note(look(&watchers).then_some(0.0));
    }
    outcome
}
