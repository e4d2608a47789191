//! The aggregate in memory: everything that is shown or decided is read from here.
//!
//! The book is a function of the tables: rebuilt by one scan at the start, and from then on updated by the writer after each
//! commit, so it never shows what a crash could take back. Presence (connected, last seen, status) is the one part that is not
//! durable; it has a lock for each agent. The book stands behind a `std::sync::RwLock`; no guard is held across an `await`, nor while
//! the disk works, and no thread that has one asks for another ([`crate::engine::BookRead`]).

mod accounting;
mod agent;
mod amended;
mod backtest;
mod check;
mod groups;
mod in_time;
mod objects;
mod pair;
mod present;
mod sight;
mod touched;
mod until;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock};

use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::{ControlEvent, ControlLog, Scope};
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckId, CheckNo, Region, Revision};
use sitepulse_model::record::Record;
use sitepulse_model::series::Series;
use sitepulse_model::sla::Counted;
use sitepulse_model::time::UtcMicros;

use crate::oncall::duty::Duty;
use crate::secret::Vault;
use crate::store::rows::Arrival;
use crate::vitals::{ScreenshotKey, put_report};

pub use accounting::{AgentNow, ExplainedInterval, Filter, Known, PERIOD_DEFAULT_US, VerdictNow, period_asked};
pub use agent::{Agent, Presence, PresenceCell, is_heartbeat};
pub use amended::Amended;
pub(crate) use amended::{Stretch, Verdicts};
pub use backtest::{Altered, Backtest, Evidence};
pub use check::{Check, CheckRevision, Labels};
pub use groups::Gathered;
pub use objects::{Coded, Histories, Object, ObjectKind, Objects, Revised};
pub(crate) use pair::newest_rank;
pub use pair::{ConservationRow, LastResult, Ledger, Pair};
pub use sight::{Ends, Sight, Sights};
pub(crate) use sight::{soonest, voting};
pub(crate) use until::Mark;
pub use windows::{Covered, Occurrence};

/// Everything the collector knows, in memory.
#[derive(Debug, Default)]
pub struct Book {
    /// Current revisions that no agent can be sent.
    withheld: BTreeSet<(CheckNo, Revision)>,
    checks: BTreeMap<CheckNo, Check>,
    check_ids: BTreeMap<CheckId, CheckNo>,
    agents: BTreeMap<AgentNo, Agent>,
    agent_names: BTreeMap<AgentName, AgentNo>,
    /// Those that page by themselves when the collector stays away.
    pagers: BTreeSet<AgentNo>,
    control: ControlLog,
    objects: Objects,
    /// What the windows among them cover; found when it is first asked for after a change.
    windows: OnceLock<windows::WindowIndex>,
    /// Who is on call.
    duty: Duty,
    vault: Vault,
    quarantined: u64,
    version: u64,
    /// Counts what may have changed every check: see [`touched`].
    touched_all: u64,
    /// Where every run went, as far as it was counted: see [`Book::conservation`].
    counted: Mutex<BTreeMap<(CheckNo, AgentNo), Counted>>,
}

/// Who refers to a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretUsers {
    /// Living checks, by id.
    pub checks: BTreeSet<CheckId>,
    /// Channels, by id.
    pub channels: BTreeSet<String>,
    /// Keys of the service's configuration: `oidc.client_secret`.
    pub configuration: BTreeSet<String>,
}

