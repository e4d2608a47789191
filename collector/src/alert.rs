//! From evidence to incidents and messages: the desk that watches the present.
//!
//! After each commit of results, and when something is due, [`Engine::watch`] asks [`signals`] what the present says about every (subject, kind) concerned, hands
//! it to the incidents' machines ([`sitepulse_model::incident::machine`]), finds out who is to be told ([`recipients`]), and writes all of it in one transaction:
//! the incident, its history, its timer, its messages. A write that fails changes nothing, in memory neither, and is tried again.
//!
//! The desk runs on the thread that writes, in the caller's call; the simulator drives it like the rest of the engine. Sending is [`crate::outbox`]'s.
//!
//! Architecture invariant: only what is present is asked here. A result that came in late counts for figures, and pages nobody.

mod changes;
pub(crate) mod desk;
pub mod evidence;
pub mod grace;
mod idle;
pub mod integrity;
pub mod link;
mod look;
pub mod people;
pub(crate) mod recipients;
pub mod signals;
pub mod silence;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sitepulse_model::escalation::EscalationPolicy;
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::incident::indicators::Facts;
use sitepulse_model::incident::machine::{Entry, Incident, REOPEN_WINDOW_US, Rules};
use sitepulse_model::incident::{IncidentId, IncidentKind, IncidentState, NoticeEvent, Subject};
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::Book;
use crate::engine::Engine;
use crate::store::{self, StoreError};
use changes::Changes;
use desk::Desk;
use evidence::Evidence;
use look::Look;
pub(crate) use recipients::facts;

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
    /// Somebody took a message back that waited: it is not sent.
    MessageCancelled {
        /// The step that it is of.
        step: u32,
        /// Its channel.
        channel: String,
    },
    /// Somebody took up again what was taken back.
    MessageTakenUp {
        /// The step that it is of.
        step: u32,
        /// Its channel.
        channel: String,
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

/// So many characters of a hash, 12 at most, that people can read out.
pub(crate) fn short(mut hash: u64, characters: u32) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    // The low bits of FNV-1a alone are weak.
    hash ^= hash >> 32;
    (0..characters).map(|at| char::from(ALPHABET[(hash >> (5 * at)) as usize & 31])).collect()
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
}
