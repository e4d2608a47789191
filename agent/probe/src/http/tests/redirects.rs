//! Redirects, hop by hop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::ServerConnection;
use sitepulse_model::check::{Auth, CheckKind, HttpTarget, SecretText};
use sitepulse_model::record::{Cause, FactKey, ProbeState};
use x509_ocsp::CertStatus;

use super::{answer, outlast, probe, probe_target, request, serve, serve_each};
use crate::testing;
use crate::tls::pki::{Authority, Leaf, Serving};

fn following(url: String, redirects: u8) -> HttpTarget {
    HttpTarget { redirects, ..HttpTarget::get(url) }
}

fn to(status: &str, location: &str) -> Vec<u8> {
    answer(status, &[&format!("Location: {location}")], b"moved")
}

#[test]
fn without_redirects_to_follow_one_is_the_answer() {
    let (address, server) = serve_each(vec![to("302 Found", "http://127.0.0.1:1/")]);
    let result = probe(&format!("http://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.facts.status), (ProbeState::Up, Some(302)));
    assert_eq!(result.facts.more, []);
}

#[test]
fn hops_are_told_and_their_phases_add_up() {
    let (address, server) =
        serve_each(vec![to("301 Moved", "/a"), to("302 Found", "b?c=d#e"), answer("200 OK", &[], b"there")]);
    let url = format!("http://{address}/");
    let result = probe_target(following(url.clone(), 2), &["status == 200", "body == 'there'"]);
    let requests = server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    let lines: Vec<&str> = requests.iter().map(|request| request.lines().next().unwrap()).collect();
    assert_eq!(lines, ["GET / HTTP/1.1", "GET /a HTTP/1.1", "GET /b?c=d HTTP/1.1"]);
    let hops: Vec<&str> = result.facts.texts_of(FactKey::Hop).collect();
    assert_eq!(hops.len(), 2);
    assert!(hops[0].starts_with(&format!("301 {url} {address} ")), "{hops:?}");
    assert!(hops[1].starts_with(&format!("302 {url}a {address} ")), "{hops:?}");
    assert_eq!(result.facts.number_of(FactKey::Redirects), Some(2));
    assert_eq!(result.facts.texts_of(FactKey::FinalUrl).collect::<Vec<_>>(), [format!("{url}b?c=d")]);
    let phases = result.phases;
    let sum: u64 = [phases.connect, phases.send, phases.first_byte, phases.transfer].map(|us| us.unwrap()).iter().sum();
    assert!(sum <= phases.total.unwrap() + 12, "{phases:?}");
}

#[test]
fn the_next_request_is_as_browsers_make_it() {
    for (status, method, lines) in [
        ("301 Moved", "POST", "GET"),
        ("302 Found", "POST", "GET"),
        ("303 See Other", "PUT", "GET"),
        ("303 See Other", "HEAD", "HEAD"),
        ("302 Found", "PUT", "PUT"),
        ("307 Again", "POST", "POST"),
        ("308 Again", "DELETE", "DELETE"),
    ] {
        let (address, server) = serve_each(vec![to(status, "/next"), answer("204 None", &[], b"")]);
        let mut target = following(format!("http://{address}/"), 1);
        target.method = method.to_owned();
        target.headers = [("content-type".to_owned(), SecretText("text/plain".to_owned()))].into();
        if method != "HEAD" {
            target.body = Some(SecretText("order".to_owned()));
        }
        let result = probe_target(target, &[]);
        assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
        let second = &server.join().unwrap()[1];
        assert!(second.starts_with(&format!("{lines} /next ")), "{status} {method}: {second}");
        assert_eq!(second.ends_with("order"), lines == method && method != "HEAD", "{second}");
        assert_eq!(second.contains("content-type"), lines == method, "{second}");
    }
}

fn secretive(url: String) -> HttpTarget {
    let mut target = following(url, 3);
    target.auth = Some(Auth::Bearer(SecretText("secret:token".to_owned())));
    let lines = [("x-key", "secret:password"), ("cookie", "id=1"), ("x-plain", "p"), ("host", "shop.example")];
    target.headers = lines.map(|(name, value)| (name.to_owned(), SecretText(value.to_owned()))).into();
    target
}

#[test]
fn another_origin_learns_no_secret() {
    let (there, other) = serve_each(vec![answer("200 OK", &[], b"")]);
    // The same origin once more, and then another port.
    let (here, server) = serve_each(vec![to("302 Found", "/again"), to("302 Found", &format!("http://{there}/"))]);
    let result = probe_target(secretive(format!("http://{here}/")), &[]);
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    for request in server.join().unwrap() {
        for line in ["authorization: Bearer t0ken", "x-key: pa55", "cookie: id=1", "x-plain: p", "host: shop.example"] {
            assert!(request.contains(line), "{line} is missing in {request}");
        }
    }
    let request = &other.join().unwrap()[0];
    assert!(request.contains("x-plain: p") && request.contains(&format!("host: {there}")), "{request}");
    for word in ["t0ken", "pa55", "id=1", "shop.example"] {
        assert!(!request.contains(word), "{word} leaked: {request}");
    }
}

#[test]
fn a_secret_body_stays_with_its_origin() {
    let (here, server) = serve_each(vec![to("307 Again", "http://127.0.0.1:1/")]);
    let mut target = following(format!("http://{here}/"), 3);
    target.method = "POST".to_owned();
    target.body = Some(SecretText("secret:token".to_owned()));
    let result = probe_target(target, &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::RedirectFailed));
    assert!(result.detail.contains("would send the body"), "{}", result.detail);
}

#[test]
fn a_location_that_echoes_a_secret_is_not_told() {
    let (here, server) = serve_each(vec![to("302 Found", "/login?t=t0ken"), to("302 Found", "/login?t=t0ken")]);
    let result = probe_target(HttpTarget { redirects: 1, ..secretive(format!("http://{here}/")) }, &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::RedirectFailed));
    let told = format!("{:?}", result.facts);
    assert!(told.contains("secret:token") && !told.contains("t0ken"), "{told}");
}

