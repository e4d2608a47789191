//! From late records to an amendment: the verdicts of the stretch they reach, without them and with them.

use std::collections::BTreeMap;

use sitepulse_model::amendment::{self, Amendment, LateAgent, Touched};
use sitepulse_model::control::Weight;
use sitepulse_model::id::{AgentNo, CheckNo, Revision};
use sitepulse_model::series::Series;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{self, CheckView, Policy, VerdictSpan, Voter};

use super::backtest::Voted;
use super::{Book, Check, Filter};
use crate::amend::{Acts, LatePair};

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

/// What an amendment is derived from, taken out of the book: the derivation of a long stretch takes turns with others, and what comes in
/// meanwhile is of the next one.
#[derive(Debug)]
pub(crate) struct Stretch {
    policies: Vec<(UtcMicros, Revision, Policy)>,
    lives: Vec<Span>,
    windows: Vec<Span>,
    span: Span,
    /// Who votes: with what is known, and, where some of that came late, what was known without it.
    voters: Vec<Sitting>,
    late: Vec<LateAgent>,
    noted: UtcMicros,
    /// How long a piece is.
    piece_us: i64,
}

/// A voter of a stretch.
#[derive(Debug)]
struct Sitting {
    voted: Voted,
    /// What was known of its runs, where some came late.
    before: Option<Series>,
    /// When it was suspended and what its vote weighed as far as was known, where control events came late.
    ruled: Option<Ruled>,
}

/// What control events say of a voter.
#[derive(Debug)]
struct Ruled {
    suspended: Vec<Span>,
    weights: Vec<(UtcMicros, Weight)>,
    /// From here on all was told with this voter's late control events; those of another may have come in sooner or later.
    until: UtcMicros,
}

impl Sitting {
    /// As it was told of a time from `from` on, in which it came to know no late control events.
    fn told(&self, from: UtcMicros) -> Voter<'_> {
        let mut voter = self.voted.voter();
        if let Some(series) = &self.before {
            voter.series = series;
        }
        if let Some(known) = self.ruled.as_ref().filter(|ruled| from < ruled.until) {
            (voter.suspended, voter.weights) = (known.suspended.clone(), known.weights.clone());
        }
        voter
    }
}

/// Slots of all voters in one piece of a derivation, about: bounds how long one takes, by the most often changing series.
const PIECE_SLOTS: i64 = 20_000;

/// The verdicts of a stretch, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    told: Vec<VerdictSpan>,
    tells: Vec<VerdictSpan>,
}

/// Puts verdicts of a later time after others, as if all were derived at once.
fn join(spans: &mut Vec<VerdictSpan>, more: Vec<VerdictSpan>) {
    for next in more {
        match spans.last_mut() {
            Some(last) if last.span.to == next.span.from && (VerdictSpan { span: next.span, ..*last }) == next => {
                last.span.to = next.span.to;
            }
            Some(_) | None => spans.push(next),
        }
    }
}

impl Stretch {
    /// Derives the next piece; whether that was the last.
    pub(crate) fn derive_piece(&self, at: &mut UtcMicros, verdicts: &mut Verdicts) -> bool {
        let from = self.span.from.max(*at);
        let known = self.voters.iter().filter_map(|one| one.ruled.as_ref()).map(|ruled| ruled.until);
        let to = from.plus_us(self.piece_us).min(self.span.to);
        let to = known.filter(|until| from < *until).fold(to, UtcMicros::min);
        let piece = Span::new(from, to.max(from));
        let derive = |voters: &[Voter<'_>]| -> Vec<VerdictSpan> {
            let view = |life| CheckView { revisions: &self.policies, life };
            self.lives.iter().flat_map(|life| vote::verdicts(&view(*life), voters, &self.windows, piece)).collect()
        };
        let tells: Vec<Voter<'_>> = self.voters.iter().map(|one| one.voted.voter()).collect();
        let told: Vec<Voter<'_>> = self.voters.iter().map(|one| one.told(from)).collect();
        join(&mut verdicts.told, derive(&told));
        join(&mut verdicts.tells, derive(&tells));
        *at = to;
        to >= self.span.to
    }

