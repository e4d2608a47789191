//! How messages go out. A [`Notice`] holds the facts; a channel's kind says how they are put into words and how they reach its provider: one small file a kind
//! in `way`, one line each in its table.
//!
//! The collector sends what its outbox holds; an agent sends one message of its own when the collector stays away. Both call [`Sender::send`].
//!
//! Reading order: [`egress`] decides what may be dialled, `http` makes one request, `opened` knows the secrets and keeps them out of what is told, `letter` puts a
//! notice into words in both languages, `escape` keeps those words from being more than words.

mod ask;
pub mod egress;
mod escape;
pub mod fetch;
pub mod http;
mod letter;
pub mod mail;
mod opened;
mod way;

use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::channel::Channel;
use sitepulse_model::notice::Notice;
use tokio::time::Instant;

use crate::egress::Egress;
use crate::opened::Opened;
use crate::way::Task;

/// What a cause is called in a language (`en`, `fr`) that has words of its own for it: agents' lines are English, and say it.
pub fn cause_in(language: &str, cause: &str) -> Option<&'static str> {
    letter::cause_in(language, cause)
}

/// What became of an attempt to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The provider has it.
    Delivered {
        /// What it said, in one line without secrets: `HTTP 202`.
        note: String,
    },
    /// Some of a mail's receivers have it; the server wants the others to be tried again.
    Partly {
        /// What it said, in one line without secrets.
        note: String,
        /// Who does not have it yet: the next attempt is for them alone ([`Context::only`]).
        ///
        /// [`Context::only`]: sitepulse_model::notice::Context::only
        left: Vec<String>,
    },
    /// It may work later.
    Again {
        /// Why it did not, in one line without secrets.
        why: String,
        /// How long the provider wants to be left alone (`Retry-After`); an hour at most.
        after: Option<Duration>,
    },
    /// The provider turns this sender or this address away: a mistake in the channel, or a provider or a network that is being changed. Only time tells which.
    Denied {
        /// Why, in one line without secrets.
        why: String,
    },
    /// It will not work as it is: the provider refuses the message itself, or the channel is written so that nothing can be sent.
    Refused {
        /// Why, in one line without secrets, with the remedy where there is one.
        why: String,
    },
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) why: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Again,
    Denied,
    Refused,
    /// Denied, because nobody has the receiver's address.
    Nobody,
}

impl Trouble {
    pub(crate) fn again(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Again }
    }

    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Refused }
    }

    /// Whether it may work later.
    #[cfg(test)]
    pub(crate) fn is_again(&self) -> bool {
        self.kind == Kind::Again
    }

    /// Nobody has the receiver's address.
    pub(crate) fn nobody(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Nobody }
    }

    /// Whether that is so.
    pub(crate) fn is_nobody(&self) -> bool {
        self.kind == Kind::Nobody
    }

    pub(crate) fn denied(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Denied }
    }
}

impl From<Trouble> for Sent {
    fn from(trouble: Trouble) -> Self {
        let Trouble { why, kind } = trouble;
        match kind {
            Kind::Again => Self::Again { why, after: None },
            // Of a channel's receiver: a directory that is away says so too.
            Kind::Denied | Kind::Nobody => Self::Denied { why },
            Kind::Refused => Self::Refused { why },
        }
    }
}

/// Sends messages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    egress: Egress,
}

/// Sends to public addresses, this machine and private networks.
impl Default for Sender {
    fn default() -> Self {
        Self::new(
            Egress::new(None, None).expect("without a list and a file only rustls' own defaults could be refused"),
        )
    }
}

impl Sender {
    /// Sends over this way out.
    pub const fn new(egress: Egress) -> Self {
        Self { egress }
    }

    /// Makes one attempt, within `deadline`. `secret` gives a secret's value by its name.
    pub async fn send(
        &self,
        channel: &Channel,
        secret: &(dyn Fn(&str) -> Option<String> + Sync),
        notice: &Notice,
        deadline: Duration,
    ) -> Sent {
        let opened = match Opened::of(channel, secret) {
            Ok(opened) => opened,
            Err(sent) => return sent,
        };
        let until = Instant::now() + deadline;
        let task = Task { egress: &self.egress, channel, opened: &opened, notice, now: clock::now(), until };
        let sent = task.send().await;
        opened.redacted(sent)
    }
}
