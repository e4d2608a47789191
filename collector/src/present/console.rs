//! The console: one file a page, [`frame`] around each. Live pages hear of changes by server-sent events ([`crate::present::live`]) and fetch what changed.
//!
//! It works without scripts (then it shows the state at loading). Everything is escaped by the templates; the pages load nothing
//! from elsewhere.

mod backtest;
mod check;
mod explain;
pub mod frame;
mod incidents;
mod latency;
mod ledger;
mod policy;
mod settings;
mod sign_in;
mod slo;
mod vitals;

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sitepulse_daemon::instant;
use sitepulse_model::sla::Together;
use sitepulse_model::time::{Span, UtcMicros};

pub use backtest::backtest_page;
pub use check::{check_page, run_page};
pub use explain::explain_page;
pub use frame::appearance;
pub(super) use frame::language;
use frame::{Frame, Place};
pub use incidents::{act as act_on_incident, incident_page, incidents_page};
pub use ledger::agents_page;
pub use settings::{act_on_user, audit_page, change_password, end_session, make_token, revoke_token, settings_page};
pub use sign_in::{accept_invitation, invited, refused, sign_in, sign_in_by_password, sign_out};
pub use slo::slos_page;

use crate::present::Present;
use crate::present::dto::{AgentView, CheckView, PairView, SuspensionView};
use crate::present::figure;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::{Language, Texts};
use crate::present::view::{Snapshot, Strip};

const CSS: &str = concat!(
    include_str!("../../templates/css/tokens.css"),
    include_str!("../../templates/css/frame.css"),
    include_str!("../../templates/css/pages.css"),
    include_str!("../../templates/css/settings.css"),
);
const JS: &str = include_str!("../../templates/js/live.js");
const ICON: &str = include_str!("../../templates/icon.svg");

/// What a page may be asked.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    span: Option<String>,
    policy: Option<String>,
}

/// The live part of the page.
#[derive(Template)]
#[template(path = "main.html")]
struct Main<'a> {
    t: &'a Texts,
    lang: Language,
    overall: Overall,
    checks: Vec<CheckRow>,
    agents: Vec<AgentRow>,
    as_of: String,
}

struct Overall {
    class: &'static str,
    headline: String,
    others: Vec<String>,
    availability: String,
    measured: bool,
    completeness: String,
    bounds: String,
    agents: String,
    groups: Vec<GroupRow>,
}

struct GroupRow {
    name: String,
    availability: String,
    measured: bool,
    completeness: String,
    bounds: String,
}

struct CheckRow {
    id: String,
    kind: String,
    url: String,
    note: String,
    class: &'static str,
    verdict: &'static str,
    verdict_note: String,
    suspension: String,
    regions: Vec<Chip>,
    availability: String,
    measured: bool,
    completeness: String,
    bounds: String,
    /// That late data changed the figure; empty where none did.
    amended: String,
    strip: Vec<Bar>,
}

/// What one agent sees, small.
struct Chip {
    class: &'static str,
    region: String,
    latency: String,
    title: String,
}

/// A stretch of the ribbon, in units of 1440 to the period.
struct Bar {
    class: &'static str,
    x: String,
    width: String,
}

struct AgentRow {
    name: String,
    region: String,
    class: &'static str,
    connection: &'static str,
    last_seen: String,
    weight: String,
    suspension: String,
    spool: String,
    spool_class: &'static str,
    offset: String,
    offset_flagged: bool,
    build: String,
}

/// `GET /`
pub async fn page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    let snapshot = present.snapshot().await?;
    let main = Main::of(&snapshot, frame.lang);
    frame.page(Place::Home, &main.overall.headline, Some("check agent incident figures"), &main)
}

/// `GET /assets/console.css`
pub async fn css() -> Response {
    asset("text/css; charset=utf-8", CSS)
}

/// `GET /assets/console.js`
pub async fn js() -> Response {
    asset("text/javascript; charset=utf-8", JS)
}

/// `GET /assets/icon.svg`
pub async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=300")], text).into_response()
}

pub(super) fn html(status: StatusCode, lang: Language, page: &impl Template) -> Answer<Response> {
    let text = page.render().map_err(|_| broken_template())?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, lang.tag()),
        (header::VARY, "Accept-Language, Cookie"),
    ];
    Ok((status, headers, text).into_response())
}

fn broken_template() -> Problem {
    Problem::new(Code::Internal, "the page could not be rendered")
}

