//! From evidence to incidents and messages: the desk that watches the present.
//!
//! After each commit of results, and when something is due, [`Engine::watch`] asks [`signals`] what the present says about every (subject, kind) concerned, hands
//! it to the incidents' machines ([`sitepulse_model::incident::machine`]), finds out who is to be told ([`recipients`]), and writes all of it in one transaction:
//! the incident, its history, its timer, its messages. A write that fails changes nothing, in memory neither, and is tried again.
//!
//! The desk runs on the thread that writes, in the caller's call; the simulator drives it like the rest of the engine. Sending is [`crate::outbox`]'s.
//!
//! Architecture invariant: only what is present is asked here. A result that came in late counts for figures, and pages nobody.

pub mod evidence;
pub mod grace;
mod idle;
pub mod integrity;
pub mod link;
pub mod people;
pub(crate) mod recipients;
pub mod signals;
pub mod silence;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sitepulse_model::escalation::EscalationPolicy;
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, fnv1a_of};
use sitepulse_model::incident::indicators::{Facts, Spared, Sparing};
use sitepulse_model::incident::machine::{
    Entry, FLAP_WINDOW_US, Incident, Input, Output, REOPEN_WINDOW_US, Refusal, Rules,
};
use sitepulse_model::incident::{Condition, IncidentId, IncidentKind, IncidentState, NoticeEvent, Subject};
use sitepulse_model::notice::Context;
use sitepulse_model::record;
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::Book;
use crate::engine::Engine;
use crate::outbox::{DeliveryKey, DeliveryState, Message};
use crate::store::{self, StoreError, Tables};
use evidence::Evidence;
pub(crate) use recipients::facts;
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
    /// Of a manual incident: the number of the check that was named with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<u32>,
    /// For which user a channel was told of it, where it was for one.
    pub told_for: BTreeMap<String, String>,
    /// How many notes for the public its history has.
    #[serde(skip_serializing_if = "no_notes")]
    pub public_notes: u32,
    /// The message that quiet hours hold back, by channel: the newest alone waits.
    pub held: BTreeMap<String, HeldMessage>,
    /// Of a suspicion: whether it would have opened, had nothing been down that it hangs on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub behind: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn no_notes(notes: &u32) -> bool {
    *notes == 0
}

/// A message that quiet hours hold back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldMessage {
    /// Its step.
    pub step: u32,
    /// Until when.
    pub until: UtcMicros,
    /// What it tells.
    #[serde(default = "opened")]
    pub event: NoticeEvent,
}

const fn opened() -> NoticeEvent {
    NoticeEvent::Opened
}

/// A row of an incident's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        /// Those of the channels whose message quiet hours hold back, and until when.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        held: BTreeMap<String, UtcMicros>,
        /// Messages of earlier steps that were still held back and go out no more: the channel, and the step.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        withdrawn: BTreeMap<String, u32>,
    },
    /// It got so severe that quiet hours hold these messages back no more.
    LetThrough {
        /// The channel, and the step.
        channels: BTreeMap<String, u32>,
    },
    /// Somebody wrote something.
    Comment {
        /// What.
        text: String,
    },
    /// Somebody wrote something for the public.
    PublicNote {
        /// What.
        text: String,
    },
    /// Somebody works on it from here on.
    Assigned {
        /// Who; `None`: nobody any more.
        to: Option<String>,
    },
    /// What was learned is written down, instead of what was before.
    PostMortem {
        /// What.
        text: String,
    },
    /// What was known then.
    Evidence(Box<Evidence>),
}

/// A row of an incident's history as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEntry {
    /// Counts from 1.
    pub number: u64,
    /// When.
    pub at: UtcMicros,
    /// Who; [`EVIDENCE`] where nobody did.
    pub author: String,
    /// What; `None` where the row cannot be read.
    pub record: Option<Record>,
    /// Over the entry before and this one.
    pub hash: Vec<u8>,
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
    /// Held messages that go out no more.
    withdrawn: Vec<DeliveryKey>,
    /// Held messages that go out now.
    let_through: Vec<Message>,
    /// Pages that nobody gets.
    spared: Vec<(Bucket, Spared)>,
    /// Those of `set` that were past, so read from the store: they come to the desk again only where they are open again.
    filed: BTreeSet<IncidentId>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.gone.is_empty() && self.spared.is_empty()
    }

    /// Takes held messages back: those of this look are not even written.
    fn withdraw(&mut self, keys: impl Iterator<Item = DeliveryKey>) {
        for key in keys {
            let before = self.messages.len();
            self.messages.retain(|message| message.key != key);
            if self.messages.len() == before {
                self.withdrawn.push(key);
            }
        }
    }
}

