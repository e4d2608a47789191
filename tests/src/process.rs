//! The real binaries as child processes: built once, started, asked, killed, and always ended.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

use crate::wait;

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate lies in the workspace").to_path_buf()
}

/// Takes away what the outer cargo told this test about itself: build scripts (ring's) would see another environment than on the command
/// line, and everything above them would be built again, and again the next time.
pub fn forget_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of the built binaries. Builds them first, once per test process, so that `cargo test` alone tests today's code.
pub fn binaries() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let exe = std::env::current_exe().expect("a running test has a path");
        let dir = exe.parent().and_then(Path::parent).expect("target/PROFILE/deps/suite").to_path_buf();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "-p", "sitepulse-agent", "-p", "sitepulse-collector"]).current_dir(root());
        if dir.ends_with("release") {
            cargo.arg("--release");
        }
        forget_cargo(&mut cargo);
        let status = cargo.status().expect("cargo runs");
        assert!(status.success(), "the binaries do not build");
        dir
    })
}

/// A program that is told to end (SIGTERM) when the thread that starts it ends, however it ends: nothing outlives a killed test or benchmark.
pub fn bound(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// The agent as a daemon, see [`agent`] and [`bound`].
pub fn agent_daemon() -> Command {
    let mut command = bound(binaries().join("sitepulse-agent"));
    command.env("SITEPULSE_ALLOW", "loopback");
    command
}

/// The collector as a daemon, see [`bound`].
pub fn collector_daemon() -> Command {
    bound(binaries().join("sitepulse-collector"))
}

/// `sitepulse-agent ...`; an agent that runs may dial loopback, where the tests' sites are.
pub fn agent() -> Command {
    let mut command = Command::new(binaries().join("sitepulse-agent"));
    command.env("SITEPULSE_ALLOW", "loopback");
    command
}

/// `sitepulse-collector ...`
pub fn collector() -> Command {
    Command::new(binaries().join("sitepulse-collector"))
}

/// Runs to the end and gives code, stdout and stderr.
pub fn run(command: &mut Command) -> Answer {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the binary starts");
    Answer {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Exit code, -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// Standard output, after a success.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "failed: {} {}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard output as JSON, after a success.
    pub fn json(self) -> serde_json::Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
    }
}

/// A long-running child. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` with both outputs appended to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("the log opens");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log clones"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        Self { child, log: log.to_path_buf() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it wrote so far (of all its lives, when the log was reused).
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill_hard(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child ends");
    }

    /// SIGTERM, and waits at most 20 s for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let sent = self.signal("-TERM");
        assert!(sent || self.ended().is_some(), "the child cannot be signalled");
        self.wait_for_end(20)
    }

    /// Sends a signal, as `-STOP`. Whether that could be.
    pub fn signal(&self, signal: &str) -> bool {
        Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().expect("kill runs").success()
    }

    /// Waits for it to end by itself.
    pub fn wait_for_end(&mut self, seconds: u64) -> ExitStatus {
        let log = self.log.clone();
        wait::until(&format!("process ends; log {}", log.display()), seconds, || self.ended().ok_or("still running"))
    }

    /// Its status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child can be waited for")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
