//! Refusals in French. Who judges a form is deep below and speaks one language, as code and the API do: what it says is a sentence with values in it, and that
//! sentence is the key by which [`fr`] has the other one. A value that is a refusal itself is told in French too.
//!
//! What stands in no table is told in English, and said to be (`lang="en"`). A test reads the sources: a sentence that nobody says any more is found.

mod fr;

/// A pattern in two languages: `{}` is a value, in the same order in both.
type Pair = (&'static str, &'static str);

/// How deep values may be refusals themselves.
const DEEP_MAX: usize = 4;

/// What is missing, in English and French, and whether French has it feminine.
const NOUNS: [(&str, &str, bool); 19] = [
    ("action", "action", true),
    ("agent", "agent", false),
    ("channel", "canal", false),
    ("check", "contrôle", false),
    ("escalation policy", "politique d’escalade", true),
    ("finding", "constat", false),
    ("group", "groupe", false),
    ("incident", "incident", false),
    ("job", "tâche", true),
    ("maintenance window", "fenêtre de maintenance", true),
    ("playbook", "procédure", true),
    ("policy", "politique", true),
    ("region", "région", true),
    ("run", "exécution", true),
    ("schedule", "planning", false),
    ("session", "session", true),
    ("slo", "objectif", false),
    ("status page", "page d’état", true),
    ("user", "utilisateur", false),
];

/// A refusal in French; `None`: nobody wrote it in French yet.
pub fn french(english: &str) -> Option<String> {
    told(english, DEEP_MAX)
}

fn told(english: &str, deep: usize) -> Option<String> {
    if let Some(missing) = missing(english) {
        return Some(missing);
    }
    for (pattern, french) in fr::pairs() {
        if let Some(values) = values(pattern, english) {
            return Some(written(french, &values, deep));
        }
    }
    // A place before what is wrong there: `levels[1].after: ...`, `console:3:1: check "shop": ...`.
    let (place, rest) = english.split_once(": ")?;
    if deep == 0 || !is_place(place) {
        return None;
    }
    told(rest, deep - 1).map(|rest| format!("{place}: {rest}"))
}

/// `no check is named "shop"`.
fn missing(english: &str) -> Option<String> {
    let (what, name) = english.strip_prefix("no ")?.split_once(" is named ")?;
    let (_, noun, feminine) = NOUNS.into_iter().find(|(noun, ..)| *noun == what)?;
    Some(format!("{} {noun} ne s’appelle {name}", if feminine { "aucune" } else { "aucun" }))
}

/// Whether something says where, and nothing more: a key, a line, a table with its id, one quoted value.
fn is_place(text: &str) -> bool {
    let bare = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.[]:-".contains(&byte));
    let quoted = |text: &str| text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
    let of_table = |text: &str| text.split_once(' ').is_some_and(|(table, id)| bare(table) && (quoted(id) || bare(id)));
    !text.is_empty() && (bare(text) || quoted(text) || of_table(text))
}

/// The values of a text that fits a pattern.
fn values<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let mut parts = pattern.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let parts: Vec<&str> = parts.collect();
    let mut values = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        let end = if last { rest.len().checked_sub(part.len())? } else { rest.find(part)? };
        if !rest.is_char_boundary(end) || !rest[end..].starts_with(part) {
            return None;
        }
        values.push(&rest[..end]);
        rest = &rest[end + part.len()..];
    }
    rest.is_empty().then_some(values)
}

fn written(french: &str, values: &[&str], deep: usize) -> String {
    let mut values = values.iter();
    let mut out = String::new();
    for (at, part) in french.split("{}").enumerate() {
        if at > 0
            && let Some(value) = values.next()
        {
            let inner = if deep == 0 { None } else { told(value, deep - 1) };
            out.push_str(inner.as_deref().unwrap_or(value));
        }
        out.push_str(part);
    }
    out
}

