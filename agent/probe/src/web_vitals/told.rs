//! What a run tells: figures as facts, and the report within its bound.

use serde_json::Value;
use sitepulse_browser::Loaded;
use sitepulse_model::record::{FactKey, Facts};
use sitepulse_model::vitals::report::{Page, Report};
use sitepulse_model::vitals::{Spread, Vital};

use crate::attempt::Attempt;
use crate::tools::Secrets;

/// Notes what a page was, beside its figures.
pub(super) fn page_facts(attempt: &mut Attempt<'_>, page: &Page, asked_for: &str) {
    let facts = &mut attempt.facts;
    facts.status = page.status;
    let version = match page.protocol.as_str() {
        "h2" => "HTTP/2",
        "h3" => "HTTP/3",
        "http/1.0" => "HTTP/1.0",
        "http/1.1" => "HTTP/1.1",
        _ => "",
    };
    facts.text(FactKey::HttpVersion, version);
    if page.url != asked_for {
        facts.text(FactKey::FinalUrl, &page.url);
    }
    facts.number(FactKey::Requests, page.requests.into());
    facts.number(FactKey::TransferBytes, i64::try_from(page.bytes).unwrap_or(i64::MAX));
    facts.number(FactKey::FailedRequests, page.failed_requests.into());
    facts.number(FactKey::JsErrors, page.js_errors.into());
    facts.number(FactKey::Dialogs, page.dialogs.into());
}

/// Notes what the largest paint was.
pub(super) fn paint_facts(facts: &mut Facts, shown: &Loaded) {
    if let Some(lcp) = &shown.attribution.lcp {
        facts.text(FactKey::LcpElement, &lcp.element);
        facts.text(FactKey::LcpUrl, &lcp.url);
    }
}

/// Notes a vital, within what a collector believes: a page may make its shifts as many as it likes, and must not hide its result thereby.
pub(super) fn vital_fact(facts: &mut Facts, vital: Vital, spread: Spread) {
    let within = |value: u64| value.min(vital.value_max());
    let spread = Spread { median: within(spread.median), min: within(spread.min), max: within(spread.max) };
    spread.note(vital, facts);
}

/// The report as JSON, without the values of secrets, within what a record has room for.
pub(super) fn report_json(report: Report, secrets: &Secrets) -> String {
    without_secrets(report, secrets).to_json()
}

/// Pages echo what is typed into them. Taken out of each text by itself: a secret like `4711` is part of many a number, and one with quotes looks
/// otherwise in JSON.
fn without_secrets(report: Report, secrets: &Secrets) -> Report {
    fn walk(value: &mut Value, secrets: &Secrets) {
        match value {
            Value::String(text) => *text = secrets.redact(text),
            Value::Array(list) => list.iter_mut().for_each(|value| walk(value, secrets)),
            Value::Object(map) => map.values_mut().for_each(|value| walk(value, secrets)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let Report { profile, loads, mut attribution, mut page, browser, shown } = report;
    let redacted = |value: &mut Value| walk(value, secrets);
    attribution = attribution.map(|attribution| through_json(attribution, redacted));
    page = page.map(|page| through_json(page, redacted));
    let loads = loads
        .into_iter()
        .map(|mut load| {
            load.failure = secrets.redact(&load.failure);
            load
        })
        .collect();
    Report { browser, profile, loads, shown, attribution, page }
}

fn through_json<T>(value: T, change: impl Fn(&mut Value)) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let mut json = serde_json::to_value(&value).expect("a report has no maps and no numbers that JSON lacks");
    change(&mut json);
    // Texts stay texts: what was read from it can be read again.
    serde_json::from_value(json).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use sitepulse_model::vitals::report::{Attribution, Host, Interaction, Load, Shift};

    use super::*;

    fn large() -> Report {
        let text = "\u{e9}\"".repeat(100);
        let load = Load { failure: text.clone(), host: Host { cpus: 2, ..Host::default() }, ..Load::default() };
        let shift = Shift { sources: vec![text.clone(); 5], ..Shift::default() };
        let interaction =
            Interaction { action: text.clone(), target: text.clone(), duration_us: 4_711, ..Interaction::default() };
        Report {
            loads: vec![load; 18],
            shown: Some(1),
            attribution: Some(Attribution {
                shifts: vec![shift; 5],
                interactions: vec![interaction; 5],
                ..Attribution::default()
            }),
            page: Some(Page { js_error_texts: vec![text.clone(); 5], refused: vec![text; 5], ..Page::default() }),
            ..Report::default()
        }
    }

    #[test]
    fn a_report_fits_its_record_and_still_is_one() {
        let bytes_max = FactKey::VitalsReport.bytes_max();
        assert!(serde_json::to_string(&large()).unwrap().len() > bytes_max);
        let json = report_json(large(), &Secrets::default());
        assert!(json.len() <= bytes_max, "{}", json.len());
        let read: Report = serde_json::from_str(&json).unwrap();
        assert_eq!((read.loads.len(), read.shown), (18, Some(1)));
        assert_eq!(read.attribution.unwrap().shifts.len(), 1, "what says most stays");
        let small = Report { attribution: None, ..Report::default() };
        assert_eq!(report_json(small.clone(), &Secrets::default()), serde_json::to_string(&small).unwrap());
    }

    #[test]
    fn a_page_cannot_hide_its_result_behind_a_score_that_nobody_believes() {
        let mut facts = Facts::default();
        let most = Vital::Cls.value_max();
        vital_fact(&mut facts, Vital::Cls, Spread { median: most + 1, min: 7, max: u64::MAX });
        assert_eq!(Spread::from_facts(Vital::Cls, &facts), Some(Spread { median: most, min: 7, max: most }));
    }

    #[test]
    fn what_was_typed_is_in_no_report_and_breaks_none() {
        let secrets =
            Secrets::new([("pin".to_owned(), "4711".to_owned()), ("word".to_owned(), "a\"b\\c".to_owned())].into());
        let report = Report {
            page: Some(Page { js_error_texts: vec!["no user a\"b\\c".to_owned()], bytes: 14_711, ..Page::default() }),
            loads: vec![Load { failure: "pin 4711".to_owned(), observed_us: 4_711, ..Load::default() }],
            ..Report::default()
        };
        let read: Report = serde_json::from_str(&report_json(report, &secrets)).unwrap();
        let page = read.page.unwrap();
        assert_eq!((page.js_error_texts[0].as_str(), page.bytes), ("no user secret:word", 14_711));
        assert_eq!((read.loads[0].failure.as_str(), read.loads[0].observed_us), ("pin secret:pin", 4_711));
    }
}
