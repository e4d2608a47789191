//! The DevTools protocol over a pair of pipes: JSON messages, each ended by a NUL. Calls are answered by their number; events go to the session they are of.
//!
//! Bounded, because pages decide what a browser tells of them: a message has at most [`MESSAGE_BYTES_MAX`] bytes (a longer one is passed over), a session at
//! most [`EVENTS_MAX`] events and [`EVENT_BYTES_MAX`] bytes that nobody has taken, and [`CALLS_MAX`] calls wait to be written. A page that makes more loses its
//! session's events (they end), not the browser.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot, watch};

/// Largest message taken from the browser: a screenshot has a tenth of it.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Events of a session that wait to be taken.
const EVENTS_MAX: usize = 8_192;
/// What they have, together, as they came.
const EVENT_BYTES_MAX: usize = 16 << 20;
/// Calls that wait to be written.
const CALLS_MAX: usize = 64;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// The browser is gone.
    #[error("the browser is gone")]
    Gone,
    /// The browser refused the call.
    #[error("the browser refused {method}: {message}")]
    Refused {
        /// The call.
        method: &'static str,
        /// Its words.
        message: String,
    },
}

/// What a session tells by itself.
#[derive(Debug)]
pub(crate) enum Event {
    /// `Page.loadEventFired` and its like, with its parameters.
    Told { method: String, params: Value },
    /// The session or the browser ended.
    Ended,
}

/// A connection to a browser; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    next: AtomicU64,
    out: mpsc::Sender<Vec<u8>>,
    state: Mutex<State>,
    gone: watch::Sender<bool>,
}

type Answer = Result<Value, String>;

#[derive(Debug, Default)]
struct State {
    gone: bool,
    calls: HashMap<u64, oneshot::Sender<Answer>>,
    sessions: HashMap<String, Queue>,
}

/// Where the events of a session go.
#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<(Event, usize)>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    /// Whether it was taken in.
    fn push(&self, event: Event, bytes: usize) -> bool {
        if self.bytes.load(Ordering::Relaxed).saturating_add(bytes) > EVENT_BYTES_MAX {
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sender.try_send((event, bytes)).is_ok()
    }
}

/// The events of a session, in order.
#[derive(Debug)]
pub(crate) struct Events {
    receiver: mpsc::Receiver<(Event, usize)>,
    bytes: Arc<AtomicUsize>,
}

impl Events {
    /// The next one; none once the session or the browser ended, or there were more than could be kept.
    pub(crate) fn poll_recv(&mut self, task: &mut Context<'_>) -> Poll<Option<Event>> {
        self.receiver.poll_recv(task).map(|told| {
            let (event, bytes) = told?;
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            Some(event)
        })
    }

    #[cfg(test)]
    pub(crate) async fn recv(&mut self) -> Option<Event> {
        std::future::poll_fn(|task| self.poll_recv(task)).await
    }
}

#[derive(Deserialize)]
struct Message {
    id: Option<u64>,
    #[serde(default)]
    method: String,
    #[serde(default, rename = "sessionId")]
    session: String,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    message: String,
}

impl Connection {
    /// Talks over `input` and `output`. Ends with the returned future: run it until the browser is to go. The future ends with the browser, or with
    /// [`Connection::end`].
    pub(crate) fn start<I, O>(input: I, output: O) -> (Self, impl Future<Output = ()> + Send + use<I, O>)
    where
        I: AsyncRead + Unpin + Send,
        O: AsyncWrite + Unpin + Send,
    {
        let (out, queue) = mpsc::channel(CALLS_MAX);
        let (gone, _) = watch::channel(false);
        let shared = Arc::new(Shared { next: AtomicU64::new(1), out, state: Mutex::default(), gone });
        let connection = Self { shared: shared.clone() };
        let talk = async move {
            // Dropped midway (the agent stops), it tells as well.
            let end = EndOnDrop(shared);
            let mut gone = end.0.gone.subscribe();
            tokio::select! {
                () = write(output, queue) => {}
                () = read(BufReader::new(input), &end.0) => {}
                _ = gone.wait_for(|gone| *gone) => {}
            }
        };
        (connection, talk)
    }

    /// Hangs up: whoever waits is told that the browser is gone.
    pub(crate) fn end(&self) {
        self.shared.end();
    }

