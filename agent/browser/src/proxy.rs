//! The browser's only way out: a SOCKS proxy on loopback, one for each load, that opens what the [`Gate`] opens.
//!
//! SOCKS and not HTTP: what the browser says is passed on byte by byte, names come here unresolved, and one small handshake ([`socks`]) serves `http`, `https`
//! and `ws` alike. What a target does to its connection reaches the browser as it is: an end of one direction as such, a reset as a reset.
//!
//! The browser cannot log in to a SOCKS proxy, so there is no login: while a load goes on, any user of this machine may use its port. They reach nothing by it
//! that the agent's policy would not dial for a check (on an agent that may dial `private` or `loopback`, that may be more than they reach themselves, and with
//! the agent's address), can make the load's figures worse, and see nothing of the page. The port is on loopback, its number is the system's choice, and it goes
//! with the load.
//!
//! Limits: [`CONNECTIONS_MAX`] connections at once (further ones wait unaccepted), [`HANDSHAKE_US_MAX`] for a handshake, [`OPEN_US_MAX`] for a connection to be
//! opened, [`UP_BYTES`] and [`DOWN_BYTES`] kept of each connection, [`ASKED_MAX`] remembered.
//!
//! Architecture invariant: no task is started; every connection lives in the future of [`Proxy::serve`] and ends with it.

mod socks;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use self::socks::{Read, Reply, Request, Wrong};
use crate::gate::{Dialled, Gate, Refusal};

/// Connections at once. Chromium opens 32 through one proxy, and 32 more for WebSockets.
const CONNECTIONS_MAX: usize = 128;
/// Time for a client to say what it wants, in microseconds.
const HANDSHAKE_US_MAX: u64 = 10_000_000;
/// Time for a connection to be opened, in microseconds. Chromium gives up after 30 s.
const OPEN_US_MAX: u64 = 25_000_000;
/// Bytes of a connection that wait to go to the target.
const UP_BYTES: usize = 16 << 10;
/// Bytes of a connection that wait to go to the browser.
const DOWN_BYTES: usize = 64 << 10;
/// Connections that are remembered. Those beyond are served, but not told of.
const ASKED_MAX: usize = 1_024;
/// Wait after a connection that could not be accepted, in microseconds: out of descriptors, most likely.
const ACCEPT_RETRY_US: u64 = 50_000;

/// A connection that was asked for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The host as the browser named it: a name, or a literal address without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// Where it led; absent while it is being opened, and for good where the browser left before.
    pub(crate) outcome: Option<Result<Opened, Refusal>>,
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
    listener: TcpListener,
    address: SocketAddr,
    handshake_us_max: u64,
    asked: Mutex<Vec<Asked>>,
}

impl Proxy {
    /// Listens on a loopback port of its own.
    pub(crate) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, handshake_us_max: HANDSHAKE_US_MAX, asked: Mutex::default() })
    }

    /// `socks5://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("socks5://{}", self.address)
    }

    /// Serves until dropped: run it beside the load. All connections end with it.
    pub(crate) async fn serve(&self, gate: &dyn Gate) {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                client = self.accept(), if connections.len() < CONNECTIONS_MAX => {
                    connections.push(self.connection(client, gate));
                }
                Some(()) = connections.next() => {}
            }
        }
    }

    /// What was asked for so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                // The listener is on loopback: so is everybody who comes. Said again, should it ever be elsewhere.
                Ok((client, peer)) if peer.ip().is_loopback() => return client,
                Ok((_, peer)) => tracing::warn!("the browser's proxy turned {peer} away"),
                Err(error) => {
                    tracing::debug!("the browser's proxy accepts nothing: {error}");
                    tokio::time::sleep(Duration::from_micros(ACCEPT_RETRY_US)).await;
                }
            }
        }
    }

    async fn connection(&self, mut client: TcpStream, gate: &dyn Gate) {
        // Small answers go at once.
        drop(client.set_nodelay(true));
        let within = Duration::from_micros(self.handshake_us_max);
        let request = match tokio::time::timeout(within, handshake(&mut client)).await {
            Ok(Ok(Ok(request))) => request,
            Ok(Ok(Err(wrong))) => {
                tracing::debug!("a client of the browser's proxy said something else: {wrong:?}");
                // Its end is all the same to it.
                drop(client.write_all(&wrong.answer()).await);
                return;
            }
            Ok(Err(_)) | Err(_) => return,
        };
        let place = self.note(&request);
        let opened = self.open(gate, &request).await;
        let answer = match &opened {
            Ok(_) => Reply::Open,
            Err(refusal) => reply_to(refusal.cause),
        };
        let (outcome, server) = match opened {
            Ok(Dialled { stream, address, dns_us, connect_us }) => {
                (Ok(Opened { address, dns_us, connect_us }), Some(stream))
            }
            Err(refusal) => (Err(refusal), None),
        };
        self.note_outcome(place, outcome);
        if client.write_all(&socks::reply(answer)).await.is_err() {
            return;
        }
        if let Some(server) = server {
            splice(client, server).await;
        }
    }

    async fn open(&self, gate: &dyn Gate, request: &Request) -> Result<Dialled, Refusal> {
        let Request { host, port } = request;
        let refusal = |cause, detail| Refusal { cause, phase: Phase::Connect, detail, address: None };
        let within = Duration::from_micros(OPEN_US_MAX);
        // The gate keeps the time itself, and knows what took it. Said again, so that a gate that forgets holds nothing open.
        let dialled = match tokio::time::timeout(2 * within, gate.open(host, *port, OPEN_US_MAX)).await {
            Ok(dialled) => dialled?,
            Err(_) => return Err(refusal(Cause::Timeout, format!("connect: {host}:{port} did not answer"))),
        };
        if dialled.address == self.address {
            let text = format!("policy: {host}:{port} is the browser's own way out");
            return Err(Refusal { address: Some(dialled.address), ..refusal(Cause::PolicyRefused, text) });
        }
        Ok(dialled)
    }

    /// Remembers a request; its place in the list.
    fn note(&self, request: &Request) -> Option<usize> {
        let mut asked = self.lock();
        let place = asked.len();
        (place < ASKED_MAX).then(|| {
            asked.push(Asked { host: request.host.clone(), port: request.port, outcome: None });
            place
        })
    }

    fn note_outcome(&self, place: Option<usize>, outcome: Result<Opened, Refusal>) {
        if let Some(place) = place
            && let Some(asked) = self.lock().get_mut(place)
        {
            asked.outcome = Some(outcome);
        }
    }
}

