//! What a `web_vitals` run tells besides its figures: why they are what they are, and how far to trust them. Travels and is stored as JSON, in the
//! record's [`FactKey::VitalsReport`](crate::record::FactKey::VitalsReport).
//!
//! Durations are microseconds from the start of the navigation unless named otherwise. Lists are short and texts are cut by whoever makes
//! them (see the constants); readers take what a newer build adds and leave it aside.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Vital;
use super::profile::Profile;
use crate::record::FactKey;

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

impl Report {
    /// The ways in which the loads' processor was slowed down, each once.
    pub fn cpu_throttling(&self) -> BTreeSet<CpuThrottling> {
        self.loads.iter().filter_map(|load| load.cpu_throttling).collect()
    }

    /// As JSON, with as much of it as a record has room for: first the longer lists go, then the texts that a page made, then all that is no figure.
    pub fn to_json(&self) -> String {
        let bytes_max = FactKey::VitalsReport.bytes_max();
        let mut report = Cow::Borrowed(self);
        let shorter: [fn(&mut Self); 4] = [
            |report| report.keep_lists(1),
            |report| report.keep_lists(0),
            |report| (report.attribution, report.page) = (None, None),
            |report| {
                report.profile = None;
                report.browser.clear();
                report.loads.iter_mut().for_each(|load| load.failure.clear());
            },
        ];
        let mut shorter = shorter.into_iter();
        loop {
            let json = serde_json::to_string(&*report).expect("texts, numbers and lists always serialize");
            match shorter.next() {
                Some(shorten) if json.len() > bytes_max => shorten(report.to_mut()),
                Some(_) | None => return json,
            }
        }
    }

    /// Keeps the first of each list, and of the lists in them.
    fn keep_lists(&mut self, listed: usize) {
        if let Some(attribution) = &mut self.attribution {
            attribution.shifts.truncate(listed);
            attribution.shifts.iter_mut().for_each(|shift| shift.sources.truncate(listed));
            attribution.interactions.truncate(listed);
        }
        if let Some(page) = &mut self.page {
            page.js_error_texts.truncate(listed);
            page.refused.truncate(listed);
        }
    }
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
    /// How the profile's slower processor was pretended; absent where it was not, and of builds that did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_throttling: Option<CpuThrottling>,
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

/// How a slower processor is pretended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuThrottling {
    /// The page's process is stopped for as long as its main thread is to take longer.
    Rest,
    /// Chromium keeps the main thread busy.
    Chromium,
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
    /// As much of that as others than the browser caused, and what a hypervisor took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure_others: Option<u32>,
    /// Other loads shared its processors: whose pressure it was nobody knows, so that all of it is judged.
    #[serde(skip_serializing_if = "is_false")]
    pub shared: bool,
    /// Most loads at once on this agent while it went on, this one included.
    pub parallel: u32,
    /// Processors.
    pub cpus: u32,
    /// A small fixed computation just before it, in microseconds: compare it over time on one agent.
    pub benchmark_us: u64,
}

impl Host {
    /// The pressure that was judged, in thousandths of the time, see [`Load::low_confidence`]: that of others, or of all where loads shared the processors.
    pub fn pressure_judged(&self) -> Option<u32> {
        self.pressure_others.max(self.pressure_during.filter(|_| self.shared))
    }
}

