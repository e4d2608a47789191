//! Timelines, votes, verdicts and figures against the definitions, second by second.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sitepulse_model::control::Weight;
use sitepulse_model::explain::explain;
use sitepulse_model::id::Revision;
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{MissedCause, ProbeState};
use sitepulse_model::series::{Obs, Seen, Series};
use sitepulse_model::sla::{Account, Conservation};
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};
use sitepulse_model::timeline::{self, Raw, UnknownCause};
use sitepulse_model::vote::{self, CheckView, Policy, Standing, Verdict, VerdictSpan, Vote, Voter};

use crate::cases;
use crate::series::{Put, seen};

/// Everything happens in whole seconds from 0 to here, and a little around.
const END: i64 = 150;

fn at(second: i64) -> UtcMicros {
    UtcMicros(second * SECOND_US)
}

fn span(from: i64, to: i64) -> Span {
    Span::new(at(from), at(to))
}

#[derive(Debug, Clone)]
struct Agent {
    /// In seconds.
    puts: Vec<Put>,
    assigned: Vec<(i64, i64)>,
    suspended: Vec<(i64, i64)>,
    weights: Vec<(i64, u32)>,
}

#[derive(Debug, Clone)]
struct Case {
    /// Instant in force from, interval, timeout, quorum, confirmations, recoveries.
    revisions: Vec<(i64, u64, u64, Quorum, u32, u32)>,
    agents: Vec<Agent>,
    windows: Vec<(i64, i64)>,
    life: (i64, i64),
    period: (i64, i64),
}

fn spans(count: usize) -> impl Strategy<Value = Vec<(i64, i64)>> {
    vec((-5..END, 0..60_i64).prop_map(|(from, length)| (from, from + length)), 0..=count)
}

fn quorum() -> impl Strategy<Value = Quorum> {
    prop_oneof![
        Just(Quorum::Any),
        Just(Quorum::Majority),
        Just(Quorum::All),
        (1..=10_u32).prop_map(|tenths| Quorum::Share(tenths * 100_000)),
        (1..5_u32).prop_map(Quorum::Agents),
    ]
}

/// A steady beat of results with flaps, as a real agent gives, and loose ones of any revision anywhere.
fn puts() -> impl Strategy<Value = Vec<Put>> {
    let beat =
        (1..4_u32, 0..6_i64, 3..7_u64, vec((seen(), 1..6_u64), 0..16)).prop_map(|(revision, start, step, pieces)| {
            let mut first = start;
            let mut puts = Vec::new();
            for (seen, count) in pieces {
                puts.push(Put { seen, revision, first, step, count });
                first += (step * count) as i64;
            }
            puts
        });
    let loose =
        vec(
            (seen(), 0..5_u32, -20..END + 20, 1..30_u64, 1..4_u64)
                .prop_map(|(seen, revision, first, step, count)| Put { seen, revision, first, step, count }),
            0..8,
        );
    (beat, loose).prop_map(|(beat, loose)| beat.into_iter().chain(loose).collect())
}

fn agent() -> impl Strategy<Value = Agent> {
    let assigned = prop_oneof![3 => Just(vec![(-5, END + 5)]), 1 => spans(2)];
    let weights = vec((-5..END, 0..4_u32), 0..3);
    (puts(), assigned, spans(2), weights).prop_flat_map(|(puts, assigned, suspended, mut weights)| {
        weights.sort_unstable();
        weights.dedup_by_key(|step| step.0);
        let twice: Vec<Put> = puts.iter().chain(puts.iter().step_by(3)).copied().collect();
        Just(twice).prop_shuffle().prop_map(move |puts| Agent {
            puts,
            assigned: assigned.clone(),
            suspended: suspended.clone(),
            weights: weights.clone(),
        })
    })
}

fn case() -> impl Strategy<Value = Case> {
    let revisions = vec((1..60_i64, 2..9_u64, 1..5_u64, quorum(), 1..4_u32, 1..4_u32), 1..4);
    let life = prop_oneof![2 => Just((0, END)), 1 => (0..40_i64, 60..END)];
    let period = prop_oneof![1 => Just((0, END)), 2 => (0..100_i64, 0..100_i64).prop_map(|(from, length)| (from, from + length))];
    (revisions, vec(agent(), 0..5), spans(1), life, period).prop_map(
        |(mut revisions, agents, windows, life, period)| {
            let mut from = life.0;
            for revision in &mut revisions {
                let gap = revision.0;
                revision.0 = from;
                from += gap;
            }
            Case { revisions, agents, windows, life, period }
        },
    )
}

