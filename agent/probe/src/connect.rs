//! From a host to a connection: resolve, filter every address by the policy, dial the first that is left.
//!
//! The address that was judged is the one that is dialled; nothing resolves a second time, so a name cannot lead around the policy. One address
//! is dialled: no race, no second try.
//!
//! Whose fault: an error that names this machine's own routes is [`Cause::NetworkLost`], which is `unknown`; a target that some router calls
//! unreachable is `down`. Some errors come from either, and are told apart by a look at the routes ([`Teller`]). Whether the agent's network is
//! out as a whole is the referee's to say ([`crate::network`]).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use sitepulse_daemon::address::Policy;
use sitepulse_model::check::Family;
use sitepulse_model::record::{Cause, Phase};
use tokio::net::TcpStream;

use crate::attempt::{Attempt, Failure};
use crate::policy::{self, refused};
use crate::resolve::host::Host;

/// Refused addresses that an explanation names.
const REFUSED_NAMED: usize = 3;

/// Who speaks in a socket's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teller {
    /// This machine has no way there: no route, no interface, no address of its own.
    NoRoute,
    /// This machine refuses: out of descriptors or memory, or not permitted.
    Agent,
    /// A router on the way, by ICMP.
    Router,
    /// The target, or whoever it is: the error's kind tells.
    Other,
}

impl Teller {
    /// Who speaks in the error of a socket that talks to `address`.
    pub(crate) fn of(error: &io::Error, address: SocketAddr) -> Self {
        Self::judge(error, || has_route(address))
    }

    /// Linux makes the same error of its own missing (or prohibiting) route and of a router's ICMP message: `has_route` tells them apart, and is
    /// asked for those alone. No ICMP message becomes `EPERM`.
    pub(crate) fn judge(error: &io::Error, has_route: impl Fn() -> bool) -> Self {
        const EACCES: i32 = 13;
        const EADDRNOTAVAIL: i32 = 99;
        const ENETDOWN: i32 = 100;
        const ENETUNREACH: i32 = 101;
        match error.raw_os_error() {
            Some(EACCES | ENETUNREACH) if has_route() => Self::Router,
            Some(EADDRNOTAVAIL | ENETDOWN | ENETUNREACH) => Self::NoRoute,
            _ if is_agent_fault(error) => Self::Agent,
            _ => Self::Other,
        }
    }
}

/// Whether this machine has a way to the address: connecting a socket of datagrams looks it up and sends nothing.
fn has_route(address: SocketAddr) -> bool {
    let any = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address)).is_ok()
}

/// What a router said, for people.
pub(crate) fn told_by_router(error: &io::Error) -> String {
    format!("is unreachable ({}, says a router on the way)", plain(error))
}

/// Resolves `host`, filters its addresses by the policy, dials the first that is left. Measures both phases.
pub(crate) async fn open(
    attempt: &mut Attempt<'_>,
    host: &str,
    port: u16,
    family: Family,
) -> Result<TcpStream, Failure> {
    let address = pick(attempt, host, port, family).await?;
    attempt.begin(Phase::Connect);
    let dialled = dial(address).await;
    attempt.end();
    dialled
}

/// Resolves `host`, filters its addresses by the policy, and notes the one to dial.
pub(crate) async fn pick(
    attempt: &mut Attempt<'_>,
    host: &str,
    port: u16,
    family: Family,
) -> Result<SocketAddr, Failure> {
    if port == 0 {
        return Err(refused(&format!("{host} is asked for port 0; name a port from 1 to 65535")));
    }
    let address = SocketAddr::new(pick_host(attempt, host, family).await?, port);
    attempt.address = Some(address);
    Ok(address)
}

