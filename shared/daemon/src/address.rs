//! Which addresses may be dialled: by an agent for its checks, by the collector for its messages. Decided on the address that is dialled, after resolution, for
//! every connection of every hop.
//!
//! Without an allow-list globally reachable unicast addresses alone are dialled ([`scope`] tells which those are). An IPv6 address that carries
//! an IPv4 address inside ([`embedded`]) leads to both: each of them must be allowed. A cloud's metadata address is allowed only where the list
//! names that single address; no prefix and no word covers it.
//!
//! Sources: the IANA special-purpose address registries of IPv4 and IPv6, RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP).
//!
//! Architecture invariant: nothing here does IO or knows names; a name cannot talk its way around.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An allow-list. The default allows the public Internet alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    loopback: bool,
    private: bool,
    /// Whether a link's own addresses go with the private ones, or must be named.
    link_local_named: bool,
    prefixes: Vec<Prefix>,
}

impl Policy {
    /// Parses an allow-list: `loopback`, `private`, prefixes (`10.1.0.0/16`, `fd00::/8`) and single addresses (`192.0.2.7`).
    ///
    /// # Errors
    /// The first entry that is none of these, with the remedy.
    pub fn parse(allow: &[String]) -> Result<Self, String> {
        let mut policy = Self::default();
        for entry in allow {
            match entry.as_str() {
                "loopback" => policy.loopback = true,
                "private" => policy.private = true,
                other => policy.prefixes.push(Prefix::parse(other)?),
            }
        }
        Ok(policy)
    }

    /// What may be dialled, in one line for people.
    pub fn describe(&self) -> String {
        let words = [(self.loopback, "loopback"), (self.private, "private")];
        let words = words.iter().filter(|(allowed, _)| *allowed).map(|(_, word)| (*word).to_owned());
        let all: Vec<String> = words.chain(self.prefixes.iter().map(Prefix::to_string)).collect();
        if all.is_empty() { "public addresses".to_owned() } else { format!("public addresses, {}", all.join(", ")) }
    }

    /// This machine and private networks beside the public Internet, for what an administrator names. A link's own addresses stay refused.
    pub fn own_networks() -> Self {
        Self { loopback: true, private: true, ..Self::default() }.without_link_local()
    }

    /// The same list, but a link's own addresses must be named: the word `private` does not cover them.
    #[must_use]
    pub fn without_link_local(self) -> Self {
        Self { link_local_named: true, ..self }
    }

    /// Whether an address may be dialled.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, outer: IpAddr) -> Result<(), Refusal> {
        let named = self.link_local_named;
        let refused = |inner, scope| Refusal { address: outer, inner, scope, link_local_named: named };
        if let Some(scope) = self.refuses(outer) {
            return Err(refused(None, scope));
        }
        let IpAddr::V6(v6) = outer else { return Ok(()) };
        for inner in embedded(v6, self.translator_bits(v6)).into_iter().flatten() {
            if let Some(scope) = self.refuses(IpAddr::V4(inner)) {
                return Err(refused(Some(inner), scope));
            }
        }
        Ok(())
    }

    /// The scope that `ip` is refused for; `None` where it is allowed.
    fn refuses(&self, ip: IpAddr) -> Option<Scope> {
        let scope = scope(ip);
        let allowed = match scope {
            Scope::Global => true,
            Scope::Metadata => self.prefixes.iter().any(|prefix| prefix.is_single() && prefix.contains(ip)),
            Scope::Loopback => self.loopback || self.names(ip),
            Scope::Private | Scope::Shared => self.private || self.names(ip),
            Scope::LinkLocal => (self.private && !self.link_local_named) || self.names(ip),
            Scope::Unspecified
            | Scope::Multicast
            | Scope::Broadcast
            | Scope::Documentation
            | Scope::Benchmarking
            | Scope::Reserved => self.names(ip),
        };
        (!allowed).then_some(scope)
    }

    fn names(&self, ip: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(ip))
    }

    /// The length of the local translator's prefix, where the list names it: its addresses are then read in that one way.
    fn translator_bits(&self, ip: Ipv6Addr) -> Option<u8> {
        let named = |prefix: &&Prefix| is_local_translation(prefix.first) && prefix.contains(IpAddr::V6(ip));
        let bits = self.prefixes.iter().filter(named).map(|prefix| prefix.bits);
        bits.filter(|bits| LOCAL_TRANSLATION_BITS.contains(bits)).max()
    }
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    address: IpAddr,
    /// The address inside it that is the reason.
    inner: Option<Ipv4Addr>,
    /// What kind of address that is.
    scope: Scope,
    link_local_named: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, inner, scope, .. } = self;
        match inner {
            None => write!(f, "{address} is {}", scope.as_str()),
            Some(inner) => write!(f, "{address} leads to {inner}, which is {}", scope.as_str()),
        }
    }
}

