//! `web_vitals`: a page in a real browser, several times.
//!
//! [`course`] decides which loads count and what they come to, [`gate`] what a page may reach, [`told`] what is noted of it all.
//!
//! The check's timeout is the deadline of one load. A run waits for its place in the browser first: the scheduler gives out no more places than there
//! are (a heavy page takes several), so that only runs besides the schedule wait here, and those that they keep waiting, for [`BROWSER_WAIT_US_MAX`] at most.

mod course;
mod gate;
mod told;

use std::time::Duration;

use base64::Engine as _;
use sitepulse_browser::{Failed, Job, Loaded};
use sitepulse_daemon::clock;
use sitepulse_model::check::{BROWSER_WAIT_US_MAX, Interact, SecretText, TIMEOUT_US_MAX, WebVitalsTarget};
use sitepulse_model::expect::Expectation;
use sitepulse_model::record::{Cause, FactKey, Phase};
use sitepulse_model::vitals::profile::{Profile, Thresholds};
use sitepulse_model::vitals::report::Report;

use self::course::{Course, Ending, Plan};
use self::gate::LoadGate;
use crate::attempt::{Answer, Attempt, Failure};
use crate::human_us;
use crate::tools::{Progress, Secrets};

/// What a load may take beyond its deadline, a browser's start included, before it is given up as the agent's own fault.
const GRACE_US: u64 = 60_000_000;

/// A `web_vitals` check, prepared.
#[derive(Debug)]
pub(crate) struct WebVitalsProbe {
    target: WebVitalsTarget,
    profile: Profile,
    heavy: bool,
    plan: Plan,
}

impl WebVitalsProbe {
    pub(crate) fn new(
        target: &WebVitalsTarget,
        timeout_us: u64,
        retries: u8,
        expect: &[Expectation],
    ) -> Result<Self, String> {
        let profile = target.device().ok_or_else(|| format!("profile {:?} is none", target.profile.name()))?;
        let heavy = target.is_heavy(expect);
        let runs = usize::from(target.runs).max(1);
        let asked_us = timeout_us.saturating_mul(runs as u64);
        let whole_us = (2 * asked_us).min(TIMEOUT_US_MAX / (u64::from(retries) + 1));
        let plan = Plan { runs, timeout_us, whole_us, alone: heavy };
        Ok(Self { target: target.clone(), profile, heavy, plan })
    }

    /// How long an attempt may take: it keeps its own deadlines, and this one only if one of them fails.
    pub(crate) fn attempt_us(&self) -> u64 {
        let loads = 2 * self.plan.runs as u64;
        BROWSER_WAIT_US_MAX + loads * (self.plan.timeout_us + GRACE_US)
    }

    /// What `good` and `poor` are.
    pub(crate) const fn thresholds(&self) -> &Thresholds {
        &self.profile.thresholds
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let host = self.target.url.parse::<url::Url>().ok().and_then(|url| url.host_str().map(str::to_owned));
        attempt.host = host.unwrap_or_default();
        let job = self.job(&attempt.secrets)?;
        let tools = attempt.tools;
        let progress = |step: Progress| {
            tools.progress.send_replace(step);
        };
        progress(Progress::Waiting);
        let seat =
            tokio::time::timeout(Duration::from_micros(BROWSER_WAIT_US_MAX), tools.browser.seat(self.heavy)).await;
        let Ok(seat) = seat else {
            let text = format!(
                "browser: no place for the page within {}, others load theirs; let checks run less often, or give the host more processors",
                human_us(BROWSER_WAIT_US_MAX)
            );
            return Err(Failure::new(Cause::HostPressure, Phase::Total, text));
        };
        let mut course = Course::new(self.plan);
        let begun = clock::monotonic();
        while let Some(load) = course.next(clock::monotonic().us_since(begun)) {
            progress(Progress::Loading { load, runs: self.plan.runs, pressed: course.is_pressed() });
            let gate = LoadGate::new(tools);
            let limit = Duration::from_micros(self.plan.timeout_us + GRACE_US);
            match tokio::time::timeout(limit, tools.browser.load(&seat, &job, &gate)).await {
                Ok(outcome) => course.take(outcome),
                Err(_) => {
                    let text = format!("browser: it gave nothing back of {}; please report it", self.target.url);
                    return Err(Failure::new(Cause::AgentFault, Phase::Total, text));
                }
            }
        }
        drop(seat);
        progress(Progress::Idle);
        let report = Report { profile: Some(self.profile.clone()), ..course.report() };
        let pressed = course.low_confidence();
        attempt.facts.text(FactKey::Profile, &self.profile.name);
        attempt.facts.text(FactKey::Browser, &report.browser);
        if pressed > 0 {
            attempt.facts.number(FactKey::LoadsLowConfidence, pressed as i64);
        }
        match course.end() {
            Ending::Measured { spreads, counted, shown, place } => {
                for (vital, spread) in spreads {
                    told::vital_fact(&mut attempt.facts, vital, spread);
                }
                attempt.facts.number(FactKey::LoadsCounted, counted as i64);
                self.measured(attempt, *shown, place, report);
                Ok(Answer::default())
            }
            Ending::Failed { failure, failed } => {
                self.failed(attempt, failed, report);
                Err(failure)
            }
        }
    }

    fn job(&self, secrets: &Secrets) -> Result<Job, Failure> {
        let mut typed_secrets = false;
        let mut resolve = |step: &Interact| match step {
            Interact::Type(selector, text) => {
                typed_secrets |= text.name().is_some();
                Ok(Interact::Type(selector.clone(), SecretText(secrets.resolve(text)?)))
            }
            Interact::Click(_) | Interact::Press(_) | Interact::Scroll(_) | Interact::Wait(_) => Ok(step.clone()),
        };
        let interact: Result<Vec<Interact>, Failure> = self.target.interact.iter().map(&mut resolve).collect();
        let consent = self.target.consent.as_ref().map(&mut resolve).transpose()?;
        Ok(Job {
            url: self.target.url.clone(),
            profile: self.profile.clone(),
            interact: interact?,
            consent,
            settle_us: self.target.settle.0,
            timeout_us: self.plan.timeout_us,
            insecure: self.target.insecure,
            screenshot: !typed_secrets,
        })
    }

    fn measured(&self, attempt: &mut Attempt<'_>, shown: Loaded, place: usize, report: Report) {
        told::page_facts(attempt, &shown.page, &self.target.url);
        told::paint_facts(&mut attempt.facts, &shown);
        attempt.phases = shown.phases;
        attempt.address = shown.address;
        let report =
            Report { shown: Some(place), attribution: Some(shown.attribution), page: Some(shown.page), ..report };
        attempt.facts.text(FactKey::VitalsReport, &told::report_json(report, &attempt.secrets));
    }

    fn failed(&self, attempt: &mut Attempt<'_>, failed: Option<Box<Failed>>, report: Report) {
        let mut page = None;
        if let Some(failed) = failed {
            attempt.phases = failed.phases;
            attempt.address = failed.address;
            if failed.page.status.is_some() {
                told::page_facts(attempt, &failed.page, &self.target.url);
            }
            if let Some(picture) = &failed.screenshot {
                let text = base64::engine::general_purpose::STANDARD.encode(picture);
                attempt.facts.text(FactKey::Screenshot, &text);
            }
            page = Some(failed.page);
        }
        let report = Report { page, ..report };
        attempt.facts.text(FactKey::VitalsReport, &told::report_json(report, &attempt.secrets));
    }
}
