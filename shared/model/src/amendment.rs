//! What records that came late changed: the verdicts and figures told without them, beside those told with them.
//!
//! A record is *late* when it comes in after its own hold is over (`interval x 2 + timeout` after its slot, see [`crate::timeline`]), and a minute at
//! least: all the time it can speak for is past, and was told as unknown, or by other agents alone. What comes in earlier only
//! settles the edge of the present. So is a control event late that an agent was given while it was cut off, when it comes in more than
//! [`LATE_US_MIN`] after its instant: it applies from its instant on, and what was told of the time since was told without it.
//!
//! Late records change no verdict outside of their [`reach`], so nothing else is derived again. What was told before is derived, not kept:
//! the slots that the late records' stretch held, put between those before and after it (see [`without`]).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::AgentNo;
use crate::series::{Run, Seen, Series};
use crate::sla::Account;
use crate::time::{SECOND_US, Span, UtcMicros};
use crate::timeline::UnknownCause;
use crate::vote::{CheckView, Verdict, VerdictSpan};

/// A record is on time for a minute, however short its hold: agents may need some seconds to ship.
pub const LATE_US_MIN: i64 = 60 * SECOND_US;

/// Most changes an amendment lists: the longest ones.
pub const CHANGES_MAX: usize = 50;

/// How long after its slot a record that holds so long is on time, in microseconds.
pub const fn late_after_us(hold_us: i64) -> i64 {
    if hold_us > LATE_US_MIN { hold_us } else { LATE_US_MIN }
}

/// Of what time the late records of one (check, agent) speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// The first slot.
    pub first: UtcMicros,
    /// The last slot.
    pub last: UtcMicros,
    /// Where the longest hold ends.
    pub end: UtcMicros,
}

impl Touched {
    /// Of what both speak.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last), end: self.end.max(other.end) }
    }
}

/// How many results in a row leave no doubt about a vote, whatever was before: the most that any revision asks for.
fn results_to_settle(view: &CheckView<'_>) -> u64 {
    let most = view.revisions.iter().map(|(_, _, policy)| policy.confirmations.max(policy.recoveries)).max();
    u64::from(most.unwrap_or(1).max(1))
}

/// Whether a run is of results that confirm or clear something.
const fn tells(run: &Run) -> bool {
    use crate::record::ProbeState;
    match run.obs.seen {
        Seen::State(ProbeState::Up | ProbeState::Degraded | ProbeState::Down) => true,
        Seen::State(ProbeState::Unknown) | Seen::Missed(_) => false,
    }
}

/// The time in which the verdicts of a check can depend on the late records of a pair. `series` has them in it; `held` is what it held of their stretch
/// before.
///
/// It begins before them, where failing results waited for a confirmation that they may give or deny, and ends where they hold no
/// more and later results, which both sides know, leave no doubt about the vote; [`UtcMicros::MAX`] where they leave some.
pub fn reach(view: &CheckView<'_>, series: &Series, touched: Touched, held: &Series) -> Span {
    let settle = results_to_settle(view);
    let mut from = touched.first;
    let mut waiting = settle - 1;
    for run in series.runs_in(Span::new(UtcMicros::MIN, touched.first)).rev().filter(|run| tells(run)) {
        let count = run.count_before(touched.first).min(waiting);
        if waiting == 0 {
            break;
        }
        if count > 0 {
            from = run.slot(run.count_before(touched.first) - count);
            waiting -= count;
        }
    }
    let after = touched.last.plus_us(1);
    // A late record also ends the holds of records before it, which may be longer than its own where the definition changed.
    let stretch = Span::new(touched.first.plus_us(-1), after);
    let end = series.runs_in(stretch).chain(held.runs()).fold(touched.end, |end, run| {
        let last = run.slot(run.count_before(after).max(1) - 1);
        end.max(last.plus_us(view.hold_us(run.obs.revision)))
    });
    // Where no later result tells anything, the voter is not live once their hold is over, and its vote counts for nothing.
    let mut to = end;
    for run in series.runs_in(Span::new(after, UtcMicros::MAX)).filter(|run| tells(run)) {
        let begun = run.count_before(after);
        if run.count - begun >= settle {
            to = run.slot(begun + settle - 1);
            break;
        }
        if run.count > begun {
            to = UtcMicros::MAX;
        }
    }
    Span::new(from, to.max(end))
}

