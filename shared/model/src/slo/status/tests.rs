use super::*;
use crate::accounting::{Counting, Rules};
use crate::timeline::UnknownCause;
use crate::vote::Verdict;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// 30 d after the first instant.
const NOW: UtcMicros = UtcMicros(30 * DAY_US);
const PERIOD: Span = Span::new(UtcMicros(0), NOW);

/// Pieces of time up to now, each with its length, the last one ending now.
fn spans(pieces: &[(Verdict, i64)]) -> Vec<VerdictSpan> {
    let whole: i64 = pieces.iter().map(|(_, us)| us).sum();
    let mut from = NOW.plus_us(-whole);
    let mut spans = Vec::new();
    for (verdict, us) in pieces {
        let span = Span::new(from, from.plus_us(*us));
        from = span.to;
        let unknown_cause = (*verdict == Verdict::Unknown).then_some(UnknownCause::AgentOffline);
        let down = u64::from(*verdict == Verdict::Down) * 1000;
        let share_down = if *verdict == Verdict::Regional { (500, 1000) } else { (down, 1000) };
        spans.push(VerdictSpan { span, verdict: *verdict, share_down, unknown_cause, quorum_reduced: false });
    }
    spans
}

fn term(from: i64, to: i64, hours: Option<Vec<Span>>) -> Term {
    let span = Span::new(UtcMicros(from), UtcMicros(to));
    Term { span, version: 1, rules: Rules::default(), objective: Objective(500_000), hours }
}

/// The built-in policy, always.
fn always() -> [Term; 1] {
    [term(i64::MIN, i64::MAX, None)]
}

fn promised(terms: &[Term], objective: u32) -> Terms<'_> {
    Terms { objective: Objective(objective), terms }
}

fn alone(spans: &[VerdictSpan]) -> [Member<'_>; 1] {
    [Member { weight: Weight::ONE, spans, lives: true }]
}

fn at(pieces: &[(Verdict, i64)], objective: u32) -> Status {
    status(&alone(&spans(pieces)), &promised(&always(), objective), PERIOD, NOW)
}

use Verdict::{Down, Maintenance, Unknown, Up};

#[test]
fn all_is_well() {
    let status = at(&[(Up, 30 * DAY_US)], 999_000);
    // 43 min 12 s of 30 d.
    assert_eq!(status.budget.value, Some(Amount { allowed_us: 43 * MINUTE_US + 12_000_000, used_us: 0 }));
    assert_eq!(status.budget.value.unwrap().left_share(), Some(1.0));
    assert_eq!((status.state, status.exhausted_at), (State::Ok, None));
    assert_eq!(status.burns.map(|pair| pair.long.rate.value), [Some(0.0); 3]);
    assert_eq!((status.availability.value, status.completeness), (Some(1.0), Some(1.0)));
}

#[test]
fn nothing_measured_is_unknown() {
    for pieces in [&[][..], &[(Maintenance, 30 * DAY_US)], &[(Unknown, 30 * DAY_US)]] {
        let status = at(pieces, 999_000);
        assert_eq!((status.state, status.budget.value, status.availability.value), (State::Unknown, None, None));
        assert_eq!(status.burns.map(|pair| pair.long.rate.value), [None; 3]);
        assert_eq!(status.exhausted_at, None);
    }
    let blind = at(&[(Unknown, 30 * DAY_US)], 999_000);
    assert_eq!((blind.availability.unknown_down, blind.availability.unknown_up), (Some(0.0), Some(1.0)));
    assert_eq!(blind.completeness, Some(0.0));
    assert_eq!(at(&[], 999_000).completeness, None);
}

#[test]
fn the_pairs_speak_as_the_workbook_says() {
    let day = 30 * DAY_US - HOUR_US;
    // 14.4 of 1000 over the whole hour and its last 5 min: exactly at the threshold.
    let beat = |bad_us: i64| [(Down, bad_us), (Up, 5 * MINUTE_US - bad_us)];
    let at_threshold = 5 * MINUTE_US * 144 / 10_000;
    let mut pieces = alloc::vec![(Up, day)];
    for _ in 0..12 {
        pieces.extend(beat(at_threshold));
    }
    let status = at(&pieces, 999_000);
    assert_eq!((status.state, status.forecast_by), (State::BurningFast, 0));
    assert!(status.burns[0].speaks() && !status.burns[1].speaks());
    let mut pieces = alloc::vec![(Up, day)];
    for _ in 0..12 {
        pieces.extend(beat(at_threshold - 1));
    }
    assert_eq!(at(&pieces, 999_000).state, State::Ok);
    // Over: the long window remembers, the short one knows better.
    let over = at(&[(Up, day), (Down, 10 * MINUTE_US), (Up, 50 * MINUTE_US)], 999_000);
    assert!(over.burns[0].long.reached && !over.burns[0].short.reached);
    assert!(over.burns[1].long.reached && !over.burns[1].short.reached);
    assert_eq!((over.state, over.forecast_by), (State::BurningSlow, 2), "10 min of the last 6 h, and of 3 d");
}

