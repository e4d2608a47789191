//! `Series`: everything known of one (check, agent), compressed.
//!
//! A series is a map from slots to observations, kept as runs: slots at equal distances with the same observation. A check that
//! answers `up` for a year is one run. What a series says is a pure function of the set of observations put in: order,
//! duplicates and batching never show. Where two observations name the same slot, one wins by a fixed order (see
//! [`Obs::precedence`]).
//!
//! Bounds: one run takes about [`RUN_BYTES`]; a missed range holds at most [`RANGE_SLOTS_MAX`] slots. Where runs reach over each other
//! they are cut at most twice for each slot of the sparser one, so ranges are taken from one lattice alone (see the collector's
//! ingestion): two lattices of one check interleave slot by slot.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::id::Revision;
use crate::record::{MissedCause, ProbeState};
use crate::time::{Span, UtcMicros};

/// Most slots of one missed range.
pub const RANGE_SLOTS_MAX: u64 = 5_000_000;

/// Memory of one run in a series, in bytes, about: key, run, and a B-tree's spare room.
pub const RUN_BYTES: usize = 72;

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A run happened and found this.
    State(ProbeState),
    /// No run happened, for this cause.
    Missed(MissedCause),
}

/// What is known of a slot, and by which definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Obs {
    /// What is known.
    pub seen: Seen,
    /// The definition's revision.
    pub revision: Revision,
}

impl Obs {
    /// Which of two observations of one slot counts: the greater. A result beats a missed run; among results the worst state
    /// (down, degraded, up, unknown); among missed runs the cause that the running agent told itself (overloaded, suspended,
    /// maintenance, clock step) beats `agent_stopped`, which is concluded after a restart; then the higher revision.
    pub const fn precedence(&self) -> (u8, u32) {
        let rank = match self.seen {
            Seen::State(ProbeState::Down) => 9,
            Seen::State(ProbeState::Degraded) => 8,
            Seen::State(ProbeState::Up) => 7,
            Seen::State(ProbeState::Unknown) => 6,
            Seen::Missed(MissedCause::Overloaded) => 5,
            Seen::Missed(MissedCause::Suspended) => 4,
            Seen::Missed(MissedCause::Maintenance) => 3,
            Seen::Missed(MissedCause::ClockStep) => 2,
            Seen::Missed(MissedCause::AgentStopped) => 1,
        };
        (rank, self.revision.0)
    }

    fn stronger(self, other: Self) -> Self {
        if other.precedence() > self.precedence() { other } else { self }
    }
}

/// Slots at equal distances with the same observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First slot.
    pub first: UtcMicros,
    /// Distance of two slots; 0 exactly when `count` is 1.
    pub step_us: u64,
    /// Number of slots, from 1.
    pub count: u64,
    /// The observation of each.
    pub obs: Obs,
}

impl Run {
    const fn point(slot: UtcMicros, obs: Obs) -> Self {
        Self { first: slot, step_us: 0, count: 1, obs }
    }

    /// The slot at `index`, which is below `count`.
    pub(crate) const fn slot(&self, index: u64) -> UtcMicros {
        // Wraps through u64 where a run spans more than half of the i64 range; the sum itself is a slot and fits.
        UtcMicros(self.first.0.wrapping_add(self.step_us.wrapping_mul(index) as i64))
    }

    /// Last slot.
    pub const fn last(&self) -> UtcMicros {
        self.slot(self.count - 1)
    }

    /// Its slots in order.
    pub fn slots(self) -> impl Iterator<Item = UtcMicros> {
        (0..self.count).map(move |index| self.slot(index))
    }

    /// How many slots lie before `at`.
    pub(crate) fn count_before(&self, at: UtcMicros) -> u64 {
        if at <= self.first {
            0
        } else if self.count == 1 {
            1
        } else {
            (at.0.abs_diff(self.first.0)).div_ceil(self.step_us).min(self.count)
        }
    }

    fn holds(&self, slot: UtcMicros) -> bool {
        self.first <= slot
            && slot <= self.last()
            && (self.count == 1 || slot.0.abs_diff(self.first.0).is_multiple_of(self.step_us))
    }

    /// The slots `from..to` by index, `None` when there are none.
    pub(crate) fn part(&self, from: u64, to: u64) -> Option<Self> {
        let count = to.min(self.count).checked_sub(from).filter(|count| *count > 0)?;
        let step_us = if count == 1 { 0 } else { self.step_us };
        Some(Self { first: self.slot(from), step_us, count, obs: self.obs })
    }

