//! `serve`: starts everything in order, runs until a signal, ends everything in order.
//!
//! Start: configuration, the data directory's lock with store and writer, the agents' QUIC listener, HTTP and the admin socket,
//! `READY=1`. End: nobody new is let in, open answers finish, the writer flushes, the lock goes; at most about five seconds.
//! While it runs, `<data-dir>/runtime.json` tells `{"http", "listen", "pid"}` with the real ports.

pub mod config;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::notify::{Notifier, Progress};
use sitepulse_daemon::shutdown::Signals;
use sitepulse_daemon::task::TaskSet;
use sitepulse_daemon::{clock, files, logging};
use sitepulse_notify::Sender;
use sitepulse_notify::egress::Egress;
use tokio::sync::watch;

use self::config::Settings;
use crate::access::Way;
use crate::access::audit::{Deed, Told};
use crate::app::{Access, App, CredentialKind, SIGN_IN_TTL_US_MAX};
use crate::cli::{Failure, Global, ServeArgs};
use crate::heartbeat;
use crate::impact;
use crate::insight;
use crate::jobs;
use crate::listener::Listener;
use crate::oidc::{self, Oidc};
use crate::outbox;
use crate::playbook;
use crate::present::http::{AdminSocket, HttpError, HttpListener, stopped};
use crate::present::route;
use crate::present::wording;
use crate::present::{self, Present};
use crate::seal;
use crate::watchdog;

/// How long open connections may take to end.
const DRAIN: Duration = Duration::from_secs(4);
/// How often systemd is told that the start goes on, and for how long it may then take.
const START_EXTEND_EVERY: Duration = Duration::from_secs(5);
const START_EXTEND: Duration = Duration::from_secs(60);
/// How long the link of a first start works, in microseconds: an hour.
const FIRST_LINK_US: u64 = SIGN_IN_TTL_US_MAX;
/// The file that tells the real ports.
pub const RUNTIME: &str = "runtime.json";

/// What `runtime.json` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The console's address, with scheme.
    pub http: String,
    /// Where agents connect.
    pub listen: SocketAddr,
    /// The process.
    pub pid: u32,
}

/// Runs the collector until a signal.
///
/// # Errors
/// What keeps it from starting, with its exit code.
pub fn run(global: &Global, args: &ServeArgs) -> Result<(), Failure> {
    if global.url.is_some() && args.config.is_none() && global.data_dir.is_none() {
        // SITEPULSE_URL may be set for the other commands.
        tracing::debug!("--url means nothing to serve");
    }
    let settings = Settings::gather(global, args)?;
    logging::init(settings.log.as_deref()).map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("collector")
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot start: {error}")))?;
    let ended = runtime.block_on(serve(settings, global.json));
    // Whatever did not end in time is cut off here.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(settings: Settings, json: bool) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failure, error.to_string());
    let mut signals = Signals::install().map_err(|error| failed(&format!("cannot listen for signals: {error}")))?;
    let egress = Egress::new(settings.egress.allow.as_deref(), settings.egress.ca.as_deref());
    let sender = Sender::new(egress.map_err(|error| Failure::new(Exit::Config, error.to_string()))?);
    let data_dir = settings.data_dir.clone();
    let incidents = settings.incidents;
    let mut opening = tokio::task::spawn_blocking(move || App::open_with(&data_dir, incidents, clock::now()));
    // Reading a large store takes longer than systemd waits by itself.
    let opened = loop {
        tokio::select! {
            opened = &mut opening => break opened,
            () = tokio::time::sleep(START_EXTEND_EVERY) => extend_start(),
        }
    };
    let app = opened.map_err(|error| failed(&error))?.map_err(|error| Failure::new(error.exit(), error.to_string()))?;
    app.adopt_seal_key().await;
    app.note_configured_secrets(settings.secrets()).await;
    let ended = serve_with(&settings, &app, sender, &mut signals, json).await;
    app.close().await;
    ended
}

/// Tells systemd, if it started us, that the start is alive.
fn extend_start() {
    let us = u32::try_from(START_EXTEND.as_micros()).expect("a minute fits");
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::ExtendTimeoutUsec(us)]) {
        tracing::warn!("cannot notify systemd: {error}");
    }
}

