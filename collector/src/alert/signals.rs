//! What the present says about every (subject, kind) that an incident can be about.
//!
//! The present of a check is its verdict at this instant, from the votes of agents whose newest result came in live. An agent whose newest result came in late
//! (it drains its buffer) has no say before its next one.

use std::collections::{BTreeSet, HashMap};

use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::{Condition, HoldReason, IncidentKind, Subject};
use sitepulse_model::record::Record;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vote::Verdict;

use super::Desk;
use crate::book::{Book, Check};

/// What tells the present from the past.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// When the collector started: before it agents could not be heard.
    started: Option<UtcMicros>,
    /// The slot of the newest result of each pair that came in late, where no live one came after it.
    late: HashMap<(CheckNo, AgentNo), UtcMicros>,
}

impl Present {
    pub(super) fn starting(now: UtcMicros) -> Self {
        Self { started: Some(now), late: HashMap::new() }
    }

    /// A record is stored that was new.
    pub(super) fn note(&mut self, _agent: AgentNo, _record: &Record, _received: UtcMicros) {}
}

/// What the present says about one (subject, kind).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) subject: Subject,
    pub(crate) kind: IncidentKind,
    pub(crate) condition: Condition,
    /// What keeps its pages still.
    pub(crate) hold: Option<HoldReason>,
}

/// Calls `take` with every signal: of these checks, or of everything.
pub(super) fn each(
    book: &Book,
    desk: &Desk,
    checks: Option<&BTreeSet<CheckNo>>,
    now: UtcMicros,
    mut take: impl FnMut(Signal),
) {
    match checks {
        Some(checks) => {
            for check in checks.iter().filter_map(|number| book.check(*number)) {
                of_check(book, desk, check, now, &mut take);
            }
        }
        None => {
            for check in book.checks() {
                of_check(book, desk, check, now, &mut take);
            }
        }
    }
}

fn of_check(book: &Book, _desk: &Desk, check: &Check, now: UtcMicros, take: &mut impl FnMut(Signal)) {
    let Some(current) = check.current() else { return };
    let Some(verdict) = book.verdict_now(check.number, now).map(|now| now.verdict) else { return };
    for (kind, bad) in [
        (IncidentKind::Down, Verdict::Down),
        (IncidentKind::Regional, Verdict::Regional),
        (IncidentKind::Degraded, Verdict::Degraded),
    ] {
        let severity = current.labels.class.severity(kind);
        let condition = match verdict.verdict {
            found if found == bad => Condition::Bad { since: verdict.span.from, severity },
            Verdict::Unknown | Verdict::Maintenance => Condition::Unknown,
            Verdict::Up | Verdict::Degraded | Verdict::Regional | Verdict::Down => Condition::Good,
        };
        take(Signal { subject: Subject::Check(check.number), kind, condition, hold: None });
    }
}
