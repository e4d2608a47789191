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
    let differs = season.residuals(&recent, false);
    let known = series.known_since.is_some();
    let found = shift::find(|| season.residuals(&baseline, true), &differs, split, &rule(thresholds), known)?;
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;
    use crate::insight::Subject;
    use crate::insight::input::LatencyHour;

    const NOW_HOUR: i64 = 5 * WEEK;

    /// A service with days and weekends, slower by a factor for so many hours.
    fn hours(base_us: f64, slower: f64, for_hours: i64) -> Vec<LatencyHour> {
        (0..NOW_HOUR)
            .map(|hour| {
                let day = if (8..20).contains(&(hour % 24)) && hour % WEEK < 120 { 1.4 } else { 1.0 };
                let noise = 1.0 + (hour * 7_919 % 101) as f64 / 101.0 * 0.04;
                let by = if hour >= NOW_HOUR - for_hours { slower } else { 1.0 };
                LatencyHour { hour, median_us: (base_us * day * noise * by) as u64, runs: 60 }
            })
            .collect()
    }

    fn look(hours: &[LatencyHour], known_since: Option<UtcMicros>) -> Option<Found> {
        let subject = Subject::Check { check: "shop".to_string(), part: "region:paris".to_string() };
        let series = LatencySeries { subject, hours, known_since };
        find(&series, &Latency::default(), UtcMicros(NOW_HOUR * HOUR_US + 5))
    }

    #[test]
    fn it_tells_since_when_before_after_and_how_much() {
        let found = look(&hours(100_000.0, 1.5, 12), None).unwrap();
        let Evidence::LatencyRegression { before_us, after_us, ratio_per_mille, hours: since, .. } = found.evidence
        else {
            panic!("another kind")
        };
        assert_eq!((found.since, since, found.severity), (UtcMicros((NOW_HOUR - 12) * HOUR_US), 12, Severity::Warning));
        assert!(ratio_per_mille.abs_diff(1_500) < 30, "{ratio_per_mille}");
        assert!(before_us.abs_diff(101_500) < 3_000 && after_us.abs_diff(152_000) < 4_000, "{before_us} {after_us}");
        assert!(found.confidence.0 > 980);
        assert_eq!(look(&hours(100_000.0, 3.0, 12), None).unwrap().severity, Severity::Critical);
    }

    #[test]
    fn days_and_weekends_are_usual_and_little_is_little() {
        assert_eq!(look(&hours(100_000.0, 1.0, 12), None), None);
        assert_eq!(look(&hours(100_000.0, 1.15, 12), None), None, "less than three tenths");
        assert_eq!(look(&hours(100_000.0, 2.0, 5), None), None, "five hours");
        assert_eq!(look(&hours(6_000.0, 1.5, 12), None), None, "3 ms");
        assert_eq!(look(&hours(100_000.0, 2.0, 12)[540..], None), None, "no two weeks before");
        let thin: Vec<LatencyHour> =
            hours(100_000.0, 2.0, 12).into_iter().map(|hour| LatencyHour { runs: 2, ..hour }).collect();
        assert_eq!(look(&thin, None), None, "two runs an hour");
    }

    #[test]
    fn what_stands_keeps_its_beginning_until_it_is_how_things_are() {
        let since = |ago: i64| Some(UtcMicros((NOW_HOUR - ago) * HOUR_US));
        let all = hours(100_000.0, 1.15, 100);
        assert_eq!(look(&all, None), None);
        assert_eq!(look(&all, since(100)).map(|found| found.since), since(100));
        assert_eq!(look(&hours(100_000.0, 1.0, 100), since(100)), None, "it is over");
        assert_eq!(look(&all, since(4 * WEEK + 1)), None, "four weeks");
    }

    proptest! {
        #[test]
        fn scale_and_order_leave_no_trace(slower in 1.0..3.0_f64, for_hours in 0_i64..100, times in 1.0..50.0_f64, turn in 0_usize..840) {
            let one = look(&hours(100_000.0, slower, for_hours), None);
            let scaled = look(&hours(100_000.0 * times, slower, for_hours), None);
            prop_assert_eq!(one.as_ref().map(|found| found.since), scaled.map(|found| found.since));
            let mut turned = hours(100_000.0, slower, for_hours);
            turned.rotate_left(turn);
            prop_assert_eq!(one, look(&turned, None));
        }

        #[test]
        fn a_constant_is_no_finding(us in 1_u64..10_000_000) {
            let same: Vec<LatencyHour> =
                (0..NOW_HOUR).map(|hour| LatencyHour { hour, median_us: us, runs: 60 }).collect();
            prop_assert_eq!(look(&same, None), None);
        }

        #[test]
        fn more_is_never_less(slower in 1.0..2.0_f64, more in 1.0..2.0_f64, for_hours in 6_i64..100) {
            let is = |by: f64| look(&hours(100_000.0, by, for_hours), None).is_some();
            prop_assert!(!is(slower) || is(slower * more));
        }
    }
}
