//! The results of one check from one agent that are not sealed yet, as latency figures need them: one by one, in few bytes.
//!
//! Results and not sketches, for sealing takes out any part of them: what arrived up to the seal is then in the store's rollups. A result takes about 20 bytes
//! here, less than sketches of an hour do until hundreds are in one; memory is bounded by how many results wait to be sealed.

use sitepulse_model::record::{Phase, Phases};
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::UtcMicros;

use super::Sample;
use crate::store::rows::Arrival;

/// Bit of a sample's first byte: it reached its target. Below: one for each phase.
const REACHED: u8 = 1 << Phase::ALL.len();

/// Results that are not sealed, in order of arrival.
#[derive(Debug, Clone, Default)]
pub struct OpenLatencies {
    /// Of each: which phases; the arrival and the slot against the one before, the slot zigzag; the phases.
    bytes: Vec<u8>,
    last: Last,
}

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    arrival: i64,
    scheduled: i64,
}

impl OpenLatencies {
    /// Adds a result that arrived after all that are there.
    pub(crate) fn push(&mut self, arrival: Arrival, sample: &Sample) {
        let at = self.bytes.len();
        self.bytes.push(if sample.reached { REACHED } else { 0 });
        put(arrival.0.wrapping_sub(self.last.arrival).cast_unsigned(), &mut self.bytes);
        let step = sample.scheduled.0.wrapping_sub(self.last.scheduled);
        put(((step << 1) ^ (step >> 63)).cast_unsigned(), &mut self.bytes);
        for (bit, phase) in Phase::ALL.iter().enumerate() {
            if let Some(us) = sample.phases.get(*phase) {
                self.bytes[at] |= 1 << bit;
                put(us, &mut self.bytes);
            }
        }
        self.last = Last { arrival: arrival.0, scheduled: sample.scheduled.0 };
    }

    /// Lets go what is sealed: everything that arrived up to `upto`.
    pub(crate) fn drop_sealed(&mut self, upto: Arrival) {
        let mut kept = Self::default();
        for (arrival, sample) in self.iter().filter(|(arrival, _)| *arrival > upto) {
            kept.push(arrival, &sample);
        }
        kept.bytes.shrink_to_fit();
        *self = kept;
    }

    /// All of them, in order of arrival.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.bytes, last: Last::default() }
    }

    /// The whole runs' durations of those due at `from` or later.
    pub fn totals_since(&self, from: UtcMicros) -> Sketch {
        let mut totals = Sketch::new();
        let recent = self.iter().filter(|(_, sample)| sample.scheduled >= from);
        recent.filter_map(|(_, sample)| sample.phases.total).for_each(|us| totals.add(us));
        totals
    }

    /// Whether all is sealed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// See [`OpenLatencies::iter`].
pub(crate) struct Iter<'a> {
    bytes: &'a [u8],
    last: Last,
}

impl Iterator for Iter<'_> {
    type Item = (Arrival, Sample);

    fn next(&mut self) -> Option<Self::Item> {
        let (present, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        self.last.arrival = self.last.arrival.wrapping_add(take(&mut self.bytes)?.cast_signed());
        let step = take(&mut self.bytes)?;
        let step = (step >> 1).cast_signed() ^ -((step & 1).cast_signed());
        self.last.scheduled = self.last.scheduled.wrapping_add(step);
        let mut phases = Phases::default();
        for (bit, phase) in Phase::ALL.iter().enumerate() {
            if present >> bit & 1 == 1 {
                phases.add(*phase, take(&mut self.bytes)?);
            }
        }
        let sample = Sample { scheduled: UtcMicros(self.last.scheduled), reached: present & REACHED != 0, phases };
        Some((Arrival(self.last.arrival), sample))
    }
}

/// Seven bits a byte, low first.
#[inline]
fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn samples_come_back_until_they_are_sealed(
            given in prop::collection::vec((1..5_i64, any::<i64>(), any::<bool>(), any::<[Option<u64>; 3]>()), 0..40), upto in 0..100_i64
        ) {
            let mut arrival = Arrival(0);
            let samples: Vec<(Arrival, Sample)> = given
                .into_iter()
                .map(|(step, scheduled, reached, [dns, tls, total])| {
                    arrival.0 += step;
                    let phases = Phases { dns, tls, total, ..Phases::default() };
                    (arrival, Sample { scheduled: UtcMicros(scheduled), reached, phases })
                })
                .collect();
            let mut open = OpenLatencies::default();
            samples.iter().for_each(|(arrival, sample)| open.push(*arrival, sample));
            prop_assert_eq!(open.iter().collect::<Vec<_>>(), samples.clone());
            open.drop_sealed(Arrival(upto));
            let left: Vec<_> = samples.into_iter().filter(|(arrival, _)| arrival.0 > upto).collect();
            prop_assert_eq!(open.iter().collect::<Vec<_>>(), left.clone());
            let next = (Arrival(1_000), Sample { scheduled: UtcMicros(0), reached: true, phases: Phases::default() });
            open.push(next.0, &next.1);
            prop_assert_eq!(open.iter().collect::<Vec<_>>(), [left, vec![next]].concat());
        }
    }
}