/// As [`pick`], where there are no ports (ICMP): the address is noted with port 0.
pub(crate) async fn pick_host(attempt: &mut Attempt<'_>, host: &str, family: Family) -> Result<IpAddr, Failure> {
    // The dot at the end of a full name is for the resolver alone.
    host.strip_suffix('.').unwrap_or(host).clone_into(&mut attempt.host);
    let tools = attempt.tools;
    (attempt.evidence.resolver, attempt.evidence.resolved) = (None, Vec::new());
    let address = match Host::parse(host) {
        Err(reason) => return Err(Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {reason}"))),
        Ok(Host::Address(address)) if !is_of(address, family) => {
            let text = format!("dns: {address} is no {} address, and the check asks for those alone", family.as_str());
            return Err(Failure::new(Cause::DnsFailed, Phase::Dns, text));
        }
        Ok(Host::Address(address)) => {
            policy::check_host(&tools.policy, address)?;
            address
        }
        Ok(Host::Name { name, absolute }) => {
            attempt.begin(Phase::Dns);
            let by = &mut attempt.evidence.resolver;
            let resolved = tools.resolver.addresses_by(&name, absolute, family, attempt.deadline, by).await;
            attempt.end();
            attempt.evidence.resolved = resolved?;
            choose(&tools.policy, &name, &attempt.evidence.resolved)?
        }
    };
    attempt.address = Some(SocketAddr::new(address, 0));
    Ok(address)
}

const fn is_of(address: IpAddr, family: Family) -> bool {
    match family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    }
}

/// The first address that the policy allows; where it allows none, the refusal names them.
pub(crate) fn choose(policy: &Policy, host: &str, found: &[IpAddr]) -> Result<IpAddr, Failure> {
    let mut refusals = Vec::new();
    for address in found {
        match policy.judge(*address) {
            Ok(()) => return Ok(*address),
            Err(refusal) => refusals.push(refusal),
        }
    }
    let Some(first) = refusals.first() else {
        return Err(Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {host} has no address")));
    };
    let mut reasons: Vec<String> = refusals.iter().take(REFUSED_NAMED).map(ToString::to_string).collect();
    if refusals.len() > REFUSED_NAMED {
        reasons.push(format!("{} more", refusals.len() - REFUSED_NAMED));
    }
    let reasons = reasons.join(", ");
    Err(refused(&format!("{host} leads to refused addresses alone: {reasons}; {}", policy::remedy(first))))
}

/// Dials one address.
pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| connect_failure(address, &error))?;
    // Without it the request could wait for an acknowledgement of nothing.
    stream.set_nodelay(true).map_err(|error| connect_failure(address, &error))?;
    Ok(stream)
}

pub(crate) fn connect_failure(address: SocketAddr, error: &io::Error) -> Failure {
    connect_failure_of(Teller::of(error, address), address, error)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
fn connect_failure_of(teller: Teller, address: SocketAddr, error: &io::Error) -> Failure {
    let (cause, text) = match error.kind() {
        _ if teller == Teller::NoRoute => {
            let text = format!("network: this agent has no route to {address} ({})", plain(error));
            return Failure::new(Cause::NetworkLost, Phase::Connect, text);
        }
        _ if teller == Teller::Agent => return agent_fault(Phase::Connect, error),
        _ if teller == Teller::Router => (Cause::Unreachable, told_by_router(error)),
        io::ErrorKind::ConnectionRefused => (Cause::ConnectionRefused, "refused the connection".to_owned()),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            (Cause::ConnectionReset, "reset the connection".to_owned())
        }
        io::ErrorKind::HostUnreachable => (Cause::Unreachable, format!("is unreachable ({})", plain(error))),
        io::ErrorKind::TimedOut => (Cause::Timeout, "did not answer the connection".to_owned()),
        _ => (Cause::Unreachable, format!("cannot be reached ({})", plain(error))),
    };
    Failure::new(cause, Phase::Connect, format!("connect: {address} {text}"))
}

