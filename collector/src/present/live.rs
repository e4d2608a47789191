//! What changed, told to whoever listens: server-sent events at `/api/v1/events` (scripts) and `/events` (open pages).
//!
//! No task runs: the first stream that wakes after a change looks once for all streams, notes each difference as a numbered event,
//! and every stream hands out those it has not handed out yet. A stream that comes back says its last number (`Last-Event-ID`, or
//! `?after=` where none can be sent); where that lies too far back, `reset` tells it to read everything anew. A stream ends with the server, and with
//! the session or token it was opened by.
//!
//! A page is told where the story stood before its figures were read ([`Told`]), and its stream goes on from there: what changes between the two is
//! not lost, and where nothing changed nothing is read twice. Numbers begin at the instant of the first event, so that those of an earlier life of the
//! collector lie too far back.
//!
//! | topic | says |
//! |---|---|
//! | `check` | a check came, went, or got another verdict or suspension |
//! | `agent` | an agent came, went, connected, was cut off, suspended or got another weight |
//! | `incident` | something of some incident changed |
//! | `finding` | something of some finding changed |
//! | `job` | something of some job changed |
//! | `playbook` | something of some run of a playbook changed |
//! | `objects` | checks, agents, control events, secrets or objects were changed by somebody |
//! | `figures` | evidence came in since the last one: figures and ages are newer; every [`FIGURES_US`] at most, and when figures are there that were pending |
//! | `reset` | events were missed: read everything anew |

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sitepulse_daemon::clock;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use crate::present::Present;
use crate::present::api::{Ask, ask};
use crate::present::door::Caller;
use crate::present::dto::{AgentView, CheckView};
use crate::present::http::stopped;
use crate::present::openapi::signature::{Gives, Operation};
use crate::present::problem::Answer;
use crate::present::view::Snapshot;

/// Least time between two looks of a stream.
const EVERY_MIN: Duration = Duration::from_millis(250);
/// States change without any change of the book (a hold runs out): look again after this.
const EVERY_MAX: Duration = Duration::from_secs(2);
/// A comment after so long without an event keeps the connection alive, and finds out when nobody listens.
const QUIET_US: u64 = 15_000_000;
/// Least time between two `figures`, in microseconds.
const FIGURES_US: u64 = 10_000_000;
/// Events that are kept for streams that come back.
const KEPT_MAX: usize = 4_096;
/// More differences than these at once are told as a `reset`.
const BURST_MAX: usize = 512;

/// Where the story stood when a page was asked for: what its stream goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told(pub(super) u64);

/// What streams share.
#[derive(Debug, Default)]
pub(super) struct Live {
    story: Mutex<Story>,
    /// Number of the newest event, for whoever does not wait for a look; 0 before the first one.
    newest: AtomicU64,
}

#[derive(Debug, Default)]
struct Story {
    /// Number of the newest event.
    newest: u64,
    /// The newest last; consecutive numbers.
    events: VecDeque<Arc<Event>>,
    known: Option<Known>,
}

/// One event.
#[derive(Debug)]
struct Event {
    number: u64,
    topic: &'static str,
    data: Value,
}

/// What only counts how often something changed.
#[derive(Debug, Clone, Copy)]
struct Counted {
    version: u64,
    ticks: u64,
    incidents: u64,
    findings: u64,
    jobs: u64,
    playbooks: u64,
    /// Figures that were made after somebody was told that they are pending.
    settled: u64,
}

/// What was seen last.
#[derive(Debug)]
struct Known {
    counted: Counted,
    figures_at: u64,
    checks: BTreeMap<String, Value>,
    agents: BTreeMap<String, Value>,
}

fn check_state(check: &CheckView) -> Value {
    json!({ "check": check.id, "verdict": check.verdict, "since": check.since, "suspended": check.suspended.is_some() })
}

fn agent_state(agent: &AgentView) -> Value {
    json!({
        "agent": agent.name, "region": agent.region, "connected": agent.connected, "weight": agent.weight,
        "suspended": agent.suspended.is_some(), "revoked": agent.revoked.is_some(),
    })
}

/// What is there now, and the names of those that are not any more, as events.
fn differences(known: &mut BTreeMap<String, Value>, now: BTreeMap<String, Value>, name: &str) -> Vec<Value> {
    let gone = known.keys().filter(|id| !now.contains_key(*id)).map(|id| json!({ name: id, "gone": true }));
    let mut found: Vec<Value> = gone.collect();
    found.extend(now.iter().filter(|(id, state)| known.get(*id) != Some(state)).map(|(_, state)| state.clone()));
    *known = now;
    found
}

/// The number that a story begins at: later ones of another life of the collector are less, for it tells no thousand events a second.
fn begins_at() -> u64 {
    u64::try_from(clock::now().0 / 1000).unwrap_or_default()
}

