//! The tables `finding`, `finding_entry` and `insight_look`. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use std::collections::BTreeMap;

use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use sitepulse_model::id::Bucket;
use sitepulse_model::impact::Findings;
use sitepulse_model::insight::found::Found;
use sitepulse_model::insight::input::Sight;
use sitepulse_model::insight::{Kind, Severity};
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::insight::life::{Entry, Life, STALE_US, State};
use crate::insight::{FindingId, Standing, StoredEntry, Worded, signal};

/// What a finding's row holds beside what is looked for.
#[derive(Serialize, Deserialize)]
struct Body {
    found: Found,
    life: Life,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wording: Option<Worded>,
}

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "finding", what: what.to_string() }
}

/// Writes a finding as it is now.
pub(crate) fn set(tables: Tables<'_>, standing: &Standing) -> Result<(), StoreError> {
    let Standing { bucket, id, found, checks, life, wording, .. } = standing;
    let body = Body { found: found.clone(), life: life.clone(), wording: wording.clone() };
    tables
        .prepare_cached(
            "INSERT INTO finding(bucket, finding_id, kind, severity, state, checks, opened_us, touched_us, closed_us, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (bucket, finding_id) DO UPDATE SET severity = excluded.severity, state = excluded.state, checks = excluded.checks, \
             touched_us = excluded.touched_us, closed_us = excluded.closed_us, body = excluded.body",
        )?
        .execute(params![
            bucket.0,
            id.0,
            found.kind.as_str(),
            life.severity.as_str(),
            life.state.as_str(),
            serde_json::to_string(checks).map_err(bad)?,
            life.opened_at.0,
            life.touched_at.0,
            life.closed_at.map(|at| at.0),
            serde_json::to_string(&body).map_err(bad)?,
        ])?;
    Ok(())
}

/// Adds a row to a finding's history.
pub(crate) fn append_entry(
    tables: Tables<'_>,
    (bucket, id): (Bucket, &FindingId),
    number: u64,
    (at, author): (UtcMicros, &str),
    entry: &Entry,
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO finding_entry(bucket, finding_id, number, at_us, author, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![bucket.0, id.0, number.cast_signed(), at.0, author, serde_json::to_string(entry).map_err(bad)?])?;
    Ok(())
}

/// A finding's history, the oldest first.
pub(crate) fn entries(tables: Tables<'_>, id: &FindingId) -> Result<Vec<StoredEntry>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT number, at_us, author, e.body FROM finding_entry e JOIN finding f ON f.bucket = e.bucket AND f.finding_id = e.finding_id \
         WHERE f.finding_id = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query([&id.0])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = serde_json::from_str(&row.get::<_, String>(3)?).map_err(|error| bad(format!("{id}: {error}")))?;
        let number = row.get::<_, i64>(0)?.cast_unsigned();
        out.push(StoredEntry { number, at: UtcMicros(row.get(1)?), author: row.get(2)?, entry });
    }
    Ok(out)
}

const COLUMNS: &str = "bucket, finding_id, checks, body, \
                       (SELECT max(number) FROM finding_entry e WHERE e.bucket = f.bucket AND e.finding_id = f.finding_id)";

fn read(row: &Row<'_>) -> Result<Standing, StoreError> {
    let id = FindingId(row.get(1)?);
    let json = |error: serde_json::Error| bad(format!("{id}: {error}"));
    let checks = serde_json::from_str(&row.get::<_, String>(2)?).map_err(json)?;
    let Body { found, life, wording } = serde_json::from_str(&row.get::<_, String>(3)?).map_err(json)?;
    let entries = row.get::<_, Option<i64>>(4)?.unwrap_or(0).cast_unsigned();
    Ok(Standing { bucket: Bucket(row.get(0)?), id, found, checks, life, wording, entries })
}

