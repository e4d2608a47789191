//! `web_vitals`: a page in a real browser, several times.

mod gate;

use sitepulse_model::check::WebVitalsTarget;
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::{Answer, Attempt, Failure};

/// A `web_vitals` check, prepared.
#[derive(Debug)]
pub(crate) struct WebVitalsProbe {
    target: WebVitalsTarget,
}

impl WebVitalsProbe {
    pub(crate) fn new(target: &WebVitalsTarget) -> Result<Self, String> {
        Ok(Self { target: target.clone() })
    }

    pub(crate) async fn talk(&self, _attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let text = format!("browser: {} cannot be measured yet", self.target.url);
        Err(Failure::new(Cause::BrowserMissing, Phase::Total, text))
    }
}
