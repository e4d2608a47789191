//! `/api/v1/silences`.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::time::{Span, UtcMicros};

use super::{Body, body, instant_of};
use crate::alert::silence::{SILENCES_MAX, Scope, Silence, Wanted};
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::incidents::{SilenceBody, SilenceView};
use crate::present::list::{List, Listed};
use crate::present::problem::{Answer, Code, Problem};
use crate::store::silences;

/// What a list of silences is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilencesQuery {
    #[serde(default)]
    all: bool,
}

/// A silence as JSON.
pub fn silence_view(silence: &Silence, now: UtcMicros) -> SilenceView {
    let Scope { checks, groups, tags, agents, everything } = silence.body.scope.clone();
    let state = match (&silence.body.ended, silence.span) {
        (Some(_), _) => "ended",
        (None, span) if span.contains(now) => "active",
        (None, span) if now < span.from => "planned",
        (None, _) => "over",
    };
    SilenceView {
        id: silence.id.clone(),
        state: state.to_owned(),
        checks,
        groups,
        tags,
        agents,
        everything,
        from: instant::format(silence.span.from),
        until: instant::format(silence.span.to),
        reason: silence.body.reason.clone(),
        author: silence.body.author.clone(),
        ended_by: silence.body.ended.as_ref().map(|(by, _)| by.clone()),
    }
}

/// `GET /api/v1/silences`: those that are not over, or every one, by their beginning.
pub async fn silences(State(present): State<Present>, list: List<SilencesQuery>) -> Answer<Listed<SilenceView>> {
    let List { query: SilencesQuery { all }, page } = list;
    let now = clock::now();
    let not_over_at = (!all).then_some(now);
    let found = present.app().read_store(move |tables| silences::list(tables, not_over_at, 10 * SILENCES_MAX)).await?;
    let found = page.of_all(found, |silence| (silence.span.from.0, silence.id.clone()))?;
    Ok(found.map(|silence| silence_view(&silence, now)))
}

/// `POST /api/v1/silences`
pub async fn silence(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<SilenceBody>,
) -> Answer<Json<SilenceView>> {
    let request = body(request)?;
    let now = clock::now();
    let covered = [&request.checks, &request.groups, &request.tags, &request.agents];
    let covered: Vec<&str> = covered.into_iter().flatten().map(String::as_str).collect();
    let covered = if request.everything { "everything".to_owned() } else { covered.join(", ") };
    note.tell(format!("silence of {covered} until {}: {}", request.until, request.reason));
    let from = request.from.as_deref().map(|text| instant_of(text, now)).transpose()?.unwrap_or(now);
    let until = instant_of(&request.until, now)?;
    if until <= from {
        return Err(Problem::new(
            Code::BadRequest,
            "the silence would be over already: `until` must lie ahead, and after `from`",
        ));
    }
    let SilenceBody { checks, groups, tags, agents, everything, reason, .. } = request;
    let scope = Scope { checks, groups, tags, agents, everything };
    let wanted = Wanted { scope, span: Span::new(from, until), reason };
    let made = present.app().silence(wanted, &caller.author, now).await?;
    Ok(Json(silence_view(&made, now)))
}

/// `DELETE /api/v1/silences/{id}`: ends it now; it stays in the list of all.
pub async fn unsilence(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    present.app().unsilence(&id, &caller.author, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
