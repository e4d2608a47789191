//! An HTTP proxy on the way: a tunnel (`CONNECT`) for what is not plain HTTP/1.1, the absolute form of the request for what is.
//!
//! The proxy resolves the target's name, so the agent's policy judges the proxy's address alone, and of the target no more than an
//! address that is written out in the URL.
//!
//! The check's header `Proxy-Authorization` is told to the proxy, with `CONNECT` or with the request in the absolute form. What goes
//! through a tunnel is the target's and does not have it.

use std::net::{IpAddr, SocketAddr};

use hyper::header::HeaderValue;
use sitepulse_model::check::Family;
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::url::Url;
use crate::attempt::{Attempt, Failure};
use crate::connect;
use crate::policy;

/// Longest answer to `CONNECT`, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// Where requests are sent to instead of their targets.
#[derive(Debug)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
}

impl Proxy {
    /// Parses `http://host:port`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|reason| format!("proxy: {reason}"))?;
        if url.tls() || url.origin_form() != "/" {
            return Err(format!("proxy {text:?} is not of the form http://host:port"));
        }
        Ok(Self { host: url.host().to_owned(), port: url.port() })
    }

    /// Connects to the proxy, for a request to `url` in the absolute form.
    pub(super) async fn open(
        &self,
        attempt: &mut Attempt<'_>,
        family: Family,
        url: &Url,
    ) -> Result<TcpStream, Failure> {
        if let Ok(ip) = url.host().parse::<IpAddr>() {
            policy::check(&attempt.tools.policy, SocketAddr::new(ip, url.port()))?;
        }
        let stream = connect::open(attempt, &self.host, self.port, family).await.map_err(|failure| {
            // So looks a lost network, which the referee tells by the cause.
            let silence = [Cause::DnsFailed, Cause::Unreachable, Cause::Timeout, Cause::NetworkLost];
            let cause = match failure.cause {
                cause if silence.contains(&cause) => cause,
                cause if cause.code() < 64 => Cause::ProxyFailed,
                cause => return Failure { cause, ..failure },
            };
            Failure::new(cause, failure.phase, format!("proxy: {}", failure.detail))
        })?;
        url.host().clone_into(&mut attempt.host);
        Ok(stream)
    }

    /// Connects to the proxy and asks it for a connection to `url`'s host; `login` is what it wants to hear.
    pub(super) async fn tunnel(
        &self,
        attempt: &mut Attempt<'_>,
        family: Family,
        url: &Url,
        login: Option<&HeaderValue>,
    ) -> Result<TcpStream, Failure> {
        let mut stream = self.open(attempt, family, url).await?;
        attempt.begin(Phase::Connect);
        self.connect(&mut stream, url, login).await?;
        attempt.end();
        Ok(stream)
    }

    /// Why an answer of 407 is one: the proxy was told no login, or one that it does not take.
    pub(super) fn wants_login(&self, phase: Phase, was_told: bool) -> Failure {
        let Self { host, port } = self;
        let text = if was_told {
            format!("proxy: {host}:{port} refuses the login (407) in the check's header proxy-authorization")
        } else {
            format!("proxy: {host}:{port} wants a login (407); give the check a header proxy-authorization")
        };
        Failure::new(Cause::ProxyFailed, phase, text)
    }

    async fn connect(&self, stream: &mut TcpStream, url: &Url, login: Option<&HeaderValue>) -> Result<(), Failure> {
        let failed = |text: String| Failure::new(Cause::ProxyFailed, Phase::Connect, format!("proxy: {text}"));
        let Self { host, port } = self;
        let named = url.host();
        let target =
            if named.contains(':') { format!("[{named}]:{}", url.port()) } else { format!("{named}:{}", url.port()) };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(login) = login {
            request.extend_from_slice(&[b"Proxy-Authorization: ", login.as_bytes(), b"\r\n"].concat());
        }
        request.extend_from_slice(b"\r\n");
        let broke = |error: std::io::Error| failed(format!("{host}:{port} broke off ({})", connect::plain(&error)));
        stream.write_all(&request).await.map_err(broke)?;
        // Byte by byte: what follows the answer is the target's, and an HTTP/2 server speaks first.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= ANSWER_BYTES_MAX {
                return Err(failed(format!("{host}:{port} answered with more than {ANSWER_BYTES_MAX} bytes")));
            }
            let mut byte = [0];
            if stream.read(&mut byte).await.map_err(broke)? == 0 {
                return Err(failed(format!("{host}:{port} closed the connection without an answer")));
            }
            answer.extend_from_slice(&byte);
        }
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut words = line.splitn(3, ' ');
        let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
        match words.next() {
            Some(status) if is_http && status.len() == 3 && status.starts_with('2') => Ok(()),
            Some("407") if is_http => Err(self.wants_login(Phase::Connect, login.is_some())),
            _ if is_http => Err(failed(format!("{host}:{port} refused to connect to {target}: {line}"))),
            _ => Err(failed(format!("{host}:{port} is no HTTP proxy, it answered {line:?}"))),
        }
    }
}
