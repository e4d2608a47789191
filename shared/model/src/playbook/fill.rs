//! The real names in links and commands: `{check}` becomes the check's id.
//!
//! A command is pasted into a shell, and a URL or a group is what somebody wrote: so each name is quoted for a POSIX shell as it is put in. Quoting holds only
//! where the shell reads a plain word, so [`check_command`] lets a name in braces stand nowhere else: not within quotes, not after `\` or `$`, not beside a here-document, and not where a second
//! shell reads what the first one read ([`super::shell`]).
//! What has no value becomes its name in capitals, which a person then fills in.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::TEMPLATE_BYTES_MAX;
use super::shell::Reader;

/// The names that links and commands may have, in the order they are documented.
pub const NAMES: [&str; 10] =
    ["check", "agent", "region", "group", "host", "address", "url", "slo", "incident", "finding"];

/// What the names stand for in one run. `None`: nothing is known by that name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// The check's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// The agent's name: the one it is about, or one that says the check is bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// That agent's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The check's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The host or domain that the check watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Host and port, as `openssl s_client -connect` takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The URL that the check watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The objective's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<String>,
    /// The incident's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The finding's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}

impl Names {
    /// What a name stands for. What a shell or a browser would take for something else than a name is left out: control characters, and a dash at the beginning,
    /// which is an option.
    fn value(&self, name: &str) -> Option<&str> {
        let value = match name {
            "check" => &self.check,
            "agent" => &self.agent,
            "region" => &self.region,
            "group" => &self.group,
            "host" => &self.host,
            "address" => &self.address,
            "url" => &self.url,
            "slo" => &self.slo,
            "incident" => &self.incident,
            "finding" => &self.finding,
            _ => return None,
        };
        let value = value.as_deref()?;
        (!value.is_empty() && !value.starts_with('-') && !value.chars().any(char::is_control)).then_some(value)
    }
}

/// A template in parts.
enum Part<'t> {
    Text(&'t str),
    Name(&'t str),
}

/// The parts of a template. Braces around anything but lowercase letters are text, and so are those after `%` (curl's own) and a shell's `${...}` of another name.
fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = template;
    let mut from = 0;
    while let Some(open) = rest[from..].find('{').map(|at| from + at) {
        let inside = &rest[open + 1..];
        let name = inside.find('}').map(|end| &inside[..end]);
        let own = |name: &&str| match rest[..open].bytes().next_back() {
            Some(b'%') => false,
            Some(b'$') => NAMES.contains(name),
            Some(_) | None => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        };
        match name.filter(own) {
            Some(name) => {
                parts.push(Part::Text(&rest[..open]));
                parts.push(Part::Name(name));
                rest = &inside[name.len() + 1..];
                from = 0;
            }
            None => from = open + 1,
        }
    }
    parts.push(Part::Text(rest));
    parts
}

fn unknown(name: &str) -> String {
    format!("there is no {{{name}}}: write one of {}", NAMES.map(|name| format!("{{{name}}}")).join(", "))
}

/// Judges a link.
///
/// # Errors
/// What is wrong, with the remedy.
pub fn check_link(link: &str) -> Result<(), String> {
    let odd = link.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\'));
    let here = link.starts_with('/') && !link.starts_with("//");
    let there = link.strip_prefix("https://").is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !host.contains(['@', '{'])
    });
    if odd || link.len() > TEMPLATE_BYTES_MAX || !(here || there) {
        return Err("write a page of the console like \"/checks/{check}\", or an address like \"https://wiki.example/runbooks\"".into());
    }
    match parts(link).iter().find_map(|part| bad_name(part)) {
        Some(name) => Err(unknown(name)),
        None => Ok(()),
    }
}

fn bad_name<'t>(part: &Part<'t>) -> Option<&'t str> {
    match part {
        Part::Name(name) if !NAMES.contains(name) => Some(name),
        Part::Name(_) | Part::Text(_) => None,
    }
}

