//! How long what is known holds by itself: while nothing new comes in, only passing time can change it, and only at instants that are known beforehand.

use sitepulse_model::control::Scope;
use sitepulse_model::id::AgentNo;
use sitepulse_model::series::Obs;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{self, CheckView};

use super::{Book, Check};

/// Where a pair's evidence stood when a check was judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    edits: u64,
    runs: usize,
    last: Option<(UtcMicros, Obs)>,
    /// Whether more results like the newest change no vote.
    calm: bool,
}

impl Check {
    fn view(&self) -> CheckView<'_> {
        CheckView { revisions: self.policies(), life: Span::new(UtcMicros::MIN, UtcMicros::MAX) }
    }

    /// Where the evidence of a pair stands.
    pub(crate) fn mark(&self, agent: AgentNo) -> Option<Mark> {
        let series = &self.pairs.get(&agent)?.series;
        let calm = vote::calm(&self.view(), series);
        Some(Mark { edits: series.edits(), runs: series.run_count(), last: series.last(), calm })
    }

    /// Up to which instant verdicts that were derived at the mark are still right; `None` where nothing is sure.
    ///
    /// Where all that came in since continues the newest run of slots, what it says before the end of the hold that was known then was said already: that
    /// result held, and in a run that settles the vote one more of the same settles nothing else.
    pub(crate) fn right_until(&self, agent: AgentNo, mark: &Mark) -> Option<UtcMicros> {
        let (slot, Obs { revision, .. }) = mark.last?;
        let series = &self.pairs.get(&agent)?.series;
        let continues = mark.calm && (series.edits(), series.run_count()) == (mark.edits, mark.runs);
        continues.then(|| slot.plus_us(self.hold_us(revision)))
    }
}

impl Book {
    /// The first instant after `now` at which a check's definition, the agents that are assigned to it, the weight of a vote or a suspension changes by itself,
    /// as far as is known: [`UtcMicros::MAX`] where none does.
    pub(crate) fn turn(&self, check: &Check, now: UtcMicros) -> UtcMicros {
        let suspended = |scope| self.control.suspensions_of(scope).iter().flat_map(|one| [one.span.from, one.span.to]);
        let own = check.revisions.iter().map(|revision| revision.effective_from);
        let own = own.chain(suspended(Scope::Check(check.number)));
        let agents = self.agents.values().flat_map(|agent| {
            let scopes = [Scope::Agent(agent.number), Scope::AgentCheck(agent.number, check.number)];
            let weights = self.control.weights(agent.number, check.number).into_iter().map(|(at, _)| at);
            let life = agent.life();
            [life.from, life.to].into_iter().chain(weights).chain(scopes.into_iter().flat_map(suspended))
        });
        own.chain(agents).filter(|at| *at > now).min().unwrap_or(UtcMicros::MAX)
    }
}
