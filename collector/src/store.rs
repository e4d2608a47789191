//! The disk: one SQLite file `collector.db`, WAL with `synchronous=FULL`, owned by one writer.
//!
//! Every primary and unique key begins with `bucket` (0 to 63), so that the same schema can be sharded. Results have no index of
//! their own: [`crate::ingest::Mark`]s dedupe them in the same transaction. See `store/migrations.rs` for the tables.
//!
//! Architecture invariant: only this module and its children name SQL or rusqlite. What the rest asks for is in the domain's words: records appended,
//! histories read, a transaction in which all of it or nothing becomes durable.

pub mod access;
pub mod amendments;
pub(crate) mod aside;
pub mod backup;
mod bits;
pub mod block;
pub mod chunk;
pub mod definition;
pub(crate) mod expire;
pub mod findings;
pub(crate) mod idempotency;
pub(crate) mod identity;
pub(crate) mod impact;
pub mod incidents;
pub(crate) mod indicators;
pub mod jobs;
pub mod join_tokens;
pub(crate) mod kpi;
pub(crate) mod marks;
pub(crate) mod mend;
pub mod objects;
pub mod oncall;
pub mod outbox;
pub mod playbooks;
pub mod records;
pub mod rollup;
pub mod rows;
pub mod seal;
pub mod series;
pub(crate) mod silences;
pub mod sla_report;
pub(crate) mod subscribers;
pub(crate) mod verify;
pub mod vital_days;
pub mod vitals;

mod migrations;
mod range;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{
    CachedStatement, Connection, ErrorCode, OpenFlags, Params, Row, Statement, TransactionBehavior, params,
};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_daemon::seal::SealError;
use sitepulse_model::id::BUCKETS;
use sitepulse_model::time::UtcMicros;
use thiserror::Error;

/// The file's name in the data directory.
pub const FILE: &str = "collector.db";

/// The schema that this program writes; an older file is brought to it when it is opened.
pub const SCHEMA: i64 = migrations::NEWEST;

/// The oldest SQLite that is safe: older ones can lose the WAL's tail after a reset.
const SQLITE_MIN: (i32, &str) = (3_051_003, "3.51.3");

/// Marks the file as ours (`SPCo`).
const APPLICATION_ID: i32 = 0x5350_436f;

/// Pages in the WAL before it is copied into the file (4 KiB each).
const CHECKPOINT_PAGES: u32 = 4000;

/// How long a lease is held without a write.
const LEASE_US: i64 = 30 * 1_000_000;

/// What the database itself says. Whose words these are is nobody's business outside of the store.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct DatabaseError(rusqlite::Error);

/// Why the store cannot be opened.
#[derive(Debug, Error)]
pub enum StoreOpenError {
    /// The database itself says no.
    #[error(
        "cannot open {path}: {source}; where that says malformed, restore a backup; else check that the data directory is writable and the disk is not full"
    )]
    Database {
        /// The file.
        path: String,
        /// What it says.
        source: DatabaseError,
    },
    /// The file cannot be made, or kept from other users.
    #[error("cannot open {path}: {source}; check that the data directory is writable and the disk is not full")]
    Mode {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not a collector's.
    #[error("{path} is not a SitePulse collector's database; move it away or choose another data directory")]
    Foreign {
        /// The file.
        path: String,
    },
    /// The file was written by a newer build.
    #[error(
        "{path} has schema {found}, this build knows up to {known}; install the newer sitepulse-collector that wrote it"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its schema.
        found: i64,
        /// The newest schema of this build.
        known: i64,
    },
    /// The SQLite that is linked loses data.
    #[error("SQLite {found} is linked, at least {} is needed: older ones can lose the end of the write-ahead log", SQLITE_MIN.1)]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// The key that secrets are sealed with cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A row makes no sense.
    #[error("{path} is damaged: {source}; restore a backup")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        source: StoreError,
    },
}

/// Why a read or a write failed. A write that failed left nothing behind.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database says no: disk full, IO error, ...
    #[error("the database fails: {0}")]
    Database(#[source] DatabaseError),
    /// Another collector took the lease over.
    #[error("another collector holds the lease of {missing} buckets; restart this one")]
    Fenced {
        /// How many buckets are not held.
        missing: i64,
    },
    /// SQLite's own look through the file found damage.
    #[error("PRAGMA quick_check finds: {what}")]
    Integrity {
        /// The first of it.
        what: String,
    },
    /// A row makes no sense.
    #[error("table {table}: {what}")]
    BadRow {
        /// The table.
        table: &'static str,
        /// What is wrong.
        what: String,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(DatabaseError(error))
    }
}

