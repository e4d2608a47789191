//! What people do to incidents, on the writer's thread.

use sitepulse_model::incident::IncidentId;
use sitepulse_model::time::UtcMicros;

use super::{App, AppError};
use crate::alert::people::{Act, Manual};
use crate::alert::silence::{Silence, Wanted};

impl App {
    /// Does what a person asks to an incident. See [`crate::engine::Engine::act_on`].
    ///
    /// # Errors
    /// As there.
    pub async fn act(&self, id: &str, act: Act, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let (id, author) = (IncidentId(id.to_owned()), author.to_owned());
        self.writer().run(move |engine| engine.act_on(&id, &act, &author, now)).await?
    }

    /// Opens an incident that nothing measured tells of. See [`crate::engine::Engine::open_manual`].
    ///
    /// # Errors
    /// As there.
    pub async fn open_incident(&self, manual: Manual, author: &str, now: UtcMicros) -> Result<IncidentId, AppError> {
        let author = author.to_owned();
        self.writer().run(move |engine| engine.open_manual(&manual, &author, now)).await?
    }

    /// Keeps pages still. See [`crate::engine::Engine::silence`].
    ///
    /// # Errors
    /// As there.
    pub async fn silence(&self, wanted: Wanted, author: &str, now: UtcMicros) -> Result<Silence, AppError> {
        let author = author.to_owned();
        self.writer().run(move |engine| engine.silence(wanted, &author, now)).await?
    }

    /// Ends a silence before its time. See [`crate::engine::Engine::unsilence`].
    ///
    /// # Errors
    /// As there.
    pub async fn unsilence(&self, id: &str, author: &str, now: UtcMicros) -> Result<Silence, AppError> {
        let (id, author) = (id.to_owned(), author.to_owned());
        self.writer().run(move |engine| engine.unsilence(&id, &author, now)).await?
    }
}
