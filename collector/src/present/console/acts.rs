//! What people do on the console's pages, done as the API does it: the same handlers, so the same rules, limits and authors.
//!
//! A page's form ends in an answer 303 back to a page; what was refused is told on the page on which it was tried ([`super::frame::Frame::refused`]).

use axum::Json;
use axum::extract::{Extension, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use super::frame::here;
use crate::alert::people::Act;
use crate::book::ObjectKind;
use crate::checkfile::Source;
use crate::present::api::definitions::{self, Seen};
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::incidents::{IncidentView, OpenBody, SilenceBody};
use crate::present::dto::oncall::{FeedBody, FeedView, OverrideBody};
use crate::present::dto::{ControlBody, JoinTokenBody, PlanView, TokenView};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::{Present, api, channels, oncall};

/// What a form's file is called in errors.
pub(super) const FILE: &str = "console";

/// How a form says until when: one of the offered lengths, or an instant of its own.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Until {
    /// A duration.
    pub(super) r#for: String,
    /// `2026-11-23T10:00`, of UTC; outweighs the length.
    pub(super) until: String,
}

impl Until {
    /// The instant, as the API reads it.
    ///
    /// # Errors
    /// When neither can be read.
    pub(super) fn instant(&self, now: UtcMicros) -> Answer<String> {
        if !self.until.is_empty() {
            return Ok(zoned(&self.until));
        }
        let us = duration::parse(&self.r#for).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
        Ok(instant::format(now.plus_us(i64::try_from(us).unwrap_or(i64::MAX))))
    }
}

/// What a browser's field says of a time of UTC, as an instant.
fn zoned(text: &str) -> String {
    let zoned = text.ends_with('Z') || text.contains('+') || !text.contains('T');
    let text = if text.len() == 16 { format!("{text}:00") } else { text.to_owned() };
    if zoned { text } else { text + "Z" }
}

/// On to a page of this console.
pub(super) fn see(path: &str) -> Response {
    let to = HeaderValue::from_str(here(path)).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Who acts, and where the audit log is told what they did.
#[derive(Debug, Clone)]
pub struct Doer {
    /// Who.
    pub(super) caller: Caller,
    /// What they did, in a line.
    pub(super) note: Note,
}

impl<S: Send + Sync> FromRequestParts<S> for Doer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(note) = Note::from_request_parts(parts, state).await;
        let caller = parts.extensions.get::<Caller>().cloned();
        let nobody = || Problem::new(Code::Internal, "nobody is known to act");
        Ok(Self { caller: caller.ok_or_else(nobody)?, note })
    }
}

impl Doer {
    fn caller(&self) -> Extension<Caller> {
        Extension(self.caller.clone())
    }
}

/// A weight as a form says it.
///
/// # Errors
/// When it is no number.
pub(super) fn weight_of(text: &str) -> Answer<f64> {
    // Whoever reads French writes a decimal comma.
    text.trim()
        .replace(',', ".")
        .parse()
        .map_err(|_| Problem::new(Code::BadRequest, format!("{text:?} is no weight: write a number from 0 to 1000")))
}

/// Suspends, resumes or weighs.
pub(super) async fn control(present: &Present, doer: &Doer, body: ControlBody) -> Answer<()> {
    api::control(State(present.clone()), doer.caller(), doer.note.clone(), Ok(Json(body))).await.map(|_| ())
}

/// Makes a join token.
pub(super) async fn join_token(present: &Present, doer: &Doer, region: String, ttl_seconds: u64) -> Answer<TokenView> {
    let body = JoinTokenBody { region, ttl_seconds };
    api::join_token(State(present.clone()), doer.note.clone(), Ok(Json(body))).await.map(|Json(made)| made)
}

/// Revokes an agent.
pub(super) async fn revoke(present: &Present, doer: &Doer, name: &str) -> Answer<()> {
    api::revoke(State(present.clone()), doer.note.clone(), Path(name.to_owned())).await.map(|_| ())
}

/// Does something to an incident.
pub(super) async fn incident(present: &Present, doer: &Doer, id: &str, act: Act) -> Answer<()> {
    doer.note.tell(api::incidents::act_note(&act));
    Ok(present.app().act(id, act, &doer.caller.author, clock::now()).await?)
}

/// Opens an incident.
pub(super) async fn open(present: &Present, doer: &Doer, body: OpenBody) -> Answer<IncidentView> {
    let (state, note) = (State(present.clone()), doer.note.clone());
    api::incidents::open(state, doer.caller(), note, Ok(Json(body))).await.map(|made| made.0)
}

