//! `/api/v1/incidents`.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::{Extension, Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::CheckId;
use sitepulse_model::incident::{IncidentId, IncidentKind, Severity};
use sitepulse_model::time::UtcMicros;

use super::{Ask, Body, agent_of, ask, body, check_of, instant_of};
use crate::alert::people::{Act, Manual};
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::incidents::{IncidentDetailView, IncidentView, OpenBody, SummaryView};
use crate::present::incidents;
use crate::present::list::{Asked as Page, LIMIT_MAX, List, Listed};
use crate::present::problem::{Answer, Code, Problem};
use crate::store::incidents::{Asked, Which};

/// What a list of incidents is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentsQuery {
    pub(crate) state: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) check: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) kind: Option<String>,
    /// `newest` (where nothing is said) or `queue`: what to take first, of those that are not over.
    pub(crate) sort: Option<String>,
}

impl IncidentsQuery {
    /// The question in the store's words.
    ///
    /// # Errors
    /// When it makes no sense, or names what is not there.
    pub fn asked(&self, present: &Present, limit: usize, now: UtcMicros) -> Answer<Asked> {
        let bad = |what: String| Problem::new(Code::BadRequest, what);
        let at = |text: &Option<String>| text.as_deref().map(|text| instant_of(text, now)).transpose();
        let which = match self.state.as_deref() {
            None | Some("open") => Which::Open,
            Some("all") => Which::All,
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
        let book = present.app().book();
        let check = self.check.as_deref().map(|id| check_of(&book, id).map(|check| check.number)).transpose()?;
        let agent = self.agent.as_deref().map(|name| agent_of(&book, name)).transpose()?;
        Ok(Asked { period, which, check, agent, kind: kind.transpose()?, severity: None, limit })
    }
}

/// `GET /api/v1/incidents`: the newest first.
pub async fn incidents(State(present): State<Present>, list: List<IncidentsQuery>) -> Answer<Listed<IncidentView>> {
    let List { query, page } = list;
    let (now, limit) = (clock::now(), page.limit_or(LIMIT_MAX));
    match query.sort.as_deref() {
        None | Some("newest") => {}
        Some("queue") => return queued(&present, &query, &page, now).await,
        Some(other) => {
            let what = format!("sort={other:?}: use newest or queue");
            return Err(Problem::new(Code::BadRequest, what));
        }
    }
    // One more tells whether there is another page.
    let asked = query.asked(&present, limit + 1, now)?;
    let mut found = incidents::page(&present, asked, page.cursor()?, now).await?;
    present.rank(found.iter_mut().map(|(_, view)| view), now).await?;
    Ok(page.of_more(found, limit, |(key, _)| key.clone()).map(|(_, incident)| incident))
}

/// A page of the queue. Its order is that of severities, scores and age: what moves between two pages may be met twice or missed.
async fn queued(
    present: &Present,
    query: &IncidentsQuery,
    page: &Page,
    now: UtcMicros,
) -> Answer<Listed<IncidentView>> {
    let asked = query.asked(present, incidents::LIST_MAX, now)?;
    if asked.which != Which::Open {
        return Err(Problem::new(
            Code::BadRequest,
            "sort=queue is for incidents that are not over: leave out state=all",
        ));
    }
    let mut found = incidents::list(present, asked, now).await?;
    present.rank(&mut found, now).await?;
    page.of_all(found, |view| {
        let severity = Severity::parse(&view.severity).map_or(0, |severity| severity as u8);
        let score = view.rank.as_ref().and_then(|rank| rank.score).map(|score| (score * 100.0).round() as u32);
        let since = instant::parse(&view.since, now).unwrap_or(now).0;
        (view.state == "suspected", Reverse(severity), Reverse(score), since, view.id.clone())
    })
}

/// What a summary is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SummaryQuery {
    from: Option<String>,
    to: Option<String>,
    check: Option<String>,
}

/// `GET /api/v1/incidents/summary`
pub async fn summary(State(present): State<Present>, query: Ask<SummaryQuery>) -> Answer<Json<SummaryView>> {
    let SummaryQuery { from, to, check } = ask(query)?;
    let now = clock::now();
    let query = IncidentsQuery { from, to, check, ..IncidentsQuery::default() };
    let asked = query.asked(&present, 1, now)?;
    incidents::summary(present.app(), asked.period, asked.check).await.map(Json)
}

/// `GET /api/v1/incidents/{id}`
pub async fn incident(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<IncidentDetailView>> {
    let now = clock::now();
    let mut found = incidents::one(present.app(), &id, now).await?;
    present.rank([&mut found.incident], now).await?;
    Ok(Json(found))
}

/// `POST /api/v1/incidents`: opens one that nothing measured tells of.
pub async fn open(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<OpenBody>,
) -> Answer<Json<IncidentView>> {
    let OpenBody { title, check, severity } = body(request)?;
    note.tell(format!("incident: {title}"));
    let bad = |what: String| Problem::new(Code::BadRequest, what);
    let check = check.map(|id| CheckId::parse(&id).map_err(|_| Problem::not_found("check", &id))).transpose()?;
    let severity = severity.map(|text| {
        let all: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
        Severity::parse(&text).ok_or_else(|| bad(format!("severity={text:?}: use one of {}", all.join(", "))))
    });
    let manual = Manual { title, check, severity: severity.transpose()? };
    let now = clock::now();
    let told = manual.title.clone();
    let id = present.app().open_incident(manual, &caller.author, now).await?;
    note.tell(format!("incident {}: {told}", id.0));
    incidents::brief(present.app(), &id, now).await.map(Json)
}

/// What is done to an incident, in a word, and to whom.
pub(in crate::present) fn act_note(act: &Act) -> String {
    let told = serde_json::to_value(act).unwrap_or_default();
    let part = |key: &str| told[key].as_str().map(str::to_owned);
    let whom = part("by").or(part("to")).map(|whom| format!(", {whom}")).unwrap_or_default();
    part("act").unwrap_or_default() + &whom
}

/// `POST /api/v1/incidents/{id}/acts`: does something to it.
pub async fn act(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path(id): Path<String>,
    request: Body<Act>,
) -> Answer<Json<IncidentView>> {
    let act = body(request)?;
    note.tell(act_note(&act));
    let now = clock::now();
    present.app().act(&id, act, &caller.author, now).await?;
    incidents::brief(present.app(), &IncidentId(id), now).await.map(Json)
}
