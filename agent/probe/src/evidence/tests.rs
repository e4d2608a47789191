//! What explains runs that are not up, against real servers on the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use flate2::Compression;
use flate2::write::GzEncoder;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use rcgen::{CertificateParams, DnType, KeyPair};
use ring::digest::digest;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sitepulse_model::check::{
    CheckKind, Family, FlowStep, FlowTarget, HttpTarget, HttpVersion, TcpTarget, TlsOptions, TlsTarget,
};
use sitepulse_model::record::{
    CHAIN_MAX, CHAIN_NAME_BYTES_MAX, Cause, ChainCertificate, Fact, ProbeResult, ProbeState,
};

use super::*;
use crate::resolve::Resolver;
use crate::testing::{self, some_roots};
use crate::tls::pki::{Authority, Leaf, server};

/// Serves any number of connections with the same answer each, on a thread that ends with the process.
fn serve(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // A prober that has enough hangs up.
            std::thread::spawn(move || drop((request(&mut stream), stream.write_all(&answer))));
        }
    });
    address
}

fn serve_tls(config: ServerConfig, answer: Vec<u8>) -> SocketAddr {
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = rustls::StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            if request(&mut stream) && stream.write_all(&answer).is_ok() {
                outlast(&mut stream);
            }
        }
    });
    address
}

/// Reads up to the empty line after the headers; whether it came.
fn request(stream: &mut impl Read) -> bool {
    let (mut seen, mut one) = (Vec::new(), [0; 1]);
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut one) {
            Ok(1..) => seen.push(one[0]),
            Ok(0) | Err(_) => return false,
        }
    }
    true
}

