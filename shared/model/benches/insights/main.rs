//! How well the insights' detectors find what was planted in synthetic histories, how often they find something where nothing was, and how long they take.
//!
//!     cargo bench -p sitepulse-model --bench insights
//!
//! Histories of the seeds 60 to 199 (`SITEPULSE_BENCH_SEEDS=60..200`): the thresholds were tuned on those before. The goals are in `docs/benchmarks.md`; `tests/insights` holds a
//! smaller run of the same against them, with margins.
//!
//! False findings are counted by series first: a check has several. What a check, or a page in three regions, comes to in all is told at the end, where everything was measured.

mod agents;
mod events;
mod facts;
mod latency;
mod noise;
mod pages;

use std::ops::Range;

use noise::Outcome;
use pages::{Named, Planted};
use sitepulse_model::vitals::Vital;

fn main() {
    let seeds = seeds().unwrap_or(60..200);
    let count = seeds.end - seeds.start;
    // Two words of a kind's name choose it.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str()));
    println!("seeds {seeds:?}; recall, findings a clean year, hours until found (median, 95 %)");
    let all = || seeds.clone();
    // Of what every check has, and of what each vital of a page has besides, in one region.
    let (mut http, mut whole, mut vitals) = (0.0, 0.0, 0.0);
    if is_chosen("latency_regression") {
        let outcome = latency::regression("latency_regression: 1.4 to 2.5 times", all(), (1.4, 2.5), count);
        http += tell(&outcome);
        for by in [1.2, 1.25, 1.3, 1.4, 1.5, 2.0] {
            tell(&latency::regression(&format!("  {by} times"), all(), (by, by), 0));
        }
    }
    if is_chosen("region_slow") {
        let (outcome, named) = latency::regional("region_slow: 1.5 to 3 times", all(), (1.5, 3.0), count);
        http += tell(&outcome);
        println!("  the right part was named in {named} of {}", outcome.found);
        for by in [1.2, 1.3, 1.4, 1.5, 2.0] {
            tell(&latency::regional(&format!("  {by} times"), all(), (by, by), 0).0);
        }
    }
    if is_chosen("vitals_regression") {
        let (outcome, named) =
            pages::worse("vitals_regression: LCP 1.3 to 2 times", all(), Vital::Lcp, (1.3, 2.0), count);
        vitals += tell(&outcome);
        tell_named(&named);
        let (outcome, named) =
            pages::worse("vitals_regression: CLS 1.5 to 3 times", all(), Vital::Cls, (1.5, 3.0), count);
        vitals += tell(&outcome);
        tell_named(&named);
        for vital in [Vital::Fcp, Vital::Ttfb] {
            let name = format!("vitals_regression: {} 1.3 to 2 times", vital.as_str());
            vitals += tell(&pages::worse(&name, all(), vital, (1.3, 2.0), count).0);
        }
        for vital in [Vital::Tbt, Vital::Inp] {
            let name = format!("vitals_regression: {} 1.5 to 3 times", vital.as_str());
            vitals += tell(&pages::worse(&name, all(), vital, (1.5, 3.0), count).0);
        }
        for by in [1.15, 1.2, 1.3, 1.5] {
            tell(&pages::worse(&format!("  LCP {by} times"), all(), Vital::Lcp, (by, by), 0).0);
        }
    }
    if is_chosen("slow_resolver") {
        tell(&agents::resolvers("slow_resolver: 60 to 400 ms more", all(), (60.0, 400.0), count));
        for by in [30.0, 40.0, 60.0] {
            tell(&agents::resolvers(&format!("  {by} ms more"), all(), (by, by), 0));
        }
    }
    if is_chosen("agent_disagrees") {
        tell(&agents::disagreement("agent_disagrees: 8 to 40 % of its answers", all(), (0.08, 0.4), count));
        for by in [0.05, 0.06, 0.08, 0.1] {
            let name = format!("  {} % of its answers", by * 100.0);
            tell(&agents::disagreement(&name, all(), (by, by), 0));
        }
    }
    if is_chosen("budget_forecast") {
        tell(&events::budgets("budget_forecast: burns 3 to 15 times too fast", all(), true));
        tell(&events::budgets("  without the window of a day", all(), false));
    }
    type Measure = fn(Range<u64>) -> Outcome;
    let rest: [(&str, Measure); 5] = [
        ("flapping", events::flaps),
        ("correlated_failures", events::failures),
        ("expiry", facts::expiring),
        ("cannot_fail", facts::vain),
        ("coverage_gap", facts::gaps),
    ];
    for (_, measure) in rest.iter().filter(|(name, _)| is_chosen(name)) {
        whole += tell(&measure(all()));
    }
    if chosen.is_empty() {
        println!("findings a clean year of one check, all of its series together:");
        println!("{:54} {:6.2}", "  an HTTP check, in however many regions", http + whole);
        println!("{:54} {:6.2}", "  a page in 3 regions, six vitals in each", 3.0 * vitals + whole);
    }
}

/// `FROM..TO`.
fn seeds() -> Option<Range<u64>> {
    let text = std::env::var("SITEPULSE_BENCH_SEEDS").ok()?;
    let (from, to) = text.split_once("..")?;
    let seeds = from.parse().ok()?..to.parse().ok()?;
    (!seeds.is_empty()).then_some(seeds)
}

/// Prints how well what came with a page's regression was named.
fn tell_named(named: &[Named; 4]) {
    for ((_, what), Named { found, right }) in Planted::ALL.iter().zip(named).filter(|(_, one)| one.found > 0) {
        println!("  named alone: {what:41} {:5.1} % of {found:3}", 100.0 * *right as f64 / *found as f64);
    }
}

/// Prints what was measured. Hands back the findings a clean year.
fn tell(outcome: &Outcome) -> f64 {
    let years = if outcome.clean_years > 0.0 {
        format!("{:6.2} in {:4.0} years", outcome.false_a_year(), outcome.clean_years)
    } else {
        String::from("-")
    };
    println!(
        "{:54} {:5.1} % of {:3}   {:21} {:6.1} {:6.1}",
        outcome.name,
        outcome.recall() * 100.0,
        outcome.planted,
        years,
        outcome.delay(0.5),
        outcome.delay(0.95)
    );
    outcome.false_a_year()
}
