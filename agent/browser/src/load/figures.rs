//! From raw entries to figures. All pure: the definitions of the vitals as they stand in the specifications, and what a laboratory adds to them (what is
//! scripted does not count as the page's doing).

use std::collections::BTreeMap;

use sitepulse_model::vitals::CLS_SCALE;
use sitepulse_model::vitals::report::{Interaction, LISTED_MAX, Shift as ReportedShift};

use super::entries::{Entries, InputEvent, Paint, Shift, Task};

/// A task blocks with what it takes beyond this.
const BLOCKING_US: u64 = 50_000;
/// A session window of shifts ends with a gap of this.
const SESSION_GAP_US: u64 = 1_000_000;
/// A session window is at most this long.
const SESSION_US_MAX: u64 = 5_000_000;
/// Shifts so soon after input are the answer to it.
const INPUT_US: u64 = 500_000;
/// An interaction that is too fast for the browser to report took at most this.
const UNREPORTED_US: u64 = 16_000;
/// One slow interaction of so many is forgiven.
const INTERACTIONS_PER_OUTLIER: usize = 50;

/// Input that was dispatched, in the page's time: it arrived between the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dispatched {
    /// What it was: `click #menu`.
    pub(crate) action: String,
    /// Just before it was sent.
    pub(crate) from_us: u64,
    /// Just after it was taken.
    pub(crate) to_us: u64,
}

/// Whether a shift counts. The browser's own mark (`hadRecentInput`) is heeded only where there was input: emulated mobile screens set it with none.
/// After a click by script (consent) the browser makes no mark, and none is needed.
fn counts(shift: &Shift, inputs: &[Dispatched], consents_us: &[u64]) -> bool {
    let after = |from: u64, to: u64| (from..=to.saturating_add(INPUT_US)).contains(&shift.at_us);
    let answered = shift.recent_input && inputs.iter().any(|input| after(input.from_us, input.to_us));
    !answered && !consents_us.iter().any(|&at| after(at, at))
}

/// The shifts that count, in order of time.
fn counted<'a>(entries: &'a Entries, inputs: &[Dispatched]) -> Vec<&'a Shift> {
    let mut shifts: Vec<&Shift> =
        entries.shifts.iter().filter(|shift| counts(shift, inputs, &entries.consents_us)).collect();
    shifts.sort_by_key(|shift| shift.at_us);
    shifts
}

/// CLS in ten-thousandths: the largest session window. A window ends with a second without shifts, or after five.
pub(crate) fn cls(entries: &Entries, inputs: &[Dispatched]) -> u64 {
    let (mut largest, mut sum, mut first, mut last) = (0.0_f64, 0.0, 0, 0);
    for shift in counted(entries, inputs) {
        let goes_on = sum > 0.0 && shift.at_us - last < SESSION_GAP_US && shift.at_us - first < SESSION_US_MAX;
        if !goes_on {
            (sum, first) = (0.0, shift.at_us);
        }
        sum += shift.score;
        last = shift.at_us;
        largest = largest.max(sum);
    }
    scaled(largest)
}

fn scaled(score: f64) -> u64 {
    (score * CLS_SCALE as f64).round() as u64
}

/// The largest shifts, largest first.
pub(crate) fn largest_shifts(entries: &Entries, inputs: &[Dispatched]) -> Vec<ReportedShift> {
    let mut shifts = counted(entries, inputs);
    shifts.sort_by(|a, b| b.score.total_cmp(&a.score));
    let reported = |shift: &Shift| ReportedShift {
        at_us: shift.at_us,
        score: scaled(shift.score),
        sources: shift.sources.clone(),
    };
    shifts.into_iter().take(LISTED_MAX).map(reported).filter(|shift| shift.score > 0).collect()
}

/// TBT in microseconds: what tasks took beyond 50 ms each, between FCP and `until_us`. A task that crosses one of the two counts with its part between them.
pub(crate) fn tbt(tasks: &[Task], fcp_us: u64, until_us: u64) -> u64 {
    let blocking = |task: &Task| {
        let start = task.at_us.max(fcp_us);
        let end = (task.at_us + task.duration_us).min(until_us);
        end.saturating_sub(start).saturating_sub(BLOCKING_US)
    };
    tasks.iter().map(blocking).sum()
}

/// The largest paint until `until_us`: the last of those that are larger than all before them.
pub(crate) fn lcp(paints: &[Paint], until_us: u64) -> Option<&Paint> {
    let mut largest: Option<&Paint> = None;
    for paint in paints.iter().filter(|paint| paint.at_us <= until_us) {
        if largest.is_none_or(|largest| paint.area > largest.area) {
            largest = Some(paint);
        }
    }
    largest
}

