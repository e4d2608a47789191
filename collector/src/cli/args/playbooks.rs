//! Arguments of the commands about playbooks.

use clap::{ArgGroup, Args, Subcommand};

use super::PeriodArgs;

/// What a playbook is asked for, or run about: one of these.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("about").args(["incident", "finding", "check"]))]
pub struct AboutArgs {
    /// This incident.
    #[arg(long, value_name = "ID")]
    pub incident: Option<String>,
    /// This finding.
    #[arg(long, value_name = "ID")]
    pub finding: Option<String>,
    /// This check.
    #[arg(long, value_name = "ID")]
    pub check: Option<String>,
}

/// `playbook ...`
#[derive(Debug, Subcommand)]
pub enum PlaybookCommand {
    /// Shows a playbook with its steps.
    #[command(after_help = "Examples:\n  sitepulse-collector playbook show renew-certificate\n  \
                            sitepulse-collector playbook show service-down --json")]
    Show {
        /// The playbook.
        #[arg(value_name = "PLAYBOOK")]
        id: String,
    },
    /// Tells what to do about an incident or a finding: the playbooks that fit, the best first, and the runs about it.
    #[command(after_help = "Example:\n  sitepulse-collector playbook offers --incident 20261122-4f7k2zq")]
    Offers {
        /// About what.
        #[command(flatten)]
        about: AboutArgs,
    },
    /// Starts a playbook about an incident or a finding, or about a check with nothing wrong, to try it.
    #[command(
        after_help = "Examples:\n  sitepulse-collector playbook run service-down --incident 20261122-4f7k2zq\n  \
                            sitepulse-collector playbook run renew-certificate --check shop"
    )]
    Run {
        /// The playbook.
        #[arg(value_name = "PLAYBOOK")]
        playbook: String,
        /// About what.
        #[command(flatten)]
        about: AboutArgs,
    },
    /// Lists the runs that are under way, or all of them, the newest first.
    #[command(after_help = "Examples:\n  sitepulse-collector playbook runs\n  \
                            sitepulse-collector playbook runs --all --playbook service-down --limit 20 --json")]
    Runs {
        /// Those that ended too.
        #[arg(long)]
        all: bool,
        /// Of this playbook alone.
        #[arg(long, value_name = "PLAYBOOK")]
        playbook: Option<String>,
        /// About what.
        #[command(flatten)]
        about: AboutArgs,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
        limit: usize,
    },
    /// Shows a run: its steps with their commands filled in, and what became of each.
    #[command(after_help = "Example:\n  sitepulse-collector playbook status p-20261123-4f7k2mq --json")]
    Status {
        /// The run.
        #[arg(value_name = "RUN")]
        run: String,
    },
    /// Says that a step is done.
    #[command(after_help = "Example:\n  sitepulse-collector playbook tick p-20261123-4f7k2mq phase")]
    Tick {
        /// The run.
        #[arg(value_name = "RUN")]
        run: String,
        /// The step.
        #[arg(value_name = "STEP")]
        step: String,
    },
    /// Leaves a step out.
    #[command(
        after_help = "Example:\n  sitepulse-collector playbook skip p-20261123-4f7k2mq undo --reason \"nothing was released\""
    )]
    Skip {
        /// The run.
        #[arg(value_name = "RUN")]
        run: String,
        /// The step.
        #[arg(value_name = "STEP")]
        step: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Takes the mark of a step back. It is not ticked by itself again.
    #[command(after_help = "Example:\n  sitepulse-collector playbook undo p-20261123-4f7k2mq phase")]
    Undo {
        /// The run.
        #[arg(value_name = "RUN")]
        run: String,
        /// The step.
        #[arg(value_name = "STEP")]
        step: String,
    },
    /// Writes something down in a run.
    #[command(
        after_help = "Example:\n  sitepulse-collector playbook note p-20261123-4f7k2mq \"the provider knows, ticket 4711\""
    )]
    Note {
        /// The run.
        #[arg(value_name = "RUN")]
        run: String,
        /// What.
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Ends a run that has no open step.
    #[command(after_help = "Example:\n  sitepulse-collector playbook finish p-20261123-4f7k2mq")]
    Finish {
        /// The run.
        #[arg(value_name = "RUN")]
        run: String,
    },
    /// Ends a run with something left to do.
    #[command(
        after_help = "Example:\n  sitepulse-collector playbook abandon p-20261123-4f7k2mq --reason \"false alarm\""
    )]
    Abandon {
        /// The run.
        #[arg(value_name = "RUN")]
        run: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Tells how many runs were carried through, and how long they took against the estimate: by playbook, and by who started them.
    #[command(after_help = "Example:\n  sitepulse-collector playbook rates --from -30d --json")]
    Rates {
        /// The period that runs were started in [default: 90 days].
        #[command(flatten)]
        period: PeriodArgs,
    },
}
