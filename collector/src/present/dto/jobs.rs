//! Jobs as JSON: work that is done beside answering.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Its id; `INCIDENT.STEP.CHANNEL` of a message.
    pub id: String,
    /// What is done: `seal`, `retention`, `insights`, `impact`, `backup`, `export`, `sla_report`, `run_checks`, `vitals_batch`, `noop` or `notification`: a message about an incident.
    pub kind: String,
    /// Of one kind and key one job waits or runs; `null`: each is a job of its own.
    pub key: Option<String>,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// 0 to 1000; the higher goes first, and each 10 s of waiting make up for a point.
    pub priority: u16,
    /// When it is due, or was.
    pub due: String,
    /// By when it should be over.
    pub deadline: Option<String>,
    /// Whether it is not over and late: its deadline has passed, or where it has none, it was due 15 min ago.
    pub late: bool,
    /// When it was asked for.
    pub asked: String,
    /// Who asked.
    pub author: String,
    /// Attempts since it was new or was taken up again.
    pub tries: u32,
    /// So many are made before it is given up; `null` of a message, which is tried for a day however often that is.
    pub tries_max: Option<u32>,
    /// How often it was begun: grows with each start, those that were interrupted among them.
    pub epoch: u32,
    /// Whether it runs and was told to end.
    pub cancelling: bool,
    /// When its first attempt began.
    pub first_started: Option<String>,
    /// When its newest attempt began.
    pub started: Option<String>,
    /// When it was over.
    pub ended: Option<String>,
    /// How much is done: 0 to 1.
    pub progress: f64,
    /// What it is at, while it runs.
    pub message: String,
    /// What it came to, or why its newest attempt failed.
    pub note: String,
    /// The file that it made, in the folder `files` of the data directory; `null` where there is none, or it is kept no longer.
    pub file: Option<String>,
    /// What it was told.
    pub args: serde_json::Value,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobLineView {
    /// When.
    pub at: String,
    /// In which start; 0 is none.
    pub epoch: u32,
    /// What.
    pub text: String,
}

/// A job with its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobDetailView {
    /// The job.
    pub job: JobView,
    /// Its log, the oldest line first; of a long one the newest 1,000.
    pub log: Vec<JobLineView>,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobBody {
    /// `backup`, `export`, `sla_report`, `run_checks`, `vitals_batch` or `noop`.
    pub kind: String,
    /// 0 to 1000; absent: as the kind says.
    #[serde(default)]
    pub priority: Option<u16>,
    /// Not before this instant.
    #[serde(default)]
    pub not_before: Option<String>,
    /// By when it should be over.
    #[serde(default)]
    pub deadline: Option<String>,
    /// `export`: `format` (`jsonl`, `csv`, `parquet`), `checks`, `from`, `to`. `sla_report`: as `POST /api/v1/sla-reports` takes it. `run_checks` and `vitals_batch`:
    /// `group`, `tag`, `checks`. `noop`: `wait_ms`, `fail`.
    #[serde(default)]
    pub args: serde_json::Value,
}

/// Another priority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobPriorityBody {
    /// 0 to 1000.
    pub priority: u16,
}

/// How many jobs of a kind are in which state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobCountsView {
    /// The kind.
    pub kind: String,
    /// Those that wait.
    pub waiting: u64,
    /// Those that run.
    pub running: u64,
    /// Those that are done and kept.
    pub done: u64,
    /// Those that failed and are kept.
    pub failed: u64,
    /// Those that were cancelled and are kept.
    pub cancelled: u64,
    /// 95 % of its newest 1,000 starts had waited so long at most since they were due, in seconds; `null` before the first one since the start of the process.
    pub wait_p95_seconds: Option<f64>,
}

/// How the queue is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobsSummaryView {
    /// By kind.
    pub kinds: Vec<JobCountsView>,
    /// Jobs that are not over and late; of very many the first 1,000.
    pub late: u64,
    /// Jobs asked for within 7 d that failed and were not done since, of very many the newest 1,000; with messages of that time that were given up.
    pub failed: u64,
    /// 95 % of the newest starts, 1,000 of each kind, had waited so long at most since they were due, in seconds; `null` before the first one since the start of the process.
    pub wait_p95_seconds: Option<f64>,
    /// Messages about incidents among them that are not delivered yet.
    pub messages_waiting: u64,
    /// Messages of 7 d that were given up and not tried again, which are among the failed ones.
    pub messages_failed: u64,
}