    /// Its slots before `at`; `None` when there are none.
    pub fn before(&self, at: UtcMicros) -> Option<Self> {
        self.part(0, self.count_before(at))
    }

    /// Its slots from `at` on; `None` when there are none.
    pub fn starting(&self, at: UtcMicros) -> Option<Self> {
        self.part(self.count_before(at), self.count)
    }

    fn after(&self, at: UtcMicros) -> Option<Self> {
        if at == UtcMicros::MAX { None } else { self.starting(at.plus_us(1)) }
    }

    /// The part from `from` to `to`, both included.
    fn within(&self, from: UtcMicros, to: UtcMicros) -> Option<Self> {
        let tail = self.starting(from)?;
        if to == UtcMicros::MAX { Some(tail) } else { tail.before(to.plus_us(1)) }
    }

    /// Appends `next`, which starts after this run's end, where the two make one run.
    fn join(&mut self, next: &Self) -> bool {
        if self.obs != next.obs {
            return false;
        }
        let gap = next.first.0.abs_diff(self.last().0);
        let fits = (self.count == 1 || self.step_us == gap) && (next.count == 1 || next.step_us == gap);
        if fits {
            self.step_us = gap;
            self.count += next.count;
        }
        fits
    }
}

/// Why a missed range is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeError {
    /// `last` is before `first`.
    Backwards,
    /// `last` is not a whole number of intervals after `first`.
    OffLattice,
    /// More than [`RANGE_SLOTS_MAX`] slots.
    TooLong,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards => f.write_str("the range's last slot is before its first"),
            Self::OffLattice => f.write_str("the range's last slot is not a whole number of intervals after its first"),
            Self::TooLong => write!(f, "the range has more than {RANGE_SLOTS_MAX} slots; split it"),
        }
    }
}

impl core::error::Error for RangeError {}

/// The observations of one (check, agent).
///
/// Runs lie one after the other: the first slot of a run is after the last of the one before. How slots are cut into runs depends
/// on the order of insertion; the slots do not. Equality compares the slots.
#[derive(Debug, Clone, Default)]
pub struct Series {
    runs: BTreeMap<UtcMicros, Run>,
    /// See [`Series::edits`].
    edits: u64,
}

impl Series {
    /// A series without observations.
    pub const fn new() -> Self {
        Self { runs: BTreeMap::new(), edits: 0 }
    }

    /// Adds a result; tells whether anything changed. O(log runs), without an allocation where it continues a run.
    pub fn insert_result(&mut self, revision: Revision, scheduled: UtcMicros, state: ProbeState) -> bool {
        self.insert(Run::point(scheduled, Obs { seen: Seen::State(state), revision }))
    }

    /// Adds the missed runs `first, first + interval_us, ..., last`; tells whether anything changed.
    pub fn insert_missed(
        &mut self,
        revision: Revision,
        first: UtcMicros,
        last: UtcMicros,
        interval_us: u64,
        cause: MissedCause,
    ) -> Result<bool, RangeError> {
        if last < first {
            return Err(RangeError::Backwards);
        }
        let length = last.0.abs_diff(first.0);
        let obs = Obs { seen: Seen::Missed(cause), revision };
        if length == 0 {
            return Ok(self.insert(Run::point(first, obs)));
        }
        if interval_us == 0 || !length.is_multiple_of(interval_us) {
            return Err(RangeError::OffLattice);
        }
        let count = length / interval_us + 1;
        if count > RANGE_SLOTS_MAX {
            return Err(RangeError::TooLong);
        }
        Ok(self.insert(Run { first, step_us: interval_us, count, obs }))
    }

    /// Adds a run as another series told it, such as a stored one; tells whether anything changed. `None` of a run that contradicts
    /// itself: no slots, a step where there is one slot, none where there are several, or an end after the end of time.
    pub fn insert_run(&mut self, run: Run) -> Option<bool> {
        let length = run.step_us.checked_mul(run.count.checked_sub(1)?)?;
        let sound = (run.count == 1) == (run.step_us == 0) && length <= run.first.0.abs_diff(i64::MAX);
        sound.then(|| self.insert(run))
    }

