//! Why a check's availability is what it is: the intervals that it is made of, the votes and the records behind each, and that they add up.
//!
//! It shows what `/api/v1/explain` tells. Long lists are cut with their count, and the time of the intervals that are cut is told, so that the sum
//! holds for what is on the page.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use sitepulse_daemon::instant;
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use super::check::course;
use super::frame::{Frame, Place};
use super::policy::{Choice, choices};
use super::{PageQuery, class, clock_text};
use crate::present::api::SlaQuery;
use crate::present::dto::SlaView;
use crate::present::dto::policy::{CountedSecondsView, IntervalCountedView};
use crate::present::explain::{EvidenceView, ExplainView, IntervalView, VoteView, explained};
use crate::present::problem::{Answer, Problem};
use crate::present::results::GoneView;
use crate::present::text::explain::ExplainTexts;
use crate::present::text::{Language, Texts};
use crate::present::{Present, figure};

/// Most intervals on the page: the newest.
const INTERVALS_MAX: usize = 200;
/// Most agents of an interval.
const VOTES_MAX: usize = 20;
/// Most runs of like records of an agent's vote.
const EVIDENCE_MAX: usize = 5;
/// Intervals whose votes stand open.
const OPEN: usize = 3;

/// The content of the page.
#[derive(Template)]
#[template(path = "explain.html")]
struct Content<'a> {
    t: &'a Texts,
    w: &'a ExplainTexts,
    lang: Language,
    id: &'a str,
    path: &'a str,
    span: &'static str,
    spans: Vec<SpanLink>,
    policy: &'a str,
    /// Whose votes alone count: an agent or a region, and its name; empty: all.
    whose: (&'static str, &'a str),
    /// That in words.
    whose_told: String,
    /// From when to when, where it is no span; empty: a span.
    ends: (String, String),
    choices: Vec<Choice>,
    /// Why there is nothing to show.
    refused: String,
    found: Option<Found>,
}

struct SpanLink {
    name: &'static str,
    label: &'static str,
    current: bool,
}

struct Found {
    period: String,
    availability: String,
    evidence: String,
    /// The division behind the availability.
    division: String,
    sums: Vec<Sum>,
    total: String,
    adds_up: bool,
    verdict_on_sum: String,
    gone: Vec<String>,
    counted: bool,
    rows: Vec<Row>,
    more: String,
    /// Whether any of the evidence shown is missed runs.
    missed: bool,
}

/// What the intervals of one verdict, or of one way to count, add up to.
struct Sum {
    class: &'static str,
    label: String,
    intervals: String,
    time: String,
}

struct Row {
    class: &'static str,
    verdict: &'static str,
    /// Why nothing is known, and that the quorum was reduced.
    note: String,
    /// When it began, to be told apart by from the others.
    key: String,
    from: String,
    to: String,
    lasted: String,
    weights: String,
    counted: String,
    summary: String,
    votes: Vec<VoteRow>,
    more_votes: String,
}

struct VoteRow {
    class: &'static str,
    agent: String,
    region: String,
    says: String,
    evidence: Vec<EvidenceRow>,
    more: String,
}

struct EvidenceRow {
    told: String,
    /// What lists the records.
    href: String,
}

