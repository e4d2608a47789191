//! Certificates, as a whole run tells of them.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sitepulse_daemon::clock;
use sitepulse_model::check::CheckKind;
use sitepulse_model::record::{Cause, FactKey, Phase, ProbeState};

use super::{outlast, probe, probe_with, serve};
use crate::testing::{self, some_roots};

pub(super) struct Pki {
    pub(super) roots: RootCertStore,
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
}

pub(super) fn pki() -> Pki {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    Pki { roots, issuer }
}

/// Serves one HTTPS answer with a certificate for `name`, valid between two years.
fn serve_tls(pki: &Pki, name: &str, years: (i32, i32)) -> (SocketAddr, JoinHandle<()>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let leaf = params.signed_by(&key, &pki.issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crate::tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    serve(move |stream| {
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut one = [0; 1];
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            match stream.read(&mut one) {
                Ok(1..) => seen.push(one[0]),
                Ok(0) | Err(_) => return,
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        drop(stream.flush());
        outlast(stream);
    })
}

#[test]
fn certificates_are_judged_and_explained() {
    let pki = pki();
    let good = (2020, 4000);
    for (name, years, roots, state, text) in [
        ("127.0.0.1", good, pki.roots.clone(), ProbeState::Up, ""),
        ("127.0.0.1", (2020, 2021), pki.roots.clone(), ProbeState::Down, "TLS: certificate for 127.0.0.1 expired "),
        (
            "127.0.0.1",
            (3000, 4000),
            pki.roots.clone(),
            ProbeState::Down,
            "TLS: certificate for 127.0.0.1 is valid only in ",
        ),
        (
            "other.example",
            good,
            pki.roots.clone(),
            ProbeState::Down,
            "TLS: certificate is not for 127.0.0.1 (it is for other.example)",
        ),
        ("127.0.0.1", good, some_roots(), ProbeState::Down, "TLS: certificate for 127.0.0.1 is "),
    ] {
        let (address, server) = serve_tls(&pki, name, years);
        let result = probe_with(&format!("https://{address}/"), 10_000_000, &[], roots);
        server.join().unwrap();
        assert_eq!(result.state, state, "{}", result.detail);
        assert!(result.detail.starts_with(text), "{} instead of {text}", result.detail);
        let expires = result.facts.certificate_expires.expect("the expiry is read whatever the verdict");
        assert_eq!(expires > clock::now(), years.1 > 2021);
        assert!(result.phases.tls.is_some());
        if state == ProbeState::Down {
            assert_eq!((result.cause, result.failed_phase), (Some(Cause::CertificateInvalid), Some(Phase::Tls)));
        }
    }
}

#[test]
fn plain_http_on_a_tls_port_is_told() {
    let (address, server) = serve(|mut stream| {
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        outlast(stream);
    });
    let result = probe(&format!("https://{address}/"), &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::TlsFailed));
    assert_eq!(result.detail, "TLS: 127.0.0.1 does not speak TLS on this port");
}

#[test]
fn a_run_that_somebody_looks_at_shows_all_and_a_scheduled_one_stays_small() {
    let pki = pki();
    let shown = [
        FactKey::HttpVersion,
        FactKey::TlsVersion,
        FactKey::TlsCipher,
        FactKey::CertificateIssuer,
        FactKey::CertificateNames,
        FactKey::CertificateSha256,
    ];
    for is_shown in [true, false] {
        let (address, server) = serve_tls(&pki, "127.0.0.1", (2020, 4000));
        let check = testing::check(CheckKind::http(format!("https://{address}/")), 10_000_000, &[]);
        let run = if is_shown { testing::run_shown } else { testing::run };
        let result = run(&check, &testing::tools(pki.roots.clone()));
        server.join().unwrap();
        assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
        assert!(result.facts.certificate_expires.is_some());
        for key in shown {
            assert_eq!(result.facts.texts_of(key).count(), usize::from(is_shown), "{key}");
        }
        assert_eq!(result.facts.number_of(FactKey::ChainLength), is_shown.then_some(1));
        if is_shown {
            assert_eq!(result.facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/1.1"]);
            assert_eq!(result.facts.texts_of(FactKey::CertificateNames).collect::<Vec<_>>(), ["127.0.0.1"]);
        } else {
            assert_eq!(result.facts.more, []);
        }
    }
}
