//! Timelines (bodies follow).
use crate::record::ProbeState;
use crate::series::Series;
use crate::time::Span;
use crate::vote::CheckView;
use alloc::vec::Vec;

/// Why nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnknownCause {
    /// The agent was not running.
    AgentStopped,
    /// Nothing was heard.
    AgentOffline,
    /// Suspended.
    Suspended,
    /// Overloaded.
    Shed,
    /// No agent assigned.
    Unassigned,
}
impl UnknownCause {
    /// Every cause.
    pub const ALL: &'static [Self] = &[Self::AgentStopped, Self::AgentOffline, Self::Suspended, Self::Shed, Self::Unassigned];
    /// The text in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentStopped => "agent_stopped",
            Self::AgentOffline => "agent_offline",
            Self::Suspended => "suspended",
            Self::Shed => "shed",
            Self::Unassigned => "unassigned",
        }
    }
}
/// Raw state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// A result holds: up, degraded or down.
    State(ProbeState),
    /// Nothing is known.
    Unknown(UnknownCause),
}
/// A span with one raw state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSpan {
    /// When.
    pub span: Span,
    /// What.
    pub state: Raw,
}
/// The pair's timeline: contiguous over `period` clipped to the check's life.
pub fn pair(view: &CheckView<'_>, series: &Series, assigned: &[Span], period: Span) -> Vec<RawSpan> {
    unimplemented!("{view:?}{series:?}{assigned:?}{period:?}")
}
