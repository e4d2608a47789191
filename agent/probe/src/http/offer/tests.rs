//! What records lead to; and whole checks against a name server, a QUIC server and a TLS server on the loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::HTTPS;
use hickory_proto::rr::rdata::svcb::{Alpn, Mandatory};
use hickory_proto::rr::{RData, Record};
use quinn::crypto::rustls::QuicServerConfig;
use sitepulse_daemon::address::Policy;
use sitepulse_model::check::{CheckKind, HttpTarget, HttpVersion};
use sitepulse_model::record::{Cause, ProbeResult, ProbeState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::resolve::Resolver;
use crate::testing::{self, Pki, pki};
use crate::tls::Tls;
use crate::tools::Tools;

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn record(priority: u16, target: &str, params: Vec<(SvcParamKey, SvcParamValue)>) -> SVCB {
    SVCB::new(priority, name(target), params)
}

fn alpn(names: &[&str]) -> (SvcParamKey, SvcParamValue) {
    (SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(names.iter().map(ToString::to_string).collect())))
}

fn port(port: u16) -> (SvcParamKey, SvcParamValue) {
    (SvcParamKey::Port, SvcParamValue::Port(port))
}

#[test]
fn the_first_usable_record_that_offers_h3_is_taken() {
    // Names in records are absolute.
    let at = |host: &str, port| Some((format!("{host}."), port));
    let no_default = || (SvcParamKey::NoDefaultAlpn, SvcParamValue::NoDefaultAlpn);
    let wants_ech = || (SvcParamKey::Mandatory, SvcParamValue::Mandatory(Mandatory(vec![SvcParamKey::EchConfigList])));
    let own = "shop.example";
    for (records, asked, h3, says) in [
        (vec![], 443, None, "no HTTPS record"),
        (vec![(own, record(1, ".", vec![alpn(&["h3", "h2"])]))], 443, at(own, 443), "offers h3, h2, http/1.1"),
        (vec![(own, record(1, ".", vec![alpn(&["h3"]), no_default()]))], 443, at(own, 443), "offers h3"),
        (vec![(own, record(1, ".", vec![]))], 443, None, "offers http/1.1"),
        (vec![(own, record(1, ".", vec![alpn(&["h2"])]))], 443, None, "offers h2, http/1.1"),
        (vec![(own, record(1, ".", vec![alpn(&["h3-29"])]))], 443, None, "offers h3-29, http/1.1"),
        (
            vec![(own, record(1, ".", vec![alpn(&["h3"]), port(8443)]))],
            443,
            at(own, 8443),
            "offers h3, http/1.1 at shop.example:8443",
        ),
        (
            vec![(own, record(1, "cdn.example", vec![alpn(&["h3"])]))],
            443,
            at("cdn.example", 443),
            "offers h3, http/1.1 at cdn.example:443",
        ),
        // The name of a host may begin another one's.
        (
            vec![(own, record(1, "shop.example.cdn.example", vec![alpn(&["h3"])]))],
            443,
            at("shop.example.cdn.example", 443),
            "at shop.example.cdn.example:443",
        ),
        // An alias led there.
        (
            vec![("pool.example", record(1, ".", vec![alpn(&["h3"])]))],
            443,
            at("pool.example", 443),
            "at pool.example:443",
        ),
        (
            vec![("_8443._https.shop.example", record(1, ".", vec![alpn(&["h3"])]))],
            8443,
            at(own, 8443),
            "offers h3, http/1.1",
        ),
        // The lowest priority that offers it, not the lowest of all.
        (
            vec![
                (own, record(3, "c.example", vec![alpn(&["h3"])])),
                (own, record(2, "b.example", vec![alpn(&["h3"])])),
                (own, record(1, "a.example", vec![alpn(&["h2"])])),
            ],
            443,
            at("b.example", 443),
            "at b.example:443",
        ),
        (
            vec![(own, record(1, ".", vec![wants_ech(), alpn(&["h3"])]))],
            443,
            None,
            "no HTTPS record that this agent can use",
        ),
    ] {
        let records: Vec<(Name, SVCB)> = records.into_iter().map(|(owner, record)| (name(owner), record)).collect();
        let offer = choose(&records, own, asked);
        assert_eq!(offer.h3, h3, "{records:?}");
        assert!(offer.says.ends_with(says), "{says}: {}", offer.says);
    }
}

