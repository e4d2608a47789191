//! The engine of the detectors that look for a level that changed: a seasonal baseline, what differs from it, since when, and whether that is more than noise.
//!
//! **Season.** What is usual at an hour is the median of the baseline's values at that hour of the period (the week, or the day) and the hours beside it. Four
//! weeks give twelve values: one bad Tuesday moves nothing, and neither does a clock that was put forward. This is the robust form of a seasonal naive forecast
//! (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 5.2).
//!
//! **What differs** (the residuals) is the value minus the usual one. Values are logarithms, so a difference is a ratio: scaling all values changes nothing.
//!
//! **Since when.** Page's cumulative sum (E. S. Page 1954, "Continuous inspection schemes", Biometrika 41) of `residual - effect / 2`: it falls while all is as usual and
//! rises while it is not; the change is where it was lowest. Each residual is cut at twice the effect first, so that one wild hour weighs as two, not as fifty. The effect is
//! first that of the last hours, then the one found.
//!
//! **More than noise.** The baseline's own residuals, each against the *other* weeks, are taken in blocks as long as the change has held (up to four times as long as it must); the
//! deviation of their medians is the noise: by MAD, or by their ninth decile where that says more, as of days that are seldom bad. Hours follow each other and are not independent: blocks keep that in, where dividing by the root of their number would
//! leave it out. A change counts when it is larger than the least ratio *and* than so many times the noise, held for so many hours, now too, with three of four hours beyond
//! the half of it. So a small change is found too, only later.

use alloc::vec::Vec;

use super::robust;

/// The hours of a week.
pub(super) const WEEK: i64 = 168;
/// Four weeks: what a baseline is made of at most.
pub(super) const BASELINE: i64 = 4 * WEEK;
/// What a change is looked for in, at most.
const RECENT: i64 = WEEK;
/// The least of that.
const RECENT_MIN: i64 = 24;
/// Of the hours since, the share that must be beyond half of the effect.
const BEYOND: f64 = 0.75;
/// The longest blocks that noise is looked at in, in times of how long a change must hold.
const BLOCK_TIMES: usize = 4;
/// No noise is less than this: of a machine that answers in the same microsecond each time, the next is not a miracle.
const NOISE_MIN: f64 = 0.005;

/// A value at an hour; the value is a logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Since 1970.
    pub(super) hour: i64,
    pub(super) y: f64,
}

/// What is usual at each hour of a period.
pub(super) struct Season {
    half_width: i64,
    cells: Vec<Vec<Point>>,
}

impl Season {
    /// Of a baseline; the cells of hours up to `half_width` beside an hour are looked at with it.
    pub(super) fn new(baseline: &[Point], period: i64, half_width: i64) -> Self {
        let mut cells = alloc::vec![Vec::new(); period.max(1) as usize];
        for point in baseline {
            cells[point.hour.rem_euclid(period) as usize].push(*point);
        }
        Self { half_width, cells }
    }

    /// What is usual at an hour; `None` where fewer than two values tell.
    pub(super) fn usual(&self, hour: i64) -> Option<f64> {
        self.of(hour, |_| true)
    }

    /// The same by the other periods alone: the hour's own does not tell what is usual for it.
    fn usual_elsewhere(&self, hour: i64) -> Option<f64> {
        let half = self.cells.len() as i64 / 2;
        self.of(hour, |other| (other - hour).abs() >= half)
    }

    fn of(&self, hour: i64, counts: impl Fn(i64) -> bool) -> Option<f64> {
        let period = self.cells.len() as i64;
        let near = (-self.half_width..=self.half_width).map(|by| (hour + by).rem_euclid(period) as usize);
        let values: Vec<f64> =
            near.flat_map(|cell| &self.cells[cell]).filter(|point| counts(point.hour)).map(|point| point.y).collect();
        if values.len() < 2 { None } else { robust::median(values) }
    }

    /// How points differ from what is usual. Those of the baseline itself are held against its other periods.
    pub(super) fn residuals(&self, points: &[Point], of_baseline: bool) -> Vec<Point> {
        let usual = |hour| if of_baseline { self.usual_elsewhere(hour) } else { self.usual(hour) };
        points.iter().filter_map(|point| Some(Point { y: point.y - usual(point.hour)?, ..*point })).collect()
    }
}

/// Where the baseline ends and what is looked at begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    /// The first hour that is looked at.
    pub(super) recent_from: i64,
    /// The hour that is not over.
    pub(super) now: i64,
}

impl Split {
    /// Of a series that begins at an hour. What stands is held against what was before it; `None` once that is four weeks ago: it is how things are.
    pub(super) fn of(first: i64, now: i64, known_since: Option<i64>) -> Option<Self> {
        let recent_from = match known_since {
            Some(since) if now - since > BASELINE => return None,
            Some(since) => since.min(now),
            None => now - (now - first - 2 * WEEK).clamp(RECENT_MIN, RECENT),
        };
        Some(Self { recent_from, now })
    }

