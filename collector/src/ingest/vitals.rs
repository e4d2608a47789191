//! Which vitals make sense. Documents are not judged here: a fault in one costs the document, not the record ([`crate::vitals::Documents`]).

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::record::{FACT_BYTES_MAX, FactKey, FactValue, Facts, beginning};
use sitepulse_model::vitals::Vital;

use super::SetAside;
use crate::vitals::profile_of;

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
    let most = i64::try_from(vital.value_max()).unwrap_or(i64::MAX);
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
        (key, FactValue::Number(_)) => key.is_number() || key.is_document(),
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
