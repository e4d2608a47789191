//! Handshakes with real TLS servers on the loopback: good ones, and PKIs broken in every way.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use sitepulse_daemon::clock;
use sitepulse_model::check::{CheckKind, SecretText, TlsOptions};
use sitepulse_model::record::{Cause, FactKey, ProbeResult, ProbeState};
use x509_ocsp::{CertStatus, OcspGeneralizedTime, RevokedInfo};

use super::*;
use crate::testing::{self, some_roots};
use crate::tls::pki::{Authority, Leaf, Server, server};
use crate::tools::Tools;

fn target(server: &Server) -> TlsTarget {
    TlsTarget {
        address: server.address.to_string(),
        alpn: Vec::new(),
        family: Family::Any,
        tls: TlsOptions { server_name: Some("shop.example".to_owned()), ..TlsOptions::default() },
    }
}

fn probe(target: TlsTarget, roots: RootCertStore) -> ProbeResult {
    probe_with(target, &testing::tools(roots))
}

fn probe_with(target: TlsTarget, tools: &Tools) -> ProbeResult {
    testing::run(&testing::check(CheckKind::Tls(Box::new(target)), 10_000_000, &[]), tools)
}

fn text(result: &ProbeResult, key: FactKey) -> String {
    result.facts.texts_of(key).collect()
}

#[test]
fn a_good_server_is_up_and_everything_it_shows_is_told() {
    let root = Authority::root("Root of Example");
    let middle = root.intermediate("Middle of Example");
    let server = server(Leaf::of(&middle, &["shop.example", "www.shop.example"]).serve(|config| {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }));
    let mut target = target(&server);
    target.alpn = vec!["spdy/1".to_owned(), "http/1.1".to_owned()];
    let result = probe(target, root.roots());
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!(text(&result, FactKey::TlsVersion), "TLSv1.3");
    assert_eq!(text(&result, FactKey::TlsCipher), "TLS_AES_128_GCM_SHA256");
    assert_eq!(text(&result, FactKey::Alpn), "http/1.1");
    assert_eq!(text(&result, FactKey::CertificateSubject), "shop.example");
    assert_eq!(text(&result, FactKey::CertificateIssuer), "Middle of Example");
    assert_eq!(text(&result, FactKey::CertificateNames), "shop.example, www.shop.example");
    assert_eq!(text(&result, FactKey::CertificateSha256), server.leaf_sha256);
    assert_eq!(result.facts.number_of(FactKey::ChainLength), Some(2));
    assert_eq!(text(&result, FactKey::Ocsp), "");
    assert!(result.facts.certificate_expires.unwrap() > clock::now());
    assert!(result.phases.connect.is_some() && result.phases.tls.is_some());
}

