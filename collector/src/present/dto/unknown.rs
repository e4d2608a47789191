//! Time of which nothing is known, by cause, beside figures of several checks and beside figures that a policy counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_model::accounting::Reckoning;
use sitepulse_model::unknown::UnknownShares;

/// Unknown time by cause. As shares they add up to `1 - completeness`, as seconds to the unknown seconds; which they are, the key says that has them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CausesView {
    /// The agents were not running.
    pub agent_stopped: f64,
    /// Nothing was heard of the agents.
    pub agent_offline: f64,
    /// The agents or the check were suspended.
    pub suspended: f64,
    /// The agents had no capacity.
    pub shed: f64,
    /// No agent was assigned.
    pub unassigned: f64,
    /// Planned work that the policy counts by share, while nobody could vote.
    pub maintenance: f64,
}

impl CausesView {
    /// As shares.
    pub const fn shares(shares: &UnknownShares) -> Self {
        let UnknownShares { agent_stopped, agent_offline, suspended, shed, unassigned, maintenance } = *shares;
        Self { agent_stopped, agent_offline, suspended, shed, unassigned, maintenance }
    }

    /// As seconds; `None` of what was kept without causes.
    pub fn seconds(counts: &Reckoning) -> Option<Self> {
        let (unknown, blind_us) = counts.causes()?;
        let seconds = |us: i64| us as f64 / 1e6;
        Some(Self {
            agent_stopped: seconds(unknown.agent_stopped_us),
            agent_offline: seconds(unknown.agent_offline_us),
            suspended: seconds(unknown.suspended_us),
            shed: seconds(unknown.shed_us),
            unassigned: seconds(unknown.unassigned_us),
            maintenance: seconds(blind_us),
        })
    }

    /// Those that there are, in words of `told`: `12.5 % agent_offline, 1.0 % shed`.
    pub fn text(&self, told: impl Fn(f64) -> String) -> String {
        self.named().map(|(cause, value)| format!("{} {cause}", told(value))).collect::<Vec<_>>().join(", ")
    }

    /// Those that there are, by name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let Self { agent_stopped, agent_offline, suspended, shed, unassigned, maintenance } = *self;
        let causes = [
            ("agent_stopped", agent_stopped),
            ("agent_offline", agent_offline),
            ("suspended", suspended),
            ("shed", shed),
            ("unassigned", unassigned),
            ("maintenance", maintenance),
        ];
        causes.into_iter().filter(|(_, value)| *value > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_causes_that_there_are_are_told() {
        let causes = CausesView { agent_offline: 0.125, shed: 0.01, ..CausesView::default() };
        let text = causes.text(|share| format!("{:.1} %", share * 100.0));
        assert_eq!(text, "12.5 % agent_offline, 1.0 % shed");
        assert_eq!(CausesView::default().text(|share| share.to_string()), "");
    }
}
