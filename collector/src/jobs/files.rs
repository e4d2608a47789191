//! Backups and exports as jobs: each makes a file in the folder [`FOLDER`] of the data directory. The newest few of each kind are kept.
//!
//! A file has its job's id in its name and is made beside and moved into place whole, so that a job that is run twice makes one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::CheckId;
use sitepulse_model::job::JobId;
use sitepulse_model::time::{Span, UtcMicros};

use super::handlers::{Finished, Outcome, Unfinished, Work};
use super::{Job, Kind, Said};
use crate::app::{CA_CERTIFICATE, CA_KEY};
use crate::exchange::Format;
use crate::exchange::export::{ExportError, Wanted, export as write_export};
use crate::store::backup::{self, BackupError};

/// The folder in the data directory.
pub const FOLDER: &str = "files";
/// What is not whole yet ends with this.
const PARTIAL: &str = ".partial";

/// What an export is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportArgs {
    /// The format.
    pub format: Format,
    /// The checks; none: all of them.
    #[serde(default)]
    pub checks: Vec<String>,
    /// First instant.
    #[serde(default)]
    pub from: Option<String>,
    /// First instant after.
    #[serde(default)]
    pub to: Option<String>,
}

impl ExportArgs {
    /// What is wanted, or why it makes no sense.
    ///
    /// # Errors
    /// A name that is no check's, an instant that is none.
    pub fn wanted(&self, now: UtcMicros) -> Result<Wanted, String> {
        let checks: Result<_, _> = self.checks.iter().map(|id| CheckId::parse(id)).collect();
        let at = |text: &Option<String>, otherwise: UtcMicros| match text {
            None => Ok(otherwise),
            Some(text) => instant::parse(text, now).map_err(|error| error.to_string()),
        };
        let span = Span::new(at(&self.from, UtcMicros::MIN)?, at(&self.to, UtcMicros::MAX)?);
        if span.is_empty() {
            return Err("the period is empty: `from` must lie before `to`".into());
        }
        Ok(Wanted { checks: checks.map_err(|error| error.to_string())?, span })
    }
}

/// Where a job's file is, if it made one; whether it is kept still the disk knows.
pub fn path_of(data_dir: &Path, job: &Job) -> Option<PathBuf> {
    Some(data_dir.join(FOLDER).join(job.file.as_deref()?))
}

fn prefix(kind: Kind) -> String {
    format!("{}-", kind.as_str())
}

fn name(kind: Kind, id: JobId, ending: &str) -> String {
    format!("{}{id}.{ending}", prefix(kind))
}

