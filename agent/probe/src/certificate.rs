//! The `tls` kind: a handshake, and everything that the server shows in it.
//!
//! A chain that does not verify is down with the precise reason (unless `tls.insecure`); what it says is noted all the same. In TLS 1.3 a
//! server judges the client's certificate after the handshake: where it asked for one, the run says goodbye and listens
//! for its verdict, for at most [`VERDICT_US`].

use std::time::Duration;

use sitepulse_model::check::{Family, TlsTarget};
use sitepulse_model::record::Phase;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::client::TlsStream;

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect;
use crate::tls::{self, TlsClient};

/// How long a server has to refuse a client certificate. One that says nothing by then accepts it.
const VERDICT_US: u64 = 1_000_000;
/// Most bytes read while waiting for the verdict.
const VERDICT_BYTES_MAX: usize = 16 << 10;

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct CertificateProbe {
    host: String,
    port: u16,
    family: Family,
    tls: TlsClient,
}

impl CertificateProbe {
    pub(crate) fn new(target: &TlsTarget) -> Result<Self, String> {
        let alpn: Vec<&str> = target.alpn.iter().map(String::as_str).collect();
        let (host, port) = host_port(&target.address)?;
        Ok(Self { host, port, family: target.family, tls: TlsClient::new(&target.tls, &alpn)? })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let stream = connect::open(attempt, &self.host, self.port, self.family).await?;
        let (mut stream, shown) = tls::shake(attempt, stream, &self.host, &self.tls).await?;
        tls::note_connection(attempt, &stream);
        tls::note(attempt, &shown);
        if shown.asked_for_certificate() {
            attempt.begin(Phase::Tls);
            let verdict = verdict(&mut stream, self.tls.server_name(&self.host)).await;
            attempt.end();
            verdict?;
        } else {
            // Whether the goodbye arrives is the server's business.
            drop(stream.shutdown().await);
        }
        Ok(Answer::default())
    }
}

/// Says goodbye and listens whether the server minds the client certificate, or that there is none.
async fn verdict<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut TlsStream<S>, host: &str) -> Result<(), Failure> {
    let listening = async {
        if let Err(error) = stream.shutdown().await
            && let Some(failure) = tls::explain_late(host, &error)
        {
            return Err(failure);
        }
        let mut buffer = [0; 1024];
        let mut heard = 0;
        while heard < VERDICT_BYTES_MAX {
            match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(count) => heard += count,
                Err(error) => match tls::explain_late(host, &error) {
                    Some(failure) => return Err(failure),
                    // A server may hang up on a goodbye as it likes.
                    None => break,
                },
            }
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_micros(VERDICT_US), listening).await.unwrap_or(Ok(()))
}

/// Parts `host:port` or `[v6]:port`.
pub(crate) fn host_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} is not host:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(format!("{text:?}: an IPv6 address stands in brackets, [::1]:25")),
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests;
