//! One check's page: what each agent found last, phase by phase, and a button that runs it at once.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use sitepulse_model::record::{FactKey, Phase};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;

use super::frame::{Frame, Place};
use super::{CheckRow, PageQuery, age, broken_template, class, latency, ledger, policy, slo, suspension, vitals};
use crate::present::api::latency::figures_of;
use crate::present::dto::{AgentRunView, FactsView, PairView, PhasesUsView, RunView, SlaView};
use crate::present::problem::{Answer, Problem};
use crate::present::text::{Language, Texts};
use crate::present::view::{Snapshot, list};
use crate::present::windows::WindowView;
use crate::present::{Present, api, figure, windows};
use crate::vitals::figures::Ask;

/// Most maintenance windows that are shown ahead.
const WINDOWS_SHOWN: usize = 5;

/// The content of the page.
#[derive(Template)]
#[template(path = "check.html")]
struct Content<'a> {
    t: &'a Texts,
    lang: Language,
    id: String,
    kind: String,
    target: String,
    note: String,
    class: &'static str,
    verdict: &'static str,
    verdict_note: String,
    suspension: String,
    heartbeat: bool,
    /// The promises that cover it, rendered.
    slos: String,
    /// Figures over a span, rendered: vitals of a page, latencies of what is none.
    figures: String,
    amendments: String,
    availability: String,
    evidence: String,
    /// Why nothing is known of some of the time; empty where all is known.
    unknown: String,
    amended: String,
    runs: Option<Vec<String>>,
    results: Vec<String>,
    windows: Vec<WindowRow>,
}

/// A maintenance window that is open or to come.
struct WindowRow {
    name: String,
    when: String,
}

impl WindowRow {
    fn of(window: &WindowView, t: &Texts) -> Self {
        let (from, to) = (minute(&window.from), minute(&window.to));
        let when = if window.state == "open" { (t.window_open)(&to) } else { (t.window_span)(&from, &to) };
        Self { name: window.window.clone(), when }
    }
}

/// An instant to the minute: `2026-12-01 02:00 UTC`.
fn minute(at: &str) -> String {
    at.get(..16).map_or_else(|| at.to_owned(), |at| format!("{} UTC", at.replace('T', " ")))
}

/// One agent's result.
#[derive(Template)]
#[template(path = "result.html")]
struct Card<'a> {
    t: &'a Texts,
    place: String,
    class: &'static str,
    state: String,
    when: String,
    explanation: String,
    /// Of a page: its vitals, rendered.
    vitals: String,
    phases: Vec<Segment>,
    facts: Vec<FactRow>,
}

/// A phase as a stretch of the bar, in units of 1000 to the whole run.
pub(super) struct Segment {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) time: String,
    pub(super) x: String,
    pub(super) width: String,
}

pub(super) struct FactRow {
    pub(super) label: String,
    pub(super) values: Vec<String>,
}

/// `GET /checks/{id}`
pub async fn check_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer<Response> {
    respond(&present, &frame, &id, &query, None).await
}

/// `POST /checks/{id}/run`: the same page with what the agents said.
pub async fn run_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer<Response> {
    let run = api::run_now(&present, &id, None).await?;
    respond(&present, &frame, &id, &query, Some(&run)).await
}

async fn respond(
    present: &Present,
    frame: &Frame,
    id: &str,
    query: &PageQuery,
    run: Option<&RunView>,
) -> Answer<Response> {
    let lang = frame.lang;
    let snapshot = present.snapshot().await?;
    let check = snapshot.check(id).ok_or_else(|| Problem::not_found("check", id))?.check;
    let vitals = if check.kind == "web_vitals" {
        let (span, length) = vitals::span_of(query.span.as_deref());
        let now = snapshot.now;
        let asked = Ask { from: Some(now.plus_us(-length)), ..Ask::default() };
        let figures = api::vitals::figures_of(present, id, asked, now).await?;
        vitals::section(check, &figures, span, now, lang)?
    } else {
        String::new()
    };
    let latency = if ["web_vitals", "heartbeat"].contains(&check.kind.as_str()) {
        // A page's run is several loads long, a heartbeat's is no run of ours.
        String::new()
    } else {
        let (span, length) = vitals::span_of(query.span.as_deref());
        let asked = crate::latency::figures::Ask { from: Some(snapshot.now.plus_us(-length)), ..Default::default() };
        match figures_of(present, id, &asked, snapshot.now).await {
            Ok(figures) => latency::section(&figures, span, lang)?,
            // Damage of some day's sketches must not take the whole page.
            Err(problem) => latency::refused(&problem, span, id, lang)?,
        }
    };
    let amendments = ledger::section(present, id, lang.texts()).await?;
    let slos = slo::section(present, id, lang).await?;
    let (asked, now) = (id.to_owned(), snapshot.now);
    let windows = present.read(move |book| {
        let check = api::check_of(book, &asked)?;
        Ok::<_, Problem>(windows::next_of(book, check, now, WINDOWS_SHOWN))
    });
    let windows = windows.await??.iter().map(|window| WindowRow::of(window, lang.texts())).collect();
    let sections = Sections { slos, figures: format!("{vitals}{latency}"), amendments, windows };
    let content = Content::of(&snapshot, lang, id, sections, run)?.render().map_err(|_| broken_template())?;
    let content = content + &policy::section(present, id, query.policy.as_deref(), snapshot.now, lang).await?;
    frame.around(StatusCode::OK, Place::Home, id, None, content)
}

