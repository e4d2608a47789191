//! The connecting side.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use super::{ALPN, CONNECTION_WINDOW_BYTES, Connection, is_tls, provider, transport_config};
use crate::exit::Exit;
use crate::identity::verify::{Distrust, PinnedServer};
use crate::identity::{SERVER_NAME, pin_text, spki_sha256};

/// How long one address is tried.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses that are tried of one name.
pub const RESOLVED_MAX: usize = 8;

/// The TLS alert "no application protocol", as a QUIC code.
const NO_APPLICATION_PROTOCOL: u64 = 0x178;
/// QUIC's CONNECTION_REFUSED.
const CONNECTION_REFUSED: u64 = 2;

/// Who we are, and whom we trust.
#[derive(Clone)]
pub enum ClientIdentity {
    /// Nobody yet: joining with a token.
    Pinned {
        /// The pin of the CA to trust.
        ca_pin: [u8; 32],
    },
    /// An enrolled agent.
    Enrolled {
        /// The CA to trust.
        ca_der: Vec<u8>,
        /// Our certificate; it may be expired.
        certificate_der: Vec<u8>,
        /// Its key.
        key_pkcs8_der: Vec<u8>,
    },
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned { .. } => "Pinned",
            Self::Enrolled { .. } => "Enrolled",
        })
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Not `host:port`.
    #[error("{address:?} is not an address: write host:port, as in collector.example:8443 or [2001:db8::1]:8443")]
    BadAddress {
        /// The address.
        address: String,
    },
    /// The name does not resolve.
    #[error("cannot resolve {address}: {source}: check the name and this machine's DNS")]
    Resolve {
        /// The address.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "cannot reach the collector at {address}: {reason}: is it running, and does every firewall on the way pass UDP to this port?"
    )]
    Unreachable {
        /// The address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Somebody else's collector, or somebody in the middle.
    #[error(
        "the collector at {address} has another CA: its pin is {}, expected {}: is it the right address? join again with a token of this collector if it was set up anew",
        pin_text(.presented), pin_text(.expected)
    )]
    WrongCa {
        /// The address.
        address: String,
        /// The pin we trust.
        expected: [u8; 32],
        /// The pin it showed.
        presented: [u8; 32],
    },
    /// The right CA, but the server's certificate does not verify.
    #[error(
        "the certificate of the collector at {address} is not valid: {reason}: check this machine's clock; restarting the collector makes a new certificate"
    )]
    Certificate {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It speaks another protocol.
    #[error("the peer at {address} does not speak SitePulse protocol 1: is it a collector, and is it up to date?")]
    Protocol {
        /// The address.
        address: String,
    },
    /// It said no.
    #[error("the collector at {address} refused the connection: {reason}")]
    Refused {
        /// The address.
        address: String,
        /// What it says.
        reason: String,
    },
    /// It has no place now.
    #[error("the collector at {address} has no place for another connection: come again later")]
    Full {
        /// The address.
        address: String,
    },
    /// Our own certificate or key cannot be used.
    #[error("this agent's identity is not usable: {reason}: join again with a new token")]
    Identity {
        /// What is wrong.
        reason: String,
    },
    /// No socket could be made.
    #[error("cannot open a UDP socket: {source}")]
    Socket {
        /// What the system says.
        source: io::Error,
    },
}

impl ConnectError {
    /// The exit code of a program that ends because of this.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::BadAddress { .. } => Exit::Config,
            Self::Resolve { .. } | Self::Unreachable { .. } | Self::Full { .. } => Exit::Unreachable,
            Self::WrongCa { .. } | Self::Certificate { .. } | Self::Protocol { .. } | Self::Refused { .. } => {
                Exit::Refused
            }
            Self::Identity { .. } => Exit::DataDir,
            Self::Socket { .. } => Exit::Failure,
        }
    }
}

/// Makes connections with one identity. Holds a socket per address family, made when first needed.
#[derive(Debug)]
pub struct Client {
    identity: ClientIdentity,
    timeout: Duration,
    v4: Mutex<Option<Endpoint>>,
    v6: Mutex<Option<Endpoint>>,
}

/// A client with an identity.
pub fn client(identity: ClientIdentity) -> Client {
    Client::new(identity)
}

impl Client {
    /// A client with an identity.
    pub fn new(identity: ClientIdentity) -> Self {
        Self { identity, timeout: CONNECT_TIMEOUT, v4: Mutex::default(), v6: Mutex::default() }
    }

