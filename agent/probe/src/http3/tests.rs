//! Exchanges with real QUIC servers on the loopback: good, broken and hostile ones.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use sitepulse_daemon::clock;
use sitepulse_model::check::{CheckKind, HttpTarget, HttpVersion, TlsOptions};
use sitepulse_model::record::ProbeState;

use super::*;
use crate::testing::{self, Pki, pki};
use crate::tools::Tools;

const PATIENCE: Duration = Duration::from_secs(20);

fn server_config(pki: &Pki, years: (i32, i32), alpn: &str) -> quinn::ServerConfig {
    let tls = pki.server(years, alpn);
    quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()))
}

/// Accepts `connections` in turn, lets `behave` have each, and waits until the prober has closed it.
fn serve<F: Future<Output = ()>>(
    config: quinn::ServerConfig,
    connections: usize,
    behave: impl Fn(quinn::Connection) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(endpoint.local_addr().unwrap()).unwrap();
            for _ in 0..connections {
                let Ok(connection) = endpoint.accept().await.unwrap().await else { continue };
                behave(connection.clone()).await;
                connection.closed().await;
            }
            endpoint.wait_idle().await;
        });
    });
    (told.recv().unwrap(), thread)
}

fn good(pki: &Pki) -> quinn::ServerConfig {
    server_config(pki, (2020, 2099), "h3")
}

/// What an exchange came to.
struct Seen {
    outcome: Result<(Parts, Vec<u8>), Failure>,
    phases: sitepulse_model::record::Phases,
    facts: sitepulse_model::record::Facts,
}

impl Seen {
    fn failure(&self) -> (Cause, Phase, &str) {
        let failure = self.outcome.as_ref().unwrap_err();
        (failure.cause, failure.phase, failure.detail.as_str())
    }
}

/// One exchange within `timeout`: the body is read to its end or to 1 MiB.
async fn exchange(tools: &Tools, address: SocketAddr, request: Request<Bytes>, timeout: Duration) -> Seen {
    let deadline = clock::monotonic().plus_us(u64::try_from(timeout.as_micros()).unwrap());
    let mut attempt = Attempt::new(tools, &[], true, deadline);
    let tls = TlsClient::new(&TlsOptions::default(), ALPN).unwrap();
    let talk = async {
        let mut incoming = send(&mut attempt, address, "localhost", request, &tls).await?;
        let mut body = Vec::new();
        while let Some(piece) = incoming.data(&mut attempt).await? {
            body.extend_from_slice(&piece);
            if body.len() >= crate::BODY_BYTES_MAX {
                break;
            }
        }
        Ok((incoming.parts.clone(), body))
    };
    let outcome = tokio::time::timeout(timeout, talk).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Failure::new(Cause::Timeout, attempt.phase(), "deadline")));
    attempt.end();
    Seen { outcome, phases: attempt.phases, facts: std::mem::take(&mut attempt.facts) }
}

fn get(address: SocketAddr) -> Request<Bytes> {
    Request::get(format!("https://localhost:{}/path?q=1", address.port())).body(Bytes::new()).unwrap()
}

/// One GET, and the end of the server: every connection must be closed by then.
fn probe_within(pki: &Pki, (address, server): (SocketAddr, JoinHandle<()>), timeout: Duration) -> Seen {
    let tools = testing::tools(pki.roots.clone());
    block_on(async {
        let seen = exchange(&tools, address, get(address), timeout).await;
        ended(server).await;
        seen
    })
}

