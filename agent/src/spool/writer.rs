//! The spool's thread: group commit, patience with a full disk, and recovery from damage.
//!
//! One transaction takes what came in within [`GROUP_US_MAX`] or [`GROUP_RECORDS_MAX`] records, whichever is first. While the disk takes
//! nothing, records wait in a queue of [`QUEUE_RECORDS_MAX`]; beyond that the oldest successes become tombstones. It is tried again at
//! least every [`RETRY_US_MAX`]. While the disk hangs, submissions wait in the bounded [`intake`].

use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_daemon::notify::Progress as Heartbeat;
use sitepulse_model::id::{Bucket, CheckNo, Incarnation};
use sitepulse_model::record::{Provenance, Record};
use sitepulse_model::time::UtcMicros;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use super::intake::Intake;
use super::policy::{PendingRecord, WaitingQueue};
use super::schema::OpenSlots;
use super::{Page, SetAside, Spool, SpoolError, Stats};

/// Longest time a record waits for others to share its transaction.
pub const GROUP_US_MAX: u64 = 100_000;
/// Records that end the wait. A transaction may take more when more are there.
pub const GROUP_RECORDS_MAX: usize = 100;
/// Most records in one transaction.
const TRANSACTION_RECORDS_MAX: usize = 1000;
/// Most records that wait in memory for the disk.
pub const QUEUE_RECORDS_MAX: usize = 16_384;
/// Longest time between two attempts while the disk takes nothing.
pub const RETRY_US_MAX: u64 = 5_000_000;
const RETRY_US_MIN: u64 = 250_000;
/// Longest time an acknowledged delete waits for a transaction to ride along with: being late costs nothing but a duplicate after a crash.
pub const DELETE_US_MAX: u64 = 1_000_000;
/// Most damaged files in a row before the thread waits for an operator (and the disk) between attempts.
const SET_ASIDE_IN_A_ROW_MAX: u32 = 3;
/// Most pages in a row that the disk fails to read, at the shipper's growing pauses, before the file counts as damaged.
const UNREADABLE_IN_A_ROW_MAX: u32 = 8;
/// How often the thread wakes without a reason: its heartbeat, and the figures' refresh.
const IDLE_US: u64 = 1_000_000;

/// A slot handed out by the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The check.
    pub check: CheckNo,
    /// The first slot.
    pub first: UtcMicros,
    /// The rest.
    pub slots: OpenSlots,
}

/// What the engine tells the spool in one go. Order matters and is kept.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// Slots handed out.
    pub begun: Vec<Begun>,
    /// Every slot before was handed out.
    pub frontier: Option<UtcMicros>,
    /// Records, of slots handed out before or with this.
    pub records: Vec<PendingRecord>,
}

/// What the spool's thread last knew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// The file.
    pub stats: Stats,
    /// Records that wait in memory.
    pub queued: usize,
    /// Why the disk takes nothing, while it does not.
    pub stalled: Option<String>,
    /// The damaged file that was set aside last.
    pub set_aside: Option<String>,
}

/// What is durable: what a shipper may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durable {
    /// Of which spool.
    pub incarnation: Incarnation,
    /// Its newest record's id, 0 before the first.
    pub last_id: u64,
}

