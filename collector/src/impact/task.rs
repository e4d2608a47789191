//! The shell of the board: one task that looks every second whether something changed, and keeps what scores were, hour by hour.

use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::time::UtcMicros;
use tokio::sync::watch;

use super::board::{Board, Refreshed, TURN};
use crate::app::{App, AppError};
use crate::latency::Hour;
use crate::store::impact::{Kept, WHOLE, keep};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long it rests between two turns while checks turn their hour: the processor is others' meanwhile.
const REST: Duration = Duration::from_millis(100);

/// Keeps the board until `stopping` turns true or the writer is gone.
pub async fn run(app: App, mut stopping: watch::Receiver<bool>) {
    app.board().keep();
    let mut complained = false;
    loop {
        let round = async {
            let refreshed = Board::refresh(&app, clock::now(), TURN).await?;
            write_down(&app, &refreshed).await?;
            Ok::<_, AppError>(refreshed.left)
        };
        let left = tokio::select! {
            left = round => left,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let wait = match left {
            Ok(left) => {
                complained = false;
                if left > 0 { REST } else { EVERY }
            }
            Err(error) => {
                // Told once, until it is over.
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!("impact scores stand as they were: {error}");
                }
                EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Keeps the scores of the checks that turned their hour, and, when the last of them did, that of all together.
async fn write_down(app: &App, refreshed: &Refreshed) -> Result<(), AppError> {
    let Some(scores) = app.board().newest().filter(|_| !refreshed.turned.is_empty()) else { return Ok(()) };
    let mut rows: Vec<((Bucket, CheckNo), Kept)> = Vec::new();
    for (check, hour) in &refreshed.turned {
        let Some(found) = scores.checks.get(check) else { continue };
        let points = found.score.as_ref().map(|score| score.points);
        rows.push(((found.id.bucket(), *check), Kept { hour: *hour, points, model: scores.model.label.clone() }));
    }
    if refreshed.left == 0 {
        let points = scores.whole.as_ref().map(|whole| whole.points);
        rows.push((WHOLE, Kept { hour: Hour::of(scores.as_of), points, model: scores.model.label.clone() }));
    }
    // What never had a score needs no row that says so.
    rows.retain(|(_, kept)| kept.points.is_some());
    keep_scores(app, rows).await
}

async fn keep_scores(app: &App, rows: Vec<((Bucket, CheckNo), Kept)>) -> Result<(), AppError> {
    if rows.is_empty() {
        return Ok(());
    }
    let write = move |engine: &mut crate::engine::Engine| {
        engine.store.write(|tables| rows.iter().try_for_each(|(of, kept)| keep(tables, *of, kept)))
    };
    Ok(app.writer().run(write).await??)
}

/// Brings the board up to date at once, and keeps what turned its hour: for tests, which have no task.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn settle(app: &App, now: UtcMicros) -> Result<Refreshed, AppError> {
    let refreshed = Board::refresh(app, now, usize::MAX).await?;
    write_down(app, &refreshed).await?;
    Ok(refreshed)
}
