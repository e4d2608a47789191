//! One check's page: its verdict and how it fared ([`course`]), its promises, figures and incidents, what each agent found last, phase by
//! phase, and what it is and how it came to be so ([`life`]).

pub(super) mod course;
mod life;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use sitepulse_model::record::Phase;
use sitepulse_model::time::UtcMicros;

use self::course::Course;
use self::life::Life;
use super::acts::{self, Doer};
use super::facts::{self, FactRow};
use super::frame::{Frame, Place};
use super::impact;
use super::parts::{BudgetBar, Chart, Chip, Chips, Heatmap, Ribbon, Sparkline, Stat};
use super::row::{CheckRow, suspension};
use super::{PageQuery, age, broken_template, class, findings, latency, ledger, policy, slo, vitals};
use crate::app::Access;
use crate::present::api::latency::figures_of;
use crate::present::dto::incidents::IncidentView;
use crate::present::dto::slo::SloView;
use crate::present::dto::{AgentRunView, ControlBody, PairView, PhasesUsView, RunView, SlaView};
use crate::present::impact::{Badge, PartRow, part_rows};
use crate::present::problem::{Answer, Problem};
use crate::present::text::cause::{Failure, Why, status_of};
use crate::present::text::{Language, Texts};
use crate::present::windows::WindowView;
use crate::present::{Present, api, figure, incidents, windows};
use crate::store::incidents::{Asked as AskedIncidents, Which};
use crate::vitals::figures::Ask;

/// Most maintenance windows that are shown ahead.
const WINDOWS_SHOWN: usize = 5;
/// Incidents that are looked at, and how many of them are shown: the newest.
const INCIDENTS_MAX: usize = 100;
const INCIDENTS_SHOWN: usize = 8;

/// The content of the page.
#[derive(Template)]
#[template(path = "check.html")]
struct Content<'a> {
    t: &'a Texts,
    row: CheckRow,
    /// Whether it may be changed by who looks.
    may_respond: bool,
    may_edit: bool,
    may_run: bool,
    /// The agents that are suspended for it, each with the words for it.
    suspended_on: Vec<(String, String)>,
    heartbeat: bool,
    spans: Chips,
    ribbon: Ribbon,
    stats: Vec<Stat>,
    budget: Option<BudgetBar>,
    agents: Vec<course::Lane>,
    /// Agent, region, and the weight of its vote here.
    weights: Vec<(String, String, String)>,
    chart: Option<Chart>,
    heatmap: Option<Heatmap>,
    incidents: Vec<IncidentRow>,
    /// What detectors found.
    findings: Vec<findings::Card>,
    impact: Badge,
    /// What it was, and in words.
    impact_course: Sparkline,
    impact_told: String,
    /// As each region sees it.
    impact_regions: Vec<(String, Badge)>,
    /// What the impact score is made of.
    parts: Vec<PartRow>,
    life: Life,
    /// The promises that cover it, rendered.
    slos: String,
    /// Figures over a span, rendered: vitals of a page, latencies of what is none.
    figures: String,
    amendments: String,
    policy: String,
    /// Why nothing is known of some of the time; empty where all is known.
    unknown: String,
    runs: Option<Vec<String>>,
    results: Vec<String>,
    windows: Vec<WindowRow>,
}

/// An incident of the check.
struct IncidentRow {
    id: String,
    class: &'static str,
    state: String,
    what: String,
    since: String,
    length: String,
}

impl IncidentRow {
    fn of(one: &IncidentView, t: &Texts) -> Self {
        Self {
            id: one.id.clone(),
            class: match one.state.as_str() {
                "resolved" => "up",
                "acknowledged" => "maintenance",
                "open" => "down",
                _ => "unknown",
            },
            state: (t.incidents.state)(&one.state),
            what: format!("{} · {}", (t.incidents.kind)(&one.kind), (t.incidents.severity)(&one.severity)),
            since: minute(&one.since),
            length: figure::length(one.duration_seconds, t.slo.day),
        }
    }
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
    /// Why it failed, for people.
    why: Why,
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

/// `GET /checks/{id}`
pub async fn check_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer<Response> {
    respond(&present, &frame, &id, &query, None).await
}

/// What the form of an agent's weight on a check says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct PairWeight {
    weight: String,
}

