//! The browser's only way out: a SOCKS5 proxy on loopback, one for each load, that opens what the [`Gate`] opens.
//!
//! SOCKS and not HTTP: what the browser says is passed on byte by byte, names come here unresolved, and one small handshake serves `http`, `https` and `ws` alike.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpListener;

use crate::gate::{Gate, Refusal};

/// A connection that was asked for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The host as the browser named it: a name, or a literal address without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// Where it led.
    pub(crate) outcome: Result<Opened, Refusal>,
}

/// A connection that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The address dialled.
    pub(crate) address: SocketAddr,
    /// The name's part, in microseconds; absent for a literal address.
    pub(crate) dns_us: Option<u64>,
    /// The connection's part, in microseconds.
    pub(crate) connect_us: u64,
}

/// A proxy of one load.
#[derive(Debug)]
pub(crate) struct Proxy {
    #[allow(dead_code, reason = "the way out is built next")]
    listener: TcpListener,
    address: SocketAddr,
    asked: Mutex<Vec<Asked>>,
}

impl Proxy {
    /// Listens on a loopback port of its own.
    pub(crate) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, asked: Mutex::default() })
    }

    /// `socks5://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("socks5://{}", self.address)
    }

    /// Serves until dropped: run it beside the load. All connections end with it.
    pub(crate) async fn serve(&self, _gate: &dyn Gate) {
        std::future::pending::<()>().await;
    }

    /// What was asked for so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
