//! The tables `job` and `job_log`. Functions that write are given the tables within a transaction, by [`super::Store::write`].
//!
//! A job that waits for its instant has a state of its own ([`LATER`]), and becomes [`READY`] once due: so the best of those that are due is the first entry of an
//! index, by kind and rank, and looking for it never passes over what cannot be run. The index is named where the planner would take the one of all states.
//!
//! Each index is one more page that an ask writes, which is most of what it costs. So there is none by id alone and none by lateness: who looks for these is a person, not the runner.

use std::sync::atomic::Ordering;

use rusqlite::{OptionalExtension as _, Row, params};
use sitepulse_model::id::{BUCKETS, Bucket};
use sitepulse_model::job::{JobId, Priority, Standing, State, late_at};
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::jobs::{Ask, Job, Kind, Line, clip};

mod unreadable;

use unreadable::{Rows, give_up, sort};

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "job", what: what.to_string() }
}

const LATER: u8 = 0;
const READY: u8 = 1;
const RUNNING: u8 = 2;
const DONE: u8 = 3;
const FAILED: u8 = 4;
const CANCELLED: u8 = 5;

fn code(standing: &Standing, now: UtcMicros) -> u8 {
    match standing.state {
        State::Waiting if standing.ready() > now => LATER,
        State::Waiting => READY,
        State::Running => RUNNING,
        State::Done => DONE,
        State::Failed => FAILED,
        State::Cancelled => CANCELLED,
    }
}

const fn codes(state: State) -> &'static [u8] {
    match state {
        State::Waiting => &[LATER, READY],
        State::Running => &[RUNNING],
        State::Done => &[DONE],
        State::Failed => &[FAILED],
        State::Cancelled => &[CANCELLED],
    }
}

fn state(code: u8) -> Result<State, StoreError> {
    match code {
        LATER | READY => Ok(State::Waiting),
        RUNNING => Ok(State::Running),
        DONE => Ok(State::Done),
        FAILED => Ok(State::Failed),
        CANCELLED => Ok(State::Cancelled),
        code => Err(bad(format!("state {code}"))),
    }
}

const COLUMNS: &str = "bucket, job_id, kind, dedupe, state, priority, due_us, tries, epoch, cancelling, asked_us, deadline_us, author, args, \
                       first_started_us, started_us, ended_us, progress, note, file, deaths, ready_us, mark";

fn read(row: &Row<'_>) -> Result<Job, StoreError> {
    let instant = |column: usize| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.map(UtcMicros));
    let kind: String = row.get(2)?;
    let (due, ready) = (UtcMicros(row.get(6)?), UtcMicros(row.get(21)?));
    Ok(Job {
        bucket: Bucket(row.get(0)?),
        id: JobId(row.get(1)?),
        kind: Kind::parse(&kind).ok_or_else(|| bad(format!("kind {kind:?}")))?,
        key: row.get(3)?,
        standing: Standing {
            state: state(row.get(4)?)?,
            priority: Priority::new(row.get(5)?).ok_or_else(|| bad("a priority above 1000"))?,
            due,
            tries: row.get(7)?,
            epoch: row.get(8)?,
            cancelling: row.get(9)?,
            deaths: row.get(20)?,
            held: Some(ready).filter(|ready| *ready > due),
        },
        asked: UtcMicros(row.get(10)?),
        deadline: instant(11)?,
        author: row.get(12)?,
        args: serde_json::from_str(&row.get::<_, String>(13)?).map_err(bad)?,
        first_started: instant(14)?,
        started: instant(15)?,
        ended: instant(16)?,
        progress: row.get(17)?,
        note: row.get(18)?,
        file: row.get(19)?,
        mark: row.get(22)?,
    })
}

/// What asking comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Enqueued {
    /// The job.
    pub job: Job,
    /// Whether it is a new one; else one of its kind and key waited or ran already.
    pub new: bool,
}

