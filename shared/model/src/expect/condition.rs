//! Conditions: an operand, a test of the operand's type, and how they are evaluated and explained.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use regex::bytes::Regex;
use serde_json::Value as Json;

use super::document::View;
use super::operand::{Actual, Found, Operand, Source, Type};
use crate::vitals::Vital;

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

    const fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

/// A threshold of a vital, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Up to here a value is good.
    Good,
    /// Above this it is poor.
    Poor,
}

impl Bound {
    /// Its name in the language.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Poor => "poor",
        }
    }
}

/// The value that an operand is compared with, in the operand's unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, bytes, microseconds, tenths of a percent or ten-thousandths of a score.
    Integer(i64),
    /// A threshold of the vital that the operand is; which value that is, the profile says.
    Bound(Bound),
    /// A number of JSON, as it was written.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// JSON's null.
    Null,
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
    /// Is there at all.
    Exists {
        /// Asks for the opposite.
        negated: bool,
    },
}

impl Test {
    /// Whether it asks for the opposite of something.
    pub(super) const fn is_negated(&self) -> bool {
        match self {
            Self::Compare(comparison, _) => matches!(comparison, Comparison::NotEqual),
            Self::In { negated, .. }
            | Self::Contains { negated, .. }
            | Self::Matches { negated, .. }
            | Self::Exists { negated } => *negated,
        }
    }
}

/// An operand with what is asked of it; the parser sees to it that the types fit.
#[derive(Debug, Clone)]
pub struct Condition {
    /// What is looked at.
    pub operand: Operand,
    /// What is asked.
    pub test: Test,
}

