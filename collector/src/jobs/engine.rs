//! The queue's part of the engine: a turn of the runner, and what people do to jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use sitepulse_model::id::Bucket;
use sitepulse_model::job::{Ended, JobId, Priority, Rank, State};
use sitepulse_model::time::UtcMicros;

use super::{Ask, Handler, Job, Kind, Line, Said};
use crate::app::AppError;
use crate::engine::Engine;
use crate::failpoint;
use crate::seal::task::Life;
use crate::store::jobs::{self as stored, Enqueued};
use crate::store::{StoreError, Tables};

/// Most jobs that run at a time, over all kinds.
pub(crate) const RUNNING_MAX: usize = 96;
/// Most jobs that become ready in one turn: bounds how long others wait for the writer.
const PROMOTED_MAX: usize = 2_000;
/// Most jobs that are let go in one turn, of a kind and a state.
const FORGOTTEN_MAX: usize = 1_000;
/// How long jobs that are over are kept at most, in microseconds: 30 d.
const KEPT_US: i64 = 30 * 86_400 * 1_000_000;

/// What the configuration says of the work, and what comes again by itself.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// When results are sealed, and how long what is kept.
    pub life: Life,
    /// How long the audit log is kept, in microseconds; `None`: for ever.
    pub audit_us: Option<u64>,
    /// What comes again by itself, so long after its last round was over.
    pub every: Vec<(Kind, Duration)>,
    /// Who makes stored reports: the half that presents figures.
    pub sla_report: Option<Handler>,
    /// What rounds of sealing know of each other.
    pub(crate) rounds: crate::seal::task::SharedRounds,
}

impl Setup {
    /// With what comes again by itself, the rest as if nothing was configured.
    pub fn repeating(every: Vec<(Kind, Duration)>) -> Self {
        Self { every, ..Self::default() }
    }

    /// How long after a round of this kind is over the next one is due; `None`: it does not come by itself.
    pub fn every(&self, kind: Kind) -> Option<Duration> {
        self.every.iter().find(|(of, _)| *of == kind).map(|(_, every)| *every)
    }
}

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Over {
    /// The job as it was handed out.
    pub job: Job,
    /// How it ended.
    pub ended: Ended,
    /// What it came to, or why it failed.
    pub note: String,
    /// How much was done, in thousandths.
    pub progress: u16,
    /// A file that it made.
    pub file: Option<String>,
    /// The rest of its log.
    pub lines: Vec<Line>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// What goes into a turn beside the attempts that are over.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The jobs that run, which are not over.
    pub out: BTreeMap<JobId, (Bucket, Kind)>,
    /// Lines of their logs.
    pub lines: Vec<(Bucket, JobId, Vec<Line>)>,
    /// How far jobs came, those that are over too.
    pub marks: Vec<(Bucket, JobId, String)>,
    /// Whether leases that nobody holds are looked for.
    pub sweep: bool,
    /// Whether jobs are handed out.
    pub take: bool,
    /// Whether the runner ends: so do all leases, and what did not stop in time waits again.
    pub last: bool,
}

/// What a turn came to.
#[derive(Debug, Default)]
pub struct Turn {
    /// Jobs that are to be run now.
    pub handed: Vec<Job>,
    /// What the attempts that were over left their jobs in, in their order; `None`: somebody else has the job, or it is gone.
    pub states: Vec<Option<State>>,
    /// When the next job is due that waits for its instant.
    pub next: Option<UtcMicros>,
}

/// The best of what is ready, by rank, of each kind as many as it has room for and `total` together. `heads` are the best of each kind, by rank.
pub(crate) fn choose(heads: Vec<Vec<(Rank, JobId)>>, total: usize) -> Vec<JobId> {
    let mut all: Vec<(Rank, JobId)> = heads.into_iter().flatten().collect();
    all.sort_unstable();
    all.truncate(total);
    all.into_iter().map(|(_, id)| id).collect()
}

