//! Service level objectives held against the book: which checks one covers now, over which period, under which policy; then the model judges.
//!
//! Everything is as it is now: the promise's and the policy's newest versions, the checks that are covered today with their weights of today, each with its evidence over
//! the whole period. (What a report said under an older version is the report's to keep.)
//!
//! The book's guard is taken anew for each check, so that judging a thousand promises keeps nobody waiting.

mod calendar;

use std::collections::BTreeMap;

use sitepulse_model::accounting::{AccountingPolicy, BUILT_IN, Objective};
use sitepulse_model::coded::Fault;
use sitepulse_model::control::Weight;
use sitepulse_model::id::{CheckId, CheckNo, Group};
use sitepulse_model::slo::status::{Amount, Bounded, LOOK_BACK_US, Member, Status, Terms, budget, status};
use sitepulse_model::slo::{Period, Slo};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;

use crate::app::App;
use crate::book::{Book, Check, Filter, Revised};
use crate::service_hours;

/// A promise, what it covers now, and what became of it.
#[derive(Debug, Clone)]
pub struct Held {
    /// What it is about.
    pub promise: Promise,
    /// What became of it; or why that cannot be told, with the remedy.
    pub outcome: Result<Outcome, String>,
}

/// A promise and what it covers now.
#[derive(Debug, Clone)]
pub struct Promise {
    /// As it was written, with its version.
    pub slo: Revised<Slo>,
    /// The living checks that it covers, by id.
    pub checks: Vec<CheckId>,
    /// The checks and groups that it names and that nothing living answers to.
    pub missing: Vec<String>,
}

/// What became of a promise.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The policy's id and version.
    pub policy: (String, u32),
    /// What was promised.
    pub objective: Objective,
    /// The whole period; of the calendar's, it ends after now.
    pub period: Span,
    /// All figures.
    pub status: Status,
}

/// An error budget as it stood at the end of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// The end of the day in the period's zone; now for the present one.
    pub at: UtcMicros,
    /// The budget then, of the period as it was then.
    pub budget: Bounded<Amount>,
}

/// A promise that is ready to be judged, without the book.
#[derive(Debug)]
struct Case {
    slo: Slo,
    policy: AccountingPolicy,
    version: u32,
    objective: Objective,
    period: Span,
    members: Vec<(CheckNo, Weight)>,
}

/// What is wrong with a promise as it is written, its zone included, with the remedy; but for its id.
pub fn faults(slo: &Slo) -> Vec<Fault> {
    let zone = slo.zone.as_deref().and_then(|zone| calendar::zone_of(Some(zone)).err());
    slo.faults().into_iter().chain(zone.map(|error| Fault::new("zone", error))).collect()
}

/// Every living promise, by id.
pub fn all(app: &App, now: UtcMicros) -> Vec<Held> {
    let opened: Vec<(Promise, Result<Case, String>)> = {
        let book = app.book();
        let living = book.objects().slos.iter().filter_map(|(_, versions)| versions.last());
        living.filter(|revised| !revised.retired).map(|revised| open(&book, revised, now)).collect()
    };
    // Of a check that several promises cover, the longest evidence that one of them asks for serves all.
    let mut since: BTreeMap<CheckNo, UtcMicros> = BTreeMap::new();
    for case in opened.iter().filter_map(|(_, case)| case.as_ref().ok()) {
        for (check, _) in &case.members {
            let from = since.entry(*check).or_insert(now);
            *from = (*from).min(case.evidence_from(now));
        }
    }
    let evidence = since.into_iter().map(|(check, from)| (check, verdicts(app, check, from, now))).collect();
    opened.into_iter().map(|(promise, case)| judged(promise, case, &evidence, now)).collect()
}

/// One promise; `None` where there is none of this id.
pub fn one(app: &App, id: &str, now: UtcMicros) -> Option<Held> {
    let (promise, case) = opened(app, id, now)?;
    let evidence =
        case.as_ref().map_or_else(|_| Evidence::new(), |case| case.evidence(app, case.evidence_from(now), now));
    Some(judged(promise, case, &evidence, now))
}

/// The budget at the end of each day of the present period, oldest first, and now; `None` where there is no promise of this id.
///
/// # Errors
/// Why it cannot be told, with the remedy.
pub fn history(app: &App, id: &str, now: UtcMicros) -> Option<Result<(Promise, Vec<Day>), String>> {
    let (promise, case) = opened(app, id, now)?;
    Some(case.and_then(|case| {
        let ends = calendar::day_ends(case.slo.zone.as_deref(), Span::new(case.period.from, now))?;
        let periods = ends.into_iter().chain([now]).map(|at| Ok((at, period_at(&case.slo, at)?)));
        let periods = periods.collect::<Result<Vec<(UtcMicros, Span)>, String>>()?;
        let first = periods.iter().map(|(_, period)| period.from).min().unwrap_or(now);
        let evidence = case.evidence(app, first, now);
        let hours = case.hours(Span::new(first, case.period.to.max(now)))?;
        let terms = case.terms(hours.as_deref());
        let members = case.members(&evidence);
        let days = periods.into_iter().map(|(at, period)| Day { at, budget: budget(&members, &terms, period, at) });
        Ok((promise, days.collect()))
    }))
}

