//! Checks that share something (an address, a certificate, a provider, a parent) fail together.
//!
//! Something is always down somewhere, and everything shares something with something. So two chances must both be small:
//!
//! - **That they began together by chance.** If each check failed on its own, at the rate at which it did over the history (half a failure more than were seen, so that none has
//!   none), the number that begins within so short a time is nearly Poisson's. The chance of as many as began with the first of them, times every beginning that could have been the first, and
//!   every group that was looked at (Bonferroni).
//! - **That it is not this that they share.** Of all `N` checks, `K` failed in that time; by chance `k` of the `n` that share it would be among them with the
//!   hypergeometric probability (Fisher's exact test, one-sided), times the groups that were looked at. When all fail, everybody's address is innocent. Groups of the
//!   same checks are one group; of those the nearest cause is named (parent, address, certificate, domain, network, provider).
//!
//! Besides, at least half of those that share it must fail. Of groups that explain the same failures the one with the smallest chance is told, alone. Where every check shares it there is nothing to hold it against:
//! the second chance is not asked, and the confidence is 500 at most.
//!
//! **Needs** three checks that share something. **Stays** for a day after it began. **Confidence** is 1 minus the larger of both chances.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::found::{Evidence, Found, Trait};
use super::input::{FailingCheck, Failures};
use super::thresholds::Correlated;
use super::{Confidence, DAY_US, Severity, robust};
use crate::time::{Span, UtcMicros};

/// A group whose failures chance does not explain.
struct Candidate<'a> {
    shared: &'a Trait,
    sharing: usize,
    burst: Burst,
    began_by_chance: f64,
    /// `None`: every check shares it.
    shared_by_chance: Option<f64>,
    others_failing: usize,
}

/// Members that began to fail together.
struct Burst {
    /// Indexes of the checks, in order.
    members: BTreeSet<usize>,
    from: UtcMicros,
    to: UtcMicros,
}

/// What failed together in the last day, in the order of the subjects.
pub fn find(failures: &Failures<'_>, thresholds: &Correlated, now: UtcMicros) -> Vec<Found> {
    let window = Span::new(now.plus_us(-thresholds.window_us), now.plus_us(1));
    let groups = groups(failures, thresholds);
    let mut candidates: Vec<Candidate<'_>> = groups
        .iter()
        .filter_map(|(members, shared)| candidate(failures, shared, members, groups.len(), window, thresholds))
        .collect();
    let chance = |candidate: &Candidate<'_>| candidate.shared_by_chance.unwrap_or(1.0);
    candidates.sort_by(|a, b| {
        chance(a)
            .total_cmp(&chance(b))
            .then(b.burst.members.len().cmp(&a.burst.members.len()))
            .then(a.shared.cmp(b.shared))
    });
    let mut told: Vec<Candidate<'_>> = Vec::new();
    for candidate in candidates {
        let explained = told.iter().any(|other| {
            let common = other.burst.members.intersection(&candidate.burst.members).count();
            let apart = candidate.burst.from > other.burst.to.plus_us(DAY_US)
                || other.burst.from > candidate.burst.to.plus_us(DAY_US);
            !apart && common * 2 >= candidate.burst.members.len()
        });
        if !explained {
            told.push(candidate);
        }
    }
    let mut found: Vec<Found> = told.iter().map(|candidate| found(failures, candidate, window, thresholds)).collect();
    found.sort_by(|a, b| a.subject.cmp(&b.subject));
    found
}

/// The groups that share something: their members, and the nearest of what they share.
fn groups<'a>(failures: &Failures<'a>, thresholds: &Correlated) -> BTreeMap<Vec<usize>, &'a Trait> {
    let mut sharing: BTreeMap<&'a Trait, BTreeSet<usize>> = BTreeMap::new();
    for (index, check) in failures.checks.iter().enumerate() {
        for shared in check.traits {
            sharing.entry(shared).or_default().insert(index);
        }
    }
    let mut groups: BTreeMap<Vec<usize>, &'a Trait> = BTreeMap::new();
    for (shared, members) in sharing {
        if members.len() >= thresholds.checks_min.max(2) {
            // In the order of traits: the first one of the same members is the nearest.
            groups.entry(members.into_iter().collect()).or_insert(shared);
        }
    }
    groups
}

/// How long after the first a check may begin.
fn within_us(check: &FailingCheck<'_>, thresholds: &Correlated) -> i64 {
    thresholds.within_us.saturating_add(check.interval_us.max(0))
}

