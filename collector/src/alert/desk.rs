//! What the desk knows between two looks: every incident that is not past, what is to be looked at, and when.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::id::{AgentNo, CheckNo, fnv1a_of};
use sitepulse_model::incident::machine::{FLAP_WINDOW_US, REOPEN_WINDOW_US};
use sitepulse_model::incident::{IncidentId, IncidentKind, IncidentState, Subject};
use sitepulse_model::record;
use sitepulse_model::time::UtcMicros;

use super::changes::Changes;
use super::{SWEEP_US, Standing, grace, link, short, signals, silence, timers};

/// What the desk knows between two looks.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Every incident that is not past.
    pub(super) standing: BTreeMap<IncidentId, Standing>,
    pub(super) by_key: BTreeMap<(Subject, IncidentKind), IncidentId>,
    /// Checks that live results came in for since the last look, perhaps several times.
    pub(super) arrived: Vec<CheckNo>,
    /// Checks to look at, those among them.
    pub(super) touched: BTreeSet<CheckNo>,
    /// Checks whose incidents are others than they were: they are looked at when all that is due is.
    pub(super) turned: BTreeSet<CheckNo>,
    /// When incidents have something to do by themselves.
    pub(super) timers: timers::Timers,
    /// Everything is to be looked at, whatever was found before.
    pub(super) all: bool,
    /// The book's version by which everything was looked at.
    pub(super) version: Option<u64>,
    /// What is needed to tell the present from the past.
    pub(crate) present: signals::Present,
    /// The silences that are not over.
    pub(crate) silences: silence::Silences,
    pub(super) sweep_due: Option<UtcMicros>,
    /// When everything was looked at last.
    pub(super) looked: Option<UtcMicros>,
    pub(super) not_before: Option<UtcMicros>,
    /// Whether steps wait for agents to be heard.
    pub(super) grace: grace::Grace,
    /// Nothing is looked at: no server runs.
    pub(crate) still: bool,
    /// Makes the links in messages.
    pub(crate) links: link::Links,
}

impl Desk {
    /// The desk of a store. The agents have until `signals` says so to come back after a start.
    pub(crate) fn restore(
        standing: Vec<Standing>,
        silences: silence::Silences,
        links: link::Links,
        now: UtcMicros,
    ) -> Self {
        let present = signals::Present::starting(now);
        let mut desk = Self { present, silences, links, all: true, ..Self::default() };
        for one in standing {
            desk.put(one);
        }
        desk
    }

    /// How far back ended incidents matter.
    pub(crate) const fn looks_back_us() -> i64 {
        if FLAP_WINDOW_US > REOPEN_WINDOW_US { FLAP_WINDOW_US } else { REOPEN_WINDOW_US }
    }

    pub(super) fn put(&mut self, standing: Standing) {
        let incident = &standing.incident;
        let key = (incident.subject.clone(), incident.kind);
        let holder = self.by_key.get(&key).filter(|id| **id != incident.id).and_then(|id| self.standing.get(id));
        // One that is over gives way to one that is not, or that is newer: people write about it still.
        let yields = incident.life.state == IncidentState::Resolved
            && holder.is_some_and(|other| {
                let other = &other.incident.life;
                other.state != IncidentState::Resolved || other.suspected_at > incident.life.suspected_at
            });
        if !yields {
            self.by_key.insert(key, incident.id.clone());
        }
        self.turn(&incident.subject.clone());
        self.standing.insert(standing.incident.id.clone(), standing);
    }

    fn turn(&mut self, subject: &Subject) {
        if let Subject::Check(check) = subject {
            self.turned.insert(*check);
        }
    }

    pub(super) fn take_out(&mut self, id: &IncidentId) {
        self.timers.set(id, None);
        if let Some(gone) = self.standing.remove(id) {
            self.turn(&gone.incident.subject);
            let key = (gone.incident.subject, gone.incident.kind);
            if self.by_key.get(&key) == Some(id) {
                // The one before it, if that is not past: it may open again, and its edges count.
                let same = |one: &&Standing| one.incident.subject == key.0 && one.incident.kind == key.1;
                let before = self.standing.values().filter(same).max_by_key(|one| one.incident.life.suspected_at);
                match before.map(|before| before.incident.id.clone()) {
                    Some(before) => drop(self.by_key.insert(key, before)),
                    None => drop(self.by_key.remove(&key)),
                }
            }
        }
    }

    /// Late records are stored; `series` is what is known of a pair without them.
    pub(crate) fn note_late<'s>(
        &mut self,
        late: &crate::amend::Arrivals,
        series: impl Fn((CheckNo, AgentNo)) -> Option<&'s sitepulse_model::series::Series>,
    ) {
        for (pair, touched, received) in late.each() {
            let series = series(pair);
            let held = series.map(|series| series.between(touched.first, touched.last)).unwrap_or_default();
            self.present.in_time.add(pair, touched, held, series, received);
        }
    }

    /// A record of an agent is stored that was new.
    pub(crate) fn note(&mut self, agent: AgentNo, record: &record::Record, received: UtcMicros) {
        self.present.note(agent, record, received);
        self.grace.note(agent, record, received);
        // A result pays for a push, a look for the order.
        if self.arrived.len() == self.arrived.capacity() {
            self.arrived.sort_unstable();
            self.arrived.dedup();
            // At least as many again before the next time.
            self.arrived.reserve(self.arrived.len() + 64);
        }
        self.arrived.push(record.check());
    }

    /// Everything may have changed: definitions, orders, silences.
    pub(crate) fn touch_all(&mut self) {
        self.sweep_due = None;
        self.all = true;
    }

    /// Whether all that is due is to be looked at. A clock that was set back must not stop that for as long.
    pub(super) fn is_sweep_due(&self, now: UtcMicros) -> bool {
        self.sweep_due.is_none_or(|due| due <= now || due.us_since(now) > SWEEP_US)
    }

    /// An incident changed: what it asks for is looked at soon.
    pub(super) fn hurry(&mut self) {
        self.sweep_due = None;
    }

    /// The newest incidents of a check, one of each kind.
    pub(super) fn incidents_of(&self, check: CheckNo) -> impl Iterator<Item = &(Subject, IncidentKind)> {
        let first = IncidentKind::ALL[0];
        let from = (Subject::Check(check), first);
        self.by_key.range(from..).map(|(key, _)| key).take_while(move |(subject, _)| *subject == Subject::Check(check))
    }

    /// Where an incident is in its life; `None` of one that is past, and of none.
    pub(crate) fn state_of(&self, id: &IncidentId) -> Option<IncidentState> {
        self.standing.get(id).map(|standing| standing.incident.life.state)
    }

    pub(super) fn free_id(
        &self,
        changes: &Changes,
        subject: &Subject,
        kind: IncidentKind,
        now: UtcMicros,
    ) -> IncidentId {
        let subject = format!("{subject:?}/{kind}");
        let taken = |id: &IncidentId| self.standing.contains_key(id) || changes.set.contains_key(id);
        let mut nonce = 0_u32;
        loop {
            let id = incident_id(&subject, now, nonce);
            if !taken(&id) {
                return id;
            }
            nonce += 1;
        }
    }
}

/// `20261122-4f7k2zq`: the day, and seven characters of a hash of what, when.
fn incident_id(subject: &str, now: UtcMicros, nonce: u32) -> IncidentId {
    let hash = fnv1a_of(&[subject.as_bytes(), &now.0.to_le_bytes(), &nonce.to_le_bytes()]);
    let day = sitepulse_daemon::instant::format(now).get(..10).unwrap_or_default().replace('-', "");
    IncidentId(format!("{day}-{}", short(hash, 7)))
}
