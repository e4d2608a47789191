//! The definitions of `docs/semantics.md`, followed second by second without a thought for cost. It shares no code with the model, only the names of things.

use std::collections::BTreeMap;

use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{MissedCause, ProbeState};
use sitepulse_model::series::{Obs, Seen};
use sitepulse_model::timeline::{Raw, UnknownCause};
use sitepulse_model::vote::{Standing, Verdict, Vote};

use crate::world::{About, Order, Rev, World};

/// What is known of each slot of an agent.
pub(crate) type Records = BTreeMap<i64, Obs>;

/// A verdict with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) share_down: (u64, u64),
    pub(crate) unknown_cause: Option<UnknownCause>,
    pub(crate) quorum_reduced: bool,
}

pub(crate) fn inside(spans: &[(i64, i64)], second: i64) -> bool {
    spans.iter().any(|(from, to)| *from <= second && second < *to)
}

impl World {
    /// The definition that a record names: of one that is not known the nearest before it, else the first.
    pub(crate) fn named(&self, number: u32) -> &Rev {
        let mut found = &self.revisions[0];
        for (index, revision) in self.revisions.iter().enumerate() {
            if crate::world::number(index) <= number {
                found = revision;
            }
        }
        found
    }

    fn quorum_at(&self, second: i64) -> Quorum {
        self.revisions.iter().rev().find(|revision| revision.from <= second).unwrap_or(&self.revisions[0]).quorum
    }

    pub(crate) fn hold(&self, number: u32) -> i64 {
        let revision = self.named(number);
        revision.interval * 2 + revision.timeout
    }

    /// A result holds until the next record, at most for its hold; a missed record says why nothing is known.
    pub(crate) fn raw(&self, agent: usize, records: &Records, second: i64) -> Raw {
        if !inside(&self.agents[agent].assigned, second) {
            return Raw::Unknown(UnknownCause::Unassigned);
        }
        let Some((slot, obs)) = records.range(..=second).next_back() else {
            return Raw::Unknown(UnknownCause::AgentOffline);
        };
        if second - slot >= self.hold(obs.revision.0) {
            return Raw::Unknown(UnknownCause::AgentOffline);
        }
        match obs.seen {
            Seen::State(ProbeState::Unknown) | Seen::Missed(MissedCause::ClockStep) => {
                Raw::Unknown(UnknownCause::AgentOffline)
            }
            Seen::State(state) => Raw::State(state),
            Seen::Missed(MissedCause::AgentStopped) => Raw::Unknown(UnknownCause::AgentStopped),
            Seen::Missed(MissedCause::Overloaded) => Raw::Unknown(UnknownCause::Shed),
            Seen::Missed(MissedCause::Suspended | MissedCause::Maintenance) => Raw::Unknown(UnknownCause::Suspended),
        }
    }

    /// From when on the answer to "is it at least this bad?" is which: each result is looked at in turn; where it speaks against the present position, so many
    /// results from it on must agree, as the definition of the one that completes them says.
    fn positions(&self, records: &Records, level: ProbeState) -> Vec<(i64, bool)> {
        let results: Vec<(i64, bool, &Rev)> = records
            .iter()
            .filter_map(|(slot, obs)| match obs.seen {
                Seen::State(ProbeState::Unknown) | Seen::Missed(_) => None,
                Seen::State(state) => Some((*slot, state >= level, self.named(obs.revision.0))),
            })
            .collect();
        let mut positions = vec![(i64::MIN, false)];
        let mut position = false;
        for (index, (slot, hit, _)) in results.iter().enumerate() {
            let agree = results[index..].iter().take_while(|(_, other, _)| other == hit);
            let turned = *hit != position
                && agree.enumerate().any(|(more, (_, _, revision))| {
                    more as u32 + 1 >= if position { revision.recoveries } else { revision.confirmations }
                });
            if turned {
                position = *hit;
                positions.push((*slot, position));
            }
        }
        positions
    }

    /// What the agent votes, by the records there are.
    pub(crate) fn votes(&self, records: &Records) -> Votes {
        Votes {
            down: self.positions(records, ProbeState::Down),
            degraded: self.positions(records, ProbeState::Degraded),
        }
    }

    /// The last order about a scope up to an instant that is of a kind.
    fn last(&self, about: About, second: i64, wanted: fn(&Order) -> bool) -> Option<Order> {
        let said = self.orders.iter().filter(|(_, at, scope, order)| *at <= second && *scope == about && wanted(order));
        said.max_by_key(|(nth, at, _, _)| (*at, *nth)).map(|(_, _, _, order)| *order)
    }

