//! `/status/{id}/card`: the page in small, for the frames of others. This route alone may be framed: [`Framable`] tells the router so.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::body::Body;
use super::page::{alone, broken};
use super::{StatusQuery, Wall, headline, headline_class, language, nothing};
use crate::present::Present;
use crate::present::http::escape;
use crate::present::problem::Answer;
use crate::present::text::{Language, Texts};
use crate::status::{Facts, State as Condition, named};

/// How long others may keep a card, in seconds.
const SERVES_S: u32 = 30;
/// Most items on a card.
pub(super) const ITEMS_MAX: usize = 5;

/// Marks an answer that pages of others may frame.
#[derive(Debug, Clone, Copy)]
pub struct Framable;

#[derive(Template)]
#[template(path = "status/card.html")]
struct Card<'a> {
    t: &'a Texts,
    lang: Language,
    path: String,
    address: String,
    title: &'a str,
    accent: bool,
    headline: String,
    class: &'static str,
    items: Vec<(&'a str, &'static str, &'static str, String, String)>,
    more: String,
    as_of: String,
}

/// `GET /status/{id}/card`
pub async fn card(
    State(present): State<Present>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let Some(taken) = present.status(&id).await? else { return nothing(query.lang.as_deref(), &headers) };
    let lang = language(&taken.facts.page, query.lang.as_deref(), &headers);
    let negotiated = query.lang.is_none();
    let public = present.public_url().to_owned();
    let key = format!("card {} {negotiated}", lang.tag());
    let body = present.rendered(&taken, key, move |facts| {
        let html = render(facts, lang, &public)?;
        Ok(Body::new("text/html; charset=utf-8", SERVES_S, html).in_language(lang, negotiated))
    });
    let mut response = body.await?.answer(&headers);
    response.extensions_mut().insert(Framable);
    Ok(response)
}

/// How many items a card shows, the worst first, and all of them.
pub(super) fn shown(facts: &Facts) -> usize {
    facts.items.len().min(ITEMS_MAX)
}

/// The worse, the earlier; what is up comes last.
const fn rank(state: Condition) -> u8 {
    match state {
        Condition::Down => 0,
        Condition::Partial => 1,
        Condition::Degraded => 2,
        Condition::Maintenance => 3,
        Condition::Unknown => 4,
        Condition::Up => 5,
    }
}

fn render(facts: &Facts, lang: Language, public: &str) -> Answer<String> {
    let t = lang.texts();
    let page = &facts.page;
    let mut worst: Vec<_> = named(facts).collect();
    worst.sort_by_key(|(_, found)| rank(found.now.state));
    let items = worst.iter().take(ITEMS_MAX).map(|(item, found)| {
        let state = found.now.state;
        let (figure, evidence) = if page.figures && found.last_days[2].availability.is_some() {
            alone(&found.last_days[2], t)
        } else {
            (String::new(), String::new())
        };
        (item.name(lang.tag()), state.as_str(), (t.status.state)(state), figure, evidence)
    });
    let path = escape(&page.id);
    Card {
        t,
        lang,
        address: format!("{public}/status/{path}?lang={}", lang.tag()),
        path,
        title: page.title(lang.tag()),
        accent: page.accent.is_some(),
        headline: headline(facts, t),
        class: headline_class(facts),
        items: items.collect(),
        more: match facts.items.len().saturating_sub(ITEMS_MAX) {
            0 => String::new(),
            more => (t.status.more_items)(more),
        },
        as_of: Wall::of(page).text(facts.as_of),
    }
    .render()
    .map_err(|_| broken())
}
