//! The parser: one small function for each rule of the grammar.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use regex::bytes::{Regex, RegexBuilder};

use super::condition::{Bound, Comparison, Condition, Test, Value};
use super::lexer::{Kind, Token, error, tokens};
use super::operand::{Argument, Operand, Source, TABLE, Type};
use super::query::{HtmlQuery, JsonQuery, XmlQuery};
use super::{ExpectError, Rule};
use crate::record::Phase;
use crate::vitals::{CLS_SCALE, Vital};

/// Most ranges of one list.
const RANGES_MAX: usize = 64;
/// Largest compiled regex, in bytes. On a text made for it the search takes each byte through all of its states: at this size, about a second
/// for a body of 1 MiB.
const REGEX_BYTES_MAX: usize = 128 * 1024;
/// Largest cache of a regex's lazy automaton, in bytes.
const REGEX_CACHE_BYTES_MAX: usize = 512 * 1024;

struct Parser<'a> {
    text: &'a str,
    kind: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

/// Parses `text` as an assertion of a check of kind `kind`.
pub(super) fn expectation(text: &str, kind: &str) -> Result<(Rule, Condition), ExpectError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, kind, tokens, at: 0 };
    let rule = parser.rule()?;
    let operand = parser.operand()?;
    let test = parser.test(&operand)?;
    parser.end("write one assertion for each condition")?;
    Ok((rule, Condition { operand, test }))
}

/// Parses `text` as an extractor: what it looks at, and the regex that goes with the body.
pub(super) fn extractor(text: &str) -> Result<(Operand, Option<Regex>), ExpectError> {
    const USE: &str =
        "use json '$.path', html 'selector@attribute', xml '/path', header 'name', body /regex/ or status";
    let tokens = tokens(text)?;
    let mut parser = Parser { text, kind: "http", tokens, at: 0 };
    let offered = |source| {
        matches!(source, Source::Json | Source::Html | Source::Xml | Source::Header | Source::Body | Source::Status)
    };
    let first = parser.peek().clone();
    let known =
        matches!(&first.kind, Kind::Word(word) if TABLE.iter().any(|row| row.name == word && offered(row.source)));
    if !known {
        let message = alloc::format!("expected what to capture, found {}: {USE}", first.kind.describe());
        return Err(parser.error(first.column, message));
    }
    let operand = parser.operand()?;
    let regex = if operand.row.source == Source::Body { Some(parser.regex()?) } else { None };
    parser.end("a value is captured by one extractor")?;
    Ok((operand, regex))
}

/// Names in one line: `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_string(),
        [one] => (*one).to_string(),
        [first @ .., last] => alloc::format!("{} and {last}", first.join(", ")),
    }
}

