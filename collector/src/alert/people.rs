//! What people do to incidents: take them, end them, write about them, open their own.
//!
//! Everything is a row of the incident's history, with who did it. An incident that is past, so off the desk, is read from the store, written back, and stays off it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_model::id::{Bucket, CheckId};
use sitepulse_model::incident::machine::{Incident, Input, Refusal};
use sitepulse_model::incident::{CheckClass, Condition, IncidentId, IncidentKind, Severity, Subject};
use sitepulse_model::time::UtcMicros;

use super::changes::ToMessage;
use super::{About, Changes, Look, Record, Standing};
use crate::app::AppError;
use crate::engine::Engine;
use crate::outbox::DeliveryKey;
use crate::store::incidents as stored;

/// Longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 200;
/// Longest name of a person, in bytes.
pub const NAME_BYTES_MAX: usize = 100;
/// Longest comment, in bytes.
pub const COMMENT_BYTES_MAX: usize = 16 << 10;
/// Longest note for the public, in bytes.
pub const PUBLIC_NOTE_BYTES_MAX: usize = 4 << 10;
/// Longest post-mortem, in bytes.
pub const POST_MORTEM_BYTES_MAX: usize = 256 << 10;
/// An incident of so many entries takes no more comments.
const ENTRIES_MAX: u64 = 10_000;

/// What somebody does to an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum Act {
    /// Takes it: the ladder pauses.
    Acknowledge {
        /// Who; `None`: the author.
        by: Option<String>,
    },
    /// Says it is over.
    Resolve {
        /// Who; `None`: the author.
        by: Option<String>,
    },
    /// Opens it again.
    Reopen {
        /// Who; `None`: the author.
        by: Option<String>,
    },
    /// Writes something.
    Comment {
        /// What.
        text: String,
    },
    /// Writes something for the public: status pages that tell of the incident show it.
    PublicNote {
        /// What.
        text: String,
    },
    /// Says who works on it.
    Assign {
        /// Who; `None`: nobody any more.
        to: Option<String>,
    },
    /// Writes down what was learned, instead of what was written before.
    PostMortem {
        /// What.
        text: String,
    },
}

/// An incident that somebody opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manual {
    /// What it is called.
    pub title: String,
    /// A check that it has to do with: its escalation policy is used.
    pub check: Option<CheckId>,
    /// How much it matters; `None`: as a check of its class that is down, else major.
    pub severity: Option<Severity>,
}

fn line(what: &str, text: &str, bytes_max: usize) -> Result<String, AppError> {
    let text = text.trim();
    if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        return Err(AppError::Invalid(format!("{what} is one line of 1 to {bytes_max} bytes")));
    }
    Ok(text.to_owned())
}

fn prose(what: &str, text: &str, bytes_max: usize) -> Result<String, AppError> {
    let text = text.trim();
    if text.is_empty() || text.len() > bytes_max {
        return Err(AppError::Invalid(format!("{what} has 1 to {bytes_max} bytes, this one has {}", text.len())));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(AppError::Invalid(format!("{what} is plain text: take the control characters out")));
    }
    Ok(text.to_owned())
}

impl Engine {
    /// Hands what a person does to an incident's machine.
    ///
    /// # Errors
    /// When there is no such incident, its state does not allow it, or it cannot be written.
    pub fn act(&mut self, id: &IncidentId, input: Input<'_>, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let shared = Arc::clone(&self.shared);
        let (standing, past) = self.find(id)?;
        let manual = matches!(standing.incident.subject, Subject::Manual(_));
        if matches!(input, Input::Reopen { .. }) {
            let key = (standing.incident.subject.clone(), standing.incident.kind);
            if let Some(other) = self.alert.by_key.get(&key).filter(|other| *other != id) {
                return Err(AppError::Conflict(format!(
                    "incident {id}: another one of the same kind is newer: see to {other}, or open that one again"
                )));
            }
        }
        let changes = {
            let book = shared.book();
            let mut look = Look { book: &book, desk: &self.alert, now, changes: Changes::default() };
            if past {
                look.changes.filed.insert(id.clone());
            }
            let mut inputs = Vec::new();
            if matches!(input, Input::Reopen { .. }) {
                // Of one that is over nobody keeps what would hold it now.
                let subject = &standing.incident.subject;
                let held = match subject {
                    Subject::Check(check) => super::signals::hold_of(&book, &self.alert, *check, now),
                    Subject::Agent(_) | Subject::Slo(_) | Subject::Manual(_) => None,
                };
                let silenced = || self.alert.silences.hold(&book, subject, standing.about.check, now);
                inputs.push(Input::Hold(held.or_else(silenced)));
            }
            inputs.push(input);
            if manual && matches!(input, Input::Resolve { .. }) {
                // No evidence says so of what a person opened: the person does.
                inputs.push(Input::Condition(Condition::Good));
            }
            look.handle(standing, &inputs, author).map_err(|refusal| refused(id, refusal))?;
            look.changes
        };
        self.commit(changes, now)?;
        self.alert.hurry();
        Ok(())
    }

