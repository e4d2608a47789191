//! What is said of pages, beside the naive reading of it: assertions, sketches, regressions.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sitepulse_model::check::DurationUs;
use sitepulse_model::expect::{self, Expectation, Observed};
use sitepulse_model::record::{Facts, Phases, ProbeState};
use sitepulse_model::sketch::{SKETCH_BYTES_MAX, Sketch};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::profile::{Milli, Thresholds};
use sitepulse_model::vitals::regression::{Regression, Rule, Run, regression};
use sitepulse_model::vitals::{Spread, Vital};

fn thresholds() -> impl Strategy<Value = Thresholds> {
    let ms = || (0..5_000_u64, 0..5_000_u64).prop_map(|(a, b)| [a.min(b), a.max(b)].map(|ms| DurationUs(ms * 1_000)));
    let score = (0..400_u32, 0..400_u32).prop_map(|(a, b)| [Milli(a.min(b)), Milli(a.max(b))]);
    (ms(), score, ms(), ms(), ms(), ms()).prop_map(|(lcp, cls, inp, tbt, fcp, ttfb)| Thresholds {
        lcp,
        cls,
        inp,
        tbt,
        fcp,
        ttfb,
    })
}

fn compared(left: f64, sign: &str, right: f64) -> bool {
    match sign {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        other => panic!("{other}"),
    }
}

/// Values of all sizes, many of them near each other.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300_u64,
        0..100_000_u64,
        1_000_000..60_000_000_u64,
        any::<u64>(),
        (0..64_u32).prop_map(|bit| 1 << bit)
    ]
}

/// Values whose largest is at most a million times the smallest that is not 0.
fn near_value() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, 0..5_000_u64, 100_000..10_000_000_u64]
}

