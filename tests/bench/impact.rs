//! What impact scores cost a collector with many checks: the first time, after a burst that changes a tenth of them, when the hour turns, and reading one. And the KPI banner's
//! availability over 30 days. And a round of findings over all of them: what it costs, and how long it keeps the book from who writes to it.
//!
//!     cargo bench -p sitepulse-tests --bench impact
//!
//! 28 days of evidence on a disk, sealed: one failure in 200 runs, and outages of an hour now and then. `SITEPULSE_BENCH_CHECKS` sets how many checks there are (default 5,000),
//! `SITEPULSE_BENCH_AGENTS` how many agents (default 3), `SITEPULSE_BENCH_INTERVAL_MINUTES` how often each looks (default 60).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sitepulse_collector::app::{App, ApplyOptions};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::impact::board::Board;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::insight;
use sitepulse_collector::present::Present;
use sitepulse_collector::present::impact::impact_view;
use sitepulse_collector::present::kpi::period::Period;
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Cause, Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::usage::cpu_with_ended_us;
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

const DAY_US: i64 = 86_400_000_000;
const DAYS: i64 = 28;
/// Checks whose records go in one batch.
const CHECKS_A_BATCH: usize = 20;

struct Agent {
    name: AgentName,
    number: AgentNo,
    seq: u64,
}

struct Check {
    number: CheckNo,
    bucket: Bucket,
    slots: Vec<UtcMicros>,
}

fn main() {
    let number = |name: &str, default: u64| -> u64 {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (checks, agents) = (number("SITEPULSE_BENCH_CHECKS", 5_000), number("SITEPULSE_BENCH_AGENTS", 3));
    let interval_us = number("SITEPULSE_BENCH_INTERVAL_MINUTES", 60) * 60_000_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(checks, agents, interval_us));
}

async fn measure(checks: u64, agents: u64, interval_us: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let now = clock::now();
    let start = now.plus_us(-(DAYS + 1) * DAY_US);
    let app = App::open_still(dir.path(), start).expect("a collector");
    app.set_addresses(vec!["127.0.0.1:8443".into()]).await.expect("addresses");
    let minutes = interval_us / 60_000_000;
    let file: String = (0..checks)
        .map(|nth| {
            let group = nth % 50;
            format!("[[check]]\nid = \"c{nth}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"{minutes}m\"\ngroup = \"g{group}\"\n")
        })
        .collect();
    let written = checkfile::parse(&[Source { name: "bench".into(), text: file }]).expect("checks");
    let options = ApplyOptions { prune: false, dry_run: false, author: "bench".into() };
    app.apply(written, options, start).await.expect("applied");
    let enrolling = move |engine: &mut Engine| (0..agents).map(|nth| enrol(engine, nth, start)).collect::<Vec<_>>();
    let mut agents = app.writer().run(enrolling).await.expect("agents");
    for agent in &mut agents {
        fill(&app, agent, interval_us, start, now).await;
    }
    app.writer().run(|engine| engine.seal_now().expect("sealed")).await.expect("sealed");

    let first = timed(async || drop(Board::refresh(&app, now, usize::MAX).await.expect("scores"))).await;
    println!(
        "{checks} checks x {} agents, {DAYS} d at {minutes} min: all scores for the first time {first:.0} ms",
        agents.len()
    );
    let idle = timed(async || drop(Board::refresh(&app, now, usize::MAX).await.expect("scores"))).await;
    println!("  nothing changed: {idle:.2} ms");
    let mut bursts = Vec::new();
    for round in 0..10 {
        burst(&app, &mut agents, interval_us, round, now).await;
        let mut changed = 0;
        let took = timed(async || changed = Board::refresh(&app, now, usize::MAX).await.expect("scores").changed).await;
        println!("  a burst that changes {changed} checks: {took:.1} ms");
        bursts.push(took);
    }
    bursts.sort_by(f64::total_cmp);
    println!("  bursts: median {:.1} ms, worst {:.1} ms (goal: 200 ms)", bursts[5], bursts[9]);
    let numbers: Vec<CheckNo> = app.book().checks().map(|check| check.number).collect();
    let mut reads: Vec<f64> = Vec::new();
    for check in &numbers {
        let began = clock::monotonic();
        let scores = app.board().newest().expect("scores");
        let view = scores.checks.get(check).map(|check| impact_view(check, &scores.model.label));
        assert!(view.is_some_and(|view| view.score.is_some()));
        reads.push(clock::monotonic().us_since(began) as f64 / 1e3);
    }
    reads.sort_by(f64::total_cmp);
    println!(
        "  reading one: median {:.3} ms, worst {:.3} ms (goal: 1 ms)",
        reads[reads.len() / 2],
        reads[reads.len() - 1]
    );
    findings(&app, now).await;
    let later = now.plus_us(3_600_000_000);
    let hour = timed(async || drop(Board::refresh(&app, later, usize::MAX).await.expect("scores"))).await;
    println!("  the hour turns: {hour:.0} ms in all, in turns of {}", sitepulse_collector::impact::board::TURN);
    let present = Present::in_process(app.clone());
    for period in Period::ALL {
        let made = timed(async || drop(present.kpi(period, None).await.expect("figures"))).await;
        let again = timed(async || drop(present.kpi(period, None).await.expect("figures"))).await;
        println!("  KPI banner over {}: {made:.0} ms the first time, {again:.1} ms again", period.as_str());
    }
}

