//! What a server showed on one connection, trusted or not: the recorder that stands between rustls and the verifier.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, ProtocolVersion, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sitepulse_model::expect::Expectation;
use sitepulse_model::record::{FactKey, Facts};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::certificate::{self, Certificate};
use crate::attempt::Attempt;

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
    /// The check brought its own bundle.
    pub(super) own_bundle: bool,
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

    /// Whether the server asked for a client certificate.
    pub(crate) fn asked_for_certificate(&self) -> bool {
        self.seen().asked.is_some()
    }
}

/// Notes everything that the certificate tells.
pub(crate) fn note(attempt: &mut Attempt<'_>, shown: &Shown) {
    let seen = shown.seen();
    let Some(leaf) = seen.chain.first() else { return };
    let facts = &mut attempt.facts;
    facts.number(FactKey::ChainLength, i64::try_from(seen.chain.len()).unwrap_or(i64::MAX));
    facts.text(FactKey::CertificateSha256, &certificate::sha256(leaf));
    if let Some(parsed) = Certificate::parse(leaf) {
        facts.certificate_expires = Some(parsed.not_after);
        facts.text(FactKey::CertificateSubject, &parsed.subject);
        facts.text(FactKey::CertificateIssuer, &parsed.issuer);
        facts.text(FactKey::CertificateNames, &parsed.names.join(", "));
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

/// Whether an assertion looks at more than the certificate's expiry.
pub(crate) fn wants_facts(expect: &[Expectation]) -> bool {
    expect.iter().any(|expectation| {
        let source = expectation.source().replace("certificate.days", "");
        ["tls.", "certificate.", "ocsp"].iter().any(|name| source.contains(name))
    })
}

/// Whom a check trusts.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// The agent's roots.
    Roots(Arc<WebPkiServerVerifier>),
    /// The check's own bundle: authorities, and servers' own certificates.
    Bundle { verifier: Arc<WebPkiServerVerifier>, pinned: Arc<[CertificateDer<'static>]> },
    /// Whatever is shown. The verifier tells which signatures are offered.
    Anyone(Arc<WebPkiServerVerifier>),
}

impl Trust {
    fn verifier(&self) -> &WebPkiServerVerifier {
        match self {
            Self::Roots(verifier) | Self::Bundle { verifier, .. } | Self::Anyone(verifier) => verifier,
        }
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
        seen.own_bundle = matches!(self.trust, Trust::Bundle { .. });
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
            Trust::Roots(verifier) | Trust::Bundle { verifier, .. } => {
                verifier.verify_tls12_signature(message, cert, dss)
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
            Trust::Roots(verifier) | Trust::Bundle { verifier, .. } => {
                verifier.verify_tls13_signature(message, cert, dss)
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