/// Takes greeting and request, and nothing beyond them. The outer error is the client's end.
async fn handshake(client: &mut TcpStream) -> io::Result<Result<Request, Wrong>> {
    if let Err(wrong) = take(client, socks::greeting).await? {
        return Ok(Err(wrong));
    }
    client.write_all(&socks::WELCOME).await?;
    take(client, socks::request).await
}

async fn take<T>(client: &mut TcpStream, parse: impl Fn(&[u8]) -> Read<T>) -> io::Result<Result<T, Wrong>> {
    let mut bytes = [0; socks::MESSAGE_BYTES_MAX];
    let mut taken = 0;
    loop {
        match parse(&bytes[..taken]) {
            Read::Missing(missing) => {
                client.read_exact(&mut bytes[taken..taken + missing]).await?;
                taken += missing;
            }
            Read::Whole(message) => return Ok(Ok(message)),
            Read::Wrong(wrong) => return Ok(Err(wrong)),
        }
    }
}

/// Passes bytes both ways until both are at their ends, or one breaks: then the other breaks as well.
async fn splice(mut client: TcpStream, mut server: TcpStream) {
    let passed = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, UP_BYTES, DOWN_BYTES).await;
    if passed.is_err() {
        // A reset stays a reset: closed in order, it would look like an answer's end.
        drop(client.set_zero_linger());
        drop(server.set_zero_linger());
    }
}

/// How a refusal is told to the browser, which shows it as its own network error.
const fn reply_to(cause: Cause) -> Reply {
    match cause {
        Cause::PolicyRefused => Reply::Policy,
        Cause::DnsFailed | Cause::Unreachable => Reply::Host,
        Cause::ConnectionRefused => Reply::Refused,
        Cause::NetworkLost => Reply::Network,
        Cause::Timeout => Reply::Expired,
        Cause::ConnectionReset
        | Cause::TlsFailed
        | Cause::CertificateInvalid
        | Cause::ProtocolError
        | Cause::AssertionFailed
        | Cause::RedirectFailed
        | Cause::LoginRefused
        | Cause::NotServing
        | Cause::NotRegistered
        | Cause::HeartbeatMissing
        | Cause::HeartbeatFailed
        | Cause::ProxyFailed
        | Cause::HttpStatus
        | Cause::NotAPage
        | Cause::Unresponsive
        | Cause::RendererCrashed
        | Cause::NavigatedAway
        | Cause::InteractionFailed
        | Cause::SoftAssertion
        | Cause::AgentFault
        | Cause::SecretMissing
        | Cause::HeartbeatWaiting
        | Cause::BrowserMissing
        | Cause::BrowserGone
        | Cause::HostPressure => Reply::Failed,
    }
}

#[cfg(test)]
mod tests;
