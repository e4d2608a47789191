//! The runs of a page, vital by vital and region by region: those on the check's present profile, since the browsers there are what they are.

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
                take(regions.entry(region).or_default(), row);
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

/// Takes a region's next run. Where an agent measures with another browser than before, all of them begin anew: levels of different machines can be looked at together
/// only while all of them are in it.
fn take(rows: &mut Vec<Row>, row: Row) {
    if row.browser.is_some() {
        let known = rows.iter().rev().find(|one| one.agent == row.agent && one.browser.is_some());
        if row.has_other_browser(known.and_then(|known| known.browser.as_deref())) {
            rows.clear();
        }
    }
    rows.push(row);
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

#[cfg(test)]
mod tests {
    use sitepulse_model::id::{AgentNo, Revision};
    use sitepulse_model::record::ProbeState;

    use super::*;

    /// The defect: an upgrade of the browser was a finding about every page that it shows otherwise.
    #[test]
    fn a_region_begins_anew_when_one_of_its_browsers_is_another() {
        let mut rows = Vec::new();
        let mut run = |agent: u32, at: i64, browser: Option<&str>| {
            let row = Row {
                scheduled: UtcMicros(at),
                agent: AgentNo(agent),
                revision: Revision(1),
                state: ProbeState::Up,
                cause: None,
                profile: "mobile".to_owned(),
                loads_counted: 3,
                loads_low_confidence: 0,
                values: [None; Vital::ALL.len()],
                lcp_element: String::new(),
                lcp_url: None,
                shift_sources: None,
                browser: browser.map(str::to_owned),
            };
            take(&mut rows, row);
            rows.len()
        };
        let (old, new) = (Some("HeadlessChrome/156"), Some("HeadlessChrome/157"));
        assert_eq!(
            [run(1, 0, None), run(1, 1, old), run(2, 1, old), run(1, 2, None)],
            [1, 2, 3, 4],
            "what is not told is as before"
        );
        assert_eq!([run(1, 3, new), run(2, 3, old), run(1, 4, new)], [1, 2, 3]);
        assert_eq!([run(2, 5, new), run(1, 5, new), run(2, 6, new)], [1, 2, 3]);
    }
}
