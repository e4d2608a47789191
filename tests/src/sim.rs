//! The simulator: the real machines of agents and collector in one thread, over virtual time, replayed from one seed.
//!
//! A [`World`] has one collector and a few agents. Real are: schedule, recovery, spool (SQLite files), state file, control desk and ship
//! session of each agent; receive sessions, ingestion, store (SQLite file) and book of the collector; every frame goes through its
//! encoding. Simulated are: time, what probes find ([`site`]), the network ([`link`]: delay, bandwidth, cuts in the middle of a frame,
//! lost acks), and the shells around the machines (tasks and threads), which are wired here as the programs wire them.
//! [`chaos`] breaks things at random; [`World::finish`] heals, drains and judges ([`oracle`]).
//!
//! A kill or power cut copies the database files as they are and goes on with the copy, so exactly what was committed survives.
//! Keys and certificates are random; nothing in a run depends on them.

pub mod agent;
pub mod chaos;
pub mod collector;
pub mod link;
pub mod rng;
pub mod site;
pub mod spooler;

mod disk;
mod log;
mod naive;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_agent::control::Request;
use sitepulse_collector::app::ApplyOptions;
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{CheckId, Region};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::time::UtcMicros;
use tempfile::TempDir;

use agent::{Agent, Here, Point};
use collector::Collector;
use link::{IDLE_US, Link, Pipe};
use rng::Rng;
use site::Site;

/// Virtual second, in microseconds.
pub const SECOND: i64 = 1_000_000;
/// Virtual hour, in microseconds.
pub const HOUR: i64 = 3600 * SECOND;
/// The instant at which every world begins. Its true time counts microseconds from here.
pub const START: UtcMicros = UtcMicros(1_790_000_000 * SECOND);

/// How long a healed world may take to drain.
const DRAIN_US_MAX: i64 = 1800 * SECOND;
/// More steps than this without time passing is a busy loop.
const STEPS_AT_ONCE_MAX: u32 = 20_000;

/// Something that happens to the world.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An agent's connection breaks.
    Cut(usize),
    /// Nothing comes through between an agent and the collector for so long.
    Block(usize, i64),
    /// An agent's path changes.
    Path(usize, Link),
    /// The collector is killed (`true`: by a power cut).
    CollectorKill(bool),
    /// The collector is killed between its next commit and the acks, and starts again later.
    CollectorDiesAfterCommit,
    /// The collector starts, if it is down.
    CollectorStart,
    /// The collector's disk fills, or gets room again.
    CollectorFull(bool),
    /// An agent is killed (`power`: by a power cut; `corrupt`: and its spool is unreadable then).
    AgentKill {
        /// Which.
        agent: usize,
        /// By a power cut.
        power: bool,
        /// Its spool is ruined.
        corrupt: bool,
    },
    /// An agent is killed when it comes to a certain point, and starts again later.
    AgentDoom(usize, Point),
    /// An agent is stopped in order.
    AgentStop(usize),
    /// An agent starts, if it is down.
    AgentStart(usize),
    /// An agent's disk fills, or gets room again.
    AgentFull(usize, bool),
    /// An agent's wall clock steps by so much.
    Clock(usize, i64),
    /// Somebody uses an agent's command line.
    AgentOrder(usize, Request),
    /// Somebody uses the collector's command line.
    CollectorOrder(Scope, Change),
    /// Check files are applied: all checks that are to be.
    Apply(Vec<CheckDefinition>),
}

struct Connection {
    agent: usize,
    up: Pipe,
    down: Pipe,
    opens_at: i64,
    opened: bool,
    agent_ends: Option<i64>,
    collector_ends: Option<i64>,
}

/// Everything, at one instant.
pub struct World {
    /// True time, microseconds since [`START`].
    pub now: i64,
    /// The randomness left.
    pub rng: Rng,
    /// The ground truth.
    pub site: Site,
    /// The agents, by their numbers.
    pub agents: Vec<Agent>,
    /// Their paths to the collector.
    pub links: Vec<Link>,
    /// The collector.
    pub collector: Collector,
    /// The regions.
    pub regions: Vec<Region>,
    /// What was applied last.
    pub definitions: Vec<CheckDefinition>,
    /// Whether what happens is printed.
    pub trace: bool,
    plan: BTreeMap<(i64, u64), Fault>,
    planned: u64,
    connections: BTreeMap<u64, Connection>,
    connections_made: u64,
    /// Each agent's own connection.
    current: Vec<Option<u64>>,
    naps: Vec<i64>,
    broken: Vec<String>,
    errors_expected: bool,
    folder: TempDir,
}