/// `POST /checks/{id}/agents/{agent}/weight`: then the check's page.
pub async fn weigh_pair(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path((id, agent)): Path<(String, String)>,
    axum::Form(form): axum::Form<PairWeight>,
) -> Answer<Response> {
    let body = ControlBody {
        agent: Some(agent),
        check: Some(id.clone()),
        action: "weight".into(),
        until: None,
        reason: None,
        weight: None,
    };
    let done = match acts::weight_of(&form.weight) {
        Ok(weight) => acts::control(&present, &doer, ControlBody { weight: Some(weight), ..body }).await,
        Err(why) => Err(why),
    };
    match done {
        Ok(()) => Ok(acts::see(&format!("/checks/{id}#weights"))),
        Err(why) => {
            let frame = frame.refused(format!("/checks/{id}"), why);
            respond(&present, &frame, &id, &PageQuery::default(), None).await
        }
    }
}

/// `POST /checks/{id}/run`: the same page with what the agents said.
pub async fn run_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer<Response> {
    let run = api::run_now(&present, frame.caller.as_ref().map(|caller| caller.access), &id, None).await?;
    respond(&present, &frame, &id, &query, Some(&run)).await
}

async fn respond(
    present: &Present,
    frame: &Frame,
    id: &str,
    query: &PageQuery,
    run: Option<&RunView>,
) -> Answer<Response> {
    let (lang, t) = (frame.lang, frame.t);
    let snapshot = present.snapshot().await?;
    let found = snapshot.check(id).ok_or_else(|| Problem::not_found("check", id))?;
    let (check, now) = (found.check, snapshot.now);
    let (span, length) = course::span_of(query.span.as_deref());
    let (app, asked) = (present.app().clone(), id.to_owned());
    let course = present.beside(move || Course::of(&app, &asked, length, now)).await??;
    // A page's run is several loads long, a heartbeat's is no run of ours.
    let has_latency = !["web_vitals", "heartbeat"].contains(&check.kind.as_str());
    let figures = if has_latency { latency_of(present, id, query, now, lang).await? } else { Timing::default() };
    let vitals = if check.kind == "web_vitals" {
        let (span, length) = vitals::span_of(query.span.as_deref());
        let asked = Ask { from: Some(now.plus_us(-length)), ..Ask::default() };
        let figures = api::vitals::figures_of(present, id, asked, now).await?;
        vitals::section(check, &figures, span, now, lang)?
    } else {
        String::new()
    };
    let chart = if has_latency { course::chart(present, id, length, now, t).await? } else { None };
    let (asked, view) = (id.to_owned(), (**check).clone());
    let (may_edit, access) = (frame.may(Access::Edit), frame.caller.as_ref().map(|caller| caller.access));
    let of_book = present.read(move |book| {
        let check = api::check_of(book, &asked)?;
        let windows = windows::next_of(book, check, now, WINDOWS_SHOWN);
        Ok::<_, Problem>((windows, Life::of(book, &view, may_edit, t)?, check.number, api::may_run(check, access)))
    });
    let (windows, life, number, may_run) = of_book.await??;
    let asked = AskedIncidents {
        period: incidents::period(None, None, now),
        which: Which::All,
        check: Some(number),
        agent: None,
        kind: None,
        severity: None,
        limit: INCIDENTS_MAX,
    };
    let mut incidents = incidents::list(present, asked, now).await?;
    incidents.retain(|one| one.state != "suspected");
    let scores = present.scores().await?;
    let score = scores.checks.get(&number).and_then(|check| check.score.as_ref());
    let course_of_score = present.impact_history(Some(number), now).await?;
    let by_region = present.seen_by_regions(number).await?;
    let slos = present.slos().await?;
    let covering = slos.iter().filter(|slo| slo.checks.iter().any(|one| one == id));
    let budget = budget(covering, t);
    let render = |card: Card<'_>| card.render().map_err(|_| broken_template());
    let stored = |pair: &PairView| render(Card::stored(pair, pair.place(&check.agents), now, t)?);
    let runs = run.map(|run| run.runs.iter().map(|run| render(Card::ran(run, t)?)).collect::<Answer<_>>());
    let row = CheckRow::of(check, now, t);
    let availability = figure::availability(course.sla.availability, t);
    let suspended_on = check.agents.iter().filter(|pair| pair.suspended.is_some() && check.suspended.is_none());
    let content = Content {
        t,
        may_respond: frame.may(Access::Respond),
        may_edit,
        may_run,
        weights: check
            .agents
            .iter()
            .map(|pair| (pair.agent.clone(), pair.region.clone(), (t.number)(pair.weight.to_string())))
            .collect(),
        suspended_on: suspended_on.map(|pair| (pair.agent.clone(), suspension(pair.suspended.as_ref(), t))).collect(),
        heartbeat: check.kind == "heartbeat",
        spans: spans(id, span, t),
        ribbon: course.ribbon(&availability, t),
        stats: stats(id, span, &course.sla, &figures, &incidents, budget.as_ref().map(|(stat, _)| stat), t),
        budget: budget.map(|(_, bar)| bar),
        agents: course.lanes(id, span, t),
        chart,
        heatmap: course.heatmap(t),
        incidents: incidents.iter().take(INCIDENTS_SHOWN).map(|one| IncidentRow::of(one, t)).collect(),
        findings: findings::of_check(present, id, frame, now),
        impact: Badge::of(score, t),
        impact_course: impact::sparkline(&course_of_score, t),
        impact_told: impact::told(&course_of_score, t),
        impact_regions: by_region
            .iter()
            .map(|one| (one.region.to_string(), Badge::of(one.score.score.as_ref(), t)))
            .collect(),
        parts: score.map_or_else(Vec::new, |score| part_rows(score, t)),
        life,
        slos: slo::section(present, id, lang).await?,
        figures: format!("{vitals}{}", figures.section),
        amendments: ledger::section(present, id, t).await?,
        policy: policy::section(present, id, query.policy.as_deref(), now, lang).await?,
        unknown: unknown_line(&course.sla, t),
        runs: runs.transpose()?,
        results: check.agents.iter().map(|pair| stored(pair)).collect::<Answer<_>>()?,
        windows: windows.iter().map(|window| WindowRow::of(window, t)).collect(),
        row,
    };
    // What a run found stands on its page until one leaves it.
    let topics = if run.is_none() { Some("check incident finding figures") } else { None };
    frame.page(Place::Checks, id, topics, &content)
}