/// The definitions, followed without a thought for cost.
impl Case {
    /// Revisions are numbered 1, 3, 5: 0, 2 and 4 are not known.
    fn revision(&self, number: u32) -> (i64, u64, u64, Quorum, u32, u32) {
        let known =
            (0..self.revisions.len()).rev().find(|index| 2 * *index as u32 <= number.saturating_sub(1) && number > 0);
        self.revisions[known.unwrap_or(0)]
    }

    fn in_force(&self, second: i64) -> Quorum {
        self.revisions.iter().rev().find(|revision| revision.0 <= second).unwrap_or(&self.revisions[0]).3
    }

    fn hold(&self, number: u32) -> i64 {
        let (_, interval, timeout, ..) = self.revision(number);
        (interval * 2 + timeout) as i64
    }

    fn raw(&self, records: &BTreeMap<i64, Obs>, second: i64) -> Raw {
        let Some((slot, obs)) = records.range(..=second).next_back() else {
            return Raw::Unknown(UnknownCause::AgentOffline);
        };
        if second - slot >= self.hold(obs.revision.0) {
            return Raw::Unknown(UnknownCause::AgentOffline);
        }
        match obs.seen {
            Seen::State(ProbeState::Unknown) | Seen::Missed(MissedCause::ClockStep) => {
                Raw::Unknown(UnknownCause::AgentOffline)
            }
            Seen::State(state) => Raw::State(state),
            Seen::Missed(MissedCause::AgentStopped) => Raw::Unknown(UnknownCause::AgentStopped),
            Seen::Missed(MissedCause::Overloaded) => Raw::Unknown(UnknownCause::Shed),
            Seen::Missed(MissedCause::Suspended | MissedCause::Maintenance) => Raw::Unknown(UnknownCause::Suspended),
        }
    }

    /// Whether the vote is at least this bad at an instant: each result is looked at in turn; where it speaks against the present
    /// position, so many results after it must agree.
    fn at_least(&self, records: &BTreeMap<i64, Obs>, level: ProbeState, second: i64) -> bool {
        let results: Vec<(i64, bool, u32)> = records
            .iter()
            .filter_map(|(slot, obs)| match obs.seen {
                Seen::State(ProbeState::Unknown) | Seen::Missed(_) => None,
                Seen::State(state) => Some((*slot, state >= level, obs.revision.0)),
            })
            .collect();
        let mut position = false;
        for (index, (slot, hit, _)) in results.iter().enumerate() {
            if *slot > second {
                break;
            }
            let agree = results[index..].iter().take_while(|(_, other, _)| other == hit);
            let turned = *hit != position
                && agree.enumerate().any(|(more, (_, _, revision))| {
                    let (.., confirmations, recoveries) = self.revision(*revision);
                    more as u32 + 1 >= if position { recoveries } else { confirmations }
                });
            if turned {
                position = *hit;
            }
        }
        position
    }

    fn standing(&self, agent: &Agent, records: &BTreeMap<i64, Obs>, second: i64) -> Standing {
        let inside = |spans: &[(i64, i64)]| spans.iter().any(|(from, to)| *from <= second && second < *to);
        let weight = agent.weights.iter().rev().find(|(from, _)| *from <= second).map_or(1000, |(_, n)| n * 500);
        if !inside(&agent.assigned) {
            return Standing::Unassigned;
        }
        if weight == 0 {
            return Standing::Weightless;
        }
        if inside(&agent.suspended) {
            return Standing::Suspended;
        }
        let vote = if self.at_least(records, ProbeState::Down, second) {
            Vote::Down
        } else if self.at_least(records, ProbeState::Degraded, second) {
            Vote::Degraded
        } else {
            Vote::Up
        };
        match self.raw(records, second) {
            Raw::Unknown(cause) => Standing::Unknown(cause),
            Raw::State(_) => Standing::Live { weight: Weight(weight), vote },
        }
    }