impl<'a> Main<'a> {
    fn of(snapshot: &Snapshot, lang: Language) -> Self {
        let t = lang.texts();
        let rows = snapshot.checks.iter().zip(&snapshot.strips);
        Self {
            t,
            lang,
            overall: Overall::of(snapshot, t),
            checks: rows.map(|(check, strip)| CheckRow::of(check, strip, snapshot.now, t)).collect(),
            agents: snapshot
                .agents
                .iter()
                .map(|agent| AgentRow::of(agent, &snapshot.checks, snapshot.now, t))
                .collect(),
            as_of: clock_text(UtcMicros(snapshot.now.0 - snapshot.now.0.rem_euclid(1_000_000))),
        }
    }
}

/// `2026-11-22 10:00:00 UTC`
fn clock_text(at: UtcMicros) -> String {
    instant::format(at).replace('T', " ").replace('Z', " UTC")
}

fn class(state: &str) -> &'static str {
    match state {
        "up" => "up",
        "degraded" => "degraded",
        "regional" => "regional",
        "down" => "down",
        "maintenance" => "maintenance",
        _ => "unknown",
    }
}

impl Overall {
    fn of(snapshot: &Snapshot, t: &Texts) -> Self {
        let count = |verdict: &str| snapshot.checks.iter().filter(|check| check.verdict == verdict).count();
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for (class, n, words) in [
            ("down", count("down"), t.some_down),
            ("regional", count("regional"), t.some_regional),
            ("degraded", count("degraded"), t.some_degraded),
            ("unknown", count("unknown"), t.some_unknown),
            // Nothing is wrong with those, but nobody can tell that they are up either.
            ("maintenance", count("maintenance"), t.some_maintenance),
        ] {
            if n > 0 {
                found.push((class, words(n)));
            }
        }
        let (class, headline) = match found.first().cloned() {
            _ if snapshot.checks.is_empty() => ("unknown", t.no_checks.to_string()),
            Some(worst) => worst,
            None => ("up", t.all_up.to_string()),
        };
        let counted = |agent: &&AgentView| agent.revoked.is_none() && !agent.internal;
        let living: Vec<&AgentView> = snapshot.agents.iter().filter(counted).collect();
        let connected = living.iter().filter(|agent| agent.connected).count();
        let global = &snapshot.global;
        Self {
            class,
            headline,
            others: found.into_iter().skip(1).map(|(_, words)| words).collect(),
            availability: figure::availability(global.availability, t),
            measured: global.availability.is_some(),
            completeness: figure::completeness(global.completeness, t),
            bounds: figure::bounds(global.lower, global.upper, t),
            agents: (t.agents_connected)(connected, living.len()),
            groups: snapshot.groups.iter().map(|(name, together)| GroupRow::of(name, together, t)).collect(),
        }
    }
}

impl GroupRow {
    fn of(name: &str, together: &Together, t: &Texts) -> Self {
        Self {
            name: name.to_owned(),
            availability: figure::availability(together.availability, t),
            measured: together.availability.is_some(),
            completeness: figure::completeness(together.completeness, t),
            bounds: figure::bounds(together.lower, together.upper, t),
        }
    }
}

impl CheckRow {
    fn of(check: &CheckView, strip: &Strip, now: UtcMicros, t: &Texts) -> Self {
        let mut note = (t.every)(&figure::coarse(check.interval_seconds, t.slo.day));
        if (check.weight - 1.0).abs() > f64::EPSILON {
            note.push_str(&format!(" · {} {}", t.weight.to_lowercase(), (t.number)(check.weight.to_string())));
        }
        for label in check.group.iter().cloned().chain(check.tags.iter().map(|tag| format!("#{tag}"))) {
            note.push_str(&format!(" · {label}"));
        }
        let mut verdict_note = check
            .since
            .as_deref()
            .map(|since| (t.since)(&figure::coarse(age(since, now), t.slo.day)))
            .unwrap_or_default();
        if let Some(cause) = &check.unknown_cause {
            verdict_note = format!("{} · {verdict_note}", t.unknown_cause(cause));
        }
        if check.quorum_reduced {
            verdict_note = format!("{verdict_note} · {}", t.quorum_reduced);
        }
        Self {
            id: check.id.clone(),
            kind: check.kind.clone(),
            url: check.target.clone(),
            note,
            class: class(&check.verdict),
            verdict: t.state(&check.verdict),
            verdict_note,
            suspension: suspension(check.suspended.as_ref(), t),
            regions: check.agents.iter().map(|pair| Chip::of(pair, pair.place(&check.agents), t)).collect(),
            availability: figure::availability(check.sla.availability, t),
            measured: check.sla.availability.is_some(),
            completeness: figure::completeness(check.sla.completeness, t),
            bounds: figure::bounds(check.sla.lower, check.sla.upper, t),
            amended: check.sla.amended.as_ref().map(|one| (t.ledger.amended)(one.count)).unwrap_or_default(),
            strip: bars(strip),
        }
    }
}