/// There is no answer: the spool's thread ended (its figures tell why).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the spool gave no answer")]
pub struct Gone;

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PageError {
    /// It cannot be read now. After damage the spool goes on under another incarnation, without these records.
    #[error("cannot read the spool: {0}")]
    Failed(String),
    /// The spool's thread ended.
    #[error(transparent)]
    Gone(#[from] Gone),
}

enum Command {
    /// Look into the intake.
    Submitted,
    Provenance(Provenance),
    Page {
        after: u64,
        up_to: u64,
        records_max: usize,
        bytes_max: usize,
        reply: oneshot::Sender<Result<Page, String>>,
    },
    Delete {
        incarnation: Incarnation,
        ids: RangeInclusive<u64>,
    },
    Flush(oneshot::Sender<bool>),
    Refresh(oneshot::Sender<Figures>),
    Close,
}

/// Talks to the spool's thread. Clones share it.
#[derive(Debug, Clone)]
pub struct SpoolHandle {
    commands: Sender<Command>,
    intake: Arc<Mutex<Intake>>,
    figures: watch::Receiver<Figures>,
    durable: watch::Receiver<Durable>,
}

impl SpoolHandle {
    /// Hands records and progress over. They are durable once a [`SpoolHandle::flush`] asked later says so.
    pub fn submit(&self, submission: Submission) -> Result<(), Gone> {
        let tell = lock(&self.intake).submit(submission);
        if tell { self.commands.send(Command::Submitted).map_err(|_| Gone) } else { Ok(()) }
    }

    /// The wall clock was put back: the schedule goes on from here, although it was further already. Goes with the next submission.
    pub fn put_back(&self, frontier: UtcMicros) {
        lock(&self.intake).put_back(frontier);
    }

    /// Says who measures from here on.
    pub fn set_provenance(&self, provenance: Provenance) -> Result<(), Gone> {
        self.commands.send(Command::Provenance(provenance)).map_err(|_| Gone)
    }

    /// Reads records: see [`Spool::page`].
    pub async fn page(&self, after: u64, up_to: u64, records_max: usize, bytes_max: usize) -> Result<Page, PageError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Page { after, up_to, records_max, bytes_max, reply }).map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)?.map_err(PageError::Failed)
    }

    /// Deletes acknowledged records with the next transaction. Ignored for another incarnation than the present one.
    pub fn delete(&self, incarnation: Incarnation, ids: RangeInclusive<u64>) -> Result<(), Gone> {
        self.commands.send(Command::Delete { incarnation, ids }).map_err(|_| Gone)
    }

    /// Tries to make all that was submitted before durable now, progress included. Answers whether it is.
    pub async fn flush(&self) -> Result<bool, Gone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Flush(reply)).map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Exact figures of this moment.
    pub async fn refresh(&self) -> Result<Figures, Gone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Refresh(reply)).map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// The figures after the newest transaction. Receivers wake at most about once a second, and at once when the spool stalls, heals or is
    /// set aside.
    pub fn figures(&self) -> watch::Receiver<Figures> {
        self.figures.clone()
    }

    /// What is durable; changes with each transaction that appends.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.clone()
    }

    /// Ends the thread after a last transaction and a clean close.
    pub fn close(&self) {
        // An ended thread is closed already.
        drop(self.commands.send(Command::Close));
    }
}

/// Starts the thread. `incarnation` names new files; `heartbeat` ticks at least every second.
pub fn start(
    spool: Spool,
    heartbeat: Heartbeat,
    incarnation: impl FnMut() -> Incarnation + Send + 'static,
) -> std::io::Result<(SpoolHandle, JoinHandle<()>)> {
    let (commands, inbox) = channel();
    // Its oldest record may be damaged: that must not hide what else is known.
    let known = Stats {
        incarnation: spool.incarnation(),
        records: spool.records(),
        last_id: spool.last_id(),
        ..Stats::default()
    };
    let figures = Figures { stats: spool.stats().unwrap_or(known), ..Figures::default() };
    let (publish, watched) = watch::channel(figures);
    let (publish_durable, durable) = watch::channel(Durable { incarnation: known.incarnation, last_id: known.last_id });
    let intake = Arc::new(Mutex::new(Intake::new(QUEUE_RECORDS_MAX)));
    let writer = Writer {
        spool: Some(spool),
        inbox,
        intake: intake.clone(),
        publish,
        publish_durable,
        untold: false,
        heartbeat,
        incarnation: Box::new(incarnation),
        queue: WaitingQueue::new(QUEUE_RECORDS_MAX),
        deletes: Vec::new(),
        due: None,
        stalled: None,
        retry_us: RETRY_US_MIN,
        set_aside_in_a_row: 0,
        unreadable_in_a_row: 0,
        refreshed: clock::monotonic(),
    };
    let thread =
        std::thread::Builder::new().name("spool".to_owned()).stack_size(512 << 10).spawn(move || writer.run())?;
    Ok((SpoolHandle { commands, intake, figures: watched, durable }, thread))
}

