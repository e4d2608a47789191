//! What the command line prints: as JSON, or as text for people. Instants are RFC 3339 in UTC.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sitepulse_daemon::instant;
use sitepulse_model::control::{Change, ControlEvent, Scope, Suspension};
use sitepulse_model::duration;
use sitepulse_model::record::{Cause, ProbeResult, ProbeState};
use sitepulse_model::time::UtcMicros;

use super::Desk;
use crate::engine::lag::LagView;
use crate::spool::writer::Figures;

/// `sitepulse-agent status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The agent's name.
    pub name: String,
    /// Its number.
    pub agent: u32,
    /// Its region.
    pub region: String,
    /// Whether the daemon runs.
    pub running: bool,
    /// The collector it is connected to.
    pub collector: Option<String>,
    /// Why it is not connected.
    pub trouble: Option<String>,
    /// When the certificate expires.
    pub certificate_expires: String,
    /// Collector's clock minus the agent's, seconds.
    pub clock_offset_s: Option<f64>,
    /// Checks assigned.
    pub checks: usize,
    /// Runs under way.
    pub in_flight: usize,
    /// Due slots that wait for a place.
    pub waiting: usize,
    /// How late runs started after their slots; `null` while stopped and before the first run.
    pub lag_us: Option<LagView>,
    /// Slots missed since the daemon started, by cause.
    pub missed: BTreeMap<String, u64>,
    /// Of these: slots given up for want of a place, the lowest check weights first.
    pub shed: u64,
    /// Its vote's weight.
    pub weight: f64,
    /// The agent's own suspension.
    pub suspended: Option<SuspensionView>,
    /// Records that wait for the collector.
    pub spool_records: u64,
}

/// A suspension in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuspensionView {
    /// First instant of running again.
    pub until: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// `sitepulse-agent checks`. As JSON: the list itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChecksView {
    /// One line per check, by id.
    pub checks: Vec<CheckLine>,
}

/// A check on this agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckLine {
    /// Its id.
    pub check: String,
    /// Its definition's revision.
    pub revision: u32,
    /// Its kind.
    pub kind: String,
    /// What it probes.
    pub target: String,
    /// Seconds between runs.
    pub interval_s: f64,
    /// The weight of this agent's vote on it.
    pub weight: f64,
    /// Its suspension here.
    pub suspended: Option<SuspensionView>,
    /// The last run since the daemon started.
    pub last: Option<LastRun>,
}

/// The last run of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastRun {
    /// The slot it was due at.
    pub scheduled: String,
    /// What it found.
    pub state: String,
    /// Why it was not up.
    pub cause: Option<String>,
    /// How long it took, seconds.
    pub total_s: Option<f64>,
    /// One line for people.
    pub detail: String,
}

/// What the engine keeps of a check's last run: little, for there are many checks and each run replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    scheduled: UtcMicros,
    state: ProbeState,
    cause: Option<Cause>,
    total_us: Option<u64>,
    detail: Box<str>,
}

impl Last {
    /// Of a result.
    pub fn of(result: &ProbeResult) -> Self {
        Self {
            scheduled: result.scheduled,
            state: result.state,
            cause: result.cause,
            total_us: result.phases.total,
            detail: result.detail.as_str().into(),
        }
    }
}

impl LastRun {
    fn of(last: &Last) -> Self {
        Self {
            scheduled: instant::format(last.scheduled),
            state: last.state.as_str().to_owned(),
            cause: last.cause.map(|cause| cause.as_str().to_owned()),
            total_s: last.total_us.map(|us| us as f64 / 1e6),
            detail: last.detail.to_string(),
        }
    }
}

/// `sitepulse-agent spool`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpoolView {
    /// Records on disk.
    pub records: u64,
    /// Records that wait in memory for the disk.
    pub queued: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// The bound.
    pub bytes_max: u64,
    /// The oldest waiting slot.
    pub oldest: Option<String>,
    /// The incarnation, hexadecimal.
    pub incarnation: String,
    /// Why the disk takes nothing, while it does not.
    pub stalled: Option<String>,
    /// The damaged file that was set aside last, since the daemon started.
    pub set_aside: Option<String>,
}

