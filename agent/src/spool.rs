//! The spool: every record the agent makes, on disk until the collector has acknowledged it.
//!
//! [`Spool`] is the synchronous core over one SQLite file; [`writer`] puts it on a thread with group commit. A record is durable when the
//! transaction that holds it is (write-ahead log, `synchronous=FULL`). The same transaction says how far the schedule is recorded
//! ([`Progress`]), so that after a kill at any instant exactly the slots without a record are known.
//!
//! Limits: the file holds at most [`Limits::bytes_max`] (plus its write-ahead log of some MiB). At the bound the oldest successes go first,
//! then failures and transitions; each check's tombstone tells what went. A ballast file keeps some disk space so that even on a full
//! disk acknowledged records can be deleted.
//!
//! Damage, whenever it is found, sets the file aside as `spool.db.corrupt-<time>` and starts a new one with a new incarnation.
//!
//! Architecture invariant: the spool knows nothing of probes, networks or clocks.

mod files;
mod intake;
pub mod policy;
pub mod schema;
pub mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};
use sitepulse_model::id::{Bucket, CheckNo, Incarnation, Seq};
use sitepulse_model::record::{DropReason, Dropped, Provenance, Record};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Entry, PROVENANCES_MAX};
use thiserror::Error;

use self::files::{ballast_path, move_away, set_private, sibling};
use self::policy::{Keep, PendingRecord, TOMBSTONE_RANGES_MAX, merge, tombstone};
use self::schema::{OpenSlots, PAGE_BYTES, Progress, State};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "spool.db";
/// Size of a spool unless configured otherwise.
pub const BYTES_MAX_DEFAULT: u64 = 256 << 20;
/// The smallest useful spool.
pub const BYTES_MAX_MIN: u64 = 1 << 20;
/// Most records dropped in one step when the bound is reached.
const DROP_CHUNK_MAX: u64 = 8192;

/// How big the spool may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the spool file.
    pub bytes_max: u64,
    /// Bytes of the ballast file; 0 for none.
    pub ballast_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: BYTES_MAX_DEFAULT, ballast_bytes: 4 << 20 }
    }
}

/// Why a spool operation failed. Nothing of a failed operation is stored.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// No space: the disk is full or the page limit is reached.
    #[error("{path}: no space left for the spool; free disk space, it goes on by itself")]
    Full {
        /// The spool file.
        path: PathBuf,
    },
    /// The file cannot be used now.
    #[error("{path}: cannot use the spool ({source}); check that the disk is writable and sound")]
    Unavailable {
        /// The spool file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file is damaged: [`Spool::set_aside`] it.
    #[error("{path}: the spool is damaged ({reason})")]
    Damaged {
        /// The spool file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A damaged file could not be moved away.
    #[error("{path}: cannot set the damaged spool aside ({source}); move it away by hand")]
    SetAside {
        /// The spool file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A record has no encoding.
    #[error("a record of check {check} cannot be encoded: {reason}")]
    Record {
        /// Its check.
        check: CheckNo,
        /// Why.
        reason: String,
    },
    /// The SQLite library is too old.
    #[error("sqlite {0} can lose data in its write-ahead log; build with 3.51.3 or newer")]
    SqliteTooOld(&'static str),
}

/// A damaged file that was moved away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub reason: String,
}

/// Records read for shipping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The spool they come from.
    pub incarnation: Incarnation,
    /// Ids of the first and the last record; `None` when there was none.
    pub ids: Option<(u64, u64)>,
    /// What the entries' provenance indexes mean.
    pub provenances: Vec<Provenance>,
    /// The records, in order of age.
    pub entries: Vec<Entry>,
}

/// How full the spool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Records waiting.
    pub records: u64,
    /// Size of file and write-ahead log in bytes.
    pub bytes: u64,
    /// First slot of the oldest record.
    pub oldest: Option<UtcMicros>,
    /// The newest id ever given, 0 before the first.
    pub last_id: u64,
}

/// The spool's synchronous core. One owner; the data directory's lock keeps other processes away.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    limits: Limits,
    connection: Connection,
    state: State,
    /// Tombstones that may still grow: the collector cannot have seen them.
    growing: BTreeMap<(CheckNo, DropReason), u64>,
    /// Per [`Keep`]: records up to this id are gone already.
    dropped_up_to: [u64; 3],
    /// The newest provenance in the file; number 0 before the first.
    provenance: (u64, Provenance),
    /// Who measures now, where the file does not say so yet: the next transaction writes it.
    measuring: Option<Provenance>,
    scratch: Vec<u8>,
}

