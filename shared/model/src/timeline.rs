//! From results to time: what is known of one (check, agent) at every instant.
//!
//! A result holds from its slot until the next record of the pair, but at most for its hold: `interval x 2 + timeout` of the
//! revision it names. A missed record ends the hold of what was before and gives the cause of the unknown time that follows,
//! until the next record, and for as long as a result would hold: an agent that told it was suspended and was never heard of
//! again is offline, not suspended for ever. Time that no record speaks for is unknown, cause `agent_offline`.
//!
//! A run of slots that are no further apart than the hold is one span, whatever its length.

use alloc::vec::Vec;

use crate::record::{MissedCause, ProbeState};
use crate::series::{Run, Seen, Series};
use crate::time::{Span, UtcMicros, union};
use crate::vote::CheckView;

/// Why nothing is known of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnknownCause {
    /// The agent was not running.
    AgentStopped,
    /// Nothing was heard of the agent, or it could not tell.
    AgentOffline,
    /// The agent, the check, or this check on this agent was suspended.
    Suspended,
    /// The agent was overloaded.
    Shed,
    /// No agent with a vote is assigned.
    Unassigned,
}

impl UnknownCause {
    /// Every cause.
    pub const ALL: &'static [Self] =
        &[Self::AgentStopped, Self::AgentOffline, Self::Suspended, Self::Shed, Self::Unassigned];

    /// The stable text, as JSON shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentStopped => "agent_stopped",
            Self::AgentOffline => "agent_offline",
            Self::Suspended => "suspended",
            Self::Shed => "shed",
            Self::Unassigned => "unassigned",
        }
    }

    /// The cause of the time after a missed record. A slot that the clock leapt over counts as offline (nobody measured), a
    /// window that paused runs as suspended.
    pub const fn of_missed(cause: MissedCause) -> Self {
        match cause {
            MissedCause::AgentStopped => Self::AgentStopped,
            MissedCause::Overloaded => Self::Shed,
            MissedCause::Suspended | MissedCause::Maintenance => Self::Suspended,
            MissedCause::ClockStep => Self::AgentOffline,
        }
    }
}

impl core::fmt::Display for UnknownCause {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a pair at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// A result holds: up, degraded or down. Never [`ProbeState::Unknown`]: that is `Unknown(AgentOffline)`.
    State(ProbeState),
    /// Nothing is known.
    Unknown(UnknownCause),
}

impl Raw {
    /// What a record says of the time it speaks for.
    pub const fn of(seen: Seen) -> Self {
        match seen {
            Seen::State(ProbeState::Unknown) => Self::Unknown(UnknownCause::AgentOffline),
            Seen::State(state) => Self::State(state),
            Seen::Missed(cause) => Self::Unknown(UnknownCause::of_missed(cause)),
        }
    }
}

/// A span of time in which a pair's raw state does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSpan {
    /// When; never empty.
    pub span: Span,
    /// What is known.
    pub state: Raw,
}

/// A pair's timeline over `period` clipped to the check's life: contiguous, no two equal neighbours. Outside of `assigned` it is
/// unknown, cause `unassigned`. A result holds across the border of an assignment where its hold reaches that far.
pub fn pair(view: &CheckView<'_>, series: &Series, assigned: &[Span], period: Span) -> Vec<RawSpan> {
    let period = period.clip(view.life);
    let mut builder = Builder { spans: Vec::new(), at: period.from };
    for assigned in union(assigned.iter().map(|span| span.clip(period)).collect()) {
        builder.fill(assigned.from, UnknownCause::Unassigned);
        seen(&mut builder, view, series, assigned);
        builder.fill(assigned.to, UnknownCause::AgentOffline);
    }
    builder.fill(period.to, UnknownCause::Unassigned);
    builder.spans
}

/// Adds what the series says of `clip`, leaving time after its last hold out.
fn seen(builder: &mut Builder, view: &CheckView<'_>, series: &Series, clip: Span) {
    let mut runs = series.runs_in(clip).peekable();
    while let Some(run) = runs.next() {
        let end = runs.peek().map_or(clip.to, |next| next.first.min(clip.to));
        let hold = view.hold_us(run.obs.revision);
        let state = Raw::of(run.obs.seen);
        let mut add = |from: UtcMicros, to: UtcMicros| {
            let span = Span::new(from, to.min(end)).clip(clip);
            builder.fill(span.from.min(clip.to), UnknownCause::AgentOffline);
            builder.push(span, state);
        };
        if run.count == 1 || run.step_us <= hold.unsigned_abs() {
            add(run.first, run.last().plus_us(hold));
        } else {
            for slot in slots_near(run, clip, hold) {
                add(slot, slot.plus_us(hold));
            }
        }
    }
}

/// The slots of a run whose holds may reach into `clip`.
fn slots_near<'a>(run: &'a Run, clip: Span, hold: i64) -> impl Iterator<Item = UtcMicros> + 'a {
    let from = run.count_before(clip.from.plus_us(-hold));
    let to = run.count_before(clip.to);
    (from..to).map(|index| run.slot(index))
}

/// Contiguous spans, built from left to right.
struct Builder {
    spans: Vec<RawSpan>,
    at: UtcMicros,
}

impl Builder {
    /// Unknown time up to `to`.
    fn fill(&mut self, to: UtcMicros, cause: UnknownCause) {
        self.push(Span::new(self.at, to), Raw::Unknown(cause));
    }

    fn push(&mut self, span: Span, state: Raw) {
        let span = Span::new(self.at.max(span.from), span.to);
        if span.is_empty() {
            return;
        }
        self.at = span.to;
        match self.spans.last_mut() {
            Some(last) if last.state == state => last.span.to = span.to,
            _ => self.spans.push(RawSpan { span, state }),
        }
    }
}