impl Story {
    fn tell(&mut self, topic: &'static str, data: Value) {
        self.newest += 1;
        self.events.push_back(Arc::new(Event { number: self.newest, topic, data }));
        if self.events.len() > KEPT_MAX {
            self.events.pop_front();
        }
    }

    fn look(&mut self, snapshot: &Snapshot, seen: Counted, now: u64) {
        let checks = snapshot.checks.iter().map(|check| (check.id.clone(), check_state(check))).collect();
        let agents = snapshot.agents.iter().map(|agent| (agent.name.clone(), agent_state(agent))).collect();
        let Some(mut known) = self.known.take() else {
            self.newest = self.newest.max(begins_at());
            self.known = Some(Known { counted: seen, figures_at: now, checks, agents });
            return;
        };
        let checks = differences(&mut known.checks, checks, "check");
        let agents = differences(&mut known.agents, agents, "agent");
        if checks.len() + agents.len() > BURST_MAX {
            self.tell("reset", json!({}));
        } else {
            checks.into_iter().for_each(|state| self.tell("check", state));
            agents.into_iter().for_each(|state| self.tell("agent", state));
        }
        let before = known.counted;
        let topics = [
            ("incident", before.incidents, seen.incidents),
            ("finding", before.findings, seen.findings),
            ("job", before.jobs, seen.jobs),
            ("playbook", before.playbooks, seen.playbooks),
        ];
        for (topic, _, _) in topics.into_iter().filter(|(_, before, now)| before != now) {
            self.tell(topic, json!({}));
        }
        if before.version != seen.version {
            self.tell("objects", json!({ "version": seen.version }));
        }
        known.counted = seen;
        let settled = before.settled != seen.settled;
        if settled || before.ticks != seen.ticks {
            if settled || now.saturating_sub(known.figures_at) >= FIGURES_US {
                known.figures_at = now;
                self.tell("figures", json!({}));
            } else {
                // Told when it is time.
                known.counted.ticks = before.ticks;
            }
        }
        self.known = Some(known);
    }

    /// What came after an event; `None`: that cannot be told any more.
    fn after(&self, number: u64) -> Option<Vec<Arc<Event>>> {
        let first = self.events.front().map_or(self.newest + 1, |event| event.number);
        let known = number <= self.newest && number + 1 >= first;
        known.then(|| self.events.iter().filter(|event| event.number > number).map(Arc::clone).collect())
    }
}

/// One listener.
struct Listener {
    present: Present,
    caller: Caller,
    ticks: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    /// The event it heard last; `None` before it heard where the story stands.
    heard: Option<u64>,
    /// Where it stood before it was cut off.
    resumed: Option<u64>,
    /// When it was told anything last, on the monotonic clock.
    told: u64,
    /// Whether the book had changed already when it looked last, and what it looked at was made before.
    behind: bool,
}

/// What a look found.
struct Heard {
    /// The number of the newest event.
    newest: u64,
    /// What came since; `None`: that cannot be told any more.
    after: Option<Vec<Arc<Event>>>,
    /// Whether the snapshot was made before the last change of the book that was told of.
    behind: bool,
}

type Next = Pin<Box<dyn Future<Output = Option<(Listener, Bytes)>> + Send>>;

struct Events {
    next: Option<Next>,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = self.next.as_mut() else { return Poll::Ready(None) };
        match next.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.next = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some((listener, bytes))) => {
                self.next = Some(Box::pin(listen(listener)));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }
}

/// What a stream is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// The number of the event that was heard last: as `Last-Event-ID`, which outweighs it.
    after: Option<u64>,
}

