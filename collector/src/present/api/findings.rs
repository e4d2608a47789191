//! `/api/v1/findings`.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::clock;

use super::{Body, body, check_of};
use crate::insight::shelf::Act;
use crate::present::Present;
use crate::present::door::Caller;
use crate::present::dto::findings::{AcknowledgeBody, FindingDetailView, FindingView};
use crate::present::findings;
use crate::present::list::{LIMIT_MAX, List, Listed};
use crate::present::problem::Answer;

/// What a list of findings is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindingsQuery {
    state: Option<String>,
    kind: Option<String>,
    severity: Option<String>,
    check: Option<String>,
}

/// `GET /api/v1/findings`: the newest first.
pub async fn findings(State(present): State<Present>, list: List<FindingsQuery>) -> Answer<Listed<FindingView>> {
    let List { query, page } = list;
    let (now, limit) = (clock::now(), page.limit_or(LIMIT_MAX));
    if let Some(check) = &query.check {
        check_of(&present.app().book(), check)?;
    }
    let FindingsQuery { state, kind, severity, check } = &query;
    let words = [state, kind, severity, check].map(Option::as_deref);
    // One more tells whether there is another page.
    let asked = findings::asked(words, limit + 1)?;
    let found = findings::page(&present, asked, page.cursor()?, now).await?;
    Ok(page.of_more(found, limit, |(key, _)| key.clone()).map(|(_, finding)| finding))
}

/// `GET /api/v1/findings/{id}`
pub async fn finding(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<FindingDetailView>> {
    findings::one(present.app(), &id, clock::now()).await.map(Json)
}

/// `POST /api/v1/findings/{id}/acknowledgement`: somebody knows, and says why it may stay.
pub async fn acknowledge(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Body<AcknowledgeBody>,
) -> Answer<Json<FindingDetailView>> {
    let AcknowledgeBody { note } = body(request)?;
    let now = clock::now();
    present.app().act_on_finding(&id, Act::Acknowledge { note }, &caller.author, now).await?;
    findings::one(present.app(), &id, now).await.map(Json)
}

/// `DELETE /api/v1/findings/{id}/acknowledgement`: that is taken back.
pub async fn take_back(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    present.app().act_on_finding(&id, Act::TakeBack, &caller.author, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