async fn serve_with(
    settings: &Settings,
    app: &App,
    sender: Sender,
    signals: &mut Signals,
    json: bool,
) -> Result<(), Failure> {
    let http = HttpListener::bind(settings.http, settings.tls.as_ref()).await.map_err(http_failure)?;
    let http = http.behind(settings.front);
    let listener =
        Listener::bind(app, settings.listen).map_err(|error| Failure::new(Exit::of(&error), error.to_string()))?;
    let listen = listener.local_addr();
    let advertise = if settings.advertise.is_empty() { advertised(listen) } else { settings.advertise.clone() };
    app.set_addresses(advertise.clone()).await.map_err(|error| Failure::new(Exit::DataDir, error.to_string()))?;
    let socket = AdminSocket::bind(&settings.data_dir).map_err(http_failure)?;

    let (stop, stopping) = watch::channel(false);
    let tasks = TaskSet::new();
    let notifier = Notifier::from_env();
    let url = http.url();
    let console = settings.console.as_deref().unwrap_or(&url).trim_end_matches('/').to_owned();
    app.shared().links.set_console(Some(&console));
    app.watch().await;
    let present = Present::new(app.clone(), sender.clone(), console, stopping.clone());
    let present = match &settings.status_url {
        Some(public) => present.public_at(public),
        None => present,
    };
    let present = match settings.oidc.clone() {
        Some(provider) => {
            let provider = Arc::new(Oidc::new(provider, settings.console.as_deref().unwrap_or(&url)));
            let looked = oidc::provider::run(Arc::clone(&provider), sender.clone(), stopping.clone());
            tasks.spawn("sign-in provider", looked);
            present.signed_in_by(provider)
        }
        None => present,
    };
    let unwatched = present.tasks().clone();
    tasks.spawn("KPI figures", crate::present::kpi::keep(present.clone(), stopping.clone()));
    tasks.spawn("mails of status pages", present::status::mail::run(present.clone(), stopping.clone()));
    let router = route::router(present);
    tasks.spawn("agents' listener", listener.run(tasks.clone(), until(stopping.clone())));
    tasks.spawn("heartbeats", heartbeat::task::run(app.clone(), stopping.clone()));
    let (looking, stopped_looking) = (app.clone(), stopping.clone());
    tasks.spawn("look through the store", async move {
        tokio::select! {
            () = seal::task::look_through(looking) => {}
            () = until(stopped_looking) => {}
        }
    });
    let setup = jobs::Setup {
        life: settings.life,
        audit_us: settings.audit_us,
        every: vec![
            (jobs::Kind::Seal, settings.life.look_every()),
            (jobs::Kind::Retention, seal::task::RETENTION_EVERY),
            (jobs::Kind::Insights, insight::task::TICK),
        ],
        sla_report: Some(present::jobs::make_sla_report),
        ..jobs::Setup::default()
    };
    tasks.spawn("jobs", jobs::task::run(app.clone(), setup, tasks.clone(), stopping.clone()));
    tasks.spawn("impact scores", impact::task::run(app.clone(), stopping.clone()));
    tasks.spawn("playbooks", playbook::task::run(app.clone(), stopping.clone()));
    if let Some(watchdog) = settings.watchdog.clone() {
        tasks.spawn("outside watchdog", watchdog::run(app.clone(), sender.clone(), watchdog, stopping.clone()));
    }
    if let Some(wording) = settings.wording.clone() {
        let run = wording::run(app.clone(), sender.clone(), wording, stopping.clone());
        tasks.spawn("wording", run);
    }
    tasks.spawn("outbox", outbox::task::run(app.clone(), sender, stopping.clone()));
    tasks.spawn("http", http.run(router.clone(), tasks.clone(), stopping.clone()));
    tasks.spawn("admin socket", socket.run(router, tasks.clone(), stopping.clone()));
    if let Some(interval) = notifier.watchdog_interval() {
        let progress = notifier.progress("writer");
        tasks.spawn("writer's pulse", pulse(app.clone(), progress, interval / 4, stopping.clone()));
        let (notifier, stopping) = (notifier.clone(), stopping.clone());
        tasks.spawn("watchdog", async move {
            tokio::select! {
                () = notifier.run_watchdog() => {}
                () = until(stopping) => {}
            }
        });
    }

    let runtime = Runtime { http: url, listen, pid: std::process::id() };
    let runtime_file = RuntimeFile::write(&settings.data_dir, &runtime)?;
    let first = first_link(app, settings.console.as_deref().unwrap_or(&runtime.http)).await;
    announce(&runtime, &advertise, &settings.data_dir, first.as_deref(), json);
    notifier.ready();
    notifier.status(&format!("console {}, agents {}", runtime.http, runtime.listen));
    tracing::info!("up: console {}, agents {}, data {}", runtime.http, runtime.listen, settings.data_dir.display());

    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!("{}: stopping", signal.as_str());
            Ok(())
        }
        () = app.writer().ended() => {
            let why = app.readiness().err().unwrap_or_else(|| "the writer's thread ended".into());
            Err(Failure::new(Exit::Failure, format!("{why}; what is acknowledged is safe")))
        }
        panic = tasks.panicked() => Err(Failure::new(Exit::Failure, format!("{panic}; what is acknowledged is safe"))),
    };
    notifier.stopping();
    stop.send_replace(true);
    for tasks in [tasks, unwatched] {
        if let Err(error) = tasks.join_all(DRAIN).await {
            tracing::warn!("{error}");
        }
    }
    drop(runtime_file);
    ended
}

