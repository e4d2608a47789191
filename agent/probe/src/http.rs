//! HTTP: requests to targets, over HTTP/1.1, HTTP/2 and HTTP/3, redirect by redirect.
//!
//! Reading order: [`fetch`] follows the redirects of one request; `headers`, [`Url`] and `redirect` say what is asked; `proxy` and
//! `wire` are the way there; `h1`, `h2` and [`crate::http3`] each exchange one request for one answer; `body` and `coding` take the body
//! in; `offer` asks DNS whether HTTP/3 is offered; `explain` says why there is none.
//!
//! Each hop resolves, asks the policy, dials and shakes hands anew; phases add up over the hops. A redirect's own body is not read.
//!
//! What other origins learn: when a redirect changes scheme, host or port, `Authorization`, `Cookie` and every header whose value came out of a
//! secret are left behind, so are the client certificate and `server_name` of the check's TLS options. From https:// down to http:// is
//! followed, and visible in the hops. `Proxy-Authorization` of a check with a proxy goes to the proxy alone: see `proxy`.
//!
//! Facts: `HttpVersion` is noted when the answer came over anything but HTTP/1.1, or when somebody looks at it: an assertion, or who asked
//! for this run.

mod body;
mod coding;
mod explain;
mod h1;
mod h2;
mod headers;
mod offer;
mod proxy;
mod redirect;
mod url;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::response::Parts;
use hyper::{Method, Uri, Version};
use sitepulse_daemon::clock;
use sitepulse_model::check::{Family, HttpTarget, HttpVersion, SecretText, TlsOptions};
use sitepulse_model::record::{Cause, FactKey, Phase};

use self::body::Intake;
pub(crate) use self::headers::{Headers, basic};
use self::proxy::Proxy;
use self::redirect::Next;
pub(crate) use self::url::Url;
use self::wire::Stream;
use crate::attempt::{Answer, Attempt, Failure};
use crate::pool::Pool;
use crate::tls::TlsClient;
use crate::{connect, http3, human_us, tls};

/// Most bytes of status line and headers.
pub(crate) const HEADER_BYTES_MAX: usize = 64 << 10;
/// Most header lines of HTTP/1.1.
pub(crate) const HEADERS_MAX: usize = 100;

/// Pieces of a body taken in without a pause, however small; then the other runs of this thread have their turn.
const TURN_PIECES: usize = 16;

/// An `http` check, prepared once and run many times. Small: ten thousand of them differ in their URL alone.
#[derive(Debug)]
pub(crate) struct HttpProbe {
    /// As it is asked for. Its parts take four times as much, and are found again in no time.
    url: Box<str>,
    manner: Arc<Manner>,
}

/// How a URL is asked for.
#[derive(Debug)]
pub(crate) struct Manner {
    method: Method,
    headers: Headers,
    body: Option<SecretText>,
    redirects: u8,
    route: Route,
}

impl Manner {
    /// Of a check, apart from its URL. Prefer [`Pool::manner`].
    pub(crate) fn new(target: &HttpTarget) -> Result<Self, String> {
        Ok(Self {
            method: method(&target.method)?,
            headers: Headers::new(&target.headers, target.auth.as_ref(), target.compression)?,
            body: target.body.clone(),
            redirects: target.redirects,
            route: Route::new(target.http, target.family, target.proxy.as_deref(), &target.tls)?,
        })
    }
}

impl HttpProbe {
    pub(crate) fn new(target: &HttpTarget, pool: &mut Pool) -> Result<Self, String> {
        let url = first_url(target)?.to_string().into();
        Ok(Self { url, manner: pool.manner(target)? })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let Manner { method, headers, body, redirects, route } = &*self.manner;
        let url = Url::again(&self.url)
            .map_err(|reason| Failure::new(Cause::AgentFault, Phase::Total, format!("agent: {reason}")))?;
        let secrets = &attempt.secrets;
        let request = Request {
            method: method.clone(),
            url: &url,
            headers: headers.resolve(secrets)?,
            body: body.as_ref().map(|body| secrets.resolve(body)).transpose()?.map_or_else(Bytes::new, Bytes::from),
            secret_body: body.as_ref().is_some_and(|body| body.name().is_some()),
            redirects: *redirects,
        };
        fetch(attempt, route, request, None).await
    }
}

fn first_url(target: &HttpTarget) -> Result<Url, String> {
    let url = Url::parse(&target.url)?;
    if matches!(target.http, HttpVersion::Http3 | HttpVersion::Advertised) && !url.tls() {
        return Err(format!("HTTP/3 is always https://, {url} is not"));
    }
    Ok(url)
}

