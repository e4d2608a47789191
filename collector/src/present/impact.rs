//! Impact scores as everybody is shown them: read from the board, or found again for another instant or by another model. [`queue`] puts incidents in their order, [`csv`] is for
//! spreadsheets.

pub mod csv;
pub mod queue;

use std::collections::HashMap;
use std::sync::Arc;

use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::{CheckNo, Group, Region};
use sitepulse_model::impact::together::Together;
use sitepulse_model::impact::{Band, Contribution, Points, Score, Signal};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;

use crate::impact::board::{Board, Scores, TURN};
use crate::impact::{CheckScore, Model, past, regions, replay};
use crate::latency::Hour;
use crate::present::Present;
use crate::present::dto::impact::{
    ContributionView, ImpactHourView, ImpactTogetherView, ImpactView, ImpactsView, RaisedView, ReasonView, ShareView,
    TrialRowView, TrialView,
};
use crate::present::figure;
use crate::present::problem::{Answer, Problem};
use crate::present::text::{EN, FR, Texts};
use crate::store::impact as stored;

/// Most hours of history that are told at once: 28 days.
pub const HISTORY_HOURS: i64 = 28 * 24;
/// A trial of one check goes back so many days.
const TRIAL_DAYS: i64 = 28;

/// A check's score as a region sees it.
#[derive(Debug, Clone)]
pub struct RegionSees {
    /// The region.
    pub region: Region,
    /// The label of the model that the score was found by.
    pub model: String,
    /// The score.
    pub score: Arc<CheckScore>,
}

/// A check's score as each region sees it, of scores that were found. After a change of the model regions follow some seconds later: each has the one that it was found by.
pub fn seen_by(scores: &Scores, check: CheckNo) -> impl Iterator<Item = RegionSees> {
    scores.regions.iter().filter_map(move |(region, seen)| {
        let score = seen.checks.get(&check)?.clone();
        Some(RegionSees { region: region.clone(), model: seen.model.label.clone(), score })
    })
}

impl Present {
    /// The scores of now: what the board has. Where no task keeps it they are found first; where one does, and has only begun, a turn of them.
    ///
    /// # Errors
    /// When they must be found and the store cannot be read.
    pub async fn scores(&self) -> Answer<Arc<Scores>> {
        let board = self.app().board();
        let (newest, turns) = match board.is_kept() {
            true => (board.first().await, TURN),
            false => (None, usize::MAX),
        };
        match newest {
            Some(scores) => Ok(scores),
            None => {
                let now = clock::now();
                Board::refresh(self.app(), now, turns).await?;
                let none = || Arc::new(Scores::none(Model::at(self.app().book().objects(), now), now));
                Ok(board.newest().unwrap_or_else(none))
            }
        }
    }

