//! Which of an agent's browsers a load goes to: pages slowed down by rest ([`crate::throttle`]) share a browser with pages of the same rate alone, since all that is in it rests.
//!
//! Loads mostly follow each other, and one browser serves all of them. Where they overlap and differ, which takes more than two processors, there is a second one:
//! nobody waits for anybody. At most one of the two has pages that rest, so that there is always one for pages of any other rate, which the browser then slows down
//! itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sitepulse_model::vitals::profile::Milli;

/// Browsers that an agent may need at once, replacements aside.
pub(super) const LANES: usize = 2;

/// How many loads go on in each, and how slow their pages are.
#[derive(Debug, Default)]
pub(super) struct Lanes(Arc<Mutex<[Lane; LANES]>>);

#[derive(Debug)]
struct Lane {
    /// Of the loads that go on.
    rate: Milli,
    loads: u32,
}

impl Default for Lane {
    fn default() -> Self {
        Self { rate: Milli::ONE, loads: 0 }
    }
}

/// A load's place in a lane.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) lane: usize,
    /// How much slower the pages of this lane are made by rest, if they are.
    pub(super) rate: Milli,
    lanes: Arc<Mutex<[Lane; LANES]>>,
}

impl Lanes {
    /// A place for a load whose page is to be slowed down by `rate`, by rest if that can be.
    pub(super) fn take(&self, rate: Milli) -> Place {
        let mut lanes = all(&self.0);
        let other_rests = lanes.iter().any(|lane| lane.loads > 0 && lane.rate != Milli::ONE && lane.rate != rate);
        let rate = if other_rests { Milli::ONE } else { rate };
        let same = lanes.iter().position(|lane| lane.loads > 0 && lane.rate == rate);
        let free = lanes.iter().position(|lane| lane.loads == 0);
        let at = same.or(free).expect("one lane has pages that rest, the other all others");
        lanes[at].rate = rate;
        lanes[at].loads += 1;
        Place { lane: at, rate, lanes: self.0.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        all(&self.lanes)[self.lane].loads -= 1;
    }
}

fn all(lanes: &Mutex<[Lane; LANES]>) -> MutexGuard<'_, [Lane; LANES]> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOUR: Milli = Milli(4_000);
    const SIX: Milli = Milli(6_000);

    #[test]
    fn loads_that_follow_each_other_have_one_browser_and_others_never_share_one_with_pages_that_rest() {
        let lanes = Lanes::default();
        for rate in [Milli::ONE, FOUR, SIX, Milli::ONE] {
            assert_eq!(lanes.take(rate).lane, 0);
        }
        let slow = lanes.take(FOUR);
        let (fast, slow_too, slower) = (lanes.take(Milli::ONE), lanes.take(FOUR), lanes.take(SIX));
        assert_eq!([slow.lane, fast.lane, slow_too.lane, slower.lane], [0, 1, 0, 1]);
        assert_eq!([slow_too.rate, slower.rate], [FOUR, Milli::ONE], "the browser slows the last one down itself");
        drop((slow, slow_too));
        let slower_too = lanes.take(SIX);
        assert_eq!((slower_too.lane, slower_too.rate), (0, SIX));
        assert_eq!(lanes.take(Milli::ONE).lane, 1);
    }

    proptest! {
        #[test]
        fn there_is_always_a_place_and_all_of_a_lane_have_one_rate(steps in prop::collection::vec((0_u32..4, 0_usize..6), 1..200)) {
            let lanes = Lanes::default();
            let mut places: Vec<Place> = Vec::new();
            for (rate, leaves) in steps {
                places.push(lanes.take(Milli(1_000 + 1_000 * rate)));
                for _ in 0..leaves.min(places.len()) {
                    places.remove(leaves % places.len());
                }
                for lane in 0..LANES {
                    let mut rates: Vec<Milli> = places.iter().filter(|place| place.lane == lane).map(|place| place.rate).collect();
                    rates.dedup();
                    prop_assert!(rates.len() <= 1, "{places:?}");
                }
            }
        }
    }
}