/// The interactions from `from_us` on, slowest first: events that belong together make one, which took as long as the longest of them.
pub(crate) fn interactions(events: &[InputEvent], inputs: &[Dispatched], from_us: u64) -> Vec<Interaction> {
    let mut groups: BTreeMap<u64, Vec<&InputEvent>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.interaction > 0 && event.at_us >= from_us) {
        groups.entry(event.interaction).or_default().push(event);
    }
    let mut interactions: Vec<Interaction> = groups.values().filter_map(|group| interaction(group, inputs)).collect();
    interactions.sort_by_key(|interaction| std::cmp::Reverse(interaction.duration_us));
    interactions
}

fn interaction(group: &[&InputEvent], inputs: &[Dispatched]) -> Option<Interaction> {
    let longest = group.iter().max_by_key(|event| event.duration_us)?;
    let shown_us = longest.at_us + longest.duration_us;
    // Handlers of all events that the same frame answers: they made it wait.
    let same = || group.iter().filter(|event| event.at_us <= shown_us && event.started_us >= longest.at_us);
    let started_us = same().map(|event| event.started_us).min().unwrap_or(shown_us).clamp(longest.at_us, shown_us);
    let done_us = same().map(|event| event.done_us).max().unwrap_or(shown_us).clamp(started_us, shown_us);
    let action = inputs
        .iter()
        .rfind(|input| input.from_us <= longest.at_us.saturating_add(1_000))
        .map_or_else(String::new, |input| input.action.clone());
    // The browser does not name the target with each event.
    let target = std::iter::once(longest).chain(group).find(|event| !event.target.is_empty());
    Some(Interaction {
        action,
        target: target.map_or_else(String::new, |event| event.target.clone()),
        duration_us: longest.duration_us,
        input_delay_us: started_us - longest.at_us,
        processing_us: done_us - started_us,
        presentation_us: shown_us - done_us,
    })
}

