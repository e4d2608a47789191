//! Instants and spans. Wall time is for records, in microseconds of UTC; durations are monotonic, in microseconds.

use alloc::vec::Vec;

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;

/// An instant: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UtcMicros(pub i64);

impl UtcMicros {
    /// The latest instant: "no end".
    pub const MAX: Self = Self(i64::MAX);
    /// The earliest instant.
    pub const MIN: Self = Self(i64::MIN);

    /// `self + us`, saturating.
    pub const fn plus_us(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// `self - other` in microseconds, saturating.
    pub const fn us_since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

/// A half-open span of time `[from, to)`; empty when `to <= from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First instant inside.
    pub from: UtcMicros,
    /// First instant after.
    pub to: UtcMicros,
}

impl Span {
    /// A span from its two ends.
    pub const fn new(from: UtcMicros, to: UtcMicros) -> Self {
        Self { from, to }
    }

    /// Its length in microseconds, 0 when empty.
    pub const fn us(self) -> i64 {
        let us = self.to.us_since(self.from);
        if us > 0 { us } else { 0 }
    }

    /// Whether no instant lies inside.
    pub const fn is_empty(self) -> bool {
        self.us() == 0
    }

    /// Whether `at` lies inside.
    pub fn contains(self, at: UtcMicros) -> bool {
        self.from <= at && at < self.to
    }

    /// The part that both spans share (possibly empty).
    pub fn clip(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }
}

/// Spans in order that neither overlap nor touch, covering the same instants as `spans`.
pub fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| !span.is_empty());
    spans.sort_unstable();
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            _ => out.push(span),
        }
    }
    out
}
