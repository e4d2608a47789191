//! The parser: tokens with columns, then one small function for each rule of the grammar.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use regex::bytes::{Regex, RegexBuilder};

use super::condition::{Comparison, Condition, Operand, Test, Type, Value};
use super::{EXPECTATION_BYTES_MAX, ExpectError, Rule};
use crate::record::Phase;

/// Most ranges of one list.
const RANGES_MAX: usize = 64;
/// Largest compiled regex, in bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;
/// Largest cache of a regex's lazy automaton, in bytes.
const REGEX_CACHE_BYTES_MAX: usize = 512 * 1024;

/// A token, and where it starts.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    column: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Word(String),
    /// A number as written, with the unit that follows it at once.
    Number {
        digits: String,
        unit: String,
    },
    Text(String),
    Regex {
        pattern: String,
        ignore_case: bool,
    },
    Sign(&'static str),
    End,
}

impl Kind {
    fn describe(&self) -> String {
        match self {
            Self::Word(word) => alloc::format!("\"{word}\""),
            Self::Number { digits, unit } => alloc::format!("\"{digits}{unit}\""),
            Self::Text(_) => "a text".to_string(),
            Self::Regex { .. } => "a regex".to_string(),
            Self::Sign(sign) => alloc::format!("\"{sign}\""),
            Self::End => "the end".to_string(),
        }
    }
}

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
    let rest = parser.next();
    if rest.kind != Kind::End {
        let message = alloc::format!(
            "nothing may follow here, but {} does; write one assertion for each condition",
            rest.kind.describe()
        );
        return Err(error(text, rest.column, message));
    }
    Ok((rule, Condition { operand, test }))
}

fn error(text: &str, column: usize, message: impl Into<String>) -> ExpectError {
    ExpectError { text: text.to_string(), column, message: message.into() }
}

const SIGNS: [&str; 12] = ["..", "==", "!=", "<=", ">=", "<", ">", "[", "]", ",", ".", "="];

fn tokens(text: &str) -> Result<Vec<Token>, ExpectError> {
    if text.len() > EXPECTATION_BYTES_MAX {
        let message = alloc::format!("the assertion is longer than {EXPECTATION_BYTES_MAX} bytes; shorten it");
        return Err(error("", 1, message));
    }
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let start = at;
        let column = start + 1;
        let take = |at: &mut usize, keep: fn(char) -> bool| -> String {
            let from = *at;
            while chars.get(*at).is_some_and(|c| keep(*c)) {
                *at += 1;
            }
            chars[from..*at].iter().collect()
        };
        let kind = match c {
            ' ' | '\t' | '\n' | '\r' => {
                at += 1;
                continue;
            }
            'a'..='z' | 'A'..='Z' | '_' => Kind::Word(take(&mut at, |c| c.is_ascii_alphanumeric() || c == '_')),
            '0'..='9' | '-' => {
                at += 1;
                let mut digits = String::from(c);
                digits.push_str(&take(&mut at, |c| c.is_ascii_digit()));
                // One dot followed by a digit is a decimal point; two dots are a range.
                if chars.get(at) == Some(&'.') && chars.get(at + 1).is_some_and(char::is_ascii_digit) {
                    at += 1;
                    digits.push('.');
                    digits.push_str(&take(&mut at, |c| c.is_ascii_digit()));
                }
                let unit = take(&mut at, |c| c.is_ascii_alphabetic());
                if digits == "-" {
                    return Err(error(text, column, "\"-\" must be followed by a number"));
                }
                Kind::Number { digits, unit }
            }
            '\'' | '"' => Kind::Text(quoted(text, &chars, &mut at)?),
            '/' => regex_token(text, &chars, &mut at)?,
            _ => {
                let rest: String = chars[at..chars.len().min(at + 2)].iter().collect();
                let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
                    return Err(error(
                        text,
                        column,
                        alloc::format!("{c:?} does not belong here; remove it, or put text in quotes"),
                    ));
                };
                at += sign.len();
                Kind::Sign(sign)
            }
        };
        tokens.push(Token { column, kind });
    }
    tokens.push(Token { column: chars.len() + 1, kind: Kind::End });
    Ok(tokens)
}

