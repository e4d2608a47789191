//! An objective as it stands, for the forecast of its budget.

use std::collections::BTreeSet;

use sitepulse_model::insight::input::{BudgetNow, BurnWindow};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Kind, Subject, budget_forecast};
use sitepulse_model::slo::status::Burn;
use sitepulse_model::time::UtcMicros;

use super::Known;
use crate::app::App;
use crate::insight::look::{Hit, Look, Target};
use crate::slo;

/// Looks at an objective, which takes a pass over the evidence of the checks it covers: not beside tasks that must not wait.
pub fn look(app: &App, id: &str, known: &Known, rules: &Thresholds, now: UtcMicros) -> Look {
    let target = Target::Objective(id.to_owned());
    let Some(held) = slo::one(app, id, now) else { return Look::gone(target) };
    let mut look = Look { full: true, ..Look::new(target) };
    // What cannot be told says nothing.
    let Ok(outcome) = &held.outcome else { return look };
    look.kinds.insert(Kind::BudgetForecast);
    let Some(budget) = outcome.status.budget.value else { return look };
    let period_us = outcome.period.us();
    // A rolling period ends now, and goes on as long as it is.
    let ends_at = if outcome.period.to > now { outcome.period.to } else { now.plus_us(period_us) };
    let [_, hours, days] = &outcome.status.burns;
    let now_of_it = BudgetNow {
        slo: id,
        left_us: budget.left_us(),
        allowed_us: budget.allowed_us,
        period_us,
        ends_at,
        long: window(&days.long),
        short: window(&hours.long),
        known_since: known.since(Kind::BudgetForecast, &Subject::Objective { slo: id.to_owned() }),
    };
    let checks: BTreeSet<String> = held.promise.checks.iter().map(ToString::to_string).collect();
    let found =
        budget_forecast::find_by_day(&now_of_it, Some(&window(&outcome.status.day)), &rules.budget_forecast, now);
    look.hits.extend(found.map(|finding| Hit { finding, checks }));
    look
}

fn window(burn: &Burn) -> BurnWindow {
    BurnWindow {
        length_us: burn.window.us(),
        rate: burn.rate.value,
        completeness: burn.completeness.unwrap_or_default(),
    }
}
