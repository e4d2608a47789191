//! Signing in by an identity provider ([`crate::oidc`]): to it, and back.
//!
//! What a browser began it must end: a cookie that this site alone can set (`__Host-` over TLS) vouches for the state. Coming back, the session's own cookie is
//! `SameSite=Strict`, which a browser does not send on along a way that another site began; so the answer is a page of ours that leads on by itself.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sitepulse_daemon::clock;

use super::frame::{Frame, here};
use super::sign_in::{self, session_cookie};
use crate::access::audit::{Deed, Told};
use crate::access::{Way, counted_by};
use crate::app::{Refused, SESSION_US};
use crate::enrol::{random, sha256};
use crate::oidc::Oidc;
use crate::oidc::claims::{self, Expected};
use crate::oidc::pending::{Begun, Lost, PENDING_US};
use crate::oidc::provider::{NoToken, word};
use crate::oidc::settings::ClientSecret;
use crate::present::Present;
use crate::present::audit::STRANGER;
use crate::present::door::{Door, address, cookie, secure};
use crate::present::http::escape;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;

/// The cookie of a sign-in that is under way, over TLS and without.
const COOKIE_SECURE: &str = "__Host-sitepulse_provider";
const COOKIE: &str = "sitepulse_provider";
/// Longest code and state that are looked at, in bytes.
const VALUE_BYTES_MAX: usize = 4096;
/// Longest file of a client's secret, in bytes.
const SECRET_BYTES_MAX: u64 = 8192;

/// The page between the provider and the console.
#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedIn<'a> {
    t: &'a Texts,
    next: &'a str,
}

/// Where to go then.
#[derive(Debug, Default, Deserialize)]
pub struct ToQuery {
    #[serde(default)]
    next: String,
}

/// What a provider sends a browser back with.
#[derive(Default, Deserialize)]
pub struct BackQuery {
    #[serde(default)]
    state: String,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// Why nobody is signed in: the page's status and words, and what the audit log says.
struct Why {
    status: StatusCode,
    fault: &'static str,
    told: String,
}

fn text() -> Answer<String> {
    let bytes = random().map_err(Problem::from)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn flow_cookie(door: Door, value: &str, seconds: u64) -> Answer<HeaderValue> {
    let (name, flag) = if secure(door) { (COOKIE_SECURE, "; Secure") } else { (COOKIE, "") };
    HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{flag}"))
        .map_err(|_| Problem::new(Code::Internal, "the sign-in cannot be written as a cookie"))
}

fn nothing() -> Problem {
    Problem::new(Code::NotFound, "nobody signs in by an identity provider here: [oidc] of the configuration says which")
}

/// `GET /sign-in/provider?next=/path`: sends the browser to the provider.
pub async fn to_provider(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    frame: Frame,
    Query(query): Query<ToQuery>,
) -> Answer<Response> {
    let oidc = present.oidc().ok_or_else(nothing)?;
    let next = here(&query.next).to_owned();
    let Ok(known) = oidc.provider.known(&present.sender()).await else {
        let fault = frame.t.provider.away.to_owned();
        return sign_in::page(&present, &frame, StatusCode::SERVICE_UNAVAILABLE, fault, "", &next);
    };
    let (state, nonce, verifier, browser) = (text()?, text()?, text()?, text()?);
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let settings = &oidc.settings;
    let fields = [
        ("response_type", "code"),
        ("client_id", settings.client_id.as_str()),
        ("redirect_uri", oidc.redirect.as_str()),
        ("scope", settings.scopes.as_str()),
        ("state", state.as_str()),
        ("nonce", nonce.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("ui_locales", frame.lang.tag()),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    let at = &known.metadata.authorization_endpoint;
    let location = format!("{at}{}{}", if at.contains('?') { '&' } else { '?' }, fields.join("&"));
    let location = HeaderValue::from_str(&location)
        .map_err(|_| Problem::new(Code::Internal, "the provider's address is none that a browser could be sent to"))?;
    let begun = Begun {
        browser: sha256(browser.as_bytes()),
        nonce,
        verifier,
        next,
        address: address(door).and_then(counted_by),
        at: clock::monotonic().0,
    };
    oidc.pending().begin(sha256(state.as_bytes()), begun);
    let cookie = flow_cookie(door, &browser, PENDING_US / 1_000_000)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location), (header::SET_COOKIE, cookie)]).into_response())
}

/// `GET /sign-in/provider/back?code=...&state=...`: opens a session for whom the provider vouches for.
pub async fn from_provider(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    headers: HeaderMap,
    frame: Frame,
    Query(query): Query<BackQuery>,
) -> Answer<Response> {
    let oidc = Arc::clone(present.oidc().ok_or_else(nothing)?);
    let spent = flow_cookie(door, "", 0)?;
    let (next, session) = match end(&present, &oidc, door, &headers, &frame, query).await? {
        Ok(ended) => ended,
        Err(Why { status, fault, told }) => {
            let from = address(door).map(|address| address.to_string());
            let deed = Deed::new(Told::Refused, Way::Provider, "sign-in").from(from);
            present.app().audit_bounded(STRANGER, deed.status(status.as_u16()).detail(&told), clock::now());
            let mut response = sign_in::page(&present, &frame, status, fault.to_owned(), "", "/")?;
            response.headers_mut().append(header::SET_COOKIE, spent);
            return Ok(response);
        }
    };
    let mut response = frame.narrow(StatusCode::OK, frame.t.access.sign_in, &SignedIn { t: frame.t, next: &next })?;
    response.headers_mut().append(header::SET_COOKIE, session_cookie(door, &session, SESSION_US / 1_000_000)?);
    response.headers_mut().append(header::SET_COOKIE, spent);
    Ok(response)
}

