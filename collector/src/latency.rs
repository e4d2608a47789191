//! How long things took: percentiles of every phase over any span, by sketches that add up.
//!
//! Which results count: those that reached their target, `up` and `degraded`. An `unknown` one measured nothing of the target. A `down` one
//! has no latency that an SRE asks for: a timeout is as long as its deadline and a refusal takes no time, so either would move a
//! percentile towards a number that says nothing of the service. How many such were left out ([`Latencies::failed`]) stands beside every figure:
//! percentiles of the survivors are read together with it.
//!
//! Time is cut at full hours of UTC, by the slot that a result was due at. Results that are not sealed yet stand in memory one by one ([`open`]),
//! the sealed ones as sketches by hour and by day in the store ([`crate::store::rollup`]); the number of arrival says on which side a result stands, so each
//! counts once ([`figures`]).

pub mod figures;
pub mod open;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sitepulse_model::record::{Phase, Phases, ProbeResult, ProbeState};
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};

/// An hour, in microseconds.
pub const HOUR_US: i64 = 3_600 * SECOND_US;
/// A day of UTC, in microseconds.
pub const DAY_US: i64 = 24 * HOUR_US;

/// An hour of UTC: so many since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour that an instant lies in.
    pub const fn of(at: UtcMicros) -> Self {
        Self(at.0.div_euclid(HOUR_US))
    }

    /// The day of UTC that it lies in, since 1970.
    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(24))
    }

    /// Which of its day's, 0 to 23.
    pub const fn of_day(self) -> u8 {
        self.0.rem_euclid(24) as u8
    }

    /// From its first to its last instant.
    pub const fn span(self) -> Span {
        Span::new(self.start(), Self(self.0.saturating_add(1)).start())
    }

    /// When it begins.
    pub const fn start(self) -> UtcMicros {
        UtcMicros(self.0.saturating_mul(HOUR_US))
    }
}

/// A day of UTC: so many since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// One of its hours.
    pub const fn hour(self, of_day: u8) -> Hour {
        Hour(self.0.saturating_mul(24).saturating_add(of_day as i64))
    }

    /// From its first to its last instant.
    pub const fn span(self) -> Span {
        Span::new(self.hour(0).start(), self.hour(24).start())
    }
}

/// What figures need of one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The slot.
    pub scheduled: UtcMicros,
    /// Whether the target was reached: `up` or `degraded`.
    pub reached: bool,
    /// How long each phase took; of a failed result none.
    pub phases: Phases,
}

impl Sample {
    /// Of a result; `None` of one that is `unknown`.
    pub fn of(result: &ProbeResult) -> Option<Self> {
        let reached = match result.state {
            ProbeState::Up | ProbeState::Degraded => true,
            ProbeState::Down => false,
            ProbeState::Unknown => return None,
        };
        let phases = if reached { result.phases } else { Phases::default() };
        Some(Self { scheduled: result.scheduled, reached, phases })
    }
}

/// The latencies of a stretch of time: a sketch of each phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latencies {
    /// By phase, in the order of [`Phase::ALL`].
    pub phases: [Sketch; Phase::ALL.len()],
    /// Results that were `down` and are left out.
    pub failed: u64,
}

impl Latencies {
    /// Counts a result.
    pub fn add(&mut self, sample: &Sample) {
        if !sample.reached {
            self.failed = self.failed.saturating_add(1);
        }
        for (sketch, phase) in self.phases.iter_mut().zip(Phase::ALL) {
            if let Some(us) = sample.phases.get(*phase) {
                sketch.add(us);
            }
        }
    }

    /// What others have counted together.
    pub fn merged<'l>(all: impl Iterator<Item = &'l Self> + Clone) -> Self {
        let phases = std::array::from_fn(|at| Sketch::merged(all.clone().map(|one| &one.phases[at])));
        Self { phases, failed: all.fold(0, |failed, one| failed.saturating_add(one.failed)) }
    }

    /// Counts all that others have counted.
    pub fn merge(&mut self, other: &Self) {
        self.failed = self.failed.saturating_add(other.failed);
        for (sketch, other) in self.phases.iter_mut().zip(&other.phases) {
            sketch.merge(other);
        }
    }

    /// The sketch of a phase.
    pub fn phase(&self, phase: Phase) -> &Sketch {
        &self.phases[usize::from(phase.code()) - 1]
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.failed == 0 && self.phases.iter().all(Sketch::is_empty)
    }
}