/// The parts of the page that are rendered apart; empty where they have nothing to say.
struct Sections {
    slos: String,
    figures: String,
    amendments: String,
    windows: Vec<WindowRow>,
}

impl<'a> Content<'a> {
    fn of(snapshot: &Snapshot, lang: Language, id: &str, sections: Sections, run: Option<&RunView>) -> Answer<Self> {
        let t = lang.texts();
        let list::Row { check, strip } = snapshot.check(id).ok_or_else(|| Problem::not_found("check", id))?;
        let row = CheckRow::of(check, strip, snapshot.now, t);
        let render = |card: Card<'_>| card.render().map_err(|_| broken_template());
        let stored = |pair: &PairView| render(Card::stored(pair, pair.place(&check.agents), snapshot.now, t)?);
        let runs = run.map(|run| run.runs.iter().map(|run| render(Card::ran(run, t)?)).collect::<Answer<_>>());
        Ok(Self {
            t,
            lang,
            id: row.id,
            kind: row.kind,
            target: row.url,
            note: row.note,
            class: row.class,
            verdict: row.verdict,
            verdict_note: row.verdict_note,
            suspension: row.suspension,
            heartbeat: check.kind == "heartbeat",
            slos: sections.slos,
            figures: sections.figures,
            amendments: sections.amendments,
            availability: row.availability,
            evidence: format!("{} {}", row.completeness, row.bounds),
            unknown: unknown_line(&check.sla, t),
            amended: row.amended,
            runs: runs.transpose()?,
            results: check.agents.iter().map(|pair| stored(pair)).collect::<Answer<_>>()?,
            windows: sections.windows,
        })
    }
}

/// `nothing known for: 12 min (agent offline), 3 s (agent stopped)`
fn unknown_line(figures: &SlaView, t: &Texts) -> String {
    let causes = figures.seconds.unknown.by_cause().into_iter().filter(|(_, seconds)| *seconds > 0.0);
    let causes: Vec<String> = causes
        .map(|(cause, seconds)| format!("{} ({})", figure::length(seconds, t.slo.day), t.unknown_cause(cause)))
        .collect();
    if causes.is_empty() { String::new() } else { (t.unknown_time)(&causes.join(", ")) }
}

impl<'a> Card<'a> {
    fn stored(pair: &PairView, place: String, now: UtcMicros, t: &'a Texts) -> Answer<Self> {
        let mut state = t.state(&pair.state).to_owned();
        if let Some(cause) = &pair.unknown_cause {
            state = format!("{state} · {}", t.unknown_cause(cause));
        }
        let when = pair
            .last_scheduled
            .as_deref()
            .map(|at| (t.ago)(&figure::coarse(age(at, now), t.slo.day)))
            .unwrap_or_default();
        let mut explanation = explained(pair.cause.as_deref(), &pair.detail);
        if pair.suspended.is_some() {
            explanation = format!("{} {explanation}", suspension(pair.suspended.as_ref(), t));
        }
        let vitals = pair.vitals.as_deref().map(|run| vitals::run::render(run, false, t)).transpose()?;
        Ok(Self {
            t,
            place: format!("{place} · {}", pair.agent),
            class: class(&pair.state),
            state,
            when,
            explanation,
            phases: if vitals.is_some() { Vec::new() } else { segments(&pair.phases_us, t) },
            facts: facts(pair.address.as_deref(), &pair.facts, vitals.is_some(), t),
            vitals: vitals.unwrap_or_default(),
        })
    }

    fn ran(run: &AgentRunView, t: &'a Texts) -> Answer<Self> {
        let place = format!("{} · {}", run.region, run.agent);
        let bare = |state: &str, explanation: String| Self {
            t,
            place: place.clone(),
            class: "unknown",
            state: state.to_owned(),
            when: String::new(),
            explanation,
            vitals: String::new(),
            phases: Vec::new(),
            facts: Vec::new(),
        };
        Ok(match (&run.result, run.outcome.as_str()) {
            (Some(result), _) => {
                let vitals = result.vitals.as_deref().map(|run| vitals::run::render(run, result.screenshot, t));
                let vitals = vitals.transpose()?;
                Self {
                    class: class(&result.state),
                    phases: if vitals.is_some() { Vec::new() } else { segments(&result.phases_us, t) },
                    facts: facts(result.address.as_deref(), &result.facts, vitals.is_some(), t),
                    vitals: vitals.unwrap_or_default(),
                    ..bare(t.state(&result.state), explained(result.cause.as_deref(), &result.explanation))
                }
            }
            (None, "refused") => bare(t.run_refused, run.reason.clone().unwrap_or_default()),
            (None, "not_connected") => bare(t.not_connected, String::new()),
            (None, _) => bare(t.run_timed_out, String::new()),
        })
    }
}

