//! Bytes on disk for each result, rollups and everything else in the file included.

use std::path::Path;

use sitepulse_tests::victoria::Victoria;

use crate::kuma::Kuma;
use crate::lines;
use crate::ours::{Feed, Ours};
use crate::synthetic::Size;
use crate::{SEED, ledger, setting, verdict};

pub(crate) fn run(below: &Path) {
    let size = Size {
        checks: setting("SITEPULSE_BENCH_CHECKS", 1000).div_ceil(5) as usize,
        agents: 1,
        interval_s: 60,
        days: setting("SITEPULSE_BENCH_DAYS", 30).div_ceil(3),
    };
    let ledger = ledger(SEED, size);
    println!("{} checks, 1 agent, every 60 s, {} days: {} slots", size.checks, size.days, size.slots());
    let mut ours = Ours::new(&ledger, below);
    let empty = ours.disk_bytes();
    ours.fill(&mut Feed::new(&ledger), ledger.to());
    let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / ours_stored(size);
    let unsealed = each(ours.disk_bytes());
    println!("unsealed                {unsealed:>8.1} B; goal <= 45 B: {}", verdict(unsealed <= 45.0));
    let mut kuma = Kuma::new(below, size.checks);
    kuma.fill(&mut Feed::new(&ledger), ledger.to(), size.interval_s);
    println!("heartbeats in SQLite    {:>8.1} B, without phases", kuma.bytes_per_row());
    if let Some(victoria) = Victoria::start(below) {
        let (_, results) = lines::fill(&victoria, &mut Feed::new(&ledger), ledger.to());
        victoria.settle();
        println!(
            "VictoriaMetrics         {:>8.1} B, state and five phases",
            victoria.disk_bytes() as f64 / results as f64
        );
    }
}

fn ours_stored(size: Size) -> f64 {
    size.slots() as f64
}
