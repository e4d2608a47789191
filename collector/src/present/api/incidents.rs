//! `/api/v1/incidents`.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::incident::IncidentKind;
use sitepulse_model::time::UtcMicros;

use super::{Ask, agent_of, ask, check_of, instant_of};
use crate::present::Present;
use crate::present::dto::incidents::{IncidentDetailView, IncidentView};
use crate::present::incidents::{self, LIST_DEFAULT, LIST_MAX};
use crate::present::problem::{Answer, Code, Problem};
use crate::store::incidents::Asked;

/// What a list of incidents is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentsQuery {
    pub(crate) state: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) check: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) limit: Option<usize>,
}

impl IncidentsQuery {
    /// The question in the store's words.
    ///
    /// # Errors
    /// When it makes no sense, or names what is not there.
    pub fn asked(&self, present: &Present, now: UtcMicros) -> Answer<Asked> {
        let bad = |what: String| Problem::new(Code::BadRequest, what);
        let at = |text: &Option<String>| text.as_deref().map(|text| instant_of(text, now)).transpose();
        let resolved = match self.state.as_deref() {
            None | Some("open") => false,
            Some("all") => true,
            Some(other) => return Err(bad(format!("state={other:?}: use open or all"))),
        };
        let period = incidents::period(at(&self.from)?, at(&self.to)?, now);
        if period.from >= period.to {
            return Err(bad("the period is empty: `from` must lie before `to`".into()));
        }
        let kind = self.kind.as_deref().map(|kind| {
            let all: Vec<&str> = IncidentKind::ALL.iter().map(|kind| kind.as_str()).collect();
            IncidentKind::parse(kind).ok_or_else(|| bad(format!("kind={kind:?}: use one of {}", all.join(", "))))
        });
        let limit = self.limit.unwrap_or(LIST_DEFAULT);
        if !(1..=LIST_MAX).contains(&limit) {
            return Err(bad(format!("limit={limit}: a list has 1 to {LIST_MAX} incidents")));
        }
        let book = present.app().book();
        let check = self.check.as_deref().map(|id| check_of(&book, id).map(|check| check.number)).transpose()?;
        let agent = self.agent.as_deref().map(|name| agent_of(&book, name)).transpose()?;
        Ok(Asked { period, resolved, check, agent, kind: kind.transpose()?, limit })
    }
}

/// `GET /api/v1/incidents`: the newest first.
pub async fn incidents(State(present): State<Present>, query: Ask<IncidentsQuery>) -> Answer<Json<Vec<IncidentView>>> {
    let now = clock::now();
    let asked = ask(query)?.asked(&present, now)?;
    incidents::list(&present, asked, now).await.map(Json)
}

/// `GET /api/v1/incidents/{id}`
pub async fn incident(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<IncidentDetailView>> {
    incidents::one(present.app(), &id, clock::now()).await.map(Json)
}
