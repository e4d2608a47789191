//! Looks through a whole store: whether every body can be read, and whether the parts say the same.
//!
//! Where no record of a pair went by its age, its counts and its timeline are computed again from its records and compared; where some went, that many are
//! counted. It reads at one instant, beside a running collector, as much as the store holds.

use std::collections::BTreeMap;

use rusqlite::params;
use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::record::Record;
use sitepulse_model::series::Series;
use sitepulse_model::time::{Span, UtcMicros};

use super::seal::{self, PairKey};
use super::series::{self, Sealed};
use super::{StoreError, Tables, impact, incidents, marks, mend, records, rollup, rows, vital_days};
use crate::alert::integrity;
use crate::latency::{Day, DayLatencies, Hour, Sample};
use crate::seal::{Intervals, last_slot};

/// Most problems that are told; more are counted.
const PROBLEMS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Pairs of a check and an agent that have anything sealed.
    pub(crate) pairs: u64,
    /// Chunks, and records in them.
    pub(crate) chunks: u64,
    pub(crate) sealed: u64,
    /// Records that went with their age.
    pub(crate) expired: u64,
    /// Records that are not sealed.
    pub(crate) unsealed: u64,
    /// Rows of sketches: latencies of days by the hour and as a whole, vitals of days.
    pub(crate) rollups: u64,
    /// Incidents, whose histories were looked through.
    pub(crate) incidents: u64,
    /// What is wrong: the first of it, and how much in all.
    pub(crate) problems: Vec<String>,
    pub(crate) problems_count: u64,
}

impl Verified {
    fn problem(&mut self, what: String) {
        self.problems_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }
}

