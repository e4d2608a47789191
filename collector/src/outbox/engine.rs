//! The outbox's part of the engine: a turn of the dispatcher, and what people and changes do to messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sitepulse_model::delivery::{self, Answer, Decision, PATIENCE_US};
use sitepulse_model::incident::IncidentId;
use sitepulse_model::time::UtcMicros;

use super::{Attempt, DeliveryKey, DeliveryState, Message, Outcome, TURNED_AWAY, memory};
use crate::app::AppError;
use crate::book::{Book, Object, Revised};
use crate::engine::Engine;
use crate::failpoint;
use crate::jobs::Kind;
use crate::store::outbox::{self as stored, Room};
use crate::store::{StoreError, Tables};

/// Most messages that are out at a time.
pub const OUT_MAX: usize = 32;
/// Most messages of one channel that are out at a time. One: a crash adds at most one duplicate to a channel, and a channel's messages keep their order.
pub const OUT_OF_CHANNEL_MAX: usize = 1;

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Which message, as it was handed out.
    pub message: Message,
    /// When the attempt began.
    pub began: UtcMicros,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What the provider made of it.
    pub answer: Answer,
    /// What it said, in one line without secrets.
    pub note: String,
    /// Of a mail that some have: who does not have it yet. The next attempt is for them alone.
    pub left: Vec<String>,
}

/// What a turn came to.
#[derive(Debug, Default)]
pub struct Turn {
    /// Messages that are to be sent now.
    pub handed: Vec<Message>,
    /// Attempts that could not be written down: they are to be handed in again, and not repeated.
    pub unwritten: Vec<Done>,
    /// When a message is due that there is room for.
    pub next: Option<UtcMicros>,
}

impl Engine {
    /// A turn of the dispatcher, in one transaction: what became of the attempts that are `done` is written down, leases that nobody holds end, and what is due
    /// is handed out and leased: at most [`OUT_MAX`] at a time, of each channel [`OUT_OF_CHANNEL_MAX`]. `out` are the messages handed out before that are not done.
    ///
    /// While the disk is full nothing can be leased or written down. What is due goes out all the same, and `unwritten` comes back: a page is worth more than a
    /// lease, and what was committed before the disk was full must not wait for somebody who hears of it by page. What did not get through is tried again as ever
    /// ([`memory::again`]). After a crash then, each of them is sent once more.
    ///
    /// # Errors
    /// When the store fails otherwise: nothing is handed out, nothing is written down, and `done` comes back.
    pub fn take_turn(
        &mut self,
        done: Vec<Done>,
        out: &BTreeSet<DeliveryKey>,
        now: UtcMicros,
    ) -> Result<Turn, (StoreError, Vec<Done>)> {
        self.sending.note(&done, now);
        match self.try_turn(&done, out, now) {
            Ok((handed, decided)) => {
                self.sending.looked = Some(now);
                self.note(&done, &decided);
                for message in &handed {
                    self.shared.jobs.started(Kind::Notification, message.due, now);
                }
                let next = self.next_for(out, &handed).unwrap_or_default();
                Ok(Turn { handed, unwritten: Vec::new(), next })
            }
            Err(error) if error.is_full() => {
                let unmarked: BTreeSet<DeliveryKey> = done.iter().map(|done| done.message.key.clone()).collect();
                let resting = self.sending.resting();
                let mut handed = memory::again(&done, out, resting, now);
                let out = out.iter().cloned().chain(handed.iter().map(|message| message.key.clone())).collect();
                match stored::due(self.store.read(), now, room(&out, &unmarked, resting)) {
                    Ok(due) => {
                        handed.extend(due);
                        Ok(Turn { handed, unwritten: done, next: None })
                    }
                    Err(error) => Err((error, done)),
                }
            }
            Err(error) => Err((error, done)),
        }
    }

