//! Public status pages: what the owner chose to show to everybody, and under which names.
//!
//! A page says what is written here and nothing else: checks are named by the items that they belong to, never by their own ids or targets.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::coded::{Fault, Reference, Referent, names_faults};
use crate::id::ObjectId;
use crate::incident::IncidentKind;

/// Longest title and name, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// Longest text about a page, in bytes.
const ABOUT_BYTES_MAX: usize = 4_000;
/// Longest link, in bytes.
const LINK_BYTES_MAX: usize = 1_000;
/// Most groups of a page.
pub const GROUPS_MAX: usize = 50;
/// Most items of a page.
pub const ITEMS_MAX: usize = 200;
/// The name under which the badge of a whole page goes: no item's id.
pub const WHOLE: &str = "all";

/// A status page, as it is written as code: a `[[status_page]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusPage {
    /// Its id, a slug: the end of its address.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_fr: Option<String>,
    /// A text below the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about_fr: Option<String>,
    /// The language for readers who ask for none that there is: `en` or `fr`; `en` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The IANA time zone of its days and times; UTC where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where its title leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Its own colour: `#2f6f8f`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accent: Option<String>,
    /// Whether availability is told in figures.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub figures: bool,
    /// Which kinds of incidents it tells of.
    #[serde(default = "kinds_default", skip_serializing_if = "is_kinds_default")]
    pub incidents: Vec<String>,
    /// Whether it announces maintenance windows.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub windows: bool,
    /// The channel, of kind `email`, that sends mails to whoever subscribes; nobody can where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What it shows, in order.
    pub groups: Vec<StatusGroup>,
}

/// Items under one heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusGroup {
    /// The heading.
    pub name: String,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_fr: Option<String>,
    /// What stands below it, in order.
    pub items: Vec<StatusItem>,
}

/// One line of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusItem {
    /// Its id, a slug: the name of its badge.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_fr: Option<String>,
    /// The checks that it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// The groups of checks that it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_yes(value: &bool) -> bool {
    *value
}

/// What measurements of the page's own checks say; nothing that people wrote for each other.
const KINDS_DEFAULT: [IncidentKind; 3] = [IncidentKind::Down, IncidentKind::Regional, IncidentKind::Degraded];

fn kinds_default() -> Vec<String> {
    KINDS_DEFAULT.iter().map(|kind| String::from(kind.as_str())).collect()
}

#[allow(clippy::ptr_arg, reason = "serde hands a reference")]
fn is_kinds_default(kinds: &Vec<String>) -> bool {
    *kinds == kinds_default()
}

/// The text of a language: the French one where it is asked for and written.
fn of_language<'t>(language: &str, english: &'t str, french: Option<&'t str>) -> &'t str {
    if language == "fr" { french.unwrap_or(english) } else { english }
}

impl StatusItem {
    /// Its name in a language.
    pub fn name(&self, language: &str) -> &str {
        of_language(language, &self.name, self.name_fr.as_deref())
    }

    /// Whether it stands for a check of this id, in this group.
    pub fn covers(&self, check: &str, group: Option<&str>) -> bool {
        self.checks.iter().any(|id| id == check)
            || group.is_some_and(|group| self.groups.iter().any(|one| one == group))
    }
}

impl StatusGroup {
    /// Its heading in a language.
    pub fn name(&self, language: &str) -> &str {
        of_language(language, &self.name, self.name_fr.as_deref())
    }
}

