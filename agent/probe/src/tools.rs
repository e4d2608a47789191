//! What all probes of one agent share.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use sitepulse_model::check::SecretText;
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::Failure;
use crate::domain::Registry;
use crate::http3::Endpoints;
use crate::icmp::Hub;
use crate::network::Network;
use crate::policy::Policy;
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
    pub secrets: Secrets,
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
}

impl Tools {
    /// The tools of an agent with these roots and this policy.
    pub fn new(tls: Tls, policy: Policy) -> Self {
        Self {
            tls,
            policy,
            secrets: Secrets::default(),
            resolver: Resolver::default(),
            network: Network::default(),
            icmp: Hub::default(),
            quic: Endpoints::default(),
            registry: Registry::default(),
        }
    }
}

/// The secrets that the collector delivered. `Debug` hides the values.
#[derive(Default)]
pub struct Secrets {
    values: RwLock<Arc<BTreeMap<String, String>>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.all().keys()).finish()
    }
}

impl Secrets {
    /// Replaces all values, by name.
    pub fn replace(&self, values: BTreeMap<String, String>) {
        *self.values.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(values);
    }

    fn all(&self) -> Arc<BTreeMap<String, String>> {
        self.values.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The text that is meant: a reference's value, or the text itself.
    pub(crate) fn resolve(&self, text: &SecretText) -> Result<String, Failure> {
        let Some(name) = text.name() else { return Ok(text.0.clone()) };
        self.all().get(name).cloned().ok_or_else(|| {
            let detail = format!(
                "secret: this agent does not have {name:?}; set it with `sitepulse-collector secret set {name}` and let the agent connect"
            );
            Failure::new(Cause::SecretMissing, Phase::Total, detail)
        })
    }

    /// Puts `secret:NAME` in the place of every value in `text`: explanations quote what targets send, and targets echo.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, value) in self.all().iter().filter(|(_, value)| !value.is_empty()) {
            if out.contains(value.as_str()) {
                out = out.replace(value.as_str(), &format!("secret:{name}"));
            }
        }
        out
    }
}
