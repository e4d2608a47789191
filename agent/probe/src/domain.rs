//! A domain's registration, by RDAP.

use sitepulse_model::check::DomainTarget;

use crate::attempt::{Answer, Attempt, Failure};

/// Which RDAP service answers for which top-level domain: IANA's bootstrap registry, kept for a day.
#[derive(Debug, Default)]
pub struct Registry {}

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct DomainProbe {}

impl DomainProbe {
    pub(crate) fn new(_target: &DomainTarget) -> Result<Self, String> {
        Err("this build has no prober of this kind".to_owned())
    }

    #[allow(clippy::unused_async, reason = "not built yet")]
    pub(crate) async fn talk(&self, _attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}
