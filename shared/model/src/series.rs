//! Series (bodies follow).
use crate::id::Revision;
use crate::record::{MissedCause, ProbeState};
use crate::time::{Span, UtcMicros};
use alloc::collections::BTreeMap;
use core::fmt;

/// Most slots of one missed range.
pub const RANGE_SLOTS_MAX: u64 = 50_000_000;

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A result.
    State(ProbeState),
    /// No run.
    Missed(MissedCause),
}
/// What is known of a slot, and by which definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Obs {
    /// What.
    pub seen: Seen,
    /// The definition's revision.
    pub revision: Revision,
}
/// Slots at equal distances with the same observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First slot.
    pub first: UtcMicros,
    /// Distance; 0 when `count` is 1.
    pub step_us: u64,
    /// Number of slots, from 1.
    pub count: u64,
    /// The observation.
    pub obs: Obs,
}
impl Run {
    /// Last slot.
    pub const fn last(&self) -> UtcMicros {
        UtcMicros(self.first.0.wrapping_add((self.step_us * (self.count - 1)) as i64))
    }
}
/// Why a range is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeError {
    /// `last < first`.
    Backwards,
    /// `last` is not on the lattice of `first`.
    OffLattice,
    /// More than [`RANGE_SLOTS_MAX`].
    TooLong,
}
impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
impl core::error::Error for RangeError {}
/// Observations of one (check, agent).
#[derive(Debug, Clone, Default)]
pub struct Series {
    runs: BTreeMap<i64, Run>,
}
impl Series {
    /// Empty.
    pub const fn new() -> Self {
        Self { runs: BTreeMap::new() }
    }
    /// Adds a result; whether anything changed.
    pub fn insert_result(&mut self, revision: Revision, scheduled: UtcMicros, state: ProbeState) -> bool {
        unimplemented!("{revision}{scheduled:?}{state}")
    }
    /// Adds missed runs; whether anything changed.
    pub fn insert_missed(
        &mut self,
        revision: Revision,
        first: UtcMicros,
        last: UtcMicros,
        interval_us: u64,
        cause: MissedCause,
    ) -> Result<bool, RangeError> {
        unimplemented!("{revision}{first:?}{last:?}{interval_us}{cause}")
    }
    /// Whether empty.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
    /// Newest slot.
    pub fn last(&self) -> Option<(UtcMicros, Obs)> {
        self.runs.values().next_back().map(|run| (run.last(), run.obs))
    }
    /// Newest slot with a result.
    pub fn last_result(&self) -> Option<(UtcMicros, ProbeState)> {
        unimplemented!()
    }
    /// Runs in order.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }
    /// Runs that have slots inside `span` or hold into it.
    pub fn runs_in(&self, span: Span) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(move |run| run.first < span.to)
    }
    /// The observation of a slot.
    pub fn at(&self, slot: UtcMicros) -> Option<Obs> {
        unimplemented!("{slot:?}")
    }
    /// Number of runs.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }
    /// Number of slots.
    pub fn slots(&self) -> u64 {
        self.runs.values().map(|run| run.count).sum()
    }
    /// Bytes of memory, about.
    pub fn memory_bytes(&self) -> usize {
        0
    }
}
