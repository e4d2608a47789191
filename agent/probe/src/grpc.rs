//! The gRPC health protocol: one call of `grpc.health.v1.Health/Check` over HTTP/2.
//!
//! The two messages are one field each, so they are coded by hand (`health`). What the answer means is decided in `health` too, from
//! the call's status, its trailers and its message; here is the call. Without TLS HTTP/2 is spoken with prior knowledge, with TLS it must be
//! negotiated.
//!
//! Limits: 64 KiB of headers and of trailers, [`MESSAGE_BYTES_MAX`] of message, [`RECEIVED_BYTES_MAX`] received in all. The deadline of the
//! attempt travels as `grpc-timeout`.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::Connection;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, TE};
use hyper::{Method, Request};
use sitepulse_daemon::clock;
use sitepulse_model::check::{Family, GrpcTarget};
use sitepulse_model::record::{Cause, FactKey, Phase};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect;
use crate::http::{HEADER_BYTES_MAX, Headers, Url};
use crate::metered::{FLOODED, Metered};
use crate::tls::{self, TlsClient};

mod health;

/// Most bytes of the answer's message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Most bytes received in all.
pub(crate) const RECEIVED_BYTES_MAX: usize = 512 << 10;
/// Streams that the target may break before the connection is ended.
const RESETS_MAX: usize = 8;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// A `grpc` check, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct GrpcProbe {
    url: Url,
    headers: Headers,
    service: String,
    request: Bytes,
    family: Family,
    tls: TlsClient,
}