impl SpoolView {
    /// Of the spool's figures.
    pub fn of(figures: &Figures, bytes_max: u64) -> Self {
        Self {
            records: figures.stats.records,
            queued: figures.queued,
            bytes: figures.stats.bytes,
            bytes_max,
            oldest: figures.stats.oldest.map(instant::format),
            incarnation: format!("{:016x}", figures.stats.incarnation.0),
            stalled: figures.stalled.clone(),
            set_aside: figures.set_aside.clone(),
        }
    }
}

/// An order that was stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// `suspend`, `resume` or `weight`.
    pub change: String,
    /// The check, or `null` for the whole agent.
    pub check: Option<String>,
    /// When it was given, and applies from.
    pub at: String,
    /// A suspension's end.
    pub until: Option<String>,
    /// A suspension's reason.
    pub reason: Option<String>,
    /// A weight.
    pub weight: Option<f64>,
    /// Who gave it.
    pub author: String,
    /// The author's count of events.
    pub number: u64,
}

pub(super) fn event(event: &ControlEvent, check: Option<&str>) -> EventView {
    let (change, until, reason, weight) = match &event.change {
        Change::Suspend { until, reason } => ("suspend", Some(instant::format(*until)), Some(reason.clone()), None),
        Change::Resume => ("resume", None, None, None),
        Change::Weight(weight) => ("weight", None, None, Some(weight.as_f64())),
    };
    EventView {
        change: change.to_owned(),
        check: check.map(str::to_owned),
        at: instant::format(event.at),
        until,
        reason,
        weight,
        author: event.id.author.clone(),
        number: event.id.number,
    }
}

fn suspension(suspension: &Suspension) -> SuspensionView {
    SuspensionView {
        until: instant::format(suspension.span.to),
        reason: suspension.reason.clone(),
        author: suspension.author.clone(),
    }
}

pub(super) fn status(desk: &Desk<'_>, now: UtcMicros) -> StatusView {
    let agent = desk.identity.agent;
    let live = desk.live.clone().unwrap_or_default();
    let weight = desk.log.agent_weights(agent).iter().rev().find(|(at, _)| *at <= now).map_or(1.0, |(_, w)| w.as_f64());
    StatusView {
        name: desk.identity.name.to_string(),
        agent: agent.0,
        region: desk.identity.region.to_string(),
        running: desk.live.is_some(),
        collector: live.collector,
        trouble: live.trouble,
        certificate_expires: instant::format(desk.identity.certificate_expires),
        clock_offset_s: live.clock.map(|(offset, _)| offset as f64 / 1e6),
        checks: desk.checks.len(),
        in_flight: live.in_flight,
        waiting: live.waiting,
        lag_us: live.lag_us,
        missed: live.missed,
        shed: live.shed,
        weight,
        suspended: desk.log.scope_suspended_at(Scope::Agent(agent), now).map(suspension),
        spool_records: desk.spool.records,
    }
}

pub(super) fn checks(desk: &Desk<'_>, now: UtcMicros) -> ChecksView {
    let agent = desk.identity.agent;
    let mut checks: Vec<CheckLine> = desk
        .checks
        .iter()
        .map(|(summary, last)| CheckLine {
            check: summary.id.to_string(),
            revision: summary.plan.revision.0,
            kind: summary.kind.to_owned(),
            target: summary.target.to_string(),
            interval_s: summary.plan.lattice.interval_us as f64 / 1e6,
            weight: desk.log.weight_at(agent, summary.plan.check, now).as_f64(),
            suspended: desk.log.suspended_at(agent, summary.plan.check, now).map(suspension),
            last: last.map(LastRun::of),
        })
        .collect();
    checks.sort_by(|a, b| a.check.cmp(&b.check));
    ChecksView { checks }
}