    /// Proves that messages can be written, found and taken away again, in the table and by the queries that pages go by.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn prove_outbox(&mut self, now: UtcMicros) -> Result<(), String> {
        let found = self.store.write(|tables| stored::prove(tables, now)).map_err(|error| error.to_string())?;
        if found { Ok(()) } else { Err("a message that was written to the outbox is not found in it".into()) }
    }

    /// The end of the last turn: what became of the attempts that are `done` is written down, and nothing is handed out.
    ///
    /// # Errors
    /// When that cannot be written: `done` comes back.
    pub fn mark_all(&mut self, done: Vec<Done>, now: UtcMicros) -> Result<(), (StoreError, Vec<Done>)> {
        if done.is_empty() {
            return Ok(());
        }
        match self.store.write(|tables| decide_all(tables, &done, now)) {
            Ok(decided) => {
                self.note(&done, &decided);
                Ok(())
            }
            Err(error) => Err((error, done)),
        }
    }

    fn try_turn(
        &mut self,
        done: &[Done],
        out: &BTreeSet<DeliveryKey>,
        now: UtcMicros,
    ) -> Result<(Vec<Message>, Vec<Attempt>), StoreError> {
        let nobodys = BTreeSet::new();
        let room = room(out, &nobodys, self.sending.resting());
        let turned_back = self.sending.turned_back(now);
        let ahead_us = self.sending.ahead_us(now);
        let looked = self.sending.looked;
        if done.is_empty() && !turned_back && ahead_us == 0 && stored::due(self.store.read(), now, room)?.is_empty() {
            // What is done is leased still, but nothing is done.
            if stored::lost(self.store.read(), room)?.is_empty() {
                return Ok((Vec::new(), Vec::new()));
            }
        }
        let turn = self.store.write(|tables| {
            if turned_back {
                stored::measure_anew(tables, looked, now)?;
            }
            if ahead_us > 0 {
                stored::forgive(tables, ahead_us)?;
            }
            let decided = decide_all(tables, done, now)?;
            for key in stored::lost(tables, room)? {
                tracing::error!(message = %key, "a lease was lost: the message is sent again");
                stored::release(tables, &key, now)?;
            }
            let mut handed = stored::due(tables, now, room)?;
            stored::lease(tables, &mut handed)?;
            failpoint::pass("outbox.turn");
            Ok((handed, decided))
        })?;
        failpoint::pass("outbox.turned");
        Ok(turn)
    }

    /// Tells of attempts that are written down.
    fn note(&self, done: &[Done], decided: &[Attempt]) {
        for (done, Attempt { outcome, note, .. }) in done.iter().zip(decided) {
            let key = &done.message.key;
            let decision = match outcome {
                Outcome::Delivered => {
                    tracing::info!(message = %key, "delivered: {note}");
                    Decision::Delivered
                }
                Outcome::Again { at } => {
                    let at = *at;
                    let text = sitepulse_daemon::instant::format(at);
                    if done.answer == Answer::Denied {
                        tracing::warn!(
                            message = %key,
                            "TURNED AWAY by channel {}: {}; tried again at {text}, for a day at most: look whether its address and its secrets are right",
                            key.channel,
                            note.trim_start_matches(TURNED_AWAY)
                        );
                    } else if done.message.attempts == 0 {
                        tracing::warn!(message = %key, "not delivered, tried again at {text}: {note}");
                    } else {
                        tracing::info!(message = %key, "not delivered, tried again at {text}: {note}");
                    }
                    Decision::Again { at }
                }
                Outcome::GivenUp => {
                    tracing::error!(
                        message = %key,
                        "NOT DELIVERED and not tried again by itself: {note}; it is tried again when the channel or its secrets change, or by hand"
                    );
                    Decision::GivenUp
                }
            };
            self.shared.deliveries.note(&key.channel, decision, done.answer == Answer::Denied);
            self.shared.jobs.changed();
            self.shared.jobs.note(Kind::Notification, |fared| {
                fared.runs += 1;
                fared.run_us += done.took_us;
                fared.attempts_failed += u64::from(decision != Decision::Delivered);
                fared.done += u64::from(decision == Decision::Delivered);
                fared.failed += u64::from(decision == Decision::GivenUp);
            });
        }
    }

    fn next_for(&self, out: &BTreeSet<DeliveryKey>, handed: &[Message]) -> Result<Option<UtcMicros>, StoreError> {
        let mut of_channel: BTreeMap<&str, usize> = BTreeMap::new();
        for key in out.iter().chain(handed.iter().map(|message| &message.key)) {
            *of_channel.entry(key.channel.as_str()).or_default() += 1;
        }
        if out.len() + handed.len() >= OUT_MAX {
            return Ok(None);
        }
        let busy: BTreeSet<&str> =
            of_channel.into_iter().filter(|(_, out)| *out >= OUT_OF_CHANNEL_MAX).map(|(channel, _)| channel).collect();
        stored::next_due(self.store.read(), &busy, self.sending.resting())
    }

    /// Hands out messages that are due, at most `limit`, in the caller's thread: for tests and the simulator. What was handed out before is not looked at.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn lease(&mut self, now: UtcMicros, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.store.write(|tables| {
            let (out, unmarked, resting) = (&BTreeSet::new(), &BTreeSet::new(), &BTreeMap::new());
            let room = Room { total: limit, per_channel: usize::MAX, out, unmarked, resting };
            let mut handed = stored::due(tables, now, room)?;
            stored::lease(tables, &mut handed)?;
            Ok(handed)
        })
    }

    /// Notes what became of a message that [`Self::lease`] handed out.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn mark(&mut self, message: Message, attempt: &Attempt) -> Result<(), StoreError> {
        self.store.write(|tables| mark(tables, message, attempt, attempt.at))
    }

    /// When the next message is due; `None` when none waits.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn next_delivery(&self) -> Result<Option<UtcMicros>, StoreError> {
        stored::next_due(self.store.read(), &BTreeSet::new(), &BTreeMap::new())
    }

    /// The message with this key: `INCIDENT/STEP/CHANNEL`.
    fn delivery_key(&self, key: &str) -> Result<DeliveryKey, AppError> {
        let unknown = || AppError::NotFound(format!("there is no message {key:?} (INCIDENT/STEP/CHANNEL)"));
        // As a webhook's receiver has it: no id holds a `%` itself.
        let key = key.replace("%2E", ".");
        let mut parts = key.splitn(3, '/');
        let (Some(incident), Some(step), Some(channel)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(unknown());
        };
        let incident = IncidentId(incident.to_owned());
        let step = step.parse().map_err(|_| unknown())?;
        let found = crate::store::incidents::one(self.store.read(), &incident)?.ok_or_else(unknown)?;
        Ok(DeliveryKey { bucket: found.bucket, incident, channel: channel.to_owned(), step })
    }

    /// [`Self::retry_delivery`] of the message with this key: `INCIDENT/STEP/CHANNEL`.
    ///
    /// # Errors
    /// As there, and when the text is no key.
    pub fn retry_delivery_of(&mut self, key: &str, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let key = self.delivery_key(key)?;
        self.retry_delivery(&key, author, now)
    }

    /// Takes a message with this key (`INCIDENT/STEP/CHANNEL`) back that waits: it is not sent, and what waited behind it is due. It can be taken up again. Both
    /// stand in the incident's history.
    ///
    /// # Errors
    /// When there is no such message, it is being sent, or it is over.
    pub fn withdraw_delivery_of(&mut self, key: &str, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let key = self.delivery_key(key)?;
        let found = stored::standing(self.store.read(), &key)?;
        let (state, _) =
            found.ok_or_else(|| AppError::NotFound(format!("there is no message {key} (INCIDENT/STEP/CHANNEL)")))?;
        match state {
            DeliveryState::Due => self.cancel_message(&key, author, now)?,
            DeliveryState::Leased => {
                return Err(AppError::Conflict(format!("message {key} is being sent right now")));
            }
            DeliveryState::Delivered => return Err(AppError::Conflict(format!("message {key} was delivered"))),
            DeliveryState::GivenUp => {
                return Err(AppError::Conflict(format!("message {key} was given up: nobody sends it any more")));
            }
            DeliveryState::Withdrawn => {
                return Err(AppError::Conflict(format!("message {key} was taken back already")));
            }
        }
        tracing::warn!(message = %key, "taken back by hand: it is not sent");
        self.shared.jobs.changed();
        self.shared.outbox.wake();
        Ok(())
    }

    /// Tries a message again on somebody's behalf, now: a dead letter, or one that waits to be tried again.
    ///
    /// # Errors
    /// When there is no such message, it was delivered, it is being sent, or a later one about the incident reached the channel: it must not come after that.
    pub fn retry_delivery(&mut self, key: &DeliveryKey, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let found = stored::standing(self.store.read(), key)?;
        let (state, overtaken) =
            found.ok_or_else(|| AppError::NotFound(format!("there is no message {key} (INCIDENT/STEP/CHANNEL)")))?;
        if state == DeliveryState::Due && stored::tries(self.store.read(), key)?.count == 0 {
            return Err(AppError::Conflict(format!(
                "message {key} waits to be sent for the first time: there is nothing to try again"
            )));
        }
        match state {
            DeliveryState::Delivered => return Err(AppError::Conflict(format!("message {key} was delivered"))),
            DeliveryState::Leased => return Err(AppError::Conflict(format!("message {key} is being sent right now"))),
            DeliveryState::GivenUp | DeliveryState::Withdrawn if overtaken => {
                return Err(AppError::Conflict(format!(
                    "a later message about the incident reached channel {}: {key} must not come after it",
                    key.channel
                )));
            }
            DeliveryState::GivenUp => self.store.write(|tables| stored::revive(tables, key, now))?,
            DeliveryState::Withdrawn => self.take_message_up(key, author, now)?,
            DeliveryState::Due => self.store.write(|tables| stored::hurry(tables, key, now))?,
        }
        self.shared.jobs.changed();
        self.sending.wake(&key.channel);
        tracing::info!(message = %key, "taken up again by hand");
        self.shared.outbox.wake();
        Ok(())
    }

    /// Wakes the dispatcher after [`mend`].
    pub(crate) fn mended(&mut self, channels: &[String]) {
        channels.iter().for_each(|channel| self.sending.wake(channel));
        if !channels.is_empty() {
            Arc::clone(&self.shared).outbox.wake();
        }
    }
}

