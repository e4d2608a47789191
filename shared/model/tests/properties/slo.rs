//! Error budgets and burn rates against the definitions, minute by minute.

use proptest::collection::vec;
use proptest::prelude::*;
use sitepulse_model::accounting::{Counting, Objective, Reckoning, Rules};
use sitepulse_model::control::Weight;
use sitepulse_model::slo::status::{Amount, Bounded, Member, State, Terms, budget, status};
use sitepulse_model::terms::Term;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::timeline::UnknownCause;
use sitepulse_model::vote::{Verdict, VerdictSpan};

use crate::cases;

const MINUTE_US: i64 = 60_000_000;
/// Evidence begins at most so long before now: 5 d.
const MINUTES: i64 = 5 * 1440;
/// Now, off every grid.
const NOW: i64 = 1_795_341_601_234_567;

fn at(minute: i64) -> UtcMicros {
    UtcMicros(NOW + (minute - MINUTES) * MINUTE_US)
}

fn span(from: i64, to: i64) -> Span {
    Span::new(at(from), at(to))
}

/// A verdict with the thousandths of the votes that are down.
type Piece = (Verdict, u64);

#[derive(Debug, Clone)]
struct Check {
    weight: u32,
    /// Each minute, as far as the check lives: it is born late.
    minutes: Vec<Option<Piece>>,
}

#[derive(Debug, Clone)]
struct Case {
    checks: Vec<Check>,
    rules: Rules,
    objective: u32,
    /// Period and service hours in minutes; the period may end after now.
    period: (i64, i64),
    hours: Option<Vec<(i64, i64)>>,
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        6 => Just((Verdict::Up, 0)),
        2 => (500..=1000_u64).prop_map(|down| (Verdict::Down, down)),
        1 => (1..500_u64).prop_map(|down| (Verdict::Regional, down)),
        1 => Just((Verdict::Degraded, 0)),
        2 => Just((Verdict::Unknown, 0)),
        1 => (0..=1000_u64).prop_map(|down| (Verdict::Maintenance, down)),
    ]
}

fn check() -> impl Strategy<Value = Check> {
    let length = prop_oneof![1..10_i64, 10..600_i64, 600..3000_i64];
    (0..5_u32, 0..MINUTES, vec((piece(), length), 0..40)).prop_map(|(weight, born, pieces)| {
        let mut minutes = vec![None; born as usize];
        // The newest pieces are drawn first, so that the short windows see the most of them.
        let mut lived: Vec<Option<Piece>> = Vec::new();
        for (piece, length) in pieces {
            lived.extend(std::iter::repeat_n(Some(piece), length as usize));
        }
        lived.resize((MINUTES - born) as usize, Some((Verdict::Up, 0)));
        lived.reverse();
        minutes.extend(lived);
        Check { weight: weight * 500, minutes }
    })
}

fn counting() -> impl Strategy<Value = Counting> {
    prop_oneof![Just(Counting::Excluded), Just(Counting::Up), Just(Counting::Down), Just(Counting::ByShare)]
}

fn rules() -> impl Strategy<Value = Rules> {
    let any = (counting(), counting(), counting(), counting())
        .prop_map(|(maintenance, unknown, degraded, regional)| Rules { maintenance, unknown, degraded, regional });
    prop_oneof![Just(Rules::default()), any]
}

fn case() -> impl Strategy<Value = Case> {
    let objective = prop_oneof![Just(999_000_u32), Just(950_000), Just(500_000), Just(1_000_000), 1..=1_000_000_u32];
    let hours = vec((0..2 * MINUTES, 1..900_i64), 0..30)
        .prop_map(|hours| hours.into_iter().map(|(from, length)| (from, from + length)).collect());
    let period = (0..MINUTES, prop_oneof![Just(MINUTES), MINUTES..2 * MINUTES]);
    (vec(check(), 1..4), rules(), objective, period, prop::option::weighted(0.3, hours))
        .prop_map(|(checks, rules, objective, period, hours)| Case { checks, rules, objective, period, hours })
}

impl Check {
    fn spans(&self) -> Vec<VerdictSpan> {
        let mut spans: Vec<VerdictSpan> = Vec::new();
        for (minute, piece) in self.minutes.iter().enumerate() {
            let Some((verdict, down)) = *piece else { continue };
            let unknown = verdict == Verdict::Unknown;
            let next = VerdictSpan {
                span: span(minute as i64, minute as i64 + 1),
                verdict,
                share_down: if unknown { (0, 0) } else { (down, 1000) },
                unknown_cause: unknown.then_some(UnknownCause::AgentOffline),
                quorum_reduced: false,
            };
            match spans.last_mut() {
                Some(last) if (VerdictSpan { span: next.span, ..*last }) == next => last.span.to = next.span.to,
                _ => spans.push(next),
            }
        }
        spans
    }
}

