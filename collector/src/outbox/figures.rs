//! What operators see of the outbox: how much waits, and what became of the rest since the start of the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::delivery::Decision;
use sitepulse_model::time::UtcMicros;

/// What waits for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that are due, out, to be tried again, or behind one of these.
    pub messages: u64,
    /// When the step was that has waited longest.
    pub oldest: UtcMicros,
}

/// What became of a channel's attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the provider has.
    pub delivered: u64,
    /// Attempts that are to be repeated.
    pub retried: u64,
    /// Those of them that the provider turned away: it does not know this sender or this address.
    pub denied: u64,
    /// Messages that became dead letters.
    pub dead: u64,
}

/// A channel, for `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelFigures {
    /// Its id.
    pub channel: String,
    /// What waits, if anything does.
    pub waiting: Option<Waiting>,
    /// What became of attempts since the start of the process.
    pub counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<String, Counts>,
    /// Whether the last attempt by each channel went through.
    last: BTreeMap<String, bool>,
    failing_since: Option<Monotonic>,
}

/// What became of attempts since the start of the process. Shared with readers.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<State>);

impl Deliveries {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, channel: &str, decision: Decision, denied: bool) {
        let mut state = self.state();
        let counts = state.counts.entry(channel.to_owned()).or_default();
        match decision {
            Decision::Delivered => counts.delivered += 1,
            Decision::Again { .. } => {
                counts.retried += 1;
                counts.denied += u64::from(denied);
            }
            Decision::GivenUp => counts.dead += 1,
        }
        // One channel that fails is that channel's trouble; all of them are this collector's.
        state.last.insert(channel.to_owned(), matches!(decision, Decision::Delivered));
        if state.last.values().any(|went_through| *went_through) {
            state.failing_since = None;
        } else {
            state.failing_since.get_or_insert_with(clock::monotonic);
        }
    }

    /// Since when the last attempt of no channel has gone through, where one was made; `None` while one's did.
    pub fn failing_since(&self) -> Option<Monotonic> {
        self.state().failing_since
    }

    /// Every channel that messages wait for, that is `known`, or that attempts were made for.
    pub(crate) fn figures(
        &self,
        mut waiting: BTreeMap<String, Waiting>,
        known: impl Iterator<Item = String>,
    ) -> Vec<ChannelFigures> {
        let state = self.state();
        let mut channels: Vec<String> = known.chain(waiting.keys().chain(state.counts.keys()).cloned()).collect();
        channels.sort();
        channels.dedup();
        channels
            .into_iter()
            .map(|channel| ChannelFigures {
                waiting: waiting.remove(&channel),
                counts: state.counts.get(&channel).copied().unwrap_or_default(),
                channel,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_is_refused_is_no_trouble_of_the_collector_while_another_goes_through() {
        let deliveries = Deliveries::default();
        deliveries.note("a", Decision::Delivered, false);
        deliveries.note("b", Decision::GivenUp, false);
        assert_eq!(deliveries.failing_since(), None);
        deliveries.note("a", Decision::Again { at: sitepulse_model::time::UtcMicros(0) }, false);
        assert!(deliveries.failing_since().is_some(), "now none goes through");
        deliveries.note("b", Decision::Delivered, false);
        assert_eq!(deliveries.failing_since(), None);
    }
}
