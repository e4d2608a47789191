//! What operators see of the outbox: how much waits, and what became of the rest since the start of the process.

use std::collections::{BTreeMap, BTreeSet};
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
    /// What became of the newest attempts by each channel.
    last: BTreeMap<String, Lately>,
}

/// The newest attempts by a channel.
#[derive(Debug, Clone, Copy)]
struct Lately {
    /// When the last one was over.
    tried: Monotonic,
    /// Since when none has gone through; `None`: the last one did.
    failing_since: Option<Monotonic>,
}

/// A channel that nobody tried for so long says nothing of how it is now, in microseconds: 15 min. One that fails is tried more often than that.
const LATELY_US: u64 = 900_000_000;

/// What became of attempts since the start of the process. Shared with readers.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<State>);

impl State {
    fn tried(&mut self, channel: &str, went_through: bool, now: Monotonic) {
        let before = self.last.get(channel).and_then(|one| one.failing_since);
        let failing_since = if went_through { None } else { before.or(Some(now)) };
        self.last.insert(channel.to_owned(), Lately { tried: now, failing_since });
    }
}

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
        state.tried(channel, matches!(decision, Decision::Delivered), clock::monotonic());
    }

    /// A channel was tried out, and its provider has the message.
    pub(crate) fn note_test(&self, channel: &str) {
        self.state().tried(channel, true, clock::monotonic());
    }

    /// Since when no attempt has gone through by any of the channels that were tried lately, of those that are `known`; `None` while one's last did, or none was tried.
    pub fn failing_since(&self, known: &BTreeSet<String>, now: Monotonic) -> Option<Monotonic> {
        let mut state = self.state();
        state.last.retain(|channel, _| known.contains(channel));
        // One channel that fails is that channel's trouble; all of them are this collector's. What went well hours ago vouches for nothing.
        let lately = state.last.values().filter(|one| now.us_since(one.tried) < LATELY_US);
        let since: Option<Vec<Monotonic>> = lately.map(|one| one.failing_since).collect();
        since?.into_iter().max()
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
        let known = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let failing = || deliveries.failing_since(&known, clock::monotonic());
        deliveries.note("a", Decision::Delivered, false);
        deliveries.note("b", Decision::GivenUp, false);
        assert_eq!(failing(), None);
        deliveries.note("a", Decision::Again { at: sitepulse_model::time::UtcMicros(0) }, false);
        assert!(failing().is_some(), "now none goes through");
        deliveries.note_test("b");
        assert_eq!(failing(), None, "somebody tried it out");
    }

    #[test]
    fn what_went_well_hours_ago_and_what_is_no_channel_any_more_vouch_for_nothing() {
        let mut state = State::default();
        let minute = |minute: u64| Monotonic(minute * 60_000_000);
        state.tried("gone", true, minute(100));
        state.tried("old", true, minute(80));
        state.tried("a", false, minute(99));
        state.tried("b", true, minute(98));
        state.tried("b", false, minute(100));
        state.tried("b", false, minute(101));
        let deliveries = Deliveries(Mutex::new(state));
        let of = |known: &[&str], now| {
            let known = known.iter().map(|one| (*one).to_owned()).collect();
            deliveries.failing_since(&known, minute(now))
        };
        assert_eq!(of(&["gone", "old", "a", "b"], 101), None, "one goes through");
        assert_eq!(of(&["old", "a", "b"], 94), None, "it went through lately");
        assert_eq!(of(&["old", "a", "b"], 101), Some(minute(100)), "none has since then");
        assert_eq!(of(&["old", "a"], 101), Some(minute(99)));
        assert_eq!(of(&["old", "a"], 120), None, "nobody tries any more: nothing is to be sent");
    }
}
