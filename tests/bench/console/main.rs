//! What the console costs with thousands of checks: how long pages and the API take at the server, how heavy they are over the wire, what one open console costs,
//! how long whoever writes waits meanwhile, and what a snapshot takes in memory. Results keep coming in as they would from agents.
//!
//!     cargo bench -p sitepulse-tests --bench console
//!
//! `SITEPULSE_BENCH_CHECKS` (default 5,000), `SITEPULSE_BENCH_AGENTS` (default 10) and `SITEPULSE_BENCH_DAYS` (default 90) set the size, with a result a minute of every pair;
//! `SITEPULSE_BENCH_ASKS` (default 100) how often each path is asked. 200, 3 and 2 try the benchmark out in a minute; 200, 5 and 365 are the ledger of a year, which `ledger year` asks without a console.
//!
//! The real collector, opened over a real file, answers over HTTP on loopback from within this process; the time of an answer is from the first byte sent to the last one
//! read, by one client on a connection that stays open. What is not real: the months before now were put in as if their raw results had been
//! let go ([`fill`]), so the series, the counts and the book are those of 90 days, and sketches of latency and raw results are those of the run itself.
//! Beyond that nothing is left out: incidents are judged, impact scores kept, and the results of each second come in as one batch from each agent.

mod client;
#[path = "../ledger/synthetic.rs"]
#[allow(dead_code, reason = "the ledger's benchmark uses all of it")]
mod synthetic;

mod fill;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Client;
use fill::Feeder;
use sitepulse_collector::app::{Access, App, CredentialKind};
use sitepulse_collector::impact;
use sitepulse_collector::present::Present;
use sitepulse_collector::present::http::HttpListener;
use sitepulse_collector::present::route::router;
use sitepulse_daemon::clock;
use sitepulse_daemon::task::TaskSet;
use sitepulse_tests::{process, usage};
use synthetic::Size;

/// How often home is opened in a browser.
const LOADS: usize = 5;
/// How long shares of a core are measured.
const SHARE: Duration = Duration::from_secs(20);
/// Pages answer in so long, at the 95th percentile: the goal.
const PAGE_MS: f64 = 50.0;
/// Home weighs so much over the wire, with all that it needs: the goal.
const HOME_KIB: f64 = 150.0;
/// What pages need besides; a browser keeps it.
const ASSETS: [&str; 3] = ["/assets/console.css", "/assets/console.js", "/assets/icon.svg"];

/// What is asked, and whether the goal is about it.
const PATHS: [(&str, bool); 15] = [
    ("/", true),
    ("/checks", true),
    ("/checks?state=down", true),
    ("/checks/check-7", true),
    ("/checks/check-7?span=90d", true),
    ("/checks/check-7/explain?span=30d", true),
    ("/agents", false),
    ("/incidents", false),
    ("/slos", false),
    ("/api/v1/checks/check-7", false),
    ("/api/v1/checks", false),
    ("/api/v1/explain?check=check-7&from=-30d", false),
    ("/api/v1/sla", false),
    ("/api/v1/sla/groups", false),
    ("/metrics", false),
];

