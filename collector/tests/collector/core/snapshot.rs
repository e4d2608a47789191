//! The snapshot that is made from what was kept equals the one from scratch, whatever happened in between.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sitepulse_collector::book::Book;
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::present::view::Snapshot;
use sitepulse_collector::present::view::keep::Keeper;
use sitepulse_daemon::instant;
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{AgentName, AgentNo, CheckNo, Seq};
use sitepulse_model::record::{Missed, MissedCause, ProbeState, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::Entry;

use super::world::{INTERVAL_US, SECOND, START, at, batch, enrol, in_memory, options, result};

const CHECKS: [&str; 3] = ["shop", "mail", "dns"];
/// Carries the group and the tag that windows name.
const ANCHOR: &str =
    "[[check]]\nid = \"anchor\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ngroup = \"web\"\ntags = [\"eu\"]\n";

/// A check as it is written.
#[derive(Debug, Clone, Copy)]
struct Shape {
    confirmations: u8,
    recoveries: u8,
    weight: u8,
    group: bool,
    tagged: bool,
    one_region: bool,
    any: bool,
}

const PLAIN: Shape =
    Shape { confirmations: 2, recoveries: 1, weight: 1, group: false, tagged: false, one_region: false, any: false };

#[derive(Debug, Clone, Copy)]
enum What {
    /// `count` results up to the slot that is `late` slots before now.
    Results {
        agent: usize,
        check: usize,
        late: u16,
        count: u16,
        state: ProbeState,
    },
    Missed {
        agent: usize,
        check: usize,
        late: u16,
        count: u16,
        cause: MissedCause,
    },
    Suspend {
        scope: usize,
        agent: usize,
        check: usize,
        seconds: u32,
    },
    Resume {
        scope: usize,
        agent: usize,
        check: usize,
    },
    Weigh {
        scope: usize,
        agent: usize,
        check: usize,
        weight: u16,
    },
    Apply {
        check: usize,
        shape: Shape,
    },
    /// Retires a check.
    Retire {
        check: usize,
    },
    /// A maintenance window over the tag, the group or a check.
    Window {
        of: usize,
        from_s: i32,
        minutes: u16,
    },
    Revoke {
        agent: usize,
    },
    Enrol,
    Settle,
    Pass {
        seconds: u32,
    },
    /// The clock goes back.
    Back {
        seconds: u32,
    },
}

struct World {
    engine: Engine,
    agents: Vec<(AgentNo, AgentName)>,
    checks: Vec<CheckNo>,
    shapes: BTreeMap<usize, Shape>,
    windows: Vec<String>,
    seqs: BTreeMap<AgentNo, u64>,
    now: UtcMicros,
}

impl World {
    fn new() -> Self {
        let mut engine = in_memory();
        let agents = ["eu-west", "eu-west", "us-east"].map(|region| enrol(&mut engine, region, None));
        let agents = agents.into_iter().map(|joined| (joined.agent, joined.name)).collect();
        let shapes = (0..CHECKS.len()).map(|check| (check, PLAIN)).collect();
        let (windows, seqs) = (Vec::new(), BTreeMap::new());
        let mut world = Self { engine, agents, checks: Vec::new(), shapes, windows, seqs, now: at(60) };
        world.apply();
        let book = world.engine.shared().book();
        let number = |id: &str| book.checks().find(|check| check.id.as_str() == id).unwrap().number;
        let checks = CHECKS.map(number).to_vec();
        drop(book);
        world.checks = checks;
        world
    }

    fn apply(&mut self) {
        let check = |(at, shape): (&usize, &Shape)| {
            let Shape { confirmations, recoveries, weight, group, tagged, one_region, any } = *shape;
            let mut text = format!(
                "[[check]]\nid = \"{}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"30s\"\nweight = {weight}\nconfirmations = {confirmations}\nrecoveries = {recoveries}\n",
                CHECKS[*at]
            );
            for (on, line) in [
                (group, "group = \"web\"\n"),
                (tagged, "tags = [\"eu\"]\n"),
                (one_region, "regions = [\"us-east\"]\n"),
                (any, "quorum = \"any\"\n"),
            ] {
                text.push_str(if on { line } else { "" });
            }
            text
        };
        let text: String = self.shapes.iter().map(check).chain(self.windows.iter().cloned()).collect();
        let text = ANCHOR.to_owned() + &text;
        let written = checkfile::parse(&[Source { name: "a.toml".into(), text }]).unwrap();
        let options = sitepulse_collector::app::ApplyOptions { prune: true, ..options() };
        self.engine.apply(written, &options, self.now).unwrap();
    }

    fn scope(&self, scope: usize, agent: usize, check: usize) -> Scope {
        let (agent, check) = (self.agents[agent % self.agents.len()].0, self.checks[check]);
        [Scope::Agent(agent), Scope::AgentCheck(agent, check), Scope::Check(check)][scope]
    }

    /// The slots of a pair: the last `count` of those up to `late` slots before now.
    fn slots(&self, agent: usize, check: usize, late: u16, count: u16) -> (AgentNo, Vec<UtcMicros>) {
        let (number, name) = &self.agents[agent % self.agents.len()];
        let book = self.engine.shared().book();
        let lattice = Lattice::new(&book.check(self.checks[check]).unwrap().id, name, INTERVAL_US);
        let step = INTERVAL_US.cast_signed();
        let last = lattice.at_or_before(self.now.plus_us(-step * i64::from(late)));
        let slots = (0..i64::from(count)).rev().map(|back| last.plus_us(-step * back));
        (*number, slots.filter(|slot| *slot >= START).collect())
    }

    fn ingest(&mut self, agent: AgentNo, records: Vec<Record>) {
        let entries = records.into_iter().map(|record| {
            let book = self.engine.shared().book();
            let bucket = book.check(record.check()).unwrap().bucket();
            let seq = self.seqs.entry(agent).or_default();
            *seq += 1;
            Entry { bucket, seq: Seq(*seq), provenance: 0, record }
        });
        let batch = batch(1, entries.collect());
        let (sent, received_at) = (batch.entries.len() as u64, self.now);
        let outcomes = self.engine.ingest(vec![IngestJob { agent, received_at, batch }]).unwrap();
        assert_eq!(outcomes[0].stored, sent, "the records make sense");
    }

    /// The revision that a run at this slot would name.
    fn revision(&self, check: usize, slot: UtcMicros) -> sitepulse_model::id::Revision {
        let book = self.engine.shared().book();
        let check = book.check(self.checks[check]).unwrap();
        check.at(slot).unwrap_or(&check.revisions[0]).revision
    }

    fn step(&mut self, what: What) {
        match what {
            What::Results { agent, check, late, count, state } => {
                let (agent, slots) = self.slots(agent, check, late, count);
                let records = slots.into_iter().map(|slot| {
                    let mut record = result(self.checks[check], 0, state);
                    if let Record::Result(result) = &mut record {
                        (result.scheduled, result.started) = (slot, slot);
                        result.revision = self.revision(check, slot);
                        result.phases.total = Some(1000 + slot.0.unsigned_abs() % 977);
                    }
                    record
                });
                let records = records.collect();
                self.ingest(agent, records);
            }
            What::Missed { agent, check, late, count, cause } => {
                let (agent, slots) = self.slots(agent, check, late, count);
                if let (Some(first), Some(last)) = (slots.first(), slots.last()) {
                    let (first, last, count) = (*first, *last, slots.len() as u64);
                    let (revision, check) = (self.revision(check, first), self.checks[check]);
                    self.ingest(agent, vec![Record::Missed(Missed { check, revision, first, last, count, cause })]);
                }
            }
            What::Suspend { scope, agent, check, seconds } => {
                let until = self.now.plus_us(i64::from(seconds) * SECOND);
                self.control(self.scope(scope, agent, check), Change::Suspend { until, reason: "moves".into() });
            }
            What::Resume { scope, agent, check } => self.control(self.scope(scope, agent, check), Change::Resume),
            What::Weigh { scope, agent, check, weight } => {
                self.control(self.scope(scope, agent, check), Change::Weight(Weight(u32::from(weight) * 500)));
            }
            What::Apply { check, shape } => {
                self.shapes.insert(check, shape);
                self.apply();
            }
            What::Retire { check } => {
                if check == 0 && self.windows.iter().any(|window| window.contains("shop")) {
                    return;
                }
                self.shapes.remove(&check);
                self.apply();
            }
            What::Window { of, from_s, minutes } => {
                let names = ["tags = [\"eu\"]", "groups = [\"web\"]", "checks = [\"shop\"]"][of];
                if of == 2 && !self.shapes.contains_key(&0) {
                    return;
                }
                let from = self.now.plus_us(i64::from(from_s) * SECOND);
                let from = instant::format(UtcMicros(from.0 - from.0.rem_euclid(SECOND)));
                let id = self.windows.len();
                self.windows.push(format!(
                    "[[maintenance]]\nid = \"w{id}\"\n{names}\nfrom = \"{from}\"\nlasts = \"{minutes}m\"\n"
                ));
                self.apply();
            }
            What::Revoke { agent } => {
                let name = self.agents[agent % self.agents.len()].1.clone();
                self.engine.revoke_agent(&name, self.now).unwrap();
            }
            What::Enrol => {
                let joined = enrol(&mut self.engine, "ap-south", None);
                self.agents.push((joined.agent, joined.name));
            }
            What::Settle => {
                self.engine.settle(self.now, true).unwrap();
            }
            What::Pass { seconds } => self.now = self.now.plus_us(i64::from(seconds) * SECOND + 137),
            What::Back { seconds } => self.now = self.now.plus_us(-i64::from(seconds) * SECOND).max(at(61)),
        }
    }

    fn control(&mut self, scope: Scope, change: Change) {
        self.engine.control(scope, change, "collector:cli", self.now).unwrap();
    }
}

/// All that a snapshot says, floats to their last bit.
fn told(snapshot: &Snapshot) -> Vec<String> {
    let checks = snapshot.checks.iter().map(|check| format!("{check:?}"));
    let strips = snapshot.strips.iter().map(|strip| format!("{strip:?}"));
    let rest = [
        format!("{:?}", snapshot.now),
        format!("{:?}", snapshot.agents),
        format!("{:?}", snapshot.runs),
        format!("{:?}", snapshot.global),
        format!("{:?}", snapshot.groups),
    ];
    checks.chain(strips).chain(rest).collect()
}

fn compare(keeper: &mut Keeper, world: &World) -> Result<(), TestCaseError> {
    let shared = world.engine.shared();
    let (version, kept) = keeper.snapshot(|| shared.book(), world.now);
    let book: &Book = &shared.book();
    prop_assert_eq!(version, book.version());
    for (kept, anew) in told(&kept).into_iter().zip(told(&Snapshot::take(book, world.now))) {
        prop_assert_eq!(kept, anew);
    }
    prop_assert_eq!(kept.checks.len(), kept.strips.len());
    Ok(())
}

fn state() -> impl Strategy<Value = ProbeState> {
    prop_oneof![
        5 => Just(ProbeState::Up),
        2 => Just(ProbeState::Down),
        1 => Just(ProbeState::Degraded),
        1 => Just(ProbeState::Unknown),
    ]
}

fn count() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(1), 3 => 1..5_u16, 1 => 5..80_u16]
}

