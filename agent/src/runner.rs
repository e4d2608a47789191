//! `sitepulse-agent run`: opens what the agent has, accounts for the time it was stopped, starts the parts and ends them in order.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sitepulse_browser::Browser;
use sitepulse_daemon::address::Policy;
use sitepulse_daemon::clock;
use sitepulse_daemon::exit::{Exit, Fatal};
use sitepulse_daemon::lock::{DataDirLock, LOCK_PATIENCE};
use sitepulse_daemon::notify::Notifier;
use sitepulse_daemon::shutdown::Signals;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::id::Incarnation;
use sitepulse_model::schedule::Plan;
use sitepulse_notify::Sender;
use sitepulse_probe::network::Network;
use sitepulse_probe::tls::Tls;
use sitepulse_probe::tools::Tools;
use tokio::io::BufReader;
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::control::{Answer, offline, socket};
use crate::engine::handle::EngineHandle;
use crate::engine::{self, Engine, Parts, recovery};
use crate::pager;
use crate::secrets::Vault;
use crate::ship::io::{Ended, Shipper};
use crate::spool::writer::{self, Submission, open_slots};
use crate::spool::{self, Spool};
use crate::state::StateDb;

/// Command lines that may ask at once.
const CONTROL_CLIENTS_MAX: usize = 16;
/// How long the tasks may take to end.
const JOIN_MAX: Duration = Duration::from_secs(5);

/// Told at each start without reference targets. There are none by default: nobody is called whom the operator did not name.
const NO_REFERENCES: &str = "no reference targets are set: when this agent's own network is out, its checks may be down for 30 s or more before that \
    is noticed; name two or three that are always there, HOST:PORT, in the configuration: [network] references";

/// What `run` was told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where state and spool are.
    pub data_dir: PathBuf,
    /// The configuration file's rest.
    pub config: Config,
    /// Collectors from the command line: tried first.
    pub collectors: Vec<String>,
    /// What probes may dial.
    pub policy: Policy,
}

/// A random incarnation: names one life of a spool file.
pub fn random_incarnation() -> Incarnation {
    Incarnation(random_u64())
}

/// Randomness enters here, as a seed.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Jitter and names need to differ, not to be secret.
        Err(_) => (clock::now().0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id()),
    }
}

