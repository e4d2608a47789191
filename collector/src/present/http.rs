//! Listens for HTTP: TCP (with TLS where it is configured) and the admin socket.
//!
//! Limits: [`CONNECTIONS_MAX`] connections on TCP, shared out by [`room`], and [`SOCKET_CONNECTIONS_MAX`] on the socket (more wait in the kernel's queue),
//! [`HEADER_TIMEOUT`] to send a request's head, [`HEAD_BYTES_MAX`] for it, [`BODY_TIMEOUT`] for its body, which each route bounds. The admin socket is
//! made with mode 0600: who may open it is an administrator. What stands in front of the listener says [`Front`].

mod body;
mod front;
mod room;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sitepulse_daemon::task::TaskSet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use self::body::Timely;
pub use self::body::{BODY_BYTES_PER_SECOND, BODY_TIMEOUT};
pub use self::front::Front;
pub use self::room::{CONNECTIONS_MAX, PEER_MAX};
use self::room::{Entry, Room, Seat};
use crate::present::door::Door;

/// Most connections at a time on the admin socket.
pub const SOCKET_CONNECTIONS_MAX: usize = 64;
/// How long a request's head may take, an idle connection's next one too.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
pub const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// The admin socket's name in the data directory.
pub const SOCKET: &str = "admin.sock";

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Plain HTTP would leave this machine.
    #[error(
        "--http {0} is not a loopback address and there is no TLS: set certificate and key under [http_tls] in the \
         configuration, or listen on 127.0.0.1 behind a proxy"
    )]
    PlainOutside(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on http address {address}: {source}{}", hint(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error("cannot make the admin socket {path}: {source}{}", socket_hint(path))]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error("cannot use {path} for TLS: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::AddrInUse {
        ": another program uses it; choose another with --http"
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        ": ports below 1024 need a privilege; choose another with --http"
    } else {
        ""
    }
}

fn socket_hint(path: &Path) -> &'static str {
    // `sun_path` holds 108 bytes with its end.
    if path.as_os_str().len() > 107 {
        ": the path is longer than a socket's may be; choose a shorter --data-dir"
    } else {
        ""
    }
}

/// The files for TLS, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A bound TCP listener.
pub struct HttpListener {
    listener: TcpListener,
    local: SocketAddr,
    tls: Option<TlsAcceptor>,
    front: Front,
    limits: Limits,
}

/// What a listener puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time.
    pub connections: usize,
    /// Most of them from one address, see [`PEER_MAX`].
    pub of_peer: usize,
    /// How long a body may take, see [`BODY_TIMEOUT`].
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: CONNECTIONS_MAX, of_peer: PEER_MAX, body: BODY_TIMEOUT }
    }
}

impl HttpListener {
    /// Binds.
    ///
    /// # Errors
    /// See [`HttpError`]; without TLS only loopback addresses are taken.
    pub async fn bind(address: SocketAddr, tls: Option<&TlsFiles>) -> Result<Self, HttpError> {
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(HttpError::PlainOutside(address));
        }
        let tls = tls.map(acceptor).transpose()?;
        let listen = |source| HttpError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let local = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, local, tls, front: Front::default(), limits: Limits::default() })
    }

    /// With something in front of it.
    #[must_use]
    pub fn behind(self, front: Front) -> Self {
        Self { front, ..self }
    }

    /// Within other limits.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Where it listens; the port is the real one.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where browsers on this machine reach it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let ip =
            if self.local.ip().is_unspecified() { std::net::IpAddr::from([127, 0, 0, 1]) } else { self.local.ip() };
        format!("{scheme}://{}", SocketAddr::new(ip, self.local.port()))
    }

    /// Serves until `stopping` turns true; open connections then finish their answer.
    pub async fn run(self, router: Router, tasks: TaskSet, mut stopping: watch::Receiver<bool>) {
        let (loopback, front, limits) = (self.local.ip().is_loopback(), self.front, self.limits);
        let floor = Floor::new(limits);
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => { pause(&error).await; continue }
                },
            };
            let Some(standing) = floor.enter(peer) else {
                tracing::debug!(%peer, "turned away: everybody who is connected is known");
                continue;
            };
            // Without it small answers wait for the peer's delayed acknowledgement; a socket that refuses it still works.
            drop(stream.set_nodelay(true));
            let door = front.door(peer, loopback, self.tls.is_some());
            let (router, stopping, tls) = (router.clone(), stopping.clone(), self.tls.clone());
            tasks.spawn("http connection", async move {
                let _place = Place(standing.clone());
                let entrance = Entrance { door, front, body: limits.body, standing: Some(standing.clone()) };
                let served = async {
                    match tls {
                        None => serve(stream, entrance, router, stopping).await,
                        Some(tls) => match tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                            Ok(Ok(stream)) => serve(stream, entrance, router, stopping).await,
                            Ok(Err(error)) => tracing::debug!(%peer, "TLS handshake failed: {error}"),
                            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                        },
                    }
                };
                tokio::select! {
                    () = served => {}
                    () = standing.goes.notified() => tracing::debug!(%peer, "gave way to another connection"),
                }
            });
        }
    }
}

