//! TLS to targets: the system's roots, one shared configuration, and what a certificate says even when it is refused.

use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sitepulse_daemon::clock;
use sitepulse_model::check::TlsOptions;
use sitepulse_model::record::{Cause, Phase};
use sitepulse_model::time::{SECOND_US, UtcMicros};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::attempt::{Attempt, Failure};
use crate::connect;

/// Why no TLS configuration can be made.
#[derive(Debug, Error)]
pub enum TlsError {
    /// No root certificate is usable.
    #[error("no usable root certificates: {0}; install ca-certificates or set SSL_CERT_FILE")]
    Roots(String),
    /// rustls refuses its own defaults.
    #[error("cannot set up tls: {0}")]
    Config(#[from] rustls::Error),
}

/// The configuration that all TLS probes share.
#[derive(Debug, Clone)]
pub struct Tls {
    base: Arc<ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Tls {
    /// Trusts the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), or Mozilla's where the system has none.
    pub fn from_system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Self::with_roots(roots)
    }

    /// Trusts `roots` alone.
    pub fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| TlsError::Roots(error.to_string()))?;
        let mut base = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_verifier(verifier.clone())
            .with_no_client_auth();
        // Every probe is a first visit: a resumed session would hide the cost and the certificate.
        base.resumption = rustls::client::Resumption::disabled();
        base.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { base: Arc::new(base), verifier })
    }

    /// A configuration for one probe that remembers the certificate it was shown.
    pub(crate) fn for_probe(&self) -> (Arc<ClientConfig>, Arc<Shown>) {
        let shown = Arc::new(Shown::default());
        let mut config = ClientConfig::clone(&self.base);
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(Watching { inner: self.verifier.clone(), shown: shown.clone() }));
        (Arc::new(config), shown)
    }
}

/// The leaf certificate that a server showed, trusted or not.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    leaf: Mutex<Option<Vec<u8>>>,
}

impl Shown {
    fn leaf(&self) -> Option<Vec<u8>> {
        self.leaf.lock().ok()?.clone()
    }

    /// When it expires.
    pub(crate) fn expires(&self) -> Option<UtcMicros> {
        let leaf = self.leaf()?;
        let (_, certificate) = X509Certificate::from_der(&leaf).ok()?;
        Some(UtcMicros(certificate.validity().not_after.timestamp().saturating_mul(SECOND_US)))
    }

    fn starts(&self) -> Option<UtcMicros> {
        let leaf = self.leaf()?;
        let (_, certificate) = X509Certificate::from_der(&leaf).ok()?;
        Some(UtcMicros(certificate.validity().not_before.timestamp().saturating_mul(SECOND_US)))
    }

    fn names(&self) -> Vec<String> {
        let Some(leaf) = self.leaf() else { return Vec::new() };
        let Ok((_, certificate)) = X509Certificate::from_der(&leaf) else { return Vec::new() };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let dns = names
            .value
            .general_names
            .iter()
            .filter_map(|name| if let GeneralName::DNSName(dns) = name { Some((*dns).to_owned()) } else { None });
        dns.take(3).collect()
    }
}

/// Delegates to webpki and remembers the leaf.
#[derive(Debug)]
struct Watching {
    inner: Arc<WebPkiServerVerifier>,
    shown: Arc<Shown>,
}

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut leaf) = self.shown.leaf.lock() {
            *leaf = Some(end_entity.to_vec());
        }
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The provider every TLS configuration of the agent uses.
pub fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// How one check does TLS: prepared once, used by each of its runs.
#[derive(Debug)]
pub(crate) struct TlsClient {}

impl TlsClient {
    /// Prepares what `options` ask for, offering `alpn`, preferred first.
    pub(crate) fn new(_options: &TlsOptions, _alpn: &[&str]) -> Result<Self, String> {
        Ok(Self {})
    }
}

/// Shakes hands over `stream` with `host`. Measures the phase and notes the facts; a deadline during the handshake does not lose what
/// the certificate said.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    attempt: &mut Attempt<'_>,
    stream: S,
    host: &str,
    _client: &TlsClient,
) -> Result<TlsStream<S>, Failure> {
    attempt.begin(Phase::Tls);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::new(Cause::AgentFault, Phase::Tls, format!("agent: {host:?} is no name for tls")))?;
    let (config, shown) = attempt.tools.tls.for_probe();
    let handshake = TlsConnector::from(config).connect(name, stream).await;
    attempt.end();
    attempt.facts.certificate_expires = shown.expires();
    handshake.map_err(|error| explain(host, &error, &shown, clock::now()))
}

/// Explains a failed handshake in one line.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enums: the rest is told as it is")]
pub(crate) fn explain(host: &str, error: &std::io::Error, shown: &Shown, now: UtcMicros) -> Failure {
    if connect::is_agent_fault(error) {
        return connect::agent_fault(Phase::Tls, error);
    }
    let invalid = |text: String| Failure::new(Cause::CertificateInvalid, Phase::Tls, format!("TLS: {text}"));
    let failed = |text: String| Failure::new(Cause::TlsFailed, Phase::Tls, format!("TLS: {text}"));
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe => Failure::new(
                Cause::ConnectionReset,
                Phase::Tls,
                format!("TLS: {host} reset the connection during the handshake"),
            ),
            std::io::ErrorKind::UnexpectedEof => Failure::new(
                Cause::ConnectionReset,
                Phase::Tls,
                format!("TLS: {host} closed the connection during the handshake"),
            ),
            _ => failed(format!("handshake with {host} failed ({})", connect::plain(error))),
        };
    };
    match tls {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => invalid(match shown.expires() {
                Some(at) => format!("certificate for {host} expired {} ago", span(now.us_since(at))),
                None => format!("certificate for {host} is expired"),
            }),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                invalid(match shown.starts() {
                    Some(at) => format!("certificate for {host} is valid only in {}", span(at.us_since(now))),
                    None => format!("certificate for {host} is not valid yet"),
                })
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let names = shown.names();
                let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
                invalid(format!("certificate is not for {host} (it is for {names})"))
            }
            // A bad signature is a trusted name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                invalid(format!("certificate for {host} is from an issuer that this machine does not trust"))
            }
            CertificateError::Revoked => invalid(format!("certificate for {host} is revoked")),
            other => invalid(format!("certificate for {host} is invalid ({other})")),
        },
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            failed(format!("{host} refused the handshake: no protocol version or cipher in common"))
        }
        rustls::Error::AlertReceived(alert) => failed(format!("{host} refused the handshake ({alert:?})")),
        rustls::Error::InvalidMessage(_) => failed(format!("{host} does not speak TLS on this port")),
        other => failed(format!("handshake with {host} failed ({other})")),
    }
}

/// A long duration for people, in its largest unit.
fn span(us: i64) -> String {
    let seconds = us.max(0) / SECOND_US;
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
