//! What a server showed on one connection, trusted or not: the recorder that stands between rustls and the verifier.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::expect::Expectation;
use sitepulse_model::record::{CHAIN_MAX, Cause, ChainCertificate, FactKey, Facts, Phase};
use sitepulse_model::time::{SECOND_US, UtcMicros};
use x509_parser::time::ASN1Time;

use super::certificate::{self, Certificate};
use super::ocsp::{self, Staple};
use crate::attempt::{Attempt, Failure};

/// What a server showed on one connection.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    seen: Mutex<Seen>,
}

/// What a [`Shown`] holds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// As sent, the leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The stapled OCSP answer, empty without one.
    pub(super) ocsp: Vec<u8>,
    /// Why the chain was refused.
    pub(super) refused: Option<rustls::Error>,
    /// The server asked for a client certificate; whether it got one.
    pub(super) asked: Option<bool>,
    /// Whom the check trusts.
    pub(super) trust: Option<Trust>,
}

impl Seen {
    /// Whether the check brought its own bundle.
    pub(super) fn has_own_bundle(&self) -> bool {
        matches!(self.trust, Some(Trust::Bundle { .. }))
    }

    /// What the stapled answer says, where there is one.
    fn staple(&self, now: UtcMicros) -> Option<Staple> {
        let leaf = self.chain.first().filter(|_| !self.ocsp.is_empty())?;
        Some(ocsp::read(&self.ocsp, leaf, || self.issuers(leaf), now))
    }

    /// Keys that may have signed the leaf: of the certificates sent along, and of the roots of its issuer's name.
    fn issuers(&self, leaf: &CertificateDer<'_>) -> Vec<ocsp::Key> {
        let sent = self.chain.iter().skip(1).filter_map(certificate::key);
        let roots = self.trust.as_ref().map(Trust::roots).zip(certificate::issuer(leaf));
        let trusted = roots.into_iter().flat_map(|(roots, issuer)| {
            roots.roots.iter().filter(move |root| *root.subject == *issuer.as_slice()).map(certificate::key_of_anchor)
        });
        sent.chain(trusted).collect()
    }
}

impl Shown {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the leaf expires.
    pub(crate) fn expires(&self) -> Option<UtcMicros> {
        let seen = self.seen();
        let (_, not_after) = certificate::validity(seen.chain.first()?)?;
        Some(not_after)
    }

    /// Why the chain was refused, where it was.
    pub(crate) fn refused(&self) -> Option<rustls::Error> {
        self.seen().refused.clone()
    }

    /// The failure of a run whose server staples the answer that its certificate is revoked. Whoever accepts any certificate accepts that too.
    pub(crate) fn revoked(&self, host: &str, now: UtcMicros) -> Option<Failure> {
        let seen = self.seen();
        if matches!(seen.trust, None | Some(Trust::Anyone(..))) {
            return None;
        }
        // A good word costs no signature on the way of every run.
        if !ocsp::may_revoke(&seen.ocsp) {
            return None;
        }
        let Some(Staple::Revoked { at }) = seen.staple(now) else { return None };
        let day = ASN1Time::from_timestamp(at.0.div_euclid(SECOND_US)).map(|at| at.to_datetime().date().to_string());
        let on = day.map(|day| format!(" on {day}")).unwrap_or_default();
        let text = format!("TLS: certificate for {host} was revoked{on} (stapled OCSP)");
        Some(Failure::new(Cause::CertificateInvalid, Phase::Tls, text))
    }

    /// Notes the certificates that the server sent: how many, and what the first of them are. Names are what the target calls itself: `redact`
    /// sees them whole, before they are cut.
    pub(crate) fn note_chain(&self, facts: &mut Facts, redact: impl Fn(&str) -> String) {
        let seen = self.seen();
        if seen.chain.is_empty() {
            return;
        }
        facts.number(FactKey::ChainLength, i64::try_from(seen.chain.len()).unwrap_or(i64::MAX));
        for der in seen.chain.iter().take(CHAIN_MAX) {
            let titles = certificate::titles(der);
            let not_after = titles.as_ref().map(|(_, _, not_after)| instant::format(*not_after).into());
            let (subject, issuer) =
                titles.map(|(subject, issuer, _)| (redact(&subject), redact(&issuer))).unwrap_or_default();
            let certificate = ChainCertificate {
                sha256: certificate::sha256(der).into(),
                not_after,
                subject: subject.into(),
                issuer: issuer.into(),
            };
            facts.text(FactKey::CertificateChain, &certificate.line());
        }
    }

    /// Whether the server asked for a client certificate.
    pub(crate) fn asked_for_certificate(&self) -> bool {
        self.seen().asked.is_some()
    }
}

/// Notes everything that the certificate tells.
pub(crate) fn note(attempt: &mut Attempt<'_>, shown: &Shown) {
    let seen = shown.seen();
    let Some(leaf) = seen.chain.first() else { return };
    let staple = seen.staple(clock::now());
    let facts = &mut attempt.facts;
    facts.number(FactKey::ChainLength, i64::try_from(seen.chain.len()).unwrap_or(i64::MAX));
    facts.text(FactKey::CertificateSha256, &certificate::sha256(leaf));
    if let Some(parsed) = Certificate::parse(leaf) {
        facts.certificate_expires = Some(parsed.not_after);
        facts.text(FactKey::CertificateSubject, &parsed.subject);
        facts.text(FactKey::CertificateIssuer, &parsed.issuer);
        facts.text(FactKey::CertificateNames, &parsed.names.join(", "));
    }
    if let Some(staple) = staple {
        facts.text(FactKey::Ocsp, staple.as_str());
    }
}

