//! Channels: by which ways messages go out, what became of the last ones, a test, and the log with its dead letters.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use sitepulse_daemon::clock;
use sitepulse_model::channel::Channel;
use sitepulse_model::channel::setting::{Holds, SECRET};
use sitepulse_model::channel::way::{Way, WayField};
use sitepulse_model::incident::IncidentId;
use sitepulse_model::time::UtcMicros;

use super::acts::{self, Doer, quoted};
use super::frame::{Frame, Place};
use super::incidents::moment;
use super::parts::{Field, Input};
use super::sheet::{Sheet, choice, line};
use crate::app::Access;
use crate::book::ObjectKind;
use crate::outbox::Message;
use crate::present::api::definitions;
use crate::present::channels::{ChannelView, DeliveryView, delivery};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::alerting::AlertingTexts;
use crate::present::text::cause::Why;
use crate::present::text::desk::DeskTexts;
use crate::present::{Present, channels, figure};
use crate::store::{incidents as stored, outbox};

const KIND: ObjectKind = ObjectKind::Channel;
/// Most lines of the log that are looked through.
const LOG_MAX: usize = 1_000;
/// Most lines of the log that are shown.
const LOG_SHOWN: usize = 100;
/// Most dead letters.
const DEAD_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "desk/channels.html")]
struct Content<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    d: &'a DeskTexts,
    may_respond: bool,
    may_edit: bool,
    /// What a test that was just made came to.
    tested: Option<Line>,
    channels: Vec<Row>,
    dead: Vec<Dead>,
    fields: Vec<Field>,
    log: Vec<Line>,
}

struct Row {
    id: String,
    kind: String,
    language: String,
    used_by: String,
    secrets: String,
    missing: bool,
    last: Option<Line>,
}

/// An attempt.
struct Line {
    channel: String,
    incident: String,
    /// Whether the incident has a page: a test has none.
    page: bool,
    step: u32,
    attempt: u32,
    class: &'static str,
    state: &'static str,
    at: String,
    took: String,
    note: Why,
}

/// A message that nobody tries any more.
struct Dead {
    incident: String,
    step: u32,
    channel: String,
    event: &'static str,
    at: String,
    attempts: u32,
}

/// What is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ChannelsQuery {
    tested: String,
    state: String,
    channel: String,
    incident: String,
}

/// Which message to try again.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RetryForm {
    incident: String,
    step: String,
}

/// Which kind of channel to write.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct KindQuery {
    kind: String,
}

/// The kinds to choose from.
#[derive(Template)]
#[template(path = "desk/channel_kinds.html")]
struct Kinds<'a> {
    w: &'a AlertingTexts,
    d: &'a DeskTexts,
    kinds: &'a [&'static str],
}

/// `GET /channels`
pub async fn channels_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<ChannelsQuery>,
) -> Answer<Response> {
    show(&present, &frame, &query).await
}

/// `POST /channels/{id}/test`: sends a test, then the page with what the provider said.
pub async fn test_channel(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(id): Path<String>,
) -> Answer<Response> {
    match acts::test(&present, &doer, &id).await {
        Ok(()) => Ok(acts::see(&format!("/channels?tested={id}"))),
        Err(why) => show(&present, &frame.refused("/channels", why), &ChannelsQuery::default()).await,
    }
}

/// `POST /channels/{id}/retry`: a message by it is tried again.
pub async fn retry_delivery(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(id): Path<String>,
    Form(form): Form<RetryForm>,
) -> Answer<Response> {
    match acts::retry(&present, &doer, &form.incident, &form.step, &id).await {
        Ok(()) => Ok(acts::see("/channels")),
        Err(why) => show(&present, &frame.refused("/channels", why), &ChannelsQuery::default()).await,
    }
}

/// `GET /channels/new`: the kinds, then the form of one.
pub async fn new_channel(frame: Frame, Query(query): Query<KindQuery>) -> Answer<Response> {
    if !Way::KINDS.contains(&query.kind.as_str()) {
        let content = Kinds { w: frame.t.alerting, d: frame.t.desk, kinds: Way::KINDS };
        return frame.page(Place::Channels, frame.t.desk.new_channel, None, &content);
    }
    sheet(&frame, None, &BTreeMap::from([("kind".to_owned(), query.kind)]))
}

