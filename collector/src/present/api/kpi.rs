//! `/api/v1/kpi`: the figures of the banner.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Ask, ask};
use crate::present::Present;
use crate::present::dto::kpi::KpiView;
use crate::present::kpi::period::Period;
use crate::present::problem::{Answer, Code, Problem};

/// What is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KpiQuery {
    /// `24h`, `7d` or `30d`; 24h where nothing is said.
    period: Option<String>,
    /// The IANA time zone whose midnights periods of days begin at; UTC where nothing is said.
    zone: Option<String>,
}

/// `GET /api/v1/kpi`
pub async fn kpi(State(present): State<Present>, query: Ask<KpiQuery>) -> Answer<Json<KpiView>> {
    let KpiQuery { period, zone } = ask(query)?;
    let period = period.map_or(Ok(Period::default()), |text| {
        let unknown = || Problem::new(Code::BadRequest, format!("period={text:?}: use 24h, 7d or 30d"));
        Period::parse(&text).ok_or_else(unknown)
    })?;
    present.kpi(period, zone.as_deref()).await.map(Json)
}
