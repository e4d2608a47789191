//! What the dispatcher's turns remember between them, in memory: when the last one was, which providers want to be left alone, and, while the disk is full,
//! what became of attempts that nobody can write down yet.
//!
//! None of it is needed after a restart: then every provider is asked once more.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::delivery::{self, Answer, Decision, LONGEST_US, RETRY_AFTER_US_MAX, Tries};
use sitepulse_model::time::UtcMicros;

use super::engine::{Done, OUT_MAX, OUT_OF_CHANNEL_MAX};
use super::{DeliveryKey, Message};

/// More than this between two turns is no passing of time but a clock that was set, in microseconds: 1 min. A turn is due each [`TURN_EVERY`].
///
/// [`TURN_EVERY`]: super::task::TURN_EVERY
const JUMP_US: i64 = 60_000_000;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// When the last turn was.
    pub(super) looked: Option<UtcMicros>,
    /// Until when the providers of channels want to be left alone.
    resting: BTreeMap<String, UtcMicros>,
}

impl Memory {
    /// Whether the clock was set back since the last turn, or nobody knows.
    pub(super) fn turned_back(&self, now: UtcMicros) -> bool {
        self.looked.is_none_or(|looked| now < looked)
    }

    /// By how much the clock jumped ahead since the last turn, in microseconds: set, or the machine slept. 0 where it went on.
    pub(super) fn ahead_us(&self, now: UtcMicros) -> i64 {
        let passed_us = self.looked.map_or(0, |looked| now.us_since(looked));
        if passed_us > JUMP_US { passed_us } else { 0 }
    }

    /// Notes which providers want to be left alone: new messages wait as well as those that were refused. Forgets those that do no more.
    pub(super) fn note(&mut self, done: &[Done], now: UtcMicros) {
        for one in done {
            if let Answer::Later { after_us: Some(after_us) } = one.answer {
                let until = ended(one).plus_us(after_us.min(RETRY_AFTER_US_MAX).cast_signed());
                let known = self.resting.entry(one.message.key.channel.clone()).or_insert(until);
                *known = until.max(*known);
            }
        }
        // A clock that was set back makes nobody rest for longer.
        self.resting.retain(|_, until| (1..=RETRY_AFTER_US_MAX.cast_signed()).contains(&until.us_since(now)));
    }

    /// Until when the providers of channels want to be left alone.
    pub(super) fn resting(&self) -> &BTreeMap<String, UtcMicros> {
        &self.resting
    }

    /// Somebody mended a channel, or wants it tried now.
    pub(super) fn wake(&mut self, channel: &str) {
        self.resting.remove(channel);
    }
}

fn ended(done: &Done) -> UtcMicros {
    done.began.plus_us(i64::try_from(done.took_us).unwrap_or(i64::MAX))
}

/// The messages that are to be tried again of those whose attempts cannot be written down: what the provider has, and what it refused, goes out no more; the
/// others as ever, after as long, with the same key.
pub(super) fn again(
    unwritten: &[Done],
    out: &BTreeSet<DeliveryKey>,
    resting: &BTreeMap<String, UtcMicros>,
    now: UtcMicros,
) -> Vec<Message> {
    let mut attempts: BTreeMap<&DeliveryKey, Vec<&Done>> = BTreeMap::new();
    for done in unwritten {
        attempts.entry(&done.message.key).or_default().push(done);
    }
    let mut due: Vec<(UtcMicros, Message)> = Vec::new();
    for (key, attempts) in attempts {
        let over = attempts.iter().any(|done| matches!(done.answer, Answer::Taken | Answer::Refused));
        let (Some(first), Some(last)) = (attempts.first(), attempts.last()) else { continue };
        if over || out.contains(key) || resting.contains_key(&key.channel) {
            continue;
        }
        let tries = Tries { count: last.message.attempts, since: Some(first.began) };
        match delivery::decide(&key.to_string(), tries, last.answer, ended(last)) {
            // Not for longer than that, whatever the clock did meanwhile.
            Decision::Again { at } if at <= now || at.us_since(now) > 2 * LONGEST_US.cast_signed() => {
                let mut message = last.message.clone();
                message.attempts += 1;
                if !last.left.is_empty() {
                    message.notice.context.only.clone_from(&last.left);
                }
                due.push((at, message));
            }
            Decision::Again { .. } | Decision::Delivered | Decision::GivenUp => {}
        }
    }
    due.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.key.cmp(&other.key)));
    let mut handed: Vec<Message> = Vec::new();
    for (_, message) in due {
        let of_channel = |key: &&DeliveryKey| key.channel == message.key.channel;
        let busy = out.iter().chain(handed.iter().map(|one| &one.key)).filter(of_channel).count();
        if busy < OUT_OF_CHANNEL_MAX && out.len() + handed.len() < OUT_MAX {
            handed.push(message);
        }
    }
    handed
}
