//! What the book alone tells of a check: what expires, how its verdicts turned, who watches it, whether its assertions can fail.

use std::collections::BTreeMap;

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::control::{Scope, Weight};
use sitepulse_model::id::AgentNo;
use sitepulse_model::incident::CheckClass;
use sitepulse_model::insight::found::Expires;
use sitepulse_model::insight::input::{Asserted, Coverage, Expiring, RunsEver, Sight, Verdicts, Watcher};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Kind, Subject, cannot_fail, coverage_gap, expiry, flapping};
use sitepulse_model::record::{FactKey, Facts, ProbeState};
use sitepulse_model::series::Seen as Observed;
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::{Frame, Seen};
use crate::book::{Book, Check, CheckRevision, is_heartbeat};

/// Of several agents those count that saw it within so long of the newest, in microseconds: two days. An agent that looks no more would tell of an old certificate for ever.
const SEEN_WITHIN_US: i64 = 2 * 86_400 * SECOND_US;

/// When what a result tells of ends.
type EndsAt = fn(&Facts) -> Option<UtcMicros>;

/// See the module.
#[derive(Debug)]
pub(super) struct Watched {
    definition: CheckDefinition,
    since: UtcMicros,
    critical: bool,
    expiring: Vec<Expiring>,
    runs: Option<RunsEver>,
    /// The agents that it is assigned to, and since when all of that has been so; `None` where no agent runs it, or it is suspended as a whole.
    watchers: Option<(Vec<Watcher>, UtcMicros)>,
}

impl Watched {
    pub(super) fn of(
        book: &Book,
        check: &Check,
        revision: &CheckRevision,
        voters: &BTreeMap<AgentNo, (String, String)>,
        certificates: &[Sight],
        now: UtcMicros,
    ) -> Self {
        Self {
            definition: revision.definition.clone(),
            since: revision.effective_from,
            critical: revision.labels.class == CheckClass::Critical,
            expiring: expiring(check, voters, certificates, now),
            runs: runs_ever(check, revision),
            watchers: watchers(book, check, revision, now),
        }
    }

    pub(super) fn look(&self, frame: &Frame, rules: &Thresholds, seen: &mut Seen) {
        let (id, now) = (frame.id.as_str(), frame.now);
        let certificate = self.expiring.iter().find(|one| one.what == Expires::Certificate);
        seen.look.certificate_ends = certificate.map(|one| one.ends_at);
        let found = self.expiring.iter().filter_map(|one| expiry::find(one, &rules.expiry, now));
        seen.note(Kind::Expiry, id, found);
        let whole = Subject::Check { check: id.to_owned(), part: String::new() };
        let known_since = frame.known.since(Kind::Flapping, &whole);
        let from = now.plus_us(-rules.flapping.window_us);
        let recent = frame.verdicts.partition_point(|span| span.span.to <= from);
        let verdicts = Verdicts { check: id, spans: &frame.verdicts[recent..], known_since };
        seen.note(Kind::Flapping, id, flapping::find(&verdicts, &rules.flapping, now));
        let asserted = Asserted { definition: &self.definition, since: self.since, runs: self.runs };
        seen.note(Kind::CannotFail, id, cannot_fail::find(&asserted, &rules.cannot_fail, now));
        let gaps = self.watchers.as_ref().and_then(|(watchers, since)| {
            let quorum = self.definition.quorum;
            let coverage = Coverage { check: id, critical: self.critical, quorum, watchers, since: *since };
            coverage_gap::find(&coverage, &rules.coverage_gap, now)
        });
        seen.note(Kind::CoverageGap, id, gaps);
    }
}