impl Engine {
    /// A turn of the runner, in one transaction: what became of the attempts that are over is written down, leases that nobody holds end, and what is due is handed
    /// out and leased, the best rank first, of each kind as many as it has room for.
    ///
    /// # Errors
    /// When the store fails: nothing is handed out, nothing is written down, and `over` comes back.
    pub fn take_job_turn(
        &mut self,
        over: Vec<Over>,
        given: &Given,
        setup: &Setup,
        now: UtcMicros,
    ) -> Result<(Turn, Vec<Over>), (StoreError, Vec<Over>)> {
        match self.try_job_turn(&over, given, setup, now) {
            Ok(turn) => {
                failpoint::pass("jobs.turned");
                Ok((turn, over))
            }
            Err(error) => Err((error, over)),
        }
    }

    fn try_job_turn(
        &mut self,
        over: &[Over],
        given: &Given,
        setup: &Setup,
        now: UtcMicros,
    ) -> Result<Turn, StoreError> {
        let idle = over.is_empty() && given.lines.is_empty() && given.marks.is_empty() && !given.last;
        if idle && !given.take && !given.sweep {
            return Ok(Turn::default());
        }
        // Most turns of a quiet queue find nothing, and need no transaction.
        if idle && nothing_to_do(self.store.read(), given, setup, now)? {
            return Ok(Turn { next: stored::next_later(self.store.read())?, ..Turn::default() });
        }
        self.store.write(|tables| {
            let mut turn = Turn::default();
            for (bucket, id, lines) in &given.lines {
                stored::log(tables, *bucket, *id, lines)?;
            }
            for (bucket, id, mark) in &given.marks {
                stored::mark(tables, *bucket, *id, mark)?;
            }
            for over in over {
                turn.states.push(end(tables, over, setup, now)?);
            }
            if given.last {
                sweep(tables, &BTreeMap::new(), Ended::Interrupted, now)?;
            }
            if given.sweep {
                sweep(tables, &given.out, Ended::Interrupted, now)?;
                come_again(tables, setup, now)?;
            }
            if given.take {
                stored::promote(tables, now, PROMOTED_MAX)?;
                turn.handed = hand_out(tables, &given.out, now)?;
            }
            turn.next = stored::next_later(tables)?;
            failpoint::pass("jobs.turn");
            Ok(turn)
        })
    }

