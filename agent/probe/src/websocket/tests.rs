//! The prober against real servers on the loopback: good, broken and hostile ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::ServerConnection;
use sitepulse_model::check::{Auth, CheckKind};
use sitepulse_model::record::{ProbeResult, ProbeState};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{accept, accept_hdr};

use super::*;
use crate::testing::{self, pki, some_roots};

/// The answer to an upgrade, made of the key that accepts it.
type MakeAnswer = Box<dyn Fn(&str) -> String + Send>;
/// What a server does with a connection.
type Behave = Box<dyn FnOnce(TcpStream) + Send>;

fn target(address: SocketAddr) -> WebsocketTarget {
    WebsocketTarget::handshake(format!("ws://{address}/feed?x=1"))
}

fn probe_within(target: WebsocketTarget, timeout_us: u64, expect: &[&str]) -> ProbeResult {
    let check = testing::check(CheckKind::Websocket(Box::new(target)), timeout_us, expect);
    testing::run(&check, &testing::tools(some_roots()))
}

fn probe(target: WebsocketTarget, expect: &[&str]) -> ProbeResult {
    probe_within(target, 20_000_000, expect)
}

fn serve(behave: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, std::thread::spawn(move || behave(listener.accept().unwrap().0)))
}

/// Answers the upgrade with `answer`, made of the key that accepts it.
fn serve_raw(
    answer: impl Fn(&str) -> String + Send + 'static,
    then: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    serve(move |mut stream| {
        let mut request = Vec::new();
        let mut one = [0; 1];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut one).unwrap() == 1 {
            request.push(one[0]);
        }
        let request = String::from_utf8(request).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        stream.write_all(answer(&derive_accept_key(key.as_bytes())).as_bytes()).unwrap();
        then(stream);
    })
}