/// Runs the agent until a signal, a revocation or a failure.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut signals = Signals::install().context("cannot listen for signals")?;
    let dir = options.data_dir.clone();
    let _lock = DataDirLock::acquire_within(&dir, LOCK_PATIENCE)?;
    let notifier = Notifier::from_env();
    let tasks = TaskSet::new();

    let state = StateDb::open(&dir).map_err(|error| Fatal::new(Exit::DataDir, error))?;
    let identity =
        state.identity().map_err(|error| Fatal::new(Exit::DataDir, error))?.ok_or_else(|| offline::not_joined(&dir))?;
    let assignment = state.assignment().map_err(|error| Fatal::new(Exit::DataDir, error))?;
    let limits = options.config.limits();
    let opened = Spool::open(&dir.join(spool::FILE_NAME), limits, clock::now(), &mut random_incarnation)
        .map_err(|error| Fatal::new(Exit::DataDir, error))?;
    if let Some(moved) = &opened.set_aside {
        writer::warn_set_aside(moved);
    }
    let mut spool = opened.spool;
    spool.set_provenance(&engine::provenance(None));
    let incarnation = spool.incarnation();

    // Account for the time since the last durable record, before anything new happens.
    let now = clock::now();
    let known = state.spool_incarnation().map_err(|error| Fatal::new(Exit::DataDir, error))?;
    let incarnation_noted = known == Some(incarnation);
    let (records, resume_after) = if known.is_some_and(|known| known != incarnation) {
        let checks = assignment.checks.iter();
        let checks = checks.map(|check| (Plan::of(check, &identity.name), check.definition.id.bucket()));
        let from = state.acked_until().map_err(|error| Fatal::new(Exit::DataDir, error))?;
        (recovery::lost(checks, &assignment.since, from, now), now)
    } else {
        let recovered = recovery::recover(spool.progress(), &assignment, &identity.name, now);
        (recovered.records, recovered.resume_after)
    };
    let frontier = resume_after.plus_us(1);
    if frontier < spool.progress().frontier {
        // The clock was far ahead: what it showed must not make the accounting blind until it is there again.
        spool.step_to(frontier);
    }
    let missed = records.len();
    let begun = records.iter().filter_map(|record| {
        let slots = open_slots(record)?;
        Some(writer::Begun { check: record.record.check(), first: record.record.scheduled(), slots })
    });
    let submission = Submission { begun: begun.collect(), frontier: Some(frontier), records };
    let (spool, thread) = writer::start(spool, notifier.progress("spool"), random_incarnation)
        .context("cannot start the spool's thread")?;
    spool.submit(submission)?;
    if !spool.flush().await? {
        tracing::warn!(
            "{}: the disk takes nothing; probing starts all the same, results wait in memory",
            dir.display()
        );
    }
    if missed > 0 && opened.set_aside.is_none() {
        tracing::info!("{missed} ranges of runs were missed while the agent was stopped; they are recorded");
    }

    if options.config.network.references.is_empty() {
        tracing::warn!("{NO_REFERENCES}");
    }
    let tools = tools(options.policy, &options.config.network.references, options.config.browser.options())?;
    let tools = Arc::new(tools);
    let vault = Vault::open(&dir);
    let (stop, stopped) = watch::channel(false);
    let (order, secrets) = pager::split(vault.load(&state));
    tools.secrets.replace(secrets.0);
    let (pager_news, news) = watch::channel(pager::News { order, connected: false });
    let paging = pager::run(dir.clone(), identity.clone(), Sender::default(), news, stopped.clone());
    tasks.spawn("pager", paging);
    let name = identity.name.clone();
    let checks = assignment.checks.len();
    let (mut engine, handle, local_events) = Engine::new(Parts {
        state,
        identity,
        assignment,
        spool: spool.clone(),
        spool_bytes_max: limits.bytes_max,
        incarnation_noted,
        resume_after,
        in_flight_max: options.config.in_flight_max(),
        per_host_max: options.config.per_host_max(),
        tools: tools.clone(),
        vault,
        pager: pager_news,
        tasks: tasks.clone(),
        heartbeat: notifier.progress("scheduler"),
    })?;
    match socket::listen(&dir) {
        Ok(listener) => tasks.spawn("control", serve(listener, handle.clone(), tasks.clone(), stopped.clone())),
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            let socket = dir.join(socket::FILE_NAME);
            tracing::warn!("{}: no space for the control socket; free some and restart to use it", socket.display());
        }
        Err(error) => {
            let text = format!("{}: cannot listen ({error})", dir.join(socket::FILE_NAME).display());
            return Err(Fatal::new(Exit::DataDir, text).into());
        }
    }
    let mut collectors = options.collectors;
    collectors.extend(options.config.collectors);
    let (ended, mut ship_ended) = watch::channel(None);
    let shipper = Shipper::new(handle, spool.clone(), tasks.clone(), collectors, local_events, random_u64());
    let ship_stopped = stopped.clone();
    tasks.spawn("ship", async move {
        let end = shipper.run(ship_stopped).await;
        ended.send_replace(Some(end));
    });
    let watchdog = notifier.clone();
    let mut watchdog_stopped = stopped.clone();
    tasks.spawn("watchdog", async move {
        tokio::select! {
            () = watchdog.run_watchdog() => {}
            _ = watchdog_stopped.wait_for(|stop| *stop) => {}
        }
    });
    notifier.ready();
    tracing::info!("agent {name} runs {checks} checks");

    let mut outcome = Ok(());
    {
        let running = engine.run(stopped.clone());
        tokio::pin!(running);
        let mut stopping = false;
        loop {
            tokio::select! {
                result = &mut running => {
                    if let Err(error) = result {
                        outcome = Err(anyhow::Error::new(error));
                    }
                    break;
                }
                signal = signals.next(), if !stopping => {
                    tracing::info!("{} came: stopping", signal.as_str());
                    stopping = true;
                }
                Ok(()) = ship_ended.changed(), if !stopping => {
                    if let Some(ended) = &*ship_ended.borrow_and_update() {
                        outcome = Err(shipper_ended(ended).into());
                        stopping = true;
                    }
                }
                panic = tasks.panicked(), if !stopping => {
                    outcome = Err(panic.into());
                    stopping = true;
                }
            }
            if stopping && !*stop.borrow() {
                notifier.stopping();
                stop.send_replace(true);
            }
        }
    }
    stop.send_replace(true);
    let state_thread = engine.end();
    // What is still loaded is found as missed by the next start.
    if tokio::time::timeout(JOIN_MAX, tools.browser.close()).await.is_err() {
        tracing::warn!("the browser does not end; the kernel ends it with this program");
    }
    if let Err(error) = tasks.join_all(JOIN_MAX).await {
        tracing::warn!("{error}");
    }
    spool.close();
    let joined = tokio::task::spawn_blocking(move || (thread.join().is_ok(), state_thread.join().is_ok())).await;
    if !matches!(joined, Ok((true, true))) {
        tracing::error!("the thread of the spool or of the state file panicked");
    }
    // Best effort: the next start replaces it.
    drop(std::fs::remove_file(dir.join(socket::FILE_NAME)));
    outcome
}

