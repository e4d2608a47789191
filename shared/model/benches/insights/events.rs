//! What is made of verdicts and their beginnings: flapping, failures in common, budgets.

use std::ops::Range;

use sitepulse_model::insight::found::{Trait, TraitOf};
use sitepulse_model::insight::input::{BudgetNow, BurnWindow, FailingCheck, Failures, Verdicts};
use sitepulse_model::insight::{Subject, budget_forecast, correlated_failures, flapping};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{Verdict, VerdictSpan};

use crate::noise::{CLOSES, Outcome, Rng, YEAR, openings, thresholds};

const MINUTE_US: i64 = 60_000_000;
const DAY: i64 = 1_440;

fn minute(at: i64) -> UtcMicros {
    UtcMicros(at * MINUTE_US)
}

/// Outages by chance: so many in four weeks, lasting minutes to hours; one in five comes back within the hour. Beginning and end in minutes.
fn outages(rng: &mut Rng, days: i64, in_four_weeks: f64) -> Vec<(i64, i64)> {
    let (mut at, mut out) = (0.0, Vec::new());
    loop {
        at += rng.waiting(in_four_weeks / 28.0) * DAY as f64;
        if at >= (days * DAY) as f64 {
            return out;
        }
        let mut lasts = rng.log_between(1.0, 180.0);
        out.push((at as i64, (at + lasts) as i64 + 1));
        while rng.chance(0.2) {
            at += lasts + rng.between(5.0, 60.0);
            lasts = rng.log_between(1.0, 30.0);
            out.push((at as i64, (at + lasts) as i64 + 1));
        }
        at += lasts + 2.0;
    }
}

/// Verdicts of a time with outages: mostly down, some degraded or regional, with unknown time and maintenance in between.
fn verdicts(rng: &mut Rng, bad: &[(i64, i64)], to: i64) -> Vec<VerdictSpan> {
    let mut spans = Vec::new();
    let mut push = |from: i64, to: i64, verdict: Verdict| {
        if from < to {
            let span = Span::new(minute(from), minute(to));
            spans.push(VerdictSpan { span, verdict, share_down: (0, 1), unknown_cause: None, quorum_reduced: false });
        }
    };
    let mut at = 0;
    for (from, end) in bad.iter().filter(|(from, _)| *from < to) {
        let (from, end) = ((*from).max(at), (*end).min(to));
        if from - at > 60 && rng.chance(0.3) {
            let aside = at + (from - at) / 2;
            push(at, aside, Verdict::Up);
            push(aside, aside + 10, if rng.chance(0.5) { Verdict::Unknown } else { Verdict::Maintenance });
            push(aside + 10, from, Verdict::Up);
        } else {
            push(at, from, Verdict::Up);
        }
        push(from, end, *rng.pick(&[Verdict::Down, Verdict::Down, Verdict::Regional, Verdict::Degraded]));
        at = at.max(end);
    }
    push(at, to, Verdict::Up);
    spans
}

/// Checks that begin to turn: bad for some minutes, good for up to two hours, for two days. And clean ones with outages by chance.
pub(crate) fn flaps(seeds: Range<u64>) -> Outcome {
    let mut outcome = Outcome::new("flapping: 4 to 40 turns a day more");
    let thresholds = thresholds().flapping;
    for seed in seeds {
        let mut rng = Rng::new(4_000 + seed);
        let look = |rng: &mut Rng, bad: &[(i64, i64)], from: i64, to: i64| {
            let spans = verdicts(rng, bad, to);
            openings((from..to).step_by(10), 60 * CLOSES, |now, known_since| {
                let first = spans.partition_point(|span| span.span.to < minute(now - 2 * DAY));
                let last = spans.partition_point(|span| span.span.from < minute(now));
                let verdicts = Verdicts { check: "shop", spans: &spans[first..last], known_since };
                flapping::find(&verdicts, &thresholds, minute(now)).map(|found| found.since)
            })
        };
        let start = 10 * DAY + rng.whole(0, DAY);
        let often = rng.between(1.0, 6.0);
        let mut bad: Vec<(i64, i64)> = outages(&mut rng, 10, often);
        let (good, lasts) = (rng.log_between(20.0, 240.0), rng.log_between(1.0, 30.0));
        let mut at = start as f64;
        while at < (start + 2 * DAY) as f64 {
            let end = at + lasts * rng.between(0.5, 1.5) + 1.0;
            bad.push((at as i64, end as i64 + 1));
            at = end + good * rng.between(0.5, 1.5) + 1.0;
        }
        let opened = look(&mut rng, &bad, start, start + 2 * DAY);
        outcome.note(opened.first().map(|at| (at - start) as f64 / 60.0));
        let often = rng.between(0.5, 6.0);
        let bad = outages(&mut rng, 91, often);
        outcome.false_findings += look(&mut rng, &bad, DAY, 91 * DAY).len();
        outcome.clean_years += 90.0 * 24.0 / YEAR;
    }
    outcome
}

