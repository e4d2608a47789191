//! What is damaged in the sealed tables, found at the start or when it is written next: told, and where records still say it, made anew.
//!
//! SQLite has no checksums of its own; each body has one. A damaged chunk loses its records for whoever asks for them, and nothing else: the
//! start does not read it. A damaged segment or pair is made anew from the chunks that are left; the start goes on in any case, for agents
//! wait with new results. What could not be read is kept ([`super::aside`]): chunks that are left may tell less than it does.

use rusqlite::params;
use sitepulse_model::record::Record;
use sitepulse_model::series::Series;
use sitepulse_model::time::{Span, UtcMicros};

use super::aside::{self, Aside, Place};
use super::records::{self, ChunkHead};
use super::seal::{self, PairKey};
use super::series::{self, BodyError, Sealed};
use super::{StoreError, Tables};
use crate::latency::{Day, DayLatencies, Hour, Sample};
use crate::seal::Intervals;

/// A body that cannot be read.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) key: PairKey,
    /// The month of a segment; `None` of a pair's counts.
    pub(crate) month: Option<i64>,
    pub(crate) why: BodyError,
    /// Whether every record that went into it is still there, so that what was made anew is what it was.
    pub(crate) whole: bool,
    /// What was made anew.
    pub(crate) body: Vec<u8>,
}

/// Every chunk of a pair that can be read, handed out record by record; whether that were all.
fn replay(tables: Tables<'_>, key: PairKey, span: Span, mut each: impl FnMut(&Record)) -> Result<bool, StoreError> {
    let mut heads: Vec<ChunkHead> = records::chunk_heads(tables, key.bucket, key.check, Some(key.agent), span)?;
    // As they came in: of two results of one slot the later is the newest.
    heads.sort_unstable_by_key(|head| head.number);
    let mut all = true;
    for head in heads {
        match records::chunk_records(tables, head.id)? {
            Ok(records) => records.iter().for_each(|stored| each(&stored.record)),
            Err(_) => all = false,
        }
    }
    Ok(all)
}

/// The segment of a month from the chunks that are left, put into `into` as well.
pub(crate) fn segment(
    tables: Tables<'_>,
    sealed: &mut Sealed,
    (key, month): (PairKey, i64),
    intervals: &Intervals,
    why: BodyError,
) -> Result<Damage, StoreError> {
    let span = series::month_span(month);
    let mut fresh = Sealed::default();
    let all = replay(tables, key, span, |record| fresh.insert(record, intervals.of_record(record)))?;
    let mut of_month = Series::new();
    for run in fresh.pair.series.runs() {
        series::by_month(*run, |found, part| {
            if found == month {
                of_month.insert_run(part);
            }
        });
    }
    for run in of_month.runs() {
        sealed.pair.series.insert_run(*run);
    }
    let body = series::encode_segment(of_month.runs());
    Ok(Damage { key, month: Some(month), why, whole: all && sealed.expired == 0, body })
}

/// A pair's counts and last result from the chunks that are left.
pub(crate) fn pair(
    tables: Tables<'_>,
    key: PairKey,
    intervals: &Intervals,
    why: BodyError,
) -> Result<(Sealed, Damage), StoreError> {
    let mut sealed = Sealed::default();
    let always = Span::new(UtcMicros::MIN, UtcMicros::MAX);
    replay(tables, key, always, |record| sealed.insert(record, intervals.of_record(record)))?;
    // The segments tell the series; what the chunks said of it is a part of that.
    sealed.pair.series = Series::new();
    // How many went with their age stood in the body that is lost: that there were any, the timeline tells.
    let earliest: Option<i64> = tables
        .prepare_cached("SELECT min(month) FROM series WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3")?
        .query_row(params![key.bucket.0, key.check.0, key.agent.0], |row| row.get(0))?;
    let first = sealed.pair.ledger.first.unwrap_or(UtcMicros::MAX);
    if earliest.is_some_and(|month| month < series::month_of(first)) {
        sealed.expired = 1;
        sealed.records += 1;
    }
    let body = series::encode_pair(&sealed);
    Ok((sealed, Damage { key, month: None, why, whole: false, body }))
}

