//! The table `rollup`: latencies of the sealed results of one check from one agent as sketches, by the hour (a row a day) and by the day as a whole.
//!
//! Rows are set, never added to: who seals reads what is there, adds what is sealed now, and sets both rows in the transaction that
//! moves the seal.
//!
//! A body is written each time its day is sealed anew: coding it costs less than a tenth of what arithmetic coding did (version 1, which [`coded`] still
//! reads), for a quarter more bytes.
//!
//! Layout of a body: version byte; CRC32C of the rest (4 bytes, little endian); bits (`store/bits.rs`). The bits: how many hours; of each which of the day (of a whole day
//! 0) and how many results failed; then of each phase how many buckets its sketch has, the first one against that of the hour before, how steps and
//! counts are written, the steps between buckets and their counts; the smallest and the largest value from their buckets' first, and the sum against what the
//! buckets' middles add up to.

mod coded;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{OptionalExtension, params};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::record::Phase;
use sitepulse_model::sketch::{BUCKETS_MAX, Sketch, SketchError};
use thiserror::Error;

use super::aside::{Aside, Place};
use super::bits::{Reader, Writer, rice_bits};
use super::range::{Cut, unzigzag, zigzag};
use super::seal::PairKey;
use super::{StoreError, Tables, mend};
use crate::latency::{self, Day, DayLatencies, Latencies, Sample};

const VERSION: u8 = 2;
const HEAD_BYTES: usize = 5;
const PHASES: usize = Phase::ALL.len();

