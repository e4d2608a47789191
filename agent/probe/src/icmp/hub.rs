//! One socket of each family for all echoes of the agent, and who waits for what on it.
//!
//! No task of its own reads: one of the runs that wait reads for all, and hands that on when it stops waiting. So nothing outlives the
//! runs, and a reply is stamped as soon as the kernel gives it, whoever's it is.
//!
//! Everything that is not an answer to a waiting echo, from the address it was sent to, is dropped: replies to others (a raw socket sees
//! those), late and doubled ones, forged ones. Bound: [`RUNS_MAX`] runs wait at once.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use sitepulse_daemon::clock::{self, Monotonic};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::packet::{self, ANSWER_BYTES_MAX, Reply, Version};

/// Most runs that wait for echoes at once; the engine's own limit is far below.
const RUNS_MAX: usize = 16_384;
/// What the kernel may hold until a run reads it: a burst of answers to some thousand echoes.
const RECEIVE_BYTES: usize = 1 << 20;

/// The shared socket of each family. One for all probes of the agent; opened by the first echo.
#[derive(Debug, Default)]
pub struct Hub {
    v4: Mutex<Option<Arc<Line>>>,
    v6: Mutex<Option<Arc<Line>>>,
}

impl Hub {
    /// The socket for an address, opened now where it is not open.
    ///
    /// # Errors
    /// [`is_refused`] tells whether this machine does not let the agent.
    pub(super) fn line(&self, address: IpAddr) -> io::Result<Arc<Line>> {
        let (place, version) = match address {
            IpAddr::V4(_) => (&self.v4, Version::V4),
            IpAddr::V6(_) => (&self.v6, Version::V6),
        };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        match &*place {
            Some(line) if !line.state().broken => Ok(line.clone()),
            Some(_) | None => Ok(place.insert(Arc::new(Line::open(version)?)).clone()),
        }
    }
}

/// Whether a socket was not opened for want of a permission.
pub(super) fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// An open socket and the runs that wait for something on it.
#[derive(Debug)]
pub(super) struct Line {
    socket: UdpSocket,
    version: Version,
    /// An IPv4 header stands before what it receives.
    ip_header: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The run that reads for all.
    reader: Option<u64>,
    /// Runs by their nonce.
    runs: BTreeMap<u64, Waiting>,
    /// The socket failed: the next run opens another.
    broken: bool,
}

#[derive(Debug)]
struct Waiting {
    address: IpAddr,
    size: usize,
    echoes: Vec<Echo>,
    /// Echoes it still waits for before it wants to be woken; none while more are to be sent.
    missing: Option<usize>,
    /// Set while it waits and somebody else reads.
    waker: Option<Waker>,
}

/// What ends a wait before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// One echo of the run.
    First,
    All,
}

/// One echo of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Echo {
    /// When it was sent.
    pub(super) sent: Monotonic,
    /// Its round trip in microseconds; `None` until it is back.
    pub(super) rtt_us: Option<u64>,
}

impl State {
    /// Notes a reply that came at `now` from `source`. Whatever nobody waits for changes nothing.
    fn take(&mut self, reply: Reply, source: IpAddr, now: Monotonic) {
        let Some(run) = self.runs.get_mut(&reply.nonce) else { return };
        if run.address != source || run.size != reply.size {
            return;
        }
        let Some(echo) = run.echoes.get_mut(usize::from(reply.number)) else { return };
        if echo.rtt_us.is_some() {
            return;
        }
        echo.rtt_us = Some(now.us_since(echo.sent));
        if let Some(missing) = &mut run.missing {
            // Several may come before it is woken by the first.
            *missing = missing.saturating_sub(1);
            if *missing == 0
                && let Some(waker) = run.waker.take()
            {
                waker.wake();
            }
        }
    }

    /// The run `nonce` waits no more: another one reads, if it was the reader.
    fn leave(&mut self, nonce: u64) {
        if let Some(run) = self.runs.get_mut(&nonce) {
            run.waker = None;
            run.missing = None;
        }
        if self.reader == Some(nonce) {
            let next = self.runs.iter_mut().find_map(|(nonce, run)| Some((*nonce, run.waker.take()?)));
            self.reader = next.map(|(nonce, waker)| {
                waker.wake();
                nonce
            });
        }
    }
}

