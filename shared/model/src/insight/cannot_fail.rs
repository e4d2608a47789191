//! An assertion, or a check, that nothing could break.
//!
//! **By analysis.** [`crate::expect::Expectation::always`] says of a condition whether it comes out the same whatever is answered: `status >= 0`, `body matches /.*/`, `degraded if latency > 30s` where a run
//! ends after ten. A hard one that always holds and a `down if` or `degraded if` that is never met do nothing. What is said is proven, so the confidence is 1000.
//!
//! **By evidence.** A check of HTTP that has never been anything but up, over a thousand runs and four weeks, and whose assertions (with the kind's own) take the plainest error page for good: they are
//! evaluated against answers of 404, 500 and 503 with a small page, and what they let pass is told. It may be meant so; that it never failed is the only sign that nobody would know. Confidence is the share
//! of the three statuses that pass.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use super::found::{CannotFail, Evidence, Found};
use super::input::Asserted;
use super::thresholds::Vain;
use super::{Confidence, DAY_US, Severity, Subject, robust};
use crate::check::CheckKind;
use crate::expect::{self, Expectation, Observed, Rule};
use crate::record::{Facts, Phase, Phases, ProbeState};
use crate::time::UtcMicros;

/// The statuses of the error pages.
const ERRORS: [u16; 3] = [404, 500, 503];

/// What of a check cannot fail, at `now`: its assertions in their order, then the check as a whole.
pub fn find(asserted: &Asserted<'_>, thresholds: &Vain, now: UtcMicros) -> Vec<Found> {
    let definition = asserted.definition;
    let check = || definition.id.as_str().to_owned();
    let mut found: Vec<Found> = Vec::new();
    for (index, expectation) in definition.expect.iter().enumerate() {
        let Some(why) = vain(expectation, definition.run_us_max()) else { continue };
        let evidence = Evidence::CannotFail {
            why,
            assertion: expectation.source().to_owned(),
            index: Some(index as u32),
            accepted_statuses: Vec::new(),
            runs: 0,
            watched_us: 0,
        };
        let subject = Subject::Check { check: check(), part: alloc::format!("assertion:{index}") };
        let severity = match expectation.rule() {
            Rule::Hard | Rule::DownIf => Severity::Warning,
            Rule::DegradedIf => Severity::Info,
        };
        found.push(Found::new(subject, severity, Confidence(1000), evidence, asserted.since));
    }
    let Some(runs) = asserted.runs else { return found };
    let watched_us = runs.last_at.min(now).us_since(runs.first_at);
    let accepted = accepted(asserted);
    let never_failed = runs.not_up == 0 && runs.up >= thresholds.runs_min && watched_us >= thresholds.watched_us_min;
    if never_failed && !accepted.is_empty() {
        let confidence = robust::share(accepted.len() as f64 / ERRORS.len() as f64);
        let evidence = Evidence::CannotFail {
            why: CannotFail::AcceptsErrorPage,
            assertion: String::new(),
            index: None,
            accepted_statuses: accepted,
            runs: runs.up,
            watched_us,
        };
        let subject = Subject::Check { check: check(), part: String::new() };
        found.push(Found::new(subject, Severity::Warning, confidence, evidence, asserted.since));
    }
    found
}

/// Why an assertion does nothing; `None` where it may do something.
fn vain(expectation: &Expectation, run_us_max: u64) -> Option<CannotFail> {
    match (expectation.rule(), expectation.always(run_us_max)?) {
        (Rule::Hard, true) => Some(CannotFail::AlwaysHolds),
        (Rule::DownIf | Rule::DegradedIf, false) => Some(CannotFail::NeverMet),
        // Those fail always: that is seen at once, and no finding.
        (Rule::Hard, false) | (Rule::DownIf | Rule::DegradedIf, true) => None,
    }
}