/// Where to go, and the session's secret.
async fn end(
    present: &Present,
    oidc: &Oidc,
    door: Door,
    headers: &HeaderMap,
    frame: &Frame,
    query: BackQuery,
) -> Answer<Result<(String, String), Why>> {
    let w = frame.t.provider;
    let refused = |fault: &'static str, told: &str| Why { status: StatusCode::FORBIDDEN, fault, told: told.to_owned() };
    let held = cookie(headers, if secure(door) { COOKIE_SECURE } else { COOKIE });
    let browser = held.map(|held| sha256(held.as_bytes()));
    if query.state.len() > VALUE_BYTES_MAX {
        return Ok(Err(refused(w.again, "a state that is too long")));
    }
    let begun = oidc.pending().end(&sha256(query.state.as_bytes()), browser, clock::monotonic().0);
    let begun = match begun {
        Ok(begun) => begun,
        Err(Lost::Unknown) => return Ok(Err(refused(w.again, "a state that nobody began, or that was used before"))),
        Err(Lost::Late) => return Ok(Err(refused(w.again, "a state that is over"))),
        Err(Lost::Elsewhere) => return Ok(Err(refused(w.again, "a state that another browser began"))),
    };
    let settings = &oidc.settings;
    let known = match oidc.provider.known(&present.sender()).await {
        Ok(known) => known,
        Err(why) => return Ok(Err(away(w.away, &why))),
    };
    // Whoever answered must be who was asked (RFC 9207): else the code would be sent to the wrong one.
    let named = query.iss.as_deref();
    let must = known.metadata.authorization_response_iss_parameter_supported;
    if named.map_or(must, |iss| iss != settings.issuer) {
        return Ok(Err(refused(w.again, "the answer is of another issuer, or of none")));
    }
    if let Some(error) = &query.error {
        let fault = if error == "access_denied" { w.denied } else { w.failed };
        return Ok(Err(refused(fault, &format!("the provider says {}", word(error)))));
    }
    let Some(code) = query.code.filter(|code| !code.is_empty() && code.len() <= VALUE_BYTES_MAX) else {
        return Ok(Err(refused(w.failed, "the provider sent no code")));
    };
    let secret = match client_secret(present, &settings.client_secret).await {
        Ok(secret) => secret,
        Err(why) => {
            tracing::error!("nobody can sign in by the provider: {why}");
            return Ok(Err(away(w.away, &why)));
        }
    };
    let shown = (code.as_str(), begun.verifier.as_str(), oidc.redirect.as_str());
    let said = match oidc.provider.redeem(&present.sender(), settings, secret.as_deref(), shown).await {
        Ok(said) => said,
        Err(NoToken::Away(why)) => return Ok(Err(away(w.away, &why))),
        Err(NoToken::Refused(why)) => return Ok(Err(refused(w.failed, &why))),
    };
    let now = clock::now();
    let expected = Expected { issuer: &settings.issuer, client_id: &settings.client_id, nonce: &begun.nonce, now };
    let person = match claims::person(&said, &oidc.rules().claim, expected) {
        Ok(person) => person,
        Err(why) => return Ok(Err(refused(w.failed, why))),
    };
    let subject = person.subject.clone();
    let from = address(door).map(|address| address.to_string());
    match present.app().sign_in_by_provider(person, oidc.rules().clone(), from, now).await? {
        Ok(session) => Ok(Ok((begun.next, session.secret))),
        Err(why) => {
            let fault = match &why {
                Refused::Rules(_) | Refused::Gone(_) => w.may_not,
                Refused::Unknown => w.unknown,
                Refused::Taken(_) => w.taken,
            };
            Ok(Err(refused(fault, &format!("subject {subject}: {}", why.told()))))
        }
    }
}

fn away(fault: &'static str, why: &str) -> Why {
    Why { status: StatusCode::SERVICE_UNAVAILABLE, fault, told: format!("the provider cannot be asked: {why}") }
}

/// The client's secret as it is now. What is wrong is told without it.
async fn client_secret(present: &Present, at: &ClientSecret) -> Result<Option<String>, String> {
    match at {
        ClientSecret::None => Ok(None),
        ClientSecret::Named(name) => {
            let value = present.app().book().vault().value(name);
            value.map(Some).ok_or_else(|| {
                format!("secret {name} of [oidc] is not set, or does not open: `sitepulse-collector secret set {name}`")
            })
        }
        ClientSecret::File(path) => {
            let (path, named) = (path.clone(), path.display().to_string());
            let read = tokio::task::spawn_blocking(move || {
                use std::io::Read as _;
                let mut text = String::new();
                std::fs::File::open(path)?.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
                Ok::<_, std::io::Error>(text.trim().to_owned())
            });
            let read = read.await.map_err(|_| "the collector is shutting down".to_owned())?;
            let secret = read.map_err(|error| format!("client_secret of [oidc]: {named} cannot be read: {error}"))?;
            if secret.is_empty() { Err(format!("client_secret of [oidc]: {named} is empty")) } else { Ok(Some(secret)) }
        }
    }
}