/// Asks for a job. Where one of its kind and key waits or runs, that one is handed back, with the higher priority, the earlier instant and the earlier deadline of both.
///
/// The runner is to be told once this is durable, by `Shared::jobs.wake()`; it looks every few seconds in any case.
///
/// # Errors
/// When the table cannot be read or written.
pub fn enqueue(tables: Tables<'_>, ask: &Ask, now: UtcMicros) -> Result<Enqueued, StoreError> {
    let spec = ask.kind.spec();
    let priority = ask.priority.unwrap_or(spec.priority);
    let due = ask.not_before.unwrap_or(now).max(now);
    if let Some(key) = &ask.key {
        let bucket = ask.bucket(JobId(0));
        let mut statement = tables.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM job WHERE bucket = ?1 AND kind = ?2 AND dedupe = ?3 AND state <= 2"
        ))?;
        let known = sort(statement.query(params![bucket.0, ask.kind.as_str(), key])?)?;
        give_up(tables, &known.unreadable, now)?;
        if let Some(mut job) = known.jobs.into_iter().next() {
            let mut changed = job.standing.join(priority, due);
            // Who asks again may be in more of a hurry.
            if let Some(deadline) = ask.deadline.filter(|asked| *asked < late_at(job.standing.due, job.deadline)) {
                job.deadline = Some(deadline);
                changed = true;
            }
            if changed {
                save(tables, &job, now)?;
            }
            return Ok(Enqueued { job, new: false });
        }
    }
    let id = next_id(tables, now)?;
    let deadline_us = |us: std::time::Duration| due.plus_us(i64::try_from(us.as_micros()).unwrap_or(i64::MAX));
    let job = Job {
        bucket: ask.bucket(id),
        id,
        kind: ask.kind,
        key: ask.key.clone(),
        standing: Standing::new(priority, due),
        asked: now,
        deadline: ask.deadline.or_else(|| spec.deadline.map(deadline_us)),
        author: ask.author.clone(),
        args: ask.args.clone(),
        first_started: None,
        started: None,
        ended: None,
        progress: 0,
        note: String::new(),
        file: None,
        mark: None,
    };
    let standing = &job.standing;
    tables
        .prepare_cached(
            "INSERT INTO job(bucket, job_id, kind, dedupe, state, priority, rank, due_us, late_us, tries, epoch, cancelling, asked_us, \
             deadline_us, author, args, progress, note, deaths, ready_us) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, ?10, ?11, ?12, ?13, 0, '', 0, ?8)",
        )?
        .execute(params![
            job.bucket.0,
            job.id.0,
            job.kind.as_str(),
            job.key,
            code(standing, now),
            standing.priority.get(),
            standing.rank().0,
            standing.due.0,
            late_at(standing.due, job.deadline).0,
            now.0,
            job.deadline.map(|at| at.0),
            job.author,
            job.args.to_string(),
        ])?;
    Ok(Enqueued { job, new: true })
}

/// The id of a new job: after every other's.
fn next_id(tables: Tables<'_>, now: UtcMicros) -> Result<JobId, StoreError> {
    let known = tables.newest_job.map_or(0, |newest| newest.load(Ordering::Relaxed));
    let newest = if known > 0 { Some(JobId(known)) } else { newest(tables)? };
    let id = JobId::next(newest, now);
    if let Some(newest) = tables.newest_job {
        // Also where the transaction comes to nothing: an id that is left out is none that is there twice.
        newest.store(id.0, Ordering::Relaxed);
    }
    Ok(id)
}

/// The newest job that there is.
fn newest(tables: Tables<'_>) -> Result<Option<JobId>, StoreError> {
    let mut of = tables.prepare_cached("SELECT max(job_id) FROM job WHERE bucket = ?1")?;
    let mut newest = None;
    for bucket in 0..BUCKETS {
        newest = newest.max(of.query_row(params![bucket], |row| row.get::<_, Option<i64>>(0))?);
    }
    Ok(newest.map(JobId))
}

/// Writes what of a job can change.
pub(crate) fn save(tables: Tables<'_>, job: &Job, now: UtcMicros) -> Result<(), StoreError> {
    let standing = &job.standing;
    tables
        .prepare_cached(
            "UPDATE job SET state = ?3, priority = ?4, rank = ?5, due_us = ?6, late_us = ?7, tries = ?8, epoch = ?9, cancelling = ?10, \
             first_started_us = ?11, started_us = ?12, ended_us = ?13, progress = ?14, note = ?15, file = ?16, deadline_us = ?17, deaths = ?18, \
             ready_us = ?19, mark = ?20 WHERE bucket = ?1 AND job_id = ?2",
        )?
        .execute(params![
            job.bucket.0,
            job.id.0,
            code(standing, now),
            standing.priority.get(),
            standing.rank().0,
            standing.due.0,
            late_at(standing.due, job.deadline).0,
            standing.tries,
            standing.epoch,
            standing.cancelling,
            job.first_started.map(|at| at.0),
            job.started.map(|at| at.0),
            job.ended.map(|at| at.0),
            job.progress,
            clip(&job.note),
            job.file,
            job.deadline.map(|at| at.0),
            standing.deaths,
            standing.ready().0,
            job.mark,
        ])?;
    Ok(())
}

