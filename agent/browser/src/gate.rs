//! Who decides what the browser may reach: the agent's policy, resolver and network, kept by the caller.

use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use sitepulse_model::record::{Cause, Phase};
use tokio::net::TcpStream;

/// A connection that the gate opened.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: TcpStream,
    /// The address that was judged and dialled.
    pub address: SocketAddr,
    /// How long the name took, in microseconds; absent for a literal address.
    pub dns_us: Option<u64>,
    /// How long the connection took, in microseconds.
    pub connect_us: u64,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// Where.
    pub phase: Phase,
    /// One line for people.
    pub detail: String,
    /// The address, where it came to one.
    pub address: Option<SocketAddr>,
}

/// Opens every connection that the browser asks for, or refuses it: resolve, filter each address, dial one that is left.
pub trait Gate: Send + Sync {
    /// Connects to `host` (a name or a literal address without brackets) at `port`. Gives up by itself after `timeout_us` microseconds.
    fn open<'a>(&'a self, host: &'a str, port: u16, timeout_us: u64) -> BoxFuture<'a, Result<Dialled, Refusal>>;
}
