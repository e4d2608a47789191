//! Bare programs that do on the wire what a check does, and nothing else: no schedule, no assertions, no phases, no spool. And the driver
//! that asks blackbox_exporter for probes.
//!
//! `probes floor PACE CA KIND TARGET`. Over standard input it is told to `work` and to `rest`; it answers each with the number of
//! probes that failed since the last.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};

type Outcome = Result<(), Box<dyn std::error::Error>>;

enum Bare {
    Tcp(SocketAddr),
    Http(SocketAddr),
    Https(SocketAddr, tokio_rustls::TlsConnector),
    H3(SocketAddr, quinn::Endpoint),
    Icmp(SocketAddr, UdpSocket),
    /// Asks the exporter at an address for a path; connections are kept.
    Asked(SocketAddr, String, tokio::sync::Mutex<Vec<http1::SendRequest<Empty<Bytes>>>>),
}

pub(crate) fn run(words: &[String]) {
    let [pace, ca, kind, target, rest @ ..] = words else { panic!("floor PACE CA KIND TARGET") };
    let pace: u32 = pace.parse().expect("a number");
    let working = Arc::new(AtomicBool::new(false));
    let failed = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    {
        let (working, failed) = (working.clone(), failed.clone());
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                working.store(line == "work", Ordering::SeqCst);
                println!("{}", failed.swap(0, Ordering::SeqCst));
                std::io::stdout().flush().ok();
            }
            // Whoever started us has gone.
            std::process::exit(0);
        });
    }
    local.block_on(&runtime, async move {
        let bare = Rc::new(Bare::new(kind, target, rest, Path::new(ca)));
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / pace);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        loop {
            if !working.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(100)).await;
                ticks.reset();
                continue;
            }
            ticks.tick().await;
            let (bare, failed) = (bare.clone(), failed.clone());
            tokio::task::spawn_local(async move {
                let Ok(done) = tokio::time::timeout(Duration::from_secs(5), bare.probe()).await else {
                    failed.fetch_add(1, Ordering::SeqCst);
                    return;
                };
                if let Err(error) = done {
                    eprintln!("floor: {error}");
                    failed.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
}

impl Bare {
    fn new(kind: &str, target: &str, rest: &[String], ca: &Path) -> Self {
        let address = || target.parse().expect("an address");
        match kind {
            "tcp" => Self::Tcp(address()),
            "http" => Self::Http(address()),
            "https" => Self::Https(address(), tokio_rustls::TlsConnector::from(Arc::new(tls(ca, b"http/1.1")))),
            "h3" => {
                let config =
                    quinn::crypto::rustls::QuicClientConfig::try_from(tls(ca, b"h3")).expect("TLS 1.3 is there");
                let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a port");
                endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
                Self::H3(address(), endpoint)
            }
            "icmp" => {
                let socket =
                    Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4)).expect("echoes are allowed");
                socket.set_nonblocking(true).expect("it can be");
                let socket = std::net::UdpSocket::from(std::os::fd::OwnedFd::from(socket));
                let target = SocketAddr::new(target.parse().expect("an address"), 0);
                Self::Icmp(target, UdpSocket::from_std(socket).expect("within a runtime"))
            }
            "asked" => Self::Asked(address(), rest[0].clone(), tokio::sync::Mutex::default()),
            other => panic!("no floor of kind {other:?}"),
        }
    }

    async fn probe(&self) -> Outcome {
        match self {
            Self::Tcp(address) => drop(TcpStream::connect(address).await?),
            Self::Http(address) => get(TcpStream::connect(address).await?, *address).await?,
            Self::Https(address, connector) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                get(connector.connect(ServerName::from(address.ip()), stream).await?, *address).await?;
            }
            Self::H3(address, endpoint) => h3(endpoint, *address).await?,
            Self::Icmp(address, socket) => {
                // Type, code, sum (the kernel fills it in), identifier (too), number, payload.
                let mut echo = [0; 64];
                echo[0] = 8;
                socket.send_to(&echo, address).await?;
                let mut answer = [0; 128];
                socket.recv_from(&mut answer).await?;
            }
            Self::Asked(address, path, kept) => {
                let idle = kept.lock().await.pop();
                let mut sender = match idle {
                    Some(sender) => sender,
                    None => {
                        let (sender, connection) =
                            http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
                        tokio::task::spawn_local(async move { connection.await.ok() });
                        sender
                    }
                };
                let request = hyper::Request::get(path).header("Host", address.to_string()).body(Empty::new())?;
                let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
                let text = String::from_utf8_lossy(&body);
                if !text.lines().any(|line| line == "probe_success 1") {
                    return Err(format!("blackbox_exporter says no: {text}").into());
                }
                kept.lock().await.push(sender);
            }
        }
        Ok(())
    }
}

fn tls(ca: &Path, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("the authority is there")).expect("it is one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has it")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

async fn get(stream: impl AsyncRead + AsyncWrite + Unpin, address: SocketAddr) -> Outcome {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::get("/")
        .header("Host", address.to_string())
        .header("Connection", "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async { sender.send_request(request).await?.into_body().collect().await };
    let (answer, connection) = tokio::join!(answer, connection);
    answer?;
    connection?;
    Ok(())
}

async fn h3(endpoint: &quinn::Endpoint, address: SocketAddr) -> Outcome {
    let connection = endpoint.connect(address, "127.0.0.1")?.await?;
    let (mut driver, mut sender) = h3::client::new(h3_quinn::Connection::new(connection.clone())).await?;
    let exchange = async {
        let request = hyper::Request::get(format!("https://{address}/")).body(())?;
        let mut stream = sender.send_request(request).await?;
        stream.finish().await?;
        stream.recv_response().await?;
        while stream.recv_data().await?.is_some() {}
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    tokio::select! {
        done = exchange => done?,
        closed = std::future::poll_fn(|context| driver.poll_close(context)) => return Err(closed.into()),
    }
    connection.close(0x100_u32.into(), b"");
    Ok(())
}
