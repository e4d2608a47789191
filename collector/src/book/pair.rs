//! What one agent found of one check.

use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::record::{MissedCause, ProbeResult, Record};
use sitepulse_model::series::Series;
use sitepulse_model::time::UtcMicros;

/// The newest result of a pair, whole: what the console shows.
pub type LastResult = ProbeResult;

/// What one agent found of one check.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Pair {
    /// Every observation.
    pub series: Series,
    /// The result with the latest slot.
    pub last: Option<Box<LastResult>>,
    /// Counts of what is stored.
    pub counts: Conservation,
}

/// The ledger of a pair: every scheduled run is one of these (conservation).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Conservation {
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

impl Conservation {
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConservationRow {
    /// The check.
    pub check: CheckNo,
    /// The agent.
    pub agent: AgentNo,
    /// Slots of the agent's lattice between the first and the last slot it spoke of, both included: what should have run.
    pub scheduled: u64,
    /// What is accounted for. `counts.accounted() == scheduled` once nothing is under way.
    pub counts: Conservation,
}

fn cause_index(cause: MissedCause) -> usize {
    usize::from(cause.code()) - 1
}

impl Pair {
    /// Takes in a record; `interval_us` is that of a missed record's revision.
    pub(super) fn insert(&mut self, record: Record, interval_us: Option<u64>) {
        match record {
            Record::Result(result) => {
                self.series.insert_result(result.revision, result.scheduled, result.state);
                self.counts.stored += 1;
                self.counts.saw(result.scheduled, result.scheduled);
                match &mut self.last {
                    Some(last) if last.scheduled > result.scheduled => {}
                    Some(last) => **last = result,
                    None => self.last = Some(Box::new(result)),
                }
            }
            Record::Missed(missed) => {
                if let Some(interval_us) = interval_us {
                    self.series.insert_missed(missed.revision, missed.first, missed.last, interval_us, missed.cause);
                }
                self.counts.missed[cause_index(missed.cause)] += missed.count;
                self.counts.saw(missed.first, missed.last);
            }
            Record::Dropped(dropped) => {
                self.counts.dropped += dropped.count;
                self.counts.saw(dropped.first, dropped.last);
            }
        }
    }
}
