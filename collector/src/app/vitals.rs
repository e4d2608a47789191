//! Vitals over a span, and screenshots: read from their tables.

use sitepulse_model::id::{Bucket, CheckNo};

use super::{App, AppError};
use crate::store;
use crate::vitals::ScreenshotKey;
use crate::vitals::figures::{Figures, Frame, Gathering};

impl App {
    /// The figures of a check's vitals.
    pub async fn vitals(&self, mut frame: Frame) -> Result<Figures, AppError> {
        let (bucket, check) = (frame.check().bucket(), frame.number());
        let told = self.telling();
        self.read_store(move |tables| {
            let days = frame.days();
            let known = days.map(|days| store::vital_days::known(tables, (bucket, check), days)).transpose()?.flatten();
            if let Some((first, last)) = known {
                frame.widen_to(first);
                frame.widen_to(last);
            }
            let span = frame.span();
            let mut gathering = Gathering::new(frame);
            if let Some(days) = known {
                let add = |agent, day, sketches| gathering.add_day(agent, day, &sketches);
                told.told(store::vital_days::days(tables, (bucket, check), days, add))?;
            }
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