impl Parser<'_> {
    fn end(&mut self, remedy: &str) -> Result<(), ExpectError> {
        let rest = self.next();
        if rest.kind == Kind::End {
            return Ok(());
        }
        let message = alloc::format!("nothing may follow here, but {} does; {remedy}", rest.kind.describe());
        Err(self.error(rest.column, message))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes the next token when it is this word.
    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(&self.peek().kind, Kind::Word(w) if w == word);
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(&self.peek().kind, Kind::Sign(s) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn error(&self, column: usize, message: impl Into<String>) -> ExpectError {
        error(self.text, column, message)
    }

    fn rule(&mut self) -> Result<Rule, ExpectError> {
        let rule = match &self.peek().kind {
            Kind::Word(word) if word == "degraded" => Rule::DegradedIf,
            Kind::Word(word) if word == "down" => Rule::DownIf,
            Kind::Word(_) | Kind::Number { .. } | Kind::Text(_) | Kind::Regex { .. } | Kind::Sign(_) | Kind::End => {
                return Ok(Rule::Hard);
            }
        };
        let first = self.next();
        if self.take_word("if") {
            return Ok(rule);
        }
        let column = self.peek().column;
        Err(self.error(
            column,
            alloc::format!("{} is followed by \"if\", as in \"degraded if latency > 800ms\"", first.kind.describe()),
        ))
    }

    fn operand(&mut self) -> Result<Operand, ExpectError> {
        let token = self.next();
        let offered = || match listed(&Operand::names_for(self.kind).collect::<Vec<_>>()).as_str() {
            "nothing" => alloc::format!("a check of kind \"{}\" takes no assertions", self.kind),
            names => alloc::format!("a check of kind \"{}\" offers {names}", self.kind),
        };
        let Kind::Word(word) = &token.kind else {
            let message = alloc::format!("expected what to look at, found {}: {}", token.kind.describe(), offered());
            return Err(self.error(token.column, message));
        };
        let mut name = word.clone();
        // Dotted names; what follows `latency.` is an argument.
        while name != "latency" && matches!(self.peek().kind, Kind::Sign(".")) {
            let Kind::Word(part) = self.tokens.get(self.at + 1).map_or(Kind::End, |token| token.kind.clone()) else {
                break;
            };
            name = alloc::format!("{name}.{part}");
            self.at += 2;
        }
        let Some(row) = TABLE.iter().find(|row| row.name == name) else {
            let below: Vec<&str> =
                TABLE.iter().map(|row| row.name).filter(|known| known.split('.').next() == Some(word)).collect();
            if below.is_empty() {
                let message = alloc::format!("\"{name}\" is nothing to look at: {}", offered());
                return Err(self.error(token.column, message));
            }
            let column = if name == *word { self.peek().column } else { token.column };
            return Err(
                self.error(column, alloc::format!("\"{name}\" is not complete or not known: use {}", listed(&below)))
            );
        };
        if !row.kinds.contains(&self.kind) {
            let message = alloc::format!("a check of kind \"{}\" has no {name}: {}", self.kind, offered());
            return Err(self.error(token.column, message));
        }
        let argument = match row.source {
            Source::Latency => Argument::Phase(self.phase()?),
            Source::Header => Argument::Name(self.header_name()?),
            Source::Json => Argument::Json(self.query("json '$.status'", JsonQuery::parse)?),
            Source::Html => Argument::Html(self.query("html 'h1'", HtmlQuery::parse)?),
            Source::Xml => Argument::Xml(self.query("xml '/feed/title'", XmlQuery::parse)?),
            Source::Status
            | Source::Body
            | Source::Size
            | Source::CertificateDays
            | Source::DomainDays
            | Source::Loss
            | Source::Vital(_)
            | Source::Number { .. }
            | Source::Flag(_)
            | Source::Text(_) => Argument::None,
        };
        Ok(Operand { row, argument })
    }

    fn query<Q>(&mut self, sample: &str, parse: impl Fn(&str) -> Result<Q, String>) -> Result<Q, ExpectError> {
        let token = self.next();
        let Kind::Text(text) = &token.kind else {
            let message = alloc::format!("expected a text in quotes, as in {sample}, found {}", token.kind.describe());
            return Err(self.error(token.column, message));
        };
        parse(text).map_err(|message| self.error(token.column, message))
    }

    fn phase(&mut self) -> Result<Phase, ExpectError> {
        if !self.take_sign(".") {
            return Ok(Phase::Total);
        }
        let token = self.next();
        let found = match &token.kind {
            Kind::Word(word) => Phase::ALL.iter().find(|phase| phase.as_str() == word),
            Kind::Number { .. } | Kind::Text(_) | Kind::Regex { .. } | Kind::Sign(_) | Kind::End => None,
        };
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
            let message = alloc::format!("{} is no phase: use {}", token.kind.describe(), names.join(", "));
            self.error(token.column, message)
        })
    }

    fn header_name(&mut self) -> Result<String, ExpectError> {
        let token = self.next();
        let Kind::Text(name) = &token.kind else {
            return Err(self.error(
                token.column,
                "\"header\" is followed by a name in quotes, as in header 'content-type' contains 'json'",
            ));
        };
        let ok = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if ok {
            Ok(name.to_ascii_lowercase())
        } else {
            Err(self.error(token.column, "this is no header name: use letters, digits and '-', as in 'content-type'"))
        }
    }

    fn test(&mut self, operand: &Operand) -> Result<Test, ExpectError> {
        let value_type = operand.value_type();
        let negated = self.take_word("not");
        let token = self.next();
        let unfit = |parser: &Self| {
            let found =
                if negated { alloc::format!("\"not\" {}", token.kind.describe()) } else { token.kind.describe() };
            let tests = value_type.tests();
            parser.error(token.column, alloc::format!("{operand} is not tested by {found}: use {tests}"))
        };
        let comparison = match &token.kind {
            Kind::Sign("==") => Comparison::Equal,
            Kind::Sign("!=") => Comparison::NotEqual,
            Kind::Sign("<") => Comparison::Less,
            Kind::Sign("<=") => Comparison::AtMost,
            Kind::Sign(">") => Comparison::Greater,
            Kind::Sign(">=") => Comparison::AtLeast,
            Kind::Sign("=") => return Err(self.error(token.column, "equality is written \"==\"")),
            Kind::Word(word) if word == "in" && value_type == Type::Number => {
                return Ok(Test::In { negated, ranges: self.ranges()? });
            }
            Kind::Word(word) if word == "contains" && value_type.is_textual() => {
                return Ok(Test::Contains { negated, text: self.text(&token, operand)? });
            }
            Kind::Word(word) if word == "matches" && value_type.is_textual() => {
                return Ok(Test::Matches { negated, regex: self.regex()? });
            }
            Kind::Word(word) if word == "exists" && operand.may_be_absent() => {
                return Ok(Test::Exists { negated });
            }
            Kind::Word(_) | Kind::Number { .. } | Kind::Text(_) | Kind::Regex { .. } | Kind::Sign(_) | Kind::End => {
                return Err(unfit(self));
            }
        };
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if negated || (ordered && matches!(value_type, Type::Text | Type::Texts | Type::Flag)) {
            return Err(unfit(self));
        }
        let value = match value_type {
            Type::Text | Type::Texts => Value::Text(self.text(&token, operand)?),
            Type::Flag | Type::Json => self.json_value(value_type, ordered)?,
            Type::Number | Type::Size | Type::Duration | Type::Percent | Type::Score => {
                match self.bound(operand, ordered)? {
                    Some(bound) => Value::Bound(bound),
                    None => Value::Integer(self.quantity(value_type)?),
                }
            }
        };
        Ok(Test::Compare(comparison, value))
    }

    /// The threshold that stands here by its name; `None` where something else does.
    fn bound(&mut self, operand: &Operand, ordered: bool) -> Result<Option<Bound>, ExpectError> {
        let token = self.peek().clone();
        let Kind::Word(word) = &token.kind else { return Ok(None) };
        let value_type = operand.value_type().describe();
        let bound = [Bound::Good, Bound::Poor].into_iter().find(|bound| bound.as_str() == word);
        match (operand.vital(), bound) {
            (Some(_), Some(bound)) if ordered => {
                self.next();
                Ok(Some(bound))
            }
            (Some(_), Some(bound)) => {
                let bound = bound.as_str();
                let message = alloc::format!(
                    "\"{bound}\" is a threshold, which no page meets exactly: compare by \"<\", \"<=\", \">\" or \">=\", as in {operand} > {bound}"
                );
                Err(self.error(token.column, message))
            }
            (Some(_), None) => {
                let found = token.kind.describe();
                Err(self.error(token.column, alloc::format!("expected {value_type}, or good or poor, found {found}")))
            }
            (None, Some(bound)) => {
                let vitals: Vec<&str> = Vital::ALL.iter().map(|vital| vital.as_str()).collect();
                let message = alloc::format!(
                    "\"{}\" is a threshold of vitals ({}), and {operand} is none: write {value_type}",
                    bound.as_str(),
                    vitals.join(", ")
                );
                Err(self.error(token.column, message))
            }
            (None, None) => Ok(None),
        }
    }

    /// A text, a number, true, false or null; `ordered` allows numbers alone.
    fn json_value(&mut self, value_type: Type, ordered: bool) -> Result<Value, ExpectError> {
        let token = self.next();
        let json = value_type == Type::Json;
        let found = match &token.kind {
            Kind::Word(word) if word == "true" && !ordered => Some(Value::Flag(true)),
            Kind::Word(word) if word == "false" && !ordered => Some(Value::Flag(false)),
            Kind::Word(word) if word == "null" && json && !ordered => Some(Value::Null),
            Kind::Text(text) if json && !ordered => Some(Value::Text(text.clone())),
            Kind::Number { digits, unit } if json && unit.is_empty() => {
                // JSON itself refuses leading zeros; people may write them.
                let negative = digits.starts_with('-');
                let plain = digits.trim_start_matches('-').trim_start_matches('0');
                let zero = if plain.is_empty() || plain.starts_with('.') { "0" } else { "" };
                let text = alloc::format!("{}{zero}{plain}", if negative { "-" } else { "" });
                serde_json::from_str(&text).ok().map(Value::Number)
            }
            Kind::Word(_) | Kind::Number { .. } | Kind::Text(_) | Kind::Regex { .. } | Kind::Sign(_) | Kind::End => {
                None
            }
        };
        found.ok_or_else(|| {
            let expected = if ordered { "a number, as in 5 or 0.5" } else { value_type.describe() };
            self.error(token.column, alloc::format!("expected {expected}, found {}", token.kind.describe()))
        })
    }

    fn text(&mut self, test: &Token, operand: &Operand) -> Result<String, ExpectError> {
        let token = self.next();
        let Kind::Text(text) = token.kind else {
            let message = alloc::format!(
                "expected {} after {}, found {}",
                Type::Text.describe(),
                test.kind.describe(),
                token.kind.describe()
            );
            return Err(self.error(token.column, message));
        };
        if text.is_empty() && test.kind == Kind::Word("contains".to_string()) {
            return Err(self.error(
                token.column,
                alloc::format!("every {operand} contains an empty text; write the text to look for"),
            ));
        }
        Ok(text)
    }

    fn regex(&mut self) -> Result<Regex, ExpectError> {
        let token = self.next();
        let Kind::Regex { pattern, ignore_case } = token.kind else {
            let message =
                alloc::format!("expected a regex in slashes, as in /error [0-9]+/, found {}", token.kind.describe());
            return Err(self.error(token.column, message));
        };
        RegexBuilder::new(&pattern)
            .case_insensitive(ignore_case)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
            .build()
            .map_err(|why| {
                // The library's message shows the pattern over several lines; its last line says what is wrong.
                let why = why.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                if why.contains("size limit") {
                    let why = "the regex is too large: repeat less often, as in .{0,100}, or write [ -~] for . and [0-9] for \\d";
                    return self.error(token.column, why);
                }
                self.error(token.column, alloc::format!("the regex is not usable: {why}"))
            })
    }

    fn ranges(&mut self) -> Result<Vec<(i64, i64)>, ExpectError> {
        if !self.take_sign("[") {
            return Ok(alloc::vec![self.range()?]);
        }
        let mut ranges = Vec::new();
        loop {
            if ranges.len() == RANGES_MAX {
                let column = self.peek().column;
                return Err(self.error(column, alloc::format!("a list holds at most {RANGES_MAX} ranges")));
            }
            ranges.push(self.range()?);
            if self.take_sign("]") {
                return Ok(ranges);
            }
            if !self.take_sign(",") {
                let token = self.peek();
                let message = alloc::format!("expected \",\" or \"]\", found {}", token.kind.describe());
                return Err(self.error(token.column, message));
            }
        }
    }

    fn range(&mut self) -> Result<(i64, i64), ExpectError> {
        let first = self.quantity(Type::Number)?;
        if !self.take_sign("..") {
            return Ok((first, first));
        }
        let column = self.peek().column;
        let last = self.quantity(Type::Number)?;
        if last < first {
            return Err(self.error(column, alloc::format!("the range is empty: {last} is below {first}; swap them")));
        }
        Ok((first, last))
    }

    /// A number with a unit of the type, in the type's own unit.
    fn quantity(&mut self, value_type: Type) -> Result<i64, ExpectError> {
        let token = self.next();
        let Kind::Number { digits, unit } = &token.kind else {
            let message = alloc::format!("expected {}, found {}", value_type.describe(), token.kind.describe());
            return Err(self.error(token.column, message));
        };
        let (scale, units): (Option<i64>, &str) = match value_type {
            Type::Number | Type::Flag | Type::Text | Type::Texts | Type::Json => {
                (unit.is_empty().then_some(1), "no unit")
            }
            Type::Percent => ((unit == "%").then_some(10), "%, as in 20%"),
            Type::Size => (size_unit(unit), "B, KB, MB, GB, KiB, MiB or GiB"),
            Type::Score => (unit.is_empty().then_some(CLS_SCALE as i64), "no unit"),
            Type::Duration => (duration_unit(unit), "us, ms, s, m or h, as in 800ms"),
        };
        let Some(scale) = scale else {
            let message = if unit.is_empty() {
                alloc::format!("the number needs a unit: use {units}")
            } else {
                alloc::format!("\"{unit}\" is no unit here: use {units}")
            };
            return Err(self.error(token.column + digits.chars().count(), message));
        };
        let signed = value_type == Type::Number;
        scaled(digits, scale).filter(|value| signed || *value >= 0).ok_or_else(|| {
            let message =
                alloc::format!("{digits}{unit} is out of range or not exact; expected {}", value_type.describe());
            self.error(token.column, message)
        })
    }
}

fn size_unit(unit: &str) -> Option<i64> {
    match unit {
        "" | "B" => Some(1),
        "KB" | "kB" => Some(1000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    }
}

fn duration_unit(unit: &str) -> Option<i64> {
    match unit {
        "us" => Some(1),
        "ms" => Some(1000),
        "s" => Some(1_000_000),
        "m" => Some(60_000_000),
        "h" => Some(3_600_000_000),
        _ => None,
    }
}

/// A decimal times a scale, where that is a whole number in range.
fn scaled(digits: &str, scale: i64) -> Option<i64> {
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    if decimals.len() > 9 {
        return None;
    }
    let negative = whole.starts_with('-');
    let whole = whole.parse::<i64>().ok()?.checked_mul(scale)?;
    let parts = if decimals.is_empty() { 0 } else { decimals.parse::<i64>().ok()?.checked_mul(scale)? };
    let divisor = 10_i64.pow(decimals.len() as u32);
    if parts % divisor != 0 {
        return None;
    }
    let parts = parts / divisor;
    whole.checked_add(if negative { -parts } else { parts })
}
