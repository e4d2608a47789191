//! Settings: one's own account, password, sessions and appearance; for admins users, API tokens and the audit log.
//!
//! Forms work without scripts. What is shown once (a new token, an invitation) is in the answer to the form itself; everything else goes back to the page.

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::time::UtcMicros;

use super::frame::{Frame, Place};
use super::parts::Pager;
use super::sign_in::{fault_of, welcome};
use crate::access::Way;
use crate::app::{Access, Knock, Refusal};
use crate::present::audit::Note;
use crate::present::door::{Caller, Door, address};
use crate::present::dto::access::{AccountView, ApiTokenView, AuditView, NewApiTokenBody, SessionView};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::access::AccessTexts;
use crate::present::{Present, access};
use crate::store::access::Asked;

/// Entries of the audit log on one page.
const AUDIT_ROWS: usize = 100;
/// How long a token can be asked for on the page, in days.
const LIVES: [u32; 4] = [7, 30, 90, 365];
const DAY_SECONDS: u64 = 86_400;

/// What is told on top of the page.
#[derive(Debug, Default)]
struct Said {
    /// What was done.
    done: String,
    /// What is shown this once.
    secret: String,
    /// What there is to know of it.
    more: String,
    /// What is wrong.
    fault: String,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings<'a> {
    t: &'a Texts,
    w: &'a AccessTexts,
    said: Said,
    /// What people call who looks; none: nobody in particular.
    name: Option<String>,
    user: String,
    role: String,
    reach: &'static str,
    /// How who looks signs in.
    ways: Vec<String>,
    sessions: Vec<SessionRow>,
    admin: bool,
    accounts: Vec<AccountRow>,
    tokens: Vec<TokenRow>,
    scopes: [Access; 4],
    lives: Vec<(u32, String)>,
    theme: &'static str,
    lang: &'static str,
    /// What is published: the pages' ids and titles.
    published: Vec<(String, String)>,
    /// Where the public reaches them.
    public: String,
}

struct SessionRow {
    id: String,
    way: &'static str,
    created: String,
    used: String,
    expires: String,
    this: bool,
}

struct AccountRow {
    id: String,
    name: String,
    role: Option<String>,
    team: Option<String>,
    password: String,
    /// Who they are at the identity provider.
    subject: Option<String>,
    sessions: usize,
}

struct TokenRow {
    id: String,
    note: String,
    scope: String,
    author: String,
    expires: String,
    used: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit<'a> {
    t: &'a Texts,
    w: &'a AccessTexts,
    rows: Vec<AuditRow>,
    author: String,
    from: String,
    to: String,
    fault: String,
    pager: Option<Pager>,
    intact: bool,
    verdict: String,
    head: String,
}

struct AuditRow {
    number: u64,
    at: String,
    author: String,
    way: &'static str,
    address: String,
    action: String,
    subject: String,
    detail: String,
    class: &'static str,
    outcome: &'static str,
    status: String,
}

/// `2026-11-22 10:00 UTC`
fn minute(text: &str) -> String {
    let at = text.replace('T', " ");
    at.get(..16).map_or_else(|| text.to_owned(), |minute| format!("{minute} UTC"))
}

/// What the address of the page may tell, after a form.
#[derive(Debug, Default, Deserialize)]
pub struct SettingsQuery {
    said: Option<String>,
}

/// `GET /settings`
pub async fn settings_page(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    frame: Frame,
    Query(query): Query<SettingsQuery>,
) -> Answer<Response> {
    let w = frame.t.access;
    let done = match query.said.as_deref() {
        Some("password") => w.password_changed,
        Some("session") => w.session_ended,
        Some("revoked") => w.token_revoked,
        Some("signed-out") => w.sessions_ended,
        Some("user") => frame.t.users.saved,
        Some("retired") => frame.t.users.retired,
        Some(_) | None => "",
    };
    render(&present, &caller, &frame, StatusCode::OK, Said { done: done.to_owned(), ..Said::default() })
}

