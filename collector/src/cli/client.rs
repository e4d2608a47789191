//! How a command reaches the collector: the admin socket, `--url` with `--token`, or the router in this process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sitepulse_daemon::clock;
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::lock::DataDirLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tower::ServiceExt;

use crate::app::App;
use crate::cli::{Failure, Global};
use crate::present::Present;
use crate::present::door::Door;
use crate::present::dto::ProblemView;
use crate::present::http::SOCKET;
use crate::present::list::LIMIT_MAX;
use crate::present::route;
use crate::store;

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How long a collector may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a run-now may take: six attempts of five minutes, and some.
const RUN_TIMEOUT: Duration = Duration::from_secs(31 * 60);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a command needs to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A running server.
    Server,
    /// A server, or the data of one that is stopped.
    Data,
    /// A server, or a data directory, made where there is none.
    Directory,
}

enum Way {
    Socket(PathBuf),
    Remote { uri: Uri, token: String },
    Here { router: Router, app: App },
}

/// A way to the collector.
pub struct Client {
    way: Way,
}

impl Client {
    /// Finds the way.
    ///
    /// # Errors
    /// When no collector is there, or its data cannot be used.
    pub async fn open(global: &Global, need: Need) -> Result<Self, Failure> {
        if let Some(url) = &global.url {
            return Ok(Self { way: remote(url, global.token.as_deref())? });
        }
        let dir = global.data_dir();
        let socket = dir.join(SOCKET);
        let Err(error) = UnixStream::connect(&socket).await else {
            return Ok(Self { way: Way::Socket(socket) });
        };
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
            return Self::here(&dir, need).await;
        }
        let socket = socket.display();
        if kind == io::ErrorKind::PermissionDenied {
            let message = format!(
                "{socket} is not yours to open: run this as the collector's user, or from afar with --url and --token"
            );
            return Err(Failure::new(Exit::DataDir, message));
        }
        Err(Failure::new(Exit::Unreachable, format!("cannot open {socket}: {error}")))
    }

    async fn here(dir: &Path, need: Need) -> Result<Self, Failure> {
        let start = "start it with `sitepulse-collector serve`, or name its directory with --data-dir";
        if DataDirLock::is_held(dir) {
            let message = format!(
                "a process holds {} but does not answer on its admin socket: it is starting or stopping, try again",
                dir.display()
            );
            return Err(Failure::new(Exit::Unreachable, message));
        }
        if need == Need::Server {
            return Err(Failure::new(Exit::Unreachable, format!("no collector runs in {}: {start}", dir.display())));
        }
        if need == Need::Data && !dir.join(store::FILE).exists() {
            let message = format!("no collector runs in {} and no data is there: {start}", dir.display());
            return Err(Failure::new(Exit::Unreachable, message));
        }
        let owned = dir.to_path_buf();
        let app = tokio::task::spawn_blocking(move || App::open_still(&owned, clock::now()))
            .await
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?
            .map_err(|error| Failure::new(error.exit(), error.to_string()))?;
        let router = route::router(Present::in_process(app.clone()));
        Ok(Self { way: Way::Here { router, app } })
    }

    /// Whether no server runs and the files themselves are used.
    pub fn is_here(&self) -> bool {
        matches!(self.way, Way::Here { .. })
    }

    /// Flushes what was changed without a server.
    pub async fn close(self) {
        if let Way::Here { app, router } = self.way {
            drop(router);
            app.close().await;
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// When the collector is not reached or says no.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Asks for a list, page by page: at most so many of it.
    ///
    /// # Errors
    /// When the collector is not reached or says no.
    pub async fn list<T: DeserializeOwned>(&self, path: &str, most: usize) -> Result<Vec<T>, Failure> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{joint}limit={}", most.clamp(1, LIMIT_MAX)));
        let mut all = Vec::new();
        while let Some(path) = next {
            let told = self.call_within(ANSWER_TIMEOUT, Method::GET, &path, Bytes::new()).await?;
            all.append(&mut understood::<Vec<T>>(&told.body)?);
            next = told.next.filter(|_| all.len() < most);
        }
        all.truncate(most);
        Ok(all)
    }

    /// Asks for a whole list, page by page.
    ///
    /// # Errors
    /// When the collector is not reached or says no.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        self.list(path, usize::MAX).await
    }

    /// Tells.
    ///
    /// # Errors
    /// When the collector is not reached or says no.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        self.call(Method::POST, path, Bytes::from(body)).await
    }

    /// Tells something that may take the collector a while: as long as the longest run of a check.
    ///
    /// # Errors
    /// When the collector is not reached or says no.
    pub async fn post_patiently<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        understood(&self.call_within(RUN_TIMEOUT, Method::POST, path, Bytes::new()).await?.body)
    }

    /// Puts bytes as they are.
    ///
    /// # Errors
    /// When the collector is not reached or says no.
    pub async fn put(&self, path: &str, body: Bytes) -> Result<(), Failure> {
        self.call(Method::PUT, path, body).await
    }

    /// Removes.
    ///
    /// # Errors
    /// When the collector is not reached or says no.
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, path, Bytes::new()).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        understood(&self.call_within(ANSWER_TIMEOUT, method, path, body).await?.body)
    }

    async fn call_within(&self, patience: Duration, method: Method, path: &str, body: Bytes) -> Result<Told, Failure> {
        let told = match tokio::time::timeout(patience, self.exchange(method, path, body)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(Failure::new(Exit::Unreachable, "the collector did not answer in time: see its log")),
        };
        if told.status.is_success() { Ok(told) } else { Err(refusal(told.status, &told.body)) }
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Told, Failure> {
        let build = |host: &str, token: Option<&str>| {
            let mut request = Request::builder().method(method.clone()).uri(path).header(header::HOST, host);
            if !body.is_empty() {
                let kind = if method == Method::PUT { "application/octet-stream" } else { "application/json" };
                request = request.header(header::CONTENT_TYPE, kind);
            }
            if let Some(token) = token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            request
                .body(Body::from(body.clone()))
                .map_err(|error| Failure::new(Exit::Usage, format!("the request cannot be made: {error}")))
        };
        match &self.way {
            Way::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|error| {
                    Failure::new(Exit::Unreachable, format!("the collector is gone: {}: {error}", socket.display()))
                })?;
                over(stream, build("localhost", None)?).await
            }
            Way::Remote { uri, token } => {
                let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
                let request = build(&authority, Some(token))?;
                let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect(uri)).await;
                let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                let stream =
                    stream.map_err(|error| Failure::new(Exit::Unreachable, format!("cannot reach {uri}: {error}")))?;
                if uri.scheme_str() == Some("https") {
                    over(secured(stream, uri).await?, request).await
                } else {
                    over(stream, request).await
                }
            }
            Way::Here { router, .. } => {
                let mut request = build("localhost", None)?;
                request.extensions_mut().insert(Door::Local);
                let response = match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                let (status, next) = (response.status(), next_of(&response));
                let bytes = response
                    .into_body()
                    .collect()
                    .await
                    .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
                Ok(Told { status, next, body: bytes.to_bytes() })
            }
        }
    }
}

