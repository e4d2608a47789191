//! Silences: what keeps pages still, now, before and to come.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;

use super::acts::{self, Doer, Until};
use super::frame::{Frame, Place};
use super::incidents::moment;
use super::parts::{Field, Input};
use super::sheet::{Sheet, choice, line, until_fields};
use crate::alert::silence::SILENCES_MAX;
use crate::app::Access;
use crate::present::Present;
use crate::present::api::silences::silence_view;
use crate::present::dto::incidents::{SilenceBody, SilenceView};
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::text::alerting::AlertingTexts;
use crate::present::text::desk::DeskTexts;
use crate::store::silences as stored;

/// Most silences that are over and shown: the newest.
const PAST_SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "desk/silences.html")]
struct List<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    d: &'a DeskTexts,
    may_act: bool,
    living: Vec<Row>,
    past: Vec<Row>,
}

struct Row {
    id: String,
    class: &'static str,
    state: &'static str,
    scope: Vec<String>,
    reason: String,
    from: String,
    until: String,
    author: String,
    ended: String,
    living: bool,
}

/// What a form begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SilenceForm {
    checks: String,
    groups: String,
    tags: String,
    agents: String,
    everything: String,
    reason: String,
    r#for: String,
    until: String,
}

/// `GET /silences`
pub async fn silences_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    show(&present, &frame).await
}

/// `GET /silences/new`: the form; the query says what is in it.
pub async fn new_silence(frame: Frame, Query(form): Query<SilenceForm>) -> Answer<Response> {
    sheet(&frame, &form)
}

/// `POST /silences/new`
pub async fn make_silence(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Form(form): Form<SilenceForm>,
) -> Answer<Response> {
    match made(&present, &doer, &form).await {
        Ok(()) => Ok(acts::see("/silences")),
        Err(why) => sheet(&frame.refused("/silences/new", why), &form),
    }
}

/// `POST /silences/{id}/end`
pub async fn end_silence(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(id): Path<String>,
) -> Answer<Response> {
    match acts::unsilence(&present, &doer, &id).await {
        Ok(()) => Ok(acts::see("/silences")),
        Err(why) => show(&present, &frame.refused("/silences", why)).await,
    }
}

async fn made(present: &Present, doer: &Doer, form: &SilenceForm) -> Answer<()> {
    let names = |text: &str| -> Vec<String> {
        text.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let until = Until { r#for: form.r#for.clone(), until: form.until.clone() }.instant(clock::now())?;
    let body = SilenceBody {
        checks: names(&form.checks),
        groups: names(&form.groups),
        tags: names(&form.tags),
        agents: names(&form.agents),
        everything: form.everything == "yes",
        from: None,
        until,
        reason: form.reason.clone(),
    };
    acts::silence(present, doer, body).await
}

fn sheet(frame: &Frame, form: &SilenceForm) -> Answer<Response> {
    let (t, d) = (frame.t, frame.t.desk);
    let [lasts, until] = until_fields(&form.r#for, &form.until, t);
    let names = |name, label: &str, value: &str| Field { label: label.to_owned(), ..Field::text(name, value) };
    let everything = vec![choice("", d.no), choice("yes", d.yes)];
    let fields = vec![
        line("reason", d.reason, &form.reason),
        Field { hint: d.names_what.into(), ..names("checks", t.checks, &form.checks) },
        names("groups", d.groups, &form.groups),
        names("tags", d.tags, &form.tags),
        names("agents", t.agents, &form.agents),
        Field {
            label: d.everything_field.into(),
            input: Input::Select(everything),
            ..Field::text("everything", &form.everything)
        },
        lasts,
        until,
    ];
    let sheet = Sheet {
        title: d.new_silence.into(),
        intro: d.silence_what.into(),
        from: ("/silences".into(), t.alerting.silences.into()),
        action: "/silences/new".into(),
        fields,
        submit: d.new_silence,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Silences)
}

async fn show(present: &Present, frame: &Frame) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let all = present.app().read_store(move |tables| stored::list(tables, None, 10 * SILENCES_MAX)).await?;
    let all: Vec<SilenceView> = all.iter().map(|one| silence_view(one, now)).collect();
    let (living, past): (Vec<_>, Vec<_>) =
        all.iter().partition(|one| ["active", "planned"].contains(&one.state.as_str()));
    let content = List {
        t,
        w: t.alerting,
        d: t.desk,
        may_act: frame.may(Access::Respond),
        living: living.iter().map(|one| Row::of(one, now, t)).collect(),
        past: past.iter().rev().take(PAST_SHOWN).map(|one| Row::of(one, now, t)).collect(),
    };
    frame.page(Place::Silences, t.alerting.silences, Some("incident objects figures"), &content)
}

impl Row {
    fn of(one: &SilenceView, now: UtcMicros, t: &Texts) -> Self {
        let d = t.desk;
        let part = |word: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{word}{}{}", t.colon, names.join(", ")))
        };
        let everything = one.everything.then(|| d.everything.to_owned());
        let scope = [
            everything,
            part(t.checks, &one.checks),
            part(d.groups, &one.groups),
            part(d.tags, &one.tags),
            part(t.agents, &one.agents),
        ];
        let (class, state) = match one.state.as_str() {
            "active" => ("maintenance", d.active),
            "planned" => ("degraded", d.planned),
            _ => ("unknown", d.over),
        };
        let person = |name: &str| name.strip_prefix("collector:").unwrap_or(name).to_owned();
        Self {
            id: one.id.clone(),
            class,
            state,
            scope: scope.into_iter().flatten().collect(),
            reason: one.reason.clone(),
            from: moment(&one.from, now),
            until: moment(&one.until, now),
            author: person(&one.author),
            ended: one.ended_by.as_deref().map(|by| (d.ended_by)(&person(by))).unwrap_or_default(),
            living: ["active", "planned"].contains(&one.state.as_str()),
        }
    }
}
