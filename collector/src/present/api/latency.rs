//! `/api/v1/checks/{id}/latency`: percentiles of every phase over a span.

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::record::Phase;
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::UtcMicros;

use super::{Ask, agent_of, ask, check_of, is_by_agent, period_of, region_of};
use crate::latency::figures::{self, Figures, Frame, Group};
use crate::present::Present;
use crate::present::dto::unknown::CausesView;
use crate::present::problem::Answer;
use crate::vitals::figures::Place;

/// The latencies of a check over a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyView {
    /// The check's id.
    pub check: String,
    /// First instant asked for, clipped to the check's life.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// First instant that the figures cover: the full hour, or the full day where hours are no longer kept.
    pub covered_from: String,
    /// First instant after.
    pub covered_to: String,
    /// The share of that for which evidence exists, of all that was asked for; `null` where nothing was to be measured.
    #[serde(default)]
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    #[serde(default)]
    pub unknown: Option<CausesView>,
    /// First all places together (`region` and `agent` are `null`), then each.
    pub groups: Vec<LatencyGroupView>,
}

/// The latencies in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyGroupView {
    /// The region; `null`: all that was asked for.
    pub region: Option<String>,
    /// The agent, where they are apart by agent.
    pub agent: Option<String>,
    /// Results that were `down`: none of their phases is counted.
    pub failed: u64,
    /// The share of the time covered for which evidence exists here.
    #[serde(default)]
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    #[serde(default)]
    pub unknown: Option<CausesView>,
    /// The phases that any result had, in order.
    pub phases: Vec<PhaseLatencyView>,
}

/// How long one phase took in `up` and `degraded` results. Percentiles are off by at most 1/128; count, smallest and largest are exact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseLatencyView {
    /// `dns`, `connect`, `tls`, `send`, `first_byte`, `transfer` or `total`.
    pub phase: String,
    /// Results that had it.
    pub count: u64,
    /// The smallest, in microseconds.
    pub min_us: u64,
    /// The mean.
    pub mean_us: u64,
    /// The median.
    pub p50_us: u64,
    /// Three quarters took no longer.
    pub p75_us: u64,
    /// 95 of 100 took no longer.
    pub p95_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// The largest.
    pub max_us: u64,
}

/// What the latencies of a check are asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyQuery {
    from: Option<String>,
    to: Option<String>,
    region: Option<String>,
    agent: Option<String>,
    by: Option<String>,
}

/// `GET /api/v1/checks/{id}/latency`
pub async fn latency(
    State(present): State<Present>,
    Path(id): Path<String>,
    query: Ask<LatencyQuery>,
) -> Answer<Json<LatencyView>> {
    let query = ask(query)?;
    let now = clock::now();
    let (from, to) = period_of(query.from.as_deref(), query.to.as_deref(), now)?;
    let by_agent = is_by_agent(query.by.as_deref())?;
    let asked = {
        let book = present.app().book();
        figures::Ask {
            from,
            to,
            region: query.region.as_deref().map(|region| region_of(&book, region)).transpose()?,
            agent: query.agent.as_deref().map(|agent| agent_of(&book, agent)).transpose()?,
            by_agent,
        }
    };
    Ok(Json(view(&figures_of(&present, &id, &asked, now).await?)))
}

/// The latencies of a check.
///
/// # Errors
/// When there is no such check, or the store cannot be read.
pub async fn figures_of(present: &Present, id: &str, asked: &figures::Ask, now: UtcMicros) -> Answer<Figures> {
    let frame = {
        let book = present.app().book();
        Frame::of(&book, check_of(&book, id)?, asked, now)
    };
    let mut figures = present.app().latency(frame).await?;
    figures.judge(&present.app().book());
    Ok(figures)
}

/// The figures, as JSON.
pub fn view(figures: &Figures) -> LatencyView {
    LatencyView {
        check: figures.check.to_string(),
        from: instant::format(figures.asked.from),
        to: instant::format(figures.asked.to),
        covered_from: instant::format(figures.covered.from),
        covered_to: instant::format(figures.covered.to),
        completeness: figures.known.completeness,
        unknown: figures.known.unknown.as_ref().map(CausesView::shares),
        groups: figures.groups.iter().map(group_view).collect(),
    }
}

fn group_view(group: &Group) -> LatencyGroupView {
    let (region, agent) = match &group.place {
        Place::All => (None, None),
        Place::Region(region) => (Some(region.to_string()), None),
        Place::Agent(region, agent) => (Some(region.to_string()), Some(agent.to_string())),
    };
    let phases = Phase::ALL.iter().filter_map(|phase| phase_view(*phase, group.latencies.phase(*phase)));
    LatencyGroupView {
        region,
        agent,
        failed: group.latencies.failed,
        completeness: group.known.completeness,
        unknown: group.known.unknown.as_ref().map(CausesView::shares),
        phases: phases.collect(),
    }
}

/// `None` of a phase that no result had.
fn phase_view(phase: Phase, sketch: &Sketch) -> Option<PhaseLatencyView> {
    Some(PhaseLatencyView {
        phase: phase.to_string(),
        count: u64::try_from(sketch.count()).unwrap_or(u64::MAX),
        min_us: sketch.min()?,
        mean_us: sketch.mean()?,
        p50_us: sketch.quantile(500)?,
        p75_us: sketch.quantile(750)?,
        p95_us: sketch.quantile(950)?,
        p99_us: sketch.quantile(990)?,
        max_us: sketch.max()?,
    })
}
