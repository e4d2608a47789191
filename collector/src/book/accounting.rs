//! From the book to verdicts and figures: gathers the voters of a check and asks the model.

use std::sync::PoisonError;

use sitepulse_model::control::Weight;
use sitepulse_model::explain;
use sitepulse_model::id::{AgentNo, CheckNo, Region};
use sitepulse_model::record::ProbeState;
use sitepulse_model::schedule::Lattice;
use sitepulse_model::series::Series;
use sitepulse_model::sla::{Account, Conservation};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::timeline::{self, Raw, UnknownCause};
use sitepulse_model::unknown::UnknownShares;
use sitepulse_model::vote::{self, CheckView, VerdictSpan, Voter};

use super::pair::ConservationRow;
use super::{Agent, Book, Check};

/// The series of an agent that was never heard of a check.
pub(super) static SILENT: Series = Series::new();

/// A figure asked without a period covers this much.
pub const PERIOD_DEFAULT_US: i64 = 24 * 3600 * 1_000_000;

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

/// An interval behind a figure, with the agents that were assigned in it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedInterval {
    /// The verdict, and when.
    pub verdict: VerdictSpan,
    /// What each agent was, and on which records.
    pub testimonies: Vec<(AgentNo, explain::Testimony)>,
}

/// Of how much of a time there is evidence, as for the SLA.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Known {
    /// The share of it, maintenance aside; `None` where nothing was to be measured.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause.
    pub unknown: Option<UnknownShares>,
}

/// The period of a question: the last 24 h where nothing is said, clipped to `now`.
pub fn period_asked(from: Option<UtcMicros>, to: Option<UtcMicros>, now: UtcMicros) -> Span {
    let to = to.unwrap_or(now).min(now);
    Span::new(from.unwrap_or_else(|| to.plus_us(-PERIOD_DEFAULT_US)), to)
}

impl Book {
    /// The period of a question: the last 24 h where nothing is said, clipped to the check's life and to `now`.
    /// Empty, its two ends equal, when the check did not live then.
    pub fn period(&self, check: &Check, from: Option<UtcMicros>, to: Option<UtcMicros>, now: UtcMicros) -> Span {
        let asked = period_asked(from, to, now);
        let lives = check.lives();
        let Some((first, last)) = lives.first().zip(lives.last()) else {
            return Span::new(asked.to, asked.to);
        };
        let lived = asked.clip(Span::new(first.from, last.to));
        Span::new(lived.from.min(lived.to), lived.to)
    }

    /// The figures of a check over a period (see [`Self::period`]) from all agents, one agent or one region.
    /// `None` for an unknown check.
    pub fn account(&self, check: CheckNo, filter: &Filter, period: Span) -> Option<Account> {
        self.verdicts(check, filter, period).map(|spans| Account::of(&spans))
    }

    /// Of how much of a period (see [`Self::period`]) figures of a check speak: beside whatever else than the SLA is told of it.
    pub fn completeness(&self, check: CheckNo, filter: &Filter, period: Span) -> Known {
        self.account(check, filter, period).map_or_else(Known::default, |account| Known {
            completeness: account.completeness(),
            unknown: account.unknown_shares(),
        })
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
        let verdict = self.verdicts_of(check, &Filter::All, recent).into_iter().next_back()?;
        let agents = self.assigned_now(check, now).map(|agent| self.agent_now(check, agent, now, now).0).collect();
        Some(VerdictNow { verdict, agents })
    }

    /// The agents that are assigned to a check at an instant, by number.
    pub(crate) fn assigned_now<'b>(&'b self, check: &'b Check, now: UtcMicros) -> impl Iterator<Item = &'b Agent> {
        let there = move |agent: &&Agent| assigned(check, agent).iter().any(|span| span.contains(now));
        self.agents.values().filter(there)
    }

