//! Promises: a page of all, and on a check's page those that cover it. What a bar shows stands beside it in words.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sitepulse_daemon::instant;
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use super::frame::{Frame, Place};
use super::{broken_template, clock_text};
use crate::present::dto::slo::{BudgetView, BurnPairView, BurnView, OutcomeView, SloView};
use crate::present::problem::Answer;
use crate::present::text::{Language, Texts};
use crate::present::{Present, figure};

/// Most check ids that a row names; the rest is counted.
const NAMED_MAX: usize = 5;

#[derive(Template)]
#[template(path = "slos.html")]
struct Content<'a> {
    t: &'a Texts,
    lang: Language,
    /// Whether it is a page of its own.
    alone: bool,
    slos: Vec<Row>,
    as_of: String,
}

struct Row {
    id: String,
    /// What its figures are made of.
    terms_of: String,
    description: String,
    terms: String,
    checks: Vec<String>,
    more_checks: String,
    missing: String,
    class: &'static str,
    state: &'static str,
    advice: &'static str,
    fault: String,
    outcome: Option<Shown>,
}

struct Shown {
    availability: String,
    measured: bool,
    completeness: String,
    bounds: String,
    unknown: String,
    budget: String,
    share: String,
    /// Of 1000: what is left, and what may be left at most.
    left: String,
    upper: String,
    overdrawn: bool,
    between: String,
    forecast: String,
    burns: Vec<Burning>,
}

struct Burning {
    class: &'static str,
    /// The long window and the short one.
    windows: String,
    rates: String,
    threshold: String,
    /// What of the two windows is unknown, and why.
    unknown: String,
    speaks: bool,
}

/// `GET /slos`
pub async fn slos_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    let slos = present.slos().await?;
    let content = render(slos.iter(), true, frame.lang)?;
    frame.around(StatusCode::OK, Place::Objectives, frame.t.slo.title, None, content)
}

/// The promises that cover a check, for its page; empty where there are none.
pub(super) async fn section(present: &Present, check: &str, lang: Language) -> Answer<String> {
    let slos = present.slos().await?;
    let mut covering = slos.iter().filter(|slo| slo.checks.iter().any(|id| id == check)).peekable();
    if covering.peek().is_none() { Ok(String::new()) } else { render(covering, false, lang) }
}

fn render<'s>(slos: impl Iterator<Item = &'s SloView>, alone: bool, lang: Language) -> Answer<String> {
    let t = lang.texts();
    let mut as_of = String::new();
    let mut rows = Vec::new();
    for slo in slos {
        as_of = slo.as_of.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ") + " UTC";
        rows.push(Row::of(slo, t));
    }
    Content { t, lang, alone, slos: rows, as_of }.render().map_err(|_| broken_template())
}

impl Row {
    fn of(slo: &SloView, t: &Texts) -> Self {
        let (state, advice) = t.slo.words(&slo.state);
        let checks: Vec<String> = slo.checks.iter().take(NAMED_MAX).cloned().collect();
        let more = slo.checks.len() - checks.len();
        Self {
            id: slo.id.clone(),
            terms_of: format!("/terms/slo?slo={}", slo.id),
            description: slo.description.clone(),
            terms: terms(slo, t),
            checks,
            more_checks: if more > 0 { format!("+ {}", (t.slo.checks)(more)) } else { String::new() },
            missing: if slo.missing.is_empty() { String::new() } else { (t.slo.missing)(&slo.missing.join(", ")) },
            class: class(&slo.state),
            state,
            advice,
            fault: slo.fault.as_deref().map(t.tell).unwrap_or_default(),
            outcome: slo.outcome.as_ref().map(|outcome| Shown::of(outcome, t)),
        }
    }
}

/// `99.9 % over the last 30 d · policy office, version 2`
fn terms(slo: &SloView, t: &Texts) -> String {
    let period = match slo.period.as_str() {
        "week" => t.slo.week.to_owned(),
        "month" => t.slo.month.to_owned(),
        "quarter" => t.slo.quarter.to_owned(),
        rolling => (t.slo.rolling)(&span_text(rolling, t)),
    };
    let period = slo.zone.as_ref().map_or(period.clone(), |zone| format!("{period} ({zone})"));
    let Some(outcome) = &slo.outcome else { return period };
    let objective = (t.number)(outcome.objective.replace('%', " %"));
    let policy = (t.slo.policy)(&format!("{}@{}", outcome.policy, outcome.policy_version));
    format!("{objective} {period} · {policy}")
}

fn class(state: &str) -> &'static str {
    match state {
        "ok" => "up",
        "burning_slow" => "degraded",
        "burning_fast" => "regional",
        "exhausted" => "down",
        _ => "unknown",
    }
}

