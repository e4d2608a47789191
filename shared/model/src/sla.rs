//! Figures: time by verdict, availability with its completeness and bounds, and where each scheduled slot went.
//!
//! Time is counted in whole microseconds and adds up to the period exactly. Ratios are `None` where their denominator is 0:
//! nothing measured is never 100 %.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::accounting::Reckoning;
use crate::control::Weight;
use crate::record::MissedCause;
use crate::series::{Run, Seen, Series};
use crate::time::{Span, UtcMicros, union};
use crate::timeline::UnknownCause;
use crate::unknown::UnknownShares;
use crate::vote::{CheckView, Verdict, VerdictSpan};

/// A check's time over a period by verdict, in microseconds, with the figures that follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Account {
    /// Time up.
    pub up_us: i64,
    /// Time degraded.
    pub degraded_us: i64,
    /// Time regional: somebody down, the quorum not met.
    pub regional_us: i64,
    /// Time down.
    pub down_us: i64,
    /// Time under maintenance.
    pub maintenance_us: i64,
    /// Time unknown, by cause.
    pub unknown: UnknownTime,
    /// The integral of `share_down` over the measured time, in microseconds.
    pub down_share_us: f64,
}

/// Unknown time by cause, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnknownTime {
    /// The agents were not running.
    pub agent_stopped_us: i64,
    /// Nothing was heard.
    pub agent_offline_us: i64,
    /// Suspended.
    pub suspended_us: i64,
    /// Overloaded.
    pub shed_us: i64,
    /// No agent assigned.
    pub unassigned_us: i64,
}

impl UnknownTime {
    /// All unknown time.
    pub const fn total_us(&self) -> i64 {
        self.agent_stopped_us + self.agent_offline_us + self.suspended_us + self.shed_us + self.unassigned_us
    }

    /// Adds each cause's time to its own.
    pub const fn add(&mut self, other: Self) {
        let Self { agent_stopped_us, agent_offline_us, suspended_us, shed_us, unassigned_us } = other;
        self.agent_stopped_us += agent_stopped_us;
        self.agent_offline_us += agent_offline_us;
        self.suspended_us += suspended_us;
        self.shed_us += shed_us;
        self.unassigned_us += unassigned_us;
    }

    /// The time of one cause.
    pub const fn of(&self, cause: UnknownCause) -> i64 {
        match cause {
            UnknownCause::AgentStopped => self.agent_stopped_us,
            UnknownCause::AgentOffline => self.agent_offline_us,
            UnknownCause::Suspended => self.suspended_us,
            UnknownCause::Shed => self.shed_us,
            UnknownCause::Unassigned => self.unassigned_us,
        }
    }

    pub(crate) const fn of_mut(&mut self, cause: UnknownCause) -> &mut i64 {
        match cause {
            UnknownCause::AgentStopped => &mut self.agent_stopped_us,
            UnknownCause::AgentOffline => &mut self.agent_offline_us,
            UnknownCause::Suspended => &mut self.suspended_us,
            UnknownCause::Shed => &mut self.shed_us,
            UnknownCause::Unassigned => &mut self.unassigned_us,
        }
    }
}

impl Account {
    /// Adds up verdicts ([`crate::vote::verdicts`]), in their order.
    pub fn of(spans: &[VerdictSpan]) -> Self {
        let mut account = Self::default();
        for span in spans {
            let us = span.span.us();
            let measured = match span.verdict {
                Verdict::Up => &mut account.up_us,
                Verdict::Degraded => &mut account.degraded_us,
                Verdict::Regional => &mut account.regional_us,
                Verdict::Down => &mut account.down_us,
                Verdict::Maintenance => {
                    account.maintenance_us += us;
                    continue;
                }
                Verdict::Unknown => {
                    *account.unknown.of_mut(span.unknown_cause.unwrap_or(UnknownCause::AgentOffline)) += us;
                    continue;
                }
            };
            *measured += us;
            let (down, live) = span.share_down;
            if live > 0 {
                account.down_share_us += us as f64 * (down as f64 / live as f64);
            }
        }
        account
    }

