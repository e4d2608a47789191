//! A check's latencies on its page: percentiles of every phase over a span, of all regions and of each.

use askama::Template;
use sitepulse_model::record::Phase;
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::UtcMicros;

use super::{broken_template, clock_text, vitals};
use crate::latency::figures::{Figures, Group};
use crate::present::figure;
use crate::present::problem::{Answer, Problem};
use crate::present::text::{Language, Texts};
use crate::vitals::figures::Place;

#[derive(Template)]
#[template(path = "latency.html")]
struct Section<'a> {
    t: &'a Texts,
    lang: Language,
    path: String,
    /// Why there is nothing to show.
    refused: String,
    covered: String,
    spans: Vec<SpanLink>,
    places: Vec<PlaceTable>,
}

struct SpanLink {
    name: &'static str,
    label: &'static str,
    current: bool,
}

struct PlaceTable {
    /// By which an open page knows it again.
    id: String,
    name: String,
    failed: String,
    /// Of how much of the time it speaks, and why not of all.
    known: String,
    rows: Vec<Row>,
}

struct Row {
    phase: &'static str,
    cells: Vec<Cell>,
    count: String,
}

struct Cell {
    label: &'static str,
    value: String,
}

fn spans(span: &str, t: &Texts) -> Vec<SpanLink> {
    let labels = [t.last_24_h, t.vitals.last_7_d, t.vitals.last_30_d];
    let spans = vitals::SPANS.into_iter().zip(labels);
    spans.map(|((name, _), label)| SpanLink { name, label, current: name == span }).collect()
}

/// Renders the section of figures that there are none of, and says why: another span may have some.
pub(super) fn refused(problem: &Problem, span: &str, check: &str, lang: Language) -> Answer<String> {
    let t = lang.texts();
    let section = Section {
        t,
        lang,
        path: format!("/checks/{check}"),
        refused: (t.tell)(problem.detail()),
        covered: String::new(),
        spans: spans(span, t),
        places: Vec::new(),
    };
    section.render().map_err(|_| broken_template())
}

/// Renders the section.
pub(super) fn section(figures: &Figures, span: &str, lang: Language) -> Answer<String> {
    let t = lang.texts();
    // The table of all says what a single region's says already.
    let places = if figures.groups.len() == 2 { &figures.groups[1..] } else { &figures.groups };
    let section = Section {
        t,
        lang,
        path: format!("/checks/{}", figures.check),
        refused: String::new(),
        covered: (t.latency.covered)(&minute(figures.covered.from), &minute(figures.covered.to)),
        spans: spans(span, t),
        places: places.iter().map(|group| table(group, t)).collect(),
    };
    section.render().map_err(|_| broken_template())
}

/// `2026-11-22 10:00`
fn minute(at: UtcMicros) -> String {
    clock_text(at).chars().take(16).collect()
}

fn table(group: &Group, t: &Texts) -> PlaceTable {
    let (id, name) = match &group.place {
        Place::All => ("latency-of-all".to_owned(), t.latency.all_places.to_owned()),
        Place::Region(region) => (format!("latency-in-{region}"), region.to_string()),
        Place::Agent(region, agent) => (format!("latency-from-{agent}"), format!("{region} · {agent}")),
    };
    let failed = group.latencies.failed;
    let rows = Phase::ALL.iter().filter_map(|phase| row(*phase, group.latencies.phase(*phase), t));
    let failed = if failed == 0 { String::new() } else { (t.latency.failed)(failed) };
    PlaceTable { id, name, failed, known: figure::known(&group.known, t), rows: rows.collect() }
}

/// `None` of a phase that no result had.
fn row(phase: Phase, sketch: &Sketch, t: &Texts) -> Option<Row> {
    let quantile = |label, per_mille| Some((label, sketch.quantile(per_mille)?));
    let figures = [
        quantile("p50", 500)?,
        quantile("p75", 750)?,
        quantile("p95", 950)?,
        quantile("p99", 990)?,
        (t.latency.smallest, sketch.min()?),
        (t.latency.largest, sketch.max()?),
    ];
    let cell = |(label, us): (&'static str, u64)| Cell { label, value: (t.number)(figure::latency(us as f64 / 1e6)) };
    let count = figure::count(u64::try_from(sketch.count()).unwrap_or(u64::MAX));
    Some(Row { phase: (t.phase)(phase), cells: figures.map(cell).into(), count })
}
