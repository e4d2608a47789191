//! The shell of the board: one task that looks every second whether something changed, and asks for a job that writes down what scores were once those of an hour are all found.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use sitepulse_daemon::clock;
use sitepulse_model::id::CheckNo;
use sitepulse_model::time::UtcMicros;
use tokio::sync::watch;

use super::board::{Board, Refreshed, TURN};
use super::hour;
use crate::app::{App, AppError};
use crate::latency::Hour;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long it rests between two turns while checks turn their hour: the processor is others' meanwhile.
const REST: Duration = Duration::from_millis(100);
/// How long it rests after a round that panicked: everything is found anew then, and may panic again.
const AFTER_A_PANIC: Duration = Duration::from_secs(60);

/// What was asked to be written down since the start.
#[derive(Debug, Default)]
struct Told {
    /// The hour, and the model.
    of: Option<(Hour, String)>,
    checks: BTreeSet<CheckNo>,
}

/// Keeps the board until `stopping` turns true or the writer is gone.
pub async fn run(app: App, mut stopping: watch::Receiver<bool>) {
    app.board().keep();
    let mut complained = false;
    let mut told = Told::default();
    loop {
        let round = async {
            let now = clock::now();
            let refreshed = Board::refresh(&app, now, TURN).await?;
            // The scores of checks first.
            if refreshed.left > 0 {
                return Ok(refreshed.left);
            }
            let behind = Board::refresh_regions(&app, clock::now(), TURN).await?;
            if behind == 0 {
                app.board().complete(Hour::of(now));
                told.ask(&app, Hour::of(now)).await?;
            }
            Ok::<_, AppError>(behind)
        };
        // What it cannot digest must not end scoring for the rest of the process. Where one check is to blame, that check alone goes without (`super::of_one`).
        let round = AssertUnwindSafe(round).catch_unwind();
        let left = tokio::select! {
            left = round => left,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let wait = match left {
            Ok(Ok(left)) => {
                complained = false;
                if left > 0 { REST } else { EVERY }
            }
            Err(_) => {
                tracing::error!(
                    "internal error: a round of impact scores panicked, see above; they stand as they were, and are all found anew"
                );
                app.board().start_over().await;
                AFTER_A_PANIC
            }
            Ok(Err(error)) => {
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

impl Told {
    /// Asks for the job of an hour, where checks have turned theirs of which nobody asked it yet.
    async fn ask(&mut self, app: &App, hour: Hour) -> Result<(), AppError> {
        let Some(scores) = app.board().newest() else { return Ok(()) };
        let of = (hour, scores.model.label.clone());
        if self.of.as_ref() != Some(&of) {
            (self.of, self.checks) = (None, BTreeSet::new());
        }
        if scores.checks.keys().all(|check| self.checks.contains(check)) {
            return Ok(());
        }
        let ask = hour::ask(hour, &of.1);
        app.writer().run(move |engine| engine.enqueue(&[ask], clock::now())).await??;
        self.checks.extend(scores.checks.keys().copied());
        self.of = Some(of);
        Ok(())
    }
}

/// Brings the board up to date at once, regions too, and keeps what scores are in this hour: for tests, which have no task.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn settle(app: &App, now: UtcMicros) -> Result<Refreshed, AppError> {
    let refreshed = Board::refresh(app, now, usize::MAX).await?;
    Board::refresh_regions(app, now, usize::MAX).await?;
    if let Some(scores) = app.board().newest().filter(|_| !refreshed.turned.is_empty()) {
        hour::keep_all(app, hour::rows(&scores, Hour::of(now))).await?;
    }
    Ok(refreshed)
}
