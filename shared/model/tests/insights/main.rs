//! The insights' detectors on synthetic histories with planted causes: a small run of the benchmark `insights`, the same for each run, with margins.

#[path = "../../benches/insights/agents.rs"]
mod agents;
#[path = "../../benches/insights/events.rs"]
mod events;
#[path = "../../benches/insights/facts.rs"]
mod facts;
#[path = "../../benches/insights/latency.rs"]
mod latency;
#[path = "../../benches/insights/noise.rs"]
mod noise;
#[path = "../../benches/insights/pages.rs"]
mod pages;

use std::ops::Range;

use noise::Outcome;
use pages::Planted;
use sitepulse_model::vitals::Vital;

const SEEDS: Range<u64> = 0..20;
/// Clean histories: they are long.
const CLEAN: u64 = 2;

/// Of twenty histories two may be missed, and a finding or two of nothing in some years is chance.
fn holds(outcome: &Outcome) {
    let says = format!(
        "{}: recall {}, {} findings a clean year, {} h until found",
        outcome.name,
        outcome.recall(),
        outcome.false_a_year(),
        outcome.delay(0.5)
    );
    assert!(outcome.planted > 0 && outcome.found + 2 >= outcome.planted, "{says}");
    assert!(outcome.false_findings as f64 <= 1.0 + 2.0 * outcome.clean_years, "{says}");
}

#[test]
fn latency_regressions() {
    holds(&latency::regression("latency_regression", SEEDS, (1.4, 2.5), CLEAN));
}

#[test]
fn slow_regions() {
    let (outcome, named) = latency::regional("region_slow", SEEDS, (1.5, 3.0), CLEAN);
    holds(&outcome);
    assert!(named * 2 > outcome.found, "{named}");
}

#[test]
fn pages_that_get_worse() {
    for (vital, factors) in [(Vital::Lcp, (1.3, 2.0)), (Vital::Cls, (1.5, 3.0))] {
        let (outcome, named) = pages::worse("vitals_regression", SEEDS, vital, factors, CLEAN);
        holds(&outcome);
        for ((planted, what), one) in Planted::ALL.iter().zip(&named) {
            assert!(one.right * 3 >= one.found * 2, "{what}: {one:?}");
            let is_there = *planted == Planted::Nothing || (*planted == Planted::Source) == (vital == Vital::Cls);
            assert_eq!(one.found > 0, is_there, "{what} of {}", vital.as_str());
        }
    }
}

#[test]
fn agents_that_stand_out() {
    holds(&agents::resolvers("slow_resolver", SEEDS, (60.0, 400.0), CLEAN));
    holds(&agents::disagreement("agent_disagrees", SEEDS, (0.08, 0.4), CLEAN));
}

#[test]
fn what_verdicts_tell() {
    holds(&events::flaps(SEEDS));
    holds(&events::failures(SEEDS));
    holds(&events::budgets("budget_forecast", SEEDS, true));
}

#[test]
fn facts_are_facts() {
    for outcome in [facts::expiring(SEEDS), facts::vain(SEEDS), facts::gaps(SEEDS)] {
        holds(&outcome);
        assert_eq!((outcome.found, outcome.false_findings), (outcome.planted, 0), "{}", outcome.name);
    }
}