    /// Waits until the browser is gone.
    pub(crate) async fn ended(&self) {
        let mut gone = self.shared.gone.subscribe();
        // The sender lives as long as `self`.
        drop(gone.wait_for(|gone| *gone).await);
    }

    /// Calls a method of the browser, or of a session.
    pub(crate) async fn call(
        &self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Value, CallError> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if state.gone {
                return Err(CallError::Gone);
            }
            state.calls.insert(id, answer);
        }
        // A call that nobody waits for any more is forgotten.
        let forget = Forget { shared: &self.shared, id };
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.shared.out.send(bytes).await.map_err(|_| CallError::Gone)?;
        let answer = answered.await.map_err(|_| CallError::Gone)?;
        drop(forget);
        answer.map_err(|message| CallError::Refused { method, message })
    }

    /// The events of a session from now on; the browser's own are those of the session `""`.
    pub(crate) fn events(&self, session: &str) -> Events {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let bytes = Arc::new(AtomicUsize::new(0));
        let mut state = self.shared.state();
        if !state.gone {
            state.sessions.retain(|_, queue| !queue.sender.is_closed());
            state.sessions.insert(session.to_owned(), Queue { sender, bytes: bytes.clone() });
        }
        Events { receiver, bytes }
    }

    /// Whether the browser is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.state().gone
    }
}

struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.state().calls.remove(&self.id);
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dropping the senders tells everybody who waits.
    fn end(&self) {
        let mut state = self.state();
        state.gone = true;
        state.calls.clear();
        for (_, queue) in state.sessions.drain() {
            // Full: its receiver sees the end of the channel after what waits there.
            queue.push(Event::Ended, 0);
        }
        self.gone.send_replace(true);
    }

    fn take(&self, message: Message, bytes: usize) {
        let mut state = self.state();
        if let Some(id) = message.id {
            if let Some(call) = state.calls.remove(&id) {
                let answer = message.error.map_or(Ok(message.result), |refused| Err(refused.message));
                // Whoever asked may have left.
                drop(call.send(answer));
            }
            return;
        }
        if message.method == "Target.detachedFromTarget"
            && let Some(session) = message.params.get("sessionId").and_then(Value::as_str)
            && let Some(queue) = state.sessions.remove(session)
        {
            queue.push(Event::Ended, 0);
        }
        let Some(queue) = state.sessions.get(&message.session) else { return };
        let event = Event::Told { method: message.method, params: message.params };
        if !queue.push(event, bytes) {
            // Its end tells; whoever takes the rest meets a channel that is closed.
            state.sessions.remove(&message.session);
        }
    }

    /// A message that was too long: an event is lost, a call is refused.
    fn pass_over(&self, head: &[u8]) {
        let digits = head.strip_prefix(b"{\"id\":").unwrap_or_default();
        let id = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_u64, |id, digit| id.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        if let Some(call) = self.state().calls.remove(&id) {
            drop(call.send(Err(format!("its answer has more than {} MiB", MESSAGE_BYTES_MAX >> 20))));
        }
    }
}

async fn write(mut output: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if output.write_all(&bytes).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

async fn read(mut input: impl tokio::io::AsyncBufRead + Unpin, shared: &Shared) {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // One large message does not hold its memory for ever.
        bytes.shrink_to(1 << 20);
        let taken = (&mut input).take(MESSAGE_BYTES_MAX as u64).read_until(0, &mut bytes).await;
        if taken.is_err() || bytes.is_empty() {
            return;
        }
        if bytes.last() != Some(&0) {
            if bytes.len() < MESSAGE_BYTES_MAX || skip(&mut input).await.is_err() {
                return;
            }
            tracing::debug!(
                "a message of the browser was too long, it begins {}",
                String::from_utf8_lossy(&bytes[..80])
            );
            shared.pass_over(&bytes);
            continue;
        }
        bytes.pop();
        match serde_json::from_slice::<Message>(&bytes) {
            Ok(message) => shared.take(message, bytes.len()),
            Err(error) => tracing::debug!("a message of the browser is not understood: {error}"),
        }
    }
}

/// Reads on to the end of a message and keeps nothing.
async fn skip(input: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match buffer.iter().position(|byte| *byte == 0) {
            Some(end) => {
                input.consume(end + 1);
                return Ok(());
            }
            None => {
                let all = buffer.len();
                input.consume(all);
            }
        }
    }
}

#[cfg(test)]
mod tests;