impl Line {
    fn open(version: Version) -> io::Result<Self> {
        let (domain, protocol) = match version {
            Version::V4 => (Domain::IPV4, Protocol::ICMPV4),
            Version::V6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => (socket, false),
            // A raw socket takes a privilege, and sees every answer to anybody on this machine.
            Err(error) if is_refused(&error) => (Socket::new(domain, Type::RAW, Some(protocol))?, true),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        let socket = UdpSocket::from_std(StdUdpSocket::from(OwnedFd::from(socket)))?;
        Ok(Self::over(socket, version, raw && version == Version::V4))
    }

    fn over(socket: UdpSocket, version: Version, ip_header: bool) -> Self {
        Self { socket, version, ip_header, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run of up to `count` echoes with `size` bytes of payload to `address`.
    pub(super) fn begin(self: &Arc<Self>, address: SocketAddr, size: usize, count: usize) -> io::Result<Echoes> {
        let nonce = nonce()?;
        let mut state = self.state();
        if state.runs.len() >= RUNS_MAX {
            return Err(io::Error::other(format!("{RUNS_MAX} runs wait for echoes already")));
        }
        let echoes = Vec::with_capacity(count);
        state.runs.insert(nonce, Waiting { address: address.ip(), size, echoes, missing: None, waker: None });
        drop(state);
        Ok(Echoes { line: self.clone(), nonce, address, request: packet::Request::new(self.version, nonce, size) })
    }

    /// Reads what came until `nonce` has what it waits for. Registers `context` for more.
    fn read(&self, nonce: u64, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut space = [MaybeUninit::uninit(); ANSWER_BYTES_MAX];
            let mut buffer = ReadBuf::uninit(&mut space);
            let source = match self.socket.poll_recv_from(context, &mut buffer) {
                Poll::Ready(received) => received?,
                Poll::Pending => return Poll::Pending,
            };
            let now = clock::monotonic();
            let Some(reply) = packet::reply(self.version, self.ip_header, buffer.filled()) else { continue };
            let mut state = self.state();
            state.take(reply, source.ip(), now);
            if state.runs.get(&nonce).is_none_or(|run| run.missing == Some(0)) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// As [`Echoes::wait`], without its time limit.
    fn poll_all(&self, nonce: u64, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut state = self.state();
            let State { reader, runs, broken } = &mut *state;
            if *broken {
                return Poll::Ready(Err(io::Error::other("the socket of echoes failed")));
            }
            let Some(run) = runs.get_mut(&nonce) else { return Poll::Ready(Ok(())) };
            if run.missing == Some(0) {
                return Poll::Ready(Ok(()));
            }
            if *reader.get_or_insert(nonce) != nonce {
                if run.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
                    run.waker = Some(context.waker().clone());
                }
                return Poll::Pending;
            }
        }
        let read = self.read(nonce, context);
        if let Poll::Ready(Err(_)) = &read {
            let mut state = self.state();
            state.broken = true;
            for waker in state.runs.values_mut().filter_map(|run| run.waker.take()) {
                waker.wake();
            }
        }
        read
    }
}

/// Eight bytes that nobody else can guess.
fn nonce() -> io::Result<u64> {
    let mut bytes = [0; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| io::Error::other("no randomness from the system"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A run's echoes. Forgotten when dropped: replies that come later are nobody's.
#[derive(Debug)]
pub(super) struct Echoes {
    line: Arc<Line>,
    nonce: u64,
    address: SocketAddr,
    request: packet::Request,
}

impl Echoes {
    /// Sends one more.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        let number = {
            let mut state = self.line.state();
            let Some(run) = state.runs.get_mut(&self.nonce) else { return Ok(()) };
            run.echoes.push(Echo { sent: clock::monotonic(), rtt_us: None });
            run.echoes.len() - 1
        };
        let request = self.request.numbered(u16::try_from(number).unwrap_or(u16::MAX));
        loop {
            match self.line.socket.try_send_to(request, self.address) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            self.line.socket.writable().await?;
            if let Some(run) = self.line.state().runs.get_mut(&self.nonce) {
                run.echoes[number].sent = clock::monotonic();
            }
        }
    }

    /// Waits until `until`, no longer than until what is wanted is back. Stamps what comes, for every run.
    pub(super) async fn wait(&self, until: Monotonic, wanted: Wanted) -> io::Result<()> {
        let waiting = Wait { line: &self.line, nonce: self.nonce };
        if let Some(run) = self.line.state().runs.get_mut(&self.nonce) {
            let lost = run.echoes.iter().filter(|echo| echo.rtt_us.is_none()).count();
            run.missing = match wanted {
                Wanted::Nothing => None,
                Wanted::First => Some(usize::from(lost == run.echoes.len())),
                Wanted::All => Some(lost),
            };
        }
        let mut sleep = pin!(tokio::time::sleep_until(clock::tokio_instant(until)));
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = waiting.line.poll_all(waiting.nonce, context) {
                return Poll::Ready(done);
            }
            // The clock itself is asked too: the run's own deadline may strike in the same tick, and its text says less.
            if clock::monotonic() >= until {
                return Poll::Ready(Ok(()));
            }
            sleep.as_mut().poll(context).map(Ok)
        })
        .await
    }

    /// What became of them so far.
    pub(super) fn seen(&self) -> Vec<Echo> {
        self.line.state().runs.get(&self.nonce).map_or_else(Vec::new, |run| run.echoes.clone())
    }
}

impl Drop for Echoes {
    fn drop(&mut self) {
        self.line.state().runs.remove(&self.nonce);
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
impl Line {
    /// Echoes over UDP.
    pub(super) async fn for_tests() -> Self {
        Self::over(UdpSocket::bind("127.0.0.1:0").await.unwrap(), Version::V4, false)
    }
}

/// Ends a wait, however it ends.
struct Wait<'a> {
    line: &'a Line,
    nonce: u64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.line.state().leave(self.nonce);
    }
}
