//! A synthetic ledger: what each agent found of each check, slot by slot, from one seed.
//!
//! Things happen to checks and agents at instants and for durations that know nothing of the interval, at the same rate in every month: outages that all agents
//! see, outages of one region, slow hours, blips of seconds that one agent sees, agents that stop for hours. So a check that is probed five times as
//! often has five times the results of the same history. No record is doubled.

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::control::Weight;
use sitepulse_model::id::{AgentName, CheckId};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::ProbeState;
use sitepulse_model::schedule::Lattice;
use sitepulse_model::series::{Obs, Run, Seen, Series};
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};
use sitepulse_tests::sim::{definition, rng::Rng};

const MINUTE: i64 = 60 * SECOND_US;
const HOUR: i64 = 60 * MINUTE;
/// A day, in microseconds.
pub(crate) const DAY: i64 = 24 * HOUR;
/// What is told as rates is told for so long.
const MONTH: i64 = 30 * DAY;

/// The size of a ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Checks.
    pub(crate) checks: usize,
    /// Agents, each in a region of its own; every one runs every check.
    pub(crate) agents: usize,
    /// Distance of two runs, in seconds.
    pub(crate) interval_s: u64,
    /// Length.
    pub(crate) days: u64,
}

impl Size {
    /// Slots of all pairs.
    pub(crate) fn slots(&self) -> u64 {
        (self.checks * self.agents) as u64 * self.days * 86_400 / self.interval_s
    }
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A result.
    Found(ProbeState),
    /// The agent did not run.
    Stopped,
}

/// A history.
pub(crate) struct Ledger {
    pub(crate) size: Size,
    /// When it begins.
    pub(crate) from: UtcMicros,
    /// Each check's outages and slow hours, then each region's outages of that check, then each pair's blips, as steps of the worst: by check, then agent.
    steps: Vec<Vec<Vec<(UtcMicros, ProbeState)>>>,
    /// When each agent is stopped.
    pub(crate) stopped: Vec<Vec<Span>>,
}

impl Ledger {
    /// The history that `seed` gives, beginning at `from`.
    pub(crate) fn new(seed: u64, size: Size, from: UtcMicros) -> Self {
        let length = size.days as i64 * DAY;
        let mut rng = Rng::new(seed);
        let mut episodes = |monthly: i64, shortest: i64, longest: i64, state: ProbeState| -> Vec<(Span, ProbeState)> {
            let count = (monthly * length / MONTH).max(1);
            let mut some = Vec::new();
            for _ in 0..count {
                let at = from.plus_us(rng.range(0, length - 1));
                some.push((Span::new(at, at.plus_us(rng.range(shortest, longest))), state));
            }
            some
        };
        let stopped = (0..size.agents)
            .map(|_| {
                let spans =
                    episodes(2, HOUR, 8 * HOUR, ProbeState::Unknown).into_iter().map(|(span, _)| span).collect();
                sitepulse_model::time::union(spans)
            })
            .collect();
        let steps = (0..size.checks)
            .map(|_| {
                let mut common = episodes(3, 3 * MINUTE, HOUR, ProbeState::Down);
                common.extend(episodes(3, 10 * MINUTE, 2 * HOUR, ProbeState::Degraded));
                (0..size.agents)
                    .map(|_| {
                        let mut all = common.clone();
                        all.extend(episodes(1, 5 * MINUTE, HOUR, ProbeState::Down));
                        all.extend(episodes(8, 10 * SECOND_US, 200 * SECOND_US, ProbeState::Down));
                        worst(&all)
                    })
                    .collect()
            })
            .collect();
        Self { size, from, steps, stopped }
    }

    /// When it ends.
    pub(crate) fn to(&self) -> UtcMicros {
        self.from.plus_us(self.size.days as i64 * DAY)
    }

    /// The newest thirty days.
    pub(crate) fn month(&self) -> Span {
        Span::new(self.to().plus_us(-MONTH), self.to())
    }

    /// The checks' definitions, in order.
    pub(crate) fn definitions(&self) -> Vec<CheckDefinition> {
        let plain = |n| CheckDefinition {
            quorum: Quorum::Majority,
            weight: Weight::ONE,
            ..definition(n, self.size.interval_s)
        };
        (0..self.size.checks).map(plain).collect()
    }

    /// The id of a check.
    pub(crate) fn check(n: usize) -> CheckId {
        CheckId::parse(&format!("check-{n}")).expect("a slug")
    }

