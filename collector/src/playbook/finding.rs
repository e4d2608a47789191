//! What a run needs to know of a finding.

use sitepulse_model::insight::{Kind, Subject};

use crate::insight::FindingId;
use crate::insight::life::State;
use crate::store::{StoreError, Tables, findings};

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

/// The finding of an id. Of one that several checks share the check is the first that it counts for.
pub(crate) fn find(tables: Tables<'_>, id: &str) -> Result<Option<Finding>, StoreError> {
    let Some(standing) = findings::one(tables, &FindingId(id.to_owned()))? else { return Ok(None) };
    let (mut check, mut agent, mut slo) = (standing.checks.first().cloned(), None, None);
    match standing.found.subject {
        Subject::Check { check: id, .. } => check = Some(id),
        Subject::Agent { agent: name } => agent = Some(name),
        Subject::Objective { slo: id } => slo = Some(id),
        Subject::Shared { .. } => {}
    }
    let closed = standing.life.state == State::Closed;
    Ok(Some(Finding { kind: standing.found.kind, check, agent, slo, closed }))
}
