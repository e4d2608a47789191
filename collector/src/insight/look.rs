//! One look: what was looked at, which detectors could tell, and what they found.

use std::collections::BTreeSet;

use sitepulse_model::id::Bucket;
use sitepulse_model::insight::found::Found;
use sitepulse_model::insight::{Kind, Subject};
use sitepulse_model::time::UtcMicros;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A check, by id.
    Check(String),
    /// An objective, by id.
    Objective(String),
    /// An agent, by name.
    Agent(String),
    /// All checks together: what they share.
    Together,
}

impl Target {
    /// As the store calls it: `check:shop`.
    pub fn key(&self) -> String {
        match self {
            Self::Check(id) => format!("check:{id}"),
            Self::Objective(id) => format!("slo:{id}"),
            Self::Agent(name) => format!("agent:{name}"),
            Self::Together => "together".to_owned(),
        }
    }

    /// The target of a key of the store.
    pub fn of_key(key: &str) -> Option<Self> {
        match key.split_once(':') {
            Some(("check", id)) => Some(Self::Check(id.to_owned())),
            Some(("slo", id)) => Some(Self::Objective(id.to_owned())),
            Some(("agent", name)) => Some(Self::Agent(name.to_owned())),
            _ => (key == "together").then_some(Self::Together),
        }
    }

    /// The target that a finding's subject is looked at as.
    pub fn of_subject(subject: &Subject) -> Self {
        match subject {
            Subject::Check { check, .. } => Self::Check(check.clone()),
            Subject::Objective { slo } => Self::Objective(slo.clone()),
            Subject::Agent { agent } => Self::Agent(agent.clone()),
            Subject::Shared { .. } => Self::Together,
        }
    }

    /// The bucket of everything about it.
    pub fn bucket(&self) -> Bucket {
        match self {
            Self::Check(name) | Self::Objective(name) | Self::Agent(name) => Bucket::of(name),
            Self::Together => Bucket(0),
        }
    }
}

/// Something that a look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// What.
    pub finding: Found,
    /// The ids of the checks that it counts for.
    pub checks: BTreeSet<String>,
}

/// What a look came to.
#[derive(Debug, Clone)]
pub struct Look {
    /// What was looked at.
    pub target: Target,
    /// The kinds that could be told: what of them was not found is not there. A detector whose evidence could not be read says nothing.
    pub kinds: BTreeSet<Kind>,
    /// Whether all detectors of the target looked, not only those that need no store.
    pub full: bool,
    /// Whether it is there no more: all of its findings end.
    pub gone: bool,
    /// What was found.
    pub hits: Vec<Hit>,
    /// When the certificate ends that was seen, of a check that shows one: those that follow each other tell how long they live.
    pub certificate_ends: Option<UtcMicros>,
}

impl Look {
    /// One that has not looked yet.
    pub fn new(target: Target) -> Self {
        Self { target, kinds: BTreeSet::new(), full: false, gone: false, hits: Vec::new(), certificate_ends: None }
    }

    /// Of what is there no more.
    pub fn gone(target: Target) -> Self {
        Self { kinds: Kind::ALL.into(), full: true, gone: true, ..Self::new(target) }
    }

    /// Whether the look would have found a finding that is there.
    pub fn answers_for(&self, kind: Kind, subject: &Subject) -> bool {
        self.kinds.contains(&kind) && Target::of_subject(subject) == self.target
    }
}