#[test]
fn tls_1_2_is_spoken_and_told() {
    let root = Authority::root("Root");
    let server = server(Leaf::of(&root, &["shop.example"]).serve_versions(&[&rustls::version::TLS12]));
    let result = probe(target(&server), root.roots());
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!(text(&result, FactKey::TlsVersion), "TLSv1.2");
    assert_eq!(text(&result, FactKey::TlsCipher), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
}

#[test]
fn every_broken_chain_is_down_with_its_reason_and_its_facts() {
    let root = Authority::root("Root");
    let middle = root.intermediate("Middle");
    let old_middle = root.intermediate_of("Old Middle", (2020, 2021));
    let new_middle = root.intermediate_of("New Middle", (3000, 3001));
    let stranger = Authority::root("Stranger");
    let name: &[&str] = &["shop.example"];
    let cases: Vec<(&str, Leaf, &str)> = vec![
        ("expired", Leaf::of(&root, name).valid(2020, 2021), "TLS: certificate for shop.example expired "),
        ("future", Leaf::of(&root, name).valid(3000, 3001), "TLS: certificate for shop.example is valid only in "),
        (
            "wrong name",
            Leaf::of(&root, &["a.example", "b.example", "c.example", "d.example"]),
            "TLS: certificate is not for shop.example (it is for a.example, b.example, c.example, ...)",
        ),
        (
            "unknown issuer",
            Leaf::of(&stranger, name),
            "TLS: certificate for shop.example is from an issuer that this machine does not trust (Stranger); the server sent no intermediate certificate",
        ),
        (
            "missing intermediate",
            Leaf::of(&middle, name).alone(),
            "TLS: certificate for shop.example is from an issuer that this machine does not trust (Middle); the server sent no intermediate certificate",
        ),
        (
            "expired intermediate",
            Leaf::of(&old_middle, name),
            "TLS: intermediate certificate \"Old Middle\" of shop.example expired ",
        ),
        (
            "future intermediate",
            Leaf::of(&new_middle, name),
            "TLS: intermediate certificate \"New Middle\" of shop.example is valid only in ",
        ),
        (
            "self-signed",
            Leaf::self_signed(name),
            "TLS: certificate for shop.example is self-signed; to trust it all the same, put it into tls.ca",
        ),
        (
            "for clients",
            Leaf::of(&root, name).for_clients(),
            "TLS: certificate for shop.example is not made for servers (extended key usage)",
        ),
    ];
    for (what, leaf, said) in cases {
        let server = server(leaf.serve(|_| {}));
        let result = probe(target(&server), root.roots());
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::CertificateInvalid)), "{what}");
        assert_eq!(result.failed_phase, Some(Phase::Tls));
        assert!(result.detail.starts_with(said), "{what}: {}", result.detail);
        assert_eq!(text(&result, FactKey::CertificateSha256), server.leaf_sha256, "{what}");
        assert!(result.facts.certificate_expires.is_some(), "{what}");

        // Who accepts anything is told all the same.
        let mut target = target(&server);
        target.tls.insecure = true;
        let result = probe(target, root.roots());
        // Days left may still be judged: that is not the handshake's business.
        let good = [None, Some(Cause::SoftAssertion)].contains(&result.cause);
        assert!(good && !result.detail.starts_with("TLS:"), "{what}: {}", result.detail);
        assert_eq!(text(&result, FactKey::CertificateSha256), server.leaf_sha256, "{what}");
    }
}

#[test]
fn an_own_bundle_takes_the_place_of_the_agents_roots() {
    let root = Authority::root("Root");
    let server = server(Leaf::of(&root, &["shop.example"]).serve(|_| {}));
    let mut own = target(&server);
    own.tls.ca = Some(root.pem());
    let result = probe(own.clone(), some_roots());
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    own.tls.ca = Some(Authority::root("Another").pem());
    let result = probe(own, root.roots());
    assert_eq!(result.cause, Some(Cause::CertificateInvalid), "the agent's roots do not count");
    assert!(result.detail.contains("tls.ca does not trust (Root)"), "{}", result.detail);
}

#[test]
fn a_servers_own_certificate_in_the_bundle_is_trusted_by_its_dates_and_names() {
    // As `openssl req -x509` makes it: an authority's.
    for leaf in [Leaf::self_signed(&["shop.example"]), Leaf::self_signed(&["shop.example"]).authority()] {
        let pem = leaf.pem();
        let server = server(leaf.serve(|_| {}));
        let mut target = target(&server);
        target.tls.ca = Some(pem);
        let result = probe(target.clone(), some_roots());
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
        target.tls.server_name = Some("other.example".to_owned());
        let result = probe(target, some_roots());
        assert_eq!(result.cause, Some(Cause::CertificateInvalid));
        assert!(result.detail.starts_with("TLS: certificate is not for other.example"), "{}", result.detail);
    }
    let old = Leaf::self_signed(&["shop.example"]).authority().valid(2020, 2021);
    let pem = old.pem();
    let server = server(old.serve(|_| {}));
    let mut target = target(&server);
    target.tls.ca = Some(pem);
    let result = probe(target, some_roots());
    assert!(result.detail.starts_with("TLS: certificate for shop.example expired "), "{}", result.detail);
}