/// The connections of a listener.
#[derive(Debug, Clone)]
struct Floor(Arc<Mutex<Seated>>);

#[derive(Debug)]
struct Seated {
    room: Room,
    /// How each is told to go.
    goes: BTreeMap<Seat, Arc<Notify>>,
}

impl Floor {
    fn new(limits: Limits) -> Self {
        let room = Room::new(limits.connections, limits.of_peer);
        Self(Arc::new(Mutex::new(Seated { room, goes: BTreeMap::new() })))
    }

    fn seated(&self) -> MutexGuard<'_, Seated> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, peer: SocketAddr) -> Option<Standing> {
        let mut seated = self.seated();
        let Entry::Seat(seat, gone) = seated.room.enter(peer.ip()) else { return None };
        if let Some(goes) = gone.and_then(|gone| seated.goes.remove(&gone)) {
            goes.notify_one();
        }
        let goes = Arc::new(Notify::new());
        seated.goes.insert(seat, Arc::clone(&goes));
        drop(seated);
        Some(Standing { floor: self.clone(), seat, goes })
    }
}

/// A connection's place among the others.
#[derive(Debug, Clone)]
pub struct Standing {
    floor: Floor,
    seat: Seat,
    goes: Arc<Notify>,
}

impl Standing {
    /// Who holds it showed a session or a token that holds: it gives way to nobody.
    pub fn known(&self) {
        self.floor.seated().room.known(self.seat);
    }
}

/// Frees a connection's place when it ends, however it does.
struct Place(Standing);

impl Drop for Place {
    fn drop(&mut self) {
        let Standing { floor, seat, .. } = &self.0;
        let mut seated = floor.seated();
        seated.room.leave(*seat);
        seated.goes.remove(seat);
    }
}

/// The bound admin socket. Its file goes when it is dropped.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds `<data_dir>/admin.sock`, mode 0600. What lies there from a killed run is replaced: the data directory's lock is ours.
    ///
    /// # Errors
    /// [`HttpError::Socket`].
    pub fn bind(data_dir: &Path) -> Result<Self, HttpError> {
        let path = data_dir.join(SOCKET);
        let socket = |source| HttpError::Socket { path: path.clone(), source };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(socket(error)),
            Ok(()) | Err(_) => {}
        }
        // Between bind and chmod the directory's own mode 0700 keeps others out.
        let listener = UnixListener::bind(&path).map_err(socket)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(socket)?;
        Ok(Self { listener, path })
    }

    /// Serves until `stopping` turns true.
    pub async fn run(self, router: Router, tasks: TaskSet, mut stopping: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(SOCKET_CONNECTIONS_MAX));
        loop {
            let Some(slot) = slot(&slots, &mut stopping).await else { return };
            let stream = tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => { pause(&error).await; continue }
                },
            };
            let (router, stopping) = (router.clone(), stopping.clone());
            tasks.spawn("admin connection", async move {
                let entrance =
                    Entrance { door: Door::Local, front: Front::default(), body: BODY_TIMEOUT, standing: None };
                serve(stream, entrance, router, stopping).await;
                drop(slot);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // A leftover is replaced at the next start.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Waits until the server stops.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A closed channel means the end as well.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

async fn slot(slots: &Arc<Semaphore>, stopping: &mut watch::Receiver<bool>) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = stopped(stopping) => None,
        permit = Arc::clone(slots).acquire_owned() => permit.ok(),
    }
}

/// No file descriptors are left, or the like: the next try comes a little later.
async fn pause(error: &io::Error) {
    tracing::warn!("cannot accept an HTTP connection: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// How a connection came in.
struct Entrance {
    door: Door,
    front: Front,
    /// How long a body may take.
    body: Duration,
    standing: Option<Standing>,
}

async fn serve<S>(stream: S, entrance: Entrance, router: Router, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Entrance { door, front, body: within, standing } = entrance;
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(|body| Body::new(Timely::new(body, within)));
        let door = front.door_of(door, request.headers());
        request.extensions_mut().insert(door);
        if let Some(standing) = &standing {
            request.extensions_mut().insert(standing.clone());
        }
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("HTTP connection ended: {error}");
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, HttpError> {
    let fault = |path: &Path, reason: String| HttpError::Tls { path: path.to_path_buf(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fault(&files.certificate, format!("{error}: it must hold a certificate chain in PEM")))?;
    if chain.is_empty() {
        return Err(fault(&files.certificate, "it holds no certificate in PEM".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fault(&files.key, format!("{error}: it must hold a private key in PEM")))?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| fault(&files.key, format!("{error}: certificate and key must belong together")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Writes a text so that it may stand in a path or query: everything but letters, digits, `-`, `_`, `.` and `~` as `%XX`.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("a/b c&é"), "a%2Fb%20c%26%C3%A9");
    }
}
