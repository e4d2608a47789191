//! French typography, looked for in every French text: a no-break space stands before `:`, `;`, `?`, `!`, `%` and `»`, and after `«`, so that no line begins with one of them.
//!
//! Texts are in functions too, so the sources are read: their literals within what is French.

use std::path::{Path, PathBuf};

/// Marks that follow a no-break space.
const MARKS: [char; 6] = [':', ';', '?', '!', '%', '»'];

/// Each literal of a source with the place where it begins, escapes read; comments and tests are not.
fn literals(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut chars = code.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '/' if chars.peek().is_some_and(|(_, next)| *next == '/') => {
                chars.by_ref().find(|(_, c)| *c == '\n');
            }
            '\'' if code[at..].starts_with("'\"'") => drop(chars.nth(1)),
            '"' => {
                let mut text = String::new();
                while let Some((_, c)) = chars.next().filter(|(_, c)| *c != '"') {
                    match (c, (c == '\\').then(|| chars.next()).flatten()) {
                        ('\\', Some((_, 'u'))) => {
                            let digits: String =
                                chars.by_ref().skip(1).map(|(_, c)| c).take_while(|c| *c != '}').collect();
                            text.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
                        }
                        ('\\', Some((_, 'n'))) => text.push('\n'),
                        ('\\', Some((_, other))) => text.push(other),
                        (c, _) => text.push(c),
                    }
                }
                found.push((at, text));
            }
            _ => {}
        }
    }
    found
}

/// What is wrong with a French text.
fn fault(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let firm = |c: Option<&char>| c.is_some_and(|c| matches!(c, '\u{a0}' | '\u{202f}'));
    let (mut code, mut hole) = (false, false);
    for (at, c) in chars.iter().enumerate() {
        // What people type is quoted as it is typed, and what stands in a hole is Rust.
        code ^= *c == '`';
        hole = *c == '{' || hole && *c != '}';
        let (before, after) = (at.checked_sub(1).and_then(|at| chars.get(at)), chars.get(at + 1));
        let ends = after.is_none_or(|c| c.is_whitespace() || [',', '.', ')', ']'].contains(c));
        let wrong = match c {
            '«' => !firm(after),
            // A text that begins with a mark follows on another one.
            c if MARKS.contains(c) => at > 0 && ends && !firm(before),
            _ => false,
        };
        if wrong && !code && !hole {
            return Some(format!("no no-break space at {c:?} of {text:?}"));
        }
    }
    None
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// The parts of a source that are French: what `FR` is, functions whose name ends so, a file of that name.
fn is_french(path: &Path, source: &str, at: usize) -> bool {
    let begins = ["static FR: ", "const FR: "].iter().find_map(|begin| source.find(begin));
    let before = &source[..at];
    let own = before.rfind("\nfn ").map(|start| &before[start + 4..]).filter(|own| !own.contains("\n}\n"));
    let of_fr = own.is_some_and(|own| own.split('(').next().is_some_and(|name| name.ends_with("_fr")));
    path.ends_with("fr.rs") || begins.is_some_and(|begin| begin < at) || of_fr
}

#[test]
fn every_french_text_keeps_its_marks_on_its_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = sources(&root.join("src/present/text"))
        .into_iter()
        .filter(|path| !path.ends_with("typography.rs") && !path.ends_with("refusals/fr.rs"));
    // There the English stands beside it.
    let refused = super::refusals::french_texts().filter_map(fault);
    // Messages about incidents are not among them: with one no-break space a text message holds half as much.
    let words = [root.join("src/present/text.rs")];
    let (mut seen, mut faults) = (0, refused.collect::<Vec<_>>());
    for path in own.chain(words) {
        let source = std::fs::read_to_string(&path).unwrap();
        for (at, text) in literals(&source).into_iter().filter(|(at, _)| is_french(&path, &source, *at)) {
            seen += 1;
            // How a number is written by hand.
            if text.trim() == "%" {
                continue;
            }
            let line = source[..at].lines().count();
            faults.extend(fault(&text).map(|fault| format!("{}:{line}: {fault}", path.display())));
        }
    }
    // The library's texts stand in pairs: the second is French.
    for path in sources(&root.join("../shared/model/src/playbook/library")) {
        let source = std::fs::read_to_string(&path).unwrap();
        let accents = ['é', 'è', 'à', 'ê', 'ç', 'ù'];
        for (at, text) in literals(&source).into_iter().filter(|(_, text)| text.contains(accents)) {
            seen += 1;
            let line = source[..at].lines().count();
            faults.extend(fault(&text).map(|fault| format!("{}:{line}: {fault}", path.display())));
        }
    }
    assert!(seen > 1_500, "only {seen} French texts were found: are they elsewhere now?");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_plain_space_or_none_before_a_mark_is_a_fault() {
    for wrong in [
        "ouvrez :",
        "ouvrez:",
        "{what}: {why}",
        "quoi ?",
        "Oui !",
        "99,9 %",
        "« mot\u{a0}»",
        "«\u{a0}mot »",
        "fait; puis",
    ] {
        assert!(fault(wrong).is_some(), "{wrong:?}");
    }
    for right in
        ["ouvrez\u{a0}:", "à 10:00 UTC", "https://a.example/?b=c", "`secret: x`", "\u{a0}: {}", "«\u{a0}mot\u{a0}»", ""]
    {
        assert_eq!(fault(right), None, "{right:?}");
    }
}