#[test]
fn client_certificates_come_from_secrets_and_their_absence_or_refusal_is_told() {
    let root = Authority::root("Root");
    let clients = Authority::root("Clients");
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), Arc::new(tls::provider()))
                .build()
                .unwrap();
        let server = server(Leaf::of(&root, &["shop.example"]).serve_clients(versions, verifier));
        let tools = testing::tools(root.roots());
        let mut target = target(&server);
        let result = probe_with(target.clone(), &tools);
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::TlsFailed)), "{}", result.detail);
        assert!(
            result.detail.starts_with("TLS: shop.example requires a client certificate (tls.client_certificate)"),
            "{}",
            result.detail
        );

        target.tls.client_certificate = Some(SecretText("secret:client-cert".to_owned()));
        target.tls.client_key = Some(SecretText("secret:client-key".to_owned()));
        let result = probe_with(target.clone(), &tools);
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::SecretMissing)));

        let known = |leaf: &Leaf| {
            tools
                .secrets
                .replace([("client-cert".to_owned(), leaf.pem()), ("client-key".to_owned(), leaf.key_pem())].into());
        };
        let check = testing::check(CheckKind::Tls(Box::new(target.clone())), 10_000_000, &[]);
        let probe = crate::Probe::new(&check);
        let run = || testing::run_prepared(&probe, &tools);
        known(&Leaf::of(&clients, &["agent.example"]).for_clients());
        let result = run();
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));

        // The prepared check goes with the secret.
        known(&Leaf::of(&Authority::root("Nobody"), &["agent.example"]).for_clients());
        let result = run();
        assert_eq!(result.cause, Some(Cause::TlsFailed), "{}", result.detail);
        assert!(result.detail.starts_with("TLS: shop.example refused the client certificate: "), "{}", result.detail);

        tools
            .secrets
            .replace([("client-cert".to_owned(), "x".to_owned()), ("client-key".to_owned(), "y".to_owned())].into());
        let result = run();
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::AgentFault)), "{}", result.detail);
    }
}

fn revoked() -> CertStatus {
    let at = der::DateTime::new(2026, 1, 31, 12, 0, 0).unwrap();
    CertStatus::Revoked(RevokedInfo { revocation_time: OcspGeneralizedTime::from(at), revocation_reason: None })
}

#[test]
fn a_stapled_answer_is_told_and_a_revoked_certificate_is_down() {
    let root = Authority::root("Root");
    let middle = root.intermediate("Middle");
    // The issuer comes with the chain, or is a root that does not.
    for issuer in [&middle, &root] {
        let leaf = Leaf::of(issuer, &["shop.example"]);
        let responder = Leaf::of(issuer, &["ocsp.example"]).for_ocsp();
        for staple in
            [issuer.staple(&leaf, CertStatus::good(), (-1, 1)), issuer.staple_by(&responder, &leaf, CertStatus::good())]
        {
            let server = server(leaf.serve_stapled(staple));
            let result = probe(target(&server), root.roots());
            assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
            assert_eq!(text(&result, FactKey::Ocsp), "good");
        }
        for staple in [issuer.staple(&leaf, revoked(), (-1, 1)), issuer.staple_by(&responder, &leaf, revoked())] {
            let server = server(leaf.serve_stapled(staple));
            let result = probe(target(&server), root.roots());
            assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::CertificateInvalid)));
            assert_eq!(result.failed_phase, Some(Phase::Tls));
            assert_eq!(result.detail, "TLS: certificate for shop.example was revoked on 2026-01-31 (stapled OCSP)");
            assert_eq!(text(&result, FactKey::Ocsp), "revoked");
            assert_eq!(text(&result, FactKey::TlsVersion), "TLSv1.3");

            let mut anyone = target(&server);
            anyone.tls.insecure = true;
            let result = probe(anyone, some_roots());
            assert_eq!(result.state, ProbeState::Up, "who accepts any certificate accepts that too");
        }
    }
}

#[test]
fn a_stapled_answer_that_cannot_be_believed_says_nothing() {
    let root = Authority::root("Root");
    let leaf = Leaf::of(&root, &["shop.example"]);
    let other = Leaf::of(&root, &["other.example"]);
    let stranger = Authority::root("Root");
    let unappointed = Leaf::of(&root, &["ocsp.example"]);
    let theirs = Leaf::of(&stranger, &["ocsp.example"]).for_ocsp();
    let old = Leaf::of(&root, &["ocsp.example"]).for_ocsp().valid(2020, 2021);
    for (what, staple) in [
        ("stale", root.staple(&leaf, revoked(), (-9, -1))),
        ("from the future", root.staple(&leaf, revoked(), (1, 9))),
        ("of another certificate", root.staple(&other, revoked(), (-1, 1))),
        ("of a stranger", stranger.staple(&leaf, revoked(), (-1, 1))),
        ("of a responder nobody appointed", root.staple_by(&unappointed, &leaf, revoked())),
        ("of a stranger's responder", root.staple_by(&theirs, &leaf, revoked())),
        ("of a responder whose time is over", root.staple_by(&old, &leaf, revoked())),
        ("nonsense", vec![0x30, 3, 0x0a, 1, 0]),
        ("unknown", root.staple(&leaf, CertStatus::unknown(), (-1, 1))),
    ] {
        let server = server(leaf.serve_stapled(staple));
        let result = probe(target(&server), root.roots());
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""), "{what}");
        assert_eq!(text(&result, FactKey::Ocsp), "unknown", "{what}");
    }
}

