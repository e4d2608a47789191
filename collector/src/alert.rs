//! From evidence to incidents and messages: the desk that watches the present.
//!
//! After each commit of results, and when something is due, [`Engine::watch`] asks [`signals`] what the present says about every (subject, kind) concerned, hands
//! it to the incidents' machines ([`sitepulse_model::incident::machine`]), finds out who is to be told ([`recipients`]), and writes all of it in one transaction:
//! the incident, its history, its timer, its messages. A write that fails changes nothing, in memory neither, and is tried again.
//!
//! The desk runs on the thread that writes, in the caller's call; the simulator drives it like the rest of the engine. Sending is [`crate::outbox`]'s.
//!
//! Architecture invariant: only what is present is asked here. A result that came in late counts for figures, and pages nobody.

pub(crate) mod recipients;
pub(crate) mod signals;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sitepulse_model::escalation::EscalationPolicy;
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, fnv1a_of};
use sitepulse_model::incident::machine::{
    Entry, FLAP_WINDOW_US, Incident, Input, Output, REOPEN_WINDOW_US, Refusal, Rules,
};
use sitepulse_model::incident::{Condition, IncidentId, IncidentKind, NoticeEvent, Subject};
use sitepulse_model::record;
use sitepulse_model::time::UtcMicros;

use crate::app::AppError;
use crate::book::Book;
use crate::engine::Engine;
use crate::outbox::{DeliveryKey, DeliveryState, Message};
use crate::store::{self, StoreError, Tables};
use signals::Signal;

/// The author of what nobody did.
pub const EVIDENCE: &str = "evidence";

/// How often everything is looked at, whatever happens: holds run out, agents fall silent.
const SWEEP_US: i64 = 1_000_000;
/// How long a store that failed is left alone.
const RETRY_US: i64 = 1_000_000;

/// What an incident has beside its life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// For people; of a manual incident what it is called.
    pub title: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// What was learned.
    pub post_mortem: Option<String>,
    /// The channels that were told of it.
    pub told: BTreeSet<String>,
}

/// A row of an incident's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub enum Record {
    /// What its machine did.
    Life(Entry),
    /// A step went out to these channels.
    Step {
        /// Its number.
        step: u32,
        /// What for.
        event: NoticeEvent,
        /// The level of the ladder, from 0; `None` where everybody was told who had been before.
        level: Option<u32>,
        /// The round, from 0.
        round: u32,
        /// The channels. None: nobody was on call, or no target leads anywhere.
        channels: Vec<String>,
        /// What could not be told, and why.
        unreached: Vec<String>,
    },
    /// Somebody wrote something.
    Comment {
        /// What.
        text: String,
    },
}

/// A row of an incident's history as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Counts from 1.
    pub number: u64,
    /// When.
    pub at: UtcMicros,
    /// Who; [`EVIDENCE`] where nobody did.
    pub author: String,
    /// What.
    pub record: Record,
    /// Whether it and all before it are as they were written.
    pub intact: bool,
}

/// An incident as the desk has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// That of its subject.
    pub bucket: Bucket,
    /// The incident.
    pub incident: Incident,
    /// What people added.
    pub about: About,
    /// How many rows its history has.
    pub entries: u64,
}

/// What a look came to: nothing of it counts before it is written.
#[derive(Debug, Default)]
struct Changes {
    /// Incidents as they become.
    set: BTreeMap<IncidentId, Standing>,
    /// Suspicions that came to nothing.
    gone: Vec<IncidentId>,
    entries: Vec<(IncidentId, u64, String, Record)>,
    messages: Vec<Message>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.gone.is_empty()
    }
}

/// What the desk knows between two looks.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Every incident that is not past.
    standing: BTreeMap<IncidentId, Standing>,
    by_key: BTreeMap<(Subject, IncidentKind), IncidentId>,
    /// Checks that live results came in for since the last look, perhaps several times.
    touched: Vec<CheckNo>,
    /// What is needed to tell the present from the past.
    pub(crate) present: signals::Present,
    sweep_due: Option<UtcMicros>,
    not_before: Option<UtcMicros>,
    /// Where the console is, for links in messages.
    pub(crate) console: Option<String>,
}

