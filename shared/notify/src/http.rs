//! One HTTP request over one connection, and what its answer means.
//!
//! Limits: the deadline of the whole message, 64 KiB of headers ([`HEAD_BYTES_MAX`]) and as much of the answer's body ([`BODY_BYTES_MAX`]); the rest is not read. No redirect is followed:
//! a provider that moved is told to who set the channel. Nothing is decompressed, as nothing compressed is asked for.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use crate::egress::Egress;
use crate::{Sent, Trouble};

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How much of an answer's body is read, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// How much of an answer is told, in characters.
const TOLD_CHARS_MAX: usize = 200;
/// Longest wait that a provider is granted: a page must not wait for a clock that is wrong.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// A request to a provider.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Outgoing {
    /// A POST of JSON.
    pub(crate) fn json(url: String, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        Self { url, headers, body: body.to_string().into_bytes() }
    }

    /// A POST of a form.
    pub(crate) fn form(url: String, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        Self { url, headers, body: fields.join("&").into_bytes() }
    }

    /// With one header more.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A provider's answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// As much as was read: [`BODY_BYTES_MAX`], or what came in time.
    pub(crate) body: Bytes,
    retry_after: Option<Duration>,
    location: Option<String>,
    /// Whether the body is encoded, which nobody asked for.
    encoded: bool,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What its status means.
    pub(crate) fn judge(&self) -> Sent {
        let status = self.status.as_u16();
        let note = format!("HTTP {status}");
        let told = self.told();
        let why = if told.is_empty() { note.clone() } else { format!("{note}: {told}") };
        match status {
            200..=299 => Sent::Delivered { note },
            300..=399 => {
                let location = self.location.as_deref().map(|location| line(location.as_bytes(), TOLD_CHARS_MAX));
                let location = location.unwrap_or_else(|| "nowhere".to_owned());
                // A gateway that sends all to its own sign-in page for a minute says so too.
                Sent::Denied {
                    why: format!(
                        "{note} leads to {location}: redirects are not followed, set the channel's own address to the right one"
                    ),
                }
            }
            408 | 425 | 429 | 500.. => Sent::Again { why, after: self.retry_after },
            // The message itself: the same bytes are refused again.
            400 | 413 | 422 => Sent::Refused { why },
            // A provider that is being deployed, or whose gateway lost its way, says so too.
            _ => Sent::Denied { why },
        }
    }

    /// What the body says, in one short line.
    pub(crate) fn told(&self) -> String {
        if self.encoded { String::new() } else { line(&self.body, TOLD_CHARS_MAX) }
    }
}

/// One line of at most so many printable characters.
pub(crate) fn line(bytes: &[u8], chars_max: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * chars_max)]);
    let shown: String = text.chars().map(|c| if c.is_control() || is_format(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let joined = words.join(" ");
    if joined.chars().count() > chars_max || bytes.len() > 4 * chars_max {
        let cut: String = joined.chars().take(chars_max - 1).collect();
        return format!("{cut}\u{2026}");
    }
    joined
}

/// Characters that change how others are shown: directions and joins.
pub(crate) fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// As the value of a form's field or a part of a path.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `base` (with or without a slash at its end) and a path.
pub(crate) fn at(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}

/// POSTs, and reads the answer as far as it is needed, until `deadline`.
pub(crate) async fn post(egress: &Egress, outgoing: &Outgoing, deadline: Instant) -> Result<Answer, Trouble> {
    ask(egress, Method::POST, outgoing, deadline).await
}

/// The same by another method.
pub(crate) async fn ask(
    egress: &Egress,
    method: Method,
    outgoing: &Outgoing,
    deadline: Instant,
) -> Result<Answer, Trouble> {
    let uri: Uri = outgoing.url.parse().map_err(|_| bad_address())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(bad_address()) };
    if authority.as_str().contains('@') {
        return Err(Trouble::refused("the channel's address may hold no name and password"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(bad_address()),
    };
    let request = request(method, &uri, outgoing)?;
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let exchange = async {
        let stream = egress.dial(&host, port).await?;
        if tls {
            let stream = egress.secure(&host, stream).await?;
            over(stream, request, &host, deadline).await
        } else {
            over(stream, request, &host, deadline).await
        }
    };
    let late = || Trouble::again(format!("{host} did not answer in time; it may have the message"));
    timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(late()))
}

/// Nothing of the address is told: it may be a secret.
fn bad_address() -> Trouble {
    Trouble::refused("the channel's address is none: write https://... or http://..., other scripts in punycode")
}

fn request(method: Method, uri: &Uri, outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, Trouble> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::new(Full::new(Bytes::from(outgoing.body.clone())));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| bad_address())?;
    let headers = request.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Trouble::refused(format!("a value of the header {name} holds characters that none may")))?;
        headers.insert(name, value);
        Ok::<(), Trouble>(())
    };
    set(header::HOST, authority)?;
    set(header::USER_AGENT, concat!("sitepulse/", env!("CARGO_PKG_VERSION")))?;
    set(header::CONNECTION, "close")?;
    for (name, value) in &outgoing.headers {
        set(HeaderName::from_static(name), value)?;
    }
    Ok(request)
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>, host: &str, deadline: Instant) -> Result<Answer, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lost = |error: &dyn std::fmt::Display| {
        Trouble::again(format!("the connection to {host} broke: {error}; it may have the message"))
    };
    let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| lost(&error))?;
    let exchange = async {
        let mut response = sender.send_request(request).await.map_err(|error| lost(&error))?;
        let mut body = Vec::new();
        // The status is there: that the rest does not come changes nothing.
        while let Ok(Some(Ok(frame))) = timeout_at(deadline - LATE, response.frame()).await {
            let Ok(data) = frame.into_data() else { continue };
            let left = BODY_BYTES_MAX - body.len();
            body.extend_from_slice(&data[..data.len().min(left)]);
            if data.len() >= left {
                break;
            }
        }
        Ok(answer(response.status(), response.headers(), body))
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

/// How long before the deadline the wait for the rest of a body ends.
const LATE: Duration = Duration::from_millis(100);

fn answer(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Answer {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Answer {
        status,
        body: Bytes::from(body),
        retry_after: text(header::RETRY_AFTER).and_then(|text| retry_after(text, clock::now())),
        location: text(header::LOCATION).map(str::to_owned),
        encoded: headers.contains_key(header::CONTENT_ENCODING),
    }
}

/// Reads `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3). At most [`RETRY_AFTER_MAX`].
pub(crate) fn retry_after(text: &str, now: UtcMicros) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        let at = httpdate::parse_http_date(text).ok()?;
        let now = std::time::UNIX_EPOCH + Duration::from_micros(now.0.max(0).cast_unsigned());
        at.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_forever() {
        // 2026-11-22T10:00:00Z
        let now = UtcMicros(1_795_341_600_000_000);
        for (text, is) in [
            ("0", Some(0)),
            (" 30 ", Some(30)),
            ("Sun, 22 Nov 2026 10:02:00 GMT", Some(120)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
            ("Sun, 22 Nov 2099 10:00:00 GMT", Some(3_600)),
            ("99999999999999999999999999", Some(3_600)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), is.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn what_a_provider_says_is_one_short_line() {
        assert_eq!(line(b"  no\r\n\tsuch\x07 hook \xff", 50), "no such hook \u{fffd}");
        assert_eq!(line("a\u{202e}b".as_bytes(), 50), "a b");
        let long = line(&[b'x'; 100_000], 50);
        assert_eq!((long.chars().count(), long.ends_with('\u{2026}')), (50, true));
        assert_eq!(line(b"", 50), "");
    }
}
