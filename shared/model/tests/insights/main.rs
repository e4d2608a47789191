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

use noise::Outcome;
use sitepulse_model::vitals::Vital;

const SEEDS: u64 = 8;

/// Of few histories one may be missed, and a finding or two of nothing in some years is chance.
fn holds(outcome: &Outcome) {
    println!(
        "{} {} {} {} {} {} {}",
        outcome.name,
        outcome.planted,
        outcome.found,
        outcome.false_findings,
        outcome.clean_years,
        outcome.delay(0.5),
        outcome.delay(0.95)
    );
    assert!(outcome.planted > 0 && outcome.found + 1 >= outcome.planted, "{}", outcome.name);
    assert!(outcome.false_findings as f64 <= 1.0 + 2.0 * outcome.clean_years, "{}", outcome.name);
}

#[test]
fn latency_regressions() {
    holds(&latency::regression("latency_regression", SEEDS, (1.4, 2.5), true));
}

#[test]
fn slow_regions() {
    let (outcome, named) = latency::regional("region_slow", SEEDS, (1.5, 3.0), true);
    holds(&outcome);
    assert!(named * 2 > outcome.found, "{named}");
}

#[test]
fn pages_that_get_worse() {
    let (outcome, named) = pages::worse("vitals_regression", SEEDS, Vital::Lcp, (1.3, 2.0), true);
    holds(&outcome);
    assert!(named * 2 > outcome.found, "{named}");
    holds(&pages::worse("vitals_regression", SEEDS, Vital::Cls, (1.5, 3.0), true).0);
}

#[test]
fn agents_that_stand_out() {
    holds(&agents::resolvers("slow_resolver", SEEDS, (60.0, 400.0), true));
    holds(&agents::disagreement("agent_disagrees", SEEDS, (0.08, 0.4), true));
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