/// Looks through everything.
pub(crate) fn verify(tables: Tables<'_>) -> Result<Verified, StoreError> {
    let mut found = Verified::default();
    if let Some(what) = mend::quick_check(tables)? {
        found.problem(format!("the file is torn: {what}"));
    }
    if let Some(what) = mend::misfit(tables)? {
        found.problem(what);
    }
    let mut intervals = Intervals::default();
    for (check, revision) in rows::revisions(tables)? {
        intervals.learn(check, revision.revision, revision.definition.interval_us);
    }
    let upto = seal::upto(tables)?;
    let mut known = BTreeMap::new();
    for key in records::sealed_pairs(tables)? {
        found.pairs += 1;
        known.insert(key, ());
        let upto = upto.get(usize::from(key.bucket.0)).copied().unwrap_or_default();
        pair(tables, key, upto.0, &intervals, &mut found)?;
    }
    for table in ["chunk", "series", "rollup"] {
        let mut statement = tables.prepare(&format!("SELECT DISTINCT bucket, check_no, agent_no FROM {table}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = PairKey { bucket: Bucket(row.get(0)?), check: CheckNo(row.get(1)?), agent: AgentNo(row.get(2)?) };
            if known.contains_key(&key) {
                continue;
            }
            if table == "rollup" {
                sketches(tables, key, None, &mut found)?;
            } else {
                found.problem(format!("table {table}: check {}, agent {} has no counts", key.check, key.agent));
            }
        }
    }
    match seal::unsealed(tables, |_, _, _| ()) {
        Ok(unsealed) => {
            found.unsealed = unsealed.records;
            for what in unsealed.damaged {
                found.problem(what);
            }
        }
        Err(StoreError::BadRow { table, what }) => found.problem(format!("table {table}: {what}")),
        Err(error) => return Err(error),
    }
    match marks::all(tables) {
        Ok(_) => {}
        Err(StoreError::BadRow { table, what }) => found.problem(format!("table {table}: {what}")),
        Err(error) => return Err(error),
    }
    impact::faults(tables, |what| found.problem(what))?;
    for id in incidents::ids(tables)? {
        found.incidents += 1;
        match incidents::one(tables, &id) {
            Ok(Some(standing)) => {
                if let Some(fault) = integrity::of(&standing, &incidents::entries(tables, &id)?).fault {
                    found.problem(format!("incident {id}: {fault}"));
                }
            }
            Ok(None) => {}
            Err(StoreError::BadRow { table, what }) => found.problem(format!("table {table}: {what}")),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn pair(
    tables: Tables<'_>,
    key: PairKey,
    upto: i64,
    intervals: &Intervals,
    found: &mut Verified,
) -> Result<(), StoreError> {
    let name = format!("check {}, agent {}", key.check, key.agent);
    let mut from_records = Sealed::default();
    let always = Span::new(UtcMicros::MIN, UtcMicros::MAX);
    let mut readable = true;
    let mut days: BTreeMap<Day, DayLatencies> = BTreeMap::new();
    let mut heads = records::chunk_heads(tables, key.bucket, key.check, Some(key.agent), always)?;
    heads.sort_unstable_by_key(|head| head.number);
    for head in &heads {
        found.chunks += 1;
        let from = sitepulse_daemon::instant::format(head.first);
        if head.number.0 > upto {
            found.problem(format!("table chunk: {name}, from {from}: newer than its bucket's seal"));
        }
        let stored = match records::chunk_records(tables, head.id)? {
            Ok(stored) => stored,
            Err(error) => {
                readable = false;
                found.problem(format!("table chunk: {name}, {} records from {from}: {error}", head.records));
                continue;
            }
        };
        let first = stored.iter().map(|one| one.record.scheduled()).min();
        let last = stored.iter().map(|one| last_slot(&one.record)).max();
        if (stored.len() as u64, first, last) != (head.records, Some(head.first), Some(head.last))
            || stored.iter().any(|one| one.record.check() != key.check)
        {
            found.problem(format!("table chunk: {name}, from {from}: it holds other records than its row says"));
        }
        found.sealed += stored.len() as u64;
        for one in &stored {
            from_records.insert(&one.record, intervals.of_record(&one.record));
            if let Record::Result(result) = &one.record
                && let Some(sample) = Sample::of(result)
            {
                days.entry(Hour::of(sample.scheduled).day()).or_default().add(&sample);
            }
        }
    }
    let mut timeline = Series::new();
    let mut statement = tables.prepare_cached(
        "SELECT month, body FROM series WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 ORDER BY month",
    )?;
    let mut rows = statement.query(params![key.bucket.0, key.check.0, key.agent.0])?;
    let mut timeline_readable = true;
    while let Some(row) = rows.next()? {
        let (month, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        if let Err(error) = series::decode_segment(&body, &mut timeline) {
            timeline_readable = false;
            let from = sitepulse_daemon::instant::format(series::month_span(month).from);
            found.problem(format!("table series: {name}, the month from {from}: {error}; a start makes it anew"));
        }
    }
    let counts = match seal::pair(tables, key)?.transpose() {
        Ok(counts) => counts.unwrap_or_default(),
        Err(why) => {
            found.problem(format!("table pair: {name}: {why}; a start counts anew"));
            sketches(tables, key, None, found)?;
            return Ok(());
        }
    };
    found.expired += counts.expired;
    let kept: u64 = heads.iter().map(|head| head.records).sum();
    sketches(tables, key, Some(days).filter(|_| readable && counts.expired == 0 && kept == counts.records), found)?;
    if kept + counts.expired != counts.records {
        found.problem(format!(
            "{name}: {} records were sealed, {kept} are in chunks and {} went by their age",
            counts.records, counts.expired
        ));
    }
    if readable && counts.expired == 0 {
        if counts.pair.ledger != from_records.pair.ledger {
            found.problem(format!("table pair: {name}: its counts are not those of its records"));
        }
        if timeline_readable && timeline != from_records.pair.series {
            found.problem(format!("table series: {name}: the timeline is not that of its records"));
        }
    }
    Ok(())
}

/// The sketches of a pair: whether each can be read, whether the hours of a day are the day, and whether they are those of its records, where all
/// of those are known.
fn sketches(
    tables: Tables<'_>,
    key: PairKey,
    records: Option<BTreeMap<Day, DayLatencies>>,
    found: &mut Verified,
) -> Result<(), StoreError> {
    let name = format!("check {}, agent {}", key.check, key.agent);
    let mut statement = tables.prepare_cached(
        "SELECT day, class, body FROM rollup WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 ORDER BY day, class",
    )?;
    let mut rows = statement.query(params![key.bucket.0, key.check.0, key.agent.0])?;
    let mut hours: Option<(Day, DayLatencies)> = None;
    while let Some(row) = rows.next()? {
        found.rollups += 1;
        let (day, class, body): (i64, u8, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let day = Day(day);
        let date = sitepulse_daemon::instant::format(day.span().from);
        let date = date.split('T').next().unwrap_or_default();
        let known = records.as_ref().map(|days| days.get(&day).cloned().unwrap_or_default());
        let (what, problem) = match class {
            1 => {
                let read = rollup::decode_hours(&body);
                let problem = match &read {
                    Err(error) => Some(error.to_string()),
                    Ok(read) if known.as_ref().is_some_and(|known| known != read) => Some(String::from(NOT_OF_RECORDS)),
                    Ok(_) => None,
                };
                hours = read.ok().map(|read| (day, read));
                ("latencies by the hour", problem)
            }
            2 => {
                let of_hours = hours.as_ref().filter(|(of, _)| *of == day).map(|(_, hours)| hours.whole());
                let problem = match rollup::decode_whole(&body) {
                    Err(error) => Some(error.to_string()),
                    Ok(read) if known.as_ref().is_some_and(|known| known.whole() != read) => {
                        Some(String::from(NOT_OF_RECORDS))
                    }
                    Ok(read) if of_hours.is_some_and(|hours| hours != read) => {
                        Some(String::from("they are not those of the day's hours"))
                    }
                    Ok(_) => None,
                };
                ("latencies of the day", problem)
            }
            3 => ("vitals of the day", vital_days::decode(&body).err().map(|error| error.to_string())),
            _ => ("sketches", Some(format!("class {class} is not known"))),
        };
        if let Some(problem) = problem {
            found.problem(format!("table rollup: {name}, {what} {date}: {problem}"));
        }
    }
    Ok(())
}

/// Sketches can be read and say something else than the records do.
const NOT_OF_RECORDS: &str = "they are not those of its records";
