//! Which version of an accounting policy counts when, and what comes of it.
//!
//! A policy that is asked for by its id counts each instant by the version in force at that instant: a change applies from its own instant on and never rewrites the
//! past. Before its first version, and after its end, the policy says nothing: such time lies outside, as time outside the service hours does. One version by its
//! number counts the whole period as it says, also time before it was in force.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::accounting::{Budget, Objective, Reckoning, Rules, cut};
use crate::time::Span;
use crate::vote::VerdictSpan;

/// A stretch of time counted by one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// When.
    pub span: Span,
    /// The version.
    pub version: u32,
    /// How each kind of time counts.
    pub rules: Rules,
    /// What was promised.
    pub objective: Objective,
    /// The service hours in it as spans of UTC, in order, apart from each other; `None` is always.
    pub hours: Option<Vec<Span>>,
}

/// How one term counts some verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The term, by its place; `None` is time without one.
    pub term: Option<usize>,
    /// What it counts.
    pub counts: Reckoning,
}

/// What verdicts come to under terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Reckoned {
    /// The time as it is counted.
    pub counts: Reckoning,
    /// What the objectives allow to be bad, in millionths of a microsecond.
    allowed: i128,
}

impl Reckoned {
    /// Counts verdicts, in their order, by terms, which are in order and do not overlap.
    pub fn of(terms: &[Term], spans: &[VerdictSpan]) -> Self {
        let mut sum = Self::default();
        for share in shares(terms, spans) {
            if let Some(term) = share.term {
                sum.allowed += i128::from(share.counts.counted_us) * i128::from(terms[term].objective.allowed());
            }
            sum.counts += share.counts;
        }
        sum
    }

    /// Whether they are the same digits. What a build that did not tell causes has kept is compared without them.
    pub fn same_digits(&self, other: &Self) -> bool {
        if self.counts.causes().is_some() && other.counts.causes().is_some() {
            return self == other;
        }
        let bare = |one: &Self| Self { counts: one.counts.without_causes(), ..*one };
        bare(self) == bare(other)
    }

    /// The error budget: what the objectives allow to be bad in the time that counts, and what is left of it.
    pub const fn budget(&self) -> Budget {
        let allowed_us = (self.allowed / 1_000_000) as i64;
        Budget { allowed_us, left_us: allowed_us - self.counts.bad_us() }
    }

    /// Whether no more was bad than the objectives allow; `None` where nothing counts.
    pub const fn met(&self) -> Option<bool> {
        if self.counts.counted_us == 0 {
            return None;
        }
        let (bad_us, billionths) = self.counts.bad_exactly();
        // In millionths; what is left of a microsecond below a millionth is more than nothing.
        let bad = bad_us as i128 * 1_000_000 + (billionths as i128 + 999) / 1_000;
        Some(bad <= self.allowed)
    }
}

/// The same as it is kept: exactly, in numbers that every reader of JSON has.
#[derive(Serialize, Deserialize)]
struct Kept {
    counts: Reckoning,
    /// Whole microseconds, and millionths of one.
    allowed: (i64, i64),
}

impl From<Kept> for Reckoned {
    fn from(kept: Kept) -> Self {
        let (us, millionths) = kept.allowed;
        Self { counts: kept.counts, allowed: i128::from(us) * 1_000_000 + i128::from(millionths) }
    }
}

impl From<Reckoned> for Kept {
    fn from(reckoned: Reckoned) -> Self {
        let allowed = ((reckoned.allowed / 1_000_000) as i64, (reckoned.allowed % 1_000_000) as i64);
        Self { counts: reckoned.counts, allowed }
    }
}

/// How each term counts verdicts, in order; time without a term stands last. They add up to [`Reckoned::of`].
pub fn shares(terms: &[Term], spans: &[VerdictSpan]) -> Vec<Share> {
    let mut out = Vec::new();
    let mut bare: i64 = spans.iter().map(|span| span.span.us()).sum();
    for (place, term) in terms.iter().enumerate() {
        let inside = cut(spans, term.span);
        let Some((first, last)) = inside.first().zip(inside.last()) else { continue };
        let within = Span::new(first.span.from, last.span.to);
        let counts = Reckoning::of(&inside, &term.rules, term.hours.as_deref().map(|hours| near(hours, within)));
        bare -= counts.period_us();
        out.push(Share { term: Some(place), counts });
    }
    if bare > 0 {
        out.push(Share { term: None, counts: Reckoning::outside(bare) });
    }
    out
}