fn many(tables: Tables<'_>, condition: &str, params: impl rusqlite::Params) -> Result<Vec<Standing>, StoreError> {
    let mut statement = tables.prepare_cached(&format!("SELECT {COLUMNS} FROM finding f WHERE {condition}"))?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// The findings that are not over, and those that were closed after an instant; and those that cannot be read, each with why.
pub(crate) fn standing(
    tables: Tables<'_>,
    closed_after: UtcMicros,
) -> Result<(Vec<Standing>, Vec<StoreError>), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM finding f WHERE closed_us IS NULL OR closed_us > ?1 ORDER BY opened_us");
    let mut statement = tables.prepare(&sql)?;
    let mut rows = statement.query([closed_after.0])?;
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(standing) => found.push(standing),
            // A newer build may have found what this one does not know.
            Err(error @ StoreError::BadRow { .. }) => damaged.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((found, damaged))
}

/// Which states a list tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// Those that are not over.
    #[default]
    Standing,
    /// Those of one state.
    Only(State),
    /// Those that are open and nobody touched for long.
    Stale,
    /// All that are kept.
    All,
}

/// What a list of findings is asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Of which states.
    pub which: Which,
    /// This kind's alone.
    pub kind: Option<Kind>,
    /// These severities' alone; none: all.
    pub severity: Option<Severity>,
    /// Those about this check alone.
    pub check: Option<String>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// Findings, the newest first, after one that was opened then.
pub(crate) fn page(
    tables: Tables<'_>,
    asked: &Asked,
    after: Option<&(UtcMicros, FindingId)>,
    now: UtcMicros,
) -> Result<Vec<Standing>, StoreError> {
    let which = match asked.which {
        Which::Standing => "closed_us IS NULL",
        Which::Only(State::Open) => "state = 'open'",
        Which::Only(State::Acknowledged) => "state = 'acknowledged'",
        Which::Only(State::Closed) => "state = 'closed'",
        Which::Stale => "state = 'open' AND touched_us < ?1",
        Which::All => "TRUE",
    };
    let condition = format!(
        "{which} AND ?1 = ?1 AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR severity = ?3) \
         AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(f.checks) WHERE value = ?4)) \
         AND (?5 IS NULL OR (opened_us, finding_id) < (?5, ?6)) ORDER BY opened_us DESC, finding_id DESC LIMIT ?7"
    );
    let (kind, severity) = (asked.kind.map(Kind::as_str), asked.severity.map(Severity::as_str));
    let (opened, id) = (after.map(|(at, _)| at.0), after.map(|(_, id)| &id.0));
    let limit = i64::try_from(asked.limit).unwrap_or(i64::MAX);
    many(tables, &condition, params![now.0 - STALE_US, kind, severity, asked.check, opened, id, limit])
}

/// A finding by its id.
pub(crate) fn one(tables: Tables<'_>, id: &FindingId) -> Result<Option<Standing>, StoreError> {
    Ok(many(tables, "finding_id = ?1", [&id.0])?.pop())
}

/// Whether a finding has this id.
pub(crate) fn is_taken(tables: Tables<'_>, id: &FindingId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM finding WHERE finding_id = ?1)";
    Ok(tables.prepare_cached(sql)?.query_row([&id.0], |row| row.get(0))?)
}

/// Notes when something was looked at.
pub(crate) fn note_look(tables: Tables<'_>, bucket: Bucket, subject: &str, at: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO insight_look(bucket, subject, first_us, at_us) VALUES (?1, ?2, ?3, ?3) \
             ON CONFLICT (bucket, subject) DO UPDATE SET at_us = excluded.at_us",
        )?
        .execute(params![bucket.0, subject, at.0])?;
    Ok(())
}

/// What was looked at is gone.
pub(crate) fn forget_look(tables: Tables<'_>, bucket: Bucket, subject: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM insight_look WHERE bucket = ?1 AND subject = ?2",
        "DELETE FROM insight_certificate WHERE bucket = ?1 AND 'check:' || check_id = ?2",
    ] {
        tables.prepare_cached(sql)?.execute(params![bucket.0, subject])?;
    }
    Ok(())
}