/// From which slot on verdicts from `from` on need a series.
fn back(view: &CheckView<'_>, series: &Series, from: UtcMicros) -> UtcMicros {
    let settle = results_to_settle(view);
    for run in series.runs_in(Span::new(UtcMicros::MIN, from)).rev().filter(|run| tells(run)) {
        let begun = run.count_before(from);
        if begun >= settle {
            return run.slot(begun - settle);
        }
    }
    UtcMicros::MIN
}

/// A series as far back as verdicts from `from` on need it.
pub fn tail(view: &CheckView<'_>, series: &Series, from: UtcMicros) -> Series {
    series.between(back(view, series, from), UtcMicros::MAX)
}

/// A series as it was without what came in late: `held` is what it held of the slots from `touched.first` to `touched.last` before. As far back
/// as verdicts from `from` on need it.
pub fn without(view: &CheckView<'_>, series: &Series, touched: Touched, held: &Series, from: UtcMicros) -> Series {
    let back = back(view, series, from);
    let mut before =
        if touched.first > UtcMicros::MIN { series.between(back, touched.first.plus_us(-1)) } else { Series::new() };
    before.absorb(held);
    before.absorb(&series.between(touched.last.plus_us(1), UtcMicros::MAX));
    before
}

/// What was told of an instant, as far as figures depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The verdict.
    pub verdict: Verdict,
    /// Why nothing was known, where nothing was.
    pub unknown_cause: Option<UnknownCause>,
    /// The share of the live weight that was down, in lowest terms; `(0, 1)` where it does not count.
    pub share_down: (u64, u64),
}

impl Told {
    fn of(span: &VerdictSpan) -> Self {
        let share_down = match (span.verdict, span.share_down) {
            (Verdict::Unknown | Verdict::Maintenance, _) | (_, (0, _)) => (0, 1),
            (Verdict::Up | Verdict::Degraded | Verdict::Regional | Verdict::Down, (down, live)) => {
                let (mut a, mut b) = (down, live);
                while b > 0 {
                    (a, b) = (b, a % b);
                }
                (down / a, live / a)
            }
        };
        Self { verdict: span.verdict, unknown_cause: span.unknown_cause, share_down }
    }
}

/// Time of which something else is told than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When; never empty.
    pub span: Span,
    /// What was told.
    pub before: Told,
    /// What is told.
    pub after: Told,
}

/// Where two derivations of the same time differ, in order; no two that touch are alike.
pub fn changes(before: &[VerdictSpan], after: &[VerdictSpan]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let mut at = UtcMicros::MIN;
    while let (Some(was), Some(is)) = (old.peek(), new.peek()) {
        let span = Span::new(at, UtcMicros::MAX).clip(was.span).clip(is.span);
        let (told_before, told_after) = (Told::of(was), Told::of(is));
        if !span.is_empty() && told_before != told_after {
            match changes.last_mut() {
                Some(last) if last.span.to == span.from && (last.before, last.after) == (told_before, told_after) => {
                    last.span.to = span.to;
                }
                Some(_) | None => changes.push(Change { span, before: told_before, after: told_after }),
            }
        }
        at = was.span.to.min(is.span.to);
        let (was_to, is_to) = (was.span.to, is.span.to);
        if was_to <= is_to {
            old.next();
        }
        if is_to <= was_to {
            new.next();
        }
    }
    changes
}

/// An amendment, as it is kept. Instants and lengths in microseconds, of UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amendment {
    /// The first instant whose figures were derived again.
    pub from_us: i64,
    /// The first instant after.
    pub to_us: i64,
    /// When it was noted.
    pub noted_us: i64,
    /// Which agents were late.
    pub late: Vec<LateAgent>,
    /// The figures of that time without the late records.
    pub before: Account,
    /// The figures of that time with them.
    pub after: Account,
    /// What changed, in order: all of it, or the [`CHANGES_MAX`] longest.
    pub changes: Vec<StoredChange>,
    /// How many more changes there were.
    pub changes_more: u64,
}

