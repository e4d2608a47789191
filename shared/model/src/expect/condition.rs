//! Conditions: an operand, a test of the operand's type, and how they are evaluated and explained.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use regex::bytes::Regex;

use super::Observed;
use crate::record::Phase;

/// What a condition looks at.
///
/// A new operand is a variant here, its line in [`Operand::value_type`], [`Operand::kinds`] and `value`, and its
/// name in the parser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// `status`: the answer's status code.
    Status,
    /// `body`: the decoded body, as far as it was received.
    Body,
    /// `size`: decoded body bytes.
    Size,
    /// `latency`, `latency.first_byte`, ...: a phase's duration.
    Latency(Phase),
    /// `certificate.days`: whole days until the leaf certificate expires, rounded down; negative once expired.
    CertificateDays,
    /// `header 'name'`: a response header, the name in lower case.
    Header(String),
}

/// The type of an operand: decides which tests and which units it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A whole number.
    Number,
    /// Bytes.
    Size,
    /// Microseconds.
    Duration,
    /// Text, as bytes.
    Text,
}

impl Type {
    /// The type for people, with an example.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Number => "a whole number, as in 200",
            Self::Size => "a size, as in 1MB",
            Self::Duration => "a duration, as in 800ms",
            Self::Text => "text in quotes, as in 'Welcome'",
        }
    }

    /// The tests that fit, for people.
    pub const fn tests(self) -> &'static str {
        match self {
            Self::Number => "\"==\", \"!=\", \"<\", \"<=\", \">\", \">=\", \"in\" or \"not in\"",
            Self::Size | Self::Duration => "\"==\", \"!=\", \"<\", \"<=\", \">\" or \">=\"",
            Self::Text => "\"==\", \"!=\", \"contains\", \"not contains\", \"matches\" or \"not matches\"",
        }
    }
}

impl Operand {
    /// Its type.
    pub const fn value_type(&self) -> Type {
        match self {
            Self::Status | Self::CertificateDays => Type::Number,
            Self::Size => Type::Size,
            Self::Latency(_) => Type::Duration,
            Self::Body | Self::Header(_) => Type::Text,
        }
    }

    /// The kinds of check that offer it.
    pub const fn kinds(&self) -> &'static [&'static str] {
        match self {
            Self::Status | Self::Body | Self::Size | Self::Latency(_) | Self::CertificateDays | Self::Header(_) => {
                &["http"]
            }
        }
    }

    /// Its value in an answer, `None` where there is none.
    fn value<'a>(&self, observed: &Observed<'a>) -> Option<Actual<'a>> {
        match self {
            Self::Status => observed.facts.status.map(|status| Actual::Integer(i64::from(status))),
            Self::Body => Some(Actual::Text(Cow::Borrowed(observed.body))),
            Self::Size => Some(Actual::Integer(i64::try_from(observed.body_bytes).unwrap_or(i64::MAX))),
            Self::Latency(phase) => {
                let us = observed.phases.get(*phase);
                us.map(|us| Actual::Integer(i64::try_from(us).unwrap_or(i64::MAX)))
            }
            Self::CertificateDays => observed
                .facts
                .certificate_expires
                .map(|expires| Actual::Integer(expires.us_since(observed.now).div_euclid(DAY_US))),
            Self::Header(name) => observed.headers.value(name).map(|value| {
                Actual::Text(match value {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                })
            }),
        }
    }
}

const DAY_US: i64 = 86_400 * 1_000_000;

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Body => f.write_str("body"),
            Self::Size => f.write_str("size"),
            Self::Latency(Phase::Total) => f.write_str("latency"),
            Self::Latency(phase) => write!(f, "latency.{phase}"),
            Self::CertificateDays => f.write_str("certificate.days"),
            Self::Header(name) => write!(f, "header '{name}'"),
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Its sign in the language.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    fn test<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// The value that an operand is compared with, in the operand's unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, bytes or microseconds.
    Integer(i64),
    /// Text.
    Text(String),
}

