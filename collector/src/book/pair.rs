//! What one agent found of one check.

use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::record::{MissedCause, ProbeResult, Record};
use sitepulse_model::series::{Obs, Seen, Series};
use sitepulse_model::sla::Conservation;
use sitepulse_model::time::UtcMicros;

use super::sight::Sights;

/// The newest result of a pair, whole: what the console shows.
pub type LastResult = ProbeResult;

/// What one agent found of one check.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Pair {
    /// Every observation.
    pub series: Series,
    /// The result with the latest slot.
    pub last: Option<Box<LastResult>>,
    /// What was seen last of what ends: the newest result may have seen nothing.
    pub sights: Sights,
    /// Counts of what is stored.
    pub ledger: Ledger,
}

/// The ledger of a pair: counts of the records stored, each once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// Runs whose result is stored.
    pub stored: u64,
    /// Runs missed, by [`MissedCause`] in the order of [`MissedCause::ALL`].
    pub missed: [u64; MissedCause::ALL.len()],
    /// Runs whose records a spool dropped.
    pub dropped: u64,
    /// Earliest slot spoken of.
    pub first: Option<UtcMicros>,
    /// Latest slot spoken of.
    pub last: Option<UtcMicros>,
}

impl Ledger {
    /// Runs missed for any cause.
    pub fn missed_total(&self) -> u64 {
        self.missed.iter().sum()
    }

    /// Runs missed for one cause.
    pub fn missed_for(&self, cause: MissedCause) -> u64 {
        self.missed[cause_index(cause)]
    }

    /// `stored + missed + dropped`: every run the agent accounted for.
    pub fn accounted(&self) -> u64 {
        self.stored + self.missed_total() + self.dropped
    }

    fn saw(&mut self, first: UtcMicros, last: UtcMicros) {
        self.first = Some(self.first.map_or(first, |at| at.min(first)));
        self.last = Some(self.last.map_or(last, |at| at.max(last)));
    }
}

/// One line of the conservation report.
#[derive(Debug, Clone, PartialEq)]
pub struct ConservationRow {
    /// The check.
    pub check: CheckNo,
    /// The agent.
    pub agent: AgentNo,
    /// Slots that were due between the first and the last record: `results + missed + dropped() + unexplained()` of `slots`.
    pub scheduled: u64,
    /// What the records add up to. A tombstone's number may be an upper bound, and after a clock's leap back two records may name
    /// one slot, so it may be more than was scheduled.
    pub counts: Ledger,
    /// What the slots add up to, counted independently of the records' own numbers.
    pub slots: Conservation,
}

impl ConservationRow {
    /// Slots without a record that tombstones explain.
    pub fn dropped(&self) -> u64 {
        self.slots.dropped.min(self.slots.holes)
    }
}

fn cause_index(cause: MissedCause) -> usize {
    usize::from(cause.code()) - 1
}

/// Which of two results is the newer: of two of one slot the one that the series counts, so that the order of arrival decides nothing.
pub(crate) fn newest_rank(one: &ProbeResult) -> impl Ord + use<> {
    let obs = Obs { seen: Seen::State(one.state), revision: one.revision };
    (one.scheduled, obs.precedence(), one.started)
}

impl Pair {
    /// Takes in a record; `interval_us` is that of a missed record's revision.
    pub(crate) fn insert(&mut self, record: Record, interval_us: Option<u64>) {
        self.count(&record, interval_us);
        if let Record::Result(result) = record {
            self.show(result);
        }
    }

    /// Keeps a result as the last one where none is newer. It is large: moved, for a copy of each was a quarter of what taking in results costs.
    pub(crate) fn show(&mut self, result: ProbeResult) {
        match &mut self.last {
            Some(last) if newest_rank(last) > newest_rank(&result) => {}
            Some(last) => **last = result,
            None => self.last = Some(Box::new(result)),
        }
    }

    /// Takes in a record, but for the last result: of many the newest alone is to be [shown](Self::show).
    pub(crate) fn count(&mut self, record: &Record, interval_us: Option<u64>) {
        match record {
            Record::Result(result) => {
                self.series.insert_result(result.revision, result.scheduled, result.state);
                self.ledger.stored += 1;
                self.ledger.saw(result.scheduled, result.scheduled);
                self.sights.take(result);
            }
            Record::Missed(missed) => {
                // Ingestion lets in ranges alone that fit their definition.
                if let Some(interval_us) = interval_us
                    && let Err(error) =
                        self.series.insert_missed(missed.revision, missed.first, missed.last, interval_us, missed.cause)
                {
                    tracing::error!(check = %missed.check, first = missed.first.0, %error, "a stored range of missed runs is unusable");
                }
                self.ledger.missed[cause_index(missed.cause)] += missed.count;
                self.ledger.saw(missed.first, missed.last);
            }
            Record::Dropped(dropped) => {
                self.ledger.dropped += dropped.count;
                self.ledger.saw(dropped.first, dropped.last);
            }
        }
    }
}