/// Every French text.
#[cfg(test)]
pub(super) fn french_texts() -> impl Iterator<Item = &'static str> {
    fr::pairs().map(|(_, french)| *french)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_values() {
        let told = |english: &str| french(english).unwrap_or_else(|| panic!("{english}"));
        assert_eq!(told("no check is named \"x\""), "aucun contrôle ne s’appelle \"x\"");
        assert_eq!(told("interval is 10ms: allowed are 1s to 7d"), "interval vaut 10ms\u{a0}: de 1s à 7d");
        let placed =
            told("levels[1].after: duration \"soon\" is not a number followed by a unit: write 30s, 10m, 2h or 7d");
        assert!(placed.starts_with("levels[1].after: la durée \"soon\""), "{placed}");
        let deeper = told(
            "console:2:6: check \"a\": timeout: duration \"5x\" has an unknown unit \"x\": use one of us, ms, s, m, h, d",
        );
        assert!(deeper.starts_with("console:2:6: check \"a\": timeout: la durée"), "{deeper}");
        // The defect: states stayed English within French sentences.
        assert_eq!(
            told("run p-1: it is abandoned already: start another one"),
            "run p-1: elle est déjà dans l’état «\u{a0}abandonnée\u{a0}»\u{a0}: commencez-en une autre"
        );
        assert_eq!(told("job h1 is over already: it is done"), "la tâche h1 est déjà finie\u{a0}: faite");
        for other in ["a provider said so", "", ": ", "no is named ", "the page could not be rendered, maybe"] {
            assert_eq!(french(other), None, "{other}");
        }
    }

    #[test]
    fn the_warning_of_a_slow_parent_is_told_in_french() {
        let told = french(
            "check shop hangs on gateway, which runs every 1h, and itself every 30s: its pages wait 2 min at most for so slow a parent, give that a shorter interval",
        );
        assert!(
            told.unwrap().starts_with("le contrôle shop dépend de gateway, lancé toutes les 1h, et lui toutes les 30s")
        );
    }

    #[test]
    fn both_languages_have_the_same_values() {
        for (english, french) in fr::pairs() {
            assert_eq!(english.matches("{}").count(), french.matches("{}").count(), "{english}");
            assert!(!english.starts_with("{}{}") && !english.contains("{}{}"), "{english}: two values in a row");
        }
    }

    fn sources(dir: &Path, all: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The tables themselves say nothing.
                if !path.ends_with("text/refusals/fr") {
                    sources(&path, all);
                }
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("refusals/fr.rs") {
                all.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_sentence_is_one_that_somebody_says() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = String::new();
        for dir in ["src", "../shared/model/src", "../shared/daemon/src", "../shared/notify/src"] {
            sources(&here.join(dir), &mut all);
        }
        // As the compiler reads it: a backslash at a line's end joins it to the next.
        let mut joined = String::new();
        for line in all.lines() {
            match line.strip_suffix('\\') {
                Some(begun) => joined.push_str(if joined.ends_with('\n') { begun } else { begun.trim_start() }),
                None if joined.ends_with('\n') || joined.is_empty() => joined.extend([line, "\n"]),
                None => joined.extend([line.trim_start(), "\n"]),
            }
        }
        let plain = joined.replace("\\\"", "\"").replace("{{", "{").replace("}}", "}").replace("\\\\", "\\");
        for (english, _) in fr::pairs() {
            let longest = english.split("{}").map(str::trim).max_by_key(|part| part.len()).unwrap();
            assert!(plain.contains(longest), "nobody says {longest:?} any more: {english}");
        }
    }

    /// Where what a form can cause is judged.
    const JUDGES: [&str; 24] = [
        "src/alert/people.rs",
        "src/alert/silence.rs",
        "src/app/access.rs",
        "src/app/credentials.rs",
        "src/app/join_tokens.rs",
        "src/app/oncall.rs",
        "src/app/plan.rs",
        "src/app/plan/objects.rs",
        "src/enrol.rs",
        "src/heartbeat/timing.rs",
        "src/insight/shelf.rs",
        "src/jobs/engine.rs",
        "src/maintenance/rule.rs",
        "src/playbook/acts.rs",
        "src/policy.rs",
        "src/present/jobs.rs",
        "src/run_now.rs",
        "../shared/model/src/accounting.rs",
        "../shared/model/src/check/cron.rs",
        "../shared/model/src/check/syntax.rs",
        "../shared/model/src/duration.rs",
        "../shared/model/src/expect/query.rs",
        "../shared/model/src/playbook/run.rs",
        "../shared/model/src/service_hours.rs",
    ];

    /// The sentences of a source: what is handed to a refusal as it is written, with `7` for each value.
    fn sentences(source: &str) -> Vec<String> {
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let mut found = Vec::new();
        for mark in
            ["NotFound(", "Invalid(", "Conflict(", "Forbidden(", "Err(", "wrong(", "refuse(", "invalid(", "#[error("]
        {
            for (at, _) in source.match_indices(mark) {
                let rest = source[at + mark.len()..].trim_start().trim_start_matches('&');
                let rest = rest.strip_prefix("format!(").unwrap_or(rest).trim_start();
                let Some(text) = rest.strip_prefix('"') else { continue };
                let (mut said, mut depth, mut chars) = (String::new(), 0, text.chars().peekable());
                while let Some(c) = chars.next() {
                    match (c, chars.peek().copied()) {
                        ('"', _) => break,
                        ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                        ('\\', Some(_)) => said.extend(chars.next()),
                        ('{', Some('{')) | ('}', Some('}')) => said.extend(chars.next()),
                        ('{', _) => {
                            depth += 1;
                            said.push('7');
                        }
                        ('}', _) => depth -= 1,
                        (c, _) if depth == 0 => said.push(c),
                        _ => {}
                    }
                }
                // Less is made of others.
                if said.split(' ').filter(|word| word.chars().any(char::is_alphabetic)).count() > 1 {
                    found.push(said);
                }
            }
        }
        found
    }

    #[test]
    fn what_a_form_can_cause_is_told_in_french() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut missing = Vec::new();
        for file in JUDGES {
            let said =
                sentences(&std::fs::read_to_string(here.join(file)).unwrap_or_else(|error| panic!("{file}: {error}")));
            assert!(!said.is_empty(), "{file} refuses nothing: take it off the list");
            let untold = said.into_iter().filter(|one| french(one).is_none());
            missing.extend(untold.map(|one| format!("{file}: {one}")));
        }
        assert!(missing.is_empty(), "{}", missing.join("\n"));
    }
}
