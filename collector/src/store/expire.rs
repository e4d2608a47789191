//! Letting go of what is older than is kept. What that is, is looked for beside the writer, for it takes passes over whole tables; it goes in
//! slices, each a short transaction that looks again at every row it deletes.

use std::collections::BTreeMap;

use rusqlite::params;
use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::time::UtcMicros;

use super::seal::{self, PairKey};
use super::{StoreError, Tables, amendments, aside, findings, impact, mend, outbox, playbooks, series, vital_days};
use crate::latency::{Day, Hour};
use crate::seal::Intervals;
use crate::seal::retention::Limits;

/// Most chunks that one transaction deletes: each frees two or three pages.
const CHUNKS: usize = 64;
/// Most rows of another table that one transaction deletes.
const ROWS: usize = 500;
/// Most rows that are looked for at a time.
const FOUND_MAX: i64 = 50_000;
const DAY_US: i64 = 86_400 * 1_000_000;

/// A table that loses single rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    HourlyRollup,
    DailyRollup,
    DailyVitals,
    Report,
    Screenshot,
}

impl Table {
    const ALL: [Self; 5] = [Self::HourlyRollup, Self::DailyRollup, Self::DailyVitals, Self::Report, Self::Screenshot];

    /// The rows that are too old: of which table, which condition on `?1`.
    const fn too_old(self) -> (&'static str, &'static str) {
        match self {
            Self::HourlyRollup => ("rollup", "class = 1 AND day < ?1"),
            Self::DailyRollup => ("rollup", "class = 2 AND day < ?1"),
            Self::DailyVitals => ("rollup", "class = 3 AND day < ?1"),
            Self::Report => ("report", "scheduled_us < ?1"),
            Self::Screenshot => ("screenshot", "scheduled_us < ?1"),
        }
    }

    const fn before(self, limits: Limits) -> i64 {
        match self {
            Self::HourlyRollup => limits.hourly.0.div_euclid(DAY_US),
            Self::DailyRollup | Self::DailyVitals => limits.daily.0.div_euclid(DAY_US),
            Self::Report | Self::Screenshot => limits.raw.0,
        }
    }
}

/// What one transaction lets go.
#[derive(Debug)]
pub(crate) enum Slice {
    /// Whole chunks.
    Chunks(Vec<i64>),
    /// Rows of a table.
    Rows(Table, Vec<i64>),
    /// The figures of single page loads of a day: they become sketches.
    Vitals(PairKey, Day),
    /// The oldest amendments.
    Amendments,
    /// The oldest messages that are over, and their attempts.
    Messages,
    /// The oldest scores.
    Scores,
    /// The oldest findings that are over, with their histories.
    Findings,
    /// The oldest runs of playbooks that are over, with what happened to them.
    PlaybookRuns,
}

/// What lies wholly before the limits, in slices; not everything when that is very much.
pub(crate) fn find(tables: Tables<'_>, limits: Limits) -> Result<Vec<Slice>, StoreError> {
    let mut slices = Vec::new();
    // By pair, so that a pair's counts are written once in a slice.
    let chunks = rowids(tables, "chunk", "last_us < ?1 ORDER BY bucket, check_no, agent_no", limits.raw.0)?;
    slices.extend(chunks.chunks(CHUNKS).map(|slice| Slice::Chunks(slice.to_vec())));
    for table in Table::ALL {
        let (name, condition) = table.too_old();
        let found = rowids(tables, name, condition, table.before(limits))?;
        slices.extend(found.chunks(ROWS).map(|slice| Slice::Rows(table, slice.to_vec())));
    }
    let mut statement = tables
        // By whole days of UTC, rounded down before 1970 as well.
        .prepare(
            "SELECT DISTINCT bucket, check_no, agent_no, (scheduled_us - (scheduled_us % ?2 + ?2) % ?2) / ?2 FROM vitals \
             WHERE scheduled_us < ?1 LIMIT ?3",
        )?;
    let mut rows = statement.query(params![Hour::of(limits.hourly).day().span().from.0, DAY_US, FOUND_MAX])?;
    while let Some(row) = rows.next()? {
        let key = PairKey { bucket: Bucket(row.get(0)?), check: CheckNo(row.get(1)?), agent: AgentNo(row.get(2)?) };
        slices.push(Slice::Vitals(key, Day(row.get(3)?)));
    }
    let old = amendments::count_before(tables, limits.hourly)?;
    slices.extend((0..old.div_ceil(ROWS)).map(|_| Slice::Amendments));
    let old = outbox::count_before(tables, limits.raw)?.into_iter().max().unwrap_or_default();
    slices.extend((0..old.div_ceil(ROWS)).map(|_| Slice::Messages));
    let old = impact::count_before(tables, Hour::of(limits.hourly).day())?;
    slices.extend((0..old.div_ceil(ROWS)).map(|_| Slice::Scores));
    let old = findings::count_before(tables, limits.hourly)?;
    slices.extend((0..old.div_ceil(ROWS)).map(|_| Slice::Findings));
    let old = playbooks::count_before(tables, limits.hourly)?;
    slices.extend((0..old.div_ceil(ROWS)).map(|_| Slice::PlaybookRuns));
    Ok(slices)
}

