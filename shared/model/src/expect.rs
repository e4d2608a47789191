//! The assertion language: what an answer must satisfy.
//!
//! ```text
//! assertion = condition                  hard: broken means down
//!           | "degraded if" condition    soft: met means degraded
//!           | "down if" condition        hard, told the other way round: met means down
//! condition = operand test
//! operand   = status | body | size | latency | latency.PHASE | certificate.days | header 'NAME' | json '$.PATH' | ...
//! test      = == X | != X | < X | <= X | > X | >= X          numbers, sizes, durations, percentages; == and != also for the rest
//!           | < good | <= good | > good | >= good | < poor | ...        vitals, against the thresholds of the profile
//!           | [not] in 200..399 | [not] in [200, 204, 301..308]    whole numbers; both ends of a range are inside
//!           | [not] contains 'TEXT' | [not] matches /REGEX/[i]     text
//!           | [not] exists                                         header, json, html, xml
//! ```
//!
//! `PHASE` is `dns`, `connect`, `tls`, `send`, `first_byte`, `transfer` or `total`; `latency` alone is `latency.total`. Durations
//! are `250us`, `800ms`, `2s`, `1.5s`, `1m`; sizes `512` or `512B`, `10KB`, `1MB`, `1MiB`. Text stands in `'...'` or `"..."`, with `\\`, `\'`,
//! `\"`, `\n` and `\t`. A regex stands in `/.../` (`\/` is a slash), takes linear time and is bounded in size.
//!
//! What an operand is (its type), where its value comes from and which kinds of check offer it stands in one table, `operand::TABLE`; a
//! test is checked against the type when it is parsed, so evaluation meets no type errors.
//!
//! An operand without a value (no TLS handshake, no such header) makes every condition false, except that absent text does
//! not contain, match, equal or exist. So `latency.tls < 1s` is broken over plain HTTP, and `degraded if latency.tls > 1s` is not met.
//! A body that is no JSON or XML makes every condition on `json` or `xml` false, negated or not.
//!
//! Where an operand has several values (`answer`, a JSON path with wildcards), a positive test holds if it does for any of them, a
//! negated one if for none.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::record::{Facts, Phase, Phases, ProbeState};
use crate::time::UtcMicros;
use crate::vitals::profile::Thresholds;

mod always;
mod condition;
mod document;
mod extract;
mod html;
mod lexer;
mod operand;
mod parse;
mod pool;
mod query;
mod selector;

use document::View;
use operand::Source;

pub use condition::{Bound, Comparison, Condition, Test, Value};
pub use extract::{EXTRACT_BYTES_MAX, Extractor};
pub use operand::{Operand, Type};
pub use pool::Pool;

/// Longest text of an assertion, in bytes.
pub const EXPECTATION_BYTES_MAX: usize = 1000;

/// What an assertion does to the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The condition must hold, or the run is down.
    Hard,
    /// The condition must not hold, or the run is down.
    DownIf,
    /// The condition must not hold, or the run is degraded.
    DegradedIf,
}

/// An assertion, parsed. It prints as it was written; two are equal when they were written alike. A clone is the same one: see [`Pool`].
#[derive(Debug, Clone)]
pub struct Expectation(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    source: Box<str>,
    rule: Rule,
    condition: Condition,
}

impl PartialEq for Expectation {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Expectation {}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.source)
    }
}

/// Why a text is no assertion. Prints the text with a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectError {
    /// The text as given.
    pub text: String,
    /// Where, counted in characters from 1; one past the end when something is missing there.
    pub column: usize,
    /// What is wrong there, with the remedy.
    pub message: String,
}

impl fmt::Display for ExpectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Control characters would break the caret line apart.
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = self.column.saturating_sub(1);
        write!(f, "column {}: {}\n  {line}\n  {:indent$}^", self.column, self.message, "")
    }
}

impl core::error::Error for ExpectError {}

