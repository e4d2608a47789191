//! How messages go out. A [`Notice`] holds the facts; a channel's kind says how they are put into words and how they reach its provider: one small file a kind.
//!
//! The collector sends what its outbox holds; an agent sends one message of its own when the collector stays away. Both call [`Sender::send`].

use std::time::Duration;

use sitepulse_model::channel::Channel;
use sitepulse_model::notice::Notice;

/// What became of an attempt to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The provider has it.
    Delivered {
        /// What it said, in one line without secrets: `HTTP 202`.
        note: String,
    },
    /// It may work later.
    Again {
        /// Why it did not, in one line without secrets.
        why: String,
        /// How long the provider wants to be left alone (`Retry-After`).
        after: Option<Duration>,
    },
    /// It will not work as it is: the provider refuses the message or the credentials.
    Refused {
        /// Why, in one line without secrets, with the remedy where there is one.
        why: String,
    },
}

/// Sends messages. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sender;

impl Sender {
    /// Makes one attempt, within `deadline`. `secret` gives a secret's value by its name.
    pub async fn send(
        &self,
        channel: &Channel,
        secret: &(dyn Fn(&str) -> Option<String> + Sync),
        notice: &Notice,
        deadline: Duration,
    ) -> Sent {
        let _ = (secret, notice, deadline);
        Sent::Refused { why: format!("this build cannot send by {} yet", channel.kind()) }
    }
}
