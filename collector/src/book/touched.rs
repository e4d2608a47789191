//! What changed since somebody looked: counters beside the book's contents, so that what is derived from them is derived again only where it must.
//!
//! Every verb that changes what a check shows counts: of one pair's evidence, of the check itself (its definition, suspensions that name it, amendments,
//! screenshots), or of all checks at once (agents, an agent's suspensions and weights, maintenance windows). Counters only grow and tell nothing of when: passing time
//! changes what a check shows as well, without any of them.

use std::collections::BTreeMap;

use sitepulse_model::control::Scope;
use sitepulse_model::id::{AgentNo, CheckNo};

use super::{Book, ObjectKind};

/// The changes of one check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Of its own and of its pairs.
    pub(crate) any: u64,
    /// Of its own.
    pub(crate) own: u64,
    /// Of what each agent found.
    pub(crate) pairs: BTreeMap<AgentNo, u64>,
}

impl Touched {
    pub(super) fn own(&mut self) {
        self.any += 1;
        self.own += 1;
    }

    pub(super) fn pair(&mut self, agent: AgentNo) {
        self.any += 1;
        *self.pairs.entry(agent).or_default() += 1;
    }
}

impl Book {
    /// Counts the changes of what may concern every check.
    pub(crate) fn touched_all(&self) -> u64 {
        self.touched_all
    }

    pub(super) fn touch_all(&mut self) {
        self.touched_all += 1;
    }

    pub(super) fn touch(&mut self, check: CheckNo) {
        if let Some(check) = self.checks.get_mut(&check) {
            check.touched.own();
        }
    }

    /// For a control event.
    pub(super) fn touch_scope(&mut self, scope: Scope) {
        match scope {
            Scope::Agent(_) => self.touch_all(),
            Scope::AgentCheck(_, check) | Scope::Check(check) => self.touch(check),
        }
    }

    /// For an object as code: windows cover checks by what these are called.
    pub(super) fn touch_for(&mut self, kind: ObjectKind) {
        if kind == ObjectKind::Maintenance {
            self.touch_all();
        }
    }
}
