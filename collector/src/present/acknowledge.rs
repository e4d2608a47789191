//! `/a/TOKEN`: the page behind an acknowledge link. Public, because the signed token in the path is the authority ([`crate::alert::link`]).
//!
//! `GET` shows the incident and one button; `POST` alone acknowledges: programs that look at links before people do take nothing over. A token that is forged,
//! damaged or expired tells nothing, not even whether there is such an incident.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;

use crate::alert::link::Granted;
use crate::alert::people::Act;
use crate::app::AppError;
use crate::present::Present;
use crate::present::console::{html, language, moment};
use crate::present::dto::incidents::IncidentView;
use crate::present::incidents;
use crate::present::problem::Answer;
use crate::present::text::{Language, Texts};

/// What the page may be asked.
#[derive(Debug, Default, Deserialize)]
pub struct LinkQuery {
    lang: Option<String>,
}

#[derive(Template)]
#[template(path = "acknowledge.html")]
struct Page<'a> {
    t: &'a Texts,
    lang: Language,
    incident: Option<Facts>,
    said: String,
    button: bool,
}

/// The incident in the page's language.
struct Facts {
    id: String,
    what: String,
    kind: String,
    severity: String,
    state: String,
    since: String,
    since_at: String,
}

impl Facts {
    fn of(view: &IncidentView, t: &Texts) -> Self {
        let words = t.incidents;
        let about = match (&view.check, &view.agent, &view.slo) {
            (Some(check), _, _) => format!("{} {check}", words.check),
            (None, Some(agent), _) => format!("{} {agent}", words.agent),
            (None, None, Some(slo)) => format!("SLO {slo}"),
            (None, None, None) => String::new(),
        };
        Self {
            id: view.id.clone(),
            what: view.title.clone().unwrap_or(about),
            kind: (words.kind)(&view.kind),
            severity: (words.severity)(&view.severity),
            state: (words.state)(&view.state),
            since: moment(&view.since, clock::now()),
            since_at: view.since.clone(),
        }
    }
}

/// `GET /a/{token}`: what it is about, and the button.
pub async fn show(
    State(present): State<Present>,
    Path(token): Path<String>,
    headers: HeaderMap,
    Query(query): Query<LinkQuery>,
) -> Answer<Response> {
    let Some(granted) = present.app().shared().links.granted(&token, clock::now()) else {
        return dead(language(query.lang.as_deref(), &headers));
    };
    let lang = language_of(&present, &granted, query.lang.as_deref(), &headers);
    let Some(view) = find(&present, &granted).await? else { return dead(lang) };
    page(lang, &view, None)
}

/// `POST /a/{token}`: takes the incident.
pub async fn take(
    State(present): State<Present>,
    Path(token): Path<String>,
    headers: HeaderMap,
    Query(query): Query<LinkQuery>,
) -> Answer<Response> {
    let now = clock::now();
    let Some(granted) = present.app().shared().links.granted(&token, now) else {
        return dead(language(query.lang.as_deref(), &headers));
    };
    let lang = language_of(&present, &granted, query.lang.as_deref(), &headers);
    let act = Act::Acknowledge { by: Some(granted.who.clone()) };
    let done = present.app().act(&granted.incident.0, act, &format!("link:{}", granted.who), now).await;
    let Some(view) = find(&present, &granted).await? else { return dead(lang) };
    match done {
        Ok(()) => page(lang, &view, Some(lang.texts().incidents.acknowledge_done)),
        // Somebody was faster, or it is over: the page says what is.
        Err(AppError::Conflict(_)) => page(lang, &view, None),
        Err(AppError::NotFound(_)) => dead(lang),
        Err(
            error @ (AppError::Unavailable(_) | AppError::Invalid(_) | AppError::BadFiles(_) | AppError::Forbidden(_)),
        ) => {
            tracing::warn!("incident {} is not acknowledged by its link: {error}", granted.incident);
            let t = lang.texts();
            let said = t.incidents.acknowledge_later.to_owned();
            let incident = Some(Facts::of(&view, t));
            html(StatusCode::SERVICE_UNAVAILABLE, lang, &Page { t, lang, incident, said, button: true })
        }
    }
}

/// The language that was asked for, else that of the channel's messages, else the browser's.
fn language_of(present: &Present, granted: &Granted, asked: Option<&str>, headers: &HeaderMap) -> Language {
    let book = present.app().book();
    let channel = book.objects().channels.current(&granted.who);
    let theirs = channel.and_then(|channel| channel.body.language.as_deref());
    language(asked.or(theirs), headers)
}

async fn find(present: &Present, granted: &Granted) -> Answer<Option<IncidentView>> {
    match incidents::brief(present.app(), &granted.incident, clock::now()).await {
        Ok(view) => Ok(Some(view)),
        Err(problem) if problem.is_not_found() => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn page(lang: Language, view: &IncidentView, done: Option<&str>) -> Answer<Response> {
    let t = lang.texts();
    let words = t.incidents;
    let (said, button) = match (done, view.state.as_str(), &view.acknowledged_by) {
        (Some(done), _, _) => (done.to_owned(), false),
        (None, "open", _) => (words.acknowledge_what.to_owned(), true),
        (None, "acknowledged", by) => ((words.acknowledge_was)(by.as_deref().unwrap_or("?")), false),
        (None, _, _) => (words.acknowledge_over.to_owned(), false),
    };
    html(StatusCode::OK, lang, &Page { t, lang, incident: Some(Facts::of(view, t)), said, button })
}

fn dead(lang: Language) -> Answer<Response> {
    let t = lang.texts();
    let said = t.incidents.acknowledge_dead.to_owned();
    html(StatusCode::NOT_FOUND, lang, &Page { t, lang, incident: None, said, button: false })
}
