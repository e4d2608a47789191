//! Shares of time of which nothing is known, by cause: what completeness leaves open, told apart.
//!
//! They add up to `1 - completeness`, of one check and of the mean of several, but for what floating-point sums round.

use crate::control::Weight;
use crate::sla::{UnknownTime, weighted_mean};

/// Shares of the time that is known or unknown, by why it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UnknownShares {
    /// The agents were not running.
    pub agent_stopped: f64,
    /// Nothing was heard.
    pub agent_offline: f64,
    /// Suspended.
    pub suspended: f64,
    /// Overloaded.
    pub shed: f64,
    /// No agent assigned.
    pub unassigned: f64,
    /// Planned work that an accounting policy counts by share of the votes, while nobody could vote. Without such a policy it is 0.
    pub maintenance: f64,
}

impl UnknownShares {
    /// Unknown time and blind time under maintenance as shares of `whole_us`; `None` where that is 0.
    pub fn of(unknown: &UnknownTime, maintenance_us: i64, whole_us: i64) -> Option<Self> {
        let share = |us: i64| us as f64 / whole_us as f64;
        (whole_us > 0).then(|| Self {
            agent_stopped: share(unknown.agent_stopped_us),
            agent_offline: share(unknown.agent_offline_us),
            suspended: share(unknown.suspended_us),
            shed: share(unknown.shed_us),
            unassigned: share(unknown.unassigned_us),
            maintenance: share(maintenance_us),
        })
    }

    /// The mean of the shares that exist, weighted as the mean of the completenesses is.
    pub fn mean(checks: impl Iterator<Item = (Weight, Option<Self>)> + Clone) -> Option<Self> {
        let mean = |share: fn(&Self) -> f64| {
            weighted_mean(checks.clone().map(|(weight, shares)| (weight, shares.as_ref().map(share))))
        };
        Some(Self {
            agent_stopped: mean(|one| one.agent_stopped)?,
            agent_offline: mean(|one| one.agent_offline)?,
            suspended: mean(|one| one.suspended)?,
            shed: mean(|one| one.shed)?,
            unassigned: mean(|one| one.unassigned)?,
            maintenance: mean(|one| one.maintenance)?,
        })
    }

    /// All of them: `1 - completeness`.
    pub fn total(&self) -> f64 {
        self.agent_stopped + self.agent_offline + self.suspended + self.shed + self.unassigned + self.maintenance
    }
}