/// Why bytes are no rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RollupError {
    /// They end early, or go on after the end.
    #[error("a rollup of {0} bytes is cut or has more than belongs to it")]
    Length(usize),
    /// A newer build wrote them, or the first byte is damaged.
    #[error("a rollup of version {0} is not known: this build knows version {VERSION}")]
    Version(u8),
    /// They are not what was written.
    #[error("a rollup's checksum is wrong")]
    Checksum,
    /// They contradict themselves.
    #[error("a rollup contradicts itself: {0}")]
    Damaged(&'static str),
    /// A sketch in them does.
    #[error(transparent)]
    Sketch(#[from] SketchError),
}

/// Bits of the number of hours, and of which of the day one is.
const HOUR_BITS: u32 = 5;
/// How numbers are written whose size is much the same everywhere: see [`Writer::rice`].
const BUCKETS_RICE: u32 = 4;
const FIRST_RICE: u32 = 3;
/// Bits of how steps and counts are written.
const RICE_BITS: u32 = 4;

/// Why reading ends.
enum Stop {
    Cut,
    Wrong(RollupError),
}

impl From<Cut> for Stop {
    fn from(_: Cut) -> Self {
        Self::Cut
    }
}

impl From<SketchError> for Stop {
    fn from(error: SketchError) -> Self {
        Self::Wrong(error.into())
    }
}

const fn wrong(what: &'static str) -> Stop {
    Stop::Wrong(RollupError::Damaged(what))
}

/// The first value of a bucket, the bits that a value of it has beyond, and what its values are taken for in an estimate of their sum.
fn bucket_of(at: u16) -> Option<(u64, u32, u128)> {
    let (first, last) = Sketch::bucket_range(at)?;
    Some((first, (last - first).count_ones(), u128::from(first + (last - first) / 2)))
}

/// Writes a sketch; `before`: the first bucket of the same phase the hour before.
fn put_sketch(out: &mut Writer, before: &mut u16, sketch: &Sketch) {
    let (buckets, min, max, sum) = sketch.parts();
    out.rice(buckets.len() as u64, BUCKETS_RICE);
    let (Some((first, _)), Some((last, _))) = (buckets.first(), buckets.last()) else { return };
    out.rice(zigzag(u64::from(*first).wrapping_sub(u64::from(*before))), FIRST_RICE);
    *before = *first;
    let skipped = usize::from(last - first) + 1 - buckets.len();
    let steps = rice_bits(skipped as u64, buckets.len() as u64 - 1);
    let beyond = buckets.iter().fold(0_u64, |sum, (_, times)| sum.saturating_add(times - 1));
    let counts = rice_bits(beyond, buckets.len() as u64);
    out.bits(u64::from(steps), RICE_BITS);
    out.bits(u64::from(counts), RICE_BITS);
    let (mut estimate, mut next) = (0_u128, *first);
    for (at, times) in buckets {
        if at != first {
            out.rice(u64::from(at - next), steps);
        }
        next = at + 1;
        out.rice(times - 1, counts);
        let (_, _, middle) = bucket_of(*at).unwrap_or_default();
        estimate = estimate.wrapping_add(middle.wrapping_mul(u128::from(*times)));
    }
    let ((low, low_bits, _), (high, high_bits, _)) =
        (bucket_of(*first).unwrap_or_default(), bucket_of(*last).unwrap_or_default());
    // Values too far below the largest are counted in the lowest bucket that is kept.
    out.bits(u64::from(min < low), 1);
    if min < low {
        out.number(min);
    } else {
        out.wide(min - low, low_bits);
    }
    out.wide(max - high, high_bits);
    let off = sum.wrapping_sub(estimate).cast_signed();
    let off = ((off << 1) ^ (off >> 127)).cast_unsigned();
    out.number(off as u64);
    out.rice((off >> 64) as u64, 0);
}

/// Reads what [`put_sketch`] wrote.
fn take_sketch(bits: &mut Reader<'_>, before: &mut u16) -> Result<Sketch, Stop> {
    let count = bits.rice(BUCKETS_RICE)?;
    if count == 0 {
        return Ok(Sketch::new());
    }
    if count > u64::from(BUCKETS_MAX) {
        return Err(wrong("more buckets than there can be"));
    }
    let too_high = || wrong("a bucket too high");
    let mut next = unzigzag(bits.rice(FIRST_RICE)?).wrapping_add(u64::from(*before));
    *before = u16::try_from(next).map_err(|_| too_high())?;
    let (steps, counts) = (bits.bits(RICE_BITS)? as u32, bits.bits(RICE_BITS)? as u32);
    let mut buckets = Vec::with_capacity(count as usize);
    let mut estimate = 0_u128;
    let mut ends: Option<((u64, u32), (u64, u32))> = None;
    while buckets.len() < count as usize {
        if !buckets.is_empty() {
            next = next.saturating_add(bits.rice(steps)?);
        }
        let at = u16::try_from(next).map_err(|_| too_high())?;
        let (first, width, middle) = bucket_of(at).ok_or_else(too_high)?;
        let times = bits.rice(counts)?.checked_add(1).ok_or_else(|| wrong("a count too large"))?;
        estimate = estimate.wrapping_add(middle.wrapping_mul(u128::from(times)));
        ends = Some((ends.map_or((first, width), |(low, _)| low), (first, width)));
        buckets.push((at, times));
        next += 1;
    }
    let ((low, low_bits), (high, high_bits)) = ends.unwrap_or_default();
    let min = if bits.bits(1)? == 1 { bits.number()? } else { low + bits.wide(low_bits)? };
    let max = high + bits.wide(high_bits)?;
    let off = u128::from(bits.number()?) | u128::from(bits.rice(0)?) << 64;
    let sum = estimate.wrapping_add((off >> 1) ^ (off & 1).wrapping_neg());
    Ok(Sketch::from_parts(buckets, min, max, sum)?)
}

fn encode<'a>(hours: impl ExactSizeIterator<Item = (u8, &'a Latencies)>) -> Vec<u8> {
    let (mut out, mut before) = (Writer::after(vec![VERSION, 0, 0, 0, 0]), [0_u16; PHASES]);
    out.bits(hours.len() as u64, HOUR_BITS);
    for (hour, latencies) in hours {
        out.bits(u64::from(hour), HOUR_BITS);
        out.rice(latencies.failed, 0);
        for (sketch, before) in latencies.phases.iter().zip(&mut before) {
            put_sketch(&mut out, before, sketch);
        }
    }
    let mut out = out.finish();
    let sum = crc32c::crc32c(&out[HEAD_BYTES..]);
    out[1..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    out
}

fn decode(bytes: &[u8], mut each: impl FnMut(u8, Latencies) -> Result<(), RollupError>) -> Result<(), RollupError> {
    let cut = || RollupError::Length(bytes.len());
    let version = *bytes.first().ok_or_else(cut)?;
    if ![coded::VERSION, VERSION].contains(&version) {
        return Err(RollupError::Version(version));
    }
    let (head, content) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(cut)?;
    if crc32c::crc32c(content) != u32::from_le_bytes([head[1], head[2], head[3], head[4]]) {
        return Err(RollupError::Checksum);
    }
    let read = if version == coded::VERSION { coded::decode(content, &mut each) } else { read(content, &mut each) };
    read.map_err(|stop| match stop {
        Stop::Cut => cut(),
        Stop::Wrong(error) => error,
    })
}

/// The hours of a body after its head.
fn read(content: &[u8], each: &mut impl FnMut(u8, Latencies) -> Result<(), RollupError>) -> Result<(), Stop> {
    let (mut bits, mut before) = (Reader::new(content), [0_u16; PHASES]);
    for _ in 0..bits.bits(HOUR_BITS)? {
        let hour = bits.bits(HOUR_BITS)? as u8;
        let mut latencies = Latencies { failed: bits.rice(0)?, ..Latencies::default() };
        for (sketch, before) in latencies.phases.iter_mut().zip(&mut before) {
            *sketch = take_sketch(&mut bits, before)?;
        }
        each(hour, latencies).map_err(Stop::Wrong)?;
    }
    Ok(bits.end()?)
}

/// The hours of a day as bytes.
pub fn encode_hours(day: &DayLatencies) -> Vec<u8> {
    encode(day.hours.iter().map(|(hour, latencies)| (*hour, latencies)).collect::<Vec<_>>().into_iter())
}

/// Reads what [`encode_hours`] wrote.
///
/// # Errors
/// They are no rollup, or not as they were written.
pub fn decode_hours(bytes: &[u8]) -> Result<DayLatencies, RollupError> {
    let mut day = DayLatencies::default();
    decode(bytes, |hour, latencies| {
        if hour > 23 || day.hours.insert(hour, latencies).is_some() {
            return Err(RollupError::Damaged("an hour that a day has not, or twice"));
        }
        Ok(())
    })?;
    Ok(day)
}

/// A day as a whole as bytes.
pub fn encode_whole(whole: &Latencies) -> Vec<u8> {
    encode([(0, whole)].into_iter())
}

/// Reads what [`encode_whole`] wrote.
///
/// # Errors
/// They are no rollup, or not as they were written.
pub fn decode_whole(bytes: &[u8]) -> Result<Latencies, RollupError> {
    let mut whole = None;
    decode(bytes, |_, latencies| match whole.replace(latencies) {
        None => Ok(()),
        Some(_) => Err(RollupError::Damaged("a day as a whole is of one piece")),
    })?;
    whole.ok_or(RollupError::Damaged("a day as a whole is of one piece"))
}

/// How fine a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The hours of a day.
    Hours = 1,
    /// The day as a whole.
    Whole = 2,
    /// The page loads of a day (`store/vital_days.rs`).
    Pages = 3,
}

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "rollup", what: what.to_string() }
}

