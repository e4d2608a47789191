//! Datagrams to real sockets on the loopback: servers that answer, keep silent, forge and flood.

use std::net::UdpSocket as StdUdpSocket;
use std::thread::JoinHandle;
use std::time::Duration;

use sitepulse_model::check::CheckKind;
use sitepulse_model::record::{Cause, ProbeResult, ProbeState};

use super::*;
use crate::BODY_BYTES_MAX;
use crate::testing::{self, some_roots, tools};

/// Far away: a test that gets there hangs visibly.
const LONG_US: u64 = 20_000_000;

fn target(address: SocketAddr) -> UdpTarget {
    UdpTarget { address: address.to_string(), send: None, send_hex: None, family: Family::Any }
}

fn saying(address: SocketAddr, send: &str) -> UdpTarget {
    UdpTarget { send: Some(SecretText(send.to_owned())), ..target(address) }
}

fn probe(target: UdpTarget, timeout_us: u64, expect: &[&str]) -> ProbeResult {
    testing::run(&testing::check(CheckKind::Udp(target), timeout_us, expect), &tools(some_roots()))
}

/// Serves one datagram with `behave`.
fn serve(behave: impl FnOnce(&[u8], SocketAddr, &StdUdpSocket) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = socket.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        behave(&buffer[..length], from, &socket);
    });
    (address, thread)
}

#[test]
fn any_answer_is_up_where_nobody_looks_into_it() {
    let (address, server) = serve(|question, from, socket| {
        assert_eq!(question, b"");
        socket.send_to(b"", from).unwrap();
    });
    let result = probe(target(address), LONG_US, &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!((result.address, result.facts.body_bytes), (Some(address), Some(0)));
    let phases = result.phases;
    assert!(phases.send.is_some() && phases.first_byte.is_some() && phases.transfer.is_some(), "{phases:?}");
    assert_eq!((phases.dns, phases.connect, phases.tls), (None, None, None));
}

#[test]
fn datagrams_are_taken_until_the_assertion_holds() {
    let (address, server) = serve(|question, from, socket| {
        assert_eq!(question, [0x0a, 0x1b, 0xff]);
        for part in ["PA", "RT, PON", "G", "never looked at"] {
            socket.send_to(part.as_bytes(), from).unwrap();
        }
    });
    let target = UdpTarget { send_hex: Some("0a1B ff".to_owned()), ..target(address) };
    let result = probe(target, LONG_US, &["body matches /^PART, PONG$/"]);
    server.join().unwrap();
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!(result.facts.body_bytes, Some(10));
}

#[test]
fn a_long_datagram_is_not_cut() {
    let (address, server) = serve(|_, from, socket| {
        let mut long = vec![b'x'; 60_000];
        long.extend(b"END");
        socket.send_to(&long, from).unwrap();
    });
    let result = probe(saying(address, "long"), LONG_US, &["body matches /END$/"]);
    server.join().unwrap();
    assert_eq!((result.state, result.facts.body_bytes), (ProbeState::Up, Some(60_003)), "{}", result.detail);
}

#[test]
fn silence_is_a_timeout() {
    let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let result = probe(saying(address, "anyone?"), 30_000, &[]);
    assert_eq!(
        (result.state, result.cause, result.failed_phase),
        (ProbeState::Down, Some(Cause::Timeout), Some(Phase::FirstByte))
    );
    assert_eq!(result.detail, format!("udp: {address} did not answer"));
}

#[test]
fn a_closed_port_is_told_before_the_deadline() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(socket) = StdUdpSocket::bind(host) else { continue };
        let address = socket.local_addr().unwrap();
        drop(socket);
        let result = probe(target(address), LONG_US, &[]);
        assert_eq!(
            (result.state, result.cause),
            (ProbeState::Down, Some(Cause::ConnectionRefused)),
            "{}",
            result.detail
        );
        assert_eq!(result.detail, format!("udp: nothing listens on {address}"));
        assert_eq!(result.failed_phase, Some(Phase::FirstByte));
    }
}

#[test]
fn a_wrong_answer_is_told_at_the_deadline() {
    let (address, server) = serve(|_, from, socket| {
        socket.send_to(b"ERR", from).unwrap();
    });
    let result = probe(saying(address, "ping"), 100_000, &["body contains 'PONG'"]);
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Transfer)));
    assert!(
        result.detail.starts_with("transfer: no answer satisfied body contains 'PONG' within "),
        "{}",
        result.detail
    );
    assert!(result.detail.ends_with(" ms (3 bytes came)"), "{}", result.detail);
    assert_eq!(result.facts.body_bytes, Some(3));
}

#[test]
fn strangers_are_not_heard() {
    let (address, server) = serve(|_, from, socket| {
        for stranger in ["127.0.0.1:0", "127.0.0.2:0"] {
            StdUdpSocket::bind(stranger).unwrap().send_to(b"forged", from).unwrap();
        }
        socket.send_to(b"real", from).unwrap();
    });
    let result = probe(saying(address, "who?"), LONG_US, &["body == 'real'"]);
    server.join().unwrap();
    assert_eq!((result.state, result.facts.body_bytes), (ProbeState::Up, Some(4)), "{}", result.detail);
}

#[test]
fn a_flood_ends_at_a_mebibyte() {
    let (address, server) = serve(|_, from, socket| {
        let datagram = vec![b'x'; 50_000];
        // What does not fit into the prober's socket is lost; it ends when the prober has gone.
        socket.connect(from).unwrap();
        while socket.send(&datagram).is_ok() {}
    });
    let result = probe(saying(address, "flood"), LONG_US, &["body contains 'END'"]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::AssertionFailed)));
    assert_eq!(result.facts.body_bytes, Some(BODY_BYTES_MAX as u64));
    assert!(result.detail.contains("body cut after 1048576 bytes"), "{}", result.detail);
}

#[test]
fn hexadecimal_digits_are_read() {
    assert_eq!(from_hex("00 Ff7a"), Ok(vec![0, 255, 0x7a]));
    assert_eq!(from_hex(""), Ok(Vec::new()));
    for wrong in ["0", "0g", "123", "\u{e9}1"] {
        assert!(from_hex(wrong).unwrap_err().contains("pairs"), "{wrong}");
    }
}

#[test]
fn a_secret_that_is_not_there_is_not_sent() {
    let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let result = probe(saying(socket.local_addr().unwrap(), "secret:community"), LONG_US, &[]);
    assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::SecretMissing)));
    assert!(socket.recv(&mut [0; 10]).is_err());
}