/// Keeps pages still.
pub(super) async fn silence(present: &Present, doer: &Doer, body: SilenceBody) -> Answer<()> {
    let (state, note) = (State(present.clone()), doer.note.clone());
    api::silences::silence(state, doer.caller(), note, Ok(Json(body))).await.map(|_| ())
}

/// Ends a silence.
pub(super) async fn unsilence(present: &Present, doer: &Doer, id: &str) -> Answer<()> {
    let path = Path(id.to_owned());
    api::silences::unsilence(State(present.clone()), doer.caller(), path).await.map(|_| ())
}

/// Gives an override.
pub(super) async fn give_override(present: &Present, doer: &Doer, schedule: &str, body: OverrideBody) -> Answer<()> {
    let (state, path) = (State(present.clone()), Path(schedule.to_owned()));
    oncall::give_override(state, doer.caller(), doer.note.clone(), path, Ok(Json(body))).await.map(|_| ())
}

/// Takes an override back.
pub(super) async fn end_override(present: &Present, doer: &Doer, schedule: &str, number: u32) -> Answer<()> {
    let path = Path((schedule.to_owned(), number));
    oncall::end_override(State(present.clone()), doer.caller(), path).await.map(|_| ())
}

/// The address of a calendar.
pub(super) async fn feed(present: &Present, schedule: &str, body: FeedBody) -> Answer<FeedView> {
    let path = Path(schedule.to_owned());
    oncall::feed_address(State(present.clone()), path, Ok(Json(body))).await.map(|Json(made)| made)
}

/// Tries a channel out.
pub(super) async fn test(present: &Present, doer: &Doer, channel: &str) -> Answer<()> {
    let path = Path(channel.to_owned());
    channels::test(State(present.clone()), doer.caller(), path).await.map(|_| ())
}

/// Tries a message again.
pub(super) async fn retry(present: &Present, doer: &Doer, incident: &str, step: &str, channel: &str) -> Answer<()> {
    let path = Path((incident.to_owned(), step.to_owned(), channel.to_owned()));
    doer.note.tell(format!("message {incident}/{step}/{channel} again"));
    channels::retry(State(present.clone()), doer.caller(), path).await.map(|_| ())
}

/// Writes one object that a form wrote as code, where it still is what the form was opened with (`tag`; empty: there was none); or only plans to.
///
/// # Errors
/// What is wrong with it; [`Code::Changed`] where somebody was faster.
pub(super) async fn put(
    present: &Present,
    doer: &Doer,
    (kind, id): (ObjectKind, &str),
    tag: &str,
    text: String,
    dry_run: bool,
) -> Answer<PlanView> {
    doer.note.tell(format!("{}{} {id}", if dry_run { "dry run: " } else { "" }, kind.table()));
    let file = Source { name: FILE.to_owned(), text };
    let plan = definitions::put(present, &doer.caller, (kind, id), &seen(tag), file, dry_run).await?;
    doer.note.tell(api::plan_note(&plan));
    Ok(plan)
}

/// What a form was opened with, by the tag that it brings back.
pub(super) fn seen(tag: &str) -> Seen {
    if tag.is_empty() { Seen::Nothing } else { Seen::Tag(tag.to_owned()) }
}

/// The tag of what there is now; empty: nothing.
pub(super) fn tag_of(present: &Present, kind: ObjectKind, id: &str) -> String {
    definitions::tag_of(&present.app().book(), kind, id).unwrap_or_default()
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_says_cannot_leave_its_quotes() {
        for text in ["plain", "a\"b", "back\\slash", "line\nbreak\u{7f}", "\"\"\"", "é"] {
            let toml = format!("x = {}", quoted(text));
            let read: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{toml}: {error}"));
            assert_eq!(read["x"].as_str(), Some(text), "{toml}");
        }
    }

    #[test]
    fn a_browsers_time_is_one_of_utc() {
        let now = UtcMicros(1_700_000_000_000_000);
        let until = |until: &str| Until { until: until.into(), ..Until::default() }.instant(now).unwrap();
        assert_eq!(until("2026-11-23T10:00"), "2026-11-23T10:00:00Z");
        assert_eq!(until("2026-11-23T10:00:30"), "2026-11-23T10:00:30Z");
        assert_eq!(until("2026-11-23T10:00:00Z"), "2026-11-23T10:00:00Z");
        let lasts = Until { r#for: "2h".into(), ..Until::default() };
        assert_eq!(lasts.instant(now).unwrap(), instant::format(now.plus_us(7_200_000_000)));
        assert!(Until::default().instant(now).is_err());
    }
}
