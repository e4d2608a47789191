//! Stored reports: figures that somebody was told, which can be made again to the same digits years later, or else it is known what changed since.
//!
//! A report keeps the terms it was counted by as they were, the service hours laid out in UTC: neither a newer time zone database nor a policy's next version changes
//! what is made again. Of the evidence it keeps digests alone (SHA-256), which tell whether something changed and of what kind: the verdicts, the definitions they were
//! judged by, the weights and suspensions that counted. The evidence itself is in the book, for ever.
//!
//! Verifying counts the present evidence by the kept terms. Where digits differ, amendments say which late data came since.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sitepulse_model::accounting::{Objective, Rules};
use sitepulse_model::control::Weight;
use sitepulse_model::sla::{Figures, Together};
use sitepulse_model::terms::{Reckoned, Term};
use sitepulse_model::time::{Span, UtcMicros, union};
use sitepulse_model::vote::VerdictSpan;

use crate::book::{Book, Check, Filter};
use crate::enrol::sha256;
use crate::policy::Terms;

/// A stored report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaReport {
    /// Its name: a slug.
    pub name: String,
    /// When it was made.
    pub made_us: i64,
    /// Who made it.
    pub author: String,
    /// The build that made it.
    pub build: String,
    /// The policy as it was asked for: `contract`, `contract@2`.
    pub policy: String,
    /// First instant.
    pub from_us: i64,
    /// First instant after.
    pub to_us: i64,
    /// What counted.
    pub terms: Vec<KeptTerm>,
    /// The checks, by id.
    pub checks: Vec<KeptCheck>,
}

/// A term as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTerm {
    /// The policy's version.
    pub version: u32,
    /// First instant.
    pub from_us: i64,
    /// First instant after.
    pub to_us: i64,
    /// How time counted.
    pub rules: Rules,
    /// What was promised.
    pub objective: Objective,
    /// The service hours in UTC, laid out by the time zone database of then; `None` is always.
    pub hours: Option<Vec<(i64, i64)>>,
}

/// A check as it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCheck {
    /// Its id.
    pub id: String,
    /// Its weight at the period's end, in thousandths.
    pub weight: u32,
    /// First instant of the period clipped to its life.
    pub from_us: i64,
    /// First instant after.
    pub to_us: i64,
    /// The figures.
    pub reckoned: Reckoned,
    /// What they were made of.
    pub digests: Digests,
    /// The check's newest amendment then; 0 is none.
    pub amendment: u64,
}

/// Digests of what figures are made of: SHA-256, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The verdicts of the period.
    pub verdicts: String,
    /// The definitions that were in force up to the period's end, as far as they decide verdicts.
    pub definitions: String,
    /// The weights and suspensions of agents that count in the period.
    pub control: String,
}

/// What of a stored report is no longer as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There is no such check any more.
    Gone,
    /// Records that came later: so many amendments.
    Amended(usize),
    /// The definitions that were in force then.
    Definitions,
    /// Weights or suspensions that count in the period: an agent brought its own later.
    Control,
    /// The verdicts, for another reason than those, or late data of which no amendment tells any more: they go with the hourly class.
    Verdicts,
    /// The figures, though all that they were made of is as it was: a build counts otherwise.
    Counting,
}

impl Change {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Amended(_) => "late_data",
            Self::Definitions => "definitions",
            Self::Control => "control",
            Self::Verdicts => "verdicts",
            Self::Counting => "counting",
        }
    }
}

/// A check of a report counted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its figures now; `None` where it is gone.
    pub now: Option<Reckoned>,
    /// Whether the digits are the same.
    pub same: bool,
    /// What changed since, whether it changed digits or not.
    pub changes: Vec<Change>,
}

impl KeptTerm {
    fn of(term: &Term) -> Self {
        let spans = |hours: &Vec<Span>| hours.iter().map(|hour| (hour.from.0, hour.to.0)).collect();
        Self {
            version: term.version,
            from_us: term.span.from.0,
            to_us: term.span.to.0,
            rules: term.rules,
            objective: term.objective,
            hours: term.hours.as_ref().map(spans),
        }
    }

    fn term(&self) -> Term {
        let span = |from: i64, to: i64| Span::new(UtcMicros(from), UtcMicros(to));
        Term {
            span: span(self.from_us, self.to_us),
            version: self.version,
            rules: self.rules,
            objective: self.objective,
            hours: self.hours.as_ref().map(|hours| hours.iter().map(|(from, to)| span(*from, *to)).collect()),
        }
    }
}

