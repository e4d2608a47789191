//! What was known at a turn of an incident: kept in its history, so that it can be read when results are long gone.

use serde::{Deserialize, Serialize};

/// The longest evidence, in bytes of JSON.
pub const BYTES_MAX: usize = 32 << 10;

/// What was known of an incident's subject at an instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The verdict: `down`, `regional`, ...; of a check alone.
    pub verdict: Option<String>,
    /// The quorum that decides.
    pub quorum: Option<String>,
    /// Share of the live weight that votes down.
    pub share_down: Option<f64>,
    /// Every agent that the check is assigned to.
    pub votes: Vec<VoteEvidence>,
    /// How many votes had no room.
    pub votes_more: u32,
    /// Why nothing more is known, or what was seen, for people: of subjects other than checks.
    pub notes: Vec<String>,
}

/// An agent's vote, and the newest result behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoteEvidence {
    /// The agent's name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// The weight of its vote.
    pub weight: f64,
    /// What it votes: `up`, `degraded`, `down`, `unknown`.
    pub vote: String,
    /// Whether the vote counts.
    pub live: bool,
    /// Why it does not.
    pub why_not: Option<String>,
    /// The newest result.
    pub result: Option<ResultEvidence>,
}

/// A result, as far as it says why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultEvidence {
    /// Its slot, RFC 3339.
    pub slot: String,
    /// Its id as `results` has it: `agent@slot`.
    pub key: String,
    /// The revision of the check that was probed.
    pub revision: u32,
    /// What it found.
    pub state: String,
    /// Why it was not up.
    pub cause: Option<String>,
    /// The phase that failed.
    pub phase: Option<String>,
    /// One line for people.
    pub detail: String,
    /// The address dialled.
    pub address: Option<String>,
    /// How long the run took, in seconds.
    pub seconds: Option<f64>,
    /// What the protocol told: status, certificate, resolver answers, the answer's hash, ..., by the names that `results` has for them.
    pub facts: serde_json::Map<String, serde_json::Value>,
}
