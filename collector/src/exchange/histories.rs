//! What records alone do not say: the definitions of their checks, the lives of their agents, suspensions and weights, policies and windows; and whom
//! their incidents were told: users, schedules, channels (their secrets are names, as everywhere), escalation policies. And what impact scores were, with the models that found
//! them.

use serde::{Deserialize, Serialize};
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope, Weight};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, CheckNo, Region, Revision};
use sitepulse_model::time::UtcMicros;

use super::row::Instant;
use super::scores::ScoreHistory;
use crate::book::{Agent, Book, CheckRevision, Object, ObjectKind, Revised, is_heartbeat};
use crate::store::definition;

/// The histories behind some records, in names instead of a collector's own numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histories {
    /// When they were written down.
    pub exported: Instant,
    /// The checks with their definitions, oldest first.
    pub checks: Vec<CheckHistory>,
    /// The agents.
    pub agents: Vec<AgentHistory>,
    /// Suspensions, resumptions and weights of these checks and agents.
    pub events: Vec<EventHistory>,
    /// The accounting policies and maintenance windows, which figures rest on too, and whom incidents were told.
    #[serde(default)]
    pub objects: Vec<ObjectHistory>,
    /// What impact scores were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<ScoreHistory>,
}

/// A check and its definitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckHistory {
    /// Its id.
    pub id: String,
    /// Its definitions, oldest first.
    pub revisions: Vec<RevisionHistory>,
}

/// A definition and when it applied from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevisionHistory {
    /// Its number.
    pub revision: u32,
    /// Applied from here on.
    pub effective_from: Instant,
    /// Whether the check ended here.
    pub retired: bool,
    /// Who applied it.
    pub author: String,
    /// The definition, as the store keeps it.
    pub definition: serde_json::Value,
}

/// A version of an object as code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectHistory {
    /// The name of its table in check files.
    pub kind: String,
    /// Its number.
    pub version: u32,
    /// Applied from here on.
    pub effective_from: Instant,
    /// Whether the object ended here.
    pub retired: bool,
    /// Who applied it.
    pub author: String,
    /// What it says, as the store keeps it.
    pub body: serde_json::Value,
}

impl ObjectHistory {
    /// The kinds that an export holds.
    const KINDS: [ObjectKind; 7] = [
        ObjectKind::Policy,
        ObjectKind::Maintenance,
        ObjectKind::User,
        ObjectKind::Schedule,
        ObjectKind::Channel,
        ObjectKind::Escalation,
        ObjectKind::Scoring,
    ];

    /// Whether figures rest on a kind: then another history of the same id is a contradiction. Of the others a collector keeps its own.
    pub const fn counts(kind: ObjectKind) -> bool {
        matches!(kind, ObjectKind::Policy | ObjectKind::Maintenance)
    }

    fn of(revised: &Revised<Object>) -> Option<Self> {
        let kind = revised.body.kind();
        Self::KINDS.contains(&kind).then(|| Self {
            kind: kind.table().to_owned(),
            version: revised.version,
            effective_from: Instant(revised.effective_from),
            retired: revised.retired,
            author: revised.author.clone(),
            body: serde_json::from_str(&revised.body.json()).expect("it was JSON just now"),
        })
    }

    /// The version.
    ///
    /// # Errors
    /// When it is of another kind, or makes no sense.
    pub fn to_revised(&self) -> Result<Revised<Object>, String> {
        let kind = Self::KINDS.into_iter().find(|kind| kind.table() == self.kind);
        let kind = kind.ok_or_else(|| format!("{:?} is no kind of object that an export holds", self.kind))?;
        let body = Object::from_json(kind, &self.body.to_string()).map_err(|error| error.to_string())?;
        if let Some(fault) = body.faults().first() {
            return Err(format!("{} {}: {}", self.kind, body.id(), fault.message));
        }
        Ok(Revised {
            version: self.version,
            effective_from: self.effective_from.0,
            retired: self.retired,
            author: self.author.clone(),
            body,
        })
    }
}

/// An agent's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentHistory {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// When it joined.
    pub enrolled: Instant,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Instant>,
    /// Its build, as last told.
    pub build: String,
    /// SHA-256 of its public key, hexadecimal: who it is.
    pub spki_sha256: String,
}

/// A suspension, resumption or weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHistory {
    /// Who gave it.
    pub author: String,
    /// The author's number of it.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// The agent it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The check it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// A suspension's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_until: Option<Instant>,
    /// A suspension's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A weight in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_thousandths: Option<u32>,
}

impl Histories {
    /// The histories of some checks, and of all agents. Heartbeats are left out: they belong to their collector.
    pub fn of(book: &Book, checks: &[CheckNo], now: UtcMicros) -> Self {
        let checks = checks.iter().filter_map(|number| book.check(*number));
        let checks: Vec<_> = checks.filter(|check| !is_heartbeat(&check.newest().definition)).collect();
        let agents: Vec<&Agent> = book.agents().filter(|agent| !agent.internal).collect();
        let concerns = |scope: Scope| {
            let agent = |number: AgentNo| agents.iter().any(|agent| agent.number == number);
            let check = |number: CheckNo| checks.iter().any(|check| check.number == number);
            match scope {
                Scope::Agent(of) => agent(of),
                Scope::AgentCheck(of, on) => agent(of) && check(on),
                Scope::Check(of) => check(of),
            }
        };
        let events = book.control().events_where(|_, scope| concerns(scope)).collect::<Vec<_>>();
        Self {
            exported: Instant(now),
            checks: checks
                .iter()
                .map(|check| CheckHistory {
                    id: check.id.to_string(),
                    revisions: check.revisions.iter().map(RevisionHistory::of).collect(),
                })
                .collect(),
            agents: agents.iter().map(|agent| AgentHistory::of(agent)).collect(),
            events: events.iter().map(|event| EventHistory::of(book, event)).collect(),
            objects: book.objects().all().iter().filter_map(ObjectHistory::of).collect(),
            // Of the store, not of the book.
            scores: Vec::new(),
        }
    }
}

