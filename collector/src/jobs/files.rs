//! Backups and exports as jobs: each makes a file in the folder [`FOLDER`] of the data directory. The newest few of each kind are kept.
//!
//! A file has its job's id in its name and is made beside and moved into place whole, so that a job that is run twice makes one.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

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
        return Err(Unfinished::Refused(Said::NotHere.into()));
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

/// Runs `make`, which blocks, until it ends. It is told the folder, and asks [`Work::stopped`] as it goes; what it made though it was to stop is removed.
///
/// The thread goes on where this future is left, as an attempt that takes too long is: it holds the work, so the job keeps its place until the thread ends.
async fn beside(
    work: &Work,
    make: impl FnOnce(&Path, &Work) -> Result<(String, String), Unfinished> + Send + 'static,
) -> Outcome {
    let folder = folder(work.app.data_dir())?;
    let (kind, held) = (work.job.kind, work.clone());
    let making = tokio::task::spawn_blocking(move || {
        clear(&folder, kind).map_err(|error| Unfinished::Failed(format!("{}: {error}", folder.display())))?;
        let (file, note) = make(&folder, &held)?;
        if held.stopped() {
            // Nobody waits for it any more.
            drop(fs::remove_file(folder.join(&file)));
            return Err(Unfinished::Stopped);
        }
        let gone = keep(&folder, kind, kind.spec().kept_files)
            .map_err(|error| Unfinished::Failed(format!("{}: {error}", folder.display())))?;
        Ok((file, note, gone))
    });
    let made = making.await.map_err(|error| {
        if error.is_panic() {
            return Unfinished::Failed(Said::Panicked.into());
        }
        // The program ends before it began.
        Unfinished::Stopped
    });
    let (file, note, gone) = made??;
    if gone > 0 {
        work.log(Said::FilesGone { gone: gone as u64, kept: kind.spec().kept_files as u64 });
    }
    Ok(Finished { note, file: Some(file) })
}

/// Whether what blocks goes on.
fn on(work: &Work) -> ControlFlow<()> {
    if work.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

pub(super) async fn backup(work: Work) -> Outcome {
    beside(&work, |folder, work| {
        let file = name(Kind::Backup, work.job.id, "db");
        let to = folder.join(&file);
        let mut progress = |done: u64, total: u64| {
            work.progress(part(done, total), Said::Copied { mib: done * 4 / 1024, of: total * 4 / 1024 });
            on(work)
        };
        match backup::backup(work.app.data_dir(), &to, &[CA_CERTIFICATE, CA_KEY], &mut progress) {
            Ok(held) => {
                let said = Said::BackedUp { records: held.records, kib: held.bytes.div_ceil(1024) };
                Ok((file, said.into()))
            }
            // It was made, and nobody wrote that down.
            Err(BackupError::Exists { .. }) => Ok((file, Said::MadeBefore.into())),
            Err(BackupError::Stopped) => Err(Unfinished::Stopped),
            Err(error) => Err(Unfinished::Failed(error.to_string())),
        }
    })
    .await
}

pub(super) async fn export(work: Work) -> Outcome {
    let args: ExportArgs = work.args()?;
    let now = clock::now();
    let wanted = args.wanted(now).map_err(Unfinished::Refused)?;
    beside(&work, move |folder, work| {
        let ending = match args.format {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        };
        let file = name(Kind::Export, work.job.id, ending);
        // Whatever became of an earlier attempt, what this one moves into place is its own.
        let epoch = work.job.standing.epoch;
        let (to, partial) = (folder.join(&file), folder.join(format!("{file}.{epoch}{PARTIAL}")));
        let mut progress = |done: u64, total: u64| {
            work.progress(part(done, total), Said::Checks { done, of: total });
            on(work)
        };
        let exported = write_export(work.app.data_dir(), &wanted, &partial, args.format, now, &mut progress);
        let exported = exported.map_err(|error| match &error {
            ExportError::NoCheck(id) => Unfinished::Refused(Said::no_such_check(id.as_str()).into()),
            ExportError::Exchange(_) => Unfinished::Failed(error.to_string()),
            ExportError::Stopped => Unfinished::Stopped,
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

    /// An attempt at a job of a kind, as the runner makes it.
    struct Attempt {
        app: crate::app::App,
        live: std::sync::Arc<super::super::live::Live>,
        work: Work,
    }

    impl Attempt {
        fn new(dir: &Path, kind: Kind, args: serde_json::Value) -> Self {
            let app = crate::app::App::open_still(dir, clock::now()).unwrap();
            let ask = super::super::Ask { args, ..super::super::Ask::own(kind) };
            let mut store = crate::store::Store::in_memory(1, clock::now()).unwrap();
            let mut job = store.write(|tables| crate::store::jobs::enqueue(tables, &ask, clock::now())).unwrap().job;
            assert!(job.standing.start(job.standing.due));
            let live = app.shared().jobs.enter(&job);
            let (_place, _) = tokio::sync::mpsc::channel(1);
            let setup = std::sync::Arc::default();
            let work = Work { app: app.clone(), job, setup, live: live.clone(), stop: live.stopping(), _place };
            Self { app, live, work }
        }

        fn left(&self) -> Vec<String> {
            let entries = fs::read_dir(self.app.data_dir().join(FOLDER)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    /// The defect: a panic there counted as an interruption, so the job was run again at once, for ever.
    #[tokio::test]
    async fn a_panic_in_the_part_that_blocks_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::new(dir.path(), Kind::Backup, serde_json::json!({}));
        let outcome = beside(&attempt.work, |_, _| panic!("what the handler cannot digest")).await;
        assert!(matches!(&outcome, Err(Unfinished::Failed(why)) if why.contains("panicked")), "{outcome:?}");
        attempt.app.close().await;
    }

    /// The defect: both went on to the end, whatever they were told.
    #[tokio::test]
    async fn backups_and_exports_stop_when_told_and_leave_no_file() {
        for (kind, args) in
            [(Kind::Backup, serde_json::json!({})), (Kind::Export, serde_json::json!({"format": "jsonl"}))]
        {
            let dir = tempfile::tempdir().unwrap();
            let attempt = Attempt::new(dir.path(), kind, args);
            attempt.live.stop();
            let work = attempt.work.clone();
            let outcome = if kind == Kind::Backup { backup(work).await } else { export(work).await };
            assert_eq!(outcome, Err(Unfinished::Stopped), "{kind:?}");
            assert_eq!(attempt.left(), Vec::<String>::new(), "{kind:?}");
            attempt.app.close().await;
        }
    }
}
