//! Name resolution, the policy on addresses, and the TCP connection.
//!
//! The name is resolved by the system (its hosts file and resolver configuration count, as they do for every other program on the
//! machine). The policy decides on the address that is dialled, after resolution, so a name cannot lead around it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sitepulse_model::record::{Cause, Phase};
use tokio::net::TcpStream;

use super::Failure;

/// Resolves `host` and picks the first address in the resolver's order.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let mut addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| {
        if is_agent_fault(&error) {
            return agent_fault(Phase::Dns, &error);
        }
        Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {host} does not resolve ({})", plain(&error)))
    })?;
    addresses.next().ok_or_else(|| Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {host} has no address")))
}

/// Refuses cloud metadata services: they hand out credentials to whoever asks from inside the machine.
pub(crate) fn check_policy(address: SocketAddr) -> Result<(), Failure> {
    if is_metadata(address.ip()) {
        return Err(Failure::new(
            Cause::PolicyRefused,
            Phase::Connect,
            format!("policy: {} is a cloud metadata address; agents do not probe those", address.ip()),
        ));
    }
    Ok(())
}

/// Dials one address.
pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| connect_failure(address, &error))?;
    // Without it the request could wait for an acknowledgement of nothing.
    stream.set_nodelay(true).map_err(|error| connect_failure(address, &error))?;
    Ok(stream)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
fn connect_failure(address: SocketAddr, error: &io::Error) -> Failure {
    if is_agent_fault(error) {
        return agent_fault(Phase::Connect, error);
    }
    let (cause, text) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (Cause::ConnectionRefused, "refused the connection".to_owned()),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            (Cause::ConnectionReset, "reset the connection".to_owned())
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            (Cause::Unreachable, format!("is unreachable ({})", plain(error)))
        }
        io::ErrorKind::TimedOut => (Cause::Timeout, "did not answer the connection".to_owned()),
        _ => (Cause::Unreachable, format!("cannot be reached ({})", plain(error))),
    };
    Failure::new(cause, Phase::Connect, format!("connect: {address} {text}"))
}

/// Whether the error tells of this machine rather than of the target: out of descriptors, memory, ports or permissions.
pub(crate) fn is_agent_fault(error: &io::Error) -> bool {
    const EPERM: i32 = 1;
    const ENOMEM: i32 = 12;
    const EACCES: i32 = 13;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const EADDRNOTAVAIL: i32 = 99;
    const ENOBUFS: i32 = 105;
    error
        .raw_os_error()
        .is_some_and(|code| [EPERM, ENOMEM, EACCES, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS].contains(&code))
}

pub(crate) fn agent_fault(phase: Phase, error: &io::Error) -> Failure {
    Failure::new(Cause::AgentFault, phase, format!("agent: {}; see the limits of the agent's machine", plain(error)))
}

/// An error's text without Rust's "(os error 111)".
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    text.split(" (os error").next().unwrap_or(text).to_lowercase()
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
