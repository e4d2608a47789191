//! Playbooks: what to do about a kind of finding or incident, step by step.
//!
//! This file is the definition, as it is written as code. [`condition`] is what ticks a step by itself, [`fill`] puts the real names into links and commands,
//! [`run`] is the life of one run, [`rates`] what many runs come to, [`library`] what is there without anybody writing anything.
//!
//! Architecture invariant: a playbook does nothing by itself. Commands are shown to be copied; the collector never runs one.

pub mod condition;
pub mod fill;
pub mod library;
pub mod rates;
pub mod run;
mod shell;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use self::condition::Condition;
use crate::check::CheckKind;
use crate::coded::{Fault, Reference, Referent, names_faults};
use crate::id::ObjectId;
use crate::incident::{CheckClass, IncidentKind};
use crate::insight;

/// Most steps of a playbook.
pub const STEPS_MAX: usize = 50;
/// Most minutes that a step is thought to take: a day.
pub const MINUTES_MAX: u32 = 1_440;
/// Longest title and role, in bytes.
const LINE_BYTES_MAX: usize = 200;
/// Longest text of a step, in bytes.
const TEXT_BYTES_MAX: usize = 4_000;
/// Longest link and command, in bytes.
const TEMPLATE_BYTES_MAX: usize = 2_000;

/// A playbook, as it is written as code: a `[[playbook]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Its id, a slug.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_fr: Option<String>,
    /// The kinds of incidents it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<String>,
    /// The kinds of findings it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// These checks alone. Checks, groups and tags add up: what one of them names is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// The checks of these groups alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The checks with one of these tags alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Checks of these classes alone, beside what is said above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Checks of these kinds (`http`, `domain`) alone, beside what is said above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check_kinds: Vec<String>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its id, a slug: what ticks and skips name.
    pub id: String,
    /// What to do, in a few words.
    pub title: String,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_fr: Option<String>,
    /// How, and what it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_fr: Option<String>,
    /// How long it should take, in minutes.
    pub minutes: u32,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_fr: Option<String>,
    /// Where to look: a page of the console, `/checks/{check}`, or an address elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What to paste into a shell, with names in braces: `sitepulse-collector explain {check}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What ticks it by itself: see [`Condition`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_when: Option<String>,
}

/// The text of a language: the French one where it is asked for and written.
fn of_language<'t>(language: &str, english: &'t str, french: Option<&'t str>) -> &'t str {
    if language == "fr" { french.unwrap_or(english) } else { english }
}

impl Step {
    /// Its title in a language.
    pub fn title(&self, language: &str) -> &str {
        of_language(language, &self.title, self.title_fr.as_deref())
    }

    /// Its text in a language.
    pub fn text(&self, language: &str) -> Option<&str> {
        self.text.as_deref().map(|text| of_language(language, text, self.text_fr.as_deref()))
    }

    /// Who does it, in a language.
    pub fn role(&self, language: &str) -> Option<&str> {
        self.role.as_deref().map(|role| of_language(language, role, self.role_fr.as_deref()))
    }

    /// What ticks it by itself; `None` where nothing does, or a build of another time wrote something that this one cannot read.
    pub fn condition(&self) -> Option<Condition> {
        self.done_when.as_deref().and_then(|text| Condition::parse(text).ok())
    }

