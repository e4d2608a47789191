//! Reading records back: out of chunks and out of the rows that are not sealed yet, each once, by slot.
//!
//! To be run at one instant ([`super::Reader::at_one_instant`]): between two reads a record could move from the one to the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;

use rusqlite::params;
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Incarnation, Seq};
use sitepulse_model::record::Record;
use sitepulse_model::time::{Span, UtcMicros};

use super::chunk::{self, Stored};
use super::rows::Arrival;
use super::seal::{self, PairKey, Unreadable};
use super::{StoreError, Tables};

fn bad(table: &'static str, what: impl ToString) -> StoreError {
    StoreError::BadRow { table, what: what.to_string() }
}

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its agent.
    pub agent: AgentNo,
    /// The record with its key.
    pub stored: Stored,
}

/// Names a chunk as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkId(pub(crate) i64);

/// A chunk without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    pub(crate) id: ChunkId,
    pub(crate) agent: AgentNo,
    pub(crate) first: UtcMicros,
    pub(crate) last: UtcMicros,
    pub(crate) number: Arrival,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// A chunk that cannot be read: its records are not shown, everything else is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedChunk {
    /// Whose records.
    pub agent: AgentNo,
    /// From its first slot until after its last.
    pub span: Span,
    /// How many records it held.
    pub records: u64,
    /// What is wrong.
    pub what: String,
}

/// What a span's records were besides those that were handed out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Chunks that cannot be read.
    pub damaged: Vec<DamagedChunk>,
    /// Records that lie outside of chunks and cannot be read. Of the check's whole bucket: which check they were of is lost with them.
    pub unreadable: Vec<Unreadable>,
}

