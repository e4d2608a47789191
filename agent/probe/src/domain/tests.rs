//! Against RDAP services on the loopback: telling, silent and nonsensical ones.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use sitepulse_model::check::{CheckKind, TlsOptions};
use sitepulse_model::record::{ProbeResult, ProbeState};

use super::*;
use crate::testing::{self, some_roots};
use crate::tools::Tools;

/// Serves answers over HTTP for as long as the test runs, and notes the paths asked for. `{here}` in a body is its own address.
fn serve(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let first = lines.next().unwrap().unwrap();
            let rest: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            assert!(
                rest.iter().any(|line| line.to_lowercase().starts_with("accept: application/rdap+json")),
                "{rest:?}"
            );
            let path = first.split(' ').nth(1).unwrap().to_owned();
            noted.lock().unwrap().push(path.clone());
            let (status, body) = answer(&path);
            let body = body.replace("{here}", &address.to_string());
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            drop((&stream).write_all(format!("{head}{body}").as_bytes()));
        }
    });
    (address, asked)
}

fn check(rdap: Option<String>, timeout_us: u64, tools: &Tools) -> ProbeResult {
    let target = DomainTarget { domain: "Shop.example.".to_owned(), rdap, tls: TlsOptions::default() };
    testing::run(&testing::check(CheckKind::Domain(Box::new(target)), timeout_us, &[]), tools)
}

fn told(status: u16, body: &str) -> ProbeResult {
    let body = body.to_owned();
    let (address, _) = serve(move |_| (status, body.clone()));
    check(Some(format!("http://{address}/rdap")), 10_000_000, &testing::tools(some_roots()))
}

fn registration(ends: &str, status: &str) -> String {
    format!(
        r#"{{"objectClassName":"domain","ldhName":"SHOP.EXAMPLE","status":[{status}],
        "events":[{{"eventAction":"registration","eventDate":"1997-09-15T04:00:00Z"}},
                  {{"eventAction":"expiration","eventDate":"{ends}"}}],
        "entities":[{{"objectClassName":"entity","roles":["abuse"]}},
                    {{"objectClassName":"entity","handle":"292","roles":["registrar"],
                      "vcardArray":["vcard",[["version",{{}},"text","4.0"],["fn",{{}},"text","Example Registrar Inc."]]]}}],
        "nameservers":[{{"objectClassName":"nameserver","ldhName":"ns1.example"}}]}}"#
    )
}

#[test]
fn a_registration_tells_its_end_and_its_registrar() {
    let (address, asked) = serve(|_| (200, registration("2999-01-01T00:00:00Z", r#""active""#)));
    let result = check(Some(format!("http://{address}/rdap")), 10_000_000, &testing::tools(some_roots()));
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!(result.facts.number_of(FactKey::DomainExpires), Some(32_472_144_000));
    assert_eq!(result.facts.texts_of(FactKey::Registrar).collect::<String>(), "Example Registrar Inc.");
    assert_eq!(*asked.lock().unwrap(), ["/rdap/domain/shop.example"]);
}

#[test]
fn what_the_registry_says_of_the_domain_is_down() {
    for (status, body, said) in [
        (404, "{}".to_owned(), "rdap: shop.example is not registered (127.0.0.1 does not know it)"),
        (200, registration("2020-01-01T00:00:00Z", ""), "rdap: the registration of shop.example ended "),
        (
            200,
            registration("2999-01-01T00:00:00Z", r#""client hold","redemption period""#),
            "rdap: the registration of shop.example was deleted (redemption period)",
        ),
    ] {
        let result = told(status, &body);
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::NotRegistered)), "{}", result.detail);
        assert!(result.detail.starts_with(said), "{}", result.detail);
    }
    let result = told(200, &registration("2020-01-01T00:00:00Z", r#""pending delete""#));
    assert!(result.detail.ends_with(" days ago (pending delete)"), "{}", result.detail);
    assert_eq!(result.facts.number_of(FactKey::DomainExpires), Some(1_577_836_800));
}

#[test]
fn a_registry_that_tells_nothing_leaves_the_domain_unknown() {
    for (status, body, said) in [
        (429, "", "limits the rate of questions (status 429)"),
        (503, "", "answered with status 503"),
        (200, "<html>", "sent no RDAP answer"),
        (200, r#"{"objectClassName":"entity"}"#, "sent no RDAP answer (it is about an object of class \"entity\")"),
        (200, r#"{"objectClassName":"domain","ldhName":"other.example"}"#, "answered about \"other.example\""),
        (
            200,
            r#"{"objectClassName":"domain","events":[{"eventAction":"expiration","eventDate":"soon"}]}"#,
            "\"soon\" is no date",
        ),
    ] {
        let result = told(status, body);
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::AgentFault)), "{}", result.detail);
        assert!(result.detail.starts_with("rdap: what is registered of shop.example is not known: "));
        assert!(result.detail.contains(said), "{} instead of {said}", result.detail);
    }
    let big = format!(r#"{{"objectClassName":"domain","remarks":"{}"}}"#, "x".repeat(ANSWER_BYTES_MAX));
    assert!(told(200, &big).detail.contains("sent over 262144 bytes"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = check(Some(format!("http://{nobody}/")), 10_000_000, &testing::tools(some_roots()));
    assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::AgentFault)), "{}", result.detail);
    assert!(result.detail.contains("refused the connection"), "{}", result.detail);
    // Silence, too: the listener's backlog takes the connection, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/", silent.local_addr().unwrap());
    let result = check(Some(base), 200_000, &testing::tools(some_roots()));
    assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::AgentFault)), "{}", result.detail);
    assert!(result.detail.contains("did not answer in time"), "{}", result.detail);
}

