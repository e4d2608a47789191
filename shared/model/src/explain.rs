//! Why a figure is what it is: the intervals behind it, who voted how in each, and on which records.
//!
//! The intervals are those of [`vote::verdicts`](crate::vote::verdicts), cut wherever any voter's standing changes: contiguous, and adding up to the account of the
//! same period to the microsecond.

use alloc::vec::Vec;

use crate::series::{Seen, Series};
use crate::time::{Span, UtcMicros};
use crate::vote::{self, CheckView, Standing, StandingSpan, VerdictSpan, Voter};

/// Records that say the same at equal distances, one after the other: the first, the last and the distance name each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// What they say.
    pub seen: Seen,
    /// The first one's slot. The first record of an interval may lie before it: it still held.
    pub first: UtcMicros,
    /// The last one's slot.
    pub last: UtcMicros,
    /// How many.
    pub count: u64,
    /// Distance of two slots; 0 exactly when `count` is 1.
    pub step_us: u64,
}

impl Evidence {
    /// Appends what follows, where the two make one.
    fn join(&mut self, next: &Self) -> bool {
        let gap = next.first.us_since(self.last).unsigned_abs();
        let fits = self.seen == next.seen
            && (self.count == 1 || self.step_us == gap)
            && (next.count == 1 || next.step_us == gap);
        if fits {
            (self.last, self.step_us) = (next.last, gap);
            self.count += next.count;
        }
        fits
    }

    /// The slot of each.
    pub fn slots(&self) -> impl Iterator<Item = UtcMicros> + use<> {
        let Self { first, step_us, count, .. } = *self;
        (0..count).map(move |at| UtcMicros(first.0.wrapping_add(step_us.wrapping_mul(at).cast_signed())))
    }
}

/// What one voter was in an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Testimony {
    /// Its place in the list of voters.
    pub voter: usize,
    /// What it was. Never [`Standing::Unassigned`]: such voters are not named.
    pub standing: Standing,
    /// What it had reported, in order.
    pub evidence: Vec<Evidence>,
}

/// Time in which neither the verdict nor any voter's standing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// The verdict, and when.
    pub verdict: VerdictSpan,
    /// The voters.
    pub testimonies: Vec<Testimony>,
}

impl Interval {
    /// How much there is to tell: the interval, its voters, and their records.
    fn size(&self) -> usize {
        1 + self.testimonies.iter().map(|testimony| 1 + testimony.evidence.len()).sum::<usize>()
    }
}