/// The verdicts of each check.
type Evidence = BTreeMap<CheckNo, Vec<VerdictSpan>>;

fn opened(app: &App, id: &str, now: UtcMicros) -> Option<(Promise, Result<Case, String>)> {
    let book = app.book();
    let revised = book.objects().slos.current(id)?;
    Some(open(&book, revised, now))
}

fn verdicts(app: &App, check: CheckNo, from: UtcMicros, now: UtcMicros) -> Vec<VerdictSpan> {
    app.book().verdicts(check, &Filter::All, Span::new(from, now)).unwrap_or_default()
}

fn judged(promise: Promise, case: Result<Case, String>, evidence: &Evidence, now: UtcMicros) -> Held {
    let outcome = case.and_then(|case| {
        let ahead = now.plus_us(case.period.us());
        let hours = case.hours(Span::new(case.evidence_from(now), case.period.to.max(ahead)))?;
        let status = status(&case.members(evidence), &case.terms(hours.as_deref()), case.period, now);
        Ok(Outcome { policy: (case.policy.id, case.version), objective: case.objective, period: case.period, status })
    });
    Held { promise, outcome }
}

/// Finds what a promise refers to.
fn open(book: &Book, revised: &Revised<Slo>, now: UtcMicros) -> (Promise, Result<Case, String>) {
    let slo = &revised.body;
    let mut covered: Vec<(&Check, Weight)> = book
        .checks()
        .filter_map(|check| {
            let current = check.current()?;
            slo.covers(check.id.as_str(), group_of(check)).then_some((check, current.definition.weight))
        })
        .collect();
    covered.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    let answered =
        |name: &String, of: fn(&Check) -> Option<&str>| covered.iter().any(|(check, _)| of(check) == Some(name));
    let checks = slo.checks.iter().filter(|name| !answered(name, |check| Some(check.id.as_str())));
    let groups = slo.groups.iter().filter(|name| !answered(name, group_of));
    let promise = Promise {
        slo: revised.clone(),
        checks: covered.iter().map(|(check, _)| check.id.clone()).collect(),
        missing: checks.chain(groups).cloned().collect(),
    };
    // A promise about one check is about that check, also where it does not count among others.
    let alone = slo.groups.is_empty() && slo.checks.len() == 1;
    let weighed = covered.iter().map(|(check, weight)| (check.number, if alone { Weight::ONE } else { *weight }));
    let case = policy_of(book, slo.policy.as_deref()).and_then(|(policy, version)| {
        Ok(Case {
            objective: slo.objective().map_err(|error| error.to_string())?.unwrap_or(policy.objective),
            period: period_at(slo, now)?,
            members: weighed.collect(),
            slo: slo.clone(),
            policy,
            version,
        })
    });
    (promise, case)
}

/// The group that a check is in.
fn group_of(check: &Check) -> Option<&str> {
    check.current()?.labels.group.as_ref().map(Group::as_str)
}

/// The newest version of a policy, by its number; of none, the built-in one.
fn policy_of(book: &Book, id: Option<&str>) -> Result<(AccountingPolicy, u32), String> {
    let id = id.unwrap_or(BUILT_IN);
    match book.objects().policies.current(id) {
        Some(revised) => Ok((revised.body.clone(), revised.version)),
        None if id == BUILT_IN => Ok((AccountingPolicy::built_in(), 1)),
        None => Err(format!("there is no policy {id:?}: apply a [[policy]] with that id, or name another")),
    }
}

fn period_at(slo: &Slo, now: UtcMicros) -> Result<Span, String> {
    match slo.period().map_err(|error| error.to_string())? {
        Period::Rolling(us) => Ok(Span::new(now.plus_us(-us), now)),
        Period::Calendar(calendar) => calendar::around(calendar, slo.zone.as_deref(), now),
    }
}

impl Case {
    fn evidence_from(&self, now: UtcMicros) -> UtcMicros {
        self.period.from.min(now.plus_us(-LOOK_BACK_US))
    }

    fn evidence(&self, app: &App, from: UtcMicros, now: UtcMicros) -> Evidence {
        self.members.iter().map(|(check, _)| (*check, verdicts(app, *check, from, now))).collect()
    }

    fn members<'e>(&self, evidence: &'e Evidence) -> Vec<Member<'e>> {
        let spans = |check: &CheckNo| evidence.get(check).map_or(&[][..], Vec::as_slice);
        self.members.iter().map(|(check, weight)| Member { weight: *weight, spans: spans(check) }).collect()
    }

    fn hours(&self, within: Span) -> Result<Option<Vec<Span>>, String> {
        let expand = |hours| service_hours::expand(hours, within).map_err(|error| error.to_string());
        self.policy.hours.as_ref().map(expand).transpose()
    }

    fn terms<'h>(&self, hours: Option<&'h [Span]>) -> Terms<'h> {
        Terms { rules: self.policy.rules(), objective: self.objective, hours }
    }
}
