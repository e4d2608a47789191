//! Scores by region: each check as the agents of one region alone saw it.
//!
//! The verdict is that of those agents, latencies and web vitals are theirs. Incidents are made of everybody's votes and findings are about a check as a whole, so a region has no
//! recurrence and no findings: their weights are spread over the rest. Who has no vote in a region (weight 0, suspended, not assigned) says nothing there either, and where
//! nobody does there is no score. A region's own score is that of the checks that it sees, weighted and raised as a group's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sitepulse_model::id::{CheckNo, Region};
use sitepulse_model::impact::together::Together;
use sitepulse_model::time::UtcMicros;

use super::board::Scores;
use super::evidence::{self, Frame, Slow};
use super::{CheckScore, Model, scored, signals};
use crate::app::{App, AppError};
use crate::book::{Book, Filter};

/// How each region sees its checks, by the region's name.
pub type Regions = BTreeMap<Region, Scores>;

/// A check as each region sees it: those without a score are missing.
pub type Seen = BTreeMap<Region, Arc<CheckScore>>;

/// What was found of each check.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<CheckNo, Seen>);

impl Found {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn put(&mut self, check: CheckNo, seen: Seen) {
        self.0.insert(check, seen);
    }

    pub(super) fn retain(&mut self, living: &BTreeSet<CheckNo>) {
        self.0.retain(|check, _| living.contains(check));
    }

    /// The other way round.
    pub(super) fn regions(&self, model: &Model, as_of: UtcMicros) -> Regions {
        let mut by_region: BTreeMap<Region, BTreeMap<CheckNo, Arc<CheckScore>>> = BTreeMap::new();
        for (check, seen) in &self.0 {
            for (region, score) in seen {
                by_region.entry(region.clone()).or_default().insert(*check, Arc::clone(score));
            }
        }
        by_region.into_iter().map(|(region, checks)| (region, Scores::of(checks, model.clone(), as_of))).collect()
    }
}

/// A region's score.
pub fn together(regions: &Regions) -> impl Iterator<Item = (&Region, &Together)> {
    regions.iter().filter_map(|(region, scores)| Some((region, scores.whole.as_ref()?)))
}

/// The regions whose agents ever looked at a check.
pub(super) fn of_check(book: &Book, check: CheckNo) -> BTreeSet<Region> {
    let Some(check) = book.check(check) else { return BTreeSet::new() };
    let looked = |agent: &&crate::book::Agent| !agent.internal && check.pairs.contains_key(&agent.number);
    book.agents().filter(looked).map(|agent| agent.region.clone()).collect()
}

/// How the regions see checks at an instant.
pub(crate) async fn find(
    app: &App,
    checks: &[CheckNo],
    model: &Model,
    now: UtcMicros,
) -> Result<BTreeMap<CheckNo, Seen>, AppError> {
    let (inner, by, checks) = (app.clone(), model.clone(), checks.to_vec());
    let frames = beside(move || {
        let mut frames: BTreeMap<Region, Vec<Frame>> = BTreeMap::new();
        for check in checks {
            let book = inner.book();
            for region in of_check(&book, check) {
                let frame = book.check(check).and_then(|check| Frame::of(&book, check, &by, Some(&region), now));
                if let Some(frame) = frame {
                    frames.entry(region).or_default().push(frame);
                }
            }
        }
        frames
    })
    .await?;
    let read = app.read_in_background(move |tables| {
        let one = |(region, frames): (Region, Vec<Frame>)| Ok((region, evidence::read(tables, &frames)?));
        frames.into_iter().map(one).collect::<Result<Vec<_>, _>>()
    });
    let slow: Vec<(Region, BTreeMap<CheckNo, Slow>)> = read.await?;
    let (inner, by) = (app.clone(), model.clone());
    beside(move || {
        let decay = by.body.fading();
        let mut found: BTreeMap<CheckNo, Seen> = BTreeMap::new();
        for (region, slow) in &slow {
            let filter = Filter::Region(region.clone());
            for (check, slow) in slow {
                let book = inner.book();
                let Some(check) = book.check(*check) else { continue };
                let Some(revision) = check.current() else { continue };
                let signals = signals(&book, check, &filter, decay, None, slow, now);
                let score = scored(check, revision, &by.body, &signals, now);
                if score.score.is_some() {
                    found.entry(check.number).or_default().insert(region.clone(), Arc::new(score));
                }
            }
        }
        found
    })
    .await
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))
}
