//! After a stop of any kind: which slots have no record, and what of the spool may be lost.
//!
//! The spool's progress tells, durably and exactly, which slots were handed out without a record; the schedule's lattice tells which came since.
//! Each gets a `missed` record, so that every slot has exactly one.

use std::collections::BTreeMap;

use sitepulse_model::id::{AgentName, Bucket, CheckNo};
use sitepulse_model::record::{DropReason, Dropped, Missed, MissedCause, Record};
use sitepulse_model::schedule::{Plan, resume};
use sitepulse_model::time::UtcMicros;

use super::missed_record;
use crate::spool::policy::{Keep, PendingRecord};
use crate::spool::schema::Progress;
use crate::state::Assignment;

/// How far the durable schedule may lie in the future before the clock must have been wrong then.
const FUTURE_US_MAX: i64 = 120_000_000;

/// What a start must record first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Missed runs.
    pub records: Vec<PendingRecord>,
    /// Every slot up to here is accounted for: the schedule goes on at the first one after.
    pub resume_after: UtcMicros,
}

/// The missed runs between the spool's progress and `now`.
pub fn recover(progress: &Progress, assignment: &Assignment, agent: &AgentName, now: UtcMicros) -> Recovered {
    let mut records = Vec::new();
    for ((check, first), slots) in &progress.open {
        records.push(PendingRecord {
            bucket: slots.bucket,
            keep: Keep::Notable,
            record: Record::Missed(Missed {
                check: *check,
                revision: slots.revision,
                first: *first,
                last: slots.last,
                count: slots.count,
                cause: MissedCause::AgentStopped,
            }),
        });
    }
    let ahead = progress.frontier > now;
    if ahead && progress.frontier.us_since(now) > FUTURE_US_MAX {
        tracing::warn!(
            "the clock was set back by more than two minutes since the last run; results go on at the new time"
        );
    }
    let resume_after =
        if ahead && progress.frontier.us_since(now) <= FUTURE_US_MAX { progress.frontier.plus_us(-1) } else { now };
    for check in &assignment.checks {
        let since = assignment.since.get(&check.number).copied().unwrap_or(now);
        let from = progress.frontier.max(since);
        if from > now {
            continue;
        }
        let plan = Plan::of(check, agent);
        for missed in resume(&plan, from, &[], now) {
            records.push(PendingRecord {
                bucket: check.definition.id.bucket(),
                keep: Keep::Notable,
                record: missed_record(&missed),
            });
        }
    }
    Recovered { records, resume_after }
}

/// Tombstones for all that a lost spool may have held: every slot since `acked_until`, at most.
pub fn lost(
    checks: impl Iterator<Item = (Plan, Bucket)>,
    since: &BTreeMap<CheckNo, UtcMicros>,
    acked_until: Option<UtcMicros>,
    now: UtcMicros,
) -> Vec<PendingRecord> {
    let mut records = Vec::new();
    for (Plan { check, revision, lattice, .. }, bucket) in checks {
        let since = since.get(&check).copied().unwrap_or(now);
        let first = lattice.at_or_after(acked_until.unwrap_or(UtcMicros::MIN).max(since));
        let last = lattice.at_or_before(now);
        if first > last {
            continue;
        }
        let count = lattice.count(first, last);
        records.push(PendingRecord {
            bucket,
            keep: Keep::Tombstone,
            record: Record::Dropped(Dropped {
                check,
                revision,
                first,
                last,
                count,
                reason: DropReason::SpoolCorrupt,
                seqs: Vec::new(),
            }),
        });
    }
    records
}