    fn verdict(&self, standings: &[Standing], second: i64) -> VerdictSpan {
        let live: Vec<(u64, Vote)> = standings
            .iter()
            .filter_map(|standing| match standing {
                Standing::Live { weight, vote } => Some((u64::from(weight.0), *vote)),
                Standing::Unassigned | Standing::Weightless | Standing::Suspended | Standing::Unknown(_) => None,
            })
            .collect();
        let total: u64 = live.iter().map(|(weight, _)| weight).sum();
        let bad = |vote: Vote| {
            let bad: Vec<u64> = live.iter().filter(|(_, v)| *v == vote).map(|(weight, _)| *weight).collect();
            (bad.len(), bad.iter().sum::<u64>())
        };
        let quorum = self.in_force(second);
        let meets = |(count, weight): (usize, u64)| {
            count > 0
                && match quorum {
                    Quorum::Any => true,
                    Quorum::Majority => weight > total - weight,
                    Quorum::All => count == live.len(),
                    Quorum::Share(ppm) => weight * 1_000_000 >= u64::from(ppm) * total,
                    Quorum::Agents(n) => count >= (n as usize).min(live.len()),
                }
        };
        let (down, degraded) = (bad(Vote::Down), bad(Vote::Degraded));
        let verdict = if self.windows.iter().any(|(from, to)| *from <= second && second < *to) {
            Verdict::Maintenance
        } else if live.is_empty() {
            Verdict::Unknown
        } else if meets(down) {
            Verdict::Down
        } else if down.0 > 0 {
            Verdict::Regional
        } else if meets(degraded) {
            Verdict::Degraded
        } else {
            Verdict::Up
        };
        let has = |cause| {
            standings.contains(&Standing::Unknown(cause))
                || cause == UnknownCause::Suspended && standings.contains(&Standing::Suspended)
        };
        let causes =
            [UnknownCause::AgentOffline, UnknownCause::AgentStopped, UnknownCause::Shed, UnknownCause::Suspended];
        VerdictSpan {
            span: span(second, second + 1),
            verdict,
            share_down: (down.1, total),
            unknown_cause: (verdict == Verdict::Unknown)
                .then(|| causes.into_iter().find(|cause| has(*cause)).unwrap_or(UnknownCause::Unassigned)),
            quorum_reduced: matches!(quorum, Quorum::Agents(n) if n as usize > live.len()) && !live.is_empty(),
        }
    }
}

/// Scales seconds to microseconds.
fn scaled(put: &Put) -> Put {
    Put { first: put.first * SECOND_US, step: put.step * SECOND_US as u64, ..*put }
}