/// Records that are not sealed, by check, in few bytes: for whoever reads many checks at one instant.
#[derive(Debug, Default)]
pub(crate) struct Unsealed {
    checks: BTreeMap<CheckNo, Vec<u8>>,
    /// What cannot be read, of all checks.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// Bytes before a record's body: agent, incarnation, number, provenance, length.
const UNSEALED_HEAD: usize = 28;

impl Unsealed {
    /// All of them. One pass over the rows; memory: their bodies and [`UNSEALED_HEAD`] bytes each.
    pub(crate) fn read(tables: Tables<'_>) -> Result<Self, StoreError> {
        let mut checks: BTreeMap<CheckNo, Vec<u8>> = BTreeMap::new();
        let mut unreadable = seal::unsealed_kept(tables, None, None, |Kept { agent, stored }| {
            let out = checks.entry(stored.record.check()).or_default();
            let at = out.len();
            out.extend_from_slice(&agent.0.to_le_bytes());
            out.extend_from_slice(&stored.incarnation.0.to_le_bytes());
            out.extend_from_slice(&stored.seq.0.to_le_bytes());
            out.extend_from_slice(&stored.provenance.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            sitepulse_wire::record::encode(&stored.record, out);
            let length = (out.len() - at - UNSEALED_HEAD) as u32;
            out[at + UNSEALED_HEAD - 4..at + UNSEALED_HEAD].copy_from_slice(&length.to_le_bytes());
        })?;
        unreadable.extend(seal::set_aside(tables, None, None)?);
        Ok(Self { checks, unreadable })
    }

    /// Those of a check, in order of arrival.
    fn of(&self, check: CheckNo) -> impl Iterator<Item = Kept> {
        let mut rest = self.checks.get(&check).map_or(&[][..], Vec::as_slice);
        std::iter::from_fn(move || {
            let (head, bodies) = rest.split_first_chunk::<UNSEALED_HEAD>()?;
            let four = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
            let (body, next) = bodies.split_at_checked(four(24) as usize)?;
            rest = next;
            let record = sitepulse_wire::record::decode(body).ok()?;
            let stored =
                Stored { incarnation: Incarnation(eight(4)), seq: Seq(eight(12)), provenance: four(20), record };
            Some(Kept { agent: AgentNo(four(0)), stored })
        })
    }
}

/// The chunks of a check that speak of a span, of one agent or of all, by first slot.
pub(crate) fn chunk_heads(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    agent: Option<AgentNo>,
    span: Span,
) -> Result<Vec<ChunkHead>, StoreError> {
    // Two texts: of one agent the key finds the chunks, of all of them it cannot tell the agent.
    let mut heads = match agent {
        Some(agent) => tables
            .prepare_cached(
                "SELECT rowid, agent_no, first_us, last_us, number, records, length(body) FROM chunk \
                 WHERE bucket = ?1 AND check_no = ?2 AND first_us < ?3 AND last_us >= ?4 AND agent_no = ?5",
            )?
            .query_map(params![bucket.0, check.0, span.to.0, span.from.0, agent.0], head)?
            .collect::<Result<Vec<_>, _>>()?,
        None => tables
            .prepare_cached(
                "SELECT rowid, agent_no, first_us, last_us, number, records, length(body) FROM chunk \
                 WHERE bucket = ?1 AND check_no = ?2 AND first_us < ?3 AND last_us >= ?4",
            )?
            .query_map(params![bucket.0, check.0, span.to.0, span.from.0], head)?
            .collect::<Result<Vec<_>, _>>()?,
    };
    heads.sort_unstable_by_key(|head| (head.first, head.number));
    Ok(heads)
}

fn head(row: &rusqlite::Row<'_>) -> rusqlite::Result<ChunkHead> {
    Ok(ChunkHead {
        id: ChunkId(row.get(0)?),
        agent: AgentNo(row.get(1)?),
        first: UtcMicros(row.get(2)?),
        last: UtcMicros(row.get(3)?),
        number: Arrival(row.get(4)?),
        records: row.get::<_, i64>(5)?.unsigned_abs(),
        bytes: row.get::<_, i64>(6)?.unsigned_abs(),
    })
}

/// The last chunks of a pair by first slot, at most so many, in order.
pub(crate) fn newest_chunk_heads(tables: Tables<'_>, key: PairKey, most: usize) -> Result<Vec<ChunkHead>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT rowid, agent_no, first_us, last_us, number, records, length(body) FROM chunk WHERE bucket = ?1 AND check_no = ?2 \
         AND agent_no = ?3 ORDER BY first_us DESC, number DESC LIMIT ?4",
    )?;
    let rows = statement.query_map(params![key.bucket.0, key.check.0, key.agent.0, most as i64], head)?;
    let mut heads = rows.collect::<Result<Vec<_>, _>>()?;
    heads.reverse();
    Ok(heads)
}

/// A pair's chunks that begin at `since` or later, and at most `before` that begin earlier, in order: so many rows, however long the history is.
pub(crate) fn chunk_heads_since(
    tables: Tables<'_>,
    key: PairKey,
    since: UtcMicros,
    before: usize,
) -> Result<Vec<ChunkHead>, StoreError> {
    let of = |sql: &str, most: i64| -> Result<Vec<ChunkHead>, StoreError> {
        let mut statement = tables.prepare_cached(sql)?;
        let rows = statement
            .query_map(params![key.bucket.0, key.check.0, key.agent.0, since.0, most], head)?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(rows)
    };
    let mut heads = of(
        "SELECT rowid, agent_no, first_us, last_us, number, records, length(body) FROM chunk WHERE bucket = ?1 AND check_no = ?2 \
         AND agent_no = ?3 AND first_us < ?4 ORDER BY first_us DESC, number DESC LIMIT ?5",
        before as i64,
    )?;
    heads.reverse();
    heads.extend(of(
        "SELECT rowid, agent_no, first_us, last_us, number, records, length(body) FROM chunk WHERE bucket = ?1 AND check_no = ?2 \
         AND agent_no = ?3 AND first_us >= ?4 ORDER BY first_us, number LIMIT ?5",
        i64::MAX,
    )?);
    Ok(heads)
}

/// A chunk's records; the inner error tells that they cannot be read.
pub(crate) fn chunk_records(
    tables: Tables<'_>,
    id: ChunkId,
) -> Result<Result<Vec<Stored>, chunk::ChunkError>, StoreError> {
    let mut statement = tables.prepare_cached("SELECT body FROM chunk WHERE rowid = ?1")?;
    let mut rows = statement.query(params![id.0])?;
    let row = rows.next()?.ok_or_else(|| bad("chunk", "a chunk is gone"))?;
    Ok(chunk::decode(row.get_ref(0)?.as_blob().map_err(|error| bad("chunk", error))?))
}

/// Whether a record speaks of a span.
fn speaks_of(record: &Record, span: Span) -> bool {
    record.scheduled() < span.to && crate::seal::last_slot(record) >= span.from
}

/// What orders records: the slot, and what makes them different.
type Order = (UtcMicros, AgentNo, Incarnation, Seq);

fn order(kept: &Kept) -> Order {
    (kept.stored.record.scheduled(), kept.agent, kept.stored.incarnation, kept.stored.seq)
}

struct Waiting(Kept);

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        order(&self.0) == order(&other.0)
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        order(&self.0).cmp(&order(&other.0))
    }
}

/// Calls `each` with every record of a check that speaks of a span, of one agent or of all, once, by its first slot, until that breaks off.
/// Holds the chunks that overlap an instant, and the check's records that are not sealed, in memory.
pub(crate) fn records_of(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    agent: Option<AgentNo>,
    span: Span,
    mut each: impl FnMut(Kept) -> ControlFlow<()>,
) -> Result<ReadBack, StoreError> {
    let mut unsealed = Vec::new();
    let mut unreadable = seal::unsealed_kept(tables, Some(bucket), agent, |kept| {
        if kept.stored.record.check() == check {
            unsealed.push(kept);
        }
    })?;
    unreadable.extend(seal::set_aside(tables, Some(bucket), agent)?);
    let mut told = merged(tables, (bucket, check), agent, span, unsealed.into_iter(), &mut each)?;
    told.unreadable = unreadable;
    Ok(told)
}

