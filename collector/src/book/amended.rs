//! From late records to an amendment: the verdicts of the stretch they reach, without them and with them.

use std::collections::BTreeMap;

use sitepulse_model::amendment::{self, Amendment, LateAgent, Touched};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::series::Series;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{CheckView, Voter};

use super::{Book, Check, Filter};
use crate::amend::LatePair;

/// That an amendment is kept, and of what time. The amendment itself is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amended {
    /// Its number, which counts the check's amendments from 1.
    pub number: u64,
    /// Whose figures were derived again.
    pub span: Span,
    /// When the first of the late records came in.
    pub noted: UtcMicros,
}

impl Check {
    /// The number of the amendment to come.
    pub(crate) fn next_amendment(&self) -> u64 {
        self.amended.last().map_or(0, |newest| newest.number) + 1
    }

    /// The amendments that are about some of this time.
    pub fn amended_in(&self, period: Span) -> impl Iterator<Item = &Amended> {
        self.amended.iter().filter(move |one| !one.span.clip(period).is_empty())
    }
}

impl Book {
    /// What late records changed of a check's verdicts so far; `None` where no figure did.
    pub(crate) fn amendment(
        &self,
        check: &Check,
        late: &BTreeMap<AgentNo, LatePair>,
        now: UtcMicros,
    ) -> Option<Amendment> {
        let life = Span::new(UtcMicros::MIN, UtcMicros::MAX);
        let view = CheckView { revisions: check.policies(), life };
        let touched: Vec<(AgentNo, &LatePair, &Series, Touched, &Series)> = late
            .iter()
            .filter_map(|(agent, pair)| {
                let (touched, held) = pair.stretch.as_ref()?;
                Some((*agent, pair, &check.pairs.get(agent)?.series, *touched, held))
            })
            .collect();
        let reaches =
            touched.iter().map(|(_, _, series, touched, held)| amendment::reach(&view, series, *touched, held));
        let span = reaches.reduce(|one, other| Span::new(one.from.min(other.from), one.to.max(other.to)))?;
        let span = span.clip(Span::new(UtcMicros::MIN, now));
        let before: BTreeMap<AgentNo, Series> = touched
            .iter()
            .map(|(agent, _, series, touched, held)| {
                (*agent, amendment::without(&view, series, *touched, held, span.from))
            })
            .collect();
        let (told, tells) =
            (self.verdicts_with(check, &before, span), self.verdicts_with(check, &BTreeMap::new(), span));
        let late_agent = |(agent, pair, _, touched, _): &(AgentNo, &LatePair, &Series, Touched, &Series)| {
            LateAgent::of(*agent, pair.records, *touched, pair.noted)
        };
        let noted = touched.iter().map(|(_, pair, ..)| pair.noted).min()?;
        // A check's life may end, or begin, within.
        let first = tells.first().map_or(span.from, |first| first.span.from);
        let last = tells.last().map_or(first, |last| last.span.to);
        Amendment::of(Span::new(first, last), noted, touched.iter().map(late_agent).collect(), &told, &tells)
    }

    /// The verdicts of a check with other series than those of some of its agents.
    fn verdicts_with(
        &self,
        check: &Check,
        instead: &BTreeMap<AgentNo, Series>,
        period: Span,
    ) -> Vec<sitepulse_model::vote::VerdictSpan> {
        let voters = self.voters(check, &Filter::All).into_iter();
        let voter = |(agent, voter): (AgentNo, _)| match instead.get(&agent) {
            Some(series) => Voter { series, ..voter },
            None => voter,
        };
        self.judge(check, &voters.map(voter).collect::<Vec<_>>(), period)
    }

    /// Forgets the amendments noted before an instant, but for each check's newest: numbers go on from it.
    pub(crate) fn forget_amended_before(&mut self, before: UtcMicros) {
        for check in self.checks.values_mut() {
            let newest = check.amended.last().map(|newest| newest.number);
            check.amended.retain(|one| one.noted >= before || Some(one.number) == newest);
        }
    }

    /// Notes an amendment that is durable.
    pub(crate) fn insert_amended(&mut self, check: CheckNo, number: u64, span: Span, noted: UtcMicros) {
        if let Some(check) = self.checks.get_mut(&check) {
            check.amended.push(Amended { number, span, noted });
            if check.amended.len() > crate::store::amendments::KEPT_MAX {
                check.amended.remove(0);
            }
        }
    }
}