/// The definitions, followed without a thought for cost, in minutes and floating point.
#[derive(Debug, Clone, Copy, Default)]
struct Naive {
    counted: f64,
    bad: f64,
    unknown: f64,
}

impl Case {
    fn serves(&self, minute: i64) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.iter().any(|(from, to)| (*from..*to).contains(&minute)))
    }

    fn naive(&self, check: &Check, from: i64, to: i64) -> Naive {
        let mut sum = Naive::default();
        for minute in from.max(0)..to.min(MINUTES) {
            let Some((verdict, down)) = check.minutes[minute as usize].filter(|_| self.serves(minute)) else {
                continue;
            };
            let counting = match verdict {
                Verdict::Up => Counting::Up,
                Verdict::Down => Counting::Down,
                Verdict::Degraded => self.rules.degraded,
                Verdict::Regional => self.rules.regional,
                Verdict::Maintenance => self.rules.maintenance,
                Verdict::Unknown => {
                    sum.unknown += 1.0;
                    continue;
                }
            };
            let bad = match counting {
                Counting::Excluded => continue,
                Counting::Up => 0.0,
                Counting::Down => 1.0,
                Counting::ByShare => down as f64 / 1000.0,
            };
            sum.counted += 1.0;
            sum.bad += bad;
        }
        sum
    }

    /// The mean counted time in minutes and the mean availability, with unknown time counted so, and so many good minutes more of each.
    fn mean(&self, from: i64, to: i64, unknown: Counting, to_come: f64) -> Option<(f64, f64)> {
        let (mut weights, mut counted, mut availability) = (0.0, 0.0, 0.0);
        let mut measured = false;
        for check in &self.checks {
            let mut sum = self.naive(check, from, to);
            match unknown {
                Counting::Excluded => {}
                Counting::Up | Counting::ByShare => sum.counted += sum.unknown,
                Counting::Down => {
                    sum.counted += sum.unknown;
                    sum.bad += sum.unknown;
                }
            }
            measured |= sum.counted > 0.0 && check.weight > 0;
            sum.counted += to_come;
            if sum.counted > 0.0 {
                let weight = f64::from(check.weight);
                weights += weight;
                counted += weight * sum.counted;
                availability += weight * (1.0 - sum.bad / sum.counted);
            }
        }
        measured.then(|| (counted / weights, availability / weights))
    }

    fn with<T>(&self, ask: impl FnOnce(&[Member<'_>], &Terms<'_>) -> T) -> T {
        let spans: Vec<Vec<VerdictSpan>> = self.checks.iter().map(Check::spans).collect();
        let members: Vec<Member<'_>> = self
            .checks
            .iter()
            .zip(&spans)
            .map(|(check, spans)| Member { weight: Weight(check.weight), spans, lives: true })
            .collect();
        let hours: Option<Vec<Span>> =
            self.hours.as_ref().map(|hours| hours.iter().map(|(from, to)| span(*from, *to)).collect());
        let objective = Objective(self.objective);
        let hours = hours.map(sitepulse_model::time::union);
        let always = Span::new(UtcMicros::MIN, UtcMicros::MAX);
        let terms = [Term { span: always, version: 1, rules: self.rules, objective, hours }];
        ask(&members, &Terms { objective, terms: &terms })
    }

    fn budget(&self) -> Bounded<Amount> {
        self.with(|members, terms| budget(members, terms, span(self.period.0, self.period.1), at(MINUTES)))
    }
}

