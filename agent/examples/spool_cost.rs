//! What a result costs in the spool: CPU and bytes written, with groups of 100 at `synchronous=FULL`.
//!
//! `cargo run --release -p sitepulse-agent --example spool_cost [DIR] [RESULTS]`

use std::path::PathBuf;

use sitepulse_agent::spool::policy::{Keep, PendingRecord};
use sitepulse_agent::spool::{Limits, Spool};
use sitepulse_daemon::clock;
use sitepulse_model::id::{Bucket, CheckNo, Incarnation, Revision};
use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Record};
use sitepulse_model::time::UtcMicros;

/// CPU of this thread so far, in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Bytes this process gave to `write` so far.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap_or_else(|| "target/spool-cost".to_owned()));
    let results: i64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("spool.db");
    for suffix in ["", "-wal"] {
        let old = dir.join(format!("spool.db{suffix}"));
        if old.exists() {
            std::fs::remove_file(old)?;
        }
    }
    let limits = Limits { bytes_max: 1 << 30, ballast_bytes: 0 };
    let mut spool = Spool::open(&path, limits, clock::now(), &mut || Incarnation(1))?.spool;
    let begin = clock::now();
    let groups: Vec<Vec<PendingRecord>> =
        (0..results / 100).map(|group| (0..100).map(|index| result(begin, group * 100 + index)).collect()).collect();
    let (cpu, bytes, wall) = (cpu_ns(), written(), clock::monotonic());
    for group in &groups {
        spool.append(group)?;
    }
    let (cpu, bytes, wall) = (cpu_ns() - cpu, written() - bytes, clock::monotonic().us_since(wall));
    let per = results as f64;
    println!(
        "append: {:.2} us CPU, {:.0} B written, {:.1} us wall per result",
        cpu as f64 / per / 1e3,
        bytes as f64 / per,
        wall as f64 / per
    );
    let (cpu, wall) = (cpu_ns(), clock::monotonic());
    let mut after = 0;
    while let Some((first, last)) = spool.page(after, u64::MAX, 1024, usize::MAX)?.ids {
        spool.delete(&(first..=last))?;
        after = last;
    }
    let (cpu, wall) = (cpu_ns() - cpu, clock::monotonic().us_since(wall));
    println!("page and delete: {:.2} us CPU, {:.1} us wall per result", cpu as f64 / per / 1e3, wall as f64 / per);
    Ok(())
}

fn result(begin: UtcMicros, number: i64) -> PendingRecord {
    let slot = begin.plus_us(number * 60_000);
    PendingRecord {
        bucket: Bucket((number % 64) as u8),
        keep: Keep::Success,
        record: Record::Result(ProbeResult {
            check: CheckNo((number % 1000) as u32),
            revision: Revision(1),
            scheduled: slot,
            started: slot.plus_us(700),
            phases: Phases {
                dns: Some(900),
                connect: Some(12_000),
                tls: Some(30_000),
                send: Some(60),
                first_byte: Some(45_000),
                transfer: Some(3_000),
                total: Some(91_000),
            },
            state: ProbeState::Up,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: Some(([192, 0, 2, 1], 443).into()),
            facts: Facts {
                status: Some(200),
                body_bytes: Some(14_000),
                certificate_expires: Some(UtcMicros(1_800_000_000_000_000)),
                more: Vec::new(),
            },
        }),
    }
}