/// Judges a command: its names, and that each stands where quoting holds.
///
/// # Errors
/// What is wrong, with the remedy.
pub fn check_command(command: &str) -> Result<(), String> {
    let parts = parts(command);
    if let Some(name) = parts.iter().find_map(bad_name) {
        return Err(unknown(name));
    }
    let mut reader = Reader::new();
    for part in &parts {
        match part {
            Part::Name(name) => reader.name(name)?,
            Part::Text(text) => reader.text(text),
        }
    }
    if let Some(open) = reader.open_quote() {
        return Err(format!("the quote {open} is not closed: close it"));
    }
    let named = parts.len() > 1;
    if named && reader.has_quoted_comment() {
        return Err("a comment beside names in braces has a quote in it, which not every shell takes for a comment's: write it without".into());
    }
    if named && command.contains("$'") {
        return Err(
            "names in braces cannot stand beside $'...', which not every shell knows: write plain quotes".into()
        );
    }
    if named && command.contains("<<") {
        return Err("names in braces cannot stand beside a here-document, where quotes mean nothing: use a pipe".into());
    }
    if named && command.contains('`') {
        return Err(
            "names in braces cannot stand beside backquotes, where quotes mean something else: use $(...)".into()
        );
    }
    Ok(())
}

/// A text as one word of a POSIX shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    // An equals sign first would be an empty name's, a tilde somebody's home.
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with(['=', '-']) {
        return text.to_string();
    }
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("'\\''"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// A command with the names filled in, each as a word of its own or a part of one; and those that have no value.
pub fn command(template: &str, names: &Names) -> (String, Vec<String>) {
    filled(template, |name| names.value(name).map(quoted), str::to_uppercase)
}

/// A link with the names filled in, percent-encoded; and those that have no value.
pub fn link(template: &str, names: &Names) -> (String, Vec<String>) {
    filled(template, |name| names.value(name).map(encoded), encoded)
}

fn filled(
    template: &str,
    value: impl Fn(&str) -> Option<String>,
    without: impl Fn(&str) -> String,
) -> (String, Vec<String>) {
    let (mut out, mut missing) = (String::new(), Vec::new());
    for part in parts(template) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Name(name) => match value(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push_str(&without(name));
                    if !missing.iter().any(|known| known == name) {
                        missing.push(name.to_string());
                    }
                }
            },
        }
    }
    (out, missing)
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names { check: Some("shop".into()), host: Some("it's; rm -rf $HOME".into()), ..Names::default() }
    }

    #[test]
    fn names_are_filled_in_and_what_is_missing_is_told() {
        let (text, missing) = command("dig +short {host} @{agent} # {check} {agent}", &names());
        assert_eq!(text, r"dig +short 'it'\''s; rm -rf $HOME' @AGENT # shop AGENT");
        assert_eq!(missing, ["agent"]);
        let (text, missing) = link("/checks/{check}?host={host}", &names());
        assert_eq!(text, "/checks/shop?host=it%27s%3B%20rm%20-rf%20%24HOME");
        assert!(missing.is_empty());
        // What a shell would read as an option, or as two lines, is no name.
        for bad in ["-o", "a\nb", ""] {
            let names = Names { host: Some(bad.into()), ..Names::default() };
            assert_eq!(command("dig {host}", &names), ("dig HOST".into(), alloc::vec!["host".to_string()]));
        }
        assert_eq!(command("awk '{print $1}' {check}", &names()).0, "awk '{print $1}' shop");
    }

    #[test]
    fn a_name_stands_only_where_its_quotes_hold() {
        for good in [
            "dig {host}",
            "curl https://{host}/",
            "awk '{print $1}' {check}",
            "echo \"a\" {check} 'b'",
            "echo \\\\ {check}",
            "${HOME}/x ${path} {check}",
            "curl -w '%{time_total}' {url}",
            "dig {host} # as the provider does",
            "# first this\ndig {host}\n# {check} too",
            "dig {host}#x 'a#b' $#",
            "echo a\\ # {check}",
            "ssh {host}",
            "ssh -p 22 -4 root@{host} uptime",
            "dig {host} | xargs -n1 whois",
            "eval \"$(ssh-agent)\"; dig {host}",
            "H={host} sh -c 'dig \"$H\"'",
            "sh check.sh {host}",
            "(ssh gw uptime); dig {host}",
        ] {
            assert_eq!(check_command(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("curl 'https://{host}/'", "within quotes"),
            ("curl \"{host}\"", "within quotes"),
            ("echo \\{host}", "after '\\\\'"),
            ("echo ${host}", "after '$'"),
            ("cat <<EOF\n{host}\nEOF", "here-document"),
            ("echo `dig {host}`", "backquotes"),
            ("dig {hosts}", "there is no {hosts}"),
            ("echo 'x", "not closed"),
            ("echo \"\\\" {host}\"", "within quotes"),
            // The defect: the quotes in the comments turned the one around the name round.
            ("# don't a\ndig '{host}'\n# don't b", "within quotes"),
            // Interactive zsh takes none of these for a comment.
            ("# don't\ndig {host}", "without"),
            ("dig {host} # it's slow, isn't it", "without"),
            ("echo a\\ #'\ndig {host}'", "within quotes"),
            ("echo a\\\n#b '{host}'", "within quotes"),
            ("echo $'a' {host}", "plain quotes"),
            // The defect: what a second shell reads, it reads without quotes.
            ("ssh gw.example dig {host}", "after `ssh`"),
            ("ssh {agent} dig {host}", "after `ssh`"),
            ("ssh -J {host} gw.example", "after `ssh`"),
            ("ssh -oProxyCommand={host} gw.example", "after `ssh`"),
            ("sudo /usr/bin/ssh gw.example dig {host}", "after `ssh`"),
            ("eval dig {host}", "after `eval`"),
            ("true && watch -n 5 dig {host}", "after `watch`"),
            ("ls | xargs -I% dig % {host}", "after `xargs`"),
            ("sh -c dig\\ {host}", "after `sh -c`"),
            ("docker exec web bash -lc {check}", "after `bash -lc`"),
            ("ssh gw.example $(true) {host}", "after `ssh`"),
            ("ssh ${GATEWAY} 2>&1 {host}", "after `ssh`"),
        ] {
            let told = check_command(bad).unwrap_err();
            assert!(told.contains(why), "{bad}: {told}");
        }
        for bad in [
            "checks",
            "//evil.example",
            "http://plain.example/",
            "https://{host}/",
            "https://a@b/",
            "/a b",
            "javascript:alert(1)",
            "/checks/{chek}",
        ] {
            assert!(check_link(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_comment_is_no_text() {
        for good in ["# don't\ndig example.com", "dig example.com # don't", "echo a # b \" c"] {
            assert_eq!(check_command(good), Ok(()), "{good}");
        }
        assert!(check_command("echo a#don't").is_err(), "a word goes on");
    }

    proptest! {
        /// What a shell would make of a word: no character of it is left unquoted that means anything.
        #[test]
        fn a_quoted_text_is_one_word_again(text in "\\PC{0,40}") {
            let word = quoted(&text);
            let (mut read, mut rest) = (String::new(), word.as_str());
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '\'' => {
                        let end = rest.find('\'').expect("the quote ends");
                        read.push_str(&rest[..end]);
                        rest = &rest[end + 1..];
                    }
                    '\\' => {
                        let next = rest.chars().next().expect("something is escaped");
                        read.push(next);
                        rest = &rest[next.len_utf8()..];
                    }
                    c => {
                        prop_assert!(c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c), "{c:?} of {word}");
                        read.push(c);
                    }
                }
            }
            prop_assert_eq!(read, text);
        }
    }
}
