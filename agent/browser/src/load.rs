//! One page, from a fresh context to its figures.
//!
//! In order: the window becomes the device of the profile ([`device`]); the page is navigated to, watched by a script in a world of its own (`observer.js`, what it
//! reports is [`entries`]); it is waited for until it is at rest ([`settle`], over what [`traffic`] and the observer tell, gathered in [`story`]); LCP and TBT are
//! frozen there; what is scripted is done ([`act`]); figures are made of it all ([`figures`], [`outcome`]), or a cause is found ([`failure`]). [`session`] is the
//! thread through it: it waits for one thing and listens to all.
//!
//! # Time
//!
//! The job's timeout is the end of everything, a picture of a failure excepted ([`PICTURE_US`]). A tenth of it is kept for collecting, so that a page that
//! never comes to rest still has figures; a page that has no load event by then, or painted nothing, has none, as what would be graded is not what the check
//! is of.
//!
//! # What is the page
//!
//! The first document that takes the window's place, after whatever redirects its servers sent. A page that then goes to another document by itself (a meta refresh,
//! a script, a reload), before its figures are complete, has *navigated away*: the times of the second document would leave out the first, and those of
//! the first are not what a visitor waits for. The check is to name the second address. Moves within a document (a fragment, the history) are none.
//!
//! But a page that loads its own address anew because consent was given is, once, left for a new window of the same context, with an empty cache and in what is
//! left of the time: consent stands there, and what comes is the page.

mod act;
mod device;
mod entries;
mod failure;
mod figures;
mod outcome;
mod picture;
mod session;
mod settle;
mod story;
mod traffic;

use serde_json::{Value, json};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::Interact;
use sitepulse_model::record::{Cause, Phase};
use sitepulse_model::vitals::profile::Milli;
use sitepulse_model::vitals::report::{CpuThrottling, Ended};

use self::act::Undone;
use self::failure::Why;
use self::figures::Dispatched;
use self::session::Session;
use self::story::Stop;
use crate::browser::Lease;
use crate::proxy::Proxy;
use crate::throttle::Throttled;
use crate::{Failed, Job, Loaded};

/// Time for collecting at the end, in microseconds: a tenth of the timeout, within these.
const COLLECT_US: std::ops::RangeInclusive<u64> = 100_000..=2_000_000;
/// Time kept for each scripted interaction, in microseconds, as long as that leaves half of the timeout for the page.
const INTERACTION_US: u64 = 1_000_000;
/// How long two frames may take before they are not waited for, in milliseconds.
const FRAMES_MS: u64 = 1_000;
/// Time for a picture of a failure, in microseconds.
const PICTURE_US: u64 = 700_000;
/// How long an error's page may take to show before its picture is taken, in microseconds.
const ERROR_PAGE_US: u64 = 2_000_000;

/// Loads a page in a fresh context, within the job's timeout. `rate` is how much slower this browser's pages are made by rest, if any is.
pub(crate) async fn load(lease: &Lease, job: &Job, proxy: &Proxy, rate: Milli) -> Result<Loaded, Box<Failed>> {
    let begun = clock::monotonic();
    let deadline = begun.plus_us(job.timeout_us);
    let (user_agent, build) = (&lease.process.user_agent, &lease.process.build);
    let collect_us = (job.timeout_us / 10).clamp(*COLLECT_US.start(), *COLLECT_US.end());
    let observe_by = begun.plus_us(job.timeout_us.saturating_sub(collect_us));
    let mut consented = false;
    loop {
        let session =
            match Session::open(lease, job.settle_us, device::every(&job.profile, user_agent, build), deadline).await {
                Ok(session) => session,
                Err(stop) => {
                    let (cause, phase, detail) = if stop == Stop::Deadline {
                        (Cause::BrowserGone, Phase::Total, "browser: opens no window".to_owned())
                    } else {
                        failure::of_stop(&stop, &traffic::Document::default(), &[])
                    };
                    return Err(Box::new(Failed::new(cause, phase, detail)));
                }
            };
        let mut visit = Visit {
            session,
            job,
            proxy,
            consented,
            observe_by,
            navigated: clock::monotonic(),
            throttled: None,
            cpu_throttling: None,
            quiet: false,
            observed_us: 0,
            framed: false,
            frozen_us: 0,
            first_byte_us: None,
            inputs: Vec::new(),
        };
        let device = device::page(&job.profile, user_agent, build);
        match visit.run(device, lease, rate).await {
            Ok(()) => return Ok(visit.loaded().await),
            Err(End::Stop(_)) if !consented && visit.session.story.is_consent_reload(job.consent.is_some()) => {
                visit.session.leave().await;
                consented = true;
            }
            Err(end) => return Err(visit.failed(end).await),
        }
    }
}

