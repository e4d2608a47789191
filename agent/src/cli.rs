//! The command line.

mod probe;
mod vitals;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use sitepulse_browser::keeper;
use sitepulse_daemon::exit::{Exit, Fatal};
use sitepulse_daemon::lock::{DataDirLock, LockError};
use sitepulse_daemon::{clock, instant, logging};
use sitepulse_model::duration;
use sitepulse_model::id::AgentName;
use sitepulse_model::record::ProbeState;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::token::JoinToken;

use self::probe::ProbeArgs;
use self::vitals::VitalsArgs;
use crate::config::{Config, check_address};
use crate::control::{Answer, Request, offline, socket};
use crate::runner::{self, Options};
use crate::spool::Limits;
use crate::state::Identity;

/// How long the command line waits for an agent that is just starting or stopping.
const ASK_US_MAX: u64 = 5_000_000;
/// A suspension's length unless told otherwise.
const SUSPEND_US_DEFAULT: u64 = 3_600_000_000;

/// Runs checks on schedule, keeps every result, ships them to the collector.
#[derive(Debug, Parser)]
#[command(
    name = "sitepulse-agent",
    version,
    after_help = "Examples:\n  sitepulse-agent join sp1_...            enrol with a token of `sitepulse-collector token create`\n  sitepulse-agent run                     run in the foreground (systemd does this)\n  sitepulse-agent status --json           how it fares, for scripts\n  sitepulse-agent suspend --for 2h --reason 'moving racks'\n  sitepulse-agent probe https://shop.example/   run a check once, here and now\n  sitepulse-agent vitals https://shop.example/  measure a page in a browser\n\nExit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 data directory, 5 refused, 6 unreachable, 8 not found, 9 down, 10 unknown.\nThe log level is SITEPULSE_LOG (error, warn, info, debug, trace)."
)]
pub struct Cli {
    /// Where state and spool are [default: /var/lib/sitepulse-agent for root, else ~/.local/share/sitepulse-agent].
    #[arg(long, global = true, env = "SITEPULSE_AGENT_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol this agent with a one-time token.
    #[command(
        after_help = "Examples:\n  sitepulse-agent join sp1_...\n  sitepulse-agent join sp1_... --name berlin-1 --data-dir /srv/agent\n\nA join that was cut short is repeated with the same command."
    )]
    Join {
        /// The token from `sitepulse-collector token create`.
        token: String,
        /// The name to ask for; without it the collector chooses.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Run the agent in the foreground.
    #[command(
        after_help = "Examples:\n  sitepulse-agent run\n  sitepulse-agent run --config /etc/sitepulse/agent.toml --collector collector.example:8443\n  sitepulse-agent run --allow private --allow 100.64.0.0/10"
    )]
    Run {
        /// Configuration file (TOML).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A collector to try first, as host:port; may be repeated.
        #[arg(long, value_name = "ADDR")]
        collector: Vec<String>,
        /// Let probes dial these too, besides public addresses and the configuration's list: loopback, private, or a network as
        /// 10.0.0.0/8; may be repeated.
        #[arg(long, value_name = "ENTRY", env = "SITEPULSE_ALLOW", value_delimiter = ',')]
        allow: Vec<String>,
    },
    /// Run a check once, here and now, and print everything measured. Needs no agent.
    #[command(after_help = probe::EXAMPLES)]
    Probe(Box<ProbeArgs>),
    /// Measure the Core Web Vitals of a page in a real browser, here and now. Needs no agent.
    #[command(after_help = vitals::EXAMPLES)]
    Vitals(Box<VitalsArgs>),
    /// Run a check of the running agent at once, besides its schedule. Nothing counts it.
    #[command(
        after_help = "Examples:\n  sitepulse-agent run-now shop\n  sitepulse-agent run-now shop --json | jq .phases_us\n\nExit codes as for `probe`: 0 up or degraded, 9 down, 10 unknown."
    )]
    RunNow {
        /// The check's id.
        check: String,
        #[command(flatten)]
        output: Output,
    },
    /// Tell how the agent fares.
    #[command(after_help = "Examples:\n  sitepulse-agent status\n  sitepulse-agent status --json | jq .running")]
    Status(Output),
    /// List what the agent runs, with the last result of each check.
    #[command(
        after_help = "Examples:\n  sitepulse-agent checks\n  sitepulse-agent checks --json | jq '.[] | select(.last.state != \"up\")'"
    )]
    Checks(Output),
    /// Tell what waits for the collector.
    #[command(after_help = "Examples:\n  sitepulse-agent spool\n  sitepulse-agent spool --json | jq .records")]
    Spool(Output),
    /// Stop runs for a time. Works while the collector is away and while the agent is stopped.
    #[command(
        after_help = "Examples:\n  sitepulse-agent suspend --reason 'router swap'                 everything, for 1h\n  sitepulse-agent suspend --check shop --for 2h --reason release\n  sitepulse-agent suspend --until 2026-12-01T06:00:00Z --reason 'data centre works'"
    )]
    Suspend {
        /// One check by its id; without it, everything on this agent.
        #[arg(long, value_name = "ID")]
        check: Option<String>,
        /// For how long, as in 30m or 2h [default: 1h].
        #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
        length: Option<String>,
        /// Until when, as RFC 3339.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Why; shown to everybody.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        output: Output,
    },
    /// End a suspension early.
    #[command(after_help = "Examples:\n  sitepulse-agent resume\n  sitepulse-agent resume --check shop")]
    Resume {
        /// One check by its id; without it, the agent's own suspension.
        #[arg(long, value_name = "ID")]
        check: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Start a browser for an agent of another user, and stay beside it (systemd does this).
    #[command(hide = true)]
    KeepBrowser {
        /// The browser and its flags.
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
    /// Set the weight of this agent's vote (0 to 1000; 0 is watched, but never counted).
    #[command(after_help = "Examples:\n  sitepulse-agent weight 2\n  sitepulse-agent weight 0.5 --check shop")]
    Weight {
        /// The weight, as in 1.5.
        value: String,
        /// For one check by its id; without it, for all.
        #[arg(long, value_name = "ID")]
        check: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
struct Output {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `join` prints.
#[derive(Debug, Serialize)]
struct JoinView {
    name: String,
    agent: u32,
    region: String,
    certificate_expires: String,
    data_dir: String,
}

/// Parses the command line, does it, and gives the exit code.
pub fn main() -> Exit {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::of(error.as_ref())
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Run { config, collector, allow } => {
            for address in &collector {
                check_address(address).map_err(|reason| Fatal::new(Exit::Usage, format!("--collector {reason}")))?;
            }
            let config = config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
            let policy = config.policy(&allow);
            let policy =
                policy.map_err(|reason| Fatal::new(Exit::Usage, format!("--allow or SITEPULSE_ALLOW: {reason}")))?;
            logging::init(config.log.as_deref()).map_err(|error| Fatal::new(Exit::Config, error))?;
            let data_dir = cli.data_dir.or_else(|| config.data_dir.clone()).unwrap_or_else(runner::data_dir_default);
            let runtime = runtime()?;
            let outcome = runtime.block_on(runner::run(Options { data_dir, config, collectors: collector, policy }));
            // A name lookup that hangs must not hold up the end.
            runtime.shutdown_background();
            outcome.map(|()| Exit::Ok)
        }
        Command::Probe(args) => {
            logging::init(Some("warn"))?;
            let runtime = runtime()?;
            let outcome = probe::probe(&args, &runtime);
            runtime.shutdown_background();
            outcome
        }
        Command::Vitals(args) => {
            logging::init(Some("warn"))?;
            let runtime = runtime()?;
            let outcome = vitals::vitals(&args, &runtime);
            runtime.shutdown_background();
            outcome
        }
        Command::KeepBrowser { program } => {
            logging::init(Some("warn"))?;
            match keeper::keep(&program).context("keep-browser, with an agent's connection as its standard input")? {
                0 => Ok(Exit::Ok),
                code => Err(Fatal::new(Exit::Failure, format!("the browser ended with {code}")).into()),
            }
        }
        Command::RunNow { check, output } => ask(cli.data_dir, &Request::RunNow { check }, &output),
        Command::Join { token, name, output } => {
            logging::init(Some("warn"))?;
            let token: JoinToken = token.parse().map_err(|error| Fatal::new(Exit::Usage, error))?;
            let name = name.map(|name| AgentName::parse(&name)).transpose();
            let name = name.map_err(|error| Fatal::new(Exit::Usage, error.to_string()))?;
            let dir = cli.data_dir.unwrap_or_else(runner::data_dir_default);
            let identity = runtime()?.block_on(crate::join::join(&dir, &token, name))?;
            let view = join_view(&identity, &dir);
            print(&output, &view, || {
                format!(
                    "joined as agent {} (number {}) in region {}\nthe certificate lasts until {} and renews itself\nstart it with: sitepulse-agent run --data-dir {}\n",
                    view.name, view.agent, view.region, view.certificate_expires, view.data_dir
                )
            })
        }
        Command::Status(output) => ask(cli.data_dir, &Request::Status, &output),
        Command::Checks(output) => ask(cli.data_dir, &Request::Checks, &output),
        Command::Spool(output) => ask(cli.data_dir, &Request::Spool, &output),
        Command::Suspend { check, length, until, reason, output } => {
            let until = suspend_until(length.as_deref(), until.as_deref(), clock::now())?;
            ask(cli.data_dir, &Request::Suspend { check, until_us: until.0, reason }, &output)
        }
        Command::Resume { check, output } => ask(cli.data_dir, &Request::Resume { check }, &output),
        Command::Weight { value, check, output } => {
            ask(cli.data_dir, &Request::Weight { check, weight: value }, &output)
        }
    }
}

fn suspend_until(length: Option<&str>, until: Option<&str>, now: UtcMicros) -> anyhow::Result<UtcMicros> {
    if let Some(until) = until {
        return instant::parse(until, now).map_err(|error| Fatal::new(Exit::Usage, error).into());
    }
    let length = match length {
        Some(length) => duration::parse(length).map_err(|error| Fatal::new(Exit::Usage, error))?,
        None => SUSPEND_US_DEFAULT,
    };
    Ok(now.plus_us(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn join_view(identity: &Identity, dir: &Path) -> JoinView {
    JoinView {
        name: identity.name.to_string(),
        agent: identity.agent.0,
        region: identity.region.to_string(),
        certificate_expires: instant::format(identity.certificate_expires),
        data_dir: dir.display().to_string(),
    }
}

/// Blocking threads: what the collector's name and a stop need. Probes need none.
const BLOCKING_THREADS_MAX: usize = 16;

/// Single-threaded: the agent's work is waiting. Name resolution needs a few threads of its own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_stack_size(512 << 10)
        .thread_keep_alive(Duration::from_secs(30))
        .build()?)
}

fn ask(data_dir: Option<PathBuf>, request: &Request, output: &Output) -> anyhow::Result<Exit> {
    logging::init(Some("warn"))?;
    let dir = data_dir.unwrap_or_else(runner::data_dir_default);
    if !dir.is_dir() {
        return Err(offline::not_joined(&dir).into());
    }
    let answer = runtime()?.block_on(answer(&dir, request))?;
    match answer {
        Answer::Status(view) => print(output, &view, || view.text()),
        Answer::Checks(view) => print(output, &view, || view.text()),
        Answer::Spool(view) => print(output, &view, || view.text()),
        Answer::Event(view) => print(output, &view, || view.text()),
        Answer::Ran(view) => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            print(output, &view, || view.text(colour))?;
            let state = ProbeState::ALL.iter().find(|state| state.as_str() == view.state);
            Ok(probe::exit_of(state.copied().unwrap_or(ProbeState::Unknown)))
        }
        Answer::Error { exit, message } => {
            let exit = Exit::ALL.into_iter().find(|known| known.code() == exit).unwrap_or(Exit::Failure);
            Err(Fatal::new(exit, message).into())
        }
    }
}

/// Asks the running agent, or the files when none runs. An agent that is just starting or stopping holds the lock but does not listen: ask again.
pub async fn answer(dir: &Path, request: &Request) -> anyhow::Result<Answer> {
    let begin = clock::monotonic();
    loop {
        match socket::ask(dir, request).await {
            Ok(answer) => return Ok(answer),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound
                        | std::io::ErrorKind::ConnectionRefused
                        | std::io::ErrorKind::ConnectionReset
                        | std::io::ErrorKind::BrokenPipe
                        | std::io::ErrorKind::UnexpectedEof
                ) => {}
            Err(error) => {
                let text = format!("{}: cannot ask the running agent ({error})", dir.display());
                return Err(Fatal::new(Exit::Unreachable, text).into());
            }
        }
        match DataDirLock::acquire(dir) {
            Ok(_lock) => {
                let mut incarnation = runner::random_incarnation;
                let limits = Limits::default();
                return Ok(offline::answer_offline(dir, request, limits, clock::now(), &mut incarnation)?);
            }
            Err(error @ LockError::Held { .. }) => {
                if clock::monotonic().us_since(begin) >= ASK_US_MAX {
                    let text = format!("{error}; it does not answer on its control socket");
                    return Err(Fatal::new(Exit::Unreachable, text).into());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn print<T: Serialize>(output: &Output, view: &T, text: impl FnOnce() -> String) -> anyhow::Result<Exit> {
    let text = if output.json { serde_json::to_string_pretty(view)? + "\n" } else { text() };
    write(&text)?;
    Ok(Exit::Ok)
}

fn write(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that had enough (`| head`) is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
