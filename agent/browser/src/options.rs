//! What an agent says of its browser.

use std::path::PathBuf;

/// The socket of `systemd/sitepulse-browser.socket`.
pub const UNIT_SOCKET: &str = "/run/sitepulse-browser.sock";
/// Memory that each further load on a browser may add, in bytes: a large page and its frames.
const LOAD_BYTES: u64 = 300 << 20;

/// Which browser.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Form {
    /// `chromium-headless-shell` where it is installed, else `chromium`.
    #[default]
    Auto,
    /// `chromium-headless-shell`: the same pages and figures, but no windows, no extensions, no user interface: it starts in a fourth of the time and takes half
    /// the memory.
    HeadlessShell,
    /// The full browser, `chromium --headless=new`: nearer to what people use. Each load has a window, drawn nowhere; two crash handlers and a storage service
    /// run beside it; closing a page that hangs takes it half a second longer.
    Chromium,
    /// This program.
    Program(PathBuf),
}

/// How the browser is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which browser.
    pub form: Form,
    /// A socket that gives a browser to whoever connects, as `systemd/sitepulse-browser.socket` does. Absent, or nothing there: it is started here.
    pub socket: Option<PathBuf>,
    /// Where profiles are kept while a browser runs; by default on the first of `/dev/shm` and the directory for temporary files.
    pub dir: Option<PathBuf>,
    /// The browser's own sandbox. Off for tests alone.
    pub sandbox: bool,
    /// Loads after which the browser is replaced.
    pub loads_max: u32,
    /// Resident memory beyond which it is replaced, in bytes: that of all its processes, what they share counted once, with one load on it; each further load
    /// may add 300 MiB. Beyond twice as much the largest renderer is ended at once. A browser that comes from a socket cannot be looked at: its unit limits it.
    pub memory_max: u64,
    /// Seconds that it may take to come up.
    pub start_max_s: u64,
    /// Seconds without a load after which it is ended; the next load starts one.
    pub idle_max_s: u64,
    /// Pressure on the processor beyond which figures are not graded, in thousandths of the time (Linux PSI).
    pub pressure_max: u32,
}

impl Options {
    /// [`Options::memory_max`] of a browser with so many loads at once.
    pub(crate) fn memory_max_of(&self, loads: u32) -> u64 {
        self.memory_max.saturating_add(LOAD_BYTES.saturating_mul(u64::from(loads.saturating_sub(1))))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            form: Form::Auto,
            socket: None,
            dir: None,
            sandbox: true,
            loads_max: 200,
            memory_max: 600 << 20,
            start_max_s: 30,
            idle_max_s: 300,
            pressure_max: 250,
        }
    }
}
