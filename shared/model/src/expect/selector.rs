//! CSS selectors over a hostile document, in bounded time.
//!
//! A selector engine walks from each element back over its ancestors and siblings, and again for each combinator: on a document made for
//! it that is quadratic and worse. So a selector is cut into its compounds (`div.x`, `a[href]`), and one walk over the document keeps,
//! for each open element, which compounds it, its ancestors and its siblings matched. A combinator is then one look at a bit, and each
//! element meets each compound at most once.
//!
//! Positions (`:nth-child()`, `:last-of-type` and their like) are counted by the engine, sibling by sibling, over texts and comments too.
//! Those looks are counted here as well, and past [`LOOKS_MAX`] the search ends with a reason.
//!
//! `.name` is asked as `[class~='name']`: the engine would keep each class of the document in a global table.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use scraper::{ElementRef, Html, Selector};

/// Most compounds of a selector, all its alternatives together: one bit each.
const COMPOUNDS_MAX: usize = 32;
/// Most commas, those in parentheses among them.
const COMMAS_MAX: usize = 32;
/// Most looks at siblings to find positions in a document.
const LOOKS_MAX: usize = 1_500_000;

/// How a compound's element stands to the one that the compound before it matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combinator {
    /// There is none before it.
    First,
    Descendant,
    Child,
    NextSibling,
    LaterSibling,
}

/// How often the engine walks from an element over its siblings, to find its position. Texts and comments are in its way like elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walks {
    back: usize,
    ahead: usize,
}

#[derive(Debug, Clone)]
struct Compound {
    combinator: Combinator,
    selector: Selector,
    walks: Walks,
    /// It ends an alternative: what it matches is found.
    is_last: bool,
}

/// A selector, cut into compounds.
#[derive(Debug, Clone)]
pub(super) struct Compounds(Vec<Compound>);

/// What is known of an open element and its children so far, as bits of compounds.
#[derive(Clone, Copy, Default)]
struct Frame {
    matched: u32,
    /// By the elements around this one.
    around: u32,
    /// By its last child so far.
    last_child: u32,
    /// By any child so far.
    children: u32,
    /// Children so far, texts and comments among them.
    seen: usize,
    /// All of them, counted when somebody asks.
    total: Option<usize>,
}

impl Compounds {
    /// Cuts a selector that the engine takes as a whole.
    pub(super) fn parse(css: &str) -> Result<Self, String> {
        let wrong = |css: &str, error| format!("{css:?} is no CSS selector: {error}");
        Selector::parse(css).map_err(|error| wrong(css, error))?;
        let mut compounds: Vec<Compound> = Vec::new();
        for alternative in cut(css)? {
            for (combinator, text) in alternative {
                let selector = Selector::parse(&text).map_err(|error| wrong(&text, error))?;
                compounds.push(Compound { combinator, selector, walks: walks(&text), is_last: false });
            }
            if let Some(last) = compounds.last_mut() {
                last.is_last = true;
            }
        }
        if compounds.len() > COMPOUNDS_MAX {
            return Err(format!("a CSS selector has at most {COMPOUNDS_MAX} parts"));
        }
        Ok(Self(compounds))
    }

    /// The first element that matches, in document order, or why that takes too long to tell.
    pub(super) fn first<'d>(&self, html: &'d Html) -> Result<Option<ElementRef<'d>>, &'static str> {
        let mut looks = 0;
        let mut frames = vec![Frame::default()];
        let mut node = html.tree.root();
        loop {
            let mut is_open = false;
            if let Some(element) = ElementRef::wrap(node) {
                let Some(parent) = frames.last_mut() else { return Ok(None) };
                let (matched, found) = self.matched(&element, parent, &mut looks);
                if looks > LOOKS_MAX {
                    return Err("body has too many siblings for the positions that its selector counts");
                }
                if found {
                    return Ok(Some(element));
                }
                parent.last_child = matched;
                parent.children |= matched;
                parent.seen += 1;
                let around = parent.around | parent.matched;
                frames.push(Frame { matched, around, ..Frame::default() });
                is_open = true;
            } else if let Some(parent) = frames.last_mut() {
                parent.seen += 1;
            }
            if let Some(child) = node.first_child() {
                node = child;
                continue;
            }
            // Up to the next one to the right.
            loop {
                if is_open {
                    frames.pop();
                }
                if let Some(next) = node.next_sibling() {
                    node = next;
                    break;
                }
                let Some(parent) = node.parent() else { return Ok(None) };
                node = parent;
                is_open = node.value().is_element();
            }
        }
    }

    /// Which compounds the next child of `parent` matches, each with all before it, and whether an alternative ends with it.
    fn matched(&self, element: &ElementRef<'_>, parent: &mut Frame, looks: &mut usize) -> (u32, bool) {
        let mut matched = 0_u32;
        for (at, compound) in self.0.iter().enumerate() {
            let before = match compound.combinator {
                Combinator::First => u32::MAX,
                Combinator::Descendant => parent.matched | parent.around,
                Combinator::Child => parent.matched,
                Combinator::NextSibling => parent.last_child,
                Combinator::LaterSibling => parent.children,
            };
            if compound.combinator != Combinator::First && before & (1 << (at - 1)) == 0 {
                continue;
            }
            let Walks { back, ahead } = compound.walks;
            *looks += back * parent.seen;
            if ahead > 0 {
                let total = || element.parent().map_or(0, |parent| parent.children().count());
                *looks += ahead * parent.total.get_or_insert_with(total).saturating_sub(parent.seen);
            }
            if *looks > LOOKS_MAX {
                return (matched, false);
            }
            if compound.selector.matches(element) {
                matched |= 1 << at;
                if compound.is_last {
                    return (matched, true);
                }
            }
        }
        (matched, false)
    }
}

