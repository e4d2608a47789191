//! Echoes to this machine itself, over the real sockets.

use std::net::UdpSocket as StdUdpSocket;
use std::process::Command;

use sitepulse_model::check::{CheckKind, DurationUs};
use sitepulse_model::id::{CheckNo, Revision};
use sitepulse_model::record::{ProbeResult, ProbeState};
use sitepulse_model::time::UtcMicros;
use socket2::{Domain, Protocol, Socket, Type};

use super::*;
use crate::connect::Teller;
use crate::exchange::send_failure_of;
use crate::testing::{check, some_roots, tools};
use crate::tools::Tools;
use crate::{Probe, Run};

fn target(host: &str, count: u8) -> IcmpTarget {
    IcmpTarget { host: host.to_owned(), count, spacing: DurationUs(1000), size: 56, family: Family::Any }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn probe(target: IcmpTarget, tools: &Tools) -> ProbeResult {
    let probe = Probe::new(&check(CheckKind::Icmp(target), 10_000_000, &["loss == 0%", "rtt.max < 9s"]));
    let (check, revision, slot, started) = (CheckNo(1), Revision(1), UtcMicros(5), clock::now());
    probe.run(Run { check, revision, slot, started, note_all: false }, tools).await
}

/// Whether this machine lets us: neither kind of socket is a matter of course.
fn allowed(address: &str) -> bool {
    let opened = runtime().block_on(async { Hub::default().line(address.parse().unwrap()).map(|_| ()) });
    if let Err(error) = &opened {
        eprintln!("left out: no socket for echoes to {address} here ({error})");
    }
    opened.is_ok()
}

#[test]
fn both_families_answer_on_this_machine() {
    for host in ["127.0.0.1", "::1", "[::1]"] {
        let bare = host.trim_matches(['[', ']']);
        if !allowed(bare) {
            continue;
        }
        let result = runtime().block_on(probe(target(host, 3), &tools(some_roots())));
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""), "{host}");
        assert_eq!(result.address.unwrap().ip().to_string(), bare);
        let fact = |key| result.facts.number_of(key).unwrap();
        assert_eq!((fact(FactKey::Sent), fact(FactKey::Received)), (3, 3));
        let (min, avg, max) = (fact(FactKey::RttMin), fact(FactKey::RttAvg), fact(FactKey::RttMax));
        assert!(min <= avg && avg <= max && fact(FactKey::Jitter) <= max - min, "{:?}", result.facts);
        let phases = result.phases;
        assert_eq!(phases.first_byte, Some(avg as u64));
        assert_eq!((phases.connect, phases.tls, phases.send, phases.transfer), (None, None, None, None));
        assert!(phases.total.unwrap() >= 2000, "two gaps of a millisecond");
    }
}

#[test]
fn many_runs_share_one_socket_among_answers_to_others() {
    if !allowed("127.0.0.1") {
        return;
    }
    // Answers to echoes that nobody sent. Only a raw socket can forge them: without one the runs alone are tested.
    let forger = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).ok();
    let forger = forger.map(|socket| StdUdpSocket::from(std::os::fd::OwnedFd::from(socket)));
    let mut forged = packet::Request::new(packet::Version::V4, 7, 56).numbered(0).to_vec();
    forged[0] = 0;
    forged[2] += 8;
    let tools = tools(some_roots());
    let runtime = runtime();
    for _ in 0..20 {
        // Fewer than the socket's buffer holds: what it cannot hold is lost, whosever it is.
        for _ in 0..100 {
            if let Some(forger) = &forger {
                forger.send_to(&forged, ("127.0.0.1", 0)).unwrap();
            }
        }
        let mut runs: Vec<_> = (1..=30).map(|n| Box::pin(probe(target(&format!("127.0.0.{n}"), 2), &tools))).collect();
        runtime.block_on(std::future::poll_fn(|context| {
            runs.retain_mut(|run| match run.as_mut().poll(context) {
                std::task::Poll::Ready(result) => {
                    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
                    assert_eq!(result.facts.number_of(FactKey::Received), Some(2));
                    false
                }
                std::task::Poll::Pending => true,
            });
            if runs.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }));
    }
}

