//! Service level objectives held against the book: which checks one covers, over which period, under which policy; then the model judges.
//!
//! Nothing of it rewrites the past, so that a budget agrees with the figures of its group: each instant is counted by the version of the policy in force then, and a check is
//! a member by the group and weight that it had at the period's end, or at its own ([`Check::counting`]): who is retired takes nothing of what it used up with it. What was
//! promised is said by the versions at the period's end, which is now; of a day in the past, by those of that day.
//!
//! The book's guard is taken anew for each check, so that judging a thousand promises keeps nobody waiting.

pub(crate) mod calendar;

use std::collections::BTreeMap;
use std::sync::Arc;

use sitepulse_model::accounting::{BUILT_IN, Objective};
use sitepulse_model::coded::Fault;
use sitepulse_model::control::Weight;
use sitepulse_model::id::{CheckId, CheckNo, Group};
use sitepulse_model::slo::status::{Amount, Bounded, LOOK_BACK_US, Member, Status, Terms, budget, status};
use sitepulse_model::slo::{Period, Slo};
use sitepulse_model::terms::Term;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;

use crate::alert::signals::in_time::InTime;
use crate::app::App;
use crate::book::{Book, Check, CheckRevision, Filter, Revised};
use crate::policy::{self, Drawn};

/// A promise, what it covers now, and what became of it.
#[derive(Debug, Clone)]
pub struct Held {
    /// What it is about.
    pub promise: Promise,
    /// What became of it; or why that cannot be told, with the remedy.
    pub outcome: Result<Outcome, String>,
}

/// A promise and what it covers.
#[derive(Debug, Clone)]
pub struct Promise {
    /// As it was written, with its version.
    pub slo: Revised<Slo>,
    /// The checks that it covers in the period so far, by id; those that were retired in it too.
    pub checks: Vec<CheckId>,
    /// The checks and groups that it names and that nothing living answers to.
    pub missing: Vec<String>,
}

/// What became of a promise.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The policy's id, and its version in force.
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
    policy: String,
    version: u32,
    objective: Objective,
    period: Span,
    drawn: Drawn,
    members: Vec<Covered>,
}

/// A check that a promise covers.
#[derive(Debug, Clone, Copy)]
struct Covered {
    check: CheckNo,
    weight: Weight,
    lives: bool,
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
        for member in &case.members {
            let from = since.entry(member.check).or_insert(now);
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
        let ends = calendar::day_ends(promise.slo.body.zone.as_deref(), Span::new(case.period.from, now))?;
        let mut days = Vec::with_capacity(ends.len() + 1);
        for at in ends {
            days.push((at, opened(app, id, at).ok_or("the objective has just ended: list what there is")?.1?));
        }
        days.push((now, case));
        let mut evidence = Evidence::new();
        let since = days.iter().map(|(_, case)| case.period.from).min().unwrap_or(now);
        for member in days.iter().flat_map(|(_, case)| &case.members) {
            evidence.entry(member.check).or_insert_with(|| verdicts(app, member.check, since, now));
        }
        let day = |(at, case): (UtcMicros, Case)| {
            let terms = case.terms()?;
            let terms = Terms { objective: case.objective, terms: &terms };
            Ok(Day { at, budget: budget(&case.members(&evidence), &terms, case.period, at) })
        };
        let days = days.into_iter().map(day).collect::<Result<_, String>>()?;
        Ok((promise, days))
    }))
}

/// The verdicts of each check.
type Evidence = BTreeMap<CheckNo, Vec<VerdictSpan>>;

/// The promise as it was at an instant; before its first version, as that one says.
fn opened(app: &App, id: &str, at: UtcMicros) -> Option<(Promise, Result<Case, String>)> {
    let book = app.book();
    let slos = &book.objects().slos;
    slos.current(id)?;
    let versions = slos.versions(id);
    let revised = versions.iter().rfind(|revised| revised.effective_from <= at).or(versions.first())?;
    Some(open(&book, revised, at))
}

fn verdicts(app: &App, check: CheckNo, from: UtcMicros, now: UtcMicros) -> Vec<VerdictSpan> {
    app.book().verdicts(check, &Filter::All, Span::new(from, now)).unwrap_or_default()
}

fn judged(promise: Promise, case: Result<Case, String>, evidence: &Evidence, now: UtcMicros) -> Held {
    let outcome = case.and_then(|case| {
        let terms = case.terms()?;
        let terms = Terms { objective: case.objective, terms: &terms };
        let status = status(&case.members(evidence), &terms, case.period, now);
        Ok(Outcome { policy: (case.policy, case.version), objective: case.objective, period: case.period, status })
    });
    Held { promise, outcome }
}

