//! What an agent says of its browser.

use std::path::PathBuf;

/// Which browser.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Form {
    /// `chromium-headless-shell` where it is installed, else `chromium`.
    #[default]
    Auto,
    /// `chromium-headless-shell`: an eighth of the start, the same figures.
    HeadlessShell,
    /// The full browser, `chromium --headless=new`.
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
    /// Resident memory beyond which it is replaced, in bytes.
    pub memory_max: u64,
    /// Pressure on the processor beyond which figures are not graded, in thousandths of the time (Linux PSI).
    pub pressure_max: u32,
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
            pressure_max: 250,
        }
    }
}
