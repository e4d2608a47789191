//! The score of several checks: of a group, or of all of them.
//!
//! The mean of the scores that there are, weighted by check weight; raised to a part ([`ScoringModel::floor`]) of the score of the worst check of the class `critical`, so
//! that a hundred idle checks hide nothing that matters. A check of weight 0 is watched and never counted, so it raises nothing either. Its contributions are those of the
//! checks, weighted alike, and what it was raised by: they add up to the score to the last digit, by the largest remainder.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::model::ScoringModel;
use super::{Band, Points, Score, Signal};
use crate::control::Weight;
use crate::id::CheckNo;

/// A check among others.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Which.
    pub check: CheckNo,
    /// Its weight.
    pub weight: Weight,
    /// Whether its class is `critical`.
    pub critical: bool,
    /// Its score; `None` where it has none.
    pub score: Option<&'a Score>,
}

/// What the worst check of the class `critical` raised a score by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// Which.
    pub check: CheckNo,
    /// By how much.
    pub points: Points,
}

/// The score of several checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// The sum of the contributions, and of what it was raised by.
    pub points: Points,
    /// How bad that is.
    pub band: Band,
    /// The weighted mean, before it was raised.
    pub mean: Points,
    /// What each signal adds to the mean, in the order of [`Signal::ALL`]; those that any member has.
    pub contributions: Vec<(Signal, Points)>,
    /// What it was raised by, if it was.
    pub raised: Option<Raised>,
    /// Members of a weight above 0.
    pub checks: usize,
    /// Those of them with a score.
    pub scored: usize,
}

impl Together {
    /// The signal that adds the most; of several the first. `None` where nothing adds anything.
    pub fn dominant(&self) -> Option<Signal> {
        let most = self.contributions.iter().map(|(_, points)| *points).max()?;
        let first = self.contributions.iter().find(|(_, points)| *points == most && most > Points(0))?;
        Some(first.0)
    }
}

