//! What scores were, hour by hour: the job of the kind `impact` writes down the scores of one hour.
//!
//! It is asked for when the scores of all checks, and what regions saw of them, were found in that hour ([`super::task`]), and writes in portions, each a transaction. What was written
//! of an hour stays as it is, so the job can be run again at any time: a kill in between costs nothing but the rest, which the next start writes. One that comes to
//! its turn after its hour is over (the process was dead) finds the scores of the hour's beginning from the evidence, as `impact --at` does.
//!
//! Hours in which no process ran have no scores: nobody was told any.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::Region;
use sitepulse_model::impact::Points;
use sitepulse_model::impact::model::{BUILT_IN, ID, ScoringModel};
use sitepulse_model::impact::together::Together;

use super::Model;
use super::board::{Board, Scores};
use super::regions;
use super::replay::scores_at;
use crate::app::{App, AppError};
use crate::book::Objects;
use crate::failpoint;
use crate::jobs::{Ask, Finished, Kind, Outcome, Said, Unfinished, Work};
use crate::latency::{HOUR_US, Hour};
use crate::store::impact::made::Made;
use crate::store::impact::{Kept, Of, WHOLE, keep};

/// Scores that are written in one transaction.
const PORTION: usize = 500;
/// How often it looks whether the scores of the hour are all there.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// Which scores a job writes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The hour, since 1970.
    pub hour: i64,
    /// The model that they were found by: `default@3`.
    pub model: String,
}

/// The job that writes down the scores of an hour.
pub fn ask(hour: Hour, model: &str) -> Ask {
    let args = Args { hour: hour.0, model: model.to_owned() };
    Ask {
        key: Some(format!("{}/{model}", hour.0)),
        deadline: Some(hour.start().plus_us(HOUR_US)),
        args: serde_json::to_value(&args).unwrap_or_default(),
        ..Ask::own(Kind::Impact)
    }
}

/// The handler of [`Kind::Impact`].
pub(crate) async fn write_down(work: Work) -> Outcome {
    let args: Args = work.args()?;
    let hour = Hour(args.hour);
    let scores = loop {
        let now = clock::now();
        if Hour::of(now) != hour {
            break found_again(&work.app, hour, &args.model).await?;
        }
        if !work.app.board().is_kept() {
            // Nobody keeps the board: it is brought up to date here.
            while Board::refresh(&work.app, clock::now(), usize::MAX).await?.left > 0 {}
            Board::refresh_regions(&work.app, clock::now(), usize::MAX).await?;
            work.app.board().complete(hour);
        }
        let newest = work.app.board().newest().filter(|_| work.app.board().completed() == Some(hour));
        match newest {
            Some(scores) if scores.model.label == args.model => break scores,
            // Another model is in force since: by this one nothing is told any more.
            Some(_) => break found_again(&work.app, hour, &args.model).await?,
            None => {}
        }
        tokio::select! {
            () = tokio::time::sleep(LOOKS_EVERY) => {}
            () = work.stopping() => return Err(Unfinished::Stopped),
        }
    };
    let rows = rows(&scores, hour);
    let all = rows.len();
    let mut written = 0;
    for (nth, portion) in rows.chunks(PORTION).enumerate() {
        work.go_on()?;
        let done = nth * PORTION;
        work.progress(done as f64 / all as f64, Said::Writing { done: done as u64, of: all as u64 });
        written += keep_all(&work.app, portion.to_vec()).await?;
    }
    Ok(Finished::with(Said::Written { scores: written as u64, hour: instant::format(hour.start()) }))
}

/// The scores of an hour that is over, or of a model that is: from the evidence.
async fn found_again(app: &App, hour: Hour, label: &str) -> Result<Arc<Scores>, Unfinished> {
    let model = model_of(app.book().objects(), label);
    let model = model.ok_or_else(|| Unfinished::Refused(Said::NoModel { label: label.to_owned() }.into()))?;
    let at = hour.start();
    let mut scores = scores_at(app, None, None, model.clone(), at).await?;
    let seen: BTreeSet<Region> =
        app.book().agents().filter(|agent| !agent.internal).map(|agent| agent.region.clone()).collect();
    let mut by_region = regions::Regions::new();
    for region in seen {
        let found = scores_at(app, None, Some(&region), model.clone(), at).await?;
        by_region.insert(region, Arc::new(found));
    }
    scores.regions = Arc::new(by_region);
    Ok(Arc::new(scores))
}

/// The model of a label, whether it is in force or not.
fn model_of(objects: &Objects, label: &str) -> Option<Model> {
    let (id, version) = label.split_once('@')?;
    let version: u32 = version.parse().ok()?;
    let body = match id {
        BUILT_IN if version == 1 => ScoringModel::built_in(),
        ID => objects.scorings.version(ID, version)?.body.clone(),
        _ => return None,
    };
    Some(Model { label: label.to_owned(), body })
}

/// The rows of an hour: every check, group and region, and all checks together, with what they are made of. What has no score needs no row that says so.
pub(super) fn rows(scores: &Scores, hour: Hour) -> Vec<(Of, Kept)> {
    let kept = |points: Points, made: Made| {
        let (points, made) = (Some(points), Some(made));
        Kept { hour, points, model: scores.model.label.clone(), made }
    };
    let set = |together: &Together| kept(together.points, Made::together(together));
    let mut rows: Vec<(Of, Kept)> = Vec::with_capacity(scores.checks.len() + scores.groups.len() + 1);
    for found in scores.checks.values() {
        let score = found.score.as_ref();
        rows.extend(
            score.map(|score| (Of::Check(found.id.bucket(), found.number), kept(score.points, Made::of(score)))),
        );
    }
    rows.extend(scores.whole.as_ref().map(|whole| (Of::Check(WHOLE.0, WHOLE.1), set(whole))));
    rows.extend(scores.groups.iter().map(|(group, together)| (Of::group(group), set(together))));
    rows.extend(regions::together(&scores.regions).map(|(region, together)| (Of::region(region), set(together))));
    rows
}

/// Keeps scores, in one transaction; what is kept of the hour stays. How many were not there.
pub(super) async fn keep_all(app: &App, rows: Vec<(Of, Kept)>) -> Result<usize, AppError> {
    let write = move |engine: &mut crate::engine::Engine| {
        let written = engine.store.write(|tables| {
            let mut written = 0;
            for (of, kept) in &rows {
                written += usize::from(keep(tables, of, kept)?);
            }
            failpoint::pass("impact.turn");
            Ok(written)
        });
        failpoint::pass("impact.turned");
        written
    };
    Ok(app.writer().run(write).await??)
}
