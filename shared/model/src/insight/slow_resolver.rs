//! Names take long to resolve where an agent is.
//!
//! A resolver answers from next door or it is badly chosen: unlike a server's distance its own can be mended, so here the agents are compared with each other and not with their
//! past. Each pair of a check and an hour is held against the median of the other agents for the same check in the same hour (matched pairs, so that which names are asked does
//! not matter). A pair is slow when it takes [`Resolver::ratio_new`] times as long *and* [`Resolver::step_us`] longer. An hour is slow when most of its pairs are, a check likewise; most hours
//! and most checks must be, as in a sign test on both sides (Arbuthnot 1710): one check alone has a slow name server of its own, one hour alone was a bad hour.
//!
//! **Needs** three checks and six hours in which another agent resolved the same name. **Stays** down to [`Resolver::ratio_known`]. **Confidence** is the smaller of both shares, of slow hours and of slow
//! checks.

use alloc::collections::BTreeMap;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::found::{Evidence, Found};
use super::input::{Resolvers, hour_of};
use super::thresholds::Resolver;
use super::{HOUR_US, Severity, Subject, robust};
use crate::time::UtcMicros;

/// How many hours are looked at, up to now.
const HOURS: i64 = 12;

/// A check's hour at an agent, against the others.
struct Pair<'a> {
    check: &'a str,
    hour: i64,
    own_us: f64,
    others_us: f64,
}

/// The agents whose resolver is slow at `now`, by name.
pub fn find(resolvers: &Resolvers<'_>, thresholds: &Resolver, now: UtcMicros) -> Vec<Found> {
    let this_hour = hour_of(now);
    let mut cells: BTreeMap<(&str, i64), BTreeMap<&str, u64>> = BTreeMap::new();
    for one in resolvers.hours.iter().filter(|one| one.runs > 0 && (this_hour - HOURS..this_hour).contains(&one.hour)) {
        cells.entry((one.check, one.hour)).or_default().insert(one.agent, one.median_us.max(1));
    }
    let mut pairs: BTreeMap<&str, Vec<Pair<'_>>> = BTreeMap::new();
    for ((check, hour), agents) in &cells {
        for (agent, own_us) in agents {
            let others: Vec<f64> =
                agents.iter().filter(|(other, _)| *other != agent).map(|(_, us)| *us as f64).collect();
            if others.len() < thresholds.others_min.max(1) {
                continue;
            }
            let Some(others_us) = robust::median(others) else { continue };
            pairs.entry(agent).or_default().push(Pair { check, hour: *hour, own_us: *own_us as f64, others_us });
        }
    }
    let known = |agent: &str| resolvers.known.iter().find(|(name, _)| *name == agent).map(|(_, since)| *since);
    pairs.iter().filter_map(|(agent, pairs)| slow(agent, pairs, known(agent), thresholds)).collect()
}

/// Of each group of pairs by a key: whether most of them are slow.
fn mostly<'p, K: Ord>(
    pairs: &'p [Pair<'p>],
    key: impl Fn(&'p Pair<'p>) -> K,
    is_slow: impl Fn(&Pair<'_>) -> bool,
) -> BTreeMap<K, bool> {
    let mut counts: BTreeMap<K, (usize, usize)> = BTreeMap::new();
    for pair in pairs {
        let (slow, all) = counts.entry(key(pair)).or_default();
        *slow += usize::from(is_slow(pair));
        *all += 1;
    }
    counts.into_iter().map(|(key, (slow, all))| (key, slow * 2 > all)).collect()
}

