//! HTTP/1.1 over one connection.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming as Body};
use hyper::client::conn::http1::{self, Connection};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use sitepulse_model::record::Phase;

use super::wire::{Meter, Stream, Wire};
use super::{HEADER_BYTES_MAX, HEADERS_MAX, Message, explain};
use crate::attempt::{Attempt, Failure};

/// An answer whose head came. The connection moves only while it is asked for more.
pub(super) struct Incoming {
    connection: Connection<TokioIo<Wire>, Full<Bytes>>,
    connected: bool,
    body: Body,
    meter: Arc<Meter>,
}

/// Sends the request for `target` and waits for the answer's head.
pub(super) async fn exchange(
    attempt: &mut Attempt<'_>,
    host: &str,
    stream: Stream,
    target: Uri,
    message: Message,
) -> Result<(Parts, Incoming), Failure> {
    attempt.begin(Phase::Send);
    let (wire, meter) = Wire::new(stream);
    let (mut sender, mut connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(wire))
        .await
        .map_err(|error| explain::h1(host, Phase::Send, &error, &meter))?;
    let mut request = Request::new(Full::new(message.body));
    let is_connection_kept = message.method == Method::CONNECT;
    *request.method_mut() = message.method;
    *request.uri_mut() = target;
    *request.headers_mut() = message.headers;
    if !is_connection_kept {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut connected = true;
    let mut waiting = pin!(sender.send_request(request));
    let answered = std::future::poll_fn(|context| {
        if connected && Pin::new(&mut connection).poll(context).is_ready() {
            // The answer, or why there is none, comes out of the request's own future.
            connected = false;
        }
        if attempt.phase() == Phase::Send
            && let Some(sent) = meter.sent()
        {
            attempt.begin_at(Phase::FirstByte, sent);
        }
        waiting.as_mut().poll(context)
    })
    .await;
    if let Some(first_read) = meter.first_read() {
        attempt.begin_at(Phase::Transfer, first_read);
    }
    let response = answered.map_err(|error| {
        let phase = if meter.sent().is_none() { Phase::Send } else { Phase::FirstByte };
        explain::h1(host, phase, &error, &meter)
    })?;
    let (parts, body) = response.into_parts();
    Ok((parts, Incoming { connection, connected, body, meter }))
}

impl Incoming {
    /// The body's next piece; `None` at its end.
    pub(super) async fn data(&mut self, host: &str) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = std::future::poll_fn(|context| {
                if self.connected && Pin::new(&mut self.connection).poll(context).is_ready() {
                    self.connected = false;
                }
                let frame = Pin::new(&mut self.body).poll_frame(context);
                if frame.is_pending() && !self.connected {
                    return Poll::Ready(None);
                }
                frame
            })
            .await;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(explain::h1(host, Phase::Transfer, &error, &self.meter)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.meter.deliver(data.len());
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
