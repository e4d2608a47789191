//! Insights: what detectors find in the ledger, and what becomes of it. The detectors are the model's ([`sitepulse_model::insight`]), pure functions of histories; this
//! gathers what they are fed with, and keeps what they find.
//!
//! - [`evidence`] gathers a detector's input: from the book at once, from the store's sketches beside the writer. No record is read.
//! - [`look`] is what a detector was asked, and what it found; [`task`] decides what is looked at when. Each check is looked at once an hour at its own offset, so that thousands are
//!   spread over it; what only the book tells (what expires, what nobody watches) sooner, when definitions change or something of it is open.
//! - [`life`] is the machine of one finding. [`Standing`] is a finding with its life, [`shelf`] those that stand, in memory for all readers; each step is one transaction.
//!
//! Architecture invariant: nothing here guesses. The same ledger gives the same findings, and each of them shows by what it was found.

pub mod life;
pub mod look;
pub mod shelf;

pub mod evidence;
pub mod task;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sitepulse_model::id::Bucket;
use sitepulse_model::impact::Findings;
use sitepulse_model::insight::found::Found;
use sitepulse_model::insight::{Severity, Subject};
use sitepulse_model::time::UtcMicros;

use crate::insight::life::{Entry, Life, State};

/// A finding's id, for people and keys: `20261123-4f7k2zq`, the day (UTC) it was found first and seven characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingId(pub String);

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A finding and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Of its subject.
    pub bucket: Bucket,
    /// Its id.
    pub id: FindingId,
    /// As it was found last: the evidence is that of the last look that found it.
    pub found: Found,
    /// The ids of the checks that it counts for.
    pub checks: BTreeSet<String>,
    /// Where it stands.
    pub life: Life,
    /// What a service made of it.
    pub wording: Option<Worded>,
    /// How many rows its history has.
    pub entries: u64,
}

/// A paragraph that a service wrote about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worded {
    /// What the service calls what wrote it.
    pub model: String,
    /// `en`, `fr`.
    pub language: String,
    /// When.
    pub at: UtcMicros,
    /// How severe the finding was then: what became worse is put into words anew.
    pub severity: Severity,
    /// What it wrote.
    pub text: String,
}

/// A row of a finding's history, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Counts from 1.
    pub number: u64,
    /// When.
    pub at: UtcMicros,
    /// Who; [`EVIDENCE`] where nobody did.
    pub author: String,
    /// What.
    pub entry: Entry,
}

/// The author of what no person did.
pub const EVIDENCE: &str = "evidence";

/// What an open finding counts for in the impact score: a critical one 4, a warning 2; what only informs counts nothing.
pub const fn weight_of(severity: Severity) -> f64 {
    match severity {
        Severity::Info => 0.0,
        Severity::Warning => 2.0,
        Severity::Critical => 4.0,
    }
}

/// What findings add to the impact score of a check that they are about: those that are open, and those of them that are stale.
pub fn signal<'s>(standing: impl Iterator<Item = &'s Standing>, now: UtcMicros) -> Findings {
    let mut signal = Findings::default();
    for one in standing.filter(|one| one.life.state == State::Open) {
        let weight = weight_of(one.life.severity);
        signal.open += weight;
        if one.life.stale(now) {
            signal.stale += weight;
        }
    }
    signal
}

/// The bucket of everything about a subject.
pub fn bucket_of(subject: &Subject) -> Bucket {
    match subject {
        Subject::Check { check, .. } => Bucket::of(check),
        Subject::Agent { agent } => Bucket::of(agent),
        Subject::Objective { slo } => Bucket::of(slo),
        Subject::Shared { what } => Bucket::of(what),
    }
}