    /// The scores of another instant, of one check or of all, as all agents saw them or those of a region.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn scores_at(&self, only: Option<CheckNo>, seen_by: Option<&Region>, at: UtcMicros) -> Answer<Scores> {
        let model = Model::at(self.app().book().objects(), at);
        Ok(replay::scores_at(self.app(), only, seen_by, model, at).await?)
    }

    /// The scores of an instant that is over, of one check or of all: as they were written down in its hour, and where that is not known, or the hour is not over, as the evidence
    /// of today tells them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn scores_then(&self, only: Option<CheckNo>, at: UtcMicros) -> Answer<Scores> {
        if Hour::of(at) >= Hour::of(clock::now()) {
            return self.scores_at(only, None, at).await;
        }
        let model = Model::at(self.app().book().objects(), at);
        Ok(past::scores_of_hour(self.app(), only, model, at).await?)
    }

    /// The scores of now as a region sees them: what the board has. Where no task keeps it they are found first.
    ///
    /// # Errors
    /// When they must be found and the store cannot be read.
    pub async fn scores_of_region(&self, region: &Region) -> Answer<Scores> {
        let scores = self.scores().await?;
        if !self.app().board().is_kept() {
            return self.scores_at(None, Some(region), clock::now()).await;
        }
        let none = || Scores::none(scores.model.clone(), scores.as_of);
        Ok(scores.regions.get(region).map_or_else(none, |scores| (**scores).clone()))
    }

    /// A check's score as each region sees it now, the worst first.
    ///
    /// # Errors
    /// When they must be found and the store cannot be read.
    pub async fn seen_by_regions(&self, check: CheckNo) -> Answer<Vec<RegionSees>> {
        let scores = self.scores().await?;
        let mut found: Vec<RegionSees> = if self.app().board().is_kept() {
            seen_by(&scores, check).collect()
        } else {
            let found = regions::find(self.app(), &[check], &scores.model, clock::now()).await?;
            let one = |(region, score)| RegionSees { region, model: scores.model.label.clone(), score };
            found.into_values().flatten().map(one).collect()
        };
        let points = |one: &RegionSees| one.score.score.as_ref().map(|score| score.points);
        found.sort_by(|a, b| points(b).cmp(&points(a)).then_with(|| a.region.cmp(&b.region)));
        Ok(found)
    }

    /// What the score of a check was, or of all together, in the hours before an instant.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn impact_history(&self, check: Option<CheckNo>, upto: UtcMicros) -> Answer<Vec<ImpactHourView>> {
        let of = match check {
            None => stored::Of::Check(stored::WHOLE.0, stored::WHOLE.1),
            Some(check) => {
                let book = self.app().book();
                let known = book.check(check).ok_or_else(|| Problem::not_found("check", &check.to_string()))?;
                stored::Of::Check(known.bucket(), check)
            }
        };
        let last = Hour::of(upto);
        self.kept_scores(of, (Hour(last.0 - HISTORY_HOURS + 1), last)).await
    }

    /// What the score of a group was in the hours before an instant.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn group_history(&self, group: &Group, upto: UtcMicros) -> Answer<Vec<ImpactHourView>> {
        let last = Hour::of(upto);
        self.kept_scores(stored::Of::group(group), (Hour(last.0 - HISTORY_HOURS + 1), last)).await
    }

    /// What the score of a region was in the hours before an instant.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn region_history(&self, region: &Region, upto: UtcMicros) -> Answer<Vec<ImpactHourView>> {
        let last = Hour::of(upto);
        self.kept_scores(stored::Of::region(region), (Hour(last.0 - HISTORY_HOURS + 1), last)).await
    }

    /// The score of all checks together as it was kept in the hour of an instant, or the last one before it within a day.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn impact_near(&self, at: UtcMicros) -> Answer<Option<f64>> {
        let last = Hour::of(at);
        let of = stored::Of::Check(stored::WHOLE.0, stored::WHOLE.1);
        let kept = self.kept_scores(of, (Hour(last.0 - 23), last)).await?;
        Ok(kept.last().map(|hour| hour.score))
    }

    async fn kept_scores(&self, of: stored::Of, hours: (Hour, Hour)) -> Answer<Vec<ImpactHourView>> {
        let kept = self.app().read_store(move |tables| stored::kept(tables, &of, hours)).await?;
        let hour = |kept: &stored::Kept| {
            let score = kept.points?.as_f64();
            Some(ImpactHourView { at: instant::format(kept.hour.start()), score, model: kept.model.clone() })
        };
        Ok(kept.iter().filter_map(hour).collect())
    }

    /// What another model would say: of all checks at an instant, or of one check day by day before it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn trial(&self, model: Model, only: Option<CheckNo>, days: u32, at: UtcMicros) -> Answer<TrialView> {
        let days = if only.is_some() { TRIAL_DAYS } else { i64::from(days).clamp(1, TRIAL_DAYS) };
        let instants = (0..days).rev().map(|day| at.plus_us(-day * 86_400_000_000));
        let (mut rows, mut checks, mut label, mut course) = (Vec::new(), 0, String::new(), Vec::new());
        for at in instants {
            let before = self.scores_at(only, None, at).await?;
            let after = replay::scores_at(self.app(), only, None, model.clone(), at).await?;
            label.clone_from(&before.model.label);
            if only.is_none() {
                let both = |scores: &Scores| scores.whole.as_ref().map(|whole| (whole.points, whole.band));
                course.push(trial_row(None, at, both(&before), both(&after)));
                // Each check is told of the newest day alone.
                (checks, rows) = (0, Vec::new());
            }
            for (number, was) in &before.checks {
                let both = |scores: &Scores| {
                    let score = scores.checks.get(number)?.score.as_ref()?;
                    Some((score.points, score.band))
                };
                let (was_points, would_be) = (both(&before), both(&after));
                checks += usize::from(was_points.is_some() || would_be.is_some());
                if only.is_some() || was_points != would_be {
                    rows.push(trial_row(Some(was.id.to_string()), at, was_points, would_be));
                }
            }
        }
        let moved = rows.iter().filter(|row| row.band_before != row.band_after).count();
        if only.is_none() {
            let change = |row: &TrialRowView| (row.after.unwrap_or(0.0) - row.before.unwrap_or(0.0)).abs();
            rows.sort_by(|a, b| change(b).total_cmp(&change(a)));
        } else {
            checks = checks.min(1);
        }
        let whole = course.last().cloned();
        let days = if days > 1 { course } else { Vec::new() };
        Ok(TrialView { model: label, checks, moved, whole, days, rows })
    }
}