/// What is asked of an operand.
#[derive(Debug, Clone)]
pub enum Test {
    /// A comparison with one value.
    Compare(Comparison, Value),
    /// Inside one of some ranges, both ends included.
    In {
        /// Asks for the opposite.
        negated: bool,
        /// First and last of each range.
        ranges: Vec<(i64, i64)>,
    },
    /// Contains a text.
    Contains {
        /// Asks for the opposite.
        negated: bool,
        /// The text.
        text: String,
    },
    /// Matches a regex somewhere.
    Matches {
        /// Asks for the opposite.
        negated: bool,
        /// The regex.
        regex: Regex,
    },
}

/// An operand with what is asked of it; the parser sees to it that the types fit.
#[derive(Debug, Clone)]
pub struct Condition {
    /// What is looked at.
    pub operand: Operand,
    /// What is asked.
    pub test: Test,
}

/// A value as found in an answer.
enum Actual<'a> {
    Integer(i64),
    Text(Cow<'a, [u8]>),
}

impl Condition {
    /// Whether the condition is true of an answer.
    ///
    /// A truncated body's size is at least what was received, and nothing below that bound is claimed: `size < 10MB` and `size == X`
    /// are false, `size > 1KB` is true once that much came. Text is looked for in what was received.
    pub fn holds(&self, observed: &Observed<'_>) -> bool {
        let Some(actual) = self.operand.value(observed) else {
            return self.operand.value_type() == Type::Text && self.is_negated();
        };
        let open_ended = self.operand == Operand::Size && observed.body_truncated;
        match (&self.test, &actual) {
            (Test::Compare(Comparison::Less | Comparison::AtMost | Comparison::Equal, _), _) if open_ended => false,
            (Test::Compare(comparison, Value::Integer(right)), Actual::Integer(left)) => {
                // `>` and `!=` on an open-ended size ask for more than what came.
                let comparison =
                    if open_ended && *comparison == Comparison::NotEqual { Comparison::Greater } else { *comparison };
                comparison.test(left, right)
            }
            (Test::Compare(comparison, Value::Text(right)), Actual::Text(left)) => {
                comparison.test(left.as_ref(), right.as_bytes())
            }
            (Test::In { negated, ranges }, Actual::Integer(value)) => {
                ranges.iter().any(|(first, last)| first <= value && value <= last) != *negated
            }
            (Test::Contains { negated, text }, Actual::Text(value)) => contains(value, text.as_bytes()) != *negated,
            (Test::Matches { negated, regex }, Actual::Text(value)) => regex.is_match(value) != *negated,
            (
                Test::Compare(..) | Test::In { .. } | Test::Contains { .. } | Test::Matches { .. },
                Actual::Integer(_) | Actual::Text(_),
            ) => {
                debug_assert!(false, "the parser let a test pass that does not fit its operand");
                false
            }
        }
    }

    fn is_negated(&self) -> bool {
        match &self.test {
            Test::Compare(comparison, _) => *comparison == Comparison::NotEqual,
            Test::In { negated, .. } | Test::Contains { negated, .. } | Test::Matches { negated, .. } => *negated,
        }
    }

