//! What years of evidence cost: figures, explanations, bytes, amendments, each beside its goal and, where there is one, a peer that was given the same results in
//! the same run.
//!
//!     cargo bench -p sitepulse-tests --bench ledger -- [sla] [sla-all] [explain] [growth] [year] [bytes] [amend] [seal]
//!
//! Without a name: all of them, some ten minutes. Figures are worth something on a quiet machine alone; compare ratios. What taking results in costs is
//! the bench `ingest`.
//!
//! `SITEPULSE_BENCH_CHECKS` (default 1,000) and `SITEPULSE_BENCH_DAYS` (default 30) set the size of everything: 20 and 3 try the benchmark out in
//! seconds. Peers: a table of heartbeats like Uptime Kuma's ([`kuma`]), and VictoriaMetrics where it is installed.
//!
//! [`synthetic`] makes the history, [`ours`] fills a collector with it, [`bare`] the model alone, [`queries`], [`bytes`], [`amend`] and [`sealing`] measure.

mod amend;
mod bare;
mod bytes;
mod kuma;
mod lines;
mod ours;
mod queries;
mod sealing;
mod synthetic;

use std::path::Path;

use sitepulse_daemon::clock;
use synthetic::{DAY, Ledger, Size};

/// Where all histories come from.
const SEED: u64 = 5;

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let all = ["sla", "sla-all", "explain", "growth", "year", "bytes", "amend", "seal"];
    if let Some(unknown) = words.iter().find(|word| !all.contains(&word.as_str())) {
        eprintln!("{unknown:?} is no benchmark: use {}", all.join(", "));
        std::process::exit(2);
    }
    if cfg!(debug_assertions) {
        println!("note: this is a debug build, its figures are for trying the benchmark out");
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let below: &Path = dir.path();
    let mut month = None;
    for name in all.iter().filter(|name| words.is_empty() || words.iter().any(|word| word == *name)) {
        println!("\n== {name}");
        match *name {
            "sla" => {
                month.get_or_insert_with(|| queries::Month::new(below)).sla();
                queries::frequency(below);
            }
            "sla-all" => month.get_or_insert_with(|| queries::Month::new(below)).all(),
            "explain" => month.get_or_insert_with(|| queries::Month::new(below)).explain(),
            "growth" => queries::growth(below),
            "year" => queries::year(below),
            "bytes" => bytes::run(below),
            "amend" => amend::run(below),
            _ => {
                sealing::many(below);
                sealing::history(below);
            }
        }
    }
}

/// A history that ends with the last full day.
fn ledger(seed: u64, size: Size) -> Ledger {
    let now = clock::now();
    let end = now.plus_us(-now.0.rem_euclid(DAY));
    Ledger::new(seed, size, end.plus_us(-(size.days as i64) * DAY))
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
