//! At the present rate an error budget will be spent before its period ends: "exhausted in 6 days".
//!
//! The rate is the lower one of a long and a short window (3 d and 6 h), as in the SRE workbook's multiwindow alerts ("Alerting on SLOs"): the long one shows that it
//! matters, the short one that it goes on. What is left is divided by it: a straight line, no model of how outages come. The windows must roughly agree
//! ([`Budget::agreement_min`]): what burned in one go an hour ago makes the short rate twelve times the long one and says nothing of tomorrow; that is what the burn rate's own
//! incident pages for. A third window of a day ([`find_by_day`]) must agree too, where it is given: an outage that just leaves the short window looks for some minutes as if it were
//! spread over both, but never over three.
//!
//! **Needs** the windows with half of their evidence. **Stays** while the long window alone says so, so one quiet morning does not close it. **Confidence** is how far the windows
//! agree (the lowest rate by the highest one) times the smallest completeness.

use alloc::string::ToString as _;

use super::found::{Evidence, Found};
use super::input::{BudgetNow, BurnWindow};
use super::thresholds::Budget;
use super::{Severity, Subject, robust};
use crate::time::UtcMicros;

/// The forecast of an objective, at `now`, by two windows; also where nothing is left already and it still burns. By three it says less of what is none: see [`find_by_day`].
pub fn find(budget: &BudgetNow<'_>, thresholds: &Budget, now: UtcMicros) -> Option<Found> {
    find_by_day(budget, None, thresholds, now)
}

