//! Beside Uptime Kuma 2, at the same time and the same pace, each against a server of its own.
//!
//! Kuma cannot be told to rest, and its shortest interval is 20 s, so there are no alternating windows: both run throughout, and each one's CPU time is divided by
//! the connections that its server saw. Kuma is not installed by this bench: `SITEPULSE_BENCH_KUMA` names a folder with its `server/server.js` and its dependencies,
//! as `npm install uptime-kuma` leaves it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, Daemon};
use sitepulse_tests::{usage, wait};

use crate::contest::{start_agent, wait_for_checks};
use crate::servers::{Nginx, Site, free_port};

/// Kuma starts its monitors one by one, about two a second.
const CHECKS: u64 = 200;
const INTERVAL_S: u64 = 20;
const GOAL: f64 = 10.0;

/// A user and the monitors, as Kuma's own pages would make them.
const SEED: &str = "import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute(\"insert into user (id, username, password) values (1, 'bench', 'x')\")
for n in range(int(sys.argv[3])):
    base.execute(
        \"insert into monitor (name, user_id, type, url, interval, maxretries, active, keyword, retry_interval, timeout) values (?, 1, 'keyword', ?, ?, 0, 1, 'Welcome', 20, 5)\",
        (f'c{n}', f'{sys.argv[2]}{n}', int(sys.argv[4])))
base.commit()
";

pub(crate) fn run(seconds: u64, pairs: u64) {
    let Some(kuma) = std::env::var_os("SITEPULSE_BENCH_KUMA").map(PathBuf::from) else {
        println!("left out: SITEPULSE_BENCH_KUMA does not say where Uptime Kuma is");
        return;
    };
    let site = Site::new();
    let other_site = Site::new_like(&site);
    let (ours, theirs) = (Nginx::start(&site), Nginx::start(&other_site));
    let mut server = start(&kuma, &site, &format!("https://{}/", theirs.https()));
    let mut cluster = Cluster::start();
    let check = |n: u64| {
        format!(
            "[[check]]\nid = \"c{n}\"\nkind = \"http\"\nhttp = \"1.1\"\nurl = \"https://{}/{n}\"\ninterval = \"{INTERVAL_S}s\"\nexpect = [\"status == 200\", \"body contains 'Welcome'\"]\n",
            ours.https()
        )
    };
    cluster.apply(&(0..CHECKS).map(check).collect::<String>()).ok();
    cluster.join("a", "eu");
    let agent = start_agent(&cluster, &site, "a");
    let pid = agent.pid();
    cluster.agents.insert("a".to_owned(), agent);
    wait_for_checks(&cluster, "a", CHECKS);
    wait::until("Kuma ran all its checks", 600, || {
        assert!(server.ended().is_none(), "Uptime Kuma ended: {}", server.log());
        if theirs.accepted() >= CHECKS { Ok(()) } else { Err(theirs.accepted()) }
    });
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..pairs {
        let before = [(pid, &ours), (server.pid(), &theirs)].map(|(pid, seen)| (usage::cpu_us(pid), seen.accepted()));
        std::thread::sleep(Duration::from_secs(seconds.max(INTERVAL_S)));
        let after = [(pid, &ours), (server.pid(), &theirs)].map(|(pid, seen)| (usage::cpu_us(pid), seen.accepted()));
        let [our, their] = [0, 1].map(|who| {
            let ((cpu, runs), (cpu_then, runs_then)) = (after[who], before[who]);
            assert!(runs > runs_then, "no checks in a window: {}", server.log());
            (cpu - cpu_then) as f64 / (runs - runs_then) as f64
        });
        for (column, figure) in costs.iter_mut().zip([our, their, their / our]) {
            column.push(figure);
        }
    }
    let [our, their, ratio] = costs.map(|mut column| usage::median(&mut column));
    println!("medians of {pairs} windows, {} checks a second each; CPU time per check", CHECKS / INTERVAL_S);
    println!("sitepulse-agent        {our:>8.1} us   RSS {:.1} MiB", usage::rss_kib(pid) as f64 / 1024.0);
    let verdict = if ratio >= GOAL { "met" } else { "MISSED" };
    println!(
        "Uptime Kuma            {their:>8.1} us   RSS {:.1} MiB; the agent costs 1/{ratio:.1} of this, goal 1/{GOAL}: {verdict}",
        usage::rss_kib(server.pid()) as f64 / 1024.0
    );
}

/// Starts Kuma twice: once to make its database, then with the monitors in it.
fn start(kuma: &Path, site: &Site, url: &str) -> Daemon {
    let data = site.folder("kuma");
    std::fs::write(data.join("db-config.json"), "{\"type\":\"sqlite\"}").expect("it can be written");
    let port = free_port();
    let launch = |log: &str| {
        Daemon::start(
            Command::new("node")
                .arg("server/server.js")
                .arg(format!("--data-dir={}/", data.display()))
                .arg(format!("--port={port}"))
                .arg("--host=127.0.0.1")
                .env("NODE_EXTRA_CA_CERTS", site.ca())
                .current_dir(kuma),
            &data.join(log),
        )
    };
    let listens = |daemon: &mut Daemon| {
        wait::until("Uptime Kuma listens", 180, || {
            assert!(daemon.ended().is_none(), "Uptime Kuma ended: {}", daemon.log());
            std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())
        });
    };
    let mut first = launch("first.log");
    listens(&mut first);
    first.stop();
    let base = data.join("kuma.db");
    process::run(
        Command::new("/usr/bin/python3")
            .args(["-c", SEED])
            .arg(base)
            .arg(url)
            .arg(CHECKS.to_string())
            .arg(INTERVAL_S.to_string()),
    )
    .ok();
    let mut server = launch("kuma.log");
    listens(&mut server);
    server
}
