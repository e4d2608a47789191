//! A stream that gives so much and no more: what bounds floods of frames that carry nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The kind of the error that reading ends with beyond the limit: what libraries in between leave of it.
pub(crate) const FLOODED: io::ErrorKind = io::ErrorKind::QuotaExceeded;

#[derive(Debug, thiserror::Error)]
#[error("sent more than {bytes_max} bytes")]
struct Flooded {
    bytes_max: usize,
}

/// A stream with a limit on what is read from it.
pub(crate) struct Metered<S> {
    inner: S,
    left: usize,
    bytes_max: usize,
}

impl<S> Metered<S> {
    pub(crate) fn new(inner: S, bytes_max: usize) -> Self {
        Self { inner, left: bytes_max, bytes_max }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::new(FLOODED, Flooded { bytes_max: self.bytes_max })));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
