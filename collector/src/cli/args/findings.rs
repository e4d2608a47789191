//! Arguments of the commands about findings.

use clap::{Args, Subcommand};

/// `findings`
#[derive(Debug, Clone, Args)]
pub struct FindingsArgs {
    /// One finding, with its evidence and history.
    #[arg(value_name = "ID", conflicts_with_all = ["check", "kind", "severity", "stale", "all", "limit"])]
    pub id: Option<String>,
    /// Those that count for this check alone.
    #[arg(long, value_name = "ID")]
    pub check: Option<String>,
    /// This kind's alone: latency_regression, region_slow, expiry, flapping, correlated_failures, budget_forecast, vitals_regression,
    /// slow_resolver, agent_disagrees, cannot_fail or coverage_gap.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// This severity's alone: info, warning or critical.
    #[arg(long, value_name = "SEVERITY")]
    pub severity: Option<String>,
    /// Those alone that are open and that nobody touched for 5 days.
    #[arg(long, conflicts_with = "all")]
    pub stale: bool,
    /// Those that are over too.
    #[arg(long)]
    pub all: bool,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub limit: usize,
}

/// `finding ...`
#[derive(Debug, Subcommand)]
pub enum FindingCommand {
    /// Says that somebody knows, and why it may stay: it counts no more in scores and debt, until it gets worse.
    #[command(
        after_help = "Example:\n  sitepulse-collector finding ack 20261123-4f7k2zq --note \"the supplier mends it on Friday\""
    )]
    Ack {
        /// The finding.
        #[arg(value_name = "ID")]
        id: String,
        /// Why it may stay, or what is done about it.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Takes an acknowledgement back: it counts again.
    #[command(name = "take-back", after_help = "Example:\n  sitepulse-collector finding take-back 20261123-4f7k2zq")]
    TakeBack {
        /// The finding.
        #[arg(value_name = "ID")]
        id: String,
    },
}
