//! `sitepulse-agent probe URL|FILE`: runs a check once, here and now, and tells everything that was measured.
//!
//! It needs no agent and touches no state. What is asked for is a check like any other: a URL is read as the keys of a `[[check]]` table, a file
//! holds such tables, and the same probers run them. The person at the keyboard is trusted as with curl: loopback and private addresses may
//! be dialled, unless a configuration file says what may.

pub(super) mod source;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use sitepulse_daemon::clock;
use sitepulse_daemon::exit::{Exit, Fatal};
use sitepulse_model::check::{AssignedCheck, CheckKind};
use sitepulse_model::record::{Cause, ProbeState};
use sitepulse_probe::{Probe, Run};

use self::source::{FileChecks, Given};
use crate::config::Config;
use crate::control::result::ResultView;
use crate::runner;

/// What a secret's value is called in the environment.
const SECRET_PREFIX: &str = "SITEPULSE_SECRET_";
/// The secret that stands for the password of `--user`, and where its value comes from.
const PASSWORD_SECRET: &str = "probe-password";
const PASSWORD_VARIABLE: &str = "SITEPULSE_PROBE_PASSWORD";

pub(super) const EXAMPLES: &str = "URLs:
  http:// https://            tcp://HOST:PORT   udp://HOST:PORT[?send_hex=00ff] (or --body)
  tls://HOST[:PORT]           icmp://HOST[?count=5]
  ws:// wss://                grpc://HOST:PORT[/SERVICE]   grpcs://...
  smtp:// smtps:// imap:// imaps://HOST[:PORT][?starttls]      domain:NAME
  dns://NAME[?record=MX&server=1.2.3.4&transport=tcp&dnssec]

Examples:
  sitepulse-agent probe https://shop.example/ --expect 'status == 200' --expect 'degraded if latency > 800ms'
  sitepulse-agent probe https://shop.example/ --http 3 --json | jq .phases_us
  sitepulse-agent probe 'dns://shop.example?record=MX&server=9.9.9.9'
  SITEPULSE_SECRET_API_KEY=... sitepulse-agent probe checks.toml
  sitepulse-agent probe checks.toml --check shop
  ssh box cat checks.toml | sitepulse-agent probe -
  sitepulse-agent probe https://10.0.0.7/ --ca ca.pem --server-name shop.example
  SITEPULSE_PROBE_PASSWORD=... sitepulse-agent probe imaps://mx.example --user me@example

Environment:
  SITEPULSE_SECRET_API_KEY   the value of a check's `secret:api-key`
  SITEPULSE_PROBE_PASSWORD   the password of --user
  SSL_CERT_FILE              certificates (PEM) to trust instead of the system's, for every check; --ca FILE is for one URL

A file's heartbeats are left out: they are calls of jobs to the collector.
Exit codes: 0 up or degraded, 9 down, 10 unknown (this machine cannot tell); for several checks the worst.";

/// The command line of `probe`.
#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// A URL, or a file of [[check]] tables (TOML; - is standard input).
    #[arg(value_name = "URL|FILE")]
    target: String,
    #[command(flatten)]
    options: UrlOptions,
    /// Of a FILE this check alone.
    #[arg(long, value_name = "ID")]
    check: Option<String>,
    /// What may be dialled and which targets tell an outage: this agent's configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Allow addresses: loopback, private, or a network as 10.0.0.0/8; may be repeated.
    #[arg(long, value_name = "ENTRY")]
    allow: Vec<String>,
    /// Print JSON: one object, or a list for a file of several checks.
    #[arg(long)]
    pub(super) json: bool,
}

