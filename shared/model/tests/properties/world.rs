//! Random small worlds: a check with its revisions and lives, its agents with their histories, and records as a fleet sends them: beats with flaps, regions that
//! are lost, gaps that drain late, missed ranges, duplicates, other orders. Everything happens on whole seconds, so that a naive model can walk through it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sitepulse_model::control::{Change, ControlEvent, ControlLog, EventId, Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo, Revision};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{MissedCause, ProbeState};
use sitepulse_model::series::{Obs, Seen, Series};
use sitepulse_model::time::{SECOND_US, Span, UtcMicros, union};
use sitepulse_model::timeline::UnknownCause;
use sitepulse_model::vote::{CheckView, Policy, Verdict, Voter, verdicts};

use crate::series::{Put, seen};

/// Everything happens in whole seconds from 0 to here, and a little around.
pub(crate) const END: i64 = 150;
/// The check all of it is about.
pub(crate) const CHECK: CheckNo = CheckNo(7);

pub(crate) fn at(second: i64) -> UtcMicros {
    UtcMicros(second * SECOND_US)
}

pub(crate) fn span(from: i64, to: i64) -> Span {
    Span::new(at(from), at(to))
}

pub(crate) fn spans(pairs: &[(i64, i64)]) -> Vec<Span> {
    pairs.iter().map(|(from, to)| span(*from, *to)).collect()
}

/// A revision of the check; times in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rev {
    pub(crate) from: i64,
    pub(crate) interval: i64,
    pub(crate) timeout: i64,
    pub(crate) quorum: Quorum,
    pub(crate) confirmations: u32,
    pub(crate) recoveries: u32,
}

/// What somebody ordered, at an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Suspend(i64),
    Resume,
    Weight(u32),
}

/// Whom an order is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum About {
    Agent(usize),
    CheckOn(usize),
    Check,
}

#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// As they arrive, in seconds; some twice.
    pub(crate) puts: Vec<Put>,
    pub(crate) assigned: Vec<(i64, i64)>,
    /// What tombstones tell.
    pub(crate) dropped: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) revisions: Vec<Rev>,
    pub(crate) agents: Vec<Agent>,
    /// As they become known; by the index each was given, that is at an instant the later one counts.
    pub(crate) orders: Vec<(usize, i64, About, Order)>,
    pub(crate) windows: Vec<(i64, i64)>,
    /// When the check exists: retired in between.
    pub(crate) lives: Vec<(i64, i64)>,
    pub(crate) period: (i64, i64),
}

/// Revisions are numbered 1, 3, 5: 0, 2 and 4 are not known.
pub(crate) fn number(index: usize) -> u32 {
    2 * index as u32 + 1
}

pub(crate) fn quorum() -> impl Strategy<Value = Quorum> {
    prop_oneof![
        1 => Just(Quorum::Any),
        2 => Just(Quorum::Majority),
        1 => Just(Quorum::All),
        1 => (1..=10_u32).prop_map(|tenths| Quorum::Share(tenths * 100_000)),
        1 => (1..5_u32).prop_map(Quorum::Agents),
    ]
}

fn some_spans(count: usize) -> impl Strategy<Value = Vec<(i64, i64)>> {
    vec((-5..END, 0..60_i64).prop_map(|(from, length)| (from, from + length)), 0..=count)
}

/// A window that recurs at a wall-clock time, over a change of the zone's offset: the days before it and after it are cut differently.
fn windows() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let recurring =
        (0..END, -12..12_i64, 10..60_i64, 0..40_i64, 1..30_i64).prop_map(|(turn, by, day, start, length)| {
            let wall = (-2..20).map(|n| n * day + start);
            wall.map(|wall| if wall < turn { wall } else { wall - by }).map(|from| (from, from + length)).collect()
        });
    prop_oneof![2 => Just(Vec::new()), 2 => some_spans(2), 1 => recurring]
}

fn revisions() -> impl Strategy<Value = Vec<Rev>> {
    vec((1..60_i64, 2..9_i64, 1..5_i64, quorum(), 1..4_u32, 1..4_u32), 1..4).prop_map(|drawn| {
        let mut from = 0;
        drawn
            .into_iter()
            .map(|(gap, interval, timeout, quorum, confirmations, recoveries)| {
                let revision = Rev { from, interval, timeout, quorum, confirmations, recoveries };
                from += gap;
                revision
            })
            .collect()
    })
}

