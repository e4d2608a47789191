//! A page's session with the browser: makes calls under a deadline, and listens meanwhile, so that a dialog is closed, a crash is noticed and a worker is let run
//! whatever is being waited for.

use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::vitals::report::TEXT_BYTES_MAX;

use super::device::Call;
use super::entries::cut;
use super::settle::Rest;
use super::story::{Errand, Stop, Story};
use crate::browser::Lease;
use crate::cdp::{CallError, Connection, Event, Events};

/// The observer.
const OBSERVER: &str = include_str!("observer.js");
/// What hands it the errors of the page's own world.
const ERRORS: &str = include_str!("errors.js");
/// The observer's world, that no page sees.
pub(crate) const WORLD: &str = "sitepulse";

/// Events taken at once before something else has its turn.
const EVENTS_AT_ONCE: usize = 256;
/// How long a refusal is not believed, in microseconds: a page that goes elsewhere takes the observer's world with it before that is told.
const REFUSED_US: u64 = 2_000_000;

/// What came of an errand.
#[derive(Debug)]
enum Done {
    /// Nothing to tell.
    Quietly,
    /// The observer's world is there.
    World(u64),
    /// The observer told something.
    Told(Value),
}

/// A page and its session.
#[derive(Debug)]
pub(crate) struct Session {
    /// What happened so far.
    pub(crate) story: Story,
    connection: Connection,
    id: String,
    target: String,
    context: String,
    events: Events,
    children: Vec<Events>,
    /// What each frame and worker with a session of its own is told.
    device: Vec<Call>,
    errands: FuturesUnordered<BoxFuture<'static, Done>>,
    deadline: Monotonic,
    /// The observer with its configuration.
    observer: String,
    /// The observer's functions in its world.
    api: String,
}

