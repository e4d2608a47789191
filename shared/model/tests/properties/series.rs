//! `Series` against a plain map from slots to observations.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sitepulse_model::id::Revision;
use sitepulse_model::record::{MissedCause, ProbeState};
use sitepulse_model::series::{Obs, Seen, Series};
use sitepulse_model::time::{Span, UtcMicros};

use crate::cases;

/// One insertion: what, revision, first slot, step, count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Put {
    pub(crate) seen: Seen,
    pub(crate) revision: u32,
    pub(crate) first: i64,
    pub(crate) step: u64,
    pub(crate) count: u64,
}

impl Put {
    fn slots(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |k| self.first + (k * self.step) as i64)
    }

    pub(crate) fn into_series(self, series: &mut Series) -> bool {
        match self.seen {
            Seen::State(state) => {
                let insert = |slot| series.insert_result(Revision(self.revision), UtcMicros(slot), state);
                self.slots().map(insert).filter(|changed| *changed).count() > 0
            }
            Seen::Missed(cause) => {
                let last = self.slots().last().unwrap();
                series
                    .insert_missed(Revision(self.revision), UtcMicros(self.first), UtcMicros(last), self.step, cause)
                    .unwrap()
            }
        }
    }

    pub(crate) fn into_map(self, map: &mut BTreeMap<i64, Obs>) -> bool {
        let new = Obs { seen: self.seen, revision: Revision(self.revision) };
        let mut changed = false;
        for slot in self.slots() {
            match map.get(&slot) {
                Some(old) if rank(old) >= rank(&new) => {}
                _ => {
                    map.insert(slot, new);
                    changed = true;
                }
            }
        }
        changed
    }
}

/// The order of precedence, written as a list.
fn rank(obs: &Obs) -> (usize, u32) {
    let order = [
        Seen::Missed(MissedCause::AgentStopped),
        Seen::Missed(MissedCause::ClockStep),
        Seen::Missed(MissedCause::Maintenance),
        Seen::Missed(MissedCause::Suspended),
        Seen::Missed(MissedCause::Overloaded),
        Seen::State(ProbeState::Unknown),
        Seen::State(ProbeState::Up),
        Seen::State(ProbeState::Degraded),
        Seen::State(ProbeState::Down),
    ];
    (order.iter().position(|seen| *seen == obs.seen).unwrap(), obs.revision.0)
}

pub(crate) fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        6 => Just(Seen::State(ProbeState::Up)),
        4 => Just(Seen::State(ProbeState::Down)),
        2 => Just(Seen::State(ProbeState::Degraded)),
        1 => Just(Seen::State(ProbeState::Unknown)),
        3 => proptest::sample::select(MissedCause::ALL).prop_map(Seen::Missed),
    ]
}

fn put() -> impl Strategy<Value = Put> {
    (seen(), 1..3_u32, 0..120_i64, 1..12_u64, prop_oneof![2 => Just(1_u64), 3 => 1..20_u64])
        .prop_map(|(seen, revision, first, step, count)| Put { seen, revision, first, step, count })
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn says_what_a_map_says(puts in vec(put(), 0..25)) {
        let (mut series, mut map) = (Series::new(), BTreeMap::new());
        for put in &puts {
            let changed = put.into_map(&mut map);
            prop_assert_eq!(put.into_series(&mut series), changed, "{:?}", put);
            let mut end = None;
            for run in series.runs() {
                prop_assert!(end.is_none_or(|end| run.first > end), "runs overlap: {:?}", series);
                prop_assert_eq!(run.count == 1, run.step_us == 0);
                end = Some(run.last());
            }
        }
        let slots: Vec<(i64, Obs)> = series.slots().map(|(slot, obs)| (slot.0, obs)).collect();
        prop_assert_eq!(slots, map.iter().map(|(slot, obs)| (*slot, *obs)).collect::<Vec<_>>());
        prop_assert_eq!(series.slot_count(), map.len() as u64);
        prop_assert_eq!(series.last().map(|(slot, obs)| (slot.0, obs)), map.last_key_value().map(|(k, v)| (*k, *v)));
        for slot in -1..350 {
            prop_assert_eq!(series.at(UtcMicros(slot)), map.get(&slot).copied());
        }
    }

    #[test]
    fn order_and_duplicates_never_show(
        (puts, shuffled) in vec(put(), 1..20).prop_flat_map(|puts| {
            let twice: Vec<Put> = puts.iter().chain(&puts).copied().collect();
            (Just(puts), Just(twice).prop_shuffle())
        }),
    ) {
        let (mut one, mut other) = (Series::new(), Series::new());
        for put in &puts {
            put.into_series(&mut one);
        }
        for put in &shuffled {
            put.into_series(&mut other);
        }
        prop_assert_eq!(one, other);
    }

    #[test]
    fn runs_in_a_span_are_those_that_may_speak_there(puts in vec(put(), 0..15), from in -10..300_i64, length in 1..60_i64) {
        let mut series = Series::new();
        for put in &puts {
            put.into_series(&mut series);
        }
        let span = Span::new(UtcMicros(from), UtcMicros(from + length));
        let got: Vec<_> = series.runs_in(span).copied().collect();
        let before = series.runs().rfind(|run| run.first <= span.from).copied();
        let inside = series.runs().filter(|run| run.first > span.from && run.first < span.to).copied();
        prop_assert_eq!(got, before.into_iter().chain(inside).collect::<Vec<_>>());
    }
}
