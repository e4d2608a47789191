//! The directory of a browser: gone with it, and where its agent was killed, with the next start of one.
//!
//! `BASE/sitepulse-browser-PID-N` is the agent's and locked (`flock`) as long as the agent lives: a kernel gives the lock back whatever ends the agent, so that a
//! directory whose lock can be had is nobody's. `profile` in it is the browser's own.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const PREFIX: &str = "sitepulse-browser-";
/// Browsers of one agent, one after the other and a few at once.
const NAMES_MAX: u32 = 10_000;

/// A directory that goes with its browser.
#[derive(Debug)]
pub(super) struct ProfileDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl ProfileDir {
    /// A new one under `base`, whose profile is of the user and group `owner` where that is another than the agent's.
    pub(super) fn create(base: &Path, owner: Option<(u32, u32)>) -> Result<Self, String> {
        let failed =
            |path: &Path, error: Error| format!("{}: no place for the browser's profile ({error})", path.display());
        for number in 0..NAMES_MAX {
            let path = base.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(base, error)),
            }
            // Whoever clears what is left may have had the lock first, and may have removed the directory with it.
            let Some(lock) = lock(&path) else { continue };
            let dir = Self { path, _lock: lock };
            let profile = dir.profile();
            DirBuilder::new().mode(0o700).create(&profile).map_err(|error| failed(&profile, error))?;
            if let Some((uid, gid)) = owner {
                // The browser passes through to its profile, and can change nothing here.
                std::fs::set_permissions(&dir.path, std::fs::Permissions::from_mode(0o711))
                    .and_then(|()| std::os::unix::fs::chown(&profile, Some(uid), Some(gid)))
                    .map_err(|error| failed(&profile, error))?;
            }
            return Ok(dir);
        }
        Err(format!("{}: {NAMES_MAX} profiles of this agent's browsers are there already", base.display()))
    }

    /// Where the browser may write.
    pub(super) fn profile(&self) -> PathBuf {
        self.path.join("profile")
    }
}

impl Drop for ProfileDir {
    fn drop(&mut self) {
        // Its last helpers may be writing yet. What is left then goes with the next start. Nobody but the browser's own thread waits here.
        for _ in 0..10 {
            match std::fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// Removes what agents of this user left behind when they were killed.
pub(super) fn clear_stale(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    let Ok(uid) = std::fs::metadata("/proc/self").map(|me| me.uid()) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            // Not through a link: the base is open to all.
            && std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
        if !ours {
            continue;
        }
        if let Some(lock) = lock(&path) {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!("{}: a browser's profile that was left behind is removed", path.display()),
                Err(error) => tracing::debug!("{}: cannot be removed ({error})", path.display()),
            }
            drop(lock);
        }
    }
}

/// The lock of a directory, unless somebody has it or it is no longer there.
fn lock(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
    }
    let (held, named) = (file.metadata().ok()?, std::fs::symlink_metadata(path).ok()?);
    (held.ino() == named.ino() && held.dev() == named.dev()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_agent_left_is_cleared_and_nothing_else() {
        let base = tempfile::tempdir().expect("a folder");
        let mine = ProfileDir::create(base.path(), None).expect("a profile");
        let ended = ProfileDir::create(base.path(), None).expect("another");
        let ended_path = ended.path.clone();
        drop(ended);
        assert!(!ended_path.exists());
        // A killed agent's lock is gone, its directory is not.
        let stale = base.path().join("sitepulse-browser-1-0");
        std::fs::create_dir_all(stale.join("profile/Default")).expect("a folder");
        std::fs::write(stale.join("profile/Default/x"), b"x").expect("a file");
        let other = base.path().join("somebody-else");
        std::fs::create_dir(&other).expect("a folder");
        let link = base.path().join("sitepulse-browser-2-0");
        std::os::unix::fs::symlink(&other, &link).expect("a link");
        clear_stale(base.path());
        assert!(!stale.exists());
        assert!(mine.profile().is_dir() && other.is_dir() && link.exists());
        drop(mine);
        assert_eq!(std::fs::read_dir(base.path()).expect("a folder").count(), 2);
    }

    #[test]
    fn a_base_that_does_not_exist_is_named() {
        let error = ProfileDir::create(Path::new("/nonexistent"), None).expect_err("nothing there");
        assert!(error.starts_with("/nonexistent: no place for the browser's profile"), "{error}");
    }
}