/// The folder, made for its owner alone: a backup holds the authority's keys.
fn folder(data_dir: &Path) -> Result<PathBuf, Unfinished> {
    use std::os::unix::fs::DirBuilderExt as _;
    if data_dir.as_os_str().is_empty() {
        return Err(Unfinished::Refused("this collector has no data directory".into()));
    }
    let folder = data_dir.join(FOLDER);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| Unfinished::Failed(format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

/// Removes what attempts of a kind left that were cut short: one runs at a time.
fn clear(folder: &Path, kind: Kind) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix(kind)) && name.contains(PARTIAL) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Keeps the newest files of a kind; ids grow, and so do names.
fn keep(folder: &Path, kind: Kind, kept: usize) -> std::io::Result<usize> {
    let mut files: Vec<(JobId, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_prefix(&prefix(kind)).and_then(|rest| JobId::parse(rest.split_once('.')?.0));
        if let (Some(id), false) = (id, name.contains(PARTIAL)) {
            files.push((id, entry.path()));
        }
    }
    files.sort_unstable();
    let gone = files.len().saturating_sub(kept);
    for (_, path) in files.drain(..gone) {
        fs::remove_file(path)?;
    }
    Ok(gone)
}

/// Runs `make`, which blocks, until it ends or is to stop; then what it makes is removed by itself. `make` is told the folder, hears of a stop by the flag.
async fn beside(
    work: &Work,
    make: impl FnOnce(&Path, &AtomicBool) -> Result<(String, String), Unfinished> + Send + 'static,
) -> Outcome {
    let folder = folder(work.app.data_dir())?;
    let kind = work.job.kind;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let mut making = tokio::task::spawn_blocking(move || {
        clear(&folder, kind).map_err(|error| Unfinished::Failed(format!("{}: {error}", folder.display())))?;
        let (file, note) = make(&folder, &flag)?;
        if flag.load(Ordering::Relaxed) {
            // Nobody waits for it any more.
            drop(fs::remove_file(folder.join(&file)));
            return Err(Unfinished::Stopped);
        }
        let gone = keep(&folder, kind, kind.spec().kept_files)
            .map_err(|error| Unfinished::Failed(format!("{}: {error}", folder.display())))?;
        Ok((file, note, gone))
    });
    tokio::select! {
        made = &mut making => {
            let (file, note, gone) = made.map_err(|_| Unfinished::Stopped)??;
            if gone > 0 {
                work.log(Said::FilesGone { gone: gone as u64, kept: kind.spec().kept_files as u64 });
            }
            Ok(Finished { note, file: Some(file) })
        }
        () = work.stopping() => {
            stop.store(true, Ordering::Relaxed);
            // One of its kind runs at a time, so the next waits for this one.
            drop(making.await);
            Err(Unfinished::Stopped)
        }
    }
}

pub(super) async fn backup(work: Work) -> Outcome {
    let (told, dir, id) = (work.clone(), work.app.data_dir().to_owned(), work.job.id);
    beside(&work, move |folder, _| {
        let file = name(Kind::Backup, id, "db");
        let to = folder.join(&file);
        let mut progress = |done: u64, total: u64| {
            told.progress(part(done, total), Said::Copied { mib: done * 4 / 1024, of: total * 4 / 1024 });
        };
        match backup::backup(&dir, &to, &[CA_CERTIFICATE, CA_KEY], &mut progress) {
            Ok(held) => {
                let said = Said::BackedUp { records: held.records, kib: held.bytes.div_ceil(1024) };
                Ok((file, said.into()))
            }
            // It was made, and nobody wrote that down.
            Err(BackupError::Exists { .. }) => Ok((file, Said::MadeBefore.into())),
            Err(error) => Err(Unfinished::Failed(error.to_string())),
        }
    })
    .await
}

pub(super) async fn export(work: Work) -> Outcome {
    let args: ExportArgs = work.args()?;
    let now = clock::now();
    let wanted = args.wanted(now).map_err(Unfinished::Refused)?;
    let (told, dir, id) = (work.clone(), work.app.data_dir().to_owned(), work.job.id);
    beside(&work, move |folder, _| {
        let ending = match args.format {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        };
        let file = name(Kind::Export, id, ending);
        let (to, partial) = (folder.join(&file), folder.join(format!("{file}{PARTIAL}")));
        let mut progress = |done: u64, total: u64| told.progress(part(done, total), Said::Checks { done, of: total });
        let exported = write_export(&dir, &wanted, &partial, args.format, now, &mut progress);
        let exported = exported.map_err(|error| match error {
            ExportError::NoCheck(_) => Unfinished::Refused(error.to_string()),
            ExportError::Exchange(_) => Unfinished::Failed(error.to_string()),
        })?;
        fs::rename(&partial, &to).map_err(|error| Unfinished::Failed(format!("{}: {error}", to.display())))?;
        let damaged = exported.unreadable + exported.set_aside;
        let said = Said::Exported { records: exported.records, checks: exported.checks as u64, damaged };
        Ok((file, said.into()))
    })
    .await
}

#[allow(clippy::cast_precision_loss, reason = "a share for people")]
fn part(done: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { done as f64 / total as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_of_a_kind_are_kept_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path()).unwrap();
        let ids = [1_800_000_000_000_000, 1_800_000_000_000_001, 1_900_000_000_000_000].map(JobId);
        for id in ids {
            fs::write(folder.join(name(Kind::Backup, id, "db")), "x").unwrap();
        }
        fs::write(folder.join(name(Kind::Export, ids[0], "csv")), "x").unwrap();
        fs::write(folder.join(format!("{}.77-0.partial-wal", name(Kind::Backup, ids[0], "db"))), "x").unwrap();
        clear(&folder, Kind::Backup).unwrap();
        assert_eq!(keep(&folder, Kind::Backup, 2).unwrap(), 1);
        let mut left: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let expected =
            [name(Kind::Backup, ids[1], "db"), name(Kind::Backup, ids[2], "db"), name(Kind::Export, ids[0], "csv")];
        assert_eq!(left, expected);
    }
}
