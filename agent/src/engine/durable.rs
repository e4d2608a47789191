//! What must be durable before it counts: orders, assignments, which spool it is, how far all is acknowledged.
//!
//! The state file's thread and the spool write; what they say comes back as [`Settled`]. What the disk refused is tried again.

use sitepulse_daemon::clock;
use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::{ControlEvent, EventId};
use sitepulse_model::id::Incarnation;
use sitepulse_model::time::UtcMicros;
use sitepulse_probe::Pool;
use tokio::sync::oneshot;

use super::{ACKED_EVERY_US, Engine, EngineError, Entry, REFUSED_MAX, RETRY_US, SLOT_LAG_US_MAX, recovery};
use crate::control::Answer;
use crate::spool::writer::Submission;
use crate::state::Assignment;
use crate::summary::Summary;

/// An assignment that is not taken yet.
pub(super) struct Wanted {
    pub(super) revision: u64,
    pub(super) checks: Vec<AssignedCheck>,
    pub(super) due: clock::Monotonic,
    /// People know that the disk refused it.
    pub(super) told: bool,
}

/// Whether the state file names the spool's incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    Saving,
    No { again: clock::Monotonic },
}

/// What became of something that had to be durable.
pub(super) enum Settled {
    Assigned { assignment: Assignment, refusal: Option<(String, bool)> },
    Events { events: Vec<ControlEvent>, refusal: Option<String>, reply: Option<oneshot::Sender<Vec<EventId>>> },
    Answered { answer: Box<Answer>, event: Option<ControlEvent>, reply: oneshot::Sender<Answer> },
    Noted { incarnation: Incarnation, durable: bool },
    Acked(Option<UtcMicros>),
}

impl Engine {
    /// What the state file's thread and the spool have to say.
    pub(super) fn settle(&mut self, settled: Settled) {
        match settled {
            Settled::Assigned { assignment, refusal: None } => self.take_assignment(assignment),
            Settled::Assigned { assignment, refusal: Some((reason, told)) } => {
                self.storing = None;
                if !told {
                    tracing::warn!(
                        "{reason}; the new assignment is not taken yet, it is tried again every few seconds"
                    );
                }
                let due = clock::monotonic().plus_us(RETRY_US);
                let Assignment { revision, checks, .. } = assignment;
                // A newer one goes before.
                self.wanted.get_or_insert(Wanted { revision, checks, due, told: true });
            }
            Settled::Events { events, refusal: None, reply } => {
                let ids = events.iter().map(|event| event.id.clone()).collect();
                for event in events {
                    self.log.insert(event);
                }
                if let Some(reply) = reply {
                    drop(reply.send(ids));
                }
            }
            Settled::Events { events, refusal: Some(reason), reply } => {
                if let Some(reply) = reply {
                    tracing::warn!(
                        "{reason}; the collector's orders are not taken yet, it is tried again every few seconds"
                    );
                    // Unacknowledged, they come again with the next connection; they need not wait for it.
                    drop(reply.send(Vec::new()));
                }
                for event in events {
                    if self.refused.len() < REFUSED_MAX {
                        self.refused.insert(event.id.clone(), event);
                    }
                }
                self.refused_again = clock::monotonic().plus_us(RETRY_US);
            }
            Settled::Answered { answer, event, reply } => {
                if let Some(event) = event {
                    self.log.insert(event.clone());
                    self.unacked.insert(event.id.clone(), event.clone());
                    // Without a connection it waits in the state file.
                    drop(self.local_events.send(event));
                }
                drop(reply.send(*answer));
            }
            Settled::Noted { incarnation, durable } => {
                self.noted = if durable && incarnation == self.incarnation {
                    Noted::Yes
                } else {
                    Noted::No { again: clock::monotonic().plus_us(RETRY_US) }
                };
            }
            Settled::Acked(until) => {
                self.acked_saving = false;
                self.acked_until = until.or(self.acked_until);
            }
        }
    }

    pub(super) fn store_events(&self, events: Vec<ControlEvent>, reply: Option<oneshot::Sender<Vec<EventId>>>) {
        let settle = self.settle.clone();
        self.keeper.run(move |state| {
            let refusal = state.save_events(&events, true).err().map(|error| error.to_string());
            drop(settle.send(Settled::Events { events, refusal, reply }));
        });
    }

    /// Tries the orders again that the disk did not take.
    pub(super) fn store_refused(&mut self, now: clock::Monotonic) {
        if !self.refused.is_empty() && now >= self.refused_again {
            let events = std::mem::take(&mut self.refused);
            self.store_events(events.into_values().collect(), None);
        }
    }

