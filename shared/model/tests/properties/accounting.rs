//! Timelines, votes, verdicts, figures, explanations and accounting policies against the naive model, second by second: ten thousand random worlds in every run.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use sitepulse_model::accounting::{self, Counting, Reckoning, Rules};
use sitepulse_model::explain::{Evidence, explain};
use sitepulse_model::record::MissedCause;
use sitepulse_model::series::Seen;
use sitepulse_model::sla::{Account, Conservation};
use sitepulse_model::time::{SECOND_US, Span};
use sitepulse_model::timeline::{self, UnknownCause};
use sitepulse_model::vote::{self, Standing, Verdict, VerdictSpan, Voter};

use crate::cases;
use crate::naive::{Answer, Records, inside};
use crate::world::{END, Real, World, at, spans, world};

/// Half of the worlds of a run: the two halves are tests of their own, so that they run beside each other.
const WORLDS_HALF: u32 = 5_000;

/// Splits a span into its seconds.
fn seconds(span: Span) -> impl Iterator<Item = i64> {
    span.from.0 / SECOND_US..span.to.0 / SECOND_US
}

/// How an accounting policy counts: rules, and service hours.
#[derive(Debug, Clone)]
struct Contract {
    rules: Rules,
    hours: Option<Vec<(i64, i64)>>,
}

fn contract() -> impl Strategy<Value = Contract> {
    let plain = || select(&[Counting::Excluded, Counting::Up, Counting::Down][..]);
    let by_share = || select(&[Counting::Excluded, Counting::Up, Counting::Down, Counting::ByShare][..]);
    let rules = (by_share(), plain(), plain(), by_share())
        .prop_map(|(maintenance, unknown, degraded, regional)| Rules { maintenance, unknown, degraded, regional });
    let hours = vec((-5..END, 0..60_i64).prop_map(|(from, length)| (from, from + length)), 0..4);
    let rules = prop_oneof![1 => Just(Rules::default()), 3 => rules];
    (rules, proptest::option::of(hours)).prop_map(|(rules, hours)| Contract { rules, hours })
}

/// What the naive model says of each second of the period in which the check lived.
struct Expected {
    standings: BTreeMap<i64, Vec<Standing>>,
    answers: BTreeMap<i64, Answer>,
}

impl Expected {
    fn of(world: &World, records: &[Records]) -> Self {
        let votes: Vec<_> = records.iter().map(|records| world.votes(records)).collect();
        let (mut standings, mut answers) = (BTreeMap::new(), BTreeMap::new());
        for second in (world.period.0..world.period.1).filter(|second| inside(&world.lives, *second)) {
            let of = |(agent, records): (usize, &Records)| {
                world.standing(agent, world.raw(agent, records, second), votes[agent].at(second), second)
            };
            let now: Vec<Standing> = records.iter().enumerate().map(of).collect();
            answers.insert(second, world.answer(&now, second));
            standings.insert(second, now);
        }
        Self { standings, answers }
    }
}

fn answer_of(span: &VerdictSpan) -> Answer {
    Answer {
        verdict: span.verdict,
        share_down: span.share_down,
        unknown_cause: span.unknown_cause,
        quorum_reduced: span.quorum_reduced,
    }
}

