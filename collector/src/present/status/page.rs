//! `/status/{id}`: the page.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sitepulse_daemon::instant;
use sitepulse_model::sla::Together;
use sitepulse_model::time::UtcMicros;

use super::body::Body;
use super::{StatusQuery, Wall, headline, headline_class, language, names, nothing, nothing_here};
use crate::present::Present;
use crate::present::figure;
use crate::present::http::escape;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::status::StatusTexts;
use crate::present::text::{Language, Texts};
use crate::status::{DAYS, DayFacts, Episode, Facts, ItemFacts, State as Condition, named};
use crate::subscribers::channel_of;

const CSS: &str = include_str!("../../../templates/status/status.css");
/// How long others may keep a page, in seconds.
const SERVES_S: u32 = 10;
/// A bar and the gap after it, and a bar alone, in units of the drawing.
const STEP: usize = 8;
const BAR: usize = 6;
/// How tall the drawing is.
const TALL: f64 = 34.0;

/// A page.
#[derive(Template)]
#[template(path = "status/page.html")]
struct Page<'a> {
    t: &'a Texts,
    lang: Language,
    /// Its id, as it stands in a path.
    path: String,
    title: &'a str,
    about: Vec<&'a str>,
    home: Option<&'a str>,
    accent: bool,
    headline: String,
    class: &'static str,
    also_unknown: String,
    as_of: Instant,
    ongoing: Vec<EpisodeView>,
    open: Vec<PlannedView>,
    planned: Vec<PlannedView>,
    groups: Vec<GroupView<'a>>,
    past: Vec<EpisodeView>,
    shows_past: bool,
    legend: Vec<(&'static str, &'static str)>,
    oembed: String,
    subscribe: bool,
    width: usize,
    days: usize,
}

/// An instant for machines and for people.
struct Instant {
    machine: String,
    text: String,
}

struct GroupView<'a> {
    name: &'a str,
    items: Vec<ItemView<'a>>,
}

struct ItemView<'a> {
    id: &'a str,
    name: &'a str,
    class: &'static str,
    state: &'static str,
    partly: bool,
    figure: String,
    evidence: String,
    label: String,
    bars: Vec<Bar>,
    days: Vec<DayView>,
}

/// A day's bar: filled from the ground as far as there is evidence, empty above.
struct Bar {
    class: &'static str,
    x: usize,
    y: String,
    height: String,
    /// Where the part without evidence begins, and its height; empty where there is evidence for all of the day.
    empty: Option<(String, String)>,
    title: String,
}

struct DayView {
    date: String,
    /// Of several days on end, the first.
    since: Option<String>,
    class: &'static str,
    state: &'static str,
    text: String,
}

struct EpisodeView {
    id: String,
    class: &'static str,
    title: String,
    since: Instant,
    resolved: Option<Instant>,
    lasted: String,
    notes: Vec<(Instant, String)>,
}

struct PlannedView {
    id: String,
    items: String,
    open: bool,
    from: Instant,
    to: Instant,
}

/// `GET /status/{id}`
pub async fn page(
    State(present): State<Present>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let Some(taken) = present.status(&id).await? else { return nothing(query.lang.as_deref(), &headers) };
    let lang = language(&taken.facts.page, query.lang.as_deref(), &headers);
    let negotiated = query.lang.is_none();
    let public = present.public_url().to_owned();
    let subscribe = channel_of(&present.app().book(), &id).is_some();
    let key = format!("page {} {negotiated} {subscribe}", lang.tag());
    let body = present.rendered(&taken, key, move |facts| {
        let html = render(facts, lang, &public, subscribe)?;
        Ok(Body::new("text/html; charset=utf-8", SERVES_S, html).in_language(lang, negotiated))
    });
    Ok(body.await?.answer(&headers))
}

/// `GET /assets/status.css`
pub async fn css() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=300")], CSS)
        .into_response()
}

/// `GET /status/{id}/look.css`: the page's own colour.
pub async fn look(State(present): State<Present>, Path(id): Path<String>) -> Response {
    let book = present.app().book();
    let rgb = book.objects().status_pages.current(&id).and_then(|page| page.body.accent_rgb());
    let Some([red, green, blue]) = rgb else { return nothing_here() };
    let css = format!(":root {{ --own: #{red:02x}{green:02x}{blue:02x}; }}\n");
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    let serves = HeaderValue::from_static("public, max-age=60");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, serves)], css).into_response()
}

pub(super) fn broken() -> Problem {
    Problem::new(Code::Internal, "the page could not be rendered")
}

