//! The overview: how things stand in four figures, what to do first, and each group at a glance. Empty, it leads to the first check
//! and the first agent.
//!
//! What it costs does not grow with the number of checks that are well: groups are counted, and of what is wrong the worst is shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::impact::{Band, Score};
use sitepulse_model::insight::{Kind, Severity};
use sitepulse_model::sla::Together;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vote::Verdict;

use super::findings::class_of;
use super::frame::{Frame, Place};
use super::parts::{Chip, Chips, Sparkline, Stat, StatLine};
use super::row::{age, class, clock_text, scores_by_id};
use crate::app::Access;
use crate::impact::board::Scores;
use crate::insight::Standing;
use crate::insight::life::State as Stands;
use crate::present::dto::incidents::IncidentView;
use crate::present::dto::kpi::KpiView;
use crate::present::dto::slo::SloView;
use crate::present::dto::unknown::CausesView;
use crate::present::dto::{AgentView, CheckView, PairView};
use crate::present::findings::by_weight;
use crate::present::http::escape;
use crate::present::impact::{points, reason};
use crate::present::kpi::PAGE_WAIT_MS;
use crate::present::kpi::banner::{Banner, Tile};
use crate::present::kpi::period::Period;
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::text::cause::Failure;
use crate::present::view::Snapshot;
use crate::present::view::list::{Facets, Totals, WORST_FIRST, verdict};
use crate::present::{Present, figure, incidents};
use crate::store::incidents::{Asked as AskedIncidents, Which};

/// Things to do that are shown.
const TODO_MAX: usize = 12;
/// Of one kind: incidents may be many, and the rest is to be seen too.
const TODO_OF_KIND_MAX: usize = 6;
/// Groups that are shown, the worst first.
const GROUPS_MAX: usize = 24;
/// An error budget with less left than this is nearly spent.
const BUDGET_LOW: f64 = 0.25;
/// An agent that is silent for longer is told of, in seconds: a restart is none of anybody's business.
const SILENT_SECONDS: f64 = 60.0;

/// What the overview is asked.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    period: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Content<'a> {
    t: &'a Texts,
    overall: Overall,
    periods: Chips,
    stats: Vec<Stat>,
    todo: Vec<Todo>,
    more: String,
    groups: Vec<Group>,
    more_groups: String,
    as_of: String,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome<'a> {
    t: &'a Texts,
    has_checks: bool,
    has_agents: bool,
    may_edit: bool,
    may_admin: bool,
    all: String,
}

/// How all of it stands, in a sentence.
pub(super) struct Overall {
    pub(super) class: &'static str,
    pub(super) headline: String,
    others: Vec<(String, String)>,
    agents: String,
}

/// Something that needs somebody.
struct Todo {
    class: &'static str,
    kind: &'static str,
    what: String,
    href: String,
    why: String,
}

