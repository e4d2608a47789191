//! Backups: one file that holds the whole database at one instant, with the authority's keys beside it in a table of its own.
//!
//! A backup is read within one transaction, page by page: the running collector writes on meanwhile and never waits. The copy is checked before it gets its name, so a
//! file of that name is a whole backup. Restoring is the same way back, into a data directory that has no database yet.
//!
//! Agents remember what they were told and hold what they have not delivered, and a restored collector knows nothing of what came after its backup. No number that was
//! given meanwhile may be given to something else: assignments and control events are numbered by the clock (`app/control.rs`), and a restore raises the floor of the
//! numbers and revisions of checks ([`META_NUMBERS_FROM`]). A result of a revision that was lost is then set aside, never taken for another one's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sitepulse_daemon::files::{self, FileError};
use sitepulse_model::time::UtcMicros;
use thiserror::Error;

use super::{APPLICATION_ID, FILE, StoreError, Tables, migrations, records, rows};

/// Pages copied between two reports of progress.
const STEP_PAGES: i32 = if cfg!(test) { 100 } else { 4_000 };
/// How long another process may keep the file locked (it holds it for moments alone).
const BUSY: Duration = Duration::from_secs(10);
/// Longest file that goes along with the database, in bytes.
const BESIDE_BYTES_MAX: u64 = 64 << 10;
/// What SQLite puts beside a database: it would take a leftover one for the new database's own.
const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The data directory's lock (`sitepulse_daemon::lock`), which a restore as root makes too.
const LOCK: &str = "lock";
/// What a restore leaves of check numbers and revisions for those that were given after the backup.
const NUMBERS_GAP: i64 = 1_000_000;
/// Two restores of one backup leave different gaps: seconds of the clock, this many numbers apart, within a range of which 32 bits hold hundreds.
const NUMBERS_STRIDE: i64 = 10_007;
const NUMBERS_SPREAD: i64 = 1 << 24;

/// Name in the table `meta`: the least number of a new check, and the least new revision of one, since the last restore.
pub(crate) const META_NUMBERS_FROM: &str = "numbers_from";