impl Session {
    /// A new, empty window in the lease's context. Waits until `deadline` at most, there and in all that follows.
    pub(crate) async fn open(
        lease: &Lease,
        rest_us: u64,
        device: Vec<Call>,
        deadline: Monotonic,
    ) -> Result<Self, Stop> {
        let connection = lease.connection().clone();
        let call = async |method, params| {
            let call = connection.call(None, method, params);
            let answer = tokio::time::timeout_at(clock::tokio_instant(deadline), call).await;
            answer.map_err(|_| Stop::Deadline)?.map_err(stop)
        };
        let text = |answer: &Value, key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let created =
            call("Target.createTarget", json!({ "url": "about:blank", "browserContextId": lease.context })).await?;
        let target = text(&created, "targetId");
        let attached = call("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await?;
        let id = text(&attached, "sessionId");
        let events = connection.events(&id);
        Ok(Self {
            // No page knows the target's number, which is long and random, so that none has an element of that name.
            api: format!("{WORLD}_{target}"),
            story: Story::new(target.clone(), rest_us, clock::monotonic()),
            connection,
            id,
            target,
            context: lease.context.clone(),
            events,
            children: Vec::new(),
            device,
            errands: FuturesUnordered::new(),
            deadline,
            observer: String::new(),
        })
    }

    /// The observer for its world, and what hands it errors for the page's; `consent` is what it clicks.
    pub(crate) fn scripts(&mut self, consent: Option<&str>) -> [String; 2] {
        let errors = format!("{WORLD}-{}", self.target);
        let config = json!({ "api": self.api, "text": TEXT_BYTES_MAX, "errors": errors, "consent": consent });
        self.observer = format!("({})({config})", OBSERVER.trim_end());
        [self.observer.clone(), format!("({})({})", ERRORS.trim_end(), json!(errors))]
    }

    /// Tells each frame and worker with a session of its own this as well.
    pub(crate) fn tell_children(&mut self, call: Call) {
        self.device.push(call);
    }

    /// Closes the window of a page that is left.
    pub(crate) async fn leave(&mut self) {
        let close = self.connection.call(None, "Target.closeTarget", json!({ "targetId": self.target }));
        // Its context ends later in any case.
        drop(tokio::time::timeout_at(clock::tokio_instant(self.deadline), close).await);
    }

    /// Makes a call of the page, and of each frame and worker that comes to have a session of its own.
    pub(crate) async fn call_everywhere(&mut self, (method, params): Call) -> Result<(), Stop> {
        self.device.push((method, params.clone()));
        self.call(method, params).await.map(drop)
    }

    /// When everything must be over.
    pub(crate) const fn deadline(&self) -> Monotonic {
        self.deadline
    }

    /// Calls a method of the page.
    pub(crate) async fn call(&mut self, method: &'static str, params: Value) -> Result<Value, Stop> {
        self.call_until(self.deadline, method, params).await?.ok_or(Stop::Deadline)
    }

    /// Calls a method of the page; `None` where there is no answer until `at`.
    pub(crate) async fn call_until(
        &mut self,
        at: Monotonic,
        method: &'static str,
        params: Value,
    ) -> Result<Option<Value>, Stop> {
        self.attempt(at, method, params).await?.transpose().map_err(stop)
    }

    /// The same, where the browser may refuse.
    pub(crate) async fn attempt(
        &mut self,
        at: Monotonic,
        method: &'static str,
        params: Value,
    ) -> Result<Option<Result<Value, CallError>>, Stop> {
        let (connection, id) = (self.connection.clone(), self.id.clone());
        self.until(at, async move { connection.call(Some(&id), method, params).await }).await
    }

    /// Makes calls of which none waits for another's answer.
    pub(crate) async fn calls(&mut self, calls: Vec<Call>) -> Result<(), Stop> {
        let (connection, id) = (self.connection.clone(), self.id.clone());
        let all = async move {
            let calls = calls.into_iter().map(|(method, params)| connection.call(Some(&id), method, params));
            join_all(calls).await
        };
        let answers = self.until(self.deadline, all).await?.ok_or(Stop::Deadline)?;
        answers.into_iter().try_for_each(|answer| answer.map(drop).map_err(stop))
    }

    /// Calls a method of the browser.
    pub(crate) async fn call_browser(&mut self, method: &'static str, params: Value) -> Result<Value, Stop> {
        let connection = self.connection.clone();
        let answer = self.until(self.deadline, async move { connection.call(None, method, params).await }).await?;
        answer.ok_or(Stop::Deadline)?.map_err(stop)
    }

    /// Listens while `what` goes on; `None` when it is not done at `at`. What the browser told before it answered is taken then.
    pub(crate) async fn until<T>(&mut self, at: Monotonic, what: impl Future<Output = T>) -> Result<Option<T>, Stop> {
        let mut what = std::pin::pin!(what);
        let at = at.min(self.deadline);
        loop {
            if let Some(stop) = &self.story.stop {
                return Err(stop.clone());
            }
            // A page that tells without end must not keep the clock from being read.
            if clock::monotonic() >= at {
                return Ok(None);
            }
            tokio::select! {
                biased;
                done = &mut what => {
                    self.catch_up();
                    return self.story.stop.clone().map_or(Ok(Some(done)), Err);
                }
                () = self.listen() => {}
                () = tokio::time::sleep_until(clock::tokio_instant(at)) => {}
            }
        }
    }

    /// Takes what is there already.
    fn catch_up(&mut self) {
        for _ in 0..EVENTS_AT_ONCE {
            if self.listen().now_or_never().is_none() {
                return;
            }
        }
    }

    /// Listens for so long.
    pub(crate) async fn wait(&mut self, us: u64) -> Result<(), Stop> {
        self.until(self.deadline, tokio::time::sleep(Duration::from_micros(us))).await.map(drop)
    }

    /// Calls a method of a page that was given up, without listening. (Unshared: what it holds is sent between threads, not seen by two.)
    pub(crate) async fn call_last(&mut self, within_us: u64, method: &'static str, params: Value) -> Option<Value> {
        let call = self.connection.call(Some(&self.id), method, params);
        tokio::time::timeout(Duration::from_micros(within_us), call).await.ok()?.ok()
    }

    /// Calls a function of the observer with parameters that are JSON: its answer, which is JSON too, or the text of what it threw. `None` where there is
    /// no answer until `at`: the page keeps its renderer busy.
    pub(crate) async fn ask(
        &mut self,
        at: Monotonic,
        function: &str,
        parameters: &[Value],
    ) -> Result<Option<Result<Value, String>>, Stop> {
        let Some(world) = self.story.world else { return Ok(None) };
        let parameters = parameters.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        let params = json!({
            "expression": format!("globalThis['{}'].{function}({parameters})", self.api),
            "contextId": world,
            "returnByValue": true,
            "awaitPromise": true,
        });
        let answer = match self.attempt(at, "Runtime.evaluate", params).await? {
            None => return Ok(None),
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                self.until(clock::monotonic().plus_us(REFUSED_US), std::future::pending::<()>()).await?;
                return Err(stop(error));
            }
        };
        if let Some(thrown) = answer.get("exceptionDetails") {
            let text = thrown["exception"]["description"].as_str().or(thrown["text"].as_str()).unwrap_or_default();
            return Ok(Some(Err(cut(text.lines().next().unwrap_or_default(), TEXT_BYTES_MAX))));
        }
        let text = answer["result"]["value"].as_str().unwrap_or_default();
        Ok(Some(Ok(serde_json::from_str(text).unwrap_or_default())))
    }

