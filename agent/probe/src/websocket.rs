//! A WebSocket handshake, and optionally messages.
//!
//! Phases: `send` is the upgrade's request and the message, `first_byte` the waiting for the answer to each, `transfer` the rest.
//! With `send`, or an assertion on what comes, messages are read (and joined with line feeds) until the hard assertions on them hold, the peer
//! closes, or 1 MiB came. When the deadline comes first, what came so far is judged; when nothing came, it is a timeout.
//!
//! Limits besides: a message and a frame of 1 MiB, [`PINGS_MAX`] pings, [`RECEIVED_BYTES_MAX`] received in all, and those of [`Heard`] on how often
//! what came is searched anew.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt as _, Stream as _};
use hyper::header::HeaderValue;
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::{Family, SecretText, WebsocketTarget};
use sitepulse_model::expect::{self, Expectation, Rule};
use sitepulse_model::record::{Cause, FactKey, Phase};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::attempt::{Answer, Attempt, Failure};
use crate::exchange::{Heard, VERDICT_US};
use crate::http::{Headers, Url};
use crate::metered::Metered;
use crate::tls::{self, TlsClient};
use crate::{BODY_BYTES_MAX, connect};

mod upgrade;

/// Most bytes received in all: frames around 1 MiB of messages, or nothing but frames.
pub(crate) const RECEIVED_BYTES_MAX: usize = 4 << 20;
/// Most pings that are answered.
pub(crate) const PINGS_MAX: usize = 1_000;
/// Longest that taking leave takes.
const LEAVE: Duration = Duration::from_millis(20);

/// A `websocket` check, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct WebsocketProbe {
    url: Url,
    headers: Headers,
    subprotocols: Vec<String>,
    offered: Option<HeaderValue>,
    send: Option<SecretText>,
    family: Family,
    tls: TlsClient,
}

impl WebsocketProbe {
    pub(crate) fn new(target: &WebsocketTarget) -> Result<Self, String> {
        let (scheme, rest) = target.url.split_once("://").unwrap_or_default();
        let http = match scheme.to_ascii_lowercase().as_str() {
            "ws" => "http",
            "wss" => "https",
            _ => return Err(format!("{:?} starts with neither ws:// nor wss://", target.url)),
        };
        let offered = target.subprotocols.join(", ");
        let offered =
            HeaderValue::from_str(&offered).map_err(|_| format!("{offered:?} are no names of subprotocols"))?;
        Ok(Self {
            url: Url::parse(&format!("{http}://{rest}"))?,
            headers: Headers::new(&target.headers, target.auth.as_ref(), false)?,
            offered: (!offered.is_empty()).then_some(offered),
            subprotocols: target.subprotocols.clone(),
            send: target.send.clone(),
            family: target.family,
            tls: TlsClient::new(&target.tls, &["http/1.1"])?,
        })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let stream = connect::open(attempt, self.url.host(), self.url.port(), self.family).await?;
        if self.url.tls() {
            let stream = tls::handshake(attempt, stream, self.url.host(), &self.tls).await?;
            self.converse(attempt, stream).await
        } else {
            self.converse(attempt, stream).await
        }
    }

