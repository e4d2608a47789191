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

/// Whether a browser may be sent to this address at all: `file:`, `chrome:` and their like are this machine's, and no gate sees them.
pub(crate) fn is_web(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_alone_is_loaded() {
        for good in ["http://a.example", "https://a.example/", "HTTPS://a.example/", "http://[::1]:80/"] {
            assert!(is_web(good), "{good}");
        }
        for bad in [
            "file:///etc/passwd",
            "FILE:///etc/passwd",
            " http://a.example",
            "view-source:http://a.example",
            "chrome://version",
            "about:blank",
            "data:text/html,http://a.example",
            "javascript:location='http://a.example'",
            "blob:http://a.example/1",
            "filesystem:http://a.example/temporary/",
            "http:/a.example",
            "http:a.example",
            "httpx://a.example",
            "ws://a.example",
            "ftp://a.example",
            "//a.example",
            "",
        ] {
            assert!(!is_web(bad), "{bad}");
        }
    }
}
