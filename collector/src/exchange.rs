//! The ledger in other people's formats: records as JSON Lines, CSV or Parquet, out of the store and into it.
//!
//! A record is one flat [`Row`] whose columns mean the same in every format. JSON Lines and Parquet carry the [`Histories`] too, which say what
//! the records' checks and agents were; a CSV file has no place for them. All that a record holds is in its row, so that what was exported
//! and imported again gives the same figures to the digit.

pub mod export;
pub mod files;
pub mod histories;
pub mod parquet;
pub mod row;
pub mod scores;

use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use histories::Histories;
pub use row::Row;

/// A file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON Lines: an object a line, histories first.
    Jsonl,
    /// Comma-separated values with a header line; records alone.
    Csv,
    /// Apache Parquet, with the histories in the file's metadata.
    Parquet,
}

impl Format {
    /// The format that a file's name tells.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Why a file cannot be written or read.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The system says no.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is in it is not what it should be.
    #[error("{path}: {place}: {what}")]
    Content {
        /// Which file.
        path: String,
        /// Where in it: `line 12`, `row 12`.
        place: String,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}
