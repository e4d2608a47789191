//! Amendments against the plain definition: the verdicts of every second without the late records, and with them.

use proptest::collection::vec;
use proptest::prelude::*;
use sitepulse_model::amendment::{self, Amendment, Told, Touched};
use sitepulse_model::control::Weight;
use sitepulse_model::id::Revision;
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::MissedCause;
use sitepulse_model::series::{Run, Seen, Series};
use sitepulse_model::sla::Account;
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};
use sitepulse_model::timeline::UnknownCause;
use sitepulse_model::vote::{self, CheckView, Policy, Verdict, VerdictSpan, Voter};

use crate::cases;
use crate::series::{Put, seen};

/// Everything happens in whole seconds from 0 to here, and a little around.
const END: i64 = 160;

fn at(second: i64) -> UtcMicros {
    UtcMicros(second * SECOND_US)
}

/// A beat of an agent: some records came in time (0), some late (1), some never (2), and of some it was first said that they were missed (3).
fn agent() -> impl Strategy<Value = Vec<(Put, u8)>> {
    let came = prop_oneof![3 => Just(0_u8), 3 => Just(1_u8), 1 => Just(2_u8), 1 => Just(3_u8)];
    (0..6_i64, 3..6_u64, vec((seen(), 1..4_u64, came, any::<bool>()), 0..24)).prop_map(|(start, step, pieces)| {
        let mut first = start;
        let mut puts = Vec::new();
        for (seen, count, came, newer) in pieces {
            let put = Put { seen, revision: if newer { 3 } else { 1 }, first, step, count };
            puts.push((Put { first: first * SECOND_US, step: step * SECOND_US as u64, ..put }, came));
            first += (step * count) as i64;
        }
        puts
    })
}

/// What is told of each second, if anything is.
fn by_second(spans: &[VerdictSpan]) -> Vec<Option<VerdictSpan>> {
    let mut told = vec![None; END as usize];
    for span in spans {
        for second in span.span.from.0 / SECOND_US..span.span.to.0 / SECOND_US {
            told[second as usize] = Some(VerdictSpan { span: Span::new(at(second), at(second + 1)), ..*span });
        }
    }
    told
}

/// Whether a figure could tell the two apart.
fn alike(one: &VerdictSpan, other: &VerdictSpan) -> bool {
    let share = |span: &VerdictSpan| match span.verdict {
        Verdict::Unknown | Verdict::Maintenance => 0.0,
        Verdict::Up | Verdict::Degraded | Verdict::Regional | Verdict::Down => {
            span.share_down.0 as f64 / span.share_down.1 as f64
        }
    };
    one.verdict == other.verdict
        && one.unknown_cause == other.unknown_cause
        && (share(one) - share(other)).abs() < 1e-12
}

fn add(sums: &mut [i64; 11], told: &Told, us: i64) {
    let at = match (told.verdict, told.unknown_cause) {
        (Verdict::Unknown, cause) => {
            6 + UnknownCause::ALL.iter().position(|known| Some(*known) == cause).expect("unknown time has a cause")
        }
        (verdict, _) => Verdict::ALL.iter().position(|known| *known == verdict).expect("every verdict is listed"),
    };
    sums[at] += us;
}

