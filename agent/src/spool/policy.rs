//! What the spool keeps longest, and how it accounts for what it had to drop. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sitepulse_model::id::{Bucket, CheckNo, Seq};
use sitepulse_model::record::{DropReason, Dropped, ProbeState, Record};

/// How long a record is kept when the spool is full; lower goes first, within one the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// A plain success.
    Success = 0,
    /// A failure, a transition or a missed run.
    Notable = 1,
    /// A tombstone: only ever merged with others.
    Tombstone = 2,
}

impl Keep {
    /// Every value, first to go first.
    pub const ALL: [Self; 3] = [Self::Success, Self::Notable, Self::Tombstone];
}

/// Tells plain successes from what is worth keeping: the first success after anything else is a transition.
#[derive(Debug, Default)]
pub struct Transitions {
    calm: BTreeSet<CheckNo>,
}

impl Transitions {
    /// Classifies the next record of its check.
    pub fn keep(&mut self, record: &Record) -> Keep {
        match record {
            Record::Result(result) if result.state == ProbeState::Up => {
                if self.calm.insert(result.check) {
                    Keep::Notable
                } else {
                    Keep::Success
                }
            }
            Record::Result(_) | Record::Missed(_) => {
                self.calm.remove(&record.check());
                Keep::Notable
            }
            Record::Dropped(_) => Keep::Tombstone,
        }
    }

    /// Forgets a check that is assigned no more.
    pub fn retain(&mut self, keep: impl FnMut(&CheckNo) -> bool) {
        self.calm.retain(keep);
    }
}

/// Most sequence ranges that the spool puts into one tombstone. Lower than the wire's limit: an open tombstone is rewritten whenever
/// it grows.
pub(super) const TOMBSTONE_RANGES_MAX: usize = 256;

/// Starts a tombstone with one record. `seq` is the record's own number, where it has one already.
pub(super) fn tombstone(record: &Record, seq: Option<Seq>) -> Dropped {
    let (revision, last, count) = match record {
        Record::Result(result) => (result.revision, result.scheduled, 1),
        Record::Missed(missed) => (missed.revision, missed.last, missed.count),
        Record::Dropped(dropped) => (dropped.revision, dropped.last, dropped.count),
    };
    let mut seqs = match record {
        Record::Result(_) | Record::Missed(_) => Vec::new(),
        Record::Dropped(dropped) => dropped.seqs.clone(),
    };
    if let Some(seq) = seq {
        insert_range(&mut seqs, (seq, seq));
    }
    let reason = match record {
        Record::Result(_) | Record::Missed(_) => DropReason::SpoolFull,
        Record::Dropped(dropped) => dropped.reason,
    };
    Dropped { check: record.check(), revision, first: record.scheduled(), last, count, reason, seqs }
}

/// Merges `other` into `into` (same check and reason).
pub(super) fn merge(into: &mut Dropped, other: &Dropped) {
    into.revision = into.revision.max(other.revision);
    into.first = into.first.min(other.first);
    into.last = into.last.max(other.last);
    into.count = into.count.saturating_add(other.count);
    for range in &other.seqs {
        insert_range(&mut into.seqs, *range);
    }
}

/// Adds an inclusive range to ascending disjoint ranges, joining neighbours.
fn insert_range(ranges: &mut Vec<(Seq, Seq)>, range: (Seq, Seq)) {
    let (mut low, mut high) = range;
    let start = ranges.partition_point(|existing| existing.1.0.saturating_add(1) < low.0);
    let mut end = start;
    while end < ranges.len() && ranges[end].0.0 <= high.0.saturating_add(1) {
        low = low.min(ranges[end].0);
        high = high.max(ranges[end].1);
        end += 1;
    }
    ranges.splice(start..end, [(low, high)]);
}

/// A record on its way into the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRecord {
    /// The check's bucket.
    pub bucket: Bucket,
    /// How long it is kept when space is short.
    pub keep: Keep,
    /// The record.
    pub record: Record,
}

/// Records that wait in memory for the disk, and what had to be dropped of them.
#[derive(Debug)]
pub struct WaitingQueue {
    limit: usize,
    records: VecDeque<PendingRecord>,
    dropped: BTreeMap<(CheckNo, DropReason), (Bucket, Dropped)>,
}

