//! A small web server on loopback whose answers take as long as they say. What a page wants to tell the test it asks for: `/told?...`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sitepulse_browser::{Dialled, Gate, Refusal};
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is sent, piece by piece.
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(u64),
    /// The connection is reset.
    Reset,
    /// The same again and again, so many milliseconds apart.
    Drip(Vec<u8>, u64),
}

/// An answer, and whether the connection is kept.
pub(crate) struct Answer(pub(crate) Vec<Step>, pub(crate) bool);

impl Answer {
    pub(crate) fn new(status: u16, headers: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nCache-Control: max-age=60\r\n{headers}\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend(body);
        Self(vec![Step::Send(bytes)], true)
    }

    pub(crate) fn html(body: &str) -> Self {
        Self::new(
            200,
            "Content-Type: text/html; charset=utf-8\r\n",
            format!("<!doctype html><html><body>{body}</body></html>"),
        )
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::new(302, &format!("Location: {to}\r\n"), "")
    }

    /// The same, so many milliseconds later.
    pub(crate) fn after(mut self, ms: u64) -> Self {
        self.0.insert(0, Step::Wait(ms));
        self
    }
}

/// Answers a path with its query.
pub(crate) type Site = fn(&str) -> Answer;

/// A server that goes when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(site: Site) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let notes = told.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let notes = notes.clone();
                connections.spawn(async move { drop(serve(stream, site, &notes).await) });
            }
        });
        Self { address, told, _tasks: tasks }
    }

    /// What pages told: the queries of `/told`.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.told.lock().unwrap().clear();
    }

    /// Waits until a page has told this.
    pub(crate) async fn wait_for(&self, what: &str) {
        while !self.told().iter().any(|told| told == what) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn serve(mut stream: TcpStream, site: Site, told: &Mutex<Vec<String>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let Answer(steps, keep) = match path.split_once("/told?") {
            Some((_, what)) => {
                told.lock().unwrap().push(what.to_owned());
                Answer::new(200, "Content-Type: text/plain\r\n", "ok")
            }
            None => site(path),
        };
        for step in steps {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Step::Reset => {
                    stream.set_zero_linger()?;
                    return Ok(());
                }
                Step::Drip(bytes, ms) => loop {
                    stream.write_all(&bytes).await?;
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                },
            }
        }
        if !keep {
            return Ok(());
        }
    }
}

/// Lets all names of the tests lead to the server: `page.test`, `other.test`. But `denied.test` is refused, `nowhere.test` does not exist, and nobody listens at
/// `closed.test`.
pub(crate) struct Loopback(pub(crate) SocketAddr);

impl Gate for Loopback {
    fn open<'a>(&'a self, host: &'a str, port: u16, _timeout_us: u64) -> BoxFuture<'a, Result<Dialled, Refusal>> {
        let refusal = |cause, phase, text: &str| Refusal { cause, phase, detail: text.to_owned(), address: None };
        Box::pin(async move {
            match host {
                "denied.test" => Err(refusal(Cause::PolicyRefused, Phase::Connect, "policy: denied.test is refused")),
                "nowhere.test" => Err(refusal(Cause::DnsFailed, Phase::Dns, "DNS: nowhere.test does not exist")),
                "closed.test" => Err(refusal(Cause::ConnectionRefused, Phase::Connect, "connect: nobody listens")),
                _ if host.ends_with(".test") && port == self.0.port() => {
                    let stream = TcpStream::connect(self.0)
                        .await
                        .map_err(|error| refusal(Cause::Unreachable, Phase::Connect, &error.to_string()))?;
                    Ok(Dialled { stream, address: self.0, dns_us: Some(1_500), connect_us: 700 })
                }
                _ => Err(refusal(Cause::PolicyRefused, Phase::Connect, "policy: not of this test")),
            }
        })
    }
}