/// `GET /checks/{id}/explain`
pub async fn explain_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer<Response> {
    let (lang, t) = (frame.lang, frame.t);
    let snapshot = present.snapshot().await?;
    if snapshot.check(&id).is_none() {
        return Err(Problem::not_found("check", &id));
    }
    let (span, us) = course::span_of(query.span.as_deref());
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let policy = query.policy.as_deref().filter(|policy| !policy.is_empty());
    let (agent, region) = (given(&query.agent), given(&query.region));
    let whose = match (&agent, &region) {
        (Some(agent), _) => ("agent", agent.as_str()),
        (None, Some(region)) => ("region", region.as_str()),
        (None, None) => ("", ""),
    };
    // The end is the one that the snapshot's figures have, so that a figure and its explanation agree.
    let ends = given(&query.from).zip(given(&query.to));
    let (from, to) =
        ends.clone().unwrap_or_else(|| (instant::format(snapshot.now.plus_us(-us)), instant::format(snapshot.now)));
    let span = if ends.is_some() { "" } else { span };
    let asked =
        SlaQuery::counted(id.clone(), from, to, policy.map(ToOwned::to_owned)).by(agent.clone(), region.clone());
    let (refused, found) = match explained(&present, asked, snapshot.now).await {
        Ok(view) => (String::new(), Some(Found::of(&view, t))),
        Err(problem) => ((t.tell)(problem.detail()), None),
    };
    let path = format!("/checks/{id}/explain");
    let labels = [t.last_24_h, t.vitals.last_7_d, t.vitals.last_30_d, t.page.last_90_d];
    let spans = course::SPANS.into_iter().zip(labels);
    let spans = spans.map(|((name, _), label)| SpanLink { name, label, current: name == span }).collect();
    let choices = choices(present.app(), policy, t);
    // A name that no policy has is nothing to link to; those that have one are slugs.
    let policy = policy.filter(|_| choices.iter().any(|choice| choice.chosen)).unwrap_or_default();
    let w = t.explain;
    // Names that nobody has lead nowhere.
    let whose = if refused.is_empty() { whose } else { ("", "") };
    let whose_told = match whose {
        ("agent", name) => (w.of_agent)(name),
        ("region", name) => (w.of_region)(name),
        _ => String::new(),
    };
    let path = path.as_str();
    let ends = ends.filter(|_| refused.is_empty()).unwrap_or_default();
    let content =
        Content { t, w, lang, id: &id, path, span, spans, policy, whose, whose_told, ends, choices, refused, found };
    frame.page(Place::Home, &format!("{} · {id}", w.title), None, &content)
}

/// Seconds that were cut from whole microseconds, as those again: they add up without a rest.
fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

/// `86 400.000 s`
fn exact(us: i64, t: &Texts) -> String {
    let ms = us.unsigned_abs().div_euclid(1000);
    let sign = if us < 0 { "−" } else { "" };
    (t.number)(format!("{sign}{}.{:03} s", figure::count(ms / 1000), ms % 1000))
}

/// An instant of ours with what it has of milliseconds.
fn at(text: &str) -> String {
    instant::parse(text, UtcMicros(0))
        .map_or_else(|_| text.to_owned(), |at| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1000))))
}

/// What is on each side of the sum: the verdicts' time by the figures, and by the intervals.
const VERDICTS: [&str; 6] = ["up", "degraded", "regional", "down", "unknown", "maintenance"];

fn by_figures(figures: &SlaView) -> [i64; 6] {
    let seconds = &figures.seconds;
    let unknown = &seconds.unknown;
    let unknown = [unknown.agent_stopped, unknown.agent_offline, unknown.suspended, unknown.shed, unknown.unassigned];
    [
        micros(seconds.up),
        micros(seconds.degraded),
        micros(seconds.regional),
        micros(seconds.down),
        unknown.into_iter().map(micros).sum(),
        micros(seconds.maintenance),
    ]
}

fn counted_parts(one: &CountedSecondsView) -> [i64; 4] {
    [one.counted, one.down, one.excluded, one.outside].map(micros)
}