/// A load that goes on.
struct Visit<'a> {
    session: Session,
    job: &'a Job,
    proxy: &'a Proxy,
    /// Consent was given already, by a page that then loaded itself anew: this is that page.
    consented: bool,
    /// When observation ends at the latest.
    observe_by: Monotonic,
    navigated: Monotonic,
    /// Slows the page down, where the browser does not do that itself.
    throttled: Option<Throttled>,
    /// How it was slowed down, if it was.
    cpu_throttling: Option<CpuThrottling>,
    /// Whether the page came to rest.
    quiet: bool,
    observed_us: u64,
    /// Whether frames came when it was last waited for them.
    framed: bool,
    /// Until when LCP and TBT count, in the page's time.
    frozen_us: u64,
    first_byte_us: Option<u64>,
    inputs: Vec<Dispatched>,
}

/// Why a load failed.
enum End {
    /// It could not go on.
    Stop(Stop),
    /// This was found.
    Why(Why),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// What the observer answers to `flush`.
#[derive(serde::Deserialize)]
struct Flushed {
    now: f64,
    framed: bool,
    first_byte: f64,
    entries: Value,
}

impl Visit<'_> {
    async fn run(&mut self, device: Vec<device::Call>, lease: &Lease, rate: Milli) -> Result<(), End> {
        self.prepare(device, &lease.context).await?;
        if self.job.profile.is_throttled() {
            self.slow_down(lease, rate).await?;
        }
        self.navigate().await?;
        self.settle(self.settle_by()).await?;
        if self.session.story.settle.is_loaded() && !self.job.interact.is_empty() {
            self.interact().await?;
            self.settle(self.observe_by).await?;
        }
        self.observed_us = clock::monotonic().us_since(self.navigated);
        self.throttled = None;
        Ok(())
    }

    /// Makes an empty window the device, and puts the observer in place.
    async fn prepare(&mut self, device: Vec<device::Call>, context: &str) -> Result<(), End> {
        let consent = match &self.job.consent {
            Some(Interact::Click(selector)) => Some(selector.as_str()),
            Some(Interact::Type(..) | Interact::Press(_) | Interact::Scroll(_) | Interact::Wait(_)) | None => None,
        };
        let [observer, errors] = self.session.scripts(consent);
        let mut calls = vec![
            ("Page.enable", json!({})),
            ("Inspector.enable", json!({})),
            // Bodies are not asked for, and not kept.
            ("Network.enable", json!({ "maxTotalBufferSize": 0, "maxResourceBufferSize": 0 })),
            ("Page.setInterceptFileChooserDialog", json!({ "enabled": true })),
            ("Page.addScriptToEvaluateOnNewDocument", json!({ "source": observer, "worldName": session::WORLD })),
            ("Page.addScriptToEvaluateOnNewDocument", json!({ "source": errors })),
        ];
        calls.extend(session::auto_attach());
        calls.extend(device);
        if self.consented {
            // What the page before has left there: each load begins without.
            calls.push(("Network.clearBrowserCache", json!({})));
        }
        if self.job.insecure {
            calls.push(("Security.setIgnoreCertificateErrors", json!({ "ignore": true })));
        }
        self.session.calls(calls).await?;
        if let Some([(method, params), (old, old_params)]) = device::network(&self.job.profile) {
            let answer = self.session.attempt(self.observe_by, method, params.clone()).await?;
            if answer.is_some_and(|answer| answer.is_ok()) {
                self.session.tell_children((method, params));
            } else {
                self.session.call(old, old_params.clone()).await?;
                self.session.tell_children((old, old_params));
            }
        }
        let deny = json!({ "behavior": "deny", "browserContextId": context, "eventsEnabled": false });
        self.session.call_browser("Browser.setDownloadBehavior", deny).await?;
        Ok(())
    }

