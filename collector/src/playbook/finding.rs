//! What a run needs to know of a finding.

use sitepulse_model::insight::Kind;

use crate::store::{StoreError, Tables};

/// A finding, as far as playbooks ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub kind: Kind,
    /// The check it is about.
    pub check: Option<String>,
    /// The agent it is about.
    pub agent: Option<String>,
    /// The objective it is about.
    pub slo: Option<String>,
    /// Whether it is over.
    pub closed: bool,
}

/// The finding of an id.
pub(crate) fn find(_: Tables<'_>, _: &str) -> Result<Option<Finding>, StoreError> {
    Ok(None)
}
