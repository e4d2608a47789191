//! A small web server on loopback whose answers take as long as they say. What a page wants to tell the test it asks for: `/told?...`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sitepulse_browser::{Dialled, Gate, Refusal};
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

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
        let acceptor = acceptor();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let notes = notes.clone();
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let mut first = [0];
                    // Both at one port: a TLS handshake begins with 22.
                    match stream.peek(&mut first).await {
                        Ok(1) if first == [22] => {
                            // The browser leaves where it does not like the certificate.
                            if let Ok(stream) = acceptor.accept(stream).await {
                                drop(serve(stream, site, &notes).await);
                            }
                        }
                        _ => {
                            drop(stream.set_nodelay(true));
                            drop(serve(stream, site, &notes).await);
                        }
                    }
                });
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

/// With a certificate that nobody known has signed.
fn acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(["page.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// A connection that can be reset.
trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn reset(self) -> std::io::Result<()>;
}

impl Stream for TcpStream {
    fn reset(self) -> std::io::Result<()> {
        self.set_zero_linger()
    }
}

impl Stream for TlsStream<TcpStream> {
    fn reset(self) -> std::io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

async fn serve(mut stream: impl Stream, site: Site, told: &Mutex<Vec<String>>) -> std::io::Result<()> {
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
                Step::Reset => return stream.reset(),
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
