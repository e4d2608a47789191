//! Name resolution, the policy on addresses, and the TCP connection.
//!
//! Limits: [`LOOKUPS_MAX`] lookups at once. A lookup cannot be cancelled, so one that hangs keeps its place until the system gives it up,
//! whatever became of its probe. Numeric hosts take no lookup.
//!
//! Whose fault: an error that names this machine's own routes or resolver is [`Cause::NetworkLost`], which is `unknown`; a target that some
//! router calls unreachable is `down`. This is what one error tells and no more: whether the agent's network is out as a whole would
//! take reference targets, which the agent does not have. A cut cable that only shows as silence is still a timeout, and `down`.
//!
//! The name is resolved by the system (its hosts file and resolver configuration count, as they do for every other program on the
//! machine). The policy decides on the address that is dialled, after resolution, so a name cannot lead around it.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use sitepulse_model::check::Family;
use sitepulse_model::record::{Cause, Phase};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::attempt::{Attempt, Failure};

/// Name lookups at once, those included whose probe has given up on them.
pub const LOOKUPS_MAX: usize = 32;

/// The places of lookups. One for the process, as the threads that they run on.
static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// Resolves `host` and picks the first address in the resolver's order. `queued` is set while it waits for its turn: a deadline that
/// passes then says nothing about the name.
pub(crate) async fn resolve(host: &str, port: u16, queued: &mut bool) -> Result<SocketAddr, Failure> {
    let name = host.to_owned();
    let found =
        look_up(&LOOKUPS, queued, move || (name.as_str(), port).to_socket_addrs().map(|mut found| found.next()));
    let first = found.await.map_err(|error| resolve_failure(host, &error))?;
    first.ok_or_else(|| Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {host} has no address")))
}

/// Runs a lookup on a blocking thread when one of `places` is free. The lookup itself holds the place until it really ends.
async fn look_up<T: Send + 'static>(
    places: &'static Semaphore,
    queued: &mut bool,
    lookup: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    *queued = true;
    let place = places.acquire().await.map_err(io::Error::other)?;
    *queued = false;
    let job = tokio::task::spawn_blocking(move || {
        let _place = place;
        lookup()
    });
    job.await.map_err(io::Error::other)?
}

/// What a run ends as whose deadline came before its lookup's turn.
pub(crate) fn lookups_busy(host: &str) -> Failure {
    let text = format!(
        "agent: all {LOOKUPS_MAX} name lookups are busy, {host} did not get its turn; check the name servers of the agent's machine"
    );
    Failure::new(Cause::AgentFault, Phase::Dns, text)
}

fn resolve_failure(host: &str, error: &io::Error) -> Failure {
    if is_network_lost(error) || is_resolver_lost(error) {
        let text = format!("network: this agent's name servers do not answer for {host} ({})", plain(error));
        return Failure::new(Cause::NetworkLost, Phase::Dns, text);
    }
    if is_agent_fault(error) {
        return agent_fault(Phase::Dns, error);
    }
    Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {host} does not resolve ({})", plain(error)))
}

/// Whether the resolver said `EAI_AGAIN`: it got no answer from its name servers. The standard library gives its text alone (of glibc, of
/// musl), always in English: no program of ours sets a locale.
fn is_resolver_lost(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
        && ["temporary failure in name resolution", "try again"].contains(&plain(error).as_str())
}

/// Whether the error tells that this machine itself has no way there: no route, no interface, no address of its own.
fn is_network_lost(error: &io::Error) -> bool {
    const EADDRNOTAVAIL: i32 = 99;
    const ENETDOWN: i32 = 100;
    const ENETUNREACH: i32 = 101;
    error.raw_os_error().is_some_and(|code| [EADDRNOTAVAIL, ENETDOWN, ENETUNREACH].contains(&code))
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
    _family: Family,
) -> Result<SocketAddr, Failure> {
    host.clone_into(&mut attempt.host);
    let address = match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port),
        Err(_) => {
            attempt.begin(Phase::Dns);
            let resolved = resolve(host, port, &mut attempt.lookup_queued).await;
            attempt.end();
            resolved?
        }
    };
    attempt.address = Some(address);
    attempt.tools.policy.check(address)?;
    Ok(address)
}

/// Dials one address.
pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| connect_failure(address, &error))?;
    // Without it the request could wait for an acknowledgement of nothing.
    stream.set_nodelay(true).map_err(|error| connect_failure(address, &error))?;
    Ok(stream)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
pub(crate) fn connect_failure(address: SocketAddr, error: &io::Error) -> Failure {
    if is_network_lost(error) {
        let text = format!("network: this agent has no route to {address} ({})", plain(error));
        return Failure::new(Cause::NetworkLost, Phase::Connect, text);
    }
    if is_agent_fault(error) {
        return agent_fault(Phase::Connect, error);
    }
    let (cause, text) = match error.kind() {
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
    fn a_lookup_that_hangs_keeps_its_place_and_the_next_one_is_not_down() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let brief = std::time::Duration::from_millis(20);
            let (release, hang) = std::sync::mpsc::channel::<()>();
            let mut queued = false;
            let hanging = look_up(&ONE, &mut queued, move || {
                hang.recv().ok();
                Ok(1)
            });
            assert!(tokio::time::timeout(brief, hanging).await.is_err());
            assert!(!queued, "its deadline passed while the lookup ran: the name's fault");
            let waiting = look_up(&ONE, &mut queued, || Ok(2));
            assert!(tokio::time::timeout(brief, waiting).await.is_err());
            assert!(queued, "its deadline passed before its turn: the agent's fault");
            drop(release);
            assert_eq!(look_up(&ONE, &mut queued, || Ok(3)).await.unwrap(), 3);
            assert!(!queued);
        });
        assert_eq!(lookups_busy("a.example").cause, Cause::AgentFault);
    }

    #[test]
    fn the_agents_own_outage_is_not_the_targets() {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        for (code, cause) in [
            (99, Cause::NetworkLost),
            (100, Cause::NetworkLost),
            (101, Cause::NetworkLost),
            (113, Cause::Unreachable),
            (111, Cause::ConnectionRefused),
            (110, Cause::Timeout),
            (24, Cause::AgentFault),
        ] {
            let failure = connect_failure(address, &io::Error::from_raw_os_error(code));
            assert_eq!(failure.cause, cause, "{}", failure.detail);
        }
        let said = |text: &str| {
            resolve_failure("a.example", &io::Error::other(format!("failed to lookup address information: {text}")))
                .cause
        };
        assert_eq!(said("Temporary failure in name resolution"), Cause::NetworkLost);
        assert_eq!(said("Try again"), Cause::NetworkLost);
        assert_eq!(said("Name or service not known"), Cause::DnsFailed);
        let failure = connect_failure(address, &io::Error::from_raw_os_error(101));
        assert!(failure.detail.starts_with("network: this agent has no route to 192.0.2.1:80"), "{}", failure.detail);
    }
}
