//! Which vitals make sense.
//!
//! A report that is JSON, but not in this build's words, is kept: a newer agent may say more. It is then shown to nobody.

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::record::{FACT_BYTES_MAX, FactKey, FactValue, Facts, beginning};
use sitepulse_model::vitals::{CLS_SCALE, Vital};

use super::SetAside;
use crate::vitals::{jpeg_of, profile_of};

/// Longest duration of a vital, in microseconds: an hour, far beyond any deadline.
const DURATION_US_MAX: i64 = 3_600 * 1_000_000;
/// Largest layout shift. Scores of a session window add up; 100 screens in five seconds are no page.
const CLS_MAX: i64 = 100 * CLS_SCALE as i64;
/// Most loads of one run that are believed.
const LOADS_MAX: i64 = 1_000;

/// Judges what a result says of a page.
pub(super) fn sane_vitals(definition: &CheckDefinition, facts: &Facts) -> Result<(), SetAside> {
    let of_a_page = profile_of(definition).is_some();
    if of_a_page && Vital::ALL.iter().all(|vital| sane_values(*vital, facts)) && facts.more.iter().all(sane_fact) {
        return Ok(());
    }
    let speaks_of_a_page = |key: FactKey| key.is_document() || Vital::ALL.iter().any(|one| one.facts().contains(&key));
    if !of_a_page && !facts.more.iter().any(|fact| speaks_of_a_page(fact.key)) {
        return Ok(());
    }
    Err(SetAside::BadVitals)
}

/// All three or none, in order, within bounds.
fn sane_values(vital: Vital, facts: &Facts) -> bool {
    let most = if vital.is_duration() { DURATION_US_MAX } else { CLS_MAX };
    match vital.facts().map(|key| facts.number_of(key)) {
        [Some(median), Some(min), Some(max)] => 0 <= min && min <= median && median <= max && max <= most,
        [None, None, None] => true,
        _ => false,
    }
}

fn sane_fact(fact: &sitepulse_model::record::Fact) -> bool {
    match (fact.key, &fact.value) {
        (FactKey::LoadsCounted | FactKey::LoadsLowConfidence, FactValue::Number(loads)) => {
            (0..=LOADS_MAX).contains(loads)
        }
        (FactKey::VitalsReport, FactValue::Text(text)) => {
            text.len() <= fact.key.bytes_max()
                && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
        }
        (FactKey::Screenshot, FactValue::Text(text)) => text.len() <= fact.key.bytes_max() && jpeg_of(text).is_some(),
        (key, FactValue::Number(_)) => key.is_number(),
        (key, FactValue::Text(_)) => !key.is_number(),
    }
}

/// Leaves the beginning of each document: what is set aside is kept for people to see what was wrong, and must not fill the disk.
pub(super) fn cut_documents(facts: &mut Facts) {
    for fact in facts.more.iter_mut().filter(|fact| fact.key.is_document()) {
        if let FactValue::Text(text) = &mut fact.value {
            text.truncate(beginning(text, FACT_BYTES_MAX).len());
        }
    }
}
