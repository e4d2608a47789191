//! Queries into a body: a JSON path, a CSS selector, an XML path. Compiled when an assertion is parsed.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use scraper::Html;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::selector::Compounds;

/// An RFC 9535 path. Two are equal when they were written alike.
#[derive(Debug, Clone)]
pub(super) struct JsonQuery {
    source: String,
    path: JsonPath,
}

impl JsonQuery {
    /// Compiles a path. What could take more than linear time in the body's size, on top of the path's, is refused.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = JsonPath::parse(text).map_err(|error| {
            format!("the JSON path is wrong at its character {}: {}", error.position() + 1, error.message())
        })?;
        let bare = unquoted(text);
        if bare.matches("..").count() > 1 {
            return Err("a JSON path may use \"..\" once".to_owned());
        }
        if bare.matches('$').count() > 1 {
            return Err("a filter in a JSON path starts with \"@\", not with \"$\"".to_owned());
        }
        if bare.matches(',').count() > 3 {
            return Err("a JSON path may hold at most 3 commas".to_owned());
        }
        if bare.contains("match(") || bare.contains("search(") {
            return Err("functions match() and search() are not offered: use the test \"matches /REGEX/\"".to_owned());
        }
        Ok(Self { source: text.to_owned(), path })
    }

    /// What it finds, in order.
    pub(super) fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.path.query(value).all()
    }
}

/// A path without what stands in quotes.
fn unquoted(text: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            None => out.push(c),
            Some(_) if c == '\\' => drop(chars.next()),
            Some(open) if c == open => quote = None,
            Some(_) => {}
        }
    }
    out
}

/// A CSS selector, optionally with an attribute: `input[name=csrf]@value`.
#[derive(Debug, Clone)]
pub(super) struct HtmlQuery {
    source: String,
    selector: Box<Compounds>,
    attribute: Option<String>,
}

impl HtmlQuery {
    /// Compiles a selector.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte))
        };
        let (css, attribute) = match text.rsplit_once('@') {
            Some((css, name)) if is_name(name) => (css, Some(name.to_ascii_lowercase())),
            Some(_) | None => (text, None),
        };
        if css.to_ascii_lowercase().contains(":has(") {
            return Err(":has() is not offered: its cost has no good bound".to_owned());
        }
        // Both can write :has() so that the line above does not see it. `\:` and `\/`, as Tailwind's class names need them, cannot.
        let spells = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace());
        if css.split('\\').skip(1).any(spells) || css.contains("/*") {
            return Err("a CSS selector holds no escaped letters or digits and no comments: \
                write [id='1a'] or [class~='1a'] for a name that needs an escape"
                .to_owned());
        }
        Ok(Self { source: text.to_owned(), selector: Box::new(Compounds::parse(css)?), attribute })
    }

    /// Whether it asks for an element by its bare name.
    pub(super) fn is_element(&self, name: &str) -> bool {
        self.attribute.is_none() && self.source.trim().eq_ignore_ascii_case(name)
    }

    /// The text of the first match, spaces folded, or the value of its attribute; or why looking for it ends early.
    pub(super) fn find(&self, html: &Html) -> Result<Option<String>, &'static str> {
        let Some(element) = self.selector.first(html)? else { return Ok(None) };
        Ok(match &self.attribute {
            Some(name) => element.value().attr(name).map(ToOwned::to_owned),
            None => Some(folded(element.text())),
        })
    }
}

/// Texts joined, each run of white space one space, none at the ends.
fn folded<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut out = String::new();
    let mut space = false;
    for c in texts.flat_map(str::chars) {
        if c.is_whitespace() {
            space = true;
            continue;
        }
        if space && !out.is_empty() {
            out.push(' ');
        }
        space = false;
        out.push(c);
    }
    out
}

/// An absolute path of local names: `/feed/entry[2]/link/@href`. Namespaces are not looked at.
#[derive(Debug, Clone)]
pub(super) struct XmlQuery {
    source: String,
    steps: Vec<XmlStep>,
    attribute: Option<String>,
}

#[derive(Debug, Clone)]
struct XmlStep {
    name: String,
    /// Which of the siblings of that name, from 1; all of them without.
    nth: Option<usize>,
}

impl XmlQuery {
    /// Compiles a path.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?} is no XML path: {why}"));
        let Some(rest) = text.strip_prefix('/') else {
            return wrong("it starts with /, as in '/feed/entry[1]/link/@href'");
        };
        let is_name = |name: &str| {
            name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
        };
        let mut steps = Vec::new();
        let mut attribute = None;
        for part in rest.split('/') {
            if attribute.is_some() {
                return wrong("nothing may follow an attribute");
            }
            if part.contains(':') {
                return wrong("write local names, without a prefix");
            }
            if let Some(name) = part.strip_prefix('@') {
                if !is_name(name) {
                    return wrong("@ is followed by the attribute's name");
                }
                attribute = Some(name.to_owned());
                continue;
            }
            let (name, nth) = match part.split_once('[') {
                None => (part, None),
                Some((name, index)) => {
                    match index.strip_suffix(']').and_then(|digits| digits.parse::<usize>().ok()).filter(|n| *n > 0) {
                        Some(nth) => (name, Some(nth)),
                        None => return wrong("brackets hold a number from 1, as in entry[2]"),
                    }
                }
            };
            if !is_name(name) {
                return wrong("each / is followed by an element's name");
            }
            steps.push(XmlStep { name: name.to_owned(), nth });
        }
        if steps.is_empty() {
            return wrong("it names no element");
        }
        Ok(Self { source: text.to_owned(), steps, attribute })
    }

    /// The text inside the first match, spaces folded, or the value of its attribute.
    pub(super) fn find(&self, document: &roxmltree::Document<'_>) -> Option<String> {
        let mut nodes = alloc::vec![document.root()];
        for step in &self.steps {
            let mut next = Vec::new();
            for node in nodes {
                let named = node.children().filter(|child| child.is_element() && child.tag_name().name() == step.name);
                match step.nth {
                    Some(nth) => next.extend(named.skip(nth - 1).take(1)),
                    None => next.extend(named),
                }
            }
            nodes = next;
        }
        match &self.attribute {
            Some(name) => nodes.iter().find_map(|node| {
                let found = node.attributes().find(|attribute| attribute.name() == name);
                found.map(|attribute| attribute.value().to_owned())
            }),
            None => nodes
                .first()
                .map(|node| folded(node.descendants().filter(roxmltree::Node::is_text).filter_map(|text| text.text()))),
        }
    }
}

macro_rules! written_as {
    ($($query:ident)+) => {
        $(
            impl PartialEq for $query {
                fn eq(&self, other: &Self) -> bool {
                    self.source == other.source
                }
            }

            impl Eq for $query {}

            impl core::fmt::Display for $query {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    write!(f, "'{}'", self.source)
                }
            }
        )+
    };
}

written_as!(JsonQuery HtmlQuery XmlQuery);