    /// Stores the newest assignment that is not taken yet, from this instant on. What was due before belongs to the old one, durably.
    ///
    /// The old one goes on meanwhile, but the spool hears nothing of it until the new one is stored or refused: a kill in between then finds
    /// each slot either before the frontier, or missed once under whichever of the two is in the file.
    pub(super) fn store_assignment(&mut self, monotonic: clock::Monotonic) -> Result<(), EngineError> {
        if self.storing.is_some() {
            return Ok(());
        }
        let Some(Wanted { revision, checks, told, .. }) = self.wanted.take_if(|wanted| wanted.due <= monotonic) else {
            return Ok(());
        };
        let now = clock::now();
        let actions = self.scheduler.handle_now(now, clock::monotonic().0);
        self.carry_out(actions);
        self.send_all(now)?;
        self.storing = Some(now);
        let since = checks.iter().map(|check| {
            // The schedule keeps the place of a check that keeps its slots.
            let same = self.checks.get(&check.number).is_some_and(|entry| {
                entry.held.summary.id == check.definition.id
                    && entry.held.summary.plan.lattice.interval_us == check.definition.interval_us
            });
            let known = self.since.get(&check.number).filter(|_| same);
            (check.number, known.copied().unwrap_or(now.plus_us(1)))
        });
        let since = since.collect();
        let assignment = Assignment { revision, checks, since };
        let (spool, keeper, settle) = (self.spool.clone(), self.keeper.clone(), self.settle.clone());
        self.tasks.spawn("assignment", async move {
            if !matches!(spool.flush().await, Ok(true)) {
                let refusal = Some(("the disk takes nothing".to_owned(), told));
                drop(settle.send(Settled::Assigned { assignment, refusal }));
                return;
            }
            keeper.run(move |state| {
                let refusal = state.save_assignment(&assignment).err().map(|error| (error.to_string(), told));
                drop(settle.send(Settled::Assigned { assignment, refusal }));
            });
        });
        Ok(())
    }

    /// Runs an assignment that is stored, from the instant it was stored for.
    pub(super) fn take_assignment(&mut self, assignment: Assignment) {
        let from = self.storing.take().unwrap_or_else(clock::now);
        let mut pool = Pool::default();
        let mut known = std::mem::take(&mut self.checks);
        let entry = |check: AssignedCheck| {
            let number = check.number;
            let summary = Summary::of(&check, &self.identity.name);
            let kept = known.remove(&number).filter(|entry| entry.held.summary == summary);
            (number, kept.unwrap_or_else(|| Entry::new(&check, summary, &mut pool)))
        };
        // At once: a map that takes its entries one by one in order keeps half of its room empty.
        self.checks = assignment.checks.into_iter().map(entry).collect();
        self.retired.extend(known.into_iter().map(|(number, entry)| (number, entry.bucket)));
        self.since = assignment.since;
        self.revision = assignment.revision;
        let checks = &self.checks;
        self.transitions.retain(|check| checks.contains_key(check));
        let actions = self.scheduler.assign(&self.plans(), from);
        self.carry_out(actions);
        tracing::info!("{} checks are assigned (revision {})", self.checks.len(), self.revision);
    }

    /// When the spool's file was damaged while running, tells what may be lost; remembers the new one once that is durable.
    pub(super) fn note_spool(&mut self, now: clock::Monotonic) -> Result<(), EngineError> {
        let incarnation = self.figures.borrow().stats.incarnation;
        if incarnation != self.incarnation {
            self.incarnation = incarnation;
            let checks = self.checks.values().map(|entry| (entry.held.summary.plan, entry.bucket));
            let records = recovery::lost(checks, &self.since, self.acked_until, clock::now());
            self.spool.submit(Submission { records, ..Submission::default() })?;
            if self.noted != Noted::Saving {
                self.noted = Noted::No { again: now };
            }
        }
        if !matches!(self.noted, Noted::No { again } if again <= now) {
            return Ok(());
        }
        self.noted = Noted::Saving;
        let (spool, keeper, settle) = (self.spool.clone(), self.keeper.clone(), self.settle.clone());
        self.tasks.spawn("spool note", async move {
            if !matches!(spool.flush().await, Ok(true)) {
                drop(settle.send(Settled::Noted { incarnation, durable: false }));
                return;
            }
            keeper.run(move |state| {
                let durable = state.save_spool_incarnation(incarnation).is_ok();
                drop(settle.send(Settled::Noted { incarnation, durable }));
            });
        });
        Ok(())
    }

    /// Keeps a lower bound of what is acknowledged, in case the spool is damaged.
    pub(super) fn remember_acked(&mut self, now: clock::Monotonic) {
        if self.acked_saving || now.us_since(self.acked_saved) < ACKED_EVERY_US {
            return;
        }
        self.acked_saved = now;
        self.acked_saving = true;
        let oldest = self.figures.borrow().stats.oldest;
        let until = oldest.unwrap_or(UtcMicros::MAX).min(clock::now()).plus_us(-SLOT_LAG_US_MAX);
        let settle = self.settle.clone();
        self.keeper.run(move |state| {
            let saved = state.save_acked_until(until);
            if let Err(error) = &saved {
                tracing::warn!("{error}");
            }
            drop(settle.send(Settled::Acked(saved.ok().map(|()| until))));
        });
    }
}