    /// The name of an agent.
    pub(crate) fn agent(n: usize) -> AgentName {
        AgentName::parse(&format!("agent-{n}")).expect("a slug")
    }

    /// The slots of a pair.
    pub(crate) fn lattice(&self, check: usize, agent: usize) -> Lattice {
        Lattice::new(&Self::check(check), &Self::agent(agent), self.size.interval_s * SECOND_US as u64)
    }

    /// Reads a pair's slots at ascending instants.
    pub(crate) fn reader(&self, check: usize, agent: usize) -> Reader<'_> {
        Reader { steps: &self.steps[check][agent], state: ProbeState::Up, stopped: &self.stopped[agent] }
    }

    /// A pair's observations, without going slot by slot where nothing happens.
    pub(crate) fn series(&self, check: usize, agent: usize) -> Series {
        let lattice = self.lattice(check, agent);
        let mut borders: Vec<UtcMicros> = self.steps[check][agent].iter().map(|(at, _)| *at).collect();
        borders.extend(self.stopped[agent].iter().flat_map(|span| [span.from, span.to]));
        borders.extend([self.from, self.to()]);
        borders.retain(|at| self.from <= *at && *at <= self.to());
        borders.sort_unstable();
        borders.dedup();
        let mut reader = self.reader(check, agent);
        let mut series = Series::new();
        for pair in borders.windows(2) {
            let (first, last) = (lattice.at_or_after(pair[0]), lattice.at_or_before(pair[1].plus_us(-1)));
            let count = lattice.count(first, last);
            if count == 0 {
                continue;
            }
            let seen = match reader.at(first) {
                Slot::Found(state) => Seen::State(state),
                Slot::Stopped => Seen::Missed(sitepulse_model::record::MissedCause::AgentStopped),
            };
            let step_us = if count == 1 { 0 } else { lattice.interval_us };
            let run = Run { first, step_us, count, obs: Obs { seen, revision: sitepulse_model::id::Revision(1) } };
            series.insert_run(run).expect("a sound run");
        }
        series
    }
}

/// Reads a pair's slots at ascending instants.
pub(crate) struct Reader<'l> {
    steps: &'l [(UtcMicros, ProbeState)],
    state: ProbeState,
    stopped: &'l [Span],
}

impl Reader<'_> {
    /// What the slot at `at` holds.
    pub(crate) fn at(&mut self, at: UtcMicros) -> Slot {
        while let Some(((from, state), rest)) = self.steps.split_first()
            && *from <= at
        {
            self.state = *state;
            self.steps = rest;
        }
        while let Some((span, rest)) = self.stopped.split_first()
            && span.to <= at
        {
            self.stopped = rest;
        }
        if self.stopped.first().is_some_and(|span| span.contains(at)) { Slot::Stopped } else { Slot::Found(self.state) }
    }
}

/// The worst of some episodes at each instant, as steps; before the first, and outside of all, it is up.
fn worst(episodes: &[(Span, ProbeState)]) -> Vec<(UtcMicros, ProbeState)> {
    let mut edges: Vec<(UtcMicros, ProbeState, i32)> =
        episodes.iter().flat_map(|(span, state)| [(span.from, *state, 1), (span.to, *state, -1)]).collect();
    edges.sort_unstable_by_key(|(at, _, _)| *at);
    let (mut down, mut degraded) = (0, 0);
    let mut steps: Vec<(UtcMicros, ProbeState)> = Vec::new();
    for (at, state, change) in edges {
        if state == ProbeState::Down {
            down += change
        } else {
            degraded += change
        }
        let now = match (down, degraded) {
            (0, 0) => ProbeState::Up,
            (0, _) => ProbeState::Degraded,
            (_, _) => ProbeState::Down,
        };
        match steps.last_mut() {
            Some(last) if last.0 == at => last.1 = now,
            _ => steps.push((at, now)),
        }
    }
    steps
}

/// A result's durations, in microseconds: dns, connect, tls, first byte, transfer, total.
pub(crate) fn phases(check: usize, at: UtcMicros) -> [u64; 6] {
    let mut rng = Rng::new(at.0 as u64 ^ (check as u64) << 40);
    let mut about = |us: u64| us + rng.below(us / 4) + if rng.below(50) == 0 { rng.below(4 * us) } else { 0 };
    let own = 20_000 + (check as u64 % 37) * 3_000;
    let [dns, connect, tls, first_byte, transfer] = [2_000, own, own * 2, own * 3, 1_500].map(&mut about);
    [dns, connect, tls, first_byte, transfer, dns + connect + tls + first_byte + transfer]
}
