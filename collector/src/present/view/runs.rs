//! Where scheduled runs went, summed up for each agent: counted on as records come in, so that a page with the sums costs what changed and not a pass over all pairs.
//!
//! What is kept of a pair is right while nothing of it comes in, its check and its agent's life stay what they are and, as long as the agent was not heard of about the
//! check, until the next run is overdue. The sums equal those [from scratch](scratch); the property test of snapshots holds it.

use std::collections::BTreeMap;

use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::time::UtcMicros;

use super::{Counted, combine, conservation_view};
use crate::book::{Agent, Book, Check};
use crate::present::dto::ConservationView;

/// Where each agent's runs went, without those that had none.
pub type Sums = BTreeMap<AgentNo, ConservationView>;

/// The sums by a pass over all pairs.
pub fn scratch(book: &Book, now: UtcMicros) -> Sums {
    let mut counted = Counted::default();
    book.checks().for_each(|check| counted.add(book.conservation_of(check.number, now)));
    told(counted.sums)
}

fn told(mut sums: Sums) -> Sums {
    sums.retain(|_, sum| *sum != ConservationView::default());
    sums
}

/// What is kept of all checks.
#[derive(Debug, Default)]
pub(super) struct Runs {
    checks: BTreeMap<CheckNo, OfCheck>,
    sums: Sums,
}

#[derive(Debug)]
struct OfCheck {
    /// The counters that it was looked at with: its own, how many agents there were, and how many of them were revoked.
    seen: (u64, usize, usize),
    /// When it was looked at.
    at: UtcMicros,
    /// From here on it is not right any more, though nothing came in.
    due: UtcMicros,
    pairs: Vec<OfPair>,
}

#[derive(Debug)]
struct OfPair {
    agent: AgentNo,
    /// The counters of the check's definition and of the pair, and when the agent was revoked.
    seen: (u64, u64, Option<UtcMicros>),
    until: UtcMicros,
    counts: ConservationView,
}

/// How many agents there are, and how many of them are revoked.
fn agents(book: &Book) -> (usize, usize) {
    (book.agents().count(), book.agents().filter(|agent| agent.revoked_at.is_some()).count())
}

fn counters(check: &Check, agent: &Agent) -> (u64, u64, Option<UtcMicros>) {
    let pair = check.touched.pairs.get(&agent.number).copied().unwrap_or(0);
    (check.touched.own, pair, agent.revoked_at)
}

impl Runs {
    /// The checks of which something is not right any more.
    pub(super) fn stale(&self, book: &Book, now: UtcMicros) -> Vec<CheckNo> {
        let (all, revoked) = agents(book);
        let is_stale = |check: &Check| {
            self.checks
                .get(&check.number)
                .is_none_or(|kept| kept.seen != (check.touched.any, all, revoked) || now < kept.at || now >= kept.due)
        };
        book.checks().filter(|check| is_stale(check)).map(|check| check.number).collect()
    }

    /// Counts anew what is not right any more of a check; how many pairs that were.
    pub(super) fn look(&mut self, book: &Book, number: CheckNo, now: UtcMicros) -> usize {
        let Some(check) = book.check(number) else { return 0 };
        let mut counted = 0;
        let before = self.checks.remove(&number);
        // A clock that went back makes all of it anew.
        let right = before.as_ref().is_some_and(|kept| now >= kept.at);
        let mut before = before.map(|kept| kept.pairs).unwrap_or_default();
        let mut pairs = Vec::with_capacity(before.len());
        for agent in book.agents() {
            let seen = counters(check, agent);
            if let Some(at) = before.iter().position(|pair| pair.agent == agent.number) {
                let pair = before.swap_remove(at);
                if right && pair.seen == seen && now < pair.until {
                    pairs.push(pair);
                    continue;
                }
                combine(self.sums.entry(agent.number).or_default(), &pair.counts, u64::wrapping_sub);
            }
            counted += 1;
            let (row, until) = book.conservation_with(check, agent, now);
            if row.is_none() && until == UtcMicros::MAX {
                continue;
            }
            let counts = row.as_ref().map(conservation_view).unwrap_or_default();
            combine(self.sums.entry(agent.number).or_default(), &counts, u64::wrapping_add);
            pairs.push(OfPair { agent: agent.number, seen, until, counts });
        }
        let (all, revoked) = agents(book);
        let due = pairs.iter().map(|pair| pair.until).min().unwrap_or(UtcMicros::MAX);
        self.checks.insert(number, OfCheck { seen: (check.touched.any, all, revoked), at: now, due, pairs });
        counted
    }

    /// The sums, as far as was looked.
    pub(super) fn sums(&self) -> Sums {
        told(self.sums.clone())
    }
}
