//! Server-sent events without a task: a body that renders the next event when it is polled.
//!
//! An event goes out when the page's text changed, at most once a second; a comment every 15 s keeps the connection alive. The
//! stream ends with the server, and with the session it was opened by.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use sitepulse_daemon::clock;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::app::CredentialKind;
use crate::present::Present;
use crate::present::http::stopped;
use crate::present::text::Language;

/// Least time between two events.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// Ages on the page grow without any change of the book: look again after this.
const EVERY_MAX: Duration = Duration::from_secs(5);
/// Comments that keep the connection alive: after so many looks without a change.
const QUIET_LOOKS_MAX: u32 = 3;

struct State {
    present: Present,
    session: Option<String>,
    lang: Language,
    ticks: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    shown: String,
    first: bool,
    quiet: u32,
}

type Next = Pin<Box<dyn Future<Output = Option<(State, Bytes)>> + Send>>;

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
            Poll::Ready(Some((state, bytes))) => {
                self.next = Some(Box::pin(next_event(state)));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }
}

/// The event stream of one viewer.
pub(super) fn body(present: Present, session: Option<String>, lang: Language) -> Body {
    let state = State {
        ticks: present.app().subscribe(),
        stopping: present.stopping(),
        present,
        session,
        lang,
        shown: String::new(),
        first: true,
        quiet: 0,
    };
    Body::new(Events { next: Some(Box::pin(next_event(state))) })
}

async fn next_event(mut state: State) -> Option<(State, Bytes)> {
    loop {
        if state.first {
            state.first = false;
        } else {
            wait(&mut state).await?;
        }
        if let Some(session) = &state.session {
            state.present.app().verify(CredentialKind::Session, session, clock::now())?;
        }
        let snapshot = state.present.snapshot().await.ok()?;
        let text = super::render_main(&snapshot, state.lang).ok()?;
        if text != state.shown {
            let bytes = event(&text);
            state.shown = text;
            state.quiet = 0;
            return Some((state, bytes));
        }
        state.quiet += 1;
        if state.quiet >= QUIET_LOOKS_MAX {
            state.quiet = 0;
            return Some((state, Bytes::from_static(b": still here\n\n")));
        }
    }
}

/// Waits until it is worth looking again. `None`: the server stops.
async fn wait(state: &mut State) -> Option<()> {
    let State { ticks, stopping, .. } = state;
    let look = async {
        sleep(EVERY_MIN).await;
        // Time running out and a closed channel both mean: look again.
        drop(timeout(EVERY_MAX - EVERY_MIN, ticks.changed()).await);
    };
    tokio::select! {
        biased;
        () = stopped(stopping) => None,
        () = look => Some(()),
    }
}

fn event(text: &str) -> Bytes {
    let mut out = String::with_capacity(text.len() + text.len() / 16 + 32);
    out.push_str("event: main\n");
    for line in text.lines() {
        out.push_str("data: ");
        out.push_str(line.trim_end_matches('\r'));
        out.push('\n');
    }
    out.push('\n');
    Bytes::from(out)
}
