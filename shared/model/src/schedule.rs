//! Schedule (bodies follow).
use crate::check::AssignedCheck;
use crate::control::Weight;
use crate::id::{AgentName, CheckId, CheckNo, Revision};
use crate::record::MissedCause;
use crate::time::UtcMicros;
use alloc::vec::Vec;

/// The slots of one check on one agent: `offset + k x interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lattice {
    /// Offset.
    pub offset_us: u64,
    /// Interval.
    pub interval_us: u64,
}
impl Lattice {
    /// The lattice of a check on an agent.
    pub fn new(check: &CheckId, agent: &AgentName, interval_us: u64) -> Self {
        unimplemented!("{check}{agent}{interval_us}")
    }
    /// First slot at or after.
    pub fn at_or_after(self, at: UtcMicros) -> UtcMicros {
        at
    }
    /// Last slot at or before.
    pub fn at_or_before(self, at: UtcMicros) -> UtcMicros {
        at
    }
}
/// What the scheduler needs of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The check.
    pub check: CheckNo,
    /// The definition's revision.
    pub revision: Revision,
    /// Slots.
    pub lattice: Lattice,
    /// Shed order.
    pub weight: Weight,
}
impl Plan {
    /// The plan of an assigned check on an agent.
    pub fn of(assigned: &AssignedCheck, agent: &AgentName) -> Self {
        unimplemented!("{assigned:?}{agent}")
    }
}
/// A range of slots that did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedSlots {
    /// The check.
    pub check: CheckNo,
    /// Revision.
    pub revision: Revision,
    /// First.
    pub first: UtcMicros,
    /// Last.
    pub last: UtcMicros,
    /// How many.
    pub count: u64,
    /// Why.
    pub cause: MissedCause,
}
/// What the shell must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start a run, then call [`Scheduler::finished`] once it ended. A suspended one is recorded as missed instead.
    Run {
        /// The check.
        check: CheckNo,
        /// Its revision.
        revision: Revision,
        /// The slot.
        slot: UtcMicros,
    },
    /// Record missed slots.
    Missed(MissedSlots),
    /// Tell: the wall clock leapt by so much against the monotonic one.
    ClockStepped {
        /// Microseconds; negative is back.
        by_us: i64,
    },
}
/// The scheduler.
#[derive(Debug, Clone)]
pub struct Scheduler {
    in_flight_max: usize,
}
impl Scheduler {
    /// At most `in_flight_max` runs at once.
    pub const fn new(in_flight_max: usize) -> Self {
        Self { in_flight_max }
    }
    /// Replaces the set of checks.
    #[must_use]
    pub fn assign(&mut self, plans: &[Plan], wall_now: UtcMicros) -> Vec<Action> {
        unimplemented!("{plans:?}{wall_now:?}")
    }
    /// What is due.
    #[must_use]
    pub fn handle_now(&mut self, wall_now: UtcMicros, monotonic_now_us: u64) -> Vec<Action> {
        unimplemented!("{wall_now:?}{monotonic_now_us}")
    }
    /// A run ended.
    pub fn finished(&mut self) {
        unimplemented!()
    }
    /// When [`Scheduler::handle_now`] must be called next.
    pub fn poll_timeout(&self) -> Option<UtcMicros> {
        unimplemented!()
    }
    /// Runs in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight_max
    }
    /// The earliest slot not yet handed out.
    pub fn earliest_pending(&self) -> Option<UtcMicros> {
        unimplemented!()
    }
}
/// After a restart: slots of `plan` from `watermark` to `now` (both included) not in `recorded` (ascending).
pub fn resume(plan: &Plan, watermark: UtcMicros, recorded: &[UtcMicros], now: UtcMicros) -> Vec<MissedSlots> {
    unimplemented!("{plan:?}{watermark:?}{recorded:?}{now:?}")
}
