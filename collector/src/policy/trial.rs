//! What another version of a policy would have made of the last days: which figures differ, and by how much. It looks and changes nothing.
//!
//! Both versions count all of the period: the one in force now (the built-in policy where there is none yet), and the draft. What was reported stays as
//! it was, for a version counts from its own instant on; so this tells what to expect, not what will be rewritten.
//!
//! The book's guard is taken anew for each check. Limits: the [`CHECKS_MAX`] checks that weigh most, the last [`DAYS`] days.

use sitepulse_model::accounting::AccountingPolicy;
use sitepulse_model::id::CheckNo;
use sitepulse_model::service_hours::HoursError;
use sitepulse_model::terms::{Reckoned, Term};
use sitepulse_model::time::{Span, UtcMicros};

use super::built_in;
use crate::app::App;
use crate::book::Filter;
use crate::service_hours;

/// Over how many days versions are compared.
pub const DAYS: i64 = 30;
const DAY_US: i64 = 86_400 * 1_000_000;
/// Most checks that are counted twice.
pub const CHECKS_MAX: usize = 500;

/// Two versions side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The policy and version that counts now; `None` where the built-in one stands in for it.
    pub before: Option<u32>,
    /// The checks whose figures differ, the greatest loss first.
    pub differ: Vec<Differs>,
    /// How many checks come to the same.
    pub same: usize,
    /// How many were left out, for they weigh less.
    pub left_out: usize,
    /// The objectives that count by this policy, by id.
    pub slos: Vec<String>,
}

/// A check that two versions count differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Differs {
    /// Its id.
    pub check: String,
    /// As it counts now.
    pub before: Reckoned,
    /// By the draft.
    pub after: Reckoned,
}

/// Counts by both.
///
/// # Errors
/// When a zone is not in the time zone database.
pub fn trial(app: &App, draft: &AccountingPolicy, now: UtcMicros) -> Result<Trial, HoursError> {
    let period = Span::new(now.plus_us(-DAYS * DAY_US), now);
    let (known, slos, mut checks) = {
        let book = app.book();
        let known = book.objects().policies.current(&draft.id).cloned();
        let slos = book.objects().slos.living().filter(|(_, slo)| slo.body.policy.as_deref() == Some(&draft.id));
        let slos: Vec<String> = slos.map(|(id, _)| id.to_owned()).collect();
        let living = book.checks().filter_map(|check| {
            let weight = check.current()?.definition.weight;
            Some((std::cmp::Reverse(weight), check.id.to_string(), check.number))
        });
        let checks: Vec<(_, String, CheckNo)> = living.collect();
        (known, slos, checks)
    };
    checks.sort();
    let left_out = checks.len().saturating_sub(CHECKS_MAX);
    checks.truncate(CHECKS_MAX);
    let before = known.as_ref().map(|revised| revised.version);
    let before_terms = [term(&known.map_or_else(|| built_in().body, |revised| revised.body), period)?];
    let after_terms = [term(draft, period)?];
    let (mut differ, mut same) = (Vec::new(), 0);
    for (_, id, number) in checks {
        let spans = {
            let book = app.book();
            let Some(check) = book.check(number) else { continue };
            let lived = book.period(check, Some(period.from), Some(period.to), now);
            book.verdicts(number, &Filter::All, lived).unwrap_or_default()
        };
        let (was, is) = (Reckoned::of(&before_terms, &spans), Reckoned::of(&after_terms, &spans));
        let told = |one: &Reckoned| (one.counts.availability(), one.met(), one.budget().left_us);
        if told(&was) == told(&is) {
            same += 1;
        } else {
            differ.push(Differs { check: id, before: was, after: is });
        }
    }
    differ.sort_by(|a, b| a.change().total_cmp(&b.change()).then_with(|| a.check.cmp(&b.check)));
    Ok(Trial { before, differ, same, left_out, slos })
}

impl Differs {
    /// By how much the availability changes; 0 where either has none.
    pub fn change(&self) -> f64 {
        let (after, before) = (self.after.counts.availability(), self.before.counts.availability());
        after.zip(before).map_or(0.0, |(after, before)| after - before)
    }
}

fn term(policy: &AccountingPolicy, span: Span) -> Result<Term, HoursError> {
    let hours = policy.hours.as_ref().map(|hours| service_hours::expand(hours, span)).transpose()?;
    Ok(Term { span, version: 0, rules: policy.rules(), objective: policy.objective, hours })
}