fn holds(world: &World, contract: &Contract) -> TestCaseResult {
    let real = world.real();
    let voters = real.voters(world);
    let expected = Expected::of(world, &real.records);
    let windows = spans(&world.windows);
    let mut verdicts = Vec::new();
    let mut explained = Vec::new();
    for life in world.lives() {
        let clipped = world.period().clip(life);
        pairs_hold(world, &real, &voters, &expected, life)?;
        let these = vote::verdicts(&real.view(life), &voters, &windows, world.period());
        let mut covered = clipped.from;
        for span in &these {
            prop_assert!(!span.span.is_empty());
            prop_assert_eq!(span.span.from, covered);
            covered = span.span.to;
            for second in seconds(span.span) {
                prop_assert_eq!(answer_of(span), expected.answers[&second], "second {}", second);
            }
        }
        prop_assert!(clipped.is_empty() && these.is_empty() || covered == clipped.to);
        for pair in these.windows(2) {
            prop_assert_ne!(VerdictSpan { span: pair[0].span, ..pair[1] }, pair[0], "neighbours are merged");
        }
        let told = explain(&real.view(life), &voters, &windows, world.period(), &mut usize::MAX.clone());
        let told: Vec<VerdictSpan> = explanation_holds(world, &real, &expected, clipped, told.expect("there is room"))?;
        verdicts.extend(these);
        explained.extend(told);
    }
    let account = Account::of(&verdicts);
    figures_hold(&account, &Account::of(&explained), &expected)?;
    contract_holds(contract, &verdicts, &expected)?;

    // A period is the sum of its parts.
    let middle = at((world.period.0 + world.period.1) / 2);
    let whole = world.period();
    let of = |part: Span| {
        let lives = world.lives().into_iter();
        Account::of(
            &lives.flat_map(|life| vote::verdicts(&real.view(life), &voters, &windows, part)).collect::<Vec<_>>(),
        )
    };
    let (one, other) = (of(Span::new(whole.from, middle)), of(Span::new(middle, whole.to)));
    let parts = |account: &Account| {
        let mut parts =
            vec![account.up_us, account.degraded_us, account.regional_us, account.down_us, account.maintenance_us];
        parts.extend(UnknownCause::ALL.iter().map(|cause| account.unknown.of(*cause)));
        parts
    };
    let sum: Vec<i64> = parts(&one).iter().zip(parts(&other)).map(|(a, b)| a + b).collect();
    prop_assert_eq!(sum, parts(&account));
    Ok(())
}