fn probe(pki: &Pki, server: (SocketAddr, JoinHandle<()>)) -> Seen {
    probe_within(pki, server, PATIENCE)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn ended(server: JoinHandle<()>) {
    let joined = tokio::task::spawn_blocking(move || server.join().unwrap());
    tokio::time::timeout(PATIENCE, joined).await.expect("the prober closes its connection").unwrap();
}

type Server = h3::server::Connection<h3_quinn::Connection, Bytes>;
type Stream = h3::server::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

async fn http(connection: quinn::Connection) -> (Server, Request<()>, Stream) {
    let mut server: Server = h3::server::builder().build(h3_quinn::Connection::new(connection)).await.unwrap();
    let (request, stream) = server.accept().await.unwrap().unwrap().resolve_request().await.unwrap();
    (server, request, stream)
}

fn head(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

#[test]
fn a_good_answer_has_the_phases_of_quic() {
    let pki = pki();
    let server = serve(good(&pki), 1, |connection| async move {
        let (_server, request, mut stream) = http(connection.clone()).await;
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/path"));
        assert_eq!(request.uri().query(), Some("q=1"));
        stream.send_response(head(103)).await.unwrap();
        stream.send_response(head(200)).await.unwrap();
        stream.send_data(Bytes::from_static(b"Welcome")).await.unwrap();
        stream.finish().await.unwrap();
        connection.closed().await;
    });
    let seen = probe(&pki, server);
    let (parts, body) = seen.outcome.unwrap();
    assert_eq!((parts.status.as_u16(), body.as_slice()), (200, &b"Welcome"[..]));
    assert_eq!((seen.phases.dns, seen.phases.connect), (None, None));
    let happened = [seen.phases.tls, seen.phases.send, seen.phases.first_byte, seen.phases.transfer];
    assert!(happened.iter().all(Option::is_some), "{:?}", seen.phases);
    assert_eq!(seen.facts.status, Some(200));
    assert_eq!(seen.facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/3"]);
    assert!(seen.facts.certificate_expires.is_some());
}

#[test]
fn an_http_check_can_force_it() {
    let pki = pki();
    // Not joined: the run's runtime ends before it can tell the server that the connection is closed.
    let (address, _server) = serve(good(&pki), 1, |connection| async move {
        let (_server, _, mut stream) = http(connection.clone()).await;
        stream.send_response(head(200)).await.unwrap();
        stream.send_data(Bytes::from_static(b"Welcome")).await.unwrap();
        stream.finish().await.unwrap();
        connection.closed().await;
    });
    let mut target = HttpTarget::get(format!("https://{address}/path?q=1"));
    target.http = HttpVersion::Http3;
    target.tls.server_name = Some("localhost".to_owned());
    let check = testing::check(
        CheckKind::Http(Box::new(target)),
        20_000_000,
        &["body == 'Welcome'", "tls.version == 'TLSv1.3'"],
    );
    let result = testing::run(&check, &testing::tools(pki.roots.clone()));
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!((result.address, result.phases.connect), (Some(address), None));
    assert_eq!(result.facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/3"]);
}

#[test]
fn a_stapled_revocation_ends_the_handshake() {
    use x509_ocsp::{CertStatus, OcspGeneralizedTime, RevokedInfo};

    use crate::tls::pki::{Authority, Leaf};

    let root = Authority::root("Root");
    let leaf = Leaf::of(&root, &["localhost"]);
    let at = OcspGeneralizedTime::from(der::DateTime::new(2026, 1, 31, 12, 0, 0).unwrap());
    let revoked = CertStatus::Revoked(RevokedInfo { revocation_time: at, revocation_reason: None });
    let mut tls = leaf.serve_stapled(root.staple(&leaf, revoked, (-1, 1))).config;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let (address, server) = serve(config, 1, |connection| async move {
        connection.closed().await;
    });
    let tools = testing::tools(root.roots());
    let seen = block_on(async {
        let seen = exchange(&tools, address, get(address), PATIENCE).await;
        ended(server).await;
        seen
    });
    let detail = "TLS: certificate for localhost was revoked on 2026-01-31 (stapled OCSP)";
    assert_eq!(seen.failure(), (Cause::CertificateInvalid, Phase::Tls, detail));
    assert_eq!(seen.facts.texts_of(FactKey::Ocsp).collect::<Vec<_>>(), ["revoked"]);
    assert_eq!(seen.facts.texts_of(FactKey::Alpn).collect::<Vec<_>>(), ["h3"]);
}

/// As over TCP: with what is about the certificate comes the chain as the server sent it, with anything else the body's hash alone.
#[test]
fn the_chain_that_was_shown_over_quic_explains_a_run() {
    use sitepulse_model::record::{ChainCertificate, ProbeResult};

    use crate::tls::pki::{Authority, Leaf};

    let root = Authority::root("Root");
    let middle = root.intermediate("Middle (R3)");
    let run = |years: (i32, i32), expect: &[&str]| {
        let leaf = Leaf::of(&middle, &["localhost"]).valid(years.0, years.1);
        let tls = leaf.serve(|config| config.alpn_protocols = vec![b"h3".to_vec()]).config;
        let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        // Not joined: the run's runtime ends before it can tell the server that the connection is closed.
        let (address, _server) = serve(config, 1, |connection| async move {
            let (_server, _, mut stream) = http(connection.clone()).await;
            stream.send_response(head(500)).await.unwrap();
            stream.send_data(Bytes::from_static(b"abc")).await.unwrap();
            stream.finish().await.unwrap();
            connection.closed().await;
        });
        let mut target = HttpTarget::get(format!("https://{address}/"));
        target.http = HttpVersion::Http3;
        target.tls.server_name = Some("localhost".to_owned());
        let check = testing::check(CheckKind::Http(Box::new(target)), 20_000_000, expect);
        let result = testing::run(&check, &testing::tools(root.roots()));
        let sha256 = ring::digest::digest(&ring::digest::SHA256, leaf.der());
        (result, crate::evidence::hex(sha256.as_ref()))
    };
    let chain = |result: &ProbeResult| -> Vec<[String; 3]> {
        let lines = result.facts.texts_of(FactKey::CertificateChain);
        let certificates = lines.map(|line| ChainCertificate::parse(line).unwrap());
        certificates.map(|one| [one.sha256, one.subject, one.issuer].map(std::borrow::Cow::into_owned)).collect()
    };
    let hashes = |result: &ProbeResult| result.facts.texts_of(FactKey::ResponseSha256).count();
    let refused = Some(Cause::CertificateInvalid);
    for (years, expect, cause, body) in [
        ((2020, 2021), &[][..], refused, 0),
        ((2020, 4000), &["status == 500", "certificate.days > 10000000"][..], Some(Cause::AssertionFailed), 1),
    ] {
        let (result, leaf) = run(years, expect);
        assert_eq!((result.cause, hashes(&result)), (cause, body), "{expect:?}: {}", result.detail);
        let shown = chain(&result);
        assert_eq!(shown.len(), 2, "{expect:?}: {}", result.detail);
        assert_eq!(shown[0], [leaf.as_str(), "localhost", "Middle (R3)"], "{expect:?}");
        assert_eq!(shown[1][1..], ["Middle (R3)", "Root"], "{expect:?}");
        assert_eq!(result.facts.number_of(FactKey::ChainLength), Some(2), "{expect:?}");
    }
    let (result, _) = run((2020, 4000), &["status == 200"]);
    assert_eq!((result.state, chain(&result).len(), hashes(&result)), (ProbeState::Down, 0, 1), "{}", result.detail);
}

#[test]
fn a_body_is_sent_and_headers_of_http_1_are_not() {
    let pki = pki();
    let (address, server) = serve(good(&pki), 1, |connection| async move {
        let (_server, request, mut stream) = http(connection.clone()).await;
        for forbidden in ["host", "connection", "transfer-encoding", "keep-alive", "upgrade"] {
            assert!(!request.headers().contains_key(forbidden), "{forbidden}");
        }
        let mut body = Vec::new();
        while let Some(piece) = stream.recv_data().await.unwrap() {
            body.extend_from_slice(piece.chunk());
        }
        assert_eq!(body.len(), 600_000);
        stream.send_response(head(204)).await.unwrap();
        stream.finish().await.unwrap();
        connection.closed().await;
    });
    let tools = testing::tools(pki.roots.clone());
    let request = Request::post(format!("https://localhost:{}/", address.port()))
        .header("host", "localhost")
        .header("connection", "close")
        .header("keep-alive", "1")
        .body(Bytes::from(vec![b'x'; 600_000]))
        .unwrap();
    block_on(async {
        let seen = exchange(&tools, address, request, PATIENCE).await;
        assert_eq!(seen.outcome.unwrap().0.status.as_u16(), 204);
        ended(server).await;
    });
}

#[test]
fn every_run_shakes_hands_and_one_socket_serves_all_until_its_runtime_ends() {
    let pki = pki();
    let (address, server) = serve(good(&pki), 3, |connection| async move {
        let data = connection.handshake_data().unwrap();
        assert!(data.downcast::<quinn::crypto::rustls::HandshakeData>().is_ok());
        let (_server, _, mut stream) = http(connection.clone()).await;
        stream.send_response(head(200)).await.unwrap();
        stream.finish().await.unwrap();
        connection.closed().await;
    });
    let tools = testing::tools(pki.roots.clone());
    let sockets = block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..2 {
            let seen = exchange(&tools, address, get(address), PATIENCE).await;
            assert!(seen.outcome.is_ok() && seen.phases.tls.is_some());
            sockets.push(tools.quic.sockets());
        }
        tools.quic.idle().await;
        sockets
    });
    assert_eq!((&sockets[0], sockets[0].len()), (&sockets[1], 1));
    // The runtime is gone and the driver with it: the next run makes a new socket.
    block_on(async {
        let seen = exchange(&tools, address, get(address), PATIENCE).await;
        assert!(seen.outcome.is_ok());
        ended(server).await;
    });
    assert_ne!(tools.quic.sockets(), sockets[0]);
}

#[test]
fn certificates_are_refused_in_the_words_of_tls() {
    let known = pki();
    let seen = probe(&known, serve(server_config(&known, (2020, 2021), "h3"), 1, |_| async {}));
    let (cause, phase, detail) = seen.failure();
    assert_eq!((cause, phase), (Cause::CertificateInvalid, Phase::Tls));
    assert!(detail.starts_with("TLS: certificate for localhost expired "), "{detail}");
    assert!(seen.facts.certificate_expires.is_some());
    let stranger = pki();
    let seen = probe(&known, serve(good(&stranger), 1, |_| async {}));
    let (cause, _, detail) = seen.failure();
    assert_eq!(cause, Cause::CertificateInvalid);
    assert!(detail.contains("issuer that this machine does not trust"), "{detail}");
}

#[test]
fn a_server_without_http_3_says_so() {
    let pki = pki();
    let seen = probe(&pki, serve(server_config(&pki, (2020, 2099), "doq"), 1, |_| async {}));
    assert_eq!(
        seen.failure(),
        (Cause::TlsFailed, Phase::Tls, "TLS: localhost does not offer HTTP/3 over QUIC (ALPN h3)")
    );
}

#[test]
fn a_closed_port_refuses_before_the_deadline() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tools = testing::tools(testing::some_roots());
    let seen = block_on(exchange(&tools, address, get(address), PATIENCE));
    let text = format!("TLS: {address} refused the QUIC connection: nothing listens on that UDP port");
    assert_eq!(seen.failure(), (Cause::ConnectionRefused, Phase::Tls, text.as_str()));
}

#[test]
fn silence_is_a_timeout_of_the_handshake() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let tools = testing::tools(testing::some_roots());
    let seen = block_on(exchange(&tools, address, get(address), Duration::from_millis(400)));
    let (cause, phase, detail) = seen.failure();
    assert_eq!((cause, phase), (Cause::Timeout, Phase::Tls));
    assert!(detail.starts_with(&format!("TLS: no QUIC handshake with localhost at {address} within ")), "{detail}");
}

