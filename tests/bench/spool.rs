//! What a record costs in the spool: groups of 100 in one `synchronous=FULL` transaction each, on a real disk.
//!
//!     cargo bench -p sitepulse-tests --bench spool
//!
//! CPU is this process's (user and system, all threads), bytes are what it caused to be written (`/proc/self/io`), both with
//! checkpoints included. "With acks" each transaction also deletes an older group, as the writer does while it ships.

use std::net::SocketAddr;
use std::path::Path;

use sitepulse_agent::spool::policy::{Keep, PendingRecord};
use sitepulse_agent::spool::{Limits, Spool};
use sitepulse_daemon::clock;
use sitepulse_model::id::{Bucket, CheckNo, Incarnation, Revision};
use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Record};
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::usage;

const GROUP: usize = 100;
const GROUPS: usize = 2000;
const ROUNDS: usize = 5;

fn main() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let groups: Vec<Vec<PendingRecord>> = (0..GROUPS).map(group).collect();
    for (name, acks) in [("append", false), ("append, with acks", true)] {
        let (mut cpu, mut bytes, mut wall) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let figures = round(place, &groups, acks);
            cpu.push(figures.0);
            bytes.push(figures.1);
            wall.push(figures.2);
        }
        println!(
            "{name:<20} {:.2} us of CPU (goal <= 3), {:.0} bytes written (goal <= 512), {:.1} us of wall time per record; median of {ROUNDS} x {} records",
            usage::median(&mut cpu),
            usage::median(&mut bytes),
            usage::median(&mut wall),
            GROUP * GROUPS
        );
    }
}

fn round(place: &Path, groups: &[Vec<PendingRecord>], acks: bool) -> (f64, f64, f64) {
    let dir = tempfile::tempdir_in(place).expect("the target folder is writable");
    let opened = Spool::open(&dir.path().join("spool.db"), Limits::default(), clock::now(), &mut || Incarnation(1));
    let mut spool = opened.expect("a new spool opens").spool;
    let pid = std::process::id();
    let before = (usage::own_cpu_us(), usage::written_bytes(pid), clock::monotonic());
    for (n, group) in groups.iter().enumerate() {
        let acked = (acks && n >= 10).then(|| {
            let first = ((n - 10) * GROUP) as u64 + 1;
            first..=first + GROUP as u64 - 1
        });
        spool.commit(group, acked.as_slice()).expect("the disk takes it");
    }
    let records = (GROUP * groups.len()) as f64;
    (
        (usage::own_cpu_us() - before.0) as f64 / records,
        (usage::written_bytes(pid) - before.1) as f64 / records,
        clock::monotonic().us_since(before.2) as f64 / records,
    )
}

/// The results of 100 of 1,000 HTTPS checks, each with all phases.
fn group(n: usize) -> Vec<PendingRecord> {
    (0..GROUP).map(|k| result((n * GROUP + k) as u64)).collect()
}

fn result(n: u64) -> PendingRecord {
    let jitter = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
    let scheduled = UtcMicros(1_800_000_000_000_000 + n as i64 * 60_000);
    PendingRecord {
        bucket: Bucket((n % 64) as u8),
        keep: Keep::Success,
        record: Record::Result(ProbeResult {
            check: CheckNo((n % 1000) as u32),
            revision: Revision(1),
            scheduled,
            started: scheduled.plus_us(1_000 + (jitter % 1000) as i64),
            phases: Phases {
                dns: Some(2_000 + jitter % 500),
                connect: Some(30_000 + jitter),
                tls: Some(60_000 + jitter),
                send: Some(30),
                first_byte: Some(80_000 + jitter * 2),
                transfer: Some(1_000 + jitter % 300),
                total: Some(173_100 + jitter * 4),
            },
            state: ProbeState::Up,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: Some(SocketAddr::from(([192, 0, 2, (n % 250) as u8], 443))),
            facts: Facts {
                status: Some(200),
                body_bytes: Some(12_345),
                certificate_expires: Some(UtcMicros(1_900_000_000_000_000)),
                more: Vec::new(),
            },
        }),
    }
}