pub(super) fn set_body(
    tables: Tables<'_>,
    key: PairKey,
    class: Class,
    day: Day,
    body: &[u8],
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO rollup(bucket, check_no, agent_no, class, day, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (bucket, check_no, agent_no, class, day) DO UPDATE SET body = excluded.body",
        )?
        .execute(params![key.bucket.0, key.check.0, key.agent.0, class as u8, day.0, body])?;
    Ok(())
}

pub(super) fn body(tables: Tables<'_>, key: PairKey, class: Class, day: Day) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT body FROM rollup WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 AND class = ?4 AND day = ?5",
    )?;
    let row = params![key.bucket.0, key.check.0, key.agent.0, class as u8, day.0];
    Ok(statement.query_row(row, |row| row.get(0)).optional()?)
}

/// A row of a day; the inner error tells that it is damaged. What a newer build wrote is no damage.
fn row<T>(
    tables: Tables<'_>,
    key: PairKey,
    class: Class,
    day: Day,
    decode: impl FnOnce(&[u8]) -> Result<T, RollupError>,
) -> Result<Result<Option<T>, RollupError>, StoreError> {
    match body(tables, key, class, day)?.map(|body| decode(&body)).transpose() {
        Err(RollupError::Version(version)) => Err(bad(RollupError::Version(version))),
        read => Ok(read),
    }
}

/// The hours of a day; `None` where they are not kept or cannot be read.
pub(crate) fn hours_of(tables: Tables<'_>, key: PairKey, day: Day) -> Result<Option<DayLatencies>, StoreError> {
    Ok(row(tables, key, Class::Hours, day, decode_hours)?.ok().flatten())
}

/// What sealing sets of a day.
#[derive(Debug)]
pub(crate) struct DayBodies {
    day: Day,
    /// `None` where the day's hours are no longer kept or cannot be told any more, but the day as a whole is.
    hours: Option<Vec<u8>>,
    whole: Vec<u8>,
}

