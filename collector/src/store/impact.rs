//! What impact scores ask of the tables, and the table `impact_day`: what they were.

use std::collections::BTreeMap;

use rusqlite::params;
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::impact::Points;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::latency::{Day, Hour};

/// An hour without a score.
const NONE: u16 = u16::MAX;
/// Bytes of a day.
const DAY_BYTES: usize = 48;
/// All checks together stand where a check would.
pub(crate) const WHOLE: (Bucket, CheckNo) = (Bucket(0), CheckNo(0));
/// An incident is suspected at most so long before it opens, in microseconds: a day.
const SUSPECTED_US: i64 = 86_400_000_000;

/// A score as it was at an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The hour in which it was found.
    pub hour: Hour,
    /// What it was; `None` where there was none.
    pub points: Option<Points>,
    /// The model that it was found by.
    pub model: String,
}

/// When the incidents of checks opened that tell of their verdicts (`down`, `regional`, `degraded`), after an instant and not after another, in order.
pub(crate) fn openings(
    tables: Tables<'_>,
    after: UtcMicros,
    upto: UtcMicros,
) -> Result<BTreeMap<CheckNo, Vec<UtcMicros>>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT check_no, opened_us FROM incident WHERE suspected_us > ?1 AND opened_us > ?2 AND opened_us <= ?3 AND subject = 1 \
         AND kind IN ('down', 'regional', 'degraded') ORDER BY opened_us",
    )?;
    let mut rows = statement.query(params![after.plus_us(-SUSPECTED_US).0, after.0, upto.0])?;
    let mut openings: BTreeMap<CheckNo, Vec<UtcMicros>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        openings.entry(CheckNo(row.get(0)?)).or_default().push(UtcMicros(row.get(1)?));
    }
    Ok(openings)
}

/// Keeps what a score was at an hour.
pub(crate) fn keep(tables: Tables<'_>, (bucket, check): (Bucket, CheckNo), kept: &Kept) -> Result<(), StoreError> {
    let day = kept.hour.day();
    let mut statement = tables.prepare_cached(
        "SELECT hours FROM impact_day WHERE bucket = ?1 AND check_no = ?2 AND day = ?3 AND model = ?4",
    )?;
    let mut rows = statement.query(params![bucket.0, check.0, day.0, kept.model])?;
    let mut hours = match rows.next()? {
        Some(row) => row.get::<_, Vec<u8>>(0)?,
        None => Vec::new(),
    };
    hours.resize(DAY_BYTES, 0xff);
    let points = kept.points.map_or(NONE, |points| u16::try_from(points.0).unwrap_or(NONE));
    let at = usize::from(kept.hour.of_day()) * 2;
    hours[at..at + 2].copy_from_slice(&points.to_le_bytes());
    tables
        .prepare_cached(
            "INSERT INTO impact_day(bucket, check_no, day, model, hours) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (bucket, check_no, day, model) DO UPDATE SET hours = excluded.hours",
        )?
        .execute(params![bucket.0, check.0, day.0, kept.model, hours])?;
    Ok(())
}

/// What a score was, hour by hour, oldest first; hours without one are left out.
pub(crate) fn kept(
    tables: Tables<'_>,
    (bucket, check): (Bucket, CheckNo),
    (first, last): (Hour, Hour),
) -> Result<Vec<Kept>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT day, model, hours FROM impact_day WHERE bucket = ?1 AND check_no = ?2 AND day >= ?3 AND day <= ?4 ORDER BY day, model",
    )?;
    let mut rows = statement.query(params![bucket.0, check.0, first.day().0, last.day().0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (day, model): (i64, String) = (row.get(0)?, row.get(1)?);
        let hours: Vec<u8> = row.get(2)?;
        for (of_day, bytes) in (0_u8..24).zip(hours.chunks_exact(2)) {
            let points = u16::from_le_bytes([bytes[0], bytes[1]]);
            let hour = Day(day).hour(of_day);
            if points != NONE && first <= hour && hour <= last {
                found.push(Kept { hour, points: Some(Points(points.into())), model: model.clone() });
            }
        }
    }
    found.sort_by_key(|kept| kept.hour);
    Ok(found)
}

/// How many days of scores lie wholly before a day.
pub(crate) fn count_before(tables: Tables<'_>, day: Day) -> Result<usize, StoreError> {
    let count: i64 = tables.query_row("SELECT count(*) FROM impact_day WHERE day < ?1", [day.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Deletes the oldest of them, at most so many.
pub(crate) fn delete_before(tables: Tables<'_>, day: Day, most: usize) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "DELETE FROM impact_day WHERE (bucket, check_no, day, model) IN \
             (SELECT bucket, check_no, day, model FROM impact_day WHERE day < ?1 ORDER BY day LIMIT ?2)",
        )?
        .execute(params![day.0, most as i64])?;
    Ok(())
}