/// Pair by pair: timeline, standing, and where each slot went.
fn pairs_hold(world: &World, real: &Real, voters: &[Voter<'_>], expected: &Expected, life: Span) -> TestCaseResult {
    let (view, period) = (real.view(life), world.period());
    let clipped = period.clip(life);
    for (agent, (voter, records)) in voters.iter().zip(&real.records).enumerate() {
        let mut covered = clipped.from;
        let raws = timeline::pair(&view, voter.series, &voter.assigned, period);
        for raw in &raws {
            prop_assert_eq!(raw.span.from, covered);
            covered = raw.span.to;
            for second in seconds(raw.span) {
                prop_assert_eq!(raw.state, world.raw(agent, records, second), "agent {} second {}", agent, second);
            }
        }
        prop_assert!(clipped.is_empty() || covered == clipped.to);
        prop_assert!(raws.windows(2).all(|pair| pair[0].state != pair[1].state), "neighbours are merged");

        let mut covered = clipped.from;
        for standing in vote::standings(&view, voter, period) {
            prop_assert_eq!(standing.span.from, covered);
            covered = standing.span.to;
            for second in seconds(standing.span) {
                prop_assert_eq!(
                    standing.standing,
                    expected.standings[&second][agent],
                    "agent {} second {}",
                    agent,
                    second
                );
            }
        }
        prop_assert!(clipped.is_empty() || covered == clipped.to);

        let dropped = world.agents[agent].dropped;
        let count = Conservation::of(&view, voter.series, &voter.assigned, dropped);
        let of = |wanted: &dyn Fn(Seen) -> bool| records.values().filter(|obs| wanted(obs.seen)).count() as u64;
        let holes = world.holes(agent, records);
        prop_assert_eq!(count.results, of(&|seen| matches!(seen, Seen::State(_))));
        for cause in MissedCause::ALL {
            prop_assert_eq!(count.missed_by(*cause), of(&|seen| seen == Seen::Missed(*cause)), "{}", cause);
        }
        prop_assert_eq!(count.holes, holes, "agent {}", agent);
        prop_assert_eq!(count.scheduled(), records.len() as u64 + holes);
        prop_assert_eq!((count.dropped, count.unexplained()), (dropped, holes.saturating_sub(dropped)));
    }
    Ok(())
}

/// The same verdicts, cut where anybody's standing changes, with the records behind each.
fn explanation_holds(
    world: &World,
    real: &Real,
    expected: &Expected,
    clipped: Span,
    told: Vec<sitepulse_model::explain::Interval>,
) -> Result<Vec<VerdictSpan>, TestCaseError> {
    let mut covered = clipped.from;
    for interval in &told {
        let span = interval.verdict.span;
        prop_assert_eq!(span.from, covered);
        covered = span.to;
        for second in seconds(span) {
            prop_assert_eq!(answer_of(&interval.verdict), expected.answers[&second], "second {}", second);
            let mut present = vec![Standing::Unassigned; world.agents.len()];
            for testimony in &interval.testimonies {
                prop_assert_ne!(testimony.standing, Standing::Unassigned);
                present[testimony.voter] = testimony.standing;
            }
            prop_assert_eq!(&present, &expected.standings[&second], "second {}", second);
        }
        let (from, to) = (span.from.0 / SECOND_US, span.to.0 / SECOND_US);
        for testimony in &interval.testimonies {
            let records = &real.records[testimony.voter];
            let before =
                records.range(..=from).next_back().filter(|(slot, obs)| from - **slot < world.hold(obs.revision.0));
            let behind: Vec<_> = before.into_iter().chain(records.range(from + 1..to)).collect();
            prop_assert_eq!(testimony.evidence.iter().map(|one| one.count).sum::<u64>(), behind.len() as u64);
            let mut rest = &behind[..];
            for one in &testimony.evidence {
                let (these, others) = rest.split_at(one.count as usize);
                prop_assert!(these.iter().all(|(_, obs)| obs.seen == one.seen));
                prop_assert_eq!((at(*these[0].0), at(*these[these.len() - 1].0)), (one.first, one.last));
                let named: Vec<_> = one.slots().collect();
                prop_assert_eq!(named, these.iter().map(|(slot, _)| at(**slot)).collect::<Vec<_>>());
                rest = others;
            }
            for pair in testimony.evidence.windows(2) {
                let [one, next] = pair else { continue };
                let gap = next.first.us_since(one.last).unsigned_abs();
                let apart = |evidence: &Evidence| evidence.count > 1 && evidence.step_us != gap;
                prop_assert!(one.seen != next.seen || apart(one) || apart(next), "neighbours are one");
            }
        }
    }
    prop_assert!(clipped.is_empty() || covered == clipped.to);
    Ok(told.into_iter().map(|interval| interval.verdict).collect())
}

/// Seconds by verdict, and what follows from them.
fn figures_hold(account: &Account, explained: &Account, expected: &Expected) -> TestCaseResult {
    let count =
        |wanted: &dyn Fn(&Answer) -> bool| expected.answers.values().filter(|answer| wanted(answer)).count() as i64;
    let of = |verdict| count(&|answer| answer.verdict == verdict) * SECOND_US;
    for account in [account, explained] {
        prop_assert_eq!(account.up_us, of(Verdict::Up));
        prop_assert_eq!(account.degraded_us, of(Verdict::Degraded));
        prop_assert_eq!(account.regional_us, of(Verdict::Regional));
        prop_assert_eq!(account.down_us, of(Verdict::Down));
        prop_assert_eq!(account.maintenance_us, of(Verdict::Maintenance));
        for cause in UnknownCause::ALL {
            let us = count(&|answer| answer.unknown_cause == Some(*cause)) * SECOND_US;
            prop_assert_eq!(account.unknown.of(*cause), us, "{}", cause);
        }
    }
    let (unknown, maintenance) = (of(Verdict::Unknown), of(Verdict::Maintenance));
    prop_assert_eq!(account.unknown.total_us(), unknown);
    prop_assert_eq!(account.period_us(), expected.answers.len() as i64 * SECOND_US);
    let period = expected.answers.len() as i64 * SECOND_US;
    let (measured, down) = (period - unknown - maintenance, of(Verdict::Down));
    let share: f64 = expected
        .answers
        .values()
        .filter(|answer| !matches!(answer.verdict, Verdict::Unknown | Verdict::Maintenance))
        .map(|answer| SECOND_US as f64 * answer.share_down.0 as f64 / answer.share_down.1 as f64)
        .sum();
    prop_assert!((account.down_share_us - share).abs() < 1.0 && (explained.down_share_us - share).abs() < 1.0);
    let up = (measured - down) as f64;
    prop_assert!(near(account.availability(), up, measured));
    prop_assert!(near(account.weighted_availability(), measured as f64 - share, measured));
    prop_assert!(near(account.completeness(), measured as f64, period - maintenance));
    prop_assert!(near(account.lower(), up, measured + unknown));
    prop_assert!(near(account.upper(), up + unknown as f64, measured + unknown));
    let good = measured as f64 - share;
    prop_assert!(near(account.weighted_lower(), good, measured + unknown));
    prop_assert!(near(account.weighted_upper(), good + unknown as f64, measured + unknown));
    if let (Some(lower), Some(middle), Some(upper)) = (account.lower(), account.availability(), account.upper()) {
        prop_assert!(lower <= middle && middle <= upper);
    }
    Ok(())
}

/// Whether a figure is `part / whole`, or absent where there is no whole.
fn near(figure: Option<f64>, part: f64, whole: i64) -> bool {
    match figure {
        None => whole == 0,
        Some(figure) => whole > 0 && (figure - part / whole as f64).abs() < 1e-9 && (0.0..=1.0).contains(&figure),
    }
}

/// How a contract counts the same time.
fn contract_holds(contract: &Contract, verdicts: &[VerdictSpan], expected: &Expected) -> TestCaseResult {
    let Contract { rules, hours } = contract;
    // Planned work that nobody could watch has no votes to count it by.
    let blind = |answer: &Answer| answer.verdict == Verdict::Maintenance && answer.share_down.1 == 0;
    if rules.maintenance == Counting::ByShare && expected.answers.values().any(blind) {
        return Ok(());
    }
    let (mut counted, mut excluded, mut outside) = (0, 0, 0);
    let mut bad = 0.0;
    for (second, answer) in &expected.answers {
        if hours.as_ref().is_some_and(|hours| !inside(hours, *second)) {
            outside += SECOND_US;
            continue;
        }
        let (down, live) = (answer.share_down.0 as f64, answer.share_down.1 as f64);
        let rule = match answer.verdict {
            Verdict::Up => Counting::Up,
            Verdict::Down => Counting::Down,
            Verdict::Degraded => rules.degraded,
            Verdict::Regional => rules.regional,
            Verdict::Unknown => rules.unknown,
            Verdict::Maintenance => rules.maintenance,
        };
        match rule {
            Counting::Excluded => excluded += SECOND_US,
            Counting::Up => counted += SECOND_US,
            Counting::Down => (counted, bad) = (counted + SECOND_US, bad + 1.0),
            Counting::ByShare => (counted, bad) = (counted + SECOND_US, bad + down / live),
        }
    }
    let hours = hours.as_ref().map(|hours| spans(hours));
    let sum = Reckoning::of(verdicts, rules, hours.as_deref());
    prop_assert_eq!((sum.counted_us, sum.excluded_us, sum.outside_us), (counted, excluded, outside));
    let bad_us = bad * SECOND_US as f64;
    prop_assert!((sum.bad_us() as f64 - bad_us).abs() < 2.0, "{} for {}", sum.bad_us(), bad_us);
    match sum.availability() {
        None => prop_assert_eq!(counted, 0),
        Some(figure) => prop_assert!((figure - (1.0 - bad_us / counted as f64)).abs() < 1e-6, "{}", figure),
    }
    bounds_hold(contract, expected, &sum)?;
    // A part of the period, cut out of the whole, is as if it had been asked for alone.
    let inner = Span::new(at(END / 3), at(END / 2));
    let cut = accounting::cut(verdicts, inner);
    prop_assert!(cut.iter().all(|span| !span.span.is_empty()));
    let mut cut_seconds = cut.iter().flat_map(|span| seconds(span.span).map(move |second| (second, answer_of(span))));
    let wanted = expected.answers.range(END / 3..END / 2).map(|(second, answer)| (*second, *answer));
    prop_assert!(wanted.eq(cut_seconds.by_ref()));
    Ok(())
}

/// Completeness, bounds and causes of a contract: what is known is the counted time of any verdict but unknown, what is unknown is all unknown time within the
/// service hours, whether it counts or not.
fn bounds_hold(contract: &Contract, expected: &Expected, sum: &Reckoning) -> TestCaseResult {
    let Contract { rules, hours } = contract;
    let (mut known, mut unknown) = (0, 0);
    let (mut bad, mut bad_weighted) = (0.0, 0.0);
    let mut causes: BTreeMap<Option<&str>, i64> = BTreeMap::new();
    let within = |second: i64| hours.as_ref().is_none_or(|hours| inside(hours, second));
    for (_, answer) in expected.answers.iter().filter(|(second, _)| within(**second)) {
        let share = || answer.share_down.0 as f64 / answer.share_down.1 as f64;
        let (rule, is_split) = match answer.verdict {
            Verdict::Unknown => {
                unknown += SECOND_US;
                *causes.entry(answer.unknown_cause.map(UnknownCause::as_str)).or_insert(0) += SECOND_US;
                continue;
            }
            Verdict::Up => (Counting::Up, false),
            Verdict::Down => (Counting::Down, true),
            Verdict::Degraded => (rules.degraded, false),
            Verdict::Regional => (rules.regional, true),
            Verdict::Maintenance => (rules.maintenance, false),
        };
        let costs = match rule {
            Counting::Excluded => continue,
            Counting::Up => 0.0,
            Counting::Down => 1.0,
            Counting::ByShare => share(),
        };
        known += SECOND_US;
        bad += costs;
        bad_weighted += if is_split { share() } else { costs };
    }
    let whole = known + unknown;
    prop_assert_eq!((sum.known_us(), sum.unknown_us), (known, unknown));
    let second = SECOND_US as f64;
    let (up, up_weighted) = (known as f64 - bad * second, known as f64 - bad_weighted * second);
    prop_assert!(near(sum.completeness(), known as f64, whole));
    prop_assert!(near(sum.lower(), up, whole));
    prop_assert!(near(sum.upper(), up + unknown as f64, whole));
    prop_assert!(near(sum.weighted_lower(), up_weighted, whole));
    prop_assert!(near(sum.weighted_upper(), up_weighted + unknown as f64, whole));
    let told = sum.causes();
    prop_assert!(told.is_some_and(|(_, blind)| blind == 0));
    prop_assert!(!causes.contains_key(&None), "unknown time has a cause");
    for cause in UnknownCause::ALL {
        let us = causes.get(&Some(cause.as_str())).copied().unwrap_or_default();
        prop_assert_eq!(told.map(|(told, _)| told.of(*cause)), Some(us));
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(WORLDS_HALF))]

    #[test]
    fn five_thousand_worlds_follow_the_definitions(world in world(), contract in contract()) {
        holds(&world, &contract)?;
    }

    #[test]
    fn five_thousand_more_worlds_follow_the_definitions(world in world(), contract in contract()) {
        holds(&world, &contract)?;
    }
}
