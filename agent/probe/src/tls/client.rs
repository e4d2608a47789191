//! How one check does TLS: its options, judged when the check is prepared, and the configuration of each run.

use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sitepulse_model::check::{SecretText, TlsOptions};
use sitepulse_model::record::{Cause, Phase};
use zeroize::Zeroizing;

use super::Tls;
use super::shown::{Anchors, Recorder, Shown, Trust};
use crate::attempt::{Attempt, Failure};

/// Most certificates in a check's own bundle.
const BUNDLE_MAX: usize = 200;

/// How one check does TLS: prepared once, used by each of its runs. Small: ten thousand of them differ in nothing but their host.
#[derive(Debug)]
pub(crate) struct TlsClient {
    /// `None` is the default.
    options: Option<Box<TlsOptions>>,
    /// Protocols to offer, each after its length, as they travel.
    alpn: Box<[u8]>,
    /// The configuration of the last run.
    last: Mutex<Option<Arc<Prepared>>>,
}

/// Which client certificate: the SHA-256 of its PEM texts. A secret that changes makes another configuration.
type Identity = [u8; SHA256_OUTPUT_LEN];

/// What makes two configurations the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    alpn: Box<[u8]>,
    ca: Option<String>,
    insecure: bool,
    identity: Option<Identity>,
}

/// A configuration that many checks share.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The client certificate it has.
    identity: Option<Identity>,
    config: ClientConfig,
    trust: Trust,
    certificate: Option<Arc<dyn ResolvesClientCert>>,
}

impl TlsClient {
    /// Prepares what `options` ask for, offering `alpn`, preferred first.
    ///
    /// # Errors
    /// An option that cannot be used, by its key, with the remedy.
    pub(crate) fn new(options: &TlsOptions, alpn: &[&str]) -> Result<Self, String> {
        if let Some(ca) = &options.ca {
            bundle(ca)?;
        }
        if let Some(name) = &options.server_name
            && rustls_pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            return Err(format!("tls.server_name: {name:?} is neither a host name nor an address"));
        }
        if options.client_certificate.is_some() != options.client_key.is_some() {
            return Err("tls: client_certificate and client_key go together; give both or none".to_owned());
        }
        let mut wire = Vec::new();
        for protocol in alpn {
            let length = u8::try_from(protocol.len()).ok().filter(|length| *length > 0);
            let length = length.ok_or_else(|| format!("alpn: {protocol:?} is not of 1 to 255 bytes"))?;
            wire.push(length);
            wire.extend_from_slice(protocol.as_bytes());
        }
        let plain = *options == TlsOptions::default();
        Ok(Self {
            options: if plain { None } else { Some(Box::new(options.clone())) },
            alpn: wire.into(),
            last: Mutex::new(None),
        })
    }

    /// The name to ask for and to verify when talking to `host`.
    pub(crate) fn server_name<'a>(&'a self, host: &'a str) -> &'a str {
        self.options.as_ref().and_then(|options| options.server_name.as_deref()).unwrap_or(host)
    }

    /// A configuration for one connection, and the recorder of what the server shows on it. For QUIC too: TLS 1.3 and
    /// `TLS13_AES_128_GCM_SHA256` are always among what is offered.
    ///
    /// # Errors
    /// A secret is missing, or is no certificate: the agent's side, not the target's.
    pub(crate) fn config(&self, attempt: &mut Attempt<'_>) -> Result<(Arc<ClientConfig>, Arc<Shown>), Failure> {
        let prepared = self.prepared(attempt)?;
        let mut config = prepared.config.clone();
        let shown = Arc::new(Shown::default());
        attempt.evidence.shown = Some(shown.clone());
        let recorder = Arc::new(Recorder::new(prepared.trust.clone(), prepared.certificate.clone(), shown.clone()));
        config.dangerous().set_certificate_verifier(recorder.clone());
        config.client_auth_cert_resolver = recorder;
        Ok((Arc::new(config), shown))
    }

    fn prepared(&self, attempt: &Attempt<'_>) -> Result<Arc<Prepared>, Failure> {
        let pems = match self.options.as_ref().map(|options| (&options.client_certificate, &options.client_key)) {
            Some((Some(certificate), Some(key))) => Some(Pems::resolve(attempt, certificate, key)?),
            Some(_) | None => None,
        };
        let identity = pems.as_ref().map(Pems::identity);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = last.as_ref().filter(|prepared| prepared.identity == identity) {
            return Ok(prepared.clone());
        }
        let tls = &attempt.tools.tls;
        let made = tls.prepared(&self.wanted(identity), || self.make(tls, pems.as_ref()));
        let made = made.map_err(|reason| Failure::new(Cause::AgentFault, Phase::Tls, format!("agent: {reason}")))?;
        *last = Some(made.clone());
        Ok(made)
    }

    fn wanted(&self, identity: Option<Identity>) -> Wanted {
        let ca = self.options.as_ref().and_then(|options| options.ca.clone());
        let insecure = self.options.as_ref().is_some_and(|options| options.insecure);
        Wanted { alpn: self.alpn.clone(), ca, insecure, identity }
    }

    fn make(&self, tls: &Tls, pems: Option<&Pems>) -> Result<Prepared, String> {
        let trust = match self.options.as_deref() {
            Some(TlsOptions { insecure: true, .. }) => Trust::Anyone(tls.anchors.clone()),
            Some(TlsOptions { ca: Some(ca), .. }) => {
                let pinned = bundle(ca)?;
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(pinned.iter().cloned());
                let anchors = Anchors::new(roots, &tls.provider).map_err(|error| format!("tls.ca: {error}"))?;
                Trust::Bundle { anchors, pinned: pinned.into() }
            }
            Some(_) | None => Trust::Roots(tls.anchors.clone()),
        };
        let certificate = pems.map(|pems| pems.key(&tls.provider)).transpose()?;
        let verifier: Arc<dyn ServerCertVerifier> = tls.anchors.verifier.clone();
        let mut config = ClientConfig::builder_with_provider(tls.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            // Replaced by each run's recorder.
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols(&self.alpn);
        Ok(Prepared { identity: pems.map(Pems::identity), config, trust, certificate })
    }
}