/// Finds what a promise refers to, as it was at an instant.
fn open(book: &Book, revised: &Revised<Slo>, at: UtcMicros) -> (Promise, Result<Case, String>) {
    let slo = &revised.body;
    let period = period_at(slo, at);
    let from = period.as_ref().map_or(at, |period| period.from);
    // Burn rates may look back behind the period's start: what counted then alone adds nothing to the period.
    let mut covered: Vec<(&Check, &CheckRevision)> = book
        .checks()
        .filter(|check| check.revisions.iter().any(|revision| slo.covers(check.id.as_str(), group_of(revision))))
        .filter_map(|check| Some((check, counting(book, check, from.min(at.plus_us(-LOOK_BACK_US)), at)?)))
        .filter(|(check, revision)| slo.covers(check.id.as_str(), group_of(revision)))
        .collect();
    covered.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    let living: Vec<(&str, Option<&str>)> =
        covered.iter().filter_map(|(check, _)| Some((check.id.as_str(), group_of(check.current()?)))).collect();
    let checks = slo.checks.iter().filter(|name| !living.iter().any(|(id, _)| id == name));
    let groups = slo.groups.iter().filter(|name| !living.iter().any(|(_, group)| *group == Some(name.as_str())));
    let in_period = covered.iter().filter(|(check, _)| counting(book, check, from, at).is_some());
    let promise = Promise {
        slo: revised.clone(),
        checks: in_period.map(|(check, _)| check.id.clone()).collect(),
        missing: checks.chain(groups).cloned().collect(),
    };
    // A promise about one check is about that check, also where it does not count among others.
    let alone = slo.groups.is_empty() && slo.checks.len() == 1;
    let member = |(check, revision): &(&Check, &CheckRevision)| Covered {
        check: check.number,
        weight: if alone { Weight::ONE } else { revision.definition.weight },
        lives: check.at(at).is_some_and(|revision| !revision.retired),
    };
    let members = covered.iter().map(member).collect();
    let case = period.and_then(|period| {
        let policy = slo.policy.as_deref().unwrap_or(BUILT_IN);
        let versions = policy::versions(book.objects(), policy);
        if versions.last().is_none_or(|newest| newest.retired) {
            return Err(format!("there is no policy {policy:?}: apply a [[policy]] with that id, or name another"));
        }
        let in_force = versions.iter().rfind(|version| version.effective_from <= at).unwrap_or(&versions[0]);
        let within = Span::new(period.from.min(at.plus_us(-LOOK_BACK_US)), period.to.max(at.plus_us(period.us())));
        Ok(Case {
            objective: slo.objective().map_err(|error| error.to_string())?.unwrap_or(in_force.body.objective),
            drawn: Drawn::known(book, policy, within, at),
            policy: policy.to_owned(),
            version: in_force.version,
            period,
            members,
        })
    });
    (promise, case)
}

/// The revision by which a check counts from an instant to another.
fn counting<'b>(book: &Book, check: &'b Check, from: UtcMicros, to: UtcMicros) -> Option<&'b CheckRevision> {
    check.counting(book.period(check, Some(from), Some(to), to))
}

/// The group that a revision puts its check in.
fn group_of(revision: &CheckRevision) -> Option<&str> {
    revision.labels.group.as_ref().map(Group::as_str)
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
        self.members.iter().map(|member| (member.check, verdicts(app, member.check, from, now))).collect()
    }

    fn members<'e>(&self, evidence: &'e Evidence) -> Vec<Member<'e>> {
        let spans = |check: &CheckNo| evidence.get(check).map_or(&[][..], Vec::as_slice);
        let member = |one: &Covered| Member { weight: one.weight, spans: spans(&one.check), lives: one.lives };
        self.members.iter().map(member).collect()
    }

    fn terms(&self) -> Result<Arc<[Term]>, String> {
        self.drawn.clone().terms().map(|terms| terms.terms).map_err(|error| error.to_string())
    }
}

/// How fast a budget burns, as pairs of windows tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nothing that counts was measured.
    Unknown,
    /// No pair speaks.
    Calm,
    /// The 3 d pair speaks alone.
    Slow,
    /// The 1 h or the 6 h pair speaks.
    Fast,
}

/// Of a budget that burns too fast: by which windows, how fast, and what is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Burning {
    /// The long window, in hours.
    pub(crate) hours: u32,
    /// Times faster than evenly; `None` where the objective allows nothing.
    pub(crate) rate: Option<f64>,
    /// From which rate on the windows speak, in tenths.
    pub(crate) threshold_tenths: u64,
    /// The share of the period's budget that is left, below 0 where it is overdrawn; `None` where that was not looked at.
    pub(crate) left: Option<f64>,
}