impl Desk {
    /// The desk of a store. The agents have until `signals` says so to come back after a start.
    pub(crate) fn restore(standing: Vec<Standing>, now: UtcMicros) -> Self {
        let mut desk = Self { present: signals::Present::starting(now), ..Self::default() };
        for one in standing {
            desk.put(one);
        }
        desk
    }

    /// How far back ended incidents matter.
    pub(crate) const fn looks_back_us() -> i64 {
        if FLAP_WINDOW_US > REOPEN_WINDOW_US { FLAP_WINDOW_US } else { REOPEN_WINDOW_US }
    }

    fn put(&mut self, standing: Standing) {
        let incident = &standing.incident;
        self.by_key.insert((incident.subject.clone(), incident.kind), incident.id.clone());
        self.standing.insert(incident.id.clone(), standing);
    }

    fn take_out(&mut self, id: &IncidentId) {
        if let Some(gone) = self.standing.remove(id) {
            let key = (gone.incident.subject, gone.incident.kind);
            if self.by_key.get(&key) == Some(id) {
                self.by_key.remove(&key);
            }
        }
    }

    /// Every incident that is not past: what is shown as open now.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Standing> {
        self.standing.values()
    }

    /// A record of an agent is stored that was new.
    pub(crate) fn note(&mut self, agent: AgentNo, record: &record::Record, received: UtcMicros) {
        self.present.note(agent, record, received);
        // A result pays for a push, a look for the order.
        if self.touched.len() == self.touched.capacity() {
            self.touched.sort_unstable();
            self.touched.dedup();
            // At least as many again before the next time.
            self.touched.reserve(self.touched.len() + 64);
        }
        self.touched.push(record.check());
    }

    /// Everything may have changed: definitions, orders, silences.
    pub(crate) fn touch_all(&mut self) {
        self.sweep_due = None;
    }

    fn free_id(&self, changes: &Changes, subject: &Subject, kind: IncidentKind, now: UtcMicros) -> IncidentId {
        let subject = format!("{subject:?}/{kind}");
        let taken = |id: &IncidentId| self.standing.contains_key(id) || changes.set.contains_key(id);
        let mut nonce = 0_u32;
        loop {
            let id = incident_id(&subject, now, nonce);
            if !taken(&id) {
                return id;
            }
            nonce += 1;
        }
    }
}

/// `20261122-4f7k2`: the day, and five characters of a hash of what, when.
fn incident_id(subject: &str, now: UtcMicros, nonce: u32) -> IncidentId {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut hash = fnv1a_of(&[subject.as_bytes(), &now.0.to_le_bytes(), &nonce.to_le_bytes()]);
    // The low bits of FNV-1a alone are weak.
    hash ^= hash >> 32;
    let tail: String = (0..5).map(|at| char::from(ALPHABET[(hash >> (5 * at)) as usize & 31])).collect();
    let day = sitepulse_daemon::instant::format(now).get(..10).unwrap_or_default().replace('-', "");
    IncidentId(format!("{day}-{tail}"))
}

/// The policy that applies to an incident: its check's, else the default one; `None`: nobody is told.
pub(crate) fn policy_of<'b>(book: &'b Book, subject: &Subject) -> Option<&'b EscalationPolicy> {
    let named = match subject {
        Subject::Check(check) => {
            book.check(*check).and_then(|check| check.newest().labels.escalation.as_ref()).map(|id| id.as_str())
        }
        Subject::Agent(_) | Subject::Slo(_) | Subject::Manual(_) => None,
    };
    let escalations = &book.objects().escalations;
    named
        .and_then(|id| escalations.current(id))
        .or_else(|| escalations.living().map(|(_, policy)| policy).find(|policy| policy.body.default))
        .map(|revised| &revised.body)
}

fn rules<'b>(book: &'b Book, subject: &Subject) -> Rules<'b> {
    Rules { reopen_window_us: REOPEN_WINDOW_US, policy: policy_of(book, subject) }
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

/// A look under way: reads the book, notes changes.
struct Look<'a> {
    book: &'a Book,
    desk: &'a Desk,
    now: UtcMicros,
    changes: Changes,
}