/// A plain definition: `check-N`, run everywhere.
pub fn definition(n: usize, interval_s: u64) -> CheckDefinition {
    CheckDefinition {
        id: CheckId::parse(&format!("check-{n}")).expect("a slug"),
        kind: CheckKind::http(format!("http://127.0.0.1:1/{n}")),
        interval_us: interval_s * SECOND as u64,
        timeout_us: 500_000,
        retries: 0,
        weight: Weight::ONE,
        regions: None,
        quorum: Quorum::Majority,
        confirmations: 2,
        recoveries: 1,
        expect: Vec::new(),
    }
}

/// Runs a body in which ERRORs of the code under test are noticed.
pub fn run<T>(body: impl FnOnce() -> T) -> T {
    log::listen(body)
}

impl World {
    /// A world with an agent per entry of `agents` (its region's index), running `definitions` against `site`.
    pub fn new(seed: u64, agents: &[usize], definitions: Vec<CheckDefinition>, site: Site) -> Self {
        let folder = disk::folder();
        let regions: Vec<Region> = (0..3).map(|n| Region::parse(&format!("region-{n}")).expect("a slug")).collect();
        let mut collector = Collector::new(folder.path().join("collector"));
        let made: Vec<Agent> = agents
            .iter()
            .enumerate()
            .map(|(n, region)| {
                let identity = collector.enrol(&format!("agent-{n}"), &regions[*region]);
                Agent::new(identity, *region, folder.path().join(format!("agent-{n}")))
            })
            .collect();
        let count = made.len();
        let mut world = Self {
            now: 0,
            rng: Rng::new(seed),
            site,
            agents: made,
            links: vec![Link::default(); count],
            collector,
            regions,
            definitions: Vec::new(),
            trace: std::env::var_os("SITEPULSE_SIM_TRACE").is_some(),
            plan: BTreeMap::new(),
            planned: 0,
            connections: BTreeMap::new(),
            connections_made: 0,
            current: vec![None; count],
            naps: vec![0; count],
            broken: Vec::new(),
            errors_expected: false,
            folder,
        };
        world.inflict(Fault::Apply(definitions));
        world
    }

    /// Starts every agent.
    pub fn start(&mut self) {
        for agent in 0..self.agents.len() {
            self.inflict(Fault::AgentStart(agent));
        }
    }

    /// Makes something happen later.
    pub fn plan(&mut self, at: i64, fault: Fault) {
        self.planned += 1;
        self.plan.insert((at, self.planned), fault);
    }

    /// Lets time pass.
    pub fn run_until(&mut self, until: i64) {
        self.run_while(until, |_| true);
    }

    /// Lets time pass up to `until`, while `go_on` says so.
    pub fn run_while(&mut self, until: i64, mut go_on: impl FnMut(&Self) -> bool) {
        let mut at_once = 0;
        while go_on(self) {
            let next = self.next().max(self.now);
            if next > until {
                self.now = until;
                return;
            }
            at_once = if next == self.now { at_once + 1 } else { 0 };
            assert!(at_once < STEPS_AT_ONCE_MAX, "the world turns in circles at {}", self.now);
            self.now = next;
            self.step();
        }
    }

    fn next(&self) -> i64 {
        let plan = self.plan.keys().next().map(|(at, _)| *at);
        let agents = self.agents.iter().zip(&self.naps).filter_map(|(agent, nap)| Some(agent.next()?.min(*nap)));
        let wires = self.connections.values().flat_map(|one| {
            let opens = (!one.opened).then_some(one.opens_at);
            let ends = [one.agent_ends, one.collector_ends].into_iter().flatten().filter(|at| *at > self.now);
            [opens, one.up.next(), one.down.next()].into_iter().flatten().chain(ends)
        });
        plan.into_iter().chain(agents).chain(wires).chain(self.collector.next()).min().unwrap_or(i64::MAX)
    }

