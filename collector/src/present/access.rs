//! Who may do what, as the API, the command line and the console show it.

use sitepulse_daemon::{clock, instant};
use sitepulse_model::time::UtcMicros;

use crate::access::audit::{Told as Kind, Verdict};
use crate::app::{Access, App, CredentialKind, ListedCredential, NewCredential, WantedCredential, credential_id};
use crate::enrol::sha256;
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::LinkView;
use crate::present::dto::access::{
    AccountView, ApiTokenView, AuditVerdictView, AuditView, IdentityView, NewApiTokenBody, NewApiTokenView, SessionView,
};
use crate::present::http::escape;
use crate::present::problem::{Answer, Code, Problem};
use crate::store::access::Told;

/// How long an invitation is good for: three days, in microseconds.
pub const INVITE_US: u64 = 3 * 86_400 * 1_000_000;
/// How finely the last use of a token is told.
const HOUR_US: i64 = 3600 * 1_000_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An instant to the second.
fn second(at: UtcMicros) -> String {
    instant::format(UtcMicros(at.0 - at.0.rem_euclid(1_000_000)))
}

/// The API tokens that hold.
pub fn tokens(app: &App, now: UtcMicros) -> Vec<ApiTokenView> {
    app.credentials(CredentialKind::ApiToken, now).iter().map(token_view).collect()
}

fn token_view(one: &ListedCredential) -> ApiTokenView {
    let ListedCredential { hash, credential, used } = one;
    ApiTokenView {
        id: credential_id(hash),
        scope: credential.access.to_string(),
        note: credential.note.clone(),
        author: credential.author.clone(),
        created: instant::format(credential.created),
        expires: instant::format(credential.expires),
        used: used.map(|used| instant::format(UtcMicros(used.0 - used.0.rem_euclid(HOUR_US)))),
    }
}

/// Makes an API token.
///
/// # Errors
/// On a scope, note or life that cannot be.
pub async fn make_token(
    present: &Present,
    caller: &Caller,
    asked: NewApiTokenBody,
    note: &Note,
) -> Answer<NewApiTokenView> {
    let access = Access::parse(&asked.scope).ok_or_else(|| {
        Problem::new(Code::BadRequest, format!("scope {:?}: use read, respond, edit or admin", asked.scope))
    })?;
    let bad_ttl = || Problem::new(Code::BadRequest, "an API token lives 1s to 366d");
    let ttl_us = asked.ttl_seconds.checked_mul(1_000_000).filter(|us| (1..=crate::app::TTL_US_MAX).contains(us));
    let wanted = WantedCredential {
        kind: CredentialKind::ApiToken,
        access,
        note: asked.note.trim().to_owned(),
        ttl_us: ttl_us.ok_or_else(bad_ttl)?,
        user: None,
        author: caller.author.clone(),
    };
    let NewCredential { secret, credential } = present.app().make_credential(wanted, clock::now()).await?;
    let id = credential_id(&sha256(secret.as_bytes()));
    let expires = instant::format(credential.expires);
    note.tell(format!("token {id} ({}), scope {access}, until {}", credential.note, second(credential.expires)));
    Ok(NewApiTokenView { token: secret, id, scope: access.to_string(), note: credential.note, expires })
}

/// Ends an API token.
///
/// # Errors
/// When there is none of this id.
pub async fn revoke_token(present: &Present, id: &str, note: &Note) -> Answer<()> {
    let ended = present.app().end_credential(CredentialKind::ApiToken, id, None, clock::now()).await?;
    note.tell(format!("token {id} ({}), scope {}", ended.note, ended.access));
    Ok(())
}

/// Sessions: the caller's own, or those of all where `all`.
pub fn sessions(app: &App, caller: &Caller, all: bool, now: UtcMicros) -> Vec<SessionView> {
    let shown = |one: &ListedCredential| {
        let this = caller.credential == Some(one.hash);
        all || this || (caller.user.is_some() && one.credential.user == caller.user)
    };
    let own = app.credentials(CredentialKind::Session, now).into_iter().filter(shown);
    own.map(|one| SessionView {
        id: credential_id(&one.hash),
        this: caller.credential == Some(one.hash),
        user: one.credential.user,
        way: one.credential.way.as_str().to_owned(),
        access: one.credential.access.to_string(),
        created: instant::format(one.credential.created),
        expires: instant::format(one.credential.expires),
        used: one.used.map(instant::format),
    })
    .collect()
}

/// Ends a session: one's own, or anybody's by an admin.
///
/// # Errors
/// When there is none of this id that the caller may end.
pub async fn end_session(present: &Present, caller: &Caller, id: &str, note: &Note) -> Answer<()> {
    let now = clock::now();
    let may = sessions(present.app(), caller, caller.access >= Access::Admin, now).iter().any(|one| one.id == id);
    if !may {
        return Err(Problem::not_found("session", id));
    }
    let ended = present.app().end_credential(CredentialKind::Session, id, None, now).await?;
    note.tell(format!("session {id} of {}", ended.note));
    Ok(())
}