fn near(got: Option<f64>, want: Option<f64>, tolerance: f64) -> bool {
    match (got, want) {
        (Some(got), Some(want)) => (got - want).abs() <= tolerance * want.abs().max(1.0),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn as_the_definitions_say(case in case()) {
        let (from, to) = case.period;
        let got = case.with(|members, terms| status(members, terms, span(from, to), at(MINUTES)));
        let to_come = (MINUTES..to).filter(|minute| case.serves(*minute)).count() as f64;
        prop_assert_eq!(got.to_come_us, to_come as i64 * MINUTE_US);
        let allowed = 1.0 - f64::from(case.objective) / 1e6;
        let bounds = [
            (case.rules.unknown, got.availability.value, got.budget.value),
            (Counting::Down, got.availability.unknown_down, got.budget.unknown_down),
            (Counting::Up, got.availability.unknown_up, got.budget.unknown_up),
        ];
        for (unknown, availability, amount) in bounds {
            let want = case.mean(from, to, unknown, 0.0);
            prop_assert!(near(availability, want.map(|want| want.1), 1e-9), "{availability:?} {want:?}");
            let minutes = |us: i64| us as f64 / MINUTE_US as f64;
            let want = case.mean(from, to, unknown, to_come);
            let used = want.map(|(counted, availability)| counted * (1.0 - availability));
            prop_assert!(near(amount.map(|amount| minutes(amount.used_us)), used, 1e-7), "{amount:?} {used:?}");
            let allowed = want.map(|(counted, _)| counted * allowed);
            prop_assert!(near(amount.map(|amount| minutes(amount.allowed_us)), allowed, 1e-7), "{amount:?} {allowed:?}");
        }
        let mut speaks = [false; 3];
        for (index, (pair, (hours, threshold))) in got.burns.iter().zip([(1, 14.4), (6, 6.0), (72, 1.0)]).enumerate() {
            let mut both = Some(true);
            for (burn, minutes) in [(&pair.long, hours * 60), (&pair.short, hours * 5)] {
                prop_assert_eq!(burn.window, span(MINUTES - minutes, MINUTES));
                let mean = case.mean(MINUTES - minutes, MINUTES, case.rules.unknown, 0.0);
                let rate = mean.and_then(|(_, availability)| match case.objective {
                    1_000_000 if availability < 1.0 => None,
                    1_000_000 => Some(0.0),
                    _ => Some((1.0 - availability) / allowed),
                });
                prop_assert!(near(burn.rate.value, rate, 1e-9), "{burn:?} {rate:?}");
                // What a window's completeness leaves open is told by cause.
                prop_assert!(near(burn.unknown.map(|one| one.total()), burn.completeness.map(|one| 1.0 - one), 1e-9), "{burn:?}");
                let reached = match (mean, rate) {
                    (Some((_, availability)), Some(rate)) if availability < 1.0 => {
                        // Floating point cannot tell at the threshold itself.
                        ((rate - threshold).abs() > 1e-9).then_some(rate > threshold)
                    }
                    (Some((_, availability)), None) => Some(availability < 1.0),
                    (Some(_) | None, _) => Some(false),
                };
                if let Some(reached) = reached {
                    prop_assert_eq!(burn.reached, reached);
                }
                both = both.zip(reached).map(|(both, reached)| both && reached);
            }
            if let Some(both) = both {
                prop_assert_eq!(pair.speaks(), both);
            }
            speaks[index] = pair.speaks();
        }
        let state = match got.budget.value {
            None => State::Unknown,
            Some(amount) if amount.used_us > 0 && amount.used_us >= amount.allowed_us => State::Exhausted,
            Some(_) if speaks[0] || speaks[1] => State::BurningFast,
            Some(_) if speaks[2] => State::BurningSlow,
            Some(_) => State::Ok,
        };
        prop_assert_eq!(got.state, state);
    }

    #[test]
    fn bounds_hold_the_figure(case in case()) {
        let (from, to) = case.period;
        let got = case.with(|members, terms| status(members, terms, span(from, to), at(MINUTES)));
        let ordered = |bounded: Bounded<f64>| match (bounded.unknown_down, bounded.value, bounded.unknown_up) {
            (Some(down), Some(value), Some(up)) => down <= value + 1e-12 && value <= up + 1e-12,
            (Some(down), None, Some(up)) => down <= up,
            (down, value, up) => down.is_none() && value.is_none() && up.is_none(),
        };
        prop_assert!(ordered(got.availability), "{:?}", got.availability);
        // Of what is left the share, as far as whole microseconds can tell.
        let share = |amount: Option<Amount>| amount.and_then(|amount| Some((amount.left_share()?, 2.0 / amount.allowed_us as f64)));
        let budget = &got.budget;
        if let (Some((down, a)), Some((value, b)), Some((up, c))) =
            (share(budget.unknown_down), share(budget.value), share(budget.unknown_up))
        {
            let slack = |x: f64, y: f64| (x + y) * (1.0 + value.abs().max(down.abs()));
            prop_assert!(down <= value + slack(a, b) && value <= up + slack(b, c), "{budget:?}");
        }
        if got.completeness == Some(1.0) {
            prop_assert_eq!(got.budget.unknown_down, got.budget.unknown_up);
        }
    }

    #[test]
    fn more_down_never_raises_what_is_left(case in case(), check in 0..4_usize, from in 0..MINUTES, length in 1..2000_i64) {
        let before = case.budget();
        let mut worse = case.clone();
        let index = check % worse.checks.len();
        for minute in &mut worse.checks[index].minutes[from as usize..(from + length).min(MINUTES) as usize] {
            if let Some(piece) = minute.as_mut().filter(|piece| piece.0 == Verdict::Up) {
                *piece = (Verdict::Down, 1000);
            }
        }
        let after = worse.budget();
        let left = |amount: Option<Amount>| amount.map(|amount| amount.left_us());
        prop_assert!(left(after.value) <= left(before.value), "{before:?} {after:?}");
        prop_assert!(left(after.unknown_down) <= left(before.unknown_down));
        prop_assert!(left(after.unknown_up) <= left(before.unknown_up));
    }

    #[test]
    fn one_check_adds_up(case in case(), cuts in vec(0..MINUTES, 0..5)) {
        let one = Case { checks: vec![case.checks[0].clone()], ..case };
        let one = Case { checks: vec![Check { weight: 1000, ..one.checks[0].clone() }], ..one };
        let (from, _) = one.period;
        let mut borders: Vec<i64> = cuts.into_iter().filter(|cut| *cut > from).chain([from, MINUTES]).collect();
        borders.sort_unstable();
        let used = |from, to| {
            let amount = one.with(|members, terms| budget(members, terms, span(from, to), at(MINUTES)).value);
            amount.map_or((0, 0), |amount| (amount.used_us, amount.allowed_us))
        };
        let whole = used(from, MINUTES);
        let parts = borders.windows(2).map(|pair| used(pair[0], pair[1])).fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        // Each part is rounded down to the microsecond: shares of votes and of what is allowed.
        let rounding = borders.len() as i64;
        prop_assert!((0..=rounding).contains(&(whole.0 - parts.0)), "{whole:?} {parts:?}");
        prop_assert!((0..=rounding).contains(&(whole.1 - parts.1)), "{whole:?} {parts:?}");
        // And it is what the policy's own reckoning says.
        let spans = one.checks[0].spans();
        let period = span(from, MINUTES);
        let within = sitepulse_model::accounting::cut(&spans, period);
        let hours: Option<Vec<Span>> = one.hours.as_ref().map(|hours| hours.iter().map(|(from, to)| span(*from, *to)).collect());
        let reckoned = Reckoning::of(&within, &one.rules, hours.as_deref());
        if reckoned.counted_us > 0 {
            let budget = reckoned.budget(Objective(one.objective));
            prop_assert_eq!((budget.allowed_us, budget.left_us), (whole.1, whole.1 - whole.0));
        }
    }

    #[test]
    fn a_burn_of_one_uses_it_exactly(objective in 1..1_000_000_u32, hours in 1..72_i64, weights in vec(1..5_u32, 1..4)) {
        // Over the 3 d window as the period, the allowed part of each hour is bad.
        let hour_us = 3_600_000_000_i64;
        let bad_us = hour_us * i64::from(1_000_000 - objective) / 1_000_000;
        let mut spans = Vec::new();
        let piece = |from: i64, to: i64, verdict| VerdictSpan {
            span: Span::new(UtcMicros(from), UtcMicros(to)),
            verdict,
            share_down: (0, 1000),
            unknown_cause: None,
            quorum_reduced: false,
        };
        for hour in 0..72 {
            let from = hour * hour_us;
            spans.push(piece(from, from + bad_us, Verdict::Down));
            spans.push(piece(from + bad_us, from + hour_us, Verdict::Up));
        }
        let members: Vec<Member<'_>> =
            weights.iter().map(|weight| Member { weight: Weight(*weight * 1000), spans: &spans, lives: true }).collect();
        let objective = Objective(objective);
        let always = Span::new(UtcMicros::MIN, UtcMicros::MAX);
        let terms = [Term { span: always, version: 1, rules: Rules::default(), objective, hours: None }];
        let terms = Terms { objective, terms: &terms };
        let now = UtcMicros(72 * hour_us);
        let got = status(&members, &terms, Span::new(UtcMicros(0), now), now);
        prop_assert!(near(got.burns[2].long.rate.value, Some(1.0), 1e-12), "{got:?}");
        prop_assert_eq!(got.budget.value.map(|amount| amount.left_us()), Some(0));
        prop_assert!(got.burns[2].long.reached);
        prop_assert_eq!(got.state, State::Exhausted);
        // Some hours of it use as much as they are of the whole.
        let part = budget(&members, &terms, Span::new(UtcMicros(0), UtcMicros(hours * hour_us)), now);
        prop_assert_eq!(part.value.map(|amount| amount.left_us()), Some(0));
    }
}
