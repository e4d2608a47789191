//! Signing in and out: by a password, by a one-time link, by an invitation. By an identity provider: `provider`.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sitepulse_daemon::clock;

use super::frame::{Frame, here};
use crate::access::Way;
use crate::access::audit::{Deed, Told};
use crate::access::password::{self, Weak};
use crate::app::{AppError, CredentialKind, Knock, NewCredential, Refusal, SESSION_US};
use crate::oidc::Oidc;
use crate::present::Present;
use crate::present::audit::{Note, STRANGER};
use crate::present::door::{COOKIE, COOKIE_SECURE, Caller, Door, address, same_origin, secure};
use crate::present::http::escape;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;

/// The page for people without a session.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    t: &'a Texts,
    /// What is wrong, first of all.
    fault: String,
    /// Whether anybody has a password.
    by_password: bool,
    /// What was written as the user.
    user: &'a str,
    back: &'a str,
    spent: bool,
    /// What the button says that leads to the identity provider; none: there is no provider.
    provider: Option<String>,
    /// Whether that does not answer.
    away: bool,
    /// The way there.
    to_provider: String,
}

impl<'a> SignIn<'a> {
    fn new(present: &Present, t: &'a Texts, fault: String, (user, back): (&'a str, &'a str), spent: bool) -> Self {
        let by_password = present.app().desk().any_password();
        let oidc = present.oidc();
        let label = |oidc: &Arc<Oidc>| oidc.settings.button.clone().unwrap_or_else(|| t.provider.button.to_owned());
        let (provider, away) = (oidc.map(label), oidc.is_some_and(|oidc| oidc.provider.away().is_some()));
        let to_provider = format!("/sign-in/provider?next={}", escape(here(back)));
        Self { t, fault, by_password, user, back, spent, provider, away, to_provider }
    }
}

/// The page behind a one-time link.
#[derive(Template)]
#[template(path = "sign_in_link.html")]
struct Link<'a> {
    t: &'a Texts,
    token: &'a str,
}

/// The page behind an invitation.
#[derive(Template)]
#[template(path = "invite.html")]
struct Invitation<'a> {
    t: &'a Texts,
    /// The user's name; none: the invitation is over.
    name: Option<String>,
    user: String,
    token: &'a str,
    fault: String,
}

/// The page for somebody who is known and may not.
#[derive(Template)]
#[template(path = "may_not.html")]
struct MayNot<'a> {
    t: &'a Texts,
}

/// What a link brings.
#[derive(Debug, Default, Deserialize)]
pub struct LinkQuery {
    token: Option<String>,
}

/// What the sign-in form brings.
#[derive(Default, Deserialize)]
pub struct SignInForm {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    back: String,
    /// Of a one-time link, in place of user and password.
    #[serde(default)]
    token: String,
}

/// What an invitation's form brings.
#[derive(Default, Deserialize)]
pub struct InviteForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

pub(super) fn page(
    present: &Present,
    frame: &Frame,
    status: StatusCode,
    fault: String,
    user: &str,
    back: &str,
) -> Answer<Response> {
    let content = SignIn::new(present, frame.t, fault, (user, back), false);
    frame.narrow(status, frame.t.sign_in, &content)
}

/// `GET /sign-in`: the form; `?token=...` shows the button that uses a one-time link up. Looking does not: programs that look at links use none up.
pub async fn sign_in(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    frame: Frame,
    Query(query): Query<LinkQuery>,
) -> Answer<Response> {
    let Some(token) = query.token else {
        return page(&present, &frame, StatusCode::OK, String::new(), "", "/");
    };
    if present.app().known(CredentialKind::SignIn, &token, clock::now()).is_none() {
        return spent(&present, door, &frame);
    }
    frame.narrow(StatusCode::OK, frame.t.sign_in, &Link { t: frame.t, token: &token })
}

/// A one-time link that is good no more.
fn spent(present: &Present, door: Door, frame: &Frame) -> Answer<Response> {
    let from = address(door).map(|address| address.to_string());
    let deed = Deed::new(Told::Refused, Way::Link, "sign-in").from(from).status(403);
    present.app().audit_bounded(STRANGER, deed.detail("a link that is unknown, used or over"), clock::now());
    let fault = frame.t.sign_in_bad.to_owned();
    let content = SignIn::new(present, frame.t, fault, ("", "/"), true);
    frame.narrow(StatusCode::FORBIDDEN, frame.t.sign_in, &content)
}

