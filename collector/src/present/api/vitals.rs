//! `/api/v1/checks/{id}/vitals` and the screenshots.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;

use super::{Ask, agent_of, ask, check_of, is_by_agent, period_of, region_of};
use crate::present::Present;
use crate::present::dto::vitals::VitalsView;
use crate::present::openapi::signature::{Gives, Operation};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::view::vitals::vitals_view;
use crate::vitals::figures::{self, Figures, Frame};
use crate::vitals::profile_of;

/// What the vitals of a check are asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VitalsQuery {
    from: Option<String>,
    to: Option<String>,
    profile: Option<String>,
    region: Option<String>,
    agent: Option<String>,
    by: Option<String>,
}

/// `GET /api/v1/checks/{id}/vitals`
pub async fn vitals(
    State(present): State<Present>,
    Path(id): Path<String>,
    query: Ask<VitalsQuery>,
) -> Answer<Json<VitalsView>> {
    let query = ask(query)?;
    let now = clock::now();
    let (from, to) = period_of(query.from.as_deref(), query.to.as_deref(), now)?;
    let by_agent = is_by_agent(query.by.as_deref())?;
    let asked = {
        let book = present.app().book();
        figures::Ask {
            from,
            to,
            profile: query.profile,
            region: query.region.as_deref().map(|region| region_of(&book, region)).transpose()?,
            agent: query.agent.as_deref().map(|agent| agent_of(&book, agent)).transpose()?,
            by_agent,
        }
    };
    Ok(Json(vitals_view(&figures_of(&present, &id, asked, now).await?)))
}

/// The figures of a check.
///
/// # Errors
/// When there is no such check, or it loads no page.
pub async fn figures_of(present: &Present, id: &str, asked: figures::Ask, now: UtcMicros) -> Answer<Figures> {
    let frame = {
        let book = present.app().book();
        let check = check_of(&book, id)?;
        if profile_of(&check.newest().definition).is_none() {
            let kind = check.newest().definition.kind.as_str();
            let what = format!("check {id} is of kind {kind}: only web_vitals checks have vitals");
            return Err(Problem::new(Code::BadRequest, what));
        }
        if let Some(profile) = &asked.profile
            && !check.revisions.iter().any(|one| profile_of(&one.definition).is_some_and(|of| of.name() == profile))
        {
            return Err(Problem::not_found("profile of the check", profile));
        }
        Frame::of(&book, check, asked, now)
    };
    let mut figures = present.app().vitals(frame).await?;
    figures.judge(&present.app().book(), now);
    Ok(figures)
}

/// `GET /api/v1/checks/{id}/screenshots/{agent}/{slot}`: the picture itself. The slot in microseconds since 1970.
pub async fn screenshot(
    State(present): State<Present>,
    Path((id, agent, slot)): Path<(String, String, String)>,
) -> Answer<Jpeg> {
    let gone = || Problem::new(Code::NotFound, format!("no such screenshot of check {id} is kept: the newest 20 are"));
    let (bucket, number, key) = {
        let book = present.app().book();
        let check = check_of(&book, &id)?;
        let scheduled = UtcMicros(slot.parse().map_err(|_| gone())?);
        // A name that a revoked agent left may have been taken again.
        let named = check.screenshots.iter().find(|key| {
            key.scheduled == scheduled && book.agent(key.agent).is_some_and(|one| one.name.as_str() == agent)
        });
        (check.bucket(), check.number, *named.ok_or_else(gone)?)
    };
    let jpeg = present.app().screenshot(bucket, number, key).await?.ok_or_else(gone)?;
    Ok(Jpeg(jpeg))
}

/// A picture.
pub struct Jpeg(Vec<u8>);

impl IntoResponse for Jpeg {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
            (header::CONTENT_DISPOSITION, HeaderValue::from_static("inline; filename=\"screenshot.jpg\"")),
        ];
        (headers, self.0).into_response()
    }
}

impl Gives for Jpeg {
    fn tell(operation: &mut Operation<'_>) {
        operation.answer(200, "The picture.", Some(("image/jpeg", json!({}))));
    }
}
