//! What people do to findings, on the writer's thread.

use sitepulse_model::time::UtcMicros;

use super::{App, AppError};
use crate::insight::FindingId;
use crate::insight::shelf::Act;

impl App {
    /// Does what a person asks to a finding. See [`crate::engine::Engine::act_on_finding`].
    ///
    /// # Errors
    /// As there.
    pub async fn act_on_finding(&self, id: &str, act: Act, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let (id, author) = (FindingId(id.to_owned()), author.to_owned());
        self.writer().run(move |engine| engine.act_on_finding(&id, &act, &author, now)).await?
    }
}
