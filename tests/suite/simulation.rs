//! The simulator's runs: random lives of a small world, and scenarios that a user would ask about.
//!
//! `SITEPULSE_SIM_SEEDS` says how many random lives (default 200), `SITEPULSE_SIM_SEED` replays one, `SITEPULSE_SIM_TRACE=1` prints what
//! happens in it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sitepulse_agent::control::Request;
use sitepulse_model::control::{Change, Scope};
use sitepulse_model::id::CheckNo;
use sitepulse_model::record::ProbeState;
use sitepulse_tests::sim::link::Link;
use sitepulse_tests::sim::site::Site;
use sitepulse_tests::sim::{Fault, HOUR, SECOND, START, World, chaos, definition, run};

const SEEDS_DEFAULT: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Lives a life; what was broken, a panic included.
fn live(seed: u64) -> Vec<String> {
    catch_unwind(|| chaos::live(seed)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        vec![format!("panic: {}", text.unwrap_or_default())]
    })
}

fn assert_fine(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn random_lives_lose_nothing() {
    if let Some(seed) = number("SITEPULSE_SIM_SEED") {
        return assert_fine(&live(seed));
    }
    let seeds = number("SITEPULSE_SIM_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let next = AtomicU64::new(0);
    let failed: Vec<(u64, Vec<String>)> = thread::scope(|scope| {
        let worker = || {
            let mut failed = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds || failed.len() >= 10 {
                    return failed;
                }
                let broken = live(seed);
                if !broken.is_empty() {
                    failed.push((seed, broken));
                }
            }
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    for (seed, broken) in &failed {
        eprintln!("seed {seed}:\n  {}", broken.join("\n  "));
        eprintln!("  replay: SITEPULSE_SIM_SEED={seed} SITEPULSE_SIM_TRACE=1 cargo test -p sitepulse-tests --test suite random_lives");
    }
    assert!(failed.is_empty(), "{} of {seeds} seeds failed: {:?}", failed.len(), failed.iter().map(|one| one.0).collect::<Vec<_>>());
}