/// `GET /channels/{id}/edit`: the form.
pub async fn edit_channel(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    let (channel, tag) = {
        let book = present.app().book();
        let found = book.objects().channels.current(&id).ok_or_else(|| Problem::not_found("channel", &id))?;
        (found.body.clone(), definitions::tag_of(&book, KIND, &id).unwrap_or_default())
    };
    let mut keys = written(&channel);
    keys.insert("tag".to_owned(), tag);
    sheet(&frame, Some(&id), &keys)
}

/// `POST /channels/new` and `/channels/{id}/edit`: applies what the form says.
pub async fn apply_channel(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    path: Option<Path<String>>,
    Form(mut form): Form<BTreeMap<String, String>>,
) -> Answer<Response> {
    let id = path.map(|Path(id)| id);
    match applied(&present, &frame, &doer, id.as_deref(), &form).await {
        Ok(()) => Ok(acts::see("/channels")),
        Err(mut why) => {
            let t = frame.t;
            match &id {
                // Somebody else was faster: whoever sends the form again has seen that.
                Some(id) if why.code() == Code::Changed => {
                    form.insert("tag".to_owned(), acts::tag_of(&present, KIND, id));
                    why = Problem::new(Code::Changed, t.trouble.changed_below);
                }
                None if why.code() == Code::Changed => {
                    let id = form.get("id").map(|id| id.trim()).unwrap_or_default();
                    why = Problem::new(Code::Conflict, (t.trouble.taken)(id));
                }
                Some(_) | None => {}
            }
            let own = id.as_ref().map_or_else(|| "/channels".to_owned(), |id| format!("/channels/{id}/edit"));
            sheet(&frame.refused(own, why), id.as_deref(), &form)
        }
    }
}

fn current(present: &Present, id: &str) -> Answer<Channel> {
    let book = present.app().book();
    let found = book.objects().channels.current(id).ok_or_else(|| Problem::not_found("channel", id))?;
    Ok(found.body.clone())
}

/// The keys of a channel as texts.
fn written(channel: &Channel) -> BTreeMap<String, String> {
    let Ok(Value::Object(keys)) = serde_json::to_value(channel) else { return BTreeMap::new() };
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
    };
    keys.into_iter().map(|(key, value)| (key, text(value))).collect()
}

/// The name of the secret of a key that is written in no file yet.
fn secret_name(id: &str, key: &str) -> String {
    format!("{id}-{key}")
}

async fn applied(
    present: &Present,
    frame: &Frame,
    doer: &Doer,
    id: Option<&str>,
    form: &BTreeMap<String, String>,
) -> Answer<()> {
    let told = |key: &str| form.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
    let before = id.map(|id| current(present, id)).transpose()?.map(|channel| written(&channel)).unwrap_or_default();
    let kind = before.get("kind").map_or_else(|| told("kind").unwrap_or_default(), String::as_str);
    let id = id.or_else(|| told("id")).unwrap_or_default();
    let mut toml = format!("[[channel]]\nid = {}\nkind = {}\n", quoted(id), quoted(kind));
    let mut add = |key: &str, value: String| toml.push_str(&format!("{key} = {value}\n"));
    for key in ["language", "agents_after"] {
        if let Some(text) = told(key) {
            add(key, quoted(text));
        }
    }
    let mut secrets = Vec::new();
    for WayField { key, needed, holds, .. } in Way::fields(kind) {
        match holds {
            Holds::Credential => {
                let known = before.get(key).and_then(|text| text.strip_prefix(SECRET)).map(str::to_owned);
                let name = told(&format!("name-{key}")).map(|name| name.trim_start_matches(SECRET).to_owned());
                let name = name.or(known.clone()).unwrap_or_else(|| secret_name(id, key));
                let value = told(key);
                if let Some(value) = value {
                    secrets.push((name.clone(), value.to_owned()));
                }
                if needed || value.is_some() || known.is_some() || told(&format!("name-{key}")).is_some() {
                    add(key, quoted(&format!("{SECRET}{name}")));
                }
            }
            Holds::List => {
                let all = told(key).unwrap_or_default().split(',').map(str::trim).filter(|one| !one.is_empty());
                let all: Vec<String> = all.map(quoted).collect();
                add(key, format!("[{}]", all.join(", ")));
            }
            Holds::Text | Holds::Security => {
                if let Some(text) = told(key) {
                    add(key, quoted(text));
                }
            }
        }
    }
    if !secrets.is_empty() && !frame.may(Access::Admin) {
        return Err(Problem::new(Code::Forbidden, frame.t.desk.secret_admin));
    }
    // What is refused must not leave a secret behind.
    let tag = form.get("tag").map(String::as_str).unwrap_or_default();
    acts::put(present, doer, (KIND, id), tag, toml.clone(), true).await?;
    for (name, value) in secrets {
        present.app().set_secret(&name, value.into_bytes(), clock::now()).await?;
    }
    acts::put(present, doer, (KIND, id), tag, toml, false).await.map(|_| ())
}

