//! From the book to the shapes that the API, the console and the metrics show.

pub mod amendments;
pub mod course;
pub mod keep;
pub mod list;
pub mod runs;
pub mod slo;
pub mod vitals;

use std::collections::BTreeMap;
use std::sync::Arc;

use sitepulse_daemon::instant;
use sitepulse_model::check::CheckDefinition;
use sitepulse_model::control::{Change, ControlEvent, Scope, Suspension, Weight};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::record::{FactKey, Facts, MissedCause, Phases, ProbeResult};
use sitepulse_model::sla::{Account, Figures, Together};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;

use crate::app::{FieldDiff, Plan, PlanStep};
use crate::book::{
    Agent, AgentNow, Book, Check, CheckRevision, ConservationRow, Filter, Gathered, Presence, last_seen,
};
use crate::facts;
use crate::heartbeat::StoredPing;
use crate::heartbeat::observe::HeartbeatNow;
use crate::present::dto::amendments::AmendedView;
use crate::present::dto::host::HostView;
use crate::present::dto::{
    AgentRunView, AgentView, CheckView, ConservationView, EventView, FactsView, FieldView, HeartbeatView, MissedView,
    PairConservationView, PairView, PhasesUsView, PhasesView, PingView, PlanItemView, PlanObjectView, PlanView,
    ResultView, RunView, SecondsView, SecretView, SlaView, SuspensionView, UnknownView,
};
use crate::run_now::{AgentRun, Outcome};
use crate::vitals::profile_of;

/// A clock offset above this is flagged: 2 s.
const CLOCK_OFFSET_FLAGGED_US: u64 = 2_000_000;

/// All checks and agents at one instant. Questions about them are in [`list`].
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When.
    pub now: UtcMicros,
    /// Living checks by id.
    pub checks: Vec<Arc<CheckView>>,
    /// The verdicts behind each check's figures, in the order of `checks`.
    pub strips: Vec<Strip>,
    /// Agents by name, revoked ones last; without the account of where their runs went.
    pub agents: Vec<AgentView>,
    /// Where each agent's runs went.
    pub runs: runs::Sums,
    /// All checks together, weighted, over the last 24 h.
    pub global: Together,
    /// Each group over the last 24 h, by name.
    pub groups: Vec<(String, Together)>,
    /// What is worked out of it once for all who ask.
    pub shelf: list::Shelf,
    /// What it cost.
    pub effort: keep::Effort,
}

/// The verdicts of a period.
#[derive(Debug, Clone)]
pub struct Strip {
    /// The period: the last 24 h, clipped to the check's life.
    pub period: Span,
    /// What is known of it.
    pub spans: Vec<VerdictSpan>,
}

/// The suspension of exactly this scope at an instant.
fn suspension(book: &Book, scope: Scope, now: UtcMicros) -> Option<SuspensionView> {
    book.control().scope_suspended_at(scope, now).map(suspension_view)
}

fn suspension_view(one: &Suspension) -> SuspensionView {
    SuspensionView { until: open_end(one.span.to), reason: one.reason.clone(), author: one.author.clone() }
}

impl Snapshot {
    /// Takes it from scratch, which costs a pass over the last 24 h of every check: what [`keep::Keeper::snapshot`] is measured by.
    pub fn take(book: &Book, now: UtcMicros) -> Self {
        let mut living: Vec<(&Check, &CheckRevision)> =
            book.checks().filter_map(|check| check.current().map(|current| (check, current))).collect();
        living.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        let mut checks = Vec::with_capacity(living.len());
        let mut strips = Vec::with_capacity(living.len());
        let mut gathered = Gathered::default();
        for (check, current) in living {
            let period = book.period(check, None, None, now);
            let spans = book.verdicts(check.number, &Filter::All, period).unwrap_or_default();
            let account = Account::of(&spans);
            gathered.add(current, Figures::from(&account));
            checks.push(Arc::new(check_view(book, check, current, (period, &spans), &account, now)));
            strips.push(Strip { period, spans });
        }
        for check in book.checks().filter(|check| check.retired()) {
            let period = book.period(check, None, None, now);
            let counting = check.counting(period);
            if let Some((counting, account)) = counting.zip(book.account(check.number, &Filter::All, period)) {
                gathered.add(counting, Figures::from(&account));
            }
        }
        let (agents, runs) = (agents(book, now), runs::scratch(book, now));
        let groups = gathered.groups().map(|(group, together)| (group.to_string(), together)).collect();
        Self { now, checks, strips, agents, runs, global: gathered.whole(), groups, ..Self::default() }
    }
}

