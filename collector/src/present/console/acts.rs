//! What people do on the console's pages, done as the API does it: the same handlers, so the same rules, limits and authors.
//!
//! A page's form ends in an answer 303 back to a page; what was refused is told on the page on which it was tried ([`super::frame::Frame::refused`]).

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use super::frame::here;
use crate::alert::people::Act;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::incidents::{IncidentView, OpenBody, SilenceBody};
use crate::present::dto::oncall::{FeedBody, FeedView, OverrideBody};
use crate::present::dto::{ApplyBody, ControlBody, FileBody, JoinTokenBody, PlanView, TokenView};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::{Present, api, channels, oncall};

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

/// Suspends, resumes or weighs.
pub(super) async fn control(present: &Present, caller: &Caller, body: ControlBody) -> Answer<()> {
    api::control_of(present, &body, &caller.author).await.map(|_| ())
}

/// Makes a join token.
pub(super) async fn join_token(present: &Present, region: String, ttl_seconds: u64) -> Answer<TokenView> {
    let body = JoinTokenBody { region, ttl_seconds };
    api::join_token(State(present.clone()), Ok(Json(body))).await.map(|Json(made)| made)
}

/// Revokes an agent.
pub(super) async fn revoke(present: &Present, name: &str) -> Answer<()> {
    api::revoke(State(present.clone()), Path(name.to_owned())).await.map(|_| ())
}

/// Does something to an incident.
pub(super) async fn incident(present: &Present, caller: &Caller, id: &str, act: Act) -> Answer<()> {
    Ok(present.app().act(id, act, &caller.author, clock::now()).await?)
}

/// Opens an incident.
pub(super) async fn open(present: &Present, caller: &Caller, body: OpenBody) -> Answer<IncidentView> {
    let made = api::incidents::open(State(present.clone()), Extension(caller.clone()), Ok(Json(body))).await?;
    Ok(made.0)
}

/// Keeps pages still.
pub(super) async fn silence(present: &Present, caller: &Caller, body: SilenceBody) -> Answer<()> {
    api::silences::silence(State(present.clone()), Extension(caller.clone()), Ok(Json(body))).await.map(|_| ())
}

/// Ends a silence.
pub(super) async fn unsilence(present: &Present, caller: &Caller, id: &str) -> Answer<()> {
    let path = Path(id.to_owned());
    api::silences::unsilence(State(present.clone()), Extension(caller.clone()), path).await.map(|_| ())
}

/// Gives an override.
pub(super) async fn give_override(
    present: &Present,
    caller: &Caller,
    schedule: &str,
    body: OverrideBody,
) -> Answer<()> {
    let path = Path(schedule.to_owned());
    oncall::give_override(State(present.clone()), Extension(caller.clone()), path, Ok(Json(body))).await.map(|_| ())
}

/// Takes an override back.
pub(super) async fn end_override(present: &Present, caller: &Caller, schedule: &str, number: u32) -> Answer<()> {
    let path = Path((schedule.to_owned(), number));
    oncall::end_override(State(present.clone()), Extension(caller.clone()), path).await.map(|_| ())
}

/// The address of a calendar.
pub(super) async fn feed(present: &Present, schedule: &str, body: FeedBody) -> Answer<FeedView> {
    let path = Path(schedule.to_owned());
    oncall::feed_address(State(present.clone()), path, Ok(Json(body))).await.map(|Json(made)| made)
}

/// Tries a channel out.
pub(super) async fn test(present: &Present, caller: &Caller, channel: &str) -> Answer<()> {
    let path = Path(channel.to_owned());
    channels::test(State(present.clone()), Extension(caller.clone()), path).await.map(|_| ())
}

/// Tries a message again.
pub(super) async fn retry(present: &Present, caller: &Caller, incident: &str, step: &str, channel: &str) -> Answer<()> {
    let path = Path((incident.to_owned(), step.to_owned(), channel.to_owned()));
    channels::retry(State(present.clone()), Extension(caller.clone()), path).await.map(|_| ())
}

/// Applies what a form wrote as code, or only plans to.
pub(super) async fn apply(present: &Present, caller: &Caller, text: String, dry_run: bool) -> Answer<PlanView> {
    let files = vec![FileBody { name: "console".to_owned(), text }];
    let body = ApplyBody { files, dry_run, prune: false };
    let (note, conditions) = (Note::default(), api::definitions::AllConditions::default());
    let (present, caller) = (State(present.clone()), Extension(caller.clone()));
    api::apply(present, caller, note, conditions, Ok(Json(body))).await.map(|Json(plan)| plan)
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
