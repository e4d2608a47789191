//! Extractors: how a step of a flow captures a value from an answer.
//!
//! ```text
//! extractor = json '$.path' | html 'CSS selector[@attribute]' | xml '/a/b[/@attribute]'
//!           | header 'NAME' | body /REGEX/[i] | status
//! ```
//!
//! A path that finds several values gives the first; a regex gives its first group, or all that it matched where it has none.

use alloc::borrow::{Cow, ToOwned as _};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use regex::bytes::Regex;
use serde_json::Value;

use super::condition::json_text;
use super::document::View;
use super::operand::{Actual, Found, Operand};
use super::{ExpectError, Observed, parse};
use crate::record::Phase;

/// Longest value that is captured, in bytes.
pub const EXTRACT_BYTES_MAX: usize = 16 << 10;

/// Captures a value from an answer, parsed. It prints as it was written; two are equal when they were written alike.
#[derive(Debug, Clone)]
pub struct Extractor {
    source: String,
    operand: Operand,
    /// Only for the body.
    regex: Option<Regex>,
}

impl PartialEq for Extractor {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Extractor {}

impl fmt::Display for Extractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Extractor {
    /// Parses an extractor.
    pub fn parse(text: &str) -> Result<Self, ExpectError> {
        let (operand, regex) = parse::extractor(text)?;
        Ok(Self { source: text.to_owned(), operand, regex })
    }

    /// The phase of an exchange that brings the value.
    pub fn phase(&self) -> Phase {
        self.operand.phase("http")
    }

    /// The value in an answer. `None` where there is none, where JSON says null, where the body cannot be read that way, and where the
    /// value has more than [`EXTRACT_BYTES_MAX`].
    pub fn extract(&self, observed: &Observed<'_>) -> Option<String> {
        self.read(&View::new(observed))
    }

    /// The values of several extractors, in their order. The body is parsed once for all of them.
    pub fn extract_all<'e>(
        extractors: impl IntoIterator<Item = &'e Self>,
        observed: &Observed<'_>,
    ) -> Vec<Option<String>> {
        let view = View::new(observed);
        extractors.into_iter().map(|extractor| extractor.read(&view)).collect()
    }

    fn read(&self, view: &View<'_>) -> Option<String> {
        let actual = match self.operand.find(view) {
            Found::Value(actual) => actual,
            Found::Absent | Found::Unreadable(_) => return None,
        };
        let text = match actual {
            Actual::Integer(number) => Cow::Owned(number.to_string()),
            Actual::Flag(flag) => Cow::Owned(flag.to_string()),
            Actual::Text(bytes) => match &self.regex {
                Some(regex) => {
                    let groups = regex.captures(&bytes)?;
                    let found = if regex.captures_len() > 1 { groups.get(1) } else { groups.get(0) }?;
                    Cow::Owned(String::from_utf8_lossy(found.as_bytes()).into_owned())
                }
                None => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
            },
            Actual::Texts(texts) => Cow::Borrowed(*texts.first()?),
            Actual::Json(values) => match values.first()? {
                Value::Null => return None,
                value @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                    json_text(value)
                }
            },
        };
        (text.len() <= EXTRACT_BYTES_MAX).then(|| text.into_owned())
    }
}
