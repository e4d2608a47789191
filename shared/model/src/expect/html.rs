//! HTML of a hostile place, read within limits.
//!
//! html5ever takes quadratic time in the attributes of a tag, in the depth of the tree and in names whose hashes collide, and one short
//! tag can make it open hundreds of elements anew, each with all its attributes. So [`Watch`] stands between its tokenizer and its tree builder and ends the reading at the token that passes a limit.
//! A tag that is still being read is no token yet: [`read`] follows it with [`Tag`], which counts its attributes the way the tokenizer
//! finds them.
//!
//! Whether the tokenizer is inside a tag at all (and not in a script, a comment or a `<title>`) is not guessed. Text becomes tokens at
//! once, so a `<` after which no token came is the start of a tag, a comment or a doctype that has not ended.

use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::cell::{Cell, RefCell};

use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink};
use html5ever::{LocalName, TokenizerResult};
use scraper::{Html, HtmlTreeSink, Node};

use super::document::NODES_MAX;

/// Most levels of an HTML body.
const DEPTH_MAX: usize = 512;
/// Most attributes of one tag: the tokenizer compares each with all before it.
const ATTRIBUTES_MAX: usize = 256;
/// Most attributes of all elements, those among them that the tree builder opens anew.
const ALL_ATTRIBUTES_MAX: usize = 131_072;
/// Most bytes in the values of those attributes. A body of 1 MiB has no more, unless one that is opened anew is long: it stands in the tree
/// as often as that happens, and a selector looks through it as often.
const ATTRIBUTE_BYTES_MAX: usize = 2 << 20;
/// Most tags, each times the levels of the deepest element before it: for a tag the tree builder may look at every open element.
const STEPS_MAX: usize = 6_000_000;
/// Looks at open elements that cost as much as one piece of text.
const LOOKS_A_TEXT: usize = 8;
/// What comparing an attribute of a formatting element costs, in such steps: it is copied and sorted.
const STEPS_AN_ATTRIBUTE: usize = 12;
/// html5ever keeps names that are not HTML's own in a table of this many lists, one for the whole process.
const NAME_LISTS: u64 = 4096;
/// Most names of a body that go into one of those lists. A page of 20,000 names puts 5 into each.
const NAMES_IN_LIST_MAX: usize = 64;
/// The tokenizer gets no more than this at once, so that the limit on attributes strikes in time.
const PIECE_BYTES: usize = 256;

type Handle = <HtmlTreeSink as TreeSink>::Handle;

/// A body as HTML, however broken, or which limit it passes.
pub(super) fn read(body: &[u8]) -> Result<Html, String> {
    let text = String::from_utf8_lossy(body);
    let reader = Reader::new();
    let mut rest = text.as_ref();
    // What began with the last `<` and has not become a token.
    let mut open: Option<Tag> = None;
    while !rest.is_empty() {
        let is_start = rest.starts_with('<');
        let cut = if is_start {
            1
        } else {
            let end = rest.bytes().take(PIECE_BYTES).position(|byte| byte == b'<');
            let end = end.unwrap_or_else(|| PIECE_BYTES.min(rest.len()));
            (0..=end).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(end)
        };
        let (piece, after) = rest.split_at(cut);
        rest = after;
        if reader.feed(piece)? {
            open = None;
        }
        match &mut open {
            Some(tag) if !tag.has_ended() => tag.follow(piece.as_bytes())?,
            // A `<` in text, whatever it starts.
            _ if is_start => open = Some(Tag::new()),
            Some(_) | None => {}
        }
    }
    reader.finish()
}

/// html5ever with the watch in its middle.
struct Reader {
    tokenizer: Tokenizer<Watch>,
    queue: BufferQueue,
}

impl Reader {
    fn new() -> Self {
        let builder = TreeBuilder::new(HtmlTreeSink::new(Html::new_document()), TreeBuilderOpts::default());
        let watch = Watch {
            builder,
            tokens: Cell::new(0),
            deepest: Cell::new(0),
            all_attributes: Cell::new(0),
            attribute_bytes: Cell::new(0),
            root_attributes: Cell::new(0),
            steps: Cell::new(0),
            names: RefCell::default(),
            name_lists: RefCell::default(),
            passed: Cell::new(None),
        };
        Self { tokenizer: Tokenizer::new(watch, TokenizerOpts::default()), queue: BufferQueue::default() }
    }