#[test]
fn slow_burns_are_told_apart() {
    // 1.2 of 1000 all along for 3 d.
    let mut pieces = alloc::vec![(Up, 27 * DAY_US)];
    for _ in 0..72 {
        pieces.extend([(Down, HOUR_US * 12 / 10_000), (Up, HOUR_US - HOUR_US * 12 / 10_000)]);
    }
    let status = at(&pieces, 999_000);
    assert_eq!((status.state, status.forecast_by), (State::BurningSlow, 2));
    let left = status.budget.value.unwrap().left_us();
    // It goes on at 1.2 of 1000: what is left lasts so long.
    let lasts = (i128::from(left) * 10_000 / 12) as i64;
    assert!(status.exhausted_at.unwrap().us_since(NOW).abs_diff(lasts) <= 1);
}

#[test]
fn a_budget_that_is_used_exactly_is_exhausted() {
    let allowed = 30 * DAY_US / 1000;
    let exact = at(&[(Down, allowed), (Up, 30 * DAY_US - allowed)], 999_000);
    assert_eq!((exact.budget.value.unwrap().left_us(), exact.state), (0, State::Exhausted));
    let one_left = at(&[(Down, allowed - 1), (Up, 30 * DAY_US - allowed + 1)], 999_000);
    assert_eq!((one_left.budget.value.unwrap().left_us(), one_left.state), (1, State::Ok));
    let overdrawn = at(&[(Down, 2 * allowed), (Up, 30 * DAY_US - 2 * allowed)], 999_000);
    assert_eq!(overdrawn.budget.value.unwrap().left_share(), Some(-1.0));
}

#[test]
fn a_promise_of_everything_allows_nothing() {
    let kept = at(&[(Up, DAY_US)], 1_000_000);
    assert_eq!((kept.state, kept.budget.value.unwrap().left_share()), (State::Ok, None));
    assert_eq!(kept.burns[0].long.rate.value, Some(0.0));
    let broken = at(&[(Up, DAY_US), (Down, 1)], 1_000_000);
    assert_eq!((broken.state, broken.burns[0].long.rate.value), (State::Exhausted, None));
    assert!(broken.burns[0].speaks());
}

#[test]
fn a_month_has_its_budget_from_its_first_day() {
    let month = Span::new(NOW.plus_us(-DAY_US), NOW.plus_us(29 * DAY_US));
    let spans = spans(&[(Down, MINUTE_US), (Up, DAY_US - MINUTE_US)]);
    let status = status(&alone(&spans), &promised(&always(), 999_000), month, NOW);
    assert_eq!(status.to_come_us, 29 * DAY_US);
    assert_eq!(status.budget.value, Some(Amount { allowed_us: 30 * DAY_US / 1000, used_us: MINUTE_US }));
    assert_eq!(status.counted_us, DAY_US);
    // A minute a day of the last day's evidence: 43.2 min last 42.2 d more, which is after the month.
    assert_eq!(status.exhausted_at, None);
}

#[test]
fn service_hours_bound_all_of_it() {
    // Every second day counts, today not.
    let hours: Vec<Span> =
        (0..60).step_by(2).map(|day| Span::new(UtcMicros(day * DAY_US), UtcMicros((day + 1) * DAY_US))).collect();
    let terms = [term(i64::MIN, i64::MAX, Some(hours))];
    let mut pieces = alloc::vec![(Up, 27 * DAY_US)];
    // Down in the night of day 27 (odd, outside) and for 0.5 % of day 28.
    pieces.extend([(Down, DAY_US), (Down, DAY_US / 200), (Up, DAY_US - DAY_US / 200), (Up, DAY_US)]);
    let spans = spans(&pieces);
    let status = status(&alone(&spans), &promised(&terms, 990_000), PERIOD, NOW);
    assert_eq!(status.budget.value, Some(Amount { allowed_us: 15 * DAY_US / 100, used_us: DAY_US / 200 }));
    assert_eq!(status.burns[0].long.rate.value, None, "the last hour is outside");
    assert_eq!(status.burns[2].long.rate.value, Some(0.5));
    // 0.145 d are left, which burn at 0.005: 29 d of service, of which the next 30 d hold 15.
    assert_eq!(status.exhausted_at, None);
    let instant = after(NOW, NOW.plus_us(30 * DAY_US), i128::from(DAY_US + HOUR_US), &terms);
    assert_eq!(instant, Some(NOW.plus_us(2 * DAY_US + HOUR_US)));
}