#[test]
fn another_version_of_quic_is_told() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut datagram = [0; 2048];
        let (_, from) = socket.recv_from(&mut datagram).unwrap();
        let (to, rest) = datagram[6..].split_at(usize::from(datagram[5]));
        let own = &rest[1..][..usize::from(rest[0])];
        let mut answer = vec![0x80, 0, 0, 0, 0, u8::try_from(own.len()).unwrap()];
        answer.extend_from_slice(own);
        answer.push(u8::try_from(to.len()).unwrap());
        answer.extend_from_slice(to);
        answer.extend_from_slice(&[0xba, 0xba, 0xba, 0xba]);
        socket.send_to(&answer, from).unwrap();
    });
    let tools = testing::tools(testing::some_roots());
    let seen = block_on(exchange(&tools, address, get(address), PATIENCE));
    server.join().unwrap();
    let (cause, phase, detail) = seen.failure();
    assert_eq!((cause, phase), (Cause::ProtocolError, Phase::Tls), "{detail}");
}

#[test]
fn a_stall_keeps_what_was_seen_and_the_deadline_closes() {
    let pki = pki();
    let server = serve(good(&pki), 1, |connection| async move {
        let (_server, _, mut stream) = http(connection.clone()).await;
        stream.send_response(head(200)).await.unwrap();
        stream.send_data(Bytes::from_static(b"some")).await.unwrap();
        connection.closed().await;
    });
    let seen = probe_within(&pki, server, Duration::from_millis(500));
    assert_eq!(seen.failure(), (Cause::Timeout, Phase::Transfer, "deadline"));
    assert_eq!(seen.facts.status, Some(200));
    assert!(seen.phases.first_byte.is_some() && seen.phases.transfer.is_some());
}