fn is_false(value: &bool) -> bool {
    !*value
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

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned as _;
    use alloc::vec;

    use super::*;

    /// As it is stored: read for ever.
    const STORED: &str = concat!(
        r#"{"browser":"HeadlessChrome/156.0.8078.79","profile":{"name":"kiosk","width":1080,"height":1920,"dpr":1.25,"mobile":false,"touch":true,"cpu":2,"#,
        r#""network":{"rtt":"20ms","down_kbps":50000,"up_kbps":10000.5},"thresholds":{"lcp":["2s500ms","4s"],"cls":[0.1,0.25],"inp":["200ms","500ms"],"#,
        r#""tbt":["200ms","600ms"],"fcp":["1s800ms","3s"],"ttfb":["800ms","1s800ms"]}},"#,
        r#""loads":[{"values":{"lcp":2513400,"cls":0,"ttfb":310200},"low_confidence":true,"ended":"quiet","observed_us":4000000,"#,
        r#""host":{"pressure_before":12,"pressure_during":400,"parallel":2,"cpus":4,"benchmark_us":5000}},"#,
        r#"{"values":{},"low_confidence":false,"ended":"failed","observed_us":0,"host":{"parallel":1,"cpus":4,"benchmark_us":5100},"failure":"page: HTTP 500"}],"#,
        r##""shown":0,"attribution":{"lcp":{"element":"main > img","url":"https://a/x.png","area":90000,"load_delay_us":1,"load_us":2,"render_delay_us":3},"##,
        r##""shifts":[{"at_us":5,"score":1042,"sources":["#ad"]}],"interactions":[{"action":"click #menu","target":"#menu","duration_us":184000,"##,
        r#""input_delay_us":1000,"processing_us":150000,"presentation_us":33000}],"ttfb":{"redirect_us":0,"dns_us":1,"connect_us":2,"tls_us":3,"wait_us":4}},"#,
        r#""page":{"url":"https://a/","status":200,"protocol":"h2","address":"192.0.2.1:443","requests":84,"bytes":1510233,"failed_requests":1,"js_errors":1,"#,
        r#""js_error_texts":["TypeError"],"dialogs":0,"downloads":0,"popups":0,"refused":["10.0.0.1"],"consent":true}}"#,
    );

    #[test]
    fn what_is_stored_is_read_for_ever() {
        let report: Report = serde_json::from_str(STORED).unwrap();
        assert_eq!(report.to_json(), STORED);
        assert_eq!(report.loads[0].values.get(Vital::Lcp), Some(2_513_400));
        assert_eq!(report.loads[1].values.get(Vital::Lcp), None);
        assert_eq!(report.profile.as_ref().map(|profile| profile.name.as_str()), Some("kiosk"));
        assert_eq!(serde_json::from_str::<Report>("{}").unwrap(), Report::default());
        let host = Host { pressure_others: Some(10), pressure_during: Some(700), ..Host::default() };
        assert_eq!((host.pressure_judged(), Host { shared: true, ..host }.pressure_judged()), (Some(10), Some(700)));
        assert!(report.cpu_throttling().is_empty(), "older builds did not tell");
        let told =
            r#"{"loads":[{"cpu_throttling":"rest"},{"cpu_throttling":"chromium"},{"cpu_throttling":"rest"},{}]}"#;
        let told: Report = serde_json::from_str(told).unwrap();
        assert_eq!(
            told.cpu_throttling().into_iter().collect::<Vec<_>>(),
            [CpuThrottling::Rest, CpuThrottling::Chromium]
        );
        assert_eq!(serde_json::from_str::<Report>(&told.to_json()).unwrap(), told);
        let newer = r#"{"loads":[{"ended":"quiet","battery":7}],"weather":"fair"}"#;
        assert_eq!(serde_json::from_str::<Report>(newer).unwrap().loads[0].ended, Ended::Quiet, "a newer build's");
    }

    #[test]
    fn a_report_is_shortened_until_a_record_has_room_for_it() {
        let bytes_max = FactKey::VitalsReport.bytes_max();
        let stored: Report = serde_json::from_str(STORED).unwrap();
        // A page may be full of quotes, which JSON writes as two bytes.
        let text = "\"".repeat(TEXT_BYTES_MAX);
        let shift = Shift { sources: vec![text.clone(); LISTED_MAX], ..Shift::default() };
        let mut report = stored.clone();
        report.loads = vec![stored.loads[0].clone(); 9];
        let attribution = report.attribution.as_mut().unwrap();
        attribution.shifts = vec![shift; LISTED_MAX];
        let page = report.page.as_mut().unwrap();
        page.js_error_texts = vec![text.clone(); LISTED_MAX];
        page.refused = vec![text.clone(); LISTED_MAX];
        let json = report.to_json();
        let read: Report = serde_json::from_str(&json).unwrap();
        assert!(json.len() <= bytes_max && serde_json::to_string(&report).unwrap().len() > bytes_max);
        assert_eq!((&read.loads, &read.profile), (&report.loads, &report.profile));
        let attribution = read.attribution.unwrap();
        assert_eq!((attribution.shifts.len(), attribution.shifts[0].sources.len()), (1, 1), "the largest stays");
        // Nobody cut anything.
        let huge = "\"".repeat(bytes_max);
        for spoil in [
            |report: &mut Report, huge: &str| report.page.as_mut().unwrap().url = huge.to_owned(),
            |report: &mut Report, huge: &str| {
                report.attribution.as_mut().unwrap().lcp.as_mut().unwrap().url = huge.to_owned()
            },
            |report: &mut Report, huge: &str| report.loads[1].failure = huge.to_owned(),
            |report: &mut Report, huge: &str| report.browser = huge.to_owned(),
        ] {
            let mut report = stored.clone();
            spoil(&mut report, &huge);
            let json = report.to_json();
            assert!(json.len() <= bytes_max, "{} bytes", json.len());
            let read: Report = serde_json::from_str(&json).unwrap();
            assert_eq!((read.loads[0].values, read.shown), (stored.loads[0].values, Some(0)), "the figures stay");
        }
    }
}