/// All agents without the account of where their runs went.
pub fn agents(book: &Book, now: UtcMicros) -> Vec<AgentView> {
    Counted::default().agents(book, now)
}

/// Where runs went, gathered check by check: for each agent, and for each of its checks where that is wanted, which takes a row for each.
#[derive(Debug, Default)]
pub struct Counted {
    sums: runs::Sums,
    checks: Option<BTreeMap<AgentNo, Vec<(CheckNo, ConservationView)>>>,
}

impl Counted {
    /// One that has the checks too.
    pub fn with_checks() -> Self {
        Self { checks: Some(BTreeMap::new()), ..Self::default() }
    }

    /// What was summed up already.
    pub fn of(sums: runs::Sums) -> Self {
        Self { sums, checks: None }
    }

    /// Adds the account of a check.
    pub fn add(&mut self, rows: impl IntoIterator<Item = ConservationRow>) {
        for row in rows {
            let counts = conservation_view(&row);
            combine(self.sums.entry(row.agent).or_default(), &counts, u64::wrapping_add);
            if let Some(checks) = &mut self.checks {
                checks.entry(row.agent).or_default().push((row.check, counts));
            }
        }
    }

    /// All agents with what was gathered: by name, revoked ones last.
    pub fn agents(mut self, book: &Book, now: UtcMicros) -> Vec<AgentView> {
        let mut agents: Vec<&Agent> = book.agents().collect();
        agents.sort_by(|a, b| (a.revoked_at.is_some(), &a.name).cmp(&(b.revoked_at.is_some(), &b.name)));
        agents.into_iter().map(|agent| self.agent(book, agent, now)).collect()
    }

    /// An agent with what was gathered of it.
    pub fn agent(&mut self, book: &Book, agent: &Agent, now: UtcMicros) -> AgentView {
        let sum = self.sums.remove(&agent.number).unwrap_or_default();
        let checks = self.checks.as_mut().and_then(|checks| checks.remove(&agent.number)).unwrap_or_default();
        let named = |(check, counts)| Some(PairConservationView { check: book.check(check)?.id.to_string(), counts });
        let mut checks: Vec<PairConservationView> = checks.into_iter().filter_map(named).collect();
        checks.sort_by(|a, b| a.check.cmp(&b.check));
        AgentView { conservation: sum, checks, ..agent_view(book, agent, now) }
    }
}

/// The view of a check, but for its verdict, its figures and what its agents see.
fn check_base(book: &Book, check: &Check, current: &CheckRevision, now: UtcMicros) -> CheckView {
    let definition = &current.definition;
    CheckView {
        id: check.id.to_string(),
        kind: definition.kind.as_str().to_string(),
        target: definition.kind.describe(),
        url: definition.kind.describe(),
        ping_url: None,
        interval_seconds: seconds_u(definition.interval_us),
        timeout_seconds: seconds_u(definition.timeout_us),
        weight: definition.weight.as_f64(),
        regions: definition.regions.as_ref().map(|regions| regions.iter().map(ToString::to_string).collect()),
        quorum: definition.quorum.to_string(),
        confirmations: definition.confirmations,
        recoveries: definition.recoveries,
        group: current.labels.group.as_ref().map(ToString::to_string),
        tags: current.labels.tags.iter().map(ToString::to_string).collect(),
        expect: definition.expect.iter().map(ToString::to_string).collect(),
        revision: current.revision.0,
        verdict: String::new(),
        since: None,
        unknown_cause: None,
        share_down: None,
        quorum_reduced: false,
        suspended: suspension(book, Scope::Check(check.number), now),
        agents: Vec::new(),
        screenshots: vitals::screenshots(book, check),
        sla: sla_of("", [String::new(), String::new()], &Account::default(), None),
    }
}

