//! What all probes of one agent share.

pub(crate) mod hide;
mod secrets;

use sitepulse_browser::{Browser, Options};
use tokio::sync::watch;

pub use self::secrets::SecretStore;
pub(crate) use self::secrets::Secrets;
use sitepulse_daemon::address::Policy;

use crate::domain::Registry;
use crate::http3::Endpoints;
use crate::icmp::Hub;
use crate::judge::Bench;
use crate::network::Network;
use crate::resolve::Resolver;
use crate::tls::Tls;

/// What all probes of one agent share. Made once at the start.
#[derive(Debug)]
pub struct Tools {
    /// Roots and TLS settings.
    pub tls: Tls,
    /// Which addresses may be dialled.
    pub policy: Policy,
    /// The values of secrets.
    pub secrets: SecretStore,
    /// Names to addresses.
    pub resolver: Resolver,
    /// Whether the agent's own network is out.
    pub network: Network,
    /// The sockets of `icmp` checks.
    pub icmp: Hub,
    /// The sockets of HTTP/3.
    pub quic: Endpoints,
    /// Who answers for which top-level domain.
    pub registry: Registry,
    /// The browser of `web_vitals` checks; none is started before one is needed.
    pub browser: Browser,
    /// Where large bodies are judged.
    pub(crate) bench: Bench,
    /// How far the last page is, for whoever waits for it.
    pub progress: watch::Sender<Progress>,
}

/// How far a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Nothing is under way.
    #[default]
    Idle,
    /// It waits for its place in the browser.
    Waiting,
    /// It is loaded. Beyond `runs`, a load is repeated that did not count.
    Loading {
        /// Which load, from 1.
        load: usize,
        /// Loads asked for.
        runs: usize,
        /// The host had no time for one before; where it had, one that did not count lost its browser.
        pressed: bool,
    },
}

impl Tools {
    /// The tools of an agent with these roots and this policy.
    pub fn new(tls: Tls, policy: Policy) -> Self {
        Self {
            tls,
            policy,
            secrets: SecretStore::default(),
            resolver: Resolver::default(),
            network: Network::default(),
            icmp: Hub::default(),
            quic: Endpoints::default(),
            registry: Registry::default(),
            browser: Browser::new(Options::default()),
            bench: Bench::default(),
            progress: watch::Sender::default(),
        }
    }
}
