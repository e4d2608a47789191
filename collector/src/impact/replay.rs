//! Scores of another instant, or by another model: found from the evidence, kept nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use sitepulse_model::id::CheckNo;
use sitepulse_model::impact::Signals;
use sitepulse_model::time::UtcMicros;

use super::board::{Scores, TURN};
use super::evidence::{self, Frame};
use super::{CheckScore, Model, scored, signals};
use crate::app::{App, AppError};
use crate::store::findings::signals_at;
use crate::store::impact::openings;

/// The scores of checks as the evidence of today tells them of an instant, by a model: of one check, or of all that lived then. Groups and weights are those of then.
///
/// # Errors
/// When the store cannot be read.
pub async fn scores_at(app: &App, only: Option<CheckNo>, model: Model, at: UtcMicros) -> Result<Scores, AppError> {
    let checks: Vec<CheckNo> = match only {
        Some(check) => vec![check],
        None => app.book().checks().map(|check| check.number).collect(),
    };
    let decay = model.body.fading();
    let from = decay.span(at).from;
    let opened = Arc::new(app.read_in_background(move |tables| openings(tables, from, at)).await?);
    let found_then = Arc::new(app.read_in_background(move |tables| signals_at(tables, at)).await?);
    let mut found: BTreeMap<CheckNo, Arc<CheckScore>> = BTreeMap::new();
    for turn in checks.chunks(TURN) {
        let (inner, turn, by) = (app.clone(), turn.to_vec(), model.clone());
        let frames = beside(move || {
            let frame = |check: &CheckNo| {
                let book = inner.book();
                Frame::of(&book, book.check(*check)?, &by, at)
            };
            turn.iter().filter_map(frame).collect::<Vec<_>>()
        })
        .await?;
        let slow = app.read_in_background(move |tables| evidence::read(tables, &frames)).await?;
        let (inner, by, opened) = (app.clone(), model.clone(), Arc::clone(&opened));
        let found_then = Arc::clone(&found_then);
        let scores = beside(move || {
            let none = Vec::new();
            let one = |(check, slow): (&CheckNo, &evidence::Slow)| {
                let book = inner.book();
                let check = book.check(*check)?;
                let revision = check.at(at).filter(|revision| !revision.retired)?;
                let signals = signals(&book, check, decay, opened.get(&check.number).unwrap_or(&none), slow, at);
                let signals = Signals { findings: found_then.get(check.id.as_str()).copied(), ..signals };
                Some((check.number, Arc::new(scored(check, revision, &by.body, &signals, at))))
            };
            slow.iter().filter_map(one).collect::<Vec<_>>()
        })
        .await?;
        found.extend(scores);
    }
    Ok(Scores::of(found, model, at))
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))
}
