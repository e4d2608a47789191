//! Sealing: records move from `result`, where they lie in order of arrival, into chunks, series and pairs.
//!
//! The row `seal(bucket, upto)` is the truth. It is set in the transaction that puts the bucket's records up to there into the sealed
//! tables, so at every instant each record counts once: rows of `result` at or below it are dead, wherever they still lie, and are deleted
//! later in slices. A transaction names the `upto` that it was prepared from and does nothing where that has changed.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use sitepulse_daemon::clock;
use sitepulse_model::id::{AgentNo, BUCKETS, Bucket, CheckNo, Incarnation, Seq};
use sitepulse_model::record::Record;
use sitepulse_model::series::Series;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::record::DecodeError;

use super::aside::{self, Aside};
use super::block::{self, Place, Raw};
use super::chunk::Stored;
use super::mend::{self, Damage};
use super::records::{ChunkId, Kept};
use super::rows::{Arrival, Quarantine, RecordKey, Sources};
use super::series::{self, BodyError, Sealed};
use super::{StoreError, Tables};
use crate::seal::Intervals;

/// Most records of one bucket that are sealed in one transaction: bounds its length, and memory.
pub(crate) const ROWS_MAX: u64 = 32_000;
/// Most bytes of records of one bucket that are sealed in one transaction.
const BYTES_MAX: u64 = 16 << 20;

/// Why a record lies in the table `quarantine` that could not be read when it was to be sealed.
const SET_ASIDE: &str = "damaged";

fn bad(table: &'static str, what: impl ToString) -> StoreError {
    StoreError::BadRow { table, what: what.to_string() }
}

/// A check and an agent, with the check's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PairKey {
    pub(crate) bucket: Bucket,
    pub(crate) check: CheckNo,
    pub(crate) agent: AgentNo,
}

/// Up to where each bucket is sealed, by bucket; 0 where nothing is.
pub(crate) type Upto = [Arrival; BUCKETS as usize];

/// Up to where each bucket is sealed.
pub(crate) fn upto(tables: Tables<'_>) -> Result<Upto, StoreError> {
    let mut upto = [Arrival(0); BUCKETS as usize];
    let mut statement = tables.prepare_cached("SELECT bucket, upto FROM seal")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let bucket: u8 = row.get(0)?;
        *upto.get_mut(usize::from(bucket)).ok_or_else(|| bad("seal", format!("bucket {bucket}")))? =
            Arrival(row.get(1)?);
    }
    Ok(upto)
}

fn least(upto: &Upto) -> Arrival {
    upto.iter().copied().min().unwrap_or_default()
}

/// Records that are not sealed, as they were read.
#[derive(Debug, Default)]
pub(crate) struct Unsealed {
    pub(crate) records: u64,
    /// Rows that cannot be read, and why: left out here, set aside when their bucket is sealed.
    pub(crate) damaged: Vec<String>,
}