/// The spans, which are in order and apart from each other, that have to do with `within`.
fn near(spans: &[Span], within: Span) -> &[Span] {
    let (first, end) =
        (spans.partition_point(|span| span.to <= within.from), spans.partition_point(|span| span.from < within.to));
    &spans[first..end.max(first)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Counting;
    use crate::time::UtcMicros;
    use crate::vote::Verdict;

    fn verdict(from: i64, to: i64, verdict: Verdict) -> VerdictSpan {
        let share_down = if verdict == Verdict::Down { (1, 1) } else { (0, 1) };
        let span = Span::new(UtcMicros(from), UtcMicros(to));
        VerdictSpan { span, verdict, share_down, unknown_cause: None, quorum_reduced: false }
    }

    fn term(from: i64, to: i64, version: u32, unknown: Counting, objective: &str) -> Term {
        Term {
            span: Span::new(UtcMicros(from), UtcMicros(to)),
            version,
            rules: Rules { unknown, ..Rules::default() },
            objective: Objective::parse(objective).unwrap(),
            hours: None,
        }
    }

    #[test]
    fn each_version_counts_its_own_time() {
        let spans =
            [verdict(0, 500, Verdict::Up), verdict(500, 900, Verdict::Unknown), verdict(900, 1000, Verdict::Down)];
        let terms = [term(100, 600, 1, Counting::Excluded, "90%"), term(600, 2000, 2, Counting::Down, "50%")];
        let told = shares(&terms, &spans);
        let got: Vec<_> = told
            .iter()
            .map(|share| {
                let counts = share.counts;
                (share.term, counts.counted_us, counts.bad_us(), counts.excluded_us, counts.outside_us)
            })
            .collect();
        assert_eq!(got, [(Some(0), 400, 0, 100, 0), (Some(1), 400, 400, 0, 0), (None, 0, 0, 0, 100)]);
        let sum = Reckoned::of(&terms, &spans);
        assert_eq!((sum.counts.counted_us, sum.counts.period_us()), (800, 1000));
        assert_eq!(sum.budget(), Budget { allowed_us: 40 + 200, left_us: 240 - 400 });
        assert_eq!(sum.met(), Some(false));
        assert_eq!(Reckoned::of(&[], &spans).met(), None);
        let kept = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Reckoned>(&kept).unwrap(), sum, "{kept}");
    }

    #[test]
    fn what_a_build_without_causes_kept_is_read_and_is_the_same_digits() {
        let spans = [verdict(0, 600, Verdict::Up), verdict(600, 1000, Verdict::Unknown)];
        let now = Reckoned::of(&[term(0, 1000, 1, Counting::Excluded, "90%")], &spans);
        let kept = r#"{"counts":{"counted_us":600,"bad":[0,0],"bad_weighted":[0,0],"excluded_us":400,"outside_us":0,
            "unknown_us":400,"unknown_counted_us":0,"unknown_down_us":0},"allowed":[60,0]}"#;
        let old: Reckoned = serde_json::from_str(kept).unwrap();
        assert_eq!((old.counts.causes(), old.counts.unknown_shares()), (None, None));
        assert!(old.same_digits(&now) && now.same_digits(&old));
        assert_ne!(old, now);
        let other = Reckoned::of(&[term(0, 1000, 1, Counting::Down, "90%")], &spans);
        assert!(!old.same_digits(&other));
        // Where both tell causes, those are digits too.
        let mut moved = spans;
        moved[1].unknown_cause = Some(crate::timeline::UnknownCause::Shed);
        let moved = Reckoned::of(&[term(0, 1000, 1, Counting::Excluded, "90%")], &moved);
        assert!(!now.same_digits(&moved) && old.same_digits(&moved));
    }

    #[test]
    fn a_promise_is_met_to_the_millionth() {
        let spans = [verdict(0, 999, Verdict::Up), verdict(999, 1000, Verdict::Down)];
        let met = |objective| Reckoned::of(&[term(0, 1000, 1, Counting::Excluded, objective)], &spans).met();
        assert_eq!((met("99.9%"), met("99.9001%")), (Some(true), Some(false)));
    }
}
