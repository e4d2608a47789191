//! The policy on addresses against a corpus of ways around it (I16): a canary on this machine's loopback must never be reached, whatever a check,
//! a name or a redirect says. One other loopback address stands for the Internet and is the only one allowed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "evasion/corpus.rs"]
mod corpus;
#[path = "evasion/ground.rs"]
mod ground;

use std::collections::BTreeSet;

use sitepulse_daemon::address::Policy;
use sitepulse_daemon::clock;
use sitepulse_model::check::{AssignedCheck, CheckDefinition, CheckKind};
use sitepulse_model::control::Weight;
use sitepulse_model::id::{CheckId, CheckNo, Revision};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{Cause, ProbeResult, ProbeState};
use sitepulse_probe::resolve::Resolver;
use sitepulse_probe::tls::Tls;
use sitepulse_probe::tools::Tools;
use sitepulse_probe::{Probe, Run};

use crate::corpus::{Case, End, advertised, cases, every_kind, http};
use crate::ground::{Ground, PUBLIC, alias, chain, redirect, service, set};

/// Distinct targets that the corpus must have.
const CASES_MIN: usize = 300;

fn tools(ground: &Ground, allow: &[&str]) -> Tools {
    let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let allow: Vec<String> = allow.iter().map(|entry| (*entry).to_owned()).collect();
    let mut tools = Tools::new(Tls::with_roots(roots).unwrap(), Policy::parse(&allow).unwrap());
    tools.resolver = Resolver::with_server(ground.names);
    tools
}

fn run(kind: &CheckKind, tools: &Tools, runtime: &tokio::runtime::Runtime) -> ProbeResult {
    let check = AssignedCheck {
        number: CheckNo(1),
        revision: Revision(1),
        definition: CheckDefinition {
            id: CheckId::parse("evader").unwrap(),
            kind: kind.clone(),
            interval_us: 10_000_000,
            timeout_us: 2_000_000,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
            expect: vec![],
        },
    };
    let now = clock::now();
    let run = Run { check: check.number, revision: check.revision, slot: now, started: now, note_all: false };
    runtime.block_on(Probe::new(&check).run(run, tools))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What is wrong with a result, if anything.
fn complaint(case: &Case, result: &ProbeResult) -> Option<String> {
    let dialled = result.address.map(|address| address.ip());
    let right = match case.end {
        End::Refused => result.cause == Some(Cause::PolicyRefused) && result.state == ProbeState::Unknown,
        End::Nowhere => matches!(
            result.cause,
            Some(Cause::PolicyRefused | Cause::DnsFailed | Cause::AgentFault | Cause::RedirectFailed)
        ),
        End::Anyhow => true,
        End::Led => result.cause != Some(Cause::PolicyRefused) && dialled == Some(PUBLIC.into()),
        End::Public => result.state == ProbeState::Up && dialled == Some(PUBLIC.into()),
    };
    let strayed = dialled.is_some_and(|address| address != PUBLIC);
    (!right || strayed)
        .then(|| format!("{:?} must end {:?}: {:?} {:?} {}", case.kind, case.end, result.cause, dialled, result.detail))
}

#[test]
fn nothing_in_the_corpus_reaches_the_canary() {
    let ground = Ground::new();
    let tools = tools(&ground, &[&PUBLIC.to_string()]);
    let runtime = runtime();
    let cases = cases(ground.port);
    let mut distinct = BTreeSet::new();
    let mut complaints = Vec::new();
    for case in &cases {
        let result = run(&case.kind, &tools, &runtime);
        distinct.insert(format!("{:?}", case.kind));
        complaints.extend(complaint(case, &result));
    }
    println!("{} distinct targets of {} cases", distinct.len(), cases.len());
    assert!(distinct.len() >= CASES_MIN, "{} distinct targets", distinct.len());
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), cases.len(), complaints.join("\n"));
    assert_eq!(ground.visits(), 0, "the canary was reached");
}

/// The canary can be reached and counts, or the test above would prove nothing.
#[test]
fn with_the_loopback_allowed_the_same_ways_reach_the_canary() {
    let ground = Ground::new();
    let tools = tools(&ground, &["loopback"]);
    let runtime = runtime();
    let port = ground.port;
    let canary = "127.0.0.1".parse().unwrap();
    let mut ways: Vec<CheckKind> = ["127.0.0.1", "::1"].iter().flat_map(|host| every_kind(host, port)).collect();
    // Echoes come to no door.
    ways.retain(|kind| kind.as_str() != "icmp");
    let names = [
        set(&[canary]),
        set(&["::1".parse().unwrap()]),
        chain(3, canary),
        "localhost".to_owned(),
        "a.localhost.".to_owned(),
    ];
    ways.extend(names.iter().map(|name| http(&format!("http://{name}:{port}/"))));
    let at_canary = service(&set(&[canary]), port);
    for host in [alias(&at_canary), at_canary, service("localhost", port)] {
        ways.push(advertised(&host, port));
    }
    for host in ["[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f.1"] {
        ways.push(http(&format!("http://{host}:{port}/")));
    }
    for status in [301, 302, 303, 307, 308] {
        ways.push(http(&format!("http://{PUBLIC}:{port}{}", redirect(status, &format!("http://127.0.0.1:{port}/")))));
    }
    let mut before = 0;
    let mut unreached = Vec::new();
    for way in ways {
        let result = run(&way, &tools, &runtime);
        let visits = ground.visits();
        if visits == before {
            unreached.push(format!("{way:?}: {:?} {}", result.cause, result.detail));
        }
        before = visits;
    }
    assert!(unreached.is_empty(), "{}", unreached.join("\n"));
}
