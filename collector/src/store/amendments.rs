//! The tables `late` and `amendment`. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::{Row, params, params_from_iter, types::Value};
use sitepulse_model::amendment::{Amendment, Touched};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::time::{Span, UtcMicros};

use super::rows::Arrival;
use super::{StoreError, Tables};
use crate::amend::{LateRow, Write};

/// How many amendments of a check are kept at most: the newest. One an hour for 400 days, as an agent brings that is always late, are fewer.
pub const KEPT_MAX: usize = 10_000;

/// A stored amendment.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its check.
    pub check: CheckNo,
    /// Counts the check's amendments from 1.
    pub number: u64,
    /// What it says.
    pub amendment: Amendment,
}

/// Where a page ended: the next one goes on after this amendment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When it was noted.
    pub noted: UtcMicros,
    /// Its check.
    pub check: CheckNo,
    /// Its number.
    pub number: u64,
}

/// What a page is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// This check alone.
    pub check: Option<(Bucket, CheckNo)>,
    /// Those that are about some of this time.
    pub period: Span,
    /// Those older than this one.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
}

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "amendment", what: what.to_string() }
}

/// Writes what an episode's beginning or growth asks for. A row that is there still, while the episode before is derived, serves both: after a kill
/// they are one.
pub(crate) fn note(tables: Tables<'_>, write: Write, row: &LateRow) -> Result<(), StoreError> {
    let LateRow { bucket, key: (check, agent), .. } = *row;
    match write {
        Write::Open => tables
            .prepare_cached(
                "INSERT INTO late(bucket, check_no, agent_no, before_arrival, noted_us, upto_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT (bucket, check_no, agent_no) DO UPDATE SET upto_us = max(upto_us, excluded.upto_us)",
            )?
            .execute(params![bucket.0, check.0, agent.0, row.before_arrival.0, row.noted.0, row.upto.0])?,
        Write::Extend => tables
            .prepare_cached("UPDATE late SET upto_us = max(upto_us, ?1) WHERE bucket = ?2 AND check_no = ?3 AND agent_no = ?4")?
            .execute(params![row.upto.0, bucket.0, check.0, agent.0])?,
    };
    Ok(())
}

