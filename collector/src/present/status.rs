//! What the public is shown: status pages, their badges, cards, feeds, oEmbed answers and mails. No session, no script, nothing that the owner did not choose.
//!
//! Reading order: [`crate::status`] finds out what a page tells; here it is kept for all readers ([`Shelf`]); `body` is a rendered answer with its tag and its compressed
//! form; `page`, `card`, `badge`, `feed` and `oembed` render; `subscribe` and [`mail`] tell people by mail.
//!
//! However many look: the facts are found out once a second at most, and only where something changed; what is shown is rendered once for each change, minute and language,
//! and compressed then. Everybody else gets bytes, or 304.
//!
//! An unknown page, a retired one and an unknown item of a page are answered alike.

mod badge;
mod body;
mod card;
mod feed;
pub mod mail;
mod oembed;
mod page;
mod subscribe;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::status_page::StatusPage;
use sitepulse_model::time::UtcMicros;
use tokio::sync::Mutex as Turn;

pub use badge::badge;
pub use card::{Framable, card};
pub use feed::feed;
pub use oembed::oembed;
pub use page::{css, look, page};
pub use subscribe::{confirm, confirm_page, subscribe, subscribe_page, unsubscribe, unsubscribe_page};

use crate::book::Book;
use crate::present::Present;
use crate::present::console;
use crate::present::dto::status::{StatusItemView, StatusPageView, SubscriptionsView};
use crate::present::http::escape;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::{Language, Texts};
use crate::slo::calendar;
use crate::status::days::Kept;
use crate::status::{self, Facts};
use crate::subscribers::{self, channel_of};
use body::Body;

/// Facts serve at least so long, in microseconds of the monotonic clock.
const SERVES_US_MIN: u64 = 900_000;
/// And at most so long.
const SERVES_US_MAX: u64 = 30_000_000;
/// Between the two, so many times as long as it took to find them out: a fiftieth of one processor's time at most goes into them.
const SERVES_TIMES: u64 = 50;
const MINUTE_US: i64 = 60 * 1_000_000;

/// What is kept of every page.
#[derive(Default)]
pub(super) struct Shelf {
    pages: Mutex<BTreeMap<String, Arc<Place>>>,
    /// Who asked to be told by mail.
    asks: subscribe::Asks,
}

/// What is kept of a page.
#[derive(Default)]
struct Place {
    newest: Mutex<Option<Arc<Taken>>>,
    /// Who finds the facts out anew holds it.
    turn: Turn<Kept>,
}

/// What the facts depend on beside results and incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Defined {
    page: u32,
    book: u64,
    windows: usize,
}

/// Facts that serve all readers, and what was rendered from them.
pub(super) struct Taken {
    defined: Defined,
    /// Good until then, on the monotonic clock.
    until: AtomicU64,
    /// Of which change of the book.
    tick: AtomicU64,
    facts: Facts,
    rendered: Turn<BTreeMap<String, Arc<Body>>>,
}

/// What these pages may be asked.
#[derive(Debug, Default, Deserialize)]
pub struct StatusQuery {
    lang: Option<String>,
    show: Option<String>,
}

