//! What many readers of a public status page cost: 500 connections that stay open and ask again every 10 s, with the tag of what they have and without, while an agent
//! delivers results all the time, so that the page is found out and rendered again and again.
//!
//!     cargo bench -p sitepulse-tests --bench status
//!
//! `SITEPULSE_BENCH_S` sets the length of each window (default 60), `SITEPULSE_BENCH_READERS` how many readers there are (default 500), `SITEPULSE_BENCH_CHECKS` how many
//! checks are on the page (default 30; each with 90 days of results every 10 minutes from 3 agents).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use sitepulse_collector::app::{App, ApplyOptions};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_model::id::{AgentName, AgentNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Cause, Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::Site;
use sitepulse_tests::{usage, wait};
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

const INTERVAL_US: i64 = 600_000_000;
const SLOTS: i64 = 90 * 144;
const AGENTS: usize = 3;
const PAUSE: Duration = Duration::from_secs(10);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let (window_s, readers) = (number("SITEPULSE_BENCH_S", 60), number("SITEPULSE_BENCH_READERS", 500));
    let checks = number("SITEPULSE_BENCH_CHECKS", 30);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.stop_collector();
    let began = clock::monotonic();
    runtime.block_on(seed(&cluster, checks, &site));
    println!("seeded in              {:.1} s", clock::monotonic().us_since(began) as f64 / 1e6);
    cluster.start_collector();
    // Its results keep the present moving: one a second.
    cluster.add_agent("live", "live");
    wait::until("the live agent delivers", 60, || {
        let live = cluster.check("live");
        if live["verdict"] == "up" { Ok(()) } else { Err(live) }
    });
    let address = cluster.http().to_owned();
    let pid = cluster.collector.as_ref().expect("it runs").pid();

    let share = |seconds: u64| {
        let (cpu, began) = (usage::cpu_with_ended_us(pid), clock::monotonic());
        std::thread::sleep(Duration::from_secs(seconds));
        (usage::cpu_with_ended_us(pid) - cpu) as f64 / clock::monotonic().us_since(began) as f64 * 100.0
    };
    let idle = share(window_s / 2);
    println!("without readers        {idle:.2} % of a core");
    for (what, tagged) in [("with the tag", true), ("without the tag", false)] {
        let counts = Arc::new([const { AtomicU64::new(0) }; 3]);
        let tasks: Vec<_> = (0..readers)
            .map(|nth| {
                let (address, counts) = (address.clone(), Arc::clone(&counts));
                let first = PAUSE.mul_f64(nth as f64 / readers as f64);
                runtime.spawn(async move {
                    tokio::time::sleep(first).await;
                    if let Err(error) = read(&address, tagged, &counts).await {
                        eprintln!("a reader: {error}");
                    }
                })
            })
            .collect();
        // All of them have asked once.
        std::thread::sleep(PAUSE + Duration::from_secs(2));
        let before = [0, 1, 2].map(|at| counts[at].load(Ordering::Relaxed));
        let spent = share(window_s);
        let [whole, not_modified, bytes] = [0, 1, 2].map(|at| counts[at].load(Ordering::Relaxed) - before[at]);
        println!(
            "{readers} readers {what:<15} {:.2} % of a core over that (goal <= 5): {whole} pages, {not_modified} times 304, {:.0} KiB a page",
            spent - idle,
            bytes as f64 / 1024.0 / whole.max(1) as f64
        );
        for task in tasks {
            task.abort();
        }
    }
    println!("RSS                    {:.1} MiB at most", usage::peak_kib(pid) as f64 / 1024.0);
}

