//! TLS verifiers: the pin that an agent trusts, and the client certificates that a collector takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};
use sitepulse_model::time::{SECOND_US, UtcMicros};
use thiserror::Error;

use super::{certificate_times, pin_text, spki_sha256};

/// Why an agent does not trust the server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Distrust {
    /// Its chain has another CA than the pinned one.
    #[error("the collector's CA has the pin {}, expected {}", pin_text(.presented), pin_text(.expected))]
    WrongCa {
        /// The pin we trust.
        expected: [u8; 32],
        /// The pin of the chain's last certificate.
        presented: [u8; 32],
    },
    /// The right CA, but the leaf does not verify.
    #[error("{0}")]
    Leaf(String),
}

/// Trusts a server whose chain holds the pinned CA, and whose leaf that CA signed for [`super::SERVER_NAME`].
///
/// A leaf that is not valid *yet* is taken: the pin says whom to trust, and an agent whose clock was set back must still reach its
/// collector (which tells it so).
#[derive(Debug)]
pub(crate) struct PinnedServer {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
    /// The reason, kept for the caller: QUIC passes on a text alone.
    distrust: Mutex<Option<Distrust>>,
}

impl PinnedServer {
    pub(crate) fn new(pin: [u8; 32], provider: Arc<CryptoProvider>) -> Self {
        Self { pin, provider, distrust: Mutex::new(None) }
    }

    /// Why the last verification failed.
    pub(crate) fn distrust(&self) -> Option<Distrust> {
        self.distrust.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Distrust> {
        let last = chain.last().unwrap_or(leaf);
        let presented = spki_sha256(last).map_err(|error| Distrust::Leaf(error.to_string()))?;
        let ca = chain.iter().find(|certificate| spki_sha256(certificate).is_ok_and(|pin| pin == self.pin));
        let ca = ca.ok_or(Distrust::WrongCa { expected: self.pin, presented })?;
        let leaf_error = |error: &dyn ToString| Distrust::Leaf(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned()).map_err(|error| leaf_error(&error))?;
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| leaf_error(&error))?;
        let (from, _) = certificate_times(leaf).map_err(|error| leaf_error(&error))?;
        let at = now.max(unix_time(from));
        webpki.verify_server_cert(leaf, &[], name, &[], at).map_err(|error| leaf_error(&error))
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, server_name, now).map_err(|distrust| {
            *self.distrust.lock().unwrap_or_else(PoisonError::into_inner) = Some(distrust.clone());
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust))))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes clients without a certificate, and certificates of our CA at whatever time: each is verified at its own last instant, so
/// only its age is forgiven. The session layer decides what an expired one may do (renew, nothing else).
#[derive(Debug)]
pub(crate) struct AgelessClient {
    webpki: Arc<dyn ClientCertVerifier>,
}

impl AgelessClient {
    pub(crate) fn new(ca_der: &[u8], provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca_der.to_vec())).map_err(|error| error.to_string())?;
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { webpki })
    }
}

impl ClientCertVerifier for AgelessClient {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, to) = certificate_times(end_entity).map_err(|_| bad())?;
        self.webpki.verify_client_cert(end_entity, intermediates, unix_time(to))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn unix_time(at: UtcMicros) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.0.div_euclid(SECOND_US).max(0).unsigned_abs()))
}
