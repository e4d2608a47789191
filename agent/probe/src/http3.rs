//! HTTP/3: one request over a QUIC connection of its own.
//!
//! QUIC connects and shakes hands in one: the whole of it is the phase `tls`, and `connect` is absent. There is no resumption, no 0-RTT and
//! no fallback to another HTTP.
//!
//! Limits: [`HEADER_BYTES_MAX`] of decoded headers, [`INTERIM_MAX`] interim answers, [`STALLED_BYTES_MAX`] received without a piece of the body,
//! [`RECEIVED_BYTES_MAX`] received in all. The two last ones are counted in datagrams: h3 buffers each frame as a whole before it judges it, so the
//! length of a frame cannot be left to it.
//!
//! Architecture invariant: an exchange is dropped with everything it holds, and dropping it closes the connection. Only the sockets
//! ([`Endpoints`]) and their drivers live longer; quinn's task of a closed connection ends by itself after three probe timeouts.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::{Code, ConnectionError as H3Error, LocalError, StreamError};
use h3_quinn::{OpenStreams, RecvStream};
use hyper::header::{CONNECTION, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::http::response::Parts;
use hyper::{Request, Response};
use quinn::VarInt;
use sitepulse_model::record::{Cause, FactKey, Phase};

use crate::attempt::{Attempt, Failure};
use crate::tls::TlsClient;

mod endpoint;
mod handshake;

pub use endpoint::Endpoints;

/// What TLS offers for HTTP/3.
pub(crate) const ALPN: &[&str] = &["h3"];

/// Most bytes of decoded headers, counted as RFC 9114 does (32 more for each line).
pub const HEADER_BYTES_MAX: u64 = 64 << 10;
/// Most interim (1xx) answers before the final one.
pub const INTERIM_MAX: usize = 16;
/// Most bytes received while the body does not go on.
pub const STALLED_BYTES_MAX: u64 = 512 << 10;
/// Most bytes received after the handshake, all in all.
pub const RECEIVED_BYTES_MAX: u64 = 2 << 20;

/// An answer whose head came. Dropping it closes the connection.
pub(crate) struct Incoming {
    /// Status and headers.
    pub(crate) parts: Parts,
    host: String,
    stream: RequestStream<RecvStream, Bytes>,
    wire: Wire,
}

/// Sends `request` to `address` over a new connection and waits for the head of the answer.
///
/// The URI of `request` is absolute. Headers that belong to an HTTP/1 connection are left out.
pub(crate) async fn send(
    attempt: &mut Attempt<'_>,
    address: SocketAddr,
    host: &str,
    request: Request<Bytes>,
    tls: &TlsClient,
) -> Result<Incoming, Failure> {
    let connection = handshake::shake(attempt, address, host, tls).await?;
    attempt.begin(Phase::Send);
    let (head, body) = lower(request);
    let (driver, sender) = h3::client::builder()
        .max_field_section_size(HEADER_BYTES_MAX)
        .send_grease(false)
        .build(h3_quinn::Connection::new(connection.0.clone()))
        .await
        .map_err(|error| connection_failure(host, Phase::Send, &connection.0, &error))?;
    let mut wire = Wire::new(connection, driver, sender);
    let mut sender = wire.sender.clone();
    let stream = {
        let mut opening = pin!(sender.send_request(head));
        std::future::poll_fn(|context| {
            wire.drive(context);
            opening.as_mut().poll(context)
        })
        .await
    };
    let stream = stream.map_err(|error| stream_failure(host, Phase::Send, &wire, &error))?;
    let (mut up, mut down) = stream.split();
    let answered = {
        let mut sending = pin!(async {
            if !body.is_empty() {
                up.send_data(body).await?;
            }
            up.finish().await
        });
        let mut receiving = pin!(final_response(&mut down));
        let mut sent = false;
        std::future::poll_fn(|context| {
            wire.drive(context);
            // A server may answer before it has the whole request, and stop it: its answer counts.
            if !sent && sending.as_mut().poll(context).is_ready() {
                sent = true;
                attempt.begin(Phase::FirstByte);
            }
            match receiving.as_mut().poll(context) {
                Poll::Ready(answered) => Poll::Ready(answered),
                Poll::Pending => {
                    wire.overrun().map_or(Poll::Pending, |bytes| Poll::Ready(Err(Trouble::Overrun(bytes))))
                }
            }
        })
        .await
    };
    let phase = attempt.phase();
    let response = answered.map_err(|trouble| trouble.explain(host, phase, &wire))?;
    attempt.begin(Phase::Transfer);
    let (parts, ()) = response.into_parts();
    attempt.facts.status = Some(parts.status.as_u16());
    attempt.facts.text(FactKey::HttpVersion, "HTTP/3");
    wire.progress();
    Ok(Incoming { parts, host: host.to_owned(), stream: down, wire })
}

impl Incoming {
    /// The next piece of the body as it was sent (coded, if the headers say so); `None` at its end.
    pub(crate) async fn data(&mut self, attempt: &mut Attempt<'_>) -> Result<Option<Bytes>, Failure> {
        let Self { stream, wire, host, .. } = self;
        let received = std::future::poll_fn(|context| {
            wire.drive(context);
            match stream.poll_recv_data(context) {
                Poll::Ready(piece) => Poll::Ready(
                    piece
                        .map(|piece| piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())))
                        .map_err(Trouble::Stream),
                ),
                Poll::Pending => {
                    wire.overrun().map_or(Poll::Pending, |bytes| Poll::Ready(Err(Trouble::Overrun(bytes))))
                }
            }
        })
        .await;
        match received {
            Ok(Some(_)) if wire.received() > RECEIVED_BYTES_MAX => {
                attempt.end();
                Err(Trouble::Overrun(RECEIVED_BYTES_MAX).explain(host, Phase::Transfer, wire))
            }
            Ok(piece) => {
                wire.progress();
                Ok(piece)
            }
            Err(trouble) => {
                attempt.end();
                Err(trouble.explain(host, Phase::Transfer, wire))
            }
        }
    }
}

