//! The runner: one task that has jobs handed out, runs each as a task of its own, and has written down what became of each.
//!
//! It turns when the bell rings, when a job is due, when an attempt ends, and now and then. A handler that panics is an attempt that failed; one that takes longer than
//! its kind may is told to stop, and is left behind after [`GRACE`].
//!
//! Shutdown: nothing new is handed out; what runs is told to stop and has [`DRAIN`] for it. What does not stays leased, and waits again after the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sitepulse_daemon::clock;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::id::Bucket;
use sitepulse_model::job::{Ended, JobId, State};
use sitepulse_model::time::UtcMicros;
use tokio::sync::{mpsc, watch};

use super::engine::{Given, Over, Setup, Turn};
use super::handlers::{Finished, Outcome, Unfinished, Work, handler};
use super::live::Live;
use super::{Job, Kind, Said};
use crate::app::App;

/// How often it turns where nothing happens: leases that nobody holds are looked for, and a clock that was set is noticed.
const TURN_EVERY: Duration = Duration::from_secs(5);
/// How often lines of logs are written while jobs run.
const LINES_EVERY: Duration = Duration::from_secs(1);
/// How often jobs are looked for that are kept no longer.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How long a store that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// How long a handler that was told to stop, for it took too long, may take for that.
const GRACE: Duration = Duration::from_secs(5);
/// How long what runs may take to stop at shutdown.
const DRAIN: Duration = Duration::from_secs(3);

/// Runs jobs until `stopping` turns true or the writer is gone. Handlers are tasks of `tasks`.
pub async fn run(app: App, setup: Setup, tasks: TaskSet, mut stopping: watch::Receiver<bool>) {
    let setup = Arc::new(setup);
    if !begin(&app, &setup, &mut stopping).await {
        return;
    }
    let mut bell = app.shared().jobs.subscribe();
    let (ending, mut ended) = mpsc::unbounded_channel::<Over>();
    let mut runner = Runner { app, setup, complained: BTreeSet::new(), out: BTreeMap::new(), over: Vec::new() };
    let (mut swept, mut forgot) = (clock::monotonic(), clock::monotonic());
    loop {
        bell.mark_unchanged();
        let now = clock::monotonic();
        let sweep = now.since(swept) >= TURN_EVERY;
        if sweep {
            swept = now;
        }
        let wait = match runner.turn(true, sweep).await {
            Turned::Gone => return,
            Turned::Failed => RETRY,
            Turned::Done(turn) => {
                for job in turn.handed {
                    runner.start(job, &tasks, &ending);
                }
                let most = if runner.out.is_empty() { TURN_EVERY } else { LINES_EVERY };
                turn.next.map_or(most, |next| until(next).min(most))
            }
        };
        if now.since(forgot) >= FORGET_EVERY {
            // What could not go goes the next time.
            if !matches!(runner.app.writer().run(|engine| engine.forget_jobs(clock::now())).await, Ok(Ok(true))) {
                forgot = now;
            }
        }
        tokio::select! {
            Some(over) = ended.recv() => runner.note(over),
            Ok(()) = bell.changed() => {}
            () = tokio::time::sleep(wait) => {}
            _ = stopping.wait_for(|stop| *stop) => break,
        }
        while let Ok(over) = ended.try_recv() {
            runner.note(over);
        }
    }
    runner.app.shared().jobs.stop_all();
    let rest = async {
        while !runner.out.is_empty() {
            match ended.recv().await {
                Some(over) => runner.note(over),
                None => return,
            }
        }
    };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        let left = runner.out.len();
        tracing::info!("{left} jobs did not stop in time: they are run again after the next start");
    }
    if let Turned::Failed = runner.turn(false, false).await {
        let left = runner.over.len();
        tracing::warn!("{left} jobs ended and cannot be noted: they are run once more after the next start");
    }
}

/// Ends what a dead process leased, and asks for what comes by itself. `false`: the program ends.
async fn begin(app: &App, setup: &Arc<Setup>, stopping: &mut watch::Receiver<bool>) -> bool {
    loop {
        let given = Arc::clone(setup);
        match app.writer().run(move |engine| engine.begin_jobs(&given, clock::now())).await {
            Err(_) => return false,
            Ok(Ok(0)) => return true,
            Ok(Ok(ended)) => {
                tracing::info!("{ended} jobs were interrupted by the end of the last process: they wait again");
                return true;
            }
            // The store's health told of it.
            Ok(Err(_)) => tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                _ = stopping.wait_for(|stop| *stop) => return false,
            },
        }
    }
}

/// How long until an instant: a little at least, so that a clock that stands does not spin.
fn until(due: UtcMicros) -> Duration {
    Duration::from_micros(due.us_since(clock::now()).max(0).unsigned_abs()).max(Duration::from_millis(10))
}

enum Turned {
    Done(Turn),
    /// The store takes no writes; what is over is kept for the next turn.
    Failed,
    /// The writer is gone.
    Gone,
}

struct Runner {
    app: App,
    /// Kinds that come by themselves and whose failure was told: once, until one of them goes well.
    complained: BTreeSet<Kind>,
    setup: Arc<Setup>,
    out: BTreeMap<JobId, (Bucket, Kind, Arc<Live>)>,
    over: Vec<Over>,
}

