//! What the tests of every kind share: a check of any kind, run once with given tools.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sitepulse_daemon::address::Policy;
use sitepulse_daemon::clock;
use sitepulse_model::check::{AssignedCheck, CheckDefinition, CheckKind};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{CheckId, CheckNo, Revision};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::ProbeResult;
use sitepulse_model::time::UtcMicros;

use crate::tls::Tls;
use crate::tools::Tools;
use crate::{Probe, Run};

/// A check of `kind` with a timeout and assertions.
pub(crate) fn check(kind: CheckKind, timeout_us: u64, expect: &[&str]) -> AssignedCheck {
    let expect = expect.iter().map(|text| Expectation::parse(text, kind.as_str()).unwrap()).collect();
    AssignedCheck {
        number: CheckNo(1),
        revision: Revision(1),
        definition: CheckDefinition {
            id: CheckId::parse("shop").unwrap(),
            kind,
            interval_us: 10_000_000,
            timeout_us,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
            expect,
        },
    }
}

/// Tools that may dial the loopback and trust `roots`.
pub(crate) fn tools(roots: RootCertStore) -> Tools {
    Tools::new(Tls::with_roots(roots).unwrap(), Policy::parse(&["loopback".to_owned()]).unwrap())
}

/// Mozilla's roots: for tests that need some.
pub(crate) fn some_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// One run, on a runtime of its own.
pub(crate) fn run(check: &AssignedCheck, tools: &Tools) -> ProbeResult {
    run_prepared(&Probe::new(check), tools)
}

/// One run of a check that was prepared before, on a runtime of its own.
pub(crate) fn run_prepared(probe: &Probe, tools: &Tools) -> ProbeResult {
    run_noting(probe, tools, false)
}

/// As [`run`], for somebody who looks at the result.
pub(crate) fn run_shown(check: &AssignedCheck, tools: &Tools) -> ProbeResult {
    run_noting(&Probe::new(check), tools, true)
}

fn run_noting(probe: &Probe, tools: &Tools, note_all: bool) -> ProbeResult {
    let run = Run { check: CheckNo(1), revision: Revision(1), slot: UtcMicros(5), started: clock::now(), note_all };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(probe.run(run, tools))
}

/// An assertion that is costly to judge over [`irregular`] words, and does not hold.
pub(crate) const COSTLY: &str = "body matches /x.{0,100}q/";

/// Words with an `x` at irregular distances: a regex that starts with it is in another set of states at each byte.
pub(crate) fn irregular(length: usize) -> Vec<u8> {
    let mut seed = 1_u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match seed >> 16 {
            n if n % 7 == 0 => b' ',
            n if n % 3 == 0 => b'x',
            n => b'a' + (n % 16) as u8,
        }
    };
    (0..length).map(|_| letter()).collect()
}

/// An authority that signs servers' certificates, and the roots that trust it.
pub(crate) struct Pki {
    pub(crate) roots: RootCertStore,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A new authority.
pub(crate) fn pki() -> Pki {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    Pki { roots, issuer }
}

impl Pki {
    /// A server called `localhost` with a certificate that is valid from one year to another, and negotiates `alpn` (empty: nothing).
    pub(crate) fn server(&self, years: (i32, i32), alpn: &str) -> ServerConfig {
        self.server_called("localhost", years, alpn)
    }

    /// As [`Pki::server`], by another name.
    pub(crate) fn server_called(&self, name: &str, years: (i32, i32), alpn: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(crate::tls::provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        config.alpn_protocols = Vec::from_iter((!alpn.is_empty()).then(|| alpn.as_bytes().to_vec()));
        config
    }
}