/// Asks again and again over one connection. Counts pages, answers without one, and bytes.
async fn read(
    address: &str,
    tagged: bool,
    counts: &[AtomicU64; 3],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Empty<bytes::Bytes>>(io).await?;
    let asking = async {
        let mut tag: Option<hyper::header::HeaderValue> = None;
        loop {
            let mut request = hyper::Request::get("/status/public")
                .header("Host", address)
                .header("Accept-Encoding", "gzip")
                .header("Accept-Language", "en");
            if let Some(tag) = tag.as_ref().filter(|_| tagged) {
                request = request.header("If-None-Match", tag);
            }
            let response = sender.send_request(request.body(Empty::new())?).await?;
            let status = response.status().as_u16();
            tag = response.headers().get("etag").cloned();
            let bytes = response.into_body().collect().await?.to_bytes().len();
            match status {
                200 => {
                    counts[0].fetch_add(1, Ordering::Relaxed);
                    counts[2].fetch_add(bytes as u64, Ordering::Relaxed);
                }
                304 => drop(counts[1].fetch_add(1, Ordering::Relaxed)),
                other => return Err(format!("status {other}").into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        ended = asking => ended,
        ended = connection => Ok(ended?),
    }
}

/// Fills the data directory: checks that are 90 days old, their results, and a page of all of them.
async fn seed(cluster: &Cluster, checks: u64, site: &Site) {
    let now = clock::now();
    let start = now.plus_us(-SLOTS * INTERVAL_US);
    let app = App::open(&cluster.collector_dir(), now).expect("the data directory opens");
    let mut text = format!(
        "[[check]]\nid = \"live\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"1s\"\nregions = [\"live\"]\n",
        site.url("live")
    );
    let mut items = String::from("[[status_page.groups.items]]\nid = \"live\"\nname = \"Live\"\nchecks = [\"live\"]\n");
    for nth in 0..checks {
        text.push_str(&format!(
            "[[check]]\nid = \"c{nth}\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"10m\"\nregions = [\"far-0\", \"far-1\", \"far-2\"]\n",
            site.url("far")
        ));
        items.push_str(&format!(
            "[[status_page.groups.items]]\nid = \"i{nth}\"\nname = \"Service number {nth}\"\nchecks = [\"c{nth}\"]\n"
        ));
    }
    text.push_str(&format!(
        "[[status_page]]\nid = \"public\"\ntitle = \"Example status\"\n[[status_page.groups]]\nname = \"Services\"\n{items}"
    ));
    let written = checkfile::parse(&[Source { name: "bench.toml".into(), text }]).expect("the file is right");
    let options = ApplyOptions { prune: false, dry_run: false, author: "collector:bench".into() };
    app.apply(written, options, start).await.expect("applied");
    app.writer().run(move |engine| fill(engine, checks, start)).await.expect("filled");
    app.close().await;
}

fn fill(engine: &mut Engine, checks: u64, start: sitepulse_model::time::UtcMicros) {
    for agent in 0..AGENTS {
        let (name, number) = enrol(engine, agent, start);
        let mut seq = 0;
        for nth in 0..checks {
            let (check, bucket, lattice) = {
                let book = engine.shared().book();
                let id = sitepulse_model::id::CheckId::parse(&format!("c{nth}")).expect("an id");
                let check = book.check_by_id(&id).expect("applied");
                (check.number, check.bucket(), Lattice::new(&check.id, &name, INTERVAL_US.unsigned_abs()))
            };
            let first = lattice.at_or_after(start);
            let entries: Vec<Entry> = (0..SLOTS)
                .map(|slot| {
                    // An outage of half an hour every nine days, and lone failures in between.
                    let down = slot % 1_300 < 3 || (slot + 7 * agent as i64) % 211 == 0;
                    seq += 1;
                    let scheduled = first.plus_us(slot * INTERVAL_US);
                    let record = Record::Result(ProbeResult {
                        check,
                        revision: Revision(1),
                        scheduled,
                        started: scheduled,
                        phases: Phases { total: Some(1_234), ..Phases::default() },
                        state: if down { ProbeState::Down } else { ProbeState::Up },
                        cause: down.then_some(Cause::Timeout),
                        failed_phase: None,
                        detail: String::new(),
                        address: None,
                        facts: Facts::default(),
                    });
                    Entry { bucket, seq: Seq(seq), provenance: 0, record }
                })
                .collect();
            for part in entries.chunks(2_000) {
                let received_at = part.last().map_or(start, |entry| match &entry.record {
                    Record::Result(result) => result.scheduled.plus_us(1_000_000),
                    Record::Missed(_) | Record::Dropped(_) => start,
                });
                let provenances =
                    vec![Provenance { build: "0".into(), clock_offset_us: None, clock_uncertainty_us: 0 }];
                let batch = Batch { number: seq, incarnation: Incarnation(7), provenances, entries: part.to_vec() };
                engine.ingest(vec![IngestJob { agent: number, received_at, batch }]).expect("stored");
            }
        }
    }
}

fn enrol(engine: &mut Engine, nth: usize, at: sitepulse_model::time::UtcMicros) -> (AgentName, AgentNo) {
    let region = Region::parse(&format!("far-{nth}")).expect("a region");
    let name = AgentName::parse(&format!("far-{nth}-1")).expect("a name");
    let token = engine.create_join_token(region, 3_600_000_000, at).expect("a token").token;
    let key = AgentKey::generate().expect("a key");
    let request = JoinRequest {
        protocol_min: 1,
        protocol_max: 1,
        secret: token.secret,
        csr_der: key.csr_der(&name).expect("a request"),
        name: Some(name.clone()),
        build: "0".into(),
    };
    let joined = engine.join(&request, at).expect("the store writes").expect("the agent is taken");
    (name, joined.agent)
}
