//! TLS to targets: whom to trust, a fresh handshake for every run, and what a certificate says even when it is refused.
//!
//! [`Tls`] has the agent's roots, loaded once, and the configurations made of them. A check prepares a [`TlsClient`]; checks that want the
//! same share one configuration. A run takes a shallow copy with a recorder of its own, [`Shown`]: verification happens deep
//! inside rustls (and, for QUIC, in another task), and a refused certificate is not to be had from the connection afterwards. The copy is
//! a few counters and two short lists: 0.5 us, where a handshake costs 250.
//!
//! What is noted: a plain success notes the leaf's expiry alone, which keeps ten thousand results small. The rest follows for kind
//! `tls`, where an assertion or the one who asked for the run wants it, and whenever the handshake fails; then the chain as it was sent, too.
//!
//! There is no resumption and no early data: every run is a first visit, and shows the certificate. AES-128-GCM is offered first.
//!
//! Certificates are verified by webpki against the roots, the name and the clock. Revocation is known only from a stapled OCSP answer
//! that the issuer signed; nobody is asked behind the target's back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite as suite;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use sitepulse_daemon::clock;
use sitepulse_model::record::{Cause, Phase};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::attempt::{Attempt, Failure};

mod certificate;
mod client;
mod explain;
mod ocsp;
#[cfg(test)]
pub(crate) mod pki;
mod shown;

pub(crate) use client::TlsClient;
pub(crate) use explain::{explain, explain_late, span};
pub(crate) use shown::{Shown, note, wants_facts};

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

/// What all TLS probes share: the roots, and one configuration for all that want the same.
#[derive(Debug, Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    anchors: shown::Anchors,
    /// Configurations in use. An entry dies with the last check that uses it.
    prepared: Arc<Mutex<HashMap<client::Wanted, Weak<client::Prepared>>>>,
}

impl Tls {
    /// Trusts the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), or Mozilla's where the system has none.
    ///
    /// # Errors
    /// No root is usable, or rustls refuses its own defaults.
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
    ///
    /// # Errors
    /// No root is usable, or rustls refuses its own defaults.
    pub fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let anchors = shown::Anchors::new(roots, &provider).map_err(|error| TlsError::Roots(error.to_string()))?;
        // Whatever a check wants later is built on this: it must not fail then.
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        Ok(Self { provider, anchors, prepared: Arc::default() })
    }

    /// How many configurations are in use.
    #[cfg(test)]
    pub(crate) fn configurations(&self) -> usize {
        let all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|one| one.strong_count() > 0).count()
    }

    fn prepared(
        &self,
        wanted: &client::Wanted,
        make: impl FnOnce() -> Result<client::Prepared, String>,
    ) -> Result<Arc<client::Prepared>, String> {
        let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(wanted).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let made = Arc::new(make()?);
        all.retain(|_, other| other.strong_count() > 0);
        all.insert(wanted.clone(), Arc::downgrade(&made));
        Ok(made)
    }
}

/// The provider every TLS configuration of the agent uses: ring, with the cheapest suites first.
pub fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    provider
}

/// Shakes hands over `stream` with `host`, whatever the stream is: a connection, a tunnel, a dialogue that went as far as `STARTTLS`.
/// Measures the phase and notes the facts; a deadline during the handshake does not lose what the certificate said.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    attempt: &mut Attempt<'_>,
    stream: S,
    host: &str,
    client: &TlsClient,
) -> Result<TlsStream<S>, Failure> {
    let (stream, shown) = shake(attempt, stream, host, client).await?;
    if wants_facts(attempt) {
        note_connection(attempt, &stream);
        note(attempt, &shown);
    }
    Ok(stream)
}

/// As [`handshake`], and tells what the server showed.
pub(crate) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    attempt: &mut Attempt<'_>,
    stream: S,
    host: &str,
    client: &TlsClient,
) -> Result<(TlsStream<S>, Arc<Shown>), Failure> {
    let asked = client.server_name(host);
    let name = ServerName::try_from(asked.to_owned())
        .map_err(|_| Failure::new(Cause::AgentFault, Phase::Tls, format!("agent: {asked:?} is no name for tls")))?;
    let (config, shown) = client.config(attempt)?;
    attempt.begin(Phase::Tls);
    let shaken = {
        // Noted when this is dropped: after the handshake, or where a deadline cuts it.
        let noting = Noting { attempt: &mut *attempt, shown: &shown };
        let shaken = TlsConnector::from(config).connect(name, stream).await;
        drop(noting);
        shaken
    };
    attempt.end();
    match shaken {
        Ok(stream) => match shown.revoked(asked, clock::now()) {
            None => Ok((stream, shown)),
            Some(revoked) => {
                note_connection(attempt, &stream);
                note(attempt, &shown);
                Err(revoked)
            }
        },
        Err(error) => {
            note(attempt, &shown);
            Err(explain(asked, &error, &shown, clock::now()))
        }
    }
}

/// Notes what was negotiated: version, cipher, protocol.
pub(crate) fn note_connection<S>(attempt: &mut Attempt<'_>, stream: &TlsStream<S>) {
    shown::note_negotiated(&mut attempt.facts, stream.get_ref().1);
}

struct Noting<'n, 'a> {
    attempt: &'n mut Attempt<'a>,
    shown: &'n Shown,
}

impl Drop for Noting<'_, '_> {
    fn drop(&mut self) {
        if let Some(expires) = self.shown.expires() {
            self.attempt.facts.certificate_expires = Some(expires);
        }
    }
}
