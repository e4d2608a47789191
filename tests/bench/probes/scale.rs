//! 10,000 HTTPS checks at 60 s on one agent: memory, missed slots, and how late runs start.

use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::usage;

use crate::contest::{start_agent, wait_for_checks};
use crate::servers::{Nginx, Site};

const CHECKS: u64 = 10_000;
const INTERVAL_S: u64 = 60;

pub(crate) fn run() {
    let site = Site::new();
    let nginx = Nginx::start(&site);
    let mut cluster = Cluster::start();
    let checks: String = (0..CHECKS)
        .map(|n| {
            format!(
                "[[check]]\nid = \"c{n}\"\nkind = \"http\"\nurl = \"https://{}/{n}\"\ninterval = \"{INTERVAL_S}s\"\nexpect = [\"status == 200\", \"body contains 'Welcome'\"]\n",
                nginx.https()
            )
        })
        .collect();
    cluster.apply(&checks).ok();
    cluster.join("a", "eu");
    let agent = start_agent(&cluster, &site, "a");
    let pid = agent.pid();
    cluster.agents.insert("a".to_owned(), agent);
    wait_for_checks(&cluster, "a", CHECKS);
    // A full minute in which every check ran before.
    let (cpu, probes, began) = (usage::cpu_us(pid), nginx.accepted(), clock::monotonic());
    std::thread::sleep(Duration::from_secs(INTERVAL_S));
    let (cpu, probes) = ((usage::cpu_us(pid) - cpu) as f64, (nginx.accepted() - probes) as f64);
    let us = clock::monotonic().us_since(began) as f64;
    let status = cluster.agent_ctl("a", &["status", "--json"]).json();
    let lag = |name: &str| status["lag_us"][name].as_f64().unwrap_or(f64::NAN) / 1000.0;
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!(
        "{probes:.0} runs in {:.1} s, {:.2} % of a core, {:.0} us per check",
        us / 1e6,
        cpu / us * 100.0,
        cpu / probes
    );
    println!(
        "RSS     {:.1} MiB now, {:.1} MiB at most (goal <= 24)",
        mib(usage::rss_kib(pid)),
        mib(usage::peak_kib(pid))
    );
    println!("lag     p50 {:.1} ms, p99 {:.1} ms (goal <= 50), max {:.1} ms", lag("p50"), lag("p99"), lag("max"));
    println!("missed  {} (goal: none)", status["missed"]);
}
