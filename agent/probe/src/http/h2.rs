//! HTTP/2 over one connection with one stream.
//!
//! The `h2` crate itself, not hyper around it: hyper's client moves its connection in a task of its own, and a run must end with all that
//! belongs to it. Limits besides those of [`super::wire`]: headers of 64 KiB decoded, [`WINDOW_BYTES`] of body in flight, no pushes,
//! [`RESETS_MAX`] streams that never were.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use hyper::Request;
use hyper::header::HOST;
use hyper::http::response::Parts;
use sitepulse_model::record::{Cause, Phase};

use super::url::Url;
use super::wire::{Meter, Stream, Wire};
use super::{HEADER_BYTES_MAX, Message, explain};
use crate::attempt::{Attempt, Failure};

/// Body that may be under way, of the stream and of the connection.
const WINDOW_BYTES: u32 = 256 << 10;
/// Streams that the target may break before the connection is ended.
const RESETS_MAX: usize = 8;

/// An answer whose head came. The connection moves only while it is asked for more.
pub(super) struct Incoming {
    connection: Connection<Wire, Bytes>,
    connected: bool,
    // The connection ends itself when the last of these is gone.
    _sender: SendRequest<Bytes>,
    _request: SendStream<Bytes>,
    body: RecvStream,
    meter: Arc<Meter>,
}

/// Sends the request for `url` and waits for the answer's head.
pub(super) async fn exchange(
    attempt: &mut Attempt<'_>,
    stream: Stream,
    url: &Url,
    message: Message,
) -> Result<(Parts, Incoming), Failure> {
    attempt.begin(Phase::Send);
    let host = url.host();
    let (wire, meter) = Wire::new(stream);
    let request = request(url, &message)?;
    let (mut sender, mut connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_concurrent_reset_streams(RESETS_MAX)
        .handshake::<_, Bytes>(wire)
        .await
        .map_err(|error| explain::h2(host, Phase::Send, &error, &meter))?;
    let mut rest = message.body;
    let (response, mut outgoing) = sender
        .send_request(request, rest.is_empty())
        .map_err(|error| explain::h2(host, Phase::Send, &error, &meter))?;
    outgoing.reserve_capacity(rest.len());
    let mut waiting = pin!(response);
    let mut connected = true;
    let answered = std::future::poll_fn(|context| {
        if connected && Pin::new(&mut connection).poll(context).is_ready() {
            // The answer, or why there is none, comes out of the response's own future.
            connected = false;
        }
        let stopped = send(&mut outgoing, &mut rest, context);
        if rest.is_empty()
            && attempt.phase() == Phase::Send
            && let Some(sent) = meter.sent()
        {
            attempt.begin_at(Phase::FirstByte, sent);
        }
        match waiting.as_mut().poll(context) {
            // A server may answer without taking the whole body: only without an answer is that a failure.
            Poll::Pending => match stopped {
                Some(error) => Poll::Ready(Err(Some(error))),
                None if !connected => Poll::Ready(Err(None)),
                None => Poll::Pending,
            },
            Poll::Ready(answered) => Poll::Ready(answered.map_err(Some)),
        }
    })
    .await;
    if let Some(last_read) = meter.last_read().filter(|_| answered.is_ok()) {
        // The first bytes of a connection are settings; the answer is what came last.
        attempt.begin_at(Phase::Transfer, last_read);
    }
    let response = answered.map_err(|error| {
        let phase = if attempt.phase() == Phase::Send { Phase::Send } else { Phase::FirstByte };
        error.map_or_else(
            || explain::closed_early(host, phase),
            |error| match error.reason() {
                Some(Reason::PROTOCOL_ERROR | Reason::REFUSED_STREAM) if error.is_library() && error.is_reset() => {
                    let text =
                        format!("{phase}: {host} sent headers that break HTTP/2 or are over {HEADER_BYTES_MAX} bytes");
                    Failure::new(Cause::ProtocolError, phase, text)
                }
                _ => explain::h2(host, phase, &error, &meter),
            },
        )
    })?;
    let (parts, body) = response.into_parts();
    Ok((parts, Incoming { connection, connected, _sender: sender, _request: outgoing, body, meter }))
}

fn request(url: &Url, message: &Message) -> Result<Request<()>, Failure> {
    let mut request = Request::new(());
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = super::absolute(url, &message.headers)?;
    *request.headers_mut() = message.headers.clone();
    request.headers_mut().remove(HOST);
    if !message.body.is_empty() {
        request.headers_mut().insert(hyper::header::CONTENT_LENGTH, message.body.len().into());
    }
    Ok(request)
}

/// Sends what flow control admits; an error when the stream takes no more.
fn send(outgoing: &mut SendStream<Bytes>, rest: &mut Bytes, context: &mut Context<'_>) -> Option<h2::Error> {
    while !rest.is_empty() {
        match outgoing.poll_capacity(context) {
            Poll::Pending | Poll::Ready(None) => return None,
            Poll::Ready(Some(Err(error))) => return Some(error),
            Poll::Ready(Some(Ok(room))) => {
                let piece = rest.split_to(room.min(rest.len()));
                if let Err(error) = outgoing.send_data(piece, rest.is_empty()) {
                    return Some(error);
                }
            }
        }
    }
    None
}

impl Incoming {
    /// The body's next piece; `None` at its end.
    pub(super) async fn data(&mut self, host: &str) -> Result<Option<Bytes>, Failure> {
        let piece = std::future::poll_fn(|context| {
            // What is there first: so the connection never reads far ahead.
            if let Poll::Ready(piece) = self.body.poll_data(context) {
                return Poll::Ready(piece.map(|piece| piece.map_err(Some)));
            }
            if self.connected && Pin::new(&mut self.connection).poll(context).is_ready() {
                self.connected = false;
            }
            match self.body.poll_data(context) {
                Poll::Pending if !self.connected => Poll::Ready(Some(Err(None))),
                Poll::Pending => Poll::Pending,
                Poll::Ready(piece) => Poll::Ready(piece.map(|piece| piece.map_err(Some))),
            }
        })
        .await;
        match piece {
            None => Ok(None),
            Some(Ok(data)) => {
                self.meter.deliver(data.len());
                // Fails only when the stream is gone, and then so does the next call.
                self.body.flow_control().release_capacity(data.len()).ok();
                Ok(Some(data))
            }
            Some(Err(None)) => Err(explain::closed_early(host, Phase::Transfer)),
            Some(Err(Some(error))) => Err(explain::h2(host, Phase::Transfer, &error, &self.meter)),
        }
    }
}
