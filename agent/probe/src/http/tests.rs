//! The prober against real servers on the loopback: good, broken and hostile ones.

mod bodies;
mod certificates;
mod proxies;
mod redirects;
mod requests;
mod version2;
mod version3;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use rustls::RootCertStore;
use sitepulse_model::check::{CheckKind, HttpTarget};
use sitepulse_model::record::{Cause, Phase, ProbeResult, ProbeState};

use crate::testing::{self, some_roots};

fn probe_with(url: &str, timeout_us: u64, expect: &[&str], roots: RootCertStore) -> ProbeResult {
    testing::run(&testing::check(CheckKind::http(url), timeout_us, expect), &testing::tools(roots))
}

fn probe_target(target: HttpTarget, expect: &[&str]) -> ProbeResult {
    let check = testing::check(CheckKind::Http(Box::new(target)), 10_000_000, expect);
    let tools = testing::tools(some_roots());
    tools.secrets.replace([("token", "t0ken"), ("password", "pa55")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    testing::run(&check, &tools)
}

fn probe(url: &str, expect: &[&str]) -> ProbeResult {
    probe_with(url, 10_000_000, expect, some_roots())
}

/// Serves one connection with `behave`.
fn serve(behave: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        behave(stream);
    });
    (address, thread)
}

/// Serves as many connections as there are answers, one after the other; tells the requests' heads and bodies.
fn serve_each(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = request(&mut stream);
            let length = text
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            text.push_str(&String::from_utf8(body).unwrap());
            requests.push(text);
            stream.write_all(&answer).unwrap();
        }
        requests
    });
    (address, thread)
}

/// An answer with a status, header lines and a body.
fn answer(status: &str, lines: &[&str], body: &[u8]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{lines}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Reads a request up to its empty line.
fn request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut one = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut one).unwrap() == 1 {
        bytes.push(one[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Waits until the prober hangs up.
fn outlast(mut stream: impl Read) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

#[test]
fn a_good_answer_is_up_with_every_phase() {
    let (address, server) = serve(|mut stream| {
        let request = request(&mut stream).to_lowercase();
        assert!(request.starts_with("get /path?q=1 http/1.1\r\n"), "{request}");
        for line in
            ["accept-encoding: identity", "connection: close", "user-agent: sitepulse-agent/", "host: 127.0.0.1:"]
        {
            assert!(request.contains(line), "{line} is missing in {request}");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nWelcome").unwrap();
    });
    let result = probe(&format!("http://{address}/path?q=1#part"), &["status in 200..399", "body contains 'Welcome'"]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause, result.detail.as_str()), (ProbeState::Up, None, ""));
    assert_eq!(result.address, Some(address));
    assert_eq!((result.facts.status, result.facts.body_bytes), (Some(200), Some(7)));
    let phases = result.phases;
    assert_eq!((phases.dns, phases.tls), (None, None));
    let sum: u64 = [phases.connect, phases.send, phases.first_byte, phases.transfer].map(|us| us.unwrap()).iter().sum();
    assert!(sum <= phases.total.unwrap() + 4, "{phases:?}");
}

#[test]
fn assertions_decide() {
    for (expect, state, cause) in [
        (&["status == 200"][..], ProbeState::Down, Some(Cause::AssertionFailed)),
        (&["status == 503"][..], ProbeState::Up, None),
        (&["status == 503", "degraded if latency > 0s"][..], ProbeState::Degraded, Some(Cause::SoftAssertion)),
        (&[][..], ProbeState::Down, Some(Cause::AssertionFailed)),
    ] {
        let (address, server) = serve(|mut stream| {
            request(&mut stream);
            stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        let result = probe(&format!("http://localhost:{}/", address.port()), expect);
        if result.cause == Some(Cause::ConnectionRefused) {
            // This machine's resolver puts ::1 first, and the server listens on 127.0.0.1 alone.
            drop(TcpStream::connect(address));
            drop(server);
            continue;
        }
        server.join().unwrap();
        assert_eq!((result.state, result.cause), (state, cause), "{expect:?}: {}", result.detail);
        assert!(result.phases.dns.is_some());
    }
}

#[test]
fn a_closed_port_refuses() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = probe(&format!("http://{address}/"), &[]);
    assert_eq!(
        (result.state, result.cause, result.failed_phase),
        (ProbeState::Down, Some(Cause::ConnectionRefused), Some(Phase::Connect))
    );
    assert_eq!(result.detail, format!("connect: {address} refused the connection"));
    assert!(result.phases.connect.is_some() && result.phases.total.is_some());
}

#[test]
fn an_early_close_is_a_reset() {
    let (address, server) = serve(|mut stream| {
        request(&mut stream);
    });
    let result = probe(&format!("http://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ConnectionReset)), "{}", result.detail);
    let (address, server) = serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    });
    let result = probe(&format!("http://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!(
        (result.cause, result.failed_phase),
        (Some(Cause::ConnectionReset), Some(Phase::Transfer)),
        "{}",
        result.detail
    );
    assert_eq!((result.facts.status, result.facts.body_bytes), (Some(200), Some(4)));
}

#[test]
fn the_deadline_names_the_slow_phase() {
    let (address, server) = serve(outlast);
    let result = probe_with(&format!("http://{address}/"), 100_000, &[], some_roots());
    server.join().unwrap();
    assert_eq!(
        (result.state, result.cause, result.failed_phase),
        (ProbeState::Down, Some(Cause::Timeout), Some(Phase::FirstByte))
    );
    assert_eq!(result.detail, "http: 127.0.0.1 sent no first byte within 100 ms");
    assert!(result.phases.first_byte.unwrap() > 50_000);

    let (address, server) = serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
        outlast(stream);
    });
    let result = probe_with(&format!("http://{address}/"), 100_000, &[], some_roots());
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Transfer)));
    assert_eq!(result.detail, "http: 127.0.0.1 did not complete its answer within 100 ms");

    let (address, server) = serve(outlast);
    let result = probe_with(&format!("https://{address}/"), 100_000, &[], some_roots());
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Tls)));
}

