//! What is wrong with what a form wrote as code, brought back to the form's fields: whoever judges a file tells the line, and on the line stands the key.

use crate::present::problem::Problem;

/// Something that is wrong, and the key it is about; empty where it is the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn at(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into() }
    }

    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self::at("", message)
    }

    /// A fault as it is told of a file: `NAME:LINE:COLUMN: TABLE "ID": KEY: what is wrong`.
    pub(super) fn told(text: &str, name: &str, file: &str) -> Self {
        let placed = text.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
        let placed = placed.and_then(|rest| rest.split_once(": "));
        let (place, rest) = placed.filter(|(place, _)| place.split(':').all(is_number)).unwrap_or(("", text));
        let message = without_subject(rest);
        let line = place.split(':').next().and_then(|line| line.parse::<usize>().ok());
        let written = line.and_then(|line| file.lines().nth(line.saturating_sub(1))).unwrap_or_default();
        let on_line = written.split_once('=').map(|(key, _)| key.trim().trim_matches('"')).unwrap_or_default();
        // A key that is missing is on no line, and of a list over several lines only an entry is.
        let missing = message.strip_prefix('"').and_then(|rest| rest.split_once("\" is missing")).map(|(key, _)| key);
        let named = message.split_once(": ").map(|(key, _)| key.split('[').next().unwrap_or_default());
        let is_key = |byte: u8| byte.is_ascii_lowercase() || b"_.".contains(&byte);
        let named = named.filter(|key| !key.is_empty() && key.bytes().all(is_key));
        let of_line = named.filter(|key| key.split('.').next() == Some(on_line));
        let key = match (missing, on_line) {
            (Some(missing), _) => missing,
            (None, "") => named.unwrap_or_default(),
            (None, on_line) => of_line.unwrap_or(on_line),
        };
        let message = match message.split_once(": ") {
            Some((first, rest)) if !key.is_empty() && first.split('[').next() == Some(key) => rest,
            Some(_) | None => message,
        };
        let place = if key.is_empty() && !place.is_empty() { format!("{place}: ") } else { String::new() };
        Self { key: key.to_owned(), message: format!("{place}{message}") }
    }

    /// Every fault of a refusal; its sentence where it names none.
    pub(super) fn all(why: &Problem, name: &str, file: &str) -> Vec<Self> {
        let errors = why.view().errors;
        if errors.is_empty() {
            return vec![Self::whole(why.detail())];
        }
        errors.iter().map(|error| Self::told(error, name, file)).collect()
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What follows on `check "shop": `: on a form people see what it is about.
fn without_subject(text: &str) -> &str {
    let subject = text.split_once("\": ").filter(|(subject, _)| {
        let table = subject.split_once(" \"").map(|(table, _)| table).unwrap_or_default();
        !table.is_empty() && table.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    });
    subject.map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[[maintenance]]\nid = \"night\"\nchecks = [\"shop\"]\nfrom = \"x\"\n";

    #[test]
    fn a_fault_stands_at_the_key_of_its_line() {
        let told = |text: &str| {
            let Fault { key, message } = Fault::told(text, "console", FILE);
            (key, message)
        };
        let at = |key: &str, message: &str| (key.to_owned(), message.to_owned());
        assert_eq!(told("console:4:8: maintenance \"night\": from: no instant"), at("from", "no instant"));
        assert_eq!(
            told("console:3:11: maintenance \"night\": checks[0]: there is no check \"shop\": did you mean \"shops\"?"),
            at("checks", "there is no check \"shop\": did you mean \"shops\"?")
        );
        assert_eq!(
            told("console:1:1: maintenance \"night\": it covers nothing: name checks"),
            at("", "1:1: it covers nothing: name checks")
        );
        assert_eq!(
            told("console:1:1: \"lasts\" is missing: write lasts = \"2h\""),
            at("lasts", "\"lasts\" is missing: write lasts = \"2h\"")
        );
        let hours =
            Fault::told("x:2:9: policy \"gold\": hours.zone: no zone", "x", "[[policy]]\nhours = { zone = \"x\" }\n");
        assert_eq!(hours, Fault::at("hours.zone", "no zone"));
        assert_eq!(told("the whole is wrong"), at("", "the whole is wrong"));
    }
}