    /// Slows the processor down: by rest, at no cost, or else the browser does it.
    async fn slow_down(&mut self, lease: &Lease, rate: Milli) -> Result<(), Stop> {
        // Its renderer has answered, so that it is there.
        if rate == self.job.profile.cpu {
            self.throttled = lease.process.slow_down(rate).await;
        }
        self.cpu_throttling = Some(CpuThrottling::Rest);
        if self.throttled.is_none() {
            self.cpu_throttling = Some(CpuThrottling::Chromium);
            tracing::debug!("{}: the browser slows the processor down itself", self.job.url);
            self.session.call_everywhere(device::processor(&self.job.profile)).await?;
        }
        Ok(())
    }

    /// Goes to the page, until its document takes the window's place.
    async fn navigate(&mut self) -> Result<(), End> {
        self.navigated = clock::monotonic();
        let params = json!({ "url": self.job.url, "transitionType": "typed" });
        let Some(answer) = self.session.call_until(self.observe_by, "Page.navigate", params).await? else {
            return Err(End::Why(self.late()));
        };
        let document = &self.session.story.traffic.document;
        if let Some(why) = document.answer.as_ref().and_then(failure::of_answer) {
            return Err(End::Why(why));
        }
        let code = answer["errorText"].as_str().unwrap_or_default();
        if !code.is_empty() {
            let url = if document.url.is_empty() { &self.job.url } else { &document.url };
            return Err(End::Why(failure::of_navigation(code, url, &self.proxy.asked())));
        }
        Ok(())
    }

    /// When the page is to be at rest, if something is to be done with it then.
    fn settle_by(&self) -> Monotonic {
        let reserve = |interact: &Interact| match interact {
            Interact::Wait(duration) => duration.0,
            Interact::Click(_) | Interact::Type(..) | Interact::Press(_) | Interact::Scroll(_) => INTERACTION_US,
        };
        let reserved: u64 = self.job.interact.iter().map(reserve).fold(0, u64::saturating_add);
        Monotonic(self.observe_by.0.saturating_sub(reserved.min(self.job.timeout_us / 2)))
    }

    /// Waits until the page is at rest, and takes what its observers have not told yet. Until there is input, LCP and TBT count until here.
    async fn settle(&mut self, at: Monotonic) -> Result<(), End> {
        loop {
            self.quiet = self.session.settle(at).await?;
            let story = &self.session.story;
            let there = story.world.is_some() && story.settle.is_loaded() && story.settle.is_painted();
            if !self.quiet && !there {
                // Nothing to interact with before it is loaded and painted: all the time there is.
                if at < self.observe_by {
                    return Box::pin(self.settle(self.observe_by)).await;
                }
            }
            let unrest = self.flush().await?;
            if !self.session.story.settle.is_loaded() {
                return Err(End::Why(self.late()));
            }
            if !self.session.story.settle.is_painted() {
                return Err(End::Why(failure::of_blank(self.job.timeout_us)));
            }
            // What was in the pipe kept the page from rest after all.
            if !(self.quiet && unrest) || clock::monotonic() >= at {
                return Ok(());
            }
        }
    }

    /// Two frames, and all entries until then. Whether something happened.
    async fn flush(&mut self) -> Result<bool, End> {
        let before = self.session.story.settle;
        if self.session.story.reached.is_none() {
            return Err(End::Why(self.late()));
        }
        let deadline = self.session.deadline();
        // A page whose frames do not come (it blocks its own rendering) still answers in time.
        let frames_ms = (deadline.us_since(clock::monotonic()) / 2_000).min(FRAMES_MS);
        let answer = match self.session.ask(deadline, "flush", &[json!(frames_ms)]).await? {
            Some(Ok(answer)) => answer,
            Some(Err(text)) => return Err(Stop::Refused(format!("its observer fails: {text}")).into()),
            None => return Err(Stop::Deadline.into()),
        };
        let Ok(Flushed { now, framed, first_byte, entries }) = serde_json::from_value(answer) else {
            return Err(Stop::Refused("its observer does not answer".to_owned()).into());
        };
        self.framed = framed;
        self.session.story.reported(entries, clock::monotonic());
        if self.inputs.is_empty() {
            self.frozen_us = entries::us(now).unwrap_or_default();
        }
        self.first_byte_us = entries::us(first_byte).filter(|&us| us > 0);
        Ok(self.session.story.settle != before)
    }

