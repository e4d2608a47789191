//! The JSON that the API gives and takes; `docs/api.md` describes it, the CLI reads it back.
//!
//! Instants are RFC 3339 in UTC, ratios 0 to 1, durations seconds as numbers; `null` where nothing was measured.

pub mod access;
pub mod amendments;
pub mod exchange;
pub mod findings;
pub mod host;
pub mod impact;
pub mod incidents;
pub mod indicators;
pub mod jobs;
pub mod kpi;
pub mod oncall;
pub mod playbooks;
pub mod policy;
pub mod slo;
pub mod status;
pub mod unknown;
pub mod vitals;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::present::dto::amendments::AmendedView;
use crate::present::dto::host::HostView;
use crate::present::dto::policy::CountedView;
use crate::present::dto::vitals::{RunVitalsView, ScreenshotView};

/// A check's figures over a period, as `sla --json` prints them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlaView {
    /// The check's id.
    pub check: String,
    /// First instant of the period.
    pub from: String,
    /// First instant after it.
    pub to: String,
    /// `1 - down / measured`.
    pub availability: Option<f64>,
    /// `1 - integral(share_down) / measured`.
    pub weighted_availability: Option<f64>,
    /// `measured / (period - maintenance)`.
    pub completeness: Option<f64>,
    /// Availability if every unknown second was down.
    pub lower: Option<f64>,
    /// Availability if every unknown second was up.
    pub upper: Option<f64>,
    /// Weighted availability if every unknown second was down.
    #[serde(default)]
    pub weighted_lower: Option<f64>,
    /// Weighted availability if every unknown second was up.
    #[serde(default)]
    pub weighted_upper: Option<f64>,
    /// Seconds of each verdict.
    pub seconds: SecondsView,
    /// Whether late data changed figures of the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amended: Option<AmendedView>,
    /// Where a policy was asked for: how it counted. The figures above are then its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<CountedView>,
}

/// Seconds of each verdict; they add up to the period clipped to the check's life.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SecondsView {
    /// Up.
    pub up: f64,
    /// Degraded.
    pub degraded: f64,
    /// Somebody is down, the quorum is not met.
    pub regional: f64,
    /// Down.
    pub down: f64,
    /// Covered by a window.
    pub maintenance: f64,
    /// No live voter, by cause.
    pub unknown: UnknownView,
}

/// Unknown seconds by cause.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct UnknownView {
    /// The agent was not running.
    pub agent_stopped: f64,
    /// Nothing was heard of the agent.
    pub agent_offline: f64,
    /// The agent or the check was suspended.
    pub suspended: f64,
    /// The agent had no capacity.
    pub shed: f64,
    /// No agent was assigned.
    pub unassigned: f64,
}

impl UnknownView {
    /// The seconds by the name of their cause.
    pub const fn by_cause(&self) -> [(&'static str, f64); 5] {
        let Self { agent_stopped, agent_offline, suspended, shed, unassigned } = *self;
        [
            ("agent_stopped", agent_stopped),
            ("agent_offline", agent_offline),
            ("suspended", suspended),
            ("shed", shed),
            ("unassigned", unassigned),
        ]
    }
}

/// A suspension in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SuspensionView {
    /// First instant of running again; `null` for no end.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub author: String,
}

/// How long each phase of a run took, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PhasesView {
    /// Name resolution.
    pub dns: Option<f64>,
    /// Connection.
    pub connect: Option<f64>,
    /// TLS handshake.
    pub tls: Option<f64>,
    /// Request written.
    pub send: Option<f64>,
    /// Waiting for the first byte.
    pub first_byte: Option<f64>,
    /// Receiving the rest.
    pub transfer: Option<f64>,
    /// The whole run.
    pub total: Option<f64>,
}

/// How long each phase that happened took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PhasesUsView {
    /// Name resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<u64>,
    /// Connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<u64>,
    /// TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<u64>,
    /// Request written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<u64>,
    /// Waiting for the first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<u64>,
    /// Receiving the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<u64>,
    /// The whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// What the protocol told, by the fact's name: numbers, texts, and lists of texts.
pub type FactsView = serde_json::Map<String, serde_json::Value>;

