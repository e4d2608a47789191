//! The one thread that writes. It owns the [`Engine`]; everybody else sends it commands.
//!
//! Batches that wait are committed together: while one transaction reaches the disk, the next group gathers. At most
//! [`BATCHES_MAX`] batches wait, over all sessions; who brings more waits with it. When the store cannot write (disk full, IO
//! error) each batch is refused, and the thread tries by itself every few seconds, so that readiness heals without traffic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_daemon::lock::DataDirLock;
use sitepulse_model::time::UtcMicros;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::amend::{STOP_US, TURN_US};
use crate::engine::Engine;
use crate::ingest::{IngestJob, IngestOutcome};
use crate::store::Health;

/// Most batches that wait for the writer, over all sessions: bounds memory to this many MiB.
pub const BATCHES_MAX: usize = 128;
/// Most batches in one transaction.
const GROUP_BATCHES_MAX: usize = 64;
/// Most records in one transaction, give or take one batch: bounds how long others wait.
const GROUP_RECORDS_MAX: usize = 16_384;
/// How often a store that failed is tried again, traffic or not.
const RETRY: Duration = Duration::from_secs(3);
/// How often a healthy store renews its leases, and who pages when the collector stays away is looked at.
const RENEW: Duration = Duration::from_secs(10);
/// How long results gather before the checks that they came in for are looked at: a backlog brings the same ones with every batch.
const LOOK: Duration = Duration::from_millis(250);

/// The writer is gone: the program is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the collector is shutting down: try again")]
pub struct Closed;

/// Hears what became of a batch: `None` when it was not stored.
type Reply = Box<dyn FnOnce(Option<IngestOutcome>) + Send>;

enum Command {
    Ingest(IngestJob, Reply, OwnedSemaphorePermit),
    Run(Box<dyn FnOnce(&mut Engine) + Send>),
    Stop,
}

/// The way to the thread that writes. Dropping it ends the thread once what was sent is done.
#[derive(Debug)]
pub struct Writer {
    commands: Sender<Command>,
    permits: Arc<Semaphore>,
    health: Arc<Health>,
    ended: watch::Receiver<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. It keeps the data directory's lock until it has ended.
    pub fn start(engine: Engine, lock: Option<DataDirLock>) -> std::io::Result<Self> {
        let (commands, queue) = channel();
        let health = Arc::clone(engine.store.health());
        let (ending, ended) = watch::channel(false);
        let told = Arc::clone(&health);
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
            // What is committed is sound; what the thread held in memory is not used again.
            if catch_unwind(AssertUnwindSafe(|| run(engine, &queue))).is_err() {
                told.give_up("the writer's thread panicked: start the collector again");
            }
            drop(lock);
            ending.send_replace(true);
        })?;
        let permits = Arc::new(Semaphore::new(BATCHES_MAX));
        Ok(Self { commands, permits, health, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until the thread is gone: after [`Self::close`], or because it panicked, which [`Self::health`] tells. A program ends then.
    pub async fn ended(&self) {
        // The sender goes with the thread.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }

    /// Whether the store takes writes.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// How many batches wait for the writer now.
    pub fn batches_waiting(&self) -> usize {
        BATCHES_MAX - self.permits.available_permits()
    }

    /// Runs `work` on the thread, and gives what it returns.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        let work = move |engine: &mut Engine| {
            // Whoever asked may have gone.
            drop(reply.send(work(engine)));
        };
        self.commands.send(Command::Run(Box::new(work))).map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }

    /// Has `work` done on the thread, and waits for nothing: also when whoever asked goes.
    ///
    /// # Errors
    /// When the writer is gone.
    pub fn tell(&self, work: impl FnOnce(&mut Engine) + Send + 'static) -> Result<(), Closed> {
        self.commands.send(Command::Run(Box::new(work))).map_err(|_| Closed)
    }

    /// Hands a batch over, waiting while too many wait. `reply` is called on the thread once the batch is durable, or with `None`
    /// when it could not be stored; it is dropped uncalled when the program ends.
    pub async fn ingest(
        &self,
        job: IngestJob,
        reply: impl FnOnce(Option<IngestOutcome>) + Send + 'static,
    ) -> Result<(), Closed> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Closed)?;
        self.commands.send(Command::Ingest(job, Box::new(reply), permit)).map_err(|_| Closed)
    }

    /// Does what was sent before, writes the log into the file, ends the thread and waits for it.
    pub async fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // A thread that is gone already needs no telling.
        drop(self.commands.send(Command::Stop));
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::error!("the writer ended with a panic"),
        }
    }
}

/// How long to wait for an instant: a little at least, so that a clock that stands does not spin the thread.
fn until(due: UtcMicros, now: UtcMicros) -> Duration {
    Duration::from_micros(due.us_since(now).max(0).unsigned_abs()).max(Duration::from_millis(10))
}

fn run(mut engine: Engine, queue: &Receiver<Command>) {
    let mut held = None;
    let mut renewed = clock::monotonic();
    let mut looked: Option<Monotonic> = None;
    loop {
        let wait = if engine.store.health().readiness().is_ok() { RENEW } else { RETRY };
        if clock::monotonic().since(renewed) >= wait {
            renewed = clock::monotonic();
            // The store's health notes the outcome.
            drop(engine.store.probe_write(clock::now()));
            drop(engine.choose_pagers(clock::now()));
        }
        let now = clock::now();
        if engine.settle_due(now) {
            // Tried again in a while; the store's health notes the outcome.
            drop(engine.settle_within(now, false, TURN_US));
        }
        let mut wait = wait;
        if engine.watch_due(now) {
            let rest = LOOK.saturating_sub(looked.map_or(LOOK, |at| clock::monotonic().since(at)));
            if rest.is_zero() {
                looked = Some(clock::monotonic());
                // Tried again in a second; the store's health notes the outcome.
                if engine.watch(now).is_ok() {
                    engine.shared.pulses.watched.beat();
                }
            } else {
                wait = wait.min(rest);
            }
        }
        let dues = [engine.next_settle(), engine.next_watch()].into_iter().flatten();
        let wait = dues.map(|due| until(due, now)).fold(wait, Duration::min);
        let command = match held.take().map_or_else(|| queue.recv_timeout(wait), Ok) {
            Ok(command) => command,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match command {
            Command::Ingest(job, reply, permit) => {
                let mut group = vec![(reply, permit)];
                let mut records = job.batch.entries.len();
                let mut jobs = vec![job];
                while jobs.len() < GROUP_BATCHES_MAX && records < GROUP_RECORDS_MAX {
                    match queue.try_recv() {
                        Ok(Command::Ingest(job, reply, permit)) => {
                            records += job.batch.entries.len();
                            jobs.push(job);
                            group.push((reply, permit));
                        }
                        Ok(other @ (Command::Run(_) | Command::Stop)) => {
                            held = Some(other);
                            break;
                        }
                        Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                    }
                }
                let outcomes = engine.ingest(jobs).ok();
                for (index, (reply, _permit)) in group.into_iter().enumerate() {
                    reply(outcomes.as_ref().and_then(|outcomes| outcomes.get(index)).copied());
                }
            }
            Command::Run(work) => work(&mut engine),
            Command::Stop => break,
        }
    }
    match engine.settle_within(clock::now(), true, STOP_US) {
        Ok(_) if engine.next_settle().is_some() => {
            tracing::info!("what late data changed is written down in part; the rest after the next start");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!("what late data changed is written down after the next start: {error}"),
    }
    if let Err(error) = engine.store.checkpoint() {
        tracing::warn!("the write-ahead log stays beside the database: {error}");
    }
}
