//! What impact scores ask of the tables, and the tables `impact_day` and `impact_set_day`: what they were, and [`made`] of what.

pub(crate) mod made;

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use sitepulse_model::id::{Bucket, CheckNo, Group, Region};
use sitepulse_model::impact::Points;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::latency::{Day, Hour};
use made::Made;

/// An hour without a score.
const NONE: u16 = u16::MAX;
/// Bytes of a day.
const DAY_BYTES: usize = 48;
/// All checks together stand where a check would.
pub(crate) const WHOLE: (Bucket, CheckNo) = (Bucket(0), CheckNo(0));
/// An incident is suspected at most so long before it opens, in microseconds: a day.
const SUSPECTED_US: i64 = 86_400_000_000;

/// A score as it was at an hour.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    /// The hour in which it was found.
    pub hour: Hour,
    /// What it was; `None` where there was none.
    pub points: Option<Points>,
    /// The model that it was found by.
    pub model: String,
    /// What it was made of; `None` where that is not known, or was not asked.
    pub made: Option<Made>,
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

/// Whose score.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    /// A check's; [`WHOLE`] is all of them together.
    Check(Bucket, CheckNo),
    /// A group's.
    Group(String),
    /// A region's.
    Region(String),
}

impl Of {
    /// Of a group.
    pub(crate) fn group(group: &Group) -> Self {
        Self::Group(group.to_string())
    }

    /// Of a region.
    pub(crate) fn region(region: &Region) -> Self {
        Self::Region(region.to_string())
    }
}

/// The columns of a set of checks: its bucket, kind and name.
fn set_columns(kind: u8, name: &str) -> (u8, u8, String) {
    (Bucket::of(name).0, kind, name.to_owned())
}

/// A day of a score as stored: by the hour, and what it was made of.
type Row = (Vec<u8>, Option<Vec<u8>>);

/// Keeps what a score was at an hour; what is kept of that hour stays. Whether it was not there.
pub(crate) fn keep(tables: Tables<'_>, of: &Of, kept: &Kept) -> Result<bool, StoreError> {
    let day = kept.hour.day();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (kind, name) = match of {
        Of::Check(bucket, check) => {
            let known: Option<Row> = tables
                .prepare_cached(
                    "SELECT hours, made FROM impact_day WHERE bucket = ?1 AND check_no = ?2 AND day = ?3 AND model = ?4",
                )?
                .query_row(params![bucket.0, check.0, day.0, kept.model], row)
                .optional()?;
            let Some((hours, made)) = put(known, of, kept) else { return Ok(false) };
            tables
                .prepare_cached(
                    "INSERT INTO impact_day(bucket, check_no, day, model, hours, made) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                     ON CONFLICT (bucket, check_no, day, model) DO UPDATE SET hours = excluded.hours, made = excluded.made",
                )?
                .execute(params![bucket.0, check.0, day.0, kept.model, hours, made])?;
            return Ok(true);
        }
        Of::Group(name) => (1, name),
        Of::Region(name) => (2, name),
    };
    let (bucket, kind, name) = set_columns(kind, name);
    let known: Option<Row> = tables
        .prepare_cached(
            "SELECT hours, made FROM impact_set_day WHERE bucket = ?1 AND kind = ?2 AND name = ?3 AND day = ?4 AND model = ?5",
        )?
        .query_row(params![bucket, kind, name, day.0, kept.model], row)
        .optional()?;
    let Some((hours, made)) = put(known, of, kept) else { return Ok(false) };
    tables
        .prepare_cached(
            "INSERT INTO impact_set_day(bucket, kind, name, day, model, hours, made) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (bucket, kind, name, day, model) DO UPDATE SET hours = excluded.hours, made = excluded.made",
        )?
        .execute(params![bucket, kind, name, day.0, kept.model, hours, made])?;
    Ok(true)
}

