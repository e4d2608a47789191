//! Whether the host has the time to measure: pressure on its processors, and a small fixed computation.

use sitepulse_model::vitals::report::Host;

/// The host before a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    host: Host,
}

impl Watch {
    /// Begins now; `parallel` loads are under way, this one included.
    pub(crate) fn begin(parallel: u32) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
        Self { host: Host { parallel, cpus, ..Host::default() } }
    }

    /// Ends now.
    pub(crate) fn end(self) -> Host {
        self.host
    }
}
