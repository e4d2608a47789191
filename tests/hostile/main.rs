//! A real agent whose checks are mostly hostile: it stays small, ends their runs in time, and misses none of the others.
//!
//! The servers are those of the prober's own hostile suite; here they meet the scheduler, the spool and the collector too.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../agent/probe/tests/hostile/behaviour.rs"]
#[allow(dead_code, reason = "the prober's own suite uses the rest")]
mod behaviour;
#[path = "../../agent/probe/tests/hostile/bodies.rs"]
mod bodies;
#[path = "../../agent/probe/tests/hostile/h2.rs"]
mod h2;
#[path = "../../agent/probe/tests/hostile/http.rs"]
mod http;
#[path = "../../agent/probe/tests/hostile/tls.rs"]
mod tls;

use std::fmt::Write as _;
use std::net::SocketAddr;

use sitepulse_model::record::ProbeState;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::Site;
use sitepulse_tests::{oracle, usage, wait};

use crate::behaviour::{Behaviour, Scheme, Servers};

/// Well-behaved checks.
const FRIENDS: usize = 10;
/// Runs of each of them before the sums are made.
const RUNS: u64 = 4;
/// Between two runs of any check.
const INTERVAL_US: i64 = 8_000_000;
const HOSTILE_TIMEOUT_US: u64 = 3_000_000;
/// Most that a run may take beyond its deadline, on a machine that does other things. A run that does not end takes for ever.
const SLACK_US: u64 = 20_000_000;
/// Most that 99 of 100 runs may start late, by what the agent tells. What is judged on the thread of all runs makes all of them late.
const LAG_P99_US_MAX: u64 = 4_000_000;
/// Most memory of the agent, built for debugging. Without its limits a bomb alone takes more.
const PEAK_KIB_MAX: u64 = 150 << 10;

/// The checks of a behaviour: as it is meant, and by another kind that meets the same bytes.
fn checks(index: usize, behaviour: &Behaviour, address: SocketAddr) -> String {
    let http = |scheme: &str, keys: &str| {
        let body = match behaviour.post_bytes {
            0 => String::new(),
            bytes => format!("method = \"POST\"\nbody = \"{}\"\n", "x".repeat(bytes.min(10_000))),
        };
        let expect = [&["body not contains 'canary'"], behaviour.expect].concat();
        format!(
            "kind = \"http\"\nurl = \"{scheme}://{address}/\"\nredirects = {}\ncompression = true\n{body}{keys}expect = {expect:?}",
            behaviour.redirects
        )
    };
    let read = |kind: &str, target: &str| format!("kind = \"{kind}\"\n{target}\nexpect = {:?}", behaviour.expect);
    let (meant, other) = match behaviour.scheme {
        Scheme::Http => (http("http", ""), format!("kind = \"websocket\"\nurl = \"ws://{address}/\"")),
        Scheme::Https => (http("https", ""), format!("kind = \"tls\"\naddress = \"{address}\"")),
        Scheme::PlainH2 => (http("http", "http = \"2\"\n"), format!("kind = \"grpc\"\nurl = \"http://{address}\"")),
        Scheme::Tcp => (read("tcp", &format!("address = \"{address}\"")), http("http", "")),
        Scheme::WebSocket => (read("websocket", &format!("url = \"ws://{address}/\"")), http("http", "")),
    };
    let mail = match index % 3 {
        0 => Some(format!("kind = \"smtp\"\naddress = \"{address}\"")),
        1 => Some(format!("kind = \"imap\"\naddress = \"{address}\"")),
        _ => None,
    };
    let mut toml = String::new();
    for (part, keys) in [Some(meant), Some(other), mail].into_iter().flatten().enumerate() {
        write!(
            toml,
            "[[check]]\nid = \"hostile-{index}-{part}\"\ninterval = \"8s\"\ntimeout = \"3s\"\nweight = 1\n{keys}\n\n"
        )
        .unwrap();
    }
    toml
}

