//! Playbooks and their runs. What a playbook is and how a run lives is the model's ([`sitepulse_model::playbook`]); this finds those that fit, fills in the
//! real names, keeps the runs, and ticks what the evidence shows.
//!
//! - [`facts`] is what is known of what a run is about: names to fill in, and the facts that tick steps.
//! - [`acts`] are what people do, on the writer's thread: each act is one transaction, and memory follows the disk.
//! - [`task`] looks each second at the runs under way, and at nothing where there is none.
//!
//! A run remembers the steps as they were when it began: who edits a playbook changes no run.
//!
//! Architecture invariant: the collector runs no command of a playbook.

pub mod acts;
pub mod facts;
pub mod finding;
pub mod task;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use sitepulse_model::playbook::run::Run;
use sitepulse_model::playbook::{Playbook, library};
use sitepulse_model::time::UtcMicros;

use crate::book::Objects;

/// Most runs under way at a time.
pub const RUNNING_MAX: usize = 1_000;

/// The playbooks that are there without anybody writing them.
pub fn built_in() -> &'static [Playbook] {
    static ALL: LazyLock<Vec<Playbook>> = LazyLock::new(library::all);
    &ALL
}

/// A playbook that may be run, with its version.
#[derive(Debug, Clone)]
pub struct Offered {
    /// What it says.
    pub body: Playbook,
    /// `built-in`, or the number of its version as code.
    pub version: String,
    /// Whether it is there without anybody writing it.
    pub built_in: bool,
}

impl Offered {
    fn own(version: u32, body: &Playbook) -> Self {
        Self { body: body.clone(), version: version.to_string(), built_in: false }
    }

    fn made(body: &Playbook) -> Self {
        Self { body: body.clone(), version: library::VERSION.to_owned(), built_in: true }
    }
}

/// Every playbook, own ones first, each by its id. An own one stands in the place of a built-in one of the same id.
pub fn all(objects: &Objects) -> Vec<Offered> {
    let own = objects.playbooks.living().map(|(_, revised)| Offered::own(revised.version, &revised.body));
    let free = |book: &&Playbook| objects.playbooks.current(&book.id).is_none();
    own.chain(built_in().iter().filter(free).map(Offered::made)).collect()
}

/// The playbook of an id.
pub fn one(objects: &Objects, id: &str) -> Option<Offered> {
    let own = objects.playbooks.current(id).map(|revised| Offered::own(revised.version, &revised.body));
    own.or_else(|| built_in().iter().find(|book| book.id == id).map(Offered::made))
}

/// The team of who started a run, as of then: who changes teams changes no past. `None` of who was in none, and of what is no user (the command line, a token).
pub fn team_of(objects: &Objects, started_by: &str, at: UtcMicros) -> Option<String> {
    let user = started_by.strip_prefix("collector:")?;
    objects.users.at(user, at)?.body.team.clone()
}

/// The runs under way, in memory: a copy of what is durable, kept by the writer. Shared with readers.
#[derive(Debug, Default)]
pub struct Desk {
    /// `None` before they were read for the first time.
    running: Mutex<Option<BTreeMap<String, Run>>>,
    changes: AtomicU64,
}

impl Desk {
    /// How often something of some run changed, since the start of the process.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Whether there may be something to look at.
    pub fn is_idle(&self) -> bool {
        self.lock().as_ref().is_some_and(BTreeMap::is_empty)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<BTreeMap<String, Run>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
