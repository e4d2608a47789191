//! A look: hands incidents' machines what the present says and what people do, and notes what comes of it.

use std::collections::BTreeMap;

use sitepulse_model::id::Bucket;
use sitepulse_model::incident::indicators::{Spared, Sparing};
use sitepulse_model::incident::machine::{Entry, Incident, Input, Output, REOPEN_WINDOW_US, Refusal, Rules};
use sitepulse_model::incident::{Condition, IncidentId, IncidentState, NoticeEvent, Subject};
use sitepulse_model::notice::Context;
use sitepulse_model::time::UtcMicros;

use super::changes::Changes;
use super::desk::Desk;
use super::signals::Signal;
use super::{About, EVIDENCE, Record, Standing, evidence, idle, policy_of, recipients, rules};
use crate::book::Book;
use crate::outbox::{DeliveryKey, DeliveryState, Message};

/// A look under way: reads the book, notes changes.
pub(super) struct Look<'a> {
    pub(super) book: &'a Book,
    pub(super) desk: &'a Desk,
    pub(super) now: UtcMicros,
    pub(super) changes: Changes,
}

impl Look<'_> {
    /// What the present says.
    pub(super) fn signal(&mut self, signal: Signal) {
        let Signal { subject, kind, condition, hold, behind } = signal;
        let key = (subject, kind);
        let known = self.desk.by_key.get(&key);
        let (subject, kind) = key;
        let known = known.and_then(|id| self.changes.set.get(id).or_else(|| self.desk.standing.get(id)));
        // Most of the time there is nothing wrong, and nothing new about what is.
        if known.is_none() && matches!(condition, Condition::Good | Condition::Unknown) {
            return;
        }
        let silenced = || self.desk.silences.hold(self.book, &subject, None, self.now);
        let hold = hold.or_else(silenced);
        let news = |standing: &Standing| behind && !standing.about.behind;
        if known.is_some_and(|standing| idle::is_idle(&standing.incident, condition, hold) && !news(standing)) {
            return;
        }
        let current =
            known.filter(|standing| standing.incident.concerns(&rules(self.book, standing), self.now)).cloned();
        let mut standing = match (current, condition) {
            (Some(standing), _) => standing,
            (None, Condition::Bad { since, severity } | Condition::Suspect { since, severity }) => {
                let edges = known.map(|before| before.incident.life.edges.clone()).unwrap_or_default();
                let id = self.desk.free_id(&self.changes, &subject, kind, self.now);
                let bucket = bucket_of(self.book, &subject);
                let incident = Incident::suspected(id, subject, kind, severity, since, edges, self.now);
                Standing { bucket, incident, about: About::default(), entries: 0 }
            }
            (None, Condition::Good | Condition::Unknown) => return,
        };
        standing.about.behind |= behind && standing.incident.life.state == IncidentState::Suspected;
        // The hold first: what opens within it pages nobody.
        let inputs = [Input::Hold(hold), Input::Condition(condition)];
        // Evidence is never refused.
        self.handle(standing, &inputs, EVIDENCE).ok();
    }

    /// Hands an incident the passing of time, and what holds it where no signal tells: a person's own has none.
    pub(super) fn time(&mut self, id: &IncidentId, turned_back: bool) {
        let Some(standing) = self.changes.set.get(id).or_else(|| self.desk.standing.get(id)) else { return };
        let due = standing.incident.poll_timeout(&rules(self.book, standing)).is_some_and(|due| due <= self.now);
        let life = &standing.incident.life;
        let hold = match &standing.incident.subject {
            Subject::Manual(_) if life.state != IncidentState::Resolved => {
                Some(self.desk.silences.hold(self.book, &standing.incident.subject, standing.about.check, self.now))
            }
            Subject::Manual(_) | Subject::Check(_) | Subject::Agent(_) | Subject::Slo(_) => None,
        };
        let hold = hold.filter(|hold| *hold != life.held.map(|(reason, _)| reason));
        if !due && !turned_back && hold.is_none() {
            return;
        }
        let standing = standing.clone();
        let hold = hold.map(Input::Hold);
        let inputs: Vec<Input<'_>> = hold.into_iter().chain([Input::Time]).collect();
        // Time is never refused.
        self.handle(standing, &inputs, EVIDENCE).ok();
    }

    /// Notes an entry of an incident's history.
    pub(super) fn note(&mut self, standing: &mut Standing, author: &str, record: Record) {
        standing.entries += 1;
        self.changes.entries.push((standing.incident.id.clone(), standing.entries, author.to_owned(), record));
    }

    /// Hands inputs to an incident, and notes what comes of it.
    pub(super) fn handle(&mut self, mut standing: Standing, inputs: &[Input<'_>], author: &str) -> Result<(), Refusal> {
        // As it was: what a signal noted about it is news as well.
        let known =
            self.changes.set.get(&standing.incident.id).or_else(|| self.desk.standing.get(&standing.incident.id));
        let before = known.cloned().unwrap_or_else(|| standing.clone());
        let policy = policy_of(self.book, &standing.incident.subject, &standing.about);
        // Whoever acts does not wait; without a policy nothing goes out by itself, and all that is due stays due.
        let waits = author == EVIDENCE && self.desk.waits(&standing.incident.subject, self.now);
        let policy = policy.filter(|_| !waits);
        let rules = Rules { reopen_window_us: REOPEN_WINDOW_US, policy };
        let id = standing.incident.id.clone();
        for input in inputs {
            let (flapped, was_bad) = (standing.incident.life.flapping, standing.incident.life.bad);
            let outputs = standing.incident.handle(*input, &rules, self.now)?;
            let life = &standing.incident.life;
            // An edge that flapping swallowed: without that it had been over in between.
            if flapped && life.flapping && !was_bad && life.bad {
                self.spare(&standing, self.now, Sparing::Flapping);
            }
            let mut rose = false;
            // Whether the levels that are told reach anybody; `None`: none is told.
            let mut reached_somebody: Option<bool> = None;
            for output in outputs {
                match output {
                    Output::Entry(entry) => {
                        if matches!(entry, Entry::Reopened { .. }) {
                            recipients::opened_again(&mut standing.about, self.now);
                        }
                        let turns = is_turn(&entry);
                        rose |= matches!(entry, Entry::Severity { .. });
                        self.note(&mut standing, author, Record::Life(entry));
                        if turns {
                            let found = evidence::of(self.book, self.desk, &standing, self.now);
                            self.note(&mut standing, EVIDENCE, Record::Evidence(Box::new(found)));
                        }
                    }
                    Output::Page { step, event, level, round } => {
                        let severity = standing.incident.life.severity;
                        let reached = recipients::of_level(self.book, policy, level, severity, self.now);
                        reached_somebody = Some(reached_somebody.unwrap_or(false) || !reached.to.is_empty());
                        let record = self.send(&mut standing, step, event, Some(level), round, reached);
                        self.note(&mut standing, author, record);
                    }
                    Output::Tell { step, event } => {
                        let reached = recipients::told_before(self.book, &mut standing, self.now);
                        let record = self.send(&mut standing, step, event, None, 0, reached);
                        self.note(&mut standing, author, record);
                    }
                    Output::Gone => {
                        if standing.about.behind {
                            self.spare(&standing, standing.incident.life.suspected_at, Sparing::Parent);
                        }
                        self.changes.set.remove(&id);
                        if self.desk.standing.contains_key(&id) {
                            self.changes.gone.push(id);
                        }
                        return Ok(());
                    }
                }
            }
            if reached_somebody == Some(false) {
                standing.incident.reached_nobody(&rules, self.now);
            }
            // After its steps: a level that was passed by may have told the same channel.
            if rose {
                self.let_through(&mut standing);
            }
        }
        if standing != before || !self.desk.standing.contains_key(&id) {
            self.changes.set.insert(id, standing);
        }
        Ok(())
    }

    /// It became more severe: what quiet hours hold back of it goes out where they let this severity through.
    fn let_through(&mut self, standing: &mut Standing) {
        let mut channels = BTreeMap::new();
        for (reach, held) in recipients::let_through(self.book, standing, self.now) {
            let key = DeliveryKey {
                bucket: standing.bucket,
                incident: standing.incident.id.clone(),
                channel: reach.channel,
                step: held.step,
            };
            channels.insert(key.channel.clone(), held.step);
            let context = recipients::context(self.book, self.desk, standing, held.event, self.now);
            let mut notice = recipients::notice(self.book, self.desk, (standing, &context), &key, held.event, self.now);
            notice.context.recipient = recipients::recipient(self.book, reach.user.as_deref());
            let (state, attempts, due) = (DeliveryState::Due, 0, self.now);
            match self.changes.messages.iter_mut().find(|message| message.key == key) {
                Some(message) => (message.due, message.notice) = (due, notice),
                None => {
                    let message = Message { key, state, attempts, created: self.now, due, notice };
                    self.changes.let_through.push(message);
                }
            }
        }
        if !channels.is_empty() {
            self.note(standing, EVIDENCE, Record::LetThrough { channels });
        }
    }

    /// Notes that a page of a check was spared.
    fn spare(&mut self, standing: &Standing, at: UtcMicros, by: Sparing) {
        match standing.incident.subject {
            Subject::Check(check) => self.changes.spared.push((standing.bucket, Spared { at, check, by })),
            Subject::Agent(_) | Subject::Slo(_) | Subject::Manual(_) => {}
        }
    }

    /// Notes the messages of a step.
    fn send(
        &mut self,
        standing: &mut Standing,
        step: u32,
        event: NoticeEvent,
        level: Option<u32>,
        round: u32,
        reached: recipients::Reached,
    ) -> Record {
        let (bucket, incident) = (standing.bucket, standing.incident.id.clone());
        let key =
            |channel: &str, step| DeliveryKey { bucket, incident: incident.clone(), channel: channel.into(), step };
        let (held, withdrawn) = recipients::settle(&mut standing.about, &reached, step, self.now, level.is_none());
        for channel in held.keys() {
            standing.about.held.entry(channel.clone()).and_modify(|held| held.event = event);
        }
        self.changes.withdraw(withdrawn.iter().map(|(channel, step)| key(channel, *step)));
        let context = match reached.to.as_slice() {
            [] => Context::default(),
            _ => recipients::context(self.book, self.desk, standing, event, self.now),
        };
        for recipients::Reach { channel, user, due } in &reached.to {
            let key = key(channel, step);
            let mut notice = recipients::notice(self.book, self.desk, (standing, &context), &key, event, self.now);
            notice.context.recipient = recipients::recipient(self.book, user.as_deref());
            let (state, attempts, due) = (DeliveryState::Due, 0, *due);
            self.changes.messages.push(Message { key, state, attempts, created: self.now, due, notice });
        }
        let channels = reached.to.into_iter().map(|reach| reach.channel).collect();
        Record::Step { step, event, level, round, channels, unreached: reached.unreached, held, withdrawn }
    }
}

/// Whether what was known then is kept: it opened, again too, got worse, or ended.
const fn is_turn(entry: &Entry) -> bool {
    match entry {
        Entry::Opened { .. } | Entry::Reopened { .. } | Entry::Severity { .. } | Entry::Resolved { .. } => true,
        Entry::Flapping
        | Entry::Settled
        | Entry::Held { .. }
        | Entry::Released
        | Entry::Acknowledged { .. }
        | Entry::AcknowledgementExpired => false,
    }
}

/// The bucket that holds everything about a subject.
fn bucket_of(book: &Book, subject: &Subject) -> Bucket {
    match subject {
        Subject::Check(check) => book.check(*check).map(|check| check.bucket()),
        Subject::Agent(agent) => book.agent(*agent).map(|agent| agent.name.bucket()),
        Subject::Slo(id) => Some(Bucket::of(id)),
        Subject::Manual(id) => Some(Bucket::of(&id.0)),
    }
    .unwrap_or(Bucket(0))
}