/// Shows the verdict of now; `spans` are those of the figures' period.
fn show_verdict(view: &mut CheckView, spans: &[VerdictSpan], verdict: Option<&VerdictSpan>) {
    view.verdict = verdict.map_or("unknown", |span| span.verdict.as_str()).to_string();
    view.since = verdict.map(|span| instant::format(began(spans, span)));
    view.unknown_cause = verdict.and_then(|span| span.unknown_cause).map(|cause| cause.as_str().to_string());
    view.share_down = verdict.and_then(|span| {
        let (down, total) = span.share_down;
        (total > 0).then(|| down as f64 / total as f64)
    });
    view.quorum_reduced = verdict.is_some_and(|span| span.quorum_reduced);
}

fn check_view(
    book: &Book,
    check: &Check,
    current: &CheckRevision,
    (period, spans): (Span, &[VerdictSpan]),
    account: &Account,
    now: UtcMicros,
) -> CheckView {
    let answer = book.verdict_now(check.number, now);
    let mut agents: Vec<Arc<PairView>> = answer
        .iter()
        .flat_map(|answer| &answer.agents)
        .filter_map(|seen| pair_view(book, check.number, seen, now).map(Arc::new))
        .collect();
    agents.sort_by(|a, b| (&a.region, &a.agent).cmp(&(&b.region, &b.agent)));
    let mut view = CheckView { agents, sla: sla_view(check, period, account), ..check_base(book, check, current, now) };
    show_verdict(&mut view, spans, answer.as_ref().map(|answer| &answer.verdict));
    view
}

/// When the verdict of now began: spans also change where only the votes behind the verdict did.
fn began(spans: &[VerdictSpan], now: &VerdictSpan) -> UtcMicros {
    let same = spans.iter().rev().take_while(|span| span.verdict == now.verdict);
    same.last().map_or(now.span.from, |first| first.span.from.min(now.span.from))
}

/// The mean round trip of echoes, in microseconds: such a run waits between them, so its whole length tells nothing.
fn round_trip(result: &ProbeResult) -> Option<u64> {
    result.facts.number_of(FactKey::RttAvg).and_then(|us| u64::try_from(us).ok())
}

fn pair_view(book: &Book, check: CheckNo, seen: &AgentNow, now: UtcMicros) -> Option<PairView> {
    let agent = book.agent(seen.agent)?;
    let known = book.check(check)?;
    let last = known.pairs.get(&seen.agent).and_then(|pair| pair.last.as_deref());
    let definition = last.and_then(|last| known.revision(last.revision)).map(|revision| &revision.definition);
    let page = last.zip(definition);
    let phases = last.map(|last| last.phases).unwrap_or_default();
    Some(PairView {
        agent: agent.name.to_string(),
        region: agent.region.to_string(),
        state: seen.state.map_or("unknown", |state| state.as_str()).to_string(),
        unknown_cause: seen.unknown_cause.map(|cause| cause.as_str().to_string()),
        last_scheduled: last.map(|last| instant::format(last.scheduled)),
        cause: last.and_then(|last| last.cause).map(|cause| cause.to_string()),
        failed_phase: last.and_then(|last| last.failed_phase).map(|phase| phase.to_string()),
        detail: last.map(|last| last.detail.clone()).unwrap_or_default(),
        latency_seconds: match page {
            Some((last, definition)) if profile_of(definition).is_some() => vitals::latency_us(last),
            Some(_) | None => last.and_then(round_trip).or(phases.total),
        }
        .map(seconds_u),
        phases_seconds: phases_view(&phases),
        status: last.and_then(|last| last.facts.status),
        address: last.and_then(ProbeResult::address_text),
        phases_us: phases_us_view(&phases),
        facts: last.map(|last| facts_view(&last.facts)).unwrap_or_default(),
        vitals: page.and_then(|(last, definition)| vitals::run_vitals(definition, last)),
        screenshot: last.and_then(|last| vitals::screenshot_of(known, seen.agent, agent.name.as_str(), last)),
        weight: seen.weight.as_f64(),
        suspended: book.control().suspended_at(seen.agent, check, now).map(suspension_view),
    })
}