impl KeptCheck {
    fn span(&self) -> Span {
        Span::new(UtcMicros(self.from_us), UtcMicros(self.to_us))
    }

    fn of(book: &Book, check: &Check, terms: &[Term], span: Span, amendment: u64) -> Self {
        let spans = book.verdicts(check.number, &Filter::All, span).unwrap_or_default();
        let in_force = check.policies().iter().rev().find(|(from, _, _)| *from < span.to);
        Self {
            id: check.id.to_string(),
            weight: in_force.map_or(Weight::ONE, |(_, _, policy)| policy.weight).0,
            from_us: span.from.0,
            to_us: span.to.0,
            reckoned: Reckoned::of(terms, &spans),
            digests: Digests {
                verdicts: digest(&verdict_lines(&spans)),
                definitions: digest(&definition_lines(check, span.to)),
                control: digest(&control_lines(book, check, span)),
            },
            amendment,
        }
    }

    fn verify(&self, book: &Book, check: Option<&Check>, terms: &[Term], amendments: usize) -> Verified {
        let Some(check) = check else { return Verified { now: None, same: false, changes: vec![Change::Gone] } };
        let now = Self::of(book, check, terms, self.span(), 0);
        let same = now.reckoned.same_digits(&self.reckoned);
        let mut changes = Vec::new();
        if amendments > 0 {
            changes.push(Change::Amended(amendments));
        }
        if now.digests.definitions != self.digests.definitions {
            changes.push(Change::Definitions);
        }
        if now.digests.control != self.digests.control {
            changes.push(Change::Control);
        }
        if changes.is_empty() && now.digests.verdicts != self.digests.verdicts {
            changes.push(Change::Verdicts);
        }
        if changes.is_empty() && !same {
            changes.push(Change::Counting);
        }
        Verified { now: Some(now.reckoned), same, changes }
    }
}

impl SlaReport {
    /// Counts checks, each with the number of its newest amendment, over a period that was clipped to now.
    pub fn of(
        book: &Book,
        name: &str,
        checks: &[(&Check, u64)],
        terms: &Terms,
        period: Span,
        (author, now): (&str, UtcMicros),
    ) -> Self {
        let counted = checks.iter().map(|(check, amendment)| {
            let span = book.period(check, Some(period.from), Some(period.to), now);
            KeptCheck::of(book, check, &terms.terms, span, *amendment)
        });
        let mut counted: Vec<KeptCheck> = counted.collect();
        counted.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            name: name.to_owned(),
            made_us: now.0,
            author: author.to_owned(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            policy: terms.asked.to_string(),
            from_us: period.from.0,
            to_us: period.to.0,
            terms: terms.terms.iter().map(KeptTerm::of).collect(),
            checks: counted,
        }
    }

    /// Its period.
    pub fn period(&self) -> Span {
        Span::new(UtcMicros(self.from_us), UtcMicros(self.to_us))
    }

    /// What counted.
    pub fn terms(&self) -> Vec<Term> {
        self.terms.iter().map(KeptTerm::term).collect()
    }

    /// The means of the checks' figures, weighted by the checks' weights.
    pub fn together(&self) -> Together {
        let counted = |check: &KeptCheck| (Weight(check.weight), Figures::from(&check.reckoned.counts));
        Together::of(&self.checks.iter().map(counted).collect::<Vec<_>>())
    }

    /// Counts its checks again, in their order. `amendments` are how many of each are about its time and came since.
    pub fn verify(&self, book: &Book, amendments: &[usize]) -> Vec<Verified> {
        let terms = self.terms();
        let checks = self.checks.iter().zip(amendments.iter().copied().chain(std::iter::repeat(0)));
        checks.map(|(kept, amendments)| kept.verify(book, find(book, &kept.id), &terms, amendments)).collect()
    }

    /// Whether the policy's service hours, laid out by today's time zone database, fall on other instants than they did. Only what both laid out is compared:
    /// fresh terms begin with the oldest check of now, which may be older than the oldest of then.
    pub fn hours_moved(&self, fresh: &[Term]) -> bool {
        let within = |term: &Term, span: Span| {
            let hours = term.hours.as_ref()?;
            Some(union(hours.iter().map(|hour| hour.clip(span)).filter(|hour| !hour.is_empty()).collect()))
        };
        let moved = |kept: &Term, fresh: &Term| {
            let both = kept.span.clip(fresh.span);
            !both.is_empty() && within(kept, both) != within(fresh, both)
        };
        let elsewhere =
            |kept: &Term| fresh.iter().filter(|fresh| fresh.version == kept.version).any(|fresh| moved(kept, fresh));
        self.terms().iter().any(elsewhere)
    }
}