/// The same, by a window of the last 24 hours too.
pub fn find_by_day(
    budget: &BudgetNow<'_>,
    day: Option<&BurnWindow>,
    thresholds: &Budget,
    now: UtcMicros,
) -> Option<Found> {
    let (long, short) = (budget.long.rate?, budget.short.rate.unwrap_or(0.0));
    let known = budget.known_since.is_some();
    let windows = || [&budget.long, &budget.short].into_iter().chain(day);
    let rates = || windows().map(|window| window.rate.unwrap_or(0.0).max(0.0));
    let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    let agreement = if high > 0.0 { low / high } else { 0.0 };
    let completeness = windows().map(|window| window.completeness).fold(1.0, f64::min).clamp(0.0, 1.0);
    let (rate, rate_min) = if known { (long, thresholds.rate_known) } else { (low, thresholds.rate_new) };
    if budget.allowed_us <= 0 || rate <= 0.0 || rate < rate_min {
        return None;
    }
    if !known && (agreement < thresholds.agreement_min || completeness < thresholds.completeness_min) {
        return None;
    }
    let left_us = budget.left_us.max(0);
    let in_us = left_us as f64 / budget.allowed_us as f64 * budget.period_us as f64 / rate;
    let exhausted_in_us = in_us as i64;
    let exhausted_at = now.plus_us(exhausted_in_us);
    let told_us = if known { i64::MAX } else { thresholds.told_us };
    if exhausted_at >= budget.ends_at || exhausted_in_us > told_us {
        return None;
    }
    let severity = if exhausted_in_us <= thresholds.critical_us {
        Severity::Critical
    } else if exhausted_in_us <= thresholds.warning_us {
        Severity::Warning
    } else {
        Severity::Info
    };
    let evidence = Evidence::BudgetForecast {
        exhausted_at,
        exhausted_in_us,
        left_us: budget.left_us,
        allowed_us: budget.allowed_us,
        long_rate_per_mille: u64::from(robust::per_mille(long)),
        long_us: budget.long.length_us,
        short_rate_per_mille: u64::from(robust::per_mille(short)),
        short_us: budget.short.length_us,
    };
    let subject = Subject::Objective { slo: budget.slo.to_string() };
    let since = budget.known_since.unwrap_or(now);
    Some(Found::new(subject, severity, robust::share(agreement * completeness), evidence, since))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::insight::input::BurnWindow;
    use crate::insight::{DAY_US, HOUR_US};

    const NOW: UtcMicros = UtcMicros(100 * DAY_US);

    fn budget(left: f64, long: f64, short: f64) -> BudgetNow<'static> {
        let window = |length_us, rate| BurnWindow { length_us, rate: Some(rate), completeness: 1.0 };
        BudgetNow {
            slo: "shop",
            left_us: (left * 2_592e6) as i64,
            allowed_us: 2_592_000_000,
            period_us: 30 * DAY_US,
            ends_at: NOW.plus_us(30 * DAY_US),
            long: window(72 * HOUR_US, long),
            short: window(6 * HOUR_US, short),
            known_since: None,
        }
    }

    fn days(budget: &BudgetNow<'_>) -> Option<(f64, Severity)> {
        find(budget, &Budget::default(), NOW).map(|found| {
            let Evidence::BudgetForecast { exhausted_in_us, .. } = found.evidence else { panic!("another kind") };
            (exhausted_in_us as f64 / DAY_US as f64, found.severity)
        })
    }

    #[test]
    fn a_straight_line_by_the_lower_rate() {
        assert_eq!(days(&budget(1.0, 5.0, 6.0)), Some((6.0, Severity::Warning)));
        assert_eq!(days(&budget(0.5, 3.0, 2.5)), Some((6.0, Severity::Warning)));
        assert_eq!(days(&budget(1.0, 3.0, 2.5)), Some((12.0, Severity::Info)));
        assert_eq!(days(&budget(0.1, 5.0, 3.0)), Some((1.0, Severity::Critical)));
        assert_eq!(days(&budget(-0.5, 5.0, 3.0)), Some((0.0, Severity::Critical)), "nothing is left");
        assert_eq!(days(&budget(1.0, 1.5, 1.5)), None, "in 20 days: not told yet");
    }

    #[test]
    fn what_burned_in_one_go_is_no_forecast() {
        assert_eq!(days(&budget(1.0, 2.3, 27.0)), None);
        assert_eq!(days(&budget(1.0, 9.0, 0.0)), None);
        assert_eq!(days(&budget(1.0, 0.9, 0.9)), None);
        let blind = BurnWindow { completeness: 0.4, ..budget(1.0, 5.0, 5.0).short };
        assert_eq!(days(&BudgetNow { short: blind, ..budget(1.0, 5.0, 5.0) }), None);
        let nothing = BurnWindow { rate: None, ..blind };
        assert_eq!(days(&BudgetNow { long: nothing, ..budget(1.0, 5.0, 5.0) }), None);
        assert_eq!(days(&BudgetNow { allowed_us: 0, ..budget(1.0, 5.0, 5.0) }), None);
    }

    #[test]
    fn what_is_known_stays_by_the_long_window_and_ends_with_the_period() {
        let quiet = BudgetNow { known_since: Some(UtcMicros(1)), ..budget(1.0, 5.0, 0.0) };
        assert_eq!(days(&quiet), Some((6.0, Severity::Warning)));
        let soon_over = BudgetNow { ends_at: NOW.plus_us(3 * DAY_US), ..quiet.clone() };
        assert_eq!(days(&soon_over), None);
        assert_eq!(days(&BudgetNow { long: BurnWindow { rate: Some(0.5), ..quiet.long }, ..quiet }), None);
    }

    proptest! {
        #[test]
        fn scale_changes_nothing_and_more_burn_is_never_later(
            left in 0.01..1.0_f64, long in 0.0..40.0_f64, short in 0.0..40.0_f64, times in 2_i64..1_000,
        ) {
            let one = budget(left, long, short);
            let many = BudgetNow { left_us: one.left_us * times, allowed_us: one.allowed_us * times, ..one.clone() };
            let close = match (days(&one), days(&many)) {
                (Some((one, _)), Some((many, _))) => (one - many).abs() < 1e-6,
                (one, many) => one == many,
            };
            prop_assert!(close, "{:?} {:?}", days(&one), days(&many));
            if let (Some((now, _)), Some((more, _))) = (days(&one), days(&budget(left, long * 1.5, short * 1.5))) {
                prop_assert!(more <= now);
            }
        }
    }
}
