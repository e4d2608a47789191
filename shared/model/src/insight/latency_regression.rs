//! Runs take longer than this hour of the week used to, since a point in time.
//!
//! Each hour's median is held against the median of the same hour of the week, and the hours beside it, over up to four weeks (see `shift`): nightly backups and
//! Monday mornings are usual. What is looked at is the last week; a change is called when the ratio is at least [`Latency::ratio_new`], at least
//! [`Latency::noise_times`] the series' own noise, and held for [`Latency::hold_hours`] hours, the last ones included. So a spike of some hours is none, and a series that
//! jumps about every day must jump farther.
//!
//! **Needs** two weeks and a day of hours with [`Latency::hour_runs_min`] runs each. **Stays** while the last hours are slower by [`Latency::ratio_known`] than the four weeks
//! before it began; four weeks later it is how things are, and it closes. **Confidence** is Cantelli's of the ratio over the noise (see `robust`).

use alloc::vec::Vec;

use super::found::{Evidence, Found};
use super::input::{LatencySeries, hour_of};
use super::shift::{self, Point, Rule, Season, Split, WEEK};
use super::thresholds::Latency;
use super::{HOUR_US, Severity, robust};
use crate::time::UtcMicros;

/// The regression that stands at `now`.
pub fn find(series: &LatencySeries<'_>, thresholds: &Latency, now: UtcMicros) -> Option<Found> {
    let counts = || series.hours.iter().filter(|hour| hour.runs >= thresholds.hour_runs_min && hour.median_us > 0);
    let first = counts().map(|hour| hour.hour).min()?;
    let split = Split::of(first, hour_of(now), series.known_since.map(hour_of))?;
    let points = counts().map(|hour| Point { hour: hour.hour, y: libm::log(hour.median_us as f64) });
    let (baseline, recent) = split.cut(points);
    if baseline.len() < thresholds.baseline_hours_min {
        return None;
    }
    let season = Season::new(&baseline, WEEK, 1);
    let (usual, differs) = (season.residuals(&baseline, true), season.residuals(&recent, false));
    let known = series.known_since.is_some();
    let found = shift::find(&usual, &differs, split, &rule(thresholds), known)?;
    let since: Vec<&Point> = recent.iter().filter(|point| point.hour >= found.from).collect();
    let before_us = libm::exp(robust::median(since.iter().filter_map(|point| season.usual(point.hour)))?) as u64;
    let after_us = libm::exp(robust::median(since.iter().map(|point| point.y))?) as u64;
    let ratio = libm::exp(found.effect);
    let slower_us = before_us as f64 * (ratio - 1.0);
    if !known && slower_us < thresholds.step_us as f64 {
        return None;
    }
    let evidence = Evidence::LatencyRegression {
        before_us,
        after_us,
        ratio_per_mille: robust::per_mille(ratio),
        hours: found.points as u32,
        hours_slower: found.beyond as u32,
        noise_per_mille: robust::per_mille(found.noise),
        baseline_hours: baseline.len() as u32,
    };
    let severity = if ratio >= thresholds.ratio_critical { Severity::Critical } else { Severity::Warning };
    let since = series.known_since.unwrap_or(UtcMicros(found.from.saturating_mul(HOUR_US)));
    Some(Found::new(series.subject.clone(), severity, robust::confidence(found.z()), evidence, since))
}

/// The rule that thresholds stand for.
pub(super) fn rule(thresholds: &Latency) -> Rule {
    Rule {
        effect_new: libm::log(thresholds.ratio_new.max(1.0)),
        effect_known: libm::log(thresholds.ratio_known.max(1.0)),
        hold: thresholds.hold_hours,
        noise_times: thresholds.noise_times,
        fresh_hours: (3, 48),
    }
}