impl Expectation {
    /// Parses an assertion for a kind of check, named as [`crate::check::CheckKind::as_str`] does.
    pub fn parse(text: &str, kind: &str) -> Result<Self, ExpectError> {
        let (rule, condition) = parse::expectation(text, kind)?;
        Ok(Self(Arc::new(Parsed { source: text.into(), rule, condition })))
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What it does to the outcome.
    pub fn rule(&self) -> Rule {
        self.0.rule
    }

    /// What it looks at.
    pub fn condition(&self) -> &Condition {
        &self.0.condition
    }

    /// How long a whole run may take without a word from it, in microseconds: the bound of `latency < X`, or of `degraded if latency > X`. `None` where it says nothing
    /// of that.
    pub fn latency_limit_us(&self) -> Option<u64> {
        let Condition { operand, test } = &self.0.condition;
        let whole = matches!(operand.argument, operand::Argument::Phase(Phase::Total));
        let (Source::Latency, true, Test::Compare(comparison, Value::Integer(us))) = (operand.row.source, whole, test)
        else {
            return None;
        };
        let limits = match (self.0.rule, comparison) {
            (Rule::Hard, Comparison::Less | Comparison::AtMost)
            | (Rule::DownIf | Rule::DegradedIf, Comparison::Greater | Comparison::AtLeast) => true,
            (Rule::Hard, Comparison::Equal | Comparison::NotEqual | Comparison::Greater | Comparison::AtLeast)
            | (
                Rule::DownIf | Rule::DegradedIf,
                Comparison::Equal | Comparison::NotEqual | Comparison::Less | Comparison::AtMost,
            ) => false,
        };
        u64::try_from(*us).ok().filter(|us| limits && *us > 0)
    }

    #[cfg(test)]
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether its condition comes out the same whatever is answered, and how; `None` where it depends. A run of its check takes `run_us_max` at most.
    pub fn always(&self, run_us_max: u64) -> Option<bool> {
        self.0.condition.always(run_us_max)
    }

    /// The phase that a run of `kind` failed in where this assertion is broken; [`Phase::Total`] where it is about the run as a whole.
    pub fn phase(&self, kind: &str) -> Phase {
        self.0.condition.operand.phase(kind)
    }

    fn is_about_body(&self) -> bool {
        self.0.condition.operand.reads_body() || self.0.condition.operand.row.source == Source::Size
    }
}

/// Response headers, however the prober keeps them.
pub trait Headers {
    /// The value of a header by its name in any case; several lines of one name are joined with `", "`.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// No headers at all.
impl Headers for () {
    fn value(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// Name and value pairs.
impl<N: AsRef<str>, V: AsRef<str>> Headers for Vec<(N, V)> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut lines =
            self.iter().filter(|(key, _)| key.as_ref().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref());
        let mut joined = Cow::Borrowed(lines.next()?);
        for line in lines {
            joined = Cow::Owned(alloc::format!("{joined}, {line}"));
        }
        Some(joined)
    }
}

/// What a run saw of an answer.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// What the protocol told.
    pub facts: &'a Facts,
    /// The decoded body as far as it was kept; may be empty when [`needs_body`] says that nobody looks.
    pub body: &'a [u8],
    /// Decoded body bytes received.
    pub body_bytes: u64,
    /// The body went on after what was received: its true size is not known.
    pub body_truncated: bool,
    /// Response headers.
    pub headers: &'a dyn Headers,
    /// Measured phases.
    pub phases: Phases,
    /// When the run took place.
    pub now: UtcMicros,
    /// What `good` and `poor` are of a vital, by the profile that the page was measured on; `None`: the defaults.
    pub thresholds: Option<&'a Thresholds>,
}

/// The assertion that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its index in the list given to [`evaluate`].
    pub index: usize,
    /// Why, for people: `status 503 is not in 200..399`.
    pub explanation: String,
}

/// What a list of assertions says of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// [`ProbeState::Up`], [`ProbeState::Degraded`] or [`ProbeState::Down`].
    pub state: ProbeState,
    /// The first assertion that led to this state; `None` exactly when up.
    pub broken: Option<Broken>,
}

/// The status that an `http` check expects when its author names none.
pub const HTTP_STATUS_DEFAULT: &str = "status in 200..399";

/// An own assertion of a kind, and the operands of the author that take its place. A kind may have several.
struct KindDefault {
    kind: &'static str,
    assertion: &'static str,
    replaced_by: &'static [&'static str],
}

const DEFAULTS: [KindDefault; 9] = [
    KindDefault { kind: "http", assertion: HTTP_STATUS_DEFAULT, replaced_by: &["status"] },
    KindDefault { kind: "dns", assertion: "answers >= 1", replaced_by: &["answers", "answer", "dns.rcode"] },
    KindDefault { kind: "tls", assertion: "degraded if certificate.days < 14", replaced_by: &["certificate.days"] },
    KindDefault { kind: "domain", assertion: "degraded if domain.days < 30", replaced_by: &["domain.days"] },
    KindDefault { kind: "icmp", assertion: "loss < 100%", replaced_by: &["loss", "received"] },
    KindDefault { kind: "grpc", assertion: "grpc.status == 'SERVING'", replaced_by: &["grpc.status"] },
    KindDefault { kind: "web_vitals", assertion: "degraded if lcp > poor", replaced_by: &["lcp"] },
    KindDefault { kind: "web_vitals", assertion: "degraded if cls > poor", replaced_by: &["cls"] },
    KindDefault { kind: "web_vitals", assertion: "degraded if inp > poor", replaced_by: &["inp"] },
];

