//! The HTTP prober: one GET over a fresh connection, plain or over TLS, HTTP/1.1.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use sitepulse_daemon::clock;
use sitepulse_model::check::{AssignedCheck, CheckKind};
use sitepulse_model::expect::{self, Expectation, Headers, Observed};
use sitepulse_model::record::{Cause, Phase, ProbeResult, ProbeState, detail};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use super::tls::{Shown, Tls};
use super::{Failure, Run, Sight, connect, failed, human_us, tls};

/// Most bytes of body that a probe reads.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Most bytes of status line and headers.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Most header lines.
pub const HEADERS_MAX: usize = 100;

const AGENT: &str = concat!("sitepulse-agent/", env!("CARGO_PKG_VERSION"));

/// An `http` check, parsed once and run many times.
#[derive(Debug)]
pub struct HttpProbe {
    target: Result<Target, String>,
    timeout_us: u64,
    expect: Vec<Expectation>,
    needs_body: bool,
}

#[derive(Debug)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: Uri,
    host_header: HeaderValue,
}

impl HttpProbe {
    /// Prepares a check. A URL that cannot be used makes every run `unknown` with the reason.
    pub fn new(assigned: &AssignedCheck) -> Self {
        let CheckKind::Http(http) = &assigned.definition.kind;
        let expect = expect::with_defaults(assigned.definition.kind.as_str(), &assigned.definition.expect);
        Self {
            target: Target::parse(&http.url),
            timeout_us: assigned.definition.timeout_us,
            needs_body: expect::needs_body(&expect),
            expect,
        }
    }

    /// Runs the check once. Takes at most its timeout.
    pub async fn run(&self, run: Run, tls: &Tls) -> ProbeResult {
        let start = clock::monotonic();
        let mut sight = Sight::default();
        let target = match &self.target {
            Ok(target) => target,
            Err(reason) => {
                let text = format!("agent: the url is unusable ({reason})");
                return failed(&run, sight, &Failure::new(Cause::AgentFault, Phase::Total, text));
            }
        };
        let mut phase = Phase::Dns;
        let mut phase_start = start;
        let timeout = std::time::Duration::from_micros(self.timeout_us);
        let seen = tokio::time::timeout(timeout, async {
            let mut step = |next: Phase| {
                phase = next;
                phase_start = clock::monotonic();
            };
            self.talk(target, tls, &mut sight, &mut step).await
        })
        .await;
        let end = clock::monotonic();
        sight.phases.total = Some(end.0.saturating_sub(start.0));
        match seen {
            Ok(Ok(answer)) => self.judge(&run, sight, &answer),
            Ok(Err(failure)) => failed(&run, sight, &failure),
            Err(_) => {
                // The phase that was under way lasted until the deadline.
                let spent = Some(end.0.saturating_sub(phase_start.0));
                match phase {
                    Phase::Dns => sight.phases.dns = spent,
                    Phase::Connect => sight.phases.connect = spent,
                    Phase::Tls => sight.phases.tls = spent,
                    Phase::Send => sight.phases.send = spent,
                    Phase::FirstByte => sight.phases.first_byte = spent,
                    Phase::Transfer => sight.phases.transfer = spent,
                    Phase::Total => {}
                }
                let failure = if sight.lookup_queued {
                    connect::lookups_busy(&target.host)
                } else {
                    Failure::new(Cause::Timeout, phase, timeout_text(phase, target, self.timeout_us))
                };
                failed(&run, sight, &failure)
            }
        }
    }

