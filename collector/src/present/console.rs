//! The console: one file a page, [`frame`] around each. Live pages hear of changes by server-sent events ([`crate::present::live`]) and fetch what changed.
//!
//! It works without scripts (then it shows the state at loading). Everything is escaped by the templates; the pages load nothing
//! from elsewhere.

mod backtest;
mod check;
mod checks;
mod editor;
mod explain;
pub mod frame;
mod home;
mod incidents;
mod latency;
mod ledger;
pub mod parts;
mod policy;
mod row;
mod slo;
mod suspend;
mod vitals;

use askama::Template;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sitepulse_daemon::clock;

pub use backtest::backtest_page;
pub use check::{check_page, run_page};
pub use checks::checks_page;
pub use editor::{edit_page, new_page, write_edit, write_new};
pub use explain::explain_page;
pub use frame::appearance;
pub(super) use frame::language;
pub use home::page;
pub use incidents::{act as act_on_incident, incident_page, incidents_page};
pub use ledger::agents_page;
use row::{age, class, clock_text};
pub use slo::slos_page;
pub use suspend::{resume_check, suspend_check, suspend_check_page};

use crate::app::CredentialKind;
use crate::present::Present;
use crate::present::door::{COOKIE, COOKIE_SECURE, Caller, Door, secure};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::{Language, Texts};

/// How long a console session lasts, in microseconds: 12 hours.
const SESSION_US: u64 = 12 * 3600 * 1_000_000;

const CSS: &str = concat!(
    include_str!("../../templates/css/tokens.css"),
    include_str!("../../templates/css/frame.css"),
    include_str!("../../templates/css/pages.css"),
    include_str!("../../templates/css/parts.css"),
    include_str!("../../templates/css/home.css"),
    include_str!("../../templates/css/checks.css"),
    include_str!("../../templates/css/check.css"),
);
const JS: &str = concat!(
    include_str!("../../templates/js/live.js"),
    include_str!("../../templates/js/dialog.js"),
    include_str!("../../templates/js/keys.js"),
);
const ICON: &str = include_str!("../../templates/icon.svg");

/// What a page may be asked.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    pub(super) lang: Option<String>,
    token: Option<String>,
    span: Option<String>,
    policy: Option<String>,
}

/// The page for people without a session.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    t: &'a Texts,
    lang: Language,
    spent: bool,
}

/// `GET /sign-in?token=...`: spends the one-time link, opens a session, goes on to the console.
pub async fn sign_in(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    headers: HeaderMap,
    Query(query): Query<PageQuery>,
) -> Answer<Response> {
    let lang = language(query.lang.as_deref(), &headers);
    let Some(token) = query.token else {
        return html(StatusCode::OK, lang, &SignIn { t: lang.texts(), lang, spent: false });
    };
    let Some(session) = present.app().redeem_signin(&token, SESSION_US, clock::now()).await? else {
        return html(StatusCode::FORBIDDEN, lang, &SignIn { t: lang.texts(), lang, spent: true });
    };
    let cookie = session_cookie(door, &session.secret, SESSION_US / 1_000_000);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/")), (header::SET_COOKIE, cookie?)])
        .into_response())
}

/// `POST /sign-out`
pub async fn sign_out(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
) -> Answer<Response> {
    if let Some(session) = &caller.session {
        present.app().revoke_credential(CredentialKind::Session, session, clock::now()).await?;
    }
    let cookie = session_cookie(door, "", 0)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/")), (header::SET_COOKIE, cookie)])
        .into_response())
}

/// The sign-in page in place of what was asked for.
pub fn refused(headers: &HeaderMap, uri: &Uri, problem: &Problem) -> Response {
    let query = Query::<PageQuery>::try_from_uri(uri).map(|Query(query)| query).unwrap_or_default();
    let lang = language(query.lang.as_deref(), headers);
    html(StatusCode::UNAUTHORIZED, lang, &SignIn { t: lang.texts(), lang, spent: false })
        .unwrap_or_else(|_| problem.clone().into_response())
}

/// `GET /assets/console.css`
pub async fn css() -> Response {
    asset("text/css; charset=utf-8", CSS)
}

/// `GET /assets/console.js`
pub async fn js() -> Response {
    asset("text/javascript; charset=utf-8", JS)
}

/// `GET /assets/icon.svg`
pub async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=300")], text).into_response()
}

pub(super) fn html(status: StatusCode, lang: Language, page: &impl Template) -> Answer<Response> {
    let text = page.render().map_err(|_| broken_template())?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, lang.tag()),
        (header::VARY, "Accept-Language, Cookie"),
    ];
    Ok((status, headers, text).into_response())
}

fn broken_template() -> Problem {
    Problem::new(Code::Internal, "the page could not be rendered")
}

fn session_cookie(door: Door, secret: &str, seconds: u64) -> Answer<HeaderValue> {
    let (name, flag) = if secure(door) { (COOKIE_SECURE, "; Secure") } else { (COOKIE, "") };
    HeaderValue::from_str(&format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{flag}"))
        .map_err(|_| Problem::new(Code::Internal, "the session cannot be written as a cookie"))
}

#[cfg(test)]
mod tests;