impl Shown {
    fn of(outcome: &OutcomeView, t: &Texts) -> Self {
        let budget = &outcome.budget;
        let units = |ratio: Option<f64>| format!("{:.1}", ratio.unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0);
        let between = match (budget.left_ratio_lower, budget.left_ratio_upper) {
            (Some(lower), Some(upper)) if lower < upper && budget.left_ratio.is_some() => {
                (t.slo.between)(&share(lower, f64::floor, t), &share(upper, f64::ceil, t))
            }
            (Some(_) | None, _) => String::new(),
        };
        Self {
            availability: figure::availability(outcome.availability, t),
            measured: outcome.availability.is_some(),
            completeness: figure::completeness(outcome.completeness, t),
            bounds: figure::bounds(outcome.lower, outcome.upper, t),
            unknown: figure::unknown(outcome.unknown.as_ref(), t),
            budget: budget_text(budget, t),
            share: budget.left_ratio.map_or_else(String::new, |left| share(left, f64::floor, t)),
            left: units(budget.left_ratio),
            upper: units(budget.left_ratio_upper),
            overdrawn: budget.left_seconds.is_some_and(|left| left < 0.0),
            between,
            forecast: forecast(outcome, t),
            burns: outcome.burns.iter().map(|pair| Burning::of(pair, t)).collect(),
        }
    }
}

fn budget_text(budget: &BudgetView, t: &Texts) -> String {
    match (budget.allowed_seconds, budget.left_seconds) {
        (Some(allowed), Some(left)) if left < 0.0 => (t.slo.overdrawn)(&time(-left, t), &time(allowed, t)),
        (Some(allowed), Some(_)) if allowed <= 0.0 => t.slo.nothing_allowed.to_owned(),
        (Some(allowed), Some(left)) => (t.slo.left)(&time(left, t), &time(allowed, t)),
        (Some(_) | None, _) => t.no_evidence.to_owned(),
    }
}

fn forecast(outcome: &OutcomeView, t: &Texts) -> String {
    let at = outcome.exhausted_at.as_deref().and_then(|at| instant::parse(at, UtcMicros(0)).ok());
    match at {
        // To the minute: it is a forecast.
        Some(at) => {
            let minute = UtcMicros(at.0 - at.0.rem_euclid(60_000_000));
            let text = clock_text(minute).replace(":00 UTC", " UTC");
            (t.slo.exhausted_at)(&text, &span_text(&outcome.exhausted_by, t))
        }
        None if outcome.budget.left_seconds.is_some_and(|left| left > 0.0) => t.slo.not_in_sight.to_owned(),
        None => String::new(),
    }
}

impl Burning {
    fn of(pair: &BurnPairView, t: &Texts) -> Self {
        let class = match (pair.speaks, pair.long.window.as_str()) {
            (true, "3d") => "degraded",
            (true, _) => "regional",
            (false, _) => "",
        };
        let both = |of: &dyn Fn(&BurnView) -> String| format!("{} / {}", of(&pair.long), of(&pair.short));
        Self {
            class,
            windows: both(&|burn| span_text(&burn.window, t)),
            rates: both(&|burn| rate(burn, pair.threshold, t)),
            threshold: (t.slo.threshold)(&(t.number)(pair.threshold.to_string())),
            unknown: [&pair.long, &pair.short]
                .map(|burn| (span_text(&burn.window, t), figure::unknown(burn.unknown.as_ref(), t)))
                .into_iter()
                .filter(|(_, unknown)| !unknown.is_empty())
                .map(|(window, unknown)| format!("{window}, {unknown}"))
                .collect::<Vec<_>>()
                .join(" · "),
            speaks: pair.speaks,
        }
    }
}

fn rate(burn: &BurnView, threshold: f64, t: &Texts) -> String {
    match burn.rate {
        Some(rate) => format!("{}×", (t.number)(figure::burn_rate(rate, threshold))),
        // Where nothing is allowed and something was bad.
        None if burn.reached => t.slo.endless.to_owned(),
        None => "–".to_owned(),
    }
}

/// A share of a budget as a percentage without decimals; below 0 where it is overdrawn.
fn share(ratio: f64, round: fn(f64) -> f64, t: &Texts) -> String {
    let percent = round(ratio * 100.0);
    let sign = if percent < 0.0 { "\u{2212}" } else { "" };
    (t.number)(format!("{sign}{:.0} %", percent.abs()))
}

/// `30 d`, in the language's own units.
fn span_text(duration: &str, t: &Texts) -> String {
    duration::parse(duration).map_or_else(|_| duration.to_owned(), |us| time(us as f64 / 1e6, t))
}

/// A length of time by its two largest units, cut: `43 min 12 s`.
fn time(seconds: f64, t: &Texts) -> String {
    figure::length(seconds, t.slo.day)
}