/// What an agent does for a while.
#[derive(Debug, Clone, Copy)]
enum Mood {
    /// It reports what is so.
    Fine,
    /// It reports this, whatever is so.
    Says(ProbeState),
    /// It flaps: every other result is bad.
    Flaps(ProbeState),
    /// It tells that it missed runs.
    Missed(MissedCause),
    /// It is not heard of.
    Silent,
    /// Its spool dropped the records, and says so.
    Drops,
}

fn mood() -> impl Strategy<Value = Mood> {
    let bad = select(&[ProbeState::Down, ProbeState::Down, ProbeState::Degraded, ProbeState::Unknown][..]);
    prop_oneof![
        6 => Just(Mood::Fine),
        2 => bad.clone().prop_map(Mood::Says),
        2 => bad.prop_map(Mood::Flaps),
        1 => select(MissedCause::ALL).prop_map(Mood::Missed),
        2 => select(&[MissedCause::AgentStopped, MissedCause::Overloaded][..]).prop_map(Mood::Missed),
        1 => Just(Mood::Silent),
        1 => Just(Mood::Drops),
    ]
}

/// What is really so, for all agents or for every other one (a region): from, length, state.
type Outage = (i64, i64, ProbeState, Option<bool>);

#[derive(Debug, Clone)]
struct Plan {
    start: i64,
    moods: Vec<(Mood, u64)>,
    loose: Vec<Put>,
    assigned: Vec<(i64, i64)>,
    /// Which records come twice, and where each is put among the others.
    order: Vec<Index>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let assigned = prop_oneof![3 => Just(vec![(-5, END + 5)]), 1 => some_spans(2)];
    let loose =
        vec(
            (seen(), 0..6_u32, -20..END + 20, 1..30_u64, 1..4_u64)
                .prop_map(|(seen, revision, first, step, count)| Put { seen, revision, first, step, count }),
            0..4,
        );
    (0..6_i64, vec((mood(), 1..8_u64), 0..10), loose, assigned, vec(any::<Index>(), 8))
        .prop_map(|(start, moods, loose, assigned, order)| Plan { start, moods, loose, assigned, order })
}

impl Plan {
    /// What the agent sends: at each of its slots what its mood and the world say, slots as far apart as the revision in force says.
    fn agent(&self, place: usize, revisions: &[Rev], outages: &[Outage]) -> Agent {
        let (mut puts, mut dropped, mut slot) = (Vec::<Put>::new(), 0, self.start);
        for (mood, count) in &self.moods {
            for nth in 0..*count {
                let index = revisions.iter().rposition(|revision| revision.from <= slot).unwrap_or(0);
                let true_state = outages
                    .iter()
                    .find(|(from, length, _, region)| {
                        (*from..from + length).contains(&slot) && region.is_none_or(|odd| odd == (place % 2 == 1))
                    })
                    .map_or(ProbeState::Up, |(_, _, state, _)| *state);
                let seen = match mood {
                    Mood::Fine => Some(Seen::State(true_state)),
                    Mood::Says(state) => Some(Seen::State(*state)),
                    Mood::Flaps(state) => Some(Seen::State(if nth % 2 == 0 { *state } else { true_state })),
                    Mood::Missed(cause) => Some(Seen::Missed(*cause)),
                    Mood::Silent => None,
                    Mood::Drops => {
                        dropped += 1;
                        None
                    }
                };
                let interval = revisions[index].interval;
                if let Some(seen) = seen {
                    let revision = number(index);
                    match puts.last_mut() {
                        // A missed range is one record.
                        Some(last)
                            if matches!(seen, Seen::Missed(_))
                                && (last.seen, last.revision) == (seen, revision)
                                && slot == last.first + last.count as i64 * interval =>
                        {
                            last.count += 1;
                        }
                        _ => puts.push(Put { seen, revision, first: slot, step: interval as u64, count: 1 }),
                    }
                }
                slot += interval;
            }
        }
        puts.extend(&self.loose);
        // Some come twice, some late, some early.
        for (nth, place) in self.order.iter().enumerate() {
            if puts.is_empty() {
                break;
            }
            let from = place.index(puts.len());
            let moved = puts[from];
            if nth % 2 == 0 {
                puts.remove(from);
            }
            puts.insert((from * 7 + nth * 5) % (puts.len() + 1), moved);
        }
        Agent { puts, assigned: self.assigned.clone(), dropped }
    }
}

