//! Back-tests of a check: its stored evidence as it was judged, and as another policy would have judged it.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::backtest::{self, Change, Knobs, Replay, weigh};
use sitepulse_model::control::Weight;
use sitepulse_model::id::{AgentNo, CheckNo, Revision};
use sitepulse_model::series::Series;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{CheckView, Policy, Voter};

use super::{Book, Filter};

/// What is replaced for the whole period; all else stays as it was: revisions, suspensions, windows, assignments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Altered {
    /// Of the check's policy.
    pub knobs: Knobs,
    /// Of agents' votes.
    pub weights: BTreeMap<AgentNo, Weight>,
    /// Agents that have no vote.
    pub without: BTreeSet<AgentNo>,
}

/// A back-test.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// The figures as they are.
    pub before: Account,
    /// The figures as they would be.
    pub after: Account,
    /// What becomes of each episode, by begin.
    pub changes: Vec<Change>,
}

/// All that a back-test needs of the book, taken out of it: it may compute for long, and nobody waits for it meanwhile.
#[derive(Debug, Clone)]
pub struct Evidence {
    policies: Vec<(UtcMicros, Revision, Policy)>,
    lives: Vec<Span>,
    windows: Vec<Span>,
    voters: Vec<(AgentNo, Voted)>,
    period: Span,
}

/// What is known of an agent's votes.
#[derive(Debug, Clone)]
pub(super) struct Voted {
    assigned: Vec<Span>,
    suspended: Vec<Span>,
    weights: Vec<(UtcMicros, Weight)>,
    series: Series,
}

impl Voted {
    /// A voter as it is, but for its series.
    pub(super) fn of(voter: Voter<'_>, series: Series) -> Self {
        let Voter { assigned, suspended, weights, .. } = voter;
        Self { assigned, suspended, weights, series }
    }

    pub(super) fn voter(&self) -> Voter<'_> {
        let Self { assigned, suspended, weights, series } = self;
        Voter { assigned: assigned.clone(), suspended: suspended.clone(), weights: weights.clone(), series }
    }
}

impl Book {
    /// What is known of a check over a period (see [`Self::period`]); `None` for an unknown check.
    pub fn evidence(&self, check: CheckNo, period: Span) -> Option<Evidence> {
        let check = self.check(check)?;
        let voted = |(agent, voter): (AgentNo, Voter<'_>)| {
            let series = voter.series.clone();
            (agent, Voted::of(voter, series))
        };
        Some(Evidence {
            policies: check.policies().to_vec(),
            lives: check.lives(),
            windows: self.windows(check.number, period).spans().to_vec(),
            voters: self.voters(check, &Filter::All).into_iter().map(voted).collect(),
            period,
        })
    }
}

impl Evidence {
    /// Replays it as it was and as it would have been. `reopen_us` is the reopen window, in microseconds. Lives of the check are apart: no episode
    /// spans two.
    pub fn backtest(&self, altered: &Altered, reopen_us: i64) -> Backtest {
        let revisions = altered.knobs.applied(&self.policies);
        let as_it_was: Vec<Voter<'_>> = self.voters.iter().map(|(_, voted)| voted.voter()).collect();
        let counted = self.voters.iter().filter(|(agent, _)| !altered.without.contains(agent));
        let as_it_would_be: Vec<Voter<'_>> = counted
            .map(|(agent, voted)| {
                let mut voter = voted.voter();
                if let Some(weight) = altered.weights.get(agent) {
                    weigh(&mut voter, *weight);
                }
                voter
            })
            .collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut changes = Vec::new();
        for life in self.lives.iter().copied() {
            let replay = |revisions, voters: &[Voter<'_>]| -> Replay {
                backtest::replay(&CheckView { revisions, life }, voters, &self.windows, self.period, reopen_us)
            };
            let (was, would_be) = (replay(&self.policies, &as_it_was), replay(&revisions, &as_it_would_be));
            changes.extend(backtest::compare(&was.episodes, &would_be.episodes));
            before.extend(was.verdicts);
            after.extend(would_be.verdicts);
        }
        Backtest { before: Account::of(&before), after: Account::of(&after), changes }
    }
}
