//! The table `rollup`: latencies of the sealed results of one check from one agent as sketches, by the hour (a row a day) and by the day as a whole.
//!
//! Rows are set, never added to: who seals reads what is there, adds what is sealed now, and sets both rows in the transaction that
//! moves the seal.
//!
//! Layout of a body: version byte; CRC32C of the rest (4 bytes, little endian); bytes of raw bits (4 bytes); the raw bits; the coded numbers (`store/range.rs`).
//! The numbers: how many hours; of each which of the day (of a whole day 0) and how many results failed; then of each phase how many buckets
//! its sketch has, the first one against that of the hour before, the steps between buckets and their counts; the smallest value above its
//! bucket's first, the largest below its bucket's last, and the sum against what the buckets' middles add up to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{OptionalExtension, params};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::record::Phase;
use sitepulse_model::sketch::{BUCKETS_MAX, Sketch, SketchError};
use thiserror::Error;

use super::aside::{Aside, Place};
use super::range::{Coder, Cut, Decoder, Encoder, Number, unzigzag, zigzag};
use super::seal::PairKey;
use super::{StoreError, Tables, mend};
use crate::latency::{self, Day, DayLatencies, Latencies, Sample};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 9;
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

/// What was learnt of the numbers.
struct Models {
    hours: Box<Number>,
    failed: Box<Number>,
    buckets: Box<Number>,
    first: Box<Number>,
    steps: Box<Number>,
    times: Box<Number>,
    edges: Box<Number>,
    sums: Box<Number>,
}

impl Models {
    fn new() -> Self {
        let number = Number::new;
        Self {
            hours: number(),
            failed: number(),
            buckets: number(),
            first: number(),
            steps: number(),
            times: number(),
            edges: number(),
            sums: number(),
        }
    }
}

/// A sketch in parts, as it is given to an encoder; a decoder is given none.
#[derive(Default)]
struct Parts<'a> {
    buckets: &'a [(u16, u64)],
    min: u64,
    max: u64,
    sum: u128,
}

/// What either way told of a sketch beside its buckets.
#[derive(Default)]
struct Ends {
    min: u64,
    max: u64,
    sum: u128,
}

/// Why reading ends.
enum Stop {
    Cut,
    Wrong(RollupError),
}

/// Codes the parts of a sketch; `before`: the first bucket of the same phase the hour before; `buckets` becomes its buckets. The encoder's parts are
/// whole, so only a decoder finds fault: it tells it in `fault` and goes on no further.
fn code_parts<C: Coder>(
    coder: &mut C,
    models: &mut Models,
    before: &mut u16,
    given: &Parts<'_>,
    buckets: &mut Vec<(u16, u64)>,
    fault: &mut Option<&'static str>,
) -> Result<Ends, C::Error> {
    buckets.clear();
    let count = models.buckets.code(coder, given.buckets.len() as u64)?;
    if count == 0 {
        return Ok(Ends::default());
    }
    if count > u64::from(BUCKETS_MAX) {
        *fault = Some("more buckets than there can be");
        return Ok(Ends::default());
    }
    let mut estimate = 0_u128;
    let mut last = None;
    for at in 0..count as usize {
        let (bucket, times) = given.buckets.get(at).copied().unwrap_or_default();
        let step = match last {
            None => unzigzag(models.first.code(coder, zigzag(u64::from(bucket).wrapping_sub(u64::from(*before))))?)
                .wrapping_add(u64::from(*before)),
            Some(last) => {
                let step = models.steps.code_small(coder, u64::from(bucket).wrapping_sub(last).wrapping_sub(1))?;
                step.wrapping_add(last).wrapping_add(1)
            }
        };
        let times = models.times.code_small(coder, times.wrapping_sub(1))?.wrapping_add(1);
        let Some((bucket, (low, high))) = u16::try_from(step).ok().and_then(|at| Some((at, Sketch::bucket_range(at)?)))
        else {
            *fault = Some("a bucket too high");
            return Ok(Ends::default());
        };
        estimate = estimate.wrapping_add(u128::from(low + (high - low) / 2).wrapping_mul(u128::from(times)));
        if last.is_none() {
            *before = bucket;
        }
        last = Some(step);
        buckets.push((bucket, times));
    }
    let edge = |at: Option<&(u16, u64)>| at.and_then(|(at, _)| Sketch::bucket_range(*at)).unwrap_or_default();
    let ((low, _), (_, high)) = (edge(buckets.first()), edge(buckets.last()));
    let min = low.wrapping_add(unzigzag(models.edges.code(coder, zigzag(given.min.wrapping_sub(low)))?));
    let max = high.wrapping_sub(unzigzag(models.edges.code(coder, zigzag(high.wrapping_sub(given.max)))?));
    let off = given.sum.wrapping_sub(estimate).cast_signed();
    let off = ((off << 1) ^ (off >> 127)).cast_unsigned();
    let low = models.sums.code(coder, off as u64)?;
    let high = models.sums.code(coder, (off >> 64) as u64)?;
    let off = u128::from(high) << 64 | u128::from(low);
    let sum = estimate.wrapping_add((off >> 1) ^ (off & 1).wrapping_neg());
    Ok(Ends { min, max, sum })
}

