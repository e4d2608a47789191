//! What a look came to, and writing it: incidents, their histories, timers and messages in one transaction, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::id::Bucket;
use sitepulse_model::incident::IncidentId;
use sitepulse_model::incident::indicators::Spared;
use sitepulse_model::time::UtcMicros;

use super::desk::Desk;
use super::{Record, Standing, recipients, rules, timer};
use crate::engine::Engine;
use crate::outbox::{DeliveryKey, Message};
use crate::store::{self, StoreError, Tables};

/// What somebody did to a message.
#[derive(Debug)]
pub(super) enum ToMessage {
    /// Took it back.
    Cancel(DeliveryKey),
    /// Took it up again.
    TakeUp(DeliveryKey),
}

/// What a look came to: nothing of it counts before it is written.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Incidents as they become.
    pub(super) set: BTreeMap<IncidentId, Standing>,
    /// Suspicions that came to nothing.
    pub(super) gone: Vec<IncidentId>,
    pub(super) entries: Vec<(IncidentId, u64, String, Record)>,
    pub(super) messages: Vec<Message>,
    /// Held messages that go out no more.
    pub(super) withdrawn: Vec<DeliveryKey>,
    /// Held messages that go out now.
    pub(super) let_through: Vec<Message>,
    /// What somebody did to a message.
    pub(super) by_hand: Option<ToMessage>,
    /// Pages that nobody gets.
    pub(super) spared: Vec<(Bucket, Spared)>,
    /// Those of `set` that were past, so read from the store: they come to the desk again only where they are open again.
    pub(super) filed: BTreeSet<IncidentId>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.gone.is_empty() && self.spared.is_empty()
    }

    /// Takes held messages back: those of this look are not even written.
    pub(super) fn withdraw(&mut self, keys: impl Iterator<Item = DeliveryKey>) {
        for key in keys {
            let before = self.messages.len();
            self.messages.retain(|message| message.key != key);
            if self.messages.len() == before {
                self.withdrawn.push(key);
            }
        }
    }
}

impl Engine {
    /// Writes changes, then takes them over.
    pub(super) fn commit(&mut self, changes: Changes, now: UtcMicros) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let known = |id: &IncidentId| self.alert.standing.contains_key(id) || changes.filed.contains(id);
        for id in changes.set.keys().filter(|id| !known(id)) {
            // The next try finds another id: the instant is part of it.
            if store::incidents::is_taken(self.store.read(), id)? {
                return Err(StoreError::BadRow { table: "incident", what: format!("id {id} is taken: tried again") });
            }
        }
        let shared = std::sync::Arc::clone(&self.shared);
        let timers: Vec<(IncidentId, Option<UtcMicros>)> = {
            let book = shared.book();
            changes.set.iter().map(|(id, standing)| (id.clone(), timer(&book, standing))).collect()
        };
        let due: BTreeMap<&IncidentId, Option<UtcMicros>> = {
            let book = shared.book();
            let due = |(id, standing): (_, &Standing)| (id, standing.incident.poll_timeout(&rules(&book, standing)));
            changes.set.iter().map(due).collect()
        };
        let desk = &self.alert;
        self.store.write(|tables| write(tables, desk, &changes, &due, now))?;
        let told = !changes.messages.is_empty() || !changes.let_through.is_empty();
        recipients::complain(changes.entries.iter().map(|(id, _, _, record)| (id, record)));
        for id in &changes.gone {
            self.alert.take_out(id);
        }
        for (id, standing) in changes.set {
            if !changes.filed.contains(&id) || standing.incident.life.state.is_open() {
                self.alert.put(standing);
            }
        }
        for (id, timer) in timers.into_iter().filter(|(id, _)| self.alert.standing.contains_key(id)) {
            self.alert.timers.set(&id, timer);
        }
        if told {
            shared.outbox.wake();
        }
        shared.pulses.incident_changed();
        shared.tick();
        Ok(())
    }
}

fn write(
    tables: Tables<'_>,
    desk: &Desk,
    changes: &Changes,
    due: &BTreeMap<&IncidentId, Option<UtcMicros>>,
    now: UtcMicros,
) -> Result<(), StoreError> {
    for standing in changes.gone.iter().filter_map(|id| desk.standing.get(id)) {
        store::incidents::remove(tables, standing)?;
    }
    for (bucket, spared) in &changes.spared {
        store::indicators::spare(tables, *bucket, spared)?;
    }
    for (id, standing) in &changes.set {
        store::incidents::set(tables, standing, due.get(id).copied().flatten())?;
    }
    for (id, number, author, record) in &changes.entries {
        let Some(standing) = changes.set.get(id) else { continue };
        store::incidents::append_entry(tables, (standing.bucket, id), *number, now, author, record)?;
    }
    match &changes.by_hand {
        Some(ToMessage::Cancel(key)) => store::outbox::withdraw(tables, key)?,
        Some(ToMessage::TakeUp(key)) => store::outbox::revive(tables, key, now)?,
        None => {}
    }
    // First what goes out no more: what takes its place must not wait for it.
    changes.withdrawn.iter().try_for_each(|key| store::oncall::withdraw(tables, key))?;
    changes.let_through.iter().try_for_each(|message| store::oncall::let_through(tables, message))?;
    changes.messages.iter().try_for_each(|message| store::outbox::insert(tables, message))
}
