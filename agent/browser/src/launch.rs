//! Starts a browser: as a user of its own where the agent may choose one, sandboxed, with an empty environment, a profile in memory that is thrown away, and one
//! socket as the only way to command it (its descriptors 3 and 4). Or asks a socket unit of systemd for one.
//!
//! It ends with the socket, and with its parent: the kernel kills it when the *thread* that started it ends (`PR_SET_PDEATHSIG`). That is why each browser has
//! a thread that starts it, waits for its end and does nothing else; a runtime's workers come and go. The children of a browser end when it does.

mod profile;
pub(crate) mod program;
mod spent;
pub(crate) mod tree;
mod words;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::vitals::profile::Milli;
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use crate::cdp::{CallError, Connection};
use crate::launch::profile::ProfileDir;
use crate::launch::program::Program;
use crate::launch::spent::Spent;
use crate::launch::words::Words;
use crate::options::{Options, UNIT_SOCKET};
use crate::throttle::kept::Kept;
use crate::throttle::{Throttle, Throttled, Whose};

/// Processes and threads of the browser's own user, where it has one: a browser with a dozen pages has three hundred.
const THREADS_MAX: u32 = 4_096;
/// The thread of a browser calls nothing deep.
const THREAD_STACK_BYTES: usize = 128 << 10;

/// Puts the socket that is the shell's input where the browser reads commands (3) and answers them (4), and becomes it. When memory runs short, a browser
/// goes before the agent does, and a renderer (Chromium gives it 300) before its browser.
pub(crate) const BECOME: &str =
    r#"echo 200 2>/dev/null >/proc/self/oom_score_adj; exec "$@" 3<&0 4>&0 </dev/null >/dev/null"#;

/// A browser that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    /// How to talk to it.
    pub(crate) connection: Connection,
    /// `HeadlessChrome/156.0.8078.79`.
    pub(crate) build: String,
    /// Its own user agent.
    pub(crate) user_agent: String,
    /// When it was up.
    pub(crate) started: Monotonic,
    /// Loads begun on it.
    pub(crate) loads: AtomicU32,
    /// Loads on it now.
    pub(crate) leases: AtomicU32,
    /// Resident memory when last looked at, in bytes; 0 where it cannot be seen.
    pub(crate) memory: AtomicU64,
    /// Loads on it then.
    pub(crate) crowd: AtomicU32,
    /// Its renderers that the agent ended, as they took too much memory.
    pub(crate) culls: Mutex<Culls>,
    /// What its processes took of the processors, where it tells that itself.
    pub(crate) spent: tokio::sync::Mutex<Spent>,
    /// When its last load ended, on the monotonic clock, in microseconds.
    pub(crate) touched_us: AtomicU64,
    /// Told when a load begins.
    pub(crate) used: Arc<Notify>,
    /// Slows its renderers down, where that can be done.
    pub(crate) throttle: Option<Throttle>,
    own: Option<Own>,
}

/// Renderers that the agent ended: how many, and the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Culls {
    pub(crate) count: u32,
    /// The limit that was passed, in bytes.
    pub(crate) limit: u64,
    /// Loads on it then, 1 where the page would have been ended without the others as well.
    pub(crate) loads: u32,
}

/// A browser that is this agent's child.
#[derive(Debug)]
struct Own {
    pid: i32,
    /// Names the process for ever, whoever gets its number.
    process: OwnedFd,
    /// Closed when it has ended and its profile is gone.
    ended: watch::Receiver<()>,
}

impl Own {
    /// The browser and what it started.
    fn kill(&self) {
        // Its children first seen: once it is gone they are nobody's.
        let members = tree::tree(self.pid);
        // An error says that it has ended by itself.
        pidfd_send_signal(&self.process, Signal::KILL).ok();
        members.iter().filter(|member| member.pid != self.pid).for_each(tree::kill);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.ended.has_changed().is_ok() {
            self.kill();
        }
    }
}

/// Gives browsers a unit of their own.
const ENABLE: &str = "systemctl enable --now sitepulse-browser.socket";

/// Whether the agent is a service of systemd, whose unit is too narrow for a browser.
fn under_systemd() -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
}

