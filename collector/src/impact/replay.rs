//! Scores of another instant, or by another model: found from the evidence, kept nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use sitepulse_model::id::{CheckNo, Region};
use sitepulse_model::impact::Signals;
use sitepulse_model::time::UtcMicros;

use super::board::{Scores, TURN};
use super::evidence::{self, Frame};
use super::{Basis, CheckScore, Model, scored, signals};
use crate::app::{App, AppError};
use crate::book::Filter;
use crate::store::findings::signals_at;
use crate::store::impact::openings;

/// The scores of checks as the evidence of today tells them of an instant, by a model: of one check, or of all that lived then; as the agents of a region saw them, or all.
/// Groups and weights are those of then.
///
/// # Errors
/// When the store cannot be read.
pub async fn scores_at(
    app: &App,
    only: Option<CheckNo>,
    seen_by: Option<&Region>,
    model: Model,
    at: UtcMicros,
) -> Result<Scores, AppError> {
    let checks: Vec<CheckNo> = match only {
        Some(check) => vec![check],
        None => app.book().checks().map(|check| check.number).collect(),
    };
    let found = found_again(app, &checks, seen_by, &model, at).await?;
    Ok(Scores::of(found, model, at))
}

/// The same of some checks, without what they make together.
pub(super) async fn found_again(
    app: &App,
    checks: &[CheckNo],
    seen_by: Option<&Region>,
    model: &Model,
    at: UtcMicros,
) -> Result<BTreeMap<CheckNo, Arc<CheckScore>>, AppError> {
    if checks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let decay = model.body.fading();
    let from = decay.span(at).from;
    let opened = Arc::new(app.read_in_background(move |tables| openings(tables, from, at)).await?);
    let found_then = Arc::new(app.read_in_background(move |tables| signals_at(tables, at)).await?);
    let mut found: BTreeMap<CheckNo, Arc<CheckScore>> = BTreeMap::new();
    for turn in checks.chunks(TURN) {
        let (inner, turn, by, region) = (app.clone(), turn.to_vec(), model.clone(), seen_by.cloned());
        let frames = beside(move || {
            let frame = |check: &CheckNo| {
                let book = inner.book();
                Frame::of(&book, book.check(*check)?, &by, region.as_ref(), at)
            };
            turn.iter().filter_map(frame).collect::<Vec<_>>()
        })
        .await?;
        let slow = app.read_in_background(move |tables| evidence::read(tables, &frames)).await?;
        let (inner, by, opened, region) = (app.clone(), model.clone(), Arc::clone(&opened), seen_by.cloned());
        let found_then = Arc::clone(&found_then);
        let scores = beside(move || {
            let filter = region.map_or(Filter::All, Filter::Region);
            let opened_of = |check: CheckNo| match &filter {
                Filter::All => Some(opened.get(&check).map_or(&[][..], Vec::as_slice)),
                Filter::Agent(_) | Filter::Region(_) => None,
            };
            let one = |(check, slow): (&CheckNo, &evidence::Slow)| {
                let book = inner.book();
                let check = book.check(*check)?;
                let revision = check.at(at).filter(|revision| !revision.retired)?;
                let signals = signals(&book, check, &filter, decay, opened_of(check.number), slow, at);
                // Findings are of a check, not of what a region saw of it.
                let everywhere = matches!(filter, Filter::All);
                let findings = found_then.get(check.id.as_str()).copied().filter(|_| everywhere);
                let signals = Signals { findings, ..signals };
                let score = by.body.score(&signals);
                Some((check.number, Arc::new(scored(check, revision, score, (at, Basis::Evidence)))))
            };
            slow.iter().filter_map(one).collect::<Vec<_>>()
        })
        .await?;
        found.extend(scores);
    }
    Ok(found)
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))
}
