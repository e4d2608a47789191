//! Votes (bodies follow).
use crate::control::Weight;
use crate::id::Revision;
use crate::quorum::Quorum;
use crate::series::Series;
use crate::time::{Span, UtcMicros};
use crate::timeline::UnknownCause;
use alloc::vec::Vec;

/// What accounting needs of one revision of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Interval.
    pub interval_us: u64,
    /// Timeout.
    pub timeout_us: u64,
    /// The check's weight.
    pub weight: Weight,
    /// Quorum.
    pub quorum: Quorum,
    /// Confirmations.
    pub confirmations: u32,
    /// Recoveries.
    pub recoveries: u32,
}
/// A check's history.
#[derive(Debug, Clone, Copy)]
pub struct CheckView<'a> {
    /// Ascending by instant.
    pub revisions: &'a [(UtcMicros, Revision, Policy)],
    /// Life.
    pub life: Span,
}
/// A voter.
#[derive(Debug, Clone)]
pub struct Voter<'a> {
    /// Assigned.
    pub assigned: Vec<Span>,
    /// Suspended.
    pub suspended: Vec<Span>,
    /// Weights.
    pub weights: Vec<(UtcMicros, Weight)>,
    /// Series.
    pub series: &'a Series,
}
/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vote {
    /// Up.
    Up,
    /// Degraded.
    Degraded,
    /// Down.
    Down,
}
/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Up.
    Up,
    /// Degraded.
    Degraded,
    /// Regional.
    Regional,
    /// Down.
    Down,
    /// Unknown.
    Unknown,
    /// Maintenance.
    Maintenance,
}
impl Verdict {
    /// Text in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Regional => "regional",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Maintenance => "maintenance",
        }
    }
}
/// A span with one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictSpan {
    /// When.
    pub span: Span,
    /// What.
    pub verdict: Verdict,
    /// Weight of live voters that vote down, weight of all live voters.
    pub share_down: (u64, u64),
    /// Why, exactly when the verdict is unknown.
    pub unknown_cause: Option<UnknownCause>,
    /// `agents >= n` was clamped.
    pub quorum_reduced: bool,
}
/// Verdicts over the period clipped to the check's life: contiguous, no two equal neighbours.
pub fn verdicts(view: &CheckView<'_>, voters: &[Voter<'_>], windows: &[Span], period: Span) -> Vec<VerdictSpan> {
    unimplemented!("{view:?}{voters:?}{windows:?}{period:?}")
}
/// What a voter is at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not assigned.
    Unassigned,
    /// Weight 0.
    Weightless,
    /// Suspended.
    Suspended,
    /// State unknown.
    Unknown(UnknownCause),
    /// A live voter.
    Live {
        /// Weight.
        weight: Weight,
        /// Vote.
        vote: Vote,
    },
}
/// Span with a standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingSpan {
    /// When.
    pub span: Span,
    /// What.
    pub standing: Standing,
}
/// A voter's standing over the period clipped to the check's life.
pub fn standings(view: &CheckView<'_>, voter: &Voter<'_>, period: Span) -> Vec<StandingSpan> {
    unimplemented!("{view:?}{voter:?}{period:?}")
}