    /// The raw timeline of one agent's view of a check over a period, before any vote: what "its own figures" are made of.
    pub fn timeline(&self, check: CheckNo, agent: AgentNo, period: Span) -> Vec<timeline::RawSpan> {
        let (Some(check), Some(agent)) = (self.check(check), self.agent(agent)) else {
            return Vec::new();
        };
        let assigned = assigned(check, agent);
        let series = check.pairs.get(&agent.number).map_or(&SILENT, |pair| &pair.series);
        let view = |life| CheckView { revisions: check.policies(), life };
        check.lives().into_iter().flat_map(|life| timeline::pair(&view(life), series, &assigned, period)).collect()
    }

    /// Where every scheduled run went, for each check and agent: scheduled = stored + missed + dropped, or the difference is shown. Runs of a check that its agent
    /// was not heard of about, from the start or at all, are missed for [`UnknownCause::AgentOffline`]. Counts on from where it was last asked.
    pub fn conservation(&self, now: UtcMicros) -> Vec<ConservationRow> {
        self.checks.keys().flat_map(|check| self.conservation_of(*check, now)).collect()
    }

    /// [`Self::conservation`] of one check.
    pub fn conservation_of(&self, check: CheckNo, now: UtcMicros) -> Vec<ConservationRow> {
        let Some(check) = self.check(check) else { return Vec::new() };
        self.agents.values().filter_map(|agent| self.conservation_with(check, agent, now).0).collect()
    }

    /// [`Self::conservation`] of one check with one agent, and until when it stays so while nothing of the pair comes in.
    pub(crate) fn conservation_with(
        &self,
        check: &Check,
        agent: &Agent,
        now: UtcMicros,
    ) -> (Option<ConservationRow>, UtcMicros) {
        let pair = check.pairs.get(&agent.number);
        let (unheard, until) = unheard(check, agent, pair.and_then(|pair| pair.ledger.first), now);
        let counted = || {
            let pair = pair?;
            let life = Span::new(check.revisions.first()?.effective_from, UtcMicros::MAX);
            let view = CheckView { revisions: check.policies(), life };
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = counted.entry((check.number, agent.number)).or_default();
            let slots = counted.of(&view, &pair.series, &assigned(check, agent), pair.ledger.dropped);
            Some((slots, pair.ledger))
        };
        let (slots, counts) = match counted() {
            Some(found) => found,
            None if unheard == 0 => return (None, until),
            None => Default::default(),
        };
        let slots = Conservation { missed_agent_offline: unheard, ..slots };
        let (check, agent) = (check.number, agent.number);
        (Some(ConservationRow { check, agent, scheduled: slots.scheduled(), counts, slots }), until)
    }

    /// One agent's view of a check, and until when its state stays so while nothing new comes in: looked ahead no further than `ahead`.
    pub(crate) fn agent_now(
        &self,
        check: &Check,
        agent: &Agent,
        now: UtcMicros,
        ahead: UtcMicros,
    ) -> (AgentNow, UtcMicros) {
        let period = Span::new(now, ahead.max(now.plus_us(1)));
        let first = self.timeline(check.number, agent.number, period).into_iter().next();
        let until = first.map_or(period.to, |span| span.span.to);
        let raw = first.map(|span| span.state);
        let (state, unknown_cause) = match raw {
            Some(Raw::State(state)) => (Some(state), None),
            Some(Raw::Unknown(cause)) => (None, Some(cause)),
            None => (None, None),
        };
        let seen = AgentNow {
            agent: agent.number,
            state,
            unknown_cause,
            weight: self.control.weight_at(agent.number, check.number, now),
            suspended: self.control.suspended_at(agent.number, check.number, now).is_some(),
        };
        (seen, until)
    }

