//! Property tests: every machine of the model beside a naive reference that follows the definition tick by tick.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod accounting;
mod amendment;
mod backtest;
mod control;
mod expect;
mod incident;
mod naive;
mod present;
mod schedule;
mod series;
mod slo;
mod target;
mod terms;
mod together;
mod vitals;
mod world;

use proptest::prelude::ProptestConfig;

/// Enough cases to meet the corners, few enough for a debug build in seconds; `PROPTEST_CASES` asks for more. A found case
/// becomes a named test.
fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: cases.max(default.cases), failure_persistence: None, ..default }
}