fn outlast(stream: &mut rustls::StreamOwned<ServerConnection, TcpStream>) {
    drop(stream.flush());
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

fn answer(status: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn probe(address: SocketAddr, expect: &[&str]) -> ProbeResult {
    let check = testing::check(CheckKind::http(format!("http://{address}/")), 10_000_000, expect);
    testing::run(&check, &testing::tools(some_roots()))
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Its hash, and whether it is of a beginning alone.
fn hash(result: &ProbeResult) -> Option<(String, bool)> {
    let is_cut = result.facts.number_of(FactKey::ResponseCut);
    assert!(matches!(is_cut, None | Some(1)), "{is_cut:?}");
    let hash = result.facts.texts_of(FactKey::ResponseSha256).next()?;
    Some((hash.to_owned(), is_cut.is_some()))
}

fn chain(result: &ProbeResult) -> Vec<ChainCertificate<'_>> {
    result.facts.texts_of(FactKey::CertificateChain).map(|line| ChainCertificate::parse(line).unwrap()).collect()
}

fn evidence(result: &ProbeResult) -> Vec<&Fact> {
    result.facts.more.iter().filter(|fact| fact.key.is_evidence()).collect()
}

#[test]
fn the_hash_is_the_one_of_the_standard() {
    assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn a_response_that_is_not_as_it_should_be_has_the_hash_of_what_the_server_sent() {
    let page = b"<h1>Out of order</h1>".to_vec();
    let large: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
    let gzip = |body: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    for (what, sent, seen, expect) in [
        ("a status", answer("500 Oops", "", &page), &page, &[][..]),
        ("a status, large", answer("503 Busy", "", &large), &large, &[]),
        ("a body", answer("200 OK", "", &page), &page, &["body contains 'Welcome'"]),
        ("a large body", answer("200 OK", "", &large), &large, &["body contains 'Welcome'"]),
        ("a latency", answer("200 OK", "", &page), &page, &["degraded if latency > 0us"]),
        ("a coded body", answer("500 Oops", "Content-Encoding: gzip\r\n", &gzip(&large)), &large, &[]),
        ("nothing", answer("500 Oops", "", b""), &Vec::new(), &[]),
    ] {
        let result = probe(serve(sent), expect);
        assert_ne!(result.state, ProbeState::Up, "{what}");
        assert_eq!(hash(&result), Some((sha256(seen), false)), "{what}: {}", result.detail);
        assert_eq!(result.facts.body_bytes, Some(seen.len() as u64), "{what}");
        assert_eq!(chain(&result), [], "{what}");
    }
}

#[test]
fn the_hash_of_a_response_that_is_not_all_there_says_so() {
    let endless = vec![b'x'; 3 * BODY_BYTES_MAX];
    let result = probe(serve(answer("500 Oops", "", &endless)), &[]);
    assert_eq!(result.cause, Some(Cause::AssertionFailed), "{}", result.detail);
    assert_eq!(hash(&result), Some((sha256(&endless[..BODY_BYTES_MAX]), true)));
    // It breaks off, on a page that should be good.
    let broken = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nWelco".to_vec();
    let result = probe(serve(broken), &[]);
    assert_eq!((result.state, result.facts.body_bytes), (ProbeState::Down, Some(5)), "{}", result.detail);
    assert_eq!(hash(&result), Some((sha256(b"Welco"), true)));
    // Nothing of it came: nothing was read.
    let result = probe(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec()), &[]);
    assert_eq!((result.state, hash(&result)), (ProbeState::Down, None), "{}", result.detail);
    let result =
        probe(serve(b"HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc".to_vec()), &[]);
    assert_eq!((result.cause, hash(&result)), (Some(Cause::ProtocolError), None), "{}", result.detail);
}

#[test]
fn a_plain_success_carries_no_evidence_and_a_large_good_page_is_not_kept_for_it() {
    let large = vec![b'x'; KEPT_UNASKED_MAX + 1];
    for (body, expect) in [(&b"Welcome"[..], &["body contains 'Welcome'"][..]), (&large, &[])] {
        let result = probe(serve(answer("200 OK", "", body)), expect);
        assert_eq!((result.state, evidence(&result)), (ProbeState::Up, vec![]), "{}", result.detail);
    }
    let slow = ["degraded if latency > 0us"];
    let result = probe(serve(answer("200 OK", "", &large)), &slow);
    assert_eq!((result.state, hash(&result)), (ProbeState::Degraded, None), "{}", result.detail);
    let result = probe(serve(answer("200 OK", "", &large[1..])), &slow);
    assert_eq!(hash(&result), Some((sha256(&large[1..]), false)));
}

#[test]
fn whoever_asks_for_a_run_sees_it_all_however_it_ends() {
    let large = vec![b'x'; KEPT_UNASKED_MAX + 1];
    let root = Authority::root("Root");
    let address = serve_tls(Leaf::of(&root, &["127.0.0.1"]).serve(|_| {}).config, answer("200 OK", "", &large));
    let check = testing::check(CheckKind::http(format!("https://{address}/")), 10_000_000, &[]);
    let result = testing::run_shown(&check, &testing::tools(root.roots()));
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(hash(&result), Some((sha256(&large), false)));
    assert_eq!(chain(&result).len(), 1);
}

#[test]
fn of_several_attempts_the_last_is_explained_once() {
    let mut check =
        testing::check(CheckKind::http(format!("http://{}/", serve(answer("500 Oops", "", b"x")))), 10_000_000, &[]);
    check.definition.retries = 2;
    let result = testing::run(&check, &testing::tools(some_roots()));
    assert_eq!(result.facts.number_of(FactKey::Attempts), Some(3));
    assert_eq!(result.facts.texts_of(FactKey::ResponseSha256).collect::<Vec<_>>(), [sha256(b"x")]);
}

#[test]
fn of_a_flow_the_step_that_the_explanation_names_is_explained() {
    let bodies: [&[u8]; 3] = [b"the login", b"the basket", b"the end"];
    let run = |broken: usize, expect: &str| {
        let steps = bodies.iter().enumerate().map(|(at, body)| FlowStep {
            name: format!("step-{at}"),
            url: format!("http://{}/", serve(answer("200 OK", "", body))),
            method: "GET".to_owned(),
            headers: [].into(),
            body: None,
            auth: None,
            redirects: 0,
            expect: Vec::from_iter((at == broken).then(|| expect.to_owned())),
            capture: [].into(),
        });
        let flow = FlowTarget {
            steps: steps.collect(),
            http: HttpVersion::Http1,
            family: Family::Any,
            tls: TlsOptions::default(),
        };
        let check = testing::check(CheckKind::Flow(Box::new(flow)), 10_000_000, &[]);
        testing::run(&check, &testing::tools(some_roots()))
    };
    for (at, body) in bodies.iter().enumerate() {
        let result = run(at, "status == 404");
        assert_eq!((result.state, hash(&result)), (ProbeState::Down, Some((sha256(body), false))), "{}", result.detail);
        let result = run(at, "degraded if latency > 0us");
        assert!(result.detail.starts_with(&format!("step step-{at}: ")), "{}", result.detail);
        assert_eq!((result.state, hash(&result)), (ProbeState::Degraded, Some((sha256(body), false))));
    }
    assert_eq!(evidence(&run(9, "")), Vec::<&Fact>::new());
}

fn tls(address: SocketAddr) -> CheckKind {
    let tls = TlsOptions { server_name: Some("shop.example".to_owned()), ..TlsOptions::default() };
    CheckKind::Tls(Box::new(TlsTarget { address: address.to_string(), alpn: Vec::new(), family: Family::Any, tls }))
}

#[test]
fn a_certificate_that_is_refused_brings_the_chain_as_the_server_sent_it() {
    let root = Authority::root("Root");
    let middle = root.intermediate("Middle (R3)");
    let stranger = Authority::root("Stranger");
    for (what, leaf, roots) in [
        ("expired", Leaf::of(&middle, &["shop.example"]).valid(2020, 2021), root.roots()),
        ("a wrong name", Leaf::of(&middle, &["shop.test"]), root.roots()),
        ("untrusted", Leaf::of(&middle, &["shop.example"]), stranger.roots()),
    ] {
        let server = server(leaf.serve(|_| {}));
        let https = format!("https://{}/", server.address);
        for kind in [tls(server.address), CheckKind::http(https)] {
            let result = testing::run(&testing::check(kind, 10_000_000, &[]), &testing::tools(roots.clone()));
            assert_eq!(result.cause, Some(Cause::CertificateInvalid), "{what}: {}", result.detail);
            let chain = chain(&result);
            assert_eq!(chain.len(), 2, "{what}");
            assert_eq!(chain[0].sha256, server.leaf_sha256);
            assert_eq!(chain[0].subject, if what == "a wrong name" { "shop.test" } else { "shop.example" });
            assert_eq!(
                (&*chain[0].issuer, &*chain[1].subject, &*chain[1].issuer),
                ("Middle (R3)", "Middle (R3)", "Root")
            );
            assert_eq!(chain[1].not_after.as_deref(), Some("4000-01-01T00:00:00Z"));
            assert_eq!(chain[0].not_after.as_deref() == Some("2021-01-01T00:00:00Z"), what == "expired");
            assert_eq!(result.facts.number_of(FactKey::ChainLength), Some(2));
        }
    }
}

#[test]
fn the_chain_comes_with_what_is_about_it_and_with_nothing_else() {
    let root = Authority::root("Root");
    let config = |years: (i32, i32)| Leaf::of(&root, &["127.0.0.1"]).valid(years.0, years.1).serve(|_| {}).config;
    let good = serve_tls(config((2020, 4000)), answer("500 Oops", "", b"x"));
    let run = |expect: &[&str]| {
        let check = testing::check(CheckKind::http(format!("https://{good}/")), 10_000_000, expect);
        testing::run(&check, &testing::tools(root.roots()))
    };
    for (expect, state, certificates) in [
        (&["status == 500", "degraded if certificate.days < 10000000"][..], ProbeState::Degraded, 1),
        (&["status == 500", "certificate.days > 10000000"], ProbeState::Down, 1),
        (&["status == 500", "tls.version == 'TLSv1.2'"], ProbeState::Down, 1),
        (&["status == 200"], ProbeState::Down, 0),
        (&["status == 500"], ProbeState::Up, 0),
    ] {
        let result = run(expect);
        assert_eq!((result.state, chain(&result).len()), (state, certificates), "{expect:?}: {}", result.detail);
        assert!(result.facts.certificate_expires.is_some());
    }
}

/// A server whose chain is a certificate and what follows it, whatever that is.
fn serving(subject: &str, more: usize) -> ServerConfig {
    let certificate = |subject: &str| {
        let mut params = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().der().clone(), key)
    };
    let (leaf, key) = certificate(subject);
    let (other, _) = certificate("other");
    let chain: Vec<CertificateDer<'static>> = std::iter::once(leaf).chain(std::iter::repeat_n(other, more)).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Nobody looks whether the certificate makes sense.
    let key = CertifiedKey::new(chain, rustls::crypto::ring::sign::any_supported_type(&key).unwrap());
    ServerConfig::builder_with_provider(Arc::new(crate::tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
}

fn probe_chain(config: ServerConfig, roots: RootCertStore) -> ProbeResult {
    let address = serve_tls(config, Vec::new());
    testing::run(&testing::check(tls(address), 10_000_000, &[]), &testing::tools(roots))
}

#[test]
fn a_hostile_chain_is_bounded() {
    let long = probe_chain(serving("leaf", 49), some_roots());
    assert_eq!((long.state, chain(&long).len()), (ProbeState::Down, CHAIN_MAX), "{}", long.detail);
    assert_eq!(long.facts.number_of(FactKey::ChainLength), Some(50));
    let subject = format!("x <- Trusted\n{}", "\u{e9}".repeat(10_000));
    let wide = probe_chain(serving(&subject, 0), some_roots());
    let shown = chain(&wide);
    assert_eq!((wide.state, shown.len()), (ProbeState::Down, 1), "{}", wide.detail);
    assert!(shown[0].subject.starts_with("x <= Trusted \u{e9}") && shown[0].subject.len() <= CHAIN_NAME_BYTES_MAX);
    // More than a handshake may have: it is not even taken in.
    let endless = probe_chain(serving(&"x".repeat(1 << 20), 0), some_roots());
    assert_eq!((endless.cause, chain(&endless).len()), (Some(Cause::TlsFailed), 0), "{}", endless.detail);
    for result in [long, wide, endless] {
        let bytes: usize = result.facts.more.iter().map(|fact| format!("{fact:?}").len()).sum();
        assert!(bytes < 8 << 10, "{bytes}");
    }
}

#[test]
fn no_secret_stands_in_a_chain_not_even_a_part_of_it() {
    let secret = "s3cr3t-0123456789-0123456789-0123456789";
    let subject = format!("{}{secret}", "x".repeat(CHAIN_NAME_BYTES_MAX - 10));
    let address = serve_tls(serving(&subject, 0), Vec::new());
    let tools = testing::tools(some_roots());
    tools.secrets.replace([("token".to_owned(), secret.to_owned())].into());
    let mut target = HttpTarget::get(format!("https://{address}/"));
    target.headers = [("x-token".to_owned(), sitepulse_model::check::SecretText("secret:token".to_owned()))].into();
    let result = testing::run(&testing::check(CheckKind::Http(Box::new(target)), 10_000_000, &[]), &tools);
    let chain = chain(&result);
    assert!(chain[0].subject.ends_with("xxsecret:tok") && !chain[0].issuer.contains("s3cr3t"), "{chain:?}");
}

/// A name server that knows `shop.example`, by three addresses, the first of which the agent's policy refuses.
fn names() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
            answer.add_queries(asked.queries.iter().cloned());
            let query = &asked.queries[0];
            if query.name.to_ascii() != "shop.example." {
                answer.metadata.response_code = ResponseCode::NXDomain;
            } else if query.query_type == RecordType::A {
                for ip in ["10.0.0.7", "127.0.0.1", "127.0.0.2"] {
                    answer.add_answer(Record::from_rdata(query.name.clone(), 60, RData::A(A(ip.parse().unwrap()))));
                }
            }
            socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
        }
    });
    address
}

