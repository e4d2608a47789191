//! The end of browsers whose agent is killed: two seconds later nothing is left of them, whatever they do and whoever started them.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sitepulse_tests::descent::{Seen, descendants, gone_soon, naming};
use sitepulse_tests::process::{self, Daemon};
use sitepulse_tests::site::Site;
use sitepulse_tests::wait;

/// A page in a debug build on a host that builds something else meanwhile.
const PATIENCE_S: u64 = 300;
const UNIT: &str = include_str!("../../systemd/sitepulse-browser@.service");

/// A folder that every user may enter, named by all processes of a browser, with an agent's configuration: that, and its table `[browser]`.
fn base(browser: &str) -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
    let config = base.path().join("agent.toml");
    let browser = browser.replace("DIR", &base.path().display().to_string());
    let text = format!("[network]\nallow = [\"loopback\"]\n[browser]\npressure_max = 100\n{browser}\n");
    std::fs::write(&config, text).expect("writable");
    (base, config)
}

/// What a page does when its agent is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    /// It waits for a picture.
    Loads,
    /// It never lets go of the processor.
    Hangs,
    /// It is stopped, as a slow processor is pretended: whoever was to let it go on is gone.
    Rests,
}

#[test]
fn a_killed_agent_leaves_no_process_of_either_form_whatever_its_page_does() {
    for form in ["headless-shell", "chromium"] {
        for busy in [Busy::Loads, Busy::Hangs, Busy::Rests] {
            kill_while(form, busy);
        }
    }
}

fn kill_while(form: &str, busy: Busy) {
    let site = Site::start();
    let (base, config) = base("dir = \"DIR\"");
    let dir = base.path().display().to_string();
    let mut agent = process::agent();
    agent.args(["vitals", "--runs", "1", "--timeout", "120s", "--browser", form, "--config"]).arg(&config);
    match busy {
        Busy::Loads => agent.arg(site.url("page-loading")).args(["--profile", "desktop", "--no-throttling"]),
        Busy::Hangs => agent.arg(site.url("page-hangs")).args(["--profile", "desktop", "--no-throttling"]),
        Busy::Rests => agent.arg(site.url("page-hangs")).args(["--profile", "mobile"]),
    };
    let mut agent = Daemon::start(&mut agent, &base.path().join("agent.log"));
    let pid = agent.pid();
    let myself = Seen::of(pid).expect("it runs");
    wait::until(&format!("{form} {busy:?}"), PATIENCE_S, || {
        assert!(myself.state().is_some(), "it ended by itself: {}", agent.log());
        let asked = |path: &str| site.hits().contains_key(path);
        let in_state = |wanted: char| descendants(pid).into_iter().filter(move |seen| seen.state() == Some(wanted));
        let at_it = match busy {
            Busy::Loads => asked("never"),
            // The same process is at work at each look.
            Busy::Hangs => {
                asked("hung")
                    && in_state('R').any(|seen| {
                        (0..20).all(|_| {
                            std::thread::sleep(Duration::from_millis(10));
                            seen.state() == Some('R')
                        })
                    })
            }
            Busy::Rests => asked("hung") && stopped_while_resting(&agent, pid).is_ok(),
        };
        if at_it { Ok(()) } else { Err(agent.log()) }
    });
    let mut browser = descendants(pid);
    // Those that Chromium parts from itself (its crash handlers) are nobody's children.
    browser.extend(naming(&dir).into_iter().filter(|seen| *seen != myself));
    agent.kill_hard();
    gone_soon(&browser);
    assert_eq!(naming(&dir), BTreeSet::new(), "{form} {busy:?}");
}