    async fn converse(
        &self,
        attempt: &mut Attempt<'_>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<Answer, Failure> {
        let host = self.url.host();
        let words = self.send.as_ref().map(|text| attempt.secrets.resolve(text)).transpose()?;
        let mut headers = self.headers.resolve(&attempt.secrets)?;
        if let Some(offered) = &self.offered {
            headers.insert("sec-websocket-protocol", offered.clone());
        }
        let mut stream = Metered::new(stream, RECEIVED_BYTES_MAX);
        let (head, early) = upgrade::ask(attempt, &mut stream, &self.url, headers).await?;
        if head.status != 101 {
            attempt.end();
            // A soft one says nothing of which status is good: without a hard one the refusal stands.
            let is_asked_for =
                |one: &Expectation| one.rule() != Rule::DegradedIf && one.condition().operand.name() == "status";
            if attempt.expect.iter().any(is_asked_for) {
                return Ok(Answer { headers: head.headers, ..Answer::default() });
            }
            return Err(head.refused(host));
        }
        if let Some(subprotocol) = head.verify(host, &self.subprotocols)? {
            attempt.facts.text(FactKey::Subprotocol, &subprotocol);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_message_size(Some(BODY_BYTES_MAX))
            .max_frame_size(Some(BODY_BYTES_MAX));
        let mut socket = WebSocketStream::from_partially_read(stream, early, Role::Client, Some(config)).await;
        let mut answer = Answer::default();
        let awaits = words.is_some() || expect::asserts_body(attempt.expect);
        if let Some(words) = words {
            attempt.begin(Phase::Send);
            let sent = socket.send(Message::text(words)).await;
            sent.map_err(|error| explain(host, Phase::Send, &error))?;
        }
        if awaits {
            attempt.begin(Phase::FirstByte);
            answer = listen(attempt, host, &mut socket).await?;
        }
        attempt.end();
        leave(attempt, socket).await;
        Ok(Answer { headers: head.headers, ..answer })
    }
}

/// Reads messages until they are enough. The answer has no headers yet.
async fn listen<S: AsyncRead + AsyncWrite + Unpin>(
    attempt: &mut Attempt<'_>,
    host: &str,
    socket: &mut WebSocketStream<S>,
) -> Result<Answer, Failure> {
    // What came by then is judged.
    let verdict = Monotonic(attempt.deadline.0.saturating_sub(VERDICT_US));
    let mut heard = Heard::new();
    let mut pings = 0;
    let truncated = loop {
        let until = clock::tokio_instant(heard.patience(attempt).min(verdict));
        let next = std::future::poll_fn(|context| Pin::new(&mut *socket).poll_next(context));
        let came = tokio::select! {
            biased;
            came = next => came,
            () = tokio::time::sleep_until(until), if !heard.body.is_empty() => {
                let now = clock::monotonic();
                if now >= verdict || heard.search(attempt, now).await {
                    break false;
                }
                continue;
            }
        };
        let data = match came {
            Some(Ok(Message::Text(text))) => bytes::Bytes::from(text),
            Some(Ok(Message::Binary(data))) => data,
            Some(Ok(Message::Ping(_))) if pings < PINGS_MAX => {
                pings += 1;
                continue;
            }
            Some(Ok(Message::Ping(_))) => {
                let text = format!("{}: {host} sent over {PINGS_MAX} pings", attempt.phase());
                return Err(Failure::new(Cause::ProtocolError, attempt.phase(), text));
            }
            // The library answers a close; its end comes next.
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Close(_))) | None if !heard.body.is_empty() => break false,
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map_or_else(
                    || "without a reason".to_owned(),
                    |frame| format!("with {} {}", u16::from(frame.code), frame.reason).trim_end().to_owned(),
                );
                let text = format!("{}: {host} closed before any message, {reason}", attempt.phase());
                return Err(Failure::new(Cause::ConnectionReset, attempt.phase(), text));
            }
            None => {
                let text = format!("{}: {host} closed before any message", attempt.phase());
                return Err(Failure::new(Cause::ConnectionReset, attempt.phase(), text));
            }
            Some(Err(error)) => return Err(explain(host, attempt.phase(), &error)),
        };
        if attempt.phase() == Phase::FirstByte {
            attempt.begin(Phase::Transfer);
        }
        // There is room: reading ends where there is none.
        if !heard.body.is_empty() {
            heard.body.push(b'\n');
        }
        let room = heard.room();
        let is_cut = data.len() > room;
        heard.body.extend_from_slice(&data[..data.len().min(room)]);
        attempt.facts.body_bytes = Some(heard.body.len() as u64);
        let now = clock::monotonic();
        if is_cut || heard.room() == 0 || now >= verdict || heard.enough(attempt, now).await {
            break is_cut;
        }
    };
    Ok(heard.answer(truncated))
}

/// Says goodbye without waiting for the peer's: the run is over.
async fn leave<S: AsyncRead + AsyncWrite + Unpin>(attempt: &Attempt<'_>, mut socket: WebSocketStream<S>) {
    let left = attempt.deadline.since(clock::monotonic()) / 2;
    let goodbye = async {
        socket.send(Message::Close(None)).await.ok();
        socket.get_mut().shutdown().await.ok();
    };
    tokio::time::timeout(LEAVE.min(left), goodbye).await.ok();
}

/// Explains an error of an open WebSocket.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enums: the rest is told as it is")]
fn explain(host: &str, phase: Phase, error: &Error) -> Failure {
    let (cause, text) = match error {
        Error::Io(error) => return upgrade::io_failure(host, phase, error),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            (Cause::ProtocolError, format!("{host} sent a message over {BODY_BYTES_MAX} bytes"))
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => {
            (Cause::ConnectionReset, format!("{host} closed the connection without a closing frame"))
        }
        Error::Utf8(_) => (Cause::ProtocolError, format!("{host} sent a text message that is no UTF-8")),
        Error::Protocol(error) => (
            Cause::ProtocolError,
            format!("{host} breaks the WebSocket protocol ({})", error.to_string().to_lowercase()),
        ),
        other => (Cause::ProtocolError, format!("{host} breaks the WebSocket protocol ({other})")),
    };
    Failure::new(cause, phase, format!("{phase}: {text}"))
}

#[cfg(test)]
mod tests;