/// A browser as an agent gets it: from its socket if it has one and somebody listens there, else started here.
///
/// # Errors
/// Why there is none, with the remedy.
pub(crate) async fn launch(options: &Options, tasks: &TaskSet) -> Result<Process, String> {
    let mut absent = String::new();
    if let Some(path) = &options.socket {
        match UnixStream::connect(path).await {
            Ok(socket) => {
                let place = format!("the browser behind {}", path.display());
                let end = "see: journalctl -u 'sitepulse-browser@*'";
                // An error is met again by what is written next.
                let throttle = Kept::offer(&socket).ok().map(|kept| Throttle::new(Whose::Kept(Arc::new(kept))));
                return greet(socket, throttle, None, None, (options, tasks), (&place, end)).await;
            }
            // The default, on a host that has no such units.
            Err(_) if path == Path::new(UNIT_SOCKET) && !path.exists() && !under_systemd() => {}
            Err(error) => absent = format!("; nor does one come from {} ({error}): {ENABLE}", path.display()),
        }
    } else if under_systemd() {
        absent = format!("; under systemd it is to have a unit of its own: {ENABLE}");
    }
    start(options, tasks).await.map_err(|error| error + &absent)
}

async fn start(options: &Options, tasks: &TaskSet) -> Result<Process, String> {
    let program = Program::of(&options.form)?;
    let base = options.dir.clone().unwrap_or_else(program::default_dir);
    profile::clear_stale(&base);
    let user = program::user();
    let profile = ProfileDir::create(&base, user)?;
    let no_pipes = |error: std::io::Error| format!("the browser cannot be given its pipes ({error})");
    let (ours, theirs) = StdStream::pair().map_err(no_pipes)?;
    let (stderr, their_stderr) = StdStream::pair().map_err(no_pipes)?;
    let command = command(&program, &profile.profile(), user, options.sandbox, theirs, their_stderr);
    let own = spawn(command, profile, &program.path).await?;
    let stream = |socket: StdStream| {
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket)
    };
    let (socket, stderr) = (stream(ours).map_err(no_pipes)?, stream(stderr).map_err(no_pipes)?);
    let words = Words::default();
    let listener = words.clone();
    tasks.spawn("browser words", async move { listener.listen(stderr).await });
    let place = program.path.display().to_string();
    let hint = "run it by hand as the agent's user to see why";
    let throttle = Throttle::new(Whose::Own(own.pid));
    greet(socket, Some(throttle), Some(own), Some(words), (options, tasks), (&place, hint)).await
}

/// Begins to talk, and waits until the browser says who it is.
async fn greet(
    socket: UnixStream,
    throttle: Option<Throttle>,
    own: Option<Own>,
    words: Option<Words>,
    (options, tasks): (&Options, &TaskSet),
    (place, else_see): (&str, &str),
) -> Result<Process, String> {
    let start_max = Duration::from_secs(options.start_max_s);
    let (input, output) = socket.into_split();
    let (connection, talk) = Connection::start(input, output);
    tasks.spawn("browser", talk);
    // Also when this future is dropped midway.
    let process = Process {
        connection,
        build: String::new(),
        user_agent: String::new(),
        started: clock::monotonic(),
        loads: AtomicU32::new(0),
        leases: AtomicU32::new(0),
        memory: AtomicU64::new(0),
        crowd: AtomicU32::new(0),
        culls: Mutex::default(),
        spent: tokio::sync::Mutex::default(),
        touched_us: AtomicU64::new(clock::monotonic().0),
        used: Arc::default(),
        throttle,
        own,
    };
    let failed = |why: String, told: Option<String>| {
        let told = told.map_or_else(|| else_see.to_owned(), |told| format!("its last words: {told}"));
        format!("{place}: {why}; {told}")
    };
    let last_words = async {
        match words {
            Some(words) => words.told().await,
            None => None,
        }
    };
    match timeout(start_max, process.connection.call(None, "Browser.getVersion", json!({}))).await {
        Ok(Ok(version)) => {
            let text = |key: &str| version[key].as_str().unwrap_or_default().to_owned();
            let (build, user_agent) = (text("product"), text("userAgent"));
            process.look();
            let mut process = process;
            (process.build, process.user_agent, process.started) = (build, user_agent, clock::monotonic());
            Ok(process)
        }
        Ok(Err(CallError::Gone)) => {
            // What it wrote comes another way than its end.
            process.end().await;
            Err(failed("ended before it was up".to_owned(), last_words.await))
        }
        Ok(Err(error @ CallError::Refused { .. })) => Err(failed(error.to_string(), None)),
        Err(_) => {
            process.end().await;
            Err(failed(format!("was not up within {} s", options.start_max_s), last_words.await))
        }
    }
}

