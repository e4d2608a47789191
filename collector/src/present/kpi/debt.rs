//! Maintenance debt: what was left lying, as one number whose terms are shown.
//!
//! `overdue jobs x (1 + priority / 500) + 2 x failed jobs + 2 x open findings + 3 x stale findings + 3 x overdue tasks of maintenance windows + 2 x certificates and domains
//! within 14 d of expiry`. A warning from 15 on, critical from 40 on.
//!
//! Jobs are those of the queue: overdue is what is not over past its deadline, or 15 min after it was due where it has none; failed is what was given up of 7 days and not
//! done since. Messages about incidents are jobs of the priority 1000: overdue 15 min after they were due or tried first. One that was given up (a dead letter) within 7 days and was not tried again counts as a failed job. What expires is told by the newest
//! results that could see it. Findings that are open, warning or worse, and those of them that are stale, are told by the detectors (absent before they looked for the first time). There are no
//! tasks yet; their term is absent, which is not 0, and the debt says that it is not complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sitepulse_model::insight::Severity;
use sitepulse_model::time::{SECOND_US, UtcMicros};

use crate::book::{Book, Check, soonest, voting};
use crate::insight::Standing;
use crate::insight::life::Life;
use crate::present::dto::kpi::{DebtTermView, DebtView};

/// From here on the debt is a warning.
pub const WARNING: f64 = 15.0;
/// From here on it is critical.
pub const CRITICAL: f64 = 40.0;
/// What expires sooner than this is left lying, in microseconds: 14 d.
const EXPIRES_US: i64 = 14 * 86_400 * SECOND_US;
/// A message that was given up counts for so long, in microseconds: 7 d. After that nobody will try it again.
pub const DEAD_US: i64 = 7 * 86_400 * SECOND_US;
/// Most names that a term tells.
const NAMED_MAX: usize = 5;

/// What the terms are made of; `None` is "nothing tells of it".
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Debt {
    /// Priorities (0 to 1000) of jobs past their deadline, or 15 min where they have none.
    pub overdue_jobs: Option<Vec<u32>>,
    /// Jobs that failed, and messages that were given up.
    pub failed_jobs: Option<Vec<String>>,
    /// Findings, warning or worse, that are open.
    pub open_findings: Option<Vec<String>>,
    /// Those of them that are stale.
    pub stale_findings: Option<Vec<String>>,
    /// Tasks of maintenance windows that are overdue.
    pub overdue_tasks: Option<Vec<String>>,
    /// Certificates and domains that expire soon or are expired, by a check that sees it.
    pub expiring: Option<Vec<String>>,
}

impl Debt {
    /// The sum and its terms.
    pub fn view(&self) -> DebtView {
        let names = |term: &str, factor: f64, things: &Option<Vec<String>>| DebtTermView {
            term: term.to_owned(),
            factor,
            count: things.as_ref().map(|things| things.len() as u64),
            points: things.as_ref().map(|things| factor * things.len() as f64),
            named: things.iter().flatten().take(NAMED_MAX).cloned().collect(),
        };
        let jobs = self.overdue_jobs.as_ref();
        let overdue = DebtTermView {
            term: "overdue_jobs".into(),
            factor: 1.0,
            count: jobs.map(|jobs| jobs.len() as u64),
            points: jobs.map(|jobs| jobs.iter().map(|priority| 1.0 + f64::from(*priority) / 500.0).sum()),
            named: Vec::new(),
        };
        let terms = vec![
            overdue,
            names("failed_jobs", 2.0, &self.failed_jobs),
            names("open_findings", 2.0, &self.open_findings),
            names("stale_findings", 3.0, &self.stale_findings),
            names("overdue_tasks", 3.0, &self.overdue_tasks),
            names("expiring", 2.0, &self.expiring),
        ];
        let points: f64 = terms.iter().filter_map(|term| term.points).sum();
        let level = if points >= CRITICAL {
            "critical"
        } else if points >= WARNING {
            "warning"
        } else {
            "ok"
        };
        let complete = terms.iter().all(|term| term.points.is_some());
        DebtView { points, level: level.into(), warning: WARNING, critical: CRITICAL, complete, terms }
    }
}

/// The findings, warning or worse, whose life is so; the worst first, by id.
pub fn findings(standing: &[Arc<Standing>], is_so: impl Fn(&Life) -> bool) -> Vec<String> {
    let mut found: Vec<&Standing> = standing
        .iter()
        .map(|one| &**one)
        .filter(|one| one.life.severity >= Severity::Warning && is_so(&one.life))
        .collect();
    found.sort_by_key(|one| (std::cmp::Reverse(one.life.severity), one.life.opened_at));
    found.into_iter().map(|one| one.id.to_string()).collect()
}

/// Certificates and domains within 14 d of expiry as agents with a vote saw them last, one entry each: a certificate that many checks see is one to renew. Named by the
/// first check that sees it. A run that failed saw none, which is no renewal.
pub fn expiring(book: &Book, now: UtcMicros) -> Vec<String> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut found: BTreeMap<UtcMicros, Vec<String>> = BTreeMap::new();
    let mut living: Vec<&Check> = book.checks().filter(|check| !check.retired()).collect();
    living.sort_by(|a, b| a.id.cmp(&b.id));
    for check in living {
        let votes = voting(book, check.number, now);
        let certificate = soonest(check, |sights| sights.certificate.as_ref(), &votes);
        let domain = soonest(check, |sights| sights.domain.as_ref(), &votes);
        for (_, ends) in [certificate, domain].into_iter().flatten().flatten() {
            let first = ends.which.is_empty() || seen.insert(ends.which.clone());
            if first && ends.at.us_since(now) < EXPIRES_US {
                found.entry(ends.at).or_default().push(check.id.to_string());
            }
        }
    }
    found.into_values().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(count: usize) -> Option<Vec<String>> {
        Some((0..count).map(|n| format!("thing-{n}")).collect())
    }

    #[test]
    fn the_terms_add_up() {
        let debt = Debt {
            overdue_jobs: Some(vec![0, 500, 1000]),
            failed_jobs: things(2),
            open_findings: things(1),
            stale_findings: things(1),
            overdue_tasks: things(1),
            expiring: things(7),
        };
        let view = debt.view();
        assert_eq!(
            (view.points, view.level.as_str(), view.complete),
            (6.0 + 4.0 + 2.0 + 3.0 + 3.0 + 14.0, "warning", true)
        );
        assert_eq!(view.terms.iter().filter_map(|term| term.points).sum::<f64>(), view.points);
        assert_eq!((view.terms[5].count, view.terms[5].named.len()), (Some(7), NAMED_MAX));
    }

    #[test]
    fn what_nothing_tells_of_is_absent_and_not_0() {
        let view = Debt { expiring: things(0), ..Debt::default() }.view();
        assert_eq!((view.points, view.level.as_str(), view.complete), (0.0, "ok", false));
        assert_eq!((view.terms[5].count, view.terms[5].points), (Some(0), Some(0.0)));
        assert!(view.terms[..5].iter().all(|term| term.count.is_none() && term.points.is_none()));
    }

    #[test]
    fn levels_begin_at_15_and_40() {
        let level = |failed: usize, stale: usize| {
            Debt { failed_jobs: things(failed), stale_findings: things(stale), ..Debt::default() }.view().level
        };
        assert_eq!([level(7, 0), level(0, 5), level(18, 1), level(20, 0)], ["ok", "warning", "warning", "critical"]);
    }
}