impl Look<'_> {
    fn current(&self, id: &IncidentId) -> Option<Standing> {
        self.changes.set.get(id).or_else(|| self.desk.standing.get(id)).cloned()
    }

    /// What the present says.
    fn signal(&mut self, signal: Signal) {
        let Signal { subject, kind, condition, hold } = signal;
        let known = self.desk.by_key.get(&(subject.clone(), kind)).and_then(|id| self.current(id));
        let past = known.as_ref().is_some_and(|standing| {
            let rules = rules(self.book, &subject);
            let life = &standing.incident.life;
            let ended = life.resolved_at.is_some_and(|at| self.now.us_since(at) > rules.reopen_window_us);
            // Who resolved it by hand is believed until the evidence was fine once.
            ended && !(life.bad && life.resolved_by.is_some())
        });
        let standing = match (known, condition) {
            (Some(standing), _) if !past => standing,
            (before, Condition::Bad { since, severity } | Condition::Suspect { since, severity }) => {
                let id = self.desk.free_id(&self.changes, &subject, kind, self.now);
                let edges = before.map(|before| before.incident.life.edges).unwrap_or_default();
                let bucket = bucket_of(self.book, &subject);
                let incident = Incident::suspected(id, subject, kind, severity, since, edges, self.now);
                Standing { bucket, incident, about: About::default(), entries: 0 }
            }
            (Some(_) | None, Condition::Good | Condition::Unknown) => return,
        };
        // The hold first: what opens within it pages nobody.
        let inputs = [Input::Hold(hold), Input::Condition(condition)];
        // Evidence is never refused.
        self.handle(standing, &inputs, EVIDENCE).ok();
    }

    /// Hands inputs to an incident, and notes what comes of it.
    fn handle(&mut self, mut standing: Standing, inputs: &[Input<'_>], author: &str) -> Result<(), Refusal> {
        let before = standing.clone();
        let policy = policy_of(self.book, &standing.incident.subject);
        let rules = Rules { reopen_window_us: REOPEN_WINDOW_US, policy };
        let id = standing.incident.id.clone();
        for input in inputs {
            for output in standing.incident.handle(*input, &rules, self.now)? {
                let record = match output {
                    Output::Entry(entry) => Record::Life(entry),
                    Output::Page { step, event, level, round } => {
                        let reached = recipients::of_level(self.book, policy, level, self.now);
                        self.send(&mut standing, step, event, Some(level), round, reached)
                    }
                    Output::Tell { step, event } => {
                        let channels = standing.about.told.iter().cloned().collect();
                        let reached = recipients::Reached { channels, unreached: Vec::new() };
                        self.send(&mut standing, step, event, None, 0, reached)
                    }
                    Output::Gone => {
                        self.changes.set.remove(&id);
                        if self.desk.standing.contains_key(&id) {
                            self.changes.gone.push(id);
                        }
                        return Ok(());
                    }
                };
                standing.entries += 1;
                self.changes.entries.push((id.clone(), standing.entries, author.to_owned(), record));
            }
        }
        if standing != before || !self.desk.standing.contains_key(&id) {
            self.changes.set.insert(id, standing);
        }
        Ok(())
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
        for channel in &reached.channels {
            standing.about.told.insert(channel.clone());
            let key = DeliveryKey {
                bucket: standing.bucket,
                incident: standing.incident.id.clone(),
                channel: channel.clone(),
                step,
            };
            let notice = recipients::notice(self.book, self.desk, standing, &key, event, self.now);
            let (state, attempts) = (DeliveryState::Due, 0);
            self.changes.messages.push(Message { key, state, attempts, created: self.now, due: self.now, notice });
        }
        Record::Step { step, event, level, round, channels: reached.channels, unreached: reached.unreached }
    }
}

