//! The table of hostile behaviours, and the servers that behave so.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::thread::JoinHandle;
use std::time::Duration;

use sitepulse_model::record::Cause;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Probes of one behaviour at once.
pub(crate) const CONCURRENT: usize = 100;
/// The same of one that takes most of the time there is.
const COSTLY: usize = 10;

/// How the prober is told to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// HTTP/2 with prior knowledge.
    PlainH2,
    /// A connection that is read.
    Tcp,
    WebSocket,
}

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One row.
pub(crate) struct Behaviour {
    pub(crate) name: &'static str,
    pub(crate) scheme: Scheme,
    pub(crate) redirects: u8,
    pub(crate) post_bytes: usize,
    pub(crate) timeout: Duration,
    /// Probes of it at once.
    pub(crate) at_once: usize,
    /// What is asked of the body.
    pub(crate) expect: &'static [&'static str],
    /// What a run may end as; `None` is up.
    pub(crate) outcomes: &'static [Option<Cause>],
    serve: Box<dyn Fn(TcpStream) -> Served + Send + Sync>,
}

impl Behaviour {
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        scheme: Scheme,
        name: &'static str,
        outcomes: &'static [Option<Cause>],
        serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self {
        // Only those that make the prober wait take all of their time.
        let waits = outcomes == TIMEOUT;
        let timeout = if waits { Duration::from_millis(500) } else { Duration::from_secs(20) };
        let serve = Box::new(move |stream| Box::pin(serve(stream)) as Served);
        Self { name, scheme, redirects: 0, post_bytes: 0, timeout, at_once: CONCURRENT, expect: &[], outcomes, serve }
    }

    pub(crate) fn redirects(mut self, redirects: u8) -> Self {
        self.redirects = redirects;
        self
    }

    /// Asks this of the body. Looking for it is the work: it gets the time that it takes, on a machine that does other things too.
    pub(crate) fn expect(mut self, expect: &'static [&'static str]) -> Self {
        self.expect = expect;
        self.timeout = Duration::from_secs(300);
        self
    }

    /// Of those that take a tenth of a second or more to judge: they are judged in turn.
    pub(crate) fn few(mut self) -> Self {
        self.at_once = COSTLY;
        self
    }

    pub(crate) fn post(mut self, bytes: usize) -> Self {
        self.post_bytes = bytes;
        self
    }
}

pub(crate) const UP: &[Option<Cause>] = &[None];
pub(crate) const TIMEOUT: &[Option<Cause>] = &[Some(Cause::Timeout)];
pub(crate) const PROTOCOL: &[Option<Cause>] = &[Some(Cause::ProtocolError)];
/// The bound may come before the damage, or after.
pub(crate) const UP_OR_PROTOCOL: &[Option<Cause>] = &[None, Some(Cause::ProtocolError)];
pub(crate) const RESET: &[Option<Cause>] = &[Some(Cause::ConnectionReset)];
pub(crate) const REDIRECT: &[Option<Cause>] = &[Some(Cause::RedirectFailed)];
pub(crate) const TLS_FAILED: &[Option<Cause>] = &[Some(Cause::TlsFailed)];
pub(crate) const CERTIFICATE: &[Option<Cause>] = &[Some(Cause::CertificateInvalid)];
pub(crate) const ASSERTION: &[Option<Cause>] = &[Some(Cause::AssertionFailed)];

/// All behaviours.
pub(crate) fn table() -> Vec<Behaviour> {
    let mut table = super::http::table();
    table.extend(super::tls::table());
    table.extend(super::h2::table());
    table.extend(super::bodies::table());
    table
}

/// The servers, on a thread of their own; gone when this is dropped.
pub(crate) struct Servers {
    addresses: Vec<SocketAddr>,
    friend: SocketAddr,
    threads: Vec<(Option<oneshot::Sender<()>>, JoinHandle<()>)>,
}

impl Servers {
    pub(crate) fn start(behaviours: &[Behaviour]) -> Self {
        let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners: Vec<_> = behaviours.iter().map(|_| bind()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        // Rows are tables of pointers to code: the servers build their own.
        let rows = table();
        let hostile = thread(move |tasks| {
            for (listener, row) in listeners.into_iter().zip(rows) {
                serve(tasks, listener, row.serve);
            }
        });
        let friendly = bind();
        let friend = friendly.local_addr().unwrap();
        let friendly = thread(move |tasks| {
            let answer = |mut stream: TcpStream| -> Served {
                Box::pin(async move {
                    request(&mut stream).await;
                    send(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await;
                })
            };
            serve(tasks, friendly, Box::new(answer));
        });
        Self { addresses, friend, threads: vec![hostile, friendly] }
    }

    /// Where each row is served, in the table's order.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A server that behaves.
    pub(crate) fn friend(&self) -> SocketAddr {
        self.friend
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for (stop, thread) in self.threads.drain(..) {
            drop(stop);
            thread.join().unwrap();
        }
    }
}

fn thread(start: impl FnOnce(&mut JoinSet<()>) + Send + 'static) -> (Option<oneshot::Sender<()>>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            start(&mut tasks);
            stopped.await.unwrap_err();
        });
    });
    (Some(stop), thread)
}

fn serve(
    tasks: &mut JoinSet<()>,
    listener: std::net::TcpListener,
    serve: Box<dyn Fn(TcpStream) -> Served + Send + Sync>,
) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tasks.spawn(async move {
        let mut served = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    served.spawn(serve(accepted.unwrap().0));
                }
                Some(ended) = served.join_next() => ended.unwrap(),
            }
        }
    });
}

/// Reads a request up to its empty line.
pub(crate) async fn request(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Sends, as far as the prober listens.
pub(crate) async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.ok();
}

/// Sends again and again until the prober hangs up.
pub(crate) async fn flood(stream: &mut TcpStream, block: &[u8]) {
    while stream.write_all(block).await.is_ok() {}
}

/// Sends one byte a second until the prober hangs up.
pub(crate) async fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    let mut sink = [0; 256];
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        let second = tokio::time::sleep(Duration::from_secs(1));
        tokio::pin!(second);
        loop {
            tokio::select! {
                () = &mut second => break,
                read = stream.read(&mut sink) => if !matches!(read, Ok(1..)) { return },
            }
        }
    }
}

/// Waits until the prober hangs up.
pub(crate) async fn outlast(stream: &mut TcpStream) {
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink).await, Ok(1..)) {}
}

/// Resets the connection.
pub(crate) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}
