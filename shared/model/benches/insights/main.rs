//! How well the insights' detectors find what was planted in synthetic histories, how often they find something where nothing was, and how long they take.
//!
//!     cargo bench -p sitepulse-model --bench insights
//!
//! 200 histories a kind (`SITEPULSE_BENCH_SEEDS`). The goals are in `docs/benchmarks.md`; `tests/insights.rs` holds a smaller run of the same against them, with margins.

mod agents;
mod events;
mod facts;
mod latency;
mod noise;
mod pages;

use noise::Outcome;
use sitepulse_model::vitals::Vital;

fn main() {
    let seeds = std::env::var("SITEPULSE_BENCH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    // Two words of a kind's name choose it.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str()));
    println!("{seeds} histories each; recall, findings a clean year, hours until found (median, 95 %)");
    if is_chosen("latency_regression") {
        tell(&latency::regression("latency_regression: 1.4 to 2.5 times", seeds, (1.4, 2.5), seeds));
        for by in [1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 2.0] {
            tell(&latency::regression(&format!("  {by} times"), seeds, (by, by), 0));
        }
    }
    if is_chosen("region_slow") {
        let (outcome, named) = latency::regional("region_slow: 1.5 to 3 times", seeds, (1.5, 3.0), seeds);
        tell(&outcome);
        println!("  the right part was named in {named} of {}", outcome.found);
        for by in [1.2, 1.3, 1.4, 1.5, 2.0] {
            tell(&latency::regional(&format!("  {by} times"), seeds, (by, by), 0).0);
        }
    }
    if is_chosen("vitals_regression") {
        let (outcome, named) =
            pages::worse("vitals_regression: LCP 1.3 to 2 times", seeds, Vital::Lcp, (1.3, 2.0), seeds);
        tell(&outcome);
        println!(
            "  the new element, or the new image of the same one, was named alone in {named} of {}",
            outcome.found
        );
        let (outcome, named) =
            pages::worse("vitals_regression: CLS 1.5 to 3 times", seeds, Vital::Cls, (1.5, 3.0), seeds);
        tell(&outcome);
        println!("  what moves besides was named alone in {named} of {}", outcome.found);
        for by in [1.1, 1.15, 1.2, 1.3, 1.5] {
            tell(&pages::worse(&format!("  LCP {by} times"), seeds, Vital::Lcp, (by, by), 0).0);
        }
    }
    if is_chosen("slow_resolver") {
        tell(&agents::resolvers("slow_resolver: 60 to 400 ms more", seeds, (60.0, 400.0), seeds));
        for by in [20.0, 30.0, 40.0, 60.0] {
            tell(&agents::resolvers(&format!("  {by} ms more"), seeds, (by, by), 0));
        }
    }
    if is_chosen("agent_disagrees") {
        tell(&agents::disagreement("agent_disagrees: 8 to 40 % of its answers", seeds, (0.08, 0.4), seeds));
        for by in [0.05, 0.06, 0.08, 0.1] {
            let name = format!("  {} % of its answers", by * 100.0);
            tell(&agents::disagreement(&name, seeds, (by, by), 0));
        }
    }
    if is_chosen("budget_forecast") {
        tell(&events::budgets("budget_forecast: burns 3 to 15 times too fast", seeds, true));
        tell(&events::budgets("  without the window of a day", seeds, false));
    }
    type Measure = fn(u64) -> Outcome;
    let rest: [(&str, Measure); 5] = [
        ("flapping", events::flaps),
        ("correlated_failures", events::failures),
        ("expiry", facts::expiring),
        ("cannot_fail", facts::vain),
        ("coverage_gap", facts::gaps),
    ];
    for (_, measure) in rest.iter().filter(|(name, _)| is_chosen(name)) {
        tell(&measure(seeds));
    }
}

fn tell(outcome: &Outcome) {
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
}