/// How far a job that runs came: what its next attempt is handed, should this one be cut short.
pub(crate) fn mark(tables: Tables<'_>, bucket: Bucket, id: JobId, mark: &str) -> Result<(), StoreError> {
    tables
        .prepare_cached("UPDATE job SET mark = ?3 WHERE bucket = ?1 AND job_id = ?2")?
        .execute(params![bucket.0, id.0, mark])?;
    Ok(())
}

/// What waits of a kind is needed now: its instant comes at once. For who changes what it looks at, in the same transaction. Nothing where none waits: the next round of what
/// comes by itself is asked for as one ends, and one that runs is followed by it.
///
/// # Errors
/// When the table cannot be read or written.
pub fn hurry(tables: Tables<'_>, kind: Kind, now: UtcMicros) -> Result<(), StoreError> {
    let ask = Ask::own(kind);
    if is_open(tables, &ask)? {
        enqueue(tables, &ask, now)?;
    }
    Ok(())
}

/// Jobs whose instant has come are ready; whether there may be more than `limit`.
pub(crate) fn promote(tables: Tables<'_>, now: UtcMicros, limit: usize) -> Result<bool, StoreError> {
    let changed = tables
        .prepare_cached(&format!(
            "UPDATE job SET state = {READY} WHERE (bucket, job_id) IN \
             (SELECT bucket, job_id FROM job INDEXED BY job_later WHERE state = 0 AND ready_us <= ?1 ORDER BY ready_us LIMIT ?2)"
        ))?
        .execute(params![now.0, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    Ok(changed >= limit)
}

/// Whether a job's instant has come that is not ready yet.
pub(crate) fn any_to_promote(tables: Tables<'_>, now: UtcMicros) -> Result<bool, StoreError> {
    Ok(next_later(tables)?.is_some_and(|due| due <= now))
}

/// When the next job can be handed out that waits for its instant.
pub(crate) fn next_later(tables: Tables<'_>) -> Result<Option<UtcMicros>, StoreError> {
    let next: Option<i64> = tables
        .prepare_cached("SELECT min(ready_us) FROM job INDEXED BY job_later WHERE state = 0")?
        .query_row([], |row| row.get(0))?;
    Ok(next.map(UtcMicros))
}

/// Those that can be read: what people are shown is not all missing for one that cannot.
fn collect(rows: rusqlite::Rows<'_>) -> Result<Vec<Job>, StoreError> {
    Ok(sort(rows)?.jobs)
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The best jobs of a kind that are ready, by rank. What cannot be read is given up.
pub(crate) fn ready(tables: Tables<'_>, kind: Kind, most: usize, now: UtcMicros) -> Result<Vec<Job>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM job INDEXED BY job_ready WHERE state = 1 AND kind = ?1 ORDER BY rank, job_id LIMIT ?2"
    ))?;
    loop {
        let Rows { jobs, unreadable } = sort(statement.query(params![kind.as_str(), limit(most)])?)?;
        if unreadable.is_empty() {
            return Ok(jobs);
        }
        // They stood in the way of others.
        give_up(tables, &unreadable, now)?;
    }
}

/// Whether any job of a kind is ready.
pub(crate) fn any_ready(tables: Tables<'_>, kind: Kind) -> Result<bool, StoreError> {
    Ok(tables
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_ready WHERE state = 1 AND kind = ?1)")?
        .query_row(params![kind.as_str()], |row| row.get(0))?)
}

/// The jobs that are handed out. What cannot be read is given up.
pub(crate) fn running(tables: Tables<'_>, now: UtcMicros) -> Result<Vec<Job>, StoreError> {
    let mut statement = tables.prepare_cached(&format!("SELECT {COLUMNS} FROM job WHERE state = {RUNNING}"))?;
    let Rows { jobs, unreadable } = sort(statement.query([])?)?;
    give_up(tables, &unreadable, now)?;
    Ok(jobs)
}

/// Which jobs are handed out.
pub(crate) fn running_ids(tables: Tables<'_>) -> Result<Vec<JobId>, StoreError> {
    let mut statement = tables.prepare_cached(&format!("SELECT job_id FROM job WHERE state = {RUNNING}"))?;
    let ids = statement.query_map([], |row| row.get(0).map(JobId))?.collect::<Result<_, _>>()?;
    Ok(ids)
}

