//! What conditions and extractors look into: an answer, with its body read as JSON, HTML or XML when the first of them asks.
//!
//! A body comes from a hostile place. JSON nests at most as deep as serde_json allows (128). HTML and XML have at most [`NODES_MAX`]
//! nodes, XML at most [`ATTRIBUTES_MAX`] attributes a tag (for HTML see [`html`]): parsers take quadratic time in those.

use alloc::string::String;
use core::cell::OnceCell;

use scraper::Html;
use serde_json::Value;

use super::{Observed, html};

/// Most nodes of an HTML or XML body.
pub(super) const NODES_MAX: usize = 32_768;
/// Most attributes of one XML tag.
const ATTRIBUTES_MAX: usize = 1024;
/// Most namespaces that an XML body declares.
const NAMESPACES_MAX: usize = 1024;

/// An answer under judgement. Bodies are parsed at most once, and only when somebody asks.
pub(super) struct View<'a> {
    pub(super) observed: &'a Observed<'a>,
    json: OnceCell<Result<Value, String>>,
    html: OnceCell<Result<Html, String>>,
    xml: OnceCell<Result<roxmltree::Document<'a>, String>>,
}

impl<'a> View<'a> {
    pub(super) const fn new(observed: &'a Observed<'a>) -> Self {
        Self { observed, json: OnceCell::new(), html: OnceCell::new(), xml: OnceCell::new() }
    }

    /// The body as JSON, or why it is none: `body is not JSON (line 1 column 2)`.
    pub(super) fn json(&self) -> Result<&Value, &str> {
        let parsed = self.json.get_or_init(|| {
            serde_json::from_slice(self.observed.body).map_err(|error| {
                let what = if error.is_eof() { "it ends early, " } else { "" };
                alloc::format!("body is not JSON ({what}line {} column {})", error.line(), error.column())
            })
        });
        parsed.as_ref().map_err(String::as_str)
    }

    /// The body as HTML, however broken, or which limit it passes.
    pub(super) fn html(&self) -> Result<&Html, &str> {
        self.html.get_or_init(|| html::read(self.observed.body)).as_ref().map_err(String::as_str)
    }

    /// The body as XML, or why it is none.
    pub(super) fn xml(&self) -> Result<&roxmltree::Document<'a>, &str> {
        self.xml.get_or_init(|| xml(self.observed.body)).as_ref().map_err(String::as_str)
    }
}

fn xml(body: &[u8]) -> Result<roxmltree::Document<'_>, String> {
    let text = core::str::from_utf8(body).map_err(|error| {
        alloc::format!("body is not XML that can be read (byte {} is not UTF-8)", error.valid_up_to() + 1)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.matches("xmlns").take(NAMESPACES_MAX + 1).count() > NAMESPACES_MAX {
        return Err(alloc::format!("body declares more than {NAMESPACES_MAX} XML namespaces"));
    }
    if most_xml_attributes(text) > ATTRIBUTES_MAX {
        return Err(alloc::format!("body has an XML tag with more than {ATTRIBUTES_MAX} attributes"));
    }
    let options = roxmltree::ParsingOptions { nodes_limit: NODES_MAX as u32, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(text, options).map_err(|error| alloc::format!("body is not XML ({error})"))
}

/// The most attributes that some tag of an XML text has. Each has a `=` and a value in quotes; neither comments nor CDATA hold any.
fn most_xml_attributes(text: &str) -> usize {
    let mut most = 0;
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        let other = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>")];
        if let Some((start, end)) = other.iter().find(|(start, _)| tag.starts_with(start)) {
            match tag[start.len()..].split_once(end) {
                Some((_, after)) => rest = after,
                // It never ends: the parser says so, and reads no attributes in it.
                None => break,
            }
            continue;
        }
        let mut quote = None;
        let mut attributes = 0;
        let mut end = tag.len();
        for (at, byte) in tag.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'\'' | b'"') => quote = Some(byte),
                (None, b'=') => attributes += 1,
                // A `<` or a `>` outside quotes: the tag is over, or it is none.
                (None, b'<' | b'>') => {
                    end = at;
                    break;
                }
                (None, _) => {}
            }
        }
        most = most.max(attributes);
        rest = &tag[end..];
    }
    most
}
