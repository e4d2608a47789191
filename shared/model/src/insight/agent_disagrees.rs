//! An agent sees what no other sees: its network, or its clock.
//!
//! **Votes.** Each of its answers is held against the weighted verdict of the others on the same check at that instant. Disagreement comes in stretches (a regional trouble is one, and no fault of the
//! agent), so hours are the blocks, not answers: the recent share is the mean over the hours, its uncertainty the deviation between the hours over the root of their
//! number (the cluster-robust standard error of survey statistics; Cochran, "Sampling Techniques", 9). A finding is a share of [`Disagrees::share_new`], three times the usual share of the weeks before,
//! in at least [`Disagrees::hours_min`] hours and about three checks: one check alone is that check's regional trouble. A share of [`Disagrees::share_always`] is one however usual it is.
//!
//! **Clock.** Measured at the handshake; off by more than two seconds, and certainly so (the uncertainty is taken off), as the console flags it.
//!
//! **Needs** a hundred answers that could be compared. **Stays** above the lower shares. **Confidence** of votes is Cantelli's of how far the share is above the usual one (above none, where it is one however usual); of the clock, 1 minus the
//! uncertainty by the offset; of both the larger.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::found::{Disagreement, Evidence, Found};
use super::input::{AgentVotes, VoteHour, hour_of};
use super::thresholds::Disagrees;
use super::{Confidence, DAY_US, HOUR_US, Severity, Subject, robust};
use crate::time::UtcMicros;

/// How old the measure of a clock may be.
const CLOCK_AGE_US: i64 = 2 * DAY_US;

/// What the votes say.
struct Votes {
    compared: u64,
    disagreed: u64,
    share: f64,
    usual: f64,
    hours: usize,
    since: Option<i64>,
    z: f64,
}

/// What stands out of an agent at `now`.
pub fn find(agent: &AgentVotes<'_>, thresholds: &Disagrees, now: UtcMicros) -> Option<Found> {
    let known = agent.known_since.is_some();
    let votes = votes(agent, thresholds, now);
    let by_votes = stands_out(&votes, agent, thresholds, known);
    let clock = clock(agent, thresholds, known, now);
    let why = match (by_votes, clock) {
        (true, Some(_)) => Disagreement::VotesAndClock,
        (true, None) => Disagreement::Votes,
        (false, Some(_)) => Disagreement::Clock,
        (false, None) => return None,
    };
    let of_votes = if by_votes { robust::confidence(votes.z) } else { Confidence(0) };
    let evidence = Evidence::AgentDisagrees {
        why,
        compared: votes.compared,
        disagreed: votes.disagreed,
        share_per_mille: robust::per_mille(votes.share),
        usual_per_mille: robust::per_mille(votes.usual),
        checks: agent.checks_disagreed,
        hours: votes.hours as u32,
        clock_offset_us: agent.clock_offset_us,
        clock_uncertainty_us: agent.clock_uncertainty_us,
    };
    let first = votes.since.filter(|_| by_votes).map(|hour| UtcMicros(hour.saturating_mul(HOUR_US)));
    let since = agent.known_since.or(first).or(agent.clock_measured_at).unwrap_or(now);
    let subject = Subject::Agent { agent: agent.agent.to_string() };
    let confidence = of_votes.max(clock.unwrap_or(Confidence(0)));
    Some(Found::new(subject, Severity::Warning, confidence, evidence, since))
}

/// How sure it is that the clock is off; `None` where it is not.
fn clock(agent: &AgentVotes<'_>, thresholds: &Disagrees, known: bool, now: UtcMicros) -> Option<Confidence> {
    let measured = agent.clock_measured_at?;
    let offset_us = agent.clock_offset_us?.unsigned_abs();
    let limit_us = if known { thresholds.clock_known_us } else { thresholds.clock_new_us };
    let certain_us = offset_us.saturating_sub(agent.clock_uncertainty_us);
    let is_off = certain_us > limit_us && now.us_since(measured) <= CLOCK_AGE_US;
    is_off.then(|| robust::share(certain_us as f64 / offset_us as f64))
}

fn votes(agent: &AgentVotes<'_>, thresholds: &Disagrees, now: UtcMicros) -> Votes {
    let from = hour_of(now) - thresholds.recent_hours;
    let is_recent = |hour: &&VoteHour| hour.hour >= from && hour.compared > 0;
    let recent: Vec<&VoteHour> = agent.hours.iter().filter(is_recent).collect();
    let sum = |hours: &[&VoteHour], of: fn(&VoteHour) -> u32| hours.iter().map(|hour| u64::from(of(hour))).sum::<u64>();
    let before: Vec<&VoteHour> = agent.hours.iter().filter(|hour| hour.hour < from).collect();
    let (compared, disagreed) = (sum(&recent, |hour| hour.compared), sum(&recent, |hour| hour.disagreed));
    let (compared_before, disagreed_before) = (sum(&before, |hour| hour.compared), sum(&before, |hour| hour.disagreed));
    // Where nothing was seen before, a small share is as usual as none: one of two hundred more.
    let usual = (disagreed_before as f64 + 1.0) / (compared_before as f64 + 200.0);
    let share = if compared == 0 { 0.0 } else { disagreed as f64 / compared as f64 };
    let parts: Vec<f64> = recent.iter().map(|hour| f64::from(hour.disagreed) / f64::from(hour.compared)).collect();
    let count = parts.len().max(1) as f64;
    let mean = parts.iter().sum::<f64>() / count;
    let spread = parts.iter().map(|part| (part - mean) * (part - mean)).sum::<f64>() / (count - 1.0).max(1.0);
    // No share of so few answers is known better than by one of them.
    let error = libm::sqrt(spread / count).max(1.0 / compared.max(1) as f64);
    // What is always so is held against none.
    let above = if share >= thresholds.share_always { 0.0 } else { usual };
    let z = (share - above) / error;
    let disagreeing = recent.iter().filter(|hour| hour.disagreed > 0);
    let since = disagreeing.clone().map(|hour| hour.hour).min();
    Votes { compared, disagreed, share, usual, hours: disagreeing.count(), since, z }
}

