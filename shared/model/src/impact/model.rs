//! The scoring model: weights, thresholds, how fast evidence fades, where bands begin. Written as code, a `[[scoring]]` table, with its versions.
//!
//! Everything may be left out: what is not written is as here. There is one model at a time; its id is `default`, and while none is written the one that is built in applies.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::decay::Decay;
use crate::coded::Fault;
use crate::duration;

/// The id of the model that applies.
pub const ID: &str = "default";
/// What the model that is built in is called; it has one version.
pub const BUILT_IN: &str = "built-in";

const HOUR_US: u64 = 3_600_000_000;
const DAY_US: u64 = 24 * HOUR_US;
/// The shortest and the longest decay constant, in microseconds: 1 h, 366 d.
const DECAY_US: (u64, u64) = (HOUR_US, 366 * DAY_US);
/// The shortest and the longest look-back, in microseconds: 1 d, 92 d.
const LOOK_BACK_US: (u64, u64) = (DAY_US, 92 * DAY_US);

/// A signal's share of its module, and between which values it counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Beside the other signals of its module; 0 leaves it out.
    pub share: f64,
    /// Adds nothing up to here.
    pub warning: f64,
    /// Adds all it can from here on.
    pub critical: f64,
}

const fn ramp(share: f64, warning: f64, critical: f64) -> Ramp {
    Ramp { share, warning, critical }
}

/// Whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AvailabilityModel {
    /// Beside the other modules; 0 leaves it out.
    pub weight: f64,
    /// Weighted availability, in percent.
    pub weighted_availability: Ramp,
    /// Incidents in 7 days.
    pub recurrence: Ramp,
}

impl Default for AvailabilityModel {
    fn default() -> Self {
        Self { weight: 40.0, weighted_availability: ramp(70.0, 99.9, 99.0), recurrence: ramp(30.0, 1.0, 5.0) }
    }
}

/// Whether it is fast enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencyModel {
    /// Beside the other modules; 0 leaves it out.
    pub weight: f64,
    /// p95, in budgets of the check.
    pub p95: Ramp,
    /// p95 of the last 24 h against that of the 7 d before, in percent more.
    pub regression: Ramp,
}

impl Default for LatencyModel {
    fn default() -> Self {
        Self { weight: 20.0, p95: ramp(80.0, 1.0, 2.5), regression: ramp(20.0, 10.0, 30.0) }
    }
}

/// Whether its pages are fast enough. Thresholds are those of the check's device profile: good, and poor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebVitalsModel {
    /// Beside the other modules; 0 leaves it out.
    pub weight: f64,
    /// The share of LCP.
    pub lcp: f64,
    /// The share of INP, or of TBT where no interaction is scripted.
    pub responsiveness: f64,
    /// The share of CLS.
    pub cls: f64,
}

impl Default for WebVitalsModel {
    fn default() -> Self {
        Self { weight: 25.0, lcp: 1.0, responsiveness: 1.0, cls: 1.0 }
    }
}

/// What detectors found. Findings count by severity: a critical one 4, a warning 2, one that only informs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InsightsModel {
    /// Beside the other modules; 0 leaves it out.
    pub weight: f64,
    /// Open findings.
    pub open: Ramp,
    /// Those of them that are stale.
    pub stale: Ramp,
}

impl Default for InsightsModel {
    fn default() -> Self {
        Self { weight: 15.0, open: ramp(75.0, 0.0, 8.0), stale: ramp(25.0, 0.0, 4.0) }
    }
}

/// A scoring model, as it is written as code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringModel {
    /// Its id: [`ID`].
    pub id: String,
    /// The decay constant, as a duration: evidence of that age weighs `1/e` (37 %); half as much as of now it weighs at 69 % of that age.
    #[serde(default = "ScoringModel::decay_default")]
    pub decay: String,
    /// What is older does not count, as a duration.
    #[serde(default = "ScoringModel::look_back_default")]
    pub look_back: String,
    /// Where the band `warning` begins.
    #[serde(default = "ScoringModel::warning_default")]
    pub warning: f64,
    /// Where the band `critical` begins.
    #[serde(default = "ScoringModel::critical_default")]
    pub critical: f64,
    /// A group's score is at least this part of that of its worst check of the class `critical`.
    #[serde(default = "ScoringModel::floor_default")]
    pub floor: f64,
    /// See [`AvailabilityModel`].
    #[serde(default)]
    pub availability: AvailabilityModel,
    /// See [`LatencyModel`].
    #[serde(default)]
    pub latency: LatencyModel,
    /// See [`WebVitalsModel`].
    #[serde(default)]
    pub web_vitals: WebVitalsModel,
    /// See [`InsightsModel`].
    #[serde(default)]
    pub insights: InsightsModel,
}

