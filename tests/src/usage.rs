//! What a process has used, as Linux counts it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Ticks a second in `/proc/PID/stat`, on every Linux.
const USER_HZ: u64 = 100;

/// CPU time of a process, user and system, in microseconds, to a hundredth of a second: of its threads that ended too. 0 when it is gone.
pub fn cpu_with_ended_us(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The program's name stands in brackets and may hold anything; behind it come state, parent and 10 more, then the two times.
    let Some((_, after)) = text.rsplit_once(") ") else { return 0 };
    let times = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    times.sum::<u64>() * 1_000_000 / USER_HZ
}

/// CPU time of the threads that a process has, user and system, in microseconds. 0 when it is gone; less than before when threads ended.
pub fn cpu_us(pid: u32) -> u64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()))
        .sum::<u64>()
        / 1000
}

/// CPU time of this process's main thread and all others, in microseconds.
pub fn own_cpu_us() -> u64 {
    cpu_us(std::process::id())
}

/// Bytes that a process caused to be written to storage (`write_bytes` of `/proc/PID/io`).
pub fn written_bytes(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/io"), "write_bytes:")
}

/// Resident memory in KiB, now (`VmRSS`).
pub fn rss_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Resident memory in KiB, at most so far (`VmHWM`).
pub fn peak_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Bytes that the files below `path` take on disk, as far as they can be read: blocks, not lengths.
pub fn disk_bytes(path: &Path) -> u64 {
    let Ok(about) = std::fs::symlink_metadata(path) else { return 0 };
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    about.blocks() * 512 + below.map(|entry| disk_bytes(&entry.path())).sum::<u64>()
}

fn field(path: &str, name: &str) -> u64 {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The median of some figures; sorts them.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
