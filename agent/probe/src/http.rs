//! The HTTP prober: one GET over a fresh connection, plain or over TLS, HTTP/1.1.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::{Family, HttpTarget};
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::attempt::{Answer, Attempt, Failure};
use crate::tls::TlsClient;
use crate::{BODY_BYTES_MAX, connect, tls};

/// Most bytes of status line and headers.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Most header lines.
pub const HEADERS_MAX: usize = 100;

const AGENT: &str = concat!("sitepulse-agent/", env!("CARGO_PKG_VERSION"));

/// An `http` check, parsed once and run many times.
#[derive(Debug)]
pub(crate) struct HttpProbe {
    target: Target,
    tls: TlsClient,
}

#[derive(Debug)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: Uri,
    host_header: HeaderValue,
    family: Family,
}

impl HttpProbe {
    pub(crate) fn new(target: &HttpTarget) -> Result<Self, String> {
        Ok(Self { tls: TlsClient::new(&target.tls, &["http/1.1"])?, target: Target::parse(target)? })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let target = &self.target;
        let stream = connect::open(attempt, &target.host, target.port, target.family).await?;
        if !target.tls {
            return exchange(attempt, target, stream).await;
        }
        let stream = tls::handshake(attempt, stream, &target.host, &self.tls).await?;
        exchange(attempt, target, stream).await
    }
}

async fn exchange(
    attempt: &mut Attempt<'_>,
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<Answer, Failure> {
    attempt.begin(Phase::Send);
    let marks = Arc::new(Marks::default());
    let io = TokioIo::new(Marked { inner: stream, marks: marks.clone() });
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake::<_, Empty<Bytes>>(io)
        .await
        .map_err(|error| protocol_failure(target, Phase::Send, &error))?;
    let mut connection = pin!(connection);
    let mut connected = true;
    let request = target.request().map_err(|reason| {
        Failure::new(Cause::AgentFault, Phase::Send, format!("agent: the request cannot be built ({reason})"))
    })?;
    let mut waiting = pin!(sender.send_request(request));
    let answered: Result<Response<_>, hyper::Error> = std::future::poll_fn(|context| {
        if connected && connection.as_mut().poll(context).is_ready() {
            // The answer, or why there is none, comes out of the request's own future.
            connected = false;
        }
        if marks.written() > 0 && attempt.phase() == Phase::Send {
            attempt.begin_at(Phase::FirstByte, Monotonic(marks.written()));
        }
        waiting.as_mut().poll(context)
    })
    .await;
    if marks.first_read() > 0 {
        attempt.begin_at(Phase::Transfer, Monotonic(marks.first_read()));
    }
    let response = answered.map_err(|error| {
        let phase = if marks.written() == 0 { Phase::Send } else { Phase::FirstByte };
        protocol_failure(target, phase, &error)
    })?;
    let (parts, mut body) = response.into_parts();
    attempt.facts.status = Some(parts.status.as_u16());
    let mut kept = Vec::new();
    let mut received = 0_usize;
    let mut truncated = false;
    loop {
        let frame = std::future::poll_fn(|context| {
            if connected && connection.as_mut().poll(context).is_ready() {
                connected = false;
            }
            pin!(body.frame()).poll(context)
        })
        .await;
        let data = match frame {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => {
                attempt.end();
                return Err(protocol_failure(target, Phase::Transfer, &error));
            }
        };
        let take = data.len().min(BODY_BYTES_MAX - received);
        received += take;
        if attempt.wants_body {
            kept.extend_from_slice(&data[..take]);
        }
        attempt.facts.body_bytes = Some(received as u64);
        if take < data.len() || received == BODY_BYTES_MAX {
            truncated = take < data.len() || !hyper::body::Body::is_end_stream(&body);
            break;
        }
    }
    attempt.end();
    attempt.facts.body_bytes = Some(received as u64);
    Ok(Answer { body: kept, body_bytes: received as u64, truncated, headers: parts.headers })
}

impl Target {
    fn parse(target: &HttpTarget) -> Result<Self, String> {
        let url = &target.url;
        let uri: Uri = url.parse().map_err(|error| format!("{url:?}: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{url:?} starts with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} has no host"))?;
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Err(format!("{url:?} has no host"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let named = match authority.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let host_header = HeaderValue::from_str(&named).map_err(|error| error.to_string())?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().map_err(|error| format!("{path:?}: {error}"))?;
        Ok(Self { tls, host: bare.to_owned(), port, path, host_header, family: target.family })
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
        Request::builder()
            .method(Method::GET)
            .uri(self.path.clone())
            .header(HOST, self.host_header.clone())
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header(CONNECTION, HeaderValue::from_static("close"))
            .body(Empty::new())
    }
}

/// Explains an error of hyper in one line.
fn protocol_failure(target: &Target, phase: Phase, error: &hyper::Error) -> Failure {
    let host = &target.host;
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(io) = io {
        if connect::is_agent_fault(io) {
            return connect::agent_fault(phase, io);
        }
        if matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
        ) {
            return Failure::new(Cause::ConnectionReset, phase, format!("{phase}: {host} reset the connection"));
        }
        if io.kind() == io::ErrorKind::UnexpectedEof {
            return Failure::new(Cause::ConnectionReset, phase, format!("{phase}: {host} closed the connection early"));
        }
    }
    // hyper tells it apart to servers alone.
    if error.is_parse() && error.to_string().contains("too large") {
        let text = format!("{phase}: {host} sent headers over {HEADER_BYTES_MAX} bytes or {HEADERS_MAX} lines");
        return Failure::new(Cause::ProtocolError, phase, text);
    }
    if error.is_parse() {
        return Failure::new(Cause::ProtocolError, phase, format!("{phase}: {host} sent no valid HTTP/1.1 answer"));
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Failure::new(Cause::ConnectionReset, phase, format!("{phase}: {host} closed the connection early"));
    }
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new(Cause::ProtocolError, phase, format!("{phase}: the answer of {host} breaks HTTP/1.1 ({reason})"))
}

/// Monotonic marks of a connection: when the request's last byte went out, when the answer's first came in. 0 is not yet.
#[derive(Debug, Default)]
struct Marks {
    written: AtomicU64,
    first_read: AtomicU64,
}

impl Marks {
    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn first_read(&self) -> u64 {
        self.first_read.load(Ordering::Relaxed)
    }
}

/// A stream that notes its marks.
struct Marked<S> {
    inner: S,
    marks: Arc<Marks>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Marked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before && self.marks.first_read() == 0 {
            self.marks.first_read.store(clock::monotonic().0.max(1), Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Marked<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(1..)) = polled {
            self.marks.written.store(clock::monotonic().0.max(1), Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