impl Scores {
    /// Of no check.
    fn none(model: Model, as_of: UtcMicros) -> Self {
        Self {
            as_of,
            model,
            checks: Default::default(),
            groups: Default::default(),
            whole: None,
            regions: Default::default(),
            stored: Default::default(),
        }
    }
}

fn trial_row(
    check: Option<String>,
    at: UtcMicros,
    before: Option<(Points, Band)>,
    after: Option<(Points, Band)>,
) -> TrialRowView {
    let points = |one: Option<(Points, Band)>| one.map(|(points, _)| points.as_f64());
    let band = |one: Option<(Points, Band)>| one.map(|(_, band)| band.as_str().to_owned());
    TrialRowView {
        check,
        at: instant::format(at),
        before: points(before),
        band_before: band(before),
        after: points(after),
        band_after: band(after),
    }
}

/// Scores as JSON: of all checks, or of one group's.
pub fn impacts_view(scores: &Scores, group: Option<&Group>) -> ImpactsView {
    let mut checks: Vec<&Arc<CheckScore>> = scores.members(group).collect();
    let points = |check: &CheckScore| check.score.as_ref().map(|score| score.points);
    checks.sort_by(|a, b| points(b).cmp(&points(a)).then_with(|| a.id.cmp(&b.id)));
    let groups = scores.groups.iter().filter(|(name, _)| group.is_none_or(|group| *name == group));
    let mut groups: Vec<ImpactTogetherView> =
        groups.map(|(name, together)| together_view((scores, scores), Some(name), together)).collect();
    groups.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.group.cmp(&b.group)));
    let whole = scores.whole.as_ref().filter(|_| group.is_none());
    let regions = scores.regions.iter().filter(|_| group.is_none());
    let of_region = |(region, seen): (&Region, &Arc<Scores>)| {
        let view = together_view((seen, scores), None, seen.whole.as_ref()?);
        Some(ImpactTogetherView { region: Some(region.to_string()), ..view })
    };
    let mut regions: Vec<ImpactTogetherView> = regions.filter_map(of_region).collect();
    regions.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.region.cmp(&b.region)));
    ImpactsView {
        as_of: instant::format(scores.as_of),
        model: scores.model.label.clone(),
        region: None,
        whole: whole.map(|whole| together_view((scores, scores), None, whole)),
        groups,
        regions,
        checks: checks.into_iter().map(|check| impact_view(check, &scores.model.label)).collect(),
    }
}