/// Who can sign in, and how.
pub fn accounts(app: &App, now: UtcMicros) -> Vec<AccountView> {
    let sessions = app.credentials(CredentialKind::Session, now);
    let book = app.book();
    let users = book.objects().users.living();
    users
        .map(|(id, revised)| AccountView {
            id: id.to_owned(),
            name: revised.body.display_name().to_owned(),
            role: revised.body.role.map(|role| role.to_string()),
            team: revised.body.team.clone(),
            password_set: app.desk().password(id).map(|password| instant::format(password.set)),
            identity: identity(app, id),
            sessions: sessions.iter().filter(|one| one.credential.user.as_deref() == Some(id)).count(),
        })
        .collect()
}

/// Who a user is at an identity provider: the one they used last.
pub fn identity(app: &App, user: &str) -> Option<IdentityView> {
    let own = app.desk().identities_of(user).into_iter().map(|(_, identity)| identity);
    own.max_by_key(|identity| identity.used).map(|identity| IdentityView {
        issuer: identity.issuer,
        subject: identity.subject,
        linked: instant::format(identity.linked),
        used: instant::format(identity.used),
    })
}

/// Makes an invitation: a link by which a user sets a password of their own.
///
/// # Errors
/// When there is no such user, they have no role, or no console runs.
pub async fn invite(present: &Present, caller: &Caller, user: &str, note: &Note) -> Answer<LinkView> {
    let Some(console) = present.console_url().map(str::to_owned) else {
        return Err(Problem::new(
            Code::Unavailable,
            "there is no console to come to: start it with `sitepulse-collector serve`, or set a password with `user password`",
        ));
    };
    let role = {
        let book = present.app().book();
        let revised = book.objects().users.current(user).ok_or_else(|| Problem::not_found("user", user))?;
        revised.body.role
    };
    let Some(role) = role else {
        let what = format!(
            "user {user} has no role: write role = \"viewer\" (responder, editor, admin) in [[user]] and apply it"
        );
        return Err(Problem::new(Code::Conflict, what));
    };
    let wanted = WantedCredential {
        kind: CredentialKind::Invite,
        access: crate::access::access_of(role),
        note: user.to_owned(),
        ttl_us: INVITE_US,
        user: Some(user.to_owned()),
        author: caller.author.clone(),
    };
    let made = present.app().make_credential(wanted, clock::now()).await?;
    let expires = instant::format(made.credential.expires);
    note.tell(format!("user {user} ({role}), until {}", second(made.credential.expires)));
    Ok(LinkView { url: format!("{}/invite?token={}", console.trim_end_matches('/'), escape(&made.secret)), expires })
}

/// An entry of the audit log.
pub fn audit_view(told: Told) -> AuditView {
    let Told { entry, deed, outcome } = told;
    let open = deed.as_ref().is_some_and(|deed| deed.told == Kind::Asked);
    let refused = deed.as_ref().is_some_and(|deed| deed.told == Kind::Refused);
    let of_outcome = outcome.and_then(|(_, deed)| deed);
    let status = of_outcome.as_ref().map_or_else(|| deed.as_ref().and_then(|deed| deed.status), |deed| deed.status);
    let word = match (open, &of_outcome, status) {
        (true, None, _) => "open",
        (true, Some(_), None) => "cut_off",
        (_, _, Some(401 | 403)) => "refused",
        (_, _, Some(status)) if status >= 400 => "failed",
        _ if refused => "refused",
        _ => "done",
    };
    let detail = of_outcome.map(|deed| deed.detail).filter(|detail| !detail.is_empty());
    let unread = "this entry cannot be read";
    let detail = detail.or_else(|| deed.as_ref().map(|deed| deed.detail.clone())).unwrap_or_else(|| unread.to_owned());
    AuditView {
        number: entry.number,
        at: instant::format(entry.at),
        author: entry.author,
        way: deed.as_ref().map_or("stranger", |deed| deed.way.as_str()).to_owned(),
        credential: deed.as_ref().and_then(|deed| deed.credential.clone()),
        address: deed.as_ref().and_then(|deed| deed.address.clone()),
        action: deed.as_ref().map(|deed| deed.action.clone()).unwrap_or_default(),
        subject: deed.as_ref().map(|deed| deed.subject.clone()).unwrap_or_default(),
        outcome: word.to_owned(),
        status,
        detail,
        left_out: deed.map_or(0, |deed| deed.left_out),
        hash: hex(&entry.hash),
    }
}

/// What a look through the audit log found.
pub fn verdict_view(verdict: Verdict) -> AuditVerdictView {
    AuditVerdictView {
        intact: verdict.fault.is_none(),
        entries: verdict.entries,
        let_go: verdict.let_go,
        newest: verdict.newest,
        head: hex(&verdict.head),
        fault: verdict.fault,
    }
}
