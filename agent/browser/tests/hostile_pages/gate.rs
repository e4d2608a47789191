//! The gate of these tests: two addresses are allowed, everything else is denied. Names lead where the test says, and may change their mind.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use sitepulse_browser::{Dialled, Gate, Refusal};
use sitepulse_model::record::{Cause, Phase};
use tokio::net::TcpStream;

/// Judges as the agent does, by a list of its own.
pub(crate) struct Doors {
    allowed: Mutex<Vec<SocketAddr>>,
    names: BTreeMap<&'static str, Vec<IpAddr>>,
    asked: Mutex<Vec<(String, u16, bool)>>,
}

impl Doors {
    /// A name leads to its addresses in turn, and stays with the last.
    pub(crate) fn new(names: &[(&'static str, &[IpAddr])]) -> Self {
        let names = names.iter().map(|(name, addresses)| (*name, addresses.to_vec())).collect();
        Self { allowed: Mutex::default(), names, asked: Mutex::default() }
    }

    /// These addresses and no others.
    pub(crate) fn allow(&self, addresses: &[SocketAddr]) {
        *self.allowed.lock().unwrap() = addresses.to_vec();
    }

    /// The hosts that were asked for at `port`, and whether each was let through.
    pub(crate) fn asked(&self, port: u16) -> Vec<(String, bool)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, at, _)| *at == port).map(|(host, _, open)| (host.clone(), *open)).collect()
    }

    fn resolve(&self, host: &str) -> Option<IpAddr> {
        if let Ok(address) = host.parse() {
            return Some(address);
        }
        let name = host.trim_end_matches('.');
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(IpAddr::from([127, 0, 0, 1]));
        }
        let addresses = self.names.get(name)?;
        let before = self.asked.lock().unwrap().iter().filter(|(asked, ..)| asked == host).count();
        addresses.get(before).or(addresses.last()).copied()
    }
}

impl Gate for Doors {
    fn open<'a>(&'a self, host: &'a str, port: u16, _timeout_us: u64) -> BoxFuture<'a, Result<Dialled, Refusal>> {
        Box::pin(async move {
            let address = self.resolve(host).map(|ip| SocketAddr::new(ip, port));
            let allowed = address.filter(|address| self.allowed.lock().unwrap().contains(address));
            self.asked.lock().unwrap().push((host.to_owned(), port, allowed.is_some()));
            let refusal = |cause, detail| Refusal { cause, phase: Phase::Connect, detail, address };
            let Some(address) = allowed else {
                return Err(refusal(Cause::PolicyRefused, format!("policy: {host}:{port} is denied")));
            };
            match TcpStream::connect(address).await {
                Ok(stream) => Ok(Dialled { stream, address, dns_us: None, connect_us: 0 }),
                Err(error) => Err(refusal(Cause::Unreachable, format!("connect: {error}"))),
            }
        })
    }
}
