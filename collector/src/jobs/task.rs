//! The runner: one task that has jobs handed out, runs each as a task of its own, and has written down what became of each.
//!
//! It turns when the bell rings, when a job is due, when an attempt ends, and now and then. A handler that panics is an attempt that failed; one that takes longer than
//! its kind may is told to stop, and is left after [`GRACE`]. Its place is free once nothing of it goes on: a thread that it began holds a [`Work`].
//!
//! Shutdown: nothing new is handed out; what runs is told to stop and has [`DRAIN`] for it. What does not waits again after the next start. So a lease that the next
//! start finds is that of a process that died.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
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
use super::handlers::{Finished, Handler, Outcome, Unfinished, Work, handler};
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
    let (out, over, marks) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut runner = Runner { app, setup, complained: BTreeSet::new(), out, over, marks };
    let (mut swept, mut forgot) = (clock::monotonic(), clock::monotonic());
    loop {
        bell.mark_unchanged();
        let now = clock::monotonic();
        let sweep = now.since(swept) >= TURN_EVERY;
        if sweep {
            swept = now;
        }
        let wait = match runner.turn(Given { take: true, sweep, ..Given::default() }).await {
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
        // Those that end at about the same time are written down in one turn: each costs a transaction.
        tokio::task::yield_now().await;
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
    if let Turned::Failed = runner.turn(Given { last: true, ..Given::default() }).await {
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
    /// How far those came that are over.
    marks: Vec<(Bucket, JobId, String)>,
}

impl Runner {
    async fn turn(&mut self, mut given: Given) -> Turned {
        let over = std::mem::take(&mut self.over);
        // What is over and not written down is leased still.
        given.marks = std::mem::take(&mut self.marks);
        let mut taken = Vec::new();
        for (id, (bucket, kind, live)) in &self.out {
            given.out.insert(*id, (*bucket, *kind));
            let mark = live.take_mark();
            if live.has_lines() || mark.is_some() {
                let lines = live.take();
                taken.push((Arc::clone(live), lines.len(), mark.clone()));
                given.lines.push((*bucket, *id, lines));
                given.marks.extend(mark.map(|mark| (*bucket, *id, mark)));
            }
        }
        let (setup, kept) = (Arc::clone(&self.setup), given.marks.clone());
        let turned =
            self.app.writer().run(move |engine| engine.take_job_turn(over, &given, &setup, clock::now())).await;
        match turned {
            Err(_) => Turned::Gone,
            Ok(Err((_, over))) => {
                self.over = over;
                for (live, lines, mark) in taken {
                    live.give_back(lines);
                    mark.into_iter().for_each(|mark| live.give_mark_back(mark));
                }
                self.marks = kept.into_iter().filter(|(_, id, _)| !self.out.contains_key(id)).collect();
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
        let (app, setup) = (self.app.clone(), Arc::clone(&self.setup));
        let ending = ending.clone();
        tasks.spawn(job.kind.as_str(), async move {
            let limit = job.kind.spec().limit;
            let over = attempt(handler(job.kind), app, setup, job, live, (limit, GRACE)).await;
            // A runner that is gone leaves the lease to the next start.
            drop(ending.send(over));
        });
    }

    fn note(&mut self, over: Over) {
        if let Some((bucket, _, live)) = self.out.remove(&over.job.id) {
            self.marks.extend(live.take_mark().map(|mark| (bucket, over.job.id, mark)));
        }
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

/// Makes one attempt, within a limit and the time that it may take to stop after that.
async fn attempt(
    handler: Handler,
    app: App,
    setup: Arc<Setup>,
    job: Job,
    live: Arc<Live>,
    (limit, grace): (Duration, Duration),
) -> Over {
    let started = clock::monotonic();
    let (place, mut left) = mpsc::channel::<()>(1);
    let work = Work { app, job: job.clone(), setup, stop: live.stopping(), live: Arc::clone(&live), _place: place };
    // A job that its handler cannot digest must not end the collector, and again after each start.
    let mut run = Box::pin(AssertUnwindSafe(handler(work)).catch_unwind());
    let outcome = match tokio::time::timeout(limit, run.as_mut()).await {
        Ok(outcome) => outcome,
        Err(_) => {
            live.stop();
            // What it says after that is late.
            drop(tokio::time::timeout(grace, run.as_mut()).await);
            Ok(Err(Unfinished::Failed(Said::TooLong { seconds: limit.as_secs() }.into())))
        }
    };
    drop(run);
    // A thread of it may go on: another attempt beside it would meet it at the same files.
    left.recv().await;
    let outcome: Outcome = outcome.unwrap_or_else(|_| Err(Unfinished::Failed(Said::Panicked.into())));
    let (ended, note, file) = match outcome {
        Ok(Finished { note, file }) => (Ended::Done, note, file),
        Err(Unfinished::Failed(why)) => (Ended::Failed, why, None),
        Err(Unfinished::Refused(why)) => (Ended::Refused, why, None),
        Err(Unfinished::Stopped) if live.was_stopped() => (Ended::Interrupted, String::new(), None),
        // Taken at its word it would be run again at once, for ever.
        Err(Unfinished::Stopped) => (Ended::Failed, Said::NotStopped.into(), None),
    };
    let took_us = clock::monotonic().us_since(started);
    Over { job, ended, note, progress: live.progressed().0, file, lines: live.take(), took_us }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

    use super::super::Ask;
    use super::*;

    /// What a thread of the first attempt waits for.
    static RELEASE: std::sync::Mutex<Option<std_mpsc::Receiver<()>>> = std::sync::Mutex::new(None);

    /// Leaves a thread behind that hears of no stop.
    fn stubborn(work: Work) -> futures_util::future::BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let release = RELEASE.lock().unwrap().take().unwrap();
            let held = work.clone();
            let thread = tokio::task::spawn_blocking(move || {
                release.recv().unwrap();
                drop(held);
            });
            drop(thread.await);
            Ok(Finished::default())
        })
    }

    /// The defect: an attempt that took too long was over while its thread wrote on, and the next one began beside it.
    #[tokio::test]
    async fn an_attempt_that_takes_too_long_keeps_its_place_until_nothing_of_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let app = App::open_still(dir.path(), clock::now()).unwrap();
        let ask = Ask::own(Kind::Backup);
        let job = app.writer().run(move |engine| engine.enqueue(&[ask], clock::now()).unwrap().remove(0).job);
        let job = job.await.unwrap();
        let live = app.shared().jobs.enter(&job);
        let (release, released) = std_mpsc::channel();
        *RELEASE.lock().unwrap() = Some(released);
        let limits = (Duration::from_millis(1), Duration::from_millis(1));
        let mut attempt = Box::pin(attempt(stubborn, app.clone(), Arc::default(), job, Arc::clone(&live), limits));
        // It was told to stop, and left.
        let mut stop = live.stopping();
        tokio::select! {
            over = &mut attempt => panic!("over while its thread goes on: {over:?}"),
            stopped = stop.wait_for(|stop| *stop) => drop(stopped.unwrap()),
        }
        for _ in 0..50 {
            tokio::select! {
                biased;
                over = &mut attempt => panic!("over while its thread goes on: {over:?}"),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
        release.send(()).unwrap();
        let over = attempt.await;
        assert!(over.ended == Ended::Failed && over.note.contains("too_long"), "{over:?}");
        app.close().await;
    }
}