    /// Does what a person asks to an incident.
    ///
    /// # Errors
    /// When there is no such incident, its state does not allow it, what is written does not fit, or it cannot be stored.
    pub fn act_on(&mut self, id: &IncidentId, act: &Act, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let who = |by: &Option<String>| match by {
            Some(by) => line("a name", by, NAME_BYTES_MAX),
            None => Ok(author.to_owned()),
        };
        match act {
            Act::Acknowledge { by } => self.act(id, Input::Acknowledge { by: &who(by)? }, author, now),
            Act::Resolve { by } => self.act(id, Input::Resolve { by: &who(by)? }, author, now),
            Act::Reopen { by } => self.act(id, Input::Reopen { by: &who(by)? }, author, now),
            Act::Comment { text } => {
                let text = prose("a comment", text, COMMENT_BYTES_MAX)?;
                self.write_about(id, author, now, |_| Record::Comment { text })
            }
            Act::PublicNote { text } => {
                let text = prose("a note", text, PUBLIC_NOTE_BYTES_MAX)?;
                self.write_about(id, author, now, |about| {
                    about.public_notes += 1;
                    Record::PublicNote { text }
                })
            }
            Act::Assign { to } => {
                let to = to.as_deref().map(|to| line("a name", to, NAME_BYTES_MAX)).transpose()?;
                self.write_about(id, author, now, |about| {
                    about.assignee.clone_from(&to);
                    Record::Assigned { to }
                })
            }
            Act::PostMortem { text } => {
                let text = prose("a post-mortem", text, POST_MORTEM_BYTES_MAX)?;
                self.write_about(id, author, now, |about| {
                    about.post_mortem = Some(text.clone());
                    Record::PostMortem { text }
                })
            }
        }
    }

    /// Opens an incident that nothing measured tells of.
    ///
    /// # Errors
    /// When what is written does not fit, the check is not there, or it cannot be stored.
    pub fn open_manual(&mut self, manual: &Manual, author: &str, now: UtcMicros) -> Result<IncidentId, AppError> {
        let shared = Arc::clone(&self.shared);
        let title = line("a title", &manual.title, TITLE_BYTES_MAX)?;
        let (changes, id) = {
            let book = shared.book();
            let check = manual.check.as_ref().map(|id| {
                let found = book.check_by_id(id).filter(|check| !check.retired());
                found.ok_or_else(|| AppError::NotFound(format!("no check {id}: see `sitepulse-collector checks`")))
            });
            let check = check.transpose()?;
            let class = check.map_or(CheckClass::Standard, |check| check.newest().labels.class);
            let severity = manual.severity.unwrap_or(class.severity(IncidentKind::Manual));
            let mut look = Look { book: &book, desk: &self.alert, now, changes: Changes::default() };
            // Not known before: the title stands for it.
            let named = Subject::Manual(IncidentId(title.clone()));
            let id = self.alert.free_id(&look.changes, &named, IncidentKind::Manual, now);
            let subject = Subject::Manual(id.clone());
            let about = About { title: Some(title), check: check.map(|check| check.number.0), ..About::default() };
            let hold = self.alert.silences.hold(&book, &subject, about.check, now);
            let incident =
                Incident::suspected(id.clone(), subject, IncidentKind::Manual, severity, now, Vec::new(), now);
            let standing = Standing { bucket: Bucket::of(&id.0), incident, about, entries: 0 };
            let inputs = [Input::Hold(hold), Input::Condition(Condition::Bad { since: now, severity })];
            look.handle(standing, &inputs, author).map_err(|refusal| refused(&id, refusal))?;
            (look.changes, id)
        };
        self.commit(changes, now)?;
        self.alert.hurry();
        Ok(id)
    }

    /// Takes a message back that waits: it is not sent.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn cancel_message(&mut self, key: &DeliveryKey, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let DeliveryKey { incident, step, channel, .. } = key;
        let done = ToMessage::Cancel(key.clone());
        self.write_with(incident, author, now, Some(done), |about| {
            // Quiet hours hold it back no more.
            about.held.retain(|of, held| of != channel || held.step != *step);
            Record::MessageCancelled { step: *step, channel: channel.clone() }
        })
    }

    /// Takes a message up again that was taken back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn take_message_up(&mut self, key: &DeliveryKey, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let DeliveryKey { incident, step, channel, .. } = key;
        let record = Record::MessageTakenUp { step: *step, channel: channel.clone() };
        self.write_with(incident, author, now, Some(ToMessage::TakeUp(key.clone())), |_| record)
    }

    /// Changes what people added to an incident, with a row of its history.
    fn write_about(
        &mut self,
        id: &IncidentId,
        author: &str,
        now: UtcMicros,
        change: impl FnOnce(&mut About) -> Record,
    ) -> Result<(), AppError> {
        self.write_with(id, author, now, None, change)
    }

    /// [`Self::write_about`], with what is done to a message in the same transaction.
    fn write_with(
        &mut self,
        id: &IncidentId,
        author: &str,
        now: UtcMicros,
        by_hand: Option<ToMessage>,
        change: impl FnOnce(&mut About) -> Record,
    ) -> Result<(), AppError> {
        let (mut standing, past) = self.find(id)?;
        if standing.incident.life.opened_at.is_none() {
            return Err(refused(id, Refusal::Suspected));
        }
        if standing.entries >= ENTRIES_MAX {
            return Err(AppError::Conflict(format!("incident {id} has {ENTRIES_MAX} entries: no more are kept")));
        }
        let record = change(&mut standing.about);
        standing.entries += 1;
        let mut changes = Changes { by_hand, ..Changes::default() };
        changes.entries.push((id.clone(), standing.entries, author.to_owned(), record));
        if past {
            changes.filed.insert(id.clone());
        }
        changes.set.insert(id.clone(), standing);
        self.commit(changes, now)?;
        Ok(())
    }

    /// An incident, and whether it is past.
    fn find(&self, id: &IncidentId) -> Result<(Standing, bool), AppError> {
        if let Some(standing) = self.alert.standing.get(id) {
            return Ok((standing.clone(), false));
        }
        let found = stored::one(self.store.read(), id)?;
        found.map(|standing| (standing, true)).ok_or_else(|| {
            AppError::NotFound(format!("no incident {id}: `sitepulse-collector incidents --all` lists what there is"))
        })
    }
}

fn refused(id: &IncidentId, refusal: Refusal) -> AppError {
    AppError::Conflict(format!("incident {id}: {refusal}"))
}
