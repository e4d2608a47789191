//! The spool file's tables, its one state row, and the checks that find damage.
//!
//! `record.id` is the order of age and never used twice (SQLite alone would start again at 1 in an empty table, so the state row counts
//! it). There is no index besides: a commit touches the last leaf pages of one table and the state row's page. Every body and the
//! state row end in a checksum, because a damaged page is not always damaged in a way that SQLite notices.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use sitepulse_model::id::{BUCKETS, Bucket, CheckNo, Incarnation, Revision, fnv1a};
use sitepulse_model::time::UtcMicros;

/// Size of a page of the spool file, in bytes.
pub const PAGE_BYTES: u64 = 4096;

/// Pages in the write-ahead log after which it is copied into the file.
const CHECKPOINT_PAGES: u32 = 1000;

/// Oldest SQLite that may be used: older ones can lose a reset of the write-ahead log.
pub const SQLITE_VERSION_MIN: i32 = 3_051_003;

const MIGRATIONS: &[&str] = &["
    CREATE TABLE record (
        id INTEGER PRIMARY KEY,
        bucket INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        keep INTEGER NOT NULL,
        provenance INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE provenance (
        id INTEGER PRIMARY KEY,
        build TEXT NOT NULL,
        clock_offset_us INTEGER,
        clock_uncertainty_us INTEGER NOT NULL
    );
    CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), closed INTEGER NOT NULL, body BLOB NOT NULL);
"];

/// Slots that were handed out and whose record is not durable yet: `first`, ..., `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSlots {
    /// The definition whose schedule this is.
    pub revision: Revision,
    /// The check's bucket.
    pub bucket: Bucket,
    /// Last slot; the first is the key.
    pub last: UtcMicros,
    /// How many slots.
    pub count: u64,
}

/// Where the schedule stands: every slot before `frontier` has a durable record, but for those in `open`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Slots from here on were not handed out yet.
    pub frontier: UtcMicros,
    /// Runs under way and records on their way to the disk, by (check, first slot).
    pub open: BTreeMap<(CheckNo, UtcMicros), OpenSlots>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { frontier: UtcMicros::MIN, open: BTreeMap::new() }
    }
}

/// The state row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) incarnation: Incarnation,
    pub(super) next_id: u64,
    pub(super) records: u64,
    pub(super) next_seq: [u64; BUCKETS as usize],
    pub(super) progress: Progress,
}

impl State {
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, next_id: 1, records: 0, next_seq: [0; BUCKETS as usize], progress: Progress::default() }
    }
}

const STATE_VERSION: u8 = 1;

/// Encodes the state row, leaving out the slots that `recorded` names: they become durable in the same transaction.
pub(super) fn encode_state(state: &State, recorded: impl Fn(&(CheckNo, UtcMicros)) -> bool, out: &mut Vec<u8>) {
    out.clear();
    out.push(STATE_VERSION);
    out.extend_from_slice(&state.incarnation.0.to_le_bytes());
    put(out, state.next_id);
    put(out, state.records);
    for seq in state.next_seq {
        put(out, seq);
    }
    out.extend_from_slice(&state.progress.frontier.0.to_le_bytes());
    for (key, slots) in state.progress.open.iter().filter(|(key, _)| !recorded(key)) {
        put(out, u64::from(key.0.0) + 1);
        put(out, u64::from(slots.revision.0));
        out.push(slots.bucket.0);
        out.extend_from_slice(&key.1.0.to_le_bytes());
        put(out, slots.last.us_since(key.1).unsigned_abs());
        put(out, slots.count);
    }
    put(out, 0);
    let sum = checksum(0, 0, out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Decodes the state row; `None` when it is damaged or of a newer version.
pub(super) fn decode_state(bytes: &[u8]) -> Option<State> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if sum != checksum(0, 0, body).to_le_bytes() {
        return None;
    }
    let mut input = body;
    if take_byte(&mut input)? != STATE_VERSION {
        return None;
    }
    let mut state = State::new(Incarnation(u64::from_le_bytes(take_8(&mut input)?)));
    state.next_id = take(&mut input)?;
    state.records = take(&mut input)?;
    for seq in &mut state.next_seq {
        *seq = take(&mut input)?;
    }
    state.progress.frontier = UtcMicros(i64::from_le_bytes(take_8(&mut input)?));
    loop {
        let check = take(&mut input)?;
        if check == 0 {
            break;
        }
        let check = CheckNo(u32::try_from(check - 1).ok()?);
        let revision = Revision(u32::try_from(take(&mut input)?).ok()?);
        let bucket = Bucket(take_byte(&mut input)?);
        let first = UtcMicros(i64::from_le_bytes(take_8(&mut input)?));
        let last = first.plus_us(i64::try_from(take(&mut input)?).ok()?);
        let count = take(&mut input)?;
        state.progress.open.insert((check, first), OpenSlots { revision, bucket, last, count });
    }
    input.is_empty().then_some(state)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(input)?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

fn take_8(input: &mut &[u8]) -> Option<[u8; 8]> {
    let (first, rest) = input.split_first_chunk::<8>()?;
    *input = rest;
    Some(*first)
}

/// The checksum at the end of a body: of its bytes and of the key it belongs to.
pub(super) fn checksum(bucket: u8, seq: u64, bytes: &[u8]) -> u32 {
    let hash = fnv1a(bytes) ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(bucket) << 57);
    (hash ^ (hash >> 32)) as u32
}

/// Opens the file and brings its tables up to date. `NotADatabase` and `DatabaseCorrupt` come out as SQLite tells them.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(24);
    // One process has the file (the data directory's lock says so): no shared memory, no lock traffic.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", u64::from(CHECKPOINT_PAGES) * PAGE_BYTES * 2)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// Runs the migrations that the file has not seen; `user_version` counts them.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let seen: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if seen > migrations.len() {
        let text = format!("written by a newer agent, schema {seen} instead of {}: upgrade this one", migrations.len());
        return Err(rusqlite::Error::ToSqlConversionFailure(text.into()));
    }
    for (index, sql) in migrations.iter().enumerate().skip(seen) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", index + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Whether SQLite finds the file sound. Reads all of it.
pub(super) fn quick_check(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let answer: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((answer != "ok").then_some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_survives_its_encoding_and_damage_is_seen() {
        let mut state = State::new(Incarnation(0xfeed_beef_0102_0304));
        state.next_id = 123_456;
        state.records = 17;
        state.next_seq[63] = u64::MAX;
        state.progress.frontier = UtcMicros(1_700_000_000_000_000);
        for slot in 0..3 {
            state.progress.open.insert(
                (CheckNo(slot), UtcMicros(-5)),
                OpenSlots { revision: Revision(2), bucket: Bucket(7), last: UtcMicros(995), count: 2 },
            );
        }
        let mut bytes = Vec::new();
        encode_state(&state, |_| false, &mut bytes);
        assert_eq!(decode_state(&bytes), Some(state.clone()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            assert_eq!(decode_state(&damaged), None, "byte {at}");
        }
        encode_state(&state, |key| key.0 == CheckNo(1), &mut bytes);
        state.progress.open.remove(&(CheckNo(1), UtcMicros(-5)));
        assert_eq!(decode_state(&bytes), Some(state));
    }
}
