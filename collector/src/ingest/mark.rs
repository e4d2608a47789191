//! Which sequence numbers of a stream were seen: a high-water mark plus its gaps. A spool has a stream for each bucket.

use sitepulse_model::id::{AgentNo, BUCKETS, Bucket, Incarnation, Seq};

/// Most gaps that a mark keeps. A number that would open one more is not taken: no gap is ever closed unseen.
const GAPS_MAX: usize = 65_536;

/// Which spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolKey {
    /// The agent.
    pub agent: AgentNo,
    /// Its spool's incarnation.
    pub incarnation: Incarnation,
}

/// The marks of a spool, one of each bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// The bucket of their row in the store: the agent's, when the row was made.
    pub home: Bucket,
    of: Box<[Mark; BUCKETS as usize]>,
}

impl Marks {
    /// Nothing was seen.
    pub fn new(home: Bucket) -> Self {
        Self { home, of: Box::new(std::array::from_fn(|_| Mark::default())) }
    }

    /// The mark of a bucket.
    ///
    /// # Panics
    /// Of a number that is no bucket.
    pub fn of(&self, bucket: Bucket) -> &Mark {
        &self.of[usize::from(bucket.0)]
    }

    /// The same, to change it.
    ///
    /// # Panics
    /// Of a number that is no bucket.
    pub fn of_mut(&mut self, bucket: Bucket) -> &mut Mark {
        &mut self.of[usize::from(bucket.0)]
    }

    /// Those of buckets of which anything was seen, by bucket.
    pub fn seen(&self) -> impl Iterator<Item = (Bucket, &Mark)> {
        (0..).map(Bucket).zip(self.of.iter()).filter(|(_, mark)| mark.next > 0)
    }

    /// How many numbers are known to be on their way still.
    pub fn missing(&self) -> u64 {
        self.of.iter().map(Mark::missing).sum()
    }
}

/// What a number is to a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// Not seen before; it is now.
    New,
    /// Seen before.
    Known,
    /// Not seen before and not noted, because the mark has no room for one more gap.
    Full,
}

/// The set of sequence numbers seen: all below `next` but those in the gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    next: u64,
    /// Inclusive ranges below `next`, ascending, neither empty nor touching.
    gaps: Vec<(u64, u64)>,
}

impl Mark {
    /// The lowest number above all seen.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many numbers below [`Self::next`] were not seen.
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Adds a number.
    pub fn insert(&mut self, seq: Seq) -> Inserted {
        let seq = seq.0;
        if seq == self.next {
            self.next += 1;
            return Inserted::New;
        }
        if seq > self.next {
            if self.is_full() {
                return Inserted::Full;
            }
            self.gaps.push((self.next, seq - 1));
            self.next = seq + 1;
            return Inserted::New;
        }
        let at = self.gaps.partition_point(|(_, last)| *last < seq);
        let Some((first, last)) = self.gaps.get(at).copied().filter(|(first, _)| *first <= seq) else {
            return Inserted::Known;
        };
        match (first == seq, last == seq) {
            (true, true) => {
                self.gaps.remove(at);
            }
            (true, false) => self.gaps[at].0 = seq + 1,
            (false, true) => self.gaps[at].1 = seq - 1,
            (false, false) if self.is_full() => return Inserted::Full,
            (false, false) => {
                self.gaps[at].1 = seq - 1;
                self.gaps.insert(at + 1, (seq + 1, last));
            }
        }
        Inserted::New
    }

    /// Whether half of the gaps that it may keep are there.
    pub fn is_half_full(&self) -> bool {
        self.gaps.len() >= GAPS_MAX / 2
    }

    /// Adds a number where no gap more is opened.
    pub fn insert_without_gap(&mut self, seq: Seq) -> Inserted {
        let splits = self.gaps.iter().any(|(first, last)| *first < seq.0 && seq.0 < *last);
        if seq.0 > self.next || splits { Inserted::Full } else { self.insert(seq) }
    }

