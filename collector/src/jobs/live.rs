//! What is known of jobs beside their rows: which run in this process, how far they are, and how they fared since it started.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sitepulse_daemon::clock;
use sitepulse_model::job::JobId;
use sitepulse_model::time::UtcMicros;
use tokio::sync::watch;

use super::{Job, Kind, Line, Said, clip};

/// Most lines of an attempt's log.
pub const LINES_MAX: usize = 500;
/// Of so many newest starts of each kind the waits are known.
const WAITS_MAX: usize = 1_000;

/// A job that runs in this process.
#[derive(Debug)]
pub struct Live {
    epoch: u32,
    /// The desk's.
    changes: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    progress: u16,
    message: String,
    lines: Vec<Line>,
    /// How many of the lines were taken to be written.
    taken: usize,
    /// How far it came, where that is not written yet.
    mark: Option<String>,
}

impl Live {
    fn new(job: &Job, changes: Arc<AtomicU64>) -> Self {
        Self { epoch: job.standing.epoch, changes, stop: watch::channel(false).0, told: Mutex::default() }
    }

    pub(super) fn progress(&self, part: f64, message: String) {
        let mut told = self.told();
        // What is not done is not shown as done, whatever the division says.
        told.progress = thousandths(part).min(999);
        told.message = clip(&message);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn log(&self, text: String) {
        let mut told = self.told();
        let line = |text: &str| Line { at: clock::now(), epoch: self.epoch, text: clip(text) };
        match told.lines.len() {
            count if count < LINES_MAX => told.lines.push(line(&text)),
            LINES_MAX => told.lines.push(line(&String::from(Said::More))),
            _ => {}
        }
    }

    pub(super) fn mark(&self, mark: String) {
        self.told().mark = Some(mark);
    }

    /// How far it came, which is written now.
    pub(super) fn take_mark(&self) -> Option<String> {
        self.told().mark.take()
    }

    /// A mark could not be written; a newer one stands.
    pub(super) fn give_mark_back(&self, mark: String) {
        self.told().mark.get_or_insert(mark);
    }

    /// How far it is, in thousandths, and what it is at.
    pub fn progressed(&self) -> (u16, String) {
        let told = self.told();
        (told.progress, told.message.clone())
    }

    /// The lines that are not written yet.
    pub fn unwritten(&self) -> Vec<Line> {
        let told = self.told();
        told.lines[told.taken..].to_vec()
    }

    /// [`Self::unwritten`], which are written now.
    pub(super) fn take(&self) -> Vec<Line> {
        let mut told = self.told();
        let lines = told.lines[told.taken..].to_vec();
        told.taken = told.lines.len();
        lines
    }

    /// So many of the lines that were taken could not be written.
    pub(super) fn give_back(&self, count: usize) {
        let mut told = self.told();
        told.taken = told.taken.saturating_sub(count);
    }

    /// Whether anything is to be written.
    pub(super) fn has_lines(&self) -> bool {
        let told = self.told();
        told.lines.len() > told.taken
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether it was told to stop.
    pub(super) fn was_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before; NaN becomes 0")]
fn thousandths(part: f64) -> u16 {
    (part.clamp(0.0, 1.0) * 1000.0) as u16
}

/// How the jobs of a kind fared since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fared {
    /// Done.
    pub done: u64,
    /// Given up.
    pub failed: u64,
    /// Attempts that failed.
    pub attempts_failed: u64,
    /// Attempts that ended.
    pub runs: u64,
    /// How long they took together, in microseconds.
    pub run_us: u64,
}

/// What readers and the runner share.
#[derive(Debug)]
pub struct Desk {
    bell: watch::Sender<u64>,
    changes: Arc<AtomicU64>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    live: BTreeMap<JobId, Arc<Live>>,
    /// Told to stop before the runner had them.
    early: BTreeSet<JobId>,
    fared: BTreeMap<Kind, Fared>,
    /// How long the newest starts of each kind had waited, in microseconds.
    waits: BTreeMap<Kind, VecDeque<u64>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { bell: watch::channel(0).0, changes: Arc::default(), inner: Mutex::default() }
    }
}

impl Desk {
    /// Something is due, or is to stop, and that is durable.
    pub fn wake(&self) {
        self.changed();
        self.bell.send_modify(|rings| *rings += 1);
    }

    /// Changes with every call of [`Self::wake`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Something of a job, or of a message, changed that people see.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Grows with every change of a job that people see.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// A job that runs here; `None` where it does not.
    pub fn live(&self, id: JobId) -> Option<Arc<Live>> {
        self.inner().live.get(&id).cloned()
    }

    /// How the kinds fared.
    pub fn fared(&self) -> BTreeMap<Kind, Fared> {
        self.inner().fared.clone()
    }

    /// How long 95 % of the newest starts, of a kind or of all, had waited at most since they were due, in microseconds; `None` before the first start.
    pub fn wait_p95_us(&self, kind: Option<Kind>) -> Option<u64> {
        let inner = self.inner();
        let of = inner.waits.iter().filter(|(of, _)| kind.is_none_or(|kind| kind == **of));
        let mut waits: Vec<u64> = of.flat_map(|(_, waits)| waits.iter().copied()).collect();
        drop(inner);
        waits.sort_unstable();
        let at = (waits.len() * 95).div_ceil(100).checked_sub(1)?;
        waits.get(at).copied()
    }

    pub(super) fn enter(&self, job: &Job) -> Arc<Live> {
        let live = Arc::new(Live::new(job, Arc::clone(&self.changes)));
        let mut inner = self.inner();
        if inner.early.remove(&job.id) {
            live.stop();
        }
        inner.live.insert(job.id, Arc::clone(&live));
        drop(inner);
        self.started(job.kind, job.standing.due, job.started.unwrap_or(job.standing.due));
        live
    }

    /// Something of a kind that was due then is begun now.
    pub(crate) fn started(&self, kind: Kind, due: UtcMicros, now: UtcMicros) {
        self.changed();
        let mut inner = self.inner();
        let waits = inner.waits.entry(kind).or_default();
        if waits.len() >= WAITS_MAX {
            waits.pop_front();
        }
        waits.push_back(now.us_since(due).max(0).unsigned_abs());
    }

    pub(super) fn leave(&self, id: JobId) {
        self.changed();
        let mut inner = self.inner();
        inner.live.remove(&id);
        inner.early.remove(&id);
    }

    pub(crate) fn note(&self, kind: Kind, change: impl FnOnce(&mut Fared)) {
        change(self.inner().fared.entry(kind).or_default());
    }

    /// A job that runs is to stop.
    pub(crate) fn stop(&self, id: JobId) {
        let mut inner = self.inner();
        match inner.live.get(&id) {
            Some(live) => live.stop(),
            None => drop(inner.early.insert(id)),
        }
    }

    pub(super) fn stop_all(&self) {
        self.inner().live.values().for_each(|live| live.stop());
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