impl StatusView {
    /// For people.
    pub fn text(&self) -> String {
        let mut rows = vec![
            ("agent", format!("{} (number {}, region {})", self.name, self.agent, self.region)),
            ("state", if self.running { "running".to_owned() } else { "stopped".to_owned() }),
        ];
        if self.running {
            let collector = match (&self.collector, &self.trouble) {
                (Some(collector), _) => format!("connected to {collector}"),
                (None, Some(trouble)) => format!("not connected: {trouble}"),
                (None, None) => "not connected yet".to_owned(),
            };
            rows.push(("collector", collector));
            if let Some(offset) = self.clock_offset_s {
                rows.push(("clock", format!("{offset:+.3} s to the collector's")));
            }
            rows.push(("in flight", format!("{} runs, {} slots wait for a place", self.in_flight, self.waiting)));
            if let Some(lag) = &self.lag_us {
                let ms = |us: u64| us as f64 / 1e3;
                let text = format!(
                    "runs start {:.1} ms late, 99 of 100 within {:.1} ms, at most {:.1} ms",
                    ms(lag.p50),
                    ms(lag.p99),
                    ms(lag.max)
                );
                rows.push(("lag", text));
            }
            if !self.missed.is_empty() {
                let causes: Vec<String> = self.missed.iter().map(|(cause, slots)| format!("{slots} {cause}")).collect();
                rows.push(("missed", format!("{} since the start", causes.join(", "))));
            }
        }
        rows.push(("checks", self.checks.to_string()));
        rows.push(("weight", self.weight.to_string()));
        if let Some(suspended) = &self.suspended {
            rows.push(("suspended", suspended.text()));
        }
        rows.push(("spool", format!("{} records wait for the collector", self.spool_records)));
        rows.push(("certificate", format!("expires {}", self.certificate_expires)));
        pairs(&rows)
    }
}

impl SuspensionView {
    fn text(&self) -> String {
        format!("until {} by {}: {}", self.until, self.author, self.reason)
    }
}

impl ChecksView {
    /// For people.
    pub fn text(&self) -> String {
        if self.checks.is_empty() {
            return "no checks are assigned to this agent\n".to_owned();
        }
        let mut rows = vec![["CHECK", "STATE", "TOTAL", "INTERVAL", "WEIGHT", "TARGET", "NOTE"].map(str::to_owned)];
        for check in &self.checks {
            let last = check.last.as_ref();
            let note = match (&check.suspended, last) {
                (Some(suspended), _) => format!("suspended {}", suspended.text()),
                (None, Some(last)) => last.detail.clone(),
                (None, None) => String::new(),
            };
            rows.push([
                check.check.clone(),
                last.map_or("-".to_owned(), |last| last.state.clone()),
                last.and_then(|last| last.total_s).map_or("-".to_owned(), |s| format!("{:.0} ms", s * 1e3)),
                duration::format((check.interval_s * 1e6) as u64),
                check.weight.to_string(),
                check.target.clone(),
                note,
            ]);
        }
        table(&rows)
    }
}

impl SpoolView {
    /// For people.
    pub fn text(&self) -> String {
        let mut rows = vec![
            ("records", self.records.to_string()),
            ("in memory", self.queued.to_string()),
            ("size", format!("{:.1} of {:.1} MiB", mib(self.bytes), mib(self.bytes_max))),
            ("oldest", self.oldest.clone().unwrap_or_else(|| "-".to_owned())),
            ("incarnation", self.incarnation.clone()),
        ];
        if let Some(stalled) = &self.stalled {
            rows.push(("trouble", stalled.clone()));
        }
        if let Some(set_aside) = &self.set_aside {
            rows.push(("set aside", set_aside.clone()));
        }
        pairs(&rows)
    }
}

impl EventView {
    /// For people.
    pub fn text(&self) -> String {
        let what = self.check.as_ref().map_or("this agent".to_owned(), |check| format!("check {check} on this agent"));
        match (&self.until, self.weight) {
            (Some(until), _) => format!("{what} is suspended until {until}\n"),
            (None, Some(weight)) => format!("{what} has weight {weight} from {}\n", self.at),
            (None, None) => format!("{what} runs again from {}\n", self.at),
        }
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn pairs(rows: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in rows {
        out.push_str(&format!("{name:<12} {value}\n"));
    }
    out
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
