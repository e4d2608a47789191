//! Bytes on disk for each result, rollups and everything else in the file included: as results arrive, and sealed.

use std::path::Path;

use sitepulse_tests::usage;
use sitepulse_tests::victoria::Victoria;

use crate::kuma::Kuma;
use crate::lines;
use crate::ours::{Feed, Ours};
use crate::synthetic::Size;
use crate::{SEED, ledger, setting, verdict};

/// How much of the ledger comes in a few results at a time.
const SPARSE_US: i64 = 6 * 3_600_000_000;

/// Much less is not told of how a file of years is laid out.
const RESULTS_MIN: u64 = 500_000;

pub(crate) fn run(below: &Path) {
    let size = Size {
        checks: setting("SITEPULSE_BENCH_CHECKS", 1000).div_ceil(5) as usize,
        agents: 1,
        interval_s: 60,
        days: setting("SITEPULSE_BENCH_DAYS", 30).div_ceil(3),
    };
    let ledger = ledger(SEED, size);
    println!("{} checks, 1 agent, every 60 s, {} days: {} slots", size.checks, size.days, size.slots());
    if size.slots() < RESULTS_MIN {
        println!("note: pages that are not full weigh much in so small a file");
    }
    let mut ours = Ours::new(&ledger, below);
    let empty = ours.disk_bytes();
    ours.fill(&mut Feed::new(&ledger), ledger.to());
    let stored = ours.stored as f64;
    let unsealed = (ours.disk_bytes() - empty) as f64 / stored;
    println!("unsealed                {unsealed:>8.1} B; goal <= 45 B: {}", verdict(unsealed <= 45.0));

    // What comes in a second from an agent of 1,000 checks.
    let mut sparse = Ours::new(&ledger, below);
    let empty_sparse = sparse.disk_bytes();
    sparse.fill_by(&mut Feed::new(&ledger), ledger.from.plus_us(SPARSE_US), 17, 1);
    let bytes = (sparse.disk_bytes() - empty_sparse) as f64 / sparse.stored as f64;
    println!("unsealed, 17 at a time  {bytes:>8.1} B; goal <= 45 B: {}", verdict(bytes <= 45.0));
    drop(sparse);

    let before = usage::own_cpu_us();
    ours.engine.seal_now().expect("the store takes writes");
    ours.engine.compact_now().expect("the store takes writes");
    let used = (usage::own_cpu_us() - before) as f64 / stored;
    // The file keeps the pages that the rows took for what comes next; a copy has only those in use.
    let whole = ours.disk_bytes().saturating_sub(empty) as f64 / stored;
    let sealed = ours.packed_bytes().saturating_sub(empty) as f64 / stored;
    println!(
        "sealed                  {sealed:>8.1} B; goal <= 16 B: {}; {used:.2} us of CPU per result to seal; the file itself keeps room for what comes next: {whole:.1} B",
        verdict(sealed <= 16.0)
    );
    for (table, bytes) in ours.table_bytes() {
        println!("    {table:<20} {:>8.2} B", bytes as f64 / stored);
    }

    let mut kuma = Kuma::new(below, size.checks);
    kuma.fill(&mut Feed::new(&ledger), ledger.to(), size.interval_s);
    println!("heartbeats in SQLite    {:>8.1} B, without phases", kuma.bytes_per_row());
    if let Some(victoria) = Victoria::start(below) {
        let (_, results) = lines::fill(&victoria, &mut Feed::new(&ledger), ledger.to());
        victoria.settle();
        let theirs = victoria.weigh() as f64 / results as f64;
        println!("VictoriaMetrics         {theirs:>8.1} B, state and five phases");
    }
}
