//! A mail to one person, beside what incidents send: plain text by a channel of kind `email`, to an address that is not the channel's.

use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::channel::Channel;
use sitepulse_model::channel::way::Way;
use tokio::time::Instant;

use crate::opened::Opened;
use crate::way::email;
use crate::{Sender, Sent, Trouble};

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address, bare.
    pub to: String,
    /// What the sender is called; the channel's sender as it is where there is nothing.
    pub from_name: Option<String>,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same for every attempt: the `Message-ID` is made from it. Letters, digits, `.` and `-`.
    pub key: String,
    /// Where the receiver ends these mails, also by one request of their mailbox's (RFC 8058).
    pub unsubscribe: Option<String>,
}

impl Sender {
    /// Makes one attempt to send a mail, within `deadline`. What is told may hold the receiver's address, for the mail server's words are in it.
    pub async fn mail(
        &self,
        channel: &Channel,
        secret: &(dyn Fn(&str) -> Option<String> + Sync),
        mail: &Mail,
        deadline: Duration,
    ) -> Sent {
        let Way::Email(way) = &channel.way else {
            return Sent::Refused {
                why: format!("channel {} is of kind {}: mail needs one of kind email", channel.id, channel.kind()),
            };
        };
        let opened = match Opened::of(channel, secret) {
            Ok(opened) => opened,
            Err(sent) => return sent,
        };
        let until = Instant::now() + deadline;
        let sent = email::send_mail(way, (&self.egress, &opened), mail, clock::now(), until).await;
        opened.redacted(sent.unwrap_or_else(|trouble: Trouble| trouble.into()))
    }
}