    /// Sets how long one address is tried, instead of [`CONNECT_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to `host:port`: resolves the name and tries its addresses in order, at most [`RESOLVED_MAX`]. The error is the last
    /// address's, unless one was refused outright.
    pub async fn connect(&self, address: &str) -> Result<Connection, ConnectError> {
        let well_formed =
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !well_formed {
            return Err(ConnectError::BadAddress { address: address.to_owned() });
        }
        let resolved = tokio::time::timeout(self.timeout, tokio::net::lookup_host(address))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| ConnectError::Resolve { address: address.to_owned(), source })?;
        let mut last = None;
        for target in resolved.take(RESOLVED_MAX) {
            match self.connect_to(address, target).await {
                Ok(connection) => return Ok(connection),
                Err(error @ (ConnectError::Unreachable { .. } | ConnectError::Socket { .. })) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            let source = io::Error::other("the name has no addresses");
            ConnectError::Resolve { address: address.to_owned(), source }
        }))
    }

    /// Waits until every closed connection has told its peer so, at most `max`. For a program that is about to end.
    pub async fn leave(&self, max: Duration) {
        let endpoints = [&self.v4, &self.v6].map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let idle = async {
            for endpoint in endpoints.iter().flatten() {
                endpoint.wait_idle().await;
            }
        };
        // What has not left by then is found out by the peer's own timeout.
        drop(tokio::time::timeout(max, idle).await);
    }

    async fn connect_to(&self, address: &str, target: SocketAddr) -> Result<Connection, ConnectError> {
        let (config, verifier) = self.config()?;
        let endpoint = self.endpoint(target)?;
        let named = if address == target.to_string() { address.to_owned() } else { format!("{address} ({target})") };
        let unreachable = |reason: String| ConnectError::Unreachable { address: named.clone(), reason };
        let connecting =
            endpoint.connect_with(config, target, SERVER_NAME).map_err(|error| unreachable(error.to_string()))?;
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(quic)) => Ok(Connection::new(quic, None)),
            Ok(Err(error)) => Err(match verifier.distrust() {
                Some(Distrust::WrongCa { expected, presented }) => {
                    ConnectError::WrongCa { address: named, expected, presented }
                }
                Some(Distrust::Leaf(reason)) => ConnectError::Certificate { address: named, reason },
                None => handshake_error(named, error),
            }),
            Err(_) => Err(unreachable(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }

    fn config(&self) -> Result<(quinn::ClientConfig, Arc<PinnedServer>), ConnectError> {
        let identity = |reason: String| ConnectError::Identity { reason };
        let provider = provider();
        let pin = match &self.identity {
            ClientIdentity::Pinned { ca_pin } => *ca_pin,
            ClientIdentity::Enrolled { ca_der, .. } => {
                spki_sha256(ca_der).map_err(|error| identity(error.to_string()))?
            }
        };
        let verifier = Arc::new(PinnedServer::new(pin, Arc::clone(&provider)));
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| identity(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>);
        let mut tls = match &self.identity {
            ClientIdentity::Pinned { .. } => builder.with_no_client_auth(),
            ClientIdentity::Enrolled { certificate_der, key_pkcs8_der, .. } => {
                let chain = vec![CertificateDer::from(certificate_der.clone())];
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pkcs8_der.clone()));
                builder.with_client_auth_cert(chain, key).map_err(|error| identity(error.to_string()))?
            }
        };
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.enable_early_data = false;
        tls.resumption = Resumption::disabled();
        let crypto = QuicClientConfig::try_from(tls).map_err(|error| identity(error.to_string()))?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(transport_config(CONNECTION_WINDOW_BYTES));
        Ok((config, verifier))
    }

    fn endpoint(&self, target: SocketAddr) -> Result<Endpoint, ConnectError> {
        let (slot, any) = match target {
            SocketAddr::V4(_) => (&self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &*slot {
            return Ok(endpoint.clone());
        }
        let endpoint = Endpoint::client(any).map_err(|source| ConnectError::Socket { source })?;
        *slot = Some(endpoint.clone());
        Ok(endpoint)
    }
}

fn handshake_error(address: String, error: ConnectionError) -> ConnectError {
    let code = match &error {
        ConnectionError::ConnectionClosed(close) => Some(close.error_code),
        ConnectionError::TransportError(error) => Some(error.code),
        ConnectionError::ApplicationClosed(_)
        | ConnectionError::VersionMismatch
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => None,
    };
    match code {
        Some(code) if u64::from(code) == NO_APPLICATION_PROTOCOL => ConnectError::Protocol { address },
        Some(code) if u64::from(code) == CONNECTION_REFUSED => ConnectError::Full { address },
        Some(code) if is_tls(code) => ConnectError::Refused { address, reason: error.to_string() },
        Some(_) | None => match error {
            ConnectionError::VersionMismatch => ConnectError::Protocol { address },
            ConnectionError::ApplicationClosed(close) => ConnectError::Refused { address, reason: close.to_string() },
            ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => ConnectError::Unreachable { address, reason: error.to_string() },
        },
    }
}
