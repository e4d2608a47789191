//! What terms make of verdicts against the definitions, second by second.

use proptest::collection::vec;
use proptest::prelude::*;
use sitepulse_model::accounting::{Counting, Objective, Reckoning, Rules};
use sitepulse_model::sla::Account;
use sitepulse_model::terms::{Reckoned, Term, shares};
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};
use sitepulse_model::timeline::UnknownCause;
use sitepulse_model::vote::{Verdict, VerdictSpan};

use crate::cases;

const END: i64 = 200;

fn span(from: i64, to: i64) -> Span {
    Span::new(UtcMicros(from * SECOND_US), UtcMicros(to * SECOND_US))
}

fn counting() -> impl Strategy<Value = Counting> {
    prop::sample::select(vec![Counting::Excluded, Counting::Up, Counting::Down, Counting::ByShare])
}

fn rules() -> impl Strategy<Value = Rules> {
    let shareless = || prop::sample::select(vec![Counting::Excluded, Counting::Up, Counting::Down]);
    (counting(), shareless(), shareless(), counting()).prop_map(|(maintenance, unknown, degraded, regional)| Rules {
        maintenance,
        unknown,
        degraded,
        regional,
    })
}

/// Verdicts one after the other, with what votes they can rest on.
fn verdicts() -> impl Strategy<Value = Vec<VerdictSpan>> {
    let one = (1..40_i64, 0..6_usize, 0..5_u64, 1..5_u64, any::<bool>());
    vec(one, 1..12).prop_map(|parts| {
        let mut from = 0;
        let mut out = Vec::new();
        for (length, verdict, down, live, blind) in parts {
            let verdict = Verdict::ALL[verdict];
            let down = down.min(live);
            let share_down = match verdict {
                Verdict::Up | Verdict::Degraded => (0, live),
                Verdict::Regional | Verdict::Down => (down.max(1), live),
                Verdict::Unknown => (0, 0),
                Verdict::Maintenance if blind => (0, 0),
                Verdict::Maintenance => (down, live),
            };
            let unknown_cause = (verdict == Verdict::Unknown).then_some(UnknownCause::Shed);
            let to = from + length;
            out.push(VerdictSpan { span: span(from, to), verdict, share_down, unknown_cause, quorum_reduced: false });
            from = to;
        }
        out
    })
}

fn term() -> impl Strategy<Value = (i64, Rules, u32, Option<Vec<(i64, i64)>>)> {
    let hours = vec((0..END * 2, 0..60_i64), 0..6);
    (1..120_i64, rules(), 0..=1_000_000_u32, prop::option::of(hours))
}

/// Terms one after the other, with gaps, as a policy's versions are when it was retired between.
fn terms() -> impl Strategy<Value = Vec<Term>> {
    vec((term(), 0..30_i64), 0..4).prop_map(|parts| {
        let mut from = 0;
        let mut out = Vec::new();
        for (version, ((length, rules, objective, hours), gap)) in (1..).zip(parts) {
            let whole = span(from + gap, from + gap + length);
            let hours = hours.map(|hours| {
                let spans = hours.into_iter().map(|(from, length)| span(from, from + length).clip(whole)).collect();
                sitepulse_model::time::union(spans)
            });
            out.push(Term { span: whole, version, rules, objective: Objective(objective.max(1)), hours });
            from += gap + length;
        }
        out
    })
}

/// Seconds counted, bad (in twelfths, for shares are of 1 to 4 votes), excluded, outside, unknown; and what may be bad, in millionths.
#[derive(Debug, Default, PartialEq)]
struct Naive {
    counted: i64,
    bad: i64,
    excluded: i64,
    outside: i64,
    unknown: i64,
    allowed: i64,
}

fn naive(terms: &[Term], verdicts: &[VerdictSpan]) -> Naive {
    let mut sum = Naive::default();
    for verdict in verdicts {
        for second in verdict.span.from.0 / SECOND_US..verdict.span.to.0 / SECOND_US {
            let now = UtcMicros(second * SECOND_US);
            let term = terms.iter().find(|term| term.span.contains(now));
            let served =
                |term: &&Term| term.hours.as_ref().is_none_or(|hours| hours.iter().any(|hour| hour.contains(now)));
            let Some(term) = term.filter(served) else {
                sum.outside += 1;
                continue;
            };
            let (down, live) = verdict.share_down;
            let Rules { maintenance, unknown, degraded, regional } = term.rules;
            let blind = verdict.verdict == Verdict::Maintenance && maintenance == Counting::ByShare && live == 0;
            let counting = match verdict.verdict {
                Verdict::Up => Counting::Up,
                Verdict::Down => Counting::Down,
                Verdict::Degraded => degraded,
                Verdict::Regional => regional,
                Verdict::Unknown => unknown,
                Verdict::Maintenance if blind => unknown,
                Verdict::Maintenance => maintenance,
            };
            sum.unknown += i64::from(blind || verdict.verdict == Verdict::Unknown);
            let twelfths = match counting {
                Counting::Excluded => {
                    sum.excluded += 1;
                    continue;
                }
                Counting::Up => 0,
                Counting::Down => 12,
                Counting::ByShare => i64::try_from(down * 12 / live).unwrap(),
            };
            sum.counted += 1;
            sum.bad += twelfths;
            sum.allowed += i64::from(term.objective.allowed());
        }
    }
    sum
}