/// What probes share: the machine's roots, this policy, these reference targets, this browser.
pub(crate) fn tools(
    policy: Policy,
    references: &[String],
    browser: sitepulse_browser::Options,
) -> anyhow::Result<Tools> {
    let mut tools = Tools::new(Tls::from_system().context("cannot set up probing")?, policy);
    tools.network = Network::new(references.to_vec());
    tools.browser = Browser::new(browser);
    Ok(tools)
}

/// The end of a program whose shipper ended although nobody asked it to: without it results would pile up unseen. The service manager starts
/// the agent again.
fn shipper_ended(ended: &Ended) -> Fatal {
    if let Ended::Revoked(message) = ended {
        return Fatal::new(Exit::Refused, message.clone());
    }
    let text = format!(
        "nothing is shipped to the collector any more ({ended:?}); start the agent again, see the messages before"
    );
    Fatal::new(Exit::Failure, text)
}

/// Answers the command line until the agent stops.
async fn serve(listener: UnixListener, engine: EngineHandle, tasks: TaskSet, mut stopped: watch::Receiver<bool>) {
    let seats = std::sync::Arc::new(tokio::sync::Semaphore::new(CONTROL_CLIENTS_MAX));
    loop {
        let seat = tokio::select! {
            seat = seats.clone().acquire_owned() => seat,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let Ok(seat) = seat else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("the control socket refuses: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (engine, mut stopped) = (engine.clone(), stopped.clone());
        tasks.spawn("control client", async move {
            let mut stream = BufReader::new(stream);
            let talk = async {
                while let Ok(Some(request)) = socket::read_request(&mut stream).await {
                    let answer = match request {
                        Ok(request) => match engine.control(request).await {
                            Ok(answer) => answer,
                            Err(_) => Answer::error(Exit::Unreachable, "the agent is stopping; ask again"),
                        },
                        Err(message) => Answer::error(Exit::Usage, message),
                    };
                    if socket::write_answer(&mut stream, &answer).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                () = talk => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            drop(seat);
        });
    }
}

/// The path of the file that `run` locks, for messages.
pub fn data_dir_default() -> PathBuf {
    // Root's agents are the machine's; everybody else's are their own.
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    match (root, std::env::var_os("HOME")) {
        (false, Some(home)) => Path::new(&home).join(".local/share/sitepulse-agent"),
        (true, _) | (false, None) => PathBuf::from("/var/lib/sitepulse-agent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipper_that_ends_unasked_ends_the_program() {
        let ended = shipper_ended(&Ended::Stopped);
        assert_eq!(ended.exit, Exit::Failure);
        assert!(ended.to_string().contains("start the agent again"), "{ended}");
        assert_eq!(shipper_ended(&Ended::Revoked("no".to_owned())).exit, Exit::Refused);
    }
}
