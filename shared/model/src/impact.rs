//! The impact score: 0 to 100 for a check, a group and all of them; higher is worse. What to look at first, and why.
//!
//! [`Signals`] are what the evidence says, each a number with its unit ([`evidence`] makes the ones that decay, [`decay`] says how). A [`model::ScoringModel`] holds them
//! against thresholds: a ramp is 0 at the warning threshold and 1 at the critical one, so nothing jumps. A signal's points are its ramp times its weight times 100, and the
//! score is the sum of its contributions: they are rounded first and added then, so what is shown adds up to the last digit.
//!
//! Weights are spread twice: those of modules without data over the other modules, and within a module those of signals without data over its other signals, each
//! in proportion. Without any data there is no score: `None`, never 0. [`together`] makes the scores of groups.
//!
//! Points are hundredths, weights ten-thousandths of all weights. Both are whole numbers and the weights add up to 1 exactly.

pub mod decay;
pub mod evidence;
pub mod model;
pub mod together;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::vitals::profile::Threshold;
use model::{Ramp, ScoringModel};

/// All weights together, in ten-thousandths; also the highest score, in hundredths of a point.
pub const WHOLE: u32 = 10_000;

/// Points of a score, in hundredths: 6235 is 62.35.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Points(pub u32);

impl Points {
    /// 0 to 100.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// What a score is made of, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Module {
    /// Whether it is there.
    Availability,
    /// Whether it is fast enough.
    Latency,
    /// Whether its pages are.
    WebVitals,
    /// What detectors found.
    Insights,
}

impl Module {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 4] = [Self::Availability, Self::Latency, Self::WebVitals, Self::Insights];

    /// The stable text: `web_vitals`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Latency => "latency",
            Self::WebVitals => "web_vitals",
            Self::Insights => "insights",
        }
    }
}

/// What a score is made of, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// The weighted availability, a ratio.
    WeightedAvailability,
    /// Incidents in 7 days.
    Recurrence,
    /// The p95 of whole runs, in budgets of the check.
    LatencyP95,
    /// How much slower the p95 is than before, a ratio: 0.1 is 10 %.
    LatencyRegression,
    /// p75 of Largest Contentful Paint, in milliseconds.
    Lcp,
    /// p75 of Interaction to Next Paint, in milliseconds.
    Inp,
    /// p75 of Total Blocking Time, in milliseconds: stands in for INP where no interaction is scripted.
    Tbt,
    /// p75 of Cumulative Layout Shift.
    Cls,
    /// Findings that are open, weighted by severity.
    OpenFindings,
    /// Those of them that nobody touched for long.
    StaleFindings,
}

impl Signal {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 10] = [
        Self::WeightedAvailability,
        Self::Recurrence,
        Self::LatencyP95,
        Self::LatencyRegression,
        Self::Lcp,
        Self::Inp,
        Self::Tbt,
        Self::Cls,
        Self::OpenFindings,
        Self::StaleFindings,
    ];

    /// The stable text: `latency_p95`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WeightedAvailability => "weighted_availability",
            Self::Recurrence => "recurrence",
            Self::LatencyP95 => "latency_p95",
            Self::LatencyRegression => "latency_regression",
            Self::Lcp => "lcp",
            Self::Inp => "inp",
            Self::Tbt => "tbt",
            Self::Cls => "cls",
            Self::OpenFindings => "open_findings",
            Self::StaleFindings => "stale_findings",
        }
    }

    /// What it is stored as: for ever the same.
    pub const fn code(self) -> u8 {
        match self {
            Self::WeightedAvailability => 1,
            Self::Recurrence => 2,
            Self::LatencyP95 => 3,
            Self::LatencyRegression => 4,
            Self::Lcp => 5,
            Self::Inp => 6,
            Self::Tbt => 7,
            Self::Cls => 8,
            Self::OpenFindings => 9,
            Self::StaleFindings => 10,
        }
    }

    /// The signal with a code.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.code() == code)
    }

    /// Its module.
    pub const fn module(self) -> Module {
        match self {
            Self::WeightedAvailability | Self::Recurrence => Module::Availability,
            Self::LatencyP95 | Self::LatencyRegression => Module::Latency,
            Self::Lcp | Self::Inp | Self::Tbt | Self::Cls => Module::WebVitals,
            Self::OpenFindings | Self::StaleFindings => Module::Insights,
        }
    }
}