fn render(present: &Present, caller: &Caller, frame: &Frame, status: StatusCode, said: Said) -> Answer<Response> {
    let (t, w, now) = (frame.t, frame.t.access, clock::now());
    let admin = caller.access >= Access::Admin;
    let app = present.app();
    let user = caller.user.clone().unwrap_or_default();
    let known = {
        let book = app.book();
        let revised = book.objects().users.current(&user);
        revised.map(|revised| (revised.body.display_name().to_owned(), revised.body.role))
    };
    let role = known.as_ref().and_then(|(_, role)| *role).map(|role| role.to_string()).unwrap_or_default();
    let mut ways: Vec<String> = app.desk().password(&user).map(|_| w.password.to_owned()).into_iter().collect();
    ways.extend(access::identity(app, &user).map(|one| (t.provider.by_provider)(&one.issuer)));
    let content = Settings {
        t,
        w,
        said,
        name: known.map(|(name, _)| name),
        user,
        role,
        reach: (w.reach)(caller.access.as_str()),
        ways,
        sessions: access::sessions(app, caller, false, now).into_iter().map(|one| SessionRow::of(one, w)).collect(),
        admin,
        accounts: if admin {
            access::accounts(app, now).into_iter().map(|one| AccountRow::of(one, w)).collect()
        } else {
            Vec::new()
        },
        tokens: if admin {
            access::tokens(app, now).into_iter().map(|one| TokenRow::of(one, w)).collect()
        } else {
            Vec::new()
        },
        scopes: Access::ALL,
        lives: LIVES.map(|days| (days, (w.days)(days))).into(),
        theme: frame.chosen_theme(),
        lang: frame.lang.tag(),
        published: {
            let book = app.book();
            let pages = book.objects().status_pages.living();
            pages.map(|(id, page)| (id.to_owned(), page.body.title(frame.lang.tag()).to_owned())).collect()
        },
        public: present.public_url().to_owned(),
    };
    let content = content.render().map_err(|_| super::broken_template())?;
    frame.around(status, Place::Settings, w.settings, None, content)
}

impl SessionRow {
    fn of(one: SessionView, w: &AccessTexts) -> Self {
        Self {
            way: (w.way)(&one.way),
            created: minute(&one.created),
            used: one.used.as_deref().map_or_else(|| w.never.to_owned(), minute),
            expires: minute(&one.expires),
            this: one.this,
            id: one.id,
        }
    }
}

impl AccountRow {
    fn of(one: AccountView, w: &AccessTexts) -> Self {
        let password = one.password_set.as_deref().map_or_else(|| w.none.to_owned(), minute);
        let subject = one.identity.map(|identity| identity.subject);
        Self { id: one.id, name: one.name, role: one.role, team: one.team, password, subject, sessions: one.sessions }
    }
}

impl TokenRow {
    fn of(one: ApiTokenView, w: &AccessTexts) -> Self {
        Self {
            expires: minute(&one.expires),
            used: one.used.as_deref().map_or_else(|| w.never.to_owned(), minute),
            id: one.id,
            note: one.note,
            scope: one.scope,
            author: one.author,
        }
    }
}

fn back(to: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static(to))]).into_response()
}