/// What listens on the loopback.
#[derive(Clone, Copy)]
struct Servers {
    dns: SocketAddr,
    quic: u16,
    tls: u16,
}

/// Servers called shop.example that live as long as the process. The QUIC server tells `over quic`; the TLS server `over tcp`, or leads
/// from `/` to `https://shop.example:TO/there`. DNS knows `zone`.
fn servers(
    pki: &Pki,
    zone: impl Fn(Servers) -> Vec<(String, RData)> + Send + 'static,
    leads_to: impl Fn(Servers) -> Option<u16> + Send + 'static,
) -> Servers {
    let config = |alpn: &str| pki.server_called("shop.example", (2020, 2099), alpn);
    let (quic, tls) = (config("h3"), config("http/1.1"));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dns = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(quic).unwrap()));
            let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
            let servers = Servers {
                dns: dns.local_addr().unwrap(),
                quic: endpoint.local_addr().unwrap().port(),
                tls: listener.local_addr().unwrap().port(),
            };
            tell.send(servers).unwrap();
            tokio::join!(
                serve_dns(dns, zone(servers)),
                serve_quic(endpoint),
                serve_tls(listener, tls, leads_to(servers))
            );
        });
    });
    told.recv().unwrap()
}

async fn serve_dns(socket: UdpSocket, zone: Vec<(String, RData)>) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let asked = Message::from_vec(&buffer[..length]).unwrap();
        let question = &asked.queries[0];
        let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_query(question.clone());
        for (owner, data) in &zone {
            if data.record_type() == question.query_type && name(owner) == question.name {
                answer.add_answer(Record::from_rdata(name(owner), 60, data.clone()));
            }
        }
        if zone.is_empty() {
            answer.metadata.response_code = ResponseCode::ServFail;
        }
        socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
    }
}

async fn serve_quic(endpoint: quinn::Endpoint) {
    // Kept: a connection that is dropped is closed.
    let mut connections = Vec::new();
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        let mut h3 = h3::server::Connection::<_, Bytes>::new(h3_quinn::Connection::new(connection)).await.unwrap();
        let (_, mut stream) = h3.accept().await.unwrap().unwrap().resolve_request().await.unwrap();
        stream.send_response(hyper::Response::new(())).await.unwrap();
        stream.send_data(Bytes::from_static(b"over quic")).await.unwrap();
        stream.finish().await.unwrap();
        connections.push(h3);
    }
}

async fn serve_tls(listener: TcpListener, config: rustls::ServerConfig, leads_to: Option<u16>) {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap_or(0);
        let answer = match leads_to.filter(|_| request[..length].starts_with(b"GET / ")) {
            Some(port) => format!(
                "HTTP/1.1 302 Found\r\nLocation: https://shop.example:{port}/there\r\nContent-Length: 0\r\n\r\n"
            ),
            None => "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nover tcp".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }
}

fn a() -> RData {
    RData::A(Ipv4Addr::LOCALHOST.into())
}

fn https(priority: u16, target: &str, params: Vec<(SvcParamKey, SvcParamValue)>) -> RData {
    RData::HTTPS(HTTPS(record(priority, target, params)))
}

fn probe(pki: &Pki, servers: Servers, policy: &str, expect: &str) -> ProbeResult {
    probe_by(Resolver::with_server(servers.dns), pki, servers, policy, expect)
}

