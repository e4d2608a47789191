//! Connections to real sockets on the loopback: servers that talk, drip, never end, close and reset.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream as StdTcpStream};
use std::thread::JoinHandle;

use sitepulse_model::check::CheckKind;
use sitepulse_model::record::{ProbeResult, ProbeState};

use super::*;
use crate::BODY_BYTES_MAX;
use crate::testing::{self, some_roots, tools};

/// Far away: a test that gets there hangs visibly.
const LONG_US: u64 = 20_000_000;

fn target(address: SocketAddr, send: Option<&str>) -> TcpTarget {
    let send = send.map(|send| SecretText(send.to_owned()));
    TcpTarget { address: address.to_string(), send, family: Family::Any }
}

fn probe(address: SocketAddr, send: Option<&str>, timeout_us: u64, expect: &[&str]) -> ProbeResult {
    testing::run(&testing::check(CheckKind::Tcp(target(address, send)), timeout_us, expect), &tools(some_roots()))
}

/// Serves one connection with `behave`.
fn serve<T: Send + 'static>(behave: impl FnOnce(StdTcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, std::thread::spawn(move || behave(listener.accept().unwrap().0)))
}

/// Waits until the prober hangs up; whether it did so in order.
fn outlast(mut stream: StdTcpStream) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn a_connection_is_all_that_is_asked() {
    let (address, server) = serve(outlast);
    let result = probe(address, None, LONG_US, &[]);
    assert!(server.join().unwrap(), "closed in order");
    assert_eq!((result.state, result.detail.as_str(), result.address), (ProbeState::Up, "", Some(address)));
    let phases = result.phases;
    assert!(phases.connect.is_some());
    assert_eq!((phases.send, phases.first_byte, phases.transfer, result.facts.body_bytes), (None, None, None, None));
}

#[test]
fn words_are_sent_without_waiting_for_an_answer_that_nobody_asked_for() {
    let (address, server) = serve(|mut stream| {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    let result = probe(address, Some("stats 1\r\n"), LONG_US, &[]);
    assert_eq!(server.join().unwrap(), "stats 1\r\n");
    assert_eq!((result.state, result.phases.first_byte), (ProbeState::Up, None), "{}", result.detail);
    assert!(result.phases.send.is_some());
}

#[test]
fn it_reads_until_the_assertion_holds_and_closes_in_order() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        let mut said = [0; 6];
        stream.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"PING\r\n");
        for part in [&b"PO"[..], b"NG\r\n"] {
            stream.write_all(part).unwrap();
        }
        outlast(stream)
    });
    let result = probe(address, Some("PING\r\n"), LONG_US, &["body contains 'PONG'"]);
    assert!(server.join().unwrap(), "closed in order");
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert!(result.facts.body_bytes >= Some(15), "{:?}", result.facts);
    let phases = result.phases;
    assert!(phases.send.is_some() && phases.first_byte.is_some() && phases.transfer.is_some(), "{phases:?}");
}

#[test]
fn a_banner_is_read_without_a_word() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        outlast(stream)
    });
    let result = probe(address, None, LONG_US, &["body matches /^SSH-2/"]);
    assert!(server.join().unwrap());
    assert_eq!((result.state, result.phases.send), (ProbeState::Up, None), "{}", result.detail);
}

#[test]
fn who_closes_is_judged_by_what_was_said() {
    for (said, text) in [("NO\r\n", "'PONG'"), ("", "'PONG'")] {
        let (address, server) = serve(move |mut stream| stream.write_all(said.as_bytes()).unwrap());
        let result = probe(address, None, LONG_US, &["body contains 'PONG'"]);
        server.join().unwrap();
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::AssertionFailed)));
        assert!(result.detail.contains(text), "{}", result.detail);
    }
}

#[test]
fn silence_and_the_wrong_words_are_timeouts_that_say_what_is_missing() {
    let (address, server) = serve(outlast);
    let result = probe(address, Some("PING\r\n"), 100_000, &["body contains 'PONG'"]);
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::FirstByte)));
    assert_eq!(result.detail, format!("tcp: {address} was connected and said nothing"));

    let (address, server) = serve(|mut stream| {
        stream.write_all(b"PONE").unwrap();
        outlast(stream)
    });
    let result = probe(address, None, 100_000, &["body contains 'PON'", "body contains 'PONG'"]);
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Transfer)));
    // Of the time since it was connected.
    assert!(
        result.detail.starts_with("transfer: no answer satisfied body contains 'PONG' within "),
        "{}",
        result.detail
    );
    assert!(result.detail.ends_with(" ms (4 bytes came)"), "{}", result.detail);
    assert_eq!(result.facts.body_bytes, Some(4));
}

#[test]
fn a_peer_that_drips_costs_its_deadline_and_what_comes_late_is_seen() {
    // It drips until the prober has gone.
    let (address, server) = serve(|mut stream| {
        stream.set_nodelay(true).unwrap();
        while stream.write_all(b".").is_ok() {}
    });
    let result = probe(address, None, 150_000, &["body contains 'END'"]);
    server.join().unwrap();
    assert!([Some(Cause::Timeout), Some(Cause::AssertionFailed)].contains(&result.cause), "{}", result.detail);
    assert!(result.facts.body_bytes <= Some(BODY_BYTES_MAX as u64));

    // A little after a lot, and then nothing more.
    let (address, server) = serve(|mut stream| {
        stream.write_all(&vec![b'x'; 300_000]).unwrap();
        stream.write_all(b"END").unwrap();
        outlast(stream)
    });
    let result = probe(address, None, LONG_US, &["body matches /END$/"]);
    server.join().unwrap();
    assert_eq!((result.state, result.facts.body_bytes), (ProbeState::Up, Some(300_003)), "{}", result.detail);
}

#[test]
fn a_peer_that_never_ends_is_cut_at_a_mebibyte() {
    let (address, server) = serve(|mut stream| while stream.write_all(&[b'x'; 65_536]).is_ok() {});
    let result = probe(address, None, LONG_US, &["body contains 'END'"]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::AssertionFailed)));
    assert_eq!(result.facts.body_bytes, Some(BODY_BYTES_MAX as u64));
    assert!(result.detail.contains("body cut after 1048576 bytes"), "{}", result.detail);
}

#[test]
fn a_reset_is_told_with_what_came() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b"hello").unwrap();
        // The reset overtakes what the prober has not read; so wait until it answered.
        stream.read_exact(&mut [0; 1]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let result = probe(address, Some("x"), LONG_US, &["body contains 'END'"]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ConnectionReset)));
    assert!(result.detail.starts_with(&format!("tcp: {address} broke the connection")), "{}", result.detail);
}

#[test]
fn a_closed_port_refuses() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = probe(address, Some("x"), LONG_US, &["body contains 'x'"]);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::ConnectionRefused), Some(Phase::Connect)));
}

#[test]
fn a_greeting_that_nobody_asked_for_does_not_make_the_kernel_reset() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        outlast(stream)
    });
    // Something to send gives the greeting time to be there, and the last read takes it.
    let result = probe(address, Some("QUIT\r\n"), LONG_US, &[]);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
}

#[test]
fn a_secret_is_resolved_before_anything_is_dialled() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = probe(address, Some("secret:pin"), LONG_US, &[]);
    assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::SecretMissing)), "{}", result.detail);
}