    /// The points of the baseline and those that are looked at, both in the order of the hours; those of one hour as they came.
    pub(super) fn cut(self, points: impl IntoIterator<Item = Point>) -> (Vec<Point>, Vec<Point>) {
        let mut all: Vec<Point> = points
            .into_iter()
            .filter(|point| point.y.is_finite() && self.recent_from - BASELINE <= point.hour && point.hour < self.now)
            .collect();
        all.sort_by_key(|point| point.hour);
        let recent = all.split_off(all.partition_point(|point| point.hour < self.recent_from));
        (all, recent)
    }
}

/// When a change counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The least effect of a new one.
    pub(super) effect_new: f64,
    /// The least effect of one that stands.
    pub(super) effect_known: f64,
    /// Points that it must hold for.
    pub(super) hold: usize,
    /// How many times the noise it must be.
    pub(super) noise_times: f64,
    /// How many hours ago the newest point may be for a change to be called, and to stay.
    pub(super) fresh_hours: (i64, i64),
}

/// A level that changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shift {
    /// The first hour of it.
    pub(super) from: i64,
    /// By how much.
    pub(super) effect: f64,
    /// What a block's median usually differs by.
    pub(super) noise: f64,
    /// Points since.
    pub(super) points: usize,
    /// Those beyond half of the effect.
    pub(super) beyond: usize,
}

impl Shift {
    /// How many times the noise it is.
    pub(super) fn z(&self) -> f64 {
        self.effect / self.noise
    }
}

/// The change that stands at the end of `recent`, by residuals in the order of time. Those of the baseline are asked for when the last stretch is beyond what is looked for: mostly they are not.
pub(super) fn find(
    baseline: impl FnOnce() -> Vec<Point>,
    recent: &[Point],
    split: Split,
    rule: &Rule,
    known: bool,
) -> Option<Shift> {
    let hold = rule.hold.max(2);
    let newest = recent.last()?.hour;
    let fresh = if known { rule.fresh_hours.1 } else { rule.fresh_hours.0 };
    if recent.len() < hold || split.now - 1 - newest >= fresh {
        return None;
    }
    let level = |points: &[Point]| robust::median(points.iter().map(|point| point.y));
    let now = level(&recent[recent.len() - hold..])?;
    // What eases off is over when the last stretch says so, though all of it together was worse.
    if now < if known { rule.effect_known } else { rule.effect_new } {
        return None;
    }
    let from = if known {
        0
    } else {
        let from = since(recent, now);
        since(recent, level(&recent[from..])?.max(rule.effect_new))
    };
    let held = &recent[from..];
    let (effect, noise) = (level(held)?, noise(&baseline(), held.len().clamp(hold, BLOCK_TIMES * hold))?);
    let beyond = held.iter().filter(|point| point.y > effect / 2.0).count();
    let shift = Shift { from: held.first()?.hour, effect, noise, points: held.len(), beyond };
    let holds = held.len() >= hold
        && beyond as f64 >= BEYOND * held.len() as f64
        && effect >= rule.effect_new.max(rule.noise_times * noise)
        && now >= effect / 2.0;
    (known || holds).then_some(shift)
}

/// Where Page's sum was lowest: the index of the first point after it.
fn since(points: &[Point], effect: f64) -> usize {
    let (mut sum, mut best, mut from) = (0.0, f64::NEG_INFINITY, points.len().saturating_sub(1));
    for (index, point) in points.iter().enumerate().rev() {
        sum += point.y.clamp(-2.0 * effect, 2.0 * effect) - effect / 2.0;
        if sum > best {
            (best, from) = (sum, index);
        }
    }
    from
}