#[test]
fn an_endless_body_is_left_where_the_reader_stops() {
    let pki = pki();
    let server = serve(good(&pki), 1, |connection| async move {
        let (_server, _, mut stream) = http(connection).await;
        stream.send_response(head(200)).await.unwrap();
        while stream.send_data(Bytes::from(vec![b'a'; 16 << 10])).await.is_ok() {}
    });
    let (_, body) = probe(&pki, server).outcome.unwrap();
    assert!(body.len() >= crate::BODY_BYTES_MAX);
}

#[test]
fn endless_interim_answers_end() {
    let pki = pki();
    let server = serve(good(&pki), 1, |connection| async move {
        let (_server, _, mut stream) = http(connection).await;
        while stream.send_response(head(103)).await.is_ok() {}
    });
    let seen = probe(&pki, server);
    let (cause, phase, detail) = seen.failure();
    assert_eq!((cause, phase), (Cause::ProtocolError, Phase::FirstByte));
    assert!(detail.contains("16 interim answers"), "{detail}");
}

#[test]
fn headers_over_the_limit_are_refused() {
    let pki = pki();
    let server = serve(good(&pki), 1, |connection| async move {
        // QPACK: no dynamic table; `:status: 200`; then a literal `x` with 70,000 bytes.
        let mut block = vec![0, 0, 0xc0 | 25, 0x21, b'x', 0x7f];
        block.extend_from_slice(&[0xf1, 0xa1, 0x04]); // 70,000 - 127 in groups of seven bits
        block.extend_from_slice(&[b'a'; 70_000]);
        raw(&connection, 1, block.len() as u64, &block).await;
        connection.closed().await;
    });
    let seen = probe(&pki, server);
    assert_eq!(
        seen.failure(),
        (Cause::ProtocolError, Phase::FirstByte, "first_byte: localhost sent headers over 65536 bytes")
    );
}

