//! Hostile servers: each behaviour of the table is probed [`CONCURRENT`] times at once (a few costly ones less often), and costs no more than its
//! limits.
//!
//! Every run ends within its deadline in an outcome of the table, the memory of the process stays bounded, and a well-behaved check on the
//! same thread keeps its schedule meanwhile. The servers live in this process too, so its memory counts them in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod behaviour;
mod bodies;
mod h2;
mod http;
mod measure;
mod tls;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use sitepulse_daemon::address::Policy;
use sitepulse_model::check::{
    AssignedCheck, CheckDefinition, CheckKind, Family, HttpTarget, HttpVersion, SecretText, TcpTarget, WebsocketTarget,
};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{CheckId, CheckNo, Revision};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{Cause, FACTS_MAX, Fact, FactValue, ProbeResult, ProbeState};
use sitepulse_model::time::UtcMicros;
use sitepulse_probe::tls::Tls;
use sitepulse_probe::tools::Tools;
use sitepulse_probe::{Probe, Run};
use tokio::task::JoinSet;

use crate::behaviour::{Behaviour, CONCURRENT, Scheme, Servers};
use crate::measure::{Memory, Witness};

/// Most that a run may take beyond its deadline. Generous: the machine that runs the tests has other things to do.
const SLACK: Duration = Duration::from_millis(500);
/// Most memory of a probe, its server's side included, averaged over those at once.
const BYTES_PER_PROBE_MAX: usize = 1536 << 10;
/// Largest lag of the well-behaved check, of 99 in 100 runs, in processor time of the probing thread: what other runs took while it was due.
/// Wall time would tell how busy the machine is that runs the tests.
const LAG_MAX: Duration = Duration::from_millis(250);

fn check(behaviour: &Behaviour, address: SocketAddr) -> AssignedCheck {
    let (kind, status) = match behaviour.scheme {
        Scheme::Http | Scheme::PlainH2 => (http(behaviour, format!("http://{address}/")), "status in 200..399"),
        Scheme::Https => (http(behaviour, format!("https://{address}/")), "status in 200..399"),
        Scheme::Tcp => {
            let target = TcpTarget { address: address.to_string(), send: None, family: Family::Any };
            (CheckKind::Tcp(target), "latency >= 0us")
        }
        Scheme::WebSocket => {
            let target = WebsocketTarget::handshake(format!("ws://{address}/"));
            (CheckKind::Websocket(Box::new(target)), "status == 101")
        }
    };
    // The assertion on the body makes the prober keep it.
    let expect = [&[status, "body not contains 'canary'"], behaviour.expect].concat();
    assigned(kind, behaviour.timeout, &expect)
}

fn http(behaviour: &Behaviour, url: String) -> CheckKind {
    let mut target = HttpTarget::get(url);
    target.redirects = behaviour.redirects;
    target.compression = true;
    if behaviour.scheme == Scheme::PlainH2 {
        target.http = HttpVersion::Http2;
    }
    if behaviour.post_bytes > 0 {
        target.method = "POST".to_owned();
        target.body = Some(SecretText("x".repeat(behaviour.post_bytes)));
    }
    CheckKind::Http(Box::new(target))
}

fn assigned(kind: CheckKind, timeout: Duration, expect: &[&str]) -> AssignedCheck {
    let expect = expect.iter().map(|text| Expectation::parse(text, kind.as_str()).unwrap()).collect();
    AssignedCheck {
        number: CheckNo(1),
        revision: Revision(1),
        definition: CheckDefinition {
            id: CheckId::parse("hostile").unwrap(),
            kind,
            interval_us: 10_000_000,
            timeout_us: timeout.as_micros() as u64,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
            expect,
        },
    }
}

fn tools() -> Tools {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let allow = ["loopback".to_owned(), "private".to_owned()];
    Tools::new(Tls::with_roots(roots).unwrap(), Policy::parse(&allow).unwrap())
}

