//! Probes: one run of one check, measured and judged.
//!
//! A failed probe is data, not an error: [`http::HttpProbe::run`] always gives a [`ProbeResult`]. What the agent itself could not do is
//! `unknown`, with a cause of its own, never `down`.
//!
//! Limits per run, whatever the target does: the check's timeout over all of it, 1 MiB of body, 64 KiB and 100 lines of headers, no redirects.
//!
//! Architecture invariant: a probe opens one connection of its own, to the first address in the resolver's order. Pools, retries and
//! racing addresses would measure something else than what a visitor meets.

pub mod connect;
pub mod http;
pub mod tls;

use std::net::SocketAddr;

use sitepulse_model::record::{Cause, Facts, Phase, Phases, ProbeResult, ProbeState, detail};
use sitepulse_model::time::UtcMicros;

/// What went wrong, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) phase: Phase,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(cause: Cause, phase: Phase, detail: impl Into<String>) -> Self {
        Self { cause, phase, detail: detail.into() }
    }
}

/// What a run has seen so far; stays when the deadline cuts the run short.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) phases: Phases,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) facts: Facts,
    /// The lookup of the name waits for its turn.
    pub(crate) lookup_queued: bool,
}

/// The run a result is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The check.
    pub check: sitepulse_model::id::CheckNo,
    /// The definition that is probed.
    pub revision: sitepulse_model::id::Revision,
    /// The slot it was due at.
    pub slot: UtcMicros,
    /// When it starts, by the wall clock.
    pub started: UtcMicros,
}

/// Builds the result of a run that failed before, while or after talking to the target.
pub(crate) fn failed(run: &Run, sight: Sight, failure: &Failure) -> ProbeResult {
    let state = match failure.cause.code() {
        0..64 => ProbeState::Down,
        64..96 => ProbeState::Degraded,
        _ => ProbeState::Unknown,
    };
    ProbeResult {
        check: run.check,
        revision: run.revision,
        scheduled: run.slot,
        started: run.started,
        phases: sight.phases,
        state,
        cause: Some(failure.cause),
        failed_phase: Some(failure.phase),
        detail: detail(&failure.detail),
        address: sight.address,
        facts: sight.facts,
    }
}

/// A duration for people: `850 ms`, `10 s`, `1.5 s`.
pub(crate) fn human_us(us: u64) -> String {
    if us < 1_000 {
        format!("{us} us")
    } else if us < 1_000_000 {
        format!("{} ms", us / 1_000)
    } else if us % 1_000_000 < 50_000 {
        format!("{} s", us / 1_000_000)
    } else {
        format!("{:.1} s", us as f64 / 1e6)
    }
}