/// The form of a channel; `keys`: what is in it.
fn sheet(frame: &Frame, id: Option<&str>, keys: &BTreeMap<String, String>) -> Answer<Response> {
    let (t, d) = (frame.t, frame.t.desk);
    let value = |key: &str| keys.get(key).map_or("", String::as_str);
    let kind = value("kind").to_owned();
    let mut fields = Vec::new();
    if id.is_none() {
        fields.push(Field { hint: d.channel_id_what.into(), ..line("id", d.policy_id, value("id")) });
    }
    for WayField { key, needed, sample, holds } in Way::fields(&kind) {
        let sample = sample.trim_matches(['"', '[', ']']).replace("\", \"", ", ");
        let plain = Field { label: key.to_owned(), required: needed, wide: true, ..Field::text(key, value(key)) };
        let optional = if needed { "" } else { d.may_stay_empty };
        fields.push(match holds {
            Holds::Credential if frame.may(Access::Admin) => {
                Field { input: Input::Secret, required: needed && id.is_none(), hint: d.secret_new.into(), ..plain }
            }
            Holds::Credential => Field {
                name: secret_field(key),
                value: value(key).to_owned(),
                required: false,
                hint: d.secret_admin.into(),
                ..plain
            },
            Holds::List => Field { hint: d.several.into(), placeholder: sample, ..plain },
            Holds::Security => {
                let words = ["", "starttls", "tls", "plain"].iter().map(|word| choice(word, word)).collect();
                Field { input: Input::Select(words), hint: optional.into(), ..plain }
            }
            Holds::Text => Field { placeholder: sample, hint: optional.into(), ..plain },
        });
    }
    let languages = vec![choice("", "en"), choice("fr", "fr")];
    fields.push(Field {
        label: d.messages_in.into(),
        input: Input::Select(languages),
        ..Field::text("language", if value("language") == "fr" { "fr" } else { "" })
    });
    let sheet = Sheet {
        title: id.map_or_else(|| (d.kinds_left)(&kind), |id| format!("{} {id}", d.edit)),
        intro: d.as_code_what.into(),
        from: ("/channels".into(), t.alerting.channels.into()),
        action: id.map_or_else(|| "/channels/new".to_owned(), |id| format!("/channels/{id}/edit")),
        hidden: [("kind", kind), ("agents_after", value("agents_after").to_owned()), ("tag", value("tag").to_owned())]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .collect(),
        fields,
        submit: d.apply,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Channels)
}

/// The field that names the secret of a key.
fn secret_field(key: &str) -> &'static str {
    match key {
        "secret" => "name-secret",
        "password" => "name-password",
        "token" => "name-token",
        "key" => "name-key",
        _ => "name-url",
    }
}

