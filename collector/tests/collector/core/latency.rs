//! Latencies count each result once, wherever it lies: in memory, sealed, through every restart.

use proptest::prelude::*;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::latency::figures::{Ask, Figures};
use sitepulse_collector::latency::{DAY_US, HOUR_US};
use sitepulse_collector::seal::retention::Retention;
use sitepulse_collector::vitals::figures::Place;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::record::{Phase, Phases, ProbeState, Record};
use sitepulse_model::time::UtcMicros;

use super::world::*;

const CHECK: CheckNo = CheckNo(1);
const DAY: i64 = 86_400;
const NOW: i64 = 60 * DAY;

/// A result as the naive side keeps it.
#[derive(Debug, Clone, Copy)]
struct Known {
    agent: usize,
    scheduled: UtcMicros,
    state: ProbeState,
    dns: Option<u64>,
    total: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Results(Vec<(usize, i64, ProbeState, Option<u64>, u64)>),
    Seal,
    Compact,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    // Slots over four days; much comes late.
    let result = (0_usize..2, 0_i64..11_000, prop::sample::select(ProbeState::ALL), option_us(), us());
    prop_oneof![
        4 => prop::collection::vec(result, 1..40).prop_map(Step::Results),
        2 => Just(Step::Seal),
        1 => Just(Step::Compact),
        1 => Just(Step::Restart),
    ]
}

fn us() -> impl Strategy<Value = u64> {
    prop_oneof![20_000_u64..90_000, 1_u64..20_000_000]
}

fn option_us() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(us())
}

struct Ledger {
    engine: Engine,
    dir: tempfile::TempDir,
    agents: [AgentNo; 2],
    seqs: [u64; 2],
    known: Vec<Known>,
}

impl Ledger {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = on_disk(dir.path());
        let agents = [enrol(&mut engine, "eu-west", None).agent, enrol(&mut engine, "us-east", Some("far")).agent];
        engine.apply(vec![definition("shop")], &options(), START).unwrap();
        Self { engine, dir, agents, seqs: [0; 2], known: Vec::new() }
    }

    fn take_in(&mut self, agent: usize, slot: i64, state: ProbeState, dns: Option<u64>, total: u64) {
        let mut record = result(CHECK, slot * 30, state);
        if let Record::Result(result) = &mut record {
            result.phases = Phases { dns, total: Some(total), ..Phases::default() };
        }
        let entry = entry_of(&self.engine, ["eu-west-1", "far"][agent], self.seqs[agent], record);
        self.seqs[agent] += 1;
        self.known.push(Known { agent, scheduled: entry.record.scheduled(), state, dns, total });
        let mut job = job(self.agents[agent], vec![entry]);
        job.received_at = at(NOW);
        assert_eq!(self.engine.ingest(vec![job]).unwrap()[0].stored, 1);
    }

    fn restart(self) -> Self {
        let Self { engine, dir, agents, seqs, known } = self;
        drop(engine);
        Self { engine: on_disk(dir.path()), dir, agents, seqs, known }
    }

    fn figures(&mut self, from: i64, to: i64, by_agent: bool) -> Figures {
        let ask = Ask { from: Some(at(from)), to: Some(at(to)), by_agent, ..Ask::default() };
        self.engine.latency(CHECK, &ask, at(NOW)).unwrap().unwrap()
    }
}

