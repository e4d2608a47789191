//! The prober against real servers on the loopback: good, broken and hostile ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sitepulse_model::check::CheckKind;
use sitepulse_model::record::{Cause, Phase, ProbeResult, ProbeState};

use super::*;
use crate::testing::{self, some_roots};

fn probe_with(url: &str, timeout_us: u64, expect: &[&str], roots: RootCertStore) -> ProbeResult {
    testing::run(&testing::check(CheckKind::http(url), timeout_us, expect), &testing::tools(roots))
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
    assert_eq!(result.detail, "no first byte within 100 ms");
    assert!(result.phases.first_byte.unwrap() > 50_000);

    let (address, server) = serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
        outlast(stream);
    });
    let result = probe_with(&format!("http://{address}/"), 100_000, &[], some_roots());
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Transfer)));
    assert_eq!(result.detail, "answer not complete within 100 ms");

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
fn redirects_are_answers() {
    let (address, server) = serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let result = probe(&format!("http://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.facts.status), (ProbeState::Up, Some(302)));
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

struct Pki {
    roots: RootCertStore,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn pki() -> Pki {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    Pki { roots, issuer }
}

/// Serves one HTTPS answer with a certificate for `name`, valid between two years.
fn serve_tls(pki: &Pki, name: &str, years: (i32, i32)) -> (SocketAddr, JoinHandle<()>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let leaf = params.signed_by(&key, &pki.issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(super::tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    serve(move |stream| {
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut one = [0; 1];
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            match stream.read(&mut one) {
                Ok(1..) => seen.push(one[0]),
                Ok(0) | Err(_) => return,
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        drop(stream.flush());
        outlast(stream);
    })
}

#[test]
fn certificates_are_judged_and_explained() {
    let pki = pki();
    let good = (2020, 4000);
    for (name, years, roots, state, text) in [
        ("127.0.0.1", good, pki.roots.clone(), ProbeState::Up, ""),
        ("127.0.0.1", (2020, 2021), pki.roots.clone(), ProbeState::Down, "TLS: certificate for 127.0.0.1 expired "),
        (
            "127.0.0.1",
            (3000, 4000),
            pki.roots.clone(),
            ProbeState::Down,
            "TLS: certificate for 127.0.0.1 is valid only in ",
        ),
        (
            "other.example",
            good,
            pki.roots.clone(),
            ProbeState::Down,
            "TLS: certificate is not for 127.0.0.1 (it is for other.example)",
        ),
        (
            "127.0.0.1",
            good,
            some_roots(),
            ProbeState::Down,
            "TLS: certificate for 127.0.0.1 is from an issuer that this machine does not trust",
        ),
    ] {
        let (address, server) = serve_tls(&pki, name, years);
        let result = probe_with(&format!("https://{address}/"), 10_000_000, &[], roots);
        server.join().unwrap();
        assert_eq!(result.state, state, "{}", result.detail);
        assert!(result.detail.starts_with(text), "{} instead of {text}", result.detail);
        let expires = result.facts.certificate_expires.expect("the expiry is read whatever the verdict");
        assert_eq!(expires > clock::now(), years.1 > 2021);
        assert!(result.phases.tls.is_some());
        if state == ProbeState::Down {
            assert_eq!((result.cause, result.failed_phase), (Some(Cause::CertificateInvalid), Some(Phase::Tls)));
        }
    }
}

#[test]
fn plain_http_on_a_tls_port_is_told() {
    let (address, server) = serve(|mut stream| {
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        outlast(stream);
    });
    let result = probe(&format!("https://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::TlsFailed));
    assert_eq!(result.detail, "TLS: 127.0.0.1 does not speak TLS on this port");
}
