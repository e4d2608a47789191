//! The way out: names are resolved, every address is judged, an address that is allowed is dialled. A fresh connection for each message.
//!
//! Source of the policy: [`sitepulse_daemon::address`]. An administrator sets channels, and a server of one's own stands in one's own network: without a list,
//! loopback and private networks are allowed, a link's own addresses and a cloud's metadata are not.
//!
//! Architecture invariant: nothing of a message leaves this process but over a [`Egress::dial`]led connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use sitepulse_daemon::address::Policy;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Trouble;

/// How long one of several addresses may take to answer a connection before the next is dialled.
const DIAL: Duration = Duration::from_secs(3);
/// Most addresses of a name that are dialled.
const ADDRESSES_MAX: usize = 4;

/// Why no way out can be set up.
#[derive(Debug, Error)]
pub enum EgressError {
    /// An entry of the list of addresses is none.
    #[error("[egress] allow: {0}")]
    Allow(String),
    /// The file of an own certificate authority is of no use.
    #[error("[egress] ca: {path}: {why}; write the path of a file of PEM certificates")]
    Authority {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// rustls refuses its own defaults.
    #[error("cannot set up tls: {0}")]
    Tls(#[from] rustls::Error),
}

/// How messages leave.
#[derive(Debug, Clone)]
pub struct Egress {
    policy: Policy,
    tls: Arc<ClientConfig>,
    /// For the mail library, which makes a configuration of its own.
    pub(crate) roots: Arc<Vec<CertificateDer<'static>>>,
    /// Whether Mozilla's roots stand in for the system's.
    pub(crate) mozilla: bool,
}

impl Egress {
    /// `allow` is a list as [`Policy::parse`] reads it; `None`: public addresses, loopback and private networks. `authority` is a file of PEM certificates that are
    /// trusted beside the system's.
    ///
    /// # Errors
    /// The list or the file is of no use.
    pub fn new(allow: Option<&[String]>, authority: Option<&Path>) -> Result<Self, EgressError> {
        let policy = match allow {
            None => Policy::own_networks(),
            Some(allow) => Policy::parse(allow).map_err(EgressError::Allow)?.without_link_local(),
        };
        let mut roots = rustls_native_certs::load_native_certs().certs;
        let mut store = RootCertStore::empty();
        // Old systems hold certificates that cannot be read: the others count.
        roots.retain(|certificate| store.add(certificate.clone()).is_ok());
        let mozilla = roots.is_empty();
        if mozilla {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if let Some(path) = authority {
            let bad = |why: String| EgressError::Authority { path: path.display().to_string(), why };
            let own = CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?;
            let own: Vec<_> = own.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
            if own.is_empty() {
                return Err(bad("it holds no certificate".to_owned()));
            }
            let taken = own.iter().try_for_each(|certificate| store.add(certificate.clone()));
            taken.map_err(|error| bad(error.to_string()))?;
            roots.extend(own);
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self { policy, tls: Arc::new(tls), roots: Arc::new(roots), mozilla })
    }

    /// What may be reached, in one line for people.
    pub fn describe(&self) -> String {
        self.policy.describe()
    }

    /// A connection to `host`: to the first of its addresses that is allowed and answers.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, Trouble> {
        let found: Vec<IpAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = tokio::net::lookup_host((host, port)).await;
                let found =
                    found.map_err(|error| Trouble::again(format!("{host} does not resolve: {}", plain(&error))))?;
                found.map(|address| address.ip()).collect()
            }
        };
        let mut allowed = Vec::new();
        let mut refusal = None;
        for address in found {
            match self.policy.judge(address) {
                Ok(()) => allowed.push(SocketAddr::new(address, port)),
                Err(why) => refusal = refusal.or(Some(why)),
            }
        }
        if allowed.is_empty() {
            return Err(match refusal {
                None => Trouble::again(format!("{host} has no address")),
                Some(refusal) => {
                    let why = format!(
                        "{host} leads to a refused address: {refusal}; allow it in the configuration: [egress] allow = [{:?}]",
                        refusal.entry()
                    );
                    // A name may lead elsewhere in a minute.
                    if host.parse::<IpAddr>().is_ok() { Trouble::refused(why) } else { Trouble::denied(why) }
                }
            });
        }
        allowed.dedup();
        allowed.truncate(ADDRESSES_MAX);
        let mut last = None;
        let alone = allowed.len() == 1;
        for address in allowed {
            let dialled = if alone {
                TcpStream::connect(address).await
            } else {
                let dialled = tokio::time::timeout(DIAL, TcpStream::connect(address)).await;
                dialled.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")))
            };
            match dialled {
                Ok(stream) => {
                    // A failure to set it costs milliseconds, no message.
                    stream.set_nodelay(true).ok();
                    return Ok(stream);
                }
                Err(error) => last = Some(format!("{address} cannot be reached: {}", plain(&error))),
            }
        }
        Err(Trouble::again(last.unwrap_or_else(|| format!("{host} has no address"))))
    }

    /// TLS over a connection, with `host`'s certificate verified.
    pub(crate) async fn secure(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Trouble> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Trouble::refused(format!("{host} can be no name of a certificate")))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, stream).await.map_err(|error| {
            Trouble::again(format!(
                "no TLS with {host}: {}; for an own certificate authority set [egress] ca in the configuration",
                plain(&error)
            ))
        })
    }
}

/// An error's text without Rust's "(os error 111)".
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    text.split(" (os error").next().unwrap_or(text).to_lowercase()
}
