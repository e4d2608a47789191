//! Who tells the addresses of a name: a name server, or nobody need be asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sitepulse_model::check::Family;

use super::system::System;

/// Who told the addresses of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answerer {
    /// A name server.
    Server(SocketAddr),
    /// The machine's hosts file.
    HostsFile,
    /// Nobody: `localhost` is this machine.
    Localhost,
}

impl fmt::Display for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(address) => address.fmt(f),
            Self::HostsFile => f.write_str("hosts file"),
            Self::Localhost => f.write_str("localhost"),
        }
    }
}

/// The addresses of a name that nobody need be asked for: the hosts file's, and this machine's for `localhost` (RFC 6761, 6.3).
pub(super) fn known(system: &System, name: &str, family: Family) -> Option<(Vec<IpAddr>, Answerer)> {
    let wanted = |v4: bool| match family {
        Family::Any => true,
        Family::Ipv4 => v4,
        Family::Ipv6 => !v4,
    };
    let of = |addresses: &[IpAddr], v4: bool| -> Vec<IpAddr> {
        addresses.iter().copied().filter(|address| address.is_ipv4() == v4 && wanted(v4)).collect()
    };
    let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let is_local = name == "localhost" || name.ends_with(".localhost");
    let lists: [(&[IpAddr], Answerer); 2] =
        [(system.hosts(name), Answerer::HostsFile), (if is_local { &local } else { &[] }, Answerer::Localhost)];
    lists
        .into_iter()
        .flat_map(|(list, by)| [(of(list, true), by), (of(list, false), by)])
        .find(|(found, _)| !found.is_empty())
}
