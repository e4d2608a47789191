//! Playbooks and their runs as JSON. Texts come in both languages; ratios are 0 to 1, and `null` where nothing was there to divide by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::impact::ReasonView;

/// What runs come to. See docs/playbooks.md for the definitions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateView {
    /// Runs that were started in the period.
    pub runs: u64,
    /// Under way: they count neither way.
    pub running: u64,
    /// Finished.
    pub finished: u64,
    /// Abandoned.
    pub abandoned: u64,
    /// Finished, of those that ended.
    pub completion: Option<f64>,
    /// Steps done, of those done or skipped in finished runs.
    pub steps_done: Option<f64>,
    /// Steps that ticked themselves, of those done in finished runs.
    pub by_itself: Option<f64>,
    /// The median duration of finished runs, in seconds.
    pub median_seconds: Option<f64>,
    /// The median of duration / estimate of finished runs: 2 is twice as long as thought.
    pub against_estimate: Option<f64>,
}

/// What the runs of one playbook, or of one person, come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamedRateView {
    /// The playbook's id, or who started the runs.
    pub name: String,
    /// The figures.
    #[serde(flatten)]
    pub rate: RateView,
}

/// What all runs come to, and apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatesView {
    /// First instant of the period.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// All runs together.
    pub all: RateView,
    /// By playbook.
    pub playbooks: Vec<NamedRateView>,
    /// By the team of who started them, as of then, each by playbook too; last those that were started by nobody of a team.
    #[serde(default)]
    pub teams: Vec<TeamRateView>,
    /// By who started them.
    pub people: Vec<NamedRateView>,
}

/// What the runs of a team come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TeamRateView {
    /// The team; `null`: no team.
    pub team: Option<String>,
    /// The figures.
    #[serde(flatten)]
    pub rate: RateView,
    /// By playbook.
    pub playbooks: Vec<NamedRateView>,
}

/// A playbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlaybookView {
    /// Its id.
    pub id: String,
    /// `built-in`, or the number of its version as code.
    pub version: String,
    /// Whether it is there without anybody writing it.
    pub built_in: bool,
    /// What it is called.
    pub title: ReasonView,
    /// The kinds of incidents it is for.
    pub incidents: Vec<String>,
    /// The kinds of findings it is for.
    pub findings: Vec<String>,
    /// These checks alone.
    pub checks: Vec<String>,
    /// The checks of these groups alone.
    pub groups: Vec<String>,
    /// The checks with one of these tags alone.
    pub tags: Vec<String>,
    /// Checks of these classes alone.
    pub classes: Vec<String>,
    /// Checks of these kinds alone.
    pub check_kinds: Vec<String>,
    /// How long all of it should take.
    pub minutes: u32,
    /// What to do, in order.
    pub steps: Vec<PlaybookStepView>,
    /// What its runs of the last 90 days come to.
    pub rate: RateView,
}

/// A step of a playbook. Links and commands have names in braces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlaybookStepView {
    /// Its id.
    pub id: String,
    /// What to do.
    pub title: ReasonView,
    /// How.
    pub text: Option<ReasonView>,
    /// How long it should take.
    pub minutes: u32,
    /// Who does it.
    pub role: Option<ReasonView>,
    /// Where to look.
    pub link: Option<String>,
    /// What to paste into a shell.
    pub command: Option<String>,
    /// What ticks it by itself.
    pub done_when: Option<String>,
}

/// The playbooks for an incident, a finding or a check, and their runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OffersView {
    /// `incident`, `finding` or `check`.
    pub about: String,
    /// Its id.
    pub id: String,
    /// The best first: own ones before built-in ones, the closest fit first.
    pub offers: Vec<OfferView>,
    /// The runs about it, the newest first.
    pub runs: Vec<PlaybookRunView>,
}

/// A playbook that fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfferView {
    /// Its id.
    pub playbook: String,
    /// Whether it is there without anybody writing it.
    pub built_in: bool,
    /// What it is called.
    pub title: ReasonView,
    /// How many steps it has.
    pub steps: u64,
    /// How long all of it should take.
    pub minutes: u32,
}

/// A run of a playbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlaybookRunView {
    /// Its id.
    pub id: String,
    /// The playbook's id.
    pub playbook: String,
    /// The playbook's version then.
    pub version: String,
    /// What it was called.
    pub title: ReasonView,
    /// `incident`, `finding` or `check`.
    pub about: String,
    /// The id of that.
    pub about_id: String,
    /// The kind of the incident or finding; `null` of a check.
    pub kind: Option<String>,
    /// The check it has to do with.
    pub check: Option<String>,
    /// `running`, `finished` or `abandoned`.
    pub state: String,
    /// When it was started.
    pub started_at: String,
    /// By whom.
    pub started_by: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How many steps it has.
    pub steps: u64,
    /// Done.
    pub done: u64,
    /// Of these, ticked by a fact.
    pub by_itself: u64,
    /// Skipped.
    pub skipped: u64,
    /// From its start to its last mark; until now while steps are open.
    pub took_seconds: f64,
    /// How long it should take: the minutes of all steps that are not skipped.
    pub estimate_minutes: u32,
}

/// A run with its steps and all that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlaybookRunDetailView {
    /// As lists tell it.
    #[serde(flatten)]
    pub run: PlaybookRunView,
    /// The steps as they were when it began, with what became of them.
    pub marks: Vec<RunStepView>,
    /// Everything that happened, the oldest first.
    pub entries: Vec<RunEntryView>,
}

/// A step of a run. Names are filled in: `link` is `null` where a name in it is not known, in `command` each is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunStepView {
    /// What it says.
    #[serde(flatten)]
    pub step: PlaybookStepView,
    /// Names of the command that are not known: they stand in capitals, to be filled in.
    pub missing: Vec<String>,
    /// What ticks it by itself, in words.
    pub waits_for: Option<ReasonView>,
    /// `open`, `done` or `skipped`.
    pub state: String,
    /// When it was marked.
    pub at: Option<String>,
    /// By whom; `evidence`: by itself.
    pub by: Option<String>,
    /// Why it is skipped.
    pub reason: Option<String>,
    /// The fact that ticked it.
    pub seen: Option<ReasonView>,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunEntryView {
    /// When.
    pub at: String,
    /// By whom; `evidence`: by itself.
    pub by: String,
    /// `done`, `skipped`, `undone`, `noted`, `finished` or `abandoned`.
    pub what: String,
    /// Which step.
    pub step: Option<String>,
    /// The note, or why.
    pub text: Option<String>,
    /// The fact that ticked the step.
    pub seen: Option<ReasonView>,
}

/// A run to start. One of `incident`, `finding` and `check` says about what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRunBody {
    /// The playbook.
    pub playbook: String,
    /// About this incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// About this finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// About this check, with nothing wrong: an exercise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

/// What somebody does to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum RunAct {
    /// A step is done.
    Tick {
        /// Which.
        step: String,
    },
    /// A step is left out.
    Skip {
        /// Which.
        step: String,
        /// Why.
        reason: String,
    },
    /// Takes a mark back.
    Undo {
        /// Of which step.
        step: String,
    },
    /// Writes something down.
    Note {
        /// What.
        text: String,
    },
    /// It is over, with nothing left to do.
    Finish,
    /// It is over with something left to do.
    Abandon {
        /// Why.
        reason: String,
    },
}
