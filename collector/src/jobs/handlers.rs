//! Who does the work: the one table of handlers, and what a handler is given.
//!
//! A handler may be run twice for one job, and may be left at any `await`: what it does is done in short transactions, each of which can be done again. It asks
//! [`Work::stopped`] between pieces, or waits for [`Work::stopping`] beside what it waits for. It never blocks: what takes a processor for long is done in
//! `App::read_in_background` or by `tokio::task::spawn_blocking`, piece by piece. What goes on after the handler was left, as a thread does, holds a [`Work`]: the next
//! attempt begins when the last of them is gone.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::live::Live;
use super::{Job, Kind, Said, Setup, checks, files, noop};
use crate::app::{App, AppError};
use crate::seal;

/// What a handler is given.
#[derive(Debug, Clone)]
pub struct Work {
    /// The collector.
    pub app: App,
    /// The job as it was handed out; [`Job::args`] is what it is told.
    pub job: Job,
    /// What the configuration says.
    pub setup: Arc<Setup>,
    pub(super) live: Arc<Live>,
    pub(super) stop: watch::Receiver<bool>,
    /// The job's place: given back when the last clone is gone. Nothing is sent.
    pub(super) _place: mpsc::Sender<()>,
}

/// What came of the work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finished {
    /// In a line.
    pub note: String,
    /// A file that was made, by its name in the kind's folder.
    pub file: Option<String>,
}

impl Finished {
    /// With a line that says what came of it.
    pub fn with(note: impl Into<String>) -> Self {
        Self { note: note.into(), file: None }
    }
}

/// Why the work is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// It may work later: it is tried again, as often as the kind says.
    Failed(String),
    /// It will not work as it is.
    Refused(String),
    /// It was told to stop, and did.
    Stopped,
}

impl From<AppError> for Unfinished {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Unavailable(_) => Self::Failed(error.to_string()),
            AppError::NotFound(_)
            | AppError::Invalid(_)
            | AppError::Conflict(_)
            | AppError::Forbidden(_)
            | AppError::BadFiles(_) => Self::Refused(error.to_string()),
        }
    }
}

/// What became of an attempt.
pub type Outcome = Result<Finished, Unfinished>;

/// Does the work of a kind.
pub type Handler = fn(Work) -> BoxFuture<'static, Outcome>;

impl Work {
    /// What it is told.
    ///
    /// # Errors
    /// When that makes no sense.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Unfinished> {
        let args = if self.job.args.is_null() { serde_json::json!({}) } else { self.job.args.clone() };
        serde_json::from_value(args).map_err(|error| Unfinished::Refused(Said::nonsense(&error.to_string()).into()))
    }

    /// How much of it is done, 0 to 1, and what it is at: shown while it runs.
    pub fn progress(&self, part: f64, message: impl Into<String>) {
        self.live.progress(part, message.into());
    }

    /// A line for the job's log.
    pub fn log(&self, text: impl Into<String>) {
        self.live.log(text.into());
    }

    /// How far it came: [`Job::mark`] of the next attempt, should this one be cut short. Written about once a second.
    pub fn mark(&self, mark: &impl Serialize) {
        if let Ok(mark) = serde_json::to_string(mark) {
            self.live.mark(mark);
        }
    }

    /// How far an earlier attempt came; `None` where there was none, or what it left makes no sense.
    pub fn marked<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.job.mark.as_deref()?).ok()
    }

    /// Whether it is to stop: somebody cancelled it, it takes too long, or the collector ends.
    pub fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// [`Unfinished::Stopped`] where it is to stop: `work.go_on()?` between pieces.
    ///
    /// # Errors
    /// When it is to stop.
    pub fn go_on(&self) -> Result<(), Unfinished> {
        if self.stopped() { Err(Unfinished::Stopped) } else { Ok(()) }
    }

    /// Waits until it is to stop.
    pub async fn stopping(&self) {
        // A sender that is gone stops it too.
        drop(self.stop.clone().wait_for(|stop| *stop).await);
    }
}

/// The table: which function does the work of a kind.
pub fn handler(kind: Kind) -> Handler {
    match kind {
        Kind::Seal => |work| Box::pin(seal::task::seal(work)),
        Kind::Retention => |work| Box::pin(seal::task::retention(work)),
        Kind::Impact => |work| Box::pin(crate::impact::hour::write_down(work)),
        Kind::Insights => |work| Box::pin(crate::insight::task::look(work)),
        Kind::Backup => |work| Box::pin(files::backup(work)),
        Kind::Export => |work| Box::pin(files::export(work)),
        Kind::SlaReport => |work| match work.setup.sla_report {
            Some(make) => make(work),
            None => Box::pin(async { Err(Unfinished::Refused(Said::NotHere.into())) }),
        },
        Kind::RunChecks => |work| Box::pin(checks::run(work)),
        Kind::VitalsBatch => |work| Box::pin(checks::vitals(work)),
        Kind::Noop => |work| Box::pin(noop::run(work)),
        Kind::Notification => |_| Box::pin(async { Err(Unfinished::Refused(Said::NotHere.into())) }),
    }
}
