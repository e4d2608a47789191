//! The verdict turns again and again.
//!
//! Counted, not estimated: a turn is a change between good (`up`) and bad (`degraded`, `regional`, `down`), told by verdicts next to each other; unknown time and
//! maintenance between them are passed over. An incident marks itself flapping by more than four turns in half an hour, as Nagios does by a share of state changes; that rule is here
//! too, and besides it the slow kind that no incident sees: [`Flapping::turns_new`] turns in a day, so five times bad and good again.
//!
//! **Needs** nothing more than the verdicts of a day. **Stays** down to [`Flapping::turns_known`] turns in a day. **Confidence** is the share of the turns that
//! were seen: with unknown time between good and bad nobody saw the turn.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::found::{Evidence, Found};
use super::input::Verdicts;
use super::thresholds::Flapping;
use super::{Severity, Subject, robust};
use crate::time::{Span, UtcMicros};
use crate::vote::Verdict;

/// What an incident's own rule looks at.
const HALF_HOUR_US: i64 = 1_800_000_000;

/// A stretch of good or bad time.
struct Stretch {
    span: Span,
    bad: bool,
    /// Of bad time: worse than degraded.
    down: bool,
    /// Nothing unknown lies between it and the one before.
    joined: bool,
}

/// The flapping of a check, at `now`.
pub fn find(verdicts: &Verdicts<'_>, thresholds: &Flapping, now: UtcMicros) -> Option<Found> {
    let window = Span::new(now.plus_us(-thresholds.window_us), now);
    let stretches = stretches(verdicts, window);
    let turns: Vec<&Stretch> = stretches.iter().skip(1).collect();
    let at = |turn: &Stretch| turn.span.from;
    let half_hour = |from: UtcMicros| {
        turns.iter().filter(|turn| Span::new(from, from.plus_us(HALF_HOUR_US)).contains(at(turn))).count() as u32
    };
    let turns_half_hour = turns.iter().map(|turn| half_hour(at(turn))).max().unwrap_or(0);
    let count = turns.len() as u32;
    let enough = if verdicts.known_since.is_some() { thresholds.turns_known } else { thresholds.turns_new };
    if count < enough && turns_half_hour < thresholds.turns_half_hour {
        return None;
    }
    let bad: Vec<&Stretch> = stretches.iter().filter(|stretch| stretch.bad).collect();
    let down = bad.iter().any(|stretch| stretch.down);
    let evidence = Evidence::Flapping {
        turns: count,
        window_us: thresholds.window_us,
        turns_half_hour,
        episodes: bad.len() as u32,
        episode_us: robust::median(bad.iter().map(|stretch| stretch.span.us() as f64)).unwrap_or(0.0) as i64,
        bad_us: bad.iter().map(|stretch| stretch.span.us()).sum(),
        down,
    };
    let subject = Subject::Check { check: verdicts.check.to_string(), part: String::new() };
    let seen = turns.iter().filter(|turn| turn.joined).count();
    let confidence = robust::share(seen as f64 / f64::from(count.max(1)));
    let severity = if down { Severity::Warning } else { Severity::Info };
    let since = verdicts.known_since.or_else(|| turns.first().map(|turn| at(turn)))?;
    Some(Found::new(subject, severity, confidence, evidence, since))
}

