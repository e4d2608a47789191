//! Certificates and domains that are about to expire, as the newest results of the live voters tell: the soonest of what they saw.
//!
//! What was about to expire is fine once nobody has seen it for [`SETTLE_US`]: behind one name the renewed certificate and the old one may take turns.

use sitepulse_model::check::CheckKind;
use sitepulse_model::id::AgentNo;
use sitepulse_model::incident::{Condition, IncidentKind};
use sitepulse_model::notice::Found;
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

/// What a result tells of.
struct Told {
    expires: UtcMicros,
    /// How long before that is soon, in microseconds.
    within_us: i64,
    found: Found,
}

/// What a result tells of: its certificate, and the end of its domain's registration.
fn told(settings: &Settings, check: &Check, agent: AgentNo, slot: UtcMicros) -> Vec<Told> {
    let last = check.pairs.get(&agent).and_then(|pair| pair.last.as_deref()).filter(|last| last.scheduled == slot);
    let Some(facts) = last.map(|last| &last.facts) else { return Vec::new() };
    let domain = facts.number_of(FactKey::DomainExpires).map(|seconds| {
        let expires = UtcMicros(seconds.saturating_mul(SECOND_US));
        let kind = &check.newest().definition.kind;
        let name = if matches!(kind, CheckKind::Domain(_)) { Some(kind.describe()) } else { kind.host() };
        Told { expires, within_us: settings.domain_within_us, found: Found::Domain { name, expires } }
    });
    let certificate = facts.certificate_expires.map(|expires| {
        let named = [FactKey::CertificateSubject, FactKey::CertificateNames].into_iter();
        let name = named.filter_map(|key| facts.texts_of(key).next()).find(|name| !name.is_empty()).map(str::to_owned);
        Told { expires, within_us: settings.certificate_within_us, found: Found::Certificate { name, expires } }
    });
    certificate.into_iter().chain(domain).collect()
}

/// Of all that live voters saw what is to be looked after first.
fn soonest(settings: &Settings, check: &Check, present: &Present) -> Option<Told> {
    let seen = present.voices.iter().flat_map(|voice| told(settings, check, voice.agent, voice.slot));
    seen.min_by_key(|told| told.expires.plus_us(-told.within_us))
}

/// What expires first of a check, soon or not.
pub(super) fn found(settings: &Settings, check: &Check, present: &Present) -> Option<Found> {
    soonest(settings, check, present).map(|told| told.found)
}

pub(super) fn of(settings: &Settings, check: &Check, present: &Present, now: UtcMicros) -> Expiry {
    // Who cannot connect sees no certificate: that says nothing. Who is well without one needs none.
    let well = !present.voices.is_empty() && present.voices.iter().all(|voice| voice.newest != Vote::Down);
    let Some(Told { expires, within_us, .. }) = soonest(settings, check, present) else {
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
