//! `/api/v1/impact`: what to look at first.

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::id::{CheckNo, Group};
use sitepulse_model::impact::model::ScoringModel;
use sitepulse_model::time::UtcMicros;
use tokio::sync::Semaphore;

use super::{Ask, Body, ask, body, check_of, instant_of, region_of};
use crate::impact::Model;
use crate::impact::board::Scores;
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::dto::impact::{
    ImpactDetailView, ImpactHistoryView, ImpactsView, RegionImpactView, TrialBody, TrialView,
};
use crate::present::impact::csv::{self, Csv};
use crate::present::impact::{impact_view, impacts_view};
use crate::present::problem::{Answer, Code, Problem};

/// Scores of other instants that are found at a time; more wait.
static SEATS: Semaphore = Semaphore::const_new(1);
/// Most checks of a list.
const LIST_MAX: usize = 10_000;
/// Most days of a trial.
const DAYS_MAX: u32 = 28;

/// What a list is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpactsQuery {
    /// The checks of this group alone.
    group: Option<String>,
    /// As the agents of this region alone saw it.
    region: Option<String>,
    /// Of when: an instant, or an age like `-7d`; now where nothing is said. Of an hour that is over, scores are told as they were stored.
    at: Option<String>,
    /// With `at`: found again from the evidence as it is known today, stored or not.
    evidence: Option<bool>,
    /// Most checks: the worst ones.
    limit: Option<usize>,
}

/// What one is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpactQuery {
    /// Of when: an instant, or an age like `-7d`; now where nothing is said. Of an hour that is over, the score is told as it was stored.
    at: Option<String>,
    /// With `at`: found again from the evidence as it is known today, stored or not.
    evidence: Option<bool>,
}

/// `GET /api/v1/impact`: the worst first.
pub async fn impacts(State(present): State<Present>, query: Ask<ImpactsQuery>) -> Answer<Json<ImpactsView>> {
    listed(&present, ask(query)?).await.map(Json)
}

/// `GET /api/v1/impact-scores.csv`: the same as a table.
pub async fn impacts_csv(State(present): State<Present>, query: Ask<ImpactsQuery>) -> Answer<Csv> {
    listed(&present, ask(query)?).await.map(|view| csv::scores(&view))
}

async fn listed(present: &Present, query: ImpactsQuery) -> Answer<ImpactsView> {
    let ImpactsQuery { group, region, at, evidence, limit } = query;
    let limit = limit.unwrap_or(LIST_MAX);
    if !(1..=LIST_MAX).contains(&limit) {
        let what = format!("limit={limit}: a list has 1 to {LIST_MAX} checks");
        return Err(Problem::new(Code::BadRequest, what));
    }
    let group = group.map(|name| group_of(present, &name)).transpose()?;
    let region = region.map(|name| region_of(&present.app().book(), &name)).transpose()?;
    let mut view = match (past(at)?, &region) {
        (None, None) => impacts_view(&*present.scores().await?, group.as_ref()),
        (None, Some(region)) => impacts_view(&present.scores_of_region(region).await?, group.as_ref()),
        (Some(at), None) if evidence != Some(true) => impacts_view(&then(present, None, at).await?, group.as_ref()),
        // How a region saw each of its checks is not stored.
        (Some(at), region) => {
            let _seat = SEATS.acquire().await.map_err(|_| closing())?;
            impacts_view(&present.scores_at(None, region.as_ref(), at).await?, group.as_ref())
        }
    };
    view.region = region.map(|region| region.to_string());
    view.checks.truncate(limit);
    Ok(view)
}

/// The scores of another instant: one such question at a time.
///
/// # Errors
/// When the store cannot be read.
pub async fn then(present: &Present, only: Option<CheckNo>, at: UtcMicros) -> Answer<Scores> {
    let _seat = SEATS.acquire().await.map_err(|_| closing())?;
    present.scores_then(only, at).await
}

/// Whose history is asked for: of one thing, or of all checks together.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// This check's.
    check: Option<String>,
    /// This group's.
    group: Option<String>,
    /// This region's.
    region: Option<String>,
    /// The 28 days up to here; up to now where nothing is said.
    at: Option<String>,
}

/// `GET /api/v1/impact-history`
pub async fn history(State(present): State<Present>, query: Ask<HistoryQuery>) -> Answer<Json<ImpactHistoryView>> {
    history_of(&present, ask(query)?).await.map(Json)
}

/// `GET /api/v1/impact-history.csv`
pub async fn history_csv(State(present): State<Present>, query: Ask<HistoryQuery>) -> Answer<Csv> {
    history_of(&present, ask(query)?).await.map(|view| csv::history(&view))
}

