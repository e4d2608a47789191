//! What a program started and what became of it, as `/proc` tells: by number and start, never by name.

use std::collections::BTreeSet;
use std::time::Duration;

use sitepulse_daemon::clock;

/// How long a browser may outlive its agent, in microseconds. It takes some 30 ms.
const ORPHANED_US_MAX: u64 = 2_000_000;

/// A process that was seen. Its number and when it started name it for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pid: u32,
    /// In the kernel's ticks.
    started: u64,
}

impl Seen {
    /// One that runs.
    pub fn of(pid: u32) -> Option<Self> {
        let (_, started) = stat(&format!("/proc/{pid}/stat"))?;
        Some(Self { pid, started })
    }

    /// What it does (`R`, `S`, `T`, ...), until it has ended: a zombie runs no more, whoever was to bury it.
    pub fn state(&self) -> Option<char> {
        let (state, started) = stat(&format!("/proc/{}/stat", self.pid))?;
        (started == self.started).then_some(state)
    }

    /// Whether every thread of it is stopped.
    pub fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let states: Vec<_> = tasks.map(|task| stat(&task.path().join("stat").to_string_lossy())).collect();
        !states.is_empty() && states.iter().flatten().all(|(state, _)| *state == 'T')
    }
}

/// State and start of a process or thread that has not ended.
fn stat(path: &str) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(path).ok()?;
    // The name before it is in parentheses and may hold anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, 'Z' | 'X')).then_some((state, started))
}

/// The processes that come of `pid`, itself excepted.
pub fn descendants(pid: u32) -> BTreeSet<Seen> {
    let mut found = BTreeSet::new();
    let mut left = vec![pid];
    while let Some(pid) = left.pop() {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children: Vec<u32> = children.split_whitespace().filter_map(|child| child.parse().ok()).collect();
            found.extend(children.iter().filter_map(|child| Seen::of(*child)));
            left.extend(children);
        }
    }
    found
}

/// Processes with this text in their command line, whoever their parent is.
pub fn naming(text: &str) -> BTreeSet<Seen> {
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let names = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    pids.filter(names).filter_map(Seen::of).collect()
}

/// Waits until none of a browser's processes runs, for 2 s at most. To be called once its agent's end is known.
pub fn gone_soon(processes: &BTreeSet<Seen>) {
    assert!(!processes.is_empty(), "a browser runs");
    let end = clock::monotonic();
    loop {
        // Before the look: where this test itself waits for a processor, it sees late that they are gone.
        let passed_us = clock::monotonic().us_since(end);
        let left: Vec<(Seen, char)> = processes.iter().filter_map(|seen| Some((*seen, seen.state()?))).collect();
        if left.is_empty() {
            return;
        }
        assert!(passed_us < ORPHANED_US_MAX, "of {} processes of the browser: {left:?}", processes.len());
        std::thread::sleep(Duration::from_millis(5));
    }
}