/// Splits a span into its seconds.
fn seconds(span: Span) -> impl Iterator<Item = i64> {
    span.from.0 / SECOND_US..span.to.0 / SECOND_US
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn verdicts_and_figures_follow_the_definitions(case in case()) {
        let revisions: Vec<(UtcMicros, Revision, Policy)> = case
            .revisions
            .iter()
            .enumerate()
            .map(|(index, (from, interval, timeout, quorum, confirmations, recoveries))| {
                let policy = Policy {
                    interval_us: interval * SECOND_US as u64,
                    timeout_us: timeout * SECOND_US as u64,
                    weight: Weight::ONE,
                    quorum: *quorum,
                    confirmations: *confirmations,
                    recoveries: *recoveries,
                };
                (at(*from), Revision(2 * index as u32 + 1), policy)
            })
            .collect();
        let view = CheckView { revisions: &revisions, life: span(case.life.0, case.life.1) };
        let mut series = Vec::new();
        let mut records = Vec::new();
        for agent in &case.agents {
            let (mut one, mut map) = (Series::new(), BTreeMap::new());
            for put in &agent.puts {
                scaled(put).into_series(&mut one);
                put.into_map(&mut map);
            }
            series.push(one);
            records.push(map);
        }
        let spans = |spans: &[(i64, i64)]| spans.iter().map(|(from, to)| span(*from, *to)).collect::<Vec<_>>();
        let voters: Vec<Voter<'_>> = case
            .agents
            .iter()
            .zip(&series)
            .map(|(agent, series)| Voter {
                assigned: spans(&agent.assigned),
                suspended: spans(&agent.suspended),
                weights: agent.weights.iter().map(|(from, n)| (at(*from), Weight(n * 500))).collect(),
                series,
            })
            .collect();
        let period = span(case.period.0, case.period.1);
        let clipped = period.clip(view.life);

        // Pair by pair: timeline and standing.
        let mut standings: Vec<Vec<Standing>> = vec![Vec::new(); END as usize];
        for ((agent, voter), records) in case.agents.iter().zip(&voters).zip(&records) {
            let mut covered = clipped.from;
            for raw in timeline::pair(&view, voter.series, &voter.assigned, period) {
                prop_assert_eq!(raw.span.from, covered);
                covered = raw.span.to;
                for second in seconds(raw.span) {
                    let assigned = agent.assigned.iter().any(|(from, to)| *from <= second && second < *to);
                    let expected =
                        if assigned { case.raw(records, second) } else { Raw::Unknown(UnknownCause::Unassigned) };
                    prop_assert_eq!(raw.state, expected, "second {} of {:?}", second, agent);
                }
            }
            prop_assert!(clipped.is_empty() || covered == clipped.to);
            for standing in vote::standings(&view, voter, period) {
                for second in seconds(standing.span) {
                    let expected = case.standing(agent, records, second);
                    prop_assert_eq!(standing.standing, expected, "second {} of {:?}", second, agent);
                    standings[second as usize].push(expected);
                }
            }
        }

        // All together: verdicts.
        let verdicts = vote::verdicts(&view, &voters, &spans(&case.windows), period);
        let mut covered = clipped.from;
        let mut expected_account = Account::default();
        for verdict in &verdicts {
            prop_assert_eq!(verdict.span.from, covered);
            covered = verdict.span.to;
            for second in seconds(verdict.span) {
                let expected = case.verdict(&standings[second as usize], second);
                prop_assert_eq!(VerdictSpan { span: expected.span, ..*verdict }, expected, "second {}", second);
                let us = match (expected.verdict, expected.unknown_cause) {
                    (Verdict::Up, _) => &mut expected_account.up_us,
                    (Verdict::Degraded, _) => &mut expected_account.degraded_us,
                    (Verdict::Regional, _) => &mut expected_account.regional_us,
                    (Verdict::Down, _) => &mut expected_account.down_us,
                    (Verdict::Maintenance, _) => &mut expected_account.maintenance_us,
                    (Verdict::Unknown, Some(UnknownCause::AgentOffline)) => &mut expected_account.unknown.agent_offline_us,
                    (Verdict::Unknown, Some(UnknownCause::AgentStopped)) => &mut expected_account.unknown.agent_stopped_us,
                    (Verdict::Unknown, Some(UnknownCause::Shed)) => &mut expected_account.unknown.shed_us,
                    (Verdict::Unknown, Some(UnknownCause::Suspended)) => &mut expected_account.unknown.suspended_us,
                    (Verdict::Unknown, Some(UnknownCause::Unassigned) | None) => &mut expected_account.unknown.unassigned_us,
                };
                *us += SECOND_US;
                if !matches!(expected.verdict, Verdict::Unknown | Verdict::Maintenance) {
                    let (down, total) = expected.share_down;
                    expected_account.down_share_us += SECOND_US as f64 * (down as f64 / total as f64);
                }
            }
        }
        prop_assert!(clipped.is_empty() || covered == clipped.to);
        for pair in verdicts.windows(2) {
            prop_assert_ne!(VerdictSpan { span: pair[0].span, ..pair[1] }, pair[0], "neighbours are merged");
        }

        // Explained: the same verdicts, cut where anybody's standing changes, with the records behind each.
        let explained = explain(&view, &voters, &spans(&case.windows), period, &mut usize::MAX.clone()).expect("there is room");
        let mut covered = clipped.from;
        for interval in &explained {
            let span = interval.verdict.span;
            prop_assert_eq!(span.from, covered);
            covered = span.to;
            for second in seconds(span) {
                let expected = case.verdict(&standings[second as usize], second);
                prop_assert_eq!(VerdictSpan { span: expected.span, ..interval.verdict }, expected);
                let mut present = vec![Standing::Unassigned; voters.len()];
                for testimony in &interval.testimonies {
                    present[testimony.voter] = testimony.standing;
                }
                prop_assert_eq!(&present, &standings[second as usize], "second {}", second);
            }
            let (from, to) = (span.from.0 / SECOND_US, span.to.0 / SECOND_US);
            for testimony in &interval.testimonies {
                let records = &records[testimony.voter];
                let before = records.range(..=from).next_back().filter(|(slot, obs)| from - **slot < case.hold(obs.revision.0));
                let inside = records.range(from + 1..to);
                let expected: Vec<(UtcMicros, Seen)> =
                    before.into_iter().chain(inside).map(|(slot, obs)| (at(*slot), obs.seen)).collect();
                prop_assert_eq!(testimony.evidence.iter().map(|one| one.count).sum::<u64>(), expected.len() as u64);
                let mut rest = &expected[..];
                for one in &testimony.evidence {
                    let (these, others) = rest.split_at(one.count as usize);
                    prop_assert!(these.iter().all(|(_, seen)| *seen == one.seen));
                    prop_assert_eq!((these[0].0, these[these.len() - 1].0), (one.first, one.last));
                    rest = others;
                }
            }
        }
        prop_assert!(clipped.is_empty() || covered == clipped.to);

        // The figures.
        let account = Account::of(&verdicts);
        let again = Account::of(&explained.iter().map(|interval| interval.verdict).collect::<Vec<_>>());
        prop_assert!((again.down_share_us - account.down_share_us).abs() < 1.0);
        prop_assert_eq!(Account { down_share_us: 0.0, ..again }, Account { down_share_us: 0.0, ..account });
        prop_assert_eq!(account.period_us(), clipped.us());
        prop_assert!((account.down_share_us - expected_account.down_share_us).abs() < 1.0);
        prop_assert_eq!(Account { down_share_us: 0.0, ..account }, Account { down_share_us: 0.0, ..expected_account });
        let (measured, unknown) = (account.measured_us(), account.unknown.total_us());
        let causes: i64 = UnknownCause::ALL.iter().map(|cause| account.unknown.of(*cause)).sum();
        prop_assert_eq!(causes, unknown);
        let near = |figure: Option<f64>, part: f64, whole: i64| match figure {
            None => whole == 0,
            Some(figure) => whole > 0 && (figure - part / whole as f64).abs() < 1e-9 && (0.0..=1.0).contains(&figure),
        };
        let up = (measured - account.down_us) as f64;
        prop_assert!(near(account.availability(), up, measured));
        prop_assert!(near(account.weighted_availability(), measured as f64 - expected_account.down_share_us, measured));
        prop_assert!(near(account.completeness(), measured as f64, account.period_us() - account.maintenance_us));
        prop_assert!(near(account.lower(), up, measured + unknown));
        prop_assert!(near(account.upper(), up + unknown as f64, measured + unknown));
        if let (Some(lower), Some(middle), Some(upper)) = (account.lower(), account.availability(), account.upper()) {
            prop_assert!(lower <= middle && middle <= upper);
        }

        // A period is the sum of its parts.
        let middle = at((case.period.0 + case.period.1) / 2);
        let halves = [Span::new(period.from, middle), Span::new(middle, period.to)].map(|half| {
            let half = Account::of(&vote::verdicts(&view, &voters, &spans(&case.windows), half));
            (half.up_us, half.degraded_us, half.regional_us, half.down_us, half.maintenance_us, half.unknown)
        });
        prop_assert_eq!(halves[0].0 + halves[1].0, account.up_us);
        prop_assert_eq!(halves[0].1 + halves[1].1, account.degraded_us);
        prop_assert_eq!(halves[0].2 + halves[1].2, account.regional_us);
        prop_assert_eq!(halves[0].3 + halves[1].3, account.down_us);
        prop_assert_eq!(halves[0].4 + halves[1].4, account.maintenance_us);
        prop_assert_eq!(halves[0].5.total_us() + halves[1].5.total_us(), unknown);
    }

    #[test]
    fn conservation_counts_every_slot(
        kinds in vec(proptest::option::weighted(0.8, seen()), 1..60),
        assigned in spans(2),
        dropped in 0..5_u64,
    ) {
        let policy = Policy {
            interval_us: 2 * SECOND_US as u64,
            timeout_us: 1,
            weight: Weight::ONE,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
        };
        let revisions = [(at(0), Revision(1), policy)];
        let view = CheckView { revisions: &revisions, life: span(0, END) };
        let assigned: Vec<Span> = assigned.iter().map(|(from, to)| span(*from, *to)).collect();
        let mut series = Series::new();
        for (index, seen) in kinds.iter().enumerate() {
            if let Some(seen) = *seen {
                Put { seen, revision: 1, first: at(2 * index as i64).0, step: 1, count: 1 }.into_series(&mut series);
            }
        }
        let count = Conservation::of(&view, &series, &assigned, dropped);
        let known = kinds.iter().flatten();
        prop_assert_eq!(count.results, known.clone().filter(|seen| matches!(seen, Seen::State(_))).count() as u64);
        for cause in MissedCause::ALL {
            prop_assert_eq!(count.missed_by(*cause), known.clone().filter(|seen| **seen == Seen::Missed(*cause)).count() as u64);
        }
        let first = kinds.iter().position(Option::is_some).unwrap_or(0);
        let last = kinds.iter().rposition(Option::is_some).unwrap_or(0);
        let holes = (first..last)
            .filter(|index| kinds[*index].is_none() && assigned.iter().any(|span| span.contains(at(2 * *index as i64))))
            .count() as u64;
        prop_assert_eq!(count.holes, holes);
        prop_assert_eq!(count.scheduled(), count.results + count.missed() + holes);
        prop_assert_eq!(count.unexplained(), holes.saturating_sub(dropped));
    }
}
