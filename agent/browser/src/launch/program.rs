//! Which program is run, as which user, with which flags.

use std::path::{Path, PathBuf};

use crate::options::Form;

/// Where Debian and others put them. Not `/usr/bin/chromium`, a script that adds flags and files of its own.
const HEADLESS_SHELLS: [&str; 2] = ["/usr/lib/chromium/chromium-headless-shell", "/usr/bin/chromium-headless-shell"];
const CHROMIUMS: [&str; 4] = [
    "/usr/lib/chromium/chromium",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/usr/bin/google-chrome-stable",
    "/opt/google/chrome/chrome",
];

/// What is switched off, in one flag: of two the browser takes the last one alone. Most of it is what only people need of the full browser; without it each
/// window draws parts of its own (80 MB and half a second of a processor), and a renderer is started for the next page before there is one.
/// `WebRtcHideLocalIpsWithMdns`: with it a page's WebRTC joins the multicast group of mDNS. There are no addresses to hide: none is gathered.
const FEATURES_OFF: &str = "--disable-features=AutofillServerCommunication,CertificateTransparencyComponentUpdater,DialMediaRouteProvider,GlobalMediaControls,\
    InterestFeedContentSuggestions,MediaRouter,OptimizationHints,PreloadTopChromeWebUI,SpareRendererForSitePerProcess,Translate,\
    WebRtcHideLocalIpsWithMdns,WebUIOmniboxAimPopup,WebUIOmniboxPopup";

/// What is switched on. The network service is a thread of the browser: a process of its own takes 12 MiB more, and has no sandbox either on Linux.
const FEATURES_ON: &str = "--enable-features=NetworkServiceInProcess2";

/// A browser's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// Whether it is `chromium-headless-shell`, which is headless in any case and knows no windows.
    pub(crate) shell: bool,
}

impl Program {
    /// The program of a form, where one is installed.
    ///
    /// # Errors
    /// None is: with the remedy.
    pub(crate) fn of(form: &Form) -> Result<Self, String> {
        let first = |paths: &[&str], shell| {
            paths.iter().map(PathBuf::from).find(|path| path.is_file()).map(|path| Self { path, shell })
        };
        let (found, package) = match form {
            Form::Program(path) => {
                if !path.is_file() {
                    return Err(format!(
                        "{}: is no program; mend [browser] program in the agent's configuration",
                        path.display()
                    ));
                }
                let path = &unwrapped(path, Path::new("/usr/lib/chromium"))?;
                let shell = path.to_string_lossy().contains("headless-shell");
                (Some(Self { path: path.clone(), shell }), "")
            }
            Form::HeadlessShell => (first(&HEADLESS_SHELLS, true), "chromium-headless-shell"),
            Form::Chromium => (first(&CHROMIUMS, false), "chromium"),
            Form::Auto => {
                (first(&HEADLESS_SHELLS, true).or_else(|| first(&CHROMIUMS, false)), "chromium-headless-shell")
            }
        };
        found.ok_or_else(|| {
            format!(
                "no browser is installed; install one (on Debian: apt install {package}), or name it in the agent's configuration: [browser] program = \"...\""
            )
        })
    }

    /// Its flags.
    pub(crate) fn flags(&self, profile: &Path, sandbox: bool) -> Vec<String> {
        let mut flags: Vec<String> = [
            "--remote-debugging-pipe",
            if self.shell { "--headless" } else { "--headless=new" },
            "--no-first-run",
            "--no-default-browser-check",
            "--no-pings",
            "--disable-background-networking",
            // `--disable-crashpad-for-testing` would spare two small processes, and brings the network service of the full browser down time and again.
            "--disable-breakpad",
            "--disable-client-side-phishing-detection",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-domain-reliability",
            "--disable-extensions",
            FEATURES_OFF,
            FEATURES_ON,
            "--disable-gpu",
            "--disable-hang-monitor",
            "--disable-quic",
            "--disable-sync",
            "--hide-scrollbars",
            "--metrics-recording-only",
            "--mute-audio",
            "--noerrdialogs",
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
        ]
        .map(str::to_owned)
        .into();
        if !self.shell {
            flags.push("--disable-component-extensions-with-background-pages".to_owned());
            // No window but those of the loads: the first would cost as much as a page.
            flags.push("--no-startup-window".to_owned());
        }
        flags.push(format!("--user-data-dir={}", profile.display()));
        if !sandbox {
            flags.push("--no-sandbox".to_owned());
        }
        flags
    }
}