/// Checks in groups that share things.
struct World {
    checks: Vec<(String, Vec<Trait>, Vec<UtcMicros>)>,
    /// The members of each address.
    addresses: Vec<Vec<usize>>,
}

/// So many checks at addresses of providers, with certificates; outages of each alone; now and then a burst that hits a share of all at random, as trouble on the agents' side does; and some that flap.
fn world(rng: &mut Rng, days: i64) -> World {
    let count = rng.log_between(20.0, 300.0) as usize;
    let (hosts, providers) = (1 + count / rng.whole(2, 12) as usize, rng.whole(1, 6));
    let mut addresses = vec![Vec::new(); hosts];
    let mut checks: Vec<(String, Vec<Trait>, Vec<UtcMicros>)> = Vec::new();
    let provider_of: Vec<i64> = (0..hosts).map(|_| rng.whole(1, providers)).collect();
    for nth in 0..count {
        let host = rng.whole(0, hosts as i64 - 1) as usize;
        addresses[host].push(nth);
        let shared = |of: TraitOf, what: String| Trait { of, what };
        let traits = vec![
            shared(TraitOf::Address, format!("192.0.2.{host}")),
            shared(TraitOf::Certificate, format!("{:02x}", host / 2)),
            shared(TraitOf::Domain, format!("{}.test", rng.whole(0, hosts as i64 / 2))),
            shared(TraitOf::Provider, format!("AS{}", provider_of[host])),
        ];
        let often = rng.log_between(0.3, 8.0);
        let began = outages(rng, days, often).iter().map(|(from, _)| minute(*from)).collect();
        checks.push((format!("check-{nth:03}"), traits, began));
    }
    for check in checks.iter_mut().take(count / 50) {
        let from = rng.whole(0, (days - 2) * DAY);
        let again = (0..60).map(|turn| minute(from + turn * 20 + rng.whole(0, 9)));
        check.2.extend(again);
    }
    let mut at = 0.0;
    loop {
        at += rng.waiting(1.0 / 14.0) * DAY as f64;
        if at >= (days * DAY) as f64 {
            break;
        }
        let share = rng.between(0.05, 0.7);
        for check in &mut checks {
            if rng.chance(share) {
                check.2.push(UtcMicros((at * MINUTE_US as f64) as i64 + rng.whole(0, MINUTE_US)));
            }
        }
    }
    checks.iter_mut().for_each(|check| check.2.sort_unstable());
    World { checks, addresses }
}

fn together(world: &World, now: i64) -> Vec<(Subject, UtcMicros)> {
    let history_from = minute(now - 28 * DAY);
    let checks: Vec<FailingCheck<'_>> = world
        .checks
        .iter()
        .map(|(check, traits, began)| {
            let first = began.partition_point(|at| *at < history_from);
            let last = began.partition_point(|at| *at <= minute(now));
            FailingCheck { check, traits, began: &began[first..last], interval_us: MINUTE_US }
        })
        .collect();
    let failures = Failures { checks: &checks, history_from };
    let found = correlated_failures::find(&failures, &thresholds().correlated_failures, minute(now));
    found.into_iter().map(|found| (found.subject, found.since)).collect()
}

/// An address whose checks fail together, nine of ten of them, within a minute; and clean months, looked at every half hour of which.
pub(crate) fn failures(seeds: Range<u64>) -> Outcome {
    let mut outcome = Outcome::new("correlated_failures: 4 checks or more at an address");
    for seed in seeds {
        let mut rng = Rng::new(5_000 + seed);
        let days = 42;
        let mut all = world(&mut rng, days);
        let mut open: Vec<(Subject, UtcMicros)> = Vec::new();
        for now in (28 * DAY..days * DAY).step_by(120) {
            let found = together(&all, now);
            outcome.false_findings += found.iter().filter(|one| !open.contains(one)).count();
            open = found;
        }
        outcome.clean_years += all.checks.len() as f64 * 14.0 * 24.0 / YEAR;
        let large: Vec<usize> = (0..all.addresses.len()).filter(|nth| all.addresses[*nth].len() >= 4).collect();
        if large.is_empty() {
            continue;
        }
        let host = *rng.pick(&large);
        let from = minute((days - 1) * DAY + rng.whole(0, DAY / 2));
        let mut failing = 0;
        for member in all.addresses[host].clone() {
            if rng.chance(0.9) || failing == 0 {
                failing += 1;
                all.checks[member].2.push(from.plus_us(rng.whole(0, MINUTE_US)));
                all.checks[member].2.sort_unstable();
            }
        }
        let subject = Subject::Shared { what: format!("address:192.0.2.{host}") };
        let members: Vec<String> = all.addresses[host].iter().map(|nth| all.checks[*nth].0.clone()).collect();
        let now = from.0 / MINUTE_US + 3;
        // What the members of the address share besides is as right.
        let is_right = |(found, since): &(Subject, UtcMicros)| {
            *since >= from
                && (*found == subject
                    || all
                        .checks
                        .iter()
                        .filter(|(name, ..)| members.contains(name))
                        .all(|(_, traits, _)| traits.iter().any(|shared| shared.subject() == *found)))
        };
        outcome.note(together(&all, now).iter().any(is_right).then_some(0.05));
    }
    outcome
}

