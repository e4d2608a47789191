//! Through a proxy.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use sitepulse_model::check::{CheckKind, HttpTarget, HttpVersion, SecretText};
use sitepulse_model::record::{Cause, ProbeState};

use crate::resolve::Resolver;
use crate::testing::{check, run, some_roots, tools};

use super::{answer, outlast, probe_target, request, serve, serve_each};
use crate::testing;

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
        assert!(request(&mut stream).starts_with("CONNECT [2606:4700::1111]:8443 HTTP/1.1\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(hello[..2], [22, 3]);
        stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
        outlast(stream);
    });
    let result = probe_target(through(proxy, "https://[2606:4700::1111]:8443/"), &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::TlsFailed), "{}", result.detail);
}

#[test]
fn what_the_proxy_refuses_is_the_proxys() {
    for (said, text) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "wants a login (407); give the check a header proxy-authorization",
        ),
        ("HTTP/1.0 502 Bad Gateway\r\n\r\n", "HTTP/1.0 502 Bad Gateway"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP proxy"),
        ("", "closed the connection without an answer"),
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
    assert_eq!(
        result.detail,
        format!("proxy: {proxy} wants a login (407); give the check a header proxy-authorization")
    );

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = probe_target(through(closed, "http://shop.example/"), &[]);
    assert_eq!(result.cause, Some(Cause::ProxyFailed), "{}", result.detail);
    assert_eq!(result.detail, format!("proxy: connect: {closed} refused the connection"));
}

/// What keeps silent may be the agent's own network: the referee must see it as it was.
#[test]
fn a_proxy_that_is_not_reached_keeps_its_cause() {
    use sitepulse_model::check::CheckKind;

    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for (answers, cause) in [(true, Cause::DnsFailed), (false, Cause::NetworkLost)] {
        let mut tools = tools(some_roots());
        let server = dead.local_addr().unwrap();
        if answers {
            let socket = dead.try_clone().unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                // The same question as an answer: there is no such name.
                buffer[2] |= 0x80;
                buffer[3] = 3;
                socket.send_to(&buffer[..length], from).unwrap();
            });
        }
        tools.resolver = Resolver::with_server(server);
        let target = HttpTarget {
            proxy: Some("http://proxy.example:3128".to_owned()),
            ..HttpTarget::get("http://shop.example/")
        };
        let result = run(&check(CheckKind::Http(Box::new(target)), 1_000_000, &[]), &tools);
        assert_eq!(result.cause, Some(cause), "{}", result.detail);
        assert!(result.detail.starts_with("proxy: "), "{}", result.detail);
        assert!(result.detail.contains("proxy.example"), "{}", result.detail);
    }
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

fn with_login(target: HttpTarget) -> HttpTarget {
    let headers = [("Proxy-Authorization".to_owned(), SecretText("secret:password".to_owned()))].into();
    HttpTarget { headers, ..target }
}

#[test]
fn the_proxys_login_is_told_to_the_proxy_and_never_to_the_target() {
    let line = "proxy-authorization: pa55\r\n";
    // Without a tunnel the request itself is the proxy's, after a redirect to another origin as well.
    let (proxy, server) = serve_each(vec![
        answer("302 Found", &["Location: http://other.example/"], b""),
        answer("200 OK", &[], b"by proxy"),
    ]);
    let target = HttpTarget { redirects: 1, ..with_login(through(proxy, "http://shop.example/")) };
    let result = probe_target(target, &["body == 'by proxy'"]);
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    let requests = server.join().unwrap();
    assert!(requests[1].starts_with("GET http://other.example/ "), "{requests:?}");
    assert!(requests.iter().all(|request| request.contains(line)), "{requests:?}");

    // Inside a tunnel it would be the target's: over TLS ...
    let pki = testing::pki();
    let config = Arc::new(pki.server((2020, 2050), "http/1.1"));
    let (proxy, server) = serve(move |mut stream| {
        assert!(request(&mut stream).to_lowercase().contains(line));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream);
        let inner = request(&mut stream);
        assert!(inner.starts_with("GET / HTTP/1.1\r\n") && !inner.to_lowercase().contains("proxy-auth"), "{inner}");
        stream.write_all(&answer("200 OK", &[], b"inside")).unwrap();
    });
    let check = testing::check(
        CheckKind::Http(Box::new(with_login(through(proxy, "https://localhost/")))),
        10_000_000,
        &["body == 'inside'"],
    );
    let tools = testing::tools(pki.roots);
    tools.secrets.replace([("password".to_owned(), "pa55".to_owned())].into());
    let result = testing::run(&check, &tools);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);

    // ... and in HTTP/2 with prior knowledge.
    let (proxy, server) = serve(move |mut stream| {
        assert!(request(&mut stream).to_lowercase().contains(line));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // Huffman coding hides text in HTTP/2: a server of its own reads the headers.
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (asked, mut respond) = connection.accept().await.unwrap().unwrap();
            assert!(!asked.headers().contains_key("proxy-authorization"), "{asked:?}");
            respond.send_response(hyper::Response::new(()), true).unwrap();
            while connection.accept().await.is_some_and(|next| next.is_ok()) {}
        });
    });
    let target = HttpTarget { http: HttpVersion::Http2, ..with_login(through(proxy, "http://shop.example/")) };
    let result = probe_target(target, &["status == 200"]);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
}

/// What comes in one piece with the proxy's answer is the target's word: an HTTP/2 server speaks first.
#[test]
fn a_target_may_speak_first_in_a_tunnel() {
    let (proxy, server) = serve(|mut stream| {
        request(&mut stream);
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        stream.write_all(&[b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &settings].concat()).unwrap();
        let mut preface = [0; 14];
        stream.read_exact(&mut preface).unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0");
    });
    let target = HttpTarget { http: HttpVersion::Http2, ..through(proxy, "http://shop.example/") };
    let result = probe_target(target, &[]);
    server.join().unwrap();
    assert_ne!(result.cause, Some(Cause::ProxyFailed), "{}", result.detail);
}

#[test]
fn a_login_that_the_proxy_refuses_is_explained() {
    for url in ["http://shop.example/", "https://shop.example/"] {
        let (proxy, server) = serve_each(vec![answer("407 Login", &[], b"")]);
        let result = probe_target(with_login(through(proxy, url)), &[]);
        server.join().unwrap();
        assert_eq!(
            result.detail,
            format!("proxy: {proxy} refuses the login (407) in the check's header proxy-authorization"),
            "{url}"
        );
    }
}
