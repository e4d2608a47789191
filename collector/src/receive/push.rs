//! What an agent must be told without asking: its assignment and the control events about it.
//!
//! Every event is sent once per connection, old ones too: an agent that lost its state gets its history back. The agent knows by
//! the event's id what it has already.

use std::collections::BTreeSet;

use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::EventId;
use sitepulse_wire::message::{ASSIGNMENT_PART_MAX, AssignmentPart, EVENTS_MAX, ToAgent};

use crate::book::{Agent, Book, concerns};

/// About how many bytes of definitions go into one part: well below a frame's limit.
const PART_BYTES_MAX: usize = 256 * 1024;
/// More than a definition takes without its texts.
const CHECK_BYTES: usize = 200;

/// What was told, and what waits to be.
#[derive(Debug)]
pub(super) struct Push {
    assignment_revision: u64,
    told: BTreeSet<EventId>,
    waiting: Vec<ToAgent>,
}

impl Push {
    /// For an agent that holds this revision of its assignment.
    pub(super) fn new(assignment_revision: u64) -> Self {
        Self { assignment_revision, told: BTreeSet::new(), waiting: Vec::new() }
    }

    /// The revision that the agent holds once it has what was told.
    pub(super) fn assignment_revision(&self) -> u64 {
        self.assignment_revision
    }

    /// The agent gave these events itself: it needs no telling.
    pub(super) fn heard<'a>(&mut self, ids: impl Iterator<Item = &'a EventId>) {
        self.told.extend(ids.cloned());
    }

    /// Finds out what the agent does not know yet.
    pub(super) fn update(&mut self, agent: &Agent, book: &Book) {
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
