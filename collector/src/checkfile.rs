//! Checks as code: TOML files of `[[check]]` and `[profile.NAME]` tables become [`CheckDefinition`]s, `[[policy]]`, `[[slo]]` and `[[maintenance]]` tables become
//! [`Object`]s, or one list of everything that is wrong.
//!
//! Every error names `file:line:column`, the check and the remedy, and all errors of all files are told at once. Unknown keys are
//! errors. The format is described in `docs/checks.md`, whose samples a test parses.
//!
//! A check has common keys ([`KEYS`]), read here, and those of its kind, which are the fields of the kind's structure in the model and are judged
//! there. `family = "both"` makes two checks of one table, see [`CheckKind::BOTH_FAMILIES`](sitepulse_model::check::CheckKind::BOTH_FAMILIES).
//!
//! A profile belongs to the file that describes it: a file means the same whatever it is applied with. A check that names one carries all of it.
//!
//! Names that checks and objects refer to are judged when they are applied, for they may be there already.
//!
//! Limits: [`FILE_BYTES_MAX`] a file, [`CHECKS_MAX`] checks and [`OBJECTS_MAX`] objects of each kind in one call.

use std::collections::BTreeMap;
use std::fmt;

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::coded::{Reference, Referent};
use sitepulse_model::id::CheckId;

use crate::book::{Labels, Object, ObjectKind};

pub mod compose;
mod objects;
mod profile;
mod reader;
mod target;
mod values;
pub(crate) mod words;
pub mod write;

use reader::Reader;

/// Largest check file, in bytes.
pub const FILE_BYTES_MAX: usize = sitepulse_daemon::config::CHECKS_BYTES_MAX as usize;
/// Most checks in one call.
pub const CHECKS_MAX: usize = 20_000;
/// Most objects of one kind that one collector takes.
pub const OBJECTS_MAX: usize = 2_000;
/// Most tags of a check.
pub const TAGS_MAX: usize = 16;
/// Most providers of a check.
pub const PROVIDERS_MAX: usize = 16;
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
pub const KEYS: [&str; 17] = [
    "id",
    "kind",
    "interval",
    "timeout",
    "retries",
    "weight",
    "group",
    "tags",
    "class",
    "parents",
    "providers",
    "escalation",
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

/// What check files say.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The checks, in the order they are written.
    pub checks: Vec<WrittenCheck>,
    /// The objects beside them.
    pub objects: Vec<WrittenObject>,
}

/// A check as it is written.
#[derive(Debug, Clone)]
pub struct WrittenCheck {
    /// What agents are told.
    pub definition: CheckDefinition,
    /// What it belongs to.
    pub labels: Labels,
    /// What it refers to, and where that is written.
    pub references: Vec<(Reference, Place)>,
}

/// What a check refers to.
pub(crate) fn references_of(labels: &Labels) -> Vec<Reference> {
    let parents = labels.parents.iter().enumerate().map(|(at, parent)| Reference {
        field: format!("parents[{at}]"),
        to: Referent::Check,
        name: parent.to_string(),
    });
    let escalation = labels.escalation.as_ref().map(|policy| Reference {
        field: "escalation".into(),
        to: Referent::Escalation,
        name: policy.to_string(),
    });
    parents.chain(escalation).collect()
}

/// An object as it is written.
#[derive(Debug, Clone)]
pub struct WrittenObject {
    /// The object.
    pub object: Object,
    /// What it refers to, and where that is written.
    pub references: Vec<(Reference, Place)>,
}

/// A place in a check file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl From<Vec<CheckDefinition>> for Written {
    fn from(definitions: Vec<CheckDefinition>) -> Self {
        let bare = |definition| WrittenCheck { definition, labels: Labels::default(), references: Vec::new() };
        Self { checks: definitions.into_iter().map(bare).collect(), objects: Vec::new() }
    }
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

/// Parses check files together: ids must be unique across all of them.
///
/// # Errors
/// Everything that is wrong, at once; then nothing is returned.
pub fn parse(sources: &[Source]) -> Result<Written, CheckFileErrors> {
    let mut written = Written::default();
    let mut seen_objects = objects::SeenObjects::new();
    let mut errors = Vec::new();
    let mut seen: BTreeMap<CheckId, String> = BTreeMap::new();
    for source in sources {
        let mut reader = Reader::new(source);
        reader.file(&mut seen, &mut seen_objects, &mut written);
        let mut of_file = reader.into_errors();
        of_file.sort_by_key(|error| (error.line, error.column));
        errors.append(&mut of_file);
    }
    let mut too_many = |count: usize, what: &str, max: usize| {
        errors.push(CheckFileError {
            file: sources.first().map(|source| source.name.clone()).unwrap_or_default(),
            line: 1,
            column: 1,
            check: None,
            message: format!("{count} {what} are more than the {max} that one collector takes"),
        });
    };
    if written.checks.len() > CHECKS_MAX {
        too_many(written.checks.len(), "checks", CHECKS_MAX);
    }
    for kind in ObjectKind::ALL {
        let count = written.objects.iter().filter(|written| written.object.kind() == *kind).count();
        if count > OBJECTS_MAX {
            too_many(count, &format!("[[{}]] tables", kind.table()), OBJECTS_MAX);
        }
    }
    if errors.is_empty() { Ok(written) } else { Err(CheckFileErrors(errors)) }
}

#[cfg(test)]
mod tests;
