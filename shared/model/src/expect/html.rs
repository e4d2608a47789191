//! HTML of a hostile place, read within limits.
//!
//! html5ever takes quadratic time in the attributes of a tag and in the depth of the tree, and one short tag can make it open hundreds
//! of elements anew. So [`Watch`] stands between its tokenizer and its tree builder and ends the reading at the token that passes a limit.
//! A tag that is still being read is no token yet: [`read`] follows it with [`Tag`], which counts its attributes the way the tokenizer
//! finds them.
//!
//! Whether the tokenizer is inside a tag at all (and not in a script, a comment or a `<title>`) is not guessed. Text becomes tokens at
//! once, so a `<` after which no token came is the start of a tag, a comment or a doctype that has not ended.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::cell::Cell;

use html5ever::TokenizerResult;
use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink};
use scraper::{Html, HtmlTreeSink};

use super::document::{ATTRIBUTES_MAX, NODES_MAX};

/// Most levels of an HTML body.
const DEPTH_MAX: usize = 512;
/// Most tags, each times the levels of the deepest element before it: for a tag the tree builder may look at every open element.
const STEPS_MAX: usize = 6_000_000;
/// The tokenizer gets no more than this at once, so that the limit on attributes strikes in time.
const PIECE_BYTES: usize = 1024;

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
            attributes: Cell::new(0),
            steps: Cell::new(0),
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
}

/// Counts tokens on their way to the tree builder. Past a limit it swallows them.
struct Watch {
    builder: TreeBuilder<Handle, HtmlTreeSink>,
    tokens: Cell<usize>,
    deepest: Cell<usize>,
    /// Most attributes of a formatting element so far.
    attributes: Cell<usize>,
    steps: Cell<usize>,
    passed: Cell<Option<Limit>>,
}

impl Watch {
    fn within_limits(&self) -> Result<(), String> {
        match self.passed.get() {
            None => Ok(()),
            Some(Limit::Nodes) => Err(alloc::format!("body has more than {NODES_MAX} HTML nodes")),
            Some(Limit::Depth) => Err(alloc::format!("body nests HTML deeper than {DEPTH_MAX} levels")),
            Some(Limit::Steps) => Err("body has too many HTML tags for how deep it nests".to_owned()),
        }
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
        if self.passed.get().is_some() {
            return TokenSinkResult::Continue;
        }
        if let Token::TagToken(tag) = &token {
            // `<b>`, `<a>` and their like are compared with the open ones, attribute by attribute.
            if matches!(
                &tag.name[..],
                "a" | "b"
                    | "big"
                    | "code"
                    | "em"
                    | "font"
                    | "i"
                    | "nobr"
                    | "s"
                    | "small"
                    | "strike"
                    | "strong"
                    | "tt"
                    | "u"
            ) {
                self.attributes.set(self.attributes.get().max(tag.attrs.len()));
            }
            self.steps.set(self.steps.get() + self.deepest.get() * (1 + self.attributes.get() / 8));
        }
        let result = self.builder.process_token(token, line_number);
        let html = self.builder.sink.0.borrow();
        let depth = html.tree.nodes().next_back().map_or(0, |node| node.ancestors().take(DEPTH_MAX + 1).count());
        self.deepest.set(self.deepest.get().max(depth));
        if html.tree.values().len() > NODES_MAX {
            self.passed.set(Some(Limit::Nodes));
        } else if depth > DEPTH_MAX {
            self.passed.set(Some(Limit::Depth));
        } else if self.steps.get() > STEPS_MAX {
            self.passed.set(Some(Limit::Steps));
        }
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