/// [`records_of`] all agents, with what is not sealed as it was read for many checks at the same instant; what of that cannot be read stands there.
pub(crate) fn records_with(
    tables: Tables<'_>,
    unsealed: &Unsealed,
    (bucket, check): (Bucket, CheckNo),
    span: Span,
    mut each: impl FnMut(Kept) -> ControlFlow<()>,
) -> Result<ReadBack, StoreError> {
    merged(tables, (bucket, check), None, span, unsealed.of(check), &mut each)
}

fn merged(
    tables: Tables<'_>,
    (bucket, check): (Bucket, CheckNo),
    agent: Option<AgentNo>,
    span: Span,
    unsealed: impl Iterator<Item = Kept>,
    each: &mut dyn FnMut(Kept) -> ControlFlow<()>,
) -> Result<ReadBack, StoreError> {
    let unsealed = unsealed.filter(|kept| speaks_of(&kept.stored.record, span));
    let mut waiting: BinaryHeap<Reverse<Waiting>> = unsealed.map(|kept| Reverse(Waiting(kept))).collect();
    let mut told = ReadBack::default();
    let mut heads = chunk_heads(tables, bucket, check, agent, span)?.into_iter().peekable();
    loop {
        let next = heads.peek().map_or(UtcMicros::MAX, |head| head.first);
        while waiting.peek().is_some_and(|Reverse(first)| order(&first.0).0 < next || heads.peek().is_none()) {
            let Some(Reverse(Waiting(kept))) = waiting.pop() else { break };
            if each(kept).is_break() {
                return Ok(told);
            }
        }
        let Some(head) = heads.next() else { return Ok(told) };
        match chunk_records(tables, head.id)? {
            Ok(records) => waiting.extend(
                records
                    .into_iter()
                    .filter(|stored| speaks_of(&stored.record, span))
                    .map(|stored| Reverse(Waiting(Kept { agent: head.agent, stored }))),
            ),
            Err(error) => told.damaged.push(DamagedChunk {
                agent: head.agent,
                span: Span::new(head.first, head.last.plus_us(1)),
                records: head.records,
                what: error.to_string(),
            }),
        }
    }
}

/// Records of a pair that went with their age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) agent: AgentNo,
    pub(crate) records: u64,
    /// The first slot of which a sealed record is kept.
    pub(crate) kept_from: Option<UtcMicros>,
}

/// Of which agents records of a check are gone. Pairs whose counts cannot be read are left out: the start tells of them.
pub(crate) fn gone(tables: Tables<'_>, bucket: Bucket, check: CheckNo) -> Result<Vec<Gone>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT p.agent_no, p.body, (SELECT min(first_us) FROM chunk c WHERE c.bucket = p.bucket AND c.check_no = p.check_no \
         AND c.agent_no = p.agent_no) FROM pair p WHERE p.bucket = ?1 AND p.check_no = ?2 ORDER BY p.agent_no",
    )?;
    let mut rows = statement.query(params![bucket.0, check.0])?;
    let mut gone = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_blob().map_err(|error| bad("pair", error))?;
        if let Ok(sealed) = super::series::decode_pair(body)
            && sealed.expired > 0
        {
            let kept_from = row.get::<_, Option<i64>>(2)?.map(UtcMicros);
            gone.push(Gone { agent: AgentNo(row.get(0)?), records: sealed.expired, kept_from });
        }
    }
    Ok(gone)
}

/// Every pair that has anything sealed.
pub(crate) fn sealed_pairs(tables: Tables<'_>) -> Result<Vec<PairKey>, StoreError> {
    let mut statement = tables.prepare_cached("SELECT bucket, check_no, agent_no FROM pair")?;
    let rows = statement.query_map([], |row| {
        Ok(PairKey { bucket: Bucket(row.get(0)?), check: CheckNo(row.get(1)?), agent: AgentNo(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The next pairs in order that have anything sealed, at most so many.
pub(crate) fn sealed_pairs_after(
    tables: Tables<'_>,
    after: Option<PairKey>,
    most: usize,
) -> Result<Vec<PairKey>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT bucket, check_no, agent_no FROM pair WHERE (bucket, check_no, agent_no) > (?1, ?2, ?3) \
         ORDER BY bucket, check_no, agent_no LIMIT ?4",
    )?;
    let (bucket, check, agent) =
        after.map_or((-1, -1, -1), |key| (i64::from(key.bucket.0), i64::from(key.check.0), i64::from(key.agent.0)));
    let rows = statement.query_map(params![bucket, check, agent, most as i64], |row| {
        Ok(PairKey { bucket: Bucket(row.get(0)?), check: CheckNo(row.get(1)?), agent: AgentNo(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many records are kept: in chunks, and in blocks that are not sealed.
pub(super) fn count(tables: Tables<'_>) -> Result<u64, StoreError> {
    let sealed: i64 = tables.query_row("SELECT coalesce(sum(records), 0) FROM chunk", [], |row| row.get(0))?;
    Ok(sealed.cast_unsigned() + seal::unsealed_count(tables)?)
}