/// Latencies as the page shows them.
#[derive(Default)]
struct Timing {
    section: String,
    /// The middle one and the 95th percentile of whole runs, in seconds.
    total: Option<(f64, f64)>,
}

async fn latency_of(present: &Present, id: &str, query: &PageQuery, now: UtcMicros, lang: Language) -> Answer<Timing> {
    // The longest span of a chart is longer than that of percentiles.
    let asked = if query.span.as_deref() == Some("90d") { Some("30d") } else { query.span.as_deref() };
    let (span, length) = vitals::span_of(asked);
    let asked = crate::latency::figures::Ask { from: Some(now.plus_us(-length)), ..Default::default() };
    let figures = match figures_of(present, id, &asked, now).await {
        Ok(figures) => figures,
        // Damage of some day's sketches must not take the whole page.
        Err(problem) => return Ok(Timing { section: latency::refused(&problem, span, id, lang)?, total: None }),
    };
    let total = figures.groups.first().map(|all| all.latencies.phase(Phase::Total));
    let seconds = |per_mille| total.and_then(|sketch| sketch.quantile(per_mille)).map(|us| us as f64 / 1e6);
    Ok(Timing { section: latency::section(&figures, span, lang)?, total: seconds(500).zip(seconds(950)) })
}

fn spans(id: &str, current: &str, t: &Texts) -> Chips {
    let labels = [(t.kpi.period)("24h"), t.vitals.last_7_d, t.vitals.last_30_d, t.page.last_90_d];
    let chips = course::SPANS.into_iter().zip(labels).map(|((name, _), label)| Chip {
        label: label.to_owned(),
        href: format!("/checks/{id}?span={name}"),
        current: name == current,
        ..Chip::default()
    });
    Chips { label: t.page.period.to_owned(), chips: chips.collect(), tabs: false }
}

/// The budget that is the nearest to its end, and its bar.
fn budget<'s>(covering: impl Iterator<Item = &'s SloView>, t: &Texts) -> Option<(Stat, BudgetBar)> {
    let left = |slo: &'s SloView| Some((slo.outcome.as_ref()?.budget.left_ratio?, slo));
    let (left, slo) = covering.filter_map(left).min_by(|a, b| a.0.total_cmp(&b.0))?;
    let budget = slo.outcome.as_ref()?.budget;
    let share = (t.number)(figure::percent_down(left, 0));
    let class = match slo.state.as_str() {
        "ok" => "up",
        "burning_slow" => "degraded",
        "burning_fast" => "regional",
        "exhausted" => "down",
        _ => "unknown",
    };
    let label = format!("{}{}{share}", t.page.budget, t.colon);
    let stat = Stat {
        title: t.page.budget.to_owned(),
        value: share,
        measured: true,
        tone: if left <= 0.0 {
            "critical"
        } else if left < 0.25 {
            "warning"
        } else {
            "plain"
        },
        note: slo.id.clone(),
        href: format!("/terms/slo?slo={}", slo.id),
        ..Stat::default()
    };
    Some((stat, BudgetBar::of(left, budget.left_ratio_upper.unwrap_or(left), class, label)))
}