/// Notes what was negotiated.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: nothing else can be negotiated")]
pub(super) fn note_negotiated(facts: &mut Facts, connection: &rustls::ClientConnection) {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => facts.text(FactKey::TlsVersion, "TLSv1.3"),
        Some(ProtocolVersion::TLSv1_2) => facts.text(FactKey::TlsVersion, "TLSv1.2"),
        _ => {}
    }
    if let Some(name) = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()) {
        // The registry's name: rustls marks those of TLS 1.3.
        facts.text(FactKey::TlsCipher, &name.replacen("TLS13_", "TLS_", 1));
    }
    if let Some(protocol) = connection.alpn_protocol() {
        facts.text(FactKey::Alpn, &String::from_utf8_lossy(protocol));
    }
}

/// Whether somebody looks at more than the certificate's expiry: an assertion, or who asked for this run.
pub(crate) fn wants_facts(attempt: &Attempt<'_>) -> bool {
    // By name, wherever it stands: a fact too many does no harm.
    let asserted = |source: &str| {
        let certificate = |name: &str| source.matches(name).count();
        source.contains("tls.")
            || source.contains("ocsp")
            || certificate("certificate.") > certificate("certificate.days")
    };
    attempt.note_all || attempt.expect.iter().map(Expectation::source).any(asserted)
}

/// Whom a check trusts.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// The agent's roots.
    Roots(Anchors),
    /// The check's own bundle: authorities, and servers' own certificates.
    Bundle { anchors: Anchors, pinned: Arc<[CertificateDer<'static>]> },
    /// Whatever is shown. The verifier tells which signatures are offered.
    Anyone(Anchors),
}

/// Roots, and the verifier made of them.
#[derive(Debug, Clone)]
pub(super) struct Anchors {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) verifier: Arc<WebPkiServerVerifier>,
}

impl Anchors {
    pub(super) fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, VerifierBuilderError> {
        let roots = Arc::new(roots);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        Ok(Self { roots, verifier })
    }
}

impl Trust {
    fn anchors(&self) -> &Anchors {
        match self {
            Self::Roots(anchors) | Self::Bundle { anchors, .. } | Self::Anyone(anchors) => anchors,
        }
    }

    fn verifier(&self) -> &WebPkiServerVerifier {
        &self.anchors().verifier
    }

    fn roots(&self) -> &RootCertStore {
        &self.anchors().roots
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = || self.verifier().verify_server_cert(leaf, intermediates, name, &[], now);
        match self {
            Self::Roots(_) => judged(),
            Self::Bundle { pinned, .. } => judged().or_else(|error| {
                // `openssl req -x509` makes a self-signed server certificate an authority, which webpki takes for no server's. Who puts
                // exactly that certificate into the bundle means it.
                if pinned.contains(leaf) { verify_pinned(leaf, name, now) } else { Err(error) }
            }),
            Self::Anyone(_) => Ok(ServerCertVerified::assertion()),
        }
    }
}

/// Judges a certificate that is trusted itself: by its dates and names.
fn verify_pinned(
    leaf: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let (not_before, not_after) = certificate::validity(leaf).ok_or(CertificateError::BadEncoding)?;
    let at = UtcMicros(i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(SECOND_US));
    if at > not_after {
        return Err(CertificateError::Expired.into());
    }
    if at < not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
    Ok(ServerCertVerified::assertion())
}

/// Delegates to what a check trusts and to its client certificate, and records what passes.
#[derive(Debug)]
pub(super) struct Recorder {
    trust: Trust,
    certificate: Option<Arc<dyn ResolvesClientCert>>,
    shown: Arc<Shown>,
}

impl Recorder {
    pub(super) fn new(trust: Trust, certificate: Option<Arc<dyn ResolvesClientCert>>, shown: Arc<Shown>) -> Self {
        Self { trust, certificate, shown }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.trust.verify(end_entity, intermediates, server_name, now);
        let mut seen = self.shown.seen();
        seen.chain = std::iter::once(end_entity).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        seen.ocsp = ocsp_response.to_vec();
        seen.refused = verdict.as_ref().err().cloned();
        seen.trust = Some(self.trust.clone());
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.trust {
            Trust::Anyone(_) => Ok(HandshakeSignatureValid::assertion()),
            Trust::Roots(anchors) | Trust::Bundle { anchors, .. } => {
                anchors.verifier.verify_tls12_signature(message, cert, dss)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.trust {
            Trust::Anyone(_) => Ok(HandshakeSignatureValid::assertion()),
            Trust::Roots(anchors) | Trust::Bundle { anchors, .. } => {
                anchors.verifier.verify_tls13_signature(message, cert, dss)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.verifier().supported_verify_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, root_hint_subjects: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let ours = self.certificate.as_ref().and_then(|certificate| certificate.resolve(root_hint_subjects, schemes));
        self.shown.seen().asked = Some(ours.is_some());
        ours
    }

    // `resolve` is called whatever this says; here it decides whether rustls keeps the transcript that a signature would need.
    fn has_certs(&self) -> bool {
        self.certificate.is_some()
    }
}
