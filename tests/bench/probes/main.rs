//! What a check costs: CPU time of the real agent, with scheduling, assertions, phases and the durable spool, beside the barest program
//! that does the same on the wire, and beside Debian's blackbox_exporter. All against the same local server, at the same pace, in
//! alternating windows; medians of pairs, told as ratios.
//!
//!     cargo bench -p sitepulse-tests --bench probes -- [tcp] [http] [https] [icmp] [h3] [tcp-fast] [http-fast] [icmp-fast] [icmp-full] [scale] [mixed] [overload] [soak] [curl] [kuma]
//!
//! Without a name: all of them but `soak`, about an hour. Figures are worth something on a quiet machine alone. nginx, caddy (Debian's nginx has no
//! HTTP/3), curl and blackbox_exporter are installed with apt where they are missing.
//! `SITEPULSE_BENCH_S` sets the length of a window (default 15), `SITEPULSE_BENCH_PAIRS` the number of pairs (default 5),
//! `SITEPULSE_BENCH_CHECKS` the checks of `scale`, `mixed` and `soak` (default 10,000): small values try the benchmark out.
//!
//! Each process sleeps between its probes at the usual paces, and pays for waking; `tcp-fast`, `http-fast` and `icmp-fast` are the same at a pace that keeps
//! blackbox_exporter's core nearly busy. `icmp-full` is at a pace at which agent and bare socket hardly rest; blackbox_exporter cannot keep up with it. Compare within one pace alone.
//!
//! [`contest`] makes the windows, [`floor`] holds the bare programs (this binary again, as child processes), [`servers`] what is probed.
//! [`scale`] runs 10,000 checks on one agent (`scale`, `mixed`; `soak` with the collector away for `SITEPULSE_BENCH_SOAK_S`, default an hour); [`curl`] compares phases.
//! [`kuma`] runs beside Uptime Kuma, where `SITEPULSE_BENCH_KUMA` says where that is.

mod contest;
mod curl;
mod floor;
mod kuma;
mod scale;
mod servers;

use contest::{Contender, Goals, contest, setting};
use scale::Mix;
use servers::{Blackbox, Caddy, Nginx, Site};
use sitepulse_tests::cluster::Cluster;

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "floor") {
        floor::run(&words[1..]);
        return;
    }
    let all = [
        "tcp",
        "http",
        "https",
        "icmp",
        "h3",
        "tcp-fast",
        "http-fast",
        "icmp-fast",
        "icmp-full",
        "scale",
        "mixed",
        "overload",
        "curl",
        "soak",
        "kuma",
    ];
    if let Some(unknown) = words.iter().find(|word| !all.contains(&word.as_str())) {
        eprintln!("{unknown:?} is no benchmark: use {}", all.join(", "));
        std::process::exit(2);
    }
    servers::install();
    if cfg!(debug_assertions) {
        println!("note: this is a debug build, its figures are for trying the benchmark out");
    }
    for name in
        all.iter().filter(|name| (words.is_empty() && **name != "soak") || words.iter().any(|word| word == *name))
    {
        println!("\n== {name}");
        match *name {
            "tcp" => tcp(1_000),
            "http" => http(500),
            "tcp-fast" => tcp(2_500),
            "http-fast" => http(1_500),
            "https" => https(),
            "icmp" => icmp("icmp", 1_000),
            "icmp-fast" => icmp("icmp-fast", 2_500),
            "icmp-full" => icmp("icmp-full", 10_000),
            "h3" => h3(),
            "scale" => scale::run(Mix::Https, 0),
            "mixed" => scale::run(Mix::Mixed, 0),
            "overload" => scale::overload(),
            "soak" => scale::run(Mix::Mixed, setting("SITEPULSE_BENCH_SOAK_S", 3600)),
            "kuma" => kuma::run(setting("SITEPULSE_BENCH_S", 15), setting("SITEPULSE_BENCH_PAIRS", 5)),
            _ => curl::run(),
        }
    }
}

/// `count` checks a second, each every second.
fn checks(count: u32, keys: &str) -> String {
    (0..count).map(|n| format!("[[check]]\nid = \"c{n}\"\ninterval = \"1s\"\ntimeout = \"900ms\"\n{keys}\n")).collect()
}

fn tcp(pace: u32) {
    let site = Site::new();
    let nginx = Nginx::start(&site);
    let blackbox = Blackbox::start(&site);
    let address = nginx.http();
    let mut cluster = Cluster::start();
    let keys = format!("kind = \"tcp\"\naddress = \"{address}\"\nexpect = [\"latency < 500ms\"]");
    let agent = Contender::agent(&mut cluster, &site, &checks(pace, &keys), "a");
    let floor = Contender::floor("raw connect", &site, pace, &["tcp", &address]);
    let other = blackbox.contender(&site, pace, "tcp_connect", &address);
    let goals = Goals { floor: Some(1.5), other: Some(9.0), us: None };
    contest(agent, Some(floor), Some(other), &goals, &|| nginx.accepted());
}

