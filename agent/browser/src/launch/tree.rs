//! The processes of a browser, as `/proc` shows them: what they take, and their end.
//!
//! What they share (the program's own pages, most of it) is counted once, as the largest share of one of them. That comes near the proportional set size,
//! which only root may read of sandboxed processes and which the kernel computes at a hundred times the cost.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// When it started, in the kernel's ticks: with the number, it names the process for ever.
    started: u64,
    /// Resident memory of its own, in bytes.
    pub(crate) own: u64,
    /// Resident memory that it may share, in bytes.
    shared: u64,
    /// Whether it renders pages.
    pub(crate) renderer: bool,
}

/// What a process of a browser is for, as its command line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Renderer,
    /// What others are made of: a new process is called so until it is something else.
    Zygote,
    Other,
}

/// What a process is for.
pub(crate) fn kind(pid: i32) -> Kind {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0 || *byte == b' ');
    match words.find_map(|word| word.strip_prefix(b"--type=")) {
        Some(b"renderer") => Kind::Renderer,
        Some(b"zygote") => Kind::Zygote,
        Some(_) | None => Kind::Other,
    }
}

/// A process and all that descend from it; empty where it is gone.
pub(crate) fn tree(root: i32) -> Vec<Member> {
    let mut all: Vec<(i32, i32, u64)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if let Some((parent, started)) = stat(pid) {
            all.push((pid, parent, started));
        }
    }
    let mut members: Vec<i32> = vec![root];
    let mut next = 0;
    while let Some(parent) = members.get(next).copied() {
        members.extend(all.iter().filter(|(pid, of, _)| *of == parent && *pid != root).map(|(pid, ..)| *pid));
        next += 1;
    }
    all.retain(|(pid, ..)| members.contains(pid));
    all.into_iter().map(|(pid, parent, started)| member(pid, parent, started)).collect()
}

/// Resident memory of a browser, in bytes.
pub(crate) fn memory(members: &[Member]) -> u64 {
    members.iter().map(|member| member.own).sum::<u64>() + members.iter().map(|member| member.shared).max().unwrap_or(0)
}

/// Ends a process, if it is still the one that was seen.
pub(crate) fn kill(member: &Member) {
    let Some(pid) = Pid::from_raw(member.pid) else { return };
    // The descriptor is of one process; if that is the one that was seen, no other can be hit.
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
        && stat(member.pid).is_some_and(|(_, started)| started == member.started)
    {
        // An error says that it has ended by itself.
        pidfd_send_signal(process, Signal::KILL).ok();
    }
}

/// Whether a process is still there.
#[cfg(test)]
pub(crate) fn alive(member: &Member) -> bool {
    stat(member.pid).is_some_and(|(_, started)| started == member.started)
}

/// The largest renderer.
pub(crate) fn largest_renderer(members: &[Member]) -> Option<&Member> {
    members.iter().filter(|member| member.renderer).max_by_key(|member| member.own)
}

/// Parent and start of a process that has not ended.
fn stat(pid: i32) -> Option<(i32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may hold anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    (state != "Z" && state != "X").then_some((parent, started))
}

fn member(pid: i32, parent: i32, started: u64) -> Member {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    };
    let resident = bytes("VmRSS:").unwrap_or(0);
    // Absent in kernels before 4.5: then all of it counts as its own.
    let shared = bytes("RssFile:").unwrap_or(0) + bytes("RssShmem:").unwrap_or(0);
    let renderer = kind(pid) == Kind::Renderer;
    Member { pid, parent, started, own: resident.saturating_sub(shared), shared, renderer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pid: i32, own: u64, shared: u64, renderer: bool) -> Member {
        Member { pid, parent: 1, started: 1, own, shared, renderer }
    }

    #[test]
    fn what_is_shared_counts_once_and_the_largest_renderer_is_found() {
        let members = [made(1, 50, 90, false), made(2, 20, 80, true), made(3, 30, 70, true)];
        assert_eq!(memory(&members), 190);
        assert_eq!(largest_renderer(&members).map(|member| member.pid), Some(3));
        assert_eq!((memory(&[]), largest_renderer(&members[..1])), (0, None));
    }

    #[test]
    fn children_are_found_and_another_process_of_their_number_is_left_alone() {
        let mut child = std::process::Command::new("/bin/sh").args(["-c", "sleep 60 & wait"]).spawn().expect("a shell");
        let pid = i32::try_from(child.id()).expect("a number");
        let looks = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            tree(pid)
        });
        let members = looks.take(3_000).find(|members| members.len() == 2).expect("a shell and its child");
        assert!(memory(&members) > 0);
        assert!(members.iter().any(|member| member.pid == pid));
        let mut other = members[0].clone();
        other.started += 1;
        kill(&other);
        assert_eq!(child.try_wait().expect("a child"), None);
        members.iter().for_each(kill);
        child.wait().expect("its end");
        assert!(tree(pid).is_empty());
    }
}