    /// `up + degraded + regional + down`.
    pub const fn measured_us(&self) -> i64 {
        self.up_us + self.degraded_us + self.regional_us + self.down_us
    }

    /// The whole period.
    pub const fn period_us(&self) -> i64 {
        self.measured_us() + self.maintenance_us + self.unknown.total_us()
    }

    /// `1 - down / measured`.
    pub fn availability(&self) -> Option<f64> {
        self.share(self.measured_us() - self.down_us, self.measured_us())
    }

    /// `1 - integral(share_down) / measured`: a regional outage costs its share.
    pub fn weighted_availability(&self) -> Option<f64> {
        let measured = self.measured_us();
        (measured > 0).then(|| (1.0 - self.down_share_us / measured as f64).clamp(0.0, 1.0))
    }

    /// `measured / (period - maintenance)`: the share of the period for which evidence exists.
    pub fn completeness(&self) -> Option<f64> {
        self.share(self.measured_us(), self.measured_us() + self.unknown.total_us())
    }

    /// Availability if every unknown second had been down. With nothing measured but something unknown it is 0.
    pub fn lower(&self) -> Option<f64> {
        self.share(self.measured_us() - self.down_us, self.measured_us() + self.unknown.total_us())
    }

    /// Availability if every unknown second had been up. With nothing measured but something unknown it is 1.
    pub fn upper(&self) -> Option<f64> {
        let unknown = self.unknown.total_us();
        self.share(self.measured_us() - self.down_us + unknown, self.measured_us() + unknown)
    }

    /// Weighted availability if every unknown second had been down. With nothing measured but something unknown it is 0.
    pub fn weighted_lower(&self) -> Option<f64> {
        self.weighted_with(0)
    }

    /// Weighted availability if every unknown second had been up. With nothing measured but something unknown it is 1.
    pub fn weighted_upper(&self) -> Option<f64> {
        self.weighted_with(self.unknown.total_us())
    }

    /// With so much of the unknown time up, the rest of it down.
    fn weighted_with(&self, up_us: i64) -> Option<f64> {
        let (measured, unknown) = (self.measured_us(), self.unknown.total_us());
        if unknown == 0 {
            // To the same last bit as the figure: nothing widens it.
            return self.weighted_availability();
        }
        let good = (measured as f64 - self.down_share_us).max(0.0) + up_us as f64;
        Some((good / (measured + unknown) as f64).clamp(0.0, 1.0))
    }

    /// What completeness leaves open, by cause.
    pub fn unknown_shares(&self) -> Option<UnknownShares> {
        UnknownShares::of(&self.unknown, 0, self.measured_us() + self.unknown.total_us())
    }

    fn share(&self, part_us: i64, whole_us: i64) -> Option<f64> {
        (whole_us > 0).then(|| part_us as f64 / whole_us as f64)
    }
}

/// The mean of the figures that exist, weighted: a group's or the global availability over its checks. `None` when no figure with
/// a weight above 0 exists.
pub fn weighted_mean(figures: impl IntoIterator<Item = (Weight, Option<f64>)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (weight, figure) in figures {
        if let Some(figure) = figure {
            sum += f64::from(weight.0) * figure;
            weights += f64::from(weight.0);
        }
    }
    (weights > 0.0).then(|| sum / weights)
}

/// The figures of several checks together: a group's, or all of them.
///
/// Each is a mean weighted by check weight, and a check of weight 0 adds nothing. Availabilities are means over the checks that have measured time. Completeness and
/// bounds are means over all checks with time outside maintenance: one of which nothing is known has a completeness of 0 and bounds of 0 and 1, so it widens them instead
/// of vanishing, and the availability always lies within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Together {
    /// Checks of a weight above 0.
    pub checks: usize,
    /// Those of them with measured time.
    pub measured: usize,
    /// Mean availability.
    pub availability: Option<f64>,
    /// Mean of the availabilities to which a regional outage costs its share.
    pub weighted_availability: Option<f64>,
    /// Mean completeness.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause; `None` also where a stored report does not tell causes.
    pub unknown: Option<UnknownShares>,
    /// Mean lower bound.
    pub lower: Option<f64>,
    /// Mean upper bound.
    pub upper: Option<f64>,
    /// Mean lower bound of the weighted availability.
    pub weighted_lower: Option<f64>,
    /// Mean upper bound of the weighted availability.
    pub weighted_upper: Option<f64>,
}