/// Answers the first bytes with an alert of this number, in TLS 1.2's plain form.
fn alerting(alert: u8) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 2048];
        assert!(stream.read(&mut hello).unwrap() > 0);
        stream.write_all(&[0x15, 3, 3, 0, 2, 2, alert]).unwrap();
        while matches!(stream.read(&mut hello), Ok(1..)) {}
    });
    address
}

#[test]
fn alerts_are_told_in_words() {
    for (alert, said) in [
        (40, "no protocol version or cipher in common"),
        (70, "it speaks neither TLS 1.2 nor 1.3"),
        (71, "it wants stronger ciphers"),
        (80, "it has an internal error"),
        (112, "it knows no site of that name (unrecognised name)"),
        (120, "no application protocol in common (ALPN)"),
    ] {
        let mut target = TlsTarget {
            address: alerting(alert).to_string(),
            alpn: Vec::new(),
            family: Family::Any,
            tls: TlsOptions::default(),
        };
        target.tls.server_name = Some("shop.example".to_owned());
        let result = probe(target, some_roots());
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::TlsFailed)), "{alert}");
        assert_eq!(result.detail, format!("TLS: shop.example refused the handshake: {said}"));
    }
    for (alert, said) in [(48, "(unknown CA)"), (50, "(decode error)"), (90, "(user canceled)"), (200, "(alert 200)")] {
        let target = TlsTarget {
            address: alerting(alert).to_string(),
            alpn: Vec::new(),
            family: Family::Any,
            tls: TlsOptions::default(),
        };
        let result = probe(target, some_roots());
        assert_eq!(result.detail, format!("TLS: 127.0.0.1 refused the handshake {said}"));
    }
}

#[test]
fn what_the_certificate_said_survives_a_deadline_in_the_handshake() {
    let root = Authority::root("Root");
    let serving = Leaf::of(&root, &["shop.example"]).serve_versions(&[&rustls::version::TLS12]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Up to the server's certificate, and no further.
        let mut connection = rustls::ServerConnection::new(Arc::new(serving.config)).unwrap();
        while connection.is_handshaking() && !connection.wants_write() {
            connection.read_tls(&mut stream).unwrap();
            connection.process_new_packets().unwrap();
        }
        while connection.wants_write() {
            connection.write_tls(&mut stream).unwrap();
        }
        let mut rest = [0; 1024];
        while matches!(stream.read(&mut rest), Ok(1..)) {}
    });
    let mut target =
        TlsTarget { address: address.to_string(), alpn: Vec::new(), family: Family::Any, tls: TlsOptions::default() };
    target.tls.server_name = Some("shop.example".to_owned());
    let check = testing::check(CheckKind::Tls(Box::new(target)), 300_000, &[]);
    let result = testing::run(&check, &testing::tools(root.roots()));
    thread.join().unwrap();
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Tls)), "{}", result.detail);
    assert!(result.facts.certificate_expires.is_some());
}

#[test]
fn a_server_that_asks_for_a_certificate_and_then_says_nothing_accepts() {
    let root = Authority::root("Root");
    let provider = Arc::new(tls::provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(root.roots()), provider);
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let serving = Leaf::of(&root, &["shop.example"]).serve_clients(&[&rustls::version::TLS13], verifier);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (done, until) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(serving.config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "the goodbye");
        // Deaf to it, until the run is over.
        assert!(until.recv().is_err());
    });
    let mut target =
        TlsTarget { address: address.to_string(), alpn: Vec::new(), family: Family::Any, tls: TlsOptions::default() };
    target.tls.server_name = Some("shop.example".to_owned());
    let check = testing::check(CheckKind::Tls(Box::new(target)), 400_000, &[]);
    let result = testing::run(&check, &testing::tools(root.roots()));
    drop(done);
    thread.join().unwrap();
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
}