fn parts_of(sketch: &Sketch) -> Parts<'_> {
    let (buckets, min, max, sum) = sketch.parts();
    Parts { buckets, min, max, sum }
}

fn encode<'a>(hours: impl ExactSizeIterator<Item = (u8, &'a Latencies)>) -> Vec<u8> {
    let (mut coder, mut models, mut before, mut fault) = (Encoder::new(), Models::new(), [0_u16; PHASES], None);
    let mut told = Vec::new();
    let Ok(_) = models.hours.code(&mut coder, hours.len() as u64);
    for (hour, latencies) in hours {
        let Ok(_) = models.hours.code(&mut coder, u64::from(hour));
        let Ok(_) = models.failed.code(&mut coder, latencies.failed);
        for (sketch, before) in latencies.phases.iter().zip(&mut before) {
            let Ok(_) = code_parts(&mut coder, &mut models, before, &parts_of(sketch), &mut told, &mut fault);
        }
    }
    let (raw, coded) = coder.finish();
    let raw_len = u32::try_from(raw.len()).expect("a day's sketches are bounded");
    let mut out = vec![VERSION, 0, 0, 0, 0];
    for part in [&raw_len.to_le_bytes()[..], &raw, &coded] {
        out.extend_from_slice(part);
    }
    let sum = crc32c::crc32c(&out[5..]);
    out[1..5].copy_from_slice(&sum.to_le_bytes());
    out
}

fn decode(bytes: &[u8], mut each: impl FnMut(u8, Latencies) -> Result<(), RollupError>) -> Result<(), RollupError> {
    let cut = || RollupError::Length(bytes.len());
    let version = *bytes.first().ok_or_else(cut)?;
    if version != VERSION {
        return Err(RollupError::Version(version));
    }
    let (head, content) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(cut)?;
    if crc32c::crc32c(&bytes[5..]) != u32::from_le_bytes([head[1], head[2], head[3], head[4]]) {
        return Err(RollupError::Checksum);
    }
    let raw = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
    let (raw, coded) = content.split_at_checked(raw).ok_or_else(cut)?;
    let mut read = || -> Result<(), Stop> {
        let (mut coder, mut models) = (Decoder::new(raw, coded)?, Models::new());
        let (mut before, mut fault, mut buckets) = ([0_u16; PHASES], None, Vec::new());
        let hours = models.hours.code(&mut coder, 0)?;
        if hours > 24 {
            return Err(Stop::Wrong(RollupError::Damaged("more hours than a day has")));
        }
        for _ in 0..hours {
            let hour = u8::try_from(models.hours.code(&mut coder, 0)?).unwrap_or(u8::MAX);
            let mut latencies = Latencies { failed: models.failed.code(&mut coder, 0)?, ..Latencies::default() };
            for (sketch, before) in latencies.phases.iter_mut().zip(&mut before) {
                let none = Parts::default();
                let Ends { min, max, sum } =
                    code_parts(&mut coder, &mut models, before, &none, &mut buckets, &mut fault)?;
                if let Some(fault) = fault {
                    return Err(Stop::Wrong(RollupError::Damaged(fault)));
                }
                let read = Sketch::from_parts(buckets.clone(), min, max, sum);
                *sketch = read.map_err(|error| Stop::Wrong(error.into()))?;
            }
            each(hour, latencies).map_err(Stop::Wrong)?;
        }
        if coder.is_at_end() { Ok(()) } else { Err(Stop::Cut) }
    };
    read().map_err(|stop| match stop {
        Stop::Cut => cut(),
        Stop::Wrong(error) => error,
    })
}

impl From<Cut> for Stop {
    fn from(_: Cut) -> Self {
        Self::Cut
    }
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