/// An agent that was late, and by how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateAgent {
    /// Its number.
    pub agent: u32,
    /// How many of its records were late; a range of missed runs is one.
    pub records: u64,
    /// How many of its suspensions, resumptions and weights were late.
    #[serde(default, skip_serializing_if = "none")]
    pub acts: u64,
    /// The first instant they speak of: a slot, or a control event's.
    pub first_us: i64,
    /// The last instant they speak of.
    pub last_us: i64,
    /// How old the first one was when the agent began to be late.
    pub behind_us: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn none(count: &u64) -> bool {
    *count == 0
}

/// A [`Change`] with the stable texts of its verdicts and causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChange {
    /// First instant.
    pub from_us: i64,
    /// First instant after.
    pub to_us: i64,
    /// What was told.
    pub before: StoredTold,
    /// What is told.
    pub after: StoredTold,
}

/// A [`Told`] with the stable texts of its verdict and cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTold {
    /// [`Verdict::as_str`].
    pub verdict: alloc::string::String,
    /// [`UnknownCause::as_str`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_cause: Option<alloc::string::String>,
    /// Weight that was down, and all live weight, in lowest terms; absent where nobody was down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_down: Option<(u64, u64)>,
}

impl StoredTold {
    fn of(told: &Told) -> Self {
        Self {
            verdict: told.verdict.as_str().into(),
            unknown_cause: told.unknown_cause.map(|cause| cause.as_str().into()),
            share_down: Some(told.share_down).filter(|(down, _)| *down > 0),
        }
    }
}

impl LateAgent {
    /// An agent whose late records and control events speak of `touched`, the first of them noted at `noted`.
    pub const fn of(agent: AgentNo, (records, acts): (u64, u64), touched: Touched, noted: UtcMicros) -> Self {
        Self {
            agent: agent.0,
            records,
            acts,
            first_us: touched.first.0,
            last_us: touched.last.0,
            behind_us: noted.us_since(touched.first),
        }
    }
}

impl Amendment {
    /// The amendment of the verdicts of `span`; `None` where nothing differs that a figure depends on.
    pub fn of(
        span: Span,
        noted: UtcMicros,
        late: Vec<LateAgent>,
        before: &[VerdictSpan],
        after: &[VerdictSpan],
    ) -> Option<Self> {
        let mut changes = changes(before, after);
        if changes.is_empty() {
            return None;
        }
        let changes_more = changes.len().saturating_sub(CHANGES_MAX);
        if changes_more > 0 {
            changes.sort_by_key(|change| (core::cmp::Reverse(change.span.us()), change.span.from));
            changes.truncate(CHANGES_MAX);
            changes.sort_by_key(|change| change.span.from);
        }
        let stored = |change: &Change| StoredChange {
            from_us: change.span.from.0,
            to_us: change.span.to.0,
            before: StoredTold::of(&change.before),
            after: StoredTold::of(&change.after),
        };
        Some(Self {
            from_us: span.from.0,
            to_us: span.to.0,
            noted_us: noted.0,
            late,
            before: Account::of(before),
            after: Account::of(after),
            changes: changes.iter().map(stored).collect(),
            changes_more: changes_more as u64,
        })
    }

