//! What was known in time: for each check and agent whose records came late, the stretch that those speak of, and what was known of it before.
//!
//! The book takes a late record in like any other, and every figure is right at once. What pages may not rest on it. A promise is judged over days, so it is
//! not enough to know up to which slot records came late ([`super::Present::late_upto`]): what came in time before and after counts.
//!
//! Kept for [`KEPT_US`]. A start takes them from the episodes of late data under way, and from the amendments of those that ended: of them it is known of
//! which stretch they speak, not what was known of it before, so the agent says nothing of all of it. What changed no figure left no amendment; then it
//! makes no difference here either.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};

use sitepulse_model::amendment::Touched;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::series::Series;
use sitepulse_model::slo::status::LOOK_BACK_US;
use sitepulse_model::time::UtcMicros;

/// For how long it matters that records came late, in microseconds: as far as promises look back for paging, and a day for what holds from before.
pub(crate) const KEPT_US: i64 = LOOK_BACK_US + super::DAY_US;

/// By agent: of what its late records speak, and what was known of that stretch before.
pub(crate) type Known = BTreeMap<AgentNo, (Touched, Series)>;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct InTime(HashMap<CheckNo, Known>);

impl InTime {
    /// Late records of a pair that speak of `touched`: `held` is what was known of that stretch before, `series` what is known of all time without them.
    pub(crate) fn add(
        &mut self,
        (check, agent): (CheckNo, AgentNo),
        touched: Touched,
        held: Series,
        series: Option<&Series>,
        now: UtcMicros,
    ) {
        let part = |from: &Series, first: UtcMicros, last: UtcMicros| {
            if first <= last { from.between(first, last) } else { Series::new() }
        };
        let (known, kept) = match self.0.entry(check).or_default().entry(agent) {
            Slot::Vacant(vacant) => {
                let (known, kept) = vacant.insert((touched, held));
                (known, kept)
            }
            Slot::Occupied(occupied) => {
                let (known, kept) = occupied.into_mut();
                // What was late before stays so; what lies between came in time.
                kept.absorb(&part(&held, touched.first, touched.last.min(known.first.plus_us(-1))));
                kept.absorb(&part(&held, touched.first.max(known.last.plus_us(1)), touched.last));
                if let Some(series) = series {
                    kept.absorb(&part(series, known.last.plus_us(1), touched.first.plus_us(-1)));
                    kept.absorb(&part(series, touched.last.plus_us(1), known.first.plus_us(-1)));
                }
                *known = known.and(touched);
                (known, kept)
            }
        };
        let oldest = now.plus_us(-KEPT_US);
        if known.first < oldest && oldest <= known.last {
            known.first = oldest;
            *kept = kept.between(oldest, UtcMicros::MAX);
        }
    }

    /// What was known in time of a check, by the agents whose records came late.
    pub(crate) fn of(&self, check: CheckNo) -> Option<&Known> {
        self.0.get(&check)
    }

    /// Forgets what nobody looks back to any more.
    pub(crate) fn forget_old(&mut self, now: UtcMicros) {
        let oldest = now.plus_us(-KEPT_US);
        self.0.retain(|_, by_agent| {
            by_agent.retain(|_, (touched, _)| touched.last >= oldest);
            !by_agent.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use sitepulse_model::id::Revision;
    use sitepulse_model::record::ProbeState;

    use super::*;

    const PAIR: (CheckNo, AgentNo) = (CheckNo(1), AgentNo(1));

    fn touched(first: i64, last: i64) -> Touched {
        Touched { first: UtcMicros(first), last: UtcMicros(last), end: UtcMicros(last + 2) }
    }

    fn series(slots: &[i64]) -> Series {
        let mut series = Series::new();
        for slot in slots {
            series.insert_result(Revision(1), UtcMicros(*slot), ProbeState::Up);
        }
        series
    }

    fn slots(in_time: &InTime) -> (i64, i64, Vec<i64>) {
        let (touched, held) = &in_time.of(PAIR.0).unwrap()[&PAIR.1];
        (touched.first.0, touched.last.0, held.slots().map(|(slot, _)| slot.0).collect())
    }

    #[test]
    fn what_came_in_time_between_two_stretches_stays_known_and_what_was_late_once_does_not_become_so() {
        let mut in_time = InTime::default();
        let now = UtcMicros(1_000);
        // 10..=14 came late: nothing was known of it.
        in_time.add(PAIR, touched(10, 14), Series::new(), Some(&series(&[1, 2])), now);
        assert_eq!(slots(&in_time), (10, 14, vec![]));
        // 15..=19 came in time, then 20 was late; by then the late ones are in the book.
        let book = series(&[1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
        in_time.add(PAIR, touched(20, 20), Series::new(), Some(&book), now);
        assert_eq!(slots(&in_time), (10, 20, vec![15, 16, 17, 18, 19]));
        // Older ones, of which some were known, over what is late already.
        let book = series(&[1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
        in_time.add(PAIR, touched(2, 12), book.between(UtcMicros(2), UtcMicros(12)), Some(&book), now);
        assert_eq!(slots(&in_time), (2, 20, vec![2, 15, 16, 17, 18, 19]));
    }

    #[test]
    fn what_nobody_looks_back_to_is_forgotten() {
        let mut in_time = InTime::default();
        let day = crate::alert::signals::DAY_US;
        let now = UtcMicros(10 * day);
        in_time.add(PAIR, touched(0, 9 * day), series(&[day, 8 * day]), None, now);
        assert_eq!(slots(&in_time), (6 * day, 9 * day, vec![8 * day]));
        in_time.forget_old(now);
        assert!(in_time.of(PAIR.0).is_some());
        in_time.forget_old(now.plus_us(4 * day));
        assert!(in_time.of(PAIR.0).is_none());
    }
}