    /// Reads a piece and says whether tokens came of it.
    fn feed(&self, piece: &str) -> Result<bool, String> {
        let before = self.tokenizer.sink.tokens.get();
        self.queue.push_back(StrTendril::from_slice(piece));
        // Scripts do not run and encodings are not changed: go on where the tokenizer would wait for either.
        while !matches!(self.tokenizer.feed(&self.queue), TokenizerResult::Done) {}
        self.tokenizer.sink.within_limits()?;
        Ok(self.tokenizer.sink.tokens.get() != before)
    }

    fn finish(self) -> Result<Html, String> {
        self.tokenizer.end();
        self.tokenizer.sink.within_limits()?;
        Ok(self.tokenizer.sink.builder.sink.finish())
    }
}

/// A limit that is passed.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Nodes,
    Depth,
    Steps,
    AllAttributes,
    AttributeBytes,
    Names,
}

/// Counts tokens on their way to the tree builder. Past a limit it swallows them.
struct Watch {
    builder: TreeBuilder<Handle, HtmlTreeSink>,
    tokens: Cell<usize>,
    deepest: Cell<usize>,
    all_attributes: Cell<usize>,
    attribute_bytes: Cell<usize>,
    /// Of all `<html>` and `<body>` tags.
    root_attributes: Cell<usize>,
    steps: Cell<usize>,
    /// Of tags and attributes. As long as they are here, they are in the process's table: their lists' lengths are known.
    names: RefCell<BTreeSet<LocalName>>,
    /// Names in each list of that table.
    name_lists: RefCell<BTreeMap<u64, usize>>,
    passed: Cell<Option<Limit>>,
}

impl Watch {
    fn within_limits(&self) -> Result<(), String> {
        match self.passed.get() {
            None => Ok(()),
            Some(Limit::Nodes) => Err(alloc::format!("body has more than {NODES_MAX} HTML nodes")),
            Some(Limit::Depth) => Err(alloc::format!("body nests HTML deeper than {DEPTH_MAX} levels")),
            Some(Limit::Steps) => Err("body has too many HTML tags for how deep it nests".to_owned()),
            Some(Limit::AllAttributes) => {
                Err(alloc::format!("body has more than {ALL_ATTRIBUTES_MAX} HTML attributes"))
            }
            Some(Limit::AttributeBytes) => {
                Err(alloc::format!("body has more than {} MiB in HTML attributes", ATTRIBUTE_BYTES_MAX >> 20))
            }
            Some(Limit::Names) => Err("body has HTML names made to collide in a table".to_owned()),
        }
    }
}

/// Elements that the tree builder keeps a list of, to open them anew in the next paragraph.
const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

impl Watch {
    fn pass(&self, limit: Limit) {
        self.passed.set(Some(self.passed.get().unwrap_or(limit)));
    }

    fn walk(&self, steps: usize) {
        self.steps.set(self.steps.get() + steps);
        if self.steps.get() > STEPS_MAX {
            self.pass(Limit::Steps);
        }
    }

    /// Counts the names of a tag by the list they are kept in.
    fn name(&self, name: &LocalName) {
        // Shorter ones are kept in place.
        if name.len() < 8 || !self.names.borrow_mut().insert(name.clone()) {
            return;
        }
        let mut lists = self.name_lists.borrow_mut();
        let names = lists.entry(name.get_hash() % NAME_LISTS).or_insert(0_usize);
        *names += 1;
        if *names > NAMES_IN_LIST_MAX {
            self.pass(Limit::Names);
        }
    }

    /// Counts what a token left in the tree, which had `nodes` before it.
    fn count_new(&self, formatting: Option<&LocalName>, nodes: usize) {
        let html = self.builder.sink.0.borrow();
        let attributes = |node: &Node| node.as_element().map_or(0, |element| element.attrs.len());
        let values = html.tree.values();
        let new = values.len() - nodes;
        if new == 0 {
            return;
        }
        if values.len() > NODES_MAX {
            return self.pass(Limit::Nodes);
        }
        let (mut all, mut bytes) = (self.all_attributes.get(), self.attribute_bytes.get());
        // From the end: to skip the others takes a step for each, which is quadratic over a page.
        for element in values.rev().take(new).filter_map(Node::as_element) {
            all += element.attrs.len();
            bytes += element.attrs.iter().map(|(_, value)| value.len()).sum::<usize>();
        }
        self.all_attributes.set(all);
        self.attribute_bytes.set(bytes);
        if all > ALL_ATTRIBUTES_MAX {
            self.pass(Limit::AllAttributes);
        }
        if bytes > ATTRIBUTE_BYTES_MAX {
            self.pass(Limit::AttributeBytes);
        }
        let Some(last) = html.tree.nodes().next_back() else { return };
        // `<b>`, `<a>` and their like are compared with each open one of their name, attribute by attribute.
        let own = attributes(last.value());
        let mut depth = 1;
        for ancestor in last.ancestors() {
            depth += 1;
            if depth > DEPTH_MAX {
                return self.pass(Limit::Depth);
            }
            let is_alike = |name| ancestor.value().as_element().is_some_and(|element| &element.name.local == name);
            if formatting.is_some_and(is_alike) {
                self.walk((own + attributes(ancestor.value())) * STEPS_AN_ATTRIBUTE);
            }
        }
        self.deepest.set(self.deepest.get().max(depth));
    }
}