/// A score as JSON.
pub fn impact_view(check: &CheckScore, model: &str) -> ImpactView {
    let score = check.score.as_ref();
    let sentence = |texts: &Texts| reason(score, texts);
    ImpactView {
        check: check.id.to_string(),
        group: check.group.as_ref().map(ToString::to_string),
        weight: check.weight.as_f64(),
        class: check.class.as_str().to_owned(),
        score: score.map(|score| score.points.as_f64()),
        band: score.map(|score| score.band.as_str().to_owned()),
        model: model.to_owned(),
        at: instant::format(check.at),
        basis: check.basis.as_str().to_owned(),
        dominant: score.and_then(Score::dominant).map(|one| one.signal.as_str().to_owned()),
        reason: ReasonView { en: sentence(&EN), fr: sentence(&FR) },
        contributions: score.iter().flat_map(|score| &score.contributions).map(contribution_view).collect(),
    }
}

fn contribution_view(one: &Contribution) -> ContributionView {
    ContributionView {
        module: one.signal.module().as_str().to_owned(),
        signal: one.signal.as_str().to_owned(),
        value: one.value,
        warning: one.warning,
        critical: one.critical,
        weight: f64::from(one.weight) / f64::from(sitepulse_model::impact::WHOLE),
        points: one.points.as_f64(),
    }
}

/// `all`: where the check has its name that raised the score.
fn together_view((scores, all): (&Scores, &Scores), group: Option<&Group>, together: &Together) -> ImpactTogetherView {
    let raised = together.raised.as_ref().and_then(|raised| {
        let check = all.checks.get(&raised.check)?;
        Some(RaisedView { check: check.id.to_string(), points: raised.points.as_f64() })
    });
    let share = |(signal, points): &(Signal, Points)| ShareView {
        module: signal.module().as_str().to_owned(),
        signal: signal.as_str().to_owned(),
        points: points.as_f64(),
    };
    ImpactTogetherView {
        group: group.map(ToString::to_string),
        region: None,
        score: together.points.as_f64(),
        basis: scores.basis(group).as_str().to_owned(),
        band: together.band.as_str().to_owned(),
        mean: together.mean.as_f64(),
        raised,
        checks: together.checks,
        scored: together.scored,
        dominant: together.dominant().map(|signal| signal.as_str().to_owned()),
        contributions: together.contributions.iter().map(share).collect(),
    }
}

/// The dominant contribution of a score as a sentence.
pub fn reason(score: Option<&Score>, texts: &Texts) -> String {
    let Some(score) = score else { return texts.impact.no_data.to_owned() };
    let Some(one) = score.dominant() else { return texts.impact.calm.to_owned() };
    (texts.impact.reason)(one.signal, &value(one.signal, one.value, texts), &value(one.signal, one.warning, texts))
}

/// A signal's value, as people read it.
pub fn value(signal: Signal, value: f64, texts: &Texts) -> String {
    let text = match signal {
        Signal::WeightedAvailability => figure::percent_down(value, 2),
        Signal::Recurrence | Signal::OpenFindings | Signal::StaleFindings => format!("{value:.1}"),
        Signal::LatencyP95 => format!("{value:.2}×"),
        Signal::LatencyRegression => format!("{:.0} %", value * 100.0),
        Signal::Lcp => figure::vital(Vital::Lcp, value),
        Signal::Inp => figure::vital(Vital::Inp, value),
        Signal::Tbt => figure::vital(Vital::Tbt, value),
        Signal::Cls => figure::vital(Vital::Cls, value),
    };
    (texts.number)(text)
}

/// A score as pages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// `62.35`, in the language's own way; "no score" where there is none.
    pub score: String,
    /// A class of the style sheet: `ok`, `warning`, `critical`, `none`.
    pub class: &'static str,
    /// The band's word: colour alone tells nothing.
    pub band: &'static str,
    /// The dominant contribution as a sentence.
    pub reason: String,
}

