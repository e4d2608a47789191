//! `kill -9` of either program, in a loop, with an oracle that counts (I1-I4).

use sitepulse_model::record::ProbeState;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::Site;
use sitepulse_tests::{oracle, wait};

const INTERVAL_US: i64 = 1_000_000;
/// Checks of each loop; with one agent, at most so many probes are in flight when it dies.
const CHECKS: u64 = 4;

fn kills() -> u64 {
    std::env::var("SITEPULSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

fn checks(site: &Site) -> String {
    (0..CHECKS).map(|n| site.check(&format!("c{n}"))).collect()
}

fn start(site: &Site) -> Cluster {
    let mut cluster = Cluster::start();
    cluster.apply(&checks(site)).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    wait::until("every check has a result", 20, || {
        let hits = site.hits();
        if (0..CHECKS).all(|n| hits.get(&format!("c{n}")).is_some_and(|count| *count >= 2)) {
            Ok(())
        } else {
            Err(hits)
        }
    });
    cluster
}

/// Stops both, then holds the store against what the site saw.
fn settle(mut cluster: Cluster, site: &Site, agent_kills: u64) {
    cluster.wait_for_drain("eu-west-1", 60);
    cluster.stop_agent("eu-west-1");
    let left = cluster.agent_ctl("eu-west-1", &["spool", "--json"]).json()["records"].as_u64().expect("a number");
    cluster.stop_collector();

    let store = oracle::read(&cluster.collector_dir(), INTERVAL_US);
    assert_eq!(store.unaccounted(INTERVAL_US), Vec::<String>::new());
    assert_eq!(store.ledgers.len() as u64, CHECKS);

    // The site is the witness: what it answered is stored, but for probes that a kill caught in flight (and what the last
    // stop left in the spool, which is not lost).
    let answered: u64 = site.hits().values().sum();
    let stored = store.count(ProbeState::Up);
    assert_eq!(store.count(ProbeState::Down), 0, "a kill is never `down`");
    assert!(stored <= answered, "{stored} stored, but the site answered only {answered}");
    let in_flight = agent_kills * CHECKS * 2 + left;
    assert!(
        stored + in_flight >= answered,
        "{answered} answered, only {stored} stored, at most {in_flight} can be in flight"
    );
    println!("answered {answered}, stored {stored}, missed {}, left in the spool {left}", store.missed());
}

/// A small fixed generator: the instants of the kills are spread, and the same in each run.
fn pause(n: u64) -> std::time::Duration {
    std::time::Duration::from_millis(20 + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 700)
}

#[test]
fn killing_the_agent_again_and_again_loses_no_record() {
    let site = Site::start();
    let mut cluster = start(&site);
    let kills = kills();
    for n in 0..kills {
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n));
        cluster.kill_agent("eu-west-1");
        cluster.start_agent("eu-west-1");
    }
    settle(cluster, &site, kills);
}

#[test]
fn killing_the_collector_again_and_again_loses_no_record() {
    let site = Site::start();
    let mut cluster = start(&site);
    for n in 0..kills() {
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n));
        cluster.kill_collector();
        cluster.start_collector();
    }
    settle(cluster, &site, 0);
}

#[test]
fn killing_both_in_turn_loses_no_record() {
    let site = Site::start();
    let mut cluster = start(&site);
    let kills = (kills() / 5).max(1);
    for n in 0..kills {
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n));
        cluster.kill_collector();
        cluster.kill_agent("eu-west-1");
        cluster.start_agent("eu-west-1");
        cluster.start_collector();
    }
    settle(cluster, &site, kills);
}

#[test]
fn an_agent_is_back_seconds_after_its_collector_was_killed() {
    let site = Site::start();
    let mut cluster = start(&site);
    cluster.kill_collector();
    cluster.start_collector();
    // A restarted collector tells the agents of its former life that it forgot them; they need not wait for the idle timeout (30 s).
    wait::until("the agent is back", 8, || {
        let agents = cluster.ctl(&["agents", "--json"]).json();
        if agents[0]["connected"] == true { Ok(()) } else { Err(agents.to_string()) }
    });
    settle(cluster, &site, 0);
}
