//! The command line: its grammar here, each command's work below.
//!
//! Every command but `serve` is a client of the one HTTP router, behind three doors ([`client`]): the running server's admin socket
//! in the data directory, `--url` with `--token` from afar, or the router called in this process when no server runs.
//! What a command prints goes to stdout, errors go to stderr, exit codes are those of `docs/exit-codes.md`.

pub mod args;
pub mod client;
pub mod commands;
pub mod table;
pub mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sitepulse_daemon::exit::Exit;

pub use args::*;

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
                  6 collector not reached, 7 cannot listen, 8 not found, 9 down, 10 unknown (run-now),\n\
                  11 figures changed (report verify)."
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
    /// An API token for --url, from `api-token create`.
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
    /// Makes, lists and revokes API tokens: for scripts, dashboards, and this command line from afar.
    #[command(
        name = "api-token",
        after_help = "Examples:\n  sitepulse-collector api-token create --scope read --note grafana --ttl 90d\n  \
                      sitepulse-collector api-token create --scope edit --note \"deploy pipeline\" --json\n  \
                      sitepulse-collector api-token list\n  sitepulse-collector api-token revoke 4f9c01aa23de\n\n\
                      A token is stored hashed and shown once. Scopes: read looks; respond also acts on incidents, silences and on-call;\n\
                      edit also changes what is watched; admin does everything.\n\n\
                      Exit codes: 0 ok, 2 no such scope, note or life, 6 collector not reached, 8 no such token."
    )]
    ApiToken {
        /// What to do.
        #[command(subcommand)]
        command: ApiTokenCommand,
    },
    /// Lists who may sign in, sets passwords, makes invitations, ends sessions.
    #[command(after_help = "Examples:\n  sitepulse-collector user list\n  sitepulse-collector user invite ana\n  \
                      sitepulse-collector user password ana                # asks twice, without echo\n  \
                      sitepulse-collector user password ana < password.txt\n  sitepulse-collector user sign-out ana\n\n\
                      A user and their role are written as [[user]] and applied; see docs/access.md.\n\n\
                      Exit codes: 0 ok, 2 the password is too short or too common, 5 the user has no role, 6 collector not reached, 8 no such user.")]
    User {
        /// What to do.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Shows who changed what, by which way, and what came of it: every change, sign-in and refusal, newest first.
    #[command(
        after_help = "Examples:\n  sitepulse-collector audit\n  sitepulse-collector audit --from -7d --author ana --json\n  \
                      sitepulse-collector audit --verify\n\n\
                      --verify looks through the whole log: each entry's hash covers the one before. It prints the newest hash; noted elsewhere it\n\
                      shows later that nothing before it was changed.\n\n\
                      Exit codes: 0 ok, 2 usage, 4 --verify: the log is not as it was written, 6 collector not reached."
    )]
    Audit(AuditArgs),
    /// Prints a one-time link that signs a browser in to the console.
    #[command(
        name = "sign-in",
        after_help = "Examples:\n  sitepulse-collector sign-in\n  sitepulse-collector sign-in --admin\n\nThe link works once, within 15 minutes."
    )]
    SignIn {
        /// The session may change things too: acknowledge, resolve and comment incidents in the console.
        #[arg(long)]
        admin: bool,
    },
    /// Applies checks, policies, objectives and maintenance windows written as code (TOML), and prints the plan. Idempotent.
    #[command(after_help = "Examples:\n  sitepulse-collector apply checks.toml\n  \
                            sitepulse-collector apply --dry-run checks.toml more.toml\n  \
                            sitepulse-collector apply --prune checks.toml      # retires everything the file does not name\n  \
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
                            sitepulse-collector sla --by-group --from -30d\n  sitepulse-collector sla --group web --json\n  \
                            sitepulse-collector sla shop --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --region eu-west --json\n  \
                            sitepulse-collector sla shop pay --from -30d --policy contract      # each time by the version in force then\n  \
                            sitepulse-collector sla shop --from -30d --policy contract@2        # all of it by version 2\n\n\
                            Without --from it covers 24 hours before --to (now). Never 100 % without evidence: no measurement is null.")]
    Sla(SlaArgs),
    /// Tells why a figure is what it is: the intervals behind it, with every agent's vote and the records it rests on.
    #[command(
        after_help = "Examples:\n  sitepulse-collector explain shop\n  sitepulse-collector explain shop --from -7d --json\n  \
                            sitepulse-collector explain shop --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --policy contract\n\n\
                            The intervals add up to the figures that `sla` gives for the same period."
    )]
    Explain(ExplainArgs),
    /// Lists the records of a check one by one: results, missed runs, tombstones, with all that is kept of each.
    #[command(
        after_help = "Examples:\n  sitepulse-collector results shop\n  sitepulse-collector results shop --agent eu-west-1 --from -1h --json\n  \
                            sitepulse-collector results shop --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --limit 5000\n\n\
                            Without --from it covers 24 hours before --to (now). The ID is that which `explain` counts: agent@slot. Records older than\n\
                            the collector keeps (90 days unless set) are gone, which is told; the timeline stays.\n\n\
                            Exit codes: 0 ok, 2 bad arguments, 6 collector not reached, 8 no such check or agent."
    )]
    Results(ResultsArgs),
    /// Shows what late data changed: the figures before and after, which agent was late, by how much.
    #[command(after_help = "Examples:\n  sitepulse-collector amendments\n  sitepulse-collector amendments shop\n  \
                            sitepulse-collector amendments shop --from -30d --json\n  \
                            sitepulse-collector amendments --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --limit 1000\n\n\
                            The newest first. --from and --to are about the time whose figures changed. An agent that was cut off sends what it\n\
                            kept: each figure is right at once, and half a minute after the last late record what changed is written down (an hour\n\
                            after the first where it is always late). Records alone amend: a suspension or weight that an agent brings late\n\
                            changes figures without an amendment, see `history`.\n\n\
                            Exit codes: 0 ok, 2 usage, 6 collector not reached, 8 no such check.")]
    Amendments(AmendmentsArgs),
    /// Lists the accounting policies with their versions, and what each says; or tries one out.
    #[command(after_help = "Examples:\n  sitepulse-collector policies\n  sitepulse-collector policies --json\n  \
                      sitepulse-collector policies --try contract.toml      # what it would have made of the last 30 days\n\n\
                      They are written as [[policy]] tables and applied with `sitepulse-collector apply`. A change makes the next version, in force\n\
                      from then on; `default` is built in. `sla --policy ID` counts with them.\n\n\
                      Exit codes: 0 ok, 2 usage, or a file that holds no policy, 6 collector not reached.")]
    Policies(PoliciesArgs),
    /// Stores the figures of a period with all that is needed to make them again, and makes them again.
    #[command(
        after_help = "Examples:\n  sitepulse-collector report store november shop pay --from 2026-11-01 --to 2026-12-01 --policy contract\n  \
                      sitepulse-collector report verify november\n  sitepulse-collector report show november --json\n  sitepulse-collector report list\n\n\
                      A report names the versions of the policy that counted, and never changes. Wait until agents had time to send what\n\
                      they held back: what comes later amends the figures, and `verify` says so.\n\n\
                      Exit codes: 0 ok, and of verify: the same to the last digit; 11 verify: the figures changed, 5 the name is taken,\n\
                      6 collector not reached, 8 no such check, policy or report."
    )]
    Report {
        /// What to do.
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// Shows what was promised, the error budget that is left, and how fast it burns.
    #[command(
        after_help = "Examples:\n  sitepulse-collector slo\n  sitepulse-collector slo shop-99 --json\n  sitepulse-collector slo shop-99 --history\n\n\
                            BURN is the rate over 1h, 6h and 3d, each with that of its last twelfth: 1x uses a period's\n\
                            budget up in that period. Where both reach 14.4x (1h) or 6x (6h), marked !, it burns fast,\n\
                            worth a page; at 1x (3d) slowly, worth a ticket. Brackets are bounds: what if all that is\n\
                            unknown had been down, or up.\n\n\
                            Exit codes: 0 ok, 6 collector not reached, 8 no such objective."
    )]
    Slo(SloArgs),
    /// Shows what to look at first: a score from 0 to 100 for each check, group and all of them, with what it is made of.
    #[command(after_help = "Examples:\n  sitepulse-collector impact\n  sitepulse-collector impact shop --json\n  \
                            sitepulse-collector impact --group front --at -7d\n  sitepulse-collector impact --model scoring.toml\n  \
                            sitepulse-collector impact shop --model scoring.toml\n  sitepulse-collector impact --model scoring.toml --days 7\n  \
                            sitepulse-collector impact --region eu-west\n  sitepulse-collector impact --group front --history\n\n\
                            Contributions add up to the score. Without evidence there is no score. --at tells the scores of an hour that is over\n\
                            as they were stored, with what they were made of; where that is not known, and with --evidence, it finds them again from\n\
                            the evidence, by the model in force then. --model tries another [[scoring]] on all checks, or on one check day\n\
                            by day over 28 days; nothing is changed. A region's scores are those that its agents alone would give. See docs/impact.md.\n\n\
                            Exit codes: 0 ok, 2 a value that makes no sense, 6 collector not reached, 8 no such check, group or region.")]
    Impact(ImpactArgs),
    /// Shows how alerting does: time to acknowledge and to resolve by severity, pages per incident, pages taken in time, pages that were spared.
    #[command(
        after_help = "Examples:\n  sitepulse-collector indicators\n  sitepulse-collector indicators --period 7d --zone Europe/Paris --json\n  \
                            sitepulse-collector indicators resolved --severity critical\n  sitepulse-collector indicators spared --period 7d\n\n\
                            Each is shown beside the period before. FIGURE tells the list that a figure counts. See docs/indicators.md for what each is.\n\n\
                            Exit codes: 0 ok, 2 no such period, zone or severity, 6 collector not reached, 8 no such figure."
    )]
    Indicators(IndicatorsArgs),
    /// Shows how things stand: availability of all checks, open incidents, maintenance debt, and how long critical incidents took.
    #[command(
        after_help = "Examples:\n  sitepulse-collector kpi\n  sitepulse-collector kpi --period 30d --zone Europe/Paris\n  \
                            sitepulse-collector kpi --period 7d --json\n\n\
                            7d and 30d are days of the calendar: they reach back to the same time on the wall. The change is against as many days before.\n\
                            Terms of the debt that nothing tells of yet are shown as absent; they are not 0.\n\n\
                            Exit codes: 0 ok, 2 no such period or zone, 6 collector not reached."
    )]
    Kpi(KpiArgs),
    /// Replays a check's evidence under another policy: which incidents would have opened, and which pages would be spared or missed.
    #[command(after_help = "Examples:\n  sitepulse-collector backtest --check shop --confirmations 3 --from -30d\n  \
                            sitepulse-collector backtest --check shop --quorum \"agents >= 2\" --recoveries 2 --from -7d --json\n  \
                            sitepulse-collector backtest --check shop --weight us-east-1=0.5 --without ap-south-1 --from -7d\n\n\
                            The policy asked for stands for the whole period; what is not named stays as it was. Without --from it covers 24\n\
                            hours before --to (now). Nothing is changed. When results arrived is not kept: late ones are taken as if they had\n\
                            come in time, so an agent that was cut off and caught up later may show pages that nobody got.\n\n\
                            Exit codes: 0 ok, 2 a value that makes no sense, 6 collector not reached, 8 no such check or agent.")]
    Backtest(BacktestArgs),
    /// Shows how long each phase of a check took: p50, p75, p95, p99, smallest and largest, over all regions and in each.
    #[command(
        after_help = "Examples:\n  sitepulse-collector latency shop\n  sitepulse-collector latency shop --from -7d --region eu-west\n  \
                            sitepulse-collector latency shop --from -30d --by agent --json\n\n\
                            Without --from it covers 24 hours before --to (now). The period is widened to full hours of UTC, which are told.\n\
                            Results that were up or degraded count; those that were down are counted beside. Percentiles are off by less than 1 %.\n\n\
                            Exit codes: 0 ok, 2 an empty period, 6 collector not reached, 8 no such check, region or agent."
    )]
    Latency(LatencyArgs),
    /// Shows the channels that messages go out by: their kind, who uses them, and what became of the last message.
    #[command(after_help = "Examples:\n  sitepulse-collector channels\n  sitepulse-collector channels --json\n\n\
                            A channel is written as [[channel]] and applied. Its secrets are never shown; those that are not set are named.\n\n\
                            Exit codes: 0 ok, 6 collector not reached.")]
    Channels,
    /// Sends a test message by a channel at once, and tells what its provider said.
    #[command(
        name = "test-channel",
        after_help = "Examples:\n  sitepulse-collector test-channel ops-hook\n  sitepulse-collector test-channel ops-hook --json\n\n\
                            The running collector sends it, once, the way that it sends pages, and writes it to the delivery log. By PagerDuty and Opsgenie\n\
                            it opens an alert of the lowest severity: close it there.\n\n\
                            Exit codes: 0 delivered, 1 not delivered, 5 the token may not, 6 collector not reached, 8 no such channel."
    )]
    TestChannel(TestChannelArgs),
    /// Shows the delivery log: every attempt to send a message, newest first, with what the provider said.
    #[command(
        after_help = "Examples:\n  sitepulse-collector deliveries\n  sitepulse-collector deliveries --channel ops-hook --limit 20 --json\n\n\
                            Exit codes: 0 ok, 2 no such limit, 6 collector not reached, 8 no such channel."
    )]
    Deliveries(DeliveriesArgs),
    /// Tries a message again now: one that was given up, or that waits to be tried again.
    #[command(
        name = "retry-delivery",
        after_help = "Examples:\n  sitepulse-collector retry-delivery 20261122-4f7k2zq/1/ops-hook\n\n\
                            `incident ID` shows the keys of its messages. One that a later message of the incident has overtaken stays as it is.\n\n\
                            Exit codes: 0 it is tried again, 5 it was delivered, waits for its first try, or is overtaken, 6 collector not reached, 8 no such message."
    )]
    RetryDelivery {
        /// The message: INCIDENT/STEP/CHANNEL.
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Shows when maintenance windows were, are and will be open, and which checks they cover.
    #[command(
        after_help = "Examples:\n  sitepulse-collector windows\n  sitepulse-collector windows shop --from now --to 2027-01-01\n  \
                            sitepulse-collector windows --from -30d --json\n\n\
                            Without --from it begins 7 days ago, without --to it ends in 30 days. A window is written as [[maintenance]] and applied; a\n\
                            change makes a new version (NAME@VERSION) from then on and leaves the past as it was.\n\n\
                            Exit codes: 0 ok, 2 no such period, 6 collector not reached, 8 no such check."
    )]
    Windows(WindowsArgs),
    /// Shows the public status pages: their addresses, their states, and the checks behind each item.
    #[command(
        name = "status-pages",
        after_help = "Examples:\n  sitepulse-collector status-pages\n  sitepulse-collector status-pages --json\n\n\
                            A page is written as [[status_page]] and applied. AVAILABILITY is what the public is told: the lower of availability and\n\
                            weighted availability.\n\n\
                            Exit codes: 0 ok, 6 collector not reached."
    )]
    StatusPages,
    /// Shows the vitals of a page: p75, p50, p95, p99, spread and ratings, for each device profile and region. Lab values.
    #[command(
        after_help = "Examples:\n  sitepulse-collector vitals shop-vitals\n  sitepulse-collector vitals shop-vitals --from -7d --region eu-west\n  \
                            sitepulse-collector vitals shop-vitals --from -30d --profile mobile --by-agent --json\n\n\
                            Without --from it covers 24 hours before --to (now). One value a run, the median of its loads; runs whose host was\n\
                            under pressure are counted, not graded. RATING is that of the p75, by the thresholds of the profile.\n\
                            Percentiles of many or old runs are off by less than 1 %; a period is widened to full days where single runs are no\n\
                            longer kept ([retention] hourly).\n\
                            A budget is an assertion of the check, like \"down if lcp > 8s\".\n\n\
                            Exit codes: 0 ok, 2 the check loads no page, 6 collector not reached, 8 no such check, profile, region or agent."
    )]
    Vitals(VitalsArgs),
    /// Lists incidents: what is suspected, open or acknowledged; with --all what is over too.
    #[command(
        after_help = "Examples:\n  sitepulse-collector incidents\n  sitepulse-collector incidents --all --from -7d --check shop\n  \
                            sitepulse-collector incidents --json\n  sitepulse-collector incidents --summary --from -7d\n\n\
                            The newest first. With --all it covers 30 days before --to (now) unless --from is given. A suspicion is not confirmed\n\
                            yet: nobody was told, and it leaves no trace when it is not. --json prints a list; instants are RFC 3339 or null.\n\n\
                            Exit codes: 0 ok, 2 usage, 6 collector not reached, 8 no such check or agent."
    )]
    Incidents(IncidentsArgs),
    /// Shows one incident: its evidence, its history, its messages with every attempt to deliver them.
    #[command(
        after_help = "Examples:\n  sitepulse-collector incident 20261122-4f7k2\n  sitepulse-collector incident 20261122-4f7k2 --json\n  \
                            sitepulse-collector incident 20261122-4f7k2 --verify\n\n\
                            Exit codes: 0 ok, 4 --verify: the history is not as it was written, 6 collector not reached, 8 no such incident."
    )]
    Incident(IncidentArgs),
    /// Acknowledges an incident: the ladder of pages pauses.
    #[command(
        after_help = "Examples:\n  sitepulse-collector ack 20261122-4f7k2\n  sitepulse-collector ack 20261122-4f7k2 --by ana --json\n\n\
                            Exit codes: 0 ok, 5 it is only suspected, acknowledged already, or over, 6 collector not reached, 8 no such incident."
    )]
    Ack(AckArgs),
    /// Says that an incident is over. It opens again by itself once the evidence was fine and is bad again.
    #[command(after_help = "Examples:\n  sitepulse-collector resolve 20261122-4f7k2 --by ana\n\n\
                            Exit codes: 0 ok, 5 it is only suspected, or over, 6 collector not reached, 8 no such incident.")]
    Resolve(AckArgs),
    /// Opens an incident again. Where the evidence is fine it stays open until somebody resolves it, or it was bad and fine again.
    #[command(after_help = "Examples:\n  sitepulse-collector reopen 20261122-4f7k2 --by ana\n\n\
                            Exit codes: 0 ok, 5 it is open, or a newer one of the same check and kind is there, 6 collector not\n\
                            reached, 8 no such incident.")]
    Reopen(AckArgs),
    /// Writes a comment into an incident's history.
    #[command(after_help = "Examples:\n  sitepulse-collector comment 20261122-4f7k2 \"the switch in rack 4\"\n  \
                            sitepulse-collector comment 20261122-4f7k2 --public \"We are replacing a part.\"\n\n\
                            Exit codes: 0 ok, 2 no text, or too long, 5 it is only suspected, 6 collector not reached, 8 no such incident.")]
    Comment(CommentArgs),
    /// Says who works on an incident.
    #[command(after_help = "Examples:\n  sitepulse-collector assign 20261122-4f7k2 ana\n  \
                            sitepulse-collector assign 20261122-4f7k2            # nobody any more\n\n\
                            Exit codes: 0 ok, 5 it is only suspected, 6 collector not reached, 8 no such incident.")]
    Assign(AssignArgs),
    /// Writes down what was learned from an incident, instead of what was written before.
    #[command(
        name = "post-mortem",
        after_help = "Examples:\n  sitepulse-collector post-mortem 20261122-4f7k2 learned.md\n  \
                      sitepulse-collector post-mortem 20261122-4f7k2 < learned.md\n\n\
                      Each version stays in the history.\n\n\
                      Exit codes: 0 ok, 2 no text, or too long, 5 it is only suspected, 6 collector not reached, 8 no such incident or file."
    )]
    PostMortem(PostMortemArgs),
    /// Opens an incident that nothing measured tells of.
    #[command(after_help = "Examples:\n  sitepulse-collector open --title \"mail to customers bounces\"\n  \
                            sitepulse-collector open --title \"checkout shows wrong prices\" --check shop --severity critical --json\n\n\
                            It pages by the policy of the check that is named, else by the default one, until somebody resolves it.\n\n\
                            Exit codes: 0 ok, 2 no title, or no such severity, 6 collector not reached, 8 no such check.")]
    Open(OpenArgs),
    /// Lists what detectors found in the ledger and what is not over: what got slower, expires, flaps, fails together, is watched by nobody.
    #[command(
        after_help = "Examples:\n  sitepulse-collector findings\n  sitepulse-collector findings --check shop --kind expiry --json\n  \
                      sitepulse-collector findings --all --severity critical\n  sitepulse-collector findings 20261123-4f7k2zq\n\n\
                      While no server runs nothing is looked for: what was found last is shown. See docs/findings.md.\n\n\
                      Exit codes: 0 ok, 2 a word that is none, 6 collector not reached, 8 no such finding or check."
    )]
    Findings(FindingsArgs),
    /// Acknowledges a finding, or takes that back.
    #[command(
        after_help = "Examples:\n  sitepulse-collector finding ack 20261123-4f7k2zq --note \"known, see ticket 7\"\n  \
                      sitepulse-collector finding take-back 20261123-4f7k2zq\n\n\
                      Exit codes: 0 ok, 2 no note, or a long one, 5 it is over, or was not acknowledged, 6 collector not reached,\n\
                      8 no such finding."
    )]
    Finding {
        /// What to do.
        #[command(subcommand)]
        command: FindingCommand,
    },
    /// Keeps pages still for a time, with a reason. Incidents open all the same; what is still due goes out when it ends.
    #[command(after_help = "Examples:\n  sitepulse-collector silence --check shop --for 2h --reason \"release\"\n  \
                            sitepulse-collector silence --group web --tag eu --until 2026-11-23T06:00:00Z --reason \"provider works\"\n  \
                            sitepulse-collector silence --everything --for 30m --reason \"moving the collector\"\n\n\
                            Whatever one of the names names is silent. --agent is about incidents of the agents themselves. At most 90d.\n\n\
                            Exit codes: 0 ok, 2 no end, no reason, or nothing named, 5 there are too many, 6 collector not reached, 8 no such\n\
                            check, group, tag or agent.")]
    Silence(SilenceArgs),
    /// Lists silences: those that are not over; with --all every one there was.
    #[command(
        after_help = "Examples:\n  sitepulse-collector silences\n  sitepulse-collector silences --all --json\n\n\
                            Exit codes: 0 ok, 6 collector not reached."
    )]
    Silences {
        /// Those that are over too.
        #[arg(long)]
        all: bool,
    },
    /// Ends a silence before its time.
    #[command(after_help = "Example:\n  sitepulse-collector unsilence s-4f7k2mq\n\n\
                            Exit codes: 0 ok, 5 it is over, 6 collector not reached, 8 no such silence.")]
    Unsilence {
        /// The silence.
        id: String,
    },
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
    /// Shows who is on call, until when, and who is next; has somebody stand in; prints calendars and their address.
    #[command(
        name = "oncall",
        after_help = "Examples:\n  sitepulse-collector oncall\n  sitepulse-collector oncall primary --at 2026-12-24T20:00\n  \
                            sitepulse-collector oncall calendar primary --from 2026-12-01 --to 2027-01-01\n  \
                            sitepulse-collector oncall override primary bob --from 2026-12-24T18:00 --to 2026-12-26\n  \
                            sitepulse-collector oncall feed primary --user ana\n\n\
                            A time without a zone is on the wall of the schedule's zone. A schedule is written as [[schedule]] and applied, see\n\
                            docs/oncall.md.\n\n\
                            Exit codes: 0 ok, 2 bad arguments, 5 the override is over, 6 collector not reached, 8 no such schedule, user or override.",
        args_conflicts_with_subcommands = true
    )]
    Oncall {
        /// What to do instead of showing who is on call.
        #[command(subcommand)]
        command: Option<OncallCommand>,
        /// What to show.
        #[command(flatten)]
        args: OncallArgs,
    },
    /// Shows the jobs of the collector (backups, exports, sealing, runs of many checks), asks for one, cancels, tries again, re-prioritises.
    #[command(
        after_help = "Examples:\n  sitepulse-collector jobs\n  sitepulse-collector jobs --state failed --json\n  \
                      sitepulse-collector jobs show hncvd2o4ao\n  sitepulse-collector jobs run backup\n  \
                      sitepulse-collector jobs run run_checks --group web\n  sitepulse-collector jobs priority hncvd2o4ao 900\n\n\
                      The higher priority goes first; each 10 s of waiting make up for a point, so nothing waits for ever. See docs/jobs.md.\n\n\
                      Exit codes: 0 ok, 2 no such kind, state or argument, 5 the job is in no state for that, 6 collector not reached, 8 no such job.",
        args_conflicts_with_subcommands = true
    )]
    Jobs {
        /// What to do instead of listing.
        #[command(subcommand)]
        command: Option<JobsCommand>,
        /// What to list.
        #[command(flatten)]
        args: JobsArgs,
    },
    /// Shows the escalation policies, and whom each level would tell right now.
    #[command(
        after_help = "Examples:\n  sitepulse-collector escalations\n  sitepulse-collector escalations default --severity minor --json\n\n\
                            Quiet hours hold messages back by the incident's severity: --severity says of which [default: critical].\n\n\
                            Exit codes: 0 ok, 2 no such severity, 6 collector not reached, 8 no such policy."
    )]
    Escalations(EscalationsArgs),
    /// Lists the playbooks: what to do about each kind of incident and finding, with what their runs came to.
    #[command(after_help = "Examples:\n  sitepulse-collector playbooks\n  sitepulse-collector playbooks --json\n\n\
                            Own ones are written as [[playbook]] and applied; they come before the built-in ones of their kind. See docs/playbooks.md.\n\n\
                            Exit codes: 0 ok, 6 collector not reached.")]
    Playbooks,
    /// Shows, offers and runs playbooks.
    #[command(after_help = "Examples:\n  sitepulse-collector playbook offers --incident 20261122-4f7k2zq\n  \
                            sitepulse-collector playbook run service-down --incident 20261122-4f7k2zq\n  \
                            sitepulse-collector playbook status p-20261123-4f7k2mq\n  \
                            sitepulse-collector playbook tick p-20261123-4f7k2mq phase\n\n\
                            The collector runs no command of a playbook: they are shown with the real names, to be copied.\n\n\
                            Exit codes: 0 ok, 2 bad arguments, 5 it runs already, has ended, or the step is marked, 6 collector not reached,\n\
                            8 no such playbook, run, incident, finding or check.")]
    Playbook {
        /// What to do.
        #[command(subcommand)]
        command: PlaybookCommand,
    },
    /// Looks through the whole store: every body can be read, counts and timelines are those of the records, histories of incidents as written.
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
    /// Writes records into a file for other programs: JSON Lines, CSV or Parquet.
    #[command(after_help = "Examples:\n  sitepulse-collector export ledger.parquet\n  \
                            sitepulse-collector export --check shop --from -30d shop.csv\n  \
                            sitepulse-collector export --format jsonl - | head\n\n\
                            JSON Lines and Parquet carry the histories of checks, agents, suspensions and weights too, so that `import` gives\n\
                            the same figures elsewhere; CSV carries records alone. It reads the files at one instant, with or without a running\n\
                            collector. Secrets are never in it.\n\n\
                            Exit codes: 0 ok, 1 the file cannot be written, 2 no format, 4 no data, 5 the file exists, 8 no such check.")]
    Export(ExportArgs),
    /// Takes records of an exported file in.
    #[command(
        after_help = "Examples:\n  sitepulse-collector import ledger.parquet\n  sitepulse-collector import shop.csv --json\n\n\
                            Importing again changes nothing. Checks that are not known here come with their history and have ended with the\n\
                            export; `apply` starts them again. What is refused is told, and is in the file still.\n\n\
                            Exit codes: 0 all taken or known, 3 the file is damaged, 5 some were refused, 6 no collector, 8 no such file."
    )]
    Import(ImportArgs),
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