/// The figures of one check that make a mean, by whichever policy they were counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Availability; `None` where nothing counts.
    pub availability: Option<f64>,
    /// The availability to which a regional outage costs its share.
    pub weighted_availability: Option<f64>,
    /// Completeness.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause; `None` also where a stored report does not tell causes.
    pub unknown: Option<UnknownShares>,
    /// Lower bound.
    pub lower: Option<f64>,
    /// Upper bound.
    pub upper: Option<f64>,
    /// Lower bound of the weighted availability.
    pub weighted_lower: Option<f64>,
    /// Upper bound of the weighted availability.
    pub weighted_upper: Option<f64>,
}

impl From<&Account> for Figures {
    fn from(account: &Account) -> Self {
        Self {
            availability: account.availability(),
            weighted_availability: account.weighted_availability(),
            completeness: account.completeness(),
            unknown: account.unknown_shares(),
            lower: account.lower(),
            upper: account.upper(),
            weighted_lower: account.weighted_lower(),
            weighted_upper: account.weighted_upper(),
        }
    }
}

impl From<&Reckoning> for Figures {
    fn from(counts: &Reckoning) -> Self {
        Self {
            availability: counts.availability(),
            weighted_availability: counts.weighted_availability(),
            completeness: counts.completeness(),
            unknown: counts.unknown_shares(),
            lower: counts.lower(),
            upper: counts.upper(),
            weighted_lower: counts.weighted_lower(),
            weighted_upper: counts.weighted_upper(),
        }
    }
}

impl Together {
    /// The means of checks with these weights and figures.
    pub fn of(checks: &[(Weight, Figures)]) -> Self {
        let mean = |figure: fn(&Figures) -> Option<f64>| {
            weighted_mean(checks.iter().map(|(weight, figures)| (*weight, figure(figures))))
        };
        let counted = checks.iter().filter(|(weight, _)| weight.0 > 0);
        // Where one does not tell why, the rest would not add up.
        let told = counted.clone().all(|(_, figures)| figures.completeness.is_some() == figures.unknown.is_some());
        let unknown = UnknownShares::mean(checks.iter().map(|(weight, figures)| (*weight, figures.unknown)));
        Self {
            checks: counted.clone().count(),
            measured: counted.filter(|(_, figures)| figures.availability.is_some()).count(),
            availability: mean(|figures| figures.availability),
            weighted_availability: mean(|figures| figures.weighted_availability),
            completeness: mean(|figures| figures.completeness),
            unknown: unknown.filter(|_| told),
            lower: mean(|figures| figures.lower),
            upper: mean(|figures| figures.upper),
            weighted_lower: mean(|figures| figures.weighted_lower),
            weighted_upper: mean(|figures| figures.weighted_upper),
        }
    }
}

/// Where each scheduled slot of a (check, agent) went: `scheduled = results + missed + holes`, and tombstones explain `dropped` of
/// the holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conservation {
    /// Results stored, of any state.
    pub results: u64,
    /// Missed: the agent was not running.
    pub missed_agent_stopped: u64,
    /// Missed: overloaded.
    pub missed_overloaded: u64,
    /// Missed: suspended.
    pub missed_suspended: u64,
    /// Missed: a maintenance window paused runs.
    pub missed_maintenance: u64,
    /// Missed: the clock leapt.
    pub missed_clock_step: u64,
    /// Missed: due before the agent was first heard of about this check, and too long ago for a record to be under way. No record tells of them.
    pub missed_agent_offline: u64,
    /// Dropped by the spool, as tombstones tell.
    pub dropped: u64,
    /// Slots between the first and the last record that no record names.
    pub holes: u64,
}