/// Explains a check's verdicts over `period` clipped to its life. `windows` as for [`vote::verdicts`]. `room` is how many intervals, voters of intervals and pieces of
/// evidence there may be, all together: it shrinks by those that there are, and where it does not suffice there is no explanation (`None`).
pub fn explain(
    view: &CheckView<'_>,
    voters: &[Voter<'_>],
    windows: &[Span],
    period: Span,
    room: &mut usize,
) -> Option<Vec<Interval>> {
    let verdicts = vote::verdicts(view, voters, windows, period);
    let standings: Vec<Vec<StandingSpan>> = voters.iter().map(|voter| vote::standings(view, voter, period)).collect();
    let mut cuts: Vec<UtcMicros> = standings.iter().flatten().map(|standing| standing.span.from).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut intervals = Vec::new();
    let mut places = alloc::vec![0_usize; voters.len()];
    for verdict in &verdicts {
        let first = cuts.partition_point(|cut| *cut <= verdict.span.from);
        let inside = cuts[first..].iter().copied().take_while(|cut| *cut < verdict.span.to);
        let mut from = verdict.span.from;
        for to in inside.chain([verdict.span.to]) {
            let span = Span::new(from, to);
            from = to;
            let mut testimonies = Vec::new();
            for (voter, (standings, place)) in standings.iter().zip(&mut places).enumerate() {
                while standings.get(*place).is_some_and(|standing| standing.span.to <= span.from) {
                    *place += 1;
                }
                match standings.get(*place) {
                    None | Some(StandingSpan { standing: Standing::Unassigned, .. }) => {}
                    Some(StandingSpan { standing, .. }) => testimonies.push(Testimony {
                        voter,
                        standing: *standing,
                        evidence: evidence(view, voters[voter].series, span),
                    }),
                }
            }
            let interval = Interval { verdict: VerdictSpan { span, ..*verdict }, testimonies };
            *room = room.checked_sub(interval.size())?;
            intervals.push(interval);
        }
    }
    Some(intervals)
}

/// The records that speak of `span`: the one that holds at its start, and those in it.
fn evidence(view: &CheckView<'_>, series: &Series, span: Span) -> Vec<Evidence> {
    let mut out: Vec<Evidence> = Vec::new();
    let mut runs = series.runs_in(span).peekable();
    while let Some(run) = runs.next() {
        let begun = run.count_before(span.from.plus_us(1));
        // A later record ends an earlier one's hold, so only the last one that began before can hold.
        let newest = runs.peek().is_none_or(|next| next.first > span.from);
        let holds = newest && begun > 0 && run.slot(begun - 1).plus_us(view.hold_us(run.obs.revision)) > span.from;
        let (from, to) = (begun - u64::from(holds), run.count_before(span.to));
        if from >= to {
            continue;
        }
        let (first, last, count) = (run.slot(from), run.slot(to - 1), to - from);
        let step_us = if count == 1 { 0 } else { run.step_us };
        let evidence = Evidence { seen: run.obs.seen, first, last, count, step_us };
        // Where a revision changed nothing of what was seen, or of the distance, it cuts nothing.
        if !out.last_mut().is_some_and(|before| before.join(&evidence)) {
            out.push(evidence);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Weight;
    use crate::id::Revision;
    use crate::quorum::Quorum;
    use crate::record::{MissedCause, ProbeState};
    use crate::vote::{Policy, Verdict, Vote};

    #[test]
    fn an_outage_is_explained_by_who_saw_it() {
        let policy = Policy {
            interval_us: 10,
            timeout_us: 5,
            weight: Weight::ONE,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
        };
        let life = Span::new(UtcMicros(0), UtcMicros(100));
        let revisions = [(life.from, Revision(1), policy)];
        let view = CheckView { revisions: &revisions, life };
        let (mut one, mut other) = (Series::new(), Series::new());
        for slot in 0..10 {
            let state = if (3..5).contains(&slot) { ProbeState::Down } else { ProbeState::Up };
            one.insert_result(Revision(1), UtcMicros(slot * 10), state);
        }
        for slot in 0..5 {
            other.insert_result(Revision(1), UtcMicros(slot * 10 + 2), ProbeState::Up);
        }
        other.insert_missed(Revision(1), UtcMicros(52), UtcMicros(92), 10, MissedCause::Suspended).unwrap();
        let voter = |series| Voter { assigned: alloc::vec![life], suspended: Vec::new(), weights: Vec::new(), series };
        let mut room = 1_000;
        let intervals = explain(&view, &[voter(&one), voter(&other)], &[], life, &mut room).unwrap();
        let told = 1_000 - room;
        assert!(told > 15, "5 intervals of 2 voters: {told}");
        let bounded = |mut room| explain(&view, &[voter(&one), voter(&other)], &[], life, &mut room);
        assert_eq!((bounded(told - 1), bounded(told).map(|told| told.len())), (None, Some(5)));
        let told: Vec<_> = intervals
            .iter()
            .map(|interval| {
                let span = interval.verdict.span;
                (span.from.0, span.to.0, interval.verdict.verdict)
            })
            .collect();
        assert_eq!(
            told,
            [
                (0, 2, Verdict::Up),
                (2, 30, Verdict::Up),
                (30, 50, Verdict::Regional),
                (50, 52, Verdict::Up),
                (52, 100, Verdict::Up)
            ]
        );
        let outage = &intervals[2].testimonies;
        assert_eq!(outage[0].standing, Standing::Live { weight: Weight::ONE, vote: Vote::Down });
        let seen = |at: usize, voter: usize| {
            let of = |one: &Evidence| (one.first.0, one.last.0, one.count, one.seen);
            intervals[at].testimonies[voter].evidence.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(seen(2, 0), [(30, 40, 2, Seen::State(ProbeState::Down))]);
        assert_eq!(seen(2, 1), [(22, 42, 3, Seen::State(ProbeState::Up))], "the first one held when the outage began");
        assert_eq!(seen(3, 1), [(42, 42, 1, Seen::State(ProbeState::Up))]);
        assert_eq!(seen(4, 1), [(52, 92, 5, Seen::Missed(MissedCause::Suspended))]);
        assert_eq!(intervals[0].testimonies[1].evidence, []);
    }

    #[test]
    fn evidence_names_each_record_also_where_one_is_missing_or_the_distance_changes() {
        let policy = Policy {
            interval_us: 10,
            timeout_us: 5,
            weight: Weight::ONE,
            quorum: Quorum::Majority,
            confirmations: 1,
            recoveries: 1,
        };
        let life = Span::new(UtcMicros(0), UtcMicros(100));
        let revisions = [(life.from, Revision(1), policy), (UtcMicros(30), Revision(2), policy)];
        let view = CheckView { revisions: &revisions, life };
        let slots = [0, 10, 20, 30, 40, 60, 64, 68, 90];
        let mut series = Series::new();
        for slot in slots {
            series.insert_result(Revision(1 + u32::from(slot >= 30)), UtcMicros(slot), ProbeState::Up);
        }
        let voter = Voter { assigned: alloc::vec![life], suspended: Vec::new(), weights: Vec::new(), series: &series };
        let intervals = explain(&view, &[voter], &[], life, &mut 100).unwrap();
        let [interval] = &intervals[..] else { panic!("it is up throughout: {intervals:?}") };
        let evidence = &interval.testimonies[0].evidence;
        let named: Vec<i64> = evidence.iter().flat_map(Evidence::slots).map(|slot| slot.0).collect();
        assert_eq!(named, slots);
        let runs: Vec<_> = evidence.iter().map(|one| (one.first.0, one.last.0, one.count, one.step_us)).collect();
        assert_eq!(runs, [(0, 40, 5, 10), (60, 68, 3, 4), (90, 90, 1, 0)]);
    }
}
