//! ICMP echoes over one unprivileged socket that all probes share.

use sitepulse_model::check::IcmpTarget;

use crate::attempt::{Answer, Attempt, Failure};

/// The shared socket of each family. One for all probes of the agent.
#[derive(Debug, Default)]
pub struct Hub {}

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct IcmpProbe {}

impl IcmpProbe {
    pub(crate) fn new(_target: &IcmpTarget) -> Result<Self, String> {
        Err("this build has no prober of this kind".to_owned())
    }

    #[allow(clippy::unused_async, reason = "not built yet")]
    pub(crate) async fn talk(&self, _attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}
