//! Quantiles of very many values in little space: a sketch that can be merged.
//!
//! Values are `u64`. A sketch counts them in buckets whose width grows with the value: up to 127 each value has its own, above that each power of two is
//! cut into 64. A quantile is answered with the middle of its bucket, so it is off by at most 1/128 (0.79 %) of the true one. All is done in whole
//! numbers: the same values give the same bytes on every machine.
//!
//! The state is a pure function of the values that were counted: in which order they came, and over how many sketches they were spread before those
//! were merged, leaves no trace, not in a single bit.
//!
//! Limits: [`BUCKETS_MAX`] buckets below the largest value, which is a range of 1 to a million. What is smaller than that is counted in the lowest
//! of them, so quantiles down there come out too large; the smallest value itself is known exactly, as are the largest, the count and the sum. At most
//! 2^64 - 1 values in one bucket: beyond that counts stay where they are.
//!
//! As bytes: version 1; LEB128 numbers: buckets, then of each its distance to the one before and its count, then the smallest and the largest value and the sum. A
//! few hundred values that lie near each other take some hundred bytes.

use alloc::vec::Vec;

use thiserror::Error;

/// Buckets that are kept, counted down from that of the largest value.
pub const BUCKETS_MAX: u16 = 20 << PRECISION_BITS;
/// Longest sketch in bytes.
pub const SKETCH_BYTES_MAX: usize = 1 + 3 + BUCKETS_MAX as usize * (2 + 10) + 10 + 10 + 19;

/// A power of two is cut into two to the power of this many buckets.
const PRECISION_BITS: u32 = 6;
const VERSION: u8 = 1;

/// Counted values; answers quantiles. See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// Bucket and count, ascending; no count is 0.
    buckets: Vec<(u16, u64)>,
    /// Smallest and largest value; of no value 0.
    min: u64,
    max: u64,
    sum: u128,
}

/// Why some bytes are no sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SketchError {
    /// They end early, or go on after the end.
    #[error("a sketch of {0} bytes is cut or has more than belongs to it")]
    Length(usize),
    /// A newer build wrote them.
    #[error("a sketch of version {0} is not known: this build knows version {VERSION}")]
    Version(u8),
    /// They contradict themselves.
    #[error("a sketch contradicts itself: {0}")]
    Damaged(&'static str),
}

/// The bucket of a value.
const fn bucket(value: u64) -> u16 {
    let shift = (u64::BITS - 1 - PRECISION_BITS).saturating_sub(value.leading_zeros());
    // At most 57 x 64 + 127.
    ((shift << PRECISION_BITS) as u64 + (value >> shift)) as u16
}

/// The smallest and the largest value of a bucket.
const fn range(bucket: u16) -> (u64, u64) {
    let shift = (bucket as u32 >> PRECISION_BITS).saturating_sub(1);
    let first = (bucket as u64 - ((shift as u64) << PRECISION_BITS)) << shift;
    (first, first + ((1 << shift) - 1))
}

/// The lowest bucket that is kept beside a largest value.
const fn lowest(max: u64) -> u16 {
    bucket(max).saturating_sub(BUCKETS_MAX - 1)
}

/// A count for each bucket there can be between two values; what lies below the lowest that is kept is counted in that one.
struct Counts {
    first: u16,
    times: Vec<u64>,
}

impl Counts {
    fn between(min: u64, max: u64) -> Self {
        let first = bucket(min).max(lowest(max));
        Self { first, times: alloc::vec![0; usize::from(bucket(max) - first) + 1] }
    }

    fn add(&mut self, at: u16, times: u64) {
        let count = &mut self.times[usize::from(at.saturating_sub(self.first))];
        *count = count.saturating_add(times);
    }

    fn list(&self) -> Vec<(u16, u64)> {
        // Counted before: a list that grows as it goes is moved half a dozen times.
        let mut list = Vec::with_capacity(self.times.iter().filter(|times| **times > 0).count());
        let all = (self.first..).zip(&self.times);
        list.extend(all.filter(|(_, times)| **times > 0).map(|(at, times)| (at, *times)));
        list
    }
}

