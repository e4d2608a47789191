//! What a text says, and where in it each byte of that stands.

use std::borrow::Cow;
use std::ops::Range;

/// A text as it is, or decoded.
pub(super) struct Reading<'a> {
    bytes: Cow<'a, [u8]>,
    /// The place of each byte in the text. Nothing: the byte's own.
    places: Option<Vec<Range<usize>>>,
}

/// What an escape stands for, and its length.
struct Escape {
    means: [u8; 4],
    count: usize,
    len: usize,
}

type Decode = fn(&[u8]) -> Option<Escape>;

impl<'a> Reading<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { bytes: Cow::Borrowed(text.as_bytes()), places: None }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in the text `range`, which is not empty, stands.
    pub(super) fn place(&self, range: Range<usize>) -> Range<usize> {
        match &self.places {
            Some(places) => places[range.start].start..places[range.end - 1].end,
            None => range,
        }
    }

    /// What this says once more decoded, in each way that changes it.
    pub(super) fn decoded(&self) -> impl Iterator<Item = Reading<'static>> {
        // Without a `+`, a form says what a URL says.
        let ways: [(u8, Decode); 4] = [(b'%', percent), (b'+', form), (b'\\', backslash), (b'&', entity)];
        ways.into_iter().filter_map(|(sign, decode)| self.bytes.contains(&sign).then(|| self.decode(decode))?)
    }

    fn decode(&self, decode: Decode) -> Option<Reading<'static>> {
        let first = (0..self.bytes.len()).find(|at| decode(&self.bytes[*at..]).is_some())?;
        let mut bytes = self.bytes[..first].to_vec();
        let mut places: Vec<Range<usize>> = (0..first).map(|at| self.place(at..at + 1)).collect();
        let mut at = first;
        while at < self.bytes.len() {
            let escape = decode(&self.bytes[at..]);
            let escape = escape.unwrap_or_else(|| Escape::new(self.bytes[at], 1));
            bytes.extend_from_slice(&escape.means[..escape.count]);
            places.resize(bytes.len(), self.place(at..at + escape.len));
            at += escape.len;
        }
        Some(Reading { bytes: Cow::Owned(bytes), places: Some(places) })
    }

    /// Calls back with the place of each word that may be `min` bytes in base64, or base64url, with its padding, and with what it says from its first, second,
    /// third and fourth character on: something else may stand right before it.
    pub(super) fn each_coded(&self, min: usize, mut f: impl FnMut(Range<usize>, &[u8])) {
        let mut decoded = Vec::new();
        for is_url in [false, true] {
            if is_url && !self.bytes.iter().any(|byte| b"-_".contains(byte)) {
                break;
            }
            let mut at = 0;
            while at < self.bytes.len() {
                let len = self.bytes[at..].iter().take_while(|byte| sextet(**byte, is_url).is_some()).count();
                if len * 6 / 8 >= min {
                    let padding = self.bytes[at + len..].iter().take(2).take_while(|byte| **byte == b'=').count();
                    for skip in 0..len.min(4) {
                        decode_base64(&self.bytes[at + skip..at + len], is_url, &mut decoded);
                        f(at..at + len + padding, &decoded);
                    }
                }
                at += len + 1;
            }
        }
    }
}

impl Escape {
    fn new(byte: u8, len: usize) -> Self {
        Self { means: [byte, 0, 0, 0], count: 1, len }
    }

    fn char(char: char, len: usize) -> Self {
        let mut means = [0; 4];
        let count = char.encode_utf8(&mut means).len();
        Self { means, count, len }
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    let is_hex = (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| digits.iter().fold(0, |all, digit| all << 4 | char::from(*digit).to_digit(16).unwrap_or(0)))
}

/// `%2F` of URLs.
fn percent(bytes: &[u8]) -> Option<Escape> {
    let [b'%', digits @ ..] = bytes else { return None };
    let byte = hex(digits.get(..2)?)?;
    Some(Escape::new(u8::try_from(byte).ok()?, 3))
}

/// `%2F` and `+` of forms.
fn form(bytes: &[u8]) -> Option<Escape> {
    if bytes.first() == Some(&b'+') { Some(Escape::new(b' ', 1)) } else { percent(bytes) }
}

/// `\"` of JSON (RFC 8259, section 7), and of Rust's `{:?}`.
fn backslash(bytes: &[u8]) -> Option<Escape> {
    let [b'\\', letter, rest @ ..] = bytes else { return None };
    let byte = match letter {
        b'"' | b'\\' | b'/' | b'\'' => *letter,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'0' => 0,
        b'u' if rest.first() == Some(&b'{') => {
            let end = rest.iter().take(8).position(|byte| *byte == b'}')?;
            return Some(Escape::char(char::from_u32(hex(&rest[1..end])?)?, end + 3));
        }
        b'u' => {
            let one = hex(rest.get(..4)?)?;
            let Some(char) = char::from_u32(one) else {
                let low = rest.get(4..10).and_then(|low| hex(low.strip_prefix(b"\\u")?))?;
                let both = [u16::try_from(one).ok()?, u16::try_from(low).ok()?];
                let char = char::decode_utf16(both).next()?.ok()?;
                return Some(Escape::char(char, 12));
            };
            return Some(Escape::char(char, 6));
        }
        _ => return None,
    };
    Some(Escape::new(byte, 2))
}

/// `&amp;` of HTML, as far as writers of HTML need to escape.
fn entity(bytes: &[u8]) -> Option<Escape> {
    let [b'&', rest @ ..] = bytes else { return None };
    let end = rest.iter().take(10).position(|byte| *byte == b';')?;
    let char = match &rest[..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(hex(digits)?)?,
        [b'#', digits @ ..] => char::from_u32(str::from_utf8(digits).ok()?.parse().ok()?)?,
        _ => return None,
    };
    Some(Escape::char(char, end + 2))
}

/// What a character of base64 stands for (RFC 4648, sections 4 and 5).
fn sextet(byte: u8, is_url: bool) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' if !is_url => 62,
        b'/' if !is_url => 63,
        b'-' if is_url => 62,
        b'_' if is_url => 63,
        _ => return None,
    })
}

/// The whole bytes of base64, which may be cut anywhere.
fn decode_base64(word: &[u8], is_url: bool, out: &mut Vec<u8>) {
    out.clear();
    let (mut bits, mut count) = (0u32, 0);
    for six in word.iter().filter_map(|byte| sextet(*byte, is_url)) {
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
        bits &= 0xff;
    }
}