#[test]
fn redirects_that_lead_nowhere_are_told() {
    for (location, redirects, text) in [
        ("/", 2, "2 redirects from http://"),
        ("ftp://a.example/", 2, "neither http:// nor https://"),
        ("http://[", 2, "is no URL"),
    ] {
        let hops = if redirects > 0 && location == "/" { redirects + 1 } else { 1 };
        let (address, server) = serve_each(vec![to("302 Found", location); hops]);
        let result = probe_target(following(format!("http://{address}/"), redirects as u8), &[]);
        server.join().unwrap();
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::RedirectFailed)), "{}", result.detail);
        assert!(result.detail.contains(text), "{}", result.detail);
        assert_eq!(result.facts.status, Some(302));
    }
    // Without a location it is an answer like any other.
    let (address, server) = serve_each(vec![answer("302 Found", &[], b"here")]);
    let result = probe_target(following(format!("http://{address}/"), 2), &["body == 'here'"]);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
}

#[test]
fn each_hop_asks_the_policy() {
    let (address, server) = serve_each(vec![to("302 Found", "http://169.254.169.254/latest/meta-data/")]);
    let result = probe_target(following(format!("http://{address}/"), 2), &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::PolicyRefused)), "{}", result.detail);
}

#[test]
fn assertions_see_the_whole_url_that_answered() {
    let far = format!("/{}/end-of-it", "x".repeat(1_000));
    for (assertion, state) in
        [("url contains '/end-of-it'", ProbeState::Up), ("url not contains '/end-of-it'", ProbeState::Down)]
    {
        let (address, server) = serve_each(vec![to("301 Moved", &far), answer("200 OK", &[], b"there")]);
        let result = probe_target(following(format!("http://{address}/"), 2), &[assertion]);
        server.join().unwrap();
        assert_eq!(result.state, state, "{assertion}: {}", result.detail);
        assert_eq!(result.facts.texts_of(FactKey::FinalUrl).map(str::len).collect::<Vec<_>>(), [200]);
    }
}

/// Serves one answer over TLS.
fn serve_tls(serving: Serving, answer: Vec<u8>) -> (SocketAddr, JoinHandle<()>) {
    serve(move |stream| {
        let connection = ServerConnection::new(Arc::new(serving.config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        request(&mut stream);
        stream.write_all(&answer).unwrap();
        drop(stream.flush());
        outlast(stream);
    })
}

#[test]
fn the_last_hop_is_not_told_by_the_certificate_of_an_earlier_one() {
    const TOLD: [FactKey; 9] = [
        FactKey::TlsVersion,
        FactKey::TlsCipher,
        FactKey::Alpn,
        FactKey::Ocsp,
        FactKey::CertificateSubject,
        FactKey::CertificateIssuer,
        FactKey::CertificateNames,
        FactKey::CertificateSha256,
        FactKey::CertificateChain,
    ];
    let root = Authority::root("Root");
    let (first, last) = (Leaf::of(&root, &["127.0.0.1"]), Leaf::of(&root, &["127.0.0.1"]));
    let stapled = |answer| {
        let mut serving = first.serve_stapled(root.staple(&first, CertStatus::good(), (-1, 1)));
        serving.config.alpn_protocols = vec![b"http/1.1".to_vec()];
        serve_tls(serving, answer)
    };
    let follow = |start: SocketAddr, expect: &[&str]| {
        let target = following(format!("https://{start}/"), 1);
        let check = testing::check(CheckKind::Http(Box::new(target)), 10_000_000, expect);
        testing::run_shown(&check, &testing::tools(root.roots()))
    };
    let there = || answer("200 OK", &[], b"there");

    // To a server that staples nothing and negotiates no protocol.
    let (end, ending) = serve_tls(last.serve(|_| {}), there());
    let (start, starting) = stapled(to("302 Found", &format!("https://{end}/")));
    let result = follow(start, &["ocsp == 'good'"]);
    starting.join().unwrap();
    ending.join().unwrap();
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Down, "ocsp: no answer was stapled"));
    assert!(result.facts.certificate_expires.is_some());
    let texts = |key| result.facts.texts_of(key).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((texts(FactKey::Ocsp).len(), texts(FactKey::Alpn).len(), texts(FactKey::TlsVersion).len()), (0, 0, 1));
    assert_eq!(texts(FactKey::CertificateSha256), [crate::evidence::hex(&sha256(last.der()))]);

    // To plain HTTP.
    let (end, ending) = serve_each(vec![there()]);
    let (start, starting) = stapled(to("302 Found", &format!("http://{end}/")));
    let result = follow(start, &["certificate.days > 1"]);
    starting.join().unwrap();
    ending.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::AssertionFailed)), "{}", result.detail);
    assert_eq!((result.facts.certificate_expires, result.facts.number_of(FactKey::ChainLength)), (None, None));
    let told: Vec<_> = TOLD.into_iter().filter(|key| result.facts.texts_of(*key).next().is_some()).collect();
    assert_eq!(told, []);

    // Where the last hop fails before it shows anything, nothing is told of it.
    let (start, starting) = stapled(to("302 Found", "https://127.0.0.1:1/"));
    let result = follow(start, &[]);
    starting.join().unwrap();
    assert_eq!((result.cause, result.facts.certificate_expires), (Some(Cause::ConnectionRefused), None));
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}
