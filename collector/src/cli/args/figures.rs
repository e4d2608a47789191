//! Arguments of the commands that tell figures: SLA, reports, budgets, scores, latencies, vitals.

use clap::{Args, Subcommand, ValueEnum};

/// A period.
#[derive(Debug, Clone, Args)]
pub struct PeriodArgs {
    /// First instant: RFC 3339, unix seconds, `now`, or back from now like `-7d`.
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// First instant after the period.
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub to: Option<String>,
}

/// A period, and whose votes count in it.
#[derive(Debug, Clone, Args)]
pub struct AskedArgs {
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// With this agent alone as the voter.
    #[arg(long, value_name = "NAME", conflicts_with = "region")]
    pub agent: Option<String>,
    /// With the agents of this region alone as voters.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// `sla`
#[derive(Debug, Clone, Args)]
pub struct SlaArgs {
    /// These checks; none: all.
    #[arg(value_name = "CHECK", conflicts_with_all = ["group", "by_group"])]
    pub checks: Vec<String>,
    /// The mean of one group's checks, weighted.
    #[arg(long, value_name = "GROUP", conflicts_with = "by_group")]
    pub group: Option<String>,
    /// The means of every group and of all checks together, weighted.
    #[arg(long)]
    pub by_group: bool,
    /// Of what time, by whose votes.
    #[command(flatten)]
    pub asked: AskedArgs,
    /// How it counts.
    #[command(flatten)]
    pub counted: CountedArgs,
}

/// `report ...`
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Stores the figures of checks over a period.
    #[command(
        after_help = "Example:\n  sitepulse-collector report store november shop pay --from 2026-11-01 --to 2026-12-01 --policy contract"
    )]
    Store(ReportStoreArgs),
    /// Counts a stored report again: the same digits, or what changed since.
    #[command(
        after_help = "Example:\n  sitepulse-collector report verify november\n\nExit codes: 0 the same to the last digit, 11 the figures changed."
    )]
    Verify {
        /// The report's name.
        name: String,
    },
    /// Shows a stored report.
    #[command(after_help = "Example:\n  sitepulse-collector report show november --json")]
    Show {
        /// The report's name.
        name: String,
    },
    /// Lists the stored reports, the newest first.
    #[command(after_help = "Example:\n  sitepulse-collector report list")]
    List,
}

/// `report store`
#[derive(Debug, Clone, Args)]
pub struct ReportStoreArgs {
    /// The report's name, which no report has yet.
    pub name: String,
    /// These checks; none: all.
    #[arg(value_name = "CHECK")]
    pub checks: Vec<String>,
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// How it counts [default: default].
    #[command(flatten)]
    pub counted: CountedArgs,
}

/// By which accounting policy.
#[derive(Debug, Clone, Default, Args)]
pub struct CountedArgs {
    /// Counts as this accounting policy says: ID counts each instant by the version in force then, ID@VERSION all of it by that one.
    #[arg(long, value_name = "ID[@VERSION]")]
    pub policy: Option<String>,
}

/// `policies`
#[derive(Debug, Clone, Args)]
pub struct PoliciesArgs {
    /// A file with a [[policy]] to try: which figures of the last 30 days it would have changed. Nothing is changed.
    #[arg(long = "try", value_name = "FILE")]
    pub draft: Option<std::path::PathBuf>,
}

/// `explain`
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The check.
    pub check: String,
    /// Of what time, by whose votes.
    #[command(flatten)]
    pub asked: AskedArgs,
    /// How it counts.
    #[command(flatten)]
    pub counted: CountedArgs,
}

/// `results`
#[derive(Debug, Clone, Args)]
pub struct ResultsArgs {
    /// The check.
    pub check: String,
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// This agent's alone.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Those that say this alone: up, degraded, down, unknown, missed or dropped.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// At most so many, the oldest first.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub limit: usize,
}

/// `amendments`
#[derive(Debug, Clone, Args)]
pub struct AmendmentsArgs {
    /// One check, told at length; absent: all.
    #[arg(value_name = "CHECK")]
    pub check: Option<String>,
    /// Those that are about some of this time.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// At most so many: 1 to 1000 [default: 100].
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Goes on where another answer ended.
    #[arg(long, value_name = "NEXT")]
    pub after: Option<String>,
}

/// `slo`
#[derive(Debug, Clone, Args)]
pub struct SloArgs {
    /// One objective; absent: all.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// The budget left at the end of each day of the period.
    #[arg(long, requires = "id")]
    pub history: bool,
}

