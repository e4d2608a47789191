//! The runs of a page, vital by vital and region by region: those on the check's present profile.

use std::collections::BTreeMap;

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::insight::input::{VitalRun, VitalSeries, hour_of};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Kind, Subject, vitals_regression};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vitals::Vital;

use super::{Frame, Seen};
use crate::store::{StoreError, Tables, vitals};
use crate::vitals::{Row, profile_of};

/// What is taken from the book.
#[derive(Debug)]
pub(super) struct PageFrame {
    profile: String,
    from: UtcMicros,
}

impl PageFrame {
    /// `None` of what is no page.
    pub(super) fn of(definition: &CheckDefinition, from: UtcMicros) -> Option<Self> {
        let profile = profile_of(definition)?.resolve()?.name;
        Some(Self { profile, from })
    }

    pub(super) fn look(
        &self,
        frame: &Frame,
        tables: Tables<'_>,
        rules: &Thresholds,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let maintained = frame.maintained();
        let mut regions: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        vitals::rows(tables, frame.bucket, frame.number, Span::new(self.from, frame.now), |row| {
            let Some((region, _)) = frame.voters.get(&row.agent) else { return };
            let counts = row.graded() || row.low_confidence();
            if counts && row.profile == self.profile && !maintained.contains(&hour_of(row.scheduled)) {
                regions.entry(region).or_default().push(row);
            }
        })?;
        let alone = regions.len() == 1;
        for (region, rows) in &regions {
            for (at, vital) in Vital::ALL.into_iter().enumerate() {
                let word = vital.as_str();
                let part = if alone { format!("vital:{word}") } else { format!("vital:{word}:{region}") };
                let subject = Subject::Check { check: frame.id.clone(), part };
                let runs: Vec<VitalRun<'_>> = rows.iter().filter_map(|row| run(row, at)).collect();
                let known_since = frame.known.since(Kind::VitalsRegression, &subject);
                let series = VitalSeries { subject, vital, runs: &runs, known_since };
                let found = vitals_regression::find(&series, &rules.vitals_regression, frame.now);
                seen.note(Kind::VitalsRegression, &frame.id, found);
            }
        }
        Ok(())
    }
}

/// A run as the detector sees it.
fn run(row: &Row, at: usize) -> Option<VitalRun<'_>> {
    let value = row.values.get(at)?.as_ref()?.median;
    Some(VitalRun {
        at: row.scheduled,
        value,
        low_confidence: row.low_confidence(),
        lcp_element: Some(row.lcp_element.as_str()).filter(|element| !element.is_empty()),
        lcp_url: row.lcp_url.as_deref(),
        shift_sources: row.shift_sources.as_deref(),
    })
}
