//! A page's vitals on its check's page: figures over a span, by profile and region, and the picture of the last failure.
//!
//! Ratings are told by a shape and a word, and coloured. What a page said of itself (selectors, URLs, errors) is hostile text: the templates
//! escape it, and none of it becomes an attribute but through them.

pub(super) mod run;

use askama::Template;
use sitepulse_daemon::instant;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::profile::Threshold;
use sitepulse_model::vitals::{Rating, Vital};

use super::{age, broken_template};
use crate::present::dto::CheckView;
use crate::present::figure;
use crate::present::problem::Answer;
use crate::present::text::{Language, Texts};
use crate::present::view::vitals::value;
use crate::vitals::change::Worse;
use crate::vitals::figures::{Figures, Group, Place, VitalFigures};

/// The spans that the page offers: the query's word, and microseconds.
pub(super) const SPANS: [(&str, i64); 3] =
    [("24h", 86_400 * 1_000_000), ("7d", 7 * 86_400 * 1_000_000), ("30d", 30 * 86_400 * 1_000_000)];
/// Most earlier screenshots that are linked.
const OLDER_MAX: usize = 5;

#[derive(Template)]
#[template(path = "vitals.html")]
struct Section<'a> {
    t: &'a Texts,
    lang: Language,
    path: String,
    spans: Vec<SpanLink>,
    profiles: Vec<Profile>,
    failure: Option<Shot>,
    older: Vec<Shot>,
}

struct SpanLink {
    name: &'static str,
    label: &'static str,
    current: bool,
}

struct Profile {
    name: String,
    vitals: Vec<Head>,
    rows: Vec<Row>,
    worse: Vec<WorseRow>,
}

struct WorseRow {
    headline: String,
    place: String,
    note: String,
    element: String,
}

struct Head {
    short: String,
    long: &'static str,
}

struct Row {
    place: String,
    /// Of how much of the time it speaks, and why not of all.
    known: String,
    cells: Vec<Cell>,
    runs: u64,
    notes: Vec<String>,
}

struct Cell {
    label: String,
    shown: Option<Shown>,
}

struct Shown {
    class: &'static str,
    shape: &'static str,
    p75: String,
    rating: &'static str,
    median: String,
    tail: String,
    spread: String,
    shares: String,
    parts: Vec<Part>,
    trend: String,
    good_y: String,
}

struct Part {
    class: &'static str,
    x: String,
    width: String,
}

struct Shot {
    place: String,
    when: String,
    path: String,
    alt: String,
}

/// The span that a query asks for; the first where it asks for none.
pub(super) fn span_of(asked: Option<&str>) -> (&'static str, i64) {
    SPANS.into_iter().find(|(name, _)| Some(*name) == asked).unwrap_or(SPANS[0])
}

/// The colour's and the shape's names of a rating.
pub(super) fn look(rating: Rating) -> (&'static str, &'static str) {
    match rating {
        Rating::Good => ("good", "●"),
        Rating::NeedsImprovement => ("between", "▲"),
        Rating::Poor => ("poor", "■"),
    }
}

/// A vital for people, in the language's own numbers.
pub(super) fn amount(vital: Vital, raw: u64, t: &Texts) -> String {
    (t.number)(figure::vital(vital, value(vital, raw)))
}

/// A vital that stands beside its rating.
fn rated(raw: u64, threshold: Threshold, vital: Vital, t: &Texts) -> String {
    let thresholds = [threshold.good, threshold.poor].map(|limit| value(vital, limit));
    (t.number)(figure::rated_vital(vital, value(vital, raw), thresholds))
}

/// `LCP`
pub(super) fn short(vital: Vital) -> String {
    vital.as_str().to_uppercase()
}

/// Renders the section.
pub(super) fn section(
    check: &CheckView,
    figures: &Figures,
    span: &str,
    now: UtcMicros,
    lang: Language,
) -> Answer<String> {
    let t = lang.texts();
    let labels = [t.last_24_h, t.vitals.last_7_d, t.vitals.last_30_d];
    let spans = SPANS.into_iter().zip(labels);
    let spans = spans.map(|((name, _), label)| SpanLink { name, label, current: name == span });
    let mut shots = check.screenshots.iter().map(|shot| {
        let when = (t.ago)(&figure::coarse(age(&shot.scheduled, now), t.slo.day));
        Shot {
            place: format!("{} · {}", shot.region, shot.agent),
            alt: (t.vitals.screenshot_alt)(&shot.agent, &whole(&shot.scheduled)),
            when,
            path: shot.path.clone(),
        }
    });
    let section = Section {
        t,
        lang,
        path: format!("/checks/{}", check.id),
        spans: spans.collect(),
        profiles: profiles(&figures.groups, now, t),
        failure: shots.next(),
        older: shots.take(OLDER_MAX).collect(),
    };
    section.render().map_err(|_| broken_template())
}

/// An instant without the fraction of its second: `2026-11-22 10:00:00 UTC`.
fn whole(at: &str) -> String {
    instant::parse(at, UtcMicros(0))
        .map_or_else(|_| at.to_owned(), |at| super::clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000))))
}

