//! Reads a stopped collector's store with nothing of the collector's own code but the decoders of records and chunks, and says what is wrong
//! with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use sitepulse_collector::store::block::{self, Place};
use sitepulse_collector::store::chunk;
use sitepulse_collector::store::rows::Arrival;
use sitepulse_model::record::{ProbeState, Record};

/// What one (check, agent) has in the store.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    /// Every slot with a stored result, and how many results it has.
    pub results: BTreeMap<i64, u64>,
    /// Slots covered by missed records, and how often.
    pub missed: BTreeMap<i64, u64>,
    /// Runs dropped by a spool, by its tombstones.
    pub dropped: u64,
    /// Stored results by state.
    pub states: BTreeMap<ProbeState, u64>,
    /// The longest of them, in microseconds.
    pub longest_us: u64,
}

/// A store's content.
#[derive(Debug, Default)]
pub struct Store {
    /// By (check number, agent number).
    pub ledgers: BTreeMap<(u32, u32), Ledger>,
    /// The checks' ids by number.
    pub checks: BTreeMap<u32, String>,
    /// Violations of I2 and I3 found while reading.
    pub broken: Vec<String>,
}

/// A record of a store.
#[derive(Debug, Clone)]
pub struct StoredRow {
    /// Its bucket.
    pub bucket: u8,
    /// Its agent's number.
    pub agent: u32,
    /// The bits of its spool's incarnation.
    pub incarnation: i64,
    /// Its number there.
    pub seq: i64,
    /// The record.
    pub record: Record,
}

/// Every record of a store, sealed or not, as often as it is there.
pub fn rows(db: &Connection) -> Vec<StoredRow> {
    let mut out = Vec::new();
    let mut statement =
        db.prepare("SELECT bucket, agent_no, body FROM chunk ORDER BY number").expect("the chunk table is there");
    let mut rows = statement.query([]).expect("chunks can be read");
    while let Some(row) = rows.next().expect("a row can be read") {
        let body: Vec<u8> = row.get(2).expect("body");
        for stored in chunk::decode(&body).expect("a chunk decodes") {
            out.push(StoredRow {
                bucket: row.get(0).expect("bucket"),
                agent: row.get(1).expect("agent"),
                incarnation: stored.incarnation.0 as i64,
                seq: stored.seq.0 as i64,
                record: stored.record,
            });
        }
    }
    let numbered = |sql: &str| -> BTreeMap<i64, i64> {
        let mut statement = db.prepare(sql).expect("the table is there");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("it can be read");
        rows.collect::<Result<_, _>>().expect("it can be read")
    };
    let seals = numbered("SELECT bucket, upto FROM seal");
    let agents = numbered("SELECT source_no, agent_no FROM source");
    let incarnations = numbered("SELECT source_no, incarnation FROM source");
    let mut statement =
        db.prepare("SELECT arrival, records, body FROM result ORDER BY arrival").expect("the result table is there");
    let mut rows = statement.query([]).expect("results can be read");
    while let Some(row) = rows.next().expect("a row can be read") {
        let body: Vec<u8> = row.get(2).expect("body");
        for raw in block::Reader::new(Arrival(row.get(0).expect("arrival")), row.get(1).expect("records"), &body) {
            // What is at or below its bucket's seal is dead, and stands in chunks.
            let Place { bucket, source, seq } = raw.place;
            if raw.arrival.0 <= seals.get(&i64::from(bucket.0)).copied().unwrap_or(0) {
                continue;
            }
            let source = i64::from(source);
            out.push(StoredRow {
                bucket: bucket.0,
                agent: u32::try_from(agents[&source]).expect("a number"),
                incarnation: incarnations[&source],
                seq: seq.0 as i64,
                record: raw.record().expect("a stored record decodes"),
            });
        }
    }
    out
}

/// How many records stand in chunks, as the chunks' own counts have it.
pub fn sealed(db: &Connection) -> i64 {
    db.query_row("SELECT coalesce(sum(records), 0) FROM chunk", [], |row| row.get(0)).expect("chunks can be counted")
}

