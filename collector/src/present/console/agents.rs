//! Agents: the table by region, and the page of one with its checks, where its runs went, when it was cut off and who steered it.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::AgentName;
use sitepulse_model::incident::IncidentKind;
use sitepulse_model::time::UtcMicros;

use super::acts::{self, Doer, Until};
use super::frame::{Frame, Place};
use super::sheet::{Sheet, line, until_fields};
use super::{age, class as state_class, clock_text, ledger, suspension};
use crate::app::Access;
use crate::present::dto::host::HostView;
use crate::present::dto::incidents::IncidentView;
use crate::present::dto::{AgentView, CheckView, ControlBody, EventView, PairView};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::cause::Failure;
use crate::present::text::desk::DeskTexts;
use crate::present::{Present, api, figure, incidents};
use crate::store::incidents::{Asked, Which};

/// Most checks of an agent that its page shows.
const CHECKS_SHOWN: usize = 200;
/// Most rows of its history: the newest.
const HISTORY_SHOWN: usize = 100;
/// Most times that it was cut off.
const CUT_OFFS_SHOWN: usize = 50;

/// The table.
#[derive(Template)]
#[template(path = "desk/agents.html")]
struct List<'a> {
    t: &'a Texts,
    d: &'a DeskTexts,
    headline: String,
    may_respond: bool,
    may_edit: bool,
    may_admin: bool,
    regions: Vec<RegionRows>,
}

struct RegionRows {
    name: String,
    agents: Vec<Row>,
}

/// One agent.
struct Row {
    name: String,
    region: String,
    /// Whether it may be steered.
    living: bool,
    internal: bool,
    class: &'static str,
    connection: &'static str,
    last_seen: String,
    weight: String,
    suspended: bool,
    suspension: String,
    spool: String,
    drain: String,
    clock: String,
    clock_flagged: bool,
    host: HostRow,
    build: String,
    outdated: bool,
    scheduled: String,
    stored: String,
    /// What is neither stored nor nothing, and whether it is to be looked at.
    ledger: Vec<(String, bool)>,
    equation: String,
}

/// How busy its machine is, in words.
#[derive(Default)]
struct HostRow {
    load: String,
    /// Why it is to be looked at; empty where it is not.
    load_note: &'static str,
    memory: String,
    memory_note: &'static str,
}

impl HostRow {
    fn of(host: &HostView, t: &Texts) -> Self {
        let (share, total) = host.memory_parts();
        let note = |high: bool, note: &'static str| if high { note } else { "" };
        Self {
            load: (t.host.load)(&(t.number)(format!("{:.2}", host.load_1m)), host.cores),
            load_note: note(host.load_high, t.host.load_high),
            memory: (t.host.memory)(&(t.number)(share), &(t.number)(total)),
            memory_note: note(host.memory_high, t.host.memory_high),
        }
    }

    fn is_high(&self) -> bool {
        !self.load_note.is_empty() || !self.memory_note.is_empty()
    }

    /// All of it; nothing where its machine does not say.
    fn line(&self) -> Option<String> {
        let parts = [&*self.load, self.load_note, &*self.memory, self.memory_note];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    }
}

/// The page of one.
#[derive(Template)]
#[template(path = "desk/agent.html")]
struct One<'a> {
    t: &'a Texts,
    d: &'a DeskTexts,
    row: Row,
    may_respond: bool,
    may_edit: bool,
    may_admin: bool,
    facts: Vec<(&'static str, String, bool)>,
    checks: Vec<CheckOf>,
    checks_all: usize,
    checks_more: String,
    /// Where its runs went, rendered.
    runs: String,
    /// Incident and text of each time that it was cut off.
    cut_offs: Vec<(String, String)>,
    /// The same on a line of 1440 units to the period: where and how long.
    cut_bars: Vec<(String, String)>,
    history: Vec<Line>,
}

struct CheckOf {
    id: String,
    class: &'static str,
    state: &'static str,
    weight: String,
    when: String,
    detail: String,
}

