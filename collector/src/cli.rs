//! The command line: its grammar here, each command's work below.
//!
//! Every command but `serve` is a client of the one HTTP router, behind three doors ([`client`]): the running server's admin socket
//! in the data directory, `--url` with `--token` from afar, or the router called in this process when no server runs.
//! What a command prints goes to stdout, errors go to stderr, exit codes are those of `docs/exit-codes.md`.

pub mod client;
pub mod commands;
pub mod table;
pub mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sitepulse_daemon::exit::Exit;

/// A command that did not work: its exit code and what to tell people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One line (or a list of lines) for stderr.
    pub message: String,
}

impl Failure {
    /// A failure from its two parts.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

/// Receives and keeps every result of the agents, computes verdicts and the SLA, serves the console and the API.
#[derive(Debug, Parser)]
#[command(
    name = "sitepulse-collector",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  sitepulse-collector serve\n  sitepulse-collector token create --region eu-west\n  \
                  sitepulse-collector apply checks.toml\n  sitepulse-collector checks --watch\n\n\
                  Exit codes: 0 ok, 1 failure, 2 usage, 3 bad configuration or check file, 4 data directory unusable, 5 refused,\n\
                  6 collector not reached, 7 cannot listen, 8 not found, 9 down, 10 unknown (run-now)."
)]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands share.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Where the collector's data and its admin socket are
    /// [default: /var/lib/sitepulse-collector for root, else ~/.local/share/sitepulse-collector].
    #[arg(long, global = true, env = "SITEPULSE_COLLECTOR_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// A collector elsewhere: its console's address; needs --token.
    #[arg(long, global = true, env = "SITEPULSE_URL", value_name = "URL")]
    pub url: Option<String>,
    /// An API token for --url, from `token create --api`.
    #[arg(long, global = true, env = "SITEPULSE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the collector.
    #[command(after_help = "Examples:\n  sitepulse-collector serve\n  \
                            sitepulse-collector serve --data-dir ./data --http 127.0.0.1:8080 --advertise collector.example:8443\n  \
                            sitepulse-collector serve --config /etc/sitepulse/collector.toml\n\n\
                            The console is told on stdout. Sign in with the link that `sitepulse-collector sign-in` prints.")]
    Serve(ServeArgs),
    /// Makes tokens: for an agent to join, or for the API.
    Token {
        /// What to do.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Prints a one-time link that signs a browser in to the console.
    #[command(
        name = "sign-in",
        after_help = "Example:\n  sitepulse-collector sign-in\n\nThe link works once, within 15 minutes."
    )]
    SignIn,
    /// Applies checks written as code (TOML), and prints the plan. Idempotent.
    #[command(after_help = "Examples:\n  sitepulse-collector apply checks.toml\n  \
                            sitepulse-collector apply --dry-run checks.toml more.toml\n  \
                            sitepulse-collector apply --prune checks.toml      # retires every check the file does not name\n  \
                            sitepulse-collector apply - < checks.toml\n\n\
                            Plan: + create, ~ change, = unchanged, - retire.")]
    Apply(ApplyArgs),
    /// Shows the agents, or revokes one.
    #[command(
        after_help = "Examples:\n  sitepulse-collector agents\n  sitepulse-collector agents --json\n  \
                            sitepulse-collector agents revoke eu-west-1",
        args_conflicts_with_subcommands = true
    )]
    Agents {
        /// What to do instead of listing.
        #[command(subcommand)]
        command: Option<AgentsCommand>,
    },
    /// Shows every check: its verdict and what each agent sees.
    #[command(
        after_help = "Examples:\n  sitepulse-collector checks\n  sitepulse-collector checks --watch\n  sitepulse-collector checks --json"
    )]
    Checks {
        /// Goes on, redrawn every second, until Ctrl-C.
        #[arg(long)]
        watch: bool,
    },
    /// Shows availability with completeness and bounds.
    #[command(after_help = "Examples:\n  sitepulse-collector sla\n  sitepulse-collector sla shop --from -7d\n  \
                            sitepulse-collector sla shop --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --region eu-west --json\n\n\
                            Without --from it covers 24 hours before --to (now). Never 100 % without evidence: no measurement is null.")]
    Sla(SlaArgs),
    /// Tells why a figure is what it is: the intervals behind it, with every agent's vote and the records it rests on.
    #[command(
        after_help = "Examples:\n  sitepulse-collector explain shop\n  sitepulse-collector explain shop --from -7d --json\n  \
                            sitepulse-collector explain shop --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z\n\n\
                            The intervals add up to the figures that `sla` gives for the same period."
    )]
    Explain(ExplainArgs),
    /// Shows how long each phase of a check took: p50, p75, p95, p99, smallest and largest, over all regions and in each.
    #[command(
        after_help = "Examples:\n  sitepulse-collector latency shop\n  sitepulse-collector latency shop --from -7d --region eu-west\n  \
                            sitepulse-collector latency shop --from -30d --by agent --json\n\n\
                            Without --from it covers 24 hours before --to (now). The period is widened to full hours of UTC, which are told.\n\
                            Results that were up or degraded count; those that were down are counted beside. Percentiles are off by less than 1 %.\n\n\
                            Exit codes: 0 ok, 2 an empty period, 6 collector not reached, 8 no such check, region or agent."
    )]
    Latency(LatencyArgs),
    /// Lists the records of a check one by one: results, missed runs, tombstones, with all that is kept of each.
    #[command(
        after_help = "Examples:\n  sitepulse-collector results shop\n  sitepulse-collector results shop --agent eu-west-1 --from -1h --json\n  \
                            sitepulse-collector results shop --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --limit 5000\n\n\
                            Without --from it covers 24 hours before --to (now). The ID is that which `explain` counts: agent@slot. Records older than\n\
                            the collector keeps (90 days unless set) are gone, which is told; the timeline stays.\n\n\
                            Exit codes: 0 ok, 2 bad arguments, 6 collector not reached, 8 no such check or agent."
    )]
    Results(ResultsArgs),
    /// Shows the vitals of a page: p75, median, spread and ratings, for each device profile and region. Lab values.
    #[command(
        after_help = "Examples:\n  sitepulse-collector vitals shop-vitals\n  sitepulse-collector vitals shop-vitals --from -7d --region eu-west\n  \
                            sitepulse-collector vitals shop-vitals --from -30d --profile mobile --by-agent --json\n\n\
                            Without --from it covers 24 hours before --to (now). One value a run, the median of its loads; runs whose host was\n\
                            under pressure are counted, not graded. RATING is that of the p75, by the thresholds of the profile.\n\
                            A budget is an assertion of the check, like \"down if lcp > 8s\".\n\n\
                            Exit codes: 0 ok, 2 the check loads no page, 6 collector not reached, 8 no such check, profile, region or agent."
    )]
    Vitals(VitalsArgs),
    /// Stops runs of an agent, a check, or one check on one agent, for a time (1h unless told).
    #[command(
        after_help = "Examples:\n  sitepulse-collector suspend --agent eu-west-1 --for 2h --reason \"moving the rack\"\n  \
                            sitepulse-collector suspend --check shop --until 2026-11-23T06:00:00Z --reason \"release\"\n  \
                            sitepulse-collector suspend --check shop --agent eu-west-1 --reason \"flaky route\"    # for 1h\n\n\
                      It ends by itself after --for or at --until, after 1h where neither is given, or with `resume`."
    )]
    Suspend(SuspendArgs),
    /// Ends a suspension of the same scope.
    #[command(after_help = "Example:\n  sitepulse-collector resume --agent eu-west-1")]
    Resume(ScopeArgs),
    /// Sets the weight of an agent's vote, for all checks or one.
    #[command(after_help = "Examples:\n  sitepulse-collector weight 2 --agent eu-west-1\n  \
                            sitepulse-collector weight 0 --agent eu-west-1 --check shop    # watched, never counted")]
    Weight(WeightArgs),
    /// Runs a check at once on its agents, besides the schedule, and shows what each finds. Nothing of it is stored or counted.
    #[command(
        name = "run-now",
        after_help = "Examples:\n  sitepulse-collector run-now shop\n  sitepulse-collector run-now shop --agent eu-west-1 --json\n\n\
                      Exit codes: 0 up or degraded, 9 down on at least one agent, 10 unknown on at least one and down on none,\n\
                      6 no agent ran it."
    )]
    RunNow(RunNowArgs),
    /// Sets, lists and removes secrets that checks refer to as `secret:NAME`. No command shows a value.
    #[command(after_help = "Example:\n  sitepulse-collector secret set shop.token < token.txt")]
    Secret {
        /// What to do.
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Shows what the jobs of heartbeat checks call.
    #[command(after_help = "Example:\n  sitepulse-collector heartbeat url backup")]
    Heartbeat {
        /// What to do.
        #[command(subcommand)]
        command: HeartbeatCommand,
    },
    /// Shows who suspended, resumed, weighed or revoked what, when, and from which side.
    #[command(
        after_help = "Examples:\n  sitepulse-collector history\n  sitepulse-collector history --agent eu-west-1 --json"
    )]
    History(ScopeArgs),
    /// Looks through the whole store: every body can be read, counts and timelines are those of the records.
    #[command(
        after_help = "Examples:\n  sitepulse-collector verify\n  sitepulse-collector verify --data-dir ./data --json\n\n\
                            It reads the file as it is at one instant, and changes nothing; the collector may run meanwhile.\n\n\
                            Exit codes: 0 all is well, 4 something is damaged or the store cannot be read."
    )]
    Verify,
    /// Writes everything the collector knows into one file, at one instant, while it runs.
    #[command(after_help = "Examples:\n  sitepulse-collector backup /backup/sitepulse-2026-11-22.db\n  \
                            sitepulse-collector backup --with-seal-key /safe/sitepulse.db --json\n\n\
                            The file holds the authority's keys: keep it as safe as them. It must not exist yet. The collector goes on\n\
                            and waits for nothing; the command works on the files, with or without it.")]
    Backup {
        /// The file to write.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Puts the key of the sealed secrets into it too.
        #[arg(long)]
        with_seal_key: bool,
    },
    /// Makes a new data directory from a backup.
    #[command(
        after_help = "Example:\n  sitepulse-collector restore /backup/sitepulse-2026-11-22.db --data-dir /var/lib/sitepulse-collector\n\n\
                            Nothing is overwritten: a database or other keys that are there already must be moved away first."
    )]
    Restore {
        /// The backup.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

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

/// `token ...`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Creates a one-time token for an agent to join with, or (--api) a token for --url.
    #[command(after_help = "Examples:\n  sitepulse-collector token create --region eu-west\n  \
                            sitepulse-collector token create --region eu-west --ttl 10m --json\n  \
                            sitepulse-collector token create --api --ttl 30d")]
    Create(TokenCreateArgs),
}