/// A panic while it was held leaves an intake that is whole: nothing in it panics halfway.
fn lock(intake: &Mutex<Intake>) -> MutexGuard<'_, Intake> {
    intake.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    /// Gone only when a damaged file could not be replaced and the thread is about to end.
    spool: Option<Spool>,
    inbox: Receiver<Command>,
    intake: Arc<Mutex<Intake>>,
    publish: watch::Sender<Figures>,
    publish_durable: watch::Sender<Durable>,
    /// The figures changed and nobody was woken for it.
    untold: bool,
    heartbeat: Heartbeat,
    incarnation: Box<dyn FnMut() -> Incarnation + Send>,
    queue: WaitingQueue,
    deletes: Vec<RangeInclusive<u64>>,
    /// When the next transaction is due.
    due: Option<Monotonic>,
    stalled: Option<String>,
    retry_us: u64,
    set_aside_in_a_row: u32,
    unreadable_in_a_row: u32,
    refreshed: Monotonic,
}

impl Writer {
    fn run(mut self) {
        loop {
            self.heartbeat.tick();
            if self.spool.is_none() {
                return;
            }
            let now = clock::monotonic();
            if self.queue.is_empty() {
                self.take(now);
            } else if self.due.is_none() {
                self.wake_by(now.plus_us(GROUP_US_MAX));
            }
            let wait_us = self.due.map_or(IDLE_US, |due| due.us_since(now).min(IDLE_US));
            if wait_us == 0 {
                self.take(now);
                // Deletes that wait already ride along, also where this thread was late.
                let close = self.take_commands();
                self.commit();
                if close {
                    break;
                }
            } else {
                match self.inbox.recv_timeout(Duration::from_micros(wait_us)) {
                    Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => break,
                    Ok(command) => self.handle(command),
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
            if self.stalled.is_none() && self.queue.len() >= GROUP_RECORDS_MAX {
                // Take what is there already: a transaction costs the same.
                let close = self.take_commands();
                self.commit();
                if close {
                    break;
                }
            }
            if clock::monotonic().us_since(self.refreshed) >= IDLE_US {
                self.refresh();
            }
        }
        self.end();
    }

    /// Handles the commands that wait already, not endlessly many; whether the spool is to be closed.
    fn take_commands(&mut self) -> bool {
        for _ in 0..TRANSACTION_RECORDS_MAX {
            match self.inbox.try_recv() {
                Ok(Command::Close) => return true,
                Ok(command) => self.handle(command),
                Err(_) => return false,
            }
        }
        false
    }

    fn handle(&mut self, command: Command) {
        let now = clock::monotonic();
        // What was submitted before a question is part of its answer.
        self.take(now);
        match command {
            Command::Submitted | Command::Close => {}
            Command::Provenance(provenance) => {
                // Records queued so far were measured before.
                while self.commit() && !self.queue.is_empty() {}
                if let Some(spool) = &mut self.spool {
                    spool.set_provenance(&provenance);
                }
            }
            Command::Page { after, up_to, records_max, bytes_max, reply } => {
                let Some(spool) = &mut self.spool else { return };
                let page = spool.page(after, up_to, records_max, bytes_max);
                if page.is_ok() {
                    self.unreadable_in_a_row = 0;
                }
                let answer = page.map_err(|error| {
                    let text = error.to_string();
                    let error = self.unreadable(error);
                    self.fail(error);
                    text
                });
                // A reader that gave up needs no page.
                drop(reply.send(answer));
            }
            Command::Delete { incarnation, ids } => {
                if self.spool.as_ref().is_some_and(|spool| spool.incarnation() == incarnation) {
                    self.note_delete(ids);
                    self.wake_by(now.plus_us(DELETE_US_MAX));
                }
            }
            Command::Flush(reply) => {
                self.due = None;
                while self.commit() && !self.queue.is_empty() {}
                let durable = self.queue.is_empty() && self.with_spool(Spool::checkpoint_progress).is_some();
                reply.send(durable).ok();
            }
            Command::Refresh(reply) => {
                self.refresh();
                drop(reply.send(self.publish.borrow().clone()));
            }
        }
    }

    /// Empties the intake. While records wait for their transaction, the next ones need not wake the thread.
    fn take(&mut self, now: Monotonic) {
        let Some(spool) = &mut self.spool else { return };
        let taken = lock(&self.intake).take();
        for begun in taken.begun {
            spool.begin(begun.check, begun.first, begun.slots);
        }
        match taken.frontier {
            Some(frontier) if taken.put_back => spool.step_to(frontier),
            Some(frontier) => spool.advance(frontier),
            None => {}
        }
        for (check, first) in taken.forgotten {
            spool.forget(check, first);
        }
        self.queue.bury(taken.tombstones);
        for record in taken.records {
            if let Some(slots) = open_slots(&record) {
                spool.begin(record.record.check(), record.record.scheduled(), slots);
            }
            if let Some(victim) = self.queue.push(record) {
                spool.forget(victim.record.check(), victim.record.scheduled());
            }
        }
        if !self.queue.is_empty() {
            self.wake_by(now.plus_us(GROUP_US_MAX));
            lock(&self.intake).wait();
        }
    }

    fn note_delete(&mut self, ids: RangeInclusive<u64>) {
        match self.deletes.last_mut() {
            // Mostly the next batch of the same lane, or the same one once more.
            Some(last) if *last.start() <= *ids.start() && *ids.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(ids.end());
            }
            Some(_) | None => self.deletes.push(ids),
        }
    }

    fn wake_by(&mut self, at: Monotonic) {
        // While the disk takes nothing, the retry's time stands.
        if self.stalled.is_none() {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// One transaction with what waits. Whether it went through.
    fn commit(&mut self) -> bool {
        self.due = None;
        if self.queue.is_empty() && self.deletes.is_empty() {
            if self.stalled.take().is_some() {
                self.retry_us = RETRY_US_MIN;
                self.publish.send_modify(|figures| figures.stalled = None);
            }
            return true;
        }
        let Some(spool) = &mut self.spool else { return false };
        let mut group = self.queue.group(TRANSACTION_RECORDS_MAX);
        let mut result = spool.commit(&group, &self.deletes);
        if let Err(SpoolError::Full { .. }) = &result {
            // A delete frees room inside the file, but needs some room in the log first. The tombstones go with it: the progress of
            // the same transaction no longer speaks for the slots they bury.
            let had_ballast = spool.drop_ballast();
            if !self.deletes.is_empty() && spool.commit(&self.queue.group(0), &self.deletes).is_ok() {
                self.deletes.clear();
                self.queue.done(0);
                group = self.queue.group(TRANSACTION_RECORDS_MAX);
                result = spool.commit(&group, &[]);
            } else if had_ballast {
                result = spool.commit(&group, &self.deletes);
            }
        }
        match result {
            Ok(()) => {
                self.queue.done(TRANSACTION_RECORDS_MAX);
                self.deletes.clear();
                self.set_aside_in_a_row = 0;
                let healed = self.stalled.take().is_some();
                if healed {
                    tracing::info!(spool = %spool.path().display(), "the spool writes again");
                    self.retry_us = RETRY_US_MIN;
                }
                let (records, last_id, incarnation) = (spool.records(), spool.last_id(), spool.incarnation());
                let queued = self.queue.len();
                self.publish.send_if_modified(|figures| {
                    figures.stats.records = records;
                    figures.stats.last_id = last_id;
                    figures.stats.incarnation = incarnation;
                    if records == 0 {
                        figures.stats.oldest = None;
                    }
                    figures.queued = queued;
                    figures.stalled = None;
                    healed
                });
                self.untold |= !healed;
                self.tell_durable(Durable { incarnation, last_id });
                if !self.queue.is_empty() {
                    self.due = Some(clock::monotonic());
                }
                true
            }
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    fn tell_durable(&self, durable: Durable) {
        self.publish_durable.send_if_modified(|known| std::mem::replace(known, durable) != durable);
    }

    /// Runs an operation and takes care of its failure.
    fn with_spool<T>(&mut self, operation: impl FnOnce(&mut Spool) -> Result<T, SpoolError>) -> Option<T> {
        match operation(self.spool.as_mut()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// A disk that cannot read a page for so long has lost it: one bad sector must not hold up all that comes after.
    fn unreadable(&mut self, error: SpoolError) -> SpoolError {
        match error {
            SpoolError::Unavailable { path, source } => {
                self.unreadable_in_a_row += 1;
                if self.unreadable_in_a_row < UNREADABLE_IN_A_ROW_MAX {
                    return SpoolError::Unavailable { path, source };
                }
                self.unreadable_in_a_row = 0;
                SpoolError::Damaged { path, reason: format!("cannot be read: {source}") }
            }
            error @ (SpoolError::Full { .. }
            | SpoolError::Damaged { .. }
            | SpoolError::SetAside { .. }
            | SpoolError::Record { .. }
            | SpoolError::SqliteTooOld(_)) => error,
        }
    }

    fn fail(&mut self, error: SpoolError) {
        match error {
            SpoolError::Damaged { reason, .. } => self.set_aside(reason),
            SpoolError::Record { .. } => {
                // One record that cannot be stored must not hold all others up.
                tracing::error!("{error}; the records of this transaction are dropped");
                self.queue.done(TRANSACTION_RECORDS_MAX);
            }
            SpoolError::Full { .. }
            | SpoolError::Unavailable { .. }
            | SpoolError::SetAside { .. }
            | SpoolError::SqliteTooOld(_) => self.stall(error.to_string()),
        }
    }

    fn stall(&mut self, reason: String) {
        if self.stalled.is_none() {
            tracing::warn!("{reason}; probing goes on, results wait in memory");
        }
        // A read that fails again and again must not put the next write off for ever.
        let retry = clock::monotonic().plus_us(self.retry_us);
        self.due = Some(self.due.map_or(retry, |due| due.min(retry)));
        self.retry_us = (self.retry_us * 2).min(RETRY_US_MAX);
        let queued = self.queue.len();
        self.publish.send_modify(|figures| {
            figures.stalled = Some(reason.clone());
            figures.queued = queued;
        });
        self.stalled = Some(reason);
    }

    fn set_aside(&mut self, reason: String) {
        self.set_aside_in_a_row += 1;
        if self.set_aside_in_a_row > SET_ASIDE_IN_A_ROW_MAX {
            self.stall(format!("the spool is damaged again and again ({reason}); check the disk"));
            self.set_aside_in_a_row = SET_ASIDE_IN_A_ROW_MAX - 1;
            return;
        }
        let Some(spool) = self.spool.take() else { return };
        match spool.set_aside(reason, clock::now(), &mut self.incarnation) {
            Ok((spool, moved)) => {
                self.deletes.clear();
                self.publish.send_modify(|figures| figures.set_aside = Some(moved.path.display().to_string()));
                warn_set_aside(&moved);
                self.spool = Some(spool);
                self.refresh();
                self.due = Some(clock::monotonic());
            }
            Err(error) => {
                // Without a file there is nothing to go on with; the service manager starts the agent again, which opens or moves it.
                tracing::error!("{error}");
                self.publish.send_modify(|figures| figures.stalled = Some(error.to_string()));
            }
        }
    }

    fn refresh(&mut self) {
        self.refreshed = clock::monotonic();
        if let Some(mut stats) = self.with_spool(|spool| spool.stats()) {
            // What is acknowledged waits for no collector, only for the next transaction to go.
            let acknowledged: u64 = self.deletes.iter().map(|ids| ids.end() - ids.start() + 1).sum();
            stats.records = stats.records.saturating_sub(acknowledged);
            if stats.records == 0 {
                stats.oldest = None;
            }
            if self.stalled.is_none()
                && let Some(spool) = &self.spool
            {
                spool.keep_ballast();
            }
            let queued = self.queue.len();
            let untold = std::mem::take(&mut self.untold);
            self.publish.send_if_modified(|figures| {
                let changed = figures.stats != stats || figures.queued != queued;
                figures.stats = stats;
                figures.queued = queued;
                changed || untold
            });
            self.tell_durable(Durable { incarnation: stats.incarnation, last_id: stats.last_id });
        }
    }

    fn end(mut self) {
        self.take(clock::monotonic());
        while self.commit() && !self.queue.is_empty() {}
        let Some(spool) = self.spool.take() else { return };
        if !self.queue.is_empty() {
            // As after a kill: the progress of the last transaction still speaks for what waits here, a clean close's would not.
            tracing::warn!(
                "{} results wait for a disk that takes nothing; the next start records them as missed",
                self.queue.len()
            );
        } else if let Err(error) = spool.close() {
            tracing::warn!("{error}");
        }
    }
}

/// Says where a damaged file is.
pub fn warn_set_aside(moved: &SetAside) {
    tracing::warn!(
        "the spool was damaged ({}); it is kept as {}, and its results are reported as dropped",
        moved.reason,
        moved.path.display()
    );
}

/// The slots a record speaks for; `None` for a tombstone.
pub fn open_slots(record: &PendingRecord) -> Option<OpenSlots> {
    let bucket: Bucket = record.bucket;
    match &record.record {
        Record::Result(result) => {
            Some(OpenSlots { revision: result.revision, bucket, last: result.scheduled, count: 1 })
        }
        Record::Missed(missed) => {
            Some(OpenSlots { revision: missed.revision, bucket, last: missed.last, count: missed.count })
        }
        Record::Dropped(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Limits;
    use crate::spool::policy::Keep;
    use sitepulse_model::id::Revision;
    use sitepulse_model::record::{Missed, MissedCause};

    fn missed(check: u32, slot: i64) -> PendingRecord {
        PendingRecord {
            bucket: Bucket(1),
            keep: if slot % 10 == 0 { Keep::Notable } else { Keep::Success },
            record: Record::Missed(Missed {
                check: CheckNo(check),
                revision: Revision(1),
                first: UtcMicros(slot),
                last: UtcMicros(slot),
                count: 1,
                cause: MissedCause::Overloaded,
            }),
        }
    }

    fn spool(dir: &std::path::Path) -> Spool {
        let limits = Limits { bytes_max: 64 << 20, ballast_bytes: 64 << 10 };
        Spool::open(&dir.join("spool.db"), limits, UtcMicros(1), &mut || Incarnation(5)).unwrap().spool
    }

    fn submit(handle: &SpoolHandle, records: impl Iterator<Item = PendingRecord>) {
        handle.submit(Submission { records: records.collect(), ..Submission::default() }).unwrap();
    }

    #[tokio::test]
    async fn a_group_is_durable_in_time_and_tells() {
        let dir = tempfile::tempdir().unwrap();
        let (handle, thread) = start(spool(dir.path()), Heartbeat::default(), || Incarnation(6)).unwrap();
        let mut figures = handle.figures();
        let begin = clock::monotonic();
        submit(&handle, (0..10).map(|slot| missed(1, slot)));
        figures.wait_for(|figures| figures.stats.records == 10).await.unwrap();
        assert!(clock::monotonic().us_since(begin) >= GROUP_US_MAX, "few records wait for others");
        submit(&handle, (10..500).map(|slot| missed(1, slot)));
        figures.wait_for(|figures| figures.stats.records == 500).await.unwrap();
        handle.delete(Incarnation(99), 1..=500).unwrap();
        handle.delete(Incarnation(5), 1..=100).unwrap();
        assert!(handle.flush().await.unwrap());
        let figures = handle.refresh().await.unwrap();
        assert_eq!((figures.stats.records, figures.queued, figures.stats.oldest), (400, 0, Some(UtcMicros(100))));
        handle.delete(Incarnation(5), 101..=500).unwrap();
        assert!(handle.flush().await.unwrap());
        let figures = handle.figures().borrow().clone();
        assert_eq!((figures.stats.records, figures.stats.oldest), (0, None), "an empty spool has no oldest record");
        handle.close();
        thread.join().unwrap();
        assert_eq!(handle.flush().await, Err(Gone));
    }

    #[tokio::test]
    async fn deletes_wait_for_records_to_ride_along_with() {
        let dir = tempfile::tempdir().unwrap();
        let (handle, thread) = start(spool(dir.path()), Heartbeat::default(), || Incarnation(6)).unwrap();
        submit(&handle, (0..10).map(|slot| missed(1, slot)));
        assert!(handle.flush().await.unwrap());
        let mut figures = handle.figures();
        let begin = clock::monotonic();
        handle.delete(Incarnation(5), 1..=4).unwrap();
        figures.wait_for(|figures| figures.stats.records == 6).await.unwrap();
        assert!(clock::monotonic().us_since(begin) >= DELETE_US_MAX - 10_000, "alone they wait");
        let mut durable = handle.durable();
        durable.borrow_and_update();
        handle.delete(Incarnation(5), 5..=7).unwrap();
        handle.delete(Incarnation(5), 8..=9).unwrap();
        submit(&handle, [missed(1, 11)].into_iter());
        durable.changed().await.unwrap();
        assert_eq!(handle.figures().borrow().stats.records, 2);
        handle.close();
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_keeps_records_waiting_counts_what_it_drops_and_heals_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut full = spool(dir.path());
        full.append(&(0..20_000).map(|slot| missed(1, slot)).collect::<Vec<_>>()).unwrap();
        full.limit_pages(Some(1)).unwrap();
        let (handle, thread) = start(full, Heartbeat::default(), || Incarnation(6)).unwrap();
        let over = 1_000;
        let count = QUEUE_RECORDS_MAX as i64 + over;
        submit(&handle, (20_000..20_000 + count).map(|slot| missed(1, slot)));
        assert!(!handle.flush().await.unwrap());
        let stalled = handle.refresh().await.unwrap();
        assert!(stalled.stalled.unwrap().contains("no space left"));
        assert_eq!((stalled.queued, stalled.stats.records), (QUEUE_RECORDS_MAX, 20_000));
        // Reading and acknowledging go on, and make the room that heals it.
        assert_eq!(handle.page(0, u64::MAX, 10, usize::MAX).await.unwrap().entries.len(), 10);
        handle.delete(Incarnation(5), 1..=20_000).unwrap();
        let mut figures = handle.figures();
        let healed = figures.wait_for(|figures| figures.queued == 0 && figures.stalled.is_none());
        tokio::time::timeout(Duration::from_secs(60), healed).await.unwrap().unwrap();
        let page = handle.page(0, u64::MAX, 1, usize::MAX).await.unwrap();
        let Record::Dropped(dropped) = &page.entries[0].record else { panic!("the tombstone comes first") };
        assert_eq!((dropped.count, dropped.seqs.len()), (over as u64, 0));
        assert_eq!(handle.refresh().await.unwrap().stats.records, QUEUE_RECORDS_MAX as u64 + 1);
        handle.close();
        thread.join().unwrap();
        let reopened = spool(dir.path());
        assert!(reopened.progress().open.is_empty(), "every slot has its record");
    }

    #[tokio::test]
    async fn damage_while_running_starts_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = spool(dir.path());
        one.append(&(0..2_000).map(|slot| missed(1, slot)).collect::<Vec<_>>()).unwrap();
        one.close().unwrap();
        let path = dir.path().join("spool.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 2000].fill(0xee);
        std::fs::write(&path, bytes).unwrap();
        let (handle, thread) = start(spool(dir.path()), Heartbeat::default(), || Incarnation(6)).unwrap();
        let failed = handle.page(0, u64::MAX, 5_000, usize::MAX).await.unwrap_err();
        assert!(matches!(&failed, PageError::Failed(text) if text.contains("damaged")), "{failed}");
        // Who hears of the failure can read on at once.
        assert_eq!(*handle.durable().borrow(), Durable { incarnation: Incarnation(6), last_id: 0 });
        let mut figures = handle.figures();
        figures.wait_for(|figures| figures.stats.incarnation == Incarnation(6)).await.unwrap();
        submit(&handle, (0..10).map(|slot| missed(2, slot)));
        assert!(handle.flush().await.unwrap());
        let figures = handle.refresh().await.unwrap();
        assert_eq!(figures.stats.records, 10);
        assert!(figures.set_aside.unwrap().contains("spool.db.corrupt-"));
        handle.close();
        thread.join().unwrap();
    }
}