    fn faults(&self, at: usize) -> Vec<Fault> {
        let field = |key: &str| format!("steps[{at}].{key}");
        let mut faults = Vec::new();
        for (key, text) in [
            ("title", Some(&self.title)),
            ("title_fr", self.title_fr.as_ref()),
            ("role", self.role.as_ref()),
            ("role_fr", self.role_fr.as_ref()),
        ] {
            faults.extend(text.and_then(|text| line_fault(field(key), text)));
        }
        for (key, text) in [("text", &self.text), ("text_fr", &self.text_fr)] {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || has_odd(text) {
                let what = format!("write 1 to {TEXT_BYTES_MAX} bytes of text, or leave it out");
                faults.push(Fault::new(field(key), what));
            }
        }
        for (key, french, english) in [("text_fr", &self.text_fr, &self.text), ("role_fr", &self.role_fr, &self.role)] {
            if french.is_some() && english.is_none() {
                let of = key.trim_end_matches("_fr");
                faults.push(Fault::new(field(key), format!("it translates `{of}`: write that too")));
            }
        }
        if !(1..=MINUTES_MAX).contains(&self.minutes) {
            faults.push(Fault::new(field("minutes"), format!("write 1 to {MINUTES_MAX} minutes")));
        }
        if let Some(link) = &self.link
            && let Err(what) = fill::check_link(link)
        {
            faults.push(Fault::new(field("link"), what));
        }
        if let Some(command) = &self.command {
            if command.trim().is_empty() || command.len() > TEMPLATE_BYTES_MAX || has_odd(command) {
                let what = format!("write 1 to {TEMPLATE_BYTES_MAX} bytes to paste into a shell, or leave it out");
                faults.push(Fault::new(field("command"), what));
            } else if let Err(what) = fill::check_command(command) {
                faults.push(Fault::new(field("command"), what));
            }
        }
        if let Some(Err(what)) = self.done_when.as_deref().map(Condition::parse) {
            faults.push(Fault::new(field("done_when"), what));
        }
        faults
    }
}

fn has_odd(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n')
}

fn line_fault(field: String, text: &str) -> Option<Fault> {
    let bad = text.trim().is_empty() || text.len() > LINE_BYTES_MAX || text.chars().any(char::is_control);
    bad.then(|| Fault::new(field, format!("write 1 to {LINE_BYTES_MAX} bytes on one line")))
}

/// What a playbook is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// An incident of a kind.
    Incident(IncidentKind),
    /// A finding of a kind.
    Finding(insight::Kind),
}

/// The check that the trouble is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// Its id; `None`: it is about no check.
    pub check: Option<&'a str>,
    /// Its group.
    pub group: Option<&'a str>,
    /// Its tags.
    pub tags: &'a [&'a str],
    /// How much it matters.
    pub class: Option<CheckClass>,
    /// Its kind: `http`.
    pub kind: Option<&'a str>,
}

/// How closely a playbook fits, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It is for everything of that kind of trouble.
    General,
    /// It is for checks of that class or kind.
    Class,
    /// It is for a group or tag of the check.
    Label,
    /// It is for that very check.
    Check,
}

