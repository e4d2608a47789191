//! Requests that are done once.

use sitepulse_model::time::UtcMicros;

use super::{App, AppError};
use crate::present::idempotency::KEYS_MAX;
use crate::store::idempotency::{self as stored, Begun, Hash};

impl App {
    /// Notes that a request begins, unless it did before.
    pub(crate) async fn begin_once(&self, name: Hash, asks: Hash, now: UtcMicros) -> Result<Begun, AppError> {
        let begin = move |engine: &mut crate::engine::Engine| {
            engine.store.write(|tables| stored::begin(tables, &name, &asks, now, KEYS_MAX))
        };
        Ok(self.writer().run(begin).await??)
    }

    /// Keeps a request's answer, sealed.
    pub(crate) async fn finish_once(&self, name: Hash, status: u16, answer: Vec<u8>) -> Result<(), AppError> {
        let finish = move |engine: &mut crate::engine::Engine| {
            engine.store.write(|tables| stored::finish(tables, &name, status, &answer))
        };
        Ok(self.writer().run(finish).await??)
    }

    /// Forgets a request that changed nothing.
    pub(crate) async fn forget_once(&self, name: Hash) -> Result<(), AppError> {
        let forget =
            move |engine: &mut crate::engine::Engine| engine.store.write(|tables| stored::forget(tables, &name));
        Ok(self.writer().run(forget).await??)
    }
}