fn phases_view(phases: &Phases) -> PhasesView {
    PhasesView {
        dns: phases.dns.map(seconds_u),
        connect: phases.connect.map(seconds_u),
        tls: phases.tls.map(seconds_u),
        send: phases.send.map(seconds_u),
        first_byte: phases.first_byte.map(seconds_u),
        transfer: phases.transfer.map(seconds_u),
        total: phases.total.map(seconds_u),
    }
}

fn phases_us_view(phases: &Phases) -> PhasesUsView {
    let Phases { dns, connect, tls, send, first_byte, transfer, total } = *phases;
    PhasesUsView { dns, connect, tls, send, first_byte, transfer, total }
}

/// What the protocol told, by name, but for documents; a fact that may come several times is a list.
pub fn facts_view(facts: &Facts) -> FactsView {
    facts::by_name(facts)
}

/// What a run found, as JSON.
pub fn result_view(definition: &CheckDefinition, result: &ProbeResult) -> ResultView {
    ResultView {
        state: result.state.to_string(),
        cause: result.cause.map(|cause| cause.to_string()),
        phase: result.failed_phase.map(|phase| phase.to_string()),
        explanation: result.detail.clone(),
        address: result.address_text(),
        phases_us: phases_us_view(&result.phases),
        facts: facts_view(&result.facts),
        vitals: vitals::run_vitals(definition, result),
        screenshot: result.facts.texts_of(FactKey::Screenshot).next().is_some(),
    }
}

/// A run-now of a check that is defined so, as JSON.
pub fn run_view(definition: &CheckDefinition, runs: &[AgentRun]) -> RunView {
    let runs = runs.iter().map(|run| {
        let (outcome, reason, result) = match &run.outcome {
            Outcome::Ran(result) => ("ran", None, Some(result_view(definition, result))),
            Outcome::Refused(reason) => ("refused", Some(reason.clone()), None),
            Outcome::NotConnected => ("not_connected", None, None),
            Outcome::TimedOut => ("timed_out", None, None),
        };
        let (agent, region) = (run.agent.to_string(), run.region.to_string());
        AgentRunView { agent, region, outcome: outcome.to_owned(), reason, result }
    });
    RunView { check: definition.id.to_string(), runs: runs.collect() }
}

/// Every secret, by name, without its value.
pub fn secrets(book: &Book) -> Vec<SecretView> {
    let mut users = book.users_of_secrets();
    let names = book.vault().names();
    names
        .map(|(name, set_at)| {
            let users = users.remove(name).unwrap_or_default();
            SecretView {
                name: name.to_owned(),
                set_at: instant::format(set_at),
                checks: users.checks.iter().map(ToString::to_string).collect(),
                channels: users.channels.into_iter().collect(),
                configuration: users.configuration.into_iter().collect(),
                opens: book.vault().opens(name),
            }
        })
        .collect()
}

/// A heartbeat check's door, as JSON; `console` is where a server runs.
pub fn heartbeat_view(check: &str, now: &HeartbeatNow, console: Option<&str>) -> HeartbeatView {
    let at = |at: Option<UtcMicros>| at.map(instant::format);
    let ping = |stored: &StoredPing| PingView {
        number: stored.number,
        at: instant::format(stored.ping.at),
        kind: stored.ping.kind.as_str().to_owned(),
        exit_status: stored.ping.exit_status,
        body: String::from_utf8_lossy(&stored.body).into_owned(),
    };
    HeartbeatView {
        check: check.to_owned(),
        url: console.map(|console| ping_url(console, &now.token)),
        path: ping_url("", &now.token),
        last_success: at(now.memory.last_success),
        last_failure: at(now.memory.last_failure),
        started: at(now.memory.started),
        pings: now.pings.iter().map(ping).collect(),
    }
}

/// What a job calls.
pub fn ping_url(console: &str, token: &str) -> String {
    format!("{}/ping/{token}", console.trim_end_matches('/'))
}