#[test]
fn a_hostile_answer_costs_no_more_than_its_limits() {
    let (address, server) = serve(|mut stream| {
        request(&mut stream);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
        let block = vec![b'x'; 64 << 10];
        // Endless: ends when the prober hangs up.
        while stream.write_all(&block).is_ok() {}
    });
    let result = probe(&format!("http://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.facts.body_bytes), (ProbeState::Up, Some(1 << 20)), "{}", result.detail);
    assert!(result.detail.contains("body cut"));

    let (address, server) = serve(|mut stream| {
        request(&mut stream);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n"));
        while stream
            .write_all(b"X-Much: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
            .is_ok()
        {}
    });
    let result = probe(&format!("http://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)), "{}", result.detail);
    assert!(result.detail.contains("headers over"), "{}", result.detail);

    let (address, server) = serve(|mut stream| {
        request(&mut stream);
        drop(stream.write_all(b"SSH-2.0-OpenSSH\r\n"));
        outlast(stream);
    });
    let result = probe(&format!("http://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::ProtocolError), "{}", result.detail);
}

#[test]
fn metadata_services_are_refused_unseen() {
    for url in
        ["http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://[fd00:ec2::254]/"]
    {
        let result = probe(url, &[]);
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::PolicyRefused)), "{url}");
    }
}

#[test]
fn an_unusable_url_is_the_agents_own_fault() {
    let result = probe("ftp://example/", &[]);
    assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::AgentFault)));
    assert!(result.detail.contains("neither http:// nor https://"));
}

#[test]
fn a_name_that_does_not_resolve_is_down() {
    // A label too long for any name: no name server is asked, so the machine's own network has no say.
    let host = format!("{}.invalid", "a".repeat(70));
    let result = probe_with(&format!("http://{host}/"), 3_000_000, &[], some_roots());
    assert_eq!((result.state, result.failed_phase), (ProbeState::Down, Some(Phase::Dns)), "{}", result.detail);
    assert!(result.detail.contains(&host));
}