impl Condition {
    /// Whether the condition is true of an answer.
    ///
    /// A truncated body's size is at least what was received, and nothing below that bound is claimed: `size < 10MB` and `size == X`
    /// are false, `size > 1KB` is true once that much came. Text is looked for in what was received.
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        let negated = self.test.is_negated();
        let actual = match self.operand.find(view) {
            Found::Value(actual) => actual,
            // What is not there does not contain, match, equal or exist.
            Found::Absent => return self.operand.value_type().is_textual() && negated,
            Found::Unreadable(_) => return false,
        };
        match &actual {
            Actual::Integer(value) => self.holds_of_integer(*value, view),
            Actual::Flag(flag) => {
                matches!(&self.test, Test::Compare(_, Value::Flag(value)) if flag == value) != negated
            }
            Actual::Text(text) => self.is_true_of(text) != negated,
            Actual::Texts(texts) => texts.iter().any(|text| self.is_true_of(text.as_bytes())) != negated,
            Actual::Json(values) => values.iter().any(|value| self.is_true_of_json(value)) != negated,
        }
    }

    fn holds_of_integer(&self, value: i64, view: &View<'_>) -> bool {
        let open_ended = self.operand.row.source == Source::Size && view.observed.body_truncated;
        match &self.test {
            Test::Compare(Comparison::Less | Comparison::AtMost | Comparison::Equal, _) if open_ended => false,
            Test::Compare(comparison, Value::Bound(bound)) => {
                comparison.accepts(value.cmp(&self.threshold(*bound, view)))
            }
            Test::Compare(comparison, Value::Integer(right)) => {
                // `>` and `!=` on an open-ended size ask for more than what came.
                let comparison =
                    if open_ended && *comparison == Comparison::NotEqual { Comparison::Greater } else { *comparison };
                comparison.accepts(value.cmp(right))
            }
            Test::In { negated, ranges } => {
                ranges.iter().any(|(first, last)| *first <= value && value <= *last) != *negated
            }
            Test::Compare(..) | Test::Contains { .. } | Test::Matches { .. } | Test::Exists { .. } => self.unfit(),
        }
    }

    /// Whether the test, without its negation, is true of a text.
    fn is_true_of(&self, found: &[u8]) -> bool {
        match &self.test {
            Test::Compare(Comparison::Equal | Comparison::NotEqual, Value::Text(text)) => found == text.as_bytes(),
            Test::Contains { text, .. } => contains(found, text.as_bytes()),
            Test::Matches { regex, .. } => regex.is_match(found),
            Test::Exists { .. } => true,
            Test::Compare(..) | Test::In { .. } => self.unfit(),
        }
    }

    /// Whether the test, without its negation, is true of a JSON value.
    fn is_true_of_json(&self, found: &Json) -> bool {
        match &self.test {
            Test::Compare(Comparison::Equal | Comparison::NotEqual, value) => match (value, found) {
                (Value::Text(text), Json::String(found)) => text == found,
                (Value::Number(number), Json::Number(found)) => compare(found, number) == Some(Ordering::Equal),
                (Value::Flag(flag), Json::Bool(found)) => flag == found,
                (Value::Null, Json::Null) => true,
                (
                    Value::Text(_)
                    | Value::Number(_)
                    | Value::Flag(_)
                    | Value::Null
                    | Value::Integer(_)
                    | Value::Bound(_),
                    Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_),
                ) => false,
            },
            Test::Compare(comparison, Value::Number(number)) => match found {
                Json::Number(found) => compare(found, number).is_some_and(|ordering| comparison.accepts(ordering)),
                Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => false,
            },
            Test::Contains { .. } | Test::Matches { .. } => self.is_true_of(json_text(found).as_bytes()),
            Test::Exists { .. } => true,
            Test::Compare(..) | Test::In { .. } => self.unfit(),
        }
    }

    /// What a threshold is on the profile that the page was measured on.
    fn threshold(&self, bound: Bound, view: &View<'_>) -> i64 {
        let Some(vital) = self.operand.vital() else {
            self.unfit();
            return i64::MAX;
        };
        let threshold = view.observed.thresholds.copied().unwrap_or_default().of(vital);
        let value = match bound {
            Bound::Good => threshold.good,
            Bound::Poor => threshold.poor,
        };
        i64::try_from(value).unwrap_or(i64::MAX)
    }

    fn unfit(&self) -> bool {
        debug_assert!(false, "the parser let a test of {} pass that does not fit", self.operand);
        false
    }

    /// Says what was found, given whether the condition holds: `status 503 is not in 200..399`.
    pub(super) fn explain(&self, view: &View<'_>, holds: bool) -> String {
        let operand = &self.operand;
        let actual = match operand.find(view) {
            Found::Value(actual) => actual,
            Found::Absent => return operand.absence(),
            Found::Unreadable(why) => return why.to_string(),
        };
        if matches!(self.test, Test::Exists { .. }) {
            return alloc::format!("{operand} exists");
        }
        if let (Some(vital), Actual::Integer(value), Test::Compare(comparison, right)) =
            (operand.vital(), &actual, &self.test)
        {
            return self.explain_vital(vital, *value, *comparison, right, view, holds);
        }
        let value_type = operand.value_type();
        let subject = match (operand.row.source, &actual) {
            (Source::Body, _) if view.observed.body_truncated => {
                alloc::format!("body (cut after {} bytes)", view.observed.body_bytes)
            }
            (Source::Body, _) => operand.to_string(),
            (Source::Size, _) if view.observed.body_truncated => {
                alloc::format!("size of at least {} bytes (body cut)", view.observed.body_bytes)
            }
            (_, Actual::Integer(value)) => alloc::format!("{operand} {}", Shown(value_type, *value)),
            (_, Actual::Flag(flag)) => alloc::format!("{operand} {flag}"),
            (_, Actual::Text(value)) => alloc::format!("{operand} {}", quoted(&String::from_utf8_lossy(value))),
            (_, Actual::Texts(texts)) => alloc::format!("{operand} {}", several(texts, |text| quoted(text))),
            (_, Actual::Json(values)) => alloc::format!("{operand} {}", several(values, |value| shown_json(value))),
        };
        // What is true of the value is told.
        let says = |plain: &str, negative: &str, negated: bool| {
            if holds == negated { String::from(negative) } else { String::from(plain) }
        };
        match &self.test {
            Test::Compare(comparison, value) => {
                let value = match value {
                    Value::Integer(value) => Shown(value_type, *value).to_string(),
                    Value::Bound(bound) => bound.as_str().to_string(),
                    Value::Number(number) => number.to_string(),
                    Value::Text(text) => quoted(text),
                    Value::Flag(flag) => flag.to_string(),
                    Value::Null => "null".to_string(),
                };
                alloc::format!("{subject} {} {value}", relation(*comparison, holds))
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
            Test::Exists { .. } => subject,
        }
    }

    /// Says what was measured of a vital: `lcp 5.2 s is > good (2.5 s)`.
    fn explain_vital(
        &self,
        vital: Vital,
        value: i64,
        comparison: Comparison,
        right: &Value,
        view: &View<'_>,
        holds: bool,
    ) -> String {
        let (right, name) = match right {
            Value::Integer(right) => (*right, None),
            Value::Bound(bound) => (self.threshold(*bound, view), Some(bound.as_str())),
            Value::Number(_) | Value::Text(_) | Value::Flag(_) | Value::Null => {
                self.unfit();
                return self.operand.to_string();
            }
        };
        let (value, right) = two_shown(vital, value, right);
        let right = name.map_or_else(|| right.clone(), |name| alloc::format!("{name} ({right})"));
        alloc::format!("{} {value} {} {right}", self.operand, relation(comparison, holds))
    }
}

