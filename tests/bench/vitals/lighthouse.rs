//! Lighthouse from npm, as people run it: its own command, which starts the full Chromium for each run. As an unprivileged user, so that the browser's sandbox is
//! on as it is in ours; performance alone of its categories.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sitepulse_daemon::clock;

use crate::group::Group;

/// What is measured against.
const VERSION: &str = "13.5.0";
const CHROMIUM: &str = "/usr/lib/chromium/chromium";
/// `nobody`.
const USER: &str = "65534";

/// An installed Lighthouse.
pub(crate) struct Lighthouse {
    program: PathBuf,
    home: PathBuf,
    /// Where it and its browsers run.
    pub(crate) group: Group,
}

/// A run of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    /// From its start to its end.
    pub(crate) wall_us: u64,
    /// Processor time of all its processes.
    pub(crate) cpu_us: u64,
    /// LCP (us), CLS (ten-thousandths), TBT (us).
    pub(crate) figures: [f64; 3],
}

impl Lighthouse {
    /// Finds it where `SITEPULSE_LIGHTHOUSE` says, or installs it there (by default in the directory for temporary files, never in the repository).
    pub(crate) fn install() -> Self {
        let dir = std::env::var_os("SITEPULSE_LIGHTHOUSE")
            .map_or_else(|| std::env::temp_dir().join(format!("sitepulse-lighthouse-{VERSION}")), PathBuf::from);
        let program = dir.join("node_modules/lighthouse/cli/index.js");
        if !program.is_file() {
            println!("installing lighthouse@{VERSION} in {} (npm)", dir.display());
            std::fs::create_dir_all(&dir).expect("a folder");
            let npm = Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
                .arg(format!("lighthouse@{VERSION}"))
                .current_dir(&dir)
                .stdout(Stdio::null())
                .status();
            if !npm.is_ok_and(|status| status.success()) {
                eprintln!("npm could not install it: install Node (20 or newer) with npm, then run this again");
                std::process::exit(1);
            }
        }
        let found = std::fs::read_to_string(dir.join("node_modules/lighthouse/package.json")).unwrap_or_default();
        let found: Value = serde_json::from_str(&found).unwrap_or_default();
        assert_eq!(found["version"], VERSION, "{}: another version is there", dir.display());
        let home = PathBuf::from(format!("/dev/shm/sitepulse-lighthouse-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder in memory");
        let user = USER.parse().expect("a number");
        std::os::unix::fs::chown(&home, Some(user), Some(user)).expect("root gives it away");
        Self { program, home, group: Group::new("lighthouse") }
    }

    /// Starts a run: `provided` on a desktop as it is, or `devtools` on a phone with a slowed-down processor and network.
    pub(crate) fn start(&self, url: &str, method: &str) -> Child {
        let mut command = self.group.command();
        command.args(["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "node"]).arg(&self.program).args(
            [
                url,
                "--quiet",
                "--output=json",
                "--output-path=report.json",
                "--only-categories=performance",
                "--chrome-flags=--headless=new",
                &format!("--throttling-method={method}"),
            ],
        );
        if method == "provided" {
            command.arg("--preset=desktop");
        }
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("TMPDIR", &self.home)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("CHROME_PATH", CHROMIUM).current_dir(&self.home).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("a shell")
    }

    /// Runs it.
    pub(crate) fn run(&self, url: &str, method: &str) -> Run {
        let (begun, before) = (clock::monotonic(), self.group.cpu_us());
        let status = self.start(url, method).wait().expect("its end");
        let wall_us = clock::monotonic().us_since(begun);
        let cpu_us = self.group.cpu_us() - before;
        let report = std::fs::read_to_string(self.home.join("report.json")).unwrap_or_default();
        drop(std::fs::remove_file(self.home.join("report.json")));
        let report: Value = serde_json::from_str(&report).unwrap_or_default();
        let value =
            |audit: &str, scale: f64| report["audits"][audit]["numericValue"].as_f64().map_or(f64::NAN, |v| v * scale);
        let figures = [
            value("largest-contentful-paint", 1e3),
            value("cumulative-layout-shift", 1e4),
            value("total-blocking-time", 1e3),
        ];
        if !status.success() || figures.iter().any(|figure| figure.is_nan()) {
            eprintln!("lighthouse: {status}; {}", report["runtimeError"]["message"]);
        }
        Run { wall_us, cpu_us, figures }
    }
}

impl Drop for Lighthouse {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.home));
    }
}