async fn history_of(present: &Present, query: HistoryQuery) -> Answer<ImpactHistoryView> {
    let HistoryQuery { check, group, region, at } = query;
    let at = past(at)?.unwrap_or_else(clock::now);
    let hours = match (&check, &group, &region) {
        (None, None, None) => present.impact_history(None, at).await?,
        (Some(id), None, None) => {
            let number = check_of(&present.app().book(), id)?.number;
            present.impact_history(Some(number), at).await?
        }
        // A group that no check is in any more has its history still.
        (None, Some(name), None) => {
            let group = Group::parse(name).map_err(|_| Problem::not_found("group", name))?;
            present.group_history(&group, at).await?
        }
        (None, None, Some(name)) => {
            let region = region_of(&present.app().book(), name)?;
            present.region_history(&region, at).await?
        }
        _ => return Err(Problem::new(Code::BadRequest, "ask for a check, a group or a region, not for several")),
    };
    Ok(ImpactHistoryView { check, group, region, hours })
}

/// `GET /api/v1/impact/{id}`: with what it was.
pub async fn impact(
    State(present): State<Present>,
    Path(id): Path<String>,
    query: Ask<ImpactQuery>,
) -> Answer<Json<ImpactDetailView>> {
    let ImpactQuery { at, evidence } = ask(query)?;
    let at = past(at)?;
    let number = check_of(&present.app().book(), &id)?.number;
    let (found, model) = match at {
        None => {
            let scores = present.scores().await?;
            (scores.checks.get(&number).cloned(), scores.model.label.clone())
        }
        Some(at) => {
            let scores = match evidence {
                Some(true) => present.scores_at(Some(number), None, at).await?,
                Some(false) | None => present.scores_then(Some(number), at).await?,
            };
            (scores.checks.get(&number).cloned(), scores.model.label)
        }
    };
    let found = found.ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            format!("check {id:?} did not live then: `sitepulse-collector history --check {id}` tells its life"),
        )
    })?;
    let history = present.impact_history(Some(number), at.unwrap_or_else(clock::now)).await?;
    // What each region saw is told of now.
    let regions = if at.is_none() { present.seen_by_regions(number).await? } else { Vec::new() };
    let regions = regions
        .iter()
        .map(|one| RegionImpactView { region: one.region.to_string(), impact: impact_view(&one.score, &one.model) });
    Ok(Json(ImpactDetailView { impact: impact_view(&found, &model), history, regions: regions.collect() }))
}

/// `POST /api/v1/impact-trials`: what another model would say. Changes nothing.
pub async fn trial(State(present): State<Present>, note: Note, request: Body<TrialBody>) -> Answer<Json<TrialView>> {
    let TrialBody { model, at, check, days } = body(request)?;
    note.tell("trial of a scoring model: nothing changes");
    let faults: Vec<String> = model.faults().iter().map(ToString::to_string).collect();
    if !faults.is_empty() {
        return Err(Problem::new(Code::BadRequest, format!("the model: {}", faults.join("; "))));
    }
    let days = days.unwrap_or(1);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::new(Code::BadRequest, format!("days={days}: a trial goes back 1 to {DAYS_MAX} days")));
    }
    let at = past(at)?.unwrap_or_else(clock::now);
    let only = check.map(|id| check_of(&present.app().book(), &id).map(|check| check.number)).transpose()?;
    tried(&present, model, only, days, at).await.map(Json)
}

/// What another model would say; one at a time.
///
/// # Errors
/// When the store cannot be read.
pub async fn tried(
    present: &Present,
    model: ScoringModel,
    only: Option<CheckNo>,
    days: u32,
    at: UtcMicros,
) -> Answer<TrialView> {
    let _seat = SEATS.acquire().await.map_err(|_| closing())?;
    present.trial(Model { label: "trial".into(), body: model }, only, days, at).await
}

/// An instant that is not ahead; `None` is now.
///
/// # Errors
/// When it lies ahead, or is none.
pub fn past(text: Option<String>) -> Answer<Option<UtcMicros>> {
    let now = clock::now();
    let at = text.map(|text| instant_of(&text, now)).transpose()?;
    match at {
        Some(at) if at > now => Err(Problem::new(Code::BadRequest, "at lies ahead: a score is made of evidence")),
        Some(_) | None => Ok(at),
    }
}

fn group_of(present: &Present, name: &str) -> Answer<Group> {
    let known = |group: &Group| {
        present
            .app()
            .book()
            .checks()
            .filter_map(|check| check.current())
            .any(|now| now.labels.group.as_ref() == Some(group))
    };
    Group::parse(name).ok().filter(known).ok_or_else(|| Problem::not_found("group", name))
}

fn closing() -> Problem {
    Problem::new(Code::Unavailable, "the collector is shutting down")
}