    fn suspended(&self, agent: usize, second: i64) -> bool {
        [About::Agent(agent), About::CheckOn(agent), About::Check].into_iter().any(|about| {
            let last = self.last(about, second, |order| !matches!(order, Order::Weight(_)));
            matches!(last, Some(Order::Suspend(until)) if second < until)
        })
    }

    fn weight(&self, agent: usize, second: i64) -> u32 {
        let of = |about| match self.last(about, second, |order| matches!(order, Order::Weight(_))) {
            Some(Order::Weight(weight)) => Some(weight),
            Some(Order::Suspend(_) | Order::Resume) | None => None,
        };
        of(About::CheckOn(agent)).or_else(|| of(About::Agent(agent))).unwrap_or(1000)
    }

    pub(crate) fn standing(&self, agent: usize, raw: Raw, vote: Vote, second: i64) -> Standing {
        let weight = self.weight(agent, second);
        match raw {
            Raw::Unknown(UnknownCause::Unassigned) => Standing::Unassigned,
            _ if weight == 0 => Standing::Weightless,
            _ if self.suspended(agent, second) => Standing::Suspended,
            Raw::Unknown(cause) => Standing::Unknown(cause),
            Raw::State(_) => Standing::Live { weight: sitepulse_model::control::Weight(weight), vote },
        }
    }

    pub(crate) fn answer(&self, standings: &[Standing], second: i64) -> Answer {
        let live: Vec<(u64, Vote)> = standings
            .iter()
            .filter_map(|standing| match standing {
                Standing::Live { weight, vote } => Some((u64::from(weight.0), *vote)),
                Standing::Unassigned | Standing::Weightless | Standing::Suspended | Standing::Unknown(_) => None,
            })
            .collect();
        let total: u64 = live.iter().map(|(weight, _)| weight).sum();
        let bad = |vote: Vote| {
            let bad: Vec<u64> = live.iter().filter(|(_, v)| *v == vote).map(|(weight, _)| *weight).collect();
            (bad.len(), bad.iter().sum::<u64>())
        };
        let quorum = self.quorum_at(second);
        let meets = |(count, weight): (usize, u64)| {
            count > 0
                && match quorum {
                    Quorum::Any => true,
                    Quorum::Majority => weight > total - weight,
                    Quorum::All => count == live.len(),
                    Quorum::Share(ppm) => weight * 1_000_000 >= u64::from(ppm) * total,
                    Quorum::Agents(n) => count >= (n as usize).min(live.len()),
                }
        };
        let (down, degraded) = (bad(Vote::Down), bad(Vote::Degraded));
        let verdict = if inside(&self.windows, second) {
            Verdict::Maintenance
        } else if live.is_empty() {
            Verdict::Unknown
        } else if meets(down) {
            Verdict::Down
        } else if down.0 > 0 {
            Verdict::Regional
        } else if meets(degraded) {
            Verdict::Degraded
        } else {
            Verdict::Up
        };
        let has = |cause| {
            standings.contains(&Standing::Unknown(cause))
                || cause == UnknownCause::Suspended && standings.contains(&Standing::Suspended)
        };
        let causes =
            [UnknownCause::AgentOffline, UnknownCause::AgentStopped, UnknownCause::Shed, UnknownCause::Suspended];
        Answer {
            verdict,
            share_down: (down.1, total),
            unknown_cause: (verdict == Verdict::Unknown)
                .then(|| causes.into_iter().find(|cause| has(*cause)).unwrap_or(UnknownCause::Unassigned)),
            quorum_reduced: matches!(quorum, Quorum::Agents(n) if n as usize > live.len()) && !live.is_empty(),
        }
    }

    /// Slots between neighbouring records that no record names, where the pair was assigned: each an interval after the one before it, of the longer interval where
    /// the two differ.
    pub(crate) fn holes(&self, agent: usize, records: &Records) -> u64 {
        let known: Vec<(i64, i64)> =
            records.iter().map(|(slot, obs)| (*slot, self.named(obs.revision.0).interval)).collect();
        let mut holes = 0;
        for pair in known.windows(2) {
            let step = pair[0].1.max(pair[1].1);
            let mut slot = pair[0].0 + step;
            while slot < pair[1].0 {
                holes += u64::from(inside(&self.agents[agent].assigned, slot));
                slot += step;
            }
        }
        holes
    }
}

/// An agent's votes.
#[derive(Debug)]
pub(crate) struct Votes {
    down: Vec<(i64, bool)>,
    degraded: Vec<(i64, bool)>,
}

impl Votes {
    pub(crate) fn at(&self, second: i64) -> Vote {
        let says = |positions: &[(i64, bool)]| positions.iter().rev().find(|(from, _)| *from <= second).unwrap().1;
        if says(&self.down) {
            Vote::Down
        } else if says(&self.degraded) {
            Vote::Degraded
        } else {
            Vote::Up
        }
    }
}