/// Answers the first request with one frame of our own making, which claims a length; then with zeros without end.
async fn raw(connection: &quinn::Connection, kind: u8, claimed: u64, payload: &[u8]) {
    let (mut up, _down) = connection.accept_bi().await.unwrap();
    let mut frame = vec![kind];
    frame.extend_from_slice(&(claimed | 0xc000_0000_0000_0000).to_be_bytes());
    frame.extend_from_slice(payload);
    if up.write_all(&frame).await.is_err() {
        return;
    }
    while up.write_all(&[0; 16 << 10]).await.is_ok() {}
}

#[test]
fn a_frame_that_claims_a_gigabyte_ends_at_the_limit() {
    let pki = pki();
    for kind in [1, 0x21] {
        let server = serve(good(&pki), 1, move |connection| async move {
            raw(&connection, kind, 1 << 30, &[]).await;
        });
        let seen = probe(&pki, server);
        let (cause, phase, detail) = seen.failure();
        assert_eq!((cause, phase), (Cause::ProtocolError, Phase::FirstByte), "{detail}");
        assert!(detail.contains("sent over 524288 bytes and no answer"), "{detail}");
    }
}

#[test]
fn a_flood_beside_the_body_ends_at_the_limit() {
    let pki = pki();
    let server = serve(good(&pki), 1, |connection| async move {
        // A control stream whose settings never end.
        let mut control = connection.open_uni().await.unwrap();
        let mut settings = vec![0, 4];
        settings.extend_from_slice(&((1_u64 << 30) | 0xc000_0000_0000_0000).to_be_bytes());
        control.write_all(&settings).await.unwrap();
        while control.write_all(&[0; 16 << 10]).await.is_ok() {}
    });
    let seen = probe(&pki, server);
    let (cause, _, detail) = seen.failure();
    assert_eq!(cause, Cause::ProtocolError, "{detail}");
}

#[test]
fn a_reset_stream_and_a_closed_connection_are_resets() {
    let pki = pki();
    let server = serve(good(&pki), 1, |connection| async move {
        let (_server, _, mut stream) = http(connection.clone()).await;
        stream.stop_stream(Code::H3_INTERNAL_ERROR);
        connection.closed().await;
    });
    let seen = probe(&pki, server);
    let (cause, phase, detail) = seen.failure();
    assert_eq!((cause, phase), (Cause::ConnectionReset, Phase::FirstByte));
    assert!(detail.starts_with("first_byte: localhost reset the stream of the request"), "{detail}");
    let server = serve(good(&pki), 1, |connection| async move {
        let (_server, _, mut stream) = http(connection.clone()).await;
        stream.send_response(head(200)).await.unwrap();
        connection.close(VarInt::from_u32(0x102), b"");
    });
    let seen = probe(&pki, server);
    assert_eq!(seen.failure().0, Cause::ConnectionReset, "{:?}", seen.failure());
}
