//! Pages whose figures are known, measured in the real browsers: the headless shell and the full Chromium. A browser that is not installed fails its test.
//!
//! What a page does takes at least as long as it says, so lower bounds are sharp. How much longer it takes depends on how busy the machine is, so upper
//! bounds are set by what the load itself says elsewhere, or are far away.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "truth/cases.rs"]
mod cases;
#[path = "truth/pages.rs"]
mod pages;
#[path = "truth/server.rs"]
mod server;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use sitepulse_browser::{Browser, Failed, Form, Job, Loaded, Options};
use sitepulse_model::vitals::profile::Profile;

use self::server::{Loopback, Server};

/// A browser, and the site that it looks at.
pub(crate) struct Lab {
    browser: Browser,
    server: Server,
}

impl Lab {
    /// A job on a desktop that is as fast as the machine.
    pub(crate) fn job(&self, path: &str) -> Job {
        Job {
            url: self.url("page.test", path),
            profile: Profile::builtin("desktop").unwrap().without_throttling(),
            interact: Vec::new(),
            consent: None,
            settle_us: 700_000,
            timeout_us: 60_000_000,
            insecure: false,
            screenshot: false,
        }
    }

    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.server.address.port())
    }

    pub(crate) async fn load(&self, job: &Job) -> Result<Loaded, Box<Failed>> {
        let seat = self.browser.seat(true).await;
        self.browser.load(&seat, job, &Loopback(self.server.address)).await
    }

    /// A page that is measured.
    pub(crate) async fn good(&self, job: &Job) -> Loaded {
        self.load(job).await.unwrap_or_else(|failed| panic!("{}: {failed:?}", job.url))
    }

    /// A page that is not.
    pub(crate) async fn bad(&self, job: &Job) -> Failed {
        match self.load(job).await {
            Ok(loaded) => panic!("{}: {loaded:?}", job.url),
            Err(failed) => *failed,
        }
    }
}

/// One browser at a time: they would measure each other.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// All cases, one after the other; `SITEPULSE_TRUTH` names those to run, by a part of their names.
async fn run(form: Form) {
    let _alone = ONE.lock().await;
    let options = Options { form, ..Options::default() };
    let lab = Lab { browser: Browser::new(options), server: Server::start(pages::site).await };
    let filter = std::env::var("SITEPULSE_TRUTH").unwrap_or_default();
    let mut failed = Vec::new();
    let mut ran = 0;
    for (name, case) in cases::ALL.iter().filter(|(name, _)| name.contains(&filter)) {
        lab.server.forget();
        ran += 1;
        if AssertUnwindSafe(case(&lab)).catch_unwind().await.is_err() {
            failed.push(*name);
        }
    }
    assert!(ran > 0, "no case is named {filter}");
    assert!(failed.is_empty(), "{} of {ran} cases failed: {failed:?}", failed.len());
}

#[tokio::test]
async fn headless_shell() {
    run(Form::HeadlessShell).await;
}

#[tokio::test]
async fn chromium() {
    run(Form::Chromium).await;
}
