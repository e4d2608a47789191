//! `/status/{id}/subscribe`, and the pages behind the links in mails. Each shows what it would do, and does it when asked to (`POST`): programs that open links before people
//! do subscribe and unsubscribe nobody. The answer to an address is the same whether it is subscribed, known or new.
//!
//! Limits: [`ASKS_OF_PEER`] of one peer, [`ASKS_OF_MAILBOX`] for one mailbox (whatever its address says after a `+`) and [`ASKS_OF_PAGE`] of a page in an hour.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::extract::{Extension, Form, FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::status_page::StatusPage;

use super::{StatusQuery, language, nothing};
use crate::access::counted_by;
use crate::app::AppError;
use crate::engine::Engine;
use crate::present::door::{self, Door};
use crate::present::problem::Answer;
use crate::present::text::subscribe::SubscribeTexts;
use crate::present::text::{Language, Texts};
use crate::present::{Present, console};
use crate::subscribers::{Link, address, channel_of};

/// Most askings of one peer in an hour: of IPv6 its /64. A proxy on this machine stands for everybody, and is not counted.
const ASKS_OF_PEER: u32 = 20;
/// Most askings of a page in an hour.
const ASKS_OF_PAGE: u32 = 200;
/// Most askings for one mailbox in an hour.
const ASKS_OF_MAILBOX: u32 = 3;
const HOUR_US: u64 = 3_600_000_000;
/// Most peers that are counted, and most mailboxes.
const COUNTED_MAX: usize = 10_000;

/// Counts askings by the hour.
#[derive(Default)]
pub(super) struct Asks(Mutex<Hour>);

#[derive(Default)]
struct Hour {
    number: u64,
    pages: BTreeMap<String, u32>,
    peers: BTreeMap<IpAddr, u32>,
    /// By their hash under a key of this hour's own.
    mailboxes: BTreeMap<u64, u32>,
    hash: RandomState,
}

/// Counts one more; whether there are at most so many.
fn count<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K, most: u32) -> bool {
    if counts.len() >= COUNTED_MAX && !counts.contains_key(&key) {
        return false;
    }
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
    *count <= most
}

/// The mailbox that an address leads to at most providers.
fn mailbox(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let local = local.split('+').next().unwrap_or_default().replace('.', "");
    format!("{local}@{domain}").to_ascii_lowercase()
}

impl Asks {
    /// Whether one more may ask at an instant of the monotonic clock. Who is refused does not count for the others.
    fn allows(&self, page: &str, peer: Option<IpAddr>, address: &str, now_us: u64) -> bool {
        let mut hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hour.number != now_us / HOUR_US {
            *hour = Hour { number: now_us / HOUR_US, ..Hour::default() };
        }
        let mailbox = hour.hash.hash_one(mailbox(address));
        peer.and_then(counted_by).is_none_or(|peer| count(&mut hour.peers, peer, ASKS_OF_PEER))
            && count(&mut hour.mailboxes, mailbox, ASKS_OF_MAILBOX)
            && count(&mut hour.pages, page.to_owned(), ASKS_OF_PAGE)
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

/// What a page says.
#[derive(Default)]
struct Says<'a> {
    heading: String,
    what: &'a str,
    said: &'a str,
    bad: bool,
    form: bool,
    button: &'a str,
}

/// A page that somebody can subscribe to, and the language of whoever looks: a handler takes it in place of its address. Where there is none, that is the answer.
pub struct Asked {
    present: Present,
    page: StatusPage,
    lang: Language,
    /// The end of a link in a mail; empty where there is none.
    token: String,
}

impl FromRequestParts<Present> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, present: &Present) -> Result<Self, Response> {
        let named = Path::<BTreeMap<String, String>>::from_request_parts(parts, present).await;
        let Path(mut named) = named.map_err(IntoResponse::into_response)?;
        let query = Query::<StatusQuery>::from_request_parts(parts, present).await;
        let Query(query) = query.map_err(IntoResponse::into_response)?;
        let asked = query.lang.as_deref();
        let (id, token) = (named.remove("id").unwrap_or_default(), named.remove("token").unwrap_or_default());
        let page = {
            let book = present.app().book();
            let page = book.objects().status_pages.current(&id).map(|page| page.body.clone());
            page.filter(|_| channel_of(&book, &id).is_some())
        };
        let page = page.ok_or_else(|| nothing(asked, &parts.headers).into_response())?;
        let lang = language(&page, asked, &parts.headers);
        Ok(Self { present: present.clone(), page, lang, token })
    }
}

