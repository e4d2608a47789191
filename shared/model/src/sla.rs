//! SLA (bodies follow).
use crate::control::Weight;
use crate::series::Series;
use crate::time::Span;
use crate::timeline::UnknownCause;
use crate::vote::{CheckView, VerdictSpan};

/// Microseconds per verdict.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Account {
    /// Up.
    pub up_us: i64,
    /// Degraded.
    pub degraded_us: i64,
    /// Regional.
    pub regional_us: i64,
    /// Down.
    pub down_us: i64,
    /// Maintenance.
    pub maintenance_us: i64,
    /// Unknown by cause.
    pub unknown: UnknownTime,
    /// Integral of the share of down over measured time, in microseconds.
    pub down_share_us: f64,
}
/// Unknown time by cause, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnknownTime {
    /// Agent stopped.
    pub agent_stopped_us: i64,
    /// Agent offline.
    pub agent_offline_us: i64,
    /// Suspended.
    pub suspended_us: i64,
    /// Shed.
    pub shed_us: i64,
    /// Unassigned.
    pub unassigned_us: i64,
}
impl UnknownTime {
    /// Sum.
    pub const fn total_us(&self) -> i64 {
        0
    }
    /// One cause.
    pub const fn of(&self, cause: UnknownCause) -> i64 {
        cause as i64
    }
}
impl Account {
    /// Sums up.
    pub fn of(spans: &[VerdictSpan]) -> Self {
        unimplemented!("{spans:?}")
    }
    /// `up + degraded + regional + down`.
    pub const fn measured_us(&self) -> i64 {
        0
    }
    /// The period.
    pub const fn period_us(&self) -> i64 {
        0
    }
    /// `1 - down / measured`.
    pub fn availability(&self) -> Option<f64> {
        None
    }
    /// `1 - integral(share_down) / measured`.
    pub fn weighted_availability(&self) -> Option<f64> {
        None
    }
    /// `measured / (period - maintenance)`.
    pub fn completeness(&self) -> Option<f64> {
        None
    }
    /// Every unknown second as down.
    pub fn lower(&self) -> Option<f64> {
        None
    }
    /// Every unknown second as up.
    pub fn upper(&self) -> Option<f64> {
        None
    }
}
/// Mean of the figures that exist, weighted.
pub fn weighted_mean(figures: impl IntoIterator<Item = (Weight, Option<f64>)>) -> Option<f64> {
    figures.into_iter().next().and_then(|(_, figure)| figure)
}
/// Where each scheduled slot of a (check, agent) went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conservation {
    /// Results stored.
    pub results: u64,
    /// Missed: agent stopped.
    pub missed_agent_stopped: u64,
    /// Missed: overloaded.
    pub missed_overloaded: u64,
    /// Missed: suspended.
    pub missed_suspended: u64,
    /// Missed: maintenance.
    pub missed_maintenance: u64,
    /// Missed: clock step.
    pub missed_clock_step: u64,
    /// Dropped, by tombstones.
    pub dropped: u64,
    /// Slots between the first and the last record without any record; tombstones explain `dropped` of them.
    pub holes: u64,
}
impl Conservation {
    /// Counts.
    pub fn of(view: &CheckView<'_>, series: &Series, assigned: &[Span], dropped: u64) -> Self {
        unimplemented!("{view:?}{series:?}{assigned:?}{dropped}")
    }
    /// All missed.
    pub const fn missed(&self) -> u64 {
        0
    }
    /// Holes that no tombstone explains.
    pub const fn unexplained(&self) -> u64 {
        self.holes.saturating_sub(self.dropped)
    }
}
