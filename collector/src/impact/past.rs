//! Scores of an hour that is over, as the job wrote them down ([`super::hour`]), with what they were made of: nothing is found again that is known.
//!
//! What was not written down (no process ran then; another model was in force; an older build kept the score alone) is found again from the evidence, and says so ([`Basis`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use sitepulse_model::id::{CheckNo, Group, Region};
use sitepulse_model::impact::together::Together;
use sitepulse_model::impact::{Points, Score};
use sitepulse_model::time::UtcMicros;

use super::board::Scores;
use super::regions::Regions;
use super::replay::found_again;
use super::{Basis, CheckScore, Model, scored};
use crate::app::{App, AppError};
use crate::latency::Hour;
use crate::store::impact::made::{Made, MadeTogether};
use crate::store::impact::{Kept, Of, WHOLE, of_hour};

/// The scores of the hour of an instant, of one check or of all that lived then, by the model that was in force.
///
/// # Errors
/// When the store cannot be read.
pub async fn scores_of_hour(app: &App, only: Option<CheckNo>, model: Model, at: UtcMicros) -> Result<Scores, AppError> {
    let hour = Hour::of(at);
    let key = only.and_then(|check| app.book().check(check).map(|known| (known.bucket(), check)));
    let read = app.read_in_background(move |tables| of_hour(tables, hour, key)).await?;
    let kept: BTreeMap<Of, Kept> = read.into_iter().filter(|(_, kept)| kept.model == model.label).collect();
    let mut checks: BTreeMap<CheckNo, Arc<CheckScore>> = BTreeMap::new();
    let mut unknown = Vec::new();
    {
        let book = app.book();
        for check in book.checks().filter(|check| only.is_none_or(|only| check.number == only)) {
            let Some(revision) = check.at(at).filter(|revision| !revision.retired) else { continue };
            let score = kept.get(&Of::Check(check.bucket(), check.number)).and_then(|kept| score_of(kept, &model));
            match score {
                Some(score) => {
                    let told = scored(check, revision, Some(score), (hour.start(), Basis::Stored));
                    checks.insert(check.number, Arc::new(told));
                }
                None => unknown.push(check.number),
            }
        }
    }
    checks.extend(found_again(app, &unknown, None, &model, at).await?);
    let mut scores = Scores::of(checks, model, hour.start());
    let known = |of: &Of| together_of(kept.get(of)?, &scores);
    let groups: Vec<(Group, Together)> =
        scores.groups.keys().filter_map(|group| Some((group.clone(), known(&Of::group(group))?))).collect();
    let whole = known(&Of::Check(WHOLE.0, WHOLE.1));
    let regions: Vec<(Region, Together)> = kept
        .keys()
        .filter_map(|of| if let Of::Region(name) = of { Some((Region::parse(name).ok()?, known(of)?)) } else { None })
        .collect();
    for (group, together) in groups {
        scores.stored.insert(Some(group.clone()));
        scores.groups.insert(group, together);
    }
    if let Some(whole) = whole.filter(|_| only.is_none()) {
        scores.stored.insert(None);
        scores.whole = Some(whole);
    }
    let region = |(region, whole): (Region, Together)| {
        let mut seen = Scores::of(BTreeMap::new(), scores.model.clone(), hour.start());
        seen.whole = Some(whole);
        seen.stored.insert(None);
        (region, Arc::new(seen))
    };
    let regions: Regions = regions.into_iter().map(region).collect();
    scores.regions = Arc::new(regions);
    Ok(scores)
}

/// A check's score as it was kept; `None` where it is not known what it was made of.
fn score_of(kept: &Kept, model: &Model) -> Option<Score> {
    let points = kept.points?;
    let contributions = match &kept.made {
        Some(Made::Check(contributions)) => contributions.clone(),
        None if points == Points(0) => Vec::new(),
        Some(Made::Together(_)) | None => return None,
    };
    let sum = Points(contributions.iter().map(|one| one.points.0).sum());
    (sum == points).then(|| Score { points, band: model.body.band(points), contributions })
}

/// The score of several checks as it was kept; `None` where it is not known what it was made of, or the check that raised it is not among those that are told.
fn together_of(kept: &Kept, scores: &Scores) -> Option<Together> {
    let (points, made) = (kept.points?, kept.made.as_ref()?);
    let Made::Together(MadeTogether { contributions, raised, checks, scored }) = made else { return None };
    if made.points() != points || raised.is_some_and(|raised| !scores.checks.contains_key(&raised.check)) {
        return None;
    }
    let mean = Points(points.0 - raised.map_or(0, |raised| raised.points.0));
    Some(Together {
        points,
        band: scores.model.body.band(points),
        mean,
        contributions: contributions.clone(),
        raised: *raised,
        checks: *checks as usize,
        scored: *scored as usize,
    })
}
