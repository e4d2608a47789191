//! The order of the queue of incidents: which to take first.
//!
//! What is confirmed before what is only suspected; then the severity, the worst first; then the impact score of the check it is about, the highest first, those without one last;
//! then age, the oldest first. So a score moves an incident among those of its own severity and never past a worse one.

use std::cmp::Reverse;

use sitepulse_model::impact::Points;
use sitepulse_model::incident::Severity;
use sitepulse_model::time::UtcMicros;

/// An incident in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrant {
    /// Its id: it decides between equals.
    pub id: String,
    /// Whether it is not confirmed yet.
    pub suspected: bool,
    /// How much it matters.
    pub severity: Severity,
    /// The score of the check that it is about.
    pub score: Option<Points>,
    /// Since when the evidence is bad.
    pub since: UtcMicros,
}

/// What the queue is sorted by.
pub type Key = (bool, Reverse<Severity>, Reverse<Option<Points>>, UtcMicros, String);

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1 on.
    pub position: usize,
    /// Where it would be by severity and age alone.
    pub by_age: usize,
}

impl Entrant {
    /// What it is sorted by.
    pub fn key(&self) -> Key {
        (self.suspected, Reverse(self.severity), Reverse(self.score), self.since, self.id.clone())
    }

    fn key_by_age(&self) -> Key {
        (self.suspected, Reverse(self.severity), Reverse(None), self.since, self.id.clone())
    }
}

/// The place of each, in the order they are given.
pub fn places(all: &[Entrant]) -> Vec<Place> {
    let positions = |key: fn(&Entrant) -> Key| {
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_cached_key(|at| key(&all[*at]));
        let mut positions = vec![0; all.len()];
        for (place, at) in order.into_iter().enumerate() {
            positions[at] = place + 1;
        }
        positions
    };
    let (by_score, by_age) = (positions(Entrant::key), positions(Entrant::key_by_age));
    by_score.into_iter().zip(by_age).map(|(position, by_age)| Place { position, by_age }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entrant(id: &str, severity: Severity, score: Option<u32>, since: i64) -> Entrant {
        Entrant { id: id.into(), suspected: false, severity, score: score.map(Points), since: UtcMicros(since) }
    }

    #[test]
    fn a_score_raises_and_lowers_among_equals_alone() {
        let all = [
            entrant("old", Severity::Major, Some(300), 1),
            entrant("none", Severity::Major, None, 2),
            entrant("high", Severity::Major, Some(8_200), 3),
            entrant("worse", Severity::Critical, None, 9),
            entrant("mild", Severity::Minor, Some(10_000), 0),
            Entrant { suspected: true, ..entrant("maybe", Severity::Critical, Some(10_000), 0) },
        ];
        let found: Vec<(usize, usize)> = places(&all).iter().map(|place| (place.position, place.by_age)).collect();
        assert_eq!(found, [(3, 2), (4, 3), (2, 4), (1, 1), (5, 5), (6, 6)]);
        assert!(places(&[]).is_empty());
    }

    fn any_entrant() -> impl Strategy<Value = Entrant> {
        let severity = prop::sample::select(Severity::ALL.to_vec());
        let score = prop::option::of(0..10_001_u32);
        (any::<bool>(), severity, score, 0..5_i64, 0..1_000_u32).prop_map(|(suspected, severity, score, since, id)| {
            Entrant { suspected, ..entrant(&id.to_string(), severity, score, since) }
        })
    }

    proptest! {
        #[test]
        fn every_place_is_taken_once_and_no_score_outweighs_a_severity(all in prop::collection::vec(any_entrant(), 0..40)) {
            let places = places(&all);
            for of in [|place: &Place| place.position, |place: &Place| place.by_age] {
                let mut taken: Vec<usize> = places.iter().map(of).collect();
                taken.sort_unstable();
                prop_assert_eq!(taken, (1..=all.len()).collect::<Vec<_>>());
            }
            for (a, first) in all.iter().zip(&places) {
                for (b, second) in all.iter().zip(&places) {
                    if (a.suspected, Reverse(a.severity)) < (b.suspected, Reverse(b.severity)) {
                        prop_assert!(first.position < second.position && first.by_age < second.by_age);
                    } else if a.suspected == b.suspected && a.severity == b.severity && a.score > b.score {
                        prop_assert!(first.position < second.position);
                    }
                }
            }
        }
    }
}
