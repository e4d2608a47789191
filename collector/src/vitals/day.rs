//! The page loads of one day as sketches: what is left of them when their rows have been kept long enough.
//!
//! Of each profile the medians of the graded runs stand in a sketch for each vital, so days add up over any span, and any threshold can be asked
//! of them. What was painted largest, and which run was which, is gone.

use std::collections::BTreeMap;

use sitepulse_model::sketch::Sketch;
use sitepulse_model::vitals::Vital;

use super::Row;

/// The runs of one check from one agent on one day of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayVitals {
    /// By the profile's name.
    pub profiles: BTreeMap<String, ProfileDay>,
}

/// Those on one profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileDay {
    /// Runs that came in.
    pub runs: u64,
    /// Those that count.
    pub graded: u64,
    /// Those of which too few loads count because the host was under pressure.
    pub low_confidence: u64,
    /// In the order of [`Vital::ALL`]; durations in microseconds, CLS in ten-thousandths.
    pub vitals: [VitalDay; Vital::ALL.len()],
}

/// One vital of the graded runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VitalDay {
    /// The runs' medians.
    pub medians: Sketch,
    /// The smallest and the largest value of any load; of no run 0.
    pub extremes: (u64, u64),
}

impl DayVitals {
    /// Counts a run of this day.
    pub fn add(&mut self, row: &Row) {
        let profile = self.profiles.entry(row.profile.clone()).or_default();
        profile.runs += 1;
        profile.low_confidence += u64::from(row.low_confidence());
        if !row.graded() {
            return;
        }
        profile.graded += 1;
        for (day, spread) in profile.vitals.iter_mut().zip(row.values) {
            let Some(spread) = spread else { continue };
            let (min, max) = if day.medians.is_empty() { (spread.min, spread.max) } else { day.extremes };
            day.extremes = (min.min(spread.min), max.max(spread.max));
            day.medians.add(spread.median);
        }
    }
}