fn switch(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

fn outlast(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

fn flood(mut stream: TcpStream, bytes: &[u8]) {
    let many = bytes.repeat(4096 / bytes.len() + 1);
    while stream.write_all(&many).is_ok() {}
}

#[allow(clippy::result_large_err, reason = "the library's callback")]
fn closed_politely<S: Read + Write>(socket: &mut WebSocket<S>) {
    assert!(matches!(socket.read(), Ok(Message::Close(None))));
}

#[test]
fn a_handshake_is_up_and_ends_politely() {
    let (address, server) = serve(|stream| {
        #[allow(clippy::result_large_err, reason = "the library's callback")]
        let look = |request: &Request, response: Response| {
            assert_eq!(request.uri(), "/feed?x=1");
            assert_eq!(request.headers()["authorization"], "Basic bWU6d29yZA==");
            assert_eq!(request.headers()["x-own"], "yes");
            assert!(request.headers()["host"].to_str().unwrap().starts_with("127.0.0.1:"));
            assert!(!request.headers().contains_key("accept-encoding"));
            Ok(response)
        };
        closed_politely(&mut accept_hdr(stream, look).unwrap());
    });
    let mut target = target(address);
    target.headers.insert("x-own".to_owned(), SecretText("yes".to_owned()));
    target.auth = Some(Auth::Basic { user: "me".to_owned(), password: SecretText("word".to_owned()) });
    let result = probe(target, &[]);
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    server.join().unwrap();
    assert_eq!((result.facts.status, result.address), (Some(101), Some(address)));
    let phases = result.phases;
    assert_eq!((phases.dns, phases.tls), (None, None));
    assert!(
        [phases.connect, phases.send, phases.first_byte, phases.transfer].iter().all(Option::is_some),
        "{phases:?}"
    );
}

#[test]
fn messages_are_read_until_the_assertions_hold() {
    let (address, server) = serve(|stream| {
        let mut socket = accept(stream).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("hello"));
        socket.send(Message::Ping(bytes::Bytes::from_static(b"there?"))).unwrap();
        assert!(matches!(socket.read(), Ok(Message::Pong(data)) if &data[..] == b"there?"));
        socket.send(Message::text("one")).unwrap();
        socket.send(Message::binary(&b"two"[..])).unwrap();
        closed_politely(&mut socket);
    });
    let mut target = target(address);
    target.send = Some(SecretText("hello".to_owned()));
    let result = probe(target, &["body == 'one\\ntwo'", "header 'upgrade' == 'websocket'"]);
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    server.join().unwrap();
    assert_eq!(result.facts.body_bytes, Some(7));
}

#[test]
fn it_works_over_tls_with_a_subprotocol() {
    let pki = pki();
    let config = Arc::new(pki.server((2020, 2099), "http/1.1"));
    let (address, server) = serve(move |stream| {
        let stream = rustls::StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        #[allow(clippy::result_large_err, reason = "the library's callback")]
        let choose = |request: &Request, mut response: Response| {
            assert_eq!(request.headers()["sec-websocket-protocol"], "graphql-ws, json");
            response.headers_mut().insert("sec-websocket-protocol", "json".parse().unwrap());
            Ok(response)
        };
        closed_politely(&mut accept_hdr(stream, choose).unwrap());
    });
    let mut target = target(address);
    target.url = format!("wss://{address}/");
    target.subprotocols = vec!["graphql-ws".to_owned(), "json".to_owned()];
    target.tls.server_name = Some("localhost".to_owned());
    let check = testing::check(CheckKind::Websocket(Box::new(target)), 20_000_000, &[]);
    let result = testing::run(&check, &testing::tools(pki.roots.clone()));
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    server.join().unwrap();
    assert!(result.phases.tls.is_some() && result.facts.certificate_expires.is_some());
    assert_eq!(result.facts.texts_of(FactKey::Subprotocol).collect::<Vec<_>>(), ["json"]);
}

#[test]
fn a_refusal_names_its_status_unless_it_is_asked_for() {
    for (answer, expect, state, detail) in [
        ("403 Forbidden\r\n", &[][..], ProbeState::Down, "upgrade: 127.0.0.1 refused it with status 403"),
        (
            "302 Found\r\nLocation: https://a.example/\r\n",
            &[],
            ProbeState::Down,
            "upgrade: 127.0.0.1 refused it with status 302, redirects to https://a.example/",
        ),
        ("401 Unauthorized\r\n", &["status == 401"], ProbeState::Up, ""),
        ("403 Forbidden\r\n", &["down if status == 500"], ProbeState::Up, ""),
        (
            "503 Busy\r\n",
            &["degraded if status == 429"],
            ProbeState::Down,
            "upgrade: 127.0.0.1 refused it with status 503",
        ),
        (
            "429 Too Many\r\n",
            &["degraded if status == 429"],
            ProbeState::Down,
            "upgrade: 127.0.0.1 refused it with status 429",
        ),
        ("403 Forbidden\r\n", &["status == 401"], ProbeState::Down, "status 403 is not 401"),
    ] {
        let (address, server) = serve_raw(move |_| format!("HTTP/1.1 {answer}Content-Length: 0\r\n\r\n"), drop);
        let result = probe(target(address), expect);
        server.join().unwrap();
        assert_eq!((result.state, result.detail.as_str()), (state, detail), "{answer}");
        assert!(result.facts.status.is_some());
    }
}

#[test]
fn a_broken_upgrade_says_what_is_wrong() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let protocol =
        |lines: &'static str| move |accept: &str| format!("{head}Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n");
    let cases: Vec<(MakeAnswer, &str)> = vec![
        (
            Box::new(move |_: &str| format!("{head}Sec-WebSocket-Accept: AAAA\r\n\r\n")),
            "sent a wrong Sec-WebSocket-Accept: it did not read the request's key",
        ),
        (
            Box::new(|accept: &str| {
                format!(
                    "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                )
            }),
            "the 101 of 127.0.0.1 switches to something else than websocket",
        ),
        (Box::new(protocol("")), "chose none of the subprotocols offered (json)"),
        (Box::new(protocol("Sec-WebSocket-Protocol: xml\r\n")), "chose the subprotocol \"xml\", which was not offered"),
        (
            Box::new(protocol("Sec-WebSocket-Protocol: json\r\nSec-WebSocket-Extensions: permessage-deflate\r\n")),
            "chose an extension that was not offered (permessage-deflate)",
        ),
        (Box::new(|_: &str| "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()), "sent no valid HTTP/1.1 answer"),
        (Box::new(|_: &str| format!("HTTP/1.1 101 X\r\n{}", "a: b\r\n".repeat(200))), "sent headers of over 100 lines"),
        (Box::new(|_: &str| format!("HTTP/1.1 101 X\r\na: {}", "b".repeat(100_000))), "sent headers over 65536 bytes"),
        (Box::new(|_: &str| "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(4000)), "sent headers over 65536 bytes"),
        (Box::new(|_: &str| String::new()), "closed the connection early"),
    ];
    for (answer, text) in cases {
        let (address, server) = serve_raw(answer, |stream| {
            // The prober may be gone already.
            stream.shutdown(std::net::Shutdown::Write).ok();
            outlast(stream);
        });
        let mut target = target(address);
        target.subprotocols = vec!["json".to_owned()];
        let result = probe(target, &[]);
        server.join().unwrap();
        assert_eq!(result.state, ProbeState::Down);
        assert!(result.detail.ends_with(text), "{} instead of {text}", result.detail);
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let (address, server) =
        serve_raw(|accept| format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{}", switch(accept)), outlast);
    let result = probe(target(address), &[]);
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    server.join().unwrap();
}

#[test]
fn hostile_frames_end_at_their_limits() {
    let huge = [0x82, 127, 0, 0, 0, 0, 0, 0x20, 0, 0];
    let cases: Vec<(&str, Behave, &str)> = vec![
        (
            "an oversized frame",
            Box::new(move |mut stream| {
                stream.write_all(&huge).unwrap();
                flood(stream, b"x");
            }),
            "first_byte: 127.0.0.1 sent a message over 1048576 bytes",
        ),
        (
            "endless fragments",
            Box::new(|mut stream| {
                stream.write_all(&[0x01, 1, b'x']).unwrap();
                let mut fragment = vec![0, 126, 0x10, 0];
                fragment.extend_from_slice(&[b'x'; 4096]);
                flood(stream, &fragment);
            }),
            "first_byte: 127.0.0.1 sent a message over 1048576 bytes",
        ),
        (
            "fragments of nothing",
            Box::new(|mut stream| {
                stream.write_all(&[0x01, 0]).unwrap();
                flood(stream, &[0, 0]);
            }),
            "first_byte: 127.0.0.1 sent more than 4194304 bytes",
        ),
        ("pings", Box::new(|stream| flood(stream, &[0x89, 1, b'x'])), "first_byte: 127.0.0.1 sent over 1000 pings"),
        (
            "a masked frame",
            Box::new(|mut stream| {
                stream.write_all(&[0x81, 0x81, 1, 2, 3, 4, b'x']).unwrap();
                outlast(stream);
            }),
            "first_byte: 127.0.0.1 breaks the WebSocket protocol (received a masked frame from server)",
        ),
        (
            "no UTF-8",
            Box::new(|mut stream| {
                stream.write_all(&[0x81, 1, 0xff]).unwrap();
                outlast(stream);
            }),
            "first_byte: 127.0.0.1 sent a text message that is no UTF-8",
        ),
        (
            "a bare end",
            Box::new(|stream| stream.shutdown(std::net::Shutdown::Write).unwrap()),
            "first_byte: 127.0.0.1 closed the connection without a closing frame",
        ),
        (
            "a close",
            Box::new(|mut stream| {
                stream.write_all(&[0x88, 6, 0x03, 0xf3, b'b', b'u', b's', b'y']).unwrap();
                outlast(stream);
            }),
            "first_byte: 127.0.0.1 closed before any message, with 1011 busy",
        ),
    ];
    for (name, behave, text) in cases {
        let (address, server) = serve_raw(switch, behave);
        let result = probe(target(address), &["body contains 'x and more'"]);
        server.join().unwrap();
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Down, text), "{name}");
    }
}

#[test]
fn an_endless_feed_is_cut_at_a_mebibyte() {
    let (address, server) = serve_raw(switch, |stream| {
        let mut message = vec![0x82, 126, 0x40, 0];
        message.extend_from_slice(&[b'x'; 16 << 10]);
        flood(stream, &message);
    });
    let result = probe(target(address), &["body contains 'never'"]);
    server.join().unwrap();
    assert_eq!((result.cause, result.facts.body_bytes), (Some(Cause::AssertionFailed), Some(1 << 20)));
    assert!(result.detail.ends_with("(body cut after 1048576 bytes)"), "{}", result.detail);
}

#[test]
fn at_the_deadline_what_came_is_judged_and_silence_is_a_timeout() {
    let (address, server) = serve_raw(switch, |mut stream| {
        stream.write_all(&[0x81, 2, b'n', b'o']).unwrap();
        outlast(stream);
    });
    let result = probe_within(target(address), 400_000, &["body contains 'yes'"]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::AssertionFailed)), "{}", result.detail);
    let (address, server) = serve_raw(switch, outlast);
    let result = probe_within(target(address), 400_000, &["body contains 'yes'"]);
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::FirstByte)));
}

#[test]
fn a_close_after_messages_is_judged() {
    let (address, server) = serve_raw(switch, |mut stream| {
        stream.write_all(&[0x81, 2, b'n', b'o', 0x88, 0]).unwrap();
        outlast(stream);
    });
    let result = probe(target(address), &["body contains 'yes'"]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::AssertionFailed), "{}", result.detail);
}