#[test]
fn a_hub_outlives_its_runtime() {
    if !allowed("127.0.0.1") {
        return;
    }
    let tools = tools(some_roots());
    for _ in 0..2 {
        let states = runtime().block_on(async {
            let first = probe(target("127.0.0.1", 1), &tools).await.state;
            // The runtime that the socket belonged to may be gone: that costs one run, and is not the target's fault.
            (first, probe(target("127.0.0.1", 1), &tools).await.state)
        });
        assert!([ProbeState::Up, ProbeState::Unknown].contains(&states.0));
        assert_eq!(states.1, ProbeState::Up);
    }
}

#[test]
fn lost_echoes_are_told_and_all_lost_is_down() {
    // Echoes over UDP to a peer of ours: it answers the second one alone.
    let peer = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        for number in 0..5 {
            let (length, from) = peer.recv_from(&mut buffer).unwrap();
            if number == 1 {
                buffer[0] = 0;
                peer.send_to(&buffer[..length], from).unwrap();
            }
        }
    });
    let tools = tools(some_roots());
    runtime().block_on(async {
        let line = Arc::new(Line::for_tests().await);
        let attempt = |timeout_us| Attempt::new(&tools, &[], false, clock::monotonic().plus_us(timeout_us));
        let mut some = attempt(200_000);
        IcmpProbe::new(&target("peer", 3)).unwrap().echo(&mut some, &line, address).await.unwrap();
        assert_eq!((some.facts.number_of(FactKey::Sent), some.facts.number_of(FactKey::Received)), (Some(3), Some(1)));
        assert_eq!(some.facts.number_of(FactKey::Jitter), None, "one round trip has no jitter");
        let mut none = attempt(50_000);
        let failure = IcmpProbe::new(&target("peer", 2)).unwrap().echo(&mut none, &line, address).await.unwrap_err();
        assert_eq!(failure, Failure::new(Cause::Timeout, Phase::FirstByte, "icmp: peer answered none of 2 echoes"));
        assert_eq!((none.facts.number_of(FactKey::Sent), none.facts.number_of(FactKey::Received)), (Some(2), Some(0)));
        assert!(none.phases.first_byte.unwrap() >= 49_000, "the wait shows");
    });
    thread.join().unwrap();
}

#[test]
fn a_target_as_far_as_the_timeout_allows_is_up() {
    let peer = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    // Farther than an echo is waited for of a run that knows how far the target is.
    let far = std::time::Duration::from_micros(LAST_WAIT_US + 300_000);
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        for wait in [far, std::time::Duration::ZERO] {
            let (length, from) = peer.recv_from(&mut buffer).unwrap();
            buffer[0] = 0;
            std::thread::sleep(wait);
            peer.send_to(&buffer[..length], from).unwrap();
        }
    });
    let tools = tools(some_roots());
    runtime().block_on(async {
        let line = Arc::new(Line::for_tests().await);
        let mut attempt = Attempt::new(&tools, &[], false, clock::monotonic().plus_us(20_000_000));
        let echoed = IcmpProbe::new(&target("peer", 2)).unwrap().echo(&mut attempt, &line, address).await;
        assert_eq!(echoed.err(), None);
        assert_eq!(attempt.facts.number_of(FactKey::Received), Some(2));
    });
    thread.join().unwrap();
    // Once it is known how far it is, what is lost does not take all of the timeout.
    assert_eq!([0, 50_000, 1_000_000, 2_300_000].map(patience), [2_000_000, 2_000_000, 2_000_000, 4_600_000]);
}

#[test]
fn a_deadline_before_the_last_echo_leaves_it_unsent() {
    let peer = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let tools = tools(some_roots());
    runtime().block_on(async {
        let line = Arc::new(Line::for_tests().await);
        let mut attempt = Attempt::new(&tools, &[], false, clock::monotonic().plus_us(30_000));
        let slow = IcmpTarget { spacing: DurationUs(60_000_000), ..target("peer", 3) };
        let address = peer.local_addr().unwrap();
        let failure = IcmpProbe::new(&slow).unwrap().echo(&mut attempt, &line, address).await.unwrap_err();
        assert_eq!(failure.detail, "icmp: peer did not answer the echo");
        assert_eq!(attempt.facts.number_of(FactKey::Sent), Some(1));
    });
}

