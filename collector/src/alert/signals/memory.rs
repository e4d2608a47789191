//! What the last looks found, and when to look again. A cache: without it everything is looked at.

use std::collections::{BTreeSet, HashMap};

use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::{IncidentKind, Subject};
use sitepulse_model::time::UtcMicros;

use super::{agents, kin};
use crate::book::Book;

/// What the last look at a check found.
#[derive(Debug, Clone)]
struct Known {
    /// When to look again.
    next: UtcMicros,
    /// Its live voters.
    live: Vec<AgentNo>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Memory {
    checks: HashMap<CheckNo, Known>,
    /// The same checks by when to look again.
    ahead: BTreeSet<(UtcMicros, CheckNo)>,
    /// The checks that hang on a check, however far down.
    behind: HashMap<CheckNo, Vec<CheckNo>>,
    /// What was looked at since everything that was due was, of what others hang on.
    seen: BTreeSet<CheckNo>,
    /// What the look under way looked at, or the last one.
    pub(super) looked: Vec<CheckNo>,
    /// Since when what has an open incident is fine.
    pub(super) fine: HashMap<(Subject, IncidentKind), UtcMicros>,
    pub(super) silence: agents::Silence,
}

impl Memory {
    /// Forgets what checks said, and finds out anew what hangs on what.
    pub(super) fn forget(&mut self, book: &Book) {
        self.checks.clear();
        self.ahead.clear();
        self.seen.clear();
        self.behind.clear();
        for child in book.checks() {
            for parent in kin::ancestors(book, child) {
                self.behind.entry(parent).or_default().push(child.number);
            }
        }
    }

    /// A check was looked at, and is to be again at `next` at the latest.
    pub(super) fn note(&mut self, check: CheckNo, next: UtcMicros, live: Vec<AgentNo>) {
        if let Some(before) = self.checks.insert(check, Known { next, live }) {
            self.ahead.remove(&(before.next, check));
        }
        self.ahead.insert((next, check));
        self.looked.push(check);
        if self.behind.contains_key(&check) {
            self.seen.insert(check);
        }
    }

    /// A check ended.
    pub(super) fn drop(&mut self, check: CheckNo) {
        if let Some(before) = self.checks.remove(&check) {
            self.ahead.remove(&(before.next, check));
        }
    }

    /// The checks whose time has come.
    pub(super) fn due(&self, now: UtcMicros) -> impl Iterator<Item = CheckNo> {
        self.ahead.iter().take_while(move |(next, _)| *next <= now).map(|(_, check)| *check)
    }

    /// The checks that hang on one of `looked`, or on one that was looked at since this was asked last.
    pub(super) fn behind(&mut self, looked: &BTreeSet<CheckNo>) -> BTreeSet<CheckNo> {
        let mut parents = std::mem::take(&mut self.seen);
        parents.extend(looked.iter().filter(|check| self.behind.contains_key(check)));
        parents.iter().filter_map(|parent| self.behind.get(parent)).flatten().copied().collect()
    }

    /// The live voters of a check when it was looked at last.
    pub(super) fn live(&self, check: CheckNo) -> &[AgentNo] {
        self.checks.get(&check).map_or(&[], |known| &known.live)
    }
}