impl Place {
    fn newest(&self) -> Option<Arc<Taken>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a page is defined by; `None` where there is none of this id.
fn defined(book: &Book, id: &str) -> Option<Defined> {
    let page = book.objects().status_pages.current(id)?.version;
    let windows = book.objects().windows.iter().map(|(_, versions)| versions.len()).sum();
    Some(Defined { page, book: book.version(), windows })
}

impl Present {
    /// What a page tells: a second old at most where it is small, never older than a change of what it is defined by; `None` where there is no such page. While one reader has
    /// it found out anew, the others get what was.
    ///
    /// # Errors
    /// When the store cannot be read, or a stop cut it short.
    pub(super) async fn status(&self, id: &str) -> Answer<Option<Arc<Taken>>> {
        let Some(now_defined) = defined(&self.app().book(), id) else {
            self.status_shelf().pages.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            return Ok(None);
        };
        let place = {
            let mut places = self.status_shelf().pages.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(id.to_owned()).or_default())
        };
        let known = place.newest().filter(|taken| taken.defined == now_defined);
        if let Some(taken) = known.as_ref().filter(|taken| self.serves(taken)) {
            return Ok(Some(Arc::clone(taken)));
        }
        let mut kept = match (place.turn.try_lock(), known) {
            (Ok(turn), _) => turn,
            (Err(_), Some(taken)) => return Ok(Some(taken)),
            (Err(_), None) => place.turn.lock().await,
        };
        // Whoever had the turn before may have done it.
        let newest = place.newest().filter(|taken| taken.defined == now_defined);
        if let Some(taken) = newest.as_ref().filter(|taken| self.serves(taken)) {
            return Ok(Some(Arc::clone(taken)));
        }
        let (began, tick) = (clock::monotonic().0, *self.app().subscribe().borrow());
        let told = status::told(self.app(), clock::now()).await?;
        let (app, id) = (self.app().clone(), id.to_owned());
        let mut work = std::mem::take(&mut *kept);
        let found = self
            .beside(move || {
                let page = app.book().objects().status_pages.current(&id).cloned();
                let facts = page.map(|page| status::take(&app, &mut work, &page, &told, clock::now()));
                (facts, work)
            })
            .await?;
        *kept = found.1;
        let Some(facts) = found.0 else { return Ok(None) };
        let ended = clock::monotonic().0;
        let serves = ended.saturating_sub(began).saturating_mul(SERVES_TIMES).clamp(SERVES_US_MIN, SERVES_US_MAX);
        let until = ended.saturating_add(serves);
        // Where nothing is different, what was rendered serves on.
        if let Some(taken) = newest.filter(|taken| taken.facts == facts) {
            taken.until.store(until, Ordering::Relaxed);
            taken.tick.store(tick, Ordering::Relaxed);
            return Ok(Some(taken));
        }
        let (until, tick) = (AtomicU64::new(until), AtomicU64::new(tick));
        let taken = Arc::new(Taken { defined: now_defined, until, tick, facts, rendered: Turn::default() });
        *place.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&taken));
        Ok(Some(taken))
    }

    /// Whether facts still serve: for their time, and then as long as nothing happens within their minute.
    fn serves(&self, taken: &Taken) -> bool {
        let idle = || {
            let minute = clock::now().us_since(taken.facts.as_of);
            taken.tick.load(Ordering::Relaxed) == *self.app().subscribe().borrow() && (0..MINUTE_US).contains(&minute)
        };
        clock::monotonic().0 < taken.until.load(Ordering::Relaxed) || idle()
    }

    /// A rendered answer, made where it is the first that is asked for. One renders, the others wait for it.
    async fn rendered(
        &self,
        taken: &Arc<Taken>,
        key: String,
        render: impl FnOnce(&Facts) -> Answer<Body> + Send + 'static,
    ) -> Answer<Arc<Body>> {
        let mut rendered = taken.rendered.lock().await;
        if let Some(body) = rendered.get(&key) {
            return Ok(Arc::clone(body));
        }
        let theirs = Arc::clone(taken);
        let body = Arc::new(self.beside(move || render(&theirs.facts)).await??);
        rendered.insert(key, Arc::clone(&body));
        Ok(body)
    }
}