fn probe_by(resolver: Resolver, pki: &Pki, servers: Servers, policy: &str, expect: &str) -> ProbeResult {
    let target = HttpTarget {
        http: HttpVersion::Advertised,
        redirects: 1,
        ..HttpTarget::get(format!("https://shop.example:{}/", servers.tls))
    };
    let check = testing::check(CheckKind::Http(Box::new(target)), 20_000_000, &[expect]);
    let mut tools =
        Tools::new(Tls::with_roots(pki.roots.clone()).unwrap(), Policy::parse(&[policy.to_owned()]).unwrap());
    tools.resolver = resolver;
    testing::run(&check, &tools)
}

fn told(result: &ProbeResult, key: FactKey) -> Vec<&str> {
    result.facts.texts_of(key).collect()
}

#[test]
fn h3_that_is_offered_is_spoken_and_else_tcp() {
    let pki = pki();
    let owner = |servers: Servers| format!("_{}._https.shop.example", servers.tls);
    // Offered at the port of the QUIC server.
    let offering = move |servers: Servers| {
        vec![("shop.example".to_owned(), a()), (owner(servers), https(1, ".", vec![alpn(&["h3"]), port(servers.quic)]))]
    };
    let at = servers(&pki, offering, |_| None);
    let result = probe(&pki, at, "loopback", "body == 'over quic'");
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(told(&result, FactKey::HttpVersion), ["HTTP/3"]);
    let says = format!("its HTTPS record offers h3, http/1.1 at shop.example:{}", at.quic);
    assert_eq!(told(&result, FactKey::HttpOffer), [says]);
    assert_eq!(result.address.unwrap().port(), at.quic);
    assert!(result.phases.dns.is_some());

    // Not offered, or not for this port.
    let not = move |servers: Servers| {
        vec![
            ("shop.example".to_owned(), a()),
            ("shop.example".to_owned(), https(1, ".", vec![alpn(&["h3"]), port(servers.quic)])),
        ]
    };
    let result = probe(&pki, servers(&pki, not, |_| None), "loopback", "body == 'over tcp'");
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(told(&result, FactKey::HttpOffer), ["no HTTPS record"]);

    // By an alias; the address of whom the record names is dialled.
    let alias = move |servers: Servers| {
        vec![
            ("quic.example".to_owned(), a()),
            (owner(servers), https(0, "pool.example", vec![])),
            ("pool.example".to_owned(), https(1, "quic.example", vec![alpn(&["h3"]), port(servers.quic)])),
        ]
    };
    let result = probe(&pki, servers(&pki, alias, |_| None), "loopback", "body == 'over quic'");
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
}

#[test]
fn no_search_list_applies_to_the_names_in_records() {
    let pki = pki();
    let zone = |servers: Servers| {
        vec![
            ("shop.example".to_owned(), a()),
            (
                format!("_{}._https.shop.example", servers.tls),
                https(1, "cdn.example", vec![alpn(&["h3"]), port(servers.quic)]),
            ),
            ("cdn.example".to_owned(), a()),
            // Who takes the record's name for a relative one is led here.
            ("cdn.example.corp.example".to_owned(), RData::A(Ipv4Addr::new(127, 0, 0, 66).into())),
        ]
    };
    let at = servers(&pki, zone, |_| None);
    for resolv in ["search corp.example\noptions ndots:5", "search corp.example"] {
        let resolver = Resolver::with_resolv(at.dns, resolv);
        let result = probe_by(resolver, &pki, at, "loopback", "body == 'over quic'");
        assert_eq!(result.state, ProbeState::Up, "{resolv}: {}", result.detail);
        assert_eq!(result.address.unwrap().ip(), Ipv4Addr::LOCALHOST, "{resolv}");
        let says = format!("its HTTPS record offers h3, http/1.1 at cdn.example:{}", at.quic);
        assert_eq!(told(&result, FactKey::HttpOffer), [says], "the dot is not shown");
    }
}

