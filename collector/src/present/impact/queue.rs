//! The queue of incidents as people see it: each with its place, and what its check's score did to that ([`crate::impact::rank`]).

use std::collections::HashMap;

use sitepulse_daemon::instant;
use sitepulse_model::impact::Points;
use sitepulse_model::incident::Severity;
use sitepulse_model::time::UtcMicros;

use crate::impact::board::Scores;
use crate::impact::rank::{Entrant, Place, places};
use crate::present::Present;
use crate::present::dto::impact::{RankView, ReasonView};
use crate::present::dto::incidents::IncidentView;
use crate::present::impact::points;
use crate::present::incidents;
use crate::present::problem::Answer;
use crate::present::text::{EN, FR, Texts};
use crate::store::incidents::{Asked, Which, list};

impl Present {
    /// Tells incidents that are not over their places among all of those.
    ///
    /// # Errors
    /// When the store or the scores cannot be read.
    pub async fn rank<'v>(&self, views: impl IntoIterator<Item = &'v mut IncidentView>, now: UtcMicros) -> Answer<()> {
        let mut open: Vec<&mut IncidentView> = views.into_iter().filter(|view| view.state != "resolved").collect();
        if open.is_empty() {
            return Ok(());
        }
        let all = self.queue(now).await?;
        for view in &mut open {
            view.rank = all.get(&view.id).cloned();
        }
        Ok(())
    }

    /// Every incident that is not over, by its id, with its place.
    async fn queue(&self, now: UtcMicros) -> Answer<HashMap<String, RankView>> {
        let period = incidents::period(Some(UtcMicros::MIN), None, now);
        let (check, agent, kind, severity) = (None, None, None, None);
        let asked = Asked { period, which: Which::Open, check, agent, kind, severity, limit: incidents::LIST_MAX };
        let found = self.app().read_store(move |tables| list(tables, &asked)).await?;
        let views: Vec<IncidentView> = {
            let book = self.app().book();
            found.iter().map(|standing| incidents::incident_view(&book, standing, now)).collect()
        };
        let scores = self.scores().await?;
        Ok(ranked(&views, &scores, now))
    }
}

/// The places of all incidents that are not over.
fn ranked(views: &[IncidentView], scores: &Scores, now: UtcMicros) -> HashMap<String, RankView> {
    let by_id: HashMap<&str, Points> =
        scores.checks.values().filter_map(|check| Some((check.id.as_str(), check.score.as_ref()?.points))).collect();
    let entrant = |view: &IncidentView| Entrant {
        id: view.id.clone(),
        suspected: view.state == "suspected",
        severity: Severity::parse(&view.severity).unwrap_or(Severity::Info),
        score: view.check.as_deref().and_then(|check| by_id.get(check).copied()),
        since: instant::parse(&view.since, now).unwrap_or(now),
    };
    let all: Vec<Entrant> = views.iter().map(entrant).collect();
    let places = places(&all);
    let of = views.iter().zip(&all).zip(&places);
    of.map(|((view, entrant), place)| (view.id.clone(), rank_view(view, entrant, *place))).collect()
}

fn rank_view(view: &IncidentView, entrant: &Entrant, place: Place) -> RankView {
    let told = |texts| reason(view.check.as_deref().unwrap_or_default(), entrant.score, place, texts);
    RankView {
        position: place.position,
        by_age: place.by_age,
        score: entrant.score.map(Points::as_f64),
        reason: ReasonView { en: told(&EN), fr: told(&FR) },
    }
}

/// What a score did to a place, as a sentence.
fn reason(check: &str, score: Option<Points>, place: Place, texts: &Texts) -> String {
    let words = texts.impact;
    let score = score.map(|score| points(score, texts));
    let (up, down) = (place.by_age.saturating_sub(place.position), place.position.saturating_sub(place.by_age));
    match (up, down, score) {
        (1.., _, Some(score)) => (words.raised_by)(up, check, &score),
        (_, 1.., Some(score)) => (words.lowered_by)(down, check, &score),
        (_, 1.., None) => (words.lowered_unscored)(down),
        (_, _, Some(score)) => (words.unmoved)(check, &score),
        (_, _, None) => words.unscored.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(score: Option<u32>, by_age: usize, position: usize) -> [String; 2] {
        [&EN, &FR].map(|texts| reason("shop", score.map(Points), Place { position, by_age }, texts))
    }

    #[test]
    fn a_place_is_told_with_what_made_it() {
        assert_eq!(
            told(Some(8_200), 3, 1),
            ["Raised 2 places because shop scores 82.00.", "Avancé de 2 rangs parce que shop a un score de 82,00."]
        );
        assert_eq!(told(Some(8_200), 2, 1)[0], "Raised 1 place because shop scores 82.00.");
        assert_eq!(told(Some(300), 1, 2)[0], "Lowered 1 place because shop scores only 3.00.");
        assert_eq!(told(None, 1, 3)[0], "Lowered 2 places: it has no score, others of its severity have.");
        assert_eq!(told(Some(300), 1, 1)[0], "By severity and age; shop scores 3.00.");
        assert_eq!(told(None, 1, 1)[0], "By severity and age; it has no score.");
        for (score, by_age, position) in [(Some(1), 3, 1), (Some(1), 1, 3), (None, 1, 3), (None, 1, 1), (Some(1), 1, 1)]
        {
            let [en, fr] = told(score, by_age, position);
            assert!(en.ends_with('.') && fr.ends_with('.') && en != fr, "{en} {fr}");
        }
    }
}