/// A check by its id.
pub fn find<'b>(book: &'b Book, id: &str) -> Option<&'b Check> {
    book.check_by_id(&sitepulse_model::id::CheckId::parse(id).ok()?)
}

fn digest(text: &str) -> String {
    sha256(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a text takes everything");
        hex
    })
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a text takes everything");
}

fn verdict_lines(spans: &[VerdictSpan]) -> String {
    let mut text = String::new();
    for span in spans {
        let (down, live) = span.share_down;
        let cause = span.unknown_cause.map_or("-", |cause| cause.as_str());
        line(&mut text, format_args!("{} {} {} {down}/{live} {cause}", span.span.from.0, span.span.to.0, span.verdict));
    }
    text
}

/// What of the definitions decides verdicts, up to an instant.
fn definition_lines(check: &Check, until: UtcMicros) -> String {
    let mut text = String::new();
    for revision in check.revisions.iter().filter(|revision| revision.effective_from < until) {
        let definition = &revision.definition;
        let regions = definition.regions.as_ref().map_or_else(
            || "*".to_owned(),
            |regions| regions.iter().map(|region| region.as_str()).collect::<Vec<_>>().join(","),
        );
        line(
            &mut text,
            format_args!(
                "{} {} {} {} {} {} {} {} {regions}",
                revision.effective_from.0,
                revision.revision.0,
                revision.retired,
                definition.interval_us,
                definition.timeout_us,
                definition.quorum,
                definition.confirmations,
                definition.recoveries,
            ),
        );
    }
    text
}

/// The weights and suspensions that count in a period.
fn control_lines(book: &Book, check: &Check, period: Span) -> String {
    let mut text = String::new();
    for agent in book.agents() {
        let weights = book.control().weights(agent.number, check.number);
        for (from, weight) in weights.iter().filter(|(from, _)| *from < period.to) {
            line(&mut text, format_args!("{} weight {} {}", agent.name, from.0, weight.0));
        }
        let suspended = book.control().suspended_spans(agent.number, check.number);
        for span in suspended.into_iter().map(|span| span.clip(period)).filter(|span| !span.is_empty()) {
            line(&mut text, format_args!("{} suspended {} {}", agent.name, span.from.0, span.to.0));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(from: i64, to: i64, hours: Option<&[(i64, i64)]>) -> Term {
        let span = |(from, to): (i64, i64)| Span::new(UtcMicros(from), UtcMicros(to));
        Term {
            span: span((from, to)),
            version: 1,
            rules: Rules::default(),
            objective: Objective(999_000),
            hours: hours.map(|hours| hours.iter().map(|hour| span(*hour)).collect()),
        }
    }

    fn report(terms: &[Term]) -> SlaReport {
        SlaReport {
            name: "november".into(),
            made_us: 1000,
            author: "collector:cli".into(),
            build: "0".into(),
            policy: "contract".into(),
            from_us: 0,
            to_us: 1000,
            terms: terms.iter().map(KeptTerm::of).collect(),
            checks: Vec::new(),
        }
    }

    #[test]
    fn an_older_check_that_came_later_is_not_blamed_on_the_time_zones() {
        // The oldest check was born at 400 when the report was made; one that was born at 150 was imported since.
        assert!(!report(&[term(400, 1000, None)]).hours_moved(&[term(150, 1000, None)]));
        let (kept, fresh) = ([(400, 450), (600, 700)], [(150, 170), (300, 450), (600, 700)]);
        let report = report(&[term(400, 1000, Some(&kept))]);
        assert!(!report.hours_moved(&[term(150, 1000, Some(&fresh))]));
        assert!(!report.hours_moved(&[]));
    }

    #[test]
    fn hours_that_fall_elsewhere_are_told() {
        let report = report(&[term(400, 1000, Some(&[(400, 450), (600, 700)]))]);
        assert!(report.hours_moved(&[term(150, 1000, Some(&[(300, 450), (610, 710)]))]));
        assert!(report.hours_moved(&[term(400, 1000, Some(&[(400, 450)]))]));
    }
}
