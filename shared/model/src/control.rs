//! Control events and the effective-dated histories they fold into: weights and suspensions.
//!
//! An event applies from its own instant on and never rewrites the past. Two sides may give events while cut off from each other;
//! the union is ordered by time, then author, then number, so every side folds the same history and nobody's event is lost.
// TYPES fixed by the architecture; the folding functions live below.

use alloc::string::String;

use crate::id::{AgentNo, CheckNo};
use crate::time::{Span, UtcMicros};

/// A weight in thousandths, 0 to 1,000,000 (`0.001` steps up to 1000). Integers keep shares exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u32);

impl Weight {
    /// The default: 1.
    pub const ONE: Self = Self(1000);
    /// Watched, but never counted.
    pub const ZERO: Self = Self(0);
    /// The largest: 1000.
    pub const MAX: Self = Self(1_000_000);
}

/// What a control event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A whole agent.
    Agent(AgentNo),
    /// One check on one agent.
    AgentCheck(AgentNo, CheckNo),
    /// One check on every agent.
    Check(CheckNo),
}

/// What a control event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stops runs until an instant, or until a resume.
    Suspend {
        /// First instant of running again.
        until: UtcMicros,
        /// Why; 1 to 500 bytes.
        reason: String,
    },
    /// Ends a suspension of the same scope.
    Resume,
    /// Sets the vote's weight. Not for [`Scope::Check`] (a check's weight is part of its definition).
    Weight(Weight),
}

/// Names an event for ever: no two events share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// `agent:NAME` for an agent's own CLI, `collector:USER` for the collector's. At most 100 bytes.
    pub author: String,
    /// Counts the author's events, from 1.
    pub number: u64,
}

/// A change of a weight or a suspension, by somebody, at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlEvent {
    /// Its name.
    pub id: EventId,
    /// When it was given, and applies from.
    pub at: UtcMicros,
    /// What it is about.
    pub scope: Scope,
    /// What it does.
    pub change: Change,
}

/// A stretch of one scope's suspension, by one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// When.
    pub span: Span,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// What is suspended.
    pub scope: Scope,
}
