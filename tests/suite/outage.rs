//! The collector away for a minute: the agent probes on, and no hole is left in the SLA after the drain.

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::Site;
use sitepulse_tests::{oracle, wait};

use crate::sums;

#[test]
fn a_minute_without_the_collector_leaves_no_hole() {
    let away: u64 = std::env::var("SITEPULSE_AWAY_S").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    let from = sitepulse_daemon::instant::format(sitepulse_daemon::clock::now());

    cluster.stop_collector();
    let before = site.hits()["shop"];
    // While it is away the agent goes on, spools, and takes orders.
    wait::until("the agent probes on", away + 30, || {
        let hits = site.hits()["shop"];
        if hits >= before + away { Ok(()) } else { Err(hits) }
    });
    let spool = cluster.agent_ctl("eu-west-1", &["spool", "--json"]).json();
    assert!(spool["records"].as_u64().expect("a number") >= away - 2, "{spool}");

    cluster.start_collector();
    cluster.wait_for_drain("eu-west-1", 60);
    let to = sitepulse_daemon::instant::format(sitepulse_daemon::clock::now());
    let sla = cluster.sla("shop", &["--from", &from, "--to", &to]);
    sums::hold(&sla);
    assert_eq!(sla["completeness"].as_f64(), Some(1.0), "{sla}");
    assert_eq!(sla["availability"].as_f64(), Some(1.0), "{sla}");

    cluster.stop_agent("eu-west-1");
    cluster.stop_collector();
    let store = oracle::read(&cluster.collector_dir(), 1_000_000);
    assert_eq!(store.unaccounted(1_000_000), Vec::<String>::new());
}
