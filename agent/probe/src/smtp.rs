//! A mail server that takes mail.

use sitepulse_model::check::MailTarget;

use crate::attempt::{Answer, Attempt, Failure};

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct SmtpProbe {}

impl SmtpProbe {
    pub(crate) fn new(_target: &MailTarget) -> Result<Self, String> {
        Err("this build has no prober of this kind".to_owned())
    }

    #[allow(clippy::unused_async, reason = "not built yet")]
    pub(crate) async fn talk(&self, _attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}