    /// Says what was found, given whether the condition holds: `status 503 is not in 200..399`.
    pub(super) fn explain(&self, observed: &Observed<'_>, holds: bool) -> String {
        let operand = &self.operand;
        let Some(actual) = operand.value(observed) else {
            return match operand {
                Operand::Header(_) => alloc::format!("{operand} is absent"),
                Operand::CertificateDays => alloc::format!("{operand}: the answer came without a certificate"),
                Operand::Status | Operand::Body | Operand::Size | Operand::Latency(_) => {
                    alloc::format!("{operand} was not measured")
                }
            };
        };
        let subject = match (operand, &actual) {
            (Operand::Body, _) if observed.body_truncated => {
                alloc::format!("body (cut after {} bytes)", observed.body_bytes)
            }
            (Operand::Body, _) => operand.to_string(),
            (Operand::Size, _) if observed.body_truncated => {
                alloc::format!("size of at least {} bytes (body cut)", observed.body_bytes)
            }
            (_, Actual::Integer(value)) => alloc::format!("{operand} {}", Shown(operand.value_type(), *value)),
            (_, Actual::Text(value)) => alloc::format!("{operand} {}", quoted(&String::from_utf8_lossy(value))),
        };
        // "is not 200" reads better than "is == 200 is false": tell what is true of the value.
        let says = |plain: &str, negative: &str, negated: bool| {
            if holds == negated { String::from(negative) } else { String::from(plain) }
        };
        let value_type = operand.value_type();
        match &self.test {
            Test::Compare(comparison, value) => {
                let value = match value {
                    Value::Integer(value) => Shown(value_type, *value).to_string(),
                    Value::Text(text) => quoted(text),
                };
                let relation = match comparison {
                    Comparison::Equal => says("is", "is not", false),
                    Comparison::NotEqual => says("is", "is not", true),
                    Comparison::Less | Comparison::AtMost | Comparison::Greater | Comparison::AtLeast => {
                        alloc::format!("{} {}", if holds { "is" } else { "is not" }, comparison.as_str())
                    }
                };
                alloc::format!("{subject} {relation} {value}")
            }
            Test::In { negated, ranges } => {
                alloc::format!("{subject} {} {}", says("is in", "is not in", *negated), Ranges(ranges))
            }
            Test::Contains { negated, text } => {
                alloc::format!("{subject} {} {}", says("contains", "does not contain", *negated), quoted(text))
            }
            Test::Matches { negated, regex } => {
                alloc::format!("{subject} {} /{}/", says("matches", "does not match", *negated), regex.as_str())
            }
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memmem(haystack, needle)
}

/// Whether `needle` occurs: jumps from one occurrence of its first byte to the next.
fn memmem(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else {
        return true;
    };
    let mut at = haystack;
    while let Some(found) = at.iter().position(|byte| byte == first) {
        at = &at[found + 1..];
        if at.starts_with(rest) {
            return true;
        }
    }
    false
}

/// At most 60 characters of a text, in quotes, on one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    let mut chars = text.chars();
    out.extend(chars.by_ref().take(60).map(|c| if c.is_control() { ' ' } else { c }));
    out.push_str(if chars.next().is_some() { "...'" } else { "'" });
    out
}

/// A value in the unit of its type.
struct Shown(Type, i64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value_type, value) = self;
        match value_type {
            Type::Number | Type::Text => write!(f, "{value}"),
            Type::Size => write!(f, "{value} bytes"),
            Type::Duration if *value >= 1_000_000 && value % 1_000_000 == 0 => write!(f, "{}s", value / 1_000_000),
            Type::Duration if *value >= 10_000_000 => write!(f, "{}.{:02}s", value / 1_000_000, value / 10_000 % 100),
            Type::Duration if *value >= 1000 && value % 1000 == 0 => write!(f, "{}ms", value / 1000),
            Type::Duration if *value >= 1000 => write!(f, "{}.{:03}ms", value / 1000, value % 1000),
            Type::Duration => write!(f, "{value}us"),
        }
    }
}

struct Ranges<'a>(&'a [(i64, i64)]);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |f: &mut fmt::Formatter<'_>, (first, last): (i64, i64)| {
            if first == last { write!(f, "{first}") } else { write!(f, "{first}..{last}") }
        };
        match self.0 {
            [(first, last)] if first != last => one(f, (*first, *last)),
            ranges => {
                f.write_str("[")?;
                for (index, range) in ranges.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    one(f, *range)?;
                }
                f.write_str("]")
            }
        }
    }
}
