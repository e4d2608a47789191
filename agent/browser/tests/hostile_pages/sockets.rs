//! The sockets of a process tree, by the system's own account: what the browser talks to, whatever it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket of a browser's process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Socket {
    pub(crate) protocol: &'static str,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// All processes below `root`, itself left out.
pub(crate) fn below(root: u32) -> BTreeSet<u32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, which may hold anything: state, parent.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parents.insert(pid, parent.unwrap_or(0));
    }
    let mut found = BTreeSet::new();
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| (**parent == root || found.contains(*parent)) && !found.contains(*pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The sockets of the Internet's families that these processes hold, each as its own network namespace has it.
pub(crate) fn of(pids: &BTreeSet<u32>) -> BTreeSet<Socket> {
    let mut found = BTreeSet::new();
    for pid in pids {
        // A child that is forked and does not run its program yet holds this process's own sockets, which that program never gets.
        let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
        if program(&pid.to_string()) == program("self") {
            continue;
        }
        let inodes = inodes(*pid);
        if inodes.is_empty() {
            continue;
        }
        for protocol in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
            let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap_or_default();
            found.extend(table.lines().skip(1).filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                inodes.contains(*fields.get(9)?).then_some(())?;
                Some(Socket { protocol, local: address(fields[1])?, remote: address(fields[2])? })
            }));
        }
    }
    found
}

fn inodes(pid: u32) -> BTreeSet<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect()
}

/// `0100007F:1F90`: the address in words of the machine's order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> =
        (0..ip.len() / 8).map(|n| u32::from_str_radix(&ip[n * 8..n * 8 + 8], 16).ok()).collect();
    let octets: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(octets.as_slice()) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(ip, port))
}