/// What a turn has room for.
fn room<'a>(
    out: &'a BTreeSet<DeliveryKey>,
    unmarked: &'a BTreeSet<DeliveryKey>,
    resting: &'a BTreeMap<String, UtcMicros>,
) -> Room<'a> {
    Room { total: OUT_MAX.saturating_sub(out.len()), per_channel: OUT_OF_CHANNEL_MAX, out, unmarked, resting }
}

/// Decides what becomes of messages, and writes it down.
fn decide_all(tables: Tables<'_>, done: &[Done], now: UtcMicros) -> Result<Vec<Attempt>, StoreError> {
    let mut decided = Vec::new();
    for one in done {
        let key = &one.message.key;
        let tries = stored::tries(tables, key)?;
        let outcome = match delivery::decide(&key.to_string(), tries, one.answer, now) {
            Decision::Delivered => Outcome::Delivered,
            Decision::Again { at } => Outcome::Again { at },
            Decision::GivenUp => Outcome::GivenUp,
        };
        let note = if one.answer == Answer::Denied { format!("{TURNED_AWAY}{}", one.note) } else { one.note.clone() };
        let attempt = Attempt { at: one.began, took_us: one.took_us, outcome, note };
        mark(tables, one.message.clone(), &attempt, now)?;
        if !one.left.is_empty() {
            let mut message = one.message.clone();
            message.notice.context.only.clone_from(&one.left);
            stored::set_notice(tables, &message)?;
        }
        decided.push(attempt);
    }
    Ok(decided)
}

