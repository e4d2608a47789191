//! The histories of what is written as code beside checks.

use rusqlite::params;
use sitepulse_model::id::Bucket;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::book::{Object, ObjectKind, Revised};

/// Adds a version of an object.
pub(crate) fn insert_version(tables: Tables<'_>, revised: &Revised<Object>) -> Result<(), StoreError> {
    let (kind, id) = (revised.body.kind(), revised.body.id());
    tables
        .prepare_cached(
            "INSERT INTO object_revision(bucket, kind, object_id, version, effective_from_us, retired, author, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            Bucket::of(id).0,
            kind.code(),
            id,
            revised.version,
            revised.effective_from.0,
            revised.retired,
            revised.author,
            revised.body.json(),
        ])?;
    Ok(())
}

/// Every version of every object, oldest first within an object.
pub(crate) fn versions(tables: Tables<'_>) -> Result<Vec<Revised<Object>>, StoreError> {
    let bad = |what: String| StoreError::BadRow { table: "object_revision", what };
    let mut statement = tables.prepare(
        "SELECT kind, object_id, version, effective_from_us, retired, author, body FROM object_revision \
         ORDER BY kind, object_id, version",
    )?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let (code, id): (u8, String) = (row.get(0)?, row.get(1)?);
        let kind = ObjectKind::from_code(code).ok_or_else(|| bad(format!("kind {code}")))?;
        let body = Object::from_json(kind, &row.get::<_, String>(6)?);
        let body = body.map_err(|error| bad(format!("{} {id}: {error}", kind.table())))?;
        if body.id() != id {
            return Err(bad(format!("{} {id} says that it is {}", kind.table(), body.id())));
        }
        out.push(Revised {
            version: row.get(2)?,
            effective_from: UtcMicros(row.get(3)?),
            retired: row.get(4)?,
            author: row.get(5)?,
            body,
        });
    }
    Ok(out)
}
