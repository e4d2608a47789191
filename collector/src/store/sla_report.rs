//! The table `sla_report`, and what `amendment` tells of a check's past. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::{OptionalExtension, params};
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::time::Span;

use super::{StoreError, Tables};
use crate::sla_report::SlaReport;

fn read(name: &str, body: &str) -> Result<SlaReport, StoreError> {
    let bad = |error: serde_json::Error| StoreError::BadRow { table: "sla_report", what: format!("{name}: {error}") };
    serde_json::from_str(body).map_err(bad)
}

/// Keeps a report; `false`, and nothing is done, where there is one of that name.
pub(crate) fn insert(tables: Tables<'_>, report: &SlaReport) -> Result<bool, StoreError> {
    let body = serde_json::to_string(report).expect("texts and numbers always serialize");
    let added = tables
        .prepare_cached(
            "INSERT INTO sla_report(bucket, name, made_us, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![Bucket::of(&report.name).0, report.name, report.made_us, body])?;
    Ok(added == 1)
}

/// A report by its name.
pub(crate) fn one(tables: Tables<'_>, name: &str) -> Result<Option<SlaReport>, StoreError> {
    let body: Option<String> = tables
        .query_row(
            "SELECT body FROM sla_report WHERE bucket = ?1 AND name = ?2",
            params![Bucket::of(name).0, name],
            |row| row.get(0),
        )
        .optional()?;
    body.map(|body| read(name, &body)).transpose()
}

/// All reports, the newest first.
pub(crate) fn all(tables: Tables<'_>) -> Result<Vec<SlaReport>, StoreError> {
    let mut statement = tables.prepare("SELECT name, body FROM sla_report ORDER BY made_us DESC, name")?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?);
    }
    Ok(out)
}

/// The number of a check's newest amendment; 0 where it has none.
pub(crate) fn newest_amendment(tables: Tables<'_>, bucket: Bucket, check: CheckNo) -> Result<u64, StoreError> {
    let newest: i64 = tables
        .prepare_cached("SELECT coalesce(max(number), 0) FROM amendment WHERE bucket = ?1 AND check_no = ?2")?
        .query_row(params![bucket.0, check.0], |row| row.get(0))?;
    Ok(newest.cast_unsigned())
}

/// How many amendments of a check after one number are about some of a period.
pub(crate) fn amended_since(
    tables: Tables<'_>,
    (bucket, check): (Bucket, CheckNo),
    number: u64,
    period: Span,
) -> Result<usize, StoreError> {
    let wanted = params![bucket.0, check.0, number.cast_signed(), period.to.0, period.from.0];
    let count: i64 = tables
        .prepare_cached(
            "SELECT count(*) FROM amendment WHERE bucket = ?1 AND check_no = ?2 AND number > ?3 AND from_us < ?4 AND to_us > ?5",
        )?
        .query_row(wanted, |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}