/// A round of findings over all checks, after a first one that has the store's files in memory. The book's longest hold is told by a thread that takes it to write, again and again:
/// it waits at most as long as who reads holds it, and all others wait behind it as they do behind the writer.
async fn findings(app: &App, now: UtcMicros) {
    let first = timed(async || {
        insight::task::settle(app, now).await.expect("findings");
    })
    .await;
    let running = Arc::new(AtomicBool::new(true));
    let (shared, goes_on) = (Arc::clone(app.shared()), Arc::clone(&running));
    let waits = std::thread::spawn(move || {
        let mut waits = Vec::new();
        while goes_on.load(Ordering::Relaxed) {
            waits.push(shared.wait_to_write());
            std::thread::sleep(Duration::from_millis(2));
        }
        waits
    });
    let cpu = cpu_with_ended_us(std::process::id());
    let mut looks = 0;
    let took = timed(async || looks = insight::task::settle(app, now).await.expect("findings").looks).await;
    let cpu = cpu_with_ended_us(std::process::id()) - cpu;
    running.store(false, Ordering::Relaxed);
    let mut waits = waits.join().expect("the thread ends");
    waits.sort_unstable();
    let at = |share: usize| {
        waits.get(waits.len() * share / 1_000).or(waits.last()).copied().unwrap_or_default() as f64 / 1e3
    };
    println!(
        "  a round of findings over all checks ({looks} looks): {took:.0} ms, {:.0} ms of CPU (the first {first:.0} ms); who writes waits for the book p99 {:.2} ms, {:.2} ms at most ({} times)",
        cpu as f64 / 1e3,
        at(990),
        at(1_000),
        waits.len()
    );
}

async fn timed(work: impl AsyncFnOnce()) -> f64 {
    let began = clock::monotonic();
    work().await;
    clock::monotonic().us_since(began) as f64 / 1e3
}

/// All of an agent's results.
async fn fill(app: &App, agent: &mut Agent, interval_us: u64, start: UtcMicros, now: UtcMicros) {
    let checks: Vec<Check> = {
        let book = app.book();
        let one = |check: &sitepulse_collector::book::Check| {
            let lattice = Lattice::new(&check.id, &agent.name, interval_us);
            let mut slots = Vec::new();
            let mut slot = lattice.at_or_after(start.plus_us(DAY_US));
            while slot < now.plus_us(-interval_us.cast_signed()) {
                slots.push(slot);
                slot = slot.plus_us(interval_us.cast_signed());
            }
            Check { number: check.number, bucket: check.bucket(), slots }
        };
        book.checks().map(one).collect()
    };
    for group in checks.chunks(CHECKS_A_BATCH) {
        let mut entries = Vec::new();
        for check in group {
            for (nth, slot) in check.slots.iter().enumerate() {
                let noise =
                    (u64::from(check.number.0) * 7_919 + nth as u64 * 104_729 + u64::from(agent.number.0)) % 200;
                // All agents see the same outages.
                let outage = (u64::from(check.number.0) * 31 + nth as u64) % 613 < 2;
                let state = if noise == 0 || outage { ProbeState::Down } else { ProbeState::Up };
                agent.seq += 1;
                entries.push(entry(check.number, check.bucket, *slot, state, agent.seq));
            }
        }
        ingest(app, agent.number, entries, now).await;
    }
}

/// A tenth of the checks, another one each round, fail at the last slot there was.
async fn burst(app: &App, agents: &mut [Agent], interval_us: u64, round: usize, now: UtcMicros) {
    for agent in agents {
        let tenth: Vec<(CheckNo, Bucket, UtcMicros)> = {
            let book = app.book();
            let slot = |check: &sitepulse_collector::book::Check| {
                Lattice::new(&check.id, &agent.name, interval_us).at_or_after(now.plus_us(-interval_us.cast_signed()))
            };
            let tenth = book.checks().skip(round).step_by(10);
            tenth.map(|check| (check.number, check.bucket(), slot(check))).collect()
        };
        let mut entries = Vec::new();
        for (check, bucket, slot) in tenth {
            agent.seq += 1;
            entries.push(entry(check, bucket, slot, ProbeState::Down, agent.seq));
        }
        ingest(app, agent.number, entries, now).await;
    }
}

fn entry(check: CheckNo, bucket: Bucket, slot: UtcMicros, state: ProbeState, seq: u64) -> Entry {
    let record = Record::Result(ProbeResult {
        check,
        revision: Revision(1),
        scheduled: slot,
        started: slot,
        phases: Phases { total: Some(80_000 + seq % 40_000), ..Phases::default() },
        state,
        cause: (state == ProbeState::Down).then_some(Cause::Timeout),
        failed_phase: None,
        detail: String::new(),
        address: None,
        facts: Facts::default(),
    });
    Entry { bucket, seq: Seq(seq), provenance: 0, record }
}

async fn ingest(app: &App, agent: AgentNo, entries: Vec<Entry>, now: UtcMicros) {
    let provenances = vec![Provenance { build: "0".into(), clock_offset_us: None, clock_uncertainty_us: 0 }];
    let batch = Batch { number: 1, incarnation: Incarnation(7), provenances, entries };
    let work =
        move |engine: &mut Engine| engine.ingest(vec![IngestJob { agent, received_at: now, batch }]).expect("stored");
    app.writer().run(work).await.expect("the writer runs");
}

fn enrol(engine: &mut Engine, nth: u64, now: UtcMicros) -> Agent {
    let region = Region::parse(&format!("region-{nth}")).expect("a region");
    let name = AgentName::parse(&format!("region-{nth}-1")).expect("a name");
    let token = engine.create_join_token(region, 3_600_000_000, now).expect("a token").token;
    let key = AgentKey::generate().expect("a key");
    let request = JoinRequest {
        protocol_min: 1,
        protocol_max: 1,
        secret: token.secret,
        csr_der: key.csr_der(&name).expect("a request"),
        name: Some(name.clone()),
        build: "0".into(),
    };
    let joined = engine.join(&request, now).expect("the store writes").expect("the agent is taken");
    Agent { name, number: joined.agent, seq: 0 }
}