/// Of so many checks at most it is looked what is left of the budget.
const BUDGET_CHECKS_MAX: usize = 32;
const HOUR_US: i64 = 3_600_000_000;

/// Whether a promise's budget burns too fast, found out check by check.
#[derive(Debug)]
pub(crate) struct Trial {
    case: Case,
    at: UtcMicros,
    evidence: Evidence,
    /// Of the checks that records came late of: what was told in time.
    told: Evidence,
    ahead: Vec<CheckNo>,
}

impl Trial {
    /// Of a living promise; `None` where there is none of this id.
    ///
    /// # Errors
    /// Why it cannot be told, with the remedy.
    pub(crate) fn of(book: &Book, id: &str, now: UtcMicros) -> Option<Result<Self, String>> {
        let revised = book.objects().slos.current(id)?;
        let case = open(book, revised, now).1;
        Some(case.map(|case| {
            let ahead = case.members.iter().map(|member| member.check).collect();
            Self { case, at: now, evidence: Evidence::new(), told: Evidence::new(), ahead }
        }))
    }

    /// Takes the evidence of one check in; whether that was all of them.
    pub(crate) fn step(&mut self, book: &Book, in_time: &InTime) -> bool {
        if let Some(check) = self.ahead.pop() {
            let recent = Span::new(self.at.plus_us(-LOOK_BACK_US), self.at);
            self.evidence.insert(check, book.verdicts(check, &Filter::All, recent).unwrap_or_default());
            if let Some(late) = in_time.of(check) {
                self.told.insert(check, book.verdicts_in_time(check, late, recent).unwrap_or_default());
            }
        }
        self.ahead.is_empty()
    }

    /// What the windows say: a pair speaks where it does by all that is known, and by what was known in time as well. Late data pages nobody; that it shows
    /// that things were better than they seemed is believed. The period's own figures are not asked for the pace: they need more evidence.
    ///
    /// # Errors
    /// When the policy's hours cannot be told.
    pub(crate) fn judge(mut self, book: &Book) -> Result<(Pace, Option<Burning>), String> {
        let terms = self.case.terms()?;
        let terms = Terms { objective: self.case.objective, terms: &terms };
        let recent = Span::new(self.at.plus_us(-LOOK_BACK_US), self.at);
        let burns = status(&self.case.members(&self.evidence), &terms, recent, self.at).burns;
        let mut told = burns;
        if !self.told.is_empty() {
            let late = std::mem::take(&mut self.told);
            let known = late
                .into_iter()
                .map(|(check, spans)| (check, std::mem::replace(self.evidence.entry(check).or_default(), spans)));
            let known: Evidence = known.collect();
            told = status(&self.case.members(&self.evidence), &terms, recent, self.at).burns;
            self.evidence.extend(known);
        }
        let speaks = |nth: usize| burns[nth].speaks() && told[nth].speaks();
        let Some(nth) = (0..burns.len()).find(|nth| speaks(*nth)) else {
            let blind = told.iter().all(|pair| pair.long.completeness.is_none_or(|share| share <= 0.0));
            return Ok((if blind { Pace::Unknown } else { Pace::Calm }, None));
        };
        let pair = &burns[nth];
        let hours = pair.long.window.us() / HOUR_US;
        let left = self.left(book, &terms);
        let burning = Burning {
            hours: u32::try_from(hours).unwrap_or(u32::MAX),
            rate: pair.long.rate.value,
            threshold_tenths: pair.threshold_tenths.unsigned_abs(),
            left,
        };
        // The first two pairs are a page, the last one is a ticket.
        Ok((if nth + 1 < burns.len() { Pace::Fast } else { Pace::Slow }, Some(burning)))
    }

    /// The share of the period's budget that is left; `None` where that takes the evidence of more than [`BUDGET_CHECKS_MAX`] checks: a page must not wait for it.
    fn left(&self, book: &Book, terms: &Terms<'_>) -> Option<f64> {
        let Self { case, at, .. } = self;
        if case.members.len() > BUDGET_CHECKS_MAX {
            return None;
        }
        let span = Span::new(case.evidence_from(*at), *at);
        let verdicts = |check: CheckNo| book.verdicts(check, &Filter::All, span).unwrap_or_default();
        let evidence = case.members.iter().map(|member| (member.check, verdicts(member.check))).collect();
        budget(&case.members(&evidence), terms, case.period, *at).value?.left_share()
    }
}
