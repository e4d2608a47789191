//! Vitals over a span, and screenshots: read from their tables.

use sitepulse_model::id::{Bucket, CheckNo};

use super::{App, AppError};
use crate::store;
use crate::vitals::ScreenshotKey;
use crate::vitals::figures::{Figures, Frame, Gathering};

impl App {
    /// The figures of a check's vitals.
    pub async fn vitals(&self, frame: Frame) -> Result<Figures, AppError> {
        let (bucket, check, span) = (frame.check().bucket(), frame.number(), frame.span());
        self.read_store(move |tables| {
            let mut gathering = Gathering::new(frame);
            store::vitals::rows(tables, bucket, check, span, |row| gathering.add(&row))?;
            Ok(gathering.finish())
        })
        .await
    }

    /// A screenshot: JPEG. `None` when it is not, or no longer, kept.
    pub async fn screenshot(
        &self,
        bucket: Bucket,
        check: CheckNo,
        key: ScreenshotKey,
    ) -> Result<Option<Vec<u8>>, AppError> {
        self.read_store(move |tables| store::vitals::screenshot(tables, bucket, check, key)).await
    }
}