    /// Adds `first..=last`; how many of them were seen before. A full mark takes no range that would open one more gap.
    pub fn insert_range(&mut self, first: Seq, last: Seq) -> u64 {
        let (first, last) = (first.0, last.0);
        if last < first {
            return 0;
        }
        let opens = first > self.next || self.gaps.iter().any(|(low, high)| *low < first && last < *high);
        if opens && self.is_full() {
            return 0;
        }
        let mut new = 0;
        if last >= self.next {
            let from = first.max(self.next);
            if from > self.next {
                self.gaps.push((self.next, from - 1));
            }
            new += last - from + 1;
            self.next = last + 1;
        }
        let mut kept = Vec::with_capacity(self.gaps.len() + 1);
        for (low, high) in self.gaps.drain(..) {
            if high < first || low > last {
                kept.push((low, high));
                continue;
            }
            new += high.min(last) - low.max(first) + 1;
            if low < first {
                kept.push((low, first - 1));
            }
            if high > last {
                kept.push((last + 1, high));
            }
        }
        self.gaps = kept;
        last - first + 1 - new
    }

    fn is_full(&self) -> bool {
        self.gaps.len() >= GAPS_MAX
    }

    /// The gaps: first and last number of each, ascending.
    pub fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    /// The mark with these gaps; `None` where they are no gaps below `next`.
    pub fn from_parts(next: u64, gaps: Vec<(u64, u64)>) -> Option<Self> {
        let each = gaps.iter().all(|(first, last)| first <= last && *last < next);
        let ascending = gaps.windows(2).all(|pair| pair[0].1 < pair[1].0 && pair[0].1 + 1 < pair[1].0);
        (each && ascending).then_some(Self { next, gaps })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mark_is_the_set_of_what_was_seen(steps in prop::collection::vec((0_u64..60, 0_u64..8, any::<bool>()), 0..80)) {
            let mut mark = Mark::default();
            let mut seen = BTreeSet::new();
            for (first, more, range) in steps {
                if range {
                    let known = (first..=first + more).filter(|seq| !seen.insert(*seq)).count() as u64;
                    prop_assert_eq!(mark.insert_range(Seq(first), Seq(first + more)), known);
                } else {
                    let inserted = if seen.insert(first) { Inserted::New } else { Inserted::Known };
                    prop_assert_eq!(mark.insert(Seq(first)), inserted);
                }
                let next = seen.last().map_or(0, |last| last + 1);
                prop_assert_eq!(mark.next(), next);
                prop_assert_eq!(mark.missing(), next - seen.len() as u64);
                let again = Mark::from_parts(mark.next(), mark.gaps().to_vec());
                prop_assert_eq!(again.as_ref(), Some(&mark));
            }
        }
    }

    #[test]
    fn damaged_gaps_are_refused() {
        assert!(Mark::from_parts(0, vec![(0, 0)]).is_none());
        assert!(Mark::from_parts(9, vec![(2, 1)]).is_none());
        assert!(Mark::from_parts(9, vec![(1, 2), (3, 3)]).is_none(), "they touch");
        assert!(Mark::from_parts(9, vec![(4, 4), (1, 2)]).is_none());
        assert!(Mark::from_parts(1, vec![(0, 0)]).is_some());
    }

    #[test]
    fn gaps_are_bounded() {
        let mut mark = Mark::default();
        for n in 0..GAPS_MAX as u64 {
            assert_eq!(mark.insert(Seq(n * 3 + 2)), Inserted::New);
        }
        let full = mark.clone();
        // Neither a new gap nor a split one has room; what was not seen stays so.
        assert_eq!(mark.insert(Seq(GAPS_MAX as u64 * 3 + 10)), Inserted::Full);
        assert_eq!(mark.insert_range(Seq(GAPS_MAX as u64 * 3 + 10), Seq(GAPS_MAX as u64 * 3 + 11)), 0);
        assert_eq!(mark, full);
        assert_eq!(mark.missing(), GAPS_MAX as u64 * 2);
        assert_eq!(mark.insert(Seq(0)), Inserted::New);
        assert_eq!(mark.insert(Seq(1)), Inserted::New);
        assert_eq!(mark.insert(Seq(GAPS_MAX as u64 * 3 + 10)), Inserted::New);
    }
}