/// `token create`
#[derive(Debug, Clone, Args)]
pub struct TokenCreateArgs {
    /// The region of the agent that joins with it.
    #[arg(long, value_name = "REGION", required_unless_present = "api")]
    pub region: Option<String>,
    /// Creates an API token instead.
    #[arg(long, conflicts_with = "region")]
    pub api: bool,
    /// How long it is good for: at most 1h to join [default: 1h; --api: 30d].
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,
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
    /// Retires the checks that the files do not name.
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
    /// One check; absent: all.
    pub check: Option<String>,
    /// Of what time, by whose votes.
    #[command(flatten)]
    pub asked: AskedArgs,
}

/// `explain`
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The check.
    pub check: String,
    /// Of what time, by whose votes.
    #[command(flatten)]
    pub asked: AskedArgs,
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
    /// At most so many, the oldest first.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub limit: usize,
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

/// `secret ...`
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Sets a secret, new or anew; its value comes from stdin or a file, never from the command line.
    #[command(after_help = "Examples:\n  sitepulse-collector secret set shop.token < token.txt\n  \
                            sitepulse-collector secret set client.key --file client.key\n\n\
                            The newline that ends a single line is not part of the value; a text of several lines stays as it is.")]
    Set {
        /// Its name: 1 to 64 of a-z, 0-9, `-`, `_` and `.`.
        name: String,
        /// Where the value is [default: stdin].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Lists the secrets: when each was set, and which checks use it.
    #[command(after_help = "Example:\n  sitepulse-collector secret list --json")]
    List,
    /// Removes a secret; refused while a check uses it.
    #[command(after_help = "Example:\n  sitepulse-collector secret remove shop.token")]
    Remove {
        /// Its name.
        name: String,
        /// Although checks use it: their runs say unknown from then on.
        #[arg(long)]
        force: bool,
    },
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

/// Runs the program: parses the command line, does the work, gives the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            commands::complain(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}

impl Global {
    /// The data directory: as given, or where it belongs for this user.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(default_data_dir)
    }
}

