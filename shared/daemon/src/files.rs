//! Small files, written whole: a crash leaves the old one or the new one, never half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is not there.
    #[error("{path}: no such file")]
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// No permission, or a read-only file system.
    #[error("{path}: cannot {verb}: {source}: give the service's user write access to its directory")]
    Denied {
        /// Where.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// No space is left.
    #[error("{path}: cannot write: the disk is full: free some space")]
    DiskFull {
        /// Where.
        path: PathBuf,
    },
    /// Larger than it may be.
    #[error("{path}: longer than {bytes_max} bytes: this is not the file it should be")]
    TooLong {
        /// Where.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// Something else.
    #[error("{path}: cannot {verb}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl FileError {
    /// Sorts an error of the system; `verb` is what was tried ("write", "read", "lock").
    #[allow(clippy::wildcard_enum_match_arm, reason = "the system's errors are not ours to list")]
    pub fn from_io(path: &Path, verb: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound if verb == "read" => Self::NotFound { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied { path, verb, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, verb, source },
        }
    }
}

/// Replaces the file at `path` by `bytes`, atomically and durably: temporary file with `mode` from the start, fsync, rename, fsync
/// of the directory.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let error = |source| FileError::from_io(path, "write", source);
    let name = path.file_name().ok_or_else(|| error(io::ErrorKind::InvalidInput.into()))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = written {
        // The first error is the one to tell; a leftover temporary file is overwritten next time.
        drop(fs::remove_file(&temporary));
        return Err(error(source));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(error)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads a whole file of at most `bytes_max` bytes.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let error = |source| FileError::from_io(path, "read", source);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(error)?;
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::TooLong { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replaces_the_whole_file_with_the_mode_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_atomic(&path, b"long old content", 0o644).unwrap();
        write_atomic(&path, b"new", 0o600).unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_path_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("file");
        assert!(write_atomic(&path, b"", 0o600).unwrap_err().to_string().contains("missing/file: cannot write"));
        assert!(matches!(read(&path, 1), Err(FileError::NotFound { .. })));
        let long = dir.path().join("long");
        write_atomic(&long, b"abc", 0o600).unwrap();
        assert!(matches!(read(&long, 2), Err(FileError::TooLong { bytes_max: 2, .. })));
        let full = FileError::from_io(&path, "write", io::ErrorKind::StorageFull.into());
        assert!(full.to_string().contains("the disk is full"));
        let denied = FileError::from_io(&path, "write", io::ErrorKind::ReadOnlyFilesystem.into());
        assert!(denied.to_string().contains("write access"));
    }
}