/// `impact`
#[derive(Debug, Clone, Args)]
pub struct ImpactArgs {
    /// One check, with what its score is made of; absent: all.
    #[arg(value_name = "CHECK")]
    pub check: Option<String>,
    /// This group's checks alone.
    #[arg(long, value_name = "GROUP", conflicts_with = "check")]
    pub group: Option<String>,
    /// As the agents of this region alone saw it.
    #[arg(long, value_name = "REGION", conflicts_with_all = ["check", "model"])]
    pub region: Option<String>,
    /// Of another instant: RFC 3339, a day, -7d [default: now].
    #[arg(long, value_name = "AT", allow_hyphen_values = true)]
    pub at: Option<String>,
    /// With --at: found again from the evidence as it is known today, even where the hour's scores are stored.
    #[arg(long, requires = "at", conflicts_with_all = ["history", "model"])]
    pub evidence: bool,
    /// A file with a [[scoring]] to try: what would change.
    #[arg(long, value_name = "FILE", conflicts_with = "group")]
    pub model: Option<std::path::PathBuf>,
    /// With --model: all checks together so many days back, 1 to 28 [default: 1].
    #[arg(long, value_name = "N", requires = "model", conflicts_with = "check")]
    pub days: Option<u32>,
    /// What the score was in the last 28 days, hour by hour: of the check, of the group, of the region, or of all checks.
    #[arg(long, conflicts_with = "model")]
    pub history: bool,
}

/// `indicators`
#[derive(Debug, Clone, Args)]
pub struct IndicatorsArgs {
    /// The list that a figure counts: opened, acknowledged, resolved, open, pages, in-time, late, spared, quorum, parent, flapping; absent: the indicators.
    #[arg(value_name = "FIGURE")]
    pub figure: Option<String>,
    /// 24h, 7d or 30d.
    #[arg(long, value_name = "PERIOD", default_value = "30d")]
    pub period: String,
    /// The IANA time zone whose days are counted [default: UTC].
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// With FIGURE: incidents of this severity alone.
    #[arg(long, value_name = "SEVERITY", requires = "figure")]
    pub severity: Option<String>,
}

/// `kpi`
#[derive(Debug, Clone, Args)]
pub struct KpiArgs {
    /// 24h, 7d or 30d.
    #[arg(long, value_name = "PERIOD", default_value = "24h")]
    pub period: String,
    /// The IANA time zone whose days are counted [default: UTC].
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
}

/// `backtest`
#[derive(Debug, Clone, Args)]
pub struct BacktestArgs {
    /// The check.
    #[arg(long, value_name = "ID")]
    pub check: String,
    /// When enough agents are down: any, majority, all, "share >= 0.6", "agents >= 2".
    #[arg(long)]
    pub quorum: Option<String>,
    /// Consecutive bad results before an agent votes so, 1 to 100.
    #[arg(long, value_name = "N")]
    pub confirmations: Option<u32>,
    /// Consecutive good results before it votes better again, 1 to 100.
    #[arg(long, value_name = "N")]
    pub recoveries: Option<u32>,
    /// An agent's weight; again for each agent.
    #[arg(long = "weight", value_name = "AGENT=WEIGHT")]
    pub weights: Vec<String>,
    /// Leaves an agent's votes out; again for each agent.
    #[arg(long, value_name = "AGENT")]
    pub without: Vec<String>,
    /// An incident that begins within this time of the last one's end continues it [default: 5m].
    #[arg(long, value_name = "DURATION")]
    pub reopen: Option<String>,
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
}

/// Apart by what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// By region.
    #[default]
    Region,
    /// By agent.
    Agent,
}

/// `latency`
#[derive(Debug, Clone, Args)]
pub struct LatencyArgs {
    /// The check.
    #[arg(value_name = "CHECK")]
    pub check: String,
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// This region alone.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// This agent alone.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Apart by what.
    #[arg(long, value_enum, default_value_t)]
    pub by: Split,
}

/// `windows`
#[derive(Debug, Clone, Args)]
pub struct WindowsArgs {
    /// One check; absent: all.
    pub check: Option<String>,
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
}

/// `vitals`
#[derive(Debug, Clone, Args)]
pub struct VitalsArgs {
    /// The check, of kind web_vitals.
    #[arg(value_name = "CHECK")]
    pub check: String,
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// This device profile alone.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// This region alone.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// This agent alone.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Apart by agent instead of by region.
    #[arg(long)]
    pub by_agent: bool,
}
