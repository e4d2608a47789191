//! How well the insights' detectors find what was planted in synthetic histories, how often they find something where nothing was, and how long they take.
//!
//!     cargo bench -p sitepulse-model --bench insights
//!
//! Histories of the seeds 300 to 499 (`SITEPULSE_BENCH_SEEDS=300..500`), by which nothing was tuned. What is printed are rows of a table there. The goals are in `docs/benchmarks.md`; `tests/insights` holds a
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
    let seeds = seeds().unwrap_or(300..500);
    let count = seeds.end - seeds.start;
    // Two words of a kind's name choose it.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str()));
    println!(
        "| {count} seeds ({seeds:?}) | recall | false findings a clean year of the series (years looked at) | hours until found: median, 95 % |"
    );
    println!("|---|---|---|---|");
    let all = || seeds.clone();
    // Of what every check has, and of what each vital of a page has besides, in one region.
    let (mut http, mut whole, mut vitals) = (0.0, 0.0, 0.0);
    if is_chosen("latency_regression") {
        let outcome = latency::regression("latency_regression: 1.4 to 2.5 times", all(), (1.4, 2.5), count);
        http += tell(&outcome);
        tell_each("latency_regression: times", &[1.2, 1.25, 1.3, 1.4, 1.5, 2.0], |by| {
            latency::regression("", all(), (by, by), 0)
        });
    }
    if is_chosen("region_slow") {
        let (outcome, named) = latency::regional("region_slow: 1.5 to 3 times", all(), (1.5, 3.0), count);
        http += tell(&outcome);
        println!("| the right part was named | {named} of {} | | |", outcome.found);
        tell_each("region_slow: times", &[1.2, 1.3, 1.4, 1.5, 2.0], |by| latency::regional("", all(), (by, by), 0).0);
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
        tell_each("vitals_regression: LCP times", &[1.15, 1.2, 1.3, 1.5], |by| {
            pages::worse("", all(), Vital::Lcp, (by, by), 0).0
        });
    }
    if is_chosen("slow_resolver") {
        tell(&agents::resolvers("slow_resolver: 60 to 400 ms more", all(), (60.0, 400.0), count));
        tell_each("slow_resolver: ms more", &[30.0, 40.0, 60.0], |by| agents::resolvers("", all(), (by, by), 0));
    }
    if is_chosen("agent_disagrees") {
        tell(&agents::disagreement("agent_disagrees: 8 to 40 % of its answers", all(), (0.08, 0.4), count));
        tell_each("agent_disagrees: of its answers", &[0.05, 0.06, 0.08, 0.1], |by| {
            agents::disagreement("", all(), (by, by), 0)
        });
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
        println!("\n| one check, all of its series together | false findings a clean year |");
        println!("|---|---|");
        println!("| an HTTP check, in however many regions | {:.2} |", http + whole);
        println!("| a page in 3 regions, six vitals in each | {:.2} |", 3.0 * vitals + whole);
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
        println!("| named alone: {what} | {:.1} % of {found} | | |", 100.0 * *right as f64 / *found as f64);
    }
}

/// Prints how much was found of changes of each size, as one row of a table.
fn tell_each(what: &str, sizes: &[f64], measure: impl Fn(f64) -> Outcome) {
    let recalls: Vec<String> = sizes.iter().map(|by| format!("{:.1}", measure(*by).recall() * 100.0)).collect();
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    println!("| {what} {} | {} % | | |", sizes.join("; "), recalls.join("; "));
}

/// Prints what was measured, as a row of a table. Hands back the findings a clean year.
fn tell(outcome: &Outcome) -> f64 {
    let years = if outcome.clean_years > 0.0 {
        format!("{:.2} ({:.0})", outcome.false_a_year(), outcome.clean_years)
    } else {
        String::new()
    };
    let (name, percent) = (outcome.name.trim(), outcome.recall() * 100.0);
    let delays = format!("{:.0}, {:.0}", outcome.delay(0.5), outcome.delay(0.95));
    println!("| {name} | {percent:.1} % of {} | {years} | {delays} |", outcome.planted);
    outcome.false_a_year()
}
