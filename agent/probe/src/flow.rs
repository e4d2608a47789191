//! Several HTTP requests that share variables.

use sitepulse_model::check::FlowTarget;

use crate::attempt::{Answer, Attempt, Failure};

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct FlowProbe {}

impl FlowProbe {
    pub(crate) fn new(_target: &FlowTarget) -> Result<Self, String> {
        Err("this build has no prober of this kind".to_owned())
    }

    #[allow(clippy::unused_async, reason = "not built yet")]
    pub(crate) async fn talk(&self, _attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}
