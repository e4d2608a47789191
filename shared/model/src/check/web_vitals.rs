//! `web_vitals`: a page in a real browser.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::target::{DurationUs, SecretText};
use crate::expect::Expectation;
use crate::vitals::Vital;
use crate::vitals::profile::{Profile, ProfileChoice};

/// `web_vitals`: a page loaded in a real browser, several times, on a device profile.
///
/// `timeout` is the deadline of one load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebVitalsTarget {
    /// `http://` or `https://`, with a host; at most 2048 bytes.
    pub url: String,
    /// The device: `mobile`, `desktop`, or an own profile.
    #[serde(default, skip_serializing_if = "is_default")]
    pub profile: ProfileChoice,
    /// Loads, 1 to [`RUNS_MAX`]; the median counts.
    #[serde(default = "three", skip_serializing_if = "is_three")]
    pub runs: u8,
    /// What is done on the page once it has come to rest, in order; gives INP.
    #[serde(default, skip_serializing_if = "is_default")]
    pub interact: Vec<Interact>,
    /// What gives the consent that a banner asks for; done as soon as it can be, and no interaction of the page's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Interact>,
    /// How long nothing may happen before the page counts as at rest.
    #[serde(default = "two_seconds", skip_serializing_if = "is_two_seconds")]
    pub settle: DurationUs,
    /// Pretend the profile's slower processor and network.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub throttling: bool,
    /// Accept any certificate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub insecure: bool,
}

/// Something that a person would do on a page. Selectors are CSS; what they find is waited for until the load's deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Interact {
    /// Click (or tap) the middle of an element.
    Click(String),
    /// Focus an element and type a text, key by key. The text may be a reference to a secret.
    Type(String, SecretText),
    /// Press a key by its name: `Enter`, `Escape`, `Tab`, `a`.
    Press(String),
    /// Scroll down by so many CSS pixels; up where negative.
    Scroll(i32),
    /// Wait.
    Wait(DurationUs),
}

impl WebVitalsTarget {
    /// Time between two runs when a check does not say: 15 minutes. A browser costs a thousand times what a request does.
    pub const INTERVAL_US_DEFAULT: u64 = 900_000_000;
    /// The deadline of one load when a check does not say: 30 s.
    pub const TIMEOUT_US_DEFAULT: u64 = 30_000_000;

    /// A page on the mobile profile.
    pub fn page(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            profile: ProfileChoice::default(),
            runs: three(),
            interact: Vec::new(),
            consent: None,
            settle: two_seconds(),
            throttling: true,
            insecure: false,
        }
    }
}

impl WebVitalsTarget {
    /// The device, with what the check says of throttling; `None` where the profile is none.
    pub fn device(&self) -> Option<Profile> {
        let profile = self.profile.resolve()?;
        Some(if self.throttling { profile } else { profile.without_throttling() })
    }

    /// Whether its figures are wrong where other pages load at the same time: the processor is slowed down (which takes a whole one), interactions
    /// are timed, or an assertion is about the blocking time. Others measure when things happen, which company hardly changes; their blocking
    /// time counts only where they had none.
    pub fn is_heavy(&self, expect: &[Expectation]) -> bool {
        let slowed = self.device().is_some_and(|device| device.is_throttled());
        let blocking = |expectation: &Expectation| expectation.condition().operand.vital() == Some(Vital::Tbt);
        slowed || !self.interact.is_empty() || expect.iter().any(blocking)
    }
}

/// How long a page that is due waits for its place in the browser, in microseconds.
pub const BROWSER_WAIT_US_MAX: u64 = 120_000_000;
/// The host of pages that share the browser with others: see [`CheckKind::host`](super::CheckKind::host).
pub const BROWSER: &str = "browser";
/// The host of pages that need two processors for themselves: see [`WebVitalsTarget::is_heavy`].
pub const BROWSER_ALONE: &str = "browser alone";

impl Interact {
    /// Whether a browser times it as an interaction: then there is an INP.
    pub const fn is_timed(&self) -> bool {
        match self {
            Self::Click(_) | Self::Type(..) | Self::Press(_) => true,
            Self::Scroll(_) | Self::Wait(_) => false,
        }
    }
}

/// Most loads of a run.
pub const RUNS_MAX: u8 = 9;
/// Most interactions.
pub const INTERACTIONS_MAX: usize = 20;
/// Longest selector, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 500;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn three() -> u8 {
    3
}

fn is_three(value: &u8) -> bool {
    *value == three()
}

fn two_seconds() -> DurationUs {
    DurationUs(2_000_000)
}

fn is_two_seconds(value: &DurationUs) -> bool {
    *value == two_seconds()
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned as _;
    use alloc::vec;

    use super::*;
    use crate::check::{CheckDefinition, CheckKind};
    use crate::control::Weight;
    use crate::id::CheckId;
    use crate::quorum::Quorum;

    /// The host of a check of this page, which the scheduler goes by.
    fn host(target: &WebVitalsTarget, expect: &[Expectation]) -> String {
        let check = CheckDefinition {
            id: CheckId::parse("shop").unwrap(),
            kind: CheckKind::WebVitals(alloc::boxed::Box::new(target.clone())),
            interval_us: 900_000_000,
            timeout_us: 30_000_000,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 1,
            recoveries: 1,
            expect: expect.to_vec(),
        };
        check.host().expect("pages share the browser")
    }

    #[test]
    fn pages_whose_processor_time_counts_are_heavy() {
        let page = || WebVitalsTarget::page("https://a/");
        let on = |name: &str| ProfileChoice::Named(name.to_owned());
        let desktop = || WebVitalsTarget { profile: on("desktop"), ..page() };
        let cpu = Profile::builtin("mobile").unwrap().cpu;
        let slow = Profile { cpu, ..Profile::builtin("desktop").unwrap() };
        let own = WebVitalsTarget { profile: ProfileChoice::Own(alloc::boxed::Box::new(slow)), ..page() };
        let click = Interact::Click("#menu".to_owned());
        let expect = |text: &str| vec![Expectation::parse(text, "web_vitals").unwrap()];
        for (what, target, expect, heavy) in [
            ("mobile has a slower processor", page(), vec![], true),
            ("as it is, mobile has not", WebVitalsTarget { throttling: false, ..page() }, vec![], false),
            ("desktop has the host's", desktop(), vec![], false),
            ("an own one with a slower processor", own, vec![], true),
            ("an interaction is timed", WebVitalsTarget { interact: vec![click.clone()], ..desktop() }, vec![], true),
            ("consent is not", WebVitalsTarget { consent: Some(click), ..desktop() }, vec![], false),
            ("blocking time is judged", desktop(), expect("degraded if tbt > 200ms"), true),
            ("when things happen is judged", desktop(), expect("degraded if lcp > good"), false),
        ] {
            assert_eq!(target.is_heavy(&expect), heavy, "{what}");
            assert_eq!(host(&target, &expect), if heavy { BROWSER_ALONE } else { BROWSER }, "{what}");
        }
    }
}
