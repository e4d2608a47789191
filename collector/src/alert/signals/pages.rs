//! Web vitals that became worse and stayed so, by the rule of [`sitepulse_model::vitals::regression`]: over several runs, never one, and over only after as many.
//!
//! Rows are read when a result of a `web_vitals` check came in, one check a turn, and once for each such check after a start. That is a query by the primary
//! key over the days that regressions look back. Rows that cannot be read are read again a while later; until then the page is as it was known.

use std::collections::{BTreeSet, HashMap};

use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::{CheckClass, Condition, IncidentKind};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use crate::book::Check;
use crate::engine::Engine;
use crate::store;
use crate::vitals::figures::{Ask, Frame, Gathering};
use crate::vitals::profile_of;

/// After how long rows that could not be read are read again, in microseconds: 10 s.
const UNREAD_US: i64 = 10 * SECOND_US;

/// What is known of pages.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Those whose rows are to be read.
    due: BTreeSet<CheckNo>,
    /// Since when something of a page is worse; `None`: nothing is. Of a page that is not in here nobody knows yet.
    worse: HashMap<CheckNo, Option<UtcMicros>>,
    /// Pages whose rows could not be read, and when that is tried again.
    unread: HashMap<CheckNo, UtcMicros>,
}

impl Pages {
    /// What the present says of a check; of what is no page, that nothing is worse.
    pub(super) fn condition(&self, check: &Check, class: CheckClass) -> Condition {
        if check.current().is_none_or(|current| profile_of(&current.definition).is_none()) {
            return Condition::Good;
        }
        match self.worse.get(&check.number) {
            Some(Some(since)) => Condition::Bad { since: *since, severity: class.severity(IncidentKind::WebVitals) },
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
    match store::vitals::rows(engine.store.read(), bucket, number, span, |row| gathering.add(&row)) {
        Ok(()) => {
            let worse = gathering.finish().groups.into_iter().flat_map(|group| group.worse);
            let since = worse.map(|worse| worse.regression.since).min();
            engine.alert.present.pages.worse.insert(number, since);
            engine.alert.touched.insert(number);
        }
        Err(error) => {
            // What was known of it stays known, and what was not is not: nothing is fine because the disk fails.
            engine.alert.present.pages.unread.insert(number, now.plus_us(UNREAD_US));
            tracing::warn!("the vitals of {number} cannot be read, that is tried again in 10 s: {error}");
        }
    }
}