impl Sketch {
    /// Of no value.
    pub const fn new() -> Self {
        Self { buckets: Vec::new(), min: 0, max: 0, sum: 0 }
    }

    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        self.add_many(value, 1);
    }

    /// Counts a value several times.
    pub fn add_many(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        (self.min, self.max) =
            if self.is_empty() { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        self.sum = self.sum.saturating_add(u128::from(value) * u128::from(times));
        self.count_in(bucket(value), times);
        self.collapse();
    }

    /// Counts all that another sketch has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        (self.min, self.max) =
            if self.is_empty() { (other.min, other.max) } else { (self.min.min(other.min), self.max.max(other.max)) };
        self.sum = self.sum.saturating_add(other.sum);
        let mut merged = Vec::with_capacity(self.buckets.len().max(other.buckets.len()));
        let (mut left, mut right) = (self.buckets.iter().copied().peekable(), other.buckets.iter().copied().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) if a == b => {
                    let (Some((at, a)), Some((_, b))) = (left.next(), right.next()) else { break };
                    Some((at, a.saturating_add(b)))
                }
                (Some((a, _)), Some((b, _))) if a > b => right.next(),
                (Some(_), _) => left.next(),
                (None, _) => right.next(),
            };
            let Some(next) = next else { break };
            merged.push(next);
        }
        self.buckets = merged;
        self.collapse();
    }

    /// Of some values, in less time than one by one.
    pub fn of(values: &[u64]) -> Self {
        let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) else {
            return Self::new();
        };
        let mut counts = Counts::between(*min, *max);
        values.iter().for_each(|value| counts.add(bucket(*value), 1));
        let sum = values.iter().map(|value| u128::from(*value)).sum();
        Self { buckets: counts.list(), min: *min, max: *max, sum }
    }

    /// What some sketches have counted together: what [`Sketch::merge`] makes of them one by one, in less time.
    pub fn merged<'s>(sketches: impl Iterator<Item = &'s Self> + Clone) -> Self {
        let some = sketches.filter(|sketch| !sketch.is_empty());
        let (min, max) = (some.clone().map(|one| one.min).min(), some.clone().map(|one| one.max).max());
        let (Some(min), Some(max)) = (min, max) else {
            return Self::new();
        };
        let mut counts = Counts::between(min, max);
        some.clone().flat_map(|one| &one.buckets).for_each(|(at, times)| counts.add(*at, *times));
        let sum = some.fold(0_u128, |sum, one| sum.saturating_add(one.sum));
        Self { buckets: counts.list(), min, max, sum }
    }

    fn count_in(&mut self, bucket: u16, times: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(times),
            Err(at) => self.buckets.insert(at, (bucket, times)),
        }
    }

    /// Counts what is below the lowest bucket kept in that one. Which it is depends on the largest value alone: so the order of things does not matter.
    fn collapse(&mut self) {
        let lowest = lowest(self.max);
        if self.buckets.first().is_none_or(|(at, _)| *at >= lowest) {
            return;
        }
        let below = self.buckets.partition_point(|(at, _)| *at < lowest);
        let times = self.buckets.drain(..below).fold(0_u64, |sum, (_, times)| sum.saturating_add(times));
        self.count_in(lowest, times);
    }

    /// Whether nothing was counted.
    pub const fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many values were counted.
    pub fn count(&self) -> u128 {
        self.buckets.iter().map(|(_, times)| u128::from(*times)).sum()
    }

    /// Their sum.
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// The smallest, exactly.
    pub fn min(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// The largest, exactly.
    pub fn max(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// The mean, rounded down.
    pub fn mean(&self) -> Option<u64> {
        (!self.is_empty()).then(|| u64::try_from(self.sum / self.count()).unwrap_or(u64::MAX))
    }

    /// The value that `per_mille` of all values are at most, by the nearest rank: 500 is the median (of an even number the lower of the two in the
    /// middle), 750 the p75. `None` of no value; more than 1000 is 1000.
    pub fn quantile(&self, per_mille: u32) -> Option<u64> {
        let count = self.count();
        let rank = (count * u128::from(per_mille.min(1_000))).div_ceil(1_000).max(1);
        let mut seen = 0;
        let (at, _) = self.buckets.iter().find(|(_, times)| {
            seen += u128::from(*times);
            seen >= rank
        })?;
        let (first, last) = range(*at);
        Some((first + (last - first) / 2).clamp(self.min, self.max))
    }

    /// Its buckets with their counts, ascending; the smallest and the largest value (of no value 0); the sum.
    pub fn parts(&self) -> (&[(u16, u64)], u64, u64, u128) {
        (&self.buckets, self.min, self.max, self.sum)
    }

    /// The sketch of what [`Sketch::parts`] told.
    ///
    /// # Errors
    /// They contradict themselves.
    pub fn from_parts(buckets: Vec<(u16, u64)>, min: u64, max: u64, sum: u128) -> Result<Self, SketchError> {
        let damaged = SketchError::Damaged;
        let (Some((first, _)), Some((last, _))) = (buckets.first(), buckets.last()) else {
            return if (min, max, sum) == (0, 0, 0) { Ok(Self::new()) } else { Err(damaged("values of no count")) };
        };
        if buckets.iter().any(|(_, times)| *times == 0) || buckets.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(damaged("an empty bucket, or the same one twice"));
        }
        if min > max {
            return Err(damaged("its smallest value is larger than its largest"));
        }
        if bucket(max) != *last || bucket(min).max(lowest(max)) != *first {
            return Err(damaged("its smallest and largest value lie in other buckets"));
        }
        Ok(Self { buckets, min, max, sum })
    }

    /// The values that a bucket of [`Sketch::parts`] counts: the smallest and the largest. `None` where there is no such bucket.
    pub fn bucket_range(at: u16) -> Option<(u64, u64)> {
        (at <= bucket(u64::MAX)).then(|| range(at))
    }

    /// As bytes, at most [`SKETCH_BYTES_MAX`]. Equal sketches give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 3 * self.buckets.len());
        out.push(VERSION);
        put(&mut out, self.buckets.len() as u128);
        let mut before = 0;
        for (at, times) in &self.buckets {
            put(&mut out, u128::from(at - before));
            put(&mut out, u128::from(*times));
            before = *at;
        }
        if !self.is_empty() {
            put(&mut out, u128::from(self.min));
            put(&mut out, u128::from(self.max));
            put(&mut out, self.sum);
        }
        out
    }

    /// Reads what [`Sketch::to_bytes`] wrote.
    ///
    /// # Errors
    /// They are no sketch, or not a whole one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let damaged = SketchError::Damaged;
        let cut = || SketchError::Length(bytes.len());
        let (version, mut rest) = bytes.split_first().ok_or_else(cut)?;
        if *version != VERSION {
            return Err(SketchError::Version(*version));
        }
        let mut next = || take(&mut rest).ok_or_else(cut);
        let len = next()?;
        if len > u128::from(BUCKETS_MAX) {
            return Err(damaged("more buckets than there can be"));
        }
        let mut buckets: Vec<(u16, u64)> = Vec::with_capacity(len as usize);
        for index in 0..len {
            let before = buckets.last().map_or(0, |(at, _)| *at);
            let step = next()?;
            let at =
                u16::try_from(u128::from(before).saturating_add(step)).map_err(|_| damaged("a bucket too high"))?;
            let times = u64::try_from(next()?).map_err(|_| damaged("a count too large"))?;
            if times == 0 || (index > 0 && step == 0) {
                return Err(damaged("an empty bucket, or the same one twice"));
            }
            buckets.push((at, times));
        }
        let mut value = || u64::try_from(next()?).map_err(|_| damaged("a value too large"));
        let sketch = match buckets.last() {
            Some(_) => {
                let (min, max) = (value()?, value()?);
                let sum = next()?;
                Self::from_parts(buckets, min, max, sum)?
            }
            None => Self::new(),
        };
        if rest.is_empty() { Ok(sketch) } else { Err(cut()) }
    }
}