/// The line for people, or the bare cause where there is none.
fn explained(cause: Option<&str>, explanation: &str) -> String {
    if explanation.is_empty() { cause.unwrap_or_default().to_owned() } else { explanation.to_owned() }
}

/// The phases that happened, one after another; the whole run stands last and draws nothing.
fn segments(phases: &PhasesUsView, t: &Texts) -> Vec<Segment> {
    let PhasesUsView { dns, connect, tls, send, first_byte, transfer, total } = *phases;
    let parts = [
        (Phase::Dns, dns),
        (Phase::Connect, connect),
        (Phase::Tls, tls),
        (Phase::Send, send),
        (Phase::FirstByte, first_byte),
        (Phase::Transfer, transfer),
    ];
    let sum: u64 = parts.iter().filter_map(|(_, us)| *us).sum();
    let whole = total.unwrap_or(0).max(sum).max(1) as f64;
    let units = |us: u64| us as f64 * 1000.0 / whole;
    let mut at = 0_u64;
    let mut segments = Vec::new();
    for (phase, us) in parts.into_iter().chain([(Phase::Total, total)]) {
        let Some(us) = us else { continue };
        let (x, width) = if phase == Phase::Total { (0.0, 0.0) } else { (units(at), units(us)) };
        segments.push(Segment {
            name: phase.as_str(),
            label: (t.phase)(phase),
            time: (t.number)(figure::latency(us as f64 / 1e6)),
            x: format!("{x:.1}"),
            width: format!("{width:.1}"),
        });
        at += us;
    }
    segments
}

/// The facts; without what stands in the vitals beside them, where there are some.
fn facts(address: Option<&str>, facts: &FactsView, beside: bool, t: &Texts) -> Vec<FactRow> {
    let row = |label: &str, values: Vec<String>| FactRow { label: label.to_owned(), values };
    let mut rows: Vec<FactRow> = address.map(|address| row(t.address, vec![address.to_owned()])).into_iter().collect();
    for (key, label) in [
        ("status", t.fact_status),
        ("body_bytes", t.fact_body_bytes),
        ("certificate_expires", t.fact_certificate_expires),
    ] {
        if let Some(value) = facts.get(key) {
            rows.push(row(label, texts(None, value, t)));
        }
    }
    for key in FactKey::ALL.iter().filter(|key| !(beside && speaks_of_vitals(**key))) {
        if let Some(value) = facts.get(key.as_str()) {
            rows.push(row((t.fact)(*key), texts(Some(*key), value, t)));
        }
    }
    rows
}

/// Whether a fact is shown by the vitals of a page, better.
fn speaks_of_vitals(key: FactKey) -> bool {
    let others = [
        FactKey::LoadsCounted,
        FactKey::LoadsLowConfidence,
        FactKey::Requests,
        FactKey::TransferBytes,
        FactKey::FailedRequests,
        FactKey::JsErrors,
        FactKey::Dialogs,
        FactKey::Profile,
        FactKey::Browser,
        FactKey::LcpElement,
        FactKey::LcpUrl,
    ];
    others.contains(&key) || Vital::ALL.iter().any(|vital| vital.facts().contains(&key))
}

/// A fact's value for people; each of a list.
fn texts(key: Option<FactKey>, value: &Value, t: &Texts) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().flat_map(|one| texts(key, one, t)).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![match (key, number.as_i64()) {
            (
                Some(FactKey::RttMin | FactKey::RttAvg | FactKey::RttMax | FactKey::Jitter | FactKey::JobDuration),
                Some(us),
            ) => (t.number)(figure::latency(us as f64 / 1e6)),
            (Some(_) | None, _) => number.to_string(),
        }],
        Value::Null | Value::Bool(_) | Value::Object(_) => vec![value.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_holds_the_phases_in_their_order() {
        let phases =
            PhasesUsView { connect: Some(100), first_byte: Some(300), total: Some(1000), ..PhasesUsView::default() };
        let drawn = segments(&phases, Language::English.texts());
        let shape: Vec<(&str, &str, &str)> = drawn.iter().map(|one| (one.name, &*one.x, &*one.width)).collect();
        assert_eq!(shape, [("connect", "0.0", "100.0"), ("first_byte", "100.0", "300.0"), ("total", "0.0", "0.0")]);
        assert!(segments(&PhasesUsView::default(), Language::English.texts()).is_empty());
    }

    #[test]
    fn no_label_of_a_fact_or_phase_is_empty() {
        for language in Language::ALL {
            let t = language.texts();
            let mut labels: Vec<&str> = FactKey::ALL.iter().map(|key| (t.fact)(*key)).collect();
            labels.extend(Phase::ALL.iter().map(|phase| (t.phase)(*phase)));
            assert!(labels.iter().all(|label| !label.is_empty()));
        }
    }
}
