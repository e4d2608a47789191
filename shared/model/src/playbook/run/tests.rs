use alloc::format;
use alloc::string::ToString as _;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::playbook::tests::step;

const MINUTE: i64 = 60_000_000;

fn head() -> Head {
    let steps = ["look", "mend", "see"].map(step);
    let [look, mend, see] = steps;
    let look = Step { done_when: None, ..look };
    let mend = Step { done_when: Some("certificate renewed".into()), ..mend };
    Head {
        id: "p-1".into(),
        playbook: "shop-down".into(),
        version: "2".into(),
        title: "The shop is down".into(),
        title_fr: None,
        occasion: Occasion::Incident { id: "i".into(), kind: "down".into() },
        started_at: 0,
        started_by: "collector:ana".into(),
        steps: vec![look, mend, see],
        names: Names::default(),
        began: Facts { certificate_expires: Some(5), ..Facts::default() },
    }
}

fn at(minutes: i64, entry: Entry) -> Told {
    Told { at: UtcMicros(minutes * MINUTE), by: "collector:ana".into(), entry }
}

fn done(step: &str) -> Entry {
    Entry::Done { step: step.into(), seen: None }
}

fn skipped(step: &str) -> Entry {
    Entry::Skipped { step: step.into(), reason: "not ours".into() }
}

#[test]
fn a_run_is_carried_through() {
    let mut run = Run::new(head());
    assert_eq!(run.took_us(UtcMicros(9 * MINUTE)), 9 * MINUTE);
    run.apply(at(2, done("look"))).unwrap();
    let refused = run.apply(at(3, Entry::Finished)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "open steps are left: mend, see; tick them, skip them with a reason, or abandon the run"
    );
    run.apply(at(4, skipped("mend"))).unwrap();
    // The certificate, whose step is skipped, ticks nothing; that it is up does.
    let facts = Facts { certificate_expires: Some(9), up_since: Some(0), ..Facts::default() };
    assert_eq!(run.due(&facts, UtcMicros(4 * MINUTE)), vec![]);
    let due = run.due(&facts, UtcMicros(5 * MINUTE));
    assert_eq!(due, [Entry::Done { step: "see".into(), seen: Some(Seen::Up { since: 0 }) }]);
    run.apply(Told { by: ITSELF.into(), ..at(5, due[0].clone()) }).unwrap();
    run.apply(at(500, Entry::Finished)).unwrap();
    assert_eq!(
        (run.state, run.took_us(UtcMicros(i64::MAX)), run.estimate_minutes()),
        (State::Finished, 5 * MINUTE, 10)
    );
    assert_eq!(run.counts(), Counts { steps: 3, done: 2, by_itself: 1, skipped: 1 });
    assert_eq!(run.apply(at(501, done("look"))), Err(Refusal::Ended(State::Finished)));
    assert_eq!(run.due(&facts, UtcMicros(600 * MINUTE)), vec![]);
    assert_eq!(Run::replay(run.head.clone(), run.entries.clone()), run);
}

#[test]
fn what_somebody_took_back_is_not_ticked_by_itself_again() {
    let mut run = Run::new(head());
    let facts = Facts { certificate_expires: Some(9), ..Facts::default() };
    let due = run.due(&facts, UtcMicros(MINUTE));
    assert_eq!(due.len(), 1);
    run.apply(at(1, due[0].clone())).unwrap();
    assert_eq!(run.apply(at(1, skipped("mend"))), Err(Refusal::Marked("mend".into())));
    run.apply(at(2, Entry::Undone { step: "mend".into() })).unwrap();
    assert_eq!(run.due(&facts, UtcMicros(3 * MINUTE)), vec![]);
    assert_eq!(run.apply(at(3, Entry::Undone { step: "mend".into() })), Err(Refusal::NotMarked("mend".into())));
    run.apply(at(4, done("mend"))).unwrap();
}

#[test]
fn a_run_that_nobody_works_on_is_abandoned_by_itself() {
    let mut run = Run::new(head());
    run.apply(at(0, Entry::Noted { text: "waiting for the provider\nsince noon".into() })).unwrap();
    assert_eq!(run.due(&Facts::default(), UtcMicros(IDLE_US - 1)), vec![]);
    let due = run.due(&Facts::default(), UtcMicros(IDLE_US));
    assert!(matches!(&due[..], [Entry::Abandoned { .. }]), "{due:?}");
    run.apply(Told { at: UtcMicros(IDLE_US), by: ITSELF.into(), entry: due[0].clone() }).unwrap();
    assert_eq!(run.state, State::Abandoned);
}