impl WaitingQueue {
    /// A queue of at most `limit` records.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), records: VecDeque::new(), dropped: BTreeMap::new() }
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.dropped.is_empty()
    }

    /// Puts a record in. Over the limit the oldest success goes, without one the oldest record; it is returned, and counted in its
    /// check's tombstone.
    pub fn push(&mut self, record: PendingRecord) -> Option<PendingRecord> {
        self.records.push_back(record);
        if self.records.len() <= self.limit {
            return None;
        }
        let victim = self.records.iter().position(|record| record.keep == Keep::Success).unwrap_or(0);
        let victim = self.records.remove(victim)?;
        self.bury([(victim.bucket, tombstone(&victim.record, None))]);
        Some(victim)
    }

    /// Counts what was dropped, each part in its check's tombstone.
    pub(super) fn bury(&mut self, parts: impl IntoIterator<Item = (Bucket, Dropped)>) {
        for (bucket, part) in parts {
            match self.dropped.entry((part.check, part.reason)) {
                Entry::Occupied(mut entry) => merge(&mut entry.get_mut().1, &part),
                Entry::Vacant(entry) => {
                    entry.insert((bucket, part));
                }
            }
        }
    }

    /// Empties it: the tombstones and the records, in order.
    pub(super) fn take(&mut self) -> (Vec<(Bucket, Dropped)>, VecDeque<PendingRecord>) {
        (std::mem::take(&mut self.dropped).into_values().collect(), std::mem::take(&mut self.records))
    }

    /// The tombstones, then the oldest records: what the next transaction takes. Nothing is taken out yet.
    pub fn group(&self, records_max: usize) -> Vec<PendingRecord> {
        let tombstones = self.dropped.values().map(|(bucket, dropped)| PendingRecord {
            bucket: *bucket,
            keep: Keep::Tombstone,
            record: Record::Dropped(dropped.clone()),
        });
        tombstones.chain(self.records.iter().take(records_max).cloned()).collect()
    }

    /// Takes out what [`WaitingQueue::group`] gave with the same `records_max`: it is durable.
    pub fn done(&mut self, records_max: usize) {
        self.dropped.clear();
        let taken = records_max.min(self.records.len());
        self.records.drain(..taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitepulse_model::id::Revision;
    use sitepulse_model::record::{Missed, MissedCause};
    use sitepulse_model::time::UtcMicros;

    fn missed(check: u32, at: i64) -> Record {
        Record::Missed(Missed {
            check: CheckNo(check),
            revision: Revision(1),
            first: UtcMicros(at),
            last: UtcMicros(at),
            count: 1,
            cause: MissedCause::Overloaded,
        })
    }

    #[test]
    fn ranges_join_their_neighbours() {
        let mut ranges = Vec::new();
        for seq in [5, 1, 3, 9, 4, 2, 3] {
            insert_range(&mut ranges, (Seq(seq), Seq(seq)));
        }
        assert_eq!(ranges, [(Seq(1), Seq(5)), (Seq(9), Seq(9))]);
        insert_range(&mut ranges, (Seq(0), Seq(20)));
        assert_eq!(ranges, [(Seq(0), Seq(20))]);
    }

    #[test]
    fn a_full_queue_drops_the_oldest_success_and_counts_it() {
        let mut queue = WaitingQueue::new(2);
        let pending = |keep, at| PendingRecord { bucket: Bucket(1), keep, record: missed(1, at) };
        assert_eq!(queue.push(pending(Keep::Notable, 1)), None);
        assert_eq!(queue.push(pending(Keep::Success, 2)), None);
        assert_eq!(queue.push(pending(Keep::Notable, 3)), Some(pending(Keep::Success, 2)));
        assert_eq!(queue.push(pending(Keep::Notable, 4)), Some(pending(Keep::Notable, 1)));
        let group = queue.group(100);
        assert_eq!(group.len(), 3);
        let Record::Dropped(dropped) = &group[0].record else { panic!("the tombstone comes first") };
        assert_eq!((dropped.first, dropped.last, dropped.count), (UtcMicros(1), UtcMicros(2), 2));
        assert!(dropped.seqs.is_empty());
        queue.done(100);
        assert!(queue.is_empty());
    }
}