/// What one run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultView {
    /// `up`, `degraded`, `down` or `unknown`.
    pub state: String,
    /// Why it was not `up`.
    pub cause: Option<String>,
    /// The phase that failed.
    pub phase: Option<String>,
    /// One line for people.
    pub explanation: String,
    /// The address dialled.
    pub address: Option<String>,
    /// Its phases.
    pub phases_us: PhasesUsView,
    /// What the protocol told.
    pub facts: FactsView,
    /// Of a page: its vitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vitals: Option<Box<RunVitalsView>>,
    /// Whether the run brought a screenshot. That of a run-now is kept nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub screenshot: bool,
}

/// What became of a run-now on one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentRunView {
    /// The agent's name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// `ran`, `refused`, `not_connected` or `timed_out`.
    pub outcome: String,
    /// Of a refusal: why.
    pub reason: Option<String>,
    /// What the run found.
    pub result: Option<ResultView>,
}

/// A run-now: nothing of it is stored or counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunView {
    /// The check's id.
    pub check: String,
    /// Each agent that was asked.
    pub runs: Vec<AgentRunView>,
}

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretView {
    /// Its name: checks say `secret:NAME`.
    pub name: String,
    /// When it was set last.
    pub set_at: String,
    /// The living checks that refer to it.
    pub checks: Vec<String>,
    /// The channels that refer to it.
    pub channels: Vec<String>,
    /// The keys of the service's configuration that refer to it: `oidc.client_secret`.
    #[serde(default)]
    pub configuration: Vec<String>,
    /// Whether it opens with this machine's key.
    pub opens: bool,
}

/// A heartbeat check's door, and what came through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatView {
    /// The check's id.
    pub check: String,
    /// What the job calls; `null` while no server runs.
    pub url: Option<String>,
    /// The same without the console's address.
    pub path: String,
    /// The newest success.
    pub last_success: Option<String>,
    /// The newest failure.
    pub last_failure: Option<String>,
    /// The newest start, while nothing followed it.
    pub started: Option<String>,
    /// The newest pings, newest first.
    pub pings: Vec<PingView>,
}

/// A job's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PingView {
    /// Counts the check's pings.
    pub number: u64,
    /// When it came.
    pub at: String,
    /// `start`, `success`, `fail` or `log`.
    pub kind: String,
    /// The exit status it told.
    pub exit_status: Option<u8>,
    /// What it brought along, as text.
    pub body: String,
}

/// One check as one agent sees it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairView {
    /// The agent's name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// `up`, `degraded`, `down` or `unknown`, after the hold.
    pub state: String,
    /// Why it is unknown.
    pub unknown_cause: Option<String>,
    /// The slot of the newest result.
    pub last_scheduled: Option<String>,
    /// Why the newest result was not `up`.
    pub cause: Option<String>,
    /// The phase that failed.
    pub failed_phase: Option<String>,
    /// One line for people.
    pub detail: String,
    /// The whole run of the newest result, in seconds; of echoes the mean round trip, of a page its LCP.
    pub latency_seconds: Option<f64>,
    /// Its phases.
    pub phases_seconds: PhasesView,
    /// HTTP status code.
    pub status: Option<u16>,
    /// The address dialled.
    pub address: Option<String>,
    /// Its phases again, in microseconds.
    #[serde(default)]
    pub phases_us: PhasesUsView,
    /// What the protocol told.
    #[serde(default)]
    pub facts: FactsView,
    /// Of a page: the vitals of the newest result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vitals: Option<Box<RunVitalsView>>,
    /// Of a page: the path of the newest result's screenshot, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screenshot: Option<String>,
    /// The vote's weight now.
    pub weight: f64,
    /// The suspension in force for this pair.
    pub suspended: Option<SuspensionView>,
}