impl Found {
    fn of(view: &ExplainView, t: &Texts) -> Self {
        let (figures, w) = (&view.figures, t.explain);
        let mut sums = Vec::new();
        let mut adds_up = true;
        for (verdict, told) in VERDICTS.into_iter().zip(by_figures(figures)) {
            let own = view.intervals.iter().filter(|interval| interval.verdict == verdict);
            let (count, us) = own.fold((0, 0), |(n, us), one| (n + 1, us + micros(one.seconds)));
            adds_up &= us == told;
            if count > 0 {
                let label = t.state(verdict).to_owned();
                sums.push(Sum { class: class(verdict), label, intervals: (w.intervals)(count), time: exact(us, t) });
            }
        }
        if let Some(counted) = &figures.policy {
            let told = counted_parts(&counted.seconds);
            let parts = view.intervals.iter().flat_map(|interval| &interval.counted);
            let mut found = [0_i64; 4];
            for part in parts {
                for (sum, us) in found.iter_mut().zip(counted_parts(&part.seconds)) {
                    *sum += us;
                }
            }
            adds_up &= found == told;
            for (label, us) in [w.counted, w.counted_down, w.excluded, w.outside].into_iter().zip(found) {
                sums.push(Sum { class: "", label: label.to_owned(), intervals: String::new(), time: exact(us, t) });
            }
        }
        let whole: i64 = view.intervals.iter().map(|one| micros(one.seconds)).sum();
        let told: i64 = by_figures(figures).iter().sum();
        adds_up &= whole == told;
        // Between two lives of a check, as between its removal and its return, there is no time to judge.
        let end = |text: &str| instant::parse(text, UtcMicros(0)).unwrap_or(UtcMicros(0));
        let rest = end(&figures.to).us_since(end(&figures.from)) - whole;
        if rest > 0 {
            let label = t.explain.no_life.to_owned();
            sums.push(Sum { class: "", label, intervals: String::new(), time: exact(rest, t) });
        }
        let hidden = view.intervals.len().saturating_sub(INTERVALS_MAX);
        let hidden_us: i64 = view.intervals[..hidden].iter().map(|one| micros(one.seconds)).sum();
        let mut shown = view.intervals[hidden..].iter().flat_map(|one| &one.votes).flat_map(|vote| &vote.evidence);
        let missed = shown.any(|evidence| evidence.missed_cause.is_some());
        Self {
            period: (w.period)(&at(&figures.from), &at(&figures.to)),
            availability: figure::availability(figures.availability, t),
            evidence: format!(
                "{} {}",
                figure::completeness(figures.completeness, t),
                figure::bounds(figures.lower, figures.upper, t)
            ),
            division: division(figures, t),
            sums,
            total: format!("{} = {}", (w.intervals)(view.intervals.len()), exact(whole, t)),
            adds_up,
            verdict_on_sum: if adds_up { w.adds_up.to_owned() } else { (w.does_not)(&exact(told, t)) },
            gone: view.gone.iter().map(|gone| gone_line(gone, t)).collect(),
            counted: figures.policy.is_some(),
            rows: view.intervals.iter().rev().take(INTERVALS_MAX).map(|one| Row::of(one, t)).collect(),
            more: if hidden == 0 { String::new() } else { (w.more_intervals)(hidden, &exact(hidden_us, t)) },
            missed,
        }
    }
}

/// `1 − 120.000 s / 86 400.000 s = 99.8611 %`
fn division(figures: &SlaView, t: &Texts) -> String {
    let (down, of) = match &figures.policy {
        Some(counted) => (micros(counted.seconds.down), micros(counted.seconds.counted)),
        None => {
            let [up, degraded, regional, down, _, _] = by_figures(figures);
            (down, up + degraded + regional + down)
        }
    };
    let Some(availability) = figures.availability else { return String::new() };
    let result = (t.number)(figure::percent_down(availability, 4));
    format!("1 − {} / {} = {result}", exact(down, t), exact(of, t))
}

fn gone_line(gone: &GoneView, t: &Texts) -> String {
    let kept = gone.kept_from.as_deref().map(at);
    (t.explain.gone)(&gone.agent, &figure::count(gone.records), kept.as_deref())
}