/// Waits for the first answer that is not an interim one.
async fn final_response(stream: &mut RequestStream<RecvStream, Bytes>) -> Result<Response<()>, Trouble> {
    for _ in 0..=INTERIM_MAX {
        let response = stream.recv_response().await.map_err(Trouble::Stream)?;
        if !response.status().is_informational() {
            return Ok(response);
        }
    }
    Err(Trouble::Interim)
}

/// The request without what HTTP/3 forbids (RFC 9114, 4.2).
fn lower(request: Request<Bytes>) -> (Request<()>, Bytes) {
    const HOP: [HeaderName; 5] = [CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE];
    let (mut parts, body) = request.into_parts();
    for name in HOP {
        parts.headers.remove(name);
    }
    parts.headers.remove("keep-alive");
    parts.headers.remove("proxy-connection");
    parts.version = hyper::Version::HTTP_3;
    (Request::from_parts(parts, ()), body)
}

/// A QUIC connection that is closed when it is dropped.
struct Closing(quinn::Connection);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close(VarInt::from_u32(0x100), b"");
    }
}

/// The connection under an exchange, with what was received over it.
struct Wire {
    // Dropped first: the sender would close the connection as an error.
    connection: Closing,
    driver: h3::client::Connection<h3_quinn::Connection, Bytes>,
    sender: SendRequest<OpenStreams, Bytes>,
    over: bool,
    /// Bytes received when the handshake was done, and when the answer went on last.
    begun: u64,
    progressed: u64,
}

impl Wire {
    fn new(
        connection: Closing,
        driver: h3::client::Connection<h3_quinn::Connection, Bytes>,
        sender: SendRequest<OpenStreams, Bytes>,
    ) -> Self {
        let begun = connection.0.stats().udp_rx.bytes;
        Self { connection, driver, sender, over: false, begun, progressed: begun }
    }

