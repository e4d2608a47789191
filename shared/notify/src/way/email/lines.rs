//! A stream that hands out a line at a time, and not more than so many bytes in all.
//!
//! The mail library buffers what it reads. Were it given more than the line that ends the server's answer to STARTTLS, what somebody slipped in behind that
//! line in the clear would count as said over TLS. And it reads a line however long: a server that never ends one must not fill the memory.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Most bytes of a server's answers in all, TLS included.
const BYTES_MAX: usize = 256 << 10;

pub(super) struct Lines<S> {
    stream: S,
    /// Read and not handed out.
    waiting: Vec<u8>,
    at: usize,
    left: usize,
}

impl<S> Lines<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), at: 0, left: BYTES_MAX }
    }
}

impl<S> fmt::Debug for Lines<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Whose address can be asked for.
pub(super) trait Peer {
    fn peer(&self) -> io::Result<SocketAddr>;
}

impl Peer for TcpStream {
    fn peer(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

impl Peer for TlsStream<TcpStream> {
    fn peer(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.peer_addr()
    }
}

impl<S: AsyncRead + AsyncWrite + Peer + Send + Sync + Unpin> AsyncTokioStream for Lines<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lines<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at == this.waiting.len() {
            let mut bytes = [0; 4096];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let read = read.filled();
            this.left = this.left.checked_sub(read.len()).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("more than {BYTES_MAX} bytes of answers"))
            })?;
            this.waiting.clear();
            this.waiting.extend_from_slice(read);
            this.at = 0;
        }
        let rest = &this.waiting[this.at..];
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let given = &rest[..line.min(out.remaining())];
        out.put_slice(given);
        this.at += given.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lines<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
