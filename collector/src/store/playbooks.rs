//! The tables `playbook_run` and `playbook_entry`. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::{Row, params};
use sitepulse_model::id::Bucket;
use sitepulse_model::playbook::rates::Outcome;
use sitepulse_model::playbook::run::{Head, Run, State, Told};
use sitepulse_model::time::{Span, UtcMicros};

use super::{StoreError, Tables};

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "playbook_run", what: what.to_string() }
}

fn state_of(text: &str) -> Result<State, StoreError> {
    let known = [State::Running, State::Finished, State::Abandoned];
    known.into_iter().find(|state| state.as_str() == text).ok_or_else(|| bad(format!("state {text:?}")))
}

/// Writes a run as it is now: what it was started with once, what it comes to each time.
pub(crate) fn set(tables: Tables<'_>, run: &Run) -> Result<(), StoreError> {
    let Head { id, playbook, occasion, started_at, started_by, .. } = &run.head;
    let head = serde_json::to_string(&run.head).map_err(bad)?;
    let counts = run.counts();
    // Of a run under way nobody asks how long it took: it is found anew.
    let took_us = run.ended_at().map_or(0, |at| run.took_us(at));
    tables
        .prepare_cached(
            "INSERT INTO playbook_run(bucket, run_id, playbook, occasion, occasion_id, started_us, started_by, state, done, by_itself, skipped, \
             took_us, estimate_minutes, head, ended_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
             ON CONFLICT (bucket, run_id) DO UPDATE SET state = excluded.state, done = excluded.done, by_itself = excluded.by_itself, \
             skipped = excluded.skipped, took_us = excluded.took_us, estimate_minutes = excluded.estimate_minutes, ended_us = excluded.ended_us",
        )?
        .execute(params![
            Bucket::of(id).0,
            id,
            playbook,
            occasion.word(),
            occasion.id(),
            started_at,
            started_by,
            run.state.as_str(),
            counts.done as i64,
            counts.by_itself as i64,
            counts.skipped as i64,
            took_us,
            run.estimate_minutes(),
            head,
            run.ended_at().map(|at| at.0),
        ])?;
    Ok(())
}

/// Adds an entry; `number` counts from 1.
pub(crate) fn append(tables: Tables<'_>, id: &str, number: usize, told: &Told) -> Result<(), StoreError> {
    let body = serde_json::to_string(&told.entry).map_err(bad)?;
    tables
        .prepare_cached(
            "INSERT INTO playbook_entry(bucket, run_id, number, at_us, author, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![Bucket::of(id).0, id, number as i64, told.at.0, told.by, body])?;
    Ok(())
}

fn read(tables: Tables<'_>, row: &Row<'_>) -> Result<Run, StoreError> {
    let (bucket, id): (u8, String) = (row.get(0)?, row.get(1)?);
    let damaged = |error: serde_json::Error| bad(format!("{id}: {error}"));
    let head: Head = serde_json::from_str(&row.get::<_, String>(2)?).map_err(damaged)?;
    let mut statement = tables.prepare_cached(
        "SELECT at_us, author, body FROM playbook_entry WHERE bucket = ?1 AND run_id = ?2 ORDER BY number",
    )?;
    let mut rows = statement.query(params![bucket, id])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = serde_json::from_str(&row.get::<_, String>(2)?).map_err(damaged)?;
        entries.push(Told { at: UtcMicros(row.get(0)?), by: row.get(1)?, entry });
    }
    Ok(Run::replay(head, entries))
}

