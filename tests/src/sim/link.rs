//! A connection between an agent and the collector: reliable streams with priorities over a slow, delaying, breaking path.
//!
//! As in QUIC, bytes of one stream come in order and streams do not wait for each other, so frames of two lanes overtake. What is
//! under way when a side closes is lost, in the middle of a frame too; the two sides learn of the end at different times, so a batch
//! may be stored whose ack nobody hears.

use std::collections::{BTreeMap, VecDeque};

use super::rng::Rng;

/// Bytes of one packet.
const PACKET_BYTES: usize = 1350;
/// How long a side waits for a silent peer.
pub(super) const IDLE_US: i64 = 30_000_000;

/// An agent's path to the collector.
#[derive(Debug, Clone)]
pub struct Link {
    /// One way, microseconds.
    pub delay_us: i64,
    /// At most so much more, microseconds.
    pub jitter_us: i64,
    /// Bytes per second, each way.
    pub bytes_per_s: i64,
    /// Nothing comes through until then.
    pub blocked_until: i64,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay_us: 20_000, jitter_us: 10_000, bytes_per_s: 1_000_000, blocked_until: i64::MIN }
    }
}

#[derive(Debug, Default)]
struct Bytes {
    priority: u8,
    waiting: VecDeque<u8>,
    flying: VecDeque<(i64, Vec<u8>)>,
    last: i64,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    streams: BTreeMap<u32, Bytes>,
    free_at: i64,
}

impl Pipe {
    /// Queues bytes; a lower priority number goes first.
    pub(super) fn send(&mut self, stream: u32, priority: u8, bytes: &[u8]) {
        let state = self.streams.entry(stream).or_default();
        state.priority = priority;
        state.waiting.extend(bytes);
    }

    /// Puts on the wire what fits by now.
    pub(super) fn pump(&mut self, now: i64, link: &Link, rng: &mut Rng) {
        while self.free_at <= now {
            let next = self
                .streams
                .values_mut()
                .filter(|stream| !stream.waiting.is_empty())
                .min_by_key(|stream| stream.priority);
            let Some(stream) = next else { return };
            let length = stream.waiting.len().min(PACKET_BYTES);
            let packet: Vec<u8> = stream.waiting.drain(..length).collect();
            self.free_at = self.free_at.max(now) + length as i64 * 1_000_000 / link.bytes_per_s;
            let arrives = self.free_at.max(link.blocked_until) + link.delay_us + rng.range(0, link.jitter_us);
            stream.last = stream.last.max(arrives);
            stream.flying.push_back((stream.last, packet));
        }
    }

    /// Holds back what is under way.
    pub(super) fn block(&mut self, until: i64) {
        for stream in self.streams.values_mut() {
            for (arrives, _) in &mut stream.flying {
                *arrives = (*arrives).max(until);
            }
            stream.last = stream.last.max(until);
        }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<i64> {
        let arrival = self.streams.values().filter_map(|stream| Some(stream.flying.front()?.0)).min();
        let waits = self.streams.values().any(|stream| !stream.waiting.is_empty());
        arrival.into_iter().chain(waits.then_some(self.free_at)).min()
    }

    /// The next packet that has arrived.
    pub(super) fn pop(&mut self, now: i64) -> Option<(u32, Vec<u8>)> {
        let (number, stream) = self
            .streams
            .iter_mut()
            .filter(|(_, stream)| stream.flying.front().is_some_and(|(arrives, _)| *arrives <= now))
            .min_by_key(|(_, stream)| stream.flying[0].0)?;
        let (_, packet) = stream.flying.pop_front()?;
        Some((*number, packet))
    }

    /// When the last byte sent so far will have arrived, about.
    pub(super) fn drained_at(&self, now: i64, link: &Link) -> i64 {
        let waiting: usize = self.streams.values().map(|stream| stream.waiting.len()).sum();
        let last = self.streams.values().map(|stream| stream.last).max().unwrap_or(now).max(now);
        last + waiting as i64 * 1_000_000 / link.bytes_per_s + link.delay_us + link.jitter_us
    }
}