impl TokenSink for Watch {
    type Handle = Handle;

    fn process_token(&self, token: Token, line_number: u64) -> TokenSinkResult<Handle> {
        // An error comes beside what is read, not in its place.
        if matches!(token, Token::ParseError(_)) {
            return TokenSinkResult::Continue;
        }
        self.tokens.set(self.tokens.get() + 1);
        let mut formatting = None;
        if let Token::TagToken(tag) = &token {
            self.name(&tag.name);
            for attribute in &tag.attrs {
                self.name(&attribute.name.local);
            }
            self.walk(self.deepest.get());
            // They add to the one <html> or <body> that there is, whose attributes are looked through.
            if matches!(&tag.name[..], "html" | "body") {
                self.root_attributes.set(self.root_attributes.get() + tag.attrs.len());
                self.walk(self.root_attributes.get());
            }
            if FORMATTING.contains(&&tag.name[..]) {
                formatting = Some(tag.name.clone());
            }
        } else {
            self.walk(1 + self.deepest.get() / LOOKS_A_TEXT);
        }
        if self.passed.get().is_some() {
            return TokenSinkResult::Continue;
        }
        let nodes = self.builder.sink.0.borrow().tree.values().len();
        let result = self.builder.process_token(token, line_number);
        self.count_new(formatting.as_ref(), nodes);
        result
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

/// Where in a tag the tokenizer is, by the names of the HTML standard (13.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    TagOpen,
    EndTagOpen,
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    /// Up to this quote.
    Quoted(u8),
    Unquoted,
    /// A comment or a doctype: no attributes, and the tokenizer knows its end.
    Other,
    /// Past the `>`.
    Ended,
}

/// What a `<` starts, followed byte by byte.
#[derive(Debug)]
struct Tag {
    at: At,
    attributes: usize,
}

impl Tag {
    const fn new() -> Self {
        Self { at: At::TagOpen, attributes: 0 }
    }

    /// Only `</>` ends without becoming a token.
    fn has_ended(&self) -> bool {
        self.at == At::Ended
    }

    /// Goes on by some bytes of the tag.
    fn follow(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            let next = Self::next(self.at, *byte);
            let starts = next == At::Name && self.at != At::Name;
            self.attributes += usize::from(starts);
            self.at = next;
        }
        if self.attributes > ATTRIBUTES_MAX {
            return Err(alloc::format!("body has an HTML tag with more than {ATTRIBUTES_MAX} attributes"));
        }
        Ok(())
    }

    fn next(at: At, byte: u8) -> At {
        let is_space = matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
        match at {
            At::TagOpen if byte == b'/' => At::EndTagOpen,
            At::TagOpen | At::EndTagOpen if byte.is_ascii_alphabetic() => At::TagName,
            At::EndTagOpen if byte == b'>' => At::Ended,
            At::TagOpen | At::EndTagOpen | At::Other => At::Other,
            At::Ended => At::Ended,
            At::Quoted(quote) if byte == quote => At::BeforeName,
            At::Quoted(_) => at,
            At::BeforeValue if is_space => at,
            At::BeforeValue if byte == b'"' || byte == b'\'' => At::Quoted(byte),
            At::TagName | At::BeforeName | At::Name | At::AfterName | At::BeforeValue | At::Unquoted
                if byte == b'>' =>
            {
                At::Ended
            }
            At::BeforeValue => At::Unquoted,
            At::TagName | At::Unquoted if is_space => At::BeforeName,
            At::Unquoted => at,
            At::TagName | At::BeforeName | At::Name | At::AfterName if byte == b'/' => At::BeforeName,
            At::TagName => at,
            At::Name | At::AfterName if is_space => At::AfterName,
            At::Name | At::AfterName if byte == b'=' => At::BeforeValue,
            At::BeforeName if is_space => at,
            At::BeforeName | At::Name | At::AfterName => At::Name,
        }
    }
}

#[cfg(test)]
mod tests;
