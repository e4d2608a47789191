//! The renderers of a browser as they are stopped and let go on.
//!
//! They are children of one process, Chromium's zygote, whose children the kernel lists: looking for new ones is one small file. Signals go through
//! descriptors of processes, which never name another one that got the number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::vitals::profile::Milli;

use super::debt::{Debt, Usage};
use crate::launch::tree::{self, Kind};

/// How often a main thread is looked at, in microseconds.
const LOOK_EVERY_US: u64 = 1_000;
/// After so long a stopped thread is surely off its processor, in microseconds.
const STOPPED_US: u64 = 100;

/// The renderers of a browser. Dropped, all of them go on.
#[derive(Debug)]
pub(super) struct Renderers {
    parents: BTreeSet<i32>,
    all: BTreeMap<i32, Renderer>,
    /// Other children of those parents.
    others: BTreeSet<i32>,
}

impl Renderers {
    /// Those of a browser; `None` where there is none that may be stopped.
    pub(super) fn find(root: i32) -> Option<Self> {
        let members = tree::tree(root);
        let parents = members.iter().filter(|member| member.renderer).map(|member| member.parent).collect();
        let mut found = Self { parents, all: BTreeMap::new(), others: BTreeSet::new() };
        found.list();
        (!found.all.is_empty()).then_some(found)
    }

    /// Looks for new ones, and forgets those that ended.
    pub(super) fn list(&mut self) {
        let children: BTreeSet<i32> = self.parents.iter().flat_map(|parent| children(*parent)).collect();
        self.all.retain(|pid, _| children.contains(pid));
        self.others.retain(|pid| children.contains(pid));
        for pid in children {
            if self.all.contains_key(&pid) || self.others.contains(&pid) {
                continue;
            }
            match tree::kind(pid) {
                // Not yet what it is to be.
                Kind::Zygote => {}
                Kind::Renderer => match Renderer::open(pid) {
                    Some(renderer) => drop(self.all.insert(pid, renderer)),
                    None => drop(self.others.insert(pid)),
                },
                Kind::Other => drop(self.others.insert(pid)),
            }
        }
    }

    /// Looks at each of them, stops it or lets it go on. When to look again.
    pub(super) fn look(&mut self, rate: Milli) -> Monotonic {
        let mut next = clock::monotonic().plus_us(LOOK_EVERY_US);
        self.all.retain(|_, renderer| {
            let Some(at) = renderer.look(rate) else { return false };
            next = next.min(at);
            true
        });
        next
    }
}

/// Children of a process with one thread.
fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Whether a process lives in a namespace of processes below this one's.
fn is_confined(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_ascii_whitespace().count() > 1)
}

#[derive(Debug)]
struct Renderer {
    process: OwnedFd,
    /// What the kernel counts of its main thread, and whether that runs.
    usage: File,
    stat: File,
    debt: Debt,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Works,
    /// Stopped; what it owes is not known yet.
    Stopped(Monotonic),
    /// Stopped, until then.
    Rests(Monotonic, Monotonic),
}

impl Renderer {
    /// One that may be stopped.
    fn open(pid: i32) -> Option<Self> {
        // First of all: whatever is read later is of this process, or it has ended and no signal reaches anybody.
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let open = |name: &str| File::open(format!("/proc/{pid}/task/{pid}/{name}")).ok();
        let (usage, stat) = (open("schedstat")?, open("stat")?);
        let used = read_usage(&usage).filter(|used| used.ran_ns > 0)?;
        if !is_confined(pid) {
            return None;
        }
        // It runs, so that this changes nothing and shows whether it may be signalled.
        pidfd_send_signal(&process, Signal::CONT).ok()?;
        let debt = Debt::new(used, clock::monotonic());
        Some(Self { process, usage, stat, debt, phase: Phase::Works })
    }

    /// Does what is due. When to look again; `None` once it has ended.
    fn look(&mut self, rate: Milli) -> Option<Monotonic> {
        let now = clock::monotonic();
        match self.phase {
            Phase::Works => {
                let usage = read_usage(&self.usage)?;
                let stat = &self.stat;
                if !self.debt.is_due(usage, now, rate, || runs(stat)) {
                    return Some(now.plus_us(LOOK_EVERY_US));
                }
                self.phase = Phase::Stopped(now);
                pidfd_send_signal(&self.process, Signal::STOP).ok()?;
                Some(now.plus_us(STOPPED_US))
            }
            Phase::Stopped(since) => {
                if now < since.plus_us(STOPPED_US) {
                    return Some(since.plus_us(STOPPED_US));
                }
                let until = since.plus_us(self.debt.settle(read_usage(&self.usage)?, rate));
                self.phase = Phase::Rests(since, until);
                self.look(rate)
            }
            Phase::Rests(_, until) if now < until => Some(until),
            Phase::Rests(since, _) => {
                self.phase = Phase::Works;
                pidfd_send_signal(&self.process, Signal::CONT).ok()?;
                let now = clock::monotonic();
                self.debt.rested(now.us_since(since), now);
                Some(now.plus_us(LOOK_EVERY_US))
            }
        }
    }
}

impl Drop for Renderer {
    fn drop(&mut self) {
        if self.phase != Phase::Works {
            // An error says that it has ended.
            pidfd_send_signal(&self.process, Signal::CONT).ok();
        }
    }
}

/// The beginning of a file of `/proc`, as it is now.
fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let bytes = file.read_at(buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..bytes]).ok()
}

fn read_usage(file: &File) -> Option<Usage> {
    Usage::parse(read(file, &mut [0; 64])?)
}

/// Whether a thread is on a processor, or waits for one.
fn runs(stat: &File) -> bool {
    let mut buffer = [0; 128];
    // The name before it is in parentheses and may hold anything; it has 15 bytes at most.
    read(stat, &mut buffer).and_then(|text| text.rsplit_once(") ")).is_some_and(|(_, fields)| fields.starts_with('R'))
}