/// Reads `collector.db` in a collector's data folder.
///
/// `interval_us` is the interval of all checks: a missed range is spread over its slots with it.
pub fn read(data_dir: &Path, interval_us: i64) -> Store {
    let db = Connection::open_with_flags(data_dir.join("collector.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)
        .expect("the store opens");
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the store is readable");
    let mut store = Store::default();
    if verdict != "ok" {
        store.broken.push(format!("integrity: {verdict}"));
    }
    let mut keys: BTreeMap<(u8, u32, i64), BTreeSet<i64>> = BTreeMap::new();
    let mut tombstoned: BTreeMap<(u8, u32, i64), BTreeSet<i64>> = BTreeMap::new();
    for StoredRow { bucket, agent, incarnation, seq, record } in rows(&db) {
        let key = (bucket, agent, incarnation);
        if !keys.entry(key).or_default().insert(seq) {
            store.broken.push(format!("I3: {key:?} seq {seq} is stored twice"));
        }
        let ledger = store.ledgers.entry((record.check().0, key.1)).or_default();
        match record {
            Record::Result(result) => {
                *ledger.results.entry(result.scheduled.0).or_default() += 1;
                *ledger.states.entry(result.state).or_default() += 1;
                ledger.longest_us = ledger.longest_us.max(result.phases.total.unwrap_or_default());
            }
            Record::Missed(missed) => {
                let mut slot = missed.first.0;
                while slot <= missed.last.0 {
                    *ledger.missed.entry(slot).or_default() += 1;
                    slot += interval_us;
                }
            }
            Record::Dropped(dropped) => {
                ledger.dropped += dropped.count;
                for (first, last) in dropped.seqs {
                    tombstoned.entry(key).or_default().extend(first.0 as i64..=last.0 as i64);
                }
            }
        }
    }
    let mut statement =
        db.prepare("SELECT check_no, check_id FROM check_revision").expect("the checks' table is there");
    let checks = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("checks can be read");
    store.checks = checks.collect::<Result<_, _>>().expect("a check can be read");
    for (key, seqs) in &keys {
        let gone = tombstoned.get(key).cloned().unwrap_or_default();
        let last = seqs.iter().chain(&gone).max().copied().unwrap_or(-1);
        for seq in (0..=last).filter(|seq| !seqs.contains(seq) && !gone.contains(seq)) {
            store.broken.push(format!("I2: {key:?} seq {seq} was made and never came"));
        }
    }
    store
}

impl Store {
    /// Every slot of every ledger from its first to its last is covered exactly once (I4), results are never doubled.
    ///
    /// Gives what is wrong; empty when nothing is.
    pub fn unaccounted(&self, interval_us: i64) -> Vec<String> {
        let mut wrong = self.broken.clone();
        for (key, ledger) in &self.ledgers {
            let mut slots: BTreeMap<i64, u64> = ledger.results.clone();
            for (slot, count) in &ledger.missed {
                *slots.entry(*slot).or_default() += count;
            }
            for (slot, count) in &slots {
                if *count != 1 {
                    wrong.push(format!("I4: {key:?} slot {slot} has {count} records"));
                }
            }
            let list: Vec<i64> = slots.keys().copied().collect();
            for pair in list.windows(2) {
                if pair[1] - pair[0] != interval_us && ledger.dropped == 0 {
                    wrong.push(format!("I4: {key:?} has no record between the slots {} and {}", pair[0], pair[1]));
                }
            }
        }
        wrong
    }

    /// Stored results over all ledgers, by state.
    pub fn count(&self, state: ProbeState) -> u64 {
        self.ledgers.values().filter_map(|ledger| ledger.states.get(&state)).sum()
    }

    /// Missed slots over all ledgers.
    pub fn missed(&self) -> u64 {
        self.ledgers.values().map(|ledger| ledger.missed.values().sum::<u64>()).sum()
    }
}
