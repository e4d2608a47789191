//! Whether an incident's history is as it was written.
//!
//! Each entry's hash covers the one before, so a changed, missing or added entry breaks the chain from there on. What the chain alone cannot show is an end that
//! was cut off, or a chain that somebody made anew: against the first the incident's own row must agree with its history, against both the newest hash, noted
//! elsewhere ([`StoredEntry::hash`]).

use sitepulse_model::incident::IncidentState;
use sitepulse_model::incident::machine::Entry;

use super::{Record, Standing, StoredEntry};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// The first entry that is not as it was written, or that is missing.
    pub broken_at: Option<u64>,
    /// What is wrong; `None`: nothing.
    pub fault: Option<String>,
}

/// Looks an incident's history through: all of its entries, the oldest first.
pub fn of(standing: &Standing, entries: &[StoredEntry]) -> Integrity {
    if let Some((at, entry)) = entries.iter().enumerate().find(|(_, entry)| !entry.intact) {
        let expected = at as u64 + 1;
        let fault = if entry.number == expected {
            format!(
                "entry {expected} or the one before it is not as it was written: nothing from there on is vouched for"
            )
        } else {
            format!("entry {expected} is missing: nothing from there on is vouched for")
        };
        return Integrity { broken_at: Some(expected), fault: Some(fault) };
    }
    let life = &standing.incident.life;
    let end = entries.len() as u64;
    let told = state_told(entries);
    if told != life.state {
        let fault = format!(
            "the incident says {}, its {end} entries come to {told}: the end of the history is missing, or the incident was changed",
            life.state
        );
        return Integrity { broken_at: Some(end + 1), fault: Some(fault) };
    }
    let steps = entries.iter().filter_map(|entry| match &entry.record {
        Some(Record::Step { step, .. }) => Some(*step),
        Some(
            Record::Life(_)
            | Record::LetThrough { .. }
            | Record::MessageCancelled { .. }
            | Record::MessageTakenUp { .. }
            | Record::Comment { .. }
            | Record::PublicNote { .. }
            | Record::Assigned { .. }
            | Record::PostMortem { .. }
            | Record::Evidence(_),
        )
        | None => None,
    });
    let steps = steps.max().unwrap_or(0);
    if steps != life.step {
        let fault = format!(
            "the incident counts {} steps, its {end} entries tell of {steps}: the end of the history is missing, or the incident was changed",
            life.step
        );
        return Integrity { broken_at: Some(end + 1), fault: Some(fault) };
    }
    Integrity { broken_at: None, fault: None }
}

/// The state that a history comes to.
fn state_told(entries: &[StoredEntry]) -> IncidentState {
    let mut turns = entries.iter().filter_map(|entry| match &entry.record {
        Some(Record::Life(life)) => match life {
            Entry::Opened { .. } | Entry::Reopened { .. } | Entry::AcknowledgementExpired => Some(IncidentState::Open),
            Entry::Acknowledged { .. } => Some(IncidentState::Acknowledged),
            Entry::Resolved { .. } => Some(IncidentState::Resolved),
            Entry::Severity { .. } | Entry::Flapping | Entry::Settled | Entry::Held { .. } | Entry::Released => None,
        },
        Some(
            Record::Step { .. }
            | Record::LetThrough { .. }
            | Record::MessageCancelled { .. }
            | Record::MessageTakenUp { .. }
            | Record::Comment { .. }
            | Record::PublicNote { .. }
            | Record::Assigned { .. }
            | Record::PostMortem { .. }
            | Record::Evidence(_),
        )
        | None => None,
    });
    turns.next_back().unwrap_or(IncidentState::Suspected)
}