/// The latencies of the hours of one day that have any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayLatencies {
    /// By hour of the day, 0 to 23.
    pub hours: BTreeMap<u8, Latencies>,
}

impl DayLatencies {
    /// Counts a result of this day.
    pub fn add(&mut self, sample: &Sample) {
        self.hours.entry(Hour::of(sample.scheduled).of_day()).or_default().add(sample);
    }

    /// The day as a whole.
    pub fn whole(&self) -> Latencies {
        Latencies::merged(self.hours.values())
    }
}

/// Durations of one hour, before they are counted.
#[derive(Default)]
struct Values {
    phases: [Vec<u64>; Phase::ALL.len()],
    failed: u64,
}

impl Values {
    fn take(&mut self, sample: &Sample) {
        self.failed += u64::from(!sample.reached);
        for (values, phase) in self.phases.iter_mut().zip(Phase::ALL) {
            values.extend(sample.phases.get(*phase));
        }
    }

    /// Counts them, and begins anew.
    fn counted(&mut self) -> Latencies {
        let phases = std::array::from_fn(|at| Sketch::of(&self.phases[at]));
        self.phases.iter_mut().for_each(Vec::clear);
        Latencies { phases, failed: std::mem::take(&mut self.failed) }
    }
}

/// Results to latencies by the hour, in less time than one by one, and in the least where each hour's follow each other.
pub(crate) fn by_hour(samples: impl Iterator<Item = Sample>) -> BTreeMap<Hour, Latencies> {
    let mut hours: BTreeMap<Hour, Latencies> = BTreeMap::new();
    let mut values = Values::default();
    let mut samples = samples.peekable();
    while let Some(first) = samples.next() {
        let hour = Hour::of(first.scheduled);
        values.take(&first);
        while let Some(sample) = samples.next_if(|next| Hour::of(next.scheduled) == hour) {
            values.take(&sample);
        }
        let latencies = values.counted();
        match hours.entry(hour) {
            Entry::Vacant(vacant) => {
                vacant.insert(latencies);
            }
            Entry::Occupied(mut known) => known.get_mut().merge(&latencies),
        }
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_are_of_utc_before_1970_too() {
        let at = UtcMicros(-1);
        assert_eq!((Hour::of(at), Hour::of(at).of_day(), Hour::of(at).day()), (Hour(-1), 23, Day(-1)));
        assert_eq!(Hour::of(at).day().span(), Span::new(UtcMicros(-DAY_US), UtcMicros(0)));
        assert!(Day(i64::MAX).span().is_empty());
        let noon = UtcMicros(12 * HOUR_US);
        assert_eq!((Hour::of(noon).day(), Hour::of(noon).start()), (Day(0), noon));
    }

    #[test]
    fn only_results_that_reached_their_target_have_a_latency() {
        let phases = Phases { connect: Some(2_000), total: Some(10_000_000), ..Phases::default() };
        let mut day = DayLatencies::default();
        for reached in [true, false] {
            let phases = if reached { phases } else { Phases::default() };
            day.add(&Sample { scheduled: UtcMicros(5 * HOUR_US), reached, phases });
        }
        for _ in 0..2 {
            day.add(&Sample { scheduled: UtcMicros(6 * HOUR_US), reached: true, phases });
        }
        let at = |hour: i64, reached| {
            let phases = if reached { phases } else { Phases::default() };
            Sample { scheduled: UtcMicros(hour * HOUR_US), reached, phases }
        };
        // A backlog among them: hours come again.
        let by_hour = by_hour([at(6, true), at(5, false), at(6, true), at(5, true)].into_iter());
        let hours = by_hour.into_iter().map(|(hour, latencies)| (hour.of_day(), latencies)).collect();
        assert_eq!(DayLatencies { hours }, day);
        let whole = day.whole();
        assert_eq!(
            whole,
            day.hours.values().fold(Latencies::default(), |mut whole, hour| {
                whole.merge(hour);
                whole
            })
        );
        assert_eq!((whole.failed, whole.phase(Phase::Total).count(), whole.phase(Phase::Dns).count()), (1, 3, 0));
        assert_eq!(day.hours.keys().copied().collect::<Vec<_>>(), [5, 6]);
    }
}
