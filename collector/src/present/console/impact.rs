//! Impact scores at a glance: all checks, groups and regions with their courses over 28 days, and the worst checks; of now, or of an hour that is over, with what they were made of. The
//! form of the model is [`super::scoring`].

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::id::{Group, Region};
use sitepulse_model::impact::Band;
use sitepulse_model::impact::together::Together;

use super::frame::{Frame, Place};
use super::parts::{Gauge, Sparkline};
use super::row::clock_text;
use crate::app::Access;
use crate::impact::board::Scores;
use crate::impact::{Basis, regions};
use crate::present::Present;
use crate::present::api::impact as api;
use crate::present::dto::impact::ImpactHourView;
use crate::present::http::escape;
use crate::present::impact::{Badge, PartRow, part_rows, points};
use crate::present::problem::{Answer, Problem};
use crate::present::text::Texts;

/// Worst checks that are shown.
const WORST_MAX: usize = 12;
/// Groups and regions that are shown, the worst first.
const SETS_MAX: usize = 24;
/// Hours of a course.
const HOURS: i64 = 28 * 24;

/// Of when, and of which check alone; now, and the worst ones, where nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HourQuery {
    at: String,
    check: String,
}

#[derive(Template)]
#[template(path = "impact.html")]
struct Content<'a> {
    t: &'a Texts,
    may_edit: bool,
    model: String,
    gauge: Option<Gauge>,
    whole: Option<Set>,
    groups: Vec<Set>,
    regions: Vec<Set>,
    worst: Vec<Worst>,
    as_of: String,
    /// What was asked for.
    at: String,
    check: String,
    fault: String,
    /// Of an hour that is over: where the scores come from.
    then: String,
}

/// Several checks together.
struct Set {
    name: String,
    href: String,
    score: String,
    class: &'static str,
    band: &'static str,
    note: String,
    raised: String,
    spark: Sparkline,
    course: String,
    csv: String,
}

struct Worst {
    id: String,
    badge: Badge,
    /// Of an hour that is over: what it was made of.
    parts: Vec<PartRow>,
}

/// The pill's colour of a band.
pub(super) const fn pill(band: Band) -> &'static str {
    match band {
        Band::Ok => "up",
        Band::Warning => "degraded",
        Band::Critical => "down",
    }
}

/// `GET /impact`
pub async fn impact_page(
    State(present): State<Present>,
    frame: Frame,
    Query(HourQuery { at, check }): Query<HourQuery>,
) -> Answer<Response> {
    let t = frame.t;
    let asked = Some(at.trim().to_owned()).filter(|at| !at.is_empty());
    let (instant, mut fault) = match api::past(asked) {
        Ok(instant) => (instant, String::new()),
        Err(problem) => (None, (t.tell)(problem.detail())),
    };
    let scores = match instant {
        None => present.scores().await?,
        Some(at) => Arc::new(api::then(&present, None, at).await?),
    };
    let now = instant.unwrap_or_else(clock::now);
    let wanted = check.trim();
    if !wanted.is_empty() && scores.checks.values().all(|one| one.id.as_str() != wanted) {
        fault = (t.tell)(Problem::not_found("check", wanted).detail());
    }
    let whole = match &scores.whole {
        None => None,
        Some(whole) => {
            let course = present.impact_history(None, now).await?;
            let to = ("/checks?sort=impact".to_owned(), String::new());
            Some(Set::of(t.impact.whole.to_owned(), to, whole, &scores, &course, t))
        }
    };
    let mut by_group: Vec<(&Group, &Together)> = scores.groups.iter().collect();
    by_group.sort_by(|a, b| b.1.points.cmp(&a.1.points).then_with(|| a.0.cmp(b.0)));
    let mut groups = Vec::new();
    for (group, together) in by_group.into_iter().take(SETS_MAX) {
        let course = present.group_history(group, now).await?;
        let name = group.to_string();
        let href = format!("/checks?group={}&sort=impact", escape(&name));
        let to = (href, format!("?group={}", escape(&name)));
        groups.push(Set::of(name, to, together, &scores, &course, t));
    }
    let mut by_region: Vec<(&Region, &Together)> = regions::together(&scores.regions).collect();
    by_region.sort_by(|a, b| b.1.points.cmp(&a.1.points).then_with(|| a.0.cmp(b.0)));
    let mut regions = Vec::new();
    for (region, together) in by_region.into_iter().take(SETS_MAX) {
        let course = present.region_history(region, now).await?;
        let name = region.to_string();
        let to = (format!("/checks?region={}&sort=impact", escape(&name)), format!("?region={}", escape(&name)));
        regions.push(Set::of(name, to, together, &scores, &course, t));
    }
    let shown = |id: &str| wanted.is_empty() || id == wanted;
    let scored = scores.checks.values().filter(|check| check.score.is_some() && shown(check.id.as_str()));
    let mut worst: Vec<_> = scored.collect();
    worst.sort_by(|a, b| {
        let points = |check: &crate::impact::CheckScore| check.score.as_ref().map(|score| score.points);
        points(b).cmp(&points(a)).then_with(|| a.id.cmp(&b.id))
    });
    let worst = worst.into_iter().take(WORST_MAX);
    let content = Content {
        t,
        may_edit: frame.may(Access::Edit),
        model: (t.impact.model)(&scores.model.label),
        gauge: scores.whole.as_ref().map(|whole| {
            let (score, band) = (points(whole.points, t), (t.impact.band)(whole.band.as_str()));
            let label = format!("{}{}{score}, {band}", t.impact.whole, t.colon);
            Gauge::of(whole.points.as_f64() / 100.0, pill(whole.band), score, label)
        }),
        whole,
        groups,
        regions,
        worst: worst
            .map(|one| Worst {
                id: one.id.to_string(),
                badge: Badge::of(one.score.as_ref(), t),
                parts: one.score.iter().filter(|_| instant.is_some()).flat_map(|score| part_rows(score, t)).collect(),
            })
            .collect(),
        as_of: clock_text(crate::present::kpi::to_second(scores.as_of)),
        check: wanted.to_owned(),
        then: instant.map(|_| then_told(&scores, t)).unwrap_or_default(),
        at,
        fault,
    };
    // What is over changes no more.
    let live = instant.is_none().then_some("check incident figures");
    frame.page(Place::Checks, t.impact.title, live, &content)
}

