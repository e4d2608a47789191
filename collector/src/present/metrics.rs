//! `/metrics`: the Prometheus text format, from the same snapshot as the console.
//!
//! Free on the admin socket and straight from this machine to a loopback listener; elsewhere it needs a token.

mod choice;
mod jobs;
mod mails;
mod now;
mod playbooks;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sitepulse_daemon::clock::Monotonic;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::{IncidentKind, IncidentState, Severity};
use sitepulse_model::insight::{Kind, Severity as Severities};
use sitepulse_model::slo::status::State as SloState;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;

use crate::app::{App, Metrics};
use crate::impact::board::Scores;
use crate::insight::Standing;
use crate::insight::life::{Life, State as Stands};
use crate::latency::HOUR_US;
use crate::latency::open::Recent;
use crate::outbox::figures::ChannelFigures;
use crate::present::Present;
use crate::present::api::{Ask, ask};
use crate::present::dto::slo::{OutcomeView, SloView};
use crate::present::dto::{AgentView, SlaView};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::slices::in_slices;
use crate::present::view::Snapshot;
use choice::{Area, Chosen};

/// Every verdict, for the state set.
const VERDICTS: [&str; 6] = ["up", "degraded", "regional", "down", "maintenance", "unknown"];
/// Every state of one agent's view.
const STATES: [&str; 4] = ["up", "degraded", "down", "unknown"];

/// A family of one value for each thing: its name, its help, the value where there is one.
type Family<T> = (&'static str, &'static str, fn(&T) -> Option<f64>);

/// A family of one value for each channel: its name, its type, its help, the value at an instant.
type ChannelFamily = (&'static str, &'static str, &'static str, fn(&ChannelFigures, UtcMicros) -> f64);

/// What `/metrics` is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsQuery {
    /// These families alone.
    collect: Option<String>,
    /// All but these.
    exclude: Option<String>,
}

