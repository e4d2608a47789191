//! When each incident has something to do though nothing is said of it: a step of its ladder, the end of an acknowledgement or of flapping, the instant at which it is past.
//!
//! A queue over what the incidents themselves say, so that a second costs what is due in it, however many incidents are open. It holds nothing of its own: from the
//! incidents and the policies in force it is made anew after a start, and whenever those policies may be others.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::incident::IncidentId;
use sitepulse_model::time::UtcMicros;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_instant: BTreeSet<(UtcMicros, IncidentId)>,
    of: BTreeMap<IncidentId, UtcMicros>,
}

impl Timers {
    /// An incident has something to do then; `None`: not by itself.
    pub(super) fn set(&mut self, id: &IncidentId, due: Option<UtcMicros>) {
        if self.of.get(id).copied() == due {
            return;
        }
        if let Some(before) = self.of.remove(id) {
            self.by_instant.remove(&(before, id.clone()));
        }
        if let Some(due) = due {
            self.of.insert(id.clone(), due);
            self.by_instant.insert((due, id.clone()));
        }
    }

    /// The incidents that have something to do by now.
    pub(super) fn due(&self, now: UtcMicros) -> BTreeSet<IncidentId> {
        self.by_instant.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_incident_waits_for_one_instant_and_is_due_until_that_is_another() {
        let (a, b) = (IncidentId("a".into()), IncidentId("b".into()));
        let mut timers = Timers::default();
        timers.set(&a, Some(UtcMicros(10)));
        timers.set(&b, Some(UtcMicros(20)));
        assert_eq!(timers.due(UtcMicros(9)), [].into());
        assert_eq!(timers.due(UtcMicros(10)), [a.clone()].into());
        assert_eq!(timers.due(UtcMicros(20)), [a.clone(), b.clone()].into());
        timers.set(&a, Some(UtcMicros(30)));
        assert_eq!(timers.due(UtcMicros(20)), [b.clone()].into());
        timers.set(&b, None);
        timers.set(&b, None);
        assert_eq!(timers.due(UtcMicros(30)), [a].into());
    }
}