#[test]
fn what_the_resolver_said_is_told_with_who_it_was_and_which_address_was_dialled() {
    let names = names();
    let port = serve(answer("500 Oops", "", b"x")).port();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let run = |kind: CheckKind, expect: &[&str]| {
        let mut tools = testing::tools(some_roots());
        tools.resolver = Resolver::with_server(names);
        testing::run(&testing::check(kind, 5_000_000, expect), &tools)
    };
    let told = |result: &ProbeResult| -> (Vec<String>, Vec<String>) {
        let texts = |key| result.facts.texts_of(key).map(str::to_owned).collect();
        (texts(FactKey::Resolver), texts(FactKey::ResolverAnswer))
    };
    let all = ["10.0.0.7", "127.0.0.1", "127.0.0.2"].map(str::to_owned).to_vec();
    let tcp = |host: &str, port: u16| {
        CheckKind::Tcp(TcpTarget { address: format!("{host}:{port}"), send: None, family: Family::Any })
    };
    for kind in [CheckKind::http(format!("http://shop.example:{port}/")), tcp("shop.example", closed)] {
        let result = run(kind, &[]);
        assert_eq!(told(&result), (vec![names.to_string()], all.clone()), "{}", result.detail);
        assert_eq!(result.address.unwrap().ip().to_string(), "127.0.0.1", "the first that the policy allows");
    }
    let result = run(tcp("nowhere.example", port), &[]);
    assert_eq!((result.cause, told(&result)), (Some(Cause::DnsFailed), (vec![names.to_string()], vec![])));
    let result = run(tcp("localhost", closed), &[]);
    assert_eq!(told(&result), (vec!["localhost".to_owned()], vec!["127.0.0.1".to_owned()]));
    // Nobody is asked for an address, and a success tells nothing of it.
    assert_eq!(told(&run(tcp("127.0.0.1", closed), &[])), (vec![], vec![]));
    let up = run(CheckKind::http(format!("http://shop.example:{port}/")), &["status == 500"]);
    assert_eq!((up.state, evidence(&up)), (ProbeState::Up, vec![]));
}
