//! What stays of an assigned check once its probe is prepared.
//!
//! The definition itself is in the state file, and what a run needs of it is in its [`Probe`](sitepulse_probe::Probe). Between runs a check is one
//! of ten thousand, so memory holds no second copy: only what the schedule, people and the next assignment ask for.

use sitepulse_model::check::{AssignedCheck, CheckDefinition};
use sitepulse_model::id::{AgentName, Bucket, CheckId, fnv1a};
use sitepulse_model::schedule::Plan;

/// An assigned check, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its author's id.
    pub id: CheckId,
    /// Its kind, as check files call it.
    pub kind: &'static str,
    /// What it probes, for people.
    pub target: Box<str>,
    /// Number, revision, slots, weight and host.
    pub plan: Plan,
    /// Of all that a probe is made of: another one is another probe.
    fingerprint: u64,
}

impl Summary {
    /// Of a check on the agent of this name.
    pub fn of(assigned: &AssignedCheck, agent: &AgentName) -> Self {
        let definition = &assigned.definition;
        Self {
            id: definition.id.clone(),
            kind: definition.kind.as_str(),
            target: definition.kind.describe().into(),
            plan: Plan::of(assigned, agent),
            fingerprint: fingerprint(definition),
        }
    }

    /// Where its records lie.
    pub fn bucket(&self) -> Bucket {
        self.id.bucket()
    }
}

fn fingerprint(definition: &CheckDefinition) -> u64 {
    // All of them, so that a new one cannot be forgotten. Those not named are the plan's, or the collector's alone.
    let CheckDefinition {
        id: _,
        kind,
        interval_us: _,
        timeout_us,
        retries,
        weight: _,
        regions: _,
        quorum: _,
        confirmations: _,
        recoveries: _,
        expect,
    } = definition;
    let mut text = format!("{}\0{}\0{timeout_us}\0{retries}", kind.as_str(), kind.target_json());
    for expectation in expect {
        text.push('\0');
        text.push_str(expectation.source());
    }
    fnv1a(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use sitepulse_model::check::{CheckKind, HttpTarget};
    use sitepulse_model::control::Weight;
    use sitepulse_model::expect::Expectation;
    use sitepulse_model::id::{CheckNo, Revision};
    use sitepulse_model::quorum::Quorum;

    use super::*;

    fn check() -> AssignedCheck {
        AssignedCheck {
            number: CheckNo(7),
            revision: Revision(2),
            definition: CheckDefinition {
                id: CheckId::parse("shop").unwrap(),
                kind: CheckKind::http("https://shop.example/"),
                interval_us: 60_000_000,
                timeout_us: 10_000_000,
                retries: 0,
                weight: Weight::ONE,
                regions: None,
                quorum: Quorum::parse("majority").unwrap(),
                confirmations: 2,
                recoveries: 1,
                expect: Vec::new(),
            },
        }
    }

    #[test]
    fn whatever_changes_a_run_changes_the_summary() {
        let agent = AgentName::parse("berlin-1").unwrap();
        let before = Summary::of(&check(), &agent);
        assert_eq!(before, Summary::of(&check(), &agent));
        let changes: [fn(&mut AssignedCheck); 9] = [
            |check| check.number = CheckNo(8),
            |check| check.revision = Revision(3),
            |check| check.definition.id = CheckId::parse("shop-2").unwrap(),
            |check| check.definition.interval_us = 30_000_000,
            |check| check.definition.timeout_us = 5_000_000,
            |check| check.definition.retries = 1,
            |check| check.definition.weight = Weight(2_000),
            |check| check.definition.expect.push(Expectation::parse("status == 200", "http").unwrap()),
            |check| {
                // What a summary does not show.
                let target = HttpTarget { redirects: 3, ..HttpTarget::get("https://shop.example/") };
                check.definition.kind = CheckKind::Http(Box::new(target));
            },
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut changed = check();
            change(&mut changed);
            assert_ne!(before, Summary::of(&changed, &agent), "change {at}");
        }
    }
}