struct Line {
    at: String,
    what: String,
    who: String,
}

/// The fields of the forms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AgentForm {
    back: String,
    weight: String,
    reason: String,
    name: String,
    r#for: String,
    until: String,
}

/// `GET /agents`
pub async fn agents_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    list(&present, &frame).await
}

/// `GET /agents/{name}`
pub async fn agent_page(State(present): State<Present>, frame: Frame, Path(name): Path<String>) -> Answer<Response> {
    one(&present, &frame, &name).await
}

/// `GET /agents/{name}/suspend`: the form.
pub async fn suspend_page(frame: Frame, Path(name): Path<String>) -> Answer<Response> {
    suspend_sheet(&frame, &name, &AgentForm::default())
}

/// `GET /agents/{name}/revoke`: the form.
pub async fn revoke_page(frame: Frame, Path(name): Path<String>) -> Answer<Response> {
    revoke_sheet(&frame, &name)
}

fn suspend_sheet(frame: &Frame, name: &str, form: &AgentForm) -> Answer<Response> {
    let d = frame.t.desk;
    let [lasts, until] = until_fields(&form.r#for, &form.until, frame.t);
    let sheet = Sheet {
        title: format!("{} {name}", d.suspend),
        intro: d.suspend_what.into(),
        from: (format!("/agents/{name}"), name.to_owned()),
        action: format!("/agents/{name}/suspend"),
        fields: vec![line("reason", d.reason, &form.reason), lasts, until],
        submit: d.suspend,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Agents)
}

fn revoke_sheet(frame: &Frame, name: &str) -> Answer<Response> {
    let d = frame.t.desk;
    let sheet = Sheet {
        title: format!("{} {name}", d.revoke),
        intro: d.revoke_what.into(),
        from: (format!("/agents/{name}"), name.to_owned()),
        action: format!("/agents/{name}/revoke"),
        fields: vec![line("name", d.type_name, "")],
        submit: d.revoke,
        danger: true,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Agents)
}

/// `POST /agents/{name}/suspend`, `resume`, `weight` and `revoke`: what its path ends with.
pub async fn act_on_agent(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(name): Path<String>,
    uri: Uri,
    Form(form): Form<AgentForm>,
) -> Answer<Response> {
    let (name, action) = (name.as_str(), uri.path().rsplit('/').next().unwrap_or_default());
    let own = format!("/agents/{name}");
    let to = if form.back == "/agents" { "/agents" } else { own.as_str() };
    match done(&present, &doer, name, action, &form).await {
        Ok(()) => Ok(acts::see(to)),
        Err(why) if action == "suspend" => suspend_sheet(&frame.refused(own, why), name, &form),
        Err(why) if action == "revoke" => revoke_sheet(&frame.refused(own, why), name),
        Err(why) if to == "/agents" => list(&present, &frame.refused(to, why)).await,
        Err(why) => one(&present, &frame.refused(to, why), name).await,
    }
}

async fn done(present: &Present, doer: &Doer, name: &str, action: &str, form: &AgentForm) -> Answer<()> {
    let body = ControlBody {
        agent: Some(name.to_owned()),
        check: None,
        action: action.to_owned(),
        until: None,
        reason: None,
        weight: None,
    };
    let body = match action {
        "resume" => body,
        "suspend" => {
            let until = Until { r#for: form.r#for.clone(), until: form.until.clone() };
            ControlBody { until: Some(until.instant(clock::now())?), reason: Some(form.reason.clone()), ..body }
        }
        "weight" => {
            let value = acts::weight_of(&form.weight)?;
            ControlBody { weight: Some(value), ..body }
        }
        "revoke" if form.name.trim() == name => return acts::revoke(present, doer, name).await,
        "revoke" => {
            let what = format!("{:?} is not the agent's name: write {name} to revoke it", form.name);
            return Err(Problem::new(Code::BadRequest, what));
        }
        _ => return Err(Problem::not_found("action", action)),
    };
    acts::control(present, doer, body).await
}

async fn list(present: &Present, frame: &Frame) -> Answer<Response> {
    let now = clock::now();
    let agents = present.agent_sums().await?;
    frame.page(Place::Agents, frame.t.agents, Some("agent figures"), &List::of(&agents, frame, now))
}

async fn one(present: &Present, frame: &Frame, name: &str) -> Answer<Response> {
    let now = clock::now();
    let agent = present.agent(name).await?;
    let asked = {
        let book = present.app().book();
        let number = AgentName::parse(name).ok().and_then(|name| book.agent_by_name(&name)).map(|agent| agent.number);
        let (kind, period) = (Some(IncidentKind::AgentSilent), incidents::period(None, None, now));
        Asked { period, which: Which::All, check: None, agent: number, kind, severity: None, limit: CUT_OFFS_SHOWN }
    };
    let cut_offs = incidents::list(present, asked, now).await?;
    let snapshot = present.snapshot().await?;
    let checks: Vec<(&CheckView, &PairView)> = snapshot
        .checks
        .iter()
        .filter_map(|check| Some((&**check, &**check.agents.iter().find(|pair| pair.agent == name)?)))
        .collect();
    let events = api::events_of_agent(&present.app().book(), name);
    let newest = newest_build(&snapshot.agents);
    let content = One::of(&agent, newest, &checks, &cut_offs, &events, frame, now)?;
    frame.page(Place::Agents, name, Some("agent check incident figures"), &content)
}

/// The numbers of a version: `0.3.1-rc1` is 0, 3, 1. `None` where there is none.
fn build_of(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.split(['-', '+', ' ']).next()?.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// The newest build of all: the collector's own, or an agent's.
fn newest_build(agents: &[AgentView]) -> (u64, u64, u64) {
    let own = build_of(env!("CARGO_PKG_VERSION")).unwrap_or_default();
    let living = agents.iter().filter(|agent| agent.revoked.is_none());
    living.filter_map(|agent| build_of(agent.build.as_deref()?)).fold(own, Ord::max)
}

impl<'a> List<'a> {
    fn of(agents: &[AgentView], frame: &'a Frame, now: UtcMicros) -> Self {
        let t = frame.t;
        let newest = newest_build(agents);
        let mut regions: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        for agent in agents {
            regions.entry(&agent.region).or_default().push(Row::of(agent, newest, now, t));
        }
        let counted: Vec<_> = agents.iter().filter(|agent| agent.revoked.is_none() && !agent.internal).collect();
        let connected = counted.iter().filter(|agent| agent.connected).count();
        Self {
            t,
            d: t.desk,
            headline: (t.agents_connected)(connected, counted.len()),
            may_respond: frame.may(Access::Respond),
            may_edit: frame.may(Access::Edit),
            may_admin: frame.may(Access::Admin),
            regions: regions.into_iter().map(|(name, agents)| RegionRows { name: name.to_owned(), agents }).collect(),
        }
    }
}

impl Row {
    fn of(agent: &AgentView, newest: (u64, u64, u64), now: UtcMicros, t: &Texts) -> Self {
        let d = t.desk;
        let (class, connection) = if agent.revoked.is_some() {
            ("maintenance", t.revoked)
        } else if agent.internal && agent.connected {
            ("up", t.built_in)
        } else if agent.connected {
            ("up", t.connected)
        } else {
            ("down", t.not_connected)
        };
        let last_seen = match (&agent.last_seen, agent.connected) {
            (_, true) => String::new(),
            (Some(at), false) => format!("{} {}", t.last_seen, (t.ago)(&figure::coarse(age(at, now), t.slo.day))),
            (None, false) => format!("{} {}", t.last_seen, t.never),
        };
        let unknown = || d.not_known.to_owned();
        let drain = match (agent.spool_records, agent.spool_drain_seconds) {
            (None | Some(0), _) => String::new(),
            (Some(_), Some(seconds)) => (d.drained_in)(&figure::coarse(seconds, t.slo.day)),
            (Some(_), None) => d.drain_unknown.to_owned(),
        };
        let counts = &agent.conservation;
        let missed = counts.missed.total();
        let mut ledger = Vec::new();
        for (count, word, warns) in [
            (missed, t.ledger.missed, false),
            (counts.dropped, t.ledger.dropped, true),
            (counts.unaccounted, t.ledger.unaccounted, true),
        ] {
            if count > 0 {
                ledger.push((format!("{} {}", figure::count(count), word.to_lowercase()), warns));
            }
        }
        let build = agent.build.clone().unwrap_or_default();
        Self {
            name: agent.name.clone(),
            region: agent.region.clone(),
            living: agent.revoked.is_none(),
            internal: agent.internal,
            class,
            connection,
            last_seen,
            weight: (t.number)(agent.weight.to_string()),
            suspended: agent.suspended.is_some(),
            suspension: suspension(agent.suspended.as_ref(), t),
            spool: agent.spool_records.map_or_else(unknown, |n| (t.spool_records)(&figure::count(n))),
            drain,
            clock: agent.clock_offset_seconds.map_or_else(unknown, |seconds| (t.number)(figure::offset(seconds))),
            clock_flagged: agent.clock_flagged,
            host: agent.host.as_ref().map(|host| HostRow::of(host, t)).unwrap_or_default(),
            outdated: agent.revoked.is_none() && build_of(&build).is_some_and(|build| build < newest),
            build,
            scheduled: figure::count(counts.scheduled),
            stored: figure::count(counts.stored),
            ledger,
            equation: format!(
                "{} {} = {} {} + {} {missed} + {} {} + {} {}",
                t.ledger.scheduled,
                counts.scheduled,
                t.ledger.stored,
                counts.stored,
                t.ledger.missed,
                t.ledger.dropped,
                counts.dropped,
                t.ledger.unaccounted,
                counts.unaccounted
            ),
        }
    }
}

/// An instant of ours, to the second.
fn moment(at: &str, now: UtcMicros) -> String {
    instant::parse(at, now)
        .map_or_else(|_| at.to_owned(), |at| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000))))
}

