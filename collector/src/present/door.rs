//! The three doors of the one router, and who may pass: where a request came in, what it holds, how far it reaches.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, header};
use sitepulse_model::time::UtcMicros;

use crate::access::Way;
use crate::app::{Access, App, Credential, CredentialHash, CredentialKind};
use crate::present::problem::{Code, Problem};

/// The console session's cookie over plain HTTP (loopback alone).
pub const COOKIE: &str = "sitepulse_session";
/// The console session's cookie over TLS: bound to this host by its prefix.
pub const COOKIE_SECURE: &str = "__Host-sitepulse_session";

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The admin socket (mode 0600), or a call in this process: scope admin.
    Local,
    /// TCP.
    Network {
        /// The other side; behind a proxy that is believed, whom it asks for.
        peer: SocketAddr,
        /// Whether the listener is bound to loopback, and nothing is known to stand in front of it.
        loopback: bool,
        /// Whether people reach it over TLS, ended here or in front of it.
        secure: bool,
    },
}

/// What a route asks for. Every route declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing.
    Public,
    /// Nothing on the admin socket or straight from this machine to a loopback listener; else as [`Scope::Read`].
    Machine,
    /// A session or token that may look.
    Read,
    /// One that may act on what happens.
    Respond,
    /// One that may change what is watched.
    Edit,
    /// One that may do everything.
    Admin,
}

impl Scope {
    /// Its word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Machine => "machine",
            Self::Read => "read",
            Self::Respond => "respond",
            Self::Edit => "edit",
            Self::Admin => "admin",
        }
    }

    /// The access it asks for; `None`: nothing.
    pub const fn access(self) -> Option<Access> {
        match self {
            Self::Public => None,
            Self::Machine | Self::Read => Some(Access::Read),
            Self::Respond => Some(Access::Respond),
            Self::Edit => Some(Access::Edit),
            Self::Admin => Some(Access::Admin),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// How far they reach.
    pub access: Access,
    /// What histories call them: `collector:cli`, `collector:USER`.
    pub author: String,
    /// The console session's secret, if that is what they hold.
    pub session: Option<String>,
    /// The user whose session it is.
    pub user: Option<String>,
    /// By which way they came in.
    pub way: Way,
    /// The hash of the token or session that they hold.
    pub credential: Option<CredentialHash>,
}

impl Caller {
    /// Whoever may open the admin socket, or the files.
    fn local() -> Self {
        let author = "collector:cli".into();
        Self { access: Access::Admin, author, session: None, user: None, way: Way::Cli, credential: None }
    }

    fn holding((hash, credential): (CredentialHash, Credential), session: Option<&str>) -> Self {
        Self {
            access: credential.access,
            author: format!("collector:{}", credential.note),
            session: session.map(str::to_owned),
            user: credential.user,
            way: credential.way,
            credential: Some(hash),
        }
    }
}

/// Decides whether a request may pass. `None` as the caller: nobody needs to be known.
///
/// # Errors
/// [`Code::Unauthorized`] without good credentials, [`Code::Forbidden`] when they do not reach so far or another site asks.
pub fn authorize(
    app: &App,
    scope: Scope,
    door: Door,
    method: &Method,
    headers: &HeaderMap,
    now: UtcMicros,
) -> Result<Option<Caller>, Problem> {
    let caller = identify(app, door, headers, now);
    if scope == Scope::Public || (scope == Scope::Machine && straight_from_here(door, headers)) {
        return Ok(caller.ok().flatten());
    }
    let Some(caller) = caller? else {
        return Err(Problem::new(
            Code::Unauthorized,
            "send \"Authorization: Bearer TOKEN\" (from `sitepulse-collector api-token create`), or sign in to the console",
        ));
    };
    if let Some(needed) = scope.access()
        && caller.access < needed
    {
        let text = format!("this credential reaches as far as {}; this asks for {needed}", caller.access);
        return Err(Problem::new(Code::Forbidden, text));
    }
    let changes = method != Method::GET && method != Method::HEAD;
    if changes && caller.session.is_some() && !same_origin(headers) {
        return Err(Problem::new(
            Code::Forbidden,
            "the request comes from another site: send it from the console itself, or use a token",
        ));
    }
    Ok(Some(caller))
}

fn identify(app: &App, door: Door, headers: &HeaderMap, now: UtcMicros) -> Result<Option<Caller>, Problem> {
    if door == Door::Local {
        return Ok(Some(Caller::local()));
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let secret = match text.split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim(),
            Some(_) | None => "",
        };
        return match app.known(CredentialKind::ApiToken, secret, now) {
            Some(known) => Ok(Some(Caller::holding(known, None))),
            None => Err(Problem::new(
                Code::Unauthorized,
                "the token is unknown or its time is over: make one with `sitepulse-collector api-token create`",
            )),
        };
    }
    let name = if secure(door) { COOKIE_SECURE } else { COOKIE };
    let Some(secret) = cookie(headers, name) else { return Ok(None) };
    Ok(app.known(CredentialKind::Session, secret, now).map(|known| Caller::holding(known, Some(secret))))
}

