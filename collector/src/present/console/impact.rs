//! Impact scores at a glance: all checks, groups and regions with their courses over 28 days, and the worst checks. The form of the model is [`super::scoring`].

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use sitepulse_daemon::clock;
use sitepulse_model::id::{Group, Region};
use sitepulse_model::impact::Band;
use sitepulse_model::impact::together::Together;

use super::frame::{Frame, Place};
use super::parts::{Gauge, Sparkline};
use super::row::clock_text;
use crate::app::Access;
use crate::impact::board::Scores;
use crate::present::Present;
use crate::present::dto::impact::ImpactHourView;
use crate::present::http::escape;
use crate::present::impact::{Badge, points};
use crate::present::problem::Answer;
use crate::present::text::Texts;

/// Worst checks that are shown.
const WORST_MAX: usize = 12;
/// Groups and regions that are shown, the worst first.
const SETS_MAX: usize = 24;
/// Hours of a course.
const HOURS: i64 = 28 * 24;

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
pub async fn impact_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    let (t, now) = (frame.t, clock::now());
    let scores = present.scores().await?;
    let whole = match &scores.whole {
        None => None,
        Some(whole) => {
            let course = present.impact_history(None, now).await?;
            let to = ("/checks?sort=impact".to_owned(), String::new());
            Some(Set::of(t.impact.whole.to_owned(), to, whole, &scores, None, &course, t))
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
        groups.push(Set::of(name, to, together, &scores, Some(group), &course, t));
    }
    let mut by_region: Vec<(&Region, &Scores, &Together)> = scores
        .regions
        .iter()
        .filter_map(|(region, scores)| Some((region, &**scores, scores.whole.as_ref()?)))
        .collect();
    by_region.sort_by(|a, b| b.2.points.cmp(&a.2.points).then_with(|| a.0.cmp(b.0)));
    let mut regions = Vec::new();
    for (region, seen, together) in by_region.into_iter().take(SETS_MAX) {
        let course = present.region_history(region, now).await?;
        let name = region.to_string();
        let to = (format!("/checks?region={}&sort=impact", escape(&name)), format!("?region={}", escape(&name)));
        regions.push(Set::of(name, to, together, seen, None, &course, t));
    }
    let mut worst: Vec<_> = scores.checks.values().filter(|check| check.score.is_some()).collect();
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
        worst: worst.map(|one| Worst { id: one.id.to_string(), badge: Badge::of(one.score.as_ref(), t) }).collect(),
        as_of: clock_text(crate::present::kpi::to_second(scores.as_of)),
    };
    frame.page(Place::Checks, t.impact.title, Some("check incident figures"), &content)
}

impl Set {
    fn of(
        name: String,
        (href, asked): (String, String),
        together: &Together,
        scores: &Scores,
        group: Option<&Group>,
        course: &[ImpactHourView],
        t: &Texts,
    ) -> Self {
        let raised = together.raised.as_ref().and_then(|raised| scores.members(group).nth(raised.member));
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
