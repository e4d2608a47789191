//! What alerts are written on: whether a check is up, for everybody and for each agent, and how far behind the evidence is.

use sitepulse_daemon::instant;

use super::Page;
use crate::present::dto::host::HostView;
use crate::present::view::Snapshot;

/// 1 where a verdict or state is up, 0 where it is down; `None` where nothing can be said.
fn is_up(word: &str) -> Option<f64> {
    match word {
        "up" | "degraded" | "regional" => Some(1.0),
        "down" => Some(0.0),
        _ => None,
    }
}

/// Whether each check is up.
pub(super) fn checks(page: &mut Page, snapshot: &Snapshot) {
    page.family(
        "sitepulse_check_up",
        "gauge",
        "1 where the verdict is up, degraded or regional, 0 where it is down; absent under maintenance and where nothing is known.",
    );
    for check in &snapshot.checks {
        if let Some(up) = is_up(&check.verdict) {
            page.sample("sitepulse_check_up", &[("check", &check.id)], up);
        }
    }
}

/// Whether each agent sees each check up, and how old that is.
pub(super) fn probes(page: &mut Page, snapshot: &Snapshot) {
    page.family(
        "sitepulse_probe_up",
        "gauge",
        "1 where an agent sees a check up or degraded, 0 where down; absent where it knows nothing.",
    );
    for check in &snapshot.checks {
        for pair in &check.agents {
            if let Some(up) = is_up(&pair.state) {
                let labels = [("check", check.id.as_str()), ("agent", &pair.agent), ("region", &pair.region)];
                page.sample("sitepulse_probe_up", &labels, up);
            }
        }
    }
    page.family(
        "sitepulse_probe_last_result_age_seconds",
        "gauge",
        "Time since the slot of the newest result of an agent.",
    );
    for check in &snapshot.checks {
        for pair in &check.agents {
            if let Some(age) = pair.last_scheduled.as_deref().and_then(|at| age(snapshot, at)) {
                let labels = [("check", check.id.as_str()), ("agent", &pair.agent), ("region", &pair.region)];
                page.sample("sitepulse_probe_last_result_age_seconds", &labels, age);
            }
        }
    }
}

/// The families of agents' spools.
pub(super) fn spools(page: &mut Page, snapshot: &Snapshot) {
    let living = || snapshot.agents.iter().filter(|agent| agent.revoked.is_none());
    page.family("sitepulse_agent_spool_bytes", "gauge", "Size of an agent's spool file.");
    for agent in living() {
        if let Some(bytes) = agent.spool_bytes {
            page.sample(
                "sitepulse_agent_spool_bytes",
                &[("agent", &agent.name), ("region", &agent.region)],
                bytes as f64,
            );
        }
    }
    page.family(
        "sitepulse_agent_ingest_lag_seconds",
        "gauge",
        "Time since the slot of the oldest record that waits in an agent's spool; 0 where none waits.",
    );
    for agent in living() {
        let lag = match (&agent.spool_oldest, agent.spool_records) {
            (Some(oldest), _) => age(snapshot, oldest),
            (None, Some(0)) => Some(0.0),
            (None, Some(_) | None) => None,
        };
        if let Some(lag) = lag {
            page.sample(
                "sitepulse_agent_ingest_lag_seconds",
                &[("agent", &agent.name), ("region", &agent.region)],
                lag,
            );
        }
    }
}

/// A family of agents' machines: its name, its help, its value.
type HostFamily = (&'static str, &'static str, fn(&HostView) -> f64);

/// The families of agents' machines.
pub(super) fn hosts(page: &mut Page, snapshot: &Snapshot) {
    let figures: [HostFamily; 4] = [
        ("sitepulse_agent_host_load1", "Load average of an agent's machine over one minute.", |host| host.load_1m),
        ("sitepulse_agent_host_cores", "Processors of an agent's machine.", |host| f64::from(host.cores)),
        ("sitepulse_agent_host_memory_used_bytes", "Memory of an agent's machine that is in use.", |host| {
            host.memory_used_bytes as f64
        }),
        ("sitepulse_agent_host_memory_total_bytes", "All memory of an agent's machine.", |host| {
            host.memory_total_bytes as f64
        }),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for agent in snapshot.agents.iter().filter(|agent| agent.revoked.is_none()) {
            if let Some(host) = &agent.host {
                page.sample(name, &[("agent", &agent.name), ("region", &agent.region)], figure(host));
            }
        }
    }
}

/// Seconds since an instant; those of an agent whose clock is ahead are 0.
fn age(snapshot: &Snapshot, at: &str) -> Option<f64> {
    let at = instant::parse(at, snapshot.now).ok()?;
    Some((snapshot.now.us_since(at) as f64 / 1e6).max(0.0))
}
