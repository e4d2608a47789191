//! What an agent saw last of what ends: a certificate, a domain's registration.
//!
//! A run that cannot connect tells nothing of them, so what was seen before it stands; a run that is well without one tells that there is none any more.

use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::record::{FactKey, ProbeResult, ProbeState};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::Book;
use super::check::Check;

/// Of several agents those count that saw it within so long of the newest, in microseconds: two days. An agent that looks no more would tell of an old certificate for ever.
const SEEN_WITHIN_US: i64 = 2 * 86_400 * SECOND_US;

/// The newest run that could tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Its slot.
    pub slot: UtcMicros,
    /// What it saw; `None` where it was well without one.
    pub ends: Option<Ends>,
}

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// When.
    pub at: UtcMicros,
    /// Which one: a certificate's SHA-256, where it is known. Else empty.
    pub which: String,
}

/// What a pair saw last.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sights {
    /// Of a certificate.
    pub certificate: Option<Sight>,
    /// Of a registration.
    pub domain: Option<Sight>,
}

impl Sights {
    /// Takes in a result: one that can tell, and is newer than what is known, takes its place.
    pub(crate) fn take(&mut self, result: &ProbeResult) {
        let facts = &result.facts;
        let certificate = facts
            .certificate_expires
            .map(|at| (at, facts.texts_of(FactKey::CertificateSha256).next().unwrap_or_default()));
        let seconds = facts.number_of(FactKey::DomainExpires);
        let domain = seconds.map(|seconds| (UtcMicros(seconds.saturating_mul(SECOND_US)), ""));
        for (known, ends) in [(&mut self.certificate, certificate), (&mut self.domain, domain)] {
            let tells = ends.is_some() || matches!(result.state, ProbeState::Up | ProbeState::Degraded);
            let newer = known.as_ref().is_none_or(|known| known.slot <= result.scheduled);
            if !tells || !newer {
                continue;
            }
            let slot = result.scheduled;
            match (known, ends) {
                // It is mostly the same one as before: its name is not copied anew for each result.
                (Some(Sight { slot: of, ends: Some(known) }), Some((at, which))) => {
                    (*of, known.at) = (slot, at);
                    which.clone_into(&mut known.which);
                }
                (known, ends) => {
                    let ends = ends.map(|(at, which)| Ends { at, which: which.to_owned() });
                    *known = Some(Sight { slot, ends });
                }
            }
        }
    }
}

/// Whose sights count: agents that are enrolled and have a vote.
pub(crate) fn voting(book: &Book, check: CheckNo, now: UtcMicros) -> impl Fn(AgentNo) -> bool {
    move |agent| {
        let enrolled = book.agent(agent).is_some_and(|agent| agent.revoked_at.is_none());
        enrolled && book.control().weight_at(agent, check, now).0 > 0
    }
}

/// What ends the soonest of what the agents that count saw lately, and when that was seen. `None`: nobody could tell. `Some(None)`: there is nothing that ends.
pub(crate) fn soonest(
    check: &Check,
    of: fn(&Sights) -> Option<&Sight>,
    counts: impl Fn(AgentNo) -> bool,
) -> Option<Option<(UtcMicros, &Ends)>> {
    let pairs = check.pairs.iter().filter(|(agent, _)| counts(**agent));
    let told: Vec<&Sight> = pairs.filter_map(|(_, pair)| of(&pair.sights)).collect();
    let newest = told.iter().map(|sight| sight.slot).max()?;
    let lately = told.into_iter().filter(|sight| newest.us_since(sight.slot) <= SEEN_WITHIN_US);
    Some(lately.filter_map(|sight| Some((sight.slot, sight.ends.as_ref()?))).min_by_key(|(_, ends)| ends.at))
}

#[cfg(test)]
mod tests {
    use sitepulse_model::id::Revision;
    use sitepulse_model::record::{Facts, Phases};

    use super::*;

    fn result(slot: i64, state: ProbeState, ends: Option<i64>) -> ProbeResult {
        let mut facts = Facts { certificate_expires: ends.map(UtcMicros), ..Facts::default() };
        if ends.is_some() {
            facts.text(FactKey::CertificateSha256, "ab");
        }
        ProbeResult {
            check: CheckNo(1),
            revision: Revision(1),
            scheduled: UtcMicros(slot),
            started: UtcMicros(slot),
            phases: Phases::default(),
            state,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts,
        }
    }

    #[test]
    fn a_run_that_cannot_tell_leaves_what_was_seen_before_it() {
        let mut sights = Sights::default();
        sights.take(&result(1, ProbeState::Down, None));
        assert_eq!(sights, Sights::default(), "nobody could tell");
        sights.take(&result(2, ProbeState::Up, Some(90)));
        let seen = sights.clone();
        let ends = Some(Ends { at: UtcMicros(90), which: "ab".to_owned() });
        assert_eq!(seen.certificate, Some(Sight { slot: UtcMicros(2), ends }));
        assert_eq!(seen.domain, Some(Sight { slot: UtcMicros(2), ends: None }));
        for state in [ProbeState::Down, ProbeState::Unknown] {
            sights.take(&result(3, state, None));
            assert_eq!(sights, seen);
        }
        // What comes late takes no newer one's place; an expired certificate that is refused is seen all the same.
        sights.take(&result(1, ProbeState::Up, Some(10)));
        assert_eq!(sights, seen);
        sights.take(&result(4, ProbeState::Down, Some(3)));
        assert_eq!(sights.certificate.as_ref().unwrap().slot, UtcMicros(4));
        sights.take(&result(5, ProbeState::Up, None));
        assert_eq!(sights.certificate, Some(Sight { slot: UtcMicros(5), ends: None }), "it needs none any more");
    }
}