impl Engine {
    /// Looks at the present: at checks that results came in for, at everything when that is due, at every timer.
    ///
    /// # Errors
    /// When what is to be written cannot be: nothing changed, and the same is tried again in a second.
    pub fn watch(&mut self, now: UtcMicros) -> Result<(), StoreError> {
        if !self.watch_due(now) {
            return Ok(());
        }
        let everything = self.alert.sweep_due.is_none_or(|due| due <= now);
        let shared = std::sync::Arc::clone(&self.shared);
        let changes = {
            let book = shared.book();
            let mut look = Look { book: &book, desk: &self.alert, now, changes: Changes::default() };
            let touched: BTreeSet<CheckNo> = self.alert.touched.iter().copied().collect();
            let checks = if everything { None } else { Some(&touched) };
            signals::each(&book, &self.alert, checks, now, |signal| look.signal(signal));
            let timers: Vec<Standing> = self.alert.standing.values().cloned().collect();
            for standing in timers {
                let rules = rules(&book, &standing.incident.subject);
                if standing.incident.poll_timeout(&rules).is_some_and(|due| due <= now)
                    && let Some(standing) = look.current(&standing.incident.id)
                {
                    // Time is never refused.
                    look.handle(standing, &[Input::Time], EVIDENCE).ok();
                }
            }
            look.changes
        };
        self.commit(changes, now).inspect_err(|_| self.alert.not_before = Some(now.plus_us(RETRY_US)))?;
        self.alert.not_before = None;
        self.alert.touched.clear();
        if everything {
            self.alert.sweep_due = Some(now.plus_us(SWEEP_US));
            let book = shared.book();
            let past = |standing: &&Standing| standing.incident.is_past(&rules(&book, &standing.incident.subject), now);
            let past: Vec<IncidentId> =
                self.alert.standing.values().filter(past).map(|standing| standing.incident.id.clone()).collect();
            for id in past {
                self.alert.take_out(&id);
            }
        }
        Ok(())
    }

    /// Whether [`Self::watch`] has anything to do.
    pub(crate) fn watch_due(&self, now: UtcMicros) -> bool {
        let desk = &self.alert;
        if desk.not_before.is_some_and(|at| now < at) {
            return false;
        }
        // A clock that was set back must not stop the sweep for as long.
        let swept_lately = desk.sweep_due.is_some_and(|due| now < due && due.us_since(now) <= SWEEP_US);
        !swept_lately || !desk.touched.is_empty()
    }

    /// When [`Self::watch`] has something to do without any result.
    pub(crate) fn next_watch(&self) -> Option<UtcMicros> {
        self.alert.not_before.or(self.alert.sweep_due)
    }

    /// Hands what a person does to an incident.
    ///
    /// # Errors
    /// When there is no such incident, its state does not allow it, or it cannot be written.
    pub fn act(&mut self, id: &IncidentId, input: Input<'_>, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let shared = std::sync::Arc::clone(&self.shared);
        let changes = {
            let book = shared.book();
            let mut look = Look { book: &book, desk: &self.alert, now, changes: Changes::default() };
            let standing = look.current(id).ok_or_else(|| {
                AppError::NotFound(format!("there is no incident {id} that is open or ended lately: see `incidents`"))
            })?;
            look.handle(standing, &[input], author)
                .map_err(|refusal| AppError::Conflict(format!("incident {id}: {refusal}")))?;
            look.changes
        };
        self.commit(changes, now)?;
        Ok(())
    }

    /// Writes changes, then takes them over.
    fn commit(&mut self, changes: Changes, now: UtcMicros) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let shared = std::sync::Arc::clone(&self.shared);
        let due: BTreeMap<&IncidentId, Option<UtcMicros>> = {
            let book = shared.book();
            let due = |(id, standing): (_, &Standing)| {
                (id, standing.incident.poll_timeout(&rules(&book, &standing.incident.subject)))
            };
            changes.set.iter().map(due).collect()
        };
        let desk = &self.alert;
        self.store.write(|tables| write(tables, desk, &changes, &due, now))?;
        let told = !changes.messages.is_empty();
        for id in &changes.gone {
            self.alert.take_out(id);
        }
        for (_, standing) in changes.set {
            self.alert.put(standing);
        }
        if told {
            shared.outbox.wake();
        }
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
    for (id, standing) in &changes.set {
        store::incidents::set(tables, standing, due.get(id).copied().flatten())?;
    }
    for (id, number, author, record) in &changes.entries {
        let Some(standing) = changes.set.get(id) else { continue };
        store::incidents::append_entry(tables, (standing.bucket, id), *number, now, author, record)?;
    }
    changes.messages.iter().try_for_each(|message| store::outbox::insert(tables, message))
}
