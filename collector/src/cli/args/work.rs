//! Arguments of the commands that run, set up and steer.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::exchange::Format;

/// `serve`
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// A configuration file (TOML); flags win over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the console and the API listen; other than loopback needs TLS from the configuration [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<String>,
    /// Where agents connect (QUIC over UDP) [default: 0.0.0.0:8443].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// An address agents are told to connect to; repeat it for several [default: the --listen address, or 127.0.0.1].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Vec<String>,
}

/// `export`
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The file to write, which must not exist yet; `-` is stdout.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One check alone; repeat it for several [default: all].
    #[arg(long = "check", value_name = "CHECK")]
    pub checks: Vec<String>,
    /// Records of slots from here on [default: the first].
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Records of slots before this [default: the last].
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// The format [default: what the file's name tells].
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// `import`
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The file to read; `-` is stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The format [default: what the file's name tells].
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// `apply`
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// Check files; `-` is stdin.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Prints the plan and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Retires the checks, policies, objectives and windows that the files do not name.
    #[arg(long)]
    pub prune: bool,
}

/// `agents ...`
#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// Refuses an agent from now on: its open connection is cut, its results stay.
    Revoke {
        /// The agent's name.
        name: String,
    },
}

/// What a control event is about.
#[derive(Debug, Clone, Default, Args)]
pub struct ScopeArgs {
    /// An agent.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// A check; with --agent: this check on that agent alone.
    #[arg(long, value_name = "ID")]
    pub check: Option<String>,
}

/// `run-now`
#[derive(Debug, Clone, Args)]
pub struct RunNowArgs {
    /// The check.
    #[arg(value_name = "CHECK")]
    pub check: String,
    /// This agent alone.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
}

/// `heartbeat ...`
#[derive(Debug, Subcommand)]
pub enum HeartbeatCommand {
    /// Prints what a job calls when it is done; --json adds its newest calls.
    #[command(after_help = "Examples:\n  sitepulse-collector heartbeat url backup\n  \
                            backup.sh; curl -fsS -m 10 --retry 5 \"$(sitepulse-collector heartbeat url backup)/$?\"\n\n\
                            Append /start when the job begins, /fail when it failed, or its exit status.")]
    Url {
        /// The check.
        check: String,
    },
}

/// `suspend`
#[derive(Debug, Clone, Args)]
pub struct SuspendArgs {
    /// About what.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// For how long, like `2h`: at most 366d [default, without --until: 1h].
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
    pub duration: Option<String>,
    /// Until when: at most 366 days ahead.
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<String>,
    /// Why; it is shown wherever the suspension is.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `weight`
#[derive(Debug, Clone, Args)]
pub struct WeightArgs {
    /// 0 to 1000, at most three decimals; 0 is watched, but never counted.
    #[arg(value_name = "VALUE")]
    pub value: String,
    /// The agent.
    #[arg(long, value_name = "NAME")]
    pub agent: String,
    /// This check alone.
    #[arg(long, value_name = "ID")]
    pub check: Option<String>,
}
