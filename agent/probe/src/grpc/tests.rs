//! The prober against HTTP/2 servers on the loopback: good, broken and hostile ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use h2::server::{Connection, SendResponse};
use hyper::{HeaderMap, Response};
use rustls::RootCertStore;
use sitepulse_model::check::{CheckKind, SecretText, TlsOptions};
use sitepulse_model::record::{ProbeResult, ProbeState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::testing::{self, pki, some_roots};

type Incoming<S> = (Connection<S, Bytes>, Request<RecvStream>, SendResponse<Bytes>);

fn serve<F: Future<Output = ()>>(behave: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            behave(listener.accept().await.unwrap().0).await;
        });
    });
    (told.recv().unwrap(), thread)
}

/// Takes the one call of a connection.
async fn call<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Incoming<S> {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, respond) = connection.accept().await.unwrap().unwrap();
    (connection, request, respond)
}

/// Moves the connection until the prober is gone.
async fn finish<S: AsyncRead + AsyncWrite + Unpin>(mut connection: Connection<S, Bytes>) {
    while let Some(Ok(_)) = connection.accept().await {}
}

fn head(kind: &str) -> Response<()> {
    Response::builder().header(CONTENT_TYPE, kind).body(()).unwrap()
}

fn trailers(status: &str, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", message.parse().unwrap());
    trailers
}

fn serving(status: u8) -> Bytes {
    Bytes::from(vec![0, 0, 0, 0, 2, 8, status])
}

/// A server that answers the health check with a serving status.
fn healthy(status: u8) -> (SocketAddr, JoinHandle<()>) {
    serve(move |stream| async move {
        let (connection, _, mut respond) = call(stream).await;
        let mut body = respond.send_response(head("application/grpc"), false).unwrap();
        body.send_data(serving(status), false).unwrap();
        body.send_trailers(trailers("0", "")).unwrap();
        finish(connection).await;
    })
}

/// A server that ends the call at once.
fn refusing(status: &'static str, message: &'static str) -> (SocketAddr, JoinHandle<()>) {
    serve(move |stream| async move {
        let (connection, _, mut respond) = call(stream).await;
        let mut head = head("application/grpc+proto");
        head.headers_mut().extend(trailers(status, message));
        respond.send_response(head, true).unwrap();
        finish(connection).await;
    })
}

fn target(address: SocketAddr) -> GrpcTarget {
    GrpcTarget {
        url: format!("http://{address}"),
        service: String::new(),
        headers: [].into(),
        family: Family::Any,
        tls: TlsOptions::default(),
    }
}

fn run(target: GrpcTarget, expect: &[&str], timeout_us: u64, roots: RootCertStore) -> ProbeResult {
    testing::run(&testing::check(CheckKind::Grpc(Box::new(target)), timeout_us, expect), &testing::tools(roots))
}

fn probe((address, server): (SocketAddr, JoinHandle<()>), expect: &[&str]) -> ProbeResult {
    let result = run(target(address), expect, 20_000_000, some_roots());
    server.join().unwrap();
    result
}

fn status(result: &ProbeResult) -> Option<&str> {
    result.facts.texts_of(FactKey::GrpcStatus).next()
}

#[test]
fn a_serving_server_is_up_and_is_asked_by_the_book() {
    let (address, server) = serve(|stream| async move {
        let (mut connection, request, mut respond) = call(stream).await;
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, PATH));
        let headers = request.headers();
        assert_eq!(
            (&headers["content-type"], &headers["te"]),
            (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
        );
        assert_eq!(headers["x-token"], "abc");
        let timeout = headers["grpc-timeout"].to_str().unwrap().strip_suffix('m').unwrap();
        assert!((15_000..=20_000).contains(&timeout.parse::<u32>().unwrap()), "{timeout}");
        let mut body = request.into_body();
        let data = tokio::select! {
            data = body.data() => data.unwrap().unwrap(),
            _ = connection.accept() => panic!("one call"),
        };
        assert_eq!(&data[..], b"\0\0\0\0\x06\x0a\x04shop");
        let mut body = respond.send_response(head("application/grpc"), false).unwrap();
        body.send_data(serving(1), false).unwrap();
        body.send_trailers(trailers("0", "")).unwrap();
        finish(connection).await;
    });
    let mut target = target(address);
    target.service = "shop".to_owned();
    target.headers.insert("x-token".to_owned(), SecretText("abc".to_owned()));
    let result = run(target, &[], 20_000_000, some_roots());
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    server.join().unwrap();
    assert_eq!((status(&result), result.facts.status), (Some("SERVING"), Some(200)));
    let phases = result.phases;
    assert!(
        [phases.connect, phases.send, phases.first_byte, phases.transfer].iter().all(Option::is_some),
        "{phases:?}"
    );
}