/// Who asks, however far they reach; nobody without good credentials.
pub(super) fn whoever(app: &App, door: Door, headers: &HeaderMap, now: UtcMicros) -> Option<Caller> {
    identify(app, door, headers, now).ok().flatten()
}

/// The address of the other side; none on this machine's socket.
pub(super) const fn address(door: Door) -> Option<std::net::IpAddr> {
    match door {
        Door::Local => None,
        Door::Network { peer, .. } => Some(peer.ip()),
    }
}

/// Whether people reach this door over TLS.
pub const fn secure(door: Door) -> bool {
    match door {
        Door::Local => false,
        Door::Network { secure, .. } => secure,
    }
}

/// Whether a request comes from this machine without a proxy or a browser fooled by DNS in between.
fn straight_from_here(door: Door, headers: &HeaderMap) -> bool {
    match door {
        Door::Local => true,
        Door::Network { peer, loopback, .. } => {
            let proxied =
                ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name));
            loopback && peer.ip().is_loopback() && !proxied && host_is_loopback(headers)
        }
    }
}

fn host_is_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether the request was sent by a page of this very origin.
pub(super) fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
        }
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

/// The value of a cookie.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn another_sites_requests_are_seen_through() {
        assert!(same_origin(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(same_origin(&headers(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")])));
        for other in [
            headers(&[]),
            headers(&[("host", "127.0.0.1:8080")]),
            headers(&[("origin", "null"), ("host", "127.0.0.1:8080")]),
            headers(&[("origin", "https://evil.example"), ("host", "127.0.0.1:8080")]),
            headers(&[("sec-fetch-site", "same-site"), ("origin", "http://a"), ("host", "a")]),
            headers(&[("sec-fetch-site", "cross-site")]),
        ] {
            assert!(!same_origin(&other), "{other:?}");
        }
    }

    #[test]
    fn metrics_are_free_from_this_machine_alone() {
        let here = Door::Network { peer: "127.0.0.1:5".parse().unwrap(), loopback: true, secure: false };
        assert!(straight_from_here(here, &headers(&[("host", "localhost:8080")])));
        assert!(straight_from_here(here, &headers(&[("host", "[::1]:8080")])));
        assert!(!straight_from_here(here, &headers(&[("host", "rebound.example")])));
        assert!(!straight_from_here(here, &headers(&[("host", "localhost"), ("x-forwarded-for", "198.51.100.1")])));
        let far = Door::Network { peer: "198.51.100.1:5".parse().unwrap(), loopback: false, secure: true };
        assert!(!straight_from_here(far, &headers(&[("host", "localhost")])));
    }

    #[test]
    fn cookies_are_found_by_exact_name() {
        let headers = headers(&[("cookie", "a=1; sitepulse_session=x; b=2")]);
        assert_eq!(cookie(&headers, COOKIE), Some("x"));
        assert_eq!(cookie(&headers, COOKIE_SECURE), None);
    }
}
