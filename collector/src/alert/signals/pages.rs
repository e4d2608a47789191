//! Web vitals that became worse and stayed so, by the rule of [`sitepulse_model::vitals::regression`]: over several runs, never one, and over only after as many.
//!
//! Late data pages nobody: rows of results that came in late are not asked, though the figures count them.
//!
//! Rows are read when a result of a `web_vitals` check came in, one check a turn, and once for each such check after a start. That is a query by the primary
//! key over the days that regressions look back. Rows that cannot be read are read again a while later; until then the page is as it was known.

use std::collections::{BTreeSet, HashMap};

use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::{CheckClass, Condition, IncidentKind};
use sitepulse_model::notice::Found;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::regression::Regression;

use crate::book::Check;
use crate::engine::Engine;
use crate::store;
use crate::vitals::change::Worse;
use crate::vitals::figures::{Ask, Frame, Gathering, Group, Place};
use crate::vitals::profile_of;

/// After how long rows that could not be read are read again, in microseconds: 10 s.
const UNREAD_US: i64 = 10 * SECOND_US;

/// What is known of pages.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Those whose rows are to be read.
    due: BTreeSet<CheckNo>,
    /// What got worse of a page first, and since when; `None`: nothing is. Of a page that is not in here nobody knows yet.
    worse: HashMap<CheckNo, Option<Slower>>,
    /// Pages whose rows could not be read, and when that is tried again.
    unread: HashMap<CheckNo, UtcMicros>,
}

/// What got worse of a page.
#[derive(Debug)]
pub(super) struct Slower {
    since: UtcMicros,
    /// What is told of it: the measure that got worse by the largest share.
    pub(super) found: Found,
    /// The regions that it got worse in.
    pub(super) regions: Vec<String>,
    /// In how many regions it is measured.
    pub(super) regions_of: u32,
}

impl Slower {
    /// `None`: nothing is worse.
    fn of(groups: &[Group]) -> Option<Self> {
        let region = |group: &Group| match &group.place {
            Place::Region(region) | Place::Agent(region, _) => Some(region.to_string()),
            Place::All => None,
        };
        let worse = || groups.iter().flat_map(|group| group.worse.iter().map(move |worse| (group, worse)));
        let since = worse().map(|(_, worse)| worse.regression.since).min()?;
        let share = |worse: &Worse| {
            let Regression { baseline, median, .. } = worse.regression;
            u128::from(median) * 1_000_000 / u128::from(baseline.max(1))
        };
        let (group, most) = worse().max_by_key(|(_, worse)| share(worse))?;
        let vitals: BTreeSet<(&str, Vital)> =
            worse().map(|(group, worse)| (group.profile.as_str(), worse.vital)).collect();
        let regions: BTreeSet<String> = worse().filter_map(|(group, _)| region(group)).collect();
        let all: BTreeSet<String> = groups.iter().filter_map(region).collect();
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let found = Found::Vital {
            vital: most.vital,
            profile: group.profile.clone(),
            baseline: most.regression.baseline,
            median: most.regression.median,
            worse: count(vitals.len()),
        };
        Some(Self { since, found, regions: regions.into_iter().collect(), regions_of: count(all.len()) })
    }
}

impl Pages {
    /// What got worse of a page, as far as that is known.
    pub(super) fn slower(&self, check: CheckNo) -> Option<&Slower> {
        self.worse.get(&check)?.as_ref()
    }

    /// What the present says of a check; of what is no page, that nothing is worse.
    pub(super) fn condition(&self, check: &Check, class: CheckClass) -> Condition {
        if check.current().is_none_or(|current| profile_of(&current.definition).is_none()) {
            return Condition::Good;
        }
        match self.worse.get(&check.number) {
            Some(Some(slower)) => {
                Condition::Bad { since: slower.since, severity: class.severity(IncidentKind::WebVitals) }
            }
            Some(None) => Condition::Good,
            None => Condition::Unknown,
        }
    }
}

/// Reads the rows of one page that something came in of. `everything`: also of those that were never looked at.
pub(super) fn gather(engine: &mut Engine, everything: bool, now: UtcMicros) {
    let shared = std::sync::Arc::clone(&engine.shared);
    let frame = {
        let book = shared.book();
        let (touched, pages) = (&engine.alert.touched, &mut engine.alert.present.pages);
        let page = |check: &Check| check.current().is_some_and(|now| profile_of(&now.definition).is_some());
        pages.due.extend(touched.iter().filter(|number| book.check(**number).is_some_and(page)));
        if everything {
            let fresh = book.checks().filter(|check| !pages.worse.contains_key(&check.number) && page(check));
            let fresh: Vec<CheckNo> = fresh.map(|check| check.number).collect();
            pages.due.extend(fresh.into_iter().filter(|number| !pages.unread.contains_key(number)));
            let again = |at: UtcMicros| at <= now || at.us_since(now) > UNREAD_US;
            pages.due.extend(pages.unread.extract_if(|_, at| again(*at)).map(|(number, _)| number));
        }
        let Some(number) = pages.due.pop_first() else { return };
        let Some(check) = book.check(number) else { return };
        Frame::of(&book, check, Ask::default(), now)
    };
    let (bucket, number, span) = (frame.check().bucket(), frame.number(), frame.span());
    let mut gathering = Gathering::new(frame);
    match store::vitals::rows_in_time(engine.store.read(), bucket, number, span, |row| gathering.add(&row)) {
        Ok(()) => {
            let slower = Slower::of(&gathering.finish().groups);
            engine.alert.present.pages.worse.insert(number, slower);
            engine.alert.touched.insert(number);
        }
        Err(error) => {
            // What was known of it stays known, and what was not is not: nothing is fine because the disk fails.
            engine.alert.present.pages.unread.insert(number, now.plus_us(UNREAD_US));
            tracing::warn!("the vitals of {number} cannot be read, that is tried again in 10 s: {error}");
        }
    }
}