fn orders(agents: usize) -> impl Strategy<Value = Vec<(usize, i64, About, Order)>> {
    let order = prop_oneof![
        3 => (1..60_i64).prop_map(Order::Suspend),
        1 => Just(Order::Resume),
        4 => (0..4_u32).prop_map(|halves| Order::Weight(halves * 500)),
    ];
    vec((-5..END, 0..=2 * agents, order, any::<bool>()), 0..7).prop_map(move |drawn| {
        let mut orders: Vec<(usize, i64, About, Order)> = Vec::new();
        for (nth, (at, about, order, first)) in drawn.into_iter().enumerate() {
            let about = match about {
                0 => About::Check,
                n if n % 2 == 1 => About::Agent(n / 2),
                n => About::CheckOn(n / 2 - 1),
            };
            if matches!((about, order), (About::Check, Order::Weight(_))) {
                continue;
            }
            let order = match order {
                Order::Suspend(length) => Order::Suspend(at + length),
                Order::Resume | Order::Weight(_) => order,
            };
            let place = if first { 0 } else { orders.len() };
            orders.insert(place, (nth, at, about, order));
        }
        orders
    })
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let lives = prop_oneof![
        4 => Just(vec![(0, END)]),
        1 => (0..40_i64, 60..END).prop_map(|life| vec![life]),
        1 => (0..30_i64, 40..70_i64, 0..30_i64, 110..END).prop_map(|(a, b, gap, c)| vec![(a, b), (b + gap, c)]),
    ];
    let period = prop_oneof![
        1 => Just((0, END)),
        2 => (0..100_i64, 0..100_i64).prop_map(|(from, length)| (from, from + length)),
    ];
    let outage = (0..END, 1..40_i64, select(&[ProbeState::Down, ProbeState::Down, ProbeState::Degraded][..]));
    let outages = vec((outage, proptest::option::of(any::<bool>())), 0..4);
    let plans = prop_oneof![1 => vec(plan(), 1), 2 => vec(plan(), 0..5)];
    (revisions(), plans, outages, windows(), lives, period)
        .prop_flat_map(|(revisions, plans, outages, windows, lives, period)| {
            let outages: Vec<Outage> =
                outages.into_iter().map(|((from, length, state), region)| (from, length, state, region)).collect();
            let agents: Vec<Agent> =
                plans.iter().enumerate().map(|(place, plan)| plan.agent(place, &revisions, &outages)).collect();
            (orders(agents.len()), Just((revisions, agents, windows, lives, period)))
        })
        .prop_map(|(orders, (revisions, agents, windows, lives, period))| World {
            revisions,
            agents,
            orders,
            windows,
            lives,
            period,
        })
}

/// The world as the model takes it.
pub(crate) struct Real {
    pub(crate) revisions: Vec<(UtcMicros, Revision, Policy)>,
    pub(crate) series: Vec<Series>,
    pub(crate) log: ControlLog,
    /// The world as the naive model takes it: what is known of each second.
    pub(crate) records: Vec<BTreeMap<i64, Obs>>,
}

/// Scales seconds to microseconds.
pub(crate) fn scaled(put: &Put) -> Put {
    Put { first: put.first * SECOND_US, step: put.step * SECOND_US as u64, ..*put }
}

impl World {
    pub(crate) fn real(&self) -> Real {
        let revisions = self.revisions.iter().enumerate().map(|(index, revision)| {
            let policy = Policy {
                interval_us: (revision.interval * SECOND_US) as u64,
                timeout_us: (revision.timeout * SECOND_US) as u64,
                weight: Weight::ONE,
                quorum: revision.quorum,
                confirmations: revision.confirmations,
                recoveries: revision.recoveries,
            };
            (at(revision.from), Revision(number(index)), policy)
        });
        let mut log = ControlLog::new();
        for (nth, second, about, order) in &self.orders {
            let scope = match about {
                About::Agent(agent) => Scope::Agent(AgentNo(*agent as u32)),
                About::CheckOn(agent) => Scope::AgentCheck(AgentNo(*agent as u32), CHECK),
                About::Check => Scope::Check(CHECK),
            };
            let change = match order {
                Order::Suspend(until) => Change::Suspend { until: at(*until), reason: "why".to_string() },
                Order::Resume => Change::Resume,
                Order::Weight(weight) => Change::Weight(Weight(*weight)),
            };
            let id = EventId { author: "collector:cli".to_string(), number: *nth as u64 + 1 };
            log.insert(ControlEvent { id, at: at(*second), scope, change });
        }
        let (mut series, mut records) = (Vec::new(), Vec::new());
        for agent in &self.agents {
            let (mut one, mut map) = (Series::new(), BTreeMap::new());
            for put in &agent.puts {
                scaled(put).into_series(&mut one);
                put.into_map(&mut map);
            }
            series.push(one);
            records.push(map);
        }
        Real { revisions: revisions.collect(), series, log, records }
    }