fn render(facts: &Facts, lang: Language, public: &str, subscribe: bool) -> Answer<String> {
    let t = lang.texts();
    let (page, words) = (&facts.page, t.status);
    let wall = Wall::of(page);
    let episode = |one: &Episode| EpisodeView::of(one, facts, &wall, t, lang);
    let (past, ongoing): (Vec<&Episode>, Vec<&Episode>) = facts.episodes.iter().partition(|one| one.resolved.is_some());
    let mut items = named(facts);
    let groups = page.groups.iter().map(|group| {
        let theirs = items.by_ref().take(group.items.len());
        let items = theirs
            .map(|(item, found)| ItemView { id: &item.id, ..ItemView::of(item.name(lang.tag()), found, facts, t) });
        GroupView { name: group.name(lang.tag()), items: items.collect() }
    });
    let planned = facts.planned.iter().map(|one| PlannedView {
        id: super::hex(&one.key[..6]),
        items: names(page, &one.items, lang),
        open: one.open,
        from: Instant::of(one.span.from, &wall),
        to: Instant::of(one.span.to, &wall),
    });
    let (open, planned): (Vec<_>, Vec<_>) = planned.partition(|one: &PlannedView| one.open);
    let path = escape(&page.id);
    let states = [Condition::Up, Condition::Degraded, Condition::Partial, Condition::Down, Condition::Maintenance];
    let legend = states.into_iter().chain([Condition::Unknown]).map(|state| (state.as_str(), (words.state)(state)));
    let address = format!("{public}/status/{path}?lang={}", lang.tag());
    Page {
        t,
        lang,
        title: page.title(lang.tag()),
        about: page.about(lang.tag()).unwrap_or_default().split("\n").filter(|line| !line.trim().is_empty()).collect(),
        home: page.home.as_deref(),
        accent: page.accent.is_some(),
        headline: headline(facts, t),
        class: headline_class(facts),
        also_unknown: match facts.overall.state {
            Condition::Up | Condition::Unknown => String::new(),
            Condition::Degraded | Condition::Partial | Condition::Down | Condition::Maintenance => {
                if facts.unknown == 0 { String::new() } else { (words.also_unknown)(facts.unknown) }
            }
        },
        as_of: Instant::of(facts.as_of, &wall),
        ongoing: ongoing.into_iter().map(episode).collect(),
        open,
        planned,
        groups: groups.collect(),
        past: past.into_iter().map(episode).collect(),
        shows_past: !page.incidents.is_empty(),
        legend: legend.collect(),
        subscribe,
        oembed: format!("{public}/oembed?url={}", escape(&address)),
        width: (facts.days.len() * STEP).saturating_sub(STEP - BAR),
        days: facts.days.len(),
        path,
    }
    .render()
    .map_err(|_| broken())
}

impl Instant {
    fn of(at: UtcMicros, wall: &Wall) -> Self {
        let whole = UtcMicros(at.0 - at.0.rem_euclid(1_000_000));
        Self { machine: instant::format(whole), text: wall.text(at) }
    }
}

impl<'a> ItemView<'a> {
    fn of(name: &'a str, found: &ItemFacts, facts: &Facts, t: &Texts) -> Self {
        let words = t.status;
        let count = |wanted: Condition| found.days.iter().filter(|day| day.state == wanted).count();
        let states = [Condition::Up, Condition::Degraded, Condition::Partial, Condition::Down, Condition::Maintenance];
        let counted = states.into_iter().chain([Condition::Unknown]).filter(|state| count(*state) > 0);
        let counted: Vec<String> = counted.map(|state| (words.days_of)(count(state), (words.short)(state))).collect();
        let days = || facts.days.iter().zip(&found.days).enumerate();
        let figures = facts.page.figures;
        let whole = &found.last_days[2];
        Self {
            id: "",
            name,
            class: found.now.state.as_str(),
            state: (words.state)(found.now.state),
            partly: found.now.partly,
            figure: if figures { availability(whole, t) } else { String::new() },
            evidence: bounded(whole, figures, t),
            label: format!("{}. {}", (words.bars)(name, DAYS), counted.join(", ")),
            bars: days().map(|(at, (day, found))| Bar::of(at, &day.date, found, figures, t)).collect(),
            days: told(facts, found, t),
        }
    }
}

/// The days that were not fully operational, the newest first; those on end of which nothing is known in one line.
fn told(facts: &Facts, found: &ItemFacts, t: &Texts) -> Vec<DayView> {
    let mut views: Vec<DayView> = Vec::new();
    let mut silent = false;
    for (day, found) in facts.days.iter().zip(&found.days).rev() {
        let unknown = found.state == Condition::Unknown;
        let date = day.date.clone();
        match views.last_mut() {
            Some(last) if silent && unknown => last.since = Some(date),
            Some(_) | None if !is_fine(found) => views.push(DayView {
                date,
                since: None,
                class: found.state.as_str(),
                state: (t.status.state)(found.state),
                text: day_text(found, facts.page.figures, t),
            }),
            Some(_) | None => {}
        }
        silent = unknown;
    }
    views
}

/// What an incident is called.
pub(super) fn what(one: &Episode, words: &StatusTexts) -> String {
    one.title.clone().unwrap_or_else(|| (words.kind)(one.kind.as_str()).to_owned())
}

/// A day that needs no words: up, and observed but for a thousandth of it.
fn is_fine(day: &DayFacts) -> bool {
    day.state == Condition::Up && day.completeness.is_some_and(|share| share >= 0.999)
}

