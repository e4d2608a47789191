//! The collector away for a minute: the agent probes on, pages by itself, and no hole is left in the SLA after the drain.

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::provider::Provider;
use sitepulse_tests::site::Site;
use sitepulse_tests::{oracle, wait};

use crate::sums;

#[test]
fn a_minute_without_the_collector_leaves_no_hole() {
    let away: u64 = std::env::var("SITEPULSE_AWAY_S").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let site = Site::start();
    let mut cluster = Cluster::start();
    let provider = Provider::start();
    let channel = format!(
        "[[channel]]\nid = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\nagents_after = \"1m\"\n",
        provider.url("/hook")
    );
    cluster.apply(&format!("{}{channel}", site.check("shop"))).ok();
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

    // Nobody evaluates or escalates meanwhile: the agent itself says so, once.
    let paged = || -> Vec<String> { provider.received().iter().map(|one| one.body["event"].to_string()).collect() };
    wait::until("the agent pages", 90, || if paged().is_empty() { Err(()) } else { Ok(()) });
    cluster.start_collector();
    cluster.wait_for_drain("eu-west-1", 60);
    wait::until("and tells of the return", 30, || if paged().len() < 2 { Err(()) } else { Ok(()) });
    assert_eq!(paged(), ["\"opened\"", "\"resolved\""]);
    let keys: Vec<String> = provider.received().iter().map(|one| one.key.clone()).collect();
    assert!(keys.iter().all(|key| key.starts_with("collector-away-")) && keys[0] != keys[1], "{keys:?}");
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