    pub(crate) fn period(&self) -> Span {
        span(self.period.0, self.period.1)
    }

    pub(crate) fn lives(&self) -> Vec<Span> {
        spans(&self.lives)
    }
}

impl Real {
    pub(crate) fn view(&self, life: Span) -> CheckView<'_> {
        CheckView { revisions: &self.revisions, life }
    }

    pub(crate) fn voters<'a>(&'a self, world: &World) -> Vec<Voter<'a>> {
        let voter = |(index, agent): (usize, &Agent)| {
            let number = AgentNo(index as u32);
            Voter {
                assigned: spans(&agent.assigned),
                suspended: self.log.suspended_spans(number, CHECK),
                weights: self.log.weights(number, CHECK),
                series: &self.series[index],
            }
        };
        world.agents.iter().enumerate().map(voter).collect()
    }
}

/// What a generator never meets, no property over it can hold. Of a few hundred worlds, always the same, some meet each of these.
#[test]
fn worlds_are_rich() {
    let mut met: BTreeMap<String, u32> = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..400 {
        let world = world().new_tree(&mut runner).unwrap().current();
        let real = world.real();
        let voters = real.voters(&world);
        let mut here = BTreeSet::new();
        for life in world.lives() {
            for one in verdicts(&real.view(life), &voters, &spans(&world.windows), world.period()) {
                here.insert(one.verdict.to_string());
                here.extend(one.unknown_cause.map(|cause| cause.to_string()));
                here.extend(one.quorum_reduced.then(|| "quorum reduced".to_string()));
                let (down, live) = one.share_down;
                here.extend((0 < down && down < live).then(|| "a share".to_string()));
            }
        }
        let (log, revisions) = (&real.log, &world.revisions);
        let agents = || (0..world.agents.len()).map(|agent| AgentNo(agent as u32));
        let facts = [
            ("retired and back", world.lives.len() > 1),
            ("several revisions", revisions.len() > 1),
            ("another quorum", revisions.windows(2).any(|pair| pair[0].quorum != pair[1].quorum)),
            ("another interval", revisions.windows(2).any(|pair| pair[0].interval != pair[1].interval)),
            (
                "weight 0",
                agents().any(|agent| log.weights(agent, CHECK).iter().any(|(_, weight)| *weight == Weight::ZERO)),
            ),
            ("a weight that changes twice", agents().any(|agent| log.weights(agent, CHECK).len() > 2)),
            ("two suspensions", agents().any(|agent| log.suspended_spans(agent, CHECK).len() > 1)),
            ("assigned twice", world.agents.iter().any(|agent| agent.assigned.len() > 1)),
            ("windows that overlap", union(spans(&world.windows)).len() < world.windows.len()),
            ("tombstones", world.agents.iter().any(|agent| agent.dropped > 0)),
            ("a missed range", world.agents.iter().flat_map(|agent| &agent.puts).any(|put| put.count > 2)),
            ("holes", (0..world.agents.len()).any(|agent| world.holes(agent, &real.records[agent]) > 0)),
        ];
        here.extend(facts.into_iter().filter(|(_, met)| *met).map(|(what, _)| what.to_string()));
        let sorted = |puts: &[Put]| puts.windows(2).all(|pair| pair[0].first <= pair[1].first);
        here.extend(world.agents.iter().any(|agent| !sorted(&agent.puts)).then(|| "another order".to_string()));
        here.into_iter().for_each(|what| *met.entry(what).or_default() += 1);
    }
    let wanted = Verdict::ALL.iter().map(ToString::to_string).chain(UnknownCause::ALL.iter().map(ToString::to_string));
    let rare: Vec<String> = wanted.filter(|what| met.get(what).is_none_or(|count| *count < 20)).collect();
    assert!(rare.is_empty() && met.len() >= 26 && met.values().all(|count| *count >= 20), "{rare:?} {met:#?}");
}