    /// What a process leased that died waits again, and what comes by itself is asked for: at the start of the runner. How many leases ended. A process that was
    /// stopped left none.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn begin_jobs(&mut self, setup: &Setup, now: UtcMicros) -> Result<usize, StoreError> {
        self.store.write(|tables| {
            let ended = sweep(tables, &BTreeMap::new(), Ended::Died, now)?;
            for (kind, _) in &setup.every {
                stored::enqueue(tables, &Ask::own(*kind), now)?;
            }
            Ok(ended)
        })
    }

    /// Lets go of what is over and too old, or beyond what is kept of its kind. Whether there may be more.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn forget_jobs(&mut self, now: UtcMicros) -> Result<bool, StoreError> {
        let before = now.plus_us(-KEPT_US);
        let mut more = false;
        for &kind in Kind::QUEUED {
            let kept = kind.spec().kept;
            let gone = self.store.write(|tables| stored::forget(tables, kind, kept, before, FORGOTTEN_MAX))?;
            more |= gone >= FORGOTTEN_MAX;
        }
        Ok(more)
    }

    /// Asks for a job that somebody wants, and tells the runner.
    ///
    /// # Errors
    /// When too many of its kind wait, or it cannot be written.
    pub fn ask_for_job(&mut self, ask: &Ask, now: UtcMicros) -> Result<Enqueued, AppError> {
        let most = ask.kind.spec().waiting;
        let asked = self.store.write(|tables| {
            // Where one waits for the same thing nothing is added.
            let joins = ask.key.is_some() && stored::is_open(tables, ask)?;
            if !joins && stored::is_full(tables, ask.kind, most)? {
                return Ok(None);
            }
            stored::enqueue(tables, ask, now).map(Some)
        })?;
        let kind = ask.kind.as_str();
        let full = || {
            AppError::Conflict(format!(
                "{most} jobs of the kind {kind} wait already: ask again when some are done, or cancel some \
                 (`sitepulse-collector jobs --state waiting --kind {kind}` lists them)"
            ))
        };
        let asked = asked.ok_or_else(full)?;
        self.shared.jobs.wake();
        Ok(asked)
    }

    /// Asks for jobs, and tells the runner.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn enqueue(&mut self, asks: &[Ask], now: UtcMicros) -> Result<Vec<Enqueued>, StoreError> {
        let asked = self
            .store
            .write(|tables| asks.iter().map(|ask| stored::enqueue(tables, ask, now)).collect::<Result<Vec<_>, _>>())?;
        self.shared.jobs.wake();
        Ok(asked)
    }

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn jobs(&self, wanted: &stored::Wanted, most: usize) -> Result<Vec<Job>, StoreError> {
        stored::list(self.store.read(), wanted, most)
    }

    /// A job's log, the oldest line first; of more than `most` the newest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn job_log(&self, job: &Job, most: usize) -> Result<Vec<Line>, StoreError> {
        stored::lines(self.store.read(), job.bucket, job.id, most)
    }

    /// Changes a job that is there, or the one that `change` puts in its place, and writes down who did.
    fn change_job(
        &mut self,
        id: JobId,
        now: UtcMicros,
        told: Said,
        change: impl FnOnce(Tables<'_>, &mut Job) -> Result<Result<(), AppError>, StoreError>,
    ) -> Result<Job, AppError> {
        let changed = self.store.write(|tables| {
            let Some(mut job) = stored::one(tables, id)? else {
                return Ok(Err(AppError::NotFound(format!(
                    "there is no job {id}: those that are over are kept for a while only"
                ))));
            };
            if let Err(error) = change(tables, &mut job)? {
                return Ok(Err(error));
            }
            stored::save(tables, &job, now)?;
            stored::log(tables, job.bucket, job.id, &[Line { at: now, epoch: 0, text: told.into() }])?;
            Ok(Ok(job))
        })?;
        self.shared.jobs.wake();
        changed
    }

    /// Takes a job back: at once where it waits, else it is told to end.
    ///
    /// # Errors
    /// When there is no such job, or it is over.
    pub fn cancel_job(&mut self, id: JobId, author: &str, now: UtcMicros) -> Result<Job, AppError> {
        let job = self.change_job(id, now, Said::Cancelled { by: author.to_owned() }, |_, job| {
            let state = job.standing.state;
            if !job.standing.cancel() {
                return Ok(Err(AppError::Conflict(format!("job {id} is over already: it is {}", state.as_str()))));
            }
            if job.standing.state.is_over() {
                job.ended = Some(now);
            }
            Ok(Ok(()))
        })?;
        if job.standing.state == State::Running {
            self.shared.jobs.stop(id);
        }
        Ok(job)
    }

    /// Takes a job up again that failed or was cancelled, or waits to be tried again: now, with all its tries. Where another one of its kind and key waits, as the next
    /// round of what comes by itself always does, that one's instant comes now, and it is handed back.
    ///
    /// # Errors
    /// When there is no such job, it is not in such a state, or another one of its kind and key runs.
    pub fn retry_job(&mut self, id: JobId, author: &str, now: UtcMicros) -> Result<Job, AppError> {
        self.change_job(id, now, Said::TakenUp { by: author.to_owned() }, |tables, job| {
            let state = job.standing.state;
            if matches!(state, State::Failed | State::Cancelled)
                && let Some(twin) = stored::twin(tables, job, now)?
            {
                if twin.standing.state == State::Running {
                    let what = "another job of its kind for the same thing runs already: that one does it";
                    return Ok(Err(AppError::Conflict(what.into())));
                }
                let priority = job.standing.priority;
                *job = twin;
                // One that waits to be tried again, or is held back, is taken up as any other.
                if job.standing.tries == 0 && job.standing.held.is_none() {
                    job.standing.join(priority, now);
                    return Ok(Ok(()));
                }
            }
            if !job.standing.retry(now) {
                return Ok(Err(AppError::Conflict(format!(
                    "job {id} is {}: only what failed or was cancelled can be taken up again",
                    state.as_str()
                ))));
            }
            job.ended = None;
            job.progress = 0;
            // From its beginning.
            job.mark = None;
            // A deadline that has passed would say nothing any more.
            job.deadline = job.deadline.filter(|deadline| *deadline > now);
            Ok(Ok(()))
        })
    }

    /// Gives a job that waits another priority.
    ///
    /// # Errors
    /// When there is no such job, or it does not wait.
    pub fn prioritise_job(
        &mut self,
        id: JobId,
        priority: Priority,
        author: &str,
        now: UtcMicros,
    ) -> Result<Job, AppError> {
        let told = Said::Priority { priority: priority.get(), by: author.to_owned() };
        self.change_job(id, now, told, |_, job| {
            let state = job.standing.state;
            if !job.standing.prioritise(priority) {
                return Ok(Err(AppError::Conflict(format!(
                    "job {id} is {}: only what waits has a place in the order",
                    state.as_str()
                ))));
            }
            Ok(Ok(()))
        })
    }
}

