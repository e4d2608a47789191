//! A random world with a random plan of faults, from one seed.

use sitepulse_agent::control::Request;
use sitepulse_model::check::CheckDefinition;
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::CheckNo;
use sitepulse_model::quorum::Quorum;

use super::agent::Point;
use super::link::Link;
use super::rng::Rng;
use super::site::Site;
use super::{Fault, SECOND, START, World, definition};

const INTERVALS_S: [u64; 8] = [1, 2, 3, 5, 7, 10, 15, 30];
const TIMEOUTS_US: [u64; 4] = [300_000, 900_000, 2_000_000, 5_000_000];

/// Lives one random life; what was broken in it.
pub fn live(seed: u64) -> Vec<String> {
    super::run(|| {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let ends = rng.range(180, 420) * SECOND;
        let agents: Vec<usize> = (0..rng.range(1, 3)).map(|_| rng.below(3) as usize).collect();
        let checks = rng.range(2, 4) as usize;
        let definitions: Vec<CheckDefinition> = (0..checks).map(|n| random(n, &mut rng)).collect();
        let site = Site::random(&mut rng, checks, 3, ends);
        let mut world = World::new(seed, &agents, definitions.clone(), site);
        for agent in &mut world.agents {
            agent.clock_offset_us = rng.pick(&[0, 0, 0, 700_000, -40_000_000, 900_000_000]);
            agent.in_flight_max = rng.pick(&[100, 100, 100, 1, 2]);
            agent.queue_max = rng.pick(&[16_384, 16_384, 8]);
        }
        for link in &mut world.links {
            link.bytes_per_s = rng.pick(&[1_000_000, 1_000_000, 20_000, 3_000]);
            link.delay_us = rng.range(1_000, 300_000);
            link.jitter_us = rng.range(0, 400_000);
        }
        plan(&mut world, &mut rng, ends, definitions);
        world.start();
        world.run_until(ends);
        world.finish()
    })
}

fn random(n: usize, rng: &mut Rng) -> CheckDefinition {
    let mut check = definition(n, rng.pick(&INTERVALS_S));
    change(&mut check, rng);
    check
}

/// Changes anything but the id.
fn change(check: &mut CheckDefinition, rng: &mut Rng) {
    match rng.below(6) {
        0 => check.interval_us = rng.pick(&INTERVALS_S) * SECOND as u64,
        1 => check.timeout_us = rng.pick(&TIMEOUTS_US),
        2 => {
            let quorums = [
                Quorum::Any,
                Quorum::Majority,
                Quorum::All,
                Quorum::Share(340_000),
                Quorum::Share(1_000_000),
                Quorum::Agents(2),
            ];
            check.quorum = rng.pick(&quorums);
        }
        3 => check.confirmations = rng.range(1, 3) as u32,
        4 => check.recoveries = rng.range(1, 3) as u32,
        _ => check.weight = Weight(rng.range(0, 3000) as u32),
    }
}