/// `GET /events`, `GET /api/v1/events`
pub async fn events(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    query: Ask<EventsQuery>,
) -> Answer<EventStream> {
    let after = ask(query)?.after;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let listener = Listener {
        ticks: present.app().subscribe(),
        stopping: present.stopping(),
        present,
        caller,
        heard: None,
        resumed: last.or(after),
        told: clock::monotonic().0,
        behind: false,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would hand events on a buffer at a time.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok(EventStream((headers, Body::new(Events { next: Some(Box::pin(listen(listener))) })).into_response()))
}

/// The stream as an answer.
pub struct EventStream(Response);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Gives for EventStream {
    fn tell(operation: &mut Operation<'_>) {
        operation.answer(200, "Events, as they come.", Some(("text/event-stream", json!({"type": "string"}))));
    }
}

impl Present {
    /// Looks for all listeners, and what came after an event; without one, where the story stands.
    async fn heard_since(&self, heard: Option<u64>) -> Option<Heard> {
        let app = self.app();
        let ticks = *app.subscribe().borrow();
        let shared = app.shared();
        let (incidents, findings) = (shared.pulses.incidents(), shared.pulses.findings());
        let (jobs, playbooks) = (shared.jobs.changes(), shared.playbooks.changes());
        let (version, settled) = (app.book().version(), self.kpi_shelf().settled());
        let (made_at, snapshot) = self.ticked_snapshot().await.ok()?;
        let mut story = self.live().story.lock().await;
        story.look(
            &snapshot,
            Counted { version, ticks, incidents, findings, jobs, playbooks, settled },
            clock::monotonic().0,
        );
        self.live().newest.store(story.newest, Ordering::Release);
        let after = heard.map_or(Some(Vec::new()), |heard| story.after(heard));
        Some(Heard { newest: story.newest, after, behind: made_at < ticks })
    }

    /// Where the story stands, for a page whose figures are read after this: what it shows is no older. Begins it where nobody listened yet.
    pub(super) async fn told_so_far(&self) -> Option<Told> {
        match self.live().newest.load(Ordering::Acquire) {
            0 => self.heard_since(None).await.map(|heard| Told(heard.newest)),
            newest => Some(Told(newest)),
        }
    }
}

async fn listen(mut listener: Listener) -> Option<(Listener, Bytes)> {
    loop {
        let first = listener.heard.is_none();
        if !first {
            wait(&mut listener).await?;
        }
        if !listener.present.still_holds(&listener.caller) {
            return None;
        }
        let since = listener.heard.or(listener.resumed);
        let Heard { newest, after, behind } = listener.present.heard_since(since).await?;
        (listener.heard, listener.behind) = (Some(newest), behind);
        let mut out = String::new();
        if first {
            // Named at once, so that whoever is cut off now comes back to here. Browsers come back after a second.
            out.push_str(&format!("retry: 1000\nid: {newest}\nevent: hello\ndata: {{}}\n\n"));
        }
        match after {
            None => out.push_str(&format!("id: {newest}\nevent: reset\ndata: {{}}\n\n")),
            Some(events) => events.iter().for_each(|event| {
                out.push_str(&format!("id: {}\nevent: {}\ndata: {}\n\n", event.number, event.topic, event.data));
            }),
        }
        let now = clock::monotonic().0;
        if out.is_empty() && now.saturating_sub(listener.told) >= QUIET_US {
            out.push_str(": still here\n\n");
        }
        if !out.is_empty() {
            listener.told = now;
            return Some((listener, Bytes::from(out)));
        }
    }
}

/// Waits until it is worth looking again. `None`: the server stops.
async fn wait(listener: &mut Listener) -> Option<()> {
    let Listener { ticks, stopping, behind, .. } = listener;
    let look = async {
        sleep(EVERY_MIN).await;
        // A snapshot serves longer than that: the tick of a change that it lacks is heard already, and no other may come.
        if *behind {
            return;
        }
        // Time running out and a closed channel both mean: look again.
        drop(timeout(EVERY_MAX - EVERY_MIN, ticks.changed()).await);
    };
    tokio::select! {
        biased;
        () = stopped(stopping) => None,
        () = look => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: &Story, after: u64) -> Option<Vec<(&'static str, String)>> {
        state.after(after).map(|events| events.iter().map(|event| (event.topic, event.data.to_string())).collect())
    }

    #[test]
    fn what_is_too_long_ago_or_was_never_told_asks_for_a_reset() {
        let mut state = Story::default();
        assert_eq!(told(&state, 0), Some(vec![]));
        assert_eq!(told(&state, 7), None, "a number of another life of the collector");
        for _ in 0..=KEPT_MAX {
            state.tell("figures", json!({}));
        }
        assert_eq!(told(&state, 0), None);
        assert_eq!(state.after(1).map(|events| events.len()), Some(KEPT_MAX));
    }

    #[test]
    fn pages_listen_to_every_topic() {
        let script = include_str!("../../templates/js/live.js");
        let list = script.split_once("const TOPICS = [").unwrap().1.split_once(']').unwrap().0;
        let listened: Vec<&str> = list.split(", ").map(|topic| topic.trim_matches('"')).collect();
        let own = include_str!("live.rs");
        let table = own.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next());
        assert_eq!(listened, table.collect::<Vec<_>>());
    }

    #[test]
    fn what_came_went_and_changed_is_told_and_nothing_else() {
        let mut known =
            BTreeMap::from([("a".to_owned(), json!(1)), ("b".to_owned(), json!(1)), ("c".to_owned(), json!(1))]);
        let now = BTreeMap::from([("a".to_owned(), json!(1)), ("b".to_owned(), json!(2)), ("d".to_owned(), json!(1))]);
        assert_eq!(
            differences(&mut known, now.clone(), "check"),
            [json!({"check": "c", "gone": true}), json!(2), json!(1)]
        );
        assert_eq!(known, now);
        assert!(differences(&mut known, now, "check").is_empty());
    }
}
