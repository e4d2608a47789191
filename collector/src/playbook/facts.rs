//! What is known of what a run is about.

use std::collections::BTreeSet;

use sitepulse_model::control::Scope;
use sitepulse_model::id::{AgentName, AgentNo, CheckId};
use sitepulse_model::incident::{IncidentState, Subject};
use sitepulse_model::playbook::condition::{Condition, Facts, LATENCY_US};
use sitepulse_model::playbook::fill::Names;
use sitepulse_model::playbook::run::Run;
use sitepulse_model::playbook::{About, Trouble};
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vote::{Verdict, Vote};

use super::finding::Finding;
use crate::alert::{self, Standing};
use crate::book::{Agent, Book, Check, soonest, voting};
use crate::engine::Engine;

/// A check as playbooks are looked for.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    check: Option<String>,
    group: Option<String>,
    tags: Vec<String>,
    class: Option<sitepulse_model::incident::CheckClass>,
    kind: Option<&'static str>,
}

impl Labels {
    /// Of a check; of nothing where there is none.
    pub fn of(book: &Book, check: Option<&str>) -> Self {
        let Some(found) = check.and_then(|id| check_of(book, id)) else { return Self::default() };
        let revision = found.newest();
        Self {
            check: Some(found.id.to_string()),
            group: revision.labels.group.as_ref().map(ToString::to_string),
            tags: revision.labels.tags.iter().map(ToString::to_string).collect(),
            class: Some(revision.labels.class),
            kind: Some(revision.definition.kind.as_str()),
        }
    }

    /// Hands them over as the model takes them.
    pub fn with<T>(&self, ask: impl FnOnce(&About<'_>) -> T) -> T {
        let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
        let Self { check, group, class, kind, .. } = self;
        ask(&About { check: check.as_deref(), group: group.as_deref(), tags: &tags, class: *class, kind: *kind })
    }
}

fn check_of<'b>(book: &'b Book, id: &str) -> Option<&'b Check> {
    book.check_by_id(&CheckId::parse(id).ok()?)
}

fn agent_of<'b>(book: &'b Book, name: &str) -> Option<&'b Agent> {
    book.agent_by_name(&AgentName::parse(name).ok()?)
}

/// What an incident is about, by names.
pub fn names_of_incident(book: &Book, standing: &Standing, now: UtcMicros) -> (Trouble, Names) {
    let facts = alert::facts(book, standing);
    let named_agent = match &standing.incident.subject {
        Subject::Agent(number) => Some(*number),
        Subject::Check(_) | Subject::Slo(_) | Subject::Manual(_) => None,
    };
    let mut names = names(book, facts.check.as_deref(), named_agent, now);
    names.slo = facts.slo;
    names.incident = Some(standing.incident.id.0.clone());
    (Trouble::Incident(standing.incident.kind), names)
}

/// What a finding is about, by names.
pub fn names_of_finding(book: &Book, id: &str, finding: &Finding, now: UtcMicros) -> (Trouble, Names) {
    let agent = finding.agent.as_deref().and_then(|name| agent_of(book, name)).map(|agent| agent.number);
    let mut names = names(book, finding.check.as_deref(), agent, now);
    names.slo.clone_from(&finding.slo);
    names.finding = Some(id.to_owned());
    (Trouble::Finding(finding.kind), names)
}

/// The names of a check and an agent. Without an agent: the one that says the worst of the check now.
pub fn names(book: &Book, check: Option<&str>, agent: Option<AgentNo>, now: UtcMicros) -> Names {
    let check = check.and_then(|id| check_of(book, id));
    let worst = || {
        let present = book.present(check?, now, |_| None);
        let bad = present.voices.iter().filter(|voice| voice.newest != Vote::Up).max_by_key(|voice| voice.newest);
        bad.map(|voice| voice.agent)
    };
    let agent = agent.or_else(worst).and_then(|number| book.agent(number));
    let revision = check.map(Check::newest);
    let watched = revision.map(|revision| revision.definition.kind.watched()).unwrap_or_default();
    Names {
        check: check.map(|check| check.id.to_string()),
        agent: agent.map(|agent| agent.name.to_string()),
        region: agent.map(|agent| agent.region.to_string()),
        group: revision.and_then(|revision| revision.labels.group.as_ref()).map(ToString::to_string),
        address: watched.address(),
        host: watched.host,
        url: watched.url,
        ..Names::default()
    }
}

/// Whether one of the conditions needs a fact; what nothing waits for is not found out.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    verdict: bool,
    voices: bool,
    latency: bool,
}