fn slow(agent: &str, pairs: &[Pair<'_>], known: Option<UtcMicros>, thresholds: &Resolver) -> Option<Found> {
    let ratio_min = if known.is_some() { thresholds.ratio_known } else { thresholds.ratio_new };
    let step_us = if known.is_some() { thresholds.step_us / 2 } else { thresholds.step_us } as f64;
    let is_slow =
        |pair: &Pair<'_>| pair.own_us >= pair.others_us * ratio_min && pair.own_us - pair.others_us >= step_us;
    let hours = mostly(pairs, |pair| pair.hour, is_slow);
    let checks = mostly(pairs, |pair| pair.check, is_slow);
    if hours.len() < thresholds.hours_min || checks.len() < thresholds.checks_min {
        return None;
    }
    let slow_of = |slow: usize, all: usize| slow as f64 / all as f64;
    let hours_slow = hours.values().filter(|slow| **slow).count();
    let checks_slow = checks.values().filter(|slow| **slow).count();
    let share = slow_of(hours_slow, hours.len()).min(slow_of(checks_slow, checks.len()));
    // What has been mended is over, though the day as a whole was slow.
    let mended = hours.values().rev().take(3).all(|slow| !slow);
    if share < thresholds.share_min || mended {
        return None;
    }
    let ratio = libm::exp(robust::median(pairs.iter().map(|pair| libm::log(pair.own_us / pair.others_us)))?);
    let agent_us = robust::median(pairs.iter().map(|pair| pair.own_us))? as u64;
    let others_us = robust::median(pairs.iter().map(|pair| pair.others_us))? as u64;
    let evidence = Evidence::SlowResolver {
        agent_us,
        others_us,
        ratio_per_mille: robust::per_mille(ratio),
        checks: checks.len() as u32,
        checks_slow: checks_slow as u32,
        hours: hours.len() as u32,
        hours_slow: hours_slow as u32,
    };
    let worth = agent_us.saturating_sub(others_us) >= thresholds.warning_us;
    let severity = if worth { Severity::Warning } else { Severity::Info };
    let first = hours.iter().find(|(_, slow)| **slow).map(|(hour, _)| UtcMicros(hour.saturating_mul(HOUR_US)))?;
    let subject = Subject::Agent { agent: agent.to_string() };
    Some(Found::new(subject, severity, robust::share(share), evidence, known.unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::insight::input::DnsHour;

    const CHECKS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    /// A day of three agents; the time of each by agent, check and hours ago.
    fn day(us: impl Fn(&str, usize, i64) -> u64) -> Vec<DnsHour<'static>> {
        let mut hours = Vec::new();
        for ago in 1..=24 {
            for agent in ["oslo", "paris", "rome"] {
                for (nth, check) in CHECKS.into_iter().enumerate() {
                    hours.push(DnsHour { agent, check, hour: 1_000 - ago, median_us: us(agent, nth, ago), runs: 60 });
                }
            }
        }
        hours
    }

    fn look(hours: &[DnsHour<'_>], known: &[(&str, UtcMicros)]) -> Vec<Found> {
        find(&Resolvers { hours, known }, &Resolver::default(), UtcMicros(1_000 * HOUR_US))
    }

    #[test]
    fn the_slow_one_is_named() {
        let found =
            look(&day(|agent, nth, _| 10_000 * (nth as u64 + 1) + if agent == "paris" { 150_000 } else { 0 }), &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject, Subject::Agent { agent: "paris".to_string() });
        assert_eq!((found[0].severity, found[0].confidence.0), (Severity::Warning, 1000));
        let Evidence::SlowResolver { agent_us, others_us, checks_slow, hours_slow, .. } = found[0].evidence else {
            panic!("another kind")
        };
        assert_eq!((agent_us, others_us, checks_slow, hours_slow), (185_000, 35_000, 6, 12));
    }

    #[test]
    fn some_names_some_hours_or_some_milliseconds_are_nothing() {
        let with = |is: fn(usize, i64) -> bool, us: u64| {
            look(&day(|agent, nth, ago| 10_000 + if agent == "paris" && is(nth, ago) { us } else { 0 }), &[]).len()
        };
        assert_eq!(with(|_, _| true, 150_000), 1);
        assert_eq!(with(|_, _| true, 19_000), 0, "19 ms");
        assert_eq!(with(|nth, _| nth < 3, 150_000), 0, "half of the names");
        assert_eq!(with(|_, ago| ago <= 6, 150_000), 0, "half of the hours");
        assert_eq!(with(|_, ago| ago > 3, 150_000), 0, "it is mended");
        let few = day(|agent, _, _| if agent == "paris" { 200_000 } else { 10_000 });
        let two: Vec<_> = few.iter().filter(|one| one.check < "c").copied().collect();
        assert_eq!(look(&two, &[]).len(), 0, "two names");
        let alone: Vec<_> = few.iter().filter(|one| one.agent == "paris").copied().collect();
        assert_eq!(look(&alone, &[]).len(), 0, "nobody to compare with");
    }

    #[test]
    fn what_is_known_stays_with_less() {
        let eased = day(|agent, _, _| if agent == "paris" { 26_000 } else { 15_000 });
        assert_eq!((look(&eased, &[]).len(), look(&eased, &[("paris", UtcMicros(7))])[0].since), (0, UtcMicros(7)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn order_leaves_no_trace_and_slower_is_never_less(more in 0_u64..100_000, still in 0_u64..100_000, turn in 0_usize..432) {
            let with = |us: u64| day(|agent, nth, ago| 9_000 + nth as u64 * ago as u64 * 100 + if agent == "paris" { us } else { 0 });
            let mut turned = with(more);
            turned.rotate_left(turn);
            prop_assert_eq!(look(&with(more), &[]), look(&turned, &[]));
            prop_assert!(look(&with(more), &[]).len() <= look(&with(more + still), &[]).len());
        }
    }
}