    async fn interact(&mut self) -> Result<(), End> {
        let profile = &self.job.profile;
        for (number, interact) in self.job.interact.iter().enumerate() {
            let done = act::perform(
                &mut self.session,
                interact,
                profile.touch,
                (profile.width, profile.height),
                self.observe_by,
            )
            .await;
            match done {
                Ok(dispatched) => self.inputs.extend(dispatched),
                Err(Undone::Stopped(stop)) => return Err(stop.into()),
                Err(Undone::Unresponsive) => return Err(Stop::Deadline.into()),
                Err(Undone::Failed(text)) => {
                    let detail = format!("interact {} ({}): {text}", number + 1, act::name(interact));
                    return Err(End::Why((Cause::InteractionFailed, Phase::Total, detail)));
                }
            }
            // The frame that answers it.
            self.flush().await?;
        }
        Ok(())
    }

    /// Why the page was not there in time.
    fn late(&self) -> Why {
        let traffic = &self.session.story.traffic;
        let asked = self.proxy.asked();
        failure::of_deadline(self.job.timeout_us, &traffic.document, &self.job.url, traffic.pending(), &asked)
    }

    async fn loaded(mut self) -> Loaded {
        let resource = self.resource().await;
        let ended = if self.quiet { Ended::Quiet } else { Ended::Deadline };
        outcome::loaded(&self, ended, resource)
    }

    /// When the resource of the largest paint was asked for, and when it was there; in the page's time.
    async fn resource(&mut self) -> Option<(u64, u64)> {
        let url = figures::lcp(&self.session.story.entries.paints, self.frozen_us)?.url.clone();
        if url.is_empty() {
            return None;
        }
        let deadline = self.session.deadline();
        let times = self.session.ask(deadline, "resource", &[json!(url)]).await.ok()??.ok()?;
        let time = |at: usize| times[at].as_f64().and_then(entries::us);
        // Other hosts keep it to themselves when their part began.
        let asked = time(1).filter(|&us| us > 0).or_else(|| time(0))?;
        Some((asked, time(2)?.max(asked)))
    }

    async fn failed(mut self, end: End) -> Box<Failed> {
        let asked = self.proxy.asked();
        let (cause, phase, mut detail) = match &end {
            End::Why(why) => why.clone(),
            End::Stop(stop) => failure::of_stop(stop, &self.session.story.traffic.document, &asked),
        };
        if self.consented && self.session.story.is_consent_reload(self.job.consent.is_some()) {
            detail.push_str("; giving consent loads it anew each time: check it without");
        }
        self.observed_us = clock::monotonic().us_since(self.navigated);
        self.throttled = None;
        let mut failed = outcome::failed(&self, cause, phase, detail);
        let shows = !matches!(end, End::Stop(Stop::Crashed | Stop::Gone | Stop::Closed | Stop::Deadline));
        if self.job.screenshot && shows && self.session.story.traffic.document.answer.is_some() {
            if cause == Cause::HttpStatus {
                // What its visitors see; whatever comes of it, the picture is taken.
                drop(self.session.settle(self.observe_by.min(clock::monotonic().plus_us(ERROR_PAGE_US))).await);
            }
            let end = self.session.deadline().plus_us(PICTURE_US);
            let within_us = end.us_since(clock::monotonic()).min(3 * PICTURE_US);
            failed.screenshot =
                picture::take(&mut self.session, self.job.profile.width, self.job.profile.height, within_us).await;
        }
        failed
    }
}