#[test]
fn not_serving_is_down_unless_the_author_judges() {
    let result = probe(healthy(2), &[]);
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::NotServing)));
    assert_eq!(result.detail, "grpc: the server at 127.0.0.1 does not serve (NOT_SERVING)");
    assert_eq!(status(&result), Some("NOT_SERVING"));
    let result = probe(healthy(2), &["grpc.status == 'NOT_SERVING'"]);
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    let result = probe(refusing("5", "unknown%20service"), &[]);
    assert_eq!(result.cause, Some(Cause::NotServing));
    assert_eq!(result.detail, "grpc: 127.0.0.1 does not know the server (NOT_FOUND: unknown service)");
    let result = probe(refusing("5", ""), &["grpc.status == 'SERVICE_UNKNOWN'"]);
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
}

#[test]
fn trailers_alone_tell_why() {
    let result = probe(refusing("12", "unknown method"), &[]);
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)));
    assert_eq!(result.detail, "grpc: 127.0.0.1 does not speak the health protocol (UNIMPLEMENTED: unknown method)");
    let result = probe(refusing("16", ""), &[]);
    assert_eq!(result.cause, Some(Cause::LoginRefused), "{}", result.detail);
}

#[test]
fn it_works_over_tls_and_needs_http_2_there() {
    let pki = pki();
    for (alpn, up) in [("h2", true), ("http/1.1", false), ("", false)] {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(pki.server((2020, 2099), alpn)));
        let (address, server) = serve(move |stream| async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if !up {
                return;
            }
            let (connection, request, mut respond) = call(stream).await;
            assert_eq!(request.uri().scheme_str(), Some("https"));
            let mut body = respond.send_response(head("application/grpc"), false).unwrap();
            body.send_data(serving(1), false).unwrap();
            body.send_trailers(trailers("0", "")).unwrap();
            finish(connection).await;
        });
        let mut target = target(address);
        target.url = format!("https://{address}");
        target.tls.server_name = Some("localhost".to_owned());
        let result = run(target, &[], 20_000_000, pki.roots.clone());
        server.join().unwrap();
        assert_eq!(result.state == ProbeState::Up, up, "{alpn}: {}", result.detail);
        assert!(alpn == "http/1.1" || result.facts.certificate_expires.is_some(), "{alpn}");
        assert!(up || result.failed_phase == Some(Phase::Tls), "{alpn}: {}", result.detail);
    }
}

#[test]
fn what_is_not_grpc_says_so() {
    for (status, kind, text) in [
        (502, "text/html", "grpc: 127.0.0.1 answered with HTTP status 502 instead of gRPC"),
        (200, "text/html", "grpc: 127.0.0.1 answered with \"text/html\" instead of gRPC"),
        (200, "application/grpcweb", "grpc: 127.0.0.1 answered with \"application/grpcweb\" instead of gRPC"),
    ] {
        let server = serve(move |stream| async move {
            let (connection, _, mut respond) = call(stream).await;
            let mut head = head(kind);
            *head.status_mut() = status.try_into().unwrap();
            respond.send_response(head, true).unwrap();
            finish(connection).await;
        });
        let result = probe(server, &[]);
        assert_eq!((result.cause, result.detail.as_str()), (Some(Cause::ProtocolError), text));
    }
    let server = serve(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    });
    let result = probe(server, &[]);
    assert_eq!(result.cause, Some(Cause::ProtocolError), "{}", result.detail);
    assert!(result.detail.ends_with("127.0.0.1 does not speak HTTP/2 on this port"), "{}", result.detail);
}