fn conservation_view(row: &ConservationRow) -> ConservationView {
    let missed = |cause| row.slots.missed_by(cause);
    ConservationView {
        scheduled: row.scheduled,
        stored: row.slots.results,
        missed: MissedView {
            agent_stopped: missed(MissedCause::AgentStopped),
            overloaded: missed(MissedCause::Overloaded),
            suspended: missed(MissedCause::Suspended),
            maintenance: missed(MissedCause::Maintenance),
            clock_step: missed(MissedCause::ClockStep),
            agent_offline: row.slots.missed_agent_offline,
        },
        dropped: row.dropped(),
        dropped_reported: row.counts.dropped,
        unaccounted: row.slots.unexplained(),
    }
}

/// Makes each number of a total what `by` makes of it and another.
fn combine(total: &mut ConservationView, one: &ConservationView, by: fn(u64, u64) -> u64) {
    for (total, one) in [
        (&mut total.scheduled, one.scheduled),
        (&mut total.stored, one.stored),
        (&mut total.missed.agent_stopped, one.missed.agent_stopped),
        (&mut total.missed.overloaded, one.missed.overloaded),
        (&mut total.missed.suspended, one.missed.suspended),
        (&mut total.missed.maintenance, one.missed.maintenance),
        (&mut total.missed.clock_step, one.missed.clock_step),
        (&mut total.missed.agent_offline, one.missed.agent_offline),
        (&mut total.dropped, one.dropped),
        (&mut total.dropped_reported, one.dropped_reported),
        (&mut total.unaccounted, one.unaccounted),
    ] {
        *total = by(*total, one);
    }
}

/// The view of an agent, but for where its runs went.
fn agent_view(book: &Book, agent: &Agent, now: UtcMicros) -> AgentView {
    let presence = agent.presence.read();
    let status = presence.status.as_ref();
    let offset_us = status.and_then(|status| status.clock_offset_us);
    AgentView {
        name: agent.name.to_string(),
        region: agent.region.to_string(),
        enrolled: instant::format(agent.enrolled_at),
        revoked: agent.revoked_at.map(instant::format),
        internal: agent.internal,
        connected: presence.connected,
        last_seen: last_seen(agent, now).map(instant::format),
        weight: agent_weight(book, agent.number, now).as_f64(),
        suspended: suspension(book, Scope::Agent(agent.number), now),
        spool_records: status.map(|status| status.spool_records),
        spool_bytes: status.map(|status| status.spool_bytes),
        spool_drain_seconds: drain_seconds(&presence),
        spool_oldest: status.and_then(|status| status.spool_oldest).map(instant::format),
        clock_offset_seconds: offset_us.map(seconds_i),
        clock_uncertainty_seconds: offset_us.and(status).map(|status| seconds_u(status.clock_uncertainty_us)),
        clock_flagged: offset_us.is_some_and(|us| us.unsigned_abs() > CLOCK_OFFSET_FLAGGED_US),
        host: status.and_then(|status| status.host).map(HostView::of),
        build: Some(agent.build.clone()).filter(|build| !build.is_empty()),
        certificate_expires: presence.certificate_expires.map(instant::format),
        conservation: ConservationView::default(),
        checks: Vec::new(),
    }
}

/// How long a spool needs to run empty at the pace of the last two messages.
fn drain_seconds(presence: &Presence) -> Option<f64> {
    let waiting = presence.status.as_ref().filter(|_| presence.connected)?.spool_records;
    let rate = presence.drain_per_second().filter(|rate| *rate > 0.0);
    if waiting == 0 { Some(0.0) } else { rate.map(|rate| waiting as f64 / rate) }
}

/// The weight of an agent's votes where no check says otherwise.
fn agent_weight(book: &Book, agent: AgentNo, now: UtcMicros) -> Weight {
    let weights = book.control().agent_weights(agent);
    weights.iter().rev().find(|(from, _)| *from <= now).map_or(Weight::ONE, |(_, weight)| *weight)
}

/// The figures of a check over a period.
pub fn sla_view(check: &Check, period: Span, account: &Account) -> SlaView {
    let ends = [instant::format(period.from), instant::format(period.to)];
    sla_of(check.id.as_str(), ends, account, amendments::amended_view(check, period))
}

fn sla_of(id: &str, [from, to]: [String; 2], account: &Account, amended: Option<AmendedView>) -> SlaView {
    SlaView {
        check: id.to_owned(),
        from,
        to,
        availability: account.availability(),
        weighted_availability: account.weighted_availability(),
        completeness: account.completeness(),
        lower: account.lower(),
        upper: account.upper(),
        weighted_lower: account.weighted_lower(),
        weighted_upper: account.weighted_upper(),
        seconds: seconds_view(account),
        amended,
        policy: None,
    }
}

