//! `/api/v1/impact`: what to look at first.

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::id::Group;
use sitepulse_model::time::UtcMicros;
use tokio::sync::Semaphore;

use super::{Ask, Body, ask, body, check_of, instant_of};
use crate::impact::Model;
use crate::present::Present;
use crate::present::dto::impact::{ImpactDetailView, ImpactsView, TrialBody, TrialView};
use crate::present::impact::{impact_view, impacts_view};
use crate::present::problem::{Answer, Code, Problem};

/// Scores of other instants that are found at a time; more wait.
static SEATS: Semaphore = Semaphore::const_new(1);
/// Most checks of a list.
const LIST_MAX: usize = 10_000;

/// What a list is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpactsQuery {
    /// The checks of this group alone.
    group: Option<String>,
    /// Of when: an instant, or an age like `-7d`; now where nothing is said.
    at: Option<String>,
    /// Most checks: the worst ones.
    limit: Option<usize>,
}

/// What one is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpactQuery {
    /// Of when: an instant, or an age like `-7d`; now where nothing is said.
    at: Option<String>,
}

/// `GET /api/v1/impact`: the worst first.
pub async fn impacts(State(present): State<Present>, query: Ask<ImpactsQuery>) -> Answer<Json<ImpactsView>> {
    let ImpactsQuery { group, at, limit } = ask(query)?;
    let limit = limit.unwrap_or(LIST_MAX);
    if !(1..=LIST_MAX).contains(&limit) {
        let what = format!("limit={limit}: a list has 1 to {LIST_MAX} checks");
        return Err(Problem::new(Code::BadRequest, what));
    }
    let group = group.map(|name| group_of(&present, &name)).transpose()?;
    let mut view = match past(at)? {
        None => impacts_view(&*present.scores().await?, group.as_ref()),
        Some(at) => {
            let _seat = SEATS.acquire().await.map_err(|_| closing())?;
            impacts_view(&present.scores_at(None, at).await?, group.as_ref())
        }
    };
    view.checks.truncate(limit);
    Ok(Json(view))
}

/// `GET /api/v1/impact/{id}`: with what it was.
pub async fn impact(
    State(present): State<Present>,
    Path(id): Path<String>,
    query: Ask<ImpactQuery>,
) -> Answer<Json<ImpactDetailView>> {
    let at = past(ask(query)?.at)?;
    let number = check_of(&present.app().book(), &id)?.number;
    let (found, model) = match at {
        None => {
            let scores = present.scores().await?;
            (scores.checks.get(&number).cloned(), scores.model.label.clone())
        }
        Some(at) => {
            let scores = present.scores_at(Some(number), at).await?;
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
    Ok(Json(ImpactDetailView { impact: impact_view(&found, &model), history }))
}

/// `POST /api/v1/impact-trials`: what another model would say. Changes nothing.
pub async fn trial(State(present): State<Present>, request: Body<TrialBody>) -> Answer<Json<TrialView>> {
    let TrialBody { model, at, check } = body(request)?;
    let faults: Vec<String> = model.faults().iter().map(ToString::to_string).collect();
    if !faults.is_empty() {
        return Err(Problem::new(Code::BadRequest, format!("the model: {}", faults.join("; "))));
    }
    let at = past(at)?.unwrap_or_else(clock::now);
    let only = check.map(|id| check_of(&present.app().book(), &id).map(|check| check.number)).transpose()?;
    let _seat = SEATS.acquire().await.map_err(|_| closing())?;
    present.trial(Model { label: "trial".into(), body: model }, only, at).await.map(Json)
}

/// An instant that is not ahead; `None` is now.
fn past(text: Option<String>) -> Answer<Option<UtcMicros>> {
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
