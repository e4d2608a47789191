//! `/api/v1/checks/{id}/timeline` and `/api/v1/regions`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::control::Weight;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::timeline::Raw;

use super::{Ask, agent_of, ask, check_of, period_of, region_of};
use crate::book::{Book, Filter};
use crate::present::Present;
use crate::present::list::{List, Listed, Nothing};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::view;

/// Most spans of an answer.
const SPANS_MAX: usize = 100_000;

/// What a check was, and what each agent saw of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineView {
    /// The check's id.
    pub check: String,
    /// First instant of the period, clipped to the check's life.
    pub from: String,
    /// First instant after it.
    pub to: String,
    /// The verdicts: contiguous within each life of the check.
    pub verdicts: Vec<VerdictSpanView>,
    /// What each agent saw, before any vote, by name.
    pub agents: Vec<AgentTimelineView>,
}

/// Time in which the verdict did not change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictSpanView {
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// `up`, `degraded`, `regional`, `down`, `maintenance` or `unknown`.
    pub verdict: String,
    /// Why it is unknown.
    pub unknown_cause: Option<String>,
    /// Share of live votes that are down; `null` where nobody votes.
    pub share_down: Option<f64>,
    /// Whether fewer voters lived than the quorum asks for.
    pub quorum_reduced: bool,
}

/// What one agent saw of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentTimelineView {
    /// The agent's name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// What it saw: contiguous.
    pub spans: Vec<SeenSpanView>,
}

/// Time in which what an agent saw did not change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeenSpanView {
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// `up`, `degraded`, `down` or `unknown`.
    pub state: String,
    /// Why it is unknown.
    pub unknown_cause: Option<String>,
}

/// What a timeline is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimelineQuery {
    from: Option<String>,
    to: Option<String>,
    agent: Option<String>,
    region: Option<String>,
}

/// `GET /api/v1/checks/{id}/timeline`
pub async fn timeline(
    State(present): State<Present>,
    Path(id): Path<String>,
    query: Ask<TimelineQuery>,
) -> Answer<Json<TimelineView>> {
    let query = ask(query)?;
    let now = clock::now();
    present.read(move |book| told(book, &id, &query, now)).await?.map(Json)
}

fn told(book: &Book, id: &str, query: &TimelineQuery, now: UtcMicros) -> Answer<TimelineView> {
    let check = check_of(book, id)?;
    let (from, to) = period_of(query.from.as_deref(), query.to.as_deref(), now)?;
    let filter = match (&query.agent, &query.region) {
        (Some(_), Some(_)) => return Err(Problem::new(Code::BadRequest, "ask for an agent or a region, not both")),
        (Some(name), None) => Filter::Agent(agent_of(book, name)?),
        (None, Some(region)) => Filter::Region(region_of(book, region)?),
        (None, None) => Filter::All,
    };
    let period = book.period(check, from, to, now);
    let verdicts = book.verdicts(check.number, &filter, period).unwrap_or_default();
    let mut spans = verdicts.len();
    let mut agents = Vec::new();
    for agent in book.agents().filter(|agent| match &filter {
        Filter::All => true,
        Filter::Agent(number) => agent.number == *number,
        Filter::Region(region) => agent.region == *region,
    }) {
        let seen = book.timeline(check.number, agent.number, period);
        // An agent that never had the check says nothing of it.
        if seen.iter().all(|span| matches!(span.state, Raw::Unknown(cause) if cause.as_str() == "unassigned")) {
            continue;
        }
        spans += seen.len();
        if spans > SPANS_MAX {
            let what =
                format!("the answer has more than {SPANS_MAX} spans: ask for a shorter period, or for one agent");
            return Err(Problem::new(Code::BadRequest, what));
        }
        let spans = seen.iter().map(|span| seen_view(span.span, span.state)).collect();
        agents.push(AgentTimelineView { agent: agent.name.to_string(), region: agent.region.to_string(), spans });
    }
    agents.sort_by(|a, b| a.agent.cmp(&b.agent));
    Ok(TimelineView {
        check: check.id.to_string(),
        from: instant::format(period.from),
        to: instant::format(period.to),
        verdicts: verdicts
            .iter()
            .map(|span| VerdictSpanView {
                from: instant::format(span.span.from),
                to: instant::format(span.span.to),
                verdict: span.verdict.as_str().to_owned(),
                unknown_cause: span.unknown_cause.map(|cause| cause.as_str().to_owned()),
                share_down: (span.share_down.1 > 0).then(|| span.share_down.0 as f64 / span.share_down.1 as f64),
                quorum_reduced: span.quorum_reduced,
            })
            .collect(),
        agents,
    })
}

fn seen_view(span: Span, state: Raw) -> SeenSpanView {
    let (state, cause) = match state {
        Raw::State(state) => (state.to_string(), None),
        Raw::Unknown(cause) => ("unknown".to_owned(), Some(cause.as_str().to_owned())),
    };
    SeenSpanView { from: instant::format(span.from), to: instant::format(span.to), state, unknown_cause: cause }
}

/// A region: where agents are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionView {
    /// Its name.
    pub region: String,
    /// The agents that are not revoked, by name.
    pub agents: Vec<String>,
    /// How many of them hold a connection.
    pub connected: usize,
    /// How many of them are suspended as a whole.
    pub suspended: usize,
    /// The sum of the weights of those that are not.
    pub weight: f64,
    /// How many living checks run there.
    pub checks: usize,
}

/// `GET /api/v1/regions`: those that an agent is or was in.
pub async fn regions(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<RegionView>> {
    let regions = present.read(|book| regions_of(book, clock::now())).await?;
    list.page.of_all(regions, |region| region.region.clone())
}

fn regions_of(book: &Book, now: UtcMicros) -> Vec<RegionView> {
    let mut all: BTreeMap<String, RegionView> = BTreeMap::new();
    for agent in view::agents(book, now).into_iter().filter(|agent| !agent.internal) {
        let entry = all.entry(agent.region.clone()).or_insert_with(|| RegionView {
            region: agent.region.clone(),
            agents: Vec::new(),
            connected: 0,
            suspended: 0,
            weight: 0.0,
            checks: 0,
        });
        if agent.revoked.is_some() {
            continue;
        }
        entry.agents.push(agent.name);
        entry.connected += usize::from(agent.connected);
        match agent.suspended {
            Some(_) => entry.suspended += 1,
            None => entry.weight += agent.weight,
        }
    }
    for check in book.checks().filter(|check| !check.retired()) {
        let definition = &check.newest().definition;
        if definition.kind.as_str() == "heartbeat" {
            continue;
        }
        let runs =
            |region: &str| definition.regions.as_ref().is_none_or(|all| all.iter().any(|one| one.as_str() == region));
        all.values_mut().filter(|region| runs(&region.region)).for_each(|region| region.checks += 1);
    }
    for region in all.values_mut() {
        region.agents.sort();
        // Sums of thousandths.
        region.weight = (region.weight * 1000.0).round() / f64::from(Weight::ONE.0);
    }
    all.into_values().collect()
}
