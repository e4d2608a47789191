//! What an agent must be told without asking: its secrets, its assignment and the control events about it.
//!
//! Secrets go out before the assignment that refers to them: after every welcome, and whenever the set or a value changes. They are
//! exactly those that its checks refer to, unsealed here and nowhere else; among them travels the order to page when the collector stays away.
//!
//! Every event is sent once per connection, old ones too: an agent that lost its state gets its history back. The agent knows by
//! the event's id what it has already.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::EventId;
use sitepulse_model::id::fnv1a;
use sitepulse_model::pager::SECRET;
use sitepulse_wire::message::{ASSIGNMENT_PART_MAX, AssignmentPart, EVENTS_MAX, SECRETS_MAX, SecretsPart, ToAgent};

use super::pager;
use crate::book::{Agent, Book, concerns};

/// About how many bytes of definitions go into one part: well below a frame's limit.
const PART_BYTES_MAX: usize = 256 * 1024;
/// More than a definition takes without its texts.
const CHECK_BYTES: usize = 200;

/// What was told, and what waits to be.
#[derive(Debug)]
pub(super) struct Push {
    assignment_revision: u64,
    /// Which value of which secret the agent has; `None` before it was told of any.
    secrets: Option<BTreeMap<String, u64>>,
    told: BTreeSet<EventId>,
    waiting: Vec<ToAgent>,
}

impl Push {
    /// For an agent that holds this revision of its assignment.
    pub(super) fn new(assignment_revision: u64) -> Self {
        Self { assignment_revision, secrets: None, told: BTreeSet::new(), waiting: Vec::new() }
    }

    /// The revision that the agent holds once it has what was told.
    pub(super) fn assignment_revision(&self) -> u64 {
        self.assignment_revision
    }

    /// The agent gave these events itself: it needs no telling.
    pub(super) fn heard<'a>(&mut self, ids: impl Iterator<Item = &'a EventId>) {
        self.told.extend(ids.cloned());
    }

    /// Finds out what the agent does not know yet. `collector` names this one, the same to all its agents.
    pub(super) fn update(&mut self, agent: &Agent, book: &Book, collector: &str) {
        let stamp = |name: String| book.vault().stamp(&name).map(|stamp| (name, stamp));
        let mut secrets: BTreeMap<String, u64> = book.secrets_in(&agent.region).into_iter().filter_map(stamp).collect();
        let order = pager::order(book, agent, collector);
        secrets.extend(order.as_ref().map(|order| (SECRET.to_owned(), fnv1a(order.as_bytes()))));
        if self.secrets.as_ref() != Some(&secrets) {
            self.waiting.extend(secret_parts(book, secrets.keys(), order).into_iter().map(ToAgent::Secrets));
            self.secrets = Some(secrets);
        }
        if book.assignment_revision(&agent.region) != self.assignment_revision {
            let (revision, checks) = book.assignment(&agent.region);
            self.assignment_revision = revision;
            let parts = parts(checks);
            let count = u32::try_from(parts.len()).expect("check numbers are 32 bits");
            for (part, checks) in (0_u32..).zip(parts) {
                self.waiting.push(ToAgent::Assignment(AssignmentPart { revision, part, parts: count, checks }));
            }
        }
        let untold = |id: &EventId, scope| concerns(scope, agent.number) && !self.told.contains(id);
        let new: Vec<_> = book.control().events_where(untold).collect();
        self.told.extend(new.iter().map(|event| event.id.clone()));
        self.waiting.extend(new.chunks(EVENTS_MAX).map(|events| ToAgent::Control(events.to_vec())));
    }

    /// The messages that wait, in order.
    pub(super) fn take(&mut self) -> Vec<ToAgent> {
        std::mem::take(&mut self.waiting)
    }
}

/// Unseals secrets into parts that fit a frame. None at all is one part too: the agent forgets what it had.
fn secret_parts<'a>(book: &Book, names: impl Iterator<Item = &'a String>, order: Option<String>) -> Vec<SecretsPart> {
    let values = names.filter_map(|name| Some((name.clone(), book.vault().value(name)?)));
    let values: Vec<(String, String)> = values.chain(order.map(|order| (SECRET.to_owned(), order))).collect();
    let mut chunks: Vec<Vec<(String, String)>> = values.chunks(SECRETS_MAX).map(<[_]>::to_vec).collect();
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let parts = u32::try_from(chunks.len()).expect("secrets are bounded");
    (0_u32..).zip(chunks).map(|(part, secrets)| SecretsPart { part, parts, secrets }).collect()
}

/// Cuts an assignment into parts that fit a frame. An empty one is one part too.
fn parts(checks: Vec<AssignedCheck>) -> Vec<Vec<AssignedCheck>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for check in checks {
        let definition = &check.definition;
        let regions: usize = definition.regions.iter().flatten().map(|region| region.as_str().len() + 2).sum();
        let expect: usize = definition.expect.iter().map(|expectation| expectation.source().len() + 2).sum();
        let size = CHECK_BYTES + definition.kind.target_json().len() + regions + expect;
        let part = parts.last_mut().expect("there is a part from the start");
        if part.len() >= ASSIGNMENT_PART_MAX || bytes + size > PART_BYTES_MAX {
            parts.push(vec![check]);
            bytes = size;
        } else {
            part.push(check);
            bytes += size;
        }
    }
    parts
}