/// How bad a score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Band {
    /// Nothing to do.
    Ok,
    /// To be looked at.
    Warning,
    /// To be looked at first.
    Critical,
}

impl Band {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Warning, Self::Critical];

    /// The stable text: `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a page's runs measured of a vital, and what the check's profile thinks of it; in the vital's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The p75.
    pub p75: u64,
    /// Good up to, poor above.
    pub threshold: Threshold,
}

/// The p75 of a page's vitals, on its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageSignals {
    /// Largest Contentful Paint, in microseconds.
    pub lcp: Option<Measured>,
    /// Interaction to Next Paint, in microseconds.
    pub inp: Option<Measured>,
    /// Total Blocking Time, in microseconds. Counts only where there is no INP.
    pub tbt: Option<Measured>,
    /// Cumulative Layout Shift, in ten-thousandths.
    pub cls: Option<Measured>,
}

/// Open findings, each weighted by its severity.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Findings {
    /// All that are open.
    pub open: f64,
    /// Those of them that are stale.
    pub stale: f64,
}

/// What the evidence says of a check; `None` is "no data", which is not the same as "good".
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Signals {
    /// A ratio, decayed.
    pub weighted_availability: Option<f64>,
    /// Incidents in 7 days, decayed.
    pub recurrence: Option<f64>,
    /// In budgets, decayed.
    pub latency_p95: Option<f64>,
    /// `p95 now / p95 before - 1`; below 0 where it became faster.
    pub latency_regression: Option<f64>,
    /// Of a page.
    pub page: PageSignals,
    /// `None` while no detector looks.
    pub findings: Option<Findings>,
}

/// What a signal adds to a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution {
    /// Which; its module is the signal's.
    pub signal: Signal,
    /// What was found, in the signal's unit.
    pub value: f64,
    /// Where it begins to count, in the same unit.
    pub warning: f64,
    /// Where it counts in full.
    pub critical: f64,
    /// Its weight beside the others that have data, in ten-thousandths of [`WHOLE`].
    pub weight: u32,
    /// What it adds: at most its weight.
    pub points: Points,
}

/// The score of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The sum of the contributions.
    pub points: Points,
    /// How bad that is.
    pub band: Band,
    /// Every signal that has data, those that add nothing too, in the order of [`Signal::ALL`].
    pub contributions: Vec<Contribution>,
}

impl Score {
    /// What adds the most; of several the first. `None` where nothing adds anything.
    pub fn dominant(&self) -> Option<&Contribution> {
        let most = self.contributions.iter().map(|one| one.points).max()?;
        self.contributions.iter().find(|one| one.points == most && most > Points(0))
    }
}

/// A signal that has data: its value, its thresholds, and its share of its module.
struct Reading {
    signal: Signal,
    value: f64,
    warning: f64,
    critical: f64,
    share: f64,
}

impl Reading {
    fn of(signal: Signal, value: Option<f64>, scale: f64, ramp: &Ramp) -> Option<Self> {
        let (warning, critical) = (ramp.warning / scale, ramp.critical / scale);
        value.map(|value| Self { signal, value, warning, critical, share: ramp.share })
    }

    fn of_page(signal: Signal, measured: Option<Measured>, share: f64) -> Option<Self> {
        // Milliseconds of microseconds; the score of ten-thousandths.
        let unit = if signal == Signal::Cls { 1e4 } else { 1e3 };
        let Measured { p75, threshold } = measured?;
        let [value, warning, critical] = [p75, threshold.good, threshold.poor].map(|number| number as f64 / unit);
        Some(Self { signal, value, warning, critical, share })
    }

    /// 0 at the warning threshold, 1 at the critical one, a straight line between; where the two are one, a step above it.
    fn ramp(&self) -> f64 {
        let whole = self.critical - self.warning;
        let beyond = self.value - self.warning;
        if whole == 0.0 { f64::from(u8::from(beyond > 0.0)) } else { (beyond / whole).clamp(0.0, 1.0) }
    }
}