/// Why there is no backup, or nothing restored.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Something is in the way.
    #[error("{}: {} there already; {remedy}", shown(paths), if paths.len() == 1 { "is" } else { "are" })]
    Exists {
        /// What.
        paths: Vec<PathBuf>,
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
    Database {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: super::DatabaseError,
    },
    /// A file fails.
    #[error(transparent)]
    File(#[from] FileError),
    /// Whoever hears of its progress wanted it to stop.
    #[error("stopped before it was whole")]
    Stopped,
}

/// Hears the pages done and all pages, and says whether to go on.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64) -> ControlFlow<()>;

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
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
    |error| BackupError::Database { path: path.to_owned(), source: super::DatabaseError(error) }
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

/// Copies what `from`, which is the file `source`, is at this instant into `to`, an empty file.
fn copy(from: &Connection, source: &Path, to: &Path, progress: Progress<'_>) -> Result<Connection, BackupError> {
    // A reader's transaction: however long it takes, it sees one instant.
    from.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").map_err(at(source))?;
    let mut copy = Connection::open(to).map_err(at(to))?;
    // Nobody needs half a copy: `settle` makes the whole one durable.
    copy.execute_batch("PRAGMA synchronous = OFF;").map_err(at(to))?;
    let backup = Backup::new(from, &mut copy).map_err(at(to))?;
    let step = || backup.step(STEP_PAGES).map_err(|error| at(if of_the_source(&error) { source } else { to })(error));
    while let StepResult::More | StepResult::Busy | StepResult::Locked = step()? {
        let state = backup.progress();
        let total = u64::try_from(state.pagecount).unwrap_or(0);
        let done = total.saturating_sub(u64::try_from(state.remaining).unwrap_or(0));
        if progress(done, total).is_break() {
            return Err(BackupError::Stopped);
        }
    }
    let total = u64::try_from(backup.progress().pagecount).unwrap_or(0);
    if progress(total, total).is_break() {
        return Err(BackupError::Stopped);
    }
    drop(backup);
    from.execute_batch("COMMIT").map_err(at(source))?;
    // One file, without a write-ahead log.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(at(to))?;
    Ok(copy)
}

/// Whether a step failed at reading: the copy is only written, so what is damaged or cannot be read is the source.
fn of_the_source(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || [rusqlite::ffi::SQLITE_IOERR_READ, rusqlite::ffi::SQLITE_IOERR_SHORT_READ].contains(&extended)
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

/// Something of that name is there, if only a dangling link.
fn taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn beside_name(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// A file that is not whole yet: new, its owner's alone, and removed unless it gets its name.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Unfinished {
    /// Under a name of its own: others may write to the folder, and other backups be made there.
    fn new(whole: &Path) -> Result<Self, FileError> {
        let mut number = 0_u32;
        loop {
            let path = beside_name(whole, &format!(".{}-{number}.partial", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(_) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(FileError::from_io(&path, "write", error)),
            }
        }
    }

    /// Gives it its name, durably. Never replaces another file.
    fn finish(self, whole: &Path, remedy: &'static str) -> Result<(), BackupError> {
        settle(&self.0)?;
        let named = match renameat_with(CWD, &self.0, CWD, whole, RenameFlags::NOREPLACE) {
            // The file system has no such call: the temporary name goes with `self`.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(&self.0, whole),
            named => named.map_err(io::Error::from),
        };
        match named {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists { paths: vec![whole.to_owned()], remedy });
            }
            Err(error) => return Err(FileError::from_io(whole, "write", error).into()),
        }
        Ok(settle(whole.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for suffix in SIDES.iter().chain(&[""]) {
            // Most are not there, and an error before is the one to tell.
            drop(fs::remove_file(beside_name(&self.0, suffix)));
        }
    }
}

/// Writes the backup `to` of the collector in `data_dir`, which may be running, with the files named `beside` from its folder.
///
/// # Errors
/// When `to` exists, `progress` wants no more, or something cannot be read or written; then there is no file `to`.
pub fn backup(data_dir: &Path, to: &Path, beside: &[&str], progress: Progress<'_>) -> Result<Held, BackupError> {
    const OTHER: &str = "choose another name, or move it away";
    if taken(to) {
        return Err(BackupError::Exists { paths: vec![to.to_owned()], remedy: OTHER });
    }
    let source = open(&data_dir.join(FILE))?;
    let unfinished = Unfinished::new(to)?;
    let held = write(&source, data_dir, &unfinished.0, beside, progress)?;
    unfinished.finish(to, OTHER)?;
    Ok(held)
}

fn write(
    source: &Connection,
    data_dir: &Path,
    to: &Path,
    beside: &[&str],
    progress: Progress<'_>,
) -> Result<Held, BackupError> {
    let copy = copy(source, &data_dir.join(FILE), to, progress)?;
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
    let records = count(&copy, to)?;
    copy.close().map_err(|(_, error)| at(to)(error))?;
    let bytes = fs::metadata(to).map_err(|error| FileError::from_io(to, "read", error))?.len();
    Ok(Held { bytes, records, files: kept })
}

/// How many records a copy holds, of this schema or an older one.
fn count(copy: &Connection, path: &Path) -> Result<u64, BackupError> {
    if migrations::schema(copy).map_err(at(path))? >= migrations::BLOCKS_FROM {
        return records::count(Tables::of(copy)).map_err(|error| match error {
            StoreError::Database(super::DatabaseError(source)) => at(path)(source),
            error @ (StoreError::Fenced { .. } | StoreError::Integrity { .. } | StoreError::BadRow { .. }) => {
                BackupError::Unfit { path: path.to_owned(), what: error.to_string() }
            }
        });
    }
    migrations::count_rows(copy).map_err(at(path))
}

/// Which files a backup has beside the database.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Those that every backup has.
    pub always: &'a [&'a str],
    /// Those that it may have.
    pub sometimes: &'a [&'a str],
}