/// Mostly what has just come due.
fn late() -> impl Strategy<Value = u16> {
    prop_oneof![5 => Just(0), 2 => 0..6_u16, 1 => 6..4000_u16]
}

fn shape() -> impl Strategy<Value = Shape> {
    (1..4_u8, 1..4_u8, 0..3_u8, any::<[bool; 4]>()).prop_map(|(confirmations, recoveries, weight, flags)| {
        let [group, tagged, one_region, any] = flags;
        Shape { confirmations, recoveries, weight, group, tagged, one_region, any }
    })
}

fn what() -> impl Strategy<Value = What> {
    let (agent, check, scope) = (0..4_usize, 0..CHECKS.len(), 0..3_usize);
    let cause = prop::sample::select(MissedCause::ALL.to_vec());
    prop_oneof![
        24 => (agent.clone(), check.clone(), late(), count(), state())
            .prop_map(|(agent, check, late, count, state)| What::Results { agent, check, late, count, state }),
        4 => (agent.clone(), check.clone(), late(), count(), cause)
            .prop_map(|(agent, check, late, count, cause)| What::Missed { agent, check, late, count, cause }),
        3 => (scope.clone(), agent.clone(), check.clone(), 1..9000_u32)
            .prop_map(|(scope, agent, check, seconds)| What::Suspend { scope, agent, check, seconds }),
        1 => (scope, agent.clone(), check.clone()).prop_map(|(scope, agent, check)| What::Resume { scope, agent, check }),
        2 => (0..2_usize, agent.clone(), check.clone(), 0..4_u16)
            .prop_map(|(scope, agent, check, weight)| What::Weigh { scope, agent, check, weight }),
        3 => (check.clone(), shape()).prop_map(|(check, shape)| What::Apply { check, shape }),
        1 => check.prop_map(|check| What::Retire { check }),
        2 => (0..3_usize, -4000..8000_i32, 1..200_u16)
            .prop_map(|(of, from_s, minutes)| What::Window { of, from_s, minutes }),
        1 => agent.prop_map(|agent| What::Revoke { agent }),
        1 => Just(What::Enrol),
        1 => Just(What::Settle),
        16 => prop_oneof![6 => 1..35_u32, 3 => 30..400_u32, 1 => 400..100_000_u32].prop_map(|seconds| What::Pass { seconds }),
        1 => (1..4000_u32).prop_map(|seconds| What::Back { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_tells_what_scratch_tells(steps in prop::collection::vec((what(), any::<bool>()), 1..60)) {
        let mut world = World::new();
        let mut keeper = Keeper::default();
        compare(&mut keeper, &world)?;
        for (what, look) in steps {
            world.step(what);
            if look {
                compare(&mut keeper, &world)?;
            }
        }
        compare(&mut keeper, &world)?;
    }
}

/// Results that continue what they found cost no verdict; others do.
#[test]
fn what_stays_as_it_is_costs_nothing() {
    let mut world = World::new();
    let mut keeper = Keeper::default();
    // A result holds for 70 s, so the one before still does.
    let report = |world: &mut World, state| {
        world.step(What::Pass { seconds: 30 });
        for (agent, check) in (0..3).flat_map(|agent| (0..3).map(move |check| (agent, check))) {
            world.step(What::Results { agent, check, late: 0, count: 1, state });
        }
    };
    (0..5).for_each(|_| report(&mut world, ProbeState::Up));
    let look = |keeper: &mut Keeper, world: &World| {
        let shared = world.engine.shared();
        let effort = keeper.snapshot(|| shared.book(), world.now).1.effort;
        (effort.looked_at, effort.judged, effort.counted)
    };
    assert_eq!(look(&mut keeper, &world), (4, 4, 12));
    assert_eq!(look(&mut keeper, &world), (0, 0, 0));
    report(&mut world, ProbeState::Up);
    // Each pair has a newer result to show; none changes a verdict. Of the anchor nobody was heard: with some agents one more run is overdue.
    let (looked_at, judged, counted) = look(&mut keeper, &world);
    assert_eq!((looked_at, judged), (3, 0));
    assert!((9..=12).contains(&counted), "{counted}");
    report(&mut world, ProbeState::Down);
    let (looked_at, judged, counted) = look(&mut keeper, &world);
    assert_eq!((looked_at, judged), (3, 3));
    assert!((9..=12).contains(&counted), "{counted}");
    world.step(What::Results { agent: 1, check: 1, late: 3, count: 1, state: ProbeState::Up });
    assert_eq!(look(&mut keeper, &world).2, 1, "what went on as it was is not counted again");
}