/// Seconds of each verdict.
fn seconds_view(account: &Account) -> SecondsView {
    SecondsView {
        up: seconds_i(account.up_us),
        degraded: seconds_i(account.degraded_us),
        regional: seconds_i(account.regional_us),
        down: seconds_i(account.down_us),
        maintenance: seconds_i(account.maintenance_us),
        unknown: UnknownView {
            agent_stopped: seconds_i(account.unknown.agent_stopped_us),
            agent_offline: seconds_i(account.unknown.agent_offline_us),
            suspended: seconds_i(account.unknown.suspended_us),
            shed: seconds_i(account.unknown.shed_us),
            unassigned: seconds_i(account.unknown.unassigned_us),
        },
    }
}

/// A control event with names for numbers.
pub fn event_view(book: &Book, event: &ControlEvent) -> EventView {
    let (agent, check) = match event.scope {
        Scope::Agent(agent) => (Some(agent), None),
        Scope::AgentCheck(agent, check) => (Some(agent), Some(check)),
        Scope::Check(check) => (None, Some(check)),
    };
    let mut view = EventView {
        at: instant::format(event.at),
        author: event.id.author.clone(),
        number: event.id.number,
        side: event.id.author.split(':').next().unwrap_or_default().to_string(),
        agent: agent
            .map(|number| book.agent(number).map_or_else(|| format!("#{number}"), |agent| agent.name.to_string())),
        check: check
            .map(|number| book.check(number).map_or_else(|| format!("#{number}"), |check| check.id.to_string())),
        action: String::new(),
        until: None,
        reason: None,
        weight: None,
    };
    match &event.change {
        Change::Suspend { until, reason } => {
            view.action = "suspend".into();
            view.until = open_end(*until);
            view.reason = Some(reason.clone());
        }
        Change::Resume => view.action = "resume".into(),
        Change::Weight(value) => {
            view.action = "weight".into();
            view.weight = Some(value.as_f64());
        }
    }
    view
}

/// An agent's revocation as an event of the collector's; `None` for an agent that is not revoked.
pub fn revocation_view(agent: &Agent) -> Option<EventView> {
    Some(EventView {
        at: instant::format(agent.revoked_at?),
        author: "collector".into(),
        number: 0,
        side: "collector".into(),
        agent: Some(agent.name.to_string()),
        check: None,
        action: "revoke".into(),
        until: None,
        reason: None,
        weight: None,
    })
}

/// A plan as JSON.
pub fn plan_view(plan: &Plan) -> PlanView {
    let items = plan.items.iter().map(|item| {
        let (action, fields) = step_view(&item.step);
        PlanItemView { check: item.id.to_string(), action, fields }
    });
    let objects = plan.objects.iter().map(|item| {
        let (action, fields) = step_view(&item.step);
        PlanObjectView { kind: item.kind.table().to_owned(), id: item.id.clone(), action, fields }
    });
    let (items, objects) = (items.collect(), objects.collect());
    PlanView { dry_run: !plan.applied, items, objects, warnings: plan.warnings.clone() }
}

fn step_view(step: &PlanStep) -> (String, Vec<FieldView>) {
    let (action, fields) = match step {
        PlanStep::Create => ("create", &[][..]),
        PlanStep::Change { revision: _, fields } => ("change", &fields[..]),
        PlanStep::Unchanged => ("unchanged", &[][..]),
        PlanStep::Retire => ("retire", &[][..]),
    };
    let field =
        |diff: &FieldDiff| FieldView { field: diff.field.clone(), from: diff.old.clone(), to: diff.new.clone() };
    (action.to_owned(), fields.iter().map(field).collect())
}

fn open_end(until: UtcMicros) -> Option<String> {
    (until != UtcMicros::MAX).then(|| instant::format(until))
}

fn seconds_u(us: u64) -> f64 {
    us as f64 / 1e6
}

fn seconds_i(us: i64) -> f64 {
    us as f64 / 1e6
}