impl StatusPage {
    /// The keys of its table.
    pub const KEYS: &'static [&'static str] = &[
        "id",
        "title",
        "title_fr",
        "about",
        "about_fr",
        "language",
        "zone",
        "home",
        "accent",
        "figures",
        "incidents",
        "windows",
        "channel",
        "groups",
    ];

    /// Its title in a language.
    pub fn title(&self, language: &str) -> &str {
        of_language(language, &self.title, self.title_fr.as_deref())
    }

    /// The text below the title in a language.
    pub fn about(&self, language: &str) -> Option<&str> {
        self.about.as_deref().map(|about| of_language(language, about, self.about_fr.as_deref()))
    }

    /// Every item, in order.
    pub fn items(&self) -> impl Iterator<Item = &StatusItem> {
        self.groups.iter().flat_map(|group| &group.items)
    }

    /// Whether it tells of incidents of a kind.
    pub fn tells_of(&self, kind: IncidentKind) -> bool {
        self.incidents.iter().any(|word| word == kind.as_str())
    }

    /// What is wrong with it by itself, but for its id and whether its zone is known.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut line = |field: &str, text: Option<&str>| faults.extend(text.and_then(|text| line_fault(field, text)));
        line("title", Some(&self.title));
        line("title_fr", self.title_fr.as_deref());
        for (at, group) in self.groups.iter().enumerate() {
            line(&format!("groups[{at}].name"), Some(&group.name));
            line(&format!("groups[{at}].name_fr"), group.name_fr.as_deref());
            for (item_at, item) in group.items.iter().enumerate() {
                line(&format!("groups[{at}].items[{item_at}].name"), Some(&item.name));
                line(&format!("groups[{at}].items[{item_at}].name_fr"), item.name_fr.as_deref());
            }
        }
        for (field, text) in [("about", &self.about), ("about_fr", &self.about_fr)] {
            let Some(text) = text else { continue };
            let odd = text.chars().any(|c| c.is_control() && c != '\n');
            if text.trim().is_empty() || text.len() > ABOUT_BYTES_MAX || odd {
                faults.push(Fault::new(field, format!("write 1 to {ABOUT_BYTES_MAX} bytes of text, or leave it out")));
            }
        }
        if self.about.is_none() && self.about_fr.is_some() {
            faults.push(Fault::new("about_fr", "it translates `about`: write that too"));
        }
        if self.language.as_deref().is_some_and(|language| !["en", "fr"].contains(&language)) {
            faults.push(Fault::new("language", "write \"en\" or \"fr\""));
        }
        if self.home.as_deref().is_some_and(|home| !is_link(home)) {
            faults.push(Fault::new("home", "write an address like \"https://www.example.com/\", or leave it out"));
        }
        if self.accent.is_some() && self.accent_rgb().is_none() {
            faults.push(Fault::new("accent", "write a colour as \"#2f6f8f\", or leave it out"));
        }
        faults.extend(self.kinds_faults());
        faults.extend(self.groups_faults());
        faults
    }

    /// Its own colour, as red, green and blue.
    pub fn accent_rgb(&self) -> Option<[u8; 3]> {
        let digits = self.accent.as_deref()?.strip_prefix('#')?;
        let fits = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        if fits { Some([byte(0)?, byte(2)?, byte(4)?]) } else { None }
    }

    fn kinds_faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = names_faults("incidents", &self.incidents).collect();
        for (at, word) in self.incidents.iter().enumerate() {
            let of_checks = match IncidentKind::parse(word) {
                Some(
                    IncidentKind::Down
                    | IncidentKind::Regional
                    | IncidentKind::Degraded
                    | IncidentKind::Certificate
                    | IncidentKind::WebVitals
                    | IncidentKind::Manual,
                ) => true,
                Some(IncidentKind::AgentSilent | IncidentKind::SloBurn) | None => false,
            };
            if !of_checks {
                let known = "\"down\", \"regional\", \"degraded\", \"certificate\", \"web_vitals\", \"manual\"";
                faults.push(Fault::new(
                    format!("incidents[{at}]"),
                    format!("{word:?} is no kind of incident of a check: write some of {known}"),
                ));
            }
        }
        faults
    }

    fn groups_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.groups.is_empty() || self.groups.len() > GROUPS_MAX {
            faults.push(Fault::new("groups", format!("write 1 to {GROUPS_MAX} groups, each with its items")));
        }
        let count = self.items().count();
        if count > ITEMS_MAX {
            faults.push(Fault::new("groups", format!("{count} items: at most {ITEMS_MAX} are shown on a page")));
        }
        let mut seen = BTreeSet::new();
        for (group_at, group) in self.groups.iter().enumerate() {
            if group.items.is_empty() {
                faults.push(Fault::new(format!("groups[{group_at}].items"), "a group has at least one item"));
            }
            for (at, item) in group.items.iter().enumerate() {
                let field = |key: &str| format!("groups[{group_at}].items[{at}].{key}");
                if let Err(error) = ObjectId::parse(&item.id) {
                    faults.push(Fault::new(field("id"), format!("{error}")));
                } else if item.id == WHOLE {
                    faults.push(Fault::new(field("id"), format!("{WHOLE:?} is the whole page: take another id")));
                } else if !seen.insert(item.id.as_str()) {
                    faults.push(Fault::new(field("id"), format!("{:?} is another item's id already", item.id)));
                }
                if item.checks.is_empty() && item.groups.is_empty() {
                    faults.push(Fault::new(field("id"), "it stands for nothing: add checks = [...] or groups = [...]"));
                }
                faults.extend(names_faults(&field("checks"), &item.checks));
                faults.extend(names_faults(&field("groups"), &item.groups));
            }
        }
        faults
    }

    /// The checks, the groups and the channel that it names.
    pub fn references(&self) -> Vec<Reference> {
        let mut references = Vec::new();
        for (group_at, group) in self.groups.iter().enumerate() {
            for (at, item) in group.items.iter().enumerate() {
                let checks = format!("groups[{group_at}].items[{at}].checks");
                let groups = format!("groups[{group_at}].items[{at}].groups");
                references.extend(Reference::list(&checks, Referent::Check, &item.checks));
                references.extend(Reference::list(&groups, Referent::Group, &item.groups));
            }
        }
        references.extend(self.channel.iter().map(|name| Reference {
            field: "channel".into(),
            to: Referent::Channel,
            name: name.clone(),
        }));
        references
    }
}

