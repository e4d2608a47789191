//! How busy an agent's machine is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_wire::message::Host;

/// Share of the memory in use above which it is said to be high.
const MEMORY_HIGH: f64 = 0.9;

/// How busy an agent's machine is: all of it, not the agent alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostView {
    /// Load average over one minute.
    pub load_1m: f64,
    /// Processors.
    pub cores: u32,
    /// Whether more wants to run than there are processors: runs may start late, and latencies be the machine's own.
    pub load_high: bool,
    /// Memory that is not available to new programs, in bytes.
    pub memory_used_bytes: u64,
    /// All memory, in bytes.
    pub memory_total_bytes: u64,
    /// Whether more than 90 % of the memory is in use.
    pub memory_high: bool,
}

impl HostView {
    /// As the agent told it.
    pub fn of(host: Host) -> Self {
        let load_1m = f64::from(host.load_milli) / 1000.0;
        let share = host.memory_used_bytes as f64 / host.memory_total_bytes as f64;
        Self {
            load_1m,
            cores: host.cores,
            load_high: load_1m > f64::from(host.cores),
            memory_used_bytes: host.memory_used_bytes,
            memory_total_bytes: host.memory_total_bytes,
            memory_high: share > MEMORY_HIGH,
        }
    }

    /// The memory in use: `37 % of 7.6 GiB`, without the word between.
    pub fn memory_parts(&self) -> (String, String) {
        let percent = self.memory_used_bytes as f64 / self.memory_total_bytes as f64 * 100.0;
        (format!("{percent:.0} %"), format!("{:.1}", self.memory_total_bytes as f64 / f64::from(1 << 30)))
    }

    /// The memory in use, as the command line shows it.
    pub fn memory(&self) -> String {
        let (share, total) = self.memory_parts();
        format!("{share} of {total} GiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_said_to_be_busy_above_its_bounds() {
        let host = |load_milli, used: u64| {
            let total = 1000 << 20;
            HostView::of(Host { load_milli, cores: 4, memory_used_bytes: used << 20, memory_total_bytes: total })
        };
        let high = |view: HostView| (view.load_high, view.memory_high);
        assert_eq!(high(host(4000, 900)), (false, false), "at the bounds it is not");
        assert_eq!(high(host(4001, 901)), (true, true));
        assert_eq!(host(0, 370).memory(), "37 % of 1.0 GiB");
    }
}