fn http(pace: u32) {
    let site = Site::new();
    let nginx = Nginx::start(&site);
    let blackbox = Blackbox::start(&site);
    let address = nginx.http();
    let url = format!("http://{address}/");
    let mut cluster = Cluster::start();
    let keys = format!("kind = \"http\"\nurl = \"{url}\"\n{PAGE}");
    let agent = Contender::agent(&mut cluster, &site, &checks(pace, &keys), "a");
    let floor = Contender::floor("bare hyper", &site, pace, &["http", &address]);
    let other = blackbox.contender(&site, pace, "http_2xx", &url);
    let goals = Goals { floor: Some(1.5), other: Some(8.0), us: None };
    contest(agent, Some(floor), Some(other), &goals, &|| nginx.accepted());
}

fn https() {
    let pace = 333;
    let site = Site::new();
    let nginx = Nginx::start(&site);
    let blackbox = Blackbox::start(&site);
    let address = nginx.https();
    let url = format!("https://{address}/");
    let mut cluster = Cluster::start();
    let keys = format!("kind = \"http\"\nhttp = \"1.1\"\nurl = \"{url}\"\n{PAGE}");
    let agent = Contender::agent(&mut cluster, &site, &checks(pace, &keys), "a");
    let floor = Contender::floor("bare hyper + rustls", &site, pace, &["https", &address]);
    let other = blackbox.contender(&site, pace, "http_2xx", &url);
    let goals = Goals { floor: Some(1.15), other: Some(3.0), us: None };
    contest(agent, Some(floor), Some(other), &goals, &|| nginx.accepted());
}

/// The assertions of the pages' checks.
const PAGE: &str = "expect = [\"status == 200\", \"body contains 'Welcome'\", \"latency < 500ms\"]";

fn h3() {
    let pace = 200;
    let site = Site::new();
    let caddy = Caddy::start(&site);
    let mut cluster = Cluster::start();
    let keys = format!("kind = \"http\"\nhttp = \"3\"\nurl = \"https://{}/\"\n{PAGE}", caddy.address());
    let agent = Contender::agent(&mut cluster, &site, &checks(pace, &keys), "a");
    let floor = Contender::floor("bare quinn + h3", &site, pace, &["h3", &caddy.address()]);
    let goals = Goals { floor: Some(1.3), other: None, us: None };
    contest(agent, Some(floor), None, &goals, &|| caddy.requests());
}

fn icmp(name: &str, pace: u32) {
    // Unprivileged sockets are what an agent has in production. Where they are not allowed, a network of our own allows them.
    if !servers::may_ping() {
        println!("unprivileged echoes are not allowed here: once more in a network of our own");
        servers::again_in_own_network(name);
        return;
    }
    let site = Site::new();
    let blackbox = Blackbox::start(&site);
    let echo = |id: &str, n: u32, interval: &str, more: &str| {
        format!(
            "[[check]]\nid = \"{id}{n}\"\nkind = \"icmp\"\nhost = \"127.1.{}.{}\"\ncount = 1\ninterval = \"{interval}\"\ntimeout = \"900ms\"\n{more}\n",
            n / 250,
            n % 250 + 1
        )
    };
    {
        let mut cluster = Cluster::start();
        let toml: String = (0..pace).map(|n| echo("c", n, "1s", "expect = [\"latency < 500ms\"]")).collect();
        let agent = Contender::agent(&mut cluster, &site, &toml, "a");
        let floor = Contender::floor("bare socket", &site, pace, &["icmp", "127.1.0.1"]);
        let other = (name != "icmp-full").then(|| blackbox.contender(&site, pace, "icmp", "127.1.0.1"));
        let goals = Goals { floor: None, other: Some(15.0), us: Some(20.0) };
        contest(agent, Some(floor), other, &goals, &servers::echoes);
    }
    if name != "icmp" {
        return;
    }
    // The same number of echoes a second to few targets and to many.
    let mut cluster = Cluster::start();
    let few: String = (0..50).map(|n| echo("few", n, "1s", "regions = [\"few\"]")).collect();
    let many: String = (0..1000).map(|n| echo("many", n, "20s", "regions = [\"many\"]")).collect();
    let toml = format!("{few}{many}");
    let few = Contender::agent(&mut cluster, &site, &toml, "few").named("50 targets");
    let many = Contender::agent(&mut cluster, &site, &toml, "many").named("1,000 targets");
    let goals = Goals { floor: Some(1.2), other: None, us: None };
    contest(many, Some(few), None, &goals, &servers::echoes);
}