/// An availability, cut so that it never flatters.
pub(super) fn availability(figures: &Together, t: &Texts) -> String {
    figures
        .availability
        .map_or_else(|| t.status.no_evidence.to_owned(), |value| (t.number)(figure::percent_down(value, 2)))
}

/// Below this share of evidence a figure is none that a badge or a card tells: more of the time is unknown than known.
const EVIDENCE_MIN: f64 = 0.5;

/// Whether so much of the time is known that a figure can stand alone, without the bounds that a page has room to explain.
pub(super) fn stands_alone(figures: &Together) -> bool {
    figures.availability.is_some() && figures.completeness.is_some_and(|share| share >= EVIDENCE_MIN)
}

/// An availability that stands alone, and the share of the time that it was observed for where that is not all of it but for a thousandth.
pub(super) fn alone(figures: &Together, t: &Texts) -> (String, String) {
    let shown = match figures.availability {
        Some(_) if !stands_alone(figures) => t.status.little_evidence.to_owned(),
        Some(_) | None => availability(figures, t),
    };
    (shown, evidence(figures.completeness.filter(|share| (f64::MIN_POSITIVE..0.999).contains(share)), t))
}

/// The evidence of a figure, and between which bounds it lies where figures are shown.
fn bounded(whole: &Together, figures: bool, t: &Texts) -> String {
    let bounds = if figures && whole.availability.is_some() {
        figure::bounds_to(whole.lower, whole.upper, 2, t)
    } else {
        String::new()
    };
    let parts = [evidence(whole.completeness, t), bounds];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn evidence(completeness: Option<f64>, t: &Texts) -> String {
    completeness.map_or_else(String::new, |share| (t.status.evidence)(&(t.number)(figure::percent_down(share, 1))))
}

/// What a day was like, in words: figures, then what happened.
fn day_text(day: &DayFacts, figures: bool, t: &Texts) -> String {
    let words = t.status;
    let length = |us: i64| figure::length(us as f64 / 1e6, words.day_sign);
    let mut parts = Vec::new();
    if let Some(value) = day.availability.filter(|_| figures) {
        parts.push((t.number)(figure::percent_down(value, 2)));
    }
    match day.completeness {
        Some(share) if share > 0.0 => parts.push(evidence(Some(share), t)),
        Some(_) | None => {}
    }
    for (us, told) in [
        (day.down_us, words.down_for),
        (day.partial_us, words.partial_for),
        (day.degraded_us, words.degraded_for),
        (day.maintenance_us, words.maintenance_for),
    ] {
        if us > 0 {
            parts.push(told(&length(us)));
        }
    }
    parts.join(", ")
}

impl Bar {
    fn of(at: usize, date: &str, day: &DayFacts, figures: bool, t: &Texts) -> Self {
        // The worse the taller: who sees no colours sees this.
        let whole = match day.state {
            Condition::Unknown => 6.0,
            Condition::Up => 24.0,
            Condition::Maintenance | Condition::Degraded => 28.0,
            Condition::Partial => 31.0,
            Condition::Down => TALL,
        };
        let working = day.state == Condition::Maintenance;
        let share = if working { 1.0 } else { day.completeness.unwrap_or(0.0) };
        let filled = if day.state == Condition::Unknown {
            0.0
        } else if share < 0.999 {
            // However little is known of it is seen.
            (whole * share).clamp(3.0, whole - 1.0)
        } else {
            whole
        };
        let text = |value: f64| format!("{value:.0}");
        let (y, height) = if filled > 0.0 { (TALL - filled, filled) } else { (TALL - whole, whole) };
        Self {
            class: day.state.as_str(),
            x: at * STEP,
            y: text(y),
            height: text(height),
            empty: (filled > 0.0 && filled < whole).then(|| (text(TALL - whole), text(whole - filled))),
            title: match day_text(day, figures, t) {
                text if text.is_empty() => format!("{date} · {}", (t.status.state)(day.state)),
                text => format!("{date} · {} · {text}", (t.status.state)(day.state)),
            },
        }
    }
}

impl EpisodeView {
    fn of(one: &Episode, facts: &Facts, wall: &Wall, t: &Texts, lang: Language) -> Self {
        let words = t.status;
        let class = match one.kind.as_str() {
            "down" => "down",
            "regional" => "partial",
            "degraded" | "web_vitals" | "certificate" => "degraded",
            _ => "unknown",
        };
        let lasted = one
            .resolved
            .map(|end| (words.lasted)(&figure::length(end.us_since(one.since).max(0) as f64 / 1e6, words.day_sign)));
        Self {
            id: super::hex(&one.key[..6]),
            class,
            title: (words.of)(&what(one, words), &names(&facts.page, &one.items, lang)),
            since: Instant::of(one.since, wall),
            resolved: one.resolved.map(|at| Instant::of(at, wall)),
            lasted: lasted.unwrap_or_default(),
            notes: one.notes.iter().rev().map(|(at, text)| (Instant::of(*at, wall), text.clone())).collect(),
        }
    }
}