fn profiles(groups: &[Group], now: UtcMicros, t: &Texts) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    for of in groups.chunk_by(|a, b| a.profile == b.profile) {
        let measured = |vital: &Vital| of.iter().any(|group| group.vitals.iter().any(|one| one.vital == *vital));
        let vitals: Vec<Vital> = Vital::ALL.into_iter().filter(measured).collect();
        // The row of all says what a single region's row says already.
        let places = if of.len() == 2 { &of[1..] } else { of };
        profiles.push(Profile {
            name: of[0].profile.clone(),
            vitals: vitals.iter().map(|vital| Head { short: short(*vital), long: (t.vitals.name)(*vital) }).collect(),
            rows: places.iter().map(|group| row(group, &vitals, t)).collect(),
            worse: of.iter().flat_map(|group| group.worse.iter().map(|one| worse(group, one, now, t))).collect(),
        });
    }
    profiles
}

fn place(group: &Group, t: &Texts) -> String {
    match &group.place {
        Place::All => t.vitals.all_places.to_owned(),
        Place::Region(region) => region.to_string(),
        Place::Agent(region, agent) => format!("{region} · {agent}"),
    }
}

fn worse(group: &Group, one: &Worse, now: UtcMicros, t: &Texts) -> WorseRow {
    let v = t.vitals;
    let text = |raw| amount(one.vital, raw, t);
    let regression = &one.regression;
    let age = figure::coarse(now.us_since(regression.since) as f64 / 1e6, t.slo.day);
    WorseRow {
        headline: (v.regression)(&short(one.vital), &text(regression.baseline), &text(regression.median)),
        place: place(group, t),
        note: format!("{}, {}", (t.since)(&age), (v.regression_runs)(regression.runs)),
        element: match &one.lcp_element {
            Some([before, after]) if before == after => (v.element_same)(after),
            Some([before, after]) => (v.element_changed)(before, after),
            None => String::new(),
        },
    }
}

fn row(group: &Group, vitals: &[Vital], t: &Texts) -> Row {
    let place = place(group, t);
    let cells = vitals.iter().map(|vital| Cell {
        label: short(*vital),
        shown: group.vitals.iter().find(|one| one.vital == *vital).map(|one| shown(one, t)),
    });
    let mut notes = Vec::new();
    if group.low_confidence > 0 {
        notes.push((t.vitals.under_pressure)(group.low_confidence));
    }
    let others = group.runs.saturating_sub(group.graded + group.low_confidence);
    if others > 0 {
        notes.push((t.vitals.without_values)(others));
    }
    Row { place, known: figure::known(&group.known, t), cells: cells.collect(), runs: group.runs, notes }
}

fn shown(one: &VitalFigures, t: &Texts) -> Shown {
    let rating = one.threshold.rate(one.p75);
    let (class, shape) = look(rating);
    let text = |raw| amount(one.vital, raw, t);
    let counts = [one.ratings.good, one.ratings.needs_improvement, one.ratings.poor];
    let share = |count: u64| count as f64 * 100.0 / counts.iter().sum::<u64>().max(1) as f64;
    let percent = |count: u64| (t.number)(format!("{:.0} %", share(count)));
    let mut x = 0.0;
    let parts = ["good", "between", "poor"].into_iter().zip(counts).map(|(class, count)| {
        let part = Part { class, x: format!("{x:.2}"), width: format!("{:.2}", share(count)) };
        x += share(count);
        part
    });
    let parts = parts.collect();
    let (trend, good_y) = trend(one);
    Shown {
        class,
        shape,
        p75: rated(one.p75, one.threshold, one.vital, t),
        rating: (t.vitals.rating)(rating),
        median: text(one.median),
        tail: format!("p95 {} · p99 {}", text(one.p95), text(one.p99)),
        spread: format!("{} – {}", text(one.min), text(one.max)),
        shares: (t.vitals.shares)(&percent(counts[0]), &percent(counts[1]), &percent(counts[2])),
        parts,
        trend,
        good_y,
    }
}

/// The trend as a path over 100 by 20 units, and how high the good threshold lies. Empty where there is too little for a line.
fn trend(one: &VitalFigures) -> (String, String) {
    let top = one.trend.iter().flatten().copied().chain([one.threshold.good, 1]).max().unwrap_or(1) as f64;
    let y = |value: u64| 20.0 - value as f64 * 20.0 / top;
    let step = 100.0 / one.trend.len().saturating_sub(1).max(1) as f64;
    let good = format!("{:.1}", y(one.threshold.good));
    if one.trend.iter().flatten().count() < 3 {
        return (String::new(), good);
    }
    let points = one.trend.iter().enumerate().filter_map(|(at, value)| Some((at as f64 * step, y((*value)?))));
    let path = points.enumerate().map(|(nth, (x, y))| format!("{}{x:.1} {y:.1}", if nth == 0 { 'M' } else { 'L' }));
    (path.collect(), good)
}

#[cfg(test)]
mod tests;
