//! `/api/v1/playbooks`, `/api/v1/playbook-runs` and what belongs to them.

use axum::Json;
use axum::extract::{Extension, Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::playbook::run::Entry;
use sitepulse_model::time::Span;

use super::{Ask, Body, ask, body, instant_of};
use crate::playbook::acts::Asked as About;
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::playbooks::{
    OffersView, PlaybookRunDetailView, PlaybookRunView, PlaybookView, RatesView, RunAct, StartRunBody,
};
use crate::present::list::{LIMIT_MAX, List, Listed, Nothing};
use crate::present::playbooks;
use crate::present::problem::{Answer, Code, Problem};
use crate::store::playbooks::Asked;

/// What offers are asked about: one of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OffersQuery {
    /// About this incident.
    incident: Option<String>,
    /// About this finding.
    finding: Option<String>,
    /// About this check.
    check: Option<String>,
}

/// What a list of runs is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunsQuery {
    /// `running`, which is the default, or `all`.
    state: Option<String>,
    /// Of this playbook alone.
    playbook: Option<String>,
    /// About this incident alone.
    incident: Option<String>,
    /// About this finding alone.
    finding: Option<String>,
    /// About this check alone.
    check: Option<String>,
}

/// What rates are asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatesQuery {
    from: Option<String>,
    to: Option<String>,
}

fn bad(what: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, what)
}

/// What one of three names; `None` where none is given.
fn about(incident: Option<String>, finding: Option<String>, check: Option<String>) -> Answer<Option<About>> {
    match (incident, finding, check) {
        (None, None, None) => Ok(None),
        (Some(id), None, None) => Ok(Some(About::Incident(id))),
        (None, Some(id), None) => Ok(Some(About::Finding(id))),
        (None, None, Some(id)) => Ok(Some(About::Check(id))),
        (_, _, _) => Err(bad("name one of incident, finding and check")),
    }
}

/// `GET /api/v1/playbooks`: own ones and built-in ones, by id.
pub async fn list(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<PlaybookView>> {
    let all = playbooks::library(&present, clock::now()).await?;
    list.page.of_all(all, |book| book.id.clone())
}

/// `GET /api/v1/playbooks/{id}`
pub async fn one(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<PlaybookView>> {
    playbooks::one(&present, &id, clock::now()).await.map(Json)
}

/// `GET /api/v1/playbook-offers`: what to do about something.
pub async fn offers(State(present): State<Present>, query: Ask<OffersQuery>) -> Answer<Json<OffersView>> {
    let OffersQuery { incident, finding, check } = ask(query)?;
    let about = about(incident, finding, check)?.ok_or_else(|| bad("name one of incident, finding and check"))?;
    playbooks::offers(&present, &about, clock::now()).await.map(Json)
}

/// `GET /api/v1/playbook-rates`: what the runs that were started in a period come to.
pub async fn rates(State(present): State<Present>, query: Ask<RatesQuery>) -> Answer<Json<RatesView>> {
    let RatesQuery { from, to } = ask(query)?;
    let now = clock::now();
    let usual = playbooks::period(now);
    let at = |text: Option<String>| text.map(|text| instant_of(&text, now)).transpose();
    let to = at(to)?.unwrap_or(usual.to);
    let from = at(from)?.unwrap_or_else(|| to.plus_us(-playbooks::PERIOD_US));
    if from >= to {
        return Err(bad("the period is empty: `from` must lie before `to`"));
    }
    playbooks::rates(&present, Span::new(from, to)).await.map(Json)
}

/// `GET /api/v1/playbook-runs`: the newest first.
pub async fn runs(State(present): State<Present>, list: List<RunsQuery>) -> Answer<Listed<PlaybookRunView>> {
    let List { query, page } = list;
    let RunsQuery { state, playbook, incident, finding, check } = query;
    let ended = match state.as_deref() {
        None | Some("running") => false,
        Some("all") => true,
        Some(other) => return Err(bad(format!("state={other:?}: use running or all"))),
    };
    let occasion = about(incident, finding, check)?.map(|about| match about {
        About::Incident(id) => ("incident", id),
        About::Finding(id) => ("finding", id),
        About::Check(id) => ("check", id),
    });
    let limit = page.limit_or(LIMIT_MAX);
    // One more tells whether there is another page.
    let asked = Asked { ended, playbook, occasion, limit: limit + 1 };
    let found = playbooks::runs(&present, asked, page.cursor()?, clock::now()).await?;
    Ok(page.of_more(found, limit, |(key, _)| key.clone()).map(|(_, run)| run))
}

/// `GET /api/v1/playbook-runs/{id}`
pub async fn run(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<PlaybookRunDetailView>> {
    playbooks::run(present.app(), &id, clock::now()).await.map(Json)
}

/// `POST /api/v1/playbook-runs`: starts a playbook.
pub async fn start(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<StartRunBody>,
) -> Answer<Json<PlaybookRunDetailView>> {
    let StartRunBody { playbook, incident, finding, check } = body(request)?;
    let whose = incident.as_ref().or(finding.as_ref()).or(check.as_ref()).map(String::as_str).unwrap_or_default();
    note.tell(format!("playbook {playbook} for {whose}"));
    let about = about(incident, finding, check)?.ok_or_else(|| bad("name one of incident, finding and check"))?;
    let now = clock::now();
    let run = present.app().start_playbook(&playbook, about, &caller.author, now).await?;
    Ok(Json(playbooks::detail_view(&run, now)))
}

/// `POST /api/v1/playbook-runs/{id}/acts`: does something to it.
pub async fn act(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Body<RunAct>,
) -> Answer<Json<PlaybookRunDetailView>> {
    let entry = entry_of(body(request)?);
    let now = clock::now();
    let run = present.app().act_on_playbook(&id, entry, &caller.author, now).await?;
    Ok(Json(playbooks::detail_view(&run, now)))
}

/// An act as the run takes it. What is written is taken without the spaces around it.
pub fn entry_of(act: RunAct) -> Entry {
    let text = |text: String| text.trim().replace("\r\n", "\n");
    match act {
        RunAct::Tick { step } => Entry::Done { step, seen: None },
        RunAct::Skip { step, reason } => Entry::Skipped { step, reason: text(reason) },
        RunAct::Undo { step } => Entry::Undone { step },
        RunAct::Note { text: note } => Entry::Noted { text: text(note) },
        RunAct::Finish => Entry::Finished,
        RunAct::Abandon { reason } => Entry::Abandoned { reason: text(reason) },
    }
}