/// Budgets that begin to burn evenly, three to fifteen times too fast, in blips of minutes; and clean ones with outages by chance that use a tenth to a half of them.
pub(crate) fn budgets(name: &str, seeds: Range<u64>, by_day: bool) -> Outcome {
    let mut outcome = Outcome::new(name);
    for seed in seeds {
        let mut rng = Rng::new(6_000 + seed);
        let objective = *rng.pick(&[0.99, 0.995, 0.999]);
        let allowed_minutes = 30.0 * DAY as f64 * (1.0 - objective);
        let days = 121;
        // Outages whose mean length is some 12 minutes with those that come back, cut so that they use a tenth to a half.
        let blips = |rng: &mut Rng, share: f64| {
            let (mut at, mut out) = (0.0, Vec::new());
            loop {
                let lasts = rng.log_between(1.0, (allowed_minutes / 2.0).min(60.0));
                at += rng.waiting(allowed_minutes * share / (30.0 * DAY as f64) / lasts) + lasts;
                if at >= (days * DAY) as f64 {
                    return out;
                }
                out.push((at - lasts, at));
            }
        };
        let share = rng.between(0.1, 0.5);
        let quiet = blips(&mut rng, share);
        let look = |bad: &[(f64, f64)], from: i64, to: i64| {
            let mut sums = vec![0.0; (to + 1) as usize];
            for (begin, end) in bad {
                for at in (*begin as i64)..=(*end as i64).min(to - 1) {
                    sums[(at + 1) as usize] += (end.min(at as f64 + 1.0) - begin.max(at as f64)).max(0.0);
                }
            }
            for at in 1..sums.len() {
                sums[at] += sums[at - 1];
            }
            openings((from..to).step_by(60), 120, |now, known_since| {
                let bad = |minutes: i64| sums[now as usize] - sums[(now - minutes) as usize];
                let window = |minutes: i64| BurnWindow {
                    length_us: minutes * MINUTE_US,
                    rate: Some(bad(minutes) / minutes as f64 / (1.0 - objective)),
                    completeness: 1.0,
                };
                let budget = BudgetNow {
                    slo: "shop",
                    left_us: ((allowed_minutes - bad(30 * DAY)) * MINUTE_US as f64) as i64,
                    allowed_us: (allowed_minutes * MINUTE_US as f64) as i64,
                    period_us: 30 * DAY * MINUTE_US,
                    ends_at: minute(now + 30 * DAY),
                    long: window(3 * DAY),
                    short: window(DAY / 4),
                    known_since,
                };
                let (day, thresholds) = (window(DAY), thresholds().budget_forecast);
                let found = budget_forecast::find_by_day(&budget, by_day.then_some(&day), &thresholds, minute(now));
                found.map(|found| found.since)
            })
        };
        outcome.false_findings += look(&quiet, 30 * DAY, days * DAY).len();
        outcome.clean_years += (days - 30) as f64 * 24.0 / YEAR;
        let from = 40 * DAY + rng.whole(0, DAY);
        let burn = rng.between(3.0, 15.0);
        let mut bad: Vec<(f64, f64)> = quiet.into_iter().filter(|(begin, _)| *begin < from as f64).collect();
        let mut at = from as f64;
        // One run in a hundred or so fails: bad for half a minute to two, again and again.
        while at < (from + 4 * DAY) as f64 {
            let lasts = rng.between(0.3, 1.5);
            at += rng.waiting(burn * (1.0 - objective) / lasts);
            bad.push((at, at + lasts));
            at += lasts;
        }
        let opened = look(&bad, from, from + 3 * DAY);
        outcome.note(opened.first().map(|now| (now - from) as f64 / 60.0));
    }
    outcome
}