/// Where the scores of an hour that is over come from.
fn then_told(scores: &Scores, t: &Texts) -> String {
    let of = |basis: Basis| scores.checks.values().filter(|one| one.basis == basis && one.score.is_some()).count();
    match (of(Basis::Stored), of(Basis::Evidence)) {
        (0, _) => t.impact.found_again.to_owned(),
        (_, 0) => t.impact.stored.to_owned(),
        (_, again) => format!("{} {}", t.impact.stored, (t.impact.but_found_again)(again)),
    }
}

impl Set {
    fn of(
        name: String,
        (href, asked): (String, String),
        together: &Together,
        scores: &Scores,
        course: &[ImpactHourView],
        t: &Texts,
    ) -> Self {
        let raised = together.raised.as_ref().and_then(|raised| scores.checks.get(&raised.check));
        Self {
            name,
            href,
            score: points(together.points, t),
            class: pill(together.band),
            band: (t.impact.band)(together.band.as_str()),
            note: (t.impact.checks_scored)(together.scored, together.checks),
            raised: raised.map(|check| (t.impact.raised)(check.id.as_str())).unwrap_or_default(),
            course: told(course, t),
            spark: sparkline(course, t),
            csv: format!("/api/v1/impact-history.csv{asked}"),
        }
    }
}

/// A course over 28 days, a value each hour, with gaps where none was kept.
pub(super) fn sparkline(course: &[ImpactHourView], t: &Texts) -> Sparkline {
    let hour =
        |at: &str| sitepulse_daemon::instant::parse(at, clock::now()).ok().map(|at| at.0.div_euclid(3_600_000_000));
    let Some(last) = course.last().and_then(|one| hour(&one.at)) else { return Sparkline::default() };
    let mut values = vec![None; HOURS as usize];
    for one in course {
        let at = hour(&one.at).map(|hour| HOURS - 1 - (last - hour)).and_then(|at| usize::try_from(at).ok());
        if let Some(value) = at.and_then(|at| values.get_mut(at)) {
            *value = Some(one.score);
        }
    }
    Sparkline::of(&values, 0.0, 100.0, told(course, t))
}

/// What a course is, in words.
pub(super) fn told(course: &[ImpactHourView], t: &Texts) -> String {
    if course.is_empty() {
        return t.impact.no_history.to_owned();
    }
    let scores = || course.iter().map(|one| one.score);
    let (low, high) = (scores().fold(f64::INFINITY, f64::min), scores().fold(0.0, f64::max));
    let number = |value: f64| (t.number)(format!("{value:.2}"));
    (t.impact.history_of)(&course.len().to_string(), &number(low), &number(high))
}
