//! What a browser measured of a page, for people: as a table with what explains the figures, or as JSON.

use serde::Serialize;
use sitepulse_model::record::{FactKey, Facts, ProbeResult};
use sitepulse_model::vitals::profile::{Profile, Thresholds};
use sitepulse_model::vitals::report::{Attribution, CpuThrottling, Host, Load, Page, Report};
use sitepulse_model::vitals::{CLS_SCALE, Rating, Spread, Vital};

use crate::engine::BUILD;

/// What `sitepulse-agent vitals --json` prints. `null` is what was not measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VitalsView {
    /// The page.
    pub url: String,
    /// The device's name.
    pub profile: String,
    /// Loads asked for.
    pub runs: u8,
    /// `up`, `degraded`, `down` or `unknown`.
    pub state: String,
    /// Why it was not up.
    pub cause: Option<String>,
    /// Largest Contentful Paint, milliseconds.
    pub lcp_ms: Option<SpreadView>,
    /// Cumulative Layout Shift.
    pub cls: Option<SpreadView>,
    /// Interaction to Next Paint, milliseconds.
    pub inp_ms: Option<SpreadView>,
    /// Total Blocking Time, milliseconds.
    pub tbt_ms: Option<SpreadView>,
    /// First Contentful Paint, milliseconds.
    pub fcp_ms: Option<SpreadView>,
    /// Time To First Byte, milliseconds.
    pub ttfb_ms: Option<SpreadView>,
    /// One line for people.
    pub explanation: String,
    /// Why the figures are what they are, in the load with the median LCP.
    pub attribution: Option<Attribution>,
    /// What the page was made of.
    pub page: Option<Page>,
    /// How the figures came about.
    pub provenance: ProvenanceView,
    /// The agent's host around that load.
    pub host: Option<Host>,
}

/// A vital over the loads that count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(missing_docs, reason = "named as in sitepulse_model::vitals::Spread")]
pub struct SpreadView {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub rating: Rating,
}

/// How figures came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProvenanceView {
    /// Always `lab`: a program looked at the page, no visitor.
    pub source: &'static str,
    /// The agent's build.
    pub agent: &'static str,
    /// The browser's build.
    pub browser: String,
    /// The device with all its parameters.
    pub profile: Option<Profile>,
    /// The load that attribution, page and host are of, from 1.
    pub shown: Option<usize>,
    /// Every load, in order.
    pub loads: Vec<Load>,
}

/// The report of a result, where it has one.
pub fn report(facts: &Facts) -> Option<Report> {
    serde_json::from_str(facts.texts_of(FactKey::VitalsReport).next()?).ok()
}

impl VitalsView {
    /// Of the result of a page that was asked for `runs` loads.
    pub fn of(result: &ProbeResult, url: String, profile: String, runs: u8) -> Self {
        let report = report(&result.facts).unwrap_or_default();
        let thresholds = report.profile.as_ref().map(|profile| profile.thresholds).unwrap_or_default();
        let spread = |vital: Vital| {
            let spread = Spread::from_facts(vital, &result.facts)?;
            let scale = if vital.is_duration() { 1e3 } else { CLS_SCALE as f64 };
            let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| value as f64 / scale);
            Some(SpreadView { median, min, max, rating: thresholds.of(vital).rate(spread.median) })
        };
        let host = report.shown.and_then(|shown| report.loads.get(shown)).or(report.loads.last());
        Self {
            url,
            profile,
            runs,
            state: result.state.as_str().to_owned(),
            cause: result.cause.map(|cause| cause.as_str().to_owned()),
            lcp_ms: spread(Vital::Lcp),
            cls: spread(Vital::Cls),
            inp_ms: spread(Vital::Inp),
            tbt_ms: spread(Vital::Tbt),
            fcp_ms: spread(Vital::Fcp),
            ttfb_ms: spread(Vital::Ttfb),
            explanation: result.detail.clone(),
            host: host.map(|load| load.host),
            attribution: report.attribution,
            page: report.page,
            provenance: ProvenanceView {
                source: "lab",
                agent: BUILD,
                browser: report.browser,
                profile: report.profile,
                shown: report.shown.map(|shown| shown + 1),
                loads: report.loads,
            },
        }
    }
}

/// A table of the vitals: value, rating, spread.
pub fn table(spread: impl Fn(Vital) -> Option<Spread>, thresholds: &Thresholds) -> String {
    let mut out = String::new();
    for vital in Vital::ALL {
        let name = vital.as_str().to_uppercase();
        let Some(Spread { median, min, max }) = spread(vital) else {
            out.push_str(&format!("{name:<5} {:>9}\n", "-"));
            continue;
        };
        let rating = match thresholds.of(vital).rate(median) {
            Rating::Good => "good",
            Rating::NeedsImprovement => "needs improvement",
            Rating::Poor => "poor",
        };
        let (median, min, max) = (vital.shown(median), vital.shown(min), vital.shown(max));
        out.push_str(&format!("{name:<5} {median:>9}  {rating:<17}  {min} to {max}\n"));
    }
    out
}