fn nothing_to_do(tables: Tables<'_>, given: &Given, setup: &Setup, now: UtcMicros) -> Result<bool, StoreError> {
    if given.take {
        if stored::any_to_promote(tables, now)? {
            return Ok(false);
        }
        for &kind in Kind::QUEUED {
            if room(&given.out, kind) > 0 && stored::any_ready(tables, kind)? {
                return Ok(false);
            }
        }
    }
    if given.sweep {
        for (kind, _) in &setup.every {
            if !stored::is_open(tables, &Ask::own(*kind))? {
                return Ok(false);
            }
        }
        return Ok(stored::running_ids(tables)?.iter().all(|id| given.out.contains_key(id)));
    }
    Ok(true)
}

/// What comes by itself is asked for, where its last round was taken back.
fn come_again(tables: Tables<'_>, setup: &Setup, now: UtcMicros) -> Result<(), StoreError> {
    for (kind, every) in &setup.every {
        let ask = Ask::own(*kind);
        if !stored::is_open(tables, &ask)? {
            let next = now.plus_us(i64::try_from(every.as_micros()).unwrap_or(i64::MAX));
            stored::enqueue(tables, &Ask { not_before: Some(next), ..ask }, now)?;
        }
    }
    Ok(())
}

/// For how many more jobs a kind has room.
fn room(out: &BTreeMap<JobId, (Bucket, Kind)>, kind: Kind) -> usize {
    let running = out.values().filter(|(_, of)| *of == kind).count();
    let free = RUNNING_MAX.saturating_sub(out.len());
    kind.spec().rules.concurrency.saturating_sub(running).min(free)
}

fn hand_out(tables: Tables<'_>, out: &BTreeMap<JobId, (Bucket, Kind)>, now: UtcMicros) -> Result<Vec<Job>, StoreError> {
    let mut found: BTreeMap<JobId, Job> = BTreeMap::new();
    let mut heads = Vec::new();
    for &kind in Kind::QUEUED {
        let room = room(out, kind);
        if room == 0 {
            continue;
        }
        let best = stored::ready(tables, kind, room, now)?;
        heads.push(best.iter().map(|job| (job.standing.rank(), job.id)).collect());
        found.extend(best.into_iter().map(|job| (job.id, job)));
    }
    let mut handed = Vec::new();
    for id in choose(heads, RUNNING_MAX.saturating_sub(out.len())) {
        let Some(mut job) = found.remove(&id) else { continue };
        if job.standing.start(now) {
            job.started = Some(now);
            job.first_started = job.first_started.or(Some(now));
            stored::save(tables, &job, now)?;
            handed.push(job);
        }
    }
    Ok(handed)
}

