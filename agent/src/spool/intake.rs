//! What was submitted and the spool's thread has not taken yet.
//!
//! A disk that hangs in a sync holds the thread up for as long as it likes, and probing goes on: so this is bounded. Limits: the records of
//! one [`WaitingQueue`], a tombstone per check, and the slots of those records and of the runs under way.

use std::collections::{BTreeMap, VecDeque};

use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::record::Dropped;
use sitepulse_model::time::UtcMicros;

use super::policy::{PendingRecord, WaitingQueue};
use super::schema::OpenSlots;
use super::writer::{Begun, GROUP_RECORDS_MAX, Submission};

/// A slot that was handed out and whose record the thread has not taken.
#[derive(Debug)]
struct Open {
    slots: OpenSlots,
    /// The thread knows of the slot.
    told: bool,
}

/// The submissions that wait, merged.
#[derive(Debug)]
pub(super) struct Intake {
    queue: WaitingQueue,
    open: BTreeMap<(CheckNo, UtcMicros), Open>,
    forgotten: Vec<(CheckNo, UtcMicros)>,
    frontier: Option<UtcMicros>,
    /// The frontier counts even where it lies before the thread's.
    put_back: bool,
    /// Something waits.
    waiting: bool,
    /// The thread will look by itself.
    told: bool,
    /// The thread was told not to wait any longer.
    urged: bool,
}

/// All that waited. Begin, advance, forget, bury, then push the records.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) begun: Vec<Begun>,
    pub(super) frontier: Option<UtcMicros>,
    /// The frontier counts even where it lies before the last one.
    pub(super) put_back: bool,
    /// Slots known to the thread whose records went into the tombstones.
    pub(super) forgotten: Vec<(CheckNo, UtcMicros)>,
    pub(super) tombstones: Vec<(Bucket, Dropped)>,
    pub(super) records: VecDeque<PendingRecord>,
}

impl Intake {
    pub(super) fn new(records_max: usize) -> Self {
        Self {
            queue: WaitingQueue::new(records_max),
            open: BTreeMap::new(),
            forgotten: Vec::new(),
            frontier: None,
            put_back: false,
            waiting: false,
            told: false,
            urged: false,
        }
    }

    /// Merges a submission in. Whether the thread must be told that something waits.
    pub(super) fn submit(&mut self, submission: Submission) -> bool {
        for begun in submission.begun {
            self.open.entry((begun.check, begun.first)).or_insert(Open { slots: begun.slots, told: false });
        }
        self.frontier = self.frontier.max(submission.frontier);
        for record in submission.records {
            let Some(victim) = self.queue.push(record) else { continue };
            let key = (victim.record.check(), victim.record.scheduled());
            if self.open.remove(&key).is_some_and(|open| open.told) {
                self.forgotten.push(key);
            }
        }
        self.waiting = true;
        // Enough for a transaction is worth a word of its own, once.
        let enough = self.queue.len() >= GROUP_RECORDS_MAX && !self.urged;
        self.urged |= enough;
        !std::mem::replace(&mut self.told, true) || enough
    }

    /// Puts the frontier back: what was submitted before was measured by a wrong clock. The thread hears of it with the next submission.
    pub(super) fn put_back(&mut self, frontier: UtcMicros) {
        self.frontier = Some(frontier);
        self.put_back = true;
    }

    /// The thread looks again by itself, soon: it need not be told.
    pub(super) fn wait(&mut self) {
        self.told = true;
    }

    pub(super) fn take(&mut self) -> Taken {
        (self.told, self.urged) = (false, false);
        if !std::mem::take(&mut self.waiting) {
            return Taken::default();
        }
        let mut begun = Vec::new();
        for (key, open) in &mut self.open {
            if !std::mem::replace(&mut open.told, true) {
                begun.push(Begun { check: key.0, first: key.1, slots: open.slots });
            }
        }
        let (tombstones, records) = self.queue.take();
        for record in &records {
            self.open.remove(&(record.record.check(), record.record.scheduled()));
        }
        Taken {
            begun,
            frontier: self.frontier.take(),
            put_back: std::mem::take(&mut self.put_back),
            forgotten: std::mem::take(&mut self.forgotten),
            tombstones,
            records,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::policy::Keep;
    use sitepulse_model::id::Revision;
    use sitepulse_model::record::{Missed, MissedCause, Record};

    fn slots(at: i64) -> OpenSlots {
        OpenSlots { revision: Revision(1), bucket: Bucket(1), last: UtcMicros(at), count: 1 }
    }

    fn begin(at: i64) -> Submission {
        let begun = vec![Begun { check: CheckNo(1), first: UtcMicros(at), slots: slots(at) }];
        Submission { begun, frontier: Some(UtcMicros(at + 1)), records: Vec::new() }
    }

    fn finish(at: i64) -> Submission {
        let record = Record::Missed(Missed {
            check: CheckNo(1),
            revision: Revision(1),
            first: UtcMicros(at),
            last: UtcMicros(at),
            count: 1,
            cause: MissedCause::Overloaded,
        });
        let records = vec![PendingRecord { bucket: Bucket(1), keep: Keep::Success, record }];
        Submission { records, ..Submission::default() }
    }

    #[test]
    fn a_disk_that_hangs_costs_bounded_memory_and_every_slot_is_accounted_for() {
        let mut intake = Intake::new(10);
        assert!(intake.submit(begin(0)), "the thread is told once");
        assert!(!intake.submit(begin(1)));
        assert_eq!(intake.take().begun.len(), 2);
        // The thread hangs now.
        assert!(intake.submit(finish(0)));
        intake.submit(finish(1));
        for at in 2..1_000 {
            assert!(!intake.submit(begin(at)));
            intake.submit(finish(at));
        }
        assert!(intake.open.len() <= 11, "{}", intake.open.len());
        let taken = intake.take();
        assert_eq!(taken.forgotten, [(CheckNo(1), UtcMicros(0)), (CheckNo(1), UtcMicros(1))]);
        assert_eq!(taken.frontier, Some(UtcMicros(1_000)));
        assert_eq!(taken.records.len(), 10);
        let begun: Vec<i64> = taken.begun.iter().map(|begun| begun.first.0).collect();
        assert_eq!(begun, (990..1_000).collect::<Vec<_>>());
        assert_eq!(taken.tombstones.len(), 1);
        let tombstone = &taken.tombstones[0].1;
        assert_eq!((tombstone.first, tombstone.last, tombstone.count), (UtcMicros(0), UtcMicros(989), 990));
        assert!(intake.open.is_empty());
        assert!(intake.submit(begin(1_000)), "and it is told again");
    }
}