#[test]
fn an_agent_of_hostile_checks_stays_small_and_misses_none_of_the_others() {
    let behaviours = behaviour::table();
    let servers = Servers::start(&behaviours);
    let site = Site::start();
    let mut toml = String::new();
    let costly: Vec<String> = behaviours
        .iter()
        .enumerate()
        .filter(|(_, behaviour)| !behaviour.expect.is_empty())
        .map(|(index, _)| format!("hostile-{index}-0"))
        .collect();
    for (index, (behaviour, address)) in behaviours.iter().zip(servers.addresses()).enumerate() {
        toml.push_str(&checks(index, behaviour, *address));
    }
    let hostile = toml.matches("[[check]]").count();
    assert!(hostile >= 100, "{hostile}");
    for friend in 0..FRIENDS {
        let url = site.url(&format!("friend-{friend}"));
        write!(
            toml,
            "[[check]]\nid = \"friend-{friend}\"\nkind = \"http\"\nurl = \"{url}\"\ninterval = \"8s\"\ntimeout = \"8s\"\nweight = 1000\n\n"
        )
        .unwrap();
    }
    let mut cluster = Cluster::start();
    cluster.apply(&toml).ok();
    cluster.join("a", "lab");
    // All of them are on one host, which would be asked by a few at a time.
    let config = cluster.dir().join("agent.toml");
    std::fs::write(&config, "[network]\nallow = [\"loopback\"]\nper_host_max = 1000\n").unwrap();
    cluster.start_agent_with("a", &["--config", config.to_str().unwrap()]);
    wait::until("the well-behaved checks have run", 300, || {
        let hits = site.hits();
        let done = (0..FRIENDS).all(|friend| hits.get(&format!("friend-{friend}")).is_some_and(|hits| *hits >= RUNS));
        if done { Ok(()) } else { Err(hits) }
    });
    let peak = usage::peak_kib(cluster.agents["a"].pid());
    let lag = cluster.agent_ctl("a", &["status", "--json"]).json()["lag_us"].clone();
    cluster.wait_for_drain("a", 60);
    cluster.stop_agent("a");
    cluster.stop_collector();

    let store = oracle::read(&cluster.collector_dir(), INTERVAL_US);
    assert_eq!(store.unaccounted(INTERVAL_US), Vec::<String>::new());
    let mut wrong = Vec::new();
    let mut longest_us = 0;
    let mut seen = 0;
    for ((check, _), ledger) in &store.ledgers {
        let id = &store.checks[check];
        longest_us = longest_us.max(ledger.longest_us);
        if id.starts_with("friend") {
            // The last one may have been under way as the agent was stopped.
            let all_up = ledger.states.keys().all(|state| *state == ProbeState::Up);
            if !all_up || !ledger.missed.is_empty() || (ledger.results.len() as u64) + 1 < RUNS {
                wrong.push(format!("{id}: {ledger:?}"));
            }
        } else {
            seen += 1;
            if ledger.longest_us > HOSTILE_TIMEOUT_US + SLACK_US {
                wrong.push(format!("{id} took {} us", ledger.longest_us));
            }
            // The target is what is wrong, not this agent; but costly bodies are judged in turn, and on a slow machine some turn does not come.
            let is_costly = costly.iter().any(|prefix| id.starts_with(prefix));
            if !is_costly && ledger.states.contains_key(&ProbeState::Unknown) {
                wrong.push(format!("{id}: {:?}", ledger.states));
            }
        }
    }
    println!(
        "{hostile} hostile checks: peak {peak} KiB, longest run {longest_us} us, {} runs shed, lag {lag}",
        store.missed()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lag["p99"].as_u64().is_some_and(|p99| p99 <= LAG_P99_US_MAX), "{lag}");
    assert_eq!(seen, hostile, "each hostile check has run, or was shed and says so");
    assert!(peak > 0 && peak <= PEAK_KIB_MAX, "the agent took {peak} KiB");
}
