//! `backup` and `restore`: they work on the files themselves, so they need no running collector and mind none.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use sitepulse_daemon::clock;
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::files::FileError;
use sitepulse_daemon::lock::DataDirLock;
use sitepulse_daemon::seal::KEY_FILE;

use super::{print, print_json};
use crate::app::{CA_CERTIFICATE, CA_KEY};
use crate::cli::{Failure, Global};
use crate::store::backup::{self, BackupError, Beside, Held};

/// How often progress is shown, in microseconds.
const PROGRESS_US: u64 = 500_000;

/// The files that every backup holds beside the database.
const ALWAYS: [&str; 2] = [CA_CERTIFICATE, CA_KEY];

/// What `--json` prints of both.
#[derive(Debug, Serialize)]
struct BackupView<'a> {
    file: String,
    data_dir: String,
    bytes: u64,
    records: u64,
    keys: &'a [String],
}

fn failure(error: &BackupError) -> Failure {
    let exit = match error {
        BackupError::Exists { .. } | BackupError::Unfit { .. } => Exit::Refused,
        BackupError::Database { .. } => Exit::DataDir,
        BackupError::File(FileError::NotFound { .. }) => Exit::NotFound,
        BackupError::File(_) | BackupError::Stopped => Exit::DataDir,
    };
    Failure::new(exit, error.to_string())
}

/// Shows progress on a terminal.
fn progress(what: &'static str) -> impl FnMut(u64, u64) -> ControlFlow<()> {
    let shown = std::io::stderr().is_terminal();
    let mut last = clock::monotonic();
    move |done, total| {
        let now = clock::monotonic();
        if shown && (now.us_since(last) >= PROGRESS_US || done == total) {
            last = now;
            let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
            let end = if done == total { "\n" } else { "" };
            // Progress that nobody sees is none.
            drop(write!(std::io::stderr(), "\r{what}: {percent} % of {} MiB{end}", total * 4 / 1024));
        }
        ControlFlow::Continue(())
    }
}

fn tell(global: &Global, file: &Path, held: &Held, text: &str) -> Result<(), Failure> {
    if global.json {
        return print_json(&BackupView {
            file: file.display().to_string(),
            data_dir: global.data_dir().display().to_string(),
            bytes: held.bytes,
            records: held.records,
            keys: &held.files,
        });
    }
    print(text)
}

pub(super) fn backup(global: &Global, file: &Path, with_seal_key: bool) -> Result<(), Failure> {
    let dir = global.data_dir();
    let mut beside = ALWAYS.to_vec();
    beside.extend(with_seal_key.then_some(KEY_FILE));
    let held = backup::backup(&dir, file, &beside, &mut progress("backup")).map_err(|error| failure(&error))?;
    let secrets = if with_seal_key {
        "It holds the seal key too: whoever has it can read every secret."
    } else {
        "The seal key is not in it: keep a copy of that elsewhere, or set secrets anew after a restore."
    };
    let text = format!(
        "Backed up {} records to {} ({} KiB), with the authority's keys: keep it as safe as them.\n{secrets}\n",
        held.records,
        file.display(),
        held.bytes.div_ceil(1024)
    );
    tell(global, file, &held, &text)
}

pub(super) fn restore(global: &Global, file: &Path) -> Result<(), Failure> {
    let dir = global.data_dir();
    let _lock = DataDirLock::acquire(&dir).map_err(|error| Failure::new(Exit::DataDir, error.to_string()))?;
    let files = Beside { always: &ALWAYS, sometimes: &[KEY_FILE] };
    let held = backup::restore(file, &dir, files, clock::now(), &mut progress("restore"));
    let held = held.map_err(|error| failure(&error))?;
    let mut text = format!("Restored {} records into {}.\n", held.records, dir.display());
    if !held.files.iter().any(|name| name == KEY_FILE) {
        text.push_str(&format!(
            "Put {KEY_FILE} there before the start, or set every secret anew: `sitepulse-collector secret list` says which.\n"
        ));
    }
    text.push_str(
        "What came after the backup is gone with the old files:\n\
         - Results that agents delivered since then show as unaccounted for.\n\
         - Agents that were enrolled since then must join again. Revoke again whom you revoked.\n\
         - Apply the check files again. Results that agents still hold of checks made or changed since then are set aside.\n\
         - Agents obey suspensions and weights given since then, which this collector does not know: give them again, or resume.\n",
    );
    tell(global, file, &held, &text)
}
