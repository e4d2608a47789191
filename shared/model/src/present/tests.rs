use super::*;
use crate::id::Revision;
use crate::vote::Policy;

const LIFE: Span = Span::new(UtcMicros(0), UtcMicros(10_000));
/// Runs are 10 apart, hold for 25.
const POLICY: Policy = Policy {
    interval_us: 10,
    timeout_us: 5,
    weight: Weight::ONE,
    quorum: Quorum::Majority,
    confirmations: 2,
    recoveries: 1,
};

/// One character a slot, from `offset` on: U D d(egraded) ?(unknown) .(silence).
fn series(offset: i64, slots: &str) -> Series {
    let mut series = Series::new();
    for (index, slot) in slots.chars().enumerate() {
        let state = match slot {
            'U' => ProbeState::Up,
            'D' => ProbeState::Down,
            'd' => ProbeState::Degraded,
            '?' => ProbeState::Unknown,
            _ => continue,
        };
        series.insert_result(Revision(1), UtcMicros(offset + 10 * index as i64), state);
    }
    series
}

/// What agents say at an instant; each one's first slot is one after the one's before.
fn at(policy: Policy, all: &[&str], late_upto: Option<i64>, now: i64) -> Present {
    let all: Vec<Series> = (0..).zip(all).map(|(offset, slots)| series(offset, slots)).collect();
    let witnesses = (0..).zip(&all).map(|(agent, series)| Witness {
        agent: AgentNo(agent),
        weight: Weight::ONE,
        series,
        late_upto: late_upto.map(UtcMicros),
    });
    let revisions = [(LIFE.from, Revision(1), policy)];
    Present::at(&CheckView { revisions: &revisions, life: LIFE }, witnesses, UtcMicros(now))
}

/// The kinds that are bad at an instant (`down`), or suspected (`down?`).
fn bad(all: &[&str], now: i64) -> Vec<(String, i64)> {
    let present = at(POLICY, all, None, now);
    let conditions = present.conditions(CheckClass::Standard).into_iter();
    conditions
        .filter_map(|(kind, condition)| match condition {
            Condition::Bad { since, .. } => Some((kind.to_string(), since.0)),
            Condition::Suspect { since, .. } => Some((alloc::format!("{kind}?"), since.0)),
            Condition::Good | Condition::Unknown => None,
        })
        .collect()
}

fn is(kind: &str, since: i64) -> Vec<(String, i64)> {
    alloc::vec![(kind.to_string(), since)]
}

use alloc::string::{String, ToString as _};

#[test]
fn an_outage_is_suspected_then_confirmed_since_the_result_that_met_the_quorum() {
    assert_eq!(bad(&["UUD", "UUU", "UUU"], 22), is("regional?", 20));
    assert_eq!(bad(&["UUD", "UUD", "UUU"], 22), is("down?", 21));
    assert_eq!(bad(&["UUDD", "UUD", "UUU"], 30), [is("down?", 21), is("regional?", 20)].concat());
    assert_eq!(bad(&["UUDD", "UUDD", "UUU"], 31), is("down", 21));
    assert_eq!(bad(&["UUDDD", "UUDDD", "UUDDD"], 42), is("down", 21));
    assert_eq!(bad(&["UUdd", "UUdd", "UUU"], 31), is("degraded", 21));
    assert_eq!(bad(&["UUdD", "UUdD", "UUU"], 31), [is("down?", 31), is("degraded?", 21)].concat());
}

#[test]
fn a_region_is_down_alone_once_all_others_were_heard() {
    assert_eq!(bad(&["UUDD", "UU", "UU"], 30), is("regional?", 20), "the others may be about to say the same");
    assert_eq!(bad(&["UUDD", "UUU", "UU"], 30), is("regional?", 20));
    assert_eq!(bad(&["UUDD", "UUU", "UUU"], 30), is("regional", 20));
    assert_eq!(bad(&["UUDDD", "UU", "UUU"], 40), is("regional", 20), "who is not heard is not waited for for ever");
}

#[test]
fn an_end_that_agents_find_out_one_after_the_other_is_no_regional_outage() {
    assert_eq!(bad(&["UDDDU", "UDDD", "UDDD"], 40), is("down", 12));
    assert_eq!(bad(&["UDDDU", "UDDDU", "UDDD"], 41), is("regional?", 12));
    assert_eq!(bad(&["UDDDU", "UDDDU", "UDDDU"], 42), []);
    assert_eq!(bad(&["UDDDU", "UDDDU", "UDDDD"], 42), is("regional", 12));
}

#[test]
fn who_cannot_tell_has_no_say() {
    assert_eq!(at(POLICY, &[], None, 5).confirmed.verdict, Verdict::Unknown);
    assert_eq!(at(POLICY, &["DD"], None, 35).confirmed.verdict, Verdict::Unknown, "its hold is over");
    assert_eq!(at(POLICY, &["DD"], None, 34).confirmed, Said { verdict: Verdict::Down, since: UtcMicros(0) });
    assert_eq!(at(POLICY, &["DD?"], None, 20).confirmed.verdict, Verdict::Unknown);
    let unknown = at(POLICY, &["DD?"], None, 20).conditions(CheckClass::Standard);
    assert!(unknown.iter().all(|(_, condition)| *condition == Condition::Unknown));
}

#[test]
fn something_changes_next_when_the_first_hold_is_over() {
    assert_eq!(at(POLICY, &["UUU", "UU"], None, 22).next, Some(UtcMicros(36)));
    assert_eq!(at(POLICY, &["UUU", "UU"], None, 36).next, Some(UtcMicros(45)));
    assert_eq!(at(POLICY, &["UUU", "UU"], None, 45).next, None);
    assert_eq!(at(POLICY, &["UUU", "UU"], None, 5).next, Some(UtcMicros(10)), "a slot ahead");
}

#[test]
fn what_came_late_says_nothing_and_confirms_nothing_that_the_newest_result_denies() {
    let verdict = |policy, slots: &str, upto, now| at(policy, &[slots], Some(upto), now).confirmed.verdict;
    assert_eq!(verdict(POLICY, "DDDD", 30, 32), Verdict::Unknown);
    assert_eq!(verdict(POLICY, "DDDD", 29, 32), Verdict::Down, "the fresh one may page");
    let slow = Policy { recoveries: 3, ..POLICY };
    assert_eq!(verdict(slow, "DDDU", 20, 32), Verdict::Up, "all that is bad came late");
    assert_eq!(verdict(slow, "DDDU", 19, 32), Verdict::Down, "the last bad one was in time");
    assert_eq!(verdict(slow, "DDDUDU", 20, 52), Verdict::Down, "it is not up yet, as one in time says");
}
