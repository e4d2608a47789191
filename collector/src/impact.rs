//! Impact scores: what the evidence says of each check, as one number with its parts. The formulas are the model's ([`sitepulse_model::impact`]); this gathers what
//! they are fed with.
//!
//! - Two kinds of signals, by what they cost. Availability and recurrence come from the book and the incidents, and are found again as soon as something of a check
//!   changes. Latency and web vitals come from the sketches in the store ([`evidence`]), and are found again when the check's hour turns.
//! - [`board`] keeps the scores of now: whoever reads one reads memory. [`task`] keeps the board; [`hour`] is the job that writes down what each score was, once an hour.
//! - [`regions`] finds the same of each check as the agents of each region alone saw it, behind the board: a region's scores follow it within seconds.
//! - [`replay`] finds scores of another instant, or by another model, from the evidence; [`past`] tells those of an hour that is over as they were written down.
//!   [`rank`] is the order of the queue of incidents that scores make.
//!
//! What a score depends on: verdicts, incidents that tell of verdicts (`down`, `regional`, `degraded`; what only expires or burns recurs by nature), runs of agents with a
//! vote, the definition in force. Late data counts like any other.

pub mod board;
pub mod evidence;
pub mod hour;
pub mod past;
pub mod rank;
pub mod regions;
pub mod replay;
pub mod task;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sitepulse_model::control::Weight;
use sitepulse_model::id::{CheckId, CheckNo, Group};
use sitepulse_model::impact::decay::Decay;
use sitepulse_model::impact::evidence::{recurrence, weighted_availability};
use sitepulse_model::impact::model::{BUILT_IN, ID, ScoringModel};
use sitepulse_model::impact::together::Member;
use sitepulse_model::impact::{Score, Signals};
use sitepulse_model::incident::CheckClass;
use sitepulse_model::time::UtcMicros;

use crate::book::{Book, Check, CheckRevision, Filter, Objects};
use crate::failpoint;
use evidence::Slow;

/// A scoring model, and what it is called in whatever it made: `built-in@1`, `default@3`.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its id and version.
    pub label: String,
    /// What it says.
    pub body: ScoringModel,
}

impl Model {
    /// The one that was in force at an instant.
    pub fn at(objects: &Objects, at: UtcMicros) -> Self {
        match objects.scorings.at(ID, at) {
            Some(revised) => Self { label: format!("{ID}@{}", revised.version), body: revised.body.clone() },
            None => Self { label: format!("{BUILT_IN}@1"), body: ScoringModel::built_in() },
        }
    }
}

/// Where a score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// It is that of now.
    Now,
    /// It was written down in its hour.
    Stored,
    /// It was found again, from the evidence as it is known today.
    Evidence,
}

impl Basis {
    /// The stable text: `evidence`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Stored => "stored",
            Self::Evidence => "evidence",
        }
    }
}

/// The score of a check, with what it counts for in groups.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckScore {
    /// Its number.
    pub number: CheckNo,
    /// Its id.
    pub id: CheckId,
    /// Its group.
    pub group: Option<Group>,
    /// How much it counts.
    pub weight: Weight,
    /// How much it matters.
    pub class: CheckClass,
    /// The instant of the score; of one that was written down the hour's first.
    pub at: UtcMicros,
    /// Where it comes from.
    pub basis: Basis,
    /// `None` where nothing has data.
    pub score: Option<Score>,
}

impl CheckScore {
    /// As a group sees it.
    pub fn member(&self) -> Member<'_> {
        Member {
            check: self.number,
            weight: self.weight,
            critical: self.class == CheckClass::Critical,
            score: self.score.as_ref(),
        }
    }
}

/// What `find` says of a check; `None` where it panics, which is told with the check's id. What cannot be digested of one check costs that check its score, and no other.
fn of_one<T>(id: impl FnOnce() -> String, find: impl FnOnce() -> T) -> Option<T> {
    // It reads, and what it holds of others' it lets go.
    let found = catch_unwind(AssertUnwindSafe(find));
    if found.is_err() {
        let check = id();
        tracing::error!(
            check,
            "internal error: finding the impact score of check {check} panicked, see the log above; it stands as it was until something of the check changes"
        );
    }
    found.ok()
}

/// The id of a check.
fn id_of(book: &Book, check: CheckNo) -> String {
    book.check(check).map(|check| check.id.to_string()).unwrap_or_default()
}

/// The signals of a check at an instant: those of the book, found now, and the slow ones. `opened`: when incidents of it opened; `None` of a region, which has none of its
/// own.
fn signals(
    book: &Book,
    check: &Check,
    filter: &Filter,
    decay: Decay,
    opened: Option<&[UtcMicros]>,
    slow: &Slow,
    now: UtcMicros,
) -> Signals {
    failpoint::pass_for("impact.score", check.id.as_str());
    let period = book.period(check, Some(decay.span(now).from), Some(now), now);
    let verdicts = book.verdicts(check.number, filter, period).unwrap_or_default();
    let availability = weighted_availability(decay, &verdicts, now);
    // Of a check that nobody could look at nothing is known, its incidents included.
    let recurrence = availability.and(opened).map(|opened| recurrence(decay, opened.iter().copied(), now));
    Signals {
        weighted_availability: availability,
        recurrence,
        latency_p95: slow.latency_p95,
        latency_regression: slow.latency_regression,
        page: slow.page,
        // Put in by who knows the instant: now they are in memory, of then in the store.
        findings: None,
    }
}

/// A check's score.
fn scored(
    check: &Check,
    revision: &CheckRevision,
    score: Option<Score>,
    (at, basis): (UtcMicros, Basis),
) -> CheckScore {
    CheckScore {
        number: check.number,
        id: check.id.clone(),
        group: revision.labels.group.clone(),
        weight: revision.definition.weight,
        class: revision.labels.class,
        at,
        basis,
        score,
    }
}