    /// The intervals behind [`Self::account`], each with the agents that were assigned then; none for an unknown check. `None` where `room` does not suffice, which
    /// counts intervals, their agents and the evidence of those.
    pub fn explain(
        &self,
        check: CheckNo,
        filter: &Filter,
        period: Span,
        mut room: usize,
    ) -> Option<Vec<ExplainedInterval>> {
        let Some(check) = self.check(check) else { return Some(Vec::new()) };
        let (agents, voters): (Vec<AgentNo>, Vec<Voter<'_>>) = self.voters(check, filter).into_iter().unzip();
        let view = |life| CheckView { revisions: check.policies(), life };
        let named = |testimony: explain::Testimony| (agents[testimony.voter], testimony);
        let windows = self.windows(check.number, period);
        let mut explained = Vec::new();
        for life in check.lives() {
            let intervals = explain::explain(&view(life), &voters, windows.spans(), period, &mut room)?;
            explained.extend(intervals.into_iter().map(|interval| ExplainedInterval {
                verdict: interval.verdict,
                testimonies: interval.testimonies.into_iter().map(named).collect(),
            }));
        }
        Some(explained)
    }

    fn verdicts_of(&self, check: &Check, filter: &Filter, period: Span) -> Vec<VerdictSpan> {
        let voters: Vec<Voter<'_>> = self.voters(check, filter).into_iter().map(|(_, voter)| voter).collect();
        self.judge(check, &voters, period)
    }

    /// What these voters say of a check.
    pub(super) fn judge(&self, check: &Check, voters: &[Voter<'_>], period: Span) -> Vec<VerdictSpan> {
        let view = |life| CheckView { revisions: check.policies(), life };
        let windows = self.windows(check.number, period);
        let verdicts = |life| vote::verdicts(&view(life), voters, windows.spans(), period);
        check.lives().into_iter().flat_map(verdicts).collect()
    }

    /// The agents whose votes count, by number.
    pub(super) fn voters<'b>(&'b self, check: &'b Check, filter: &Filter) -> Vec<(AgentNo, Voter<'b>)> {
        let counts = |agent: &Agent| match filter {
            Filter::All => true,
            Filter::Agent(number) => agent.number == *number,
            Filter::Region(region) => agent.region == *region,
        };
        let voter = |agent: &Agent| {
            let assigned = assigned(check, agent);
            if assigned.is_empty() {
                return None;
            }
            let voter = Voter {
                assigned,
                suspended: self.control.suspended_spans(agent.number, check.number),
                weights: self.control.weights(agent.number, check.number),
                series: check.pairs.get(&agent.number).map_or(&SILENT, |pair| &pair.series),
            };
            Some((agent.number, voter))
        };
        self.agents.values().filter(|agent| counts(agent)).filter_map(voter).collect()
    }
}

/// Slots that an agent was to run a check at before it was first heard of about it, but for those whose records may be under way still; and until when they stay as many.
fn unheard(check: &Check, agent: &Agent, first: Option<UtcMicros>, now: UtcMicros) -> (u64, UtcMicros) {
    let (mut count, mut until) = (0, UtcMicros::MAX);
    for (index, revision) in check.revisions.iter().enumerate() {
        let definition = &revision.definition;
        let from = revision.effective_from;
        if first.is_some_and(|first| first <= from) {
            break;
        }
        if revision.retired || !agent.runs(definition) {
            continue;
        }
        let next = check.revisions.get(index + 1).map_or(UtcMicros::MAX, |next| next.effective_from);
        let silent = Span::new(UtcMicros::MIN, first.unwrap_or(UtcMicros::MAX));
        let (silent, hold) = (Span::new(from, next).clip(agent.life()).clip(silent), definition.hold_us());
        if silent.is_empty() {
            continue;
        }
        let lattice = Lattice::new(&check.id, &agent.name, definition.interval_us);
        let overdue = now.plus_us(-hold);
        let due = silent.clip(Span::new(UtcMicros::MIN, overdue));
        if !due.is_empty() {
            count += lattice.count(lattice.at_or_after(due.from), lattice.at_or_before(due.to.plus_us(-1)));
        }
        let slot = lattice.at_or_after(silent.from.max(overdue));
        if slot < silent.to {
            until = until.min(slot.plus_us(hold + 1));
        }
    }
    (count, until)
}

/// When an agent was to run a check, within its own life.
fn assigned(check: &Check, agent: &Agent) -> Vec<Span> {
    let spans = check.spans_where(|definition| agent.runs(definition)).into_iter().map(|span| span.clip(agent.life()));
    spans.filter(|span| !span.is_empty()).collect()
}
