//! Arguments of the commands about incidents, and about whom they are told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::PeriodArgs;

/// `oncall`
#[derive(Debug, Clone, Default, Args)]
pub struct OncallArgs {
    /// One schedule alone.
    #[arg(value_name = "SCHEDULE")]
    pub schedule: Option<String>,
    /// When [default: now].
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub at: Option<String>,
}

/// `oncall ...`
#[derive(Debug, Subcommand)]
pub enum OncallCommand {
    /// Shows who is on call over a time, gaps too.
    #[command(after_help = "Examples:\n  sitepulse-collector oncall calendar primary\n  \
                      sitepulse-collector oncall calendar primary --from 2026-12-01 --to 2027-01-01 --json")]
    Calendar {
        /// The schedule.
        #[arg(value_name = "SCHEDULE")]
        schedule: String,
        /// The time [default: from now on for 31 days].
        #[command(flatten)]
        period: PeriodArgs,
    },
    /// Has somebody stand in, above all that is written as code.
    #[command(after_help = "Examples:\n  sitepulse-collector oncall override primary bob --to +4h\n  \
                      sitepulse-collector oncall override primary bob --from 2026-12-24T18:00 --to 2026-12-26")]
    Override {
        /// The schedule.
        #[arg(value_name = "SCHEDULE")]
        schedule: String,
        /// Who stands in.
        #[arg(value_name = "USER")]
        user: String,
        /// First instant, not before now [default: now].
        #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
        from: Option<String>,
        /// First instant after.
        #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
        to: String,
    },
    /// Lists who stood, stands or will stand in.
    #[command(after_help = "Example:\n  sitepulse-collector oncall overrides primary")]
    Overrides {
        /// The schedule.
        #[arg(value_name = "SCHEDULE")]
        schedule: String,
    },
    /// Takes an override back, from now on.
    #[command(
        name = "end-override",
        after_help = "Example:\n  sitepulse-collector oncall end-override primary 3    # its number in `oncall overrides primary`"
    )]
    EndOverride {
        /// The schedule.
        #[arg(value_name = "SCHEDULE")]
        schedule: String,
        /// The number.
        #[arg(value_name = "NUMBER")]
        number: u32,
    },
    /// Prints the address of a schedule's calendar (iCalendar), for calendar programs.
    #[command(
        after_help = "Examples:\n  sitepulse-collector oncall feed primary\n  sitepulse-collector oncall feed primary --user ana\n  \
                      sitepulse-collector oncall feed primary --rotate    # every address printed before is void\n\n\
                      Whoever has the address can read this calendar, and nothing else."
    )]
    Feed {
        /// The schedule.
        #[arg(value_name = "SCHEDULE")]
        schedule: String,
        /// The shifts of one user alone.
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// Makes all addresses of the schedule void that were printed before.
        #[arg(long)]
        rotate: bool,
    },
    /// Lists the users: how they are told, whether they rest, where they are on call.
    #[command(after_help = "Example:\n  sitepulse-collector oncall users --json")]
    Users,
}

/// `escalations`
#[derive(Debug, Clone, Args)]
pub struct EscalationsArgs {
    /// One policy alone.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// For an incident of this severity: info, minor, major or critical.
    #[arg(long, value_name = "SEVERITY")]
    pub severity: Option<String>,
}

/// `test-channel`
#[derive(Debug, Clone, Args)]
pub struct TestChannelArgs {
    /// The channel.
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
}

/// `deliveries`
#[derive(Debug, Clone, Args)]
pub struct DeliveriesArgs {
    /// This channel alone.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// At most so many, the newest; 100 where nothing is said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: Option<u32>,
}

/// `incidents`
#[derive(Debug, Clone, Args)]
pub struct IncidentsArgs {
    /// Those that are over too.
    #[arg(long)]
    pub all: bool,
    /// How many there were, and how long they took (MTTA, MTTR), instead of a list.
    #[arg(long, conflicts_with_all = ["all", "agent", "kind"])]
    pub summary: bool,
    /// When.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// This check's alone.
    #[arg(long, value_name = "ID")]
    pub check: Option<String>,
    /// This agent's alone.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// This kind's alone: down, regional, degraded, agent_silent, certificate, web_vitals, slo_burn or manual.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    pub limit: usize,
}

/// `ack`, `resolve`, `reopen`
#[derive(Debug, Clone, Args)]
pub struct AckArgs {
    /// The incident.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Who does [default: whoever calls: collector:cli, or the token's name].
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `comment`
#[derive(Debug, Clone, Args)]
pub struct CommentArgs {
    /// The incident.
    #[arg(value_name = "ID")]
    pub id: String,
    /// What to write.
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Publishes it: every status page that tells of the incident shows it.
    #[arg(long)]
    pub public: bool,
}

/// `assign`
#[derive(Debug, Clone, Args)]
pub struct AssignArgs {
    /// The incident.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Who works on it; absent: nobody any more.
    #[arg(value_name = "USER")]
    pub to: Option<String>,
}

/// `post-mortem`
#[derive(Debug, Clone, Args)]
pub struct PostMortemArgs {
    /// The incident.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Where the text is; `-` is stdin.
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
}

/// `open`
#[derive(Debug, Clone, Args)]
pub struct OpenArgs {
    /// What it is called, on one line.
    #[arg(long, value_name = "TEXT")]
    pub title: String,
    /// A check that it has to do with.
    #[arg(long, value_name = "ID")]
    pub check: Option<String>,
    /// critical, major, minor or info [default: as the check that is named, when down; else major].
    #[arg(long, value_name = "SEVERITY")]
    pub severity: Option<String>,
}

/// `silence`
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["checks", "groups", "tags", "agents", "everything"])),
          group(clap::ArgGroup::new("end").required(true).args(["duration", "until"])))]
pub struct SilenceArgs {
    /// A check; repeat it for several.
    #[arg(long = "check", value_name = "ID", conflicts_with = "everything")]
    pub checks: Vec<String>,
    /// A group of checks; repeat it for several.
    #[arg(long = "group", value_name = "GROUP", conflicts_with = "everything")]
    pub groups: Vec<String>,
    /// Checks with a tag; repeat it for several.
    #[arg(long = "tag", value_name = "TAG", conflicts_with = "everything")]
    pub tags: Vec<String>,
    /// An agent's own incidents; repeat it for several.
    #[arg(long = "agent", value_name = "NAME", conflicts_with = "everything")]
    pub agents: Vec<String>,
    /// Everything.
    #[arg(long)]
    pub everything: bool,
    /// From when on [default: now].
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<String>,
    /// For how long, like `2h`: at most 90d.
    #[arg(long = "for", value_name = "DURATION")]
    pub duration: Option<String>,
    /// Until when: at most 90 days after it begins.
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<String>,
    /// Why; it is shown wherever the silence is.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `incident`
#[derive(Debug, Clone, Args)]
pub struct IncidentArgs {
    /// The incident.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Tells only whether its history is as it was written, and its newest hash.
    #[arg(long)]
    pub verify: bool,
}
