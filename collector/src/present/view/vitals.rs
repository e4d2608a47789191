//! Vitals as their views.

use sitepulse_daemon::instant;
use sitepulse_model::check::CheckDefinition;
use sitepulse_model::id::AgentNo;
use sitepulse_model::record::{FactKey, ProbeResult, ProbeState};
use sitepulse_model::vitals::profile::{Profile, Thresholds};
use sitepulse_model::vitals::report::Report;
use sitepulse_model::vitals::{CLS_SCALE, Vital};

use crate::book::{Book, Check};
use crate::present::dto::unknown::CausesView;
use crate::present::dto::vitals::{
    FiguresView, GroupView, PerVital, RegressionView, RunVitalsView, ScreenshotView, SpreadView, VitalsView,
};
use crate::vitals::change::Worse;
use crate::vitals::figures::{Figures, Group, Place, VitalFigures};
use crate::vitals::{Row, ScreenshotKey, profile_of};

/// What all vitals here are.
const LAB: &str = "lab";

/// A value in the unit of the API: milliseconds, or a score.
pub fn value(vital: Vital, value: u64) -> f64 {
    if vital.is_duration() { value as f64 / 1e3 } else { value as f64 / CLS_SCALE as f64 }
}

/// The vitals of a run of a check that was defined so; `None` of other kinds and of runs that tell nothing of the page.
pub fn run_vitals(definition: &CheckDefinition, result: &ProbeResult) -> Option<Box<RunVitalsView>> {
    let choice = profile_of(definition)?;
    let thresholds = choice.resolve().map_or_else(Thresholds::default, |profile: Profile| profile.thresholds);
    let row = Row::of(AgentNo(0), choice.name(), result);
    // What a newer agent's report says in words unknown here is shown to nobody.
    let report = result.facts.texts_of(FactKey::VitalsReport).next();
    let report: Option<Report> = report.and_then(|json| serde_json::from_str(json).ok());
    if report.is_none() && row.values.iter().all(Option::is_none) {
        return None;
    }
    let (graded, low_confidence) = (row.graded(), row.low_confidence());
    let vitals = PerVital::collect(|vital| {
        let spread = Vital::ALL.iter().zip(row.values).find(|(of, _)| **of == vital)?.1?;
        let threshold = thresholds.of(vital);
        Some(SpreadView {
            median: value(vital, spread.median),
            min: value(vital, spread.min),
            max: value(vital, spread.max),
            rating: graded.then(|| threshold.rate(spread.median).as_str().to_owned()),
            thresholds: [threshold.good, threshold.poor].map(|limit| value(vital, limit)),
        })
    });
    Some(Box::new(RunVitalsView {
        source: LAB.to_owned(),
        profile: row.profile,
        loads_counted: row.loads_counted,
        loads_low_confidence: row.loads_low_confidence,
        graded,
        low_confidence,
        vitals,
        report,
    }))
}

/// What stands for a page's latency, in microseconds: its LCP. Without one it has none: the whole run holds several loads.
pub fn latency_us(result: &ProbeResult) -> Option<u64> {
    if result.state == ProbeState::Unknown {
        return None;
    }
    result.facts.number_of(FactKey::Lcp).and_then(|us| u64::try_from(us).ok())
}

/// The path of a screenshot; its agent by name.
fn screenshot_path(check: &Check, agent: &str, key: ScreenshotKey) -> String {
    format!("/api/v1/checks/{}/screenshots/{agent}/{}", check.id, key.scheduled.0)
}

/// The path of the screenshot that a result brought, where it is kept.
pub fn screenshot_of(check: &Check, agent: AgentNo, name: &str, result: &ProbeResult) -> Option<String> {
    let key = ScreenshotKey { scheduled: result.scheduled, agent };
    check.screenshots.contains(&key).then(|| screenshot_path(check, name, key))
}

/// The screenshots kept of a check, newest first.
pub fn screenshots(book: &Book, check: &Check) -> Vec<ScreenshotView> {
    let views = check.screenshots.iter().rev().filter_map(|key| {
        let agent = book.agent(key.agent)?;
        Some(ScreenshotView {
            agent: agent.name.to_string(),
            region: agent.region.to_string(),
            scheduled: instant::format(key.scheduled),
            path: screenshot_path(check, agent.name.as_str(), *key),
        })
    });
    views.collect()
}

/// The figures of a check, as JSON.
pub fn vitals_view(figures: &Figures) -> VitalsView {
    VitalsView {
        check: figures.check.to_string(),
        from: instant::format(figures.span.from),
        to: instant::format(figures.span.to),
        source: LAB.to_owned(),
        completeness: figures.known.completeness,
        unknown: figures.known.unknown.as_ref().map(CausesView::shares),
        groups: figures.groups.iter().map(group_view).collect(),
    }
}

fn group_view(group: &Group) -> GroupView {
    let (region, agent) = match &group.place {
        Place::All => (None, None),
        Place::Region(region) => (Some(region.to_string()), None),
        Place::Agent(region, agent) => (Some(region.to_string()), Some(agent.to_string())),
    };
    GroupView {
        profile: group.profile.clone(),
        region,
        agent,
        runs: group.runs,
        graded: group.graded,
        low_confidence: group.low_confidence,
        completeness: group.known.completeness,
        unknown: group.known.unknown.as_ref().map(CausesView::shares),
        vitals: PerVital::collect(|vital| group.vitals.iter().find(|one| one.vital == vital).map(figures_view)),
        regressions: group.worse.iter().map(regression_view).collect(),
    }
}

fn regression_view(worse: &Worse) -> RegressionView {
    let regression = &worse.regression;
    let [before, after] = worse.lcp_element.clone().map_or([None, None], |both| both.map(Some));
    RegressionView {
        vital: worse.vital.as_str().to_owned(),
        since: instant::format(regression.since),
        baseline: value(worse.vital, regression.baseline),
        median: value(worse.vital, regression.median),
        runs: regression.runs as u64,
        lcp_element_before: before,
        lcp_element_after: after,
    }
}

fn figures_view(one: &VitalFigures) -> FiguresView {
    let shown = |figure| value(one.vital, figure);
    let ratings = one.ratings;
    let runs = ratings.good + ratings.needs_improvement + ratings.poor;
    let share = |part: u64| part as f64 / runs.max(1) as f64;
    FiguresView {
        p75: shown(one.p75),
        median: shown(one.median),
        p95: shown(one.p95),
        p99: shown(one.p99),
        min: shown(one.min),
        max: shown(one.max),
        rating: one.threshold.rate(one.p75).as_str().to_owned(),
        runs,
        good: share(ratings.good),
        needs_improvement: share(ratings.needs_improvement),
        poor: share(ratings.poor),
        thresholds: [shown(one.threshold.good), shown(one.threshold.poor)],
        method: one.method.as_str().to_owned(),
    }
}