/// What explains the figures, one thing a line.
pub fn explained(report: &Report) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let counted = report.loads.iter().filter(|load| !load.low_confidence && load.failure.is_empty()).count();
    let device = report.profile.as_ref().map_or("", |profile| profile.name.as_str());
    let ways = report.cpu_throttling().into_iter().map(|way| match way {
        CpuThrottling::Rest => ", processor slowed down by rest",
        CpuThrottling::Chromium => ", processor slowed down by Chromium",
    });
    let ways: String = ways.collect();
    rows.push(("lab", format!("{device}, {counted} of {} loads count, {}{ways}", report.loads.len(), report.browser)));
    if let Some(attribution) = &report.attribution {
        attributed(attribution, &mut rows);
    }
    if let Some(page) = &report.page {
        rows.push(("page", made_of(page)));
        rows.extend(page.js_error_texts.iter().map(|text| ("js error", text.clone())));
        rows.extend(page.refused.iter().map(|host| ("refused", host.clone())));
        if page.consent == Some(false) {
            rows.push(("consent", "nothing was found to give it".to_owned()));
        }
    }
    for (load, number) in report.loads.iter().zip(1..) {
        if !load.failure.is_empty() {
            rows.push(("failed", format!("load {number}: {}", load.failure)));
        } else if load.low_confidence {
            let percent = load.host.pressure_judged().unwrap_or(0) / 10;
            let who = if load.host.shared { "others, or pages at the same time," } else { "others" };
            rows.push((
                "left out",
                format!("load {number}: {who} kept the processor from it for {percent} % of the time"),
            ));
        }
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.into_iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

fn attributed(attribution: &Attribution, rows: &mut Vec<(&str, String)>) {
    let time = |us: u64| Vital::Lcp.shown(us);
    if let Some(lcp) = &attribution.lcp {
        let from = if lcp.url.is_empty() { String::new() } else { format!(" from {}", lcp.url) };
        rows.push(("largest paint", format!("{}{from}", lcp.element)));
        let parts =
            [("asked for after", lcp.load_delay_us), ("loaded in", lcp.load_us), ("shown after", lcp.render_delay_us)];
        let parts: Vec<String> =
            parts.iter().filter_map(|(name, us)| Some(format!("{name} {}", time((*us)?)))).collect();
        if !parts.is_empty() {
            rows.push(("", parts.join(", ")));
        }
    }
    for shift in &attribution.shifts {
        let score = Vital::Cls.shown(shift.score);
        rows.push(("shifted", format!("{score} at {}: {}", time(shift.at_us), shift.sources.join(", "))));
    }
    for interaction in &attribution.interactions {
        let [all, input, handlers, frame] = [
            interaction.duration_us,
            interaction.input_delay_us,
            interaction.processing_us,
            interaction.presentation_us,
        ]
        .map(time);
        let text = format!("{}: {all} (waited {input}, handlers {handlers}, frame {frame})", interaction.action);
        rows.push(("interaction", text));
    }
    if let Some(ttfb) = &attribution.ttfb {
        let [redirects, dns, connect, tls, wait] =
            [ttfb.redirect_us, ttfb.dns_us, ttfb.connect_us, ttfb.tls_us, ttfb.wait_us].map(time);
        let text = format!("redirects {redirects}, dns {dns}, connect {connect}, TLS {tls}, server {wait}");
        rows.push(("first byte", text));
    }
}

fn made_of(page: &Page) -> String {
    let mut parts = vec![page.url.clone()];
    parts.extend(page.status.map(|status| status.to_string()));
    parts.extend((!page.protocol.is_empty()).then(|| page.protocol.clone()));
    parts.push(format!("{} requests", page.requests));
    parts.push(format!("{} kB", page.bytes.div_ceil(1_000)));
    for (count, what) in [
        (page.failed_requests, "failed"),
        (page.js_errors, "script errors"),
        (page.dialogs, "dialogs"),
        (page.downloads, "downloads"),
        (page.popups, "popups"),
    ] {
        parts.extend((count > 0).then(|| format!("{count} {what}")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use sitepulse_model::id::{CheckNo, Revision};
    use sitepulse_model::record::{Phases, ProbeState};
    use sitepulse_model::time::UtcMicros;
    use sitepulse_model::vitals::report::{FirstByte, Interaction, LargestPaint, Shift, Values};

    use super::*;

    fn measured() -> (ProbeResult, Report) {
        let load = Load {
            values: Values { lcp: Some(1_210_000), ..Values::default() },
            cpu_throttling: Some(CpuThrottling::Rest),
            host: Host { cpus: 2, parallel: 1, pressure_others: Some(31), ..Host::default() },
            ..Load::default()
        };
        let busy =
            Load { low_confidence: true, host: Host { pressure_others: Some(612), ..load.host }, ..load.clone() };
        let report = Report {
            browser: "HeadlessChrome/156".to_owned(),
            profile: Profile::builtin("mobile"),
            loads: vec![busy, load],
            shown: Some(1),
            attribution: Some(Attribution {
                lcp: Some(LargestPaint {
                    element: "main > img".to_owned(),
                    url: "https://a/x.jpg".to_owned(),
                    load_us: Some(300_000),
                    ..LargestPaint::default()
                }),
                shifts: vec![Shift { at_us: 900_000, score: 150, sources: vec!["div.ad".to_owned()] }],
                interactions: vec![Interaction {
                    action: "click #menu".to_owned(),
                    duration_us: 184_000,
                    processing_us: 150_000,
                    ..Interaction::default()
                }],
                ttfb: Some(FirstByte { wait_us: 40_000, ..FirstByte::default() }),
            }),
            page: Some(Page {
                url: "https://a/".to_owned(),
                status: Some(200),
                protocol: "h2".to_owned(),
                requests: 7,
                bytes: 81_001,
                js_errors: 1,
                ..Page::default()
            }),
        };
        let mut facts = Facts::default();
        Spread { median: 1_210_000, min: 1_180_000, max: 4_100_000 }.note(Vital::Lcp, &mut facts);
        Spread { median: 1_500, min: 0, max: 1_500 }.note(Vital::Cls, &mut facts);
        facts.text(FactKey::VitalsReport, &serde_json::to_string(&report).unwrap());
        let result = ProbeResult {
            check: CheckNo(1),
            revision: Revision(1),
            scheduled: UtcMicros(0),
            started: UtcMicros(0),
            phases: Phases::default(),
            state: ProbeState::Up,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts,
        };
        (result, report)
    }

    #[test]
    fn json_has_every_vital_and_tells_where_it_is_from() {
        let (result, _) = measured();
        let json = serde_json::to_value(VitalsView::of(&result, "https://a/".into(), "mobile".into(), 3)).unwrap();
        let lcp = serde_json::json!({"median": 1210.0, "min": 1180.0, "max": 4100.0, "rating": "good"});
        assert_eq!(json["lcp_ms"], lcp);
        let cls = serde_json::json!({"median": 0.15, "min": 0.0, "max": 0.15, "rating": "needs_improvement"});
        assert_eq!(json["cls"], cls);
        assert!(json["inp_ms"].is_null() && json["cause"].is_null());
        assert_eq!(
            (json["provenance"]["source"].as_str(), json["provenance"]["shown"].as_u64()),
            (Some("lab"), Some(2))
        );
        assert_eq!(json["provenance"]["profile"]["cpu"], 4);
        assert_eq!(json["provenance"]["loads"][1]["cpu_throttling"], "rest");
        assert_eq!(json["host"]["pressure_others"], 31);
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = "url profile runs state cause lcp_ms cls inp_ms tbt_ms fcp_ms ttfb_ms explanation attribution page provenance host";
        let mut expected: Vec<&str> = expected.split(' ').collect();
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
    }

    #[test]
    fn people_see_values_ratings_and_reasons() {
        let (result, report) = measured();
        let table = table(|vital| Spread::from_facts(vital, &result.facts), &Thresholds::default());
        let expected = "LCP      1.21 s  good               1.18 s to 4.1 s
CLS        0.15  needs improvement  0 to 0.15
INP           -
TBT           -
FCP           -
TTFB          -
";
        assert_eq!(table, expected);
        let expected = "lab            mobile, 1 of 2 loads count, HeadlessChrome/156, processor slowed down by rest
largest paint  main > img from https://a/x.jpg
               loaded in 300 ms
shifted        0.015 at 900 ms: div.ad
interaction    click #menu: 184 ms (waited 0 ms, handlers 150 ms, frame 0 ms)
first byte     redirects 0 ms, dns 0 ms, connect 0 ms, TLS 0 ms, server 40 ms
page           https://a/, 200, h2, 7 requests, 82 kB, 1 script errors
left out       load 1: others kept the processor from it for 61 % of the time
";
        assert_eq!(explained(&report), expected);
    }

    /// The defect: a load that pages beside it kept waiting was told with the pressure of others, which was none.
    #[test]
    fn a_load_that_had_company_is_told_with_the_pressure_it_was_judged_by() {
        let (_, mut report) = measured();
        let host = &mut report.loads[0].host;
        (host.pressure_others, host.pressure_during, host.shared, host.parallel) = (Some(12), Some(430), true, 3);
        let told = explained(&report);
        let line = told.lines().find(|line| line.starts_with("left out")).unwrap();
        let expected = "load 1: others, or pages at the same time, kept the processor from it for 43 % of the time";
        assert!(line.ends_with(expected), "{line}");
    }
}