/// A job.
pub(crate) fn one(tables: Tables<'_>, id: JobId) -> Result<Option<Job>, StoreError> {
    for bucket in 0..BUCKETS {
        if let Some(job) = at(tables, Bucket(bucket), id)? {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// A job by its row's key.
pub(crate) fn at(tables: Tables<'_>, bucket: Bucket, id: JobId) -> Result<Option<Job>, StoreError> {
    let mut statement =
        tables.prepare_cached(&format!("SELECT {COLUMNS} FROM job WHERE bucket = ?1 AND job_id = ?2"))?;
    Ok(collect(statement.query(params![bucket.0, id.0])?)?.pop())
}

/// The other job of its kind and key that waits or runs. One that cannot be read is given up.
pub(crate) fn twin(tables: Tables<'_>, job: &Job, now: UtcMicros) -> Result<Option<Job>, StoreError> {
    let Some(key) = &job.key else { return Ok(None) };
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM job WHERE bucket = ?1 AND kind = ?2 AND dedupe = ?3 AND state <= 2 AND job_id <> ?4"
    ))?;
    let mut found = sort(statement.query(params![job.bucket.0, job.kind.as_str(), key, job.id.0])?)?;
    give_up(tables, &found.unreadable, now)?;
    Ok(found.jobs.pop())
}

/// Whether a job of an ask's kind and key waits or runs.
pub(crate) fn is_open(tables: Tables<'_>, ask: &Ask) -> Result<bool, StoreError> {
    Ok(tables
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM job WHERE bucket = ?1 AND kind = ?2 AND dedupe = ?3 AND state <= 2)",
        )?
        .query_row(params![ask.bucket(JobId(0)).0, ask.kind.as_str(), ask.key], |row| row.get(0))?)
}

/// Whether so many jobs of a kind wait, or more.
pub(crate) fn is_full(tables: Tables<'_>, kind: Kind, most: usize) -> Result<bool, StoreError> {
    let mut count = tables.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_by_state WHERE state = ?1 AND kind = ?2 LIMIT ?3)",
    )?;
    let mut waiting = 0_i64;
    for code in codes(State::Waiting) {
        waiting += count.query_row(params![code, kind.as_str(), limit(most)], |row| row.get::<_, i64>(0))?;
    }
    Ok(waiting >= limit(most))
}

/// Appends lines to a job's log.
pub(crate) fn log(tables: Tables<'_>, bucket: Bucket, id: JobId, lines: &[Line]) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let newest: i64 = tables
        .prepare_cached("SELECT coalesce(max(line), 0) FROM job_log WHERE bucket = ?1 AND job_id = ?2")?
        .query_row(params![bucket.0, id.0], |row| row.get(0))?;
    let mut insert = tables.prepare_cached(
        "INSERT INTO job_log(bucket, job_id, line, at_us, epoch, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (number, line) in (newest + 1..).zip(lines) {
        insert.execute(params![bucket.0, id.0, number, line.at.0, line.epoch, line.text])?;
    }
    Ok(())
}

/// A job's log, the oldest line first; of more than `most` the newest.
pub(crate) fn lines(tables: Tables<'_>, bucket: Bucket, id: JobId, most: usize) -> Result<Vec<Line>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT at_us, epoch, text FROM job_log WHERE bucket = ?1 AND job_id = ?2 ORDER BY line DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![bucket.0, id.0, limit(most)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(Line { at: UtcMicros(row.get(0)?), epoch: row.get(1)?, text: row.get(2)? });
    }
    out.reverse();
    Ok(out)
}

/// Which jobs are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// In this state; `None`: in any.
    pub state: Option<State>,
    /// Of this kind; `None`: of any.
    pub kind: Option<Kind>,
    /// Asked for before this one: the next page.
    pub after: Option<JobId>,
}

/// Jobs, the newest first.
pub(crate) fn list(tables: Tables<'_>, wanted: &Wanted, most: usize) -> Result<Vec<Job>, StoreError> {
    let after = wanted.after.map_or(i64::MAX, |id| id.0);
    let states = wanted.state.map_or_else(|| State::ALL.to_vec(), |state| vec![state]);
    let kinds = wanted.kind.map_or_else(|| Kind::QUEUED.to_vec(), |kind| vec![kind]);
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM job WHERE state = ?1 AND kind = ?2 AND job_id < ?3 ORDER BY job_id DESC LIMIT ?4"
    ))?;
    let mut out = Vec::new();
    for code in states.into_iter().flat_map(codes) {
        for kind in &kinds {
            out.extend(collect(statement.query(params![code, kind.as_str(), after, limit(most)])?)?);
        }
    }
    out.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
    out.truncate(most);
    Ok(out)
}