impl Badge {
    /// Of a check's score.
    pub fn of(score: Option<&Score>, texts: &Texts) -> Self {
        let band = score.map(|score| score.band);
        Self {
            score: score.map_or_else(|| texts.impact.none.to_owned(), |score| points(score.points, texts)),
            class: band.map_or("none", Band::as_str),
            band: band.map_or(texts.impact.none, |band| (texts.impact.band)(band.as_str())),
            reason: reason(score, texts),
        }
    }
}

impl Scores {
    /// The points by the checks' ids; those without a score are missing.
    pub fn points(&self) -> HashMap<String, Points> {
        let points = |check: &Arc<CheckScore>| Some((check.id.to_string(), check.score.as_ref()?.points));
        self.checks.values().filter_map(points).collect()
    }
}

/// Points with their two decimals, in the language's own way.
pub fn points(points: Points, texts: &Texts) -> String {
    (texts.number)(format!("{:.2}", points.as_f64()))
}

/// A line of the table behind a score, for templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// The module's name.
    pub module: &'static str,
    /// The signal's name.
    pub signal: &'static str,
    /// What was found.
    pub value: String,
    /// Between which values it counts.
    pub between: [String; 2],
    /// Its weight, in percent.
    pub weight: String,
    /// What it adds.
    pub points: String,
    /// How far it is along its ramp, in whole percent: the width of a bar.
    pub filled: u32,
}

/// The table behind a score.
pub fn part_rows(score: &Score, texts: &Texts) -> Vec<PartRow> {
    let row = |one: &Contribution| PartRow {
        module: (texts.impact.module)(one.signal.module()),
        signal: (texts.impact.signal)(one.signal),
        value: value(one.signal, one.value, texts),
        between: [one.warning, one.critical].map(|number| value(one.signal, number, texts)),
        weight: (texts.number)(format!("{:.2} %", f64::from(one.weight) / 100.0)),
        points: points(one.points, texts),
        filled: one.points.0 * 100 / one.weight.max(1),
    };
    score.contributions.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use sitepulse_model::impact::Signals;
    use sitepulse_model::impact::model::ScoringModel;

    use super::*;

    fn score() -> Score {
        let signals = Signals {
            weighted_availability: Some(0.994_5),
            recurrence: Some(1.0),
            latency_p95: Some(0.5),
            ..Signals::default()
        };
        ScoringModel::built_in().score(&signals).unwrap()
    }

    #[test]
    fn a_score_is_told_in_both_languages() {
        let badge = Badge::of(Some(&score()), &EN);
        assert_eq!((badge.score.as_str(), badge.class), ("23.34", "ok"));
        assert_eq!(badge.reason, "Mostly because its availability is 99.45 %, below 99.90 %.");
        let badge = Badge::of(Some(&score()), &FR);
        assert_eq!((badge.score.as_str(), badge.band), ("23,34", "correct"));
        assert_eq!(badge.reason, "Surtout parce que sa disponibilité est de 99,45 %, sous 99,90 %.");
        assert_eq!(Badge::of(None, &EN).reason, "There is no evidence to go by.");
    }

    #[test]
    fn the_parts_that_are_shown_add_up_to_what_is_shown() {
        let rows = part_rows(&score(), &EN);
        let sum: f64 = rows.iter().map(|row| row.points.parse::<f64>().unwrap()).sum();
        assert_eq!(format!("{sum:.2}"), Badge::of(Some(&score()), &EN).score);
        assert_eq!((rows[0].filled, rows[0].weight.as_str(), rows[2].value.as_str()), (50, "46.67 %", "0.50×"));
    }

    #[test]
    fn every_signal_has_a_sentence_in_both_languages() {
        for signal in Signal::ALL {
            let [en, fr] = [&EN, &FR].map(|texts| (texts.impact.reason)(signal, "VALUE", "WARNING"));
            assert!(en.ends_with('.') && fr.ends_with('.') && en != fr, "{en} {fr}");
        }
    }
}
