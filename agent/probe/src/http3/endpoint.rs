//! The UDP sockets of HTTP/3: one of each family, shared by all runs.
//!
//! A run is a connection of its own, with its own connection ids and handshake; a socket for each would cost two system calls and a
//! descriptor more. A socket is made when it is first needed, and again when its driver is gone (its runtime ended, or the socket broke).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use quinn::{ClientConfig, ConnectError, Connecting, Endpoint};
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::Failure;
use crate::connect;

/// The UDP sockets that QUIC connections are dialled from, one of each family.
#[derive(Debug, Default)]
pub struct Endpoints {
    v4: Mutex<Option<Endpoint>>,
    v6: Mutex<Option<Endpoint>>,
}

impl Endpoints {
    /// Begins a handshake. Must be called within a runtime.
    pub(crate) fn connect(
        &self,
        config: &ClientConfig,
        address: SocketAddr,
        name: &str,
    ) -> Result<Connecting, Failure> {
        let place = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let mut endpoint = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = endpoint.as_ref() {
            match live.connect_with(config.clone(), address, name) {
                Err(ConnectError::EndpointStopping) => *endpoint = None,
                other => return other.map_err(|error| unusable(&error)),
            }
        }
        let local = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let fresh = Endpoint::client(local).map_err(|error| connect::agent_fault(Phase::Connect, &error))?;
        let connecting = fresh.connect_with(config.clone(), address, name).map_err(|error| unusable(&error));
        *endpoint = Some(fresh);
        connecting
    }

    /// The sockets' local addresses, for tests.
    #[cfg(test)]
    pub(crate) fn sockets(&self) -> Vec<SocketAddr> {
        let of = |place: &Mutex<Option<Endpoint>>| place.lock().unwrap().as_ref().and_then(|e| e.local_addr().ok());
        [of(&self.v4), of(&self.v6)].into_iter().flatten().collect()
    }

    /// Waits until every connection has told its end, for tests.
    #[cfg(test)]
    pub(crate) async fn idle(&self) {
        for place in [&self.v4, &self.v6] {
            let endpoint = place.lock().unwrap().clone();
            if let Some(endpoint) = endpoint {
                endpoint.wait_idle().await;
            }
        }
    }
}

fn unusable(error: &ConnectError) -> Failure {
    Failure::new(Cause::AgentFault, Phase::Tls, format!("agent: no QUIC connection can be made ({error})"))
}
