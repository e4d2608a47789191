//! One file for each kind of channel: how its message looks and where it goes. A new kind is one file and one line in the table below.

use sitepulse_model::channel::Channel;
use sitepulse_model::channel::way::Way;
use sitepulse_model::notice::Notice;
use sitepulse_model::time::UtcMicros;
use tokio::time::Instant;

use crate::egress::Egress;
use crate::http::{self, Answer, Outgoing};
use crate::letter::Letter;
use crate::opened::Opened;
use crate::{Sent, Trouble};

/// One message on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) egress: &'a Egress,
    pub(crate) channel: &'a Channel,
    pub(crate) opened: &'a Opened,
    pub(crate) notice: &'a Notice,
    /// When the attempt is made.
    pub(crate) now: UtcMicros,
    pub(crate) until: Instant,
}

/// A kind of channel whose provider takes HTTP requests.
pub(crate) trait OverHttp {
    /// The request that delivers the message.
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble>;

    /// What the answer means, where its status does not tell.
    fn judge(&self, answer: &Answer) -> Sent {
        answer.judge()
    }
}

/// Declares the kinds' files, and leads each kind to its own. Mail is the one that is not HTTP.
macro_rules! over_http {
    ($($module:ident: $kind:ident;)+) => {
        pub(crate) mod email;
        $(mod $module;)+

        impl Task<'_> {
            /// The way over HTTP; `None` of mail.
            fn over_http(&self) -> Option<&(dyn OverHttp + Sync)> {
                match &self.channel.way {
                    Way::Email(_) => None,
                    $(Way::$kind(way) => Some(way),)+
                }
            }
        }
    };
}

over_http! {
    webhook: Webhook;
    slack: Slack;
    teams: Teams;
    discord: Discord;
    mattermost: Mattermost;
    google_chat: GoogleChat;
    telegram: Telegram;
    ntfy: Ntfy;
    gotify: Gotify;
    pushover: Pushover;
    pagerduty: PagerDuty;
    opsgenie: Opsgenie;
    twilio: Twilio;
}

impl Task<'_> {
    /// The notice in the words of whom it is for, else in the channel's.
    pub(crate) fn letter(&self) -> Letter {
        let theirs = self.notice.context.recipient.as_ref().and_then(|recipient| recipient.language.as_deref());
        Letter::of(self.notice, theirs.or(self.channel.language.as_deref()))
    }

    /// Sends it by its channel's kind.
    pub(crate) async fn send(&self) -> Sent {
        let sent = match (&self.channel.way, self.over_http()) {
            (Way::Email(way), _) => email::send(way, self).await,
            (_, Some(way)) => self.post(way).await,
            (_, None) => Err(Trouble::refused(format!("this build cannot send by {}", self.channel.kind()))),
        };
        sent.unwrap_or_else(Sent::from)
    }

    async fn post(&self, way: &(dyn OverHttp + Sync)) -> Result<Sent, Trouble> {
        let outgoing = way.request(self)?;
        let answer = http::post(self.egress, &outgoing, self.until).await?;
        Ok(way.judge(&answer))
    }
}