#[test]
fn a_registry_that_publishes_no_end_is_up_without_it() {
    let result = told(200, r#"{"objectClassName":"domain","ldhName":"shop.example"}"#);
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!(result.facts.number_of(FactKey::DomainExpires), None);
}

#[test]
fn the_bootstrap_registry_is_fetched_once_for_all_checks() {
    let (address, asked) = serve(|path| {
        let list = r#"{"version":"1.0","services":[[["example"],["http://{here}/x/"]]]}"#;
        match path {
            "/dns.json" => (200, list.to_owned()),
            _ => (200, registration("2999-01-01T00:00:00Z", "")),
        }
    });
    let mut tools = testing::tools(some_roots());
    tools.registry = Registry::at(format!("http://{address}/dns.json"));
    for _ in 0..3 {
        let result = check(None, 10_000_000, &tools);
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    }
    let expected = ["/dns.json", "/x/domain/shop.example", "/x/domain/shop.example", "/x/domain/shop.example"];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[test]
fn a_bootstrap_registry_that_fails_is_told_and_left_in_peace() {
    let (address, asked) = serve(|_| (500, String::new()));
    let mut tools = testing::tools(some_roots());
    tools.registry = Registry::at(format!("http://{address}/dns.json"));
    for _ in 0..3 {
        let result = check(None, 10_000_000, &tools);
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::AgentFault)));
        assert!(
            result.detail.starts_with("agent: IANA's list of RDAP services is not to be had: "),
            "{}",
            result.detail
        );
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn domains_are_named_as_they_are_registered() {
    assert_eq!(registered("Shop.Example."), Ok("shop.example".to_owned()));
    assert_eq!(registered("bücher.example"), Ok("xn--bcher-kva.example".to_owned()));
    for bad in ["", "example", "shop.example/x", "shop..example", "192.0.2.1", "a@shop.example", "[::1]", ".example"] {
        assert!(registered(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_bootstrap_whose_name_does_not_resolve_shows_how_long_that_took() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // It is a response, and there is no such name.
            buffer[2] |= 0x80;
            buffer[3] = 0x83;
            drop(socket.send_to(&buffer[..length], from));
        }
    });
    let mut tools = testing::tools(some_roots());
    tools.resolver = crate::resolve::Resolver::with_server(server);
    tools.registry = Registry::at("http://iana.example/dns.json".to_owned());
    let result = check(None, 5_000_000, &tools);
    assert_eq!((result.state, result.failed_phase), (ProbeState::Unknown, Some(Phase::Dns)), "{}", result.detail);
    assert!(result.phases.dns.is_some(), "{:?}", result.phases);
    let again = check(None, 5_000_000, &tools);
    assert_eq!((again.failed_phase, again.phases.dns), (Some(Phase::Total), None), "remembered, not asked");
    assert_eq!(again.detail, result.detail);
}