/// Calls `each` with every record that is not sealed, in order of arrival.
pub(crate) fn unsealed(
    tables: Tables<'_>,
    mut each: impl FnMut(Arrival, AgentNo, Record),
) -> Result<Unsealed, StoreError> {
    let sealed = upto(tables)?;
    let mut sources = Sources::of_tables(tables);
    let mut read = Unsealed::default();
    each_raw(tables, least(&sealed), Arrival(i64::MAX), |raw| {
        if is_sealed(&sealed, raw) {
            return Ok(ControlFlow::Continue(()));
        }
        let record = raw.record().map_err(|error| bad("result", error));
        let source = record.and_then(|record| Ok((record, sources.of(raw.place.source)?)));
        match source {
            Ok((record, source)) => {
                each(raw.arrival, source.agent, record);
                read.records += 1;
            }
            Err(error) => read.damaged.push(format!("{error}, arrival {}", raw.arrival.0)),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(read)
}

/// Calls `each` with every record that arrived after `from` and up to `upto`, sealed or not, in order of arrival, until that breaks off. What is
/// torn off a block comes as one.
fn each_raw(
    tables: Tables<'_>,
    from: Arrival,
    upto: Arrival,
    mut each: impl FnMut(&Raw<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    // The block that begins at or before `from` may reach beyond it.
    let mut statement = tables.prepare_cached(
        "SELECT arrival, records, body FROM result \
         WHERE arrival >= coalesce((SELECT max(arrival) FROM result WHERE arrival <= ?1), 0) AND arrival <= ?2 ORDER BY arrival",
    )?;
    let mut rows = statement.query(params![from.0, upto.0])?;
    while let Some(row) = rows.next()? {
        let block = row.get_ref(2)?.as_blob().map_err(|error| bad("result", error))?;
        for raw in block::Reader::new(Arrival(row.get(0)?), row.get(1)?, block) {
            if raw.arrival > from && raw.arrival <= upto && each(&raw)?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How many records are not sealed.
pub(crate) fn unsealed_count(tables: Tables<'_>) -> Result<u64, StoreError> {
    let sealed = upto(tables)?;
    let mut count = 0;
    each_raw(tables, least(&sealed), Arrival(i64::MAX), |raw| {
        count += u64::from(!is_sealed(&sealed, raw) && !raw.is_torn());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

fn is_sealed(sealed: &Upto, raw: &Raw<'_>) -> bool {
    // A block names no bucket that cannot be.
    sealed.get(usize::from(raw.place.bucket.0)).is_some_and(|upto| raw.arrival <= *upto)
}

/// Rows of `result` that are left out because they cannot be read: whose check's they were, and of when, nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Who sent them; `None` where their source is lost.
    pub agent: Option<AgentNo>,
    /// How many.
    pub records: u64,
    /// Whether they lie in the table `quarantine` by now, else still in `result`.
    pub set_aside: bool,
}

/// Calls `each` with every record that is not sealed, of one bucket or of all, of one agent or of all, in order of arrival. What cannot be read
/// is told. A pass over all such rows.
pub(crate) fn unsealed_kept(
    tables: Tables<'_>,
    bucket: Option<Bucket>,
    agent: Option<AgentNo>,
    mut each: impl FnMut(Kept),
) -> Result<Vec<Unreadable>, StoreError> {
    let sealed = upto(tables)?;
    let from =
        bucket.map_or_else(|| least(&sealed), |bucket| sealed.get(usize::from(bucket.0)).copied().unwrap_or_default());
    let mut sources = Sources::of_tables(tables);
    let mut unreadable: BTreeMap<Option<AgentNo>, u64> = BTreeMap::new();
    each_raw(tables, from, Arrival(i64::MAX), |raw| {
        // Where what is torn belongs nobody can tell.
        if is_sealed(&sealed, raw) || bucket.is_some_and(|bucket| bucket != raw.place.bucket && !raw.is_torn()) {
            return Ok(ControlFlow::Continue(()));
        }
        let source = sources.of(raw.place.source).ok();
        let of = source.map(|source| source.agent);
        if agent.is_some() && of.is_some() && agent != of {
            return Ok(ControlFlow::Continue(()));
        }
        let (Some(source), Ok(record)) = (source, raw.record()) else {
            *unreadable.entry(of).or_default() += 1;
            return Ok(ControlFlow::Continue(()));
        };
        let Place { source: number, seq, .. } = raw.place;
        let stored = Stored { incarnation: source.incarnation, seq, provenance: number, record };
        each(Kept { agent: source.agent, stored });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(unreadable.into_iter().map(|(agent, records)| Unreadable { agent, records, set_aside: false }).collect())
}

/// What was set aside of one bucket, or of all, when it was sealed, of one agent or of all.
pub(crate) fn set_aside(
    tables: Tables<'_>,
    bucket: Option<Bucket>,
    agent: Option<AgentNo>,
) -> Result<Vec<Unreadable>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT agent_no, count(*) FROM quarantine WHERE (?1 IS NULL OR bucket = ?1 OR agent_no = 0) AND reason = ?2 AND (?3 IS NULL OR agent_no IN (0, ?3)) \
         GROUP BY agent_no",
    )?;
    let rows =
        statement.query_map(params![bucket.map(|bucket| bucket.0), SET_ASIDE, agent.map(|agent| agent.0)], |row| {
            // 0 is nobody's number.
            let agent = Some(AgentNo(row.get(0)?)).filter(|agent| agent.0 > 0);
            Ok(Unreadable { agent, records: row.get::<_, i64>(1)?.unsigned_abs(), set_aside: true })
        })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is sealed next of one bucket: the records that arrived after `from`, up to `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portion {
    pub(crate) bucket: Bucket,
    pub(crate) from: Arrival,
    pub(crate) upto: Arrival,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Up to where each bucket can be sealed, at most to `cut`: not further than a transaction holds, and not past an arrival that an amendment
/// still needs to tell the state before it. One pass over the unsealed rows. Buckets that are there already are left out.
pub(crate) fn portions(tables: Tables<'_>, cut: Arrival) -> Result<Vec<Portion>, StoreError> {
    let sealed = upto(tables)?;
    let mut limits = [cut; BUCKETS as usize];
    let mut statement = tables.prepare_cached("SELECT bucket, min(before_arrival) FROM late GROUP BY bucket")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (bucket, before): (u8, i64) = (row.get(0)?, row.get(1)?);
        let limit = limits.get_mut(usize::from(bucket)).ok_or_else(|| bad("late", format!("bucket {bucket}")))?;
        *limit = (*limit).min(Arrival(before));
    }
    let portion = |bucket: u8| {
        let at = usize::from(bucket);
        Portion { bucket: Bucket(bucket), from: sealed[at], upto: limits[at], rows: 0, bytes: 0 }
    };
    let mut portions: Vec<Portion> = (0..BUCKETS).map(portion).collect();
    let mut full = [false; BUCKETS as usize];
    each_raw(tables, least(&sealed), cut, |raw| {
        let (arrival, bucket) = (raw.arrival, usize::from(raw.place.bucket.0));
        let bytes = raw.bytes.len() as u64;
        let portion = portions.get_mut(bucket).ok_or_else(|| bad("result", format!("bucket {bucket}")))?;
        if full[bucket] || arrival <= portion.from || arrival > portion.upto {
            return Ok(ControlFlow::Continue(()));
        }
        if portion.rows == ROWS_MAX || (portion.rows > 0 && portion.bytes + bytes > BYTES_MAX) {
            full[bucket] = true;
            portion.upto = Arrival(arrival.0 - 1);
            let all = full.iter().all(|full| *full);
            return Ok(if all { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
        }
        portion.rows += 1;
        portion.bytes += bytes;
        Ok(ControlFlow::Continue(()))
    })?;
    portions.retain(|portion| portion.from < portion.upto);
    Ok(portions)
}

/// A record of `result`, not decoded yet.
#[derive(Debug)]
pub(crate) struct RawRow {
    pub(crate) arrival: Arrival,
    pub(crate) agent: AgentNo,
    incarnation: Incarnation,
    seq: Seq,
    provenance: u32,
    has_source: bool,
    base: UtcMicros,
    /// Where its bytes lie among those of its bucket.
    body: Range<usize>,
    torn: Option<DecodeError>,
}

/// The records of one bucket, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct RawRows {
    rows: Vec<RawRow>,
    bytes: Vec<u8>,
}

impl RawRows {
    /// Each with its bytes.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&RawRow, &[u8])> {
        self.rows.iter().map(|row| (row, &self.bytes[row.body.clone()]))
    }

    /// One of them, counted from 0, with its bytes.
    pub(crate) fn at(&self, index: usize) -> (&RawRow, &[u8]) {
        let row = &self.rows[index];
        (row, &self.bytes[row.body.clone()])
    }
}

/// A record that cannot be read.
#[derive(Debug)]
pub(crate) struct DamagedRow {
    key: RecordKey,
    body: Box<[u8]>,
}

impl RawRow {
    /// For the table `quarantine`, when it cannot be read.
    pub(crate) fn set_aside(&self, bytes: &[u8], bucket: Bucket) -> DamagedRow {
        let key = RecordKey { bucket, agent: self.agent, incarnation: self.incarnation, seq: self.seq };
        DamagedRow { key, body: bytes.into() }
    }

    /// The check that it is of, without reading all of it.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<CheckNo, StoreError> {
        match &self.torn {
            Some(error) => Err(bad("result", error)),
            None => sitepulse_wire::record::check_of(bytes).map_err(|error| bad("result", error)),
        }
    }

    /// The record with its key.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Stored, StoreError> {
        if let Some(error) = &self.torn {
            return Err(bad("result", error));
        }
        let record = sitepulse_wire::record::decode_from(self.base, bytes).map_err(|error| bad("result", error))?;
        if !self.has_source {
            return Err(bad("source", format!("number {} is not there", self.provenance)));
        }
        Ok(Stored { incarnation: self.incarnation, seq: self.seq, provenance: self.provenance, record })
    }
}

/// The records of some portions by bucket, in order of arrival. One pass over the rows; as much memory as the portions' bytes.
pub(crate) fn gather(tables: Tables<'_>, portions: &[Portion]) -> Result<BTreeMap<Bucket, RawRows>, StoreError> {
    let mut sources = Sources::of_tables(tables);
    let from = portions.iter().map(|portion| portion.from).min().unwrap_or_default();
    let upto = portions.iter().map(|portion| portion.upto).max().unwrap_or_default();
    // By bucket: each record asks.
    let mut gathered: Vec<Option<(&Portion, RawRows)>> = (0..BUCKETS).map(|_| None).collect();
    for portion in portions {
        let room = (usize::try_from(portion.rows).unwrap_or(0), usize::try_from(portion.bytes).unwrap_or(0));
        let rows = RawRows { rows: Vec::with_capacity(room.0), bytes: Vec::with_capacity(room.1) };
        let place = gathered.get_mut(usize::from(portion.bucket.0));
        *place.ok_or_else(|| bad("result", format!("bucket {}", portion.bucket)))? = Some((portion, rows));
    }
    // Records of one source mostly follow each other; `None` of one that is lost.
    let mut last: Option<(u32, Option<(AgentNo, Incarnation)>)> = None;
    each_raw(tables, from, upto, |raw| {
        let Place { bucket, source: number, seq } = raw.place;
        let Some(Some((portion, RawRows { rows, bytes }))) = gathered.get_mut(usize::from(bucket.0)) else {
            return Ok(ControlFlow::Continue(()));
        };
        if raw.arrival <= portion.from || raw.arrival > portion.upto {
            return Ok(ControlFlow::Continue(()));
        }
        let source = match last {
            Some((known, source)) if known == number => source,
            Some(_) | None => {
                let source = match sources.of(number) {
                    Ok(source) => Some((source.agent, source.incarnation)),
                    Err(error) if error.is_damage() => None,
                    // A disk that fails for a moment loses nobody's records: the round is tried again.
                    Err(error) => return Err(error),
                };
                last = Some((number, source));
                source
            }
        };
        let begin = bytes.len();
        bytes.extend_from_slice(raw.bytes);
        rows.push(RawRow {
            arrival: raw.arrival,
            agent: source.map(|(agent, _)| agent).unwrap_or_default(),
            incarnation: source.map(|(_, incarnation)| incarnation).unwrap_or_default(),
            has_source: source.is_some(),
            seq,
            provenance: number,
            base: raw.base,
            body: begin..bytes.len(),
            torn: raw.is_torn().then(|| raw.record().err()).flatten(),
        });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(gathered.into_iter().flatten().map(|(portion, rows)| (portion.bucket, rows)).collect())
}

/// What is sealed of a pair, without its series; `None` where nothing is. The inner error tells that it is damaged.
pub(crate) fn pair(tables: Tables<'_>, key: PairKey) -> Result<Option<Result<Sealed, BodyError>>, StoreError> {
    let body: Option<Vec<u8>> = tables
        .prepare_cached("SELECT body FROM pair WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3")?
        .query_row(params![key.bucket.0, key.check.0, key.agent.0], |row| row.get(0))
        .optional()?;
    match body.map(|body| series::decode_pair(&body)) {
        Some(Err(BodyError::Version(version))) => Err(bad_pair(key, BodyError::Version(version))),
        read => Ok(read),
    }
}

/// Calls `each` with everything that is sealed of every pair; how many records that is, and which bodies could not be read and were made anew.
pub(crate) fn sealed(
    tables: Tables<'_>,
    intervals: &Intervals,
    mut each: impl FnMut(PairKey, Sealed),
) -> Result<(u64, Vec<Damage>), StoreError> {
    let mut pairs =
        tables.prepare("SELECT bucket, check_no, agent_no, body FROM pair ORDER BY bucket, check_no, agent_no")?;
    let mut segments = tables.prepare(
        "SELECT month, body FROM series WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 ORDER BY month",
    )?;
    let mut rows = pairs.query([])?;
    let mut records = 0;
    let mut damages = Vec::new();
    while let Some(row) = rows.next()? {
        let key = PairKey { bucket: Bucket(row.get(0)?), check: CheckNo(row.get(1)?), agent: AgentNo(row.get(2)?) };
        let body = row.get_ref(3)?.as_blob().map_err(|error| bad("pair", error))?;
        let mut sealed = match series::decode_pair(body) {
            Ok(sealed) => sealed,
            Err(BodyError::Version(version)) => return Err(bad_pair(key, BodyError::Version(version))),
            Err(why) => {
                let (sealed, damage) = mend::pair(tables, key, intervals, why)?;
                damages.push(damage);
                sealed
            }
        };
        let mut rows = segments.query(params![key.bucket.0, key.check.0, key.agent.0])?;
        while let Some(row) = rows.next()? {
            let month = row.get(0)?;
            let body = row.get_ref(1)?.as_blob().map_err(|error| bad("series", error))?;
            // Not into the pair's own series: what a damaged body says is not to be believed by half.
            let mut of_month = Series::new();
            match series::decode_segment(body, &mut of_month) {
                Ok(()) => {
                    for run in of_month.runs() {
                        sealed.pair.series.insert_run(*run);
                    }
                }
                Err(BodyError::Version(version)) => return Err(bad_segment(key, month, BodyError::Version(version))),
                Err(why) => damages.push(mend::segment(tables, &mut sealed, (key, month), intervals, why)?),
            }
        }
        records += sealed.records;
        each(key, sealed);
    }
    Ok((records, damages))
}

fn bad_pair(key: PairKey, error: series::BodyError) -> StoreError {
    bad("pair", format!("check {}, agent {}: {error}", key.check, key.agent))
}

fn bad_segment(key: PairKey, month: i64, error: series::BodyError) -> StoreError {
    bad("series", format!("check {}, agent {}, month {month}: {error}", key.check, key.agent))
}

/// Puts the stored segment of a month into a series, where there is one. The inner error tells that it is damaged: then nothing was put.
pub(crate) fn load_segment(
    tables: Tables<'_>,
    key: PairKey,
    month: i64,
    into: &mut Series,
) -> Result<Result<(), BodyError>, StoreError> {
    let body: Option<Vec<u8>> = tables
        .prepare_cached("SELECT body FROM series WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 AND month = ?4")?
        .query_row(params![key.bucket.0, key.check.0, key.agent.0, month], |row| row.get(0))
        .optional()?;
    let Some(body) = body else { return Ok(Ok(())) };
    let mut of_month = Series::new();
    match series::decode_segment(&body, &mut of_month) {
        Ok(()) => {
            for run in of_month.runs() {
                into.insert_run(*run);
            }
            Ok(Ok(()))
        }
        Err(BodyError::Version(version)) => Err(bad_segment(key, month, BodyError::Version(version))),
        Err(why) => Ok(Err(why)),
    }
}

/// A body of the table `chunk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkBody {
    pub(crate) first: UtcMicros,
    pub(crate) last: UtcMicros,
    /// The newest arrival among its records: no two chunks have the same.
    pub(crate) number: Arrival,
    pub(crate) records: u64,
    pub(crate) body: Vec<u8>,
}

/// What sealing writes of one pair.
#[derive(Debug)]
pub(crate) struct PreparedPair {
    pub(crate) key: PairKey,
    pub(crate) chunks: Vec<ChunkBody>,
    /// Whole segments by month.
    pub(crate) segments: Vec<(i64, Vec<u8>)>,
    pub(crate) pair: Vec<u8>,
    /// Latencies of the days that its results touch.
    pub(crate) rollups: Vec<super::rollup::DayBodies>,
}

/// One bucket's transaction, prepared beside the writer.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) portion: Portion,
    pub(crate) pairs: Vec<PreparedPair>,
    /// Records that cannot be read: set aside, so that they hold up no other.
    pub(crate) damaged: Vec<DamagedRow>,
    /// Bodies that cannot be read and that this writes over: kept before.
    pub(crate) asides: Vec<Aside>,
    /// How long the pairs' rollups took to make.
    pub(crate) rollups: Duration,
}

impl Prepared {
    /// Nothing of a portion yet.
    pub(crate) fn of(portion: Portion) -> Self {
        Self { portion, pairs: Vec::new(), damaged: Vec::new(), asides: Vec::new(), rollups: Duration::ZERO }
    }
}

/// Seals a portion: everything or, where the bucket is no longer sealed up to where this was prepared from or an amendment needs the state in
/// between, nothing (`None`). Tells how long its rollups took to set.
pub(crate) fn seal(tables: Tables<'_>, prepared: &Prepared, now: UtcMicros) -> Result<Option<Duration>, StoreError> {
    let Portion { bucket, from, upto, .. } = prepared.portion;
    let sealed: Option<i64> = tables
        .prepare_cached("SELECT upto FROM seal WHERE bucket = ?1")?
        .query_row(params![bucket.0], |row| row.get(0))
        .optional()?;
    let needed: bool = tables
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM late WHERE bucket = ?1 AND before_arrival < ?2)")?
        .query_row(params![bucket.0, upto.0], |row| row.get(0))?;
    if Arrival(sealed.unwrap_or(0)) != from || needed {
        return Ok(None);
    }
    aside::keep(tables, &prepared.asides, now)?;
    for pair in &prepared.pairs {
        for chunk in &pair.chunks {
            insert_chunk(tables, pair.key, chunk)?;
        }
        for (month, body) in &pair.segments {
            set_segment(tables, pair.key, *month, body)?;
        }
        set_pair(tables, pair.key, &pair.pair)?;
    }
    let begun = clock::monotonic();
    for pair in &prepared.pairs {
        for day in &pair.rollups {
            super::rollup::set(tables, pair.key, day)?;
        }
    }
    let rollups = clock::monotonic().since(begun);
    let mut quarantine = Quarantine::new(tables)?;
    for row in &prepared.damaged {
        quarantine.set_aside(row.key, now, SET_ASIDE, &row.body)?;
    }
    tables
        .prepare_cached(
            "INSERT INTO seal(bucket, upto) VALUES (?1, ?2) ON CONFLICT (bucket) DO UPDATE SET upto = excluded.upto",
        )?
        .execute(params![bucket.0, upto.0])?;
    Ok(Some(rollups))
}

/// Adds a chunk.
pub(crate) fn insert_chunk(tables: Tables<'_>, key: PairKey, chunk: &ChunkBody) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO chunk(bucket, check_no, agent_no, first_us, number, last_us, records, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            key.bucket.0,
            key.check.0,
            key.agent.0,
            chunk.first.0,
            chunk.number.0,
            chunk.last.0,
            chunk.records.cast_signed(),
            chunk.body
        ])?;
    Ok(())
}

/// Puts a chunk in the place of others of its pair: everything, or nothing where one of them is gone. Tells which.
pub(crate) fn replace_chunks(
    tables: Tables<'_>,
    key: PairKey,
    replaced: &[ChunkId],
    merged: &ChunkBody,
) -> Result<bool, StoreError> {
    let (mut count, mut records) = (0, 0);
    for id in replaced {
        let found: Option<i64> = tables
            .prepare_cached(
                "SELECT records FROM chunk WHERE rowid = ?1 AND bucket = ?2 AND check_no = ?3 AND agent_no = ?4",
            )?
            .query_row(params![id.0, key.bucket.0, key.check.0, key.agent.0], |row| row.get(0))
            .optional()?;
        count += usize::from(found.is_some());
        records += found.unwrap_or(0).unsigned_abs();
    }
    if count != replaced.len() || records != merged.records {
        return Ok(false);
    }
    for id in replaced {
        tables.prepare_cached("DELETE FROM chunk WHERE rowid = ?1")?.execute(params![id.0])?;
    }
    insert_chunk(tables, key, merged)?;
    Ok(true)
}

/// Sets the segment of a month.
pub(crate) fn set_segment(tables: Tables<'_>, key: PairKey, month: i64, body: &[u8]) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO series(bucket, check_no, agent_no, month, body) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (bucket, check_no, agent_no, month) DO UPDATE SET body = excluded.body",
        )?
        .execute(params![key.bucket.0, key.check.0, key.agent.0, month, body])?;
    Ok(())
}

/// Sets the counts of a pair.
pub(crate) fn set_pair(tables: Tables<'_>, key: PairKey, body: &[u8]) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO pair(bucket, check_no, agent_no, body) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (bucket, check_no, agent_no) DO UPDATE SET body = excluded.body",
        )?
        .execute(params![key.bucket.0, key.check.0, key.agent.0, body])?;
    Ok(())
}

/// Deletes up to `rows_max` rows that every bucket has sealed; how many went.
pub(crate) fn delete_sealed(tables: Tables<'_>, rows_max: u64) -> Result<u64, StoreError> {
    let dead = least(&upto(tables)?);
    // The rows lie in order of arrival: a slice is the beginning of the table.
    let deleted = tables
        .prepare_cached(
            "DELETE FROM result WHERE arrival <= ?1 AND arrival + records - 1 <= ?1 AND arrival <= \
             coalesce((SELECT arrival FROM result ORDER BY arrival LIMIT 1 OFFSET ?2), ?1 + 1) - 1",
        )?
        .execute(params![dead.0, rows_max.cast_signed()])?;
    Ok(deleted as u64)
}