fn sums(account: &Account) -> [i64; 11] {
    let Account { up_us, degraded_us, regional_us, down_us, maintenance_us, unknown, .. } = *account;
    let mut sums = [up_us, degraded_us, regional_us, down_us, 0, maintenance_us, 0, 0, 0, 0, 0];
    for (index, cause) in UnknownCause::ALL.iter().enumerate() {
        sums[6 + index] = unknown.of(*cause);
    }
    sums
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn before_and_the_differences_make_after(
        agents in vec(agent(), 1..4),
        policies in vec((2..9_u64, 1..5_u64, 1..4_u32, 1..4_u32), 2),
        all in any::<bool>(),
        window in prop_oneof![2 => Just((0, 0)), 1 => (0..END, 0..30_i64).prop_map(|(from, length)| (from, from + length))],
    ) {
        let policy = |(interval, timeout, confirmations, recoveries): (u64, u64, u32, u32)| Policy {
            interval_us: interval * SECOND_US as u64,
            timeout_us: timeout * SECOND_US as u64,
            weight: Weight::ONE,
            quorum: if all { Quorum::All } else { Quorum::Majority },
            confirmations,
            recoveries,
        };
        let revisions =
            [(at(0), Revision(1), policy(policies[0])), (at(70), Revision(3), policy(policies[1]))];
        let life = Span::new(at(0), at(END));
        let view = CheckView { revisions: &revisions, life };
        let windows = [Span::new(at(window.0), at(window.1))];

        let (mut before, mut after, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for puts in &agents {
            let (mut known, mut whole) = (Series::new(), Series::new());
            let mut touched: Option<Touched> = None;
            for (put, came) in puts {
                if *came == 0 {
                    put.into_series(&mut known);
                }
                if *came == 3 {
                    let missed = Put { seen: Seen::Missed(MissedCause::AgentStopped), ..*put };
                    missed.into_series(&mut known);
                    missed.into_series(&mut whole);
                }
                if *came != 2 {
                    put.into_series(&mut whole);
                }
                if matches!(came, 1 | 3) {
                    let last = UtcMicros(put.first + (put.step * (put.count - 1)) as i64);
                    let hold = view.hold_us(Revision(put.revision));
                    let one = Touched { first: UtcMicros(put.first), last, end: last.plus_us(hold) };
                    touched = Some(touched.map_or(one, |known| known.and(one)));
                }
            }
            before.push(known);
            after.push(whole);
            late.push(touched);
        }
        let verdicts = |series: &[Series], period| {
            let voter =
                |series| Voter { assigned: vec![life], suspended: Vec::new(), weights: Vec::new(), series };
            vote::verdicts(&view, &series.iter().map(voter).collect::<Vec<_>>(), &windows, period)
        };
        let (told, tells) = (verdicts(&before, life), verdicts(&after, life));
        let (told_seconds, tells_seconds) = (by_second(&told), by_second(&tells));

        // Nothing changes out of reach.
        let reaches: Vec<Span> = (0..agents.len())
            .filter_map(|one| {
                let held = before[one].between(late[one]?.first, late[one]?.last);
                Some(amendment::reach(&view, &after[one], late[one]?, &held))
            })
            .collect();
        for (second, (told, tells)) in told_seconds.iter().zip(&tells_seconds).enumerate() {
            let (told, tells) = (told.expect("the life is covered"), tells.expect("the life is covered"));
            let reached = reaches.iter().any(|span| span.contains(at(second as i64)));
            prop_assert!(reached || alike(&told, &tells), "second {} of {:?}: {:?}, {:?}", second, reaches, told, tells);
        }

        // What was told is derived again from what is known now.
        let span = reaches.iter().fold(None, |span: Option<Span>, one| {
            Some(span.map_or(*one, |span| Span::new(span.from.min(one.from), span.to.max(one.to))))
        });
        let Some(span) = span.map(|span| span.clip(life)) else { return Ok(()) };
        let again: Vec<Series> = (0..agents.len())
            .map(|one| match late[one] {
                None => before[one].clone(),
                Some(touched) => {
                    let held = before[one].between(touched.first, touched.last);
                    amendment::without(&view, &after[one], touched, &held, span.from)
                }
            })
            .collect();
        let (was, is) = (verdicts(&again, span), verdicts(&after, span));
        prop_assert_eq!(&was, &verdicts(&before, span));

        // Second by second, a change is where a figure could tell the two apart.
        let changes = amendment::changes(&was, &is);
        for pair in changes.windows(2) {
            prop_assert!(pair[0].span.to <= pair[1].span.from);
        }
        for second in 0..END {
            let (told, tells) = (told_seconds[second as usize].unwrap(), tells_seconds[second as usize].unwrap());
            let change = changes.iter().find(|change| change.span.contains(at(second)));
            prop_assert_eq!(change.is_none(), alike(&told, &tells), "second {}", second);
            if let Some(change) = change {
                prop_assert_eq!((change.before.verdict, change.after.verdict), (told.verdict, tells.verdict));
                prop_assert_eq!((change.before.unknown_cause, change.after.unknown_cause), (told.unknown_cause, tells.unknown_cause));
            }
        }

        // Before and the differences make after, to the microsecond.
        let (old, new) = (Account::of(&was), Account::of(&is));
        let mut expected = sums(&old);
        let mut share = old.down_share_us;
        for change in &changes {
            let us = change.span.us();
            add(&mut expected, &change.before, -us);
            add(&mut expected, &change.after, us);
            share += us as f64 * (change.after.share_down.0 as f64 / change.after.share_down.1 as f64);
            share -= us as f64 * (change.before.share_down.0 as f64 / change.before.share_down.1 as f64);
        }
        prop_assert_eq!(expected, sums(&new));
        prop_assert!((share - new.down_share_us).abs() < 1.0);
        prop_assert_eq!(old.period_us(), new.period_us());

        // And so it is kept.
        let kept = Amendment::of(span, at(END), Vec::new(), &was, &is);
        prop_assert_eq!(kept.is_none(), changes.is_empty());
        if let Some(kept) = kept {
            prop_assert_eq!((kept.before, kept.after, kept.span()), (old, new, span));
            let listed = changes.len().min(amendment::CHANGES_MAX);
            prop_assert_eq!((kept.changes.len(), kept.changes_more as usize), (listed, changes.len() - listed));
            prop_assert!(kept.changes.windows(2).all(|pair| pair[0].to_us <= pair[1].from_us));
        }
    }

    #[test]
    fn a_part_of_a_series_is_its_slots_in_between(puts in vec((seen(), 0..4_u32, 0..60_i64, 1..9_u64, 1..6_u64), 0..20), first in -5..70_i64, length in -2..40_i64) {
        let mut series = Series::new();
        for (seen, revision, first, step, count) in puts {
            Put { seen, revision, first, step, count }.into_series(&mut series);
        }
        let (first, last) = (UtcMicros(first), UtcMicros(first + length));
        let part = series.between(first, last);
        let expected: Vec<_> = series.slots().filter(|(slot, _)| first <= *slot && *slot <= last).collect();
        prop_assert_eq!(part.slots().collect::<Vec<_>>(), expected);
        let mut rest = series.between(UtcMicros::MIN, first.plus_us(-1));
        rest.absorb(&part);
        rest.absorb(&series.between(last.max(first.plus_us(-1)).plus_us(1), UtcMicros::MAX));
        prop_assert_eq!(&rest, &series);
        let runs: Vec<&Run> = part.runs().collect();
        prop_assert!(runs.windows(2).all(|pair| pair[0].last() < pair[1].first));
    }
}
