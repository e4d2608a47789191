//! The handshake of RFC 6455, section 4: an HTTP/1.1 request that asks to go on with WebSocket, and its answer.

use std::io;

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, UPGRADE};
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::attempt::{Attempt, Failure};
use crate::http::{HEADER_BYTES_MAX, HEADERS_MAX, Url};
use crate::metered::FLOODED;
use crate::{connect, tls};

/// The answer to the request for an upgrade.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// What `Sec-WebSocket-Accept` has to say.
    accept: String,
}

/// Asks for the upgrade and reads the answer's head. Gives it with what came behind it.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    attempt: &mut Attempt<'_>,
    stream: &mut S,
    url: &Url,
    headers: HeaderMap,
) -> Result<(Head, Vec<u8>), Failure> {
    let host = url.host();
    let key = generate_key();
    attempt.begin(Phase::Send);
    let sent = async {
        stream.write_all(&request(url, headers, &key)).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| io_failure(host, Phase::Send, &error))?;
    attempt.begin(Phase::FirstByte);
    let mut bytes = Vec::with_capacity(1 << 10);
    let mut heads = 0;
    loop {
        let count = stream.read_buf(&mut bytes).await;
        let count = count.map_err(|error| io_failure(host, attempt.phase(), &error))?;
        if count == 0 {
            let phase = attempt.phase();
            return Err(Failure::new(
                Cause::ConnectionReset,
                phase,
                format!("{phase}: {host} closed the connection early"),
            ));
        }
        if attempt.phase() == Phase::FirstByte {
            attempt.begin(Phase::Transfer);
        }
        // One read may hold several heads: interim answers come before the one that counts.
        while let Some((length, status, headers)) = parse(host, &bytes)? {
            bytes.drain(..length);
            heads += length;
            if (102..200).contains(&status) || status == 100 {
                continue;
            }
            attempt.facts.status = Some(status);
            return Ok((Head { status, headers, accept: derive_accept_key(key.as_bytes()) }, bytes));
        }
        if heads + bytes.len() > HEADER_BYTES_MAX {
            return Err(protocol(format!("{host} sent headers over {HEADER_BYTES_MAX} bytes")));
        }
    }
}

fn request(url: &Url, mut headers: HeaderMap, key: &str) -> Vec<u8> {
    headers.remove(ACCEPT);
    headers.remove(ACCEPT_ENCODING);
    if headers.get(HOST).is_none_or(HeaderValue::is_empty) {
        headers.insert(HOST, url.host_header());
    }
    let mut bytes = format!("GET {} HTTP/1.1\r\n", url.origin_form()).into_bytes();
    let own = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key),
    ];
    for (name, _) in own {
        headers.remove(name);
    }
    let given = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    for (name, value) in given.chain(own.iter().map(|(name, value)| (*name, value.as_bytes()))) {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The head at the beginning of `bytes`, with its length, when it is complete.
fn parse(host: &str, bytes: &[u8]) -> Result<Option<(usize, u16, HeaderMap)>, Failure> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut lines);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(protocol(format!("{host} sent headers of over {HEADERS_MAX} lines")));
        }
        Err(_) => return Err(protocol(format!("{host} sent no valid HTTP/1.1 answer"))),
    };
    let mut headers = HeaderMap::new();
    for line in response.headers.iter() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(line.name.as_bytes()), HeaderValue::from_bytes(line.value))
        {
            headers.append(name, value);
        }
    }
    Ok(Some((length, response.code.unwrap_or_default(), headers)))
}

impl Head {
    /// Any status but 101.
    pub(super) fn refused(&self, host: &str) -> Failure {
        let status = self.status;
        let to =
            self.headers.get(LOCATION).map(|to| format!(", redirects to {}", String::from_utf8_lossy(to.as_bytes())));
        let text = format!("upgrade: {host} refused it with status {status}{}", to.unwrap_or_default());
        Failure::new(Cause::ProtocolError, Phase::FirstByte, text)
    }

    /// Judges a 101 by RFC 6455, 4.1; gives the subprotocol chosen.
    pub(super) fn verify(&self, host: &str, offered: &[String]) -> Result<Option<String>, Failure> {
        let upgrade = |text: String| Failure::new(Cause::ProtocolError, Phase::FirstByte, format!("upgrade: {text}"));
        let has = |name: HeaderName, token: &str| {
            let mut values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
        };
        if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
            return Err(upgrade(format!("the 101 of {host} switches to something else than websocket")));
        }
        let accept = self.headers.get("sec-websocket-accept").map(HeaderValue::as_bytes).unwrap_or_default();
        if accept != self.accept.as_bytes() {
            return Err(upgrade(format!(
                "{host} sent a wrong Sec-WebSocket-Accept: it did not read the request's key"
            )));
        }
        if let Some(extensions) = self.headers.get("sec-websocket-extensions") {
            let extensions = String::from_utf8_lossy(extensions.as_bytes());
            return Err(upgrade(format!("{host} chose an extension that was not offered ({extensions})")));
        }
        let chosen = self.headers.get("sec-websocket-protocol").map(|value| String::from_utf8_lossy(value.as_bytes()));
        match chosen {
            None if offered.is_empty() => Ok(None),
            None => Err(upgrade(format!("{host} chose none of the subprotocols offered ({})", offered.join(", ")))),
            Some(chosen) if offered.iter().any(|one| *one == chosen) => Ok(Some(chosen.into_owned())),
            Some(chosen) => Err(upgrade(format!("{host} chose the subprotocol {chosen:?}, which was not offered"))),
        }
    }
}

fn protocol(text: String) -> Failure {
    Failure::new(Cause::ProtocolError, Phase::FirstByte, format!("upgrade: {text}"))
}

/// An error of the connection below.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
pub(super) fn io_failure(host: &str, phase: Phase, error: &io::Error) -> Failure {
    if connect::is_agent_fault(error) {
        return connect::agent_fault(phase, error);
    }
    if let Some(failure) = tls::explain_late(host, error) {
        return failure;
    }
    if error.kind() == FLOODED {
        let text = format!("{phase}: {host} {error}");
        return Failure::new(Cause::ProtocolError, phase, text);
    }
    let text = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("{phase}: {host} closed the connection early"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            format!("{phase}: {host} reset the connection")
        }
        _ => format!("{phase}: the connection to {host} broke ({})", connect::plain(error)),
    };
    Failure::new(Cause::ConnectionReset, phase, text)
}
