//! Conditions that come out the same whatever is answered: `status >= 0`, `body matches /.*/`, `latency < 1h` where a run ends after ten seconds.
//!
//! Three outcomes: always true, never true, or it depends. Said is only what follows from the values that an operand can have in an answer that is judged at all, so every doubt is "it depends":
//!
//! - A number is inside a range: a status from 100 to 599 (RFC 9110, 15), a duration from 0 to as long as a run takes, a share from 0 to 100 %. Always true needs an operand
//!   that every answer has; never true holds of one that may be absent too, for an absent value makes the condition false.
//! - A regex that matches the empty text and looks at nothing around it (no `^`, `$`, `\b`) matches it at the start of anything; one that asks
//!   for the start alone, or for the end alone, matches it there.
//! - HTML always has an `html`, a `head` and a `body`: the parser makes them of nothing, as a browser does.

use regex::bytes::Regex;

use super::condition::{Comparison, Condition, Test, Value};
use super::operand::{Argument, Operand, Source};
use crate::check::REDIRECTS_MAX;
use crate::record::{FactKey, Phase};
use crate::vitals::Vital;

/// The values that an operand that is a number can have.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: i64,
    last: i64,
    /// Every answer that is judged has one.
    present: bool,
}

impl Condition {
    /// Whether it is true of every answer (`Some(true)`), of none (`Some(false)`), or depends on it.
    pub(super) fn always(&self, run_us_max: u64) -> Option<bool> {
        let positive = match &self.test {
            Test::Compare(comparison, Value::Integer(value)) => {
                return compared(&self.operand.range(run_us_max)?, *comparison, *value);
            }
            Test::In { negated, ranges } => return inside(&self.operand.range(run_us_max)?, ranges, *negated),
            // The parser takes no empty text.
            Test::Contains { .. } => false,
            Test::Matches { regex, .. } => self.operand.is_always_text() && matches_anything(regex),
            Test::Exists { .. } => self.operand.is_made_by_the_parser(),
            Test::Compare(_, Value::Bound(_) | Value::Number(_) | Value::Text(_) | Value::Flag(_) | Value::Null) => {
                false
            }
        };
        positive.then_some(!self.test.is_negated())
    }
}

impl Operand {
    /// Whether every answer that is judged has a text for it.
    fn is_always_text(&self) -> bool {
        self.row.source == Source::Body || self.is_made_by_the_parser()
    }

    /// Whether it names an element that the HTML parser makes of any text.
    fn is_made_by_the_parser(&self) -> bool {
        let Argument::Html(query) = &self.argument else { return false };
        ["html", "head", "body", "*"].iter().any(|name| query.is_element(name))
    }

    fn range(&self, run_us_max: u64) -> Option<Range> {
        let run_us_max = i64::try_from(run_us_max).unwrap_or(i64::MAX);
        let from_0 = |last: i64, present: bool| Some(Range { first: 0, last, present });
        match (self.row.source, &self.argument) {
            (Source::Status, _) => Some(Range { first: 100, last: 599, present: true }),
            (Source::Size, _) => from_0(i64::MAX, true),
            (Source::Latency, Argument::Phase(phase)) => from_0(run_us_max, *phase == Phase::Total),
            (Source::Loss, _) => from_0(1_000, false),
            (Source::Vital(vital), _) => from_0(vital_max(vital), false),
            (Source::Number { key: FactKey::Attempts, .. }, _) => {
                Some(Range { first: 1, last: i64::MAX, present: true })
            }
            (Source::Number { key: FactKey::Redirects, .. }, _) => from_0(i64::from(REDIRECTS_MAX), true),
            // Counts and durations, all of them: none is below 0. Those of answers to a DNS question are told with every answer.
            (Source::Number { key, .. }, _) => from_0(i64::MAX, key == FactKey::DnsAnswers),
            (
                Source::Body
                | Source::Latency
                | Source::Header
                | Source::Json
                | Source::Html
                | Source::Xml
                | Source::CertificateDays
                | Source::DomainDays
                | Source::Flag(_)
                | Source::Text(_),
                _,
            ) => None,
        }
    }
}

fn vital_max(vital: Vital) -> i64 {
    i64::try_from(vital.value_max()).unwrap_or(i64::MAX)
}