fn main() {
    if cfg!(debug_assertions) {
        println!("note: this is a debug build, its figures are for trying the benchmark out");
    }
    let size = Size {
        checks: setting("SITEPULSE_BENCH_CHECKS", 5000) as usize,
        agents: setting("SITEPULSE_BENCH_AGENTS", 10) as usize,
        interval_s: 60,
        days: setting("SITEPULSE_BENCH_DAYS", 90),
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    println!("{} checks x {} agents, every 60 s, {} days", size.checks, size.agents, size.days);
    let filled = fill::fill(folder.path(), size);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(run(folder.path(), filled, size));
    runtime.shutdown_timeout(Duration::from_secs(5));
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

async fn run(dir: &std::path::Path, filled: fill::Filled, size: Size) {
    let began = clock::monotonic();
    let app = App::open(dir, clock::now()).expect("the collector opens");
    println!(
        "opened in {:.1} s; {} MiB resident",
        clock::monotonic().us_since(began) as f64 / 1e6,
        usage::rss_kib(std::process::id()) / 1024
    );
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let tasks = TaskSet::new();
    let present =
        Present::new(app.clone(), sitepulse_notify::Sender::default(), "http://localhost".into(), stopping.clone());
    let http = HttpListener::bind("127.0.0.1:0".parse().expect("an address"), None).await.expect("a port");
    let address = http.local_addr();
    tasks.spawn("impact", impact::task::run(app.clone(), stopping.clone()));
    tasks.spawn("http", http.run(router(present.clone()), tasks.clone(), stopping));
    let token = app.create_credential(CredentialKind::ApiToken, Access::Read, "bench", 3_600_000_000, clock::now());
    let token = token.await.expect("a token").secret;

    let mut feeder = Feeder::new(&app, filled, size);
    feeder.catch_up(&app).await;
    let ended = Arc::new(AtomicBool::new(false));
    let waits = feeder.waits();
    let (feeding, until) = (app.clone(), Arc::clone(&ended));
    tasks.spawn("feeder", async move { feeder.go_on(&feeding, &until).await });

    let asks = setting("SITEPULSE_BENCH_ASKS", 100) as usize;
    let measured = tokio::task::spawn_blocking(move || {
        let before = waits.lock().expect("nobody panics").len();
        let quiet = share(|| std::thread::sleep(SHARE));
        println!("\nresults come in, nobody looks: {:.1} % of a core", quiet * 100.0);
        told_waits(&waits, before);

        let mut client = Client::connect(address, &token);
        let resident = usage::rss_kib(std::process::id());
        let first = client.get("/checks/check-7");
        println!("\nthe first look of all: {:.1} ms", first.took_us as f64 / 1e3);
        println!(
            "\n{:<26} {:>6} {:>9} {:>9} {:>9} {:>12} {:>12}",
            "path", "status", "p50 ms", "p95 ms", "max ms", "bytes", "gzip"
        );
        let before = waits.lock().expect("nobody panics").len();
        for (path, goal) in PATHS {
            told(&mut client, path, asks, goal);
        }
        println!("while these were asked:");
        told_waits(&waits, before);
        println!(
            "memory of snapshots and answers: {} MiB",
            usage::rss_kib(std::process::id()).saturating_sub(resident) / 1024
        );

        home_in_a_browser(vouched_for(address, &token));
        // Another connection: a server hangs up on one that says nothing for as long as that took.
        let script = Client::connect(address, &token).get("/assets/console.js");
        println!("  script   {:.1} KiB (goal: 40)", script.bytes as f64 / 1024.0);

        let before = waits.lock().expect("nobody panics").len();
        let mut bytes = 0;
        let open = share(|| bytes = Client::connect(address, &token).listen("/events", SHARE));
        println!(
            "\none open console of home: {:.1} % of a core beyond, {:.0} KiB a second",
            (open - quiet) * 100.0,
            bytes as f64 / 1024.0 / SHARE.as_secs_f64()
        );
        told_waits(&waits, before);
    });
    measured.await.expect("nothing panics");

    println!("\na snapshot a second, {SHARE:?} long:");
    let (mut took, mut held, mut looked, mut judged) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let used = cpu_us();
    let began = clock::monotonic();
    for _ in 0..SHARE.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let effort = present.fresh_snapshot().await.expect("a snapshot").effort;
        took.push(effort.took_us as f64 / 1e3);
        held.push(effort.held_us_max as f64 / 1e3);
        looked.push(effort.looked_at as f64);
        judged.push(effort.judged as f64);
    }
    let share = (cpu_us() - used) as f64 / clock::monotonic().us_since(began) as f64;
    let max = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    let (took_max, held_max) = (max(&took), max(&held));
    println!(
        "takes {:.1} ms (at most {took_max:.1}), holds the book {held_max:.2} ms at most, looks at {:.0} checks, judges {:.0}; {:.1} % of a core with taking results in",
        usage::median(&mut took),
        usage::median(&mut looked),
        usage::median(&mut judged),
        share * 100.0
    );
    ended.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    drop(tasks.join_all(Duration::from_secs(5)).await);
    app.close().await;
}

/// Stands before the console and shows a token with each request, so that a browser without a session sees it. Answers end their connections.
fn vouched_for(console: SocketAddr, token: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let shown = format!("\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    std::thread::spawn(move || {
        for browser in listener.incoming().flatten() {
            let shown = shown.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&browser);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).is_ok_and(|bytes| bytes > 0) {}
                let Some((request, rest)) = head.split_once("\r\n") else { return };
                let rest = rest.replace("Connection: keep-alive\r\n", "");
                let mut upstream = TcpStream::connect(console).expect("the console listens");
                let asked = upstream.write_all(format!("{request}{shown}{rest}").as_bytes());
                // A browser that hangs up has seen enough.
                asked.and_then(|()| std::io::copy(&mut upstream, &mut &browser)).ok();
            });
        }
    });
    address
}

