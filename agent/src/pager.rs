//! Pages about the collector itself: when it stays away, the agent tells somebody by the channel it was given beforehand. See [`sitepulse_model::pager`].
//!
//! What was paged, and since when the collector is away, is in `pager.json` in the data directory: a restart pages nobody twice, counts on, and tells of the return.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_daemon::files;
use sitepulse_model::pager::{Message, Order, Paged, Pager, notice};
use sitepulse_notify::{Sender, Sent};
use tokio::sync::watch;

use crate::secrets::SecretValues;
use crate::state::Identity;

/// The file's name in the data directory.
const FILE: &str = "pager.json";
/// One attempt may take this long.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the engine tells the pager.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct News {
    /// The order as it came, JSON; it holds secrets.
    pub order: Option<String>,
    /// Whether the collector is reached.
    pub connected: bool,
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("News").field("order", &self.order.is_some()).field("connected", &self.connected).finish()
    }
}

/// Takes the order out of the secrets that it came with.
pub fn split(mut secrets: SecretValues) -> (Option<String>, SecretValues) {
    let order = secrets.0.remove(sitepulse_model::pager::SECRET);
    (order, secrets)
}

/// Pages when that is due, until the agent stops.
pub async fn run(
    dir: PathBuf,
    identity: Identity,
    sender: Sender,
    mut news: watch::Receiver<News>,
    mut stopped: watch::Receiver<bool>,
) {
    let file = dir.join(FILE);
    let mut written = kept(&file);
    let mut pager = Pager::starting(written, clock::monotonic().0, clock::now());
    let mut order = None;
    let mut text = None;
    loop {
        let known = news.borrow_and_update().clone();
        if known.order != text {
            order = known.order.as_deref().and_then(read);
            text = known.order;
        }
        pager.link(known.connected, clock::monotonic().0, clock::now());
        if written != pager.paged() {
            written = pager.paged();
            keep(&file, written);
        }
        let due = order.as_ref().and_then(|order| Some((order, pager.due(order.after_us, clock::monotonic().0)?)));
        if let Some((order, message)) = due {
            let sent = tokio::select! {
                sent = send(&sender, order, message, &identity) => sent,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            match sent {
                Ok(()) => {
                    pager.sent(message);
                    written = pager.paged();
                    keep(&file, written);
                }
                Err(after) => pager.failed(clock::monotonic().0, after),
            }
            continue;
        }
        let timeout = order.as_ref().and_then(|order| pager.poll_timeout(order.after_us));
        let wait = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(clock::tokio_instant(Monotonic(at))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            changed = news.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// Makes one attempt; `Err` is how long the provider wants to be left alone, in microseconds.
async fn send(sender: &Sender, order: &Order, message: Message, identity: &Identity) -> Result<(), Option<u64>> {
    let notice = notice(order, message, identity.name.as_str(), identity.region.as_str(), clock::now());
    let secret = |name: &str| order.secrets.get(name).cloned();
    let channel = &order.channel;
    match sender.send(channel, &secret, &notice, DEADLINE).await {
        // Who does not have the mail yet does not wait for it alone: the page is told.
        Sent::Delivered { note } | Sent::Partly { note, .. } => {
            tracing::warn!("{}: told by channel {} ({note})", notice.context.title.unwrap_or_default(), channel.id);
            Ok(())
        }
        Sent::Again { why, after } => {
            tracing::warn!(
                "the collector is away, and channel {} does not take the page: {why}; it is tried again",
                channel.id
            );
            Err(after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX)))
        }
        Sent::Denied { why } | Sent::Refused { why } => {
            tracing::error!("the collector is away, and channel {} refuses the page: {why}", channel.id);
            Err(None)
        }
    }
}

fn read(text: &str) -> Option<Order> {
    match serde_json::from_str(text) {
        Ok(order) => Some(order),
        Err(error) => {
            // The position alone: the text holds secrets.
            tracing::error!(
                "the order to page when the collector stays away cannot be read (line {}, column {}): this agent pages nobody; install the collector's version",
                error.line(),
                error.column()
            );
            None
        }
    }
}

fn kept(file: &Path) -> Paged {
    match files::read(file, 4096) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Paged::default(),
    }
}

fn keep(file: &Path, paged: Paged) {
    let text = serde_json::to_vec(&paged).expect("numbers always serialize");
    if let Err(error) = files::write_atomic(file, &text, 0o600) {
        tracing::warn!("{error}; after a restart the same absence may be paged again");
    }
}