fn put(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The number that stands first; `None` where it is cut, too large, or written longer than it need be.
fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0_u128;
    let mut shift = 0_u32;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u128::from(byte & 0x7f);
        if shift >= u128::BITS || (part << shift) >> shift != part || (*byte == 0 && shift > 0) {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_values_without_gaps() {
        let mut next = 0_u64;
        for at in 0..=bucket(u64::MAX) {
            let (first, last) = range(at);
            assert_eq!(first, next, "bucket {at}");
            assert_eq!((bucket(first), bucket(last)), (at, at));
            assert!(u128::from(last - first) * 64 <= u128::from(first) || first == last, "bucket {at} is too wide");
            next = last.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last one ends at the largest value");
    }

    #[test]
    fn small_numbers_are_exact() {
        let mut sketch = Sketch::new();
        assert_eq!((sketch.quantile(500), sketch.min(), sketch.mean(), sketch.count()), (None, None, None, 0));
        for value in [5, 1, 4, 2] {
            sketch.add(value);
        }
        let found = [0, 250, 251, 500, 501, 750, 1_000, 9_999].map(|per_mille| sketch.quantile(per_mille).unwrap());
        assert_eq!(found, [1, 1, 2, 2, 4, 4, 5, 5]);
        assert_eq!((sketch.sum(), sketch.mean(), sketch.count()), (12, Some(3), 4));
        sketch.add_many(100, 0);
        assert_eq!(sketch.max(), Some(5));
        sketch.add_many(100, 96);
        assert_eq!((sketch.count(), sketch.quantile(40), sketch.quantile(41)), (100, Some(5), Some(100)));
    }

    #[test]
    fn one_value_is_told_as_it_is() {
        for value in [0, 1, 127, 128, 2_513_400, u64::MAX] {
            let mut sketch = Sketch::new();
            sketch.add(value);
            assert_eq!([0, 500, 1_000].map(|q| sketch.quantile(q)), [Some(value); 3]);
        }
    }

    #[test]
    fn what_is_far_below_the_largest_is_counted_in_the_lowest_bucket() {
        let mut sketch = Sketch::new();
        for value in 0..5_000 {
            sketch.add(value);
        }
        sketch.add(u64::MAX);
        assert_eq!((sketch.min(), sketch.max(), sketch.count()), (Some(0), Some(u64::MAX), 5_001));
        assert_eq!(sketch.buckets.len(), 2);
        assert!(sketch.quantile(500).unwrap() <= u64::MAX >> 19);
        assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Ok(sketch));
    }

    #[test]
    fn counts_end_at_their_bound() {
        let mut sketch = Sketch::new();
        sketch.add_many(u64::MAX, u64::MAX);
        sketch.add_many(u64::MAX, u64::MAX);
        assert_eq!((sketch.count(), sketch.quantile(500)), (u128::from(u64::MAX), Some(u64::MAX)));
        assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Ok(sketch));
    }

    #[test]
    fn the_largest_sketch_is_within_its_bound() {
        let mut sketch = Sketch::new();
        for at in 0..=bucket(u64::MAX) {
            sketch.add_many(range(at).1, u64::MAX >> 8);
        }
        assert_eq!(sketch.buckets.len(), usize::from(BUCKETS_MAX));
        assert!(sketch.to_bytes().len() <= SKETCH_BYTES_MAX);
    }

    #[test]
    fn a_sketch_comes_back_from_its_parts_and_no_other_does() {
        let mut sketch = Sketch::new();
        [7, 7, 3_000, 0, u64::from(u32::MAX)].into_iter().for_each(|value| sketch.add(value));
        let (buckets, min, max, sum) = sketch.parts();
        assert_eq!(Sketch::from_parts(buckets.to_vec(), min, max, sum).as_ref(), Ok(&sketch));
        for (at, _) in buckets {
            let (first, last) = Sketch::bucket_range(*at).unwrap();
            assert_eq!((bucket(first), bucket(last)), (*at, *at));
        }
        assert_eq!(Sketch::from_parts(Vec::new(), 0, 0, 0), Ok(Sketch::new()));
        let twice = [buckets, buckets].concat();
        for (buckets, min, max, sum) in [
            (Vec::new(), 0, 5, 0),
            (twice, min, max, sum),
            (buckets.to_vec(), max, min, sum),
            (buckets[1..].to_vec(), min, max, sum),
            (Vec::from([(7, 0)]), 7, 7, 0),
        ] {
            assert!(matches!(Sketch::from_parts(buckets, min, max, sum), Err(SketchError::Damaged(_))));
        }
        assert_eq!(Sketch::bucket_range(u16::MAX), None);
    }

    #[test]
    fn values_and_sketches_together_are_what_they_are_one_by_one() {
        let far = [0, 5, 127, 128, 3_000, 3_001, 180_000, 2_500_000, u64::MAX];
        let near: Vec<u64> = (0..500).map(|n| 40_000 + n * n * 7 % 9_000).collect();
        let sets: [&[u64]; 6] = [&[], &[7], &[0, 0, 0], &far, &near, &[u64::MAX, u64::MAX]];
        let mut of_each = Vec::new();
        for values in sets {
            let mut one_by_one = Sketch::new();
            values.iter().for_each(|value| one_by_one.add(*value));
            assert_eq!(Sketch::of(values), one_by_one);
            of_each.push(one_by_one);
        }
        of_each.push(Sketch { buckets: Vec::from([(9, u64::MAX)]), min: 9, max: 9, sum: u128::MAX });
        for from in 0..of_each.len() {
            let mut one_by_one = Sketch::new();
            of_each[from..].iter().for_each(|sketch| one_by_one.merge(sketch));
            assert_eq!(Sketch::merged(of_each[from..].iter()), one_by_one, "from {from}");
        }
        assert_eq!(Sketch::merged([].iter()), Sketch::new());
    }

    /// These bytes are stored: they are read for ever.
    #[test]
    fn golden_bytes() {
        let mut sketch = Sketch::new();
        for value in [0, 0, 1_200, 180_000, 2_500_000, 2_500_000] {
            sketch.add(value);
        }
        let bytes = sketch.to_bytes();
        assert_eq!(
            bytes,
            [1, 4, 0, 2, 203, 2, 1, 204, 3, 1, 245, 1, 2, 0, 160, 203, 152, 1, 144, 158, 188, 2],
            "{sketch:?}"
        );
        assert_eq!(Sketch::from_bytes(&bytes), Ok(sketch));
    }

    #[test]
    fn damage_is_told() {
        let mut sketch = Sketch::new();
        sketch.add(5);
        sketch.add(3_000);
        let bytes = sketch.to_bytes();
        for len in 0..bytes.len() {
            assert_eq!(Sketch::from_bytes(&bytes[..len]), Err(SketchError::Length(len)));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Sketch::from_bytes(&longer), Err(SketchError::Length(longer.len())));
        assert_eq!(Sketch::from_bytes(&[2, 0]), Err(SketchError::Version(2)));
        for bytes in [
            &[1, 0x81, 0x0a][..],                     // 1281 buckets
            &[1, 1, 5, 0, 5, 5, 5],                   // nothing in a bucket
            &[1, 2, 5, 1, 0, 1, 5, 5, 10],            // the same one twice
            &[1, 1, 5, 1, 4, 5, 5],                   // another smallest value
            &[1, 1, 5, 1, 5, 6, 5],                   // another largest value
            &[1, 1, 0xff, 0xff, 4, 1, 5, 5, 5],       // no such bucket
            &[1, 1, 0x80, 1, 1, 0x81, 1, 0x80, 1, 5], // the smallest above the largest, in one bucket
        ] {
            assert!(matches!(Sketch::from_bytes(bytes), Err(SketchError::Damaged(_))), "{bytes:?}");
        }
        assert_eq!(Sketch::from_bytes(&[1, 0x80, 0]), Err(SketchError::Length(3)), "longer than it need be");
    }
}