impl Wanted {
    fn of(conditions: &[Condition]) -> Self {
        let mut wanted = Self::default();
        for condition in conditions {
            match condition {
                Condition::CheckUp(_) => wanted.verdict = true,
                Condition::CertificateRenewed
                | Condition::CertificateValid(_)
                | Condition::DomainRenewed
                | Condition::DomainValid(_)
                | Condition::Voters(_) => wanted.voices = true,
                Condition::LatencyBelow(_) => wanted.latency = true,
                Condition::IncidentAcknowledged
                | Condition::IncidentResolved
                | Condition::FindingClosed
                | Condition::AgentConnected
                | Condition::SuspensionEnded
                | Condition::ClockBelow(_)
                | Condition::WeightChanged
                | Condition::CheckChanged => {}
            }
        }
        wanted
    }
}

/// What the book and the desk of incidents know of these names. `since`: when the run began, `now` where it begins; runs before it make no p95.
pub(super) fn facts(
    engine: &Engine,
    book: &Book,
    names: &Names,
    conditions: &[Condition],
    since: UtcMicros,
    now: UtcMicros,
) -> Facts {
    let wanted = Wanted::of(conditions);
    let check = names.check.as_deref().and_then(|id| check_of(book, id));
    let agent = names.agent.as_deref().and_then(|name| agent_of(book, name));
    let mut facts = Facts::default();
    if let Some(check) = check {
        of_check(&mut facts, engine, book, check, wanted, since, now);
    }
    if let Some(agent) = agent {
        let presence = agent.presence.read();
        facts.connected = Some(presence.connected);
        // What an agent said that is gone now says nothing of now.
        facts.clock_offset_us =
            presence.status.as_ref().filter(|_| presence.connected).and_then(|status| status.clock_offset_us);
    }
    facts.suspended = match (check, agent) {
        (Some(check), Some(agent)) => Some(book.control().suspended_at(agent.number, check.number, now).is_some()),
        (Some(check), None) => Some(book.control().scope_suspended_at(Scope::Check(check.number), now).is_some()),
        (None, Some(agent)) => Some(book.control().scope_suspended_at(Scope::Agent(agent.number), now).is_some()),
        (None, None) => None,
    };
    facts.weight_thousandths = match (check, agent) {
        (Some(check), Some(agent)) => Some(book.control().weight_at(agent.number, check.number, now).0),
        (Some(check), None) => check.current().map(|revision| revision.definition.weight.0),
        (None, Some(agent)) => {
            let weights = book.control().agent_weights(agent.number);
            Some(weights.iter().rev().find(|(from, _)| *from <= now).map_or(1_000, |(_, weight)| weight.0))
        }
        (None, None) => None,
    };
    facts
}

fn of_check(
    facts: &mut Facts,
    engine: &Engine,
    book: &Book,
    check: &Check,
    wanted: Wanted,
    since: UtcMicros,
    now: UtcMicros,
) {
    facts.revision = check.current().map(|revision| revision.revision.0);
    if wanted.verdict {
        let verdict = book.verdict_now(check.number, now).map(|now| now.verdict);
        facts.up_since = verdict.filter(|span| span.verdict == Verdict::Up).map(|span| span.span.from.0);
    }
    if wanted.voices {
        let late = |agent| engine.alert.present.late_upto(book, (check.number, agent));
        let voices = book.present(check, now, late).voices;
        facts.voters = u32::try_from(voices.len()).ok();
        // A certificate that was refused renews nothing, nor is one valid that nobody looks at. When the run begins an expired one, which is refused too, is what it begins with.
        let well = !voices.is_empty() && voices.iter().all(|voice| voice.newest != Vote::Down);
        if well || since >= now {
            // Who falls silent for a while saw the one that was forgotten all the same.
            let votes = voting(book, check.number, now);
            let ends = |of| soonest(check, of, &votes).flatten().map(|(_, ends)| ends.at.0);
            facts.certificate_expires = ends(|sights| sights.certificate.as_ref());
            facts.domain_expires = ends(|sights| sights.domain.as_ref());
        }
    }
    if wanted.latency {
        let from = since.max(now.plus_us(-LATENCY_US));
        let mut totals = Sketch::new();
        check.latencies.values().for_each(|open| totals.merge(&open.recent(from).totals()));
        let runs = u64::try_from(totals.count()).unwrap_or(u64::MAX);
        facts.latency = totals.quantile(950).map(|p95_us| (runs, p95_us));
    }
}

/// Adds what is known of the incident.
pub(super) fn of_incident(facts: &mut Facts, state: IncidentState) {
    facts.acknowledged = Some(match state {
        IncidentState::Acknowledged => true,
        IncidentState::Suspected | IncidentState::Open | IncidentState::Resolved => false,
    });
    facts.resolved = Some(state == IncidentState::Resolved);
}

/// What the open steps of a run wait for.
pub(super) fn waiting(run: &Run) -> Vec<Condition> {
    let all: BTreeSet<String> = run.waiting().map(|(_, condition)| condition.to_string()).collect();
    all.iter().filter_map(|text| Condition::parse(text).ok()).collect()
}
