//! Certificates and domains that are about to expire, as the newest results of the live voters tell: the soonest of what they saw.
//!
//! What was about to expire is fine once nobody has seen it for [`SETTLE_US`]: behind one name the renewed certificate and the old one may take turns.

use sitepulse_model::id::AgentNo;
use sitepulse_model::incident::{Condition, IncidentKind};
use sitepulse_model::present::Present;
use sitepulse_model::record::FactKey;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use sitepulse_model::vote::Vote;

use super::{DAY_US, Settings};
use crate::book::Check;

/// How long it must not be seen any more, in microseconds: 10 min.
pub(super) const SETTLE_US: i64 = 600 * SECOND_US;
/// What expires so soon, or is expired, is as severe as an outage: that is what it becomes. In microseconds.
const URGENT_US: i64 = 3 * DAY_US;

/// What the present says of what expires.
pub(super) struct Expiry {
    pub(super) condition: Condition,
    /// When time alone changes that.
    pub(super) next: Option<UtcMicros>,
}

/// What a result tells of: when it expires, and how long before that is soon.
fn told(settings: &Settings, check: &Check, agent: AgentNo, slot: UtcMicros) -> Vec<(UtcMicros, i64)> {
    let last = check.pairs.get(&agent).and_then(|pair| pair.last.as_deref()).filter(|last| last.scheduled == slot);
    let Some(facts) = last.map(|last| &last.facts) else { return Vec::new() };
    let domain = facts.number_of(FactKey::DomainExpires);
    let domain = domain.map(|seconds| (UtcMicros(seconds.saturating_mul(SECOND_US)), settings.domain_within_us));
    let certificate = facts.certificate_expires.map(|at| (at, settings.certificate_within_us));
    certificate.into_iter().chain(domain).collect()
}

pub(super) fn of(settings: &Settings, check: &Check, present: &Present, now: UtcMicros) -> Expiry {
    let voices = present.voices.iter();
    let seen: Vec<(UtcMicros, i64)> = voices.flat_map(|voice| told(settings, check, voice.agent, voice.slot)).collect();
    // Who cannot connect sees no certificate: that says nothing. Who is well without one needs none.
    let well = !present.voices.is_empty() && present.voices.iter().all(|voice| voice.newest != Vote::Down);
    let Some((expires, within_us)) = seen.into_iter().min_by_key(|(expires, within_us)| expires.plus_us(-within_us))
    else {
        return Expiry { condition: if well { Condition::Good } else { Condition::Unknown }, next: None };
    };
    let class = check.newest().labels.class;
    let began = check.policies().first().map_or(now, |(from, _, _)| *from);
    let left_us = expires.us_since(now);
    let condition = if left_us < within_us {
        let kind = if left_us <= URGENT_US { IncidentKind::Down } else { IncidentKind::Certificate };
        Condition::Bad { since: expires.plus_us(-within_us).max(began), severity: class.severity(kind) }
    } else {
        Condition::Good
    };
    let turns = [expires.plus_us(1 - within_us), expires.plus_us(-URGENT_US)];
    Expiry { condition, next: turns.into_iter().filter(|at| *at > now).min() }
}
