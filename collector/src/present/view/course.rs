//! How groups fared in each of the last 24 hours: what the overview draws.

use std::collections::BTreeMap;

use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::Verdict;

use super::{Snapshot, Strip};

/// Hours of a course.
pub const HOURS: usize = 24;
const HOUR_US: i64 = 3_600_000_000;

/// The weighted mean availability of each of the last 24 hours; `None` where nothing was measured.
pub type Course = [Option<f64>; HOURS];

/// The courses of groups, and under `None` that of the checks without one.
pub type Courses = BTreeMap<Option<String>, Course>;

/// What a course is added up in: of each hour the weighted availabilities, and the weights.
#[derive(Debug, Clone, Copy, Default)]
struct Sums([(f64, f64); HOURS]);

pub(super) fn of(snapshot: &Snapshot) -> Courses {
    let mut sums: BTreeMap<Option<&str>, Sums> = BTreeMap::new();
    for (check, strip) in snapshot.checks.iter().zip(&snapshot.strips) {
        sums.entry(check.group.as_deref()).or_default().add(check.weight, strip, snapshot.now);
    }
    sums.into_iter().map(|(group, sums)| (group.map(str::to_owned), sums.course())).collect()
}

impl Sums {
    fn add(&mut self, weight: f64, strip: &Strip, now: UtcMicros) {
        let from = now.plus_us(-(HOURS as i64) * HOUR_US);
        let mut us = [(0_i64, 0_i64); HOURS];
        for one in &strip.spans {
            let (down, measured) = match one.verdict {
                Verdict::Down => (true, true),
                Verdict::Up | Verdict::Degraded | Verdict::Regional => (false, true),
                Verdict::Maintenance | Verdict::Unknown => (false, false),
            };
            let shown = one.span.clip(Span::new(from, now));
            if !measured || shown.is_empty() {
                continue;
            }
            let (first, last) = (shown.from.us_since(from) / HOUR_US, (shown.to.us_since(from) - 1) / HOUR_US);
            for hour in first..=last.min(HOURS as i64 - 1) {
                let begin = from.plus_us(hour * HOUR_US);
                let part = shown.clip(Span::new(begin, begin.plus_us(HOUR_US))).us();
                let slot = &mut us[hour as usize];
                slot.1 += part;
                slot.0 += if down { part } else { 0 };
            }
        }
        for (sum, (down, measured)) in self.0.iter_mut().zip(us) {
            if measured > 0 {
                sum.0 += weight * (1.0 - down as f64 / measured as f64);
                sum.1 += weight;
            }
        }
    }

    fn course(self) -> Course {
        self.0.map(|(sum, weight)| (weight > 0.0).then(|| sum / weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitepulse_model::vote::VerdictSpan;

    fn span(from: i64, to: i64, verdict: Verdict) -> VerdictSpan {
        let at = |minutes: i64| UtcMicros(minutes * 60_000_000);
        VerdictSpan {
            span: Span::new(at(from), at(to)),
            verdict,
            share_down: (0, 1000),
            unknown_cause: None,
            quorum_reduced: false,
        }
    }

    #[test]
    fn the_course_of_a_group_is_the_weighted_mean_of_each_hour() {
        let day = 24 * 60;
        let now = UtcMicros(day * 60_000_000);
        let strip = |spans| Strip { period: Span::new(UtcMicros(0), now), spans };
        let sound = strip(vec![span(60, day, Verdict::Up)]);
        let ill = strip(vec![
            span(60, 90, Verdict::Down),
            span(90, day - 60, Verdict::Up),
            span(day - 60, day, Verdict::Unknown),
        ]);
        let mut sums = Sums::default();
        sums.add(3.0, &sound, now);
        sums.add(1.0, &ill, now);
        let hours = sums.course();
        assert_eq!(hours[0], None, "nothing was measured");
        assert_eq!(hours[1], Some((3.0 + 0.5) / 4.0));
        assert_eq!(hours[2], Some(1.0));
        assert_eq!(hours[23], Some(1.0), "what is unknown has no part in it");
    }
}
