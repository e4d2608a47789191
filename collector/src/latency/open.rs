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
    marks: Vec<Mark>,
    count: usize,
    /// The newest slot of all.
    newest: i64,
}

/// Samples between two marks.
const MARK_EVERY: usize = 128;

/// A place to begin at: what is due in the last hour is read without all that came before.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: usize,
    last: Last,
    /// The newest slot before it.
    newest: i64,
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
        if self.count > 0 && self.count.is_multiple_of(MARK_EVERY) {
            self.marks.push(Mark { at, last: self.last, newest: self.newest });
        }
        self.newest = if self.count == 0 { sample.scheduled.0 } else { self.newest.max(sample.scheduled.0) };
        self.count += 1;
        // Gathered apart: a list that may have to grow is asked for room once.
        let mut one = Bytes { room: [0; SAMPLE_BYTES_MAX], length: 1 };
        let mut present = if sample.reached { REACHED } else { 0 };
        one.put(arrival.0.wrapping_sub(self.last.arrival).cast_unsigned());
        let step = sample.scheduled.0.wrapping_sub(self.last.scheduled);
        one.put(((step << 1) ^ (step >> 63)).cast_unsigned());
        for (bit, phase) in Phase::ALL.iter().enumerate() {
            if let Some(us) = sample.phases.get(*phase) {
                present |= 1 << bit;
                one.put(us);
            }
        }
        one.room[0] = present;
        self.bytes.extend_from_slice(&one.room[..one.length]);
        self.last = Last { arrival: arrival.0, scheduled: sample.scheduled.0 };
    }

    /// Lets go what is sealed: everything that arrived up to `upto`.
    pub(crate) fn drop_sealed(&mut self, upto: Arrival) {
        let mut kept = Self::default();
        // They lie in order of arrival: what comes before a mark that is sealed is not read.
        let sealed = self.marks.partition_point(|mark| mark.last.arrival <= upto.0);
        let begin = sealed.checked_sub(1).and_then(|newest| self.marks.get(newest));
        let (at, last) = begin.map_or((0, Last::default()), |mark| (mark.at, mark.last));
        let left = Iter { bytes: &self.bytes[at..], last };
        for (arrival, sample) in left.filter(|(arrival, _)| *arrival > upto) {
            kept.push(arrival, &sample);
        }
        kept.bytes.shrink_to_fit();
        kept.marks.shrink_to_fit();
        *self = kept;
    }

    /// All of them, in order of arrival.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.bytes, last: Last::default() }
    }

    /// A copy of those due at `from` or later, and of the few that lie between them.
    pub fn recent(&self, from: UtcMicros) -> Recent {
        let older = self.marks.partition_point(|mark| mark.newest < from.0);
        let begin = older.checked_sub(1).and_then(|before| self.marks.get(before));
        let (at, last) = begin.map_or((0, Last::default()), |mark| (mark.at, mark.last));
        Recent { bytes: self.bytes[at..].into(), last, from }
    }

    /// Whether all is sealed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// See [`OpenLatencies::recent`].
#[derive(Debug)]
pub struct Recent {
    bytes: Box<[u8]>,
    last: Last,
    from: UtcMicros,
}

impl Recent {
    /// The whole runs' durations.
    pub fn totals(&self) -> Sketch {
        let mut totals = Sketch::new();
        let samples = Iter { bytes: &self.bytes, last: self.last };
        let due = samples.filter(|(_, sample)| sample.scheduled >= self.from);
        due.filter_map(|(_, sample)| sample.phases.total).for_each(|us| totals.add(us));
        totals
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

/// Bytes of one sample at most: which phases, and a number of at most ten bytes for the arrival, the slot and each phase.
const SAMPLE_BYTES_MAX: usize = 1 + 10 * (2 + Phase::ALL.len());

/// The bytes of one sample.
struct Bytes {
    room: [u8; SAMPLE_BYTES_MAX],
    length: usize,
}

impl Bytes {
    /// Seven bits a byte, low first.
    #[inline]
    fn put(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.room[self.length] = value as u8 | 0x80;
            self.length += 1;
            value >>= 7;
        }
        self.room[self.length] = value as u8;
        self.length += 1;
    }
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

    #[test]
    fn what_is_recent_is_read_without_what_came_before() {
        let mut open = OpenLatencies::default();
        let slots: Vec<i64> = (0..5_000).map(|nth: i64| if nth % 700 == 699 { 4_990 - nth } else { nth }).collect();
        for (nth, slot) in slots.iter().enumerate() {
            let phases = Phases { total: Some(slot.unsigned_abs()), ..Phases::default() };
            open.push(Arrival(nth as i64), &Sample { scheduled: UtcMicros(*slot), reached: true, phases });
        }
        for from in [-1, 0, 127, 128, 2_000, 4_900, 4_999, 5_000] {
            let recent = open.recent(UtcMicros(from));
            let mut expected = Sketch::new();
            slots.iter().filter(|slot| **slot >= from).for_each(|slot| expected.add(slot.unsigned_abs()));
            assert_eq!(recent.totals(), expected, "{from}");
        }
        // All but what a late one has in between is left out.
        assert!(open.recent(UtcMicros(4_900)).bytes.len() < open.bytes.len() / 5);
    }

    #[test]
    fn many_are_let_go_up_to_any_arrival() {
        let all: Vec<(Arrival, Sample)> = (0..1_000_i64)
            .map(|nth| {
                let phases = Phases { total: Some(nth.unsigned_abs()), ..Phases::default() };
                (Arrival(3 * nth), Sample { scheduled: UtcMicros(5 * nth), reached: nth % 7 > 0, phases })
            })
            .collect();
        for upto in [-1, 0, 3 * 127, 3 * 128 - 1, 3 * 128, 3 * 500 + 1, 3 * 999 - 1, 3 * 999, 5_000] {
            let mut open = OpenLatencies::default();
            all.iter().for_each(|(arrival, sample)| open.push(*arrival, sample));
            open.drop_sealed(Arrival(upto));
            let left: Vec<_> = all.iter().filter(|(arrival, _)| arrival.0 > upto).copied().collect();
            assert_eq!(open.iter().collect::<Vec<_>>(), left, "{upto}");
            // What is left is read by its marks as well.
            let newest = open.recent(UtcMicros(5 * 990)).totals();
            assert_eq!(newest.count(), left.iter().filter(|(_, one)| one.scheduled.0 >= 5 * 990).count() as u128);
            assert_eq!(open.is_empty(), left.is_empty());
        }
    }

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
