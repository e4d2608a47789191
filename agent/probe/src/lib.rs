//! Probes: one run of one check, measured and judged.
//!
//! Reading order: [`run`] is a run from its start to its result; [`attempt`] is what an attempt notes on its way, `evidence` what it notes of a run that is not up; [`Pool`] is what checks have in common, [`tools`] is what all probes
//! of an agent share: `policy` (which addresses may be dialled), [`connect`] (names and connections), [`tls`]. Then one file a kind.
//!
//! A failed probe is data, not an error: [`Probe::run`] always gives a result. What the agent itself could not do is
//! `unknown`, with a cause of its own, never `down`.
//!
//! Limits per run, whatever the target does: the check's timeout over each attempt, 1 MiB of decoded body, 64 KiB and 100 lines of headers,
//! 10 redirects.
//!
//! Architecture invariant: a probe opens connections of its own, each to one address that the policy allowed. Pools, silent retries and
//! racing addresses would measure something else than what a visitor meets. Nothing here knows schedules, spools or collectors.

mod attempt;
mod evidence;
mod exchange;
mod pool;
mod run;
#[cfg(test)]
mod testing;

pub mod tools;

pub mod network;
mod policy;
mod query;
pub mod resolve;

pub mod connect;
pub mod tls;

mod http;
pub mod http3;

mod certificate;
mod dns;
pub mod domain;
mod flow;
mod grpc;
pub mod icmp;
mod imap;
mod judge;
mod mail;
mod metered;
mod smtp;
mod tcp;
mod udp;
mod web_vitals;
mod websocket;

pub use pool::Pool;
pub use run::{Probe, Run};

/// Most bytes of decoded body that a run reads.
pub const BODY_BYTES_MAX: usize = 1 << 20;

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