/// The error statuses that a check of HTTP takes for good.
fn accepted(asserted: &Asserted<'_>) -> Vec<u16> {
    let CheckKind::Http(_) = &asserted.definition.kind else { return Vec::new() };
    let list = expect::with_defaults("http", &asserted.definition.expect);
    let passes = |status: &u16| {
        let body = alloc::format!("<html><head><title>Error {status}</title></head><body>Error {status}</body></html>");
        // All else is as it should be: a quick answer over a good connection.
        let certificate_expires = Some(asserted.since.plus_us(365 * DAY_US));
        let facts = Facts { status: Some(*status), certificate_expires, ..Facts::default() };
        let mut phases = Phases::default();
        Phase::ALL.iter().for_each(|phase| phases.add(*phase, 1));
        let observed = Observed {
            facts: &facts,
            body: body.as_bytes(),
            body_bytes: body.len() as u64,
            body_truncated: false,
            headers: &(),
            phases,
            now: asserted.since,
            thresholds: None,
        };
        expect::evaluate(&list, &observed).state == ProbeState::Up
    };
    ERRORS.into_iter().filter(passes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckDefinition;
    use crate::control::Weight;
    use crate::id::CheckId;
    use crate::insight::input::RunsEver;
    use crate::quorum::Quorum;

    const NOW: UtcMicros = UtcMicros(400 * DAY_US);

    fn definition(expect: &[&str]) -> CheckDefinition {
        CheckDefinition {
            id: CheckId::parse("shop").unwrap(),
            kind: CheckKind::http("https://shop.test/"),
            interval_us: 60_000_000,
            timeout_us: 10_000_000,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
            expect: expect.iter().map(|text| Expectation::parse(text, "http").unwrap()).collect(),
        }
    }

    fn told(expect: &[&str], up: u64, not_up: u64, days: i64) -> Vec<(CannotFail, Option<u32>, Vec<u16>)> {
        let (definition, first_at) = (definition(expect), NOW.plus_us(-days * DAY_US));
        let runs = Some(RunsEver { up, not_up, first_at, last_at: NOW });
        find(&Asserted { definition: &definition, since: first_at, runs }, &Vain::default(), NOW)
            .into_iter()
            .map(|found| {
                let Evidence::CannotFail { why, index, accepted_statuses, .. } = found.evidence else {
                    panic!("another kind")
                };
                (why, index, accepted_statuses)
            })
            .collect()
    }

    #[test]
    fn assertions_that_do_nothing_are_told_by_their_place() {
        let list = ["status == 200", "body matches /.*/", "degraded if latency > 30s", "down if status == 700"];
        let want = [
            (CannotFail::AlwaysHolds, Some(1), Vec::new()),
            (CannotFail::NeverMet, Some(2), Vec::new()),
            (CannotFail::NeverMet, Some(3), Vec::new()),
        ];
        assert_eq!(told(&list, 0, 0, 0), want);
        assert_eq!(told(&["status == 700", "degraded if size >= 0"], 5_000, 0, 60), [], "those always fail");
    }

    #[test]
    fn a_check_that_never_failed_and_takes_an_error_page() {
        let all = Vec::from(ERRORS);
        let want = |statuses: &[u16]| Vec::from([(CannotFail::AcceptsErrorPage, None, Vec::from(statuses))]);
        assert_eq!(told(&["status > 199", "latency < 5s", "certificate.days > 14"], 5_000, 0, 60), want(&all));
        assert_eq!(told(&["status < 500"], 5_000, 0, 60), want(&[404]));
        assert_eq!(told(&["status > 199"], 5_000, 1, 60), [], "it failed once");
        assert_eq!(told(&["status > 199"], 5_000, 0, 20), [], "not for long");
        assert_eq!(told(&["status > 199"], 900, 0, 60), [], "not often");
        assert_eq!(told(&[], 5_000, 0, 60), [], "the kind's own assertion takes none");
        assert_eq!(told(&["status > 199", "body contains 'Welcome'"], 5_000, 0, 60), []);
        assert_eq!(told(&["status > 199", "degraded if status >= 400"], 5_000, 0, 60), [], "degraded is not good");
        let vain = told(&["status >= 100"], 5_000, 0, 60);
        assert_eq!(
            vain.iter().map(|(why, ..)| *why).collect::<Vec<_>>(),
            [CannotFail::AlwaysHolds, CannotFail::AcceptsErrorPage]
        );
    }
}