    /// Adds a whole run.
    pub(crate) fn insert(&mut self, new: Run) -> bool {
        // The common case first: it comes after everything else.
        if let Some(mut last) = self.runs.last_entry()
            && last.get().last() < new.first
        {
            if !last.get_mut().join(&new) {
                self.runs.insert(new.first, new);
            }
            return true;
        }
        self.edits += 1;
        let new_last = new.last();
        // Then those of a backlog: it continues the run before it, or is known already.
        let next = self.runs.range(new.first..).next().map(|(_, run)| *run);
        let next_is_clear = next.is_none_or(|next| next.first > new_last);
        if let Some((_, before)) = self.runs.range_mut(..new.first).next_back() {
            if before.last() < new.first {
                if next_is_clear && before.join(&new) {
                    if let Some(next) = next
                        && before.join(&next)
                    {
                        self.runs.remove(&next.first);
                    }
                    return true;
                }
            } else if new.count == 1 && before.holds(new.first) && before.obs.stronger(new.obs) == before.obs {
                return false;
            } else {
                return self.insert_over(new);
            }
        }
        if !next_is_clear {
            return self.insert_over(new);
        }
        self.place(new);
        true
    }

    /// Puts a run where no other reaches, and joins it with its neighbours.
    fn place(&mut self, mut new: Run) {
        if let Some((_, next)) = self.runs.range(new.first..).next() {
            let next = *next;
            if new.join(&next) {
                self.runs.remove(&next.first);
            }
        }
        self.place_after(new);
    }

    /// Puts a run where no other reaches, and joins it with the one before it.
    fn place_after(&mut self, new: Run) {
        if let Some((_, before)) = self.runs.range_mut(..new.first).next_back()
            && before.join(&new)
        {
            return;
        }
        self.runs.insert(new.first, new);
    }

    /// Puts a run over others: takes out what it reaches, merges them where they interleave, puts all back.
    fn insert_over(&mut self, new: Run) -> bool {
        let new_last = new.last();
        let from = self
            .runs
            .range(..=new.first)
            .next_back()
            .filter(|(_, run)| run.last() >= new.first)
            .map_or(new.first, |(first, _)| *first);
        let reached: Vec<Run> = self.runs.range(from..=new_last).map(|(_, run)| *run).collect();
        let mut merged = Merged::default();
        let mut rest = Some(new);
        for old in &reached {
            let Some(current) = rest else {
                merged.push(*old);
                continue;
            };
            merged.extend(old.before(current.first));
            merged.changed |= merged.extend(current.before(old.first));
            let (zone_from, zone_to) = (current.first.max(old.first), current.last().min(old.last()));
            merged.zone(old.within(zone_from, zone_to), current.within(zone_from, zone_to));
            merged.extend(old.after(zone_to));
            rest = current.after(zone_to);
        }
        merged.changed |= merged.extend(rest);
        if !merged.changed {
            return false;
        }
        for run in &reached {
            self.runs.remove(&run.first);
        }
        // Only the last one may join what follows: the others would reach over those still in hand.
        if let Some(last) = merged.runs.pop() {
            for run in merged.runs {
                self.place_after(run);
            }
            self.place(last);
        }
        true
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The newest slot.
    pub fn last(&self) -> Option<(UtcMicros, Obs)> {
        self.runs.values().next_back().map(|run| (run.last(), run.obs))
    }

    /// The newest slot that has a result (of any state).
    pub fn last_result(&self) -> Option<(UtcMicros, ProbeState)> {
        self.runs.values().rev().find_map(|run| match run.obs.seen {
            Seen::State(state) => Some((run.last(), state)),
            Seen::Missed(_) => None,
        })
    }

    /// The observation of a slot.
    pub fn at(&self, slot: UtcMicros) -> Option<Obs> {
        let (_, run) = self.runs.range(..=slot).next_back()?;
        run.holds(slot).then_some(run.obs)
    }

    /// Counts what was put in anywhere but at the end. While it stays the same, all runs but the last stay the same, so what was derived from them
    /// need not be derived again.
    pub fn edits(&self) -> u64 {
        self.edits
    }

    /// The runs in order whose first slot is at or after `from`, and the one before them.
    pub(crate) fn runs_from(&self, from: UtcMicros) -> (Option<&Run>, impl Iterator<Item = &Run>) {
        (self.runs.range(..from).next_back().map(|(_, run)| run), self.runs.range(from..).map(|(_, run)| run))
    }

    /// The runs in order.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }

    /// The runs in order from the one whose first slot is at or before `span.from` (it may hold into the span) to the last one
    /// that starts before `span.to`.
    pub fn runs_in(&self, span: Span) -> impl DoubleEndedIterator<Item = &Run> {
        let from = self.runs.range(..=span.from).next_back().map_or(span.from, |(first, _)| *first);
        self.runs.range(from..span.to.max(from)).map(|(_, run)| run)
    }

    /// Every slot in order, one by one: for tests and exports of short spans.
    pub fn slots(&self) -> impl Iterator<Item = (UtcMicros, Obs)> {
        self.runs.values().flat_map(|run| run.slots().map(|slot| (slot, run.obs)))
    }

    /// The slots from `first` to `last`, both included, as a series of their own. Costs the runs that it gets.
    pub fn between(&self, first: UtcMicros, last: UtcMicros) -> Self {
        let mut part = Self::new();
        for run in self.runs_in(Span::new(first, last.plus_us(1))).filter_map(|run| run.within(first, last)) {
            part.place_after(run);
        }
        part
    }

    /// Adds every observation of another series.
    pub fn absorb(&mut self, other: &Self) {
        for run in other.runs() {
            self.insert(*run);
        }
    }

    /// Number of slots.
    pub fn slot_count(&self) -> u64 {
        self.runs.values().map(|run| run.count).sum()
    }

    /// Number of runs.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Memory on the heap, in bytes, about.
    pub fn memory_bytes(&self) -> usize {
        self.runs.len() * RUN_BYTES
    }
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        self.slot_count() == other.slot_count() && self.slots().eq(other.slots())
    }
}

