//! Weights and suspensions, by what they are about: `/api/v1/agents/{name}/weight`, `/api/v1/checks/{id}/suspension`, ...
//!
//! Each gives one control event, as `/api/v1/control` does; `/api/v1/history` has them all.

use axum::Json;
use axum::extract::{Extension, Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::clock;
use sitepulse_model::control::Scope;

use super::{Body, agent_of, body, change_of, check_of, control_note};
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::{ControlBody, EventView};
use crate::present::problem::Answer;
use crate::present::view::event_view;

/// A vote's weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightBody {
    /// 0 to 1000 with at most three decimals; 0 is watched, never counted.
    pub weight: f64,
}

/// A suspension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspensionBody {
    /// First instant of running again, within 366 days; an hour from now where nothing is said.
    #[serde(default)]
    pub until: Option<String>,
    /// Why: one line of 1 to 500 bytes.
    pub reason: String,
}

/// What is steered.
enum About {
    Agent(String),
    Check(String),
    Both { agent: String, check: String },
}

async fn give(
    present: &Present,
    (caller, note): (Caller, Note),
    about: About,
    what: ControlBody,
) -> Answer<Json<EventView>> {
    let now = clock::now();
    // What it is about stands in the address.
    note.tell(control_note(&what));
    let scope = {
        let book = present.app().book();
        match about {
            About::Agent(name) => Scope::Agent(agent_of(&book, &name)?),
            About::Check(id) => Scope::Check(check_of(&book, &id)?.number),
            About::Both { agent, check } => {
                Scope::AgentCheck(agent_of(&book, &agent)?, check_of(&book, &check)?.number)
            }
        }
    };
    let change = change_of(&what, scope, now)?;
    let event = present.app().control(scope, change, &caller.author, now).await?;
    Ok(Json(event_view(&present.app().book(), &event)))
}

fn suspend(request: Body<SuspensionBody>) -> Answer<ControlBody> {
    let SuspensionBody { until, reason } = body(request)?;
    Ok(ControlBody { action: "suspend".into(), until, reason: Some(reason), ..resume() })
}

fn resume() -> ControlBody {
    ControlBody { agent: None, check: None, action: "resume".into(), until: None, reason: None, weight: None }
}

fn weigh(request: Body<WeightBody>) -> Answer<ControlBody> {
    Ok(ControlBody { action: "weight".into(), weight: Some(body(request)?.weight), ..resume() })
}

/// `PUT /api/v1/agents/{name}/weight`
pub async fn weigh_agent(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path(name): Path<String>,
    request: Body<WeightBody>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Agent(name), weigh(request)?).await
}

/// `PUT /api/v1/agents/{name}/suspension`
pub async fn suspend_agent(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path(name): Path<String>,
    request: Body<SuspensionBody>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Agent(name), suspend(request)?).await
}

/// `DELETE /api/v1/agents/{name}/suspension`
pub async fn resume_agent(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path(name): Path<String>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Agent(name), resume()).await
}

/// `PUT /api/v1/checks/{id}/suspension`
pub async fn suspend_check(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path(id): Path<String>,
    request: Body<SuspensionBody>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Check(id), suspend(request)?).await
}

/// `DELETE /api/v1/checks/{id}/suspension`
pub async fn resume_check(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path(id): Path<String>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Check(id), resume()).await
}

/// `PUT /api/v1/checks/{id}/agents/{agent}/weight`
pub async fn weigh_pair(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path((check, agent)): Path<(String, String)>,
    request: Body<WeightBody>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Both { agent, check }, weigh(request)?).await
}

/// `PUT /api/v1/checks/{id}/agents/{agent}/suspension`
pub async fn suspend_pair(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path((check, agent)): Path<(String, String)>,
    request: Body<SuspensionBody>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Both { agent, check }, suspend(request)?).await
}

/// `DELETE /api/v1/checks/{id}/agents/{agent}/suspension`
pub async fn resume_pair(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path((check, agent)): Path<(String, String)>,
) -> Answer<Json<EventView>> {
    give(&present, (caller, note), About::Both { agent, check }, resume()).await
}