fn plan(world: &mut World, rng: &mut Rng, ends: i64, mut definitions: Vec<CheckDefinition>) {
    let agents = world.agents.len() as u64;
    let mut at: Vec<i64> = (0..rng.range(6, 24)).map(|_| rng.range(SECOND, ends)).collect();
    at.sort_unstable();
    let everything = definitions.clone();
    for at in at {
        let agent = rng.below(agents) as usize;
        let later = at + rng.range(1, 150) * SECOND;
        match rng.below(19) {
            0 | 1 => world.plan(at, Fault::Cut(agent)),
            2 => world.plan(at, Fault::Block(agent, rng.range(1, 180) * SECOND)),
            3 => {
                let bytes_per_s = rng.pick(&[500, 4_000, 1_000_000]);
                let (delay_us, jitter_us) = (rng.range(1_000, 900_000), rng.range(0, 2_000_000));
                world.plan(at, Fault::Path(agent, Link { delay_us, jitter_us, bytes_per_s, ..Link::default() }));
            }
            4 => {
                world.plan(at, Fault::CollectorKill(rng.chance(50)));
                world.plan(later, Fault::CollectorStart);
            }
            5 => world.plan(at, Fault::CollectorDiesAfterCommit),
            6 => {
                world.plan(at, Fault::CollectorFull(true));
                world.plan(later, Fault::CollectorFull(false));
            }
            7 | 8 => {
                let (power, corrupt) = (rng.chance(50), rng.chance(12));
                world.plan(at, Fault::AgentKill { agent, power, corrupt });
                let back = if rng.chance(50) { at + rng.range(0, 3 * SECOND) } else { later };
                world.plan(back, Fault::AgentStart(agent));
            }
            9 => {
                let points = [
                    Point::BeforeAssignment,
                    Point::AfterAssignment,
                    Point::AfterEvents,
                    Point::Recovering,
                    Point::Acked,
                ];
                world.plan(at, Fault::AgentDoom(agent, rng.pick(&points)));
            }
            10 => {
                world.plan(at, Fault::AgentStop(agent));
                world.plan(later, Fault::AgentStart(agent));
            }
            11 | 12 => {
                world.plan(at, Fault::AgentFull(agent, true));
                world.plan(later, Fault::AgentFull(agent, false));
            }
            13 => {
                let by =
                    rng.pick(&[-3600, -600, -90, -20, -3, 3, 20, 90, 600, 3600]) * SECOND + rng.range(-SECOND, SECOND);
                world.plan(at, Fault::Clock(agent, by));
            }
            14 | 15 => {
                let order = agent_order(world, agent, at, rng);
                world.plan(at, Fault::AgentOrder(agent, order));
            }
            16 => {
                let (scope, change) = collector_order(world, agent, at, rng, everything.len());
                world.plan(at, Fault::CollectorOrder(scope, change));
            }
            _ => {
                if rng.chance(20) && definitions.len() > 1 {
                    definitions.remove(rng.below(definitions.len() as u64) as usize);
                } else if rng.chance(30) {
                    for check in &everything {
                        if !definitions.iter().any(|known| known.id == check.id) {
                            definitions.push(check.clone());
                        }
                    }
                } else {
                    let one = rng.below(definitions.len() as u64) as usize;
                    change(&mut definitions[one], rng);
                    definitions[one].regions = None;
                    if rng.chance(30) {
                        let region = rng.below(3) as usize;
                        definitions[one] = world.only_in(definitions[one].clone(), &[region]);
                    }
                }
                world.plan(at, Fault::Apply(definitions.clone()));
            }
        }
    }
}

fn agent_order(world: &World, agent: usize, at: i64, rng: &mut Rng) -> Request {
    let check = rng.chance(60).then(|| format!("check-{}", rng.below(4)));
    match rng.below(4) {
        0 | 1 => {
            let wall = world.agents[agent].wall(at);
            let until_us =
                wall.plus_us(rng.range(4000, 4200) * SECOND * i64::from(rng.chance(20)) + rng.range(1, 200) * SECOND).0;
            Request::Suspend { check, until_us, reason: "work".to_owned() }
        }
        2 => Request::Resume { check },
        _ => Request::Weight { check, weight: rng.pick(&["0", "0.5", "2", "3.125"]).to_owned() },
    }
}

fn collector_order(world: &World, agent: usize, at: i64, rng: &mut Rng, checks: usize) -> (Scope, Change) {
    let number = world.agents[agent].identity.agent;
    let check = CheckNo(1 + rng.below(checks as u64) as u32);
    let scope = rng.pick(&[Scope::Agent(number), Scope::AgentCheck(number, check), Scope::Check(check)]);
    let change = match rng.below(4) {
        0 | 1 => {
            let until = START.plus_us(at + rng.range(1, 200) * SECOND);
            Change::Suspend { until, reason: "work".to_owned() }
        }
        2 if !matches!(scope, Scope::Check(_)) => Change::Weight(Weight(rng.range(0, 4000) as u32)),
        _ => Change::Resume,
    };
    (scope, change)
}