fn command(
    program: &Program,
    profile: &Path,
    user: Option<(u32, u32)>,
    sandbox: bool,
    socket: StdStream,
    stderr: StdStream,
) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", BECOME, "sh", "prlimit", "--core=0"]);
    if user.is_some() {
        command.arg(format!("--nproc={THREADS_MAX}"));
    }
    command.args(["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]);
    if let Some((uid, gid)) = user {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
    }
    command.arg("--").arg(&program.path).args(program.flags(profile, sandbox));
    command
        .env_clear()
        .env("HOME", profile)
        .env("TMPDIR", profile)
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(OwnedFd::from(socket))
        .stdout(Stdio::null())
        .stderr(OwnedFd::from(stderr));
    command
}

/// Starts a command in a thread of its own, which stays until it has ended.
async fn spawn(mut command: Command, profile: ProfileDir, program: &Path) -> Result<Own, String> {
    let (told, hears) = oneshot::channel::<Result<Own, std::io::Error>>();
    let (ending, ended) = watch::channel(());
    let run = move || {
        let spawned = command.spawn();
        // The browser's ends of the sockets: with them here, its end would not be seen.
        drop(command);
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                drop(told.send(Err(error)));
                return;
            }
        };
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let own = Pid::from_raw(pid)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .map(|process| Own { pid, process, ended })
            .map_err(std::io::Error::from);
        if own.is_err() {
            drop(child.kill());
        }
        // Nobody waits for it any more: it is dropped here, which ends it.
        drop(told.send(own));
        if let Err(error) = child.wait() {
            tracing::warn!("the end of the browser {pid} cannot be seen: {error}");
        }
        drop(profile);
        drop(ending);
    };
    let failed = |error: std::io::Error| format!("{}: cannot be started ({error})", program.display());
    std::thread::Builder::new().name("browser".to_owned()).stack_size(THREAD_STACK_BYTES).spawn(run).map_err(failed)?;
    match hears.await {
        Ok(own) => own.map_err(failed),
        Err(_) => Err(failed(std::io::ErrorKind::Other.into())),
    }
}

impl Process {
    /// The process, where it is the agent's own.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.own.as_ref().map(|own| own.pid)
    }

    /// Ends it, whoever uses it.
    pub(crate) fn kill(&self) {
        self.connection.end();
        if let Some(own) = &self.own {
            own.kill();
        }
    }

    /// Ends it and waits until nothing is left of it, as far as that can be seen.
    pub(crate) async fn end(&self) {
        self.kill();
        if let Some(own) = &self.own {
            // An error says that the thread is done.
            drop(own.ended.clone().changed().await);
        }
    }

    /// Looks at what it takes: its processes, none where they cannot be seen.
    pub(crate) fn look(&self) -> Vec<tree::Member> {
        let Some(own) = &self.own else { return Vec::new() };
        let members = tree::tree(own.pid);
        self.memory.store(tree::memory(&members), Ordering::Relaxed);
        self.crowd.store(self.leases.load(Ordering::Relaxed), Ordering::Relaxed);
        members
    }

    /// Slows its renderers down, which must be wanted of none of its loads or of all; the page's own is to be there. `None` where that cannot be done.
    pub(crate) async fn slow_down(self: &Arc<Self>, rate: Milli) -> Option<Throttled> {
        let process = self.clone();
        tokio::task::spawn_blocking(move || process.throttle.as_ref()?.begin(rate)).await.ok()?
    }

    /// Whether its renderers can be slowed down, as far as is known.
    pub(crate) fn rests(&self) -> bool {
        self.throttle.as_ref().is_some_and(|throttle| !throttle.is_refused())
    }

    /// What was ended of it so far.
    pub(crate) fn culls(&self) -> Culls {
        *self.culls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a renderer is ended.
    pub(crate) fn cull(&self, limit: u64, loads: u32) {
        let mut culls = self.culls.lock().unwrap_or_else(PoisonError::into_inner);
        *culls = Culls { count: culls.count + 1, limit, loads };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // `Own` ends the rest.
        self.connection.end();
    }
}
