//! `/status/{id}/subscribe`, and the pages behind the links in mails. Each shows what it would do, and does it when asked to (`POST`): programs that open links before people
//! do subscribe and unsubscribe nobody. The answer to an address is the same whether it is subscribed, known or new.
//!
//! Limits: [`ASKS_OF_PEER`] of one peer and [`ASKS_OF_PAGE`] of a page in an hour.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::extract::{Extension, Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::status_page::StatusPage;

use super::{StatusQuery, language, nothing};
use crate::app::AppError;
use crate::present::door::Door;
use crate::present::problem::Answer;
use crate::present::text::{Language, Texts};
use crate::present::{Present, console};
use crate::subscribers::{Link, address, channel_of};

/// Most askings of one peer in an hour. Behind a proxy that is the proxy.
const ASKS_OF_PEER: u32 = 20;
/// Most askings of a page in an hour.
const ASKS_OF_PAGE: u32 = 200;
const HOUR_US: u64 = 3_600_000_000;
/// Most peers that are counted.
const PEERS_MAX: usize = 10_000;

/// Counts askings by the hour.
#[derive(Default)]
pub(super) struct Asks(Mutex<Hour>);

#[derive(Default)]
struct Hour {
    number: u64,
    pages: BTreeMap<String, u32>,
    peers: BTreeMap<IpAddr, u32>,
}

impl Asks {
    /// Whether one more may ask at an instant of the monotonic clock.
    fn allows(&self, page: &str, peer: Option<IpAddr>, now_us: u64) -> bool {
        let mut hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hour.number != now_us / HOUR_US {
            *hour = Hour { number: now_us / HOUR_US, ..Hour::default() };
        }
        let of_page = hour.pages.entry(page.to_owned()).or_default();
        *of_page += 1;
        if *of_page > ASKS_OF_PAGE {
            return false;
        }
        let Some(peer) = peer else { return true };
        if hour.peers.len() >= PEERS_MAX && !hour.peers.contains_key(&peer) {
            return false;
        }
        let of_peer = hour.peers.entry(peer).or_default();
        *of_peer += 1;
        *of_peer <= ASKS_OF_PEER
    }
}

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
pub struct AskForm {
    #[serde(default)]
    email: String,
}

#[derive(Template)]
#[template(path = "status/subscribe.html")]
struct Page<'a> {
    t: &'a Texts,
    lang: Language,
    path: String,
    title: &'a str,
    accent: bool,
    heading: String,
    what: &'a str,
    /// What was done, or is wrong.
    said: &'a str,
    bad: bool,
    /// Whether an address is asked for.
    form: bool,
    /// What the button says; none where there is nothing to do.
    button: &'a str,
}

/// A page that somebody can subscribe to, in the language of whoever looks; `None` where there is none.
fn found(present: &Present, id: &str, asked: Option<&str>, headers: &HeaderMap) -> Option<(StatusPage, Language)> {
    let book = present.app().book();
    channel_of(&book, id)?;
    let page = book.objects().status_pages.current(id)?.body.clone();
    let lang = language(&page, asked, headers);
    Some((page, lang))
}

struct Says<'a> {
    heading: String,
    what: &'a str,
    said: &'a str,
    bad: bool,
    form: bool,
    button: &'a str,
}

fn show(status: StatusCode, page: &StatusPage, lang: Language, says: Says<'_>) -> Answer<Response> {
    let Says { heading, what, said, bad, form, button } = says;
    let path = crate::present::http::escape(&page.id);
    let (title, accent) = (page.title(lang.tag()), page.accent.is_some());
    let t = lang.texts();
    console::html(status, lang, &Page { t, lang, path, title, accent, heading, what, said, bad, form, button })
}

fn form(status: StatusCode, page: &StatusPage, lang: Language, said: &str) -> Answer<Response> {
    let words = lang.texts().subscribe;
    let heading = words.subscribe.to_owned();
    let bad = status != StatusCode::OK;
    show(status, page, lang, Says { heading, what: words.what, said, bad, form: true, button: words.button })
}

/// `GET /status/{id}/subscribe`: the form.
pub async fn subscribe_page(
    State(present): State<Present>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let asked = query.lang.as_deref();
    let Some((page, lang)) = found(&present, &id, asked, &headers) else { return nothing(asked, &headers) };
    form(StatusCode::OK, &page, lang, "")
}

/// `POST /status/{id}/subscribe`: somebody asks.
pub async fn subscribe(
    State(present): State<Present>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
    Form(asked_for): Form<AskForm>,
) -> Answer<Response> {
    let asked = query.lang.as_deref();
    let Some((page, lang)) = found(&present, &id, asked, &headers) else { return nothing(asked, &headers) };
    let words = lang.texts().subscribe;
    let Some(address) = address(&asked_for.email) else {
        return form(StatusCode::UNPROCESSABLE_ENTITY, &page, lang, words.bad_address);
    };
    let peer = match door {
        Door::Local => None,
        Door::Network { peer, .. } => Some(peer.ip()),
    };
    if !present.status_shelf().asks.allows(&id, peer, clock::monotonic().0) {
        return form(StatusCode::TOO_MANY_REQUESTS, &page, lang, words.later);
    }
    let title = page.title(lang.tag());
    let (subject, body) = ((words.mail_confirm_subject)(title), (words.mail_confirm)(title));
    let ask = move |engine: &mut crate::engine::Engine| {
        engine.ask_subscription(&id, &address, (lang.tag(), &subject, &body), clock::now())
    };
    match present.app().writer().run(ask).await.map_err(AppError::from)? {
        Ok(()) => {
            let heading = words.subscribe.to_owned();
            show(
                StatusCode::OK,
                &page,
                lang,
                Says { heading, what: "", said: words.asked, bad: false, form: false, button: "" },
            )
        }
        Err(error) => {
            // Never with the address.
            tracing::warn!(page = page.id, "nobody can be subscribed: {error}");
            form(StatusCode::SERVICE_UNAVAILABLE, &page, lang, words.later)
        }
    }
}