/// A check with its verdict now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// The id.
    pub id: String,
    /// `http`, `dns`, `heartbeat`, ...
    pub kind: String,
    /// What is probed, in one line: a URL, `host:port`, a name.
    #[serde(default)]
    pub target: String,
    /// The same as `target`.
    pub url: String,
    /// Of a heartbeat, for administrators: what the job calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_url: Option<String>,
    /// Time between runs.
    pub interval_seconds: f64,
    /// A run's deadline.
    pub timeout_seconds: f64,
    /// Importance.
    pub weight: f64,
    /// Where it runs; `null` is every region.
    pub regions: Option<Vec<String>>,
    /// When enough voters are down.
    pub quorum: String,
    /// Consecutive bad results before an agent votes so.
    pub confirmations: u32,
    /// Consecutive good results before it votes up again.
    pub recoveries: u32,
    /// Its group.
    #[serde(default)]
    pub group: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Assertions.
    pub expect: Vec<String>,
    /// The definition's revision.
    pub revision: u32,
    /// `up`, `degraded`, `regional`, `down`, `maintenance` or `unknown`.
    pub verdict: String,
    /// Since when, as far as the last 24 h tell.
    pub since: Option<String>,
    /// Why the verdict is unknown.
    pub unknown_cause: Option<String>,
    /// Share of live votes that are down.
    pub share_down: Option<f64>,
    /// Whether fewer voters live than the quorum asks for.
    pub quorum_reduced: bool,
    /// The suspension of the whole check.
    pub suspended: Option<SuspensionView>,
    /// What each assigned agent sees.
    pub agents: Vec<Arc<PairView>>,
    /// Of a page: the screenshots that are kept of its failures, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub screenshots: Vec<ScreenshotView>,
    /// The last 24 hours.
    pub sla: SlaView,
}

impl PairView {
    /// The region, with the agent's name where `all` of the check have several in it.
    pub fn place(&self, all: &[Arc<Self>]) -> String {
        if all.iter().filter(|other| other.region == self.region).count() > 1 {
            format!("{}/{}", self.region, self.agent)
        } else {
            self.region.clone()
        }
    }
}

/// Where the scheduled runs went: `scheduled = stored + missed + dropped + unaccounted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ConservationView {
    /// Runs due up to the last record; of a check that the agent was never heard of about, up to now.
    pub scheduled: u64,
    /// Results stored.
    pub stored: u64,
    /// Runs that did not happen.
    pub missed: MissedView,
    /// Runs without a record that a spool had to drop.
    pub dropped: u64,
    /// Runs that tombstones tell of: of a damaged spool an upper bound, so perhaps more than `dropped`.
    #[serde(default)]
    pub dropped_reported: u64,
    /// Runs nothing is known of (yet).
    pub unaccounted: u64,
}

/// Missed runs by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MissedView {
    /// The agent was not running.
    pub agent_stopped: u64,
    /// No capacity.
    pub overloaded: u64,
    /// Suspended.
    pub suspended: u64,
    /// A window paused runs.
    pub maintenance: u64,
    /// The clock leapt.
    pub clock_step: u64,
    /// Due before the agent was first heard of about the check; of a check that it never spoke of, all that are due by now.
    #[serde(default)]
    pub agent_offline: u64,
}

impl MissedView {
    /// Runs missed for any cause.
    pub const fn total(&self) -> u64 {
        self.agent_stopped + self.overloaded + self.suspended + self.maintenance + self.clock_step + self.agent_offline
    }

    /// The causes there are, by their stable names.
    pub fn causes(&self) -> Vec<(&'static str, u64)> {
        let Self { agent_stopped, overloaded, suspended, maintenance, clock_step, agent_offline } = *self;
        let mut causes = vec![
            ("agent_stopped", agent_stopped),
            ("overloaded", overloaded),
            ("suspended", suspended),
            ("maintenance", maintenance),
            ("clock_step", clock_step),
            ("agent_offline", agent_offline),
        ];
        causes.retain(|(_, count)| *count > 0);
        causes
    }
}

/// Conservation of one check on one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PairConservationView {
    /// The check's id.
    pub check: String,
    /// The counts.
    #[serde(flatten)]
    pub counts: ConservationView,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// When it joined.
    pub enrolled: String,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// Whether it is the collector's own observer, which runs the heartbeat checks.
    #[serde(default)]
    pub internal: bool,
    /// Whether it holds a connection; of the collector's own observer: whether it looks.
    pub connected: bool,
    /// When it was last heard.
    pub last_seen: Option<String>,
    /// Its vote's weight now.
    pub weight: f64,
    /// The suspension of the whole agent.
    pub suspended: Option<SuspensionView>,
    /// Records waiting in its spool, as it last told.
    pub spool_records: Option<u64>,
    /// The spool file's bytes.
    pub spool_bytes: Option<u64>,
    /// How long the spool needs to run empty as fast as it did between the agent's last two messages, in seconds; `null`: not known, or it does not become less.
    #[serde(default)]
    pub spool_drain_seconds: Option<f64>,
    /// The oldest waiting record's slot.
    pub spool_oldest: Option<String>,
    /// Collector's clock minus the agent's.
    pub clock_offset_seconds: Option<f64>,
    /// Half the round trip of that measurement.
    pub clock_uncertainty_seconds: Option<f64>,
    /// Whether the offset is above 2 s.
    pub clock_flagged: bool,
    /// How busy its machine is, as it last told; `null` where its system does not say.
    #[serde(default)]
    pub host: Option<HostView>,
    /// Its build.
    pub build: Option<String>,
    /// When its certificate expires.
    pub certificate_expires: Option<String>,
    /// Where its runs went.
    pub conservation: ConservationView,
    /// The same for each of its checks.
    pub checks: Vec<PairConservationView>,
}

