//! Attempts and their judgement.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use sitepulse_model::check::{Family, FlowStep, FlowTarget, HttpTarget, HttpVersion, TlsOptions};

use super::*;
use crate::testing::{check, run, run_prepared, some_roots, tools};

/// Answers 500 to the first request and 200 to the second.
fn fails_once() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for status in ["500 Oops", "200 OK"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut block = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut block).unwrap();
                request.extend_from_slice(&block[..read]);
            }
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
        }
    });
    (address, server)
}

#[test]
fn a_run_that_needed_another_attempt_can_be_degraded_by_it() {
    let http = |address: SocketAddr| CheckKind::Http(Box::new(HttpTarget::get(format!("http://{address}/"))));
    let flow = |address: SocketAddr| {
        CheckKind::Flow(Box::new(FlowTarget {
            http: HttpVersion::Auto,
            family: Family::Any,
            tls: TlsOptions::default(),
            steps: vec![FlowStep {
                name: "one".to_owned(),
                url: format!("http://{address}/"),
                method: "GET".to_owned(),
                headers: [].into(),
                body: None,
                auth: None,
                capture: [].into(),
                redirects: 0,
                expect: vec![],
            }],
        }))
    };
    for kind in [http, flow] {
        let (address, server) = fails_once();
        let mut check = check(kind(address), 10_000_000, &["degraded if attempts > 1"]);
        check.definition.retries = 1;
        let result = run(&check, &tools(some_roots()));
        server.join().unwrap();
        let judged = (result.state, result.cause);
        assert_eq!(judged, (ProbeState::Degraded, Some(Cause::SoftAssertion)), "{}", result.detail);
        assert_eq!(result.facts.number_of(FactKey::Attempts), Some(2));
        let failed: Vec<_> = result.facts.texts_of(FactKey::FailedAttempt).collect();
        assert!(failed.len() == 1 && failed[0].contains("500"), "{failed:?}");
    }
}

#[test]
fn a_broken_assertion_tells_the_phase_that_failed() {
    for (expect, phase) in [
        ("status == 200", Phase::FirstByte),
        ("latency.connect < 1us", Phase::Connect),
        // There was no such phase.
        ("latency.tls < 1s", Phase::Total),
        ("certificate.days > 7", Phase::Total),
    ] {
        let (address, server) = fails_once();
        let check = check(CheckKind::http(format!("http://{address}/")), 10_000_000, &["status < 600", expect]);
        let result = run(&check, &tools(some_roots()));
        run(&check, &tools(some_roots()));
        server.join().unwrap();
        assert_eq!((result.cause, result.failed_phase), (Some(Cause::AssertionFailed), Some(phase)), "{expect}");
    }
}

#[test]
fn a_target_that_brings_the_prober_down_does_not_bring_the_agent_down() {
    let check = check(CheckKind::Http(Box::new(HttpTarget::get("http://a.example/"))), 10_000_000, &[]);
    let mut probe = Probe::new(&check);
    probe.kind = Kind::Panics;
    probe.retries = 2;
    let tools = tools(some_roots());
    for _ in 0..2 {
        let result = run_prepared(&probe, &tools);
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::AgentFault)));
        assert_eq!(result.failed_phase, Some(Phase::Transfer));
        assert_eq!(result.detail, "agent: the prober failed on what hostile.example sent; please report it");
        assert_eq!(result.facts.number_of(FactKey::Attempts), None, "the agent's own fault is not tried again");
        assert!(result.phases.total.is_some());
    }
    assert!(probe.panicked.load(Ordering::Relaxed));
}

#[test]
fn a_prepared_check_is_small() {
    // Ten thousand of them are kept between their runs.
    assert!(size_of::<Probe>() <= 80, "{}", size_of::<Probe>());
}