/// INP in microseconds, of interactions from slowest to fastest: the slowest, but for one of each fifty. `answered` says that there were some, and that
/// frames came after them, so that those too fast to be reported took at most 16 ms. Where no frames came, nothing is known.
pub(crate) fn inp(interactions: &[Interaction], answered: bool) -> Option<u64> {
    let skipped = (interactions.len() / INTERACTIONS_PER_OUTLIER).min(interactions.len().saturating_sub(1));
    match interactions.get(skipped) {
        Some(interaction) => Some(interaction.duration_us),
        None => answered.then_some(UNREPORTED_US),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shift(at_ms: u64, score: f64) -> Shift {
        Shift { at_us: at_ms * 1_000, score, ..Shift::default() }
    }

    fn entries(shifts: Vec<Shift>) -> Entries {
        Entries { shifts, ..Entries::default() }
    }

    fn input(from_ms: u64, to_ms: u64) -> Dispatched {
        Dispatched { action: format!("click #{from_ms}"), from_us: from_ms * 1_000, to_us: to_ms * 1_000 }
    }

    #[test]
    fn a_session_window_ends_with_a_second_of_rest_or_after_five() {
        let of =
            |shifts: &[(u64, f64)]| cls(&entries(shifts.iter().map(|&(at, score)| shift(at, score)).collect()), &[]);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[(100, 0.05), (900, 0.05)]), 1_000);
        assert_eq!(of(&[(100, 0.05), (1_100, 0.07)]), 700, "a gap of a second");
        assert_eq!(
            of(&[(0, 0.1), (900, 0.1), (1_800, 0.1), (2_700, 0.1), (3_600, 0.1), (4_500, 0.1), (5_000, 0.1)]),
            6_000
        );
        assert_eq!(of(&[(900, 0.05), (100, 0.05)]), 1_000, "the order of arrival does not matter");
    }

    #[test]
    fn recent_input_counts_only_where_there_was_input() {
        let marked = |at_ms| Shift { recent_input: true, ..shift(at_ms, 0.1) };
        let emulated = entries(vec![marked(100)]);
        assert_eq!(cls(&emulated, &[]), 1_000);
        assert_eq!(cls(&emulated, &[input(2_000, 2_010)]), 1_000, "before the first input");
        let answered = entries(vec![marked(2_300), shift(2_400, 0.02), marked(2_600)]);
        assert_eq!(cls(&answered, &[input(2_000, 2_010)]), 1_200);
    }

    #[test]
    fn what_consent_moves_is_not_the_pages_doing() {
        let mut consented = entries(vec![shift(100, 0.1), shift(1_700, 0.3), shift(2_300, 0.05)]);
        consented.consents_us = vec![1_500_000];
        assert_eq!(cls(&consented, &[]), 1_000);
        assert_eq!(largest_shifts(&consented, &[]).len(), 2);
    }

    #[test]
    fn blocking_time_counts_between_fcp_and_the_freeze() {
        let task = |at_ms: u64, ms: u64| Task { at_us: at_ms * 1_000, duration_us: ms * 1_000 };
        let of = |tasks: &[Task]| tbt(tasks, 1_000_000, 5_000_000) / 1_000;
        assert_eq!(of(&[task(1_200, 120)]), 70);
        assert_eq!(of(&[task(1_200, 120), task(2_000, 51), task(3_000, 50)]), 71);
        assert_eq!(of(&[task(500, 300)]), 0, "before FCP");
        assert_eq!(of(&[task(900, 300)]), 150, "across FCP: 200 ms of it are after");
        assert_eq!(of(&[task(4_900, 400)]), 50, "across the freeze");
        assert_eq!(of(&[task(6_000, 400)]), 0);
    }

    #[test]
    fn the_largest_paint_is_the_last_that_grew() {
        let paint = |at_us, area| Paint { at_us, area, ..Paint::default() };
        let paints = [paint(100, 50), paint(200, 900), paint(300, 900), paint(400, 10), paint(900, 5_000)];
        assert_eq!(lcp(&paints, 500).map(|paint| paint.at_us), Some(200));
        assert_eq!(lcp(&paints, 1_000).map(|paint| paint.at_us), Some(900));
        assert_eq!(lcp(&paints, 50), None);
    }

    fn event(interaction: u64, at: u64, duration: u64, started: u64, done: u64) -> InputEvent {
        InputEvent {
            interaction,
            at_us: at * 1_000,
            duration_us: duration * 1_000,
            started_us: started * 1_000,
            done_us: done * 1_000,
            target: "#menu".to_owned(),
        }
    }

    #[test]
    fn events_of_one_interaction_are_one_with_three_parts() {
        let events = [
            event(0, 1_000, 900, 1_000, 1_001),
            InputEvent { target: String::new(), ..event(7, 1_000, 208, 1_005, 1_006) },
            event(7, 1_000, 208, 1_006, 1_150),
            event(7, 1_001, 200, 1_150, 1_160),
            event(8, 2_000, 24, 2_002, 2_003),
            event(9, 300, 800, 302, 303),
        ];
        let found = interactions(&events, &[input(990, 1_010), input(1_990, 2_005)], 900_000);
        assert_eq!(found.len(), 2);
        let slowest = &found[0];
        assert_eq!(slowest.duration_us, 208_000);
        assert_eq!(slowest.input_delay_us, 5_000);
        assert_eq!(slowest.processing_us, 155_000);
        assert_eq!(slowest.presentation_us, 48_000);
        assert_eq!((slowest.action.as_str(), slowest.target.as_str()), ("click #990", "#menu"));
        assert_eq!(found[1].action, "click #1990");
        assert_eq!(inp(&found, true), Some(208_000));
    }

    #[test]
    fn one_slow_interaction_of_fifty_is_forgiven() {
        let of = |count: u64| {
            let list: Vec<Interaction> =
                (0..count).rev().map(|ms| Interaction { duration_us: ms, ..Interaction::default() }).collect();
            inp(&list, true)
        };
        assert_eq!(of(49), Some(48));
        assert_eq!(of(50), Some(48));
        assert_eq!(of(100), Some(97));
        assert_eq!(of(0), Some(UNREPORTED_US));
        assert_eq!(inp(&[], false), None);
    }

    proptest! {
        #[test]
        fn cls_is_between_the_largest_shift_and_their_sum(list in prop::collection::vec((0_u64..20_000, 0.0_f64..1.0), 0..40)) {
            let shifts: Vec<Shift> = list.iter().map(|&(at, score)| shift(at, score)).collect();
            let largest = list.iter().map(|&(_, score)| score).fold(0.0, f64::max);
            let sum: f64 = list.iter().map(|&(_, score)| score).sum();
            let cls = cls(&entries(shifts), &[]);
            prop_assert!(scaled(largest) <= cls && cls <= scaled(sum));
        }

        #[test]
        fn parts_of_an_interaction_make_its_duration(
            list in prop::collection::vec((0_u64..1_000, 0_u64..500, 0_u64..2_000, 0_u64..2_000), 1..8),
        ) {
            let events: Vec<InputEvent> =
                list.iter().map(|&(at, duration, started, done)| event(1, at, duration, started, done)).collect();
            for found in interactions(&events, &[], 0) {
                prop_assert_eq!(
                    found.input_delay_us + found.processing_us + found.presentation_us,
                    found.duration_us
                );
            }
        }

        #[test]
        fn later_freezes_never_block_less(
            tasks in prop::collection::vec((0_u64..10_000, 0_u64..1_000), 0..20), fcp in 0_u64..5_000, until in 0_u64..10_000,
        ) {
            let tasks: Vec<Task> = tasks.iter().map(|&(at, ms)| Task { at_us: at * 1_000, duration_us: ms * 1_000 }).collect();
            let of = |until_ms: u64| tbt(&tasks, fcp * 1_000, until_ms * 1_000);
            prop_assert!(of(until) <= of(until + 500));
        }
    }
}