/// The members of a group that began with a first one.
fn burst(failures: &Failures<'_>, members: &[usize], first: UtcMicros, thresholds: &Correlated) -> Burst {
    let mut burst = Burst { members: BTreeSet::new(), from: first, to: first };
    for index in members {
        let check = &failures.checks[*index];
        let near = Span::new(first, first.plus_us(within_us(check, thresholds) + 1));
        if let Some(at) = check.began.iter().copied().filter(|at| near.contains(*at)).min() {
            burst.members.insert(*index);
            burst.to = burst.to.max(at);
        }
    }
    burst
}

fn candidate<'a>(
    failures: &Failures<'a>,
    shared: &'a Trait,
    members: &[usize],
    groups: usize,
    window: Span,
    thresholds: &Correlated,
) -> Option<Candidate<'a>> {
    let firsts: BTreeSet<UtcMicros> = members
        .iter()
        .flat_map(|index| failures.checks[*index].began.iter().copied())
        .filter(|at| window.contains(*at))
        .collect();
    let bursts = firsts.iter().map(|first| burst(failures, members, *first, thresholds));
    // Of several the largest; of those the newest.
    let burst = bursts.max_by_key(|burst| (burst.members.len(), burst.from))?;
    let failing = burst.members.len();
    if failing < thresholds.checks_min || (failing as f64) < thresholds.share_min * members.len() as f64 {
        return None;
    }
    let expected: f64 = members.iter().map(|index| expected(failures, *index, window, thresholds)).sum();
    let tries = firsts.len() as f64 * groups as f64;
    let began_by_chance = (poisson_at_least(failing - 1, expected) * tries).min(1.0);
    if began_by_chance > thresholds.chance_max {
        return None;
    }
    let everybody: Vec<usize> = (0..failures.checks.len()).collect();
    let all_failing = self::burst(failures, &everybody, burst.from, thresholds).members.len();
    let all = failures.checks.len();
    let shared_by_chance = (all > members.len())
        .then(|| (hypergeometric_at_least(failing, all, all_failing, members.len()) * groups as f64).min(1.0));
    if shared_by_chance.is_some_and(|chance| chance > thresholds.shared_chance_max) {
        return None;
    }
    let others_failing = all_failing.saturating_sub(failing);
    Some(Candidate { shared, sharing: members.len(), burst, began_by_chance, shared_by_chance, others_failing })
}

/// How many beginnings of a check are to be expected by chance within the time that a burst may take.
fn expected(failures: &Failures<'_>, index: usize, window: Span, thresholds: &Correlated) -> f64 {
    let check = &failures.checks[index];
    let before = Span::new(failures.history_from, window.from);
    let seen = check.began.iter().filter(|at| before.contains(**at)).count() as f64;
    let recent = check.began.iter().filter(|at| window.contains(**at)).count().saturating_sub(1) as f64;
    // What flaps since this morning meets anything by chance, whatever it did before.
    let rate = ((seen + 0.5) / before.us().max(DAY_US) as f64).max(recent / window.us().max(1) as f64);
    rate * within_us(check, thresholds) as f64
}

fn found(failures: &Failures<'_>, candidate: &Candidate<'_>, window: Span, thresholds: &Correlated) -> Found {
    let Candidate { shared, sharing, burst, .. } = candidate;
    let mut checks: Vec<_> = burst.members.iter().map(|index| failures.checks[*index].check.to_string()).collect();
    checks.sort_unstable();
    let evidence = Evidence::CorrelatedFailures {
        shared: (*shared).clone(),
        checks,
        sharing: *sharing as u32,
        others_failing: candidate.others_failing as u32,
        others: failures.checks.len().saturating_sub(*sharing) as u32,
        within_us: burst.to.us_since(burst.from),
        times_before: times_before(failures, &burst.members, window, thresholds),
    };
    let chance = candidate.began_by_chance.max(candidate.shared_by_chance.unwrap_or(0.5));
    let confidence: Confidence = robust::share(1.0 - chance);
    Found::new(shared.subject(), Severity::Warning, confidence, evidence, burst.from)
}

/// How often at least half of the same checks began together before.
fn times_before(failures: &Failures<'_>, members: &BTreeSet<usize>, window: Span, thresholds: &Correlated) -> u32 {
    let members: Vec<usize> = members.iter().copied().collect();
    let firsts: BTreeSet<UtcMicros> = members
        .iter()
        .flat_map(|index| failures.checks[*index].began.iter().copied())
        .filter(|at| failures.history_from <= *at && *at < window.from)
        .collect();
    let (mut times, mut over) = (0, UtcMicros::MIN);
    for first in firsts {
        if first <= over {
            continue;
        }
        let burst = burst(failures, &members, first, thresholds);
        if burst.members.len() >= thresholds.checks_min && burst.members.len() * 2 >= members.len() {
            times += 1;
            over = burst.to;
        }
    }
    times
}