#[test]
fn the_explanation_at_the_deadline_is_ours() {
    let peer = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let tools = tools(some_roots());
    let probe = IcmpProbe::new(&target("peer", 1)).unwrap();
    runtime().block_on(async {
        let line = Arc::new(Line::for_tests().await);
        for _ in 0..10 {
            // As a run enforces it: the deadline is noted first.
            let limit = std::time::Duration::from_millis(5);
            let mut attempt = Attempt::new(&tools, &[], false, clock::monotonic().plus_us(5000));
            let ended = tokio::time::timeout(limit, probe.echo(&mut attempt, &line, address)).await;
            assert_eq!(ended.unwrap().unwrap_err().detail, "icmp: peer did not answer the echo");
        }
    });
}

#[test]
fn round_trips_are_summed_up() {
    let echo = |rtt_us| Echo { sent: clock::monotonic(), rtt_us };
    let summary = Summary::of(&[echo(Some(10)), echo(None), echo(Some(40)), echo(Some(20))]);
    let rtt = Some(Rtt { min: 10, avg: 23, max: 40 });
    assert_eq!(summary, Summary { sent: 4, received: 3, rtt, jitter: Some(25) });
    assert_eq!(Summary::of(&[]), Summary { sent: 0, received: 0, rtt: None, jitter: None });
}

#[test]
fn what_this_machine_refuses_is_not_the_targets_fault() {
    let address = "192.0.2.1:0".parse().unwrap();
    for (failure, cause, text) in [
        (open_failure(address, &io::Error::from_raw_os_error(13)), Cause::AgentFault, "ping_group_range"),
        (open_failure(address, &io::Error::from_raw_os_error(1)), Cause::AgentFault, "sysctl.d/sitepulse.conf"),
        (open_failure(address, &io::Error::from_raw_os_error(97)), Cause::NetworkLost, "no IPv4"),
        (open_failure(address, &io::Error::from_raw_os_error(24)), Cause::AgentFault, "limits"),
        (
            send_failure_of(Teller::NoRoute, "icmp", address, &io::Error::from_raw_os_error(101)),
            Cause::NetworkLost,
            "no route to 192.0.2.1 (",
        ),
        (
            send_failure_of(Teller::Router, "icmp", address, &io::Error::from_raw_os_error(101)),
            Cause::Unreachable,
            "icmp: 192.0.2.1 is unreachable (network is unreachable, says a router on the way)",
        ),
        (
            send_failure("icmp", address, &io::Error::from_raw_os_error(113)),
            Cause::Unreachable,
            "icmp: 192.0.2.1 is unreachable",
        ),
    ] {
        assert_eq!(failure.cause, cause, "{}", failure.detail);
        assert!(failure.detail.contains(text) && failure.detail.len() < 300, "{}", failure.detail);
    }
}

/// The same once more over unprivileged sockets, in a network of its own: this machine's settings stay as they are.
#[test]
fn unprivileged_sockets_will_do() {
    const INSIDE: &str = "SITEPULSE_TEST_INSIDE";
    let open = || Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4));
    if std::env::var_os(INSIDE).is_some() {
        open().expect("the group is allowed in here");
        return;
    }
    if open().is_ok() {
        // The other tests ran over them already.
        return;
    }
    let script =
        "echo '0 0' > /proc/sys/net/ipv4/ping_group_range && ip link set lo up && exec \"$0\" icmp:: --test-threads=1";
    let exe = std::env::current_exe().unwrap();
    let able = Command::new("unshare").args(["-rn", "sh", "-c", "command -v ip"]).output();
    if !able.is_ok_and(|able| able.status.success()) {
        eprintln!("left out: no network of our own to be had here (unshare -rn, ip)");
        return;
    }
    let output = Command::new("unshare").args(["-rn", "sh", "-c", script]).arg(exe).env(INSIDE, "1").output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("left out"));
}
