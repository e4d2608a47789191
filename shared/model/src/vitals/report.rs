//! What a `web_vitals` run tells besides its figures: why they are what they are, and how far to trust them. Travels and is stored as JSON, in the
//! record's [`FactKey::VitalsReport`](crate::record::FactKey::VitalsReport).
//!
//! Durations are microseconds from the start of the navigation unless named otherwise. Lists are short and texts are cut by whoever makes
//! them (see the constants); readers take what a newer build adds and leave it aside.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Vital;
use super::profile::Profile;

/// Most shifts, interactions and refused hosts that a report names.
pub const LISTED_MAX: usize = 5;
/// Longest selector, URL or message in a report, in bytes.
pub const TEXT_BYTES_MAX: usize = 200;

/// A `web_vitals` run: several loads of one page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The browser's build: `HeadlessChrome/156.0.8078.79`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub browser: String,
    /// The profile with all its parameters, as it was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Every load, in order; those that do not count too.
    pub loads: Vec<Load>,
    /// The load that the figures' attribution below is of: its index in `loads`. The one with the median LCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<usize>,
    /// Why the vitals of that load are what they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Attribution>,
    /// What the page was made of, in that load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
}

/// One load of the page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// What was measured; absent where it was not.
    pub values: Values,
    /// Whether the host was under pressure: the figures are not graded.
    pub low_confidence: bool,
    /// Why observation ended.
    pub ended: Ended,
    /// How long the page was observed.
    pub observed_us: u64,
    /// The host around it.
    pub host: Host,
    /// Why the load failed; empty where it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

/// Vitals of one load; durations in microseconds, CLS in ten-thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "named as in Vital")]
pub struct Values {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lcp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tbt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fcp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<u64>,
}

impl Values {
    /// The value of a vital.
    pub const fn get(&self, vital: Vital) -> Option<u64> {
        match vital {
            Vital::Lcp => self.lcp,
            Vital::Cls => self.cls,
            Vital::Inp => self.inp,
            Vital::Tbt => self.tbt,
            Vital::Fcp => self.fcp,
            Vital::Ttfb => self.ttfb,
        }
    }
}

/// Why observation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The page was loaded and had come to rest.
    Quiet,
    /// It never came to rest within the deadline; what was seen until then counts.
    Deadline,
    /// The load failed.
    #[default]
    Failed,
}

/// Around a load: whether the host had the time to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Pressure on the processor before it, in thousandths of the time that some task waited for it (Linux PSI); absent where unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure_before: Option<u32>,
    /// The same, while it went on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure_during: Option<u32>,
    /// As much of that as others than the browser caused, and what a hypervisor took: judged, see [`Load::low_confidence`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure_others: Option<u32>,
    /// Most loads at once on this agent while it went on, this one included.
    pub parallel: u32,
    /// Processors.
    pub cpus: u32,
    /// A small fixed computation just before it, in microseconds: compare it over time on one agent.
    pub benchmark_us: u64,
}

/// Why the vitals are what they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribution {
    /// The largest paint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lcp: Option<LargestPaint>,
    /// The largest shifts, largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shifts: Vec<Shift>,
    /// The slowest interactions, slowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interactions: Vec<Interaction>,
    /// What the first byte waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<FirstByte>,
}

/// The element painted largest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LargestPaint {
    /// A short CSS path to it.
    pub element: String,
    /// Where it was loaded from; empty for text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Its painted area in CSS pixels.
    pub area: u64,
    /// From the first byte of the page until its resource was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_delay_us: Option<u64>,
    /// How long its resource took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_us: Option<u64>,
    /// From there until it was painted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render_delay_us: Option<u64>,
}

/// A layout shift.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Shift {
    /// When.
    pub at_us: u64,
    /// Its score, in ten-thousandths.
    pub score: u64,
    /// Short CSS paths to what moved.
    pub sources: Vec<String>,
}

/// A scripted interaction and how long the page took to answer it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interaction {
    /// `click #menu`.
    pub action: String,
    /// A short CSS path to its target.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// All of it.
    pub duration_us: u64,
    /// Until the first handler ran.
    pub input_delay_us: u64,
    /// What the handlers took.
    pub processing_us: u64,
    /// Until the next frame was shown.
    pub presentation_us: u64,
}

/// What the first byte waited for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstByte {
    /// Redirects before the page.
    pub redirect_us: u64,
    /// The name.
    pub dns_us: u64,
    /// The connection.
    pub connect_us: u64,
    /// TLS.
    pub tls_us: u64,
    /// The server: from the request to the first byte.
    pub wait_us: u64,
}

/// What a page was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Where it ended.
    pub url: String,
    /// Its HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `h2`, `http/1.1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// The address it came from: `192.0.2.1:443`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Requests made.
    pub requests: u32,
    /// Bytes received, as they travelled.
    pub bytes: u64,
    /// Requests that failed or were answered with an error status.
    pub failed_requests: u32,
    /// Errors of scripts that nobody caught.
    pub js_errors: u32,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub js_error_texts: Vec<String>,
    /// Dialogs that were closed.
    pub dialogs: u32,
    /// Downloads that were refused.
    pub downloads: u32,
    /// Windows that were closed.
    pub popups: u32,
    /// Hosts that the agent's policy refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Whether the consent that the check names was found and given; absent where the check names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<bool>,
}