/// A page as the API lists it; `None` where there is none of this id.
///
/// # Errors
/// When the store cannot be read, or a stop cut it short.
pub async fn view(present: &Present, id: &str) -> Answer<Option<StatusPageView>> {
    let Some(taken) = present.status(id).await? else { return Ok(None) };
    let (facts, page) = (&taken.facts, &taken.facts.page);
    let has_channel = channel_of(&present.app().book(), id).is_some();
    let subscriptions = if has_channel {
        let id = id.to_owned();
        let counts = present.app().read_in_background(move |tables| subscribers::counts(tables, &id)).await?;
        Some(SubscriptionsView {
            confirmed: counts.confirmed,
            asking: counts.asking,
            mails_waiting: counts.waiting,
            mails_given_up: counts.given_up,
        })
    } else {
        None
    };
    let book = present.app().book();
    let members = status::members(&book, page);
    let headings = page.groups.iter().flat_map(|group| group.items.iter().map(|_| &group.name));
    let items = status::named(facts).zip(headings).zip(&members).map(|(((item, found), heading), checks)| {
        let figures = &found.last_days[2];
        let mut checks: Vec<String> =
            checks.iter().filter_map(|number| Some(book.check(*number)?.id.to_string())).collect();
        checks.sort();
        StatusItemView {
            group: heading.clone(),
            id: item.id.clone(),
            name: item.name.clone(),
            state: found.now.state.as_str().to_owned(),
            partly_unknown: found.now.partly,
            checks,
            availability: figures.availability,
            completeness: figures.completeness,
            lower: figures.lower,
            upper: figures.upper,
        }
    });
    Ok(Some(StatusPageView {
        id: page.id.clone(),
        version: facts.version,
        title: page.title.clone(),
        url: format!("{}/status/{}", present.public_url(), escape(&page.id)),
        state: facts.overall.state.as_str().to_owned(),
        partly_unknown: facts.overall.partly,
        as_of: instant::format(facts.as_of),
        items: items.collect(),
        incidents_open: facts.episodes.iter().filter(|one| one.resolved.is_none()).count(),
        subscriptions,
    }))
}

/// The language that was asked for, else the best that the browser takes, else the page's own.
fn language(page: &StatusPage, asked: Option<&str>, headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked
        .and_then(Language::of_tag)
        .or_else(|| Language::preferred(accepted))
        .or_else(|| page.language.as_deref().and_then(Language::of_tag))
        .unwrap_or(Language::English)
}

/// The page in place of one that there is none of.
#[derive(Template)]
#[template(path = "status/none.html")]
struct Nothing<'a> {
    t: &'a Texts,
    lang: Language,
}

/// What every path answers that leads to nothing.
fn nothing(asked: Option<&str>, headers: &HeaderMap) -> Answer<Response> {
    let lang = console::language(asked, headers);
    console::html(StatusCode::NOT_FOUND, lang, &Nothing { t: lang.texts(), lang })
}

/// The same for what no person looks at.
fn nothing_here() -> Response {
    Problem::new(Code::NotFound, "nothing is published at this address").into_response()
}

/// Writes instants by the wall clock of a page's zone.
struct Wall(TimeZone);

impl Wall {
    fn of(page: &StatusPage) -> Self {
        Self(calendar::zone_of(page.zone.as_deref()).unwrap_or(TimeZone::UTC))
    }

    /// `2026-11-22 11:00 CET`
    fn text(&self, at: UtcMicros) -> String {
        let Ok(stamp) = Timestamp::from_microsecond(at.0) else { return String::new() };
        stamp.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }
}

/// The names of items by their place on the page.
fn names(page: &StatusPage, places: &[usize], lang: Language) -> String {
    let all: Vec<&str> = page.items().map(|item| item.name(lang.tag())).collect();
    places.iter().filter_map(|at| all.get(*at).copied()).collect::<Vec<_>>().join(", ")
}

/// The headline of a page.
fn headline(facts: &Facts, t: &Texts) -> String {
    let overall = facts.overall;
    if overall.state == status::State::Up && overall.partly {
        return (t.status.partly_known)(facts.unknown);
    }
    (t.status.overall)(overall.state).to_owned()
}

/// The class of the headline: not knowing everything is not green.
fn headline_class(facts: &Facts) -> &'static str {
    let overall = facts.overall;
    if overall.state == status::State::Up && overall.partly { "unknown" } else { overall.state.as_str() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