/// A link that signs an admin in, while nobody ever did: the console listens on loopback, or with TLS.
async fn first_link(app: &App, console: &str) -> Option<String> {
    if app.desk().opened() || app.desk().any_password() {
        return None;
    }
    let made = app.create_credential(CredentialKind::SignIn, Access::Admin, "console", FIRST_LINK_US, clock::now());
    match made.await {
        Ok(link) => {
            let deed = Deed::new(Told::Done, Way::Cli, "first sign-in link").detail("an admin's, once, within an hour");
            app.audit_soon("collector:cli", deed, clock::now());
            Some(format!("{}/sign-in?token={}", console.trim_end_matches('/'), link.secret))
        }
        Err(error) => {
            tracing::warn!("no sign-in link is made: {error}");
            None
        }
    }
}

/// Ticks as long as the writer's thread does what it is asked.
async fn pulse(app: App, progress: Progress, every: Duration, stopping: watch::Receiver<bool>) {
    let beat = async {
        while app.writer().run(|_| ()).await.is_ok() {
            progress.tick();
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        () = beat => {}
        () = until(stopping) => {}
    }
}

async fn until(mut stopping: watch::Receiver<bool>) {
    stopped(&mut stopping).await;
}

fn http_failure(error: HttpError) -> Failure {
    let exit = match &error {
        HttpError::Listen { .. } => Exit::Listen,
        HttpError::PlainOutside(_) | HttpError::Tls { .. } => Exit::Config,
        HttpError::Socket { .. } => Exit::DataDir,
    };
    Failure::new(exit, error.to_string())
}

/// What agents are told when nothing is said: where it listens; if that is everywhere, this machine's address and loopback.
fn advertised(listen: SocketAddr) -> Vec<String> {
    if !listen.ip().is_unspecified() {
        return vec![listen.to_string()];
    }
    let loopback = SocketAddr::new(IpAddr::from(Ipv4Addr::LOCALHOST), listen.port()).to_string();
    // Connecting a UDP socket sends nothing; it only asks which address the way out has (towards TEST-NET-1).
    let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr()))
        .map(|address| address.ip());
    match outward {
        Ok(ip) if !ip.is_unspecified() && !ip.is_loopback() => {
            vec![SocketAddr::new(ip, listen.port()).to_string(), loopback]
        }
        Ok(_) | Err(_) => vec![loopback],
    }
}

/// The file that tells the real ports; it goes when this is dropped.
struct RuntimeFile(PathBuf);

impl RuntimeFile {
    fn write(data_dir: &Path, runtime: &Runtime) -> Result<Self, Failure> {
        let path = data_dir.join(RUNTIME);
        let text = serde_json::to_vec(runtime).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        files::write_atomic(&path, &text, 0o644).map_err(|error| Failure::new(Exit::DataDir, error.to_string()))?;
        Ok(Self(path))
    }
}

impl Drop for RuntimeFile {
    fn drop(&mut self) {
        // A leftover names a process that is gone, and is replaced at the next start.
        drop(std::fs::remove_file(&self.0));
    }
}

fn announce(runtime: &Runtime, advertise: &[String], data_dir: &Path, first: Option<&str>, json: bool) {
    let text = if json {
        let value = serde_json::json!({
            "http": runtime.http, "listen": runtime.listen, "pid": runtime.pid, "advertise": advertise, "data_dir": data_dir,
            "sign_in": first,
        });
        format!("{value}\n")
    } else {
        let first = first.map(|link| format!("  sign in  {link}   (nobody did yet: once, as admin, within an hour)\n"));
        format!(
            "sitepulse-collector {} is up\n  console  {}   (sign in with the link from `sitepulse-collector sign-in`)\n{}  \
             agents   {}   (told to connect to {})\n  data     {}\n",
            env!("CARGO_PKG_VERSION"),
            runtime.http,
            first.unwrap_or_default(),
            runtime.listen,
            advertise.join(", "),
            data_dir.display()
        )
    };
    // A closed stdout must not keep a server from running.
    drop(std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_something_they_can_dial() {
        assert_eq!(advertised("127.0.0.1:5".parse().unwrap()), ["127.0.0.1:5"]);
        let everywhere = advertised("0.0.0.0:5".parse().unwrap());
        assert_eq!(everywhere.last().map(String::as_str), Some("127.0.0.1:5"));
    }
}