/// What the desk knows between two looks.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Every incident that is not past.
    standing: BTreeMap<IncidentId, Standing>,
    by_key: BTreeMap<(Subject, IncidentKind), IncidentId>,
    /// Checks that live results came in for since the last look, perhaps several times.
    arrived: Vec<CheckNo>,
    /// Checks to look at, those among them.
    touched: BTreeSet<CheckNo>,
    /// Checks whose incidents are others than they were: they are looked at when all that is due is.
    turned: BTreeSet<CheckNo>,
    /// When incidents have something to do by themselves.
    timers: timers::Timers,
    /// Everything is to be looked at, whatever was found before.
    all: bool,
    /// The book's version by which everything was looked at.
    version: Option<u64>,
    /// What is needed to tell the present from the past.
    pub(crate) present: signals::Present,
    /// The silences that are not over.
    pub(crate) silences: silence::Silences,
    sweep_due: Option<UtcMicros>,
    /// When everything was looked at last.
    looked: Option<UtcMicros>,
    not_before: Option<UtcMicros>,
    /// Whether steps wait for agents to be heard.
    grace: grace::Grace,
    /// Nothing is looked at: no server runs.
    pub(crate) still: bool,
    /// Makes the links in messages.
    pub(crate) links: link::Links,
}

impl Desk {
    /// The desk of a store. The agents have until `signals` says so to come back after a start.
    pub(crate) fn restore(
        standing: Vec<Standing>,
        silences: silence::Silences,
        links: link::Links,
        now: UtcMicros,
    ) -> Self {
        let present = signals::Present::starting(now);
        let mut desk = Self { present, silences, links, all: true, ..Self::default() };
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
        let key = (incident.subject.clone(), incident.kind);
        let holder = self.by_key.get(&key).filter(|id| **id != incident.id).and_then(|id| self.standing.get(id));
        // One that is over gives way to one that is not, or that is newer: people write about it still.
        let yields = incident.life.state == IncidentState::Resolved
            && holder.is_some_and(|other| {
                let other = &other.incident.life;
                other.state != IncidentState::Resolved || other.suspected_at > incident.life.suspected_at
            });
        if !yields {
            self.by_key.insert(key, incident.id.clone());
        }
        self.turn(&incident.subject.clone());
        self.standing.insert(standing.incident.id.clone(), standing);
    }

    fn turn(&mut self, subject: &Subject) {
        if let Subject::Check(check) = subject {
            self.turned.insert(*check);
        }
    }

    fn take_out(&mut self, id: &IncidentId) {
        self.timers.set(id, None);
        if let Some(gone) = self.standing.remove(id) {
            self.turn(&gone.incident.subject);
            let key = (gone.incident.subject, gone.incident.kind);
            if self.by_key.get(&key) == Some(id) {
                // The one before it, if that is not past: it may open again, and its edges count.
                let same = |one: &&Standing| one.incident.subject == key.0 && one.incident.kind == key.1;
                let before = self.standing.values().filter(same).max_by_key(|one| one.incident.life.suspected_at);
                match before.map(|before| before.incident.id.clone()) {
                    Some(before) => drop(self.by_key.insert(key, before)),
                    None => drop(self.by_key.remove(&key)),
                }
            }
        }
    }

