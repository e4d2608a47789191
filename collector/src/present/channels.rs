//! Channels and what went out by them: `GET /api/v1/channels`, `GET /api/v1/deliveries`, `POST /api/v1/channels/{id}/test`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::channel::Channel;
use sitepulse_model::coded::Referent;
use sitepulse_model::incident::{IncidentId, IncidentKind, IncidentState, NoticeEvent, Severity};
use sitepulse_model::notice::{Context, IncidentFacts, Notice};
use sitepulse_model::time::UtcMicros;
use sitepulse_notify::Sent;

use crate::book::Book;
use crate::outbox::{Logged, TURNED_AWAY};
use crate::present::Present;
use crate::present::door::Caller;
use crate::present::list::{List, Listed, Nothing};
use crate::present::problem::{Answer, Problem};

/// How long a provider may take to answer a test.
const TEST_DEADLINE: Duration = Duration::from_secs(15);
/// How many attempts are told where nothing is asked.
const DELIVERIES: usize = 100;

/// A channel; never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelView {
    /// Its id.
    pub id: String,
    /// Its kind: `webhook`, `email`, ...
    pub kind: String,
    /// The language of its messages.
    pub language: String,
    /// What sends by it: `escalation default`.
    pub used_by: Vec<String>,
    /// The secrets that it needs and nobody has set, or that do not open.
    pub missing_secrets: Vec<String>,
    /// The newest attempt.
    pub last: Option<DeliveryView>,
}

/// An attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    /// When it began.
    pub at: String,
    /// The channel's id.
    pub channel: String,
    /// The incident; `test-...` where the channel was tried out.
    pub incident: String,
    /// The incident's step; 0 of a test.
    pub step: u32,
    /// Counts from 1.
    pub attempt: u32,
    /// `delivered`, `again` or `gave_up`. A test is made once, and is `again` where a page would be tried again.
    pub outcome: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What the provider said.
    pub note: String,
}

/// What is asked of the delivery log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesQuery {
    channel: Option<String>,
}

/// `GET /api/v1/channels`
pub async fn channels(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<ChannelView>> {
    let mut views = list.page.of_all(views(&present.app().book()), |channel| channel.id.clone())?;
    let ids = views.items_mut().iter().map(|view| view.id.clone()).collect();
    let last = present.app().last_deliveries(ids).await?;
    let mut last: BTreeMap<String, Logged> = last.into_iter().map(|line| (line.channel.clone(), line)).collect();
    for view in views.items_mut() {
        view.last = last.remove(&view.id).as_ref().map(delivery);
    }
    Ok(views)
}

/// Every channel with its newest attempt, by id.
///
/// # Errors
/// When the store cannot be read.
pub async fn all(present: &Present) -> Answer<Vec<ChannelView>> {
    let mut views = views(&present.app().book());
    let ids = views.iter().map(|view| view.id.clone()).collect();
    let last = present.app().last_deliveries(ids).await?;
    let mut last: BTreeMap<String, Logged> = last.into_iter().map(|line| (line.channel.clone(), line)).collect();
    for view in &mut views {
        view.last = last.remove(&view.id).as_ref().map(delivery);
    }
    Ok(views)
}

fn views(book: &Book) -> Vec<ChannelView> {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in book.objects().living() {
        let user = format!("{} {}", object.body.kind().table(), object.body.id());
        for reference in object.body.references().into_iter().filter(|reference| reference.to == Referent::Channel) {
            users.entry(reference.name).or_default().insert(user.clone());
        }
    }
    let channels = book.objects().channels.living();
    channels
        .map(|(id, channel)| {
            let channel = &channel.body;
            ChannelView {
                id: id.to_owned(),
                kind: channel.kind().to_owned(),
                language: channel.language.clone().unwrap_or_else(|| "en".to_owned()),
                used_by: users.remove(id).unwrap_or_default().into_iter().collect(),
                missing_secrets: channel.secrets().into_iter().filter(|name| !book.vault().opens(name)).collect(),
                last: None,
            }
        })
        .collect()
}

/// An attempt as JSON.
pub fn delivery(line: &Logged) -> DeliveryView {
    let outcome = match line.delivered {
        Some(true) => "delivered",
        None => "again",
        Some(false) => "gave_up",
    };
    DeliveryView {
        at: instant::format(line.at),
        channel: line.channel.clone(),
        incident: line.incident.to_string(),
        step: line.step,
        attempt: line.attempt,
        outcome: outcome.to_owned(),
        took_us: line.took_us,
        note: line.note.clone(),
    }
}

/// `GET /api/v1/deliveries`: newest first. A channel that is no more has its log still.
pub async fn deliveries(State(present): State<Present>, list: List<DeliveriesQuery>) -> Answer<Listed<DeliveryView>> {
    let List { query: DeliveriesQuery { channel }, page } = list;
    let limit = page.limit_or(DELIVERIES);
    if let Some(id) = &channel
        && present.app().book().objects().channels.versions(id).is_empty()
    {
        return Err(Problem::not_found("channel", id));
    }
    // One more tells whether there is another page.
    let lines = present.app().deliveries_after(channel, page.cursor()?, limit + 1).await?;
    Ok(page.of_more(lines, limit, Logged::key).map(|line| delivery(&line)))
}

/// A message that is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetriedView {
    /// Its key: `INCIDENT/STEP/CHANNEL`.
    pub key: String,
}