fn quoted(text: &str, chars: &[char], at: &mut usize) -> Result<String, ExpectError> {
    let start = *at;
    let quote = chars[start];
    let mut out = String::new();
    *at += 1;
    loop {
        let Some(&c) = chars.get(*at) else {
            return Err(error(text, start + 1, alloc::format!("the text that starts here has no closing {quote}")));
        };
        *at += 1;
        if c == quote {
            return Ok(out);
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let escaped = match chars.get(*at) {
            Some('n') => '\n',
            Some('t') => '\t',
            Some(c @ ('\\' | '\'' | '"')) => *c,
            _ => {
                return Err(error(text, *at, "unknown escape: use \\\\, \\', \\\", \\n or \\t"));
            }
        };
        out.push(escaped);
        *at += 1;
    }
}

fn regex_token(text: &str, chars: &[char], at: &mut usize) -> Result<Kind, ExpectError> {
    let start = *at;
    let mut pattern = String::new();
    *at += 1;
    loop {
        let Some(&c) = chars.get(*at) else {
            return Err(error(
                text,
                start + 1,
                "the regex that starts here has no closing /; write \\/ for a slash inside",
            ));
        };
        *at += 1;
        match c {
            '/' => break,
            '\\' => match chars.get(*at) {
                Some('/') => {
                    pattern.push('/');
                    *at += 1;
                }
                Some(next) => {
                    pattern.extend(['\\', *next]);
                    *at += 1;
                }
                None => pattern.push('\\'),
            },
            _ => pattern.push(c),
        }
    }
    let mut ignore_case = false;
    while let Some(flag) = chars.get(*at).filter(|c| c.is_alphanumeric()) {
        if *flag != 'i' || ignore_case {
            return Err(error(
                text,
                *at + 1,
                alloc::format!("unknown regex flag {flag:?}: only i (ignore case) may follow the closing /"),
            ));
        }
        ignore_case = true;
        *at += 1;
    }
    Ok(Kind::Regex { pattern, ignore_case })
}

const OPERANDS: &str =
    "status, body, size, latency, latency.first_byte (or another phase), certificate.days or header 'name'";

impl Parser<'_> {
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
        let Kind::Word(word) = &token.kind else {
            let message = alloc::format!("expected what to look at, found {}: use {OPERANDS}", token.kind.describe());
            return Err(self.error(token.column, message));
        };
        let operand = match word.as_str() {
            "status" => Operand::Status,
            "body" => Operand::Body,
            "size" => Operand::Size,
            "latency" => Operand::Latency(self.phase()?),
            "certificate" => {
                let column = self.peek().column;
                if !self.take_sign(".") || !self.take_word("days") {
                    return Err(
                        self.error(column, "\"certificate\" is followed by \".days\", as in \"certificate.days > 14\"")
                    );
                }
                Operand::CertificateDays
            }
            "header" => Operand::Header(self.header_name()?),
            _ => {
                return Err(
                    self.error(token.column, alloc::format!("\"{word}\" is nothing to look at: use {OPERANDS}"))
                );
            }
        };
        if !operand.kinds().contains(&self.kind) {
            let message = alloc::format!(
                "a check of kind \"{}\" has no {operand}; it is offered by {}",
                self.kind,
                operand.kinds().join(", ")
            );
            return Err(self.error(token.column, message));
        }
        Ok(operand)
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
            parser.error(token.column, alloc::format!("{operand} is not tested by {found}: use {}", value_type.tests()))
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
            Kind::Word(word) if word == "contains" && value_type == Type::Text => {
                return Ok(Test::Contains { negated, text: self.text(&token, operand)? });
            }
            Kind::Word(word) if word == "matches" && value_type == Type::Text => {
                return Ok(Test::Matches { negated, regex: self.regex()? });
            }
            Kind::Word(_) | Kind::Number { .. } | Kind::Text(_) | Kind::Regex { .. } | Kind::Sign(_) | Kind::End => {
                return Err(unfit(self));
            }
        };
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if negated || (ordered && value_type == Type::Text) {
            return Err(unfit(self));
        }
        let value = match value_type {
            Type::Text => Value::Text(self.text(&token, operand)?),
            Type::Number | Type::Size | Type::Duration => Value::Integer(self.quantity(value_type)?),
        };
        Ok(Test::Compare(comparison, value))
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
            Type::Number | Type::Text => (unit.is_empty().then_some(1), "no unit"),
            Type::Size => (size_unit(unit), "B, KB, MB, GB, KiB, MiB or GiB"),
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