impl Playbook {
    /// The keys of its table.
    pub const KEYS: &'static [&'static str] = &[
        "id",
        "title",
        "title_fr",
        "incidents",
        "findings",
        "checks",
        "groups",
        "tags",
        "classes",
        "check_kinds",
        "steps",
    ];

    /// Its title in a language.
    pub fn title(&self, language: &str) -> &str {
        of_language(language, &self.title, self.title_fr.as_deref())
    }

    /// How long all of it should take, in minutes.
    pub fn minutes(&self) -> u32 {
        self.steps.iter().fold(0, |sum: u32, step| sum.saturating_add(step.minutes))
    }

    /// Whether it is for a kind of trouble.
    pub fn is_for(&self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::Incident(kind) => self.incidents.iter().any(|word| word == kind.as_str()),
            Trouble::Finding(kind) => self.findings.iter().any(|word| word == kind.as_str()),
        }
    }

    /// How closely it fits a check with a kind of trouble; `None`: it does not.
    pub fn fits(&self, trouble: Trouble, about: &About<'_>) -> Option<Fit> {
        if !self.is_for(trouble) {
            return None;
        }
        let among = |names: &[String], name: Option<&str>| name.is_some_and(|name| names.iter().any(|one| one == name));
        let class = among(&self.classes, about.class.map(CheckClass::as_str));
        let kind = among(&self.check_kinds, about.kind);
        if (!self.classes.is_empty() && !class) || (!self.check_kinds.is_empty() && !kind) {
            return None;
        }
        if among(&self.checks, about.check) {
            return Some(Fit::Check);
        }
        if among(&self.groups, about.group) || about.tags.iter().any(|tag| among(&self.tags, Some(*tag))) {
            return Some(Fit::Label);
        }
        if !(self.checks.is_empty() && self.groups.is_empty() && self.tags.is_empty()) {
            return None;
        }
        Some(if class || kind { Fit::Class } else { Fit::General })
    }

    /// What is wrong with it by itself, but for its id.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = line_fault("title".into(), &self.title).into_iter().collect();
        faults.extend(self.title_fr.as_deref().and_then(|text| line_fault("title_fr".into(), text)));
        if self.incidents.is_empty() && self.findings.is_empty() {
            let what = "say what it is for: incidents = [\"down\"], findings = [\"latency_regression\"], or both";
            faults.push(Fault::new("incidents", what));
        }
        let incidents: Vec<&str> = IncidentKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let findings: Vec<&str> = insight::Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let classes: Vec<&str> = CheckClass::ALL.iter().map(|class| class.as_str()).collect();
        for (field, names, known, what) in [
            ("incidents", &self.incidents, &incidents[..], "kind of incident"),
            ("findings", &self.findings, &findings[..], "kind of finding"),
            ("classes", &self.classes, &classes[..], "class of checks"),
            ("check_kinds", &self.check_kinds, &CheckKind::NAMES[..], "kind of checks"),
        ] {
            faults.extend(names_faults(field, names));
            for (at, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
                let what = format!("{name:?} is no {what}: write some of {}", known.join(", "));
                faults.push(Fault::new(format!("{field}[{at}]"), what));
            }
        }
        for (field, names) in [("checks", &self.checks), ("groups", &self.groups), ("tags", &self.tags)] {
            faults.extend(names_faults(field, names));
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            let what = format!("{} steps: write 1 to {STEPS_MAX} of them", self.steps.len());
            faults.push(Fault::new("steps", what));
        }
        let mut seen = BTreeSet::new();
        for (at, step) in self.steps.iter().enumerate().take(STEPS_MAX) {
            let field = format!("steps[{at}].id");
            if let Err(error) = ObjectId::parse(&step.id) {
                faults.push(Fault::new(field, format!("{error}")));
            } else if !seen.insert(step.id.as_str()) {
                faults.push(Fault::new(field, format!("{:?} is another step's id already", step.id)));
            }
            faults.extend(step.faults(at));
        }
        faults
    }

    /// The checks, groups and tags that it names.
    pub fn references(&self) -> Vec<Reference> {
        Reference::list("checks", Referent::Check, &self.checks)
            .chain(Reference::list("groups", Referent::Group, &self.groups))
            .chain(Reference::list("tags", Referent::Tag, &self.tags))
            .collect()
    }
}

/// The playbooks for a trouble, the best first: own ones before built-in ones, the closest fit first, then by id. `true` stands beside built-in ones.
pub fn offers<'p>(
    own: impl Iterator<Item = &'p Playbook>,
    built_in: &'p [Playbook],
    trouble: Trouble,
    about: &About<'_>,
) -> Vec<(&'p Playbook, bool)> {
    let all = own.map(|book| (false, book)).chain(built_in.iter().map(|book| (true, book)));
    let fitting = all.filter_map(|(is_built_in, book)| Some((is_built_in, Reverse(book.fits(trouble, about)?), book)));
    let mut found: Vec<_> = fitting.collect();
    found.sort_by(|a, b| (a.0, a.1, &a.2.id).cmp(&(b.0, b.1, &b.2.id)));
    found.into_iter().map(|(is_built_in, _, book)| (book, is_built_in)).collect()
}

#[cfg(test)]
mod tests;