impl StoreError {
    /// Whether one row makes no sense, and the rest can be read.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::BadRow { .. } => true,
            Self::Database(DatabaseError(error)) => matches!(
                error,
                rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::Utf8Error(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
            ),
            Self::Fenced { .. } | Self::Integrity { .. } => false,
        }
    }

    /// Whether the disk (or the page limit) is full: heals by itself when space comes back.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Database(DatabaseError(error)) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::Fenced { .. } | Self::Integrity { .. } | Self::BadRow { .. } => false,
        }
    }
}

/// The tables: to read, and within [`Store::write`] to change. What can be done with them is told by the verbs of this module's
/// children, in the domain's words; SQL and its types stay behind them, so that another database can stand here.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'c> {
    connection: &'c Connection,
    /// The newest job's id, so that nobody has to look for it; 0: nobody has yet. `None`: these tables are read alone.
    newest_job: Option<&'c AtomicI64>,
}

impl<'c> Tables<'c> {
    fn of(connection: &'c Connection) -> Self {
        Self { connection, newest_job: None }
    }

    fn prepare(self, sql: &str) -> rusqlite::Result<Statement<'c>> {
        self.connection.prepare(sql)
    }

    fn prepare_cached(self, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql)
    }

    fn execute(self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.connection.execute(sql, params)
    }

    fn query_row<T>(
        self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.query_row(sql, params, map)
    }
}

/// A connection of its own beside the writer's, which cannot write.
#[derive(Debug)]
pub struct Reader(Connection);

impl Reader {
    /// The tables.
    pub fn tables(&self) -> Tables<'_> {
        Tables::of(&self.0)
    }

    /// Runs `read` on the tables as they are at one instant, whatever the writer commits meanwhile: what moves from one table to another is
    /// seen once. The write-ahead log cannot be reused while it runs.
    pub fn at_one_instant<T>(&self, read: impl FnOnce(Tables<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _view = self.0.unchecked_transaction()?;
        read(Tables::of(&self.0))
    }
}

/// How often a failing store says so.
const LOG_EVERY_US: u64 = 60 * 1_000_000;

/// Whether the store takes writes. Shared with readers.
#[derive(Debug, Default)]
pub struct Health {
    failing: Mutex<Option<Failing>>,
    failures: AtomicU64,
}

#[derive(Debug)]
struct Failing {
    what: String,
    logged: Monotonic,
}

impl Health {
    /// `Ok` while writes work, else what the last one said.
    pub fn readiness(&self) -> Result<(), String> {
        match &*self.failing.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(failing) => Err(failing.what.clone()),
            None => Ok(()),
        }
    }

    /// Writes that failed since the start.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Nothing will be written any more.
    pub(crate) fn give_up(&self, what: &str) {
        tracing::error!("{what}");
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = Some(Failing { what: what.to_owned(), logged: clock::monotonic() });
    }

    fn note<T>(&self, outcome: &Result<T, StoreError>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => {
                if failing.take().is_some() {
                    tracing::info!("the store takes writes again");
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let now = clock::monotonic();
                let remedy =
                    if error.is_full() { ": free some space; agents keep their results until then" } else { "" };
                let what = format!("{error}{remedy}");
                let logged = failing
                    .as_ref()
                    .map(|failing| failing.logged)
                    .filter(|logged| now.us_since(*logged) < LOG_EVERY_US);
                if logged.is_none() {
                    tracing::error!("{what}");
                }
                *failing = Some(Failing { what, logged: logged.unwrap_or(now) });
            }
        }
    }
}

/// Makes the file for its owner alone; SQLite gives the write-ahead log the same mode. Others' access to an existing one ends.
fn keep_private(path: &Path) -> std::io::Result<()> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    if made.is_err_and(|error| error.kind() != std::io::ErrorKind::AlreadyExists) {
        // SQLite says it better.
        return Ok(());
    }
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    if let Some(folder) = path.parent()
        && std::fs::metadata(folder)?.permissions().mode() & 0o027 != 0
    {
        tracing::warn!("{} is open to other users: `chmod 0700` it", folder.display());
    }
    Ok(())
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    owner: i64,
    health: Arc<Health>,
    /// See [`Tables`].
    newest_job: AtomicI64,
}

