//! Tokens of the assertion language, with their columns.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{EXPECTATION_BYTES_MAX, ExpectError};

/// A token, and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) column: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
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
    pub(super) fn describe(&self) -> String {
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

pub(super) fn error(text: &str, column: usize, message: impl Into<String>) -> ExpectError {
    ExpectError { text: text.to_string(), column, message: message.into() }
}

const SIGNS: [&str; 12] = ["..", "==", "!=", "<=", ">=", "<", ">", "[", "]", ",", ".", "="];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExpectError> {
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
                let mut unit = take(&mut at, |c| c.is_ascii_alphabetic());
                if unit.is_empty() && chars.get(at) == Some(&'%') {
                    at += 1;
                    unit.push('%');
                }
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
