//! Latencies over a span: from the store's rollups and what the frame took from the book.

use super::{App, AppError};
use crate::latency::figures::{Figures, Frame};

impl App {
    /// The latencies of a check.
    pub async fn latency(&self, frame: Frame) -> Result<Figures, AppError> {
        self.read_store(move |tables| frame.gather(tables)).await
    }
}