    /// The amendment of verdicts that were derived to the end; `None` where no figure changed.
    pub(crate) fn amendment(self, verdicts: &Verdicts) -> Option<Amendment> {
        let Verdicts { told, tells } = verdicts;
        // A check's life may end, or begin, within.
        let first = tells.first().map_or(self.span.from, |first| first.span.from);
        let last = tells.last().map_or(first, |last| last.span.to);
        Amendment::of(Span::new(first, last), self.noted, self.late, told, tells)
    }
}

impl Book {
    /// What late records and control events may have changed of a check's verdicts so far; `None` where they changed nothing.
    pub(crate) fn stretch(&self, check: &Check, late: &BTreeMap<AgentNo, LatePair>, now: UtcMicros) -> Option<Stretch> {
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
        let acts = late.iter().filter_map(|(agent, pair)| Some((*agent, pair.acts.as_ref()?)));
        let acts: BTreeMap<AgentNo, &Acts> = acts.collect();
        let ruled = acts.values().map(|acts| Span::new(acts.first, acts.known_from));
        let span =
            reaches.chain(ruled).reduce(|one, other| Span::new(one.from.min(other.from), one.to.max(other.to)))?;
        let span = span.clip(Span::new(UtcMicros::MIN, now));
        let mut before: BTreeMap<AgentNo, Series> = touched
            .iter()
            .map(|(agent, _, series, touched, held)| {
                (*agent, amendment::without(&view, series, *touched, held, span.from))
            })
            .collect();
        let late_agents = late.iter().filter_map(|(agent, pair)| {
            let acts = pair.acts.as_ref().map(|acts| Touched { first: acts.first, last: acts.last, end: acts.last });
            let records = pair.stretch.as_ref().map(|(touched, _)| *touched);
            let count = pair.acts.as_ref().map_or(0, |acts| acts.ids.len() as u64);
            Some(LateAgent::of(
                *agent,
                (pair.records, count),
                records.into_iter().chain(acts).reduce(Touched::and)?,
                pair.noted,
            ))
        });
        let voters: Vec<_> = self
            .voters(check, &Filter::All)
            .into_iter()
            .map(|(agent, voter)| {
                let series = amendment::tail(&view, voter.series, span.from);
                let ruled = acts.get(&agent).map(|acts| {
                    let known = self.control.without(agent, check.number, &acts.ids);
                    let suspended = known.suspended_spans(agent, check.number);
                    let weights = known.weights(agent, check.number);
                    Ruled { suspended, weights, until: acts.known_from }
                });
                Sitting { voted: Voted::of(voter, series), before: before.remove(&agent), ruled }
            })
            .collect();
        let slots_us = check.policies().iter().map(|(.., policy)| policy.interval_us).min().unwrap_or(1);
        let slots_us = i64::try_from(slots_us).unwrap_or(i64::MAX).max(1);
        Some(Stretch {
            policies: check.policies().to_vec(),
            lives: check.lives(),
            windows: self.windows(check.number, span).spans().to_vec(),
            span,
            late: late_agents.collect(),
            noted: late.values().map(|pair| pair.noted).min()?,
            piece_us: slots_us.saturating_mul(PIECE_SLOTS / (voters.len() as i64).clamp(1, PIECE_SLOTS)),
            voters,
        })
    }

    /// Forgets the amendments noted before an instant, but for each check's newest: numbers go on from it.
    pub(crate) fn forget_amended_before(&mut self, before: UtcMicros) {
        for check in self.checks.values_mut() {
            let newest = check.amended.last().map(|newest| newest.number);
            let kept = check.amended.len();
            check.amended.retain(|one| one.noted >= before || Some(one.number) == newest);
            if check.amended.len() < kept {
                check.touched.own();
            }
        }
    }

    /// Notes an amendment that is durable.
    pub(crate) fn insert_amended(&mut self, check: CheckNo, number: u64, span: Span, noted: UtcMicros) {
        if let Some(check) = self.checks.get_mut(&check) {
            check.touched.own();
            check.amended.push(Amended { number, span, noted });
            if check.amended.len() > crate::store::amendments::KEPT_MAX {
                check.amended.remove(0);
            }
        }
    }
}
