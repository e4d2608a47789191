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
use super::{Basis, CheckScore, Model, id_of, of_one, scored, signals};
use crate::app::{App, AppError};
use crate::book::{Book, Filter};
use crate::latency::Hour;

/// How each region sees its checks, by the region's name.
pub type Regions = BTreeMap<Region, Arc<Scores>>;

/// A check as each region sees it: those without a score are missing.
pub type Seen = BTreeMap<Region, Arc<CheckScore>>;

/// The slow signals of a check as each region saw them.
pub(super) type SlowBy = BTreeMap<Region, Slow>;

/// What slow signals are as of: the hour, and what was defined; `None` where nobody knows.
type AsOf = Option<(Hour, (u64, usize))>;

/// What was found of each check.
#[derive(Debug, Default)]
pub(super) struct Found {
    by_region: BTreeMap<Region, BTreeMap<CheckNo, Arc<CheckScore>>>,
    /// Regions of which something changed since they were told.
    touched: BTreeSet<Region>,
    /// The regions as they were told.
    told: Regions,
    slow: BTreeMap<CheckNo, (AsOf, SlowBy)>,
}

impl Found {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How the regions see a check now.
    pub(super) fn put(&mut self, check: CheckNo, mut seen: Seen) {
        for (region, checks) in &mut self.by_region {
            let touched = match seen.remove(region) {
                Some(score) => {
                    let same = checks
                        .get(&check)
                        .is_some_and(|known| CheckScore { at: known.at, ..(*score).clone() } == **known);
                    if !same {
                        checks.insert(check, score);
                    }
                    !same
                }
                None => checks.remove(&check).is_some(),
            };
            if touched {
                self.touched.insert(region.clone());
            }
        }
        for (region, score) in seen {
            self.touched.insert(region.clone());
            self.by_region.entry(region).or_default().insert(check, score);
        }
    }

    pub(super) fn retain(&mut self, living: &BTreeSet<CheckNo>) {
        self.slow.retain(|check, _| living.contains(check));
        for (region, checks) in &mut self.by_region {
            let before = checks.len();
            checks.retain(|check, _| living.contains(check));
            if checks.len() != before {
                self.touched.insert(region.clone());
            }
        }
    }

    /// Keeps the slow signals of a check: they are as of the hour.
    pub(super) fn keep(&mut self, check: CheckNo, as_of: AsOf, slow: SlowBy) {
        self.slow.insert(check, (as_of, slow));
    }

    /// The slow signals that are known of checks, and the checks of which they must be read.
    pub(super) fn known(&self, app: &App, checks: &[(CheckNo, AsOf)]) -> (BTreeMap<CheckNo, SlowBy>, Vec<CheckNo>) {
        let (mut known, mut unread) = (BTreeMap::new(), Vec::new());
        let book = app.book();
        for (check, as_of) in checks {
            let fits = |(of, slow): &&(AsOf, SlowBy)| {
                of.is_some() && of == as_of && slow.keys().eq(of_check(&book, *check).iter())
            };
            match self.slow.get(check).filter(fits) {
                Some((_, slow)) => drop(known.insert(*check, slow.clone())),
                None => unread.push(*check),
            }
        }
        (known, unread)
    }

    /// All regions. Those of which nothing changed are as they were told before.
    pub(super) fn regions(&mut self, model: &Model, as_of: UtcMicros) -> Regions {
        for region in std::mem::take(&mut self.touched) {
            match self.by_region.get(&region).filter(|checks| !checks.is_empty()) {
                Some(checks) => {
                    let scores = Scores::of(checks.clone(), model.clone(), as_of);
                    self.told.insert(region, Arc::new(scores));
                }
                None => drop(self.told.remove(&region)),
            }
        }
        self.told.clone()
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
    let slow = slow(app, checks, model, now).await?;
    seen(app, slow, model, now).await
}

/// What the store tells of checks as their regions saw them.
pub(super) async fn slow(
    app: &App,
    checks: &[CheckNo],
    model: &Model,
    now: UtcMicros,
) -> Result<BTreeMap<CheckNo, SlowBy>, AppError> {
    if checks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (inner, by, checks) = (app.clone(), model.clone(), checks.to_vec());
    let frames = beside(move || {
        let mut frames: BTreeMap<Region, Vec<Frame>> = BTreeMap::new();
        for check in checks {
            let book = inner.book();
            for region in of_check(&book, check) {
                let frame =
                    of_one(|| id_of(&book, check), || Frame::of(&book, book.check(check)?, &by, Some(&region), now))
                        .flatten();
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
    let mut by_check: BTreeMap<CheckNo, SlowBy> = BTreeMap::new();
    for (region, slow) in read.await? {
        for (check, slow) in slow {
            by_check.entry(check).or_default().insert(region.clone(), slow);
        }
    }
    Ok(by_check)
}

/// How the regions see checks of which the rest is known.
pub(super) async fn seen(
    app: &App,
    slow: BTreeMap<CheckNo, SlowBy>,
    model: &Model,
    now: UtcMicros,
) -> Result<BTreeMap<CheckNo, Seen>, AppError> {
    let (inner, by) = (app.clone(), model.clone());
    beside(move || {
        let decay = by.body.fading();
        let mut found: BTreeMap<CheckNo, Seen> = BTreeMap::new();
        for (check, slow) in &slow {
            for (region, slow) in slow {
                let filter = Filter::Region(region.clone());
                let book = inner.book();
                let Some(check) = book.check(*check) else { continue };
                let Some(revision) = check.current() else { continue };
                let score = of_one(
                    || check.id.to_string(),
                    || {
                        let signals = signals(&book, check, &filter, decay, None, slow, now);
                        scored(check, revision, by.body.score(&signals), (now, Basis::Now))
                    },
                );
                if let Some(score) = score.filter(|score| score.score.is_some()) {
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