#[test]
fn an_alias_without_services_leads_nowhere() {
    let pki = pki();
    for target in ["pool.example", "nowhere.example"] {
        let zone = move |servers: Servers| {
            vec![
                ("shop.example".to_owned(), a()),
                (format!("_{}._https.shop.example", servers.tls), https(0, target, vec![])),
                ("pool.example".to_owned(), RData::A(Ipv4Addr::new(127, 0, 0, 66).into())),
            ]
        };
        let result = probe(&pki, servers(&pki, zone, |_| None), "loopback", "body == 'over tcp'");
        assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
        assert_eq!(result.address.unwrap().ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(told(&result, FactKey::HttpOffer), ["no HTTPS record"]);
    }
}

#[test]
fn each_hop_asks_anew() {
    let pki = pki();
    // The first port offers nothing, the one that it leads to offers HTTP/3.
    let zone = |servers: Servers| {
        vec![
            ("shop.example".to_owned(), a()),
            (format!("_{}._https.shop.example", servers.quic), https(1, ".", vec![alpn(&["h3"])])),
        ]
    };
    let at = servers(&pki, zone, |servers| Some(servers.quic));
    let result = probe(&pki, at, "loopback", "body == 'over quic'");
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(told(&result, FactKey::HttpOffer), ["its HTTPS record offers h3, http/1.1"]);
    assert_eq!(told(&result, FactKey::HttpVersion), ["HTTP/3"]);
}

#[test]
fn nothing_falls_back_in_silence() {
    let pki = pki();
    let owner = |servers: Servers| format!("_{}._https.shop.example", servers.tls);
    // HTTP/3 is offered where nobody speaks it.
    let zone = move |servers: Servers| {
        vec![("shop.example".to_owned(), a()), (owner(servers), https(1, ".", vec![alpn(&["h3"]), port(1)]))]
    };
    let result = probe(&pki, servers(&pki, zone, |_| None), "loopback", "status == 200");
    assert_eq!(result.state, ProbeState::Down, "{}", result.detail);
    assert!(result.detail.ends_with(" (HTTP/3, which its HTTPS record offers)"), "{}", result.detail);

    // The record leads to an address that the policy refuses.
    let zone = move |servers: Servers| {
        vec![
            ("shop.example".to_owned(), a()),
            ("inside.example".to_owned(), RData::A(Ipv4Addr::new(169, 254, 169, 254).into())),
            (owner(servers), https(1, "inside.example", vec![alpn(&["h3"])])),
        ]
    };
    let result = probe(&pki, servers(&pki, zone, |_| None), "loopback", "status == 200");
    assert_eq!(result.cause, Some(Cause::PolicyRefused), "{}", result.detail);
    assert!(
        result.detail.starts_with("policy: inside.example leads to refused addresses alone: "),
        "{}",
        result.detail
    );

    // The record of whom a redirect leads to does.
    let zone = |servers: Servers| {
        vec![
            ("shop.example".to_owned(), a()),
            ("inside.example".to_owned(), RData::A(Ipv4Addr::new(169, 254, 169, 254).into())),
            (format!("_{}._https.shop.example", servers.quic), https(1, "inside.example", vec![alpn(&["h3"])])),
        ]
    };
    let at = servers(&pki, zone, |servers| Some(servers.quic));
    let result = probe(&pki, at, "loopback", "status == 200");
    assert_eq!(result.cause, Some(Cause::PolicyRefused), "{}", result.detail);
    assert_eq!(result.address.unwrap().port(), at.tls, "nothing after the first hop was dialled");

    // Nobody can say what is offered.
    let result = probe(&pki, servers(&pki, |_| Vec::new(), |_| None), "loopback", "status == 200");
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::DnsFailed), Some(Phase::Dns)));
    assert_eq!(result.detail, "dns: the HTTPS record of shop.example does not resolve (SERVFAIL)");
}

#[test]
fn an_address_is_asked_over_tcp() {
    let offer = |url: &str| {
        let tools = testing::tools(testing::some_roots());
        let deadline = sitepulse_daemon::clock::monotonic().plus_us(1_000_000);
        let mut attempt = Attempt::new(&tools, &[], false, deadline);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(&mut attempt, &Url::parse(url).unwrap())).unwrap()
    };
    assert_eq!(offer("https://127.0.0.1/").says, "an address has no HTTPS record");
    assert_eq!(offer("https://localhost/").h3, None);
}