impl Chip {
    fn of(pair: &PairView, region: String, t: &Texts) -> Self {
        let mut title = format!("{} · {}", pair.agent, t.state(&pair.state));
        for more in [
            pair.unknown_cause.as_deref().map(|cause| t.unknown_cause(cause)),
            pair.cause.as_deref(),
            Some(pair.detail.as_str()),
        ] {
            if let Some(more) = more.filter(|more| !more.is_empty()) {
                title.push_str(" · ");
                title.push_str(more);
            }
        }
        if pair.suspended.is_some() {
            title.push_str(" · ");
            title.push_str(&suspension(pair.suspended.as_ref(), t));
        }
        let latency = match (pair.suspended.is_some(), pair.state.as_str(), pair.latency_seconds) {
            (true, _, _) => t.suspended.to_string(),
            (false, "up" | "degraded", Some(seconds)) => (t.number)(figure::latency(seconds)),
            (false, "unknown", _) => {
                pair.unknown_cause.as_deref().map_or(t.unknown, |cause| t.unknown_cause(cause)).to_string()
            }
            (false, state, _) => t.state(state).to_string(),
        };
        Self { class: class(&pair.state), region, latency, title }
    }
}

/// The ribbon: the period's verdicts over 1440 units, each at least two wide so that no outage is too short to see.
fn bars(strip: &Strip) -> Vec<Bar> {
    let units = |us: i64| us as f64 * 1440.0 / strip.period.us().max(1) as f64;
    strip
        .spans
        .iter()
        .map(|one| {
            let shown: Span = one.span.clip(strip.period);
            Bar {
                class: class(one.verdict.as_str()),
                x: format!("{:.2}", units(shown.from.us_since(strip.period.from)).clamp(0.0, 1438.0)),
                width: format!("{:.2}", units(shown.us()).max(2.0)),
            }
        })
        .collect()
}

impl AgentRow {
    fn of(agent: &AgentView, checks: &[CheckView], now: UtcMicros, t: &Texts) -> Self {
        let (class, connection) = if agent.revoked.is_some() {
            ("maintenance", t.revoked)
        } else if agent.internal && agent.connected {
            ("up", t.built_in)
        } else if agent.connected {
            ("up", t.connected)
        } else {
            ("unknown", t.not_connected)
        };
        let last_seen = match (&agent.last_seen, agent.connected) {
            (_, true) => t.now.to_string(),
            (Some(at), false) => (t.ago)(&figure::coarse(age(at, now), t.slo.day)),
            (None, false) => t.never.to_string(),
        };
        let waiting = agent.spool_records.unwrap_or(0);
        Self {
            name: agent.name.clone(),
            region: agent.region.clone(),
            class,
            connection,
            last_seen,
            weight: (t.number)(agent.weight.to_string()),
            suspension: agent_suspension(agent, checks, t),
            spool: agent
                .spool_records
                .map_or_else(|| "–".to_string(), |records| (t.spool_records)(&figure::count(records))),
            spool_class: if waiting > 1000 { "warn" } else { "" },
            offset: agent
                .clock_offset_seconds
                .map_or_else(|| "–".to_string(), |seconds| (t.number)(figure::offset(seconds))),
            offset_flagged: agent.clock_flagged,
            build: agent.build.clone().unwrap_or_default(),
        }
    }
}

/// The agent's own suspension; else those of single checks on it.
fn agent_suspension(agent: &AgentView, checks: &[CheckView], t: &Texts) -> String {
    if agent.suspended.is_some() {
        return suspension(agent.suspended.as_ref(), t);
    }
    let single = checks.iter().filter(|check| check.suspended.is_none()).filter_map(|check| {
        let pair = check.agents.iter().find(|pair| pair.agent == agent.name)?;
        pair.suspended.as_ref().map(|one| format!("{}: {}", check.id, suspension(Some(one), t)))
    });
    single.collect::<Vec<_>>().join("; ")
}

/// `suspended until ... · reason · by author`; empty without one.
fn suspension(suspension: Option<&SuspensionView>, t: &Texts) -> String {
    suspension.map_or_else(String::new, |one| {
        let until = one.until.as_deref().map_or_else(
            || t.suspended_open.to_string(),
            |until| {
                let whole = until.split(['.', 'Z']).next().unwrap_or_default();
                (t.suspended_until)(&format!("{} UTC", whole.replace('T', " ")))
            },
        );
        format!("{} {until} · {} · {} {}", t.suspended, one.reason, t.by, one.author)
    })
}

/// Seconds from an instant of ours to now.
fn age(at: &str, now: UtcMicros) -> f64 {
    instant::parse(at, now).map_or(0.0, |at| now.us_since(at) as f64 / 1e6)
}

#[cfg(test)]
mod tests;
