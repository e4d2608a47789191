//! The listening side.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, Incoming, TokioRuntime, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::task::JoinSet;

use super::admission::{Admission, Place, Places};
use super::{
    ALPN, ANONYMOUS_WINDOW_BYTES, CONNECTION_WINDOW_BYTES, Connection, HANDSHAKE_TIMEOUT, provider, transport_config,
};
use crate::identity::ServerIdentity;
use crate::identity::verify::AgelessClient;

/// Most first packets that wait to be looked at.
pub const INCOMING_MAX: usize = 256;
/// Close code: the server has no place for this connection now.
pub const CLOSE_FULL: u32 = 1;

/// Length of the server's connection ids.
const CONNECTION_ID_BYTES: usize = 8;

/// Why a server cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("address {address} (UDP) is in use: stop the program that uses it, or choose another with --listen")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The port needs privileges.
    #[error("address {address} (UDP) is not allowed: use a port from 1024, or grant CAP_NET_BIND_SERVICE")]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not of this machine.
    #[error("address {address} is not one of this machine's: use one of its own, or 0.0.0.0 for all, with --listen")]
    NotOurs {
        /// The address.
        address: SocketAddr,
    },
    /// The identity cannot be used.
    #[error("cannot listen on {address}: the TLS identity is not usable: {reason}")]
    Identity {
        /// The address.
        address: SocketAddr,
        /// What is wrong.
        reason: String,
    },
    /// Something else.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl ListenError {
    /// Sorts an error of the system.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the system's errors are not ours to list")]
    pub fn from_io(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address },
            _ => Self::Io { address, source },
        }
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub connection: Connection,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The client's certificate, signed by our CA and proven by its key, but **perhaps expired**; `None` for a client without one.
    pub certificate_der: Option<Vec<u8>>,
}

/// Reset tokens that are the same in every life of the server: its peers hear at once that a restarted one forgot them, and need not
/// wait for [`super::IDLE`].
fn endpoint_config(reset_secret: &[u8; 32]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, reset_secret)));
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Random connection ids. Any of the length may be one of a former life, so none is dropped unanswered (quinn's own are keyed by a
/// secret of the process, and all others dropped); quinn limits how often it answers with a reset.
#[derive(Debug)]
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_BYTES];
        getrandom::fill(&mut id).expect("the system has randomness, or TLS would have failed before");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Whether a client's certificate (DER, signed by our CA) is one that is in force.
type IsKnown = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A listening endpoint.
pub struct Server {
    endpoint: Endpoint,
    places: Places,
    is_known: IsKnown,
    handshakes: JoinSet<Option<Accepted>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("endpoint", &self.endpoint).field("places", &self.places).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address` (UDP). Clients' certificates must be signed by the CA `ca_der`. Within a tokio runtime.
    pub fn bind(address: SocketAddr, identity: &ServerIdentity, ca_der: &[u8]) -> Result<Self, ListenError> {
        let bad_identity = |reason: String| ListenError::Identity { address, reason };
        let provider = provider();
        let clients = AgelessClient::new(ca_der, Arc::clone(&provider)).map_err(bad_identity)?;
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| bad_identity(error.to_string()))?
            .with_client_cert_verifier(Arc::new(clients))
            .with_single_cert(identity.chain.clone(), PrivateKeyDer::Pkcs8(identity.key.clone_key()))
            .map_err(|error| bad_identity(error.to_string()))?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.max_early_data_size = 0;
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        let crypto = QuicServerConfig::try_from(tls).map_err(|error| bad_identity(error.to_string()))?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        // Raised for each connection that shows a certificate that is known.
        config.transport_config(transport_config(ANONYMOUS_WINDOW_BYTES)).max_incoming(INCOMING_MAX);

        let socket = UdpSocket::bind(address).map_err(|source| ListenError::from_io(address, source))?;
        let endpoint =
            Endpoint::new(endpoint_config(&identity.reset_secret), Some(config), socket, Arc::new(TokioRuntime))
                .map_err(|source| ListenError::from_io(address, source))?;
        Ok(Self { endpoint, places: Places::default(), is_known: Arc::new(|_| true), handshakes: JoinSet::new() })
    }

    /// Asks `is_known` about each certificate after its handshake. One that is not known gets no more room than a peer without one.
    #[must_use]
    pub fn with_known(mut self, is_known: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.is_known = Arc::new(is_known);
        self
    }

    /// The address it listens on, with the port that the system chose.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// How many places are taken.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// The next connection whose handshake is done; `None` once the server is closed. Handshakes go on side by side while this is
    /// polled. Cancel safe.
    pub async fn accept(&mut self) -> Option<Accepted> {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next(), if !self.handshakes.is_empty() => match done {
                    Ok(Some(accepted)) => return Some(accepted),
                    Ok(None) => {}
                    Err(error) => tracing::error!("a handshake's task failed: {error}"),
                },
                incoming = self.endpoint.accept() => self.admit(incoming?),
            }
        }
    }

    /// Closes every connection and takes no more.
    pub fn close(&self, code: u32, reason: &str) {
        self.endpoint.close(VarInt::from_u32(code), reason.as_bytes());
    }

    /// Waits until the peers know that they are closed (or do not answer).
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    fn admit(&mut self, incoming: Incoming) {
        let peer = incoming.remote_address();
        match self.places.admit(peer.ip(), incoming.remote_address_validated()) {
            Admission::Accept(place) => {
                self.handshakes.spawn(handshake(incoming, place, self.places.clone(), Arc::clone(&self.is_known)));
            }
            Admission::Retry => {
                if let Err(error) = incoming.retry() {
                    error.into_incoming().refuse();
                }
            }
            Admission::Refuse => {
                tracing::debug!("refused {peer}: too many handshakes under way");
                incoming.refuse();
            }
        }
    }
}

/// One handshake, from its first packet to a connection with a place.
async fn handshake(incoming: Incoming, place: Place, places: Places, is_known: IsKnown) -> Option<Accepted> {
    let peer = incoming.remote_address();
    let connecting = incoming.accept().inspect_err(|error| tracing::debug!("handshake with {peer}: {error}")).ok()?;
    let quic = match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(quic)) => quic,
        Ok(Err(error)) => {
            tracing::debug!("handshake with {peer}: {error}");
            return None;
        }
        Err(_) => {
            tracing::debug!("handshake with {peer}: not done in {} s", HANDSHAKE_TIMEOUT.as_secs());
            return None;
        }
    };
    drop(place);
    let chain = quic.peer_identity().and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate_der = chain.and_then(|chain| chain.first().map(|leaf| leaf.to_vec()));
    let known = certificate_der.as_deref().is_some_and(|der| is_known(der));
    let place = if known { places.enrolled() } else { places.anonymous(quic.remote_address().ip()) };
    let Some(place) = place else {
        tracing::warn!("closed {peer}: no place for another connection");
        quic.close(
            VarInt::from_u32(CLOSE_FULL),
            b"the collector has no place for another connection: come again later",
        );
        return None;
    };
    if known {
        quic.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES));
    }
    let connection = Connection::new(quic, Some(place));
    Some(Accepted { peer: connection.peer(), connection, certificate_der })
}
