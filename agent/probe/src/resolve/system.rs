//! How this machine resolves names: its resolver configuration and its hosts file, read as other programs read them.
//!
//! `/etc/nsswitch.conf` is not honoured: hosts file first, then DNS. Of `resolv.conf`, name servers, the search list, `ndots` and `timeout`
//! count; `rotate`, `attempts` and the rest do not: a question goes to the servers in their order, once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;

use hickory_proto::rr::Name;
use resolv_conf::ScopedIp;

use crate::connect;

/// Most name servers asked, as in glibc.
const SERVERS_MAX: usize = 3;
/// Most domains of the search list tried.
const SEARCH_MAX: usize = 8;
/// Most bytes read of each file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A machine's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct System {
    /// In the order they are asked; at least one.
    pub(crate) servers: Vec<SocketAddr>,
    /// How long one of them may take, in microseconds.
    pub(crate) timeout_us: u64,
    search: Vec<Name>,
    ndots: usize,
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl System {
    /// One server, no hosts file, no search list.
    pub(crate) fn with_server(server: SocketAddr) -> Self {
        Self { servers: vec![server], timeout_us: 5_000_000, search: vec![], ndots: 1, hosts: BTreeMap::new() }
    }

    /// Reads both files. Without a hosts file there is none.
    ///
    /// # Errors
    /// The first file cannot be read, or has no name server.
    pub(super) fn read(resolv: &Path, hosts: &Path) -> Result<Self, String> {
        let read = |path: &Path| {
            let mut bytes = Vec::new();
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)).map(|_| bytes)
        };
        let resolv = read(resolv).map_err(|error| format!("cannot be read ({})", connect::plain(&error)))?;
        let hosts = read(hosts).unwrap_or_default();
        Self::parse(&resolv, &String::from_utf8_lossy(&hosts))
    }

    /// Reads both files' contents. Lines that cannot be understood are passed over, as other programs do.
    ///
    /// # Errors
    /// There is no name server.
    pub(crate) fn parse(resolv: &[u8], hosts: &str) -> Result<Self, String> {
        let (config, _) = resolv_conf::Config::parse_with_errors(resolv);
        let servers: Vec<SocketAddr> = config.nameservers.iter().take(SERVERS_MAX).map(server).collect();
        if servers.is_empty() {
            return Err("it names no name server; add a line as in `nameserver 192.0.2.53`".to_owned());
        }
        let search = config.get_last_search_or_domain().filter_map(|domain| Name::from_ascii(domain).ok());
        Ok(Self {
            servers,
            timeout_us: u64::from(config.timeout.clamp(1, 30)) * 1_000_000,
            search: search.take(SEARCH_MAX).collect(),
            ndots: config.ndots as usize,
            hosts: parse_hosts(hosts),
        })
    }

    /// The addresses that the hosts file gives a name (in lower case), in its order.
    pub(crate) fn hosts(&self, name: &str) -> &[IpAddr] {
        self.hosts.get(name).map_or(&[], Vec::as_slice)
    }

    /// The full names to ask for, in order.
    pub(crate) fn candidates(&self, name: &str, absolute: bool) -> Vec<Name> {
        let Ok(mut full) = Name::from_ascii(name) else { return Vec::new() };
        full.set_fqdn(true);
        if absolute || self.search.is_empty() {
            return vec![full];
        }
        let relative = Name::from_ascii(name).unwrap_or_default();
        let mut found: Vec<Name> = self
            .search
            .iter()
            .filter_map(|domain| {
                let mut name = relative.clone().append_domain(domain).ok()?;
                name.set_fqdn(true);
                Some(name)
            })
            .filter(|name| *name != full)
            .collect();
        if name.matches('.').count() >= self.ndots {
            found.insert(0, full);
        } else {
            found.push(full);
        }
        found
    }
}

fn server(ip: &ScopedIp) -> SocketAddr {
    match ip {
        ScopedIp::V4(v4) => SocketAddr::new(IpAddr::V4(*v4), 53),
        // A zone that is a number; names of interfaces would take a lookup of their own.
        ScopedIp::V6(v6, zone) => {
            let zone = zone.as_ref().and_then(|zone| zone.parse().ok()).unwrap_or(0);
            SocketAddrV6::new(*v6, 53, 0, zone).into()
        }
    }
}

fn parse_hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hosts = BTreeMap::<String, Vec<IpAddr>>::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for name in words {
            let addresses = hosts.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(system: &System, name: &str, absolute: bool) -> Vec<String> {
        system.candidates(name, absolute).iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn both_files_are_read_as_other_programs_read_them() {
        let resolv = "# by hand\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver fe80::1%2\nnameserver 192.0.2.9\n\
            search corp.example example\noptions ndots:2 timeout:3 attempts:4 rotate\nnonsense\n";
        let hosts = "127.0.0.1 localhost LocalHost.localdomain. # here\n::1 localhost\nnot-an-address x\n10.0.0.7\tDB db.corp.example\n";
        let system = System::parse(resolv.as_bytes(), hosts).unwrap();
        let servers: Vec<String> = system.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:53", "[fe80::1%2]:53"]);
        assert_eq!(system.timeout_us, 3_000_000);
        assert_eq!(system.hosts("localhost"), ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(system.hosts("localhost.localdomain").len(), 1);
        assert_eq!(system.hosts("db").len(), 1);
        assert!(system.hosts("x").is_empty());
        assert_eq!(names(&system, "db", false), ["db.corp.example.", "db.example.", "db."]);
        assert_eq!(names(&system, "a.b.c", false), ["a.b.c.", "a.b.c.corp.example.", "a.b.c.example."]);
        assert_eq!(names(&system, "db", true), ["db."]);
    }

    #[test]
    fn without_a_name_server_the_remedy_is_told() {
        assert!(System::parse(b"search example\n", "").unwrap_err().contains("nameserver 192.0.2.53"));
        assert_eq!(names(&System::with_server("127.0.0.1:53".parse().unwrap()), "shop", false), ["shop."]);
    }
}