/// How many jobs of each kind are in each state.
pub(crate) fn counts(tables: Tables<'_>) -> Result<Vec<(Kind, State, u64)>, StoreError> {
    let mut statement = tables.prepare_cached("SELECT state, kind, count(*) FROM job GROUP BY state, kind")?;
    let mut rows = statement.query([])?;
    let mut out: Vec<(Kind, State, u64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        // Of another build's kinds this one tells nothing.
        let Some(kind) = Kind::parse(&kind) else { continue };
        let (state, count) = (state(row.get(0)?)?, row.get::<_, i64>(2)?.unsigned_abs());
        match out.iter_mut().find(|(of, at, _)| (*of, *at) == (kind, state)) {
            Some(known) => known.2 += count,
            None => out.push((kind, state, count)),
        }
    }
    Ok(out)
}

/// Jobs that are late, the latest first.
pub(crate) fn late(tables: Tables<'_>, now: UtcMicros, most: usize) -> Result<Vec<Job>, StoreError> {
    // Where many wait their indexes alone are read, and those that run are few.
    let mut late: Vec<(i64, u8, i64)> = Vec::new();
    for sql in [
        "SELECT late_us, bucket, job_id FROM job INDEXED BY job_ready WHERE state = 1 AND late_us < ?1",
        "SELECT late_us, bucket, job_id FROM job INDEXED BY job_later WHERE state = 0 AND late_us < ?1",
        "SELECT late_us, bucket, job_id FROM job INDEXED BY job_by_state WHERE state = 2 AND late_us < ?1",
    ] {
        let mut statement = tables.prepare_cached(sql)?;
        let found = statement.query_map(params![now.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for one in found {
            late.push(one?);
        }
    }
    late.sort_unstable();
    late.truncate(most);
    let jobs = late.into_iter().map(|(_, bucket, id)| at(tables, Bucket(bucket), JobId(id)));
    Ok(jobs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Jobs asked for since an instant that were given up, and what they are for was not done since by a later one, the newest first.
pub(crate) fn failed(tables: Tables<'_>, since: UtcMicros, most: usize) -> Result<Vec<Job>, StoreError> {
    let mut newest_done = tables
        .prepare_cached("SELECT max(job_id) FROM job WHERE state = 3 AND kind = ?1 AND (?2 IS NULL OR dedupe = ?2)")?;
    let mut out = Vec::new();
    for job in list(tables, &Wanted { state: Some(State::Failed), ..Wanted::default() }, most)? {
        if job.id.0 < since.0 {
            continue;
        }
        if let Some(key) = job.key.as_deref() {
            // Scores are of an hour, which their key names: what went well of a later one is what counts.
            let same = (job.kind != Kind::Impact).then_some(key);
            let done: Option<i64> = newest_done.query_row(params![job.kind.as_str(), same], |row| row.get(0))?;
            if done.is_some_and(|done| done > job.id.0) {
                continue;
            }
        }
        out.push(job);
    }
    Ok(out)
}

/// Lets go of jobs of a kind that are over: those beyond the newest `kept` of each state, and those asked for before an instant; at most about `most` of them.
/// How many went.
pub(crate) fn forget(
    tables: Tables<'_>,
    kind: Kind,
    kept: usize,
    before: UtcMicros,
    most: usize,
) -> Result<usize, StoreError> {
    let mut gone = 0;
    for code in [DONE, FAILED, CANCELLED] {
        let beyond: Option<i64> = tables
            .prepare_cached(
                "SELECT job_id FROM job WHERE state = ?1 AND kind = ?2 ORDER BY job_id DESC LIMIT 1 OFFSET ?3",
            )?
            .query_row(params![code, kind.as_str(), limit(kept)], |row| row.get(0))
            .optional()?;
        let upto = beyond.unwrap_or(0).max(before.0.saturating_sub(1));
        let mut statement = tables.prepare_cached(
            "SELECT bucket, job_id FROM job WHERE state = ?1 AND kind = ?2 AND job_id <= ?3 ORDER BY job_id LIMIT ?4",
        )?;
        let mut rows = statement.query(params![code, kind.as_str(), upto, limit(most)])?;
        let mut old: Vec<(u8, i64)> = Vec::new();
        while let Some(row) = rows.next()? {
            old.push((row.get(0)?, row.get(1)?));
        }
        for (bucket, id) in &old {
            for sql in [
                "DELETE FROM job_log WHERE bucket = ?1 AND job_id = ?2",
                "DELETE FROM job WHERE bucket = ?1 AND job_id = ?2",
            ] {
                tables.prepare_cached(sql)?.execute(params![bucket, id])?;
            }
        }
        gone += old.len();
    }
    Ok(gone)
}

#[cfg(test)]
mod tests;
