//! 10,000 checks at 60 s on one agent that has one core: memory, missed slots, and how late runs start. All HTTPS, or of mixed kinds; and
//! with the collector away, for as long as `SITEPULSE_BENCH_SOAK_S` says.

use std::process::Command;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, Daemon};
use sitepulse_tests::{usage, wait};

use crate::contest::{all_up, setting, start_agent, wait_for_runs};
use crate::servers::{Nginx, Site, may_ping, slow_backend};

const INTERVAL_S: u64 = 60;

/// What the checks are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mix {
    Https,
    /// HTTP, HTTPS, TCP and TLS in equal parts, and ICMP where it is allowed.
    Mixed,
}

impl Mix {
    fn check(self, n: u64, nginx: &Nginx, pings: bool) -> String {
        let page = "expect = [\"status == 200\", \"body contains 'Welcome'\"]";
        let keys = match (self, n % 5) {
            (Self::Mixed, 0) => format!("kind = \"http\"\nurl = \"http://{}/{n}\"\n{page}", nginx.http()),
            (Self::Mixed, 1) => format!("kind = \"tcp\"\naddress = \"{}\"", nginx.http()),
            (Self::Mixed, 2) => format!("kind = \"tls\"\naddress = \"{}\"", nginx.https()),
            (Self::Mixed, 3) if pings => {
                format!("kind = \"icmp\"\nhost = \"127.1.{}.{}\"\ncount = 1", n / 250 % 250, n % 250 + 1)
            }
            (Self::Https | Self::Mixed, _) => {
                format!("kind = \"http\"\nurl = \"https://{}/{n}\"\n{page}", nginx.https())
            }
        };
        format!("[[check]]\nid = \"c{n}\"\ninterval = \"{INTERVAL_S}s\"\n{keys}\n")
    }
}

pub(crate) fn run(mix: Mix, away_s: u64) {
    let site = Site::new();
    let nginx = Nginx::start(&site);
    let mut cluster = Cluster::start();
    let pings = may_ping();
    let checks = setting("SITEPULSE_BENCH_CHECKS", 10_000);
    cluster.apply(&(0..checks).map(|n| mix.check(n, &nginx, pings)).collect::<String>()).ok();
    cluster.join("a", "eu");
    let agent = start_agent(&cluster, &site, "a");
    let pid = agent.pid();
    process::run(Command::new("taskset").args(["-a", "-c", "-p", "0", &pid.to_string()])).ok();
    cluster.agents.insert("a".to_owned(), agent);
    wait_for_runs(&cluster, "a", checks);
    if away_s > 0 {
        println!("the collector is away for {away_s} s");
        cluster.stop_collector();
        std::thread::sleep(Duration::from_secs(away_s));
    }
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
        "RSS     {:.1} MiB now, {:.1} MiB at most (goal <= {})",
        mib(usage::rss_kib(pid)),
        mib(usage::peak_kib(pid)),
        if mix == Mix::Https { 24 } else { 48 }
    );
    println!("lag     p50 {:.1} ms, p99 {:.1} ms (goal <= 50), max {:.1} ms", lag("p50"), lag("p99"), lag("max"));
    println!("missed  {} (goal: none)", status["missed"]);
    println!("spool   {} records", status["spool_records"]);
    // Asked last: the list of all checks takes memory of its own.
    all_up(&cluster.agent_ctl("a", &["checks", "--json"]).json());
    println!("RSS     {:.1} MiB after somebody listed all checks", mib(usage::rss_kib(pid)));
}

/// A person's run while ten times as many runs are due as there is room for: how long the command takes, its own start included.
pub(crate) fn overload() {
    const ASKED: usize = 50;
    let site = Site::new();
    let nginx = Nginx::start_before(&site, Some(slow_backend()));
    let mut cluster = Cluster::start();
    // A run of these lasts 200 ms: 16 places make 80 a second, and 800 are due.
    let slow = |n| {
        let url = format!("http://{}/slow?{n}", nginx.http());
        format!("[[check]]\nid = \"slow{n}\"\nkind = \"http\"\nurl = \"{url}\"\ninterval = \"1s\"\nweight = 0.5\n")
    };
    let asked =
        format!("[[check]]\nid = \"asked\"\nkind = \"http\"\nurl = \"http://{}/\"\ninterval = \"1d\"\n", nginx.http());
    cluster.apply(&((0..800).map(slow).collect::<String>() + &asked)).ok();
    cluster.join("a", "eu");
    let config = cluster.dir().join("a.toml");
    std::fs::write(&config, "max_in_flight = 16\n\n[network]\nallow = [\"loopback\"]\n").expect("it can be written");
    let mut run = process::agent_daemon();
    run.arg("run").arg("--config").arg(&config).arg("--data-dir").arg(cluster.agent_dir("a"));
    let agent = Daemon::start(&mut run, &cluster.dir().join("agent-a.log"));
    cluster.agents.insert("a".to_owned(), agent);
    let shed = || {
        let status = cluster.agent_ctl("a", &["status", "--json"]);
        if status.code == 0 { status.json()["shed"].as_u64().unwrap_or(0) } else { 0 }
    };
    wait::until("the agent sheds", 60, || if shed() > 0 { Ok(()) } else { Err(()) });
    let (before, began) = (shed(), clock::monotonic());
    for who in ["agent", "collector"] {
        let mut times: Vec<f64> = (0..ASKED)
            .map(|_| {
                let start = clock::monotonic();
                let answer = match who {
                    "agent" => cluster.agent_ctl("a", &["run-now", "asked", "--json"]),
                    _ => cluster.ctl(&["run-now", "asked", "--json"]),
                };
                answer.ok();
                clock::monotonic().us_since(start) as f64 / 1000.0
            })
            .collect();
        let median = usage::median(&mut times);
        let worst = times.last().copied().unwrap_or(f64::NAN);
        let verdict = if worst <= 2_000.0 { "met" } else { "MISSED" };
        println!(
            "run-now asked of the {who}: median {median:.0} ms, longest of {ASKED} {worst:.0} ms (goal <= 2 s: {verdict})"
        );
    }
    let rate = (shed() - before) as f64 / clock::monotonic().us_since(began) as f64 * 1e6;
    println!("meanwhile {rate:.0} slots a second were given up");
}
