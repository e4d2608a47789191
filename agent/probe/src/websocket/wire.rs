//! A stream that gives so much and no more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes received in all: frames around 1 MiB of messages, or nothing but frames.
pub(crate) const RECEIVED_BYTES_MAX: usize = 4 << 20;

/// What reading ends with beyond [`RECEIVED_BYTES_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("sent more than {RECEIVED_BYTES_MAX} bytes")]
pub(super) struct Flooded;

pub(super) struct Metered<S> {
    inner: S,
    received: usize,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, received: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received > RECEIVED_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other(Flooded)));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.received += buffer.filled().len() - before;
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
