//! A check's back-test: a form that asks for another policy, and what would have come of it. It works without scripts.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::class;
use super::frame::{Frame, Place};
use crate::present::backtest::{BacktestQuery, BacktestView, ChangeView, EpisodeView, replayed};
use crate::present::dto::SlaView;
use crate::present::problem::{Answer, Problem};
use crate::present::text::{Language, Texts};
use crate::present::{Present, figure};

/// Most incidents on the page.
const ROWS_MAX: usize = 200;

/// What the form asks; empty fields stay as they were.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    lang: Option<String>,
    span: String,
    quorum: String,
    confirmations: String,
    recoveries: String,
    weight: String,
    without: String,
}

/// The content of the page.
#[derive(Template)]
#[template(path = "backtest.html")]
struct Content<'a> {
    t: &'a Texts,
    lang: Language,
    id: &'a str,
    path: &'a str,
    asked: &'a Asked,
    spans: [SpanChoice; 3],
    /// Why there is nothing to show.
    refused: String,
    found: Option<Found>,
}

struct SpanChoice {
    name: &'static str,
    label: &'static str,
    current: bool,
}

struct Found {
    pages: String,
    incidents: String,
    availability: String,
    completeness: String,
    /// Where the availability lies, for all that is unknown.
    bounds: String,
    weighted: String,
    rows: Vec<Row>,
    more: String,
}

struct Row {
    class: &'static str,
    kind: &'static str,
    began: String,
    lasted: String,
    paged: String,
    outcome: &'static str,
    page: String,
}

/// `GET /checks/{id}/backtest`
pub async fn backtest_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Response> {
    let (lang, t) = (frame.lang, frame.t);
    if present.snapshot().await?.check(&id).is_none() {
        return Err(Problem::not_found("check", &id));
    }
    let answer = match asked.query(&id) {
        Ok(query) => replayed(&present, query).await,
        Err(refused) => Err(refused),
    };
    let (refused, found) = match answer {
        Ok(view) => (String::new(), Some(Found::of(&view, t))),
        Err(problem) => ((t.tell)(problem.detail()), None),
    };
    let path = format!("/checks/{id}/backtest");
    let content = Content { t, lang, id: &id, path: &path, asked: &asked, spans: asked.spans(t), refused, found };
    frame.page(Place::Home, &format!("{} · {id}", t.backtest.title), None, &content)
}

impl Asked {
    fn spans(&self, t: &Texts) -> [SpanChoice; 3] {
        let chosen = if ["7d", "30d"].contains(&self.span.as_str()) { self.span.as_str() } else { "24h" };
        [("24h", t.last_24_h), ("7d", t.backtest.last_7_d), ("30d", t.backtest.last_30_d)]
            .map(|(name, label)| SpanChoice { name, label, current: name == chosen })
    }

    fn query(&self, id: &str) -> Answer<BacktestQuery> {
        let text = |field: &str| (!field.trim().is_empty()).then(|| field.trim().to_owned());
        let from = match self.span.as_str() {
            "7d" | "30d" => format!("-{}", self.span),
            _ => "-24h".to_owned(),
        };
        Ok(BacktestQuery {
            quorum: text(&self.quorum),
            confirmations: BacktestQuery::streak("confirmations", &self.confirmations)?,
            recoveries: BacktestQuery::streak("recoveries", &self.recoveries)?,
            weight: text(&self.weight),
            without: text(&self.without),
            ..BacktestQuery::of(id, from)
        })
    }
}

impl Found {
    fn of(view: &BacktestView, t: &Texts) -> Self {
        let totals = &view.totals;
        let percent = |value: Option<f64>| {
            value.map_or_else(|| t.no_evidence.to_owned(), |value| (t.number)(figure::percent_down(value, 4)))
        };
        let both =
            |of: fn(&SlaView) -> Option<f64>| format!("{} → {}", percent(of(&view.before)), percent(of(&view.after)));
        let (before, after) = (totals.kept + totals.gone, totals.kept + totals.new);
        let pages = (t.backtest.pages_changed)(totals.pages_gone, totals.pages_new);
        let incidents = (t.backtest.incidents_changed)(totals.kept, totals.gone, totals.new);
        let hidden = view.changes.len().saturating_sub(ROWS_MAX);
        Self {
            pages: format!("{} → {} · {pages}", totals.pages_before, totals.pages_after),
            incidents: format!("{before} → {after} · {incidents}"),
            availability: both(|figures| figures.availability),
            completeness: both(|figures| figures.completeness),
            bounds: [&view.before, &view.after]
                .map(|figures| figure::bounds_to(figures.lower, figures.upper, 4, t))
                .join(" → "),
            weighted: [&view.before, &view.after]
                .map(|one| {
                    let of = (one.weighted_availability, one.weighted_lower, one.weighted_upper);
                    figure::bounded(of, 4, t.no_evidence, t)
                })
                .join(" → "),
            // The newest ones, which people remember.
            rows: view.changes.iter().rev().take(ROWS_MAX).map(|change| Row::of(change, t)).collect(),
            more: if hidden == 0 { String::new() } else { (t.backtest.more)(hidden) },
        }
    }
}

impl Row {
    fn of(change: &ChangeView, t: &Texts) -> Self {
        let words = t.backtest;
        let shown = change.before.as_ref().or(change.after.as_ref());
        let lasted = |one: &EpisodeView| {
            let mut lasted = figure::coarse(one.seconds, t.slo.day);
            for (is, word) in [(one.lasting, words.lasting), (one.flapping, words.flapping)] {
                lasted.push_str(&if is { format!(", {word}") } else { String::new() });
            }
            lasted
        };
        let paged = change.before.as_ref().and_then(|one| one.paged_at.as_deref());
        Self {
            class: class(&change.kind),
            kind: t.state(&change.kind),
            began: shown.map(|one| minute(&one.from)).unwrap_or_default(),
            lasted: shown.map(lasted).unwrap_or_default(),
            paged: paged.map_or_else(|| words.no_page.to_owned(), minute),
            outcome: match change.outcome.as_str() {
                "kept" => words.kept,
                "new" => words.new,
                _ => words.gone,
            },
            page: match (&change.after, change.page_later_seconds) {
                (None, _) => words.no_page.to_owned(),
                (Some(_), Some(0.0)) => words.same_page.to_owned(),
                (Some(_), Some(later)) if later > 0.0 => (words.later)(&figure::coarse(later, t.slo.day)),
                (Some(_), Some(later)) => (words.earlier)(&figure::coarse(-later, t.slo.day)),
                (Some(after), None) => after
                    .paged_at
                    .as_deref()
                    .map_or_else(|| words.hindsight.to_owned(), |at| (words.page_at)(&minute(at))),
            },
        }
    }
}

/// `2026-11-21 12:00:30 UTC` of an RFC 3339 text.
fn minute(at: &str) -> String {
    let whole = at.trim_end_matches('Z').split('.').next().unwrap_or_default();
    format!("{} UTC", whole.replace('T', " "))
}