#[test]
fn checks_that_want_the_same_share_one_configuration() {
    let tools = testing::tools(some_roots());
    let mut attempt = Attempt::new(&tools, &[], false, sitepulse_daemon::clock::Monotonic(u64::MAX));
    let plain = || TlsClient::new(&TlsOptions::default(), &["h2"]).unwrap();
    let (one, two) = (plain(), plain());
    let other = TlsClient::new(&TlsOptions::default(), &["http/1.1"]).unwrap();
    let bundle = Authority::root("Root").pem();
    let own = TlsClient::new(&TlsOptions { ca: Some(bundle), ..TlsOptions::default() }, &["h2"]).unwrap();
    for client in [&one, &two, &other, &own] {
        client.config(&mut attempt).unwrap();
    }
    assert_eq!(tools.tls.configurations(), 3);
    drop((one, two, other));
    assert_eq!(tools.tls.configurations(), 1, "an entry dies with its checks");
}

#[test]
fn nothing_in_common_is_told() {
    let root = Authority::root("Root");
    let server =
        server(Leaf::of(&root, &["shop.example"]).serve(|config| config.alpn_protocols = vec![b"h2".to_vec()]));
    let mut target = target(&server);
    target.alpn = vec!["imap".to_owned()];
    let result = probe(target, root.roots());
    assert_eq!(result.cause, Some(Cause::TlsFailed));
    assert_eq!(result.detail, "TLS: shop.example refused the handshake: no application protocol in common (ALPN)");
}

#[test]
fn options_that_cannot_be_used_are_refused_when_the_check_is_made() {
    let options = |change: &dyn Fn(&mut TlsOptions)| {
        let mut options = TlsOptions::default();
        change(&mut options);
        TlsClient::new(&options, &[]).map(drop).unwrap_err()
    };
    assert!(options(&|tls| tls.ca = Some("nonsense".to_owned())).starts_with("tls.ca: it has no certificate"));
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(options(&|tls| tls.ca = Some(text.to_owned())).starts_with("tls.ca: certificate 1 cannot be used"));
    assert!(options(&|tls| tls.server_name = Some("a b".to_owned())).starts_with("tls.server_name: "));
    let lone = options(&|tls| tls.client_key = Some(SecretText("secret:key".to_owned())));
    assert!(lone.contains("give both or none"), "{lone}");
    assert!(TlsClient::new(&TlsOptions::default(), &[""]).is_err());
}

#[test]
fn addresses_are_parted() {
    assert_eq!(host_port("shop.example:443"), Ok(("shop.example".to_owned(), 443)));
    assert_eq!(host_port("[::1]:25"), Ok(("::1".to_owned(), 25)));
    for bad in ["shop.example", ":1", "shop.example:", "shop.example:0", "shop.example:65536", "::1:25", "[::1:25"] {
        assert!(host_port(bad).is_err(), "{bad}");
    }
}

#[test]
fn assertions_see_every_name_of_a_certificate_of_many() {
    let root = Authority::root(&"Long Name ".repeat(30));
    let mut names: Vec<String> = (0..31).map(|number| format!("host-{number}.shop.example")).collect();
    names.push("zz.last.example".to_owned());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (assertion, state) in [
        ("certificate.names contains 'zz.last.example'", ProbeState::Up),
        ("certificate.names not contains 'zz.last.example'", ProbeState::Down),
        ("certificate.issuer matches /(Long Name ?){30}/", ProbeState::Up),
    ] {
        let server = server(Leaf::of(&root, &names).serve(|_| ()));
        let mut target = target(&server);
        target.tls.server_name = Some(names[0].to_owned());
        let check = testing::check(CheckKind::Tls(Box::new(target)), 10_000_000, &[assertion]);
        let result = testing::run(&check, &testing::tools(root.roots()));
        assert_eq!(result.state, state, "{assertion}: {}", result.detail);
        assert_eq!(text(&result, FactKey::CertificateNames).len(), 200, "a record keeps its beginning");
    }
}
