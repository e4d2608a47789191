//! Values that nobody may see, taken out of texts for people.
//!
//! A text may spell a value in many ways: as it is, in a URL, quoted as JSON or by Rust's `{:?}`, in HTML, in base64 with a user before it. The
//! spellings of a value are many, the readings of a text few: so the text is read in each of these ways, and the values are looked for in
//! what was read. All that was found is taken out at once, by its place in the text: of two values that begin alike, or stand one in
//! the other, nothing is left over.

mod reading;

use std::ops::Range;

use self::reading::Reading;

/// A place in a text to put a mark.
#[derive(Debug)]
pub(crate) struct Hit<'a> {
    place: Range<usize>,
    mark: &'a str,
}

/// Values to look for. A value is found whole, or by a beginning of at least `told` bytes: explanations cut what they quote. No `Debug`.
#[derive(Default)]
pub(crate) struct Hidden {
    /// Each value with the number of its mark, sorted.
    values: Vec<(Box<str>, usize)>,
    marks: Vec<String>,
    /// Whether a value begins with these two bytes, a bit for each two: most places of a text are none.
    begins: Vec<u64>,
    told: usize,
    /// The longest of the values that are found whole alone.
    short: usize,
    /// The least that is found in base64, in bytes.
    coded: usize,
}

/// Whole readings of a reading: a URL in JSON, a URL in a URL.
const DEPTH_MAX: usize = 2;
/// Shorter values, in bytes, are found in base64 by chance.
const CODED_BYTES_MIN: usize = 3;

impl Hidden {
    /// Marks, each with the values it stands for.
    pub(crate) fn new(marks: impl IntoIterator<Item = (String, Vec<String>)>, told: usize) -> Self {
        let mut new = Self { told, ..Self::default() };
        for (at, (mark, values)) in marks.into_iter().enumerate() {
            new.marks.push(mark);
            new.values
                .extend(values.into_iter().filter(|value| !value.is_empty()).map(|value| (value.into_boxed_str(), at)));
        }
        new.values.sort_unstable();
        new.values.dedup_by(|one, other| one.0 == other.0);
        if !new.values.is_empty() {
            new.begins = vec![0; (1 << 16) / 64];
        }
        for (value, _) in &new.values {
            let (first, second) = match *value.as_bytes() {
                [first, second, ..] => (first, second..=second),
                [first] => (first, 0..=u8::MAX),
                [] => continue,
            };
            for second in second {
                let (word, bit) = pair(first, second);
                new.begins[word] |= bit;
            }
        }
        new.short = new.values.iter().map(|(value, _)| value.len()).filter(|len| *len < told).max().unwrap_or(0);
        let coded = new.values.iter().map(|(value, _)| value.len()).min().unwrap_or(0);
        new.coded = coded.clamp(CODED_BYTES_MIN, told_coded(told).max(CODED_BYTES_MIN));
        new
    }

    /// Where the values are in `text`, however it spells them.
    pub(crate) fn find<'a>(&'a self, text: &str, hits: &mut Vec<Hit<'a>>) {
        if !self.values.is_empty() {
            self.find_in(&Reading::of(text), 0, hits);
        }
    }

    fn find_in<'a>(&'a self, reading: &Reading<'_>, depth: usize, hits: &mut Vec<Hit<'a>>) {
        let bytes = reading.bytes();
        for at in 0..bytes.len() {
            if let Some((len, mark)) = self.at(&bytes[at..], self.told) {
                hits.push(Hit { place: reading.place(at..at + len), mark });
            }
        }
        // A login is coded with its user before it: the whole word goes.
        reading.each_coded(self.coded, |word, decoded| {
            let told = told_coded(self.told);
            let found = (0..decoded.len()).filter_map(|at| self.at(&decoded[at..], told));
            if let Some((_, mark)) = found.max_by_key(|(len, _)| *len).filter(|(len, _)| *len >= CODED_BYTES_MIN) {
                hits.push(Hit { place: reading.place(word), mark });
            }
        });
        if depth < DEPTH_MAX {
            for decoded in reading.decoded() {
                self.find_in(&decoded, depth + 1, hits);
            }
        }
    }

    /// The longest value, or beginning of one, that `bytes` begin with, and its mark.
    fn at(&self, bytes: &[u8], told: usize) -> Option<(usize, &str)> {
        if let [first, second, ..] = *bytes {
            let (word, bit) = pair(first, second);
            if self.begins[word] & bit == 0 {
                return None;
            }
        }
        // The value that has most in common with the bytes is next to them in the order.
        let next = self.values.partition_point(|(value, _)| value.as_bytes() <= bytes);
        let same = |(value, mark): &(Box<str>, usize)| {
            let same = value.bytes().zip(bytes).take_while(|(a, b)| a == *b).count();
            (same, same == value.len(), *mark)
        };
        let nearest = self.values[next.saturating_sub(1)..].iter().take(2).map(same).max()?;
        let (len, is_whole, mark) = nearest;
        if is_whole || len >= told {
            return Some((len, &self.marks[mark]));
        }
        (1..=self.short.min(len)).rev().find_map(|len| {
            let whole = self.values.binary_search_by(|(value, _)| value.as_bytes().cmp(&bytes[..len])).ok()?;
            Some((len, self.marks[self.values[whole].1].as_str()))
        })
    }

    /// Where `text` ends with a beginning of a value, of at least `told` bytes: texts that were cut do.
    pub(crate) fn find_cut<'a>(&'a self, text: &str, told: usize, hits: &mut Vec<Hit<'a>>) {
        let ends = text.char_indices().map(|(at, _)| at).filter(|at| text.len() - at >= told);
        let cut = ends.filter_map(|at| {
            let next = self.values.partition_point(|(value, _)| **value < text[at..]);
            let (value, mark) = self.values.get(next)?;
            value.starts_with(&text[at..]).then_some((at, *mark))
        });
        if let Some((at, mark)) = cut.into_iter().next() {
            hits.push(Hit { place: at..text.len(), mark: &self.marks[mark] });
        }
    }
}

/// The bit of two bytes, and where it is.
fn pair(first: u8, second: u8) -> (usize, u64) {
    (usize::from(first) << 2 | usize::from(second >> 6), 1 << (second & 63))
}

/// As many characters of base64 as `told` is of a text, in bytes.
fn told_coded(told: usize) -> usize {
    told / 4 * 3
}

/// `text` with marks in the place of the hits. Of hits that overlap, the longest gives its mark to all.
pub(crate) fn replace(text: &str, mut hits: Vec<Hit<'_>>) -> String {
    hits.sort_by_key(|hit| (hit.place.start, std::cmp::Reverse(hit.place.end)));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    let mut hits = hits.into_iter().peekable();
    while let Some(first) = hits.next() {
        let Range { start, mut end } = first.place;
        let (mut mark, mut longest) = (first.mark, end - start);
        while let Some(hit) = hits.next_if(|hit| hit.place.start < end) {
            end = end.max(hit.place.end);
            if hit.place.len() > longest {
                (mark, longest) = (hit.mark, hit.place.len());
            }
        }
        // A value and the text may part within a character.
        end = text.ceil_char_boundary(end);
        out.push_str(&text[done..start]);
        out.push_str(mark);
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests;