#[test]
fn a_call_without_its_end_is_told() {
    let server = serve(|stream| async move {
        let (connection, _, mut respond) = call(stream).await;
        let mut body = respond.send_response(head("application/grpc"), false).unwrap();
        body.send_data(serving(1), true).unwrap();
        finish(connection).await;
    });
    let result = probe(server, &[]);
    assert_eq!(result.detail, "grpc: 127.0.0.1 ended the call without a grpc-status");
    let server = serve(|stream| async move {
        let (connection, _, respond) = call(stream).await;
        drop((connection, respond));
    });
    let result = probe(server, &[]);
    assert_eq!(result.cause, Some(Cause::ConnectionReset), "{}", result.detail);
    let server = serve(|stream| async move {
        let (mut connection, _, respond) = call(stream).await;
        connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        finish(connection).await;
        drop(respond);
    });
    let result = probe(server, &[]);
    assert_eq!(result.cause, Some(Cause::ConnectionReset), "{}", result.detail);
    assert!(result.detail.contains("GOAWAY"), "{}", result.detail);
    let server = serve(|stream| async move {
        let (connection, _, mut respond) = call(stream).await;
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        finish(connection).await;
    });
    let result = probe(server, &[]);
    assert_eq!(result.cause, Some(Cause::ConnectionReset), "{}", result.detail);
}

#[test]
fn hostile_answers_end_at_their_limits() {
    let server = serve(|stream| async move {
        let (connection, _, mut respond) = call(stream).await;
        let mut body = respond.send_response(head("application/grpc"), false).unwrap();
        body.send_data(Bytes::from(vec![0; 1 << 20]), false).unwrap();
        finish(connection).await;
    });
    let result = probe(server, &[]);
    assert_eq!(result.detail, "grpc: 127.0.0.1 sent a message over 65536 bytes");
    let server = serve(|stream| async move {
        let (connection, _, mut respond) = call(stream).await;
        let mut body = respond.send_response(head("application/grpc"), false).unwrap();
        let mut many = trailers("0", "");
        for n in 0..200 {
            many.insert(
                hyper::header::HeaderName::try_from(format!("x-{n}")).unwrap(),
                "y".repeat(1000).parse().unwrap(),
            );
        }
        body.send_data(serving(1), false).unwrap();
        body.send_trailers(many).unwrap();
        finish(connection).await;
    });
    let result = probe(server, &[]);
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)), "{}", result.detail);
    // Pings and settings without end: never an answer, always something to read.
    let server = serve(|mut stream| async move {
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let (mut read, mut write) = stream.split();
        let swallow = async { while matches!(read.read(&mut [0; 4096]).await, Ok(1..)) {} };
        let flood = async {
            let ping = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8].repeat(256);
            while write.write_all(&ping).await.is_ok() {}
        };
        tokio::select! {
            () = flood => {}
            () = swallow => {}
        }
    });
    let result = probe(server, &[]);
    assert_eq!(result.cause, Some(Cause::ProtocolError), "{}", result.detail);
    assert!(result.detail.ends_with("127.0.0.1 sent more than 524288 bytes"), "{}", result.detail);
}

#[test]
fn a_stall_is_a_timeout_where_it_stalls() {
    let (address, server) = serve(|stream| async move {
        let (connection, _, mut respond) = call(stream).await;
        let mut body = respond.send_response(head("application/grpc"), false).unwrap();
        body.send_data(Bytes::from_static(&[0, 0]), false).unwrap();
        finish(connection).await;
    });
    let result = run(target(address), &[], 400_000, some_roots());
    server.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Transfer)), "{}", result.detail);
}
