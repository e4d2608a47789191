//! Findings as everybody is shown them: those that stand from memory, all that are kept from the store.

use std::sync::Arc;

use sitepulse_daemon::instant;
use sitepulse_model::insight::{Kind, Severity, Subject};
use sitepulse_model::time::UtcMicros;

use crate::app::App;
use crate::insight::life::{Entry, State};
use crate::insight::{FindingId, Standing, StoredEntry};
use crate::present::Present;
use crate::present::dto::findings::{
    AcknowledgedView, FindingDetailView, FindingEntryView, FindingView, PlaceView, WordingView,
};
use crate::present::dto::impact::ReasonView;
use crate::present::http::escape;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::{EN, FR};
use crate::store::findings::{self as stored, Asked, Which};

/// A page of findings, the newest first, each with its place in the list; `after` is the place that the page before ended with.
///
/// # Errors
/// When the store cannot be read.
pub async fn page(
    present: &Present,
    asked: Asked,
    after: Option<(i64, String)>,
    now: UtcMicros,
) -> Answer<Vec<((i64, String), FindingView)>> {
    let after = after.map(|(opened, id)| (UtcMicros(opened), FindingId(id)));
    let found = present.app().read_store(move |tables| stored::page(tables, &asked, after.as_ref(), now)).await?;
    let view = |one: &Standing| ((one.life.opened_at.0, one.id.0.clone()), finding_view(one, now));
    Ok(found.iter().map(view).collect())
}

/// A finding with all that belongs to it.
///
/// # Errors
/// When there is none of that id, or the store cannot be read.
pub async fn one(app: &App, id: &str, now: UtcMicros) -> Answer<FindingDetailView> {
    let (standing, entries) = stored_one(app, id).await?;
    detail_view(&standing, &entries, now)
}

/// The same, as it is stored.
///
/// # Errors
/// When there is none of that id, or the store cannot be read.
pub async fn stored_one(app: &App, id: &str) -> Answer<(Standing, Vec<StoredEntry>)> {
    let asked = FindingId(id.to_owned());
    let found = app
        .read_store(move |tables| {
            let Some(standing) = stored::one(tables, &asked)? else { return Ok(None) };
            let entries = stored::entries(tables, &asked)?;
            Ok(Some((standing, entries)))
        })
        .await?;
    found.ok_or_else(|| Problem::not_found("finding", id))
}

/// Reads the words of a list's query: the state, the kind, the severity, the check.
///
/// # Errors
/// When one of them is none.
pub fn asked([state, kind, severity, check]: [Option<&str>; 4], limit: usize) -> Answer<Asked> {
    let bad = |what: String| Problem::new(Code::BadRequest, what);
    let which = match state {
        None | Some("standing") => Which::Standing,
        Some("open") => Which::Only(State::Open),
        Some("acknowledged") => Which::Only(State::Acknowledged),
        Some("closed") => Which::Only(State::Closed),
        Some("stale") => Which::Stale,
        Some("all") => Which::All,
        Some(other) => {
            let words = "standing, open, acknowledged, stale, closed or all";
            return Err(bad(format!("state={other:?}: use {words}")));
        }
    };
    let kind = kind.map(|kind| {
        let all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        Kind::parse(kind).ok_or_else(|| bad(format!("kind={kind:?}: use one of {}", all.join(", "))))
    });
    let severity = severity.map(|text| {
        let found = Severity::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| bad(format!("severity={text:?}: use info, warning or critical")))
    });
    let check = check.map(str::to_owned);
    Ok(Asked { which, kind: kind.transpose()?, severity: severity.transpose()?, check, limit })
}

fn at(at: Option<UtcMicros>) -> Option<String> {
    at.map(instant::format)
}

/// How sure a detector is, in whole percent: cut.
pub fn percent(standing: &Standing) -> String {
    (standing.found.confidence.0 / 10).to_string()
}

