use proptest::prelude::*;
use sitepulse_model::record::{Facts, Missed, MissedCause, Phases, ProbeResult, ProbeState};
use sitepulse_model::time::SECOND_US;

use super::*;

const CHECK: CheckNo = CheckNo(1);
const STEP: i64 = 60;
const HOLD_US: i64 = 130 * SECOND_US;

fn at(second: i64) -> UtcMicros {
    UtcMicros(second * SECOND_US)
}

fn result(slot: i64) -> Record {
    Record::Result(ProbeResult {
        check: CHECK,
        revision: Revision(1),
        scheduled: at(slot),
        started: at(slot),
        phases: Phases::default(),
        state: ProbeState::Up,
        cause: None,
        failed_phase: None,
        detail: String::new(),
        address: None,
        facts: Facts::default(),
    })
}

fn missed(from: i64, to: i64) -> Record {
    let count = ((to - from) / STEP + 1).unsigned_abs();
    let (first, last, cause) = (at(from), at(to), MissedCause::AgentStopped);
    Record::Missed(Missed { check: CHECK, revision: Revision(1), first, last, count, cause })
}

/// A desk with the series beside it, and what a store would keep: records in their order, and rows.
#[derive(Default)]
struct World {
    desk: Desk,
    series: BTreeMap<AgentNo, Series>,
    arrived: Vec<(Arrival, AgentNo, Record)>,
    rows: BTreeMap<PairKey, LateRow>,
}

fn insert(series: &mut BTreeMap<AgentNo, Series>, agent: AgentNo, record: &Record) {
    let series = series.entry(agent).or_default();
    match record {
        Record::Result(result) => {
            series.insert_result(result.revision, result.scheduled, result.state);
        }
        Record::Missed(missed) => {
            let step = (STEP * SECOND_US).unsigned_abs();
            series.insert_missed(missed.revision, missed.first, missed.last, step, missed.cause).unwrap();
        }
        Record::Dropped(_) => {}
    }
}

impl World {
    /// One transaction.
    fn take(&mut self, received: i64, records: &[(u32, Record)]) {
        let before = Arrival(self.arrived.len() as i64);
        let old: Vec<Old> = records
            .iter()
            .filter_map(|(agent, record)| Old::of(Bucket(7), AgentNo(*agent), record, at(received)))
            .collect();
        let late = self.desk.sort(&old, |_, _| (HOLD_US, HOLD_US));
        for (write, row) in late.rows(before) {
            match write {
                Write::Open => assert_eq!(self.rows.insert(row.key, row), None, "a row is opened once"),
                Write::Extend => self.rows.get_mut(&row.key).expect("it was opened").upto = row.upto,
            }
        }
        self.desk.take(&late, |(_, agent)| self.series.get(&agent));
        for (agent, record) in records {
            insert(&mut self.series, AgentNo(*agent), record);
            self.arrived.push((Arrival(self.arrived.len() as i64 + 1), AgentNo(*agent), record.clone()));
        }
    }

    /// What is left after a kill.
    fn again(&self, now: i64) -> Self {
        let (mut desk, replay) = Desk::restore(self.rows.values().copied().collect(), at(now));
        let mut series = BTreeMap::new();
        for (arrival, agent, record) in &self.arrived {
            desk.replay(&replay, *arrival, *agent, record, |(_, agent), _| (series.get(&agent), HOLD_US));
            insert(&mut series, *agent, record);
        }
        Self { desk, series, arrived: self.arrived.clone(), rows: self.rows.clone() }
    }

    /// What came late from an agent: how many, first and last slot, and the slots known before.
    fn late(&self, agent: u32) -> Option<(u64, i64, i64, Vec<i64>)> {
        let pair = self.desk.pairs(CHECK)?.get(&AgentNo(agent))?;
        let (touched, held) = pair.stretch.as_ref()?;
        let second = |at: UtcMicros| at.0 / SECOND_US;
        let held = held.slots().map(|(slot, _)| second(slot)).collect();
        Some((pair.records, second(touched.first), second(touched.last), held))
    }
}

#[test]
fn what_comes_in_within_its_hold_is_in_time() {
    let mut world = World::default();
    world.take(1000 + 130, &[(1, result(1000))]);
    assert_eq!((world.late(1), world.rows.len(), world.desk.next_due()), (None, 0, None));
    world.take(1060 + 131, &[(1, result(1060))]);
    assert_eq!(world.late(1), Some((1, 1060, 1060, vec![])));
    assert_eq!(world.desk.next_due(), Some(at(1191 + 30)));
}