impl Runner {
    async fn turn(&mut self, take: bool, sweep: bool) -> Turned {
        let over = std::mem::take(&mut self.over);
        // What is over and not written down is leased still.
        let mut given = Given { take, sweep, ..Given::default() };
        let mut taken = Vec::new();
        for (id, (bucket, kind, live)) in &self.out {
            given.out.insert(*id, (*bucket, *kind));
            if live.has_lines() {
                let lines = live.take();
                taken.push((Arc::clone(live), lines.len()));
                given.lines.push((*bucket, *id, lines));
            }
        }
        let setup = Arc::clone(&self.setup);
        let turned =
            self.app.writer().run(move |engine| engine.take_job_turn(over, &given, &setup, clock::now())).await;
        match turned {
            Err(_) => Turned::Gone,
            Ok(Err((_, over))) => {
                self.over = over;
                taken.into_iter().for_each(|(live, count)| live.give_back(count));
                Turned::Failed
            }
            Ok(Ok((turn, over))) => {
                for (over, state) in over.iter().zip(&turn.states) {
                    self.tell(over, *state);
                }
                Turned::Done(turn)
            }
        }
    }

    fn start(&mut self, job: Job, tasks: &TaskSet, ending: &mpsc::UnboundedSender<Over>) {
        let live = self.app.shared().jobs.enter(&job);
        self.out.insert(job.id, (job.bucket, job.kind, Arc::clone(&live)));
        let work = Work {
            app: self.app.clone(),
            job: job.clone(),
            setup: Arc::clone(&self.setup),
            stop: live.stopping(),
            live: Arc::clone(&live),
        };
        let ending = ending.clone();
        tasks.spawn(job.kind.as_str(), async move {
            let over = attempt(job, work, live).await;
            // A runner that is gone leaves the lease to the next start.
            drop(ending.send(over));
        });
    }

    fn note(&mut self, over: Over) {
        self.out.remove(&over.job.id);
        self.over.push(over);
    }

    /// Tells of an attempt that is written down.
    fn tell(&mut self, over: &Over, state: Option<State>) {
        let shared = Arc::clone(self.app.shared());
        let desk = &shared.jobs;
        let (id, kind) = (over.job.id, over.job.kind);
        let note = Said::of(&over.note).map_or_else(|| over.note.clone(), |said| said.to_string());
        desk.leave(id);
        let failed = matches!(over.ended, Ended::Failed | Ended::Refused);
        desk.note(kind, |fared| {
            fared.runs += 1;
            fared.run_us += over.took_us;
            fared.attempts_failed += u64::from(failed);
            fared.done += u64::from(state == Some(State::Done));
            fared.failed += u64::from(state == Some(State::Failed));
        });
        let again = self.setup.every(kind).is_some();
        let kind_told = again && !self.complained.insert(kind);
        if !failed {
            self.complained.remove(&kind);
        }
        let kind = kind.as_str();
        match state {
            Some(State::Failed) if kind_told => {}
            Some(State::Failed) if again => {
                tracing::warn!(%id, kind, "failed, and is tried again with its next round: {note}")
            }
            Some(State::Failed) => tracing::error!(%id, kind, "job FAILED and is not tried again by itself: {note}"),
            Some(State::Waiting) if failed => tracing::warn!(%id, kind, "job failed, it is tried again: {note}"),
            Some(State::Cancelled) => tracing::info!(%id, kind, "job cancelled"),
            Some(State::Waiting | State::Running | State::Done) => tracing::debug!(%id, kind, "job: {note}"),
            None => tracing::error!(%id, kind, "a lease was lost: the job is run again"),
        }
    }
}

/// Makes one attempt.
async fn attempt(job: Job, work: Work, live: Arc<Live>) -> Over {
    let started = clock::monotonic();
    let limit = job.kind.spec().limit;
    // A job that its handler cannot digest must not end the collector, and again after each start.
    let mut run = pin!(AssertUnwindSafe(handler(job.kind)(work)).catch_unwind());
    let outcome = match tokio::time::timeout(limit, run.as_mut()).await {
        Ok(outcome) => outcome,
        Err(_) => {
            live.stop();
            // What it says after that is late.
            drop(tokio::time::timeout(GRACE, run).await);
            Ok(Err(Unfinished::Failed(Said::TooLong { seconds: limit.as_secs() }.into())))
        }
    };
    let outcome: Outcome = outcome
        .unwrap_or_else(|_| Err(Unfinished::Failed(String::from("internal error: the handler panicked, see the log"))));
    let (ended, note, file) = match outcome {
        Ok(Finished { note, file }) => (Ended::Done, note, file),
        Err(Unfinished::Failed(why)) => (Ended::Failed, why, None),
        Err(Unfinished::Refused(why)) => (Ended::Refused, why, None),
        Err(Unfinished::Stopped) => (Ended::Interrupted, String::new(), None),
    };
    let took_us = clock::monotonic().us_since(started);
    Over { job, ended, note, progress: live.progressed().0, file, lines: live.take(), took_us }
}
