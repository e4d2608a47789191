//! Arguments of `jobs`.

use clap::{Args, Subcommand};

use crate::exchange::Format;

/// `jobs`
#[derive(Debug, Clone, Default, Args)]
pub struct JobsArgs {
    /// In one state: waiting, running, done, failed or cancelled.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Of one kind: seal, retention, insights, impact, backup, export, sla_report, run_checks, vitals_batch, noop or notification (messages about incidents).
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// So many at most, the newest.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
}

/// `jobs ...`
#[derive(Debug, Clone, Subcommand)]
pub enum JobsCommand {
    /// Lists jobs, the newest first, and how the queue is.
    #[command(
        after_help = "Examples:\n  sitepulse-collector jobs list --state failed\n  sitepulse-collector jobs list --kind backup --json"
    )]
    List(JobsArgs),
    /// Shows a job with its log.
    #[command(after_help = "Example:\n  sitepulse-collector jobs show hncvd2o4ao")]
    Show {
        /// The job.
        id: String,
    },
    /// Takes a job back: at once where it waits, else it is told to end. A message about an incident that waits is not sent.
    #[command(after_help = "Example:\n  sitepulse-collector jobs cancel hncvd2o4ao")]
    Cancel {
        /// The job.
        id: String,
    },
    /// Takes a job up again that failed or was cancelled, or has one that waits to be tried again tried now.
    #[command(after_help = "Example:\n  sitepulse-collector jobs retry hncvd2o4ao")]
    Retry {
        /// The job.
        id: String,
    },
    /// Gives a job that waits another priority. Messages about incidents always go first.
    #[command(after_help = "Example:\n  sitepulse-collector jobs priority hncvd2o4ao 900")]
    Priority {
        /// The job.
        id: String,
        /// 0 to 1000: the higher goes first.
        priority: u16,
    },
    /// Asks for a job; where one for the same thing waits or runs, that one is told.
    #[command(
        after_help = "Examples:\n  sitepulse-collector jobs run backup\n  sitepulse-collector jobs run export --format parquet --from -30d\n  \
                      sitepulse-collector jobs run run_checks --group web --priority 900\n  \
                      sitepulse-collector jobs run vitals_batch --group web --json\n  \
                      sitepulse-collector jobs run sla_report --name november --from 2026-11-01 --to 2026-12-01 --policy contract\n\n\
                      Files lie in the folder `files` of the data directory, the newest few of each kind."
    )]
    Run(Box<JobRunArgs>),
}

/// `jobs run`
#[derive(Debug, Clone, Default, Args)]
pub struct JobRunArgs {
    /// backup, export, sla_report, run_checks, vitals_batch or noop.
    #[arg(value_name = "KIND")]
    pub kind: String,
    /// 0 to 1000: the higher goes first [default: as the kind says].
    #[arg(long, value_name = "0-1000")]
    pub priority: Option<u16>,
    /// Not before this.
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub not_before: Option<String>,
    /// By when it should be over.
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub deadline: Option<String>,
    /// The checks of a group.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// The checks with a tag.
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// A check; repeat it for several.
    #[arg(long = "check", value_name = "CHECK")]
    pub checks: Vec<String>,
    /// The format of an export.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The name of a report.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The policy of a report.
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// First instant of an export or a report.
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// First instant after it.
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// How long a noop does nothing, in milliseconds.
    #[arg(long, value_name = "MS", hide = true)]
    pub wait_ms: Option<u64>,
    /// How many attempts of a noop fail.
    #[arg(long, value_name = "COUNT", hide = true)]
    pub fail: Option<u32>,
}