/// An answer.
struct Told {
    status: StatusCode,
    /// Of a list: where it goes on.
    next: Option<String>,
    body: Bytes,
}

/// Where a list goes on (`Link: <...>; rel="next"`).
fn next_of<B>(response: &axum::http::Response<B>) -> Option<String> {
    let link = response.headers().get(header::LINK)?.to_str().ok()?;
    Some(link.strip_prefix('<')?.split_once(">; rel=\"next\"")?.0.to_owned())
}

fn understood<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(if body.is_empty() { b"null" } else { body }).map_err(|error| {
        let what = "the collector's answer is not understood";
        Failure::new(Exit::Failure, format!("{what}: {error}: is it of another version, or not a collector?"))
    })
}

/// One request over a fresh connection.
async fn over<S>(stream: S, request: Request<Body>) -> Result<Told, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lost = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Unreachable, format!("the connection to the collector broke: {error}"))
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| lost(&error))?;
        let (status, next) = (response.status(), next_of(&response));
        let body =
            Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| lost(&error))?;
        Ok(Told { status, next, body: body.to_bytes() })
    };
    let drive = async {
        // Its error reaches the exchange as well.
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = exchange => answer,
        () = drive => Err(lost(&"closed")),
    }
}

fn remote(url: &str, token: Option<&str>) -> Result<Way, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let uri: Uri =
        url.parse().map_err(|_| usage(format!("--url {url:?} is not a URL: write https://collector.example")))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(usage(format!("--url {url:?} needs a scheme and a host: write https://collector.example")));
    };
    if !matches!(uri.path(), "" | "/") || authority.as_str().contains('@') {
        return Err(usage(format!("--url {url:?} may hold a scheme, a host and a port only")));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err(usage(format!("--url {url:?} would send the token in the clear: use https://"))),
        _ => return Err(usage(format!("--url {url:?}: use https://"))),
    }
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Err(usage(
            "--url needs --token: make one on the collector's machine with `sitepulse-collector api-token create`"
                .into(),
        ));
    };
    Ok(Way::Remote { uri, token: token.to_string() })
}

async fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    TcpStream::connect((host, port)).await
}

async fn secured(stream: TcpStream, uri: &Uri) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let failed = |error: String| Failure::new(Exit::Unreachable, format!("cannot reach {uri} over TLS: {error}"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_string();
    let name = rustls_pki_types::ServerName::try_from(host).map_err(|error| failed(error.to_string()))?;
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| failed(error.to_string()))
}

/// What the collector's no means for the shell.
fn refusal(status: StatusCode, answer: &[u8]) -> Failure {
    let Ok(problem) = serde_json::from_slice::<ProblemView>(answer) else {
        return Failure::new(Exit::Failure, format!("the answer is {status} and no collector's: is --url right?"));
    };
    let exit = match problem.code.as_str() {
        "not_found" => Exit::NotFound,
        "bad_checks" => Exit::Config,
        "bad_request" | "too_large" | "method_not_allowed" => Exit::Usage,
        "unauthorized" | "forbidden" | "conflict" | "changed" | "key_reused" => Exit::Refused,
        "unavailable" => Exit::Unreachable,
        _ => Exit::Failure,
    };
    let mut message = problem.errors.join("\n");
    if !message.is_empty() {
        message.push('\n');
    }
    message.push_str(&problem.detail);
    Failure::new(exit, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_travels_in_the_clear() {
        assert!(
            remote("http://collector.example", Some("t"))
                .is_err_and(|failure| failure.message.contains("in the clear"))
        );
        assert!(remote("http://127.0.0.1:8080", Some("t")).is_ok());
        assert!(remote("https://collector.example/", Some("t")).is_ok());
        for bad in ["collector.example", "ftp://a", "https://a/b", "https://u@a", ""] {
            assert!(remote(bad, Some("t")).is_err_and(|failure| failure.exit == Exit::Usage), "{bad}");
        }
        assert!(remote("https://a", None).is_err_and(|failure| failure.message.contains("api-token create")));
    }
}