/// What systemd does for a connection: starts the unit's command as a user of its own, the connection its standard input. `kept`: else as units were before
/// the agent's program stayed beside the browser.
fn unit(listener: &UnixListener, base: &Path, program: &Path, kept: bool) -> Child {
    let (socket, _) = listener.accept().expect("a connection");
    let profile = base.join("profile");
    std::fs::create_dir(&profile).expect("a folder");
    let unit = UNIT.replace("\\\n", " ");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let browser = line.strip_prefix("/usr/bin/sitepulse-agent keep-browser -- ").expect("the agent's program");
    let browser = browser.replace("<-loopback>", "'<-loopback>'");
    let script = if kept {
        format!("exec {} keep-browser -- {browser}", program.display())
    } else {
        format!("exec 3<&0 4>&0 </dev/null >/dev/null; exec {browser}")
    };
    let mut command = Command::new("setpriv");
    command.arg("--no-new-privs");
    if std::fs::metadata("/proc/self").is_ok_and(|myself| myself.uid() == 0) {
        std::os::unix::fs::chown(&profile, Some(65_534), Some(65_534)).expect("it can be given away");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["--", "/bin/sh", "-c", &script]).current_dir("/");
    command.env_clear().env("RUNTIME_DIRECTORY", &profile).env("HOME", &profile).env("PATH", "/usr/bin:/bin");
    command.stdin(OwnedFd::from(socket)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

#[test]
fn a_browser_of_another_user_rests_where_somebody_keeps_it_and_ends_with_a_killed_agent() {
    // The user of the unit may not be able to enter the folder of the build, and memory may be no place to run a program from.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
    let program = folder.path().join("sitepulse-agent");
    std::fs::copy(process::binaries().join("sitepulse-agent"), &program).expect("a copy");
    for kept in [true, false] {
        let site = Site::start();
        let (base, config) = base("socket = \"DIR/browser.sock\"");
        let listener = UnixListener::bind(base.path().join("browser.sock")).expect("a socket");
        let start = |page: &str| {
            let mut agent = process::agent();
            agent.args(["vitals", "--runs", "1", "--timeout", "120s", "--profile", "mobile", "--json", "--config"]);
            agent.arg(&config).arg(site.url(page));
            Daemon::start(&mut agent, &base.path().join(format!("{page}.log")))
        };
        let mut agent = start("page");
        let mut browser = unit(&listener, base.path(), &program, kept);
        assert!(agent.wait_for_end(PATIENCE_S).success(), "{}", agent.log());
        browser.wait().expect("it ends with the agent");
        let log = agent.log();
        let json: serde_json::Value = serde_json::from_str(&log[log.find('{').expect("JSON")..]).expect("JSON");
        let way = json["provenance"]["loads"][0]["cpu_throttling"].as_str();
        assert_eq!(way, Some(if kept { "rest" } else { "chromium" }), "{json}");
        if !kept {
            // Its end is Chromium's own then, at the end of its connection.
            continue;
        }
        std::fs::remove_dir_all(base.path().join("profile")).ok();
        let mut agent = start("page-hangs");
        let mut keeper = unit(&listener, base.path(), &program, kept);
        let all = wait::until("its page rests", PATIENCE_S, || {
            if site.hits().contains_key("hung") { stopped_while_resting(&agent, keeper.id()) } else { Err(agent.log()) }
        });
        agent.kill_hard();
        gone_soon(&all);
        keeper.wait().expect("its end");
    }
}

/// Stops the agent while a process below `root` rests: nobody of the agent lets that go on then. All that is below `root`; an error where none rests.
fn stopped_while_resting(agent: &Daemon, root: u32) -> Result<BTreeSet<Seen>, String> {
    let myself = Seen::of(agent.pid()).expect("it runs");
    assert!(agent.signal("-STOP"), "it runs");
    wait::until("the agent is stopped", PATIENCE_S, || if myself.is_stopped() { Ok(()) } else { Err(myself.state()) });
    let all = descendants(root);
    if all.iter().any(|seen| seen.state() == Some('T')) {
        return Ok(all);
    }
    assert!(agent.signal("-CONT"), "it runs");
    Err(agent.log())
}
