//! Jobs of a real collector through `kill -9`: none is lost, none gets stuck, and within a kind the order is by priority and waiting.
//!
//! `SITEPULSE_KILLS` says how often it dies (default 20), `SITEPULSE_JOBS` how many jobs there are (default 2,000).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use sitepulse_collector::app::App;
use sitepulse_collector::jobs::{Ask, Kind};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::job::{AGE_US, Priority};
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::wait;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A small fixed generator: what it gives is spread, and the same in each run.
fn spread(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

/// A job as the collector told it in the end.
struct Told {
    id: String,
    rank: i64,
    asked: i64,
    started: i64,
    epoch: u64,
}

fn micros(job: &Value, name: &str) -> i64 {
    let text = job[name].as_str().unwrap_or_else(|| panic!("no {name}: {job}"));
    instant::parse(text, UtcMicros(0)).unwrap_or_else(|error| panic!("{name}: {error}: {job}")).0
}

#[test]
fn killing_the_collector_again_and_again_loses_no_job_and_keeps_the_order() {
    let (kills, jobs) = (number("SITEPULSE_KILLS", 20), number("SITEPULSE_JOBS", 2_000));
    let mut cluster = Cluster::start();
    cluster.stop_collector();
    // All at once, by the very verb that the API asks with: the collector is not there meanwhile.
    let mut known: BTreeSet<String> = BTreeSet::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let first: BTreeSet<String> = runtime.block_on(async {
        let app = App::open_still(&cluster.collector_dir(), clock::now()).expect("the data directory opens");
        let ask = |n: u64| Ask {
            kind: Kind::Noop,
            key: None,
            priority: Priority::new((spread(n) % 1_001) as u16),
            author: "collector:test".into(),
            // So long that each life ends in the middle of some.
            args: serde_json::json!({ "wait_ms": spread(n ^ 0xabcd) % (kills * 25_600 / jobs.max(1)).clamp(2, 1_000) }),
            ..Ask::own(Kind::Noop)
        };
        let asks: Vec<Ask> = (0..jobs).map(ask).collect();
        let asked = app.writer().run(move |engine| engine.enqueue(&asks, clock::now()).expect("the store writes"));
        let asked = asked.await.expect("the writer runs");
        app.close().await;
        asked.into_iter().map(|one| one.job.id.to_string()).collect()
    });
    assert_eq!(first.len() as u64, jobs);
    known.extend(first.iter().cloned());

    cluster.start_collector();
    for n in 0..kills {
        // Some more come in while it lives; what it answered for must be there in the end.
        let priority = (spread(n ^ 0x77) % 1_001).to_string();
        let job = cluster.ctl(&["jobs", "run", "noop", "--wait-ms", "30", "--priority", &priority, "--json"]).json();
        known.insert(job["id"].as_str().expect("an id").to_owned());
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(Duration::from_millis(10 + spread(n) % 500));
        cluster.kill_collector();
        cluster.start_collector();
    }
    // What met several deaths is held back, for six minutes at most.
    let longest = 60 + jobs / 20 + if kills > 50 { 400 } else { 60 };
    wait::until("nothing waits and nothing runs", longest, || {
        let summary = cluster.ctl(&["jobs", "--limit", "1", "--json"]).json();
        let noop =
            summary["summary"]["kinds"].as_array().and_then(|kinds| kinds.iter().find(|one| one["kind"] == "noop"));
        match noop {
            Some(one) if one["waiting"] == 0 && one["running"] == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });

    let list = cluster.ctl(&["jobs", "--kind", "noop", "--limit", "1000000", "--json"]).json();
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for job in list["jobs"].as_array().expect("a list") {
        let id = job["id"].as_str().expect("an id").to_owned();
        assert_eq!((&job["state"], &job["tries"]), (&Value::from("done"), &Value::from(1)), "{job}");
        let rank = micros(job, "due") - job["priority"].as_i64().expect("a priority") * AGE_US;
        let one = Told {
            id: id.clone(),
            rank,
            asked: micros(job, "asked"),
            started: micros(job, "first_started"),
            epoch: job["epoch"].as_u64().expect("an epoch"),
        };
        assert!(told.insert(id, one).is_none(), "one job is told twice");
    }
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), known, "every job is there, and no other");

    // Of two that both waited, none was begun before the one that stands before it.
    let mut order: Vec<&Told> = told.values().filter(|one| first.contains(&one.id)).collect();
    order.sort_by_key(|one| (one.rank, one.id.clone()));
    for pair in order.windows(2) {
        assert!(pair[0].started <= pair[1].started, "{} goes before {}", pair[0].id, pair[1].id);
    }
    for late in told.values().filter(|one| !first.contains(&one.id)) {
        for other in told.values() {
            let (before, after) = if late.rank < other.rank { (late, other) } else { (other, late) };
            if before.rank < after.rank && before.asked < after.started {
                assert!(before.started <= after.started, "{} goes before {}", before.id, after.id);
            }
        }
    }
    let interrupted = told.values().filter(|one| one.epoch > 1).count();
    println!("{} jobs through {kills} kills: all done, {interrupted} of them begun more than once", told.len());
    assert!(interrupted > 0, "no kill met a job that ran: the test proves nothing");
    cluster.stop_collector();
}
