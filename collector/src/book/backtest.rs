//! Back-tests of a check: its stored evidence as it was judged, and as another policy would have judged it.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::backtest::{self, Change, Knobs, Replay, weigh};
use sitepulse_model::control::Weight;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::sla::Account;
use sitepulse_model::time::Span;
use sitepulse_model::vote::{CheckView, Voter};

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

impl Book {
    /// Replays a check over a period (see [`Self::period`]) as it was and as it would have been; `None` for an unknown check. `reopen_us` is the reopen window,
    /// in microseconds. Lives of the check are apart: no episode spans two.
    pub fn backtest(&self, check: CheckNo, altered: &Altered, period: Span, reopen_us: i64) -> Option<Backtest> {
        let check = self.check(check)?;
        let voters = self.voters(check, &Filter::All);
        let revisions = altered.knobs.applied(check.policies());
        let as_it_was: Vec<Voter<'_>> = voters.iter().map(|(_, voter)| voter.clone()).collect();
        let as_it_would_be: Vec<Voter<'_>> = voters
            .into_iter()
            .filter(|(agent, _)| !altered.without.contains(agent))
            .map(|(agent, mut voter)| {
                if let Some(weight) = altered.weights.get(&agent) {
                    weigh(&mut voter, *weight);
                }
                voter
            })
            .collect();
        let windows = self.windows(check.number, period);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut changes = Vec::new();
        for life in check.lives() {
            let replay = |revisions, voters: &[Voter<'_>]| -> Replay {
                backtest::replay(&CheckView { revisions, life }, voters, windows.spans(), period, reopen_us)
            };
            let (was, would_be) = (replay(check.policies(), &as_it_was), replay(&revisions, &as_it_would_be));
            changes.extend(backtest::compare(&was.episodes, &would_be.episodes));
            before.extend(was.verdicts);
            after.extend(would_be.verdicts);
        }
        Some(Backtest { before: Account::of(&before), after: Account::of(&after), changes })
    }
}
