//! Frames over QUIC: mutual TLS 1.3 between agent and collector, and the bounds that keep a flood from mattering.
//!
//! Limits, per connection: [`STREAMS_MAX`] streams, [`STREAM_WINDOW_BYTES`] unread bytes per stream, [`CONNECTION_WINDOW_BYTES`] in
//! all ([`ANONYMOUS_WINDOW_BYTES`] without a client certificate), no datagrams, no 0-RTT, no session resumption. Per server:
//! [`CONNECTIONS_MAX`] connections with a certificate, [`admission::ANONYMOUS_MAX`] without,
//! [`admission::HANDSHAKES_MAX`] handshakes under way, and above [`admission::RETRY_ABOVE`] of them every newcomer must first show
//! that it receives what is sent to its address.

pub mod admission;
pub mod client;
pub mod server;
pub mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};
use rustls::crypto::CryptoProvider;
use sitepulse_wire::frame::Message;
use thiserror::Error;

pub use client::{Client, ClientIdentity, ConnectError};
pub use server::{Accepted, ListenError, Server};
pub use stream::{FrameReceiver, FrameSender, FrameStream, StreamError, StreamPriority};

/// The application protocol of TLS.
pub const ALPN: &[u8] = b"sitepulse/1";
/// Most streams that a peer may have open.
pub const STREAMS_MAX: u32 = 4;
/// Most unread bytes of one stream.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Most unread bytes of a connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Most unread bytes of a connection without a client certificate.
pub const ANONYMOUS_WINDOW_BYTES: u32 = 64 << 10;
/// Most bytes sent and not yet acknowledged by the peer's transport.
pub const SEND_WINDOW_BYTES: u64 = 4 << 20;
/// Most connections of a server with a client certificate.
pub const CONNECTIONS_MAX: usize = 1024;
/// How often an idle connection says that it lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// After how much silence a connection is dead.
pub const IDLE: Duration = Duration::from_secs(30);
/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection between two programs that know each other (or are about to: without a client certificate, only joining works).
/// Clones share it; it closes when the last one and all streams are gone.
#[derive(Debug, Clone)]
pub struct Connection {
    quic: quinn::Connection,
    /// Gives the connection's place back when the last clone and the last stream go.
    place: Option<Arc<admission::Place>>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectionLost {
    /// The peer's program closed it.
    #[error("closed by the peer (code {code}): {reason}")]
    Closed {
        /// The code given to [`Connection::close`].
        code: u32,
        /// The reason given to [`Connection::close`].
        reason: String,
    },
    /// The peer's TLS refused us: most often, it does not accept our certificate.
    #[error("refused by the peer's TLS: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// Nothing was heard for [`IDLE`].
    #[error("nothing heard from the peer for {} s", IDLE.as_secs())]
    TimedOut,
    /// The peer does not know the connection (any more): it was restarted.
    #[error("reset by the peer: it was restarted")]
    Reset,
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// QUIC itself failed.
    #[error("transport failed: {reason}")]
    Transport {
        /// What it says.
        reason: String,
    },
}

impl From<quinn::ConnectionError> for ConnectionLost {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        match error {
            E::ApplicationClosed(close) => Self::Closed {
                code: u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            E::ConnectionClosed(close) if is_tls(close.error_code) => Self::Refused { reason: close.to_string() },
            E::ConnectionClosed(close) => Self::Transport { reason: close.to_string() },
            E::TimedOut => Self::TimedOut,
            E::Reset => Self::Reset,
            E::LocallyClosed => Self::Local,
            E::TransportError(error) => Self::Transport { reason: error.to_string() },
            E::VersionMismatch | E::CidsExhausted => Self::Transport { reason: error.to_string() },
        }
    }
}

/// Whether a QUIC error code carries a TLS alert.
pub(crate) fn is_tls(code: quinn::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

impl Connection {
    fn new(quic: quinn::Connection, place: Option<admission::Place>) -> Self {
        Self { quic, place: place.map(Arc::new) }
    }

    /// The peer's address now; it may change within a connection.
    pub fn peer(&self) -> SocketAddr {
        let address = self.quic.remote_address();
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// The round trip time as measured.
    pub fn round_trip(&self) -> Duration {
        self.quic.rtt()
    }

    /// Datagrams that came from the peer so far.
    pub fn received_datagrams(&self) -> u64 {
        self.quic.stats().udp_rx.datagrams
    }

    /// Opens a stream. Waits while [`STREAMS_MAX`] are open. The peer sees it with the first message.
    pub async fn open_stream<In: Message, Out: Message>(
        &self,
        priority: StreamPriority,
    ) -> Result<FrameStream<In, Out>, StreamError> {
        let (send, receive) = self.quic.open_bi().await.map_err(|error| StreamError::Lost(error.into()))?;
        let mut stream = FrameStream::new(send, receive, self.place.clone());
        stream.set_priority(priority);
        Ok(stream)
    }

    /// The next stream that the peer opened. Cancel safe.
    pub async fn accept_stream<In: Message, Out: Message>(&self) -> Result<FrameStream<In, Out>, StreamError> {
        let (send, receive) = self.quic.accept_bi().await.map_err(|error| StreamError::Lost(error.into()))?;
        Ok(FrameStream::new(send, receive, self.place.clone()))
    }

    /// Closes at once; what was sent and not yet received may be lost.
    pub fn close(&self, code: u32, reason: &str) {
        self.quic.close(VarInt::from_u32(code), reason.as_bytes());
    }

    /// Waits until the connection has ended, says how.
    pub async fn closed(&self) -> ConnectionLost {
        self.quic.closed().await.into()
    }
}

/// Transport parameters of both sides.
fn transport_config(window_bytes: u32) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(window_bytes))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE.as_millis() as u32))));
    Arc::new(config)
}

/// The one cryptography provider, always passed explicitly.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