/// The PEM texts of a client certificate and its key, wiped after use.
struct Pems {
    certificate: Zeroizing<String>,
    key: Zeroizing<String>,
}

impl Pems {
    fn resolve(attempt: &Attempt<'_>, certificate: &SecretText, key: &SecretText) -> Result<Self, Failure> {
        let resolve = |text| attempt.secrets.resolve(text).map(Zeroizing::new);
        Ok(Self { certificate: resolve(certificate)?, key: resolve(key)? })
    }

    fn identity(&self) -> Identity {
        let mut both = [0; 2 * SHA256_OUTPUT_LEN];
        both[..SHA256_OUTPUT_LEN].copy_from_slice(digest(&SHA256, self.certificate.as_bytes()).as_ref());
        both[SHA256_OUTPUT_LEN..].copy_from_slice(digest(&SHA256, self.key.as_bytes()).as_ref());
        let mut identity = [0; SHA256_OUTPUT_LEN];
        identity.copy_from_slice(digest(&SHA256, &both).as_ref());
        identity
    }

    /// Errors never quote the texts.
    fn key(&self, provider: &CryptoProvider) -> Result<Arc<dyn ResolvesClientCert>, String> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "tls.client_certificate: it is no valid PEM".to_owned())?;
        if chain.is_empty() {
            return Err("tls.client_certificate: it has no certificate; give the chain in PEM, leaf first".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|_| "tls.client_key: it is no private key in PEM, unencrypted".to_owned())?;
        let key = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| format!("tls.client_key: it cannot be used ({error})"))?;
        Ok(Arc::new(SingleCertAndKey::from(key)))
    }
}

/// The certificates of a PEM bundle: at least one, each usable as a root.
fn bundle(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(BUNDLE_MAX + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("tls.ca: it is no valid PEM ({error})"))?;
    if certificates.is_empty() {
        return Err("tls.ca: it has no certificate; give one or more in PEM".to_owned());
    }
    if certificates.len() > BUNDLE_MAX {
        return Err(format!("tls.ca: it has over {BUNDLE_MAX} certificates"));
    }
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates.iter().enumerate() {
        roots
            .add(certificate.clone())
            .map_err(|error| format!("tls.ca: certificate {} cannot be used ({error})", at + 1))?;
    }
    Ok(certificates)
}

fn protocols(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some((length, rest)) = wire.split_first() {
        let (one, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        all.push(one.to_vec());
        wire = rest;
    }
    all
}