/// `POST /api/v1/deliveries/{incident}/{step}/{channel}/retry`: a dead letter, or what waits to be tried again, is tried now.
pub async fn retry(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path((incident, step, channel)): Path<(String, String, String)>,
) -> Answer<Json<RetriedView>> {
    let key = format!("{incident}/{step}/{channel}");
    tracing::info!(message = key, "{} has it tried again", caller.author);
    present.app().retry_delivery(key.clone(), &caller.author, clock::now()).await?;
    Ok(Json(RetriedView { key }))
}

/// `POST /api/v1/channels/{id}/test`: sends once, and answers with what the provider said.
pub async fn test(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Json<DeliveryView>> {
    let (channel, secrets) = {
        let book = present.app().book();
        let found = book.objects().channels.current(&id).ok_or_else(|| Problem::not_found("channel", &id))?;
        let channel = found.body.clone();
        let names = channel.secrets().into_iter();
        let secrets: BTreeMap<String, String> =
            names.filter_map(|name| Some((name.clone(), book.vault().value(&name)?))).collect();
        (channel, secrets)
    };
    tracing::info!(channel = id, "{} tries the channel out", caller.author);
    let (at, began) = (clock::now(), clock::monotonic());
    let notice = notice(&channel, present.console_url(), at);
    let secret = |name: &str| secrets.get(name).cloned();
    let sent = present.sender().send(&channel, &secret, &notice, TEST_DEADLINE).await;
    let (delivered, note) = match sent {
        Sent::Delivered { note } => (Some(true), note),
        Sent::Again { why, .. } => (None, why),
        Sent::Partly { note, .. } => (Some(true), note),
        Sent::Denied { why } => (None, format!("{TURNED_AWAY}{why}")),
        Sent::Refused { why } => (Some(false), why),
    };
    if delivered == Some(true) {
        present.app().shared().deliveries.note_test(&id);
    }
    let took_us = clock::monotonic().us_since(began);
    let incident = IncidentId(notice.incident.id);
    let line = Logged { incident, channel: id, step: 0, attempt: 1, at, took_us, delivered, note };
    let view = delivery(&line);
    // A log that cannot be written changes nothing about what the provider said.
    if let Err(error) = present.app().log_test(line).await {
        tracing::warn!("the test of channel {} is not in the delivery log: {error}", view.channel);
    }
    Ok(Json(view))
}

/// A message that says that nothing is wrong.
fn notice(channel: &Channel, console: Option<&str>, now: UtcMicros) -> Notice {
    // `2026-11-22T10:00:00.123456Z` without its marks: one a microsecond.
    let stamp: String = instant::format(now).chars().filter(char::is_ascii_digit).collect();
    let id = format!("test-{stamp}");
    Notice {
        event: NoticeEvent::Test,
        key: format!("{id}/0/{}", channel.id),
        step: 0,
        at: now,
        incident: IncidentFacts {
            id,
            check: None,
            agent: None,
            slo: None,
            kind: IncidentKind::Manual,
            state: IncidentState::Open,
            severity: Severity::Info,
            since: now,
            opened_at: Some(now),
            acknowledged_at: None,
            resolved_at: None,
            flapping: false,
        },
        context: Context { link: console.map(str::to_owned), ..Context::default() },
    }
}
