//! The QUIC handshake, and what its failures mean.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, IdleTimeout, TransportConfig, TransportErrorCode, VarInt};
use sitepulse_daemon::clock;
use sitepulse_model::record::{Cause, FactKey, Phase};
use tokio::net::UdpSocket;

use super::Closing;
use crate::attempt::{Attempt, Failure};
use crate::connect::Teller;
use crate::tls::{self, Shown, TlsClient};
use crate::{connect, human_us};

/// Most bytes that the target may have in flight: what a connection buffers at most.
const WINDOW_BYTES: u32 = 256 << 10;
/// Streams that the target may open at once: control, two of QPACK, and some of the kinds to be ignored.
const STREAMS_MAX: u32 = 8;
/// How long a handshake goes without a question whether anything listens there at all.
const SILENCE: Duration = Duration::from_millis(250);

/// Shakes hands with `address` as `host`. Measures the phase and notes the facts.
pub(super) async fn shake(
    attempt: &mut Attempt<'_>,
    address: SocketAddr,
    host: &str,
    tls: &TlsClient,
) -> Result<Closing, Failure> {
    attempt.begin(Phase::Tls);
    let begun = clock::monotonic();
    let left_us = attempt.deadline.us_since(begun);
    let (config, shown) = tls.config(attempt)?;
    let config = quic_config(config, left_us)?;
    let connecting = attempt.tools.quic.connect(&config, address, tls.server_name(host))?;
    // Before the run's own deadline, which could not tell more than that a handshake was under way.
    let deadline = tokio::time::sleep(Duration::from_micros(left_us.saturating_sub(2_000)));
    let shaken = tokio::select! {
        biased;
        shaken = connecting => shaken.map_err(|error| explain(tls.server_name(host), &error, &shown)),
        error = nobody_listens(address) => Err(refused(address, &error)),
        () = deadline => {
            let within = human_us(clock::monotonic().us_since(begun).next_multiple_of(1_000));
            let text = format!("TLS: no QUIC handshake with {host} at {address} within {within}; UDP may be blocked on the way");
            Err(Failure::new(Cause::Timeout, Phase::Tls, text))
        }
    };
    attempt.end();
    attempt.facts.certificate_expires = shown.expires();
    let established = shaken.is_ok();
    let shaken = shaken
        .map(Closing)
        .and_then(|connection| shown.revoked(tls.server_name(host), clock::now()).map_or(Ok(connection), Err));
    if shaken.is_err() || tls::wants_facts(attempt) {
        tls::note(attempt, &shown);
    }
    if established && (shaken.is_err() || tls::wants_facts(attempt)) {
        attempt.facts.text(FactKey::TlsVersion, "TLSv1.3");
        attempt.facts.text(FactKey::Alpn, "h3");
    }
    shaken
}

fn quic_config(tls: Arc<rustls::ClientConfig>, left_us: u64) -> Result<ClientConfig, Failure> {
    let fault =
        |text: String| Failure::new(Cause::AgentFault, Phase::Tls, format!("agent: no QUIC with this TLS ({text})"));
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| fault(error.to_string()))?;
    let mut transport = TransportConfig::default();
    // The run's deadline comes first; this only says when quinn forgets a connection whose run is gone.
    let idle = IdleTimeout::try_from(Duration::from_micros(left_us) + Duration::from_secs(1));
    transport
        .max_idle_timeout(Some(idle.map_err(|error| fault(error.to_string()))?))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(None)
        .keep_alive_interval(None);
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Ends with the error of a machine that has no such port open, or of a router on the way; else never.
///
/// A socket shared by all runs is told nothing of the kind. So a handshake that goes slowly is asked about from a connected socket, with one
/// byte that no QUIC server answers.
async fn nobody_listens(address: SocketAddr) -> io::Error {
    let ask = async {
        tokio::time::sleep(SILENCE).await;
        let local = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(address).await?;
        socket.send(&[0]).await?;
        socket.recv(&mut [0; 1]).await
    };
    match ask.await {
        Err(error) if Teller::of(&error, address) != Teller::Agent => error,
        // Something speaks there, or we cannot ask.
        Ok(_) | Err(_) => std::future::pending().await,
    }
}

fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let mut failure = connect::connect_failure(address, error);
    failure.phase = Phase::Tls;
    if failure.cause == Cause::ConnectionRefused {
        failure.detail = format!("TLS: {address} refused the QUIC connection: nothing listens on that UDP port");
    }
    failure
}

/// Explains a failed handshake.
fn explain(host: &str, error: &ConnectionError, shown: &Shown) -> Failure {
    if let Some(refused) = shown.refused() {
        return tls::explain(host, &io::Error::new(io::ErrorKind::InvalidData, refused), shown, clock::now());
    }
    if let ConnectionError::ConnectionClosed(close) = error
        && close.error_code == TransportErrorCode::CONNECTION_REFUSED
    {
        let text = format!("TLS: {host} refused the QUIC connection");
        return Failure::new(Cause::ConnectionRefused, Phase::Tls, text);
    }
    lost(host, Phase::Tls, error)
}

/// Explains a lost connection.
pub(super) fn lost(host: &str, phase: Phase, error: &ConnectionError) -> Failure {
    let step = if phase == Phase::Tls { "TLS".to_owned() } else { phase.to_string() };
    let (cause, text) = match error {
        ConnectionError::VersionMismatch => {
            (Cause::ProtocolError, format!("{host} speaks no version of QUIC that we do (1)"))
        }
        ConnectionError::TransportError(error) => (
            if phase == Phase::Tls { Cause::TlsFailed } else { Cause::ProtocolError },
            match alert(error.code) {
                Some(alert) => format!("handshake with {host} failed ({}; alert {alert})", error.reason),
                None => format!("{host} breaks QUIC ({error})"),
            },
        ),
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(120) => (Cause::TlsFailed, format!("{host} does not offer HTTP/3 over QUIC (ALPN h3)")),
            Some(116) => (Cause::TlsFailed, format!("{host} asks for a client certificate")),
            Some(alert) => (Cause::TlsFailed, format!("{host} refused the handshake (alert {alert})")),
            None => (Cause::ConnectionReset, format!("{host} closed the connection ({close})")),
        },
        ConnectionError::ApplicationClosed(close) => {
            (Cause::ConnectionReset, format!("{host} closed the connection early ({})", close.error_code))
        }
        ConnectionError::Reset => {
            (Cause::ConnectionReset, format!("{host} does not know the connection any more (stateless reset)"))
        }
        ConnectionError::TimedOut => {
            (Cause::Timeout, format!("{host} fell silent (idle timeout of the QUIC connection)"))
        }
        ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => {
            let text = format!("agent: its QUIC socket is gone ({error}); the next run makes a new one");
            return Failure::new(Cause::AgentFault, phase, text);
        }
    };
    Failure::new(cause, phase, format!("{step}: {text}"))
}

/// The TLS alert that a QUIC error code stands for (RFC 9001, 4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    u64::from(code).checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}