/// `/var/lib/sitepulse-collector` for root, else below the home directory.
pub fn default_data_dir() -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match home {
        Some(home) if !rustix::process::geteuid().is_root() => {
            PathBuf::from(home).join(".local/share/sitepulse-collector")
        }
        Some(_) | None => PathBuf::from("/var/lib/sitepulse-collector"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_lines_parse() {
        for line in [
            "serve --config f --data-dir d --http 127.0.0.1:0 --listen 0.0.0.0:0 --advertise a:1 --advertise b:2",
            "token create --region eu --ttl 1h --json",
            "token create --api --ttl 30d",
            "sign-in --json",
            "vitals shop-vitals --from -7d --to now --profile mobile --region eu --agent eu-1 --by-agent --json",
            "apply a.toml b.toml --dry-run --prune",
            "agents",
            "agents --json",
            "agents revoke eu-1",
            "checks --watch",
            "sla",
            "sla shop --from -7d --to now --agent a --json",
            "sla --region eu",
            "explain shop --from -7d --region eu --json",
            "latency shop --from -7d --to now --region eu --agent eu-1 --by agent --json",
            "suspend --agent a --check c --for 2h --reason why",
            "resume --check c",
            "weight 0.5 --agent a",
            "run-now shop --agent a --json",
            "secret set shop.token --file f",
            "secret set shop.token",
            "secret list --json",
            "secret remove shop.token --force",
            "heartbeat url backup",
            "backup /b/f.db --with-seal-key --json",
            "restore /b/f.db --data-dir d",
            "history --url https://c.example --token t",
        ] {
            let args = std::iter::once("sitepulse-collector").chain(line.split(' '));
            assert!(Cli::try_parse_from(args).is_ok(), "{line}");
        }
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        for line in [
            "token create",
            "token create --api --region eu",
            "apply",
            "sla --agent a --region b",
            "explain",
            "latency shop --by phase",
            "suspend --agent a --for 1h --until now --reason x",
            "suspend --agent a",
            "weight 1",
            "run-now",
            "secret set shop.token hunter2",
            "heartbeat url",
        ] {
            let args = std::iter::once("sitepulse-collector").chain(line.split(' '));
            assert!(Cli::try_parse_from(args).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        fn walk(command: &clap::Command) {
            for sub in command.get_subcommands() {
                if sub.get_name() == "help" || sub.get_name() == "revoke" || sub.get_name() == "token" {
                    walk(sub);
                    continue;
                }
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{} has no example", sub.get_name());
                walk(sub);
            }
        }
        walk(&Cli::command());
    }
}
