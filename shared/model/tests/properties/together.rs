//! Figures of several checks together: what is unknown is told by cause and adds up, by the formulas and under any accounting policy.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sitepulse_model::accounting::{Counting, Reckoning, Rules};
use sitepulse_model::control::Weight;
use sitepulse_model::sla::{Account, Figures, Together};
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};
use sitepulse_model::timeline::UnknownCause;
use sitepulse_model::vote::{Verdict, VerdictSpan};

use crate::cases;

fn verdicts() -> impl Strategy<Value = Vec<VerdictSpan>> {
    let kinds = [
        (Verdict::Up, None),
        (Verdict::Degraded, None),
        (Verdict::Regional, None),
        (Verdict::Down, None),
        (Verdict::Maintenance, None),
    ];
    let unknown = UnknownCause::ALL.iter().map(|cause| (Verdict::Unknown, Some(*cause)));
    let kinds: Vec<_> = kinds.into_iter().chain(unknown).collect();
    let piece = (select(kinds), 1..500_i64, 0..=4_u64);
    vec(piece, 0..8).prop_map(|pieces| {
        let mut from = 0;
        let mut spans = Vec::new();
        for ((verdict, unknown_cause), seconds, votes) in pieces {
            let to = from + seconds * SECOND_US;
            let share_down = match verdict {
                Verdict::Up | Verdict::Degraded => (0, 4),
                Verdict::Regional => (1, 4),
                Verdict::Down => (3, 4),
                // Some of it nobody could vote in.
                Verdict::Maintenance => (votes.min(1), votes),
                Verdict::Unknown => (0, 0),
            };
            let span = Span::new(UtcMicros(from), UtcMicros(to));
            spans.push(VerdictSpan { span, verdict, share_down, unknown_cause, quorum_reduced: false });
            from = to;
        }
        spans
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let plain = || select(&[Counting::Excluded, Counting::Up, Counting::Down][..]);
    let by_share = || select(&[Counting::Excluded, Counting::Up, Counting::Down, Counting::ByShare][..]);
    (by_share(), plain(), plain(), by_share()).prop_map(|(maintenance, unknown, degraded, regional)| Rules {
        maintenance,
        unknown,
        degraded,
        regional,
    })
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn unknown_by_cause_adds_up_to_what_completeness_leaves_open(
        checks in vec((0..4_u32, verdicts(), proptest::option::of(rules())), 0..6)
    ) {
        let of = |(weight, spans, rules): &(u32, Vec<VerdictSpan>, Option<Rules>)| {
            let figures = match rules {
                Some(rules) => Figures::from(&Reckoning::of(spans, rules, None)),
                None => Figures::from(&Account::of(spans)),
            };
            (Weight(weight * 1000), figures)
        };
        let figures: Vec<(Weight, Figures)> = checks.iter().map(of).collect();
        for (_, one) in &figures {
            prop_assert_eq!(one.unknown.is_some(), one.completeness.is_some());
            if let (Some(unknown), Some(completeness)) = (one.unknown, one.completeness) {
                prop_assert!(close(unknown.total(), 1.0 - completeness), "{:?}", one);
            }
        }
        // The bounds of the availability that a regional outage costs its share, of each and of the mean.
        let together = Together::of(&figures);
        let mean = (together.weighted_lower, together.weighted_availability, together.weighted_upper);
        let each = figures.iter().map(|(_, one)| (one.weighted_lower, one.weighted_availability, one.weighted_upper));
        for bounds in each {
            if let (Some(lower), Some(value), Some(upper)) = bounds {
                prop_assert!(lower <= value + 1e-12 && value <= upper + 1e-12, "{:?}", bounds);
            }
        }
        if let (Some(lower), Some(value), Some(upper)) = mean {
            prop_assert!((0.0..=1.0).contains(&lower) && lower <= value + 1e-12 && value <= upper + 1e-12, "{:?}", mean);
        }
        prop_assert_eq!((mean.0.is_some(), mean.2.is_some()), (together.lower.is_some(), together.upper.is_some()));
        prop_assert_eq!(together.unknown.is_some(), together.completeness.is_some());
        let (Some(unknown), Some(completeness)) = (together.unknown, together.completeness) else { return Ok(()) };
        prop_assert!(close(unknown.total(), 1.0 - completeness), "{:?}", together);
        // The mean of one cause, found the plain way: over the checks that have time outside maintenance.
        let (mut offline, mut weights) = (0.0, 0.0);
        for ((weight, spans, rules), (_, one)) in checks.iter().zip(&figures) {
            if one.completeness.is_none() {
                continue;
            }
            let us = |wanted: &dyn Fn(&VerdictSpan) -> bool| -> f64 {
                spans.iter().filter(|span| wanted(span)).map(|span| span.span.us() as f64).sum()
            };
            let counts = |span: &VerdictSpan| match rules {
                None => span.verdict != Verdict::Maintenance,
                Some(rules) => {
                    let (verdict, counting) = rules.counting(span);
                    verdict == Verdict::Unknown || counting != Counting::Excluded
                }
            };
            let whole = us(&counts);
            offline += f64::from(*weight) * us(&|span| span.unknown_cause == Some(UnknownCause::AgentOffline)) / whole;
            weights += f64::from(*weight);
        }
        prop_assert!(close(unknown.agent_offline, offline / weights), "{} {}", unknown.agent_offline, offline / weights);
    }
}
