//! The shell of the board: one task that looks every second whether something changed, and keeps what scores were, hour by hour.

use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::impact::together::Together;
use sitepulse_model::time::UtcMicros;
use tokio::sync::watch;

use super::board::{Board, Refreshed, TURN};
use super::regions;
use crate::app::{App, AppError};
use crate::latency::Hour;
use crate::store::impact::{Kept, Of, WHOLE, keep};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long it rests between two turns while checks turn their hour: the processor is others' meanwhile.
const REST: Duration = Duration::from_millis(100);

/// Keeps the board until `stopping` turns true or the writer is gone.
pub async fn run(app: App, mut stopping: watch::Receiver<bool>) {
    app.board().keep();
    let mut complained = false;
    // The hour that regions were written down of last.
    let mut told = None;
    loop {
        let round = async {
            let refreshed = Board::refresh(&app, clock::now(), TURN).await?;
            write_down(&app, &refreshed).await?;
            // The scores of checks first.
            if refreshed.left > 0 {
                return Ok(refreshed.left);
            }
            let behind = Board::refresh_regions(&app, clock::now(), TURN).await?;
            if behind == 0 {
                write_regions(&app, &mut told).await?;
            }
            Ok::<_, AppError>(behind)
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

/// Keeps the scores of the checks that turned their hour, and, when the last of them did, those of groups and of all together.
async fn write_down(app: &App, refreshed: &Refreshed) -> Result<(), AppError> {
    let Some(scores) = app.board().newest().filter(|_| !refreshed.turned.is_empty()) else { return Ok(()) };
    let model = &scores.model.label;
    let mut rows: Vec<(Of, Kept)> = Vec::new();
    for (check, hour) in &refreshed.turned {
        let Some(found) = scores.checks.get(check) else { continue };
        let points = found.score.as_ref().map(|score| score.points);
        rows.push((Of::Check(found.id.bucket(), *check), Kept { hour: *hour, points, model: model.clone() }));
    }
    if refreshed.left == 0 {
        let kept = |together: Option<&Together>| Kept {
            hour: Hour::of(scores.as_of),
            points: together.map(|together| together.points),
            model: model.clone(),
        };
        rows.push((Of::Check(WHOLE.0, WHOLE.1), kept(scores.whole.as_ref())));
        rows.extend(scores.groups.iter().map(|(group, together)| (Of::group(group), kept(Some(together)))));
    }
    // What never had a score needs no row that says so.
    rows.retain(|(_, kept)| kept.points.is_some());
    keep_scores(app, rows).await
}

/// Keeps the scores of the regions, once an hour.
async fn write_regions(app: &App, told: &mut Option<(Hour, String)>) -> Result<(), AppError> {
    let Some(scores) = app.board().newest().filter(|scores| !scores.regions.is_empty()) else { return Ok(()) };
    let of = (Hour::of(scores.as_of), scores.model.label.clone());
    if told.as_ref() == Some(&of) {
        return Ok(());
    }
    let kept = |together: &Together| Kept { hour: of.0, points: Some(together.points), model: of.1.clone() };
    let rows =
        regions::together(&scores.regions).map(|(region, together)| (Of::region(region), kept(together))).collect();
    keep_scores(app, rows).await?;
    *told = Some(of);
    Ok(())
}

async fn keep_scores(app: &App, rows: Vec<(Of, Kept)>) -> Result<(), AppError> {
    if rows.is_empty() {
        return Ok(());
    }
    let write = move |engine: &mut crate::engine::Engine| {
        engine.store.write(|tables| rows.iter().try_for_each(|(of, kept)| keep(tables, of, kept)))
    };
    Ok(app.writer().run(write).await??)
}

/// Brings the board up to date at once, regions too, and keeps what turned its hour: for tests, which have no task.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn settle(app: &App, now: UtcMicros) -> Result<Refreshed, AppError> {
    let refreshed = Board::refresh(app, now, usize::MAX).await?;
    write_down(app, &refreshed).await?;
    Board::refresh_regions(app, now, usize::MAX).await?;
    if !refreshed.turned.is_empty() {
        write_regions(app, &mut None).await?;
    }
    Ok(refreshed)
}