    /// The time whose figures it is about.
    pub const fn span(&self) -> Span {
        Span::new(UtcMicros(self.from_us), UtcMicros(self.to_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Weight;
    use crate::id::Revision;
    use crate::quorum::Quorum;
    use crate::record::{MissedCause, ProbeState};
    use crate::vote::Policy;

    const ALWAYS: Span = Span::new(UtcMicros::MIN, UtcMicros::MAX);

    fn policy(interval_us: u64, confirmations: u32, recoveries: u32) -> Policy {
        let (weight, quorum) = (Weight::ONE, Quorum::Majority);
        Policy { interval_us, timeout_us: 5, weight, quorum, confirmations, recoveries }
    }

    fn touched(first: i64, last: i64, hold: i64) -> Touched {
        Touched { first: UtcMicros(first), last: UtcMicros(last), end: UtcMicros(last + hold) }
    }

    #[test]
    fn a_late_record_reaches_as_far_as_the_longer_hold_that_it_ends() {
        let revisions = [(UtcMicros(0), Revision(1), policy(50, 1, 1)), (UtcMicros(60), Revision(2), policy(10, 1, 1))];
        let view = CheckView { revisions: &revisions, life: ALWAYS };
        let mut series = Series::new();
        series.insert_result(Revision(1), UtcMicros(50), ProbeState::Up);
        series.insert_missed(Revision(2), UtcMicros(70), UtcMicros(70), 10, MissedCause::AgentStopped).unwrap();
        let reach = reach(&view, &series, touched(70, 70, 25), &Series::new());
        assert_eq!((reach.from.0, reach.to.0), (70, 50 + 105));
    }

    #[test]
    fn it_reaches_back_to_what_waited_and_on_to_what_leaves_no_doubt() {
        let revisions = [(UtcMicros(0), Revision(1), policy(10, 3, 2))];
        let view = CheckView { revisions: &revisions, life: ALWAYS };
        let series = |after: &[ProbeState]| {
            let mut series = Series::new();
            for slot in 0..10 {
                series.insert_result(Revision(1), UtcMicros(slot * 10), ProbeState::Up);
            }
            for (slot, state) in (10..).zip(after) {
                series.insert_result(Revision(1), UtcMicros(slot * 10), *state);
            }
            series
        };
        let of = |after: &[ProbeState]| {
            let reach = reach(&view, &series(after), touched(50, 90, 25), &Series::new());
            (reach.from.0, reach.to.0)
        };
        use ProbeState::{Down, Unknown, Up};
        assert_eq!(of(&[]), (30, 115), "two results may wait for a third; without later ones its hold is the end");
        assert_eq!(of(&[Up, Up, Up, Up]), (30, 120), "three in a row settle the vote");
        assert_eq!(of(&[Up, Down, Up, Down]), (30, i64::MAX), "these leave some doubt");
        assert_eq!(of(&[Unknown, Down, Down, Down]), (30, 130), "an unknown one tells nothing");
    }

    #[test]
    fn an_amendment_lists_its_longest_changes_in_order() {
        let span = |from: i64, to: i64, verdict, unknown_cause| VerdictSpan {
            span: Span::new(UtcMicros(from), UtcMicros(to)),
            verdict,
            share_down: (0, u64::from(verdict == Verdict::Up) * 1000),
            unknown_cause,
            quorum_reduced: false,
        };
        let offline = Some(UnknownCause::AgentOffline);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        // Sixty stretches that grow by one each, with time that did not change between them.
        let mut at = 0;
        for length in 1..=60 {
            before.extend([
                span(at, at + length, Verdict::Unknown, offline),
                span(at + length, at + 100, Verdict::Up, None),
            ]);
            after.push(span(at, at + 100, Verdict::Up, None));
            at += 100;
        }
        let whole = Span::new(UtcMicros(0), UtcMicros(at));
        let amendment = Amendment::of(whole, UtcMicros(at), Vec::new(), &before, &after).unwrap();
        let lengths: Vec<i64> = amendment.changes.iter().map(|change| change.to_us - change.from_us).collect();
        assert_eq!((lengths, amendment.changes_more), ((11..=60).collect(), 10));
        assert_eq!(amendment.after.up_us - amendment.before.up_us, (1..=60).sum::<i64>());
        let text = serde_json::to_string(&amendment).unwrap();
        assert_eq!(serde_json::from_str::<Amendment>(&text).unwrap(), amendment);
        // One more live agent changes no figure.
        let mut more = before.clone();
        for span in more.iter_mut().filter(|span| span.verdict == Verdict::Up) {
            span.share_down.1 += 1000;
        }
        assert_eq!(Amendment::of(whole, UtcMicros(at), Vec::new(), &before, &more), None);
    }
}
