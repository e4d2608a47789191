//! What conditions and extractors look into: an answer, with its body read as JSON, HTML or XML when the first of them asks.
//!
//! A body comes from a hostile place. JSON nests at most as deep as serde_json allows (128). HTML and XML have at most [`NODES_MAX`]
//! nodes, [`DEPTH_MAX`] levels and a bounded number of attributes a tag: parsers and selectors take quadratic time in those.

use alloc::string::{String, ToString as _};
use core::cell::OnceCell;

use html5ever::driver;
use html5ever::tendril::{StrTendril, TendrilSink as _};
use scraper::{Html, HtmlTreeSink, Node};
use serde_json::Value;

use super::Observed;

/// Most nodes of an HTML or XML body.
const NODES_MAX: usize = 32_768;
/// Most levels of an HTML body.
const DEPTH_MAX: usize = 512;
/// Most attributes of one tag, about.
const ATTRIBUTES_MAX: usize = 4096;
/// Most namespaces that an XML body declares.
const NAMESPACES_MAX: usize = 1024;
/// HTML is parsed in pieces of this size, so that the limits strike in time.
const PIECE_BYTES: usize = 1024;

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
        self.html.get_or_init(|| html(self.observed.body)).as_ref().map_err(String::as_str)
    }

    /// The body as XML, or why it is none.
    pub(super) fn xml(&self) -> Result<&roxmltree::Document<'a>, &str> {
        self.xml.get_or_init(|| xml(self.observed.body)).as_ref().map_err(String::as_str)
    }
}

fn html(body: &[u8]) -> Result<Html, String> {
    let text = String::from_utf8_lossy(body);
    let mut parser = driver::parse_document(HtmlTreeSink::new(Html::new_document()), driver::ParseOpts::default());
    let mut rest = text.as_ref();
    let mut before = (0, 0);
    let mut separators = 0;
    while !rest.is_empty() {
        let cut = (0..=PIECE_BYTES.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(0);
        let (piece, after) = rest.split_at(cut);
        rest = after;
        parser.process(StrTendril::from_slice(piece));
        let tree = parser.tokenizer.sink.sink.0.borrow();
        let nodes = tree.tree.values().len();
        if nodes > NODES_MAX {
            return Err(alloc::format!("body has more than {NODES_MAX} HTML nodes"));
        }
        let last = tree.tree.nodes().next_back();
        if last.is_some_and(|node| node.ancestors().nth(DEPTH_MAX).is_some()) {
            return Err(alloc::format!("body nests HTML deeper than {DEPTH_MAX} levels"));
        }
        // While a tag is being read the tree stands still. Each of its attributes follows a separator.
        let now = (nodes, last.map_or(0, |node| if let Node::Text(text) = node.value() { text.len() } else { 0 }));
        if now == before {
            separators += piece.bytes().filter(|byte| byte.is_ascii_whitespace() || *byte == b'/').count();
        } else {
            separators = 0;
        }
        before = now;
        if separators > ATTRIBUTES_MAX {
            return Err(alloc::format!("body has an HTML tag with more than {ATTRIBUTES_MAX} attributes"));
        }
    }
    Ok(parser.finish())
}

fn xml(body: &[u8]) -> Result<roxmltree::Document<'_>, String> {
    let text = core::str::from_utf8(body).map_err(|error| {
        alloc::format!("body is not XML that can be read (byte {} is not UTF-8)", error.valid_up_to() + 1)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.matches("xmlns").take(NAMESPACES_MAX + 1).count() > NAMESPACES_MAX {
        return Err(alloc::format!("body declares more than {NAMESPACES_MAX} XML namespaces"));
    }
    // No attribute of XML holds a `<`, so a tag's attributes stand before the next one.
    if text.split('<').any(|tag| tag.matches('=').take(ATTRIBUTES_MAX + 1).count() > ATTRIBUTES_MAX) {
        return Err(alloc::format!("body has an XML tag with more than {ATTRIBUTES_MAX} attributes"));
    }
    let options = roxmltree::ParsingOptions { nodes_limit: NODES_MAX as u32, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(text, options)
        .map_err(|error| alloc::format!("body is not XML ({})", error.to_string()))
}