fn mark(tables: Tables<'_>, mut message: Message, attempt: &Attempt, noted: UtcMicros) -> Result<(), StoreError> {
    message.attempts += 1;
    match attempt.outcome {
        Outcome::Delivered => message.state = DeliveryState::Delivered,
        Outcome::GivenUp => message.state = DeliveryState::GivenUp,
        Outcome::Again { at } => (message.state, message.due) = (DeliveryState::Due, at),
    }
    stored::mark(tables, &message, attempt, noted)
}

/// These channels were mended: their definition or a secret of theirs changed. What waits to be tried again is tried now, and so are dead letters of the last
/// 24 h, but for those that a later message of their incident has overtaken.
pub(crate) fn mend(tables: Tables<'_>, channels: &[String], now: UtcMicros) -> Result<(), StoreError> {
    for channel in channels {
        for (key, state) in stored::mendable(tables, channel, now.plus_us(-PATIENCE_US.cast_signed()))? {
            match state {
                DeliveryState::GivenUp => stored::revive(tables, &key, now)?,
                DeliveryState::Due => stored::hurry(tables, &key, now)?,
                DeliveryState::Leased | DeliveryState::Delivered | DeliveryState::Withdrawn => {}
            }
        }
    }
    Ok(())
}

/// The living channels among what was applied.
pub(crate) fn changed(revised: &[Revised<Object>]) -> Vec<String> {
    let living = revised.iter().filter(|revised| !revised.retired);
    living
        .filter_map(
            |revised| if let Object::Channel(channel) = &revised.body { Some(channel.id.clone()) } else { None },
        )
        .collect()
}

/// The living channels that refer to a secret.
pub(crate) fn users_of_secret(book: &Book, secret: &str) -> Vec<String> {
    let channels = book.objects().channels.living();
    channels.filter(|(_, channel)| channel.body.secrets().contains(secret)).map(|(id, _)| id.to_owned()).collect()
}
