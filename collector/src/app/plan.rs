//! What applying definitions would change.

use sitepulse_model::id::{CheckId, CheckNo, Revision};

/// What applying did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One item per check concerned, by id.
    pub items: Vec<PlanItem>,
    /// Whether it was carried out: false for a dry run.
    pub applied: bool,
}

/// What happens to one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanItem {
    /// The check's id.
    pub id: CheckId,
    /// The check's number; `None` for a check that a dry run would create.
    pub number: Option<CheckNo>,
    /// What happens.
    pub step: PlanStep,
}

/// A kind of change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStep {
    /// A new check, or a retired one that comes back.
    Create,
    /// A new revision.
    Change {
        /// The revision it becomes.
        revision: Revision,
        /// What differs, in the definition's order.
        fields: Vec<FieldDiff>,
    },
    /// Nothing differs: no revision is made.
    Unchanged,
    /// The check ends: it is not among the definitions and `prune` was asked for.
    Retire,
}

/// One field's old and new value, as people write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDiff {
    /// The field's name in a check file.
    pub field: &'static str,
    /// The value before.
    pub old: String,
    /// The value after.
    pub new: String,
}