impl Refusal {
    /// The entry of an allow-list that would allow it.
    pub fn entry(&self) -> String {
        let single = self.inner.map_or(self.address, IpAddr::V4);
        match self.scope {
            Scope::Loopback => "loopback".to_owned(),
            Scope::LinkLocal if self.link_local_named => single.to_string(),
            Scope::Private | Scope::LinkLocal | Scope::Shared => "private".to_owned(),
            Scope::Global
            | Scope::Metadata
            | Scope::Unspecified
            | Scope::Multicast
            | Scope::Broadcast
            | Scope::Documentation
            | Scope::Benchmarking
            | Scope::Reserved => single.to_string(),
        }
    }
}

/// A prefix of the allow-list. IPv4 prefixes are kept in their IPv4-mapped form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prefix {
    first: Ipv6Addr,
    bits: u8,
}

impl Prefix {
    fn parse(entry: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "{entry:?} is no entry of an allow-list: use \"loopback\", \"private\", a prefix as 10.1.0.0/16, or an address as 192.0.2.7"
            )
        };
        let (address, bits) = match entry.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (entry, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unknown())?;
        let (bits_max, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = match bits {
            None => bits_max,
            Some(bits) => bits.parse::<u8>().ok().filter(|bits| *bits <= bits_max).ok_or_else(|| {
                format!(
                    "{entry:?}: the length of its prefix is a number from 0 to {bits_max}, as in {address}/{bits_max}"
                )
            })?,
        };
        let given = mapped(address);
        let first = Ipv6Addr::from_bits(given.to_bits() & mask(bits + offset));
        let prefix = Self { first, bits: bits + offset };
        if first != given {
            return Err(format!(
                "{entry:?} has bits beyond its prefix: write \"{prefix}\", or {address} alone for that one address"
            ));
        }
        Ok(prefix)
    }

    fn contains(&self, ip: IpAddr) -> bool {
        // A short IPv6 prefix (::/0) does not cover the IPv4 addresses that are kept below ::ffff:0:0/96.
        let same_family = ip.is_ipv4() == self.is_v4() || self.bits > 96;
        same_family && mapped(ip).to_bits() & mask(self.bits) == self.first.to_bits()
    }

    const fn is_single(&self) -> bool {
        self.bits == 128
    }

    fn is_v4(&self) -> bool {
        self.bits >= 96 && self.first.to_ipv4_mapped().is_some()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, bits) = match self.first.to_ipv4_mapped().filter(|_| self.is_v4()) {
            Some(v4) => (IpAddr::V4(v4), self.bits - 96),
            None => (IpAddr::V6(self.first), self.bits),
        };
        if self.is_single() { address.fmt(f) } else { write!(f, "{address}/{bits}") }
    }
}

const fn mask(bits: u8) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
}

const fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Globally reachable unicast, as far as its outside tells.
    Global,
    /// A cloud's metadata service.
    Metadata,
    /// This machine.
    Loopback,
    /// A site's own.
    Private,
    /// One link's own.
    LinkLocal,
    /// A provider's own (carrier-grade NAT).
    Shared,
    /// `0.0.0.0` and its like, which many systems take for this machine.
    Unspecified,
    /// Many receivers.
    Multicast,
    /// All receivers.
    Broadcast,
    /// For examples.
    Documentation,
    /// For test beds.
    Benchmarking,
    /// Not for use, or for protocols alone.
    Reserved,
}

impl Scope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "public",
            Self::Metadata => "a cloud metadata address",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Shared => "private (carrier-grade NAT)",
            Self::Unspecified => "no address of a host",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "for documentation",
            Self::Benchmarking => "for benchmarks",
            Self::Reserved => "reserved",
        }
    }
}