    /// Late records are stored; `series` is what is known of a pair without them.
    pub(crate) fn note_late<'s>(
        &mut self,
        late: &crate::amend::Arrivals,
        series: impl Fn((CheckNo, AgentNo)) -> Option<&'s sitepulse_model::series::Series>,
    ) {
        for (pair, touched, received) in late.each() {
            let series = series(pair);
            let held = series.map(|series| series.between(touched.first, touched.last)).unwrap_or_default();
            self.present.in_time.add(pair, touched, held, series, received);
        }
    }

    /// A record of an agent is stored that was new.
    pub(crate) fn note(&mut self, agent: AgentNo, record: &record::Record, received: UtcMicros) {
        self.present.note(agent, record, received);
        self.grace.note(agent, record, received);
        // A result pays for a push, a look for the order.
        if self.arrived.len() == self.arrived.capacity() {
            self.arrived.sort_unstable();
            self.arrived.dedup();
            // At least as many again before the next time.
            self.arrived.reserve(self.arrived.len() + 64);
        }
        self.arrived.push(record.check());
    }

    /// Everything may have changed: definitions, orders, silences.
    pub(crate) fn touch_all(&mut self) {
        self.sweep_due = None;
        self.all = true;
    }

    /// Whether all that is due is to be looked at. A clock that was set back must not stop that for as long.
    fn is_sweep_due(&self, now: UtcMicros) -> bool {
        self.sweep_due.is_none_or(|due| due <= now || due.us_since(now) > SWEEP_US)
    }

    /// An incident changed: what it asks for is looked at soon.
    fn hurry(&mut self) {
        self.sweep_due = None;
    }

    /// The newest incidents of a check, one of each kind.
    fn incidents_of(&self, check: CheckNo) -> impl Iterator<Item = &(Subject, IncidentKind)> {
        let first = IncidentKind::ALL[0];
        let from = (Subject::Check(check), first);
        self.by_key.range(from..).map(|(key, _)| key).take_while(move |(subject, _)| *subject == Subject::Check(check))
    }

    /// Where an incident is in its life; `None` of one that is past, and of none.
    pub(crate) fn state_of(&self, id: &IncidentId) -> Option<IncidentState> {
        self.standing.get(id).map(|standing| standing.incident.life.state)
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

/// `20261122-4f7k2zq`: the day, and seven characters of a hash of what, when.
fn incident_id(subject: &str, now: UtcMicros, nonce: u32) -> IncidentId {
    let hash = fnv1a_of(&[subject.as_bytes(), &now.0.to_le_bytes(), &nonce.to_le_bytes()]);
    let day = sitepulse_daemon::instant::format(now).get(..10).unwrap_or_default().replace('-', "");
    IncidentId(format!("{day}-{}", short(hash, 7)))
}

/// So many characters of a hash, 12 at most, that people can read out.
pub(crate) fn short(mut hash: u64, characters: u32) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    // The low bits of FNV-1a alone are weak.
    hash ^= hash >> 32;
    (0..characters).map(|at| char::from(ALPHABET[(hash >> (5 * at)) as usize & 31])).collect()
}

/// The policy that applies to an incident: its check's, else the default one; `None`: nobody is told.
pub(crate) fn policy_of<'b>(book: &'b Book, subject: &Subject, about: &About) -> Option<&'b EscalationPolicy> {
    let check = match subject {
        Subject::Check(check) => Some(*check),
        Subject::Manual(_) => about.check.map(CheckNo),
        Subject::Agent(_) | Subject::Slo(_) => None,
    };
    let check = check.and_then(|check| book.check(check));
    let named = check.and_then(|check| check.newest().labels.escalation.as_ref()).map(|id| id.as_str());
    let escalations = &book.objects().escalations;
    named
        .and_then(|id| escalations.current(id))
        .or_else(|| escalations.living().map(|(_, policy)| policy).find(|policy| policy.body.default))
        .map(|revised| &revised.body)
}

/// When the next step of an incident's ladder is due; `None`: none is, or its pages are held.
pub(crate) fn next_step(book: &Book, standing: &Standing) -> Option<UtcMicros> {
    let life = &standing.incident.life;
    match life.state {
        IncidentState::Open if life.held.is_none() => {
            let policy = policy_of(book, &standing.incident.subject, &standing.about)?;
            life.ladder.due(policy, life.severity)
        }
        IncidentState::Acknowledged => life.paused_until,
        IncidentState::Open | IncidentState::Suspected | IncidentState::Resolved => None,
    }
}

fn rules<'b>(book: &'b Book, standing: &Standing) -> Rules<'b> {
    let policy = policy_of(book, &standing.incident.subject, &standing.about);
    Rules { reopen_window_us: REOPEN_WINDOW_US, policy }
}