impl ScoringModel {
    /// The score of a check; `None` where nothing has data. That detectors found nothing where nothing was measured is no data either.
    pub fn score(&self, signals: &Signals) -> Option<Score> {
        let found = signals.findings.is_some_and(|findings| findings.open > 0.0 || findings.stale > 0.0);
        let measured = *signals != Signals { findings: signals.findings, ..Signals::default() };
        if !found && !measured {
            return None;
        }
        let readings = self.readings(signals);
        let share_of = |module: Module| -> f64 {
            readings.iter().filter(|one| one.signal.module() == module).map(|one| one.share).sum()
        };
        let shares = Module::ALL.map(share_of);
        let parts: Vec<f64> = readings
            .iter()
            .map(|one| {
                let whole = shares[one.signal.module() as usize];
                if whole > 0.0 { self.weight_of(one.signal.module()) * one.share / whole } else { 0.0 }
            })
            .collect();
        let weights = apportioned(&parts)?;
        let contributions: Vec<Contribution> = readings
            .iter()
            .zip(weights)
            .map(|(one, weight)| Contribution {
                signal: one.signal,
                value: one.value,
                warning: one.warning,
                critical: one.critical,
                weight,
                points: Points((f64::from(weight) * one.ramp() + 0.5) as u32),
            })
            .collect();
        let points = Points(contributions.iter().map(|one| one.points.0).sum());
        Some(Score { points, band: self.band(points), contributions })
    }

    /// How bad so many points are.
    pub fn band(&self, points: Points) -> Band {
        if points.as_f64() >= self.critical {
            Band::Critical
        } else if points.as_f64() >= self.warning {
            Band::Warning
        } else {
            Band::Ok
        }
    }

    fn readings(&self, signals: &Signals) -> Vec<Reading> {
        let Signals { weighted_availability, recurrence, latency_p95, latency_regression, page, findings } = *signals;
        let tbt = if page.inp.is_some() { None } else { page.tbt };
        let vitals = &self.web_vitals;
        let (open, stale) = (findings.map(|findings| findings.open), findings.map(|findings| findings.stale));
        let all = [
            Reading::of(
                Signal::WeightedAvailability,
                weighted_availability,
                100.0,
                &self.availability.weighted_availability,
            ),
            Reading::of(Signal::Recurrence, recurrence, 1.0, &self.availability.recurrence),
            Reading::of(Signal::LatencyP95, latency_p95, 1.0, &self.latency.p95),
            Reading::of(Signal::LatencyRegression, latency_regression, 100.0, &self.latency.regression),
            Reading::of_page(Signal::Lcp, page.lcp, vitals.lcp),
            Reading::of_page(Signal::Inp, page.inp, vitals.responsiveness),
            Reading::of_page(Signal::Tbt, tbt, vitals.responsiveness),
            Reading::of_page(Signal::Cls, page.cls, vitals.cls),
            Reading::of(Signal::OpenFindings, open, 1.0, &self.insights.open),
            Reading::of(Signal::StaleFindings, stale, 1.0, &self.insights.stale),
        ];
        // What has no weight is not asked: it must not keep a score alive that nothing else carries.
        all.into_iter().flatten().filter(|one| one.share > 0.0 && self.weight_of(one.signal.module()) > 0.0).collect()
    }

    fn weight_of(&self, module: Module) -> f64 {
        match module {
            Module::Availability => self.availability.weight,
            Module::Latency => self.latency.weight,
            Module::WebVitals => self.web_vitals.weight,
            Module::Insights => self.insights.weight,
        }
    }
}

/// Parts of [`WHOLE`], in proportion, by the largest remainder: they add up to it exactly. `None` where there is nothing to go by.
fn apportioned(parts: &[f64]) -> Option<Vec<u32>> {
    let sum: f64 = parts.iter().sum();
    if sum <= 0.0 {
        return None;
    }
    let exact = parts.iter().map(|part| part / sum * f64::from(WHOLE));
    let mut whole: Vec<(u32, f64)> = exact.map(|part| (part as u32, part - f64::from(part as u32))).collect();
    let given: u32 = whole.iter().map(|(part, _)| *part).sum();
    let mut order: Vec<usize> = (0..whole.len()).collect();
    order.sort_by(|a, b| whole[*b].1.total_cmp(&whole[*a].1));
    for at in order.into_iter().take(WHOLE.saturating_sub(given) as usize) {
        whole[at].0 += 1;
    }
    Some(whole.into_iter().map(|(part, _)| part).collect())
}
