//! The DevTools protocol over a pair of pipes: JSON messages, each ended by a NUL. Calls are answered by their number; events go to the session they are of.
//!
//! Bounded: a message has at most [`MESSAGE_BYTES_MAX`] bytes, a session at most [`EVENTS_MAX`] events that nobody has taken; a page that makes more loses its
//! session's events (the channel closes), not the browser.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};

/// Largest message taken from the browser.
const MESSAGE_BYTES_MAX: u64 = 32 << 20;
/// Events of a session that wait to be taken.
const EVENTS_MAX: usize = 8_192;

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
    out: mpsc::UnboundedSender<Vec<u8>>,
    state: Mutex<State>,
}

type Answer = Result<Value, String>;

#[derive(Debug, Default)]
struct State {
    gone: bool,
    calls: HashMap<u64, oneshot::Sender<Answer>>,
    sessions: HashMap<String, mpsc::Sender<Event>>,
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
    /// Talks over `input` and `output`. Ends with the returned future: run it until the browser is to go.
    pub(crate) fn start(
        input: impl AsyncRead + Unpin + Send,
        output: impl AsyncWrite + Unpin + Send,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (out, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { next: AtomicU64::new(1), out, state: Mutex::default() });
        let connection = Self { shared: shared.clone() };
        let talk = async move {
            tokio::select! {
                () = write(output, queue) => {}
                () = read(BufReader::new(input), &shared) => {}
            }
            shared.end();
        };
        (connection, talk)
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
        self.shared.out.send(bytes).map_err(|_| CallError::Gone)?;
        let answer = answered.await.map_err(|_| CallError::Gone)?;
        drop(forget);
        answer.map_err(|message| CallError::Refused { method, message })
    }

    /// The events of a session from now on; the browser's own are those of the session `""`.
    pub(crate) fn events(&self, session: &str) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let mut state = self.shared.state();
        if !state.gone {
            state.sessions.retain(|_, sender| !sender.is_closed());
            state.sessions.insert(session.to_owned(), sender);
        }
        receiver
    }

    /// Whether the browser is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.state().gone
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
        for (_, session) in state.sessions.drain() {
            // Full: its receiver sees the end of the channel after what waits there.
            drop(session.try_send(Event::Ended));
        }
    }

    fn take(&self, message: Message) {
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
            && let Some(sender) = state.sessions.remove(session)
        {
            drop(sender.try_send(Event::Ended));
        }
        let Some(sender) = state.sessions.get(&message.session) else { return };
        let event = Event::Told { method: message.method, params: message.params };
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(event)
            && let Some(sender) = state.sessions.remove(&message.session)
        {
            // Its end tells; whoever takes the rest meets a channel that is closed.
            drop(sender);
        }
    }
}

async fn write(mut output: impl AsyncWrite + Unpin, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
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
        let taken = (&mut input).take(MESSAGE_BYTES_MAX).read_until(0, &mut bytes).await;
        if taken.is_err() || bytes.pop() != Some(0) {
            return;
        }
        match serde_json::from_slice::<Message>(&bytes) {
            Ok(message) => shared.take(message),
            Err(error) => tracing::debug!("a message of the browser is not understood: {error}"),
        }
    }
}