/// Whom a link in a mail is about.
async fn granted(present: &Present, link: Link, page: &str, token: &str) -> Answer<Option<String>> {
    let signer =
        present.app().writer().run(crate::engine::Engine::subscription_signer).await.map_err(AppError::from)??;
    Ok(signer.granted(link, page, token, clock::now()))
}

fn dead(page: &StatusPage, lang: Language) -> Answer<Response> {
    let words = lang.texts().subscribe;
    let heading = words.subscribe.to_owned();
    show(
        StatusCode::NOT_FOUND,
        page,
        lang,
        Says { heading, what: "", said: words.dead, bad: true, form: false, button: "" },
    )
}

/// `GET /status/{id}/confirm/{token}`: what it would do.
pub async fn confirm_page(
    State(present): State<Present>,
    Path((id, token)): Path<(String, String)>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let asked = query.lang.as_deref();
    let Some((page, lang)) = found(&present, &id, asked, &headers) else { return nothing(asked, &headers) };
    if granted(&present, Link::Confirm, &id, &token).await?.is_none() {
        return dead(&page, lang);
    }
    let words = lang.texts().subscribe;
    let heading = (words.confirm)(page.title(lang.tag()));
    show(
        StatusCode::OK,
        &page,
        lang,
        Says { heading, what: words.what, said: "", bad: false, form: false, button: words.confirm_button },
    )
}

/// `POST /status/{id}/confirm/{token}`: confirms.
pub async fn confirm(
    State(present): State<Present>,
    Path((id, token)): Path<(String, String)>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let asked = query.lang.as_deref();
    let Some((page, lang)) = found(&present, &id, asked, &headers) else { return nothing(asked, &headers) };
    let Some(subscriber) = granted(&present, Link::Confirm, &id, &token).await? else { return dead(&page, lang) };
    let work = move |engine: &mut crate::engine::Engine| engine.confirm_subscription(&id, &subscriber, clock::now());
    if !present.app().writer().run(work).await.map_err(AppError::from)?? {
        return dead(&page, lang);
    }
    let words = lang.texts().subscribe;
    let heading = words.confirmed.to_owned();
    show(StatusCode::OK, &page, lang, Says { heading, what: words.what, said: "", bad: false, form: false, button: "" })
}

/// `GET /status/{id}/unsubscribe/{token}`: what it would do.
pub async fn unsubscribe_page(
    State(present): State<Present>,
    Path((id, token)): Path<(String, String)>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let asked = query.lang.as_deref();
    let Some((page, lang)) = found(&present, &id, asked, &headers) else { return nothing(asked, &headers) };
    if granted(&present, Link::End, &id, &token).await?.is_none() {
        return dead(&page, lang);
    }
    let words = lang.texts().subscribe;
    let heading = (words.end)(page.title(lang.tag()));
    show(
        StatusCode::OK,
        &page,
        lang,
        Says { heading, what: "", said: "", bad: false, form: false, button: words.end_button },
    )
}

/// `POST /status/{id}/unsubscribe/{token}`: ends it; a mailbox' own button sends the same (RFC 8058). Ending twice is fine.
pub async fn unsubscribe(
    State(present): State<Present>,
    Path((id, token)): Path<(String, String)>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let asked = query.lang.as_deref();
    let Some((page, lang)) = found(&present, &id, asked, &headers) else { return nothing(asked, &headers) };
    let Some(subscriber) = granted(&present, Link::End, &id, &token).await? else { return dead(&page, lang) };
    let work = move |engine: &mut crate::engine::Engine| engine.end_subscription(&id, &subscriber);
    present.app().writer().run(work).await.map_err(AppError::from)??;
    let heading = lang.texts().subscribe.ended.to_owned();
    show(StatusCode::OK, &page, lang, Says { heading, what: "", said: "", bad: false, form: false, button: "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn askings_are_counted_by_the_hour() {
        let asks = Asks::default();
        let peer = |last: u8| Some(IpAddr::from([198, 51, 100, last]));
        assert!((0..ASKS_OF_PEER).all(|_| asks.allows("public", peer(1), 0)));
        assert!(!asks.allows("public", peer(1), HOUR_US - 1));
        assert!(asks.allows("public", peer(2), HOUR_US - 1) && asks.allows("public", peer(1), HOUR_US));
        let many = (0..ASKS_OF_PAGE).filter(|nth| asks.allows("other", peer((nth % 250) as u8), 2 * HOUR_US)).count();
        assert_eq!(many as u32, ASKS_OF_PAGE);
        assert!(!asks.allows("other", None, 2 * HOUR_US) && asks.allows("third", None, 2 * HOUR_US));
    }
}