/// The day with a score put in; `None`: what was told of the hour stands.
fn put(known: Option<Row>, of: &Of, kept: &Kept) -> Option<Row> {
    let (mut hours, made) = known.unwrap_or_default();
    hours.resize(DAY_BYTES, 0xff);
    let points = kept.points.map_or(NONE, |points| u16::try_from(points.0).unwrap_or(NONE));
    let at = usize::from(kept.hour.of_day()) * 2;
    if hours[at..at + 2] != NONE.to_le_bytes() {
        return None;
    }
    hours[at..at + 2].copy_from_slice(&points.to_le_bytes());
    // Of a check whose score is 0 nothing is to be said.
    let Some(news) = kept.made.as_ref().filter(|made| **made != Made::Check(Vec::new())) else {
        return Some((hours, made));
    };
    let mut day = made.map(|made| read_made(&made, of, kept.hour.day())).unwrap_or_default();
    day.insert(kept.hour.of_day(), news.clone());
    Some((hours, Some(made::encode(&day))))
}

/// What the scores of a day were made of; what is damaged is told, and nothing is known of that day.
fn read_made(bytes: &[u8], of: &Of, day: Day) -> made::Day {
    made::decode(bytes).unwrap_or_else(|error| {
        tracing::error!(
            "scores of {of:?} on day {}: {error}; their contributions are found again from the evidence",
            day.0
        );
        made::Day::new()
    })
}

/// What the scores of an hour were and what they were made of: of all checks and what they make together, or of one check alone. By each model that found any.
pub(crate) fn of_hour(
    tables: Tables<'_>,
    hour: Hour,
    only: Option<(Bucket, CheckNo)>,
) -> Result<Vec<(Of, Kept)>, StoreError> {
    let mut found = Vec::new();
    let mut note = |of: Of, model: String, (hours, made): Row| {
        let at = usize::from(hour.of_day()) * 2;
        let points = hours.get(at..at + 2).map_or(NONE, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        if points != NONE {
            let made = made.and_then(|made| read_made(&made, &of, hour.day()).remove(&hour.of_day()));
            found.push((of, Kept { hour, points: Some(Points(points.into())), model, made }));
        }
    };
    let mut statement = tables.prepare_cached(if only.is_some() {
        "SELECT bucket, check_no, model, hours, made FROM impact_day WHERE bucket = ?2 AND check_no = ?3 AND day = ?1"
    } else {
        "SELECT bucket, check_no, model, hours, made FROM impact_day WHERE day = ?1 AND ?2 IS NULL AND ?3 IS NULL"
    })?;
    let (bucket, check) = (only.map(|(bucket, _)| bucket.0), only.map(|(_, check)| check.0));
    let mut rows = statement.query(params![hour.day().0, bucket, check])?;
    while let Some(row) = rows.next()? {
        let of = Of::Check(Bucket(row.get(0)?), CheckNo(row.get(1)?));
        note(of, row.get(2)?, (row.get(3)?, row.get(4)?));
    }
    if only.is_none() {
        let mut statement =
            tables.prepare_cached("SELECT kind, name, model, hours, made FROM impact_set_day WHERE day = ?1")?;
        let mut rows = statement.query(params![hour.day().0])?;
        while let Some(row) = rows.next()? {
            let name = row.get(1)?;
            let of = if row.get::<_, u8>(0)? == 1 { Of::Group(name) } else { Of::Region(name) };
            note(of, row.get(2)?, (row.get(3)?, row.get(4)?));
        }
    }
    Ok(found)
}

/// What a score was, hour by hour, oldest first; hours without one are left out.
pub(crate) fn kept(tables: Tables<'_>, of: &Of, (first, last): (Hour, Hour)) -> Result<Vec<Kept>, StoreError> {
    let days = [first.day().0, last.day().0];
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let rows: Vec<(i64, String, Vec<u8>)> = match of {
        Of::Check(bucket, check) => tables
            .prepare_cached(
                "SELECT day, model, hours FROM impact_day WHERE bucket = ?1 AND check_no = ?2 AND day >= ?3 AND day <= ?4 ORDER BY day, model",
            )?
            .query_map(params![bucket.0, check.0, days[0], days[1]], row)?
            .collect::<Result<_, _>>()?,
        Of::Group(name) | Of::Region(name) => {
            let (bucket, kind, name) = set_columns(if matches!(of, Of::Group(_)) { 1 } else { 2 }, name);
            tables
                .prepare_cached(
                    "SELECT day, model, hours FROM impact_set_day WHERE bucket = ?1 AND kind = ?2 AND name = ?3 AND day >= ?4 AND day <= ?5 \
                     ORDER BY day, model",
                )?
                .query_map(params![bucket, kind, name, days[0], days[1]], row)?
                .collect::<Result<_, _>>()?
        }
    };
    let mut found = Vec::new();
    for (day, model, hours) in rows {
        for (of_day, bytes) in (0_u8..24).zip(hours.chunks_exact(2)) {
            let points = u16::from_le_bytes([bytes[0], bytes[1]]);
            let hour = Day(day).hour(of_day);
            if points != NONE && first <= hour && hour <= last {
                let points = Some(Points(points.into()));
                found.push(Kept { hour, points, model: model.clone(), made: None });
            }
        }
    }
    found.sort_by_key(|kept| kept.hour);
    Ok(found)
}

/// What is wrong with what scores were made of: it cannot be read, or does not add up to the score.
pub(crate) fn faults(tables: Tables<'_>, mut each: impl FnMut(String)) -> Result<(), StoreError> {
    for sql in [
        "SELECT 'check ' || check_no, day, hours, made FROM impact_day WHERE made IS NOT NULL",
        "SELECT CASE kind WHEN 1 THEN 'group ' ELSE 'region ' END || name, day, hours, made FROM impact_set_day WHERE made IS NOT NULL",
    ] {
        let mut statement = tables.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (of, day): (String, i64) = (row.get(0)?, row.get(1)?);
            let (hours, made): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
            let points = |hour: u8| {
                let at = usize::from(hour) * 2;
                hours.get(at..at + 2).map(|bytes| Points(u16::from_le_bytes([bytes[0], bytes[1]]).into()))
            };
            match made::decode(&made) {
                Err(error) => each(format!("scores of {of} on day {day}: {error}")),
                Ok(made) if made.iter().all(|(hour, made)| points(*hour) == Some(made.points())) => {}
                Ok(_) => each(format!("scores of {of} on day {day}: contributions do not add up to the score")),
            }
        }
    }
    Ok(())
}