struct Group {
    name: String,
    href: String,
    class: &'static str,
    availability: String,
    /// What it is made of; empty where that is nowhere.
    terms: String,
    measured: bool,
    completeness: String,
    bounds: String,
    unknown: String,
    counts: Vec<(&'static str, String, String)>,
    spark: Sparkline,
}

/// `GET /`
pub async fn page(State(present): State<Present>, frame: Frame, Query(asked): Query<Asked>) -> Answer<Response> {
    let (snapshot, t) = (present.snapshot().await?, frame.t);
    let topics = Some("check agent incident finding figures");
    let agents = snapshot.agents.iter().any(|agent| agent.revoked.is_none() && !agent.internal);
    // Heartbeats need no agent, so a collector of theirs alone is no empty one.
    let watched = snapshot.checks.iter().any(|check| !check.agents.is_empty());
    if snapshot.checks.is_empty() || (!agents && !watched) {
        let checks = snapshot.checks.len();
        let welcome = Welcome {
            t,
            has_checks: checks > 0,
            has_agents: agents,
            may_edit: frame.may(Access::Edit),
            may_admin: frame.may(Access::Admin),
            all: (t.home.checks_in)(checks),
        };
        return frame.page(Place::Home, t.home.welcome, topics, &welcome);
    }
    let period = Period::parse(&asked.period).unwrap_or_default();
    let kpi = present.kpi_within(period, None, Duration::from_millis(PAGE_WAIT_MS)).await?;
    let slos = present.slos().await?;
    let open = open_incidents(&present).await?;
    let scores = present.scores().await?;
    let findings = by_weight(present.app().shared().findings.standing());
    let todo = todo(&snapshot, &scores, &open, &kpi, &slos, &findings, t);
    let (groups, more) = groups(&snapshot, t);
    let content = Content {
        t,
        overall: Overall::of(&snapshot, t),
        periods: periods(period, t),
        stats: Banner::of(&kpi, t).tiles.into_iter().map(|tile| stat(tile, period)).collect(),
        more: if todo.len() > TODO_MAX { (t.home.more_to_do)(todo.len() - TODO_MAX) } else { String::new() },
        todo: todo.into_iter().take(TODO_MAX).collect(),
        groups,
        more_groups: if more > 0 { (t.home.more_groups)(more) } else { String::new() },
        as_of: clock_text(UtcMicros(snapshot.now.0 - snapshot.now.0.rem_euclid(1_000_000))),
    };
    frame.unfinished(kpi.sla.pending).page(Place::Home, &content.overall.headline, topics, &content)
}

async fn open_incidents(present: &Present) -> Answer<Vec<IncidentView>> {
    let now = clock::now();
    let period = incidents::period(None, None, now);
    // The store gives the newest first, and the worst may be the oldest: all are ranked.
    let limit = incidents::LIST_MAX;
    let (check, agent, kind, severity) = (None, None, None, None);
    let asked = AskedIncidents { period, which: Which::Open, check, agent, kind, severity, limit };
    let mut open = incidents::list(present, asked, now).await?;
    open.retain(|one| one.state == "open" || one.state == "acknowledged");
    present.rank(&mut open, now).await?;
    // What somebody has taken waits behind what nobody has; else in the queue's order.
    let place = |one: &IncidentView| one.rank.as_ref().map_or(usize::MAX, |rank| rank.position);
    open.sort_by_key(|one| (severity_rank(&one.severity), one.acknowledged_at.is_some(), place(one)));
    Ok(open)
}

fn severity_rank(severity: &str) -> usize {
    ["critical", "major", "minor", "info"].iter().position(|one| *one == severity).unwrap_or(4)
}

fn periods(current: Period, t: &Texts) -> Chips {
    let chip = |period: Period| Chip {
        label: (t.kpi.period)(period.as_str()).to_owned(),
        href: format!("/?period={}", period.as_str()),
        current: period == current,
        ..Chip::default()
    };
    Chips { label: t.home.period.to_owned(), chips: Period::ALL.map(chip).into(), tabs: false }
}

fn stat(tile: Tile, period: Period) -> Stat {
    let line = |line: crate::present::kpi::banner::Line| StatLine {
        text: line.text,
        value: line.value,
        href: line.href.unwrap_or_default(),
    };
    let href = match tile.id {
        "sla" => format!("/terms/sla?period={}", period.as_str()),
        "debt" => "/terms/debt".to_owned(),
        _ => tile.href,
    };
    Stat {
        title: tile.title.to_owned(),
        measured: tile.value.chars().next().is_some_and(|first| first.is_ascii_digit()),
        value: tile.value,
        tone: tile.tone.class(),
        note: tile.note,
        change: tile.change.map(|(tone, text)| (tone.class(), text)).unwrap_or_default(),
        href,
        lines: tile.lines.into_iter().map(line).collect(),
    }
}

impl Overall {
    pub(super) fn of(snapshot: &Snapshot, t: &Texts) -> Self {
        let totals = snapshot.facets().totals;
        let mut found: Vec<(&'static str, String, String)> = Vec::new();
        for (state, words) in [
            (Verdict::Down, t.some_down),
            (Verdict::Regional, t.some_regional),
            (Verdict::Degraded, t.some_degraded),
            (Verdict::Unknown, t.some_unknown),
            // Nothing is wrong with those, but nobody can tell that they are up either.
            (Verdict::Maintenance, t.some_maintenance),
        ] {
            if totals.of(state) > 0 {
                let href = format!("/checks?state={}", state.as_str());
                found.push((class(state.as_str()), words(totals.of(state)), href));
            }
        }
        let (class, headline) = match found.first() {
            _ if totals.checks() == 0 => ("unknown", t.no_checks.to_owned()),
            Some((class, words, _)) => (*class, words.clone()),
            None => ("up", t.all_up.to_owned()),
        };
        let counted = |agent: &&AgentView| agent.revoked.is_none() && !agent.internal;
        let living: Vec<&AgentView> = snapshot.agents.iter().filter(counted).collect();
        let connected = living.iter().filter(|agent| agent.connected).count();
        Self {
            class,
            headline,
            others: found.into_iter().skip(1).map(|(_, words, href)| (words, href)).collect(),
            agents: (t.agents_connected)(connected, living.len()),
        }
    }
}

/// All that needs somebody, the worst first.
fn todo(
    snapshot: &Snapshot,
    scores: &Scores,
    open: &[IncidentView],
    kpi: &KpiView,
    slos: &[SloView],
    findings: &[Arc<Standing>],
    t: &Texts,
) -> Vec<Todo> {
    let mut all = Vec::new();
    all.extend(open.iter().take(TODO_OF_KIND_MAX).map(|one| of_incident(one, t)));
    let told: BTreeSet<&str> = open.iter().filter_map(|one| one.check.as_deref()).collect();
    let scores = scores_by_id(scores);
    let score = |check: &CheckView| scores.get(check.id.as_str())?.score.as_ref();
    let mut bad: Vec<&CheckView> = snapshot
        .checks
        .iter()
        .map(|check| &**check)
        .filter(|check| {
            let calm = matches!(verdict(check), Verdict::Up | Verdict::Maintenance);
            !calm || score(check).is_some_and(|score| score.band != Band::Ok)
        })
        .filter(|check| check.suspended.is_none() && !told.contains(check.id.as_str()))
        .collect();
    let rank = |check: &CheckView| WORST_FIRST.iter().position(|one| *one == verdict(check));
    let weighs = |check: &CheckView| score(check).map(|score| score.points);
    bad.sort_by(|a, b| {
        let by_score = weighs(b).cmp(&weighs(a)).then(rank(a).cmp(&rank(b)));
        by_score.then(b.weight.total_cmp(&a.weight)).then(a.id.cmp(&b.id))
    });
    all.extend(bad.into_iter().take(TODO_OF_KIND_MAX).map(|check| of_check(check, score(check), snapshot.now, t)));
    let silent: BTreeSet<&str> = open.iter().filter_map(|one| one.agent.as_deref()).collect();
    let quiet = snapshot.agents.iter().filter(|agent| {
        let counts = agent.revoked.is_none() && !agent.internal && !agent.connected && agent.suspended.is_none();
        counts && !silent.contains(agent.name.as_str())
    });
    all.extend(quiet.filter_map(|agent| of_agent(agent, snapshot.now, t)).take(TODO_OF_KIND_MAX));
    all.extend(slos.iter().filter_map(|slo| of_slo(slo, t)).take(TODO_OF_KIND_MAX));
    all.extend(findings.iter().filter_map(|one| of_finding(one, t)).take(TODO_OF_KIND_MAX));
    let expiring = kpi.debt.terms.iter().filter(|term| term.term == "expiring").flat_map(|term| &term.named);
    all.extend(expiring.filter_map(|id| expiry(snapshot, id, t)).take(TODO_OF_KIND_MAX));
    all
}

fn of_incident(one: &IncidentView, t: &Texts) -> Todo {
    let about = one.title.as_ref().or(one.check.as_ref()).or(one.agent.as_ref()).or(one.slo.as_ref());
    let state = one.acknowledged_by.as_ref().map(|by| format!(" · {by}")).unwrap_or_default();
    let (kind, severity) = ((t.incidents.kind)(&one.kind), (t.incidents.severity)(&one.severity));
    Todo {
        class: match one.severity.as_str() {
            "critical" => "down",
            "major" => "regional",
            "minor" => "degraded",
            _ => "unknown",
        },
        kind: t.home.kind_incident,
        what: about.cloned().unwrap_or_else(|| one.id.clone()),
        href: format!("/incidents/{}", escape(&one.id)),
        why: format!("{severity} · {kind} · {}{state}", (t.since)(&figure::coarse(one.duration_seconds, t.slo.day))),
    }
}

fn of_check(check: &CheckView, score: Option<&Score>, now: UtcMicros, t: &Texts) -> Todo {
    let since = check.since.as_deref().map(|at| (t.since)(&figure::coarse(age(at, now), t.slo.day)));
    let mut why = (t.home.check_is)(t.state(&check.verdict), &since.unwrap_or_default());
    // A run that could not tell says why better than "agent offline", which is how it counts.
    let told = |pair: &&Arc<PairView>| {
        !pair.detail.is_empty()
            && match &*pair.state {
                "down" | "degraded" => true,
                "unknown" => check.verdict == "unknown" && pair.cause.is_some(),
                _ => false,
            }
    };
    let said = check.agents.iter().find(told);
    if let Some(cause) = check.unknown_cause.as_ref().filter(|_| said.is_none()) {
        why = format!("{why} · {}", t.unknown_cause(cause));
    }
    if let Some(pair) = said {
        let (cause, phase) = (pair.cause.as_deref(), pair.failed_phase.as_deref());
        let said = t.why(Failure { cause, phase, status: pair.status, line: &pair.detail });
        why = format!("{why} · {}", said.sentence);
    }
    if let Some(score) = score.filter(|score| score.band != Band::Ok) {
        let impact = format!("{} {}", t.impact.title, points(score.points, t));
        why = format!("{impact} · {why} · {}", reason(Some(score), t));
    }
    Todo {
        class: class(&check.verdict),
        kind: t.home.kind_check,
        what: check.id.clone(),
        href: format!("/checks/{}", check.id),
        why,
    }
}

/// What detectors found, where it is to be mended and told by nothing else here: expiries and budgets are.
fn of_finding(one: &Standing, t: &Texts) -> Option<Todo> {
    let told = [Kind::Expiry, Kind::BudgetForecast].contains(&one.found.kind);
    let wanted = one.life.state == Stands::Open && one.life.severity >= Severity::Warning && !told;
    wanted.then(|| Todo {
        class: class_of(one.life.severity),
        kind: t.findings.finding,
        what: (t.findings.sentence)(&one.found),
        href: format!("/findings/{}", escape(&one.id.0)),
        why: (t.findings.kind)(one.found.kind).to_owned(),
    })
}

fn of_agent(agent: &AgentView, now: UtcMicros, t: &Texts) -> Option<Todo> {
    let why = match &agent.last_seen {
        Some(at) => {
            let silent = age(at, now);
            if silent < SILENT_SECONDS {
                return None;
            }
            (t.home.silent)(&figure::coarse(silent, t.slo.day))
        }
        None => t.home.never_heard.to_owned(),
    };
    let (what, class, kind) = (format!("{} · {}", agent.name, agent.region), "degraded", t.home.kind_agent);
    Some(Todo { class, kind, what, href: "/agents".into(), why })
}

fn of_slo(slo: &SloView, t: &Texts) -> Option<Todo> {
    let left = slo.outcome.as_ref().and_then(|outcome| outcome.budget.left_ratio)?;
    if left >= BUDGET_LOW && !["burning_fast", "exhausted"].contains(&slo.state.as_str()) {
        return None;
    }
    let share = (t.number)(figure::percent_down(left, 0));
    Some(Todo {
        class: if left <= 0.0 { "down" } else { "degraded" },
        kind: t.home.kind_budget,
        what: slo.id.clone(),
        href: "/slos".into(),
        why: if left <= 0.0 { t.home.budget_spent.to_owned() } else { (t.home.budget)(&share) },
    })
}

/// A certificate or a domain of a check that expires soon.
fn expiry(snapshot: &Snapshot, id: &str, t: &Texts) -> Option<Todo> {
    let check = snapshot.check(id)?.check;
    let soonest = |name: &str| {
        let facts = check.agents.iter().filter_map(|pair| pair.facts.get(name)?.as_str());
        facts.min().map(|at| -age(at, snapshot.now))
    };
    let (class, why) = match soonest("certificate_expires") {
        Some(left) if left <= 0.0 => ("down", t.home.certificate_over.to_owned()),
        Some(left) => ("degraded", (t.home.certificate)(&figure::coarse(left, t.slo.day))),
        None => {
            let seconds = check.agents.iter().filter_map(|pair| pair.facts.get("domain_expires")?.as_i64()).min()?;
            let left = seconds as f64 - snapshot.now.0 as f64 / 1e6;
            ("degraded", (t.home.domain)(&figure::coarse(left, t.slo.day)))
        }
    };
    let (what, href) = (check.id.clone(), format!("/checks/{}", check.id));
    Some(Todo { class, kind: t.home.kind_certificate, what, href, why })
}

/// The groups, the worst first, and how many are not shown.
fn groups(snapshot: &Snapshot, t: &Texts) -> (Vec<Group>, usize) {
    let facets: &Facets = snapshot.facets();
    let mut found: Vec<(Option<&str>, &Totals)> =
        facets.groups.iter().map(|(name, totals)| (Some(name.as_str()), totals)).collect();
    if facets.ungrouped.checks() > 0 {
        found.push((None, &facets.ungrouped));
    }
    let rank = |totals: &Totals| totals.worst().and_then(|worst| WORST_FIRST.iter().position(|one| *one == worst));
    found.sort_by_key(|(name, totals)| (rank(totals), name.is_none(), *name));
    let more = found.len().saturating_sub(GROUPS_MAX);
    found.truncate(GROUPS_MAX);
    let alone = facets.groups.is_empty();
    (found.into_iter().map(|(name, totals)| Group::of(snapshot, name, totals, alone, t)).collect(), more)
}

impl Group {
    fn of(snapshot: &Snapshot, name: Option<&str>, totals: &Totals, alone: bool, t: &Texts) -> Self {
        let named = |name: &str| snapshot.groups.iter().find(|(one, _)| one == name).map(|(_, together)| together);
        let together: Option<&Together> = match name {
            Some(name) => named(name),
            None if alone => Some(&snapshot.global),
            None => None,
        };
        let availability = together.and_then(|together| together.availability);
        let hours = snapshot.courses().get(&name.map(str::to_owned)).copied().unwrap_or_default();
        // A line at the top where all was up, so that what is low stands out.
        let low = hours.iter().flatten().fold(0.95_f64, |low, one| low.min(*one));
        let shown = figure::availability(availability, t);
        let count = |verdict: Verdict| {
            let (state, count) = (verdict.as_str(), totals.of(verdict));
            (count > 0).then(|| (class(state), figure::count(count as u64), t.state(state).to_owned()))
        };
        Self {
            name: match name {
                Some(name) => name.to_owned(),
                None if alone => t.home.all_checks.to_owned(),
                None => t.home.ungrouped.to_owned(),
            },
            href: match name {
                Some(name) => format!("/checks?group={}", escape(name)),
                None if alone => "/checks".to_owned(),
                None => "/checks?group=-".to_owned(),
            },
            class: totals.worst().map_or("unknown", |worst| class(worst.as_str())),
            spark: Sparkline::of(&hours, low, 1.0, (t.home.trend)(&shown)),
            availability: if together.is_some() { shown } else { String::new() },
            terms: match name {
                Some(name) => format!("/terms/group?group={}", escape(name)),
                None if alone => "/terms/sla".to_owned(),
                None => String::new(),
            },
            measured: availability.is_some(),
            completeness: together.map_or_else(String::new, |one| figure::completeness(one.completeness, t)),
            bounds: together.map_or_else(String::new, |one| figure::bounds(one.lower, one.upper, t)),
            unknown: {
                let causes = together.and_then(|one| one.unknown.as_ref()).map(CausesView::shares);
                figure::unknown(causes.as_ref(), t)
            },
            counts: WORST_FIRST.into_iter().filter_map(count).collect(),
        }
    }
}