impl<'a> One<'a> {
    fn of(
        agent: &AgentView,
        newest: (u64, u64, u64),
        checks: &[(&CheckView, &PairView)],
        cut_offs: &[IncidentView],
        events: &[EventView],
        frame: &'a Frame,
        now: UtcMicros,
    ) -> Answer<Self> {
        let t = frame.t;
        let d = t.desk;
        let row = Row::of(agent, newest, now, t);
        let spool_oldest = agent.spool_oldest.as_deref().map(|at| figure::coarse(age(at, now), t.slo.day));
        let expires = agent.certificate_expires.as_deref().map(|at| moment(at, now));
        let spool = [row.spool.clone(), row.drain.clone()].into_iter().filter(|part| !part.is_empty());
        let build = if row.outdated { format!("{} · {}", row.build, d.outdated) } else { row.build.clone() };
        let facts = [
            (t.spool, Some(spool.collect::<Vec<_>>().join(", ")), false),
            (d.oldest_waiting, spool_oldest, false),
            (t.clock_offset, Some(row.clock.clone()), row.clock_flagged),
            (t.host.title, row.host.line(), row.host.is_high()),
            (t.build, Some(build).filter(|build| !build.is_empty()), row.outdated),
            (d.joined_at, Some(moment(&agent.enrolled, now)).filter(|_| !agent.internal), false),
            (d.certificate_until, expires, false),
            (t.revoked, agent.revoked.as_deref().map(|at| moment(at, now)), true),
        ];
        let mut shown: Vec<&(&CheckView, &PairView)> = checks.iter().collect();
        shown.sort_by_key(|(check, pair)| (pair.state == "up", check.id.clone()));
        let period = incidents::PERIOD_DEFAULT_US as f64 / 1e6;
        let cut_bars = cut_offs.iter().map(|one| {
            let from = (period - age(&one.since, now)).clamp(0.0, period) / period * 1440.0;
            let width = (one.duration_seconds / period * 1440.0).max(1.0).min(1440.0 - from);
            (format!("{from:.2}"), format!("{width:.2}"))
        });
        let cut_offs = cut_offs.iter().map(|one| {
            let length = figure::length(one.duration_seconds, t.slo.day);
            (one.id.clone(), (d.cut_off_one)(&moment(&one.since, now), &length, one.resolved_at.is_none()))
        });
        Ok(Self {
            t,
            d,
            may_respond: frame.may(Access::Respond),
            may_edit: frame.may(Access::Edit),
            may_admin: frame.may(Access::Admin),
            facts: facts.into_iter().filter_map(|(name, value, warn)| Some((name, value?, warn))).collect(),
            checks: shown.iter().take(CHECKS_SHOWN).map(|(check, pair)| CheckOf::of(check, pair, now, t)).collect(),
            checks_all: checks.len(),
            checks_more: match checks.len().saturating_sub(CHECKS_SHOWN) {
                0 => String::new(),
                more => (t.ledger.more)(more as u64),
            },
            runs: ledger::runs_of(agent, t)?,
            cut_bars: cut_bars.collect(),
            cut_offs: cut_offs.collect(),
            history: events.iter().rev().take(HISTORY_SHOWN).map(|event| Line::of(event, now, t)).collect(),
            row,
        })
    }
}