fn a_run() -> Run {
    let started = sitepulse_daemon::clock::now();
    Run { check: CheckNo(1), revision: Revision(1), slot: UtcMicros(5), started, note_all: false }
}

/// Probes one behaviour, many times at once.
async fn assault(behaviour: &Behaviour, address: SocketAddr, tools: &Arc<Tools>) -> Vec<ProbeResult> {
    let probe = Arc::new(Probe::new(&check(behaviour, address)));
    let mut runs = JoinSet::new();
    for _ in 0..behaviour.at_once {
        let (probe, tools) = (probe.clone(), tools.clone());
        runs.spawn(async move { probe.run(a_run(), &tools).await });
    }
    runs.join_all().await
}

/// Whether its facts are no more than a record carries, whatever the server told.
fn is_bounded(result: &ProbeResult) -> bool {
    let facts = &result.facts.more;
    let fits = |fact: &Fact| match &fact.value {
        FactValue::Text(text) => text.len() <= fact.key.bytes_max(),
        FactValue::Number(_) => true,
    };
    facts.len() <= FACTS_MAX && facts.iter().all(fits)
}

/// What is wrong with the results, if something is.
fn complaint(behaviour: &Behaviour, results: &[ProbeResult]) -> Option<String> {
    let wrong = results.iter().find(|result| {
        let is_up = result.state == ProbeState::Up;
        let known = behaviour.outcomes.contains(&result.cause) && (is_up == result.cause.is_none());
        let down = is_up || result.state == ProbeState::Down;
        let took = Duration::from_micros(result.phases.total.unwrap_or(u64::MAX));
        !known || !down || took > behaviour.timeout + SLACK || !is_bounded(result)
    })?;
    let wanted: Vec<&str> = behaviour.outcomes.iter().map(|cause| cause.map_or("up", Cause::as_str)).collect();
    Some(format!(
        "{}: wanted {} within {:?}, got {:?} {:?} after {:?} us: {}",
        behaviour.name,
        wanted.join(" or "),
        behaviour.timeout + SLACK,
        wrong.state,
        wrong.cause,
        wrong.phases.total,
        wrong.detail
    ))
}

#[test]
fn a_hostile_server_costs_no_more_than_its_limits() {
    let behaviours = behaviour::table();
    assert!(behaviours.len() >= 25, "{}", behaviours.len());
    let servers = Servers::start(&behaviours);
    let tools = Arc::new(tools());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let only = std::env::var("HOSTILE").ok();
    let mut table = String::new();
    let mut complaints = Vec::new();
    let lags = runtime.block_on(async {
        let witness = Witness::start(servers.friend(), tools.clone());
        for (behaviour, address) in behaviours.iter().zip(servers.addresses()) {
            if only.as_ref().is_some_and(|only| !behaviour.name.contains(only.as_str())) {
                continue;
            }
            let (memory, first) = (Memory::watch(), witness.count());
            let begun = sitepulse_daemon::clock::monotonic();
            let results = assault(behaviour, *address, &tools).await;
            let took = sitepulse_daemon::clock::monotonic().since(begun);
            let grown = memory.grown();
            complaints.extend(complaint(behaviour, &results));
            if grown > CONCURRENT * BYTES_PER_PROBE_MAX {
                complaints.push(format!("{}: memory grew by {} KiB", behaviour.name, grown >> 10));
            }
            let (kib, ms, lag, said) = (grown >> 10, took.as_millis(), witness.worst_since(first), &results[0].detail);
            let lag = lag.as_millis();
            writeln!(table, "{:38} {ms:>6} ms {kib:>7} KiB {lag:>5} ms  {said}", behaviour.name).unwrap();
        }
        witness.stop().await
    });
    let lag = lags.percentile(99);
    println!("{table}well-behaved check: {} runs, lag p99 {lag:?}, peak {} KiB", lags.count(), measure::peak_kib());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(lag <= LAG_MAX, "the well-behaved check lagged by {lag:?} (p99)");
    assert!(lags.failures().is_empty(), "the well-behaved check was {:?}", lags.failures());
}