/// What is true of a value, given whether the comparison holds: "is not 200" reads better than "is == 200 is false".
fn relation(comparison: Comparison, holds: bool) -> String {
    let is = |holds: bool| if holds { "is" } else { "is not" };
    match comparison {
        Comparison::Equal => is(holds).to_string(),
        Comparison::NotEqual => is(!holds).to_string(),
        Comparison::Less | Comparison::AtMost | Comparison::Greater | Comparison::AtLeast => {
            alloc::format!("{} {}", is(holds), comparison.as_str())
        }
    }
}

/// A value of a vital for people, and what it was compared with. Rounded, unless they would then read alike without being so.
fn two_shown(vital: Vital, value: i64, right: i64) -> (String, String) {
    let [value, right] = [value, right].map(|value| u64::try_from(value).unwrap_or(0));
    let rounded = (vital.shown(value), vital.shown(right));
    if value == right || rounded.0 != rounded.1 {
        return rounded;
    }
    let exact = |value: u64| alloc::format!("{}.{:03} ms", value / 1_000, value % 1_000);
    (exact(value), exact(right))
}

/// Two numbers of JSON in order: exactly where both are whole, else as floating point.
fn compare(left: &serde_json::Number, right: &serde_json::Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// A JSON value as text is looked for in it: a text itself, of the rest its JSON.
pub(super) fn json_text(value: &Json) -> Cow<'_, str> {
    match value {
        Json::String(text) => Cow::Borrowed(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Cow::Owned(value.to_string())
        }
    }
}

fn shown_json(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => cut(&value.to_string()),
    }
}

/// Whether `needle` occurs: jumps from one occurrence of its first byte to the next.
fn contains(haystack: &[u8], needle: &[u8]) -> bool {
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

/// The first few of some values.
fn several<T>(values: &[T], show: impl Fn(&T) -> String) -> String {
    const SHOWN: usize = 3;
    let mut out = values.iter().take(SHOWN).map(show).collect::<Vec<_>>().join(", ");
    if values.len() > SHOWN {
        out.push_str(&alloc::format!(" and {} more", values.len() - SHOWN));
    }
    out
}

/// At most 60 characters of a text, on one line.
fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut out: String = chars.by_ref().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if chars.next().is_some() {
        out.push_str("...");
    }
    out
}

/// At most 60 characters of a text, in quotes, on one line.
fn quoted(text: &str) -> String {
    alloc::format!("'{}'", cut(text))
}

/// A value in the unit of its type.
struct Shown(Type, i64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value_type, value) = self;
        match value_type {
            Type::Number | Type::Flag | Type::Text | Type::Texts | Type::Json | Type::Score => write!(f, "{value}"),
            Type::Size => write!(f, "{value} bytes"),
            Type::Percent if value % 10 == 0 => write!(f, "{}%", value / 10),
            Type::Percent => write!(f, "{}.{}%", value / 10, value % 10),
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
