//! Backups: one file that holds the whole database at one instant, with the authority's keys beside it in a table of its own.
//!
//! A backup is read within one transaction, page by page: the running collector writes on meanwhile and never waits. The copy is checked before it gets its name, so a
//! file of that name is a whole backup. Restoring is the same way back, into a data directory that has no database yet.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, params};
use sitepulse_daemon::files::{self, FileError};
use thiserror::Error;

use super::{APPLICATION_ID, FILE, migrations};

/// Pages copied between two reports of progress.
const STEP_PAGES: i32 = if cfg!(test) { 100 } else { 4_000 };
/// How long another process may keep the file locked (it holds it for moments alone).
const BUSY: Duration = Duration::from_secs(10);
/// Longest file that goes along with the database, in bytes.
const BESIDE_BYTES_MAX: u64 = 64 << 10;

/// Why there is no backup, or nothing restored.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Something is in the way.
    #[error("{path}: is there already; {remedy}")]
    Exists {
        /// What.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// The file is not what it should be.
    #[error("{path}: {what}")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why, with the remedy.
        what: String,
    },
    /// SQLite says no.
    #[error("{path}: {source}; check that it can be read and written, and that the disk is not full")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
    /// A file fails.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its size, in bytes.
    pub bytes: u64,
    /// Records of results, missed runs and tombstones.
    pub records: u64,
    /// The names of the files beside the database.
    pub files: Vec<String>,
}

fn at<'p>(path: &'p Path) -> impl Fn(rusqlite::Error) -> BackupError + 'p {
    |source| BackupError::Sqlite { path: path.to_owned(), source }
}

/// Opens a file that must be a collector's database of a schema that this build knows.
fn open(path: &Path) -> Result<Connection, BackupError> {
    let unfit = |what: String| BackupError::Unfit { path: path.to_owned(), what };
    if !path.is_file() {
        return Err(unfit("there is no such file".to_owned()));
    }
    // Readers of a database in WAL mode write its shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(at(path))?;
    connection.busy_timeout(BUSY).map_err(at(path))?;
    connection.pragma_update(None, "query_only", true).map_err(at(path))?;
    let id = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0));
    if !matches!(id, Ok(APPLICATION_ID)) {
        return Err(unfit("this is no database of a SitePulse collector".to_owned()));
    }
    let found = migrations::schema(&connection).map_err(at(path))?;
    if found > migrations::NEWEST {
        let known = migrations::NEWEST;
        return Err(unfit(format!("it has schema {found}, this build knows up to {known}: use the newer build")));
    }
    Ok(connection)
}

/// Copies what `from` is at this instant into the new file `to`, which only its owner may read.
fn copy(from: &Connection, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Connection, BackupError> {
    // A reader's transaction: however long it takes, it sees one instant.
    from.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").map_err(at(to))?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(|error| FileError::from_io(to, "write", error))?;
    let mut copy = Connection::open(to).map_err(at(to))?;
    // Nobody needs half a copy: no journal, one fsync at the end.
    copy.execute_batch("PRAGMA synchronous = OFF;").map_err(at(to))?;
    let backup = Backup::new(from, &mut copy).map_err(at(to))?;
    while let StepResult::More | StepResult::Busy | StepResult::Locked = backup.step(STEP_PAGES).map_err(at(to))? {
        let state = backup.progress();
        let total = u64::try_from(state.pagecount).unwrap_or(0);
        progress(total.saturating_sub(u64::try_from(state.remaining).unwrap_or(0)), total);
    }
    let total = u64::try_from(backup.progress().pagecount).unwrap_or(0);
    progress(total, total);
    drop(backup);
    from.execute_batch("COMMIT").map_err(at(to))?;
    // One file, without a write-ahead log.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(at(to))?;
    Ok(copy)
}

fn check(connection: &Connection, path: &Path) -> Result<(), BackupError> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(at(path))?;
    if said == "ok" {
        return Ok(());
    }
    let what = format!("SQLite finds it damaged ({said}): use an older backup");
    Err(BackupError::Unfit { path: path.to_owned(), what })
}

fn settle(path: &Path) -> Result<(), FileError> {
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    sync(path).map_err(|error| FileError::from_io(path, "write", error))
}

