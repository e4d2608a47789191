//! The spool's thread of a simulated agent: the real [`Spool`] and [`WaitingQueue`], wired as `sitepulse_agent::spool::writer` wires
//! them, with virtual time instead of a thread. What it commits is written down as the truth that the store must end up with.

use std::ops::RangeInclusive;

use sitepulse_agent::spool::policy::{PendingRecord, WaitingQueue};
use sitepulse_agent::spool::writer::{
    DELETE_US_MAX, Figures, GROUP_RECORDS_MAX, GROUP_US_MAX, RETRY_US_MAX, Submission, open_slots,
};
use sitepulse_agent::spool::{Page, Spool, SpoolError};
use sitepulse_model::id::{CheckNo, Incarnation};
use sitepulse_model::record::{Provenance, Record};
use sitepulse_model::time::UtcMicros;

/// As in the writer.
const TRANSACTION_RECORDS_MAX: usize = 1000;
const RETRY_US_MIN: i64 = 250_000;

/// A result or missed range that a spool has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The spool.
    pub incarnation: Incarnation,
    /// The record.
    pub record: Record,
}

pub(super) struct Spooler {
    pub(super) spool: Spool,
    queue: WaitingQueue,
    deletes: Vec<RangeInclusive<u64>>,
    /// When the next transaction is due, true time.
    pub(super) due: Option<i64>,
    stalled: Option<String>,
    retry_us: i64,
    /// Something was committed since the shipper last looked.
    pub(super) news: bool,
    pub(super) committed: Vec<Committed>,
    /// Slots that the queue in memory had to give up.
    pub(super) overflowed: Vec<(CheckNo, UtcMicros)>,
}

impl Spooler {
    pub(super) fn new(spool: Spool, queue_max: usize) -> Self {
        Self {
            spool,
            queue: WaitingQueue::new(queue_max),
            deletes: Vec::new(),
            due: None,
            stalled: None,
            retry_us: RETRY_US_MIN,
            news: false,
            committed: Vec::new(),
            overflowed: Vec::new(),
        }
    }

    pub(super) fn submit(&mut self, submission: Submission, now: i64) {
        for begun in submission.begun {
            self.spool.begin(begun.check, begun.first, begun.slots);
        }
        if let Some(frontier) = submission.frontier {
            self.spool.advance(frontier);
        }
        for record in submission.records {
            if let Some(slots) = open_slots(&record) {
                self.spool.begin(record.record.check(), record.record.scheduled(), slots);
            }
            if let Some(victim) = self.queue.push(record) {
                self.overflowed.push((victim.record.check(), victim.record.scheduled()));
                self.spool.forget(victim.record.check(), victim.record.scheduled());
            }
        }
        if !self.queue.is_empty() {
            self.wake_by(now + GROUP_US_MAX as i64);
        }
        if self.stalled.is_none() && self.queue.len() >= GROUP_RECORDS_MAX {
            self.commit(now);
        }
    }

    fn wake_by(&mut self, at: i64) {
        if self.stalled.is_none() {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    pub(super) fn delete(&mut self, incarnation: Incarnation, ids: RangeInclusive<u64>, now: i64) {
        if self.spool.incarnation() == incarnation {
            self.deletes.push(ids);
            self.wake_by(now + DELETE_US_MAX as i64);
        }
    }

    pub(super) fn commit(&mut self, now: i64) -> bool {
        self.due = None;
        if self.queue.is_empty() && self.deletes.is_empty() {
            self.stalled = None;
            return true;
        }
        let mut group = self.queue.group(TRANSACTION_RECORDS_MAX);
        let mut result = self.spool.commit(&group, &self.deletes);
        if let Err(SpoolError::Full { .. }) = &result {
            let had_ballast = self.spool.drop_ballast();
            let tombstones = self.queue.group(0);
            if !self.deletes.is_empty() && self.spool.commit(&tombstones, &self.deletes).is_ok() {
                self.deletes.clear();
                self.queue.done(0);
                group = self.queue.group(TRANSACTION_RECORDS_MAX);
                result = self.spool.commit(&group, &[]);
            } else if had_ballast {
                result = self.spool.commit(&group, &self.deletes);
            }
        }
        match result {
            Ok(()) => {
                self.queue.done(TRANSACTION_RECORDS_MAX);
                self.deletes.clear();
                self.stalled = None;
                self.retry_us = RETRY_US_MIN;
                self.news = true;
                self.note(group);
                if !self.queue.is_empty() {
                    self.due = Some(now);
                }
                true
            }
            Err(error) => {
                self.fail(&error, now);
                false
            }
        }
    }

    fn note(&mut self, group: Vec<PendingRecord>) {
        let incarnation = self.spool.incarnation();
        let records = group.into_iter().map(|pending| pending.record);
        let told = records.filter(|record| matches!(record, Record::Result(_) | Record::Missed(_)));
        self.committed.extend(told.map(|record| Committed { incarnation, record }));
    }

    fn fail(&mut self, error: &SpoolError, now: i64) {
        assert!(matches!(error, SpoolError::Full { .. }), "the spool fails: {error}");
        self.due = Some(now + self.retry_us);
        self.retry_us = (self.retry_us * 2).min(RETRY_US_MAX as i64);
        self.stalled = Some(error.to_string());
    }

    fn with_spool<T>(&mut self, now: i64, operation: impl FnOnce(&mut Spool) -> Result<T, SpoolError>) -> Option<T> {
        match operation(&mut self.spool) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(&error, now);
                None
            }
        }
    }

    /// Whether all that was submitted is durable now.
    pub(super) fn flush(&mut self, now: i64) -> bool {
        self.due = None;
        while self.commit(now) && !self.queue.is_empty() {}
        self.queue.is_empty() && self.with_spool(now, Spool::checkpoint_progress).is_some()
    }

    pub(super) fn set_provenance(&mut self, provenance: &Provenance, now: i64) {
        self.commit(now);
        self.spool.set_provenance(provenance);
    }

    pub(super) fn page(&mut self, after: u64, up_to: u64, records_max: usize, bytes_max: usize) -> Page {
        self.spool.page(after, up_to, records_max, bytes_max).expect("the spool can be read")
    }

    pub(super) fn figures(&self) -> Figures {
        let stats = self.spool.stats().expect("the spool can be read");
        Figures { stats, queued: self.queue.len(), stalled: self.stalled.clone(), set_aside: None }
    }

    /// Nothing waits, for the disk or for the collector.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.deletes.is_empty() && self.spool.records() == 0
    }

    /// The thread's end: a last transaction and a clean close. `false` if the disk takes nothing; the file is as after a kill then.
    pub(super) fn end(mut self, now: i64) -> (bool, Vec<Committed>) {
        while self.commit(now) && !self.queue.is_empty() {}
        let clean = self.queue.is_empty();
        if clean {
            self.spool.close().expect("the spool closes");
        }
        (clean, self.committed)
    }
}