/// The chance that something that is expected so often happens so many times at least (Poisson).
fn poisson_at_least(times: usize, expected: f64) -> f64 {
    if times == 0 {
        return 1.0;
    }
    if expected <= 0.0 {
        return 0.0;
    }
    // Below twice the mean the sum from 0 is as good; beyond, the tail is summed itself, so that small chances keep their digits.
    let first = libm::exp(times as f64 * libm::log(expected) - expected - libm::lgamma(times as f64 + 1.0));
    if (times as f64) < expected * 2.0 {
        let mut term = libm::exp(-expected);
        let mut below = 0.0;
        for k in 0..times {
            below += term;
            term *= expected / (k + 1) as f64;
        }
        return (1.0 - below).clamp(0.0, 1.0);
    }
    let (mut sum, mut term, mut k) = (0.0, first, times as f64);
    while term > sum * 1e-12 && term > 0.0 {
        sum += term;
        k += 1.0;
        term *= expected / k;
    }
    sum.min(1.0)
}

/// The chance that of `sharing` among `all`, of which `failing` fail, so many at least are among those that fail (hypergeometric).
fn hypergeometric_at_least(times: usize, all: usize, failing: usize, sharing: usize) -> f64 {
    let choose = |n: usize, k: usize| {
        let of = |x: usize| libm::lgamma(x as f64 + 1.0);
        of(n) - of(k) - of(n - k)
    };
    let whole = choose(all, failing);
    let most = sharing.min(failing);
    let possible = |x: &usize| failing - x <= all - sharing;
    let sum: f64 = (times..=most)
        .filter(possible)
        .map(|x| libm::exp(choose(sharing, x) + choose(all - sharing, failing - x) - whole))
        .sum();
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::insight::Subject;
    use crate::insight::found::TraitOf;

    const NOW: UtcMicros = UtcMicros(400 * DAY_US);
    const MINUTE_US: i64 = 60_000_000;

    #[derive(Default)]
    struct World {
        checks: Vec<(String, Vec<Trait>, Vec<UtcMicros>)>,
    }

    impl World {
        fn of(checks: usize) -> Self {
            Self { checks: (0..checks).map(|nth| (format!("c{nth:03}"), Vec::new(), Vec::new())).collect() }
        }

        fn share(mut self, of: TraitOf, what: &str, members: impl IntoIterator<Item = usize>) -> Self {
            for member in members {
                self.checks[member].1.push(Trait { of, what: what.to_string() });
            }
            self
        }

        fn fail(mut self, minutes_ago: i64, members: impl IntoIterator<Item = usize>) -> Self {
            for (nth, member) in members.into_iter().enumerate() {
                self.checks[member].2.push(NOW.plus_us((-minutes_ago * 60 + nth as i64 % 50) * 1_000_000));
            }
            self
        }

        fn find(&self) -> Vec<Found> {
            let checks: Vec<FailingCheck<'_>> = self
                .checks
                .iter()
                .map(|(check, traits, began)| FailingCheck { check, traits, began, interval_us: MINUTE_US })
                .collect();
            let failures = Failures { checks: &checks, history_from: NOW.plus_us(-28 * DAY_US) };
            find(&failures, &Correlated::default(), NOW)
        }

        fn subjects(&self) -> Vec<String> {
            let of = |found: Found| match found.subject {
                Subject::Shared { what } => what,
                Subject::Check { .. } | Subject::Agent { .. } | Subject::Objective { .. } => panic!("a shared thing"),
            };
            self.find().into_iter().map(of).collect()
        }
    }

    #[test]
    fn those_at_one_address_are_found_and_what_else_they_share_is_not_told_again() {
        let world = World::of(60)
            .share(TraitOf::Provider, "AS64500", 0..30)
            .share(TraitOf::Address, "192.0.2.1", 0..6)
            .share(TraitOf::Certificate, "ab", 0..6)
            .fail(90, 0..6);
        let found = world.find();
        assert_eq!(world.subjects(), ["address:192.0.2.1"]);
        let Evidence::CorrelatedFailures { checks, sharing, others_failing, others, times_before, .. } =
            &found[0].evidence
        else {
            panic!("another kind")
        };
        assert_eq!((checks.len(), *sharing, *others_failing, *others, *times_before), (6, 6, 0, 54, 0));
        assert!(found[0].confidence.0 >= 990, "{:?}", found[0].confidence);
    }

    #[test]
    fn the_wider_cause_is_told_where_the_wider_group_fails() {
        let world = World::of(100)
            .share(TraitOf::Provider, "AS64500", 0..20)
            .share(TraitOf::Address, "192.0.2.1", 0..5)
            .share(TraitOf::Address, "192.0.2.2", 5..10)
            .fail(90, 0..20);
        assert_eq!(world.subjects(), ["provider:AS64500"]);
    }

    #[test]
    fn when_all_fail_nobodys_address_is_to_blame() {
        let world = World::of(40).share(TraitOf::Address, "192.0.2.1", 0..6).fail(90, 0..40);
        assert_eq!(world.subjects(), [""; 0]);
        let third = World::of(40).share(TraitOf::Address, "192.0.2.1", 0..6).fail(90, (0..4).chain(10..30));
        assert_eq!(third.subjects(), [""; 0]);
    }

    #[test]
    fn where_all_share_it_there_is_nothing_to_hold_it_against() {
        let world = World::of(10).share(TraitOf::Address, "192.0.2.1", 0..10).fail(90, 0..9);
        assert_eq!((world.subjects(), world.find()[0].confidence.0), ([String::from("address:192.0.2.1")].into(), 500));
    }

    #[test]
    fn too_few_too_far_apart_or_too_often_is_nothing() {
        let pair = World::of(40).share(TraitOf::Address, "192.0.2.1", 0..2).fail(90, 0..2);
        assert_eq!(pair.subjects(), [""; 0]);
        let spread = (0..6).fold(World::of(40).share(TraitOf::Address, "192.0.2.1", 0..6), |world, nth| {
            world.fail(90 + 10 * nth, [nth as usize])
        });
        assert_eq!(spread.subjects(), [""; 0]);
        let minority = World::of(40).share(TraitOf::Address, "192.0.2.1", 0..12).fail(90, 0..5);
        assert_eq!(minority.subjects(), [""; 0]);
        let flaps = (0..600).fold(World::of(40).share(TraitOf::Address, "192.0.2.1", 0..4), |world, nth| {
            world.fail(3 * nth, [nth as usize % 4]).fail(3 * nth + 1, [(nth as usize + 1) % 4])
        });
        assert_eq!(flaps.subjects(), [""; 0]);
        let old = World::of(40).share(TraitOf::Address, "192.0.2.1", 0..6).fail(26 * 60, 0..6);
        assert_eq!(old.subjects(), [""; 0]);
    }

    #[test]
    fn earlier_times_are_counted() {
        let world = World::of(40)
            .share(TraitOf::Parent, "gateway", 0..6)
            .fail(90, 0..6)
            .fail(5 * 1440, 0..6)
            .fail(9 * 1440, 0..4)
            .fail(11 * 1440, 0..2);
        let Evidence::CorrelatedFailures { times_before, .. } = world.find()[0].evidence.clone() else {
            panic!("another kind")
        };
        assert_eq!(times_before, 2);
    }

    #[test]
    fn chances_are_those_of_the_tables() {
        let close = |found: f64, want: f64| assert!((found - want).abs() < 1e-9 * want.max(1e-3), "{found} {want}");
        close(poisson_at_least(0, 3.0), 1.0);
        close(poisson_at_least(1, 0.01), 1.0 - libm::exp(-0.01));
        close(poisson_at_least(2, 1.0), 1.0 - 2.0 * libm::exp(-1.0));
        assert_eq!((poisson_at_least(3, 0.0), poisson_at_least(0, 0.0)), (0.0, 1.0));
        // Three of three among eight: one in 56.
        close(hypergeometric_at_least(3, 8, 3, 3), 1.0 / 56.0);
        close(hypergeometric_at_least(0, 8, 3, 3), 1.0);
        close(hypergeometric_at_least(5, 10, 10, 5), 1.0);
    }

    proptest! {
        #[test]
        fn the_order_of_checks_and_instants_leaves_no_trace(seed in 0_u64..1_000, failing in 3_usize..6) {
            let mut world = World::of(30).share(TraitOf::Address, "192.0.2.1", 0..6).share(TraitOf::Domain, "a.test", 3..12);
            world = world.fail(200, 0..failing).fail(900, 5..8).fail(3000, 0..4);
            let straight = world.find();
            let key = |name: &str| name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
            world.checks.sort_by_key(|(name, ..)| key(name));
            world.checks.iter_mut().for_each(|(_, traits, began)| { traits.reverse(); began.reverse(); });
            prop_assert_eq!(straight, world.find());
        }

        #[test]
        fn chances_are_chances_and_fall_with_each_more(times in 0_usize..60, expected in 0.0..40.0_f64, all in 1_usize..60) {
            let of = |times| poisson_at_least(times, expected);
            prop_assert!((0.0..=1.0).contains(&of(times)) && of(times + 1) <= of(times) + 1e-12);
            let (failing, sharing) = (all / 2, all / 3);
            let of = |times| hypergeometric_at_least(times, all, failing, sharing);
            prop_assert!((0.0..=1.0).contains(&of(times)) && of(times + 1) <= of(times));
        }
    }
}