impl Conservation {
    /// Counts a series. `dropped` is the sum of the pair's tombstones.
    ///
    /// Holes are looked for between neighbouring records, in steps of the interval of the earlier one's revision (where the
    /// two name revisions with other intervals, the longer of both), and counted where the pair was assigned. Slots after the last
    /// record are not holes: they may be under way.
    pub fn of(view: &CheckView<'_>, series: &Series, assigned: &[Span], dropped: u64) -> Self {
        let assigned = &union(assigned.to_vec())[..];
        let mut count = Self { dropped, ..Self::default() };
        count.add(view, None, series.runs(), assigned);
        count
    }

    /// Adds runs, of which `before` is the neighbour on the left. `assigned` do not overlap.
    fn add<'r>(
        &mut self,
        view: &CheckView<'_>,
        before: Option<&'r Run>,
        runs: impl Iterator<Item = &'r Run>,
        assigned: &[Span],
    ) {
        let interval = |run: &Run| view.policy(run.obs.revision).map_or(u64::MAX, |policy| policy.interval_us);
        let mut before = before;
        for run in runs {
            *self.bin(run.obs.seen) += run.count;
            if let Some(before) = before {
                self.holes += holes(before.last(), run.first, interval(before).max(interval(run)), assigned);
            }
            let step = interval(run);
            if run.step_us <= step {
                // No room for a hole.
            } else if assigned.iter().any(|span| span.from <= run.first && run.last() <= span.to) {
                self.holes += (run.count - 1) * ((run.step_us - 1) / step.max(1));
            } else {
                for (slot, next) in run.slots().zip(run.slots().skip(1)) {
                    self.holes += holes(slot, next, step, assigned);
                }
            }
            before = Some(run);
        }
    }

    const fn bin(&mut self, seen: Seen) -> &mut u64 {
        match seen {
            Seen::State(_) => &mut self.results,
            Seen::Missed(MissedCause::AgentStopped) => &mut self.missed_agent_stopped,
            Seen::Missed(MissedCause::Overloaded) => &mut self.missed_overloaded,
            Seen::Missed(MissedCause::Suspended) => &mut self.missed_suspended,
            Seen::Missed(MissedCause::Maintenance) => &mut self.missed_maintenance,
            Seen::Missed(MissedCause::ClockStep) => &mut self.missed_clock_step,
        }
    }

    /// Missed slots of one cause.
    pub const fn missed_by(&self, cause: MissedCause) -> u64 {
        match cause {
            MissedCause::AgentStopped => self.missed_agent_stopped,
            MissedCause::Overloaded => self.missed_overloaded,
            MissedCause::Suspended => self.missed_suspended,
            MissedCause::Maintenance => self.missed_maintenance,
            MissedCause::ClockStep => self.missed_clock_step,
        }
    }

    /// All missed slots.
    pub const fn missed(&self) -> u64 {
        self.missed_agent_stopped
            + self.missed_overloaded
            + self.missed_suspended
            + self.missed_maintenance
            + self.missed_clock_step
            + self.missed_agent_offline
    }

    /// Every slot that should have had a record so far.
    pub const fn scheduled(&self) -> u64 {
        self.results + self.missed() + self.holes
    }

    /// Holes that no tombstone explains: 0, or something was lost.
    pub const fn unexplained(&self) -> u64 {
        self.holes.saturating_sub(self.dropped)
    }
}

/// A [`Conservation`] that goes on where it was left: what was counted once is not counted again while only newer records come. Anything else (a late
/// record, a new revision, another assignment) has it count from the beginning.
#[derive(Debug, Clone)]
pub struct Counted {
    edits: u64,
    revisions: usize,
    assigned: Vec<Span>,
    /// The first slot of the first run that is not in `count`: the last one may still grow.
    upto: UtcMicros,
    count: Conservation,
}

impl Default for Counted {
    fn default() -> Self {
        let count = Conservation::default();
        Self { edits: 0, revisions: 0, assigned: Vec::new(), upto: UtcMicros::MIN, count }
    }
}

