//! Checks as code: TOML files of `[[check]]` and `[profile.NAME]` tables become [`CheckDefinition`]s, or one list of everything that is wrong.
//!
//! Every error names `file:line:column`, the check and the remedy, and all errors of all files are told at once. Unknown keys are
//! errors. The format is described in `docs/checks.md`, whose samples a test parses.
//!
//! A check has common keys ([`KEYS`]), read here, and those of its kind, which are the fields of the kind's structure in the model and are judged
//! there. `family = "both"` makes two checks of one table, see [`CheckKind::BOTH_FAMILIES`](sitepulse_model::check::CheckKind::BOTH_FAMILIES).
//!
//! A profile belongs to the file that describes it: a file means the same whatever it is applied with. A check that names one carries all of it.
//!
//! Limits: [`FILE_BYTES_MAX`] a file, [`CHECKS_MAX`] checks in one call.

use std::collections::BTreeMap;
use std::fmt;

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::id::CheckId;

mod profile;
mod reader;
mod target;
mod values;
mod words;

use reader::Reader;

/// Largest check file, in bytes.
pub const FILE_BYTES_MAX: usize = sitepulse_daemon::config::CHECKS_BYTES_MAX as usize;
/// Most checks in one call.
pub const CHECKS_MAX: usize = 20_000;
/// Time between runs when a check does not say: 60 s.
pub const INTERVAL_US_DEFAULT: u64 = 60_000_000;
/// A run's deadline when a check does not say: 10 s.
pub const TIMEOUT_US_DEFAULT: u64 = 10_000_000;
/// Confirmations when a check does not say.
pub const CONFIRMATIONS_DEFAULT: u32 = 2;
/// Recoveries when a check does not say.
pub const RECOVERIES_DEFAULT: u32 = 1;
/// Most confirmations or recoveries.
pub const STREAK_MAX: u32 = 100;

/// Time between two evaluations of a heartbeat when it does not say: 30 s.
pub const HEARTBEAT_INTERVAL_US_DEFAULT: u64 = 30_000_000;
/// Confirmations of a heartbeat when it does not say: its grace has passed already.
pub const HEARTBEAT_CONFIRMATIONS_DEFAULT: u32 = 1;

/// The keys that a `[[check]]` of any kind may have, in the order they are documented.
pub const KEYS: [&str; 11] = [
    "id",
    "kind",
    "interval",
    "timeout",
    "retries",
    "weight",
    "regions",
    "quorum",
    "confirmations",
    "recoveries",
    "expect",
];

/// The keys that mean nothing to a heartbeat: no agent runs it.
pub const KEYS_NOT_OF_HEARTBEATS: [&str; 3] = ["timeout", "retries", "regions"];

/// A check file: its name as people know it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Names the file in errors.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// One thing that is wrong in a check file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFileError {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The check's id, where it is known.
    pub check: Option<String>,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for CheckFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if let Some(check) = &self.check {
            write!(f, "check {check:?}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong in some check files, in the order of the files; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFileErrors(pub Vec<CheckFileError>);

impl fmt::Display for CheckFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for CheckFileErrors {}

/// Parses check files together: ids must be unique across all of them. Definitions come in the order they are written.
///
/// # Errors
/// Everything that is wrong, at once; then no definition is returned.
pub fn parse(sources: &[Source]) -> Result<Vec<CheckDefinition>, CheckFileErrors> {
    let mut definitions = Vec::new();
    let mut errors = Vec::new();
    let mut seen: BTreeMap<CheckId, String> = BTreeMap::new();
    for source in sources {
        let mut reader = Reader::new(source);
        reader.file(&mut seen, &mut definitions);
        let mut of_file = reader.into_errors();
        of_file.sort_by_key(|error| (error.line, error.column));
        errors.append(&mut of_file);
    }
    if errors.is_empty() && definitions.len() > CHECKS_MAX {
        errors.push(CheckFileError {
            file: sources.first().map(|source| source.name.clone()).unwrap_or_default(),
            line: 1,
            column: 1,
            check: None,
            message: format!("{} checks are more than the {CHECKS_MAX} that one collector takes", definitions.len()),
        });
    }
    if errors.is_empty() { Ok(definitions) } else { Err(CheckFileErrors(errors)) }
}

#[cfg(test)]
mod tests;
