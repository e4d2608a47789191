//! What protocols told, in rows of label and value: of an agent's last result, of a run now, of an incident's evidence.

use serde_json::Value;
use sitepulse_model::record::FactKey;
use sitepulse_model::vitals::Vital;

use crate::facts;
use crate::present::dto::FactsView;
use crate::present::figure;
use crate::present::text::Texts;

/// A fact.
pub(super) struct FactRow {
    pub(super) label: String,
    /// Several of a list.
    pub(super) values: Vec<String>,
    /// Its lines are long: it takes the whole width.
    pub(super) wide: bool,
}

/// The facts as rows; without what stands in the vitals beside them, where there are some.
pub(super) fn rows(address: Option<&str>, told: &FactsView, beside: bool, t: &Texts) -> Vec<FactRow> {
    let row = |label: &str, values: Vec<String>| FactRow { label: label.to_owned(), values, wide: false };
    let mut rows: Vec<FactRow> = address.map(|address| row(t.address, vec![address.to_owned()])).into_iter().collect();
    for (key, label) in [
        ("status", t.fact_status),
        ("body_bytes", t.fact_body_bytes),
        ("certificate_expires", t.fact_certificate_expires),
    ] {
        if let Some(value) = told.get(key) {
            rows.push(row(label, texts(None, value, t)));
        }
    }
    for key in FactKey::ALL.iter().filter(|key| !(beside && speaks_of_vitals(**key))) {
        if let Some(value) = told.get(key.as_str()) {
            let wide = *key == FactKey::CertificateChain;
            rows.push(FactRow { wide, ..row((t.fact)(*key), texts(Some(*key), value, t)) });
        }
    }
    rows
}

/// Whether a fact is shown by the vitals of a page, better.
fn speaks_of_vitals(key: FactKey) -> bool {
    let others = [
        FactKey::LoadsCounted,
        FactKey::LoadsLowConfidence,
        FactKey::Requests,
        FactKey::TransferBytes,
        FactKey::FailedRequests,
        FactKey::JsErrors,
        FactKey::Dialogs,
        FactKey::Profile,
        FactKey::Browser,
        FactKey::LcpElement,
        FactKey::LcpUrl,
    ];
    others.contains(&key) || Vital::ALL.iter().any(|vital| vital.facts().contains(&key))
}

/// A fact's value for people; each of a list.
fn texts(key: Option<FactKey>, value: &Value, t: &Texts) -> Vec<String> {
    match (key, value.as_i64()) {
        (
            Some(FactKey::RttMin | FactKey::RttAvg | FactKey::RttMax | FactKey::Jitter | FactKey::JobDuration),
            Some(us),
        ) => vec![(t.number)(figure::latency(us as f64 / 1e6))],
        (Some(_) | None, _) => facts::lines(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::text::Language;

    #[test]
    fn no_label_of_a_fact_is_empty() {
        for language in Language::ALL {
            let t = language.texts();
            assert!(FactKey::ALL.iter().all(|key| !(t.fact)(*key).is_empty()));
        }
    }
}