/// `GET /metrics`
pub async fn metrics(State(present): State<Present>, query: Ask<MetricsQuery>) -> Answer<Response> {
    let chosen = Chosen::of(&ask(query)?)?;
    let has = |area: Area| chosen.has(area);
    let snapshot = present.snapshot().await?;
    let now = snapshot.now;
    let slos = if has(Area::Slos) { present.slos().await? } else { Arc::default() };
    let mut text = exposition(&snapshot, &slos, &chosen);
    if has(Area::Latency) {
        text.push_str(&present.latency_lines(now).await?);
    }
    if has(Area::Outbox) {
        text.push_str(&outbox(&present.app().channel_figures().await?, now));
    }
    if has(Area::Mails) {
        text.push_str(&present.mail_lines(now).await?);
    }
    if has(Area::Jobs) {
        text.push_str(&present.job_lines().await?);
    }
    if has(Area::Playbooks) {
        text.push_str(&present.playbook_lines().await?);
    }
    if has(Area::Incidents) {
        text.push_str(&incidents(&present.app().open_incidents().await?));
    }
    if has(Area::Impact) {
        text.push_str(&impacts(&*present.scores().await?));
    }
    if has(Area::Findings) {
        text.push_str(&findings(&present.app().shared().findings.standing(), now));
    }
    if has(Area::Collector) {
        text.push_str(&collector(&present.app().metrics(), present.app().readiness().is_ok()));
        text.push_str(&watchdog(present.app().shared().pulses.pinged.last()));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// How long the latencies' lines serve every scrape.
const LATENCIES_US: u64 = 15 * 1_000_000;

/// The latencies' lines that serve every scrape; its guard is held while they are made anew, so that is done once.
#[derive(Default)]
pub(super) struct LatencyShelf(tokio::sync::Mutex<Option<Lines>>);

struct Lines {
    /// On the monotonic clock.
    made: u64,
    /// The book's version.
    version: u64,
    text: Arc<str>,
}

impl Present {
    /// The latencies of the last hour: at most 15 s old, and never older than a change of checks or agents.
    async fn latency_lines(&self, now: UtcMicros) -> Answer<Arc<str>> {
        let mut shelf = self.latency_shelf().0.lock().await;
        let made = clock::monotonic().0;
        let version = self.app().book().version();
        if let Some(lines) = shelf.as_ref()
            && lines.version == version
            && made.saturating_sub(lines.made) < LATENCIES_US
        {
            return Ok(Arc::clone(&lines.text));
        }
        let app = self.app().clone();
        let recent = self.beside(move || recent_latencies(&app, now.plus_us(-HOUR_US))).await?;
        let text = tokio::task::spawn_blocking(move || latency_exposition(recent)).await;
        let text: Arc<str> =
            text.map_err(|_| Problem::new(Code::Unavailable, "the collector is shutting down"))?.into();
        *shelf = Some(Lines { made, version, text: Arc::clone(&text) });
        Ok(text)
    }
}

/// Latencies of one check from one agent: their ids, and what is not sealed. Sealing leaves the last hour alone but for very much arriving.
type RecentOf = (String, String, String, Recent);

/// Those of living checks: copied, so that the book is free while they are counted.
fn recent_latencies(app: &App, from: UtcMicros) -> Vec<RecentOf> {
    let living: Vec<CheckNo> = app.book().checks().filter(|check| !check.retired()).map(|check| check.number).collect();
    let mut found = Vec::new();
    in_slices(
        || app.book(),
        living,
        |book, check| {
            let Some(check) = book.check(check) else { return };
            found.extend(check.latencies.iter().filter_map(|(agent, open)| {
                let agent = book.agent(*agent)?;
                Some((check.id.to_string(), agent.name.to_string(), agent.region.to_string(), open.recent(from)))
            }));
        },
    );
    found
}

fn latency_exposition(recent: Vec<RecentOf>) -> String {
    let name = "sitepulse_probe_latency_seconds";
    let mut page = Page(String::new());
    let help = "Whole runs that were up or degraded and due in the last hour, by quantile; off by less than 1 %.";
    page.family(name, "gauge", help);
    for (check, agent, region, recent) in recent {
        let total = recent.totals();
        for (quantile, per_mille) in [("0.5", 500), ("0.75", 750), ("0.95", 950), ("0.99", 990)] {
            if let Some(us) = total.quantile(per_mille) {
                let labels =
                    [("check", check.as_str()), ("agent", &agent), ("region", &region), ("quantile", quantile)];
                page.sample(name, &labels, us as f64 / 1e6);
            }
        }
    }
    page.0
}

/// The impact scores: of checks, of groups, and of all together. Without evidence there is none.
fn impacts(scores: &Scores) -> String {
    let mut page = Page(String::new());
    let (name, help) =
        ("sitepulse_impact_score", "Impact score of a check, 0 to 100, higher is worse; absent without evidence.");
    page.family(name, "gauge", help);
    for check in scores.checks.values() {
        if let Some(score) = &check.score {
            page.sample(name, &[("check", check.id.as_str())], score.points.as_f64());
        }
    }
    let name = "sitepulse_impact_group_score";
    page.family(name, "gauge", "Impact score of a group: the weighted mean, raised by its worst critical check.");
    for (group, together) in &scores.groups {
        page.sample(name, &[("group", group.as_str())], together.points.as_f64());
    }
    let name = "sitepulse_impact_region_score";
    page.family(name, "gauge", "Impact score of all checks as the agents of a region alone saw them.");
    for (region, together) in crate::impact::regions::together(&scores.regions) {
        page.sample(name, &[("region", region.as_str())], together.points.as_f64());
    }
    let name = "sitepulse_impact_overall_score";
    page.family(name, "gauge", "Impact score of all checks together.");
    if let Some(whole) = &scores.whole {
        page.sample(name, &[], whole.points.as_f64());
    }
    let name = "sitepulse_impact_model_info";
    page.family(name, "gauge", "The scoring model that the scores were found by.");
    page.sample(name, &[("model", &scores.model.label)], 1.0);
    page.0
}

/// The findings that are not over, by kind and severity: all of them, those acknowledged, those stale.
fn findings(standing: &[Arc<Standing>], now: UtcMicros) -> String {
    type Wanted = fn(&Life, UtcMicros) -> bool;
    let families: [(&str, &str, Wanted); 3] = [
        ("sitepulse_findings_open", "Findings that are open.", |life, _| life.state == Stands::Open),
        ("sitepulse_findings_acknowledged", "Findings that somebody knows of.", |life, _| {
            life.state == Stands::Acknowledged
        }),
        ("sitepulse_findings_stale", "Findings that are open and that nobody touched for 5 days.", |life, now| {
            life.stale(now)
        }),
    ];
    let mut page = Page(String::new());
    for (name, help, wanted) in families {
        page.family(name, "gauge", help);
        for kind in Kind::ALL {
            for severity in Severities::ALL {
                let is_so = |one: &&Arc<Standing>| {
                    one.found.kind == kind && one.life.severity == severity && wanted(&one.life, now)
                };
                let labels = [("kind", kind.as_str()), ("severity", severity.as_str())];
                page.sample(name, &labels, standing.iter().filter(is_so).count() as f64);
            }
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.0.push_str(if index == 0 { "{" } else { "," });
            write!(self.0, "{label}=\"{}\"", escape(value)).expect("writing to a string cannot fail");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        writeln!(self.0, " {value}").expect("writing to a string cannot fail");
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The families of the snapshot and of objectives.
fn exposition(snapshot: &Snapshot, slos: &[SloView], chosen: &Chosen) -> String {
    let mut page = Page(String::new());
    if chosen.has(Area::Checks) {
        checks(&mut page, snapshot);
        now::checks(&mut page, snapshot);
    }
    if chosen.has(Area::Probes) {
        now::probes(&mut page, snapshot);
        states(&mut page, snapshot);
    }
    if chosen.has(Area::Phases) {
        phases(&mut page, snapshot);
    }
    if chosen.has(Area::Vitals) {
        vitals(&mut page, snapshot);
    }
    if chosen.has(Area::Slos) {
        promises(&mut page, slos);
    }
    if chosen.has(Area::Agents) {
        agents(&mut page, snapshot);
        now::spools(&mut page, snapshot);
        now::hosts(&mut page, snapshot);
    }
    page.0
}

/// The families of the collector itself.
fn collector(counters: &Metrics, ready: bool) -> String {
    let mut page = Page(String::new());
    page.family("sitepulse_build_info", "gauge", "The collector's build.");
    page.sample("sitepulse_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    ingest(&mut page, counters, ready);
    page.0
}

fn checks(page: &mut Page, snapshot: &Snapshot) {
    page.family("sitepulse_check_verdict", "gauge", "1 for the verdict of a check now, 0 for the others.");
    for check in &snapshot.checks {
        for verdict in VERDICTS {
            let on = f64::from(u8::from(check.verdict == verdict));
            page.sample("sitepulse_check_verdict", &[("check", &check.id), ("verdict", verdict)], on);
        }
    }
    let figures: [Family<SlaView>; 7] = [
        ("sitepulse_check_availability_ratio", "Availability over the last 24 h; absent without evidence.", |sla| {
            sla.availability
        }),
        ("sitepulse_check_weighted_availability_ratio", "Weighted availability over the last 24 h.", |sla| {
            sla.weighted_availability
        }),
        ("sitepulse_check_completeness_ratio", "Share of the last 24 h for which evidence exists.", |sla| {
            sla.completeness
        }),
        (
            "sitepulse_check_availability_lower_ratio",
            "Availability over the last 24 h if all unknown time was down.",
            |sla| sla.lower,
        ),
        (
            "sitepulse_check_availability_upper_ratio",
            "Availability over the last 24 h if all unknown time was up.",
            |sla| sla.upper,
        ),
        (
            "sitepulse_check_weighted_availability_lower_ratio",
            "Weighted availability over the last 24 h if all unknown time was down.",
            |sla| sla.weighted_lower,
        ),
        (
            "sitepulse_check_weighted_availability_upper_ratio",
            "Weighted availability over the last 24 h if all unknown time was up.",
            |sla| sla.weighted_upper,
        ),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for check in &snapshot.checks {
            if let Some(value) = figure(&check.sla) {
                page.sample(name, &[("check", &check.id)], value);
            }
        }
    }
}

fn states(page: &mut Page, snapshot: &Snapshot) {
    page.family("sitepulse_probe_state", "gauge", "1 for what an agent sees of a check now, 0 for the other states.");
    for check in &snapshot.checks {
        for pair in &check.agents {
            for state in STATES {
                let on = f64::from(u8::from(pair.state == state));
                let labels =
                    [("check", check.id.as_str()), ("agent", &pair.agent), ("region", &pair.region), ("state", state)];
                page.sample("sitepulse_probe_state", &labels, on);
            }
        }
    }
}

fn phases(page: &mut Page, snapshot: &Snapshot) {
    page.family("sitepulse_probe_phase_seconds", "gauge", "How long each phase of the newest run took.");
    for check in &snapshot.checks {
        for pair in &check.agents {
            let phases = &pair.phases_seconds;
            for (phase, value) in [
                ("dns", phases.dns),
                ("connect", phases.connect),
                ("tls", phases.tls),
                ("send", phases.send),
                ("first_byte", phases.first_byte),
                ("transfer", phases.transfer),
                ("total", phases.total),
            ] {
                if let Some(value) = value {
                    let labels = [
                        ("check", check.id.as_str()),
                        ("agent", &pair.agent),
                        ("region", &pair.region),
                        ("phase", phase),
                    ];
                    page.sample("sitepulse_probe_phase_seconds", &labels, value);
                }
            }
        }
    }
}

/// What the newest run of each page found, where it is graded. The profile is the definition's, so labels are as many as checks say.
fn vitals(page: &mut Page, snapshot: &Snapshot) {
    let pairs = || snapshot.checks.iter().flat_map(|check| check.agents.iter().map(move |pair| (check, pair)));
    for (name, help, duration) in [
        (
            "sitepulse_vitals_seconds",
            "Lab vitals of the newest run, where it is graded: the median of its loads.",
            true,
        ),
        (
            "sitepulse_vitals_layout_shift_score",
            "Lab CLS of the newest run, where it is graded: the median of its loads.",
            false,
        ),
    ] {
        page.family(name, "gauge", help);
        for (check, pair) in pairs() {
            let Some(run) = pair.vitals.as_deref().filter(|run| run.graded) else { continue };
            for vital in Vital::ALL.into_iter().filter(|vital| vital.is_duration() == duration) {
                let Some(spread) = run.vitals.get(vital) else { continue };
                let mut labels = vec![
                    ("check", check.id.as_str()),
                    ("agent", &pair.agent),
                    ("region", &pair.region),
                    ("profile", &run.profile),
                ];
                if duration {
                    labels.push(("vital", vital.as_str()));
                }
                page.sample(name, &labels, if duration { spread.median / 1e3 } else { spread.median });
            }
        }
    }
    let (name, help) = (
        "sitepulse_vitals_low_confidence",
        "Whether too few loads of the newest run count because the host was under pressure.",
    );
    page.family(name, "gauge", help);
    for (check, pair) in pairs() {
        if let Some(run) = pair.vitals.as_deref() {
            let labels = [("check", check.id.as_str()), ("agent", &pair.agent), ("region", &pair.region)];
            page.sample(name, &labels, f64::from(u8::from(run.low_confidence)));
        }
    }
}

fn promises(page: &mut Page, slos: &[SloView]) {
    page.family("sitepulse_slo_state", "gauge", "1 for what an error budget calls for now, 0 for the others.");
    for slo in slos {
        for state in SloState::ALL {
            let on = f64::from(u8::from(slo.state == state.as_str()));
            page.sample("sitepulse_slo_state", &[("slo", &slo.id), ("state", state.as_str())], on);
        }
    }
    let figures: [Family<OutcomeView>; 9] = [
        ("sitepulse_slo_objective_ratio", "The availability that was promised.", |one| Some(one.objective_ratio)),
        ("sitepulse_slo_availability_ratio", "Availability over the period so far; absent without evidence.", |one| {
            one.availability
        }),
        ("sitepulse_slo_completeness_ratio", "Share of the period so far for which evidence exists.", |one| {
            one.completeness
        }),
        (
            "sitepulse_slo_availability_lower_ratio",
            "Availability of the period so far if all unknown time was down.",
            |one| one.lower,
        ),
        (
            "sitepulse_slo_availability_upper_ratio",
            "Availability of the period so far if all unknown time was up.",
            |one| one.upper,
        ),
        (
            "sitepulse_slo_error_budget_left_ratio",
            "Share of the error budget that is left; below 0 overdrawn.",
            |one| one.budget.left_ratio,
        ),
        ("sitepulse_slo_error_budget_left_lower_ratio", "The same if all unknown time was down.", |one| {
            one.budget.left_ratio_lower
        }),
        ("sitepulse_slo_error_budget_left_upper_ratio", "The same if all unknown time was up.", |one| {
            one.budget.left_ratio_upper
        }),
        ("sitepulse_slo_error_budget_left_seconds", "What is left of the error budget; below 0 overdrawn.", |one| {
            one.budget.left_seconds
        }),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for slo in slos {
            if let Some(value) = slo.outcome.as_ref().and_then(figure) {
                page.sample(name, &[("slo", &slo.id)], value);
            }
        }
    }
    let name = "sitepulse_slo_burn_rate";
    page.family(
        name,
        "gauge",
        "Times faster than evenly the error budget burns over a window; absent without evidence.",
    );
    for slo in slos {
        let pairs = slo.outcome.iter().flat_map(|one| &one.burns);
        // The short window of 3 d is the long one of 6 h: it is told once.
        let mut told = BTreeSet::new();
        for burn in pairs.flat_map(|pair| [&pair.long, &pair.short]) {
            if let Some(rate) = burn.rate.filter(|_| told.insert(burn.window.as_str())) {
                page.sample(name, &[("slo", &slo.id), ("window", &burn.window)], rate);
            }
        }
    }
}

fn agents(page: &mut Page, snapshot: &Snapshot) {
    let living = || snapshot.agents.iter().filter(|agent| agent.revoked.is_none());
    let figures: [Family<AgentView>; 5] = [
        ("sitepulse_agent_connected", "Whether an agent holds a connection.", |agent| {
            Some(f64::from(u8::from(agent.connected)))
        }),
        ("sitepulse_agent_suspended", "Whether a whole agent is suspended.", |agent| {
            Some(f64::from(u8::from(agent.suspended.is_some())))
        }),
        ("sitepulse_agent_weight", "The weight of an agent's votes.", |agent| Some(agent.weight)),
        ("sitepulse_agent_spool_records", "Records waiting in an agent's spool.", |agent| {
            agent.spool_records.map(|n| n as f64)
        }),
        ("sitepulse_agent_clock_offset_seconds", "Collector's clock minus the agent's.", |agent| {
            agent.clock_offset_seconds
        }),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for agent in living() {
            if let Some(value) = figure(agent) {
                page.sample(name, &[("agent", &agent.name), ("region", &agent.region)], value);
            }
        }
    }
    page.family("sitepulse_agent_last_seen_age_seconds", "gauge", "Time since an agent was last heard.");
    for agent in living() {
        if let Some(at) = agent.last_seen.as_deref().and_then(|at| instant::parse(at, snapshot.now).ok()) {
            let age = snapshot.now.us_since(at) as f64 / 1e6;
            page.sample(
                "sitepulse_agent_last_seen_age_seconds",
                &[("agent", &agent.name), ("region", &agent.region)],
                age,
            );
        }
    }
}

/// Incidents that are not over. A line for each that may be, so that an alert on one need not know whether there ever was any.
fn incidents(counts: &[(String, String, String, u64)]) -> String {
    let name = "sitepulse_incidents";
    let mut page = Page(String::new());
    page.family(name, "gauge", "Incidents that are not over, by kind, severity and state.");
    for kind in IncidentKind::ALL.iter().map(|kind| kind.as_str()) {
        for severity in Severity::ALL.iter().map(|severity| severity.as_str()) {
            for state in [IncidentState::Suspected, IncidentState::Open, IncidentState::Acknowledged] {
                let state = state.as_str();
                let here = |(of, is, how, _): &&(String, String, String, u64)| {
                    (&**of, &**is, &**how) == (kind, state, severity)
                };
                let count = counts.iter().find(here).map_or(0, |(_, _, _, count)| *count);
                page.sample(name, &[("kind", kind), ("severity", severity), ("state", state)], count as f64);
            }
        }
    }
    page.0
}

/// How long ago the watchdog's last ping went through; nothing where none did since the start of the process.
fn watchdog(pinged: Option<Monotonic>) -> String {
    let name = "sitepulse_watchdog_ping_age_seconds";
    let mut page = Page(String::new());
    if let Some(at) = pinged {
        page.family(
            name,
            "gauge",
            "Time since a ping of the watchdog went through; none since the start: no such line.",
        );
        page.sample(name, &[], clock::monotonic().us_since(at) as f64 / 1e6);
    }
    page.0
}

/// Messages about incidents, by channel.
fn outbox(channels: &[ChannelFigures], now: UtcMicros) -> String {
    let mut page = Page(String::new());
    let figures: [ChannelFamily; 6] = [
        ("sitepulse_outbox_waiting", "gauge", "Messages of a channel that are not delivered yet.", |one, _| {
            one.waiting.map_or(0.0, |waiting| waiting.messages as f64)
        }),
        (
            "sitepulse_outbox_oldest_age_seconds",
            "gauge",
            "Age of the oldest message of a channel that is not delivered yet; 0 when none waits.",
            |one, now| one.waiting.map_or(0.0, |waiting| now.us_since(waiting.oldest).max(0) as f64 / 1e6),
        ),
        ("sitepulse_outbox_delivered_total", "counter", "Messages that a channel's provider took.", |one, _| {
            one.counts.delivered as f64
        }),
        ("sitepulse_outbox_retried_total", "counter", "Attempts that failed and are made again.", |one, _| {
            one.counts.retried as f64
        }),
        (
            "sitepulse_outbox_denied_total",
            "counter",
            "Attempts that a provider turned away (401, 403, 404, a redirect, ...), made again: the channel may be written wrongly.",
            |one, _| one.counts.denied as f64,
        ),
        (
            "sitepulse_outbox_dead_total",
            "counter",
            "Messages that were given up: refused, or tried for a day. Somebody was not told.",
            |one, _| one.counts.dead as f64,
        ),
    ];
    for (name, kind, help, figure) in figures {
        page.family(name, kind, help);
        for one in channels {
            page.sample(name, &[("channel", &one.channel)], figure(one, now));
        }
    }
    page.0
}

fn ingest(page: &mut Page, counters: &Metrics, ready: bool) {
    for (name, help, value) in [
        ("sitepulse_ingest_batches_total", "Batches taken in.", counters.batches),
        ("sitepulse_ingest_records_total", "Records stored.", counters.stored),
        ("sitepulse_ingest_duplicates_total", "Records that had been stored before.", counters.duplicates),
        ("sitepulse_ingest_set_aside_total", "Records set aside as senseless.", counters.set_aside),
        ("sitepulse_ingest_commits_total", "Transactions that stored batches.", counters.commits),
        ("sitepulse_store_write_failures_total", "Writes that failed.", counters.write_failures),
        ("sitepulse_results_sealed_total", "Records moved into chunks and series.", counters.sealed),
        (
            "sitepulse_listener_connections_total",
            "Connections taken, of agents and of strangers.",
            counters.connections,
        ),
        ("sitepulse_listener_refusals_total", "Refusals sent.", counters.refusals),
    ] {
        page.family(name, "counter", help);
        page.sample(name, &[], value as f64);
    }
    page.family("sitepulse_ingest_batches_waiting", "gauge", "Batches that wait for the writer.");
    page.sample("sitepulse_ingest_batches_waiting", &[], counters.batches_waiting as f64);
    let name = "sitepulse_store_pause_seconds_max";
    page.family(
        name,
        "gauge",
        "The longest transaction of sealing, merging or letting go: how long batches waited for it.",
    );
    page.sample(name, &[], counters.pause_us_max as f64 / 1e6);
    if let Some(intact) = counters.intact {
        page.family(
            "sitepulse_store_intact",
            "gauge",
            "Whether a look through the database since the start found it whole.",
        );
        page.sample("sitepulse_store_intact", &[], f64::from(u8::from(intact)));
    }
    page.family("sitepulse_ready", "gauge", "Whether the store takes writes.");
    page.sample("sitepulse_ready", &[], f64::from(u8::from(ready)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out() {
        let mut page = Page(String::new());
        page.sample("m", &[("a", "x\"} 1\ny\\"), ("b", "c")], 2.0);
        assert_eq!(page.0, "m{a=\"x\\\"} 1\\ny\\\\\",b=\"c\"} 2\n");
    }
}
