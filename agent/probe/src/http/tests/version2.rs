//! HTTP/2 against a real server: with prior knowledge, and as TLS negotiates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use hyper::{HeaderMap, Method, Response};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sitepulse_model::check::{CheckKind, HttpTarget, HttpVersion, SecretText};
use sitepulse_model::record::{Cause, FactKey, Phase, ProbeResult, ProbeState};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::certificates::{Pki, pki};
use super::{probe_target, serve};
use crate::testing;

/// What the server saw.
#[derive(Debug)]
struct Seen {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Answers one request with a body of `bytes` bytes, `length` announced.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: usize, length: Option<usize>) -> Option<Seen> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let (request, mut respond) = connection.accept().await?.ok()?;
    let (parts, mut incoming) = request.into_parts();
    let exchange = async {
        let mut body = Vec::new();
        while let Some(Ok(data)) = incoming.data().await {
            body.extend_from_slice(&data);
            incoming.flow_control().release_capacity(data.len()).unwrap();
        }
        let mut response = Response::builder().header("x-from", "h2");
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        let mut stream = respond.send_response(response.body(()).unwrap(), bytes == 0).unwrap();
        let mut left = bytes;
        while left > 0 {
            stream.reserve_capacity(left.min(16 << 10));
            let Some(Ok(room)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else { break };
            let piece = room.min(left);
            left -= piece;
            if stream.send_data(Bytes::from(vec![b'x'; piece]), left == 0).is_err() {
                break;
            }
        }
        body
    };
    let mut exchange = std::pin::pin!(exchange);
    let body = tokio::select! {
        body = &mut exchange => body,
        _ = connection.accept() => Vec::new(),
    };
    // Until the prober hangs up.
    while connection.accept().await.is_some_and(|accepted| accepted.is_ok()) {}
    Some(Seen { method: parts.method, uri: parts.uri.to_string(), headers: parts.headers, body })
}

fn on<T: Send + 'static>(
    run: impl AsyncFnOnce(tokio::net::TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { run(tokio::net::TcpStream::from_std(stream).unwrap()).await })
    });
    (address, thread)
}

fn prior(address: SocketAddr) -> HttpTarget {
    HttpTarget { http: HttpVersion::Http2, ..HttpTarget::get(format!("http://{address}/a?b=c")) }
}

#[test]
fn prior_knowledge_speaks_http2_at_once() {
    let (address, server) = on(async |stream| talk(stream, 5, Some(5)).await);
    let mut target = prior(address);
    target.method = "POST".to_owned();
    target.body = Some(SecretText("y".repeat(300_000)));
    target.headers = [("x-token", "secret:token"), ("host", "shop.example")]
        .map(|(name, value)| (name.to_owned(), SecretText(value.to_owned())))
        .into();
    let result = probe_target(target, &["status == 200", "body == 'xxxxx'", "header 'x-from' == 'h2'"]);
    let seen = server.join().unwrap().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(result.facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/2"]);
    assert_eq!((seen.method, seen.uri.as_str()), (Method::POST, "http://shop.example/a?b=c"));
    assert_eq!((seen.headers["x-token"].to_str().unwrap(), seen.body.len()), ("t0ken", 300_000));
    assert!(!seen.headers.contains_key("connection") && !seen.headers.contains_key("host"));
    let phases = result.phases;
    for phase in [Phase::Connect, Phase::Send, Phase::FirstByte, Phase::Transfer] {
        assert!(phases.get(phase).is_some(), "{phase} is missing");
    }
}

#[test]
fn a_large_body_is_cut_over_http2_too() {
    let (address, server) = on(async |stream| talk(stream, 3 << 20, None).await);
    let result = probe_target(prior(address), &["body not contains 'y'"]);
    server.join().unwrap();
    assert_eq!((result.state, result.facts.body_bytes), (ProbeState::Up, Some(1 << 20)), "{}", result.detail);
    assert!(result.detail.contains("body cut"), "{}", result.detail);
}

#[test]
fn a_body_of_another_length_than_announced_breaks_http2() {
    let (address, server) = on(async |stream| talk(stream, 5, Some(7)).await);
    let result = probe_target(prior(address), &[]);
    server.join().unwrap();
    assert_eq!(
        (result.cause, result.failed_phase),
        (Some(Cause::ProtocolError), Some(Phase::Transfer)),
        "{}",
        result.detail
    );
}

fn over_tls(pki: &Pki, alpn: &[&str], http: HttpVersion) -> (ProbeResult, Option<Seen>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &pki.issuer).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(crate::tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let (address, server) = on(async move |stream| {
        let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") { talk(stream, 2, None).await } else { None }
    });
    let target = HttpTarget { http, ..HttpTarget::get(format!("https://{address}/")) };
    let check = testing::check(CheckKind::Http(Box::new(target)), 10_000_000, &["status == 200"]);
    let result = testing::run(&check, &testing::tools(pki.roots.clone()));
    (result, server.join().unwrap())
}

#[test]
fn tls_negotiates_http2() {
    let pki = pki();
    for http in [HttpVersion::Auto, HttpVersion::Http2] {
        let (result, seen) = over_tls(&pki, &["h2", "http/1.1"], http);
        assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
        assert_eq!(result.facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/2"]);
        assert!(seen.unwrap().uri.starts_with("https://127.0.0.1:"));
        assert!(result.phases.tls.is_some());
    }
    // A server that knows nothing of ALPN speaks HTTP/1.1.
    let (result, _) = over_tls(&pki, &[], HttpVersion::Http2);
    assert_eq!(
        (result.cause, result.failed_phase, result.detail.as_str()),
        (Some(Cause::ProtocolError), Some(Phase::Tls), "TLS: 127.0.0.1 does not offer HTTP/2")
    );
    let (result, _) = over_tls(&pki, &["http/1.1"], HttpVersion::Http2);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::TlsFailed), Some(Phase::Tls)), "{}", result.detail);
}

#[test]
fn http1_on_an_http2_port_is_told() {
    let (address, server) = serve(|mut stream| {
        use std::io::Write as _;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        super::outlast(stream);
    });
    let result = probe_target(prior(address), &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::ProtocolError));
    assert_eq!(result.detail, "first_byte: 127.0.0.1 does not speak HTTP/2 on this port");
}
