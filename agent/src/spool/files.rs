//! The files beside the spool file: its ballast, and damaged ones that were set aside.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sitepulse_model::time::UtcMicros;

use super::SpoolError;

/// How many damaged files are kept for inspection; older ones are deleted.
const SET_ASIDE_MAX: usize = 3;

pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn ballast_path(path: &Path) -> PathBuf {
    sibling(path, ".ballast")
}

pub(super) fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // Best effort: the directory is private as well.
    drop(fs::set_permissions(path, fs::Permissions::from_mode(0o600)));
}

/// Renames the file with its write-ahead log, and deletes the oldest of those set aside before.
pub(super) fn move_away(path: &Path, now: UtcMicros) -> Result<PathBuf, SpoolError> {
    let wrap = |source| SpoolError::SetAside { path: path.to_owned(), source };
    let mut target = sibling(path, &format!(".corrupt-{:020}", now.0.max(0)));
    let mut at = now.0.max(0);
    while target.exists() {
        at += 1;
        target = sibling(path, &format!(".corrupt-{at:020}"));
    }
    // The log first: a new file beside an old log could take that log for its own.
    for suffix in ["-wal", "-shm"] {
        let log = sibling(path, suffix);
        if log.exists() {
            fs::rename(&log, sibling(&target, suffix)).map_err(wrap)?;
        }
    }
    fs::rename(path, &target).map_err(wrap)?;
    let prefix = format!("{}.corrupt-", path.file_name().unwrap_or_default().to_string_lossy());
    let mut old: Vec<PathBuf> = path
        .parent()
        .and_then(|parent| fs::read_dir(parent).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&prefix) && !name.ends_with("-wal") && !name.ends_with("-shm")
        })
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(SET_ASIDE_MAX);
    for path in &old[..surplus] {
        for suffix in ["", "-wal", "-shm"] {
            drop(fs::remove_file(sibling(path, suffix)));
        }
    }
    Ok(target)
}

/// Makes the ballast of the spool file `path` if it is missing.
pub(super) fn keep_ballast(path: &Path, bytes: u64) {
    let path = ballast_path(path);
    if bytes == 0 || fs::metadata(&path).is_ok_and(|metadata| metadata.len() >= bytes) {
        return;
    }
    let fill = || -> std::io::Result<()> {
        let mut file = fs::File::create(&path)?;
        let block = [0x5a_u8; 64 << 10];
        let mut left = bytes;
        while left > 0 {
            let take = left.min(block.len() as u64);
            file.write_all(&block[..take as usize])?;
            left -= take;
        }
        file.sync_all()
    };
    if fill().is_err() {
        // Half a ballast is kept space that nobody can use.
        drop(fs::remove_file(&path));
    }
}
