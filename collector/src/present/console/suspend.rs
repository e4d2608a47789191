//! Suspending a check, and letting it run again: a page with a short form, which opens as a dialog where scripts run.

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_daemon::instant;
use sitepulse_model::duration;

use super::acts::{self, Doer};
use super::broken_template;
use super::frame::{Frame, Place};
use super::parts::{Choice, Field, Input, Notice};
use crate::present::Present;
use crate::present::dto::{CheckView, ControlBody};
use crate::present::problem::{Answer, Problem};
use crate::present::text::Texts;

/// For how long a check can be suspended here.
const LENGTHS: [&str; 5] = ["1h", "4h", "1d", "7d", "30d"];

/// What the form says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Suspending {
    reason: String,
    length: String,
    agent: String,
}

#[derive(Template)]
#[template(path = "suspend.html")]
struct Content<'a> {
    t: &'a Texts,
    id: &'a str,
    title: String,
    notice: Option<Notice>,
    fields: Vec<Field>,
}

/// `GET /checks/{id}/suspend`
pub async fn suspend_check_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
) -> Answer<Response> {
    form(&present, &frame, &id, &Suspending::default(), None).await
}

/// `POST /checks/{id}/suspend`: then the check's page.
pub async fn suspend_check(
    State(present): State<Present>,
    doer: Doer,
    frame: Frame,
    Path(id): Path<String>,
    Form(asked): Form<Suspending>,
) -> Answer<Response> {
    let length = LENGTHS.into_iter().find(|length| *length == asked.length).unwrap_or(LENGTHS[0]);
    let until = clock::now().plus_us(i64::try_from(duration::parse(length).unwrap_or(0)).unwrap_or(0));
    let body = ControlBody {
        agent: (!asked.agent.is_empty()).then(|| asked.agent.clone()),
        check: Some(id.clone()),
        action: "suspend".into(),
        until: Some(instant::format(until)),
        reason: Some(asked.reason.clone()),
        weight: None,
    };
    match acts::control(&present, &doer, body).await {
        Ok(()) => Ok(back(&id)),
        Err(problem) if problem.is_not_found() => Err(problem),
        Err(problem) => form(&present, &frame, &id, &asked, Some(&problem)).await,
    }
}

/// `POST /checks/{id}/resume`: then the check's page.
pub async fn resume_check(
    State(present): State<Present>,
    doer: Doer,
    Path(id): Path<String>,
    Form(asked): Form<Suspending>,
) -> Answer<Response> {
    let body = ControlBody {
        agent: (!asked.agent.is_empty()).then_some(asked.agent),
        check: Some(id.clone()),
        action: "resume".into(),
        until: None,
        reason: None,
        weight: None,
    };
    acts::control(&present, &doer, body).await?;
    Ok(back(&id))
}

fn back(id: &str) -> Response {
    let to = HeaderValue::from_str(&format!("/checks/{id}")).unwrap_or(HeaderValue::from_static("/checks"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

async fn form(
    present: &Present,
    frame: &Frame,
    id: &str,
    asked: &Suspending,
    problem: Option<&Problem>,
) -> Answer<Response> {
    let (snapshot, t) = (present.snapshot().await?, frame.t);
    let row = snapshot.check(id).ok_or_else(|| Problem::not_found("check", id))?;
    let wrong = problem.map(|problem| (t.tell)(problem.detail()));
    let title = (t.page.suspend_title)(id);
    let fields = fields(row.check, asked, wrong.as_deref().unwrap_or_default(), t);
    let content = Content { t, id, title: title.clone(), notice: None, fields };
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let text = content.render().map_err(|_| broken_template())?;
    frame.around(status, Place::Checks, &title, None, text)
}

fn fields(check: &CheckView, asked: &Suspending, wrong: &str, t: &Texts) -> Vec<Field> {
    let w = t.page;
    let choice = |value: &str, label: String| Choice { value: value.to_owned(), label };
    let lengths = LENGTHS.map(|length| choice(length, (w.for_how_long)(length).to_owned()));
    let mut fields = vec![
        Field {
            label: w.reason.to_owned(),
            hint: w.reason_hint.to_owned(),
            error: wrong.to_owned(),
            required: true,
            wide: true,
            ..Field::text("reason", &asked.reason)
        },
        Field {
            label: w.until.to_owned(),
            input: Input::Select(lengths.into()),
            ..Field::text("length", &asked.length)
        },
    ];
    if check.agents.len() > 1 {
        let mut choices = vec![choice("", w.everywhere.to_owned())];
        choices.extend(check.agents.iter().map(|pair| choice(&pair.agent, (w.only_on)(&pair.agent))));
        let (label, input) = (w.scope.to_owned(), Input::Select(choices));
        fields.push(Field { label, input, ..Field::text("agent", &asked.agent) });
    }
    fields
}
