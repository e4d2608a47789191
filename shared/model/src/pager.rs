//! Pages that an agent sends by itself when its collector stays away: then nobody evaluates or escalates, and an outside party must learn it.
//!
//! The collector provisions some of its agents with an [`Order`] beforehand; it travels and is kept like a secret. [`Pager`] decides when to use it: one page when
//! the collector was not reached for long enough, one word that it is back. What was paged outlives a restart of the agent.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::incident::{IncidentKind, IncidentState, NoticeEvent, Severity};
use crate::notice::{Context, IncidentFacts, Notice};
use crate::time::UtcMicros;

/// The name it travels under among an agent's secrets. No secret of a person's can have it.
pub const SECRET: &str = ":pager";
/// The shortest time away that is paged, in microseconds: 1 min. A restart of the collector takes seconds.
pub const AFTER_US_MIN: u64 = 60_000_000;
/// The longest, in microseconds: 7 d.
pub const AFTER_US_MAX: u64 = 7 * 86_400_000_000;
/// The first wait after an attempt that failed, in microseconds; each further one is twice as long.
const RETRY_US_MIN: u64 = 5_000_000;
/// The longest such wait, in microseconds.
const RETRY_US_MAX: u64 = 300_000_000;

/// What an agent is told to do when the collector stays away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// How long it must be away, in microseconds.
    pub after_us: u64,
    /// The collector, for people and for keys: the same from all its agents.
    pub collector: String,
    /// By which way.
    pub channel: Channel,
    /// The values of the secrets that the channel refers to, by name.
    pub secrets: BTreeMap<String, String>,
}

/// What outlives a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paged {
    /// Since when the collector is away; `None`: it is reached. A restart neither counts anew nor sends under another key.
    pub away: Option<UtcMicros>,
    /// Since when the collector was away when that was paged and its return was not told yet.
    pub since: Option<UtcMicros>,
}

/// A message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The collector is away since then.
    Away(UtcMicros),
    /// It is back; it was away since then.
    Back(UtcMicros),
}

/// Decides when to page. Durations are monotonic microseconds, instants are for people.
#[derive(Debug, Clone)]
pub struct Pager {
    paged: Paged,
    connected: bool,
    /// When the collector was reached last: the start, before it was.
    reached: (u64, UtcMicros),
    /// How long it was away before the start, in microseconds.
    before_us: u64,
    failures: u32,
    not_before: u64,
}

impl Pager {
    /// A pager of an agent that starts.
    pub fn starting(paged: Paged, mono_us: u64, now: UtcMicros) -> Self {
        // A clock that was set back since tells nothing.
        let away = paged.away.filter(|away| *away <= now).unwrap_or(now);
        let before_us = now.us_since(away).unsigned_abs();
        let paged = Paged { away: Some(away), ..paged };
        Self { paged, connected: false, reached: (mono_us, away), before_us, failures: 0, not_before: 0 }
    }

    /// What outlives a restart.
    pub const fn paged(&self) -> Paged {
        self.paged
    }

    /// The collector is reached, or not.
    pub const fn link(&mut self, connected: bool, mono_us: u64, now: UtcMicros) {
        if self.connected || connected {
            self.reached = (mono_us, now);
            self.before_us = 0;
            self.paged.away = if connected { None } else { Some(now) };
        }
        if self.connected != connected {
            self.connected = connected;
            self.failures = 0;
            self.not_before = 0;
        }
    }

    /// What is to be sent now.
    pub const fn due(&self, after_us: u64, mono_us: u64) -> Option<Message> {
        if mono_us < self.not_before {
            return None;
        }
        match (self.connected, self.paged.since) {
            (true, Some(since)) => Some(Message::Back(since)),
            (false, None) if mono_us.saturating_sub(self.reached.0).saturating_add(self.before_us) >= after_us => {
                Some(Message::Away(self.reached.1))
            }
            (true, None) | (false, Some(_) | None) => None,
        }
    }

    /// When [`Self::due`] may have an answer without any news; `None`: not without.
    pub fn poll_timeout(&self, after_us: u64) -> Option<u64> {
        match (self.connected, self.paged.since) {
            (true, Some(_)) => Some(self.not_before),
            (false, None) => {
                let left_us = after_us.saturating_sub(self.before_us);
                Some(self.reached.0.saturating_add(left_us).max(self.not_before))
            }
            (true, None) | (false, Some(_)) => None,
        }
    }

    /// The message went out.
    pub const fn sent(&mut self, message: Message) {
        self.failures = 0;
        self.not_before = 0;
        self.paged.since = match message {
            Message::Away(since) => Some(since),
            Message::Back(_) => None,
        };
    }