fn stands_out(votes: &Votes, agent: &AgentVotes<'_>, thresholds: &Disagrees, known: bool) -> bool {
    if votes.compared < thresholds.compared_min {
        return false;
    }
    if known {
        return votes.share >= thresholds.share_known && votes.share > votes.usual;
    }
    let unusual = votes.share >= thresholds.share_new && votes.share >= votes.usual * thresholds.usual_times;
    let wide = agent.checks_disagreed >= thresholds.checks_min && votes.hours >= thresholds.hours_min;
    wide && (unusual && votes.z >= thresholds.noise_times || votes.share >= thresholds.share_always)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UtcMicros = UtcMicros(100 * DAY_US);
    const LAST: i64 = 100 * 24 - 1;

    fn hours(recent: impl Fn(i64) -> u32, before: u32) -> Vec<VoteHour> {
        let at = |ago: i64| VoteHour {
            hour: LAST - ago,
            compared: 600,
            disagreed: if ago < 24 { recent(ago) } else { before },
        };
        (0..672).map(at).collect()
    }

    fn votes_of(hours: &[VoteHour]) -> AgentVotes<'_> {
        AgentVotes {
            agent: "paris-1",
            hours,
            checks_compared: 10,
            checks_disagreed: 5,
            clock_offset_us: Some(3_000),
            clock_uncertainty_us: 20_000,
            clock_measured_at: Some(NOW.plus_us(-HOUR_US)),
            known_since: None,
        }
    }

    fn why(votes: &AgentVotes<'_>) -> Option<Disagreement> {
        find(votes, &Disagrees::default(), NOW).map(|found| {
            let Evidence::AgentDisagrees { why, .. } = found.evidence else { panic!("another kind") };
            why
        })
    }

    #[test]
    fn it_says_something_else_more_often_than_usual() {
        let often = hours(|_| 60, 3);
        let found = find(&votes_of(&often), &Disagrees::default(), NOW).unwrap();
        let Evidence::AgentDisagrees { share_per_mille, usual_per_mille, hours: in_hours, .. } = found.evidence else {
            panic!("another kind")
        };
        assert_eq!((share_per_mille, usual_per_mille, in_hours), (100, 5, 24));
        assert!(found.confidence.0 > 990 && found.since == UtcMicros((LAST - 23) * HOUR_US), "{found:?}");
        let usually = hours(|_| 60, 60);
        assert_eq!(why(&votes_of(&usually)), None, "as ever");
        let always = hours(|_| 150, 150);
        assert_eq!(why(&votes_of(&always)), Some(Disagreement::Votes), "a quarter is too much, however usual");
    }

    #[test]
    fn a_regional_trouble_is_no_fault_of_the_agent() {
        let outage = hours(|ago| if (5..8).contains(&ago) { 600 } else { 0 }, 3);
        assert_eq!(why(&votes_of(&outage)), None, "three hours");
        let often = hours(|_| 60, 3);
        assert_eq!(why(&AgentVotes { checks_disagreed: 1, ..votes_of(&often) }), None, "one check");
        assert_eq!(why(&AgentVotes { hours: &often[..0], ..votes_of(&often) }), None);
        let rare = hours(|_| 20, 3);
        assert_eq!(why(&votes_of(&rare)), None, "3 %");
        let known_since = Some(UtcMicros(5));
        assert_eq!(why(&AgentVotes { known_since, ..votes_of(&rare) }), Some(Disagreement::Votes), "it stays");
    }

    #[test]
    fn a_clock_is_off_when_that_is_certain() {
        let none = hours(|_| 0, 0);
        let clock = |offset_us: i64, uncertainty: u64| AgentVotes {
            clock_offset_us: Some(offset_us),
            clock_uncertainty_us: uncertainty,
            ..votes_of(&none)
        };
        assert_eq!(why(&clock(-2_600_000, 500_000)), Some(Disagreement::Clock));
        assert_eq!(why(&clock(2_400_000, 500_000)), None);
        let old = AgentVotes { clock_measured_at: Some(NOW.plus_us(-3 * DAY_US)), ..clock(9_000_000, 1) };
        assert_eq!(why(&old), None);
        let often = hours(|_| 60, 3);
        assert_eq!(why(&AgentVotes { hours: &often, ..clock(9_000_000, 1) }), Some(Disagreement::VotesAndClock));
    }

    proptest! {
        #[test]
        fn order_leaves_no_trace_and_more_disagreement_is_never_less_of_a_finding(
            shares in prop::collection::vec(0_u32..100, 24), turn in 0_usize..672,
        ) {
            let of = |more: u32| hours(|ago| shares[ago as usize] + more, 3);
            let (mut less, more) = (of(0), of(100));
            let straight = find(&votes_of(&less), &Disagrees::default(), NOW);
            less.rotate_left(turn);
            let close = find(&votes_of(&less), &Disagrees::default(), NOW);
            prop_assert_eq!(straight.as_ref().map(|found| found.since), close.map(|found| found.since));
            prop_assert!(straight.is_none() || why(&votes_of(&more)).is_some());
        }
    }
}