impl Row {
    fn of(interval: &IntervalView, t: &Texts) -> Self {
        let w = t.explain;
        let cause = interval.unknown_cause.as_deref().map(|cause| t.unknown_cause(cause));
        let reduced = interval.quorum_reduced.then_some(t.quorum_reduced);
        let note = cause.into_iter().chain(reduced).collect::<Vec<_>>().join(" · ");
        let number = |weight: f64| (t.number)(weight.to_string());
        let hidden = interval.votes.len().saturating_sub(VOTES_MAX);
        Self {
            class: class(&interval.verdict),
            verdict: t.state(&interval.verdict),
            note,
            key: interval.from.clone(),
            from: at(&interval.from),
            to: at(&interval.to),
            lasted: exact(micros(interval.seconds), t),
            weights: format!("{} / {}", number(interval.weight_down), number(interval.weight_live)),
            counted: interval.counted.iter().map(|part| counts(part, t)).collect::<Vec<_>>().join(", "),
            summary: (w.agents)(interval.votes.len()),
            votes: interval.votes.iter().take(VOTES_MAX).map(|vote| VoteRow::of(vote, t)).collect(),
            more_votes: if hidden == 0 { String::new() } else { (w.more)(hidden) },
        }
    }
}

/// How a version of a policy counts an interval: `2 min up, 30 s outside`.
fn counts(part: &IntervalCountedView, t: &Texts) -> String {
    let w = t.explain;
    let [counted, down, excluded, outside] = counted_parts(&part.seconds);
    let mut texts = Vec::new();
    if counted > 0 {
        texts.push(match part.counts.as_deref() {
            Some("by_share") => (w.by_share)(&exact(down, t), &exact(counted, t)),
            Some(state) => format!("{} {}", exact(counted, t), t.state(state)),
            None => exact(counted, t),
        });
    }
    for (us, word) in [(excluded, w.excluded_short), (outside, w.outside_short)] {
        if us > 0 {
            texts.push(format!("{} {word}", exact(us, t)));
        }
    }
    texts.join(", ")
}

impl VoteRow {
    fn of(vote: &VoteView, t: &Texts) -> Self {
        let w = t.explain;
        let (state, says) = match (&vote.vote, vote.weight, &vote.unknown_cause) {
            (Some(state), Some(weight), _) if weight != 1.0 => {
                let weight = (t.number)(weight.to_string());
                (state.as_str(), format!("{} × {weight}", t.state(state)))
            }
            (Some(state), _, _) => (state.as_str(), t.state(state).to_owned()),
            (None, _, Some(cause)) => ("unknown", format!("{} ({})", t.unknown, t.unknown_cause(cause))),
            (None, _, None) if vote.standing == "weightless" => ("unknown", w.weightless.to_owned()),
            (None, _, None) => ("unknown", t.suspended.to_owned()),
        };
        let hidden = vote.evidence.len().saturating_sub(EVIDENCE_MAX);
        Self {
            class: class(state),
            agent: vote.agent.clone(),
            region: vote.region.clone(),
            says,
            evidence: vote.evidence.iter().take(EVIDENCE_MAX).map(|one| evidence(one, t)).collect(),
            more: if hidden == 0 { String::new() } else { (w.more)(hidden) },
        }
    }
}

/// `12 × up · eu-1@2026-11-22T10:00:00Z … eu-1@2026-11-22T10:05:30Z · 30 s`
fn evidence(evidence: &EvidenceView, t: &Texts) -> EvidenceRow {
    let what = match &evidence.missed_cause {
        Some(cause) => format!("{} ({})", t.explain.missed, (t.explain.missed_cause)(cause)),
        None => t.state(&evidence.state).to_owned(),
    };
    let first = evidence.first_id.as_ref().unwrap_or(&evidence.first);
    let last = evidence.last_id.as_ref().unwrap_or(&evidence.last);
    let ids = match evidence.step_us {
        Some(step_us) => format!("{first} … {last} · {}", (t.explain.every)(&duration::format(step_us))),
        None => first.clone(),
    };
    let told = format!("{} × {what} · {ids}", figure::count(evidence.count));
    EvidenceRow { told, href: evidence.results.clone() }
}

#[cfg(test)]
mod tests;