/// Parses a method: a token, in capitals as it is compared.
pub(crate) fn method(name: &str) -> Result<Method, String> {
    match name.parse() {
        Ok(Method::CONNECT) => Err("the method CONNECT is for proxies; set proxy".to_owned()),
        Ok(method) if name.bytes().all(|byte| !byte.is_ascii_lowercase()) => Ok(method),
        Ok(_) | Err(_) => Err(format!("{name:?} is no method; methods are written in capitals")),
    }
}

/// How requests travel, prepared once.
#[derive(Debug)]
pub(crate) struct Route {
    http: HttpVersion,
    family: Family,
    proxy: Option<Box<Proxy>>,
    tls: Clients,
    /// For HTTP/3, where another one may be spoken too.
    quic: Option<Box<Clients>>,
}

#[derive(Debug)]
struct Clients {
    home: TlsClient,
    /// For other origins than the first, where the check names a host or shows a certificate of its own.
    elsewhere: Option<Box<TlsClient>>,
}

impl Clients {
    fn new(options: &TlsOptions, alpn: &[&str]) -> Result<Self, String> {
        let is_bound = options.server_name.is_some() || options.client_certificate.is_some();
        let bare = TlsOptions { ca: options.ca.clone(), insecure: options.insecure, ..TlsOptions::default() };
        Ok(Self {
            home: TlsClient::new(options, alpn)?,
            elsewhere: is_bound.then(|| TlsClient::new(&bare, alpn)).transpose()?.map(Box::new),
        })
    }

    fn of(&self, at_home: bool) -> &TlsClient {
        self.elsewhere.as_deref().filter(|_| !at_home).unwrap_or(&self.home)
    }
}

impl Route {
    /// Prepares the way there.
    pub(crate) fn new(
        http: HttpVersion,
        family: Family,
        proxy: Option<&str>,
        options: &TlsOptions,
    ) -> Result<Self, String> {
        let alpn: &[&str] = match http {
            HttpVersion::Auto | HttpVersion::Advertised => &["h2", "http/1.1"],
            HttpVersion::Http1 => &["http/1.1"],
            HttpVersion::Http2 => &["h2"],
            HttpVersion::Http3 => http3::ALPN,
        };
        if matches!(http, HttpVersion::Http3 | HttpVersion::Advertised) && proxy.is_some() {
            return Err("HTTP/3 does not go through a proxy; drop one of the two".to_owned());
        }
        let is_advertised = http == HttpVersion::Advertised;
        Ok(Self {
            http,
            family,
            proxy: proxy.map(Proxy::parse).transpose()?.map(Box::new),
            tls: Clients::new(options, alpn)?,
            quic: is_advertised.then(|| Clients::new(options, http3::ALPN)).transpose()?.map(Box::new),
        })
    }
}

/// A request with the redirects that it may follow.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    /// Of [`Headers::resolve`].
    pub(crate) headers: HeaderMap,
    /// Empty is none.
    pub(crate) body: Bytes,
    /// The body holds a secret: it is not sent to another origin.
    pub(crate) secret_body: bool,
    /// Redirects followed; one more is a failure. With 0 a redirect is the answer.
    pub(crate) redirects: u8,
}

/// Cookies, of who keeps them.
pub(crate) trait Jar: Send {
    /// What `Cookie` says to this URL.
    fn cookies(&self, url: &Url) -> Option<HeaderValue>;
    /// An answer's headers came.
    fn store(&mut self, url: &Url, headers: &HeaderMap);
}

