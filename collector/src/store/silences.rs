//! The table `silence`. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::{Row, params};
use sitepulse_model::time::{Span, UtcMicros};

use super::{StoreError, Tables};
use crate::alert::silence::Silence;

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "silence", what: what.to_string() }
}

/// Writes a silence as it is now.
pub(crate) fn set(tables: Tables<'_>, silence: &Silence) -> Result<(), StoreError> {
    let body = serde_json::to_string(&silence.body).map_err(bad)?;
    tables
        .prepare_cached(
            "INSERT INTO silence(bucket, silence_id, from_us, to_us, body) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (bucket, silence_id) DO UPDATE SET from_us = excluded.from_us, to_us = excluded.to_us, body = excluded.body",
        )?
        .execute(params![silence.bucket().0, silence.id, silence.span.from.0, silence.span.to.0, body])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Silence, StoreError> {
    let id: String = row.get(0)?;
    let body = serde_json::from_str(&row.get::<_, String>(3)?).map_err(|error| bad(format!("{id}: {error}")))?;
    Ok(Silence { id, span: Span::new(UtcMicros(row.get(1)?), UtcMicros(row.get(2)?)), body })
}

/// The silences that are not over at an instant, by their beginning; with `None` every one there was, at most `limit`, the newest.
pub(crate) fn list(
    tables: Tables<'_>,
    not_over_at: Option<UtcMicros>,
    limit: usize,
) -> Result<Vec<Silence>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT silence_id, from_us, to_us, body FROM silence WHERE to_us > ?1 ORDER BY from_us DESC, silence_id DESC LIMIT ?2",
    )?;
    let after = not_over_at.unwrap_or(UtcMicros::MIN);
    let mut rows = statement.query(params![after.0, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    out.reverse();
    Ok(out)
}

/// A silence by its id.
pub(crate) fn one(tables: Tables<'_>, id: &str) -> Result<Option<Silence>, StoreError> {
    let mut statement = tables
        .prepare_cached("SELECT silence_id, from_us, to_us, body FROM silence WHERE bucket = ?1 AND silence_id = ?2")?;
    let mut rows = statement.query(params![sitepulse_model::id::Bucket::of(id).0, id])?;
    rows.next()?.map(read).transpose()
}