/// The rows of every episode under way.
pub(crate) fn under_way(tables: Tables<'_>) -> Result<Vec<LateRow>, StoreError> {
    let mut statement =
        tables.prepare("SELECT check_no, agent_no, before_arrival, noted_us, upto_us, bucket FROM late")?;
    let rows = statement.query_map([], |row| {
        Ok(LateRow {
            bucket: Bucket(row.get(5)?),
            key: (CheckNo(row.get(0)?), AgentNo(row.get(1)?)),
            before_arrival: Arrival(row.get(2)?),
            noted: UtcMicros(row.get(3)?),
            upto: UtcMicros(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Ends a check's episode.
pub(crate) fn close(tables: Tables<'_>, bucket: Bucket, check: CheckNo) -> Result<(), StoreError> {
    tables
        .prepare_cached("DELETE FROM late WHERE bucket = ?1 AND check_no = ?2")?
        .execute(params![bucket.0, check.0])?;
    Ok(())
}

/// Adds an amendment, and removes those of its check that are [`KEPT_MAX`] or more older.
pub(crate) fn insert(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    number: u64,
    amendment: &Amendment,
) -> Result<(), StoreError> {
    let body = serde_json::to_string(amendment).map_err(bad)?;
    tables
        .prepare_cached(
            "INSERT INTO amendment(bucket, check_no, number, noted_us, from_us, to_us, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            bucket.0,
            check.0,
            number.cast_signed(),
            amendment.noted_us,
            amendment.from_us,
            amendment.to_us,
            body
        ])?;
    tables
        .prepare_cached("DELETE FROM amendment WHERE bucket = ?1 AND check_no = ?2 AND number <= ?3")?
        .execute(params![bucket.0, check.0, number.saturating_sub(KEPT_MAX as u64).cast_signed()])?;
    Ok(())
}

/// Those noted before `?1`. The newest one of a check stays whatever its age, for numbers go on from it: reports name them.
const OLD: &str = "noted_us < ?1 AND number < (SELECT max(newest.number) FROM amendment newest \
                   WHERE newest.bucket = amendment.bucket AND newest.check_no = amendment.check_no)";

/// How many amendments were noted before an instant, but for each check's newest.
pub(crate) fn count_before(tables: Tables<'_>, before: UtcMicros) -> Result<usize, StoreError> {
    let count: i64 =
        tables
            .query_row(&format!("SELECT count(*) FROM amendment WHERE {OLD}"), params![before.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Deletes at most so many of the oldest amendments of [`count_before`].
pub(crate) fn delete_before(tables: Tables<'_>, before: UtcMicros, most: usize) -> Result<(), StoreError> {
    let key = "bucket, check_no, number";
    tables
        .prepare_cached(&format!(
            "DELETE FROM amendment WHERE ({key}) IN (SELECT {key} FROM amendment WHERE {OLD} ORDER BY noted_us LIMIT ?2)"
        ))?
        .execute(params![before.0, i64::try_from(most).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// Calls `each` with every amendment's check, number, span and when it was noted, oldest first within a check. No body is read.
pub(crate) fn marks(tables: Tables<'_>, mut each: impl FnMut(CheckNo, u64, Span, UtcMicros)) -> Result<(), StoreError> {
    let mut statement = tables.prepare(
        "SELECT check_no, number, from_us, to_us, noted_us FROM amendment INDEXED BY amendment_noted ORDER BY check_no, number",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let span = Span::new(UtcMicros(row.get(2)?), UtcMicros(row.get(3)?));
        each(CheckNo(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned(), span, UtcMicros(row.get(4)?));
    }
    Ok(())
}

/// Calls `each` with the pairs whose late records changed figures, and of what those speak: of amendments that are about time since an instant, oldest first.
pub(crate) fn late_since(
    tables: Tables<'_>,
    since: UtcMicros,
    mut each: impl FnMut((CheckNo, AgentNo), Touched),
) -> Result<(), StoreError> {
    let mut statement = tables.prepare(
        "SELECT check_no, number, body FROM amendment INDEXED BY amendment_noted WHERE noted_us >= ?1 ORDER BY noted_us, check_no, number",
    )?;
    let mut rows = statement.query(params![since.0])?;
    while let Some(row) = rows.next()? {
        let Stored { check, amendment, .. } = stored(row)?;
        for late in amendment.late.iter().filter(|late| late.records > 0) {
            let (first, last) = (UtcMicros(late.first_us), UtcMicros(late.last_us));
            each((check, AgentNo(late.agent)), Touched { first, last, end: last });
        }
    }
    Ok(())
}

/// Amendments, the newest first.
pub(crate) fn page(tables: Tables<'_>, asked: &Asked) -> Result<Vec<Stored>, StoreError> {
    let mut sql = String::from("SELECT check_no, number, body FROM amendment WHERE from_us < ? AND to_us > ?");
    let mut values = vec![Value::Integer(asked.period.to.0), Value::Integer(asked.period.from.0)];
    if let Some((bucket, check)) = asked.check {
        sql.push_str(" AND bucket = ? AND check_no = ?");
        values.extend([Value::Integer(bucket.0.into()), Value::Integer(check.0.into())]);
    }
    if let Some(Cursor { noted, check, number }) = asked.after {
        sql.push_str(" AND (noted_us, check_no, number) < (?, ?, ?)");
        values.extend([noted.0, check.0.into(), number.cast_signed()].map(Value::Integer));
    }
    sql.push_str(" ORDER BY noted_us DESC, check_no DESC, number DESC LIMIT ?");
    values.push(Value::Integer(i64::try_from(asked.limit).unwrap_or(i64::MAX)));
    let mut statement = tables.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.push(stored(row)?);
    }
    Ok(page)
}

fn stored(row: &Row<'_>) -> Result<Stored, StoreError> {
    let amendment = serde_json::from_str(row.get_ref(2)?.as_str().map_err(bad)?).map_err(bad)?;
    Ok(Stored { check: CheckNo(row.get(0)?), number: row.get::<_, i64>(1)?.cast_unsigned(), amendment })
}
