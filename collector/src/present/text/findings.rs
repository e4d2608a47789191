//! The words of findings: the sentence of each is made of its evidence, and nothing else.

mod en;
mod fr;

use sitepulse_daemon::instant;
use sitepulse_model::insight::found::{AttributionChange, Found};
use sitepulse_model::insight::{Kind, Severity, Subject};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;

use crate::insight::life::{Entry, State};
use crate::present::figure;

pub use en::EN;
pub use fr::FR;

/// Every text about findings.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct FindingTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub finding: &'static str,
    pub kind: fn(Kind) -> &'static str,
    pub severity: fn(Severity) -> &'static str,
    pub state: fn(State) -> &'static str,
    pub stale: &'static str,
    /// What was found, in a sentence, without how sure that is.
    pub sentence: fn(&Found) -> String,
    /// How sure: `confidence 97 %`.
    pub confidence: fn(&str) -> String,
    /// The evidence as rows: what, how much.
    pub rows: fn(&Found) -> Vec<(String, String)>,
    /// A row of the history.
    pub entry: fn(&Entry) -> String,
    pub evidence: &'static str,
    pub history: &'static str,
    pub found_first: &'static str,
    pub found_last: &'static str,
    pub since: &'static str,
    pub closed: &'static str,
    pub counts_for: &'static str,
    pub missing: fn(&str) -> String,
    pub acknowledge: &'static str,
    pub acknowledge_what: &'static str,
    pub acknowledged_by: fn(&str, &str) -> String,
    pub note: &'static str,
    pub take_back: &'static str,
    pub none: &'static str,
    pub none_match: &'static str,
    pub none_yet: &'static str,
    pub none_of_check: &'static str,
    pub all: &'static str,
    pub standing: &'static str,
    pub over: &'static str,
    pub worded: fn(&str) -> String,
    pub see: &'static str,
    pub see_latency: &'static str,
    pub see_explain: &'static str,
    pub see_incidents: &'static str,
    pub see_objective: &'static str,
    pub see_agent: &'static str,
    pub see_definition: &'static str,
    pub nobody: &'static str,
}

/// `182 ms` of microseconds.
fn latency(us: u64) -> String {
    figure::latency(us as f64 / 1e6)
}

/// `+120 ms`, of microseconds.
fn excess(us: i64) -> String {
    figure::offset(us as f64 / 1e6)
}

/// `1.8` of 1800; cut, so that nothing seems worse than it is.
fn times(per_mille: u64) -> String {
    if per_mille >= 9_950 {
        (per_mille / 1_000).to_string()
    } else if !per_mille.is_multiple_of(100) && per_mille < 2_000 {
        format!("{}.{:02}", per_mille / 1_000, per_mille % 1_000 / 10)
    } else {
        format!("{}.{}", per_mille / 1_000, per_mille % 1_000 / 100)
    }
}

/// `6.2 %` of 62.
fn share(per_mille: u32) -> String {
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

/// `2026-11-21 14:00 UTC`.
fn minute(at: UtcMicros) -> String {
    let text = instant::format(at);
    text.get(..16).map_or_else(|| text.clone(), |at| format!("{} UTC", at.replace('T', " ")))
}

/// `6 d 4 h`, of microseconds; `day` is the sign of a day.
fn length(us: i64, day: &str) -> String {
    figure::length(us.unsigned_abs() as f64 / 1e6, day)
}

/// A vital in its own unit.
fn vital(of: Vital, value: u64) -> String {
    figure::vital(of, value as f64 / if of.is_duration() { 1e3 } else { 1e4 })
}

fn count(value: u64) -> String {
    figure::count(value)
}

/// What a finding is about, by its name.
pub fn name_of(subject: &Subject) -> &str {
    match subject {
        Subject::Check { check, .. } => check,
        Subject::Agent { agent } => agent,
        Subject::Objective { slo } => slo,
        Subject::Shared { what } => what.split_once(':').map_or(what, |(_, what)| what),
    }
}

/// Names with a word between the last two; of many the first, and how many more.
fn listed(names: &[String], and: &str, more: impl Fn(usize) -> String) -> String {
    const SHOWN: usize = 3;
    match names {
        [] => String::new(),
        [one] => one.clone(),
        _ if names.len() > SHOWN => {
            format!("{} {and} {}", names[..SHOWN - 1].join(", "), more(names.len() + 1 - SHOWN))
        }
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}

/// What came with a change, of each kind the first, two at most.
fn new_with_it(
    changed: &[AttributionChange],
    before: &str,
    and: &str,
    tell: impl Fn(&AttributionChange) -> String,
) -> String {
    let mut told: Vec<&AttributionChange> = Vec::new();
    for one in changed {
        if told.len() < 2 && told.iter().all(|other| other.of != one.of) {
            told.push(one);
        }
    }
    let told: Vec<String> = told.into_iter().map(tell).collect();
    if told.is_empty() { String::new() } else { format!("{before}{}", told.join(and)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_flatter_nobody() {
        assert_eq!([1_800, 1_420, 1_999, 2_460, 12_400, 1_000].map(times), ["1.8", "1.42", "1.99", "2.4", "12", "1.0"]);
        assert_eq!(share(62), "6.2 %");
        let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
        let of = |count: usize| listed(&names[..count], "and", |more| format!("{more} more"));
        assert_eq!([of(1), of(2), of(3), of(4)], ["a", "a and b", "a, b and c", "a, b and 2 more"]);
    }
}