impl Asked {
    fn words(&self) -> &'static SubscribeTexts {
        self.lang.texts().subscribe
    }

    fn title(&self) -> &str {
        self.page.title(self.lang.tag())
    }

    fn show(&self, status: StatusCode, says: Says<'_>) -> Answer<Response> {
        let Says { heading, what, said, bad, form, button } = says;
        let path = crate::present::http::escape(&self.page.id);
        let (title, accent, lang) = (self.title(), self.page.accent.is_some(), self.lang);
        let t = lang.texts();
        console::html(status, lang, &Page { t, lang, path, title, accent, heading, what, said, bad, form, button })
    }

    fn form(&self, status: StatusCode, said: &str) -> Answer<Response> {
        let words = self.words();
        let (heading, bad) = (words.subscribe.to_owned(), status != StatusCode::OK);
        self.show(status, Says { heading, what: words.what, said, bad, form: true, button: words.button })
    }

    /// What is told of a link that works no more, or never did.
    fn dead(&self) -> Answer<Response> {
        let words = self.words();
        let heading = words.subscribe.to_owned();
        self.show(StatusCode::NOT_FOUND, Says { heading, said: words.dead, bad: true, ..Says::default() })
    }

    /// Whom the link in a mail is about.
    async fn granted(&self, link: Link) -> Answer<Option<String>> {
        let signer = self.run(crate::engine::Engine::subscription_signer).await??;
        Ok(signer.granted(link, &self.page.id, &self.token, clock::now()))
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Engine) -> T + Send + 'static) -> Answer<T> {
        Ok(self.present.app().writer().run(work).await.map_err(AppError::from)?)
    }
}

/// `GET /status/{id}/subscribe`: the form.
pub async fn subscribe_page(asked: Asked) -> Answer<Response> {
    asked.form(StatusCode::OK, "")
}

/// `POST /status/{id}/subscribe`: somebody asks.
pub async fn subscribe(
    asked: Asked,
    Extension(door): Extension<Door>,
    Form(asked_for): Form<AskForm>,
) -> Answer<Response> {
    let (words, lang, id) = (asked.words(), asked.lang, asked.page.id.clone());
    let Some(address) = address(&asked_for.email) else {
        return asked.form(StatusCode::UNPROCESSABLE_ENTITY, words.bad_address);
    };
    if !asked.present.status_shelf().asks.allows(&id, door::address(door), &address, clock::monotonic().0) {
        return asked.form(StatusCode::TOO_MANY_REQUESTS, words.later);
    }
    let (subject, body) = ((words.mail_confirm_subject)(asked.title()), (words.mail_confirm)(asked.title()));
    let work =
        move |engine: &mut Engine| engine.ask_subscription(&id, &address, (lang.tag(), &subject, &body), clock::now());
    match asked.run(work).await? {
        Ok(()) => {
            let heading = words.subscribe.to_owned();
            asked.show(StatusCode::OK, Says { heading, said: words.asked, ..Says::default() })
        }
        Err(error) => {
            // Never with the address.
            tracing::warn!(page = asked.page.id, "nobody can be subscribed: {error}");
            asked.form(StatusCode::SERVICE_UNAVAILABLE, words.later)
        }
    }
}

/// `GET /status/{id}/confirm/{token}`: what it would do.
pub async fn confirm_page(asked: Asked) -> Answer<Response> {
    if asked.granted(Link::Confirm).await?.is_none() {
        return asked.dead();
    }
    let words = asked.words();
    let heading = (words.confirm)(asked.title());
    asked.show(StatusCode::OK, Says { heading, what: words.what, button: words.confirm_button, ..Says::default() })
}