/// Makes the data directory `data_dir`, which the caller has locked, from a backup, at `now`. What root restores belongs to the folder's owner. A restore that was cut
/// short is repeated.
///
/// # Errors
/// When there is a database already (or what SQLite had beside one) or other keys, when the backup is none or damaged, or something cannot be written; then there is no
/// database.
pub fn restore(
    from: &Path,
    data_dir: &Path,
    files: Beside<'_>,
    now: UtcMicros,
    progress: Progress<'_>,
) -> Result<Held, BackupError> {
    const AWAY: &str =
        "a restore overwrites nothing: move away all that was the old database, or choose another --data-dir";
    let to = data_dir.join(FILE);
    let ours = [""].iter().chain(&SIDES).map(|suffix| beside_name(&to, suffix));
    let paths: Vec<PathBuf> = ours.filter(|path| taken(path)).collect();
    if !paths.is_empty() {
        return Err(BackupError::Exists { paths, remedy: AWAY });
    }
    let source = open(from)?;
    check(&source, from)?;
    let beside = read_beside(&source, from, files)?;
    for (name, content) in &beside {
        let path = data_dir.join(name);
        if taken(&path) && files::read(&path, BESIDE_BYTES_MAX)? != *content {
            return Err(BackupError::Exists { paths: vec![path], remedy: AWAY });
        }
    }
    clear_leftovers(data_dir)?;
    let unfinished = Unfinished::new(&to)?;
    let copy = copy(&source, from, &unfinished.0, progress)?;
    copy.execute_batch("DROP TABLE backup_file").map_err(at(&unfinished.0))?;
    raise_numbers(&copy, now).map_err(at(&unfinished.0))?;
    let records = count(&copy, &unfinished.0)?;
    copy.close().map_err(|(_, error)| at(&unfinished.0)(error))?;
    // The keys first: a database without them would get new ones, and no agent would know it.
    for (name, content) in &beside {
        files::write_atomic(&data_dir.join(name), content, 0o600)?;
        give_away(&data_dir.join(name), data_dir)?;
    }
    give_away(&data_dir.join(LOCK), data_dir)?;
    give_away(&unfinished.0, data_dir)?;
    let metadata = fs::metadata(&unfinished.0).map_err(|error| FileError::from_io(&unfinished.0, "read", error))?;
    unfinished.finish(&to, AWAY)?;
    let files = beside.into_iter().map(|(name, _)| name).collect();
    Ok(Held { bytes: metadata.len(), records, files })
}

/// The files that a backup holds: those that it must, and none but those that it may.
fn read_beside(source: &Connection, from: &Path, files: Beside<'_>) -> Result<Vec<(String, Vec<u8>)>, BackupError> {
    let unfit = |what: String| BackupError::Unfit { path: from.to_owned(), what };
    let table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'backup_file'";
    let tables: i64 = source.query_row(table, [], |row| row.get(0)).map_err(at(from))?;
    if tables == 0 {
        let what = "this is a collector's database, but no file of `sitepulse-collector backup`: copy it with its keys by hand";
        return Err(unfit(what.to_owned()));
    }
    let read = || -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
        let mut statement = source.prepare("SELECT name, content FROM backup_file ORDER BY name")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let beside = read().map_err(at(from))?;
    let has = |name: &str| beside.iter().any(|(held, _)| held == name);
    if let Some(name) = files.always.iter().find(|name| !has(name)) {
        return Err(unfit(format!("it lacks {name}, without which no agent knows the collector: use another backup")));
    }
    let known = |name: &str| files.always.iter().chain(files.sometimes).any(|known| *known == name);
    if let Some((name, _)) = beside.iter().find(|(name, _)| !known(name)) {
        return Err(unfit(format!("it would write a file {name:?}: this is no file of `sitepulse-collector backup`")));
    }
    Ok(beside)
}