/// Writes down what became of an attempt, unless its lease is over; what comes by itself is asked for again.
fn end(tables: Tables<'_>, over: &Over, setup: &Setup, now: UtcMicros) -> Result<Option<State>, StoreError> {
    let Some(mut job) = stored::at(tables, over.job.bucket, over.job.id)? else { return Ok(None) };
    let rules = job.kind.spec().rules;
    let tries = job.standing.tries;
    if !job.standing.end(job.id, over.job.standing.epoch, over.ended, rules, now) {
        return Ok(None);
    }
    job.progress = if job.standing.state == State::Done { 1000 } else { over.progress };
    job.note.clone_from(&over.note);
    job.file = over.file.clone().or(job.file);
    let mut lines = over.lines.clone();
    if job.standing.state.is_over() {
        job.ended = Some(now);
    } else if job.standing.tries > tries {
        let again = sitepulse_daemon::instant::format(job.standing.due);
        let text = Said::again(again, &over.note).into();
        lines.push(Line { at: now, epoch: job.standing.epoch, text });
    }
    stored::save(tables, &job, now)?;
    stored::log(tables, job.bucket, job.id, &lines)?;
    if let (true, Some(every), Some("")) = (job.standing.state.is_over(), setup.every(job.kind), job.key.as_deref()) {
        let next = now.plus_us(i64::try_from(every.as_micros()).unwrap_or(i64::MAX));
        stored::enqueue(tables, &Ask { not_before: Some(next), ..Ask::own(job.kind) }, now)?;
    }
    Ok(Some(job.standing.state))
}

/// Leases that nobody holds end: what they were of waits again, or is given up where it may be what kills. How many did.
fn sweep(
    tables: Tables<'_>,
    out: &BTreeMap<JobId, (Bucket, Kind)>,
    how: Ended,
    now: UtcMicros,
) -> Result<usize, StoreError> {
    let mut ended = 0;
    for mut job in stored::running(tables, now)? {
        if out.contains_key(&job.id) {
            continue;
        }
        let epoch = job.standing.epoch;
        if job.standing.end(job.id, epoch, how, job.kind.spec().rules, now) {
            let said = interrupted(&job, how);
            let text = String::from(said.clone());
            if job.standing.state.is_over() {
                job.ended = Some(now);
            }
            if job.standing.state == State::Failed {
                job.note.clone_from(&text);
                tracing::error!(id = %job.id, kind = job.kind.as_str(), "job FAILED and is not tried again by itself: {said}");
            }
            stored::log(tables, job.bucket, job.id, &[Line { at: now, epoch, text }])?;
            stored::save(tables, &job, now)?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// Why a lease ended that nobody holds, for the log of its job.
fn interrupted(job: &Job, how: Ended) -> Said {
    let deaths = job.standing.deaths;
    match how {
        Ended::Died if job.standing.state == State::Failed => Said::Deadly { deaths },
        Ended::Died => Said::Died { deaths, held: job.standing.held.map(sitepulse_daemon::instant::format) },
        Ended::Done | Ended::Failed | Ended::Refused | Ended::Cancelled | Ended::Interrupted => Said::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_rank_of_all_kinds_goes_first() {
        let heads =
            vec![vec![(Rank(5), JobId(1)), (Rank(9), JobId(2))], vec![(Rank(1), JobId(3)), (Rank(7), JobId(4))]];
        assert_eq!(choose(heads.clone(), 3), [JobId(3), JobId(1), JobId(4)]);
        assert_eq!(choose(heads, 0), []);
    }
}