async fn show(present: &Present, frame: &Frame, query: &ChannelsQuery) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let d = t.desk;
    let all = channels::all(present).await?;
    let channel = Some(query.channel.clone()).filter(|channel| !channel.is_empty());
    let incident = query.incident.trim();
    let lines = if incident.is_empty() {
        present.app().deliveries(channel.clone(), LOG_MAX).await?
    } else {
        let id = IncidentId(incident.to_owned());
        let mut lines = present.app().read_store(move |tables| stored::deliveries(tables, &id)).await?;
        lines.sort_by_key(|line| std::cmp::Reverse(line.at));
        lines.retain(|line| channel.as_ref().is_none_or(|channel| *channel == line.channel));
        lines
    };
    let lines = lines.iter().map(delivery);
    let lines = lines.filter(|line| query.state.is_empty() || line.outcome == query.state);
    let log = lines.take(LOG_SHOWN).map(|line| Line::of(&line, now, t)).collect();
    let dead = present.app().read_store(|tables| outbox::dead(tables, DEAD_SHOWN)).await?;
    let sealed: BTreeSet<String> = {
        let book = present.app().book();
        let living = book.objects().channels.living();
        living.filter(|(_, channel)| !channel.body.secrets().is_empty()).map(|(id, _)| id.to_owned()).collect()
    };
    let tested = all.iter().find(|one| one.id == query.tested && !query.tested.is_empty());
    let any = || choice("", d.any);
    let ids = std::iter::once(any()).chain(all.iter().map(|one| choice(&one.id, &one.id))).collect();
    let states = ["delivered", "again", "gave_up"].iter().map(|state| choice(state, outcome(state, t).1));
    let states = std::iter::once(any()).chain(states).collect();
    let fields = vec![
        Field { label: t.alerting.channel.into(), input: Input::Select(ids), ..Field::text("channel", &query.channel) },
        Field { label: t.alerting.state.into(), input: Input::Select(states), ..Field::text("state", &query.state) },
        Field { label: d.to_incident.into(), ..Field::text("incident", incident) },
    ];
    let content = Content {
        t,
        w: t.alerting,
        d,
        may_respond: frame.may(Access::Respond),
        may_edit: frame.may(Access::Edit),
        tested: tested.and_then(|one| one.last.as_ref()).map(|last| Line::of(last, now, t)),
        channels: all.iter().map(|one| Row::of(one, sealed.contains(&one.id), now, t)).collect(),
        dead: dead.iter().map(|message| Dead::of(message, now, t)).collect(),
        fields,
        log,
    };
    frame.page(Place::Channels, t.alerting.channels, Some("incident objects"), &content)
}

/// The colour and the word for what became of an attempt.
fn outcome(outcome: &str, t: &Texts) -> (&'static str, &'static str) {
    match outcome {
        "delivered" => ("up", (t.alerting.delivery)("delivered")),
        "again" => ("degraded", t.desk.again),
        _ => ("down", (t.alerting.delivery)("given_up")),
    }
}

impl Line {
    fn of(line: &DeliveryView, now: UtcMicros, t: &Texts) -> Self {
        let (class, state) = outcome(&line.outcome, t);
        Self {
            channel: line.channel.clone(),
            incident: line.incident.clone(),
            page: line.step > 0,
            step: line.step,
            attempt: line.attempt,
            class,
            state,
            at: moment(&line.at, now),
            took: (t.number)(figure::latency(line.took_us as f64 / 1e6)),
            note: (t.causes.said)(&line.note),
        }
    }
}

impl Dead {
    fn of(message: &Message, now: UtcMicros, t: &Texts) -> Self {
        let Message { key, attempts, created, notice, .. } = message;
        Self {
            incident: key.incident.0.clone(),
            step: key.step,
            channel: key.channel.clone(),
            event: (t.alerting.event)(notice.event),
            at: moment(&sitepulse_daemon::instant::format(*created), now),
            attempts: *attempts,
        }
    }
}

impl Row {
    /// `sealed`: whether it refers to secrets.
    fn of(one: &ChannelView, sealed: bool, now: UtcMicros, t: &Texts) -> Self {
        let d = t.desk;
        Self {
            id: one.id.clone(),
            kind: one.kind.clone(),
            language: one.language.clone(),
            used_by: one.used_by.join(", "),
            secrets: if !sealed {
                d.no_secret.to_owned()
            } else if one.missing_secrets.is_empty() {
                d.secret_set.to_owned()
            } else {
                (d.secret_missing)(&one.missing_secrets.join(", "))
            },
            missing: !one.missing_secrets.is_empty(),
            last: one.last.as_ref().map(|last| Line::of(last, now, t)),
        }
    }
}