impl Eq for Series {}

/// The outcome of a merge, in order.
#[derive(Default)]
struct Merged {
    runs: Vec<Run>,
    changed: bool,
}

impl Merged {
    fn push(&mut self, run: Run) {
        if self.runs.last_mut().is_none_or(|last| !last.join(&run)) {
            self.runs.push(run);
        }
    }

    /// Pushes a run if there is one, and tells so.
    fn extend(&mut self, run: Option<Run>) -> bool {
        run.inspect(|run| self.push(*run)).is_some()
    }

    /// Merges an old and a new run that reach over the same time.
    fn zone(&mut self, old: Option<Run>, new: Option<Run>) {
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (Some(old), None) => return self.push(old),
            (None, new) => {
                self.changed |= self.extend(new);
                return;
            }
        };
        let (mut old, mut new) = (Some(old), Some(new));
        loop {
            let (a, b) = match (old, new) {
                (None, None) => return,
                (Some(a), None) => return self.push(a),
                (None, Some(b)) => {
                    self.changed = true;
                    return self.push(b);
                }
                (Some(a), Some(b)) => (a, b),
            };
            // Whole stretches at once: up to the other's next slot, or as long as both step alike.
            if a.first < b.first {
                self.extend(a.before(b.first));
                old = a.starting(b.first);
            } else if b.first < a.first {
                self.changed |= self.extend(b.before(a.first));
                new = b.starting(a.first);
            } else {
                let shared = if a.step_us == b.step_us { a.count.min(b.count) } else { 1 };
                let obs = a.obs.stronger(b.obs);
                self.changed |= obs != a.obs;
                self.extend(a.part(0, shared).map(|run| Run { obs, ..run }));
                old = a.part(shared, a.count);
                new = b.part(shared, b.count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Revision = Revision(1);

    #[test]
    fn a_steady_check_is_one_run() {
        let mut series = Series::new();
        for k in 0..10_000 {
            assert!(series.insert_result(ONE, UtcMicros(k * 60), ProbeState::Up));
        }
        assert!(!series.insert_result(ONE, UtcMicros(120), ProbeState::Up));
        assert_eq!((series.run_count(), series.slot_count()), (1, 10_000));
        assert_eq!(series.last_result(), Some((UtcMicros(9_999 * 60), ProbeState::Up)));
    }

    #[test]
    fn only_what_is_not_put_at_the_end_is_an_edit() {
        let mut series = Series::new();
        series.insert_result(ONE, UtcMicros(0), ProbeState::Up);
        let edits = series.edits();
        for (k, state) in [(1, ProbeState::Up), (2, ProbeState::Down), (5, ProbeState::Down), (6, ProbeState::Up)] {
            series.insert_result(ONE, UtcMicros(k * 60), state);
        }
        series.insert_missed(ONE, UtcMicros(420), UtcMicros(600), 60, MissedCause::AgentStopped).unwrap();
        assert_eq!((series.edits(), series.run_count()), (edits, 4));
        series.insert_result(ONE, UtcMicros(180), ProbeState::Down);
        assert_ne!(series.edits(), edits);
    }

    #[test]
    fn a_backlog_closes_into_the_fresh_run() {
        let mut series = Series::new();
        for k in (500..1000).chain(0..250).chain((250..500).rev()) {
            series.insert_result(ONE, UtcMicros(k * 60), ProbeState::Up);
        }
        assert_eq!((series.run_count(), series.slot_count()), (1, 1000));
    }

    #[test]
    fn long_ranges_cost_one_run() {
        let mut series = Series::new();
        let last = UtcMicros(4_999_999 * 30);
        assert_eq!(series.insert_missed(ONE, UtcMicros(0), last, 30, MissedCause::AgentStopped), Ok(true));
        assert_eq!(series.insert_missed(ONE, UtcMicros(0), last, 30, MissedCause::AgentStopped), Ok(false));
        series.insert_result(ONE, UtcMicros(3000), ProbeState::Down);
        assert_eq!(series.insert_missed(ONE, UtcMicros(0), last, 30, MissedCause::Overloaded), Ok(true));
        assert_eq!((series.run_count(), series.slot_count()), (3, 5_000_000));
        assert_eq!(series.at(UtcMicros(3000)).unwrap().seen, Seen::State(ProbeState::Down));
        assert_eq!(series.at(UtcMicros(3030)).unwrap().seen, Seen::Missed(MissedCause::Overloaded));
        assert_eq!(series.at(UtcMicros(3031)), None);
    }

    #[test]
    fn a_range_between_far_results_costs_no_slot_by_slot_work() {
        let mut series = Series::new();
        // One run of three slots a million intervals apart, then every slot between them, again and again.
        for far in 0..3 {
            series.insert_result(ONE, UtcMicros(far * 30_000_000), ProbeState::Up);
        }
        let (first, last) = (UtcMicros(30), UtcMicros(4_000_000 * 30));
        for (round, cause) in MissedCause::ALL.iter().enumerate() {
            assert_eq!(series.insert_missed(ONE, first, last, 30, *cause), Ok(round < 2));
        }
        assert_eq!((series.run_count(), series.slot_count()), (6, 4_000_001));
        assert_eq!(series.at(UtcMicros(30_000_000)).unwrap().seen, Seen::State(ProbeState::Up));
    }

    #[test]
    fn runs_of_one_series_make_the_same_series_again() {
        let mut series = Series::new();
        for (k, state) in (0..500).zip([ProbeState::Up, ProbeState::Up, ProbeState::Down].into_iter().cycle()) {
            series.insert_result(ONE, UtcMicros(k * 7 - 1000), state);
        }
        series.insert_missed(ONE, UtcMicros(5000), UtcMicros(9000), 10, MissedCause::AgentStopped).unwrap();
        let (mut again, border) = (Series::new(), UtcMicros(7005));
        for run in series.runs() {
            for part in [run.before(border), run.starting(border)].into_iter().flatten() {
                assert_eq!(again.insert_run(part), Some(true));
                assert_eq!(again.insert_run(part), Some(false));
            }
        }
        assert_eq!((again.slot_count(), again.run_count()), (series.slot_count(), series.run_count()));
        assert_eq!(again, series);
    }

    #[test]
    fn runs_that_contradict_themselves_are_refused() {
        let obs = Obs { seen: Seen::State(ProbeState::Up), revision: ONE };
        let mut series = Series::new();
        let mut insert =
            |first, step_us, count| series.insert_run(Run { first: UtcMicros(first), step_us, count, obs });
        for (first, step, count) in
            [(0, 0, 0), (0, 10, 1), (0, 0, 2), (i64::MAX, 1, 2), (0, u64::MAX, 2), (0, 3, u64::MAX)]
        {
            assert_eq!(insert(first, step, count), None, "{first} {step} {count}");
        }
        assert_eq!(insert(i64::MIN, u64::MAX, 2), Some(true));
    }

    #[test]
    fn refuses_ranges_that_are_none() {
        let mut series = Series::new();
        let mut missed = |first, last, step| {
            series.insert_missed(ONE, UtcMicros(first), UtcMicros(last), step, MissedCause::AgentStopped)
        };
        assert_eq!(missed(10, 0, 10), Err(RangeError::Backwards));
        assert_eq!(missed(0, 15, 10), Err(RangeError::OffLattice));
        assert_eq!(missed(0, 15, 0), Err(RangeError::OffLattice));
        assert_eq!(missed(0, 50_000_000, 1), Err(RangeError::TooLong));
        assert_eq!(missed(i64::MIN, i64::MAX, u64::MAX), Ok(true));
        assert_eq!(missed(0, 0, 0), Ok(true));
        assert_eq!(series.slot_count(), 3);
    }
}