/// The good and bad stretches within a window, in their order; two that follow each other differ.
fn stretches(verdicts: &Verdicts<'_>, window: Span) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut joined = true;
    for one in verdicts.spans {
        let span = one.span.clip(window);
        if span.is_empty() {
            continue;
        }
        let (bad, down) = match one.verdict {
            Verdict::Up => (false, false),
            Verdict::Degraded => (true, false),
            Verdict::Regional | Verdict::Down => (true, true),
            Verdict::Unknown | Verdict::Maintenance => {
                joined = false;
                continue;
            }
        };
        match stretches.last_mut() {
            Some(last) if last.bad == bad => {
                last.span.to = span.to;
                last.down |= down;
            }
            _ => stretches.push(Stretch { span, bad, down, joined }),
        }
        joined = true;
    }
    stretches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::insight::DAY_US;

    const MINUTE_US: i64 = 60_000_000;
    const NOW: UtcMicros = UtcMicros(100 * DAY_US);

    fn spans(of: &[(Verdict, i64)]) -> Vec<crate::vote::VerdictSpan> {
        let total: i64 = of.iter().map(|(_, minutes)| minutes * MINUTE_US).sum();
        let mut from = NOW.plus_us(-total);
        of.iter()
            .map(|(verdict, minutes)| {
                let span = Span::new(from, from.plus_us(minutes * MINUTE_US));
                from = span.to;
                crate::vote::VerdictSpan {
                    span,
                    verdict: *verdict,
                    share_down: (0, 1),
                    unknown_cause: None,
                    quorum_reduced: false,
                }
            })
            .collect()
    }

    fn found(of: &[(Verdict, i64)], known: bool) -> Option<Found> {
        let known_since = known.then_some(UtcMicros(7));
        find(&Verdicts { check: "shop", spans: &spans(of), known_since }, &Flapping::default(), NOW)
    }

    #[test]
    fn slow_and_fast_flapping_are_found() {
        let slowly = [(Verdict::Up, 60), (Verdict::Down, 5)].repeat(5);
        let ends_up = [&slowly[..], &[(Verdict::Up, 60)]].concat();
        let Evidence::Flapping { turns, episodes, episode_us, bad_us, down, .. } =
            found(&ends_up, false).unwrap().evidence
        else {
            panic!("another kind")
        };
        assert_eq!((turns, episodes, episode_us, bad_us, down), (10, 5, 5 * MINUTE_US, 25 * MINUTE_US, true));
        assert_eq!(found(&slowly, false), None, "nine turns");
        assert!(found(&slowly, true).is_some(), "it stays");
        let fast = [(Verdict::Up, 4), (Verdict::Down, 4)].repeat(3);
        assert!(found(&fast, false).is_some(), "five turns in 20 minutes");
        assert_eq!(found(&fast[..5], false), None, "four are not more than four");
    }

    #[test]
    fn bad_kinds_of_bad_are_one_and_unknown_time_is_passed_over() {
        let worse = [(Verdict::Up, 60), (Verdict::Regional, 2), (Verdict::Down, 2), (Verdict::Degraded, 2)].repeat(5);
        assert_eq!(found(&worse, false), None, "nine turns");
        let degraded = [(Verdict::Up, 60), (Verdict::Degraded, 2)].repeat(6);
        assert_eq!(found(&degraded, false).unwrap().severity, Severity::Info);
        let gaps = [(Verdict::Up, 60), (Verdict::Unknown, 2), (Verdict::Down, 2)].repeat(6);
        assert_eq!(found(&gaps, false).unwrap().confidence.0, 455, "five of eleven turns were seen");
        let silent = [(Verdict::Up, 60), (Verdict::Unknown, 2)].repeat(20);
        assert_eq!(found(&silent, false), None);
        let planned = [(Verdict::Up, 60), (Verdict::Maintenance, 2)].repeat(20);
        assert_eq!(found(&planned, false), None);
    }

    proptest! {
        #[test]
        fn cutting_spans_changes_nothing_and_turns_beyond_the_day_do_not_count(
            lengths in prop::collection::vec(1_i64..200, 1..40), cut in 1_i64..200,
        ) {
            let of: Vec<(Verdict, i64)> = lengths
                .iter()
                .enumerate()
                .map(|(index, minutes)| (if index % 2 == 0 { Verdict::Up } else { Verdict::Down }, *minutes))
                .collect();
            let cut: Vec<(Verdict, i64)> = of
                .iter()
                .flat_map(|(verdict, minutes)| [(*verdict, (*minutes).min(cut)), (*verdict, minutes - (*minutes).min(cut))])
                .filter(|(_, minutes)| *minutes > 0)
                .collect();
            prop_assert_eq!(found(&of, false), found(&cut, false));
            let earlier: Vec<(Verdict, i64)> =
                [(Verdict::Down, 3), (Verdict::Up, 3)].repeat(30).into_iter().chain([(Verdict::Up, 24 * 60)]).collect();
            prop_assert_eq!(found(&earlier, false), None);
        }
    }
}