impl RevisionHistory {
    fn of(revision: &CheckRevision) -> Self {
        let definition = serde_json::from_str(&definition::to_json(&revision.definition, &revision.labels))
            .expect("it was JSON just now");
        Self {
            revision: revision.revision.0,
            effective_from: Instant(revision.effective_from),
            retired: revision.retired,
            author: revision.author.clone(),
            definition,
        }
    }

    /// The revision; `ordinal` as for new ones.
    pub fn to_revision(&self, ordinal: u64) -> Result<CheckRevision, String> {
        let (definition, labels) =
            definition::from_json(&self.definition.to_string()).map_err(|error| error.to_string())?;
        definition.kind.validate().map_err(|error| error.to_string())?;
        if is_heartbeat(&definition) {
            return Err("a heartbeat belongs to its collector: apply it there instead".to_owned());
        }
        Ok(CheckRevision {
            revision: Revision(self.revision),
            effective_from: self.effective_from.0,
            retired: self.retired,
            author: self.author.clone(),
            ordinal,
            definition,
            labels,
        })
    }
}

impl AgentHistory {
    fn of(agent: &Agent) -> Self {
        Self {
            name: agent.name.to_string(),
            region: agent.region.to_string(),
            enrolled: Instant(agent.enrolled_at),
            revoked: agent.revoked_at.map(Instant),
            build: agent.build.clone(),
            spki_sha256: agent.spki_sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// The agent, whose life ends at `until` at the latest: its key is elsewhere.
    pub fn to_agent(&self, number: AgentNo, until: UtcMicros) -> Result<Agent, String> {
        let hash = self.spki_sha256.as_bytes();
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let hash: Option<Vec<u8>> = hash.chunks(2).map(byte).collect();
        let spki_sha256 = hash
            .and_then(|hash| <[u8; 32]>::try_from(hash).ok())
            .ok_or_else(|| format!("agent {}: spki_sha256 is no hash of 64 hexadecimal digits", self.name))?;
        Ok(Agent {
            number,
            name: AgentName::parse(&self.name).map_err(|error| error.to_string())?,
            region: Region::parse(&self.region).map_err(|error| error.to_string())?,
            spki_sha256,
            enrolled_at: self.enrolled.0,
            revoked_at: Some(self.revoked.map_or(until, |at| at.0.min(until))),
            build: self.build.clone(),
            presence: crate::book::PresenceCell::default(),
            internal: false,
        })
    }
}

impl EventHistory {
    fn of(book: &Book, event: &ControlEvent) -> Self {
        let (agent, check) = match event.scope {
            Scope::Agent(agent) => (Some(agent), None),
            Scope::AgentCheck(agent, check) => (Some(agent), Some(check)),
            Scope::Check(check) => (None, Some(check)),
        };
        let (suspend_until, reason, weight_thousandths) = match &event.change {
            Change::Suspend { until, reason } => (Some(Instant(*until)), Some(reason.clone()), None),
            Change::Resume => (None, None, None),
            Change::Weight(weight) => (None, None, Some(weight.0)),
        };
        Self {
            author: event.id.author.clone(),
            number: event.id.number,
            at: Instant(event.at),
            agent: agent.and_then(|agent| book.agent(agent)).map(|agent| agent.name.to_string()),
            check: check.and_then(|check| book.check(check)).map(|check| check.id.to_string()),
            suspend_until,
            reason,
            weight_thousandths,
        }
    }

    /// The event, with the collector's own numbers as `agent` and `check` tell them.
    pub fn to_event(
        &self,
        agent: impl Fn(&AgentName) -> Option<AgentNo>,
        check: impl Fn(&CheckId) -> Option<CheckNo>,
    ) -> Result<ControlEvent, String> {
        let what = || format!("event {} of {}", self.number, self.author);
        let agent = match &self.agent {
            None => None,
            Some(name) => Some(
                AgentName::parse(name)
                    .ok()
                    .and_then(|name| agent(&name))
                    .ok_or_else(|| format!("{}: there is no agent {name}", what()))?,
            ),
        };
        let check = match &self.check {
            None => None,
            Some(id) => Some(
                CheckId::parse(id)
                    .ok()
                    .and_then(|id| check(&id))
                    .ok_or_else(|| format!("{}: there is no check {id}", what()))?,
            ),
        };
        let scope = match (agent, check) {
            (Some(agent), None) => Scope::Agent(agent),
            (Some(agent), Some(check)) => Scope::AgentCheck(agent, check),
            (None, Some(check)) => Scope::Check(check),
            (None, None) => return Err(format!("{}: it names neither agent nor check", what())),
        };
        let change = match (self.suspend_until, self.weight_thousandths) {
            (Some(until), None) => Change::Suspend { until: until.0, reason: self.reason.clone().unwrap_or_default() },
            (None, None) => Change::Resume,
            (None, Some(weight)) if weight <= Weight::MAX.0 => Change::Weight(Weight(weight)),
            (_, Some(_)) => return Err(format!("{}: it is no suspension, resumption or weight", what())),
        };
        let id = EventId { author: self.author.clone(), number: self.number };
        Ok(ControlEvent { id, at: self.at.0, scope, change })
    }
}