fn rowids(tables: Tables<'_>, table: &str, condition: &str, before: i64) -> Result<Vec<i64>, StoreError> {
    let mut statement = tables.prepare(&format!("SELECT rowid FROM {table} WHERE {condition} LIMIT ?2"))?;
    let rows = statement.query_map(params![before, FOUND_MAX], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Lets a slice go.
pub(crate) fn let_go(tables: Tables<'_>, slice: &Slice, limits: Limits, now: UtcMicros) -> Result<(), StoreError> {
    match slice {
        Slice::Chunks(rowids) => chunks(tables, rowids, limits, now),
        Slice::Rows(table, rowids) => {
            let (name, condition) = table.too_old();
            let mut delete = tables.prepare_cached(&format!("DELETE FROM {name} WHERE {condition} AND rowid = ?2"))?;
            for rowid in rowids {
                delete.execute(params![table.before(limits), rowid])?;
            }
            Ok(())
        }
        Slice::Vitals(key, day) => vital_days::fold(tables, *key, *day, now),
        Slice::Amendments => amendments::delete_before(tables, limits.hourly, ROWS),
        Slice::Messages => outbox::delete_before(tables, limits.raw, ROWS),
        Slice::Scores => impact::delete_before(tables, Hour::of(limits.hourly).day(), ROWS),
        Slice::Findings => findings::delete_before(tables, limits.hourly, ROWS),
        Slice::PlaybookRuns => playbooks::delete_before(tables, limits.hourly, ROWS),
    }
}

/// Whole chunks go, and their pairs tell how many records went.
fn chunks(tables: Tables<'_>, rowids: &[i64], limits: Limits, now: UtcMicros) -> Result<(), StoreError> {
    let mut find = tables
        .prepare_cached("SELECT bucket, check_no, agent_no, records FROM chunk WHERE rowid = ?1 AND last_us < ?2")?;
    let mut gone: BTreeMap<PairKey, (u64, Vec<i64>)> = BTreeMap::new();
    for rowid in rowids {
        let mut rows = find.query(params![rowid, limits.raw.0])?;
        while let Some(row) = rows.next()? {
            let key = PairKey { bucket: Bucket(row.get(0)?), check: CheckNo(row.get(1)?), agent: AgentNo(row.get(2)?) };
            let (records, chunks) = gone.entry(key).or_default();
            *records += row.get::<_, i64>(3)?.unsigned_abs();
            chunks.push(*rowid);
        }
    }
    let mut delete = tables.prepare_cached("DELETE FROM chunk WHERE rowid = ?1")?;
    for (key, (records, chunks)) in gone {
        // Before its chunks go: damaged counts are made of them. Counts need no intervals.
        let mut asides = Vec::new();
        let mut sealed = mend::pair_or_anew(tables, key, &Intervals::default(), &mut asides)?.unwrap_or_default();
        sealed.expired += records;
        aside::keep(tables, &asides, now)?;
        seal::set_pair(tables, key, &series::encode_pair(&sealed))?;
        for rowid in chunks {
            delete.execute(params![rowid])?;
        }
    }
    Ok(())
}
