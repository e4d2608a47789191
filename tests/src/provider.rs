//! A notification provider on loopback: a real HTTP server that records what it is sent and answers each request as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;

use crate::wait;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Recorded, 200.
    Take,
    /// Recorded, 200, but late.
    TakeAfter(Duration),
    /// 429 with `Retry-After: 1`.
    TooMany,
    /// 500.
    Broken,
    /// 401.
    Unauthorized,
    /// 404.
    NotFound,
    /// 422.
    Unprocessable,
    /// Recorded, then silence until the sender goes away.
    TakeInSilence,
    /// The connection is reset before a byte is read.
    ResetAtOnce,
    /// Recorded, then the connection is reset.
    TakeAndReset,
}

impl Reply {
    /// Whether the provider has the message, whatever the sender heard.
    pub const fn takes(self) -> bool {
        match self {
            Self::Take | Self::TakeAfter(_) | Self::TakeInSilence | Self::TakeAndReset => true,
            Self::TooMany
            | Self::Broken
            | Self::Unauthorized
            | Self::NotFound
            | Self::Unprocessable
            | Self::ResetAtOnce => false,
        }
    }
}

/// A request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its path, which tells the channel.
    pub path: String,
    /// The `webhook-id`: the same for every attempt of a message.
    pub key: String,
    /// The body; JSON where it is some.
    pub body: serde_json::Value,
    /// When it had been read.
    pub at: UtcMicros,
    /// What became of it.
    pub reply: Reply,
    /// After how many fences ([`Provider::fence`]) it came.
    pub life: u32,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Reply>,
    received: Vec<Received>,
    /// How many connections were reset before they said anything.
    reset: usize,
    /// How many connections are taken in and not read to their end.
    reading: usize,
    /// The number of the fence that was read last.
    fence: u32,
    /// How many fences there were.
    life: u32,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ended: AtomicBool,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The provider. Ends when dropped.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Provider {
    /// Starts it on a free port of 127.0.0.1. It takes everything.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if state.ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let state = Arc::clone(&state);
                let reading = Reading::of(&state);
                std::thread::spawn(move || serve(stream, &state, reading).ok());
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// `http://ADDRESS:PORT/PATH`
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The next requests are answered so, one each; later ones are taken.
    pub fn script(&self, replies: &[Reply]) {
        self.shared.with(|state| state.script.extend(replies));
    }

    /// How many replies of the script are left.
    pub fn left(&self) -> usize {
        self.shared.with(|state| state.script.len())
    }

    /// Every request so far, in the order in which they had been read.
    pub fn received(&self) -> Vec<Received> {
        self.shared.with(|state| state.received.clone())
    }

    /// Tells what came before from what comes after, where the sender of before is dead: waits until all that it had sent is read. Connections are taken in
    /// in their order, so whoever comes in behind a connection of its own comes behind them all.
    ///
    /// # Panics
    /// When that takes more than a minute, or the next connection is to be reset, which would be this one.
    pub fn fence(&self) {
        let fence = self.shared.with(|state| {
            assert_ne!(state.script.front(), Some(&Reply::ResetAtOnce), "a fence would be reset");
            state.life + 1
        });
        let mut stream = TcpStream::connect(self.address).expect("the provider listens");
        writeln!(stream, "{FENCE} {fence}").expect("the provider reads");
        wait::until("all that was sent is read", 60, || {
            self.shared.with(|state| {
                let read = state.fence == fence && state.reading == 0;
                if read { Ok(()) } else { Err((state.fence, state.reading)) }
            })
        });
        self.shared.with(|state| state.life = fence);
    }

    /// How many connections were reset before they said anything.
    pub fn resets(&self) -> usize {
        self.shared.with(|state| state.reset)
    }
}

/// What a connection says that is no message: [`Provider::fence`].
const FENCE: &str = "FENCE";

/// A connection that is not read to its end.
struct Reading(Arc<Shared>);

impl Reading {
    fn of(shared: &Arc<Shared>) -> Self {
        shared.with(|state| state.reading += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.with(|state| state.reading -= 1);
    }
}

fn serve(stream: TcpStream, shared: &Shared, reading: Reading) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    // A reset costs its turn before anything is read.
    let at_once = shared.with(|state| {
        let at_once = state.script.front() == Some(&Reply::ResetAtOnce);
        if at_once {
            state.script.pop_front();
            state.reset += 1;
        }
        at_once
    });
    if at_once {
        return reset(stream);
    }
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if let Some(fence) = line.strip_prefix(FENCE) {
        shared.with(|state| state.fence = fence.trim().parse().unwrap_or(0));
        return Ok(());
    }
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (mut key, mut length) = (String::new(), 0);
    loop {
        line.clear();
        match reader.read_line(&mut line)? {
            // The sender died before it had said everything: nothing was received.
            0 => return Ok(()),
            1 | 2 => break,
            _ => {}
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => value.trim().clone_into(&mut key),
                "content-length" => length = value.trim().parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let reply = shared.with(|state| {
        let reply = state.script.pop_front().unwrap_or(Reply::Take);
        state.received.push(Received { path, key, body, at: clock::now(), reply, life: state.life });
        reply
    });
    drop(reading);
    let mut stream = stream;
    let mut answer = |status: &str, headers: &str| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n{headers}\r\nok")
    };
    match reply {
        Reply::Take => answer("200 OK", ""),
        Reply::TakeAfter(late) => {
            // How late it is, is the test's input.
            std::thread::sleep(late);
            answer("200 OK", "")
        }
        Reply::TooMany => answer("429 Too Many Requests", "Retry-After: 1\r\n"),
        Reply::Broken => answer("500 Internal Server Error", ""),
        Reply::Unauthorized => answer("401 Unauthorized", ""),
        Reply::NotFound => answer("404 Not Found", ""),
        Reply::Unprocessable => answer("422 Unprocessable Content", ""),
        Reply::TakeInSilence => {
            // Ends when the sender closes the connection.
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).map(drop)
        }
        // Of a connection with a script that begins so, it came to its turn after another one.
        Reply::ResetAtOnce | Reply::TakeAndReset => reset(stream),
    }
}

/// Ends a connection by RST.
fn reset(stream: TcpStream) -> std::io::Result<()> {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO))?;
    drop(socket);
    Ok(())
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