/// Whether two ratios differ by no more than a share is cut.
fn close(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-8,
        (one, other) => one == other,
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn time_counts_as_the_terms_say(terms in terms(), verdicts in verdicts()) {
        let (sum, naive) = (Reckoned::of(&terms, &verdicts), naive(&terms, &verdicts));
        let counts = sum.counts;
        let seconds = [counts.counted_us, counts.excluded_us, counts.outside_us, counts.unknown_us];
        let expected = [naive.counted, naive.excluded, naive.outside, naive.unknown];
        prop_assert_eq!(seconds, expected.map(|seconds| seconds * SECOND_US));
        let period: i64 = verdicts.iter().map(|verdict| verdict.span.us()).sum();
        prop_assert_eq!(counts.counted_us + counts.excluded_us + counts.outside_us, period);
        // A share is cut to billionths.
        let bad = naive.bad as f64 / 12.0;
        prop_assert!((counts.down_seconds() - bad).abs() < 1e-6, "{} {}", counts.down_seconds(), bad);
        let availability = (naive.counted > 0).then(|| 1.0 - bad / naive.counted as f64);
        prop_assert!(close(counts.availability(), availability));
        prop_assert_eq!(sum.budget().allowed_us, naive.allowed);
        if (bad * 1e6 - naive.allowed as f64).abs() > 1.0 {
            prop_assert_eq!(sum.met(), (naive.counted > 0).then_some(bad * 1e6 < naive.allowed as f64));
        }
        // The bounds hold the figure, whatever unknown time counts as, and meet where all is known.
        if let (Some(figure), Some(lower), Some(upper)) = (counts.availability(), counts.lower(), counts.upper()) {
            prop_assert!(lower <= figure + 1e-12 && figure <= upper + 1e-12, "{lower} {figure} {upper}");
            if counts.unknown_us == 0 {
                prop_assert_eq!((lower, counts.completeness()), (upper, Some(1.0)));
            }
        }
    }

    #[test]
    fn parts_add_up_to_the_whole_however_it_is_cut(terms in terms(), verdicts in verdicts(), cuts in vec(1..END, 0..6)) {
        let whole = Reckoned::of(&terms, &verdicts);
        let mut pieces = Vec::new();
        for verdict in &verdicts {
            let mut from = verdict.span.from;
            let mut inside: Vec<UtcMicros> =
                cuts.iter().map(|cut| UtcMicros(cut * SECOND_US)).filter(|cut| verdict.span.contains(*cut)).collect();
            inside.sort_unstable();
            for to in inside.into_iter().chain([verdict.span.to]) {
                let span = Span::new(from, to);
                from = to;
                if !span.is_empty() {
                    pieces.push(VerdictSpan { span, ..*verdict });
                }
            }
        }
        prop_assert_eq!(Reckoned::of(&terms, &pieces), whole, "an explanation cuts the same time finer");
        let mut sum = Reckoning::default();
        for piece in &pieces {
            for share in shares(&terms, &[*piece]) {
                sum += share.counts;
            }
        }
        prop_assert_eq!(sum, whole.counts);
        let kept = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(serde_json::from_str::<Reckoned>(&kept).unwrap(), whole);
    }

    #[test]
    fn the_built_in_rules_are_the_formulas_of_accounts(verdicts in verdicts()) {
        let (counts, account) = (Reckoning::of(&verdicts, &Rules::default(), None), Account::of(&verdicts));
        prop_assert_eq!(counts.availability(), account.availability());
        prop_assert_eq!(counts.completeness(), account.completeness());
        prop_assert_eq!((counts.lower(), counts.upper()), (account.lower(), account.upper()));
        prop_assert!(close(counts.weighted_availability(), account.weighted_availability()));
    }
}
