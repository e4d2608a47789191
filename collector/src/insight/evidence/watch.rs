//! What the book alone tells of a check: what expires, how its verdicts turned, who watches it, whether its assertions can fail.

use std::collections::BTreeMap;

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::control::{Scope, Weight};
use sitepulse_model::id::AgentNo;
use sitepulse_model::incident::CheckClass;
use sitepulse_model::insight::found::Expires;
use sitepulse_model::insight::input::{Asserted, Coverage, Expiring, RunsEver, Sight as Since, Verdicts, Watcher};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Kind, Subject, cannot_fail, coverage_gap, expiry, flapping};
use sitepulse_model::record::ProbeState;
use sitepulse_model::series::Seen as Observed;
use sitepulse_model::time::UtcMicros;

use super::{Frame, Seen};
use crate::book::{Book, Check, CheckRevision, Sight, Sights, is_heartbeat, soonest};

/// The sight of what ends.
type Of = fn(&Sights) -> Option<&Sight>;

/// See the module.
#[derive(Debug)]
pub(super) struct Watched {
    definition: CheckDefinition,
    since: UtcMicros,
    critical: bool,
    expiring: Vec<Expiring>,
    /// The parts (`certificate`, `domain`) of which nobody saw anything: what stood of them stands.
    unseen: Vec<&'static str>,
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
        certificates: &[Since],
        now: UtcMicros,
    ) -> Self {
        let (expiring, unseen) = expiring(check, voters, certificates, now);
        Self {
            definition: revision.definition.clone(),
            since: revision.effective_from,
            critical: revision.labels.class == CheckClass::Critical,
            expiring,
            unseen,
            runs: runs_ever(check, revision),
            watchers: watchers(book, check, revision, now),
        }
    }

    pub(super) fn look(&self, frame: &Frame, rules: &Thresholds, seen: &mut Seen) {
        let (id, now) = (frame.id.as_str(), frame.now);
        let certificate = self.expiring.iter().find(|one| one.what == Expires::Certificate);
        seen.look.certificate_ends = certificate.map(|one| one.ends_at);
        let found = self.expiring.iter().filter_map(|one| expiry::find(one, &rules.expiry, now));
        let stands = |part: &&str| {
            let subject = Subject::Check { check: id.to_owned(), part: (*part).to_owned() };
            frame.known.since(Kind::Expiry, &subject).is_some()
        };
        // A run that cannot connect sees no certificate, which is no renewal.
        if self.unseen.len() < 2 && !self.unseen.iter().any(stands) {
            seen.note(Kind::Expiry, id, found);
        } else {
            seen.add(id, found);
        }
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
            let known_since = frame.known.since(Kind::CoverageGap, &whole);
            let coverage =
                Coverage { check: id, critical: self.critical, quorum, watchers, since: *since, known_since };
            coverage_gap::find(&coverage, &rules.coverage_gap, now)
        });
        seen.note(Kind::CoverageGap, id, gaps);
    }
}

/// The certificate and the registration that end the soonest, as agents with a vote saw them lately; and the parts of which none of them ever saw anything.
fn expiring(
    check: &Check,
    voters: &BTreeMap<AgentNo, (String, String)>,
    certificates: &[Since],
    now: UtcMicros,
) -> (Vec<Expiring>, Vec<&'static str>) {
    let ways: [(Expires, &'static str, Of); 2] = [
        (Expires::Certificate, "certificate", |sights| sights.certificate.as_ref()),
        (Expires::Domain, "domain", |sights| sights.domain.as_ref()),
    ];
    let (mut found, mut unseen) = (Vec::new(), Vec::new());
    for (what, part, of) in ways {
        match soonest(check, of, |agent| voters.contains_key(&agent)) {
            None => unseen.push(part),
            Some(None) => {}
            Some(Some((seen_at, ends))) => {
                let subject = Subject::Check { check: check.id.to_string(), part: part.to_owned() };
                let lifetime_us = match what {
                    Expires::Certificate => {
                        let mut seen = certificates.to_vec();
                        if seen.iter().all(|sight| sight.ends_at != ends.at) {
                            seen.push(Since { seen_at: now, ends_at: ends.at });
                        }
                        expiry::lifetime_us(&seen)
                    }
                    // A registration lasts for a year at least.
                    Expires::Domain => None,
                };
                found.push(Expiring { subject, what, ends_at: ends.at, seen_at, lifetime_us });
            }
        }
    }
    (found, unseen)
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
