//! From promises held against the book to what is shown of them.

use sitepulse_daemon::instant;
use sitepulse_model::duration;
use sitepulse_model::slo::status::{Amount, Bounded, Burn, BurnPair, State};
use sitepulse_model::time::UtcMicros;

use crate::present::dto::slo::{BudgetView, BurnPairView, BurnView, OutcomeView, SloDayView, SloHistoryView, SloView};
use crate::present::dto::unknown::CausesView;
use crate::slo::{Day, Held, Outcome, Promise};

/// A promise, as JSON.
pub fn slo_view(held: &Held, now: UtcMicros) -> SloView {
    let Promise { slo, checks, missing } = &held.promise;
    let state = held.outcome.as_ref().map_or(State::Unknown, |outcome| outcome.status.state);
    SloView {
        id: slo.body.id.clone(),
        version: slo.version,
        description: slo.body.description.clone(),
        checks: checks.iter().map(ToString::to_string).collect(),
        missing: missing.clone(),
        period: slo.body.period.clone(),
        zone: slo.body.zone.clone(),
        as_of: instant::format(now),
        state: state.as_str().to_owned(),
        fault: held.outcome.as_ref().err().cloned(),
        outcome: held.outcome.as_ref().ok().map(outcome_view),
    }
}

fn outcome_view(outcome: &Outcome) -> OutcomeView {
    let Outcome { policy: (policy, policy_version), objective, period, status } = outcome;
    OutcomeView {
        policy: policy.clone(),
        policy_version: *policy_version,
        objective: objective.to_string(),
        objective_ratio: f64::from(objective.0) / 1e6,
        from: instant::format(period.from),
        to: instant::format(period.to),
        availability: status.availability.value,
        lower: status.availability.unknown_down,
        upper: status.availability.unknown_up,
        completeness: status.completeness,
        unknown: status.unknown.as_ref().map(CausesView::shares),
        counted_seconds: seconds(status.counted_us),
        to_come_seconds: seconds(status.to_come_us),
        budget: budget_view(&status.budget),
        burns: status.burns.iter().map(pair_view).collect(),
        exhausted_at: status.exhausted_at.map(instant::format),
        exhausted_by: window_text(&status.burns[status.forecast_by].long),
    }
}

fn budget_view(budget: &Bounded<Amount>) -> BudgetView {
    let share = |amount: Option<Amount>| amount.and_then(|amount| amount.left_share());
    BudgetView {
        allowed_seconds: budget.value.map(|amount| seconds(amount.allowed_us)),
        used_seconds: budget.value.map(|amount| seconds(amount.used_us)),
        left_seconds: budget.value.map(|amount| seconds(amount.left_us())),
        left_ratio: share(budget.value),
        left_ratio_lower: share(budget.unknown_down),
        left_ratio_upper: share(budget.unknown_up),
    }
}

fn pair_view(pair: &BurnPair) -> BurnPairView {
    BurnPairView {
        threshold: pair.threshold_tenths as f64 / 10.0,
        speaks: pair.speaks(),
        long: burn_view(&pair.long),
        short: burn_view(&pair.short),
    }
}

fn burn_view(burn: &Burn) -> BurnView {
    BurnView {
        window: window_text(burn),
        rate: burn.rate.value,
        rate_lower: burn.rate.unknown_up,
        rate_upper: burn.rate.unknown_down,
        completeness: burn.completeness,
        unknown: burn.unknown.as_ref().map(CausesView::shares),
        reached: burn.reached,
    }
}

fn window_text(burn: &Burn) -> String {
    duration::format(burn.window.us().unsigned_abs())
}

/// How a budget went, as JSON.
pub fn history_view(promise: &Promise, days: &[Day]) -> SloHistoryView {
    let day = |day: &Day| SloDayView { at: instant::format(day.at), budget: budget_view(&day.budget) };
    SloHistoryView { id: promise.slo.body.id.clone(), days: days.iter().map(day).collect() }
}

fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}
