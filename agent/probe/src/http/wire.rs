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

/// Most bytes that an exchange takes in beyond those of the body: twice what headers may hold. It bounds floods of interim answers, of
/// control frames, of tiny chunks, which cost far more of the processor than a body of that size.
pub(super) const OVERHEAD_BYTES_MAX: usize = 2 * super::HEADER_BYTES_MAX;
/// What a piece of the body is charged besides its framing, for the work that it makes.
const PIECE_COST_BYTES: usize = 16;
/// Bytes taken in without a pause; then the other runs of this thread have their turn.
const TURN_BYTES: usize = 16 << 10;
/// The same for a target whose bytes are not of the body, from its [`TURN_BYTES`] on.
const SMALL_TURN_BYTES: usize = 1 << 10;

/// A connection, plain or under TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

/// What the exchange wants to know of its connection. Instants are monotonic microseconds, 0 is not yet.
#[derive(Debug, Default)]
pub(super) struct Meter {
    written: AtomicU64,
    blocked: AtomicBool,
    first_read: AtomicU64,
    last_read: AtomicU64,
    received: AtomicUsize,
    delivered: AtomicUsize,
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

    /// A piece of the body came out, of so many bytes.
    pub(super) fn deliver(&self, bytes: usize) {
        self.delivered.fetch_add(bytes.saturating_sub(PIECE_COST_BYTES), Ordering::Relaxed);
    }

    /// More came in than headers and framing may take.
    pub(super) fn is_flooded(&self) -> bool {
        self.overhead() > OVERHEAD_BYTES_MAX
    }

    fn overhead(&self) -> usize {
        self.received.load(Ordering::Relaxed).saturating_sub(self.delivered.load(Ordering::Relaxed))
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
    taken: usize,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> (Self, Arc<Meter>) {
        let meter = Arc::new(Meter::default());
        (Self { stream, meter: meter.clone(), taken: 0 }, meter)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let overhead = self.meter.overhead();
        let turn = if overhead > TURN_BYTES { SMALL_TURN_BYTES } else { TURN_BYTES };
        if self.taken >= turn {
            self.taken = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if overhead > OVERHEAD_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other("the target floods")));
        }
        let before = buffer.filled().len();
        let polled = if buffer.remaining() > turn {
            let mut some = ReadBuf::new(buffer.initialize_unfilled_to(turn));
            let polled = self.stream.poll_read(context, &mut some);
            let bytes = some.filled().len();
            buffer.advance(bytes);
            polled
        } else {
            self.stream.poll_read(context, buffer)
        };
        let bytes = buffer.filled().len() - before;
        if polled.is_pending() {
            self.taken = 0;
        } else if bytes > 0 {
            self.taken += bytes;
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
