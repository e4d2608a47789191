//! From the book to verdicts and figures: gathers the voters of a check and asks the model.

use sitepulse_model::control::{Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo, Region};
use sitepulse_model::record::ProbeState;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{self, CheckView, Policy, UnknownCause, Verdict, VerdictSpan, Voter};

use super::Book;
use super::check::Check;

/// A figure asked without a period covers this much.
const PERIOD_DEFAULT_US: i64 = 24 * 3600 * 1_000_000;

/// Whose votes count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// Every agent's.
    #[default]
    All,
    /// One agent's alone.
    Agent(AgentNo),
    /// One region's agents' alone.
    Region(Region),
}

/// What the collector answers for a check now.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictNow {
    /// The verdict, with its share and causes. Its span starts where this verdict began, looked back over 24 h at most.
    pub verdict: VerdictSpan,
    /// Every agent that is assigned now, by number.
    pub agents: Vec<AgentNow>,
}

/// One agent's view of a check now, before any vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentNow {
    /// The agent.
    pub agent: AgentNo,
    /// What its newest result says, while that holds; `None` where it cannot tell.
    pub state: Option<ProbeState>,
    /// Why it cannot tell, where it cannot.
    pub unknown_cause: Option<UnknownCause>,
    /// Its vote's weight.
    pub weight: Weight,
    /// Whether it, the check, or the check on it is suspended.
    pub suspended: bool,
}

impl Book {
    /// The period of a question: the last 24 h where nothing is said, clipped to the check's life and to `now`.
    /// Empty when the check did not live then.
    pub fn period(&self, check: &Check, from: Option<UtcMicros>, to: Option<UtcMicros>, now: UtcMicros) -> Span {
        let to = to.unwrap_or(now).min(now);
        let from = from.unwrap_or_else(|| to.plus_us(-PERIOD_DEFAULT_US));
        let lives = check.lives();
        let Some((first, last)) = lives.first().zip(lives.last()) else {
            return Span::new(to, to);
        };
        Span::new(from, to).clip(Span::new(first.from, last.to))
    }

    /// The figures of a check over a period (see [`Self::period`]) from all agents, one agent or one region.
    /// `None` for an unknown check.
    pub fn account(&self, check: CheckNo, filter: &Filter, period: Span) -> Option<Account> {
        self.verdicts(check, filter, period).map(|spans| Account::of(&spans))
    }

    /// The verdicts that an account is made of: contiguous within each life of the check.
    pub fn verdicts(&self, check: CheckNo, filter: &Filter, period: Span) -> Option<Vec<VerdictSpan>> {
        self.check(check).map(|check| self.verdicts_of(check, filter, period))
    }

    /// The verdict of a living check now, with what every assigned agent says; `None` for an unknown or retired check.
    pub fn verdict_now(&self, check: CheckNo, now: UtcMicros) -> Option<VerdictNow> {
        let check = self.check(check)?;
        check.current()?;
        let recent = Span::new(now.plus_us(-PERIOD_DEFAULT_US), now.plus_us(1));
        let verdict = merged_last(self.verdicts_of(check, &Filter::All, recent))?;
        let instant = Span::new(now, now.plus_us(1));
        let agents = self
            .agents
            .values()
            .filter(|agent| self.assigned(check, agent.number).iter().any(|span| span.contains(now)))
            .map(|agent| {
                let (state, unknown_cause) = self.raw_now(check, agent.number, instant);
                AgentNow {
                    agent: agent.number,
                    state,
                    unknown_cause,
                    weight: self.control.weight_at(agent.number, check.number, now),
                    suspended: self.control.is_suspended(agent.number, check.number, now),
                }
            })
            .collect();
        Some(VerdictNow { verdict, agents })
    }
}