/// The days that results touch, with what is sealed of them so far and with these results: for whoever seals them, who sets the bodies in the
/// transaction that moves the seal from where `tables` has it, so each result counts once. `asides`: what must be kept before they are set.
pub(crate) fn with_sealed(
    tables: Tables<'_>,
    key: PairKey,
    samples: impl Iterator<Item = Sample>,
    asides: &mut Vec<Aside>,
) -> Result<Vec<DayBodies>, StoreError> {
    let mut days: BTreeMap<Day, DayLatencies> = BTreeMap::new();
    for (hour, latencies) in latency::by_hour(samples) {
        days.entry(hour.day()).or_default().hours.insert(hour.of_day(), latencies);
    }
    let mut bodies = Vec::with_capacity(days.len());
    for (day, new) in days {
        let hours = row(tables, key, Class::Hours, day, decode_hours)?;
        let whole = row(tables, key, Class::Whole, day, decode_whole)?;
        let damaged = hours.as_ref().err().or(whole.as_ref().err()).copied();
        let unreadable = [(Class::Hours, hours.as_ref().err().copied()), (Class::Whole, whole.as_ref().err().copied())];
        // What its records can tell of a damaged row, where they are all there still.
        let records = match damaged {
            Some(error) => {
                tracing::error!("table rollup: check {}, agent {}, day {}: {error}", key.check, key.agent, day.0);
                mend::latencies(tables, key, day)?
            }
            None => None,
        };
        // One that can be read is never given up for one that cannot; what nothing can tell any more stays as it lies.
        let Some((hours, mut whole)) = (match (hours, whole) {
            (Ok(Some(hours)), Ok(Some(whole))) => Some((Some(hours), whole)),
            (Ok(Some(hours)), Ok(None) | Err(_)) => Some((Some(hours.clone()), hours.whole())),
            // Its hours are no longer kept.
            (Ok(None), Ok(Some(whole))) => Some((None, whole)),
            (Ok(None), Ok(None)) => Some((Some(DayLatencies::default()), Latencies::default())),
            (Err(_), Ok(Some(whole))) => Some((records, whole)),
            (Ok(None), Err(_)) => records.map(|day| (None, day.whole())),
            (Err(_), Ok(None) | Err(_)) => records.map(|day| (Some(day.clone()), day.whole())),
        }) else {
            continue;
        };
        // Only what is about to be written over.
        let written = unreadable.into_iter().filter(|(class, _)| *class == Class::Whole || hours.is_some());
        asides.extend(written.filter_map(|(class, why)| Some(Aside::new(key, Place::Rollup(class, day), why?))));
        whole.merge(&new.whole());
        let hours = hours.map(|mut hours| {
            for (hour, latencies) in new.hours {
                match hours.hours.entry(hour) {
                    // Mostly nothing of an hour is sealed before.
                    Entry::Vacant(vacant) => {
                        vacant.insert(latencies);
                    }
                    Entry::Occupied(mut known) => known.get_mut().merge(&latencies),
                }
            }
            encode_hours(&hours)
        });
        bodies.push(DayBodies { day, hours, whole: encode_whole(&whole) });
    }
    Ok(bodies)
}

/// Sets the rows of a day.
pub(crate) fn set(tables: Tables<'_>, key: PairKey, bodies: &DayBodies) -> Result<(), StoreError> {
    if let Some(hours) = &bodies.hours {
        set_body(tables, key, Class::Hours, bodies.day, hours)?;
    }
    set_body(tables, key, Class::Whole, bodies.day, &bodies.whole)
}

/// A row that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRow {
    pub(crate) check: CheckNo,
    pub(crate) agent: AgentNo,
    pub(crate) class: Class,
    pub(crate) day: Day,
    pub(crate) why: RollupError,
}

impl std::fmt::Display for DamagedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { check, agent, class, day, why } = self;
        let what = match class {
            Class::Hours => "latencies by the hour",
            Class::Whole => "latencies of the day",
            Class::Pages => "vitals of the day",
        };
        let from = sitepulse_daemon::instant::format(day.span().from);
        write!(f, "check {check}, agent {agent}, {what} from {from}: {why}")
    }
}

/// Calls `each` with the agent, the day and the body of every row of a check from `first` to `last`, by agent and day. Whose body it finds
/// damaged are returned.
pub(crate) fn rollups_of(
    tables: Tables<'_>,
    (bucket, check): (Bucket, CheckNo),
    class: Class,
    (first, last): (Day, Day),
    mut each: impl FnMut(AgentNo, Day, &[u8]) -> Result<(), RollupError>,
) -> Result<Vec<DamagedRow>, StoreError> {
    let mut damaged = Vec::new();
    // The key goes by agent before day: a seek for each agent.
    let mut agents =
        tables.prepare_cached("SELECT DISTINCT agent_no FROM rollup WHERE bucket = ?1 AND check_no = ?2")?;
    let agents = agents.query_map(params![bucket.0, check.0], |row| row.get(0))?.collect::<Result<Vec<u32>, _>>()?;
    let mut statement = tables.prepare_cached(
        "SELECT day, body FROM rollup WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 AND class = ?4 \
         AND day >= ?5 AND day <= ?6 ORDER BY day",
    )?;
    for agent in agents {
        let mut rows = statement.query(params![bucket.0, check.0, agent, class as u8, first.0, last.0])?;
        while let Some(row) = rows.next()? {
            let body = row.get_ref(1)?.as_blob().map_err(bad)?;
            let day: i64 = row.get(0)?;
            if let Err(why) = each(AgentNo(agent), Day(day), body) {
                damaged.push(DamagedRow { check, agent: AgentNo(agent), class, day: Day(day), why });
            }
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests;
