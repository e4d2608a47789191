//! Which records make sense.

use std::fmt;

use sitepulse_model::id::CheckNo;
use sitepulse_model::record::{Dropped, Missed, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::series::RANGE_SLOTS_MAX;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::Entry;

use super::SEQ_MAX;
use super::vitals::sane_vitals;
use crate::book::{Agent, Book, CheckRevision, is_heartbeat};

/// How far a slot may lie outside an agent's life: clocks differ.
const CLOCK_SLACK_US: i64 = 86_400 * 1_000_000;

/// Most slots of one tombstone. They are counted, never expanded.
const DROPPED_MAX: u64 = 50_000_000;

/// Slots are whole milliseconds.
const SLOT_UNIT_US: i64 = 1000;

/// Why a record was set aside. The text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetAside {
    /// Its sender is not an agent.
    UnknownAgent,
    /// It names no check.
    UnknownCheck,
    /// It names no revision of its check.
    UnknownRevision,
    /// It is about a heartbeat and not the collector's own observer's, or the other way round.
    WrongObserver,
    /// The bucket is not its check's.
    WrongBucket,
    /// The sequence number is beyond every counter.
    BadSeq,
    /// It names no provenance of its batch.
    UnknownProvenance,
    /// Its slot is more than a day ahead.
    FutureSlot,
    /// Its slot is more than a day before the agent's enrolment.
    SlotBeforeEnrolment,
    /// Its slot is not a whole millisecond.
    OddSlot,
    /// Its slot is none of its check's on this agent.
    OffLattice,
    /// A range of missed or dropped runs contradicts itself or its definition.
    BadRange,
    /// Its sender leaves more gaps than a mark keeps.
    TooManyGaps,
    /// Its vitals cannot be, or it is of a check that loads no page.
    BadVitals,
}

impl SetAside {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAgent => "unknown_agent",
            Self::UnknownCheck => "unknown_check",
            Self::UnknownRevision => "unknown_revision",
            Self::WrongObserver => "wrong_observer",
            Self::WrongBucket => "wrong_bucket",
            Self::BadSeq => "bad_seq",
            Self::UnknownProvenance => "unknown_provenance",
            Self::FutureSlot => "future_slot",
            Self::SlotBeforeEnrolment => "slot_before_enrolment",
            Self::OddSlot => "odd_slot",
            Self::OffLattice => "off_lattice",
            Self::BadRange => "bad_range",
            Self::TooManyGaps => "too_many_gaps",
            Self::BadVitals => "bad_vitals",
        }
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that makes sense.
pub(super) struct Sound<'b> {
    /// Its check.
    pub(super) check: CheckNo,
    /// The definition that it speaks of; `None` of a tombstone.
    pub(super) revision: Option<&'b CheckRevision>,
}

/// Judges a record.
pub(super) fn entry<'b>(
    book: &'b Book,
    agent: &Agent,
    entry: &Entry,
    provenances: usize,
    now: UtcMicros,
) -> Result<Sound<'b>, SetAside> {
    let check = book.check(entry.record.check()).ok_or(SetAside::UnknownCheck)?;
    if entry.bucket != check.bucket() {
        return Err(SetAside::WrongBucket);
    }
    if entry.seq.0 > SEQ_MAX {
        return Err(SetAside::BadSeq);
    }
    if usize::from(entry.provenance) >= provenances {
        return Err(SetAside::UnknownProvenance);
    }
    let (first, last, revision) = match &entry.record {
        Record::Result(result) => {
            let revision = check.revision(result.revision).ok_or(SetAside::UnknownRevision)?;
            sane_vitals(&revision.definition, &result.facts)?;
            (result.scheduled, result.scheduled, Some(revision))
        }
        Record::Missed(missed) => {
            let revision = check.revision(missed.revision).ok_or(SetAside::UnknownRevision)?;
            sane_missed(revision, missed)?;
            (missed.first, missed.last, Some(revision))
        }
        Record::Dropped(dropped) => {
            sane_dropped(dropped, entry.seq.0)?;
            // A tombstone may bury several definitions' slots, and its range never becomes slots.
            (dropped.first, dropped.last, None)
        }
    };
    // A tombstone may name a revision that nobody has any more; what the check is now says the same of whose it is.
    let definition = &revision.unwrap_or_else(|| check.newest()).definition;
    if is_heartbeat(definition) != agent.internal {
        return Err(SetAside::WrongObserver);
    }
    if last > now.plus_us(CLOCK_SLACK_US) {
        return Err(SetAside::FutureSlot);
    }
    if first < agent.enrolled_at.plus_us(-CLOCK_SLACK_US) {
        return Err(SetAside::SlotBeforeEnrolment);
    }
    if first.0 % SLOT_UNIT_US != 0 || last.0 % SLOT_UNIT_US != 0 {
        return Err(SetAside::OddSlot);
    }
    // Ranges of two lattices would interleave slot by slot: memory for each slot instead of for each range.
    if let Some(revision) = revision {
        let lattice = Lattice::new(&check.id, &agent.name, revision.definition.interval_us);
        if lattice.at_or_before(first) != first {
            return Err(SetAside::OffLattice);
        }
    }
    Ok(Sound { check: check.number, revision })
}

/// The last slot is a whole number of intervals after the first, so one of them on the lattice is enough.
fn sane_missed(revision: &CheckRevision, missed: &Missed) -> Result<(), SetAside> {
    let span = missed.last.us_since(missed.first);
    let interval = revision.definition.interval_us;
    let Ok(span) = u64::try_from(span) else {
        return Err(SetAside::BadRange);
    };
    let count = span / interval + 1;
    if span % interval != 0 || missed.count != count || count > RANGE_SLOTS_MAX {
        return Err(SetAside::BadRange);
    }
    Ok(())
}

/// A tombstone is younger than what it buries: its ranges lie below its own sequence number.
fn sane_dropped(dropped: &Dropped, seq: u64) -> Result<(), SetAside> {
    let each = dropped.seqs.iter().all(|(first, last)| first <= last && last.0 < seq);
    let ascending = dropped.seqs.windows(2).all(|pair| pair[0].1 < pair[1].0);
    if dropped.first > dropped.last || dropped.count > DROPPED_MAX || !each || !ascending {
        return Err(SetAside::BadRange);
    }
    Ok(())
}