/// What becomes of a condition that is true of the first and of the last value of a range, with all between alike.
fn outcome(range: &Range, all: bool, none: bool) -> Option<bool> {
    match (all, none) {
        (true, _) => range.present.then_some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

fn compared(range: &Range, comparison: Comparison, value: i64) -> Option<bool> {
    let Range { first, last, .. } = *range;
    let outside = value < first || last < value;
    let (all, none) = match comparison {
        Comparison::Equal => (first == last && value == first, outside),
        Comparison::NotEqual => (outside, first == last && value == first),
        Comparison::Less => (last < value, first >= value),
        Comparison::AtMost => (last <= value, first > value),
        Comparison::Greater => (first > value, last <= value),
        Comparison::AtLeast => (first >= value, last < value),
    };
    outcome(range, all, none)
}

fn inside(range: &Range, ranges: &[(i64, i64)], negated: bool) -> Option<bool> {
    let mut sorted: alloc::vec::Vec<(i64, i64)> = ranges.to_vec();
    sorted.sort_unstable();
    // The first value that no range so far holds.
    let mut free = range.first;
    let mut touched = false;
    for (from, to) in sorted {
        touched |= from <= range.last && to >= range.first;
        if from <= free && to >= free {
            free = to.saturating_add(1);
        }
    }
    let covered = free > range.last;
    if negated { outcome(range, !touched, covered) } else { outcome(range, covered, !touched) }
}

/// Whether a regex matches somewhere in every text. Said only where that is plain; see the module.
fn matches_anything(regex: &Regex) -> bool {
    // Flags are part of what it was built with; they only make more match, but `x`, which is refused within and not offered without.
    let plain = |pattern: &str| {
        let looks = ['^', '$'].iter().any(|c| pattern.contains(*c))
            || ["\\b", "\\B", "\\A", "\\z", "\\<", "\\>", "\\G"].iter().any(|escape| pattern.contains(escape));
        !looks && Regex::new(pattern).is_ok_and(|regex| regex.is_match(b""))
    };
    let pattern = regex.as_str();
    let from_start = pattern.strip_prefix('^');
    let to_end = pattern.strip_suffix('$').filter(|rest| !rest.ends_with('\\'));
    plain(pattern) || from_start.is_some_and(plain) || to_end.is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::super::Expectation;

    const RUN_US: u64 = 10_000_000;

    fn always(kind: &str, text: &str) -> Option<bool> {
        Expectation::parse(text, kind).unwrap_or_else(|error| panic!("{error}")).always(RUN_US)
    }

    #[test]
    fn what_holds_whatever_is_answered() {
        for (kind, text) in [
            ("http", "status >= 0"),
            ("http", "status >= 100"),
            ("http", "status < 600"),
            ("http", "status != 0"),
            ("http", "status in 100..599"),
            ("http", "status in [300..599, 0..200, 201..299]"),
            ("http", "status not in 600..999"),
            ("http", "degraded if status < 1000"),
            ("http", "size >= 0"),
            ("http", "latency < 1h"),
            ("http", "latency <= 10s"),
            ("http", "latency >= 0us"),
            ("http", "attempts >= 1"),
            ("http", "redirects <= 10"),
            ("http", "body matches /.*/"),
            ("http", "body matches /(OK)?/"),
            ("http", "body matches /^/"),
            ("http", "body matches /^a*/"),
            ("http", "body matches /\\s*$/"),
            ("http", "body matches /x|/i"),
            ("http", "html 'body' exists"),
            ("http", "html ' HTML ' exists"),
            ("http", "html 'head' matches /.*/"),
            ("dns", "answers >= 0"),
        ] {
            assert_eq!(always(kind, text), Some(true), "{text}");
        }
    }

    #[test]
    fn what_never_holds() {
        for (kind, text) in [
            ("http", "status < 100"),
            ("http", "status == 700"),
            ("http", "degraded if status in 600..700"),
            ("http", "status not in 100..599"),
            ("http", "degraded if latency > 30s"),
            ("http", "degraded if latency.tls > 10s"),
            ("http", "down if size < 0"),
            ("http", "body not matches /.*/"),
            ("http", "html 'html' not exists"),
            ("http", "down if redirects > 10"),
            ("icmp", "down if loss > 100%"),
            ("icmp", "degraded if rtt < 0ms"),
            ("web_vitals", "degraded if cls > 2000"),
        ] {
            assert_eq!(always(kind, text), Some(false), "{text}");
        }
    }

    #[test]
    fn what_depends() {
        for (kind, text) in [
            ("http", "status in 200..399"),
            ("http", "status == 200"),
            ("http", "status != 500"),
            ("http", "status > 100"),
            ("http", "status in [100..300, 302..599]"),
            ("http", "size > 0"),
            ("http", "size < 10MB"),
            ("http", "latency < 9s"),
            ("http", "latency.tls >= 0ms"),
            ("http", "latency.tls < 1h"),
            ("http", "attempts == 1"),
            ("http", "header 'x' matches /.*/"),
            ("http", "header 'x' exists"),
            ("http", "json '$' exists"),
            ("http", "json '$.a' matches /.*/"),
            ("http", "body contains 'a'"),
            ("http", "body != ''"),
            ("http", "body matches /^$/"),
            ("http", "body matches /^.*$/"),
            ("http", "body matches /a\\$/"),
            ("http", "body matches /\\b/"),
            ("http", "body matches /.+/"),
            ("http", "html 'body p' exists"),
            ("http", "html 'body@class' exists"),
            ("http", "html 'title' exists"),
            ("http", "certificate.days > 0"),
            ("http", "tls.version == 'TLSv1.3'"),
            ("icmp", "loss < 100%"),
            ("icmp", "loss <= 100%"),
            ("dns", "answers >= 1"),
            ("dns", "dns.ad == true"),
            ("web_vitals", "lcp > good"),
            ("web_vitals", "lcp < 1h"),
        ] {
            assert_eq!(always(kind, text), None, "{text}");
        }
    }
}