/// The list that runs are judged by: the author's, with the kind's defaults in front, each where the author gave nothing in its place.
///
/// A soft assertion takes the place of a soft default alone: `degraded if status == 404` does not make a 503 good.
/// Indexes of an [`Outcome`] then point into the list returned here.
pub fn with_defaults(kind: &str, list: &[Expectation]) -> Vec<Expectation> {
    Pool::default().with_defaults(kind, list)
}

/// The kind's own assertions, where the author gave nothing in their place.
fn defaults_for<'l>(kind: &'l str, list: &'l [Expectation]) -> impl Iterator<Item = &'static str> + 'l {
    DEFAULTS.iter().filter(move |default| default.kind == kind).filter_map(move |default| {
        let is_soft = default.assertion.starts_with("degraded if");
        let replaced = list.iter().any(|expectation| {
            default.replaced_by.contains(&expectation.0.condition.operand.name())
                && (is_soft || expectation.0.rule != Rule::DegradedIf)
        });
        (!replaced).then_some(default.assertion)
    })
}

/// Whether some assertion looks into the body, so that it must be kept.
pub fn needs_body(list: &[Expectation]) -> bool {
    list.iter().any(|expectation| expectation.0.condition.operand.reads_body())
}

/// Whether some assertion, hard or soft, is about what the peer sends (its content or its size): then `tcp`, `udp` and `websocket`
/// read, see [`body_lacks`].
pub fn asserts_body(list: &[Expectation]) -> bool {
    list.iter().any(Expectation::is_about_body)
}

/// Which assertion on the body more is to be read for, by its index: where `tcp`, `udp` and `websocket` go on reading. `None`: what came so far
/// is enough to judge by.
///
/// It is when something came and every hard assertion on the body holds; or when one of them is lost whatever follows, as
/// `body not contains 'ERROR'` is once that came. Soft ones are not waited for. It looks through the whole body: call it for each read,
/// not for each byte.
pub fn body_lacks(list: &[Expectation], body: &[u8]) -> Option<usize> {
    if body.is_empty() {
        return list.iter().position(Expectation::is_about_body);
    }
    let facts = Facts::default();
    let observed = Observed {
        facts: &facts,
        body,
        body_bytes: body.len() as u64,
        body_truncated: false,
        headers: &(),
        phases: Phases::default(),
        now: UtcMicros(0),
        thresholds: None,
    };
    let view = View::new(&observed);
    let mut lacks = None;
    for (index, expectation) in list.iter().enumerate().filter(|(_, expectation)| expectation.is_about_body()) {
        let holds = expectation.0.condition.holds(&view);
        let good = match expectation.0.rule {
            Rule::Hard => holds,
            Rule::DownIf => !holds,
            Rule::DegradedIf => continue,
        };
        if good {
            continue;
        }
        let found_for_good = expectation.0.condition.operand.row.source == Source::Body
            && matches!(expectation.0.condition.test, Test::Contains { negated, .. }
                if negated == (expectation.0.rule == Rule::Hard));
        if found_for_good {
            return None;
        }
        lacks = lacks.or(Some(index));
    }
    lacks
}

/// Judges an answer: down when a hard assertion is broken, else degraded when a soft one is met, else up.
pub fn evaluate(list: &[Expectation], observed: &Observed<'_>) -> Outcome {
    let view = View::new(observed);
    let mut degraded = None;
    for (index, expectation) in list.iter().enumerate() {
        let holds = expectation.0.condition.holds(&view);
        let (bad, state) = match expectation.0.rule {
            Rule::Hard => (!holds, ProbeState::Down),
            Rule::DownIf => (holds, ProbeState::Down),
            Rule::DegradedIf => (holds, ProbeState::Degraded),
        };
        if !bad || (state == ProbeState::Degraded && degraded.is_some()) {
            continue;
        }
        let broken = Some(Broken { index, explanation: expectation.0.condition.explain(&view, holds) });
        if state == ProbeState::Down {
            return Outcome { state, broken };
        }
        degraded = broken;
    }
    let state = if degraded.is_some() { ProbeState::Degraded } else { ProbeState::Up };
    Outcome { state, broken: degraded }
}

#[cfg(test)]
mod tests;