    /// Attends to the connection's own streams. Its end shows in the request's stream.
    fn drive(&mut self, context: &mut Context<'_>) {
        if !self.over {
            self.over = self.driver.poll_close(context).is_ready();
        }
    }

    fn received(&self) -> u64 {
        self.connection.0.stats().udp_rx.bytes.saturating_sub(self.begun)
    }

    fn progress(&mut self) {
        self.progressed = self.connection.0.stats().udp_rx.bytes;
    }

    /// The limit that the target went over, in bytes.
    fn overrun(&self) -> Option<u64> {
        let now = self.connection.0.stats().udp_rx.bytes;
        if now.saturating_sub(self.progressed) > STALLED_BYTES_MAX {
            Some(STALLED_BYTES_MAX)
        } else if now.saturating_sub(self.begun) > RECEIVED_BYTES_MAX {
            Some(RECEIVED_BYTES_MAX)
        } else {
            None
        }
    }
}

/// What ends an exchange.
enum Trouble {
    Stream(StreamError),
    Interim,
    Overrun(u64),
}

impl Trouble {
    fn explain(self, host: &str, phase: Phase, wire: &Wire) -> Failure {
        match self {
            Self::Stream(error) => stream_failure(host, phase, wire, &error),
            Self::Interim => {
                let text = format!("{phase}: {host} sent over {INTERIM_MAX} interim answers and no final one");
                Failure::new(Cause::ProtocolError, phase, text)
            }
            Self::Overrun(bytes) => {
                let text = if phase == Phase::Transfer {
                    format!("{phase}: {host} sent over {bytes} bytes beside its answer's body")
                } else {
                    format!(
                        "{phase}: {host} sent over {bytes} bytes and no answer; headers may have {HEADER_BYTES_MAX}"
                    )
                };
                Failure::new(Cause::ProtocolError, phase, text)
            }
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest is told as it is")]
fn stream_failure(host: &str, phase: Phase, wire: &Wire, error: &StreamError) -> Failure {
    let protocol = |text: String| Failure::new(Cause::ProtocolError, phase, format!("{phase}: {text}"));
    match error {
        StreamError::HeaderTooBig { .. } if phase == Phase::Send => {
            protocol(format!("{host} takes no request with headers this long"))
        }
        StreamError::HeaderTooBig { .. } => protocol(format!("{host} sent headers over {HEADER_BYTES_MAX} bytes")),
        StreamError::RemoteTerminate { code, .. } => Failure::new(
            Cause::ConnectionReset,
            phase,
            format!("{phase}: {host} reset the stream of the request ({code})"),
        ),
        StreamError::RemoteClosing { .. } => {
            Failure::new(Cause::ConnectionReset, phase, format!("{phase}: {host} is closing the connection (GOAWAY)"))
        }
        StreamError::StreamError { reason, .. } => {
            protocol(format!("the answer of {host} breaks HTTP/3 ({})", reason.to_lowercase()))
        }
        StreamError::ConnectionError { 0: error, .. } => connection_failure(host, phase, &wire.connection.0, error),
        other => protocol(format!("the answer of {host} breaks HTTP/3 ({other})")),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest is told as it is")]
fn connection_failure(host: &str, phase: Phase, connection: &quinn::Connection, error: &H3Error) -> Failure {
    let text = match error {
        H3Error::Local { error: LocalError::Application { code, reason, .. }, .. } if *code != Code::H3_NO_ERROR => {
            format!("{phase}: the answer of {host} breaks HTTP/3 ({})", reason.to_lowercase())
        }
        other => match connection.close_reason() {
            Some(reason) => return handshake::lost(host, phase, &reason),
            None => format!("{phase}: the answer of {host} breaks HTTP/3 ({other})"),
        },
    };
    Failure::new(Cause::ProtocolError, phase, text)
}

#[cfg(test)]
mod tests;