impl Counted {
    /// What [`Conservation::of`] gives. It must always be of the same pair.
    pub fn of(&mut self, view: &CheckView<'_>, series: &Series, assigned: &[Span], dropped: u64) -> Conservation {
        let (assigned, edits, revisions) = (union(assigned.to_vec()), series.edits(), view.revisions.len());
        if (self.edits, self.revisions) != (edits, revisions) || self.assigned != assigned {
            *self = Self { edits, revisions, assigned, ..Self::default() };
        }
        let (before, mut runs) = series.runs_from(self.upto);
        let Some(mut last) = runs.next() else {
            return Conservation { dropped, ..Conservation::default() };
        };
        // All but the last.
        let mut before = before;
        for run in runs {
            self.count.add(view, before, core::iter::once(last), &self.assigned);
            before = Some(last);
            last = run;
        }
        self.upto = last.first;
        let mut count = Conservation { dropped, ..self.count };
        count.add(view, before, core::iter::once(last), &self.assigned);
        count
    }
}

/// How many of `from + interval, from + 2 x interval, ...` lie before `to` and inside an assigned span; these do not overlap.
fn holes(from: UtcMicros, to: UtcMicros, interval_us: u64, assigned: &[Span]) -> u64 {
    let gap = to.0.abs_diff(from.0);
    if interval_us == 0 || gap <= interval_us {
        return 0;
    }
    // How many of those slots lie before an instant.
    let before = |at: UtcMicros| {
        if at <= from { 0 } else { (at.min(to).0.abs_diff(from.0) - 1) / interval_us }
    };
    assigned.iter().map(|span| before(span.to) - before(span.from)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Revision;
    use crate::quorum::Quorum;
    use crate::record::ProbeState;
    use crate::vote::Policy;

    fn account(up: i64, down: i64, unknown: i64, maintenance: i64) -> Account {
        Account {
            up_us: up,
            down_us: down,
            maintenance_us: maintenance,
            unknown: UnknownTime { shed_us: unknown, ..UnknownTime::default() },
            down_share_us: down as f64,
            ..Account::default()
        }
    }

    #[test]
    fn figures_follow_the_formulas() {
        let figures = account(60, 20, 20, 100);
        assert_eq!(figures.availability(), Some(0.75));
        assert_eq!(figures.weighted_availability(), Some(0.75));
        assert_eq!(figures.completeness(), Some(0.8));
        assert_eq!((figures.lower(), figures.upper()), (Some(0.6), Some(0.8)));
        let regional = Account { down_us: 0, regional_us: 20, down_share_us: 5.0, ..figures };
        assert_eq!(regional.weighted_availability(), Some(0.9375));
        assert_eq!((regional.weighted_lower(), regional.weighted_upper()), (Some(0.75), Some(0.95)));
        assert_eq!(figures.period_us(), 200);
    }

    #[test]
    fn nothing_measured_is_not_all_well() {
        let blind = account(0, 0, 10, 5);
        assert_eq!((blind.availability(), blind.weighted_availability()), (None, None));
        assert_eq!((blind.completeness(), blind.lower(), blind.upper()), (Some(0.0), Some(0.0), Some(1.0)));
        let paused = account(0, 0, 0, 5);
        assert_eq!((paused.completeness(), paused.lower(), paused.upper()), (None, None, None));
    }

    #[test]
    fn what_is_not_known_widens_the_bounds_of_a_mean() {
        let [well, blind, paused] =
            [account(75, 25, 0, 0), account(0, 0, 10, 5), account(0, 0, 0, 5)].map(|one| Figures::from(&one));
        let mean =
            Together::of(&[(Weight(3000), well), (Weight(1000), blind), (Weight(1000), paused), (Weight(0), blind)]);
        assert_eq!((mean.checks, mean.measured), (3, 1));
        assert_eq!((mean.availability, mean.completeness), (Some(0.75), Some(0.75)));
        assert_eq!((mean.lower, mean.upper), (Some(0.5625), Some(0.8125)));
        assert_eq!(mean.unknown, Some(UnknownShares { shed: 0.25, ..UnknownShares::default() }));
        let untold = Figures { unknown: None, ..blind };
        let mixed = Together::of(&[(Weight(3000), well), (Weight(1000), untold)]);
        assert_eq!((mixed.completeness, mixed.unknown), (Some(0.75), None), "half of the causes would not add up");
        assert_eq!(Together::of(&[(Weight(0), well)]), Together::default());
    }

    #[test]
    fn means_weigh_what_exists() {
        let figures =
            [(Weight(1000), Some(1.0)), (Weight(3000), Some(0.5)), (Weight(9000), None), (Weight::ZERO, Some(0.0))];
        assert_eq!(weighted_mean(figures), Some(0.625));
        assert_eq!(weighted_mean([(Weight::ZERO, Some(1.0)), (Weight::ONE, None)]), None);
    }

    #[test]
    fn holes_are_found_and_told() {
        let policy = Policy {
            interval_us: 10,
            timeout_us: 5,
            weight: Weight::ONE,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
        };
        let revisions = [(UtcMicros(0), Revision(1), policy)];
        let life = Span::new(UtcMicros(0), UtcMicros(1000));
        let view = CheckView { revisions: &revisions, life };
        let mut series = Series::new();
        for slot in [3, 13, 23, 53, 63, 103] {
            series.insert_result(Revision(1), UtcMicros(slot), ProbeState::Up);
        }
        series.insert_missed(Revision(1), UtcMicros(73), UtcMicros(83), 10, MissedCause::Suspended).unwrap();
        let count = Conservation::of(&view, &series, &[life], 2);
        assert_eq!((count.results, count.missed_suspended, count.holes, count.dropped), (6, 2, 3, 2));
        assert_eq!((count.scheduled(), count.unexplained()), (11, 1));
        let apart = [Span::new(UtcMicros(0), UtcMicros(40)), Span::new(UtcMicros(50), UtcMicros(200))];
        assert_eq!(Conservation::of(&view, &series, &apart, 0).holes, 2);
    }

    #[test]
    fn counting_on_gives_what_counting_anew_gives() {
        let policy = |interval_us| Policy {
            interval_us,
            timeout_us: 5,
            weight: Weight::ONE,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
        };
        let all = [(UtcMicros(0), Revision(1), policy(10)), (UtcMicros(2000), Revision(2), policy(20))];
        let life = Span::new(UtcMicros(0), UtcMicros(10_000));
        let apart = [Span::new(UtcMicros(0), UtcMicros(700)), Span::new(UtcMicros(900), UtcMicros(9_000))];
        let (mut series, mut counted) = (Series::new(), Counted::default());
        let view = |revisions: usize| CheckView { revisions: &all[..revisions], life };
        assert_eq!(counted.of(&view(1), &series, &[life], 3), Conservation::of(&view(1), &series, &[life], 3));
        for step in 0..300_i64 {
            // Mostly the next slot, in runs of either state; some are left out and some of those come late.
            let slot = UtcMicros(if step % 23 == 22 { step * 10 - 150 } else { step * 10 });
            let state = if step / 7 % 3 == 1 { ProbeState::Down } else { ProbeState::Up };
            if step % 5 != 4 {
                series.insert_result(Revision(1 + u32::from(step > 200)), slot, state);
            }
            if step % 31 == 30 {
                let (first, last) = (slot.plus_us(10), slot.plus_us(30));
                series.insert_missed(Revision(1), first, last, 10, MissedCause::Overloaded).unwrap();
            }
            let view = view(if step < 190 { 1 } else { 2 });
            let assigned = if step < 100 { &[life][..] } else { &apart[..] };
            let anew = Conservation::of(&view, &series, assigned, 3);
            assert_eq!(counted.of(&view, &series, assigned, 3), anew, "at step {step}");
        }
        assert!(series.run_count() > 50 && series.edits() > 5);
        // Where only newer ones come, what was counted is not looked at again.
        let edits = series.edits();
        series.insert_result(Revision(2), UtcMicros(3_100), ProbeState::Up);
        counted.of(&view(2), &series, &apart, 3);
        assert_eq!((series.edits(), counted.upto), (edits, UtcMicros(3_100)));
    }
}