/// The rest of a check whose target is a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
struct UrlOptions {
    /// An assertion; may be repeated.
    #[arg(long, value_name = "ASSERTION")]
    expect: Vec<String>,
    /// The deadline of an attempt, as in 500ms or 10s [default: 10s].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Attempts after a failed one, 0 to 5.
    #[arg(long, value_name = "N")]
    retries: Option<u8>,
    /// Which HTTP; advertised is HTTP/3 where DNS offers it, else as auto.
    #[arg(long, value_name = "VERSION", value_parser = ["auto", "1.1", "2", "3", "advertised"])]
    http: Option<String>,
    /// Which addresses.
    #[arg(long, value_name = "FAMILY", value_parser = ["any", "ipv4", "ipv6"])]
    family: Option<String>,
    /// The HTTP method.
    #[arg(long)]
    method: Option<String>,
    /// A header to send; may be repeated.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// What to send: an HTTP body, or the words over tcp, udp and WebSocket.
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Redirects to follow, 0 to 10.
    #[arg(long, value_name = "N")]
    redirects: Option<u8>,
    /// Accept any certificate.
    #[arg(long)]
    insecure: bool,
    /// Trust these certificates (PEM) instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name to ask for and to verify (TLS) instead of the host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// An HTTP proxy to go through, as http://HOST:PORT.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Log in as this user: Basic authentication, or the login of smtp and imap. The password is taken from SITEPULSE_PROBE_PASSWORD.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Runs the checks one after the other. Gives the exit code.
pub(super) fn probe(args: &ProbeArgs, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Exit> {
    let (checks, from_file) = match source::given(&args.target, args.check.as_deref(), &args.options)? {
        Given::Url(check) => (vec![check], false),
        Given::File(FileChecks { checks, heartbeats }) => {
            for id in heartbeats {
                eprintln!("note: {id:?} is left out: a heartbeat is a call of a job to the collector");
            }
            (checks, true)
        }
    };
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let trusted = ["loopback".to_owned(), "private".to_owned()];
    let policy = match &config {
        Some(config) => config.policy(&args.allow),
        None => Config::default().policy(&[&trusted, args.allow.as_slice()].concat()),
    };
    let policy = policy.map_err(|reason| Fatal::new(Exit::Usage, format!("--allow: {reason}")))?;
    let config = config.unwrap_or_default();
    let tools = runner::tools(policy, &config.network.references, config.browser.options())?;
    tools.secrets.replace(secrets(&checks, args.options.user.is_some())?);
    let several = checks.len() > 1;
    let colour = !args.json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut views = Vec::new();
    let mut worst = ProbeState::Up;
    for (position, check) in checks.iter().enumerate() {
        let now = clock::now();
        let run = Run { check: check.number, revision: check.revision, slot: now, started: now, note_all: true };
        let result = runtime.block_on(Probe::new(check).run(run, &tools));
        worst = worse(worst, result.state);
        let definition = &check.definition;
        let id = from_file.then(|| definition.id.to_string());
        let mut view = ResultView::of(&result, id, definition.kind.describe());
        if result.cause == Some(Cause::PolicyRefused) {
            view.explanation = with_remedy(&view.explanation);
        }
        if args.json {
            views.push(view);
        } else {
            let gap = if position > 0 { "\n" } else { "" };
            super::write(&format!("{gap}{}", view.text(colour)))?;
        }
    }
    runtime.block_on(tools.browser.close());
    match views.as_slice() {
        _ if !args.json => {}
        [one] if !several => super::write(&(serde_json::to_string_pretty(one)? + "\n"))?,
        all => super::write(&(serde_json::to_string_pretty(all)? + "\n"))?,
    }
    Ok(exit_of(worst))
}

/// How a command ends that ran a check.
pub(super) const fn exit_of(state: ProbeState) -> Exit {
    match state {
        ProbeState::Up | ProbeState::Degraded => Exit::Ok,
        ProbeState::Down => Exit::Down,
        ProbeState::Unknown => Exit::Unknown,
    }
}

/// Down is worst: it is certain.
const fn worse(one: ProbeState, other: ProbeState) -> ProbeState {
    match (one, other) {
        (ProbeState::Down, _) | (_, ProbeState::Down) => ProbeState::Down,
        (ProbeState::Unknown, _) | (_, ProbeState::Unknown) => ProbeState::Unknown,
        (ProbeState::Degraded, _) | (_, ProbeState::Degraded) => ProbeState::Degraded,
        (ProbeState::Up, ProbeState::Up) => ProbeState::Up,
    }
}

/// A refusal by the policy with what mends it here, besides the configuration: the entry that the policy asks for.
pub(super) fn with_remedy(explanation: &str) -> String {
    let entry = explanation.rsplit_once("allow = [\"").and_then(|(_, entry)| entry.split_once("\"]"));
    let entry = entry.map_or("ADDRESS", |(entry, _)| entry);
    format!("{explanation}, or give --allow {entry} here")
}

/// The secrets that the checks refer to, from the environment. One that is not here makes its checks `unknown`; the password of `--user` must
/// be there.
pub(super) fn secrets(checks: &[AssignedCheck], user: bool) -> Result<BTreeMap<String, String>, Fatal> {
    let mut values = BTreeMap::new();
    for name in checks.iter().flat_map(|check| CheckKind::secrets(&check.definition.kind)) {
        let password = user && name == PASSWORD_SECRET;
        let variable = if password { PASSWORD_VARIABLE.to_owned() } else { secret_variable(&name) };
        match std::env::var(&variable) {
            Ok(value) => drop(values.insert(name, value)),
            Err(_) if password => {
                let text =
                    format!("--user needs a password: set {variable} (it is never an argument, where others see it)");
                return Err(Fatal::new(Exit::Usage, text));
            }
            Err(_) => eprintln!("the secret {name:?} is not here: set {variable}"),
        }
    }
    Ok(values)
}

fn secret_variable(name: &str) -> String {
    let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    SECRET_PREFIX.chars().chain(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_by_the_policy_names_the_option() {
        let refused =
            "policy: 127.0.0.1 is loopback: allow it in the agent's configuration: [network] allow = [\"loopback\"]";
        assert_eq!(with_remedy(refused), format!("{refused}, or give --allow loopback here"));
        assert_eq!(with_remedy("policy: refused"), "policy: refused, or give --allow ADDRESS here");
    }

    #[test]
    fn the_worst_of_several_decides_and_secrets_have_plain_variables() {
        use ProbeState::{Degraded, Down, Unknown, Up};
        assert_eq!([Up, Degraded, Up].into_iter().reduce(worse), Some(Degraded));
        assert_eq!([Up, Unknown, Degraded].into_iter().reduce(worse), Some(Unknown));
        assert_eq!([Down, Unknown, Up].into_iter().reduce(worse), Some(Down));
        assert_eq!(
            [Up, Degraded, Down, Unknown].map(exit_of).map(Exit::code),
            [0, 0, 9, 10],
            "as docs/exit-codes.md has it"
        );
        assert_eq!(secret_variable("shop.api-key"), "SITEPULSE_SECRET_SHOP_API_KEY");
    }
}
