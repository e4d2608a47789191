//! How busy this machine is: three small files of the kernel, read each time a status goes out.
//!
//! It is of the whole machine, as the kernel tells it: in a container that of its host. Elsewhere than on Linux nothing is told.

use std::fs::File;
use std::io::Read as _;

use sitepulse_wire::message::Host;

/// Most that is read of a file, in bytes: what is looked for stands in the first lines.
const FILE_BYTES_MAX: u64 = 4096;

/// How busy the machine is now; `None` where its kernel does not say.
pub fn read() -> Option<Host> {
    host(&start("/proc/loadavg")?, &start("/proc/meminfo")?, &start("/sys/devices/system/cpu/online")?)
}

fn start(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn host(load: &str, memory: &str, online: &str) -> Option<Host> {
    let load: f64 = load.split_whitespace().next()?.parse().ok()?;
    let line = |name: &str| memory.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    let bytes = |name: &str| line(name)?.parse::<u64>().ok()?.checked_mul(1024);
    let memory_total_bytes = bytes("MemTotal:")?;
    let free = bytes("MemAvailable:")?;
    let host = Host {
        // Saturates at the ends; what is no number is 0.
        load_milli: (load * 1000.0).round() as u32,
        cores: cores(online)?,
        memory_used_bytes: memory_total_bytes.saturating_sub(free),
        memory_total_bytes,
    };
    (host.cores > 0 && memory_total_bytes > 0).then_some(host)
}

/// How many processors a list like `0-3,8` names.
fn cores(online: &str) -> Option<u32> {
    online.trim().split(',').try_fold(0_u32, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: &str = "0.52 0.58 0.59 1/467 12345\n";
    const MEMORY: &str = "MemTotal:        8000000 kB\nMemFree:          500000 kB\nMemAvailable:    6000000 kB\n";

    #[test]
    fn load_cores_and_memory_are_read_as_the_kernel_writes_them() {
        let (total, used) = (8_000_000 * 1024, 2_000_000 * 1024);
        let expected = Host { load_milli: 520, cores: 4, memory_used_bytes: used, memory_total_bytes: total };
        assert_eq!(host(LOAD, MEMORY, "0-3\n"), Some(expected));
        for (online, count) in [("0\n", 1), ("0-3,8-11", 8), ("0,2,4-5", 4)] {
            assert_eq!(cores(online), Some(count), "{online}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_told() {
        for (load, memory, online) in [
            ("", MEMORY, "0-3"),
            ("busy", MEMORY, "0-3"),
            (LOAD, "MemTotal: 8000000 kB\n", "0-3"),
            (LOAD, "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "0-3"),
            (LOAD, MEMORY, ""),
            (LOAD, MEMORY, "3-0"),
            (LOAD, MEMORY, "0-4294967295"),
        ] {
            assert_eq!(host(load, memory, online), None, "{load:?} {memory:?} {online:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_tells() {
        let host = read().expect("Linux tells");
        assert!(host.cores > 0 && host.memory_used_bytes <= host.memory_total_bytes, "{host:?}");
    }
}
