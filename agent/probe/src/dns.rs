//! One DNS question to one server.

use sitepulse_model::check::DnsTarget;

use crate::attempt::{Answer, Attempt, Failure};

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct DnsProbe {}

impl DnsProbe {
    pub(crate) fn new(_target: &DnsTarget) -> Result<Self, String> {
        Err("this build has no prober of this kind".to_owned())
    }

    #[allow(clippy::unused_async, reason = "not built yet")]
    pub(crate) async fn talk(&self, _attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}