/// `POST /sign-in`: by user and password, or by a one-time link.
pub async fn sign_in_by_password(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    headers: HeaderMap,
    frame: Frame,
    Form(form): Form<SignInForm>,
) -> Answer<Response> {
    let w = frame.t.access;
    let user: String = form.user.trim().chars().take(100).collect();
    let back = here(&form.back);
    // Nobody is to be signed in, as whoever it be, by another site's form.
    if door != Door::Local && !same_origin(&headers) {
        return page(&present, &frame, StatusCode::FORBIDDEN, w.not_from_here.into(), &user, back);
    }
    if !form.token.is_empty() {
        let from = address(door).map(|address| address.to_string());
        return match present.app().redeem_signin(&form.token, from, clock::now()).await? {
            Some(session) => welcome(door, &session, back),
            None => spent(&present, door, &frame),
        };
    }
    let address = address(door);
    let knock = Knock { user: user.clone(), password: form.password, address };
    let refusal = match present.app().sign_in(knock, clock::now()).await {
        Ok(session) => return welcome(door, &session, back),
        Err(refusal) => refusal,
    };
    let deed = Deed::new(Told::Refused, Way::Password, "sign-in").from(address.map(|address| address.to_string()));
    let deed = deed.about(&user);
    let (status, fault, detail, wait) = match refusal {
        Refusal::Wrong => (StatusCode::FORBIDDEN, w.wrong.to_owned(), "wrong user or password", None),
        Refusal::Slow(us) => {
            let seconds = us.div_ceil(1_000_000);
            (StatusCode::TOO_MANY_REQUESTS, (w.slow)(seconds), "slowed down after failures", Some(seconds))
        }
        Refusal::App(error) => {
            tracing::warn!("nobody can sign in: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, w.busy.to_owned(), "the collector was busy", Some(1))
        }
    };
    present.app().audit_bounded(STRANGER, deed.status(status.as_u16()).detail(detail), clock::now());
    let mut response = page(&present, &frame, status, fault, &user, back)?;
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// `POST /sign-out`
pub async fn sign_out(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
    note: Note,
) -> Answer<Response> {
    note.tell("own session ended");
    if let Some(session) = &caller.session {
        present.app().revoke_credential(CredentialKind::Session, session, clock::now()).await?;
    }
    let cookie = session_cookie(door, "", 0)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/")), (header::SET_COOKIE, cookie)])
        .into_response())
}

/// `GET /invite?token=...`: the form to set one's own password. Looking does not use the invitation up.
pub async fn invited(State(present): State<Present>, frame: Frame, Query(query): Query<LinkQuery>) -> Answer<Response> {
    invitation(&present, &frame, StatusCode::OK, &query.token.unwrap_or_default(), String::new())
}

/// `POST /invite`: sets the password, opens a session, goes on to the console.
pub async fn accept_invitation(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    frame: Frame,
    Form(form): Form<InviteForm>,
) -> Answer<Response> {
    let w = frame.t.access;
    let InviteForm { token, password: text, again } = form;
    let user = present.app().known(CredentialKind::Invite, &token, clock::now()).and_then(|(_, one)| one.user);
    if let Some(user) = &user {
        if let Some(fault) = fault_of(frame.t, &text, &again, user) {
            return invitation(&present, &frame, StatusCode::UNPROCESSABLE_ENTITY, &token, fault);
        }
        let from = address(door).map(|address| address.to_string());
        match present.app().redeem_invite(&token, text, from, clock::now()).await {
            Ok(Some(session)) => return welcome(door, &session, "/"),
            Ok(None) => {}
            Err(AppError::Unavailable(_)) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return invitation(&present, &frame, status, &token, w.busy.to_owned());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let deed = Deed::new(Told::Refused, Way::Invite, "sign-in").status(410);
    let deed = deed.from(address(door).map(|address| address.to_string()));
    let deed = deed.detail("an invitation that is unknown, used or over");
    present.app().audit_bounded(STRANGER, deed, clock::now());
    invitation(&present, &frame, StatusCode::GONE, "", String::new())
}

fn invitation(present: &Present, frame: &Frame, status: StatusCode, token: &str, fault: String) -> Answer<Response> {
    let found = present.app().known(CredentialKind::Invite, token, clock::now());
    let user = found.and_then(|(_, one)| one.user).unwrap_or_default();
    let name = {
        let book = present.app().book();
        book.objects().users.current(&user).map(|revised| revised.body.display_name().to_owned())
    };
    let status = if name.is_some() { status } else { StatusCode::GONE };
    let content = Invitation { t: frame.t, name, user, token, fault };
    frame.narrow(status, frame.t.access.set_and_sign_in, &content)
}

/// What is wrong with a password that somebody chose.
pub(super) fn fault_of(t: &Texts, text: &str, again: &str, user: &str) -> Option<String> {
    let w = t.access;
    if text != again {
        return Some(w.differ.to_owned());
    }
    password::judge(text, user).err().map(|weak| match weak {
        Weak::Short => (w.too_short)(),
        Weak::Long => w.too_long.to_owned(),
        Weak::Common => w.too_common.to_owned(),
    })
}

/// Gives a browser its session and sends it on.
pub(super) fn welcome(door: Door, session: &NewCredential, back: &str) -> Answer<Response> {
    let cookie = session_cookie(door, &session.secret, SESSION_US / 1_000_000)?;
    let location = HeaderValue::from_str(back).unwrap_or(HeaderValue::from_static("/"));
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location), (header::SET_COOKIE, cookie)]).into_response())
}

pub(super) fn session_cookie(door: Door, secret: &str, seconds: u64) -> Answer<HeaderValue> {
    let (name, flag) = if secure(door) { (COOKIE_SECURE, "; Secure") } else { (COOKIE, "") };
    HeaderValue::from_str(&format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{flag}"))
        .map_err(|_| Problem::new(Code::Internal, "the session cannot be written as a cookie"))
}

/// The sign-in page in place of what was asked for; for somebody who is known, that they may not.
pub fn refused(present: &Present, request: Request, problem: &Problem) -> Response {
    let (parts, _) = request.into_parts();
    let frame = Frame::of_request(&parts);
    let shown = if problem.status() == StatusCode::FORBIDDEN {
        frame.narrow(StatusCode::FORBIDDEN, frame.t.access.may_not, &MayNot { t: frame.t })
    } else {
        page(present, &frame, StatusCode::UNAUTHORIZED, String::new(), "", frame.back())
    };
    shown.unwrap_or_else(|_| problem.clone().into_response())
}
