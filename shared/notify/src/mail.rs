//! A mail to one person, beside what incidents send: plain text by a channel of kind `email`, to an address that is not the channel's.

use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::channel::Channel;
use sitepulse_model::channel::way::Way;
use tokio::time::Instant;

use crate::opened::Opened;
use crate::way::email;
use crate::{Sender, Sent};

/// A part of an address shorter than this is not looked for in what is told: it stands in every text.
const HIDDEN_BYTES_MIN: usize = 4;

/// A mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address, bare.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same for every attempt: the `Message-ID` is made from it. Letters, digits, `.` and `-`.
    pub key: String,
    /// Where the receiver ends these mails, also by one request of their mailbox's (RFC 8058).
    pub unsubscribe: Option<String>,
}

/// Without the address.
impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What became of an attempt to send a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mailed {
    /// As of any message. What is told does not hold the receiver's address.
    Sent(Sent),
    /// The server says that nobody has this address.
    Nobody,
}

impl Sender {
    /// Makes one attempt to send a mail, within `deadline`.
    pub async fn mail(
        &self,
        channel: &Channel,
        secret: &(dyn Fn(&str) -> Option<String> + Sync),
        mail: &Mail,
        deadline: Duration,
    ) -> Mailed {
        let Way::Email(way) = &channel.way else {
            let why = format!("channel {} is of kind {}: mail needs one of kind email", channel.id, channel.kind());
            return Mailed::Sent(Sent::Refused { why });
        };
        let opened = match Opened::of(channel, secret) {
            Ok(opened) => opened,
            Err(sent) => return Mailed::Sent(sent),
        };
        let until = Instant::now() + deadline;
        match email::send_mail(way, (&self.egress, &opened), mail, clock::now(), until).await {
            Err(trouble) if trouble.is_nobody() => Mailed::Nobody,
            sent => Mailed::Sent(hidden(opened.redacted(sent.unwrap_or_else(Into::into)), &mail.to)),
        }
    }
}

/// What is told, without an address or the part before its `@`: servers repeat them, in capitals or not.
fn hidden(sent: Sent, address: &str) -> Sent {
    let local = address.split('@').next().unwrap_or_default();
    let hide = |mut text: String| {
        for hidden in [address, local] {
            if hidden.len() < HIDDEN_BYTES_MIN {
                continue;
            }
            let hidden = hidden.to_ascii_lowercase();
            // ASCII alone changes its case here, so places stay the same.
            while let Some(at) = text.to_ascii_lowercase().find(&hidden) {
                text.replace_range(at..at + hidden.len(), "\u{2026}");
            }
        }
        text
    };
    match sent {
        Sent::Delivered { note } => Sent::Delivered { note: hide(note) },
        Sent::Partly { note, .. } => Sent::Again { why: hide(note), after: None },
        Sent::Again { why, after } => Sent::Again { why: hide(why), after },
        Sent::Denied { why } => Sent::Denied { why: hide(why) },
        Sent::Refused { why } => Sent::Refused { why: hide(why) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_told_without_the_address() {
        let said = Sent::Again {
            why: "451 <Ana.Martin@Example.org> (ANA.MARTIN) later; \u{e9} ana.martin".into(),
            after: None,
        };
        let told = Sent::Again { why: "451 <\u{2026}> (\u{2026}) later; \u{e9} \u{2026}".into(), after: None };
        assert_eq!(hidden(said, "ana.martin@example.org"), told);
        // Too short to be looked for: the whole address is.
        let said = Sent::Refused { why: "no al@example.org, all is full".into() };
        assert_eq!(hidden(said, "al@example.org"), Sent::Refused { why: "no \u{2026}, all is full".into() });
    }
}
