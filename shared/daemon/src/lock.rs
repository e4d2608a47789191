//! One process per data directory: an exclusive `flock` on `<dir>/lock`, which holds the owner's pid for people to read.
//!
//! The kernel releases the lock when its owner dies, however it dies; the file stays.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use crate::clock;

/// How long a program that starts waits for a command line that is just working on its files.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Why a data directory is not ours.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has it.
    #[error("data directory {dir} is in use by process {pid}: stop it, or choose another with --data-dir", pid = .pid.map_or("?".to_owned(), |pid| pid.to_string()))]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The owner, where it could be read.
        pid: Option<u32>,
    },
    /// It is on a read-only file system, or belongs to somebody else.
    #[error(
        "data directory {dir} is not writable: {reason}: give the service's user write access, or choose another with --data-dir"
    )]
    ReadOnly {
        /// The directory.
        dir: PathBuf,
        /// What the system says. Part of the text, so not a source: it would be told twice.
        reason: io::Error,
    },
    /// No space is left for even the lock file.
    #[error("data directory {dir}: the disk is full: free some space")]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// Something else, such as a file in its place.
    #[error("data directory {dir} cannot be used: {reason}: choose another with --data-dir")]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What the system says. Part of the text, so not a source: it would be told twice.
        reason: io::Error,
    },
}

impl LockError {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the system's errors are not ours to list")]
    fn from_io(dir: &Path, reason: io::Error) -> Self {
        let dir = dir.to_owned();
        match reason.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { dir, reason },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { dir },
            _ => Self::Unusable { dir, reason },
        }
    }
}

/// Holds a data directory until dropped.
#[derive(Debug)]
pub struct DataDirLock {
    dir: PathBuf,
    _file: File,
}

impl DataDirLock {
    /// Takes the directory: creates it (mode 0700) where it is missing, and locks it. The pid in the file is a courtesy: a full disk
    /// that does not take it is no reason not to run.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let error = |source| LockError::from_io(dir, source);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(error)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(error)?;
        if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            return Err(if errno == rustix::io::Errno::WOULDBLOCK {
                LockError::Held { dir: dir.to_owned(), pid: read_pid(&mut file) }
            } else {
                error(errno.into())
            });
        }
        let pid = format!("{}\n", std::process::id());
        if let Err(reason) = file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())) {
            tracing::debug!("{}: the lock is held, but its file does not take the pid ({reason})", dir.display());
        }
        Ok(Self { dir: dir.to_owned(), _file: file })
    }

    /// As [`DataDirLock::acquire`], but waits up to `patience` for whoever holds it: a command line that works on the files of a stopped
    /// program holds the lock for a moment, and must not keep that program from starting. Blocks the thread.
    pub fn acquire_within(dir: &Path, patience: Duration) -> Result<Self, LockError> {
        let start = clock::monotonic();
        loop {
            match Self::acquire(dir) {
                Err(LockError::Held { .. }) if clock::monotonic().since(start) < patience => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    /// Whether some process holds the directory now. `false` also where there is none.
    pub fn is_held(dir: &Path) -> bool {
        let Ok(file) = File::open(dir.join("lock")) else { return false };
        // A shared lock is enough to ask; it goes when `file` does.
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_owner_at_a_time_and_the_other_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a").join("data");
        let held = DataDirLock::acquire(&dir).unwrap();
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(DataDirLock::is_held(&dir));
        let error = DataDirLock::acquire(&dir).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(held);
        assert!(!DataDirLock::is_held(&dir));
        DataDirLock::acquire(&dir).unwrap();
    }

    #[test]
    fn a_full_disk_does_not_keep_a_held_lock_from_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("lock")).unwrap();
        DataDirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn no_error_tells_the_systems_words_twice() {
        use std::error::Error as _;
        for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::NotADirectory] {
            assert!(LockError::from_io(Path::new("/x"), kind.into()).source().is_none());
        }
    }

    #[test]
    fn unusable_places_say_why() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(DataDirLock::acquire(&file), Err(LockError::Unusable { .. })));
        let error = LockError::from_io(&file, io::ErrorKind::ReadOnlyFilesystem.into()).to_string();
        assert!(error.contains("not writable") && error.contains("--data-dir"), "{error}");
        let error = LockError::from_io(&file, io::ErrorKind::StorageFull.into()).to_string();
        assert!(error.contains("disk is full"), "{error}");
        assert!(!DataDirLock::is_held(&parent.path().join("nowhere")));
    }

    /// Found by the kill loop: `spool` asked while the agent was starting held the lock, and the agent gave up.
    #[test]
    fn a_start_waits_for_a_command_line_that_is_just_working_on_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDirLock::acquire(dir.path()).unwrap();
        let path = dir.path().to_path_buf();
        let starting = std::thread::spawn(move || DataDirLock::acquire_within(&path, Duration::from_secs(20)).is_ok());
        assert!(matches!(DataDirLock::acquire_within(dir.path(), Duration::ZERO), Err(LockError::Held { .. })));
        drop(held);
        assert!(starting.join().unwrap());
    }
}