#[test]
fn an_older_record_than_the_episode_began_with_widens_it() {
    let mut world = World::default();
    world.take(700, &[(1, result(600)), (2, result(600))]);
    world.take(1000, &[(1, result(960))]);
    // Newest first; between them one that was known.
    world.take(5000, &[(1, result(1200))]);
    assert_eq!(world.late(1), Some((1, 1200, 1200, vec![])));
    world.take(5001, &[(1, result(780)), (1, result(4980))]);
    assert_eq!(world.late(1), Some((2, 780, 1200, vec![960])));
    // The same slot again, and another agent.
    world.take(5002, &[(1, result(780)), (2, missed(540, 900))]);
    assert_eq!(world.late(1), Some((3, 780, 1200, vec![960])));
    assert_eq!(world.late(2), Some((1, 540, 900, vec![600])));
    assert_eq!(world.desk.due(at(5031), false), []);
    assert_eq!(world.desk.due(at(5032), false), [CHECK]);
    let again = world.again(6000);
    for agent in [1, 2] {
        assert_eq!(again.late(agent), world.late(agent));
    }
    assert_eq!(again.desk.next_due(), Some(at(6030)), "its quiet begins anew");
}

#[test]
fn an_episode_that_soon_follows_another_is_patient() {
    let mut world = World::default();
    world.take(5000, &[(1, result(1200))]);
    world.desk.end(CHECK, at(5030));
    world.rows.clear();
    assert_eq!(world.desk.next_due(), None);
    world.take(5100, &[(1, result(1260))]);
    assert_eq!(world.desk.next_due(), Some(at(5100 + 300)));
    world.desk.end(CHECK, at(5400));
    world.rows.clear();
    world.take(5700, &[(1, result(1320))]);
    assert_eq!(world.desk.next_due(), Some(at(5730)), "much later than the last");
}

#[test]
fn a_clock_that_leaps_back_ends_an_episode() {
    let mut world = World::default();
    world.take(5000, &[(1, result(1200))]);
    let due = world.desk.next_due().unwrap();
    assert!(!ended(due, at(4900)) && ended(due, at(1000)));
    assert_eq!(world.desk.due(at(1000), false), [CHECK]);
}

#[test]
fn a_store_that_failed_is_left_alone_for_a_while() {
    let mut world = World::default();
    world.take(5000, &[(1, result(1200))]);
    world.desk.hold_off(at(5030));
    assert_eq!((world.desk.due(at(5031), false), world.desk.next_due()), (vec![], Some(at(5033))));
    assert_eq!(world.desk.due(at(5031), true), [CHECK], "the end of the program waits for nothing");
    assert_eq!(world.desk.due(at(5033), false), [CHECK]);
}

/// A backlog of some agents in any order and grouping, with fresh results between: which agent, which slot, how many of the oldest are sent.
fn script() -> impl Strategy<Value = Vec<Vec<(u32, i64)>>> {
    let slots: Vec<(u32, i64)> = (1..=2).flat_map(|agent| (20..40).map(move |slot| (agent, slot * STEP))).collect();
    (Just(slots).prop_shuffle(), prop::collection::vec(1..8_usize, 12)).prop_map(|(slots, sizes)| {
        let mut rest = &slots[..];
        let mut groups = Vec::new();
        for size in sizes {
            let (group, others) = rest.split_at(size.min(rest.len()));
            groups.push(group.to_vec());
            rest = others;
        }
        groups
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the order and grouping, and wherever it is killed, the desk knows what was late, and what was known of that time before.
    #[test]
    fn the_notes_are_the_plain_ones_and_outlive_a_kill(groups in script(), known in prop::collection::btree_set((1..=2_u32, 15..45_i64), 0..20)) {
        let now = 100 * STEP;
        let mut world = World::default();
        let known: Vec<(u32, i64)> = known.into_iter().map(|(agent, slot)| (agent, slot * STEP)).collect();
        for (agent, slot) in &known {
            world.take(slot + 1, &[(*agent, result(*slot))]);
        }
        prop_assert_eq!(world.rows.len(), 0);
        let mut late: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        for (number, group) in groups.iter().enumerate() {
            let received = now + number as i64;
            let mut records: Vec<(u32, Record)> = group.iter().map(|(agent, slot)| (*agent, result(*slot))).collect();
            // One in time with each.
            records.push((1, result(now - STEP + number as i64)));
            world.take(received, &records);
            for (agent, slot) in group {
                late.entry(*agent).or_default().push(*slot);
            }
            if number % 3 == 1 {
                world = world.again(received);
            }
            for (agent, slots) in &late {
                let (first, last) = (*slots.iter().min().unwrap(), *slots.iter().max().unwrap());
                let held = known.iter().filter(|(of, slot)| of == agent && (first..=last).contains(slot));
                let expected = (slots.len() as u64, first, last, held.map(|(_, slot)| *slot).collect());
                prop_assert_eq!(world.late(*agent), Some(expected));
            }
        }
    }
}