    fn step(&mut self) {
        while let Some(entry) = self.plan.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let fault = entry.remove();
            self.inflict(fault);
        }
        self.carry();
        let mut wishes = Vec::new();
        let died = self.collector.tick(self.now, &mut self.rng, &mut wishes);
        self.grant_collector(wishes);
        if died {
            self.inflict(Fault::CollectorKill(false));
            let back = self.now + self.rng.range(1, 60 * SECOND);
            self.plan(back, Fault::CollectorStart);
        }
        for agent in 0..self.agents.len() {
            let due = self.agents[agent].next().is_some_and(|at| at <= self.now) || self.naps[agent] <= self.now;
            if due && self.agents[agent].is_running() {
                self.naps[agent] = self.now + Agent::nap_us();
                self.with_agent(agent, |agent, here| agent.tick(here));
                self.connect(agent);
            } else if due {
                self.naps[agent] = self.now + Agent::nap_us();
            }
        }
        self.listen();
    }

    /// Takes what was logged.
    fn listen(&mut self) {
        let errors = log::take();
        if !self.errors_expected {
            self.broken.extend(errors.into_iter().map(|error| format!("logged as an ERROR: {error}")));
        }
        if !self.collector.disk_full {
            self.errors_expected = false;
        }
    }

    fn with_agent(&mut self, number: usize, body: impl FnOnce(&mut Agent, &mut Here<'_>)) {
        let mut wishes = Vec::new();
        let mut here = Here { now: self.now, rng: &mut self.rng, site: &self.site, wishes: &mut wishes };
        body(&mut self.agents[number], &mut here);
        for wish in wishes {
            let Some(connection) = self.current[number].and_then(|id| self.connections.get_mut(&id)) else { continue };
            match wish {
                agent::Wish::Send { stream, priority, bytes } => connection.up.send(stream, priority, &bytes),
                agent::Wish::Close => {
                    let gone = connection.up.drained_at(self.now, &self.links[number]);
                    connection.agent_ends = Some(self.now);
                    connection.collector_ends = Some(connection.collector_ends.map_or(gone, |at| at.min(gone)));
                    self.current[number] = None;
                }
            }
        }
        if self.agents[number].is_dead() {
            self.inflict(Fault::AgentKill { agent: number, power: false, corrupt: false });
            let back = self.now + self.rng.range(1, 90 * SECOND);
            self.plan(back, Fault::AgentStart(number));
        }
    }

    fn grant_collector(&mut self, wishes: Vec<collector::Wish>) {
        for wish in wishes {
            match wish {
                collector::Wish::Send { connection, stream, bytes } => {
                    if let Some(connection) = self.connections.get_mut(&connection) {
                        connection.down.send(stream, u8::from(stream != 0), &bytes);
                    }
                }
                collector::Wish::Close { connection: id } => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        let gone = connection.down.drained_at(self.now, &self.links[connection.agent]);
                        connection.collector_ends = Some(self.now);
                        connection.agent_ends = Some(connection.agent_ends.map_or(gone, |at| at.min(gone)));
                    }
                }
            }
        }
    }

    /// Starts a connection if the agent wants one now.
    fn connect(&mut self, number: usize) {
        let agent = &mut self.agents[number];
        let Some(process) = &mut agent.process else { return };
        if self.current[number].is_some() || process.connect_at.is_none_or(|at| at > self.now) {
            return;
        }
        let link = &self.links[number];
        if link.blocked_until > self.now || !self.collector.is_running() {
            agent.connect_failed(self.now);
            return;
        }
        process.connect_at = None;
        self.connections_made += 1;
        self.current[number] = Some(self.connections_made);
        let connection = Connection {
            agent: number,
            up: Pipe::default(),
            down: Pipe::default(),
            opens_at: self.now + 2 * link.delay_us,
            opened: false,
            agent_ends: None,
            collector_ends: None,
        };
        self.connections.insert(self.connections_made, connection);
    }

    /// Moves bytes, opens and ends connections.
    fn carry(&mut self) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let number = connection.agent;
            if !connection.opened && connection.opens_at <= self.now {
                connection.opened = true;
                if connection.agent_ends.is_none() && connection.collector_ends.is_none() {
                    self.collector.accept(id, &self.agents[number].identity, START.plus_us(self.now));
                    self.with_agent(number, |agent, here| agent.connected(here));
                }
            }
            while let Some(connection) = self.connections.get_mut(&id) {
                connection.up.pump(self.now, &self.links[number], &mut self.rng);
                connection.down.pump(self.now, &self.links[number], &mut self.rng);
                let agent_there = connection.agent_ends.is_none_or(|at| at > self.now);
                let collector_there = connection.collector_ends.is_none_or(|at| at > self.now);
                if let Some((stream, bytes)) = connection.up.pop(self.now) {
                    if collector_there {
                        let mut wishes = Vec::new();
                        self.collector.receive(id, stream, &bytes, self.now, &mut self.rng, &mut wishes);
                        self.grant_collector(wishes);
                    }
                } else if let Some((stream, bytes)) = connection.down.pop(self.now) {
                    if agent_there && self.current[number] == Some(id) {
                        self.with_agent(number, |agent, here| agent.receive(stream, &bytes, here));
                    }
                } else {
                    break;
                }
            }
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let agent_gone = connection.agent_ends.is_some_and(|at| at <= self.now);
            let collector_gone = connection.collector_ends.is_some_and(|at| at <= self.now);
            let (agent_ends, collector_ends) = (connection.agent_ends, connection.collector_ends);
            if agent_gone && self.current[number] == Some(id) {
                self.current[number] = None;
                if connection.opened && self.agents[number].process.is_some() {
                    self.agents[number].disconnected(self.now);
                }
                if let Some(process) = &mut self.agents[number].process {
                    process.connect_at.get_or_insert(self.now);
                }
            }
            if collector_gone {
                self.collector.peers.remove(&id);
            }
            if agent_gone && collector_gone {
                self.connections.remove(&id);
            } else if let Some(connection) = self.connections.get_mut(&id) {
                // An end that was noticed is no event any more; whoever is left notices later.
                match (agent_ends, collector_ends) {
                    (Some(_), None) => connection.collector_ends = Some(self.now + IDLE_US),
                    (None, Some(_)) => connection.agent_ends = Some(self.now + IDLE_US),
                    (Some(_), Some(_)) | (None, None) => {}
                }
            }
        }
    }

    /// Ends an agent's connections: each side notices in its own time.
    fn cut(&mut self, number: usize, agent_us: i64, collector_us: i64) {
        for connection in self.connections.values_mut().filter(|connection| connection.agent == number) {
            let (agent, collector) = (self.now + agent_us, self.now + collector_us);
            connection.agent_ends = Some(connection.agent_ends.map_or(agent, |at| at.min(agent)));
            connection.collector_ends = Some(connection.collector_ends.map_or(collector, |at| at.min(collector)));
        }
    }

    /// Makes something happen now.
    pub fn inflict(&mut self, fault: Fault) {
        if self.trace {
            eprintln!("{:>12.6} {fault:?}", self.now as f64 / 1e6);
        }
        match fault {
            Fault::Cut(agent) => {
                let (a, b) = (self.rng.range(0, 3 * SECOND), self.rng.range(0, 3 * SECOND));
                self.cut(agent, a, b);
            }
            Fault::Block(agent, us) => {
                let until = self.now + us;
                self.links[agent].blocked_until = until;
                for connection in self.connections.values_mut().filter(|connection| connection.agent == agent) {
                    connection.up.block(until);
                    connection.down.block(until);
                }
                if us >= IDLE_US {
                    let late = self.rng.range(0, 2 * SECOND);
                    self.cut(agent, IDLE_US, IDLE_US + late);
                }
            }
            Fault::Path(agent, link) => self.links[agent] = link,
            Fault::CollectorKill(power) => {
                if self.collector.is_running() {
                    self.collector.kill(power.then_some(&mut self.rng));
                    for agent in 0..self.agents.len() {
                        let notices = self.rng.range(0, IDLE_US);
                        self.cut(agent, notices, 0);
                    }
                }
            }
            Fault::CollectorDiesAfterCommit => self.collector.dies_after_commit = true,
            Fault::CollectorStart => {
                if !self.collector.is_running() {
                    self.collector.start(self.now);
                }
            }
            Fault::CollectorFull(full) => {
                self.errors_expected = true;
                self.collector.set_disk_full(full);
            }
            Fault::AgentKill { agent, power, corrupt } => {
                if self.agents[agent].process.is_some() {
                    self.agents[agent].kill(power, corrupt, &mut self.rng);
                    let notices = self.rng.range(0, IDLE_US);
                    self.cut(agent, 0, notices);
                    self.current[agent] = None;
                }
            }
            Fault::AgentDoom(agent, point) => self.agents[agent].doom = Some(point),
            Fault::AgentStop(agent) => {
                if self.agents[agent].is_running() {
                    self.with_agent(agent, |agent, here| agent.stop(here));
                    self.cut(agent, 0, SECOND);
                    self.current[agent] = None;
                }
            }
            Fault::AgentStart(agent) => {
                if self.agents[agent].process.is_none() {
                    self.with_agent(agent, |agent, here| agent.start(here));
                    self.naps[agent] = self.now;
                }
            }
            Fault::AgentFull(agent, full) => self.agents[agent].set_disk_full(full),
            Fault::Clock(agent, by) => self.agents[agent].step_clock(self.now, by),
            Fault::AgentOrder(agent, request) => self.with_agent(agent, |agent, here| agent.order(&request, here)),
            Fault::CollectorOrder(scope, change) => {
                let (now, full) = (START.plus_us(self.now), self.collector.disk_full);
                if let Some(engine) = &mut self.collector.engine {
                    let given = engine.control(scope, change, "collector:cli", now);
                    assert!(given.is_ok() || full, "an order is refused: {given:?}");
                    self.spread();
                }
            }
            Fault::Apply(definitions) => {
                let options = ApplyOptions { prune: true, dry_run: false, author: "collector:cli".to_owned() };
                let (now, full) = (START.plus_us(self.now), self.collector.disk_full);
                if let Some(engine) = &mut self.collector.engine {
                    let plan = engine.apply(definitions.clone(), &options, now);
                    assert!(plan.is_ok() || full, "definitions are refused: {plan:?}");
                    if plan.is_ok() {
                        self.definitions = definitions;
                    }
                    self.spread();
                }
            }
        }
    }

    fn spread(&mut self) {
        let mut wishes = Vec::new();
        self.collector.spread(self.now, &mut wishes);
        self.grant_collector(wishes);
    }

    /// Ends every trouble: paths are good, disks have room, everybody runs.
    pub fn heal(&mut self) {
        if self.trace {
            eprintln!("{:>12.6} heal", self.now as f64 / 1e6);
        }
        self.plan.clear();
        self.collector.dies_after_commit = false;
        self.inflict(Fault::CollectorStart);
        if self.collector.disk_full {
            self.inflict(Fault::CollectorFull(false));
        }
        for agent in 0..self.agents.len() {
            self.agents[agent].doom = None;
            self.links[agent] = Link::default();
            self.inflict(Fault::AgentFull(agent, false));
            self.inflict(Fault::AgentStart(agent));
        }
    }

    /// Heals, drains, and gives every breach of what must hold. Empty is good.
    pub fn finish(&mut self) -> Vec<String> {
        self.heal();
        self.run_until(self.now + 60 * SECOND);
        for agent in 0..self.agents.len() {
            self.with_agent(agent, |agent, here| agent.quiesce(here));
        }
        let deadline = self.now + DRAIN_US_MAX;
        self.run_while(deadline, |world| world.now < deadline && !world.agents.iter().all(Agent::is_drained));
        // The last acks of control events are under way still.
        self.run_until(self.now + 10 * SECOND);
        for agent in self.agents.iter().filter(|agent| !agent.is_drained()) {
            self.broken.push(format!("{} did not drain: {} records wait", agent.identity.name, agent.spooled()));
        }
        self.broken.append(&mut self.collector.broken);
        let mut broken = std::mem::take(&mut self.broken);
        broken.extend(oracle::judge(self));
        broken.extend(log::take().into_iter().map(|error| format!("logged as an ERROR: {error}")));
        broken
    }

    /// The figures of a check over a span of true time.
    pub fn account(&self, check: u32, from: i64, to: i64) -> sitepulse_model::sla::Account {
        let engine = self.collector.engine.as_ref().expect("the collector runs");
        let period = sitepulse_model::time::Span::new(START.plus_us(from), START.plus_us(to));
        let check = sitepulse_model::id::CheckNo(check);
        engine.shared().book().account(check, &sitepulse_collector::book::Filter::All, period).expect("a known check")
    }

    /// Limits where a check runs.
    pub fn only_in(&self, mut definition: CheckDefinition, regions: &[usize]) -> CheckDefinition {
        definition.regions = Some(regions.iter().map(|n| self.regions[*n].clone()).collect::<BTreeSet<_>>());
        definition
    }
}
