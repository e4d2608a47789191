//! A control group: what all processes of a contender cost, those that have ended included.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where both forms of the browser are.
const CHROMIUM: &str = "/usr/lib/chromium";

/// A group of its own, version 1 or 2.
pub(crate) struct Group {
    path: PathBuf,
    /// Where its processor time is, and how many of its units are a microsecond.
    cpu: (PathBuf, u64),
}

impl Group {
    /// A new one. Only root may make one.
    pub(crate) fn new(name: &str) -> Self {
        let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let base = if v2 { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/cpuacct" };
        let path = PathBuf::from(format!("{base}/sitepulse-bench-{}-{name}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&path) {
            eprintln!("{}: no control group ({error}): run this as root, where groups may be made", path.display());
            std::process::exit(1);
        }
        let cpu = if v2 { (path.join("cpu.stat"), 1) } else { (path.join("cpuacct.usage"), 1_000) };
        Self { path, cpu }
    }

    /// A command that runs in it, with all its children.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        let procs = self.path.join("cgroup.procs");
        command.args(["-c", &format!("echo $$ >{} && exec \"$@\"", procs.display()), "sh"]);
        command
    }

    /// Processor time so far, user and system, in microseconds.
    pub(crate) fn cpu_us(&self) -> u64 {
        let text = std::fs::read_to_string(&self.cpu.0).unwrap_or_default();
        let text = text.lines().next().unwrap_or_default();
        text.split_whitespace().next_back().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) / self.cpu.1
    }

    /// Proportional set size of its browsers' processes, in KiB.
    pub(crate) fn browser_kib(&self) -> u64 {
        let procs = std::fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        procs.split_whitespace().filter(|pid| is_browser(pid)).map(pss_kib).sum()
    }
}

/// Processes, here or anywhere on this machine, that run a program under `/usr/lib/chromium`: what they have mapped of it is split with them, so a proportional set size
/// is too small while they run.
pub(crate) fn browsers() -> usize {
    let of = |file: std::fs::Metadata| (file.dev(), file.ino());
    let programs: Vec<_> = std::fs::read_dir(CHROMIUM)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.metadata().ok())
        .map(of)
        .collect();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let runs = |process: std::fs::DirEntry| std::fs::metadata(process.path().join("exe")).map(of);
    processes.filter_map(|process| runs(process).ok()).filter(|file| programs.contains(file)).count()
}

fn is_browser(pid: &str) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(CHROMIUM))
}

fn pss_kib(pid: &str) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last processes are ending.
        for _ in 0..500 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("{}: processes are left in it", self.path.display());
    }
}