/// The program behind a distribution's script (Debian's `/usr/bin/chromium`), which adds flags and closes descriptors; another program as it is.
///
/// # Errors
/// What the script starts is not where Debian has it, `dir`: with the remedy.
fn unwrapped(path: &Path, dir: &Path) -> Result<PathBuf, String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut start = [0_u8; 2];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    if read.is_err() || &start != b"#!" || !name.starts_with("chromium") {
        return Ok(path.to_owned());
    }
    let program = dir.join(&name);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{}: is a script that starts a browser in its own way; name the browser itself at [browser] program in the agent's configuration, or take auto",
        path.display()
    ))
}

/// The user and group of the browser where the agent may choose: where it is root. `sitepulse-browser` if there is one, else `nobody`.
pub(crate) fn user() -> Option<(u32, u32)> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        })
    };
    // Never root, whatever the file says.
    of("sitepulse-browser")
        .or_else(|| of("nobody"))
        .filter(|(uid, gid)| *uid != 0 && *gid != 0)
        .or(Some((65_534, 65_534)))
}

/// Where profiles are by default: in memory, if the host has such a place.
pub(crate) fn default_dir() -> PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_comes_with_the_remedy() {
        let error = Program::of(&Form::Program("/nonexistent/chromium".into())).expect_err("not there");
        assert_eq!(error, "/nonexistent/chromium: is no program; mend [browser] program in the agent's configuration");
        for form in [Form::Auto, Form::Chromium, Form::HeadlessShell] {
            match Program::of(&form) {
                Ok(program) => assert_ne!(program.path, Path::new("/usr/bin/chromium")),
                Err(error) => assert!(error.contains("apt install chromium"), "{error}"),
            }
        }
    }

    #[test]
    fn the_program_behind_a_distribution_s_script_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let (bin, lib) = (dir.path().join("bin"), dir.path().join("lib"));
        for folder in [&bin, &lib] {
            std::fs::create_dir(folder).expect("a folder");
        }
        let script = bin.join("chromium");
        std::fs::write(&script, "#!/bin/sh\nexec /elsewhere \"$@\"\n").expect("a script");
        let error = unwrapped(&script, &lib).expect_err("nothing is behind it");
        assert!(error.contains("is a script") && error.contains("[browser] program"), "{error}");
        std::fs::write(lib.join("chromium"), b"\x7fELF").expect("a program");
        assert_eq!(unwrapped(&script, &lib), Ok(lib.join("chromium")));
        assert_eq!(unwrapped(&lib.join("chromium"), &bin), Ok(lib.join("chromium")));
        let own = bin.join("my-browser");
        std::fs::write(&own, "#!/bin/sh\n").expect("a script");
        assert_eq!(unwrapped(&own, &lib), Ok(own), "somebody's own script is what they want");
    }

    #[test]
    fn the_sandbox_is_on_unless_a_test_says_otherwise() {
        for shell in [false, true] {
            let program = Program { path: "/x".into(), shell };
            assert!(!program.flags(Path::new("/p"), true).iter().any(|flag| flag.contains("sandbox")));
            assert!(program.flags(Path::new("/p"), false).contains(&"--no-sandbox".to_owned()));
            // Of two flags with one name the browser takes the last.
            let flags = program.flags(Path::new("/p"), true);
            let names: std::collections::BTreeSet<_> = flags.iter().map(|flag| flag.split('=').next()).collect();
            assert_eq!(names.len(), flags.len(), "{flags:?}");
        }
    }
}