/// What a socket's error is once it talks to `host` at `address`: the failure begins with `step`.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
pub(crate) fn socket_failure(step: &str, host: &str, address: SocketAddr, phase: Phase, error: &io::Error) -> Failure {
    let teller = Teller::of(error, address);
    let (cause, text) = match error.kind() {
        _ if teller == Teller::NoRoute => {
            let text = format!("network: this agent has no route to {host} ({})", plain(error));
            return Failure::new(Cause::NetworkLost, phase, text);
        }
        _ if teller == Teller::Agent => return agent_fault(phase, error),
        _ if teller == Teller::Router => (Cause::Unreachable, told_by_router(error)),
        // Over UDP: nothing listens there, says the host.
        io::ErrorKind::ConnectionRefused => (Cause::ConnectionRefused, "refuses: nothing listens there".to_owned()),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            (Cause::ConnectionReset, "reset the connection".to_owned())
        }
        io::ErrorKind::UnexpectedEof => (Cause::ConnectionReset, "closed the connection early".to_owned()),
        io::ErrorKind::HostUnreachable => (Cause::Unreachable, format!("is unreachable ({})", plain(error))),
        _ => (Cause::Unreachable, format!("cannot be reached ({})", plain(error))),
    };
    Failure::new(cause, phase, format!("{step}: {host} {text}"))
}

/// Whether the error tells of this machine rather than of the target: out of descriptors, memory or permissions.
pub(crate) fn is_agent_fault(error: &io::Error) -> bool {
    const EPERM: i32 = 1;
    const ENOMEM: i32 = 12;
    const EACCES: i32 = 13;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    error.raw_os_error().is_some_and(|code| [EPERM, ENOMEM, EACCES, ENFILE, EMFILE, ENOBUFS].contains(&code))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_own_outage_is_not_the_targets() {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let failure = |code, route| {
            let error = io::Error::from_raw_os_error(code);
            connect_failure_of(Teller::judge(&error, || route), address, &error)
        };
        for (code, route, cause) in [
            (99, true, Cause::NetworkLost),
            (100, true, Cause::NetworkLost),
            (101, false, Cause::NetworkLost),
            (113, true, Cause::Unreachable),
            (111, true, Cause::ConnectionRefused),
            (110, true, Cause::Timeout),
            (24, true, Cause::AgentFault),
            (13, false, Cause::AgentFault),
            (1, true, Cause::AgentFault),
        ] {
            let failure = failure(code, route);
            assert_eq!(failure.cause, cause, "{}", failure.detail);
        }
        let failure = failure(101, false);
        assert!(failure.detail.starts_with("network: this agent has no route to 192.0.2.1:80"), "{}", failure.detail);
    }

    #[test]
    fn what_a_router_says_is_not_the_agents_outage() {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        for (code, detail) in [
            (101, "connect: 192.0.2.1:80 is unreachable (network is unreachable, says a router on the way)"),
            (13, "connect: 192.0.2.1:80 is unreachable (permission denied, says a router on the way)"),
        ] {
            let error = io::Error::from_raw_os_error(code);
            let failure = connect_failure_of(Teller::judge(&error, || true), address, &error);
            assert_eq!((failure.cause, failure.detail.as_str()), (Cause::Unreachable, detail));
        }
        // The routes are asked for nothing else.
        for code in [1, 24, 99, 100, 110, 111, 113] {
            Teller::judge(&io::Error::from_raw_os_error(code), || panic!("{code}"));
        }
        for local in ["127.0.0.1:0", "127.0.0.1:9"] {
            assert!(has_route(local.parse().unwrap()), "{local}");
        }
        // No way leads there without leave.
        assert!(!has_route("255.255.255.255:9".parse().unwrap()));
    }

    #[test]
    fn the_first_allowed_address_is_dialled_and_a_refusal_names_the_others() {
        let policy = Policy::parse(&["127.0.0.2".to_owned()]).unwrap();
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let chosen = choose(&policy, "a.example", &addresses(&["127.0.0.1", "127.0.0.2", "127.0.0.2"])).unwrap();
        assert_eq!(chosen, "127.0.0.2".parse::<IpAddr>().unwrap());
        let refused = addresses(&["127.0.0.1", "10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.10"]);
        let failure = choose(&policy, "a.example", &refused).unwrap_err();
        assert_eq!(
            failure.detail,
            "policy: a.example leads to refused addresses alone: 127.0.0.1 is loopback, 10.0.0.7 is private, 10.0.0.8 is private, 2 more; \
             allow it in the agent's configuration: [network] allow = [\"loopback\"]"
        );
    }
}
