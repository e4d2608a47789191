//! Which addresses an agent may dial. Decided on the address that is dialled, after resolution, for every connection of every hop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sitepulse_model::record::{Cause, Phase};

use crate::attempt::Failure;

/// The agent's allow-list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    loopback: bool,
    private: bool,
}

impl Policy {
    /// Parses an allow-list: `loopback`, `private`.
    pub fn parse(allow: &[String]) -> Result<Self, String> {
        let mut policy = Self::default();
        for entry in allow {
            match entry.as_str() {
                "loopback" => policy.loopback = true,
                "private" => policy.private = true,
                other => return Err(format!("{other:?} is not known: use \"loopback\" or \"private\"")),
            }
        }
        Ok(policy)
    }

    /// Refuses what may not be dialled, with the reason and the remedy.
    pub(crate) fn check(&self, address: SocketAddr) -> Result<(), Failure> {
        if is_metadata(address.ip()) {
            return Err(Failure::new(
                Cause::PolicyRefused,
                Phase::Connect,
                format!("policy: {} is a cloud metadata address; agents do not probe those", address.ip()),
            ));
        }
        Ok(())
    }
}

/// Whether an address belongs to a cloud's metadata service, however it is spelt.
pub fn is_metadata(address: IpAddr) -> bool {
    const V4: [Ipv4Addr; 5] = [
        Ipv4Addr::new(169, 254, 169, 254), // AWS, GCP, Azure, Oracle, DigitalOcean, OpenStack, Hetzner
        Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
        Ipv4Addr::new(169, 254, 170, 23),  // AWS EKS pod identity
        Ipv4Addr::new(100, 100, 100, 200), // Alibaba
        Ipv4Addr::new(192, 0, 0, 192),     // Oracle, older
    ];
    const V6: [Ipv6Addr; 3] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS EKS pod identity
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // GCP
    ];
    match address {
        IpAddr::V4(v4) => V4.contains(&v4),
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            // v4-mapped, v4-compatible and NAT64 addresses lead to the v4 address inside.
            let embeds = matches!(segments[..6], [0, 0, 0, 0, 0, 0xffff | 0] | [0x64, 0xff9b, 0, 0, 0, 0]);
            let inner = Ipv4Addr::from((u32::from(segments[6]) << 16) | u32::from(segments[7]));
            V6.contains(&v6) || (embeds && V4.contains(&inner))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_known_in_every_spelling() {
        for bad in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "::169.254.169.254",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
        ] {
            assert!(is_metadata(bad.parse().unwrap()), "{bad}");
        }
        for good in ["127.0.0.1", "169.254.1.1", "::1", "10.0.0.1", "2001:db8::1", "100.100.100.201"] {
            assert!(!is_metadata(good.parse().unwrap()), "{good}");
        }
    }
}