/// A finding as lists tell it.
pub fn finding_view(standing: &Standing, now: UtcMicros) -> FindingView {
    let Standing { found, life, checks, .. } = standing;
    let (check, part, agent, slo, shared) = match found.subject.clone() {
        Subject::Check { check, part } => (Some(check), part, None, None, None),
        Subject::Agent { agent } => (None, String::new(), Some(agent), None, None),
        Subject::Objective { slo } => (None, String::new(), None, Some(slo), None),
        Subject::Shared { what } => (None, String::new(), None, None, Some(what)),
    };
    let known = life.acknowledged.as_ref().filter(|_| life.state == State::Acknowledged);
    FindingView {
        id: standing.id.0.clone(),
        kind: found.kind.as_str().to_owned(),
        check,
        part,
        agent,
        slo,
        shared,
        checks: checks.iter().cloned().collect(),
        severity: life.severity.as_str().to_owned(),
        state: life.state.as_str().to_owned(),
        stale: life.stale(now),
        confidence: f64::from(found.confidence.0) / 1e3,
        since: instant::format(found.since),
        opened_at: instant::format(life.opened_at),
        seen_at: instant::format(life.seen_at),
        missing_since: at(life.missing_since),
        closed_at: at(life.closed_at),
        reopened: life.reopened,
        acknowledged: known.map(|known| AcknowledgedView {
            at: instant::format(known.at),
            by: known.by.clone(),
            note: known.note.clone(),
        }),
        sentence: ReasonView { en: (EN.findings.sentence)(found), fr: (FR.findings.sentence)(found) },
    }
}

fn detail_view(standing: &Standing, entries: &[StoredEntry], now: UtcMicros) -> Answer<FindingDetailView> {
    let broken = |_| Problem::new(Code::Internal, "the evidence could not be told");
    let wording = standing.wording.as_ref().map(|worded| WordingView {
        model: worded.model.clone(),
        language: worded.language.clone(),
        at: instant::format(worded.at),
        text: worded.text.clone(),
    });
    Ok(FindingDetailView {
        finding: finding_view(standing, now),
        evidence: serde_json::to_value(&standing.found.evidence).map_err(broken)?,
        history: entries.iter().map(entry_view).collect(),
        wording,
        links: links(standing),
    })
}

fn entry_view(stored: &StoredEntry) -> FindingEntryView {
    let (action, severity, note) = match &stored.entry {
        Entry::Opened { severity } => ("opened", Some(*severity), None),
        Entry::Reopened { severity, .. } => ("reopened", Some(*severity), None),
        Entry::Severity { to } => ("severity", Some(*to), None),
        Entry::Acknowledged { note } => ("acknowledged", None, Some(note.clone())),
        Entry::Outgrown => ("outgrown", None, None),
        Entry::TakenBack => ("taken_back", None, None),
        Entry::Closed => ("closed", None, None),
        Entry::Gone => ("gone", None, None),
    };
    FindingEntryView {
        number: stored.number,
        at: instant::format(stored.at),
        author: stored.author.clone(),
        action: action.to_owned(),
        severity: severity.map(|severity| severity.as_str().to_owned()),
        note,
    }
}

/// Where the console shows what a finding is made of.
pub fn links(standing: &Standing) -> Vec<PlaceView> {
    let link = |to: &str, href: String| PlaceView { to: to.to_owned(), href };
    let check = match &standing.found.subject {
        Subject::Check { check, .. } => Some(escape(check)),
        Subject::Agent { .. } | Subject::Objective { .. } | Subject::Shared { .. } => None,
    };
    let mut links = Vec::new();
    if let Some(check) = &check {
        links.push(link("check", format!("/checks/{check}")));
        match standing.found.kind {
            Kind::LatencyRegression | Kind::RegionSlow | Kind::VitalsRegression => {
                links.push(link("latency", format!("/checks/{check}?span=30d")));
            }
            Kind::Flapping => {
                links.push(link("explain", format!("/checks/{check}/explain")));
                links.push(link("incidents", format!("/incidents?state=all&check={check}")));
            }
            Kind::CannotFail | Kind::CoverageGap => links.push(link("definition", format!("/checks/{check}/edit"))),
            Kind::Expiry
            | Kind::CorrelatedFailures
            | Kind::BudgetForecast
            | Kind::SlowResolver
            | Kind::AgentDisagrees => {}
        }
    }
    match &standing.found.subject {
        Subject::Agent { agent } => links.push(link("agent", format!("/agents/{}", escape(agent)))),
        Subject::Objective { .. } => links.push(link("objective", "/slos".to_owned())),
        Subject::Shared { .. } => links.push(link("incidents", "/incidents?state=all".to_owned())),
        Subject::Check { .. } => {}
    }
    links
}

/// Those that are worst first, then the oldest.
pub fn by_weight(mut standing: Vec<Arc<Standing>>) -> Vec<Arc<Standing>> {
    standing.sort_by(|a, b| {
        let key = |one: &Standing| (std::cmp::Reverse(one.life.severity), one.life.opened_at, one.id.clone());
        key(a).cmp(&key(b))
    });
    standing
}