#[test]
fn groups_are_means_of_availabilities() {
    // One check measured for 10 d with 10 % down, one of three times the weight for 30 d, all well.
    let short = spans(&[(Down, DAY_US), (Up, 9 * DAY_US)]);
    let long = spans(&[(Up, 30 * DAY_US)]);
    let members = [
        Member { weight: Weight(1000), spans: &short, lives: true },
        Member { weight: Weight(3000), spans: &long, lives: true },
        Member { weight: Weight(9000), spans: &[], lives: true },
        Member { weight: Weight::ZERO, spans: &short, lives: true },
    ];
    let status = status(&members, &promised(&always(), 950_000), PERIOD, NOW);
    assert_eq!(status.availability.value, Some(0.975));
    // The mean of what was measured is 25 d.
    assert_eq!(status.budget.value, Some(Amount { allowed_us: 25 * DAY_US / 20, used_us: 25 * DAY_US / 40 }));
    assert_eq!(status.completeness, Some(1.0));
}

#[test]
fn a_silent_member_widens_the_bounds() {
    let well = spans(&[(Up, 30 * DAY_US)]);
    let silent = spans(&[(Unknown, 30 * DAY_US)]);
    let members = [
        Member { weight: Weight::ONE, spans: &well, lives: true },
        Member { weight: Weight::ONE, spans: &silent, lives: true },
    ];
    let status = status(&members, &promised(&always(), 999_000), PERIOD, NOW);
    let Bounded { value, unknown_down, unknown_up } = status.availability;
    assert_eq!((value, unknown_down, unknown_up), (Some(1.0), Some(0.5), Some(1.0)));
    assert_eq!((status.completeness, status.state), (Some(0.5), State::Ok));
    assert!(status.budget.unknown_down.unwrap().left_us() < 0);
}

#[test]
fn each_version_of_the_policy_counts_its_own_time() {
    // The second version takes unknown time for down, from day 20 on; before day 5 there was none.
    let spans = spans(&[(Down, 5 * DAY_US), (Up, 5 * DAY_US), (Unknown, 15 * DAY_US), (Up, 5 * DAY_US)]);
    let mut terms = [term(5 * DAY_US, 20 * DAY_US, None), term(20 * DAY_US, i64::MAX, None)];
    terms[1].rules.unknown = Counting::Down;
    let status = status(&alone(&spans), &promised(&terms, 500_000), PERIOD, NOW);
    assert_eq!(status.budget.value, Some(Amount { allowed_us: 15 * DAY_US / 2, used_us: 5 * DAY_US }));
    let up = Amount { allowed_us: 25 * DAY_US / 2, used_us: 0 };
    assert_eq!((status.budget.unknown_up, status.completeness), (Some(up), Some(0.4)));
}

#[test]
fn of_a_check_that_ended_nothing_is_to_come() {
    // Ten days bad of one that was retired then, thirty good of the other, and thirty to come.
    let bad = [VerdictSpan { span: Span::new(UtcMicros(0), UtcMicros(10 * DAY_US)), ..spans(&[(Down, DAY_US)])[0] }];
    let well = spans(&[(Up, 30 * DAY_US)]);
    let members = [
        Member { weight: Weight::ONE, spans: &bad, lives: false },
        Member { weight: Weight::ONE, spans: &well, lives: true },
    ];
    let period = Span::new(UtcMicros(0), UtcMicros(60 * DAY_US));
    let status = status(&members, &promised(&always(), 500_000), period, NOW);
    assert_eq!((status.availability.value, status.to_come_us), (Some(0.5), 30 * DAY_US));
    // Half of the mean of 10 d and 60 d.
    assert_eq!(status.budget.value, Some(Amount { allowed_us: 35 * DAY_US / 2, used_us: 35 * DAY_US / 2 }));
    assert_eq!(status.state, State::Exhausted);
}