/// The defect: it was counted as abandoned, and so was its playbook, though everything was done.
#[test]
fn a_run_with_nothing_left_to_do_is_finished_by_itself() {
    let mut run = Run::new(head());
    for entry in [done("look"), skipped("mend"), done("see")] {
        run.apply(at(1, entry)).unwrap();
    }
    let idle = UtcMicros(MINUTE + IDLE_US);
    assert_eq!(run.due(&Facts::default(), UtcMicros(idle.0 - 1)), vec![]);
    assert_eq!(run.due(&Facts::default(), idle), [Entry::Finished]);
    run.apply(Told { at: idle, by: ITSELF.into(), entry: Entry::Finished }).unwrap();
    assert_eq!((run.state, run.took_us(idle)), (State::Finished, MINUTE));
}

#[test]
fn texts_are_bounded_and_steps_known() {
    let run = Run::new(head());
    for (bad, refusal) in [
        (Entry::Noted { text: " ".into() }, Refusal::Note),
        (Entry::Noted { text: "x".repeat(NOTE_CHARS_MAX + 1) }, Refusal::Note),
        (Entry::Skipped { step: "look".into(), reason: String::new() }, Refusal::WhySkipped),
        (Entry::Skipped { step: "look".into(), reason: "two\nlines".into() }, Refusal::WhySkipped),
        (Entry::Abandoned { reason: "x".repeat(REASON_CHARS_MAX + 1) }, Refusal::WhyAbandoned),
    ] {
        assert_eq!(run.allows(&bad), Err(refusal), "{bad:?}");
    }
    // The defect: what a form lets pass was refused, for it counts characters and this counted bytes.
    for good in [
        Entry::Noted { text: "é".repeat(NOTE_CHARS_MAX) },
        Entry::Skipped { step: "look".into(), reason: "é".repeat(REASON_CHARS_MAX) },
        Entry::Abandoned { reason: "é".repeat(REASON_CHARS_MAX) },
    ] {
        assert_eq!(run.allows(&good), Ok(()), "{good:?}");
    }
    let told = run.allows(&done("dance")).unwrap_err().to_string();
    assert_eq!(told, "it has no step \"dance\": its steps are look, mend, see");
}

#[test]
fn a_full_run_can_still_be_ended() {
    let mut run = Run::new(head());
    for n in 0..ENTRIES_MAX {
        let entry = Entry::Noted { text: format!("note {n}") };
        match run.apply(at(0, entry)) {
            Ok(()) => {}
            Err(refused) => assert_eq!((n, refused), (ENTRIES_MAX - 1, Refusal::Full)),
        }
    }
    run.apply(at(1, Entry::Abandoned { reason: "too long".into() })).unwrap();
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let step = prop_oneof![Just("look"), Just("mend"), Just("see"), Just("dance")];
    (0..6_u8, step).prop_map(|(kind, step)| match kind {
        0 => done(step),
        1 => skipped(step),
        2 => Entry::Undone { step: step.into() },
        3 => Entry::Noted { text: "note".into() },
        4 => Entry::Finished,
        _ => Entry::Abandoned { reason: "enough".into() },
    })
}

proptest! {
    /// Whatever people do: a refused entry changes nothing, marks add up, what has ended stays as it is, a finished run has no open step, and the stored parts
    /// give the same run.
    #[test]
    fn any_row_of_acts_keeps_the_rules(entries in proptest::collection::vec((any_entry(), 0..40_i64), 0..40)) {
        let mut run = Run::new(head());
        let mut now = 0;
        for (entry, later) in entries {
            now += later;
            let before = run.clone();
            let allowed = run.allows(&entry);
            let applied = run.apply(at(now, entry.clone()));
            prop_assert_eq!(&allowed, &applied);
            if applied.is_err() {
                prop_assert_eq!(&before, &run);
            } else {
                prop_assert_eq!(before.state, State::Running);
                prop_assert_eq!(run.entries.len(), before.entries.len() + 1);
            }
            let counts = run.counts();
            prop_assert_eq!(counts.done + counts.skipped + run.open().count(), counts.steps);
            prop_assert_eq!(run.state == State::Running, run.ended_at().is_none());
            if run.state == State::Finished {
                prop_assert_eq!(run.open().count(), 0);
            }
            let end = UtcMicros(now * MINUTE);
            prop_assert!((0..=now * MINUTE).contains(&run.took_us(end)));
            // What is due can be made.
            let facts = Facts { certificate_expires: Some(9), up_since: Some(0), ..Facts::default() };
            let mut ahead = run.clone();
            for entry in run.due(&facts, end) {
                prop_assert_eq!(ahead.apply(Told { at: end, by: ITSELF.into(), entry }), Ok(()));
            }
        }
        prop_assert_eq!(Run::replay(run.head.clone(), run.entries.clone()), run);
    }
}