/// What the form of a new password brings.
#[derive(Default, Deserialize)]
pub struct PasswordForm {
    #[serde(default)]
    current: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

/// `POST /settings/password`: one's own. All sessions end, and the browser gets a new one.
pub async fn change_password(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
    frame: Frame,
    note: Note,
    Form(form): Form<PasswordForm>,
) -> Answer<Response> {
    let w = frame.t.access;
    let Some(user) = caller.user.clone() else {
        return Err(Problem::new(Code::Forbidden, "this session is nobody's in particular: sign in as a user"));
    };
    note.tell(format!("own password of user {user}"));
    let fault = |status: StatusCode, fault: String| {
        render(&present, &caller, &frame, status, Said { fault, ..Said::default() })
    };
    if let Some(what) = fault_of(frame.t, &form.password, &form.again, &user) {
        return fault(StatusCode::UNPROCESSABLE_ENTITY, what);
    }
    let knock = Knock { user: user.clone(), password: form.current, address: address(door) };
    match present.app().confirm(knock).await {
        Ok(()) => {}
        Err(Refusal::Wrong) => return fault(StatusCode::FORBIDDEN, w.password_no.to_owned()),
        Err(Refusal::Slow(us)) => return fault(StatusCode::TOO_MANY_REQUESTS, (w.slow)(us.div_ceil(1_000_000))),
        Err(Refusal::App(error)) => return Err(error.into()),
    }
    let from = address(door).map(|address| address.to_string());
    let signs_in = Some((Way::Password, from));
    let session = present.app().set_password(&user, Some(form.password), signs_in, clock::now()).await?;
    let session = session.ok_or_else(|| Problem::new(Code::Forbidden, "the user has no role any more"))?;
    welcome(door, &session, "/settings?said=password")
}

/// `POST /settings/sessions/{id}/end`
pub async fn end_session(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    note: Note,
) -> Answer<Response> {
    access::end_session(&present, &caller, &id, &note).await?;
    Ok(back("/settings?said=session"))
}

/// What the form of a new token brings.
#[derive(Default, Deserialize)]
pub struct TokenForm {
    #[serde(default)]
    note: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    days: u32,
}

/// `POST /settings/tokens`: shows the new token, this once.
pub async fn make_token(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    frame: Frame,
    note: Note,
    Form(form): Form<TokenForm>,
) -> Answer<Response> {
    let w = frame.t.access;
    let ttl_seconds = u64::from(form.days) * DAY_SECONDS;
    let asked = NewApiTokenBody { scope: form.scope, note: form.note, ttl_seconds };
    match access::make_token(&present, &caller, asked, &note).await {
        Ok(made) => {
            let said = Said {
                done: (w.token_made)(&made.note),
                more: (w.once)(&minute(&made.expires)),
                secret: made.token,
                fault: String::new(),
            };
            render(&present, &caller, &frame, StatusCode::OK, said)
        }
        Err(problem) => {
            let said = Said { fault: (frame.t.tell)(problem.detail()), ..Said::default() };
            render(&present, &caller, &frame, problem.status(), said)
        }
    }
}

/// `POST /settings/tokens/{id}/revoke`
pub async fn revoke_token(State(present): State<Present>, Path(id): Path<String>, note: Note) -> Answer<Response> {
    access::revoke_token(&present, &id, &note).await?;
    Ok(back("/settings?said=revoked"))
}

/// `POST /settings/users/{id}/{action}`: `invite` shows the link, this once; `sign-out` ends the user's sessions.
pub async fn act_on_user(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
    frame: Frame,
    note: Note,
) -> Answer<Response> {
    let w = frame.t.access;
    match action.as_str() {
        "invite" => {
            let link = access::invite(&present, &caller, &id, &note).await?;
            let more = (w.once)(&minute(&link.expires));
            let said = Said { done: (w.invited)(&id), secret: link.url, more, fault: String::new() };
            render(&present, &caller, &frame, StatusCode::OK, said)
        }
        "sign-out" => {
            let ended = present.app().end_sessions(&id).await?;
            note.tell(format!("{ended} sessions of user {id}"));
            Ok(back("/settings?said=signed-out"))
        }
        other => Err(Problem::not_found("action", other)),
    }
}

/// What the audit page is asked.
#[derive(Debug, Default, Deserialize)]
pub struct AuditPageQuery {
    #[serde(default)]
    author: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    before: Option<u64>,
}

/// `GET /settings/audit`
pub async fn audit_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<AuditPageQuery>,
) -> Answer<Response> {
    let (w, now) = (frame.t.access, clock::now());
    let mut fault = String::new();
    let mut at = |text: &str| -> Option<UtcMicros> {
        let read = (!text.is_empty()).then(|| instant::parse(text, now))?;
        read.map_err(|error| fault = (frame.t.tell)(&error.to_string())).ok()
    };
    let (from, to) = (at(&query.from), at(&query.to));
    let author = query.author.trim().to_owned();
    // People are told by their name here; the log names them with its own word in front.
    let full = if author.is_empty() || author.contains(':') || author == "stranger" {
        author.clone()
    } else {
        format!("collector:{author}")
    };
    let wanted = (!full.is_empty()).then_some(full);
    let asked = Asked { from, to, author: wanted, before: query.before, limit: AUDIT_ROWS + 1 };
    let mut told = present.app().audited(asked).await?;
    let more = told.len() > AUDIT_ROWS;
    told.truncate(AUDIT_ROWS);
    let last = told.last().map(|one| one.entry.number);
    let escape = crate::present::http::escape;
    let first =
        format!("/settings/audit?author={}&from={}&to={}", escape(&author), escape(&query.from), escape(&query.to));
    let older = last.filter(|_| more).map(|last| (format!("{first}&before={last}"), w.older));
    let newer = query.before.is_some();
    let pager = (newer || older.is_some()).then(|| Pager {
        text: w.audit.to_owned(),
        previous: newer.then(|| (first.clone(), frame.t.desk.newest)),
        next: older,
    });
    let verdict = access::verdict_view(present.app().audit_verdict().await?);
    let content = Audit {
        t: frame.t,
        w,
        rows: told.into_iter().map(|one| AuditRow::of(access::audit_view(one), w)).collect(),
        author,
        from: query.from,
        to: query.to,
        fault,
        pager,
        intact: verdict.intact,
        verdict: verdict.fault.map_or_else(|| (w.intact)(verdict.entries), |fault| (frame.t.tell)(&fault)),
        head: verdict.head,
    };
    frame.page(Place::Settings, w.audit, None, &content)
}

impl AuditRow {
    fn of(one: AuditView, w: &AccessTexts) -> Self {
        let class = match one.outcome.as_str() {
            "done" => "up",
            "open" | "cut_off" => "degraded",
            "refused" | "failed" => "down",
            _ => "unknown",
        };
        let mut detail = one.detail;
        if one.left_out > 0 {
            let more = (w.left_out)(one.left_out);
            detail = if detail.is_empty() { more } else { format!("{detail} · {more}") };
        }
        let author = one.author.strip_prefix("collector:").unwrap_or(&one.author).to_owned();
        Self {
            number: one.number,
            at: one.at.replace('T', " ").get(..19).map_or_else(String::new, str::to_owned),
            author,
            way: (w.way)(&one.way),
            address: one.address.unwrap_or_default(),
            action: one.action,
            subject: one.subject,
            detail,
            class,
            outcome: (w.outcome_word)(&one.outcome),
            status: one.status.map(|status| status.to_string()).unwrap_or_default(),
        }
    }
}
