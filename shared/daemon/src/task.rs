//! The one place that starts tasks. Every task has a name, and is joined at shutdown; a panic is an error in the log and surfaces.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A task's name.
pub type Name = Cow<'static, str>;

/// Most panics whose texts are kept.
const PANICS_MAX: usize = 16;

/// A task that panicked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("task {name} panicked: {message}")]
pub struct TaskPanic {
    /// Its name.
    pub name: Name,
    /// The panic's text.
    pub message: String,
}

/// Why [`TaskSet::join_all`] is not happy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinError {
    /// Tasks that did not end in time, and were aborted.
    pub unfinished: Vec<Name>,
    /// Tasks that panicked at some time.
    pub panicked: Vec<TaskPanic>,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if !self.unfinished.is_empty() {
            write!(f, "tasks did not end in time: {}", self.unfinished.join(", "))?;
            separator = "; ";
        }
        for panic in &self.panicked {
            write!(f, "{separator}{panic}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for JoinError {}

/// A program's tasks. Clones share them. Dropping it does not stop them: [`TaskSet::join_all`] does.
#[derive(Debug, Clone, Default)]
pub struct TaskSet {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts ended tasks; its changes wake those who wait.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, (Name, Option<AbortHandle>)>,
    panicked: Vec<TaskPanic>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), ended: watch::channel(0).0 }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. Within a tokio runtime.
    #[allow(clippy::disallowed_methods, reason = "the one place that starts tasks")]
    pub fn spawn(&self, name: impl Into<Name>, future: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        let id = {
            let mut state = self.shared.state();
            let id = state.next;
            state.next += 1;
            state.running.insert(id, (name, None));
            id
        };
        let handle = tokio::spawn(Task { id, shared: Arc::clone(&self.shared), future: Box::pin(future) });
        if let Some((_, abort)) = self.shared.state().running.get_mut(&id) {
            *abort = Some(handle.abort_handle());
        }
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.shared.state().running.len()
    }

    /// Waits until a task panics. A daemon ends then: half of it is gone.
    pub async fn panicked(&self) -> TaskPanic {
        let mut ended = self.shared.ended.subscribe();
        loop {
            if let Some(panic) = self.shared.state().panicked.first() {
                return panic.clone();
            }
            // The sender lives as long as `self`.
            drop(ended.changed().await);
        }
    }

    /// Waits for every task, at most `timeout` long; then aborts the rest. Tell them to end first.
    pub async fn join_all(&self, timeout: Duration) -> Result<(), JoinError> {
        let mut ended = self.shared.ended.subscribe();
        let all = async {
            while self.running() > 0 {
                drop(ended.changed().await);
            }
        };
        let in_time = tokio::time::timeout(timeout, all).await.is_ok();
        let mut unfinished = Vec::new();
        if !in_time {
            for (name, abort) in self.shared.state().running.values() {
                unfinished.push(name.clone());
                if let Some(abort) = abort {
                    abort.abort();
                }
            }
        }
        let panicked = self.shared.state().panicked.clone();
        if unfinished.is_empty() && panicked.is_empty() { Ok(()) } else { Err(JoinError { unfinished, panicked }) }
    }
}

/// Polls a task's future, catches its panic, and signs off when dropped (ended, panicked or aborted).
struct Task {
    id: u64,
    shared: Arc<Shared>,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(payload) => {
                self.panicked(payload.as_ref());
                Poll::Ready(())
            }
        }
    }
}

impl Task {
    fn panicked(&self, payload: &(dyn Any + Send)) {
        let text =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("(no text)").to_owned();
        let mut state = self.shared.state();
        let name = state.running.get(&self.id).map_or(Name::Borrowed("?"), |(name, _)| name.clone());
        let panic = TaskPanic { name, message };
        tracing::error!("{panic}");
        if state.panicked.len() < PANICS_MAX {
            state.panicked.push(panic);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.state().running.remove(&self.id);
        self.shared.ended.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn joins_what_ends() {
        let tasks = TaskSet::new();
        let (stop, stopped) = oneshot::channel::<()>();
        tasks.spawn("waits", async move { drop(stopped.await) });
        tasks.spawn("ends", async {});
        stop.send(()).unwrap();
        tasks.join_all(Duration::from_secs(10)).await.unwrap();
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn names_and_aborts_what_does_not_end() {
        let tasks = TaskSet::new();
        tasks.spawn("stuck", std::future::pending());
        let error = tasks.join_all(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "tasks did not end in time: stuck");
        tasks.join_all(Duration::from_secs(10)).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_surfaces() {
        let tasks = TaskSet::new();
        tasks.spawn("careless", async { panic!("index {}", 7) });
        let panic = tasks.panicked().await;
        assert_eq!(panic.to_string(), "task careless panicked: index 7");
        assert_eq!(tasks.join_all(Duration::from_secs(10)).await.unwrap_err().panicked, [panic]);
    }
}