impl CheckOf {
    fn of(check: &CheckView, pair: &PairView, now: UtcMicros, t: &Texts) -> Self {
        let cause = pair.unknown_cause.as_deref().map(|cause| t.unknown_cause(cause).to_owned());
        let latency = pair.latency_seconds.map(|seconds| (t.number)(figure::latency(seconds)));
        let (failed, phase) = (pair.cause.as_deref(), pair.failed_phase.as_deref());
        let why = t.why(Failure { cause: failed, phase, status: pair.status, line: &pair.detail });
        let detail = [cause, Some(why.sentence), latency].into_iter().flatten().filter(|part| !part.is_empty());
        let last = pair.last_scheduled.as_deref();
        Self {
            id: check.id.clone(),
            class: state_class(&pair.state),
            state: t.state(&pair.state),
            weight: (t.number)(pair.weight.to_string()),
            when: last.map_or_else(|| t.never.to_owned(), |at| (t.ago)(&figure::coarse(age(at, now), t.slo.day))),
            detail: detail.collect::<Vec<_>>().join(" · "),
        }
    }
}

impl Line {
    fn of(event: &EventView, now: UtcMicros, t: &Texts) -> Self {
        let d = t.desk;
        let what = match event.action.as_str() {
            "suspend" => {
                let until = event
                    .until
                    .as_deref()
                    .map_or_else(|| t.suspended_open.to_owned(), |until| (t.suspended_until)(&moment(until, now)));
                format!("{} {until}{}{}", d.suspended_event, t.colon, event.reason.as_deref().unwrap_or_default())
            }
            "resume" => d.resumed_event.to_owned(),
            "weight" => format!("{} {}", t.weight, (t.number)(event.weight.unwrap_or_default().to_string())),
            "revoke" => t.revoked.to_owned(),
            other => other.to_owned(),
        };
        let about = event.check.as_ref().map(|check| format!(" · {check}")).unwrap_or_default();
        let author = event.author.strip_prefix("collector:").unwrap_or(&event.author);
        Self { at: moment(&event.at, now), what: what + &about, who: author.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_told_apart_by_their_numbers() {
        assert_eq!(build_of("0.10.2-rc1"), Some((0, 10, 2)));
        assert!(build_of("0.9.0") < build_of("0.10.0"), "numbers, not texts");
        for none in ["", "dev", "1.2"] {
            assert_eq!(build_of(none), None, "{none}: nothing is said of what cannot be read");
        }
    }
}
