//! Starts a browser: as a user of its own where the agent may choose one, sandboxed, with an empty environment, a profile that is thrown away, and a pipe as
//! the only way to command it. It ends with the pipe, and with its parent (`PR_SET_PDEATHSIG`).

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use tokio::process::{Child, Command};

use crate::cdp::Connection;
use crate::options::{Form, Options};

/// Where Debian and others put them.
const HEADLESS_SHELLS: [&str; 2] = ["/usr/lib/chromium/chromium-headless-shell", "/usr/bin/chromium-headless-shell"];
const CHROMIUMS: [&str; 4] = [
    "/usr/lib/chromium/chromium",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/usr/bin/google-chrome-stable",
    "/opt/google/chrome/chrome",
];

/// A browser that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    /// How to talk to it.
    pub(crate) connection: Connection,
    /// `HeadlessChrome/156.0.8078.79`.
    pub(crate) build: String,
    /// Its own user agent.
    pub(crate) user_agent: String,
    child: Child,
    _profile: ProfileDir,
}

/// A directory that goes with its browser.
#[derive(Debug)]
struct ProfileDir(PathBuf);

impl Drop for ProfileDir {
    fn drop(&mut self) {
        // Best effort: the next start clears what is left.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The program of a form, and whether it is the headless shell.
pub(crate) fn program(form: &Form) -> Result<(PathBuf, bool), String> {
    let first = |paths: &[&str]| paths.iter().map(PathBuf::from).find(|path| path.is_file());
    let found = match form {
        Form::Program(path) => {
            let shell = path.to_string_lossy().contains("headless-shell");
            path.is_file().then(|| (path.clone(), shell))
        }
        Form::HeadlessShell => first(&HEADLESS_SHELLS).map(|path| (path, true)),
        Form::Chromium => first(&CHROMIUMS).map(|path| (path, false)),
        Form::Auto => {
            first(&HEADLESS_SHELLS).map(|path| (path, true)).or_else(|| first(&CHROMIUMS).map(|path| (path, false)))
        }
    };
    found.ok_or_else(|| {
        "no browser is installed; install one (on Debian: apt install chromium-headless-shell), or name it in the agent's configuration: [browser] program = \"...\"".to_owned()
    })
}

/// Starts a browser.
pub(crate) async fn launch(options: &Options) -> Result<Process, String> {
    let (program, shell) = program(&options.form)?;
    let base = options.dir.clone().unwrap_or_else(default_dir);
    let profile = profile_dir(&base)?;
    let mut command = Command::new("/bin/sh");
    // The browser reads commands at descriptor 3 and answers at 4: the shell puts the two pipes there and becomes it.
    command.args([
        "-c",
        "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null",
        "sh",
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--no-new-privs",
    ]);
    if is_root() {
        let (uid, gid) = browser_user();
        std::os::unix::fs::chown(&profile.0, Some(uid), Some(gid))
            .map_err(|error| format!("{}: cannot be given to the browser's user ({error})", profile.0.display()))?;
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
    }
    command.arg("--").arg(&program).args(flags(&profile.0, shell, options.sandbox));
    command
        .env_clear()
        .env("HOME", &profile.0)
        .env("TMPDIR", &profile.0)
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8");
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{}: cannot be started ({error})", program.display()))?;
    let (Some(input), Some(output)) = (child.stdout.take(), child.stdin.take()) else {
        return Err("the browser has no pipes".to_owned());
    };
    let (connection, talk) = Connection::start(input, output);
    tokio::spawn(talk);
    let version = connection.call(None, "Browser.getVersion", json!({})).await.map_err(|error| {
        format!("{}: did not come up ({error}); run it by hand as the agent's user to see why", program.display())
    })?;
    let text = |key: &str| version[key].as_str().unwrap_or_default().to_owned();
    Ok(Process { connection, build: text("product"), user_agent: text("userAgent"), child, _profile: profile })
}

impl Process {
    /// The process, as long as it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

fn default_dir() -> PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() }
}

fn profile_dir(base: &Path) -> Result<ProfileDir, String> {
    use std::os::unix::fs::DirBuilderExt as _;
    for attempt in 0..100_u32 {
        let path = base.join(format!("sitepulse-browser-{}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(ProfileDir(path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("{}: no place for the browser's profile ({error})", base.display())),
        }
    }
    Err(format!("{}: a hundred profiles of this agent's browsers are there already", base.display()))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// `sitepulse-browser` where it exists, else `nobody`.
fn browser_user() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        })
    };
    of("sitepulse-browser").or_else(|| of("nobody")).unwrap_or((65_534, 65_534))
}

fn flags(profile: &Path, shell: bool, sandbox: bool) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--remote-debugging-pipe",
        if shell { "--headless" } else { "--headless=new" },
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-breakpad",
        "--disable-client-side-phishing-detection",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-domain-reliability",
        "--disable-extensions",
        "--disable-gpu",
        "--disable-hang-monitor",
        "--disable-quic",
        "--disable-sync",
        "--hide-scrollbars",
        "--metrics-recording-only",
        "--mute-audio",
        "--password-store=basic",
        // Measured pages are always in the foreground.
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        // The only way out is a proxy, given to each context. Whatever goes round it ends here.
        "--proxy-server=socks5://127.0.0.1:1",
        "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        // The same for either form: each has a name of its own for it.
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        // Without it a page's WebRTC joins the multicast group of mDNS. There are no addresses to hide: none is gathered.
        "--disable-features=WebRtcHideLocalIpsWithMdns",
    ]
    .map(str::to_owned)
    .into();
    flags.push(format!("--user-data-dir={}", profile.display()));
    if !sandbox {
        flags.push("--no-sandbox".to_owned());
    }
    flags
}