impl ScoringModel {
    /// The score of several checks; `None` where none that counts has one.
    pub fn together(&self, members: &[Member<'_>]) -> Option<Together> {
        let counted = || members.iter().filter(|member| member.weight.0 > 0);
        let scored: Vec<(&Member<'_>, &Score)> = counted().filter_map(|member| Some((member, member.score?))).collect();
        let weight_of = |member: &Member<'_>| u128::from(member.weight.0);
        let all: u128 = scored.iter().map(|(member, _)| weight_of(member)).sum();
        if all == 0 {
            return None;
        }
        let mut parts: BTreeMap<Signal, u128> = BTreeMap::new();
        for (member, score) in &scored {
            for one in &score.contributions {
                *parts.entry(one.signal).or_default() += weight_of(member) * u128::from(one.points.0);
            }
        }
        let sum: u128 = parts.values().sum();
        let mean = (sum + all / 2) / all;
        let contributions = apportioned(&parts, all, mean);
        let mean = points(mean);
        let floor = |score: &Score| Points((f64::from(score.points.0) * self.floor + 0.5) as u32);
        let critical = scored.iter().filter(|(member, _)| member.critical);
        // Of several equally bad ones the first.
        let worst =
            critical.rev().max_by_key(|(_, score)| score.points).map(|(member, score)| (member.check, floor(score)));
        let raised = worst.filter(|(_, floor)| *floor > mean);
        let raised = raised.map(|(check, floor)| Raised { check, points: Points(floor.0 - mean.0) });
        let points = Points(mean.0 + raised.map_or(0, |raised| raised.points.0));
        let (checks, scored) = (counted().count(), scored.len());
        Some(Together { points, band: self.band(points), mean, contributions, raised, checks, scored })
    }
}

fn points(hundredths: u128) -> Points {
    Points(u32::try_from(hundredths).unwrap_or(u32::MAX))
}

/// Parts of `all`, so that they add up to `whole`: each is rounded down, and those that lose the most by it get one more.
fn apportioned(parts: &BTreeMap<Signal, u128>, all: u128, whole: u128) -> Vec<(Signal, Points)> {
    let given: u128 = parts.values().map(|part| part / all).sum();
    let mut order: Vec<(&Signal, u128)> = parts.iter().map(|(signal, part)| (signal, part % all)).collect();
    order.sort_by_key(|(_, rest)| core::cmp::Reverse(*rest));
    let more: Vec<Signal> =
        order.iter().take(whole.saturating_sub(given) as usize).map(|(signal, _)| **signal).collect();
    let one = |(signal, part): (&Signal, &u128)| (*signal, points(part / all + u128::from(more.contains(signal))));
    parts.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::impact::Contribution;

    fn score(points: &[(Signal, u32)]) -> Score {
        let one = |(signal, points): &(Signal, u32)| Contribution {
            signal: *signal,
            value: 0.0,
            warning: 0.0,
            critical: 1.0,
            weight: 0,
            points: Points(*points),
        };
        let sum = Points(points.iter().map(|(_, points)| points).sum());
        let band = ScoringModel::built_in().band(sum);
        Score { points: sum, band, contributions: points.iter().map(one).collect() }
    }

    fn member(weight: u32, critical: bool, score: Option<&Score>) -> Member<'_> {
        Member { check: CheckNo(weight), weight: Weight(weight), critical, score }
    }

    #[test]
    fn the_worst_critical_check_raises_the_mean() {
        let model = ScoringModel::built_in();
        let (bad, good) = (score(&[(Signal::Recurrence, 9_000)]), score(&[(Signal::Recurrence, 0)]));
        let idle = vec![member(1_000, false, Some(&good)); 99];
        let whole = |first: Member<'_>| model.together(&[&[first], &idle[..]].concat()).unwrap();
        let plain = whole(member(1_000, false, Some(&bad)));
        assert_eq!((plain.points, plain.raised, plain.band), (Points(90), None, Band::Ok));
        let raised = whole(member(1_000, true, Some(&bad)));
        assert_eq!((raised.points, raised.mean, raised.band), (Points(5_400), Points(90), Band::Warning));
        assert_eq!(raised.raised, Some(Raised { check: CheckNo(1_000), points: Points(5_310) }));
        assert_eq!(whole(member(0, true, Some(&bad))).points, Points(0), "watched, never counted");
    }

    #[test]
    fn without_a_score_there_is_none() {
        let model = ScoringModel::built_in();
        let bad = score(&[(Signal::Cls, 5_000)]);
        assert_eq!(model.together(&[]), None);
        assert_eq!(model.together(&[member(1_000, true, None)]), None);
        assert_eq!(model.together(&[member(0, true, Some(&bad))]), None);
        let half = model.together(&[member(1_000, true, None), member(1_000, false, Some(&bad))]).unwrap();
        assert_eq!((half.points, half.checks, half.scored), (Points(5_000), 2, 1), "no data takes no part in the mean");
        assert_eq!(half.dominant(), Some(Signal::Cls));
    }

    proptest! {
        #[test]
        fn contributions_add_up_to_the_score(
            given in prop::collection::vec((0..5_000_u32, any::<bool>(), prop::collection::vec((0..10_usize, 0..1_000_u32), 0..6)), 1..20),
        ) {
            let scores: Vec<Score> = given
                .iter()
                .map(|(_, _, points)| {
                    let points: BTreeMap<Signal, u32> = points.iter().map(|(at, points)| (Signal::ALL[*at], *points)).collect();
                    score(&points.into_iter().collect::<Vec<_>>())
                })
                .collect();
            let members: Vec<Member<'_>> =
                given.iter().zip(&scores).map(|((weight, critical, _), score)| member(*weight, *critical, Some(score))).collect();
            let model = ScoringModel::built_in();
            if let Some(whole) = model.together(&members) {
                let parts: u32 = whole.contributions.iter().map(|(_, points)| points.0).sum();
                prop_assert_eq!(Points(parts), whole.mean);
                prop_assert_eq!(parts + whole.raised.map_or(0, |raised| raised.points.0), whole.points.0);
                let worst = members.iter().filter(|member| member.critical && member.weight.0 > 0).filter_map(|member| member.score).map(|score| score.points.0).max();
                prop_assert!(f64::from(whole.points.0) + 0.5 >= f64::from(worst.unwrap_or(0)) * 0.6);
                let most = scores.iter().map(|score| score.points).max().unwrap();
                prop_assert!(whole.points <= most);
            }
        }
    }
}
