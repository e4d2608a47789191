//! The dispatcher: one task that has messages handed out, sends them side by side, and has written down what became of each.
//!
//! It turns when the bell rings, when a message is due, when an attempt ends, and now and then. Its sends run within it: one that panics is an attempt that
//! failed, and there is no way to lose one. At most [`OUT_OF_CHANNEL_MAX`] message of a channel is out, so a slow provider holds nobody else up.
//!
//! Shutdown: nothing new goes out; what is out has [`DRAIN`] to end. What does not stays leased, and is sent once more after the next start.
//!
//! [`OUT_OF_CHANNEL_MAX`]: super::engine::OUT_OF_CHANNEL_MAX

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use sitepulse_daemon::clock;
use sitepulse_model::channel::Channel;
use sitepulse_model::delivery::Answer;
use sitepulse_model::time::UtcMicros;
use sitepulse_notify::{Sender, Sent};
use tokio::sync::watch;

use super::engine::{Done, Turn};
use super::{DeliveryKey, Message};
use crate::app::App;
use crate::book::Book;
use crate::failpoint;

/// How long an attempt may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long a transport may overrun its deadline before it is cut off.
const OVERRUN: Duration = Duration::from_secs(5);
/// How often it turns where nothing happens: it is seen to be alive, and a clock that was set is noticed.
pub(crate) const TURN_EVERY: Duration = Duration::from_secs(5);
/// How long a store that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// How long what is out may take to end at shutdown; open connections have a little longer.
const DRAIN: Duration = Duration::from_secs(3);

/// Sends until `stopping` turns true or the writer is gone.
pub async fn run(app: App, sender: Sender, mut stopping: watch::Receiver<bool>) {
    let mut bell = app.shared().outbox.subscribe();
    let mut sending = FuturesUnordered::new();
    let mut out: BTreeSet<DeliveryKey> = BTreeSet::new();
    let mut done: Vec<Done> = Vec::new();
    loop {
        bell.mark_unchanged();
        let (finished, held) = (std::mem::take(&mut done), out.clone());
        let asked = app.shared().outbox.asked();
        let turned = app.writer().run(move |engine| {
            let proof = asked.map(|upto| (upto, engine.prove_outbox(clock::now())));
            let turned = engine.take_turn(finished, &held, clock::now());
            // A turn that fails proves nothing, whatever the probe came to.
            if let Some((upto, proof)) = proof {
                let proof = proof.and_then(|()| turned.as_ref().map(|_| ()).map_err(|(error, _)| error.to_string()));
                engine.shared.outbox.proved(upto, proof);
            }
            turned
        });
        let turned = turned.await;
        // The writer is gone: what is out stays leased.
        let Ok(turned) = turned else { return };
        let wait = match turned {
            Ok(Turn { handed, unwritten, next }) => {
                for message in handed {
                    out.insert(message.key.clone());
                    let (sender, prepared) = (sender.clone(), prepare(&app.book(), &message));
                    sending.push(attempt(sender, message, prepared));
                }
                app.shared().pulses.dispatched.beat();
                if unwritten.is_empty() {
                    next.map_or(TURN_EVERY, |next| until(next).min(TURN_EVERY))
                } else {
                    done = unwritten;
                    RETRY
                }
            }
            Err((_, unwritten)) => {
                // The store's health told of it.
                done = unwritten;
                RETRY
            }
        };
        let ended = tokio::select! {
            Some(ended) = sending.next(), if !sending.is_empty() => Some(ended),
            Ok(()) = bell.changed() => None,
            () = tokio::time::sleep(wait) => None,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let mut ended = ended;
        while let Some(one) = ended {
            out.remove(&one.message.key);
            done.push(one);
            ended = sending.next().now_or_never().flatten();
        }
    }
    let rest = async {
        while let Some(one) = sending.next().await {
            done.push(one);
        }
    };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        let left = sending.len();
        tracing::info!("{left} messages did not go out in time: they are sent again after the next start");
    }
    if let Ok(Err((error, left))) = app.writer().run(move |engine| engine.mark_all(done, clock::now())).await {
        let left = left.len();
        tracing::warn!(
            "{left} messages went out and cannot be noted: {error}; they are sent once more after the next start"
        );
    }
}

/// How long until an instant: a little at least, so that a clock that stands does not spin.
fn until(due: UtcMicros) -> Duration {
    Duration::from_micros(due.us_since(clock::now()).max(0).unsigned_abs()).max(Duration::from_millis(10))
}

/// What an attempt needs, or why there is none.
type Prepared = Result<(Channel, BTreeMap<String, String>), (Answer, String)>;

/// The message's channel as it is now, with its secrets.
fn prepare(book: &Book, message: &Message) -> Prepared {
    let id = &message.key.channel;
    let Some(channel) = book.objects().channels.current(id) else {
        let why = format!("there is no channel {id} any more: apply one, and this message is sent");
        return Err((Answer::Refused, why));
    };
    let channel = channel.body.clone();
    let mut secrets = BTreeMap::new();
    for name in channel.secrets() {
        let Some(value) = book.vault().value(&name) else {
            let why = if book.vault().contains(&name) {
                format!(
                    "secret {name} does not open with this machine's key: put the right key back or set the secret anew"
                )
            } else {
                format!("secret {name} is not set: `sitepulse-collector secret set {name}`")
            };
            return Err((Answer::Later { after_us: None }, why));
        };
        secrets.insert(name, value);
    }
    Ok((channel, secrets))
}

/// Makes one attempt.
async fn attempt(sender: Sender, message: Message, prepared: Prepared) -> Done {
    let (began, started) = (clock::now(), clock::monotonic());
    let (answer, note, left) = match prepared {
        Err((answer, why)) => (answer, why, Vec::new()),
        Ok((channel, secrets)) => {
            failpoint::pass("outbox.send");
            let secret = |name: &str| secrets.get(name).cloned();
            // A message that a transport cannot digest must not end the collector, and again after each start.
            let sent = AssertUnwindSafe(sender.send(&channel, &secret, &message.notice, DEADLINE)).catch_unwind();
            let sent = tokio::time::timeout(DEADLINE + OVERRUN, sent).await;
            failpoint::pass("outbox.sent");
            match sent {
                Ok(Ok(sent)) => answer(sent),
                Ok(Err(_)) => (
                    Answer::Later { after_us: None },
                    String::from("internal error: the transport panicked, see the log"),
                    Vec::new(),
                ),
                Err(_) => (
                    Answer::Later { after_us: None },
                    String::from("internal error: the transport did not keep its deadline"),
                    Vec::new(),
                ),
            }
        }
    };
    Done { message, began, took_us: clock::monotonic().us_since(started), answer, note, left }
}

/// What the provider made of it, what it said, and who does not have it yet where some do.
fn answer(sent: Sent) -> (Answer, String, Vec<String>) {
    match sent {
        Sent::Delivered { note } => (Answer::Taken, note, Vec::new()),
        Sent::Partly { note, left } => (Answer::Later { after_us: None }, note, left),
        Sent::Again { why, after } => {
            let after_us = after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
            (Answer::Later { after_us }, why, Vec::new())
        }
        Sent::Denied { why } => (Answer::Denied, why, Vec::new()),
        Sent::Refused { why } => (Answer::Refused, why, Vec::new()),
    }
}