/// Every day of scores between two, both included: hundredths of a point by the hour, -1 where there was no score.
pub(crate) fn days(
    tables: Tables<'_>,
    (first, last): (Day, Day),
    mut each: impl FnMut(Of, Day, String, Vec<i32>),
) -> Result<(), StoreError> {
    let hours = |bytes: &[u8]| {
        let hour = |pair: &[u8]| match u16::from_le_bytes([pair[0], pair[1]]) {
            NONE => -1,
            points => i32::from(points),
        };
        bytes.chunks_exact(2).map(hour).collect::<Vec<_>>()
    };
    let mut statement =
        tables.prepare("SELECT bucket, check_no, day, model, hours FROM impact_day WHERE day BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query([first.0, last.0])?;
    while let Some(row) = rows.next()? {
        let of = Of::Check(Bucket(row.get(0)?), CheckNo(row.get(1)?));
        each(of, Day(row.get(2)?), row.get(3)?, hours(&row.get::<_, Vec<u8>>(4)?));
    }
    let mut statement =
        tables.prepare("SELECT kind, name, day, model, hours FROM impact_set_day WHERE day BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query([first.0, last.0])?;
    while let Some(row) = rows.next()? {
        let name = row.get(1)?;
        let of = if row.get::<_, u8>(0)? == 1 { Of::Group(name) } else { Of::Region(name) };
        each(of, Day(row.get(2)?), row.get(3)?, hours(&row.get::<_, Vec<u8>>(4)?));
    }
    Ok(())
}

/// Takes a day of scores in; hours of which something is known here stay as they are.
pub(crate) fn take_day(tables: Tables<'_>, of: &Of, day: Day, model: &str, hours: &[i32]) -> Result<(), StoreError> {
    let hours: Vec<u8> = hours.iter().flat_map(|points| u16::try_from(*points).unwrap_or(NONE).to_le_bytes()).collect();
    let (kind, name) = match of {
        Of::Check(bucket, check) => {
            let known = tables
                .prepare_cached(
                    "SELECT hours FROM impact_day WHERE bucket = ?1 AND check_no = ?2 AND day = ?3 AND model = ?4",
                )?
                .query_row(params![bucket.0, check.0, day.0, model], |row| row.get(0))
                .optional()?;
            tables
                .prepare_cached(
                    "INSERT INTO impact_day(bucket, check_no, day, model, hours) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT (bucket, check_no, day, model) DO UPDATE SET hours = excluded.hours",
                )?
                .execute(params![bucket.0, check.0, day.0, model, filled(known, hours)])?;
            return Ok(());
        }
        Of::Group(name) => (1, name),
        Of::Region(name) => (2, name),
    };
    let (bucket, kind, name) = set_columns(kind, name);
    let known = tables
        .prepare_cached(
            "SELECT hours FROM impact_set_day WHERE bucket = ?1 AND kind = ?2 AND name = ?3 AND day = ?4 AND model = ?5",
        )?
        .query_row(params![bucket, kind, name, day.0, model], |row| row.get(0))
        .optional()?;
    tables
        .prepare_cached(
            "INSERT INTO impact_set_day(bucket, kind, name, day, model, hours) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (bucket, kind, name, day, model) DO UPDATE SET hours = excluded.hours",
        )?
        .execute(params![bucket, kind, name, day.0, model, filled(known, hours)])?;
    Ok(())
}

/// A day with the hours that are known already: the day of an export was not over, and a later one brings the rest of it.
fn filled(known: Option<Vec<u8>>, mut hours: Vec<u8>) -> Vec<u8> {
    let known = known.unwrap_or_default();
    for (hour, known) in hours.chunks_exact_mut(2).zip(known.chunks_exact(2)) {
        if known != NONE.to_le_bytes() {
            hour.copy_from_slice(known);
        }
    }
    hours
}

/// How many days of scores lie wholly before a day, and how many spared pages: the greatest of the counts.
pub(crate) fn count_before(tables: Tables<'_>, day: Day) -> Result<usize, StoreError> {
    let mut most = 0;
    for (sql, before) in [
        ("SELECT count(*) FROM impact_day WHERE day < ?1", day.0),
        ("SELECT count(*) FROM impact_set_day WHERE day < ?1", day.0),
        ("SELECT count(*) FROM spared WHERE at_us < ?1", day.span().from.0),
    ] {
        let count: i64 = tables.query_row(sql, [before], |row| row.get(0))?;
        most = most.max(usize::try_from(count).unwrap_or(0));
    }
    Ok(most)
}

/// Deletes the oldest of each of them, at most so many.
pub(crate) fn delete_before(tables: Tables<'_>, day: Day, most: usize) -> Result<(), StoreError> {
    for (sql, before) in [
        (
            "DELETE FROM impact_day WHERE (bucket, check_no, day, model) IN \
             (SELECT bucket, check_no, day, model FROM impact_day WHERE day < ?1 ORDER BY day LIMIT ?2)",
            day.0,
        ),
        (
            "DELETE FROM impact_set_day WHERE (bucket, kind, name, day, model) IN \
             (SELECT bucket, kind, name, day, model FROM impact_set_day WHERE day < ?1 ORDER BY day LIMIT ?2)",
            day.0,
        ),
        (
            "DELETE FROM spared WHERE (bucket, check_no, at_us, cause) IN \
             (SELECT bucket, check_no, at_us, cause FROM spared WHERE at_us < ?1 ORDER BY at_us LIMIT ?2)",
            day.span().from.0,
        ),
    ] {
        tables.prepare_cached(sql)?.execute(params![before, most as i64])?;
    }
    Ok(())
}