/// One request of one hop.
struct Message {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

/// Sends a request and follows its redirects. Notes the facts of the last answer, and of each hop before it.
pub(crate) async fn fetch(
    attempt: &mut Attempt<'_>,
    route: &Route,
    request: Request<'_>,
    mut jar: Option<&mut dyn Jar>,
) -> Result<Answer, Failure> {
    let Request { method, url: first, mut headers, body, secret_body, redirects } = request;
    // It is the proxy's, whichever origin is asked, and no origin's.
    let login = route.proxy.as_ref().and_then(|_| headers.remove(PROXY_AUTHORIZATION));
    if redirects == 0 {
        // The common case copies nothing.
        let message = with_cookies(Message { method, headers, body }, first, jar.as_deref());
        let (parts, incoming) = exchange(attempt, route, first, true, login.as_ref(), message).await?;
        note_version(attempt, parts.version, jar.is_some());
        if let Some(jar) = jar {
            jar.store(first, &parts.headers);
        }
        return receive(attempt, first.host(), parts, incoming).await;
    }
    let mut hop = Next { url: first.clone(), method, headers, body };
    let mut followed = 0;
    loop {
        let start = clock::monotonic();
        let message = Message { method: hop.method.clone(), headers: hop.headers.clone(), body: hop.body.clone() };
        let message = with_cookies(message, &hop.url, jar.as_deref());
        let at_home = first.same_origin(&hop.url);
        let (parts, incoming) = exchange(attempt, route, &hop.url, at_home, login.as_ref(), message).await?;
        note_version(attempt, parts.version, jar.is_some());
        if let Some(jar) = &mut jar {
            jar.store(&hop.url, &parts.headers);
        }
        let Some(location) = redirect::location(parts.status, &parts.headers) else {
            if followed > 0 {
                attempt.facts.number(FactKey::Redirects, followed.into());
                let url = attempt.redact(&hop.url.to_string());
                attempt.facts.text(FactKey::FinalUrl, &url);
            }
            return receive(attempt, hop.url.host(), parts, incoming).await;
        };
        drop(incoming);
        attempt.end();
        let taken = human_us(clock::monotonic().us_since(start));
        let address = attempt.address.map_or_else(String::new, |address| format!(" {address}"));
        let line = format!("{} {}{address} {taken}", parts.status.as_u16(), hop.url);
        let line = attempt.redact(&line);
        attempt.facts.text(FactKey::Hop, &line);
        if followed == redirects {
            attempt.facts.number(FactKey::Redirects, followed.into());
            let text = format!(
                "redirect: {redirects} redirects from {first} did not come to an end, the last led from {} to {}",
                hop.url,
                String::from_utf8_lossy(location)
            );
            return Err(Failure::new(Cause::RedirectFailed, Phase::Total, text));
        }
        followed += 1;
        attempt.facts.number(FactKey::Redirects, followed.into());
        hop = redirect::next(hop, secret_body, parts.status, location)?;
        forget_hop(attempt);
    }
}

/// What one hop's connection told is not the next one's, which may tell less: plain HTTP has no certificate, another server staples nothing.
fn forget_hop(attempt: &mut Attempt<'_>) {
    const OF_A_CONNECTION: [FactKey; 10] = [
        FactKey::HttpOffer,
        FactKey::TlsVersion,
        FactKey::TlsCipher,
        FactKey::Alpn,
        FactKey::Ocsp,
        FactKey::CertificateSubject,
        FactKey::CertificateIssuer,
        FactKey::CertificateNames,
        FactKey::CertificateSha256,
        FactKey::ChainLength,
    ];
    attempt.facts.more.retain(|fact| !OF_A_CONNECTION.contains(&fact.key));
    attempt.facts.certificate_expires = None;
    attempt.evidence.shown = None;
}

fn with_cookies(mut message: Message, url: &Url, jar: Option<&(dyn Jar + '_)>) -> Message {
    let Some(mut cookies) = jar.and_then(|jar| jar.cookies(url)) else { return message };
    if let Some(own) = message.headers.get(COOKIE)
        && let Ok(both) = HeaderValue::from_bytes(&[own.as_bytes(), b"; ", cookies.as_bytes()].concat())
    {
        cookies = both;
    }
    cookies.set_sensitive(true);
    message.headers.insert(COOKIE, cookies);
    message
}

/// An answer whose head came, over whichever HTTP.
enum Incoming {
    H1(Box<h1::Incoming>),
    H2(Box<h2::Incoming>),
    H3(Box<http3::Incoming>),
}

/// One hop: connects and exchanges the request for the head of an answer. `login` is what the proxy wants to hear.
async fn exchange(
    attempt: &mut Attempt<'_>,
    route: &Route,
    url: &Url,
    at_home: bool,
    login: Option<&HeaderValue>,
    mut message: Message,
) -> Result<(Parts, Incoming), Failure> {
    if message.headers.get(HOST).is_none_or(HeaderValue::is_empty) {
        message.headers.insert(HOST, url.host_header());
    }
    if route.http == HttpVersion::Http3 {
        let at = (url.host(), url.port());
        return exchange_h3(attempt, url, at, route.family, route.tls.of(at_home), message).await;
    }
    if let Some(quic) = route.quic.as_ref().filter(|_| url.tls())
        && let Some((host, port)) = offer::ask(attempt, url).await?.h3
    {
        let exchanged = exchange_h3(attempt, url, (&host, port), route.family, quic.of(at_home), message).await;
        return exchanged.map_err(|mut failure| {
            failure.detail.push_str(" (HTTP/3, which its HTTPS record offers)");
            failure
        });
    }
    let is_plain_h2 = route.http == HttpVersion::Http2 && !url.tls();
    let tunnelled = url.tls() || is_plain_h2;
    let stream = match &route.proxy {
        None => connect::open(attempt, url.host(), url.port(), route.family).await?,
        Some(proxy) if tunnelled => proxy.tunnel(attempt, route.family, url, login).await?,
        Some(proxy) => proxy.open(attempt, route.family, url).await?,
    };
    let (stream, speaks_h2) = if url.tls() {
        let stream = tls::handshake(attempt, stream, url.host(), route.tls.of(at_home)).await?;
        let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if route.http == HttpVersion::Http2 && !speaks_h2 {
            let text = format!("TLS: {} does not offer HTTP/2", url.host());
            return Err(Failure::new(Cause::ProtocolError, Phase::Tls, text));
        }
        (Stream::Tls(Box::new(stream)), speaks_h2)
    } else {
        (Stream::Plain(stream), is_plain_h2)
    };
    let (parts, incoming) = if speaks_h2 {
        let (parts, incoming) = h2::exchange(attempt, stream, url, message).await?;
        (parts, Incoming::H2(Box::new(incoming)))
    } else {
        let target = if route.proxy.is_some() && !tunnelled {
            if let Some(login) = login {
                message.headers.insert(PROXY_AUTHORIZATION, login.clone());
            }
            url.absolute().clone()
        } else {
            url.origin_form()
        };
        let (parts, incoming) = h1::exchange(attempt, url.host(), stream, target, message).await?;
        (parts, Incoming::H1(Box::new(incoming)))
    };
    attempt.facts.status = Some(parts.status.as_u16());
    if let Some(proxy) = route.proxy.as_ref().filter(|_| !tunnelled && parts.status.as_u16() == 407) {
        return Err(proxy.wants_login(Phase::FirstByte, login.is_some()));
    }
    Ok((parts, incoming))
}

async fn exchange_h3(
    attempt: &mut Attempt<'_>,
    url: &Url,
    (host, port): (&str, u16),
    family: Family,
    tls: &TlsClient,
    message: Message,
) -> Result<(Parts, Incoming), Failure> {
    if !url.tls() {
        let text = format!("redirect: {url} is not https://, and HTTP/3 is nothing else");
        return Err(Failure::new(Cause::RedirectFailed, Phase::Total, text));
    }
    let address = connect::pick(attempt, host, port, family).await?;
    let uri = absolute(url, &message.headers)?;
    let length = message.body.len();
    let mut request = hyper::Request::new(message.body);
    *request.method_mut() = message.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = message.headers;
    if length > 0 {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    let mut incoming = http3::send(attempt, address, url.host(), request, tls).await?;
    let (mut parts, ()) = hyper::Response::new(()).into_parts();
    parts.version = Version::HTTP_3;
    parts.status = incoming.parts.status;
    parts.headers = std::mem::take(&mut incoming.parts.headers);
    Ok((parts, Incoming::H3(Box::new(incoming))))
}

/// Notes over what the answer came. HTTP/1.1 only where somebody looks (at this result, or an assertion; a flow's steps may), or where an earlier hop said something else: it
/// is by far the most frequent, and each result carries its facts for years.
fn note_version(attempt: &mut Attempt<'_>, version: Version, is_step: bool) {
    let name = match version {
        Version::HTTP_3 => "HTTP/3",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let is_noted = attempt.note_all
        || version != Version::HTTP_11
        || is_step
        || attempt.facts.texts_of(FactKey::HttpVersion).next().is_some()
        || attempt.expect.iter().any(|expectation| expectation.source().contains("http.version"));
    if is_noted {
        attempt.facts.text(FactKey::HttpVersion, name);
    }
}

/// Takes the body in.
async fn receive(
    attempt: &mut Attempt<'_>,
    host: &str,
    parts: Parts,
    mut incoming: Incoming,
) -> Result<Answer, Failure> {
    let mut intake = Intake::new(attempt, &parts);
    for number in 1_usize.. {
        if number.is_multiple_of(TURN_PIECES) {
            tokio::task::yield_now().await;
        }
        let piece = match &mut incoming {
            Incoming::H1(incoming) => incoming.data(host).await,
            Incoming::H2(incoming) => incoming.data(host).await,
            Incoming::H3(incoming) => incoming.data(attempt).await,
        };
        let piece = piece.inspect_err(|_| attempt.end())?;
        if !piece.is_some_and(|data| intake.push(attempt, &data)) {
            break;
        }
    }
    attempt.end();
    drop(incoming);
    intake.finish(attempt, host, parts.headers).await
}

/// The URL with scheme and host as HTTP/2 and HTTP/3 want it; a `Host` of the check's own is the authority.
fn absolute(url: &Url, headers: &HeaderMap) -> Result<Uri, Failure> {
    let named = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    if named.is_empty() || named == url.authority().as_bytes() {
        return Ok(url.absolute().clone());
    }
    let mut parts = url.absolute().clone().into_parts();
    parts.authority = named.try_into().ok();
    Uri::from_parts(parts).map_err(|error| {
        let text = format!("agent: the header host of the check is no authority ({error})");
        Failure::new(Cause::AgentFault, Phase::Send, text)
    })
}

#[cfg(test)]
mod tests;