/// `POST /status/{id}/confirm/{token}`: confirms.
pub async fn confirm(asked: Asked) -> Answer<Response> {
    let Some(subscriber) = asked.granted(Link::Confirm).await? else { return asked.dead() };
    let page = asked.page.id.clone();
    let work = move |engine: &mut Engine| engine.confirm_subscription(&page, &subscriber, clock::now());
    if !asked.run(work).await?? {
        return asked.dead();
    }
    let words = asked.words();
    let heading = words.confirmed.to_owned();
    asked.show(StatusCode::OK, Says { heading, what: words.what, ..Says::default() })
}

/// `GET /status/{id}/unsubscribe/{token}`: what it would do.
pub async fn unsubscribe_page(asked: Asked) -> Answer<Response> {
    if asked.granted(Link::End).await?.is_none() {
        return asked.dead();
    }
    let words = asked.words();
    let heading = (words.end)(asked.title());
    asked.show(StatusCode::OK, Says { heading, button: words.end_button, ..Says::default() })
}

/// `POST /status/{id}/unsubscribe/{token}`: ends it; a mailbox' own button sends the same (RFC 8058). Ending twice is fine.
pub async fn unsubscribe(asked: Asked) -> Answer<Response> {
    let Some(subscriber) = asked.granted(Link::End).await? else { return asked.dead() };
    let page = asked.page.id.clone();
    asked.run(move |engine: &mut Engine| engine.end_subscription(&page, &subscriber)).await??;
    let heading = asked.words().ended.to_owned();
    asked.show(StatusCode::OK, Says { heading, ..Says::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn askings_are_counted_by_the_hour() {
        let asks = Asks::default();
        let peer = |last: u8| Some(IpAddr::from([198, 51, 100, last]));
        let address = |nth: u32| format!("n{nth}@example.com");
        assert!((0..ASKS_OF_PEER).all(|nth| asks.allows("public", peer(1), &address(nth), 0)));
        assert!(!asks.allows("public", peer(1), "x@example.com", HOUR_US - 1));
        assert!(asks.allows("public", peer(2), "x@example.com", HOUR_US - 1));
        assert!(asks.allows("public", peer(1), "x@example.com", HOUR_US));
        let many =
            (0..ASKS_OF_PAGE).filter(|nth| asks.allows("other", peer((nth % 250) as u8), &address(*nth), 2 * HOUR_US));
        assert_eq!(many.count() as u32, ASKS_OF_PAGE);
        assert!(!asks.allows("other", None, "x@example.com", 2 * HOUR_US));
        assert!(asks.allows("third", None, "y@example.com", 2 * HOUR_US));
    }

    /// One peer that keeps asking used up what a page takes of everybody.
    #[test]
    fn who_is_refused_does_not_count_for_the_others() {
        let asks = Asks::default();
        let one = Some(IpAddr::from([198, 51, 100, 1]));
        for nth in 0..10 * ASKS_OF_PAGE {
            asks.allows("public", one, &format!("n{nth}@example.com"), 0);
        }
        assert!(asks.allows("public", Some(IpAddr::from([198, 51, 100, 2])), "x@example.com", 0));
    }

    #[test]
    fn one_mailbox_is_one_whatever_stands_after_the_plus() {
        let asks = Asks::default();
        let asked = |text: &str| asks.allows("public", None, text, 0);
        assert!(asked("ana.b@example.com") && asked("Ana.B+1@example.com") && asked("anab+2@example.com"));
        assert!(!asked("a.nab+3@example.com"));
        assert!(asked("bob@example.com"));
    }

    #[test]
    fn memory_is_bounded() {
        let asks = Asks::default();
        for nth in 0..2 * COUNTED_MAX as u32 {
            asks.allows("public", Some(IpAddr::from(nth.to_be_bytes())), &format!("n{nth}@example.com"), 0);
        }
        let hour = asks.0.lock().unwrap();
        assert!(hour.peers.len() <= COUNTED_MAX && hour.mailboxes.len() <= COUNTED_MAX);
    }
}