/// A statement is planned once, whatever is bound to it. Else SQLite plans one with `LIMIT ?` anew each time that it is used, which costs more than most do.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

impl Store {
    /// Opens or creates the file in `data_dir`, migrates it and takes the leases. `owner` names this process: random.
    pub fn open(data_dir: &Path, owner: u64, now: UtcMicros) -> Result<Self, StoreOpenError> {
        let path = data_dir.join(FILE);
        let shown = path.display().to_string();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        keep_private(&path).map_err(|source| StoreOpenError::Mode { path: shown.clone(), source })?;
        let connection = Connection::open_with_flags(&path, flags)
            .map_err(|error| StoreOpenError::Database { path: shown.clone(), source: DatabaseError(error) })?;
        Self::set_up(connection, shown, owner, now)
    }

    /// Another connection to the file in `data_dir`, which reads beside the writer and sees what is committed. No transaction is to be
    /// held across an `await`: it would hold the write-ahead log.
    pub(crate) fn open_to_read(data_dir: &Path) -> Result<Reader, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(data_dir.join(FILE), flags)?;
        keep_plans(&connection)?;
        Ok(Reader(connection))
    }

    /// A store in memory, for tests and the simulator.
    pub fn in_memory(owner: u64, now: UtcMicros) -> Result<Self, StoreOpenError> {
        let shown = String::from(":memory:");
        let connection = Connection::open_in_memory()
            .map_err(|error| StoreOpenError::Database { path: shown.clone(), source: DatabaseError(error) })?;
        Self::set_up(connection, shown, owner, now)
    }

    fn set_up(connection: Connection, path: String, owner: u64, now: UtcMicros) -> Result<Self, StoreOpenError> {
        if rusqlite::version_number() < SQLITE_MIN.0 {
            return Err(StoreOpenError::OldSqlite { found: rusqlite::version() });
        }
        let sqlite = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreOpenError::Foreign { path: path.clone() },
            _ => StoreOpenError::Database { path: path.clone(), source: DatabaseError(error) },
        };
        let application_id: i32 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(sqlite)?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
        if application_id != APPLICATION_ID && tables > 0 {
            return Err(StoreOpenError::Foreign { path });
        }
        let found = migrations::schema(&connection).map_err(sqlite)?;
        if found > migrations::NEWEST {
            return Err(StoreOpenError::Newer { path, found, known: migrations::NEWEST });
        }
        connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(sqlite)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(sqlite)?;
        connection.pragma_update(None, "cache_size", -16_384).map_err(sqlite)?;
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(sqlite)?;
        connection.set_prepared_statement_cache_capacity(64);
        keep_plans(&connection).map_err(sqlite)?;
        migrations::migrate(&connection, APPLICATION_ID, now).map_err(sqlite)?;
        let mut store =
            Self { connection, owner: owner.cast_signed(), health: Arc::default(), newest_job: AtomicI64::new(0) };
        store.take_leases(now).map_err(sqlite)?;
        Ok(store)
    }

    /// Takes every bucket's lease by compare-and-set. The data directory's lock says that nobody else is alive, so a lease that
    /// has not run out belongs to a dead process.
    fn take_leases(&mut self, now: UtcMicros) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare(
                "INSERT INTO lease(bucket, owner, epoch, until_us) VALUES (?1, 0, 0, 0) ON CONFLICT DO NOTHING",
            )?;
            let mut epoch_of = transaction.prepare("SELECT epoch FROM lease WHERE bucket = ?1")?;
            let mut take = transaction.prepare(
                "UPDATE lease SET owner = ?1, epoch = epoch + 1, until_us = ?2 WHERE bucket = ?3 AND epoch = ?4",
            )?;
            for bucket in 0..BUCKETS {
                insert.execute(params![bucket])?;
                let epoch: i64 = epoch_of.query_row(params![bucket], |row| row.get(0))?;
                take.execute(params![self.owner, now.plus_us(LEASE_US).0, bucket, epoch])?;
            }
        }
        transaction.commit()
    }

    /// Runs `write` in one transaction that is durable when this returns `Ok`, and left no trace when it returns `Err`.
    pub fn write<T>(&mut self, write: impl FnOnce(Tables<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let outcome = self.transact(write);
        self.health.note(&outcome);
        outcome
    }

    fn transact<T>(&mut self, write: impl FnOnce(Tables<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let held: i64 = transaction
            .prepare_cached("SELECT count(*) FROM lease WHERE owner = ?1")?
            .query_row(params![self.owner], |row| row.get(0))?;
        if held != i64::from(BUCKETS) {
            return Err(StoreError::Fenced { missing: i64::from(BUCKETS) - held });
        }
        let out = write(Tables { connection: &transaction, newest_job: Some(&self.newest_job) })?;
        transaction.commit()?;
        Ok(out)
    }

    /// Whether writes work.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// The tables, to read.
    pub fn read(&self) -> Tables<'_> {
        Tables::of(&self.connection)
    }

    /// The connection itself: for tests that count rows or damage them.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Proves that the disk takes writes again: renews the leases.
    pub fn probe_write(&mut self, now: UtcMicros) -> Result<(), StoreError> {
        let until = now.plus_us(LEASE_US).0;
        let owner = self.owner;
        self.write(|tx| {
            tx.prepare_cached("UPDATE lease SET until_us = ?1 WHERE owner = ?2")?.execute(params![until, owner])?;
            Ok(())
        })
    }

    /// Bounds the file's size in pages of 4 KiB; 0 lifts the bound. A full store refuses writes and heals when the bound is lifted.
    pub fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        let pages = if pages == 0 { u32::MAX - 1 } else { pages };
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    }

    /// Pages in use now.
    pub fn pages(&self) -> Result<u32, StoreError> {
        Ok(self.connection.pragma_query_value(None, "page_count", |row| row.get(0))?)
    }

    /// Copies the write-ahead log into the file.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_with_a_bound_limit_is_planned_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1, UtcMicros(0)).unwrap();
        let reader = Store::open_to_read(dir.path()).unwrap();
        for connection in [store.connection(), &reader.0] {
            let mut statement = connection.prepare("SELECT bucket FROM lease ORDER BY bucket LIMIT ?1").unwrap();
            for most in 1_i64..5 {
                let rows = statement.query_map([most], |row| row.get::<_, i64>(0)).unwrap();
                assert_eq!(rows.count() as i64, most);
            }
            assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
        }
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), 1, UtcMicros(0)).unwrap());
        let connection = Connection::open(dir.path().join(FILE)).unwrap();
        connection.pragma_update(None, "user_version", migrations::NEWEST + 1).unwrap();
        drop(connection);
        let error = Store::open(dir.path(), 1, UtcMicros(0)).unwrap_err();
        assert!(matches!(error, StoreOpenError::Newer { .. }), "{error}");
        assert!(error.to_string().contains("newer sitepulse-collector"), "{error}");
    }

    #[test]
    fn other_users_cannot_read_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mode = || std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777;
        let mut store = Store::open(dir.path(), 1, UtcMicros(0)).unwrap();
        store.probe_write(UtcMicros(1)).unwrap();
        let wal = dir.path().join("collector.db-wal");
        assert_eq!((mode(), std::fs::metadata(wal).unwrap().permissions().mode() & 0o777), (0o600, 0o600));
        drop(store);
        std::fs::set_permissions(dir.path().join(FILE), std::fs::Permissions::from_mode(0o644)).unwrap();
        drop(Store::open(dir.path(), 1, UtcMicros(0)).unwrap());
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn foreign_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join(FILE)).unwrap();
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        drop(connection);
        assert!(matches!(Store::open(dir.path(), 1, UtcMicros(0)).unwrap_err(), StoreOpenError::Foreign { .. }));
        std::fs::write(dir.path().join(FILE), vec![b'x'; 8192]).unwrap();
        assert!(matches!(Store::open(dir.path(), 1, UtcMicros(0)).unwrap_err(), StoreOpenError::Foreign { .. }));
    }

    #[test]
    fn a_lost_lease_fences_writes() {
        let mut store = Store::in_memory(1, UtcMicros(0)).unwrap();
        store.probe_write(UtcMicros(1)).unwrap();
        store.connection.execute("UPDATE lease SET owner = 2, epoch = epoch + 1 WHERE bucket = 7", []).unwrap();
        assert!(matches!(store.probe_write(UtcMicros(2)), Err(StoreError::Fenced { missing: 1 })));
    }

    #[test]
    fn opening_again_raises_the_epoch() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), 1, UtcMicros(0)).unwrap());
        let store = Store::open(dir.path(), 2, UtcMicros(0)).unwrap();
        let (least, most): (i64, i64) = store
            .read()
            .query_row("SELECT min(epoch), max(epoch) FROM lease", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!((least, most), (2, 2));
    }
}
