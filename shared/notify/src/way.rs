//! One file for each kind of channel: how its message looks and where it goes. A new kind is one file and one line in the table below.

mod webhook;

use sitepulse_model::channel::Channel;
use sitepulse_model::channel::way::Way;
use sitepulse_model::notice::Notice;
use sitepulse_model::time::UtcMicros;
use tokio::time::Instant;

use crate::egress::Egress;
use crate::http::{self, Answer, Outgoing};
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

/// Sends over HTTP.
async fn over_http(way: &(dyn OverHttp + Sync), task: &Task<'_>) -> Result<Sent, Trouble> {
    let outgoing = way.request(task)?;
    let answer = http::post(task.egress, &outgoing, task.until).await?;
    Ok(way.judge(&answer))
}

impl Task<'_> {
    /// Sends it by its channel's kind.
    pub(crate) async fn send(&self) -> Sent {
        let way: &(dyn OverHttp + Sync) = match &self.channel.way {
            Way::Webhook(way) => way,
            _ => return Sent::Refused { why: "not yet".into() },
        };
        over_http(way, self).await.unwrap_or_else(Sent::from)
    }
}