/// What an address is for, as far as its outside tells: see [`embedded`] for what it may carry.
pub fn scope(ip: IpAddr) -> Scope {
    if METADATA.contains(&ip) {
        return Scope::Metadata;
    }
    match ip {
        IpAddr::V4(v4) => scope_v4(v4),
        IpAddr::V6(v6) => scope_v6(v6),
    }
}

const METADATA: [IpAddr; 9] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), // AWS, GCP, Azure, Oracle, DigitalOcean, OpenStack, Hetzner
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),   // AWS ECS task credentials
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),  // AWS EKS pod identity
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), // Alibaba
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),     // Oracle, older
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),   // Azure's WireServer
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), // AWS
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)), // AWS EKS pod identity
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)), // GCP
];

const fn scope_v4(ip: Ipv4Addr) -> Scope {
    match ip.octets() {
        [255, 255, 255, 255] => Scope::Broadcast,
        [0, ..] => Scope::Unspecified,
        [127, ..] => Scope::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Scope::Private,
        [100, 64..=127, ..] => Scope::Shared,
        [169, 254, ..] => Scope::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Scope::Documentation,
        [198, 18..=19, ..] => Scope::Benchmarking,
        [224..=239, ..] => Scope::Multicast,
        // Protocol assignments, the former 6to4 relays, and class E.
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Scope::Reserved,
        _ => Scope::Global,
    }
}

const fn scope_v6(ip: Ipv6Addr) -> Scope {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Scope::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Loopback,
        // IPv4-mapped and NAT64: nothing but another spelling of the address inside.
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Scope::Global,
        // Local-use translation, unique local, and the former site-local.
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Scope::Private,
        [0xfe80..=0xfebf, ..] => Scope::LinkLocal,
        [0xff00..=0xffff, ..] => Scope::Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Scope::Documentation,
        [0x2001, 2, 0, ..] => Scope::Benchmarking,
        // Protocol assignments: Teredo, ORCHID and their like.
        [0x2001, 0..=0x1ff, ..] => Scope::Reserved,
        [0x2000..=0x3fff, ..] => Scope::Global,
        _ => Scope::Reserved,
    }
}

const LOCAL_TRANSLATION_BITS: [u8; 4] = [48, 56, 64, 96];

fn is_local_translation(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0x64, 0xff9b, 1, ..])
}

/// Every IPv4 address that an IPv6 address may lead to. `translator_bits` is the length of the local-use NAT64 prefix; unknown, its addresses are
/// read in all the ways that fit.
fn embedded(ip: Ipv6Addr, translator_bits: Option<u8>) -> [Option<Ipv4Addr>; 6] {
    let segments = ip.segments();
    let octets = ip.octets();
    let at = |places: [usize; 4]| Some(Ipv4Addr::from(places.map(|place| octets[place])));
    let last = at([12, 13, 14, 15]);
    let mut found = [None; 6];
    match segments {
        // ::a.b.c.d, ::ffff:a.b.c.d, ::ffff:0:a.b.c.d, 64:ff9b::a.b.c.d. The first two of ::/96 are no embedding: :: and ::1 are judged as such.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => {}
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            found[0] = last
        }
        // RFC 6052 2.2: octet 8 is skipped.
        [0x64, 0xff9b, 1, ..] => {
            let readings = [(48, [6, 7, 9, 10]), (56, [7, 9, 10, 11]), (64, [9, 10, 11, 12]), (96, [12, 13, 14, 15])];
            for (place, (bits, octets)) in found.iter_mut().zip(readings) {
                if translator_bits.is_none_or(|known| known == bits) {
                    *place = at(octets);
                }
            }
        }
        // 6to4: the router.
        [0x2002, ..] => found[0] = at([2, 3, 4, 5]),
        // Teredo: the server, and the client inverted.
        [0x2001, 0, ..] => {
            found[0] = at([4, 5, 6, 7]);
            found[1] = last.map(|client| Ipv4Addr::from_bits(!client.to_bits()));
        }
        _ => {}
    }
    // ISATAP goes with any prefix.
    if matches!(segments[4..6], [0 | 0x200, 0x5efe]) {
        found[5] = last;
    }
    found
}

#[cfg(test)]
mod tests;