/// The certificate and the registration that end the soonest, as agents with a vote saw them lately.
fn expiring(
    check: &Check,
    voters: &BTreeMap<AgentNo, (String, String)>,
    certificates: &[Sight],
    now: UtcMicros,
) -> Vec<Expiring> {
    fn certificate(facts: &Facts) -> Option<UtcMicros> {
        facts.certificate_expires
    }
    fn domain(facts: &Facts) -> Option<UtcMicros> {
        Some(UtcMicros(facts.number_of(FactKey::DomainExpires)?.saturating_mul(SECOND_US)))
    }
    let ways: [(Expires, &str, EndsAt); 2] =
        [(Expires::Certificate, "certificate", certificate), (Expires::Domain, "domain", domain)];
    let mut found = Vec::new();
    for (what, part, of) in ways {
        let lasts = check.pairs.iter().filter(|(agent, _)| voters.contains_key(agent));
        let told: Vec<(UtcMicros, UtcMicros)> = lasts
            .filter_map(|(_, pair)| pair.last.as_deref())
            .filter_map(|last| Some((last.scheduled, of(&last.facts)?)))
            .collect();
        let newest = told.iter().map(|(at, _)| *at).max();
        let lately = told.iter().filter(|(at, _)| newest.is_some_and(|newest| newest.us_since(*at) <= SEEN_WITHIN_US));
        if let Some((seen_at, ends_at)) = lately.min_by_key(|(_, ends_at)| *ends_at).copied() {
            let subject = Subject::Check { check: check.id.to_string(), part: part.to_owned() };
            let lifetime_us = match what {
                Expires::Certificate => {
                    let mut seen = certificates.to_vec();
                    if seen.iter().all(|sight| sight.ends_at != ends_at) {
                        seen.push(Sight { seen_at: now, ends_at });
                    }
                    expiry::lifetime_us(&seen)
                }
                // A registration lasts for a year at least.
                Expires::Domain => None,
            };
            found.push(Expiring { subject, what, ends_at, seen_at, lifetime_us });
        }
    }
    found
}

/// What became of the runs of the definition in force.
fn runs_ever(check: &Check, revision: &CheckRevision) -> Option<RunsEver> {
    let mut ever: Option<RunsEver> = None;
    for run in check.pairs.values().flat_map(|pair| pair.series.runs()) {
        let Observed::State(state) = run.obs.seen else { continue };
        if run.obs.revision != revision.revision || state == ProbeState::Unknown {
            continue;
        }
        let one = RunsEver { up: 0, not_up: 0, first_at: run.first, last_at: run.last() };
        let ever = ever.get_or_insert(one);
        if state == ProbeState::Up {
            ever.up += run.count;
        } else {
            ever.not_up += run.count;
        }
        (ever.first_at, ever.last_at) = (ever.first_at.min(run.first), ever.last_at.max(run.last()));
    }
    ever
}

fn watchers(book: &Book, check: &Check, revision: &CheckRevision, now: UtcMicros) -> Option<(Vec<Watcher>, UtcMicros)> {
    let control = book.control();
    if is_heartbeat(&revision.definition) || control.scope_suspended_at(Scope::Check(check.number), now).is_some() {
        return None;
    }
    let (mut watchers, mut since) = (Vec::new(), revision.effective_from);
    // Nothing that is still to come has been so for any time.
    let mut moved = |at: UtcMicros| since = if at <= now { since.max(at) } else { since };
    for agent in book.agents().filter(|agent| !agent.internal && agent.runs(&revision.definition)) {
        moved(agent.enrolled_at);
        if let Some(revoked) = agent.revoked_at {
            moved(revoked);
            continue;
        }
        let suspensions = control.suspensions(agent.number, check.number);
        suspensions.iter().for_each(|one| [one.span.from, one.span.to].into_iter().for_each(&mut moved));
        control.weights(agent.number, check.number).iter().for_each(|(at, _)| moved(*at));
        let Weight(weight) = control.weight_at(agent.number, check.number, now);
        let suspended = control.suspended_at(agent.number, check.number, now).is_some();
        watchers.push(Watcher { region: agent.region.to_string(), weight, suspended });
    }
    Some((watchers, since))
}