/// Whether figures are those of the results known within what they say to cover.
fn agree(figures: &Figures, known: &[Known]) -> Result<(), TestCaseError> {
    let within: Vec<&Known> = known.iter().filter(|one| figures.covered.contains(one.scheduled)).collect();
    let told = within.iter().any(|one| one.state != ProbeState::Unknown);
    prop_assert_eq!(figures.groups.is_empty(), !told);
    for group in &figures.groups {
        let here = |one: &&&Known| match &group.place {
            Place::All => true,
            Place::Region(region) | Place::Agent(region, _) => region.as_str() == ["eu-west", "us-east"][one.agent],
        };
        let failed = within.iter().filter(here).filter(|one| one.state == ProbeState::Down).count();
        prop_assert_eq!(group.latencies.failed, failed as u64);
        let reached = |one: &&&Known| matches!(one.state, ProbeState::Up | ProbeState::Degraded);
        let reached: Vec<&Known> = within.iter().filter(here).filter(reached).copied().collect();
        for phase in [Phase::Dns, Phase::Total, Phase::Tls] {
            let of = |one: &&Known| match phase {
                Phase::Dns => one.dns,
                Phase::Total => Some(one.total),
                Phase::Connect | Phase::Tls | Phase::Send | Phase::FirstByte | Phase::Transfer => None,
            };
            let mut values: Vec<u64> = reached.iter().filter_map(of).collect();
            values.sort_unstable();
            let sketch = group.latencies.phase(phase);
            prop_assert_eq!(sketch.count(), values.len() as u128);
            prop_assert_eq!((sketch.min(), sketch.max()), (values.first().copied(), values.last().copied()));
            prop_assert_eq!(sketch.sum(), values.iter().map(|us| u128::from(*us)).sum::<u128>());
            for per_mille in [500, 750, 950, 990] {
                let rank = (values.len() * per_mille).div_ceil(1_000);
                if let Some(exact) = rank.checked_sub(1).map(|at| values[at]) {
                    let found = sketch.quantile(per_mille as u32).unwrap();
                    prop_assert!(found.abs_diff(exact) * 128 <= exact, "p{per_mille}: {found}, not {exact}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn figures_are_those_of_all_results_each_once(
        steps in prop::collection::vec(step(), 1..12), spans in prop::collection::vec((0..4 * DAY, 1..3 * DAY, any::<bool>()), 1..6)
    ) {
        let mut ledger = Ledger::new();
        for step in steps {
            match step {
                Step::Results(results) => {
                    results.into_iter().for_each(|(agent, slot, state, dns, total)| ledger.take_in(agent, slot, state, dns, total));
                }
                Step::Seal => { ledger.engine.seal_now().unwrap(); }
                Step::Compact => { ledger.engine.compact_now().unwrap(); }
                Step::Restart => ledger = ledger.restart(),
            }
        }
        for (from, length, by_agent) in spans {
            let figures = ledger.figures(from, from + length, by_agent);
            let to = at(from + length);
            prop_assert!(figures.covered.from <= at(from) && to <= figures.covered.to);
            prop_assert!(at(from).us_since(figures.covered.from) < HOUR_US && figures.covered.to.us_since(to) < HOUR_US);
            agree(&figures, &ledger.known)?;
        }
    }
}

#[test]
fn where_hours_are_gone_the_whole_day_is_told_and_said_to_be() {
    let mut ledger = Ledger::new();
    for slot in 0..2 * 2_880 {
        ledger.take_in(0, slot, ProbeState::Up, None, 50_000 + slot.unsigned_abs());
    }
    ledger.engine.seal_now().unwrap();
    let (from, to) = (DAY + 3 * 3_600, DAY + 5 * 3_600);
    let exact = ledger.figures(from, to, false);
    assert!(exact.covered.us() <= 3 * HOUR_US);
    ledger.engine.store().connection().execute("DELETE FROM rollup WHERE class = 1", []).unwrap();
    // What comes late for a day without hours is merged into the day, and makes no hours that would tell of it alone.
    ledger.take_in(0, DAY / 30 + 400, ProbeState::Degraded, None, 9_000_000);
    ledger.engine.seal_now().unwrap();
    let figures = ledger.figures(from, to, false);
    assert!(figures.covered.us() == DAY_US, "{:?}", figures.covered);
    agree(&figures, &ledger.known).unwrap();
    assert_eq!(figures.groups[0].latencies.phase(Phase::Total).max(), Some(9_000_000));
}

#[test]
fn a_damaged_rollup_is_told_from_the_records() {
    let mut ledger = Ledger::new();
    for slot in 0..2_880 + 300 {
        ledger.take_in(1, slot, ProbeState::Up, None, 50_000 + slot.unsigned_abs());
    }
    ledger.engine.seal_now().unwrap();
    ledger.engine.store().connection().execute("UPDATE rollup SET body = x'01020304050607080900'", []).unwrap();
    // Edges by the hour, and days as a whole.
    for (from, to) in [(3 * 3_600, 5 * 3_600), (-DAY, 3 * DAY), (3_600, DAY + 3_600)] {
        let figures = ledger.figures(from, to, true);
        assert!(!figures.groups.is_empty());
        agree(&figures, &ledger.known).unwrap();
    }
    // What is sealed next sets them right.
    ledger.take_in(1, 20_000, ProbeState::Up, None, 70_000);
    ledger.engine.seal_now().unwrap();
    let figures = ledger.figures(-DAY, 20 * DAY, true);
    agree(&figures, &ledger.known).unwrap();
}

#[test]
fn a_damaged_row_costs_no_readable_one_where_the_records_are_gone() {
    for class in [1, 2] {
        let mut ledger = Ledger::new();
        // Within a day that is no edge of what is asked.
        for slot in 2_880..2_880 + 1_100 {
            ledger.take_in(0, slot, ProbeState::Up, None, 50_000 + slot.unsigned_abs());
        }
        ledger.take_in(0, 50 * 2_880, ProbeState::Up, None, 60_000);
        ledger.engine.seal_now().unwrap();
        let retention = Retention { raw_us: Some(3 * DAY_US.unsigned_abs()), ..Retention::default() };
        ledger.engine.expire_now(retention, at(51 * DAY)).unwrap();
        let damage = format!("UPDATE rollup SET body = x'01020304050607080900' WHERE class = {class}");
        ledger.engine.store().connection().execute(&damage, []).unwrap();
        ledger.take_in(0, 2_880 + 400, ProbeState::Up, None, 9_000_000);
        ledger.engine.seal_now().unwrap();
        let figures = ledger.figures(-DAY, 20 * DAY, true);
        assert_eq!(figures.groups[0].latencies.phase(Phase::Total).count(), 1_101, "class {class}");
        assert_eq!(figures.groups[0].latencies.phase(Phase::Total).max(), Some(9_000_000));
    }
}

/// A ledger of two agents over two days, whose records are gone by their age.
fn without_records() -> Ledger {
    let mut ledger = Ledger::new();
    for slot in (0..2 * 2_880).step_by(7) {
        for agent in [0, 1] {
            ledger.take_in(agent, slot, ProbeState::Up, None, 50_000 + slot.unsigned_abs());
        }
    }
    // A chunk of its own, so that the others go.
    ledger.engine.seal_now().unwrap();
    for agent in [0, 1] {
        ledger.take_in(agent, 50 * 2_880, ProbeState::Up, None, 60_000);
    }
    ledger.engine.seal_now().unwrap();
    let retention = Retention { raw_us: Some(3 * DAY_US.unsigned_abs()), ..Retention::default() };
    ledger.engine.expire_now(retention, at(51 * DAY)).unwrap();
    ledger
}

fn spoil(ledger: &mut Ledger, which: &str) {
    let sql = format!("UPDATE rollup SET body = x'01020304050607080900' WHERE {which}");
    assert!(ledger.engine.store().connection().execute(&sql, []).unwrap() > 0);
}

#[test]
fn where_the_hours_of_one_agent_cannot_be_read_the_day_is_told_for_all() {
    let mut ledger = without_records();
    let (from, to) = (DAY, DAY + 3 * 3_600);
    assert!(ledger.figures(from, to, true).covered.us() < DAY_US);
    spoil(&mut ledger, "class = 1 AND agent_no = 2");
    let figures = ledger.figures(from, to, true);
    assert_eq!(figures.covered.us(), DAY_US, "{:?}", figures.covered);
    agree(&figures, &ledger.known).unwrap();
    assert_eq!(figures.groups.len(), 3);
    assert_eq!(figures.damaged.len(), 1);
    // Over an edge and a day in between.
    let figures = ledger.figures(-3_600, 2 * DAY, false);
    agree(&figures, &ledger.known).unwrap();
}

#[test]
fn a_day_as_a_whole_that_cannot_be_read_is_told_from_its_hours() {
    let mut ledger = without_records();
    spoil(&mut ledger, "class = 2");
    for (from, to) in [(-DAY, 20 * DAY), (DAY, DAY + 3 * 3_600), (3_600, DAY + 3_600)] {
        let figures = ledger.figures(from, to, true);
        assert!(!figures.groups.is_empty());
        agree(&figures, &ledger.known).unwrap();
    }
}

#[test]
fn where_nothing_tells_of_a_day_there_is_no_figure_but_the_rows_name() {
    let mut ledger = without_records();
    spoil(&mut ledger, "agent_no = 2 AND day = 20718");
    let ask = |from: i64, to: i64| Ask { from: Some(at(from)), to: Some(at(to)), ..Ask::default() };
    for (from, to) in [(-DAY, 20 * DAY), (DAY, DAY + 3_600)] {
        let error = ledger.engine.latency(CHECK, &ask(from, to), at(NOW)).unwrap_err().to_string();
        assert!(error.contains("check 1, agent 2, latencies ") && error.contains("from 2026-09-22"), "{error}");
        assert!(error.contains("restore a backup"), "{error}");
    }
    // Neither another time nor another agent is touched by it.
    let figures = ledger.figures(-DAY, 3_600, true);
    agree(&figures, &ledger.known).unwrap();
    let west = Ask { agent: Some(ledger.agents[0]), ..ask(-DAY, 20 * DAY) };
    assert!(!ledger.engine.latency(CHECK, &west, at(NOW)).unwrap().unwrap().groups.is_empty());
}