/// Removes what restores that were cut short left: the lock says that none of them is alive.
fn clear_leftovers(data_dir: &Path) -> Result<(), FileError> {
    let folder = fs::read_dir(data_dir).map_err(|error| FileError::from_io(data_dir, "read", error))?;
    for entry in folder {
        let path = entry.map_err(|error| FileError::from_io(data_dir, "read", error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{FILE}.")) && name.contains(".partial") {
            fs::remove_file(&path).map_err(|error| FileError::from_io(&path, "write", error))?;
        }
    }
    Ok(())
}

/// Sets [`META_NUMBERS_FROM`]: far beyond the backup's numbers, and elsewhere than another restore of the same backup set it.
fn raise_numbers(copy: &Connection, now: UtcMicros) -> rusqlite::Result<()> {
    let newest = "SELECT coalesce(max(max(check_no), max(revision)), 0) FROM check_revision";
    let newest: i64 = copy.query_row(newest, [], |row| row.get(0))?;
    let apart = (now.0 / 1_000_000).saturating_mul(NUMBERS_STRIDE).rem_euclid(NUMBERS_SPREAD);
    let from = newest.saturating_add(NUMBERS_GAP + apart);
    rows::set_meta(Tables::of(copy), META_NUMBERS_FROM, &from.to_string()).map_err(|error| match error {
        super::StoreError::Database(super::DatabaseError(error)) => error,
        super::StoreError::Fenced { .. } | super::StoreError::Integrity { .. } | super::StoreError::BadRow { .. } => {
            rusqlite::Error::InvalidQuery
        }
    })
}

/// Root's work belongs to the folder's owner: the collector runs as that user.
fn give_away(path: &Path, folder: &Path) -> Result<(), FileError> {
    if !rustix::process::geteuid().is_root() || !taken(path) {
        return Ok(());
    }
    let owner = fs::metadata(folder).map_err(|error| FileError::from_io(folder, "read", error))?;
    lchown(path, Some(owner.uid()), Some(owner.gid())).map_err(|error| FileError::from_io(path, "give away", error))
}

#[cfg(test)]
mod tests {
    use sitepulse_model::time::UtcMicros;

    use super::super::Store;
    use super::*;

    const FILES: Beside<'static> = Beside { always: &["ca.pem"], sometimes: &["seal.key"] };

    fn restore(from: &Path, data_dir: &Path, progress: Progress<'_>) -> Result<Held, BackupError> {
        super::restore(from, data_dir, FILES, UtcMicros(1_800_000_000_000_000), progress)
    }

    fn silent() -> impl FnMut(u64, u64) -> ControlFlow<()> {
        |_, _| ControlFlow::Continue(())
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

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
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
            ControlFlow::Continue(())
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

    /// The defect: nothing could stop a backup.
    #[test]
    fn a_backup_stops_when_told_and_leaves_nothing() {
        let (dir, _store) = filled(20_000);
        let folder = tempfile::tempdir().unwrap();
        let mut steps = 0;
        let stopped = backup(dir.path(), &folder.path().join("b.db"), &["ca.pem"], &mut |_, _| {
            steps += 1;
            if steps == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(BackupError::Stopped)), "{stopped:?}");
        assert_eq!((steps, names(folder.path())), (3, vec![]));
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
        fs::write(new.path().join("collector.db.77-0.partial"), "half").unwrap();
        fs::write(new.path().join("collector.db.77-0.partial-journal"), "half").unwrap();
        restore(&to, new.path(), &mut silent()).unwrap();
        assert_eq!(fs::read(new.path().join("ca.pem")).unwrap(), b"certificate");
        drop(Store::open(new.path(), 2, UtcMicros(0)).unwrap());
        assert_eq!(values(&new.path().join(FILE)), 100);
        assert_eq!(names(new.path()), ["ca.pem", FILE]);
    }

    #[test]
    fn nothing_is_overwritten() {
        let (dir, _store) = filled(1);
        let to = dir.path().join("b.db");
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        let again = backup(dir.path(), &to, &[], &mut silent()).unwrap_err();
        assert!(again.to_string().contains("b.db: is there already; choose another name"), "{again}");
        let over = restore(&to, dir.path(), &mut silent()).unwrap_err();
        assert!(over.to_string().contains("there already; a restore overwrites nothing"), "{over}");
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
        assert_eq!(
            names(dir.path()),
            ["b.db", "ca.pem", FILE, "collector.db-shm", "collector.db-wal", "plain.db", "text"]
        );
    }

    #[test]
    fn a_write_ahead_log_that_was_left_behind_is_never_played_into_the_restored_database() {
        let (dir, store) = filled(50);
        let to = dir.path().join("b.db");
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        // The operator moves the database alone away.
        let new = tempfile::tempdir().unwrap();
        for side in ["-wal", "-shm"] {
            let name = format!("{FILE}{side}");
            fs::copy(dir.path().join(&name), new.path().join(&name)).unwrap();
        }
        drop(store);
        let error = restore(&to, new.path(), &mut silent()).unwrap_err().to_string();
        assert!(
            error.contains("collector.db-wal, ") && error.contains("collector.db-shm: are there already"),
            "{error}"
        );
        assert_eq!(names(new.path()), ["collector.db-shm", "collector.db-wal"]);
        for side in ["-wal", "-shm"] {
            fs::remove_file(new.path().join(format!("{FILE}{side}"))).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", new.path().join("collector.db-journal")).unwrap();
        let error = restore(&to, new.path(), &mut silent()).unwrap_err().to_string();
        assert!(error.contains("collector.db-journal: is there already"), "{error}");
        fs::remove_file(new.path().join("collector.db-journal")).unwrap();
        restore(&to, new.path(), &mut silent()).unwrap();
        assert_eq!(values(&new.path().join(FILE)), 50);
    }

    #[test]
    fn an_unfinished_backup_follows_no_link_and_replaces_no_file() {
        let (dir, _store) = filled(10);
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("b.db");
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let planted = format!("b.db.{}-0.partial", std::process::id());
        std::os::unix::fs::symlink(&victim, folder.path().join(&planted)).unwrap();
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(names(folder.path()), ["b.db".to_owned(), planted.clone()]);
        assert_eq!(values(&to), 10);

        // Another backup of the same name is whole first.
        let second = folder.path().join("c.db");
        let mut first = true;
        let error = backup(dir.path(), &second, &["ca.pem"], &mut |_, _| {
            if std::mem::take(&mut first) {
                backup(dir.path(), &second, &["ca.pem"], &mut silent()).unwrap();
            }
            ControlFlow::Continue(())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("c.db: is there already; choose another name"), "{error}");
        assert_eq!(values(&second), 10);
        assert_eq!(names(folder.path()), ["b.db".to_owned(), planted, "c.db".to_owned()]);
    }

    #[test]
    fn only_the_keys_are_restored_and_none_may_be_missing() {
        let (dir, _store) = filled(1);
        let new = tempfile::tempdir().unwrap();
        let bare = dir.path().join("bare.db");
        backup(dir.path(), &bare, &[], &mut silent()).unwrap();
        let error = restore(&bare, new.path(), &mut silent()).unwrap_err().to_string();
        assert!(error.contains("bare.db: it lacks ca.pem"), "{error}");
        for name in ["lock", "../ca.pem", "collector.db-wal"] {
            let odd = dir.path().join(format!("odd-{}.db", name.len()));
            backup(dir.path(), &odd, &["ca.pem"], &mut silent()).unwrap();
            let connection = Connection::open(&odd).unwrap();
            connection.execute("INSERT INTO backup_file(name, content) VALUES (?1, x'00')", [name]).unwrap();
            drop(connection);
            let error = restore(&odd, new.path(), &mut silent()).unwrap_err().to_string();
            assert!(error.contains(&format!("it would write a file {name:?}")), "{error}");
        }
        assert!(names(new.path()).is_empty());
    }

    #[test]
    fn what_root_restores_belongs_to_the_folders_owner() {
        let (dir, _store) = filled(1);
        let to = dir.path().join("b.db");
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        let new = tempfile::tempdir().unwrap();
        let owner = if rustix::process::geteuid().is_root() { 65_534 } else { rustix::process::geteuid().as_raw() };
        lchown(new.path(), Some(owner), None).unwrap();
        fs::write(new.path().join(LOCK), "1\n").unwrap();
        restore(&to, new.path(), &mut silent()).unwrap();
        for name in ["ca.pem", FILE, LOCK] {
            assert_eq!(fs::metadata(new.path().join(name)).unwrap().uid(), owner, "{name}");
        }
    }

    #[test]
    fn two_restores_of_one_backup_leave_numbers_apart() {
        let (dir, _store) = filled(1);
        let to = dir.path().join("b.db");
        backup(dir.path(), &to, &["ca.pem"], &mut silent()).unwrap();
        let from = |now: i64| {
            let new = tempfile::tempdir().unwrap();
            super::restore(&to, new.path(), FILES, UtcMicros(now * 1_000_000), &mut silent()).unwrap();
            let connection = Connection::open(new.path().join(FILE)).unwrap();
            rows::meta(Tables::of(&connection), META_NUMBERS_FROM).unwrap().unwrap().parse::<u32>().unwrap()
        };
        let (one, other) = (from(1_800_000_000), from(1_800_000_001));
        assert!(one > 1_000_000 && one.abs_diff(other) > 10_000, "{one} and {other}");
    }
}