/// A spool that was opened, and the damaged file that lay in its place.
#[derive(Debug)]
pub struct Opened {
    /// The spool.
    pub spool: Spool,
    /// The damaged file, if there was one.
    pub set_aside: Option<SetAside>,
}

impl Spool {
    /// Opens the file or makes it. A damaged one is set aside under a name made from `now`; `incarnation` names a new file.
    pub fn open(
        path: &Path,
        limits: Limits,
        now: UtcMicros,
        incarnation: &mut dyn FnMut() -> Incarnation,
    ) -> Result<Opened, SpoolError> {
        if rusqlite::version_number() < schema::SQLITE_VERSION_MIN {
            return Err(SpoolError::SqliteTooOld(rusqlite::version()));
        }
        match Self::open_with_ballast(path, limits, incarnation()) {
            Ok(spool) => Ok(Opened { spool, set_aside: None }),
            Err(SpoolError::Damaged { reason, .. }) => {
                let moved = move_away(path, now)?;
                let spool = Self::open_with_ballast(path, limits, incarnation())?;
                Ok(Opened { spool, set_aside: Some(SetAside { path: moved, reason }) })
            }
            Err(
                error @ (SpoolError::Full { .. }
                | SpoolError::Unavailable { .. }
                | SpoolError::SetAside { .. }
                | SpoolError::Record { .. }
                | SpoolError::SqliteTooOld(_)),
            ) => Err(error),
        }
    }

    /// Opens or makes the file; on a full disk with the space that the ballast held.
    fn open_with_ballast(path: &Path, limits: Limits, incarnation: Incarnation) -> Result<Self, SpoolError> {
        match Self::open_existing(path, limits, incarnation) {
            Err(SpoolError::Full { .. }) if fs::remove_file(ballast_path(path)).is_ok() => {
                Self::open_existing(path, limits, incarnation)
            }
            opened => opened,
        }
    }

