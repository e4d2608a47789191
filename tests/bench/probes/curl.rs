//! Phases beside `curl -w`: the same target, one after the other, medians of [`RUNS`] each. They agree within 1 ms + 5 %.

use std::process::Command;

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process;
use sitepulse_tests::usage;

use crate::contest::{all_up, start_agent, wait_for_runs};
use crate::servers::{Nginx, Site, slow_backend};

const RUNS: usize = 50;
const PHASES: [&str; 5] = ["connect", "tls", "first_byte", "transfer", "total"];

fn run_one(name: &str, url: &str, site: &Site) {
    let mut ours = vec![Vec::new(); PHASES.len()];
    let mut theirs = vec![Vec::new(); PHASES.len()];
    for _ in 0..RUNS {
        for (column, ms) in theirs.iter_mut().zip(curl(url, site)) {
            column.push(ms);
        }
        for (column, ms) in ours.iter_mut().zip(agent(url, site)) {
            column.push(ms);
        }
    }
    println!("{name}: medians of {RUNS} runs each, milliseconds");
    for ((phase, ours), theirs) in PHASES.iter().zip(&mut ours).zip(&mut theirs) {
        let (our, their) = (usage::median(ours), usage::median(theirs));
        let agrees = (our - their).abs() <= 1.0 + their * 0.05;
        println!("  {phase:<10} agent {our:>8.3}  curl {their:>8.3}  {}", if agrees { "agree" } else { "DIFFER" });
    }
}

pub(crate) fn run() {
    let site = Site::new();
    let nginx = Nginx::start_before(&site, Some(slow_backend()));
    run_one("http", &format!("http://{}/", nginx.http()), &site);
    run_one("https", &format!("https://{}/", nginx.https()), &site);
    // Phases that last: a wait for the first byte and a body that comes in two parts.
    run_one("https, slow", &format!("https://{}/slow", nginx.https()), &site);
    scheduled(&site, &nginx);
}

/// Runs of a schedule share wake-ups, and they measure what a run measures that is alone: totals at a pace where nearly each wake-up has
/// several, beside those at a pace where each run has its own.
fn scheduled(site: &Site, nginx: &Nginx) {
    let url = format!("https://{}/", nginx.https());
    let median_at = |pace: u64| {
        let mut cluster = Cluster::start();
        let check = |n| {
            format!("[[check]]\nid = \"c{n}\"\nkind = \"http\"\nhttp = \"1.1\"\nurl = \"{url}\"\ninterval = \"1s\"\n")
        };
        cluster.apply(&(0..pace).map(check).collect::<String>()).ok();
        cluster.join("a", "eu");
        let daemon = start_agent(&cluster, site, "a");
        cluster.agents.insert("a".to_owned(), daemon);
        let mut totals = Vec::new();
        // A check shows its last run alone.
        for look in 1..=10 {
            wait_for_runs(&cluster, "a", look * pace);
            let checks = cluster.agent_ctl("a", &["checks", "--json"]).json();
            all_up(&checks);
            let total = |check: &serde_json::Value| check["last"]["total_s"].as_f64().map(|s| s * 1000.0);
            totals.extend(checks.as_array().into_iter().flatten().filter_map(total));
        }
        usage::median(&mut totals)
    };
    let alone = median_at(10);
    for pace in [167, 333] {
        let ours = median_at(pace);
        let verdict = if (ours - alone).abs() <= 1.0 + alone * 0.05 { "agree" } else { "DIFFER" };
        println!("https, scheduled at {pace}/s: total {ours:.3} ms, at 10/s {alone:.3} ms  {verdict}");
    }
}

/// Of one run: each of [`PHASES`] in milliseconds. Ours begin the first byte's when the request is sent; curl's count the sending in.
fn agent(url: &str, site: &Site) -> [f64; 5] {
    let mut command = process::agent();
    command.args(["probe", url, "--json", "--allow", "loopback", "--http", "1.1"]).env("SSL_CERT_FILE", site.ca());
    let result = process::run(&mut command).json();
    let us = |name: &str| result["phases_us"][name].as_f64().unwrap_or(0.0);
    [us("connect"), us("tls"), us("send") + us("first_byte"), us("transfer"), us("total")].map(|us| us / 1000.0)
}

fn curl(url: &str, site: &Site) -> [f64; 5] {
    let format = "%{time_namelookup} %{time_connect} %{time_appconnect} %{time_pretransfer} %{time_starttransfer} %{time_total}\n";
    let mut command = Command::new("curl");
    // Two fresh connections of one process, and the second counts: curl sets its TLS library up within the first one's handshake.
    command
        .args(["-sS", "--http1.1", "--no-sessionid", "-H", "Connection: close", "-w", format, "--cacert"])
        .arg(site.ca());
    command.args(["-o", "/dev/null", url, "-o", "/dev/null", url]);
    let both = process::run(&mut command).ok();
    let text = both.lines().nth(1).expect("curl tells of each");
    let at: Vec<f64> = text.split_whitespace().map(|word| word.parse::<f64>().expect("seconds") * 1000.0).collect();
    let [lookup, connect, app, ready, first, total] = at[..] else { panic!("curl says {text}") };
    [connect - lookup, if app > 0.0 { app - connect } else { 0.0 }, first - ready, total - first, total]
}