/// What the median of `hold` points usually differs by: the deviation of the medians of such blocks, or that of the points over the root of `hold` where that is more. Of fewer
/// than eight blocks the latter, and half more, for they may well hang together; `None` of fewer than eight points.
fn noise(residuals: &[Point], hold: usize) -> Option<f64> {
    let medians: Vec<f64> = residuals
        .chunks_exact(hold.max(1))
        .filter_map(|block| robust::median(block.iter().map(|point| point.y)))
        .collect();
    let points: Vec<f64> = residuals.iter().map(|point| point.y).collect();
    if points.len() < 8 {
        return None;
    }
    // The median of n normal values has 1.2533 times the deviation of their mean.
    let alone = robust::deviation(&points)? * 1.2533 / libm::sqrt(hold.max(1) as f64);
    let noise = if medians.len() < 8 { alone * 1.5 } else { robust::spread(&medians)?.max(alone) };
    Some(noise.max(NOISE_MIN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule { effect_new: 0.18, effect_known: 0.1, hold: 6, noise_times: 4.0, fresh_hours: (3, 48) };

    fn points(from: i64, values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        (from..).zip(values).map(|(hour, y)| Point { hour, y }).collect()
    }

    /// Small noise that is the same each time.
    fn noise(nth: i64) -> f64 {
        (nth * 7_919 % 101) as f64 / 101.0 * 0.04 - 0.02
    }

    fn found(recent: &[f64], known: bool) -> Option<Shift> {
        let recent = points(1_000, recent.iter().copied());
        let split = Split { recent_from: 1_000, now: 1_000 + recent.len() as i64 };
        find(|| points(0, (0..600).map(noise)), &recent, split, &RULE, known)
    }

    #[test]
    fn since_when_and_by_how_much() {
        let mut recent: Vec<f64> = (0..60).map(noise).collect();
        recent.extend((0..10).map(|nth| 0.4 + noise(nth)));
        let shift = found(&recent, false).unwrap();
        assert_eq!((shift.from, shift.points, shift.beyond), (1_060, 10, 10));
        assert!((shift.effect - 0.4).abs() < 0.02, "{shift:?}");
        assert_eq!(found(&recent[..65], false), None, "five hours");
        // One wild hour and one usual one within neither hide it nor move its beginning.
        (recent[63], recent[65]) = (9.0, 0.0);
        assert_eq!(found(&recent, false).map(|shift| (shift.from, shift.beyond)), Some((1_060, 9)));
    }

    #[test]
    fn spikes_and_what_is_over_are_nothing() {
        let with = |spike: usize, after: usize| {
            let mut recent: Vec<f64> = (0..60).map(noise).collect();
            recent.extend([2.0].repeat(spike));
            recent.extend((0..after as i64).map(noise));
            found(&recent, false)
        };
        for (spike, after) in [(1, 0), (3, 0), (5, 0), (4, 2), (4, 9), (12, 6)] {
            assert_eq!(with(spike, after), None, "{spike} {after}");
        }
        assert!(with(12, 1).is_some());
    }

    #[test]
    fn what_is_known_stays_with_less() {
        let recent: Vec<f64> = (0..12).map(|nth| 0.14 + noise(nth)).collect();
        assert_eq!((found(&recent, false).is_some(), found(&recent, true).is_some()), (false, true));
        let eased: Vec<f64> = (0..12).map(|nth| if nth < 6 { 0.4 } else { 0.05 }).collect();
        assert_eq!(found(&eased, true), None);
    }

    #[test]
    fn where_the_baseline_ends() {
        let of = |first: i64, known| Split::of(first, 10_000, known).map(|split| split.recent_from);
        assert_eq!(of(0, None), Some(10_000 - WEEK));
        assert_eq!(of(10_000 - 2 * WEEK - 48, None), Some(10_000 - 48));
        assert_eq!(of(9_990, None), Some(10_000 - 24));
        assert_eq!((of(0, Some(9_900)), of(0, Some(10_000 - BASELINE - 1))), (Some(9_900), None));
        let (baseline, recent) = Split { recent_from: 1_000, now: 1_010 }.cut(points(0, [1.0; 2_000]));
        assert_eq!((baseline.len(), baseline[0].hour, recent.len()), (BASELINE as usize, 1_000 - BASELINE, 10));
    }

    #[test]
    fn the_season_is_the_hour_of_the_week() {
        let usual = |hour: i64| if hour.rem_euclid(WEEK) == 30 { 5.0 } else { 1.0 };
        let baseline = points(0, (0..BASELINE).map(usual));
        let wide = Season::new(&baseline, WEEK, 1);
        assert_eq!(wide.usual(30 + 9 * WEEK), Some(1.0), "of twelve values four are of the hour itself");
        let narrow = Season::new(&baseline, WEEK, 0);
        assert_eq!((narrow.usual(30 + 9 * WEEK), narrow.usual(31)), (Some(5.0), Some(1.0)));
        assert_eq!(Season::new(&baseline[..10], WEEK, 0).usual(5), None, "one value");
        let odd = points(0, (0..2 * WEEK).map(|hour| if hour == 5 { 9.0 } else { 1.0 }));
        let differs = Season::new(&odd, WEEK, 0);
        assert_eq!(differs.usual_elsewhere(5), None, "one other week");
    }

    proptest! {
        #[test]
        fn a_larger_change_is_never_missed_where_a_smaller_is_found(
            effect in 0.0..1.0_f64, more in 0.0..1.0_f64, length in 6_usize..40,
        ) {
            let with = |effect: f64| {
                let mut recent: Vec<f64> = (0..60).map(noise).collect();
                recent.extend((0..length as i64).map(|nth| effect + noise(nth)));
                found(&recent, false).is_some()
            };
            prop_assert!(!with(effect) || with(effect + more));
            prop_assert!(with(effect) == (effect > 0.18) || (0.16..0.22).contains(&effect));
        }

        #[test]
        fn nothing_of_noise(recent in prop::collection::vec(-0.17..0.17_f64, 24..168)) {
            prop_assert_eq!(found(&recent, false), None);
        }
    }
}
