//! The present of a check: its witnesses out of the book, and what they say now.

use sitepulse_model::id::AgentNo;
use sitepulse_model::present::{Present, Witness};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{self, CheckView, Verdict, Voter};

use super::accounting::SILENT;
use super::{Book, Check, Filter};

impl Book {
    /// What is so of a check at an instant; [`Present::next`] knows of orders, revisions and agents that begin or end, too. `late` tells up to which slot an agent's results came late.
    pub(crate) fn present(
        &self,
        check: &Check,
        now: UtcMicros,
        late: impl Fn(AgentNo) -> Option<UtcMicros>,
    ) -> Present {
        let sooner = |a: Option<UtcMicros>, b: Option<UtcMicros>| a.into_iter().chain(b).min();
        // After the clock was set back, what applies since lies ahead.
        let ahead = |at: UtcMicros| Some(at).filter(|at| *at > now);
        let mut other = check.revisions.iter().rev().map_while(|revision| ahead(revision.effective_from)).last();
        let mut witnesses: Vec<Witness<'_>> = Vec::new();
        let in_force = check.at(now).filter(|revision| !revision.retired);
        if let Some(revision) = in_force {
            for agent in self.agents.values().filter(|agent| agent.runs(&revision.definition)) {
                let life = agent.life();
                if !life.contains(now) {
                    other = sooner(other, ahead(life.from));
                    continue;
                }
                other = sooner(other, ahead(life.to));
                other = sooner(other, self.control.next_change(agent.number, check.number, now));
                if self.control.suspended_at(agent.number, check.number, now).is_some() {
                    continue;
                }
                let series = check.pairs.get(&agent.number).map_or(&SILENT, |pair| &pair.series);
                let (agent, weight) = (agent.number, self.control.weight_at(agent.number, check.number, now));
                witnesses.push(Witness { agent, weight, series, late_upto: late(agent) });
            }
        }
        let whole = Span::new(UtcMicros::MIN, UtcMicros::MAX);
        let view = CheckView { revisions: check.policies(), life: whole };
        let mut present = Present::at(&view, witnesses, now);
        present.next = sooner(present.next, other);
        present
    }

    /// When a check that is not down now was down last, windows aside: the end of that. Not looked for before `from`.
    pub(crate) fn down_until(&self, check: &Check, from: UtcMicros, now: UtcMicros) -> Option<UtcMicros> {
        let voters: Vec<Voter<'_>> = self.voters(check, &Filter::All).into_iter().map(|(_, voter)| voter).collect();
        let recent = Span::new(from, now.plus_us(1));
        let mut spans = check.lives().into_iter().flat_map(|life| {
            let view = CheckView { revisions: check.policies(), life };
            vote::verdicts(&view, &voters, &[], recent)
        });
        let last = spans.rfind(|span| span.verdict == Verdict::Down)?;
        (last.span.to <= now).then_some(last.span.to)
    }
}
