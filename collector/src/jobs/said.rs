//! What jobs say, as a code with its arguments: each language has its own words for it (`present/text/jobs`). It is stored as JSON where a text could be. What has no code is text and shown as
//! it is: errors, what a check's target said.

use serde::{Deserialize, Serialize};

/// Longest part of somebody else's text in it, in bytes: the whole must stay within [`super::TEXT_BYTES_MAX`].
const PART_BYTES_MAX: usize = 200;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the English words of each variant say what its fields are")]
pub enum Said {
    /// So many results are sealed, or were.
    Sealed { records: u64 },
    /// So many pairs were merged, of so many.
    Merged { done: u64, of: u64 },
    /// So many looks were made, so many are due.
    Looking { looks: u64, left: u64 },
    /// What looks came to.
    Looked { looks: u64, opened: u64, closed: u64 },
    /// Scores are written down.
    Writing { done: u64, of: u64 },
    /// So many scores were written down of the hour that begins then.
    Written { scores: u64, hour: String },
    /// So much is copied.
    Copied { mib: u64, of: u64 },
    /// A backup is made.
    BackedUp { records: u64, kib: u64 },
    /// So many checks are done.
    Checks { done: u64, of: u64 },
    /// An export is made; so many records are damaged and missing in it.
    Exported { records: u64, checks: u64, damaged: u64 },
    /// Older files went.
    FilesGone { gone: u64, kept: u64 },
    /// An attempt before had made it.
    MadeBefore,
    /// What runs of checks came to.
    Ran { checks: u64, up: u64, not_up: u64, not_run: u64 },
    /// Nothing is done, so long already.
    Idle { ms: u64, of: u64 },
    /// A report is kept.
    Report { name: String, checks: u64 },
    /// An attempt before had kept it.
    ReportBefore { name: String },
    /// Somebody took the job back.
    Cancelled { by: String },
    /// Somebody took it up again.
    TakenUp { by: String },
    /// Somebody gave it another priority.
    Priority { priority: u16, by: String },
    /// It failed, and is tried again then.
    Again { at: String, why: String },
    /// The process ended while it ran.
    Interrupted,
    /// It took longer than it may.
    TooLong { seconds: u64 },
    /// Its log became too long.
    More,
}

impl Said {
    /// What a stored text says; `None`: it is a text.
    pub fn of(text: &str) -> Option<Self> {
        // Variants without arguments are a quoted word.
        if text.starts_with(['{', '"']) { serde_json::from_str(text).ok() } else { None }
    }

    /// Of an attempt that failed.
    pub(super) fn again(at: String, why: &str) -> Self {
        let mut end = why.len().min(PART_BYTES_MAX);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        Self::Again { at, why: why[..end].to_owned() }
    }
}

/// As it is stored.
impl From<Said> for String {
    fn from(said: Said) -> Self {
        serde_json::to_string(&said).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::TEXT_BYTES_MAX;

    #[test]
    fn what_is_said_comes_back_and_texts_stay_texts() {
        let said = [
            Said::Interrupted,
            Said::Sealed { records: 5 },
            Said::Cancelled { by: "collector:ana".into() },
            Said::again("2026-11-23T09:00:00Z".into(), "it \"broke\""),
        ];
        for said in said {
            assert_eq!(Said::of(&String::from(said.clone())), Some(said));
        }
        for text in ["", "the disk is full", "{}", "{\"error\": 1}", "\"quoted\"", "shop: up"] {
            assert_eq!(Said::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_reason_leaves_it_whole() {
        for why in ["é".repeat(5_000), "\"".repeat(5_000), "x".repeat(5_000)] {
            let text = String::from(Said::again("2026-11-23T09:00:00Z".into(), &why));
            assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
        }
    }
}