fn line_fault(field: &str, text: &str) -> Option<Fault> {
    let bad = text.trim().is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control);
    bad.then(|| Fault::new(field, format!("write 1 to {NAME_BYTES_MAX} bytes on one line")))
}

/// Whether a text is an address that a browser may be sent to: no script, no credentials.
fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let odd = text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\'));
    text.len() <= LINK_BYTES_MAX
        && !odd
        && rest.is_some_and(|rest| {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            !host.is_empty() && !host.contains('@')
        })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn page() -> StatusPage {
        let item = |id: &str, check: &str| StatusItem {
            id: id.into(),
            name: "Shop".into(),
            name_fr: Some("Boutique".into()),
            checks: vec![check.into()],
            groups: Vec::new(),
        };
        StatusPage {
            id: "public".into(),
            title: "Example".into(),
            title_fr: None,
            about: None,
            about_fr: None,
            language: None,
            zone: None,
            home: Some("https://www.example.com/".into()),
            accent: Some("#2f6f8F".into()),
            figures: true,
            incidents: kinds_default(),
            windows: true,
            channel: None,
            groups: vec![StatusGroup {
                name: "Web".into(),
                name_fr: None,
                items: vec![item("shop", "shop-web"), item("pay", "pay-api")],
            }],
        }
    }

    #[test]
    fn a_page_is_judged_key_by_key() {
        assert_eq!(page().faults(), Vec::new());
        let faulty = |change: &dyn Fn(&mut StatusPage)| -> Vec<String> {
            let mut page = page();
            change(&mut page);
            page.faults().iter().map(ToString::to_string).collect()
        };
        for (change, told) in [
            (&(|page: &mut StatusPage| page.title = "a\nb".into()) as &dyn Fn(&mut StatusPage), "title: write 1 to"),
            (&|page| page.language = Some("de".into()), "language: write \"en\" or \"fr\""),
            (&|page| page.accent = Some("red".into()), "accent: write a colour"),
            (&|page| page.accent = Some("#12345é".into()), "accent: write a colour"),
            (&|page| page.home = Some("javascript:alert(1)".into()), "home: write an address"),
            (&|page| page.home = Some("https://ana:pw@example.com/".into()), "home: write an address"),
            (&|page| page.about_fr = Some("oui".into()), "about_fr: it translates"),
            (&|page| page.incidents.push("slo_burn".into()), "incidents[3]: \"slo_burn\" is no kind"),
            (&|page| page.groups.clear(), "groups: write 1 to 50"),
            (&|page| page.groups[0].items.clear(), "groups[0].items: a group has"),
            (&|page| page.groups[0].items[1].id = "shop".into(), "groups[0].items[1].id: \"shop\" is another"),
            (&|page| page.groups[0].items[1].id = "all".into(), "groups[0].items[1].id: \"all\" is the whole"),
            (&|page| page.groups[0].items[1].id = "A B".into(), "groups[0].items[1].id: "),
            (&|page| page.groups[0].items[1].checks.clear(), "groups[0].items[1].id: it stands for nothing"),
            (&|page| page.groups[0].items[0].name = " ".into(), "groups[0].items[0].name: write 1 to"),
        ] {
            let faults = faulty(change);
            assert!(faults.len() == 1 && faults[0].starts_with(told), "{told}: {faults:?}");
        }
    }

    #[test]
    fn texts_fall_back_to_english_and_references_name_their_place() {
        let page = page();
        let item = &page.groups[0].items[0];
        assert_eq!((item.name("fr"), item.name("en"), page.title("fr")), ("Boutique", "Shop", "Example"));
        let fields: Vec<String> = page.references().into_iter().map(|one| one.field).collect();
        assert_eq!(fields, ["groups[0].items[0].checks[0]", "groups[0].items[1].checks[0]"]);
        assert_eq!(page.accent_rgb(), Some([0x2f, 0x6f, 0x8f]));
    }

    #[test]
    fn what_is_left_out_stays_left_out() {
        let written =
            r#"{"id":"p","title":"T","groups":[{"name":"G","items":[{"id":"i","name":"I","checks":["c"]}]}]}"#;
        let page: StatusPage = serde_json::from_str(written).unwrap();
        assert!(page.figures && page.windows && page.tells_of(IncidentKind::Regional));
        assert!(!page.tells_of(IncidentKind::Manual));
        assert_eq!(serde_json::to_string(&page).unwrap(), written);
    }
}