fn stats(
    id: &str,
    span: &str,
    sla: &SlaView,
    timing: &Timing,
    incidents: &[IncidentView],
    budget: Option<&Stat>,
    t: &Texts,
) -> Vec<Stat> {
    let w = t.page;
    let evidence = [figure::completeness(sla.completeness, t), figure::bounds(sla.lower, sla.upper, t)];
    let evidence: Vec<String> = evidence.into_iter().filter(|text| !text.is_empty()).collect();
    let down = sla.seconds.down;
    let open = incidents.iter().filter(|one| one.state != "resolved").count();
    let latency = timing.total.map(|(p50, p95)| [p50, p95].map(|seconds| (t.number)(figure::latency(seconds))));
    vec![
        Stat {
            title: t.availability.to_owned(),
            value: figure::availability(sla.availability, t),
            measured: sla.availability.is_some(),
            tone: "plain",
            note: evidence.join(" "),
            href: format!("/checks/{id}/explain?span={span}"),
            ..Stat::default()
        },
        Stat {
            title: w.downtime.to_owned(),
            value: if down > 0.0 { figure::length(down, t.slo.day) } else { w.no_downtime.to_owned() },
            measured: down > 0.0,
            tone: if open > 0 { "critical" } else { "plain" },
            note: (w.open_incidents)(open),
            href: format!("/checks/{id}#incidents"),
            ..Stat::default()
        },
        Stat {
            title: w.latency.to_owned(),
            value: latency.as_ref().map_or_else(|| w.no_latency.to_owned(), |[p50, _]| p50.clone()),
            measured: latency.is_some(),
            tone: "plain",
            note: latency.as_ref().map_or_else(String::new, |[_, p95]| (w.latency_note)(p95)),
            href: latency.map_or_else(String::new, |_| format!("/checks/{id}?span={span}#latency")),
            ..Stat::default()
        },
        budget.cloned().unwrap_or_else(|| Stat {
            title: w.budget.to_owned(),
            value: w.no_budget.to_owned(),
            tone: "plain",
            ..Stat::default()
        }),
    ]
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
        let (cause, phase) = (pair.cause.as_deref(), pair.failed_phase.as_deref());
        let mut why = t.why(Failure { cause, phase, status: pair.status, line: &pair.detail });
        if pair.suspended.is_some() {
            why.sentence = format!("{} {}", suspension(pair.suspended.as_ref(), t), why.sentence);
        }
        let id = format!("last-{}", pair.agent);
        let vitals = pair.vitals.as_deref().map(|run| vitals::run::render(&id, run, false, t)).transpose()?;
        Ok(Self {
            t,
            place: format!("{place} · {}", pair.agent),
            class: class(&pair.state),
            state,
            when,
            why,
            phases: if vitals.is_some() { Vec::new() } else { segments(&pair.phases_us, t) },
            facts: facts::rows(pair.address.as_deref(), &pair.facts, vitals.is_some(), t),
            vitals: vitals.unwrap_or_default(),
        })
    }

    fn ran(run: &AgentRunView, t: &'a Texts) -> Answer<Self> {
        let place = format!("{} · {}", run.region, run.agent);
        let bare = |state: &str, why: Why| Self {
            t,
            place: place.clone(),
            class: "unknown",
            state: state.to_owned(),
            when: String::new(),
            why,
            vitals: String::new(),
            phases: Vec::new(),
            facts: Vec::new(),
        };
        Ok(match (&run.result, run.outcome.as_str()) {
            (Some(result), _) => {
                let id = format!("run-{}", run.agent);
                let vitals = result.vitals.as_deref().map(|run| vitals::run::render(&id, run, result.screenshot, t));
                let vitals = vitals.transpose()?;
                let why = t.why(Failure {
                    cause: result.cause.as_deref(),
                    phase: result.phase.as_deref(),
                    status: status_of(&result.facts),
                    line: &result.explanation,
                });
                Self {
                    class: class(&result.state),
                    phases: if vitals.is_some() { Vec::new() } else { segments(&result.phases_us, t) },
                    facts: facts::rows(result.address.as_deref(), &result.facts, vitals.is_some(), t),
                    vitals: vitals.unwrap_or_default(),
                    ..bare(t.state(&result.state), why)
                }
            }
            (None, "refused") => {
                let reason = run.reason.as_deref().unwrap_or_default();
                bare(t.run_refused, t.why(Failure { line: reason, ..Failure::default() }))
            }
            (None, "not_connected") => bare(t.not_connected, Why::default()),
            (None, _) => bare(t.run_timed_out, Why::default()),
        })
    }
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
    fn no_label_of_a_phase_is_empty() {
        for language in Language::ALL {
            let t = language.texts();
            assert!(Phase::ALL.iter().all(|phase| !(t.phase)(*phase).is_empty()));
        }
    }
}
