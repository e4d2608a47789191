//! What a page may reach: the agent's policy, resolver and network, for the connections that a browser asks for.
//!
//! A page opens many connections to few hosts, so that a name is resolved once in a load and its answer kept as long as the load goes on. Every connection is
//! judged anew, on the address that is then dialled: a name that leads elsewhere the next time has nobody who asks it, and a mixed answer is dialled at what
//! is allowed of it.
//!
//! Limits: [`NAMES_MAX`] names in a load. A page that asks for more is refused the rest, so that no page makes the agent flood its name servers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sitepulse_browser::{Dialled, Gate, Refusal};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::Family;
use sitepulse_model::record::{Cause, Phase};
use tokio::sync::OnceCell;

use crate::attempt::Failure;
use crate::connect;
use crate::policy::{self, refused};
use crate::resolve::host::Host;
use crate::tools::Tools;

/// Names that one load may have resolved.
const NAMES_MAX: usize = 512;

/// The gate of one load.
pub(crate) struct LoadGate<'a> {
    tools: &'a Tools,
    names: Mutex<HashMap<(String, bool), Arc<Resolved>>>,
}

/// The answer for a name. Whoever asks while it is being waited for waits for the same one.
type Resolved = OnceCell<Result<Vec<IpAddr>, Failure>>;

impl<'a> LoadGate<'a> {
    /// A gate for one load; nothing is known yet.
    pub(crate) fn new(tools: &'a Tools) -> Self {
        Self { tools, names: Mutex::default() }
    }

    /// The address to dial and, for a name, how long it took, in microseconds.
    async fn pick(&self, host: &str, port: u16, deadline: Monotonic) -> Result<(SocketAddr, Option<u64>), Failure> {
        if port == 0 {
            return Err(refused(&format!("{host} is asked for port 0; name a port from 1 to 65535")));
        }
        let (address, dns_us) = match Host::parse(host) {
            Err(reason) => return Err(Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {reason}"))),
            Ok(Host::Address(address)) => {
                policy::check_host(&self.tools.policy, address)?;
                (address, None)
            }
            Ok(Host::Name { name, absolute }) => {
                let since = clock::monotonic();
                let found = self.resolve(name, absolute, deadline).await?;
                let dns_us = clock::monotonic().us_since(since);
                (connect::choose(&self.tools.policy, host, &found)?, Some(dns_us))
            }
        };
        Ok((SocketAddr::new(address, port), dns_us))
    }

    async fn resolve(&self, name: String, absolute: bool, deadline: Monotonic) -> Result<Vec<IpAddr>, Failure> {
        let resolved = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let room = names.len() < NAMES_MAX;
            let key = (name.clone(), absolute);
            match names.get(&key) {
                Some(resolved) => resolved.clone(),
                None if room => names.entry(key).or_default().clone(),
                None => {
                    let text = format!("{name} is not looked up: the page has asked for {NAMES_MAX} other names");
                    return Err(refused(&text));
                }
            }
        };
        let ask = || self.tools.resolver.addresses(&name, absolute, Family::Any, deadline);
        resolved.get_or_init(ask).await.clone()
    }

    async fn dial(&self, host: &str, port: u16, timeout_us: u64) -> Result<Dialled, Refusal> {
        let deadline = clock::monotonic().plus_us(timeout_us);
        let (address, dns_us) = self.pick(host, port, deadline).await.map_err(|failure| refusal(failure, None))?;
        let since = clock::monotonic();
        let dialling = tokio::time::timeout_at(clock::tokio_instant(deadline), connect::dial(address));
        match dialling.await {
            Ok(Ok(stream)) => Ok(Dialled { stream, address, dns_us, connect_us: clock::monotonic().us_since(since) }),
            Ok(Err(failure)) => Err(refusal(failure, Some(address))),
            Err(_) => {
                let text = format!("connect: {address} did not answer the connection");
                Err(refusal(Failure::new(Cause::Timeout, Phase::Connect, text), Some(address)))
            }
        }
    }
}

impl Gate for LoadGate<'_> {
    fn open<'a>(&'a self, host: &'a str, port: u16, timeout_us: u64) -> BoxFuture<'a, Result<Dialled, Refusal>> {
        Box::pin(self.dial(host, port, timeout_us))
    }
}

fn refusal(failure: Failure, address: Option<SocketAddr>) -> Refusal {
    let Failure { cause, phase, detail } = failure;
    Refusal { cause, phase, detail, address }
}

#[cfg(test)]
mod tests;