    /// It did not; again after a while, or when the provider says so.
    pub fn failed(&mut self, mono_us: u64, after_us: Option<u64>) {
        let wait = (RETRY_US_MIN << self.failures.min(10)).min(RETRY_US_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = mono_us.saturating_add(wait.max(after_us.unwrap_or(0).min(3_600_000_000)));
    }
}

/// What a message says. `agent` and `region` are the sender's.
pub fn notice(order: &Order, message: Message, agent: &str, region: &str, now: UtcMicros) -> Notice {
    let (event, since) = match message {
        Message::Away(since) => (NoticeEvent::Opened, since),
        Message::Back(since) => (NoticeEvent::Resolved, since),
    };
    let back = matches!(message, Message::Back(_));
    let id = alloc::format!("collector-away-{}", order.collector);
    let step = if back { 2 } else { 1 };
    // Another one for each absence, the same for each attempt.
    let key = alloc::format!("{id}/{agent}-{}/{step}/{}", since.0, order.channel.id);
    let title = if back {
        alloc::format!("The SitePulse collector {} is back, says agent {agent} in {region}", order.collector)
    } else {
        alloc::format!(
            "Agent {agent} in {region} does not reach the SitePulse collector {}: nothing is evaluated or escalated there, results are kept by the agents",
            order.collector
        )
    };
    let incident = IncidentFacts {
        id,
        check: None,
        agent: Some(agent.into()),
        slo: None,
        kind: IncidentKind::Manual,
        state: if back { IncidentState::Resolved } else { IncidentState::Open },
        severity: Severity::Critical,
        since,
        opened_at: Some(since),
        acknowledged_at: None,
        resolved_at: back.then_some(now),
        flapping: false,
    };
    let context =
        Context { title: Some(title), regions: alloc::vec![region.into()], regions_of: 1, ..Context::default() };
    Notice { event, key, step, at: now, incident, context }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: u64 = 60_000_000;

    fn wall(mono: u64) -> UtcMicros {
        UtcMicros(1_000_000_000_000_000 + mono.cast_signed())
    }

    #[test]
    fn one_page_for_an_absence_and_one_word_of_the_return() {
        let mut pager = Pager::starting(Paged::default(), 0, wall(0));
        pager.link(true, 1, wall(1));
        pager.link(false, MIN, wall(MIN));
        assert_eq!((pager.due(10 * MIN, 10 * MIN), pager.poll_timeout(10 * MIN)), (None, Some(11 * MIN)));
        let away = Message::Away(wall(MIN));
        assert_eq!(pager.due(10 * MIN, 11 * MIN), Some(away));
        pager.failed(11 * MIN, None);
        assert_eq!((pager.due(10 * MIN, 11 * MIN), pager.poll_timeout(10 * MIN)), (None, Some(11 * MIN + 5_000_000)));
        assert_eq!(pager.due(10 * MIN, 11 * MIN + 5_000_000), Some(away));
        pager.sent(away);
        assert_eq!((pager.due(10 * MIN, 500 * MIN), pager.poll_timeout(10 * MIN)), (None, None));
        // A restart forgets nothing.
        let mut pager = Pager::starting(pager.paged(), 0, wall(600 * MIN));
        assert_eq!(pager.due(10 * MIN, 60 * MIN), None);
        pager.link(true, 61 * MIN, wall(661 * MIN));
        assert_eq!(pager.due(10 * MIN, 61 * MIN), Some(Message::Back(wall(MIN))));
        pager.sent(Message::Back(wall(MIN)));
        assert_eq!((pager.due(10 * MIN, 62 * MIN), pager.poll_timeout(10 * MIN)), (None, None));
    }

    /// A machine that restarts each few minutes pages all the same, and a kill between sending and keeping sends the same key once more.
    #[test]
    fn a_restart_counts_on_and_sends_under_the_same_key() {
        let mut pager = Pager::starting(Paged::default(), 50 * MIN, wall(0));
        assert_eq!(pager.paged().away, Some(wall(0)));
        let mut started = 50 * MIN;
        for restart in 1..5 {
            pager.link(false, started + 2 * MIN - 1, wall(2 * MIN * restart - 1));
            assert_eq!(pager.due(10 * MIN, started + 2 * MIN - 1), None);
            started = 0;
            // After a boot the monotonic clock begins anew.
            pager = Pager::starting(pager.paged(), 0, wall(2 * MIN * restart));
        }
        assert_eq!((pager.due(10 * MIN, 2 * MIN - 1), pager.poll_timeout(10 * MIN)), (None, Some(2 * MIN)));
        assert_eq!(pager.due(10 * MIN, 2 * MIN), Some(Message::Away(wall(0))));
        // It went out, and that was not kept.
        let again = Pager::starting(pager.paged(), 0, wall(11 * MIN));
        assert_eq!(again.due(10 * MIN, 0), Some(Message::Away(wall(0))));
        let mut again = again;
        again.link(true, 1, wall(12 * MIN));
        assert_eq!((again.paged(), again.due(10 * MIN, 100 * MIN)), (Paged::default(), None));
        again.link(false, 2 * MIN, wall(13 * MIN));
        assert_eq!(again.paged().away, Some(wall(13 * MIN)), "another absence");
        // Of a time to come nobody was away.
        let set_back = Pager::starting(Paged { away: Some(wall(500 * MIN)), since: None }, 0, wall(0));
        assert_eq!(set_back.poll_timeout(10 * MIN), Some(10 * MIN));
    }

    #[test]
    fn a_collector_that_is_back_before_the_page_went_out_pages_nobody() {
        let mut pager = Pager::starting(Paged::default(), 0, wall(0));
        assert!(pager.due(MIN, MIN).is_some());
        pager.failed(MIN, Some(7 * MIN));
        pager.link(true, 2 * MIN, wall(2 * MIN));
        assert_eq!(pager.due(MIN, 20 * MIN), None);
        pager.link(false, 20 * MIN, wall(20 * MIN));
        assert_eq!(pager.due(MIN, 21 * MIN), Some(Message::Away(wall(20 * MIN))));
    }
}