impl Book {
    /// All checks by number, retired ones too.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.values()
    }

    /// The newest slot that a record speaks of.
    pub fn newest_slot(&self) -> Option<UtcMicros> {
        self.checks().flat_map(|check| check.pairs.values()).filter_map(|pair| pair.ledger.last).max()
    }

    /// A check by number.
    pub fn check(&self, number: CheckNo) -> Option<&Check> {
        self.checks.get(&number)
    }

    /// A check by id.
    pub fn check_by_id(&self, id: &CheckId) -> Option<&Check> {
        self.check_ids.get(id).and_then(|number| self.checks.get(number))
    }

    /// All agents by number, revoked ones too.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// An agent by number.
    pub fn agent(&self, number: AgentNo) -> Option<&Agent> {
        self.agents.get(&number)
    }

    /// An agent by name. The newest one when a revoked agent's name was taken again.
    pub fn agent_by_name(&self, name: &AgentName) -> Option<&Agent> {
        self.agent_names.get(name).and_then(|number| self.agents.get(number))
    }

    /// The agents that page by themselves when the collector stays away: see [`crate::receive`].
    pub fn pagers(&self) -> &BTreeSet<AgentNo> {
        &self.pagers
    }

    /// Every control event ever given, and the histories they fold into.
    pub fn control(&self) -> &ControlLog {
        &self.control
    }

    /// What is written as code beside checks.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// How many records were set aside because they make no sense; see the table `quarantine`.
    pub fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// What is known of one check from one agent.
    pub fn pair(&self, check: CheckNo, agent: AgentNo) -> Option<&Pair> {
        self.checks.get(&check)?.pairs.get(&agent)
    }

    /// What agents of `region` run now, with the assignment's revision: never 0, and greater after every change of the answer. Without
    /// checks that an older build took and this one finds invalid: agents refuse an assignment with one of them as a whole.
    pub fn assignment(&self, region: &Region) -> (u64, Vec<AssignedCheck>) {
        let revision = self.assignment_revision(region);
        let checks = self
            .checks
            .values()
            .filter_map(|check| {
                let current = check.current()?;
                let sent = agent::runs_in(&current.definition, region)
                    && !self.withheld.contains(&(check.number, current.revision));
                sent.then(|| AssignedCheck {
                    number: check.number,
                    revision: current.revision,
                    definition: current.definition.clone(),
                })
            })
            .collect();
        (revision, checks)
    }

    /// The revision that [`Self::assignment`] would give.
    pub fn assignment_revision(&self, region: &Region) -> u64 {
        let newest = self.checks.values().filter_map(|check| check.newest_ordinal_for(region)).max();
        1 + newest.unwrap_or(0)
    }

    /// The events that agent `agent` must know: those about itself, and those about checks everywhere.
    pub fn events_for(&self, agent: AgentNo) -> impl Iterator<Item = ControlEvent> {
        self.control.events_where(move |_, scope| concerns(scope, agent))
    }

    /// How many agents hold a connection now; the collector's own observer needs none.
    pub fn agents_connected(&self) -> usize {
        self.agents.values().filter(|agent| !agent.internal && agent.presence.is_connected()).count()
    }

    /// The collector's own observer; `None` before the first heartbeat check.
    pub fn observer(&self) -> Option<&Agent> {
        self.agents.values().find(|agent| agent.internal)
    }

    /// The sealed secrets.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The names of the secrets that the agents of a region need.
    pub fn secrets_in(&self, region: &Region) -> BTreeSet<String> {
        let current = self.checks.values().filter_map(Check::current);
        let theirs = current.filter(|current| agent::runs_in(&current.definition, region));
        theirs.flat_map(|current| current.definition.kind.secrets()).collect()
    }

    /// Every secret that living checks, channels and the configuration refer to, with those. Costs a pass over all checks.
    pub fn users_of_secrets(&self) -> BTreeMap<String, SecretUsers> {
        let mut users: BTreeMap<String, SecretUsers> = BTreeMap::new();
        for (check, now) in self.checks.values().filter_map(|check| Some((check, check.current()?))) {
            for name in now.definition.kind.secrets() {
                users.entry(name).or_default().checks.insert(check.id.clone());
            }
        }
        for (id, channel) in self.objects.channels.living() {
            for name in channel.body.secrets() {
                users.entry(name).or_default().channels.insert(id.to_owned());
            }
        }
        for (key, name) in self.vault.configured() {
            users.entry(name.to_owned()).or_default().configuration.insert(key.to_owned());
        }
        users
    }

    /// Finds the checks that an older build took and this one finds invalid.
    pub(crate) fn withhold_invalid(&mut self) {
        for (check, current) in self.checks.values().filter_map(|check| Some((check, check.current()?))) {
            if let Err(error) = current.definition.kind.validate() {
                tracing::error!("check {}: {error}: no agent runs it until it is changed and applied", check.id);
                self.withheld.insert((check.number, current.revision));
            }
        }
    }

    pub(crate) fn insert_agent(&mut self, agent: Agent) {
        self.changed();
        self.touch_all();
        self.agent_names.insert(agent.name.clone(), agent.number);
        self.agents.insert(agent.number, agent);
    }

    pub(crate) fn agent_mut(&mut self, number: AgentNo) -> Option<&mut Agent> {
        self.touch_all();
        self.agents.get_mut(&number)
    }

    pub(crate) fn set_pagers(&mut self, pagers: BTreeSet<AgentNo>) {
        self.changed();
        self.pagers = pagers;
    }

    pub(crate) fn insert_revision(&mut self, number: CheckNo, revision: CheckRevision) {
        self.changed();
        self.windows.take();
        let id = revision.definition.id.clone();
        self.check_ids.insert(id.clone(), number);
        self.checks.entry(number).or_insert_with(|| Check::new(number, id)).push(revision);
    }

    /// Adds the next version of an object as code. Agents need not hear of it, but for the channels that they page by.
    pub(crate) fn insert_object(&mut self, revised: Revised<Object>) {
        self.touch_for(revised.body.kind());
        self.windows.take();
        self.duty.insert_object(&revised);
        if revised.body.kind() == ObjectKind::Channel {
            self.changed();
        }
        self.objects.push(revised);
    }

    /// Who is on call.
    pub fn duty(&self) -> &Duty {
        &self.duty
    }

    pub(crate) fn duty_mut(&mut self) -> &mut Duty {
        &mut self.duty
    }

    /// The sealed secrets, for a change that sessions must hear of.
    pub(crate) fn vault_mut(&mut self) -> &mut Vault {
        self.changed();
        &mut self.vault
    }

    pub(crate) fn insert_event(&mut self, event: ControlEvent) -> bool {
        self.changed();
        self.touch_scope(event.scope);
        self.control.insert(event)
    }

    /// Grows with every change of checks, agents, who of them pages, control events and secrets: what sessions must hear of. Not with results.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn changed(&mut self) {
        self.version += 1;
    }

    pub(crate) fn count_quarantined(&mut self, count: u64) {
        self.quarantined += count;
    }

    /// Takes in one record that is durable, new, valid and not sealed; `arrival` is newer than all before. Records of checks the book does not know change nothing.
    pub(crate) fn insert_record(&mut self, agent: AgentNo, arrival: Arrival, record: Record) {
        if let Some(check) = self.checks.get_mut(&record.check()) {
            check.insert_record(agent, arrival, record);
        }
    }

    /// Takes in what is sealed of a pair, before any of its records that are not. Of a check the book does not know it changes nothing.
    pub(crate) fn insert_sealed(&mut self, check: CheckNo, agent: AgentNo, pair: Pair) {
        if let Some(check) = self.checks.get_mut(&check) {
            check.touched.pair(agent);
            check.pairs.insert(agent, pair);
        }
    }

    /// What is known of a check from an agent, and how long results of a revision hold, in microseconds.
    pub(crate) fn known(&self, (check, agent): (CheckNo, AgentNo), revision: Revision) -> (Option<&Series>, i64) {
        let Some(check) = self.check(check) else { return (None, 0) };
        (check.pairs.get(&agent).map(|pair| &pair.series), check.hold_us(revision))
    }

    /// How long results of a revision of a check hold, and those of its newest one, in microseconds.
    pub(crate) fn holds(&self, check: CheckNo, revision: Revision) -> (i64, i64) {
        self.check(check).map_or((0, 0), |check| (check.hold_us(revision), check.hold_us(check.newest().revision)))
    }

    /// Puts a stored report into the newest result of its agent, where it is that one's.
    pub(crate) fn insert_report(&mut self, check: CheckNo, agent: AgentNo, scheduled: UtcMicros, json: String) {
        let Some(check) = self.checks.get_mut(&check) else { return };
        check.touched.pair(agent);
        let pair = check.pairs.get_mut(&agent);
        if let Some(last) = pair.and_then(|pair| pair.last.as_deref_mut()).filter(|last| last.scheduled == scheduled) {
            put_report(&mut last.facts, json);
        }
    }

    /// Notes a screenshot that is durable.
    pub(crate) fn insert_screenshot(&mut self, check: CheckNo, key: ScreenshotKey) {
        if let Some(check) = self.checks.get_mut(&check) {
            check.insert_screenshot(key);
        }
    }
}

