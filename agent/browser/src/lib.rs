//! A real Chromium, and pages measured in it.
//!
//! Reading order: [`browser`] is the one warm browser of an agent and who may use it when; [`launch`] starts it and [`cdp`] talks to it; [`proxy`] is the only
//! way out that it has, through a [`gate`] that the caller keeps; [`load`] is one page from a fresh context to its figures; [`throttle`] pretends a slower processor; [`pressure`] says whether
//! the host had the time to measure. [`keeper`] is the agent's program beside a browser that is another user's.
//!
//! Nothing here knows checks, schedules or collectors. What a page does is data, never an error of the agent: a [`Failed`] load has a cause from the
//! same closed list as any other probe.
//!
//! Architecture invariant: the browser dials nothing by itself. Every connection of every page goes through [`proxy`], which dials what the gate gives.

pub mod browser;
mod cdp;
pub mod gate;
pub mod keeper;
mod launch;
mod load;
pub mod options;
mod pressure;
mod proxy;
mod throttle;

use std::net::SocketAddr;

use sitepulse_model::check::Interact;
use sitepulse_model::record::{Cause, Phase, Phases};
use sitepulse_model::vitals::profile::Profile;
use sitepulse_model::vitals::report::{Attribution, Load, Page};

pub use browser::Browser;
pub use gate::{Dialled, Gate, Refusal};
pub use options::{Form, Options, UNIT_SOCKET};

/// What is to be loaded, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The page.
    pub url: String,
    /// The device, as it is to be pretended.
    pub profile: Profile,
    /// What is done on the page once it is at rest. Texts to type are the texts themselves, not references.
    pub interact: Vec<Interact>,
    /// What gives consent.
    pub consent: Option<Interact>,
    /// How long nothing may happen before the page counts as at rest, in microseconds.
    pub settle_us: u64,
    /// The deadline of the load, in microseconds from its start.
    pub timeout_us: u64,
    /// Accept any certificate.
    pub insecure: bool,
    /// Keep a picture of a load that fails. Not where secrets were typed.
    pub screenshot: bool,
}

/// A page that was loaded and measured.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The browser's build.
    pub browser: String,
    /// Figures and how they came about.
    pub load: Load,
    /// Why they are what they are.
    pub attribution: Attribution,
    /// What the page was made of.
    pub page: Page,
    /// The phases of the page's own request; `total` is until its load event.
    pub phases: Phases,
    /// Where the page came from.
    pub address: Option<SocketAddr>,
}

/// A page that was not measured.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The browser's build; empty where there is none.
    pub browser: String,
    /// Why.
    pub cause: Cause,
    /// Where.
    pub phase: Phase,
    /// One line for people.
    pub detail: String,
    /// How far it came.
    pub load: Load,
    /// What is known of the page.
    pub page: Page,
    /// As in [`Loaded`].
    pub phases: Phases,
    /// As in [`Loaded`].
    pub address: Option<SocketAddr>,
    /// The final state, as JPEG.
    pub screenshot: Option<Vec<u8>>,
}

impl Failed {
    /// A failure of which nothing else is known.
    pub(crate) fn new(cause: Cause, phase: Phase, detail: impl Into<String>) -> Self {
        Self {
            browser: String::new(),
            cause,
            phase,
            detail: detail.into(),
            load: Load::default(),
            page: Page::default(),
            phases: Phases::default(),
            address: None,
            screenshot: None,
        }
    }
}