/// The file's name while it is not whole.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    settle(from)?;
    fs::rename(from, to).map_err(|error| FileError::from_io(to, "write", error))?;
    settle(to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Writes the backup `to` of the collector in `data_dir`, which may be running, with the files named `beside` from its folder. `progress` is told the pages done and
/// all pages.
///
/// # Errors
/// When `to` exists, or something cannot be read or written; then there is no file `to`.
pub fn backup(
    data_dir: &Path,
    to: &Path,
    beside: &[&str],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Held, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists { path: to.to_owned(), remedy: "choose another name, or move it away" });
    }
    let source = open(&data_dir.join(FILE))?;
    let unfinished = partial(to);
    let written = write(&source, data_dir, &unfinished, beside, progress);
    let held = written.and_then(|held| rename(&unfinished, to).map(|()| held).map_err(BackupError::from));
    if held.is_err() {
        // The first error is the one to tell.
        drop(fs::remove_file(&unfinished));
    }
    held
}

fn write(
    source: &Connection,
    data_dir: &Path,
    to: &Path,
    beside: &[&str],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Held, BackupError> {
    let copy = copy(source, to, progress)?;
    copy.execute_batch("CREATE TABLE backup_file(name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")
        .map_err(at(to))?;
    let mut kept = Vec::new();
    for name in beside {
        let content = files::read(&data_dir.join(name), BESIDE_BYTES_MAX)?;
        copy.execute("INSERT INTO backup_file(name, content) VALUES (?1, ?2)", params![name, content])
            .map_err(at(to))?;
        kept.push((*name).to_owned());
    }
    check(&copy, to)?;
    let records: i64 = copy.query_row("SELECT count(*) FROM result", [], |row| row.get(0)).map_err(at(to))?;
    copy.close().map_err(|(_, error)| at(to)(error))?;
    let bytes = fs::metadata(to).map_err(|error| FileError::from_io(to, "read", error))?.len();
    Ok(Held { bytes, records: records.cast_unsigned(), files: kept })
}

/// Makes the data directory `data_dir`, which the caller has locked, from a backup. A restore that was cut short is repeated.
///
/// # Errors
/// When there is a database already or other keys, when the backup is none or damaged, or something cannot be written; then there is no database.
pub fn restore(from: &Path, data_dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Held, BackupError> {
    const AWAY: &str = "a restore overwrites nothing: move it away, or choose another --data-dir";
    let to = data_dir.join(FILE);
    if to.exists() {
        return Err(BackupError::Exists { path: to, remedy: AWAY });
    }
    let source = open(from)?;
    check(&source, from)?;
    let read = || -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
        let mut statement = source.prepare("SELECT name, content FROM backup_file ORDER BY name")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let beside = read().map_err(|_| BackupError::Unfit {
        path: from.to_owned(),
        what:
            "this is a collector's database, but no file of `sitepulse-collector backup`: copy it with its keys by hand"
                .to_owned(),
    })?;
    for (name, content) in &beside {
        let path = data_dir.join(name);
        if name.contains('/') || name == FILE {
            let what = format!("it would write a file {name:?}: this is no file of `sitepulse-collector backup`");
            return Err(BackupError::Unfit { path: from.to_owned(), what });
        }
        if path.exists() && files::read(&path, BESIDE_BYTES_MAX)? != *content {
            return Err(BackupError::Exists { path, remedy: AWAY });
        }
    }
    let unfinished = partial(&to);
    let done = (|| {
        let copy = copy(&source, &unfinished, progress)?;
        copy.execute_batch("DROP TABLE backup_file").map_err(at(&unfinished))?;
        let records: i64 =
            copy.query_row("SELECT count(*) FROM result", [], |row| row.get(0)).map_err(at(&unfinished))?;
        copy.close().map_err(|(_, error)| at(&unfinished)(error))?;
        // The keys first: a database without them would get new ones, and no agent would know it.
        for (name, content) in &beside {
            files::write_atomic(&data_dir.join(name), content, 0o600)?;
        }
        let bytes = fs::metadata(&unfinished).map_err(|error| FileError::from_io(&unfinished, "read", error))?.len();
        rename(&unfinished, &to)?;
        let files = beside.iter().map(|(name, _)| name.clone()).collect();
        Ok(Held { bytes, records: records.cast_unsigned(), files })
    })();
    if done.is_err() {
        drop(fs::remove_file(&unfinished));
    }
    done
}

#[cfg(test)]
mod tests {
    use sitepulse_model::time::UtcMicros;

    use super::super::Store;
    use super::*;

    fn silent() -> impl FnMut(u64, u64) {
        |_, _| {}
    }

    fn filled(rows: u32) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), 1, UtcMicros(0)).unwrap();
        fs::write(dir.path().join("ca.pem"), "certificate").unwrap();
        add(&mut store, rows);
        (dir, store)
    }

    fn add(store: &mut Store, rows: u32) {
        store
            .write(|tx| {
                for row in 0..rows {
                    tx.execute(
                        "INSERT INTO meta(bucket, name, value) VALUES (0, ?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
                        params![format!("k{row}"), "x".repeat(500)],
                    )?;
                }
                Ok(())
            })
            .unwrap();
    }

    fn values(path: &Path) -> i64 {
        let connection = Connection::open(path).unwrap();
        connection.query_row("SELECT count(*) FROM meta WHERE name LIKE 'k%'", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_backup_is_one_instant_while_the_store_writes_on() {
        let (dir, mut store) = filled(20_000);
        let to = dir.path().join("b.db");
        let mut steps = 0;
        let held = backup(dir.path(), &to, &["ca.pem"], &mut |_, _| {
            steps += 1;
            store
                .write(|tx| {
                    tx.execute(
                        "DELETE FROM meta WHERE name IN (SELECT name FROM meta WHERE name LIKE 'k%' LIMIT 100)",
                        [],
                    )?;
                    Ok(())
                })
                .unwrap();
        })
        .unwrap();
        assert!(steps > 10, "the store wrote while it was read: {steps}");
        assert_eq!(values(&to), 20_000, "what was deleted after the first page is there");
        assert_eq!(held.files, ["ca.pem"]);
        assert_eq!(held.bytes, fs::metadata(&to).unwrap().len());
        assert_eq!(
            fs::metadata(&to).map(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777).unwrap(),
            0o600
        );
    }

    #[test]
    fn what_was_backed_up_is_restored() {
        let (dir, store) = filled(100);
        let to = dir.path().join("b.db");
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        drop(store);
        let new = tempfile::tempdir().unwrap();
        // A restore that was cut short left its keys and half a database.
        fs::write(new.path().join("ca.pem"), "certificate").unwrap();
        fs::write(new.path().join("collector.db.partial"), "half").unwrap();
        restore(&to, new.path(), &mut silent()).unwrap();
        assert_eq!(fs::read(new.path().join("ca.pem")).unwrap(), b"certificate");
        drop(Store::open(new.path(), 2, UtcMicros(0)).unwrap());
        assert_eq!(values(&new.path().join(FILE)), 100);
        assert!(!new.path().join("collector.db.partial").exists());
    }

    #[test]
    fn nothing_is_overwritten() {
        let (dir, _store) = filled(1);
        let to = dir.path().join("b.db");
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        let again = backup(dir.path(), &to, &[], &mut silent()).unwrap_err();
        assert!(again.to_string().contains("b.db: is there already; choose another name"), "{again}");
        let over = restore(&to, dir.path(), &mut silent()).unwrap_err();
        assert!(over.to_string().contains("collector.db: is there already; a restore overwrites nothing"), "{over}");
        let new = tempfile::tempdir().unwrap();
        fs::write(new.path().join("ca.pem"), "another").unwrap();
        let keys = restore(&to, new.path(), &mut silent()).unwrap_err();
        assert!(keys.to_string().contains("ca.pem: is there already"), "{keys}");
        assert!(!new.path().join(FILE).exists());
    }

    #[test]
    fn what_is_no_backup_is_refused() {
        let (dir, _store) = filled(500);
        let new = tempfile::tempdir().unwrap();
        let refused = |path: &Path| restore(path, new.path(), &mut silent()).unwrap_err().to_string();
        assert!(refused(&dir.path().join("none")).contains("there is no such file"));
        let text = dir.path().join("text");
        fs::write(&text, "hello").unwrap();
        assert!(refused(&text).contains("no database of a SitePulse collector"), "{}", refused(&text));
        let plain = dir.path().join("plain.db");
        fs::copy(dir.path().join(FILE), &plain).unwrap();
        assert!(
            refused(&plain).contains("no file of `sitepulse-collector backup`")
                || refused(&plain).contains("no database")
        );
        let to = dir.path().join("b.db");
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        let mut bytes = fs::read(&to).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(0xa5);
        fs::write(&to, bytes).unwrap();
        let error = refused(&to);
        assert!(error.contains("damaged") || error.contains("malformed"), "{error}");
        assert_eq!(fs::read_dir(new.path()).unwrap().count(), 0, "nothing is left behind");
        let missing = backup(dir.path(), &dir.path().join("c.db"), &["ca.key"], &mut silent()).unwrap_err();
        assert!(missing.to_string().contains("ca.key: no such file"), "{missing}");
        assert!(!dir.path().join("c.db").exists() && !dir.path().join("c.db.partial").exists());
    }
}
