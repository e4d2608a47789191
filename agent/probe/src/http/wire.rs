//! The connection under an HTTP exchange: it notes when bytes moved, and bounds how many come in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use sitepulse_daemon::clock::{self, Monotonic};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Most bytes that one exchange takes in, framing included: twice what headers and body may hold. It is what bounds floods of interim
/// answers, of tiny chunks, and of control frames.
pub(super) const WIRE_BYTES_MAX: usize = 2 * (super::HEADER_BYTES_MAX + crate::BODY_BYTES_MAX);
/// Bytes taken in without a pause; then the other runs of this thread have their turn.
const BURST_BYTES: usize = 32 << 10;

/// A connection, plain or under TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What the exchange wants to know of its connection. Instants are monotonic microseconds, 0 is not yet.
#[derive(Debug, Default)]
pub(super) struct Meter {
    written: AtomicU64,
    blocked: AtomicBool,
    first_read: AtomicU64,
    last_read: AtomicU64,
    received: AtomicUsize,
}

impl Meter {
    /// When the last byte went out, once nothing waits to go out.
    pub(super) fn sent(&self) -> Option<Monotonic> {
        (!self.blocked.load(Ordering::Relaxed)).then(|| Self::at(&self.written)).flatten()
    }

    /// When the first byte came in.
    pub(super) fn first_read(&self) -> Option<Monotonic> {
        Self::at(&self.first_read)
    }

    /// When the newest byte came in.
    pub(super) fn last_read(&self) -> Option<Monotonic> {
        Self::at(&self.last_read)
    }

    /// More came in than an exchange may hold.
    pub(super) fn is_flooded(&self) -> bool {
        self.received.load(Ordering::Relaxed) > WIRE_BYTES_MAX
    }

    fn at(mark: &AtomicU64) -> Option<Monotonic> {
        Some(mark.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Monotonic)
    }

    fn note_written(&self) {
        self.written.store(clock::monotonic().0.max(1), Ordering::Relaxed);
        self.blocked.store(false, Ordering::Relaxed);
    }

    fn note_read(&self, bytes: usize) {
        let now = clock::monotonic().0.max(1);
        if self.received.fetch_add(bytes, Ordering::Relaxed) == 0 {
            self.first_read.store(now, Ordering::Relaxed);
        }
        self.last_read.store(now, Ordering::Relaxed);
    }
}

/// A [`Stream`] with its [`Meter`].
pub(super) struct Wire {
    stream: Stream,
    meter: Arc<Meter>,
    burst: usize,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> (Self, Arc<Meter>) {
        let meter = Arc::new(Meter::default());
        (Self { stream, meter: meter.clone(), burst: 0 }, meter)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.burst > BURST_BYTES {
            self.burst = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.meter.is_flooded() {
            return Poll::Ready(Err(io::Error::other("the target floods")));
        }
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        };
        let bytes = buffer.filled().len() - before;
        if polled.is_pending() {
            self.burst = 0;
        } else if bytes > 0 {
            self.burst += bytes;
            self.meter.note_read(bytes);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        };
        match &polled {
            Poll::Ready(Ok(1..)) => self.meter.note_written(),
            Poll::Pending => self.meter.blocked.store(true, Ordering::Relaxed),
            Poll::Ready(_) => {}
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        };
        match &polled {
            Poll::Pending => self.meter.blocked.store(true, Ordering::Relaxed),
            // TLS held bytes back until now.
            Poll::Ready(Ok(())) if self.meter.blocked.load(Ordering::Relaxed) => self.meter.note_written(),
            Poll::Ready(_) => {}
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}
