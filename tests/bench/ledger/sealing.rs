//! What sealing costs, and how long it holds up everybody else: with very many pairs, which a handful of results of each is sealed of at a time, and beside ten times
//! the history.

use std::path::Path;

use sitepulse_model::time::UtcMicros;
use sitepulse_tests::usage;

use crate::ours::{Feed, Ours};
use crate::synthetic::{DAY, Size};
use crate::{SEED, ledger, setting, verdict};

/// Nobody waits longer for the writer than this while results are sealed, merged and deleted: the goal, in milliseconds.
const PAUSE_MS: f64 = 250.0;
/// Results are sealed by their age a little after each noon and midnight.
const PORTION: i64 = DAY / 2;
const BEHIND: i64 = PORTION / 72;
/// The last portions of a history, which are measured: the halves of some days.
const MEASURED: i64 = 4;
/// Results of each pair that are sealed at a time where there are very many pairs: `Sealing`'s own number.
const OF_EACH: u64 = 16;
const ROUNDS: u64 = 3;

/// Ten agents and five times the checks of the other benchmarks: 50,000 pairs.
pub(crate) fn many(below: &Path) {
    let size =
        Size { checks: setting("SITEPULSE_BENCH_CHECKS", 1000) as usize * 5, agents: 10, interval_s: 300, days: 1 };
    let ledger = ledger(SEED, size);
    let mut ours = Ours::new(&ledger, below);
    println!("{} checks, 10 agents, {OF_EACH} results of each pair at a time", size.checks);
    let mut feed = Feed::new(&ledger);
    for round in 1..=ROUNDS {
        let until = (round * OF_EACH * size.interval_s) as i64 * 1_000_000;
        ours.fill(&mut feed, ledger.from.plus_us(until));
        let sealed = Sealed::of(&mut ours, ledger.from);
        println!("round {round}: {}", sealed.told());
    }
    println!("longest pause {}", pause(&ours));
}

/// A few checks, day by day: what the last day costs after a month, and after ten times that.
pub(crate) fn history(below: &Path) {
    let days = setting("SITEPULSE_BENCH_DAYS", 30).div_ceil(10);
    let [short, long] = [days, days * 10].map(|days| {
        let size = Size {
            checks: setting("SITEPULSE_BENCH_CHECKS", 1000).div_ceil(50) as usize,
            agents: 1,
            interval_s: 60,
            days,
        };
        let ledger = ledger(SEED, size);
        let mut ours = Ours::new(&ledger, below);
        let mut feed = Feed::new(&ledger);
        let mut last = Vec::new();
        let portions = days as i64 * DAY / PORTION - 1;
        for part in 1..=portions {
            let until = ledger.from.plus_us(part * PORTION + BEHIND);
            ours.fill(&mut feed, until);
            let sealed = Sealed::of(&mut ours, until.plus_us(-PORTION));
            if part > portions - MEASURED {
                last.push(sealed);
            }
        }
        let sealed = last.iter().fold(Sealed::default(), Sealed::and);
        println!(
            "{} checks, 1 agent, every 60 s, half a day at a time, the last {MEASURED} of {days} days: {}; longest pause {}",
            size.checks,
            sealed.told(),
            pause(&ours)
        );
        sealed.each_us()
    });
    let times = long / short;
    println!("ten times the history: {times:.2} times the cost (goal <= 1.5: {})", verdict(times <= 1.5));
}

/// What was sealed, and what it cost.
#[derive(Default, Clone, Copy)]
struct Sealed {
    results: u64,
    sealing_us: u64,
    /// Of that.
    rollups_us: u64,
    merging_us: u64,
}

impl Sealed {
    fn of(ours: &mut Ours, since: UtcMicros) -> Self {
        let (before, rollups) = (usage::own_cpu_us(), ours.engine.rollups());
        let results = ours.engine.seal_now().expect("the store takes writes");
        let between = usage::own_cpu_us();
        let rollups_us = (ours.engine.rollups() - rollups).as_micros() as u64;
        ours.engine.compact_since(since).expect("the store takes writes");
        Self { results, sealing_us: between - before, rollups_us, merging_us: usage::own_cpu_us() - between }
    }

    fn and(self, other: &Self) -> Self {
        Self {
            results: self.results + other.results,
            sealing_us: self.sealing_us + other.sealing_us,
            rollups_us: self.rollups_us + other.rollups_us,
            merging_us: self.merging_us + other.merging_us,
        }
    }

    fn each_us(&self) -> f64 {
        (self.sealing_us + self.merging_us) as f64 / self.results.max(1) as f64
    }

    fn told(&self) -> String {
        let each = |us: u64| us as f64 / self.results.max(1) as f64;
        let [sealing, rollups, merging] = [self.sealing_us, self.rollups_us, self.merging_us].map(each);
        format!(
            "{} results sealed for {sealing:.2} us of CPU each, of which rollups took {rollups:.2} us; merged for {merging:.2} us",
            self.results
        )
    }
}

fn pause(ours: &Ours) -> String {
    let ms = ours.engine.pauses().as_micros() as f64 / 1000.0;
    format!("{ms:.1} ms (goal <= {PAUSE_MS} ms: {})", verdict(ms <= PAUSE_MS))
}