    async fn talk(
        &self,
        target: &Target,
        tls: &Tls,
        sight: &mut Sight,
        step: &mut impl FnMut(Phase),
    ) -> Result<Answer, Failure> {
        let address = match target.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, target.port),
            Err(_) => {
                step(Phase::Dns);
                let begin = clock::monotonic();
                let resolved = connect::resolve(&target.host, target.port, &mut sight.lookup_queued).await;
                sight.phases.dns = Some(since(begin));
                resolved?
            }
        };
        sight.address = Some(address);
        connect::check_policy(address)?;
        step(Phase::Connect);
        let begin = clock::monotonic();
        let dialled = connect::dial(address).await;
        sight.phases.connect = Some(since(begin));
        let stream = dialled?;
        if !target.tls {
            return self.exchange(target, stream, sight, step).await;
        }
        step(Phase::Tls);
        let begin = clock::monotonic();
        let name = ServerName::try_from(target.host.clone()).map_err(|_| {
            let text = format!("agent: {:?} is no name for tls", target.host);
            Failure::new(Cause::AgentFault, Phase::Tls, text)
        })?;
        let (config, shown) = tls.for_probe();
        // A deadline during the handshake must not lose what the certificate said.
        let handshake = TlsConnector::from(config).connect(name, stream).await;
        sight.phases.tls = Some(since(begin));
        sight.facts.certificate_expires = Shown::expires(&shown);
        let stream = handshake.map_err(|error| tls::explain(&target.host, &error, &shown, clock::now()))?;
        self.exchange(target, stream, sight, step).await
    }

    async fn exchange(
        &self,
        target: &Target,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        sight: &mut Sight,
        step: &mut impl FnMut(Phase),
    ) -> Result<Answer, Failure> {
        step(Phase::Send);
        let begin = clock::monotonic();
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
            if marks.written() > 0 && sight.phases.send.is_none() {
                sight.phases.send = Some(marks.written().saturating_sub(begin.0));
                step(Phase::FirstByte);
            }
            waiting.as_mut().poll(context)
        })
        .await;
        let first_read = marks.first_read();
        if first_read > 0 {
            sight.phases.first_byte = Some(first_read.saturating_sub(marks.written().max(begin.0)));
        }
        let response = answered.map_err(|error| {
            let phase = if marks.written() == 0 { Phase::Send } else { Phase::FirstByte };
            protocol_failure(target, phase, &error)
        })?;
        step(Phase::Transfer);
        let (parts, mut body) = response.into_parts();
        sight.facts.status = Some(parts.status.as_u16());
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
                    sight.facts.body_bytes = Some(received as u64);
                    sight.phases.transfer = Some(clock::monotonic().0.saturating_sub(first_read));
                    return Err(protocol_failure(target, Phase::Transfer, &error));
                }
            };
            let take = data.len().min(BODY_BYTES_MAX - received);
            received += take;
            if self.needs_body {
                kept.extend_from_slice(&data[..take]);
            }
            sight.facts.body_bytes = Some(received as u64);
            if take < data.len() || received == BODY_BYTES_MAX {
                truncated = take < data.len() || !hyper::body::Body::is_end_stream(&body);
                break;
            }
        }
        sight.facts.body_bytes = Some(received as u64);
        sight.phases.transfer = Some(clock::monotonic().0.saturating_sub(first_read));
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: kept, received, truncated })
    }

    fn judge(&self, run: &Run, sight: Sight, answer: &Answer) -> ProbeResult {
        let outcome = expect::evaluate(
            &self.expect,
            &Observed {
                status: Some(answer.status),
                body: &answer.body,
                body_bytes: answer.received as u64,
                body_truncated: answer.truncated,
                headers: &HeaderLines(&answer.headers),
                phases: sight.phases,
                certificate_expires: sight.facts.certificate_expires,
                now: run.started,
            },
        );
        let cause = match outcome.state {
            ProbeState::Up => None,
            ProbeState::Degraded => Some(Cause::SoftAssertion),
            ProbeState::Down => Some(Cause::AssertionFailed),
            ProbeState::Unknown => Some(Cause::AgentFault),
        };
        let text = match (outcome.broken, answer.truncated) {
            (Some(broken), true) => format!("{} (body cut after {BODY_BYTES_MAX} bytes)", broken.explanation),
            (Some(broken), false) => broken.explanation,
            (None, true) => format!("body cut after {BODY_BYTES_MAX} bytes"),
            (None, false) => String::new(),
        };
        ProbeResult {
            check: run.check,
            revision: run.revision,
            scheduled: run.slot,
            started: run.started,
            phases: sight.phases,
            state: outcome.state,
            cause,
            failed_phase: None,
            detail: detail(&text),
            address: sight.address,
            facts: sight.facts,
        }
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, String> {
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
        Ok(Self { tls, host: bare.to_owned(), port, path, host_header })
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

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    received: usize,
    truncated: bool,
}

struct HeaderLines<'a>(&'a HeaderMap);

impl Headers for HeaderLines<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut lines = self.0.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = lines.next()?;
        Some(lines.fold(first, |all, line| Cow::Owned(format!("{all}, {line}"))))
    }
}

fn since(begin: clock::Monotonic) -> u64 {
    clock::monotonic().0.saturating_sub(begin.0)
}

fn timeout_text(phase: Phase, target: &Target, timeout_us: u64) -> String {
    let host = &target.host;
    let within = human_us(timeout_us);
    match phase {
        Phase::Dns => format!("dns: {host} did not resolve within {within}"),
        Phase::Connect => format!("connect: {host}:{} did not answer within {within}", target.port),
        Phase::Tls => format!("TLS: handshake with {host} not done within {within}"),
        Phase::Send => format!("request not sent within {within}"),
        Phase::FirstByte => format!("no first byte within {within}"),
        Phase::Transfer => format!("answer not complete within {within}"),
        Phase::Total => format!("not done within {within}"),
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
