//! Through a proxy.

use std::io::{Read as _, Write as _};

use sitepulse_model::check::{HttpTarget, HttpVersion};
use sitepulse_model::record::{Cause, ProbeState};

use super::{answer, outlast, probe_target, request, serve, serve_each};

fn through(proxy: std::net::SocketAddr, url: &str) -> HttpTarget {
    HttpTarget { proxy: Some(format!("http://{proxy}")), ..HttpTarget::get(url) }
}

#[test]
fn plain_http_is_asked_for_in_the_absolute_form() {
    let (proxy, server) = serve_each(vec![answer("200 OK", &[], b"by proxy")]);
    let result = probe_target(through(proxy, "http://shop.example/a?b"), &["body == 'by proxy'"]);
    let request = &server.join().unwrap()[0];
    assert!(request.starts_with("GET http://shop.example/a?b HTTP/1.1\r\nhost: shop.example\r\n"), "{request}");
    assert_eq!((result.state, result.address), (ProbeState::Up, Some(proxy)), "{}", result.detail);
    assert_eq!(result.phases.dns, None, "the proxy resolves the name");
}

#[test]
fn a_tunnel_leads_to_the_target() {
    // HTTP/2 with prior knowledge needs a tunnel, as TLS does.
    let (proxy, server) = serve(|mut stream| {
        assert_eq!(request(&mut stream), "CONNECT shop.example:80 HTTP/1.1\r\nHost: shop.example:80\r\n\r\n");
        stream.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    });
    let result = probe_target(HttpTarget { http: HttpVersion::Http2, ..through(proxy, "http://shop.example/") }, &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::ConnectionReset), "{}", result.detail);

    let (proxy, server) = serve(|mut stream| {
        assert!(request(&mut stream).starts_with("CONNECT [2a00::1]:8443 HTTP/1.1\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(hello[..2], [22, 3]);
        stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
        outlast(stream);
    });
    let result = probe_target(through(proxy, "https://[2a00::1]:8443/"), &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::TlsFailed), "{}", result.detail);
}

#[test]
fn what_the_proxy_refuses_is_the_proxys() {
    for (said, text) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "refused to connect to shop.example:443: HTTP/1.1 407"),
        ("HTTP/1.0 502 Bad Gateway\r\n\r\n", "HTTP/1.0 502 Bad Gateway"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP proxy"),
        ("", "closed the connection without an answer"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "something of its own"),
    ] {
        let (proxy, server) = serve(move |mut stream| {
            request(&mut stream);
            stream.write_all(said.as_bytes()).unwrap();
        });
        let result = probe_target(through(proxy, "https://shop.example/"), &[]);
        server.join().unwrap();
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProxyFailed)), "{}", result.detail);
        assert!(result.detail.starts_with("proxy: ") && result.detail.contains(text), "{}", result.detail);
    }
    let (proxy, server) = serve_each(vec![answer("407 Login", &[], b"")]);
    let result = probe_target(through(proxy, "http://shop.example/"), &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::ProxyFailed), "{}", result.detail);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = probe_target(through(closed, "http://shop.example/"), &[]);
    assert_eq!(result.cause, Some(Cause::ProxyFailed), "{}", result.detail);
    assert_eq!(result.detail, format!("proxy: connect: {closed} refused the connection"));
}

#[test]
fn a_proxy_is_no_way_around_the_policy() {
    let (proxy, server) = serve_each(vec![]);
    server.join().unwrap();
    for url in ["http://169.254.169.254/", "https://[fd00:ec2::254]/"] {
        let result = probe_target(through(proxy, url), &[]);
        assert_eq!(result.cause, Some(Cause::PolicyRefused), "{}", result.detail);
    }
    let metadata = "169.254.169.254:80".parse().unwrap();
    let result = probe_target(through(metadata, "http://shop.example/"), &[]);
    assert_eq!(result.cause, Some(Cause::PolicyRefused), "{}", result.detail);
}