/// A control event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// When it was given.
    pub at: String,
    /// `agent:NAME` or `collector:USER`.
    pub author: String,
    /// Counts the author's events.
    pub number: u64,
    /// Which side it comes from: `agent` or `collector`.
    pub side: String,
    /// The agent it is about.
    pub agent: Option<String>,
    /// The check it is about.
    pub check: Option<String>,
    /// `suspend`, `resume` or `weight`.
    pub action: String,
    /// Of a suspension: first instant of running again; `null` for no end.
    pub until: Option<String>,
    /// Of a suspension: why.
    pub reason: Option<String>,
    /// Of a weight: the value.
    pub weight: Option<f64>,
}

/// A check file, for `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileBody {
    /// Its name in errors.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Asks for `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyBody {
    /// The check files, taken together.
    pub files: Vec<FileBody>,
    /// Only tell the plan.
    #[serde(default)]
    pub dry_run: bool,
    /// Retire the checks and objects that the files do not name.
    #[serde(default)]
    pub prune: bool,
}

/// What `apply` does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanView {
    /// Whether it was only asked for.
    pub dry_run: bool,
    /// One line for each check, by id.
    pub items: Vec<PlanItemView>,
    /// One line for each object beside the checks, by kind and id.
    #[serde(default)]
    pub objects: Vec<PlanObjectView>,
    /// What will not work as it is: secrets that are not set.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What happens to one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanItemView {
    /// The check's id.
    pub check: String,
    /// `create`, `change`, `unchanged` or `retire`.
    pub action: String,
    /// The fields that change.
    pub fields: Vec<FieldView>,
}

/// What happens to one object beside the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanObjectView {
    /// `policy`, `slo` or `maintenance`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// `create`, `change`, `unchanged` or `retire`.
    pub action: String,
    /// The fields that change.
    pub fields: Vec<FieldView>,
}

/// A field that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldView {
    /// The key.
    pub field: String,
    /// Its value before.
    pub from: String,
    /// Its value after.
    pub to: String,
}

/// Asks for a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenBody {
    /// The region of the agent that will join.
    pub region: String,
    /// How long the token is good for: at most an hour.
    pub ttl_seconds: u64,
}

/// A new token or link. The secret is told this once and stored hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// The token.
    pub token: String,
    /// Of a join token: the region.
    pub region: Option<String>,
    /// When it expires.
    pub expires: String,
}

/// A one-time sign-in link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkView {
    /// The link.
    pub url: String,
    /// When it expires.
    pub expires: String,
}

/// Asks for a suspension, a resume or a weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlBody {
    /// The agent, if the change is about one.
    #[serde(default)]
    pub agent: Option<String>,
    /// The check, if the change is about one.
    #[serde(default)]
    pub check: Option<String>,
    /// `suspend`, `resume` or `weight`.
    pub action: String,
    /// Of a suspension: first instant of running again; absent for no end.
    #[serde(default)]
    pub until: Option<String>,
    /// Of a suspension: why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Of a weight: 0 to 1000, as text or number.
    #[serde(default)]
    pub weight: Option<f64>,
}

/// A problem, as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemView {
    /// The HTTP status.
    pub status: u16,
    /// A stable word for scripts: `not_found`, `bad_request`, `bad_checks`, `unauthorized`, `forbidden`, `conflict`,
    /// `too_many`, `unavailable`, ...
    pub code: String,
    /// The kind of problem, for people.
    pub title: String,
    /// What is wrong and the remedy.
    pub detail: String,
    /// Every single fault, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}
