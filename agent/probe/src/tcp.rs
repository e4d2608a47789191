//! One TCP connection, and optionally words exchanged over it.

use sitepulse_model::check::TcpTarget;

use crate::attempt::{Answer, Attempt, Failure};

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct TcpProbe {}

impl TcpProbe {
    pub(crate) fn new(_target: &TcpTarget) -> Result<Self, String> {
        Err("this build has no prober of this kind".to_owned())
    }

    #[allow(clippy::unused_async, reason = "not built yet")]
    pub(crate) async fn talk(&self, _attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}
