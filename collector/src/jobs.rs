//! The one queue of work that is done beside answering: the lives of results, backups, exports, reports, runs of many checks, insights, what scores were.
//!
//! A job is a row of the table `job`, which can be written in the transaction of the change that causes it ([`enqueue`]). The runner ([`task`]) has what is due handed
//! out, best rank first, runs its kind's handler, and has written down what became of it ([`engine`]). The rules are in [`sitepulse_model::job`]; the kinds and their
//! bounds in [`kind`]; who does the work in [`handlers`]. A kill in between has the work done once more: every handler can be run twice.
//!
//! Messages about incidents do not pass through here: their order by incident and channel is another one ([`crate::outbox`]). Who looks at the work sees both ([`all`]).
//! Of one kind and key one job waits or runs at a time: asking again hands back that one.

pub mod all;
pub mod checks;
pub mod files;
pub mod handlers;
pub mod kind;
pub mod live;
pub mod noop;
pub mod said;
pub mod task;

pub(crate) mod engine;

use sitepulse_model::id::Bucket;
use sitepulse_model::job::{JobId, Priority, Standing};
use sitepulse_model::time::UtcMicros;

pub use crate::store::jobs::enqueue;
pub use engine::{Given, Over, Setup, Turn};
pub use handlers::{Finished, Handler, Outcome, Unfinished, Work};
pub use kind::Kind;
pub use live::Desk;
pub use said::Said;

/// Longest text of a line of a job's log, of its progress and of what it came to, in bytes.
pub const TEXT_BYTES_MAX: usize = 500;
/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 200;
/// Longest arguments, in bytes of JSON.
pub const ARGS_BYTES_MAX: usize = 64 * 1024;

/// A job that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// What is to be done.
    pub kind: Kind,
    /// Of one kind and key one job waits or runs; `None`: each ask is a job of its own.
    pub key: Option<String>,
    /// How much it matters; `None`: as the kind says.
    pub priority: Option<Priority>,
    /// Not before then; `None`: now.
    pub not_before: Option<UtcMicros>,
    /// By when it should be over; `None`: as the kind says.
    pub deadline: Option<UtcMicros>,
    /// Who asks: `collector`, `collector:cli`, `collector:USER`.
    pub author: String,
    /// What the handler is told.
    pub args: serde_json::Value,
}

impl Ask {
    /// An ask of the collector itself, one at a time of its kind, as soon as its turn comes.
    pub fn own(kind: Kind) -> Self {
        Self {
            kind,
            key: Some(String::new()),
            priority: None,
            not_before: None,
            deadline: None,
            author: "collector".to_owned(),
            args: serde_json::Value::Null,
        }
    }

    /// The bucket of its row: that of its kind and key, or else of its own id.
    pub fn bucket(&self, id: JobId) -> Bucket {
        match &self.key {
            Some(key) => Bucket::of(&format!("{}/{key}", self.kind.as_str())),
            None => Bucket::of(&id.to_string()),
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Where its row is.
    pub bucket: Bucket,
    /// Which.
    pub id: JobId,
    /// What is to be done.
    pub kind: Kind,
    /// Of one kind and key one job waits or runs.
    pub key: Option<String>,
    /// Where it stands.
    pub standing: Standing,
    /// When it was asked for.
    pub asked: UtcMicros,
    /// By when it should be over.
    pub deadline: Option<UtcMicros>,
    /// Who asked.
    pub author: String,
    /// What the handler is told.
    pub args: serde_json::Value,
    /// When its first attempt began.
    pub first_started: Option<UtcMicros>,
    /// When its newest attempt began.
    pub started: Option<UtcMicros>,
    /// When it was over.
    pub ended: Option<UtcMicros>,
    /// How much of it is done, in thousandths, as of the end of its newest attempt.
    pub progress: u16,
    /// What it came to, or why its newest attempt failed.
    pub note: String,
    /// A file that it made, by its name in the folder of its kind.
    pub file: Option<String>,
    /// How far an attempt that was cut short came, in the handler's own words (JSON): where the next one goes on.
    pub mark: Option<String>,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: UtcMicros,
    /// In which attempt; 0 is none.
    pub epoch: u32,
    /// What.
    pub text: String,
}

/// A text within [`TEXT_BYTES_MAX`], cut at a character.
pub(crate) fn clip(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