impl ScoringModel {
    /// The keys of its table, in the order they are documented.
    pub const KEYS: &'static [&'static str] = &[
        "id",
        "decay",
        "look_back",
        "warning",
        "critical",
        "floor",
        "availability",
        "latency",
        "web_vitals",
        "insights",
    ];

    fn decay_default() -> String {
        String::from("7d")
    }

    fn look_back_default() -> String {
        String::from("28d")
    }

    const fn warning_default() -> f64 {
        35.0
    }

    const fn critical_default() -> f64 {
        70.0
    }

    const fn floor_default() -> f64 {
        0.6
    }

    /// The model that applies while none is written.
    pub fn built_in() -> Self {
        Self {
            id: String::from(ID),
            decay: Self::decay_default(),
            look_back: Self::look_back_default(),
            warning: Self::warning_default(),
            critical: Self::critical_default(),
            floor: Self::floor_default(),
            availability: AvailabilityModel::default(),
            latency: LatencyModel::default(),
            web_vitals: WebVitalsModel::default(),
            insights: InsightsModel::default(),
        }
    }

    /// How evidence fades; of a text that is no duration as in the model that is built in.
    pub fn fading(&self) -> Decay {
        let us = |text: &str, or: u64| duration::parse(text).unwrap_or(or).cast_signed();
        Decay { constant_us: us(&self.decay, 7 * DAY_US), look_back_us: us(&self.look_back, 28 * DAY_US) }
    }

    /// Everything that is wrong with its values.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.id != ID {
            faults.push(Fault::new("id", alloc::format!("there is one scoring model at a time: its id is \"{ID}\"")));
        }
        let mut within = |field: &str, text: &str, (least, most): (u64, u64)| match duration::parse(text) {
            Err(error) => faults.push(Fault::new(field, error.to_string())),
            Ok(us) if (least..=most).contains(&us) => {}
            Ok(_) => {
                let (least, most) = (duration::format(least), duration::format(most));
                faults.push(Fault::new(field, alloc::format!("{text:?} is out of range: {least} to {most}")));
            }
        };
        within("decay", &self.decay, DECAY_US);
        within("look_back", &self.look_back, LOOK_BACK_US);
        if !(self.warning > 0.0 && self.warning < self.critical && self.critical <= 100.0) {
            let text = "the bands must lie between 0 and 100, \"warning\" below \"critical\": as in warning = 35, critical = 70";
            faults.push(Fault::new("warning", text));
        }
        if !(0.0..=1.0).contains(&self.floor) {
            faults.push(Fault::new("floor", "it is a part, from 0 to 1: as in floor = 0.6"));
        }
        let Self { availability, latency, web_vitals, insights, .. } = self;
        let modules = [
            (
                "availability",
                availability.weight,
                &[availability.weighted_availability.share, availability.recurrence.share][..],
            ),
            ("latency", latency.weight, &[latency.p95.share, latency.regression.share]),
            ("web_vitals", web_vitals.weight, &[web_vitals.lcp, web_vitals.responsiveness, web_vitals.cls]),
            ("insights", insights.weight, &[insights.open.share, insights.stale.share]),
        ];
        let counts = |part: f64| part.is_finite() && (0.0..=1e6).contains(&part);
        for (field, weight, shares) in modules {
            if !counts(weight) || !shares.iter().all(|share| counts(*share)) {
                faults.push(Fault::new(field, "weights and shares are numbers from 0 to 1000000"));
            } else if weight > 0.0 && shares.iter().sum::<f64>() <= 0.0 {
                faults.push(Fault::new(
                    field,
                    "none of its signals has a share: give one a share, or the module the weight 0",
                ));
            }
        }
        if modules.iter().all(|(_, weight, _)| *weight <= 0.0) {
            faults.push(Fault::new("", "no module has a weight: nothing would have a score"));
        }
        let ramps = [
            ("availability", "weighted_availability", availability.weighted_availability, true),
            ("availability", "recurrence", availability.recurrence, false),
            ("latency", "p95", latency.p95, false),
            ("latency", "regression", latency.regression, false),
            ("insights", "open", insights.open, false),
            ("insights", "stale", insights.stale, false),
        ];
        for (field, name, Ramp { warning, critical, .. }, falls) in ramps {
            let order = if falls { critical < warning } else { warning < critical };
            if !(order && warning.is_finite() && critical.is_finite()) {
                let relation = if falls { "above" } else { "below" };
                faults.push(Fault::new(field, alloc::format!("{name}: \"warning\" must lie {relation} \"critical\"")));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_is_as_built_in() {
        let read = |json: &str| serde_json::from_str::<ScoringModel>(json).unwrap();
        assert_eq!(read(r#"{"id": "default"}"#), ScoringModel::built_in());
        let own = read(r#"{"id": "default", "decay": "3d", "latency": {"weight": 0}, "web_vitals": {"cls": 0}}"#);
        assert_eq!((own.latency.weight, own.latency.p95, own.web_vitals.lcp), (0.0, ramp(80.0, 1.0, 2.5), 1.0));
        assert_eq!(own.faults(), []);
        let again: ScoringModel = serde_json::from_str(&serde_json::to_string(&own).unwrap()).unwrap();
        assert_eq!(again, own);
        for json in [
            r#"{}"#,
            r#"{"id": "default", "half_life": "7d"}"#,
            r#"{"id": "default", "latency": {"p95": {"share": 1}}}"#,
        ] {
            assert!(serde_json::from_str::<ScoringModel>(json).is_err(), "{json}");
        }
        let fading = ScoringModel::built_in().fading();
        assert_eq!((fading.constant_us, fading.look_back_us), (7 * 86_400_000_000, 28 * 86_400_000_000));
    }

    #[test]
    fn mistakes_name_the_remedy() {
        let built_in = ScoringModel::built_in;
        assert_eq!(built_in().faults(), []);
        let availability = AvailabilityModel { recurrence: ramp(30.0, 5.0, 1.0), ..AvailabilityModel::default() };
        let upside_down =
            AvailabilityModel { weighted_availability: ramp(70.0, 99.0, 99.9), ..AvailabilityModel::default() };
        let none =
            LatencyModel { p95: ramp(0.0, 1.0, 2.0), regression: ramp(0.0, 1.0, 2.0), ..LatencyModel::default() };
        let cases = [
            (ScoringModel { id: "mine".into(), ..built_in() }, "its id is \"default\""),
            (ScoringModel { decay: "1m".into(), ..built_in() }, "decay: \"1m\" is out of range: 1h to 366d"),
            (ScoringModel { look_back: "28".into(), ..built_in() }, "look_back: "),
            (ScoringModel { warning: 70.0, ..built_in() }, "\"warning\" below \"critical\""),
            (ScoringModel { critical: f64::NAN, ..built_in() }, "\"warning\" below \"critical\""),
            (ScoringModel { floor: 1.5, ..built_in() }, "floor: it is a part, from 0 to 1"),
            (ScoringModel { availability, ..built_in() }, "recurrence: \"warning\" must lie below \"critical\""),
            (
                ScoringModel { availability: upside_down, ..built_in() },
                "weighted_availability: \"warning\" must lie above",
            ),
            (ScoringModel { latency: none, ..built_in() }, "latency: none of its signals has a share"),
            (
                ScoringModel { web_vitals: WebVitalsModel { cls: -1.0, ..WebVitalsModel::default() }, ..built_in() },
                "web_vitals: weights and shares are numbers from 0",
            ),
        ];
        for (model, says) in cases {
            let faults = model.faults();
            assert!(faults.len() == 1 && faults[0].to_string().contains(says), "{faults:?} {says}");
        }
    }
}