/// What is sealed of a pair without its series, as the collector found it while it runs: where it cannot be read it is told and counted anew, for
/// damage must not hold up what comes after it. `None` where nothing is sealed. `asides`: what must be kept before the pair is written.
pub(crate) fn pair_or_anew(
    tables: Tables<'_>,
    key: PairKey,
    intervals: &Intervals,
    asides: &mut Vec<Aside>,
) -> Result<Option<Sealed>, StoreError> {
    match seal::pair(tables, key)? {
        None => Ok(None),
        Some(Ok(sealed)) => Ok(Some(sealed)),
        Some(Err(why)) => {
            tracing::error!(
                "table pair: check {}, agent {}: {why}; counted anew from the records that are left, the table quarantine keeps what stood there: restore a backup if the counts of older ones matter",
                key.check,
                key.agent
            );
            asides.push(Aside::new(key, Place::Pair, why));
            Ok(Some(pair(tables, key, intervals, why)?.0))
        }
    }
}

/// Puts the stored segment of a month into a pair's series; where it cannot be read it is told and made anew, as in [`pair_or_anew`].
pub(crate) fn load_or_anew(
    tables: Tables<'_>,
    (key, month): (PairKey, i64),
    intervals: &Intervals,
    into: &mut Sealed,
    asides: &mut Vec<Aside>,
) -> Result<(), StoreError> {
    if let Err(why) = seal::load_segment(tables, key, month, &mut into.pair.series)? {
        let damage = segment(tables, into, (key, month), intervals, why)?;
        let left = if damage.whole { "nothing is lost" } else { "older ones are missing: restore a backup" };
        tracing::error!(
            "table series: check {}, agent {}, month {month}: {why}; made anew from the records that are left, {left}; the table quarantine keeps what stood there",
            key.check,
            key.agent
        );
        asides.push(Aside::new(key, Place::Segment(month), why));
    }
    Ok(())
}

/// Whether every sealed record of a pair from `from` on is kept: none went with its age, or one that is older is there still.
fn is_kept(tables: Tables<'_>, key: PairKey, from: UtcMicros) -> Result<bool, StoreError> {
    if let Some(Ok(sealed)) = seal::pair(tables, key)?
        && sealed.expired == 0
    {
        return Ok(true);
    }
    Ok(tables
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM chunk WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 AND last_us < ?4)",
        )?
        .query_row(params![key.bucket.0, key.check.0, key.agent.0, from.0], |row| row.get(0))?)
}

/// The sealed latencies of a day from its records, for figures whose rollup cannot be read; `None` where they are not all there and readable.
pub(crate) fn latencies(tables: Tables<'_>, key: PairKey, day: Day) -> Result<Option<DayLatencies>, StoreError> {
    if !is_kept(tables, key, day.span().from)? {
        return Ok(None);
    }
    let mut found = DayLatencies::default();
    let all = replay(tables, key, day.span(), |record| {
        if let Record::Result(result) = record
            && let Some(sample) = Sample::of(result).filter(|sample| Hour::of(sample.scheduled).day() == day)
        {
            found.add(&sample);
        }
    })?;
    Ok(all.then_some(found))
}

/// Puts what was made anew in the damaged bodies' place, for sealing could not go on over them; these are kept aside.
pub(crate) fn write(tables: Tables<'_>, damages: &[Damage], now: UtcMicros) -> Result<(), StoreError> {
    let aside = |damage: &Damage| Aside::new(damage.key, damage.month.map_or(Place::Pair, Place::Segment), damage.why);
    aside::keep(tables, &damages.iter().map(aside).collect::<Vec<_>>(), now)?;
    for damage in damages {
        match damage.month {
            Some(month) => seal::set_segment(tables, damage.key, month, &damage.body)?,
            None => seal::set_pair(tables, damage.key, &damage.body)?,
        }
    }
    Ok(())
}

/// What `PRAGMA quick_check` finds: nothing, or what is wrong in a few lines.
pub(crate) fn quick_check(tables: Tables<'_>) -> Result<Option<String>, StoreError> {
    let mut statement = tables.prepare("PRAGMA quick_check(5)")?;
    let lines = statement.query_map(params![], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok((lines != ["ok"]).then(|| lines.join("; ")))
}

/// Cheap signs that the sealed tables do not fit together; `None` where they do.
pub(crate) fn misfit(tables: Tables<'_>) -> Result<Option<String>, StoreError> {
    let mut statement = tables.prepare(
        "SELECT c.bucket, c.newest, coalesce(s.upto, 0) FROM (SELECT bucket, max(number) AS newest FROM chunk GROUP BY bucket) c \
         LEFT JOIN seal s ON s.bucket = c.bucket WHERE c.newest > coalesce(s.upto, 0) LIMIT 1",
    )?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (bucket, newest, upto): (u8, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(Some(format!("a chunk of bucket {bucket} holds arrival {newest}, but the bucket is sealed up to {upto}")))
}