/// The walks that a compound makes: one for each position that it asks for.
fn walks(compound: &str) -> Walks {
    let compound = compound.to_ascii_lowercase();
    // Found in a quoted value they are counted for nothing; that is safe.
    let asked = |name| compound.matches(name).count();
    let (only, last) = (asked(":only-of"), asked(":nth-last"));
    Walks { back: asked(":nth-") - last + asked(":first-of") + only, ahead: last + asked(":last-of") + only }
}

/// The alternatives of a selector as compounds with the combinator before each. The engine has taken the selector: its quotes, brackets
/// and parentheses are paired.
fn cut(css: &str) -> Result<Vec<Vec<(Combinator, String)>>, String> {
    let mut alternatives = vec![Vec::new()];
    let mut compound = String::new();
    let mut combinator = Combinator::First;
    // What closes each open quote, bracket and parenthesis; and whether a parenthesis holds a position, as in `:nth-child(2n + 1)`.
    let mut open: Vec<(char, bool)> = Vec::new();
    let mut commas = 0;
    let mut chars = css.chars().peekable();
    while let Some(c) = chars.next() {
        match open.last().copied() {
            Some((quote @ ('"' | '\''), _)) => {
                compound.push(c);
                match c {
                    '\\' => compound.extend(chars.next()),
                    _ if c == quote => drop(open.pop()),
                    _ => {}
                }
                continue;
            }
            Some((']', _) | (')', true)) => {
                compound.push(c);
                match c {
                    '"' | '\'' => open.push((c, false)),
                    '\\' => compound.extend(chars.next()),
                    _ if open.last().is_some_and(|(close, _)| *close == c) => drop(open.pop()),
                    _ => {}
                }
                continue;
            }
            Some(_) | None => {}
        }
        let is_inside = !open.is_empty();
        match c {
            '[' => {
                open.push((']', false));
                compound.push(c);
            }
            '(' => {
                let lower = compound.to_ascii_lowercase();
                let is_position = lower.rsplit(':').next().is_some_and(|name| name.starts_with("nth-"));
                open.push((')', is_position));
                compound.push(c);
            }
            ')' => {
                open.pop();
                compound.push(c);
            }
            '.' => {
                let mut name = String::new();
                while let Some(next) = chars.next_if(|next| {
                    next.is_ascii_alphanumeric() || matches!(next, '-' | '_' | '\\') || !next.is_ascii()
                }) {
                    let plain = if next == '\\' { chars.next() } else { Some(next) };
                    if let Some(plain) = plain {
                        if matches!(plain, '\'' | '\\') {
                            name.push('\\');
                        }
                        name.push(plain);
                    }
                }
                compound.push_str(&format!("[class~='{name}']"));
            }
            '\\' => {
                compound.push(c);
                compound.extend(chars.next());
            }
            ',' => {
                commas += 1;
                if is_inside {
                    compound.push(c);
                } else {
                    push(&mut alternatives, &mut compound, combinator);
                    alternatives.push(Vec::new());
                    combinator = Combinator::First;
                }
            }
            _ if c.is_ascii_whitespace() || matches!(c, '>' | '+' | '~') => {
                let mut sign = None;
                let mut next = Some(c);
                while let Some(c) = next {
                    if !c.is_ascii_whitespace() {
                        sign = Some(c);
                    }
                    next = chars.next_if(|c| c.is_ascii_whitespace() || matches!(c, '>' | '+' | '~'));
                }
                // Spaces at the edges of a compound say nothing.
                let is_edge = matches!(chars.peek(), None | Some(',' | ')')) || compound.is_empty();
                if is_inside {
                    if sign.is_some() || !(is_edge || compound.ends_with(['(', ','])) {
                        return Err(
                            "a CSS selector has no combinators (spaces, >, +, ~) in :is(), :where() and :not()"
                                .to_owned(),
                        );
                    }
                } else if !is_edge || sign.is_some() {
                    push(&mut alternatives, &mut compound, combinator);
                    combinator = match sign {
                        Some('>') => Combinator::Child,
                        Some('+') => Combinator::NextSibling,
                        Some('~') => Combinator::LaterSibling,
                        Some(_) | None => Combinator::Descendant,
                    };
                }
            }
            _ => compound.push(c),
        }
    }
    push(&mut alternatives, &mut compound, combinator);
    if commas > COMMAS_MAX {
        return Err(format!("a CSS selector holds at most {COMMAS_MAX} commas"));
    }
    Ok(alternatives)
}

fn push(alternatives: &mut [Vec<(Combinator, String)>], compound: &mut String, combinator: Combinator) {
    if let Some(alternative) = alternatives.last_mut()
        && !compound.is_empty()
    {
        alternative.push((combinator, core::mem::take(compound)));
    }
}

#[cfg(test)]
mod tests;