/// What can be read: a row that makes no sense (another build's, damaged) is told in the log and left out, so that it does not stand in the way of the others. Any other
/// error is the disk's.
fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(one) => Ok(Some(one)),
        Err(error) if error.is_damage() => {
            tracing::error!("a run of a playbook is left out: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// At most so many runs, those that cannot be read left out.
fn many(
    tables: Tables<'_>,
    condition: &str,
    params: impl rusqlite::Params,
    most: usize,
) -> Result<Vec<Run>, StoreError> {
    let mut statement =
        tables.prepare_cached(&format!("SELECT bucket, run_id, head FROM playbook_run WHERE {condition}"))?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while out.len() < most
        && let Some(row) = rows.next()?
    {
        out.extend(readable(read(tables, row))?);
    }
    Ok(out)
}

/// A run by its id. One that cannot be read is an error: it is there.
pub(crate) fn one(tables: Tables<'_>, id: &str) -> Result<Option<Run>, StoreError> {
    let mut statement =
        tables.prepare_cached("SELECT bucket, run_id, head FROM playbook_run WHERE bucket = ?1 AND run_id = ?2")?;
    let mut rows = statement.query(params![Bucket::of(id).0, id])?;
    rows.next()?.map(|row| read(tables, row)).transpose()
}

/// The runs under way.
pub(crate) fn running(tables: Tables<'_>) -> Result<Vec<Run>, StoreError> {
    many(tables, "state = 'running' ORDER BY started_us, run_id", [], usize::MAX)
}

/// What a list of runs is asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Those that ended, too.
    pub ended: bool,
    /// This playbook's alone.
    pub playbook: Option<String>,
    /// What they are about: `incident`, `finding` or `check`, and its id.
    pub occasion: Option<(&'static str, String)>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// Runs, the newest first, after one that was started then.
pub(crate) fn page(tables: Tables<'_>, asked: &Asked, after: Option<&(i64, String)>) -> Result<Vec<Run>, StoreError> {
    let open = if asked.ended { "" } else { "state = 'running' AND " };
    let condition = format!(
        "{open}(?1 IS NULL OR playbook = ?1) AND (?2 IS NULL OR (occasion = ?2 AND occasion_id = ?3)) \
         AND (?4 IS NULL OR (started_us, run_id) < (?4, ?5)) ORDER BY started_us DESC, run_id DESC"
    );
    let (about, of) = asked.occasion.as_ref().map(|(word, id)| (*word, id.as_str())).unzip();
    let (started, id) = after.map(|(at, id)| (*at, id.as_str())).unzip();
    many(tables, &condition, params![asked.playbook, about, of, started, id], asked.limit)
}

/// What a run comes to: its playbook, who started it, the figures.
pub(crate) struct Summed {
    /// The playbook's id.
    pub(crate) playbook: String,
    /// Who started it.
    pub(crate) by: String,
    /// The figures.
    pub(crate) outcome: Outcome,
}

/// The runs that were started within a period, in figures.
pub(crate) fn outcomes(tables: Tables<'_>, period: Span) -> Result<Vec<Summed>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT playbook, started_by, started_us, state, done, by_itself, skipped, took_us, estimate_minutes FROM playbook_run \
         WHERE started_us >= ?1 AND started_us < ?2 ORDER BY started_us, run_id",
    )?;
    let mut rows = statement.query(params![period.from.0, period.to.0])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let count =
            |at: usize| -> Result<usize, StoreError> { Ok(usize::try_from(row.get::<_, i64>(at)?).unwrap_or(0)) };
        let Some(state) = readable(state_of(&row.get::<_, String>(3)?))? else { continue };
        let outcome = Outcome {
            started_at: UtcMicros(row.get(2)?),
            state,
            done: count(4)?,
            by_itself: count(5)?,
            skipped: count(6)?,
            took_us: row.get(7)?,
            estimate_minutes: row.get(8)?,
        };
        out.push(Summed { playbook: row.get(0)?, by: row.get(1)?, outcome });
    }
    Ok(out)
}

/// A run that ended.
pub(crate) struct Ended {
    /// Who started it.
    pub(crate) by: String,
    /// When it was started.
    pub(crate) started_at: UtcMicros,
    /// Whether it was finished, and not abandoned.
    pub(crate) finished: bool,
}

/// The runs that ended within a period. `None`: no run was ever started, or none that is kept.
pub(crate) fn ended(tables: Tables<'_>, period: Span) -> Result<Option<Vec<Ended>>, StoreError> {
    let any: bool =
        tables.prepare_cached("SELECT EXISTS (SELECT 1 FROM playbook_run)")?.query_row([], |row| row.get(0))?;
    if !any {
        return Ok(None);
    }
    let mut statement = tables.prepare_cached(
        "SELECT started_by, started_us, state FROM playbook_run WHERE ended_us >= ?1 AND ended_us < ?2 ORDER BY ended_us, run_id",
    )?;
    let mut rows = statement.query(params![period.from.0, period.to.0])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(state) = readable(state_of(&row.get::<_, String>(2)?))? else { continue };
        all.push(Ended { by: row.get(0)?, started_at: UtcMicros(row.get(1)?), finished: state == State::Finished });
    }
    Ok(Some(all))
}

/// How many runs were over before an instant.
pub(crate) fn count_before(tables: Tables<'_>, before: UtcMicros) -> Result<usize, StoreError> {
    let sql = "SELECT count(*) FROM playbook_run WHERE ended_us < ?1";
    let count: i64 = tables.query_row(sql, [before.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Deletes the oldest of them with what happened to them, at most so many.
pub(crate) fn delete_before(tables: Tables<'_>, before: UtcMicros, most: usize) -> Result<(), StoreError> {
    let oldest = "SELECT bucket, run_id FROM playbook_run WHERE ended_us < ?1 ORDER BY ended_us, run_id LIMIT ?2";
    for table in ["playbook_entry", "playbook_run"] {
        // The entries first: it is the runs that say which.
        let sql = format!("DELETE FROM {table} WHERE (bucket, run_id) IN ({oldest})");
        tables.prepare_cached(&sql)?.execute(params![before.0, most as i64])?;
    }
    Ok(())
}
