//! Files that outlive a process: what a kill or a power cut leaves of an open SQLite database.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::rng::Rng;

/// A folder for a world's files, in memory where the system allows it.
pub(super) fn folder() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    tempfile::Builder::new()
        .prefix("sitepulse-sim-")
        .tempdir_in(shm)
        .or_else(|_| tempfile::tempdir())
        .expect("a folder for the world")
}

/// Copies databases with their write-ahead logs as they are at this instant: everything committed, nothing else. A power cut
/// may leave a torn frame behind the last commit.
pub(super) fn survive(from: &Path, to: &Path, files: &[&str], torn: Option<&mut Rng>) {
    fs::create_dir_all(to).expect("a folder");
    let mut torn = torn;
    for file in files {
        for suffix in ["", "-wal"] {
            let name = format!("{file}{suffix}");
            if from.join(&name).exists() {
                fs::copy(from.join(&name), to.join(&name)).expect("a copy");
            }
        }
        let log = to.join(format!("{file}-wal"));
        if let Some(rng) = torn.as_deref_mut()
            && log.exists()
        {
            let garbage: Vec<u8> = (0..rng.below(6000)).map(|_| rng.next() as u8).collect();
            let mut log = fs::OpenOptions::new().append(true).open(log).expect("the log opens");
            log.write_all(&garbage).expect("the log grows");
        }
    }
}

/// Makes a database unreadable.
pub(super) fn ruin(path: &Path, rng: &mut Rng) {
    let garbage: Vec<u8> = (0..8192).map(|_| rng.next() as u8).collect();
    fs::write(path, garbage).expect("the file is written");
    let mut log: PathBuf = path.to_owned();
    log.as_mut_os_string().push("-wal");
    drop(fs::remove_file(log));
}