/// When an incident has something to do by itself: its machine's timers, and the instant at which it is past.
fn timer(book: &Book, standing: &Standing) -> Option<UtcMicros> {
    let rules = rules(book, standing);
    let timer = standing.incident.poll_timeout(&rules);
    [timer, standing.incident.past_at(&rules)].into_iter().flatten().min()
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
    /// What the present says.
    fn signal(&mut self, signal: Signal) {
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
    fn time(&mut self, id: &IncidentId, turned_back: bool) {
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
    fn note(&mut self, standing: &mut Standing, author: &str, record: Record) {
        standing.entries += 1;
        self.changes.entries.push((standing.incident.id.clone(), standing.entries, author.to_owned(), record));
    }

    /// Hands inputs to an incident, and notes what comes of it.
    fn handle(&mut self, mut standing: Standing, inputs: &[Input<'_>], author: &str) -> Result<(), Refusal> {
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
                            // They heard of the end; who is not told again has nothing to hear of the next one.
                            standing.about.told.clear();
                            standing.about.told_for.clear();
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
            let context = recipients::context(self.book, self.desk, standing, self.now);
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
            _ => recipients::context(self.book, self.desk, standing, self.now),
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

impl Engine {
    /// Looks at the present: at checks that results came in for, at everything when that is due, at every timer.
    ///
    /// # Errors
    /// When what is to be written cannot be: nothing changed, and the same is tried again in a second.
    pub fn watch(&mut self, now: UtcMicros) -> Result<(), StoreError> {
        if !self.watch_due(now) {
            return Ok(());
        }
        let everything = self.alert.is_sweep_due(now);
        self.begin_grace(now).inspect_err(|_| self.alert.not_before = Some(now.plus_us(RETRY_US)))?;
        let shared = std::sync::Arc::clone(&self.shared);
        let desk = &mut self.alert;
        desk.touched.extend(desk.arrived.drain(..));
        // After the clock was set back every timer is measured anew.
        let turned_back = desk.looked.is_some_and(|looked| now < looked);
        if turned_back {
            desk.present.turn_back(&shared.book(), now);
        }
        let mut all = false;
        if everything {
            desk.touched.append(&mut desk.turned);
            let book = shared.book();
            let version = book.version();
            all = desk.all || turned_back || desk.version != Some(version);
            if all {
                (desk.all, desk.version) = (true, Some(version));
                desk.standing.values().for_each(|standing| {
                    desk.timers.set(&standing.incident.id, timer(&book, standing));
                });
            }
        }
        self.gather(everything, now);
        let mut due = BTreeSet::new();
        let changes = {
            let book = shared.book();
            let mut look = Look { book: &book, desk: &self.alert, now, changes: Changes::default() };
            let extent = match everything {
                true if all => signals::Extent::All,
                true => signals::Extent::Due(&self.alert.touched),
                false => signals::Extent::Checks(&self.alert.touched),
            };
            signals::each(&book, &self.alert, extent, now, |signal| look.signal(signal));
            // Timers are looked at each second, whatever results come in between.
            if everything {
                due = self.alert.timers.due(now);
                // No signal tells what holds a person's own.
                let manual = (Subject::Manual(IncidentId(String::new())), IncidentKind::ALL[0]);
                due.extend(self.alert.by_key.range(manual..).map(|(_, id)| id.clone()));
                if turned_back {
                    due.extend(self.alert.standing.keys().cloned());
                }
                due.iter().for_each(|id| look.time(id, turned_back));
            }
            look.changes
        };
        if let Err(error) = self.commit(changes, now) {
            let desk = &mut self.alert;
            desk.not_before = Some(now.plus_us(RETRY_US));
            // What was seen is not known: it is looked at again.
            let looked = signals::looked(desk);
            desk.touched.extend(looked);
            return Err(error);
        }
        let desk = &mut self.alert;
        desk.not_before = None;
        desk.touched.clear();
        if everything {
            desk.all = false;
            desk.sweep_due = Some(now.plus_us(SWEEP_US));
            desk.looked = Some(now);
            desk.silences.forget_over(now);
            let book = shared.book();
            for id in due {
                let Some(standing) = desk.standing.get(&id) else { continue };
                if standing.incident.is_past(&rules(&book, standing), now) {
                    desk.take_out(&id);
                } else {
                    desk.timers.set(&id, timer(&book, standing));
                }
            }
            drop(book);
            self.end_grace(now)?;
        }
        Ok(())
    }

    /// Forgets what looks found, so that the next look at all that is due looks at everything. That costs time and changes nothing: tests compare.
    pub fn forget_looks(&mut self) {
        self.alert.all = true;
    }

    /// What is known of alerting in a stretch of time: what the indicators are made of.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn alert_facts(&self, span: Span) -> Result<Facts, StoreError> {
        store::indicators::facts(self.store.read(), span)
    }

    /// Whether [`Self::watch`] has anything to do.
    pub(crate) fn watch_due(&self, now: UtcMicros) -> bool {
        let desk = &self.alert;
        if desk.still {
            return false;
        }
        // A clock that was set back must not hold it up for as long.
        if desk.not_before.is_some_and(|at| (1..=RETRY_US).contains(&at.us_since(now))) {
            return false;
        }
        desk.is_sweep_due(now) || !desk.touched.is_empty() || !desk.arrived.is_empty()
    }

    /// When [`Self::watch`] has something to do without any result.
    pub(crate) fn next_watch(&self) -> Option<UtcMicros> {
        if self.alert.still {
            return None;
        }
        self.alert.not_before.or(self.alert.sweep_due)
    }

    /// Writes changes, then takes them over.
    fn commit(&mut self, changes: Changes, now: UtcMicros) -> Result<(), StoreError> {
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
    // First what goes out no more: what takes its place must not wait for it.
    changes.withdrawn.iter().try_for_each(|key| store::oncall::withdraw(tables, key))?;
    changes.let_through.iter().try_for_each(|message| store::oncall::let_through(tables, message))?;
    changes.messages.iter().try_for_each(|message| store::outbox::insert(tables, message))
}
