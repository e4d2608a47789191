//! Vitals as JSON. Durations are milliseconds, CLS is its score; all are lab values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::report::Report;

use super::unknown::CausesView;

/// One thing of each vital; `null` where it was not measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "named as in Vital")]
pub struct PerVital<T> {
    pub lcp_ms: Option<T>,
    pub cls: Option<T>,
    pub inp_ms: Option<T>,
    pub tbt_ms: Option<T>,
    pub fcp_ms: Option<T>,
    pub ttfb_ms: Option<T>,
}

impl<T> PerVital<T> {
    /// Asks `of` for each.
    pub fn collect(mut of: impl FnMut(Vital) -> Option<T>) -> Self {
        Self {
            lcp_ms: of(Vital::Lcp),
            cls: of(Vital::Cls),
            inp_ms: of(Vital::Inp),
            tbt_ms: of(Vital::Tbt),
            fcp_ms: of(Vital::Fcp),
            ttfb_ms: of(Vital::Ttfb),
        }
    }

    /// That of one vital.
    pub fn get(&self, vital: Vital) -> Option<&T> {
        match vital {
            Vital::Lcp => self.lcp_ms.as_ref(),
            Vital::Cls => self.cls.as_ref(),
            Vital::Inp => self.inp_ms.as_ref(),
            Vital::Tbt => self.tbt_ms.as_ref(),
            Vital::Fcp => self.fcp_ms.as_ref(),
            Vital::Ttfb => self.ttfb_ms.as_ref(),
        }
    }
}

/// The vitals of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunVitalsView {
    /// `lab`.
    pub source: String,
    /// The device profile.
    pub profile: String,
    /// Loads that count.
    pub loads_counted: u32,
    /// Loads that do not: the host was under pressure.
    pub loads_low_confidence: u32,
    /// Whether the values are graded: some load counts.
    pub graded: bool,
    /// Whether too few loads count because the host was under pressure.
    #[serde(default)]
    pub low_confidence: bool,
    /// The vitals.
    #[serde(flatten)]
    pub vitals: PerVital<SpreadView>,
    /// Why they are what they are: attribution, page, provenance, host. Durations in it are microseconds, as their names say.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub report: Option<Report>,
}

/// A vital over the loads of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpreadView {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How the median is to be taken: `good`, `needs_improvement`, `poor`; `null` where it is not graded.
    pub rating: Option<String>,
    /// Good up to here, poor above there.
    pub thresholds: [f64; 2],
}

/// A screenshot that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScreenshotView {
    /// Who took it.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// The slot of the run.
    pub scheduled: String,
    /// Where it is: `image/jpeg`.
    pub path: String,
}

/// The vitals of a check over a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VitalsView {
    /// The check's id.
    pub check: String,
    /// First instant: the period asked for is widened to full days of UTC where only sketches are left.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// `lab`: measured by agents, not met by visitors.
    pub source: String,
    /// The share of that for which evidence exists, of all that was asked for; `null` where nothing was to be measured.
    #[serde(default)]
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    #[serde(default)]
    pub unknown: Option<CausesView>,
    /// By profile: first all places together (`region` and `agent` are `null`), then each.
    pub groups: Vec<GroupView>,
}

/// The vitals on one profile in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupView {
    /// The device profile.
    pub profile: String,
    /// The region; `null`: all that was asked for.
    pub region: Option<String>,
    /// The agent, where they are apart by agent.
    pub agent: Option<String>,
    /// Runs that came in.
    pub runs: u64,
    /// Those that count.
    pub graded: u64,
    /// Those of which too few loads count because the host was under pressure: not graded.
    pub low_confidence: u64,
    /// The share of the time for which evidence exists here, as far as the check had the profile.
    #[serde(default)]
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    #[serde(default)]
    pub unknown: Option<CausesView>,
    /// The vitals.
    #[serde(flatten)]
    pub vitals: PerVital<FiguresView>,
    /// What became worse there and still is at `to`, judged over the 7 days before it at least, agent by agent: a region tells what most of
    /// its agents say. Empty of all places together.
    pub regressions: Vec<RegressionView>,
}

/// A vital that became worse, and stayed so for several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegressionView {
    /// `lcp`, `cls`, ...
    pub vital: String,
    /// The first run of it.
    pub since: String,
    /// The median of the runs before.
    pub baseline: f64,
    /// The median of the runs since.
    pub median: f64,
    /// How many those are.
    pub runs: u64,
    /// What was painted largest before; `null` where it is not known.
    pub lcp_element_before: Option<String>,
    /// What is painted largest since.
    pub lcp_element_after: Option<String>,
}

/// A vital over runs, each of them its median.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FiguresView {
    /// What three quarters of the runs do not exceed.
    pub p75: f64,
    /// The median of the runs: the p50.
    pub median: f64,
    /// What 95 of 100 runs do not exceed.
    pub p95: f64,
    /// What 99 of 100 runs do not exceed.
    pub p99: f64,
    /// The smallest value of any load.
    pub min: f64,
    /// The largest value of any load.
    pub max: f64,
    /// How the p75 is to be taken: `good`, `needs_improvement` or `poor`.
    pub rating: String,
    /// Runs that measured it and count.
    pub runs: u64,
    /// The share of them that are good.
    pub good: f64,
    /// The share between.
    pub needs_improvement: f64,
    /// The share that are poor.
    pub poor: f64,
    /// Good up to here, poor above there.
    pub thresholds: [f64; 2],
    /// How p75, median, p95 and p99 were found: `exact`, or from a `sketch` of many or old runs, off by 0.8 % at most.
    pub method: String,
}