    fn open_existing(path: &Path, limits: Limits, incarnation: Incarnation) -> Result<Self, SpoolError> {
        let wrap = |error| classify(path, error);
        let connection = schema::connect(path).map_err(wrap)?;
        set_private(path);
        let row: Option<(bool, Vec<u8>)> = connection
            .query_row("SELECT closed, body FROM state WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(wrap)?;
        let damaged = |reason: &str| SpoolError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
        let state = match row {
            Some((closed, body)) => {
                if !closed && let Some(reason) = schema::quick_check(&connection).map_err(wrap)? {
                    return Err(damaged(&reason));
                }
                schema::decode_state(&body).ok_or_else(|| damaged("the state row does not match its checksum"))?
            }
            None => {
                let state = State::new(incarnation);
                let mut body = Vec::new();
                schema::encode_state(&state, |_| false, &mut body);
                connection
                    .execute("INSERT INTO state (id, closed, body) VALUES (1, 0, ?1)", params![body])
                    .map_err(wrap)?;
                state
            }
        };
        // The clean mark stays until the first transaction, which takes it away: opening writes nothing, so it works on a full disk.
        let newest: Option<u64> =
            connection.query_row("SELECT max(id) FROM record", [], |row| row.get(0)).map_err(wrap)?;
        if newest.is_some_and(|id| id >= state.next_id) {
            return Err(damaged("records are newer than the state row"));
        }
        let provenance: Option<(u64, Provenance)> = connection
            .query_row(
                "SELECT id, build, clock_offset_us, clock_uncertainty_us FROM provenance ORDER BY id DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, read_provenance(row)?)),
            )
            .optional()
            .map_err(wrap)?;
        let mut spool = Self {
            path: path.to_owned(),
            limits,
            connection,
            state,
            growing: BTreeMap::new(),
            dropped_up_to: [0; 3],
            measuring: None,
            provenance: provenance.unwrap_or_default(),
            scratch: Vec::new(),
        };
        spool.limit_pages(None)?;
        spool.keep_ballast();
        Ok(spool)
    }

    /// The spool's incarnation.
    pub fn incarnation(&self) -> Incarnation {
        self.state.incarnation
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the schedule stands, with slots that were handed out since the last commit.
    pub fn progress(&self) -> &Progress {
        &self.state.progress
    }

    /// Notes slots that are handed out now; durable with the next commit.
    pub fn begin(&mut self, check: CheckNo, first: UtcMicros, slots: OpenSlots) {
        self.state.progress.open.insert((check, first), slots);
    }

    /// Notes that every slot before `frontier` was handed out; durable with the next commit. Never goes back.
    pub fn advance(&mut self, frontier: UtcMicros) {
        self.state.progress.frontier = self.state.progress.frontier.max(frontier);
    }

    /// As [`Spool::advance`], but also back: the wall clock was wrong before, and what it showed is no measure of what is recorded.
    pub fn step_to(&mut self, frontier: UtcMicros) {
        self.state.progress.frontier = frontier;
    }

    /// Takes a slot out whose record was dropped before it reached the file. The next commit must bring its tombstone, which speaks for
    /// it from then on.
    pub fn forget(&mut self, check: CheckNo, first: UtcMicros) {
        self.state.progress.open.remove(&(check, first));
    }

    /// Says who measures from here on; durable with the next commit, whose records are the first that name it. A clock measured to go as
    /// before, within what the measurement can tell, is no news: each provenance is a row here and in every batch.
    pub fn set_provenance(&mut self, provenance: &Provenance) {
        let known = self.provenance.0 > 0 && same_clock(&self.provenance.1, provenance);
        self.measuring = (!known).then(|| provenance.clone());
    }

    /// Appends records and their slots' progress in one transaction. Their slots count as recorded from then on.
    pub fn append(&mut self, records: &[PendingRecord]) -> Result<(), SpoolError> {
        self.commit(records, &[])
    }

    /// Deletes acknowledged records. Ranges of another incarnation are the caller's mistake: it asks [`Spool::incarnation`] first.
    pub fn delete(&mut self, ids: &RangeInclusive<u64>) -> Result<(), SpoolError> {
        self.commit(&[], std::slice::from_ref(ids))
    }

    /// Makes the progress durable without a record.
    pub fn checkpoint_progress(&mut self) -> Result<(), SpoolError> {
        self.commit(&[], &[])
    }

    /// One transaction: deletes, then appends, then the state row. Enforces the bound before.
    pub fn commit(&mut self, records: &[PendingRecord], deletes: &[RangeInclusive<u64>]) -> Result<(), SpoolError> {
        if !records.is_empty() {
            self.enforce_bound(records.len() as u64)?;
        }
        let before = (self.state.next_id, self.state.records, self.state.next_seq);
        let who = self.measuring.clone().map(|provenance| (self.provenance.0 + 1, provenance));
        match self.commit_inner(records, deletes, who.as_ref()) {
            Ok(()) => {
                if let Some(who) = who {
                    self.provenance = who;
                    self.measuring = None;
                }
                for record in records {
                    if !matches!(record.record, Record::Dropped(_)) {
                        self.state.progress.open.remove(&(record.record.check(), record.record.scheduled()));
                    }
                }
                Ok(())
            }
            Err(error) => {
                (self.state.next_id, self.state.records, self.state.next_seq) = before;
                Err(error)
            }
        }
    }

    fn commit_inner(
        &mut self,
        records: &[PendingRecord],
        deletes: &[RangeInclusive<u64>],
        who: Option<&(u64, Provenance)>,
    ) -> Result<(), SpoolError> {
        let path = &self.path;
        let wrap = |error| classify(path, error);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
        for ids in deletes {
            let deleted = transaction
                .prepare_cached("DELETE FROM record WHERE id BETWEEN ?1 AND ?2")
                .and_then(|mut statement| statement.execute(params![ids.start(), ids.end()]))
                .map_err(wrap)?;
            self.state.records = self.state.records.saturating_sub(deleted as u64);
        }
        if let Some((id, provenance)) = who {
            insert_provenance(&transaction, *id, provenance).map_err(wrap)?;
        }
        let provenance = who.map_or(self.provenance.0, |(id, _)| *id);
        if !records.is_empty() {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO record (id, bucket, seq, keep, provenance, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )
                .map_err(wrap)?;
            for record in records {
                let id = self.state.next_id;
                let seq = take_seq(&mut self.state, record.bucket);
                encode_body(record, seq, &mut self.scratch)?;
                insert
                    .execute(params![id, record.bucket.0, seq.0, record.keep as u8, provenance, self.scratch])
                    .map_err(wrap)?;
                self.state.next_id += 1;
                self.state.records += 1;
            }
        }
        let recorded: BTreeSet<(CheckNo, UtcMicros)> = records
            .iter()
            .filter(|record| !matches!(record.record, Record::Dropped(_)))
            .map(|record| (record.record.check(), record.record.scheduled()))
            .collect();
        schema::encode_state(&self.state, |key| recorded.contains(key), &mut self.scratch);
        write_state(&transaction, &self.scratch).map_err(wrap)?;
        transaction.commit().map_err(wrap)
    }

    /// Reads up to `records_max` records (and about `bytes_max` bytes, of at most [`PROVENANCES_MAX`] provenances) with ids above `after`
    /// and up to `up_to`, oldest first.
    pub fn page(&mut self, after: u64, up_to: u64, records_max: usize, bytes_max: usize) -> Result<Page, SpoolError> {
        let path = &self.path;
        let wrap = |error| classify(path, error);
        let mut page = Page {
            incarnation: self.state.incarnation,
            ids: None,
            provenances: Vec::new(),
            entries: Vec::with_capacity(records_max.min(256)),
        };
        let mut indexes: BTreeMap<u64, u16> = BTreeMap::new();
        let mut bytes = 0;
        {
            let mut statement = self
                .connection
                .prepare_cached(
                    "SELECT id, bucket, seq, keep, provenance, body FROM record WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
                )
                .map_err(wrap)?;
            let mut rows =
                statement.query(params![clamp(after), clamp(up_to), clamp(records_max as u64)]).map_err(wrap)?;
            while let Some(row) = rows.next().map_err(wrap)? {
                if bytes >= bytes_max {
                    break;
                }
                let row = Row::read(row).map_err(wrap)?;
                if indexes.len() >= PROVENANCES_MAX && !indexes.contains_key(&row.provenance) {
                    break;
                }
                bytes += row.body.len();
                let record = row.decode(path)?;
                if let Record::Dropped(dropped) = &record {
                    self.growing.remove(&(dropped.check, dropped.reason));
                }
                let next = indexes.len() as u16;
                let provenance = *indexes.entry(row.provenance).or_insert(next);
                page.ids = Some((page.ids.map_or(row.id, |(first, _)| first), row.id));
                page.entries.push(Entry { bucket: Bucket(row.bucket), seq: Seq(row.seq), provenance, record });
            }
        }
        let nobody = Provenance { build: "unknown".to_owned(), ..Provenance::default() };
        page.provenances = vec![nobody; indexes.len()];
        for (id, index) in indexes {
            let provenance = self
                .connection
                .prepare_cached("SELECT id, build, clock_offset_us, clock_uncertainty_us FROM provenance WHERE id = ?1")
                .and_then(|mut statement| statement.query_row(params![id], read_provenance).optional())
                .map_err(wrap)?;
            if let Some(provenance) = provenance {
                page.provenances[usize::from(index)] = provenance;
            }
        }
        Ok(page)
    }

    /// How full it is.
    pub fn stats(&self) -> Result<Stats, SpoolError> {
        let wrap = |error| classify(&self.path, error);
        let oldest = self
            .connection
            .prepare_cached("SELECT id, bucket, seq, keep, provenance, body FROM record ORDER BY id LIMIT 1")
            .and_then(|mut statement| statement.query_row([], Row::read).optional())
            .map_err(wrap)?;
        let oldest = oldest.map(|row| row.decode(&self.path)).transpose()?;
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        Ok(Stats {
            incarnation: self.state.incarnation,
            records: self.state.records,
            bytes: size(&self.path) + size(&sibling(&self.path, "-wal")),
            oldest: oldest.map(|record| record.scheduled()),
            last_id: self.state.next_id - 1,
        })
    }

    /// Records waiting, without a look at the file.
    pub fn records(&self) -> u64 {
        self.state.records
    }

    /// The newest id ever given, 0 before the first.
    pub fn last_id(&self) -> u64 {
        self.state.next_id - 1
    }

    /// Limits the file to `pages` pages, or to its own bound again. For tests and simulations: SQLite then answers as on a full disk.
    pub fn limit_pages(&mut self, pages: Option<u64>) -> Result<(), SpoolError> {
        let pages = pages.unwrap_or(self.limits.bytes_max.max(BYTES_MAX_MIN) / PAGE_BYTES);
        self.connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .map_err(|error| classify(&self.path, error))
    }

    /// Gives the ballast's space back to the disk, so that a delete can go through.
    pub fn drop_ballast(&self) -> bool {
        fs::remove_file(ballast_path(&self.path)).is_ok()
    }

    /// Makes the ballast file if it is missing. Best effort: a disk too full for it is no reason to stop.
    pub fn keep_ballast(&self) {
        files::keep_ballast(&self.path, self.limits.ballast_bytes);
    }

    /// Moves the damaged file away and goes on with a new one, a new incarnation and the schedule's progress as it stood in memory.
    pub fn set_aside(
        self,
        reason: String,
        now: UtcMicros,
        incarnation: &mut dyn FnMut() -> Incarnation,
    ) -> Result<(Self, SetAside), SpoolError> {
        let Self { path, limits, connection, state, provenance, measuring, .. } = self;
        drop(connection);
        let moved = move_away(&path, now)?;
        let mut spool = Self::open_with_ballast(&path, limits, incarnation())?;
        spool.state.progress = state.progress;
        spool.measuring = measuring.or((provenance.0 > 0).then_some(provenance.1));
        match spool.commit_inner(&[], &[], None) {
            // On a full disk the next transaction brings it; a kill before that is told by the new incarnation.
            Ok(()) | Err(SpoolError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok((spool, SetAside { path: moved, reason }))
    }

    /// Closes cleanly: the next open need not check the whole file.
    pub fn close(mut self) -> Result<(), SpoolError> {
        self.checkpoint_progress()?;
        self.connection
            .execute("UPDATE state SET closed = 1 WHERE id = 1", [])
            .map_err(|error| classify(&self.path, error))?;
        let path = self.path;
        self.connection.close().map_err(|(_, error)| classify(&path, error))
    }

    /// Drops what must go so that `incoming` more records have room. Keeps a reserve of pages for deletes and tombstones.
    fn enforce_bound(&mut self, incoming: u64) -> Result<(), SpoolError> {
        let pages_max = self.limits.bytes_max.max(BYTES_MAX_MIN) / PAGE_BYTES;
        let reserve = (pages_max / 32).max(16);
        // A record takes about 100 bytes; the reserve takes what is bigger.
        let high = pages_max - reserve - (incoming / 32).min(pages_max / 4);
        if self.pages_used()? <= high {
            return Ok(());
        }
        let low = high - high / 64;
        for keep in Keep::ALL {
            while self.pages_used()? > low {
                let before = self.state.clone();
                let growing = self.growing.clone();
                match self.drop_chunk(keep) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        self.state = before;
                        self.growing = growing;
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn pages_used(&self) -> Result<u64, SpoolError> {
        let one = |sql| {
            self.connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row([], |row| row.get::<_, u64>(0)))
                .map_err(|error| classify(&self.path, error))
        };
        Ok(one("PRAGMA page_count")?.saturating_sub(one("PRAGMA freelist_count")?))
    }

    /// Drops the oldest records of one kind into their checks' tombstones. Returns how many went.
    fn drop_chunk(&mut self, keep: Keep) -> Result<usize, SpoolError> {
        let path = self.path.clone();
        let wrap = |error| classify(&path, error);
        let chunk = (self.state.records / 32).clamp(16, DROP_CHUNK_MAX);
        let floor = self.dropped_up_to[keep as usize];
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
        let mut tombstones: BTreeMap<(CheckNo, DropReason), Vec<(Bucket, Dropped)>> = BTreeMap::new();
        let mut dropped = 0;
        let mut ceiling = floor;
        {
            let mut statement = transaction
                .prepare_cached(
                    "SELECT id, bucket, seq, keep, provenance, body FROM record WHERE id > ?1 AND keep = ?2 ORDER BY id LIMIT ?3",
                )
                .map_err(wrap)?;
            let mut rows = statement.query(params![clamp(floor), keep as u8, clamp(chunk)]).map_err(wrap)?;
            while let Some(row) = rows.next().map_err(wrap)? {
                let row = Row::read(row).map_err(wrap)?;
                ceiling = row.id;
                dropped += 1;
                let one = tombstone(&row.decode(&path)?, Some(Seq(row.seq)));
                let open = tombstones.entry((one.check, one.reason)).or_default();
                match open.last_mut() {
                    // Tombstones of tombstones keep their counts and give up ranges: they free space whatever happens.
                    Some((_, last)) if last.seqs.len() < TOMBSTONE_RANGES_MAX => merge(last, &one),
                    Some((_, last)) if keep == Keep::Tombstone => {
                        let ranges = std::mem::take(&mut last.seqs);
                        merge(last, &one);
                        last.seqs = ranges;
                    }
                    Some(_) | None => open.push((Bucket(row.bucket), one)),
                }
            }
        }
        // A single tombstone cannot shrink by becoming another one.
        if dropped == 0 || (keep == Keep::Tombstone && tombstones.values().map(Vec::len).sum::<usize>() >= dropped) {
            return Ok(0);
        }
        transaction
            .prepare_cached("DELETE FROM record WHERE id > ?1 AND id <= ?2 AND keep = ?3")
            .and_then(|mut statement| statement.execute(params![clamp(floor), clamp(ceiling), keep as u8]))
            .map_err(wrap)?;
        self.state.records = self.state.records.saturating_sub(dropped as u64);
        for (key, parts) in tombstones {
            for (bucket, mut part) in parts {
                // Grow the check's newest tombstone while it has room and the collector cannot have seen it.
                if let Some(id) = self.growing.get(&key).copied() {
                    let row = transaction
                        .prepare_cached("SELECT id, bucket, seq, keep, provenance, body FROM record WHERE id = ?1")
                        .and_then(|mut statement| statement.query_row(params![id], Row::read).optional())
                        .map_err(wrap)?;
                    if let Some(row) = row
                        && let Record::Dropped(mut grown) = row.decode(&path)?
                        && grown.seqs.len() + part.seqs.len() <= TOMBSTONE_RANGES_MAX
                        // A tombstone is younger than all it buries: the collector refuses another.
                        && part.seqs.last().is_none_or(|(_, last)| last.0 < row.seq)
                    {
                        merge(&mut grown, &part);
                        let record = PendingRecord { bucket, keep: Keep::Tombstone, record: Record::Dropped(grown) };
                        encode_body(&record, Seq(row.seq), &mut self.scratch)?;
                        transaction
                            .prepare_cached("UPDATE record SET body = ?2 WHERE id = ?1")
                            .and_then(|mut statement| statement.execute(params![id, self.scratch]))
                            .map_err(wrap)?;
                        continue;
                    }
                }
                part.seqs.truncate(sitepulse_model::record::DROPPED_RANGES_MAX);
                let id = self.state.next_id;
                let seq = take_seq(&mut self.state, bucket);
                let record = PendingRecord { bucket, keep: Keep::Tombstone, record: Record::Dropped(part) };
                encode_body(&record, seq, &mut self.scratch)?;
                transaction
                    .prepare_cached(
                        "INSERT INTO record (id, bucket, seq, keep, provenance, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )
                    .and_then(|mut statement| {
                        statement.execute(params![
                            id,
                            bucket.0,
                            seq.0,
                            Keep::Tombstone as u8,
                            self.provenance.0,
                            self.scratch
                        ])
                    })
                    .map_err(wrap)?;
                self.state.next_id += 1;
                self.state.records += 1;
                self.growing.insert(key, id);
            }
        }
        // The progress in memory is true only with the records and tombstones of the caller's own transaction: a kill before that must
        // find the progress that is in the file.
        let body: Vec<u8> = transaction
            .prepare_cached("SELECT body FROM state WHERE id = 1")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(wrap)?;
        let Some(durable) = schema::decode_state(&body) else {
            return Err(SpoolError::Damaged { path, reason: "the state row does not match its checksum".to_owned() });
        };
        let state = State { progress: durable.progress, ..self.state.clone() };
        schema::encode_state(&state, |_| false, &mut self.scratch);
        write_state(&transaction, &self.scratch).map_err(wrap)?;
        transaction.commit().map_err(wrap)?;
        self.dropped_up_to[keep as usize] = ceiling;
        Ok(dropped)
    }
}

struct Row {
    id: u64,
    bucket: u8,
    seq: u64,
    provenance: u64,
    body: Vec<u8>,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            bucket: row.get(1)?,
            seq: row.get::<_, i64>(2)? as u64,
            provenance: row.get(4)?,
            body: row.get(5)?,
        })
    }

    fn decode(&self, path: &Path) -> Result<Record, SpoolError> {
        let damaged = |reason: String| SpoolError::Damaged { path: path.to_owned(), reason };
        let (body, sum) = self
            .body
            .split_at_checked(self.body.len().saturating_sub(4))
            .ok_or_else(|| damaged(format!("record {} is too short", self.id)))?;
        if sum != schema::checksum(self.bucket, self.seq, body).to_le_bytes() {
            return Err(damaged(format!("record {} does not match its checksum", self.id)));
        }
        sitepulse_wire::record::decode(body).map_err(|error| damaged(format!("record {}: {error}", self.id)))
    }
}

fn read_provenance(row: &rusqlite::Row<'_>) -> rusqlite::Result<Provenance> {
    Ok(Provenance { build: row.get(1)?, clock_offset_us: row.get(2)?, clock_uncertainty_us: row.get(3)? })
}

/// Two measurements that do not contradict each other, of one build. One twice as exact is worth telling all the same.
fn same_clock(known: &Provenance, new: &Provenance) -> bool {
    let clocks = match (known.clock_offset_us, new.clock_offset_us) {
        (Some(before), Some(now)) => {
            now.abs_diff(before) <= known.clock_uncertainty_us.max(new.clock_uncertainty_us)
                && new.clock_uncertainty_us >= known.clock_uncertainty_us / 2
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    known.build == new.build && clocks
}

fn insert_provenance(connection: &Connection, id: u64, provenance: &Provenance) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO provenance (id, build, clock_offset_us, clock_uncertainty_us) VALUES (?1, ?2, ?3, ?4)",
        params![id, provenance.build, provenance.clock_offset_us, provenance.clock_uncertainty_us],
    )?;
    // Records point to ever newer provenances, so all before the oldest record's are done with.
    connection.execute(
        "DELETE FROM provenance WHERE id < ?1 AND id < coalesce((SELECT provenance FROM record ORDER BY id LIMIT 1), ?1)",
        params![id],
    )?;
    Ok(())
}

/// Writes the state row, and takes the clean mark away.
fn write_state(connection: &Connection, body: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE state SET closed = 0, body = ?1 WHERE id = 1")
        .and_then(|mut statement| statement.execute(params![body]))
        .map(|_| ())
}

fn take_seq(state: &mut State, bucket: Bucket) -> Seq {
    let next = &mut state.next_seq[usize::from(bucket.0) % state.next_seq.len()];
    let seq = Seq(*next);
    *next += 1;
    seq
}

fn encode_body(record: &PendingRecord, seq: Seq, out: &mut Vec<u8>) -> Result<(), SpoolError> {
    out.clear();
    sitepulse_wire::record::encode(&record.record, out);
    let sum = schema::checksum(record.bucket.0, seq.0, out);
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// SQLite's integers are signed.
fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
fn classify(path: &Path, error: rusqlite::Error) -> SpoolError {
    let path = path.to_owned();
    // A value of the wrong type or out of range can only come from a damaged page.
    let code = match &error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..)
        // Our statements fit our schema: when one does not, the schema's page is damaged.
        | rusqlite::Error::SqlInputError { .. } => Some(ErrorCode::DatabaseCorrupt),
        other => other.sqlite_error_code(),
    };
    // "no such table", "no such column", "malformed schema": the schema page is damaged.
    let generic =
        matches!(code, Some(ErrorCode::Unknown)) && error.sqlite_error().is_some_and(|e| e.extended_code == 1);
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => {
            SpoolError::Damaged { path, reason: error.to_string() }
        }
        _ if generic => SpoolError::Damaged { path, reason: error.to_string() },
        Some(ErrorCode::DiskFull) => SpoolError::Full { path },
        _ => SpoolError::Unavailable { path, source: error },
    }
}

#[cfg(test)]
mod tests;
