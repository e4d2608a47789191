//! Latencies over a span: from the store's rollups and what the frame took from the book.

use super::{App, AppError};
use crate::latency::figures::{Figures, Frame};

impl App {
    /// The latencies of a check. Damage that is met is told in the log, once.
    pub async fn latency(&self, frame: Frame) -> Result<Figures, AppError> {
        let told = self.telling();
        let figures = self.read_store(move |tables| told.told(frame.gather(tables))).await?;
        for row in &figures.damaged {
            self.shared().told.error(&format!("table rollup: {row}; another row or its records tell the same, and it is mended when more of that day is sealed"));
        }
        Ok(figures)
    }
}
