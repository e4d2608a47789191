//! `/api/v1/indicators`: how alerting does, and the lists behind it.

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_model::incident::Severity;

use super::{Ask, ask};
use crate::present::Present;
use crate::present::dto::indicators::{CountedView, IndicatorsView};
use crate::present::indicators::{Asked, Of};
use crate::present::kpi::period::Period;
use crate::present::list::{List, Listed};
use crate::present::problem::{Answer, Code, Problem};

/// What the indicators are asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndicatorsQuery {
    /// `24h`, `7d` or `30d`; 30d where nothing is said.
    period: Option<String>,
    /// The IANA time zone whose midnights periods of days begin at; UTC where nothing is said.
    zone: Option<String>,
}

/// What a list behind a figure is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountedQuery {
    /// As of the indicators.
    period: Option<String>,
    /// As of the indicators.
    zone: Option<String>,
    /// Incidents of this severity alone: `critical`, `major`, `minor` or `info`.
    severity: Option<String>,
    /// The period before instead.
    #[serde(default)]
    before: bool,
}

/// Reads a period; 30 days where nothing is said.
pub(in crate::present) fn period_of(text: Option<&str>) -> Answer<Period> {
    let unknown = |text: &str| Problem::new(Code::BadRequest, format!("period={text:?}: use 24h, 7d or 30d"));
    text.map_or(Ok(Period::Month), |text| Period::parse(text).ok_or_else(|| unknown(text)))
}

/// Reads a severity.
pub(in crate::present) fn severity_of(text: Option<&str>) -> Answer<Option<Severity>> {
    let unknown =
        |text: &str| Problem::new(Code::BadRequest, format!("severity={text:?}: use critical, major, minor or info"));
    text.map(|text| Severity::parse(text).ok_or_else(|| unknown(text))).transpose()
}

/// `GET /api/v1/indicators`
pub async fn indicators(State(present): State<Present>, query: Ask<IndicatorsQuery>) -> Answer<Json<IndicatorsView>> {
    let IndicatorsQuery { period, zone } = ask(query)?;
    let asked = Asked { period: period_of(period.as_deref())?, zone, ..Asked::default() };
    present.indicators(&asked).await.map(Json)
}

/// `GET /api/v1/indicators/{figure}`: the list that a figure counts, the oldest first.
pub async fn counted(
    State(present): State<Present>,
    Path(figure): Path<String>,
    list: List<CountedQuery>,
) -> Answer<Listed<CountedView>> {
    let of = Of::parse(&figure).ok_or_else(|| {
        let all: Vec<&str> = Of::ALL.iter().map(|(name, _)| *name).collect();
        Problem::new(Code::NotFound, format!("there is no figure {figure:?}: use one of {}", all.join(", ")))
    })?;
    let List { query: CountedQuery { period, zone, severity, before }, page } = list;
    let (period, severity) = (period_of(period.as_deref())?, severity_of(severity.as_deref())?);
    let found = present.counted(of, &Asked { period, zone, before, severity }).await?;
    // Two pages of an incident may be told of the same instant.
    let numbered = found.into_iter().enumerate().map(|(at, one)| ((one.at.clone(), at), one)).collect();
    Ok(page.of_all(numbered, |(key, _): &((String, usize), CountedView)| (key.1, key.0.clone()))?.map(|(_, one)| one))
}
