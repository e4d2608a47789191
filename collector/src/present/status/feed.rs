//! `/status/{id}/feed.atom`: incidents and maintenance windows as an Atom feed (RFC 4287). An entry keeps its id for ever and gets a new `updated` with each change.

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use sitepulse_daemon::instant;
use sitepulse_model::time::UtcMicros;

use super::body::Body;
use super::oembed::markup;
use super::page::what;
use super::{StatusQuery, Wall, language, names, nothing_here};
use crate::present::Present;
use crate::present::figure;
use crate::present::http::escape;
use crate::present::problem::Answer;
use crate::present::text::Language;
use crate::status::{Episode, Facts, Planned};

/// How long others may keep a feed, in seconds.
const SERVES_S: u32 = 60;

/// `GET /status/{id}/feed.atom`
pub async fn feed(
    State(present): State<Present>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let Some(taken) = present.status(&id).await? else { return Ok(nothing_here()) };
    let lang = language(&taken.facts.page, query.lang.as_deref(), &headers);
    let negotiated = query.lang.is_none();
    let (public, pin) = (present.public_url().to_owned(), present.app().ca_pin());
    let key = format!("feed {} {negotiated}", lang.tag());
    let body = present.rendered(&taken, key, move |facts| {
        let atom = render(facts, lang, &public, &pin);
        Ok(Body::new("application/atom+xml; charset=utf-8", SERVES_S, atom).in_language(lang, negotiated))
    });
    Ok(body.await?.answer(&headers))
}

/// One entry.
struct Entry {
    key: [u8; 16],
    title: String,
    published: UtcMicros,
    updated: UtcMicros,
    anchor: String,
    text: String,
}

impl Entry {
    fn of_episode(one: &Episode, facts: &Facts, wall: &Wall, lang: Language) -> Self {
        let (words, colon) = (lang.texts().status, lang.texts().colon);
        let mut lines = vec![match one.resolved {
            Some(end) => {
                let length = figure::length(end.us_since(one.since).max(0) as f64 / 1e6, words.day_sign);
                let (from, to) = (wall.text(one.since), wall.text(end));
                format!("{}{colon}{} ({})", words.resolved, (words.from_to)(&from, &to), (words.lasted)(&length))
            }
            None => format!("{} {} {}", words.not_resolved, words.since, wall.text(one.since)),
        }];
        lines.extend(one.notes.iter().rev().map(|(at, text)| format!("{}{colon}{text}", wall.text(*at))));
        Self {
            key: one.key,
            title: (words.of)(&what(one, words), &names(&facts.page, &one.items, lang)),
            published: one.since,
            updated: one.updated,
            anchor: format!("e-{}", super::hex(&one.key[..6])),
            text: lines.join("\n\n"),
        }
    }

    fn of_window(one: &Planned, facts: &Facts, wall: &Wall, lang: Language) -> Self {
        let words = lang.texts().status;
        Self {
            key: one.key,
            title: (words.window_title)(&names(&facts.page, &one.items, lang)),
            published: one.announced,
            updated: one.announced,
            anchor: format!("m-{}", super::hex(&one.key[..6])),
            text: (words.from_to)(&wall.text(one.span.from), &wall.text(one.span.to)),
        }
    }
}

/// 16 bytes as a UUID of no registered scheme (version 8).
fn urn(mut key: [u8; 16]) -> String {
    key[6] = (key[6] & 0x0f) | 0x80;
    key[8] = (key[8] & 0x3f) | 0x80;
    let hex = super::hex(&key);
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn stamp(at: UtcMicros) -> String {
    instant::format(UtcMicros(at.0 - at.0.rem_euclid(1_000_000)))
}

fn render(facts: &Facts, lang: Language, public: &str, pin: &[u8; 32]) -> String {
    let words = lang.texts().status;
    let (page, wall) = (&facts.page, Wall::of(&facts.page));
    let mut entries: Vec<Entry> = facts.episodes.iter().map(|one| Entry::of_episode(one, facts, &wall, lang)).collect();
    entries.extend(facts.planned.iter().map(|one| Entry::of_window(one, facts, &wall, lang)));
    entries.sort_by(|a, b| (b.updated, &a.key).cmp(&(a.updated, &b.key)));
    let updated = entries.iter().map(|entry| entry.updated).max().unwrap_or(facts.applied).max(facts.applied);
    let address = format!("{public}/status/{}", escape(&page.id));
    let title = page.title(lang.tag());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"{tag}\">\n  <id>{}</id>\n  \
         <title>{}</title>\n  <updated>{}</updated>\n  <author><name>{}</name></author>\n  \
         <link rel=\"self\" type=\"application/atom+xml\" href=\"{self_}\"/>\n  \
         <link rel=\"alternate\" type=\"text/html\" href=\"{alternate}\"/>\n  <generator>SitePulse</generator>\n",
        urn(crate::status::key(pin, &page.id, "feed", "")),
        markup(&(words.feed_title)(title)),
        stamp(updated),
        markup(title),
        tag = lang.tag(),
        self_ = markup(&format!("{address}/feed.atom?lang={}", lang.tag())),
        alternate = markup(&format!("{address}?lang={}", lang.tag())),
    );
    for entry in &entries {
        out.push_str(&format!(
            "  <entry>\n    <id>{}</id>\n    <title>{}</title>\n    <published>{}</published>\n    <updated>{}</updated>\n    \
             <link rel=\"alternate\" type=\"text/html\" href=\"{}\"/>\n    <content type=\"text\">{}</content>\n  </entry>\n",
            urn(entry.key),
            markup(&entry.title),
            stamp(entry.published),
            stamp(entry.updated.max(entry.published)),
            markup(&format!("{address}?lang={}#{}", lang.tag(), entry.anchor)),
            markup(&entry.text),
        ));
    }
    out.push_str("</feed>\n");
    out
}