fn sketch(values: &[u64]) -> Sketch {
    let mut sketch = Sketch::new();
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

/// The definition, word by word: the first run of the first regression, and the run that it is called with.
fn naive(values: &[u64], rule: &Rule) -> Option<(usize, usize)> {
    let median = |values: &[u64]| {
        let mut values = values.to_vec();
        values.sort_unstable();
        values[(values.len() - 1) / 2]
    };
    (rule.baseline_runs_min..values.len()).find_map(|first| {
        let baseline = median(&values[..first]);
        let beyond = |value: &u64| {
            *value > baseline + rule.step
                && *value as f64 > baseline as f64 * (1.0 + f64::from(rule.share_per_mille) / 1e3)
        };
        let called = first + rule.runs;
        (called <= values.len() && values[first..called].iter().all(beyond)).then_some((first, called - 1))
    })
}

fn series(values: &[u64]) -> Vec<Run> {
    (0..).zip(values).map(|(at, value)| Run { at: UtcMicros(at), value: *value, low_confidence: false }).collect()
}

fn said_of(values: &[u64], vital: Vital) -> Option<Regression> {
    regression(series(values), &Rule::of(vital))
}

/// Around a level, off by at most so many thousandths.
fn noise(level: u64, per_mille: u64, runs: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u64>> {
    vec((1_000 - per_mille..=1_000 + per_mille).prop_map(move |share| level * share / 1_000), runs)
}

proptest! {
    #![proptest_config(crate::cases(512))]

    #[test]
    fn vitals_are_compared_as_their_numbers(
        vital in select(&Vital::ALL[..]),
        median in proptest::option::of(prop_oneof![0..6_000_000_u64, 0..5_000_u64]),
        own in proptest::option::of(thresholds()),
        sign in select(&["<", "<=", ">", ">="][..]),
        bound in select(&["good", "poor"][..]),
        rule in select(&["", "down if ", "degraded if "][..]),
        exactly in any::<bool>(),
    ) {
        let used = own.unwrap_or_default();
        let [good, poor] = match vital {
            Vital::Cls => used.cls.map(|score| f64::from(score.0) * 10.0),
            Vital::Lcp => used.lcp.map(|us| us.0 as f64),
            Vital::Inp => used.inp.map(|us| us.0 as f64),
            Vital::Tbt => used.tbt.map(|us| us.0 as f64),
            Vital::Fcp => used.fcp.map(|us| us.0 as f64),
            Vital::Ttfb => used.ttfb.map(|us| us.0 as f64),
        };
        let right = if bound == "good" { good } else { poor };
        let median = median.map(|median| if exactly { right as u64 } else { median });
        let mut facts = Facts::default();
        if let Some(median) = median {
            Spread { median, min: median / 2, max: median * 2 }.note(vital, &mut facts);
        }
        let text = format!("{rule}{} {sign} {bound}", vital.as_str());
        let list = [Expectation::parse(&text, "web_vitals").unwrap()];
        let observed = Observed {
            facts: &facts,
            body: b"",
            body_bytes: 0,
            body_truncated: false,
            headers: &(),
            phases: Phases::default(),
            now: UtcMicros(0),
            thresholds: own.as_ref(),
        };
        let outcome = expect::evaluate(&list, &observed);
        let holds = median.is_some_and(|median| compared(median as f64, sign, right));
        let state = match (rule, holds) {
            ("", false) | ("down if ", true) => ProbeState::Down,
            ("degraded if ", true) => ProbeState::Degraded,
            _ => ProbeState::Up,
        };
        prop_assert_eq!(outcome.state, state, "{} of {:?} against {}", text, median, right);
        if let Some(broken) = outcome.broken {
            let absent = format!("{} was not measured", vital.as_str());
            let told = if median.is_none() { broken.explanation.starts_with(&absent) } else { broken.explanation.contains(&format!("{sign} {bound} (")) };
            prop_assert!(told, "{}", broken.explanation);
        }
    }

    #[test]
    fn quantiles_are_off_by_a_percent_at_most(values in vec(near_value(), 1..400), per_mille in 0..=1_000_u32) {
        let found = sketch(&values).quantile(per_mille).unwrap();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let rank = (f64::from(per_mille) * values.len() as f64 / 1e3 - 1e-9).ceil().max(1.0) as usize;
        let exact = sorted[rank - 1];
        prop_assert!(found.abs_diff(exact) * 100 <= exact, "{} instead of {}", found, exact);
        if exact < 128 { prop_assert_eq!(found, exact); }
    }

    #[test]
    fn a_sketch_knows_only_the_values(values in vec(value(), 0..200), times in 1..4_u64, seed in any::<u64>(), parts in 1..9_usize) {
        let whole = sketch(&values);
        prop_assert_eq!(whole.count(), values.len() as u128);
        prop_assert_eq!(whole.sum(), values.iter().map(|value| u128::from(*value)).sum::<u128>());
        prop_assert_eq!((whole.min(), whole.max()), (values.iter().min().copied(), values.iter().max().copied()));
        // Spread over several, in another order, merged in another order.
        let random = |n: usize| (seed ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n as u32 % 64);
        let mut shuffled: Vec<(u64, u64)> = values.iter().enumerate().map(|(n, value)| (random(n), *value)).collect();
        shuffled.sort_unstable();
        let mut split = vec![Sketch::new(); parts];
        for (random, value) in &shuffled {
            split[(random % parts as u64) as usize].add(*value);
        }
        let mut one_by_one = Sketch::new();
        split.iter().for_each(|part| one_by_one.merge(part));
        prop_assert_eq!(&one_by_one, &whole);
        // Two and two, from the end.
        while split.len() > 1 {
            let (last, before) = (split.pop().unwrap(), split.pop().unwrap());
            let mut both = last;
            both.merge(&before);
            split.insert(split.len() / 2, both);
        }
        prop_assert_eq!(split[0].to_bytes(), whole.to_bytes());
        let mut repeated = Sketch::new();
        values.iter().for_each(|value| repeated.add_many(*value, times));
        prop_assert_eq!(repeated.quantile(750).is_some(), !values.is_empty());
        prop_assert_eq!(repeated.count(), whole.count() * u128::from(times));
    }

    #[test]
    fn sketches_are_read_as_they_were_written(values in vec((value(), 1..u64::MAX), 0..200)) {
        let mut whole = Sketch::new();
        values.iter().for_each(|(value, times)| whole.add_many(*value, *times));
        let bytes = whole.to_bytes();
        prop_assert!(bytes.len() <= SKETCH_BYTES_MAX);
        prop_assert_eq!(Sketch::from_bytes(&bytes), Ok(whole));
    }

    #[test]
    fn bytes_are_a_sketch_or_they_are_not(mut bytes in vec(any::<u8>(), 0..40), first in any::<bool>()) {
        if let (true, Some(version)) = (first, bytes.first_mut()) { *version = 1; }
        if let Ok(found) = Sketch::from_bytes(&bytes) {
            prop_assert_eq!(found.to_bytes(), bytes, "what is read has one form");
            prop_assert_eq!(found.quantile(500).is_some(), !found.is_empty());
        }
    }

    #[test]
    fn a_regression_is_called_where_the_definition_calls_it(vital in select(&Vital::ALL[..]), values in vec(select(&[1_000_000_u64, 1_040_000, 1_090_000, 1_150_000, 1_200_000, 1_300_000][..]), 0..40)) {
        let scale = if vital.is_duration() { 1 } else { 1_000 };
        let values: Vec<u64> = values.iter().map(|value| value / scale).collect();
        let rule = Rule::of(vital);
        let first = (0..=values.len()).find_map(|runs| said_of(&values[..runs], vital).map(|found| (found, runs)));
        match (naive(&values, &rule), first) {
            (None, None) => {}
            (Some((begun, called)), Some((found, runs))) => {
                prop_assert_eq!((found.since, runs, found.runs), (UtcMicros(begun as i64), called + 1, rule.runs));
                prop_assert!(found.median > rule.limit(found.baseline));
            }
            (naive, found) => prop_assert!(false, "{:?} beside {:?}", naive, found),
        }
    }

    #[test]
    fn one_run_never_makes_a_regression(values in noise(2_000_000, 40, 9..60), at in any::<prop::sample::Index>(), outlier in any::<u64>(), vital in select(&Vital::ALL[..])) {
        let mut values = values;
        let at = at.index(values.len());
        values[at] = outlier;
        for runs in 0..=values.len() {
            prop_assert_eq!(said_of(&values[..runs], vital), None);
        }
    }

    #[test]
    fn noise_never_makes_a_regression(level in 0..100_000_000_u64, share in vec(960..=1_040_u64, 0..100), vital in select(&Vital::ALL[..])) {
        let values: Vec<u64> = share.iter().map(|share| level * share / 1_000).collect();
        prop_assert_eq!(said_of(&values, vital), None);
    }

    #[test]
    fn a_step_that_holds_always_makes_a_regression(
        vital in select(&[Vital::Lcp, Vital::Fcp, Vital::Ttfb, Vital::Inp, Vital::Tbt][..]),
        level in 500_000..20_000_000_u64,
        before in vec(970..=1_030_u64, 8..80),
        since in vec(1_270..=1_330_u64, 3..30),
        doubted in vec(any::<u64>(), 0..5),
    ) {
        let at = |share: &u64| level * share / 1_000;
        let values: Vec<u64> = before.iter().chain(&since).map(at).collect();
        let mut runs = series(&values);
        // Runs under pressure in the midst of it change nothing.
        for value in doubted {
            let place = (value % (runs.len() as u64 + 1)) as usize;
            let at = runs.get(place).map_or(UtcMicros(i64::MAX), |run| run.at);
            runs.insert(place, Run { at, value, low_confidence: true });
        }
        let found = regression(runs, &Rule::of(vital)).unwrap();
        prop_assert_eq!((found.since, found.runs), (UtcMicros(before.len() as i64), since.len()));
        prop_assert!(found.median > found.baseline);
    }
}
