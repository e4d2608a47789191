//! Whether the agent's own network is out: then a failure says nothing of the target.

use crate::attempt::Failure;

/// The referee. One for all probes of the agent.
#[derive(Debug, Default)]
pub struct Network {}

impl Network {
    /// A referee that asks these targets, `host:port`.
    pub fn new(_references: Vec<String>) -> Self {
        Self::default()
    }

    /// The connection to the collector came up, or went away.
    pub fn collector_link(&self, _up: bool) {}

    /// What a failure is really: itself, or [`Cause::NetworkLost`](sitepulse_model::record::Cause::NetworkLost) with the reason.
    #[allow(clippy::unused_async, reason = "not built yet")]
    pub(crate) async fn judge(&self, failure: Failure) -> Failure {
        failure
    }
}