impl GrpcProbe {
    pub(crate) fn new(target: &GrpcTarget) -> Result<Self, String> {
        let url = Url::parse(&target.url)?;
        if url.path() != "/" {
            return Err(format!("{:?} has a path; give https://host:port alone", target.url));
        }
        Ok(Self {
            url,
            headers: Headers::new(&target.headers, None, false)?,
            request: health::request(&target.service),
            service: target.service.clone(),
            family: target.family,
            tls: TlsClient::new(&target.tls, &["h2"])?,
        })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let host = self.url.host();
        let stream = connect::open(attempt, host, self.url.port(), self.family).await?;
        if !self.url.tls() {
            return self.call(attempt, stream).await;
        }
        let stream = tls::handshake(attempt, stream, host, &self.tls).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let text = format!("TLS: {host} does not offer HTTP/2, which gRPC needs");
            return Err(Failure::new(Cause::ProtocolError, Phase::Tls, text));
        }
        self.call(attempt, stream).await
    }

    async fn call(
        &self,
        attempt: &mut Attempt<'_>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<Answer, Failure> {
        let host = self.url.host();
        attempt.begin(Phase::Send);
        let request = self.request(attempt)?;
        let (mut sender, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(MESSAGE_BYTES_MAX as u32)
            .initial_connection_window_size(MESSAGE_BYTES_MAX as u32)
            .max_header_list_size(HEADER_BYTES_MAX as u32)
            .max_local_error_reset_streams(Some(RESETS_MAX))
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_concurrent_reset_streams(RESETS_MAX)
            .handshake::<_, Bytes>(Metered::new(stream, RECEIVED_BYTES_MAX))
            .await
            .map_err(|error| explain(host, Phase::Send, &error))?;
        let mut wire = Wire { connection, over: None };
        let failed = |phase: Phase, wire: &Wire<_>, error: &h2::Error| {
            // The connection knows better than its stream, which only knows that the connection is gone.
            explain(host, phase, wire.over.as_ref().and_then(|over| over.as_ref().err()).unwrap_or(error))
        };
        let (response, mut outgoing) =
            sender.send_request(request, false).map_err(|error| failed(Phase::Send, &wire, &error))?;
        outgoing.send_data(self.request.clone(), true).map_err(|error| failed(Phase::Send, &wire, &error))?;
        // Driven once, the connection has written what its socket takes.
        std::future::poll_fn(|context| {
            wire.drive(context);
            Poll::Ready(())
        })
        .await;
        attempt.begin(Phase::FirstByte);
        let answered = {
            let mut response = pin!(response);
            wire.driving(|context| response.as_mut().poll(context)).await
        };
        let response = match answered {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(failed(Phase::FirstByte, &wire, &error)),
            None => return Err(wire.ended(host, Phase::FirstByte)),
        };
        attempt.begin(Phase::Transfer);
        let (parts, mut body) = response.into_parts();
        attempt.facts.status = Some(parts.status.as_u16());
        health::check_head(host, parts.status.as_u16(), &parts.headers)?;
        let message = match receive(&mut wire, &mut body).await {
            Ok(message) => message,
            Err(Broken::Stream(error)) => return Err(failed(Phase::Transfer, &wire, &error)),
            Err(Broken::Ended) => return Err(wire.ended(host, Phase::Transfer)),
            Err(Broken::TooLong) => {
                let text = format!("grpc: {host} sent a message over {MESSAGE_BYTES_MAX} bytes");
                return Err(Failure::new(Cause::ProtocolError, Phase::Transfer, text));
            }
        };
        // A call that failed at once has its status among the headers ("trailers-only").
        let trailers = match wire.driving(|context| body.poll_trailers(context)).await {
            Some(Ok(Some(trailers))) => trailers,
            Some(Ok(None)) => parts.headers.clone(),
            Some(Err(error)) => return Err(failed(Phase::Transfer, &wire, &error)),
            None => return Err(wire.ended(host, Phase::Transfer)),
        };
        attempt.end();
        let verdict = health::verdict(host, &self.service, &trailers, &message)?;
        attempt.facts.text(FactKey::GrpcStatus, verdict.status);
        match verdict.failure {
            Some(failure) if !health::is_judged(attempt.expect) => Err(failure),
            Some(_) | None => Ok(Answer { headers: parts.headers, ..Answer::default() }),
        }
    }

    fn request(&self, attempt: &Attempt<'_>) -> Result<Request<()>, Failure> {
        let mut headers = self.headers.resolve(&attempt.secrets)?;
        for name in [HOST, ACCEPT, ACCEPT_ENCODING] {
            headers.remove(name);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let left_ms = attempt.deadline.us_since(clock::monotonic()) / 1_000;
        // At most eight digits (gRPC over HTTP2, Timeout).
        let timeout = HeaderValue::from_str(&format!("{}m", left_ms.clamp(1, 99_999_999)));
        headers.insert("grpc-timeout", timeout.unwrap_or(HeaderValue::from_static("1m")));
        let scheme = if self.url.tls() { "https" } else { "http" };
        let uri = hyper::Uri::builder().scheme(scheme).authority(self.url.authority()).path_and_query(PATH).build();
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.map_err(|error| {
            Failure::new(Cause::AgentFault, Phase::Send, format!("agent: the request cannot be built ({error})"))
        })?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The connection under a call. It moves only while it is driven.
struct Wire<S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Metered<S>, Bytes>,
    over: Option<Result<(), h2::Error>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn drive(&mut self, context: &mut Context<'_>) {
        if self.over.is_none()
            && let Poll::Ready(over) = Pin::new(&mut self.connection).poll(context)
        {
            self.over = Some(over);
        }
    }

    /// Polls `step` while the connection moves; `None` when the connection ended without it.
    async fn driving<T>(&mut self, mut step: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        std::future::poll_fn(|context| {
            self.drive(context);
            match step(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if self.over.is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn ended(&self, host: &str, phase: Phase) -> Failure {
        match &self.over {
            Some(Err(error)) => explain(host, phase, error),
            Some(Ok(())) | None => {
                Failure::new(Cause::ConnectionReset, phase, format!("{phase}: {host} closed the connection early"))
            }
        }
    }
}

enum Broken {
    Stream(h2::Error),
    Ended,
    TooLong,
}

/// The answer's data, to its end.
async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    body: &mut RecvStream,
) -> Result<BytesMut, Broken> {
    let mut message = BytesMut::new();
    while let Some(data) = wire.driving(|context| body.poll_data(context)).await.ok_or(Broken::Ended)? {
        let data = data.map_err(Broken::Stream)?;
        if message.len() + data.len() > MESSAGE_BYTES_MAX + health::PREFIX_BYTES {
            return Err(Broken::TooLong);
        }
        message.extend_from_slice(&data);
        // Fails only when the stream is gone, and then so does the next call.
        body.flow_control().release_capacity(data.len()).ok();
    }
    Ok(message)
}

/// Explains an error of HTTP/2 in one line.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
fn explain(host: &str, phase: Phase, error: &h2::Error) -> Failure {
    if let Some(below) = error.get_io() {
        if connect::is_agent_fault(below) {
            return connect::agent_fault(phase, below);
        }
        if let Some(failure) = tls::explain_late(host, below) {
            return failure;
        }
        let (cause, text) = match below.kind() {
            FLOODED => (Cause::ProtocolError, format!("{host} {below}")),
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
                (Cause::ProtocolError, format!("{host} does not speak HTTP/2 on this port"))
            }
            std::io::ErrorKind::UnexpectedEof => {
                (Cause::ConnectionReset, format!("{host} closed the connection early"))
            }
            _ => (Cause::ConnectionReset, format!("the connection to {host} broke ({})", connect::plain(below))),
        };
        return Failure::new(cause, phase, format!("{phase}: {text}"));
    }
    let reason = error.reason().unwrap_or(h2::Reason::NO_ERROR);
    let (cause, text) = if error.is_remote() && error.is_go_away() {
        (Cause::ConnectionReset, format!("{host} ended the HTTP/2 connection (GOAWAY, {})", reason.description()))
    } else if error.is_remote() {
        (Cause::ConnectionReset, format!("{host} reset the HTTP/2 stream ({})", reason.description()))
    } else if reason == h2::Reason::FRAME_SIZE_ERROR {
        (Cause::ProtocolError, format!("{host} does not speak HTTP/2 on this port"))
    } else {
        (Cause::ProtocolError, format!("the answer of {host} breaks HTTP/2 ({error})"))
    };
    Failure::new(cause, phase, format!("{phase}: {text}"))
}

#[cfg(test)]
mod tests;
