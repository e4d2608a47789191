//! The join tokens that were given out.

use super::{App, AppError};
use crate::engine::Engine;
use crate::store::join_tokens::{self as stored, Given};

impl App {
    /// All join tokens, without their secrets.
    pub async fn join_tokens(&self) -> Result<Vec<Given>, AppError> {
        self.read_store(stored::all).await
    }

    /// Takes a join token back that nobody joined with.
    ///
    /// # Errors
    /// When there is none, or an agent joined with it.
    pub async fn revoke_join_token(&self, id: String) -> Result<(), AppError> {
        let revoke = move |engine: &mut Engine| -> Result<(), AppError> {
            if engine.store.write(|tables| stored::remove(tables, &id))? {
                tracing::info!(id, "join token revoked");
                return Ok(());
            }
            let known = stored::all(engine.store.read())?.iter().any(|given| given.id == id);
            if known {
                let what = "an agent joined with this token: revoke the agent, `sitepulse-collector agent revoke NAME`";
                return Err(AppError::Conflict(what.into()));
            }
            Err(AppError::NotFound(format!("no join token {id}: see `/api/v1/join-tokens`")))
        };
        self.writer().run(revoke).await?
    }
}