/// Opens home in a Chromium of its own, again and again, and tells what our own measurement says of it. Needs the agent's program beside
/// (`cargo build --release -p sitepulse-agent`) and Chromium.
fn home_in_a_browser(console: SocketAddr) {
    if !std::path::Path::new(process::agent().get_program()).exists() {
        println!("\nhome in Chromium: left out, for the agent's program is not built");
        return;
    }
    let home = format!("http://{console}/");
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..LOADS {
        let mut vitals = process::agent();
        vitals.args(["vitals", &home, "--profile", "desktop", "--no-throttling", "--runs", "1", "--json"]);
        let told = process::run(vitals.args(["--allow", "loopback"])).json();
        for name in ["fcp_ms", "lcp_ms", "cls", "ttfb_ms"] {
            found.entry(name).or_default().extend(told[name]["median"].as_f64());
        }
    }
    println!("\nhome in Chromium, {LOADS} loads, each a new browser (goals: first paint 300 ms, LCP 500 ms, CLS 0):",);
    for (name, mut figures) in found {
        if figures.len() < LOADS {
            println!("  {name:<8} measured in {} loads only", figures.len());
        }
        if !figures.is_empty() {
            let median = usage::median(&mut figures);
            println!("  {name:<8} median {median:.3}, worst {:.3}", figures[figures.len() - 1]);
        }
    }
}

/// Asks a path again and again, a tenth of a second apart, so that snapshots are made anew in between.
fn told(client: &mut Client, path: &str, asks: usize, goal: bool) {
    let mut took = Vec::new();
    let mut last = client.get(path);
    if last.status == 404 {
        println!("{path:<26} {:>6}", last.status);
        return;
    }
    for _ in 0..asks {
        std::thread::sleep(Duration::from_millis(100));
        last = client.get(path);
        took.push(last.took_us as f64 / 1e3);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    let packed = client.get_packed(path);
    let wire = if packed.packed { packed.bytes.to_string() } else { "-".to_owned() };
    let mut notes = String::new();
    if goal {
        notes = format!("  p95 <= {PAGE_MS} ms: {}", verdict(at(95) <= PAGE_MS));
    }
    if path == "/" {
        let assets: usize = ASSETS.iter().map(|path| client.get_packed(path).bytes).sum();
        let kib = (packed.bytes + assets) as f64 / 1024.0;
        let met = verdict(kib <= HOME_KIB);
        notes.push_str(&format!(
            "; {kib:.1} KiB with style sheet, scripts and icon, <= {HOME_KIB} over the wire: {met}"
        ));
    }
    println!(
        "{path:<26} {:>6} {:>9.1} {:>9.1} {:>9.1} {:>12} {wire:>12}{notes}",
        last.status,
        at(50),
        at(95),
        at(100),
        last.bytes
    );
}

/// The share of a core that this process uses meanwhile.
fn share(meanwhile: impl FnOnce()) -> f64 {
    let (used, began) = (cpu_us(), clock::monotonic());
    meanwhile();
    (cpu_us() - used) as f64 / clock::monotonic().us_since(began) as f64
}

/// CPU time of this process, with threads that have ended, in microseconds; Linux counts it in hundredths of a second.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10_000
}

/// How long batches waited to be stored and shown, from the nth on.
fn told_waits(waits: &fill::Waits, from: usize) {
    let mut waits: Vec<u64> = waits.lock().expect("nobody panics")[from..].to_vec();
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len().max(1) - 1) * share / 100).copied().unwrap_or(0) as f64 / 1e3;
    println!(
        "  a second's batches are taken in after: p50 {:.1} ms, p95 {:.1} ms, max {:.1} ms",
        at(50),
        at(95),
        at(100)
    );
}
