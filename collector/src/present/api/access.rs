//! `/api/v1/tokens`, `/api/v1/sessions`, `/api/v1/accounts`, passwords and invitations of users, `/api/v1/audit`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::clock;

use super::{Body, body, instant_of};
use crate::app::Access;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::LinkView;
use crate::present::dto::access::{
    AccountView, ApiTokenView, AuditVerdictView, AuditView, NewApiTokenBody, NewApiTokenView, SessionView,
};
use crate::present::list::{List, Listed, Nothing};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::{Present, access};
use crate::store::access::Asked;

/// Entries of the audit log in one answer, unless said otherwise.
const AUDIT_DEFAULT: usize = 100;

/// `GET /api/v1/tokens`
pub async fn tokens(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<ApiTokenView>> {
    list.page.of_all(access::tokens(present.app(), clock::now()), |token| (token.created.clone(), token.id.clone()))
}

/// `POST /api/v1/tokens`: the secret is told this once.
pub async fn make_token(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<NewApiTokenBody>,
) -> Answer<Json<NewApiTokenView>> {
    access::make_token(&present, &caller, body(request)?, &note).await.map(Json)
}

/// `DELETE /api/v1/tokens/{id}`
pub async fn revoke_token(State(present): State<Present>, Path(id): Path<String>, note: Note) -> Answer<StatusCode> {
    access::revoke_token(&present, &id, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a list of sessions is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    /// Everybody's: for admins.
    #[serde(default)]
    all: bool,
}

/// `GET /api/v1/sessions`: one's own; `?all=true` everybody's, for admins.
pub async fn sessions(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    list: List<SessionsQuery>,
) -> Answer<Listed<SessionView>> {
    let all = list.query.all;
    if all && caller.access < Access::Admin {
        return Err(Problem::new(Code::Forbidden, "sessions of others are shown to admins: leave `all` out"));
    }
    let sessions = access::sessions(present.app(), &caller, all, clock::now());
    list.page.of_all(sessions, |session| session.id.clone())
}

/// `DELETE /api/v1/sessions/{id}`: one's own; anybody's, for admins.
pub async fn end_session(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    note: Note,
) -> Answer<StatusCode> {
    access::end_session(&present, &caller, &id, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/accounts`
pub async fn accounts(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<AccountView>> {
    list.page.of_all(access::accounts(present.app(), clock::now()), |account| account.id.clone())
}

/// `PUT /api/v1/accounts/{id}/password`: the body is the password; it ends all sessions of the user.
pub async fn set_password(
    State(present): State<Present>,
    Path(id): Path<String>,
    note: Note,
    request: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Answer<StatusCode> {
    let bad = |what: &str| Problem::new(Code::BadRequest, what);
    let bytes = request.map_err(|_| Problem::new(Code::TooLarge, "a password has 256 bytes at most"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("a password is text in UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
    note.tell(format!("password of user {id}"));
    present.app().set_password(&id, Some(text), None, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/accounts/{id}/password`: the user cannot sign in by password any more; ends all their sessions.
pub async fn remove_password(State(present): State<Present>, Path(id): Path<String>, note: Note) -> Answer<StatusCode> {
    if present.app().desk().password(&id).is_none() {
        return Err(Problem::new(Code::NotFound, format!("user {id:?} has no password")));
    }
    note.tell(format!("password of user {id} removed"));
    present.app().set_password(&id, None, None, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/accounts/{id}/identity`: forgets who the user is at the identity provider; ends all their sessions.
pub async fn unlink(State(present): State<Present>, Path(id): Path<String>, note: Note) -> Answer<StatusCode> {
    if present.app().unlink(&id).await? == 0 {
        return Err(Problem::new(Code::NotFound, format!("user {id:?} is nobody at an identity provider")));
    }
    note.tell(format!("identity of user {id} forgotten"));
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/accounts/{id}/invite`
pub async fn invite(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    note: Note,
) -> Answer<Json<LinkView>> {
    access::invite(&present, &caller, &id, &note).await.map(Json)
}

/// `POST /api/v1/accounts/{id}/sign-out`: ends all sessions of a user.
pub async fn sign_out(State(present): State<Present>, Path(id): Path<String>, note: Note) -> Answer<StatusCode> {
    let ended = present.app().end_sessions(&id).await?;
    note.tell(format!("{ended} sessions of user {id}"));
    Ok(StatusCode::NO_CONTENT)
}

/// What the audit log is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Entries from then on: an instant, or an age like `-7d`.
    from: Option<String>,
    /// Entries before then.
    to: Option<String>,
    /// By this author alone.
    author: Option<String>,
    /// Entries with a smaller number.
    before: Option<u64>,
}

/// `GET /api/v1/audit`: the newest first.
pub async fn audit(State(present): State<Present>, list: List<AuditQuery>) -> Answer<Listed<AuditView>> {
    let List { query: AuditQuery { from, to, author, before }, page } = list;
    let now = clock::now();
    let at = |text: Option<String>| text.map(|text| instant_of(&text, now)).transpose();
    let limit = page.limit_or(AUDIT_DEFAULT);
    // One more tells whether there is another page.
    let asked = Asked { from: at(from)?, to: at(to)?, author, before: page.cursor()?.or(before), limit: limit + 1 };
    let told = present.app().audited(asked).await?;
    Ok(page.of_more(told, limit, |told| told.entry.number).map(access::audit_view))
}

/// `GET /api/v1/audit/verify`
pub async fn audit_verify(State(present): State<Present>) -> Answer<Json<AuditVerdictView>> {
    Ok(Json(access::verdict_view(present.app().audit_verdict().await?)))
}