impl Book {
    /// Screenshots of runs before an instant are gone.
    pub(crate) fn forget_screenshots_before(&mut self, at: UtcMicros) {
        for check in self.checks.values_mut() {
            let before = check.screenshots.len();
            check.screenshots.retain(|key| key.scheduled >= at);
            if check.screenshots.len() < before {
                check.touched.own();
            }
        }
    }
}

impl Book {
    /// Forgets the latencies of a bucket that are sealed: the store's rollups tell of them.
    pub(crate) fn forget_latencies(&mut self, bucket: Bucket, upto: Arrival) {
        for check in self.checks.values_mut().filter(|check| check.bucket() == bucket) {
            check.latencies.retain(|_, open| {
                open.drop_sealed(upto);
                !open.is_empty()
            });
        }
    }
}

/// Whether an agent must know an event of this scope.
pub(crate) fn concerns(scope: Scope, agent: AgentNo) -> bool {
    match scope {
        Scope::Agent(of) | Scope::AgentCheck(of, _) => of == agent,
        Scope::Check(_) => true,
    }
}

/// When an agent was last heard of: now if it is connected.
pub fn last_seen(agent: &Agent, now: UtcMicros) -> Option<UtcMicros> {
    let presence = agent.presence.read();
    if presence.connected { Some(now) } else { presence.last_seen }
}