/// A check showed a certificate for the first time. So many of a check are kept, the newest.
pub(crate) fn note_certificate(
    tables: Tables<'_>,
    bucket: Bucket,
    check: &str,
    sight: Sight,
    kept: usize,
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO insight_certificate(bucket, check_id, ends_us, seen_us) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (bucket, check_id, ends_us) DO NOTHING",
        )?
        .execute(params![bucket.0, check, sight.ends_at.0, sight.seen_at.0])?;
    tables
        .prepare_cached(
            "DELETE FROM insight_certificate WHERE bucket = ?1 AND check_id = ?2 AND ends_us NOT IN (SELECT ends_us \
             FROM insight_certificate WHERE bucket = ?1 AND check_id = ?2 ORDER BY seen_us DESC, ends_us DESC LIMIT ?3)",
        )?
        .execute(params![bucket.0, check, kept as i64])?;
    Ok(())
}

/// The certificates that were seen of all checks, by id, those first that were seen first.
pub(crate) fn certificates(tables: Tables<'_>) -> Result<BTreeMap<String, Vec<Sight>>, StoreError> {
    let mut statement =
        tables.prepare("SELECT check_id, seen_us, ends_us FROM insight_certificate ORDER BY seen_us, ends_us")?;
    let mut rows = statement.query([])?;
    let mut found: BTreeMap<String, Vec<Sight>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let sight = Sight { seen_at: UtcMicros(row.get(1)?), ends_at: UtcMicros(row.get(2)?) };
        found.entry(row.get(0)?).or_default().push(sight);
    }
    Ok(found)
}

/// When what was looked at last.
pub(crate) fn looks(tables: Tables<'_>) -> Result<BTreeMap<String, UtcMicros>, StoreError> {
    let mut statement = tables.prepare("SELECT subject, at_us FROM insight_look")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, UtcMicros(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What findings added to the impact score of each check at an instant; without the checks that no detector had looked at by then.
pub(crate) fn signals_at(tables: Tables<'_>, at: UtcMicros) -> Result<BTreeMap<String, Findings>, StoreError> {
    let mut statement = tables
        .prepare("SELECT substr(subject, 7) FROM insight_look WHERE subject LIKE 'check:%' AND first_us <= ?1")?;
    let looked = statement.query_map([at.0], |row| row.get::<_, String>(0))?;
    let mut signals: BTreeMap<String, Findings> =
        looked.map(|check| Ok((check?, Findings::default()))).collect::<Result<_, StoreError>>()?;
    for mut one in many(tables, "opened_us <= ?1 AND (closed_us IS NULL OR closed_us > ?1)", [at.0])? {
        let history = entries(tables, &one.id)?;
        one.life.rewind(history.iter().filter(|entry| entry.at <= at).map(|entry| (entry.at, &entry.entry)));
        let its = signal(std::iter::once(&one), at);
        for check in &one.checks {
            if let Some(sum) = signals.get_mut(check) {
                (sum.open, sum.stale) = (sum.open + its.open, sum.stale + its.stale);
            }
        }
    }
    Ok(signals)
}

/// How many findings were over before an instant.
pub(crate) fn count_before(tables: Tables<'_>, before: UtcMicros) -> Result<usize, StoreError> {
    let sql = "SELECT count(*) FROM finding WHERE closed_us < ?1";
    let count: i64 = tables.query_row(sql, [before.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Deletes the oldest of them with their histories, at most so many.
pub(crate) fn delete_before(tables: Tables<'_>, before: UtcMicros, most: usize) -> Result<(), StoreError> {
    let oldest = "SELECT bucket, finding_id FROM finding WHERE closed_us < ?1 ORDER BY closed_us, finding_id LIMIT ?2";
    for table in ["finding_entry", "finding"] {
        // The entries first: it is the findings that say which.
        let sql = format!("DELETE FROM {table} WHERE (bucket, finding_id) IN ({oldest})");
        tables.prepare_cached(&sql)?.execute(params![before.0, most as i64])?;
    }
    Ok(())
}
