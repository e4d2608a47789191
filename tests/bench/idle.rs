//! What an agent costs over the probes themselves: 1,000 HTTP checks at 60 s, beside a bare prober that does nothing but probe
//! (hyper, fresh connections) at the same pace against the same site, in the same minutes.
//!
//!     cargo bench -p sitepulse-tests --bench idle
//!
//! `SITEPULSE_BENCH_S` sets the length of the window (default 120).

use std::process::{Command, Stdio};
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::Daemon;
use sitepulse_tests::site::Site;
use sitepulse_tests::{usage, wait};

const CHECKS: u64 = 1000;
const INTERVAL_S: u64 = 60;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("bare") {
        bare(&args.next().expect("an address"), Duration::from_micros(INTERVAL_S * 1_000_000 / CHECKS));
        return;
    }
    let window_s: u64 = std::env::var("SITEPULSE_BENCH_S").ok().and_then(|text| text.parse().ok()).unwrap_or(120);

    let site = Site::start();
    let mut cluster = Cluster::start();
    let checks: String = (0..CHECKS)
        .map(|n| {
            format!(
                "[[check]]\nid = \"c{n}\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"{INTERVAL_S}s\"\n",
                site.url("agent")
            )
        })
        .collect();
    cluster.apply(&checks).ok();
    cluster.add_agent("a", "eu-west");
    let address = site.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let bare = Daemon::start(
        Command::new(std::env::current_exe().expect("a running bench has a path"))
            .args(["bare", &address])
            .stderr(Stdio::inherit()),
        &cluster.dir().join("bare.log"),
    );
    let count = |path: &str| site.hits().get(path).copied().unwrap_or(0);
    wait::until("both have made a round", INTERVAL_S + 30, || {
        let seen = (count("agent"), count("bare"));
        if seen.0 >= CHECKS && seen.1 >= CHECKS { Ok(()) } else { Err(seen) }
    });

    let agent_pid = cluster.agents["a"].pid();
    let before =
        (usage::cpu_us(agent_pid), usage::cpu_us(bare.pid()), count("agent"), count("bare"), clock::monotonic());
    std::thread::sleep(Duration::from_secs(window_s));
    let seconds = clock::monotonic().us_since(before.4) as f64 / 1e6;
    let agent_us = (usage::cpu_us(agent_pid) - before.0) as f64;
    let bare_us = (usage::cpu_us(bare.pid()) - before.1) as f64;
    let (agent_probes, bare_probes) = ((count("agent") - before.2) as f64, (count("bare") - before.3) as f64);
    let share = |us: f64| us / seconds / 1e6 * 100.0;
    println!("window                 {seconds:.1} s");
    println!(
        "agent                  {:.3} % of a core, {agent_probes} probes, {:.0} us per probe",
        share(agent_us),
        agent_us / agent_probes
    );
    println!(
        "bare probes            {:.3} % of a core, {bare_probes} probes, {:.0} us per probe",
        share(bare_us),
        bare_us / bare_probes
    );
    println!(
        "agent over bare        {:.3} % of a core (goal <= 1)",
        share(agent_us) - share(bare_us) * agent_probes / bare_probes
    );
    println!(
        "agent RSS              {:.1} MiB now, {:.1} MiB at most (goal <= 20)",
        usage::rss_kib(agent_pid) as f64 / 1024.0,
        usage::peak_kib(agent_pid) as f64 / 1024.0
    );
    println!("bare RSS               {:.1} MiB", usage::rss_kib(bare.pid()) as f64 / 1024.0);
    drop(bare);
}

/// Probes `address` once per `pace`, for ever, and nothing else.
fn bare(address: &str, pace: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(pace);
        loop {
            ticks.tick().await;
            if let Err(error) = probe(address).await {
                eprintln!("bare probe: {error}");
            }
        }
    });
}

async fn probe(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    use http_body_util::BodyExt;
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, http_body_util::Empty<bytes::Bytes>>(
        hyper_util::rt::TokioIo::new(stream),
    )
    .await?;
    let request =
        hyper::Request::get("/bare").header("Host", address).header("Connection", "close").body(Default::default())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        response.into_body().collect().await
    };
    let (answer, connection) = tokio::join!(answer, connection);
    answer?;
    connection?;
    Ok(())
}