    /// Waits until the page is at rest, or until `at`. Whether it is.
    pub(crate) async fn settle(&mut self, at: Monotonic) -> Result<bool, Stop> {
        loop {
            if let Some(stop) = &self.story.stop {
                return Err(stop.clone());
            }
            let now = clock::monotonic();
            let wake = match self.story.settle.rest(now) {
                Rest::Now => return Ok(true),
                Rest::At(rest) => rest.min(at),
                Rest::NotYet => at,
            };
            if now >= at {
                return Ok(false);
            }
            tokio::select! {
                biased;
                () = self.listen() => {}
                () = tokio::time::sleep_until(clock::tokio_instant(wake)) => {}
            }
        }
    }

    /// Takes what the browser tells: returns when something came.
    async fn listen(&mut self) {
        let mut taken = Vec::new();
        let mut done = Vec::new();
        let (events, children, errands) = (&mut self.events, &mut self.children, &mut self.errands);
        std::future::poll_fn(|task| {
            while let Poll::Ready(Some(errand)) = errands.poll_next_unpin(task) {
                done.push(errand);
            }
            while taken.len() < EVENTS_AT_ONCE {
                let Poll::Ready(event) = events.poll_recv(task) else { break };
                let ended = !matches!(event, Some(Event::Told { .. }));
                taken.push((true, event));
                if ended {
                    break;
                }
            }
            children.retain_mut(|child| {
                loop {
                    if taken.len() >= EVENTS_AT_ONCE {
                        return true;
                    }
                    match child.poll_recv(task) {
                        Poll::Ready(Some(event @ Event::Told { .. })) => taken.push((false, Some(event))),
                        Poll::Ready(Some(Event::Ended) | None) => return false,
                        Poll::Pending => return true,
                    }
                }
            });
            if taken.is_empty() && done.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let now = clock::monotonic();
        for done in done {
            match done {
                Done::Quietly => {}
                Done::World(world) => {
                    self.story.world = Some(world);
                    self.observe(world);
                }
                Done::Told(entries) => {
                    self.story.reported(entries, now);
                    if let Some(world) = self.story.world {
                        self.observe(world);
                    }
                }
            }
        }
        for (own, event) in taken {
            match event {
                Some(Event::Told { method, params }) => {
                    if let Some(errand) = self.story.take(own, &method, &params, now) {
                        self.run(errand);
                    }
                }
                Some(Event::Ended) if self.connection.is_gone() => self.story.stop(Stop::Gone),
                Some(Event::Ended) => self.story.stop(Stop::Closed),
                None if self.connection.is_gone() => self.story.stop(Stop::Gone),
                None => self.story.stop(Stop::Flooded),
            }
        }
    }

    /// Asks the observer for what it sees next.
    fn observe(&self, world: u64) {
        self.errands.push(Box::pin(next(self.connection.clone(), self.id.clone(), self.api.clone(), world)));
    }

    /// Starts an errand; whatever comes of it is told by events.
    fn run(&mut self, errand: Errand) {
        let (connection, id) = (self.connection.clone(), self.id.clone());
        let errand: BoxFuture<'static, Done> = match errand {
            Errand::Observe => {
                let params = json!({ "frameId": self.target, "worldName": WORLD });
                let observer = self.observer.clone();
                Box::pin(async move {
                    let world = connection.call(Some(&id), "Page.createIsolatedWorld", params).await;
                    let Some(world) = world.ok().and_then(|world| world["executionContextId"].as_u64()) else {
                        return Done::Quietly;
                    };
                    // The observer came there with the document, but into a document without scripts: then it comes now.
                    let params = json!({ "expression": observer, "contextId": world });
                    match connection.call(Some(&id), "Runtime.evaluate", params).await {
                        Ok(_) => Done::World(world),
                        Err(_) => Done::Quietly,
                    }
                })
            }
            Errand::CloseDialog => Box::pin(async move {
                let params = json!({ "accept": false });
                drop(connection.call(Some(&id), "Page.handleJavaScriptDialog", params).await);
                Done::Quietly
            }),
            Errand::ClosePopups => {
                let (context, target) = (self.context.clone(), self.target.clone());
                Box::pin(async move {
                    close_popups(&connection, &context, &target).await;
                    Done::Quietly
                })
            }
            Errand::Adopt(child) => {
                self.children.push(self.connection.events(&child));
                let mut calls = auto_attach();
                calls.push(("Network.enable", json!({})));
                calls.extend(self.device.clone());
                calls.push(("Runtime.runIfWaitingForDebugger", json!({})));
                Box::pin(async move {
                    // A worker does not know all that a frame does.
                    join_all(calls.into_iter().map(|(method, params)| connection.call(Some(&child), method, params)))
                        .await;
                    Done::Quietly
                })
            }
            Errand::Release(child) => Box::pin(async move {
                drop(connection.call(Some(&child), "Runtime.runIfWaitingForDebugger", json!({})).await);
                Done::Quietly
            }),
        };
        self.errands.push(errand);
    }
}

/// Asks the observer for what it sees next. The page's end is no news: events tell it.
async fn next(connection: Connection, id: String, api: String, world: u64) -> Done {
    let params = json!({
        "expression": format!("globalThis['{api}'].next()"),
        "contextId": world,
        "returnByValue": true,
        "awaitPromise": true,
    });
    let Ok(answer) = connection.call(Some(&id), "Runtime.evaluate", params).await else { return Done::Quietly };
    let entries = answer["result"]["value"].as_str().map(serde_json::from_str::<Value>);
    entries.and_then(Result::ok).map_or(Done::Quietly, Done::Told)
}

/// Frames and workers with sessions of their own come to this one, and wait until they are part of the device.
pub(crate) fn auto_attach() -> Vec<Call> {
    vec![("Target.setAutoAttach", json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true }))]
}

async fn close_popups(connection: &Connection, context: &str, own: &str) {
    let Ok(targets) = connection.call(None, "Target.getTargets", json!({})).await else { return };
    let popup = |target: &&Value| {
        target["browserContextId"] == context && target["type"] == "page" && target["targetId"] != own
    };
    for target in targets["targetInfos"].as_array().into_iter().flatten().filter(popup) {
        drop(connection.call(None, "Target.closeTarget", json!({ "targetId": target["targetId"] })).await);
    }
}

fn stop(error: CallError) -> Stop {
    match error {
        CallError::Gone => Stop::Gone,
        refused @ CallError::Refused { .. } => Stop::Refused(refused.to_string()),
    }
}
