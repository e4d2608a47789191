//! What is written as code beside checks, with its history: accounting policies, service level objectives, maintenance windows.
//!
//! A change makes a new version that applies from its own instant on; old versions stay, so that an old report can be made again.

use std::collections::BTreeMap;

use sitepulse_model::accounting::AccountingPolicy;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::slo::Slo;
use sitepulse_model::time::UtcMicros;

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised<T> {
    /// Counts from 1.
    pub version: u32,
    /// Applies from here on; later than the version's before.
    pub effective_from: UtcMicros,
    /// Whether the object ends here (the body is then the last one's).
    pub retired: bool,
    /// Who applied it: `collector:cli`, `collector:USER`.
    pub author: String,
    /// What it says.
    pub body: T,
}

/// The histories of all objects of one kind, by id.
#[derive(Debug, Clone)]
pub struct Histories<T> {
    by_id: BTreeMap<String, Vec<Revised<T>>>,
}

impl<T> Default for Histories<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new() }
    }
}

impl<T> Histories<T> {
    /// Adds the next version of an object.
    pub fn push(&mut self, id: &str, revised: Revised<T>) {
        self.by_id.entry(id.to_owned()).or_default().push(revised);
    }

    /// Every object with its versions, oldest first, by id; ended ones too.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Revised<T>])> {
        self.by_id.iter().map(|(id, versions)| (id.as_str(), versions.as_slice()))
    }

    /// The versions of an object, oldest first; none of an unknown one.
    pub fn versions(&self, id: &str) -> &[Revised<T>] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    /// A version of an object.
    pub fn version(&self, id: &str, version: u32) -> Option<&Revised<T>> {
        self.versions(id).iter().find(|revised| revised.version == version)
    }

    /// The version that applied at an instant; `None` before the first and after the end.
    pub fn at(&self, id: &str, at: UtcMicros) -> Option<&Revised<T>> {
        self.versions(id).iter().rev().find(|revised| revised.effective_from <= at).filter(|revised| !revised.retired)
    }

    /// The version that applies now; `None` of an ended object.
    pub fn current(&self, id: &str) -> Option<&Revised<T>> {
        self.versions(id).last().filter(|revised| !revised.retired)
    }
}

/// All objects.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// How time counts.
    pub policies: Histories<AccountingPolicy>,
    /// What was promised.
    pub slos: Histories<Slo>,
    /// When work is planned.
    pub windows: Histories<MaintenanceWindow>,
}
